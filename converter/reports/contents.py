"""What a page about one model holds, wherever it was found out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter import __version__
from converter.errors import Finding, printable
from converter.files import write_atomically
from converter.inspection import Inspection
from converter.model import AffineModel
from converter.reports.anatomy import Anatomy, Part
from converter.reports.coefficients import Table, table
from converter.reports.lanes import rows_of
from converter.reports.page import render, size
from converter.reports.provenance import now, versions
from converter.reports.stored import Stored

if TYPE_CHECKING:
    from converter.reports.approximation import Approximations
    from converter.reports.regressions import Regression
    from converter.verification import Verification

# Parts named in a list that a page shows.
_NAMED = 200
# Verdicts on outputs that stand at the top of a page.
_SAID = 6

#: What the parts of a drawing are, in words; see `converter.reports.anatomy.Part`.
KINDS = {
    "input": "input",
    "output": "output",
    "label": "output of labels, set aside",
    "constant": "constant",
    "affine": "affine",
    "link": "a link of an affine value",
    "decision": "a decision",
    "refused": "not affine",
    "after": "computed from what is not affine",
    "idle": "not affine, but no output depends on its value",
    "unseen": "not reached",
}
_WELL = ("optimum", "close", "consistent")


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Parameters
    ----------
    path : Path
        Of the page; of a ledger, of its index.
    accepted : bool
        Whether the model (of a ledger: each of them) is a regression.
    verdict : str
        In one sentence.
    agrees : bool or None
        Whether the folded model and the network's runtime agree; None where that was not asked
        for, or could not be found out.
    pages : int
    """

    path: Path
    accepted: bool
    verdict: str = ""
    agrees: bool | None = None
    pages: int = 1

    def __str__(self) -> str:
        return f"{self.path}: {self.verdict}"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain Python values, ready for JSON."""
        return {
            "path": str(self.path),
            "accepted": self.accepted,
            "verdict": self.verdict,
            "agrees": self.agrees,
            "pages": self.pages,
        }


@dataclass(frozen=True, slots=True)
class OutputRow:
    """What an output turned out to be, in words; empty where nothing is known."""

    name: str
    verdict: str
    link: str
    family: str
    loss: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an output is computed from; `more` operations are not listed.

    `unread` says that the weights of some may be missing, for these are refused.
    """

    name: str
    inputs: list[str]
    operations: list[Part]
    more: int
    stored: list[Stored]
    unread: bool

    @property
    def count(self) -> int:
        """How many operations there are."""
        return len(self.operations) + self.more

    @property
    def numbers(self) -> int:
        """How many numbers these arrays hold."""
        return sum(int(np.prod(one.shape)) for one in self.stored)


@dataclass(frozen=True, slots=True)
class Other:
    """An output that has no section of its own."""

    name: str
    verdict: str
    max_drift: float
    pvalue: float


Facts = list[tuple[str, str]]


