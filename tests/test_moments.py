"""The state of many rows, by sums of products, against their triangle in extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from converter.regression import passes as module
from converter.regression.families import GAUSSIAN, LOGIT, POISSON, PROBIT
from converter.regression.multinomial import Multinomial
from converter.regression.optimality import optimum_of
from converter.regression.passes import moments_at

N = 6000
RNG = np.random.default_rng(11)
Z = RNG.normal(size=(N, 6))
MULTINOMIAL = Multinomial("multinomial", "softmax", "MNLogit", 3)
FAMILIES = {one.regression: one for one in (GAUSSIAN, LOGIT, PROBIT, POISSON, MULTINOMIAL)}


def _replaced(place, column):
    changed = Z.copy()
    changed[:, place] = column
    return changed


_RARE = np.zeros(N)
_RARE[[5, 777, 4500]] = 1.0
_ROW = Z.copy()
_ROW[17] *= 1e6
#: Regressors, and how many digits their condition leaves.
DESIGNS = {
    "plain": (Z, 12),
    "scales": (Z * 10.0 ** np.array([-12, 9, 0, 3, 12, -5]), 12),
    "rare": (_replaced(3, _RARE), 12),
    "near": (_replaced(3, Z[:, 2] + 1e-5 * Z[:, 3]), 10),
    "dependent": (_replaced(3, Z[:, 2] * 2.0), 12),
    "row": (_ROW, 10),
    "means": (Z + 1e6, 8),
    "sorted": (np.sort(Z, axis=0), 11),
    "powers": (np.linspace(1.0, 2.0, N)[:, None] ** np.arange(1, 7), 8),
    "zeros": (_replaced(3, np.zeros(N)), 12),
}


@pytest.fixture
def either(monkeypatch):
    """Compute the state both ways."""

    def both(*arguments, **more):
        states = []
        for extended in (0, 1 << 60):
            monkeypatch.setattr(module, "_EXTENDED", extended)
            states.append(moments_at(*arguments, **more))
        return states

    return both


@pytest.mark.parametrize("regression", FAMILIES)
@pytest.mark.parametrize("name", DESIGNS)
def test_sums_of_products_are_the_triangle(name, regression, either):
    columns, digits = DESIGNS[name]
    family = FAMILIES[regression]
    X = np.asfortranarray(np.column_stack([np.ones(N), columns]))
    several = family is MULTINOMIAL
    y = RNG.integers(0, 3 if several else 2, N) * 1.0
    size = np.maximum(np.abs(X).max(axis=0), 1e-300)
    beta = (RNG.normal(size=(1 + several, 7)) / size / 5.0).ravel()
    weights = RNG.uniform(0.1, 5.0, N) if family is GAUSSIAN else None
    fast, exact = either(family, X, y, beta, weights)
    assert fast.rank == exact.rank
    np.testing.assert_allclose(fast.standard_errors, exact.standard_errors, rtol=10.0**-digits)
    factor = exact.design.astype(float)
    apart = np.linalg.norm(factor @ (fast.step - exact.step))
    assert apart <= 10.0 ** -(digits - 1) * np.linalg.norm(factor @ exact.step)
    assert fast.gain == pytest.approx(exact.gain, rel=10.0**-digits)
    if family is GAUSSIAN:
        assert fast.total == pytest.approx(exact.total, rel=10.0**-digits)
    assert fast.value == pytest.approx(exact.value, rel=1e-12)
    assert fast.condition == pytest.approx(exact.condition, rel=0.01) or fast.rank < fast.terms


@pytest.mark.parametrize("regression", FAMILIES)
def test_optimum_of_many_rows(regression, monkeypatch):
    """From the same start to the same optimum, by both."""
    family = FAMILIES[regression]
    X = np.asfortranarray(np.column_stack([np.ones(N), Z]))
    y = RNG.integers(0, 3 if family is MULTINOMIAL else 2, N) * 1.0
    start = RNG.normal(size=7 * (1 + (family is MULTINOMIAL))) * 0.2
    found = []
    for extended in (0, 1 << 60):
        monkeypatch.setattr(module, "_EXTENDED", extended)
        found.append(optimum_of(family, X, y, start, moments_at(family, X, y, start)))
    np.testing.assert_allclose(found[0].params, found[1].params, rtol=1e-10, atol=1e-13)
    errors = (one.moments.standard_errors for one in found)
    np.testing.assert_allclose(*errors, rtol=1e-10)


def test_merged_states_are_the_state_of_all_rows():
    X = np.column_stack([np.ones(N), Z])
    y = RNG.normal(size=N)
    beta = np.zeros(7)
    whole = moments_at(GAUSSIAN, X, y, beta)
    parts = [moments_at(GAUSSIAN, X[rows], y[rows], beta) for rows in np.array_split(range(N), 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert merged.nobs == N
    np.testing.assert_allclose(merged.standard_errors, whole.standard_errors, rtol=1e-12)
    np.testing.assert_allclose(merged.step, whole.step, rtol=1e-11)


@pytest.mark.parametrize("eta", [30.0, 60.0, 100.0, 400.0])
@pytest.mark.parametrize("place", [0, 500])
@pytest.mark.parametrize("regression", ["Logit", "MNLogit"])
def test_a_row_that_is_far_wrong_drowns_no_other(regression, place, eta, either):
    """Its weight is exp(-eta), its residual exp(eta / 2): rotations of it would be all noise."""
    family = FAMILIES[regression]
    X = np.column_stack([np.ones(N), Z[:, :1]])
    y = RNG.integers(0, 3 if family is MULTINOMIAL else 2, N) * 1.0
    X[place, 1], y[place] = -eta, 1.0
    beta = np.array([0.0, 1.0] * (1 + (family is MULTINOMIAL)))
    fast, exact = either(family, X, y, beta)
    # The gradient, written out, in units of the information.
    predictors = X @ beta.reshape(-1, 2).T
    shares = np.exp(predictors) / (1.0 + np.exp(predictors).sum(axis=1, keepdims=True))
    observed = (y[:, None] == np.arange(1, 1 + predictors.shape[1])) * 1.0
    gradient = ((observed - shares).T @ X).ravel()
    statistic = gradient @ exact.covariance @ gradient
    assert exact.gain == pytest.approx(statistic, rel=1e-9)
    assert fast.gain == pytest.approx(statistic, rel=1e-9)
