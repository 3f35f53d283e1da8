"""What a reader must know before believing the numbers: a plain sentence or two each."""

from __future__ import annotations

from collections.abc import Sequence

from converter.errors import printable

#: What a model without regressors predicts, and without an intercept.
NULL = {
    "OLS": ("the mean of the target", ""),
    "Logit": ("a constant probability", "a probability of one half"),
    "Probit": ("a constant probability", "a probability of one half"),
    "MNLogit": ("constant probabilities", "equal probabilities"),
    "Poisson": ("a constant rate", "a rate of one"),
    "QuantReg": ("a constant", "zero"),
    "RLM": ("a constant", "zero"),
}
#: The topic of the caveat that comes before everything else.
BAD_FIT = "bad-fit"

#: The sections of docs/caveats.md.
TOPICS = (
    *(BAD_FIT, "perfect-fit", "evaluation", "quantile-errors", "huber-errors", "loss-not-recorded"),
    *("unknown-loss", "label-smoothing", "other-loss", "from-logits", "zero-one-target"),
    *("penalty", "noise-layers", "frozen-weights", "weight-decay", "training-notes"),
    *("network-notes", "restricted", "ignored-inputs", "reduced-rank"),
    *("tied-coefficients", "categories", "dependent-columns", "ill-conditioned", "no-intercept"),
    *("scaled-intercept", "constant-column", "labels", "contrasts", "no-counts", "dispersion"),
    *("separation", "single-precision", "saturated", "few-groups", "dropped-rows", "streamed"),
)


class Caveat(str):
    """A sentence, and the section of docs/caveats.md that explains it."""

    topic: str

    def __new__(cls, topic: str, text: str) -> Caveat:
        caveat = super().__new__(cls, text)
        caveat.topic = topic
        return caveat

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return (self.topic, str(self))


def some(names: Sequence[str], limit: int = 8) -> str:
    """Return names for a sentence, the long tail left out."""
    shown = ", ".join(printable(name, 60) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
