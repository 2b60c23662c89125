# SPDX-License-Identifier: GPL-3.0-or-later
"""What each cohort is made of: how many gametes come from which deme, tick by tick, from the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np

from admix.engines.native.world import Cohort, Group, every
from admix.schedule import Pulse, Schedule

Generators = Callable[[str, int, int], np.random.Generator]
"""``generator(purpose, deme, tick)``: a named stream for the draws below."""


def plan_cohorts(
    schedule: Schedule, tick: int, demes: Collection[int], generators: Generators, planes: dict[int, int]
) -> dict[int, Cohort]:
    """Return the next cohort of each of ``demes`` that exists at ``tick``.

    Children with parents elsewhere are drawn first, pulses before migration; what is left comes from the
    deme itself. Residents are the first individuals of a cohort. ``planes`` is each source's marker plane.
    """
    made = {}
    for deme in sorted(demes):
        if not schedule.exists(deme, tick):
            continue
        n = schedule.size(deme, tick)
        pulses = [p for p in schedule.pulses if p.tick == tick and p.target == deme]
        parents = schedule.parents(deme, tick)
        # from its first pulse on, whoever comes from a source is wholly of that source, migrants too
        plane = {s: q for s, q in planes.items() if tick >= schedule.first_pulse_tick(s) and s != deme}
        if not pulses and len(parents) == 1:
            source = parents[0][0]
            made[deme] = Cohort(n, [Group(source, every(2 * n), plane.get(source, -1))])
            continue
        streams = [generators(f"pulse {k}", deme, tick) for k in range(len(pulses))]
        taken = list(zip(pulses, _pulse_sizes(pulses, n, streams), strict=True))
        free = n - sum(size for p, size in taken if p.unit == "individuals")
        groups: list[Group] = []
        shares = np.array([share for _, share in parents])
        split = generators("migration", deme, tick).multinomial(free, shares / shares.sum())
        start = 0
        home: dict[int, np.ndarray] = {}
        for (source, _), count in zip(parents, split, strict=True):
            home[source] = np.arange(2 * start, 2 * (start + int(count)))
            start += int(count)
        # F1 and gametes take the places of residents' gametes; the other gamete of an F1 child stays a resident's
        residents = home.get(deme, next(iter(home.values())))
        resident = deme if deme in home else next(iter(home))
        open_places = residents
        for pulse, size in taken:
            if pulse.unit == "individuals":
                rows = np.arange(2 * start, 2 * (start + size))
                start += size
            else:
                rng = generators(f"{pulse.unit} {pulse.name}", deme, tick)
                pool = open_places
                if pulse.unit == "F1":
                    pool = pool[(pool % 2 == 1) & np.isin(pool ^ 1, open_places)]
                rows = np.sort(rng.choice(pool, min(size, len(pool)), replace=False))
                residents = np.setdiff1d(residents, rows)
                open_places = np.setdiff1d(open_places, rows)
                if pulse.unit == "F1":
                    open_places = np.setdiff1d(open_places, rows ^ 1)
            groups.append(Group(pulse.source, rows, planes[pulse.source], pulse.name))
        home[resident] = residents
        groups = [Group(source, rows, plane.get(source, -1)) for source, rows in home.items() if len(rows)] + [
            g for g in groups if len(g.rows)
        ]
        made[deme] = Cohort(n, groups)
    return made


def _pulse_sizes(pulses: Sequence[Pulse], n: int, streams: Sequence[np.random.Generator]) -> list[int]:
    """Numbers of individuals, F1 individuals or gametes that pulses bring into a cohort of ``n``.

    ``share`` is the share of the cohort's gene copies, so F1 children are twice as many as unmixed ones. Each
    number has the mean that its share asks for, and together they never need more children than there are.
    """
    sizes = [0] * len(pulses)
    used, part = 0, 0.0
    for mode in ("exact", "binomial"):
        expected, first = 0.0, 0.0
        for k, (pulse, rng) in enumerate(zip(pulses, streams, strict=True)):
            if pulse.mode != mode:
                continue
            if pulse.unit == "gametes":
                exact = mode == "exact"
                share = pulse.share
                sizes[k] = _round(2 * n * share, rng.random()) if exact else int(rng.binomial(2 * n, share))
                continue
            rate = pulse.share * (2 if pulse.unit == "F1" else 1)
            if mode == "exact":
                # sums are rounded, all by one draw: each number is its share's floor or the next, and so
                # is the sum
                first = first if expected else rng.random()
                sizes[k] = _round(expected + rate * n, first) - _round(expected, first)
                expected += rate * n
            else:
                left = 1.0 - part
                sizes[k] = int(rng.binomial(n - used, min(1.0, rate / left))) if left > 1e-12 else 0
            used += sizes[k]
            part += rate
    return sizes


def _round(expected: float, draw: float) -> int:
    """The whole number below ``expected`` or above, for a draw in [0, 1), such that the mean is right."""
    # a product like 0.3 * 10 may miss the whole number by a rounding error
    if abs(expected - round(expected)) < 1e-9 * max(1.0, expected):
        return round(expected)
    return math.ceil(expected - draw)
