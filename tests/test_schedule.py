# SPDX-License-Identifier: GPL-3.0-or-later
import copy
import functools
import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from admix.errors import InputError
from admix.scenario import Scenario, load, text
from admix.scenario_yaml import read
from admix.schedule import ROOT_FIRST_TICK, compile, ticks_ago

ANCESTRAL, MODERN, NEA = 0, 1, 2


@functools.cache
def _parsed():
    return read(text("reich"), "reich")


def tree(**demography):
    """Return `reich` without branches as dicts and lists, with parts of its demography replaced."""
    raw = copy.deepcopy(_parsed())
    raw["branches"] = []
    raw["sampling"]["ancestors_at"] = raw["sampling"]["individuals"] = []
    raw["demography"].update(demography)
    return raw


def plan(raw):
    return compile(Scenario.from_tree(raw))


def epochs(raw, deme, *values):
    raw["demography"]["demes"][deme]["epochs"] = list(values)
    return raw


# ---- the clock


def test_clock_of_reich():
    schedule = compile(load("reich").branch("p10"))
    tick = schedule.first_pulse_tick()
    assert schedule.today - tick == 1679
    assert schedule.years_bp(tick) == 47_012
    assert schedule.generation(tick) == 1
    assert schedule.generation(schedule.today) == 1680
    assert schedule.years_bp(schedule.today) == 0
    assert schedule.today == 19_643
    assert (schedule.first_tick.tolist(), schedule.last_tick.tolist()) == (
        [ROOT_FIRST_TICK, 1, 1],
        [0, 19_643, 17_964],
    )
    assert schedule.ancestors_at == ((70_000, 19_643 - 2500),)


def test_clock_of_petr2019():
    schedule = compile(load("petr2019").branch("p10"))
    tick = schedule.first_pulse_tick()
    assert schedule.today == 20_000
    assert schedule.today - tick == 2200
    # 17,800 ticks between the last cohort of the root, at tick 0, and generation 1.
    assert tick - schedule.last_tick[schedule.root] == 17_800
    assert schedule.last_tick[schedule.root] == 0
    assert schedule.generation(schedule.today) == 2201


def test_branches_share_everything_before_the_pulse():
    one, two = (compile(load("reich").branch(name)) for name in ("p10", "p20"))
    tick = one.first_pulse_tick()
    assert one.to_dict(before_tick=tick) == two.to_dict(before_tick=tick)
    assert one.to_dict(before_tick=tick + 1) != two.to_dict(before_tick=tick + 1)


@given(
    years=st.one_of(st.integers(0, 10**7), st.floats(0, 1e7)),
    generation_time=st.one_of(st.integers(1, 100), st.floats(0.1, 100)),
)
def test_rounding_is_to_the_nearest_tick(years, generation_time):
    ago = ticks_ago(years, generation_time)
    exact = Fraction(years) / Fraction(generation_time)
    assert abs(ago - exact) <= Fraction(1, 2) + Fraction(1, 10**6)
    assert ago >= 0


@given(ticks=st.integers(0, 10**6), generation_time=st.floats(0.1, 100))
def test_dates_of_ticks_round_to_themselves(ticks, generation_time):
    assert ticks_ago(ticks * generation_time, generation_time) == ticks


@given(a=st.floats(0, 1e6), b=st.floats(0, 1e6), generation_time=st.floats(0.5, 100))
def test_rounding_keeps_order(a, b, generation_time):
    assert (a <= b) <= (ticks_ago(a, generation_time) <= ticks_ago(b, generation_time))


def test_halves_round_to_the_older_tick():
    assert [ticks_ago(years, 2) for years in (0.99, 1, 1.01, 2.99, 3)] == [0, 1, 1, 1, 2]


