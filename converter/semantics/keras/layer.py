"""The record that describes a Keras layer or operation in the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Layer:
    """A built-in layer or operation.

    Parameters
    ----------
    function : callable or None
        Its meaning at inference; None where it is refused whatever its settings.
    refusal : str
        Why it is refused on a value that depends on the input; empty if it need not be.
    keeps_shape : bool
        For refused layers: the result has the operand's shape.
    inert : frozenset of str
        Configuration keys that have no effect on inference.
    whole : {"cast", "wraps", "kept"}
        What becomes of whole numbers: they are taken for floating point ones, as layers cast
        them; or computed with, where small ones wrap around (unless a floating point operand
        makes them floating point too); or kept, because nothing is computed.
    moves, labels, reads_shape
        See `converter.semantics.Rule`.
    shapes : frozenset of str
        Parameters of the call that give sizes and not numbers.
    accepts : str
        When it is accepted on values that depend on the input, for the documentation.
    """

    function: Callable[..., Any] | None
    refusal: str = ""
    keeps_shape: bool = False
    inert: frozenset[str] = frozenset()
    whole: Literal["cast", "wraps", "kept"] = "cast"
    moves: bool = False
    labels: bool = False
    reads_shape: bool = False
    shapes: frozenset[str] = frozenset()
    accepts: str = ""
