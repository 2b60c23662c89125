# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of ``admix sweep``: plan, run, status, task and collect a sweep."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from admix.cli_derive import whole
from admix.cli_process import Stopped, messages, place, tell
from admix.cli_run import size
from admix.errors import InputError, RunError

if TYPE_CHECKING:
    from admix.sweep.estimate import Cost
    from admix.sweep.plan import Point, SweepPlan

__all__ = ["collect", "plan", "run", "status", "task"]

SHOWN = 12
"""Histories and points that a dry run lists."""

_Grid = Annotated[str, typer.Argument(metavar="GRID", help="A grid file (YAML), or the directory of a sweep.")]
_Out = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--out",
        metavar="DIR",
        help="The directory of the sweep.  [default: sweeps/NAME in the current directory]",
    ),
]
_CacheDir = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", envvar="ADMIX_CACHE", show_envvar=True, help="Where histories before the pulse are kept."
    ),
]


def plan(
    grid: _Grid,
    out: _Out = None,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Show the points and the cost. Write nothing.")
    ] = False,
    cache_dir: _CacheDir = None,
) -> None:
    """Write the plan of a sweep: every point with its seed, and the histories they share. Says what it will cost.

    A grid that has grown keeps its points, their seeds and their results.

    \b
    Examples:
      admix sweep plan sims/sweeps/smoke.yaml --dry-run
      admix sweep plan grid.yaml -o /scratch/me/sweep
    """
    from admix.sweep import estimate
    from admix.sweep import grid as grids
    from admix.sweep import plan as plans
    from admix.sweep.store import Store

    if Path(grid).is_dir():
        raise InputError("GRID", grid, "a grid file to plan from")
    study = grids.load(grid)
    folder = _folder(study.grid.name, out)
    place(folder)
    made = plans.make(study)
    done = Store(folder).finished()
    cost = estimate.cost(made, done, _cache(cache_dir))
    if dry_run:
        tell("Dry run: nothing was computed and nothing was written.")
    else:
        plans.write(made, folder)
    tell(*_cost_lines(made, done, cost))
    if dry_run:
        for number, point in list(enumerate(made.points))[:SHOWN]:
            tell(f"  {_name(made, number, point)}, seed {point.seed}")
        if len(made.points) > SHOWN:
            tell(f"  and {len(made.points) - SHOWN:,} more")
    else:
        tell(f"Plan: {folder / plans.FILE}")


def run(
    grid: _Grid,
    out: _Out = None,
    jobs: Annotated[
        str | None, typer.Option("-j", "--jobs", metavar="J", help="Number of processes.  [default: all cores]")
    ] = None,
    cache_dir: _CacheDir = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the result and errors.")] = False,
) -> None:
    """Run what is missing of a sweep on this machine, and write its tables and figures.

    The same command goes on where an earlier one was stopped, and tries failed points again. A grid file that has
    changed is planned anew. Ends with code 1 if a point failed.

    \b
    Examples:
      admix sweep run sims/sweeps/smoke.yaml
      admix sweep run grid.yaml -j 8 -o /scratch/me/sweep
    """
    from admix.engines.native.workers import available_threads
    from admix.sweep import local

    cores = available_threads()
    processes = whole("--jobs", jobs, 1, cores) or cores
    chosen, folder = _prepared(grid, out)
    place(folder)
    cache = _cache(cache_dir)
    with messages(0, quiet) as progress, _alone(folder):
        stage = f"{len(chosen.points):,} points"
        progress.plan([(stage, 60.0)])
        progress.start(stage)
        try:
            outcome = local.run(
                chosen, folder, cache, processes=processes, cores=cores, say=progress.say,
                report=lambda done, count, note: progress.update(stage, done / count, note),
            )  # fmt: skip
        except KeyboardInterrupt as error:
            progress.close()
            raise Stopped(error, f"finished points are in {folder}; the same command goes on from there") from None
        progress.done(stage)
    told = f"{outcome.finished} of {len(chosen.points)} points run, {outcome.histories} histories simulated"
    tell(told if outcome.finished or outcome.failed else f"all {len(chosen.points)} points are finished")
    if outcome.finished or not (folder / "table.tsv").is_file():
        _collected(chosen, folder)
    if outcome.failed:
        what = f"{outcome.failed} of {len(chosen.points)} points failed"
        raise RunError(str(folder), what, "'admix sweep status' says why, and the same command tries them again")


def status(grid: _Grid, out: _Out = None, cache_dir: _CacheDir = None) -> None:
    """Count the points of a sweep that are finished, failed and missing, and show the last error of each failed one.

    Example: admix sweep status grid.yaml
    """
    from admix.cache import Cache
    from admix.sweep.point import missing_stages
    from admix.sweep.store import Store

    chosen, folder = _planned(grid, out)
    store, cache = Store(folder), Cache(_cache(cache_dir))
    done, failed = store.finished(), store.failed()
    mine = [point.key for point in chosen.points]
    counts = sum(key in done for key in mine), sum(key in failed for key in mine)
    kept = sum(not missing_stages(chosen, number, cache) for number in range(len(chosen.histories)))
    tell(
        f"{chosen.study.grid.name}: {len(mine):,} points, {counts[0]:,} finished, {counts[1]:,} failed,"
        f" {len(mine) - sum(counts):,} not run yet; {kept} of {len(chosen.histories)} histories in the cache"
    )
    for number, point in enumerate(chosen.points):
        if point.key in failed:
            error = store.error(point.key)
            tell(f"{_name(chosen, number, point)}: {error['error']} (attempt {error['attempts']})")