@settings(max_examples=60, deadline=None)
@given(
    generation_time=st.floats(10, 40),
    split=st.integers(100_000, 900_000),
    pulse=st.integers(1000, 90_000),
)
def test_clock_of_any_scenario(generation_time, split, pulse):
    raw = tree(generation_time=generation_time)
    raw["demography"]["demes"][ANCESTRAL]["epochs"][0]["end_time"] = split
    raw["demography"]["demes"][NEA]["epochs"][0]["end_time"] = pulse
    raw["pulse"][0]["time"] = pulse
    schedule = plan(raw)
    tick = schedule.first_pulse_tick()
    assert schedule.last_tick[schedule.root] == 0
    assert schedule.first_tick[MODERN] == schedule.first_tick[NEA] == 1
    assert schedule.last_tick[NEA] == tick == schedule.tick_of_years(pulse)
    assert schedule.generation(tick) == 1
    assert schedule.generation(schedule.today) == schedule.today - tick + 1
    assert abs(schedule.years_bp(tick) - pulse) <= generation_time / 2 * (1 + 1e-9)
    assert abs(schedule.years_bp(0) - split) <= generation_time / 2 * (1 + 1e-9)
    assert schedule.years_bp(schedule.today) == 0
    assert schedule.exists(NEA, tick - 1)


# ---- intervals and sizes


