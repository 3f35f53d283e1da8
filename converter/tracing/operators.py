"""Python's operators on traced values, which are numpy's functions."""

from __future__ import annotations

from typing import Any

import numpy as np

# numpy's stubs do not know values that bring rules of their own.
_NUMPY: Any = np


class Operators:
    """Arithmetic by way of numpy, so that each operation has one rule."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return _NUMPY.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return _NUMPY.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _NUMPY.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return _NUMPY.multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return _NUMPY.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _NUMPY.divide(other, self)

    def __matmul__(self, other: Any) -> Any:
        return _NUMPY.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _NUMPY.matmul(other, self)

    def __neg__(self) -> Any:
        return _NUMPY.negative(self)
