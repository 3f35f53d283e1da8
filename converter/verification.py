"""Compare a folded model with what the model's own runtime computes, within a derived bound."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.folding import Folded, Settled, indicators_of, settle
from converter.formats import read
from converter.inspection import choose, fold_outputs
from converter.levels import Levels
from converter.links import inverse_link
from converter.network import Network, Output
from converter.rounding import rounding_bound, unit_roundoff
from converter.runtimes import run
from converter.tracing.affine import Affine
from converter.tracing.codes import Indicators
from converter.tracing.interpreter import TEXT, readable
from converter.variables import Variable

# Sizes of the points beyond the random ones: each alone on an axis, and all at once.
_EXTREMES = (0.0, 1e3, -1e3, 1e-6)
# Elements evaluated at once.
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Verification:
    """How far the folded model is from its own runtime.

    Parameters
    ----------
    runtime : str
        Name and version.
    points : int
        Inputs at which both were computed, without those where the runtime overflowed.
    difference : float
        The largest difference between an output of the runtime and the folded model's.
    bound : float
        What rounding in the network's own arithmetic may explain at that place.
    ratio : float
        The largest difference in units of its own bound; at most 1 if all agree.
    agrees : bool
    conclusive : bool
        Whether the bound is narrower than the outputs' own range: of deep networks nothing can
        be said by such a bound.
    """

    runtime: str
    points: int
    difference: float
    bound: float
    ratio: float
    agrees: bool
    conclusive: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain Python values, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        verdict = "agree" if self.agrees else "DISAGREE"
        made = f"{self.bound:.3g}"
        if not self.conclusive:
            made += " (more than the outputs vary: this verifies little)"
        return (
            f"verified: the folded model and {self.runtime} {verdict} at {self.points} points; "
            f"largest difference {self.difference:.3g}, where rounding may make {made}"
        )


def verify(
    path: str | os.PathLike[str],
    *,
    output: str | int | None = None,
    points: int = 64,
    seed: int = 0,
    signature: str | None = None,
) -> Verification:
    """Run a model in its own runtime and compare it with its folded form.

    The model is run by onnxruntime, Keras or TensorFlow, in a process of its own: do this with
    files that you trust as far as you trust these. Points are random normal ones at several
    scales, and extreme ones.

    Parameters
    ----------
    path : path-like
    output : str or int, optional
        As for `fold`; by default all outputs that were folded.
    points : int
        Random points.
    seed : int
        Of the random points.
    signature : str, optional
        As for `fold`.

    Returns
    -------
    Verification

    Raises
    ------
    Rejected
        If the network is not a regression.
    ModelFileError
        If the file is damaged, or its runtime cannot run it.
    ValueError
        If there is no such output, or the runtime is not installed.
    """
    if points < 1:
        raise ValueError("points must be at least 1")
    network = read(path, signature)
    try:
        folded = fold_outputs(network, choose(network, output))
        settled, traced, rows = settle(network, folded.outputs)
        network.verify()
        grid = _points(network, folded, points, np.random.default_rng(seed))
        decided = [one.output.name for one in settled if one.decided]
        if decided:
            raise ModelFileError(
                f"the output {printable(decided[0])!r} is a decision, which is not compared with "
                "the probability that it is made on"
            )
        comparisons = [
            _compare(network, path, one, place, traced, rows, folded, grid)
            for place, one in enumerate(settled)
        ]
    except ModelFileError as error:
        text = str(error)
        raise ModelFileError(
            text if text.startswith(network.path) else f"{printable(network.path)}: {text}"
        ) from None
    return max(comparisons, key=lambda one: (one.ratio, one.difference))


def _points(
    network: Network, folded: Folded, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return points for each input that is read, in its own precision, as float64 or text."""
    found = []
    scales = 10.0 ** rng.uniform(-1.0, 1.0, count)
    for declared, shape in zip(network.inputs, folded.input_shapes, strict=True):
        if shape is None:
            continue
        if declared.dtype in TEXT:
            found.append(np.full((count + len(_EXTREMES), *shape), "", dtype=object))
            continue
        random = rng.standard_normal((count, *shape))
        random *= scales.reshape(-1, *(1,) * len(shape))
        extreme = np.stack([np.full(shape, value) for value in _EXTREMES])
        both = np.concatenate([random, extreme])
        kind = _dtype(declared.dtype)
        if kind.kind != "f":
            both = np.clip(np.rint(both), *((0, 1) if kind.kind in "ub" else (-1000, 1000)))
        found.append(both.astype(kind).astype(np.float64))
    return _coded(found, folded.variables, rng)


