"""What a saved operation means, as ordinary numpy functions.

A rule's function is written once and serves constants and traced values alike; tables say
which operator, version and attributes lead to which function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from converter.network import Dialect, Node
from converter.semantics.elements import Pointwise, kind_of


@dataclass(frozen=True, slots=True)
class Rule:
    """The meaning of one node, its attributes bound.

    Parameters
    ----------
    call : callable
        Maps the list of operands (ndarray, traced value, or None for an absent one) to the
        sequence of results; a `NotAffine` among them refuses that result alone.
    refusal : str
        If not empty, the operation is refused on any traced operand, for this reason; `call`
        then serves constants only.
    shape_operands : frozenset of int
        Operands that give a shape and not numbers.
    moves : bool
        The operation only moves elements, of whatever type.
    reads_shape : bool
        The result is read off the operand's shape.
    keeps_shape : bool
        The result has the first operand's shape (said where `call` cannot tell).
    infinite : frozenset of int
        Operands that may hold infinite constants (the mask of an attention).
    labels : bool
        Applied to labels (decisions) and constants, the operation makes labels again.
    handles : {"numbers", "values", "graphs"}
        What `call` is given: operands that are all constants or traced; values of every kind,
        which it only passes on; or these and, as a second argument, a function that runs a
        graph on a list of values.
    costly : bool
        Not to be called merely to learn the shapes of results.
    pointwise, beside
        See `converter.semantics.elements`.
    text : bool
        Operands may be constants that hold text.
    """

    call: Callable[..., Sequence[Any]]
    refusal: str = ""
    shape_operands: frozenset[int] = frozenset()
    moves: bool = False
    reads_shape: bool = False
    keeps_shape: bool = False
    infinite: frozenset[int] = frozenset()
    labels: bool = False
    handles: Literal["numbers", "values", "graphs"] = "numbers"
    costly: bool = False
    pointwise: Pointwise = ""
    text: bool = False
    beside: tuple[np.ndarray, ...] = ()


def rule_for(node: Node, dialect: Dialect) -> Rule:
    """Return the meaning of a node.

    Raises
    ------
    NotAffine
        If the operation, an attribute or a setting is not known, or the file says that the
        node runs code.
    """
    if dialect == "onnx":
        from converter.semantics.onnx import tables

        return tables.rule_for(node)
    if dialect == "tensorflow":
        from converter.semantics import tensorflow

        rule = tensorflow.rule_for(node)
    else:
        from converter.semantics import keras

        rule = keras.rule_for(node)
    kind, beside = kind_of(node, dialect)
    return replace(rule, pointwise=kind, beside=beside) if kind else rule
