# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that make gametes against tests/reference.py; and whether what is drawn is distributed rightly."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from functools import cache
from typing import Any

import adapters as kernel
import chance
import numpy as np
import pytest
import reference as ref
from hypothesis import assume, example, given
from hypothesis import strategies as st

from admix.engines.native.gametes import GUIDE_SHIFT
from admix.engines.native.tables import poisson_cdf, target_guide

EDGE = [0, 1, 62, 63, 64, 65, 127, 128, 191, 192]
"""Bits around the boundaries of words."""
SEEDS = st.integers(0, 2**64 - 1)


# ---------------------------------------------------------------------- parents

WEIGHTS = {
    "one": [2**32],
    "equal": [2**32] * 7,
    "one has all": [0, 0, 2**32, 0],
    "last has all": [0, 0, 0, 5],
    "first has all": [2**32, 0, 0],
    "most are 0": [0, 3, 0, 0, 2, 0],
    "steep": [1, 2**10, 2**20, 2**32],
    "tiny": [1, 1, 2],
    "many": [1] * 147,
}


@pytest.mark.parametrize("m", [1, 2, 16, 64])
@pytest.mark.parametrize("name", WEIGHTS)
def test_guide_table(name: str, m: int) -> None:
    cumulative = list(itertools.accumulate(WEIGHTS[name]))
    assert kernel.guide_table(WEIGHTS[name], m) == ref.guide_table(cumulative, m)


@pytest.mark.parametrize("m", [1, 16, 49, 100])
@pytest.mark.parametrize("name", WEIGHTS)
def test_choose_parent(name: str, m: int) -> None:
    """Draws at random, both ends, and on both sides of every boundary between parents and between the cells
    of the guide, which rounding may take to the wrong cell."""
    weights = WEIGHTS[name]
    choose = kernel.chooser(weights, m)
    rng = random.Random(1)
    draws = [0, 2**64 - 1, *(rng.getrandbits(64) for _ in range(50))]
    edges = [at / sum(weights) for at in itertools.accumulate(weights)] + [j / m for j in range(m)]
    for edge in edges:
        z = int(edge * 2**64)
        draws += [min(max(z + d * 2**k, 0), 2**64 - 1) for k in (0, 11, 12, 30) for d in (-1, 0, 1)]
    for z in draws:
        parent = choose(z)
        assert parent == ref.choose_parent(z, weights)
        assert weights[parent] > 0


@kernel.EXAMPLES
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=12), st.integers(1, 40), SEEDS)
def test_choose_parent_with_any_weights(weights: list[int], m: int, z: int) -> None:
    assume(sum(weights) > 0)
    assert kernel.chooser(weights, m)(z) == ref.choose_parent(z, weights)


@pytest.mark.parametrize("part", [(0, 6), (2, 4), (3, 3)])
def test_choose_parents(part: tuple[int, int]) -> None:
    rows, weights = [5, 0, 9, 3, 2, 8], [3, 0, 5, 2]
    found = kernel.choose_parents(77, 4, rows, part, weights, 10)
    for i, (g, parent) in enumerate(zip(rows, ref.choose_parents(77, 4, rows, weights), strict=True)):
        assert found[g] == (parent if part[0] <= i < part[1] else 77)
    assert all(found[g] == 77 for g in {1, 4, 6, 7})


@pytest.mark.parametrize("n", [0, 1, 2, 30])
@pytest.mark.parametrize("n_individuals", [1, 4])
def test_order_by_parent(n: int, n_individuals: int) -> None:
    rng = random.Random(n)
    parents = [rng.randrange(n_individuals) for _ in range(2 * n)]
    rows = rng.sample(range(2 * n), n)
    assert kernel.order_by_parent(rows, parents, n_individuals) == ref.order_by_parent([parents[g] for g in rows])


# ---------------------------------------------------------------------- crossovers

