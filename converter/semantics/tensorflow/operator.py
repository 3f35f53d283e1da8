"""The record that describes an operation of TensorFlow's graphs in the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation.

    Parameters
    ----------
    function : callable or None
        Its meaning: inputs are positional, attributes that matter keyword-only, spelled as
        TensorFlow spells them. None where it is refused on whatever it is given.
    refusal : str
        Why it is refused on a value that depends on the input; empty if it need not be.
    keeps_shape, moves, labels, reads_shape, shape_operands,
    infinite, handles, text
        See `converter.semantics.Rule`.
    inert : frozenset of str
        Attributes that say nothing about what is computed, beyond the types of numbers.
    """

    function: Callable[..., Any] | None
    refusal: str = ""
    keeps_shape: bool = False
    moves: bool = False
    labels: bool = False
    reads_shape: bool = False
    shape_operands: frozenset[int] = frozenset()
    infinite: frozenset[int] = frozenset()
    handles: Literal["numbers", "values", "graphs"] = "numbers"
    inert: frozenset[str] = frozenset()
    text: bool = False
