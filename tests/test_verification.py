# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts have the false-alarm rate and the power that they state; every statistic has a control that must fail."""

import json
import math

import numpy as np
import pytest

from admix.engines.slim import program
from admix.scenario import Scenario
from admix.verification import checks, engines
from admix.verification.checks import FAIL, PASS, Row, compare
from admix.verification.engine_scenarios import SCENARIOS, tree_of
from admix.verification.store import Store

SLIM = program.find()


def test_the_test_rejects_equal_samples_as_often_as_it_says():
    """4,000 pairs of equal populations at a level of 5 %, of which 5 standard errors are 1.7 %."""
    rng = np.random.default_rng(1)
    rejected = sum(not compare(rng.normal(size=20), 3 * rng.normal(size=30), 0.05)[-1] for _ in range(4_000))
    assert 0.033 < rejected / 4_000 < 0.067


def test_the_power_is_that_of_a_difference_as_large_as_the_one_seen():
    """A shift of 4.5 standard errors at a level of 1e-4 (critical value 3.95 with 98 degrees of freedom or so)."""
    rng = np.random.default_rng(2)
    seen = [compare(rng.normal(size=50), rng.normal(0.9, 1, size=50), 1e-4) for _ in range(400)]
    rejected = np.mean([not equal for *_, equal in seen])
    assert 0.5 < rejected < 0.85 and abs(np.mean([power for _, power, *_ in seen]) - rejected) < 0.1


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [([1.0] * 5, [1.0] * 5, True), ([1.0] * 5, [1.001] * 5, False), ([0.0] * 3, [0.0] * 9, True)],
    ids=["same constant", "other constant", "zeros"],
)
def test_samples_without_scatter(a, b, equal):
    assert compare(a, b, 1e-3)[-1] is equal


def test_values_that_are_missing():
    assert compare([1.0, math.nan, 1.1, 0.9], [1.0, 1.1, math.nan, 0.95], 1e-3)[-1]
    assert not compare([math.nan] * 4, [1.0] * 4, 1e-3)[-1]  # nothing to compare is no agreement


def made(shift: float, spread: float = 1.0, runs: int = 50, seed: int = 1) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    names = [f"ancestry, generation {g}" for g in engines.GENERATIONS] + ["tracts per haplotype"]
    return [{name: float(rng.normal(shift, spread)) for name in names} for _ in range(runs)]


def test_verdicts_of_a_suite():
    good, other = made(0, seed=1), made(0, seed=2)
    results = {
        ("additive", "native"): good, ("additive", "slim"): other,
        ("additive", "control share"): made(3, seed=3), ("additive", "control recombination"): made(0.05, seed=4),
    }  # fmt: skip
    rows = engines.verdicts(results)
    of = {(row.check, row.statistic): row for row in rows}
    assert all(row.verdict == PASS for row in rows if row.check == "engines: additive")
    assert of["control: share of the pulse x 1.6", "ancestry, generation 5"].verdict == PASS
    # a control that is not seen fails the suite: the comparison could not have seen such a fault
    assert of["control: crossovers x 3", "tracts per haplotype"].verdict == FAIL
    assert not checks.passed(rows)
    assert of["engines: additive", "ancestry, generation 5"].power > 0.99
    assert of["engines: additive", "tracts per haplotype"].power < 0.5
    # a real difference is seen
    rows = engines.verdicts(results | {("additive", "slim"): made(1.5, seed=5)})
    assert next(r for r in rows if r.statistic == "ancestry, generation 2").verdict == FAIL


def test_every_statistic_has_one_control():
    """Those of a run and those of a history; a statistic without one could be blind."""
    run = [*(f"ancestry, generation {g}" for g in engines.GENERATIONS)]
    run += [f"ancestry sd, generation {g}" for g in engines.GENERATIONS]
    run += [f"{what}, generation {g}" for g in (2, 10, 41) for what in ("log fitness", "load of archaic alleles")]
    run += [
        "genealogical ancestors",
        "pedigree paths",
        "tracts per haplotype",
        "tract length, markers",
    ]
    run += list(engines._of_counts(np.array([-0.1]), np.array([3]), 40))
    for name in run:
        own = [
            wrong for wrong, control in engines.CONTROLS.items() if control.scenario != engines.HISTORY
            and any(name == s or (name.startswith(s) and not s[-1].isdigit()) for s in control.statistics)
        ]  # fmt: skip
        assert len(own) == 1, name


