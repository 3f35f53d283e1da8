"""Files as streams: Parquet, Arrow IPC, CSV; and readers, which are written to one first.

What is read of a file is projected to the columns that are wanted, and of Parquet files row groups
and partitions that cannot hold a wanted row are never opened. Whatever is wrong with a file is
said with its name, and the row group where it has such.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.streams.sources import MOST, Source, Wanted, cut, rows_at_once
from converter.regression.tables import (
    NOT_UTF8,
    STREAM,
    CsvDialect,
    Table,
    check_encoding,
    dataset_of,
    head_of_file,
    load,
    reason,
    refuse_repeats,
)

# Bytes that are read of each column at once.
_BUFFER = 1 << 18
# Compressed text beside what it holds, where the file does not say.
_EXPANDS = 4


def source_of(data: Any) -> Source | None:
    """Return a table as a stream; None if it is in memory already, or no table.

    Parameters
    ----------
    data : object
        A path to a Parquet, Arrow IPC or CSV file or to a folder of Parquet files; a
        `pyarrow.dataset.Dataset`; a `pyarrow.RecordBatchReader` or what hands one out; a Dask
        DataFrame.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    if isinstance(data, (str, os.PathLike)):
        return _of_path(Path(data))
    if hasattr(data, "dask") and hasattr(data, "to_delayed") and hasattr(data, "columns"):
        from converter.regression.streams.partitions import Partitions

        return Partitions(data)
    if type(data).__module__.startswith("pyarrow._dataset") and hasattr(data, "get_fragments"):
        return _Dataset("the dataset", data)
    held = hasattr(data, "num_rows") or hasattr(data, "iloc") or hasattr(data, "height")
    if not held and hasattr(data, "__arrow_c_stream__") and not hasattr(data, "collect_schema"):
        own = isinstance(data, pa.RecordBatchReader)
        return _Spooled(data if own else pa.RecordBatchReader.from_stream(data))
    return None


def _of_path(path: Path) -> Source:
    shown = printable(str(path))
    head = head_of_file(path)
    with _Named(shown):
        if head is None or head[:4] == b"PAR1":
            found = dataset_of(path)
            if len({os.path.realpath(file) for file in found.files}) < len(found.files):
                raise DataError(f"{shown}: holds some file twice, through links; remove them")
            if not found.files:
                raise DataError(f"{shown}: holds no Parquet file")
            return _Dataset(shown, found)
        if head[:6] == b"ARROW1":
            return _Dataset(shown, dataset_of(path, "ipc"))
        if head[:4] == STREAM:
            return _IpcStream(path)
        dialect = CsvDialect.of(path)
        if dialect.may_have_comma:
            schemas = [_csv_schema(path, one) for one in (dialect, dialect.with_comma())]
            if dialect.better(*schemas):
                dialect = dialect.with_comma()
        return _Csv(path, dialect)


def _csv_schema(path: Path, dialect: CsvDialect) -> pa.Schema:
    """Return the types of columns, as the first rows have them."""
    from pyarrow import csv

    with csv.open_csv(path, **dialect.options()) as reader:
        return reader.schema


@dataclass(frozen=True)
class _Dataset(Source):
    """Parquet or Arrow IPC: a file, or the files of a folder.

    Parameters
    ----------
    label : str
    dataset : pyarrow.dataset.Dataset
    """

    label: str
    dataset: Any

    @property
    def stamp(self) -> object:
        return _stamp(getattr(self.dataset, "files", []))

    @property
    def name(self) -> str:
        return self.label

    @property
    def schema(self) -> pa.Schema:
        return self.dataset.schema

    @property
    def size(self) -> int | None:
        files = getattr(self.dataset, "files", [])
        try:
            return sum(os.path.getsize(file) for file in files)
        except OSError:  # on another file system
            return None

    def count(self, where: str | None = None) -> int | None:
        from pyarrow import dataset

        from converter.regression.where import condition

        filtered = None if where is None else condition(where, self.schema, self.name)
        count = 0
        for fragment in self.dataset.get_fragments(filter=filtered):
            with _Named(self._file(fragment)):
                if filtered is None or not isinstance(fragment, dataset.ParquetFileFragment):
                    count += fragment.count_rows()
                else:
                    groups = fragment.subset(filtered, schema=self.schema).row_groups
                    count += sum(one.num_rows for one in groups)
        return count

    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        from converter.regression.where import condition, matching

        refuse_repeats(self.schema.names, self.name)
        needed, where = self.needed(wanted), wanted.where
        filtered = None if where is None else condition(where, self.schema, self.name)
        for fragment in self.dataset.get_fragments(filter=filtered):
            file = self._file(fragment)
            with _Named(file):
                self._check(fragment, file, needed)
                for table in _pieces(fragment, file, self.schema, needed, filtered):
                    if where is not None:
                        table = matching(table, where, self.name)
                    yield table.select(list(wanted.columns))

    def _file(self, fragment: Any) -> str:
        return printable(getattr(fragment, "path", "") or self.name)

    def _check(self, fragment: Any, file: str, needed: Sequence[str]) -> None:
        """Refuse a file whose columns are others than those of the first."""
        from pyarrow import dataset

        constant = dataset.get_partition_keys(fragment.partition_expression)
        own = fragment.physical_schema
        refuse_repeats(own.names, file)
        for name in needed:
            if name in constant:
                continue
            wanted = self.schema.field(name).type
            if name not in own.names:
                raise DataError(
                    f"{file}: has no column {name!r}, which the files before it have; its columns "
                    "must be those of the others"
                )
            found = own.field(name).type
            if len({_kind(found), _kind(wanted), "null"}) > 2:
                raise DataError(
                    f"{file}: the column {name!r} holds {found} here and {wanted} in the files "
                    "before it; write them in one type"
                )


