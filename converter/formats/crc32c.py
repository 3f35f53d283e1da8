"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), by which TensorFlow's checkpoints guard tensors.

The remainder is linear in the data: it is computed of many parts of the data side by side, and
the remainders are combined, each shifted by the zeros that would stand behind its part.
"""

from __future__ import annotations

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits reversed
_BLOCK = 1 << 24
# Below this one byte after the other is faster.
_SHORT = 1 << 16


def _table() -> np.ndarray:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (values & 1).astype(bool)
        values = (values >> np.uint32(1)) ^ np.where(odd, np.uint32(_POLYNOMIAL), np.uint32(0))
    return values


_TABLE = _table()
_BYTES: list[int] = _TABLE.tolist()


def _behind_a_zero_byte(states: np.ndarray) -> np.ndarray:
    return _TABLE[states & np.uint32(0xFF)] ^ (states >> np.uint32(8))


def _apply(operator: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return states under a linear operator, given by what it makes of each bit."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where((states >> np.uint32(bit)) & np.uint32(1), operator[bit], np.uint32(0))
    return result


def _zeros(count: int) -> np.ndarray:
    """Return the operator of `count` zero bytes."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power, result = _behind_a_zero_byte(bits), bits
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result


def _remainder(state: int, data: np.ndarray) -> int:
    """Return the state behind some bytes."""
    parts = 1 << max(0, min(14, (len(data).bit_length() - 4) // 2 + 3))
    length = -(-len(data) // parts)
    padded = np.zeros(parts * length, dtype=np.uint8)
    padded[len(padded) - len(data) :] = data  # zeros in front leave a state of zero as it is
    states = np.zeros(parts, dtype=np.uint32)
    for column in np.ascontiguousarray(padded.reshape(parts, length).T):
        states = _TABLE[(states ^ column) & np.uint32(0xFF)] ^ (states >> np.uint32(8))
    operator = _zeros(length)
    while len(states) > 1:
        states = _apply(operator, states[::2]) ^ states[1::2]
        operator = _apply(operator, operator)
    before = _apply(_zeros(len(data)), np.array([state], dtype=np.uint32))
    return int(before[0] ^ states[0])


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of some bytes.

    Parameters
    ----------
    data : bytes-like

    Returns
    -------
    int
    """
    state = 0xFFFFFFFF
    if len(data) < _SHORT:
        for byte in data:
            state = _BYTES[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state ^ 0xFFFFFFFF
    whole = np.frombuffer(data, dtype=np.uint8)
    for start in range(0, len(whole), _BLOCK):
        state = _remainder(state, whole[start : start + _BLOCK])
    return state ^ 0xFFFFFFFF


def masked(data: bytes | memoryview) -> int:
    """Return the CRC-32C as TensorFlow stores it: rotated, and a constant added."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
