"""Fourier transforms: linear maps of real and imaginary parts, written as matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.layer import Layer
from converter.tracing.affine import check_size, pin


def _matrix(size: int, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Return real and imaginary part of ``exp(sign 2 pi i j k / size)``."""
    check_size((size, size))
    angle = 2.0 * np.pi * (np.outer(np.arange(size), np.arange(size)) % size) / size
    return np.cos(angle), sign * np.sin(angle)


def _pair(x: Any) -> tuple[Any, Any]:
    if not isinstance(x, (list, tuple)) or len(x) != 2:
        raise ValueError("wants a real and an imaginary part")
    return x[0], x[1]


def _along_last(real: Any, imaginary: Any, sign: float) -> tuple[Any, Any]:
    size = np.shape(real)[-1]
    pin(real, [size])
    c, s = _matrix(size, sign)
    return (
        np.subtract(np.matmul(real, c), np.matmul(imaginary, s)),
        np.add(np.matmul(real, s), np.matmul(imaginary, c)),
    )


def fft(x: Any) -> Any:
    return _along_last(*_pair(x), -1.0)


def fft2(x: Any) -> Any:
    return _two_axes(*_pair(x), -1.0)


def ifft2(x: Any) -> Any:
    real, imaginary = _two_axes(*_pair(x), 1.0)
    size = np.float64(1.0 / (np.shape(real)[-1] * np.shape(real)[-2]))
    return np.multiply(real, size), np.multiply(imaginary, size)


def _two_axes(real: Any, imaginary: Any, sign: float) -> tuple[Any, Any]:
    real, imaginary = _along_last(real, imaginary, sign)
    turned = np.swapaxes(real, -1, -2), np.swapaxes(imaginary, -1, -2)
    real, imaginary = _along_last(*turned, sign)
    return np.swapaxes(real, -1, -2), np.swapaxes(imaginary, -1, -2)


def rfft(x: Any, *, fft_length: Any = None) -> Any:
    """Transform a real sequence, cut or padded with zeros to a length."""
    have = np.shape(x)[-1]
    size = have if fft_length is None else fft_length
    if type(size) is not int or size < 1:
        raise ValueError(f"fft_length is {fft_length!r}")
    pin(x, [have])
    c, s = _matrix(size, -1.0)
    kept = min(have, size)
    x = x[..., :kept]
    half = size // 2 + 1
    return np.matmul(x, c[:kept, :half]), np.matmul(x, s[:kept, :half])


def irfft(x: Any, *, fft_length: Any = None) -> Any:
    """Transform the half of a spectrum back to a real sequence."""
    real, imaginary = _pair(x)
    have = np.shape(real)[-1]
    size = 2 * (have - 1) if fft_length is None else fft_length
    if type(size) is not int or size < 1:
        raise NotAffine(f"transforms back to {size!r} places")
    pin(real, [have])
    kept = min(have, size // 2 + 1)
    c, s = _matrix(size, 1.0)
    # Every frequency but the first, and the last of an even length, stands for two.
    weight = np.full(kept, 2.0)
    weight[0] = 1.0
    if size % 2 == 0 and kept == size // 2 + 1:
        weight[-1] = 1.0
    scale = weight[:, None] / size
    return np.subtract(
        np.matmul(real[..., :kept], c[:kept] * scale),
        np.matmul(imaginary[..., :kept], s[:kept] * scale),
    )


_FRAMES = "transforms windows of a signal, which is not supported"

OPERATORS: dict[str, Layer] = {
    "FFT": Layer(fft),
    "FFT2": Layer(fft2),
    "IFFT2": Layer(ifft2),
    "IRFFT": Layer(irfft),
    "ISTFT": Layer(None, _FRAMES),
    "RFFT": Layer(rfft),
    "STFT": Layer(None, _FRAMES),
}
