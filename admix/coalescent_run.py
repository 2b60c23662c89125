# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the coalescent engine (``--engine msprime``): the same run directory, from sampled people alone.

There are no cohorts here, so tables have rows for the dates at which people are sampled, and each row describes
these people. The pulses of the tables are as requested: nobody counts gene copies in a cohort that isn't simulated.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from admix import results, schedule, trees
from admix.ancestry import labels_at
from admix.background import Gate, each
from admix.base_axis import base_axis
from admix.engines.coalescent import RESULTS_VERSION, check_samples, simulate_chromosome
from admix.engines.native.branch import SPREAD_BINS, Records
from admix.engines.native.workers import available_threads
from admix.errors import InputError
from admix.genome import Genome
from admix.genome_layout import Bool, Int64
from admix.progress import Progress
from admix.results import RunWriter
from admix.run_plan import Estimate, RunOptions, resolved
from admix.run_record import Clock, frames, provenance
from admix.scenario import Scenario
from admix.selection import Selection

__all__ = ["ENGINE", "estimate", "is_neutral", "records", "run"]

ENGINE = "msprime"
"""Name of the engine on the command line and in provenance.json."""

_PICTURES = "tables and pictures"
_MEETING_SECONDS, _CROSSOVER_SECONDS, _EDGE_SECONDS = 1e-5, 3.5e-5, 2e-6
_BYTES_IN_MEMORY, _BYTES_IN_FILE = 300, 12
"""Fitted to `reich` and `fstatistics`, see `_cost`; bytes an edge."""

