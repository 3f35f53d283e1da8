"""Operations on pictures that are linear: patches, blurs, edges, grey levels, frames.

Source: keras.src.ops.image and keras.src.backend.tensorflow (image, nn).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.levels import Bins
from converter.semantics import convolution
from converter.semantics.keras.geometry import each_axis, is_first
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.ops import movement, spatial
from converter.semantics.onnx import layout
from converter.semantics.onnx.convolution import col2im
from converter.semantics.onnx.refusal import traced
from converter.semantics.precision import floating
from converter.tracing.affine import check_size
from converter.tracing.codes import recode
from converter.tracing.primitives import finite

_LAST = "channels_last"
_LUMA = (0.2989, 0.5870, 0.1140)


def _batched(images: Any) -> tuple[Any, bool]:
    """Return pictures with a batch axis, and whether it was added."""
    if np.ndim(images) not in (3, 4):
        raise ValueError("wants one picture or a batch of them")
    single = np.ndim(images) == 3
    return (np.expand_dims(images, 0) if single else images), single


def extract_patches(
    images: Any,
    *,
    size: Any,
    strides: Any = None,
    dilation_rate: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
) -> Any:
    """Cut windows out, each a row of channels."""
    rank = 3 if isinstance(size, list) and len(size) == 3 else 2
    window = each_axis(size, rank, "size")
    data_format = data_format or _LAST
    if np.ndim(images) != rank + 2:
        raise NotAffine("takes patches of a single picture, which is one row")
    channels = np.shape(images)[1 if is_first(data_format) else -1]
    made = int(np.prod(window)) * channels
    check_size((made, made))
    kernel = np.eye(made).reshape(*window, channels, made)
    return spatial.conv(
        images,
        kernel,
        strides=list(window) if strides is None else strides,
        padding=padding,
        data_format=data_format,
        dilation_rate=dilation_rate,
    )


def unfold(
    x: Any, *, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Gather blocks of pictures (N, C, H, W) into columns (N, C kh kw, L)."""
    window, apart = each_axis(kernel_size, 2, "kernel_size"), each_axis(dilation, 2, "dilation")
    around, step = each_axis(padding, 2, "padding", 0), each_axis(stride, 2, "stride")
    if np.ndim(x) != 4:
        raise ValueError("wants pictures with channels in front")
    channels, size = np.shape(x)[1], window[0] * window[1]
    check_size((channels * size, channels * size))
    kernel = np.eye(channels * size).reshape(channels * size, channels, *window)
    y = convolution.conv(
        x,
        kernel,
        dilations=list(apart),
        pads=[*around, *around],
        strides=list(step),
    )
    return np.reshape(y, (*np.shape(y)[:2], -1))


