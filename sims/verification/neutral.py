# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry without selection against theory, on the whole human genome at N = 10,000.

    python sims/verification/neutral.py [--runs 48] [--threads T] [--work runs/verification]

The neutral twins of `reich`'s branches, 20 generations, from populations without any mutation: the same engine,
pulses and records as a run, without the burn-in that a neutral twin would throw away. Each finished run is a line in
``neutral.jsonl``; the same command goes on where it was. Writes ``docs/verification/neutral.md``.

Expected: the variance between individuals is p(1-p) in generation 1 and p(1-p)/2 phi(g-2) from generation 2 on,
phi computed from the shipped map with the markers' weights; the mean of at least 40 runs is to be within 3 % in
every generation. The mean ancestry in generation 10 (named before the first run) is to be within 3.3 standard
deviations of p, where its variance is p(1-p)/(2N) times the sum of phi(0 .. g-2).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from admix import schedule, theory
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.history import RESULTS_VERSION
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.scenario import load
from admix.verification.worlds import empty_lineages

GENERATIONS = 20
NAMED = 10
TOLERANCE = 0.03
DEVIATIONS = 3.3
DOCS = Path(__file__).parents[2] / "docs" / "verification"


def main() -> None:
    """Make the runs that are missing, then write the page."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--runs", type=int, default=48, help="runs of each branch, at least 40 for a verdict")
    options.add_argument("--threads", type=int)
    options.add_argument("--work", type=Path, default=Path("runs") / "verification")
    given = options.parse_args()
    # where ancestors are counted needs the pedigree of a burn-in
    scenario = load("reich").with_set(["sampling.ancestors_at=[]"])
    genome = scenario.build_genome()
    tables = build_tables(genome, scenario.build_selection())
    phi = theory.phi(genome, GENERATIONS)
    given.work.mkdir(parents=True, exist_ok=True)
    kept = given.work / "neutral.jsonl"
    workers = Workers(given.threads)
    pages = []
    for branch in (b.name for b in scenario.branches):
        clock = schedule.compile(scenario.branch(branch))
        lineages = empty_lineages(clock, tables, workers)
        for seed in range(1, given.runs + 1):
            if (branch, seed) in done(kept):
                continue
            began = time.monotonic()
            plan = BranchPlan(
                branch=branch, replicate=0, twin="neutral", seed=seed, burnin=0,
                last=clock.first_pulse_tick() + GENERATIONS - 1, landscape_generations=(), spread_generations=(),
            )  # fmt: skip
            rows = Branch(clock, tables, workers, plan).run(lineages, lambda fraction, note: None).trajectory
            line = {
                "branch": branch,
                "seed": seed,
                "results": RESULTS_VERSION,
                "variance": [row["ancestry_sd"] ** 2 for row in rows],
                "mean": [row["ancestry_mean"] for row in rows],
                "seconds": round(time.monotonic() - began, 2),
            }
            with kept.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{branch}, seed {seed}: {line['seconds']:.1f} s", flush=True)
        pulse = clock.pulses[0]
        runs = [line for (name, seed), line in sorted(done(kept).items()) if name == branch and seed <= given.runs]
        pages.append(page(branch, pulse.share, clock.size(pulse.target, pulse.tick), phi, runs))
    DOCS.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*HEAD, "", *("\n".join(lines) + "\n" for lines in pages)])
    (DOCS / "neutral.md").write_text(text, encoding="utf-8")
    print(text)


HEAD = (
    "# Ancestry without selection, against theory",
    "",
    f"Written by `python sims/verification/neutral.py` on {date.today()}; the method is in its docstring.",
    "Whole genome, N = 10,000, neutral twins of `reich`'s branches.",
)


def done(kept: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Finished runs, by branch and seed; a line that was cut off does not count."""
    found = {}
    for text in kept.read_text().splitlines() if kept.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line["results"] == RESULTS_VERSION:
            found[line["branch"], line["seed"]] = line
    return found


def page(branch: str, p: float, n: int, phi: np.ndarray, runs: list[dict[str, Any]]) -> list[str]:
    """One branch's table and verdict."""
    variance = np.array([run["variance"] for run in runs])
    mean = np.array([run["mean"] for run in runs])
    expected = theory.ancestry_variance(p, phi, GENERATIONS)
    ratio = variance.mean(axis=0) / expected
    error = variance.std(axis=0, ddof=1) / math.sqrt(len(runs)) / expected
    lines = [
        f"## {branch}: a pulse of {100 * p:g} %, {len(runs)} runs (seeds {runs[0]['seed']} to {runs[-1]['seed']})",
        "",
        "| generation | variance expected | mean of the runs | ratio | standard error | mean ancestry, % |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {g + 1} | {expected[g]:.4e} | {variance[:, g].mean():.4e} | {ratio[g]:.4f} | {error[g]:.4f} |"
        f" {100 * mean[:, g].mean():.3f} |"
        for g in range(GENERATIONS)
    ]
    worst = int(np.argmax(np.abs(ratio - 1)))
    deviation = math.sqrt(theory.mean_variance(p, n, phi, NAMED))
    z_one = (mean[:, NAMED - 1] - p) / deviation
    z = z_one.mean() * math.sqrt(len(runs))
    verdicts = [
        (len(runs) >= 40, f"{len(runs)} runs, at least 40"),
        (
            bool(np.abs(ratio - 1).max() <= TOLERANCE),
            f"variance within {TOLERANCE:.0%} in every generation: worst {ratio[worst] - 1:+.2%} (generation"
            f" {worst + 1})",
        ),
        (
            abs(z) <= DEVIATIONS,
            f"mean ancestry in generation {NAMED}: {100 * mean[:, NAMED - 1].mean():.4f} % over the runs, expected"
            f" {100 * p:g} +- {100 * deviation / math.sqrt(len(runs)):.4f} %: {z:+.2f} standard deviations",
        ),
        (
            bool(abs(z_one[0]) <= DEVIATIONS),
            f"and in the first run alone: {100 * mean[0, NAMED - 1]:.3f} %, {z_one[0]:+.2f} standard deviations of"
            f" {100 * deviation:.3f} %",
        ),
    ]
    lines += ["", *(f"* {'PASS' if right else 'FAIL'}: {text}" for right, text in verdicts)]
    lines.append(
        f"* for information: standard deviation between runs in generation {NAMED}"
        f" {z_one.std(ddof=1):.2f} times that of theory (a standard error is {1 / math.sqrt(2 * len(runs)):.2f})"
    )
    return lines


if __name__ == "__main__":
    main()
