# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a long run: one bar on a terminal, plain lines in a log file.

A run is a list of stages, each with the seconds it is expected to take. The share done is the share of
those expected seconds; the time left starts from them and is corrected by how the work really goes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress", "duration"]

FIRST_LINE_SECONDS = 5.0
LINE_SECONDS = 15.0
LINE_STEP = 0.05
LINE_GAP_SECONDS = 1.0
BAR_SECONDS = 0.25
BAR_WIDTH = 24
SAMPLES_KEPT = 256


def duration(seconds: float) -> str:
    """Length of time in words, as exact as is useful.

    Parameters
    ----------
    seconds
        Length in seconds; negative counts as 0.

    Returns
    -------
    str
        For example ``less than 1 s``, ``45 s``, ``3 min 10 s``, ``2 h 05 min``.
    """
    if seconds < 1:
        return "less than 1 s"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = int(seconds / 60 + 0.5)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class _Stage:
    """One planned stage: its expected seconds and how it has gone so far."""

    __slots__ = ("began", "estimate", "finished", "fraction", "fractions", "name", "seconds", "times")

    def __init__(self, name: str, estimate: float) -> None:
        self.name = name
        self.estimate = max(float(estimate), 0.0)
        self.began: float | None = None
        self.finished = False
        self.fraction = 0.0
        self.seconds = 0.0
        # history of the stage: share done, and seconds since it began
        self.fractions = [0.0]
        self.times = [0.0]

    def record(self, fraction: float, now: float) -> None:
        """Note that ``fraction`` of the stage was done at clock time ``now``."""
        assert self.began is not None
        if fraction <= self.fraction:
            return
        self.fraction = min(fraction, 1.0)
        self.fractions.append(self.fraction)
        self.times.append(now - self.began)
        if len(self.times) > SAMPLES_KEPT:
            del self.fractions[1:-1:2]
            del self.times[1:-1:2]

    def left(self, now: float, scale: float) -> tuple[float, float]:
        """Seconds left of a stage under way, and the trust (0 to 1) put in its own pace.

        The pace is that of the latter half of what is done, so that a slow beginning (compilation, say)
        is forgotten.
        """
        assert self.began is not None
        elapsed = now - self.began
        prior = self.estimate * scale
        # a stage that is overdue and silent is expected to take longer the longer it has been silent
        expected = max(prior - elapsed, elapsed - 0.8 * prior)
        if self.fraction <= 0:
            return expected, 0.0
        k = bisect_right(self.fractions, self.fraction / 2) - 1
        done, seconds = self.fraction - self.fractions[k], self.times[-1] - self.times[k]
        # time since the last report counts as work done but not yet told, within reason
        untold = min(elapsed - self.times[-1], seconds)
        own = max((1 - self.fraction) * seconds / done - untold, 0.0)
        trust = self.fraction / (self.fraction + 0.02)
        return trust * own + (1 - trust) * expected, trust


