# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes of the local executor, each of which may die without the others noticing.

The standard library's pool breaks as a whole when one process is killed and leaves its processes behind when the
main one is; here a dead process costs its own piece of work, and a process ends when its parent does.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

__all__ = ["Crew", "Job"]

Job = tuple[str, int, int]
"""What to do ("history" or "point"), its number in the plan, and how many threads to use."""
_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PATIENCE_SECONDS = 60.0


class Crew:
    """Processes that call ``make(*args)`` once for a function, and then that function for every job.

    The function returns a line that says what went wrong, empty if nothing did. Processes are spawned (a fork after
    threads have run hangs) when they are first needed.
    """

    def __init__(self, size: int, make: Callable[..., Callable[[Job], str]], *args: Any) -> None:
        self._size, self._make, self._args = size, make, args
        self._context = mp.get_context("spawn")
        self._idle: list[tuple[Any, Connection]] = []
        self._busy: dict[Connection, tuple[Any, Job]] = {}

    @property
    def free(self) -> int:
        """How many jobs could be given now."""
        return self._size - len(self._busy)

    @property
    def jobs(self) -> list[Job]:
        """Jobs under way."""
        return [job for _, job in self._busy.values()]

    def give(self, job: Job) -> None:
        """Start a job; there must be a free process."""
        assert self.free > 0
        while True:
            process, connection = self._idle.pop() if self._idle else self._hire()
            try:
                connection.send(job)
                break
            except OSError:  # it was killed while it had nothing to do
                process.join()
        self._busy[connection] = (process, job)

    def finished(self) -> list[tuple[Job, str]]:
        """Wait for jobs to end; return them with what went wrong, empty if nothing did."""
        done = []
        for connection in wait(list(self._busy)):
            assert isinstance(connection, Connection)
            process, job = self._busy.pop(connection)
            try:
                done.append((job, str(connection.recv())))
                self._idle.append((process, connection))
            except (EOFError, OSError):
                process.join()
                connection.close()
                code = process.exitcode
                how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
                hint = " (too little memory?)" if code == -signal.SIGKILL else ""
                done.append((job, f"its process {how}{hint}"))
        return done

    def close(self) -> None:
        """End all processes; a history under way saves its state first."""
        for process, connection in self._idle:
            connection.close()
            process.join(_PATIENCE_SECONDS)
        for process, _ in self._busy.values():
            process.terminate()
        for connection, (process, _) in self._busy.items():
            process.join(_PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()
        self._idle, self._busy = [], {}

    def _hire(self) -> tuple[Any, Connection]:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self._make, self._args), daemon=True)
        with _one_thread_libraries():
            process.start()
        there.close()
        return process, here


@contextmanager
def _one_thread_libraries() -> Iterator[None]:
    """Keep numerical libraries of processes started inside from making threads beside ours."""
    before = {name: os.environ.get(name) for name in _LIBRARIES}
    os.environ.update(dict.fromkeys(_LIBRARIES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(connection: Connection, make: Callable[..., Callable[[Job], str]], args: tuple[Any, ...]) -> None:
    # Ctrl-C reaches the whole group; it is for the parent to say who stops, by SIGTERM
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    do = make(*args)
    with suppress(EOFError, OSError):
        while True:
            connection.send(do(connection.recv()))
