"""Values at places between the elements, by linear interpolation along each axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from converter.tracing.affine import check_size, pin

# Places further out than this have nothing to do with the data; they are kept from overflowing.
_FAR = 2.0**40


def at_corners(images: Any, places: Sequence[np.ndarray]) -> Any:
    """Interpolate images (B, C, *spatial) linearly at constant places; 0 outside.

    Parameters
    ----------
    images : ndarray or traced value, shape (B, C, d1, ..., dr)
    places : sequence of r ndarrays, shape (B, P)
        Coordinates along each axis, in elements.

    Returns
    -------
    ndarray or traced value, shape (B, C, P)
    """
    spatial = images.shape[2:]
    steps = [_linear(where, size) for where, size in zip(places, spatial, strict=True)]
    return weighted(images, steps)


def weighted(images: Any, steps: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]]) -> Any:
    """Sum elements of images (B, C, *spatial), each with the product of its weights.

    Parameters
    ----------
    images : ndarray or traced value
    steps : sequence over axes of sequences of (index, weight)
        The elements that take part along each axis, of shape (B, P) both; an index of -1 is
        an element outside, which is 0.

    Returns
    -------
    ndarray or traced value, shape (B, C, P)
    """
    batch, channels, *spatial = images.shape
    size = math.prod(spatial)
    check_size((batch, channels, steps[0][0][0].shape[1]))
    pin(images, spatial)
    flat = np.swapaxes(np.reshape(images, (batch, channels, size)), 0, 1)
    # The index -1 finds the padding, which is the last element.
    flat = np.pad(np.reshape(flat, (channels, batch * size)), ((0, 0), (0, 1)))
    offsets = np.arange(batch)[:, None] * size
    total: Any = None
    for index, weight in _corners(steps, spatial):
        taken = np.take(flat, np.where(index < 0, -1, index + offsets), axis=1)
        term = np.multiply(taken, weight)
        total = term if total is None else np.add(total, term)
    return np.swapaxes(total, 0, 1)


def _corners(
    steps: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], spatial: Sequence[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for corner in product(*steps):
        index, weight = np.zeros((), dtype=np.int64), np.ones(())
        found = np.ones((), dtype=bool)
        for (where, share), size in zip(corner, spatial, strict=True):
            index = index * size + where
            found = found & (where >= 0)
            weight = weight * share
        yield np.where(found, index, -1), np.where(found, weight, 0.0)


def _linear(places: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    places = np.clip(places, -_FAR, _FAR)
    low = np.floor(places)
    above = places - low
    first = low.astype(np.int64)
    return [(inside(first, size), 1.0 - above), (inside(first + 1, size), above)]


def inside(index: np.ndarray, size: int) -> np.ndarray:
    """Return the index with -1 for all that lies outside an axis of `size`."""
    return np.where((index >= 0) & (index < size), index, -1)
