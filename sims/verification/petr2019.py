# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against Petr et al. 2019, and the default start against the forward start.

    python sims/verification/petr2019.py [--ancestors 2] [--lineages 6] [--starts 6] [--threads T]

Every lineage is a cache entry, so an interrupted run goes on where it was. Writes
``docs/verification/petr2019.md`` and ``.tsv`` from whatever is finished.

Truth: archaic lineages k = 0, 1, ... each run forward through the whole separation from ancestor k mod A; an
ancestor is N generations forward from a theory start; each has one modern lineage, forward through the whole
separation too. S = -ln(relative fitness) of the unmixed migrants in generation 1; ln p at generations 5, 10 and
100 is regressed on S and read at S = 0.766 (facts: 2.70, 2.38, 2.28 %).

Starts: S of the same archaic cohorts against modern cohorts of either kind, from the states at the tick before
the pulse.
"""

from __future__ import annotations

import argparse
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from admix import schedule
from admix.cache import Cache, default_directory
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.history import History, Stage, plan_stages
from admix.engines.native.snapshot import Arrays, unpack_worlds
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.run_plan import tables_key
from admix.scenario import load
from admix.theory import linked_spectrum

PUBLISHED = {5: 2.70, 10: 2.38, 100: 2.28}
S_PUBLISHED = 0.766
DOCS = Path(__file__).parents[2] / "docs" / "verification"


def main() -> None:
    """Make what is missing, then write the tables."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--ancestors", type=int, default=2)
    options.add_argument("--lineages", type=int, default=6)
    options.add_argument("--starts", type=int, default=6)
    options.add_argument("--moderns", type=int, default=2, help="forward modern lineages an ancestor")
    options.add_argument("--threads", type=int)
    given = options.parse_args()
    scenario = load("petr2019")
    clock = schedule.compile(scenario.branch("p10"))
    genome = scenario.build_genome()
    tables = build_tables(genome, scenario.selection)
    workers = Workers(given.threads)
    began = time.monotonic()

    def report(name: str, fraction: float, note: str) -> None:
        if fraction == 1.0 or int(fraction * 1000) % 100 == 0:
            print(f"{time.monotonic() - began:7.0f} s  {name}: {100 * fraction:.0f} %  {note}", flush=True)

    n = clock.size(clock.root, 0)
    spectrum = linked_spectrum(genome, n, tables.s_nodes, tables.h_bins, tables.mutation_mean)
    cache = Cache(default_directory(), print)
    history = History(clock, tables, workers, cache, report, lambda: spectrum)
    key = tables_key(genome, tables)

    def stages(mode: str, number: int, ancestor: int | None = None) -> dict[str, Stage]:
        found = plan_stages(clock, key, mode, 1.0, scenario.start.relax, number, ancestor)
        return {stage.name: stage for stage in found}

    def make(stage: Stage, ancestor: Stage) -> Arrays:
        print(
            f"{time.monotonic() - began:7.0f} s  {stage.name} {stage.content['burnin']} ({stage.ticks:,} ticks)",
            flush=True,
        )
        made = history.make([ancestor, stage])[stage.name]
        curves[stage.key] = made[1]["curve"]
        return made[0]

    curves: dict[str, list[list[float]]] = {}

    def load_of(arrays: Arrays) -> tuple[float, float]:
        world = World(tables, clock.deme_names, lambda purpose, deme: 0, workers)
        unpack_worlds(world, [arrays])
        log = world.log_fitness(next(iter(world.demes)))
        return float(np.log(np.exp(log).mean())), float(log.mean())

    truth, archaic, starts = [], {}, []
    for k in range(given.lineages):
        plan = stages("forward", k, k % given.ancestors)
        archaic[k] = make(plan["neanderthal"], plan["ancestor"])
    for k in range(given.starts):
        plan = stages("stationary", k)
        arrays = make(plan["modern"], plan["ancestor"])
        starts.append(
            {
                "start": "stationary",
                "ancestor": k,
                "number": k,
                "fitness": load_of(arrays)[0],
                "load": -load_of(arrays)[1],
            }
        )
        write(truth, archaic_rows(archaic, load_of, given), starts)
    for k in range(given.ancestors * given.moderns):
        a = k % given.ancestors
        plan = stages("forward", k, a)
        modern = make(plan["modern"], plan["ancestor"])
        fitness, log = load_of(modern)
        starts.append({"start": "forward", "ancestor": a, "number": k, "fitness": fitness, "load": -log})
        if k == a:
            for i in range(a, given.lineages, given.ancestors):
                run = Branch(
                    clock, tables, workers,
                    BranchPlan(
                        branch="p10", replicate=0, twin="none", seed=i + 1, burnin=i,
                        last=clock.first_pulse_tick() + 99, landscape_generations=(), spread_generations=(),
                    ),
                )  # fmt: skip
                records = run.run([archaic[i], modern], lambda fraction, note: None)
                share = {row["generation"]: row["ancestry_mean"] for row in records.trajectory}
                truth.append(
                    {
                        "burnin": i,
                        "ancestor": a,
                        "seed": i + 1,
                        "S": -np.log(records.pulse[0]["fitness_archaic_relative"]),
                    }
                    | {f"p{g}": 100 * share[g] for g in (1, 2, 5, 10, 20, 50, 100)}
                )
                print(truth[-1], flush=True)
        write(truth, archaic_rows(archaic, load_of, given), starts)


