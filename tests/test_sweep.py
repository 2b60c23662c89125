# SPDX-License-Identifier: GPL-3.0-or-later
"""Grid files and plans of sweeps: what is refused, what stays when a grid grows, what a changed plan is met with."""

import json
import math
from statistics import NormalDist

import pytest
from small import TREE

from admix import scenario_yaml
from admix.errors import InputError, RunError
from admix.sweep import grid, plan, store

PARAMETERS = [
    {"name": "share", "field": "pulse.share", "values": [0.1, 0.2]},
    {"name": "dominance", "field": "selection.dominance", "values": [0.5, 0.1]},
]
PRIOR = {"name": "share", "field": "pulse[0].share", "prior": {"kind": "log-uniform", "low": 0.01, "high": 0.4}}


def write(folder, **changes):
    """A grid file over the small scenario."""
    (folder / "small.yaml").write_text(scenario_yaml.write(TREE))
    tree = {"name": "test", "scenario": "small.yaml", "parameters": PARAMETERS} | changes
    file = folder / "grid.yaml"
    file.write_text(json.dumps({key: value for key, value in tree.items() if value is not None}))
    return file


@pytest.fixture
def made(tmp_path):
    return lambda **changes: plan.make(grid.load(write(tmp_path, **changes)))


def identity(point):
    return point.key, point.seed


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"parameters": []}, r"parameters: got \[\]; allowed: a list of at least one block"),
        ({"paramters": []}, r"paramters: got \[\]; allowed: only the keys name, .*did you mean parameters"),
        ({"parameters": [{"name": "a", "field": "pulse.share", "values": []}]}, r"parameters\[0\].values: got \[\]"),
        (
            {"parameters": [{"name": "a", "field": "pulse.share", "values": [0.1, 0.1]}]},
            r"parameters\[0\].values: got 0.1; allowed: each value once",
        ),
        (
            {"parameters": [{"name": "a", "field": "pulse.shar", "values": [0.1]}]},
            r"pulse\[0\].shar: got 0.1; allowed: only the keys .*did you mean share",
        ),
        (
            {"parameters": [{"name": "a", "field": "selction.dominance", "values": [0.1]}]},
            r"parameters\[0\].field: got 'selction.dominance'; .*did you mean selection",
        ),
        (
            {"parameters": [{"name": "a", "field": "run.seed", "values": [1]}]},
            r"parameters\[0\].field: got 'run.seed'; allowed: a field of demography",
        ),
        ({"parameters": [PRIOR]}, "allowed: draws, a number, since share has a prior"),
        ({"draws": 3}, "got 3; allowed: draws only where a parameter has a prior"),
        ({"parameters": [PARAMETERS[0] | {"name": "seed"}]}, "got 'seed'; allowed: a name that is no column"),
        ({"parameters": [PARAMETERS[0], PARAMETERS[0]]}, "got 'share'; allowed: parameters with different names"),
        (
            {"parameters": [PARAMETERS[0], PARAMETERS[0] | {"name": "again", "field": "pulse[0].share"}]},
            r"parameters\[1\].field: .*allowed: each field once, and parameters\[0\].field has this one",
        ),
        ({"set": {"pulse.share": 0.3}}, r"allowed: each field once, and set.pulse.share has this one"),
        ({"parameters": [PARAMETERS[0] | {"values": [0.1, 2]}]}, r"point share=2: pulse\[0\].share: got 2"),
        ({"parameters": [{"name": "a", "field": "pulse.share"}]}, "allowed: either values or prior"),
        ({"scenario": "tinny"}, "scenario: got 'tinny'; .*did you mean tiny"),
        ({"scenario": "other.yaml"}, "a file that can be read"),
        ({"generations": 1000}, r"generations: got 1000; allowed: 1 to 31 \(today\)"),
        ({"replicates": 0}, "replicates: got 0; allowed: a whole number from 1"),
        ({"burnins": 10_000, "replicates": 100_000}, "allowed: at most 1,000,000 points"),
        ({"branch": "p10"}, "got 'p10'; allowed: one of main"),
    ],
    ids=lambda value: None if isinstance(value, str) else json.dumps(value)[:40],
)
def test_a_bad_grid_is_refused_in_one_line(made, changes, line):
    with pytest.raises(InputError, match=line) as caught:
        made(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ({"kind": "unifrm", "low": 0, "high": 1}, "did you mean uniform"),
        ({"kind": "uniform", "low": 1, "high": 1}, "a number above low, which is 1, as high"),
        ({"kind": "uniform", "low": 0, "high": math.inf}, "prior.high: got inf; allowed: a finite number"),
        ({"kind": "uniform", "low": math.nan, "high": 1}, "prior.low: got nan; allowed: a finite number"),
        ({"kind": "log-uniform", "low": 0, "high": 1}, "a number above 0 as low of a log-uniform prior"),
        ({"kind": "normal", "mean": 0, "sd": 0}, "a finite number above 0"),
        ({"kind": "normal", "mean": 0, "sd": 1, "low": 9, "high": 10}, "more than a millionth"),
        ({"kind": "list", "values": []}, "a list of at least one value"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_prior_is_refused(tmp_path, prior, words):
    file = write(tmp_path, draws=2, parameters=[PRIOR | {"prior": prior}])
    file.write_text(file.read_text().replace("Infinity", ".inf").replace("NaN", ".nan"))
    with pytest.raises(InputError, match=words):
        grid.load(file)


@pytest.mark.parametrize(
    ("prior", "cdf"),
    [
        (grid.Uniform(low=2.0, high=6.0), lambda x: (x - 2) / 4),
        (grid.LogUniform(low=0.01, high=1.0), lambda x: 1 + math.log10(x) / 2),
        (grid.Normal(mean=5.0, sd=2.0), NormalDist(5, 2).cdf),
        (grid.Normal(mean=5.0, sd=2.0, low=5.0), lambda x: 2 * NormalDist(5, 2).cdf(x) - 1),
    ],
    ids=["uniform", "log-uniform", "normal", "half a normal"],
)
def test_draws_follow_their_prior(prior, cdf):
    """Kolmogorov-Smirnov against the distribution function; false alarms: 1 in 1,000 (seeds are fixed)."""
    parameter = grid.Parameter(name="a", field="pulse.share", prior=prior)
    n = 2000
    levels = sorted(cdf(parameter.draw(1, i)) for i in range(n))
    limit = 1.95 / math.sqrt(n)
    assert max(abs(level - (i + 0.5) / n) for i, level in enumerate(levels)) < limit
    # the same statistic sees a prior whose end is a twentieth off
    assert max(abs(0.9 * level - (i + 0.5) / n) for i, level in enumerate(levels)) > limit


def test_whole_draws_and_choices():
    whole = grid.Parameter(name="a", field="x", prior=grid.Uniform(low=10.0, high=20.0, whole=True))
    assert {type(whole.draw(1, i)) for i in range(20)} == {int}
    choice = grid.Parameter(name="a", field="x", prior=grid.Choice(values=("u", "v")))
    assert {choice.draw(1, i) for i in range(20)} == {"u", "v"}


def test_points_are_crossed_with_burnins_and_replicates(made):
    p = made(burnins=2, replicates=3)
    assert len(p.points) == 2 * 2 * 2 * 3 == p.study.count()
    assert len({point.key for point in p.points}) == len({point.seed for point in p.points}) == 24
    # pulses share the histories, dominances and burn-ins do not
    assert len(p.histories) == 4
    used = {(point.setting.values[1], point.burnin, point.history) for point in p.points}
    assert len(used) == 4 and {h for _, _, h in used} == {0, 1, 2, 3}


GROWN = {
    "a value": {"parameters": [PARAMETERS[0] | {"values": [0.05, 0.2, 0.1, 0.3]}, PARAMETERS[1]]},
    "burn-ins": {"burnins": 3},
    "replicates": {"replicates": 5},
    "a column's name and label": {"parameters": [PARAMETERS[0] | {"name": "p", "label": "pulse"}, PARAMETERS[1]]},
    "order": {"parameters": PARAMETERS[::-1]},
    "the sweep's name": {"name": "other"},
}


@pytest.mark.parametrize("how", GROWN)
def test_a_grid_that_grows_keeps_its_points(made, how):
    before = {identity(point) for point in made(replicates=2).points}
    after = {identity(point) for point in made(**{"replicates": 2} | GROWN[how]).points}
    assert before <= after


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"generations": 20}, {"set": {"selection.mutation_rate": 1e-7}}, {"set": {"start.relax": 30}}],
    ids=json.dumps,
)
def test_what_decides_numbers_changes_the_keys(made, change):
    before = {point.key for point in made().points}
    assert before.isdisjoint(point.key for point in made(**change).points)


