"""Operators that only ever see constants: computed by the reference of the onnx package.

It is imported when the first such node is met, and given arrays of ours and the node's own
attributes; nothing of the model file is loaded by it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.network import Graph, Node

# The reference is written in Python loops, and attributes may ask for large results.
_MAX_WORK = 1 << 17
# Operators whose loops run over pairs of elements.
_PAIRS = frozenset({"NonMaxSuppression", "Unique", "TfIdfVectorizer"})


def evaluate(node: Node, operands: list[Any]) -> tuple[Any, ...]:
    """Return a node's results on constants.

    Raises
    ------
    NotAffine
        If onnx is not installed, its reference cannot compute the node, or it would be asked
        for too much.
    """
    if not all(operand is None or isinstance(operand, np.ndarray) for operand in operands):
        raise NotAffine("is not evaluated on values of this kind")
    size = sum(operand.size for operand in operands if operand is not None)
    numbers = [value for value in node.attributes.values() if isinstance(value, (int, list))]
    factors = [
        max(1, abs(number))
        for value in numbers
        for number in (value if isinstance(value, list) else [value])
        if isinstance(number, int)
    ]
    work = (size + 1) * math.prod(factors)
    if work > (_MAX_WORK >> 6 if node.operation in _PAIRS else _MAX_WORK):
        raise NotAffine("is not evaluated on constants of this size")
    if any(isinstance(value, Graph) for value in node.attributes.values()):
        raise NotAffine("is not evaluated on constants")
    try:
        from onnx import ValueInfoProto, helper, numpy_helper
        from onnx.reference import ReferenceEvaluator
    except ImportError:
        raise NotAffine("needs the package onnx to be evaluated on constants") from None
    inputs = [f"in{place}" if operand is not None else "" for place, operand in enumerate(operands)]
    outputs = [f"out{place}" if name else "" for place, name in enumerate(node.outputs)]
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in node.attributes.items()
    }
    try:
        graph = helper.make_graph(
            [helper.make_node(node.operation, inputs, outputs, domain=node.domain, **attributes)],
            "node",
            [ValueInfoProto(name=name) for name in inputs if name],
            [ValueInfoProto(name=name) for name in outputs if name],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid(node.domain, node.version)]
        )
        feeds = {name: operand for name, operand in zip(inputs, operands, strict=True) if name}
        found = iter(ReferenceEvaluator(model).run(None, feeds))
    except Exception as error:
        # Whatever the reference stumbles over, nothing is known about the result.
        raise NotAffine(f"could not be evaluated on constants ({type(error).__name__})") from None
    results = [next(found) if name else None for name in outputs]
    if not all(result is None or isinstance(result, np.ndarray) for result in results):
        raise NotAffine("does not make arrays")
    return tuple(results)
