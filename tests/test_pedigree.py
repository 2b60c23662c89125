# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of ancestors against the obvious way to find them: follow every line of every person."""

from functools import cache

import numpy as np
import pytest

from admix.engines.native.pedigree import Pedigree, pass_down
from admix.engines.native.world import Cohort, Group

X, Y, OLD, ELDER = range(4)
"""Two recipients that exchange migrants, and two sources; OLD gives to ELDER before it gives to X."""
FIRST, LAST = 10, 17
PLANES = {OLD: 0, ELDER: 1}


def sizes(rng):
    return {X: int(rng.integers(6, 14)), Y: int(rng.integers(4, 9)), OLD: 5, ELDER: 6}


def random_cohort(rng, deme, n, tick, units):
    """A cohort with migrants between X and Y and, in some ticks, pulses."""
    rows = np.arange(2 * n)
    groups = []
    pulses = {(FIRST, X): OLD, (FIRST + 2, X): OLD, (FIRST + 2, Y): OLD, (FIRST + 1, Y): ELDER, (FIRST + 3, X): ELDER,
              (FIRST + 1, ELDER): OLD}  # fmt: skip
    source = pulses.get((tick, deme))
    both = source is not None and tick == FIRST
    for origin in ([source] if source is not None else []) + ([ELDER] if both else []):
        unit = units[(tick + origin) % len(units)]
        free = np.intersect1d(rows[rows % 2 == 0], rows)
        free = free[np.isin(free + 1, rows)]
        if unit == "individuals":
            taken = free[-2:]
            taken = np.sort(np.concatenate([taken, taken + 1]))
        elif unit == "F1":
            taken = free[-2:] + 1
        else:
            taken = np.sort(rng.choice(rows, 3, replace=False))
        rows = np.setdiff1d(rows, taken)
        groups.append(Group(origin, taken, PLANES[origin]))
    if deme in (X, Y):
        moved = rows[np.isin(rows >> 1, rng.choice(n, 2, replace=False))]
        groups.append(Group(Y if deme == X else X, moved))
        rows = np.setdiff1d(rows, moved)
    groups.append(Group(deme, rows))
    return Cohort(n, [g for g in groups if len(g.rows)])


def random_pedigree(seed, units):
    """The pedigree, the population sizes by tick, and for every individual its (deme, parent, plane) twice."""
    rng = np.random.default_rng(seed)
    pedigree, sizes_at, parents_of = Pedigree(), {FIRST - 1: sizes(rng)}, {}
    for tick in range(FIRST, LAST + 1):
        before, now = sizes_at[tick - 1], sizes(rng)
        sizes_at[tick] = now
        cohorts = {i: random_cohort(rng, i, n, tick, units) for i, n in now.items()}
        parents = {}
        for i, cohort in cohorts.items():
            who = np.full(2 * cohort.n, -1, np.int32)
            for group in cohort.groups:
                who[group.rows] = rng.integers(0, before[group.source], len(group.rows))
                for g in group.rows.tolist():
                    pair = parents_of.setdefault((tick, i, g >> 1), [None, None])
                    pair[g & 1] = (group.source, int(who[g]), group.plane)
            assert (who >= 0).all()
            parents[i] = who
        pedigree.add(tick, cohorts, parents)
    return pedigree, sizes_at, parents_of


UNITS = [("individuals",), ("F1",), ("gametes",), ("individuals", "F1", "gametes")]
CASES = [(seed, units) for units in UNITS for seed in range(6)]


@pytest.fixture(params=CASES, ids=lambda c: f"{'+'.join(c[1])}-{c[0]}")
def case(request):
    return random_pedigree(*request.param)


def living_of(sizes_at, rng, share):
    return {i: rng.random(n) < share for i, n in sizes_at[LAST].items() if i in (X, Y)}


def people(flags, tick):
    return {(tick, i, int(k)) for i, f in flags.items() for k in np.flatnonzero(f)}


def slow_back(parents_of, now, tick):
    """Everybody at ``tick`` from whom somebody in ``now`` descends."""
    while now and next(iter(now))[0] > tick:
        now = {(t - 1, deme, who) for t, i, k in now for deme, who, _ in parents_of[t, i, k]}
    return now


def test_back_to_follows_every_line(case):
    pedigree, sizes_at, parents_of = case
    living = living_of(sizes_at, np.random.default_rng(1), 0.3)
    for tick in (LAST - 1, FIRST, FIRST - 1):
        flags = pedigree.back_to(tick, LAST, living)
        assert people(flags, tick) == slow_back(parents_of, people(living, LAST), tick)
        assert all(len(f) <= sizes_at[tick][i] for i, f in flags.items())
    assert people(pedigree.back_to(LAST, LAST, living), LAST) == people(living, LAST)


