"""A regression as a short Python script that needs numpy, pandas and statsmodels alone."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

import converter
from converter.errors import printable
from converter.exports import script_regressions as regressions
from converter.exports.script_rows import missing_source, rows_source
from converter.regression.design import Design
from converter.regression.robust import MEstimator

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion

_COVARIANCES = ("nonrobust", "fixed scale", "HC0", "HC1", "HC2", "HC3", "HAC", "cluster")
_IMPORTS = {
    "OLS": "import statsmodels.api as sm\n"
    "from statsmodels.regression.linear_model import OLSResults",
    "QuantReg": "from scipy.stats import norm\n"
    "from statsmodels.regression.quantile_regression import QuantReg, QuantRegResults",
    "RLM": "from scipy.stats import norm\nfrom statsmodels.robust.norms import HuberT\n"
    "from statsmodels.robust.robust_linear_model import RLM, RLMResults",
}


def script(made: Conversion) -> bytes:
    """Return the source.

    It reads the rows, from the file that the regression was made on or from one that is named on
    its command line, rebuilds the results at the network's coefficients, and prints their summary:
    that of `Conversion.results`. Before it is written its functions are called, and what they
    return is compared.

    Raises
    ------
    ValueError
        If statsmodels alone would not print the same.
    """
    _refuse(made)
    source = _source(made)
    _check(made, source)
    return source.encode("utf-8", "backslashreplace")


def _refuse(made: Conversion) -> None:
    def refusal(why: str) -> ValueError:
        return ValueError(f"script: {why}; export it as pickle")

    origin = made.origin
    if made._tied is not None:
        raise refusal("a restricted regression is none of statsmodels' own")
    if made._exog is None:
        raise refusal("the rows were streamed past, and the script would hold them (memory=)")
    if origin is None or made._design.columns == []:
        raise refusal("nothing is known of where the rows came from")
    if origin.values:
        raise refusal(
            f"the {origin.values[0]} was given as values; a script names columns of a table"
        )
    if origin.target is None or origin.kind in ("numpy ndarray", "list", "tuple"):
        raise refusal("the rows were an array without columns' names")
    if made._moments.rank < len(made._params):
        raise refusal(
            "the columns depend on each other, which statsmodels alone resolves otherwise"
        )
    if made._cov_type not in (*_COVARIANCES, "robust", "iid", "H1", "H2", "H3"):
        raise refusal(f"the covariance {made._cov_type!r} numbers its times in its own way")
    for name, value in _settings(made).items():
        if not isinstance(value, (bool, int, float, str)):
            raise refusal(f"{name} is no plain value")


def _settings(made: Conversion) -> dict[str, Any]:
    """Return the settings of the covariance but for those that are columns."""
    assert made.origin is not None
    given = made._cov_kwds or {}
    return {k: v for k, v in given.items() if k not in made.origin.cov_columns and v is not None}


def _source(made: Conversion) -> str:
    origin = made.origin
    assert origin is not None
    regression = made._likelihood.regression
    imports = _IMPORTS.get(regression, "import statsmodels.api as sm")
    if regression not in _IMPORTS and made._cov_type != "nonrobust":
        imports += "\nfrom statsmodels.base.covtype import get_robustcov_results"
    if origin.path is None:
        data = "DATA = None  # the rows were in memory: name a CSV or Parquet file of them here\n"
        usage = "TABLE"
    else:
        data, usage = f"DATA = {origin.path!r}\n", "[TABLE]"
    network = printable(made.model.path) or "a network"
    return f"""# The {regression} regression that a network is, at the network's coefficients.
#
#     python FILE.py {usage}
#
# Network: {network}
# Written by converter {converter.__version__}; needs numpy, pandas and statsmodels.

import sys
from pathlib import Path

import numpy as np
import pandas as pd
{imports}

{data}ROWS = {made.nobs}
{missing_source(origin)}{_constants(made)}{_coefficients(made)}

{rows_source(made)}
{_regression(made)}
{regressions.TOLD}

def main():
    path = sys.argv[1] if len(sys.argv) > 1 else DATA
    if path is None:
        sys.exit("which table? python FILE.py TABLE")
    if not Path(path).exists():
        sys.exit(f"{{path}} is not there (from this folder): python FILE.py TABLE")
    y, X, more = rows(path)
    if len(y) != ROWS:
        print(f"the table has {{len(y)}} rows; it had {{ROWS}}", file=sys.stderr)
    print(told(results(y, X, PARAMS, more).summary()))


if __name__ == "__main__":
    main()
