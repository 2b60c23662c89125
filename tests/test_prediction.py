# SPDX-License-Identifier: GPL-3.0-or-later
"""What is expected before a run, against published runs, runs of this program, and cases that can be worked out."""

import functools

import numpy as np
import pytest
import small

from admix import prediction, schedule, theory
from admix.scenario import load

REICH = {  # README.md: six replicates over three burn-ins, per cent
    "p10": {1: 10.0, 2: 4.77, 5: 2.42, 10: 2.17, 20: 2.13, 100: 2.02, 1000: 1.90, 1680: 1.88},
    "p20": {1: 20.0, 2: 9.92, 5: 5.14, 10: 4.59, 20: 4.51, 100: 4.37, 1000: 4.14, 1680: 4.10},
}
# facts.md section 1: Petr's exome at 7e-9, ten runs, exonic markers (digitised, +- 0.1)
DOMINANCE = {
    0.5: {2: 5.9, 3: 4.6, 10: 3.5, 100: 3.2, 500: 3.1, 2201: 3.1},
    0.1: {2: 4.8, 3: 5.0, 10: 5.6, 100: 5.6, 500: 5.6, 2201: 5.6},
    0.0: {2: 4.0, 3: 6.0, 10: 8.4, 100: 9.0, 500: 9.5, 2201: 9.8},
}


@functools.cache
def expected(name, *changes):
    return prediction.predict(load(name).with_set(changes))


def shares(forecast, branch="p10", column="ancestry_mean", deme="modern"):
    rows = forecast.trajectory
    return rows[(rows["branch"] == branch) & (rows["deme"] == deme)].set_index("generation")[column]


def furthest(forecast, published, branch="p10"):
    got = shares(forecast, branch)
    return max(abs(np.log(100 * got[g] / value)) for g, value in published.items())


@pytest.mark.parametrize("branch", ["p10", "p20"])
def test_reich_is_foretold_within_a_tenth(branch):
    forecast = expected("reich")
    assert furthest(forecast, REICH[branch], branch) < 0.07
    (cost,) = forecast.costs[branch]
    assert cost.S == pytest.approx(0.82, abs=0.05)  # six replicates: 0.82, standard error 0.023
    assert cost.S_het == cost.S / 2
    assert 0.025 < cost.sd < 0.06  # between the three burn-ins: 0.04
    low, high = (shares(forecast, branch, f"ancestry_{side}")[1680] for side in ("low", "high"))
    assert low < REICH[branch][1680] / 100 < high


def test_a_wrong_size_of_the_archaic_deme_would_be_seen():
    wrong = expected("reich", "demography.demes[2].epochs[0].start_size=700")
    assert furthest(wrong, REICH["p10"]) > 0.3


def test_petr2019_is_foretold():
    forecast = expected("petr2019")
    (cost,) = forecast.costs["p10"]
    assert cost.S == pytest.approx(0.811, abs=0.06)  # six lineages of this engine: 0.811 +- 0.020; published 0.766
    assert furthest(forecast, {2: 4.88, 5: 2.70, 10: 2.38, 100: 2.28}) < 0.13
    larger = expected("petr2019", "demography.demes[2].epochs[0].start_size=500").costs["p10"][0]
    assert larger.S == pytest.approx(1.92, rel=0.05)  # facts.md section 5, N = 500


@pytest.mark.parametrize("h", DOMINANCE)
def test_dominance_is_foretold(h):
    """Heterosis makes the share rise after generation 2: within 13 % of ten published runs in every generation."""
    forecast = expected("petr2019", f"selection.dominance={h}", "selection.mutation_rate=7e-9")
    assert furthest(forecast, DOMINANCE[h]) < 0.13
    for other in DOMINANCE:
        assert other == h or furthest(forecast, DOMINANCE[other]) > 0.2


def test_without_mutations_the_share_stays():
    forecast = expected("reich", "selection.mutation_rate=0")
    np.testing.assert_allclose(shares(forecast, "p20"), 0.2)
    (cost,) = forecast.costs["p20"]
    assert (cost.S, cost.S_het, cost.sd) == (0, 0, 0)
    # the band is drift alone then: its variance is that of theory
    p = 0.2
    phi = theory.phi(load("reich").build_genome(), 30)
    for g in (2, 10, 30):
        half = np.log(shares(forecast, "p20", "ancestry_high")[g] / p)
        want = theory.mean_variance(p, 10_000, phi, g) / p**2
        assert (half / 1.959964) ** 2 == pytest.approx(want, rel=0.01)


