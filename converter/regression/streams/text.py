"""CSV files, perhaps compressed, as streams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.dialect import CsvDialect, check_encoding, unpacked_head
from converter.regression.streams.damage import Named, stamp_of
from converter.regression.streams.sources import Source, Wanted, cut
from converter.regression.tables import Table, load, reason, refuse_repeats

# Compressed text beside what it holds, where the file does not say.
_EXPANDS = 4


@dataclass(frozen=True)
class Csv(Source):
    """A CSV file, perhaps compressed.

    Parameters
    ----------
    path : Path
    dialect : CsvDialect
    """

    path: Path
    dialect: CsvDialect

    @property
    def typed(self) -> bool:
        return False

    @property
    def stamp(self) -> object:
        return stamp_of([self.path])

    @property
    def name(self) -> str:
        return printable(str(self.path))

    @cached_property
    def schema(self) -> pa.Schema:
        # As the first rows have them; of numbers any may follow.
        with Named(self.name):
            found = csv_schema(self.path, self.dialect)
            check_encoding(found, self.name)
            refuse_repeats(found.names, self.name)
        return found

    @property
    def size(self) -> int | None:
        return self.path.stat().st_size

    def whole(self, where: str | None) -> Table:
        return load(self.path, where)  # which can tell words of digits from numbers

    def count(self, where: str | None = None) -> int | None:
        # The file's size by the length of its first lines.
        try:
            lines = unpacked_head(self.path).splitlines(keepends=True)
        except (pa.ArrowException, OSError):
            return None
        size = self.path.stat().st_size * (1 if self.dialect.plain else _EXPANDS)
        return int(size / max(sum(map(len, lines)) / max(len(lines), 1), 1.0))

    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        from pyarrow import csv

        from converter.regression.where import matching

        where = wanted.where
        types = {name: self._type(name, wanted) for name in self.needed(wanted)}
        count = 0
        try:
            with csv.open_csv(self.path, **self.dialect.options(types, only=True)) as reader:
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    count += len(table)
                    if where is not None:
                        table = matching(table, where, self.name)
                    yield from cut(table.select(list(wanted.columns)))
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error, count) from None

    def _type(self, name: str, wanted: Wanted) -> pa.DataType:
        """Return what a column is read as; the first rows, which tell types, may mislead."""
        found = self.schema.field(name).type
        if name in wanted.text:
            return pa.string()
        whole = pa.types.is_integer(found) or pa.types.is_null(found)
        return pa.float64() if name in wanted.numbers and whole else found

    def _unreadable(self, error: Exception, count: int) -> DataError:
        place = re.search(r"column #(\d+): .*?(invalid value '.*?')", str(error))
        if place is None:
            return DataError(f"{self.name}: cannot be read beyond row {count:,}: {reason(error)}")
        name = self.schema.names[int(place[1])]
        return DataError(
            f"{self.name}: beyond row {count:,} the column {printable(name)!r} holds an "
            f"{printable(place[2])}, while it began with {self.schema.field(name).type}; write it "
            "in one type, or the table as Parquet"
        )


def csv_schema(path: Path, dialect: CsvDialect) -> pa.Schema:
    """Return the types of columns, as the first rows have them."""
    from pyarrow import csv

    with csv.open_csv(path, **dialect.options()) as reader:
        return reader.schema
