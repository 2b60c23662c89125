# SPDX-License-Identifier: GPL-3.0-or-later
"""f4-ratios of simulated people, with and without gene flow into Africa (Petr et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from admix import results, simulate
from admix.fstatistics import Roles
from admix.run_plan import RunOptions
from admix.scenario import load
from admix.statistics import Options as StatisticsOptions
from admix.statistics import run_statistics
from admix.verification.against_papers import PETR
from admix.verification.checks import Row, register
from admix.verification.verdicts import Wrong, range_rows

Options = Mapping[str, Any]
OLDEST = 45_000
_PEOPLE = tuple(f"european@{age}" for age in ("0", "15ka", "30ka", "45ka"))
_ROLES = Roles(a="neanderthal:0", b="neanderthal:1", c="dinka", g="yoruba", o="chimpanzee", x=_PEOPLE)


@dataclass(frozen=True)
class Ratios:
    """Change of an f4-ratio from 45,000 years ago to today, in per cent points, by kind of ratio."""

    direct: float
    indirect: float


def slopes(options: Options, label: str, changes: list[str], chromosomes: str) -> Ratios:
    """Simulate the scenario `fstatistics`, unless it is there, and return the changes of both ratios."""
    out = Path(options["folder"]) / "runs" / f"{label}-{options['seed']}"
    if not out.exists():
        options["say"](f"{label}: chromosomes {chromosomes}")
        scenario = load("fstatistics").with_set([f"genome.chromosomes={chromosomes}", *changes])
        simulate.run(scenario, RunOptions(out=out, seed=int(options["seed"])))
    table = run_statistics(results.read_run(out), StatisticsOptions(roles=_ROLES, distance=False)).tables["fstatistics"]

    def slope(name: str) -> float:
        rows = table[table["statistic"] == name]
        # the name of an ancient group has its date in generations of 25 years
        ages = np.array([25.0 * float(people.partition("@")[2]) for people in rows["people"]])
        weight = 1 / rows["se"].to_numpy(dtype=np.float64)
        fit = np.polyfit(ages, 100 * rows["estimate"].to_numpy(dtype=np.float64), 1, w=weight)
        return float(-fit[0] * OLDEST)

    return Ratios(slope("f4_ratio_direct"), slope("f4_ratio_indirect"))


@register("fstatistics-runs", "direct and indirect f4-ratio over 45,000 years, with gene flow into Africa",
          suites=("full",))  # fmt: skip
def f4_ratios(options: Options) -> list[Row]:
    """P10: the indirect ratio falls where nothing did, the direct one does not."""
    which = str(options.get("f4_chromosomes", "all"))
    flow = slopes(options, "fstatistics-flow", [], which)
    none = slopes(options, "fstatistics-none", ["demography.migrations=[]"], which)
    check = "fstatistics-runs: P10"
    rows = range_rows(
        check, "change of the indirect ratio, % points, gene flow into Africa", flow.indirect, -20.0, -1.0, PETR,
        "a fall of 1 or more", Wrong("no gene flow", none.indirect),
    )  # fmt: skip
    rows += range_rows(
        check, "change of the direct ratio, % points, gene flow into Africa", flow.direct, -0.3, 0.3, PETR,
        "range of the target", Wrong("the indirect ratio", flow.indirect),
    )  # fmt: skip
    return rows
