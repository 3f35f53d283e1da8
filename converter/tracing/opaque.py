"""Values about which nothing affine can be said, with the findings that made them so."""

from __future__ import annotations

from dataclasses import dataclass

from converter.errors import Finding
from converter.tracing.affine import Affine


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """The result of a refused operation, or anything computed from one.

    Parameters
    ----------
    findings : tuple of Finding
        What lies on the way from the inputs to here, in the network's order.
    stand_in : Affine or None
        A fresh variable of the same shape. Later operations are tried on it, so that one run
        finds every offending operation and not merely the first. None where the shape of the
        refused result is not known.
    """

    findings: tuple[Finding, ...]
    stand_in: Affine | None