def _coded(
    grid: list[np.ndarray], variables: Sequence[Variable], rng: np.random.Generator
) -> list[np.ndarray]:
    """Put codes that the network knows in the place of elements that it looks up."""
    starts = np.cumsum([0, *(math.prod(points.shape[1:]) for points in grid)])
    wanted: dict[int, list[Levels]] = {}
    for one in variables:
        if one.levels is not None:
            for element in one.elements:
                wanted.setdefault(element, []).append(one.levels)
    for element, several in wanted.items():
        known = np.array([value for one in several for value in one.examples()], dtype=object)
        kept = known[np.all([levels.match(known) >= 0 for levels in several], axis=0)]
        if not len(kept):
            raise ModelFileError("looks up an input in ways that no value fits")
        place = int(np.searchsorted(starts, element, side="right")) - 1
        points = grid[place].reshape(len(grid[place]), -1)
        points[:, element - starts[place]] = kept[rng.integers(len(kept), size=len(points))]
    return grid


def _dtype(name: str) -> np.dtype:
    return np.dtype(np.float32) if name == "bfloat16" else np.dtype(name)


def _compare(
    network: Network,
    path: str | os.PathLike[str],
    one: Settled,
    place: int,
    traced: Any,
    rows: int | None,
    folded: Folded,
    grid: list[np.ndarray],
) -> Verification:
    sizes = [math.prod(shape) for shape in folded.output_shapes]
    part = slice(sum(sizes[:place]), sum(sizes[: place + 1]))
    raw = np.concatenate([points.reshape(len(points), -1) for points in grid], axis=1)
    flat = np.concatenate([variable.columns(raw) for variable in folded.variables], axis=1)
    eta = flat @ folded.coef[part].T + folded.intercept[part]
    bound = _bound(network, one, traced, rows, grid, eta.shape)
    # Our own arithmetic is double precision; it is part of what may differ.
    bound = bound + 2.0**-45 * (np.abs(eta) + np.abs(flat) @ np.abs(folded.coef[part]).T)
    expected = inverse_link(one.link, eta, folded.groups[part])
    allowed = _through_link(one.link, eta, bound, unit_roundoff(network))
    runtime, found = computed(network, path, one.output, grid, batched=rows is not None)
    found = found.reshape(expected.shape)
    # At extreme points the runtime may overflow in its own precision.
    kept = np.isfinite(found).all(axis=1)
    if not kept.any():
        raise ModelFileError(f"{runtime} computes nothing finite at any of the points")
    found, expected, allowed = found[kept], expected[kept], allowed[kept]
    difference = np.abs(found - expected)
    ratio = np.divide(difference, allowed, out=np.zeros_like(difference), where=difference > 0)
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    largest = float(ratio[worst])
    varied = float(np.ptp(expected)) if expected.size else 0.0
    return Verification(
        runtime,
        int(np.count_nonzero(kept)),
        float(difference[worst]),
        float(allowed[worst]),
        largest,
        largest <= 1.0,
        bool(varied == 0.0 or np.median(allowed) < varied),
    )


