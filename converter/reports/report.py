"""`report`: everything that was found about a model, on one page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from inspect import signature as signature_of
from typing import TYPE_CHECKING, Any

from converter.digest import Digest
from converter.errors import Rejected
from converter.files import refuse_to_overwrite
from converter.inspection import Inspection, fold_each, inspect
from converter.reports.anatomy import Anatomy, anatomy
from converter.reports.approximation import check_table, targets_in
from converter.reports.coefficients import table_of
from converter.reports.contents import (
    Facts,
    Other,
    Page,
    Report,
    about,
    outcome_of,
    outcomes,
    titled,
    verdict_of,
)
from converter.reports.page import size
from converter.reports.provenance import now, source_of

if TYPE_CHECKING:
    from converter.model import AffineModel
    from converter.regression.conversion import Conversion
    from converter.regression.joint import JointConversion

_NOT_RUN = (
    "The network was not run. With --verify (verify=True) it is, by its own runtime and in a "
    "process of its own, and compared with the folded model at random and extreme points."
)
_NO_DATA = (
    "Not measured: that needs data (--data, --target) and the network's own predictions (--verify "
    "runs it, by its own runtime and in a process of its own)."
)
# Arguments of `convert` that choose and scale the rows of an approximation.
_ROWS = ("features", "where", "weights")
# Outputs of one network that a page has plots of, and those that it has sections for.
_PLOTTED, _SECTIONS = 12, 40
# Columns that are listed.
_LISTED = 300


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
    scaler: Any = None,
    target_scaler: Any = None,
    quiet: bool = True,
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
    scaler, target_scaler
        As for `fold` and `convert`.
    quiet : bool
        False shows how far the report of a ledger is, on stderr.
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
        If the table does not fit the model, or the ledger is none.
    ValueError
        If an argument is not acceptable.
    OSError
        If the page cannot be written.
    """
    from converter.reports.ledger import is_ledger, report_ledger

    if is_ledger(model):
        given = {"data": data, "target": target, "output": output, "signature": signature}
        given |= {"verify": verify or None, "scaler": scaler, "target_scaler": target_scaler}
        if options or any(value is not None for value in given.values()):
            raise ValueError(
                f"{os.fspath(model)}: is a ledger, which has its own data and options: give neither"
            )
        if os.path.splitext(path)[1].lower() in (".html", ".htm"):
            raise ValueError(
                f"{os.fspath(path)}: the report of a ledger is a folder of pages; name a folder"
            )
        return report_ledger(model, path, quiet=quiet)
    refuse_to_overwrite(path, model, data)
    _check_name(path)
    if (data is None) != (target is None):
        raise ValueError("data and target belong together: give both, or neither")
    if data is None and options:
        raise ValueError(f"{', '.join(options)}: only of use with data and target")
    strange = [name for name in options if name not in _convert_arguments()]
    if strange:
        raise ValueError(f"convert has no argument {', '.join(strange)}")
    found = inspect(model, output=output, signature=signature)
    page = page_of(found, anatomy(model, output, signature))
    origin: Facts | None = None
    if found.verdict == "rejected":
        page.unverified = "There is no folded model to compare with the network."
        if data is not None:
            check_table(data, target, options.get("where"))
        if verify and data is not None:
            used = {name: options[name] for name in _ROWS if name in options}
            _approximate(page, found, data, target, signature=signature, scaler=scaler, **used)
    else:
        if verify:
            _compare(page, model, output, signature, points)
        if data is None:
            models = fold_each(model, output, signature)
            page.tables = [table_of(_unscaled(one, scaler, target_scaler)) for one in models]
        else:
            from converter.regression.convert import convert

            options |= {"scaler": scaler, "target_scaler": target_scaler}
            made = convert(model, data, target, output=output, signature=signature, **options)
            show(page, made)
            origin = _origin(made)
    rows = _rows_of(data, target, options) if origin is None else origin
    page.provenance = _provenance(found, page.seen, rows, command)
    return page.write(path)


