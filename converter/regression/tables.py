"""Tables in: CSV, Parquet, Arrow, pandas, polars, numpy become named float64 columns."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from converter.errors import DataError, printable

_SHOWN = 12
#: How Arrow's streaming format begins: the mark of a message.
STREAM = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Table:
    """Named columns of one length.

    Parameters
    ----------
    columns : dict of str to Arrow array or ndarray
    rows : int
    source : str
        The file, or what kind of object it was, for messages.
    named : bool
        Whether the names are the user's (False for a bare numpy array).
    index : object
        The index of a pandas DataFrame, which a Series must share; else None.
    words : callable, or None
        Of a CSV file, which does not say what is text: reads one column as such.
    """

    columns: dict[str, Any]
    rows: int
    source: str
    named: bool = True
    index: Any = None
    words: Callable[[str], pa.ChunkedArray] | None = None

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as float64, missing values as NaN.

        Raises
        ------
        DataError
            If there is no such column, or it does not hold numbers.
        """
        self.check(name)
        return _numbers(self.columns[name], name, self.source)

    def codes(self, name: str, count: int) -> np.ndarray | None:
        """Return a column of whole numbers below `count` as float64; None if it is none."""
        self.check(name)
        if not plain_number(self.columns[name]):
            return None
        found = self.numbers(name)
        # NaN is no whole number, and is one that is missing.
        whole = (found == np.rint(found)) & (found >= 0) & (found < count) | np.isnan(found)
        return found if whole.all() else None

    def values(self, name: str, text: bool = False) -> np.ndarray:
        """Return a column as it is, as Python values; missing ones as None or NaN.

        Where text is wanted, words of digits in a CSV file are not taken for numbers: 01 is not 1.

        Raises
        ------
        DataError
            If there is no such column.
        """
        self.check(name)
        column = self.columns[name]
        if text and self.words is not None and not pa.types.is_string(column.type):
            column = self.words(name)
        if isinstance(column, (pa.ChunkedArray, pa.Array)):
            found = column.to_pylist()
        else:
            found = column.tolist()
        result = np.empty(len(found), dtype=object)
        result[:] = found
        return result

    def check(self, name: str) -> None:
        """Refuse the name of a column that there is not.

        Raises
        ------
        DataError
        """
        if name not in self.columns:
            raise DataError(
                f"{self.source}: there is no column {name!r}; the table has {listed(self.names)}"
            )

    def numeric(self, name: str) -> bool:
        """Tell whether a column holds numbers."""
        try:
            self.numbers(name)
        except DataError:
            return False
        return True


_DOUBLE = pa.float64()
# Element types of numbers, as numpy, pandas and Arrow name them.
_PLAIN = frozenset(
    {*(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)), "float32", "float64"}
    | {"float", "double"}
)


def plain_number(column: Any) -> bool:
    """Tell whether a column's type is one of numbers (and no truth values, decimals or objects)."""
    kind = column.type if isinstance(column, (pa.ChunkedArray, pa.Array)) else column.dtype
    return str(kind) in _PLAIN


#: What is said of text in another encoding.
NOT_UTF8 = "holds text that is not in UTF-8; save the file in that encoding"


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the long tail left out."""
    shown = ", ".join(printable(name, 60) or "(unnamed)" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "no columns"


def infinite(source: str, counts: Mapping[str, int]) -> DataError:
    """Return what is said of infinite values, which are so many in each column."""
    shown = ", ".join(f"{printable(name, 60)} ({count})" for name, count in counts.items())
    return DataError(
        f"{source}: infinite values in {shown}; correct them, or leave those rows out with "
        "missing='drop' (--missing drop)"
    )


def ungrouped(what: str, count: int, source: str) -> DataError:
    """Return what is said where groups or times are missing."""
    return DataError(
        f"{source}: {what} has {count} missing values; fill them in, or leave those rows out with "
        "missing='drop' (--missing drop)"
    )


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: None, NaN, or pandas' NA, which no comparison decides."""
    return value is None or type(value).__name__ == "NAType" or value != value


