"""The rows of a regression as passes over a table.

The first pass takes sums of products in a basis that the first rows give, and looks at columns and
response on the way. Where the first rows were no example of the others these sums are
ill-conditioned: then the rows are triangularised, in a pass of its own. Every later pass works in
the basis in which the columns of all rows are orthonormal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from converter.regression.conclude import check_size
from converter.regression.families import Likelihood
from converter.regression.moments import Basis, Moments, condition_of, inverse_of
from converter.regression.passes import NEAR, basis_of, cholesky
from converter.regression.response import Response
from converter.regression.streams.reading import Reader, Tally
from converter.regression.streams.sources import Source, Watch
from converter.regression.streams.sums import Pass, Plan, Sample, State

# Condition of sums of products in a basis of the first rows up to which they have digits enough.
_CERTAIN = 1e5
# Rows that give the first basis.
_FIRST = 1 << 14
# Numbers that have squares.
_LARGEST = 1e150
# Part of a column that is beyond the others in the first rows, below which it may be none.
_NONE = 1e-8


@dataclass(frozen=True)
class Seen:
    """The state of all rows at some coefficients.

    Parameters
    ----------
    params : ndarray, shape (parameters,)
    moments : Moments
    state : State
    """

    params: np.ndarray
    moments: Moments
    state: State


class Rows:
    """The rows of a regression.

    Parameters
    ----------
    source : Source
    reader : Reader
    likelihood : Likelihood
    watch : callable
        Told how far a pass is.
    robust : bool
        Sum up squares of scores in each pass.
    passes : int
        How often the rows were read already, for their labels and categories.

    Attributes
    ----------
    passes : int
        How often all rows were read.
    columns : Moments
        Of the columns themselves, whatever the rows weigh.
    tally : Tally
    response : Response
    lowest, highest : ndarray, shape (p,)
        Of the columns.
    last : Seen
        The state of the rows in the last pass.
    """

    last: Seen
    columns: Moments
    tally: Tally
    response: Response
    lowest: np.ndarray
    highest: np.ndarray

    def __init__(
        self,
        source: Source,
        reader: Reader,
        likelihood: Likelihood,
        watch: Watch,
        robust: bool = False,
        passes: int = 0,
    ) -> None:
        self.source, self.reader, self.likelihood = source, reader, likelihood
        self.watch, self.robust = watch, robust
        self.passes = passes
        self.stamp = source.stamp
        self._basis: Basis | None = None

    @property
    def equations(self) -> int:
        """Linear predictors of an observation."""
        return self.likelihood.equations

    @property
    def count(self) -> int:
        """Complete rows."""
        return self.response.count

    @property
    def reach(self) -> np.ndarray:
        """The largest absolute value of each column, shape (p,)."""
        return np.asarray(np.maximum(np.abs(self.lowest), np.abs(self.highest)))

    def survey(self, params: np.ndarray, terms: Sequence[str], drop: bool) -> Seen:
        """Read all rows for the first time, at some coefficients.

        Parameters
        ----------
        params : ndarray, shape (parameters,)
        terms : sequence of str
            What the columns are called.
        drop : bool
            Leave incomplete rows out.

        Raises
        ------
        DataError
            If there are rows that cannot be used.
        OtherLabels
            If the response is not in the classes that it was taken to be in.
        """
        width = len(params) // self.likelihood.equations
        basis = self._first_basis(width)
        state = self._read(Plan(self.likelihood, params, basis, survey=True))
        state.tally.check(self.reader.source, self.reader.where, drop)
        self._keep(state, terms)
        assert state.products is not None
        unit = self.likelihood.scaled and self.reader.weights is None
        triangle = cholesky(state.products.products if unit else state.plain, _CERTAIN)
        columns = None
        if triangle is not None:
            factor = np.zeros((width + 1, width + 1))
            factor[:width, :-1] = triangle @ basis.back
            columns = Moments(factor, state.products.nobs)
        else:
            plan = Plan(self.likelihood, params, basis, survey=True, triangular=True)
            state = self._read(plan)
            columns = state.columns
        assert columns is not None
        self.columns, self._basis = columns, basis_of(columns)
        return self._seen(params, state)

    def _keep(self, state: State, terms: Sequence[str]) -> None:
        """Keep what does not change from one pass to the next, and refuse what overflows."""
        assert state.response is not None
        self.tally, self.response = state.tally, state.response
        self.lowest, self.highest = state.lowest, state.highest
        for name, reach in zip(terms, self.reach, strict=True):
            check_size(name, float(reach * np.sqrt(self.count)))
        check_size(self.reader.target, float(np.sqrt(self.response.about_zero)))

    def at(self, params: np.ndarray, groups: bool = True) -> Seen:
        """Read all rows again, at other coefficients.

        Parameters
        ----------
        params : ndarray, shape (parameters,)
        groups : bool
            Sum up the scores of groups, where there are any, which takes time.
        """
        assert self._basis is not None
        plan = Plan(self.likelihood, params, self._basis, groups=groups)
        return self._seen(params, self._read(plan))

    def sample(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return about so many rows, chosen by chance, or all: regressors, response, weights."""
        self.passes += 1
        task = Sample(self.reader, count / self.count if self.count >= 2 * count else 1.0)
        found = self.source.reduced(task, self.reader.wanted, self.watch)
        weights = np.concatenate(found.weights) if found.weights else None
        return np.concatenate(found.X), np.concatenate(found.y), weights

    def _seen(self, params: np.ndarray, state: State) -> Seen:
        """Return the state of all rows; read again where its sums are ill-conditioned."""
        assert self._basis is not None
        assert state.products is not None
        moments = state.triangle or state.products.moments()
        if moments is None and state.plan.basis is not self._basis:
            state = self._read(replace(state.plan, basis=self._basis, survey=False))
            assert state.products is not None
            moments = state.products.moments()
        if moments is None:
            plan = replace(state.plan, basis=self._basis, survey=False, triangular=True)
            state = self._read(plan)
            moments = state.triangle
        assert moments is not None
        if (self.robust or state.groups) and self._drowns(state):
            # Scores in directions of next to no information are lost among the others: they are
            # brought to the information's own units before they are summed.
            scores = moments.inverse.astype(np.float64)
            plan = replace(state.plan, basis=self._basis, survey=False, triangular=False)
            state = self._read(replace(plan, scores=scores))
        self.last = Seen(params, replace(moments, basis=self._basis), state)
        return self.last

    def _drowns(self, state: State) -> bool:
        """Tell whether the information is so uneven that sums of squares of scores lose digits."""
        assert state.products is not None
        if state.triangle is not None:
            return True
        lower = np.tril(state.products.products)
        sizes = np.linalg.eigvalsh(lower)
        return not sizes[0] * _CERTAIN > sizes[-1]

    def _read(self, plan: Plan) -> State:
        plan = replace(plan, robust=self.robust, ways=len(self.reader.groups))
        self.passes += 1
        task = Pass(self.reader, plan)
        found: State = self.source.reduced(task, self.reader.wanted, self.watch)
        return found

    def _first_basis(self, width: int) -> Basis:
        """Return a basis from the first rows; directions that they do not have are left as are."""
        tally, found, count = Tally(), [], 0
        for table in self.source.tables(self.reader.wanted):
            found.append(self.reader.block(table, tally).X)
            count += len(found[-1])
            if count >= _FIRST:
                break
        X = np.concatenate(found)[:_FIRST] if found else np.zeros((0, width))
        count, triangle = len(X), np.eye(width)
        if np.abs(X).max(initial=0.0) < _LARGEST:
            triangle = Moments.empty(width).update(X, np.zeros(count)).design.copy()
        lengths = np.sqrt((triangle**2).sum(axis=0))
        lengths[lengths == 0] = 1.0
        weak = np.abs(np.diag(triangle)) <= _NONE * lengths
        triangle[weak, weak] = lengths[weak]
        triangle /= np.sqrt(max(count, 1))
        if not weak.any() and condition_of(triangle) < NEAR:
            return Basis(None, np.eye(width), triangle)
        return Basis(inverse_of(triangle), triangle, triangle)
