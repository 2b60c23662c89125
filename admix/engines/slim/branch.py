# SPDX-License-Identifier: GPL-3.0-or-later
"""One branch of one replicate in SLiM: from the state at the pulse to the rows of the run directory's tables.

The state is that of the native engine, or what SLiM has made of one: every deme of the tick before the first pulse,
all chromosomes, by haplotype. Who has which parents, and everything about ancestry and fitness, is SLiM's from there
on; the composition of each cohort (how many children of whom) comes from the schedule, as for the native engine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from admix import seeds
from admix.engines.native.ancestors import Ancestors
from admix.engines.native.branch import ALWAYS_UNTIL, SPREAD_BINS, THEN_EVERY, Branch, BranchPlan, Records
from admix.engines.native.cohorts import plan_cohorts
from admix.engines.native.snapshot import Arrays, pack_world, unpack_worlds
from admix.engines.native.tables import Tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, World
from admix.engines.slim import program
from admix.engines.slim.model import SCRIPT, Model, blocks_of, effects_of, number, regroup, size_changes, write_model
from admix.engines.slim.population import write_population
from admix.errors import RunError
from admix.genome import Genome
from admix.schedule import Schedule

__all__ = ["Output", "SlimBranch", "merge", "seed_of", "write_state"]

_SEEDS = 2**31 - 1


@dataclass(slots=True)
class Output:
    """What a run of the script has written, by tick and deme (and source, where there is one)."""

    fitness: dict[tuple[int, int], float] = field(default_factory=dict)
    ancestry: dict[tuple[int, int, int], list[float]] = field(default_factory=dict)
    spread: dict[tuple[int, int, int], np.ndarray] = field(default_factory=dict)
    landscape: dict[tuple[int, int, int], np.ndarray] = field(default_factory=dict)
    load: dict[tuple[int, int, int], float] = field(default_factory=dict)
    people: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    parents: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Output:
        """Read a folder that the script has written.

        Raises
        ------
        RunError
            Where a line is not what it should be.
        """
        out = cls()
        for name, store, keys, many in (
            ("fitness", out.fitness, 2, False), ("ancestry", out.ancestry, 3, True), ("spread", out.spread, 3, True),
            ("landscape", out.landscape, 3, True), ("load", out.load, 3, False), ("people", out.people, 2, True),
        ):  # fmt: skip
            target = cast(dict[tuple[int, ...], Any], store)
            for words in _lines(folder / f"{name}.tsv"):
                key = tuple(map(int, words[:keys]))
                values = [number(word) for word in words[keys:]]
                target[key] = np.array(values) if many else values[-1]
        for words in _lines(folder / "parents.tsv"):
            out.parents.setdefault(int(words[0]), {})[int(words[1])] = np.array(words[2:], np.int32)
        return out


def _lines(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    return [line.split("\t") for line in path.read_text(encoding="ascii").splitlines()]


def seed_of(*name: str | int) -> int:
    """A seed for SLiM, 1 to 2**31 - 1, from the name of a random stream."""
    return int(seeds.stream_key("slim", *name) % _SEEDS) + 1


def merge(schedule: Schedule, tables: Tables, workers: Workers, lineages: Sequence[Arrays]) -> Arrays:
    """Bring lineages together as arrays with one table of mutations."""
    world = World(tables, schedule.deme_names, lambda purpose, deme: 0, workers)
    unpack_worlds(world, lineages)
    return pack_world(world)


def fixed_in_all(arrays: Mapping[str, np.ndarray], demes: Sequence[int]) -> np.ndarray:
    """Which mutations are fixed in each of some demes (bool, one a mutation)."""
    count = len(arrays["mutation_uid"])
    everywhere = np.ones(count, bool)
    for d in demes:
        here = np.zeros(count, bool)
        here[arrays[f"deme{d}_fixed"]] = True
        everywhere &= here
    return everywhere


def write_state(
    genome: Genome, tables: Tables, arrays: Arrays, demes: Sequence[int], path: Path, *, selected: bool = True
) -> tuple[float, np.ndarray]:
    """Write demes as a population file, without the mutations that are fixed in all of them.

    Returns
    -------
    dropped : float
        The log fitness that these cost everybody.
    written : int64
        Row of each mutation in the file, by its id there.
    """
    effects = effects_of(tables)
    everywhere = fixed_in_all(arrays, demes)
    keep = ~everywhere if selected else np.zeros(len(everywhere), bool)
    with path.open("wb") as file:
        written = write_population(
            genome, arrays, demes, file, h=effects.by_type, kind=effects.type_of(arrays["mutation_s"]), keep=keep
        )
    return (float(np.log1p(arrays["mutation_s"][everywhere]).sum()) if selected else 0.0), written


class SlimBranch(Branch):
    """Runs a :class:`BranchPlan` in SLiM, and has afterwards what a native branch has: records and pedigree."""

    def __init__(
        self, schedule: Schedule, tables: Tables, genome: Genome, workers: Workers, plan: BranchPlan,
        mutation_rate: float, *, trees: bool,
    ) -> None:  # fmt: skip
        super().__init__(schedule, tables, workers, plan)
        self.genome, self.mutation_rate, self.trees = genome, mutation_rate, trees
        self.workers = workers
        self.selected = plan.twin == "none"
        self.demes = [d for d in range(len(schedule.deme_names)) if d in self._founders()]
        self.cohorts: dict[int, dict[int, Cohort]] = {}
        self.arrays: Arrays = {}
        self.written = np.zeros(0, np.int64)
        """Rows of ``arrays`` by their ids in SLiM; mutations with higher ids arose there."""

    def generator(self, purpose: str, deme: int, tick: int) -> np.random.Generator:
        """A named stream of this branch: other numbers than the native engine's."""
        p = self.plan
        name = self.schedule.deme_names[deme]
        return seeds.generator("slim", "run", p.seed, p.branch, p.replicate, p.twin, purpose, name, tick)

    def _founders(self) -> set[int]:
        """Demes of the tick before the first pulse that have descendants who are looked at."""
        schedule, first = self.schedule, self.first
        found = {d for target in self.needed[first] for d, _ in schedule.parents(target, first)}
        found |= {p.source for p in schedule.pulses if p.tick == first}
        # pulses and shares are reported of the target's parents too
        found |= {p.target for p in schedule.pulses if p.tick == first and schedule.exists(p.target, first - 1)}
        return found

    def model(self) -> Model:
        """What SLiM is to simulate."""
        schedule, plan = self.schedule, self.plan
        model = Model(
            start=self.first - 1, last=plan.last, mutation_rate=self.mutation_rate, sources=self.sources,
            parents_from=self.first, trees=self.trees, selected=self.selected,
        )  # fmt: skip
        sizes: dict[int, dict[int, int]] = {self.first - 1: {}}
        for tick in range(self.first, plan.last + 1):
            planned = plan_cohorts(schedule, tick, self.needed[tick], self.generator, self.planes)
            self.cohorts[tick] = {d: regroup(c) for d, c in planned.items()}
            sizes[tick] = {d: c.n for d, c in planned.items()}
            for d, cohort in planned.items():
                if (blocks := blocks_of(cohort, d)) is not None:
                    model.cohorts[tick, d] = blocks
        sizes[self.first - 1] = {d: schedule.size(d, self.first - 1) for d in self.demes}
        model.sizes = [row for row in size_changes(sizes) if row[0] >= self.first]
        for source, q in self.planes.items():
            for d, since in self.reached[source].items():
                if since <= plan.last and any(d in self.needed[t] for t in range(since, plan.last + 1)):
                    model.recipients.append((q, d, since))
        self._ask(model)
        return model

    def _ask(self, model: Model) -> None:
        """Say what is to be written when."""
        schedule, plan = self.schedule, self.plan
        for pulse in schedule.pulses:
            if pulse.tick > plan.last:
                continue
            there = [pulse.target]
            if not schedule.exists(pulse.target, pulse.tick - 1):
                there = [d for d, _ in schedule.parents(pulse.target, pulse.tick) if d != pulse.source]
            model.flags += [(pulse.tick, self.planes[pulse.source], pulse.source, d) for d in there]
            for tick in (pulse.tick - 1, pulse.tick):
                living = self.needed[tick] if tick >= self.first else self.demes
                for d in sorted(living):
                    if schedule.exists(d, tick):
                        model.events += [(tick, "people", d), (tick, "census", d)]
        for q, d, since in model.recipients:
            source = self.sources[q]
            for tick in range(since, plan.last + 1):
                if d not in self.needed[tick] or not schedule.exists(d, tick):
                    continue
                generation = schedule.generation(tick, source)
                if self.selected and self._measures_load(generation, tick):
                    model.events.append((tick, "load", d))
                if generation in plan.spread_generations or tick == plan.last:
                    model.events.append((tick, "spread", d))
                if generation in plan.landscape_generations or tick == plan.last:
                    model.events.append((tick, "landscape", d))
        for tick in sorted(plan.samples):
            for d in sorted(plan.samples[tick]):
                model.samples += [(tick, d, int(i)) for i in plan.samples[tick][d]]

    def _measures_load(self, generation: int, tick: int) -> bool:
        return generation <= ALWAYS_UNTIL or generation % THEN_EVERY == 0 or tick == self.plan.last

    def run_in(
        self, folder: Path, slim: str, lineages: Sequence[Arrays],
        report: Callable[[float, str], None] = lambda fraction, note: None,
        warn: Callable[[str], None] = lambda text: None, script: Path = SCRIPT,
    ) -> Records:  # fmt: skip
        """Write the tables into ``folder/in``, run SLiM, and return the rows made of what is in ``folder/out``."""
        words, dropped = self.prepare(folder, slim, lineages, script)
        first, last = self.first, self.plan.last

        def progress(tick: int) -> None:
            done = max(0, tick - first + 1)
            report(done / (last - first + 1), f"generation {done:,} of {last - first + 1:,} (SLiM)")

        program.run(words, folder / "log", progress, warn)
        self._collect(Output.read(folder / "out"), lineages, dropped)
        return self.records

    def prepare(
        self, folder: Path, slim: str, lineages: Sequence[Arrays], script: Path = SCRIPT
    ) -> tuple[list[str], float]:
        """Write all that SLiM reads; return the command, and the log fitness due to what everybody carries."""
        plan = self.plan
        for name in ("in", "out"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.arrays = merge(self.schedule, self.tables, self.workers, lineages)
        model = self.model()
        write_model(self.genome, effects_of(self.tables), model, folder / "in")
        dropped, self.written = write_state(
            self.genome, self.tables, self.arrays, self.demes, folder / "in" / "population", selected=self.selected
        )
        seed = seed_of("run", plan.seed, plan.branch, plan.replicate, plan.twin)
        constants = model.constants(folder / "in", folder / "out")
        return program.command(slim, script, seed, constants), dropped

    def _collect(self, out: Output, lineages: Sequence[Arrays], dropped: float) -> None:
        """Turn SLiM's output into records and pedigree."""
        for tick in range(self.first, self.plan.last + 1):
            if set(out.parents.get(tick, {})) != set(self.cohorts[tick]):
                raise RunError("SLiM", f"no parents written for tick {tick}", "run it again")
            self._inherit(tick, self.cohorts[tick], out.parents[tick])
            for pulse in (p for p in self.schedule.pulses if p.tick == tick):
                self._describe_pulse(pulse, out)
            self._describe(tick, out, dropped)
        self.world = cast(World, self._living(out))
        self.records.ancestors = Ancestors(self, lineages).rows()

    def _describe_pulse(self, pulse: Any, out: Output) -> None:
        def fitness(tick: int, d: int) -> tuple[float, float]:
            log = out.people[tick, d]
            return float(np.log(np.exp(log - log.max()).mean()) + log.max()), float(log.mean())

        before = pulse.tick - 1
        parental = {d: fitness(before, d) for d in (pulse.source, pulse.target) if (before, d) in out.people}
        seen = SimpleNamespace(log_fitness=lambda d: out.people[pulse.tick, d])
        self.world = cast(World, seen)
        self._record_pulse(pulse, self.cohorts[pulse.tick][pulse.target], parental)

    def _describe(self, tick: int, out: Output, dropped: float) -> None:
        schedule, plan = self.schedule, self.plan
        for source, q in self.planes.items():
            generation = schedule.generation(tick, source)
            for d, reached in self.reached[source].items():
                if d not in self.cohorts[tick] or tick < reached:
                    continue
                mean, sd, p05, p50, p95, functional, far = (float(v) for v in out.ancestry[tick, q, d])
                labels = self.labels(source) | {"deme": schedule.deme_names[d], "generation": generation}
                load = out.load.get((tick, q, d), np.nan) if self._measures_load(generation, tick) else np.nan
                self.records.trajectory.append(
                    labels
                    | {
                        "years_bp": schedule.years_bp(tick), "n_individuals": self.cohorts[tick][d].n,
                        "ancestry_mean": mean, "ancestry_sd": sd, "ancestry_p05": p05, "ancestry_p50": p50,
                        "ancestry_p95": p95, "ancestry_functional": functional, "ancestry_far": far,
                        "log_fitness_mean": out.fitness[tick, d] + dropped if self.selected else 0.0,
                        "load_archaic": load if self.selected else 0.0,
                    }
                )  # fmt: skip
                if generation in plan.spread_generations:
                    counts, edges = np.histogram(out.spread[tick, q, d], SPREAD_BINS, (0.0, 1.0))
                    edges = np.round(edges, 6)
                    self.records.spread += [
                        labels | {"bin_start": float(edges[j]), "bin_end": float(edges[j + 1]), "count": int(counts[j])}
                        for j in range(SPREAD_BINS)
                    ]
                if generation in plan.landscape_generations or tick == plan.last:
                    self.records.landscape.append((labels, out.landscape[tick, q, d]))

    def _living(self, out: Output) -> SimpleNamespace:
        """The last cohort as the table of ancestors wants it: for each deme its size and its people's ancestry."""
        last, total = self.plan.last, int(self.tables.mark_total[0])
        demes: dict[int, Any] = defaultdict(SimpleNamespace)
        for d, cohort in self.cohorts[last].items():
            weights = np.zeros((len(self.sources), 2 * cohort.n, 3), np.int64)
            for q in self.planes.values():
                if (last, q, d) in out.ancestry:
                    # all on one of a person's haplotypes, in whole bases: who asks adds them up
                    weights[q, 0::2, 0] = np.rint(out.spread[last, q, d] * 2 * total)
            demes[d] = SimpleNamespace(n=cohort.n, rows=SimpleNamespace(ancestry=weights))
        return SimpleNamespace(demes=dict(demes), selected=self.selected)


def sampled(plan: BranchPlan) -> list[tuple[int, int, int]]:
    """(tick, deme, individual) of the sampled people: oldest first, then by deme and number."""
    samples: Mapping[int, Mapping[int, np.ndarray]] = plan.samples
    return [(t, d, int(i)) for t in sorted(samples) for d in sorted(samples[t]) for i in samples[t][d]]
