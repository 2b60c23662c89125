# SPDX-License-Identifier: GPL-3.0-or-later
"""Inference on made-up sweeps: surfaces against dense algebra, ABC against weights and a closed form, coverage."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import binom

from admix.errors import InputError
from admix.infer import checks, emulator, figures, posterior, priors, rejection, slow_loss, surface, survey, targets
from admix.infer.survey import axis, log_odds, share

SIZES, PULSES = (700, 1000, 1500, 2200, 3300), (0.02, 0.03, 0.05, 0.07, 0.10, 0.14, 0.20)
STATED = ("pulse=uniform(0.02,0.2)", "n_archaic=log-uniform(700,3300)")
SD, DRIFT, SHARED = 0.10, 1.6e-4, 0.2  # between histories; of log-odds times q(1-q); share of the modern lineage


def lost(size):
    """Log-odds lost in the made-up world."""
    return 1.7 * (size / 1000) ** -0.9


def run(rng, pulse, size, scatter):
    """Log-odds in generations 50 and 1,680, the last."""
    middle = log_odds(pulse) - lost(size) + scatter
    q = share(middle)
    end = middle + np.sqrt(DRIFT / (q * (1 - q))) * rng.standard_normal(np.shape(pulse))
    return np.column_stack([end + 0.1 + 0.03 * rng.standard_normal(np.shape(pulse)), end])


def made_up(seed, *, sizes=SIZES, pulses=PULSES, burnins=3, sd=SD, bump=0.0):
    """The survey of a made-up sweep; the middle size lies `bump` off the curve."""
    rng = np.random.default_rng(seed)
    modern = sd * np.sqrt(SHARED) * rng.standard_normal(burnins)
    rows, odds = [], []
    for i, size in enumerate(sizes):
        for b in range(burnins):
            scatter = modern[b] + sd * np.sqrt(1 - SHARED) * rng.standard_normal()
            rows += [(p, size, i * burnins + b, b) for p in pulses]
            odds.append(run(rng, np.array(pulses), size, scatter + bump * (i == len(sizes) // 2)))
    data = pd.DataFrame(rows, columns=["pulse_share", "n_archaic", "history", "burnin"])
    axes = [axis("pulse_share", "pulse", pulses, pulse=True)]
    axes += [axis("n_archaic", "size", sizes)] if len(sizes) > 1 else []
    return survey.Survey(
        source="neanderthal", deme="modern", unit="individuals", axes=tuple(axes),
        values=data[[a.name for a in axes]], history=data["history"].to_numpy(), family=data["burnin"].to_numpy(),
        burnin=data["burnin"].to_numpy(), generations=np.array([50, 1680]), log_odds=np.concatenate(odds), today=1680,
        first_years=47_012.0, years_a_generation=28.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    found = made_up(1)
    return found, emulator.make(found, [50], None)


def of(found, *stated):
    return priors.beliefs(found.axes, [], stated or STATED[: len(found.axes)])


def aim(found, share=0.0223, sd=0.002):
    return targets.measured(targets.Target(share, sd), found)


# ---- surfaces -----------------------------------------------------------------------------------------------


def dense(X, y, a, history, family, ratio, shared):
    """Log density (without prior), estimate, covariance over c, and residual sum of squares, with V as a matrix."""
    same = [(g[:, None] == g[None, :]).astype(float) for g in (history, family)]
    V = np.diag(a / a.mean()) + ratio * (1 - shared) * same[0] + ratio * shared * same[1]
    W = np.linalg.inv(V)
    C = np.linalg.inv(X.T @ W @ X)
    b = C @ X.T @ W @ y
    rss = (y - X @ b) @ W @ (y - X @ b)
    logs = [np.linalg.slogdet(m)[1] for m in (V, X.T @ W @ X)]
    return -0.5 * sum(logs) - 0.5 * (len(y) - X.shape[1]) * np.log(rss), b, C, rss


def test_a_surface_is_what_dense_algebra_says():
    rng = np.random.default_rng(3)
    history = np.repeat(np.arange(9), 4)
    family = history // 3
    X = np.column_stack([np.ones(36), rng.standard_normal((36, 2))])
    a, y = rng.uniform(0.5, 2, 36), rng.standard_normal(36) + rng.standard_normal(9)[history]
    found = surface.fit(X, y, a, history, family)
    # lines up with histories in any order and with any numbers
    order = rng.permutation(36)
    again = surface.fit(X[order], y[order], a[order], history[order] * 7 + 2, -family[order])
    np.testing.assert_allclose(found.b, again.b, rtol=1e-9)
    density = np.empty(len(found.weight))
    for k in range(len(found.weight)):
        density[k], b, C, rss = dense(X, y, a, history, family, found.ratio[k], found.shared[k])
        np.testing.assert_allclose(found.b[k], b, rtol=1e-8)
        np.testing.assert_allclose(found.root[k] @ found.root[k].T, C, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(found.rss[k], rss, rtol=1e-8)
    sd = np.sqrt(found.ratio * found.rss / found.df)
    prior = sd / (1 + (sd / surface.HISTORY_SD) ** 2)
    expected = np.exp(density - density.max()) * prior
    np.testing.assert_allclose(found.weight, expected / expected.sum(), rtol=1e-6, atol=1e-12)


def test_draws_of_a_surface_have_its_moments():
    made = emulator.make(made_up(2), [], None).anchor
    drawn = made.draw(np.random.default_rng(1), 40_000)
    mean = made.weight @ made.b
    error = drawn.b.std(axis=0) / np.sqrt(40_000)
    # five standard errors: 1 in 100,000 for the six columns together
    assert (np.abs(drawn.b.mean(axis=0) - mean) < 5 * error).all()
    # the medians of the cells leave out the scatter of c within a cell
    assert np.sqrt(np.median(drawn.c)) == pytest.approx(made.sd_drift, rel=0.03)
    assert np.sqrt(np.median(drawn.history + drawn.family)) == pytest.approx(made.sd_history, rel=0.08)


def test_histories_with_a_lineage_in_common_are_a_family():
    assert survey.families([["m0", "a0"], ["m1", "a1"], ["m0", "a2"], ["m2", "a1"], ["m3", "a3"]]) == [0, 1, 0, 1, 2]


def test_few_histories_make_a_plainer_surface_and_too_few_none():
    assert emulator.basis_of(made_up(1)).text == "squares and products"
    three = made_up(1, sizes=(700, 1500, 3300), burnins=1)
    with pytest.raises(InputError, match=r"^burnins: got 1; allowed: more, as 3 histories and 21 points"):
        emulator.basis_of(three)
    # with five histories of a burn-in each a parabola leaves two to scatter
    assert emulator.basis_of(made_up(1, burnins=1)).squares
    four = made_up(1, sizes=(700, 1000, 1500, 3300), burnins=1)
    assert not emulator.basis_of(four).squares


def test_words_have_an_indicator_each():
    axes = (axis("p", "", [0.1, 0.2], pulse=True), axis("target", "", ["exons", "cds"]))
    columns = emulator.Basis(axes).columns({"p": [0.1, 0.2], "target": np.array(["exons", "cds"], dtype=object)})
    np.testing.assert_allclose(columns, [[1, -1, 0, 0], [1, 1, 1, 1]])


# ---- priors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pulse", "allowed: NAME=uniform"),
        ("pulse=unifrm(0.02,0.2)", "did you mean uniform"),
        ("pulsee=uniform(0.02,0.2)", "did you mean pulse_share"),
        ("pulse=uniform(0.02)", "allowed: NAME=uniform"),
        ("pulse=uniform(0.02,x)", "got 'x'; allowed: a number as high of uniform"),
        ("pulse=uniform(0.2,0.02)", "a number above low, which is 0.2"),
        ("pulse=uniform(0.02,inf)", "a finite number"),
        ("pulse=normal(0.1,0)", "a finite number above 0"),
        ("pulse=uniform(0.01,0.3)", "38 % outside'; allowed: at most 10 % of a prior outside 0.02 to 0.2"),
        ("pulse=list(0.1,0.3)", "got 0.3; allowed: what was simulated: 0.02 to 0.2"),
        ("n_archaic=log-uniform(0,3300)", "above 0 as low of a log-uniform"),
    ],
    ids=lambda value: value if "=" in value else None,
)
def test_a_bad_prior_is_refused(world, text, words):
    with pytest.raises(InputError, match=words) as caught:
        priors.beliefs(world[0].axes, [], [text])
    assert "\n" not in str(caught.value)


def test_two_priors_for_one_parameter_are_refused(world):
    with pytest.raises(InputError, match="one prior for pulse_share"):
        priors.beliefs(world[0].axes, [], ["pulse=uniform(0.02,0.2)", "pulse_share=uniform(0.02,0.2)"])


def test_a_prior_is_cut_to_what_was_simulated(world):
    (belief, other) = of(world[0], "pulse=normal(0.11,0.05)")
    # from 1.8 standard deviations below to 1.8 above
    assert belief.outside == pytest.approx(2 * 0.03593, abs=1e-4)
    np.testing.assert_allclose(belief.at(np.array([0.0, 0.5, 1.0])), [0.02, 0.11, 0.20], rtol=1e-6)
    assert belief.text == "normal(0.11,0.05)"
    assert other.origin == "over the values that were run" and other.text == "uniform(700,3300)"
    (chosen, _) = of(world[0], "pulse=list(0.05,0.1)")
    assert chosen.discrete and chosen.values(chosen.at(np.array([0.1, 0.6]))).tolist() == [0.05, 0.1]


# ---- rejection and regression -------------------------------------------------------------------------------


def test_regression_finds_the_posterior_of_a_linear_normal_model():
    """theta ~ N(0, 1), s = theta + N(0, 0.5^2), seen 1: N(0.8, 0.2)."""
    rng = np.random.default_rng(1)
    theta = rng.standard_normal(100_000)
    s = (theta + 0.5 * rng.standard_normal(100_000))[:, None]
    seen = np.array([1.0])
    rows, weights = rejection.accept(s, seen, 0.3)
    assert len(rows) == 30_000 and weights.sum() == pytest.approx(1)
    after = rejection.adjust(theta[rows, None], s[rows], seen, weights)[:, 0]
    n = rejection.effective(weights)
    error = np.sqrt(0.2 / n)
    assert weights @ after == pytest.approx(0.8, abs=5 * error)
    assert weights @ (after - 0.8) ** 2 == pytest.approx(0.2, abs=5 * 0.2 * np.sqrt(2 / n))
    # what was accepted without regression is too wide: the test can fail
    assert weights @ (theta[rows] - 0.8) ** 2 > 0.2 + 5 * 0.2 * np.sqrt(2 / n)


def test_weighted_quantiles_are_those_of_repeated_values():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(rejection.quantiles(values, weights, [0.0, 0.25, 0.625, 1.0]), [1, 1, 2, 3])
    assert rejection.effective(np.full(7, 2.0)) == pytest.approx(7)


def test_abc_agrees_with_weighting_all_draws_by_the_likelihood(world):
    found, made = world
    result = posterior.conditioned(made, of(found), aim(found), draws=50_000)
    exact = result.exact.set_index("parameter")
    for name, scale in (("pulse_share", 0.18), ("n_archaic", 2600)):
        np.testing.assert_allclose(result.quantiles(name), exact.loc[name], atol=0.03 * scale)
    # and another error of measurement is another posterior: the test can fail
    wide = posterior.conditioned(made, of(found), aim(found, sd=0.01), draws=50_000).quantiles("pulse_share")
    assert np.abs(wide - exact.loc["pulse_share"].to_numpy()).max() > 0.03 * 0.18


def test_a_posterior_depends_on_its_seed_alone(world):
    found, made = world
    one, two, other = (
        posterior.conditioned(made, of(found), aim(found), seed=seed, draws=5000).samples for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)


@pytest.mark.parametrize("target", [0.3, 0.0001], ids=str)
def test_a_target_that_no_run_ends_at_is_refused(world, target):
    with pytest.raises(InputError, match=rf"^--target: got {target}; allowed: a share between"):
        posterior.conditioned(world[1], of(world[0]), aim(world[0], target, 1e-4), draws=5000)


def test_what_the_end_of_a_prior_decides_is_said(world):
    found, made = world
    cut = posterior.conditioned(
        made, of(found, "pulse=uniform(0.02,0.06)", "n_archaic=list(1000)"), aim(found, 0.011), draws=50_000
    )
    assert cut.edges == (("pulse_share", 0.06),)
    free = posterior.conditioned(made, of(found, STATED[0], "n_archaic=list(1000)"), aim(found, 0.015), draws=50_000)
    assert free.edges == ()


# ---- coverage -----------------------------------------------------------------------------------------------


def covered(seed, sizes, twin):
    """Whether the 90 % interval covers the pulse of a new run; and without the scatter of burn-ins."""
    sd, burnins = (SD, 3) if len(sizes) > 1 else (2 * SD, 6)
    found = made_up(seed, sizes=sizes, sd=sd, burnins=burnins)
    rng = np.random.default_rng(10_000 + seed)
    pulse, size = rng.uniform(0.02, 0.2), np.exp(rng.uniform(np.log(sizes[0]), np.log(sizes[-1])))
    end = run(rng, np.array([pulse]), size, sd * rng.standard_normal())[0, -1]
    target = aim(found, float(share(end)) + 0.001 * rng.standard_normal(), 0.001)
    made = emulator.make(found, [], None)
    if twin:
        made = dataclasses.replace(made, anchor=dataclasses.replace(made.anchor, ratio=0 * made.anchor.ratio))
    try:
        low, high = posterior.conditioned(made, of(found), target, draws=8000).quantiles("pulse_share")[1:]
    except InputError:
        return False
    return low <= pulse <= high


@pytest.mark.parametrize("sizes", [SIZES, (1000,)], ids=["size unknown", "size known"])
def test_intervals_cover_the_truth_as_often_as_they_say(sizes):
    """100 truths, each with a sweep of its own; false alarms: 1 in 100 (seeds are fixed)."""
    low, high = binom.ppf([0.005, 0.995], 100, 0.9)
    assert low <= sum(covered(seed, sizes, twin=False) for seed in range(100)) <= high
    if len(sizes) == 1:
        # burn-ins are two thirds of the variance of log-odds here; without them an interval of 90 % covers about 65 %
        assert sum(covered(seed, sizes, twin=True) for seed in range(100)) < low


# ---- checks of the emulator ---------------------------------------------------------------------------------


def test_leaving_out_passes_a_smooth_world_and_fails_one_with_a_bump():
    found = made_up(4)
    sound = {c.kind: c for c in checks.leave_out(found, emulator.basis_of(found))[1]}
    assert set(sound) == {"burn-in", "setting", "pulse"}
    assert (sound["burn-in"].parts, sound["setting"].parts, sound["pulse"].parts) == (3, 3, 5)
    assert all(check.passed for check in sound.values())
    assert 0.8 < sound["burn-in"].inside <= 1
    # one pulse whose runs end elsewhere than its neighbours say
    odd = found.values["pulse_share"].to_numpy() == 0.07
    bent = dataclasses.replace(found, log_odds=found.log_odds + 0.6 * odd[:, None])
    failed = {c.kind: c for c in checks.leave_out(bent, emulator.basis_of(bent))[1]}
    assert not failed["pulse"].passed
    bumpy = made_up(4, bump=1.5)
    wrong = {c.kind: c for c in checks.leave_out(bumpy, emulator.basis_of(bumpy))[1]}
    assert not wrong["setting"].passed


# ---- ancient genomes ----------------------------------------------------------------------------------------


def genomes(shares, ages=(45_000, 30_000, 15_000, 8_000), se=0.002):
    return pd.DataFrame({"sample": "x", "age_bp": ages, "estimate": shares, "se": se})


def test_genomes_are_summed_up_by_a_weighted_line(world):
    found, _ = world
    table = genomes([0.03, 0.025, 0.02, 0.018]).assign(se=[0.001, 0.002, 0.002, 0.004])
    target = targets.measured(targets.Target(0.02, 0.001, table), found)
    # 47,012 - 45,000 years are 71.9 generations, and 47,012 - 30,000 are 607.6, after the first
    assert target.dates == (73, 609, 1144, 1394, 1680)
    w = table["se"] ** -2
    slope, mean = np.polyfit(table["age_bp"] - np.average(table["age_bp"], weights=w), table["estimate"], 1, w=w**0.5)
    np.testing.assert_allclose(target.observed, [mean, 1e4 * slope, 0.02])
    straight = share(np.zeros((1, 5))) * 0 + [0.03, 0.025, 0.02, 0.018, 0.02]
    np.testing.assert_allclose(target.statistics(straight)[0], target.observed)
    sd = np.sqrt([1 / w.sum(), 1e8 / (w @ (table["age_bp"] - np.average(table["age_bp"], weights=w)) ** 2), 1e-6])
    np.testing.assert_allclose(target.covariance, np.diag(sd**2), atol=1e-20)


def test_genomes_older_than_the_mixture_are_left_out(world):
    old = genomes([0.02] * 4, ages=(50_000, 47_000, 46_990, 46_000))
    assert targets.measured(targets.Target(genomes=old), world[0]).unused == 2
    with pytest.raises(InputError, match="genomes younger than the mixture, 46,984 years ago"):
        targets.measured(targets.Target(genomes=old.head(2)), world[0])


def slow(generations, per_generation=4e-5):
    """A slow loss of a known rate; drift of a tenth of that before."""
    later = np.array(generations) - 50
    coefficients = np.zeros((6, len(later)))
    coefficients[0] = per_generation * later
    return slow_loss.SlowLoss(tuple(generations), coefficients, 0.1 * later / later[-1], slow_loss.Factor(1.0, 0.0, 9))


def test_a_trajectory_narrows_the_posterior_and_misfits_are_told():
    found = made_up(1).until(50)
    level = genomes([0.025, 0.0235, 0.0225, 0.022])
    dates = [73, 609, 1144, 1394, 1680]
    made = emulator.make(found, [], slow(dates))
    assert made.generations == (50, *dates)
    both = posterior.conditioned(
        made, of(found), targets.measured(targets.Target(0.0223, 0.002, level), found), draws=50_000
    )
    alone = posterior.conditioned(made, of(found), aim(found), draws=50_000)
    assert np.diff(both.quantiles("ancestry_g1680")[1:]) < np.diff(alone.quantiles("ancestry_g1680")[1:])
    np.testing.assert_allclose(both.quantiles("pulse_share"), both.exact.iloc[0, 1:].astype(float), atol=0.03 * 0.18)
    assert 0.01 < both.misfit < 0.99
    # genomes that scatter more than their errors fit nothing, whatever their mean
    wild = targets.measured(targets.Target(genomes=genomes([0.05, 0.005, 0.04, 0.005])), found)
    assert posterior.conditioned(made, of(found), wild, draws=50_000).misfit < 0.001


def test_what_is_lost_after_the_last_generation_is_part_of_the_answer():
    found = made_up(1).until(50)
    made = emulator.make(found, [], slow([1680], 2e-4))
    flat = emulator.make(found, [], slow([1680], 0.0))
    more, less = (
        posterior.conditioned(m, of(found), aim(found), draws=50_000).quantiles("ancestry_g50")[0] for m in (made, flat)
    )
    # 1,630 generations of 2e-4 are 0.33 in log-odds
    assert np.log(more / less) == pytest.approx(0.33, abs=0.04)


def test_the_factor_of_the_slow_loss_is_estimated_by_histories():
    rng = np.random.default_rng(1)
    expected = rng.uniform(0.08, 0.12, 60)
    history = np.repeat(np.arange(12), 5)
    simulated = 0.6 * expected + 0.02 * rng.standard_normal(12)[history]
    factor = slow_loss.estimate(simulated, expected, history)
    assert factor.degrees == 11
    # the scatter of 12 histories leaves 0.02 / (0.1 sqrt(12)) = 0.058; three and a half of these: 1 in 200
    assert factor.estimate == pytest.approx(0.6, abs=0.2) and factor.error == pytest.approx(0.058, rel=0.5)
    assert slow_loss.estimate(simulated[:10], expected[:10], history[:10]) is None
    drawn = factor.draw(rng, 20_000)
    assert np.median(drawn) == pytest.approx(factor.estimate, abs=0.01)
    assert 0.3 < slow_loss.Factor().draw(rng, 1000).mean() < 0.7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age\testimate\tse\n1\t0.1\t0.1\n", "a column age_bp"),
        ("age_bp\testimate\tse\n", "at least one genome"),
        ("age_bp\testimate\tse\n1\t0.1\t0\n", "row 1: got '0'; allowed: numbers above 0 in column se"),
        ("age_bp\testimate\tse\n1\tx\t0.1\n", "row 1: got 'x'"),
        ("", "no table"),
    ],
    ids=["column", "empty", "se 0", "word", "nothing"],
)
def test_a_bad_table_of_genomes_is_refused(tmp_path, text, words):
    file = tmp_path / "genomes.tsv"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        targets.read_genomes(file)


# ---- figures ------------------------------------------------------------------------------------------------


def test_figures_show_prior_posterior_and_what_was_measured(world):
    found, made = world
    target = aim(found)
    result = posterior.conditioned(made, of(found), target, draws=5000)
    panels = Figure().subplots(1, 3)
    figures.marginal(result, 0, panels[0])
    low, high = (100 * x for x in result.quantiles("pulse_share")[1:])
    dark = [bar for bar in panels[0].containers[1] if bar.get_height() > 0]
    assert low - 0.7 <= dark[0].get_x() and dark[-1].get_x() <= high
    figures.joint(result, 1, panels[1])
    assert panels[1].get_yscale() == "log" and panels[1].get_xlabel() == "pulse (%)"
    figures.predictive(result, target, found, panels[2])
    np.testing.assert_allclose(panels[2].lines[0].get_ydata()[-1], 100 * result.quantiles("ancestry_g1680")[0])
    assert panels[2].get_ylabel() == "Neanderthal ancestry (% of DNA)"
    (label,) = [c.get_label() for c in panels[2].containers]
    assert label == "living people, ± 1 SE"
