"""A Dask DataFrame as a stream: each partition is summed up where it is, and the sums are merged.

The merging is a tree of neighbours, so that what depends on the order of rows keeps it. What a lost
worker had summed up, Dask computes again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.streams.reading import OtherLabels
from converter.regression.streams.sources import Source, Task, Wanted, Watch, cut
from converter.regression.tables import reason, refuse_repeats


class Partitions(Source):
    """A Dask DataFrame.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
    """

    def __init__(self, frame: Any) -> None:
        refuse_repeats([str(name) for name in frame.columns], self.name)
        self.frame = frame.rename(columns={name: str(name) for name in frame.columns})

    @property
    def name(self) -> str:
        return "the Dask DataFrame"

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.Schema.from_pandas(self.frame._meta_nonempty, preserve_index=False)

    def count(self, where: str | None = None) -> int | None:
        return None

    def tables(self, wanted: Wanted) -> Iterator[pa.Table]:
        needed = self.needed(wanted)
        for part in self.frame[needed].partitions:
            with self._failing():
                computed = part.compute()
            yield from _tables(computed, wanted, self.name)

    def reduced(self, task: Task, wanted: Wanted, watch: Watch) -> Any:
        from dask.delayed import delayed

        watch(None)
        needed = self.needed(wanted)
        state, merged = delayed(_state), delayed(_merged)
        states = [state(part, task, wanted, self.name) for part in self.frame[needed].to_delayed()]
        while len(states) > 1:
            pairs = [states[place : place + 2] for place in range(0, len(states), 2)]
            states = [merged(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        with self._failing():
            return states[0].compute()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Say that a partition failed, whatever the graph or the cluster raises."""
        try:
            yield
        except (DataError, ValueError, OtherLabels):
            raise
        except Exception as error:
            raise DataError(
                f"{self.name}: a partition cannot be computed: {type(error).__name__}: "
                f"{reason(error)}"
            ) from None


def _tables(frame: Any, wanted: Wanted, name: str) -> Iterator[pa.Table]:
    """Yield the rows of a partition that meet the condition."""
    from converter.regression.where import matching

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"{name}: {printable(reason(error))}") from None
    if wanted.where is not None:
        table = matching(table, wanted.where, name)
    yield from cut(table.select(list(wanted.columns)))


def _state(frame: Any, task: Task, wanted: Wanted, name: str) -> Any:
    return task(_tables(frame, wanted, name))


def _merged(first: Any, second: Any) -> Any:
    # What Dask holds must not change: it may be merged again if a worker is lost.
    return copy.deepcopy(first).merge(second)
