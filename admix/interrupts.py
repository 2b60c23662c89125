# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that wait until the work in hand is in a state that can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Pending:
    """Which signal has come in, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None


@contextmanager
def deferred() -> Iterator[Pending]:
    """Hold back SIGINT and SIGTERM inside the block; deliver them, by the handlers of before, at its end.

    The block looks at ``pending.signal`` at points where it can stop, and leaves. A second SIGINT is
    delivered at once. In other threads than the main one nothing is held back.
    """
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return

    def note(number: int, frame: FrameType | None) -> None:
        if pending.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        pending.signal = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending.signal is not None:
        signal.raise_signal(pending.signal)
