"""Control flow whose course constants decide."""

from __future__ import annotations

from converter.semantics.onnx.control import if_
from converter.semantics.tensorflow.operator import Operation

_TYPES = frozenset({"Tcond", "Tin", "Tout", "output_shapes"})

OPERATIONS: dict[str, Operation] = {
    name: Operation(if_, handles="graphs", inert=_TYPES) for name in ("If", "StatelessIf")
}
