"""Operations on spatial axes: convolutions, poolings, resizing; the layers' own rules do the work.

Where a file leaves the data format out, Keras asks its configuration, which says channels_last
unless somebody changed it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.semantics.keras import convolution, normalization, pooling, resizing
from converter.semantics.keras.layer import Layer
from converter.semantics.precision import floating

_LAST = "channels_last"


def conv(
    inputs: Any,
    kernel: Any,
    *,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    data_format = data_format or _LAST
    channels = np.shape(inputs)[1 if data_format == "channels_first" else -1]
    return convolution.conv(
        inputs,
        filters=np.shape(kernel)[-1],
        kernel_size=list(np.shape(kernel)[:-2]),
        strides=strides,
        padding=padding,
        data_format=data_format,
        dilation_rate=dilation_rate,
        groups=channels // np.shape(kernel)[-2],
        use_bias=False,
        kernel=kernel,
    )


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    *,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    return convolution.depthwise_conv(
        inputs,
        kernel_size=list(np.shape(kernel)[:-2]),
        strides=strides,
        padding=padding,
        data_format=data_format or _LAST,
        depth_multiplier=np.shape(kernel)[-1],
        dilation_rate=dilation_rate,
        use_bias=False,
        kernel=kernel,
    )


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    *,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    return convolution.separable_conv(
        inputs,
        filters=np.shape(pointwise_kernel)[-1],
        kernel_size=list(np.shape(depthwise_kernel)[:-2]),
        strides=strides,
        padding=padding,
        data_format=data_format or _LAST,
        depth_multiplier=np.shape(depthwise_kernel)[-1],
        dilation_rate=dilation_rate,
        use_bias=False,
        depthwise_kernel=depthwise_kernel,
        pointwise_kernel=pointwise_kernel,
    )


def conv_transpose(
    inputs: Any,
    kernel: Any,
    *,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    return convolution.conv_transpose(
        inputs,
        filters=np.shape(kernel)[-2],
        kernel_size=list(np.shape(kernel)[:-2]),
        strides=strides,
        padding=padding,
        data_format=data_format or _LAST,
        output_padding=output_padding,
        dilation_rate=dilation_rate,
        use_bias=False,
        kernel=kernel,
    )


def _pool(function: Callable[..., Any]) -> Callable[..., Any]:
    def pool(
        inputs: Any,
        *,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: Any = None,
    ) -> Any:
        return function(
            inputs,
            pool_size=pool_size,
            strides=strides,
            padding=padding,
            data_format=data_format or _LAST,
        )

    return pool


average_pool = _pool(pooling.average_pooling)
max_pool = _pool(pooling.max_pooling)


def adaptive_average_pool(inputs: Any, *, output_size: Any, data_format: Any = None) -> Any:
    return pooling.adaptive_average_pooling(
        inputs, output_size=output_size, data_format=data_format or _LAST
    )


def adaptive_max_pool(inputs: Any, *, output_size: Any, data_format: Any = None) -> Any:
    return pooling.adaptive_max_pooling(
        inputs, output_size=output_size, data_format=data_format or _LAST
    )


def resize(
    images: Any,
    *,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: Any = None,
) -> Any:
    height, width = size
    return resizing.resizing(
        images,
        height=height,
        width=width,
        interpolation=interpolation,
        crop_to_aspect_ratio=crop_to_aspect_ratio,
        pad_to_aspect_ratio=pad_to_aspect_ratio,
        fill_mode=fill_mode,
        fill_value=fill_value,
        antialias=antialias,
        data_format=data_format or _LAST,
    )


def batch_norm(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any = None,
    scale: Any = None,
    *,
    axis: int,
    epsilon: float = 1e-3,
) -> Any:
    floating(x)  # of whole numbers it makes whole numbers, and of the statistics too
    return normalization.batch_normalization(
        x,
        axis=axis,
        epsilon=epsilon,
        moving_mean=mean,
        moving_variance=variance,
        gamma=scale,
        beta=offset,
        center=offset is not None,
        scale=scale is not None,
    )


_WINDOW = "windows hold one element"

OPERATORS: dict[str, Layer] = {
    "AdaptiveAveragePool": Layer(adaptive_average_pool),
    "AdaptiveMaxPool": Layer(adaptive_max_pool, whole="kept", accepts=_WINDOW),
    "AveragePool": Layer(average_pool),
    "BatchNorm": Layer(batch_norm, whole="kept", accepts="the statistics are constant"),
    "Conv": Layer(conv, accepts="one of inputs and kernel depends on the input"),
    "ConvTranspose": Layer(conv_transpose, accepts="one of inputs and kernel depends on the input"),
    "DepthwiseConv": Layer(depthwise_conv, accepts="one of the operands depends on the input"),
    "MaxPool": Layer(max_pool, whole="kept", accepts=_WINDOW),
    # It rounds what it makes of whole numbers.
    "Resize": Layer(resize, whole="kept"),
    "SeparableConv": Layer(separable_conv, accepts="one of the operands depends on the input"),
}