def archaic_rows(archaic: dict[int, Arrays], load_of, given) -> list[dict[str, float]]:  # type: ignore[no-untyped-def]
    """One row an archaic lineage: log of mean fitness."""
    return [{"number": k, "ancestor": k % given.ancestors, "fitness": load_of(a)[0]} for k, a in archaic.items()]


def write(truth: list[dict], archaic: list[dict], starts: list[dict]) -> None:  # type: ignore[type-arg]
    """Write the report from the rows that there are."""
    DOCS.mkdir(parents=True, exist_ok=True)
    lines = [
        "# The engine against Petr et al. 2019, and the two starts against each other", "",
        f"Written by `python sims/verification/petr2019.py` on {date.today()}; see its docstring for the method.", "",
    ]  # fmt: skip
    if truth:
        frame = pd.DataFrame(sorted(truth, key=lambda row: row["burnin"]))
        frame.to_csv(DOCS / "petr2019.tsv", sep="\t", index=False, float_format="%.5g")
        lines += ["## Truth test", "", *markdown(frame), ""]
        mean, error = frame["S"].mean(), frame["S"].std() / np.sqrt(len(frame))
        verdict = "pass" if abs(mean - S_PUBLISHED) <= 0.08 else "FAIL"
        lines += [
            f"Mean S {mean:.3f} +- {error:.3f} (standard error), wanted 0.766 +- 0.08: **{verdict}**.",
            "",
        ]
        if len(frame) > 2:
            for g, wanted in PUBLISHED.items():
                fit = stats.linregress(frame["S"], np.log(frame[f"p{g}"]))
                read = float(np.exp(fit.intercept + fit.slope * S_PUBLISHED))
                verdict = "pass" if abs(read / wanted - 1) <= 0.1 else "FAIL"
                lines.append(
                    f"- Generation {g}: {read:.2f} % at S = 0.766 (slope {fit.slope:.2f}),"
                    f" published {wanted} %: **{verdict}**"
                )
            lines.append("")
    both = pd.DataFrame(starts)
    if len(both):
        both.to_csv(DOCS / "starts.tsv", sep="\t", index=False, float_format="%.6g")
        lines += ["## Default start against forward start", "", *markdown(both), ""]
        kinds = {kind: rows["fitness"] for kind, rows in both.groupby("start")}
        if len(kinds) == 2 and min(len(v) for v in kinds.values()) > 1:
            # S = ln(mean fitness of moderns) - ln(mean fitness of archaics); the archaic cohorts are the same
            difference = kinds["stationary"].mean() - kinds["forward"].mean()
            test = stats.ttest_ind(kinds["stationary"], kinds["forward"], equal_var=False)
            low, high = test.confidence_interval(0.95)
            verdict = "pass" if -0.02 < low and high < 0.02 else "FAIL"
            lines += [
                f"S with the default start minus S with the forward start, same archaic lineages: {difference:+.4f}, "
                f"95 % interval {low:+.4f} to {high:+.4f}, wanted inside +-0.02: **{verdict}**.", "",
            ]  # fmt: skip
    if archaic:
        lines += ["Archaic lineages (log of mean fitness):", "", *markdown(pd.DataFrame(archaic)), ""]
    (DOCS / "petr2019.md").write_text("\n".join(lines), encoding="utf-8")


def markdown(frame: pd.DataFrame) -> list[str]:
    """A table's lines."""
    head = [f"| {' | '.join(frame.columns)} |", "|" + "---|" * len(frame.columns)]
    return head + [
        "| " + " | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in frame.itertuples(index=False)
    ]


if __name__ == "__main__":
    main()
