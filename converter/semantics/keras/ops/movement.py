"""Operations that move, repeat or drop elements."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.geometry import whole_numbers
from converter.semantics.keras.layer import Layer
from converter.semantics.onnx import layout
from converter.tracing.affine import Affine, check_size, movement, pin
from converter.tracing.functions import axis_of
from converter.tracing.linked import Linked


def moved(function: Callable[[np.ndarray], np.ndarray], x: Any) -> Any:
    """Apply a function that only moves, repeats or drops elements, of a value of any kind."""
    if isinstance(x, Affine):
        return movement(function, x)
    if isinstance(x, Linked):
        return x.moved(function)
    return function(np.asarray(x))


def reshape(x: Any, *, newshape: Any) -> Any:
    return np.reshape(x, whole_numbers(newshape, "newshape"))


def ravel(x: Any) -> Any:
    return np.reshape(x, (-1,))


def transpose(x: Any, *, axes: Any = None) -> Any:
    return np.transpose(x, None if axes is None else whole_numbers(axes, "axes"))


def moveaxis(x: Any, *, source: Any, destination: Any) -> Any:
    ends = whole_numbers(source, "source"), whole_numbers(destination, "destination")
    return np.moveaxis(x, *ends)


def swapaxes(x: Any, *, axis1: int, axis2: int) -> Any:
    return np.swapaxes(x, axis1, axis2)


def expand_dims(x: Any, *, axis: Any) -> Any:
    return np.expand_dims(x, whole_numbers(axis, "axis"))


def squeeze(x: Any, *, axis: Any = None) -> Any:
    if axis is None:
        # Two rows and three are more than one; a batch of one would lose its axis.
        kept = 1 if np.shape(x)[:1] == (1,) else 0
        axis = [i for i, size in enumerate(np.shape(x)) if size == 1 and i >= kept]
    return np.squeeze(x, whole_numbers(axis, "axis"))


def flip(x: Any, *, axis: Any = None) -> Any:
    return np.flip(x, None if axis is None else whole_numbers(axis, "axis"))


def fliplr(x: Any) -> Any:
    return np.flip(x, 1)


def flipud(x: Any) -> Any:
    return np.flip(x, 0)


def roll(x: Any, *, shift: Any, axis: Any = None) -> Any:
    shape = np.shape(x)
    if axis is None:
        pin(x, [math.prod(shape)])
    else:
        pin(x, [shape[axis_of(one, len(shape))] for one in whole_numbers(axis, "axis")])
    several = whole_numbers(shift, "shift")
    amount = several if isinstance(shift, (list, tuple)) else several[0]
    return moved(lambda a: np.roll(a, amount, _axis(axis)), x)


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def rot90(array: Any, *, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = whole_numbers(axes, "axes")
    if k % 4 == 2:
        raise NotAffine("turns by half a circle, of which Keras' backends make different things")
    pin(array, [np.shape(array)[first], np.shape(array)[second]])
    return moved(lambda a: np.rot90(a, k, (first, second)), array)


def repeat(x: Any, *, repeats: Any, axis: Any = None) -> Any:
    counts = whole_numbers(repeats, "repeats")
    if min(counts) < 0:
        raise ValueError("repeats a negative number of times")
    if axis is None:
        x, axis = np.reshape(x, (-1,)), 0
    along = axis_of(axis, np.ndim(x))
    if len(counts) > 1:
        pin(x, [np.shape(x)[along]])
    largest = np.shape(x)[along] * max(counts)
    check_size((*np.shape(x)[:along], largest, *np.shape(x)[along + 1 :]))
    return moved(lambda a: np.repeat(a, counts if len(counts) > 1 else counts[0], along), x)


def tile(x: Any, *, repeats: Any) -> Any:
    times = whole_numbers(repeats, "repeats")
    rank = max(len(times), np.ndim(x))
    times = (1,) * (rank - len(times)) + times
    x = np.reshape(x, (1,) * (rank - np.ndim(x)) + tuple(np.shape(x)))
    return layout.tile(x, np.array(times))


def broadcast_to(x: Any, *, shape: Any) -> Any:
    target = whole_numbers(shape, "shape")
    check_size(target)
    return np.broadcast_to(x, target)


def concatenate(xs: Any, *, axis: Any = 0) -> Any:
    if axis is None:
        xs, axis = [np.reshape(x, (-1,)) for x in xs], 0
    return np.concatenate(xs, axis=axis)


def append(x1: Any, x2: Any, *, axis: Any = None) -> Any:
    return concatenate([x1, x2], axis=axis)


def stack(x: Any, *, axis: int = 0) -> Any:
    return np.stack(x, axis=axis)


def hstack(xs: Any) -> Any:
    return np.concatenate(xs, axis=0 if np.ndim(xs[0]) == 1 else 1)


def vstack(xs: Any) -> Any:
    rows = [np.expand_dims(x, 0) if np.ndim(x) == 1 else x for x in xs]
    return np.concatenate(rows, axis=0)


def dstack(xs: Any) -> Any:
    deep = []
    for x in xs:
        x = np.expand_dims(x, 0) if np.ndim(x) == 1 else x
        deep.append(np.expand_dims(x, 2) if np.ndim(x) == 2 else x)
    return np.concatenate(deep, axis=2)


def split(x: Any, *, indices_or_sections: Any, axis: int = 0) -> Any:
    return _parts(x, indices_or_sections, axis, even=True)


def array_split(x: Any, *, indices_or_sections: Any, axis: int = 0) -> Any:
    return _parts(x, indices_or_sections, axis, even=False)


def _split_along(axis: int) -> Callable[..., Any]:
    def splits(x: Any, *, indices_or_sections: Any) -> Any:
        along = 0 if axis == 1 and np.ndim(x) == 1 else axis
        return _parts(x, indices_or_sections, along, even=True)

    return splits


def _parts(x: Any, where: Any, axis: int, *, even: bool) -> list[Any]:
    size = np.shape(x)[axis_of(axis, np.ndim(x))]
    pin(x, [size])
    sections = where if type(where) is int else list(whole_numbers(where, "indices_or_sections"))
    if isinstance(sections, int) and not 0 < sections <= max(size, 1):
        raise ValueError(f"splits {size} places into {sections} parts")
    places = np.arange(size)
    parts = np.split(places, sections) if even else np.array_split(places, sections)
    return [np.take(x, part, axis=axis) for part in parts]


def unstack(x: Any, *, num: Any = None, axis: int = 0) -> Any:
    size = np.shape(x)[axis_of(axis, np.ndim(x))]
    if num not in (None, size):
        raise ValueError(f"takes {size} places for {num}")
    pin(x, [size])
    return [np.take(x, place, axis=axis) for place in range(size)]


def get_item(x: Any, key: Any) -> Any:
    """Index by numbers, slices, new axes and an ellipsis."""
    keys = tuple(key) if isinstance(key, (list, tuple)) else (key,)
    if any(not (one is None or one is Ellipsis or type(one) in (int, slice)) for one in keys):
        raise NotAffine("indexes by something that is no constant number or slice")
    named = sum(one is not None and one is not Ellipsis for one in keys)
    rank = np.ndim(x)
    if named > rank or keys.count(Ellipsis) > 1:
        raise ValueError(f"has {named} indices for {rank} axes")
    full = (slice(None),) * (rank - named)
    if Ellipsis in keys:
        place = keys.index(Ellipsis)
        keys = (*keys[:place], *full, *keys[place + 1 :])
    along = 0
    for one in keys:
        if one is None:
            continue
        size = np.shape(x)[along]
        if isinstance(one, slice):
            bounds = [n for n in (one.start, one.stop) if n is not None]
            if any(type(n) is not int for n in (*bounds, one.step) if n is not None):
                raise NotAffine("slices by something that is no constant number")
        if one not in (slice(None), slice(0, None), slice(None, None, 1), slice(0, None, 1)):
            pin(x, [size])
        along += 1
    return x[keys] if isinstance(x, (Affine, Linked)) else np.asarray(x)[keys]


def slice_(inputs: Any, start_indices: Any, *, shape: Any) -> Any:
    """Cut a block of some shape out; -1 stands for all that follows."""
    starts = whole_numbers(_listed(start_indices), "start_indices")
    sizes = whole_numbers(shape, "shape")
    if not len(starts) == len(sizes) == np.ndim(inputs):
        raise ValueError("has not one start and one size for each axis")
    for start, size, extent in zip(starts, sizes, np.shape(inputs), strict=True):
        if not 0 <= start <= extent or start + max(size, 0) > extent:
            raise ValueError(f"takes {size} places from {start} on of {extent}")
    key = [
        slice(start, None if size == -1 else start + size)
        for start, size in zip(starts, sizes, strict=True)
    ]
    return get_item(inputs, key)


def _listed(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """Put a block in the place of what is there."""
    starts = whole_numbers(_listed(start_indices), "start_indices")
    shape, part = np.shape(inputs), np.shape(updates)
    if not len(starts) == len(shape) == len(part):
        raise ValueError("has not one start for each axis")
    if any(not 0 <= a <= n - m for a, n, m in zip(starts, shape, part, strict=True)):
        raise ValueError(f"a block of {list(part)} at {list(starts)} leaves {list(shape)}")
    pin(inputs, shape)
    pin(updates, shape)
    places = np.arange(math.prod(shape)).reshape(shape)
    block = tuple(slice(a, a + m) for a, m in zip(starts, part, strict=True))
    places[block] = math.prod(shape) + np.arange(math.prod(part)).reshape(part)
    both = np.concatenate([np.reshape(inputs, (-1,)), np.reshape(updates, (-1,))])
    return np.take(both, places)


def pad(x: Any, constant_values: Any = None, *, pad_width: Any, mode: str = "constant") -> Any:
    widths = [list(whole_numbers(one, "pad_width")) for one in _pairs(pad_width, np.ndim(x))]
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise NotAffine(f"pads in the unknown mode {mode!r}")
    if any(min(one) < 0 for one in widths):
        raise ValueError("pads by a negative number")
    sizes = np.shape(x)
    check_size([size + sum(one) for size, one in zip(sizes, widths, strict=True)])
    pin(x, [size for size, one in zip(sizes, widths, strict=True) if any(one)])
    if mode == "constant":
        value = None if constant_values is None else np.asarray(constant_values, dtype=np.float64)
        flat = [one[0] for one in widths] + [one[1] for one in widths]
        return layout.pad(x, np.array(flat), value)
    if any(sum(one) and not size for one, size in zip(widths, sizes, strict=True)):
        raise ValueError("pads an axis without elements")
    return moved(lambda a: np.pad(a, widths, mode=mode), x)  # type: ignore[call-overload]


def _pairs(pad_width: Any, rank: int) -> list[Any]:
    """Return a pair for each axis, as numpy broadcasts them."""
    if type(pad_width) is int:
        return [[pad_width, pad_width]] * rank
    if len(pad_width) == 2 and all(type(one) is int for one in pad_width):
        return [pad_width] * rank
    pairs = [one if isinstance(one, (list, tuple)) else [one, one] for one in pad_width]
    pairs = [[*one, *one] if len(one) == 1 else one for one in pairs]
    if len(pairs) == 1:
        pairs = pairs * rank
    if len(pairs) != rank or any(len(one) != 2 for one in pairs):
        raise ValueError(f"pad_width {pad_width!r} does not fit {rank} axes")
    return pairs


def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing is {indexing!r}")
    flat = [np.reshape(one, (-1,)) for one in x]
    order = [1, 0, *range(2, len(x))] if indexing == "xy" and len(x) > 1 else range(len(x))
    sizes = tuple(np.shape(flat[axis])[0] for axis in order)
    check_size(sizes)
    found = []
    for axis, one in enumerate(flat):
        shape = [1] * len(x)
        shape[list(order).index(axis)] = -1
        found.append(np.broadcast_to(np.reshape(one, shape), sizes))
    return found


def diagonal(x: Any, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    shape = np.shape(x)
    pin(x, [shape[axis_of(axis1, len(shape))], shape[axis_of(axis2, len(shape))]])
    return moved(lambda a: np.diagonal(a, offset, axis1, axis2), x)


def diag(x: Any, *, k: int = 0) -> Any:
    if np.ndim(x) == 2:
        return diagonal(x, offset=k)
    if np.ndim(x) != 1:
        raise ValueError("wants one axis or two")
    return diagflat(x, k=k)


def diagflat(x: Any, *, k: int = 0) -> Any:
    size = np.size(x) + abs(k)
    check_size((size, size))
    pin(x, [np.size(x)])
    # The last element is zero.
    places = np.diagflat(np.arange(np.size(x)) + 1, k) - 1
    padded = np.pad(np.reshape(x, (-1,)), ((0, 1),))
    return np.take(padded, np.where(places < 0, np.size(x), places))


def _triangle(upper: bool) -> Callable[..., Any]:
    def triangle(x: Any, *, k: int = 0) -> Any:
        from converter.semantics.onnx.indexing import trilu

        return trilu(x, np.array(k), upper=int(upper))

    return triangle


def rearrange(tensor: Any, pattern: str, **axes_lengths: Any) -> Any:
    """Rearrange by a pattern of einops: ``"b (h w) -> b h w"``."""
    before, arrow, after = pattern.partition("->")
    groups, wanted = (_groups(side) for side in (before, after))
    names, named = ([name for group in side for name in group] for side in (groups, wanted))
    if not arrow or len(groups) != np.ndim(tensor) or sorted(names) != sorted(named):
        raise NotAffine(f"rearranges by the pattern {pattern!r}, which is not supported")
    if len(set(names)) < len(names):
        raise NotAffine(f"names an axis twice in {pattern!r}")
    sizes: dict[str, int] = dict(axes_lengths)
    if any(type(size) is not int or size < 1 for size in sizes.values()):
        raise ValueError("has a size that is no positive whole number")
    for group, extent in zip(groups, np.shape(tensor), strict=True):
        open_ = [name for name in group if name not in sizes]
        known = math.prod(sizes[name] for name in group if name in sizes)
        if len(open_) > 1 or extent % known:
            raise ValueError(f"the sizes of {group} do not follow from {extent}")
        if open_:
            sizes[open_[0]] = extent // known
        elif known != extent:
            raise ValueError(f"the sizes of {group} do not make {extent}")
    x = np.reshape(tensor, tuple(sizes[name] for name in names))
    x = np.transpose(x, [names.index(name) for group in wanted for name in group])
    return np.reshape(x, tuple(math.prod(sizes[name] for name in group) for group in wanted))


def _groups(side: str) -> list[list[str]]:
    if not re.fullmatch(r"[\w\s()]*", side):
        raise NotAffine(f"rearranges by {side.strip()!r}, which is not supported")
    return [part.strip("()").split() for part in re.findall(r"\([^()]*\)|\w+", side)]


def extract_sequences(x: Any, *, sequence_length: int, sequence_stride: int) -> Any:
    """Cut overlapping windows out of the last axis."""
    size = np.shape(x)[-1]
    if sequence_length < 1 or sequence_stride < 1 or sequence_length > size:
        raise ValueError(f"takes windows of {sequence_length} by {sequence_stride} of {size}")
    count = 1 + (size - sequence_length) // sequence_stride
    check_size((*np.shape(x)[:-1], count, sequence_length))
    pin(x, [size])
    index = np.arange(count)[:, None] * sequence_stride + np.arange(sequence_length)
    return np.take(x, index, axis=-1)


_FIRST: dict[str, Callable[..., Any]] = {
    "ArraySplit": array_split,
    "BroadcastTo": broadcast_to,
    "Diag": diag,
    "Diagflat": diagflat,
    "Diagonal": diagonal,
    "Dsplit": _split_along(2),
    "ExpandDims": expand_dims,
    "ExtractSequences": extract_sequences,
    "Flip": flip,
    "Fliplr": fliplr,
    "Flipud": flipud,
    "GetItem": get_item,
    "Hsplit": _split_along(1),
    "Moveaxis": moveaxis,
    "Ravel": ravel,
    "Rearrange": rearrange,
    "Repeat": repeat,
    "Reshape": reshape,
    "Roll": roll,
    "Rot90": rot90,
    "Slice": slice_,
    "Split": split,
    "Squeeze": squeeze,
    "Swapaxes": swapaxes,
    "Tile": tile,
    "Transpose": transpose,
    "Tril": _triangle(False),
    "Triu": _triangle(True),
    "Unstack": unstack,
    "Vsplit": _split_along(0),
}
_ALL: dict[str, Callable[..., Any]] = {
    "Append": append,
    "Concatenate": concatenate,
    "Dstack": dstack,
    "Hstack": hstack,
    "Stack": stack,
    "Vstack": vstack,
}
_LABELS = frozenset({"ExpandDims", "Ravel", "Reshape", "Squeeze", "Transpose"})

OPERATORS: dict[str, Layer] = {
    **{
        name: Layer(function, moves=True, labels=name in _LABELS, whole="kept")
        for name, function in _FIRST.items()
    },
    **{name: Layer(function, moves=True, whole="kept") for name, function in _ALL.items()},
    "Meshgrid": Layer(meshgrid, whole="wraps"),
    "Pad": Layer(pad, whole="wraps"),
    "SliceUpdate": Layer(slice_update, whole="wraps"),
}
