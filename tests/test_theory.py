# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry theory against brute force, individual-based runs and published tables."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from admix import seeds, theory
from admix.spectrum import StationarySpectrum


def random_genome(markers=60, chromosomes=3, seed=1):
    rng = np.random.default_rng(seed)
    morgans = rng.uniform(0.5, 2.5, chromosomes)
    axis = np.concatenate([[0], np.cumsum(morgans) / morgans.sum() * 2**32]).astype(np.uint64)
    marker = np.sort(rng.integers(0, 2**32, markers, dtype=np.uint64))
    marker[5] = marker[4]  # windows without recombination share a position
    marker[11] = marker[10] + 40
    return SimpleNamespace(
        chrom_axis=axis,
        chrom_morgans=morgans,
        marker_axis=marker,
        marker_weight=rng.integers(1, 100, markers),
    )


def slow_phi(genome, t_max, weights, other=None):
    """Mean of (1-r)^t over all ordered pairs, pair by pair."""
    other = weights if other is None else other
    axis = [int(a) for a in genome.chrom_axis]
    out = np.zeros(t_max + 1)
    chrom = [max(c for c in range(len(axis) - 1) if axis[c] <= int(m)) for m in genome.marker_axis]
    for i, a in enumerate(genome.marker_axis):
        for j, b in enumerate(genome.marker_axis):
            r = 0.5
            if chrom[i] == chrom[j]:
                c = chrom[i]
                d = abs(int(a) - int(b)) / (axis[c + 1] - axis[c]) * genome.chrom_morgans[c]
                r = (1 - np.exp(-2 * d)) / 2
            out += weights[i] * other[j] * (1 - r) ** np.arange(t_max + 1)
    return out / weights.sum() / other.sum()


@pytest.fixture(scope="module")
def genome():
    return random_genome()


@pytest.fixture(scope="module")
def human():
    return pytest.importorskip("admix.genome").shipped("exons")


@pytest.fixture(scope="module")
def human_phi(human):
    return theory.phi(human, 2000)


def test_phi_is_the_mean_over_pairs(genome):
    want = slow_phi(genome, 2000, genome.marker_weight.astype(float))
    np.testing.assert_allclose(theory.phi(genome, 2000), want, rtol=1e-4)
    even = np.ones(60)
    np.testing.assert_allclose(theory.phi(genome, 50, even), slow_phi(genome, 50, even), rtol=1e-4)
    assert abs(theory.phi(genome, 50, even)[10] / want[10] - 1) > 1e-3
    assert theory.rbar(genome) == pytest.approx(1 - want[1], rel=1e-4)


def test_phi_between_two_sets_of_weights(genome):
    here, there = np.arange(60.0), np.where(np.arange(60) % 7 == 0, 3.0, 0.0)
    want = slow_phi(genome, 300, here, there)
    np.testing.assert_allclose(theory.phi(genome, 300, here, there), want, rtol=1e-4)
    np.testing.assert_allclose(theory.phi(genome, 300, there, here), want, rtol=1e-4)
    assert abs(theory.phi(genome, 300, here)[300] / want[300] - 1) > 0.01


def test_phi_of_rounded_positions(genome, human):
    """The error is (t step)^2 / 12 in the nearest pairs, and hardly any on the whole."""
    for t, step in ((50, 1e-3), (500, 1e-4)):
        want = theory.phi(genome, t)
        np.testing.assert_allclose(theory.phi(genome, t, step=step), want, rtol=(t * step) ** 2)
    functional = human.window_functional_bp[human.marker_window]
    exact, quick = (theory.phi(human, 1700, None, functional, step) for step in (None, 1e-4))
    np.testing.assert_allclose(quick, exact, rtol=2e-3)
    assert quick.sum() == pytest.approx(exact.sum(), rel=1e-4)


def test_phi_refuses_weights_that_are_none(genome):
    for weights in (np.zeros(60), np.ones(59), np.full(60, -1.0)):
        with pytest.raises(ValueError, match="weights: allowed"):
            theory.phi(genome, 5, weights)


