"""The levels of a categorical input: which raw values there are, and what each is called.

An input that a network looks up (an embedding, a vocabulary, bins, hashing) enters it as a choice
among finitely many levels. `Levels` says which level each raw value is, as the layer does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from converter.errors import printable
from converter.formats.containers import round_bfloat16
from converter.hashing import bucket

#: Levels that one lookup may have: terms of a regression, not words of a language.
MAX_LEVELS = 1 << 20

#: What values are called that a comparison tells from one token.
OTHER = "other"

#: Whole numbers up to this size are exact in any type of 32 bits, and are never cut off in one.
EXACT = 1 << 24

_ROUNDED = frozenset({"bfloat16", "float16", "float32", "float64"})
_INT32 = 2**31 - 1


Joint: TypeAlias = "tuple[Levels, np.ndarray, np.ndarray]"


@dataclass(frozen=True)
class Levels:
    """A way to tell raw values apart; see its kinds below.

    Parameters
    ----------
    types : tuple of str
        Types in which raw numbers are held before they are looked up, one after the other: that
        of the input, and others to which it is cast. Floating point types round; a number
        beyond the 32 bits of ``int32`` has no level.
    """

    types: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def count(self) -> int:
        """How many levels there are."""
        raise NotImplementedError

    @property
    def labels(self) -> tuple[str, ...]:
        """The levels' names, each once."""
        raise NotImplementedError

    def match(self, values: np.ndarray) -> np.ndarray:
        """Return the level of each raw value; -1 where the layer has none for it.

        Parameters
        ----------
        values : ndarray of numbers or str (or objects of these), shape (n,)

        Returns
        -------
        ndarray of int, shape (n,)
        """
        return self._found(held_in(values, self.types) if self.types else np.asarray(values))

    def _found(self, values: np.ndarray) -> np.ndarray:
        """Return the level of each number as it is held, or text; see `match`."""
        return _each(values, self._one)

    def _one(self, value: Any) -> int:
        """Return the level of one value; see `match`."""
        raise NotImplementedError

    def examples(self) -> list[Any]:
        """Return a raw value for each level of which one is known."""
        raise NotImplementedError

    @property
    def numbers(self) -> np.ndarray | None:
        """The raw value of each level as a number, where each level has just one."""
        return None

    @property
    def strangers(self) -> range:
        """The levels of values that are not known by name."""
        return range(0)

    def read_as(self, dtype: str) -> Levels:
        """Return the levels of raw values that are first held in a type."""
        if dtype not in _ROUNDED and dtype != "int32":
            return self
        return replace(self, types=(dtype, *self.types))

    def joined(self, other: Levels) -> Joint | None:
        """Return levels that tell apart what either does, if there are such.

        Returns
        -------
        levels : Levels
        mine, theirs : ndarray of int
            Of each of these levels, which level it is here and in `other`.
        None if no kind of levels can.
        """
        if self == other:
            return self, np.arange(self.count), np.arange(self.count)
        if self.types != other.types:
            return None
        found = self._joined(other)
        if found is None:
            swapped = other._joined(self)
            return None if swapped is None else (swapped[0], swapped[2], swapped[1])
        return found

    def _joined(self, other: Levels) -> Joint | None:
        return None


