# SPDX-License-Identifier: GPL-3.0-or-later
"""``admix check``: a good run passes, and every kind of lie is found, also one that has a good manifest."""

import json
import shutil

import pandas as pd
import processes
import pytest
import small

from admix import results, run_pages, simulate
from admix.cli import app
from admix.cli_process import execute
from admix.inspection import inspect
from admix.scenario import Scenario
from admix.simulate import RunOptions

TREE = small.tree(**processes.SEVERAL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        options = RunOptions(
            out=base / "run", cache_dir=base / "cache", threads=1, twin="neutral", replicates=2, keep_parents=True
        )
        simulate.run(Scenario.from_tree(TREE), options)
    return base


def found(made, path, **how):
    return {f.name: f for f in inspect(path, cache_dir=made / "cache", threads=1, **how)}


def test_a_good_run_is_good(made, capsys):
    findings = found(made, made / "run", seed=3)
    assert {f.state for f in findings.values()} == {"ok"}, [f.line for f in findings.values()]
    assert len(findings) == 12
    words = ["check", str(made / "run"), "--generation", "4", "--cache-dir", str(made / "cache"), "--threads", "1"]
    assert execute(app, words) == 0
    assert "again: generation 4 of branch " in capsys.readouterr().out
    words[words.index("4")] = "99"
    assert execute(app, words) == 2
    assert capsys.readouterr().err == "admix: --generation: got 99; allowed: 1 to 31\n"


def lie(made, tmp_path, name, change):
    """A copy of the run with a changed file and a manifest that says so."""
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    if name.endswith(".tsv"):
        frame = pd.read_csv(run / name, sep="\t", keep_default_na=False, dtype=str)
        change(frame).to_csv(run / name, sep="\t", index=False, lineterminator="\n")
    else:
        value = json.loads((run / name).read_text(encoding="utf-8"))
        change(value)
        (run / name).write_text(json.dumps(value), encoding="utf-8")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = {"sha256": results.sha256(run / name), "bytes": (run / name).stat().st_size}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return run


def cell(column, value, row=5):
    def change(frame):
        frame.loc[row, column] = str(value)
        return frame

    return change


LIES = {
    "a branch that is missing": ("trajectory.tsv", lambda f: f[f["branch"] != "p40"], "runs"),
    "a generation that is missing": ("trajectory.tsv", lambda f: f.drop(index=9), "time"),
    "a date": ("trajectory.tsv", cell("years_bp", 3), "time"),
    "a size": ("trajectory.tsv", cell("n_individuals", 41), "time"),
    "percentiles": ("trajectory.tsv", cell("ancestry_p05", 1), "shares"),
    "a spread": ("trajectory.tsv", cell("ancestry_sd", 0.6), "shares"),
    "a mean in the first generation": ("trajectory.tsv", cell("ancestry_mean", 0.25, 0), "pulses"),
    "what was asked for": ("pulse.tsv", cell("requested", 0.3, 0), "pulses"),
    "a head-count": ("ancestors.tsv", cell("value", 0.5, 0), "pulses"),
    "the DNA of the living": (
        "ancestors.tsv",
        lambda f: f.assign(value=f["value"].where(f["measure"] != "dna", "0.123")),
        "ancestors",
    ),
    "a window": ("landscape.tsv", cell("end", 5, 0), "landscape"),
    "windows that are missing": ("landscape.tsv", lambda f: f.iloc[1:], "landscape"),
    "ancestry of a window": ("landscape.tsv", cell("ancestry", 0.9, 200), "landscape"),
    "a histogram": ("spread.tsv", cell("count", 77, 3), "spread"),
    "the summary": ("summary.json", lambda v: v["entries"][0].update(realised=0.11), "summary"),
    "a column that no law binds": (
        "trajectory.tsv",
        lambda f: f.assign(ancestry_sd=(0.999 * f["ancestry_sd"].astype(float)).map("{:.10g}".format)),
        "again",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found(made, tmp_path, name):
    file, change, law = LIES[name]
    run = lie(made, tmp_path, file, change)
    assert results.validate_run(run) == []
    findings = found(made, run, again=law == "again", seed=3)
    assert findings[law].state == "bad", [f.line for f in findings.values()]
    assert file in findings[law].text and "\n" not in findings[law].text


def test_changed_files_are_named_and_nothing_else_is_looked_at(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    with (run / "trajectory.tsv").open("a") as file:
        file.write("x\n")
    findings = found(made, run)
    assert list(findings) == ["files"] and findings["files"].state == "bad"
    assert "trajectory.tsv" in findings["files"].text


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b"])
def test_names_in_a_manifest_stay_inside(made, tmp_path, name, capsys):
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = {"sha256": "0", "bytes": 1}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert execute(app, ["check", str(run)]) == 2
    assert "names of files inside the directory" in capsys.readouterr().err


def test_what_cannot_be_made_again_is_left_and_said(made, tmp_path, monkeypatch):
    monkeypatch.setattr("admix.inspection.replay.SECONDS", -1.0)
    findings = {f.name: f for f in inspect(made / "run", cache_dir=tmp_path / "empty", threads=1)}
    assert findings["again"].state == "left" and "--thorough" in findings["again"].text
