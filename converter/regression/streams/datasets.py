"""Parquet and Arrow files, alone or in folders, as streams.

What is read of a file is projected to the columns that are wanted, and of Parquet files row groups
and partitions that cannot hold a wanted row are never opened. Whatever is wrong with a file is
said with its name, and the row group where it has such.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.streams.damage import Named, damaged, stamp_of
from converter.regression.streams.sources import MOST, Source, Wanted, cut, rows_at_once
from converter.regression.tables import refuse_repeats

# Bytes that are read of each column at once.
_BUFFER = 1 << 18


def dataset_of(path: Path, kind: str = "parquet") -> Any:
    """Return the files of a folder, perhaps partitioned, or one file, as a pyarrow Dataset."""
    from pyarrow import dataset

    found = dataset.dataset(path, format=kind, partitioning="hive")
    text = _numbers_in_names(found) if kind == "parquet" and path.is_dir() else []
    if not text:
        return found
    # Whole numbers are recognised, and no others.
    fields = [
        pa.field(one.name, pa.float64()) if one.name in text else one
        for one in found.partitioning.schema
    ]
    partitioning = dataset.partitioning(pa.schema(fields), flavor="hive")
    return dataset.dataset(path, format=kind, partitioning=partitioning)


def _numbers_in_names(found: Any) -> list[str]:
    """Return the columns of a folder's partitions that are numbers and were taken for text."""
    from pyarrow import dataset

    schema = getattr(found.partitioning, "schema", None) or pa.schema([])
    text = {one.name for one in schema if one.type == pa.string()}
    if not text:
        return []
    keys = [dataset.get_partition_keys(one.partition_expression) for one in found.get_fragments()]
    return [name for name in sorted(text) if all(_is_fraction(one.get(name)) for one in keys)]


def _is_fraction(text: Any) -> bool:
    """Tell whether a text is a number that a double holds as it is written."""
    try:
        return text is None or float(text) == Decimal(text)
    except (ValueError, ArithmeticError):
        return False


@dataclass(frozen=True)
class Dataset(Source):
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
        return stamp_of(getattr(self.dataset, "files", []))

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
            with Named(self._file(fragment)):
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
            with Named(file):
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
                raise damaged(file, f"{where} of {meta.num_row_groups}", error) from None


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
                raise damaged(file, where, error) from None
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
        raise damaged(file, f"what follows row {count:,}", error) from None
    finally:  # a scan that is left before its end may crash later
        with suppress(pa.ArrowException, OSError):
            for _ in batches:
                pass


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