@dataclass(frozen=True)
class Codes(Levels):
    """The whole numbers from 0 to `size` - 1, as an embedding takes them."""

    size: int

    @property
    def count(self) -> int:
        return self.size

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.size)))

    def _found(self, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind not in "iuf":
            return super()._found(values)
        known = (values >= 0) & (values < self.size)
        codes = np.where(known, values, 0).astype(np.int64)
        return np.where(known & (codes == values), codes, -1)

    def _one(self, value: Any) -> int:
        code = whole(value)
        return code if code is not None and 0 <= code < self.size else -1

    def examples(self) -> list[Any]:
        return list(range(self.size))

    @property
    def numbers(self) -> np.ndarray:
        return np.arange(float(self.size))

    def _joined(self, other: Levels) -> Joint | None:
        # A code beyond one of two tables is an error in the network.
        own = replace(self, size=min(self.size, other.size)) if isinstance(other, Codes) else self
        codes = np.arange(own.size)
        theirs = other.match(codes)
        return None if (theirs < 0).any() else (own, codes, theirs)


@dataclass(frozen=True)
class Vocabulary(Levels):
    """Known tokens, beside them perhaps a mask and buckets for everything else.

    The levels are, in this order: the mask, the buckets, the tokens (as
    keras.layers.IndexLookup numbers them).

    Parameters
    ----------
    tokens : tuple of str or int
    mask : str, int or None
        The token that stands for a missing one.
    buckets : int
        For unknown values; none if 0: then they are an error.
    unknown : str
        What unknown values are called.
    hashing : {"remainder", "fingerprint", "siphash"}
        How unknown values are distributed among several buckets.
    salt : tuple of int, or None
        Key of SipHash.
    """

    tokens: tuple[Any, ...]
    mask: Any = None
    buckets: int = 1
    unknown: str = "[UNK]"
    hashing: str = "fingerprint"
    salt: tuple[int, int] | None = None

    @property
    def count(self) -> int:
        return self.start + len(self.tokens)

    @property
    def start(self) -> int:
        """The first token's level."""
        return (self.mask is not None) + self.buckets

    @property
    def text(self) -> bool:
        """Whether the tokens are strings."""
        return any(isinstance(token, str) for token in (*self.tokens, self.mask))

    @property
    def strangers(self) -> range:
        return range(self.start - self.buckets, self.start)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        names = [] if self.mask is None else [str(self.mask)]
        several = self.buckets > 1
        names += [f"{self.unknown} {i}" if several else self.unknown for i in range(self.buckets)]
        names += map(str, self.tokens)
        return unique(names)

    @cached_property
    def _known(self) -> dict[Any, int]:
        known = {token: self.start + place for place, token in enumerate(self.tokens)}
        if self.mask is not None:
            known[self.mask] = 0
        return known

    def _one(self, value: Any) -> int:
        token = value
        if not self.text:
            token = whole(value)
            if token is not None and self.unknown == OTHER and abs(token) > EXACT:
                return -1
        elif isinstance(value, (bool, np.bool_)):
            token = str(value)
        elif not isinstance(value, (str, bytes)):
            # A table's reader may have taken words of digits for numbers.
            number = whole(value)
            token = None if number is None else str(number)
            if token not in self._known:
                return -1
        elif isinstance(value, bytes):
            token = value.decode("utf-8", "surrogateescape")
        if token is None:
            return -1
        place = self._known.get(token)
        if place is not None:
            return place
        return self._bucket(token)

    def _bucket(self, token: Any) -> int:
        first = int(self.mask is not None)
        if self.buckets <= 1:
            return first if self.buckets else -1
        return first + hashed(token, self.buckets, self.hashing, self.salt)

    def examples(self) -> list[Any]:
        found = [] if self.mask is None else [self.mask]
        taken = {self.match(np.array([one], dtype=object))[0]: one for one in self._strangers()}
        found += [taken[level] for level in sorted(taken) if level >= 0]
        return found + list(self.tokens)

    def _strangers(self) -> list[Any]:
        """Return values that are no tokens, enough to meet most buckets."""
        if not self.buckets:
            return []
        many = range(10_000_000, 10_000_000 + 8 * self.buckets)
        several = [f"unknown {i}" for i in many] if self.text else list(many)
        return [one for one in several if one not in self._known]

    @property
    def numbers(self) -> np.ndarray | None:
        if self.text or self.buckets:
            return None
        first = [] if self.mask is None else [self.mask]
        return np.array([*first, *self.tokens], dtype=np.float64)

    def _joined(self, other: Levels) -> Joint | None:
        if isinstance(other, Hashed) and other.mask is None:
            buckets = Vocabulary(
                (), None, other.size, "bin", other.hashing, other.salt, types=other.types
            )
        elif isinstance(other, Vocabulary):
            buckets = other
        else:
            return None
        finer = self if self.buckets > buckets.buckets else buckets
        known = [token for one in (self, buckets) for token in one.tokens]
        if (
            (self.mask, buckets.mask) != (None, None)
            or not (self.buckets and buckets.buckets)
            or len({isinstance(token, str) for token in known}) != 1
            or any(
                (one.buckets, one.hashing, one.salt) != (finer.buckets, finer.hashing, finer.salt)
                for one in (self, buckets)
                if one.buckets > 1
            )
        ):
            return None
        tokens = tuple(dict.fromkeys(known))
        name = buckets.unknown if self.unknown == OTHER else self.unknown
        levels = replace(finer, tokens=tokens, unknown=name)
        each = np.arange(finer.buckets)
        mine, theirs = (
            np.append(
                each if one.buckets == finer.buckets else 0 * each, whole_.match(_objects(tokens))
            )
            for one, whole_ in ((self, self), (buckets, other))
        )
        return levels, mine, theirs


@dataclass(frozen=True)
class Bins(Levels):
    """Intervals between rising boundaries, each closed on the left.

    Parameters
    ----------
    boundaries : tuple of float
        As numbers of single precision, in which TensorFlow's Bucketize holds them.
    """

    boundaries: tuple[float, ...]

    @property
    def count(self) -> int:
        return len(self.boundaries) + 1

    @cached_property
    def labels(self) -> tuple[str, ...]:
        ends = ["-inf", *(str(np.float32(b)) for b in self.boundaries), "inf"]
        pairs = pairwise(ends)
        return unique(f"{'(' if a == '-inf' else '['}{a}, {b})" for a, b in pairs)

    def _found(self, values: np.ndarray) -> np.ndarray:
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            return np.full(len(values), -1)
        found = np.searchsorted(np.array(self.boundaries), numbers, side="right")
        return np.where(np.isnan(numbers), -1, found)

    def read_as(self, dtype: str) -> Levels:
        # TensorFlow compares whole numbers with the boundaries in 32 bits.
        whole = dtype not in _ROUNDED and not self.types
        own = replace(self, types=("float32",)) if whole else self
        return super(Bins, own).read_as(dtype)

    def examples(self) -> list[Any]:
        edges = [self.boundaries[0] - 1.0, *self.boundaries] if self.boundaries else [0.0]
        return list(edges)

    def _joined(self, other: Levels) -> Joint | None:
        if not isinstance(other, Bins):
            return None
        ends = np.array(sorted({*self.boundaries, *other.boundaries}))
        mine, theirs = (
            np.append(0, np.searchsorted(np.array(one.boundaries), ends, side="right"))
            for one in (self, other)
        )
        return replace(self, boundaries=tuple(ends.tolist())), mine, theirs


@dataclass(frozen=True)
class Hashed(Levels):
    """Buckets of a hash function.

    Parameters
    ----------
    size : int
    mask : str, int or None
        A value with a bucket of its own, the first.
    salt : tuple of int, or None
        Key of SipHash.
    hashing : {"remainder", "fingerprint", "siphash"}
    """

    size: int
    mask: Any = None
    salt: tuple[int, int] | None = None
    hashing: str = "fingerprint"

    @property
    def count(self) -> int:
        return self.size

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"bin {place}" for place in range(self.size))

    def _one(self, value: Any) -> int:
        if self.hashing == "remainder":
            number = whole(value)
            # Beyond, a cast on the way to the remainder might have changed the number.
            if number is None or abs(number) > EXACT:
                return -1
        if isinstance(value, float) and value == value and abs(value) < 2.0**63:
            value = int(value)  # towards zero, as the layer casts
        token = value if isinstance(value, (str, bytes)) else whole(value)
        if token is None:
            return -1
        masked = self.mask is not None and self.size > 1
        if masked and token == self.mask:
            return 0
        return masked + hashed(token, self.size - masked, self.hashing, self.salt)

    def examples(self) -> list[Any]:
        found = {self._one(value): value for value in range(8 * self.size)}
        if self.mask is not None:
            found[self._one(self.mask)] = self.mask
        return [found[level] for level in sorted(found)]