def test_human_rbar(human_phi):
    # 0.4898 for a uniform map of 36.86 M (Veller et al. 2019 find values near 1/2 for either sex)
    assert 1 - human_phi[1] == pytest.approx(0.490, abs=0.003)
    assert human_phi[0] == pytest.approx(1.0)
    assert np.all(np.diff(human_phi) < 0)


def test_variance_of_ancestry_follows_the_gametes(genome):
    decay = theory.phi(genome, 50)
    variance = theory.ancestry_variance(0.2, decay, 10)
    np.testing.assert_allclose(variance[:4], 0.16 * np.array([1, 0.5, decay[1] / 2, decay[2] / 2]))
    assert theory.mean_variance(0.2, 100, decay, 1) == 0
    assert theory.mean_variance(0.2, 100, decay, 2) == pytest.approx(0.16 / 200)
    assert theory.mean_variance(0.2, 100, decay, 5) == pytest.approx(0.16 / 200 * decay[:4].sum())
    with pytest.raises(ValueError, match="at least 9"):
        theory.ancestry_variance(0.2, decay[:5], 10)
    with pytest.raises(ValueError, match="at least 9"):
        theory.mean_variance(0.2, 100, decay[:5], 10)


def neutral_run(rng, N, p, loci, generations):
    """Ancestry at loci spread evenly over two chromosomes of 1 M: mean and variance by cohort."""
    step = 1.0 / loci
    flip = np.full(2 * loci, (1 - np.exp(-2 * step)) / 2)
    flip[[0, loci]] = 0.5
    people = np.zeros((N, 2, 2 * loci), dtype=bool)
    people[: int(p * N)] = True
    means, variances = [], []
    for g in range(generations):
        share = people.mean(axis=(1, 2))
        means.append(share.mean())
        variances.append(share.var())
        if g < generations - 1:
            parent = rng.integers(0, N, 2 * N)
            strand = np.logical_xor.accumulate(rng.random((2 * N, 2 * loci)) < flip, axis=1)
            people = np.where(strand, people[parent, 1], people[parent, 0]).reshape(N, 2, 2 * loci)
    return means, variances


def test_variances_are_those_of_neutral_runs():
    """Within and between 300 runs, which give the variance between runs to 8 %; 3.5 standard errors."""
    N, p, loci, runs, last = 100, 0.2, 20, 300, 8
    rng = np.random.default_rng(4)
    results = np.array([neutral_run(rng, N, p, loci, last) for _ in range(runs)])
    middle = (np.arange(loci) + 0.5) / loci
    axis = np.concatenate([middle, 1 + middle]) / 2 * 2**32
    small = SimpleNamespace(
        chrom_axis=np.array([0, 2**31, 2**32], dtype=np.uint64),
        chrom_morgans=np.ones(2),
        marker_axis=axis.astype(np.uint64),
        marker_weight=np.ones(2 * loci, dtype=np.int64),
    )
    decay = theory.phi(small, last)
    for g in (2, 3, 5, 8):
        within = results[:, 1, g - 1]
        # drift takes 1/2N of the variance per generation
        want = theory.ancestry_variance(p, decay, g)[g - 1] * (1 - 1 / (2 * N)) ** (g - 1)
        assert abs(within.mean() - want) < 3.5 * within.std() / np.sqrt(runs) + 0.01 * want
        between = results[:, 0, g - 1].var()
        expected = theory.mean_variance(p, N, decay, g)
        assert between == pytest.approx(expected, rel=3.5 * np.sqrt(2 / runs) + g / (2 * N))
        assert between != pytest.approx(2 * expected, rel=3.5 * np.sqrt(2 / runs))