Row = dict[str, Any]
Group = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A scenario and options, resolved for this engine."""

    scenario: Scenario
    options: RunOptions
    genome: Genome
    schedules: dict[str, schedule.Schedule]
    groups: dict[str, list[Group]]
    last: dict[str, int]
    twin: str
    to: str
    threads: int
    mutation_rate: float


def run(scenario: Scenario, options: RunOptions, progress: Progress | None = None) -> Path:
    """Simulate a neutral scenario, or the neutral twin of one, and return its complete run directory.

    A scenario without selection gets trees to the common ancestors of all samples, with neutral mutations at the rate
    ``selection.mutation_rate`` on the whole genome. The neutral twin of a scenario with selection gets trees as the
    native engine makes them: to the tick before the first pulse, or to the split, and without mutations. A replicate
    is a history of its own, and counts as a burn-in.

    Raises
    ------
    InputError
        Where the scenario has selection and no neutral twin is asked for, nobody is sampled, an option has no
        meaning here, or ``options.out`` exists and may not be replaced.
    RunError
        Where the disk is full or a directory can't be written.
    """
    RunWriter.check(options.out, options.force)
    progress = progress or Progress(quiet=True)
    plan = _resolve(scenario, options)
    progress.plan([*_work(plan), (_PICTURES, 8.0)])
    clock = Clock()
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in results.SCHEMA}
    with RunWriter(options.out, options.force) as writer:
        for replicate in range(options.replicates):
            for branch in plan.schedules:
                made = _branch(plan, branch, replicate, writer, progress, clock)
                for name, frame in frames(plan.genome, made).items():
                    tables[name].append(frame)
        progress.start(_PICTURES)
        with clock.part(_PICTURES):
            whole = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
            for name, frame in whole.items():
                writer.table(name, frame)
            stems = {name.removesuffix(".tsv"): frame for name, frame in whole.items()}
            writer.json("summary.json", results.summarise(stems, plan.scenario))
            writer.text("scenario.yaml", resolved(plan.scenario, plan.options).to_yaml())
        more: Row = {"engine": ENGINE, "history": [], "cache": None}
        writer.json("provenance.json", provenance(plan.genome, RESULTS_VERSION, plan.threads, clock, more))
        path = writer.seal()
    progress.update(_PICTURES, 0.4)
    from admix import run_pages  # matplotlib: not for a dry run

    run_pages.make(path)
    progress.done(_PICTURES)
    return path


def estimate(scenario: Scenario, options: RunOptions) -> Estimate:
    """Return what a run will cost on this machine, within a factor of three or so; writes nothing."""
    plan = _resolve(scenario, options)
    stages = _work(plan)
    seconds = sum(seconds for _, seconds in stages) + 8.0
    edges = [[_cost(plan, branch, float(m))[1] for m in plan.genome.chrom_morgans] for branch in plan.schedules]
    stored = sum(map(sum, edges)) * options.replicates * _BYTES_IN_FILE if options.trees is not False else 0.0
    return Estimate(
        seconds_first=seconds,
        seconds_cached=None,
        memory_bytes=4e8 + plan.threads * max(map(max, edges)) * _BYTES_IN_MEMORY,
        disk_bytes=stored,
        stages=stages,
    )


def _resolve(scenario: Scenario, options: RunOptions) -> _Plan:
    for option, given, unset in (
        ("--burnin", options.burnin, None),
        ("--burnins", options.burnins, 1),
        ("--start", options.start, None),
        ("--keep-parents", options.keep_parents, False),
    ):
        if given != unset:
            rule = f"left out with --engine {ENGINE}, whose histories are simulated anew in each replicate"
            raise InputError(option, given, rule)
    neutral = is_neutral(scenario.build_selection())
    if not neutral and options.twin != "neutral":
        rule = (
            f"native, as {scenario.name} has selection; or add --twin neutral to do without it, or take a neutral"
            " scenario (selection.dfe.kind: neutral), as fstatistics"
        )
        raise InputError("--engine", options.engine, rule)
    rate = scenario.build_selection().mutation_rate if neutral and options.twin != "neutral" else 0.0
    to = "ancestors" if neutral and options.twin != "neutral" else options.trees_to
    if options.trees is False and options.trees_to != "pulse":
        raise InputError("--trees-to", options.trees_to, "together with --trees")
    if to == "ancestors" and options.trees_to != "pulse":
        rule = f"left out with --engine {ENGINE}: trees of a neutral scenario reach back to the common ancestors"
        raise InputError("--trees-to", options.trees_to, rule)
    schedules = {branch.name: schedule.compile(scenario.branch(branch.name)) for branch in scenario.branches}
    last, groups = {}, {}
    for name, clock in schedules.items():
        first = clock.first_pulse_tick()
        longest = clock.today - first + 1
        if options.generations is not None and not 1 <= options.generations <= longest:
            raise InputError("--generations", options.generations, f"1 to {longest} (today) in branch {name}")
        last[name] = clock.today if options.generations is None else first + options.generations - 1
        groups[name] = _groups(clock, last[name])
        if not any(
            tick >= clock.recipients(s).get(d, tick + 1) for d, tick, _ in groups[name] for s in clock.sources()
        ):
            where = " and ".join(
                clock.deme_names[d] for d in dict.fromkeys(d for s in clock.sources() for d in clock.recipients(s))
            )
            rule = f"at least one block with deme, time and n, of people of {where} since the first pulse"
            raise InputError("sampling.individuals", allowed=rule)
        check_samples(clock, groups[name], last[name], to)
    return _Plan(
        scenario=scenario, options=options, genome=scenario.build_genome(), schedules=schedules, groups=groups,
        last=last, twin="neutral" if options.twin == "neutral" else "none", to=to,
        threads=options.threads or available_threads(), mutation_rate=rate,
    )  # fmt: skip


def is_neutral(selection: Selection) -> bool:
    """Return whether no mutation has an effect."""
    return selection.mutation_rate == 0 or bool(np.all(selection.dfe.costs(np.linspace(0, 1, 1001)[:-1]) == 0))


def _groups(clock: schedule.Schedule, last: int) -> list[Group]:
    """(deme, tick, number) of the people to sample, oldest first; who lives after the last tick is taken there."""
    found: dict[tuple[int, int], int] = {}
    for deme, tick, n in clock.individuals:
        at = (min(tick, last), deme)
        found[at] = found.get(at, 0) + n
    return [(deme, tick, n) for (tick, deme), n in sorted(found.items())]


def _cost(plan: _Plan, branch: str, morgans: float) -> tuple[float, float]:
    """Seconds and edges of a chromosome.

    Back to the pulse, events are the meetings of lineages, of which there are about 2N (1 - exp(-0.24 L)) on a
    chromosome of L Morgans after some hundred generations, most without common material. Beyond, they are the
    crossovers on the branches of the trees, whose length is taken to be that of samples from one deme of the
    largest size, and two branches to the first split.
    """
    clock, last = plan.schedules[branch], plan.last[branch]
    first = clock.first_pulse_tick()
    haplotypes = 2 * sum(n for _, _, n in plan.groups[branch])
    size = max(
        clock.size(d, max(int(clock.first_tick[d]), first)) for s in clock.sources() for d in clock.recipients(s)
    )
    ticks = last - first + 1
    seconds = _MEETING_SECONDS * ticks * size * math.exp(-0.48 * morgans) * math.expm1(0.24 * morgans) ** 2
    edges = 10 * haplotypes / (1 + haplotypes * ticks / (4 * size)) * ticks * morgans
    if plan.to != "pulse":
        largest = max(clock.size(d, int(clock.last_tick[d])) for d in range(len(clock.deme_names)))
        crossovers = morgans * (4 * largest * math.log(haplotypes + 1) + 2 * last)
        seconds += _CROSSOVER_SECONDS * crossovers
        edges += 2.5 * crossovers
    return seconds + _EDGE_SECONDS * edges, edges


def _label(plan: _Plan, branch: str, replicate: int) -> str:
    label = f"branch {branch}" + (f", replicate {replicate}" if plan.options.replicates > 1 else "")
    return label + (", neutral twin" if plan.twin == "neutral" else "")


def _work(plan: _Plan) -> list[tuple[str, float]]:
    """(name, seconds) of all branches and replicates."""
    out = []
    for replicate in range(plan.options.replicates):
        for branch in plan.schedules:
            seconds = [_cost(plan, branch, float(m))[0] for m in plan.genome.chrom_morgans]
            # the longest chromosome cannot be shared out
            out.append((_label(plan, branch, replicate), max(sum(seconds) / plan.threads, max(seconds))))
    return out


def _branch(plan: _Plan, branch: str, replicate: int, writer: RunWriter, progress: Progress, clock: Clock) -> Records:
    """Simulate all chromosomes of a branch and write their tree files; return the rows of its tables."""
    genome, axis = plan.genome, base_axis(plan.genome)
    label = _label(plan, branch, replicate)
    digest = trees.run_digest(resolved(plan.scenario, plan.options))
    cost = [_cost(plan, branch, float(m))[0] for m in genome.chrom_morgans]
    sources = [plan.schedules[branch].deme_names[s] for s in plan.schedules[branch].sources()]

    def make(c: int, gate: Gate) -> np.ndarray:
        ts = simulate_chromosome(
            plan.schedules[branch], genome, genome.chroms[c], plan.groups[branch], plan.options.seed,
            branch=branch, replicate=replicate, twin=plan.twin, to=plan.to, last_tick=plan.last[branch],
            mutation_rate=plan.mutation_rate, run=digest,
            dominance=plan.scenario.to_tree()["selection"].get("dominance"),
        )  # fmt: skip
        if plan.options.trees is not False:
            place = trees.tree_path("", branch, replicate, plan.twin, genome.chroms[c])
            with gate.inside():
                trees.write(ts, writer.path(str(place).replace(os.sep, "/")))
        return labels_at(ts, axis.marker_bp[axis.marker_chrom == c], sources=sources)

    progress.start(label)
    found: dict[int, np.ndarray] = {}
    with clock.part(label), warnings.catch_warnings():
        # tszip silences this warning of zipfile while it writes, but several threads lift each other's silence
        warnings.filterwarnings("ignore", "Duplicate name", UserWarning)
        for c, marks in each(sorted(range(len(cost)), key=lambda c: -cost[c]), make, plan.threads):
            found[c] = marks
            done = sum(cost[k] for k in found) / sum(cost)
            progress.update(label, done, f"{len(found)} of {len(cost)} chromosomes")
    progress.done(label)
    names = {"branch": branch, "replicate": replicate, "twin": plan.twin}
    whole = np.concatenate([found[c] for c in range(len(cost))], axis=1)
    return records(plan.schedules[branch], genome, plan.groups[branch], whole, names, plan.last[branch])


def records(
    clock: schedule.Schedule,
    genome: Genome,
    groups: Sequence[Group],
    marks: np.ndarray,
    names: Mapping[str, Any],
    last: int,
) -> Records:
    """Return the rows of the run directory's tables from the ancestry of sampled people at the markers.

    Parameters
    ----------
    clock, genome
        The schedule and the genome.
    groups
        (deme, tick, number) of the people sampled.
    marks
        int8[haplotypes, markers], in order of the groups: 0, or 1 + the number of the source in
        ``clock.sources()``.
    names
        `branch`, `replicate` and `twin`.
    last
        Last tick of the run.
    """
    out = Records()
    ends = np.cumsum([2 * n for _, _, n in groups])
    blocks = np.split(marks, ends[:-1])
    for q, source in enumerate(clock.sources(), start=1):
        first = clock.first_pulse_tick(source)
        if first > last:
            continue
        labels: Row = {**names, "source": clock.deme_names[source]}
        reached = clock.recipients(source)
        for (deme, tick, n), block in zip(groups, blocks, strict=True):
            if tick >= reached.get(deme, tick + 1):
                row = labels | {"deme": clock.deme_names[deme], "generation": clock.generation(tick, source)}
                _describe(out, row, clock.years_bp(tick), n, block == q, genome)
        _ancestors(out, labels, clock, [(g, b == q) for g, b in zip(groups, blocks, strict=True)], source, genome, last)
    for pulse in clock.pulses:
        if pulse.tick <= last:
            out.pulse.append(
                {
                    **names, "source": clock.deme_names[pulse.source], "pulse": pulse.name,
                    "target": clock.deme_names[pulse.target], "years_bp": clock.years_bp(pulse.tick),
                    "requested": pulse.share, "realised": pulse.share, "fitness_archaic_relative": 1.0,
                    "log_load_difference": 0.0, "burnin": names["replicate"],
                }
            )  # fmt: skip
    return out


def _describe(out: Records, row: Row, years: float, n: int, hits: Bool, genome: Genome) -> None:
    """Add what the people of one deme and date have of one source; `hits` is bool[2n, markers]."""
    every = np.ones(len(genome.marker_weight), bool)
    share, functional, far = (
        _shares(hits, genome.marker_weight, which) for which in (every, genome.marker_functional, genome.marker_far)
    )
    people = (share[::2] + share[1::2]) / 2
    p05, p50, p95 = np.percentile(people, [5, 50, 95])
    out.trajectory.append(
        row
        | {
            "years_bp": years, "n_individuals": n, "ancestry_mean": people.mean(), "ancestry_sd": people.std(),
            "ancestry_p05": p05, "ancestry_p50": p50, "ancestry_p95": p95, "ancestry_functional": functional.mean(),
            "ancestry_far": far.mean(), "log_fitness_mean": 0.0, "load_archaic": 0.0,
        }
    )  # fmt: skip
    counts, edges = np.histogram(people, SPREAD_BINS, (0.0, 1.0))
    edges = np.round(edges, 6)
    out.spread += [
        row | {"bin_start": float(edges[j]), "bin_end": float(edges[j + 1]), "count": int(counts[j])}
        for j in range(SPREAD_BINS)
    ]
    out.landscape.append((row, hits.mean(axis=0)))


def _shares(hits: Bool, weight: Int64, which: Bool) -> np.ndarray:
    """Weighted share of the markers `which` that are hit, for each haplotype; NaN where there is no such marker."""
    whole = int(weight[which].sum())
    return (hits[:, which] @ weight[which]) / whole if whole else np.full(len(hits), np.nan)


def _ancestors(
    out: Records,
    labels: Row,
    clock: schedule.Schedule,
    blocks: Sequence[tuple[Group, Bool]],
    source: int,
    genome: Genome,
    last: int,
) -> None:
    """Add the head-count, as expected, and the share of the DNA of the living, by the sizes of their demes."""
    first = clock.first_pulse_tick(source)
    pulses = [p for p in clock.pulses if p.source == source and p.tick == first]
    size = {p.target: clock.size(p.target, first) for p in pulses}
    headcount = sum(p.share * size[p.target] for p in pulses) / sum(size.values())
    every = np.ones(len(genome.marker_weight), bool)
    reached = {d for s in clock.sources() for d in clock.recipients(s)}
    living = [
        (clock.size(deme, last), _shares(hits, genome.marker_weight, every).mean())
        for (deme, tick, _), hits in blocks
        if tick == last and deme in reached
    ]
    dna = sum(n * share for n, share in living) / sum(n for n, _ in living) if living else math.nan
    for measure, value in (("headcount", headcount), ("dna", dna)):
        out.ancestors.append(labels | {"scope": "all", "measure": measure, "value": float(value)})
