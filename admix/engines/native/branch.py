# SPDX-License-Identifier: GPL-3.0-or-later
"""One branch of one replicate: from the first pulse to today, with everything that is measured on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from admix import seeds
from admix.engines.native import history
from admix.engines.native.ancestors import Ancestors
from admix.engines.native.audit import Conservation, audit
from admix.engines.native.branch_state import Keeper, pack_branch, unpack_branch
from admix.engines.native.cohorts import plan_cohorts
from admix.engines.native.history import REBALANCE_EVERY
from admix.engines.native.pedigree import Pedigree, pass_down
from admix.engines.native.snapshot import Arrays, unpack_worlds
from admix.engines.native.tables import Tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, World
from admix.interrupts import Pending, deferred
from admix.schedule import Pulse, Schedule

SPREAD_BINS = 200
ALWAYS_UNTIL, THEN_EVERY = 100, 10
"""``load_archaic`` is measured in every generation up to the first, then in every so many, and in the last."""
_COLLECT_EVERY = 16
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchPlan:
    """What to run and to record. ``last`` is the last tick; generations count from each source's first pulse.

    ``samples`` are the numbers of sampled individuals (ascending) by tick and deme: their markers are kept.
    """

    branch: str
    replicate: int
    twin: str
    seed: int
    burnin: int
    last: int
    landscape_generations: tuple[int, ...]
    spread_generations: tuple[int, ...]
    samples: Mapping[int, Mapping[int, np.ndarray]] = field(default_factory=dict)


@dataclass(slots=True)
class Records:
    """Rows of the run directory's tables; ``landscape`` holds arrays by marker."""

    trajectory: list[Row] = field(default_factory=list)
    pulse: list[Row] = field(default_factory=list)
    ancestors: list[Row] = field(default_factory=list)
    spread: list[Row] = field(default_factory=list)
    landscape: list[tuple[Row, np.ndarray]] = field(default_factory=list)