def test_uniform_load_gives_the_published_table(human_phi):
    # values for a uniform map of 36.86 M; the HapMap map has more close pairs, so it purges more later
    generations = np.array([1, 2, 3, 5, 10, 20, 100])
    share = 100 * theory.uniform_load_trajectory(0.0993, 0.766, human_phi, generations)
    np.testing.assert_allclose(share, [9.93, 4.88, 3.38, 2.53, 2.27, 2.22, 2.14], rtol=0.025)
    unlinked = 0.5 ** np.arange(100)
    late = theory.uniform_load_trajectory(0.001, 0.5, unlinked, [60])[0]
    assert late == pytest.approx(0.001 * np.exp(-1.0), rel=2e-3)
    with pytest.raises(ValueError, match="generations: got 0"):
        theory.uniform_load_trajectory(0.1, 0.5, unlinked, [0])
    with pytest.raises(ValueError, match=r"allowed: 1 \.\. 102"):
        theory.uniform_load_trajectory(0.1, 0.5, unlinked, [103])


def test_a_cost_of_hybrids_enters_the_trajectory(human_phi):
    generations = np.array([1, 2, 3, 5, 10, 100])
    plain = theory.uniform_load_trajectory(0.1, 0.6, human_phi, generations)
    same = theory.uniform_load_trajectory(0.1, 0.6, human_phi, generations, S_het=0.3)
    np.testing.assert_allclose(same, plain, rtol=1e-12)
    heterosis = theory.uniform_load_trajectory(0.1, 0.9, human_phi, generations, S_het=-0.4)
    assert heterosis[1] < plain[1] and np.all(np.diff(heterosis[1:]) > 0)
    assert heterosis[0] == pytest.approx(0.1)


def test_one_block_under_weak_selection_is_one_locus():
    """Without recombination phi is 1, and the source's genome one locus with three genotypes."""
    S, het, p = 0.004, -0.003, 0.2
    track = theory.uniform_load_trajectory(p, S, np.ones(400), np.arange(1, 401), S_het=het)
    w = np.exp([0.0, -het, -S])
    q = p * w[2] / (p * w[2] + (1 - p) * w[0])
    for g in range(2, 401):
        assert track[g - 1] == pytest.approx(q, rel=0.005)
        q = (q * q * w[2] + q * (1 - q) * w[1]) / (q * q * w[2] + 2 * q * (1 - q) * w[1] + (1 - q) ** 2 * w[0])
    assert abs(theory.uniform_load_trajectory(p, S, np.ones(400), [400])[0] / q - 1) > 0.1


@pytest.mark.parametrize(
    ("s", "left"),
    [(4e-4, [0.454, 0.494, 0.732, 0.962]), (1e-4, [0.820, 0.835, 0.919, 0.990])],
)
def test_two_locus_survival_gives_the_published_values(s, left):
    got = theory.two_locus_survival(s, [1e-5, 1e-4, 1e-3, 1e-2], 2000)
    np.testing.assert_allclose(got, left, atol=6e-4)


def test_two_locus_survival_has_the_right_limits():
    assert theory.two_locus_survival(0.1, 0.01, 0) == 1
    assert theory.two_locus_survival(0.0, 0.01, 500) == pytest.approx(1)
    assert theory.two_locus_survival(0.0, 0.0, 500) == pytest.approx(1)
    assert theory.two_locus_survival(0.1, 0.0, 20) == pytest.approx(0.9**20)


def test_two_locus_trajectory_is_the_rare_formula_when_rare():
    s, r, p1 = 0.02, 0.01, 1e-7
    track = theory.two_locus_trajectory(p1, -s, 0.5, r, 300)
    # generation 2 holds gametes of unmixed parents, which paid for both copies
    for g in (2, 10, 100, 300):
        want = (1 - s) * theory.two_locus_survival(s / 2, r, g - 2)
        assert track[g - 1, 1] / p1 == pytest.approx(want, rel=1e-4)
        assert track[g - 1, 0] / p1 == pytest.approx((1 - s) * (1 - s / 2) ** (g - 2), rel=1e-4)


