# SPDX-License-Identifier: GPL-3.0-or-later
"""Tract lengths without selection against theory, on a whole run of the native engine.

    admix run --scenario reich --set selection.mutation_rate=0 --set branches=[] --set sampling.ancestors_at=[] -o RUN
    python sims/verification/tracts.py RUN

`reich` without any mutation is its neutral twin without the burn-in that a neutral twin throws away: N = 10,000, a
pulse of 10 %, 1,679 generations, 22 chromosomes. The tracts of its sampled people are compared with an exponential
length whose rate per Morgan is (1 - m) times the meioses whose crossovers still show (Liang & Nielsen 2014,
doi:10.1534/genetics.114.162362; `admix.tract_theory`), cut short at chromosomes' ends. The p-values are those of
``admix stats RUN``: a studentised bootstrap over chromosomes for the rate, and one of the largest difference of the
survival functions. They are to be above 0.001, the false-alarm rate of each.

Negative controls, which must fail: the same run as if the pulse were a tenth older, and the rate that forgets lines
which have met again, (1 - m) t.

Writes ``docs/verification/tracts.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from admix.results import Run, read_run
from admix.run_trees import tree_files
from admix.sampled_statistics import Group, read_sampled
from admix.statistics import run_statistics
from admix.tract_theory import coalescent_end_rate, effective_meioses, end_rate, line_sizes, meioses
from admix.tracts import Fit, compare

FALSE_ALARM = 0.001
OLDER = 1.1
DOCS = Path(__file__).parents[2] / "docs" / "verification"


def main() -> None:
    """Compare, and write the page."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("run", type=Path, help="a run directory of the native engine, without selection")
    given = options.parse_args()
    text = "\n".join([*HEAD, "", *page(read_run(given.run))]) + "\n"
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "tracts.md").write_text(text, encoding="utf-8")
    print(text)


HEAD = (
    "# Tract lengths without selection, against theory",
    "",
    f"Written by `python sims/verification/tracts.py` on {date.today()}; the method is in its docstring.",
)


def models(group: Group, run: Run, share: float) -> Iterator[tuple[str, float, bool]]:
    """(name, rate per Morgan, whether it is right) for a group of people."""
    files = tree_files(run, branch="main")
    sizes, unit = line_sizes(files[0].schedule, group.source, group.deme, group.tick)
    t = meioses(len(sizes), unit)
    added = round((OLDER - 1) * t)
    older = np.concatenate([np.full(added, sizes[0]), sizes])
    yield f"t = {t:,}, of which {effective_meioses(sizes, unit):,.1f} show", end_rate(share, sizes, unit), True
    if len(set(sizes.tolist())) == 1:
        constant = coalescent_end_rate(share, t, float(sizes[0]))
        yield "the same in continuous time, (1 - m) 2N (1 - exp(-t/2N))", constant, True
    yield f"t = {t + added:,}, a tenth older", end_rate(share, older, unit), False
    if abs(t / effective_meioses(sizes, unit) - 1) > 0.03:
        yield "lines never meet again, (1 - m) t", (1 - share) * t, False


def page(run: Run) -> list[str]:
    """Tables and verdicts."""
    files = tree_files(run, branch="main")
    genome, clock = files[0].genome, files[0].schedule
    table = run_statistics(run).tables["tracts"]
    lines = [
        f"Scenario {run.scenario.name}, seed {run.scenario.run.seed}: {len(genome.chroms)} chromosomes,"
        f" {genome.morgans:.2f} Morgans.",
    ]
    for group in read_sampled(files, run.scenario.build_selection(), lambda done: None).groups(clock):
        row = table[(table["deme"] == group.deme) & (table["generation"] == group.generation)].iloc[0]
        share = float(row["share"])
        lines += [
            "",
            f"## {group.individuals} of {group.deme}, generation {group.generation:,}, {group.years_bp:,.0f} years ago",
            "",
            f"{int(row['tracts']):,} tracts, {int(row['ends']):,} ends inside chromosomes; m = {100 * share:.3f} %, of"
            f" pedigree paths. `admix stats` says: rate {row['rate']:.2f} +- {row['rate_se']:.2f} per Morgan, expected"
            f" {row['expected_rate']:.2f}, p_rate {row['p_rate']:.2g}, p_shape {row['p_shape']:.2g}.",
            "",
            "| expectation | rate per Morgan | found / expected | p of the rate | p of the shape | wanted | verdict |",
            "|---|---:|---:|---:|---:|---|---|",
        ]
        for name, rate, right in models(group, run, share):
            fit: Fit = compare(group.tracts, genome, rate)
            passes = min(fit.p_rate, fit.p_shape) > FALSE_ALARM
            wanted = f"both above {FALSE_ALARM}" if right else f"one below {FALSE_ALARM}"
            lines.append(
                f"| {name} | {rate:.2f} | {fit.rate / rate:.4f} | {fit.p_rate:.2g} | {fit.p_shape:.2g} | {wanted} |"
                f" **{'pass' if passes == right else 'FAIL'}** |"
            )
    return lines


if __name__ == "__main__":
    main()
