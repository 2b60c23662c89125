# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that wait until the work in hand is in a state that can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAVE = getattr(signal, "SIGUSR1", None)
"""Asks for a checkpoint, after which the work goes on; batch systems send it before the time is up."""


class Pending:
    """Which signal has come in, if any, and whether one has asked for a checkpoint."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.save = False
        self._shares: list[Pending] = []

    def share(self) -> Pending:
        """Return one of its own for a thread: what comes in is noted there too, and seeing to it there counts there."""
        one = Pending()
        one.signal = self.signal
        self._shares.append(one)
        return one

    def note(self, number: int) -> None:
        """A signal that ends the work has come in."""
        for one in (self, *self._shares):
            one.signal = number

    def ask(self) -> None:
        """A checkpoint is wanted."""
        for one in (self, *self._shares):
            one.save = True


@contextmanager
def deferred() -> Iterator[Pending]:
    """Hold back SIGINT and SIGTERM inside the block; deliver them, by the handlers of before, at its end.

    The block looks at ``pending.signal`` at points where it can stop, and leaves. A second SIGINT is
    delivered at once. SIGUSR1 sets ``pending.save`` and does nothing else. In other threads than the main one nothing
    is held back.
    """
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return

    def note(number: int, frame: FrameType | None) -> None:
        if pending.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        pending.note(number)

    def ask(number: int, frame: FrameType | None) -> None:
        pending.ask()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    if SAVE is not None:
        before[SAVE] = signal.signal(SAVE, ask)
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending.signal is not None:
        signal.raise_signal(pending.signal)