class Progress:
    """Tell a person how far a run is and how long it will still take.

    On a terminal it keeps one bar. Elsewhere it writes a line such as
    ``12%  archaic lineage, tick 2,150 of 17,964, 3 min 10 s left``: the first after 5 seconds, then whenever
    another 5 % is done or 15 seconds have gone by, also while a stage is silent. The percentage never goes
    back. It never fails a run: if the stream cannot be written to, it falls silent.

    Parameters
    ----------
    stream
        Where to write; the standard error stream of the moment if not given.
    quiet
        Write nothing at all.
    clock
        Source of the time in seconds.
    heartbeat
        Also report from a thread of its own while no stage calls :meth:`update`.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        quiet: bool = False,
        *,
        clock: Callable[[], float] = time.monotonic,
        heartbeat: bool = True,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._clock = clock
        self._heartbeat = heartbeat
        self._stages: list[_Stage] = []
        self._current: _Stage | None = None
        self._note = ""
        self._share = 0.0
        self._began: float | None = None
        self._last_time: float | None = None
        self._last_share = 0.0
        self._closed = False
        # re-entrant: a signal handler in the main thread may close the bar while update() holds the lock
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def share(self) -> float:
        """Share of the whole plan that is done, 0 to 1; never goes back."""
        with self._lock:
            weights = [stage.estimate for stage in self._stages]
            if sum(weights) <= 0:
                weights = [1.0] * len(weights)
            total = sum(weights)
            if total > 0:
                done = sum(
                    weight * (1.0 if stage.finished else stage.fraction)
                    for weight, stage in zip(weights, self._stages, strict=True)
                )
                self._share = max(self._share, min(done / total, 1.0))
            return self._share

    @property
    def seconds_left(self) -> float:
        """Seconds still expected, from the plan and from how the work has gone so far."""
        with self._lock:
            now = self._clock()
            ran = [stage for stage in self._stages if stage.finished and stage.began is not None]
            told = sum(stage.estimate for stage in ran)
            took = sum(stage.seconds for stage in ran)
            # a fiftieth of the whole plan is needed before the plan is doubted: a first stage of half a
            # second that took two says nothing about the hours that follow
            inertia = 0.02 * sum(stage.estimate for stage in self._stages)
            scale = (inertia + took) / (inertia + told) if inertia + told > 0 else 1.0
            left = 0.0
            if self._current is not None and self._current.began is not None:
                stage = self._current
                left, trust = stage.left(now, scale)
                told += trust * stage.estimate
                took += trust * (now - (stage.began or now) + left)
                scale = (inertia + took) / (inertia + told) if inertia + told > 0 else 1.0
            waiting = sum(stage.estimate for stage in self._stages if not stage.finished and stage is not self._current)
            return left + scale * waiting

    def plan(self, stages: Sequence[tuple[str, float]]) -> None:
        """Set the stages of the run, in order.

        Parameters
        ----------
        stages
            Name and expected seconds of each. Called again, it replaces the stages that have not begun.
        """
        with self._lock:
            begun = [stage for stage in self._stages if stage.finished or stage.began is not None]
            fresh = list(stages)
            for stage in begun:
                match = next((entry for entry in fresh if entry[0] == stage.name), None)
                if match is not None:
                    fresh.remove(match)
            self._stages = begun + [_Stage(name, seconds) for name, seconds in fresh]
            self._begin()

    def start(self, name: str) -> None:
        """Begin stage ``name``; the stage under way, if any, counts as done."""
        with self._lock:
            if self._current is not None:
                self.done(self._current.name)
            stage = self._find(name)
            stage.began = self._clock()
            self._current = stage
            self._note = ""
            self._begin()
            self._report()

    def update(self, name: str, fraction: float, note: str = "") -> None:
        """Report that ``fraction`` (0 to 1) of stage ``name`` is done.

        Parameters
        ----------
        name
            The stage; it is begun if it is not under way yet.
        fraction
            Share of the stage's time, not of its ticks, where the two differ. Going back is ignored.
        note
            Where the work is, for example ``tick 2,150 of 17,964``.
        """
        with self._lock:
            if self._current is None or self._current.name != name:
                self.start(name)
            assert self._current is not None
            self._current.record(fraction, self._clock())
            self._note = note
            self._report()

    def done(self, name: str) -> None:
        """Finish stage ``name``; one that was never begun (found in the cache, say) counts as skipped."""
        with self._lock:
            current = self._current is not None and self._current.name == name
            stage = self._current if current and self._current is not None else self._find(name)
            if stage.began is not None:
                stage.seconds = self._clock() - stage.began
            stage.finished = True
            if current:
                self._current = None
                self._note = ""
            self._report()

    def say(self, text: str) -> None:
        """Write a line of its own, above the bar if there is one (nothing when quiet)."""
        with self._lock:
            if self._quiet:
                return
            if self._bar is not None:
                self._guard(lambda: self._bar.console.print(text, markup=False, highlight=False))  # type: ignore[union-attr]
            else:
                self._write(text)

    def close(self) -> None:
        """Stop reporting and leave the terminal as it was; may be called twice."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=2.0)
        with self._lock:
            self._thread = None
            if self._closed:
                return
            self._closed = True
            if self._bar is not None:
                self._guard(self._bar.stop)
                self._bar = None
            elif self._last_time is not None and self._began is not None and self._all_done():
                self._write(f"100%  done in {duration(self._clock() - self._began)}")

    def _find(self, name: str) -> _Stage:
        """Return the first stage of that name that has not been begun, or a new one that was not planned."""
        for stage in self._stages:
            if stage.name == name and not stage.finished and stage.began is None:
                return stage
        stage = _Stage(name, 0.0)
        self._stages.append(stage)
        return stage

    def _all_done(self) -> bool:
        return bool(self._stages) and all(stage.finished for stage in self._stages)

    def _begin(self) -> None:
        if self._began is not None:
            return
        self._began = self._clock()
        if self._quiet:
            return
        if self._stream.isatty() and os.environ.get("TERM", "") not in ("dumb", ""):
            self._open_bar()
        if self._heartbeat:
            self._thread = threading.Thread(target=self._beat, name="progress", daemon=True)
            self._thread.start()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        console = Console(file=self._stream)
        self._bar = RichProgress(
            TextColumn("{task.fields[percent]}", markup=False),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[text]}", markup=False),
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=1.0, percent="", text="")
        self._guard(self._bar.start)

    def _beat(self) -> None:
        while not self._stop.wait(self._pause()):
            with self._lock:
                if not self._stop.is_set():
                    self._report()

    def _pause(self) -> float:
        """Seconds until the next line or redraw is due."""
        with self._lock:
            if self._bar is not None or self._began is None:
                return BAR_SECONDS
            if self._last_time is None:
                due = self._began + FIRST_LINE_SECONDS
            else:
                due = self._last_time + LINE_SECONDS
            return max(due - self._clock(), 0.01)

    def _report(self) -> None:
        if self._quiet or self._closed or self._began is None:
            return
        now, share = self._clock(), self.share
        if self._bar is not None:
            if self._last_time is None or now - self._last_time >= BAR_SECONDS:
                self._last_time = now
                self._guard(self._redraw)
            return
        if self._last_time is None:
            due = now - self._began >= FIRST_LINE_SECONDS
        else:
            waited = now - self._last_time
            step = share - self._last_share >= LINE_STEP and waited >= LINE_GAP_SECONDS
            due = step or waited >= LINE_SECONDS
        if due and not self._all_done():
            self._last_time, self._last_share = now, share
            self._write(f"{self._percent()}  {', '.join([*self._where(), self._left()])}")

    def _redraw(self) -> None:
        assert self._bar is not None and self._task is not None
        # The time left comes first, since a narrow terminal cuts the end.
        text = ", ".join([self._left(), *self._where()])
        room = max(self._bar.console.width - BAR_WIDTH - len("100%  "), 1)
        if len(text) > room:
            text = text[: room - 1] + "…"
        self._bar.update(self._task, completed=self._share, percent=self._percent(), text=text)
        self._bar.refresh()

    def _percent(self) -> str:
        # 100 % is for the end only
        return f"{min(int(self.share * 100 + 1e-9), 100 if self._all_done() else 99):2d}%"

    def _where(self) -> list[str]:
        stage = self._current.name if self._current is not None else ""
        return [part for part in (stage, self._note) if part]

    def _left(self) -> str:
        return f"{duration(self.seconds_left)} left"

    def _write(self, line: str) -> None:
        def write() -> None:
            self._stream.write(line + "\n")
            self._stream.flush()

        self._guard(write)

    def _guard(self, action: Callable[[], object]) -> None:
        """Do ``action``; a stream that is closed or full silences the progress, not the run."""
        if self._quiet:
            return
        try:
            action()
        except (OSError, ValueError):
            self._quiet = True
