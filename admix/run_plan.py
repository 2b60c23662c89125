# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run will do: a scenario and its options, resolved, and what that will cost."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from admix import cost, schedule, seeds
from admix.cache import Cache, default_directory
from admix.engines.native.history import Stage, plan_stages
from admix.engines.native.tables import Tables, build_tables
from admix.engines.native.workers import available_threads
from admix.errors import InputError
from admix.genome import Genome
from admix.scenario import Scenario
from admix.spectrum import StationarySpectrum
from admix.theory import linked_spectrum

BASE_BYTES = 3.5e8
"""Memory of the program without any population."""
SIDE_BY_SIDE_FROM = 2_000
"""Individuals of a deme from which two branches run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run a scenario; see ``admix run --help``.

    ``burnins`` is how many independent burn-ins the replicates share (replicate r uses burn-in r modulo it);
    ``burnin`` names the one that all use. ``generations`` is the last generation, today where it is None.
    ``trees`` is whether tree sequences of sampled people are made; None: as the scenario says. ``trees_to`` is how
    far back they reach: ``pulse``, or ``split`` for the last cohort of the common ancestor, for which every lineage
    is simulated, and its parents kept, from the split on. ``keep_parents``: the parents of all people since the
    pulse stay in the run directory. ``engine`` is one of `admix.scenario.ENGINES`; for ``slim``, ``slim_path`` is the
    program, ``history`` says who simulates what precedes the pulse, ``slim`` or ``native``, and ``scale`` is 1 or the
    factor of a rescaled simulation.
    """

    out: Path
    engine: str = "native"
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
    trees_to: str = "pulse"
    keep_parents: bool = False
    cache_dir: Path | None = None
    history: str = "slim"
    slim_path: str | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run is expected to cost; ``stages`` are (name, seconds) in order.

    ``seconds_cached`` is None for an engine that keeps no history in the cache.
    """

    seconds_first: float
    seconds_cached: float | None
    memory_bytes: float
    disk_bytes: float
    stages: list[tuple[str, float]]


def resolved(scenario: Scenario, options: RunOptions) -> Scenario:
    """Return the scenario with a ``run:`` block that repeats the run, of what means anything to its engine."""
    o = options
    # the coalescent engine keeps no history, and trees are what it makes
    forward = o.engine != "msprime"
    return scenario.with_run(
        engine=o.engine, history=o.history if o.engine == "slim" else None, seed=o.seed, replicates=o.replicates,
        burnins=o.burnins if forward and o.burnin is None else None, burnin=o.burnin,
        generations=o.generations, start=(o.start or scenario.start.mode) if forward else None, twin=o.twin or "none",
        trees=(scenario.sampling.trees if forward else True) if o.trees is None else o.trees,
        trees_to="split" if o.trees_to == "split" else None,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plan:
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
        """Twins of each branch, the one with selection first."""
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

    @property
    def to_split(self) -> bool:
        """Whether trees reach back to the split."""
        return self.trees and self.options.trees_to == "split"

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


def resolve(
    scenario: Scenario,
    options: RunOptions,
    say: Any = None,
    genome: Genome | None = None,
    tables: Tables | None = None,
) -> Plan:
    """Return the plan of a run; ``say`` is given the cache's messages, and ``genome`` replaces the scenario's.

    ``tables`` are those of this genome and the scenario's selection, where they were built before.

    Raises
    ------
    InputError
        Where the scenario or an option can't be run.
    """
    names = [branch.name for branch in scenario.branches]
    branches = {name: scenario.branch(name) for name in names}
    schedules = {name: schedule.compile(s) for name, s in branches.items()}
    genome = genome or scenario.build_genome()
    selection = scenario.build_selection()
    tables = tables or build_tables(genome, selection)
    for name, clock in schedules.items():
        longest = clock.today - clock.first_pulse_tick() + 1
        if options.generations is not None and not 1 <= options.generations <= longest:
            raise InputError("--generations", options.generations, f"1 to {longest} (today) in branch {name}")
    plan = Plan(
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
                clock,
                tables_key(genome, tables),
                mode,
                start.ancestral_burnin,
                start.relax,
                k,
                parents_from_split=plan.to_split,
            )
    return plan


def _check_samples(plan: Plan) -> None:
    """Refuse people who can't be sampled: none at all, or such as lived before the first pulse."""
    if plan.options.trees_to == "split" and not plan.trees:
        raise InputError("--trees-to", "split", "together with --trees")
    if plan.options.trees and not plan.scenario.sampling.individuals:
        raise InputError("--trees", allowed="a scenario that says in sampling.individuals whose trees are wanted")
    for name, clock in plan.schedules.items():
        first = clock.first_pulse_tick()
        for tick, deme, n in plan.groups(name):
            if tick < first and not plan.to_split:
                date, oldest = f"{clock.years_bp(tick):,.10g}", f"{clock.years_bp(first):,.10g}"
                raise InputError(
                    "sampling.individuals", f"{clock.deme_names[deme]} {date} years ago",
                    f"dates from the first pulse on ({oldest} years ago), as trees reach back to the tick before it"
                    " (those with --trees-to split to the split)",
                )  # fmt: skip
            if n > clock.size(deme, tick):
                given = f"{n:,} of {clock.deme_names[deme]} in one tick"
                raise InputError("sampling.individuals", given, f"at most {clock.size(deme, tick):,}")


