"""Sliding windows over spatial axes: sizes, padding, and which element each window sees.

Convolutions and poolings gather their windows by an index array of K kernel positions times O
output positions, into the flattened spatial axes; -1 stands for padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.semantics.arguments import integers
from converter.tracing.affine import check_size, pin

# Positions are computed as products of two attributes, in 64 bits.
_LARGEST = 2**31 - 1

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """Where a kernel is applied.

    Parameters
    ----------
    spatial, kernel, strides, dilations : tuple of int
        Sizes of the spatial axes, and the attributes, one value an axis.
    before, after : tuple of int
        Padding at the beginning and at the end of each axis.
    output : tuple of int
        How many windows there are along each axis.
    """

    spatial: Sizes
    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    before: Sizes
    after: Sizes
    output: Sizes

    def positions(self) -> list[np.ndarray]:
        """Return, for each axis, an array (kernel, output) of positions; padding not masked."""
        return [
            np.arange(k)[:, None] * d + np.arange(o) * s - p
            for k, d, o, s, p in zip(
                self.kernel, self.dilations, self.output, self.strides, self.before, strict=True
            )
        ]

    def index(self, x: Any) -> np.ndarray:
        """Return the index array of shape (K, O) into a value's flattened spatial axes."""
        check_size((*self.kernel, *self.output))
        return flat_index(self.positions(), self.spatial, x)


