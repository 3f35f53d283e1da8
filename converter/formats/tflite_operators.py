"""TensorFlow Lite's operators as TensorFlow's own: layouts, biases, activations that follow.

Source: tensorflow/lite/kernels and the options in schema.fbs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import ModelFileError, printable

if TYPE_CHECKING:
    from converter.formats.tflite import Reader

_PADDING = {0: "SAME", 1: "VALID"}

Writer = Callable[["Reader", str, Any, list[str], list[str]], None]


def _plain(operation: str, **attributes: Any) -> Writer:
    def write(r: Reader, label: str, _: Any, edges: list[str], made: list[str]) -> None:
        r.node(label, operation, edges, made, **attributes)

    return write


def _binary(operation: str, kind: str) -> Writer:
    def write(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, kind)
        out = r.activated(label, int(options.FusedActivationFunction()), made)
        r.node(label, operation, edges, out)
        r.finish()

    return write


def _fully_connected(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "FullyConnected")
    x, weights, *bias = edges
    kernel = r.constants.get(weights)
    if kernel is None or kernel.ndim != 2 or int(options.WeightsFormat()):
        raise ModelFileError(f"has weights at {printable(label)!r} that are no matrix")
    if not options.KeepNumDims():
        x = r.node(label, "Reshape", [x, r.edge(np.array([-1, kernel.shape[1]]))], [r.edge()])[0]
    out = r.activated(label, int(options.FusedActivationFunction()), made)
    if kernel.shape[0] and bias and bias[0]:
        product = [r.edge()]
        r.node(label, "BatchMatMulV2", [x, weights], product, adj_y=True)
        r.node(label, "AddV2", [*product, bias[0]], out)
    else:
        r.node(label, "BatchMatMulV2", [x, weights], out, adj_y=True)
    r.finish()


def _convolution(operation: str, kind: str) -> Writer:
    def write(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
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
        target = [r.edge()] if bias and bias[0] else out
        r.node(
            label,
            operation,
            [x, r.edge(kernel)],
            target,
            strides=[1, int(options.StrideH()), int(options.StrideW()), 1],
            dilations=[1, int(options.DilationHFactor()), int(options.DilationWFactor()), 1],
            padding=_PADDING[int(options.Padding())],
        )
        if bias and bias[0]:
            r.node(label, "BiasAdd", [*target, bias[0]], out)
        r.finish()

    return write


def _pool(operation: str) -> Writer:
    def write(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, "Pool2D")
        out = r.activated(label, int(options.FusedActivationFunction()), made)
        r.node(
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


def _reduction(operation: str) -> Writer:
    def write(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        kept = bool(r.options(op, "Reducer").KeepDims())
        r.node(label, operation, edges, made, keep_dims=kept)

    return write


def _reshape(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    if len(edges) == 1:
        shape = r.numbers(r.options(op, "Reshape"), "NewShape")
        edges = [*edges, r.edge(np.asarray(shape, np.int64))]
    r.node(label, "Reshape", edges, made)


def _concatenation(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Concatenation")
    out = r.activated(label, int(options.FusedActivationFunction()), made)
    r.node(label, "ConcatV2", [*edges, r.edge(np.int64(options.Axis()))], out)
    r.finish()


def _pack(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r.node(label, "Pack", edges, made, axis=int(r.options(op, "Pack").Axis()))


def _unpack(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Unpack")
    r.node(label, "Unpack", edges, made, axis=int(options.Axis()), num=int(options.Num()))


def _split(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r.node(label, "Split", edges, made, num_split=len(made))


def _split_v(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r.node(label, "SplitV", edges, made, num_split=len(made))


def _squeeze(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    axes = [int(i) for i in r.numbers(r.options(op, "Squeeze"), "SqueezeDims")]
    r.node(label, "Squeeze", edges, made, squeeze_dims=axes)


def _strided_slice(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "StridedSlice")
    if getattr(options, "Offset", bool)():
        raise ModelFileError(f"slices at {printable(label)!r} by offsets, not supported")
    r.node(
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


def _gather(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Gather")
    axis = r.edge(np.int64(options.Axis()))
    r.node(label, "GatherV2", [*edges, axis], made, batch_dims=int(options.BatchDims()))


def _mirror_pad(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    mode = {0: "REFLECT", 1: "SYMMETRIC"}[int(r.options(op, "MirrorPad").Mode())]
    r.node(label, "MirrorPad", edges, made, mode=mode)


def _softmax(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    beta = float(r.options(op, "Softmax").Beta())
    if beta != 1.0:
        edges = r.node(label, "Mul", [*edges, r.edge(np.float64(beta))], [r.edge()])
    r.node(label, "Softmax", edges, made)


def _leaky_relu(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r.node(label, "LeakyRelu", edges, made, alpha=float(r.options(op, "LeakyRelu").Alpha()))


def _cast(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    kind = r.type_of(r.tensor(int(made[0].split(":")[1])))
    r.node(label, "Cast", edges, made, DstT=kind)


def _one_hot(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    r.node(label, "OneHot", edges, made, axis=int(r.options(op, "OneHot").Axis()))


def _bucketize(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    boundaries = r.numbers(r.options(op, "Bucketize"), "Boundaries").tolist()
    kind = r.type_of(r.tensor(int(edges[0].split(":")[1])))
    r.node(label, "Bucketize", edges, made, boundaries=boundaries, T=kind)


def _embedding_lookup(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    codes, table = edges
    r.node(label, "GatherV2", [table, codes, r.edge(np.int64(0))], made)


def _blocks(operation: str) -> Writer:
    def write(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        size = int(r.options(op, operation).BlockSize())
        r.node(label, operation, edges, made, block_size=size)

    return write


def _cumsum(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "Cumsum")
    exclusive, reverse = bool(options.Exclusive()), bool(options.Reverse())
    r.node(label, "Cumsum", edges, made, exclusive=exclusive, reverse=reverse)


def _batch_matmul(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "BatchMatMul")
    r.node(
        label, "BatchMatMulV2", edges, made, adj_x=bool(options.AdjX()), adj_y=bool(options.AdjY())
    )


def _transpose_conv(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
    options = r.options(op, "TransposeConv")
    sizes, weights, x, *bias = edges
    kernel = r.constants.get(weights)
    if kernel is None or kernel.ndim != 4:
        raise ModelFileError(f"has weights at {printable(label)!r} that are no kernel")
    activation = getattr(options, "FusedActivationFunction", int)()
    out = r.activated(label, int(activation), made)
    target = [r.edge()] if bias and bias[0] else out
    r.node(
        label,
        "Conv2DBackpropInput",
        [sizes, r.edge(np.transpose(kernel, (1, 2, 0, 3))), x],
        target,
        strides=[1, int(options.StrideH()), int(options.StrideW()), 1],
        padding=_PADDING[int(options.Padding())],
    )
    if bias and bias[0]:
        r.node(label, "BiasAdd", [*target, bias[0]], out)
    r.finish()


def _resize(operation: str, kind: str) -> Writer:
    def write(r: Reader, label: str, op: Any, edges: list[str], made: list[str]) -> None:
        options = r.options(op, kind)
        r.node(
            label,
            operation,
            edges,
            made,
            align_corners=bool(options.AlignCorners()),
            half_pixel_centers=bool(options.HalfPixelCenters()),
        )

    return write


WRITERS: dict[str, Writer] = {
    "ABS": _plain("Abs"),
    "ADD": _binary("AddV2", "Add"),
    "ADD_N": _plain("AddN"),
    "ARG_MAX": _plain("ArgMax"),
    "ARG_MIN": _plain("ArgMin"),
    "AVERAGE_POOL_2D": _pool("AvgPool"),
    "BATCH_MATMUL": _batch_matmul,
    "BATCH_TO_SPACE_ND": _plain("BatchToSpaceND"),
    "BROADCAST_TO": _plain("BroadcastTo"),
    "BUCKETIZE": _bucketize,
    "CAST": _cast,
    "CEIL": _plain("Ceil"),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution("Conv2D", "Conv2D"),
    "COS": _plain("Cos"),
    "CUMSUM": _cumsum,
    "DEPTH_TO_SPACE": _blocks("DepthToSpace"),
    "DEPTHWISE_CONV_2D": _convolution("DepthwiseConv2dNative", "DepthwiseConv2D"),
    "DIV": _binary("RealDiv", "Div"),
    "ELU": _plain("Elu"),
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "EQUAL": _plain("Equal"),
    "EXP": _plain("Exp"),
    "EXPAND_DIMS": _plain("ExpandDims"),
    "FILL": _plain("Fill"),
    "FLOOR": _plain("Floor"),
    "FLOOR_DIV": _plain("FloorDiv"),
    "FLOOR_MOD": _plain("FloorMod"),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gather,
    "GATHER_ND": _plain("GatherNd"),
    "GELU": _plain("Gelu"),
    "GREATER": _plain("Greater"),
    "GREATER_EQUAL": _plain("GreaterEqual"),
    "LEAKY_RELU": _leaky_relu,
    "LESS": _plain("Less"),
    "LESS_EQUAL": _plain("LessEqual"),
    "LOG": _plain("Log"),
    "LOGICAL_AND": _plain("LogicalAnd"),
    "LOGICAL_NOT": _plain("LogicalNot"),
    "LOGICAL_OR": _plain("LogicalOr"),
    "LOGISTIC": _plain("Sigmoid"),
    "LOG_SOFTMAX": _plain("LogSoftmax"),
    "MAXIMUM": _plain("Maximum"),
    "MAX_POOL_2D": _pool("MaxPool"),
    "MEAN": _reduction("Mean"),
    "MINIMUM": _plain("Minimum"),
    "MIRROR_PAD": _mirror_pad,
    "MUL": _binary("Mul", "Mul"),
    "NEG": _plain("Neg"),
    "NOT_EQUAL": _plain("NotEqual"),
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": _plain("Pad"),
    "PADV2": _plain("PadV2"),
    "POW": _plain("Pow"),
    "RANGE": _plain("Range"),
    "RANK": _plain("Rank"),
    "REDUCE_MAX": _reduction("Max"),
    "REDUCE_MIN": _reduction("Min"),
    "REDUCE_PROD": _reduction("Prod"),
    "RELU": _plain("Relu"),
    "RELU6": _plain("Relu6"),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize("ResizeBilinear", "ResizeBilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("ResizeNearestNeighbor", "ResizeNearestNeighbor"),
    "REVERSE_V2": _plain("ReverseV2"),
    "ROUND": _plain("Round"),
    "RSQRT": _plain("Rsqrt"),
    "SELECT": _plain("Select"),
    "SELECT_V2": _plain("SelectV2"),
    "SHAPE": _plain("Shape"),
    "SIGN": _plain("Sign"),
    "SIN": _plain("Sin"),
    "SLICE": _plain("Slice"),
    "SOFTMAX": _softmax,
    "SPACE_TO_BATCH_ND": _plain("SpaceToBatchND"),
    "SPACE_TO_DEPTH": _blocks("SpaceToDepth"),
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
    "ZEROS_LIKE": _plain("ZerosLike"),
}
