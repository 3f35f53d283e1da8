"""The tracing value: an array of affine functions of the network's inputs.

An `Affine` is a shape and a place on a tape of linear primitives. It takes part in numpy
expressions (``__array_ufunc__``, ``__array_function__``, operators), so that the meaning of an
operation is written once, in plain numpy, and serves constants and traced values alike. What
has no affine meaning raises `NotAffine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import ModelFileError, NotAffine, TooLarge
from converter.tracing.operators import Operators
from converter.tracing.primitives import (
    Broadcast,
    Contract,
    Join,
    Primitive,
    Scale,
    Shape,
    Shift,
    Source,
    Take,
)

# Elements of one traced value, both rows counted. An index array of that length takes 64 MB.
# A picture of 224 x 224 with 64 channels has 3.2 million.
MAX_ELEMENTS = 1 << 23
# Bytes of gather indices on one tape.
_MAX_INDEX_BYTES = 1 << 28
# Elements that all steps of one trace may compute, constants included.
_MAX_WORK = 1 << 31


_WRAPS = "computes with small integers or booleans, which wrap around"
#: Kinds of values that can only be moved about and looked up, and why.
RIGID = {
    "u": _WRAPS,
    "w": _WRAPS,
    "s": "computes with text",
    "c": "cuts off the fraction of a value that depends on the input, and computes with the rest",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of the tape: a primitive, the entries it reads, its shape, the node it is for."""

    primitive: Primitive
    operands: tuple[int, ...]
    shape: Shape
    origin: str = ""


class Tape:
    """The linear primitives applied so far, in order.

    Parameters
    ----------
    rows : int
        How many rows the trace chose, where the file leaves it open; else 0.
    """

    def __init__(self, rows: int = 0) -> None:
        self.entries: list[Entry] = []
        self.rows = rows
        # Sizes of axes that the operation under way cut at a given length beyond their end.
        self.cut: list[int] = []
        # What the reader of the numbers should know of an operation's meaning.
        self.notes: list[str] = []
        # The node under way, for messages.
        self.origin = ""
        # The network's inputs, by entry: which one, and its rows (1 where it is one observation).
        self.inputs: dict[int, tuple[int, int]] = {}
        # Their declared types, likewise.
        self.types: dict[int, str] = {}
        # What `converter.tracing.codes` put there: indicators by what they indicate, and values
        # that are codes again, by entry.
        self.indicators: dict[tuple[Any, ...], int] = {}
        self.coded: dict[int, Any] = {}
        # What joined values are as codes, by entry.
        self.joined: dict[int, Any] = {}
        # How often something was looked up.
        self.looked_up = 0
        # Of refused values of which it is known: what no element is less than.
        self.least: dict[int, float] = {}
        self._index_bytes = self._work = 0

    def record(self, primitive: Primitive, operands: Sequence[Affine], shape: Shape) -> Affine:
        """Append a step and return its value."""
        kind = operands[0].kind
        if kind in RIGID and not isinstance(primitive, (Take, Join, Broadcast)):
            raise NotAffine(RIGID[kind])
        return self._append(primitive, operands, shape, kind)

    def source(self, shape: Shape, kind: str = "f") -> Affine:
        """Return a fresh independent value: an input, or a stand-in for a refused one."""
        return self.place(Source(), shape, kind)

    def place(self, source: Source, shape: Shape, kind: str = "f") -> Affine:
        """Return the value of a source."""
        return self._append(source, (), shape, kind)

    def _append(
        self, primitive: Primitive, operands: Sequence[Affine], shape: Shape, kind: str
    ) -> Affine:
        check_size(shape)
        self.spend(math.prod(shape))
        for operand in operands:
            if operand.tape is not self:
                raise AssertionError("values of two traces were mixed (please report this)")
        if isinstance(primitive, Take):
            if primitive.index is not None:
                self._remember(primitive.index.nbytes)
        elif isinstance(primitive, (Contract, Scale)):
            if _computed(primitive.constant):
                self.spend(16 * primitive.constant.size)
        elif isinstance(primitive, Join):
            self._remember(sum(index.nbytes for index in primitive.indices))
        elif isinstance(primitive, Shift) and primitive.where is not None:
            self._remember(primitive.constant.nbytes)
        indices = tuple([operand.index for operand in operands])
        self.entries.append(Entry(primitive, indices, shape, self.origin))
        return Affine(self, len(self.entries) - 1, shape, kind)

    def spend(self, elements: int) -> None:
        """Account for elements computed.

        Raises
        ------
        TooLarge
            If all steps together come to too many: a small file must not cost minutes.
        """
        self._work += elements
        if self._work > _MAX_WORK:
            raise TooLarge(f"computes more than {_MAX_WORK:,} elements in all")

    def _remember(self, size: int) -> None:
        self._index_bytes += size
        if self._index_bytes > _MAX_INDEX_BYTES:
            raise TooLarge(
                f"moves elements about too often: more than {_MAX_INDEX_BYTES >> 20} MB would be "
                "needed to remember where to"
            )