def test_mutations_are_counted_by_effect_and_frequency():
    s = np.array([-1e-5, -1e-3, -0.5, -1e-5, -1e-3])
    found = engines._of_counts(s, np.array([1, 2, 3, 40, 0]), 40)
    assert found["segregating, -s 0 to 0.0001, singletons"] == 1 and found["fixed"] == 1
    assert found["segregating, -s 0.0001 to 0.01, rare"] == 1 and found["segregating, -s 0.01 to 2, common"] == 1
    assert sum(found.values()) == 4


def test_tracts_are_counted_along_markers():
    labels = np.array([[0, 1, 1, 0, 1], [1, 1, 2, 2, 0]])
    assert engines._of_marks(labels, 0) == {"tracts per haplotype": 1.5, "tract length, markers": 5 / 3}
    assert math.isnan(engines._of_marks(np.zeros((2, 5), int), 0)["tract length, markers"])


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_scenarios_can_be_played(name):
    assert Scenario.from_tree(tree_of(name)).sampling.individuals


def test_an_interrupted_suite_goes_on(tmp_path):
    calls = []

    def make(value):
        calls.append(value)
        return {"x": value, "y": math.nan}

    bench = Store(tmp_path / "runs.jsonl")
    bench.obtain("a", lambda: make(1.0))
    bench.obtain("b", lambda: make(2.0))
    text = (tmp_path / "runs.jsonl").read_text()
    (tmp_path / "runs.jsonl").write_text(text + '\n["c", {"x": 3')  # ended in the middle of a line
    again = Store(tmp_path / "runs.jsonl")
    again.load()
    assert again.obtain("a", lambda: make(9.0))["x"] == 1.0 and math.isnan(again.results["b"]["y"])
    again.obtain("c", lambda: make(3.0))
    assert calls == [1.0, 2.0, 3.0]
    last = Store(tmp_path / "runs.jsonl")
    last.load()
    assert set(last.results) == {"a", "b", "c"}
    assert json.loads((tmp_path / "runs.jsonl").read_text().splitlines()[0])[0] == "a"


def test_the_table(tmp_path):
    row = Row(
        check="c", statistic="s", expected=1.0, source="theory", observed=1.5, n=5, tolerance=0.2, derivation="t",
        power=0.9, verdict=FAIL,
    )  # fmt: skip
    checks.write_rows([row], tmp_path / "t.tsv")
    head, line = (tmp_path / "t.tsv").read_text().splitlines()
    assert head.split("\t") == ["check", "statistic", "expected", "source", "observed", "n", "tolerance",
                                "derivation", "p", "power", "verdict", "note"]  # fmt: skip
    assert line.split("\t") == ["c", "s", "1", "theory", "1.5", "5", "0.2", "t", "nan", "0.9", "FAIL", ""]
    assert "FAIL   s" in checks.screen([row]) and "0 of 1 pass" in checks.screen([row])


def test_names_of_checks_are_unique():
    assert checks.REGISTRY["engines"].run is engines.agreement
    with pytest.raises(ValueError, match="two checks"):
        checks.register("engines", "again")(engines.agreement)


@pytest.mark.slim
@pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH, in $SLIM or named otherwise")
def test_a_suite_of_three_runs(tmp_path, monkeypatch):
    monkeypatch.setitem(engines.SUITES, "quick", engines.Suite(("one chromosome, strong effects", engines.HISTORY), 3))
    options = {"suite": "quick", "seed": 1, "folder": tmp_path}
    rows = engines.agreement(options)
    assert {row.check for row in rows} == {
        "engines: one chromosome, strong effects", "engines: history", "control: mutation rate x 2"
    }  # fmt: skip
    assert all(row.n == 3 and (math.isfinite(row.expected) or "tract" in row.statistic) for row in rows)
    monkeypatch.setattr(engines, "_slim_run", None)  # all of it is there already
    assert list(map(str, engines.agreement(options))) == list(map(str, rows))