class Branch:
    """Runs a :class:`BranchPlan` on the lineages that a history has made."""

    def __init__(self, schedule: Schedule, tables: Tables, workers: Workers, plan: BranchPlan) -> None:
        self.schedule, self.tables, self.plan = schedule, tables, plan
        self.sources = schedule.sources()
        self.planes = {source: q for q, source in enumerate(self.sources)}
        self.records = Records()
        self.world = World(
            tables,
            schedule.deme_names,
            lambda purpose, deme: seeds.stream_key("run", plan.seed, plan.branch, plan.replicate, purpose, deme),
            workers,
            n_planes=len(self.sources),
            selected=plan.twin == "none",
        )
        self.first = schedule.first_pulse_tick()
        self.needed = self._needed()
        self.reached = {s: schedule.recipients(s) for s in self.sources}
        self.pedigree = Pedigree()
        self.paths: dict[int, dict[int, np.ndarray]] = {q: {} for q in self.planes.values()}
        self.sampled_marks: dict[tuple[int, int], np.ndarray] = {}
        """By (tick, deme): markers of the sampled haplotypes, uint64[planes, 2 individuals, words]."""

    def run(
        self,
        lineages: Sequence[Arrays],
        report: Callable[[float, str], None],
        keeper: Keeper | None = None,
        pending: Pending | None = None,
    ) -> Records:
        """Play all ticks; ``lineages`` are the worlds (with their pedigrees) at the tick before the pulse.

        With a ``keeper`` the state is saved every few minutes and on a signal, and a saved one is where it begins. In
        another thread than the main one, ``pending`` says what signals have come in.

        Raises
        ------
        InvariantError
            If the state breaks a law that always holds.
        KeyboardInterrupt
            On SIGINT or SIGTERM, once the tick in hand is done and the state is saved.
        """
        world, plan = self.world, self.plan
        kept = None if keeper is None else keeper.load()
        if kept is None:
            unpack_worlds(world, lineages)
            if not world.selected:
                world.strip()
            begin, since = self.first, 0
        else:
            done_tick, since = unpack_branch(self, kept)
            begin = done_tick + 1
            del kept
        conserved = Conservation()
        saved = time.monotonic()
        with deferred() if pending is None else nullcontext(pending) as pending:
            for tick in range(begin, plan.last + 1):
                cohorts = plan_cohorts(self.schedule, tick, self.needed[tick], self.generator, self.planes)
                pulses = [p for p in self.schedule.pulses if p.tick == tick]
                for pulse in pulses:
                    self._flag(pulse)
                parental = {d: self._mean_fitness(d) for p in pulses for d in (p.source, p.target) if d in world.demes}
                parents = world.breed(tick, cohorts)
                self._inherit(tick, cohorts, parents)
                for pulse in pulses:
                    self._record_pulse(pulse, cohorts[pulse.target], parental)
                self._record(tick)
                for deme, who in plan.samples.get(tick, {}).items():
                    rows = np.stack([2 * who, 2 * who + 1], axis=1).ravel()
                    self.sampled_marks[tick, deme] = world.demes[deme].rows.marks[:, rows]
                since = 0 if pulses else since + 1
                stop = pending.signal is not None
                due = stop or pending.save or time.monotonic() - saved > history.CHECKPOINT_SECONDS
                look = since == 1 or tick % REBALANCE_EVERY == 0 or tick == plan.last or (due and keeper is not None)
                if since in (1, 2, 4, 8, 16, 32, 64) or tick % REBALANCE_EVERY == 0:
                    world.rebalance(recount=look)
                elif tick % _COLLECT_EVERY == 0:
                    world.collect()
                if pulses:
                    conserved.forget()
                if look:
                    audit(world, tick)
                    conserved.look(world, tick)
                note = f"generation {tick - self.first + 1:,} of {plan.last - self.first + 1:,}"
                report((tick - self.first + 1) / (plan.last - self.first + 1), note)
                if due and keeper is not None:
                    keeper.save(pack_branch(self, tick, since), note)
                    saved, pending.save = time.monotonic(), False
                if stop:
                    break
        if pending.signal is not None:
            raise KeyboardInterrupt
        try:
            self.records.ancestors = Ancestors(self, lineages).rows()
        except KeyboardInterrupt:
            if keeper is not None:
                keeper.save(pack_branch(self, plan.last, since), "last generation")
            raise
        return self.records

    def packed_pedigree(self) -> dict[str, np.ndarray]:
        """The parents of everybody since the pulse, and what draws their crossovers again, as arrays.

        Those of `Pedigree.pack`, with ``demes`` (names), ``stream_keys`` uint64 (of each deme's gametes), and
        ``first_tick``, ``last_tick``.
        """
        names = self.schedule.deme_names
        keys = [int(self.world.stream_key("gametes", d)) for d in range(len(names))]
        return self.pedigree.pack() | {
            "demes": np.array(names), "stream_keys": np.array(keys, np.uint64),
            "first_tick": np.array(self.first), "last_tick": np.array(self.plan.last),
        }  # fmt: skip

    # ------------------------------------------------------------------ genealogy

    def generator(self, purpose: str, deme: int, tick: int) -> np.random.Generator:
        """A named stream of this branch."""
        p = self.plan
        return seeds.generator("run", p.seed, p.branch, p.replicate, purpose, self.schedule.deme_names[deme], tick)

    def _needed(self) -> dict[int, set[int]]:
        """Demes worth simulating at each tick: those whose descendants are looked at in the end."""
        schedule, last = self.schedule, self.plan.last
        sampled = {tick: set(who) for tick, who in self.plan.samples.items()}
        looked_at = {d for s in self.sources for d in schedule.recipients(s) if schedule.exists(d, last)}
        looked_at |= sampled.get(last, set())
        now = looked_at or {d for d in range(len(schedule.deme_names)) if schedule.exists(d, last)}
        needed = {last: now}
        for tick in range(last, self.first, -1):
            # a recipient is also looked at while it lives, whoever descends from it
            before = {d for s in self.sources for d, t in schedule.recipients(s).items() if t <= tick - 1}
            before = {d for d in before if schedule.exists(d, tick - 1)}
            before |= {d for target in now for d, _ in schedule.parents(target, tick)}
            before |= {p.source for p in schedule.pulses if p.tick == tick and p.target in now}
            before |= sampled.get(tick - 1, set())
            needed[tick - 1] = now = before
        return needed

    def _inherit(self, tick: int, cohorts: dict[int, Cohort], parents: dict[int, np.ndarray]) -> None:
        self.pedigree.add(tick, cohorts, parents)
        for plane in self.paths:
            self.paths[plane] = pass_down(self.paths[plane], self.pedigree.births[tick], plane)

    def _flag(self, pulse: Pulse) -> None:
        """Mark the mutations that a pulse brings: in the source, and not yet in the target (or, where that is
        no older than the pulse, in those who found it)."""
        world = self.world
        if not world.selected:
            return
        there = [pulse.target]
        if pulse.target not in world.demes:
            there = [d for d, _ in self.schedule.parents(pulse.target, pulse.tick) if d != pulse.source]
        new = world.counts(pulse.source) > 0
        for deme in there:
            new &= world.counts(deme) == 0
        world.mutations["archaic"][new] |= np.uint8(1 << self.planes[pulse.source])

    # ------------------------------------------------------------------ what is written down

    def labels(self, source: int) -> Row:
        """First columns of every table."""
        p = self.plan
        return {
            "branch": p.branch, "replicate": p.replicate, "twin": p.twin, "source": self.schedule.deme_names[source]
        }  # fmt: skip

    def _mean_fitness(self, deme: int) -> tuple[float, float]:
        """(log of the mean fitness, mean log fitness) of a deme's cohort."""
        log = self.world.log_fitness(deme)
        return _log_mean(log), float(log.mean())

    def _record_pulse(self, pulse: Pulse, cohort: Cohort, parental: dict[int, tuple[float, float]]) -> None:
        world = self.world
        rows = next((g.rows for g in cohort.groups if g.pulse == pulse.name), np.zeros(0, int))
        if pulse.unit == "individuals" and len(rows):
            log = world.log_fitness(pulse.target)
            come = np.zeros(cohort.n, bool)
            come[np.concatenate([g.rows for g in cohort.groups if g.plane >= 0]) >> 1] = True
            archaic = np.zeros(cohort.n, bool)
            archaic[rows >> 1] = True
            a, m = log[archaic], log[~come]
            log_ratio = difference = float("nan")  # a pulse may be the whole cohort
            if len(m):
                log_ratio, difference = _log_mean(a) - _log_mean(m), float(m.mean() - a.mean())
        elif pulse.target in parental:
            a_mean, m_mean = parental[pulse.source], parental[pulse.target]
            log_ratio, difference = a_mean[0] - m_mean[0], m_mean[1] - a_mean[1]
        else:
            log_ratio = difference = float("nan")
        self.records.pulse.append(
            self.labels(pulse.source)
            | {
                "pulse": pulse.name, "target": self.schedule.deme_names[pulse.target],
                "years_bp": self.schedule.years_bp(pulse.tick), "requested": pulse.share,
                "realised": len(rows) / (2 * cohort.n), "fitness_archaic_relative": float(np.exp(log_ratio)),
                "log_load_difference": difference, "burnin": self.plan.burnin,
            }
        )  # fmt: skip

    def _record(self, tick: int) -> None:
        world, plan = self.world, self.plan
        for source in self.sources:
            plane = self.planes[source]
            generation = self.schedule.generation(tick, source)
            for deme, reached in self.reached[source].items():
                if deme not in world.demes or tick < reached:
                    continue
                shares = world.shares(deme)[plane]
                weights = world.demes[deme].rows.ancestry[plane].sum(axis=0)
                whole = self.tables.mark_total * (2 * world.demes[deme].n)
                p05, p50, p95 = np.percentile(shares, [5, 50, 95])
                labels = self.labels(source) | {
                    "deme": self.schedule.deme_names[deme],
                    "generation": generation,
                }
                load = self._archaic_load(deme, plane, generation, tick)
                self.records.trajectory.append(
                    labels
                    | {
                        "years_bp": self.schedule.years_bp(tick), "n_individuals": world.demes[deme].n,
                        "ancestry_mean": weights[0] / whole[0], "ancestry_sd": shares.std(),
                        "ancestry_p05": p05, "ancestry_p50": p50, "ancestry_p95": p95,
                        "ancestry_functional": _share(weights[1], whole[1]),
                        "ancestry_far": _share(weights[2], whole[2]),
                        "log_fitness_mean": world.log_fitness(deme).mean(), "load_archaic": load,
                    }
                )  # fmt: skip
                if generation in plan.spread_generations:
                    self._record_spread(labels, shares)
                if generation in plan.landscape_generations or tick == plan.last:
                    self.records.landscape.append((labels, world.marker_shares(deme, plane)))

    def _archaic_load(self, deme: int, plane: int, generation: int, tick: int) -> float:
        """Mean log fitness lost to a source's alleles; not known (nan) in most late generations: it costs as much
        as a fifth of a tick."""
        if not self.world.selected:
            return 0.0
        if generation > ALWAYS_UNTIL and generation % THEN_EVERY and tick < self.plan.last:
            return float("nan")
        flag = (self.world.mutations["archaic"] >> np.uint8(plane)) & 1 == 1
        return -float(self.world.flagged_log_fitness(deme, flag).mean())

    def _record_spread(self, labels: Row, shares: np.ndarray) -> None:
        counts, edges = np.histogram(shares, SPREAD_BINS, (0.0, 1.0))
        edges = np.round(edges, 6)
        self.records.spread += [
            labels | {"bin_start": float(edges[j]), "bin_end": float(edges[j + 1]), "count": int(counts[j])}
            for j in range(SPREAD_BINS)
        ]


def _share(part: int, whole: int) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _log_mean(log: np.ndarray) -> float:
    """Logarithm of the mean of exp(log)."""
    top = log.max()
    return float(top + np.log(np.exp(log - top).mean()))