def hashed(token: Any, count: int, hashing: str, salt: tuple[int, int] | None) -> int:
    """Return which of some buckets a token falls into."""
    if hashing == "remainder":
        return int(token) % count
    return bucket(encoded(token), count, salt)


def encoded(token: Any) -> bytes:
    """Return the bytes that are hashed: text in UTF-8, whole numbers in decimal."""
    if isinstance(token, bytes):
        return token
    return str(token).encode("utf-8", "surrogateescape")


def whole(value: Any) -> int | None:
    """Return a value as a whole number, or None if it is none."""
    if isinstance(value, (str, bytes)) or value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == value else None


def unique(names: Any) -> tuple[str, ...]:
    """Return names fit for printing, with something added to repeated ones."""
    seen: set[str] = set()
    result = []
    for name in names:
        shown = printable(name)
        while shown in seen:
            shown += "'"
        seen.add(shown)
        result.append(shown)
    return tuple(result)


def _objects(tokens: Sequence[Any]) -> np.ndarray:
    """Return tokens as an array of objects."""
    found = np.empty(len(tokens), dtype=object)
    found[:] = tokens
    return found


def held_in(values: np.ndarray, types: Sequence[str]) -> np.ndarray:
    """Return raw values as they are held in some types, one after the other; text as it is.

    What a type does not hold is not a number.
    """
    array = np.asarray(values)
    if array.dtype.kind == "O":
        result = array.copy()
        place = [
            i for i, one in enumerate(array.tolist()) if isinstance(one, (int, float, np.number))
        ]
        result[place] = held_in(np.array([_double(array[i]) for i in place]), types)
        return result
    if array.dtype.kind not in "fiub":
        return array
    for one in types:
        if one == "bfloat16":
            array = round_bfloat16(array.astype(np.float32))
        elif one != "int32":
            with np.errstate(over="ignore"):
                array = array.astype(one)
        elif array.dtype.kind == "f" or array.dtype.itemsize > 4 or array.dtype == np.uint32:
            numbers = array.astype(np.float64)
            array = np.where(np.abs(numbers) > _INT32, np.nan, numbers)
    return array


def _double(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _each(values: np.ndarray, one: Callable[[Any], int]) -> np.ndarray:
    """Apply a function to each value; equal ones are looked at once."""
    array = np.asarray(values)
    if array.dtype.kind in "fiubUS":
        distinct, inverse = np.unique(array, return_inverse=True)
        found = np.array([one(value) for value in distinct.tolist()], dtype=np.int64)
        return found[inverse.reshape(-1)] if len(found) else found
    known: dict[Any, int] = {}
    result = np.empty(len(array), dtype=np.int64)
    for place, value in enumerate(array.tolist()):
        key = (type(value), value)
        if key not in known:
            known[key] = one(value)
        result[place] = known[key]
    return result


def salt_of(value: Any) -> tuple[int, int] | None:
    """Return a layer's salt, one whole number or two, as the two words of a key."""
    words: Sequence[Any] = value if isinstance(value, (list, tuple)) else (value, value)
    if value is None:
        return None
    if len(words) != 2 or any(type(word) is not int for word in words):
        raise ValueError(f"a salt is one or two whole numbers, not {value!r}")
    return words[0], words[1]
