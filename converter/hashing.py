"""The hash functions by which TensorFlow sorts strings into buckets.

FarmHash Fingerprint64 (``tf.strings.to_hash_bucket_fast``) and SipHash-2-4
(``to_hash_bucket_strong``). Sources: the FarmHash description by G. Pike (farmhash.h, the function
Hash64 of namespace farmhashna, whose results are promised not to change), and Aumasson and
Bernstein, "SipHash: a fast short-input PRF" (2012).
"""

from __future__ import annotations

from collections.abc import Sequence

_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _word(text: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(text[at : at + size], "little")


def _rotate(value: int, shift: int) -> int:
    """Rotate to the right."""
    return ((value >> shift) | (value << (64 - shift))) & _MASK


def _shift_mix(value: int) -> int:
    return value ^ (value >> 47)


def _hash_16(u: int, v: int, multiplier: int) -> int:
    a = ((u ^ v) * multiplier) & _MASK
    a ^= a >> 47
    b = ((v ^ a) * multiplier) & _MASK
    b ^= b >> 47
    return (b * multiplier) & _MASK


def _up_to_16(text: bytes) -> int:
    size = len(text)
    multiplier = (_K2 + size * 2) & _MASK
    if size >= 8:
        a = (_word(text, 0) + _K2) & _MASK
        b = _word(text, size - 8)
        c = (_rotate(b, 37) * multiplier + a) & _MASK
        d = ((_rotate(a, 25) + b) * multiplier) & _MASK
        return _hash_16(c, d, multiplier)
    if size >= 4:
        a = _word(text, 0, 4)
        return _hash_16((size + (a << 3)) & _MASK, _word(text, size - 4, 4), multiplier)
    if size:
        y = text[0] + (text[size >> 1] << 8)
        z = size + (text[size - 1] << 2)
        return (_shift_mix(((y * _K2) & _MASK) ^ ((z * _K0) & _MASK)) * _K2) & _MASK
    return _K2


def _up_to_32(text: bytes) -> int:
    size = len(text)
    multiplier = (_K2 + size * 2) & _MASK
    a = (_word(text, 0) * _K1) & _MASK
    b = _word(text, 8)
    c = (_word(text, size - 8) * multiplier) & _MASK
    d = (_word(text, size - 16) * _K2) & _MASK
    first = (_rotate((a + b) & _MASK, 43) + _rotate(c, 30) + d) & _MASK
    return _hash_16(first, (a + _rotate((b + _K2) & _MASK, 18) + c) & _MASK, multiplier)


def _up_to_64(text: bytes) -> int:
    size = len(text)
    multiplier = (_K2 + size * 2) & _MASK
    a = (_word(text, 0) * _K2) & _MASK
    b = _word(text, 8)
    c = (_word(text, size - 8) * multiplier) & _MASK
    d = (_word(text, size - 16) * _K2) & _MASK
    y = (_rotate((a + b) & _MASK, 43) + _rotate(c, 30) + d) & _MASK
    z = _hash_16(y, (a + _rotate((b + _K2) & _MASK, 18) + c) & _MASK, multiplier)
    e = (_word(text, 16) * multiplier) & _MASK
    f = _word(text, 24)
    g = ((y + _word(text, size - 32)) * multiplier) & _MASK
    h = ((z + _word(text, size - 24)) * multiplier) & _MASK
    first = (_rotate((e + f) & _MASK, 43) + _rotate(g, 30) + h) & _MASK
    return _hash_16(first, (e + _rotate((f + a) & _MASK, 18) + g) & _MASK, multiplier)


def _weak(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    """Mix 32 bytes into a pair of seeds."""
    w, x, y, z = (_word(text, at + 8 * i) for i in range(4))
    a = (a + w) & _MASK
    b = _rotate((b + a + z) & _MASK, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotate(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def fingerprint64(text: bytes) -> int:
    """Return FarmHash's Fingerprint64 of some bytes."""
    size = len(text)
    if size <= 16:
        return _up_to_16(text)
    if size <= 32:
        return _up_to_32(text)
    if size <= 64:
        return _up_to_64(text)
    seed = 81
    x = seed
    y = (seed * _K1 + 113) & _MASK
    z = (_shift_mix((y * _K2 + 113) & _MASK) * _K2) & _MASK
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + _word(text, 0)) & _MASK
    end = ((size - 1) // 64) * 64
    for at in range(0, end, 64):
        x = (_rotate((x + y + v[0] + _word(text, at + 8)) & _MASK, 37) * _K1) & _MASK
        y = (_rotate((y + v[1] + _word(text, at + 48)) & _MASK, 42) * _K1) & _MASK
        x ^= w[1]
        y = (y + v[0] + _word(text, at + 40)) & _MASK
        z = (_rotate((z + w[0]) & _MASK, 33) * _K1) & _MASK
        v = _weak(text, at, (v[1] * _K1) & _MASK, (x + w[0]) & _MASK)
        w = _weak(text, at + 32, (z + w[1]) & _MASK, (y + _word(text, at + 16)) & _MASK)
        z, x = x, z
    multiplier = (_K1 + ((z & 0xFF) << 1)) & _MASK
    at = size - 64
    w = ((w[0] + ((size - 1) & 63)) & _MASK, w[1])
    v = ((v[0] + w[0]) & _MASK, v[1])
    w = ((w[0] + v[0]) & _MASK, w[1])
    x = (_rotate((x + y + v[0] + _word(text, at + 8)) & _MASK, 37) * multiplier) & _MASK
    y = (_rotate((y + v[1] + _word(text, at + 48)) & _MASK, 42) * multiplier) & _MASK
    x ^= (w[1] * 9) & _MASK
    y = (y + v[0] * 9 + _word(text, at + 40)) & _MASK
    z = (_rotate((z + w[0]) & _MASK, 33) * multiplier) & _MASK
    v = _weak(text, at, (v[1] * multiplier) & _MASK, (x + w[0]) & _MASK)
    w = _weak(text, at + 32, (z + w[1]) & _MASK, (y + _word(text, at + 16)) & _MASK)
    z, x = x, z
    first = (_hash_16(v[0], w[0], multiplier) + _shift_mix(y) * _K0 + z) & _MASK
    return _hash_16(first, (_hash_16(v[1], w[1], multiplier) + x) & _MASK, multiplier)


def siphash(text: bytes, key: Sequence[int]) -> int:
    """Return SipHash-2-4 of some bytes.

    Parameters
    ----------
    text : bytes
    key : sequence of int, length 2
        Two words of 64 bits.
    """
    k0, k1 = (word & _MASK for word in key)
    state = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def left(value: int, shift: int) -> int:
        return _rotate(value, 64 - shift)

    def rounds(count: int) -> None:
        a, b, c, d = state
        for _ in range(count):
            a, c = (a + b) & _MASK, (c + d) & _MASK
            b, d = left(b, 13) ^ a, left(d, 16) ^ c
            a = left(a, 32)
            a, c = (a + d) & _MASK, (c + b) & _MASK
            d, b = left(d, 21) ^ a, left(b, 17) ^ c
            c = left(c, 32)
        state[:] = a, b, c, d

    whole = len(text) - len(text) % 8
    words = [_word(text, at) for at in range(0, whole, 8)]
    words.append(_word(text, whole) | ((len(text) & 0xFF) << 56))
    for word in words:
        state[3] ^= word
        rounds(2)
        state[0] ^= word
    state[2] ^= 0xFF
    rounds(4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def bucket(text: bytes, count: int, salt: Sequence[int] | None = None) -> int:
    """Return which of `count` buckets a string falls into, by SipHash where there is a salt."""
    return (fingerprint64(text) if salt is None else siphash(text, salt)) % count