def report_of(
    made: Conversion | JointConversion,
    path: str | os.PathLike[str],
    *,
    verify: bool = False,
    points: int = 64,
) -> Report:
    """Write the report of a conversion; see `report`.

    What the model's file says is read again; where it is no longer there, has another digest, or
    was never a file, the page does without.
    """
    first = next(iter(_parts(made).values()))
    file, source = first.model.path, first.model.source
    refuse_to_overwrite(path, file, None if first.origin is None else first.origin.path)
    _check_name(path)
    found = None
    if source.sha256 and Digest(file).result() == source.sha256:
        chosen: dict[str, Any] = {"output": source.output, "signature": source.signature}
        found = inspect(file, **chosen)
        page = page_of(found, anatomy(file, **chosen))
    else:
        page = page_without_file(made)
    show(page, made)
    if verify:
        if found is None:
            raise ValueError(
                f"{file or 'the model'}: there is no file to run: it is not there, or has changed "
                "since it was folded"
            )
        _compare(page, file, source.output, source.signature, points)
    page.provenance = _provenance(found, page.seen, _origin(made), "")
    if found is None and file:
        then = [("Model's SHA-256 when it was folded", source.sha256)] * bool(source.sha256)
        page.provenance = [("Model", file), *then, *page.provenance]
    return page.write(path)


def _check_name(path: str | os.PathLike[str]) -> None:
    """Refuse a file that would not be taken for what it is."""
    suffix = os.path.splitext(path)[1].lower()
    special = os.path.exists(path) and not os.path.isfile(path)
    if suffix not in (".html", ".htm") and not special:
        raise ValueError(f"{os.fspath(path)}: a report is HTML; let the file's name end in .html")


def _origin(made: Conversion | JointConversion) -> Facts:
    """Return where the rows of a conversion came from."""
    origins = [one.origin for one in _parts(made).values() if one.origin is not None]
    if not origins:
        return []
    first = origins[0]
    if first.path is None:
        facts = [("Data", f"{first.kind} in memory")]
    elif first.unchanged:
        facts = _rows_of(first.path, (), {})
    else:
        facts = [("Data", str(first.path)), ("Data's file", "has changed since it was converted")]
    targets = [str(one.target) for one in origins if one.target is not None]
    facts += [("Target", ", ".join(targets))] * bool(targets)
    facts += [("Rows", str(first.where))] * bool(first.where)
    return facts + [(f"Argument {name}", value) for name, value in first.asked]


def _unscaled(model: AffineModel, scaler: Any, target_scaler: Any) -> AffineModel:
    """Return a model in the units of the data."""
    if scaler is None and target_scaler is None:
        return model
    from converter.regression.scaling import scalers_of, unscale

    return unscale(model, *scalers_of(scaler, target_scaler))


def page_without_file(made: Conversion | JointConversion) -> Page:
    """Return a page with what a conversion knows of its network."""
    models = [one.model for one in _parts(made).values()]
    named = [outcome_of(one) for one in models]
    return Page(
        title=titled(models[0].path),
        verdict=verdict_of([(one.link, one.family) for one in named], ()),
        accepted=True,
        about=[("Model", models[0].path or "folded in memory")],
        outputs=named,
        notes=list(models[0].notes),
        unverified=(
            "The network's file is not there, or has changed since it was folded: it is not drawn, "
            "and nothing can be compared with it."
        ),
    )


def page_of(found: Inspection, seen: Anatomy | None = None) -> Page:
    """Return a page with what a file says by itself."""
    kinds = [(o.link or "", o.family or "") for o in found.outputs if o.verdict != "label"]
    return Page(
        title=titled(found.path),
        verdict=verdict_of(kinds, found.findings),
        accepted=found.verdict != "rejected",
        about=about(found),
        outputs=outcomes(found),
        notes=list(found.notes),
        findings=list(found.findings),
        seen=seen,
        unverified=_NOT_RUN,
        unapproximated=_NO_DATA,
    )


