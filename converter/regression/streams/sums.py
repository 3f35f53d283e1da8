"""Everything that a pass over rows sums up, as one mergeable state."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from converter.errors import DataError
from converter.regression.caveats.rows import pearson_of
from converter.regression.families import LOGIT, POISSON, Family, Likelihood
from converter.regression.moments import Basis, Moments
from converter.regression.passes import BLOCK, Products, triangulated
from converter.regression.response import Response
from converter.regression.streams.reading import Block, Reader, Tally
from converter.regression.streams.shape import Shape

# Bytes that the sums of groups may take.
_MOST = 1 << 30
# Distance from the outcome of a probability that statsmodels takes for a perfect prediction.
_PERFECT = 1e-4


@dataclass(frozen=True)
class Plan:
    """What a pass is to find out.

    Parameters
    ----------
    likelihood : Likelihood
    beta : ndarray, shape (parameters,)
        The coefficients at which it is.
    basis : Basis
        In which sums of products are taken.
    triangular : bool
        Triangularise the rows instead.
    survey : bool
        Look at columns and response too, which do not change from one pass to the next.
    robust : bool
        Sum up squares of scores.
    groups : bool
        Sum up the scores of groups, where there are any.
    ways : int
        Of grouping.
    scores : ndarray, shape (parameters, k), or None
        What scores are multiplied with before they are squared, where the basis is not enough.
    """

    likelihood: Likelihood
    beta: np.ndarray
    basis: Basis
    triangular: bool = False
    survey: bool = False
    robust: bool = False
    groups: bool = True
    ways: int = 0
    scores: np.ndarray | None = None


class Groups:
    """Sums of the scores of each group, in a basis.

    Parameters
    ----------
    width : int
        Length of a score.
    """

    def __init__(self, width: int) -> None:
        self.places: dict[Any, int] = {}
        self.sums = np.zeros((0, width))

    def add(self, labels: list[Any], at: np.ndarray, scores: np.ndarray) -> None:
        """Add rows.

        Parameters
        ----------
        labels : list
        at : ndarray of int, shape (n,)
            The place of each row's label.
        scores : ndarray, shape (n, width)
        """
        used, local = np.unique(at, return_inverse=True)
        ones = sparse.csr_matrix(
            (np.ones(len(at)), (local, np.arange(len(at)))), shape=(len(used), len(at))
        )
        self._add([labels[one] for one in used], ones @ scores)

    def merge(self, other: Groups) -> None:
        """Add the rows of another."""
        self._add(list(other.places), other.sums[: other.count])

    def _add(self, labels: list[Any], sums: np.ndarray) -> None:
        places = [self.places.setdefault(label, len(self.places)) for label in labels]
        count, width = len(self.places), self.sums.shape[1]
        if count > len(self.sums):
            if count * width * 8 > _MOST:
                raise DataError(
                    f"there are more than {count:,} groups of {width} coefficients, whose sums do "
                    "not fit in memory"
                )
            grown = np.zeros((max(count, 2 * len(self.sums)), width))
            grown[: len(self.sums)] = self.sums
            self.sums = grown
        np.add.at(self.sums, places, sums)  # labels may be equal: 0 and -0

    @property
    def count(self) -> int:
        return len(self.places)

    @property
    def meat(self) -> np.ndarray:
        """Sum of the outer products of the groups' scores."""
        return self.sums.T @ self.sums


