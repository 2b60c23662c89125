# SPDX-License-Identifier: GPL-3.0-or-later
"""Founders drawn from theory, against tests/reference.py."""

from __future__ import annotations

import itertools
from collections import Counter

import adapters as kernel
import chance
import numpy as np
import pytest
import reference as ref

N = 11
EVERY_COUNT = [*range(N + 1), 5, 6, 1]


def mutations(n: int) -> list[ref.Mutation]:
    """Places in order, the first three at one place."""
    return [ref.Mutation(7 * max(k, 2), 100 - k if k > 2 else k) for k in range(n)]


def expected(key: int, counts: list[int], n: int) -> list[list[tuple[int, int]]]:
    carriers = ref.scatter(key, counts, n)
    where = kernel.pairs(mutations(len(counts)))
    return [[at for at, who in zip(where, carriers, strict=True) if g in who] for g in range(n)]


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("counts", [[], EVERY_COUNT], ids=["none", "every count"])
def test_scatter(key: int, counts: list[int]) -> None:
    """Every number of carriers, from none over half to all."""
    room = len(counts) + 8
    made = kernel.scatter(key, mutations(len(counts)), counts, N, room)
    assert made == (0, expected(key, counts, N), [set()] * N)
    carriers = ref.scatter(key, counts, N)
    assert [len(who) for who in carriers] == counts


def test_scatter_puts_common_mutations_into_bits() -> None:
    """65 of 100 are bits; who carries what is the same, and rare lists have the others alone."""
    every = mutations(100)
    common = every[10:75]
    counts = [k % (N + 1) for k in range(100)]
    wider, lists, bits = kernel.scatter(8, every, counts, N, 60, common)
    assert wider == 0
    carriers = ref.scatter(8, counts, N)
    for g in range(N):
        carried = [m for m, who in zip(every, carriers, strict=True) if g in who]
        assert bits[g] == {common.index(m) for m in carried if m in common}
        assert lists[g] == kernel.pairs(m for m in carried if m not in common)


@pytest.mark.parametrize("counts", [[1], [2], [1, 2, 1]])
def test_scatter_over_one_or_two_haplotypes(counts: list[int]) -> None:
    made = kernel.scatter(3, mutations(len(counts)), counts, 2, 16)
    assert made == (0, expected(3, counts, 2), [set()] * 2)


def test_scatter_asks_for_room() -> None:
    """Eight keys of padding beyond the widest row fit exactly, and one fewer does not."""
    widest = max(len(row) for row in expected(5, EVERY_COUNT, N))
    need = widest + 8
    assert kernel.scatter(5, mutations(len(EVERY_COUNT)), EVERY_COUNT, N, need)[0] == 0
    for room in (need - 1, need - 8, need - 9, 1):
        assert kernel.scatter(5, mutations(len(EVERY_COUNT)), EVERY_COUNT, N, room)[0] == need


def test_effects_of_many_mutations() -> None:
    s = [-1e-9, -1e-3, -0.5, -0.999999999, 0.0]
    h = [0.5, 0.0, 1.0, 0.5, 0.3]
    assert kernel.effects_of(s, h) == [ref.set_effects(*pair) for pair in zip(s, h, strict=True)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_chance_scatter_draws_every_set_of_carriers_alike(count: int) -> None:
    """Chi-square of 30,000 mutations over the sets of 1, 2, 3 or 4 of 5 haplotypes: false alarms 1e-6; one
    set that comes a quarter more often is refused with power above 0.999."""
    n, times = 5, 30_000
    lists = kernel.scatter(9, [ref.Mutation(k, k) for k in range(times)], [count] * times, n, times + 8)[1]
    carriers: list[list[int]] = [[] for _ in range(times)]
    for g, row in enumerate(lists):
        for axis, _ in row:
            carriers[axis].append(g)
    sets = list(itertools.combinations(range(n), count))
    tally = Counter(map(tuple, carriers))
    assert set(tally) == set(sets)
    even = np.full(len(sets), 1 / len(sets))
    observed = np.array([tally[which] for which in sets])
    assert chance.accepts(observed, even)
    wrong = np.array([1.25] + [1.0] * (len(sets) - 1))
    assert chance.rejects(observed, even, wrong / wrong.sum())
