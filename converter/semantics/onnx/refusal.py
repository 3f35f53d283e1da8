"""Refusing a use of traced operands, for a whole operator or for one of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from converter.errors import NOT_FINITE, NotAffine, NotFinite
from converter.tracing.affine import Affine
from converter.tracing.linked import Linked, UsedLink


def traced(*values: Any) -> bool:
    """Tell whether a value depends on the input."""
    return any(isinstance(value, (Affine, Linked)) for value in values)


def refuse(reason: str, *values: Any, shape: tuple[int, ...] | None = None) -> None:
    """Refuse traced operands.

    Raises
    ------
    NotAffine
        With the reason, and the shape of the result where that is known.
    """
    if any(isinstance(value, Linked) for value in values):
        raise UsedLink()
    if traced(*values):
        raise NotAffine(reason, shape=shape)


def attempt(function: Callable[[], Any], shape: Sequence[int]) -> Any:
    """Return one output of several, or its refusal, which leaves the others as they are.

    Parameters
    ----------
    function : callable
        Computes the output.
    shape : sequence of int
        The shape that it would have.
    """
    try:
        return function()
    except UsedLink:
        raise  # not the operator, but the link before it, is at fault
    except NotAffine as refused:
        return NotAffine(refused.reason, operation=refused.operation, shape=tuple(shape))
    except NotFinite:
        return NotAffine(NOT_FINITE, shape=tuple(shape))
