"""TensorFlow Lite models (``.tflite``), written out in TensorFlow's own operations.

Format: tensorflow/compiler/mlir/lite/schema/schema.fbs. The package `tflite` (the extra
``converter[tflite]``) parses the FlatBuffers; nothing of the file is run. Models whose kernels
round activations to small integers while they run are no affine maps: their operations are
refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import map_file
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
_PADDING = {0: "SAME", 1: "VALID"}


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
        return _Reader(tflite, bytes(content)).network(shown)
    except struct.error as error:
        raise ModelFileError(f"is a damaged TensorFlow Lite model: {error}") from None


class _Reader:
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
        given = [int(i) for i in self._numbers(self.graph, "Inputs")]
        made = [int(i) for i in self._numbers(self.graph, "Outputs")]
        names = self._signature_names()
        for place in range(len(self.tensors)):
            value = self._constant(place)
            if value is not None and place not in given:
                self.constants[f"tensor:{place}"] = value
        for place in range(self._bounded(self.graph.OperatorsLength())):
            self._operator(self.graph.Operators(place), place)
        inputs = []
        renamed = {}
        for place in given:
            tensor = self._tensor(place)
            name = names.get(("input", place)) or self._name(tensor, place)
            renamed[f"tensor:{place}"] = name
            inputs.append(Input(name, self._shape(tensor), self._type(tensor)))
        outputs = [
            Output(names.get(("output", i)) or self._name(self._tensor(i), i), f"tensor:{i}")
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
    def _numbers(owner: Any, name: str) -> np.ndarray:
        values = getattr(owner, f"{name}AsNumpy")()
        return np.zeros(0, np.int64) if isinstance(values, int) else np.asarray(values)

    def _tensor(self, place: int) -> Any:
        if not 0 <= place < len(self.tensors):
            raise ModelFileError(f"refers to the tensor {place}, which does not exist")
        return self.tensors[place]

    @staticmethod
    def _name(tensor: Any, place: int) -> str:
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        return name.removeprefix("serving_default_").split(":")[0] or f"tensor_{place}"

    @staticmethod
    def _type(tensor: Any) -> str:
        return _TYPES.get(int(tensor.Type()), f"type {tensor.Type()}")

    def _shape(self, tensor: Any) -> tuple[int | None, ...]:
        sizes = self._numbers(tensor, "ShapeSignature")
        if not len(sizes):
            sizes = self._numbers(tensor, "Shape")
        return tuple(None if size < 0 else int(size) for size in sizes)

    def _constant(self, place: int) -> np.ndarray | None:
        """Return the numbers of a tensor that the file holds."""
        tensor = self._tensor(place)
        number = int(tensor.Buffer())
        if not 0 <= number < self._bounded(self.model.BuffersLength()):
            raise ModelFileError(f"refers to the buffer {number}, which does not exist")
        data = self._numbers(self.model.Buffers(number), "Data")
        kind = self._type(tensor)
        if not len(data) or kind not in _TYPES.values() or kind == "string":
            return None
        shape = tuple(int(size) for size in self._numbers(tensor, "Shape"))
        item = np.dtype(kind).newbyteorder("<")
        if any(size < 0 for size in shape) or math.prod(shape) * item.itemsize != len(data):
            name = printable(self._name(tensor, place))
            raise ModelFileError(
                f"holds {len(data):,} bytes for the tensor {name!r} of shape {list(shape)}"
            )
        return np.ascontiguousarray(data).view(item).reshape(shape)

    def _quantized(self, place: int) -> bool:
        tensor = self._tensor(place)
        quantization = tensor.Quantization()
        scaled = quantization is not None and quantization.ScaleLength() > 0
        return scaled and self._type(tensor) in ("int8", "uint8", "int16", "int32")

    def _edge(self, value: Any = None) -> str:
        self._count += 1
        edge = f"edge:{self._count}"
        if value is not None:
            self.constants[edge] = np.asarray(value)
        return edge

    def _node(
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
        inputs = [int(i) for i in self._numbers(operator, "Inputs")]
        outputs = [int(i) for i in self._numbers(operator, "Outputs")]
        edges = ["" if i < 0 else f"tensor:{i}" for i in inputs]
        made = [f"tensor:{i}" for i in outputs]
        label = self._name(self._tensor(outputs[0]), outputs[0]) if outputs else operation
        label = label or f"{operation.lower()}_{place}"
        if operation == "DEQUANTIZE" and len(inputs) == 1:
            known = self.constants.get(edges[0])
            if known is not None:
                self.constants[made[0]] = self._dequantized(inputs[0], known)
                return
        refusal = ""
        if any(self._quantized(i) for i in (*inputs, *outputs) if i >= 0):
            refusal = _ROUNDED
        write = _WRITERS.get(operation)
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
        quantization = self._tensor(place).Quantization()
        if quantization is None or not quantization.ScaleLength():
            raise ModelFileError("dequantises a tensor without a scale")
        scale = self._numbers(quantization, "Scale").astype(np.float64)
        zero = self._numbers(quantization, "ZeroPoint").astype(np.float64)
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
        before = [self._edge()]
        name = _ACTIVATIONS.get(function, f"activation {function}")
        self._later = Node(label, name, tuple(before), tuple(made), domain="tensorflow")
        return before

    def finish(self) -> None:
        """Put the activation behind what it is applied to."""
        if self._later is not None:
            self.nodes.append(self._later)
            self._later = None


_Writer = Callable[[_Reader, str, Any, list[str], list[str]], None]


def _plain(operation: str, **attributes: Any) -> _Writer:
    def write(r: _Reader, label: str, _: Any, edges: list[str], made: list[str]) -> None:
        r._node(label, operation, edges, made, **attributes)

    return write


def _binary(operation: str, kind: str) -> _Writer:
    def write(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, kind)
        out = r.activated(label, int(options.FusedActivationFunction()), made)
        r._node(label, operation, edges, out)
        r.finish()

    return write


def _fully_connected(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "FullyConnected")
    x, weights, *bias = edges
    kernel = r.constants.get(weights)
    if kernel is None or kernel.ndim != 2 or int(options.WeightsFormat()):
        raise ModelFileError(f"has weights at {printable(label)!r} that are no matrix")
    if not options.KeepNumDims():
        x = r._node(label, "Reshape", [x, r._edge(np.array([-1, kernel.shape[1]]))], [r._edge()])[0]
    out = r.activated(label, int(options.FusedActivationFunction()), made)
    if kernel.shape[0] and bias and bias[0]:
        product = [r._edge()]
        r._node(label, "BatchMatMulV2", [x, weights], product, adj_y=True)
        r._node(label, "AddV2", [*product, bias[0]], out)
    else:
        r._node(label, "BatchMatMulV2", [x, weights], out, adj_y=True)
    r.finish()


def _convolution(operation: str, kind: str) -> _Writer:
    def write(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, kind)
        x, weights, *bias = edges
        kernel = r.constants.get(weights)
        if kernel is None or kernel.ndim != 4:
            raise ModelFileError(f"has weights at {printable(label)!r} that are no kernel")
        if operation == "Conv2D":
            kernel = np.transpose(kernel, (1, 2, 3, 0))
        else:
            multiplier = int(options.DepthMultiplier()) or 1
            height, width, total = kernel.shape[1:]
            if kernel.shape[0] != 1 or total % multiplier:
                raise ModelFileError(f"has a kernel of shape {list(kernel.shape)}")
            kernel = kernel.reshape(height, width, total // multiplier, multiplier)
        out = r.activated(label, int(options.FusedActivationFunction()), made)
        target = [r._edge()] if bias and bias[0] else out
        r._node(
            label,
            operation,
            [x, r._edge(kernel)],
            target,
            strides=[1, int(options.StrideH()), int(options.StrideW()), 1],
            dilations=[1, int(options.DilationHFactor()), int(options.DilationWFactor()), 1],
            padding=_PADDING[int(options.Padding())],
        )
        if bias and bias[0]:
            r._node(label, "BiasAdd", [*target, bias[0]], out)
        r.finish()

    return write


def _pool(operation: str) -> _Writer:
    def write(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, "Pool2D")
        out = r.activated(label, int(options.FusedActivationFunction()), made)
        r._node(
            label,
            operation,
            edges,
            out,
            ksize=[1, int(options.FilterHeight()), int(options.FilterWidth()), 1],
            strides=[1, int(options.StrideH()), int(options.StrideW()), 1],
            padding=_PADDING[int(options.Padding())],
        )
        r.finish()

    return write


def _reduction(operation: str) -> _Writer:
    def write(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        kept = bool(r.options(op, "Reducer").KeepDims())
        r._node(label, operation, edges, made, keep_dims=kept)

    return write


def _reshape(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    if len(edges) == 1:
        shape = r._numbers(r.options(op, "Reshape"), "NewShape")
        edges = [*edges, r._edge(np.asarray(shape, np.int64))]
    r._node(label, "Reshape", edges, made)


def _concatenation(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Concatenation")
    out = r.activated(label, int(options.FusedActivationFunction()), made)
    r._node(label, "ConcatV2", [*edges, r._edge(np.int64(options.Axis()))], out)
    r.finish()


def _pack(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r._node(label, "Pack", edges, made, axis=int(r.options(op, "Pack").Axis()))


def _unpack(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Unpack")
    r._node(label, "Unpack", edges, made, axis=int(options.Axis()), num=int(options.Num()))


def _split(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r._node(label, "Split", edges, made, num_split=len(made))


def _split_v(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r._node(label, "SplitV", edges, made, num_split=len(made))


def _squeeze(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    axes = [int(i) for i in r._numbers(r.options(op, "Squeeze"), "SqueezeDims")]
    r._node(label, "Squeeze", edges, made, squeeze_dims=axes)


def _strided_slice(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "StridedSlice")
    if getattr(options, "Offset", bool)():
        raise ModelFileError(f"slices at {printable(label)!r} by offsets, not supported")
    r._node(
        label,
        "StridedSlice",
        edges,
        made,
        begin_mask=int(options.BeginMask()),
        end_mask=int(options.EndMask()),
        ellipsis_mask=int(options.EllipsisMask()),
        new_axis_mask=int(options.NewAxisMask()),
        shrink_axis_mask=int(options.ShrinkAxisMask()),
    )


def _gather(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Gather")
    axis = r._edge(np.int64(options.Axis()))
    r._node(label, "GatherV2", [*edges, axis], made, batch_dims=int(options.BatchDims()))


def _mirror_pad(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    mode = {0: "REFLECT", 1: "SYMMETRIC"}[int(r.options(op, "MirrorPad").Mode())]
    r._node(label, "MirrorPad", edges, made, mode=mode)


def _softmax(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    beta = float(r.options(op, "Softmax").Beta())
    if beta != 1.0:
        edges = r._node(label, "Mul", [*edges, r._edge(np.float64(beta))], [r._edge()])
    r._node(label, "Softmax", edges, made)


def _leaky_relu(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r._node(label, "LeakyRelu", edges, made, alpha=float(r.options(op, "LeakyRelu").Alpha()))


def _cast(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    kind = r._type(r._tensor(int(made[0].split(":")[1])))
    r._node(label, "Cast", edges, made, DstT=kind)


def _batch_matmul(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "BatchMatMul")
    r._node(
        label, "BatchMatMulV2", edges, made, adj_x=bool(options.AdjX()), adj_y=bool(options.AdjY())
    )


def _transpose_conv(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "TransposeConv")
    sizes, weights, x, *bias = edges
    kernel = r.constants.get(weights)
    if kernel is None or kernel.ndim != 4:
        raise ModelFileError(f"has weights at {printable(label)!r} that are no kernel")
    activation = getattr(options, "FusedActivationFunction", int)()
    out = r.activated(label, int(activation), made)
    target = [r._edge()] if bias and bias[0] else out
    r._node(
        label,
        "Conv2DBackpropInput",
        [sizes, r._edge(np.transpose(kernel, (1, 2, 0, 3))), x],
        target,
        strides=[1, int(options.StrideH()), int(options.StrideW()), 1],
        padding=_PADDING[int(options.Padding())],
    )
    if bias and bias[0]:
        r._node(label, "BiasAdd", [*target, bias[0]], out)
    r.finish()


def _resize(operation: str, kind: str) -> _Writer:
    def write(r: _Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, kind)
        r._node(
            label,
            operation,
            edges,
            made,
            align_corners=bool(options.AlignCorners()),
            half_pixel_centers=bool(options.HalfPixelCenters()),
        )

    return write


_WRITERS: dict[str, _Writer] = {
    "ABS": _plain("Abs"),
    "ADD": _binary("AddV2", "Add"),
    "ADD_N": _plain("AddN"),
    "AVERAGE_POOL_2D": _pool("AvgPool"),
    "BATCH_MATMUL": _batch_matmul,
    "BROADCAST_TO": _plain("BroadcastTo"),
    "CAST": _cast,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution("Conv2D", "Conv2D"),
    "DEPTHWISE_CONV_2D": _convolution("DepthwiseConv2dNative", "DepthwiseConv2D"),
    "DIV": _binary("RealDiv", "Div"),
    "ELU": _plain("Elu"),
    "EXP": _plain("Exp"),
    "EXPAND_DIMS": _plain("ExpandDims"),
    "FILL": _plain("Fill"),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gather,
    "GATHER_ND": _plain("GatherNd"),
    "GELU": _plain("Gelu"),
    "LEAKY_RELU": _leaky_relu,
    "LOG": _plain("Log"),
    "LOGISTIC": _plain("Sigmoid"),
    "LOG_SOFTMAX": _plain("LogSoftmax"),
    "MAXIMUM": _plain("Maximum"),
    "MAX_POOL_2D": _pool("MaxPool"),
    "MEAN": _reduction("Mean"),
    "MINIMUM": _plain("Minimum"),
    "MIRROR_PAD": _mirror_pad,
    "MUL": _binary("Mul", "Mul"),
    "NEG": _plain("Neg"),
    "PACK": _pack,
    "PAD": _plain("Pad"),
    "PADV2": _plain("PadV2"),
    "POW": _plain("Pow"),
    "REDUCE_MAX": _reduction("Max"),
    "REDUCE_MIN": _reduction("Min"),
    "REDUCE_PROD": _reduction("Prod"),
    "RELU": _plain("Relu"),
    "RELU6": _plain("Relu6"),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize("ResizeBilinear", "ResizeBilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("ResizeNearestNeighbor", "ResizeNearestNeighbor"),
    "REVERSE_V2": _plain("ReverseV2"),
    "RSQRT": _plain("Rsqrt"),
    "SHAPE": _plain("Shape"),
    "SLICE": _plain("Slice"),
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQRT": _plain("Sqrt"),
    "SQUARE": _plain("Square"),
    "SQUARED_DIFFERENCE": _plain("SquaredDifference"),
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _binary("Sub", "Sub"),
    "SUM": _reduction("Sum"),
    "TANH": _plain("Tanh"),
    "TILE": _plain("Tile"),
    "TRANSPOSE": _plain("Transpose"),
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": _unpack,
}
