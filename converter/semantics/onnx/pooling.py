"""Poolings: means of windows, which are linear, and maxima, which are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import double, floating, in_type_of
from converter.semantics.windows import (
    Sizes,
    Windows,
    averages,
    extents,
    lone,
    patches,
    per_axis,
    sliding,
    spatial_shape,
)
from converter.tracing.affine import check_size

_MAXIMUM = "chooses the largest among values that depend on the input"


def average_pool_7(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    count_include_pad: int = 0,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    return average_pool(
        X,
        auto_pad=auto_pad,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )


def average_pool_10(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    return average_pool(
        X,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )


def average_pool(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Any = None,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Average windows: ONNX operators, AveragePool.

    A window that reaches beyond the padded input (ceil_mode) does not count what it finds
    there, padding counted or not.
    """
    floating(X)
    windows = _windows(X, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    return in_type_of(X, averages(double(X), windows, padding=bool(count_include_pad)))


def global_average_pool(X: Any) -> Any:
    """Average over all spatial axes: ONNX operators, GlobalAveragePool."""
    floating(X)
    axes = tuple(range(2, 2 + len(spatial_shape(X))))
    if 0 in spatial_shape(X):
        raise ValueError("the mean of no elements")
    return in_type_of(X, np.mean(double(X), axis=axes, keepdims=True))


def max_pool_1(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    return max_pool(X, auto_pad=auto_pad, kernel_shape=kernel_shape, pads=pads, strides=strides)[0]


def max_pool_8(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: Any,
    pads: Any = None,
    storage_order: int = 0,
    strides: Any = None,
) -> Any:
    return max_pool(
        X,
        auto_pad=auto_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        storage_order=storage_order,
        strides=strides,
    )


def max_pool(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Any = None,
    kernel_shape: Any,
    pads: Any = None,
    storage_order: int = 0,
    strides: Any = None,
) -> Any:
    """Take the maxima of windows: ONNX operators, MaxPool.

    Windows of one element have no choice. The second output, the indices, is left undefined;
    storage_order says how those are counted.
    """
    if storage_order not in (0, 1):
        raise ValueError(f"storage_order is {storage_order}")
    windows = _windows(X, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    shape = (*X.shape[:2], *windows.output)
    index = windows.index(X)
    single = lone(index)
    if single is not None:
        return np.reshape(patches(X, single), shape), None
    if not isinstance(X, np.ndarray):
        raise NotAffine(_MAXIMUM, shape=shape)
    lowest = -np.inf if X.dtype.kind == "f" else np.iinfo(X.dtype).min
    largest = np.max(patches(X, index, lowest), axis=2)
    return np.reshape(largest, shape), None


def global_max_pool(X: Any) -> Any:
    """Take the maximum over all spatial axes: ONNX operators, GlobalMaxPool."""
    spatial = spatial_shape(X)
    if set(spatial) == {1}:
        return X
    if not isinstance(X, np.ndarray):
        raise NotAffine(_MAXIMUM, shape=(*X.shape[:2], *(1 for _ in spatial)))
    return np.max(X, axis=tuple(range(2, X.ndim)), keepdims=True)


def lp_pool_2(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: Any,
    p: int = 2,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    return _lp_pool(X, p, _windows(X, kernel_shape, auto_pad, 0, None, pads, strides))


def lp_pool(
    X: Any,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Any = None,
    kernel_shape: Any,
    p: int = 2,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    return _lp_pool(X, p, _windows(X, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides))


def _lp_pool(x: Any, p: float, windows: Windows) -> Any:
    if p <= 0:
        raise ValueError(f"p is {p}")
    floating(x)
    powers = np.power(np.abs(patches(double(x), windows.index(x))), p)
    norms = np.power(np.sum(powers, axis=2), 1.0 / p)
    return in_type_of(x, np.reshape(norms, (*x.shape[:2], *windows.output)))


def max_unpool(
    X: Any,
    I: Any,  # noqa: E741 (ONNX's name)
    output_shape: Any = None,
    *,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
) -> Any:
    """Put values where a pooling found its maxima: ONNX operators, MaxUnpool.

    Raises
    ------
    NotAffine
        If the places depend on the input or one is taken twice; or if output_shape asks for
        another shape than the formula gives: then ONNX's own test counts the places in the
        latter, onnxruntime in the former (onnx issue 5741).
    """
    if not isinstance(I, np.ndarray):
        raise NotAffine("puts values into places that depend on the input")
    spatial = spatial_shape(X)
    rank = len(spatial)
    kernel = per_axis("kernel_shape", kernel_shape, rank, 1, least=1)
    both = per_axis("pads", pads, 2 * rank, 0, least=0)
    along = per_axis("strides", strides, rank, 1, least=1)
    reach = extents(kernel, (1,) * rank)
    sizes = zip(spatial, along, reach, both[:rank], both[rank:], strict=True)
    image = tuple((size - 1) * step + k - a - b for size, step, k, a, b in sizes)
    shape = (*X.shape[:2], *image)
    if output_shape is not None and integers(output_shape) != shape:
        raise NotAffine(f"unpools to another shape than {list(shape)}, which runtimes disagree on")
    check_size(shape)
    if I.shape != X.shape or I.dtype.kind not in "iu":
        raise ValueError("wants one integer index for each value")
    count = int(np.prod(shape))
    taken = I.reshape(-1)
    if taken.size and not 0 <= int(taken.min()) <= int(taken.max()) < count:
        raise ValueError(f"an index lies outside the {count} elements of the output")
    if len(np.unique(taken)) < len(taken):
        raise NotAffine("puts two values into one place; which of them stays is not specified")
    source = np.full(count, -1)
    source[taken] = np.arange(len(taken))
    # The index -1 finds the padding, which is the last element.
    flat = np.pad(np.reshape(X, (X.size,)), ((0, 1),))
    return np.reshape(np.take(flat, source), shape)


def _windows(
    x: Any,
    kernel_shape: Any,
    auto_pad: Any,
    ceil_mode: int,
    dilations: Any,
    pads: Any,
    strides: Any,
) -> Windows:
    spatial = spatial_shape(x)
    kernel: Sizes = per_axis("kernel_shape", kernel_shape, len(spatial), 1, least=1)
    windows = sliding(
        spatial,
        kernel,
        auto_pad=auto_pad,
        dilations=dilations,
        pads=pads,
        strides=strides,
        ceil_mode=ceil_mode,
    )
    check_size((*x.shape[:2], *kernel, *windows.output))
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        _check_same(windows)
    if auto_pad == "VALID" and ceil_mode:
        explicit = sliding(
            spatial, kernel, dilations=dilations, strides=strides, ceil_mode=ceil_mode
        )
        if explicit.output != windows.output:
            # The formula has no window beyond the end; onnxruntime has one.
            raise NotAffine("rounds up without padding, which runtimes do differently")
    return windows


def _check_same(windows: Windows) -> None:
    """Refuse what the specification leaves open, or onnxruntime computes otherwise.

    The formula makes the padding negative where windows leave gaps at the end; onnxruntime
    refuses that or starts further in. With dilations it pads as if there were none.
    """
    if max(windows.dilations) > 1:
        raise NotAffine("pads automatically with dilations, which runtimes disagree on")
    for size, kernel, step, count in zip(
        windows.spatial, windows.kernel, windows.strides, windows.output, strict=True
    ):
        if (count - 1) * step + kernel < size:
            raise NotAffine("would pad automatically by a negative number")


OPERATORS: dict[str, Operator] = {
    "AveragePool": Operator({7: average_pool_7, 10: average_pool_10, 19: average_pool}),
    "GlobalAveragePool": Operator({1: global_average_pool}),
    "GlobalMaxPool": Operator({1: global_max_pool}, accepts="over one element"),
    "LpPool": Operator(
        {2: lp_pool_2, 18: lp_pool},
        refusal="a norm, a non-linear function of values that depend on the input",
    ),
    "MaxPool": Operator(
        {1: max_pool_1, 8: max_pool_8, 10: max_pool}, accepts="windows hold one element"
    ),
    "MaxUnpool": Operator({9: max_unpool}, accepts="the indices are constant"),
}
