"""Operators of the domain com.microsoft that onnxruntime's optimiser fuses others into.

Source: onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.convolution import conv
from converter.semantics.onnx.arithmetic import gemm, matmul
from converter.semantics.onnx.linking import sigmoid, tanh
from converter.semantics.onnx.operator import Operator
from converter.tracing.linked import ACTIVATION


def fused_mat_mul(
    A: Any,
    B: Any,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Any:
    if transBatchA or transBatchB:
        raise NotAffine("transposes the batch axes (transBatchA, transBatchB)")
    a, b = _transposed(A, transA), _transposed(B, transB)
    product = matmul(a, b)
    return product if alpha == 1.0 else np.multiply(product, np.float64(alpha))


def _transposed(matrix: Any, transpose: int) -> Any:
    # A vector stays what it is.
    return np.swapaxes(matrix, -1, -2) if transpose and np.ndim(matrix) > 1 else matrix


def fused_gemm(
    A: Any,
    B: Any,
    C: Any = None,
    *,
    activation: str = "",
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    activation_gamma: float = 0.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    return _activated(
        gemm(A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB), activation
    )


def fused_conv(
    X: Any,
    W: Any,
    B: Any = None,
    Z: Any = None,
    *,
    activation: str = "",
    activation_params: Any = (),
    auto_pad: str = "NOTSET",
    dilations: Any = None,
    group: int = 1,
    kernel_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    y = conv(
        X,
        W,
        B,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return _activated(y if Z is None else np.add(y, Z), activation)


def _activated(value: Any, activation: str) -> Any:
    if not activation:
        return value
    if activation == "Sigmoid":
        return sigmoid(value)
    if activation == "Tanh":
        return tanh(value)
    raise NotAffine(ACTIVATION, operation=activation, shape=np.shape(value))


OPERATORS: dict[str, Operator] = {
    "FusedConv": Operator({1: fused_conv}),
    "FusedGemm": Operator({1: fused_gemm}),
    "FusedMatMul": Operator({1: fused_mat_mul}),
}
