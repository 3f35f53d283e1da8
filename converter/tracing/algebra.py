"""The algebra of linked values: what sums, products and exponentials make of them.

Each rule is an identity, and returns None where there is none: then the value is no link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converter import links
from converter.errors import NotAffine
from converter.tracing.affine import RIGID, Affine
from converter.tracing.linked import (
    ACTIVATION,
    CHOICE,
    EXP_INSIDE,
    FUNCTION,
    LOG_SOFTMAX,
    SIGMOID_INSIDE,
    SINGLE,
    SOFTMAX_INSIDE,
    Decided,
    Linked,
    UsedLink,
)
from converter.tracing.opposite import opposite
from converter.tracing.primitives import finite


def decide(source: Linked | Affine, shape: Sequence[int]) -> Decided:
    """Return labels decided on a linked or affine value."""
    if isinstance(source, Linked) and source.function in _UNFINISHED:
        raise UsedLink()
    return Decided(source, tuple(int(size) for size in shape))


_UNFINISHED = frozenset({"max", "relative", "sum_exp", "log_sum_exp"})


def _link(
    base: Affine,
    function: str,
    reason: str,
    *,
    scale: Any = 1.0,
    shift: Any = 0.0,
    place: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> Linked:
    if base.kind in RIGID:
        raise NotAffine(RIGID[base.kind])
    if place is None:
        place = np.arange(base.size).reshape(base.shape)
    scale, shift = (np.asarray(a, dtype=np.float64) for a in (scale, shift))
    return Linked(base, function, place, scale, shift, reason, groups)


def _numbers(constant: Any) -> np.ndarray:
    array = np.asarray(constant)
    if array.dtype.kind not in "fiub":
        raise NotAffine(f"combines numbers with a constant of type {array.dtype}")
    return finite(array)


def _broadcast(value: Linked, shape: tuple[int, ...]) -> Linked:
    return value if value.shape == shape else value.moved(np.broadcast_to, shape)


def _joint(a: Any, b: Any) -> tuple[Any, Any]:
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    pair = (_broadcast(v, shape) if isinstance(v, Linked) else v for v in (a, b))
    return tuple(pair)  # type: ignore[return-value]


def _same_base(a: Linked, b: Linked) -> bool:
    return a.base.tape is b.base.tape and a.base.index == b.base.index


def _same_groups(a: Linked, b: Linked) -> bool:
    return a.groups is not None and b.groups is not None and np.array_equal(a.groups, b.groups)


def _belongs(member: Linked, group: Linked) -> bool:
    """Tell whether each element's argument lies in the group that the other value is of."""
    if group.groups is None or not _same_base(member, group):
        return False
    return np.array_equal(group.groups.reshape(-1)[member.place], group.place)


def _as_member(value: Any) -> Any:
    """Return an affine value as a linked one that is its own argument, for comparisons."""
    return _link(value, "argument", FUNCTION) if isinstance(value, Affine) else value


def _add(a: Any, b: Any, sign: float = 1.0) -> Any:
    """Return ``a + sign * b``."""
    if isinstance(a, (Linked, Affine)) and isinstance(b, (Linked, Affine)):
        return _combine(a, b, sign)
    a, b = _joint(a, b)
    if isinstance(a, Linked):
        return replace(a, shift=a.shift + sign * _numbers(b))
    return replace(b, scale=sign * b.scale, shift=_numbers(a) + sign * b.shift)


