"""Categories as regressors: the contrasts with a base level that a table identifies.

A network has a coefficient for every level of a category; since each row has exactly one of them,
a constant may be moved from all of them to the intercept without changing any prediction. What
the rows identify are the differences with one level, the base; the rest belongs to the
intercept. Levels that no row has are not identified at all and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import DataError, printable
from converter.levels import OTHER, Vocabulary
from converter.model import AffineModel
from converter.regression.tables import label_of
from converter.variables import Variable


@dataclass(frozen=True)
class Coding:
    """Which columns of a model's coefficients a table identifies, and against which base.

    Parameters
    ----------
    terms : tuple of str
    kept : ndarray of int, shape (p,)
        The column of each term.
    against : ndarray of int, shape (p,)
        The column of its base level; -1 where there is none.
    bases : ndarray of int
        The columns of all base levels.
    number : ndarray of bool, shape (p,)
        Which terms are numbers and no indicators.
    sentences : tuple of str
        What was done, for people.
    """

    terms: tuple[str, ...]
    kept: np.ndarray
    against: np.ndarray
    bases: np.ndarray
    number: np.ndarray
    sentences: tuple[str, ...]

    def identified(self, model: AffineModel) -> AffineModel:
        """Return the model in these terms; on rows of known levels it predicts the same."""
        coef = model.coef[:, self.kept]
        paired = self.against >= 0
        coef[:, paired] -= model.coef[:, self.against[paired]]
        return replace(
            model,
            coef=coef,
            intercept=model.intercept + model.coef[:, self.bases].sum(axis=1),
            has_intercept=model.has_intercept | bool(self.bases.size),
            feature_names=self.terms,
            variables=(),
        )

    def regressors(
        self, variables: Sequence[Variable], found: Sequence[Sequence[np.ndarray]]
    ) -> np.ndarray:
        """Return the values of the terms, shape (n, terms).

        Parameters
        ----------
        variables : sequence of Variable
        found : sequence
            See `matched`.
        """
        place = np.full(sum(one.width for one in variables), -1)
        place[self.kept] = np.arange(len(self.kept))
        X = np.zeros((len(found[0][0]), len(self.kept)), order="F")
        start = 0
        for one, values in zip(variables, found, strict=True):
            for each in values:
                if one.levels is None:
                    X[:, place[start]] = each
                    continue
                at = place[start + each]
                rows = np.flatnonzero(at >= 0)
                X[rows, at[rows]] = 1.0
            start += one.width
        return X


def code(
    variables: Sequence[Variable],
    columns: Sequence[tuple[str, np.ndarray | None]],
    base: Mapping[str, Any] | None,
    source: str,
) -> tuple[np.ndarray, Coding]:
    """Make the regressors of a model with categories.

    Parameters
    ----------
    variables : sequence of Variable
    columns : sequence of (str, ndarray)
        For each element of the model's inputs its name in the table and its values; None where
        the model does not use it.
    base : mapping of str to level, or None
        Base levels by column; by default the first level that occurs.
    source : str
        The table, for messages.

    Returns
    -------
    X : ndarray of float64, shape (n, terms)
    coding : Coding

    Raises
    ------
    DataError
        If a value is not a level, or a base level does not occur or is of no category.
    """
    names = [name for name, _ in columns]
    found = matched(variables, columns, source)
    coding = coding_of(variables, names, occurrences(variables, found), base, source)
    return coding.regressors(variables, found), coding


def matched(
    variables: Sequence[Variable],
    columns: Sequence[tuple[str, np.ndarray | None]],
    source: str,
    numbered: bool = True,
) -> list[list[np.ndarray]]:
    """Return for each variable its elements' values: numbers, or the places of levels.

    Parameters
    ----------
    variables, columns, source
        As for `code`.
    numbered : bool
        As for `Variable.matched`.

    Raises
    ------
    DataError
        If a value is not a level.
    """
    found = []
    for one in variables:
        elements = [columns[element] for element in one.elements]
        if one.levels is None:
            found.append([np.asarray(elements[0][1]).astype(np.float64)])
            continue
        try:
            found.append(
                [replace(one, name=n).matched(np.asarray(v), numbered) for n, v in elements]
            )
        except ValueError as error:
            raise DataError(f"{source}: {error}") from None
    return found


def occurrences(
    variables: Sequence[Variable], found: Sequence[Sequence[np.ndarray]]
) -> list[np.ndarray]:
    """Return for each variable how often each of its levels occurs; nothing for numbers."""
    return [
        np.zeros(0, dtype=int)
        if one.levels is None
        else np.bincount(np.concatenate(values), minlength=len(one.levels.labels))
        for one, values in zip(variables, found, strict=True)
    ]


def coding_of(
    variables: Sequence[Variable],
    names: Sequence[str],
    counts: Sequence[np.ndarray],
    base: Mapping[str, Any] | None,
    source: str,
) -> Coding:
    """Choose what is compared with what.

    Parameters
    ----------
    variables, base, source
        As for `code`.
    names : sequence of str
        What the table calls each element of the inputs.
    counts : sequence of ndarray
        See `occurrences`.

    Raises
    ------
    DataError
        If a base level does not occur or is of no category.
    """
    if base is not None and not isinstance(base, Mapping):
        raise DataError("base is a mapping from column to level, such as {'column': 'level'}")
    wanted = {str(name): label_of(level) for name, level in (base or {}).items()}
    parts: list[_Part] = []
    start = 0
    for one, count in zip(variables, counts, strict=True):
        elements = [names[element] for element in one.elements]
        if one.levels is None:
            parts.append(_Part(elements, [start], -1, True))
        else:
            name = elements[0] if len(elements) == 1 else one.name
            parts.append(_category(one, name, count, wanted.pop(name, None), start, source))
        start += one.width
    if wanted:
        raise DataError(
            f"base names {', '.join(map(repr, wanted))}, which is no category of this model"
        )
    return Coding(
        terms=tuple(term for part in parts for term in part.terms),
        kept=np.array([column for part in parts for column in part.kept], dtype=int),
        against=np.array([part.base for part in parts for _ in part.kept], dtype=int),
        bases=np.array([part.base for part in parts if part.base >= 0], dtype=int),
        number=np.array([part.number for part in parts for _ in part.kept], dtype=bool),
        sentences=tuple(sentence for part in parts for sentence in part.sentences),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The regressors of one variable: their names, columns, and the base's column."""

    terms: list[str]
    kept: list[int]
    base: int
    number: bool
    sentences: tuple[str, ...] = ()


