"""Functions of codes, element by element: what they make of each level, or of raw values.

Whatever a function makes of a code that has finitely many levels is a number for each level, and
so affine in the indicators. What it makes of raw values is remembered, and asked for when they
are looked up in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.levels import MAX_LEVELS, OTHER, Hashed, Levels, Vocabulary
from converter.tracing.affine import RIGID, Affine, Tape
from converter.tracing.codes import held_levels, kind_of, recoded
from converter.tracing.linked import Decided
from converter.tracing.sizes import SizeDependent
from converter.tracing.views import (
    ZERO,
    ZERO_TEXT,
    Origin,
    View,
    checked,
    combined,
    computed,
    view,
)

Call = Callable[[list[Any]], Sequence[Any]]


def codes_of(value: Any) -> View | None:
    """Return an operand as codes, or None if it is none."""
    if isinstance(value, Decided):
        return value.codes
    found = view(value) if isinstance(value, Affine) else None
    if found is not None and any(origin.rounds for origin in found.origins):
        return None
    if found is None or not isinstance(value, Affine) or value.kind != "f":
        return found
    # Numbers that a layer cast, though they are whole; but not those of an input of numbers.
    types = [value.tape.types[one.entry] for one in found.origins if one.values is None]
    return None if any(one.startswith(("float", "bfloat")) for one in types) else found


def pointwise(
    tape: Tape, call: Call, operands: Sequence[Any], kind: str, beside: Sequence[np.ndarray]
) -> Affine | View | None:
    """Return what a function makes of codes, element by element.

    Parameters
    ----------
    tape : Tape
    call : callable
        Maps a list of arrays of one shape to a sequence of one array of that shape.
    operands : sequence
        Codes and constants.
    kind : str
        See `converter.semantics.Rule.pointwise`.
    beside : sequence of ndarray
        Constants that `call` holds already.

    Returns
    -------
    Affine
        If the codes have finitely many levels.
    View
        If they are raw values: codes about which no number is known yet.
    None
        If the operands are not codes of the same elements.
    """
    few = _sorted(kind, [*operands, *beside])
    if few is not None:
        return few
    views: list[View] = []
    constants: list[np.ndarray] = []
    order: list[tuple[str, int]] = []
    narrow: set[int] = set()
    for operand in operands:
        if isinstance(operand, SizeDependent) and not operand.mask.any():
            operand = operand.value  # one element for each row, and the same in each
        found = codes_of(operand)
        if found is not None:
            if isinstance(operand, Affine) and operand.kind in "uw":
                narrow.add(len(views))
            order.append(("code", len(views)))
            views.append(found)
        elif operand is None:
            order.append(("absent", 0))
        elif isinstance(operand, np.ndarray) and operand.dtype.kind in "iubfO":
            order.append(("number", len(constants)))
            constants.append(operand)
        else:
            return None
    if not views:
        return None
    if kind in ("quotient", "remainder") and any(map(_fractional, [*constants, *beside])):
        raise NotAffine("divides a code by a fraction, and cuts the result off")
    try:
        shapes = (*(one.part.shape for one in views), *(c.shape for c in constants))
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    made = combined(views, constants, shape)
    if made is None:
        return None
    cases, part, place = made

    def applied(codes: Sequence[np.ndarray], given: Sequence[Any]) -> np.ndarray:
        size = len(codes[0])
        numbers = [
            np.full(size, one, dtype=constant.dtype)
            for one, constant in zip(given, constants, strict=True)
        ]
        of: dict[str, Sequence[Any]] = {"code": codes, "number": numbers, "absent": [None]}
        try:
            with np.errstate(divide="raise", invalid="raise"):
                (result, *_) = call([of[kind][number] for kind, number in order])
        except FloatingPointError:
            raise NotAffine("divides a code by zero") from None
        if not isinstance(result, np.ndarray) or result.shape != (size,):
            raise NotAffine("computes with codes in a way that is not supported")
        if result.dtype != bool and any(kind_of(codes[one]) == "i" for one in narrow):
            # Raw values of a small type are looked at as wide numbers, and would not wrap around.
            raise NotAffine(RIGID["u"])
        return checked(result, *(one for one in (*codes, *numbers) if one.dtype.kind in "iu"))

    joint = [_joint(origins) for origins, _ in cases]
    known = [one for one in joint if one is not None]
    if len(known) == len(cases):
        resolved = [
            (levels, applied(codes, given))
            for (levels, codes), (_, given) in zip(known, cases, strict=True)
        ]
        first = tuple(origins[0] for origins, _ in cases)
        return recoded(tape, View(first, part, place), resolved)

    raw = View(
        tuple(computed(own, partial(applied, given=given)) for own, given in cases),
        part,
        place,
    )
    return raw if _kind(tape, raw) else None


def _fractional(constant: np.ndarray) -> bool:
    return constant.dtype.kind == "f" and not np.array_equal(constant, np.rint(constant))


def _joint(origins: Sequence[Origin]) -> tuple[Levels, list[np.ndarray]] | None:
    """Return levels that tell apart what any of some codes does, and the codes of each level."""
    found: tuple[Levels, list[np.ndarray]] | None = None
    for origin in origins:
        if origin.levels is None or origin.values is None:
            return None
        if found is None:
            found = origin.levels, [origin.values]
            continue
        joined = found[0].joined(origin.levels)
        if joined is None:
            return None
        levels, before, own = joined
        found = levels, [*(codes[before] for codes in found[1]), origin.values[own]]
    return found


def stand_in(tape: Tape, found: View) -> Affine:
    """Return a fresh variable for codes of which no number is known.

    It can be looked up, and nothing else: what reads the variable itself is refused.
    """
    value = tape.source(found.place.shape, _kind(tape, found))
    tape.coded[value.index] = found
    return value


def _kind(tape: Tape, found: View) -> str:
    """Return the kind of the numbers that codes are; empty if they are no whole numbers."""
    kinds = set()
    for origin in found.origins:
        text = tape.types[origin.entry] == "string"
        kinds.add(kind_of(origin.of(ZERO_TEXT if text else ZERO)))
    if not kinds <= set("iu"):
        return ""
    return "u" if "u" in kinds else "i"


def _sorted(kind: str, operands: Sequence[Any]) -> Affine | None:
    """Return what a function of few values makes of raw codes and constants, if it is such."""
    traced = [one for one in operands if isinstance(one, Affine)]
    constants = [one for one in operands if isinstance(one, np.ndarray) and one.size]
    if kind in ("any", "quotient") or len(operands) != 2 or len(traced) != 1 or len(constants) != 1:
        return None
    (x,), (constant,) = traced, constants
    found = codes_of(x)
    if found is None or constant.dtype.kind not in "iuO":
        return None
    if not all(origin.raw for origin in found.origins):
        return None
    made = combined([found], [constant], np.broadcast_shapes(x.shape, constant.shape))
    if made is None:
        return None
    cases, part, place = made
    pairs = [
        (origin, one.item() if isinstance(one, np.generic) else one) for (origin,), (one,) in cases
    ]
    if kind == "remainder":
        known = x.kind not in "uw" and operands[0] is x
        if not known or not all(type(n) is int and 0 < abs(n) <= MAX_LEVELS for _, n in pairs):
            return None
        resolved = [
            (
                held_levels(x.tape, origin, Hashed(abs(n), hashing="remainder")),
                (np.arange(abs(n)) * origin.factor + origin.offset) % n,
            )
            for origin, n in pairs
        ]
    else:
        resolved = _compared(x.tape, pairs, same=kind == "equal")
    return recoded(x.tape, View(tuple(origin for origin, _ in pairs), part, place), resolved)


def _compared(
    tape: Tape, pairs: Sequence[tuple[Origin, Any]], *, same: bool
) -> list[tuple[Levels, np.ndarray]]:
    """Return for raw codes, each compared with a token, whether they are the same (or not).

    An input that is compared with several tokens has all of them for levels.
    """
    tokens = [_raw_token(origin, one) for origin, one in pairs]
    together: dict[tuple[int, tuple[str, ...]], dict[Any, None]] = {}
    for (origin, _), token in zip(pairs, tokens, strict=True):
        known = together.setdefault((origin.entry, origin.types), {})
        if token is not None:
            known[token] = None
    resolved = []
    for (origin, _), token in zip(pairs, tokens, strict=True):
        names = tuple(together[origin.entry, origin.types])
        levels = held_levels(tape, origin, Vocabulary(names, unknown=OTHER))
        marks = np.array([False, *(one == token for one in names)])
        resolved.append((levels, marks == same))
    return resolved


def _raw_token(origin: Origin, token: Any) -> Any:
    """Return the raw value that is a token after a factor and an offset; None if there is none."""
    if not origin.changed:
        return token
    value, rest = divmod(token - origin.offset, origin.factor)
    return None if rest else value
