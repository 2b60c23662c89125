# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scenario to a complete run directory: plan, simulate, record, seal, draw.

The native engine's runs are made here; those of another engine in a module of its own (`_other_engine`).
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from admix import results, run_plan
from admix.api.result import Result
from admix.engines.native.history import RESULTS_VERSION
from admix.engines.native.workers import Workers
from admix.errors import InputError, nearest
from admix.native_branches import NativeBranches
from admix.progress import Progress
from admix.results import RunWriter
from admix.run_plan import Estimate, RunOptions, resolve, resolved, work
from admix.run_record import Clock, frames, provenance
from admix.scenario import ENGINES, Scenario, load
from admix.unfinished import Record, Unfinished, reporting

__all__ = ["Estimate", "RunOptions", "estimate", "run", "simulate"]


def _other_engine(name: str) -> ModuleType | None:
    """Return the module with `run` and `estimate` for an engine; None for the native one.

    Raises
    ------
    InputError
        If there is no such engine.
    """
    if name not in ENGINES:
        raise InputError("engine", name, " or ".join(ENGINES), nearest(name, ENGINES))
    if name == "msprime":
        from admix import coalescent_run  # imports that a native run does without

        return coalescent_run
    if name == "slim":
        from admix import slim_run

        return slim_run
    return None


def estimate(scenario: Scenario, options: RunOptions) -> Estimate:
    """Return what a run will cost on this machine; writes nothing. Raises as `run` does."""
    other = _other_engine(options.engine)
    found: Estimate = (other or run_plan).estimate(scenario, options)
    return found


def run(scenario: Scenario, options: RunOptions, progress: Progress | None = None) -> Path:
    """Simulate a scenario and return its complete run directory.

    Raises
    ------
    InputError
        Where the scenario or an option can't be run, or ``options.out`` exists and may not be replaced.
    RunError
        Where the disk is full or a directory can't be written.
    KeyboardInterrupt
        On SIGINT, once what is under way is saved, a history in the cache and a branch beside ``options.out``, which
        is not written then.
    """
    other = _other_engine(options.engine)
    if other is not None:
        made: Path = other.run(scenario, options, progress)
        return made
    RunWriter.check(options.out, options.force)
    progress = progress or Progress(quiet=True)
    plan = resolve(scenario, options, progress.say)
    history_work, branch_work = work(plan)
    progress.plan([*history_work, *branch_work, ("tables and pictures", 8.0)])
    workers = Workers(plan.threads)
    clock = Clock()
    histories: dict[str, Any] = {}
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in results.SCHEMA}
    taken: list[str] = []
    try:
        with (
            reporting(options.out, plan),
            Unfinished(options.out, Record.of(plan), force=options.force, say=progress.say) as unfinished,
            RunWriter(options.out, options.force) as writer,
        ):
            unfinished.writes_in(writer.partial)
            for records in NativeBranches(plan, workers, progress, clock, writer, unfinished, histories, taken).run():
                for table, frame in frames(plan.genome, records).items():
                    parts[table].append(frame)
            progress.start("tables and pictures")
            with clock.part("tables and pictures"):
                tables = {name: pd.concat(found, ignore_index=True) for name, found in parts.items()}
                for table, frame in tables.items():
                    writer.table(table, frame)
                stems = {name.removesuffix(".tsv"): frame for name, frame in tables.items()}
                writer.json("summary.json", results.summarise(stems, plan.scenario))
                writer.text("scenario.yaml", resolved(plan.scenario, plan.options).to_yaml())
            more = {
                "engine": options.engine,
                "history": [{"key": key} | told for key, told in histories.items()],
                "cache": str(plan.cache.directory),
                "resumed": taken,
            }
            writer.json("provenance.json", provenance(plan.genome, RESULTS_VERSION, plan.threads, clock, more))
            path = writer.seal()
            unfinished.complete()
        progress.update("tables and pictures", 0.4)
        from admix import run_pages  # matplotlib: not for a dry run

        run_pages.make(path)
        progress.done("tables and pictures")
    finally:
        workers.close()
    return path


def simulate(
    scenario: Scenario | str | Path,
    *,
    out: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> Result:
    """Simulate a scenario and return its result; ``admix.simulate`` for short.

    Parameters
    ----------
    scenario
        A scenario, its name in the catalogue, or a YAML file.
    out
        The run directory to make; if omitted, a temporary one that goes when the result is forgotten
        (`Result.save` keeps it).
    progress
        Report progress on standard error.
    options
        Those of `RunOptions`: ``seed``, ``replicates``, ``burnins``, ``generations``, ``twin="neutral"``, ``engine``,
        ``trees``, ``threads``, ``cache_dir``, ``force`` and so on.

    Raises
    ------
    InputError, RunError, KeyboardInterrupt
        As `run` does.
    """
    known = {field.name for field in fields(RunOptions)} - {"out"}
    for name, value in options.items():
        if name not in known:
            raise InputError(f"simulate({name}=...)", value, f"one of {', '.join(sorted(known))}", nearest(name, known))
    loaded = scenario if isinstance(scenario, Scenario) else load(scenario)
    if options.get("cache_dir") is not None:
        options["cache_dir"] = Path(options["cache_dir"])
    chosen = RunOptions(out=Path(out or "run"), **options)
    with Progress(quiet=not progress) as told:
        if out is not None:
            return Result(run(loaded, chosen, told))
        return Result.temporary(lambda path: run(loaded, replace(chosen, out=path), told), loaded.name)


class _Callable(ModuleType):
    """This module, which is called as `admix.simulate(...)`: a function of that name would hide the module."""

    def __call__(self, *given: Any, **options: Any) -> Result:
        """Return ``simulate(...)``."""
        return simulate(*given, **options)


sys.modules[__name__].__class__ = _Callable
