"""Kernels that are stored in small integers: what numbers they stand for.

Source: `_int8_call`, `_int4_call`, `_gptq_call` and `_awq_call` of keras.src.layers.core.dense, and
`unpack_int4` and `dequantize_with_sz_map` of keras.src.quantizers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.keras_policy import Quantization
from converter.semantics.precision import double
from converter.tracing.affine import check_size

_CONFIGS = {
    "int8": "Int8QuantizationConfig",
    "int4": "Int4QuantizationConfig",
    "gptq": "GPTQConfig",
    "awq": "AWQConfig",
}


def check_weight_only(quantization: Quantization, config: Any) -> None:
    """Refuse quantisation that rounds what the layer is given, and forms that are not known.

    Raises
    ------
    NotAffine
        In these cases. Layers written before Keras recorded how they are quantised round their
        inputs.
    """
    settings = config.get("config") if isinstance(config, dict) else None
    mode = quantization.mode
    known = isinstance(config, dict) and config.get("class_name") == _CONFIGS[mode]
    if known and isinstance(settings, dict) and config.get("registered_name") is None:
        if mode in ("gptq", "awq"):
            return
        if mode == "int4":
            if "block_size" not in settings:
                raise NotAffine("stores its kernel in a form of int4 that is not supported")
            _check_group(quantization, settings)
        if "activation_quantizer" in settings and settings["activation_quantizer"] is None:
            return
    raise NotAffine(
        f"rounds what it is given to {mode}, a step function; convert the network before it is "
        "quantised, or quantise its weights alone (activation_quantizer=None)"
    )


def table(
    quantization: Quantization,
    config: Any,
    stored: Any,
    shape: tuple[int, int],
    scale: Any,
    zero: Any = None,
    groups: Any = None,
) -> np.ndarray:
    """Return the table of an embedding, of shape (codes, numbers), that small integers stand for.

    Each code has a scale, or one for each group of its numbers; nothing that depends on the input
    is rounded. Of 4 bits, two numbers of a code are in a byte. Source: `_int8_call` and
    `_int4_call` of keras.src.layers.core.embedding.

    Raises
    ------
    NotAffine
        If it is quantised in a way that is not known.
    ValueError
        If the shapes do not fit.
    """
    mode = quantization.mode
    if mode not in ("int8", "int4"):
        raise NotAffine(f"stores its table in {mode}, which is not supported")
    if config is not None:
        settings = config.get("config") if isinstance(config, dict) else None
        if not isinstance(settings, dict) or config.get("class_name") != _CONFIGS[mode]:
            raise NotAffine(f"stores its table in a form of {mode} that is not known")
        if mode == "int4":
            _check_group(quantization, settings)
    check_size(shape)
    numbers = np.asarray(stored)
    if quantization.bits == 4:
        if numbers.shape != (shape[0], (shape[1] + 1) // 2) or numbers.dtype.itemsize != 1:
            raise ValueError(f"a packed table of {list(numbers.shape)} for {list(shape)}")
        numbers = _unpacked(numbers, signed=True)[:, : shape[1]]
    return dequantized(
        *(Quantization(mode, 8, quantization.group), numbers.T, shape[::-1]),
        *(np.transpose(scale), None if zero is None else np.transpose(zero), groups),
    ).T


def _check_group(quantization: Quantization, settings: Any) -> None:
    size = settings.get("block_size", 0)
    if (-1 if size is None else size) != quantization.group:
        raise NotAffine("says two sizes of the groups that its kernel is quantised in")


def dequantized(
    quantization: Quantization,
    kernel: Any,
    shape: tuple[int, int],
    scale: Any,
    zero: Any = None,
    groups: Any = None,
    row_scales: Any = None,
) -> np.ndarray:
    """Return the kernel, of shape (rows, columns), that small integers stand for.

    Parameters
    ----------
    quantization : Quantization
    kernel : ndarray of int8 or uint8
        As stored: int8 as it is; int4 two columns in a byte; gptq and awq turned round, columns
        in front, of 4 bits two columns in a byte.
    shape : (int, int)
        Rows (what is summed over) and columns.
    scale, zero : ndarray
        For each column, or for each group of rows and column.
    groups : ndarray of float, shape (rows,)
        The number of each row's group.
    row_scales : ndarray, shape (rows,)
        For awq, what the rows were multiplied by before.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    rows, columns = shape
    check_size(shape)
    turned = quantization.mode in ("gptq", "awq")
    stored = np.asarray(kernel)
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize != 1 or stored.ndim != 2:
        raise ValueError(f"a quantised kernel of type {stored.dtype} and {stored.ndim} axes")
    if turned:
        stored = stored.T
    if quantization.bits == 4:
        if stored.shape != (rows, (columns + 1) // 2):
            raise ValueError(f"a packed kernel of {list(stored.shape)} for {list(shape)}")
        stored = _unpacked(stored, signed=not turned)[:, :columns]
    numbers = stored.astype(np.float64)
    if numbers.shape != shape:
        raise ValueError(f"a quantised kernel of {list(numbers.shape)} for {list(shape)}")
    if not quantization.grouped:
        _check(scale, (columns,))
        return numbers / _nonzero(scale)
    if turned:
        scale, zero = np.transpose(scale), np.transpose(zero)
    count = np.shape(scale)[0]
    _check(scale, (count, columns))
    _check(zero, (count, columns))
    _check(groups, (rows,))
    group = double(groups).astype(np.int64)
    if group.size and not 0 <= group.min() <= group.max() < count:
        raise ValueError("a row of a group that does not exist")
    numbers = (numbers - double(zero)[group]) * double(scale)[group]
    if quantization.mode == "awq":
        _check(row_scales, (rows,))
        numbers = numbers / _nonzero(row_scales)[:, None]
    return numbers


def _unpacked(packed: np.ndarray, *, signed: bool) -> np.ndarray:
    """Return the two halves of each byte side by side, the lower one first."""
    byte = packed.view(np.uint8)
    halves = np.stack([byte & 15, byte >> 4], axis=-1).reshape(byte.shape[0], -1)
    return (halves.astype(np.int8) ^ 8) - 8 if signed else halves


def _check(values: Any, shape: tuple[int, ...]) -> None:
    if values is None or np.shape(values) != shape:
        raise ValueError(f"quantisation needs {list(shape)} values, not {list(np.shape(values))}")


def _nonzero(values: Any) -> np.ndarray:
    array = double(values)
    if not array.all():
        raise ValueError("a quantised kernel has a scale of zero")
    return array
