"""How the elements of a model are shared out among the inputs and outputs of a network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.model import AffineModel
from converter.variables import element_names

_ELEMENT = re.compile(r"(.*)\[([^\[\]]*)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a network.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of one observation.
    rows : ndarray of int, shape (k,)
        Which rows of the coefficients it holds, row-major.
    parts : list of ndarray of int
        Places among `rows`: of those with an intercept in the architecture, and of those without.
    groups : list of ndarray of int
        Places among `rows` that share a softmax; nothing behind another link.
    """

    name: str
    shape: tuple[int, ...]
    rows: np.ndarray
    parts: list[np.ndarray]
    groups: list[np.ndarray]

    @property
    def one_softmax(self) -> bool:
        """Whether all of it is one softmax."""
        return len(self.groups) == 1


def outputs_of(model: AffineModel) -> list[Output]:
    """Return the outputs that the names of a model's elements tell of.

    Neighbours ``y[0]``, ``y[1]`` are the elements of an output ``y``, also where the brackets hold
    the classes' names (which no file of a network keeps). Where one softmax would have to reach
    over several outputs, there is one, called ``output``.
    """
    found = _runs(model.output_names)
    if model.link == "softmax":
        of_row = np.repeat(np.arange(len(found)), [len(rows) for _, _, rows in found])
        numbers = np.array(model.groups)
        if any(len(set(of_row[numbers == one].tolist())) > 1 for one in set(model.groups)):
            found = [("output", (len(numbers),), np.arange(len(numbers)))]
    outputs = []
    for name, shape, rows in found:
        has = model.has_intercept[rows]
        parts = [np.flatnonzero(has == one) for one in (True, False) if (has == one).any()]
        groups = []
        if model.link == "softmax":
            numbers = np.array(model.groups)[rows]
            groups = [np.flatnonzero(numbers == one) for one in dict.fromkeys(numbers.tolist())]
        outputs.append(Output(name, shape, rows, parts, groups))
    return outputs


def _runs(names: tuple[str, ...]) -> list[tuple[str, tuple[int, ...], np.ndarray]]:
    """Return name, shape and places of each output."""
    found: list[tuple[str, tuple[int, ...], np.ndarray]] = []
    start = 0
    while start < len(names):
        stop, base = start + 1, _base(names[start])
        while base is not None and stop < len(names) and _base(names[stop]) == base:
            stop += 1
        places = np.arange(start, stop)
        if base is None or len(places) == 1:
            found.append((names[start], (1,), places[:1]))
            start += 1
            continue
        found.append((base, _shape(base, names[start:stop]), places))
        start = stop
    taken = [name for name, _, _ in found]
    return [(f"{n}_{i}" if taken.count(n) > 1 else n, s, p) for i, (n, s, p) in enumerate(found)]


def _base(name: str) -> str | None:
    matched = _ELEMENT.fullmatch(name)
    return None if matched is None else matched.group(1)


def _shape(base: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the shape of an array whose elements have these names; flat if there is none."""
    last = names[-1][len(base) + 1 : -1].split(",")
    if all(one.isascii() and one.isdigit() for one in last):
        shape = tuple(int(one) + 1 for one in last)
        if math.prod(shape) == len(names) and element_names(base, shape) == list(names):
            return shape
    return (len(names),)


def one_regression(
    model: AffineModel, format_name: str, labels: Sequence[Any] = ()
) -> tuple[AffineModel, tuple[Any, ...]]:
    """Return the model of a format that holds one response, and what its classes are called.

    A classifier's two outputs ``[1 - p, p]`` are one regression, that of its second class. Classes
    have the labels that are given, or the names in brackets behind the outputs' names, or are
    numbered; a response that is no class has none.

    Raises
    ------
    ValueError
        If there are several responses.
    """
    names = model.output_names
    if model.link == "logit" and len(names) == 2:
        from converter.regression.choice import parts_of

        parts = parts_of(model, None)
        if len(parts) == 1:
            return parts[0][1], tuple(labels) or _classes(names)
    several = len(set(model.groups)) > 1 if model.link == "softmax" else len(names) > 1
    if several:
        raise ValueError(
            f"{format_name}: it holds one response, and the model has several: export one of "
            f"{', '.join(map(repr, names[:8]))} (model.select(..), --output)"
        )
    if model.link in ("identity", "log"):
        return model, ()
    named = _classes(names) if model.link == "softmax" else ("0", "1")
    return model, tuple(labels) or named


def _classes(names: tuple[str, ...]) -> tuple[str, ...]:
    found = [_ELEMENT.fullmatch(name) for name in names]
    classes = tuple(one.group(2) if one else name for one, name in zip(found, names, strict=True))
    return classes if len(set(classes)) == len(classes) else tuple(map(str, range(len(names))))


def base_of(name: str) -> str:
    """Return what an output is called of which this is an element."""
    return _base(name) or name


def fresh(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    found, number = name, 1
    while found in taken:
        found = f"{name}_{number}"
        number += 1
    taken.add(found)
    return found


def refuse_categories(model: AffineModel, format_name: str, why: str) -> None:
    """Refuse a model that looks up codes or words.

    Raises
    ------
    ValueError
    """
    if model.categorical:
        shown = next(one.name for one in model.variables if one.levels is not None)
        raise ValueError(f"{format_name}: {shown!r} is a category, {why}")


def refuse_link(model: AffineModel, format_name: str, known: Iterable[str], why: str) -> None:
    """Refuse a link that a format has no word for.

    Raises
    ------
    ValueError
    """
    if model.link not in known:
        raise ValueError(f"{format_name}: the model ends in the link {model.link!r}, {why}")


def rounded(model: AffineModel, float32: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and intercept in the precision that a file is to have.

    Raises
    ------
    ValueError
        If they overflow in single precision.
    """
    if not float32:
        return model.coef, model.intercept
    with np.errstate(over="ignore"):
        coef, intercept = model.coef.astype(np.float32), model.intercept.astype(np.float32)
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError("a coefficient overflows in single precision; leave out float32")
    return coef, intercept