def test_the_rare_formula_is_five_per_cent_low_at_ten_per_cent():
    """The numbers of docs/scenarios/juric2016.md: 2,000 generations after the first with random mating."""
    low = []
    for r in (1e-5, 1e-4, 1e-3, 1e-2):
        exact = theory.two_locus_trajectory(0.1, -8e-4, 0.5, r, 2002)[2001, 1] / 0.1
        low.append(100 * (1 - (1 - 8e-4) * theory.two_locus_survival(4e-4, r, 2000) / exact))
    np.testing.assert_allclose(low, [5.4, 4.8, 2.3, 0.4], atol=0.06)


def test_two_locus_trajectory_is_the_recursion_over_genotypes():
    """Any share and dominance, against a sum over all ten genotypes' gametes."""
    p1, s, h, r = 0.3, -0.4, 0.1, 0.2
    q = p1 * (1 + s) / (p1 * (1 + s) + 1 - p1)
    gametes = {(1, 1): q, (1, 0): 0.0, (0, 1): 0.0, (0, 0): 1 - q}
    want = [(p1, p1)]
    for _ in range(11):
        want.append((gametes[1, 1] + gametes[1, 0], gametes[1, 1] + gametes[0, 1]))
        fresh = dict.fromkeys(gametes, 0.0)
        for (a1, b1), x in gametes.items():
            for (a2, b2), y in gametes.items():
                w = x * y * (1, 1 + h * s, 1 + s)[a1 + a2]
                for made, share in (((a1, b1), 1 - r), ((a2, b2), 1 - r), ((a1, b2), r), ((a2, b1), r)):
                    fresh[made] += w * share / 2
        total = sum(fresh.values())
        gametes = {k: v / total for k, v in fresh.items()}
    np.testing.assert_allclose(theory.two_locus_trajectory(p1, s, h, r, 12), want, rtol=1e-12)


def test_pedigree_survival(human_phi):
    neutral = theory.pedigree_survival(0.1, 0.0, human_phi)
    np.testing.assert_allclose(neutral, (0.7968, 0.7968, 0.1), atol=1e-4)
    # individual-based runs: 0.44, 0.82, 5.6 % (this approximation is known to lie 0.02 above the first)
    source, recipient, share = theory.pedigree_survival(0.1, 0.766, human_phi)
    assert source == pytest.approx(0.44, abs=0.03)
    assert recipient == pytest.approx(0.82, abs=0.01)
    assert share == pytest.approx(0.056, abs=0.004)
    assert theory.pedigree_survival(0.2, 1.0, human_phi).share == pytest.approx(0.102, abs=0.004)


def test_genealogical_ancestors_are_those_of_a_simulation():
    """Ancestors of one person in a population of 60, by 2,000 pedigrees: the mean to 1 %."""
    N, depth, runs = 60, 9, 2000
    rng = seeds.generator("test", "genealogical ancestors")
    ancestors = np.zeros((runs, N), dtype=bool)
    ancestors[:, 0] = True
    rows = np.arange(runs)[:, None]
    for k in range(1, depth + 1):
        parents = rng.integers(0, N, (runs, N, 2))
        before = np.zeros_like(ancestors)
        for parent in (0, 1):
            np.logical_or.at(before, (np.broadcast_to(rows, (runs, N)), parents[:, :, parent]), ancestors)
        ancestors = before
        counts = ancestors.sum(axis=1)
        want = theory.genealogical_ancestors(k, N)
        # the mean of a function of a random number: 1 % is allowed for the curvature
        assert abs(counts.mean() - want) < 4 * counts.std() / np.sqrt(runs) + 0.01 * want
    assert theory.genealogical_ancestors(200, 10_000) == pytest.approx(7968.0, abs=1.0)
    with pytest.raises(ValueError, match="allowed: k of at least 0"):
        theory.genealogical_ancestors(-1, 10)


