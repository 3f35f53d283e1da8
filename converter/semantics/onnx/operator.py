"""The record that describes an ONNX operator in the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator in all its versions.

    Parameters
    ----------
    versions : mapping of int to callable or None
        The opset that introduced each form, and its meaning; None where the operator is refused
        on any value that depends on the input (on constants onnx's reference is asked).
    refusal : str
        Why the operator is refused on a value that depends on the input; empty if it need not be.
    moves, shape_operands, reads_shape, keeps_shape, infinite, labels, handles
        See `converter.semantics.Rule`.
    inert : frozenset of str
        Attributes that exist and have no effect on inference.
    random : bool
        The operator is not a function of its operands, constant or not.
    accepts, refuses : str
        When it is accepted and refused on values that depend on the input, for the table in the
        documentation; by default what follows from the rest.
    """

    versions: Mapping[int, Callable[..., Any] | None]
    refusal: str = ""
    moves: bool = False
    shape_operands: frozenset[int] = frozenset()
    reads_shape: bool = False
    keeps_shape: bool = False
    inert: frozenset[str] = frozenset()
    infinite: frozenset[int] = frozenset()
    labels: bool = False
    handles: Literal["numbers", "values", "graphs"] = "numbers"
    random: bool = False
    accepts: str = ""
    refuses: str = ""
