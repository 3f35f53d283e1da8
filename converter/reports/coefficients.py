"""Tables of coefficients, as far as a page shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converter.model import AffineModel

# Rows that a table has, and outputs side by side.
_TERMS, _SIDE = 300, 8


@dataclass(frozen=True, slots=True)
class Table:
    """Coefficients, one column an output; `omitted` says what is not shown."""

    title: str
    outputs: list[str]
    rows: list[tuple[str, list[float]]]
    omitted: str = ""


def table_of(model: AffineModel) -> Table:
    """Return a folded model's coefficients, as far as a page shows them."""
    names = ["(intercept)", *model.feature_names]
    intercept = np.where(model.has_intercept, model.intercept, np.nan)
    values = np.concatenate([intercept[:, None], model.coef], axis=1).T
    return table(f"{model.family}, link {model.link}", list(model.output_names), names, values)


def table(title: str, outputs: list[str], names: list[str], values: np.ndarray) -> Table:
    omitted = []
    if len(names) > _TERMS + 1:
        omitted.append(f"{len(names) - _TERMS - 1:,} terms")
    if len(outputs) > _SIDE:
        omitted.append(f"{len(outputs) - _SIDE:,} outputs")
    rows = [
        (name, [float(one) for one in row])
        for name, row in zip(names[: _TERMS + 1], values[: _TERMS + 1, :_SIDE], strict=False)
    ]
    return Table(title, outputs[:_SIDE], rows, " and ".join(omitted))
