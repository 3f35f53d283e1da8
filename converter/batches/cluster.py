"""The same work on a Dask cluster: its workers compute, this process writes the ledger."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from converter.batches import work
from converter.batches.pool import Pool, Task, slow
from converter.batches.work import Outcome

_TOPIC = "converter-timeout"
# Seconds that the news of a timeout has to arrive before the worker ends itself.
_NEWS = 1.0
# Seconds that a cluster may be without workers.
_ALONE = 120.0


@contextmanager
def cluster(dask: Any, timeout: float) -> Iterator[Pool]:
    """Yield the workers of a cluster as a pool.

    Parameters
    ----------
    dask : str or distributed.Client
        Address of the scheduler, or a client.
    timeout : float
        Seconds. A thread cannot be stopped: a worker with a job that takes longer says so and ends
        itself, and its nanny starts another.

    Raises
    ------
    ValueError
        If distributed is not installed, or there is no such scheduler.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise ValueError("dask= needs distributed: pip install 'converter[dask]'") from None
    own = not isinstance(dask, Client)
    try:
        client = Client(dask, set_as_default=False) if own else dask  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {dask}: {error}") from None
    futures: dict[Any, Any] = {}
    late: set[str] = set()

    def heard(event: tuple[Any, Any]) -> None:
        key = event[1]["key"]
        late.add(key)
        if key in futures:
            futures[key].cancel(force=True)

    def submit(task: Task) -> Future[list[Outcome]]:
        # Not pure: an equal task that is tried again is another. No retries: we tell who failed.
        remote = client.submit(_timed, task, timeout, pure=False, retries=0)
        local: Future[list[Outcome]] = Future()
        futures[remote.key] = remote

        def finished(one: Any) -> None:
            futures.pop(one.key, None)
            if one.status == "finished":
                local.set_result(one.result())
            elif one.key in late:
                local.set_exception(TimeoutError())
            else:
                error = one.exception() if one.status == "error" else None
                local.set_exception(error or RuntimeError(f"the task was {one.status}"))

        remote.add_done_callback(finished)
        return local

    def lost(error: BaseException) -> tuple[str, str]:
        if isinstance(error, TimeoutError):
            return slow(timeout)
        if isinstance(error, KilledWorker):
            return "died", "the Dask workers that had it died"
        return "internal", f"{type(error).__name__}: {error}"

    gone = [0.0]

    def check() -> None:
        if client.status not in ("running", "connecting"):
            raise ValueError("the Dask scheduler is gone; the same command goes on where it was")
        now = time.monotonic()
        if client.scheduler_info(n_workers=-1)["workers"]:
            gone[0] = now
        elif gone[0] and now - gone[0] > _ALONE:
            raise ValueError("no Dask worker is left; the same command goes on where it was")
        gone[0] = gone[0] or now

    client.subscribe_topic(_TOPIC, heard)
    try:
        workers = sum(
            one["nthreads"] for one in client.scheduler_info(n_workers=-1)["workers"].values()
        )
        yield Pool(submit, max(workers, 1), lost, check=check)
    finally:
        client.unsubscribe_topic(_TOPIC)
        if own:
            client.close()


def _timed(task: Task, timeout: float) -> list[Outcome]:
    """Do a task on a worker; end the worker if it takes too long."""
    from distributed import get_worker

    worker, done = get_worker(), threading.Event()
    key = worker.get_current_task()

    def watch() -> None:
        if not done.wait(timeout):
            worker.log_event(_TOPIC, {"key": key})
            time.sleep(_NEWS)
            if not done.is_set():
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        return work.do(task)
    finally:
        done.set()
