"""The optimum of rows that are read in passes.

Of a linear response one step from anywhere is exact. Of a likelihood each pass gives a step of
Newton's method, and the search goes on while the step matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from converter.regression.moments import Moments
from converter.regression.optimality import Optimum, in_doubt
from converter.regression.streams.rows import Rows, Seen

# Steps in standard errors, and changes of a linear predictor, that are looked at no more.
_SMALL, _SAME = 1e-6, 1e-9
# Gain beside what remains, beyond which the latter is known by too few digits.
_DROWNED = 1e3
# Passes that bring such digits back, at most.
_REFINED = 4
# Gain below which rounding errors may be what is left of it.
_NEAR = 1e-10
# Half the squared decrement below which a full step is always right.
_CLOSE_BY = 1e-2
# Passes after which there is no optimum to be found, and parts of a step that are tried.
_MOST, _SHORTEST = 25, 1e-9


@dataclass(frozen=True)
class Found:
    """The optimum of streamed rows.

    Parameters
    ----------
    optimum : Optimum
    seen : Seen
        The state of the rows there, or a last step before.
    there : bool
        Whether that step was nothing.
    last : float
        The last step, in standard errors: how far the optimum may be from where rows were read.
    """

    optimum: Optimum
    seen: Seen
    there: bool
    last: float


def search(rows: Rows, start: Seen, passes: int | None) -> Found:
    """Find the optimum.

    Parameters
    ----------
    rows : Rows
    start : Seen
        At the network's coefficients, with the directions in which they can move.
    passes : int, optional
        Read the rows no more than that often, all in all.
    """
    if rows.likelihood.scaled:
        return _least_squares(rows, start, passes)
    at, tangent, before = _nearer(rows, start, passes), start.moments.tangent, np.inf
    for iteration in range(1, _MOST + 1):
        step, gain = at.moments.step, at.moments.gain
        size = size_of(step, at.moments)
        moved = float((np.abs(step).reshape(-1, len(rows.reach)) * rows.reach).sum(axis=1).max())
        # Rounding errors keep the gain from zero: near the optimum it no longer falls.
        floor = gain < _NEAR and gain > before / 4.0
        if (size <= _SMALL and moved <= _SAME) or floor:
            hidden = tangent is None and at.moments.rank < rows.columns.rank * rows.equations
            doubted = hidden or in_doubt(
                at.moments, at.state.furthest, lambda: rows.reach, iteration
            )
            if rows.reader.groups and not at.state.plan.groups:
                at = replace(rows.at(at.params), moments=at.moments)
            params = at.params if doubted else at.params + step
            optimum = Optimum(params, at.moments, not hidden, iteration, doubted)
            return Found(optimum, at, True, size)
        if passes is not None and rows.passes >= passes:
            doubted = in_doubt(at.moments, at.state.furthest, lambda: rows.reach, iteration)
            optimum = Optimum(at.params + step, at.moments, True, iteration, doubted)
            return Found(optimum, at, False, size)
        reached = _stepped(rows, at, step, passes)
        if reached is None:
            break
        at, before = reached, gain
    if rows.reader.groups and not at.state.plan.groups:
        at = replace(rows.at(at.params), moments=at.moments)
    return Found(Optimum(at.params, at.moments, False, iteration, True), at, True, size)


def _nearer(rows: Rows, start: Seen, passes: int | None) -> Seen:
    """Return where the search begins: at the network, unless no model at all is better.

    Newton's method finds no way back from far out, as from columns in units that are not the
    network's.
    """
    response, has_constant = rows.response, rows.reader.has_constant
    null = rows.likelihood.null(response, has_constant)
    bounded = passes is not None and rows.passes >= passes
    if bounded or start.moments.tangent is not None or start.moments.value >= null:
        return start
    params = np.zeros_like(start.params).reshape(rows.equations, -1)
    if has_constant:
        params[:, 0] = rows.likelihood.start(response)
    return rows.at(params.ravel(), groups=_is_last(rows, passes))


def _is_last(rows: Rows, passes: int | None) -> bool:
    """Tell whether the next pass is the last that there may be: the report wants its groups."""
    return passes is not None and rows.passes + 1 >= passes


def _stepped(rows: Rows, at: Seen, step: np.ndarray, passes: int | None) -> Seen | None:
    """Return the state after a step, or the part of it that gains; None if none does."""
    scale = 1.0
    while scale >= _SHORTEST:
        reached = rows.at(at.params + scale * step, groups=_is_last(rows, passes))
        reached = replace(reached, moments=replace(reached.moments, tangent=at.moments.tangent))
        value = reached.moments.value
        least = at.moments.value - 1e-12 * abs(at.moments.value)
        if np.isfinite(value) and (at.moments.gain < _CLOSE_BY or value >= least):
            return reached
        if passes is not None and rows.passes >= passes:
            return None
        scale /= 4.0
    return None


def _least_squares(rows: Rows, start: Seen, passes: int | None) -> Found:
    """Return the exact estimate, which one pass gives; more where digits were lost."""
    at, moments = start, start.moments
    size = size_of(moments.step, moments) / max(np.sqrt(moments.remainder / rows.count), 1e-300)
    robust = rows.robust or bool(rows.reader.groups)
    for refined in range(_REFINED):
        drowned = moments.gain > _DROWNED * moments.remainder
        if not (drowned or (robust and not refined)) or rows.passes >= (passes or np.inf):
            break
        at = rows.at(at.params + moments.step)
        moments = replace(at.moments, tangent=start.moments.tangent)
    there = replace(moments, factor=_solved(moments))
    optimum = Optimum(at.params + moments.step, there, True, 1 + (at is not start))
    seen = replace(at, moments=there)
    return Found(optimum, seen, at is not start or not moments.step.any(), size)


def _solved(moments: Moments) -> np.ndarray:
    """Return the factor after the step: what was gained is gone."""
    factor = moments.factor.copy()
    left = moments.projection - moments.design @ moments.step
    count = min(len(left), len(factor))
    factor[:count, -1] = left[:count]
    return factor


def size_of(step: np.ndarray, moments: Moments) -> float:
    """Return the largest part of a step, in standard errors at scale one."""
    errors = moments.standard_errors
    return float(np.max(np.abs(step) / np.where(errors > 0, errors, np.inf), initial=0.0))
