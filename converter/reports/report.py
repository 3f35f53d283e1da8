"""`report`: everything that was found about a model, on one page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter import __version__
from converter.errors import Rejected, printable
from converter.files import write_atomically
from converter.inspection import Inspection, OutputReport, fold_each, inspect
from converter.model import AffineModel
from converter.reports.anatomy import Anatomy, Part, Stored, anatomy
from converter.reports.lanes import rows_of
from converter.reports.page import render, size
from converter.reports.provenance import now, source_of, versions

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion
    from converter.regression.joint import JointConversion
    from converter.reports.approximation import Approximations
    from converter.reports.regressions import Regression
    from converter.verification import Verification

# Rows of a table of coefficients, outputs side by side, parts named in a list, that a page shows.
_TERMS, _SIDE, _NAMED = 300, 8, 200

#: What the parts of a drawing are, in words; see `converter.reports.anatomy.Part`.
KINDS = {
    "input": "input",
    "output": "output",
    "label": "output of labels, set aside",
    "constant": "constant",
    "affine": "affine",
    "link": "a link of an affine value",
    "decision": "a decision on a probability",
    "refused": "not affine",
    "after": "computed from what is not affine",
    "idle": "not affine, but reaches no output",
    "unseen": "not reached",
}


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written.

    Parameters
    ----------
    path : Path
        Of the page; of a ledger, of its index.
    accepted : bool
        Whether the model (of a ledger: each of them) is a regression.
    agrees : bool or None
        Whether the folded model and the network's runtime agree; None where that was not asked
        for, or could not be found out.
    pages : int
    """

    path: Path
    accepted: bool
    agrees: bool | None = None
    pages: int = 1


def report(
    model: str | os.PathLike[str],
    data: Any = None,
    target: Any = None,
    *,
    path: str | os.PathLike[str],
    verify: bool = False,
    points: int = 64,
    output: str | int | None = None,
    signature: str | None = None,
    command: str = "",
    **options: Any,
) -> Report:
    """Write what can be found out about a saved model as one self-contained HTML page.

    The page needs no network and no script to be read. A model that is refused gets a report too.

    Parameters
    ----------
    model : path-like
        A saved model, or a batch's ledger: then a folder is written, with an index and a page for
        each model.
    data, target : optional
        As for `convert`: with them the page shows the regression.
    path : path-like
        The page to write; of a ledger, the folder.
    verify : bool
        Run the model in its own runtime, in a process of its own: the folded model is compared
        with it at random and extreme points, and of a model that is refused the best affine
        approximation on the data is found. Do this with files that you trust as far as the runtime.
    points : int
        Random points of that comparison.
    output, signature
        As for `inspect`.
    command : str
        What was typed, to be shown in the report.
    **options
        The other arguments of `convert`.

    Returns
    -------
    Report

    Raises
    ------
    ModelFileError
        If the file is damaged, hostile, or not a model.
    DataError
        If the table does not fit the model.
    ValueError
        If an argument is not acceptable.
    OSError
        If the page cannot be written.
    """
    if (data is None) != (target is None):
        raise ValueError("data and target belong together: give both, or neither")
    if data is None and options:
        raise ValueError(f"{', '.join(options)}: only of use with data and target")
    found = inspect(model, output=output, signature=signature)
    seen = anatomy(model, output, signature)
    subject = _Subject(found, seen, data, target, command)
    if verify and found.verdict != "rejected":
        subject.compare(model, output, signature, points)
    if found.verdict == "rejected":
        subject.approximate(model, signature, verify, options)
    elif data is None:
        subject.models = fold_each(model, output, signature)
    else:
        from converter.regression.convert import convert

        made = convert(model, data, target, output=output, signature=signature, **options)
        subject.conversions(made)
    return subject.write(path)


def report_of(
    made: Conversion | JointConversion,
    path: str | os.PathLike[str],
    *,
    verify: bool = False,
    points: int = 64,
    data: Any = None,
) -> Report:
    """Write the report of a conversion; see `report`.

    What the model's file says is read again; where it is no longer there (or was never a file), the
    page does without.
    """
    parts = _parts_of(made)
    file = next(iter(parts.values())).model.path
    found, seen = None, None
    if file and os.path.exists(file):
        found, seen = inspect(file), anatomy(file)
    subject = _Subject(found, seen, data, None, "")
    subject.conversions(made)
    if verify:
        if found is None:
            raise ValueError("there is no file to run: this model was not read from one")
        subject.compare(file, None, None, points)
    return subject.write(path)


def _parts_of(made: Conversion | JointConversion) -> Mapping[str, Conversion]:
    from converter.regression.joint import JointConversion

    return made.parts if isinstance(made, JointConversion) else {"": made}


