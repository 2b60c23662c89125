# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of choices: what varies, that it varies alone, and what is said of it."""

import functools

import numpy as np
import pytest

from admix import cli, sensitivity
from admix.cli_process import execute
from admix.prediction import predict
from admix.scenario import load


@functools.cache
def table():
    return sensitivity.sensitivity(load("tiny"))


def today(variant, branch="p10"):
    rows = table()
    return rows[(rows["variant"] == variant) & (rows["branch"] == branch)]["today"].iloc[0]


def test_the_choices_that_are_asked_for_are_there():
    made = sensitivity.variants(load("reich"))
    groups = {v.group for v in made}
    assert groups == {"as it is", "effects and target", "dominance", "archaic N", "map"}
    effects = [v for v in made if v.group == "effects and target"]
    found = {
        (v.scenario.genome.target, f"{v.scenario.selection.mutation_rate:.3g}", v.scenario.selection.dfe.name)
        for v in effects
    }
    assert found >= {
        ("exons", "1e-08", "eyre-walker2006"), ("exons", "7e-09", "eyre-walker2006"), ("cds", "9.03e-09", "kim2017"),
        ("cds", "9.03e-09", "kyriazis2023"),
    }  # fmt: skip
    sizes = {v.scenario.graph["neanderthal"].epochs[0].start_size for v in made if v.group == "archaic N"}
    assert sizes == {500, 2000, 3000}
    assert all(v.scenario.graph["modern"].epochs[0].start_size == 10_000 for v in made)


def test_what_a_line_names_for_set_gives_that_line():
    for variant in sensitivity.variants(load("reich")):
        assert load("reich").with_set(variant.assignments) == variant.scenario, variant.name


def test_the_answer_moves_as_theory_says():
    assert today("tiny") == pytest.approx(predict(load("tiny")).trajectory.query("branch == 'p10'").iloc[-1, 5])
    assert today("h = 0.5") == today("tiny")
    assert today("x 0.5") < today("tiny") < today("x 2") < today("x 3")
    assert today("h = 0.5") < today("h = 0.25") < today("h = 0")
    assert today("Eyre-Walker 2006, exons, 1e-8") < today("Eyre-Walker 2006, exons, 7e-9")
    assert today("uniform in each chromosome") != today("tiny")
    assert np.all(table()["today_low"] <= table()["today"]) and np.all(table()["today"] <= table()["today_high"])


def test_a_uniform_map_keeps_the_length_and_the_mean_recombination():
    real, even = (predict(load("tiny"), uniform_map=flag) for flag in (False, True))
    assert even.morgans == real.morgans
    assert even.rbar == pytest.approx(real.rbar, abs=0.02) and even.rbar != real.rbar


def test_the_command_prints_the_range_and_writes_the_table(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sensitivity, "sensitivity", lambda scenario, report: table())
    out = tmp_path / "choices.tsv"
    assert execute(cli.app, ["sensitivity", "--scenario", "tiny", "--out", str(out), "-q"]) == 0
    text = capsys.readouterr().out
    assert "p10: " in text and "over all of these choices" in text and "by effects and target" in text
    assert "nothing was simulated" in text and "the X chromosome, sex bias" in text
    lines = out.read_text().splitlines()
    assert len(lines) == 1 + len(table()) and lines[0].split("\t")[-1] == "set"
    assert execute(cli.app, ["sensitivity", "tiny"]) == 2
    assert "did you mean --scenario tiny?" in capsys.readouterr().err
