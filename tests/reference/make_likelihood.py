"""Write likelihood.json: maximum-likelihood estimates to 25 digits.

Needs mpmath, and for speed gmpy2; takes a minute or two. Newton's method in 60 digits, and again in
90: what is written must not depend on which. Numbers of a table, and coefficients off the optimum,
are the doubles that they are read as.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from mpmath import mp

_PRECISIONS = (60, 90)
_STORED = 25
_ORIGIN = (
    "Computed by make_likelihood.py with mpmath in 60 digits (the same in 90). Tables are those of "
    "statsmodels by the name `dataset`, their first `rows` rows, with a constant in front of "
    "`columns`; a set without `dataset` holds its own `data`. Estimates of several classes: one "
    "class behind the other, contrasts with class 0. Standard errors: of the inverse observed "
    "information. `second`: coefficients `at`, off the optimum, and the numbers there."
)
_ANES = (
    "American National Election Study 1996 (public domain; electionstudies.org): party "
    "identification, from 0 (strong Democrat) to 6 (strong Republican)"
)
_SPECTOR = (
    "Spector, L. and Mazzeo, M. (1980), Probit analysis and economic education, Journal of "
    "Economic Education 11, 37-44"
)
SETS: dict[str, dict] = {
    "spector_logit": {
        "kind": "Logit",
        "origin": _SPECTOR,
        "dataset": "spector",
        "rows": 32,
        "response": "GRADE",
        "columns": ["GPA", "TUCE", "PSI"],
    },
    "spector_probit": {
        "kind": "Probit",
        "origin": _SPECTOR,
        "dataset": "spector",
        "rows": 32,
        "response": "GRADE",
        "columns": ["GPA", "TUCE", "PSI"],
    },
    "hard_logit": {
        "kind": "Logit",
        "origin": "Made for this project (`hard` in make_likelihood.py): columns of order 1e6 and "
        "1e-4, and two whose correlation is 1 - 1e-6",
        "response": "y",
        "columns": ["large", "small", "one", "other"],
    },
    "cpunish_poisson": {
        "kind": "Poisson",
        "origin": "Gill, J. (2000), Generalized Linear Models: A Unified Approach, Sage: "
        "executions in the United States in 1996, by state",
        "dataset": "cpunish",
        "rows": 17,
        "response": "EXECUTIONS",
        "columns": ["INCOME", "PERPOVERTY", "PERBLACK", "VC100k96", "SOUTH", "DEGREE"],
    },
    "randhie_poisson": {
        "kind": "Poisson",
        "origin": "RAND Health Insurance Experiment, as in Cameron, A. C. and Trivedi, P. K. "
        "(2005), Microeconometrics, Cambridge University Press: outpatient visits to a physician",
        "dataset": "randhie",
        "rows": 400,
        "response": "mdvis",
        "columns": ["lncoins", "idp", "lpi", "fmde", "physlm", "disea"],
    },
    "anes96_mnlogit": {
        "kind": "MNLogit",
        "origin": _ANES,
        "dataset": "anes96",
        "rows": 944,
        "response": "PID",
        "columns": ["logpopul", "selfLR", "age", "educ", "income"],
    },
}


def hard() -> dict[str, list[float]]:
    """Return a table on which double precision has little left: sums and quotients, no chance."""
    i = np.arange(60)
    # Multiples modulo a prime are spread evenly, and differently for each multiplier (of two that
    # add up to the prime, one would be the other's mirror image).
    u, v, w, x, noise = ((i * step % 61 + 0.5) / 61.0 - 0.5 for step in (7, 17, 23, 11, 29))
    eta = 3.0 * u - 2.0 * v + 2.0 * w + 6.0 * noise
    return {
        "y": (eta > 0.0).astype(float).tolist(),
        "large": (2e6 + 1e6 * u).tolist(),
        "small": (1e-4 * v).tolist(),
        "one": w.tolist(),
        "other": (w + x / 707.0).tolist(),
    }


# Of one row: y, predictors -> log-likelihood, its gradient, minus its Hessian.
_Row = tuple[mp.mpf, list, list[list]]


def _logit(y: int, eta: Sequence) -> _Row:
    p = 1 / (1 + mp.exp(-eta[0]))
    return mp.log(p if y else 1 - p), [y - p], [[p * (1 - p)]]


def _probit(y: int, eta: Sequence) -> _Row:
    sign = 2 * y - 1
    z = sign * eta[0]
    probability = mp.erfc(-z / mp.sqrt(2)) / 2
    ratio = mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi) / probability
    return mp.log(probability), [sign * ratio], [[ratio * (ratio + z)]]


def _poisson(y: int, eta: Sequence) -> _Row:
    mean = mp.exp(eta[0])
    return y * eta[0] - mean - mp.log(mp.factorial(y)), [y - mean], [[mean]]


def _softmax(y: int, eta: Sequence) -> _Row:
    e = [mp.exp(one) for one in eta]
    total = 1 + mp.fsum(e)
    p = [one / total for one in e]
    information = [[a * ((i == j) - b) for j, b in enumerate(p)] for i, a in enumerate(p)]
    value = (eta[y - 1] if y else 0) - mp.log(total)
    return value, [(y == k) - one for k, one in enumerate(p, 1)], information


_ROWS: dict[str, Callable[[int, Sequence], _Row]] = {
    "Logit": _logit,
    "Probit": _probit,
    "Poisson": _poisson,
    "MNLogit": _softmax,
}


def _at(
    kind: str, X: list[list], y: list[int], beta: Sequence
) -> tuple[mp.mpf, mp.matrix, mp.matrix]:
    """Return log-likelihood, gradient and observed information at coefficients."""
    width = len(X[0])
    classes = len(beta) // width
    value, gradient, information = mp.mpf(0), mp.zeros(len(beta), 1), mp.zeros(len(beta))
    for row, response in zip(X, y, strict=True):
        eta = [mp.fdot(row, beta[k * width : (k + 1) * width]) for k in range(classes)]
        one, slope, curvature = _ROWS[kind](response, eta)
        value += one
        for a in range(classes):
            for j in range(width):
                gradient[a * width + j] += slope[a] * row[j]
        for i in range(width):
            for j in range(width):
                product = row[i] * row[j]
                for a in range(classes):
                    for b in range(a + 1):
                        information[a * width + i, b * width + j] += curvature[a][b] * product
    for i in range(len(beta)):
        for j in range(i):
            information[j, i] = information[i, j]
    return value, gradient, information


def _maximum(kind: str, X: list[list], y: list[int], parameters: int) -> list:
    """Return the maximum-likelihood estimate: Newton's method from zero, with step halving."""
    beta = [mp.mpf(0)] * parameters
    value, gradient, information = _at(kind, X, y, beta)
    for _ in range(200):
        step = mp.lu_solve(information, gradient)
        length = max(abs(s / b) if b else mp.inf for s, b in zip(step, beta, strict=True))
        scale = mp.mpf(1)
        while True:
            trial = [b + scale * s for b, s in zip(beta, step, strict=True)]
            there = _at(kind, X, y, trial)
            # Where the step is of the last digits, so is the difference of the values.
            if there[0] >= value or length < mp.mpf(10) ** -20:
                break
            scale /= 2
        beta, (value, gradient, information) = trial, there
        # It converges quadratically: the step that was this small left nothing to see.
        if length < mp.mpf(10) ** -(_STORED + 5):
            return beta
    raise ArithmeticError("no maximum was found")


