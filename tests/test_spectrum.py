# SPDX-License-Identifier: GPL-3.0-or-later
"""The stationary spectrum against the exact Wright-Fisher chain, closed forms and its own draws."""

import itertools

import numpy as np
import pytest
from scipy.stats import betabinom, binom, chi2, gamma

from admix.spectrum import (
    EXACT_COUNTS,
    CountClasses,
    StationarySpectrum,
    fixation_probability,
    log_mean_fitness,
    sojourn,
    stationary_density,
)


def exact_chain(N, s, h, Ne=None):
    """Visits to counts 1 .. 2N-1 and probability of fixation by the whole transition matrix."""
    n = 2 * N
    move = np.empty((n - 1, n + 1))
    for i in range(1, n):
        x = i / n
        w = [1 + s, 1 + h * s, 1]
        p = (x * x * w[0] + x * (1 - x) * w[1]) / (x * x * w[0] + 2 * x * (1 - x) * w[1] + (1 - x) ** 2)
        if Ne is None:
            move[i - 1] = binom.pmf(np.arange(n + 1), n, p)
        else:
            rho = (N / Ne - 1) / (n - 1)
            move[i - 1] = betabinom.pmf(np.arange(n + 1), n, p * (1 / rho - 1), (1 - p) * (1 / rho - 1))
    start = np.zeros(n - 1)
    start[0] = 1
    visits = np.linalg.solve(np.eye(n - 1) - move[:, 1:-1].T, start)
    return visits, float(visits @ move[:, -1])


def moments(classes, visits):
    return np.array([visits.sum(), visits @ classes.frequency, visits @ classes.heterozygosity])


GRID = list(itertools.product((50, 200), (0.0, 0.1, 0.5, 1.0), (0.0, 0.01, 0.3, 1.0, 3.0, 10.0, 20.0, 0.5, 0.95)))


@pytest.mark.parametrize(("N", "h", "strength"), GRID)
def test_sojourn_agrees_with_the_exact_chain(N, h, strength):
    s = -strength if strength in (0.5, 0.95) else -min(strength / N, 0.9)
    visits, fixation = exact_chain(N, s, h)
    for block in (24, 64, 10**6):
        classes = CountClasses.build(2 * N, block, 1.0)
        got = sojourn(classes, N, s, h)
        want = np.add.reduceat(visits, classes.low - 1)
        if block > 2 * N:
            np.testing.assert_allclose(got.visits, want, rtol=1e-9, atol=1e-30)
            np.testing.assert_allclose(got.fixation, fixation, rtol=1e-6, atol=1e-40)
            continue
        # measured worst, block 24 and 64: sites 1.9e-3 and 1.7e-3, copies 1.1e-2 and 7.2e-3 (classes next to
        # fixation), heterozygosity 7.9e-3 and 3.0e-3, counts 1 to 12 5.3e-3 and 6e-4
        sites, copies, heterozygosity = moments(classes, got.visits) / moments(classes, want) - 1
        assert abs(sites) < 2.5e-3
        assert abs(copies) < (1.3e-2 if block == 24 else 8e-3)
        assert abs(heterozygosity) < (9e-3 if block == 24 else 4e-3)
        low = slice(0, 12)
        heavy = want[low] > 1e-3 * want[0]
        np.testing.assert_allclose(got.visits[low][heavy], want[low][heavy], rtol=6e-3 if block == 24 else 1e-3)
        # fixation by drift matters to the load only where it is not far rarer than in neutral alleles
        if fixation > 0.1 / (2 * N):
            np.testing.assert_allclose(got.fixation, fixation, rtol=0.02)


@pytest.mark.parametrize(("h", "s"), [(0.5, 0.0), (0.5, -0.003), (0.5, -0.03), (0.0, -0.03), (0.1, -0.3)])
@pytest.mark.parametrize("share", [0.8, 0.5])
def test_a_smaller_effective_size_is_the_chain_with_beta_binomial_offspring(h, s, share):
    N = 150
    visits, fixation = exact_chain(N, s, h, Ne=share * N)
    for block, tolerance in ((10**6, 1e-8), (100, 0.012)):
        classes = CountClasses.build(2 * N, block, 1 / share)
        got = sojourn(classes, share * N, s, h)
        want = np.add.reduceat(visits, classes.low - 1)
        np.testing.assert_allclose(moments(classes, got.visits), moments(classes, want), rtol=tolerance)
        if fixation > 0.1 / (2 * N):
            np.testing.assert_allclose(got.fixation, fixation, rtol=0.02)


