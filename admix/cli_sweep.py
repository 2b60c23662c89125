# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of ``admix sweep``: plan, run, status, task and collect a sweep."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from admix import cli_batch
from admix.cli_derive import choice, whole
from admix.cli_process import Stopped, messages, place, tell
from admix.cli_sweep_files import (
    alone,
    cache_of,
    collected,
    cost_lines,
    folder_of,
    planned,
    point_name,
    prepared,
    usable,
)
from admix.errors import InputError, RunError

__all__ = ["EXECUTORS", "collect", "plan", "run", "status"]

EXECUTORS = ("local", "slurm")

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
    folder = folder_of(study.grid.name, out)
    place(folder)
    made = plans.make(study)
    done = Store(folder).finished()
    cost = estimate.cost(made, done, cache_of(cache_dir))
    if dry_run:
        tell("Dry run: nothing was computed and nothing was written.")
    else:
        plans.write(made, folder)
    tell(*cost_lines(made, done, cost))
    if dry_run:
        for number, point in list(enumerate(made.points))[:SHOWN]:
            tell(f"  {point_name(made, number, point)}, seed {point.seed}")
        if len(made.points) > SHOWN:
            tell(f"  and {len(made.points) - SHOWN:,} more")
    else:
        tell(f"Plan: {folder / plans.FILE}")


def run(
    grid: _Grid,
    out: _Out = None,
    executor: Annotated[
        str | None, typer.Option(metavar="local|slurm", help="Who runs the points.  [default: local]")
    ] = None,
    jobs: Annotated[
        str | None, typer.Option("-j", "--jobs", metavar="J", help="Number of processes.  [default: all cores]")
    ] = None,
    cache_dir: _CacheDir = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the result and errors.")] = False,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Slurm: show the batch scripts. Write and submit nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Slurm: wait until the sweep is finished.")] = False,
    chunk: Annotated[
        str | None, typer.Option(metavar="N", help="Slurm: points of a task.  [default: about 10 minutes of them]")
    ] = None,
    cpus: Annotated[str | None, typer.Option(metavar="C", help="Slurm: cores of a task.  [default: 1]")] = None,
    minutes: Annotated[
        str | None,
        typer.Option("--time", metavar="MINUTES", help="Slurm: time of a task.  [default: from the estimate]"),
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--mem", metavar="MB", help="Slurm: memory of a task.  [default: from the estimate]")
    ] = None,
    retries: Annotated[
        str | None, typer.Option(metavar="N", help="Slurm: how often what failed is tried again.  [default: 2]")
    ] = None,
    parallel: Annotated[
        str | None, typer.Option("--max-parallel", metavar="N", help="Slurm: tasks of an array that run at once.")
    ] = None,
    max_submit: Annotated[
        str | None, typer.Option(metavar="N", help="Slurm: jobs queued at once.  [default: the site's limit]")
    ] = None,
    wall_signal: Annotated[
        str | None,
        typer.Option(
            "--signal",
            metavar="NAME@SECONDS",
            help="Slurm: so long before its time is over a task saves its state, and the next job goes on from there."
            "  [default: TERM@60]",
        ),
    ] = None,
    slurm_opt: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="Slurm: an option of sbatch, as in --slurm-opt=--account=lab; repeatable."),
    ] = None,
) -> None:
    """Run what is missing of a sweep, and write its tables and figures.

    The same command goes on where an earlier one was stopped, and tries failed points again. A grid file that has
    changed is planned anew. On this machine it ends with code 1 if a point failed. With Slurm it submits and ends.

    \b
    Examples:
      admix sweep run sims/sweeps/smoke.yaml
      admix sweep run grid.yaml -j 8 -o /scratch/me/sweep
      admix sweep run grid.yaml --executor slurm --slurm-opt=--account=lab
    """
    cluster = {
        "--dry-run": dry_run, "--wait": wait, "--chunk": chunk, "--cpus": cpus, "--time": minutes, "--mem": memory,
        "--retries": retries, "--max-parallel": parallel, "--max-submit": max_submit, "--signal": wall_signal,
        "--slurm-opt": slurm_opt,
    }  # fmt: skip
    if choice("--executor", executor, EXECUTORS) == "slurm":
        if jobs is not None:
            raise InputError("--jobs", jobs, "with --executor local only; --max-parallel limits tasks in Slurm")
        options = cli_batch.options_of(
            cache_of(cache_dir), chunk=chunk, cpus=cpus, minutes=minutes, memory=memory, retries=retries,
            parallel=parallel, wall_signal=wall_signal, max_submit=max_submit, extra=slurm_opt or [],
        )  # fmt: skip
        cli_batch.run_on_slurm(grid, out, options, dry_run=dry_run, wait=wait)
        return
    if used := [name for name, value in cluster.items() if value]:
        raise InputError(used[0], allowed="together with --executor slurm only")
    _run_here(grid, out, jobs, cache_dir, quiet)