def _computed(constant: np.ndarray) -> bool:
    """Tell whether a constant lies in memory of its own, and not in the file's."""
    while isinstance(constant.base, np.ndarray):
        constant = constant.base
    return constant.base is None


def check_size(shape: Sequence[int]) -> None:
    """Refuse a value too large to trace, before anything of its size is allocated.

    Raises
    ------
    ModelFileError
        If the shape is negative somewhere or has more than `MAX_ELEMENTS` elements.
    """
    if len(shape) > 25:
        raise ModelFileError(f"a value has {len(shape)} axes; at most 25 are supported")
    if shape and min(shape) < 0:
        raise ModelFileError(f"a value has the impossible shape {list(shape)}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise TooLarge(
            f"a value of shape {list(shape)} has more than the {MAX_ELEMENTS:,} elements "
            "that are traced at most"
        )


class Affine(Operators):
    """An array whose elements are affine functions of the network's inputs.

    Parameters
    ----------
    tape : Tape
    index : int
        The tape entry that makes it.
    shape : tuple of int
    kind : str
        ``f`` for floating point; ``i`` for 32- and 64-bit integers, whose division truncates;
        ``u`` for smaller integers and booleans, ``w`` for wide unsigned ones, whose arithmetic
        wraps around; ``s`` for text; ``c`` for numbers whose
        fraction was cut off, which can only be looked up.
    """

    __slots__ = ("index", "kind", "shape", "tape")

    def __init__(self, tape: Tape, index: int, shape: Shape, kind: str = "f") -> None:
        self.tape, self.index, self.shape, self.kind = tape, index, shape, kind

    def as_float(self) -> Affine:
        """Return the same numbers as floating point ones."""
        return self.as_kind("f")

    def as_kind(self, kind: str) -> Affine:
        """Return the same numbers as another kind that holds them exactly."""
        return Affine(self.tape, self.index, self.shape, kind)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def T(self) -> Affine:  # noqa: N802 (numpy's name)
        return movement(np.transpose, self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a value without axes")
        return self.shape[0]

    def __bool__(self) -> bool:
        raise NotAffine("branches on a value that depends on the input")

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Affine:
        return movement(lambda array: array[key], self)

    def reshape(self, *shape: Any) -> Affine:
        return movement(np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Affine:
        return movement(np.transpose, self, axes[0] if len(axes) == 1 else (axes or None))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise NotAffine(
            "needs the numbers of a value that depends on the input (a function that was "
            "registered for a layer must use numpy's functions)"
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        from converter.tracing.functions import UFUNCS

        for arg in args:
            if arg.__class__ is not Affine and not isinstance(arg, _OPERANDS):
                return NotImplemented  # the other value's own rules decide
        rule = UFUNCS.get(ufunc)
        if method != "__call__" or kwargs or rule is None:
            raise NotAffine(f"takes {ufunc.__name__} of a value that depends on the input")
        return rule(*args)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from converter.tracing.functions import FUNCTIONS

        if not all(issubclass(one, _OPERANDS) for one in types):
            return NotImplemented
        rule = FUNCTIONS.get(func)
        if rule is None:
            raise NotAffine(f"applies {func.__name__} to a value that depends on the input")
        return rule(*args, **kwargs)


def pin(value: Any, sizes: Sequence[int]) -> None:
    """Note sizes of axes whose places are not treated alike: they may not be the rows'.

    A rule that tells the third place of an axis from the second would look harmless on a trace
    of two rows. The interpreter compares what was noted with a trace of three.
    """
    value = getattr(value, "base", value)
    if isinstance(value, Affine):
        value.tape.cut.extend(int(size) for size in sizes)


def note(value: Any, sentence: str) -> None:
    """Leave a sentence about the operation under way for whoever reads the numbers."""
    value = getattr(value, "base", value)
    if isinstance(value, Affine):
        value.tape.notes.append(f"{value.tape.origin}: {sentence}")


# What may meet a traced value in an expression.
_OPERANDS = (Affine, np.ndarray, np.generic, int, float)


def movement(function: Callable[..., Any], value: Affine, *args: Any, **kwargs: Any) -> Affine:
    """Apply a numpy function that only moves, repeats or drops elements.

    The function is run on the elements' positions; where each lands is the gather index.
    """
    positions = np.arange(value.size).reshape(value.shape)
    moved = function(positions, *args, **kwargs)
    check_size(moved.shape)
    index = np.ascontiguousarray(moved).reshape(-1)
    shape = tuple(int(size) for size in moved.shape)
    if index.size == value.size and np.shares_memory(index, positions):
        return value.tape.record(Take(value.shape, shape), [value], shape)
    return value.tape.record(Take(value.shape, shape, index), [value], shape)


def broadcast_to(value: Any, shape: Sequence[int]) -> Any:
    """Repeat a traced value along axes as ``numpy.broadcast_to`` does."""
    target = tuple(int(size) for size in shape)
    if value.shape == target:
        return value
    check_size(target)
    if np.broadcast_shapes(value.shape, target) != target:
        raise ValueError(f"cannot broadcast {list(value.shape)} to {list(target)}")
    return value.tape.record(Broadcast(value.shape, target), [value], target)
