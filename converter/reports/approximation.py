"""How far a network that is no regression is from one, on some rows: an approximation."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import DataError, printable
from converter.formats import read
from converter.inspection import choose
from converter.model import AffineModel
from converter.network import Input, Network
from converter.tracing.interpreter import TEXT, readable
from converter.variables import element_names
from converter.verification import computed

# Rows at which a network is run.
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Approximation:
    """The best affine approximation of one element of an output.

    Parameters
    ----------
    name : str
    r2 : float
        Part of the variance of the network's predictions that it follows; NaN if they do not vary.
    largest : float
        The largest difference from the network.
    spread : float
        Standard deviation of the predictions.
    intercept : float
    coef : ndarray, shape (terms,)
    """

    name: str
    r2: float
    largest: float
    spread: float
    intercept: float
    coef: np.ndarray


@dataclass(frozen=True, slots=True)
class Approximations:
    """Approximations of a network's outputs, on the same rows.

    Parameters
    ----------
    runtime : str
    rows : int
    terms : tuple of str
    outputs : tuple of Approximation
    """

    runtime: str
    rows: int
    terms: tuple[str, ...]
    outputs: tuple[Approximation, ...]


def approximate(
    path: str | os.PathLike[str],
    data: Any,
    target: Any,
    names: Sequence[str],
    *,
    signature: str | None = None,
    features: Sequence[str] | Mapping[str, str] | None = None,
    where: str | None = None,
    weights: Any = None,
    scaler: Any = None,
) -> Approximations:
    """Run a network on the rows of a table, and regress what it predicts on its inputs.

    The model is run by its own runtime, in a process of its own.

    Parameters
    ----------
    path, signature
        As for `converter.inspect`.
    data, target, features, where, weights, scaler
        As for `converter.convert`; the target only tells which columns are no inputs. Rows with
        missing values are left out.
    names : sequence of str
        The outputs.

    Raises
    ------
    ModelFileError, DataError, ValueError
        If it cannot be run on these rows.
    """
    network = read(path, signature)
    for one in network.inputs:
        if not readable(network, one) or one.dtype in TEXT:
            raise DataError(
                f"the input {printable(one.name)!r} holds no numbers to approximate with"
            )
        if one.shape is None or any(size is None for size in one.shape[1:]):
            raise DataError(f"the input {printable(one.name)!r} leaves open a size")
    elements = _elements(network)
    X = _rows(network, elements, data, target, features, where, weights)
    given = X if scaler is None else _scaled(network, elements, X, scaler)
    terms, regressors = _regressors(network, elements, X)
    made, version = [], ""
    for output in choose(network, None):
        if output.name not in names:
            continue
        grid = _split(network, given)
        version, found = computed(network, path, output, grid, batched=True)
        made += _fitted(output.name, regressors, found.reshape(len(X), -1).astype(np.float64))
    return Approximations(version, len(X), tuple(terms), tuple(made))


def _own(one: Input) -> tuple[int, ...]:
    """Return the shape of one row: without an axis that is open, or one long."""
    shape = one.shape or ()
    rows = shape[:1] == (None,) or (len(shape) > 1 and shape[0] == 1)
    return tuple(int(size or 1) for size in shape[int(rows) :])


def _elements(network: Network) -> list[str]:
    return [name for one in network.inputs for name in element_names(one.name, _own(one))]


def _split(network: Network, X: np.ndarray) -> list[np.ndarray]:
    """Return the values of each input, shape (n, *its shape)."""
    parts, start = [], 0
    for one in network.inputs:
        shape = _own(one)
        width = math.prod(shape)
        parts.append(X[:, start : start + width].reshape(len(X), *shape))
        start += width
    return parts


def _model(network: Network, elements: Sequence[str], scale: np.ndarray) -> AffineModel:
    """Return a model with these inputs: what tables are matched with, and scalers applied to."""
    width = len(scale)
    return AffineModel(
        coef=scale,
        intercept=np.zeros(width),
        has_intercept=np.ones(width, dtype=bool),
        link="identity",
        family="gaussian",
        feature_names=tuple(elements),
        output_names=tuple(elements),
        inputs=tuple((one.name, _own(one)) for one in network.inputs),
        path=network.path,
    )


def targets_in(target: Any) -> list[Any]:
    """Return the targets that are given, names or places of columns, or values."""
    if isinstance(target, Mapping):
        return list(target.values())
    return list(target) if isinstance(target, (list, tuple)) else [target]


def check_table(data: Any, target: Any, where: str | None) -> None:
    """Refuse a table that cannot be read, or lacks a target.

    Raises
    ------
    DataError
    """
    from converter.regression.streams.files import source_of
    from converter.regression.tables import listed, load

    source = source_of(data)
    names = load(data, where).names if source is None else list(source.schema.names)
    for one in targets_in(target):
        if isinstance(one, str) and one not in names:
            raise DataError(
                f"{printable(str(data)) if isinstance(data, (str, os.PathLike)) else 'the table'}: "
                f"has no column {one!r}; it has {listed(names)}"
            )


def _rows(
    network: Network,
    elements: Sequence[str],
    data: Any,
    target: Any,
    features: Sequence[str] | Mapping[str, str] | None,
    where: str | None,
    weights: Any,
) -> np.ndarray:
    """Return the inputs of some rows, shape (n, elements)."""
    from converter.regression.design import roles_of
    from converter.regression.tables import load

    table = load(data, where)
    others = []
    for one in targets_in(target):
        if isinstance(one, (int, np.integer)) and not table.named:
            others.append(table.names[int(one)])
        elif isinstance(one, str) and one in table.names:
            others.append(one)
    model = _model(network, elements, np.eye(len(elements)))
    beside = weights if isinstance(weights, str) else None
    chosen, _ = roles_of(model, table, features, None, beside, others)
    X = np.column_stack([table.numbers(name) for name in chosen])
    X = X[np.isfinite(X).all(axis=1)]
    if len(X) > _ROWS:
        X = X[np.sort(np.random.default_rng(0).choice(len(X), _ROWS, replace=False))]
    return X


def _coded(network: Network) -> set[str]:
    """Return the inputs that the network looks up: codes, which are no numbers."""
    coded: set[str] = set()
    edges = {one.name: one.name for one in network.inputs}
    for node in network.nodes:
        read = {edges[name] for name in node.inputs if name in edges}
        if node.operation in _LOOKUPS:
            coded |= read
        elif node.operation in _PASSED_ON:
            edges |= {name: one for name in node.outputs for one in read}
    return coded


# Operations that look their input up, and those that leave a code what it is.
_LOOKUPS = frozenset(
    {
        *("Embedding", "CategoryEncoding", "IntegerLookup", "Hashing", "OneHot", "Gather"),
        *("GatherV2", "ResourceGather", "EmbeddingLookup"),
    }
)
_PASSED_ON = frozenset({"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
# Levels that a code may have, to be told apart on these rows.
_LEVELS = 200


def _regressors(
    network: Network, elements: Sequence[str], X: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Return the regressors of an approximation: numbers as they are, codes as indicators.

    Raises
    ------
    DataError
        If a code has too many levels, or there are too few rows.
    """
    coded = _coded(network)
    inputs = [one.name for one in network.inputs for _ in element_names(one.name, _own(one))]
    terms: list[str] = []
    columns: list[np.ndarray] = []
    for name, owner, column in zip(elements, inputs, X.T, strict=True):
        if owner not in coded:
            terms.append(name)
            columns.append(column)
            continue
        levels = np.unique(column)
        if len(levels) > _LEVELS:
            raise DataError(
                f"the input {printable(name)!r} is a code of {len(levels)} levels on these rows, "
                "too many to tell apart"
            )
        for level in levels[1:]:
            terms.append(f"C({name})[{level:g}]")
            columns.append((column == level).astype(np.float64))
    if len(X) <= len(terms) + 1:
        raise DataError(
            f"{len(X)} complete rows are too few to approximate a function of {len(terms)} terms"
        )
    return terms, np.column_stack(columns) if columns else np.zeros((len(X), 0))