def history_seconds(plan: Plan) -> float:
    """Seconds of all stages of the history, whatever the cache holds."""
    every = {s.key: _stage_seconds(plan, s, plan.schedules[n]) for (n, _), ss in plan.stages.items() for s in ss}
    return sum(every.values())


def stages_seconds(plan: Plan, keys: set[str]) -> float:
    """Seconds of the stages with these cache keys."""
    every = {s.key: (s, plan.schedules[name]) for (name, _), stages in plan.stages.items() for s in stages}
    return sum(_stage_seconds(plan, *every[key]) for key in keys)


def share_spectrum(plan: Plan, spectrum: StationarySpectrum) -> None:
    """Give a plan the spectrum of another one, which takes seconds to compute."""
    # where cached_property keeps it; the plan is otherwise frozen
    plan.__dict__["spectrum"] = spectrum


def _stage_seconds(plan: Plan, stage: Stage, clock: schedule.Schedule) -> float:
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


def _branch_seconds(plan: Plan, name: str, twin: str) -> float:
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


def stage_label(stage: Stage) -> str:
    """Return what a stage is called in progress lines."""
    return f"{stage.name}, burn-in {stage.content['burnin']}"


def work(plan: Plan) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """(name, seconds) of the history's stages that are not in the cache, and of the branches."""
    history: dict[str, float] = {}
    for (name, _), stages in plan.stages.items():
        missing = [s for s in stages[1:] if not plan.cache.has(s.key)]
        if missing and not plan.cache.has(stages[0].key):
            missing.insert(0, stages[0])
        for stage in missing:
            history[stage_label(stage)] = _stage_seconds(plan, stage, plan.schedules[name])
    runs = []
    for r in range(plan.options.replicates):
        for name in plan.branches:
            for twin in plan.twins:
                runs.append((run_label(plan, name, r, twin), _branch_seconds(plan, name, twin)))
                if plan.groups(name):
                    runs.append((run_label(plan, name, r, twin, "trees of branch"), _tree_seconds(plan, name)))
    return list(history.items()), runs


def _tree_seconds(plan: Plan, name: str) -> float:
    clock, groups = plan.schedules[name], plan.groups(name)
    ticks = plan.last(name) if plan.to_split else plan.last(name) - clock.first_pulse_tick() + 2
    n = max(clock.size(deme, tick) for tick, deme, _ in groups)
    people = sum(count for _, _, count in groups)
    return cost.tree_seconds(n, ticks, 2 * people, plan.genome.morgans, plan.threads)


def run_label(plan: Plan, branch: str, replicate: int, twin: str, what: str = "branch") -> str:
    """Return what a branch of a replicate is called in progress lines."""
    label = f"{what} {branch}"
    if plan.options.replicates > 1:
        label += f", replicate {replicate}"
    return label + (", neutral twin" if twin == "neutral" else "")


def _largest(plan: Plan) -> tuple[int, cost.Load]:
    """Size of the largest deme that ancestry reaches, and its cost factors."""
    size = max(
        (clock.size(d, t), d)
        for clock in plan.schedules.values()
        for d in {d for s in clock.sources() for d in clock.recipients(s)}
        for t in (
            max(clock.first_pulse_tick(), int(clock.first_tick[d])),
            min(clock.today, int(clock.last_tick[d])),
        )
    )[0]
    return size, plan.load(size)


def memory_bytes(plan: Plan) -> float:
    """Bytes of memory while the branches run."""
    return BASE_BYTES + side_by_side(plan) * _branch_bytes(plan)


def side_by_side(plan: Plan) -> int:
    """Return how many branches of the native engine run at once: 2 where there are as many, threads for both, people
    enough that the threads are not in each other's way, and memory (half of the machine's)."""
    branches = len(plan.branches) * len(plan.twins) * plan.options.replicates
    if branches < 2 or plan.threads < 2 or _largest(plan)[0] < SIDE_BY_SIDE_FROM:
        return 1
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 2 if BASE_BYTES + 2 * _branch_bytes(plan) < machine / 2 else 1


def _branch_bytes(plan: Plan) -> float:
    size, load = _largest(plan)
    planes = max(len(clock.sources()) for clock in plan.schedules.values())
    ticks = max(plan.last(b) - plan.schedules[b].first_pulse_tick() for b in plan.branches)
    return cost.state_bytes(size, load, planes) + ticks * 2 * size * (2 if size < 65536 else 4)


def estimate(scenario: Scenario, options: RunOptions) -> Estimate:
    """Return what a run will cost on this machine; writes nothing.

    ``seconds_first`` supposes an empty cache and kernels to compile, ``seconds_cached`` that the history is in
    the cache and the kernels are compiled.
    """
    plan = resolve(scenario, options)
    history, runs = work(plan)
    every = {
        stage_label(s): _stage_seconds(plan, s, plan.schedules[name])
        for (name, _), stages in plan.stages.items()
        for s in stages
    }
    size, load = _largest(plan)
    memory = memory_bytes(plan)
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
