"""Row filters: the WHERE clause of SQL, on Arrow tables.

The text is parsed by sqlglot and nothing of it is ever executed as SQL: what is not a comparison of
a column with a constant, or a combination of such, is refused.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from converter.errors import DataError, printable
from converter.regression.tables import listed

_LONGEST = 10_000


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Put a job's fields into a template, ``store = {id}``, as SQL constants.

    Raises
    ------
    ValueError
        If the template names a field that there is not.
    """
    parts = []
    for text, name, spec, conversion in string.Formatter().parse(template):
        parts.append(text)
        if name is None:
            continue
        if name not in fields or spec or conversion:
            known = listed(sorted(fields))
            raise ValueError(f"where={template!r} names {{{name}}}; there are {known}")
        parts.append(_constant(fields[name]))
    return "".join(parts)


def _constant(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return repr(value)
    quoted = str(value).replace("'", "''")
    return f"'{quoted}'"


def condition(text: str, schema: pa.Schema, source: str) -> ds.Expression:
    """Return a filter of a table with some columns.

    Parameters
    ----------
    text : str
        Comparisons (``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=``, IN, BETWEEN, IS NULL) of columns
        with constants, under AND, OR, NOT and parentheses.
    schema : pyarrow.Schema
    source : str
        What the table is called, for messages.

    Raises
    ------
    DataError
        If the text is anything else, or a column is missing.
    """
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    if len(text) > _LONGEST:
        raise DataError(f"where is longer than {_LONGEST:,} characters")
    try:
        tree = parse_one(text, into=exp.Condition)
    except (SqlglotError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else "not understood"
        raise DataError(f"where={printable(text)!r}: {printable(reason)}") from None

    def refuse(node: Any) -> DataError:
        return DataError(
            f"where={printable(text)!r}: {printable(node.sql())!r} is not a comparison of a column "
            "with a constant (=, <>, <, <=, >, >=, IN, BETWEEN, IS NULL; AND, OR, NOT)"
        )

    def column(node: Any) -> tuple[str, pa.DataType]:
        if not isinstance(node, exp.Column) or node.table:
            raise refuse(node)
        if node.name not in schema.names:
            raise DataError(
                f"{source}: where names the column {printable(node.name)!r}; the table has "
                f"{listed(schema.names)}"
            )
        return node.name, schema.field(node.name).type

    def constant(node: Any, kind: pa.DataType) -> pa.Scalar:
        value = _value(node, exp)
        if value is _NO_CONSTANT:
            raise refuse(node)
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        try:
            return pa.scalar(value).cast(kind)
        except (pa.ArrowException, ValueError):
            raise DataError(
                f"where={printable(text)!r}: {printable(node.sql())} is no {kind}, which the "
                "column holds"
            ) from None

    compared: dict[Any, Callable[[ds.Expression, pa.Scalar], ds.Expression]] = {
        exp.EQ: lambda a, b: a == b,
        exp.NEQ: lambda a, b: a != b,
        exp.LT: lambda a, b: a < b,
        exp.LTE: lambda a, b: a <= b,
        exp.GT: lambda a, b: a > b,
        exp.GTE: lambda a, b: a >= b,
    }
    turned: dict[Any, Any] = {exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT, exp.GTE: exp.LTE}

    def convert(node: Any) -> ds.Expression:
        if isinstance(node, exp.Paren):
            return convert(node.this)
        if isinstance(node, exp.And):
            return convert(node.left) & convert(node.right)
        if isinstance(node, exp.Or):
            return convert(node.left) | convert(node.right)
        if isinstance(node, exp.Not):
            return ~convert(node.this)
        kind: Any = type(node)
        if kind in compared:
            left, right = node.left, node.right
            if not isinstance(left, exp.Column):
                left, right, kind = right, left, turned.get(kind, kind)
            name, type_ = column(left)
            return compared[kind](ds.field(name), constant(right, type_))
        if isinstance(node, exp.In) and node.expressions:
            name, type_ = column(node.this)
            values = [constant(one, type_).as_py() for one in node.expressions]
            plain = type_.value_type if pa.types.is_dictionary(type_) else type_
            return ds.field(name).isin(pa.array(values, type=plain))
        if isinstance(node, exp.Between):
            name, type_ = column(node.this)
            low, high = (constant(node.args[key], type_) for key in ("low", "high"))
            return (ds.field(name) >= low) & (ds.field(name) <= high)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return ds.field(column(node.this)[0]).is_null()
        if isinstance(node, exp.Column):
            name, type_ = column(node)
            if pa.types.is_boolean(type_):
                return ds.field(name)
        raise refuse(node)

    return convert(tree)


_NO_CONSTANT = object()


def _value(node: Any, exp: Any) -> Any:
    """Return the Python value of a constant."""
    if isinstance(node, exp.Neg):
        inner = _value(node.this, exp)
        return -inner if isinstance(inner, (int, float)) else _NO_CONSTANT
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if not isinstance(node, exp.Literal):
        return _NO_CONSTANT
    if node.is_string:
        return node.this
    try:
        return int(node.this)
    except ValueError:
        return float(node.this)


def matching(table: pa.Table, text: str, source: str) -> pa.Table:
    """Return the rows of a table that meet a condition; see `condition`."""
    return table.filter(condition(text, table.schema, source))
