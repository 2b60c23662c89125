# SPDX-License-Identifier: GPL-3.0-or-later
"""The local executor: all missing points of a sweep on this machine, histories first, each simulated once.

Processes times threads never exceed the cores it is given. Where there is less work than processes, what runs gets
more threads, which changes no result.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from admix.cache import Cache
from admix.errors import InputError
from admix.sweep import plan as plans
from admix.sweep.crew import Crew, Job
from admix.sweep.estimate import Cost
from admix.sweep.plan import SweepPlan
from admix.sweep.point import Bench, missing_stages, reason
from admix.sweep.store import Store

__all__ = ["Outcome", "run", "worker"]

Report = Callable[[float, float, str], None]
"""``report(done, to do, note)``, in seconds of one core where they are known, else in points."""
ROW_BYTES = 110
"""A generation of a trajectory in a result file."""
_SPARE_BYTES = 2e8


@dataclass(slots=True)
class Outcome:
    """What a call of `run` did: points finished and failed, histories simulated."""

    finished: int = 0
    failed: int = 0
    histories: int = 0


@dataclass(slots=True)
class _Queue:
    """What is left to do; a history is not started while another one simulates a stage that both have."""

    waiting: dict[int, list[str]]
    held: dict[int, list[int]]
    ready: deque[int]
    busy: dict[int, list[str]] = field(default_factory=dict)

    def take(self) -> tuple[str, int] | None:
        """Return the next piece of work that can be begun, or None."""
        taken = {key for keys in self.busy.values() for key in keys}
        for number, stages in self.waiting.items():
            if taken.isdisjoint(stages):
                self.busy[number] = self.waiting.pop(number)
                return "history", number
        return ("point", self.ready.popleft()) if self.ready else None

    def runnable(self) -> int:
        """Return about how many pieces of work could be begun now."""
        return len(self.waiting) + len(self.ready)


def worker(folder: Path, cache_dir: Path) -> Callable[[Job], str]:
    """Return the function that does jobs of the sweep in a directory."""
    bench = Bench(plans.read(folder), folder, cache_dir)

    def do(job: Job) -> str:
        kind, number, threads = job
        try:
            if kind == "history":
                bench.history(number, threads)
            else:
                bench.point(bench.plan.points[number], threads)
        except Exception as error:
            return reason(error)
        return ""

    return do


def run(
    plan: SweepPlan, folder: Path, cache_dir: Path, *, processes: int, cores: int, report: Report,
    say: Callable[[str], None], cost: Cost | None = None,
) -> Outcome:  # fmt: skip
    """Simulate all points that have no result; the plan is in `folder`.

    A point or a history that fails is put down as such, and the others go on. `cost` is for the reports: without it
    histories count for nothing.

    Raises
    ------
    InputError
        If the results will not fit into the directory.
    RunError
        If the directory can't be written.
    KeyboardInterrupt
        On SIGINT or SIGTERM; what is finished is kept, and a history under way is saved in the cache.
    """
    store, cache = Store(folder), Cache(cache_dir, say)
    done = store.finished()
    missing = [i for i, point in enumerate(plan.points) if point.key not in done]
    outcome = Outcome()
    if not missing:
        return outcome
    _check_room(plan, folder, len(missing))
    held: dict[int, list[int]] = {}
    for i in missing:
        held.setdefault(plan.points[i].history, []).append(i)
    waiting = {number: stages for number in held if (stages := missing_stages(plan, number, cache))}
    ready = deque(i for number, points in held.items() if number not in waiting for i in points)
    queue = _Queue(waiting, held, ready)
    crew = Crew(min(processes, len(missing)), worker, folder, cache_dir)

    points = dict.fromkeys(missing, 1.0) if cost is None else {i: cost.points.get(i, 0.0) for i in missing}
    histories = {} if cost is None else {number: cost.histories.get(number, 0.0) for number in waiting}
    total, spent = sum(points.values()) + sum(histories.values()), 0.0

    def end(kind: str, number: int, fault: str) -> None:
        nonlocal spent
        if kind == "point":
            outcome.finished += not fault
            blamed = [number] if fault else []
        else:
            del queue.busy[number]
            outcome.histories += not fault
            blamed = queue.held[number] if fault else []
            queue.ready.extend([] if fault else queue.held[number])
            # an ancestor that is there now need not be waited for any more
            for other in queue.waiting:
                queue.waiting[other] = missing_stages(plan, other, cache)
        outcome.failed += len(blamed)
        ended = {number, *blamed} if kind == "point" else set(blamed)
        spent += sum(points[i] for i in ended) + (histories.get(number, 0.0) if kind == "history" else 0.0)
        for i in blamed:
            store.blame(plan.points[i].key, f"history: {fault}" if kind == "history" else fault)
        if fault:
            what = f"point {number}" if kind == "point" else f"the history of {len(blamed)} points"
            say(f"{what} failed: {fault}")
        note = f"{outcome.finished} finished" + (f", {outcome.failed} failed" if outcome.failed else "")
        report(spent, max(total, 1e-9), note)

    try:
        while True:
            while crew.free:
                left = cores - sum(threads for _, _, threads in crew.jobs)
                share = left // max(1, min(crew.free, queue.runnable()))
                job = queue.take()
                if job is None:
                    break
                crew.give((*job, max(1, share)))
            if not crew.jobs:
                break
            for (kind, number, _), fault in crew.finished():
                end(kind, number, fault)
    finally:
        crew.close()
    return outcome


def _check_room(plan: SweepPlan, folder: Path, count: int) -> None:
    """Refuse to begin where the results will not fit."""
    clock_rows = plan.study.grid.generations
    if clock_rows is None:
        from admix import schedule

        clock = schedule.compile(plan.study.scenario(plan.points[0].setting))
        clock_rows = clock.today - clock.first_pulse_tick() + 1
    need = count * clock_rows * ROW_BYTES + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < need:
        what = f"{free / 1e6:,.0f} MB are free and about {need / 1e6:,.0f} MB are needed"
        raise InputError("--out", str(folder), f"a directory with room for the results: {what}")