def _category(
    one: Variable,
    name: str,
    count: np.ndarray,
    base: str | None,
    start: int,
    source: str,
) -> _Part:
    assert one.levels is not None
    present = np.flatnonzero(count)
    labels, total = one.levels.labels, int(count.sum())
    shown = printable(name, 60)
    sentences = []
    absent = len(labels) - len(present)
    if absent:
        verb, noun, rest = ("occurs", "its coefficient", "it is")
        if absent > 1:
            verb, noun, rest = ("occur", "their coefficients", "they are")
        sentences.append(
            f"{absent} of the {len(labels)} levels of {shown} {verb} in no row: nothing can be "
            f"said about {noun}, and {rest} left out."
        )
    strange = int(count[one.levels.strangers.start : one.levels.strangers.stop].sum())
    if 2 * strange > total:
        sentences.append(
            f"Most values of {shown} ({strange} of {total}) are none that the "
            f"network knows ({', '.join(labels[one.levels.strangers.stop :][:6])}, ...): is the "
            "column spelled as in training?"
        )
    elif strange and isinstance(one.levels, Vocabulary) and one.levels.unknown != OTHER:
        sentences.append(
            f"{strange} of {total} values of {shown} are none that the network "
            "knows: they share a coefficient that training may never have seen."
        )
    first = -1
    if one.exhaustive:
        first = _base(one, name, present, base, source)
        sentences.append(
            f"The coefficients of {shown} are differences with its level {labels[first]!r} (the "
            "base), whose own coefficient is part of the intercept."
        )
    elif base is not None:
        raise DataError(f"{name!r} is a set of levels, of which none is a base")
    kept = [int(level) for level in present if level != first]
    return _Part(
        [one.term(labels[level], name) for level in kept],
        [start + level for level in kept],
        start + first if first >= 0 else -1,
        False,
        tuple(sentences),
    )


def _base(one: Variable, name: str, present: np.ndarray, wanted: str | None, source: str) -> int:
    assert one.levels is not None
    if wanted is None:
        named = [level for level in present if level not in one.levels.strangers]
        return int(named[0] if named else present[0])
    labels = one.levels.labels
    occurring = [labels[level] for level in present]
    if wanted not in occurring:
        raise DataError(
            f"{source}: the base {wanted!r} of {name!r} is not among its levels in the table: "
            f"{', '.join(occurring[:8])}"
        )
    return labels.index(wanted)