def test_mixed_children_and_gametes_lose_less_by_the_cost_of_an_individual():
    """Lines of F1 children pay S/2, S/4, ..., those of unmixed individuals S once more."""
    whole = expected("petr2019")
    for unit in ("F1", "gametes"):
        mixed = expected("petr2019", f"pulse.unit={unit}")
        odds = [shares(forecast)[2000] / (1 - shares(forecast)[2000]) for forecast in (whole, mixed)]
        assert np.log(odds[1] / odds[0]) == pytest.approx(whole.costs["p10"][0].S, rel=0.01)


def test_several_pulses_and_migration_add_up_without_selection():
    block = small.tree()["demography"]
    block["migrations"] = [{"source": "archaic", "dest": "modern", "start_time": 30, "end_time": 25, "rate": 0.01}]
    block["demes"][2]["epochs"][0]["end_time"] = 10
    pulses = [{"name": f"p{t}", "source": "archaic", "target": "modern", "time": t, "share": 0.05} for t in (30, 20)]
    neutral = {"mutation_rate": 0.0, "dfe": {"kind": "point", "s": -0.01}, "dominance": 0.5}
    forecast = prediction.predict(small.scenario(demography=block, pulse=pulses, selection=neutral))
    got = shares(forecast, "main")
    native = 0.95 * 0.99 ** np.arange(6)
    np.testing.assert_allclose(got.loc[1:6], 1 - native)
    assert got[10] == pytest.approx(1 - native[-1])
    assert got[11] == pytest.approx(1 - 0.95 * native[-1])
    assert got.index[-1] == 31


def test_later_arrivals_pay_from_their_own_first_generation():
    """Two pulses of one share, 100 generations apart, leave twice what either does, as long as they are small."""
    pulse = {"name": "pulse", "source": "neanderthal", "target": "modern", "share": 0.005, "unit": "individuals"}
    late = pulse | {"name": "late", "time": 52_500}
    longer = "demography.demes[2].epochs[0].end_time=52500"
    scenario = load("petr2019").with_set([longer, f"pulse={[pulse | {'time': 55_000}, late]}"])
    both = shares(prediction.predict(scenario))
    one = shares(expected("petr2019", "pulse.share=0.005"))
    assert both[101] == pytest.approx(0.005 + one[101] * 0.995, rel=1e-6)
    assert both[2201] == pytest.approx(one[2201] + one[2101], rel=0.02)


def test_lines_of_descent_have_the_sizes_of_the_schedule():
    block = small.demes(
        ("ancestral", [], [(90, 40)]),
        ("trunk", ["ancestral"], [(50, 30), (40, (30, 60))]),
        ("modern", ["trunk"], [(0, 50)]),
        ("archaic", ["ancestral"], [(20, 12)]),
    )
    clock = schedule.compile(small.scenario(demography=block))
    line = prediction.lineage_sizes(clock, clock.deme("modern"), 70)
    assert [tick for tick, _, _ in line] == list(range(1, 71))
    assert [clock.deme_names[deme] for _, deme, _ in line] == ["trunk"] * 50 + ["modern"] * 20
    assert [n for _, _, n in line] == [clock.size(deme, tick) for tick, deme, _ in line]
    assert {n for _, _, n in line} > {30, 50, 60}


def test_founders_are_told_where_theory_covers_the_case():
    found = expected("reich").founders["p10", "neanderthal"]
    assert found.share == pytest.approx(0.0559, abs=0.005)  # README.md: 5.59 % [5.13, 6.04]
    assert expected("reich", "selection.dominance=0.1").founders == {}
    assert expected("petr2019", "pulse.unit=F1").founders == {}


def test_the_text_names_its_approximation_and_every_share():
    text = prediction.screen_text(expected("reich"))
    assert " ".join(text.split()).startswith(f"Theory, nothing was simulated: {prediction.APPROXIMATION}.")
    for branch in ("p10", "p20"):
        assert f"{100 * shares(expected('reich'), branch)[1680]:.2f} [" in text
    assert "1,680 (today)" in text and "mean recombination fraction 0.488" in text


def test_a_forecast_is_made_once():
    assert prediction.predict(load("reich")) is prediction.predict(load("reich").with_run(seed=3))
