# SPDX-License-Identifier: GPL-3.0-or-later
"""What each cohort is made of: how many gametes come from which deme, tick by tick, from the schedule."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from admix.engines.native.world import Cohort, Group
from admix.schedule import Pulse, Schedule

Generators = Callable[[str, int, int], np.random.Generator]
"""``generator(purpose, deme, tick)``: a named stream for the draws below."""


def plan_cohorts(
    schedule: Schedule, tick: int, demes: Collection[int], generators: Generators, planes: dict[int, int]
) -> dict[int, Cohort]:
    """Return the next cohort of each of ``demes`` that exists at ``tick``.

    Children with parents elsewhere are drawn first, pulses before migration; what is left comes from the
    deme itself. Residents are the first individuals of a cohort. ``planes`` is the marker plane of each source.
    """
    made = {}
    for deme in sorted(demes):
        if not schedule.exists(deme, tick):
            continue
        n = schedule.size(deme, tick)
        pulses = [p for p in schedule.pulses if p.tick == tick and p.target == deme]
        parents = schedule.parents(deme, tick)
        if not pulses and len(parents) == 1:
            made[deme] = Cohort(n, [Group(parents[0][0], np.arange(2 * n))])
            continue
        whole = 2 * n
        taken = []
        for k, pulse in enumerate(pulses):
            rng = generators(f"pulse {k}", deme, tick)
            taken.append((pulse, _pulse_size(pulse, n, rng)))
        individuals = [(p, size) for p, size in taken if p.unit == "individuals"]
        free = n - sum(size for _, size in individuals)
        free = max(free, 0)
        groups: list[Group] = []
        shares = np.array([share for _, share in parents])
        split = generators("migration", deme, tick).multinomial(free, shares / shares.sum())
        start = 0
        home: dict[int, np.ndarray] = {}
        for (source, _), count in zip(parents, split, strict=True):
            home[source] = np.arange(2 * start, 2 * (start + int(count)))
            start += int(count)
        # F1 and gametes take the places of residents' gametes
        residents = home.get(deme, next(iter(home.values())))
        resident = deme if deme in home else next(iter(home))
        for pulse, size in taken:
            if pulse.unit == "individuals":
                rows = np.arange(2 * start, 2 * (start + size))
                start += size
            else:
                rng = generators(f"{pulse.unit} {pulse.name}", deme, tick)
                pool = residents[residents % 2 == 1] if pulse.unit == "F1" else residents
                rows = np.sort(rng.choice(pool, min(size, len(pool)), replace=False))
                residents = np.setdiff1d(residents, rows)
            groups.append(Group(pulse.source, rows, planes[pulse.source]))
        home[resident] = residents
        groups = [Group(source, rows) for source, rows in home.items() if len(rows)] + [
            g for g in groups if len(g.rows)
        ]
        made[deme] = Cohort(n, groups)
    return made


def _pulse_size(pulse: Pulse, n: int, rng: np.random.Generator) -> int:
    """Number of individuals, F1 individuals or gametes that a pulse brings into a cohort of ``n``.

    ``share`` is the share of the cohort's gene copies, so F1 children are twice as many as unmixed ones.
    """
    trials = {"individuals": n, "F1": n, "gametes": 2 * n}[pulse.unit]
    rate = min(1.0, pulse.share * (2 if pulse.unit == "F1" else 1))
    if pulse.mode == "binomial":
        return int(rng.binomial(trials, rate))
    expected = rate * trials
    # a product like 0.3 * 10 may miss the whole number by a rounding error
    whole = round(expected) if abs(expected - round(expected)) < 1e-9 * trials else int(expected)
    return whole + int(rng.random() < expected - whole)
