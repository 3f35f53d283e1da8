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
from converter.model import AffineModel
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
    wanted = {str(name): str(level) for name, level in (base or {}).items()}
    blocks: list[np.ndarray] = []
    terms: list[str] = []
    kept: list[int] = []
    against: list[int] = []
    bases: list[int] = []
    number: list[bool] = []
    sentences: list[str] = []
    start = 0
    for one in variables:
        names = [columns[element][0] for element in one.elements]
        name = names[0] if len(names) == 1 else one.name
        values = [np.asarray(columns[element][1]) for element in one.elements]
        if one.levels is None:
            blocks.append(values[0].astype(np.float64)[:, None])
            terms.append(name)
            kept.append(start)
            against.append(-1)
            number.append(True)
            start += 1
            continue
        try:
            matched = [replace(one, name=n).matched(v) for n, v in zip(names, values, strict=True)]
        except ValueError as error:
            raise DataError(f"{source}: {error}") from None
        present = np.unique(np.concatenate(matched))
        labels = one.levels.labels
        absent = len(labels) - len(present)
        if absent:
            sentences.append(
                f"{absent} of the {len(labels)} levels of {printable(name, 60)} occur in no row: "
                "nothing can be said about their coefficients, and they are left out."
            )
        first = -1
        if one.exhaustive:
            first = _base(one, name, present, wanted.pop(name, None), source)
            bases.append(start + first)
            sentences.append(
                f"The coefficients of {printable(name, 60)} are differences with its level "
                f"{labels[first]!r} (the base), whose own coefficient is part of the intercept."
            )
        shown = [int(level) for level in present if level != first]
        block = np.zeros((len(values[0]), len(shown)))
        place = np.full(len(labels), -1)
        place[shown] = np.arange(len(shown))
        for found in matched:
            rows = np.flatnonzero(place[found] >= 0)
            block[rows, place[found][rows]] = 1.0
        blocks.append(block)
        terms += [one.term(labels[level], name) for level in shown]
        kept += [start + level for level in shown]
        number += [False] * len(shown)
        against += [start + first if first >= 0 else -1] * len(shown)
        start += one.width
    if wanted:
        raise DataError(
            f"base names {', '.join(map(repr, wanted))}, which is no category of this model"
        )
    X = np.concatenate(blocks, axis=1)
    return X, Coding(
        terms=tuple(terms),
        kept=np.array(kept, dtype=int),
        against=np.array(against, dtype=int),
        bases=np.array(bases, dtype=int),
        number=np.array(number, dtype=bool),
        sentences=tuple(sentences),
    )


def _base(one: Variable, name: str, present: np.ndarray, wanted: str | None, source: str) -> int:
    assert one.levels is not None
    if wanted is None:
        return int(present[0])
    labels = one.levels.labels
    occurring = [labels[level] for level in present]
    if wanted not in occurring:
        raise DataError(
            f"{source}: the base {wanted!r} of {name!r} is not among its levels in the table: "
            f"{', '.join(occurring[:8])}"
        )
    return labels.index(wanted)
