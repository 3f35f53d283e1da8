"""Fourier transforms, which are linear, and the windows that go with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.onnx_types import TYPES
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import contract, double, floating, in_type_of
from converter.tracing.affine import check_size, pin


def dft_17(
    input: Any, dft_length: Any = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Any:
    return _dft(input, dft_length, axis, bool(inverse), bool(onesided))


def dft(
    input: Any, dft_length: Any = None, axis: Any = None, *, inverse: int = 0, onesided: int = 0
) -> Any:
    """Transform along an axis: ONNX operators, DFT."""
    along = -2 if axis is None else _scalar(axis)
    return _dft(input, dft_length, along, bool(inverse), bool(onesided))


def _dft(x: Any, dft_length: Any, axis: int, inverse: bool, onesided: bool) -> Any:
    floating(x)
    rank = np.ndim(x)
    if rank < 2 or not -rank <= axis < rank or axis % rank == rank - 1:
        raise ValueError(f"axis {axis} of {rank}, of which the last holds complex numbers")
    axis %= rank
    size, parts = x.shape[axis], x.shape[-1]
    if parts not in (1, 2) or (onesided and parts != (2 if inverse else 1)):
        raise ValueError(f"a last axis of {parts} where it holds real or complex numbers")
    length = 2 * (size - 1) if inverse and onesided else size
    if dft_length is not None:
        length = _scalar(dft_length)
    if length < 1:
        raise ValueError(f"a transform of length {length}")
    if inverse and onesided and size != length // 2 + 1:
        # Filled up with zeros or cut; onnxruntime does not do what onnx's reference does.
        raise NotAffine("makes a real signal of another length than its spectrum has")
    pin(x, [size])
    matrix = _transform(length, min(size, length), parts, inverse=inverse, onesided=onesided)
    used = x[(*(slice(None),) * axis, slice(0, matrix.shape[0]))]
    check_size((*x.shape[:axis], matrix.shape[2], *x.shape[axis + 1 : -1], matrix.shape[3]))
    labels = "abcdefghijklmnopqrstuvwx"[: rank - 1] + "y"
    made = labels[:axis] + "z" + labels[axis + 1 : -1] + "A"
    return in_type_of(x, contract(f"{labels},{labels[axis]}yzA->{made}", used, matrix))


def _transform(length: int, size: int, parts: int, *, inverse: bool, onesided: bool) -> np.ndarray:
    """Return the transform of `size` numbers, padded to `length`, as a real array.

    Returns
    -------
    ndarray, shape (size, parts, made, parts made)
        From real and imaginary part to real and imaginary part; the one-sided inverse has
        no imaginary part, for the other half of its spectrum is the conjugate of the first.
    """
    half = length // 2 + 1
    to_real = inverse and onesided
    made = half if onesided and not inverse else length
    check_size((size, parts, made, 2))
    turns = np.outer(np.arange(size), np.arange(made)) % length
    cos, sin = _table(length)
    real, imaginary = cos[turns], sin[turns] if inverse else -sin[turns]
    matrix = np.empty((size, parts, made, 2))
    matrix[:, 0, :, 0], matrix[:, 0, :, 1] = real, imaginary
    if parts == 2:
        matrix[:, 1, :, 0], matrix[:, 1, :, 1] = -imaginary, real
    if inverse:
        matrix /= length
    if not to_real:
        return matrix
    own = np.arange(size) * 2 % length == 0  # its own conjugate, and so counted once
    return np.where(own, 1.0, 2.0)[:, None, None, None] * matrix[..., :1]


def _table(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and sine of all multiples of 2 pi / length, with exact zeros."""
    turn = np.arange(length)
    angle = 2 * np.pi * turn / length
    cos = np.where((4 * turn == length) | (4 * turn == 3 * length), 0.0, np.cos(angle))
    return cos, np.where(2 * turn % length == 0, 0.0, np.sin(angle))


