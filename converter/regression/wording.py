"""A conversion in words: the verdict, and the summary that the command line prints."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from converter.regression.caveats import BAD_FIT
from converter.regression.families import Likelihood
from converter.regression.optimality import Optimality

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion

#: What the summary says of how the parameters came about.
NETWORK = "Network weights"
#: Why nothing that assumes a fit holds where there is none.
NO_OPTIMUM = "there is no finite optimum on these rows"
#: Why what belongs to an ordinary regression does not hold for a restricted one.
TIED = "this regression is restricted (restricted=True), which statsmodels knows nothing of"
_WIDTH = 78
# Digits of the columns of the comparison: network, optimum, its standard error, drift.
_DIGITS = (6, 6, 4, 3)
_SEPARATED = {"poisson": "some combination of the columns is found with counts of zero only"}


_ESTIMATES = {"gaussian": "least-squares", "quantile": "quantile-regression", "huber": "Huber"}


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


# What keeps a network from the optimum, by the topic of the caveat that tells of it.
_CAUSES = {
    "penalty": "penalties",
    "noise-layers": "dropout or noise",
    "label-smoothing": "smoothed labels",
    "other-loss": "another loss",
    "from-logits": "a loss and an output that disagree",
    "frozen-weights": "weights that were not trained",
    "weight-decay": "weight decay",
    "training-notes": "a constrained training",
    "ignored-inputs": "inputs that it ignores",
    "reduced-rank": "a narrow layer",
    "tied-coefficients": "shared weights",
    "single-precision": "weights in single precision",
    "bad-fit": "a table that does not fit the network",
}


def verdict_sentence(likelihood: Likelihood, found: Optimality, topics: Sequence[str] = ()) -> str:
    """Return the verdict on a network, and which standard errors to use.

    Parameters
    ----------
    likelihood : Likelihood
    found : Optimality
    topics : sequence of str
        Of the caveats: what there is evidence of.
    """
    estimate = f"{_ESTIMATES.get(likelihood.name, 'maximum-likelihood')} estimate"
    if not found.converged and found.verdict not in ("consistent", "contradicted"):
        why = _SEPARATED.get(likelihood.name, "the classes are separated")
        return (
            f"Verdict: not at the optimum. The {estimate} does not exist on these rows ({why}), so "
            "the network cannot be at it; no standard error here means anything."
        )
    if np.isinf(found.max_drift):
        return (
            "Verdict: not at the optimum. On these rows the target is an exact linear function of "
            "the columns: nothing is left to measure a distance in standard errors by. The "
            "network's coefficients differ from that function's (compare the columns network and "
            "optimum); weights in single precision always do, in the seventh digit."
        )
    name, df = ("F", found.df) if len(found.df) == 2 else ("chi2", found.df)
    value = "< 0.0001" if found.statistic < 1e-4 else f"= {found.statistic:.4g}"
    test = f"{name}({', '.join(map(str, df))}) {value}, p = {found.pvalue:.3g}"
    size = f"the largest drift is {found.max_drift:.2g} standard errors; {test}"
    if found.verdict in ("consistent", "contradicted"):
        return _evaluation(likelihood, estimate, found, test)
    if not found.df[0]:
        return (
            "Verdict: optimum. Nothing in this network could move: its coefficients were given, "
            "not estimated, and there is nothing to compare them with."
        )
    if found.verdict == "optimum" and "perfect-fit" in topics:
        return (
            "Verdict: optimum. The network gives the target exactly, up to rounding, and so does "
            f"the {estimate}: there are no errors left to estimate a variance from."
        )
    if found.verdict == "optimum":
        return (
            f"Verdict: optimum. The network's coefficients are the {estimate}: {size}. Its "
            "standard errors may be read as those of the regression."
        )
    if found.verdict == "close":
        return (
            f"Verdict: close. The network's coefficients are near the {estimate}: {size}. Use the "
            "refit's numbers where a tenth of a standard error matters."
        )
    small = found.max_drift <= 1.0 and found.pvalue >= 0.05
    return (
        f"Verdict: not at the optimum. The network's coefficients are not the {estimate}: {size}. "
        + (
            "The difference is small beside the sampling error, but for inference use the refit "
            "(the optimum). "
            if small
            else "Its standard errors describe an estimate that it is not: for inference use the "
            "refit (the optimum). "
        )
        + "Drift comes from stopping early, penalties, dropout, class weights, another loss, "
        "coefficients that the architecture ties to each other, or rows that are not the training "
        "data" + _evidence(topics) + "."
    )


def _evidence(topics: Sequence[str]) -> str:
    told = [cause for topic, cause in _CAUSES.items() if topic in topics]
    if not told:
        return ""
    *others, last = told
    named = f"{', '.join(others)} and {last}" if others else last
    return f"; here there is evidence of {named} (see the caveats)"


def _evaluation(likelihood: Likelihood, estimate: str, found: Optimality, test: str) -> str:
    """Return the verdict on rows that the network never saw."""
    apart = (
        f"the {estimate} of these rows differs from the network by up to "
        f"{found.max_drift:.2g} standard errors; {test}"
    )
    if not found.converged:
        apart = f"{test}. These rows have no {estimate} of their own to compare with"
    if found.verdict == "consistent":
        return (
            "Verdict: consistent. These rows, which the network never saw, do not contradict its "
            f"coefficients: {apart}."
            + (" Its residual variance on them is unbiased." if likelihood.scaled else "")
        )
    return (
        f"Verdict: contradicted. These rows, which the network never saw, contradict its "
        f"coefficients: {apart}. It was trained too little or too much, to another end, or on rows "
        "of another kind"
        + ("; for inference about these rows use the refit." if found.converged else ".")
    )


def astray(found: Optimality, training_data: bool) -> str | None:
    """Return why what assumes a fit does not hold for the network; None if it does.

    A clause, with the place of the method's name.
    """
    if not found.converged:
        return NO_OPTIMUM
    if not training_data:
        return "these coefficients were not estimated from these rows; see Conversion.refit.{name}"
    if found.verdict == "optimum":
        return None
    return (
        f"these coefficients are not the optimum (the largest drift is {found.max_drift:.2g} "
        f"standard errors, p = {found.pvalue:.2g}); see Conversion.refit.{{name}}"
    )


def summary_text(made: Conversion) -> str:
    """Return statsmodels' summary of the network, the comparison, the verdict, the caveats."""
    from statsmodels.iolib.table import SimpleTable

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Far from the optimum statsmodels' diagnostics overflow; the caveats say what is wrong.
        warnings.simplefilter("ignore")
        shown = made.results.summary()
    terms = made.tidy()
    columns = terms[["estimate", "optimum", "optimum_std_error", "drift"]]
    rows = [
        [
            f"{one:.{digits}g}" if one == one else "-"
            for one, digits in zip(row, _DIGITS, strict=True)
        ]
        for row in columns.itertuples(index=False)
    ]
    table = SimpleTable(
        rows,
        headers=["network", "optimum", "std err at optimum", "drift (std errs)"],
        stubs=made.labels,
        title="Network against optimum",
    )
    parts = [str(shown), str(table), _filled(made.verdict_sentence)]
    if made.caveats:
        parts.append(
            "Caveats:\n"
            + "\n".join(
                _filled(f"[{number}] {caveat} [{caveat.topic}]", "    ")
                for number, caveat in enumerate(made.caveats, 1)
            )
            + "\nThe word at the end of each is its section in docs/caveats.md."
        )
    if made.caveats and made.caveats[0].topic == BAD_FIT:
        # Whoever reads the tables first would read nonsense.
        parts.insert(0, _filled(f"Note: {made.caveats[0]}"))
    return "\n\n".join(parts)