def _run_here(grid: str, out: str | None, jobs: str | None, cache_dir: str | None, quiet: bool) -> None:
    from admix.engines.native.workers import available_threads
    from admix.sweep import estimate, local, rounds
    from admix.sweep.store import Store

    cores = available_threads()
    processes = whole("--jobs", jobs, 1, cores) or cores
    chosen, folder = prepared(grid, out)
    usable(folder)
    place(folder)
    cache = cache_of(cache_dir)
    with messages(0, quiet) as progress, alone(folder):
        if rounds.last(folder) and (live := cli_batch.live_jobs(folder)):
            what = f"{len(live)} jobs of this sweep are queued or running in Slurm"
            raise RunError(str(folder), what, "'admix sweep cancel' ends them")
        stage = f"{len(chosen.points):,} points"
        cost = estimate.cost(chosen, Store(folder).finished(), cache)
        progress.plan([(stage, cost.wall_seconds(processes))])
        progress.start(stage)
        try:
            outcome = local.run(
                chosen, folder, cache, processes=processes, cores=cores, say=progress.say, cost=cost,
                report=lambda done, count, note: progress.update(stage, done / count, note),
            )  # fmt: skip
        except KeyboardInterrupt as error:
            progress.close()
            raise Stopped(error, f"finished points are in {folder}; the same command goes on from there") from None
        progress.done(stage)
    told = f"{outcome.finished} of {len(chosen.points)} points run, {outcome.histories} histories simulated"
    tell(told if outcome.finished or outcome.failed else f"all {len(chosen.points)} points are finished")
    if outcome.finished or not (folder / "table.tsv").is_file():
        collected(chosen, folder)
    if outcome.failed:
        what = f"{outcome.failed} of {len(chosen.points)} points failed"
        raise RunError(str(folder), what, "'admix sweep status' says why, and the same command tries them again")


def status(grid: _Grid, out: _Out = None, cache_dir: _CacheDir = None) -> None:
    """Count the points of a sweep that are finished, failed and missing, and show the last error of each failed one.

    Example: admix sweep status grid.yaml
    """
    from admix.cache import Cache
    from admix.sweep import rounds
    from admix.sweep.point import missing_stages
    from admix.sweep.store import Store

    chosen, folder = planned(grid, out)
    store, cache = Store(folder), Cache(cache_of(cache_dir))
    done, failed = store.finished(), store.failed()
    mine = [point.key for point in chosen.points]
    counts = sum(key in done for key in mine), sum(key in failed for key in mine)
    kept = sum(not missing_stages(chosen, number, cache) for number in range(len(chosen.histories)))
    tell(
        f"{chosen.study.grid.name}: {len(mine):,} points, {counts[0]:,} finished, {counts[1]:,} failed,"
        f" {len(mine) - sum(counts):,} not run yet; {kept} of {len(chosen.histories)} histories in the cache"
    )
    if rounds.last(folder):
        tell(_in_slurm(folder))
    for number, point in enumerate(chosen.points):
        if point.key in failed:
            error = store.error(point.key)
            tell(f"{point_name(chosen, number, point)}: {error['error']} (attempt {error['attempts']})")


def _in_slurm(folder: Path) -> str:
    """What Slurm has of a sweep, in a line."""
    from admix.sweep import rounds, slurm
    from admix.sweep.batch import job_name

    try:
        states = Counter(state for _, state in slurm.live_states(job_name(folder)))
    except (InputError, RunError) as error:
        return f"Slurm does not answer: {error}"
    told = ", ".join(f"{n:,} {state.lower()}" for state, n in sorted(states.items())) or "no jobs"
    number = rounds.last(folder)
    return f"Slurm, round {number}: {told}; logs in {rounds.logs(folder, number)}"


def collect(grid: _Grid, out: _Out = None) -> None:
    """Put the finished points of a sweep into tables (TSV, and Parquet where pyarrow is installed) and figures.

    Example: admix sweep collect grid.yaml
    """
    chosen, folder = planned(grid, out)
    place(folder)
    collected(chosen, folder)
