# SPDX-License-Identifier: GPL-3.0-or-later
"""``admix sweep`` on clusters: submission to Slurm, what its jobs run, and pieces of work by hand."""

from __future__ import annotations

import math
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from admix.cli_derive import whole
from admix.cli_process import Stopped, place, tell
from admix.cli_sweep_files import alone, cache_of, collected, cost_lines, planned, point_name, prepared, usable
from admix.errors import InputError, RunError, nearest

if TYPE_CHECKING:
    from admix.sweep.plan import SweepPlan
    from admix.sweep.rounds import Options, Round

__all__ = ["batch", "cancel", "history", "live_jobs", "options_of", "run_on_slurm", "signal_of", "task"]

OURS = ("array", "a", "dependency", "d", "job-name", "J", "output", "o", "wrap", "wait", "W", "parsable", "signal")
"""Options of sbatch that admix gives itself."""
GATHER_PATIENCE_SECONDS = 600.0
"""How long the gathering job may take once all points are finished."""
SIGNALS = ("TERM", "USR2", "HUP", "INT", "USR1")
"""What may be sent before the time is over; USR1 saves the state and goes on, the others end the work, too."""

_Plan = Annotated[str, typer.Argument(metavar="PLAN", help="The directory of a planned sweep.")]
_Threads = Annotated[
    str | None, typer.Option(metavar="T", help="Number of threads; no result depends on it.  [default: all cores]")
]
_CacheDir = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", envvar="ADMIX_CACHE", show_envvar=True, help="Where histories before the pulse are kept."
    ),
]
_Signal = Annotated[
    str | None,
    typer.Option(
        "--signal",
        metavar="NAME",
        help="Save the state of what is under way at this signal (USR2 or HUP; TERM always) and stop; the same command"
        " goes on from there.",
    ),
]


# ---- what people type ------------------------------------------------------------------------------------------


def task(
    sweep: _Plan,
    number: Annotated[str, typer.Argument(metavar="K", help="Numbers of points, from 0: 3, 0-7, or 1,4,8-9.")],
    threads: _Threads = None,
    cache_dir: _CacheDir = None,
    signal_name: _Signal = None,
) -> None:
    """Run one point of a planned sweep, or several, for other schedulers (PBS, LSF, GNU parallel).

    SIGTERM and Ctrl-C, too, save the state of a point under way.

    \b
    Example:
      admix sweep plan grid.yaml -o sweep && seq 0 23 | parallel -j 2 admix sweep task sweep {} --threads 1
    """
    from admix.engines.native.workers import available_threads
    from admix.sweep.point import Bench, reason
    from admix.sweep.store import Store

    chosen, folder = _by_hand(sweep)
    numbers = _numbers("K", number, len(chosen.points))
    count = whole("--threads", threads, 1) or available_threads()
    store, bench = Store(folder), Bench(chosen, folder, cache_of(cache_dir))
    place(folder)
    failed: Exception | None = None
    with _saving(signal_name):
        for k in numbers:
            point = chosen.points[k]
            name = point_name(chosen, k, point)
            if store.has(point.key):
                tell(f"{name}: finished already")
                continue
            try:
                bench.point(point, count)
            except KeyboardInterrupt as error:
                raise Stopped(error, f"{name} goes on from here with the same command") from None
            except Exception as error:
                store.blame(point.key, reason(error))
                if len(numbers) > 1:
                    tell(f"{name} failed: {reason(error)}")
                failed = error
            else:
                tell(f"{name}: finished")
    if failed is not None:
        raise failed


