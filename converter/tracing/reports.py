"""What nodes report of sizes, so that a run with another number of rows can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics import Rule
from converter.tracing.affine import Tape
from converter.tracing.sizes import SizeDependent

# A node's place in the network; inside a body, behind the place of the node around it and the
# number of the run.
Place = tuple[int, ...]

# What nodes reported of sizes: the shape that one read, the sizes of axes that one cut at a given
# length beyond their end, the constants that one computed with.
SizeLog = dict[tuple[str, Place], Any]


@dataclass(slots=True)
class SizeReport:
    """One node's sizes, in this run and in the one with another number of rows.

    Parameters
    ----------
    tape : Tape
    place : tuple of int
        The node's.
    log, other : dict
        See `converter.tracing.interpreter.trace`.
    """

    tape: Tape
    place: Place
    log: SizeLog
    other: SizeLog | None

    def check_operands(self, rule: Rule, operands: Sequence[Any]) -> None:
        """Refuse numbers that depend on how many rows there are, but for sizes in proportion."""
        for p, o in enumerate(operands):
            if not isinstance(o, SizeDependent) or not o.mask.any() or self.other is None:
                continue
            if p not in rule.shape_operands:
                raise NotAffine("its numbers depend on how many rows there are", rows=True)
            rows = int(self.other["rows", ()])
            seen = self.other.get(("law", (*self.place, p)))
            lawful = o.lawful and seen is not None and np.shape(seen) == o.value.shape
            if lawful:
                mine, theirs = (np.asarray(a)[o.mask].astype(np.int64) for a in (o.value, seen))
                lawful = not np.any(mine <= 0) and np.array_equal(
                    mine * rows, theirs * self.tape.rows
                )
            if not lawful:
                raise NotAffine("has a size that is no multiple of the number of rows", rows=True)

    def read_off(self, numbers: np.ndarray) -> Any:
        """Say which numbers, read off a traced value's shape, depend on the number of rows."""
        self.log["shape", self.place] = numbers
        if self.other is None:
            return numbers
        seen = self.other.get(("shape", self.place))
        if seen is None or seen.shape != numbers.shape:
            return SizeDependent(numbers, np.ones(numbers.shape, dtype=bool), True)
        differs = np.not_equal(numbers, seen)
        return SizeDependent(numbers, differs) if differs.any() else numbers

    def sized(self, place: int, result: Any) -> Any:
        """Mark a constant that came of traced values if it has one element for each row."""
        if not isinstance(result, np.ndarray) or not self.tape.rows:
            return result
        key = ("sized", (*self.place, place))
        self.log[key] = np.array(result.shape)
        if self.other is None:
            return result
        if np.array_equal(self.other.get(key, np.array(-1)), result.shape):
            return result
        return SizeDependent(result, np.zeros(result.shape, dtype=bool), True)

    def fixed(self, size: int, reason: str) -> None:
        """Refuse a size that differs in the run with another number of rows."""
        self.log["size", self.place] = np.array(size)
        if self.other is not None and self.other.get(("size", self.place)) != size:
            raise NotAffine(reason, rows=True)

    def check_cut(self) -> None:
        """Refuse to cut the rows at a given number, which two and three rows do not reach."""
        sizes = np.array(self.tape.cut)
        self.tape.cut.clear()
        self.log["cut", self.place] = sizes
        if self.other is not None and not np.array_equal(
            sizes, self.other.get(("cut", self.place), ())
        ):
            raise NotAffine("takes a fixed number of rows", rows=True)
