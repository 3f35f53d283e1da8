"""Those who do the work: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from converter.batches import work
from converter.batches.plan import Job
from converter.batches.work import Outcome

# Threads of the linear algebra in each worker: the workers are as many as the processors.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")

#: Jobs, and of each the digests of model and table that the ledger knows.
Task = Sequence[tuple[Job, tuple[str, str] | None]]


@dataclass(frozen=True)
class Pool:
    """Workers.

    Parameters
    ----------
    submit : callable
        Gives them a task.
    workers : int
        How many there are.
    lost : callable
        From the exception of a task that did not come back to the kind of failure and a sentence.
    broken : callable
        Tells an exception that says nothing about the task: the pool itself was lost.
    check : callable
        Raises if no worker will ever answer.
    """

    submit: Callable[[Task], Future[list[Outcome]]]
    workers: int
    lost: Callable[[BaseException], tuple[str, str]]
    broken: Callable[[BaseException], bool] = lambda error: False
    check: Callable[[], None] = lambda: None


def workers_of(
    dask: Any, workers: int | None, timeout: float, regressions: bool
) -> AbstractContextManager[Pool]:
    """Return a pool of processes, or of a cluster's workers; see `converter.batch`.

    Parameters
    ----------
    dask, workers, timeout
        As there.
    regressions : bool
        Whether there are tables.
    """
    if workers == 0:
        return _here()
    if dask is None:
        return _processes(workers or _processors(), timeout, regressions)
    from converter.batches.cluster import cluster

    return cluster(dask, timeout)


def slow(timeout: float) -> tuple[str, str]:
    """Return the failure of a job that took too long."""
    return "timeout", f"took longer than {timeout:g} s and was stopped"


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@contextmanager
def _here() -> Iterator[Pool]:
    """Yield this process itself, which nothing guards from what a model does to it."""

    def submit(task: Task) -> Future[list[Outcome]]:
        done: Future[list[Outcome]] = Future()
        done.set_result(work.do(task))
        return done

    yield Pool(submit, 1, lambda error: ("internal", str(error)))


@contextmanager
def _processes(workers: int, timeout: float, regressions: bool) -> Iterator[Pool]:
    """Yield a pool of processes of this machine."""
    from pebble import ProcessExpired, ProcessPool

    def lost(error: BaseException) -> tuple[str, str]:
        if isinstance(error, TimeoutError):
            return slow(timeout)
        if isinstance(error, ProcessExpired):
            return "died", f"the worker process died (exit code {error.exitcode})"
        return "internal", f"{type(error).__name__}: {error}"

    def started() -> Any:
        return ProcessPool(
            max_workers=workers,
            initializer=ready,
            initargs=(regressions,),
            context=context,
        )

    with spawning() as context:
        pool = started()

        def submit(task: Task) -> Future[list[Outcome]]:
            nonlocal pool
            try:
                return pool.schedule(work.do, args=(task,), timeout=timeout)
            except RuntimeError:  # it broke: a worker was killed while it started
                pool.stop()
                pool.join()
                pool = started()
                return pool.schedule(work.do, args=(task,), timeout=timeout)

        try:
            yield Pool(submit, workers, lost, lambda error: isinstance(error, BrokenExecutor))
            pool.close()
        except BaseException:
            pool.stop()
            raise
        finally:
            pool.join()


@contextmanager
def spawning() -> Iterator[Any]:
    """Yield the context of processes that are started anew, each with one thread of its own."""
    with _environment(dict.fromkeys(_ONE_THREAD, "1")), _without_main():
        yield multiprocessing.get_context("spawn")


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep workers from running the user's script again, which they have no use for."""
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    hidden = {name: vars(main).pop(name) for name in names if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


def ready(regressions: bool) -> None:
    """Make a worker ready: what it imports is not counted as time of its first model.

    Parameters
    ----------
    regressions : bool
        Whether there are tables.
    """
    # Ctrl-C is for the process that writes the ledger.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What the numbers warn of is among the caveats.
    warnings.simplefilter("ignore")
    names = ["converter.inspection"]
    if regressions:
        names += ["converter.regression.convert", "converter.regression.pinned", "pyarrow.dataset"]
    for name in names:
        importlib.import_module(name)


def _end_with_parent() -> None:
    """End when the process that started this one is gone, whatever a model does here."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: value for name, value in settings.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