def slow_founders(parents_of, now, plane):
    """(archaic, all): lines end with a child that a pulse brought (or with the parent, for F1 and gametes), and
    in cohort FIRST (or the one before, if a pulse of parents falls on it)."""
    pulses = {}
    for (t, i, k), pair in parents_of.items():
        for g, (deme, _, p) in enumerate(pair):
            if p >= 0:
                pulses.setdefault((t, i, deme, p), set()).add((k, g))
    whole = {name: all((k, 1 - g) in of for k, g in of) for name, of in pulses.items()}
    further = not all(w for (t, *_), w in whole.items() if t == FIRST)
    found, seen, todo = {}, set(), list(now)
    while todo:
        person = todo.pop()
        if person in seen:
            continue
        seen.add(person)
        t, i, _ = person
        pair = parents_of[person]
        if any(p >= 0 and whole[t, i, deme, p] for deme, _, p in pair):
            found[person] = pair[0][2]
            continue
        if t == FIRST and not further:
            found[person] = -1
            continue
        for deme, who, p in pair:
            parent = (t - 1, deme, who)
            if p >= 0:
                found[parent] = p
            elif t == FIRST:
                found.setdefault(parent, -1)
            else:
                todo.append(parent)
    return sum(p == plane for p in found.values()), len(found)


def test_founders(case):
    pedigree, sizes_at, parents_of = case
    for share in (0.1, 1.0):
        living = living_of(sizes_at, np.random.default_rng(2), share)
        for plane in (0, 1):
            found = pedigree.founders(FIRST, LAST, living, plane)
            assert found == slow_founders(parents_of, people(living, LAST), plane)


def test_shares_of_founders_add_up(case):
    pedigree, sizes_at, _ = case
    living = living_of(sizes_at, np.random.default_rng(2), 1.0)
    (a, total), (b, same) = (pedigree.founders(FIRST, LAST, living, plane) for plane in (0, 1))
    assert total == same and 0 < a + b < total


def slow_paths(parents_of):
    """Share of the paths back from a person that end with each plane, or (-1) with a native of FIRST - 1."""

    @cache
    def of(person):
        if person[0] < FIRST:
            return (1.0, 0.0, 0.0)
        out = np.zeros(3)
        for deme, who, p in parents_of[person]:
            out += 0.5 * (np.eye(3)[1 + p] if p >= 0 else np.array(of((person[0] - 1, deme, who))))
        return tuple(out)

    return of


def test_paths_add_up_to_one(case):
    pedigree, sizes_at, parents_of = case
    values = {q: {} for q in (0, 1)}
    for tick in range(FIRST, LAST + 1):
        values = {q: pass_down(v, pedigree.births[tick], q) for q, v in values.items()}
    slow = slow_paths(parents_of)
    for i, n in sizes_at[LAST].items():
        expected = np.array([slow((LAST, i, k)) for k in range(n)])
        assert np.allclose(values[0][i], expected[:, 1], rtol=1e-12)
        assert np.allclose(values[1][i], expected[:, 2], rtol=1e-12)
        assert np.allclose(values[0][i] + values[1][i] + expected[:, 0], 1.0, rtol=1e-12)
    assert values[0][X].sum() > 0 and values[1][X].sum() > 0


def test_packing_keeps_all_but_pulses(case):
    pedigree, sizes_at, _ = case
    again = Pedigree.unpack(pedigree.pack() | {"other": np.zeros(3)})
    living = living_of(sizes_at, np.random.default_rng(3), 0.5)
    for tick in (FIRST - 1, FIRST + 3):
        one, two = (p.back_to(tick, LAST, living) for p in (pedigree, again))
        assert people(one, tick) == people(two, tick)
    assert again.sizes == {t: s for t, s in sizes_at.items() if t >= FIRST}
    # what is unpacked goes on like the original: a resumed burn-in
    twice = Pedigree.unpack(again.pack())
    assert all(np.array_equal(a, b) for a, b in zip(again.pack().values(), twice.pack().values(), strict=True))


def test_demes_that_come_and_go_are_packed():
    pedigree = Pedigree()
    for tick, demes in ((1, {0: 3}), (2, {0: 3, 1: 2}), (3, {1: 2})):
        cohorts = {i: Cohort(n, [Group(0 if tick < 3 else 1, np.arange(2 * n))]) for i, n in demes.items()}
        pedigree.add(tick, cohorts, {i: np.arange(2 * n, dtype=np.int32) % 2 for i, n in demes.items()})
    again = Pedigree.unpack(pedigree.pack())
    assert again.sizes == {1: {0: 3}, 2: {0: 3, 1: 2}, 3: {1: 2}}
    everybody = {1: np.ones(2, bool)}
    assert people(again.back_to(0, 3, everybody), 0) == people(pedigree.back_to(0, 3, everybody), 0) == {
        (0, 0, 0), (0, 0, 1)
    }  # fmt: skip


def test_wide_parents_are_not_cut():
    """Indices above 255 and 65535 need wider numbers than the first cohorts."""
    pedigree = Pedigree()
    for tick, top in ((1, 3), (2, 300), (3, 70_000)):
        cohort = Cohort(2, [Group(0, np.arange(4))])
        pedigree.add(tick, {0: cohort}, {0: np.array([0, 1, 1, top], np.int32)})
    again = Pedigree.unpack(pedigree.pack())
    for tick, top in ((1, 3), (2, 300), (3, 70_000)):
        for p in (pedigree, again):
            assert p.births[tick][0].parents.tolist() == [0, 1, 1, top]
            assert len(p.parents_of(tick, {0: np.ones(2, bool)})[0]) == top + 1
