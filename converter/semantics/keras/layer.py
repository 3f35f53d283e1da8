"""The record that describes a Keras layer in the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Layer:
    """A built-in layer.

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
    """

    function: Callable[..., Any] | None
    refusal: str = ""
    keeps_shape: bool = False
    inert: frozenset[str] = frozenset()