def _parts(made: Conversion | JointConversion) -> Mapping[str, Conversion]:
    """Return conversions by the name of their output; of one alone that is empty."""
    from converter.regression.joint import JointConversion

    return made.parts if isinstance(made, JointConversion) else {"": made}


def show(page: Page, made: Conversion | JointConversion, plots: bool = True) -> None:
    """Put conversions of the model on a page, with plots or without."""
    from converter.reports.regressions import regression_of

    parts = list(_parts(made).items())
    page.verdict = verdict_of([(one.model.link, one.family) for _, one in parts], ())
    if plots:
        page.reading, page.scaling = _reading(parts[0][1]), _scaling(parts)
        page.exact = [table_of(one.folded) for _, one in parts[:_SECTIONS]]
    page.regressions = [
        regression_of(one, f"r{place}", name, plots and place < _PLOTTED)
        for place, (name, one) in enumerate(parts[:_SECTIONS])
    ]
    page.others = [
        Other(name, one.optimality.verdict, one.optimality.max_drift, one.optimality.pvalue)
        for name, one in parts[_SECTIONS:]
    ]
    if plots:
        for one in page.regressions[_PLOTTED:]:
            one.missing = f"Plots are drawn of the first {_PLOTTED} outputs."


def _reading(made: Conversion) -> list[tuple[str, str]]:
    """Return which column of the table each element of the network's inputs was."""
    return list(zip(made.model.columns, made._design.columns, strict=True))[:_LISTED]


def _scaling(parts: Sequence[tuple[str, Conversion]]) -> list[tuple[str, float, float]]:
    """Return how columns were scaled before training; those of the inputs once."""
    found = [row for _, one in parts if one.origin is not None for row in one.origin.scaling]
    return list(dict.fromkeys(found))[:_LISTED]


def _compare(
    page: Page, model: Any, output: str | int | None, signature: str | None, points: int
) -> None:
    """Compare with the network's own runtime; where that is not possible, say why."""
    from converter.verification import verify

    try:
        page.verified = verify(model, output=output, signature=signature, points=points)
    except Rejected:
        raise
    except ValueError as error:
        page.unverified = f"Not verified: {error}"


def _approximate(
    page: Page,
    found: Inspection,
    data: Any,
    target: Any,
    **rows: Any,
) -> None:
    """Find the best affine approximation of what was refused; else say why there is none."""
    from converter.reports.approximation import approximate

    names = [one.name for one in found.outputs if one.verdict == "rejected"]
    try:
        page.approximations = approximate(found.path, data, target, names, **rows)
    except ValueError as error:
        page.unapproximated = f"Not measured: {error}"


def _convert_arguments() -> Mapping[str, Any]:
    from converter.regression.convert import convert

    return signature_of(convert).parameters


def _rows_of(data: Any, target: Any, options: Mapping[str, Any]) -> Facts:
    """Return what is known of where the rows came from."""
    if data is None:
        return []
    source = source_of(data)
    facts = [("Data", source.name)]
    if source.sha256:
        facts += [("Data's SHA-256", source.sha256), ("Data's size", size(source.size))]
    named = [str(one) for one in targets_in(target) if isinstance(one, (str, int))]
    facts += [("Target", ", ".join(named))] * bool(named)
    return facts + [("Rows", str(options.get("where")))] * bool(options.get("where"))


def _provenance(found: Inspection | None, seen: Anatomy | None, rows: Facts, command: str) -> Facts:
    facts: Facts = []
    if found is not None:
        facts += [("Model", found.path), ("Model's SHA-256", found.sha256)]
        facts.append(("Model's size", size(found.size)))
    if seen is not None and seen.producer:
        facts.append(("Written by", seen.producer))
    facts += [*rows, ("Report made on", now())]
    return facts + [("Command", command)] * bool(command)
