# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a cohort's parents are: units and modes of pulses, migration, splits."""

import math

import numpy as np
import pytest
import small

from admix import schedule, seeds
from admix.engines.native.cohorts import plan_cohorts

PULSE_TICK = 60


def compiled(pulses, size=37, extra=(), migrations=()):
    base = {"source": "archaic", "target": "modern", "time": 30}
    block = small.demes(
        ("ancestral", (), [(90, 40)]),
        ("modern", ("ancestral",), [(0, size)]),
        ("archaic", ("ancestral",), [(20, 12)]),
        *extra,
        migrations=migrations,
    )
    named = [base | {"name": f"p{k}"} | pulse for k, pulse in enumerate(pulses)]
    return schedule.compile(small.scenario(demography=block, pulse=named))


def planned(clock, tick, seed=1, demes=None):
    planes = {source: q for q, source in enumerate(clock.sources())}
    every = range(len(clock.deme_names)) if demes is None else demes
    return plan_cohorts(
        clock, tick, every, lambda purpose, deme, at: seeds.generator("test", seed, purpose, deme, at), planes
    )


def check_whole(cohort):
    """Every gamete is made by exactly one group."""
    rows = np.concatenate([g.rows for g in cohort.groups])
    assert np.array_equal(np.sort(rows), np.arange(2 * cohort.n))
    assert all((np.diff(g.rows) > 0).all() for g in cohort.groups)


def pulse_rows(cohort, plane=0):
    found = [g.rows for g in cohort.groups if g.plane == plane]
    assert len(found) <= 1
    return found[0] if found else np.zeros(0, int)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("unit", ["individuals", "F1", "gametes"])
@pytest.mark.parametrize("mode", ["exact", "binomial"])
def test_units_and_modes(unit, mode, share):
    clock = compiled([{"share": share, "unit": unit, "mode": mode}])
    modern = clock.deme("modern")
    draws, n = 400, 37
    counts = np.empty(draws, int)
    for seed in range(draws):
        cohort = planned(clock, PULSE_TICK, seed, [modern])[modern]
        check_whole(cohort)
        rows = pulse_rows(cohort)
        counts[seed] = len(rows)
        children, per_child = np.unique(rows >> 1, return_counts=True)
        if unit == "individuals":
            assert (per_child == 2).all()
        elif unit == "F1":
            assert (per_child == 1).all()
        assert cohort.n == n and len(children) <= n
    # the share is of gene copies whatever the unit
    expected = share * 2 * n
    step = 2 if unit == "individuals" else 1
    trials, rate = 2 * n / step, share
    if unit == "F1":
        trials, rate = n, 2 * share
    if mode == "exact":
        whole = math.floor(expected / step + 1e-9)
        assert set(counts) <= {whole * step, (whole + 1) * step}
        part = expected / step - whole
        deviation = step * math.sqrt(max(part * (1 - part), 0))
        assert len(set(counts)) == (2 if 0.01 < part < 0.99 else 1)
    else:
        deviation = step * math.sqrt(trials * rate * (1 - rate))
        if 0 < deviation:
            # the variance of 400 draws is right to 7 % (one standard error)
            assert abs(counts.var() / deviation**2 - 1) < 4 * math.sqrt(2 / draws) + 0.05
    assert abs(counts.mean() - expected) <= 4 * deviation / math.sqrt(draws) + 1e-9


def test_an_exact_pulse_of_a_whole_number_is_not_off_by_rounding():
    # 0.3 * 10, 0.07 * 100 and the like are not whole in floating point
    for n, share in ((10, 0.3), (100, 0.07), (100, 0.29), (1000, 0.001), (10_000, 0.1)):
        clock = compiled([{"share": share}], size=n)
        modern = clock.deme("modern")
        for seed in range(5):
            assert len(pulse_rows(planned(clock, PULSE_TICK, seed, [modern])[modern])) == 2 * round(share * n)