@dataclass(frozen=True, slots=True)
class Table:
    """Coefficients, one column an output."""

    title: str
    outputs: list[str]
    rows: list[tuple[str, list[float]]]
    omitted: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an output is computed from."""

    name: str
    inputs: list[str]
    operations: list[Part]
    more: int
    stored: list[Stored]

    @property
    def numbers(self) -> int:
        """How many numbers these arrays hold."""
        return sum(int(np.prod(one.shape)) for one in self.stored)


@dataclass
class _Subject:
    """What a page is about."""

    found: Inspection | None
    seen: Anatomy | None
    data: Any
    target: Any
    command: str
    models: Sequence[AffineModel] = ()
    regressions: list[Regression] = field(default_factory=list)
    verified: Verification | None = None
    unverified: str = (
        "The network was not run. With --verify (verify=True) it is, by its own runtime and in a "
        "process of its own, and compared with the folded model at random and extreme points."
    )
    approximations: Approximations | None = None
    unapproximated: str = (
        "Not measured: that needs data (--data, --target) and the network's own predictions "
        "(--verify runs it, by its own runtime and in a process of its own)."
    )

    def compare(
        self, model: Any, output: str | int | None, signature: str | None, points: int
    ) -> None:
        """Compare with the network's own runtime; where that is not possible, say why."""
        from converter.verification import verify

        try:
            self.verified = verify(model, output=output, signature=signature, points=points)
        except Rejected:
            raise
        except ValueError as error:
            self.unverified = f"Not verified: {error}"

    def approximate(
        self, model: Any, signature: str | None, verify: bool, options: Mapping[str, Any]
    ) -> None:
        """Find the best affine approximation of what was refused."""
        from converter.reports.approximation import approximate

        self.unverified = "There is no folded model to compare with the network."
        if self.data is None or not verify:
            return
        assert self.found is not None
        used = ("features", "where", "weights", "scaler")
        names = [one.name for one in self.found.outputs if one.verdict == "rejected"]
        try:
            self.approximations = approximate(
                model,
                self.data,
                self.target,
                names,
                signature=signature,
                **{name: options[name] for name in used if name in options},
            )
        except ValueError as error:
            self.unapproximated = f"Not measured: {error}"

    def conversions(self, made: Conversion | JointConversion) -> None:
        """Take in conversions of the model."""
        from converter.reports.regressions import regression_of

        parts = _parts_of(made)
        self.models = [one.model for one in parts.values()]
        self.regressions = [
            regression_of(one, f"r{place}", name if len(parts) > 1 else "")
            for place, (name, one) in enumerate(parts.items())
        ]

    def write(self, path: str | os.PathLike[str], **extra: Any) -> Report:
        """Write the page."""
        text = self.page(**extra)
        write_atomically(path, lambda file: file.write(text.encode("utf-8", "replace")))
        agrees = None if self.verified is None else self.verified.agrees
        return Report(Path(path), self.accepted, agrees)

    @property
    def accepted(self) -> bool:
        return self.found is None or self.found.verdict != "rejected"

    @property
    def name(self) -> str:
        path = self.found.path if self.found is not None else self.models[0].path
        return os.path.basename(path.rstrip("/")) or path or "a folded model"

    def page(self, back: str = "") -> str:
        """Return the page as HTML."""
        found, seen = self.found, self.seen
        contents = [("what", "What it is")]
        contents += [("findings", "Why it is not a regression")] * (not self.accepted)
        contents += [
            (one.slug, f"The regression of {one.name}" if one.name else "The regression")
            for one in self.regressions
        ]
        tables = self._tables()
        contents += [("coefficients", "Coefficients")] * bool(tables)
        contents += [("network", "The network")] * (seen is not None)
        contents += [("evidence", "Evidence"), ("provenance", "Provenance")]
        refused = [one for one in seen.parts if one.kind == "refused"] if seen else []
        return render(
            "model.html",
            version=__version__,
            made_on=now(),
            title=printable(self.name, 200),
            back=back,
            accepted=self.accepted,
            mood=self._mood,
            verdict=self.verdict,
            sentences=self._sentences(),
            contents=contents,
            about=self._about(),
            outputs=self._outputs(),
            notes=list(found.notes if found else self.models[0].notes),
            findings=list(found.findings) if found else [],
            approximations=self._approximations(),
            approximation_missing=self.unapproximated,
            regressions=self.regressions,
            tables=tables,
            rows=rows_of(seen.parts) if seen else [],
            kinds=KINDS,
            first_refusal=(refused[0].name or refused[0].operation) if refused else "",
            verified=self.verified,
            not_verified=self.unverified,
            provenance=self._provenance(),
            versions=versions(),
            origins=self._origins(),
        )

    @property
    def verdict(self) -> str:
        """The verdict in one sentence."""
        if not self.accepted:
            assert self.found is not None
            count = len(self.found.findings)
            things = "one operation is" if count == 1 else f"{count} operations are"
            return f"This network is not a regression: {things} in the way."
        kinds = list(
            dict.fromkeys(
                (one.link, one.family) for one in self._outputs() if one.verdict != "label"
            )
        )
        said = " and ".join(_kind(link, family) for link, family in kinds)
        return f"This network is {said}."

    @property
    def _mood(self) -> str:
        """How the verdict is coloured: between are numbers that may not be believed."""
        if not self.accepted or (self.verified is not None and not self.verified.agrees):
            return "bad"
        well = ("optimum", "close", "consistent")
        return "good" if all(one.verdict in well for one in self.regressions) else "doubt"

    def _sentences(self) -> list[str]:
        said = [
            f"{one.name}: {one.sentence}" if one.name else one.sentence for one in self.regressions
        ]
        if self.verified is not None:
            said.append(f"{str(self.verified)[0].upper()}{str(self.verified)[1:]}.")
        return said

    def _outputs(self) -> list[OutputReport]:
        if self.found is not None:
            return list(self.found.outputs)
        return [
            OutputReport(
                ", ".join(one.output_names),
                None,
                "affine" if one.link == "identity" else "linked",
                one.link,
                one.family,
                one.loss,
                (),
            )
            for one in self.models
        ]

    def _about(self) -> list[tuple[str, str]]:
        found = self.found
        if found is None:
            return [
                ("Model", self.models[0].path or "folded in memory"),
                ("File", "not there when this report was written"),
            ]
        facts = [("File", found.path), ("Format", found.format), ("Size", size(found.size))]
        facts += [("SHA-256", found.sha256)]
        facts += [
            (f"Input {one.name}", f"{_shape(one.shape)}, {one.dtype}") for one in found.inputs
        ]
        return facts

    def _tables(self) -> list[Table]:
        if self.regressions:
            return []
        return [table_of(one) for one in self.models]

    def _approximations(self) -> dict[str, Any] | None:
        found = self.approximations
        if found is None:
            return None
        outputs = [
            {
                "name": one.name,
                "r2": one.r2,
                "largest": one.largest,
                "spread": one.spread,
                "table": _table(
                    f"Approximation of {one.name}",
                    ["coefficient"],
                    ["(intercept)", *found.terms],
                    np.concatenate([[one.intercept], one.coef])[:, None],
                ),
            }
            for one in found.outputs
        ]
        return {"runtime": found.runtime, "rows": f"{found.rows:,}", "outputs": outputs}

    def _provenance(self) -> list[tuple[str, str]]:
        facts = []
        if self.found is not None:
            facts += [("Model", self.found.path), ("Model's SHA-256", self.found.sha256)]
            facts.append(("Model's size", size(self.found.size)))
            if self.seen is not None and self.seen.producer:
                facts.append(("Written by", self.seen.producer))
        if self.data is not None:
            source = source_of(self.data)
            facts.append(("Data", source.name))
            if source.sha256:
                facts.append(("Data's SHA-256", source.sha256))
                facts.append(("Data's size", size(source.size)))
        facts.append(("Report made on", now()))
        if self.command:
            facts.append(("Command", self.command))
        return facts

    def _origins(self) -> list[Origin]:
        seen = self.seen
        if seen is None:
            return []
        made = []
        for place, part in enumerate(seen.parts):
            if part.kind not in ("output", "refused") or place < len(seen.parts) - len(
                self._outputs()
            ):
                continue
            origin = seen.origin(place)
            operations = [one for one in origin if one.kind != "input" and one.operation]
            inputs = {one.name for one in self.found.inputs} if self.found else set()
            operations = [one for one in operations if one.name not in inputs or one.stored]
            stored = list(dict.fromkeys(array for one in origin for array in one.stored))
            made.append(
                Origin(
                    part.name,
                    [one.name for one in origin if one.name in inputs and not one.sources],
                    operations[:_NAMED],
                    max(len(operations) - _NAMED, 0),
                    stored,
                )
            )
        return made


