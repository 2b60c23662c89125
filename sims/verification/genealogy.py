# SPDX-License-Identifier: GPL-3.0-or-later
"""How many founders have descendants, and how many ancestors gave DNA, against what is known.

    python sims/verification/genealogy.py [--runs 12] [--persons 5] [--threads T]

The neutral twin of `reich`'s branch p10, N = 10,000, the whole human genome, 31 generations. Expected:

* Founders with a living descendant: 0.797 of all, the root of x = 1 - exp(-2x), within 0.004 in the mean of at least
  10 runs. (One run's share has a standard deviation of about 0.004 at N = 10,000, so the mean of 12 about 0.0012.)
* Genetic ancestors of one person 8, 10 and 15 generations ago: the mean of at least 50 persons is to be within
  3 standard errors, or 3 %, of the mean of 200 persons in a simulation that shares nothing with the engine (below:
  a dictionary of intervals, floating-point Morgans, its own random numbers). Numbers from an earlier simulation of a
  single person (204, 429, 853; a person's count scatters by 6, 13 and 22) stand beside them.

Writes ``docs/verification/genealogy.md``.
"""

from __future__ import annotations

import argparse
import math
from datetime import date
from pathlib import Path

import numpy as np

from admix import schedule, seeds
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.scenario import load
from admix.verification.pedigrees import genetic_ancestors, plain_ancestors
from admix.verification.worlds import empty_lineages

GENERATIONS = 31
FOUNDERS, NEAR = 0.797, 0.004
GENETIC = {8: 204, 10: 429, 15: 853}
"""Of a single person, by generations ago."""
PLAIN_PERSONS = 200
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
            counts.append(genetic_ancestors(branch, deme, int(person), last, list(GENETIC)))
        print(f"seed {seed}: {shares[-1]:.4f} of the founders; {counts[-1]}", flush=True)
    rng = np.random.default_rng(1)
    n = clock.size(deme, last)
    plain = [plain_ancestors(genome.chrom_morgans, n, list(GENETIC), rng) for _ in range(PLAIN_PERSONS)]
    text = page(np.array(shares), np.array(counts), np.array(plain))
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "genealogy.md").write_text(text, encoding="utf-8")
    print(text)


def page(shares: np.ndarray, counts: np.ndarray, plain: np.ndarray) -> str:
    """The report."""
    lines = [
        "# Ancestors of the living, by descent and by DNA",
        "",
        f"Written by `python sims/verification/genealogy.py` on {date.today()}; the method is in its docstring.",
        f"Neutral, N = 10,000, whole genome; {len(shares)} runs (seeds 1 to {len(shares)}), {len(counts)} persons.",
        "",
        f"Expected numbers of genetic ancestors: {len(plain)} persons in a simulation that shares nothing with the",
        "engine.",
        "",
        "| what | expected | found | standard errors | verdict | one person, earlier |",
        "|---|---:|---:|---:|---|---:|",
    ]
    error = shares.std(ddof=1) / math.sqrt(len(shares))
    verdict = "pass" if abs(shares.mean() - FOUNDERS) <= NEAR and len(shares) >= 10 else "FAIL"
    lines.append(
        f"| founders with a living descendant after {GENERATIONS - 1} generations | {FOUNDERS} +- {NEAR} |"
        f" {shares.mean():.4f} | {error:.4f} | **{verdict}** | |"
    )
    for k, (ago, earlier) in enumerate(GENETIC.items()):
        mean, expected = counts[:, k].mean(), plain[:, k].mean()
        errors = [a[:, k].std(ddof=1) / math.sqrt(len(a)) for a in (counts, plain)]
        near = abs(mean - expected) <= max(3 * math.hypot(*errors), 0.03 * expected)
        verdict = "pass" if near and len(counts) >= 50 else "FAIL"
        lines.append(
            f"| genetic ancestors of one person {ago} generations ago | {expected:.1f} | {mean:.1f} |"
            f" {errors[1]:.1f}, {errors[0]:.1f} | **{verdict}** | {earlier} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
