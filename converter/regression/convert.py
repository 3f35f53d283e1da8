"""`convert`: a saved network and a table become a statsmodels regression."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.model import AffineModel
from converter.regression.arguments import Request, targets_of
from converter.regression.asked import Asked, each_of
from converter.regression.conclude import conclude, together_of
from converter.regression.conversion import Conversion
from converter.regression.joint import JointConversion
from converter.regression.origin import origin_of
from converter.regression.prepared import Prepared
from converter.regression.restriction import Restriction, restrict
from converter.regression.scaling import part_of_scaler, scalers_of
from converter.regression.streams.progress import watching
from converter.regression.streams.room import bytes_of

if TYPE_CHECKING:
    from converter.weights import Neighbourhood


def convert(
    model: str | os.PathLike[str] | AffineModel,
    data: Any,
    target: Any,
    *,
    features: Sequence[str] | Mapping[str, str] | None = None,
    family: str | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    weights: Any = None,
    output: str | int | None = None,
    missing: str = "raise",
    scaler: Any = None,
    target_scaler: Any = None,
    base: Mapping[str, Any] | None = None,
    signature: str | None = None,
    training_data: bool = True,
    restricted: bool = False,
    where: str | None = None,
    memory: str | float | None = None,
    passes: int | None = None,
    progress: bool = False,
) -> Conversion | JointConversion:
    """Turn a saved network and a table into a statsmodels regression.

    Parameters
    ----------
    model : path-like or AffineModel
    data : path-like, DataFrame (pandas, polars, Dask), Arrow table or reader, mapping, or array
        Shape (n, columns). Files are CSV (perhaps compressed), Parquet or Arrow IPC; a folder
        holds Parquet files, perhaps partitioned.
    target : str, int, or array-like of shape (n,)
        The response: a column's name (or place, in an array), or its values. Of a network with
        several outputs a list of these in their order, or a mapping by the outputs' names.
    features : sequence of str, or mapping of input name to column, optional
        The columns in the order of the model's inputs. By default those of the inputs' names,
        else all columns of the table but the target (and the weights), in their order.
    family : str, optional
        ``gaussian``, ``binomial``, ``multinomial``, ``poisson``, ``quantile`` or ``huber``; the
        last two may be followed by their setting, ``quantile:0.9`` or ``huber:1.5`` (by default
        that of the training loss, else 0.5 and 1). By default what link and training loss make it.
    cov_type, cov_kwds
        Kind of covariance, as statsmodels takes them; ``groups`` and ``time`` may name a column,
        ``groups`` two.
        Of quantile regression ``robust`` (default) or ``iid``, of Huber's ``H1`` (default), ``H2``
        or ``H3``.
    weights : str or array-like of shape (n,), optional
        Analytic weights (Gaussian family only).
    output : str or int, optional
        Which output, where the model has several.
    missing : {"raise", "drop"}
        What to do with rows that have missing values.
    scaler, target_scaler : fitted scikit-learn scaler, mapping or path, optional
        What was applied to inputs and target before training; folded into the coefficients, so
        that they come out in the table's own units. A mapping has ``mean`` and ``scale``, or
        ``data_min`` and ``data_max``, in the order of the model's inputs (or ``inputs`` and
        ``target``, each such a mapping); a path names such a mapping as JSON. A scaler that was
        fitted on named columns is matched by name.
    base : mapping of str to level, optional
        For columns that are categories, the level that the others are compared with; by default
        the first that occurs and that the network has a name for.
    signature : str, optional
        Which signature of a SavedModel: by default ``serving_default``, or the only one.
    training_data : bool
        False if the network was not trained on these rows. Nothing was then estimated from them:
        the residual variance is RSS / n, and the test asks whether the rows contradict the
        network's coefficients.
    restricted : bool
        Count as parameters only what the architecture can move, and compare with the best that it
        can reach: inputs that it ignores, shared weights, layers narrower than inputs and outputs.
        The coefficients that it can reach are taken to be a plane at the saved weights.
    where : str, optional
        Which rows of the table, as in SQL: comparisons of columns with constants, under AND, OR,
        NOT. Of Parquet files only what can hold such rows is read.
    memory : str or number, optional
        Bytes that the rows of a file or reader may take, ``500 MB`` or ``2 GiB``; of more than
        that (by default 2 GB, by the file's own metadata) the rows are streamed: read in passes,
        summed up and not kept. The numbers are the same; what needs the rows themselves
        (residuals, influence) is not there. A Dask DataFrame is always streamed.
    passes : int, optional
        Read streamed rows no more than that often. A likelihood takes a pass for each step of the
        search, by default until it is smaller than 1e-6 standard errors; with ``passes=1`` the
        refit is the one-step estimate. (Where the sums of a pass have lost their digits, rows are
        read again all the same.)
    progress : bool
        Show on stderr how far a stream is.

    Returns
    -------
    Conversion
        Or JointConversion, of a network with several outputs of which none was chosen.

    Raises
    ------
    Rejected
        If the network is not a regression.
    ModelFileError
        If the file is damaged, hostile, or not a model.
    DataError
        If the table does not fit the model.
    ValueError
        If an argument is not acceptable.
    """
    for name, value in (("training_data", training_data), ("restricted", restricted)):
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False, not {value!r}")
    if family is not None and not isinstance(family, str):
        raise ValueError(f"family must be a name, such as 'gaussian', not {family!r}")
    around = _around(model, output, signature)
    if restricted and around is None:
        raise ValueError(
            "restricted=True moves the network's weights: give the path of its file, not the "
            "folded model"
        )
    whole = isinstance(passes, (int, np.integer)) and not isinstance(passes, bool)
    if passes is not None and not (whole and passes >= 1):
        raise ValueError(f"passes must be a whole number, 1 or more, not {passes!r}")
    parts = each_of(_folded(model, output, signature), family)
    request = Request(
        data=data,
        features=features,
        weights=weights,
        missing=missing,
        base=base,
        scaler=scaler,
        target_scaler=target_scaler,
        cov_type=cov_type,
        cov_kwds=cov_kwds,
        training_data=training_data,
    )

    asked = Asked(parts, request, target, family, where).settled(bytes_of(memory))
    with watching(asked.request.data, where, progress) as watch:
        made = _converted(replace(asked, watch=watch), around, restricted, passes)
    return _told(made, asked, data, target)


def _told(
    made: dict[str, Conversion], asked: Asked, data: Any, target: Any
) -> Conversion | JointConversion:
    """Tell each regression where its rows came from."""
    request, several = asked.request, len(made) > 1
    targets = targets_of(target, list(made)) if several else [target]
    inputs, scaled = scalers_of(request.scaler, request.target_scaler)
    for place, ((name, one), own) in enumerate(zip(made.items(), targets, strict=True)):
        part = part_of_scaler(scaled, place, len(made)) if several else scaled
        asking = replace(request, scaler=inputs, target_scaler=part)
        origin = origin_of(request, asking, data, own, asked.where, asked.family, one._design)
        made[name] = replace(one, origin=origin)
    return JointConversion(made) if several else made.popitem()[1]


def _converted(
    asked: Asked,
    around: Callable[[], Neighbourhood] | None,
    restricted: bool,
    passes: int | None,
) -> dict[str, Conversion]:
    prepared = asked.prepared
    restrictions: list[Restriction | None] = [None] * len(prepared)
    if restricted:
        assert around is not None
        restrictions = list(restrict(around(), prepared, asked.reading))
    together = together_of(prepared)
    made: dict[str, Conversion] = {}
    for place, ((name, _), one, restriction) in enumerate(
        zip(asked.parts, prepared, restrictions, strict=True)
    ):
        rounded = partial(_rounded, around, asked, place)
        if isinstance(one, Prepared):
            made[name] = conclude(one, restriction, together, rounded)
        else:
            from converter.regression.streams.convert import conclude as streamed
            from converter.regression.streams.prepared import Streamed

            assert isinstance(one, Streamed)
            made[name] = streamed(one, restriction, together, rounded, passes)
    return made


def _rounded(
    around: Callable[[], Neighbourhood] | None, asked: Asked, place: int
) -> list[np.ndarray]:
    if around is None:
        return []
    return around().rounded(lambda models: asked.reading(models)[place])


def _around(
    model: Any, output: str | int | None, signature: str | None
) -> Callable[[], Neighbourhood] | None:
    """Return what reads the network again to move its weights; None if it was folded already."""
    if isinstance(model, AffineModel):
        return None

    @cache
    def read() -> Neighbourhood:
        from converter.weights import Neighbourhood

        return Neighbourhood.of(model, output, signature)

    return read


def _folded(model: Any, output: str | int | None, signature: str | None) -> list[AffineModel]:
    if not isinstance(model, AffineModel):
        from converter.inspection import fold_each

        return fold_each(model, output, signature)
    if signature is not None:
        raise ValueError("signature chooses within a file; this model has been folded already")
    return [model if output is None else model.select(output)]
