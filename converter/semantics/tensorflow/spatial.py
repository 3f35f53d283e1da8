"""Convolutions, poolings, resizing and normalisation by stored statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras import convolution, pooling
from converter.semantics.keras.normalization import batch_normalization
from converter.semantics.keras.ops import movement, spatial
from converter.semantics.onnx.layout import depth_to_space as to_space
from converter.semantics.onnx.layout import space_to_depth as to_depth
from converter.semantics.onnx.refusal import traced
from converter.semantics.tensorflow.operator import Operation

_LAST = frozenset({"NHWC", "NWC", "NDHWC"})
_FIRST = frozenset({"NCHW", "NCW", "NCDHW"})


def _keras_format(data_format: Any) -> str:
    if data_format in _LAST:
        return "channels_last"
    if data_format in _FIRST:
        return "channels_first"
    raise NotAffine(f"has the unknown data format {data_format!r}")


def _along(values: Any, data_format: str, what: str) -> list[int]:
    """Return the numbers that belong to the spatial axes; those of batch and channels are 1."""
    numbers = [int(one) for one in values]
    spatial_ = numbers[2:] if data_format in _FIRST else numbers[1:-1]
    if sorted(numbers) != sorted([1, 1, *spatial_]):
        raise NotAffine(f"has {what} along the rows or the channels")
    return spatial_


def _padded(x: Any, padding: str, explicit_paddings: Any, data_format: str) -> tuple[Any, str]:
    """Return the operand and Keras' name of the padding, explicit padding applied."""
    if padding in ("SAME", "VALID"):
        if any(explicit_paddings or ()):
            raise ValueError("has explicit paddings and another padding")
        return x, padding.lower()
    if padding != "EXPLICIT" or len(explicit_paddings) != 2 * np.ndim(x):
        raise NotAffine(f"has the unknown padding {padding!r}")
    widths = [list(explicit_paddings[i : i + 2]) for i in range(0, len(explicit_paddings), 2)]
    return movement.pad(x, pad_width=widths), "valid"


def _correlation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what an operation computes by Keras' function, its settings translated."""

    def correlate(
        input: Any,
        filter: Any,
        *,
        strides: Any,
        padding: str,
        explicit_paddings: Any = (),
        data_format: str = "NHWC",
        dilations: Any = None,
    ) -> Any:
        x, kind = _padded(input, padding, explicit_paddings, data_format)
        apart = [1] * np.ndim(x) if dilations is None else dilations
        return function(
            x,
            filter,
            strides=_along(strides, data_format, "strides"),
            padding=kind,
            data_format=_keras_format(data_format),
            dilation_rate=_along(apart, data_format, "dilations"),
        )

    return correlate


conv = _correlation(spatial.conv)
depthwise_conv = _correlation(spatial.depthwise_conv)


def conv_3d(
    input: Any,
    filter: Any,
    *,
    strides: Any,
    padding: str,
    data_format: str = "NDHWC",
    dilations: Any = None,
) -> Any:
    return conv(
        input, filter, strides=strides, padding=padding, data_format=data_format,
        dilations=dilations,
    )  # fmt: skip


def conv_backprop(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    *,
    strides: Any,
    padding: str,
    explicit_paddings: Any = (),
    data_format: str = "NHWC",
    dilations: Any = None,
) -> Any:
    """Apply the transpose of a convolution, as Keras' Conv2DTranspose does."""
    if traced(input_sizes) or padding not in ("SAME", "VALID") or any(explicit_paddings or ()):
        raise NotAffine("transposes a convolution in a form that is not supported")
    if np.ndim(out_backprop) != np.ndim(filter):
        raise ValueError("has a kernel of another rank than its operand")
    apart = [1] * np.ndim(out_backprop) if dilations is None else dilations
    along = _along(strides, data_format, "strides")
    reach = _along(apart, data_format, "dilations")
    sizes = _along_sizes([int(n) for n in np.asarray(input_sizes).reshape(-1)], data_format)
    given = _along_sizes(list(np.shape(out_backprop)), data_format)
    kernel = np.shape(filter)[:-2]
    more = []
    for wanted, size, step, width, d in zip(sizes, given, along, kernel, reach, strict=True):
        extent = (width - 1) * d + 1
        start = (size - 1) * step + extent - 2 * (extent // 2) if padding == "SAME" else (
            (size - 1) * step + extent
        )  # fmt: skip
        more.append(wanted - start)
    if any(not 0 <= one < step for one, step in zip(more, along, strict=True)):
        more_ = None
        plain = [
            size * step if padding == "SAME" else size * step + max(width - step, 0)
            for size, step, width in zip(given, along, kernel, strict=True)
        ]
        if plain != sizes:
            raise NotAffine("transposes a convolution to a size that is not supported")
    else:
        more_ = more
    return convolution.conv_transpose(
        out_backprop,
        filters=np.shape(filter)[-2],
        kernel_size=list(kernel),
        strides=along,
        padding=padding.lower(),
        data_format=_keras_format(data_format),
        output_padding=more_,
        dilation_rate=reach,
        use_bias=False,
        kernel=filter,
    )


def conv_backprop_3d(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    *,
    strides: Any,
    padding: str,
    data_format: str = "NDHWC",
    dilations: Any = None,
) -> Any:
    return conv_backprop(
        input_sizes, filter, out_backprop, strides=strides, padding=padding,
        data_format=data_format, dilations=dilations,
    )  # fmt: skip


def _along_sizes(sizes: list[int], data_format: str) -> list[int]:
    return sizes[2:] if data_format in _FIRST else sizes[1:-1]