def test_without_the_exact_block_the_diffusion_fails_the_same_comparison():
    N, s, h = 200, -0.5, 0.5
    visits, _ = exact_chain(N, s, h)
    x = np.arange(1, 2 * N) / (2 * N)
    plain = stationary_density(x, N, s, h) / (2 * N)
    assert abs(plain[:3].sum() / visits[:3].sum() - 1) > 0.1


@pytest.mark.parametrize("h", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("s", [-1e-5, -1e-3, -5e-3, -0.02, -0.1, -(1 - 1e-9)])
def test_the_length_of_the_exact_block_does_not_matter(s, h):
    N = 10_000
    values = []
    for block in (EXACT_COUNTS, 1024):
        classes = CountClasses.build(2 * N, block, 1.0)
        values.append(moments(classes, sojourn(classes, N, s, h).visits))
    np.testing.assert_allclose(values[0], values[1], rtol=1.5e-3)


def test_strong_selection_keeps_one_copy_over_hs_of_each_mutation():
    # every copy leaves 1+hs copies, so a mutation is present in 1/|hs| copies in all its time
    classes = CountClasses.build(20_000, EXACT_COUNTS, 1.0)
    for s in (-0.1, -0.5, -0.9):
        copies = sojourn(classes, 10_000, s, 0.5).visits @ classes.frequency * 20_000
        assert copies == pytest.approx(2 / -s, rel=3e-3)


def test_neutral_heterozygosity_is_theta():
    classes = CountClasses.build(2000, EXACT_COUNTS, 1.0)
    visits = sojourn(classes, 1000, 0.0, 0.5).visits
    assert 2 * visits @ classes.heterozygosity == pytest.approx(2 * (1 - 1 / 2000), rel=2e-4)


def test_classes_cover_every_count_once():
    for n, block, spread in ((4, 256, 1.0), (100, 24, 1.0), (20_000, 256, 2.0), (200_000, 256, 1.0)):
        classes = CountClasses.build(n, block, spread)
        np.testing.assert_array_equal(classes.low[1:], classes.high[:-1])
        assert (classes.low[0], classes.high[-1]) == (1, n)
        assert np.all((classes.high - classes.low)[: classes.reach] == 1)
        counts = np.arange(1, n) / n
        starts = classes.low - 1
        width = classes.high - classes.low
        np.testing.assert_allclose(classes.frequency, np.add.reduceat(counts, starts) / width, rtol=1e-12)
        want = np.add.reduceat(counts * (1 - counts), starts) / width
        np.testing.assert_allclose(classes.heterozygosity, want, rtol=1e-9)


def test_fixation_and_density_agree_with_additive_closed_forms():
    for N, s in ((1000, -1e-4), (1000, -2e-3), (10_000, -2e-4)):
        a = -2 * N * s  # wbar^(-2N) is exp(-2N s x) to first order in s
        assert fixation_probability(N, s) == pytest.approx(np.expm1(a / (2 * N)) / np.expm1(a), rel=5e-3)
        x = np.array([0.9, 0.01, 0.3])
        want = 2 * np.expm1(a * (1 - x)) / np.expm1(a) / (x * (1 - x))
        np.testing.assert_allclose(stationary_density(x, N, s), want, rtol=1e-2)
    assert fixation_probability(500, 0.0) == pytest.approx(1 / 1000)
    assert fixation_probability(500, -0.002, Ne=250) > 1.5 * fixation_probability(500, -0.002)


def test_log_mean_fitness_is_that_of_hardy_weinberg():
    x, s, h = np.linspace(0, 1, 11), -0.3, 0.2
    want = np.log(x**2 * (1 + s) + 2 * x * (1 - x) * (1 + h * s) + (1 - x) ** 2)
    np.testing.assert_allclose(log_mean_fitness(x, s, h), want, rtol=1e-12, atol=1e-15)


# --- distributions of effects ---------------------------------------------------------------------------


def gamma_tables(bins=1 << 12, mean=0.043, shape=0.23):
    s = -np.minimum(gamma.ppf(np.arange(bins + 1) / bins, shape, scale=mean / shape), 1 - 1e-9)
    s[0] = -1e-20
    return s, np.full(bins, 0.5)


@pytest.fixture(scope="module")
def small():
    s, h = gamma_tables(256)
    return StationarySpectrum(200, s, h, 0.5)


def test_expectations_are_sums_over_the_dfe(small):
    """Load, sites and fixations by brute force: an exact chain for each of many points of the DFE."""
    s, _ = gamma_tables(256)
    total = np.zeros(4)
    x = np.arange(1, 400) / 400
    weight = 2 * 200 * 0.5 / 256
    for low, high in itertools.pairwise(s):
        points = np.linspace(low, high, 2 * 20 + 1)[1::2] if high < -1e-3 and high < 1.1 * low else [(low + high) / 2]
        for value in points:
            visits, fixation = exact_chain_cached(200, round_s(value), 0.5)
            het, hom = np.log1p(value / 2), np.log1p(value)
            total += (
                weight
                / len(points)
                * np.array(
                    [
                        visits.sum(),
                        visits @ x,
                        -(visits @ (2 * x * (1 - x) * het + x * x * hom)),
                        -fixation * hom,
                    ]
                )
            )
    got = [
        small.expected_sites(),
        small.expected_per_haplotype(),
        small.expected_load(),
        small.fixation_load_rate(),
    ]
    np.testing.assert_allclose(got, total, rtol=0.01)


_CHAINS: dict[float, tuple[np.ndarray, float]] = {}


def round_s(s):
    """Nearest point of a fine grid, so that the slow chain is solved a few dozen times only."""
    return 0.0 if s > -1e-5 else -float(np.exp(np.round(np.log(-s) / 0.02) * 0.02)) if s > -0.98 else s


def exact_chain_cached(N, s, h):
    if s not in _CHAINS:
        classes = CountClasses.build(2 * N, 10**6, 1.0)  # checked against the slow chain above
        _CHAINS[s] = tuple(sojourn(classes, N, s, h))
    return _CHAINS[s]


def test_draws_have_the_expected_counts(small):
    rng = np.random.default_rng(20)
    runs = 200
    observed = np.zeros(399)
    load = []
    for _ in range(runs):
        counts, s, h = small.draw(rng)
        assert counts.dtype == np.int64
        assert counts.min() >= 1 and counts.max() <= 399
        assert np.all((s <= 0) & (s > -1)) and np.all(h == 0.5)
        observed += np.bincount(counts, minlength=400)[1:]
        x = counts / 400
        load.append(-(2 * x * (1 - x) * np.log1p(h * s) + x * x * np.log1p(s)).sum())
    expected = runs * small.expected_counts()
    assert expected.sum() == pytest.approx(runs * small.expected_sites())
    # Poisson counts: chi-square over all classes; false alarm 1 in 10,000
    assert expected.min() > 5
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, 399) > 1e-4
    shifted = expected * np.where(np.arange(399) == 0, 1.05, 1.0)
    assert chi2.sf(((observed - shifted) ** 2 / shifted).sum(), 399) < 1e-4
    error = np.std(load) / np.sqrt(runs)
    assert abs(np.mean(load) - small.expected_load()) < 4 * error + 1e-3


