"""Options that commands share, and how their words are the public functions' arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from click.core import ParameterSource

output_option = click.option(
    "--output",
    metavar="NAME",
    help="Which output: its name, an element of it (p[1]), or its place.",
)
signature_option = click.option(
    "--signature", metavar="NAME", help="Which signature of a TensorFlow SavedModel."
)
scale_option = click.option(
    "--scale",
    type=click.Path(dir_okay=False),
    help='Scaler of the inputs, {"mean": [..], "scale": [..]}, or {"inputs": .., "target": ..}.',
)
scale_target_option = click.option(
    "--scale-target", type=click.Path(dir_okay=False), help="Scaler of the target, likewise."
)


def regression_options(required: bool) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that adds the options of `converter.convert`."""
    options = (
        click.option(
            "--data",
            required=required,
            metavar="TABLE",
            help="CSV, Parquet or Arrow IPC file, or a folder of Parquet files.",
        ),
        click.option(
            "--target",
            required=required,
            metavar="COLUMN",
            help="Column of the response; of several outputs one each, A,B.",
        ),
        click.option(
            "--features", metavar="A,B,C", help="Columns in the order of the model's inputs."
        ),
        click.option(
            "--family",
            metavar="NAME",
            help="Override the family: gaussian, binomial, multinomial, poisson, quantile:TAU, "
            "huber:BEND.",
        ),
        click.option(
            "--cov-type", default="nonrobust", help="Covariance as statsmodels names it (HC1 ..)."
        ),
        click.option(
            "--groups",
            metavar="COLUMN",
            help="Column of the groups, for --cov-type cluster; two ways, A,B.",
        ),
        click.option("--maxlags", type=int, metavar="N", help="Lags, for --cov-type HAC."),
        click.option("--weights", metavar="COLUMN", help="Column of analytic weights (gaussian)."),
        click.option("--where", metavar="CONDITION", help="Which rows, as in SQL: 'store = 3'."),
        click.option(
            "--missing", type=click.Choice(["raise", "drop"]), default="raise", show_default=True
        ),
        click.option(
            "--base",
            multiple=True,
            metavar="COLUMN=LEVEL",
            help="Level of a category that its others are compared with (repeatable).",
        ),
        click.option(
            "--not-training-data",
            "unseen",
            is_flag=True,
            help="The network never saw these rows: an evaluation, not a fit.",
        ),
        click.option(
            "--restricted",
            is_flag=True,
            help="Count only the parameters that the architecture has.",
        ),
        click.option(
            "--memory",
            metavar="SIZE",
            help="What rows may take, 500MB; more is streamed past, in passes.  [default: 2GB]",
        ),
        click.option(
            "--passes",
            type=click.IntRange(1),
            metavar="N",
            help="Read streamed rows no more often.",
        ),
        click.option("--quiet", is_flag=True, help="Do not show how far a stream is."),
        scale_option,
        scale_target_option,
        output_option,
        signature_option,
    )

    def add(command: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def of_the_model(
    *,
    output: str | None,
    scale: str | None,
    scale_target: str | None,
    signature: str | None,
    **others: Any,
) -> dict[str, Any]:
    """Return the arguments of `converter.fold` beside the path, as its options say them.

    `others` are the options about a table, of which none was given.
    """
    return {
        "output": place_or_name(output),
        "scaler": scale,
        "target_scaler": scale_target,
        "signature": signature,
    }


def of_the_rows(
    *,
    data: str,
    target: str | None,
    features: str | None,
    groups: str | None,
    maxlags: int | None,
    base: Sequence[str],
    unseen: bool,
    quiet: bool,
    scale: str | None,
    scale_target: str | None,
    output: str | None,
    signature: str | None,
    **same: Any,
) -> dict[str, Any]:
    """Return the arguments of `converter.convert` beside the model, as its options say them.

    Those in `same` are its own words.
    """
    if target is None:
        raise ValueError("--data needs --target COLUMN")
    return {
        "data": data,
        "target": one_or_more(target),
        "features": None if features is None else _comma_separated(features),
        "cov_kwds": _given(groups=None if groups is None else one_or_more(groups), maxlags=maxlags),
        "base": _bases(base),
        "training_data": not unseen,
        "progress": not quiet,
        **of_the_model(output=output, scale=scale, scale_target=scale_target, signature=signature),
        **same,
    }


def refuse_without_data() -> None:
    """Refuse options that say how to convert where there is nothing to convert."""
    context = click.get_current_context()
    free = {"model", "output", "scale", "scale_target", "signature", "out", "to", "as_json"}
    free |= {"float32", "table", "linear_predictor", "verify", "points", "quiet"}
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in free:
            raise ValueError(f"{parameter.opts[0]} is about a table: give one with --data")


def _given(**options: Any) -> dict[str, Any] | None:
    found = {name: value for name, value in options.items() if value is not None}
    return found or None


def place_or_name(output: str | None) -> str | int | None:
    return int(output) if output is not None and output.isascii() and output.isdigit() else output


def _bases(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        column, equals, level = pair.partition("=")
        if not equals:
            raise ValueError(f"--base {pair!r}: expected COLUMN=LEVEL")
        found[column] = level
    return found


def _comma_separated(text: str) -> list[str]:
    import csv

    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def one_or_more(text: str) -> str | list[str]:
    names = _comma_separated(text)
    return names[0] if len(names) == 1 else names
