"""Which operations of Keras and TensorFlow are functions of elements.

Each element of their result is made of the operands' elements in the same place: they can be asked
what they make of each level of a code. ONNX's operators look no codes up.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from converter.network import Dialect, Node

#: "" if it is no such function, "any" if it is; "quotient" and "remainder" if it jumps, so that
#: what it makes of fractions depends on their rounding; the last three sort whatever they are given
#: into few kinds.
Pointwise = Literal["", "any", "quotient", "remainder", "equal", "not equal"]

_EITHER: dict[str, Pointwise] = {
    **dict.fromkeys(
        (
            *("Abs", "Absolute", "Add", "AddV2", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Cast"),
            *("Clip", "ClipByValue", "Greater", "GreaterEqual", "Less", "LessEqual"),
            *("LogicalAnd", "LogicalNot", "LogicalOr", "LogicalXor", "Maximum"),
            *("Minimum", "Mul", "Multiply", "Neg", "Negative", "SelectV2", "Sign"),
            *("Square", "Sub", "Subtract"),
        ),
        "any",
    ),
    "Equal": "equal",
    "FloorDiv": "quotient",
    "FloorDivide": "quotient",
    "FloorMod": "remainder",
    "NotEqual": "not equal",
}
# In TensorFlow's graphs, Where finds places, Mod rounds to zero, and the condition of Select may
# lie along the first axis.
_KERAS: dict[str, Pointwise] = {
    "Mod": "remainder",
    "Where": "any",
    **dict.fromkeys(
        (
            *("__operators__.add", "cast", "clip_by_value", "math.abs", "math.add", "math.add_v2"),
            *("math.greater", "math.greater_equal", "math.less", "math.less_equal"),
            *("math.multiply", "math.negative", "math.subtract", "where"),
        ),
        "any",
    ),
    "math.equal": "equal",
    "math.floormod": "remainder",
    "math.not_equal": "not equal",
}


def kind_of(node: Node, dialect: Dialect) -> tuple[Pointwise, tuple[np.ndarray, ...]]:
    """Return which function of elements a node is, and the numbers that it holds itself.

    The latter stand behind its operands, among the arguments of its call.
    """
    kind = _EITHER.get(node.operation, "")
    if dialect != "keras":
        return kind, ()
    kind = kind or _KERAS.get(node.operation, "")
    if not kind:
        return "", ()
    from converter.semantics.keras.calls import beside_operands

    beside, first = beside_operands(node)
    return ("quotient" if kind == "remainder" and not first else kind), beside