def _stamp(files: Sequence[Any]) -> object:
    """Return sizes and times of files; None if these cannot be had."""
    try:
        found = [os.stat(file) for file in files]
    except OSError:
        return None
    return [(one.st_size, one.st_mtime_ns) for one in found]


def _kind(type_: pa.DataType) -> str:
    """Return what kind of values a type holds, whatever its width."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    return str(type_)


def _pieces(
    fragment: Any, file: str, schema: pa.Schema, needed: Sequence[str], filtered: Any
) -> Iterator[pa.Table]:
    """Yield a file's rows with the columns of its folder.

    Numbers keep the width that they have there, which may be another in the next file.
    """
    from pyarrow import dataset

    if isinstance(fragment, dataset.ParquetFileFragment):
        chosen = fragment
        if filtered is not None and _same_types(fragment.physical_schema, schema):
            chosen = fragment.subset(filtered, schema=schema)
        found: Any = partial(_parquet, groups=[one.id for one in chosen.row_groups])
    elif isinstance(fragment, dataset.FileFragment) and fragment.format == dataset.IpcFileFormat():
        found = _ipc
    else:
        yield from _scanned(fragment, file, schema, needed)
        return
    constant = dataset.get_partition_keys(fragment.partition_expression)
    for table in found(fragment, file, [name for name in needed if name not in constant]):
        for name in needed:
            if name in constant:
                value = pa.scalar(constant[name], schema.field(name).type)
                table = table.append_column(name, pa.repeat(value, len(table)))
        yield table


def _same_types(one: pa.Schema, other: pa.Schema) -> bool:
    """Tell whether the columns that both have are of the same types."""
    return all(one.field(n).type == other.field(n).type for n in one.names if n in other.names)


def _parquet(
    fragment: Any, file: str, columns: Sequence[str], groups: Sequence[int]
) -> Iterator[pa.Table]:
    """Yield rows of some row groups, a part of a group at a time: it may be larger than memory."""
    import pyarrow.parquet as pq

    with fragment.open() as stream:
        reader = pq.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER)
        meta, size = reader.metadata, rows_at_once(len(columns))
        for run in _runs(groups, [meta.row_group(i).num_rows for i in groups]):
            where = f"row group {run[0] + 1}" + f" to {run[-1] + 1}" * (len(run) > 1)
            try:
                for batch in reader.iter_batches(size, row_groups=run, columns=list(columns)):
                    yield pa.Table.from_batches([batch])
            except (pa.ArrowException, OSError) as error:
                raise _damaged(file, f"{where} of {meta.num_row_groups}", error) from None


def _ipc(fragment: Any, file: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield rows of Arrow's file format, record batch by record batch."""
    # Not by a scan of the dataset, whose threads do not always survive being left before its end.
    places = sorted(map(fragment.physical_schema.names.index, columns))
    with fragment.open() as stream:
        reader = pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=places))
        for number in range(reader.num_record_batches):
            try:
                table = pa.Table.from_batches([reader.get_batch(number)])
            except (pa.ArrowException, OSError) as error:
                where = f"record batch {number + 1} of {reader.num_record_batches}"
                raise _damaged(file, where, error) from None
            yield from cut(table.select(list(columns)))


