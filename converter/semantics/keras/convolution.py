"""Convolutions: plain, depthwise, separable and transposed.

Source: keras.src.layers.convolutional and, for what "same" pads, TensorFlow's convolutions, with
which tf_keras agrees.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics import convolution
from converter.semantics.keras.activations import activate
from converter.semantics.keras.geometry import (
    biased,
    each_axis,
    from_first,
    is_first,
    to_first,
)
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.lora import merged
from converter.semantics.precision import floating
from converter.semantics.windows import patches, sliding, spatial_shape
from converter.tracing.affine import check_size


def conv(
    x: Any,
    *,
    filters: int,
    kernel_size: Any,
    strides: Any,
    padding: str,
    data_format: str,
    dilation_rate: Any = 1,
    groups: int = 1,
    activation: Any = None,
    use_bias: bool = True,
    lora_rank: Any = None,
    lora_alpha: Any = None,
    kernel: Any,
    bias: Any = None,
    lora_kernel_a: Any = None,
    lora_kernel_b: Any = None,
) -> Any:
    """Correlate with a kernel (*spatial, channels / groups, filters)."""
    kernel = merged(kernel, lora_kernel_a, lora_kernel_b, lora_rank, lora_alpha)
    rank = _rank(kernel, kernel_size)
    if kernel.shape[-1] != filters:
        raise ValueError(f"a kernel of shape {list(kernel.shape)} does not make {filters} filters")
    # Keras 2 takes all axes in front of the spatial ones for rows.
    rows = np.shape(x)[: -rank - 1]
    several = len(rows) > 1 and not is_first(data_format)
    if several:
        x = np.reshape(x, (math.prod(rows), *np.shape(x)[-rank - 1 :]))
    y = _correlated(
        *(x, _to_onnx(kernel), rank, strides, padding, data_format, dilation_rate, groups)
    )
    y = _with_bias(y, bias, use_bias, data_format)
    return activate(np.reshape(y, (*rows, *np.shape(y)[1:])) if several else y, activation)


def depthwise_conv(
    x: Any,
    *,
    kernel_size: Any,
    strides: Any,
    padding: str,
    data_format: str,
    depth_multiplier: int = 1,
    dilation_rate: Any = 1,
    groups: int = 1,
    activation: Any = None,
    use_bias: bool = True,
    kernel: Any,
    bias: Any = None,
) -> Any:
    """Correlate each channel with kernels of its own, (*spatial, channels, multiplier)."""
    rank = _rank(kernel, kernel_size)
    y = _depthwise(
        *(x, kernel, rank, strides, padding, data_format, dilation_rate, depth_multiplier, groups)
    )
    return _finished(y, bias, use_bias, data_format, activation)


def separable_conv(
    x: Any,
    *,
    filters: int,
    kernel_size: Any,
    strides: Any,
    padding: str,
    data_format: str,
    depth_multiplier: int = 1,
    dilation_rate: Any = 1,
    groups: int = 1,
    activation: Any = None,
    use_bias: bool = True,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    bias: Any = None,
) -> Any:
    """Correlate each channel, then mix the channels at each place."""
    rank = _rank(depthwise_kernel, kernel_size)
    y = _depthwise(
        *(x, depthwise_kernel, rank, strides, padding, data_format, dilation_rate),
        *(depth_multiplier, groups),
    )
    if pointwise_kernel.shape[:-2] != (1,) * rank or pointwise_kernel.shape[-1] != filters:
        raise ValueError(f"a pointwise kernel of shape {list(pointwise_kernel.shape)}")
    # In between, the channels are where `y` has them: in front.
    y = convolution.conv(y, _to_onnx(pointwise_kernel))
    return _finished(y, bias, use_bias, data_format, activation)


def conv_transpose(
    x: Any,
    *,
    filters: int,
    kernel_size: Any,
    strides: Any,
    padding: str,
    data_format: str,
    output_padding: Any = None,
    dilation_rate: Any = 1,
    groups: int = 1,
    activation: Any = None,
    use_bias: bool = True,
    kernel: Any,
    bias: Any = None,
) -> Any:
    """Apply the transpose of a convolution with a kernel (*spatial, filters, channels)."""
    rank = _rank(kernel, kernel_size)
    _one_group(groups)
    if kernel.shape[-2] != filters:
        raise ValueError(f"a kernel of shape {list(kernel.shape)} does not make {filters} filters")
    along = each_axis(strides, rank, "strides")
    apart = each_axis(dilation_rate, rank, "dilation_rate")
    more: tuple[int | None, ...] = (None,) * rank
    if output_padding is not None:
        more = each_axis(output_padding, rank, "output_padding", least=0)
    if padding not in ("valid", "same"):
        raise NotAffine(f"has the unknown padding {padding!r}")
    x = to_first(x, data_format)
    if np.ndim(x) != rank + 2:
        raise ValueError(f"{np.ndim(x)} axes for a kernel of {rank} spatial axes")
    output = tuple(
        _transposed_size(size, (k - 1) * d + 1, s, padding, extra)
        for size, k, d, s, extra in zip(
            np.shape(x)[2:], kernel.shape[:rank], apart, along, more, strict=True
        )
    )
    # Where the output is smaller than what the kernel reaches, "same" has cut it, evenly.
    y = convolution.conv_transpose(
        x,
        np.moveaxis(kernel, (-1, -2), (0, 1)),
        auto_pad="SAME_UPPER",
        dilations=apart,
        output_shape=output,
        strides=along,
    )
    return _finished(y, bias, use_bias, data_format, activation)


def _transposed_size(size: int, reach: int, stride: int, padding: str, more: int | None) -> int:
    """Return the length of the output; source: Keras, compute_conv_transpose_output_shape."""
    if more is None:
        return (size - 1) * stride + max(reach, stride) if padding == "valid" else size * stride
    if more >= stride:
        raise ValueError(f"output_padding {more} is not below the stride {stride}")
    return (size - 1) * stride + more + (reach if padding == "valid" else reach % 2)


def _rank(kernel: Any, kernel_size: Any) -> int:
    rank = np.ndim(kernel) - 2
    if rank < 1 or kernel.shape[:rank] != each_axis(kernel_size, rank, "kernel_size"):
        raise ValueError(
            f"a kernel of shape {list(np.shape(kernel))} is not of the size {kernel_size!r}"
        )
    return rank


def _to_onnx(kernel: Any) -> Any:
    """Return a kernel (*spatial, channels, filters) as (filters, channels, *spatial)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _one_group(groups: Any) -> None:
    if groups not in (1, None):
        raise NotAffine(f"has {groups!r} groups, which the layer does not know")


