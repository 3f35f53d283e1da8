"""Tables as streams: what hands out some rows at a time, and how they are worked on."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from threadpoolctl import threadpool_limits

from converter.errors import DataError, printable
from converter.regression.tables import Table, reason, table_of

# Numbers that one piece of a table holds at most, and its rows at least.
_CELLS, _LEAST = 1 << 21, 1 << 10
#: Rows of one piece, at most.
MOST = 1 << 15
# Pieces that are worked on at a time.
_THREADS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2, 8)

#: Told after each piece how many rows were read, and that a new pass begins by None.
Watch = Callable[[int | None], None]


def quiet(rows: int | None) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class Wanted:
    """What is read of a table.

    Parameters
    ----------
    columns : tuple of str
    where : str or None
        Which rows; see `converter.regression.where`.
    text : frozenset of str
        Columns of words, whatever they look like: of files that do not say what they hold.
    numbers : frozenset of str
        Columns of numbers, likewise.
    """

    columns: tuple[str, ...]
    where: str | None = None
    text: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()


class Task(Protocol):
    """What is done with rows: makes a state of them, which can be merged with that of others."""

    def __call__(self, tables: Iterator[pa.Table]) -> Any: ...


class Source(ABC):
    """A table whose rows can be read again and again."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema: ...

    @abstractmethod
    def count(self, where: str | None = None) -> int | None:
        """Return how many rows there are to read, by the table's own metadata.

        About, where these say no more; None if they say nothing.
        """

    @property
    def typed(self) -> bool:
        """Whether the table itself says what its columns hold."""
        return True

    @property
    def stamp(self) -> object:
        """What is another when the rows are; None where that cannot be told."""
        return None

    @property
    def size(self) -> int | None:
        """Bytes of its files; None if it has none."""
        return None

    @abstractmethod
    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        """Yield rows, some at a time."""

    def needed(self, wanted: Wanted) -> list[str]:
        """Return the columns to read: those that are wanted, and those of the condition."""
        from converter.regression.where import names_in

        if wanted.where is None:
            return list(wanted.columns)
        compared = names_in(wanted.where, self.schema, self.name)
        return list(dict.fromkeys([*wanted.columns, *compared]))

    def reduced(self, task: Task, wanted: Wanted, watch: Watch) -> Any:
        """Return what a task makes of all rows.

        Several pieces are worked on at a time, each by a thread of its own, and their states are
        merged in the order of the rows. Linear algebra is held to one thread meanwhile: threads
        of its own would wait for each other at every block, for long where others use the
        processors too.
        """
        watch(None)
        state, at_work = task(iter(())), deque[Future[Any]]()
        with threadpool_limits(1), ThreadPoolExecutor(_THREADS) as pool:
            for table in ahead(self.tables(wanted)):
                at_work.append(pool.submit(task, iter((table,))))
                watch(table.num_rows)
                if len(at_work) > _THREADS:
                    state = state.merge(at_work.popleft().result())
            for one in at_work:
                state = state.merge(one.result())
        return state

    def all(self, where: str | None = None, columns: Sequence[str] | None = None) -> Wanted:
        """Return what is wanted of all columns, or some."""
        return Wanted(tuple(self.schema.names if columns is None else columns), where)

    def table(self, wanted: Wanted) -> Table:
        """Return rows as a table in memory."""
        found = list(self.tables(wanted))
        if not sum(map(len, found)):
            raise self.empty(wanted.where)
        try:
            return table_of(pa.concat_tables(found, promote_options="permissive"), self.name)
        except pa.ArrowException as error:
            raise DataError(
                f"{self.name}: its files hold columns in types that do not go together: "
                f"{reason(error)}; write them in one type"
            ) from None

    def whole(self, where: str | None) -> Table:
        """Return all columns as a table in memory."""
        return self.table(self.all(where))

    def empty(self, where: str | None) -> DataError:
        """Return what is said where there are no rows."""
        why = "no rows are left" if where is None else f"no row has {printable(where)}"
        return DataError(f"{self.name}: {why}")


def ahead(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield pieces, of which the next is read while one is worked on."""
    with ThreadPoolExecutor(1) as reading:
        coming = reading.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = reading.submit(next, pieces, None)
            yield piece


def rows_at_once(columns: int) -> int:
    """Return how many rows of a table are handed out at a time."""
    return max(min(_CELLS // max(columns, 1), MOST), _LEAST)


def cut(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of a table, so many at a time as are handed out."""
    size = rows_at_once(table.num_columns)
    for start in range(0, len(table), size):
        yield table.slice(start, size)
