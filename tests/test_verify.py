# SPDX-License-Identifier: GPL-3.0-or-later
"""``admix verify``: verdicts and their controls, checks that see a fault, suites that go on, the table and the page."""

import csv
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from admix import theory
from admix.cli import app
from admix.errors import InputError
from admix.verification import against_papers, against_theory, checks, paper_runs, suite, verdicts, worlds
from admix.verification.checks import FAIL, NOTED, PASS, REGISTRY, Check
from admix.verification.paper_runs import Simulated
from admix.verification.verdicts import LEVEL, Wrong, deviation_rows, mean_rows, range_rows, ratio_rows


def sample(mean=1.0, sd=0.1, n=40, seed=1):
    return np.random.default_rng(seed).normal(mean, sd, n)


def told(rows):
    return [row.verdict for row in rows]


# ------------------------------------------------------------------ verdicts


def test_a_mean_passes_and_its_control_is_refused():
    rows = mean_rows("c: part", "s", sample(), 1.0, "theory", Wrong("twice", 2.0))
    assert told(rows) == [PASS, PASS]
    assert [row.check for row in rows] == ["c: part", "control: c, twice"]
    assert rows[0].power > 0.9999 and 0 < rows[0].p <= 1 and rows[1].p < LEVEL
    assert "n - 1" in rows[0].derivation


def test_a_wrong_mean_fails():
    assert told(mean_rows("c", "s", sample(1.2), 1.0, "theory", Wrong("twice", 2.0))) == [FAIL, PASS]


def test_a_control_that_is_not_refused_fails():
    rows = mean_rows("c", "s", sample(), 1.0, "theory", Wrong("hardly wrong", 1.01))
    assert told(rows) == [PASS, FAIL] and rows[0].power < 0.01


def test_what_is_allowed_to_a_theory_is_added():
    x = sample(1.15)
    assert told(mean_rows("c", "s", x, 1.0, "t", Wrong("w", 2.0)))[0] == FAIL
    rows = mean_rows("c", "s", x, 1.0, "t", Wrong("w", 2.0), slack=0.15)
    assert rows[0].verdict == PASS and rows[0].p > LEVEL and "15 %" in rows[0].derivation


def test_the_stated_power_is_the_share_of_controls_that_are_refused():
    """Controls five and a half standard errors off, of 600 samples: 5 standard errors of a share are below 0.1."""
    wrong = Wrong("a little", 1 + 5.5 * 0.1 / math.sqrt(40))
    rows = [mean_rows("c", "s", sample(seed=k), 1.0, "t", wrong) for k in range(600)]
    refused = np.mean([control.verdict == PASS for _, control in rows])
    assert 0.2 < refused < 0.98 and abs(refused - np.mean([row.power for row, _ in rows])) < 0.1


def test_p_values_are_uniform_where_all_is_right():
    p = [mean_rows("c", "s", sample(seed=k), 1.0, "t", Wrong("w", 2.0))[0].p for k in range(500)]
    p += [deviation_rows("c", "s", sample(seed=k), 0.1, "t", Wrong("w", 0.5))[0].p for k in range(500)]
    assert np.abs(np.sort(p) - (np.arange(1000) + 0.5) / 1000).max() < 2.3 / math.sqrt(1000)  # Kolmogorov, 5e-5


def test_a_ratio_of_sums():
    rng = np.random.default_rng(2)
    whole = rng.uniform(5, 15, 50)
    part = 3 * whole + rng.normal(0, 1, 50)
    assert told(ratio_rows("c", "s", part, whole, 3.0, "t", Wrong("w", 3.5))) == [PASS, PASS]
    assert told(ratio_rows("c", "s", part, whole, 3.5, "t", Wrong("w", 9.0))) == [FAIL, PASS]


def test_a_standard_deviation():
    assert told(deviation_rows("c", "s", sample(n=60), 0.1, "t", Wrong("w", 0.3))) == [PASS, PASS]
    rows = deviation_rows("c", "s", sample(n=60), 0.3, "t", Wrong("w", 0.1))
    assert told(rows) == [FAIL, FAIL] and rows[0].p < LEVEL