@settings(max_examples=60, deadline=None)
@given(
    generation_time=st.floats(5, 40),
    ends=st.lists(st.integers(1000, 500_000), min_size=1, max_size=6, unique=True),
    sizes=st.lists(st.integers(2, 100_000), min_size=7, max_size=7),
    functions=st.lists(st.sampled_from(["constant", "linear", "exponential"]), min_size=7, max_size=7),
)
def test_epochs_tile_the_life_of_a_deme(generation_time, ends, sizes, functions):
    ends = [*sorted(ends, reverse=True), 0]
    bounds = [ticks_ago(time, generation_time) for time in [550_000, *ends]]
    assume(all(b < a for a, b in itertools.pairwise(bounds)))
    written = [
        {"end_time": end, "start_size": size, "end_size": size if function == "constant" else size + 1000,
         "size_function": function}
        for end, size, function in zip(ends, sizes, functions, strict=False)
    ]  # fmt: skip
    schedule = plan(epochs(tree(generation_time=generation_time), MODERN, *written))
    ticks = np.arange(1, schedule.today + 1)
    found = schedule.sizes(MODERN, 1, schedule.today)
    assert found.dtype == np.int64
    ago = schedule.today - ticks
    seen = np.zeros(len(ticks), dtype=bool)
    for epoch, start, end in zip(written, bounds, bounds[1:], strict=False):
        # Half-open: (start, end] in years ago is end <= ago < start in ticks.
        inside = (end <= ago) & (ago < start)
        assert not (seen & inside).any()
        seen |= inside
        part = found[inside]
        assert part[-1] == epoch["end_size"]
        assert part.min() >= epoch["start_size"]
        assert np.all(np.diff(part) >= 0)
    assert seen.all()
    some = ticks[:: max(1, len(ticks) // 50)]
    assert [schedule.size(MODERN, int(tick)) for tick in some] == found[some - 1].tolist()


def test_linear_and_exponential_sizes():
    # Ten ticks: the size after i of them is i tenths of the way, and halves are rounded up.
    def sizes(function):
        raw = epochs(
            tree(generation_time=10),
            MODERN,
            {"end_time": 100, "start_size": 5},
            {"start_size": 100, "end_size": 205, "size_function": function},
        )
        raw["demography"]["demes"][ANCESTRAL]["epochs"][0]["end_time"] = 50_000
        schedule = plan(raw)
        return schedule.sizes(MODERN, schedule.today - 10, schedule.today).tolist()

    assert sizes("linear") == [5, 111, 121, 132, 142, 153, 163, 174, 184, 195, 205]
    growth = 2.05**0.1
    assert sizes("exponential") == [5, *(math.floor(100 * growth**i + 0.5) for i in range(1, 11))]


def test_root_has_always_existed_and_may_change_size():
    raw = epochs(tree(), ANCESTRAL, {"end_time": 560_000, "start_size": 700}, {"end_time": 550_000, "start_size": 9})
    schedule = plan(raw)
    older = 20_000 - schedule.today  # 560,000 years are 20,000 ticks
    assert schedule.sizes(ANCESTRAL, -older - 2, -older + 2).tolist() == [700, 700, 700, 9, 9]
    assert schedule.size(ANCESTRAL, -1_000_000) == 700
    assert schedule.size(ANCESTRAL, 0) == 9
    with pytest.raises(ValueError, match="ancestral has no cohort"):
        schedule.size(ANCESTRAL, 1)


def test_root_may_live_on_as_one_of_the_branches():
    raw = tree()
    raw["demography"]["demes"] = [
        {"name": "modern", "epochs": [{"start_size": 100}]},
        {"name": "neanderthal", "ancestors": ["modern"], "start_time": 550_000,
         "epochs": [{"start_size": 10, "end_time": 47_000}]},
    ]  # fmt: skip
    schedule = plan(raw)
    assert (schedule.root, schedule.today) == (0, 19_643)
    assert schedule.first_tick.tolist() == [ROOT_FIRST_TICK, 1]
    assert schedule.last_tick.tolist() == [19_643, 17_964]
    assert schedule.parents(0, 1) == [(0, 1.0)]
    assert schedule.parents(1, 1) == [(0, 1.0)]
    assert "modern for the last time alone: N 100" in "\n".join(schedule.describe())


def test_arrays_are_read_only():
    schedule = compile(load("tiny"))
    with pytest.raises(ValueError, match="read-only"):
        schedule.first_tick[0] = 0


# ---- parents: splits, several ancestors, migration


def rich_tree():
    """Two archaic demes, a split and a merger of moderns, migration both ways, three pulses."""
    raw = tree(
        generation_time=25,
        demes=[
            {"name": "root", "epochs": [{"end_time": 500_000, "start_size": 100}]},
            {"name": "african", "ancestors": ["root"], "epochs": [{"start_size": 100}]},
            {"name": "archaic", "ancestors": ["root"], "epochs": [{"end_time": 300_000, "start_size": 20}]},
            {"name": "west", "ancestors": ["archaic"], "epochs": [{"end_time": 40_000, "start_size": 10}]},
            {"name": "east", "ancestors": ["archaic"], "epochs": [{"end_time": 30_000, "start_size": 10}]},
            {"name": "eurasian", "ancestors": ["african"], "start_time": 60_000,
             "epochs": [{"start_size": 50}]},
            {"name": "mixed", "ancestors": ["african", "eurasian"], "proportions": [0.25, 0.75],
             "start_time": 10_000, "epochs": [{"start_size": 50}]},
        ],
        migrations=[
            {"demes": ["african", "eurasian"], "rate": 0.01},
            {"source": "east", "dest": "west", "rate": 0.1, "start_time": 200_000, "end_time": 100_000},
        ],
    )  # fmt: skip
    pulse = {"unit": "individuals", "mode": "exact"}
    raw["pulse"] = [
        {"name": "b", "source": "east", "target": "eurasian", "time": 50_000, "share": 0.02, **pulse},
        {"name": "a", "source": "west", "target": "eurasian", "time": 55_000, "share": 0.1, **pulse},
        {"name": "c", "source": "west", "target": "eurasian", "time": 50_000, "share": 0.3, **pulse},
    ]
    return raw


def by_name(schedule, parents):
    return {schedule.deme_names[deme]: pytest.approx(share) for deme, share in parents}


def test_parents():
    schedule = plan(rich_tree())
    deme = schedule.deme
    at = schedule.tick_of_years
    assert by_name(schedule, schedule.parents(deme("west"), 1 + at(300_000))) == {"archaic": 1.0}
    assert by_name(schedule, schedule.parents(deme("west"), 2 + at(300_000))) == {"west": 1.0}
    # Both demes exchange parents from the moment there are two to exchange them.
    first = 1 + at(60_000)
    assert schedule.first_tick[deme("eurasian")] == first
    assert by_name(schedule, schedule.parents(deme("eurasian"), first)) == {"african": 1.0}
    assert by_name(schedule, schedule.parents(deme("african"), first)) == {"african": 1.0}
    assert by_name(schedule, schedule.parents(deme("african"), first + 1)) == {
        "african": 0.99,
        "eurasian": 0.01,
    }
    assert by_name(schedule, schedule.parents(deme("eurasian"), first + 1)) == {
        "african": 0.01,
        "eurasian": 0.99,
    }
    mixed = schedule.parents(deme("mixed"), 1 + at(10_000))
    assert by_name(schedule, mixed) == {"african": 0.25, "eurasian": 0.75}
    # The window (200,000, 100,000] years is 8,000 > ago >= 4,000.
    window = [at(200_000), at(200_000) + 1, at(100_000), at(100_000) + 1]
    assert [len(schedule.parents(deme("west"), tick)) for tick in window] == [1, 2, 2, 1]
    assert by_name(schedule, schedule.parents(deme("west"), window[1])) == {"west": 0.9, "east": 0.1}


def test_parents_always_exist_and_add_up_to_one():
    schedule = plan(rich_tree())
    for d in range(len(schedule.deme_names)):
        for tick in range(max(-5, int(schedule.first_tick[d])), int(schedule.last_tick[d]) + 1, 7):
            parents = schedule.parents(d, tick)
            assert sum(share for _, share in parents) == pytest.approx(1)
            assert all(schedule.exists(parent, tick - 1) for parent, _ in parents)
    for d in range(len(schedule.deme_names)):
        if d != schedule.root:
            first = int(schedule.first_tick[d])
            assert all(schedule.exists(parent, first - 1) for parent, _ in schedule.parents(d, first))


def test_several_pulses():
    schedule = plan(rich_tree())
    west, east = schedule.deme("west"), schedule.deme("east")
    assert [(p.name, schedule.today - p.tick, p.share, p.source) for p in schedule.pulses] == [
        ("a", 2200, 0.1, west),
        ("b", 2000, 0.02, east),
        ("c", 2000, 0.3, west),
    ]
    assert schedule.sources() == (west, east)
    assert schedule.first_pulse_tick() == schedule.first_pulse_tick(west) == schedule.today - 2200
    assert schedule.generation(schedule.today, east) == 2001
    assert schedule.generation(schedule.today) == 2201
    names = [schedule.deme_names[d] for d in schedule.recipients(east)]
    assert names == ["african", "eurasian", "mixed"]
    # From west: by the pulse, a tick later by migration to Africa, and at the start of the mixed deme.
    tick = schedule.first_pulse_tick(west)
    assert schedule.recipients(west) == {
        schedule.deme("african"): tick + 1,
        schedule.deme("eurasian"): tick,
        schedule.deme("mixed"): schedule.first_tick[schedule.deme("mixed")],
    }


def test_migration_and_splits_from_a_source_count_from_its_first_pulse_on():
    raw = rich_tree()
    raw["demography"]["migrations"] = [
        {"source": "east", "dest": "african", "rate": 0.1, "start_time": 200_000, "end_time": 45_000}
    ]
    raw["demography"]["demes"].append(
        {"name": "late", "ancestors": ["east"], "start_time": 35_000, "epochs": [{"start_size": 5}]}
    )
    schedule = plan(raw)
    east, tick = schedule.deme("east"), schedule.tick_of_years(50_000)
    reached = {schedule.deme_names[d]: schedule.today - t for d, t in schedule.recipients(east).items()}
    assert reached == {"african": 2000, "eurasian": 2000, "mixed": 399, "late": 1399}
    assert schedule.recipients(east)[schedule.deme("african")] == tick


def test_description_names_every_event_in_order():
    lines = plan(rich_tree()).describe()
    ticks = [int(line.split()[1].replace(",", "")) for line in lines[1:]]
    assert ticks == sorted(ticks)
    for part in (
        "root for the last time alone (its last cohort): N 100",
        "eurasian begins from african: N 50",
        "mixed begins from 0.25 of african and 0.75 of eurasian: N 50",
        "migration east -> west begins: 0.1 of the parents in each tick",
        "pulse a, west -> eurasian: share 0.1 as individuals, exact (generation 1 of west)",
        "pulse c, west -> eurasian: share 0.3 as individuals, exact (generation 201 of west)",
        "last cohort of east",
        "today: generation 2,201 of west and generation 2,001 of east",
    ):
        assert any(part in line for line in lines), part


# ---- the content of a history


def test_content_of_a_history_does_not_know_what_comes_later():
    raw = rich_tree()
    schedule = plan(raw)
    cut = schedule.tick_of_years(55_000)
    before = schedule.to_dict(before_tick=cut)
    assert json.loads(json.dumps(before)) == before
    assert before["pulses"] == []
    assert {deme["name"] for deme in before["demes"]} == {
        "root",
        "african",
        "archaic",
        "west",
        "east",
        "eurasian",
    }
    later = copy.deepcopy(raw)
    later["pulse"][1]["share"] = 0.5
    later["demography"]["demes"][1]["epochs"] = [
        {"start_size": 100, "end_time": 20_000},
        {"start_size": 100, "end_size": 900},
    ]
    assert plan(later).to_dict(before_tick=cut) == before
    assert plan(later).to_dict() != schedule.to_dict()
    sooner = copy.deepcopy(raw)
    sooner["demography"]["demes"][3]["epochs"][0]["start_size"] = 11
    assert plan(sooner).to_dict(before_tick=cut) != before


def test_content_is_in_ticks_not_in_years():
    slow = compile(load("petr2019"))
    raw = read(text("petr2019"), "petr2019")
    raw["sampling"]["ancestors_at"] = []
    raw["demography"]["generation_time"] = 50
    raw["demography"]["demes"][0]["epochs"][0]["end_time"] *= 2
    raw["demography"]["demes"][2]["epochs"][0]["end_time"] *= 2
    raw["pulse"][0]["time"] *= 2
    assert plan(raw).to_dict() == slow.to_dict()


def test_equal_sizes_have_equal_content_however_they_are_written():
    one = plan(epochs(tree(), MODERN, {"start_size": 300}))
    two = plan(epochs(tree(), MODERN, {"start_size": 300, "end_time": 90_000}, {"start_size": 300}))
    assert one.to_dict() == two.to_dict()
    three = plan(epochs(tree(), MODERN, {"start_size": 300, "end_time": 90_000}, {"start_size": 301}))
    assert one.to_dict() != three.to_dict()


# ---- what cannot be played in ticks


def refused(raw):
    with pytest.raises(InputError) as caught:
        plan(raw)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_size_changes_in_one_tick():
    raw = epochs(
        tree(), MODERN,
        {"start_size": 5, "end_time": 30_000}, {"start_size": 6, "end_time": 29_990}, {"start_size": 7},
    )  # fmt: skip
    assert refused(raw).startswith(
        "demography.demes.modern.epochs[1].end_time: got 29990; allowed: a time at least one tick of 28 years"
    )


def test_deme_without_a_cohort():
    raw = epochs(tree(), NEA, {"start_size": 5, "end_time": 549_999})
    raw["pulse"][0]["time"] = 549_999
    assert refused(raw).startswith("demography.demes.neanderthal.epochs[0].end_time: got 549999; allowed")


def test_ancestor_without_a_cohort_in_time():
    raw = rich_tree()
    raw["demography"]["demes"][6] |= {"ancestors": ["eurasian"], "proportions": [1], "start_time": 59_999}
    raw["demography"]["migrations"] = []
    assert refused(raw).startswith(
        "demography.demes.mixed.start_time: got 60000; allowed: a time at which its ancestor"
    )


def test_pulse_from_a_source_that_is_one_tick_too_young():
    raw = tree()
    raw["pulse"][0]["time"] = 549_980
    message = refused(raw)
    assert message.startswith("pulse[0].time: got 549980; allowed: 549,948 to 46,984 years ago in ticks of 28")
    assert "the source neanderthal has a cohort the tick before" in message
    raw["pulse"][0]["time"] = 549_948
    assert plan(raw).first_pulse_tick() == 2


def test_two_pulses_of_one_source_in_one_tick():
    raw = tree()
    raw["pulse"] = [{**raw["pulse"][0], "name": "a"}, {**raw["pulse"][0], "name": "b", "time": 47_001}]
    assert "pulse[1].time: got 47001; allowed: one pulse from neanderthal into modern in a tick" in refused(raw)


@pytest.mark.parametrize(("unit", "shares", "fine"), [
    ("individuals", (0.5, 0.5), True), ("individuals", (0.6, 0.5), False),
    ("gametes", (0.6, 0.5), False), ("F1", (0.25, 0.25), True), ("F1", (0.3, 0.25), False),
])  # fmt: skip
def test_shares_in_one_tick_add_up(unit, shares, fine):
    raw = rich_tree()
    del raw["pulse"][1]
    for pulse, share in zip(raw["pulse"], shares, strict=True):
        pulse.update(unit=unit, share=share)
    if fine:
        assert len(plan(raw).pulses) == 2
    else:
        assert refused(raw).startswith(f"pulse[1].share: got {shares[1]}; allowed: shares of all pulses into eurasian")


def test_migration_window_without_a_tick():
    raw = rich_tree()
    raw["demography"]["migrations"] = [
        {"source": "east", "dest": "west", "rate": 0.1, "start_time": 100_001, "end_time": 100_000}
    ]
    assert refused(raw).startswith("demography.migrations (east -> west): got [100001, 100000]; allowed: a window")


def test_target_without_descendants_today():
    raw = tree()
    raw["demography"]["demes"][MODERN]["epochs"] = [{"start_size": 5, "end_time": 20_000}]
    raw["demography"]["demes"].append({"name": "other", "ancestors": ["ancestral"], "epochs": [{"start_size": 5}]})
    assert refused(raw) == (
        "pulse[0].target: got 'modern'; allowed: a deme with descendants today, which other lives to see"
    )


@pytest.mark.parametrize("years", [100, 46_000, 550_000, 900_000])
def test_dates_at_which_ancestors_cannot_be_counted(years):
    raw = tree()
    raw["sampling"]["ancestors_at"] = [70_000, years]
    assert refused(raw).startswith(
        f"sampling.ancestors_at[1]: got {years}; allowed: a date from the first pulse (47,012 years ago)"
        " back to the first cohort after the split (549,976 years ago)"
    )


def test_history_that_is_too_long():
    raw = tree(generation_time=0.001)
    assert refused(raw).startswith("demography.generation_time: got 0.001; allowed: a value that puts the first split")


def sampled(*blocks):
    raw = tree()
    raw["sampling"]["individuals"] = list(blocks)
    return raw


def test_people_are_sampled_oldest_first_and_blocks_of_one_date_add_up():
    schedule = plan(
        sampled(
            {"deme": "modern", "n": 3},
            {"deme": "modern", "time": 45_000, "n": 10},
            {"deme": "neanderthal", "time": 45_013 + 2_100, "n": 2},
            {"deme": "modern", "time": 13, "n": 4},
        )
    )
    assert schedule.individuals == ((NEA, 19_643 - 1683, 2), (MODERN, 19_643 - 1607, 10), (MODERN, 19_643, 7))
    assert any("10 individuals of modern are sampled" in line for line in schedule.describe())


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"deme": "modren", "n": 1}, "sampling.individuals[0].deme: got 'modren'; allowed: one of ancestral, modern,"
         " neanderthal; did you mean modern?"),
        ({"deme": "neanderthal", "n": 1}, "sampling.individuals[0].time: got 0; allowed: 47,012 to 549,976 years ago"),
        ({"deme": "modern", "time": 550_000, "n": 1},
         "sampling.individuals[0].time: got 550000; allowed: 0 to 549,976"),
        ({"deme": "modern", "n": 10_001}, "sampling.individuals[0].n: got 10001; allowed: at most 10,000"),
        ({"deme": "modern", "n": True}, "sampling.individuals[0].n: got True"),
        ({"deme": "modern", "n": 0}, "sampling.individuals[0].n: got 0"),
        ({"deme": "modern", "time": -1, "n": 1}, "sampling.individuals[0].time: got -1"),
    ],
)  # fmt: skip
def test_people_who_cannot_be_sampled(block, line):
    assert refused(sampled(block)).startswith(line)