def _combine(a: Any, b: Any, sign: float) -> Any:
    a, b = _as_member(a), _as_member(b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = _broadcast(a, shape), _broadcast(b, shape)
    pair = (a.function, b.function)
    if a.plain() and b.plain() and sign == -1.0 and _belongs(a, b):
        if pair == ("argument", "max"):
            return replace(b, function="relative", place=a.place)
        if pair == ("argument", "log_sum_exp") or (
            pair == ("relative", "log_sum_exp_relative") and _same_groups(a, b)
        ):
            return replace(b, function="log_softmax", place=a.place, reason=LOG_SOFTMAX)
    if a.function != b.function or not _same_base(a, b) or not np.array_equal(a.place, b.place):
        return None
    if a.function not in SINGLE and not _same_groups(a, b):
        return None
    scale, shift = a.scale + sign * b.scale, a.shift + sign * b.shift
    return _unless_constant(replace(a, scale=scale, shift=shift))


def _subtract(a: Any, b: Any) -> Any:
    return _add(a, b, -1.0)


def _multiply(a: Any, b: Any) -> Any:
    if isinstance(a, (Linked, Affine)) and isinstance(b, (Linked, Affine)):
        return None
    a, b = _joint(a, b)
    value, factor = (a, _numbers(b)) if isinstance(a, Linked) else (b, _numbers(a))
    return replace(value, scale=value.scale * factor, shift=value.shift * factor)


def _divide(a: Any, b: Any) -> Any:
    if not isinstance(b, Linked):
        divisor = None if isinstance(b, Affine) else _numbers(b)
        return None if divisor is None or not divisor.all() else _multiply(a, 1.0 / divisor)
    a, b = _joint(a, b)
    if isinstance(a, Affine):
        return None
    if not isinstance(a, Linked):
        return _reciprocal(b, _numbers(a))
    if not _same_base(a, b):
        return None
    if (a.function, b.function) in (
        ("exp", "sum_exp"),
        ("exp_relative", "sum_exp_relative"),
    ):
        if b.function == "sum_exp_relative" and not _same_groups(a, b):
            return None
        if not _belongs(a, b) or np.any(a.shift) or np.any(b.shift) or not np.all(b.scale):
            return None
        return replace(
            a,
            function="softmax",
            scale=a.scale / b.scale,
            groups=b.groups,
            reason=SOFTMAX_INSIDE,
        )
    if (a.function, b.function) != ("exp", "exp") or not np.array_equal(a.place, b.place):
        return None
    if not np.all(b.scale):
        return None
    # (a1 e + b1) / (a2 e + b2) = a1/a2 + (b1 - a1 b2 / a2) / (a2 e + b2)
    ratio = a.scale / b.scale
    rest = a.shift - ratio * b.shift
    result = _reciprocal(b, rest)
    return None if result is None else _unless_constant(replace(result, shift=result.shift + ratio))


def _reciprocal(value: Linked, numerator: np.ndarray) -> Any:
    """Return ``numerator / value`` for a value ``a exp(x) + b`` with a > 0 and b >= 0."""
    if value.function != "exp" or not np.all(value.scale > 0.0):
        return None
    if not np.any(value.shift):
        return _link(-value.argument(), "exp", value.reason, scale=numerator / value.scale)
    if not np.all(value.shift > 0.0):
        return None
    # 1 / (a exp(x) + b) = sigmoid(-(x + log(a / b))) / b
    eta = value.argument()
    if not np.all(value.scale == value.shift):
        eta = eta + np.log(value.scale / value.shift)
    result = _link(-eta, "sigmoid", value.reason, scale=numerator / value.shift)
    return replace(result, node=value.node, operation=value.operation)


def _negative(a: Linked) -> Linked:
    return replace(a, scale=-a.scale, shift=-a.shift)


UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.negative: _negative,
    np.positive: lambda a: a,
}


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Linked:
    first = arrays[0]
    if not all(
        isinstance(part, Linked)
        and part.function == first.function
        and part.base.tape is first.base.tape
        for part in arrays
    ):
        raise UsedLink()
    if any((part.groups is None) != (first.groups is None) for part in arrays) or (
        first.function not in SINGLE and first.function not in ("softmax", "log_softmax")
    ):
        raise UsedLink()

    def joined(get: Callable[[Linked], np.ndarray]) -> np.ndarray:
        return np.concatenate([np.broadcast_to(get(p), p.shape) for p in arrays], axis=axis)

    scale, shift = joined(lambda p: p.scale), joined(lambda p: p.shift)
    if all(_same_base(part, first) for part in arrays) and (
        first.groups is None or all(_same_groups(part, first) for part in arrays)
    ):
        return replace(first, place=joined(lambda p: p.place), scale=scale, shift=shift)
    apart, groups = _numbered_apart(arrays), None
    if all(np.array_equal(np.sort(p.place, axis=None), np.arange(p.base.size)) for p in arrays):
        # Each is whole: the arguments can be joined as the values are, row by row.
        base = np.concatenate([part.argument() for part in arrays], axis=axis)
        if apart is not None:
            own = [groups[p.place] for groups, p in zip(apart, arrays, strict=True)]
            groups = np.concatenate(own, axis=axis)
        place = np.arange(base.size).reshape(base.shape)
        return replace(first, base=base, place=place, scale=scale, shift=shift, groups=groups)
    # Several bases become one, with the arguments one behind the other.
    bases = [part.base.reshape((part.base.size,)) for part in arrays]
    starts = np.cumsum([0, *(base.size for base in bases)])
    place = np.concatenate(
        [part.place + start for part, start in zip(arrays, starts[:-1], strict=True)], axis=axis
    )
    if apart is not None:
        groups = np.concatenate(apart)
    return replace(
        first, base=np.concatenate(bases), place=place, scale=scale, shift=shift, groups=groups
    )


