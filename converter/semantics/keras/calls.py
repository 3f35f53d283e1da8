"""Binding a layer's call to the function that says what the layer means."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from converter.errors import NotAffine, printable
from converter.formats.keras_calls import leaves, map_leaves
from converter.network import Node, Slot
from converter.tracing.affine import Affine
from converter.tracing.linked import Decided, Linked
from converter.tracing.views import held

# Call arguments that say, with these values, what is so without them.
_IDLE: dict[str, tuple[Any, ...]] = {"training": (None, False), "mask": (None,), "name": ()}


@cache
def keywords(function: Callable[..., Any]) -> dict[str, bool]:
    """Return the keyword-only parameters, and whether each is required."""
    return {
        p.name: p.default is p.empty
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }


@cache
def _positional(function: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    """Return the names of the call's parameters, and whether more may follow."""
    parameters = inspect.signature(function).parameters.values()
    names = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    return names, any(p.kind is p.VAR_POSITIONAL for p in parameters)


def bind(
    node: Node,
    function: Callable[..., Any],
    settings: Mapping[str, Any],
    *,
    whole: str = "cast",
    dtype: str = "",
) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Return what a node computes from its operands, its call's arguments bound.

    Parameters
    ----------
    node : Node
    function : callable
    settings : mapping
        Its keyword-only arguments.
    whole : {"cast", "wraps", "kept"}
        See `Layer`.
    dtype : str
        The type in which floating point numbers reach the function; empty for their own.

    Raises
    ------
    NotAffine
        If the call has an argument that the function does not know.
    """
    names, more = _positional(function)
    given: dict[str, Any] = {}
    for key, value in node.keywords.items():
        if key in names:
            given[key] = value
        elif key not in _IDLE or not (key == "name" or value in _IDLE[key]):
            raise NotAffine(
                f"is called with the argument {printable(key)!r}, which is not supported"
            )
    arguments = node.arguments
    if len(arguments) > len(names) and not more:
        raise NotAffine("is called with more arguments than it is known to have")
    count = len(node.outputs)

    def call(operands: list[Any]) -> tuple[Any, ...]:
        kinds = "" if whole == "kept" else "i"
        if whole == "cast" or (kinds and _any_floating(operands, arguments, given)):
            kinds = "iu"

        def filled(leaf: Any) -> Any:
            operand = operands[leaf.place] if isinstance(leaf, Slot) else leaf
            if not isinstance(operand, Affine):
                return operand
            if operand.kind == "f" and dtype:
                return held(operand, dtype)
            return operand.as_float() if operand.kind in kinds else operand

        args, kwargs = map_leaves((arguments, given), filled)
        try:
            result = function(*args, **kwargs, **settings)
        except AttributeError as error:
            # A list, a word or a number stands where a tensor belongs.
            raise ValueError(f"is called with something that is no tensor ({error})") from None
        return results(result, count)

    return call


def operands_of(node: Node, function: Callable[..., Any], names: frozenset[str]) -> frozenset[int]:
    """Return the operands that stand in some arguments of a call."""
    positional, _ = _positional(function)
    given = [value for key, value in node.keywords.items() if key in names]
    given += [value for key, value in zip(positional, node.arguments, strict=False) if key in names]
    return frozenset(leaf.place for leaf in leaves(given) if isinstance(leaf, Slot))


def beside_operands(node: Node) -> tuple[tuple[np.ndarray, ...], bool]:
    """Return the numbers among a call's arguments, and whether a tensor stands before them."""
    given = list(leaves((node.arguments, node.keywords)))
    numbers = [one for one in given if isinstance(one, (bool, int, float, np.ndarray))]
    return tuple(map(np.asarray, numbers)), bool(given) and isinstance(given[0], Slot)


def _any_floating(operands: list[Any], *arguments: Any) -> bool:
    """Tell whether a floating point number is among the operands or the arguments."""
    for one in (*operands, *leaves(arguments)):
        if isinstance(one, Affine):
            if one.kind == "f":
                return True
        elif isinstance(one, float) or getattr(getattr(one, "dtype", None), "kind", "") == "f":
            return True
    return False


def results(result: Any, count: int) -> tuple[Any, ...]:
    """Return the results that are read, of one or several; numbers as arrays."""
    if isinstance(result, (list, tuple)):
        if len(result) < count:
            raise ValueError(f"has {len(result)} results, of which {count} are read")
        return tuple(_value(one) for one in result[:count])
    if count != 1:
        raise ValueError(f"has one result, of which {count} are read")
    return (_value(result),)


def _value(result: Any) -> Any:
    if isinstance(result, (bool, int, float, np.generic)):
        return np.asarray(result)
    if not isinstance(result, (np.ndarray, Affine, Linked, Decided, NotAffine)):
        raise ValueError("returns something that is no tensor")
    return result
