"""What can be streamed: which files and objects, and as what."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.dialect import CsvDialect
from converter.regression.streams.damage import Named, damaged, stamp_of
from converter.regression.streams.datasets import Dataset, dataset_of
from converter.regression.streams.sources import Source, Wanted, cut
from converter.regression.streams.text import Csv, csv_schema
from converter.regression.tables import STREAM, head_of_file, reason, refuse_repeats


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
        return Dataset("the dataset", data)
    held = hasattr(data, "num_rows") or hasattr(data, "iloc") or hasattr(data, "height")
    if not held and hasattr(data, "__arrow_c_stream__") and not hasattr(data, "collect_schema"):
        own = isinstance(data, pa.RecordBatchReader)
        return _Spooled(data if own else pa.RecordBatchReader.from_stream(data))
    return None


def _of_path(path: Path) -> Source:
    shown = printable(str(path))
    head = head_of_file(path)
    with Named(shown):
        if head is None or head[:4] == b"PAR1":
            found = dataset_of(path)
            if len({os.path.realpath(file) for file in found.files}) < len(found.files):
                raise DataError(f"{shown}: holds some file twice, through links; remove them")
            if not found.files:
                raise DataError(f"{shown}: holds no Parquet file")
            return Dataset(shown, found)
        if head[:6] == b"ARROW1":
            return Dataset(shown, dataset_of(path, "ipc"))
        if head[:4] == STREAM:
            return _IpcStream(path)
        dialect = CsvDialect.of(path)
        if dialect.may_have_comma:
            schemas = [csv_schema(path, one) for one in (dialect, dialect.with_comma())]
            if dialect.better(*schemas):
                dialect = dialect.with_comma()
        return Csv(path, dialect)


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
        return stamp_of([self.path])

    @property
    def size(self) -> int | None:
        return self.path.stat().st_size

    @cached_property
    def schema(self) -> pa.Schema:
        with Named(self.name), pa.ipc.open_stream(self.path.open("rb")) as reader:
            return reader.schema

    def count(self, where: str | None = None) -> int | None:
        count = 0
        with Named(self.name), pa.ipc.open_stream(pa.memory_map(str(self.path))) as reader:
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
            raise damaged(self.name, f"what follows row {count:,}", error) from None


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
        return Dataset(self.name, dataset_of(path, "ipc"))

    def count(self, where: str | None = None) -> int | None:
        return self._written.count(where)

    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        return self._written.tables(wanted)
