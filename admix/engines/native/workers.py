# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads for kernels. A kernel fills the rows of its span and releases the GIL; spans never overlap, so
results cannot depend on how many threads there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

S = TypeVar("S")
T = TypeVar("T")
_SMALL = 256
"""Rows below which handing them out costs more than it saves."""
_MUCH = 8192
LIGHT = 16384
"""The same for kernels that spend well under a microsecond on a row."""


def available_threads() -> int:
    """How many processors this process may use (its affinity, which batch systems set)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


class Workers:
    """A pool that runs ``kernel(span)`` over [0, n), cut into spans (int64[2])."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or available_threads()
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def run(self, n: int, kernel: Callable[[np.ndarray], T], grain: int = _SMALL) -> list[T]:
        """Return what ``kernel`` returned for each span, in order; fewer rows than ``grain`` are one span."""
        if self._pool is None or n < grain:
            return [kernel(np.array([0, n], np.int64))]
        # where there is much to do, more spans than threads, so that a thread that was held up does not hold up
        # the tick; where there is little, handing out is what costs
        spans = self.threads * (4 if n > _MUCH else 1)
        edges = np.linspace(0, n, spans + 1).astype(np.int64)
        return self.each([edges[i : i + 2].copy() for i in range(len(edges) - 1)], kernel)

    def each(self, spans: Iterable[S], kernel: Callable[[S], T]) -> list[T]:
        """Return what ``kernel`` returned for each of ``spans``, in order."""
        if self._pool is None:
            return [kernel(span) for span in spans]
        return list(self._pool.map(kernel, spans))

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown()