def test_a_range_and_a_known_difference():
    assert told(range_rows("c", "s", 1.5, 1, 2, "p", "d", Wrong("w", 3))) == [PASS, PASS]
    assert told(range_rows("c", "s", 2.5, 1, 2, "p", "d", Wrong("w", 1.5))) == [FAIL, FAIL]
    (noted,) = range_rows("c", "s", 2.5, 1, 2, "p", "d", None, known="coding only")
    assert noted.verdict == NOTED and noted.note == "coding only"
    # a reason that no longer holds is a failure too
    (stale,) = range_rows("c", "s", 1.5, 1, 2, "p", "d", None, known="coding only")
    assert stale.verdict == FAIL and "although coding only" in stale.note
    with pytest.raises(ValueError, match="control or a known reason"):
        range_rows("c", "s", 1.5, 1, 2, "p", "d", None)


def test_noted_rows_are_no_failures():
    (noted,) = range_rows("c", "s", 2.5, 1, 2, "p", "d", None, known="coding only")
    assert checks.passed([noted]) and "coding only" in checks.screen([noted])
    assert not checks.passed([noted, replace(noted, verdict=FAIL)])


# ------------------------------------------------------------------ checks see faults


SMALL = {"suite": "smoke", "seed": 1, "say": lambda text: None}


@pytest.fixture
def few(monkeypatch):
    """Sizes at which a check takes a second."""
    for name, size in (
        ("_TWO_LOCUS", against_theory._TwoLocus(1_000, 12, 0.3, ((-0.2, 0.5),), (2, 5))),
        ("_NEUTRAL", against_theory._Neutral(300, 12, (2, 3, 10))),
        ("_PURGING", against_theory._Purging(500, 12, (2, 3))),
        ("_BALANCE", against_theory._Balance(20, 12, 100, 150)),
        ("_TRACTS", (60, 20, 12)),
    ):
        monkeypatch.setitem(getattr(against_theory, name), "smoke", size)


def own(rows):
    return [row for row in rows if not row.check.startswith("control:")]


@pytest.mark.parametrize("name", ["two-locus", "neutral", "purging", "balance", "tracts"])
def test_small_simulations_agree_with_theory(few, tmp_path, name):
    """Too small for the controls, whose power is that of the real sizes."""
    rows = own(REGISTRY[name].run(SMALL | {"folder": tmp_path}))
    assert rows and all(row.verdict == PASS for row in rows), checks.screen(rows)


def test_a_wrong_effect_is_seen(few, tmp_path, monkeypatch):
    def planted(axis, s, h):
        return worlds.Planted(axis, 2 * s, h)

    monkeypatch.setattr(against_theory, "Planted", planted)
    rows = own(against_theory.two_locus(SMALL | {"folder": tmp_path}))
    assert sum(row.verdict == FAIL for row in rows) > len(rows) / 2


def test_a_wrong_number_of_crossovers_is_seen(few, tmp_path, monkeypatch):
    monkeypatch.setattr(against_theory, "expected_rate", lambda chosen: 40.0)
    assert FAIL in told(own(against_theory.tracts(SMALL | {"folder": tmp_path})))


def test_finished_runs_are_not_made_again(few, tmp_path, monkeypatch):
    options = SMALL | {"folder": tmp_path}
    first = against_theory.balance(options)
    monkeypatch.setattr(against_theory, "_balanced", None)
    assert list(map(str, against_theory.balance(options))) == list(map(str, first))


def test_founders_level_off():
    assert against_theory.founders(10_000, 40) == pytest.approx(theory.NEUTRAL_SURVIVAL, abs=1e-4)
    assert against_theory.founders(1_000, 1) == pytest.approx(1 - math.exp(-2), abs=1e-3)


@pytest.mark.parametrize("name", ["ancestors", "recombination", "dfe"])
def test_published_numbers_without_a_forecast(name):
    rows = REGISTRY[name].run({"seed": 1})
    assert all(row.verdict != FAIL for row in rows), checks.screen(rows)


