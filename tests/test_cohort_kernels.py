# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels over a cohort against tests/reference.py: fitness, counts, change of representation."""

from __future__ import annotations

import math
import random

import adapters as kernel
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st

from admix.engines.native.cohort_kernels import TAGS

LETHAL = ref.set_effects(-0.999999999, 0.0)
KINDS = [
    ref.set_effects(-0.01, 0.5),
    ref.set_effects(-0.3, 0.0),
    ref.set_effects(-0.2, 1.0),
    ref.set_effects(-1e-6, 0.5),
    LETHAL,
]
"""Log effects of an additive, a recessive and a dominant mutation, a weak one that needs no correction, and a
recessive lethal one."""


def pool(n: int, rng: random.Random, gap: int = 0) -> list[ref.Mutation]:
    """Mutations of all kinds, some in the same place; numbers in no order of place, and with a gap many a
    pair of numbers that is so far apart."""
    numbers = rng.sample(sorted({k + above for k in range(2 * n + 1) for above in (0, gap)}), n)
    return [
        ref.Mutation(rng.choice([0, 2**32 - 1, 5, rng.randrange(2**32)]), number, *rng.choice(KINDS))
        for number in numbers
    ]


def cohort(seed: int, n: int, n_mutations: int, n_common: int, share: float = 0.4, gap: int = 0) -> kernel.Sample:
    rng = random.Random(seed)
    mutations = pool(n_mutations, rng, gap)
    haplotypes = [frozenset(m for m in mutations if rng.random() < share) for _ in range(2 * n)]
    return kernel.Sample(haplotypes, rng.sample(mutations, n_common))


COHORTS = {
    "mixed": cohort(1, 5, 200, 150),
    "rare only": cohort(2, 4, 30, 0),
    "common only": cohort(3, 4, 129, 129),
    "one whole word": cohort(4, 3, 70, 64),
    "one site": cohort(5, 3, 1, 1),
    "nothing": cohort(6, 3, 0, 0),
    "all homozygous": cohort(7, 3, 90, 70, share=1.0),
    "numbers alike in their low bits": cohort(9, 3, 60, 20, gap=TAGS),
    "nobody carries any": cohort(8, 3, 90, 70, share=0.0),
}


@pytest.fixture(params=COHORTS)
def sample(request: pytest.FixtureRequest) -> kernel.Sample:
    return COHORTS[request.param]


def individuals(sample: kernel.Sample) -> list[tuple[ref.Haplotype, ref.Haplotype]]:
    return list(zip(sample.haplotypes[0::2], sample.haplotypes[1::2], strict=True))


# ---------------------------------------------------------------------- fitness


def test_log_fitness(sample: kernel.Sample) -> None:
    expected = [ref.log_fitness(a, b) for a, b in individuals(sample)]
    assert kernel.log_fitness(sample, (0, len(expected))) == expected


def test_log_fitness_of_a_span_leaves_the_others(sample: kernel.Sample) -> None:
    expected = [ref.log_fitness(a, b) for a, b in individuals(sample)]
    assert kernel.log_fitness(sample, (1, 2)) == [x if i == 1 else kernel.STALE for i, x in enumerate(expected)]
    assert kernel.log_fitness(sample, (1, 1)) == [kernel.STALE] * len(expected)


def test_corrections_of_any_two_haplotypes(sample: kernel.Sample) -> None:
    common = set(sample.common)
    for a, one in enumerate(sample.haplotypes):
        for b, other in enumerate(sample.haplotypes):
            assert kernel.common_correction(sample, a, b) == ref.common_correction(one & common, other & common)
            assert kernel.rare_correction(sample, a, b) == ref.common_correction(one - common, other - common)


