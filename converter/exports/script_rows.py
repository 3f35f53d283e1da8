"""The part of a script that reads its rows, as source text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import printable
from converter.exports.lookups import Lookup, parts_of
from converter.exports.script_where import condition_in_pandas
from converter.regression.origin import Origin

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion

# What pyarrow's CSV reader takes for a missing value.
_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)


_KNOWN = '''
def stop_unless(known, column):
    """Stop at the first value that the network has no level for."""
    for value in column[~known][:1]:
        shown = f"holds {value!r}, which the network does not know"
        sys.exit(f"the column {column.name!r} {'has a missing value' if pd.isna(value) else shown}")

'''


def rows_source(made: Conversion) -> str:
    """Return the source of ``number`` and of ``rows(path)``.

    Raises
    ------
    ValueError
        If the rows are not those of a file that pandas reads, or columns of none.
    """
    origin = made.origin
    assert origin is not None
    lines = [*_read(origin)]
    checked = _known_response(made, origin)
    if origin.where is not None:
        lines.append(f"table = table[{condition_in_pandas(origin.where)}]")
    lines += _regressors(made)
    lines += _response(made, origin)
    lines += checked
    lines.append("more = {}")
    if origin.weights is not None:
        lines.append(f"more['weights'] = number(table[{origin.weights!r}])")
    needed = ["y", *("more['weights']" for _ in [0] if origin.weights is not None)]
    if origin.missing == "drop":
        checks = [f"np.isfinite({one})" for one in needed]
        checks += _present(made, origin)
        lines.append("complete = " + " & ".join(checks))
        lines.append("y, X = y[complete], X[complete]")
        lines.append("table, more = table[complete], {k: v[complete] for k, v in more.items()}")
    levels = _known_levels(made)
    lines += levels
    lines += _groups(origin)
    if made._outcomes:
        labels = made._class_labels()
        named = f"np.array({list(labels)!r}, dtype=object)[y.astype(int)]"
        lines.append(f"y = pd.Series({named if labels else 'y.astype(int)'}, index=X.index)")
    lines.append(f"return y.rename({made._design.target!r}), X, more")
    body = "\n    ".join(lines)
    return f'''{_number(origin)}
{_KNOWN if checked or levels else ""}
def rows(path):
    """Return the response, the regressors, and what else each row has."""
    {body}
'''


def _number(origin: Origin) -> str:
    change = ""
    if origin.path is None:
        # As pandas, polars, R or a database may have saved them.
        truth = {w: str(int(w.lower() == "true")) for t in ("true", "false") for w in _cases(t)}
        change = f".replace({truth!r})"
    elif _kind(origin) == "csv":
        if _dialect(origin).point == ",":
            change += '.str.replace(",", ".")'
        if _has_truth(origin.path):
            change += '.str.lower().replace({"true": "1", "false": "0"})'
    return f'''def number(column):
    """Return a column as numbers; those of text to the last digit."""
    try:
        return column{change}.astype(float)
    except (ValueError, TypeError) as error:
        sys.exit(f"the column {{column.name!r}} does not hold numbers: {{error}}")
'''


def _cases(word: str) -> tuple[str, ...]:
    return word, word.title(), word.upper()


def _has_truth(path: str) -> bool:
    """Tell whether a CSV file has columns of true and false, which are the numbers 1 and 0."""
    from converter.regression.tables import load

    return any(str(one.type) == "bool" for one in load(path).columns.values())


def _kind(origin: Origin) -> str:
    """Return what the rows' file is: ``csv``, ``parquet``, ``feather``, or ``any``."""
    if origin.path is None:
        return "any"
    path = Path(origin.path)
    if path.is_dir():
        return "parquet"
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ValueError(
            f"script: {printable(origin.path)} cannot be read any more: {error.strerror}"
        ) from None
    if head.startswith(b"\xff\xff\xff\xff"):
        raise ValueError(
            f"script: {printable(origin.path)} is a stream of Arrow, which pandas does not read: "
            "save it as Parquet and convert that"
        )
    return {b"PAR1": "parquet", b"ARRO": "feather"}.get(head[:4], "csv")


def _dialect(origin: Origin) -> Any:
    from converter.regression.dialect import CsvDialect

    assert origin.path is not None
    path = Path(origin.path)
    dialect = CsvDialect.of(path)
    if dialect.may_have_comma:
        from pyarrow import csv

        plain, comma = (
            csv.read_csv(path, **one.options()).schema for one in (dialect, dialect.with_comma())
        )
        return dialect.with_comma() if dialect.better(plain, comma) else dialect
    return dialect