def _numbered_apart(arrays: Sequence[Linked]) -> list[np.ndarray] | None:
    """Return the groups of each value's flat base, no number used twice; None without groups."""
    found, start = [], 0
    for part in arrays:
        if part.groups is None:
            return None
        found.append(part.groups.reshape(-1) + start)
        start += int(part.groups.max()) + 1
    return found


def total(
    a: Linked, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    """Sum exponentials into a softmax's denominator, or probabilities that sum to one."""
    axes = tuple(range(a.ndim)) if axis is None else tuple(int(i) for i in np.atleast_1d(axis))
    first = _first(a.place, axes)
    summed: Any
    if sums_to_one(a, axes):
        summed = np.ones(first.shape)
    elif a.function in (*SINGLE, "softmax") and a.size and np.all(a.place == first):
        scale, shift = (
            np.sum(np.broadcast_to(part, a.shape), axis=axes, keepdims=True)
            for part in (a.scale, a.shift)
        )
        summed = _unless_constant(replace(a, place=first, scale=scale, shift=shift))
    else:
        return _reduced(_exponentials(a, axes), axes, keepdims)
    return summed if keepdims else np.squeeze(summed, axis=axes)


def _first(array: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return the first element along `axes`, which are kept."""
    gone = {axis % array.ndim for axis in axes}
    return array[tuple(slice(0, 1) if i in gone else slice(None) for i in range(array.ndim))]


def _unless_constant(a: Linked) -> Any:
    """Return the value, or the constant that it is if it does not depend on its argument."""
    return a if np.any(a.scale) else np.array(np.broadcast_to(a.shift, a.shape))


def _exponentials(a: Linked, axes: tuple[int, ...]) -> Linked:
    if a.function not in ("exp", "exp_relative") or not a.plain():
        raise UsedLink()
    if np.unique(a.place).size != a.base.size or a.place.size != a.base.size:
        raise UsedLink()
    groups = np.empty(a.base.size, dtype=np.intp)
    groups[a.place.reshape(-1)] = _grouped(a.shape, axes).reshape(-1)
    groups = groups.reshape(a.base.shape)
    if a.groups is not None and not np.array_equal(groups, a.groups):
        # Numbering may differ; what counts is who is with whom.
        raise UsedLink()
    return replace(a, function="sum_" + a.function, groups=groups)


def _reduced(a: Linked, axes: tuple[int, ...], keepdims: bool) -> Linked:
    """Return one value for each group, of the shape that a reduction over the axes has."""
    assert a.groups is not None
    group = a.groups.reshape(-1)[a.place] if a.function in _PER_GROUP else a.place
    place = _first(group, axes)
    if not keepdims:
        place = np.squeeze(place, axis=axes)
    return replace(a, place=place, scale=np.ones(()), shift=np.zeros(()))


_PER_GROUP = frozenset(
    {"max", "sum_exp", "sum_exp_relative", "log_sum_exp", "log_sum_exp_relative"}
)


def _grouped(shape: tuple[int, ...], axes: Sequence[int]) -> np.ndarray:
    """Return the number of each element's group, where groups run along `axes`."""
    gone = {axis % len(shape) for axis in axes}
    kept = tuple(1 if axis in gone else size for axis, size in enumerate(shape))
    return np.array(np.broadcast_to(np.arange(int(np.prod(kept))).reshape(kept), shape))


def sums_to_one(value: Any, axes: Sequence[int]) -> bool:
    """Tell whether the elements along `axes` are probabilities that provably sum to one."""
    if not isinstance(value, Linked) or not value.size:
        return False
    gone = {axis % value.ndim for axis in axes}
    order = [i for i in range(value.ndim) if i not in gone] + sorted(gone)
    width = int(np.prod([value.shape[i] for i in gone]))
    place = np.transpose(value.place, order).reshape(-1, width)
    if value.function == "softmax" and value.groups is not None and value.plain():
        group = value.groups.reshape(-1)
        members = group[place]
        return bool(
            np.all(members == members[:, :1])
            and np.all(np.bincount(group)[members[:, 0]] == width)
            and all(np.unique(row).size == width for row in place)
        )
    if (
        value.function in ("sigmoid", "normal_cdf")
        and width == 2
        and value.plain()
        and not np.any(place[:, 0] == place[:, 1])
    ):
        # f(x) + f(-x) = 1
        one = replace(value, scale=np.ones(()), shift=np.zeros(()))
        first, second = (replace(one, place=place[:, i]).argument() for i in (0, 1))
        return opposite(first, second)
    if value.function in SINGLE and width == 2 and np.all(place[:, 0] == place[:, 1]):
        scale, shift = (
            np.transpose(np.broadcast_to(a, value.shape), order).reshape(-1, width).sum(axis=1)
            for a in (value.scale, value.shift)
        )
        return bool(np.all(scale == 0.0) and np.all(shift == 1.0))
    return False


def absolute(x: Any) -> Any:
    """Return the absolute value: of what cannot be negative, the value itself."""
    if within(x, 0.0):
        return x
    if isinstance(x, Linked):
        raise UsedLink()
    if isinstance(x, Affine):
        raise NotAffine(FUNCTION)
    return np.abs(x)


def within(x: Any, low: Any = -np.inf, high: Any = np.inf) -> bool:
    """Tell whether a linked value provably lies between bounds, where a function does not bend."""
    if not isinstance(x, Linked):
        return False
    if x.function in ("sigmoid", "normal_cdf", "softmax", "gompertz"):
        top = np.ones(())
    elif x.function == "exp":
        top = np.array(np.inf)
    else:
        return False
    # Between the value at 0 and at the top; 0 times infinity is 0 here.
    ends = x.shift, np.where(x.scale == 0.0, x.shift, x.shift + x.scale * top)
    return bool(np.all(np.minimum(*ends) >= low) and np.all(np.maximum(*ends) <= high))


def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``; of a traced value, the value behind a logit link."""
    if isinstance(x, Affine):
        return _link(x, "sigmoid", SIGMOID_INSIDE)
    if isinstance(x, Linked):
        raise UsedLink()
    return links.expit(x)


def tanh(x: Any) -> Any:
    """Return tanh(x) = 2 sigmoid(2 x) - 1."""
    if isinstance(x, Affine):
        return _link(x * 2.0, "sigmoid", ACTIVATION, scale=2.0, shift=-1.0)
    if isinstance(x, Linked):
        raise UsedLink()
    return np.tanh(x)


def erf(x: Any) -> Any:
    """Return erf(x) = 2 Phi(sqrt(2) x) - 1."""
    if isinstance(x, Affine):
        return _link(x * np.sqrt(2.0), "normal_cdf", FUNCTION, scale=2.0, shift=-1.0)
    if isinstance(x, Linked):
        raise UsedLink()
    from scipy.special import erf as numeric

    return numeric(x)


def normal_cdf(x: Any) -> Any:
    """Return the standard normal distribution function; traced, a value behind probit."""
    if isinstance(x, Affine):
        return _link(x, "normal_cdf", FUNCTION)
    if isinstance(x, Linked):
        raise UsedLink()
    return links.normal_cdf(x)


def exp(x: Any) -> Any:
    """Return exp(x); of a traced value, the value behind a log link, or a softmax's part."""
    if isinstance(x, Affine):
        return _link(x, "exp", EXP_INSIDE)
    if not isinstance(x, Linked):
        return np.exp(x)
    if x.function in ("log_softmax", "relative") and x.plain():
        if x.function == "relative":
            return replace(x, function="exp_relative", reason=EXP_INSIDE)
        return replace(x, function="softmax", reason=SOFTMAX_INSIDE)
    if x.function == "exp" and np.all(x.scale < 0.0):
        eta = x.argument()
        if not np.all(x.scale == -1.0):
            eta = eta + np.log(-x.scale)
        inner = _link(eta, "gompertz", x.reason, scale=np.exp(x.shift))
        return replace(inner, node=x.node, operation=x.operation)
    raise UsedLink()


def log(x: Any) -> Any:
    """Return log(x), which undoes an exponential."""
    if not isinstance(x, (Affine, Linked)):
        return np.log(x)
    if isinstance(x, Affine):
        raise NotAffine(FUNCTION)
    if x.function == "exp" and np.all(x.scale > 0.0) and not np.any(x.shift):
        eta = x.argument()
        return eta if np.all(x.scale == 1.0) else eta + np.log(x.scale)
    if x.plain():
        if x.function in ("sum_exp", "sum_exp_relative"):
            return replace(x, function="log_" + x.function)
        if x.function == "softmax":
            return replace(x, function="log_softmax", reason=LOG_SOFTMAX)
    raise UsedLink()


def softmax(x: Any, axes: Sequence[int]) -> Any:
    """Return exp(x) / sum(exp(x)) over groups along `axes`; traced, behind a softmax link."""
    if isinstance(x, Linked):
        raise UsedLink()
    if isinstance(x, Affine):
        return _link(x, "softmax", SOFTMAX_INSIDE, groups=_grouped(x.shape, axes))
    return links.softmax(x, axes)


def log_softmax(x: Any, axes: Sequence[int]) -> Any:
    """Return log(softmax(x)) over groups along `axes`."""
    if isinstance(x, Linked):
        raise UsedLink()
    if isinstance(x, Affine):
        return _link(x, "log_softmax", LOG_SOFTMAX, groups=_grouped(x.shape, axes))
    shifted = x - np.max(x, axis=tuple(axes), keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=tuple(axes), keepdims=True))


def log_sum_exp(x: Any, axes: Sequence[int], keepdims: bool) -> Any:
    """Return log(sum(exp(x))) over groups along `axes`."""
    if isinstance(x, Linked):
        raise UsedLink()
    if isinstance(x, Affine):
        whole = _link(x, "log_sum_exp", FUNCTION, groups=_grouped(x.shape, axes))
        return _reduced(whole, tuple(axes), keepdims)
    largest = np.max(x, axis=tuple(axes), keepdims=True)
    total = np.log(np.sum(np.exp(x - largest), axis=tuple(axes), keepdims=True)) + largest
    return total if keepdims else np.squeeze(total, axis=tuple(axes))


def maximum_along(x: Affine, axes: Sequence[int], keepdims: bool) -> Linked:
    """Return the largest value of each group along `axes`: good for a softmax to subtract."""
    whole = _link(x, "max", CHOICE, groups=_grouped(x.shape, axes))
    return _reduced(whole, tuple(axes), keepdims)
