# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scenario to a complete run directory: plan, simulate, record, seal, draw."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import admix
from admix import results
from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.history import RESULTS_VERSION, History, Past, load_slope
from admix.engines.native.workers import Workers
from admix.progress import Progress
from admix.results import RunWriter
from admix.run_plan import Estimate, Plan, RunOptions, estimate, resolve, run_label, stage_label, work
from admix.scenario import Scenario

__all__ = ["Estimate", "RunOptions", "estimate", "run"]

_PACKAGES = (
    "numpy",
    "numba",
    "scipy",
    "pandas",
    "matplotlib",
    "demes",
    "demesdraw",
    "msprime",
    "tskit",
    "pyslim",
    "tszip",
)


class _Clock:
    """Wall and processor seconds of the named parts of a run."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        wall, cpu = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            spent = self.parts.setdefault(name, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
            spent["wall_seconds"] += time.monotonic() - wall
            spent["cpu_seconds"] += time.process_time() - cpu


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
    RunWriter.check(options.out, options.force)
    progress = progress or Progress(quiet=True)
    plan = resolve(scenario, options, progress.say)
    history_work, branch_work = work(plan)
    progress.plan([*history_work, *branch_work, ("tables and pictures", 8.0)])
    workers = Workers(plan.threads)
    clock = _Clock()
    histories: dict[str, Any] = {}
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in results.SCHEMA}
    try:
        with RunWriter(options.out, options.force) as writer:
            for replicate in range(options.replicates):
                for name in plan.branches:
                    lineages, past = _history(plan, name, plan.burnin(replicate), workers, progress, clock, histories)
                    for twin in plan.twins:
                        records = _branch(plan, name, replicate, twin, lineages, past, workers, progress, clock, writer)
                        for table, frame in _frames(plan, records).items():
                            frames[table].append(frame)
            progress.start("tables and pictures")
            with clock.part("tables and pictures"):
                tables = {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()}
                for table, frame in tables.items():
                    writer.table(table, frame)
                stems = {name.removesuffix(".tsv"): frame for name, frame in tables.items()}
                writer.json("summary.json", results.summarise(stems, plan.scenario))
                writer.text("scenario.yaml", _resolved(plan).to_yaml())
            writer.json("provenance.json", _provenance(plan, clock, histories))
            path = writer.seal()
        progress.update("tables and pictures", 0.4)
        from admix import plots  # matplotlib: not for a dry run

        plots.draw_all(results.read_run(path), path / "figures")
        progress.done("tables and pictures")
    finally:
        workers.close()
    return path


def _resolved(plan: Plan) -> Scenario:
    o = plan.options
    return plan.scenario.with_run(
        seed=o.seed, replicates=o.replicates, burnins=None if o.burnin is not None else o.burnins, burnin=o.burnin,
        generations=o.generations, start=o.start or plan.scenario.start.mode, twin=o.twin or "none",
        trees=plan.trees, trees_to="split" if plan.to_split else None,
    )  # fmt: skip


def _history(
    plan: Plan,
    branch: str,
    burnin: int,
    workers: Workers,
    progress: Progress,
    clock: _Clock,
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
    past: Past | None, workers: Workers, progress: Progress, clock: _Clock, writer: RunWriter,
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
    clock: _Clock, writer: RunWriter,
) -> None:  # fmt: skip
    """Make the tree files of a branch that has run."""
    from admix import genealogies, trees  # tskit and pyslim: not for a run without trees
    from admix.engines.native.ancestors import Ancestors
    from admix.engines.native.genealogy import chromosome_records

    made, name = branch.plan, branch.plan.branch
    labels = trees.TreeLabels.from_schedule(
        branch.schedule, branch=name, replicate=made.replicate, twin=made.twin, seed=made.seed,
        chroms=plan.genome.chroms, last_tick=made.last, recorded_from_tick=None if past is None else 0,
        run=trees.run_digest(_resolved(plan)),
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

    with clock.part(f"trees of branch {name}" + (", neutral twin" if made.twin == "neutral" else "")):
        branch.records.ancestors += Ancestors(branch, lineages).genetic_rows(at(0))
        records = chromosome_records(branch, lineages, plan.genome, at(1), past)
        genealogies.write_trees(
            records, labels, plan.genome, expected,
            lambda chrom: writer.path(
                str(trees.tree_path("", name, made.replicate, made.twin, chrom)).replace(os.sep, "/")
            ),
            plan.threads, at(2),
        )  # fmt: skip
    progress.done(label)


def _frames(plan: Plan, records: Records) -> dict[str, pd.DataFrame]:
    g = plan.genome
    landscapes: dict[tuple[Any, ...], list[np.ndarray]] = {}
    for labels, ancestry in records.landscape:
        key = (labels["branch"], labels["replicate"], labels["twin"], labels["source"], labels["generation"])
        landscapes.setdefault(key, []).append(ancestry)
    parts = []
    for key, found in landscapes.items():
        by_window = np.full(len(g.window_chrom), np.nan)
        by_window[g.marker_window] = np.mean(found, axis=0)
        parts.append(
            pd.DataFrame(
                {
                    "branch": key[0], "replicate": key[1], "twin": key[2], "source": key[3], "generation": key[4],
                    "chrom": np.array(g.chroms)[g.window_chrom], "start": g.window_start, "end": g.window_end,
                    "cM": g.window_cm_end - g.window_cm_start, "functional_bp": g.window_functional_bp,
                    "B": g.window_b, "ancestry": by_window,
                }
            )
        )  # fmt: skip
    tables = {
        "trajectory.tsv": records.trajectory, "pulse.tsv": records.pulse, "ancestors.tsv": records.ancestors,
        "spread.tsv": records.spread,
    }  # fmt: skip
    frames = {
        name: pd.DataFrame(rows, columns=None if rows else results.SCHEMA[name].names) for name, rows in tables.items()
    }
    frames["landscape.tsv"] = pd.concat(parts, ignore_index=True)
    return frames


def _provenance(plan: Plan, clock: _Clock, histories: dict[str, Any]) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "software": {"admix": admix.__version__, "results_version": RESULTS_VERSION},
        "command": sys.argv,
        "packages": {name: version(name) for name in _PACKAGES},
        "platform": {
            "python": platform.python_version(), "system": platform.platform(), "processors": os.cpu_count(),
            "threads": plan.threads,
        },
        "inputs": {"genome": plan.genome.name, "genome_sha256": plan.genome.checksum()},
        "history": [{"key": key} | told for key, told in histories.items()],
        "cache": str(plan.cache.directory),
        "time": clock.parts,
        "peak_memory_bytes": usage.ru_maxrss * unit,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }  # fmt: skip