def test_gametes_are_spread_over_the_cohort():
    clock = compiled([{"share": 0.25, "unit": "gametes"}], size=400)
    modern = clock.deme("modern")
    rows = pulse_rows(planned(clock, PULSE_TICK, 1, [modern])[modern])
    assert len(rows) == 200
    # as many in each quarter, within 4 hypergeometric standard deviations
    quarters = np.bincount(rows // 200, minlength=4)
    deviation = math.sqrt(200 * 0.25 * 0.75 * (600 / 799))
    assert np.abs(quarters - 50).max() < 4 * deviation
    assert 0 < (np.diff(rows)[rows[:-1] % 2 == 0] == 1).sum() < 60  # some in pairs: not all one a child


OTHER = ("denisova", ("ancestral",), [(20, 10)])


@pytest.mark.parametrize("modes", [("exact", "exact"), ("binomial", "binomial"), ("binomial", "exact")])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.31, 0.69), (0.2, 0.1)])
def test_two_pulses_at_once_share_the_cohort(modes, shares):
    """However large the shares, there are never more children than the cohort has, and means are right."""
    pulses = [
        {"share": shares[0], "mode": modes[0]},
        {"share": shares[1], "mode": modes[1], "source": "denisova"},
    ]
    clock = compiled(pulses, extra=[OTHER])
    modern = clock.deme("modern")
    draws, n = 300, 37
    counts = np.empty((draws, 2))
    for seed in range(draws):
        cohort = planned(clock, PULSE_TICK, seed, [modern])[modern]
        check_whole(cohort)
        counts[seed] = [len(pulse_rows(cohort, q)) / 2 for q in (0, 1)]
    expected = n * np.array(shares)
    for k, mode in enumerate(modes):
        deviation = 0.5 if mode == "exact" else math.sqrt(expected[k] * (1 - shares[k]))
        assert abs(counts[:, k].mean() - expected[k]) < 4 * deviation / math.sqrt(draws) + 1e-9
        if mode == "exact":
            assert set(counts[:, k]) <= {math.floor(expected[k]), math.ceil(expected[k])}


@pytest.mark.parametrize("share", [0.5, 0.4])
def test_individuals_f1_and_gametes_at_once(share):
    pulses = [
        {"share": share, "unit": "individuals", "mode": "binomial"},
        {"share": 0.15, "unit": "F1", "mode": "binomial", "source": "denisova"},
    ]
    clock = compiled(pulses, extra=[OTHER], size=36)
    modern = clock.deme("modern")
    for seed in range(200):
        cohort = planned(clock, PULSE_TICK, seed, [modern])[modern]
        check_whole(cohort)
        f1 = pulse_rows(cohort, 1)
        pure = pulse_rows(cohort, 0)
        assert not np.intersect1d(f1 >> 1, pure >> 1).size
        native = next(g.rows for g in cohort.groups if g.source == modern)
        assert np.isin(f1 - 1, native).all()  # the other parent is native


def test_migration_is_multinomial_over_individuals():
    rate = 0.2
    clock = compiled([{"share": 0.1}], extra=[("east", ("ancestral",), [(0, 15)])],
                     migrations=[("east", "modern", rate, 80, 0)])  # fmt: skip
    modern, east = clock.deme("modern"), clock.deme("east")
    draws, n = 400, 37
    counts = []
    for seed in range(draws):
        cohort = planned(clock, 40, seed, [modern])[modern]
        check_whole(cohort)
        rows = next((g.rows for g in cohort.groups if g.source == east), np.zeros(0, int))
        assert np.array_equal(np.unique(rows >> 1).repeat(2), rows >> 1)  # both parents, as in SLiM
        counts.append(len(rows) / 2)
    deviation = math.sqrt(n * rate * (1 - rate))
    assert abs(np.mean(counts) - n * rate) < 4 * deviation / math.sqrt(draws)
    assert abs(np.var(counts) / deviation**2 - 1) < 4 * math.sqrt(2 / draws) + 0.05
    # a pulse takes its children first, migrants are a share of the rest
    both = [planned(clock, PULSE_TICK, seed, [modern])[modern] for seed in range(draws)]
    migrants = [sum(len(g.rows) for g in c.groups if g.source == east) / 2 for c in both]
    rest = n - np.array([len(pulse_rows(c)) / 2 for c in both])
    assert abs(np.mean(migrants) - rate * rest.mean()) < 4 * deviation / math.sqrt(draws)


