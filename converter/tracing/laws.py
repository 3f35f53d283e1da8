"""How constants that depend on the number of rows go on for any number of them.

Traces of two and of three rows show a number at two places only. Numbers read off a shape are
affine in the number of rows n, and a constant that was shaped with them is the same for each row.
Whether an operation on such constants keeps that up is found by computing it for other n as well:

- for the smallest, where the remainders of divisions and the lowest bits of numbers show;
- far off, where limits, higher bits and powers show, and wherever an operand reaches zero or
  meets another, where comparisons show;
- of constants with elements for each row, for more rows than any table has elements along an
  axis, where a table ends.

Between these places no elementwise operation, reduction or arrangement of elements that a rule
may compute has room to leave its course and come back to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import ModelFileError, NotAffine
from converter.tracing.sizes import SizeDependent

_NEAR = (1, 4, 5, 6, 7, 8)
_FAR = 1 << 30
# Numbers up to this many are remembered of a trace: those of shapes are few.
_FEW = 64
# A constant with elements for each row is computed up to this size.
_LARGEST = 1 << 22

_FAILURES = (
    *(NotAffine, ModelFileError, ValueError, IndexError, TypeError, OverflowError),
    *(MemoryError, AttributeError, ZeroDivisionError),
)

_Call = Callable[[list[Any]], Sequence[Any]]


class _Lawless(Exception):
    """A constant whose course is not known."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the trace of another number of rows showed of a constant."""

    shape: tuple[int, ...]
    value: np.ndarray | None

    @classmethod
    def of(cls, operand: Any) -> Seen | None:
        """Return what has to be remembered of an operand."""
        value = operand.value if isinstance(operand, SizeDependent) else operand
        if not isinstance(value, np.ndarray):
            return None
        return cls(value.shape, value if value.size <= _FEW else None)


@dataclass(frozen=True, slots=True)
class Course:
    """The operands of one operation for any number of rows.

    Parameters
    ----------
    operands : list
        Of the trace of `rows` rows: ndarray, SizeDependent or None.
    seen : list of Seen or None
        What the trace of `before` rows showed of them.
    rows, before : int
    reads_shape : bool
        Nothing but the shape of the operands matters.
    """

    operands: list[Any]
    seen: Sequence[Seen | None]
    rows: int
    before: int
    reads_shape: bool = False

    def results(self, call: _Call, results: Sequence[Any]) -> list[Any]:
        """Say how the results for `rows` rows depend on their number."""
        try:
            return self._judged(call, results)
        except (_Lawless, *_FAILURES):
            return [lawless(result) for result in results]

    def _judged(self, call: _Call, results: Sequence[Any]) -> list[Any]:
        earlier = call(self.at(self.before))
        if len(earlier) != len(results):
            raise _Lawless
        pairs = list(zip(earlier, results, strict=True))
        samples = [(n, call(self.at(n))) for n in self._places(pairs)]
        samples.insert(0, (self.before, earlier))
        return [
            self._judge(result, [(n, values[i]) for n, values in samples])
            for i, result in enumerate(results)
        ]

    def at(self, n: int) -> list[Any]:
        """Return the operands for `n` rows."""
        return [self._at(*pair, n) for pair in zip(self.operands, self.seen, strict=True)]

    def _at(self, operand: Any, seen: Seen | None, n: int) -> Any:
        if not isinstance(operand, SizeDependent):
            return operand
        if seen is None:
            raise _Lawless
        if operand.shaped:
            shape = self._shape(operand.value.shape, seen.shape, n)
            if self.reads_shape:
                return np.broadcast_to(operand.value.dtype.type(0), shape)
            if operand.mask.any() or not operand.lawful:
                raise _Lawless
            axis = _axis(operand.value.shape, seen.shape)
            return np.broadcast_to(_first(operand.value, axis), shape)
        if not operand.lawful or seen.value is None:
            raise _Lawless
        return _extended(seen.value, operand.value, self.before, self.rows, n)

    def _shape(self, now: tuple[int, ...], before: tuple[int, ...], n: int) -> tuple[int, ...]:
        axis = _axis(now, before)
        each = now[axis] // self.rows
        if each * self.rows != now[axis] or each * self.before != before[axis]:
            raise _Lawless
        shape = (*now[:axis], each * n, *now[axis + 1 :])
        if math.prod(shape) > _LARGEST and math.prod(shape) > math.prod(now):
            raise _Lawless
        return shape

    def _places(self, pairs: list[tuple[Any, Any]]) -> list[int]:
        """Return the numbers of rows for which the operation is computed."""
        shaped = any(isinstance(o, SizeDependent) and o.shaped for o in self.operands)
        if shaped or any(np.shape(a) != np.shape(b) for a, b in pairs):
            lengths = [1]
            for o in self.operands:
                value = o.value if isinstance(o, SizeDependent) else o
                lengths += [length for length in np.shape(value) if value is not None]
            beyond = 2 + max(lengths)
            for _, result in pairs:
                if np.size(result) // self.rows * beyond > _LARGEST:
                    raise _Lawless
            return [*_NEAR, beyond]
        moving = [
            _line(seen.value, o.value, self.before, self.rows)
            for o, seen in zip(self.operands, self.seen, strict=True)
            if isinstance(o, SizeDependent) and seen is not None and seen.value is not None
        ]
        moving += [_line(a, b, self.before, self.rows) for a, b in pairs if _is_number(b)]
        steepest = max((float(abs(slope).max(initial=0)) for _, slope in moving), default=0.0)
        reach = int(_FAR / max(1.0, steepest))
        far = {reach, reach - 1, (1 << (reach.bit_length() - 1)) - 1}
        return sorted({n for n in (*_NEAR, *far, *self._meetings()) if 1 <= n <= max(reach, 8)})

    def _meetings(self) -> set[int]:
        """Return where an operand's number reaches zero, or another's, and what lies around it."""
        starts, slopes = [np.zeros(1)], [np.zeros(1)]
        for o, seen in zip(self.operands, self.seen, strict=True):
            value = o.value if isinstance(o, SizeDependent) else o
            if value is None or not _is_number(value):
                continue
            if value.size > _FEW:
                raise _Lawless
            earlier = seen.value if isinstance(o, SizeDependent) and seen is not None else value
            if earlier is None:
                raise _Lawless
            start, slope = _line(earlier, value, self.before, self.rows)
            starts.append(start.ravel())
            slopes.append(slope.ravel())
        start, slope = np.concatenate(starts), np.concatenate(slopes)
        with np.errstate(all="ignore"):
            places = (start[:, None] - start) / (slope - slope[:, None])
        places = np.unique(places[np.isfinite(places) & (places > 0) & (places < _FAR)])
        if len(places) > 8 * _FEW:
            raise _Lawless
        return {int(place) + step for place in places for step in (-1, 0, 1, 2)}

    def _judge(self, result: Any, samples: list[tuple[int, Any]]) -> Any:
        if not isinstance(result, np.ndarray):
            raise _Lawless
        if all(np.shape(value) == result.shape for _, value in samples):
            differs = np.zeros(result.shape, dtype=bool)
            for _, value in samples:
                differs |= np.not_equal(value, result)
            if not differs.any():
                return result
            earlier = samples[0][1]
            lawful = _is_number(result) and all(
                _agree(value, _extended(earlier, result, self.before, self.rows, n))
                for n, value in samples
            )
            return SizeDependent(result, differs, False, lawful)
        axis = _axis(result.shape, np.shape(samples[0][1]))
        one = _first(result, axis)
        for n, value in [*samples, (self.rows, result)]:
            if np.shape(value) != self._shape(result.shape, np.shape(samples[0][1]), n):
                raise _Lawless
            if not np.array_equal(value, np.broadcast_to(one, np.shape(value))):
                raise _Lawless
        return SizeDependent(result, np.zeros(result.shape, dtype=bool), True)