def history(
    sweep: _Plan,
    number: Annotated[str, typer.Argument(metavar="H", help="Number of the history, from 0.")],
    ancestor_only: Annotated[
        bool, typer.Option("--ancestor-only", help="Simulate the common ancestor alone, which histories may share.")
    ] = False,
    threads: _Threads = None,
    cache_dir: _CacheDir = None,
    signal_name: _Signal = None,
) -> None:
    """Simulate one history of a planned sweep into the cache, before the points that start from it.

    Example: admix sweep history sweep 0
    """
    from admix.cache import Cache
    from admix.engines.native.workers import available_threads
    from admix.sweep.point import Bench, missing_stages

    chosen, folder = _by_hand(sweep)
    h = whole("H", number, 0, len(chosen.histories) - 1)
    assert h is not None
    count = whole("--threads", threads, 1) or available_threads()
    bench = Bench(chosen, folder, cache_of(cache_dir))
    missing = missing_stages(chosen, h, Cache(cache_of(cache_dir)))
    ancestor = chosen.histories[h].stages[0][1]
    with _saving(signal_name):
        try:
            for key in missing:
                if key == ancestor or not ancestor_only:
                    bench.stage(key, count)
        except KeyboardInterrupt as error:
            raise Stopped(error, f"history {h} goes on from here with the same command") from None
    tell(f"history {h}: {'finished' if missing else 'finished already'}")


def cancel(
    grid: Annotated[str, typer.Argument(metavar="GRID", help="A grid file (YAML), or the directory of a sweep.")],
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="DIR", help="The directory of the sweep.  [default: sweeps/NAME]"),
    ] = None,
) -> None:
    """Stop a sweep: its jobs in Slurm, and the 'admix sweep run' at work on it on this machine. Results are kept.

    Example: admix sweep cancel grid.yaml
    """
    from admix.cli_sweep_files import stop_local
    from admix.sweep import rounds, slurm

    _, folder = planned(grid, out)
    stopped = stop_local(folder)
    jobs = live_jobs(folder) if rounds.last(folder) else []
    if jobs:
        slurm.cancel(jobs)
        until = time.monotonic() + 90
        while live_jobs(folder) and time.monotonic() < until:
            time.sleep(1)
    if not (jobs or stopped):
        tell("nothing of this sweep is running")
        return
    what = [f"{len(jobs)} jobs in Slurm"] * bool(jobs) + [f"process {stopped}"] * bool(stopped)
    tell(f"stopped {' and '.join(what)}; 'admix sweep run' goes on from what is finished")


# ---- submission ------------------------------------------------------------------------------------------------


def live_jobs(folder: Path) -> list[str]:
    """Ids of the sweep's jobs in Slurm."""
    from admix.sweep import slurm
    from admix.sweep.batch import job_name

    return slurm.live(job_name(folder))


def options_of(
    cache: Path, *, chunk: str | None, cpus: str | None, minutes: str | None, memory: str | None, retries: str | None,
    parallel: str | None, wall_signal: str | None, max_submit: str | None, extra: list[str],
) -> Options:  # fmt: skip
    """Return the options of a submission as typed.

    Raises
    ------
    InputError
        If one is not allowed.
    """
    from admix.sweep.rounds import Options

    given: dict[str, Any] = {
        "chunk": whole("--chunk", chunk, 1), "cpus": whole("--cpus", cpus, 1), "minutes": whole("--time", minutes, 1),
        "memory_mb": whole("--mem", memory, 1), "retries": whole("--retries", retries, 0),
        "parallel": whole("--max-parallel", parallel, 1), "max_submit": whole("--max-submit", max_submit, 3),
        "signal": None if wall_signal is None else signal_of(wall_signal),
    }  # fmt: skip
    for word in extra:
        found = re.fullmatch(r"--?([A-Za-z][A-Za-z-]*)(?:[= ].*)?", word)
        if found is None:
            raise InputError("--slurm-opt", word, "one option of sbatch, as in --slurm-opt=--account=lab")
        name = found[1] if word.startswith("--") else found[1][0]
        if name in OURS:
            raise InputError("--slurm-opt", word, f"options other than --{', --'.join(n for n in OURS if n[1:])}")
    options = Options(
        cache=str(cache.resolve()), extra=tuple(extra), **{k: v for k, v in given.items() if v is not None}
    )
    if options.minutes is not None and options.signal[1] >= 60 * options.minutes:
        allowed = f"fewer seconds than --time, which is {60 * options.minutes} seconds"
        raise InputError("--signal", "{}@{}".format(*options.signal), allowed)
    return options