def test_draws_of_s_follow_the_stationary_weights(small):
    rng = np.random.default_rng(3)
    s = np.concatenate([small.draw(rng)[1] for _ in range(100)])
    strong = np.mean(s < -0.05)
    classes = CountClasses.build(400, 10**6, 1.0)
    nodes, _ = gamma_tables(256)
    middle = (nodes[1:] + nodes[:-1]) / 2
    visits = np.array([sojourn(classes, 200, v, 0.5).visits.sum() for v in middle])
    want = visits[middle < -0.05].sum() / visits.sum()
    assert strong == pytest.approx(want, abs=4 * np.sqrt(want / len(s)) + 0.003)


def test_fixed_mutations_are_poisson_with_the_expected_load(small):
    rng = np.random.default_rng(5)
    T, runs = 400, 300
    draws = [small.draw_fixed(T, rng) for _ in range(runs)]
    numbers = np.array([len(s) for s, _ in draws])
    mean = T * small.fixation_rates().sum()
    assert abs(numbers.mean() - mean) < 4 * np.sqrt(mean / runs)
    assert numbers.var() == pytest.approx(mean, rel=0.4)
    loads = np.array([-np.log1p(s).sum() for s, _ in draws])
    assert abs(loads.mean() - T * small.fixation_load_rate()) < 4 * loads.std() / np.sqrt(runs)
    assert all(np.all(h == 0.5) for _, h in draws)


