# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands of ``admix sweep`` share: the plan and the directory they work on, and what they say of them."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from admix.cli_process import tell
from admix.cli_run import size
from admix.errors import InputError, RunError

if TYPE_CHECKING:
    import pandas as pd

    from admix.sweep.estimate import Cost
    from admix.sweep.plan import Point, SweepPlan

__all__ = [
    "LOCK",
    "alone",
    "cache_of",
    "collected",
    "cost_lines",
    "folder_of",
    "planned",
    "point_name",
    "prepared",
    "stop_local",
    "usable",
    "write_page",
]

LOCK = ".running"
"""File that a process holds locked while it works on a sweep; it names the process and its machine."""


def collected(chosen: SweepPlan, folder: Path) -> None:
    """Write the tables and figures of what is finished, and say where they are."""
    from admix.sweep import collect as collector
    from admix.sweep import plots
    from admix.sweep.store import Store

    table, trajectories = collector.tables(chosen, Store(folder))
    files = collector.write(table, trajectories, folder)
    pictures = plots.draw_all(chosen.study.grid, table, trajectories, folder / "figures")
    page = write_page(chosen, table, folder)
    points = table["point"].nunique()
    tell(f"Tables:   {', '.join(str(file) for file in files)} ({points} of {len(chosen.points)} points)")
    tell(f"Pictures: {folder / 'figures'} ({len(pictures)} files)")
    tell(f"Page:     {page}")


def write_page(chosen: SweepPlan, table: pd.DataFrame, folder: Path) -> Path:
    """Write the page of a sweep beside its tables and figures."""
    from admix.report.sweep_page import write_sweep_report
    from admix.scenario_yaml import write as as_yaml

    grid = chosen.study.grid
    labels = {p.name: p.label for p in grid.parameters}
    text = as_yaml(grid.model_dump(exclude_none=True, mode="json"))
    return write_sweep_report(folder, grid.title or grid.name, text, labels, table, len(chosen.points))


def folder_of(name: str, out: str | None) -> Path:
    """Return the directory of a sweep."""
    return Path(out) if out is not None else Path("sweeps") / name


def cache_of(given: str | None) -> Path:
    """Return the directory of histories."""
    from admix.cache import default_directory

    return Path(given) if given else default_directory()


def planned(grid: str, out: str | None) -> tuple[SweepPlan, Path]:
    """Return the plan on disk of a grid file or of a directory, and the directory."""
    from admix.sweep import grid as grids
    from admix.sweep import plan as plans

    if Path(grid).is_dir():
        if out is not None:
            raise InputError("--out", out, "together with a grid file only")
        return plans.read(Path(grid)), Path(grid)
    folder = folder_of(grids.load(grid).grid.name, out)
    return plans.read(folder), folder


def prepared(grid: str, out: str | None, *, write: bool = True) -> tuple[SweepPlan, Path]:
    """Return a plan that is up to date with its grid file, and the directory.

    A new plan is written if ``write``.
    """
    from admix.sweep import grid as grids
    from admix.sweep import plan as plans

    if Path(grid).is_dir():
        return planned(grid, out)
    study = grids.load(grid)
    folder = folder_of(study.grid.name, out)
    if (folder / plans.FILE).exists():
        chosen = plans.read(folder)
        if chosen.inputs == plans.inputs_key(study):
            return chosen, folder
    made = plans.make(study)
    if write:
        usable(folder)
        plans.write(made, folder)
    return made, folder


def usable(folder: Path) -> None:
    """Make the directory of a sweep.

    Raises
    ------
    InputError
        If it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        allowed = f"a directory that can be written ({error.strerror or error})"
        raise InputError("--out", str(folder), allowed) from error


def stop_local(folder: Path) -> int | None:
    """Ask the process of this machine that runs a sweep to stop; return its id, or None where there is none.

    Raises
    ------
    RunError
        If it is a process of another machine.
    """
    with suppress(FileNotFoundError), open(folder / LOCK, "r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            process, host = lock.read().split()
            if host != socket.gethostname():
                raise RunError(str(folder), f"process {process} of {host} runs it", "cancel it there") from None
            os.kill(int(process), signal.SIGTERM)
            return int(process)
    return None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Refuse to work on a sweep that another process of this machine is running."""
    with open(folder / LOCK, "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            what = "another 'admix sweep run' is at work on this sweep"
            raise RunError(str(folder), what, "'admix sweep status' shows how far it is") from error
        # held until the process ends, however it ends
        lock.truncate(0)
        lock.write(f"{os.getpid()} {socket.gethostname()}\n")
        lock.flush()
        yield


def point_name(chosen: SweepPlan, number: int, point: Point) -> str:
    """Return what a point is called in messages."""
    values = zip(chosen.study.grid.names, point.setting.values, strict=True)
    text = ", ".join(f"{name}={value}" for name, value in values)
    return f"point {number} ({text}, burn-in {point.burnin}, replicate {point.replicate})"


def cost_lines(chosen: SweepPlan, done: set[str], cost: Cost) -> list[str]:
    """Return what a sweep will cost, in lines."""
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
