"""The command line: parses, calls the public API, prints. No logic of its own.

Exit status as diff(1) has it: 0 the network is a regression, 1 it is not, 2 trouble.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import converter
from converter import options as shared
from converter.errors import (
    DataError,
    ModelFileError,
    Rejected,
    format_findings,
    printable,
)

if TYPE_CHECKING:
    from converter.inspection import Inspection
    from converter.model import AffineModel

_REGRESSION, _NONE, _TROUBLE = 0, 1, 2

_model = click.argument("model", type=click.Path(dir_okay=True))
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file = click.option(
    "-o", "--out", type=click.Path(dir_okay=False), help="Write to this file instead."
)
_to = click.option(
    "--to", metavar="NAME", help="The file's format, where its suffix does not say: onnx, sql ..."
)
_float32 = click.option("--float32", is_flag=True, help="Round to single precision (onnx, keras).")
_table = click.option("--table", metavar="NAME", help="Table that an SQL query reads.  [data]")
_linear = click.option(
    "--linear-predictor", is_flag=True, help="Leave out the link (sql), for what SQL cannot say."
)


def _reported(command: Callable[..., int]) -> Callable[..., int]:
    """Turn exceptions into one message and an exit status; no traceback reaches a user."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> int:
        try:
            return command(*args, **kwargs)
        except Rejected as rejected:
            if kwargs.get("as_json"):
                found = [finding.to_dict() for finding in rejected.findings]
                _print_json({"path": rejected.path, "verdict": "rejected", "findings": found})
            click.echo(str(rejected), err=True)
            return _NONE
        except (ModelFileError, DataError, ValueError) as error:
            click.echo(f"converter: {error}", err=True)
        except BrokenPipeError:
            # The reader (head, less) has gone; nothing more can be said to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            click.echo(f"converter: {error.filename}: {error.strerror}", err=True)
        except KeyboardInterrupt:
            click.echo("converter: interrupted", err=True)
        except Exception as error:
            kind = type(error).__name__
            click.echo(
                f"converter: internal error, please report it: {kind}: {printable(str(error))}",
                err=True,
            )
        return _TROUBLE

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(converter.__version__, prog_name="converter")
def main() -> None:
    """Turn saved affine networks (Keras, TensorFlow, ONNX) into the regressions that they are.

    Exit status: 0 the network is a regression, 1 it is not, 2 trouble (bad file, data or usage).
    """


@main.command()
@_model
@shared.output_option
@shared.signature_option
@_json
@_reported
def inspect(model: str, output: str | None, signature: str | None, as_json: bool) -> int:
    """Decide whether MODEL is a regression, and say why not if it is not."""
    found = converter.inspect(model, output=shared.place_or_name(output), signature=signature)
    if as_json:
        _print_json(found.to_dict())
    else:
        click.echo(_inspection(found))
    return _NONE if found.verdict == "rejected" else _REGRESSION


@main.command()
@_model
@shared.output_option
@shared.signature_option
@shared.scale_option
@shared.scale_target_option
@click.option("--verify", "check", is_flag=True, help="Run MODEL in its own runtime and compare.")
@_file
@_to
@_float32
@_table
@_linear
@_json
@_reported
def fold(
    model: str,
    check: bool,
    out: str | None,
    to: str | None,
    float32: bool,
    table: str | None,
    linear_predictor: bool,
    as_json: bool,
    **asked: Any,
) -> int:
    """Fold MODEL into one affine map and print (or write) its coefficients.

    FILE may end in .json, .csv, .onnx, .sql or another suffix that export has. --verify runs MODEL,
    in onnxruntime, Keras or TensorFlow, at random and extreme points, and compares; the exit status
    is 2 if they disagree.

    Exit status: 0 the network is a regression, 1 it is not, 2 trouble.
    """
    options = {"float32": float32, "table": table, "linear_predictor": linear_predictor}
    if out is None:
        _only_with_a_file(to=to, **options)
    chosen = shared.of_the_model(**asked)
    folded = converter.fold(model, **chosen)
    if out is not None:
        _export(folded, out, to, as_json, **options)
    elif not as_json:
        click.echo(_folded(folded))
    # The coefficients are worth having even where the runtime cannot be asked.
    verified, trouble = None, None
    try:
        if check:
            which = {name: chosen[name] for name in ("output", "signature")}
            verified = converter.verify(model, **which)
    except ValueError as error:
        trouble = error
    if out is None and as_json:
        extra = {} if verified is None else {"verified": verified.to_dict()}
        _print_json(folded.to_dict() | extra)
    elif verified is not None:
        click.echo(f"\n{verified}", err=not verified.agrees)
    if trouble is not None:
        raise ValueError(f"not verified: {trouble}")
    return _REGRESSION if verified is None or verified.agrees else _TROUBLE


