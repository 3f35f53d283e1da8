"""Values behind a known inverse link, however the file spells it.

Every element of a `Linked` is ``scale * f(argument) + shift``, where f is a known function of
one affine value (or of a group of them, as in a softmax) and scale and shift are constants. The
algebra below follows such a value through the spellings in use, ``1 / (1 + exp(-x))``,
``0.5 * (1 + tanh(x / 2))``, ``exp(x - max(x)) / sum(exp(x - max(x)))`` ..., by identities
alone. What it turned out to be is asked at the end: `Linked.resolve`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter import links
from converter.errors import NotAffine
from converter.tracing.affine import Affine, movement
from converter.tracing.opposite import opposite
from converter.tracing.primitives import finite

SIGMOID_INSIDE = (
    "a sigmoid whose result is used further; only a sigmoid at the very end is a logistic "
    "regression"
)
_SOFTMAX_INSIDE = (
    "a softmax whose result is used further; only at the very end is it a multinomial regression"
)
_EXP_INSIDE = "an exponential whose result is used further; only at the very end is it a log link"
_LOG_SOFTMAX = (
    "a log-softmax; add an Exp behind it and the network is a multinomial logistic regression"
)
ACTIVATION = "a non-linear activation of a value that depends on the input"
FUNCTION = "a non-linear function of a value that depends on the input"
CHOICE = "chooses among values that depend on the input"

# Functions of one argument. `gompertz` is exp(-exp(x)).
_SINGLE = frozenset({"exp", "sigmoid", "normal_cdf", "gompertz"})
# Functions of a group of arguments, one value for each member: `relative` is the argument less
# some number that its group shares (its maximum, say), `exp_relative` the exponential of that.
# One value for each group: `max`, `sum_exp`, `sum_exp_relative` and the logarithms of the latter.


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """An array of known functions of affine values.

    Parameters
    ----------
    base : Affine
        The arguments.
    function : str
        See above.
    place : ndarray of int
        For each element of the value, its argument's place in the flattened `base`; for
        functions with one value a group, the group's number.
    scale, shift : ndarray of float64
        Of the value's shape, or without axes.
    reason : str
        Why the value is not affine, if it should turn out not to be a link.
    groups : ndarray of int, optional
        The group of each element of `base`.
    node, operation : str
        Where the file applies it; filled in by the interpreter.
    """

    base: Affine
    function: str
    place: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    reason: str
    groups: np.ndarray | None = None
    node: str = ""
    operation: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.place.shape

    @property
    def ndim(self) -> int:
        return self.place.ndim

    @property
    def size(self) -> int:
        return self.place.size

    @property
    def T(self) -> Linked:  # noqa: N802 (numpy's name)
        return self.moved(np.transpose)

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, key: Any) -> Linked:
        return self.moved(lambda array: array[key])

    def reshape(self, *shape: Any) -> Linked:
        return self.moved(np.reshape, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Linked:
        return self.moved(np.transpose, axes[0] if len(axes) == 1 else (axes or None))

    def moved(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Linked:
        """Apply a numpy function that only moves, repeats or drops elements."""

        def move(array: np.ndarray) -> np.ndarray:
            return array if array.ndim == 0 else np.asarray(function(array, *args, **kwargs))

        place = np.asarray(function(self.place, *args, **kwargs))
        if self.place.ndim == 0:
            return replace(self, place=place)
        return replace(self, place=place, scale=move(self.scale), shift=move(self.shift))

    def plain(self) -> bool:
        """Tell whether scale is 1 and shift 0 everywhere."""
        return bool(np.all(self.scale == 1.0) and np.all(self.shift == 0.0))

    def complement(self) -> bool:
        """Tell whether the value is one minus the function, everywhere."""
        return bool(np.all(self.scale == -1.0) and np.all(self.shift == 1.0))

    def argument(self) -> Affine:
        """Return the argument of each element, in the value's shape."""
        if self.place.shape == self.base.shape and np.array_equal(
            self.place.reshape(-1), np.arange(self.base.size)
        ):
            return self.base
        return movement(lambda positions: positions.reshape(-1)[self.place], self.base)

    def resolve(self) -> tuple[str, Affine, np.ndarray | None]:
        """Return the link that the value is behind, the linear predictor, and a softmax's groups.

        Raises
        ------
        NotAffine
            If it is not a known link of an affine value.
        """
        sign = np.asarray(self.scale)
        if self.function in ("sigmoid", "normal_cdf") and np.all(
            np.where(sign == 1.0, self.shift == 0.0, (sign == -1.0) & (self.shift == 1.0))
        ):
            # Both functions have f(-x) = 1 - f(x).
            eta = self.argument() if np.all(sign == 1.0) else self.argument() * sign
            return ("logit" if self.function == "sigmoid" else "probit"), eta, None
        if self.function == "exp" and np.all(sign > 0.0) and np.all(self.shift == 0.0):
            eta = self.argument()
            return "log", eta if np.all(sign == 1.0) else eta + np.log(sign), None
        if self.function == "gompertz" and self.complement():
            return "cloglog", self.argument(), None
        if self.function == "softmax" and self.plain():
            return self._resolve_softmax()
        raise NotAffine(self.reason, node=self.node, operation=self.operation)

    def _resolve_softmax(self) -> tuple[str, Affine, np.ndarray | None]:
        assert self.groups is not None
        member = self.groups.reshape(-1)
        sizes = np.bincount(member)
        mine = member[self.place.reshape(-1)]
        present = np.bincount(mine, minlength=len(sizes))
        if np.unique(self.place).size == self.place.size:
            if np.array_equal(present[mine], sizes[mine]):
                return "softmax", self.argument(), member[self.place]
            if np.all(sizes[mine] == 2) and np.all(present[mine] == 1):
                # One of two: exp(a) / (exp(a) + exp(b)) is the sigmoid of a - b.
                order = np.argsort(member, kind="stable")
                ends = np.cumsum(sizes)
                pair = order[ends[mine] - 1] + order[ends[mine] - 2]
                other = replace(self, place=(pair - self.place.reshape(-1)).reshape(self.shape))
                return "logit", self.argument() - other.argument(), None
        raise NotAffine(
            "a softmax of which some probabilities are missing or repeated; choose all of them",
            node=self.node,
            operation=self.operation,
        )

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise UsedLink()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        rule = _UFUNCS.get(ufunc)
        if method != "__call__" or kwargs or rule is None:
            raise UsedLink()
        result = rule(*args)
        if result is None:
            raise UsedLink()
        return result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.concatenate:
            return _concatenate(*args, **kwargs)
        if func is np.stack:
            axis = kwargs.get("axis", args[1] if len(args) > 1 else 0)
            return _concatenate([np.expand_dims(part, axis) for part in args[0]], axis=axis)
        if func is np.sum:
            return _sum(*args, **kwargs)
        if func in (np.shape, np.ndim, np.size):
            return func(self.place)
        if func is np.split:
            value, *rest = args
            parts = np.split(value.place, *rest, **kwargs)
            return [
                value.moved(lambda a, i=i: np.split(a, *rest, **kwargs)[i])
                for i in range(len(parts))
            ]
        if func not in _MOVEMENTS or args[0] is not self:
            raise UsedLink()
        return self.moved(func, *args[1:], **kwargs)

    def __bool__(self) -> bool:
        raise UsedLink()

    def __add__(self, other: Any) -> Any:
        return np.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return np.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return np.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return np.multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return np.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return np.divide(other, self)

    def __neg__(self) -> Any:
        return np.negative(self)

    def _refuse(self, *others: Any) -> Any:
        raise UsedLink()

    __matmul__ = __rmatmul__ = _refuse