def _depthwise(
    x: Any,
    kernel: Any,
    rank: int,
    strides: Any,
    padding: str,
    data_format: str,
    dilation_rate: Any,
    depth_multiplier: int,
    groups: int,
) -> Any:
    _one_group(groups)
    channels = kernel.shape[-2]
    if kernel.shape[-1] != depth_multiplier:
        raise ValueError(f"a kernel of shape {list(kernel.shape)} for {depth_multiplier} a channel")
    weights = np.moveaxis(kernel, (-2, -1), (0, 1))
    weights = np.reshape(weights, (channels * depth_multiplier, 1, *kernel.shape[:rank]))
    return _correlated(x, weights, rank, strides, padding, data_format, dilation_rate, channels)


def _correlated(
    x: Any,
    weights: Any,
    rank: int,
    strides: Any,
    padding: str,
    data_format: str,
    dilation_rate: Any,
    groups: int,
) -> Any:
    """Correlate with weights in ONNX's layout; the channels of the result stand in front."""
    along = each_axis(strides, rank, "strides")
    apart = each_axis(dilation_rate, rank, "dilation_rate")
    x = to_first(x, data_format)
    if np.ndim(x) != rank + 2:
        raise NotAffine(
            f"is given {np.ndim(x)} axes where {rank + 2} are usual, which is not supported"
        )
    if padding == "causal" and rank == 1:
        ahead = apart[0] * (weights.shape[2] - 1)
        check_size((*np.shape(x)[:2], np.shape(x)[2] + ahead))
        x = np.pad(x, ((0, 0), (0, 0), (ahead, 0)))
    elif padding not in ("valid", "same"):
        raise NotAffine(f"has the unknown padding {padding!r}")
    return convolution.conv(
        x,
        weights,
        auto_pad="SAME_UPPER" if padding == "same" else "VALID",
        dilations=apart,
        group=groups,
        strides=along,
    )


def _finished(y: Any, bias: Any, use_bias: bool, data_format: str, activation: Any) -> Any:
    return activate(_with_bias(y, bias, use_bias, data_format), activation)


