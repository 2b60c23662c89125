# SPDX-License-Identifier: GPL-3.0-or-later
"""Nested standard errors against known components; the table and the sentence of made-up runs."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from admix.summary import answer, nested, people, percent, screen_table, summarise

# ---- nested standard errors


def hand_made(values, burnins):
    return nested(np.array(values, dtype=float), np.array(burnins))


def test_balanced_case_by_hand():
    # Burn-in means 2, 5, 8: variance 9. Within: 6 * 1 / (6 - 3) = 2.
    estimate = hand_made([1, 3, 4, 6, 7, 9], [0, 0, 1, 1, 2, 2])
    assert estimate.mean == 5
    assert (estimate.replicates, estimate.burnins) == (6, 3)
    assert estimate.se_total == pytest.approx(math.sqrt(9 / 3))
    assert estimate.se_drift == pytest.approx(math.sqrt(2 / 6))
    assert estimate.se_burnin == pytest.approx(math.sqrt((9 - 2 / 2) / 3))
    half = 4.302652729911275 * math.sqrt(3)
    assert estimate.interval == pytest.approx((5 - half, 5 + half))
    assert estimate.note == ""


def test_balanced_case_is_the_ordinary_analysis_of_variance():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(5, 4)) + rng.normal(size=(5, 1))
    estimate = hand_made(y.ravel(), np.repeat(np.arange(5), 4))
    between = 4 * y.mean(axis=1).var(ddof=1)
    within = y.var(axis=1, ddof=1).mean()
    assert estimate.se_burnin**2 == pytest.approx((between - within) / 4 / 5)
    assert estimate.se_drift**2 == pytest.approx(within / 20)
    assert between / within == pytest.approx(stats.f_oneway(*y).statistic)


def test_the_parts_add_up_also_when_unbalanced():
    estimate = hand_made([1, 3, 2, 6, 9, 9.5, 8, 9], [4, 4, 4, 7, 1, 1, 1, 1])
    assert estimate.mean == pytest.approx((2 + 6 + 8.875) / 3)
    assert estimate.se_total**2 == pytest.approx(estimate.se_burnin**2 + estimate.se_drift**2)


def test_a_negative_component_is_zero_and_said():
    estimate = hand_made([0, 10, 1, 9, 0.5, 9.5], [0, 0, 1, 1, 2, 2])
    assert estimate.se_burnin == 0
    assert estimate.se_drift > estimate.se_total
    assert "negative and is set to 0" in estimate.note


def test_one_burnin_gives_the_drift_part_only():
    estimate = hand_made([1, 2, 3], [5, 5, 5])
    assert estimate.se_drift == pytest.approx(1 / math.sqrt(3))
    assert (estimate.se_total, estimate.se_burnin, estimate.interval) == (None, None, None)
    assert estimate.note.startswith("drift only")


def test_one_replicate_a_burnin_gives_the_total_only():
    estimate = hand_made([1, 2, 3], [0, 1, 2])
    assert estimate.se_total == pytest.approx(1 / math.sqrt(3))
    assert (estimate.se_drift, estimate.se_burnin) == (None, None)
    assert "cannot be told apart" in estimate.note


def test_one_replicate_gives_no_error_and_none_gives_nothing():
    estimate = hand_made([0.3], [0])
    assert (estimate.mean, estimate.se_total, estimate.se_drift, estimate.interval) == (0.3, None, None, None)
    assert hand_made([np.nan], [0]).mean is None
    assert hand_made([np.nan, 1.0], [0, 1]).replicates == 1


def test_the_interval_of_a_share_stays_a_share():
    estimate = nested([0.0, 0.02], [0, 1], bounds=(0, 1))
    assert estimate.interval[0] == 0
    assert estimate.interval[1] < 1


COUNTS = (1, 2, 3, 6)
SIGMA_BURNIN, SIGMA_DRIFT = 1.5, 1.0


def estimated_components(sets, seed):
    """Mean over many unbalanced data sets of the squared standard errors, and the errors of those means."""
    rng = np.random.default_rng(seed)
    burnins = np.repeat(np.arange(len(COUNTS)), COUNTS)
    parts = np.empty((sets, 2))
    means = np.empty(sets)
    for i in range(sets):
        effect = SIGMA_BURNIN * rng.normal(size=len(COUNTS))
        estimate = nested(effect[burnins] + SIGMA_DRIFT * rng.normal(size=len(burnins)), burnins)
        parts[i] = estimate.se_total**2, estimate.se_drift**2
        means[i] = estimate.mean
    return parts.mean(axis=0), parts.std(axis=0, ddof=1) / math.sqrt(sets), means


def true_components(sigma_burnin, sigma_drift):
    groups, inverse = len(COUNTS), sum(1 / n for n in COUNTS)
    drift = sigma_drift**2 * inverse / groups**2
    return np.array([sigma_burnin**2 / groups + drift, drift])


@pytest.mark.parametrize(
    ("sigma_burnin", "sigma_drift", "right"),
    # The wrong ones differ by 15 % in one standard deviation.
    [
        (SIGMA_BURNIN, SIGMA_DRIFT, True),
        (1.15 * SIGMA_BURNIN, SIGMA_DRIFT, False),
        (SIGMA_BURNIN, 1.15, False),
    ],
)
def test_components_are_recovered_and_wrong_ones_are_not(sigma_burnin, sigma_drift, right):
    """Within 4.5 standard errors of the mean of 4,000 data sets (chance of a false alarm below 2e-5).

    That is 5.8 % of se_total^2 and 3.4 % of se_drift^2; both twins are off by about 30 % in one of them.
    """
    mean, error, _ = estimated_components(4000, seed=20)
    inside = np.all(np.abs(mean - true_components(sigma_burnin, sigma_drift)) < 4.5 * error)
    assert inside == right


def test_se_total_is_the_scatter_of_the_estimate():
    """Ratio of two variances: their relative errors are sqrt(2/4000) and that of the mean of se_total^2."""
    mean, error, means = estimated_components(4000, seed=21)
    relative = math.hypot(math.sqrt(2 / 4000), error[0] / mean[0])
    assert abs(means.var(ddof=1) / mean[0] - 1) < 4.5 * relative


def coverage(interval, sets=2000):
    rng = np.random.default_rng(5)
    burnins = np.repeat(np.arange(3), 4)
    hits = 0
    for _ in range(sets):
        y = rng.normal(size=3)[burnins] + rng.normal(size=12)
        low, high = interval(y, burnins)
        hits += low < 0 < high
    return hits / sets


def blind_to_burnins(y, _):
    half = stats.t.ppf(0.975, len(y) - 1) * y.std(ddof=1) / math.sqrt(len(y))
    return y.mean() - half, y.mean() + half


def test_the_interval_covers_95_per_cent_and_one_blind_to_burnins_does_not():
    """4.5 binomial standard deviations at n = 2,000: 2.2 points."""
    tolerance = 4.5 * math.sqrt(0.95 * 0.05 / 2000)
    assert abs(coverage(lambda y, b: nested(y, b).interval) - 0.95) < tolerance
    assert coverage(blind_to_burnins) < 0.95 - 5 * tolerance


# ---- made-up runs


def frames(
    *,
    branches=(("p10", 0.1, 0.022),),
    twins=("none",),
    source="neanderthal",
    deme="modern",
    fitness=0.465,
    replicates=1,
    burnins=1,
    generations=1000,
    years=28.0,
    shape=None,
    pulses=1,
    ends=0.0,
    ancestors=True,
):
    """A run in which each branch falls from its share to its end; neutral twins rise by 1 %."""
    trajectory, pulse, counts = [], [], []
    g = np.arange(1, generations + 1)
    for branch, share, end in branches:
        for twin in twins:
            for replicate in range(replicates):
                scatter = 1 + 0.02 * (replicate % burnins) + 0.01 * replicate
                target = end if twin == "none" else 1.01 * share
                mean = target * scatter + (share - target * scatter) * 0.5 ** (g - 1)
                mean = mean if shape is None else shape(g)
                trajectory.append(
                    pd.DataFrame(
                        {
                            "branch": branch,
                            "replicate": replicate,
                            "twin": twin,
                            "source": source,
                            "deme": deme,
                            "generation": g,
                            "years_bp": (generations - g) * years + ends,
                            "ancestry_mean": mean,
                        }
                    )
                )
                for number in range(pulses):
                    pulse.append(
                        {
                            "branch": branch,
                            "replicate": replicate,
                            "twin": twin,
                            "source": source,
                            "pulse": f"pulse{number}",
                            "target": deme,
                            "years_bp": (generations - 1 - number) * years,
                            "requested": share,
                            "realised": share * (1 + number),
                            "fitness_archaic_relative": fitness if twin == "none" else 1.0,
                            "log_load_difference": -math.log(fitness),
                            "burnin": replicate % burnins,
                        }
                    )
                for measure, value in {
                    "headcount": share,
                    "genealogical": 0.056,
                    "pedigree_paths": 0.023,
                }.items():
                    counts.append(
                        {
                            "branch": branch,
                            "replicate": replicate,
                            "twin": twin,
                            "source": source,
                            "scope": "all",
                            "measure": measure,
                            "value": value if ancestors else np.nan,
                        }
                    )
    return {
        "trajectory": pd.concat(trajectory, ignore_index=True),
        "pulse": pd.DataFrame(pulse),
        "ancestors": pd.DataFrame(counts),
    }


def scenario(unit="individuals", pulses=1):
    fake = SimpleNamespace(pulse=[SimpleNamespace(name=f"pulse{i}", unit=unit) for i in range(pulses)])
    fake.branch = lambda _: fake
    return fake


def summary_of(unit="individuals", pulses=1, **options):
    return summarise(frames(pulses=pulses, **options), scenario(unit, pulses))


def both(first, second):
    return {name: pd.concat([first[name], second[name]], ignore_index=True) for name in first}


def test_summary_of_one_replicate():
    summary = summary_of()
    (entry,) = summary["entries"]
    assert (entry["branch"], entry["twin"], entry["source"], entry["deme"]) == (
        "p10",
        "none",
        "neanderthal",
        "modern",
    )
    assert entry["S"]["mean"] == pytest.approx(-math.log(0.465))
    assert entry["fitness_archaic_relative"] == pytest.approx(0.465)
    assert entry["requested"] == 0.1
    assert entry["realised"]["mean"] == 0.1
    assert entry["pulses"][0]["unit"] == "individuals"
    rows = entry["ancestry"]
    assert [r["generation"] for r in rows] == [1, 2, 5, 10, 20, 100, 1000]
    assert [r["today"] for r in rows] == [False] * 6 + [True]
    assert rows[0]["mean"] == pytest.approx(0.1)
    assert rows[-1]["mean"] == pytest.approx(0.022)
    assert all(r["interval"] is None and r["se_drift"] is None for r in rows)
    assert entry["ancestors"]["all"]["pedigree_paths"]["mean"] == 0.023


def test_burnins_of_replicates_come_from_the_pulse_table():
    (entry,) = summary_of(replicates=6, burnins=3)["entries"]
    last = entry["ancestry"][-1]
    assert (last["replicates"], last["burnins"]) == (6, 3)
    values = [0.022 * (1 + 0.02 * (r % 3) + 0.01 * r) for r in range(6)]
    expected = nested(values, [r % 3 for r in range(6)], bounds=(0, 1))
    assert last["se_total"] == pytest.approx(expected.se_total)
    assert last["se_burnin"] == pytest.approx(expected.se_burnin)
    assert last["interval"] == pytest.approx(expected.interval)


def test_loss_is_dated_from_the_mean_trajectory():
    # The excess halves each generation: 6.25 % of it is left in generation 5.
    assert summary_of()["entries"][0]["loss"]["by_generation"] == 5


def test_table_has_the_generations_and_an_interval_only_where_there_is_one():
    one = screen_table(summary_of(branches=(("p10", 0.1, 0.022), ("p20", 0.2, 0.044))))
    head = next(line for line in one.splitlines() if "generation" in line)
    assert head.split() == ["generation", "years", "ago", "p10", "p20"]
    first = [line.split()[0] for line in one.splitlines() if re.match(r"\s+[\d,]+ ", line)]
    assert first == ["1", "2", "5", "10", "20", "100", "1,000"]
    assert re.search(r"1,000 \(today\) +0 +2\.20 +4\.40", one)
    assert "[" not in one
    assert "standard error" not in one
    assert "generation 2 is the first cohort born after one round of selection" in one
    drift = screen_table(summary_of(replicates=3))
    assert "[" not in drift
    assert "drift only" in drift
    nested_ = screen_table(summary_of(replicates=6, burnins=3))
    assert re.search(r"\(today\) +0 +2\.\d\d \[2\.\d\d, 2\.\d\d\]", nested_)
    assert re.search(r"standard error, p10, last row: \S+ in all, \S+ from burn-ins, \S+ from drift", nested_)
    # The head-count is exact, so it has no interval to print.
    assert re.search(r"headcount +10\.00$", nested_, re.M)


def test_table_of_a_run_that_stops_early():
    table = screen_table(summary_of(generations=20, ends=28 * 900.0))
    assert re.search(r"20 \(last\) +25,200", table)
    assert "(today)" not in table


# ---- the sentence


def sentence(*, tables=None, unit="individuals", pulses=1, **options):
    tables = frames(pulses=pulses, **options) if tables is None else tables
    text = answer(summarise(tables, scenario(unit, pulses)))
    assert text.endswith(".")
    assert not re.search(r"\.\s", text), "more than one sentence"
    assert "\n" not in text
    assert text[0].isupper()
    return text


def test_sentence_of_the_main_job():
    text = sentence(branches=(("p10", 0.1, 0.022), ("p20", 0.2, 0.044)), twins=("none", "neutral"))
    assert text == (
        "With 10 % of the founding generation Neanderthal, 2.2 % of today's DNA is Neanderthal"
        " (with 20 %: 4.4 %); nine tenths of the loss had come by generation 5, because an unmixed"
        " Neanderthal had 0.47 times the fitness of the others; without selection (neutral twin) it would be"
        " 10.1 %; by count of ancestors, 5.6 % of the founders with living descendants and 2.3 % of the"
        " pedigree paths back to the founders are Neanderthal."
    )


def test_sentence_with_an_interval():
    assert re.search(r"2\.\d % \(95 % interval 1\.\d to 2\.\d\) of today's DNA", sentence(replicates=4, burnins=2))
    assert "interval" not in sentence(replicates=4)


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        ("individuals", "With 10 % of the founding generation Neanderthal,"),
        ("F1", "With 20 % of the founding generation F1 hybrids, half Neanderthal,"),
        ("gametes", "With 10 % of the gametes behind the founding generation Neanderthal,"),
    ],
)
def test_sentence_says_what_the_pulse_counts(unit, says):
    assert sentence(unit=unit).startswith(says)


def test_sentence_without_a_scenario_claims_no_unit():
    assert answer(summarise(frames())).startswith("With a Neanderthal pulse of 10 %, 2.2 % of today's DNA")


def test_sentence_of_a_single_branch_has_no_other():
    text = sentence(ancestors=False)
    assert "(" not in text
    assert "count of ancestors" not in text


def test_branches_with_equal_shares_go_by_name():
    text = sentence(branches=(("early", 0.1, 0.022), ("late", 0.1, 0.03)))
    assert "(branch late: 3.0 %)" in text


@pytest.mark.parametrize(
    ("fitness", "end", "says"),
    [
        (0.9, 0.08, "because an unmixed Neanderthal had 0.90 times the fitness"),
        (
            0.98,
            0.05,
            "0.98 times the fitness of the others, which explains only part of that: the rest is chance",
        ),
        (1.0, 0.08, "as fit as the others, so the change is chance (drift)"),
        (1.0, 0.12, "as fit as the others, so the change is chance (drift)"),
        (1.1, 0.08, "the share fell although an unmixed Neanderthal had 1.10 times"),
        (1.1, 0.14, "the share rose because an unmixed Neanderthal had 1.10 times"),
        (0.9, 0.14, "the share rose although an unmixed Neanderthal had 0.90 times"),
        (0.9, 0.101, "the share hardly changed although an unmixed Neanderthal had 0.90 times"),
    ],
)
def test_sentence_claims_a_cause_only_where_the_figures_bear_it_out(fitness, end, says):
    text = sentence(fitness=fitness, branches=(("p10", 0.1, end),))
    assert says in text
    assert ("because" in text) == ("because" in says)


def test_sentence_when_ancestry_rises_before_it_falls():
    text = sentence(shape=lambda g: np.where(g < 5, 0.1 + 0.01 * g, 0.03))
    assert "the share rose to 14 % in generation 4 before it fell, nine tenths of that by generation 5" in text


def test_sentence_when_nothing_is_left_or_nothing_entered():
    text = sentence(shape=lambda g: np.where(g < 8, 0.1 / g, 0.0))
    assert "none of today's DNA is Neanderthal" in text
    assert "no Neanderthal DNA entered" in sentence(branches=(("p0", 0.0, 0.0),), shape=lambda g: 0.0 * g, fitness=0.5)


def test_sentence_of_a_run_that_stops_early():
    text = sentence(generations=20, ends=28 * 900.0)
    assert "of the DNA in generation 20, where the run stops, is Neanderthal" in text
    assert "today" not in text


def test_sentence_of_several_pulses():
    text = sentence(pulses=2)
    assert text.startswith("With 2 Neanderthal pulses (10 % and 20 % of their cohorts), 2.2 % of today's DNA")
    assert "the share was highest in generation 1, at 10 %" in text
    many = sentence(pulses=6, branches=(("p", 0.01, 0.02),))
    assert many.startswith("With 6 Neanderthal pulses (1.0 % to 6.0 % of their cohorts)")


def test_sentence_of_migration_without_a_pulse():
    tables = frames(shape=lambda g: 0.0001 * g, generations=300, ancestors=False)
    tables["pulse"] = tables["pulse"].iloc[:0]
    text = sentence(tables=tables)
    assert text.startswith("With continuous Neanderthal gene flow, 3.0 % of today's DNA is Neanderthal")
    assert "highest in generation 300" in text


def test_sentence_of_two_sources_keeps_them_apart():
    second = frames(source="denisova", branches=(("p10", 0.05, 0.01),), fitness=0.4)
    text = sentence(tables=both(frames(), second))
    assert "With 10 % of the founding generation Neanderthal, 2.2 % of today's DNA is Neanderthal" in text
    assert "; with 5.0 % of the founding generation Denisovan, 1.0 % of today's DNA is Denisovan" in text
    assert "an unmixed Denisovan had 0.40 times" in text


def test_sentence_of_two_demes_names_them_and_leaves_out_the_extinct():
    tables = both(frames(deme="EUR"), frames(deme="EAS", branches=(("p10", 0.1, 0.024),)))
    ancient = frames(deme="OOA", generations=300, ends=28 * 700.0)
    tables["trajectory"] = pd.concat([ancient["trajectory"], tables["trajectory"]], ignore_index=True)
    tables["pulse"] = ancient["pulse"]
    tables["ancestors"] = ancient["ancestors"]
    text = sentence(tables=tables)
    assert "2.2 % (EUR) and 2.4 % (EAS) of today's DNA is Neanderthal" in text


def test_sentence_of_a_neutral_run_alone():
    text = sentence(twins=("neutral",))
    assert text == (
        "With 10 % of the founding generation Neanderthal and no selection, 10.1 % of today's DNA is Neanderthal."
    )


# ---- words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.1, "10 %"),
        (0.0993, "9.9 %"),
        (0.0996, "10 %"),
        (0.02184, "2.2 %"),
        (0.02, "2.0 %"),
        (0.105, "10.5 %"),
        (0.0015, "0.15 %"),
        (0.00001, "less than 0.01 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
    ],
)
def test_percent(share, text):
    assert percent(share) == text


def test_people():
    assert [people(n) for n in ("NEA", "neanderthal", "Denisova", "ghost_1")] == [
        "Neanderthal",
        "Neanderthal",
        "Denisovan",
        "ghost 1",
    ]