def test_more_draws_or_another_prior_move_no_draw(made):
    other = {"name": "size", "field": "demography.demes.archaic.epochs[0].start_size"}
    other["prior"] = {"kind": "uniform", "low": 10, "high": 20, "whole": True}
    few, many = made(draws=5, parameters=[PRIOR]), made(draws=9, parameters=[PRIOR])
    assert [identity(p) for p in few.points] == [identity(p) for p in many.points][:5]
    both = made(draws=5, parameters=[PRIOR, other])
    assert [p.setting.values[0] for p in both.points] == [p.setting.values[0] for p in few.points]


def test_equal_draws_are_different_points(made):
    choice = PRIOR | {"prior": {"kind": "list", "values": [0.1]}}
    assert len({point.key for point in made(draws=4, parameters=[choice]).points}) == 4


def test_a_plan_comes_back_from_its_file(made, tmp_path):
    p = made(burnins=2)
    file = plan.write(p, tmp_path / "sweep")
    assert plan.read(tmp_path / "sweep") == p
    again = file.read_bytes()
    plan.write(made(burnins=2), tmp_path / "sweep")
    assert file.read_bytes() == again
    assert [f.name for f in (tmp_path / "sweep").iterdir()] == [plan.FILE]


def test_a_plan_that_is_not_as_it_was_written(made, tmp_path):
    folder = tmp_path / "sweep"
    with pytest.raises(InputError, match="the directory of a sweep"):
        plan.read(folder)
    file = plan.write(made(), folder)
    text = file.read_text()
    for old, new, words in (
        ('"seed":1', '"seed":2', "changed by hand"),
        (f'"format":{plan.FORMAT}', '"format":0', "one of this admix"),
        (text[-200:], "", "a whole plan"),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=words) as caught:
            plan.read(folder)
        assert "\n" not in str(caught.value) and "makes it again" in str(caught.value)


def test_an_unwritable_directory_is_one_line(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written") as caught:
        plan.write(made(), tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_the_store_keeps_results_and_the_last_error(tmp_path):
    kept = store.Store(tmp_path)
    assert kept.finished() == kept.failed() == set()
    kept.blame("ab1", "first")
    kept.blame("ab1", "second")
    kept.blame("cd2", "other")
    assert kept.failed() == {"ab1", "cd2"}
    found = kept.error("ab1")
    assert (found["error"], found["attempts"]) == ("second", 2)
    kept.keep("ab1", {"x": 1})
    assert kept.failed() == {"cd2"} and kept.finished() == {"ab1"} and kept.error("ab1")["attempts"] == 0
    assert kept.result("ab1")["x"] == 1
    (tmp_path / "results/ab/ab1.json").write_text("{")
    with pytest.raises(RunError, match="damaged; remove it"):
        kept.result("ab1")
    # a file under way counts for nothing
    (tmp_path / "results/ab/.ab9.json.12.x").write_text("{}")
    assert kept.finished() == {"ab1"}
