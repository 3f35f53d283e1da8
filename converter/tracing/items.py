"""Sequences of values, as ONNX's sequence operators pass them about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# A loop that appends copies its sequence each time.
MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A sequence whose elements are values of any kind."""

    values: tuple[Any, ...]


def flatten(operands: Iterable[Any]) -> list[Any]:
    """Return the operands with each sequence replaced by its elements."""
    flat: list[Any] = []
    for operand in operands:
        if isinstance(operand, Items):
            flat.extend(operand.values)
        else:
            flat.append(operand)
    return flat