NEVER, ONCE, THRICE = [2**32], [0, 2**32], [0, 0, 0, 2**32]
OFTEN = poisson_cdf(3.0).tolist()
MAPS = {
    "one chromosome": ([0, 2**32], [OFTEN]),
    "none on any": ([0, 10, 2**31, 2**32], [NEVER] * 3),
    "one on each": ([0, 2**20, 2**31, 2**32 - 1], [ONCE] * 3),
    "of one or two bases": ([0, 1, 3, 4, 6], [THRICE, THRICE, NEVER, THRICE]),
    "a map as long as a person's": (
        [c * (2**32 // 22) for c in range(23)],
        [poisson_cdf(3.2 - 0.12 * c).tolist() for c in range(22)],
    ),
    "more than 64 chromosomes": ([7 * c for c in range(131)], [poisson_cdf(0.6).tolist()] * 130),
}


@pytest.mark.parametrize("name", MAPS)
def test_crossovers(name: str) -> None:
    chrom_axis, cdf = MAPS[name]
    draw = kernel.crosser(chrom_axis, cdf)
    same_place = odd_ends = 0
    for seed in range(60):
        state = ref.mix(seed)
        meiosis = ref.crossovers(ref.Draws(state), chrom_axis, cdf)
        cuts, first = draw(state)
        assert (cuts, first) == (meiosis.cuts(), meiosis.first)
        assert cuts == sorted(cuts)
        same_place += len(set(cuts)) < len(cuts)
        odd_ends += any(cut in chrom_axis for cut in cuts)
        # the cuts and the meiosis are two accounts of the same strands
        for x in {*chrom_axis[:-1], *(max(end - 1, 0) for end in chrom_axis[1:]), *cuts}:
            assert (first + ref.strand_at(x, cuts)) % 2 == meiosis.strand(x)
    if "bases" in name:
        assert same_place > 50
    if len(cdf) > 1:
        assert odd_ends > 25


@kernel.EXAMPLES
@given(SEEDS, st.lists(st.integers(1, 30), min_size=1, max_size=6), st.lists(st.integers(0, 4), min_size=6))
def test_crossovers_of_any_stream(state: int, lengths: list[int], numbers: list[int]) -> None:
    """Short chromosomes, each with a number of crossovers of its own: many in the same place and at ends."""
    chrom_axis = [0, *itertools.accumulate(lengths)]
    cdf = [[0] * n + [2**32] for n in numbers[: len(lengths)]]
    meiosis = ref.crossovers(ref.Draws(state), chrom_axis, cdf)
    assert kernel.crossovers(state, chrom_axis, cdf) == (meiosis.cuts(), meiosis.first)


# ---------------------------------------------------------------------- common sites

CELL = 2**18
"""Width of a cell of the look-up grid."""
AXES = {
    "no site": [],
    "one": [CELL],
    "equal places": [0, 0, 5, 5, 5, CELL - 1, CELL, CELL, 3 * CELL + 1, 3 * CELL + 1],
    "last place": [7, 2**32 - 2, 2**32 - 1, 2**32 - 1],
    "a whole word": list(range(100, 164)),
}


@pytest.mark.parametrize("name", AXES)
def test_first_at(name: str) -> None:
    axis = AXES[name]
    near = [0, CELL, 3 * CELL, 2**31, 2**32 - 1, *axis]
    for x in {min(max(at + d, 0), 2**32 - 1) for at in near for d in (-1, 0, 1)}:
        assert kernel.first_at(x, axis) == ref.first_at(x, axis)


@pytest.mark.parametrize("name", AXES)
def test_edges_of(name: str) -> None:
    axis = AXES[name]
    rng = random.Random(4)
    places = [0, 1, CELL, 2**32 - 1, *axis, *(x + 1 for x in axis if x < 2**32 - 1)]
    assert kernel.edges_of([], axis) == ref.edges_of([], axis) == []
    for n in range(6):
        for _ in range(5):
            cuts = sorted(rng.choice(places) for _ in range(n))
            assert kernel.edges_of(cuts, axis) == ref.edges_of(cuts, axis)


def check_splice(a: set[int], b: set[int], edges: list[int], n_sites: int, n_words: int) -> None:
    effect = [-((i * 7919) % 2**24) if i < n_sites else 0 for i in range(64 * n_words)]
    made = kernel.Spliced(a, b, edges, effect)
    assert made.bits == ref.splice(a, b, edges, n_sites)
    assert made.sums == ref.copy_runs(made.sums_a, made.sums_b, edges)
    assert made.all_sums == ref.sum_cut_words(a, b, edges, effect)


@pytest.mark.parametrize("n_sites", [0, 1, 63, 64, 65, 128, 192, 193])
def test_splice_at_word_boundaries(n_sites: int) -> None:
    """Every pair of edges from a set around the boundaries, all sites differing, and words to spare."""
    places = sorted({e for e in EDGE if e <= n_sites} | {n_sites})
    a = {i for i in range(n_sites) if i % 3 == 0}
    b = set(range(n_sites)) - a
    for n_words in {max(1, -(-n_sites // 64)), n_sites // 64 + 1}:
        check_splice(a, b, [], n_sites, n_words)
        for first, last in itertools.combinations_with_replacement(places, 2):
            check_splice(a, b, [first, last], n_sites, n_words)
        for edge in places:
            check_splice(a, b, [edge], n_sites, n_words)


def test_splice_over_many_words() -> None:
    """Runs longer than what a kernel may fill at a time, of each of both strands, at each length."""
    n_words = 70
    rng = random.Random(5)
    a, b = ({i for i in range(64 * n_words) if rng.random() < 0.5} for _ in range(2))
    for w in [0, 1, 2, 5, *range(6, 70, 5), 61, 62, 63, 69]:
        check_splice(a, b, [64 * w], 64 * n_words, n_words)
        check_splice(a, b, [0, 64 * w + 1], 64 * n_words, n_words)
        check_splice(a, b, [5, 64 * w + 63], 64 * n_words, n_words)


@kernel.EXAMPLES
@given(st.data())
def test_splice(data: st.DataObject) -> None:
    n_sites = data.draw(st.integers(0, 200))
    site = st.integers(0, n_sites) | st.sampled_from([e for e in EDGE if e <= n_sites])
    edges = sorted(data.draw(st.lists(site, max_size=12)))
    rng = random.Random(data.draw(st.integers(0, 99)))
    a, b = ({i for i in range(n_sites) if rng.random() < 0.5} for _ in range(2))
    check_splice(a, b, edges, n_sites, max(1, -(-n_sites // 64)))


@pytest.mark.parametrize("row", [set(), {0}, {63}, {64}, {127}, {0, 1, 63, 64, 65, 127}, set(range(128))])
def test_word_sum(row: set[int]) -> None:
    effect = [(-1) ** i * (i + 1) * 2**17 for i in range(128)]
    for w in (0, 1):
        assert kernel.word_sum(row, w, effect) == ref.word_sum(row, w, effect)


# ---------------------------------------------------------------------- rare mutations


def rare(*axes: int, start: int = 0) -> list[ref.Mutation]:
    return [ref.Mutation(x, start + i) for i, x in enumerate(axes)]


RARE = {
    "both empty": ([], []),
    "one empty": (rare(3, 9), []),
    "other empty": ([], rare(3, 9)),
    "the same": (rare(3, 9, 9), rare(3, 9, 9)),
    "equal places": (rare(5, 5, 5), rare(5, 5, start=7)),
    "ends of the axis": (rare(0, 2**32 - 1), rare(0, 0, 2**32 - 1, start=7)),
    "eight at a time": (rare(*range(8)), rare(*range(16), start=20)),
    "one more than eight": (rare(*range(9)), rare(*range(17), start=20)),
    "highest number": ([ref.Mutation(4, 2**31 - 1)], [ref.Mutation(4, 2**31 - 2)]),
}


@pytest.mark.parametrize("name", RARE)
def test_splice_rare(name: str) -> None:
    a, b = RARE[name]
    places = sorted({0, 2**32 - 1, *(m.axis for m in a + b), *(min(m.axis + 1, 2**32 - 1) for m in a + b)})
    rng = random.Random(6)
    for n in range(6):
        for _ in range(12 if n else 1):
            cuts = sorted(rng.choice(places) for _ in range(n))
            for one, other in ((a, b), (b, a)):
                assert kernel.splice_rare(one, other, cuts) == kernel.pairs(ref.splice_rare(one, other, cuts))


@kernel.EXAMPLES
@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 40), st.integers(0, 12), st.integers(1, 60))
@example(1, 40, 40, 12, 1)
def test_splice_rare_lists_of_any_length(seed: int, n_a: int, n_b: int, n_cuts: int, width: int) -> None:
    rng = random.Random(seed)
    numbers = rng.sample(range(1000), 60)
    every = [ref.Mutation(rng.randrange(width), number) for number in numbers]
    a, b = rng.sample(every, n_a), rng.sample(every, n_b)
    cuts = sorted(rng.randrange(width + 1) for _ in range(n_cuts))
    assert kernel.splice_rare(a, b, cuts) == kernel.pairs(ref.splice_rare(a, b, cuts))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 17])
def test_take_and_skip_keys(n: int) -> None:
    keys = [2**33 + 10 * k for k in range(n)]
    for end in [0, 2**64 - 1, *(key + d for key in keys for d in (0, 1))]:
        for i in {0, n // 2, n}:
            reached = ref.skip_keys(keys, i, end)
            assert kernel.take_keys(keys, i, end) == (ref.take_keys(keys, i, end), reached)
            assert kernel.skip_keys(keys, i, end) == reached


@pytest.mark.parametrize("n", [0, 1, 5])
def test_pad(n: int) -> None:
    row = list(range(1, 16))
    assert kernel.pad(row, n) == ref.pad(row, n) + row[n + 8 :]


@pytest.mark.parametrize("row", [[], [5], [1, 5, 9], [2**64 - 2]])
def test_insert_key(row: list[int]) -> None:
    for key in {0, 4, 6, 2**63, 2**64 - 2, *(x + 1 for x in row), *(max(x - 1, 0) for x in row)} - set(row):
        assert kernel.insert_key(row, key) == ref.insert_key(row, key)


# ---------------------------------------------------------------------- markers


def markers(n: int, seed: int) -> tuple[list[int], set[int], set[int]]:
    """(weights, mostly 100 and some odd or 0; functional ones; far ones)."""
    rng = random.Random(seed)
    weight = [100 if rng.random() < 0.7 else rng.choice([0, 1, 99, 2**40]) for _ in range(n)]
    functional = {i for i in range(n) if rng.random() < 0.4}
    return weight, functional, {i for i in range(n) if i not in functional and rng.random() < 0.3}


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("plain_weight", [100, 99, 7])
def test_weigh(n: int, plain_weight: int) -> None:
    weight, functional, far = markers(n, n)
    rng = random.Random(n)
    rows = [set(), set(range(n)), {n - 1}, {i for i in range(n) if rng.random() < 0.5}]
    for row in rows:
        found = kernel.weigh(row, weight, functional, far, plain_weight)
        assert found == ref.weigh(row, weight, functional, far)


@pytest.mark.parametrize("n_planes", [0, 1, 3])
def test_weigh_rows(n_planes: int) -> None:
    weight, functional, far = markers(90, 1)
    rng = random.Random(2)
    planes = [[{i for i in range(90) if rng.random() < 0.5} for _ in range(5)] for _ in range(n_planes)]
    found = kernel.weigh_rows(planes, weight, functional, far, 100, (1, 4))
    assert len(found) == n_planes
    for rows, made in zip(planes, found, strict=True):
        for g, row in enumerate(rows):
            expected = ref.weigh(row, weight, functional, far) if 1 <= g < 4 else (kernel.STALE,) * 3
            assert made[g] == expected


# ---------------------------------------------------------------------- new mutations

TARGET = [
    ref.Segment(1, 5, 5),  # a segment without genetic length
    ref.Segment(1000, 5, 2**20),
    ref.Segment(3, 2**20, 2**20 + 2),
    ref.Segment(40, 2**32 - 7, 2**32),
]
NODES = [-1e-9, -1e-4, -0.02, -0.02, -0.999999999]
DOMINANCE = [0.5, 0.0, 1.0, 0.25]


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0])
def test_count_mutations(mean: float) -> None:
    cdf = poisson_cdf(mean).tolist()
    for key, tick in [(0, 0), (5, 17_800), (2**64 - 1, 3)]:
        assert kernel.count_mutations(key, tick, cdf, 40) == ref.count_mutations(key, tick, cdf, 40)


@pytest.mark.parametrize("part", [(0, 5), (1, 4), (2, 2)])
@pytest.mark.parametrize("key", [1, 2**64 - 1])
def test_new_mutations(part: tuple[int, int], key: int) -> None:
    """Gametes with 0, 1 and many; a span of them writes the mutations of its own alone."""
    counts = [2, 0, 1, 40, 3]
    ids = random.Random(1).sample(range(100), sum(counts))
    found = kernel.new_mutations(key, 12, part, counts, ids, TARGET, NODES, DOMINANCE)
    expected: dict[int, ref.Fresh] = {}
    for g in range(*part):
        mine = ids[sum(counts[:g]) : sum(counts[: g + 1])]
        made = ref.new_mutations(key, 12, g, counts[g], TARGET, NODES, DOMINANCE)
        expected.update(zip(mine, made, strict=True))
    assert found == expected


@pytest.mark.parametrize("lengths", [[1], [4096], [4097], [1, 5000, 3, 9000, 4096, 1, 1, 20_000]])
def test_target_guide(lengths: list[int]) -> None:
    """The segment of every 4096th base, from a list that names the segment of each base."""
    of_base = [j for j, length in enumerate(lengths) for _ in range(length)]
    guide = target_guide(np.concatenate([[0], np.cumsum(lengths)]))
    assert guide.tolist() == of_base[:: 2**GUIDE_SHIFT]


def test_new_mutations_reach_every_segment_and_bin() -> None:
    """Negative control of the case above: 400 draws hit both ends of what there is to hit."""
    found = kernel.new_mutations(3, 1, (0, 1), [400], range(400), TARGET, NODES, DOMINANCE).values()
    assert list(found) == ref.new_mutations(3, 1, 0, 400, TARGET, NODES, DOMINANCE)
    assert {m.h for m in found} == set(DOMINANCE)
    assert max(m.axis for m in found) >= 2**32 - 7
    assert len({m.uid for m in found}) == 400
    one_each = kernel.new_mutations(
        3, 1, (0, 1), [60], range(60), [replace(segment, length=1) for segment in TARGET], NODES, DOMINANCE
    )
    assert {m.axis for m in one_each.values()} == {segment.axis_start for segment in TARGET}


@pytest.mark.parametrize("h", [0.0, 1e-3, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("s", [0.0, -1e-12, -1e-7, -6.9e-4, -7e-4, -0.043, -0.5, -0.9, -0.999999999])
def test_set_effects(s: float, h: float) -> None:
    assert kernel.set_effects(s, h) == ref.set_effects(s, h)


@kernel.EXAMPLES
@given(st.floats(-0.999999999, 0), st.floats(0, 1))
def test_set_effects_of_any_mutation(s: float, h: float) -> None:
    assert kernel.set_effects(s, h) == ref.set_effects(s, h)


# ---------------------------------------------------------------------- whole gametes

NOTHING_NEW = [2**32]


def town(
    seed: int,
    n: int = 4,
    n_mutations: int = 160,
    stored: float = 0.6,
    share: float = 0.5,
    mutation_cdf: list[int] = NOTHING_NEW,
    cuts: float = 2.0,
    n_planes: int = 0,
    room: int = 0,
    lethal: bool = False,
) -> kernel.Town:
    """A town of ``n`` individuals that share mutations, three chromosomes long."""
    rng = random.Random(seed)
    chrom_axis = [0, 2**20, 2**31, 2**32]
    numbers = rng.sample(range(10_000), n_mutations)
    kinds = [ref.set_effects(s, h) for s, h in [(-0.01, 0.5), (-0.1, 0.0), (-0.05, 1.0), (-1e-5, 0.5)]]
    places = [0, 2**20 - 1, 2**20, 2**31, 2**32 - 1, *(rng.randrange(2**32) for _ in range(n_mutations))]
    mutations = [ref.Mutation(rng.choice(places), i, *rng.choice(kinds)) for i in numbers]
    weight, functional, far = markers(100, seed)
    mark_axis = sorted(rng.choice(places) for _ in range(100))
    individuals = []
    for _ in range(n):
        pair = []
        for _ in range(2):
            carried = frozenset(m for m in mutations if rng.random() < share)
            marks = tuple(frozenset(k for k in range(100) if rng.random() < 0.5) for _ in range(n_planes))
            pair.append(ref.Chromatid(carried, marks))
        individuals.append((pair[0], pair[1]))
    common = rng.sample(mutations, int(stored * n_mutations))
    if lethal:  # everybody but individual 1 is dead
        killer = ref.Mutation(2**25, 20_000, *ref.set_effects(-0.999999999, 0.0))
        for i, (a, b) in enumerate(individuals):
            if i != 1:
                individuals[i] = (
                    replace(a, mutations=a.mutations | {killer}),
                    replace(b, mutations=b.mutations | {killer}),
                )
    tables = kernel.town_tables(
        chrom_axis, [poisson_cdf(m * cuts).tolist() for m in (0.2, 1.0, 1.8)], mutation_cdf, TARGET, NODES,
        DOMINANCE, mark_axis, weight, functional, far, 100,
    )  # fmt: skip
    return kernel.Town(tables, individuals, common, n_planes, room)


TOWNS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no common site": {"stored": 0.0},
    "no rare mutation": {"stored": 1.0},
    "no mutation": {"n_mutations": 0},
    "all homozygous": {"share": 1.0},
    "one word, full": {"n_mutations": 64, "stored": 1.0},
    "no crossover": {"cuts": 0.0},
    "many crossovers": {"cuts": 30.0},
    "one individual": {"n": 1},
    "new mutations": {"mutation_cdf": poisson_cdf(1.5).tolist()},
    "markers": {"n_planes": 1, "n_mutations": 20},
    "planes of markers": {"n_planes": 3, "mutation_cdf": poisson_cdf(0.5).tolist()},
    "needs more room": {"n": 3, "stored": 0.0, "share": 0.7, "mutation_cdf": [0] * 30 + [2**32]},
    "new mutations need room": {"n_mutations": 0, "room": 20, "mutation_cdf": [0] * 30 + [2**32]},
    "one parent has all the weight": {"lethal": True, "n": 5},
}


def generation(place: kernel.Town, tick: int, n: int) -> list[ref.Gamete]:
    """What the twin makes of the same parents."""
    t = place.tables
    fitness = [ref.log_fitness(a.mutations, b.mutations) for a, b in place.individuals]
    assert place.log_fitness() == fitness
    weights = [round(math.exp((x - max(fitness)) / 2**26) * 2**32) for x in fitness]
    key = place.key("mutations", "town")
    made = []
    for g, count in enumerate(ref.count_mutations(key, tick, t.mutation_cdf.tolist(), 2 * n)):
        fresh = [
            ref.Mutation(m.axis, m.uid, m.effect, m.correction)
            for m in ref.new_mutations(key, tick, g, count, TARGET, NODES, DOMINANCE)
        ]
        made.append(
            ref.make_gametes(
                place.key("gametes", "town"), tick, g, place.individuals, weights, t.chrom_axis.tolist(),
                t.crossover_cdf.tolist(), t.mark_axis.tolist()[:-1], fresh,
            )
        )  # fmt: skip
    return made


@pytest.mark.parametrize("name", TOWNS)
def test_make_gametes(name: str) -> None:
    """Two generations, of another size each; the second is made into the rows of old ones."""
    for seed in (1, 2):
        place = town(seed, **TOWNS[name])
        weight = place.tables.mark_weight.tolist()
        functional, far = (kernel.sites(place.tables.masks[k]) for k in (2, 3))
        for tick, n in ((7, 5), (8, 5), (9, 5), (10, 2)):
            expected = generation(place, tick, n)
            parents = place.breed(tick, n)
            haplotypes = place.haplotypes()
            assert parents == [gamete.parent for gamete in expected]
            assert haplotypes == [gamete.chromatid for gamete in expected]
            assert place.loads() == [gamete.load for gamete in expected]
            ancestry = place.ancestry()
            for q, rows in enumerate(ancestry):
                assert rows == [ref.weigh(h.marks[q], weight, functional, far) for h in haplotypes]
            place.individuals = list(zip(haplotypes[0::2], haplotypes[1::2], strict=True))
            if name == "one parent has all the weight" and tick == 7:
                assert set(parents) == {1}


# ---------------------------------------------------------------------- chance

MORGANS = (0.5, 1.2, 2.9)
CHROM_AXIS = [0, 2**29, 2**29 + 2**30, 2**32]
N_GAMETES = 24_000


@cache
def meioses() -> list[tuple[list[int], int]]:
    """Cuts and first strand of the first gametes of a tick."""
    draw = kernel.crosser(CHROM_AXIS, [poisson_cdf(m).tolist() for m in MORGANS])
    return [draw(ref.stream(2024, 1, g)) for g in range(N_GAMETES)]


@cache
def positions() -> list[list[list[int]]]:
    """Positions of each gamete's crossovers, chromosome by chromosome. A cut at the very start of a
    chromosome is the coin's; that any crossover falls there too has a probability below 1e-4."""
    return [
        [[x for x in cuts if start < x < end] for start, end in itertools.pairwise(CHROM_AXIS)] for cuts, _ in meioses()
    ]


@pytest.mark.parametrize("chrom", [0, 1, 2, None], ids=["first", "second", "third", "all"])
def test_chance_number_of_crossovers_is_poisson(chrom: int | None) -> None:
    """Chi-square of 24,000 gametes' numbers of crossovers, on each chromosome and on all (whose sum is
    Poisson only if they are independent): false alarms 1e-6; a map a tenth too long is refused with power
    above 0.999."""
    numbers = np.array([[len(p) for p in gamete] for gamete in positions()])
    found = numbers.sum(axis=1) if chrom is None else numbers[:, chrom]
    mean = sum(MORGANS) if chrom is None else MORGANS[chrom]
    truth = chance.poisson(mean, chance.poisson_bins(mean, N_GAMETES))
    observed = chance.tally(found, len(truth))
    assert chance.accepts(observed, truth)
    assert chance.rejects(observed, truth, chance.poisson(mean * 1.1, len(truth)))


def test_chance_positions_of_crossovers_are_uniform() -> None:
    """Chi-square of some 110,000 positions in 16 equal parts of their chromosomes: false alarms 1e-6; a
    density that rises from 0.9 to 1.1 of the mean along them is refused with power above 0.999."""
    relative = [
        16 * (x - CHROM_AXIS[c]) // (CHROM_AXIS[c + 1] - CHROM_AXIS[c])
        for gamete in positions()
        for c, chromosome in enumerate(gamete)
        for x in chromosome
    ]
    observed = np.bincount(relative, minlength=16)
    uniform = np.full(16, 1 / 16)
    assert chance.accepts(observed, uniform)
    assert chance.rejects(observed, uniform, uniform * np.linspace(0.9, 1.1, 16))


def test_chance_coins_are_fair() -> None:
    """Chi-square of the 8 ways in which three chromosomes start, in 24,000 gametes: fair and independent,
    false alarms 1e-6; coins that show one side with 0.53 are refused with power above 0.999."""
    starts = [sum((first + ref.strand_at(CHROM_AXIS[c], cuts)) % 2 << c for c in range(3)) for cuts, first in meioses()]
    observed = np.bincount(starts, minlength=8)
    fair = np.full(8, 1 / 8)
    assert chance.accepts(observed, fair)
    bent = np.array([0.53 ** bin(k).count("1") * 0.47 ** (3 - bin(k).count("1")) for k in range(8)])
    assert chance.rejects(observed, fair, bent)


@pytest.mark.parametrize(("left", "right", "morgans"), [(2, 2, 0.29), (1, 1, 0.6), (0, 2, math.inf)])
def test_chance_recombination_follows_haldane(left: int, right: int, morgans: float) -> None:
    """Share of 24,000 gametes that recombine two sites against (1 - exp(-2 d)) / 2 (Haldane 1919), also
    across chromosomes: false alarms 1e-6; a share a tenth lower is refused with power above 0.999."""
    x = CHROM_AXIS[left] + 12345
    d = 0 if math.isinf(morgans) else morgans / MORGANS[right]
    y = x + int(d * (CHROM_AXIS[right + 1] - CHROM_AXIS[right])) if left == right else CHROM_AXIS[right] + 99
    recombined = sum(ref.strand_at(x, cuts) != ref.strand_at(y, cuts) for cuts, _ in meioses())
    observed = np.array([recombined, N_GAMETES - recombined])
    r = 0.5 * (1 - math.exp(-2 * morgans))
    assert chance.accepts(observed, np.array([r, 1 - r]))
    assert chance.rejects(observed, np.array([r, 1 - r]), np.array([0.9 * r, 1 - 0.9 * r]))


def test_chance_parents_are_chosen_by_weight() -> None:
    """Chi-square of 60,000 parents among ten of weights from 2**28 to 2**32, and two of weight 0 who are
    never chosen: false alarms 1e-6; one parent's weight a tenth higher is refused with power above 0.999."""
    weights = [2**32, 0, 2**31, 2**30, 2**29, 2**28, 3 * 2**30, 2**32 - 1, 2**28, 2**29, 0, 2**31]
    choose = kernel.chooser(weights, 16)
    found = [choose(ref.mix(ref.stream(5, 1, g) + ref.GOLDEN & kernel.ALL)) for g in range(60_000)]
    observed = np.bincount(found, minlength=len(weights))
    assert observed[1] == observed[10] == 0
    chosen = np.array(weights) > 0
    truth = np.array(weights)[chosen] / sum(weights)
    assert chance.accepts(observed[chosen], truth)
    wrong = truth * np.where(np.arange(10) == 0, 1.1, 1.0)
    assert chance.rejects(observed[chosen], truth, wrong / wrong.sum())


def test_chance_number_of_mutations_is_poisson() -> None:
    """Chi-square of 24,000 gametes' numbers of new mutations at a mean of 0.74: false alarms 1e-6; a rate a
    tenth higher is refused with power above 0.999."""
    truth = chance.poisson(0.74, chance.poisson_bins(0.74, N_GAMETES))
    found = np.array(kernel.count_mutations(11, 5, poisson_cdf(0.74).tolist(), N_GAMETES))
    observed = chance.tally(found, len(truth))
    assert chance.accepts(observed, truth)
    assert chance.rejects(observed, truth, chance.poisson(0.74 * 1.1, len(truth)))


def test_chance_mutations_hit_bases_and_bins_evenly() -> None:
    """Chi-square of 20,000 new mutations over 8 equal parts of the target, and over 8 equal bins of effects:
    false alarms 1e-6; one part hit a quarter more often is refused with power above 0.999."""
    target = [ref.Segment(300, 0, 50), ref.Segment(500, 50, 2**31)]
    nodes = [-0.001 * i for i in range(9)]
    found = kernel.new_mutations(
        6, 2, (0, 20), [1000] * 20, range(20_000), target, nodes, [i / 8 for i in range(8)]
    ).values()
    even = np.full(8, 1 / 8)
    wrong = np.array([1.25] + [1.0] * 7) / 8.25
    for observed in (
        np.bincount([m.site // 100 for m in found], minlength=8),
        np.bincount([int(m.h * 8) for m in found], minlength=8),
        np.bincount([int(m.s * -8000) % 8 for m in found], minlength=8),
    ):
        assert chance.accepts(observed, even)
        assert chance.rejects(observed, even, wrong)
