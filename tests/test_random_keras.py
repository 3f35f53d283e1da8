"""Random functional networks: the verdict and the numbers are those of Keras.

Run 1,000 networks with ``pytest -m slow tests/test_random_keras.py``.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from keras.src import backend
from keras_random import Case, cases

import converter

#: Distances from the origin at which a network is evaluated.
SCALES = (0.1, 1.0, 30.0, 1000.0)
ROWS = 6
CODES = 4
#: What is affine by coincidence, and is refused by rules that look at operations one by one: the
#: smaller of x and exp(x) is x, the larger of two equal values is either of them.
COINCIDENCES = ("chooses among values", "chooses the largest among values")
#: A number that a weight of one element turns exp(x) into, exp(x + log(weight)), is not looked for.
COINCIDENCES += ("an exponential whose result is used further",)


class Points:
    """Rows from which an affine map could be read off, and others at which it must hold."""

    def __init__(self, case: Case, rng: np.random.Generator):
        self.case = case
        shapes = [tuple(tensor.shape[1:]) for tensor in case.model.inputs]
        self.shapes = shapes
        sizes = [int(np.prod(shape)) for shape in shapes]
        terms, rows = [], []
        origin = np.zeros(sum(sizes))
        rows.append(origin)
        start = 0
        for code, size in zip(case.codes, sizes, strict=True):
            for place in range(start, start + size):
                for value in range(1, CODES) if code else (1,):
                    terms.append((place, value if code else None))
                    row = origin.copy()
                    row[place] = value
                    rows.append(row)
            start += size
        is_code = np.repeat(case.codes, sizes)
        for scale in SCALES:
            x = rng.normal(size=(ROWS, len(origin))) * scale
            drawn = rng.integers(0, CODES, size=x.shape)
            rows += list(np.where(is_code, drawn, x))
        self.rows = np.array(rows)
        self.known = 1 + len(terms)
        self.values = [value for _, value in terms]
        columns = [
            self.rows[:, place] if value is None else self.rows[:, place] == value
            for place, value in terms
        ]
        self.design = np.array(columns, dtype=float).T

    @property
    def arrays(self) -> list[np.ndarray]:
        parts, start = [], 0
        for code, shape in zip(self.case.codes, self.shapes, strict=True):
            size = int(np.prod(shape))
            part = self.rows[:, start : start + size].reshape(-1, *shape)
            parts.append(part.astype(np.int32) if code else part)
            start += size
        return parts

    def is_affine(self, values: np.ndarray) -> bool:
        """Tell whether values at all rows are what differences at the origin foretell."""
        if not np.isfinite(values[: self.known]).all():
            return False
        slopes = values[1 : self.known] - values[0]
        foretold = values[0] + self.design @ slopes
        size = abs(values[0]) + abs(self.design) @ (abs(slopes) + 1e-7 * abs(values[0]))
        # Terms that cancel leave noise of the size of what was there.
        noise = 1e-8 * size + 1e-13 * abs(foretold).max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            wrong = abs(foretold - values) > noise + 1e-8 * abs(values)
        return not (wrong & ~np.isnan(values)).any()

    def depends_on_numbers(self, values: np.ndarray) -> bool:
        """Tell whether anything but categories changes the values near the origin."""
        number = np.flatnonzero([value is None for value in self.values])
        return bool((values[1 + number] != values[0]).any())

    def is_linked(self, values: np.ndarray) -> bool:
        """Tell whether a link makes the values affine, wherever it is not saturated."""
        if not (np.isfinite(values).all() and values[: self.known].min() > 0 and values.min() >= 0):
            return False
        with np.errstate(all="ignore"):
            logarithm = np.where(values > 1e-300, np.log(values), np.nan)
            odds = np.where(values < 1 - 1e-6, logarithm - np.log1p(-values), np.nan)
            candidates = [logarithm, odds]
            if np.allclose(values.sum(axis=-1), 1.0):
                candidates.append(logarithm - logarithm[..., :1])
        return any(self.is_affine(one.reshape(len(one), -1)) for one in candidates)


def _computed(model, points: Points) -> list[np.ndarray]:
    values = model(points.arrays, training=False)
    values = values if isinstance(values, (list, tuple)) else [values]
    return [np.asarray(one, dtype=np.float64) for one in values]


@contextlib.contextmanager
def _other_links():
    """Let Keras compute something else for every link: of two that cancel nothing is seen."""
    originals = [(module, name, getattr(module, name)) for module, name in _LINKS]
    for module, name, function in originals:
        setattr(module, name, lambda *a, f=function, **more: 0.5 * f(*a, **more) + 0.1)
    try:
        yield
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


_LINKS = [(backend.nn, "softmax"), (backend.nn, "sigmoid"), (backend.numpy, "exp")]


def _differ(predicted: np.ndarray, values: np.ndarray, link: str) -> bool:
    with np.errstate(all="ignore"):
        if link == "log":
            # The errors of an exponential are those of its argument.
            predicted, values = (np.log(np.maximum(one, 1e-300)) for one in (predicted, values))
        error = np.where(predicted == values, 0.0, abs(predicted - values))
        largest = np.where(np.isfinite(values), abs(values), 0.0).max(axis=1, keepdims=True)
    return not (error <= 1e-6 * largest + 1e-9).all()


def check(path, case: Case) -> list[str]:
    """Return the verdicts of the outputs, after comparing them with Keras' numbers."""
    case.model.save(path)
    points = Points(case, np.random.default_rng(0))
    found = converter.inspect(path)
    computed, before = (_computed(model, points) for model in (case.model, case.before))
    assert len(found.outputs) == len(computed)
    verdicts = []
    for place, (report, values) in enumerate(zip(found.outputs, computed, strict=True)):
        flat = values.reshape(len(values), -1)
        inner = before[place].reshape(len(values), -1)
        where = (place, case.ends[place], report.link, report.findings)
        if report.verdict == "rejected":
            verdicts.append(report.verdict)
            if not (np.isfinite(inner).all() and np.ptp(inner, axis=0).max() > 1e-9):
                continue  # what does not depend on the input is no regression
            assert not case.clean[place], where
            # Any function of one category is affine in its indicators; it is not tabulated.
            # A link that is added and taken away again leaves nothing behind.
            with _other_links():
                again = _computed(case.before, points)[place].reshape(inner.shape)
            gone = np.allclose(again, inner, rtol=1e-9, atol=1e-9)
            alone = any(case.codes) and not points.depends_on_numbers(inner)
            chosen = any(f.reason.startswith(COINCIDENCES) for f in report.findings)
            if (alone or chosen or gone) and (points.is_affine(inner) or points.is_linked(values)):
                verdicts[-1] = "coincidence"
                continue
            assert not points.is_affine(inner), where
            assert case.ends[place] != "none" or not points.is_linked(values), where
            continue
        verdicts.append(report.link)
        predicted = converter.fold(path, output=place).predict(points.arrays)
        if any(f"output {report.name!r} is a decision (Round)" in note for note in found.notes):
            sure = abs(predicted - 0.5) > 1e-6
            predicted, flat = np.where(sure, np.rint(predicted), 0.0), np.where(sure, flat, 0.0)
        assert not _differ(predicted, flat, report.link), where
        if report.link == "identity":
            assert points.is_affine(flat), where
    return verdicts


_KEPT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=60, deadline=None, suppress_health_check=_KEPT, derandomize=True)
@given(case=cases())
def test_some_random_networks(tmp_path, case):
    check(tmp_path / f"m.{case.suffix}", case)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=_KEPT, database=None)
@given(case=cases())
def test_many_random_networks(tmp_path, case):
    check(tmp_path / f"m.{case.suffix}", case)
