"""Convolutions, and what is like them: blocks added into an image, displaced windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.convolution import (
    check_groups,
    conv,
    conv_transpose,
    finish,
    kernel_of,
    product,
    sources,
)
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.sampled import at_corners
from converter.semantics.precision import double, floating, in_type_of
from converter.semantics.windows import flat_index, patches, sliding, spatial_shape
from converter.tracing.affine import check_size


def col2im(
    input: Any,
    image_shape: Any,
    block_shape: Any,
    *,
    dilations: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Add blocks into an image: ONNX operators, Col2Im."""
    image, block = integers(image_shape), integers(block_shape)
    if np.ndim(input) != 3 or len(image) != len(block):
        raise ValueError("wants columns of three axes, and image and block of one rank")
    floating(input)
    windows = sliding(image, block, dilations=dilations, pads=pads, strides=strides)
    if len(image) > 2 and max(windows.dilations) > 1:
        # The formula is clear; onnxruntime computes something else.
        raise NotAffine("dilates blocks of more than two axes, which runtimes do differently")
    count, size = math.prod(windows.output), math.prod(block)
    batch, channels = input.shape[0], input.shape[1] // size
    if input.shape[1:] != (channels * size, count):
        raise ValueError(f"blocks {list(block)} in {list(image)} make {count} columns of {size}")
    check_size((batch, channels, *block, *image))
    index = flat_index(
        sources(block, windows.dilations, windows.strides, windows.before, image),
        windows.output,
        input,
    )
    index = np.where(index < 0, -1, index + count * np.arange(size)[:, None])
    columns = np.reshape(double(input), (batch, channels, size * count))
    result = np.sum(patches(columns, index), axis=2)
    return in_type_of(input, np.reshape(result, (batch, channels, *image)))


def deform_conv(
    X: Any,
    W: Any,
    offset: Any,
    B: Any = None,
    mask: Any = None,
    *,
    dilations: Any = None,
    group: int = 1,
    kernel_shape: Any = None,
    offset_group: int = 1,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Convolve at displaced places, with linear interpolation: ONNX operators, DeformConv.

    The channels of `offset` are numbered by group, kernel position and axis, in this order, as
    in the operator's examples.
    """
    if not isinstance(offset, np.ndarray):
        raise NotAffine("samples at places that depend on the input")
    floating(X, W, B, mask, offset)
    spatial = spatial_shape(X)
    kernel = kernel_of(X, W, kernel_shape)
    check_groups(group, X.shape[1], W.shape[1] * group, W.shape[0])
    windows = sliding(spatial, kernel, dilations=dilations, pads=pads, strides=strides)
    batch, channels = X.shape[:2]
    size, count = math.prod(kernel), math.prod(windows.output)
    if offset_group < 1 or channels % offset_group:
        raise ValueError(f"{channels} channels do not divide into {offset_group} offset groups")
    check_size((batch, channels, size, *windows.output))
    groups, rank = offset_group, len(spatial)
    if offset.shape != (batch, groups * size * rank, *windows.output):
        raise ValueError(f"offset has the shape {list(offset.shape)}")
    moved = double(offset).reshape(batch, groups, size, rank, count)
    places = []
    for axis, positions in enumerate(windows.positions()):
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = positions.shape
        grid = np.broadcast_to(positions.reshape(shape), (*kernel, *windows.output))
        places.append(grid.reshape(size, count) + moved[:, :, :, axis])
    # Each offset group of each image is an image of its own.
    images = np.reshape(double(X), (batch * groups, channels // groups, *spatial))
    columns = at_corners(images, [p.reshape(batch * groups, size * count) for p in places])
    columns = np.reshape(columns, (batch, groups, channels // groups, size, count))
    if mask is not None:
        if mask.shape != (batch, groups * size, *windows.output):
            raise ValueError(f"mask has the shape {list(mask.shape)}")
        columns = np.multiply(columns, np.reshape(mask, (batch, groups, 1, size, count)))
    columns = np.reshape(columns, (batch, channels, size, count))
    return in_type_of(X, finish(product(columns, W, group), B, windows.output))


OPERATORS: dict[str, Operator] = {
    "Col2Im": Operator({18: col2im}),
    "Conv": Operator({1: conv}, accepts="one of X, W, B depends on the input"),
    "ConvTranspose": Operator({1: conv_transpose}, accepts="one of X, W, B depends on the input"),
    "DeformConv": Operator({19: deform_conv}, accepts="the offsets are constant"),
}
