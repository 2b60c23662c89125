# SPDX-License-Identifier: GPL-3.0-or-later
"""How many founders have descendants, and how many ancestors gave DNA, against what is known.

    python sims/verification/genealogy.py [--runs 12] [--persons 5] [--threads T]

The neutral twin of `reich`'s branch p10, N = 10,000, the whole human genome, 31 generations. Expected:

* Founders with a living descendant: 0.797 of all, the root of x = 1 - exp(-2x), within 0.004 in the mean of at least
  10 runs. (One run's share has a standard deviation of about 0.004 at N = 10,000, so the mean of 12 about 0.0012.)
* Genetic ancestors of one person: 204, 429 and 853 individuals 8, 10 and 15 generations ago, from a simulation by other
  means (one person, HapMap lengths, a grid of 0.05 cM, so slightly too few where they are many); the mean of at
  least 50 persons is to be within 3 standard errors or 3 %.

Writes ``docs/verification/genealogy.md``.
"""

from __future__ import annotations

import argparse
import math
from datetime import date
from pathlib import Path

import numpy as np
from neutral import empty_lineages

from admix import schedule, seeds
from admix.engines.native.backward import Backward, Material
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.scenario import load

GENERATIONS = 31
FOUNDERS, NEAR = 0.797, 0.004
GENETIC = {8: 204, 10: 429, 15: 853}
DOCS = Path(__file__).parents[2] / "docs" / "verification"


def main() -> None:
    """Make the runs and write the page."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--runs", type=int, default=12)
    options.add_argument("--persons", type=int, default=5, help="persons looked at in each run")
    options.add_argument("--threads", type=int)
    given = options.parse_args()
    scenario = load("reich").with_set(["sampling.ancestors_at=[]"])
    genome = scenario.build_genome()
    tables = build_tables(genome, scenario.build_selection())
    workers = Workers(given.threads)
    clock = schedule.compile(scenario.branch("p10"))
    lineages = empty_lineages(clock, tables, workers)
    deme = clock.deme("modern")
    shares, counts = [], []
    for seed in range(1, given.runs + 1):
        last = clock.first_pulse_tick() + GENERATIONS - 1
        plan = BranchPlan(
            branch="p10", replicate=0, twin="neutral", seed=seed, burnin=0, last=last, landscape_generations=(),
            spread_generations=(),
        )  # fmt: skip
        branch = Branch(clock, tables, workers, plan)
        branch.run(lineages, lambda fraction, note: None)
        living = {deme: np.ones(branch.world.demes[deme].n, bool)}
        found = branch.pedigree.founders(clock.first_pulse_tick(), last, living, 0)[1]
        shares.append(found / branch.pedigree.all_founders(clock.first_pulse_tick(), last, 0)[1])
        rng = seeds.generator("genealogy", seed)
        for person in rng.choice(branch.world.demes[deme].n, given.persons, replace=False):
            counts.append(ancestors(branch, deme, int(person), last))
        print(f"seed {seed}: {shares[-1]:.4f} of the founders; {counts[-1]}", flush=True)
    text = page(np.array(shares), np.array(counts))
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "genealogy.md").write_text(text, encoding="utf-8")
    print(text)


def ancestors(branch: Branch, deme: int, person: int, last: int) -> list[int]:
    """Individuals with DNA of one person, for each number of generations ago in GENETIC."""
    held: dict[int, int] = {}

    def seen(material: Material) -> None:
        held[last - material.tick] = material.holders()

    backward = Backward(
        branch.tables, branch.world.workers, branch.pedigree,
        lambda purpose, d, tick: int(branch.world.stream_key(purpose, d)),
        lambda tick: {d: branch.schedule.size(d, tick) for d in branch.pedigree.births[tick]},
        {last: {deme: np.array([person])}}, nodes=False,
    )  # fmt: skip
    backward.run(last, last - max(GENETIC), seen)
    return [held[ago] for ago in GENETIC]


def page(shares: np.ndarray, counts: np.ndarray) -> str:
    """The report."""
    lines = [
        "# Ancestors of the living, by descent and by DNA",
        "",
        f"Written by `python sims/verification/genealogy.py` on {date.today()}; the method is in its docstring.",
        f"Neutral, N = 10,000, whole genome; {len(shares)} runs (seeds 1 to {len(shares)}), {len(counts)} persons.",
        "",
        "| what | expected | found | standard error | verdict |",
        "|---|---:|---:|---:|---|",
    ]
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    verdict = "pass" if abs(shares.mean() - FOUNDERS) <= NEAR and len(shares) >= 10 else "FAIL"
    lines.append(
        f"| founders with a living descendant after {GENERATIONS - 1} generations | {FOUNDERS} +- {NEAR} |"
        f" {shares.mean():.4f} | {error:.4f} | **{verdict}** |"
    )
    for k, (ago, expected) in enumerate(GENETIC.items()):
        mean, error = counts[:, k].mean(), counts[:, k].std(ddof=1) / math.sqrt(len(counts))
        near = abs(mean - expected) <= max(3 * error, 0.03 * expected)
        verdict = "pass" if near and len(counts) >= 50 else "FAIL"
        lines.append(
            f"| genetic ancestors of one person {ago} generations ago | {expected} | {mean:.1f} | {error:.1f} |"
            f" **{verdict}** |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