def _errors(information: mp.matrix) -> list:
    inverse = mp.inverse(information)
    return [mp.sqrt(inverse[i, i]) for i in range(inverse.rows)]


def _null(kind: str, y: list[int]) -> mp.mpf:
    """Return the log-likelihood at the best constant."""
    n = len(y)
    if kind == "Poisson":
        mean = mp.mpf(sum(y)) / n
        return mp.fsum(one * mp.log(mean) - mean - mp.log(mp.factorial(one)) for one in y)
    counts = [y.count(one) for one in set(y)]
    return mp.fsum(count * mp.log(mp.mpf(count) / n) for count in counts)


def _texts(numbers: Sequence) -> list[str]:
    return [mp.nstr(one, _STORED) for one in numbers]


def _numbers(given: dict) -> dict:
    """Return what is known of a set, in the precision that is set."""
    table = pd.DataFrame(given["data"]) if "data" in given else _shipped(given)
    X = [[mp.mpf(1), *map(mp.mpf, map(float, row))] for row in table[given["columns"]].to_numpy()]
    y = [int(one) for one in table[given["response"]]]
    kind = given["kind"]
    classes = max(y) if kind == "MNLogit" else 1
    beta = _maximum(kind, X, y, len(X[0]) * classes)
    value, _, information = _at(kind, X, y, beta)
    at = [float(f"{float(one):.1e}") for one in beta]
    there, gradient, second = _at(kind, X, y, [mp.mpf(one) for one in at])
    statistic = (gradient.T * mp.lu_solve(second, gradient))[0]
    return {
        "estimate": _texts(beta),
        "standard_error": _texts(_errors(information)),
        "log_likelihood": mp.nstr(value, _STORED),
        "null_log_likelihood": mp.nstr(_null(kind, y), _STORED),
        "second": {
            "at": at,
            "standard_error": _texts(_errors(second)),
            "log_likelihood": mp.nstr(there, _STORED),
            "score_statistic": mp.nstr(statistic, _STORED),
        },
    }


def _shipped(given: dict) -> pd.DataFrame:
    return getattr(sm.datasets, given["dataset"]).load_pandas().data.head(given["rows"])


def _made() -> Iterator[tuple[str, dict]]:
    for name, known in SETS.items():
        given = known if "dataset" in known else {**known, "data": hard()}
        found = []
        for mp.dps in _PRECISIONS:
            found.append(_numbers(given))
        if found[0] != found[1]:
            raise ArithmeticError(f"{name}: {_PRECISIONS[0]} digits are too few")
        yield name, {**given, **found[0]}


if __name__ == "__main__":
    path = Path(__file__).with_name("likelihood.json")
    # One line for each entry of a set.
    sets = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in one.items())
        + "}"
        for name, one in _made()
    ]
    text = ",\n".join(sets)
    path.write_text(f'{{"origin": {json.dumps(_ORIGIN)},\n"sets": {{\n{text}\n}}}}\n')
