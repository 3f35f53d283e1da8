"""The report of a batch: an index of its models, and a page for each."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter import __version__
from converter.batches.ledger import Ledger
from converter.batches.pool import ready, spawning
from converter.batches.progress import Progress
from converter.batches.work import FAILED, REGRESSION, REJECTED
from converter.errors import DataError, ModelFileError, printable
from converter.files import write_atomically
from converter.inspection import inspect
from converter.reports.anatomy import anatomy
from converter.reports.coefficients import Table
from converter.reports.contents import (
    Facts,
    OutputRow,
    Page,
    Report,
    outcomes,
    titled,
    verdict_of,
)
from converter.reports.entries import VERDICTS, Entry, Row, entry_of, responses_of
from converter.reports.page import number, render
from converter.reports.provenance import now

_SQLITE = b"SQLite format 3\0"
# Pages that are made in this process; more are worth others, so many at a time.
_FEW, _CHUNK = 24, 8
# Labels of the manifest that have a column in the index.
_LABELS = 8
# Files of an index: the pages of its models.
_FOLDER = "models"
_OWN = re.compile(r"[0-9a-f]{16}\.html")
# By what an index of ours is known, and where in it that stands.
_GENERATOR, _HEAD = b'name="generator" content="converter ', 4096


def is_ledger(path: Any) -> bool:
    """Tell whether a path names a SQLite file, which no model is."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except (OSError, TypeError, ValueError):
        return False


def report_ledger(
    ledger: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    workers: int | None = None,
    quiet: bool = True,
) -> Report:
    """Write an index of a batch's models, and a page for each.

    Pages say what the ledger holds; where a model's file is still there, and the same, its network
    is drawn as well. Nothing is computed again.

    Parameters
    ----------
    ledger : path-like
        What `converter.batch` wrote; see docs/ledger.md.
    folder : path-like
        Made if it is not there. ``index.html`` is written last.
    workers : int, optional
        Processes; by default one for each processor.
    quiet : bool
        False shows how far it is, on stderr.

    Returns
    -------
    Report

    Raises
    ------
    DataError
        If the file is no ledger, or holds no model.
    OSError
        If the folder cannot be written.
    """
    if not is_ledger(ledger):
        raise DataError(f"{printable(str(ledger))}: is no ledger")
    book = Ledger(ledger, readonly=True)
    try:
        models = book.rows("model", order="key")
        runs = book.rows("run", order="id")
        if not models:
            raise DataError(f"{printable(str(ledger))}: holds no models yet")
        place = Path(folder)
        _check_folder(place)
        (place / _FOLDER).mkdir(parents=True, exist_ok=True)
        entries = (entry_of(book, row) for row in models)
        lines = []
        with Progress(len(models), not quiet) as progress:
            for line in _written(entries, place, len(models), workers):
                lines.append(line)
                progress.add(line["status"])
    finally:
        book.close()
    verdict = _verdict_on(lines)
    text = _index(Path(ledger), lines, runs, verdict)
    write_atomically(place / "index.html", lambda file: file.write(text.encode("utf-8", "replace")))
    written = {line["page"] for line in lines}
    for page in (place / _FOLDER).glob("*.html"):
        if _OWN.fullmatch(page.name) and f"{_FOLDER}/{page.name}" not in written:
            page.unlink()  # of a model that is in the ledger no more
    accepted = all(line["status"] == REGRESSION for line in lines)
    return Report(place / "index.html", accepted, verdict, None, 1 + len(lines))


def _check_folder(folder: Path) -> None:
    """Refuse a folder whose index is none of ours."""
    index = folder / "index.html"
    try:
        text = index.read_bytes()[:_HEAD] if index.exists() else _GENERATOR
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(index)) from None
    if _GENERATOR not in text:
        raise DataError(
            f"{printable(str(index))}: is no index that converter wrote; name another folder"
        )


def _written(
    entries: Iterator[Entry], folder: Path, count: int, workers: int | None
) -> Iterator[Row]:
    """Write the pages; yield their lines of the index, in order."""
    jobs = ((entry, folder) for entry in entries)
    if count <= _FEW or workers == 0:
        yield from map(_write, jobs)
        return
    with (
        spawning() as context,
        ProcessPoolExecutor(workers, context, initializer=ready, initargs=(False,)) as pool,
    ):
        # Not all at once: a ledger may hold more than memory.
        ahead: list[Any] = []
        for job in _chunks(jobs):
            ahead.append(pool.submit(_write_all, job))
            if len(ahead) > 8 * (workers or os.cpu_count() or 1):
                yield from ahead.pop(0).result()
        for future in ahead:
            yield from future.result()