def lawless(result: Any) -> Any:
    """Return a constant of which nothing is known for other numbers of rows."""
    shape = np.shape(result)
    return SizeDependent(result, np.ones(shape, dtype=bool), True, False)


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf"


def _axis(now: tuple[int, ...], before: tuple[int, ...]) -> int:
    """Return the one axis whose size differs."""
    if len(now) != len(before):
        raise _Lawless
    differing = [i for i, (a, b) in enumerate(zip(now, before, strict=True)) if a != b]
    if len(differing) != 1:
        raise _Lawless
    return differing[0]


def _first(value: np.ndarray, axis: int) -> np.ndarray:
    return value[(slice(None),) * axis + (slice(0, 1),)]


def _line(
    earlier: np.ndarray, value: np.ndarray, before: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers at no rows at all, and by how much they grow with each."""
    now, then = np.asarray(value, dtype=np.float64), np.asarray(earlier, dtype=np.float64)
    slope = (now - then) / (rows - before)
    return now - slope * rows, slope


def _extended(earlier: np.ndarray, value: np.ndarray, before: int, rows: int, n: int) -> np.ndarray:
    """Return affine numbers for `n` rows, in their own type."""
    start, slope = _line(earlier, value, before, rows)
    exact = start + slope * n  # whole numbers far below 2**53
    if value.dtype.kind == "f":
        return exact.astype(value.dtype)
    limits = np.iinfo(value.dtype)
    if np.any(exact < limits.min) or np.any(exact > limits.max) or np.any(exact != np.rint(exact)):
        raise _Lawless
    return exact.astype(value.dtype)


def _agree(value: Any, foretold: np.ndarray) -> bool:
    if foretold.dtype.kind == "f":
        return bool(np.allclose(value, foretold, rtol=1e-6, atol=0.0))
    return np.array_equal(value, foretold)