def sliding(
    spatial: Sizes,
    kernel: Sizes,
    *,
    auto_pad: Any = "NOTSET",
    dilations: Any = None,
    pads: Any = None,
    strides: Any = None,
    ceil_mode: int = 0,
) -> Windows:
    """Return the windows of a convolution or a pooling.

    Source: ONNX operators, Conv, AveragePool and MaxPool (version 22), the output shapes.

    Raises
    ------
    ValueError
        If an attribute has a wrong length or value, or no window fits.
    """
    rank = len(spatial)
    along = per_axis("strides", strides, rank, 1, least=1)
    apart = per_axis("dilations", dilations, rank, 1, least=1)
    reach = extents(kernel, apart)
    before, after = _padding(auto_pad, pads, spatial, reach, along)
    output = []
    for size, extent, step, start, end in zip(spatial, reach, along, before, after, strict=True):
        room = size + start + end - extent
        count = room // step + 1
        # The formulas that go with auto_pad come out the same with ceil_mode and without.
        if ceil_mode and auto_pad == "NOTSET":
            count = -(-room // step) + 1
            if (count - 1) * step >= size + start:
                count -= 1  # it would start in the padding at the end
        if count < 1 or size == 0:
            raise ValueError(
                f"a kernel of extent {extent} does not fit an axis of {size} padded by "
                f"{start} and {end}"
            )
        output.append(count)
    return Windows(spatial, kernel, along, apart, before, after, tuple(output))


def _padding(
    auto_pad: Any, pads: Any, spatial: Sizes, reach: Sizes, strides: Sizes
) -> tuple[Sizes, Sizes]:
    before, after = explicit_pads(auto_pad, pads, len(spatial))
    if auto_pad in ("NOTSET", "VALID"):
        return before, after
    total = [
        max((-(-size // step) - 1) * step + extent - size, 0)
        for size, extent, step in zip(spatial, reach, strides, strict=True)
    ]
    return divide_padding(total, upper=auto_pad == "SAME_UPPER")


def divide_padding(total: Sequence[int], *, upper: bool) -> tuple[Sizes, Sizes]:
    """Divide padding between beginning and end; the odd one goes to the end if `upper`."""
    less, more = tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
    return (less, more) if upper else (more, less)


def explicit_pads(auto_pad: Any, pads: Any, rank: int) -> tuple[Sizes, Sizes]:
    """Return the attribute `pads` as padding before and after; zeros where auto_pad rules.

    Raises
    ------
    ValueError
        If the two contradict each other or have values that ONNX does not know.
    """
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad is {auto_pad!r}, which ONNX does not know")
    both = per_axis("pads", pads, 2 * rank, 0, least=0)
    if auto_pad != "NOTSET" and any(both):
        raise ValueError(f"pads and auto_pad {auto_pad} are given at once")
    return both[:rank], both[rank:]


def per_axis(name: str, values: Any, count: int, default: int, *, least: int) -> Sizes:
    """Return an attribute that has one value for each of `count` places, checked."""
    if values is None:
        return (default,) * count
    numbers = integers(values)
    if len(numbers) != count or any(not least <= number <= _LARGEST for number in numbers):
        raise ValueError(
            f"{name} is {list(numbers)[:20]}; wanted are {count} values between {least} "
            f"and {_LARGEST}"
        )
    return numbers


def extents(kernel: Sizes, dilations: Sizes) -> Sizes:
    """Return how far a dilated kernel reaches along each axis."""
    if any(not 1 <= size <= _LARGEST for size in kernel):
        raise ValueError(f"a kernel of shape {list(kernel)}")
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))


def spatial_shape(x: Any) -> Sizes:
    """Return the sizes of all axes but batch and channel, of which there must be some."""
    shape = np.shape(x)
    if len(shape) < 3:
        raise ValueError("wants a batch axis, a channel axis and at least one more")
    return shape[2:]


def flat_index(positions: Sequence[np.ndarray], spatial: Sizes, x: Any) -> np.ndarray:
    """Combine positions along each axis, of shape (k, o), into an index of shape (K, O).

    It is for the value `x`, whose rows may not be among the axes that are looked at in windows.
    """
    rank = len(spatial)
    index = np.zeros((1,) * (2 * rank), dtype=np.int64)
    inside = np.ones((1,) * (2 * rank), dtype=bool)
    for axis, (where, size) in enumerate(zip(positions, spatial, strict=True)):
        if where.shape != (1, size) or not np.array_equal(where[0], np.arange(size)):
            pin(x, [size])
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = where.shape
        index = index * size + where.reshape(shape)
        inside = inside & ((where >= 0) & (where < size)).reshape(shape)
    kernel = math.prod(where.shape[0] for where in positions)
    return np.where(inside, index, -1).reshape(kernel, -1)


def patches(x: Any, index: np.ndarray, fill: float = 0.0) -> Any:
    """Gather windows: (N, C, *spatial) by an index (K, O) into (N, C, K, O)."""
    batch, channels, *spatial = np.shape(x)
    size = math.prod(spatial)
    check_size((batch, channels, *index.shape))
    flat = np.reshape(x, (batch, channels, size))
    if index.shape == (1, size) and np.array_equal(index[0], np.arange(size)):
        return np.expand_dims(flat, 2)
    if index.size and index.min() < 0:
        # The index -1 finds the padding, which is the last element.
        flat = np.pad(flat, ((0, 0), (0, 0), (0, 1)), constant_values=fill)
    return np.take(flat, index, axis=2)


def lone(index: np.ndarray) -> np.ndarray | None:
    """Return the places of the elements of windows that hold one element each, else None.

    Parameters
    ----------
    index : ndarray of int, shape (K, O)
        See `patches`. Padding is no element: a maximum never chooses it.

    Returns
    -------
    ndarray of int, shape (1, O), or None
    """
    return index.max(axis=0, keepdims=True) if ((index >= 0).sum(axis=0) == 1).all() else None


def averages(x: Any, windows: Windows, *, padding: bool = False) -> Any:
    """Return the mean of each window of a value (N, C, *spatial).

    Parameters
    ----------
    x : ndarray or traced value
    windows : Windows
    padding : bool
        Whether padding counts as zeros. What a window finds beyond the padded input (ceil_mode)
        never counts.

    Raises
    ------
    ValueError
        If a window holds nothing that counts.
    """
    index = windows.index(x)
    counted = index >= 0
    single = None if padding else lone(index)
    if single is not None:
        # The mean of one element is the element, whatever it is a function of.
        return np.reshape(patches(x, single), (*np.shape(x)[:2], *windows.output))
    if padding:
        within = np.ones((1,) * (2 * len(windows.kernel)), dtype=bool)
        for axis, where in enumerate(windows.positions()):
            shape = [1] * within.ndim
            shape[axis], shape[len(windows.kernel) + axis] = where.shape
            end = windows.spatial[axis] + windows.after[axis]
            within = within & (where < end).reshape(shape)
        counted = within.reshape(index.shape)
    elements = counted.sum(axis=0)
    if not elements.all():
        raise ValueError("a window holds nothing but padding, and has no mean")
    means = np.multiply(np.sum(patches(x, index), axis=2), 1.0 / elements)
    return np.reshape(means, (*np.shape(x)[:2], *windows.output))