def fold(
    x: Any,
    *,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Add columns of blocks into pictures."""
    around = each_axis(padding, 2, "padding", 0)
    return col2im(
        x,
        np.array(each_axis(output_size, 2, "output_size")),
        np.array(each_axis(kernel_size, 2, "kernel_size")),
        dilations=list(each_axis(dilation, 2, "dilation")),
        pads=[*around, *around],
        strides=list(each_axis(stride, 2, "stride")),
    )


def rgb_to_grayscale(images: Any, *, data_format: Any = None) -> Any:
    axis = np.ndim(images) - (3 if is_first(data_format or _LAST) else 1)
    if np.shape(images)[axis] == 1:
        return images
    if np.shape(images)[axis] != 3:
        raise ValueError("wants three channels")
    floating(images)  # it cuts off the fraction of what it makes of whole numbers
    weights = np.array(_LUMA).reshape([3 if i == axis else 1 for i in range(np.ndim(images))])
    return np.sum(np.multiply(images, weights), axis=axis, keepdims=True)


def _depthwise(images: Any, kernel: np.ndarray, data_format: Any, **more: Any) -> Any:
    x, single = _batched(images)
    channels = np.shape(x)[1 if is_first(data_format) else -1]
    wide = np.repeat(kernel[:, :, None, :], channels, axis=2)
    y = spatial.depthwise_conv(x, wide, data_format=data_format, **more)
    return np.squeeze(y, 0) if single else y


def gaussian_blur(
    images: Any, *, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: Any = None
) -> Any:
    height, width = each_axis(kernel_size, 2, "kernel_size")
    wide = finite(sigma).reshape(-1)
    if len(wide) != 2 or (wide <= 0).any():
        raise ValueError(f"sigma is {sigma!r}")

    def bell(size: int, spread: float) -> np.ndarray:
        weights = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / spread) ** 2)
        return weights / weights.sum()

    # Keras gives the first size and deviation to the second axis, and reshapes.
    kernel = np.outer(bell(width, wide[1]), bell(height, wide[0])).reshape(height, width)
    return _depthwise(images, kernel[:, :, None], data_format or _LAST, padding="same")


def sobel_edges(images: Any, *, data_format: Any = None) -> Any:
    """Return differences along both axes (tf.image.sobel_edges), the edges reflected."""
    data_format = data_format or _LAST
    if np.ndim(images) != 4:
        raise ValueError("wants a batch of pictures")
    across = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    around = [[0, 0], [1, 1], [1, 1]]
    around.insert(1 if is_first(data_format) else 3, [0, 0])
    x = movement.pad(images, pad_width=around, mode="reflect")
    parts = [
        _depthwise(x, kernel[:, :, None], data_format, padding="valid")
        for kernel in (across.T, across)
    ]
    return np.stack(parts, axis=-1)


def _frame(size: int, before: Any, after: Any, target: Any, sign: int) -> tuple[int, int]:
    """Return what is added (or cut, sign -1) at both ends, of which one may follow."""
    given = [one is None for one in (before, after, target)]
    if sum(given) != 1 and not (sum(given) == 0 or given == [True, True, True]):
        raise ValueError("says too little or too much about its frame")
    if given == [True, True, True]:
        return 0, 0
    if before is None:
        before = sign * (target - size) - after
    if after is None:
        after = sign * (target - size) - before
    if min(before, after) < 0:
        raise ValueError("has a negative frame")
    return int(before), int(after)


def pad_images(
    images: Any,
    *,
    top_padding: Any = None,
    left_padding: Any = None,
    bottom_padding: Any = None,
    right_padding: Any = None,
    target_height: Any = None,
    target_width: Any = None,
    data_format: Any = None,
) -> Any:
    first = is_first(data_format or _LAST)
    rank = np.ndim(images)
    height, width = (rank - 2, rank - 1) if first else (rank - 3, rank - 2)
    sizes = np.shape(images)
    around = [[0, 0] for _ in range(rank)]
    around[height] = list(_frame(sizes[height], top_padding, bottom_padding, target_height, 1))
    around[width] = list(_frame(sizes[width], left_padding, right_padding, target_width, 1))
    return movement.pad(images, pad_width=around)


def crop_images(
    images: Any,
    *,
    top_cropping: Any = None,
    left_cropping: Any = None,
    bottom_cropping: Any = None,
    right_cropping: Any = None,
    target_height: Any = None,
    target_width: Any = None,
    data_format: Any = None,
) -> Any:
    first = is_first(data_format or _LAST)
    rank = np.ndim(images)
    height, width = (rank - 2, rank - 1) if first else (rank - 3, rank - 2)
    sizes = np.shape(images)
    key: list[Any] = [slice(None)] * rank
    for axis, before, after, target in (
        (height, top_cropping, bottom_cropping, target_height),
        (width, left_cropping, right_cropping, target_width),
    ):
        start, end = _frame(sizes[axis], before, after, target, -1)
        if start + end >= sizes[axis]:
            raise ValueError("cuts everything away")
        key[axis] = slice(start, sizes[axis] - end)
    return movement.get_item(images, key)


def depth_to_space(x: Any, *, block_size: int, data_format: Any = None) -> Any:
    return _blocks(layout.depth_to_space, x, block_size, data_format)


def space_to_depth(x: Any, *, block_size: int, data_format: Any = None) -> Any:
    return _blocks(layout.space_to_depth, x, block_size, data_format)


def _blocks(function: Any, x: Any, size: int, data_format: Any) -> Any:
    if type(size) is not int or size < 1:
        raise ValueError(f"block_size is {size!r}")
    if is_first(data_format or _LAST):
        return function(x, blocksize=size)
    return np.moveaxis(function(np.moveaxis(x, -1, 1), blocksize=size), 1, -1)


def digitize(x: Any, bins: Any) -> Any:
    """Say in which bin a number lies: affine in the indicators of the bins."""
    if traced(bins):
        raise NotAffine("has bins that depend on the input")
    edges = finite(bins).reshape(-1).astype(np.float32).astype(np.float64)
    if (np.diff(edges) < 0).any():
        raise NotAffine("has bins that do not rise")
    levels = Bins(tuple(edges.tolist()))
    return recode(x, levels, np.arange(levels.count))


_RESAMPLES = "resamples a picture at given places, which is not supported"

OPERATORS: dict[str, Layer] = {
    "AffineTransform": Layer(None, _RESAMPLES),
    "CropImages": Layer(crop_images, whole="kept"),
    "DepthToSpace": Layer(depth_to_space, moves=True, whole="kept"),
    "Digitize": Layer(digitize, whole="kept"),
    "ExtractPatches": Layer(extract_patches),
    "Fold": Layer(fold),
    "GaussianBlur": Layer(gaussian_blur),
    "MapCoordinates": Layer(None, _RESAMPLES),
    "PadImages": Layer(pad_images, whole="wraps"),
    "RGBToGrayscale": Layer(rgb_to_grayscale, whole="kept"),
    "ScaleAndTranslate": Layer(None, _RESAMPLES),
    "SobelEdges": Layer(sobel_edges),
    "SpaceToDepth": Layer(space_to_depth, moves=True, whole="kept"),
    "Unfold": Layer(unfold),
}
