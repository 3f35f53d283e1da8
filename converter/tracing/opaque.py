"""Values about which nothing affine can be said, with the findings that made them so."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from converter.errors import Finding
from converter.tracing.affine import Affine
from converter.tracing.linked import Decided, Linked

_ORDER = count()


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """The result of a refused operation, or anything computed from one.

    Parameters
    ----------
    own : tuple of Finding
        What was found at this operation.
    parents : tuple of Opaque
        The opaque operands, whose findings lie on the way too. They are referred to and not
        copied: a chain of a thousand refused operations would else cost a million.
    stand_in : Affine, Linked, Decided or None
        A fresh variable of the same shape, or what was computed from one. Later operations are
        tried on it, so that one run finds every offending operation and not merely the first;
        and what reads none of the refused elements is not refused. None where the shape of the
        refused result is not known.
    rows : bool
        The number of rows is at fault, here or on the way.
    serial : int
        Rises in the order in which nodes are run.
    """

    own: tuple[Finding, ...]
    parents: tuple[Opaque, ...]
    stand_in: Affine | Linked | Decided | None
    rows: bool = False
    serial: int = field(default_factory=lambda: next(_ORDER))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found on the way from the inputs to here, in the network's order."""
        reached = sorted(self._reached(), key=lambda value: value.serial)
        return tuple(dict.fromkeys(finding for value in reached for finding in value.own))

    def _reached(self) -> list[Opaque]:
        seen = {id(self)}
        stack = [self]
        reached = []
        while stack:
            value = stack.pop()
            reached.append(value)
            for parent in value.parents:
                if id(parent) not in seen:
                    seen.add(id(parent))
                    stack.append(parent)
        return reached
