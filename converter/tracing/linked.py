"""Values behind a known inverse link, however the file spells it.

Every element of a `Linked` is ``scale * f(argument) + shift``, where f is a known function of
one affine value (or of a group of them, as in a softmax) and scale and shift are constants. The
algebra below follows such a value through the spellings in use, ``1 / (1 + exp(-x))``,
``0.5 * (1 + tanh(x / 2))``, ``exp(x - max(x)) / sum(exp(x - max(x)))`` ..., by identities
alone. What it turned out to be is asked at the end: `Linked.resolve`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.tracing.affine import Affine, movement
from converter.tracing.operators import Operators
from converter.tracing.views import View

SIGMOID_INSIDE = (
    "a sigmoid whose result is used further; only a sigmoid at the very end is a logistic "
    "regression"
)
SOFTMAX_INSIDE = (
    "a softmax whose result is used further; only at the very end is it a multinomial regression"
)
EXP_INSIDE = "an exponential whose result is used further; only at the very end is it a log link"
LOG_SOFTMAX = (
    "a log-softmax; add an Exp behind it and the network is a multinomial logistic regression"
)
ACTIVATION = "a non-linear activation of a value that depends on the input"
FUNCTION = "a non-linear function of a value that depends on the input"
CHOICE = "chooses among values that depend on the input"

# Functions of one argument. `gompertz` is exp(-exp(x)).
SINGLE = frozenset({"exp", "sigmoid", "normal_cdf", "gompertz"})
# Functions of a group of arguments, one value for each member: `softmax`, `log_softmax`; `relative`
# is the argument less some number that its group shares (its maximum, say), `exp_relative` the
# exponential of that. One value for each group: `max`, `sum_exp`, `sum_exp_relative` and the
# logarithms of the latter.


@dataclass(frozen=True, slots=True, eq=False)
class Linked(Operators):
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

    def __post_init__(self) -> None:
        # Scale and shift are moved about together with the places.
        for name in ("scale", "shift"):
            array = np.asarray(getattr(self, name))
            if array.ndim and array.shape != self.place.shape:
                array = np.broadcast_to(array, self.place.shape)
            object.__setattr__(self, name, array)

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
        place = self.place.reshape(-1)
        own = member[place]
        # What is repeated is as many softmaxes: the first of each element, the second ...
        nth = _occurrence(place)
        _, mine, present = np.unique(
            np.stack([own, nth]), axis=1, return_inverse=True, return_counts=True
        )
        mine = mine.reshape(-1)
        if np.array_equal(present[mine], sizes[own]):
            return "softmax", self.argument(), mine.reshape(self.shape)
        if np.all(sizes[own] == 2):
            # One of two: exp(a) / (exp(a) + exp(b)) is the sigmoid of a - b.
            order = np.argsort(member, kind="stable")
            ends = np.cumsum(sizes)[own]
            pair = order[ends - 1] + order[ends - 2]
            other = replace(self, place=(pair - place).reshape(self.shape))
            return "logit", self.argument() - other.argument(), None
        raise NotAffine(
            "a softmax of which some probabilities are missing, or repeated more often than "
            "others; choose all of them",
            node=self.node,
            operation=self.operation,
        )

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise UsedLink()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        from converter.tracing.algebra import UFUNCS

        rule = UFUNCS.get(ufunc)
        if method != "__call__" or kwargs or rule is None:
            raise UsedLink()
        result = rule(*args)
        if result is None:
            raise UsedLink()
        return result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from converter.tracing.algebra import concatenate, total

        if func is np.concatenate:
            return concatenate(*args, **kwargs)
        if func is np.stack:
            axis = kwargs.get("axis", args[1] if len(args) > 1 else 0)
            return concatenate([np.expand_dims(part, axis) for part in args[0]], axis=axis)
        if func is np.sum:
            return total(*args, **kwargs)
        if func is np.mean:
            summed = total(*args, **kwargs)
            return summed / (self.size // max(1, np.size(summed)))
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


def _occurrence(numbers: np.ndarray) -> np.ndarray:
    """Return how many elements before each one are equal to it, shape (n,)."""
    order = np.argsort(numbers, kind="stable")
    _, first, counts = np.unique(numbers[order], return_index=True, return_counts=True)
    found = np.empty(len(numbers), dtype=np.intp)
    found[order] = np.arange(len(numbers)) - np.repeat(first, counts)
    return found


# What may follow a link without changing what the network is: moving the results about.
_MOVEMENTS = frozenset(
    {
        np.broadcast_to,
        np.expand_dims,
        np.flip,
        np.moveaxis,
        np.repeat,
        np.reshape,
        np.roll,
        np.squeeze,
        np.swapaxes,
        np.take,
        np.tile,
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
    codes : View or None
        What was decided on codes.
    """

    source: Linked | Affine
    shape: tuple[int, ...]
    node: str = ""
    operation: str = ""
    codes: View | None = None