def _scanned(
    fragment: Any, file: str, schema: pa.Schema, needed: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield rows of what pyarrow can scan and is neither."""
    count, size = 0, rows_at_once(len(needed))
    batches = fragment.to_batches(schema=schema, columns=list(needed), batch_size=size)
    try:
        for batch in batches:
            yield pa.Table.from_batches([batch])
            count += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, f"what follows row {count:,}", error) from None
    finally:  # a scan that is left before its end may crash later
        with suppress(pa.ArrowException, OSError):
            for _ in batches:
                pass


def _damaged(file: str, where: str, error: Exception) -> DataError:
    return DataError(
        f"{file}: {where} cannot be read: {reason(error)}; the file is damaged or cut short"
    )


def _runs(groups: Sequence[int], rows: Sequence[int]) -> Iterator[list[int]]:
    """Yield row groups, small ones together."""
    run: list[int] = []
    count = 0
    for group, size in zip(groups, rows, strict=True):
        run.append(group)
        count += size
        if count >= MOST:
            yield run
            run, count = [], 0
    if run:
        yield run


class _Named:
    """Gives an error the name of the file that it came from."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UnicodeDecodeError):
            raise DataError(f"{self.file}: {NOT_UTF8}") from None
        if isinstance(error, (pa.ArrowException, OSError)):
            # The library names the file again, and more than once.
            named = re.findall(r"'([^']*)'", reason(error))
            files = [one for one in named if os.sep in one]
            why = re.split(r"'[^']*': ", reason(error))[-1]
            raise DataError(
                f"{printable(files[-1]) if files else self.file}: cannot be read as a table: "
                f"{why.rstrip('.')}; the file is damaged, cut short or of another kind (a folder "
                "holds Parquet files only)"
            ) from None


@dataclass(frozen=True)
class _Csv(Source):
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
        return _stamp([self.path])

    @property
    def name(self) -> str:
        return printable(str(self.path))

    @cached_property
    def schema(self) -> pa.Schema:
        # As the first rows have them; of numbers any may follow.
        with _Named(self.name):
            found = _csv_schema(self.path, self.dialect)
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
        with self.path.open("rb") as file:
            start = file.read(2)
        unpack: Any = gzip.open if start == b"\x1f\x8b" else open
        try:
            with unpack(self.path, "rb") as file:
                lines = file.read(1 << 16).splitlines(keepends=True)
        except (OSError, EOFError):
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


@dataclass(frozen=True)
class _IpcStream(Source):
    """Arrow's streaming format: record batches without a footer.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def name(self) -> str:
        return printable(str(self.path))

    @property
    def stamp(self) -> object:
        return _stamp([self.path])

    @property
    def size(self) -> int | None:
        return self.path.stat().st_size

    @cached_property
    def schema(self) -> pa.Schema:
        with _Named(self.name), pa.ipc.open_stream(self.path.open("rb")) as reader:
            return reader.schema

    def count(self, where: str | None = None) -> int | None:
        count = 0
        with _Named(self.name), pa.ipc.open_stream(pa.memory_map(str(self.path))) as reader:
            for batch in reader:
                count += len(batch)
        return count

    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        from converter.regression.where import matching

        refuse_repeats(self.schema.names, self.name)
        count = 0
        try:
            with self.path.open("rb") as file, pa.ipc.open_stream(file) as reader:
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    count += len(table)
                    if wanted.where is not None:
                        table = matching(table, wanted.where, self.name)
                    yield from cut(table.select(list(wanted.columns)))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.name, f"what follows row {count:,}", error) from None


class _Spooled(Source):
    """What can be read only once: written to a temporary file, and read from there.

    Parameters
    ----------
    reader : pyarrow.RecordBatchReader
    """

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self._folder: Any = None

    @property
    def name(self) -> str:
        return "the reader"

    @property
    def schema(self) -> pa.Schema:
        return self._reader.schema

    @cached_property
    def _written(self) -> Source:
        self._folder = tempfile.TemporaryDirectory(prefix="converter-")
        path, number = Path(self._folder.name, "rows.arrow"), 0
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        try:
            with pa.ipc.new_file(path, self.schema, options=options) as file:
                for number, batch in enumerate(self._reader, 1):
                    if not batch.schema.equals(self.schema):
                        raise DataError(
                            f"{self.name}: batch {number} has other columns, or types, than it "
                            "says that all have"
                        )
                    file.write_batch(batch)
        except DataError:
            raise
        except Exception as error:  # it may be anything that whoever wrote the reader raises
            raise DataError(
                f"{self.name}: cannot be read beyond batch {number}: {reason(error)}"
            ) from None
        return _Dataset(self.name, dataset_of(path, "ipc"))

    def count(self, where: str | None = None) -> int | None:
        return self._written.count(where)

    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        return self._written.tables(wanted)