@main.command()
@_model
@shared.regression_options(required=True)
@_file
@_to
@_json
@_reported
def convert(model: str, out: str | None, to: str | None, as_json: bool, **asked: Any) -> int:
    """Convert MODEL and TABLE into a statsmodels regression, and measure how far it is off.

    FILE may end in .txt, .csv, .json, .py or another suffix that export has.
    """
    if out is None:
        _only_with_a_file(to=to)
    made = converter.convert(model, **shared.of_the_rows(**asked))
    if out is not None:
        _export(made, out, to, as_json)
    else:
        click.echo(_to_json(made.to_dict()) if as_json else made.summary())
    return _REGRESSION


@main.command()
@_model
@shared.regression_options(required=False)
@click.option("-o", "--out", type=click.Path(dir_okay=False), required=True, help="The file.")
@_to
@_float32
@_table
@_linear
@_reported
def export(
    model: str,
    out: str,
    to: str | None,
    float32: bool,
    table: str | None,
    linear_predictor: bool,
    **asked: Any,
) -> int:
    """Write MODEL, or with --data the regression that it is, to a FILE that other programs read.

    Its suffix says the format: .onnx .keras .sql .pmml .joblib .json .csv .parquet .npz, and with
    data .py .pickle .tex .md .txt.
    """
    options: dict[str, Any] = {
        "float32": float32,
        "table": table,
        "linear_predictor": linear_predictor,
    }
    if asked["data"] is None:
        shared.refuse_without_data()
        _export(converter.fold(model, **shared.of_the_model(**asked)), out, to, **options)
    else:
        _export(converter.convert(model, **shared.of_the_rows(**asked)), out, to, **options)
    return _REGRESSION


@main.command()
@_model
@shared.regression_options(required=False)
@click.option(
    "-o", "--out", type=click.Path(), required=True, help="The page; of a ledger the folder."
)
@click.option(
    "--verify",
    is_flag=True,
    help="Run MODEL in its own runtime: compare, or approximate what is refused.",
)
@click.option(
    "--points", type=click.IntRange(1), default=64, show_default=True, help="Points of --verify."
)
@_json
@_reported
def report(
    model: str, out: str, verify: bool, points: int, as_json: bool, quiet: bool, **asked: Any
) -> int:
    """Write what can be found out about MODEL as one HTML page, with --data its regression.

    The page needs no network and no script. A MODEL that is refused gets a report too. MODEL may be
    the ledger of a batch: then OUT is a folder, with an index and a page for each of its models.
    Exit status: 0 the network is a regression, 1 it is not, 2 trouble, or --verify disagrees.
    """
    if asked["data"] is None:
        shared.refuse_without_data()
        options = shared.of_the_model(**asked)
    else:
        options = shared.of_the_rows(quiet=quiet, **asked)
    made = converter.report(
        model,
        path=out,
        verify=verify,
        points=points,
        command=shlex.join(["converter", *sys.argv[1:]]),
        **({"quiet": quiet} | options),
    )
    if as_json:
        _print_json(made.to_dict())
    else:
        click.echo(str(made))
    if made.agrees is False:
        return _TROUBLE
    return _REGRESSION if made.accepted else _NONE