def _bound(
    network: Network,
    one: Settled,
    traced: Any,
    rows: int | None,
    grid: list[np.ndarray],
    shape: tuple[int, ...],
) -> np.ndarray:
    if not isinstance(one.value, Affine):
        return np.zeros(shape)
    inputs = [value for value in traced.inputs if value is not None]
    looked_up = indicators_of(traced.tape, [one.value])
    grid = [_numbers(points) for points in grid] + [
        _indicated(indicators, traced.inputs, grid) for _, indicators in looked_up
    ]
    numeric = inputs + [value for value, _ in looked_up]
    widest = max(math.prod(entry.shape) for entry in traced.tape.entries)
    step = max(1, _CHUNK // max(1, widest))
    found = []
    for start in range(0, len(grid[0]), step):
        seeds = []
        for value, points in zip(numeric, grid, strict=True):
            chunk = points[start : start + step]
            # Every row of the trace gets the same point.
            repeated = np.broadcast_to(
                chunk.reshape(len(chunk), 1, -1),
                (
                    len(chunk),
                    value.size // max(1, math.prod(chunk.shape[1:])),
                    math.prod(chunk.shape[1:]),
                ),
            )
            seeds.append(repeated.reshape(len(chunk), *value.shape))
        (bound,) = rounding_bound(traced.tape, numeric, seeds, [one.value], unit_roundoff(network))
        found.append(bound.reshape(len(bound), rows or 1, -1)[:, 0])
    return np.concatenate(found)


def _numbers(points: np.ndarray) -> np.ndarray:
    """Return points as numbers; of text nothing is ever computed."""
    return np.zeros(points.shape) if points.dtype.kind == "O" else points


def _indicated(
    one: Indicators, inputs: Sequence[Affine | None], grid: list[np.ndarray]
) -> np.ndarray:
    """Return the indicators at some points, shape (n, groups, levels)."""
    place = sum(value is not None for value in inputs[: one.input])
    raw = grid[place].reshape(len(grid[place]), -1)
    groups = [Variable("", tuple(map(int, group)), one.levels) for group in one.elements]
    return np.stack([group.columns(raw) for group in groups], axis=1)


def _through_link(link: str, eta: np.ndarray, bound: np.ndarray, roundoff: float) -> np.ndarray:
    """Return how far the mean may be off when the linear predictor is, and is then rounded."""
    if link == "identity":
        return bound
    if link == "softmax":
        # No probability changes by more than the largest change of an argument, twice.
        widest = np.broadcast_to(2.0 * bound.max(axis=1, keepdims=True), bound.shape)
        return np.minimum(widest, 1.0) + 16.0 * roundoff
    low, high = inverse_link(link, eta - bound), inverse_link(link, eta + bound)
    middle = inverse_link(link, eta)
    with np.errstate(invalid="ignore"):
        spread = np.maximum(np.abs(high - middle), np.abs(middle - low))
    # Runtimes approximate these functions to some units in the last place of their range.
    return np.nan_to_num(spread, nan=np.inf) + 16.0 * roundoff * np.maximum(np.abs(middle), 1.0)


def computed(
    network: Network,
    path: str | os.PathLike[str],
    output: Output,
    grid: list[np.ndarray],
    batched: bool,
) -> tuple[str, np.ndarray]:
    """Run a network in its own runtime; see `converter.runtimes.run`.

    Parameters
    ----------
    network : Network
    path : path-like
    output : Output
    grid : list of ndarray, shape (n, *input shape)
        Points for each input.
    batched : bool
        Whether the leading axis of its inputs is that of the rows.

    Returns
    -------
    version : str
    values : ndarray, n along the first axis
    """
    numeric = [one for one in network.inputs if readable(network, one)]
    if len(numeric) < len(network.inputs):
        raise ModelFileError("has inputs that hold no numbers, so it is not run")
    feeds = [
        (one.name, points.astype(str if one.dtype in TEXT else _dtype(one.dtype)))
        for one, points in zip(numeric, grid, strict=True)
    ]
    runtime = {"onnx": "onnxruntime", "keras": "keras", "tensorflow": "tensorflow"}[network.dialect]
    if network.format == "tflite":
        runtime = "tflite"
    target: str | int = output.name
    if runtime in ("keras", "tflite"):
        target = [one.name for one in network.outputs].index(output.name)
    open_rows = [bool(one.shape) and one.shape[0] is None for one in numeric]  # type: ignore[index]
    if batched and all(open_rows) and runtime != "tflite":
        return run(path, runtime, feeds, target, signature=network.signature)
    shapes = [tuple(1 if size is None else size for size in one.shape or ()) for one in numeric]
    return run(path, runtime, feeds, target, shapes, signature=network.signature)
