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
#: How far coefficients are from an optimum that does not exist.
NO_OPTIMUM = "there is no finite optimum on these rows"
_WIDTH = 78
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
    "training-notes": "what the notes on training say",
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
    if not found.converged:
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
    test = f"{name}({', '.join(map(str, df))}) = {found.statistic:.4g}, p = {found.pvalue:.3g}"
    size = f"the largest drift is {found.max_drift:.2g} standard errors; {test}"
    if found.verdict in ("consistent", "contradicted"):
        return _evaluation(estimate, found, test)
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
    return f"; here there is evidence of {', '.join(told)} (see the caveats)"


def _evaluation(estimate: str, found: Optimality, test: str) -> str:
    """Return the verdict on rows that the network never saw."""
    apart = (
        f"the {estimate} of these rows differs from the network by up to "
        f"{found.max_drift:.2g} standard errors; {test}"
    )
    if found.verdict == "consistent":
        return (
            "Verdict: consistent. These rows, which the network never saw, do not contradict its "
            f"coefficients: {apart}. Its residual variance on them is unbiased."
        )
    return (
        f"Verdict: contradicted. These rows, which the network never saw, contradict its "
        f"coefficients: {apart}. It was trained too little or too much, to another end, or on rows "
        "of another kind; for inference about these rows use the refit."
    )


def astray(found: Optimality) -> str | None:
    """Return how far the network's coefficients are from the optimum; None if they are it."""
    if not found.converged:
        return NO_OPTIMUM
    if found.verdict == "optimum":
        return None
    return f"the largest drift is {found.max_drift:.2g} standard errors, p = {found.pvalue:.2g}"


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
        [f"{network:.6g}", f"{best:.6g}", f"{error:.4g}", f"{drift:.3g}"]
        for network, best, error, drift in columns.itertuples(index=False)
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