# What may follow a link without changing what the network is: moving the results about.
_MOVEMENTS = frozenset(
    {
        np.broadcast_to,
        np.expand_dims,
        np.flip,
        np.moveaxis,
        np.reshape,
        np.squeeze,
        np.swapaxes,
        np.take,
        np.transpose,
    }
)


class UsedLink(NotAffine):
    """A linked value met an operation that leads to no link: the link is at fault."""

    def __init__(self) -> None:
        super().__init__(FUNCTION)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Labels: a decision (a threshold, an argmax) on a linked or affine value, or made of one.

    Parameters
    ----------
    source : Linked or Affine
        What was decided on.
    shape : tuple of int
    node, operation : str
        Where; filled in by the interpreter.
    """

    source: Linked | Affine
    shape: tuple[int, ...]
    node: str = ""
    operation: str = ""


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
    if base.kind in "uw":
        raise NotAffine("computes with small integers or booleans, which wrap around")
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
            return replace(b, function="log_softmax", place=a.place, reason=_LOG_SOFTMAX)
    if a.function != b.function or not _same_base(a, b) or not np.array_equal(a.place, b.place):
        return None
    if a.function not in _SINGLE and not _same_groups(a, b):
        return None
    scale, shift = a.scale + sign * b.scale, a.shift + sign * b.shift
    if not np.any(scale):
        return np.array(np.broadcast_to(shift, shape))
    return replace(a, scale=scale, shift=shift)


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
            reason=_SOFTMAX_INSIDE,
        )
    if (a.function, b.function) != ("exp", "exp") or not np.array_equal(a.place, b.place):
        return None
    if not np.all(b.scale):
        return None
    # (a1 e + b1) / (a2 e + b2) = a1/a2 + (b1 - a1 b2 / a2) / (a2 e + b2)
    ratio = a.scale / b.scale
    rest = a.shift - ratio * b.shift
    result = _reciprocal(b, rest)
    return None if result is None else replace(result, shift=result.shift + ratio)


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


_UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.negative: _negative,
    np.positive: lambda a: a,
}


def _concatenate(arrays: Sequence[Any], axis: int = 0) -> Linked:
    first = arrays[0]
    if not all(
        isinstance(part, Linked)
        and part.function == first.function
        and part.base.tape is first.base.tape
        for part in arrays
    ):
        raise UsedLink()
    if any((part.groups is None) != (first.groups is None) for part in arrays) or (
        first.function not in _SINGLE and first.function not in ("softmax", "log_softmax")
    ):
        raise UsedLink()

    def joined(get: Callable[[Linked], np.ndarray]) -> np.ndarray:
        return np.concatenate([np.broadcast_to(get(p), p.shape) for p in arrays], axis=axis)

    scale, shift = joined(lambda p: p.scale), joined(lambda p: p.shift)
    if all(_same_base(part, first) for part in arrays) and (
        first.groups is None or all(_same_groups(part, first) for part in arrays)
    ):
        return replace(first, place=joined(lambda p: p.place), scale=scale, shift=shift)
    # Several bases become one, with the arguments one behind the other.
    bases = [part.base.reshape((part.base.size,)) for part in arrays]
    starts = np.cumsum([0, *(base.size for base in bases)])
    place = np.concatenate(
        [part.place + start for part, start in zip(arrays, starts[:-1], strict=True)], axis=axis
    )
    groups = None
    if first.groups is not None:
        counts = np.cumsum([0, *(int(part.groups.max()) + 1 for part in arrays)])
        groups = np.concatenate(
            [p.groups.reshape(-1) + n for p, n in zip(arrays, counts[:-1], strict=True)]
        )
    return replace(
        first, base=np.concatenate(bases), place=place, scale=scale, shift=shift, groups=groups
    )


def _sum(
    a: Linked, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    """Sum exponentials into a softmax's denominator, or probabilities that sum to one."""
    axes = tuple(range(a.ndim)) if axis is None else tuple(int(i) for i in np.atleast_1d(axis))
    if not sums_to_one(a, axes):
        return _reduced(_exponentials(a, axes), axes, keepdims)
    gone = {axis % a.ndim for axis in axes}
    kept = [1 if axis in gone else size for axis, size in enumerate(a.shape)]
    return np.ones(kept if keepdims else _dropped(a.shape, axes))