def label_of(value: Any) -> str:
    """Return a class or level as a network's file would name it: 1.0 as 1."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def load(data: Any, where: str | None = None) -> Table:
    """Read a table.

    Parameters
    ----------
    data : path-like, DataFrame (pandas, polars), Arrow table, mapping, or array-like
        A path names a CSV, Parquet or Arrow IPC file, told apart by content, or a folder of
        Parquet files, perhaps partitioned (``store=1/..``). Arrays have shape (n, columns) or
        more axes, which are flattened.
    where : str, optional
        Which rows, as in SQL; see `converter.regression.where`. Of Parquet files only row groups
        and partitions that can hold such rows are read.

    Raises
    ------
    DataError
        If it cannot be read as a table.
    """
    if where is not None:
        return _chosen(data, where)
    if isinstance(data, Table):
        return data
    if isinstance(data, (str, os.PathLike)):
        return _file(Path(data))
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):
        data = data.collect()  # a lazy polars frame
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return _pandas(data)
    if hasattr(data, "__arrow_c_stream__"):
        return table_of(pa.table(data), type(data).__name__)
    if isinstance(data, Mapping):
        return _mapping(data)
    return _array(data)


def _chosen(data: Any, where: str) -> Table:
    """Read the rows of a table that meet a condition."""
    from converter.regression.where import matching

    if isinstance(data, (str, os.PathLike)) and is_parquet(Path(data)):
        from converter.regression.streams.files import source_of

        source = source_of(data)
        assert source is not None
        return source.table(source.all(where))
    table = load(data)
    columns = {name: _arrow_column(name, one, table.source) for name, one in table.columns.items()}
    rows = pa.table({**columns, _PLACE: pa.array(np.arange(table.rows))})
    found = _some(matching(rows, where, table.source), where, table.source)
    places = found[_PLACE].to_numpy()
    taken = {name: found[name] for name in columns}
    index = None if table.index is None else table.index[places]
    words = table.words
    return replace(
        table,
        columns=taken,
        rows=found.num_rows,
        index=index,
        words=None if words is None else lambda name: words(name).take(pa.array(places)),
    )


def _arrow_column(name: str, column: Any, source: str) -> Any:
    if isinstance(column, (pa.ChunkedArray, pa.Array)):
        # Views, which polars hands out, cannot be filtered.
        return column.cast(pa.large_string()) if str(column.type) == "string_view" else column
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{source}: column {printable(name)!r} holds values of several kinds, which where "
            f"cannot compare: {reason(error)}"
        ) from None


# A column for the places of rows, whose name no user's column has.
_PLACE = "\0place"


def _some(table: pa.Table, where: str, source: str) -> pa.Table:
    if not table.num_rows:
        raise DataError(f"{source}: no row has {printable(where)}")
    return table


def is_parquet(path: Path) -> bool:
    """Tell whether a path is a Parquet file or a folder of such."""
    try:
        if path.is_dir():
            return True
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def reason(error: Exception) -> str:
    """Return the first line of an error."""
    if "Python exception: " in str(error):  # of a reader that is written in Python
        return printable(str(error).strip().splitlines()[-1])
    return printable(str(error).splitlines()[0] if str(error) else type(error).__name__)


def head_of_file(path: Path) -> bytes | None:
    """Return how a file begins; None of a folder.

    Raises
    ------
    DataError
        If there is none, it cannot be read, or it is no table at first sight.
    """
    shown = printable(str(path))
    try:
        if path.is_dir():
            return None
        if not path.is_file():
            hint = "; of URLs, batch reads tables" if re.match(r"[a-z]\w+:/", str(path)) else ""
            raise DataError(f"{shown}: there is no such file{hint}")
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise DataError(f"{shown}: cannot be read: {error.strerror}") from None
    if not head.strip():
        raise DataError(f"{shown}: the file is empty")
    if head[:4] in (b"PK\3\4", b"\xd0\xcf\x11\xe0"):
        raise DataError(
            f"{shown}: is a spreadsheet or an archive; save the table as CSV or Parquet"
        )
    return head


def _file(path: Path) -> Table:
    shown = printable(str(path))
    head = head_of_file(path)
    try:
        if head is None or head[:4] in (b"PAR1", STREAM) or head[:6] == b"ARROW1":
            from converter.regression.streams.files import source_of

            source = source_of(path)
            assert source is not None
            return source.table(source.all())
        from converter.regression.dialect import read_csv

        table, words = read_csv(path)
        return replace(table_of(table, shown), words=words)
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(f"{shown}: {NOT_UTF8}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{shown}: cannot be read as a table: {reason(error)}") from None


def table_of(table: pa.Table, source: str) -> Table:
    """Return an Arrow table as a table.

    Parameters
    ----------
    table : pyarrow.Table
    source : str
        What messages call it.
    """
    refuse_repeats(table.column_names, source)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return Table(columns, table.num_rows, source)


def _pandas(frame: Any) -> Table:
    names = [str(name) for name in frame.columns]
    refuse_repeats(names, "the DataFrame")
    columns = {name: frame.iloc[:, place] for place, name in enumerate(names)}
    return Table(columns, len(frame), "the DataFrame", index=frame.index)


def _mapping(data: Mapping[Any, Any]) -> Table:
    columns = {str(name): np.asarray(values) for name, values in data.items()}
    lengths = {len(values) if values.ndim else 1 for values in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"the columns have different lengths: {sorted(lengths)}")
    return Table(columns, lengths.pop() if lengths else 0, "the mapping")


def _array(data: Any) -> Table:
    array = np.asarray(data)
    if array.dtype.names:
        return _mapping({name: array[name] for name in array.dtype.names})
    if array.ndim == 0:
        raise DataError(f"expected a table, got {type(data).__name__}")
    matrix = array.reshape(len(array), -1) if array.ndim != 1 else array[:, None]
    columns = {f"x{i + 1}": matrix[:, i] for i in range(matrix.shape[1])}
    return Table(columns, len(matrix), "the array", named=False)


def refuse_repeats(names: Sequence[str], source: str) -> None:
    """Refuse columns that have the same name.

    Raises
    ------
    DataError
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{source}: has two columns called {name!r}; rename one")
        seen.add(name)


