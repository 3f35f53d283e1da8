"""Traced values seen as codes: which element of an input each is, and what was made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.levels import EXACT, Levels, held_in
from converter.tracing.affine import Affine, Tape
from converter.tracing.primitives import Broadcast, Held, Join, Scale, Shape, Shift, Take

_MAX_DEPTH = 50
# Ways in which the elements of one value may come from the input.
_MAX_ORIGINS = 1 << 12
#: A raw value to ask functions of codes what they return; one array, whose results they remember.
ZERO = np.zeros(1, dtype=np.int64)
#: The same of text.
ZERO_TEXT = np.array(["0"], dtype=object)
#: Types that round whole numbers that are no larger than codes may be.
HALVES = frozenset({"bfloat16", "float16"})
# Types that do not hold all codes that there are.
_CHANGING = HALVES | {"int32"}
# Stands for a code beyond what a type holds; it is in no table.
_NO_CODE = -(1 << 40)
# Steps in which a code may be computed.
_MAX_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where codes come from: an input, and what has been made of its raw values.

    Parameters
    ----------
    entry : int
        The input's place on the tape.
    levels : Levels or None
        None where raw values have not been looked up.
    values : ndarray or None, shape (levels,)
        The code of each level.
    function : callable or None
        Where there are no levels: the code of each raw value, from an array of shape (n,) to
        one; None for the raw values themselves, times a factor and with an offset.
    steps : int
        How many functions that takes, one after the other.
    types : tuple of str
        Types in which raw values are held first, one after the other; see `Levels`.
    factor, offset : int
        What was made of raw values of which nothing else was made.
    rounds : bool
        Whether the codes are held in a type that rounds some of them: they can be looked up or
        cast, but what is computed from them is rounded again.
    """

    entry: int
    levels: Levels | None = None
    values: np.ndarray | None = None
    function: Callable[[np.ndarray], np.ndarray] | None = None
    steps: int = 0
    types: tuple[str, ...] = ()
    factor: int = 1
    offset: int = 0
    rounds: bool = False

    @property
    def raw(self) -> bool:
        """Whether these are the raw values, but for a factor and an offset."""
        return self.values is None and self.function is None

    @property
    def changed(self) -> bool:
        """Whether anything has been made of the raw values."""
        return not self.raw or (self.factor, self.offset) != (1, 0)

    def scaled(self, factor: int, offset: int) -> Origin:
        """Return where codes come from that are a factor times these, and an offset."""
        scale, shift = self.factor * factor, self.offset * factor + offset
        if self.raw and scale and max(abs(scale), abs(shift)) <= EXACT:
            return replace(self, factor=scale, offset=shift)
        return self.then(lambda codes: codes * factor + offset)

    def cast(self, dtype: str) -> Origin:
        """Return where the same codes come from, cast to a type."""
        rounds = dtype in HALVES
        if not self.changed:
            return replace(self, types=(*self.types, dtype), rounds=rounds)
        if rounds:
            return replace(self.then(partial(_rounded, types=(dtype,))), rounds=True)
        types = (*self.types, dtype) if dtype == "int32" else self.types
        return replace(self, types=types, rounds=False)

    def then(self, make: Callable[[np.ndarray], np.ndarray]) -> Origin:
        """Return where other codes come from, that a function makes of these."""
        if self.values is not None:
            return replace(self, values=checked(make(self.values)))
        return computed([self], lambda codes: checked(make(codes[0])))

    def of(self, raw: np.ndarray) -> np.ndarray:
        """Return the codes of raw values, shape (n,).

        Raises
        ------
        NotAffine
            If the network does not know one of them.
        """
        if self.levels is None or self.values is None:
            raw = _rounded(raw, self.types) if HALVES.intersection(self.types) else raw
            if self.function is not None:
                return self.function(raw)
            return raw * self.factor + self.offset if self.changed else raw
        place = self.levels.match(raw)
        if (place < 0).any():
            raise NotAffine("looks up a code that its table does not have")
        return self.values[place]


def computed(origins: Sequence[Origin], make: Callable[[list[np.ndarray]], np.ndarray]) -> Origin:
    """Return where codes come from that are computed from others, of the same raw values.

    Raises
    ------
    NotAffine
        If that takes too many steps.
    """
    steps = 1 + max(origin.steps for origin in origins)
    if steps > _MAX_STEPS:
        raise NotAffine(f"computes a code in more than {_MAX_STEPS} steps")
    # What is read twice on the way must not be computed twice: all read the same raw values.
    last: list[np.ndarray] = []

    def function(raw: np.ndarray) -> np.ndarray:
        if not last or last[0] is not raw:
            last[:] = [raw, make([origin.of(raw) for origin in origins])]
        return last[1]

    # How the raw values are held is in the function, but for those that no type of 32 bits holds.
    narrow = any("int32" in origin.types for origin in origins)
    types = ("int32",) if narrow else ()
    return Origin(origins[0].entry, function=function, steps=steps, types=types)