def test_genetic_ancestors_are_the_published_ones():
    # Coop 2013: blocks 2 (22 + 33 (k - 1)) on 2^k lines; a simulation in N = 10,000 gives 204, 429 and 853
    k = np.array([4, 6, 8, 10, 15])
    assert theory.ancestral_blocks(k, 33, 22).tolist() == [242, 374, 506, 638, 968]
    endless = theory.genetic_ancestors(k, 33, 22)
    want = 2.0**k * (1 - np.exp(-(22 + 33 * (k - 1)) / 2.0 ** (k - 1)))
    np.testing.assert_allclose(endless, want)
    assert endless[:2] == pytest.approx([16, 64], rel=0.05)
    assert np.all(endless[2:] / [204, 429, 853] < 1.3) and np.all(endless[2:] / [204, 429, 853] > 1.05)
    finite = theory.genetic_ancestors(k, 33, 22, N=10_000)
    assert np.all(finite <= endless + 1e-9) and np.all(finite <= theory.genealogical_ancestors(k, 10_000))
    with pytest.raises(ValueError, match="at least 1"):
        theory.ancestral_blocks(0, 33, 22)


def gamete(rng, depth, morgans, people):
    """Pieces (end, founder) of a gamete whose founders lived `depth` generations ago, all of them different people."""
    if depth == 1:
        return [(morgans, next(people))]
    strands = [gamete(rng, depth - 1, morgans, people) for _ in range(2)]
    cuts = np.sort(rng.uniform(0, morgans, rng.poisson(morgans)))
    pieces, start, now = [], 0.0, int(rng.integers(2))
    for stop in [*cuts, morgans]:
        for end, founder in strands[now]:
            if end > start:
                pieces.append((min(end, stop), founder))
            if end >= stop:
                break
        start, now = stop, 1 - now
    return pieces


def test_blocks_are_those_of_a_pedigree_without_relatives():
    rng, morgans, runs = seeds.generator("test", "ancestral blocks"), 1.6, 400
    for depth in (1, 3, 5):
        people = itertools.count()
        counts = []
        for _ in range(runs):
            both = [[founder for _, founder in gamete(rng, depth, morgans, people)] for _ in range(2)]
            counts.append(sum(1 + sum(a != b for a, b in itertools.pairwise(half)) for half in both))
        want = theory.ancestral_blocks(depth, morgans, 1)
        assert abs(np.mean(counts) - want) <= 4 * np.std(counts) / np.sqrt(runs)
        assert depth == 1 or abs(np.mean(counts) - want) < abs(
            np.mean(counts) - theory.ancestral_blocks(depth + 1, 1.6, 1)
        )


def test_drift_load_gives_the_published_values():
    petr = {"T": 17_800, "mutation_rate": 1e-8, "target_bp": 73.76e6, "mean": -0.043, "shape": 0.23}
    got = [theory.drift_load(N, **petr) for N in (1000, 500, 2000, 3000, 10_000)]
    np.testing.assert_allclose(got, [0.700, 1.642, 0.298, 0.181, 0.041], atol=6e-4)
    with pytest.raises(ValueError, match="got 0"):
        theory.drift_load(0, **petr)


def test_drift_load_is_what_the_spectrum_fixes():
    from scipy.stats import gamma

    bins = 1 << 12
    s = -np.minimum(gamma.ppf(np.arange(bins + 1) / bins, 0.23, scale=0.043 / 0.23), 1 - 1e-9)
    for N in (500, 2000):
        spectrum = StationarySpectrum(N, s, np.full(bins, 0.5), 0.7376)
        closed = theory.drift_load(N, 1000, 1e-8, 73.76e6, 0.043, 0.23)
        assert 1000 * spectrum.fixation_load_rate() == pytest.approx(closed, rel=0.02)


# --- background selection -------------------------------------------------------------------------------


def windows(chromosomes=2, per=40, cm=2.0, bp=1000):
    start = np.tile(np.arange(per) * cm, chromosomes)
    return SimpleNamespace(
        window_chrom=np.repeat(np.arange(chromosomes), per),
        window_cm_start=start,
        window_cm_end=start + cm,
        window_functional_bp=np.full(chromosomes * per, bp),
    )