def stft(
    signal: Any, frame_step: Any, window: Any = None, frame_length: Any = None, *, onesided: int = 1
) -> Any:
    """Transform frames of a signal: ONNX operators, STFT."""
    floating(signal, window)
    if np.ndim(signal) != 3 or signal.shape[2] not in (1, 2):
        raise ValueError(f"a signal of shape {list(np.shape(signal))}")
    batch, size, parts = signal.shape
    step = _scalar(frame_step)
    length = size
    if window is not None:
        if np.ndim(window) != 1:
            raise ValueError("a window of more than one axis")
        length = window.shape[0]
    if frame_length is not None:
        if window is not None and _scalar(frame_length) != length:
            raise ValueError(f"a window of {length} for frames of {_scalar(frame_length)}")
        length = _scalar(frame_length)
    if not 1 <= length <= size or step < 1:
        raise ValueError(f"frames of {length}, each {step} on, of a signal of {size}")
    if onesided and parts == 2:
        raise ValueError("one side of the transform of a complex signal")
    frames = (size - length) // step + 1
    matrix = _transform(length, length, parts, inverse=False, onesided=bool(onesided))
    check_size((batch, frames, length, parts))
    check_size((batch, frames, *matrix.shape[2:]))
    pin(signal, [size])
    index = np.arange(frames)[:, None] * min(step, size) + np.arange(length)
    taken = np.take(double(signal), index, axis=1)
    if window is not None:
        taken = np.multiply(taken, np.reshape(window, (length, 1)))
    return in_type_of(signal, contract("bfnc,nckd->bfkd", taken, matrix))


def hann_window(size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _window(size, output_datatype, periodic, 0.5, 0.5, 0.0)


def hamming_window(size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _window(size, output_datatype, periodic, 25 / 46, 21 / 46, 0.0)


def blackman_window(size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _window(size, output_datatype, periodic, 0.42, 0.5, 0.08)


def _window(size: Any, datatype: int, periodic: int, a: float, b: float, c: float) -> np.ndarray:
    """Return ``a - b cos(t) + c cos(2 t)``; source: ONNX operators, the function bodies."""
    count = _scalar(size)
    check_size((count,))
    turn = count if periodic else count - 1
    if count and not turn:
        raise ValueError("a symmetric window of one element")
    angle = 2 * np.pi * np.arange(count) / max(turn, 1)
    return (a - b * np.cos(angle) + c * np.cos(2 * angle)).astype(_type(datatype))


def mel_weight_matrix(
    num_mel_bins: Any,
    dft_length: Any,
    sample_rate: Any,
    lower_edge_hertz: Any,
    upper_edge_hertz: Any,
    *,
    output_datatype: int = 1,
) -> Any:
    """Return triangles on the mel scale: ONNX operators, MelWeightMatrix.

    The specification gives the scale alone; where the triangles begin and end is taken from
    its example, as onnxruntime does.
    """
    bins, length, rate = (_scalar(value) for value in (num_mel_bins, dft_length, sample_rate))
    spectrum = length // 2 + 1
    check_size((spectrum, bins))
    edges = np.array([float(np.asarray(e).item()) for e in (lower_edge_hertz, upper_edge_hertz)])
    if bins < 1 or length < 1 or rate < 1 or not np.isfinite(edges).all() or edges.min() < 0:
        raise ValueError("sizes or frequencies out of range")
    low, high = 2595 * np.log10(1 + edges / 700)
    mel = np.arange(bins + 2) * ((high - low) / (bins + 2)) + low
    hertz = 700 * (10 ** (mel / 2595) - 1)
    places = np.floor((length + 1) * hertz / rate).astype(np.int64)
    if places.min() < 0 or places.max() >= spectrum:
        raise ValueError("a frequency beyond the spectrum")
    matrix = np.zeros((spectrum, bins))
    for column, (left, centre, right) in enumerate(
        zip(places[:-2], places[1:-1], places[2:], strict=True)
    ):
        if centre == left:
            matrix[centre, column] = 1.0
        else:
            matrix[left : centre + 1, column] = np.arange(centre - left + 1) / (centre - left)
        if right > centre:
            falling = np.arange(right - centre, 0, -1) / (right - centre)
            matrix[centre:right, column] = falling
    return matrix.astype(_type(output_datatype))


def _type(datatype: int) -> np.dtype[Any]:
    if datatype not in TYPES or np.dtype(TYPES[datatype]).kind not in "fiu":
        raise NotAffine(f"makes numbers of the type {datatype}, which is not supported")
    return np.dtype(TYPES[datatype])


def _scalar(value: Any) -> int:
    numbers = integers(value)
    if len(numbers) != 1 or math.fabs(numbers[0]) >= 2**31:
        raise ValueError(f"wants one integer of 32 bits, not {list(numbers)[:20]}")
    return numbers[0]


OPERATORS: dict[str, Operator] = {
    "BlackmanWindow": Operator({17: blackman_window}),
    "DFT": Operator({17: dft_17, 20: dft}),
    "HammingWindow": Operator({17: hamming_window}),
    "HannWindow": Operator({17: hann_window}),
    "MelWeightMatrix": Operator({17: mel_weight_matrix}),
    "STFT": Operator({17: stft}),
}
