"""Row filters: the WHERE clause of SQL, on Arrow tables.

The text is parsed by sqlglot and nothing of it is ever executed as SQL: what is not a comparison of
a column with a constant, or a combination of such, is refused.
"""

from __future__ import annotations

import operator
import re
import string
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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
    if re.search(r"['\"]\s*\{", template):
        raise ValueError(f"where={template!r}: fields are quoted where they must be; write none")
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
    return _read(text, schema, source)[0]


def names_in(text: str, schema: pa.Schema, source: str) -> list[str]:
    """Return the columns that a condition compares; see `condition`."""
    return _read(text, schema, source)[1]


@lru_cache(maxsize=8)  # for tables that come piece by piece
def _read(text: str, schema: pa.Schema, source: str) -> tuple[ds.Expression, list[str]]:
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    if len(text) > _LONGEST:
        raise DataError(f"where is longer than {_LONGEST:,} characters")
    try:
        tree = parse_one(text, into=exp.Condition)
        reader = _Reader(text, schema, source)
        return reader.expression(tree), reader.names
    except (SqlglotError, RecursionError) as error:
        places = getattr(error, "errors", None) or [{}]
        near = str(places[0].get("highlight") or "")
        raise DataError(
            f"where={printable(text)!r} cannot be read as a condition"
            + (f", from {printable(near)!r} on" if near else "")
            + ": it compares columns with constants, as in store = 3 AND year >= 2020"
        ) from None


class _Reader:
    """Turns a parsed condition into a filter, or refuses it."""

    def __init__(self, text: str, schema: pa.Schema, source: str) -> None:
        from sqlglot import exp

        self.text, self.schema, self.source = text, schema, source
        self.names: list[str] = []
        self.exp: Any = exp
        self.compared: dict[Any, Any] = {
            exp.EQ: operator.eq,
            exp.NEQ: operator.ne,
            exp.LT: operator.lt,
            exp.LTE: operator.le,
            exp.GT: operator.gt,
            exp.GTE: operator.ge,
        }
        self.contrary: dict[Any, Any] = {
            exp.EQ: exp.NEQ,
            exp.NEQ: exp.EQ,
            exp.LT: exp.GTE,
            exp.LTE: exp.GT,
            exp.GT: exp.LTE,
            exp.GTE: exp.LT,
        }
        self.turned: dict[Any, Any] = {
            exp.LT: exp.GT,
            exp.LTE: exp.GTE,
            exp.GT: exp.LT,
            exp.GTE: exp.LTE,
        }

    def expression(self, node: Any, negated: bool = False) -> ds.Expression:
        """Return the filter that a part of the condition is, or its contrary.

        NOT is taken to the comparisons: of NaN, as of what is missing, neither a comparison nor
        its contrary holds, while Arrow's contrary of a comparison with NaN would.
        """
        exp = self.exp
        if isinstance(node, exp.Paren):
            return self.expression(node.this, negated)
        if isinstance(node, (exp.And, exp.Or)):
            left = self.expression(node.left, negated)
            right = self.expression(node.right, negated)
            return left & right if isinstance(node, exp.And) != negated else left | right
        if isinstance(node, exp.Not):
            return self.expression(node.this, not negated)
        if type(node) in self.compared:
            return self.comparison(node, negated)
        if isinstance(node, exp.In) and node.expressions:
            name, kind = self.column(node.this)
            values = [self.constant(one, kind).as_py() for one in node.expressions]
            among = ds.field(name).isin(pa.array(values, type=_plain(kind)))
            # Of what is missing nothing is known, as in SQL.
            unknown = pa.scalar(None, pa.bool_())
            there = ds.field(name).is_valid()
            if pa.types.is_floating(kind):
                there = there & ~pc.is_nan(ds.field(name))
            return pc.if_else(there, ~among if negated else among, unknown)
        if isinstance(node, exp.Between) and not node.args.get("symmetric"):
            name, kind = self.column(node.this)
            low, high = (self.constant(node.args[key], kind) for key in ("low", "high"))
            if negated:
                return (ds.field(name) < low) | (ds.field(name) > high)
            return (ds.field(name) >= low) & (ds.field(name) <= high)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            empty = ds.field(self.column(node.this)[0]).is_null(nan_is_null=True)
            return ~empty if negated else empty
        if isinstance(node, exp.Column):
            name, kind = self.column(node)
            if pa.types.is_boolean(kind):
                return ~ds.field(name) if negated else ds.field(name)
        raise self.refusal(node)

    def comparison(self, node: Any, negated: bool = False) -> ds.Expression:
        """Return the filter of a column and a constant, whichever stands first."""
        left, right, kind = node.left, node.right, type(node)
        if not isinstance(left, self.exp.Column):
            left, right, kind = right, left, self.turned.get(kind, kind)
        name, type_ = self.column(left)
        column, constant = ds.field(name), self.constant(right, type_)
        kind = self.contrary[kind] if negated else kind
        if kind is self.exp.NEQ and pa.types.is_floating(type_):  # which NaN is not
            return (column < constant) | (column > constant)
        return self.compared[kind](column, constant)

    def column(self, node: Any) -> tuple[str, pa.DataType]:
        if not isinstance(node, self.exp.Column) or node.table:
            raise self.refusal(node)
        if node.name not in self.schema.names:
            raise DataError(
                f"{self.source}: where names the column {printable(node.name)!r}; the table has "
                f"{listed([one for one in self.schema.names if one[:1] != chr(0)])}"
            )
        self.names.append(node.name)
        return node.name, self.schema.field(node.name).type

    def constant(self, node: Any, kind: pa.DataType) -> pa.Scalar:
        value = _value(node, self.exp)
        if value is _NO_CONSTANT:
            raise self.refusal(node)
        try:
            given = pa.scalar(value)
            found = given.cast(_plain(kind))
            exact = _means(value, _plain(kind)) and (
                isinstance(value, str) or found.cast(given.type) == given
            )
            if exact:
                return found
            raise ValueError
        except (pa.ArrowException, ValueError, OverflowError):
            raise DataError(
                f"where={printable(self.text)!r}: {printable(node.sql())} is no {_plain(kind)}, "
                "which the column holds"
            ) from None

    def refusal(self, node: Any) -> DataError:
        return DataError(
            f"where={printable(self.text)!r}: {printable(node.sql())!r} is not a comparison of a "
            "column with a constant (=, <>, <, <=, >, >=, IN, BETWEEN, IS NULL; AND, OR, NOT)"
        )


def _means(value: Any, kind: pa.DataType) -> bool:
    """Tell whether a constant of its kind can stand for a value of a type."""
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if pa.types.is_temporal(kind):
        return isinstance(value, str)
    return not isinstance(value, bool)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values, where it numbers them."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


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