@pytest.fixture(scope="module")
def strong():
    return StationarySpectrum(5000, [-0.04, -0.04], [0.5], 0.2)


def test_linked_part_is_nordborgs_formula(strong):
    """One chromosome without recombination, then a long one: exp(-U/t) and exp(-U/length)."""
    still = windows(chromosomes=1, per=4, cm=0.0)
    t = 0.02
    assert -np.log(theory.background_selection(still, strong).mean) == pytest.approx(0.2 / t, rel=0.02)
    got = theory.background_selection(windows(chromosomes=1, per=200, cm=5.0), strong)
    centre = -np.log(got.b[100])
    d = (np.arange(200 * 500) + 0.5) / 500 * 0.05 - 100.5 * 0.05
    r = (1 - np.exp(-2 * np.abs(d))) / 2
    own = 0.2 * t * np.mean(1 / (t + r * (1 - t)) ** 2)
    partner = 0.2 * t * np.mean((1 + r * (1 - t) / (t + r * (1 - t))) ** 2)
    assert centre == pytest.approx(own + partner, rel=0.01)


def test_unlinked_part_is_robertsons(strong):
    got = theory.background_selection(windows(), strong)
    variance, _ = strong.fitness_variance_components()
    assert -np.log(got.unlinked) == pytest.approx(8 * variance.sum(), rel=0.05)
    assert got.mean < got.unlinked < 1
    assert got.b.shape == got.window.shape == (80,)
    # ends of a chromosome have neighbours on one side only
    assert got.b[0] > got.b[20]


def test_sites_without_mutations_or_effect_do_nothing():
    neutral = StationarySpectrum(500, [0.0, 0.0], [0.5], 0.2)
    assert theory.background_selection(windows(), neutral).mean == pytest.approx(1.0)
    none = StationarySpectrum(500, [-0.1, -0.1], [0.5], 0.0)
    assert theory.background_selection(windows(), none).mean == 1.0


def test_effective_size_predicts_the_diversity_of_runs():
    """Neutral heterozygosity in individual-based runs with unlinked selected loci, h = 1/2.

    Coalescence times are spread out, so the mean pairwise time of 60 neutral loci in 40 runs has a standard
    error near 2 %; the effect is 12 %.
    """
    N, U, s, loci = 50, 0.3, -0.12, 600
    rng = np.random.default_rng(9)
    spectrum = StationarySpectrum(N, [s, s], [0.5], U)
    unlinked = theory.background_selection(windows(chromosomes=600, per=1, cm=0.0), spectrum)
    lost = []
    for _ in range(40):
        genome = np.zeros((N, 2, loci), dtype=bool)
        allele = rng.random((N, 2, 60)) < 0.5
        first = None
        for g in range(120):
            copies = genome.sum(axis=1)
            weight = np.exp((copies == 1) @ np.full(loci, np.log1p(s / 2)) + (copies == 2) @ np.full(loci, np.log1p(s)))
            if g == 60:
                allele = rng.random((N, 2, 60)) < 0.5
                first = heterozygosity(allele)
            parent = rng.choice(N, 2 * N, p=weight / weight.sum())
            genome = np.take_along_axis(genome[parent], rng.integers(0, 2, (2 * N, 1, loci)), 1).reshape(N, 2, loci)
            allele = np.take_along_axis(allele[parent], rng.integers(0, 2, (2 * N, 1, 60)), 1).reshape(N, 2, 60)
            genome ^= rng.random(genome.shape) < U / loci
        lost.append((first, heterozygosity(allele)))
    first, last = np.mean(lost, axis=0)
    rate = 1 - (last / first) ** (1 / 60)
    assert 1 / (2 * N * rate) == pytest.approx(unlinked.unlinked, rel=0.07)
    assert 1 / (2 * N * rate) < 0.93


def heterozygosity(allele):
    p = allele.mean(axis=(0, 1))
    return np.mean(2 * p * (1 - p))
