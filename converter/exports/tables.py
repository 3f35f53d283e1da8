"""Coefficients as tables: JSON, CSV, Parquet and numpy archives."""

from __future__ import annotations

import csv as csv_
import io
import json as json_
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.jsonable import plain
from converter.model import AffineModel

if TYPE_CHECKING:
    import pandas as pd

#: What the constant term is called among the terms of a model.
INTERCEPT = "(intercept)"


def rows(model: AffineModel) -> Iterator[tuple[str, str, float]]:
    """Yield output, term and coefficient; the intercept first, where the architecture has one."""
    for place, output in enumerate(model.output_names):
        if model.has_intercept[place]:
            yield output, INTERCEPT, float(model.intercept[place])
        for name, value in zip(model.feature_names, model.coef[place].tolist(), strict=True):
            yield output, name, value


def frame(model: AffineModel) -> pd.DataFrame:
    """Return the coefficients, one row each; see `rows`."""
    import pandas as pd

    return pd.DataFrame(list(rows(model)), columns=["output", "term", "coefficient"])


def to_json(value: Any) -> str:
    """Return a plain value as JSON for people and programs; what is not finite is null."""
    return json_.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False)


def json(value: Any) -> bytes:
    """Return everything, as `to_dict` has it."""
    return f"{to_json(value.to_dict())}\n".encode()


def csv(value: Any) -> bytes:
    """Return one row a term; numbers in the shortest digits that read back exactly."""
    if not isinstance(value, AffineModel):
        return bytes(value.tidy().to_csv(index=False, lineterminator="\n").encode())
    text = io.StringIO(newline="")
    table = csv_.writer(text, lineterminator="\n")
    table.writerow(["output", "term", "coefficient"])
    table.writerows((output, term, repr(number)) for output, term, number in rows(value))
    return text.getvalue().encode()


def parquet(value: Any) -> bytes:
    """Return one row a term."""
    table = frame(value) if isinstance(value, AffineModel) else value.tidy()
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()


def npz(value: Any) -> bytes:
    """Return arrays: of a model its coefficients, of a regression those of `tidy` and `cov_params`.

    Names are arrays of str, so that no pickle is needed to read them.
    """
    file = io.BytesIO()
    if isinstance(value, AffineModel):
        np.savez(
            file,
            coef=value.coef,
            intercept=value.intercept,
            has_intercept=value.has_intercept,
            feature_names=np.array(value.feature_names),
            output_names=np.array(value.output_names),
            link=np.array(value.link),
            groups=np.array(value.groups),
            family=np.array(value.family),
        )
        return file.getvalue()
    columns: dict[str, Any] = {}
    for name, column in value.tidy().items():
        values = column.to_numpy()
        columns[name] = values if values.dtype.kind == "f" else np.array(list(map(str, values)))
    np.savez(
        file,
        family=np.array(value.family),
        link=np.array(value.model.link),
        cov_params=np.asarray(value.results.cov_params()),
        **columns,
    )
    return file.getvalue()