def average_pool(
    value: Any, *, ksize: Any, strides: Any, padding: str, data_format: str = "NHWC"
) -> Any:
    return pooling.average_pooling(
        value,
        pool_size=_along(ksize, data_format, "a window"),
        strides=_along(strides, data_format, "strides"),
        padding=_plain(padding),
        data_format=_keras_format(data_format),
    )


def average_pool_3d(
    input: Any, *, ksize: Any, strides: Any, padding: str, data_format: str = "NDHWC"
) -> Any:
    return average_pool(
        input, ksize=ksize, strides=strides, padding=padding, data_format=data_format
    )


def max_pool(
    input: Any,
    *,
    ksize: Any,
    strides: Any,
    padding: str,
    explicit_paddings: Any = (),
    data_format: str = "NHWC",
) -> Any:
    if any(explicit_paddings or ()):
        raise NotAffine("pads a maximum")
    return pooling.max_pooling(
        input,
        pool_size=_along(ksize, data_format, "a window"),
        strides=_along(strides, data_format, "strides"),
        padding=_plain(padding),
        data_format=_keras_format(data_format),
    )


def _plain(padding: str) -> str:
    if padding not in ("SAME", "VALID"):
        raise NotAffine(f"has the unknown padding {padding!r}")
    return padding.lower()


def fused_batch_norm(
    x: Any,
    scale: Any,
    offset: Any,
    mean: Any,
    variance: Any,
    *,
    epsilon: float = 1e-4,
    exponential_avg_factor: float = 1.0,
    data_format: str = "NHWC",
    is_training: bool = True,
) -> Any:
    """Normalise by stored statistics; what training would need is left undefined."""
    if is_training:
        raise NotAffine("normalises by the statistics of the batch (is_training)")
    first = _keras_format(data_format) == "channels_first"
    y = batch_normalization(
        x,
        axis=1 if first else np.ndim(x) - 1,
        epsilon=float(epsilon),
        moving_mean=mean,
        moving_variance=variance,
        gamma=scale,
        beta=offset,
    )
    rest = [NotAffine("is the statistics that training needs") for _ in range(5)]
    return (y, *rest)


def _resize(interpolation: str) -> Any:
    def resize(
        images: Any, size: Any, *, align_corners: bool = False, half_pixel_centers: bool = False
    ) -> Any:
        if align_corners or not half_pixel_centers or traced(size):
            raise NotAffine(
                "resizes in a form that is not supported (align_corners, or old pixel centres)"
            )
        height, width = (int(one) for one in np.asarray(size).reshape(-1))
        return spatial.resize(images, size=[height, width], interpolation=interpolation)

    return resize


def scale_and_translate(
    images: Any,
    size: Any,
    scale: Any,
    translation: Any,
    *,
    kernel_type: str = "lanczos3",
    antialias: bool = True,
) -> Any:
    """Resize with a kernel, as tf.image.resize does where it smooths."""
    if traced(size) or traced(scale) or traced(translation):
        raise NotAffine("resizes by an amount that depends on the input")
    wanted = np.asarray(size).reshape(-1)
    given = np.asarray(np.shape(images)[1:3])
    factors = wanted.astype(np.float32) / given.astype(np.float32)
    if np.any(translation) or not np.array_equal(np.asarray(scale, np.float32), factors):
        raise NotAffine("moves pictures, or scales them otherwise than to their new size")
    if kernel_type == "box":
        raise NotAffine("resizes with the kernel 'box', which is not supported")
    height, width = (int(one) for one in wanted)
    return spatial.resize(
        images, size=[height, width], interpolation=kernel_type, antialias=antialias
    )


def depth_to_space(input: Any, *, block_size: int, data_format: str = "NHWC") -> Any:
    if _keras_format(data_format) == "channels_first":
        return to_space(input, blocksize=block_size)
    return np.moveaxis(to_space(np.moveaxis(input, -1, 1), blocksize=block_size), 1, -1)


def space_to_depth(input: Any, *, block_size: int, data_format: str = "NHWC") -> Any:
    if _keras_format(data_format) == "channels_first":
        return to_depth(input, blocksize=block_size)
    return np.moveaxis(to_depth(np.moveaxis(input, -1, 1), blocksize=block_size), 1, -1)


_DEVICE = frozenset({"use_cudnn_on_gpu", "Tshape"})

OPERATIONS: dict[str, Operation] = {
    "AvgPool": Operation(average_pool),
    "AvgPool3D": Operation(average_pool_3d),
    "Conv2D": Operation(conv, inert=_DEVICE),
    "Conv2DBackpropInput": Operation(conv_backprop, inert=_DEVICE, shape_operands=frozenset({0})),
    "Conv3D": Operation(conv_3d, inert=_DEVICE),
    "Conv3DBackpropInputV2": Operation(
        conv_backprop_3d, inert=_DEVICE, shape_operands=frozenset({0})
    ),
    "DepthToSpace": Operation(depth_to_space, moves=True),
    "DepthwiseConv2dNative": Operation(depthwise_conv, inert=_DEVICE),
    "FusedBatchNorm": Operation(fused_batch_norm),
    "FusedBatchNormV2": Operation(fused_batch_norm),
    "FusedBatchNormV3": Operation(fused_batch_norm),
    "MaxPool": Operation(max_pool),
    "ResizeArea": Operation(None, "resizes by areas, which is not supported"),
    "ResizeBicubic": Operation(_resize("bicubic")),
    "ResizeBilinear": Operation(_resize("bilinear")),
    "ResizeNearestNeighbor": Operation(_resize("nearest")),
    "ScaleAndTranslate": Operation(scale_and_translate, shape_operands=frozenset({1})),
    "SpaceToDepth": Operation(space_to_depth, moves=True),
}