def test_the_independent_sum_over_pairs():
    genome = SimpleNamespace(
        chrom_axis=np.array([0, 100, 200], np.uint64), chrom_morgans=np.array([1.0, 2.0]),
        marker_axis=np.array([10, 60, 150], np.uint64), marker_weight=np.array([1, 1, 2]),
    )  # fmt: skip
    r = float(theory.haldane(0.5))
    # ordered pairs: the first two with each other, and half of all weight with the other half
    assert against_papers._pairwise_rbar(genome) == pytest.approx(2 * r / 16 + 0.5 * 0.5)


# ------------------------------------------------------------------ rows of simulated papers


def table(shares, n=4, **columns):
    rows = [
        {"replicate": k, "generation": g, "ancestry_mean": p * (1 + 0.01 * k)} | {c: v[g] for c, v in columns.items()}
        for g, p in shares.items() for k in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def petr(ratio, S=(0.80, 0.78, 0.76, 0.74)):
    shares = {1: 0.0993} | {g: p / 100 * 0.98 for g, p in against_papers.PETR_SHARES.items()} | {20: 0.023}
    far = {g: 0.0235 + 0.0245 * (g == 2) + 0.0758 * (g == 1) for g in shares}
    inside = {g: far[g] * (ratio if g == 2200 else 0.99) for g in shares}
    return Simulated(np.array(S), table(shares, ancestry_functional=inside, ancestry_far=far))


def test_shares_are_read_at_the_published_cost():
    runs = Simulated(np.array([0.7, 0.8, 0.9]), table({5: 1.0}, n=3))
    runs.trajectory["ancestry_mean"] = np.exp(-2 * np.array([0.7, 0.8, 0.9]))
    assert runs.read_at(0.766, 5) == pytest.approx(math.exp(-2 * 0.766))


def test_depletion_in_coding_sequence_is_noted_not_tuned():
    rows = {(r.check, r.statistic): r for r in paper_runs.petr_rows(petr(0.83))}
    found = rows["petr2019-runs: E3", "coding / gap, living people"]
    assert found.verdict == NOTED and "coding sequence alone" in found.note
    assert rows["petr2019-runs: P3", "exons / far from them, generation 2200"].verdict == PASS
    step = "exons < all < far from exons, least step, % points, generation 2,200"
    assert rows["petr2019-runs: J2", step].verdict == PASS
    plateau = rows["petr2019-runs: J2", "far from exons, share left in generation 2,200, read at S = 0.766"]
    assert plateau.verdict == PASS and plateau.observed == pytest.approx(0.0235 / 0.0993)
    flat = {(r.check, r.statistic): r for r in paper_runs.petr_rows(petr(1.0))}
    assert flat["petr2019-runs: E3", "coding / gap, living people"].verdict == FAIL
    assert flat["petr2019-runs: J2", step].verdict == FAIL
    assert flat["petr2019-runs: P3", "exons / far from them, generation 2200"].verdict == FAIL


def test_rows_of_harris_and_nielsen():
    load = {2: 1, 10: 1, 2000: 0.01}
    additive = Simulated(np.full(3, 0.573), table({2: 0.059, 10: 0.035, 2000: 0.031}, 3, load_archaic=load))
    recessive = Simulated(np.full(3, 0.98), table({2: 0.038, 10: 0.084, 2000: 0.09}, 3))
    rows = paper_runs.harris_rows({0.5: additive, 0.1: additive, 0: recessive})
    assert all(row.verdict == PASS for row in rows), checks.screen(rows)
    swapped = paper_runs.harris_rows({0.5: replace(recessive, trajectory=recessive.trajectory.assign(load_archaic=0.0)),
                                      0.1: additive, 0: additive})  # fmt: skip
    assert all(row.verdict == FAIL for row in own(swapped)), checks.screen(swapped)


# ------------------------------------------------------------------ suites


@pytest.fixture
def registry(monkeypatch):
    """Two checks in place of the real ones; ``calls`` counts."""
    calls = []

    def make(name, observed):
        def run(options):
            calls.append((name, options["suite"], options["seed"]))
            return range_rows(f"{name}: part", "s", observed, 1, 2, "paper", "stated", Wrong("w", 3))

        return run

    made = {
        "good": Check(name="good", title="passes", run=make("good", 1.5)),
        "bad": Check(name="bad", title="fails", run=make("bad", 5.0), suites=("full",)),
    }
    monkeypatch.setattr(checks, "REGISTRY", made)
    monkeypatch.setattr(suite, "REGISTRY", made)
    return SimpleNamespace(calls=calls, checks=made)


def test_a_suite_writes_table_page_and_picture(registry, tmp_path):
    outcome = suite.run([], suite="full", seed=3, folder=tmp_path)
    with outcome.table.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["check"] for row in rows] == ["good: part", "control: good, w", "bad: part", "control: bad, w"]
    assert [row["verdict"] for row in rows] == [PASS, PASS, FAIL, PASS]
    assert {"expected", "source", "observed", "n", "tolerance", "derivation", "p", "power"} < set(rows[0])
    page = outcome.page.read_text()
    assert page.startswith("# Verification: FAILED") and "## Failures" in page and "![" in page
    assert (tmp_path / "verify.png").stat().st_size > 1000