def signal_of(text: str) -> tuple[str, int]:
    """Return name and seconds of ``NAME@SECONDS``."""
    found = re.fullmatch(r"(?:SIG)?([A-Z0-9]+)@([0-9]{1,6})", text)
    if found is None or found[1] not in SIGNALS:
        allowed = f"NAME@SECONDS, as TERM@60, with a name of {', '.join(SIGNALS)}"
        raise InputError("--signal", text, allowed, nearest(text.split("@")[0], SIGNALS))
    return found[1], int(found[2])


def run_on_slurm(grid: str, out: str | None, options: Options, *, dry_run: bool, wait: bool) -> None:
    """Submit what is missing of a sweep."""
    from admix.sweep import batch as batches
    from admix.sweep import estimate, rounds, slurm
    from admix.sweep import plan as plans
    from admix.sweep.store import Store

    if dry_run:
        chosen, folder = prepared(grid, out, write=False)
        try:
            site = slurm.read_site()
        except (InputError, RunError) as error:
            site = slurm.Site(1001, None)
            tell(f"# {error}", "# Slurm's usual limits are taken instead")
        done = Store(folder).finished()
        cost = estimate.cost(chosen, done, Path(options.cache))
        made, needs = batches.prepare(chosen, folder.resolve(), options, site, spent=cost)
        for name, text in batches.scripts(folder.resolve(), made, needs) if made.count else []:
            tell(f"# ---- {name}", text)
        tell(*_submitted(chosen, made, dry=True), *cost_lines(chosen, done, cost)[1:])
        return
    chosen, folder = prepared(grid, out, write=False)
    usable(folder)
    folder, place_ = folder.resolve(), folder
    place(folder)
    with alone(folder):
        if jobs := live_jobs(folder):
            if not wait:
                remedy = (
                    "'admix sweep status' shows how far it is, --wait waits for it, and 'admix sweep cancel' ends it"
                )
                raise RunError(str(folder), f"{len(jobs)} jobs of this sweep are queued or running", remedy)
            chosen, _ = planned(str(folder), None)
        else:
            plans.write(chosen, folder)
            store = Store(folder)
            batches.close_last(folder, store)
            done = store.finished()
            if all(point.key in done for point in chosen.points):
                tell(f"all {len(chosen.points)} points are finished")
                if not (folder / "table.tsv").is_file():
                    collected(chosen, place_)
                return
            cost = estimate.cost(chosen, done, Path(options.cache))
            tell(*cost_lines(chosen, done, cost))
            made, needs = batches.prepare(chosen, folder, options, slurm.read_site(), spent=cost)
            batches.submit(folder, made, needs)
            tell(*_submitted(chosen, made), f"Logs: {rounds.logs(folder, made.number)}")
    if wait:
        _wait(chosen, folder, place_)


def _submitted(chosen: SweepPlan, made: Round, dry: bool = False) -> list[str]:
    points = sum(map(len, made.tasks["point"]))
    stages = len(made.tasks["ancestor"]) + len(made.tasks["lineage"])
    lines = [
        f"{chosen.study.grid.name}: {points:,} points in {len(made.tasks['point']):,} tasks, {stages:,} stages of"
        f" histories, {len(made.arrays)} job arrays"
    ]
    if dry:
        return ["Dry run: nothing was written and nothing was submitted.", *lines]
    return [*lines, f"Jobs: {', '.join(made.jobs[:-1])}; then {made.jobs[-1]} puts the results together"]


