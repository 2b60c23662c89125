# SPDX-License-Identifier: GPL-3.0-or-later
"""A schedule in msprime's words: sizes, where lineages are at any time, and what is left out of the older part.

`where` is the slow twin: it follows the probability of a lineage's deme from cohort to cohort, as the forward engine
draws parents (pulses first, then `Schedule.parents`).
"""

import copy
import functools

import msprime
import numpy as np
import pytest
import small

from admix import schedule
from admix.errors import InputError
from admix.msprime_demography import SIZE_STEP, demography, sizes_by_step
from admix.scenario import Scenario
from admix.timeline import epoch_sizes

RATE = 1e-4
TOLERANCE = 3 * 2 * RATE
"""A lineage that is moved by a pulse or a split can migrate in the rest of that generation, at 2 RATE at most, and is
moved three times at most. Two migrations in one generation are RATE^2."""


def pulse(name, source, target, time, share):
    return {"name": name, "source": source, "target": target, "time": time, "share": share, "unit": "gametes"}


def tree(**changes):
    """Six demes, one admixed, with growth, migration, and pulses of which two fall on one tick and make a chain."""
    demography = small.demes(
        ("root", (), [(90, 40)]),
        ("south", ("root",), [(60, 50), (0, 70)]),
        ("north", ("root",), [(50, 12), (20, 30)]),
        ("east", ("root",), [(0, (10, 400))]),
        ("mixed", ("south", "east"), [(0, 25)]),
        ("late", ("mixed",), [(0, 20)]),
        migrations=[
            ("north", "south", RATE, 80, 40),
            ("east", "south", 2 * RATE, 55, 10),
            ("south", "mixed", RATE, 35, 0),
        ],
    )
    small.start_times(demography, mixed=35, late=15)
    pulses = [
        pulse("one", "north", "south", 30, 0.2),
        pulse("two", "east", "south", 30, 0.1),
        pulse("chain", "south", "mixed", 30, 0.3),
        pulse("on", "south", "late", 5, 0.25),
    ]
    return small.tree(demography=demography, pulse=pulses, sampling={}) | copy.deepcopy(changes)


@functools.cache
def compiled():
    return made(tree())


def made(raw):
    return schedule.compile(Scenario.from_tree(raw))


def where(clock, deme, tick, pulses=None):
    """Probability of each deme for a lineage that is in the cohort `tick` of `deme`: {tick: float64[demes]}."""
    now = np.zeros(len(clock.deme_names))
    now[deme] = 1.0
    out = {tick: now}
    for born in range(tick, -5, -1):
        before = np.zeros_like(now)
        for d in np.flatnonzero(now):
            left = 1.0
            for p in clock.pulses if pulses is None else pulses:
                if p.tick == born and p.target == d:
                    before[p.source] += now[d] * p.share
                    left -= p.share
            for parent, share in clock.parents(int(d), born):
                before[parent] += now[d] * left * share
        now = before
        out[born - 1] = now
    return out


def starts(clock):
    """Some (deme, tick) in all demes: first and last cohorts, and the ticks around each event."""
    near = {t + k for p in clock.pulses for t in (p.tick,) for k in (-1, 0, 1)} | {1, clock.today}
    near |= {int(t) + k for t in [*clock.first_tick, *clock.last_tick] for k in (-1, 0, 1)}
    near |= {t + k for m in clock.migrations for t in (m.first_tick, m.last_tick) for k in (-1, 0, 1)}
    return [(d, t) for d in range(len(clock.deme_names)) for t in sorted(near) if 0 < t and clock.exists(d, t)]


def difference(clock, model, last=None, begin=None, pulses=None):
    """Largest difference between msprime and the slow twin over all starts and all ticks before them."""
    last = clock.today if last is None else last
    begin = starts(clock) if begin is None else begin
    debugger, worst = model.debug(), 0.0
    for tick in sorted({tick for _, tick in begin}):
        ticks = sorted({t for t in range(tick - 1, -5, -1) if t % 5 == 0 or t > tick - 4}, reverse=True)
        steps = np.array([last - t for t in ticks], dtype=np.float64)
        found = debugger.lineage_probabilities(steps, sample_time=last - tick)
        for deme in (d for d, t in begin if t == tick):
            expected = where(clock, deme, tick, pulses)
            worst = max(worst, float(np.abs(found[:, deme] - np.array([expected[t] for t in ticks])).max()))
    return worst


