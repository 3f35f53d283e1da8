"""Operations on arrays: moving, joining, cutting, looking up, shapes and types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.ops import elementwise, movement, placement
from converter.semantics.keras.tensorflow import arrays as functions
from converter.semantics.onnx import indexing
from converter.semantics.onnx.refusal import traced
from converter.semantics.tensorflow.operator import Operation
from converter.tracing.affine import check_size
from converter.tracing.codes import kind_of


def whole(values: Any, what: str) -> list[int]:
    """Return a constant operand as whole numbers.

    Raises
    ------
    NotAffine
        If it depends on the input.
    """
    if traced(values):
        raise NotAffine(f"has {what} that depends on the input")
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{what} must be whole numbers")
    return [int(one) for one in array.reshape(-1)]


def number(value: Any, what: str) -> int:
    (one,) = whole(value, what)
    return one


def identity(x: Any) -> Any:
    return x


def several(*x: Any) -> Any:
    return x


def cast(x: Any, *, SrcT: Any = None, DstT: Any, Truncate: bool = False) -> Any:
    return elementwise.cast(x, dtype=DstT)


def reshape(tensor: Any, shape: Any) -> Any:
    return np.reshape(tensor, tuple(whole(shape, "a shape")))


def squeeze(input: Any, *, squeeze_dims: Any = ()) -> Any:
    # The number of rows is never one: what has one element along an axis has it in any batch.
    shape = np.shape(input)
    axes = [one for one, size in enumerate(shape) if size == 1]
    return movement.squeeze(input, axis=list(squeeze_dims) or axes)


def expand_dims(input: Any, dim: Any) -> Any:
    return np.expand_dims(input, number(dim, "an axis"))


def transpose(x: Any, perm: Any) -> Any:
    return np.transpose(x, whole(perm, "an order of axes"))


def concat(*inputs: Any) -> Any:
    *values, axis = inputs
    return np.concatenate(values, axis=number(axis, "an axis"))


def pack(*values: Any, axis: int = 0) -> Any:
    return np.stack(values, axis=axis)


def unpack(value: Any, *, num: int, axis: int = 0) -> Any:
    return movement.unstack(value, num=num, axis=axis)


def split(axis: Any, value: Any, *, num_split: int) -> Any:
    along = number(axis, "an axis")
    return movement.split(value, indices_or_sections=num_split, axis=along)


def split_v(value: Any, size_splits: Any, axis: Any, *, num_split: int) -> Any:
    sizes = whole(size_splits, "sizes")
    if len(sizes) != num_split:
        raise ValueError(f"splits into {len(sizes)} parts where {num_split} are said")
    return functions.split(value, sizes, number(axis, "an axis"))


def slice_(input: Any, begin: Any, size: Any) -> Any:
    starts, sizes = whole(begin, "a beginning"), whole(size, "a size")
    if len(starts) == len(sizes) == np.ndim(input):
        # A whole axis, whose size was read off it, is no cut at a given length.
        triples = zip(starts, sizes, np.shape(input), strict=True)
        sizes = [-1 if start == 0 and n == all_ else n for start, n, all_ in triples]
    return movement.slice_(input, starts, shape=sizes)


def strided_slice(
    input: Any,
    begin: Any,
    end: Any,
    strides: Any,
    *,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Any:
    return functions.strided_slice(
        input,
        whole(begin, "a beginning"),
        whole(end, "an end"),
        whole(strides, "a step"),
        begin_mask,
        end_mask,
        ellipsis_mask,
        new_axis_mask,
        shrink_axis_mask,
    )


def _places(indices: Any, policy: str = "") -> Any:
    """Return indices; beyond the beginning they are an error or zeros, and never the end."""
    if policy not in ("", "ERROR"):
        raise NotAffine("has places beyond the ends of an array that are passed over")
    if isinstance(indices, np.ndarray) and np.any(indices < 0):
        raise NotAffine("picks or places by a negative index")
    return indices


def gather(params: Any, indices: Any, axis: Any = 0, *, batch_dims: int = 0) -> Any:
    if batch_dims:
        raise NotAffine("gathers batch by batch, which is not supported")
    indices = _places(indices)
    return placement.take(params, indices, axis=number(axis, "an axis"))


def gather_1(params: Any, indices: Any, *, validate_indices: bool = True) -> Any:
    return placement.take(params, _places(indices), axis=0)


def resource_gather(
    resource: Any, indices: Any, *, batch_dims: int = 0, validate_indices: bool = True
) -> Any:
    return gather(resource, indices, 0, batch_dims=batch_dims)


def gather_nd(params: Any, indices: Any, *, bad_indices_policy: str = "") -> Any:
    if traced(indices):
        raise NotAffine("picks by an index that depends on the input")
    return indexing.gather_nd(params, _places(np.asarray(indices), bad_indices_policy))


def scatter_nd(indices: Any, updates: Any, shape: Any, *, bad_indices_policy: str = "") -> Any:
    sizes = whole(shape, "a shape")
    check_size(sizes)
    return placement.scatter(_places(indices, bad_indices_policy), updates, shape=sizes)


def pad(input: Any, paddings: Any) -> Any:
    return functions.pad(input, np.asarray(_constant(paddings)))


def pad_v2(input: Any, paddings: Any, constant_values: Any) -> Any:
    return functions.pad(input, np.asarray(_constant(paddings)), "CONSTANT", constant_values)


def mirror_pad(input: Any, paddings: Any, *, mode: str) -> Any:
    return functions.pad(input, np.asarray(_constant(paddings)), mode)


def _constant(value: Any) -> Any:
    if traced(value):
        raise NotAffine("pads by an amount that depends on the input")
    return value


def tile(input: Any, multiples: Any) -> Any:
    return movement.tile(input, repeats=whole(multiples, "repetitions"))


def broadcast_to(input: Any, shape: Any) -> Any:
    return movement.broadcast_to(input, shape=whole(shape, "a shape"))


def fill(dims: Any, value: Any) -> Any:
    target = tuple(whole(dims, "a shape"))
    check_size(target)
    return np.broadcast_to(value, target)


def zeros_like(x: Any, *, T: Any = None) -> Any:
    return np.zeros(np.shape(x), dtype=_WHOLE.get(T, np.float64))


def ones_like(x: Any, *, T: Any = None) -> Any:
    return np.ones(np.shape(x), dtype=_WHOLE.get(T, np.float64))


def shape(input: Any, *, out_type: str = "int32") -> Any:
    return np.array(np.shape(input), dtype=np.int64)


def size(input: Any, *, out_type: str = "int32") -> Any:
    return np.asarray(math.prod(np.shape(input)))


def rank(input: Any) -> Any:
    return np.asarray(np.ndim(input))


def range_(start: Any, limit: Any, delta: Any) -> Any:
    from converter.semantics.onnx.constants import range_ as count

    if traced(start) or traced(limit) or traced(delta):
        raise NotAffine("makes a range out of values that depend on the input")
    return count(start, limit, delta)


def reverse(tensor: Any, axis: Any) -> Any:
    return movement.flip(tensor, axis=whole(axis, "an axis"))


def roll(input: Any, shift: Any, axis: Any) -> Any:
    return movement.roll(input, shift=whole(shift, "a shift"), axis=whole(axis, "an axis"))


def one_hot(
    indices: Any, depth: Any, on_value: Any, off_value: Any, *, axis: int = -1, T: Any = "float32"
) -> Any:
    if traced(on_value) or traced(off_value):
        raise NotAffine("marks codes by values that depend on the input")
    if not traced(indices):
        from converter.semantics.onnx.constants import one_hot as encode

        return encode(indices, depth, np.array([off_value, on_value]), axis=axis)
    high, low = float(np.asarray(on_value)), float(np.asarray(off_value))
    kind = kind_of(np.asarray(on_value))
    return functions.one_hot(indices, number(depth, "a depth"), high, low, axis).as_kind(kind)


def matrix_band_part(input: Any, num_lower: Any, num_upper: Any) -> Any:
    lower, upper = number(num_lower, "a width"), number(num_upper, "a width")
    result = input
    if lower >= 0:
        result = indexing.trilu(result, np.array(-lower), upper=1)
    if upper >= 0:
        result = indexing.trilu(result, np.array(upper), upper=0)
    return result


def space_to_batch(input: Any, block_shape: Any, paddings: Any) -> Any:
    """Take the rows' blocks for rows (tf.space_to_batch); back again by `batch_to_space`."""
    blocks = whole(block_shape, "blocks")
    widths = np.asarray(_constant(paddings)).reshape(-1, 2).tolist()
    rank_, m = np.ndim(input), len(blocks)
    if len(widths) != m or rank_ < m + 1 or min(blocks) < 1:
        raise ValueError("has blocks that do not fit its axes")
    x = movement.pad(input, pad_width=[[0, 0], *widths, *[[0, 0]] * (rank_ - 1 - m)])
    batch, *sizes = np.shape(x)
    spatial, rest = sizes[:m], sizes[m:]
    if any(s % b for s, b in zip(spatial, blocks, strict=True)):
        raise ValueError("has sizes that are no multiples of the blocks")
    parts = [n for s, b in zip(spatial, blocks, strict=True) for n in (s // b, b)]
    x = np.reshape(x, (batch, *parts, *rest))
    inner = [2 + 2 * i for i in range(m)]
    outer = [1 + 2 * i for i in range(m)]
    x = np.transpose(x, (*inner, 0, *outer, *range(1 + 2 * m, 1 + 2 * m + len(rest))))
    made = [s // b for s, b in zip(spatial, blocks, strict=True)]
    return np.reshape(x, (batch * math.prod(blocks), *made, *rest))


def batch_to_space(input: Any, block_shape: Any, crops: Any) -> Any:
    blocks = whole(block_shape, "blocks")
    widths = np.asarray(_constant(crops)).reshape(-1, 2).tolist()
    batch, *sizes = np.shape(input)
    m, count = len(blocks), math.prod(blocks)
    if len(widths) != m or len(sizes) < m or min(blocks) < 1 or batch % count:
        raise ValueError("has blocks that do not fit its axes")
    spatial, rest = sizes[:m], sizes[m:]
    x = np.reshape(input, (*blocks, batch // count, *spatial, *rest))
    order = [m]
    for i in range(m):
        order += [m + 1 + i, i]
    x = np.transpose(x, (*order, *range(2 * m + 1, 2 * m + 1 + len(rest))))
    made = [s * b for s, b in zip(spatial, blocks, strict=True)]
    x = np.reshape(x, (batch // count, *made, *rest))
    cut = [slice(a, size_ - b) for (a, b), size_ in zip(widths, made, strict=True)]
    return movement.get_item(x, [slice(None), *cut, Ellipsis])


def diag_part_of(input: Any, k: Any, padding_value: Any) -> Any:
    bounds = set(whole(k, "a diagonal"))
    if len(bounds) != 1:
        raise NotAffine("takes several diagonals at once, which is not supported")
    rank_ = np.ndim(input)
    return movement.diagonal(input, offset=bounds.pop(), axis1=rank_ - 2, axis2=rank_ - 1)


def diag(diagonal: Any, k: Any, num_rows: Any, num_cols: Any, padding_value: Any) -> Any:
    """Make matrices of main diagonals (tf.raw_ops.MatrixDiagV3)."""
    size = np.shape(diagonal)[-1]
    sizes = {number(one, "a number of rows") for one in (num_rows, num_cols)}
    if set(whole(k, "a diagonal")) != {0} or not sizes <= {-1, size}:
        raise NotAffine("makes matrices of other diagonals than the main one")
    if np.any(np.asarray(_constant(padding_value)) != 0):
        raise NotAffine("fills matrices with another number than zero")
    check_size((*np.shape(diagonal), size))
    return np.multiply(np.expand_dims(diagonal, -1), np.eye(size))


def set_diag(input: Any, diagonal: Any, k: Any) -> Any:
    """Replace main diagonals (tf.raw_ops.MatrixSetDiagV3)."""
    rows, columns = np.shape(input)[-2:]
    if set(whole(k, "a diagonal")) != {0}:
        raise NotAffine("replaces other diagonals than the main one")
    on = np.eye(rows, columns, dtype=bool)
    # Along the shorter of the two axes lie the diagonal's elements.
    own = np.expand_dims(diagonal, -1 if rows <= columns else -2)
    return np.where(on, own, input)


def list_diff(x: Any, y: Any, *, out_idx: str = "int32") -> Any:
    """Return what is in one constant and not in the other, and where (tf.raw_ops.ListDiff)."""
    x, y = (np.asarray(_constant(one)) for one in (x, y))
    kept = np.flatnonzero(~np.isin(x, y))
    return x[kept], kept


def broadcast_args(s0: Any, s1: Any) -> Any:
    """Return the shape to which two shapes are broadcast."""
    shapes = [whole(one, "a shape") for one in (s0, s1)]
    return np.array(np.broadcast_shapes(*map(tuple, shapes)), dtype=np.int64)


def diag_part(input: Any) -> Any:
    return movement.diagonal(input, axis1=np.ndim(input) - 2, axis2=np.ndim(input) - 1)


_WHOLE = {kind: np.dtype(kind) for kind in ("bool", "int32", "int64", "int8", "uint8", "int16")}
_SECOND = frozenset({1})

OPERATIONS: dict[str, Operation] = {
    **{
        name: Operation(identity, moves=True, labels=True)
        for name in ("Identity", "StopGradient", "Snapshot")
    },
    "EnsureShape": Operation(identity, moves=True, labels=True, inert=frozenset({"shape"})),
    "CheckNumerics": Operation(identity, moves=True, inert=frozenset({"message"})),
    "PreventGradient": Operation(identity, moves=True, inert=frozenset({"message"})),
    "IdentityN": Operation(several, moves=True),
    "BatchToSpaceND": Operation(batch_to_space),
    "BroadcastTo": Operation(broadcast_to, moves=True, shape_operands=_SECOND),
    "Cast": Operation(cast, labels=True),
    "ConcatV2": Operation(concat, moves=True),
    "ExpandDims": Operation(expand_dims, moves=True, labels=True),
    "Fill": Operation(fill, shape_operands=frozenset({0})),
    "Gather": Operation(gather_1, moves=True),
    "GatherNd": Operation(gather_nd, moves=True),
    "GatherV2": Operation(gather, moves=True),
    "MatrixBandPart": Operation(matrix_band_part),
    "MatrixDiagPart": Operation(diag_part, moves=True),
    "BroadcastArgs": Operation(broadcast_args),
    "ListDiff": Operation(list_diff),
    "MatrixDiagV2": Operation(diag),
    "MatrixDiagV3": Operation(diag, inert=frozenset({"align"})),
    "MatrixSetDiagV2": Operation(set_diag),
    "MatrixSetDiagV3": Operation(set_diag, inert=frozenset({"align"})),
    "MatrixDiagPartV2": Operation(diag_part_of, moves=True),
    "MatrixDiagPartV3": Operation(diag_part_of, moves=True, inert=frozenset({"align"})),
    "MirrorPad": Operation(mirror_pad, moves=True),
    "OneHot": Operation(one_hot),
    "OnesLike": Operation(ones_like),
    "Pack": Operation(pack, moves=True),
    "Pad": Operation(pad, moves=True),
    "PadV2": Operation(pad_v2, moves=True),
    "Range": Operation(range_, shape_operands=frozenset({0, 1, 2})),
    "Rank": Operation(rank, reads_shape=True),
    "Reshape": Operation(reshape, moves=True, labels=True, shape_operands=_SECOND),
    "ResourceGather": Operation(resource_gather),
    "ReverseV2": Operation(reverse, moves=True),
    "Roll": Operation(roll, moves=True),
    "ScatterNd": Operation(scatter_nd),
    "Shape": Operation(shape, reads_shape=True),
    "Size": Operation(size, reads_shape=True),
    "Slice": Operation(slice_, moves=True, shape_operands=frozenset({1, 2})),
    "SpaceToBatchND": Operation(space_to_batch),
    "Split": Operation(split),
    "SplitV": Operation(split_v, moves=True),
    "Squeeze": Operation(squeeze, moves=True, labels=True),
    "StridedSlice": Operation(strided_slice, moves=True, shape_operands=frozenset({1, 2, 3})),
    "Tile": Operation(tile, moves=True, shape_operands=_SECOND),
    "Transpose": Operation(transpose, moves=True),
    "Unpack": Operation(unpack, moves=True),
    "ZerosLike": Operation(zeros_like),
}
