# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scenario to a complete run directory: plan, simulate, record, seal, draw."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import admix
from admix import cost, results, schedule, seeds
from admix.cache import Cache, default_directory
from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.history import RESULTS_VERSION, History, Stage, load_slope, plan_stages
from admix.engines.native.tables import Tables, build_tables
from admix.engines.native.workers import Workers, available_threads
from admix.errors import InputError
from admix.genome import Genome
from admix.progress import Progress
from admix.results import RunWriter
from admix.scenario import Scenario
from admix.spectrum import StationarySpectrum
from admix.theory import linked_spectrum

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run a scenario; see ``admix run --help``.

    ``burnins`` is how many independent burn-ins the replicates share (replicate r uses burn-in r modulo it);
    ``burnin`` names the one that all use. ``generations`` is the last generation, today where it is None.
    ``trees`` is whether tree sequences of sampled people are made; None: as the scenario says.
    """

    out: Path
    seed: int = 1
    replicates: int = 1
    burnins: int = 1
    burnin: int | None = None
    generations: int | None = None
    start: str | None = None
    threads: int | None = None
    force: bool = False
    twin: str | None = None
    trees: bool | None = None
    cache_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run is expected to cost; ``stages`` are (name, seconds) in order."""

    seconds_first: float
    seconds_cached: float
    memory_bytes: float
    disk_bytes: float
    stages: list[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A scenario and options, resolved: what will be simulated in which order."""

    scenario: Scenario
    options: RunOptions
    genome: Genome
    tables: Tables
    branches: dict[str, Scenario]
    schedules: dict[str, schedule.Schedule]
    threads: int
    cache: Cache
    stages: dict[tuple[str, int], list[Stage]] = field(default_factory=dict)

    @property
    def twins(self) -> tuple[str, ...]:
        return ("none", "neutral") if self.options.twin == "neutral" else ("none",)

    def burnin(self, replicate: int) -> int:
        """The burn-in that a replicate starts from."""
        fixed = self.options.burnin
        return fixed if fixed is not None else replicate % self.options.burnins

    def last(self, branch: str) -> int:
        """Last tick of a branch."""
        clock = self.schedules[branch]
        if self.options.generations is None:
            return clock.today
        return clock.first_pulse_tick() + self.options.generations - 1

    @cached_property
    def spectrum(self) -> StationarySpectrum:
        """Stationary spectrum of the ancestor where it starts, with the drift that linked selection leaves."""
        t, clock = self.tables, next(iter(self.schedules.values()))
        n = clock.size(clock.root, next(iter(self.stages.values()))[0].first - 1)
        return linked_spectrum(self.genome, n, t.s_nodes, t.h_bins, t.mutation_mean)

    @property
    def trees(self) -> bool:
        """Whether tree sequences are wanted."""
        wanted = self.options.trees
        return self.scenario.sampling.trees if wanted is None else wanted

    def groups(self, branch: str) -> list[tuple[int, int, int]]:
        """(tick, deme, number) of the people to sample, oldest first; who lives after the last tick is taken there."""
        found: dict[tuple[int, int], int] = {}
        if self.trees:
            for deme, tick, n in self.schedules[branch].individuals:
                at = (min(tick, self.last(branch)), deme)
                found[at] = found.get(at, 0) + n
        return [(tick, deme, n) for (tick, deme), n in sorted(found.items())]

    def samples(self, branch: str, replicate: int) -> dict[int, dict[int, np.ndarray]]:
        """Numbers of the people to sample, by tick and deme."""
        clock = self.schedules[branch]
        chosen: dict[int, dict[int, np.ndarray]] = {}
        for tick, deme, n in self.groups(branch):
            rng = seeds.generator(
                "run", self.options.seed, branch, replicate, "samples", clock.deme_names[deme], clock.today - tick
            )
            who = np.sort(rng.choice(clock.size(deme, tick), n, replace=False))
            chosen.setdefault(tick, {})[deme] = who
        return chosen

    def load(self, n: float) -> cost.Load:
        """Cost factors of a deme of ``n`` individuals, scaled from the ancestor's stationary spectrum."""
        counts = self.spectrum.expected_counts()
        copies = np.arange(1, len(counts) + 1) if len(counts) == 2 * self.spectrum.N - 1 else None
        if copies is None:
            common, rare = 45_000 * self.tables.mutation_mean, 300 * self.tables.mutation_mean
        else:
            share = copies / (2 * self.spectrum.N)
            common = float(counts[share > 0.015].sum())
            rare = float((counts * share)[share <= 0.015].sum())
        small = min(1.0, (n / 10_000) ** 0.75)
        markers = self.tables.n_markers
        return cost.Load(morgans=self.genome.morgans, common=common * small, rare=rare * small, markers=markers)


def tables_key(genome: Genome, tables: Tables) -> str:
    """SHA-256 (hex) of all that a history depends on besides demography: genome, effects, mutation rate."""
    digest = hashlib.sha256(genome.checksum().encode())
    for array in (tables.s_nodes, tables.h_bins, np.array([tables.mutation_mean])):
        digest.update(array.astype("<f8").tobytes())
    return digest.hexdigest()


def _resolve(scenario: Scenario, options: RunOptions, say: Any = None) -> _Plan:
    names = [branch.name for branch in scenario.branches]
    branches = {name: scenario.branch(name) for name in names}
    schedules = {name: schedule.compile(s) for name, s in branches.items()}
    genome = scenario.build_genome()
    selection = scenario.build_selection()
    tables = build_tables(genome, selection)
    for name, clock in schedules.items():
        longest = clock.today - clock.first_pulse_tick() + 1
        if options.generations is not None and not 1 <= options.generations <= longest:
            raise InputError("--generations", options.generations, f"1 to {longest} (today) in branch {name}")
    plan = _Plan(
        scenario=scenario, options=options, genome=genome, tables=tables, branches=branches, schedules=schedules,
        threads=options.threads or available_threads(),
        cache=Cache(options.cache_dir or default_directory(), say or (lambda text: None)),
    )  # fmt: skip
    _check_samples(plan)
    start = scenario.start
    mode = options.start or start.mode
    for name, clock in schedules.items():
        for k in sorted({plan.burnin(r) for r in range(options.replicates)}):
            plan.stages[name, k] = plan_stages(
                clock, tables_key(genome, tables), mode, start.ancestral_burnin, start.relax, k
            )
    return plan


def _check_samples(plan: _Plan) -> None:
    """Refuse people who can't be sampled: none at all, or such as lived before the first pulse."""
    if plan.options.trees and not plan.scenario.sampling.individuals:
        raise InputError("--trees", allowed="a scenario that says in sampling.individuals whose trees are wanted")
    for name, clock in plan.schedules.items():
        first = clock.first_pulse_tick()
        for tick, deme, n in plan.groups(name):
            if tick < first:
                date, oldest = f"{clock.years_bp(tick):,.10g}", f"{clock.years_bp(first):,.10g}"
                raise InputError(
                    "sampling.individuals", f"{clock.deme_names[deme]} {date} years ago",
                    f"dates from the first pulse on ({oldest} years ago), as trees reach back to the tick before it",
                )  # fmt: skip
            if n > clock.size(deme, tick):
                given = f"{n:,} of {clock.deme_names[deme]} in one tick"
                raise InputError("sampling.individuals", given, f"at most {clock.size(deme, tick):,}")


def _stage_seconds(plan: _Plan, stage: Stage, clock: schedule.Schedule) -> float:
    total = 0.0
    for deme in stage.demes:
        first = max(stage.first, int(clock.first_tick[deme]))
        last = min(stage.last, int(clock.last_tick[deme]))
        if last >= first:
            sizes, counts = np.unique(clock.sizes(deme, first, last), return_counts=True)
            total += sum(
                c * cost.tick_seconds(n, plan.load(n), plan.threads) for n, c in zip(sizes, counts, strict=True)
            )
    return float(total)


def _branch_seconds(plan: _Plan, name: str, twin: str) -> float:
    clock, last = plan.schedules[name], plan.last(name)
    first = clock.first_pulse_tick()
    total = 0.0
    demes = {d for s in clock.sources() for d in clock.recipients(s)}
    for deme in demes:
        low, high = max(first, int(clock.first_tick[deme])), min(last, int(clock.last_tick[deme]))
        if high >= low:
            sizes, counts = np.unique(clock.sizes(deme, low, high), return_counts=True)
            for n, c in zip(sizes, counts, strict=True):
                load = plan.load(n)
                if twin == "neutral":
                    load = cost.Load(morgans=load.morgans, common=0, rare=0, markers=load.markers)
                total += c * cost.tick_seconds(n, load, plan.threads, len(clock.sources()))
    return float(total)


def _label(stage: Stage) -> str:
    return f"{stage.name}, burn-in {stage.content['burnin']}"


def _work(plan: _Plan) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """(name, seconds) of the history's stages that are not in the cache, and of the branches."""
    history: dict[str, float] = {}
    for (name, _), stages in plan.stages.items():
        missing = [s for s in stages[1:] if not plan.cache.has(s.key)]
        if missing and not plan.cache.has(stages[0].key):
            missing.insert(0, stages[0])
        for stage in missing:
            history[_label(stage)] = _stage_seconds(plan, stage, plan.schedules[name])
    runs = []
    for r in range(plan.options.replicates):
        for name in plan.branches:
            for twin in plan.twins:
                runs.append((_run_label(plan, name, r, twin), _branch_seconds(plan, name, twin)))
                if plan.groups(name):
                    runs.append((_run_label(plan, name, r, twin, "trees of branch"), _tree_seconds(plan, name)))
    return list(history.items()), runs


def _tree_seconds(plan: _Plan, name: str) -> float:
    clock, groups = plan.schedules[name], plan.groups(name)
    ticks = plan.last(name) - clock.first_pulse_tick() + 2
    n = max(clock.size(deme, tick) for tick, deme, _ in groups)
    people = sum(count for _, _, count in groups)
    return cost.tree_seconds(n, ticks, 2 * people, plan.genome.morgans, plan.threads)


def _run_label(plan: _Plan, branch: str, replicate: int, twin: str, what: str = "branch") -> str:
    label = f"{what} {branch}"
    if plan.options.replicates > 1:
        label += f", replicate {replicate}"
    return label + (", neutral twin" if twin == "neutral" else "")


def estimate(scenario: Scenario, options: RunOptions) -> Estimate:
    """Return what a run will cost on this machine; writes nothing.

    ``seconds_first`` supposes an empty cache and kernels to compile, ``seconds_cached`` that the history is in
    the cache and the kernels are compiled.
    """
    plan = _resolve(scenario, options)
    history, runs = _work(plan)
    every = {
        _label(s): _stage_seconds(plan, s, plan.schedules[name])
        for (name, _), stages in plan.stages.items()
        for s in stages
    }
    size = max(
        (clock.size(d, t), d)
        for clock in plan.schedules.values()
        for d in {d for s in clock.sources() for d in clock.recipients(s)}
        for t in (
            max(clock.first_pulse_tick(), int(clock.first_tick[d])),
            min(clock.today, int(clock.last_tick[d])),
        )
    )[0]
    planes = max(len(clock.sources()) for clock in plan.schedules.values())
    load = plan.load(size)
    ticks = max(plan.last(b) - plan.schedules[b].first_pulse_tick() for b in plan.branches)
    memory = 3.5e8 + cost.state_bytes(size, load, planes) + ticks * 2 * size * (2 if size < 65536 else 4)
    rows = sum(plan.last(b) for b in plan.branches) * 180 + len(plan.genome.window_chrom) * 5 * 60
    stored = sum(2 * size * (load.common / 8 + 5 * load.rare) for _ in plan.stages) * 2
    tail = sum(seconds for _, seconds in runs)
    return Estimate(
        seconds_first=sum(every.values()) + tail + cost.COMPILE_SECONDS,
        seconds_cached=tail + 5.0,
        memory_bytes=memory,
        disk_bytes=rows * options.replicates * len(plan.twins) + stored,
        stages=history + runs,
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
    plan = _resolve(scenario, options, progress.say)
    history_work, branch_work = _work(plan)
    progress.plan([*history_work, *branch_work, ("tables and pictures", 8.0)])
    workers = Workers(plan.threads)
    clock = _Clock()
    histories: dict[str, Any] = {}
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in results.SCHEMA}
    try:
        with RunWriter(options.out, options.force) as writer:
            for replicate in range(options.replicates):
                for name in plan.branches:
                    lineages = _history(plan, name, plan.burnin(replicate), workers, progress, clock, histories)
                    for twin in plan.twins:
                        records = _branch(plan, name, replicate, twin, lineages, workers, progress, clock, writer)
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


def _resolved(plan: _Plan) -> Scenario:
    o = plan.options
    return plan.scenario.with_run(
        seed=o.seed, replicates=o.replicates, burnins=None if o.burnin is not None else o.burnins, burnin=o.burnin,
        generations=o.generations, start=o.start or plan.scenario.start.mode, twin=o.twin or "none",
        trees=plan.trees,
    )  # fmt: skip


def _history(
    plan: _Plan,
    branch: str,
    burnin: int,
    workers: Workers,
    progress: Progress,
    clock: _Clock,
    told: dict[str, Any],
) -> list[dict[str, np.ndarray]]:
    stages = plan.stages[branch, burnin]
    by_name = {stage.name: _label(stage) for stage in stages}
    begun: set[str] = set()

    def report(name: str, fraction: float, note: str) -> None:
        if by_name[name] in planned:
            if name not in begun:
                progress.start(by_name[name])
                begun.add(name)
            progress.update(by_name[name], fraction, note)

    planned = {label for label, _ in _work(plan)[0]}
    with clock.part(f"history, burn-in {burnin}"):
        made = History(plan.schedules[branch], plan.tables, workers, plan.cache, report, lambda: plan.spectrum).make(
            stages
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
    return [made[stage.name][0] for stage in stages[1:]]


def _branch(
    plan: _Plan, name: str, replicate: int, twin: str, lineages: list[dict[str, np.ndarray]], workers: Workers,
    progress: Progress, clock: _Clock, writer: RunWriter,
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
    label = _run_label(plan, name, replicate, twin)
    progress.start(label)
    with clock.part(f"branch {name}" + (", neutral twin" if twin == "neutral" else "")):
        records = branch.run(lineages, lambda fraction, note: progress.update(label, fraction, note))
    progress.done(label)
    if plan.groups(name):
        _trees(plan, branch, lineages, progress, clock, writer)
    return records


def _trees(
    plan: _Plan, branch: Branch, lineages: list[dict[str, np.ndarray]], progress: Progress, clock: _Clock,
    writer: RunWriter,
) -> None:  # fmt: skip
    """Make the tree files of a branch that has run."""
    from admix import genealogies, trees  # tskit and pyslim: not for a run without trees
    from admix.engines.native.ancestors import Ancestors
    from admix.engines.native.genealogy import chromosome_records

    made, name = branch.plan, branch.plan.branch
    labels = trees.TreeLabels.from_schedule(
        branch.schedule, branch=name, replicate=made.replicate, twin=made.twin, seed=made.seed,
        chroms=plan.genome.chroms, last_tick=made.last, run=trees.run_digest(_resolved(plan)),
        samples=[(deme, tick, n) for tick, deme, n in plan.groups(name)],
        dominance=plan.scenario.to_tree()["selection"].get("dominance"),
    )  # fmt: skip
    expected = genealogies.expected_labels(
        [branch.sampled_marks[at] for at in sorted(branch.sampled_marks)], plan.tables.n_markers
    )
    label = _run_label(plan, name, made.replicate, made.twin, "trees of branch")
    progress.start(label)
    shares = np.cumsum([0.0, 0.4, 0.35, 0.25])  # of the time: who left DNA, the way back, the files

    def at(part: int) -> Callable[[float, str], None]:
        return lambda done, note: progress.update(label, shares[part] + (shares[part + 1] - shares[part]) * done, note)

    with clock.part(f"trees of branch {name}" + (", neutral twin" if made.twin == "neutral" else "")):
        branch.records.ancestors += Ancestors(branch, lineages).genetic_rows(at(0))
        records = chromosome_records(branch, lineages, plan.genome, at(1))
        genealogies.write_trees(
            records, labels, plan.genome, expected,
            lambda chrom: writer.path(
                str(trees.tree_path("", name, made.replicate, made.twin, chrom)).replace(os.sep, "/")
            ),
            plan.threads, at(2),
        )  # fmt: skip
    progress.done(label)


def _frames(plan: _Plan, records: Records) -> dict[str, pd.DataFrame]:
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


def _provenance(plan: _Plan, clock: _Clock, histories: dict[str, Any]) -> dict[str, Any]:
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