def test_lineages_are_where_the_forward_engine_has_their_parents():
    clock = compiled()
    assert {p.tick for p in clock.pulses} == {60, 85} and len(starts(clock)) > 60
    assert difference(clock, demography(clock)) < TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.time + 1 if isinstance(e, msprime.MassMigration) else e.time,
        lambda e: e.time - 1 if isinstance(e, msprime.demography.PopulationSplit) else e.time,
        lambda e: e.time + 1 if isinstance(e, msprime.demography.Admixture) else e.time,
        lambda e: e.time + 20 if isinstance(e, msprime.MigrationRateChange) else e.time,
    ],
    ids=["pulse", "split", "admixture", "migration"],
)
def test_an_event_at_another_time_is_seen(change):
    clock, model = compiled(), demography(compiled())
    for event in model.events:
        event.time = change(event)
    model.sort_events()
    assert difference(clock, model) > 2 * TOLERANCE


def test_wrong_share_is_seen():
    clock = compiled()
    assert (
        difference(clock, demography(made(tree(pulse=[*tree()["pulse"][:3], pulse("on", "south", "late", 5, 0.3)]))))
        > 0.04
    )


def test_no_lineage_crosses_twice_in_one_tick():
    """`chain` brings southerners into the mixed deme in the tick in which others come to the south."""
    clock = compiled()
    steps = [e for e in demography(clock).events if isinstance(e, msprime.MassMigration) and round(e.time) == 30]
    names = [(clock.deme_names[e.source], clock.deme_names[e.dest]) for e in steps]
    assert names == [("south", "north"), ("south", "east"), ("mixed", "south")]
    assert [e.proportion for e in steps] == pytest.approx([0.2, 0.1 / 0.8, 0.3])
    # in the other order a lineage would go from the mixed deme to the north at once
    other = demography(clock)
    first = [e for e in other.events if isinstance(e, msprime.MassMigration) and round(e.time) == 30]
    place = other.events.index(first[0])
    other.events[place : place + 3] = [first[2], first[0], first[1]]
    assert difference(clock, other, begin=[(clock.deme("mixed"), clock.today)]) > 0.05


def test_pulses_in_a_circle():
    raw = tree()
    raw["pulse"] = [pulse("there", "east", "south", 30, 0.2), pulse("back", "south", "east", 30, 0.1)]
    with pytest.raises(InputError, match="pulses between south and east in one tick of 1 years"):
        demography(made(raw))
    raw["pulse"][1]["share"] = 0.0
    assert difference(made(raw), demography(made(raw))) < TOLERANCE


def test_a_pulse_may_be_the_whole_cohort():
    raw = tree()
    raw["pulse"] = [pulse("all", "north", "south", 30, 1.0), pulse("none", "east", "south", 30, 0.0)]
    clock = made(raw)
    assert difference(clock, demography(clock)) < TOLERANCE


def test_time_zero_is_the_last_cohort():
    """A run may end before today; whatever comes later is not in it."""
    clock = compiled()
    last = 80
    model = demography(clock, last_tick=last)
    assert difference(clock, model, last, [(d, t) for d, t in starts(clock) if t <= last]) < TOLERANCE
    assert all(0 <= event.time for event in model.events)
    assert min(event.time for event in model.events) < 1


@pytest.mark.parametrize("before", [60, 61, 55, 56, 86, 31])
def test_what_is_older_than_a_tick(before):
    """Lineages that begin at the tick before go the same ways as under the whole demography."""
    clock = compiled()
    model = demography(clock, before_tick=before)
    start = clock.today - before + 1
    assert all(event.time >= start for event in model.events)
    begin = [(d, before - 1) for d in range(len(clock.deme_names)) if clock.exists(d, before - 1)]
    older = [p for p in clock.pulses if p.tick < before]
    assert difference(clock, model, begin=begin, pulses=older) < TOLERANCE
    if before == 61:
        # one tick too many: the pulses of tick 60 are in it
        assert difference(clock, model, begin=[(clock.deme("south"), 60)], pulses=[]) > 0.2
    for d in range(len(clock.deme_names)):
        if clock.exists(d, before - 1):
            assert model[d].initial_size == pytest.approx(clock.size(d, before - 1), rel=SIZE_STEP)


