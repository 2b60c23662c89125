# SPDX-License-Identifier: GPL-3.0-or-later
"""The load of a lineage with changing size, against Wright-Fisher matrices and other formulas."""

import functools
import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from admix import theory
from admix.selection import Selection
from admix.spectrum import StationarySpectrum
from admix.theory import Effects, Epoch, LoadModel

U = 0.5


@functools.cache
def matrix(n, m, s, h):
    """Wright-Fisher: from counts 0..n of n genomes to counts 0..m of the m genomes of the next cohort."""
    x = np.arange(n + 1) / n
    mean = 1 + 2 * h * s * x * (1 - x) + s * x * x
    after = (x * x * (1 + s) + x * (1 - x) * (1 + h * s)) / mean
    return stats.binom.pmf(np.arange(m + 1)[None, :], m, after[:, None])


def brute(s, h, cohorts, start=None):
    """Expected numbers of sites with 0..n copies after cohorts of so many genomes, and the number fixed.

    From the equilibrium of the first size if `start` is not given. A cohort of n genomes has n U new singletons.
    """
    n = cohorts[0]
    if start is None:
        inside = matrix(n, n, s, h)[1:n, 1:n]
        new = np.zeros(n - 1)
        new[0] = n * U
        counts = np.concatenate([[0], np.linalg.solve(np.eye(n - 1) - inside.T, new), [0]])
    else:
        counts = start.copy()
    fixed = 0.0
    for before, now in itertools.pairwise(cohorts):
        counts = counts @ matrix(before, now, s, h)
        fixed += counts[-1]
        counts[[0, -1]] = 0
        counts[1] += now * U
    return counts, fixed


def costs(counts, fixed, s, h):
    x = np.arange(len(counts)) / (len(counts) - 1)
    cost = -(2 * x * (1 - x) * np.log1p(h * s) + x * x * np.log1p(s))
    return counts @ cost, fixed * -np.log1p(s)


def model(s, h, N=60, **more):
    return LoadModel(Effects(np.array([s]), np.array([h]), np.array([1.0])), U, largest_N=N, **more)


CASES = [(-0.001, 0.5), (-0.01, 0.5), (-0.05, 0.5), (-0.01, 0.0), (-0.03, 0.1), (-0.04, 1.0)]


@pytest.mark.parametrize(("s", "h"), CASES)
def test_load_is_that_of_the_matrix(s, h):
    """400 genomes, then 160, then 240: within 2.5 % of the exact chain (3.5 % for what is fixed)."""
    N, T1, T2 = (200, 80, 120), 200, 100
    cohorts = [400] + [160] * T1 + [240] * T2
    want = costs(*brute(s, h, cohorts), s, h)
    made = model(s, h, 200)
    state = made.equilibrium(N[0])
    before = costs(*brute(s, h, [400]), s, h)
    assert made.load(state).segregating == pytest.approx(before[0], rel=0.025)
    load = made.load(made.evolve(state, [Epoch(N[1], T1), Epoch(N[2], T2)]))
    assert load.segregating == pytest.approx(want[0], rel=0.025)
    assert load.fixed == pytest.approx(want[1], rel=0.035, abs=0.001 * want[0])
    assert load.total == load.segregating + load.fixed
    assert load.fixations == pytest.approx(load.fixed / -np.log1p(s))


def test_the_matrix_would_show_wrong_sizes_and_dominance():
    s, h = -0.02, 0.5
    want = costs(*brute(s, h, [120] + [40] * 50), s, h)
    for wrong, epoch in ((model(s, h), Epoch(24, 50)), (model(s, 0.3), Epoch(20, 50)), (model(s, h), Epoch(20, 60))):
        load = wrong.load(wrong.evolve(wrong.equilibrium(60), [epoch]))
        assert abs(load.fixed / want[1] - 1) > 0.05 or abs(load.segregating / want[0] - 1) > 0.05


@pytest.mark.parametrize(("s", "h"), [(-0.02, 0.0), (-0.05, 0.1)])
def test_load_of_hybrids_is_that_of_two_matrices(s, h):
    first, second = [120] + [40] * 40, [120] * 41
    start, _ = brute(s, h, [120])
    (a, fa), (b, fb) = brute(s, h, first), brute(s, h, second)
    reached = []
    for cohorts in (first, second):
        mean = np.arange(cohorts[-1] + 1) / cohorts[-1]
        for before, now in list(itertools.pairwise(cohorts))[::-1]:
            mean = matrix(before, now, s, h) @ mean
        reached.append(mean)
    shared = start @ (reached[0] * reached[1])
    alleles = sum(c @ (np.arange(len(c)) / (len(c) - 1)) + f for c, f in ((a, fa), (b, fb)))
    want = -(alleles * np.log1p(h * s) + shared * (np.log1p(s) - 2 * np.log1p(h * s)))
    made = model(s, h)
    common = made.equilibrium(60)
    histories = [Epoch(20, 40)], [Epoch(60, 40)]
    states = [made.evolve(common, epochs) for epochs in histories]
    product = made.shared_frequency(common, *histories)
    assert product[0] == pytest.approx(shared, rel=0.03)
    assert made.hybrid_load(*states, product) == pytest.approx(want, rel=0.03)
    # hybrids of recessive mutations are fitter than the mean of their parents
    middle = np.mean([made.load(state).total for state in states])
    assert made.hybrid_load(*states, product) < 0.97 * middle