@dataclass
class State:
    """What a pass has seen.

    Parameters
    ----------
    plan : Plan
    tally : Tally
    products : Products or None
    triangle : Moments or None
        Instead of `products`, where rows are triangularised.
    columns : Moments or None
        Of a survey that triangularises, the state of the columns themselves.
    plain : ndarray, shape (r, r)
        Of a survey, sums of products of the columns themselves in the basis.
    response : Response or None
        None before any row.
    lowest, highest : ndarray, shape (p,)
        Of the columns.
    furthest, largest : float
        The largest linear predictor in absolute value, and the largest.
    shape : Shape
        Of the residuals.
    close : int
        Outcomes that are predicted perfectly.
    pearson : ndarray, shape (2,)
        See `pearson_of`.
    meat : ndarray
        Sum of the outer products of scores, in the basis.
    groups : list of Groups
    """

    plan: Plan
    tally: Tally = field(default_factory=Tally)
    products: Products | None = None
    triangle: Moments | None = None
    columns: Moments | None = None
    plain: Any = 0.0
    response: Response | None = None
    lowest: Any = np.inf
    highest: Any = -np.inf
    furthest: float = 0.0
    largest: float = -np.inf
    shape: Shape = field(default_factory=Shape)
    close: int = 0
    pearson: Any = 0.0
    meat: Any = 0.0
    groups: list[Groups] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = self.plan
        self.products = Products(plan.likelihood, plan.beta, plan.basis)
        width = len(self.products.gradient) if plan.scores is None else plan.scores.shape[1]
        ways = plan.groups * (3 if plan.ways == 2 else plan.ways)
        self.groups = [Groups(width) for _ in range(ways)]

    def add(self, block: Block) -> None:
        """Add complete rows."""
        for start in range(0, len(block.y), BLOCK):
            rows = slice(start, start + BLOCK)
            self._add(
                Block(
                    block.X[rows],
                    block.y[rows],
                    None if block.weights is None else block.weights[rows],
                    [(labels, at[rows]) for labels, at in block.groups],
                )
            )

    def _add(self, rows: Block) -> None:
        plan, X, y, weights = self.plan, rows.X, rows.y, rows.weights
        assert self.products is not None
        inside, eta, score = self.products.add_block(X, y, weights)
        self.furthest = max(self.furthest, float(np.abs(eta).max()))
        self.largest = max(self.largest, float(eta.max()))
        self._look(y, eta, score, weights)
        if plan.triangular:
            found = triangulated(plan.likelihood, X, y, plan.beta, weights)
            self.triangle = found if self.triangle is None else self.triangle.merge(found)
            if plan.survey:
                self.columns = (self.columns or Moments.empty(X.shape[1])).update(
                    X, np.zeros(len(y))
                )
        if plan.survey:
            self._survey(X, inside, y, weights)
        if plan.robust or self.groups:
            # Of weighted rows the sandwich holds what a row adds to the gradient.
            rows_ = inside if plan.scores is None else X
            scores = (score[:, :, None] * rows_[:, None, :]).reshape(len(y), -1)
            if plan.scores is not None:
                scores = scores @ plan.scores
            if plan.robust:
                self.meat = self.meat + scores.T @ scores
            self._group(rows.groups, scores)

    def _look(
        self, y: np.ndarray, eta: np.ndarray, score: np.ndarray, weights: np.ndarray | None
    ) -> None:
        likelihood = self.plan.likelihood
        if likelihood.scaled:
            # Residuals as statsmodels has them: times the roots of the weights.
            residual = score[:, 0] if weights is None else score[:, 0] / np.sqrt(weights)
            self.shape = self.shape.merge(Shape.of(residual))
        elif likelihood.name == "binomial":
            assert isinstance(likelihood, Family)
            # Of a canonical link the score is what is left of the outcome.
            left = score[:, 0] if likelihood is LOGIT else y - likelihood.mean(eta[:, 0])
            self.close += int((np.abs(left) < _PERFECT).sum())
        elif likelihood.name == "poisson":
            self.pearson = self.pearson + np.array(pearson_of(y, POISSON.mean(eta[:, 0])))

    def _survey(
        self, X: np.ndarray, inside: np.ndarray, y: np.ndarray, weights: np.ndarray | None
    ) -> None:
        likelihood = self.plan.likelihood
        self.lowest = np.minimum(self.lowest, X.min(axis=0))
        self.highest = np.maximum(self.highest, X.max(axis=0))
        response = likelihood.response(y, weights)
        self.response = response if self.response is None else self.response.merge(response)
        if not likelihood.scaled or weights is not None:
            self.plain = self.plain + inside.T @ inside

    def _group(self, ways: list[tuple[np.ndarray, np.ndarray]], scores: np.ndarray) -> None:
        for into, (labels, at) in zip(self.groups, ways, strict=False):
            into.add(labels.tolist(), at, scores)
        if len(self.groups) == 3:
            (first, a), (second, b) = ways
            pairs, at = np.unique(a.astype(np.int64) * len(second) + b, return_inverse=True)
            both = [(first[one // len(second)], second[one % len(second)]) for one in pairs]
            self.groups[2].add(both, at, scores)

    def merge(self, other: State) -> State:
        """Return the state of these rows and those that follow them."""
        assert self.products is not None
        assert other.products is not None
        self.tally.merge(other.tally)
        self.products.merge(other.products)
        self.triangle = _merged(self.triangle, other.triangle)
        self.columns = _merged(self.columns, other.columns)
        self.response = _merged(self.response, other.response)
        self.plain = self.plain + other.plain
        self.lowest = np.minimum(self.lowest, other.lowest)
        self.highest = np.maximum(self.highest, other.highest)
        self.furthest = max(self.furthest, other.furthest)
        self.largest = max(self.largest, other.largest)
        self.shape = self.shape.merge(other.shape)
        self.close += other.close
        self.pearson = self.pearson + other.pearson
        self.meat = self.meat + other.meat
        for mine, theirs in zip(self.groups, other.groups, strict=True):
            mine.merge(theirs)
        return self


def _merged(first: Any, second: Any) -> Any:
    """Return the state of both, of which either may be None for no rows."""
    if first is None or second is None:
        return second if first is None else first
    return first.merge(second)


@dataclass(frozen=True)
class Pass:
    """Reads rows and sums them up.

    Parameters
    ----------
    reader : Reader
    plan : Plan
    """

    reader: Reader
    plan: Plan

    def __call__(self, tables: Iterator[pa.Table]) -> State:
        """Return the state of all rows."""
        state = State(self.plan)
        # What overflows is seen by the sizes of the columns.
        with np.errstate(all="ignore"):
            for table in tables:
                block = self.reader.block(table, state.tally)
                if len(block.y):
                    state.add(block)
        return state


@dataclass
class _Kept:
    """Some rows: regressors, response, and weights where there are any."""

    X: list[np.ndarray]
    y: list[np.ndarray]
    weights: list[np.ndarray]

    def merge(self, other: _Kept) -> _Kept:
        return _Kept(self.X + other.X, self.y + other.y, self.weights + other.weights)


@dataclass(frozen=True)
class Sample:
    """Keeps some rows, chosen by chance: rows may be periodic.

    Parameters
    ----------
    reader : Reader
    share : float
        Of the complete rows that is kept; 1 keeps all.
    """

    reader: Reader
    share: float

    def __call__(self, tables: Iterator[pa.Table]) -> _Kept:
        """Return the rows that are kept."""
        found = _Kept([], [], [])
        for table in tables:
            block = self.reader.block(table, Tally())
            chosen = np.ones(len(block.y), dtype=bool)
            if self.share < 1.0:
                # The same rows each time, whichever thread reads them.
                seed = zlib.crc32(np.ascontiguousarray(block.X).data)
                chosen = np.random.default_rng(seed).random(len(block.y)) < self.share
            found.X.append(block.X[chosen])
            found.y.append(block.y[chosen])
            if block.weights is not None:
                found.weights.append(block.weights[chosen])
        return found