def _dropped(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    gone = {axis % len(shape) for axis in axes}
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


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
    gone = {axis % a.ndim for axis in axes}
    place = group[tuple(slice(0, 1) if i in gone else slice(None) for i in range(a.ndim))]
    if not keepdims:
        place = place.reshape(_dropped(a.shape, axes))
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
        first, second = (replace(value, place=place[:, i]).argument() for i in (0, 1))
        return opposite(first, second)
    if value.function in _SINGLE and width == 2 and np.all(place[:, 0] == place[:, 1]):
        scale, shift = (
            np.transpose(np.broadcast_to(a, value.shape), order).reshape(-1, width).sum(axis=1)
            for a in (value.scale, value.shift)
        )
        return bool(np.all(scale == 0.0) and np.all(shift == 1.0))
    return False


def absolute(x: Any) -> Any:
    """Return the absolute value: of what cannot be negative, the value itself."""
    if isinstance(x, Linked):
        low = np.minimum(x.shift, x.shift + x.scale)
        if x.function in ("sigmoid", "normal_cdf", "softmax", "gompertz") and np.all(low >= 0.0):
            return x
        if x.function == "exp" and np.all(x.scale >= 0.0) and np.all(x.shift >= 0.0):
            return x
        raise UsedLink()
    if isinstance(x, Affine):
        raise NotAffine(FUNCTION)
    return np.abs(x)


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
        return _link(x, "exp", _EXP_INSIDE)
    if not isinstance(x, Linked):
        return np.exp(x)
    if x.function in ("log_softmax", "relative") and x.plain():
        if x.function == "relative":
            return replace(x, function="exp_relative", reason=_EXP_INSIDE)
        return replace(x, function="softmax", reason=_SOFTMAX_INSIDE)
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
            return replace(x, function="log_softmax", reason=_LOG_SOFTMAX)
    raise UsedLink()


def softmax(x: Any, axes: Sequence[int]) -> Any:
    """Return exp(x) / sum(exp(x)) over groups along `axes`; traced, behind a softmax link."""
    if isinstance(x, Linked):
        raise UsedLink()
    if isinstance(x, Affine):
        return _link(x, "softmax", _SOFTMAX_INSIDE, groups=_grouped(x.shape, axes))
    e = np.exp(x - np.max(x, axis=tuple(axes), keepdims=True))
    return e / np.sum(e, axis=tuple(axes), keepdims=True)


def log_softmax(x: Any, axes: Sequence[int]) -> Any:
    """Return log(softmax(x)) over groups along `axes`."""
    if isinstance(x, Linked):
        raise UsedLink()
    if isinstance(x, Affine):
        return _link(x, "log_softmax", _LOG_SOFTMAX, groups=_grouped(x.shape, axes))
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