def _chunks(jobs: Iterator[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for job in jobs:
        chunk.append(job)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _write_all(jobs: Sequence[tuple[Entry, Path]]) -> list[Row]:
    return list(map(_write, jobs))


def _write(job: tuple[Entry, Path]) -> Row:
    """Write the page of a model; return its line of the index."""
    entry, folder = job
    # The same model has the same page, whatever others there are.
    digest = hashlib.sha256(entry.key.encode("utf-8", "surrogatepass")).hexdigest()
    name = f"{_FOLDER}/{digest[:16]}.html"
    page_of(entry).write(folder / name, back="../index.html")
    return _line(entry, name)


def page_of(entry: Entry) -> Page:
    """Return the page about a model of a ledger."""
    model = entry.model
    page = Page(
        title=titled(entry.key),
        verdict=_verdict(entry),
        accepted=entry.status == REGRESSION,
        about=_about(model),
        labels=[(str(name), str(value)) for name, value in entry.labels.items()],
        findings=entry.findings,
        unverified="The network was not run: a batch compares no model with its runtime.",
        unapproximated="Not measured: a report of the model by itself does that (--verify).",
        provenance=_provenance(entry),
    )
    if entry.status == REGRESSION:
        kind = model["verdict"] or ""
        page.outputs = [
            OutputRow(
                name or titled(entry.key),
                kind,
                one.get("link") or model["link"] or "",
                one.get("family") or model["family"] or "",
                model["loss"] or "not recorded",
            )
            for name, one in _outputs(entry).items()
        ]
    _draw(page, entry)
    if entry.regressions:
        from converter.reports.recorded import regressions_of

        page.regressions = regressions_of(
            entry.regressions, entry.coefficients, entry.caveats, model
        )
    else:
        page.tables = _tables(entry)
        page.notes = [one["sentence"] for one in entry.caveats]
    return page


def _outputs(entry: Entry) -> dict[str, Row]:
    if entry.regressions:
        return {one["output"]: one for one in entry.regressions}
    return {one["output"]: {} for one in entry.coefficients}


def _verdict(entry: Entry) -> str:
    model = entry.model
    if entry.failure is not None:
        return f"Nothing was found out: {entry.failure['sentence']}"
    kinds = [
        (one.get("link") or model["link"] or "", one.get("family") or model["family"] or "")
        for one in _outputs(entry).values()
    ]
    return verdict_of(kinds or [(model["link"] or "", model["family"] or "")], entry.findings)


def _draw(page: Page, entry: Entry) -> None:
    """Draw the network, where its file is there and what it was."""
    model, path = entry.model, entry.model["model"]
    if entry.status == FAILED:
        return
    if not os.path.exists(path):
        page.notes.append(
            "The network's file is not where the batch found it (seen from the folder in which "
            "this report was written): its network is not drawn."
        )
        return
    chosen: Row = {name: entry.options.get(name) for name in ("output", "signature")}
    try:
        found = inspect(path, **chosen)
        if found.sha256 != model["sha256"]:
            page.notes.append("The file has changed since; this page is about what it was.")
            return
        page.seen = anatomy(path, **chosen)
    except (ModelFileError, ValueError, OSError):
        return
    page.outputs = outcomes(found)
    page.notes += found.notes


def _about(model: Row) -> Facts:
    facts = [("Key", model["key"]), ("File", model["model"])]
    facts += [("Format", model["format"])] if model["format"] else []
    facts += [("SHA-256", model["sha256"])] if model["sha256"] else []
    facts += [
        (name, str(model[name.lower()]))
        for name in ("Inputs", "Outputs")
        if model[name.lower()] is not None
    ]
    return facts


def _provenance(entry: Entry) -> Facts:
    model = entry.model
    facts = [("Model", model["model"]), ("Model's SHA-256", model["sha256"] or "not known")]
    if model["data"]:
        facts += [("Data", model["data"]), ("Data's SHA-256", model["data_sha256"] or "not known")]
        facts += [("Target", ", ".join(responses_of(entry)))]
    facts += [("Rows chosen by", model["filter"])] if model["filter"] else []
    facts += [("Options", json.dumps(entry.options))] if entry.options else []
    facts += [("Found by run", str(model["run"])), ("Found on", str(model["finished"]))]
    if model["seconds"] is not None:
        facts.append(("Seconds", number(model["seconds"], 3)))
    if entry.failure is not None and entry.failure["detail"]:
        facts.append(("Details of the failure", entry.failure["detail"]))
    return [*facts, ("Report made on", now())]


def _tables(entry: Entry) -> list[Table]:
    made: dict[str, list[tuple[str, list[float]]]] = {}
    for one in entry.coefficients:
        value = np.nan if one["coef"] is None else float(one["coef"])
        made.setdefault(one["output"], []).append((one["term"], [value]))
    return [Table(f"Coefficients of {name}", ["coefficient"], rows) for name, rows in made.items()]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the index; `number` is what it is sorted by, if it holds a number."""

    text: str
    number: float | None = None
    numeric: bool = False

    @property
    def value(self) -> str:
        """The number as a script reads it; empty where there is none."""
        if self.number is None:
            return ""
        if not np.isfinite(self.number):
            return "" if np.isnan(self.number) else ("-" * (self.number < 0) + "Infinity")
        return repr(float(self.number))


_COLUMNS = (
    ("Model", "text"),
    ("Status", "text"),
    ("Regression", "text"),
    ("Rows", "number"),
    ("Optimality", "text"),
    ("Largest drift", "number"),
    ("p-value", "number"),
    ("R2 (or pseudo R2; the least)", "number"),
    ("Caveats", "number"),
    ("What is in the way", "text"),
)


def _line(entry: Entry, page: str) -> Row:
    """Return a model's line of the index; of several outputs the worst."""
    model, found = entry.model, entry.regressions
    worst = max(
        (one["verdict"] or "" for one in found), key=lambda v: VERDICTS.index(v), default=""
    )
    drift = max((one["max_drift"] for one in found if one["max_drift"] is not None), default=None)
    pvalue = min((p for one in found if (p := one["optimality_p_value"]) is not None), default=None)
    square = min((r for one in found if (r := _square(one)) is not None), default=None)
    kinds = {(one["link"], one["family"]) for one in found} or {(model["link"], model["family"])}
    said = " and ".join(f"{family}, {link}" for link, family in sorted(kinds, key=str) if family)
    why = entry.failure["sentence"] if entry.failure else ""
    if entry.findings:
        first = entry.findings[0]
        why = f"{first.node} {first.operation}: {first.reason}"
        why += f" (and {len(entry.findings) - 1} more)" if len(entry.findings) > 1 else ""
    return {
        "key": entry.key,
        "page": page,
        "status": entry.status,
        "verdict": worst,
        "labels": {str(name): str(value) for name, value in entry.labels.items()},
        "cells": [
            Cell(entry.status),
            Cell(said),
            _count(model["nobs"]),
            Cell(worst),
            Cell(number(drift, 3), drift, True),
            Cell(number(pvalue, 3), pvalue, True),
            Cell(number(square, 4), square, True),
            _count(len(entry.caveats)),
            Cell(why),
        ],
    }


def _square(row: Row) -> float | None:
    found = row["r_squared"] if row["r_squared"] is not None else row["pseudo_r_squared"]
    return None if found is None else float(found)


def _count(value: int | None) -> Cell:
    return Cell("" if value is None else f"{value:,}", value, True)


def _verdict_on(lines: Sequence[Row]) -> str:
    counts = Counter(line["status"] for line in lines)
    noun = "regression" if counts[REGRESSION] == 1 else "regressions"
    return (
        f"{len(lines):,} model{'s' * (len(lines) > 1)}: {counts[REGRESSION]:,} {noun}, "
        f"{counts[REJECTED]:,} rejected, {counts[FAILED]:,} failed."
    )


def _index(ledger: Path, lines: Sequence[Row], runs: Sequence[Row], verdict: str) -> str:
    verdicts = {line["verdict"] for line in lines} - {""}
    labels = list(dict.fromkeys(name for line in lines for name in line["labels"]))[:_LABELS]
    for line in lines:
        line["cells"] += [Cell(line["labels"].get(name, "")) for name in labels]
    return render(
        "index.html",
        version=__version__,
        made_on=now(),
        title=f"Models of {printable(ledger.name, 200)}",
        verdict=verdict,
        mood="good" if all(line["status"] == REGRESSION for line in lines) else "bad",
        columns=[*_COLUMNS, *((name, "text") for name in labels)],
        rows=lines,
        runs=runs,
        statuses=sorted({line["status"] for line in lines}),
        verdicts=sorted(verdicts, key=VERDICTS.index),
    )