@main.command()
@click.argument("models", nargs=-1, required=True, metavar="MODELS...")
@click.option(
    "--data", metavar="TABLE", help="A table for all models; without one they are folded."
)
@click.option("--target", metavar="COLUMN", help="Column of the response.")
@click.option(
    "--where",
    metavar="CONDITION",
    help="Rows of each model, as in SQL: 'store = {id}', with the manifest's columns in braces.",
)
@click.option(
    "--ledger", default="ledger.sqlite", show_default=True, metavar="FILE", help="SQLite file."
)
@click.option("--workers", type=click.IntRange(0), help="Processes; by default one a processor.")
@click.option(
    "--timeout",
    type=float,
    default=600.0,
    show_default=True,
    help="Seconds after which a model is given up.",
)
@click.option("--retry", is_flag=True, help="Do again what failed.")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster that does the work.")
@click.option("--export", metavar="DIR", help="Write the ledger's tables as Parquet and CSV.")
@click.option("--quiet", is_flag=True, help="Do not show how far the run is.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Option of convert for every model, family=poisson (repeatable).",
)
@_json
@_reported
def batch(
    models: Sequence[str],
    data: str | None,
    target: str | None,
    where: str | None,
    ledger: str,
    workers: int | None,
    timeout: float,
    retry: bool,
    dask: str | None,
    export: str | None,
    quiet: bool,
    settings: Sequence[str],
    as_json: bool,
) -> int:
    """Fold or convert many MODELS: files, patterns, folders, URLs, or manifests.

    A manifest is CSV, JSON lines or Parquet with a column model and, where wanted, id, data,
    target, where and options of convert. Everything is recorded in the ledger as it is found; the
    same command goes on where it was. Exit status: 0 all are regressions, 1 some are not, 2 some
    failed.
    """
    done = converter.batch(
        models,
        data,
        None if target is None else shared.one_or_more(target),
        ledger=ledger,
        where=where,
        workers=workers,
        timeout=timeout,
        retry=retry,
        dask=dask,
        export=export,
        quiet=quiet,
        **_settings(settings),
    )
    if as_json:
        _print_json(done.to_dict())
    else:
        click.echo(str(done))
    return _TROUBLE if done.failed else _NONE if done.rejected else _REGRESSION


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Return options as Python values: numbers, true and false, lists and objects in JSON."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair!r}: expected OPTION=VALUE")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _inspection(found: Inspection) -> str:
    lines = []
    if found.verdict == "rejected":
        lines.append(f"not a regression: {printable(found.path)}")
        lines.append(format_findings(found.findings))
    else:
        lines.append(f"a regression: {printable(found.path)}")
    facts = [("format", found.format), ("sha256", found.sha256)]
    facts += [
        ("input", f"{printable(one.name)} {_shape(one.shape)} {one.dtype}") for one in found.inputs
    ]
    for one in found.outputs:
        if one.verdict == "label":
            facts.append(("output", f"{printable(one.name)}: labels, set aside"))
            continue
        kind = one.verdict if one.link is None else f"{one.verdict}, {one.family}, link {one.link}"
        if one.link == "identity" and one.family == "binomial":
            kind += " (trained from logits: the output is the logit of a logistic regression)"
        loss = "" if one.loss is None else f", trained with {printable(one.loss.describe())}"
        facts.append(("output", f"{printable(one.name)}: {kind}{loss}"))
    facts += [("note", printable(note)) for note in found.notes]
    return "\n".join(lines + [f"  {name:<7} {value}" for name, value in facts])


def _shape(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "(shape not given)"
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _folded(model: AffineModel) -> str:
    loss = "not recorded" if model.loss is None else model.loss.describe()
    lines = [
        f"{printable(model.path)}: {model.family}, link {model.link}, loss {printable(loss)}",
    ]
    lines += [f"  note: {printable(note)}" for note in model.notes]
    names = [printable(name) for name in model.feature_names]
    width = max(len(name) for name in (*names, "(intercept)"))
    for row, output in enumerate(model.output_names):
        lines.append(f"\n{printable(output)}")
        if model.has_intercept[row]:
            lines.append(f"  {'(intercept)':<{width}}  {model.intercept[row]:.17g}")
        lines += [
            f"  {name:<{width}}  {value:.17g}"
            for name, value in zip(names, model.coef[row], strict=True)
        ]
    return "\n".join(lines)


def _only_with_a_file(**options: Any) -> None:
    """Refuse options that say how to write a file where none is written."""
    for name, value in options.items():
        if value not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')} is about a file: give one with -o FILE")


def _export(value: Any, out: str, to: str | None, as_json: bool = False, **options: Any) -> None:
    from converter.exports import export

    if as_json and to is None and Path(out).suffix.lower() != ".json":
        raise ValueError(f"{out}: --json writes JSON; let the file's name end in .json")
    written = export(value, out, to, options)
    if written.warning:
        click.echo(f"converter: {out}: {written.warning}", err=True)


def _print_json(value: Any) -> None:
    click.echo(_to_json(value))


def _to_json(value: Any) -> str:
    from converter.exports.tables import to_json

    return to_json(value)


def run() -> None:
    """Entry point: run the command and exit with its status."""
    try:
        status = main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = _TROUBLE
    except click.Abort:
        status = _TROUBLE
    sys.exit(status if isinstance(status, int) else _REGRESSION)