_WORDS = {
    ("identity", "gaussian"): "a linear regression",
    ("identity", "binomial"): "a logistic regression (its output is the logit)",
    ("identity", "multinomial"): "a multinomial logistic regression (its outputs are the logits)",
    ("logit", "binomial"): "a logistic regression",
    ("softmax", "multinomial"): "a multinomial logistic regression",
    ("log", "poisson"): "a Poisson regression",
    ("probit", "binomial"): "a probit regression",
    ("cloglog", "binomial"): "a regression with the complementary log-log link",
}


def _kind(link: str | None, family: str | None) -> str:
    if link is None:
        return "several regressions"
    return _WORDS.get((link, family or ""), f"an affine map behind the link {link}")


def _shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "shape not given"
    return " \u00d7 ".join("n" if one is None else str(one) for one in shape) or "one number"


def table_of(model: AffineModel) -> Table:
    """Return a folded model's coefficients, as far as a page shows them."""
    names = ["(intercept)", *model.feature_names]
    values = np.concatenate([model.intercept[:, None], model.coef], axis=1).T
    values = values.copy()
    values[0, ~model.has_intercept] = np.nan
    title = f"{model.family}, link {model.link}"
    return _table(title, list(model.output_names), names, values)


def _table(title: str, outputs: list[str], names: list[str], values: np.ndarray) -> Table:
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