def _scaled(network: Network, elements: list[str], X: np.ndarray, scaler: Any) -> np.ndarray:
    """Return rows in the units of the network."""
    from converter.regression.scaling import scalers_of, unscale

    own, _ = scalers_of(scaler, None)
    model = unscale(_model(network, elements, np.eye(len(elements))), own, None)
    return X @ model.coef.T + model.intercept


def _fitted(name: str, X: np.ndarray, found: np.ndarray) -> list[Approximation]:
    """Return the least-squares approximations of the elements of an output."""
    kept = np.isfinite(found).all(axis=1)
    X, found = X[kept], found[kept]
    if len(X) <= X.shape[1] + 1:
        raise DataError(f"the network computes nothing finite for {name!r} on most of these rows")
    middle = X.mean(axis=0)
    spread = X.std(axis=0)
    standard = (X - middle) / np.where(spread > 0, spread, 1.0)
    slopes = np.linalg.lstsq(standard, found - found.mean(axis=0), rcond=None)[0]
    fitted = standard @ slopes + found.mean(axis=0)
    coef = slopes / np.where(spread > 0, spread, np.inf)[:, None]
    made = []
    labels = element_names(name, found.shape[1:]) if found.shape[1] > 1 else [name]
    for place, label in enumerate(labels):
        total = float(((found[:, place] - found[:, place].mean()) ** 2).sum())
        left = found[:, place] - fitted[:, place]
        made.append(
            Approximation(
                label,
                1.0 - float(left @ left) / total if total > 0 else float("nan"),
                float(np.abs(left).max()),
                float(found[:, place].std()),
                float(found[:, place].mean() - middle @ coef[:, place]),
                coef[:, place],
            )
        )
    return made