def _rounded(codes: np.ndarray, types: Sequence[str]) -> np.ndarray:
    """Return whole numbers as some types hold them, those beyond as a number that is no code."""
    held = held_in(codes, types).astype(np.float64)
    return np.where(np.isfinite(held), held, float(_NO_CODE)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A traced value seen as codes.

    Parameters
    ----------
    origins : tuple of Origin
    part : ndarray of int
        Which origin each element has.
    place : ndarray of int, the same shape
        Which element of the flattened input, all rows counted, it is.
    """

    origins: tuple[Origin, ...]
    part: np.ndarray
    place: np.ndarray

    def moved(self, move: Callable[[np.ndarray], np.ndarray]) -> View:
        """Return the view of a value whose elements a function has moved."""
        return View(self.origins, move(self.part), move(self.place))


def view(value: Affine, depth: int = 0) -> View | None:
    """Return a traced value as codes, or None if it is not made of an input's elements alone."""
    tape = value.tape
    steps = []
    index = value.index
    while index not in tape.coded and index not in tape.inputs:
        entry = tape.entries[index]
        if isinstance(entry.primitive, Join):
            if index not in tape.joined:
                tape.joined[index] = _joined(tape, index, depth)
            found = tape.joined[index]
            break
        if not isinstance(entry.primitive, (Take, Broadcast, Shift, Scale)):
            return None
        steps.append(entry)
        (index,) = entry.operands
    else:
        found = tape.coded.get(index) or _raw(tape, index)
    for entry in reversed(steps):
        if found is None:
            return None
        found = _stepped(found, entry.primitive, entry.shape)
    return found


def held(value: Affine, dtype: str) -> Affine:
    """Return the numbers of a value that is cast to a type; codes may be other codes there."""
    found = view(value)
    if found is None:
        return value
    if dtype not in _CHANGING and not any(origin.rounds for origin in found.origins):
        return value
    return value.tape.record(Held(value.shape, dtype), [value], value.shape)


def combined(
    views: Sequence[View], constants: Sequence[np.ndarray], shape: Shape
) -> tuple[list[tuple[list[Origin], list[Any]]], np.ndarray, np.ndarray] | None:
    """Bring together codes of the same elements, and constants that meet them.

    Parameters
    ----------
    views : sequence of View
    constants : sequence of ndarray
    shape : tuple of int
        What all of them are broadcast to.

    Returns
    -------
    cases : list of (list of Origin, list of scalars)
        Of each view an origin, and of each constant an element.
    part : ndarray of int, of the shape
        Which case each element has.
    place : ndarray of int, of the shape
        As in a view.
    None if the codes are not of the same elements, or there are too many cases.
    """
    moved = [one.moved(lambda array: np.broadcast_to(array, shape)) for one in views]
    place = moved[0].place
    if not all(np.array_equal(one.place, place) for one in moved[1:]):
        return None
    operands: list[tuple[np.ndarray, Any]] = [(one.part, one.origins) for one in moved]
    for constant in constants:
        values, own = np.unique(np.broadcast_to(constant, shape), return_inverse=True)
        operands.append((own.reshape(shape), values))
    part = np.zeros(shape, dtype=np.int64)
    found: list[list[Any]] = [[]]
    for own, choices in operands:
        count = len(choices)
        used, part = np.unique(part * count + own, return_inverse=True)
        part = part.reshape(shape)
        if len(used) > _MAX_ORIGINS:
            return None
        found = [[*found[n // count], choices[n % count]] for n in used.tolist()]
    cases = [(case[: len(views)], case[len(views) :]) for case in found]
    if any(len({origin.entry for origin in origins}) > 1 for origins, _ in cases):
        return None
    return cases, part, place


def checked(codes: np.ndarray, *chosen: np.ndarray) -> np.ndarray:
    """Return codes, unless they are too large to be computed with; to be chosen, all are good.

    Raises
    ------
    NotAffine
        If a whole number might not be exact in its type.
    """
    if codes.dtype.kind not in "iu":
        return codes
    large = codes[(codes > EXACT) | (codes < -EXACT)]
    if large.size and not np.isin(large, np.concatenate([large[:0], *chosen])).all():
        raise NotAffine("computes codes beyond 24 bits")
    return codes


def _raw(tape: Tape, index: int) -> View:
    shape = tape.entries[index].shape
    places = np.arange(math.prod(shape)).reshape(shape)
    return View((Origin(index),), np.zeros(shape, dtype=np.int64), places)


def _stepped(found: View, primitive: Any, shape: Shape) -> View | None:
    if isinstance(primitive, Held):
        origins = tuple(origin.cast(primitive.dtype) for origin in found.origins)
        return replace(found, origins=origins)
    if isinstance(primitive, Take):
        index = primitive.index
        if index is None:
            return found.moved(lambda array: array.reshape(shape))
        if index.size and index.min() < 0:
            return None  # padding is no code
        return found.moved(lambda array: array.reshape(-1)[index].reshape(shape))
    if isinstance(primitive, Broadcast):
        aligned = primitive.aligned
        return found.moved(lambda array: np.broadcast_to(array.reshape(aligned), shape))
    if isinstance(primitive, Shift) and primitive.where is not None:
        return None
    if any(origin.rounds for origin in found.origins):
        return None
    constant = np.asarray(primitive.constant, dtype=np.float64)
    if not np.array_equal(constant, np.rint(constant)) or np.abs(constant).max() > EXACT:
        return None
    made = combined([found], [constant.astype(np.int64)], shape)
    if made is None:
        return None
    cases, part, place = made
    shift = isinstance(primitive, Shift)
    changed = [
        origin.scaled(1, int(by)) if shift else origin.scaled(int(by), 0)
        for (origin,), (by,) in cases
    ]
    return View(tuple(changed), part, place)


def _joined(tape: Tape, index: int, depth: int) -> View | None:
    entry = tape.entries[index]
    if depth > _MAX_DEPTH or not isinstance(entry.primitive, Join):
        return None
    origins: list[Origin] = []
    part = np.full(math.prod(entry.shape), -1)
    place = np.zeros(part.shape, dtype=np.int64)
    for operand, where in zip(entry.operands, entry.primitive.indices, strict=True):
        found = view(Affine(tape, operand, tape.entries[operand].shape), depth + 1)
        if found is None:
            return None
        part[where] = found.part.reshape(-1) + len(origins)
        place[where] = found.place.reshape(-1)
        origins.extend(found.origins)
    if part.size and part.min() < 0:
        return None
    return View(tuple(origins), part.reshape(entry.shape), place.reshape(entry.shape))