def test_founding_and_dying():
    clock = compiled([{"share": 0.1}])
    root, modern, archaic = (clock.deme(name) for name in ("ancestral", "modern", "archaic"))
    assert set(planned(clock, 0)) == {root}
    first = planned(clock, 1)
    assert set(first) == {modern, archaic}
    assert [(g.source, g.plane, len(g.rows)) for g in first[modern].groups] == [(root, -1, 74)]
    assert set(planned(clock, 70)) == {modern, archaic}
    assert set(planned(clock, 71)) == {modern}
    assert set(planned(clock, 65, demes=[archaic])) == {archaic}


def test_draws_of_one_deme_do_not_move_those_of_another():
    clock = compiled([{"share": 0.1, "mode": "binomial"}], extra=[("east", ("ancestral",), [(0, 15)])],
                     migrations=[("east", "modern", 0.1, 80, 0), ("modern", "east", 0.1, 80, 0)])  # fmt: skip
    modern, east = clock.deme("modern"), clock.deme("east")
    together = planned(clock, PULSE_TICK)
    for deme in (modern, east):
        alone = planned(clock, PULSE_TICK, demes=[deme])[deme]
        assert alone.n == together[deme].n
        for a, b in zip(alone.groups, together[deme].groups, strict=True):
            assert (a.source, a.plane) == (b.source, b.plane) and np.array_equal(a.rows, b.rows)


def test_migrants_from_a_source_are_marked_from_its_first_pulse_on():
    block = small.demes(
        ("ancestral", (), [(90, 40)]),
        ("modern", ("ancestral",), [(0, 50)]),
        ("archaic", ("ancestral",), [(0, 30)]),
        migrations=[("archaic", "modern", 0.3, 40, 0)],
    )
    pulse = [{"name": "p", "source": "archaic", "target": "modern", "time": 30, "share": 0.1}]
    clock = schedule.compile(small.scenario(demography=block, pulse=pulse, sampling={}))
    modern, archaic = clock.deme("modern"), clock.deme("archaic")
    for tick, marked in ((PULSE_TICK - 1, False), (PULSE_TICK, True), (PULSE_TICK + 20, True)):
        cohorts = planned(clock, tick)
        from_source = [g for g in cohorts[modern].groups if g.source == archaic]
        assert from_source and all((g.plane == 0) is marked for g in from_source)
        assert all(g.plane < 0 for g in cohorts[modern].groups if g.source == modern)
        assert all(g.plane < 0 for g in cohorts[archaic].groups)


def test_a_deme_founded_by_a_source_is_wholly_of_it():
    block = small.start_times(
        small.demes(
            ("ancestral", (), [(90, 40)]),
            ("modern", ("ancestral",), [(0, 50)]),
            ("archaic", ("ancestral",), [(0, 30)]),
            ("colony", ("archaic",), [(0, 10)]),
        ),
        colony=10,
    )
    pulse = [{"name": "p", "source": "archaic", "target": "modern", "time": 30, "share": 0.1}]
    clock = schedule.compile(small.scenario(demography=block, pulse=pulse, sampling={}))
    colony = clock.deme("colony")
    assert [g.plane for g in planned(clock, int(clock.first_tick[colony]))[colony].groups] == [0]
    assert [g.plane for g in planned(clock, int(clock.first_tick[colony]) + 1)[colony].groups] == [-1]
