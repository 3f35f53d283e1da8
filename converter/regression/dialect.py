"""How a CSV file is written, and what is read of it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.tables import NOT_UTF8


def unpacked_head(path: Path) -> bytes:
    """Return how a file begins, unpacked if its name says that it is compressed."""
    with pa.input_stream(str(path), compression="detect") as file:
        return file.read(1 << 16)


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is written.

    Parameters
    ----------
    delimiter : str
    point : str
        Of decimal fractions.
    plain : bool
        False if it is compressed.
    """

    delimiter: str
    point: str = "."
    plain: bool = True

    @classmethod
    def of(cls, path: Path) -> CsvDialect:
        """Return the dialect of a file by its first lines."""
        with pa.input_stream(str(path), compression=None) as file:
            raw = file.read(1 << 16)
        head = unpacked_head(path)
        if b"\0" in head:
            raise DataError(f"{printable(str(path))}: is not a CSV, Parquet or Arrow file")
        first = head.split(b"\n", 1)[0]
        # A header holds names; whichever separator stands there most often is the separator.
        delimiter = max((b",", b";", b"\t"), key=first.count).decode()
        return cls(delimiter, plain=head == raw)

    def options(
        self, columns: Mapping[str, pa.DataType] | None = None, only: bool = False
    ) -> dict[str, Any]:
        """Return what pyarrow wants to be told, perhaps with the types of some columns.

        Parameters
        ----------
        columns : mapping of str to DataType, optional
        only : bool
            Read these alone.
        """
        from pyarrow import csv

        return {
            "parse_options": csv.ParseOptions(delimiter=self.delimiter),
            "convert_options": csv.ConvertOptions(
                strings_can_be_null=True,
                decimal_point=self.point,
                column_types=dict(columns or {}),
                include_columns=list(columns or {}) if only else None,
            ),
        }

    def with_comma(self) -> CsvDialect:
        """Return the dialect with a decimal comma."""
        return replace(self, point=",")

    def better(self, schema: pa.Schema, comma: pa.Schema) -> bool:
        """Tell whether fewer columns are text if a comma is read as the decimal point."""
        return sum(map(_is_text, comma.types)) < sum(map(_is_text, schema.types))

    @property
    def may_have_comma(self) -> bool:
        """Whether the comma may be the decimal point, as where the semicolon separates columns."""
        return self.delimiter == ";"


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind))


def check_encoding(schema: pa.Schema, source: str) -> None:
    """Refuse columns of a CSV file that are in another encoding.

    Raises
    ------
    DataError
    """
    for name, kind in zip(schema.names, schema.types, strict=True):
        if kind == "binary":
            raise DataError(f"{source}: column {printable(name)!r} {NOT_UTF8}")


def read_csv(path: Path) -> tuple[pa.Table, Callable[[str], pa.ChunkedArray]]:
    """Return the table, and what reads one of its columns as text."""
    from pyarrow import csv

    dialect = CsvDialect.of(path)
    table = csv.read_csv(path, **dialect.options())
    check_encoding(table.schema, printable(str(path)))
    if dialect.may_have_comma and any(map(_is_text, table.schema.types)):
        comma = csv.read_csv(path, **dialect.with_comma().options())
        if dialect.better(table.schema, comma.schema):
            table, dialect = comma, dialect.with_comma()

    def words(name: str) -> pa.ChunkedArray:
        return csv.read_csv(path, **dialect.options({name: pa.string()}, only=True)).column(0)

    return table, words
