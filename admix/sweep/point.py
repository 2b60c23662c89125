# SPDX-License-Identifier: GPL-3.0-or-later
"""One piece of work of a sweep: a history, which goes to the cache, or a point, whose numbers go to the store.

A point is what ``admix run --seed S --burnin K`` simulates for its scenario, without the run directory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from admix import run_plan
from admix.cache import Cache, content_key
from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.branch_state import unpack_value
from admix.engines.native.history import History
from admix.engines.native.snapshot import Arrays
from admix.engines.native.workers import Workers
from admix.errors import AdmixError, RunError
from admix.run_record import frames
from admix.spectrum import StationarySpectrum
from admix.sweep.plan import Parts, Point, SweepPlan
from admix.sweep.store import Store

__all__ = ["UNFINISHED", "Bench", "missing_stages", "reason"]

Report = Callable[[float, str], None]
UNFINISHED = "unfinished"
"""Where in the directory of a sweep the states of points are that a signal stopped, by key."""
TRAJECTORY = (
    "source", "deme", "generation", "years_bp", "n_individuals", "ancestry_mean", "ancestry_sd", "ancestry_functional",
    "ancestry_far", "log_fitness_mean", "load_archaic",
)  # fmt: skip
PULSE = ("source", "pulse", "target", "requested", "realised", "fitness_archaic_relative", "log_load_difference")
ANCESTORS = ("source", "scope", "measure", "value")


def missing_stages(plan: SweepPlan, number: int, cache: Cache) -> list[str]:
    """Keys of the stages of a history that still have to be simulated; the ancestor's only if something needs it."""
    (_, ancestor), *lineages = plan.histories[number].stages
    missing = [key for _, key in lineages if not cache.has(key)]
    return [ancestor, *missing] if missing and not cache.has(ancestor) else missing


def reason(error: BaseException) -> str:
    """Return an error as one line, with its kind where it is none of ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, AdmixError) else f"{type(error).__name__}: {text}"


class Bench:
    """What a process that works on a sweep keeps between pieces of work.

    Parameters
    ----------
    plan, folder
        The sweep, and its directory.
    cache_dir
        Where histories are.
    """

    def __init__(self, plan: SweepPlan, folder: Path, cache_dir: Path) -> None:
        self.plan = plan
        self.store = Store(folder)
        self.cache_dir = cache_dir
        self.unfinished = Cache(folder / UNFINISHED)
        self._parts = Parts()
        self._spectrum: tuple[str, StationarySpectrum] | None = None

    def stage(self, key: str, threads: int) -> None:
        """Simulate one stage of a history, whose ancestor the cache holds.

        Raises
        ------
        RunError
            If the ancestor is not there.
        """
        number = next(i for i, h in enumerate(self.plan.histories) if key in dict(h.stages).values())
        point = next(point for point in self.plan.points if point.history == number)
        workers = Workers(threads)
        try:
            resolved = self._resolved(point, threads)
            (stages,) = resolved.stages.values()
            ancestor, *lineages = stages
            wanted = [stage for stage in lineages if stage.key == key]
            if wanted and not resolved.cache.has(ancestor.key):
                raise RunError(f"stage {key[:12]}", "its ancestor is not in the cache", "it is simulated first")
            self._history(resolved, point, workers).make([ancestor, *wanted], ancestor_too=not wanted)
        finally:
            workers.close()

    def history(self, number: int, threads: int, report: Report = lambda done, note: None) -> None:
        """Simulate what the cache does not hold of a history."""
        point = next(point for point in self.plan.points if point.history == number)
        workers = Workers(threads)
        try:
            self._lineages(self._resolved(point, threads), point, workers, report)
        finally:
            workers.close()

    def point(self, point: Point, threads: int, report: Report = lambda done, note: None) -> None:
        """Simulate a point (and its history, where the cache does not hold it) and keep its result.

        Raises
        ------
        AdmixError
            If that fails; the store is as it was.
        """
        began = time.monotonic()
        resolved = self._resolved(point, threads)
        workers = Workers(threads)
        try:
            lineages = self._lineages(resolved, point, workers, lambda done, note: report(0.0, note))
            (name,) = resolved.branches
            sampling = resolved.scenario.sampling
            branch = Branch(
                resolved.schedules[name], resolved.tables, workers,
                BranchPlan(
                    branch=name, replicate=0, twin="none", seed=point.seed, burnin=point.burnin,
                    last=resolved.last(name), landscape_generations=sampling.landscape_generations,
                    spread_generations=sampling.spread_generations, samples={},
                ),
            )  # fmt: skip
            tables = frames(resolved.genome, self._play(point, branch, lineages, report))
        finally:
            workers.close()
        result: dict[str, Any] = {
            "burnin": point.burnin,
            "seed": point.seed,
            "history": [list(stage) for stage in self.plan.histories[point.history].stages],
        }
        for table, columns in (("trajectory", TRAJECTORY), ("pulse", PULSE), ("ancestors", ANCESTORS)):
            result[table] = _columns(tables[f"{table}.tsv"], columns)
        self.store.keep(point.key, result | {"seconds": round(time.monotonic() - began, 3), "threads": threads})
        self.unfinished.drop_checkpoint(point.key)

    def _play(self, point: Point, branch: Branch, lineages: list[Arrays], report: Report) -> Records:
        """Run a branch, from where it was saved if it was."""
        return branch.run(lineages, report, _Kept(self.unfinished, point.key))

    def _resolved(self, point: Point, threads: int) -> run_plan.Plan:
        scenario = self.plan.scenario(point)
        genome, tables, _ = self._parts.of(scenario)
        options = self.plan.options(point, threads=threads, cache_dir=self.cache_dir)
        resolved = run_plan.resolve(scenario, options, genome=genome, tables=tables)
        return resolved

    def _history(
        self, plan: run_plan.Plan, point: Point, workers: Workers, report: Report = lambda done, note: None
    ) -> History:
        ((name, burnin),) = plan.stages
        ancestor = plan.stages[name, burnin][0]

        def spectrum() -> StationarySpectrum:
            # takes seconds, and is the same for all burn-ins of a history
            key = content_key([run_plan.tables_key(plan.genome, plan.tables), ancestor.content["sizes"][0][0]])
            if self._spectrum is None or self._spectrum[0] != key:
                self._spectrum = key, plan.spectrum
            return self._spectrum[1]

        return History(
            plan.schedules[name], plan.tables, workers, plan.cache,
            lambda stage, done, note: report(done, f"{stage}, burn-in {burnin}"), spectrum,
        )  # fmt: skip

    def _lineages(self, plan: run_plan.Plan, point: Point, workers: Workers, report: Report) -> list[Arrays]:
        (stages,) = plan.stages.values()
        made = self._history(plan, point, workers, report).make(stages)
        return [made[stage.name][0] for stage in stages[1:]]


class _Kept:
    """The state of a point under way (`admix.engines.native.branch_state.Keeper`)."""

    def __init__(self, states: Cache, key: str) -> None:
        self._states, self._key = states, key

    def load(self) -> Arrays | None:
        """Return what was saved last, None where nothing was."""
        found = self._states.load(self._key, checkpoint=True)
        return None if found is None else found[0]

    def save(self, arrays: Arrays, title: str) -> None:
        """Keep a state instead of the last one."""
        told = {"title": title, "tick": unpack_value(arrays["state"])["tick"]}
        self._states.save(self._key, arrays, told, checkpoint=True)


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return columns of a table as lists for JSON; missing numbers are None."""
    return {
        name: [None if isinstance(v, float) and not math.isfinite(v) else v for v in table[name].tolist()]
        for name in names
    }
