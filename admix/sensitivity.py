# SPDX-License-Identifier: GPL-3.0-or-later
"""How much the answer depends on what nobody knows well: effects and target, dominance, archaic size, map.

Every variant changes one thing of a scenario and is answered by theory (`admix.prediction`), so that the whole table
takes seconds; a variant can be simulated with the ``--set`` that it names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from admix.prediction import predict
from admix.scenario import Scenario
from admix.summary import percent

__all__ = ["OUT_OF_SCOPE", "Variant", "screen_text", "sensitivity", "variants"]

OUT_OF_SCOPE = (
    "Not in the model, whatever is set: the X chromosome, sex bias, assortative mating, beneficial alleles,"
    " incompatibilities between the lineages, and dilution by people without archaic ancestors (unless the scenario has"
    " them)."
)
_NONSYNONYMOUS = 1.29e-8 * 0.7
"""Nonsynonymous mutations per coding bp: 70 % of 1.29e-8 (Kim et al. 2017; stdpopsim's rate for humans)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One changed assumption.

    Attributes
    ----------
    group, name : str
        What is varied, and to what.
    scenario : Scenario
    assignments : tuple of str
        For ``--set``, to run it.
    uniform_map : bool
        Whether each chromosome's Morgans are spread evenly over its bases.
    """

    group: str
    name: str
    scenario: Scenario
    assignments: tuple[str, ...] = ()
    uniform_map: bool = False


def variants(scenario: Scenario) -> list[Variant]:
    """Return the scenario as it is, and its variants.

    Targets are varied only for the shipped genome, which knows exons from coding sequence.
    """
    return [Variant(group="as it is", name=scenario.name, scenario=scenario), *_changed(scenario)]


def _changed(scenario: Scenario) -> Iterator[Variant]:
    def made(group: str, name: str, *assignments: str) -> Variant:
        changed = scenario.with_set(assignments)
        return Variant(group=group, name=name, scenario=changed, assignments=assignments)

    if scenario.genome.source == "human_autosomes_GRCh37":
        ew06 = "selection.dfe={kind: named, name: eyre-walker2006}"
        for name, target, rate, effects in (
            ("Eyre-Walker 2006, exons, 1e-8", "exons", 1e-8, [ew06]),
            ("Eyre-Walker 2006, exons, 7e-9", "exons", 7e-9, [ew06]),
            ("Eyre-Walker 2006, coding, 1e-8", "cds", 1e-8, [ew06]),
            ("Boyko 2008, nonsynonymous", "cds", _NONSYNONYMOUS, ["selection.dfe={kind: named, name: boyko2008}"]),
            ("Kim 2017, nonsynonymous", "cds", _NONSYNONYMOUS, ["selection.dfe={kind: named, name: kim2017}"]),
            ("Huber 2017, nonsynonymous", "cds", _NONSYNONYMOUS, ["selection.dfe={kind: named, name: huber2017}"]),
            (
                "Kyriazis 2023 with its dominance, nonsynonymous", "cds", _NONSYNONYMOUS,
                [f"selection.{part}={{kind: named, name: kyriazis2023}}" for part in ("dfe", "dominance")],
            ),
        ):  # fmt: skip
            rates = [f"selection.mutation_rate={rate:.4g}", f"genome.target={target}"]
            yield made("effects and target", name, *effects, *rates)
    for h in (0.5, 0.25, 0.1, 0.0):
        yield made("dominance", f"h = {h:g}", f"selection.dominance={h:g}")
    yield made("dominance", "h(s) of Kim 2018", "selection.dominance={kind: named, name: kim2018}")
    for factor in (0.5, 2.0, 3.0):
        yield _archaic_size(scenario, factor)
    yield Variant(group="map", name="uniform in each chromosome", scenario=scenario, uniform_map=True)


def _archaic_size(scenario: Scenario, factor: float) -> Variant:
    """Return the scenario with the sizes of the demes that pulses come from times a factor."""
    tree = copy.deepcopy(scenario.to_tree())
    sources = {pulse.source for pulse in scenario.pulse}
    assignments = []
    for deme in tree["demography"]["demes"]:
        for k, epoch in enumerate(deme["epochs"]):
            for key in ("start_size", "end_size"):
                if deme["name"] in sources and key in epoch:
                    epoch[key] = max(2, epoch[key] * factor)
                    assignments.append(f"demography.demes.{deme['name']}.epochs[{k}].{key}={epoch[key]:g}")
    changed = Scenario.from_tree(tree)
    return Variant(group="archaic N", name=f"x {factor:g}", scenario=changed, assignments=tuple(assignments))


def sensitivity(scenario: Scenario, report: Callable[[float, str], None] = lambda done, note: None) -> pd.DataFrame:
    """Return what theory expects of every variant.

    Parameters
    ----------
    scenario
    report
        Told the share done and the variant under way.

    Returns
    -------
    DataFrame
        `group, variant, branch, source, deme, S, fitness, fitness_F1, generation_2, generation_20, today,
        today_low, today_high, set`; shares as fractions.
    """
    rows: list[dict[str, Any]] = []
    asked = variants(scenario)
    for k, variant in enumerate(asked):
        report(k / len(asked), variant.name)
        forecast = predict(variant.scenario, uniform_map=variant.uniform_map)
        for (branch, source, deme), found in forecast.trajectory.groupby(["branch", "source", "deme"], sort=False):
            by = found.set_index("generation")
            cost = next(
                (c for c in forecast.costs[str(branch)] if c.source == source and c.target == deme),
                next(c for c in forecast.costs[str(branch)] if c.source == source),
            )
            last = by.iloc[-1]
            rows.append(
                {
                    "group": variant.group, "variant": variant.name, "branch": branch, "source": source, "deme": deme,
                    "S": cost.S, "fitness": float(np.exp(-cost.S)), "fitness_F1": float(np.exp(-cost.S_het)),
                    "generation_2": by["ancestry_mean"].get(2, np.nan),
                    "generation_20": by["ancestry_mean"].get(20, np.nan),
                    "today": last["ancestry_mean"], "today_low": last["ancestry_low"],
                    "today_high": last["ancestry_high"], "set": " ".join(variant.assignments),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def screen_text(table: pd.DataFrame) -> str:
    """Return the table for a terminal, the range of the answer, and what is not in it."""
    lines = []
    keys = list(table[["branch", "source", "deme"]].drop_duplicates().itertuples(index=False, name=None))
    names = [branch for branch, *_ in keys]
    heads = names if len(set(names)) == len(names) else [" ".join(key) for key in keys]
    width = max(len(name) for name in table["variant"]) + 2
    lines.append(
        f"{'':<{width}}{'S':>7}{'fitness':>9}" + "".join(f"{head:>{max(10, len(head) + 2)}}" for head in heads)
    )
    for group, rows in table.groupby("group", sort=False):
        lines.append(f"{group}")
        for variant, found in rows.groupby("variant", sort=False):
            by = found.set_index(["branch", "source", "deme"])
            cells = "".join(
                f"{percent(float(by.loc[key, 'today'])):>{max(10, len(head) + 2)}}"
                for key, head in zip(keys, heads, strict=True)
            )
            lines.append(f"  {variant:<{width - 2}}{found['S'].iloc[0]:>7.2f}{found['fitness'].iloc[0]:>9.2f}{cells}")
    lines.append("")
    for key, head in zip(keys, heads, strict=True):
        own = table[(table[["branch", "source", "deme"]] == list(key)).all(axis=1)]
        low, high = percent(own["today"].min()), percent(own["today"].max())
        effects = own[own["group"] == "effects and target"]
        text = f"{head}: {percent(own['today'].iloc[0])} as it is; {low} to {high} over all of these choices"
        if len(effects):
            text += f", {percent(effects['today'].min())} to {percent(effects['today'].max())} by effects and target"
        lines.append(f"{text}.")
    lines += ["The answer depends on these choices more than on chance. Theory; nothing was simulated.", OUT_OF_SCOPE]
    return "\n".join(lines)
