# SPDX-License-Identifier: GPL-3.0-or-later
"""Two engines that share no line of their simulations, on one neutral scenario: tracts and individual ancestry.

    python sims/verification/coalescent.py [--runs 60] [--threads T]

A pulse of 10 % of the gametes 200 generations ago into a population of 500, chromosomes 20 to 22, 20 living people:
small enough for many runs, old enough that one crossover in eleven is lost to lines that have met again. Each run of
the native engine and of the coalescent engine is a line of ``docs/verification/coalescent.tsv``; the same command goes
on where it was, and finished runs of the same versions are not made again.

Compared over runs, by Welch's t-test (the runs are independent; the people of one run are not): the mean ancestry, the
variance of ancestry between the people of a run, the rate at which tracts end, and the spectrum of tract lengths as
shares of tracts longer than five lengths. The least of the eight p-values times eight is the p-value of the comparison
(Bonferroni). It passes above 0.001, which is the false-alarm rate.

Negative controls, which must fail: a coalescent whose pulse is a tenth older, and one with a pulse of 15 %.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from admix.engines import coalescent
from admix.engines.native.history import RESULTS_VERSION
from admix.genome import Genome
from admix.scenario import Scenario, load
from admix.verification import neutral_tracts
from admix.verification.neutral_tracts import Chromosomes, Coalescent, Native, expected_rate

YEARS, SHARE, SOURCE, TARGET = 5600, 0.1, "neanderthal", "modern"
PEOPLE = 20
LENGTHS = (0.25, 0.5, 1.0, 2.0, 3.0)
"""In units of the expected mean length."""
STATISTICS = ("ancestry", "variance", "rate", *(f"longer_{k:g}" for k in LENGTHS))
WORDS = {"ancestry": "mean ancestry", "variance": "variance between people", "rate": "tract ends per Morgan"}
FALSE_ALARM = 0.001
DOCS = Path(__file__).parents[2] / "docs" / "verification"
VERSIONS = f"{RESULTS_VERSION}.{coalescent.RESULTS_VERSION}"


def scenario(share: float = SHARE, years: float = YEARS) -> Scenario:
    """The scenario `tiny` without mutations, with another pulse."""
    pulse = f"{{name: pulse, source: {SOURCE}, target: {TARGET}, time: {years}, share: {share}, unit: gametes}}"
    return load("tiny").with_set(
        [
            "branches=[]", f"pulse=[{pulse}]", "pulse[0].mode=binomial", "selection.mutation_rate=0",
            f"demography.demes[2].epochs[0].end_time={years}", "sampling.ancestors_at=[]",
            f"sampling.individuals=[{{deme: {TARGET}, time: 0, n: {PEOPLE}}}]",
        ]
    )  # fmt: skip


CASES: dict[str, tuple[str, Scenario]] = {
    "native": ("native engine", scenario()),
    "msprime": ("coalescent engine", scenario()),
    "older": ("coalescent engine, pulse a tenth older", scenario(years=1.1 * YEARS)),
    "larger": ("coalescent engine, pulse of 15 %", scenario(share=0.15)),
}


def measured(chromosomes: Chromosomes, genome: Genome, expected: float) -> dict[str, float]:
    """The statistics of one run; `expected` is the rate in whose inverse lengths are counted."""
    return neutral_tracts.measured(chromosomes, genome, expected, LENGTHS)


def compared(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Statistic by statistic, and the p-value of all of them together."""
    rows = []
    for name in STATISTICS:
        x, y = a[name].to_numpy(), b[name].to_numpy()
        difference = y.mean() - x.mean()
        error = np.hypot(x.std(ddof=1) / np.sqrt(len(x)), y.std(ddof=1) / np.sqrt(len(y)))
        p = float(stats.ttest_ind(x, y, equal_var=False).pvalue)
        rows.append(
            {"statistic": name, "first": x.mean(), "second": y.mean(), "difference": difference, "se": error, "p": p}
        )
    table = pd.DataFrame(rows)
    return table, min(1.0, float(table["p"].min()) * len(table))


def main() -> None:
    """Make the runs that are missing, then write the page."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--runs", type=int, default=60, help="runs of each engine and control")
    options.add_argument("--threads", type=int)
    given = options.parse_args()
    kept = DOCS / "coalescent.tsv"
    DOCS.mkdir(parents=True, exist_ok=True)
    rate = expected_rate(CASES["native"][1])
    for name, (_, chosen) in CASES.items():
        engine: Any = None
        for seed in range(1, given.runs + 1):
            if (name, seed) in done(kept):
                continue
            engine = engine or (Native(chosen, given.threads) if name == "native" else Coalescent(chosen))
            began = time.monotonic()
            row = {"case": name, "seed": seed, "versions": VERSIONS} | measured(engine.run(seed), engine.genome, rate)
            write(kept, row)
            print(f"{name}, seed {seed}: {time.monotonic() - began:.1f} s", flush=True)
    text = page(pd.DataFrame([row for (_, seed), row in sorted(done(kept).items()) if seed <= given.runs]), rate)
    (DOCS / "coalescent.md").write_text(text, encoding="utf-8")
    print(text)


def write(kept: Path, row: dict[str, Any]) -> None:
    """Add a finished run."""
    new = not kept.exists()
    with kept.open("a", encoding="utf-8") as file:
        if new:
            file.write("\t".join(row) + "\n")
        file.write("\t".join(f"{value:.10g}" if isinstance(value, float) else str(value) for value in row.values()))
        file.write("\n")


def done(kept: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Finished runs of these versions, by case and seed; a line that was cut off does not count."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    lines = kept.read_text(encoding="utf-8").splitlines(keepends=True) if kept.exists() else []
    for line in lines[1:]:
        words = line.removesuffix("\n").split("\t")
        if line.endswith("\n") and len(words) == 3 + len(STATISTICS) and words[2] == VERSIONS:
            values = dict(zip(STATISTICS, map(float, words[3:]), strict=True))
            found[words[0], int(words[1])] = {"case": words[0], "seed": int(words[1])} | values
    return found


def page(rows: pd.DataFrame, rate: float) -> str:
    """The report."""
    runs = rows["case"].value_counts().min()
    lines = [
        "# The native engine and the coalescent engine, without selection",
        "",
        f"Written by `python sims/verification/coalescent.py` on {date.today()}; the method is in its docstring.",
        f"{runs} runs each (seeds 1 to {runs}), the values of every run in [coalescent.tsv](coalescent.tsv).",
        f"Expected rate of tract ends: {rate:.2f} per Morgan; lengths are counted in its inverse.",
    ]
    first = rows[rows["case"] == "native"]
    for name in CASES:
        if name == "native":
            continue
        table, p = compared(first, rows[rows["case"] == name])
        control = name != "msprime"
        well = (p < FALSE_ALARM) if control else (p > FALSE_ALARM)
        lines += [
            "",
            f"## {'Negative control: ' if control else ''}{CASES[name][0]} against the {CASES['native'][0]}",
            "",
            "| statistic | native | coalescent | difference | its standard error | p |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for row in table.itertuples():
            label = WORDS.get(row.statistic, f"share of tracts longer than {row.statistic.partition('_')[2]}")
            lines.append(
                f"| {label} | {row.first:.5g} | {row.second:.5g} | {row.difference:+.2g} | {row.se:.2g} | {row.p:.2g} |"
            )
        wanted = f"below {FALSE_ALARM}, as the model is wrong" if control else f"above {FALSE_ALARM}"
        lines += ["", f"**{'pass' if well else 'FAIL'}**: p = {p:.2g} of all together; wanted {wanted}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
