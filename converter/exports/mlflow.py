"""A regression in an MLflow run: parameters, metrics, tables, the model, the report."""

from __future__ import annotations

import math
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import converter

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion

# Of a parameter's value MLflow keeps no more characters.
_LONGEST = 6000


def log(made: Conversion, name: str = "model") -> str:
    """Log a regression to the active run, or to a new one.

    Parameters
    ----------
    made : Conversion
    name : str
        Of the model, in MLflow's statsmodels flavour.

    Returns
    -------
    str
        The run's identifier.

    Raises
    ------
    ValueError
        If MLflow is not installed.
    """
    try:
        import mlflow
        import mlflow.statsmodels
    except ImportError:
        raise ValueError("MLflow is not installed: pip install 'converter[mlflow]'") from None
    run = mlflow.active_run()
    if run is None:
        with mlflow.start_run():
            return log(made, name)
    mlflow.log_params({key: str(value)[:_LONGEST] for key, value in _params(made).items()})
    mlflow.log_metrics(_metrics(made))
    mlflow.log_table(made.tidy(), "coefficients.json")
    mlflow.log_text(made.summary(), "summary.txt")
    # Named, or MLflow would load the model in a process of its own to find them out.
    needed = [f"{one}=={version(one)}" for one in ("statsmodels", "pandas", "numpy", "scipy")]
    mlflow.statsmodels.log_model(made.results, name=name, pip_requirements=needed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        made.report(path)
        mlflow.log_artifact(str(path))
    return str(run.info.run_id)


def _params(made: Conversion) -> dict[str, Any]:
    model, origin = made.model, made.origin
    found: dict[str, Any] = {
        "family": made.family,
        "regression": made._likelihood.regression,
        "link": model.link,
        "loss": None if model.loss is None else model.loss.describe(),
        "cov_type": made._cov_type,
        "target": made._design.target,
        "training_data": made.training_data,
        "verdict": made.optimality.verdict,
        "model_path": model.path,
        "model_format": model.format,
        "model_sha256": model.source.sha256,
        "converter_version": converter.__version__,
    }
    if origin is not None:
        found |= {"data": origin.path or origin.kind, "weights": origin.weights}
        found |= {"where": origin.where, "missing": origin.missing}
    return {key: value for key, value in found.items() if value not in (None, "")}


def _metrics(made: Conversion) -> dict[str, float]:
    """Return the numbers of `glance` that are finite, and how many caveats there are."""
    row = made.glance().iloc[0].to_dict() | {"dropped": made.dropped, "caveats": len(made.caveats)}
    numbers = {str(key): float(value) for key, value in row.items() if not isinstance(value, str)}
    return {key: value for key, value in numbers.items() if math.isfinite(value)}
