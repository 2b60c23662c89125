# SPDX-License-Identifier: GPL-3.0-or-later
"""Loss of a neutral allele beside a weakly deleterious one in the long run (Juric, Aeschbacher & Coop 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from admix import theory
from admix.verification.against_theory import LEWONTIN, runs_of
from admix.verification.checks import Row, register
from admix.verification.store import Values
from admix.verification.verdicts import Wrong, mean_rows, range_rows
from admix.verification.worlds import Planted, Setting, one_site_genome, pulse_scenario

Options = Mapping[str, Any]
JURIC = "Juric et al. 2016, doi:10.1371/journal.pgen.1006340"
PUBLISHED = {1e-5: 0.454, 1e-4: 0.494, 1e-3: 0.732, 1e-2: 0.962}
"""Share left after 2,000 generations by recombination fraction, s = 4e-4 a copy, rare ancestry."""
PUBLISHED_COST, PUBLISHED_GENERATIONS = 4e-4, 2_000
COST, LAST = 4e-3, 201
"""Ten times as strong for a tenth of the time: drift in the mean of runs is ten times less."""
SHARE = 0.5
"""Where chance counts least."""
AT = (51, 201)
DISTANCES = (0.0005, 0.0105, 0.1005)


@dataclass(frozen=True, slots=True)
class _Size:
    size: int
    runs: int


_SIZES = {"smoke": _Size(2_000, 30), "quick": _Size(10_000, 60), "full": _Size(20_000, 400)}


@register("linked-loss", "loss of neutral ancestry beside a weakly deleterious site over hundreds of generations",
          suites=("quick", "full"))  # fmt: skip
def linked_loss(options: Options) -> list[Row]:
    """J1: the formula against the published values, and the engine against the exact recursion."""
    rows: list[Row] = []
    for r, left in PUBLISHED.items():
        found, other = (
            float(theory.two_locus_survival(cost, r, PUBLISHED_GENERATIONS))
            for cost in (PUBLISHED_COST, 1.5 * PUBLISHED_COST)
        )
        rows += range_rows(
            "linked-loss: J1, formula", f"share left after 2,000 generations, r {r:g}", found, left - 5e-4,
            left + 5e-4, JURIC, "three digits", Wrong("selection half as strong again", other),
        )  # fmt: skip
    size = _SIZES[options["suite"]]
    genome = one_site_genome(Path(options["folder"]) / "one-site")
    scenario = pulse_scenario(size.size, SHARE, LAST, genome=genome)
    site = scenario.build_genome().target_axis_start[:1].astype(np.uint64)
    s = -2 * COST
    setting = Setting(scenario, Planted(site, np.array([s]), np.array([0.5])))
    axis = setting.genome.marker_axis.astype(np.float64)
    whole = float(setting.genome.chrom_axis[1] - setting.genome.chrom_axis[0])
    morgans = (axis - int(site[0])) / whole * setting.genome.chrom_morgans[0]
    pairs = [[int(np.argmin(np.abs(morgans - side * d))) for side in (-1, 1)] for d in DISTANCES]

    def make(seed: int) -> Values:
        branch = setting.branch("linked loss", seed, AT)
        landscape = {labels["generation"]: shares for labels, shares in setting.run(branch).landscape}
        return {
            f"{g} {d}": float(landscape[g][pair].mean())
            for g in AT for d, pair in zip(DISTANCES, pairs, strict=True)
        }  # fmt: skip

    runs = runs_of("linked-loss", options, size.runs, make)
    for d, pair in zip(DISTANCES, pairs, strict=True):
        fractions = [float(theory.haldane(abs(morgans[i]))) for i in pair]
        right, wrong = (
            np.mean([theory.two_locus_trajectory(SHARE, x, 0.5, r, LAST)[:, 1] for r in fractions], axis=0)
            for x in (s, s / 4)
        )
        # far from the site there is too little to lose for a control on selection
        far = d > 0.05
        control = np.full(LAST, SHARE * 0.8) if far else wrong
        title = "a fifth of it lost" if far else "a quarter of the selection"
        for g in AT:
            rows += mean_rows(
                f"linked-loss: J1, {COST:g} a copy, pulse {100 * SHARE:g} %", f"{100 * d:g} cM, generation {g}",
                [run[f"{g} {d}"] for run in runs], float(right[g - 1]), LEWONTIN, Wrong(title, float(control[g - 1])),
            )  # fmt: skip
    return rows