def _numbers(column: Any, name: str, source: str) -> np.ndarray:
    if isinstance(column, (pa.ChunkedArray, pa.Array)):
        kind = column.type
        if kind == _DOUBLE:
            return np.asarray(column.to_numpy(), dtype=np.float64)
        if pa.types.is_null(kind):
            return np.full(len(column), np.nan)
        if not (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_decimal(kind)
        ):
            raise NotNumeric(name, source, str(kind), column)
        if pa.types.is_boolean(kind):
            column = column.cast(pa.uint8())
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    if hasattr(column, "to_numpy"):
        kind = column.dtype
        if str(kind) == "object" and not any(isinstance(value, str) for value in column):
            return _numbers(np.asarray(column, dtype=object), name, source)
        if getattr(kind, "kind", "O") not in "fiub" or str(kind) == "category":
            raise NotNumeric(name, source, str(kind), column)
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    array = np.asarray(column)
    if array.dtype.kind == "O":
        try:
            return np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError):
            raise NotNumeric(name, source, "object", array) from None
    if array.dtype.kind not in "fiub":
        raise NotNumeric(name, source, str(array.dtype), array)
    return array.astype(np.float64)


class NotNumeric(DataError):
    """A column holds something else than numbers.

    Parameters
    ----------
    name, source, kind : str
    column : sequence
        Its values, or some from `row` on.
    """

    def __init__(self, name: str, source: str, kind: str, column: Any, row: int = 0) -> None:
        self.kind, self.found = kind, False
        example = ""
        for place, value in enumerate(column, row + 1):
            value = value.as_py() if hasattr(value, "as_py") else value
            try:
                float(value)
            except (TypeError, ValueError):
                if value is not None and value == value:
                    example = f", for instance {printable(str(value), 40)!r} in row {place}"
                    self.found = True
                    break
        super().__init__(
            f"{source}: column {name!r} is not numeric: it holds {kind}{example}; recode it as "
            "numbers (two classes as 0 and 1)"
        )
