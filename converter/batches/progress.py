"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Any

# Seconds between two plain lines.
_EVERY = 10.0


class Progress:
    """Shows counts by status, the rate and what is left, on stderr.

    Parameters
    ----------
    total : int
        Jobs of the run.
    shown : bool
        False shows nothing.
    """

    def __init__(self, total: int, shown: bool = True) -> None:
        self.total, self.counts = total, Counter[str]()
        self._shown = shown
        self._bar: Any = None
        self._task: Any = None
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if self._shown and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total, said=self.said, rate="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def done(self) -> int:
        """Jobs that came to an end."""
        return self.counts.total()

    @property
    def said(self) -> str:
        """The counts in words."""
        names = {"regression": "regressions"}
        order = ("regression", "rejected", "failed", "unchanged")
        return ", ".join(
            f"{self.counts[one]} {names.get(one, one)}" for one in order if self.counts[one]
        )

    def add(self, status: str) -> None:
        """Count one job."""
        self.counts[status] += 1
        if not self._shown:
            return
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = f"{self.done / seconds:.0f}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, said=self.said, rate=rate)
        elif time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            left = (self.total - self.done) * seconds / self.done
            line = f"{self.done} of {self.total} ({rate}, {left:.0f} s left): {self.said}"
            try:
                print(line, file=sys.stderr, flush=True)
            except (OSError, ValueError):  # nobody reads it any more
                self._shown = False


def _bar() -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[said]}"),
        console=Console(stderr=True),
    )