def _wait(chosen: SweepPlan, folder: Path, shown: Path) -> None:
    """Wait until no job is left. Files decide what is finished, since Slurm may forget that a job has ended."""
    from admix.sweep import rounds
    from admix.sweep.store import Store

    pause, store, since = 1.0, Store(folder), math.inf
    while time.monotonic() < since + GATHER_PATIENCE_SECONDS:
        done = store.finished()
        left = sum(point.key not in done for point in chosen.points)
        # the controller may be away for a while
        with suppress(InputError, RunError):
            if not live_jobs(folder):
                break
        since = math.inf if left else min(since, time.monotonic())
        time.sleep(pause)
        pause = min(15.0, 1.3 * pause)
    left = len({point.key for point in chosen.points} - store.finished())
    if rounds.read(folder, rounds.last(folder)).judged and (folder / "table.tsv").is_file():
        tell(f"Tables:   {shown / 'table.tsv'} ({len(chosen.points) - left} of {len(chosen.points)} points)")
    else:
        collected(chosen, shown)
    if left:
        what = f"{left} of {len(chosen.points)} points are missing"
        raise RunError(str(shown), what, "'admix sweep status' says why, and the same command tries them again")


# ---- what jobs run ---------------------------------------------------------------------------------------------


def batch(
    sweep: _Plan,
    number: Annotated[str, typer.Argument(metavar="ROUND")],
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    k: Annotated[str | None, typer.Argument(metavar="TASK")] = None,
    threads: _Threads = None,
    signal_name: _Signal = None,
) -> None:
    """Do one task of a round, or judge it: what the jobs of 'admix sweep run --executor slurm' run."""
    from admix.sweep import batch as batches
    from admix.sweep import rounds
    from admix.sweep.store import Store

    folder = Path(sweep)
    r = whole("ROUND", number, 1)
    assert r is not None
    place(folder)
    if kind == batches.GATHER:
        following = batches.gather(folder, r, tell)
        chosen, _ = planned(sweep, None)
        done = Store(folder).finished()
        missing = sum(point.key not in done for point in chosen.points)
        if not following:
            collected(chosen, folder)
            if missing:
                raise RunError(sweep, f"{missing} of {len(chosen.points)} points are missing", "no try is left")
        return
    if kind not in rounds.KINDS:
        raise InputError("KIND", kind, ", ".join((*rounds.KINDS, batches.GATHER)))
    tasks = rounds.read(folder, r).tasks[kind]
    i = whole("TASK", k, 0, len(tasks) - 1)
    if i is None:
        raise InputError("TASK", allowed="a number")
    with _saving(signal_name):
        try:
            failed = batches.work(folder, r, kind, i, whole("--threads", threads, 1) or 1, tell)
        except KeyboardInterrupt as error:
            raise Stopped(error, "what was under way goes on from here in the next job") from None
    if failed:
        raise RunError(f"task {i}", f"{failed} of {len(tasks[i])} pieces failed")


@contextmanager
def _saving(name: str | None) -> Iterator[None]:
    """Let a signal do what SIGTERM does: save the state of what is under way, and stop."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)

    if name is None:
        yield
        return
    if name not in SIGNALS:
        raise InputError("--signal", name, ", ".join(SIGNALS), nearest(name, SIGNALS))
    number = signal.Signals[f"SIG{name}"]
    before = signal.signal(number, stop) if name in ("USR2", "HUP") else None
    try:
        yield
    finally:
        if before is not None:
            with suppress(TypeError):
                signal.signal(number, before)


def _by_hand(sweep: str) -> tuple[SweepPlan, Path]:
    from admix.sweep import plan as plans

    given = Path(sweep)
    folder = given.parent if given.name == plans.FILE else given
    return plans.read(folder), folder


def _numbers(where: str, text: str, count: int) -> list[int]:
    """Return the numbers of ``3``, ``0-7`` or ``1,4,8-9``."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.partition("-") if not part.startswith("-") else (part, "", "")
        first = whole(where, low, 0, count - 1)
        last = whole(where, high, first or 0, count - 1) if dash else first
        assert first is not None and last is not None
        found += range(first, last + 1)
    return found
