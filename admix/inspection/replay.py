# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a generation of a run again and compare everything up to it with the tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from admix import run_plan
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.history import RESULTS_VERSION, History
from admix.engines.native.workers import Workers
from admix.results import SCHEMA, Run, conform
from admix.run_plan import Plan, RunOptions, resolve
from admix.run_record import frames

__all__ = ["Choice", "choose", "differences", "hindrance", "plan_of"]

SECONDS = 60.0
"""A generation is chosen among those that are reached within this time, as the run itself took it."""
_TABLES = ("trajectory", "pulse", "landscape", "spread")
_FORMAT = "%.10g"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is made again: a branch to a generation, counted from the branch's first pulse."""

    branch: str
    replicate: int
    twin: str
    generation: int

    def __str__(self) -> str:
        twin = ", neutral twin" if self.twin == "neutral" else ""
        return f"generation {self.generation} of branch {self.branch}, replicate {self.replicate}{twin}"


def plan_of(run: Run, cache_dir: Path | None, threads: int | None) -> Plan:
    """Return the plan of a run, from its resolved scenario."""
    scenario = run.scenario
    given = {k: v for k, v in scenario.run.given().items() if k not in ("engine", "history", "trees", "trees_to")}
    given["twin"] = None if given.get("twin") == "none" else given.get("twin")
    to_split = scenario.run.trees_to == "split"
    return resolve(
        scenario,
        RunOptions(
            out=run.path, cache_dir=cache_dir, threads=threads, trees=bool(scenario.run.trees),
            trees_to="split" if to_split else "pulse", **given,
        ),
    )  # fmt: skip


def hindrance(run: Run, plan: Plan, *, thorough: bool) -> str:
    """Return why a generation can't be made again here; empty if it can."""
    engine = run.scenario.run.engine or "native"
    if engine != "native":
        return f"the run was made by {engine}, not by the native engine"
    made = run.provenance.get("software", {}).get("results_version")
    if made != RESULTS_VERSION:
        return f"the run has results of version {made}, this admix gives {RESULTS_VERSION}"
    missing = {s.key for stages in plan.stages.values() for s in stages[1:] if not plan.cache.has(s.key)}
    seconds = run_plan.history_seconds(plan) if missing else 0.0
    if seconds > SECONDS and not thorough:
        return f"its history is not in {plan.cache.directory} (about {seconds / 60:.0f} min); --thorough makes it"
    return ""


def choose(run: Run, plan: Plan, rng: random.Random, *, thorough: bool) -> Choice:
    """Return a random generation of a random branch."""
    branch = rng.choice(list(plan.branches))
    twin = rng.choice(plan.twins)
    count = plan.last(branch) - plan.schedules[branch].first_pulse_tick() + 1
    label = f"branch {branch}" + (", neutral twin" if twin == "neutral" else "")
    # branches that ran side by side have one time
    parts = [part for name, part in run.provenance.get("time", {}).items() if label in name.split(" and ")]
    each = sum(float(part["wall_seconds"]) for part in parts) / (count * plan.options.replicates)
    most = count if thorough or each <= 0 else max(1, min(count, int(SECONDS / each)))
    return Choice(
        branch=branch, replicate=rng.randrange(plan.options.replicates), twin=twin, generation=rng.randint(1, most)
    )


def differences(run: Run, plan: Plan, choice: Choice) -> Iterator[str]:
    """Yield where the tables of a run differ from what is made again, to the last written digit."""
    clock, name = plan.schedules[choice.branch], choice.branch
    workers = Workers(plan.threads)
    try:
        stages = plan.stages[name, plan.burnin(choice.replicate)]
        history = History(clock, plan.tables, workers, plan.cache, lambda *told: None, lambda: plan.spectrum)
        made = history.make(stages)
        sampling = plan.scenario.sampling
        branch = Branch(
            clock, plan.tables, workers,
            BranchPlan(
                branch=name, replicate=choice.replicate, twin=choice.twin, seed=plan.options.seed,
                burnin=plan.burnin(choice.replicate), last=clock.first_pulse_tick() + choice.generation - 1,
                landscape_generations=sampling.landscape_generations, spread_generations=sampling.spread_generations,
            ),
        )  # fmt: skip
        records = branch.run([made[stage.name][0] for stage in stages[1:]], lambda done, note: None)
    finally:
        workers.close()
    tables = frames(plan.genome, records)
    for table in _TABLES:
        new = conform(f"{table}.tsv", tables[f"{table}.tsv"])
        old = run.table(table)
        old = old[(old["branch"] == name) & (old["replicate"] == choice.replicate) & (old["twin"] == choice.twin)]
        yield from _compare(table, old, new)


def _compare(table: str, old: Any, new: Any) -> Iterator[str]:
    key = list(SCHEMA[f"{table}.tsv"].key)
    rows: dict[Any, dict[str, Any]] = {tuple(row[k] for k in key): row for row in old.to_dict("records")}
    for row in new.to_dict("records"):
        name = ", ".join(f"{k} {row[k]}" for k in key[1:])
        mine = rows.get(tuple(row[k] for k in key))
        if mine is None:
            if table != "landscape":  # the last generation made has one of its own
                yield f"{table}.tsv: {name} is missing"
            continue
        for column, value in row.items():
            theirs = mine[column]
            if column == "load_archaic" and pd.isna(theirs):
                continue  # measured in the last generation made, and not in this one of the run
            # NaN is written as a word, so that it equals itself; -0 is read as 0 from a column of whole numbers
            texts = [_FORMAT % (v + 0.0) if isinstance(v, float) else str(v) for v in (value, theirs)]
            if texts[0] != texts[1]:
                yield f"{table}.tsv: {name}: {column} is {theirs!r}, made again {value!r}"
                return