def _with_bias(y: Any, bias: Any, use_bias: bool, data_format: str) -> Any:
    """Add the bias and bring the channels, which stand in front, to their place."""
    if use_bias:
        channels = np.shape(y)[1]
        if np.shape(bias) != (channels,):
            raise ValueError(f"a bias of shape {list(np.shape(bias))} for {channels} channels")
        if is_first(data_format):
            return biased(y, np.reshape(bias, (channels, *(1,) * (np.ndim(y) - 2))))
        return np.add(from_first(y, data_format), bias)
    return from_first(y, data_format)


def locally_connected(
    x: Any,
    *,
    filters: int,
    kernel_size: Any,
    strides: Any,
    padding: str,
    data_format: str,
    implementation: int = 1,
    activation: Any = None,
    use_bias: bool = True,
    kernel: Any,
    bias: Any = None,
) -> Any:
    """Correlate with a kernel of its own at each place, (places, window, filters): Keras 2."""
    if implementation != 1 or padding != "valid":
        raise NotAffine(f"stores its kernels in form {implementation!r}, which is not supported")
    floating(x)
    x = to_first(x, data_format)
    rank = np.ndim(x) - 2
    windows = sliding(
        spatial_shape(x),
        each_axis(kernel_size, rank, "kernel_size"),
        strides=each_axis(strides, rank, "strides"),
    )
    columns = patches(x, windows.index(x))
    batch, channels, size, places = np.shape(columns)
    if not is_first(data_format):
        columns = np.swapaxes(columns, 1, 2)
    columns = np.reshape(columns, (batch, channels * size, places))
    if np.shape(kernel) != (places, channels * size, filters):
        raise ValueError(f"kernels of shape {list(np.shape(kernel))} for {places} places")
    check_size((batch, filters, places))
    y = np.einsum("bfp,pfm->bpm", columns, kernel)
    y = np.reshape(y, (batch, *windows.output, filters))
    if use_bias:
        if np.shape(bias) != (*windows.output, filters):
            raise ValueError(f"a bias of shape {list(np.shape(bias))}")
        y = np.add(y, bias)
    return activate(np.moveaxis(y, -1, 1) if is_first(data_format) else y, activation)


def stft_spectrogram(
    x: Any,
    *,
    mode: str,
    frame_length: int,
    frame_step: Any,
    fft_length: Any,
    padding: str,
    expand_dims: bool,
    data_format: str,
    real_kernel: Any = None,
    imag_kernel: Any = None,
) -> Any:
    """Transform the frames of a signal; its parts are linear, its magnitude is not."""
    if mode not in ("real", "imag", "stft"):
        raise NotAffine(f"takes the {mode} of a spectrum, a non-linear function of the signal")
    step = frame_step if frame_step is not None else frame_length // 2
    x = to_first(x, data_format)
    batch, channels, size = np.shape(x)
    rows = np.reshape(x, (batch * channels, 1, size))
    parts = []
    for kernel in (real_kernel, imag_kernel):
        if kernel is not None:
            y = _correlated(rows, _to_onnx(kernel), 1, step, padding, "channels_first", 1, 1)
            parts.append(np.reshape(y, (batch, channels, *np.shape(y)[1:])))
    y = np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
    _, _, bins, frames = np.shape(y)
    if not expand_dims:
        y = np.reshape(y, (batch, channels * bins, frames))
        return y if is_first(data_format) else np.swapaxes(y, 1, 2)
    order = (0, 1, 3, 2) if is_first(data_format) else (0, 3, 2, 1)
    return np.transpose(y, order)


_CONV, _DEPTHWISE = Layer(conv), Layer(depthwise_conv)
_SEPARABLE, _TRANSPOSED = Layer(separable_conv), Layer(conv_transpose)

LAYERS: dict[str, Layer] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _CONV),
    **dict.fromkeys(("Convolution1D", "Convolution2D", "Convolution3D"), _CONV),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _DEPTHWISE),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _SEPARABLE),
    **dict.fromkeys(("SeparableConvolution1D", "SeparableConvolution2D"), _SEPARABLE),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _TRANSPOSED),
    **dict.fromkeys(
        ("Convolution1DTranspose", "Convolution2DTranspose", "Convolution3DTranspose"), _TRANSPOSED
    ),
    **dict.fromkeys(("Deconvolution2D", "Deconvolution3D"), _TRANSPOSED),
    **dict.fromkeys(("LocallyConnected1D", "LocallyConnected2D"), Layer(locally_connected)),
    "STFTSpectrogram": Layer(stft_spectrogram, inert=frozenset({"window", "periodic", "scaling"})),
}
