"""A run: jobs to workers, outcomes to the ledger."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.batches.ledger import Ledger
from converter.batches.plan import Job, plan
from converter.batches.pool import Pool, Task, workers_of
from converter.batches.progress import Progress
from converter.batches.work import (
    FAILED,
    REGRESSION,
    REJECTED,
    UNCHANGED,
    Outcome,
    digests,
    failed,
    question,
)

if TYPE_CHECKING:
    from converter.reports.contents import Report

# Seconds of work that go to a worker at a time, jobs at most, and how many such wait for it.
_CHUNK, _MOST, _AHEAD = 0.25, 64, 3
# Seconds after which it is looked whether the workers are still there; and how often the pool may
# break (a worker killed while it starts) before its jobs are given up.
_LOOK, _BREAKS = 10.0, 50


@dataclass(frozen=True)
class Batch:
    """What became of a run.

    Parameters
    ----------
    ledger : Path
        Where everything is recorded; see docs/ledger.md.
    regressions, rejected, failed : int
        Models of this run, by what they are.
    unchanged : int
        Of these, models that were known already.
    """

    ledger: Path
    regressions: int
    rejected: int
    failed: int
    unchanged: int

    def __str__(self) -> str:
        noun = "regression" if self.regressions == 1 else "regressions"
        known = f" ({self.unchanged} known already)" if self.unchanged else ""
        return (
            f"{self.regressions} {noun}, {self.rejected} rejected, {self.failed} failed"
            f"{known}: {self.ledger}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain Python values, ready for JSON."""
        return {
            "ledger": str(self.ledger),
            "regressions": self.regressions,
            "rejected": self.rejected,
            "failed": self.failed,
            "unchanged": self.unchanged,
        }

    def report(self, folder: str | os.PathLike[str], *, quiet: bool = True) -> Report:
        """Write an index of the ledger's models, and a page for each; see `converter.report`."""
        from converter.reports.ledger import report_ledger

        return report_ledger(self.ledger, folder, quiet=quiet)

    def _frame(self, name: str) -> Any:
        ledger = Ledger(self.ledger)
        try:
            return ledger.frame(name)
        finally:
            ledger.close()

    def models(self) -> Any:
        """Return one row a model, as a DataFrame."""
        return self._frame("models")

    def tidy(self) -> Any:
        """Return one row a term of each model, as a DataFrame."""
        return self._frame("tidy")

    def glance(self) -> Any:
        """Return one row a regression, as a DataFrame."""
        return self._frame("glance")

    def caveats(self) -> Any:
        """Return one row a caveat, as a DataFrame."""
        return self._frame("caveats")

    def failures(self) -> Any:
        """Return one row a model that failed, as a DataFrame."""
        return self._frame("failures")


def batch(
    models: Any,
    data: Any = None,
    target: Any = None,
    *,
    ledger: str | os.PathLike[str] = "ledger.sqlite",
    where: str | None = None,
    workers: int | None = None,
    timeout: float = 600.0,
    retry: bool = False,
    dask: Any = None,
    export: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    **options: Any,
) -> Batch:
    """Fold or convert many models, and record everything in a ledger.

    Run again with the same ledger it goes on where it was: models whose file, table and options are
    the same (by content) are not done again.

    Parameters
    ----------
    models : path-like or iterable of path-like
        Model files, patterns (``shops/*.keras``), folders, fsspec URLs, or manifests: CSV, JSON
        lines or Parquet with a column ``model`` and, where wanted, ``id``, ``data``, ``target``,
        ``where`` and the options. Their other columns are labels.
    data : path-like, optional
        A table for all of them; without one, models are folded only.
    target : str or list of str, optional
        Column of the response.
    ledger : path-like
        SQLite file.
    where : str, optional
        Which rows each model takes, as in SQL: ``"store = {id}"``, with the manifest's columns,
        ``{id}``, ``{stem}`` (the model file's name without its suffix) and ``{model}`` in braces.
    workers : int, optional
        Processes; by default one for each processor. 0 does the work in this process, where
        nothing stops a model that takes too long.
    timeout : float
        Seconds after which a model is given up.
    retry : bool
        Do again what failed.
    dask : str or distributed.Client, optional
        Address of a Dask scheduler, or a client, whose workers do the work.
    export : path-like, optional
        Folder for the ledger's tables as Parquet and CSV.
    quiet : bool
        False shows how far the run is, on stderr.
    **options
        Of `convert`, for every model: features, family, cov_type, groups, maxlags, weights,
        output, missing, scaler, target_scaler, base, signature, training_data, restricted,
        memory, passes.

    Returns
    -------
    Batch

    Raises
    ------
    ValueError
        If there is nothing to do, or an argument is not acceptable.
    DataError
        If a manifest cannot be read, or the ledger is none.
    """
    if timeout <= 0 or (workers is not None and workers < 0):
        raise ValueError("timeout must be above 0, and workers not below it")
    jobs = plan(models, data=data, target=target, where=where, options=options)
    book = Ledger(ledger)
    try:
        book.begin(len(jobs), {"options": options, "data": data, "target": target, "where": where})
        known = book.known(retry)
        asked = {job.key: question(job) for job in jobs}
        tasks = [
            (job, known[job.key][1:] if known.get(job.key, ("",))[0] == asked[job.key] else None)
            for job in jobs
        ]
        counts: dict[str, int] = {}
        tables = any(job.data is not None for job in jobs)
        with (
            workers_of(dask, workers, timeout, tables) as pool,
            Progress(len(jobs), not quiet) as progress,
        ):
            for job, made in _outcomes(pool, tasks):
                if made.status != UNCHANGED:
                    book.write(job, asked[job.key], made)
                progress.add(made.status)
            counts = dict(progress.counts)
        book.end(asked)
        status = book.statuses(asked)
        if export is not None:
            book.export(export)
    finally:
        book.close()
    return Batch(
        Path(ledger),
        status[REGRESSION],
        status[REJECTED],
        status[FAILED],
        counts.get(UNCHANGED, 0),
    )


def _outcomes(pool: Pool, tasks: Task) -> Iterator[tuple[Job, Outcome]]:
    """Yield the outcome of each job, as they come.

    Jobs go to the workers several at a time. Where a worker is lost on the way, by itself or
    because it took too long, its jobs are tried again one by one, so that only the culprit fails.
    """
    waiting, alone = deque(tasks), deque[Any]()
    running: dict[Future[list[Outcome]], Task] = {}
    breaks = 0
    each = _CHUNK  # seconds that a job takes, for all that is known
    while waiting or alone or running:
        while (waiting or alone) and len(running) < pool.workers * _AHEAD:
            if alone:
                task: Task = [alone.popleft()]
            else:
                size = max(1, min(_MOST, int(_CHUNK / each)))
                task = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            running[pool.submit(task)] = task
        done: set[Future[list[Outcome]]] = set()
        while not done:
            done, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
            pool.check()
        for future in done:
            task = running.pop(future)
            try:
                made = future.result()
            except Exception as error:
                if len(task) > 1:
                    alone.extend(task)
                    continue
                if pool.broken(error) and breaks < _BREAKS:
                    breaks += 1
                    alone.extend(task)
                    continue
                kind, sentence = pool.lost(error)
                made = [failed(task[0][0], kind, sentence)]
                made[0].model |= digests(task[0][0])
            seconds = [one.model.get("seconds", 0.0) for one in made]
            each = 0.8 * each + 0.2 * max(sum(seconds) / len(made), 1e-4)
            yield from zip((job for job, _ in task), made, strict=True)