def test_same_stream_same_sites(small):
    one, two = (small.draw(np.random.default_rng(7)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("h", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("s", [-1e-3, -5e-3, -0.02, -0.1, -0.9])
def test_selection_removes_what_mutation_brings(s, h):
    """Haldane's principle, exact at equilibrium: summed loss of frequency = 1/2N less what fixes."""
    N = 10_000
    classes = CountClasses.build(2 * N, EXACT_COUNTS, 1.0)
    visits, fixation = sojourn(classes, N, s, h)
    x = classes.frequency
    loss = x - x * (1 + h * s + (1 - h) * s * x) / np.exp(log_mean_fitness(x, s, h))
    assert visits @ loss + fixation == pytest.approx(1 / (2 * N), rel=2e-3)


def test_strong_selection_gives_haldanes_load():
    spectrum = StationarySpectrum(10_000, [-0.1, -0.1], [0.5], 0.3)
    assert spectrum.expected_load() == pytest.approx(2 * 0.3 * -np.log1p(-0.05) / 0.05, rel=2e-3)
    recessive = StationarySpectrum(10_000, [-0.5, -0.5], [0.0], 0.3)
    # x is near 0.01, so that the loss x^2 (1-x) s is a per cent short of x^2 s
    assert recessive.expected_load() == pytest.approx(0.3 * -np.log1p(-0.5) / 0.5, rel=0.012)


def test_human_exome_has_the_converged_load():
    s, h = gamma_tables(1 << 14)
    spectrum = StationarySpectrum(10_000, s, h, 0.7427)
    # converged value of finer ladders and a longer exact block is 1.3405
    assert spectrum.expected_load() == pytest.approx(1.3405, rel=1e-3)
    smaller = StationarySpectrum(10_000, s, h, 0.7427, Ne=8200)
    assert smaller.expected_load() < spectrum.expected_load()
    assert smaller.fixation_load_rate() > 1.2 * spectrum.fixation_load_rate()


def test_fitness_variance_is_that_of_drawn_sites(small):
    rng = np.random.default_rng(11)
    total = []
    for _ in range(100):
        counts, s, h = small.draw(rng)
        x = counts / 400
        probability = np.stack([(1 - x) ** 2, 2 * x * (1 - x), x * x])
        value = np.stack([np.zeros(len(x)), np.log1p(h * s), np.log1p(s)])
        total.append(((probability * value**2).sum(0) - (probability * value).sum(0) ** 2).sum())
    assert abs(np.mean(total) - small.expected_fitness_variance()) < 4 * np.std(total) / 10
    variance, decay = small.fitness_variance_components()
    assert 2 * variance.sum() == pytest.approx(small.expected_fitness_variance(), rel=0.25)
    assert decay[0] == pytest.approx(1 / 400, rel=0.01)
    assert np.all(np.diff(decay) > -1e-12)


def test_dominance_in_classes_keeps_each_class_apart():
    nodes = -np.geomspace(1e-4, 0.5, 65)
    h = np.where(np.arange(64) < 32, 0.5, 0.0)
    both = StationarySpectrum(300, nodes, h, 1.0)
    weak = StationarySpectrum(300, nodes[:33], h[:32], 0.5)
    strong = StationarySpectrum(300, nodes[32:], h[32:], 0.5)
    assert both.expected_load() == pytest.approx(weak.expected_load() + strong.expected_load(), rel=2e-3)
    _, s, drawn = both.draw(np.random.default_rng(2))
    np.testing.assert_array_equal(drawn, np.where(s > nodes[32], 0.5, 0.0))


def test_neutral_and_single_effects():
    neutral = StationarySpectrum(100, np.zeros(9), np.full(8, 0.5), 0.1)
    assert neutral.expected_load() == 0
    assert neutral.fixation_rates().sum() == pytest.approx(0.1, rel=1e-6)
    assert len(neutral.draw(np.random.default_rng(1))[0]) > 0
    single = StationarySpectrum(100, np.full(9, -0.1), np.full(8, 0.5), 0.1, exact_counts=199)
    visits, _ = exact_chain(100, -0.1, 0.5)
    np.testing.assert_allclose(single.expected_counts(), 20 * visits, rtol=1e-9)
    none = StationarySpectrum(100, np.full(9, -0.1), np.full(8, 0.5), 0.0)
    assert len(none.draw(np.random.default_rng(1))[0]) == 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"N": 1}, "N, Ne: got 1"),
        ({"Ne": 101.0}, "N, Ne: got 100, 101"),
        ({"U": -1.0}, "U: got -1"),
        ({"U": float("nan")}, "U: got nan"),
        ({"s_nodes": [-0.1, -0.01]}, "ascending"),
        ({"s_nodes": [-0.1, -1.0]}, "-1 < s"),
        ({"s_nodes": [0.0, 0.1]}, "s <= 0"),
        ({"h_bins": [1.5]}, "h_bins"),
        ({"h_bins": [0.5, 0.5]}, "shapes"),
    ],
)
def test_what_is_not_allowed_is_refused(change, match):
    arguments = {"N": 100, "s_nodes": [-0.01, -0.1], "h_bins": [0.5], "U": 0.1} | change
    with pytest.raises(ValueError, match=match):
        StationarySpectrum(**arguments)