def task(
    sweep: Annotated[str, typer.Argument(metavar="PLAN", help="The directory of a planned sweep.")],
    number: Annotated[str, typer.Argument(metavar="K", help="Number of the point, from 0.")],
    threads: Annotated[
        str | None, typer.Option(metavar="T", help="Number of threads; no result depends on it.  [default: all cores]")
    ] = None,
    cache_dir: _CacheDir = None,
) -> None:
    """Run one point of a planned sweep, for other schedulers (PBS, LSF, GNU parallel).

    \b
    Example:
      admix sweep plan grid.yaml -o sweep && seq 0 23 | parallel -j 2 admix sweep task sweep {} --threads 1
    """
    from admix.engines.native.workers import available_threads
    from admix.sweep import plan as plans
    from admix.sweep.point import Bench, reason
    from admix.sweep.store import Store

    given = Path(sweep)
    folder = given.parent if given.name == plans.FILE else given
    chosen = plans.read(folder)
    k = whole("K", number, 0, len(chosen.points) - 1)
    count = whole("--threads", threads, 1) or available_threads()
    assert k is not None
    point, store = chosen.points[k], Store(folder)
    place(folder)
    if point.key in store.finished():
        tell(f"{_name(chosen, k, point)}: finished already")
        return
    try:
        Bench(chosen, folder, _cache(cache_dir)).point(point, count)
    except Exception as error:
        store.blame(point.key, reason(error))
        raise
    tell(f"{_name(chosen, k, point)}: finished")


def collect(grid: _Grid, out: _Out = None) -> None:
    """Put the finished points of a sweep into tables (TSV, and Parquet where pyarrow is installed) and figures.

    Example: admix sweep collect grid.yaml
    """
    chosen, folder = _planned(grid, out)
    place(folder)
    _collected(chosen, folder)


def _collected(chosen: SweepPlan, folder: Path) -> None:
    from admix.sweep import collect as collector
    from admix.sweep import plots
    from admix.sweep.store import Store

    table, trajectories = collector.tables(chosen, Store(folder))
    files = collector.write(table, trajectories, folder)
    pictures = plots.draw_all(chosen.study.grid, table, trajectories, folder / "figures")
    points = table["point"].nunique()
    tell(f"Tables:   {', '.join(str(file) for file in files)} ({points} of {len(chosen.points)} points)")
    tell(f"Pictures: {folder / 'figures'} ({len(pictures)} files)")


def _folder(name: str, out: str | None) -> Path:
    return Path(out) if out is not None else Path("sweeps") / name


def _cache(given: str | None) -> Path:
    from admix.cache import default_directory

    return Path(given) if given else default_directory()


def _planned(grid: str, out: str | None) -> tuple[SweepPlan, Path]:
    """Return the plan on disk of a grid file or of a directory, and the directory."""
    from admix.sweep import grid as grids
    from admix.sweep import plan as plans

    if Path(grid).is_dir():
        if out is not None:
            raise InputError("--out", out, "together with a grid file only")
        return plans.read(Path(grid)), Path(grid)
    folder = _folder(grids.load(grid).grid.name, out)
    return plans.read(folder), folder


def _prepared(grid: str, out: str | None) -> tuple[SweepPlan, Path]:
    """Return a plan that is up to date with its grid file, and the directory; the plan is written if it is new."""
    from admix.sweep import grid as grids
    from admix.sweep import plan as plans

    if Path(grid).is_dir():
        return _planned(grid, out)
    study = grids.load(grid)
    folder = _folder(study.grid.name, out)
    if (folder / plans.FILE).exists():
        chosen = plans.read(folder)
        if chosen.inputs == plans.inputs_key(study):
            return chosen, folder
    made = plans.make(study)
    plans.write(made, folder)
    return made, folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse to work on a sweep that another process of this machine is running."""
    with open(folder / ".running", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            what = "another 'admix sweep run' is at work on this sweep"
            raise RunError(str(folder), what, "'admix sweep status' shows how far it is") from error
        # held until the process ends, however it ends
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _name(chosen: SweepPlan, number: int, point: Point) -> str:
    values = zip(chosen.study.grid.names, point.setting.values, strict=True)
    text = ", ".join(f"{name}={value}" for name, value in values)
    return f"point {number} ({text}, burn-in {point.burnin}, replicate {point.replicate})"


def _cost_lines(chosen: SweepPlan, done: set[str], cost: Cost) -> list[str]:
    from admix.engines.native.workers import available_threads
    from admix.progress import duration

    count = len(chosen.points)
    finished = sum(point.key in done for point in chosen.points)
    cores = available_threads()
    return [
        f"{chosen.study.grid.name}: {count:,} points from {len(chosen.histories):,} histories; {finished:,} finished,"
        f" {len(cost.histories):,} histories to simulate",
        f"  histories  {duration(sum(cost.histories.values()))} on one core",
        f"  points     {duration(sum(cost.points.values()))} on one core",
        f"  together   {duration(cost.wall_seconds(cores))} on the {cores} cores of this machine",
        f"  memory     {size(cost.memory_bytes)} a process",
    ]