@dataclass
class Page:
    """A page about one model.

    Parameters
    ----------
    title : str
    verdict : str
        In one sentence.
    accepted : bool
    about, provenance : list of (str, str)
        Facts by their names.
    outputs : list of OutputRow
    notes : list of str
    findings : list of Finding
    regressions : list of Regression
    others : list of Other
        Outputs beyond those that have sections.
    labels : list of (str, str)
        What a manifest says of the model.
    reading : list of (str, str)
        Elements of the network's inputs, and the column of the table that each was.
    scaling : list of (str, float, float)
        See `converter.regression.origin.Origin`.
    exact : list of Table
        The coefficients behind the regressions, with all of their digits.
    tables : list of Table
        Coefficients, where there are no regressions to show them.
    seen : Anatomy or None
    verified : Verification or None
    unverified : str
        Why there is none.
    approximations : Approximations or None
        Of a model that was refused.
    unapproximated : str
        Why there are none.
    """

    title: str
    verdict: str
    accepted: bool
    about: Facts = field(default_factory=list)
    outputs: list[OutputRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    regressions: list[Regression] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    labels: Facts = field(default_factory=list)
    reading: Facts = field(default_factory=list)
    scaling: list[tuple[str, float, float]] = field(default_factory=list)
    exact: list[Table] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    seen: Anatomy | None = None
    verified: Verification | None = None
    unverified: str = ""
    approximations: Approximations | None = None
    unapproximated: str = ""
    provenance: Facts = field(default_factory=list)

    def html(self, back: str = "") -> str:
        """Return the page.

        Parameters
        ----------
        back : str
            Address of the index that it belongs to.
        """
        seen = self.seen
        refused = [one for one in seen.parts if one.kind == "refused"] if seen else []
        return render(
            "model.html",
            version=__version__,
            made_on=now(),
            page=self,
            back=back,
            contents=self._contents(),
            rows=rows_of(seen.parts) if seen else [],
            kinds=KINDS,
            first_refusal=(refused[0].name or refused[0].operation) if refused else "",
            versions=versions(),
            origins=lineages_of(seen) if seen else [],
        )

    def fragment(self) -> str:
        """Return what a notebook shows: HTML to stand on a page of somebody else's."""
        return render("notebook.html", page=self)

    def write(self, path: str | os.PathLike[str], back: str = "") -> Report:
        """Write the page, see `html`."""
        text = self.html(back)
        write_atomically(path, lambda file: file.write(text.encode("utf-8", "replace")))
        agrees = None if self.verified is None else self.verified.agrees
        return Report(Path(path), self.accepted, self.verdict, agrees)

    def _contents(self) -> list[tuple[str, str]]:
        """Return the sections by their anchors."""
        contents = [("what", "What it is")]
        contents += [("findings", "Why it is not a regression")] * bool(self.findings)
        contents += [
            (one.slug, f"The regression of {one.name}" if one.name else "The regression")
            for one in self.regressions
        ]
        contents += [("reading", "How the table was read")] * bool(self.reading)
        contents += [("others", "Other outputs")] * bool(self.others)
        contents += [("coefficients", "Coefficients")] * bool(self.tables)
        contents += [("network", "The network")] * (self.seen is not None)
        return [*contents, ("evidence", "Evidence"), ("provenance", "Provenance")]

    @property
    def mood(self) -> str:
        """How the verdict is coloured; numbers that may not be believed are in between."""
        if not self.accepted or (self.verified is not None and not self.verified.agrees):
            return "bad"
        verdicts = [one.verdict for one in self.regressions]
        verdicts += [one.verdict for one in self.others]
        return "good" if all(one in _WELL for one in verdicts) else "doubt"

    @property
    def sentences(self) -> list[str]:
        """What is said below the verdict."""
        said = [
            f"{one.name}: {one.sentence}" if one.name else one.sentence
            for one in self.regressions[:_SAID]
        ]
        more = len(self.regressions) + len(self.others) - len(said)
        if more:
            said.append(f"And {more} more outputs, below.")
        for one in self.approximations.outputs[:_SAID] if self.approximations else ():
            said.append(
                f"An affine function can follow {100 * one.r2:.1f} % of the variance of {one.name} "
                "on these rows: an approximation, and not the network."
            )
        if self.verified is not None:
            said.append(f"{str(self.verified)[0].upper()}{str(self.verified)[1:]}.")
        return said

    @property
    def approximated(self) -> list[tuple[Any, Table]]:
        """The approximations, each with a table of its coefficients."""
        found = self.approximations
        if found is None:
            return []
        return [
            (
                one,
                table(
                    f"Approximation of {one.name}",
                    ["coefficient"],
                    ["(intercept)", *found.terms],
                    np.concatenate([[one.intercept], one.coef])[:, None],
                ),
            )
            for one in found.outputs
        ]


def lineages_of(seen: Anatomy) -> list[Lineage]:
    """Return what each output of a network is computed from."""
    made = []
    for place, part in enumerate(seen.parts):
        if not part.output:
            continue
        origin = seen.origin(place)
        operations = [one for one in origin if not one.input]
        made.append(
            Lineage(
                part.name,
                [one.name for one in origin if one.input],
                operations[:_NAMED],
                max(len(operations) - _NAMED, 0),
                list(dict.fromkeys(array for one in origin for array in one.stored)),
                any(one.kind == "refused" and not one.stored for one in operations),
            )
        )
    return made


def about(found: Inspection) -> Facts:
    """Return what an inspection says of the file and its inputs."""
    facts = [("File", found.path), ("Format", found.format), ("Size", size(found.size))]
    facts += [("SHA-256", found.sha256)]
    return facts + [
        (f"Input {one.name}", f"{_shape(one.shape)}, {one.dtype}") for one in found.inputs
    ]


def outcomes(found: Inspection) -> list[OutputRow]:
    """Return what an inspection says of the outputs."""
    return [
        OutputRow(
            one.name,
            "labels, set aside" if one.verdict == "label" else one.verdict,
            one.link or "",
            one.family or "",
            "not recorded" if one.loss is None else one.loss.describe(),
        )
        for one in found.outputs
    ]


def outcome_of(model: AffineModel) -> OutputRow:
    """Return what a folded model says of its outputs."""
    return OutputRow(
        ", ".join(model.output_names),
        "affine" if model.link == "identity" else "linked",
        model.link,
        model.family,
        "not recorded" if model.loss is None else model.loss.describe(),
    )


_WORDS = {
    ("identity", "gaussian"): "a linear regression",
    ("identity", "quantile"): "a quantile regression",
    ("identity", "huber"): "a linear regression by Huber's loss",
    ("identity", "binomial"): "a logistic regression (its output is the logit)",
    ("identity", "multinomial"): "a multinomial logistic regression (its outputs are the logits)",
    ("logit", "binomial"): "a logistic regression",
    ("softmax", "multinomial"): "a multinomial logistic regression",
    ("log", "poisson"): "a Poisson regression",
    ("probit", "binomial"): "a probit regression",
    ("cloglog", "binomial"): "a regression with the complementary log-log link",
}


def verdict_of(kinds: Sequence[tuple[str, str]], findings: Sequence[Finding]) -> str:
    """Return the verdict on a network in one sentence.

    Parameters
    ----------
    kinds : sequence of (str, str)
        Link and family of each output.
    findings : sequence of Finding
        Of one that was refused.
    """
    if findings:
        things = "one operation is" if len(findings) == 1 else f"{len(findings)} operations are"
        return f"This network is not a regression: {things} in the way."
    said = [
        _WORDS.get(one, f"an affine map behind the link {one[0]}" if one[0] else "a regression")
        for one in dict.fromkeys(kinds)
    ]
    return f"This network is {' and '.join(said)}."


def titled(path: str) -> str:
    """Return what a page calls a model."""
    return printable(os.path.basename(path.rstrip("/")) or path or "a folded model", 200)


def _shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "shape not given"
    return " \u00d7 ".join("n" if one is None else str(one) for one in shape) or "one number"