def _read(origin: Origin) -> list[str]:
    kind = _kind(origin)
    if kind == "parquet":
        return ["table = pd.read_parquet(path)"]
    if kind == "feather":
        return ["table = pd.read_feather(path)"]
    separator = "," if origin.path is None else _dialect(origin).delimiter
    options = f"sep={separator!r}, dtype=str, keep_default_na=False, na_values=MISSING"
    text = f"pd.read_csv(path, {options})"
    if kind == "csv":
        return [f"table = {text}"]
    return [
        'if str(path).endswith(".parquet"):',
        "    table = pd.read_parquet(path)",
        "else:",
        f"    table = {text}",
    ]


def missing_source(origin: Origin) -> str:
    """Return the source of the words for missing values, where they are needed."""
    if _kind(origin) not in ("csv", "any"):
        return ""
    return f"MISSING = {list(_MISSING)!r}\n"


def _regressors(made: Conversion) -> list[str]:
    design = made._design
    constant = [made._terms[0]] if len(made._terms) > len(design.names) else []
    first = [f"X.insert(0, {name!r}, 1.0)" for name in constant]
    if design.coding is None:
        return [
            f"X = pd.DataFrame({{name: number(table[name]) for name in {design.names!r}}})",
            *first,
        ]
    tests = _tests(made)
    lines = ["X = pd.DataFrame({"]
    for name, at, is_number in zip(
        design.names, design.coding.kept.tolist(), design.coding.number, strict=True
    ):
        value = tests[at] if is_number else f"({tests[at]}).astype(float)"
        lines.append(f"    {name!r}: {value},")
    return [*lines, "})", *first]


def _tests(made: Conversion) -> dict[int, str]:
    """Return for each column of coefficients the expression of its values."""
    numbers, lookups = parts_of(made.folded, "script")
    found = {at: f"number(table[{name!r}])" for name, at in numbers}
    for one in lookups:
        column = _column(one)
        for value, at in one.equal:
            found[at] = f"{column} == {value!r}"
        low = ""
        for bound, included, at in one.below:
            high = "" if np.isinf(bound) else f"({column} {'<=' if included else '<'} {bound!r})"
            found[at] = " & ".join(filter(None, [low, high])) or f"{column}.notna()"
            low = f"({column} {'>' if included else '>='} {bound!r})"
        if one.other is not None:
            values = [value for value, _ in one.equal]
            found[one.other] = f"{column}.notna() & ~{column}.isin({values!r})"
    return found


def _column(one: Lookup) -> str:
    return f"table[{one.column!r}]" if one.text else f"number(table[{one.column!r}])"


def _response(made: Conversion, origin: Origin) -> list[str]:
    labels = made._design.labels
    column = f"table[{origin.target!r}]"
    if not labels:
        return [f"y = number({column})"]
    if all(isinstance(one, str) for one in labels):
        codes = {one: float(place) for place, one in enumerate(labels)}
        return [f"y = {column}.map({codes!r})"]
    numbers = {float(one): float(place) for place, one in enumerate(labels)}
    return [f"y = number({column}).map({numbers!r})"]


def _known_response(made: Conversion, origin: Origin) -> list[str]:
    """Return the test that a response in classes has no others; missing ones are another matter."""
    if not made._design.labels:
        return []
    column = f"table[{origin.target!r}]"
    return [f"stop_unless(y.notna() | {column}.isna(), {column})"]


def _known_levels(made: Conversion) -> list[str]:
    """Return the tests that each row has a level of each category.

    Without one all of its indicators are zero, as those of the base are.
    """
    if made._design.coding is None:
        return []
    lines = []
    for one in parts_of(made.folded, "script")[1]:
        column, raw = _column(one), f"table[{one.column!r}]"
        known = f"{column}.isin({[value for value, _ in one.equal]!r})"
        if one.below or (one.text and one.other is not None):
            known = f"{column}.notna()"
        elif one.other is not None:
            known = f"({column} % 1 == 0)"
            if one.limits is not None:
                known += f" & {column}.between{one.limits!r}"
        lines.append(f"stop_unless({known}, {raw})")
    return lines


def _present(made: Conversion, origin: Origin) -> list[str]:
    """Return the tests of what a row must have beside response and weights."""
    categories = {one.column for one in parts_of(made.folded, "script")[1]}
    numbers = [name for name in made._design.columns if name not in categories]
    checks = [f"np.isfinite(X[{numbers!r}]).all(axis=1)"] if numbers else []
    named: list[str] = sorted(categories)
    for given in origin.cov_columns.values():
        named += [given] if isinstance(given, str) else list(given)
    return checks + [f"table[{name!r}].notna()" for name in named]


def _groups(origin: Origin) -> list[str]:
    lines = []
    for key, given in origin.cov_columns.items():
        names = [given] if isinstance(given, str) else list(given)
        ways = [f"pd.factorize(table[{name!r}])[0]" for name in names]
        value = ways[0] if len(ways) == 1 else f"np.column_stack([{', '.join(ways)}])"
        lines.append(f"more[{key!r}] = {value}")
    return lines
