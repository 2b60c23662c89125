# SPDX-License-Identifier: GPL-3.0-or-later
"""Populations for which theory is exact: no mutation, or chosen alleles that the whole source carries.

A run here is the native engine's own branch (`admix.engines.native.branch`) from the pulse on; what is left out is
the history before it, which theory does not need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from admix import schedule, seeds
from admix.engines.native import start
from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.snapshot import Arrays, pack_world
from admix.engines.native.tables import Tables, build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.genome import Genome
from admix.scenario import Scenario

__all__ = ["NO_MUTATION", "Planted", "Setting", "empty_lineages", "one_site_genome", "pulse_scenario"]

NO_MUTATION: dict[str, Any] = {"mutation_rate": 0.0, "dfe": {"kind": "neutral"}, "dominance": 0.5}
EXONS: dict[str, Any] = {"source": "human_autosomes_GRCh37", "target": "exons", "chromosomes": "all"}
_NOTHING = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)


def pulse_scenario(
    n: int, share: float, generations: int, *, genome: Mapping[str, Any] = EXONS,
    selection: Mapping[str, Any] = NO_MUTATION, pulse: Mapping[str, Any] | None = None,
    sampling: Mapping[str, Any] | None = None,
) -> Scenario:  # fmt: skip
    """Return the scenario of one pulse into a population of constant size; a year is a generation.

    Parameters
    ----------
    n
        Individuals.
    share
        Of the pulse, in generation 1.
    generations
        The last one is today.
    genome, selection, sampling
        Blocks of a scenario.
    pulse
        Other fields of the pulse, such as its unit.
    """
    ago = generations - 1
    block: dict[str, Any] = {
        "time_units": "years",
        "generation_time": 1,
        "demes": [
            {"name": "ancestral", "epochs": [{"end_time": ago + 10, "start_size": n}]},
            {"name": "modern", "ancestors": ["ancestral"], "epochs": [{"start_size": n}]},
            {"name": "archaic", "ancestors": ["ancestral"], "epochs": [{"end_time": ago, "start_size": 50}]},
        ],
    }
    one = {"name": "pulse", "source": "archaic", "target": "modern", "time": ago, "share": share} | dict(pulse or {})
    tree = {
        "name": "verify", "title": "A check against theory", "demography": block, "genome": dict(genome),
        "selection": dict(selection), "pulse": [one], "start": {"mode": "stationary", "relax": 5},
    }  # fmt: skip
    return Scenario.from_tree(tree | ({"sampling": dict(sampling)} if sampling else {}))


@dataclass(frozen=True, slots=True)
class Planted:
    """Alleles that everybody in the source carries twice: their places on the axis (uint64), effects and dominance."""

    axis: np.ndarray
    s: np.ndarray
    h: np.ndarray


def empty_lineages(
    clock: schedule.Schedule, tables: Tables, workers: Workers, planted: Planted | None = None
) -> list[Arrays]:
    """Return the living demes at the tick before the first pulse, without any mutation but the planted ones."""
    tick = clock.first_pulse_tick() - 1
    world = World(
        tables, clock.deme_names, lambda purpose, deme: seeds.stream_key("neutral", purpose, deme), workers,
        selected=False,
    )  # fmt: skip
    for deme in range(len(clock.deme_names)):
        if clock.exists(deme, tick):
            start.found(world, deme, clock.size(deme, tick), _NOTHING, np.random.default_rng(0), tick)
    if planted is not None:
        source = clock.pulses[0].source
        m, k = world.mutations, len(planted.s)
        ids = m.take(k)
        m["axis"][ids], m["site"][ids], m["uid"][ids] = planted.axis, np.arange(k), np.arange(1, k + 1)
        m["s"][ids], m["h"][ids] = planted.s, planted.h
        m["born"][ids], m["lineage"][ids] = tick, source
        start.effects_of(planted.s, planted.h, ids, m["effect"], m["correction"])
        world.demes[source].fixed = ids.astype(np.int32)
    return [pack_world(world)]


@dataclass
class Setting:
    """A scenario made ready to be run many times from its pulse on."""

    scenario: Scenario
    planted: Planted | None = None
    clock: schedule.Schedule = field(init=False)
    genome: Genome = field(init=False)
    tables: Tables = field(init=False)
    workers: Workers = field(init=False)
    lineages: list[Arrays] = field(init=False)

    def __post_init__(self) -> None:
        self.clock, self.genome = schedule.compile(self.scenario), self.scenario.build_genome()
        self.tables = build_tables(self.genome, self.scenario.build_selection())
        self.workers = Workers(1)
        self.lineages = empty_lineages(self.clock, self.tables, self.workers, self.planted)

    def branch(self, name: str, seed: int, landscape: tuple[int, ...] = ()) -> Branch:
        """Return a branch that is ready to run; its name is part of the names of its random streams."""
        plan = BranchPlan(
            branch=name, replicate=0, twin="neutral" if self.planted is None else "none", seed=seed, burnin=0,
            last=self.clock.today, landscape_generations=landscape, spread_generations=(),
        )  # fmt: skip
        return Branch(self.clock, self.tables, self.workers, plan)

    def run(self, branch: Branch) -> Records:
        """Run a branch."""
        return branch.run(self.lineages, lambda fraction, note: None)


def one_site_genome(folder: Path, megabases: int = 100) -> dict[str, Any]:
    """Write a chromosome of 1 cM/Mb with one selected base in its middle, and return the genome block that reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    length, middle = megabases * 1_000_000, megabases * 500_000
    (folder / "map.txt").write_text(
        f"Chromosome\tPosition(bp)\tMap(cM)\n1\t1\t0\n1\t{length}\t{megabases}\n", encoding="utf-8"
    )
    (folder / "site.bed").write_text(f"1\t{middle}\t{middle + 1}\n", encoding="utf-8")
    return {"source": "files", "map": str(folder / "map.txt"), "elements": str(folder / "site.bed")}