def test_mean_frequency_is_the_mean_over_what_it_becomes():
    """Without new mutations: two ways to the same sum, which must agree to the last digits."""
    effects = Effects(np.array([-0.01, -0.1]), np.array([0.5, 0.1]), np.array([0.6, 0.4]))
    busy, idle = LoadModel(effects, U, largest_N=60), LoadModel(effects, 0.0, largest_N=60)
    state = busy.equilibrium(60)
    epochs = [Epoch(20, 30), Epoch(50, 70)]
    want = (state.density * busy.mean_frequency(epochs)).sum(axis=0)
    np.testing.assert_allclose(idle.frequency_sum(idle.evolve(state, epochs)), want, rtol=1e-10)
    assert np.all(want < busy.frequency_sum(state))


def test_equilibrium_is_that_of_the_spectrum():
    """The exact chain at low counts and quadrature above, at N = 1,000, with effects from 1e-7 to lethal."""
    selection = Selection.model_validate(
        {"dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23}, "dominance": 0.5, "mutation_rate": 1e-8}
    )
    tables = selection.tables(1 << 12)
    spectrum = StationarySpectrum(1000, tables.s_nodes, tables.h_bins, 0.74)
    effects = theory.effect_classes(selection.dfe.probability, selection.dominance_of)
    made = LoadModel(effects, 0.74)
    state = made.equilibrium(1000)
    assert made.load(state).segregating == pytest.approx(spectrum.expected_load(), rel=0.01)
    later = made.load(made.evolve(state, [Epoch(1000, 5000)]))
    assert later.fixed == pytest.approx(5000 * spectrum.fixation_load_rate(), rel=0.01)
    assert later.segregating == pytest.approx(made.load(state).segregating, rel=1e-6)
    assert later.fixed == pytest.approx(theory.drift_load(1000, 5000, 1e-8, 74e6, -0.043, 0.23), rel=0.02)
    variance, decay = (np.asarray(part) for part in made.variance_components(1000))
    want = spectrum.fitness_variance_components()
    assert variance.sum() == pytest.approx(want[0].sum(), rel=0.03)
    assert decay.min() == pytest.approx(want[1].min(), rel=0.03)
    assert abs(made.load(made.equilibrium(800)).segregating / spectrum.expected_load() - 1) > 0.01


def test_scatter_of_fixed_load_is_that_of_a_poisson_process():
    made = model(-0.01, 0.5)
    start = made.equilibrium(60)
    bare = theory.Lineage(np.zeros_like(start.density), np.array([100.0]))
    assert made.load(bare).sd == pytest.approx(10 * -np.log1p(-0.01))


def test_background_selection_acts_as_a_smaller_population():
    less, plain = model(-0.02, 0.5, effective_share=lambda N: 0.5), model(-0.02, 0.5)
    epochs = [Epoch(60, 500)]
    a = less.load(less.evolve(less.equilibrium(60), epochs))
    b = plain.load(plain.evolve(plain.equilibrium(60), epochs))
    assert a.fixed > 1.5 * b.fixed
    exact = 500 * theory.fixation_load_rate(30, [-0.02], [1.0], U)
    assert a.fixed == pytest.approx(exact * 60 / 30 * _pfix(60, 30) / _pfix(30, 30), rel=0.02)


def _pfix(N, ne, s=-0.02):
    """Kimura's probability of fixation of one copy among 2N with drift as in `ne`."""
    return np.expm1(-ne * s / N) / np.expm1(-2 * ne * s)


@pytest.mark.parametrize(
    "dfe",
    [
        {"kind": "gamma", "mean": -0.043, "shape": 0.23},
        {"kind": "lognormal", "mu": -6.7, "sigma": 2.0},
        {"kind": "point", "s": -0.01},
    ],
    ids=["gamma", "lognormal", "point"],
)
def test_classes_keep_mass_and_mean(dfe):
    made = Selection.model_validate({"dfe": dfe, "dominance": 0.5, "mutation_rate": 1e-8})
    effects = theory.effect_classes(made.dfe.probability, made.dominance_of)
    missing = float(made.dfe.probability(np.array([1e-7]))[0])
    assert effects.share.sum() == pytest.approx(1 - missing, abs=1e-12)
    tables = made.tables()
    want = (tables.s_nodes[1:] + tables.s_nodes[:-1]).mean() / 2
    assert effects.s @ effects.share == pytest.approx(want, rel=2e-3 if dfe["kind"] != "point" else 0.01)
    assert np.all(effects.h == 0.5)


def test_fixation_load_rate_is_the_integral():
    """Against adaptive quadrature over the gamma density, and the closed form."""
    N, mean, shape = 500, 0.043, 0.23
    density = stats.gamma(shape, scale=mean / shape)

    def rate(log_cost):
        cost = np.exp(log_cost)
        pfix = np.expm1(cost) / np.expm1(2 * N * cost) if 2 * N * cost < 600 else 0.0
        return 2 * N * U * pfix * -np.log1p(-cost) * density.pdf(cost) * cost

    want = quad(rate, np.log(1e-12), np.log(0.99), limit=300)[0]
    edges = np.geomspace(1e-9, 0.99, 4001)
    cost = np.sqrt(edges[1:] * edges[:-1])
    got = theory.fixation_load_rate(N, -cost, np.diff(density.cdf(edges)), U)
    assert got == pytest.approx(want, rel=2e-3)
    assert theory.fixation_load_rate(N, [0.0], [1.0], U) == 0.0
    with pytest.raises(ValueError, match="N, s, share"):
        theory.fixation_load_rate(N, [0.1], [1.0], U)