"""


def _constants(made: Conversion) -> str:
    if made._likelihood.regression != "QuantReg":
        return ""
    return "ROUNDINGS = 8.0 * np.finfo(float).eps  # of a fitted value\n"


def _coefficients(made: Conversion) -> str:
    """Return the coefficients by name, in digits that are read back exactly."""
    width = len(made._terms)
    values = made._params.tolist()
    if not made._outcomes:
        lines = [f"    {t!r}: {v!r}," for t, v in zip(made._terms, values, strict=True)]
        listed = "\n".join(lines)
        return f"COEFFICIENTS = {{\n{listed}\n}}\nPARAMS = np.array(list(COEFFICIENTS.values()))\n"
    parts = []
    for place, outcome in enumerate(made._outcomes):
        own = values[place * width : (place + 1) * width]
        lines = [f"        {t!r}: {v!r}," for t, v in zip(made._terms, own, strict=True)]
        listed = "\n".join(lines)
        parts.append(f"    {outcome!r}: {{\n{listed}\n    }},")
    listed = "\n".join(parts)
    return (
        f"COEFFICIENTS = {{\n{listed}\n}}\n"
        "PARAMS = np.array([one for own in COEFFICIENTS.values() for one in own.values()])\n"
    )


def _regression(made: Conversion) -> str:
    likelihood = made._likelihood
    constant = len(made._terms) > len(made._design.names)
    equations = max(len(made._outcomes), 1)
    estimated = "params.size" if made.training_data else "0"
    resid = f"len(y) - {estimated}"
    known: dict[str, Any] = {
        "cov_type": made._cov_type,
        "cov_kwds": _cov_kwds(made),
        "constant": constant,
    }
    slopes = f"params.size - {equations * constant}"
    df = f"    model.df_model, model.df_resid = float({slopes}), float({resid})\n"
    if isinstance(likelihood, MEstimator):
        if likelihood.name == "huber":
            cov = "H1" if made._cov_type == "nonrobust" else made._cov_type
            return regressions.HUBER.format(
                tuning=likelihood.tuning, resid=resid, cov=cov, k=int(constant)
            )
        iid = made._cov_type == "iid"
        weights = regressions.IID_WEIGHTS if iid else regressions.ROBUST_WEIGHTS
        return regressions.QUANTILE.format(q=likelihood.tuning, weights=weights, df=df, **known)
    if likelihood.linear:
        weighted = made.origin is not None and made.origin.weights is not None
        name = f"sm.WLS(y, X, weights=more['weights'], hasconst={constant})"
        evaluated = not made.training_data
        return regressions.LEAST_SQUARES.format(
            model=name if weighted else f"sm.OLS(y, X, hasconst={constant})",
            evaluation=regressions.EVALUATION if evaluated else "",
            df="    model.df_resid = float(len(y))  # nothing was estimated from them\n"
            * evaluated,
            **known,
        )
    robust, null = "", ""
    if made._cov_type != "nonrobust":
        robust = regressions.ROBUST.format(**known)
    if not constant:
        null = "    least = model.loglike(0.0 * params)\n"
        null += "    made._results.set_null_options(llnull=least, attach_results=False)\n"
    return regressions.LIKELIHOOD.format(
        model=likelihood.regression, constant=constant, df=df, robust=robust, null=null
    )


def _cov_kwds(made: Conversion) -> str:
    if made._cov_kwds is None:
        return "None"
    assert made.origin is not None
    parts = [f"{name!r}: {value!r}" for name, value in _settings(made).items()]
    parts += [f"{name!r}: more[{name!r}]" for name in made.origin.cov_columns]
    return f"{{{', '.join(parts)}}}"


def _check(made: Conversion, source: str) -> None:
    """Call the script's functions, and refuse it if they return anything else.

    Names of tables and files stand in it as literals that Python wrote; it holds no other text
    that is not this package's.

    Raises
    ------
    ValueError
    """
    known: dict[str, Any] = {"__name__": "script"}
    exec(compile(source, "script", "exec"), known)
    origin, results = made.origin, made.results
    assert origin is not None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if origin.path is not None:
            try:
                y, X, more = known["rows"](origin.path)
            except (
                *(ValueError, TypeError, KeyError, AttributeError, OSError),
                SystemExit,
            ) as error:
                raise ValueError(
                    f"script: pandas does not read the rows of {printable(origin.path)} as they "
                    f"were read ({printable(str(error))}); save the table as Parquet, and convert "
                    "that"
                ) from None
            if not _same_rows(made, y, X):
                raise ValueError(
                    f"script: {printable(origin.path)} does not hold the rows any more that the "
                    "regression was made on, or pandas reads them otherwise; convert it again, or "
                    "export as pickle"
                )
        else:
            y, X = results.model.data.orig_endog, results.model.data.orig_exog
            more = {k: (made._cov_kwds or {}).get(k) for k in origin.cov_columns}
            more["weights"] = _design(made).weights
        found = known["told"](known["results"](y, X, known["PARAMS"], more).summary())
        expected = results.summary()
    for ours, theirs in zip(_cells(expected), _cells(found), strict=False):
        if ours != theirs:
            raise ValueError(
                "script: statsmodels alone gives another summary of this regression "
                f"({printable(theirs)} where there is {printable(ours)}); export it as pickle"
            )


def _same_rows(made: Conversion, y: Any, X: Any) -> bool:
    exog, codes = made._exog, _design(made).y
    if exog is None or X.shape != exog.shape or not np.array_equal(X.to_numpy(), exog):
        return False
    labels = made._class_labels()
    if labels:
        return list(y) == [labels[int(code)] for code in codes]
    return np.array_equal(np.asarray(y, dtype=float), codes)


def _design(made: Conversion) -> Design:
    assert isinstance(made._design, Design)
    return made._design


def _cells(summary: Any) -> list[str]:
    """Return the cells of a summary but for date and time."""
    found = []
    for table in summary.tables:
        for row in table:
            cells = [str(cell.data).strip() for cell in row]
            told = [
                a
                for a, before in zip(cells, ["", *cells[:-1]], strict=True)
                if before not in ("Date:", "Time:")
            ]
            found += told
    return [*found, str(summary.extra_txt)]