def test_populations_are_the_demes():
    model = demography(compiled())
    assert [p.name for p in model.populations] == list(compiled().deme_names)
    assert [p.id for p in model.populations] == list(range(6))
    assert model["north"].default_sampling_time == 20 and model["root"].default_sampling_time == 90
    assert model["east"].initial_size == pytest.approx(400, rel=SIZE_STEP)


# ---- sizes


def per_tick(clock, deme, newest):
    """Sizes by tick from the steps: {tick: size}."""
    out, steps = {}, list(sizes_by_step(clock, deme, newest))
    for (end, size), (before, _) in zip(steps, [*steps[1:], (int(clock.first_tick[deme]) - 1, 0)], strict=True):
        out |= dict.fromkeys(range(before + 1, end + 1), size)
    return out


@pytest.mark.parametrize("law", ["linear", "exponential"])
@pytest.mark.parametrize("sizes", [(10, 4000), (900, 30)])
def test_steps_have_the_coalescence_of_their_ticks(law, sizes):
    raw = tree()
    east = raw["demography"]["demes"][3]["epochs"][0]
    east |= {"start_size": sizes[0], "end_size": sizes[1], "size_function": law}
    clock = made(raw)
    deme = clock.deme("east")
    found = per_tick(clock, deme, clock.today)
    assert sorted(found) == list(range(1, 91))
    true = epoch_sizes(clock.epochs[deme][0], 1, 90)
    assert sum(1 / size for size in found.values()) == pytest.approx((1 / true).sum(), rel=1e-12)
    assert max(abs(found[t] / true[t - 1] - 1) for t in found) <= SIZE_STEP
    assert (1 / true).sum() != pytest.approx((1 / epoch_sizes(clock.epochs[deme][0], 2, 90)).sum(), rel=1e-4)


@pytest.mark.parametrize("last", [90, 75])
def test_lineages_meet_among_the_parents(last):
    """Between the cohorts at times a and a + 1 the size is that of the older one: it holds the parents."""
    clock = compiled()
    debugger = demography(clock, last_tick=last).debug()
    wrong = 0
    for deme, name in enumerate(clock.deme_names):
        oldest, newest = max(-5, int(clock.first_tick[deme])), min(last, int(clock.last_tick[deme]))
        if newest <= oldest:
            continue
        parents = np.arange(oldest, newest)
        found = debugger.population_size_trajectory(last - parents - 0.5)[:, deme]
        sizes = clock.sizes(deme, oldest, newest)
        if name == "east":
            assert np.abs(found / sizes[:-1] - 1).max() <= SIZE_STEP
        else:
            assert found == pytest.approx(sizes[:-1])
        wrong += int((np.abs(found / sizes[1:] - 1) > 2 * SIZE_STEP).sum())
    assert wrong > 20


def test_a_size_changes_with_the_parents():
    """The cohort in which `south` has grown has parents of the old size."""
    clock = compiled()
    model = demography(clock)
    change = next(e for e in model.events if isinstance(e, msprime.PopulationParametersChange) and e.population == 1)
    grown = min(t for t in range(1, 91) if clock.size(1, t) == 70)
    assert change.initial_size == 50 and round(change.time) == clock.today - grown
    assert change.time > clock.today - grown


def test_root_that_lives_on():
    raw = small.tree(sampling={})
    raw["demography"]["demes"][0]["epochs"][0]["end_time"] = 0
    small.start_times(raw["demography"], modern=90, archaic=90)
    clock = made(raw)
    assert difference(clock, demography(clock)) < 1e-12
    assert demography(clock)["ancestral"].default_sampling_time == 0
