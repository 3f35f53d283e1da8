"""Values behind a known inverse link: a sigmoid of an affine value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.tracing.affine import Affine
from converter.tracing.functions import FUNCTIONS

# What may follow a link without changing what the network is: moving the results about.
_SHAPE_ONLY = (
    np.expand_dims,
    np.moveaxis,
    np.reshape,
    np.squeeze,
    np.swapaxes,
    np.transpose,
    np.take,
    np.split,
    np.shape,
    np.ndim,
    np.size,
)

SIGMOID_INSIDE = (
    "a sigmoid whose result is used further; only a sigmoid at the very end is a logistic "
    "regression"
)


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """An inverse link function of an affine value.

    Parameters
    ----------
    inner : Affine
        The linear predictor.
    link : str
        ``logit``: the value is the sigmoid of `inner`.
    node, operation : str
        Where the file applies it; filled in by the interpreter.
    """

    inner: Affine
    link: str
    node: str = ""
    operation: str = ""

    def _with(self, inner: Affine) -> Linked:
        return replace(self, inner=inner)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    @property
    def ndim(self) -> int:
        return self.inner.ndim

    @property
    def size(self) -> int:
        return self.inner.size

    @property
    def T(self) -> Linked:  # noqa: N802 (numpy's name)
        return self._with(self.inner.T)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, key: Any) -> Linked:
        return self._with(self.inner[key])

    def reshape(self, *shape: Any) -> Linked:
        return self._with(self.inner.reshape(*shape))

    def transpose(self, *axes: Any) -> Linked:
        return self._with(self.inner.transpose(*axes))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise NotAffine("needs the numbers of a value that depends on the input")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        raise UsedLink()

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.concatenate:
            parts, *rest = args
            if all(isinstance(part, Linked) and part.link == self.link for part in parts):
                inner = np.concatenate([part.inner for part in parts], *rest, **kwargs)
                return self._with(inner)
        if func not in _SHAPE_ONLY or args[0] is not self:
            raise UsedLink()
        result = FUNCTIONS[func](self.inner, *args[1:], **kwargs)
        if isinstance(result, list):
            return [self._with(part) for part in result]
        return self._with(result) if isinstance(result, Affine) else result

    def _refuse(self, *others: Any) -> Any:
        raise UsedLink()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __bool__ = _refuse


class UsedLink(NotAffine):
    """A linked value met an operation that is not a mere movement: the link is at fault."""

    def __init__(self) -> None:
        super().__init__(SIGMOID_INSIDE)


def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``; of a traced value, the value behind a logit link."""
    if isinstance(x, Affine):
        return Linked(x, "logit")
    if isinstance(x, Linked):
        raise UsedLink()
    x = np.asarray(x)
    if x.dtype != np.longdouble:
        x = x.astype(np.float64)
    # Both branches see only arguments whose exponential cannot overflow.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))