@pytest.mark.parametrize("s", [-1e-7, -0.01, -0.5, -0.999999999])
@pytest.mark.parametrize("h", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("stored", ["common", "rare"])
def test_fitness_of_the_three_genotypes_is_what_the_model_says(s: float, h: float, stored: str) -> None:
    """1, 1 + hs and 1 + s, to the rounding of the effects."""
    m = ref.Mutation(9, 1, *ref.set_effects(s, h))
    rows = [frozenset[ref.Mutation](), frozenset([m])]
    sample = kernel.Sample(
        [rows[0], rows[0], rows[0], rows[1], rows[1], rows[0], rows[1], rows[1]],
        [m] if stored == "common" else [],
    )
    found = [x / 2**26 for x in kernel.log_fitness(sample, (0, 4))]
    rounding = 2**-26 + ref.CORRECTION_STEP / 2
    assert found[0] == 0
    assert found[1] == found[2] == pytest.approx(math.log1p(h * s), rel=0, abs=rounding)
    assert found[3] == pytest.approx(math.log1p(s), rel=0, abs=rounding)


def test_many_lethals_do_not_overflow() -> None:
    """Sums beyond 32 bits, in each of the places where one is made: dozens of lethals, rare and common."""
    dominant, recessive = ref.set_effects(-0.999999999, 1.0), LETHAL
    rare = [ref.Mutation(i, i, *dominant) for i in range(6)]
    common = [ref.Mutation(50 + i, 50 + i, *recessive) for i in range(70)]
    haplotype = frozenset([*rare, *common])
    sample = kernel.Sample([haplotype, haplotype, haplotype, frozenset()], common)
    assert kernel.haplotype_load(sample, (0, 4)) == [ref.haplotype_load(h) for h in sample.haplotypes]
    expected = [ref.log_fitness(a, b) for a, b in individuals(sample)]
    assert min(expected) < -(2**34)
    assert kernel.log_fitness(sample, (0, 2)) == expected
    assert kernel.flagged_log_fitness(sample, lambda m: True, (0, 2)) == expected


@pytest.mark.parametrize("modulus", [1, 2, 3, 1000], ids=["all", "half", "third", "few"])
def test_flagged_log_fitness(sample: kernel.Sample, modulus: int) -> None:
    def flagged(m: ref.Mutation) -> bool:
        return m.number % modulus == 0

    expected = [ref.flagged_log_fitness(a, b, flagged) for a, b in individuals(sample)]
    assert kernel.flagged_log_fitness(sample, flagged, (0, len(expected))) == expected
    if modulus == 1:
        assert expected == kernel.log_fitness(sample, (0, len(expected)))
    assert kernel.flagged_log_fitness(sample, flagged, (2, 3)) == [
        x if i == 2 else kernel.STALE for i, x in enumerate(expected)
    ]


def test_haplotype_load(sample: kernel.Sample) -> None:
    expected = [ref.haplotype_load(h) for h in sample.haplotypes]
    assert kernel.haplotype_load(sample, (0, len(expected))) == expected
    assert kernel.haplotype_load(sample, (1, 4)) == [x if 1 <= g < 4 else kernel.STALE for g, x in enumerate(expected)]


def test_sum_words(sample: kernel.Sample) -> None:
    effect = sample.site_effect.tolist()
    found = kernel.sum_words(sample.rows, effect, (1, len(sample.rows)))
    for g, row in enumerate(sample.rows):
        expected = [ref.word_sum(row, w, effect) if g else 77 for w in range(sample.n_words)]
        assert found[g].tolist() == expected


# ---------------------------------------------------------------------- counts


def test_count_and_see_rare(sample: kernel.Sample) -> None:
    n = len(sample.haplotypes)
    take = [n - 1, 0, 2, 0]  # a row may be wanted twice
    for part in [(0, 4), (1, 3), (2, 2)]:
        wanted = [sample.lists[g] for g in take[part[0] : part[1]]]
        assert kernel.count_rare(sample, take, part) == ref.count_rare(wanted)
    for part in [(0, n), (1, 3), (2, 2)]:
        assert kernel.see_rare(sample, part) == ref.see_rare(sample.lists[part[0] : part[1]])


def test_check_rare(sample: kernel.Sample) -> None:
    """Good lists pass; one with an id that is barred, out of order, at a wrong place or without end is found."""
    n = len(sample.haplotypes)
    axis = {m.number: m.axis for h in sample.haplotypes for m in h}

    def expected(barred: tuple[int, ...], part: tuple[int, int]) -> int:
        rows = [kernel.pairs_of(sample, g) for g in range(*part)]
        found = ref.check_rare(rows, axis, barred)
        return found if found < 0 else part[0] + found

    assert kernel.check_rare(sample, (), (0, n)) == expected((), (0, n)) == -1
    for number in axis:
        for part in [(0, n), (1, 3)]:
            assert kernel.check_rare(sample, (number,), part) == expected((number,), part)
    for g in range(n):
        k = int(sample.n_rare[g])
        for at, value in kernel.spoilt_keys(sample, g):
            kept = sample.rare[g, at]
            sample.rare[g, at] = value
            found = kernel.check_rare(sample, (), (0, n))
            assert found == (g if at == k else expected((), (0, n))) == g
            sample.rare[g, at] = kept


@pytest.mark.parametrize("n", [0, 1, 2, 254, 255, 256, 510, 511, 600])
def test_count_bits(n: int) -> None:
    """Around 255 rows, where a kernel that counts in planes has to carry over; one bit is set in all rows."""
    rng = random.Random(n)
    rows = [{0, 63, 64, *(rng.randrange(128) for _ in range(4))} - {rng.choice([0, 127])} for _ in range(7)]
    take = [rng.randrange(7) for _ in range(n)]
    assert kernel.count_bits(rows, 2, take, (0, n)) == ref.count_bits(rows[g] for g in take)
    part = (n // 3, n - n // 4)
    wanted = take[part[0] : part[1]]
    assert kernel.count_bits(rows, 2, take, part) == ref.count_bits(rows[g] for g in wanted)


# ---------------------------------------------------------------------- change of representation


def recoded(
    sample: kernel.Sample, seed: int, room: int | None = None, n_added: int = 4, n_common: int | None = None
) -> tuple[kernel.Recoded, list[int], list[int], list[tuple[set[int], list[ref.Mutation]]]]:
    """Recode into a layout drawn at random; also (rows, their places, what the twin makes of each)."""
    rng = random.Random(seed)
    old = sorted({m for h in sample.haplotypes for m in h} | set(sample.common))
    top = sample.capacity
    added = [
        ref.Mutation(rng.choice([0, 7, rng.randrange(2**32)]), top + i, *rng.choice(KINDS)) for i in range(n_added)
    ]
    weak = [m for m in [*old, *added[:3]] if m.correction != LETHAL[1]]
    new_common = sorted(rng.sample(weak, len(weak) // 2 if n_common is None else n_common))
    rest = sorted(set(old) - set(new_common))
    dropped = rng.sample(rest, len(rest) // 5) + added[3:]
    take = rng.sample(range(len(sample.rows)), len(sample.rows) - 1)
    places = rng.sample(range(len(sample.rows) + 2), len(take))
    if room is None:
        room = len(old) + n_added + 8
    part = (0, len(take)) if seed % 2 else (1, len(take) - 1)
    made = kernel.Recoded(sample, new_common, dropped, added, take, places, part, len(take) + 3, room)
    target = dict(enumerate(made.target.tolist()))
    expected = [ref.recode(sample.haplotypes[g], added, target) for g in take]
    return made, list(range(*part)), places, expected


@pytest.mark.parametrize("seed", range(6))
def test_recode(sample: kernel.Sample, seed: int) -> None:
    made, rows, places, expected = recoded(sample, seed)
    assert made.short == 0
    for r in rows:
        o = places[r]
        bits, rare = expected[r]
        assert kernel.sites(made.bits[o]) == bits
        assert kernel.rare_list(made.rare[o], made.n_rare[o]) == kernel.pairs(rare)
    untouched = set(range(len(made.bits))) - {places[r] for r in rows}
    assert untouched
    assert all(made.untouched(o) for o in untouched)


@pytest.mark.parametrize("seed", range(6))
def test_recode_sums_the_words(sample: kernel.Sample, seed: int) -> None:
    made, rows, places, _ = recoded(sample, seed)
    for r in rows:
        bits = kernel.sites(made.bits[places[r]])
        expected = [ref.word_sum(bits, w, made.new_effect) for w in range(made.bits.shape[1])]
        assert made.sums[places[r]].tolist() == expected


@pytest.mark.parametrize("n_added", [0, 3])
@pytest.mark.parametrize("n_common", [0, 1])
def test_recode_asks_for_room(n_added: int, n_common: int) -> None:
    """What it asks for is enough, and no more than a row's old rare keys, all others that it gets and the
    padding; with any less than a row needs it asks."""
    sample = COHORTS["mixed"]
    wide, rows, places, expected = recoded(sample, 1, n_added=n_added, n_common=n_common)
    assert wide.short == 0
    widest = max(len(expected[r][1]) for r in rows) + 8
    for room in (8, 9, widest - 8, widest - 1):
        short = recoded(sample, 1, room, n_added, n_common)[0].short
        assert widest <= short <= len({m for h in sample.haplotypes for m in h}) + n_added + 8
        again = recoded(sample, 1, short, n_added, n_common)[0]
        assert again.short == 0
        for r in rows:
            o = places[r]
            assert kernel.rare_list(again.rare[o], again.n_rare[o]) == kernel.pairs(expected[r][1])


def test_recode_there_and_back_changes_nothing() -> None:
    sample = COHORTS["mixed"]
    everything = sorted({m for h in sample.haplotypes for m in h})
    take = list(range(len(sample.rows)))
    room = len(everything) + 8
    made = kernel.Recoded(sample, sample.common, [], [], take, take, (0, len(take)), len(take), room)
    assert made.short == 0
    assert (made.bits == sample.bits).all()
    assert (made.n_rare == sample.n_rare).all()
    assert (made.sums == sample.sums()).all()


@pytest.mark.parametrize("plane", [-1, 0, 2])
@pytest.mark.parametrize("n_markers", [1, 63, 64, 65, 130])
def test_remark(plane: int, n_markers: int) -> None:
    rng = random.Random(n_markers)
    planes = [[{k for k in range(n_markers) if rng.random() < 0.5} for _ in range(5)] for _ in range(3)]
    take, places = [4, 0, 2], [1, 5, 0]
    found = kernel.remark(planes, n_markers, take, places, plane, 6)
    for g, o in zip(take, places, strict=True):
        expected = ref.remark([rows[g] for rows in planes], plane, 3, n_markers)
        assert [rows[o] for rows in found] == expected
    for o in {0, 1, 2, 3, 4, 5} - set(places):
        assert [rows[o] for rows in found] == [None] * 3


def test_remark_from_a_world_without_planes() -> None:
    found = kernel.remark([[set(), set()]], 70, [0, 1], [0, 1], 0, 2)
    assert found == [[set(range(70))] * 2]


@kernel.EXAMPLES
@given(st.integers(0, 2**32), st.integers(0, 140), st.floats(0, 1), st.floats(0, 1))
def test_fitness_does_not_depend_on_where_mutations_are_stored(
    seed: int, n_mutations: int, share: float, stored: float
) -> None:
    rng = random.Random(seed)
    mutations = pool(n_mutations, rng)
    haplotypes = [frozenset(m for m in mutations if rng.random() < share) for _ in range(4)]
    sample = kernel.Sample(haplotypes, [m for m in mutations if rng.random() < stored])
    expected = [ref.log_fitness(a, b) for a, b in individuals(sample)]
    assert kernel.log_fitness(sample, (0, 2)) == expected
