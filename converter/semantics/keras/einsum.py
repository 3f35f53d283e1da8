"""EinsumDense: a product with a kernel in Einstein's notation.

Source: `_analyze_einsum_string` of keras.src.layers.core.einsum_dense.
"""

from __future__ import annotations

import math
import re
import string
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.keras_policy import Quantization
from converter.semantics.keras.activations import activate
from converter.semantics.keras.geometry import biased
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.lora import merged
from converter.semantics.keras.quantization import check_weight_only, dequantized
from converter.tracing.affine import check_size

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


def einsum_dense(
    x: Any,
    *,
    equation: str,
    output_shape: Any,
    bias_axes: Any = None,
    activation: Any = None,
    lora_rank: Any = None,
    lora_alpha: Any = None,
    quantization: Quantization | None = None,
    quantization_config: Any = None,
    kernel: Any,
    bias: Any = None,
    lora_kernel_a: Any = None,
    lora_kernel_b: Any = None,
    kernel_scale: Any = None,
    kernel_zero: Any = None,
    g_idx: Any = None,
    awq_scales: Any = None,
) -> Any:
    """``activation(einsum(equation, x, kernel) + bias)``."""
    source, weights, target = _axes(equation, np.ndim(x))
    divisor = None
    if quantization is not None:
        check_weight_only(quantization, quantization_config)
        if "..." in equation and not equation.startswith("..."):
            raise NotAffine(f"has a quantised kernel and the equation {equation!r}, not supported")
        if lora_kernel_a is not None:
            raise NotAffine("adds low-rank factors to a quantised kernel, not supported here")
        if quantization.mode == "int8":
            # Its scales are those of the output's axes.
            kernel, divisor = np.asarray(kernel).astype(np.float64), kernel_scale
        else:
            shape = _kernel_shape(source, weights, target, np.shape(x), output_shape)
            rows, columns = _flat(source, weights, target, shape, quantization)
            flat = dequantized(
                *(quantization, kernel, (rows, columns)),
                *(kernel_scale, kernel_zero, g_idx, awq_scales),
            )
            kernel = flat.reshape(shape)
    elif quantization_config is not None:
        raise NotAffine("has a quantization_config and no quantised dtype, which is not supported")
    kernel = merged(kernel, lora_kernel_a, lora_kernel_b, lora_rank, lora_alpha)
    if np.ndim(kernel) != len(weights):
        raise ValueError(f"a kernel of {np.ndim(kernel)} axes in {equation!r}")
    sizes = dict(zip(source, np.shape(x), strict=True))
    for letter, size in zip(weights, kernel.shape, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise ValueError(f"a kernel of shape {list(kernel.shape)} for {list(np.shape(x))}")
    check_size([sizes[letter] for letter in target])
    y = np.einsum(f"{source},{weights}->{target}", x, kernel)
    if divisor is not None:
        if np.broadcast_shapes(np.shape(divisor), np.shape(y)) != np.shape(y):
            raise ValueError("scales that do not fit the output")
        y = np.divide(y, divisor)
    if bias_axes:
        if np.broadcast_shapes(np.shape(bias), np.shape(y)) != np.shape(y):
            raise ValueError(f"a bias of shape {list(np.shape(bias))} for {list(np.shape(y))}")
        y = biased(y, bias)
    return activate(y, activation)


def _axes(equation: str, rank: int) -> tuple[str, str, str]:
    """Return the letters of the input, the kernel and the output, an ellipsis spelled out."""
    found = _EQUATION.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
    if found is None:
        raise NotAffine(f"has the equation {equation!r}, which is not supported")
    left, source, right, weights, made_left, target, made_right = found.groups()
    if (left, right) != (made_left, made_right) or (left and right):
        raise NotAffine(f"has the equation {equation!r}, which is not supported")
    labels = source + weights
    if len(set(target)) < len(target) or not set(target) <= set(labels):
        raise ValueError(f"the equation {equation!r} makes an axis twice or of nothing")
    spare = rank - len(source)
    if spare < 0 or (spare and not (left or right)):
        raise ValueError(f"the equation {equation!r} meets a value of {rank} axes")
    free = [letter for letter in string.ascii_letters if letter not in labels]
    more = "".join(free[:spare])
    if left:
        return more + source, weights, more + target
    return source + more, weights, target + more


def _kernel_shape(
    source: str, weights: str, target: str, shape: tuple[int, ...], output_shape: Any
) -> tuple[int, ...]:
    """Return the kernel's shape as input and output give it."""
    given = list(output_shape) if isinstance(output_shape, (list, tuple)) else [output_shape]
    sizes = dict(zip(source, shape, strict=True))
    # The shape is given without the batch axis, and without what an ellipsis stands for.
    for letter, size in zip(target[::-1], given[::-1], strict=False):
        if isinstance(size, int):
            sizes.setdefault(letter, size)
    if any(letter not in sizes for letter in weights):
        raise NotAffine("does not say the shape of its quantised kernel")
    made = tuple(sizes[letter] for letter in weights)
    check_size(made)
    return made


def _flat(
    source: str, weights: str, target: str, shape: tuple[int, ...], quantization: Quantization
) -> tuple[int, int]:
    """Return rows and columns of the matrix that the kernel is stored as."""
    if quantization.mode == "int4":
        rows = math.prod(
            size for letter, size in zip(weights, shape, strict=True) if letter not in target
        )
        return rows, math.prod(shape) // max(rows, 1)
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) != 3:
        raise NotAffine("has a quantised kernel of other than two or three axes")
    # The longest axis is taken for the model's own, on which side it may be.
    if shape.index(max(shape)) == 0:
        return shape[0], shape[1] * shape[2]
    return shape[0] * shape[1], shape[2]


LAYERS: dict[str, Layer] = {
    "EinsumDense": Layer(einsum_dense, inert=frozenset({"gptq_unpacked_column_size"})),
}
