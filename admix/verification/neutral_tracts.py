# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree sequences of one pulse without selection, by the native and by the coalescent engine, and their tracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import tskit

from admix import schedule, seeds, trees
from admix.ancestry import local_ancestry
from admix.blocks import chromosome_lengths
from admix.engines import coalescent
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.genealogy import chromosome_records
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.genome import Genome
from admix.scenario import Scenario
from admix.tract_theory import end_rate, line_sizes
from admix.tracts import TRACT_COLUMNS, measure
from admix.verification.worlds import empty_lineages

__all__ = ["Coalescent", "Native", "expected_rate", "measured_tracts"]

Chromosomes = Iterable[tuple[str, tskit.TreeSequence]]


class Native:
    """The native engine on one scenario; what does not depend on the seed is made once."""

    def __init__(self, chosen: Scenario, threads: int | None = None) -> None:
        self.clock, self.genome = schedule.compile(chosen), chosen.build_genome()
        self.tables = build_tables(self.genome, chosen.build_selection())
        self.workers = Workers(threads)
        self.lineages = empty_lineages(self.clock, self.tables, self.workers)

    def run(self, seed: int) -> Iterator[tuple[str, tskit.TreeSequence]]:
        """Give the chromosomes of a run."""
        clock = self.clock
        (deme, tick, n), *_ = clock.individuals
        who = np.sort(seeds.generator("verification", seed).choice(clock.size(deme, tick), n, replace=False))
        plan = BranchPlan(
            branch="main", replicate=0, twin="neutral", seed=seed, burnin=0, last=clock.today,
            landscape_generations=(), spread_generations=(), samples={tick: {deme: who}},
        )  # fmt: skip
        branch = Branch(clock, self.tables, self.workers, plan)
        branch.run(self.lineages, lambda fraction, note: None)
        labels = trees.TreeLabels.from_schedule(
            clock, branch="main", replicate=0, twin="neutral", seed=seed, chroms=self.genome.chroms,
            samples=clock.individuals,
        )  # fmt: skip
        for record in chromosome_records(branch, self.lineages, self.genome):
            yield record.chrom, trees.build(record, labels)


class Coalescent:
    """The coalescent engine on one scenario."""

    def __init__(self, chosen: Scenario) -> None:
        self.clock, self.genome = schedule.compile(chosen), chosen.build_genome()

    def run(self, seed: int) -> Iterator[tuple[str, tskit.TreeSequence]]:
        """Give the chromosomes of a run."""
        for chrom in self.genome.chroms:
            yield chrom, coalescent.simulate_chromosome(self.clock, self.genome, chrom, seed=seed, to="pulse")


def measured_tracts(chromosomes: Chromosomes, genome: Genome) -> tuple[pd.DataFrame, int]:
    """Return the tracts of the only source in all chromosomes of a run (`admix.tracts.measure`), and how many people
    there are."""
    parts, people = [], 0
    for chrom, ts in chromosomes:
        people = ts.num_samples // 2
        table = local_ancestry(ts).frame([1])
        parts.append(table.assign(chrom=chrom)[list(TRACT_COLUMNS)])
    return measure(pd.concat(parts, ignore_index=True), genome), people


def measured(chromosomes: Chromosomes, genome: Genome, expected: float, lengths: Iterable[float]) -> dict[str, float]:
    """Return statistics of one run: mean and variance of individual ancestry, the rate at which tracts end, and the
    shares of tracts longer than ``lengths``, counted in the inverse of the `expected` rate."""
    tracts, n = measured_tracts(chromosomes, genome)
    people = np.zeros(n)
    np.add.at(people, tracts["sample"].to_numpy(), (tracts["end"] - tracts["start"]).to_numpy())
    people /= 2 * sum(chromosome_lengths(genome).values())
    units = tracts["morgans"].to_numpy() * expected
    out = {
        "ancestry": float(people.mean()),
        "variance": float(people.var(ddof=1)),
        "rate": float((~tracts["to_end"]).sum() / tracts["morgans"].sum()),
    }
    return out | {f"longer_{k:g}": float((units > k).mean()) for k in lengths}


def expected_rate(chosen: Scenario) -> float:
    """Return the rate at which tracts of today's people end, of a scenario with one pulse of gametes."""
    clock, pulse = schedule.compile(chosen), chosen.pulse[0]
    return end_rate(pulse.share, line_sizes(clock, pulse.source, pulse.target, clock.today)[0], "gametes")
