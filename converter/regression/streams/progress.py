"""How far a pass over rows is: a bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from converter.regression.streams.sources import Source, Watch, quiet


@contextmanager
def watching(source: Any, where: str | None, shown: bool) -> Iterator[Watch]:
    """Show on stderr how many rows were read, of how many, and how fast.

    Parameters
    ----------
    source : Source
        Of anything else nothing is shown.
    where : str or None
        Which of its rows are read.
    shown : bool
        False, or where stderr is no terminal, nothing is shown.
    """
    if not shown or not isinstance(source, Source) or not sys.stderr.isatty():
        yield quiet
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("pass {task.fields[number]}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f} rows"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Watch(bar, source, where)


class _Watch:
    def __init__(self, bar: Any, source: Source, where: str | None) -> None:
        self.bar, self.number = bar, 0
        self.rows, self.size = source.count(where), source.size
        self.task = bar.add_task("", total=self.rows, number=0, rate="")

    def __call__(self, rows: int | None) -> None:
        if rows is None:
            self.number += 1
            self.bar.reset(self.task, total=self.rows, number=self.number, rate="")
            return
        self.bar.update(self.task, advance=rows, rate=self._rate())

    def _rate(self) -> str:
        speed = self.bar.tasks[0].finished_speed or self.bar.tasks[0].speed or 0.0
        if not self.rows or not self.size:
            return f"{speed:,.0f} rows/s"
        return f"{speed * self.size / self.rows / 1e6:,.0f} MB/s"
