# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scenario to a complete run directory: plan, simulate, record, seal, draw.

The native engine's runs are made here; those of another engine in a module of its own (`_other_engine`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from admix import results, run_plan
from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.history import RESULTS_VERSION, History, Past, load_slope
from admix.engines.native.workers import Workers
from admix.errors import InputError, nearest
from admix.progress import Progress
from admix.results import RunWriter
from admix.run_plan import Estimate, Plan, RunOptions, resolve, resolved, run_label, stage_label, work
from admix.run_record import Clock, frames, provenance
from admix.scenario import ENGINES, Scenario

__all__ = ["Estimate", "RunOptions", "estimate", "run"]


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
        On SIGINT, once the history under way is saved in the cache; ``options.out`` is not written then.
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
    try:
        with RunWriter(options.out, options.force) as writer:
            for replicate in range(options.replicates):
                for name in plan.branches:
                    lineages, past = _history(plan, name, plan.burnin(replicate), workers, progress, clock, histories)
                    for twin in plan.twins:
                        records = _branch(plan, name, replicate, twin, lineages, past, workers, progress, clock, writer)
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
            }
            writer.json("provenance.json", provenance(plan.genome, RESULTS_VERSION, plan.threads, clock, more))
            path = writer.seal()
        progress.update("tables and pictures", 0.4)
        from admix import run_pages  # matplotlib: not for a dry run

        run_pages.make(path)
        progress.done("tables and pictures")
    finally:
        workers.close()
    return path


def _history(
    plan: Plan,
    branch: str,
    burnin: int,
    workers: Workers,
    progress: Progress,
    clock: Clock,
    told: dict[str, Any],
) -> tuple[list[dict[str, np.ndarray]], Past | None]:
    stages = plan.stages[branch, burnin]
    by_name = {stage.name: stage_label(stage) for stage in stages}
    begun: set[str] = set()

    def report(name: str, fraction: float, note: str) -> None:
        if by_name[name] in planned:
            if name not in begun:
                progress.start(by_name[name])
                begun.add(name)
            progress.update(by_name[name], fraction, note)

    planned = {label for label, _ in work(plan)[0]}
    with clock.part(f"history, burn-in {burnin}"):
        made = History(plan.schedules[branch], plan.tables, workers, plan.cache, report, lambda: plan.spectrum).make(
            stages, ancestor_too=plan.to_split
        )
    for name in begun:
        progress.done(by_name[name])
    for stage in stages[1:]:
        meta = made[stage.name][1]
        slopes = {}
        for curve in (meta["ancestor"], meta["curve"]):
            for deme in sorted({int(i) for _, i, _ in curve}):
                slope, error = load_slope(curve, deme)
                deme_name = plan.schedules[branch].deme_names[deme]
                slopes[deme_name] = {"log_fitness_per_1000_generations": slope, "standard_error": error}
        told.setdefault(
            stage.key,
            {
                "stage": stage.name, "burnin": burnin, "first_tick": stage.first, "last_tick": stage.last,
                "from_cache": meta["from_cache"], "load_slope": slopes,
            },
        )  # fmt: skip
    past = None
    if plan.to_split:
        stage_of = {deme: stage.key for stage in stages[1:] for deme in stage.demes}
        past = Past(made[stages[0].name][0], stage_of)
    return [made[stage.name][0] for stage in stages[1:]], past


def _branch(
    plan: Plan, name: str, replicate: int, twin: str, lineages: list[dict[str, np.ndarray]],
    past: Past | None, workers: Workers, progress: Progress, clock: Clock, writer: RunWriter,
) -> Records:  # fmt: skip
    sampling, o = plan.scenario.sampling, plan.options
    branch = Branch(
        plan.schedules[name], plan.tables, workers,
        BranchPlan(
            branch=name, replicate=replicate, twin=twin, seed=o.seed, burnin=plan.burnin(replicate),
            last=plan.last(name), landscape_generations=sampling.landscape_generations,
            spread_generations=sampling.spread_generations, samples=plan.samples(name, replicate),
        ),
    )  # fmt: skip
    label = run_label(plan, name, replicate, twin)
    progress.start(label)
    with clock.part(f"branch {name}" + (", neutral twin" if twin == "neutral" else "")):
        records = branch.run(lineages, lambda fraction, note: progress.update(label, fraction, note))
    progress.done(label)
    if plan.groups(name):
        _trees(plan, branch, lineages, past, progress, clock, writer)
    if plan.options.keep_parents:
        path = writer.path(f"parents/{name}/{replicate}{'-neutral' if twin == 'neutral' else ''}.npz")
        np.savez(path, allow_pickle=False, **branch.packed_pedigree())
    return records


def _trees(
    plan: Plan, branch: Branch, lineages: list[dict[str, np.ndarray]], past: Past | None, progress: Progress,
    clock: Clock, writer: RunWriter,
) -> None:  # fmt: skip
    """Make the tree files of a branch that has run."""
    from admix import genealogies, trees  # tskit and pyslim: not for a run without trees
    from admix.engines.native.ancestors import Ancestors
    from admix.engines.native.genealogy import chromosome_records

    made, name = branch.plan, branch.plan.branch
    labels = trees.TreeLabels.from_schedule(
        branch.schedule, branch=name, replicate=made.replicate, twin=made.twin, seed=made.seed,
        chroms=plan.genome.chroms, last_tick=made.last, recorded_from_tick=None if past is None else 0,
        run=trees.run_digest(resolved(plan.scenario, plan.options)),
        samples=[(deme, tick, n) for tick, deme, n in plan.groups(name)],
        dominance=plan.scenario.to_tree()["selection"].get("dominance"),
    )  # fmt: skip
    # who lived before the pulse has no markers, and nothing from any source
    unmarked = len(branch.sources), plan.tables.mark_words
    expected = genealogies.expected_labels(
        [
            branch.sampled_marks.get((tick, deme), np.zeros((unmarked[0], 2 * n, unmarked[1]), np.uint64))
            for tick, deme, n in plan.groups(name)
        ],
        plan.tables.n_markers,
    )
    label = run_label(plan, name, made.replicate, made.twin, "trees of branch")
    progress.start(label)
    shares = np.cumsum([0.0, 0.4, 0.35, 0.25])  # of the time: who left DNA, the way back, the files

    def at(part: int) -> Callable[[float, str], None]:
        return lambda done, note: progress.update(label, shares[part] + (shares[part + 1] - shares[part]) * done, note)

    what = f"branch {name}" + (", neutral twin" if made.twin == "neutral" else "")
    with clock.part(f"genetic ancestors of {what}"):
        branch.records.ancestors += Ancestors(branch, lineages).genetic_rows(at(0))
    with clock.part(f"trees of {what}"):
        records = chromosome_records(branch, lineages, plan.genome, at(1), past)
        genealogies.write_trees(
            records, labels, plan.genome, expected,
            lambda chrom: writer.path(
                str(trees.tree_path("", name, made.replicate, made.twin, chrom)).replace(os.sep, "/")
            ),
            plan.threads, at(2),
        )  # fmt: skip
    progress.done(label)
