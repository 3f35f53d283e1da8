"""TensorFlow Lite models (``.tflite``), written out in TensorFlow's own operations.

Format: tensorflow/compiler/mlir/lite/schema/schema.fbs. The package `tflite` (the extra
``converter[tflite]``) parses the FlatBuffers; nothing of the file is run. Models whose kernels
round activations to small integers while they run are no affine maps: their operations are
refused.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import map_file
from converter.formats.tflite_operators import WRITERS
from converter.network import Input, Network, Node, Output

_MAX = 1 << 20
_ROUNDED = (
    "rounds what it is given to small integers while it runs, a step function; convert the model "
    "without quantisation, or to float16"
)
_TYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    5: "string",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float64",
    12: "uint64",
    15: "uint32",
    16: "uint16",
}
_ACTIVATIONS = {1: "Relu", 2: "ReluN1To1", 3: "Relu6", 4: "Tanh", 5: "SignBit"}


def read(path: Path, shown: str) -> Network:
    """Read a TensorFlow Lite model; see `converter.formats.read`."""
    try:
        import tflite
    except ImportError:
        raise ModelFileError(
            "is a TensorFlow Lite model; to read it, install the parser: pip install "
            "'converter[tflite]'"
        ) from None
    content = map_file(path)
    try:
        return Reader(tflite, bytes(content)).network(shown)
    except struct.error as error:
        raise ModelFileError(f"is a damaged TensorFlow Lite model: {error}") from None


class Reader:
    """One model being written out."""

    def __init__(self, tflite: Any, content: bytes) -> None:
        self.tflite = tflite
        self.content = content
        self.model = tflite.Model.GetRootAsModel(content, 0)
        names = vars(tflite.BuiltinOperator)
        self.names = {code: name for name, code in names.items() if isinstance(code, int)}
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._count = 0
        self._later: Node | None = None
        if self.model.SubgraphsLength() < 1:
            raise ModelFileError("holds no graph")
        self.graph = self.model.Subgraphs(0)
        self.tensors = [
            self.graph.Tensors(i) for i in range(self._bounded(self.graph.TensorsLength()))
        ]

    def _bounded(self, count: int) -> int:
        # Each entry takes at least four bytes of the file.
        if not 0 <= count <= min(_MAX, len(self.content) // 4):
            raise ModelFileError(f"is a damaged TensorFlow Lite model: it declares {count:,} parts")
        return count

    def network(self, shown: str) -> Network:
        """Return the network of the first subgraph."""
        given = [int(i) for i in self.numbers(self.graph, "Inputs")]
        made = [int(i) for i in self.numbers(self.graph, "Outputs")]
        names = self._signature_names()
        for place in range(len(self.tensors)):
            value = self._constant(place)
            if value is not None and place not in given:
                self.constants[f"tensor:{place}"] = value
        for place in range(self._bounded(self.graph.OperatorsLength())):
            self._operator(self.graph.Operators(place), place)
        self._fill_empty(given)
        inputs = []
        renamed = {}
        for place in given:
            tensor = self.tensor(place)
            name = names.get(("input", place)) or self._name(tensor, place)
            renamed[f"tensor:{place}"] = name
            inputs.append(Input(name, self._shape(tensor), self.type_of(tensor)))
        outputs = [
            Output(names.get(("output", i)) or self._name(self.tensor(i), i), f"tensor:{i}")
            for i in made
        ]

        def edge(name: str) -> str:
            return renamed.get(name, name)

        return Network(
            path=shown,
            format="tflite",
            dialect="tensorflow",
            inputs=tuple(inputs),
            outputs=tuple(Output(one.name, edge(one.edge)) for one in outputs),
            nodes=tuple(
                Node(
                    one.name,
                    one.operation,
                    tuple(map(edge, one.inputs)),
                    one.outputs,
                    one.attributes,
                    domain="tensorflow",
                    refusal=one.refusal,
                )
                for one in self.nodes
            ),
            constants=self.constants,
            size=len(self.content),
        )

    def _signature_names(self) -> dict[tuple[str, int], str]:
        found: dict[tuple[str, int], str] = {}
        if self._bounded(self.model.SignatureDefsLength()):
            signature = self.model.SignatureDefs(0)
            for kind, count, one in (
                ("input", signature.InputsLength(), signature.Inputs),
                ("output", signature.OutputsLength(), signature.Outputs),
            ):
                for i in range(self._bounded(count)):
                    name = one(i).Name() or b""
                    found[kind, int(one(i).TensorIndex())] = name.decode("utf-8", "replace")
        return found

    @staticmethod
    def numbers(owner: Any, name: str) -> np.ndarray:
        values = getattr(owner, f"{name}AsNumpy")()
        return np.zeros(0, np.int64) if isinstance(values, int) else np.asarray(values)

    def tensor(self, place: int) -> Any:
        if not 0 <= place < len(self.tensors):
            raise ModelFileError(f"refers to the tensor {place}, which does not exist")
        return self.tensors[place]

    @staticmethod
    def _name(tensor: Any, place: int) -> str:
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        return name.removeprefix("serving_default_").split(":")[0] or f"tensor_{place}"

    @staticmethod
    def type_of(tensor: Any) -> str:
        return _TYPES.get(int(tensor.Type()), f"type {tensor.Type()}")

    def _shape(self, tensor: Any) -> tuple[int | None, ...]:
        sizes = self.numbers(tensor, "ShapeSignature")
        if not len(sizes):
            sizes = self.numbers(tensor, "Shape")
        return tuple(None if size < 0 else int(size) for size in sizes)

    def _constant(self, place: int) -> np.ndarray | None:
        """Return the numbers of a tensor that the file holds."""
        tensor = self.tensor(place)
        number = int(tensor.Buffer())
        if not 0 <= number < self._bounded(self.model.BuffersLength()):
            raise ModelFileError(f"refers to the buffer {number}, which does not exist")
        data = self.numbers(self.model.Buffers(number), "Data")
        kind = self.type_of(tensor)
        shape = tuple(int(size) for size in self.numbers(tensor, "Shape"))
        if not len(data) or not _readable(kind):
            if len(data):
                self._unreadable(place, kind)
            return None
        item = np.dtype(kind).newbyteorder("<")
        if any(size < 0 for size in shape) or math.prod(shape) * item.itemsize != len(data):
            name = printable(self._name(tensor, place))
            raise ModelFileError(
                f"holds {len(data):,} bytes for the tensor {name!r} of shape {list(shape)}"
            )
        return np.ascontiguousarray(data).view(item).reshape(shape)

    def _fill_empty(self, given: list[int]) -> None:
        """Add the constants without an element, which have no bytes to tell them by."""
        defined = {edge for node in self.nodes for edge in node.outputs} | set(self.constants)
        for place, tensor in enumerate(self.tensors):
            edge, kind = f"tensor:{place}", self.type_of(tensor)
            shape = tuple(int(size) for size in self.numbers(tensor, "Shape"))
            if _readable(kind) and 0 in shape and edge not in defined and place not in given:
                self.constants[edge] = np.zeros(shape, kind)

    def _unreadable(self, place: int, kind: str) -> None:
        """Stand a refused node for a constant that cannot be read."""
        name = self._name(self.tensor(place), place)
        reason = f"holds a constant of the type {kind}, which is not supported"
        edge = f"tensor:{place}"
        self.nodes.append(Node(name, "Const", (), (edge,), domain="tensorflow", refusal=reason))

    def _quantized(self, place: int) -> bool:
        tensor = self.tensor(place)
        quantization = tensor.Quantization()
        scaled = quantization is not None and quantization.ScaleLength() > 0
        return scaled and self.type_of(tensor) in ("int8", "uint8", "int16", "int32")

    def edge(self, value: Any = None) -> str:
        self._count += 1
        edge = f"edge:{self._count}"
        if value is not None:
            self.constants[edge] = np.asarray(value)
        return edge

    def node(
        self, name: str, operation: str, inputs: list[str], outputs: list[str], **attributes: Any
    ) -> list[str]:
        self.nodes.append(
            Node(name, operation, tuple(inputs), tuple(outputs), attributes, domain="tensorflow")
        )
        return outputs

    def _operator(self, operator: Any, place: int) -> None:
        index = int(operator.OpcodeIndex())
        if not 0 <= index < self._bounded(self.model.OperatorCodesLength()):
            raise ModelFileError(f"refers to the operator code {index}, which does not exist")
        code = self.model.OperatorCodes(index)
        number = max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))
        operation = self.names.get(number, f"operator {number}")
        if operation == "CUSTOM" and code.CustomCode():
            operation = code.CustomCode().decode("utf-8", "replace")
        inputs = [int(i) for i in self.numbers(operator, "Inputs")]
        outputs = [int(i) for i in self.numbers(operator, "Outputs")]
        edges = ["" if i < 0 else f"tensor:{i}" for i in inputs]
        made = [f"tensor:{i}" for i in outputs]
        label = self._name(self.tensor(outputs[0]), outputs[0]) if outputs else operation
        label = label or f"{operation.lower()}_{place}"
        if operation == "DEQUANTIZE" and len(inputs) == 1:
            known = self.constants.get(edges[0])
            if known is not None:
                self.constants[made[0]] = self._dequantized(inputs[0], known)
                return
        refusal = ""
        if any(self._quantized(i) for i in (*inputs, *outputs) if i >= 0):
            refusal = _ROUNDED
        write = WRITERS.get(operation)
        if refusal or write is None:
            reason = refusal or "an unknown operation; nothing is known about what it computes"
            self.nodes.append(
                Node(
                    label,
                    operation,
                    tuple(edge for edge in edges if edge),
                    tuple(made),
                    domain="tensorflow",
                    refusal=reason,
                )
            )
            return
        write(self, label, operator, edges, made)

    def _dequantized(self, place: int, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind == "f":
            return values.astype(np.float32)
        quantization = self.tensor(place).Quantization()
        if quantization is None or not quantization.ScaleLength():
            raise ModelFileError("dequantises a tensor without a scale")
        scale = self.numbers(quantization, "Scale").astype(np.float64)
        zero = self.numbers(quantization, "ZeroPoint").astype(np.float64)
        zero = zero if len(zero) else np.zeros(1)
        axis = int(quantization.QuantizedDimension())
        if len(scale) > 1:
            if not 0 <= axis < values.ndim or len(scale) != values.shape[axis]:
                raise ModelFileError("has scales that do not fit the tensor")
            along = [-1 if i == axis else 1 for i in range(values.ndim)]
            scale, zero = scale.reshape(along), np.broadcast_to(zero, len(scale)).reshape(along)
        return (values.astype(np.float64) - zero) * scale

    def options(self, operator: Any, kind: str) -> Any:
        """Return the options of an operator."""
        table = operator.BuiltinOptions()
        options = getattr(self.tflite, f"{kind}Options")()
        if table is None:
            raise ModelFileError(f"has an operator without its {kind}Options")
        options.Init(table.Bytes, table.Pos)
        return options

    def activated(self, label: str, function: int, made: list[str]) -> list[str]:
        """Return where to write a result; `finish` puts the activation behind it, if any."""
        if not function:
            return made
        before = [self.edge()]
        name = _ACTIVATIONS.get(function, f"activation {function}")
        self._later = Node(label, name, tuple(before), tuple(made), domain="tensorflow")
        return before

    def finish(self) -> None:
        """Put the activation behind what it is applied to."""
        if self._later is not None:
            self.nodes.append(self._later)
            self._later = None


def _readable(kind: str) -> bool:
    """Tell whether constants of a type are read."""
    return kind in _TYPES.values() and kind != "string"
