# SPDX-License-Identifier: GPL-3.0-or-later
"""The usual rescaling of a forward simulation by a factor Q, and why it is wrong here.

Sizes and times are divided by Q; selection coefficients, mutation, recombination and migration rates multiplied by it.
It is offered for SLiM alone, to show what it does to the answer (``admix run --engine slim --scale Q``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from admix import schedule
from admix.errors import InputError, nearest
from admix.genome import Genome
from admix.scenario import Scenario

__all__ = ["REASON", "dangers", "scaled_genome", "scaled_scenario"]

REASON = (
    "rescaling keeps the number of differences between the lineages and makes each cost Q times as much, so the archaic"
    " load becomes Q times too large or worse, while the assortment of whole chromosomes cannot be scaled at all; the"
    " answer to the question of this program is wrong at any Q above 1"
)
"""Printed with every scaled run."""
SMALLEST = 100
STRONG = 0.3


def scaled_scenario(scenario: Scenario, q: float) -> Scenario:
    """Return the scenario with sizes and times divided, and rates and effects multiplied by `q`.

    Times are divided by making a generation `q` times as long, so that dates stay what they are. A pulse's share has
    no scale, and branches differ in their pulses only.

    Raises
    ------
    InputError
        Where a size falls below 2, or a rate or effect leaves its range.
    """
    tree = scenario.to_tree()
    demography = tree["demography"]
    demography["generation_time"] *= q
    for deme in demography["demes"]:
        for epoch in deme["epochs"]:
            for key in ("start_size", "end_size"):
                if epoch.get(key) is not None:
                    epoch[key] = epoch[key] / q
    for migration in demography.get("migrations", []):
        migration["rate"] *= q
    selection = tree["selection"]
    selection["mutation_rate"] *= q
    selection["dfe"] = _scaled_dfe(selection["dfe"], q)
    if isinstance(selection.get("dominance"), dict):
        selection["dominance"] = _scaled_dominance(selection["dominance"], q)
    tree["start"]["relax"] = max(1, round(tree["start"]["relax"] / q))
    tree["sampling"]["trees"] = False
    tree["title"] = f"{tree['title']} (scaled by {q:g})"
    return Scenario.from_tree(tree)


def _scaled_dfe(dfe: dict[str, Any], q: float) -> dict[str, Any]:
    kind = dfe["kind"]
    if kind == "gamma":
        return dfe | {"mean": dfe["mean"] * q}
    if kind == "lognormal":
        return dfe | {"mu": dfe["mu"] + float(np.log(q))}
    if kind == "point":
        return dfe | {"s": dfe["s"] * q}
    if kind == "mixture":
        return dfe | {"components": [c | {"dfe": _scaled_dfe(c["dfe"], q)} for c in dfe["components"]]}
    return dfe


def _scaled_dominance(block: dict[str, Any], q: float) -> dict[str, Any]:
    if block["kind"] == "hs":
        return block | {"k": block["k"] / q}
    return block | {"breaks": [b * q for b in block["breaks"]]}


def scaled_genome(genome: Genome, q: float) -> Genome:
    """Return the genome with a map `q` times as long: r per base becomes (1 - (1 - 2r)^q) / 2, which is qr here."""
    return replace(genome, chrom_morgans=genome.chrom_morgans * q)


def dangers(scenario: Scenario, q: float) -> list[str]:
    """Return what becomes unsafe when a scenario is scaled by `q`, a line each; `scenario` is the scaled one."""
    lines = [f"--scale {q:g}: {REASON}"]
    clock = schedule.compile(scenario.branch(scenario.branches[0].name))
    for d, name in enumerate(clock.deme_names):
        smallest = min(
            clock.size(d, max(int(clock.first_tick[d]), 0 if d == clock.root else int(clock.first_tick[d]))),
            clock.size(d, int(clock.last_tick[d])),
        )
        if smallest < SMALLEST:
            lines.append(f"--scale {q:g}: {name} has {smallest:,} people, fewer than {SMALLEST}")
    for pulse in clock.pulses:
        n = clock.size(pulse.target, pulse.tick) * pulse.share
        if n < SMALLEST:
            lines.append(f"--scale {q:g}: pulse {pulse.name} brings {n:.3g} people")
    share = 1.0 - float(scenario.build_selection().dfe.probability(np.array([STRONG]))[0])
    if share > 1e-3:
        lines.append(f"--scale {q:g}: {share:.1%} of the mutations have -s above {STRONG:g}")
    longest = float(scaled_genome(scenario.build_genome(), q).chrom_morgans.max())
    lines.append(f"--scale {q:g}: the longest chromosome has {longest:.1f} crossovers a generation")
    return lines


def check(text: str, engine: str | None) -> float:
    """Return the factor typed after ``--scale``.

    Raises
    ------
    InputError
        For anything but 1 with the native engine, and a number from 1 to 100 with SLiM.
    """
    from admix.scenario import SCALE_REASON

    try:
        q = float(text)
    except ValueError:
        q = float("nan")
    if engine != "slim" and q != 1:
        raise InputError("--scale", text, SCALE_REASON)
    if not 1 <= q <= 100:
        raise InputError("--scale", text, "a number from 1 to 100 (with --engine slim)", nearest(text, ("1", "10")))
    return q