def test_a_suite_goes_on_where_it_was(registry, tmp_path):
    first = suite.run(["good"], suite="smoke", seed=1, folder=tmp_path)
    again = suite.run(["good"], suite="smoke", seed=1, folder=tmp_path)
    assert registry.calls == [("good", "smoke", 1)] and list(map(str, first.rows)) == list(map(str, again.rows))
    # not from another seed, size or version, nor from a file that was cut off
    suite.run(["good"], suite="smoke", seed=2, folder=tmp_path)
    suite.run(["good"], suite="quick", seed=1, folder=tmp_path)
    registry.checks["good"] = replace(registry.checks["good"], version=2)
    suite.run(["good"], suite="smoke", seed=1, folder=tmp_path)
    kept = tmp_path / "rows" / "good-smoke-1.json"
    kept.write_text(kept.read_text()[:-9])
    suite.run(["good"], suite="smoke", seed=1, folder=tmp_path)
    assert len(registry.calls) == 5


def test_a_missing_number_is_kept(registry, tmp_path):
    row = verdicts.noted_row("good: x", "s", 0.2, "paper", "out of scope")
    registry.checks["good"] = replace(registry.checks["good"], run=lambda options: [row])
    for _ in range(2):
        (found,) = suite.run([], suite="smoke", seed=1, folder=tmp_path).rows
        assert math.isnan(found.observed) and found.verdict == NOTED
    assert json.loads((tmp_path / "rows" / "good-smoke-1.json").read_text())["rows"][0]["observed"] is None


@pytest.mark.parametrize(("names", "size"), [(["goood"], "smoke"), ([], "smokey")], ids=["name", "suite"])
def test_unknown_names(registry, names, size, tmp_path):
    with pytest.raises(InputError, match="good" if names else "smoke"):
        suite.run(names, suite=size, seed=1, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_suites_have_what_belongs_to_them(registry):
    assert [c.name for c in suite.chosen([], "smoke")] == ["good"]
    assert [c.name for c in suite.chosen([], "full")] == ["good", "bad"]
    assert [c.name for c in suite.chosen(["bad", "bad"], "smoke")] == ["bad"]


@pytest.mark.parametrize(("names", "code"), [(["good"], 0), (["good", "bad"], 1)], ids=["all pass", "one fails"])
def test_the_command(registry, names, code, tmp_path):
    result = CliRunner().invoke(app, ["verify", *names, "--suite", "smoke", "--out", str(tmp_path), "-q"])
    assert result.exit_code == code, result.output
    assert "verify.tsv" in result.output and "pass" in result.output


def test_checks_are_listed(registry):
    result = CliRunner().invoke(app, ["verify", "--list"])
    assert result.exit_code == 0 and result.output.splitlines()[0].startswith("good  passes")


def test_engines_is_a_name_and_not_in_the_smaller_suites():
    assert "engines" in REGISTRY and REGISTRY["engines"].suites == ("full",)
    smoke = [c.name for c in suite.chosen([], "smoke")]
    assert {"neutral", "two-locus", "purging", "tracts", "balance", "petr2019", "harris-nielsen2016"} < set(smoke)
    assert not {"engines", "petr2019-runs"} & set(smoke)
