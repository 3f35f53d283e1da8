"""Convolutions: products of gathered windows with a kernel.

Layout and attributes are those of ONNX: (N, C, *spatial) and weights (M, C / group, *kernel). Data,
kernel and bias are treated alike; any one of them may depend on the input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.precision import contract, floating, in_type_of
from converter.semantics.windows import (
    Sizes,
    divide_padding,
    explicit_pads,
    extents,
    flat_index,
    patches,
    per_axis,
    sliding,
    spatial_shape,
)
from converter.tracing.affine import MAX_ELEMENTS, check_size


def conv(
    X: Any,
    W: Any,
    B: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Any = None,
    group: int = 1,
    kernel_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Convolve (a correlation, in fact): ONNX operators, Conv."""
    floating(X, W, B)
    kernel = kernel_of(X, W, kernel_shape)
    check_groups(group, X.shape[1], W.shape[1] * group, W.shape[0])
    windows = sliding(
        spatial_shape(X),
        kernel,
        auto_pad=auto_pad,
        dilations=dilations,
        pads=pads,
        strides=strides,
    )
    check_size((X.shape[0], W.shape[0], *windows.output))
    result = _convolved(X, windows.index(X), W, group)
    return in_type_of(X, finish(result, B, windows.output))


def conv_transpose(
    X: Any,
    W: Any,
    B: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Any = None,
    group: int = 1,
    kernel_shape: Any = None,
    output_padding: Any = None,
    output_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Apply the transpose of a convolution: ONNX operators, ConvTranspose.

    It is computed as a gather as well: the output at o sums the inputs i and kernel positions k
    with ``i * stride + k * dilation - pad = o``.
    """
    floating(X, W, B)
    spatial = spatial_shape(X)
    rank = len(spatial)
    kernel = kernel_of(X, W, kernel_shape)
    check_groups(group, X.shape[1], W.shape[0], W.shape[1] * group)
    along = per_axis("strides", strides, rank, 1, least=1)
    apart = per_axis("dilations", dilations, rank, 1, least=1)
    more = per_axis("output_padding", output_padding, rank, 0, least=0)
    if any(n >= max(s, d) for n, s, d in zip(more, along, apart, strict=True)):
        raise ValueError(f"output_padding {list(more)} is not below stride or dilation")
    full = tuple(
        step * (size - 1) + extra + extent
        for step, size, extra, extent in zip(
            along, spatial, more, extents(kernel, apart), strict=True
        )
    )
    before, output = _transposed_output(auto_pad, pads, output_shape, full, spatial, along)
    check_size((X.shape[0], W.shape[1] * group, *output))
    index = flat_index(sources(kernel, apart, along, before, output), spatial, X)
    kernels = np.reshape(W, (group, W.shape[0] // group, W.shape[1], math.prod(kernel)))
    kernels = np.reshape(
        np.swapaxes(kernels, 1, 2), (group * W.shape[1], W.shape[0] // group, *kernel)
    )
    return in_type_of(X, finish(_convolved(X, index, kernels, group), B, output))


def _transposed_output(
    auto_pad: Any, pads: Any, output_shape: Any, full: Sizes, spatial: Sizes, strides: Sizes
) -> tuple[Sizes, Sizes]:
    """Return the padding at the beginning, and the sizes of the output.

    Where more output is asked for than the inputs reach (negative padding, which the formulas
    leave open), the rest at the end is empty, as in ONNX's own test convtranspose_output_shape.
    """
    before, after = explicit_pads(
        "NOTSET" if output_shape is not None else auto_pad, pads, len(full)
    )
    if output_shape is not None:
        explicit_pads(auto_pad, None, len(full))
        output = per_axis("output_shape", output_shape, len(full), 1, least=1)
    elif auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output = tuple(size * step for size, step in zip(spatial, strides, strict=True))
        if any(size < wanted for size, wanted in zip(full, output, strict=True)):
            raise NotAffine("would pad automatically by a negative number")
    else:
        output = tuple(
            size - start - end for size, start, end in zip(full, before, after, strict=True)
        )
        if min(output) < 1 or min(spatial) < 1:
            raise ValueError(f"the output would have the shape {list(output)}")
        return before, output
    total = [max(size - wanted, 0) for size, wanted in zip(full, output, strict=True)]
    return divide_padding(total, upper=auto_pad == "SAME_UPPER")[0], output


def sources(
    kernel: Sizes, dilations: Sizes, strides: Sizes, before: Sizes, output: Sizes
) -> list[np.ndarray]:
    """Return, for each axis, which window has its kernel position k at the place o; or -1."""
    found = []
    for k, d, s, p, o in zip(kernel, dilations, strides, before, output, strict=True):
        ahead = np.arange(o) + p - np.arange(k)[:, None] * d
        found.append(np.where((ahead >= 0) & (ahead % s == 0), ahead // s, -1))
    return found


def kernel_of(x: Any, w: Any, kernel_shape: Any) -> Sizes:
    """Return the kernel's spatial shape, which the attribute may only repeat."""
    spatial_shape(x)
    if np.ndim(w) != np.ndim(x):
        raise ValueError(f"weights of {np.ndim(w)} axes for data of {np.ndim(x)}")
    kernel = np.shape(w)[2:]
    if kernel_shape is not None and integers(kernel_shape) != kernel:
        raise ValueError(f"kernel_shape disagrees with weights of shape {list(np.shape(w))}")
    return kernel


def check_groups(group: int, channels: int, wanted: int, made: int) -> None:
    if group < 1 or channels % group or made % group:
        raise ValueError(f"{channels} and {made} channels do not divide into {group} groups")
    if channels != wanted:
        raise ValueError(f"weights for {wanted} channels meet data of {channels}")


def _convolved(x: Any, index: np.ndarray, w: Any, group: int) -> Any:
    """Gather the windows and contract them with the weights; large ones by kernel position."""
    batch, channels = x.shape[:2]
    if batch * channels * index.size <= MAX_ELEMENTS:
        return product(patches(x, index), w, group)
    check_size((batch, channels, index.shape[1]))
    flat = np.reshape(w, (*w.shape[:2], index.shape[0]))
    total: Any = None
    for place in range(index.shape[0]):
        part = product(patches(x, index[place : place + 1]), flat[:, :, place : place + 1], group)
        total = part if total is None else np.add(total, part)
    return total


def product(columns: Any, w: Any, group: int) -> Any:
    """Contract windows (N, C, K, O) with weights (M, C / group, *kernel) into (N, M, O)."""
    batch, channels, size, count = columns.shape
    made = w.shape[0]
    check_size((batch, made, count))
    if group == 1:
        return contract("ncko,mck->nmo", columns, np.reshape(w, (made, channels, size)))
    columns = np.reshape(columns, (batch, group, channels // group, size, count))
    w = np.reshape(w, (group, made // group, channels // group, size))
    return np.reshape(contract("ngcko,gmck->ngmo", columns, w), (batch, made, count))


def finish(result: Any, b: Any, output: Sizes) -> Any:
    batch, made = result.shape[:2]
    if b is not None:
        if np.shape(b) != (made,):
            raise ValueError(f"a bias of shape {list(np.shape(b))} for {made} channels")
        result = np.add(result, np.reshape(b, (made, 1)))
    return np.reshape(result, (batch, made, *output))
