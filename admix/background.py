# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in threads that nobody waits for when the program is interrupted.

A pool of `concurrent.futures` is waited for at its end and at the end of the program, and a thread that is inside a
long call of a library (minutes, in msprime) cannot be stopped. Here an interrupt leaves the threads behind: they end
with their call or with the program, and find the gate closed if they want to write anything.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["Gate", "each"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class _Closed(Exception):
    """The gate is closed: nobody wants the result any more."""


class Gate:
    """What a thread must be inside of to have any effect on the world."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside, if it is not closed; what is inside then is waited for."""
        with self._condition:
            if self._closed:
                raise _Closed
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait until everybody is out."""
        with self._condition:
            self._closed = True
            self._condition.wait_for(lambda: self._inside == 0)


def each(jobs: Iterable[Job], work: Callable[[Job, Gate], Result], threads: int) -> Iterator[tuple[Job, Result]]:
    """Give each job and its result, in the order in which they are done.

    Parameters
    ----------
    jobs
        What is to be done; begun in this order.
    work
        Given a job and the gate. It must write files inside the gate only, and not for long.
    threads
        How many jobs are under way at a time.

    Raises
    ------
    BaseException
        What `work` raises for one of them. Then, and when the caller leaves, no further job is begun, and nothing is
        written any more.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Job, Result | BaseException, bool]] = queue.SimpleQueue()
    count = 0
    for job in jobs:
        waiting.put(job)
        count += 1
    gate, stopped = Gate(), threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((job, work(job, gate), True))
            except BaseException as error:
                done.put((job, error, False))

    for _ in range(min(threads, count)):
        threading.Thread(target=serve, daemon=True).start()
    try:
        for _ in range(count):
            job, result, well = done.get()
            if not well:
                assert isinstance(result, BaseException)
                raise result
            yield job, result  # type: ignore[misc]
    finally:
        stopped.set()
        gate.close()
