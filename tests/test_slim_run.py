# SPDX-License-Identifier: GPL-3.0-or-later
"""``admix run --engine slim``: a run directory like any other, read by the same commands."""

from __future__ import annotations

import subprocess

import pytest
import small
from ruamel.yaml import YAML

from admix import recapitation, results, slim_run, trees
from admix.cli import main
from admix.engines.slim import program
from admix.errors import InputError
from admix.run_plan import RunOptions
from admix.run_trees import tree_files
from admix.scenario import Scenario

SLIM = program.find()
needs_slim = pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH, in $SLIM or named otherwise")

TREE = small.tree(
    sampling={
        "individuals": [{"deme": "modern", "time": 0, "n": 4}], "trees": True, "landscape_generations": [2],
        "spread_generations": [2], "ancestors_at": [40],
    },
    branches=[{"name": "p10", "set": {"pulse[0].share": 0.1}}, {"name": "p20", "set": {"pulse[0].share": 0.2}}],
)  # fmt: skip


def admix(monkeypatch, *words):
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr("sys.argv", ["admix", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, cache):
    """A run from the native engine's history, with twin and two replicates, and one with SLiM's own."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for history, more in (("native", {"twin": "neutral", "replicates": 2}), ("slim", {"trees": False})):
        options = RunOptions(out=folder / history, engine="slim", history=history, cache_dir=cache, threads=1, **more)
        made[history] = slim_run.run(Scenario.from_tree(TREE), options)
    return made


@pytest.mark.slim
@needs_slim
@pytest.mark.parametrize("history", ["native", "slim"])
def test_run_directories_are_valid(runs, history):
    run = results.read_run(runs[history])
    assert results.validate_run(runs[history]) == []
    told = run.provenance
    assert told["engine"] == "slim" and told["slim"]["version"] in program.SUPPORTED
    assert told["slim"]["history"] == history
    assert {h["stage"] for h in told["history"]} == {"modern", "archaic"}
    table = run.table("trajectory")
    assert set(table["branch"]) == {"p10", "p20"} and len(table[table["twin"] == "none"]) % 62 == 0
    first = table[(table["generation"] == 1) & (table["twin"] == "none")].groupby("branch")["ancestry_mean"].first()
    assert first.to_dict() == pytest.approx({"p10": 0.1, "p20": 0.2})
    assert (run.path / "figures").is_dir() and not list(run.path.parent.glob(".*"))
    assert run.scenario.run.start == "stationary"


@pytest.mark.slim
@needs_slim
def test_the_same_command_again_gives_the_same_tables(runs, cache, tmp_path):
    options = RunOptions(out=tmp_path / "again", engine="slim", history="slim", cache_dir=cache, threads=2)
    again = slim_run.run(Scenario.from_tree(TREE), options)
    for name in results.SCHEMA:
        assert (again / name).read_bytes() == (runs["slim"] / name).read_bytes()
    assert all(h["from_cache"] for h in results.read_run(again).provenance["history"])


@pytest.mark.slim
@needs_slim
def test_other_commands_read_its_trees(runs, monkeypatch):
    path = runs["native"]
    assert admix(monkeypatch, "ancestry", path, "-q") == 0
    assert admix(monkeypatch, "stats", path, "-q") == 0
    files = tree_files(results.read_run(path))
    assert len(files) == 2 * 2 * 2 * 2
    ran = results.read_run(path)
    # ids of neutral mutations go on from SLiM's, so that none is there twice
    file = next(f for f in files if f.twin == "none" and f.chrom == "22")
    ts = file.load()
    tall = recapitation.recapitate(
        ts, file.schedule, file.genome, "22", 1, mutation_rate=5e-7, selected_rate=4e-7, stream=("test",)
    )
    found = trees.mutations(tall)
    neutral = found.type == trees.NEUTRAL
    assert neutral.sum() > 100 and found.id[neutral].min() > found.id[~neutral].max()
    assert all(tree.has_single_root for tree in tall.trees())
    assert ran.scenario.name == "small"


@pytest.mark.slim
@needs_slim
def test_the_script_that_would_run_runs_by_hand(cache, tmp_path, monkeypatch, capsys):
    YAML().dump(TREE, tmp_path / "small.yaml")
    words = ["run", "--scenario", tmp_path / "small.yaml", "--engine", "slim", "--cache-dir", cache]
    target = tmp_path / "mine.slim"
    assert admix(monkeypatch, *words, "--slim-script", target) == 0
    told = capsys.readouterr().out
    assert "run it with: slim -s " in told and not (tmp_path / "runs").exists()
    subprocess.run([str(SLIM), "-c", str(target)], check=True, capture_output=True)
    out = tmp_path / "mine.slim.tables" / "out"
    subprocess.run([str(SLIM), "-s", "5", "-d", "LAST=63", str(target)], check=True, capture_output=True)
    assert len((out / "ancestry.tsv").read_text().splitlines()) == 4
    assert admix(monkeypatch, *words, "--slim-script", target) == 2
    assert "a file that does not exist yet" in capsys.readouterr().err


@pytest.mark.slim
@needs_slim
def test_a_scaled_run_is_half_as_long_and_warned_of(tmp_path, cache, monkeypatch, capsys):
    YAML().dump(TREE, tmp_path / "small.yaml")
    words = ["run", "--scenario", tmp_path / "small.yaml", "--engine", "slim", "--cache-dir", cache]
    words += ["--out", tmp_path / "run", "--scale", "2"]
    assert admix(monkeypatch, *words, "--no-trees", "--dry-run") == 0
    assert "generation 16 of" in capsys.readouterr().out
    assert admix(monkeypatch, *words, "--no-trees") == 0
    assert "--scale 2: rescaling keeps the number of differences" in capsys.readouterr().err
    run = results.read_run(tmp_path / "run")
    assert results.validate_run(run.path) == [] and run.provenance["slim"]["scale"] == 2
    assert (run.path / "scenario.yaml").read_text().startswith("# Made with --scale 2.")
    table = run.table("trajectory")
    assert table["generation"].max() == 16 and set(table["n_individuals"]) == {20}
    assert sorted(set(table["years_bp"]))[:3] == [0, 2, 4]
    assert admix(monkeypatch, *words, "-f", "--trees") == 2
    assert admix(monkeypatch, *words, "-f", "--history", "native") == 2


@pytest.mark.slim
@needs_slim
def test_a_dry_run_writes_nothing_and_tells_the_time(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert admix(monkeypatch, "run", "--scenario", "tiny", "--engine", "slim", "-n", "--cache-dir", cache) == 0
    told = capsys.readouterr().out
    assert "with history cached" in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "slin"], "; did you mean slim?"),
        (["--history", "native"], "--history: got 'native'; allowed: together with --engine slim"),
        (["--slim-path", "x"], "--slim-path: got 'x'; allowed: together with --engine slim"),
        (["--slim-script", "x"], "--slim-script: got 'x'; allowed: together with --engine slim"),
        (["--engine", "slim", "--slim-path", "/nowhere/slim"], "--slim-path: got '/nowhere/slim'; allowed:"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)  # fmt: skip
def test_words_that_do_not_fit(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert admix(monkeypatch, "run", "--scenario", "tiny", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not list(tmp_path.iterdir())


@pytest.mark.slim
@needs_slim
@pytest.mark.parametrize(("option", "value"), [("trees_to", "split"), ("keep_parents", True), ("history", "fwdpy11")])
def test_what_slim_cannot_do_is_refused(option, value, tmp_path):
    options = RunOptions(out=tmp_path / "run", engine="slim", **{option: value})
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')}"):
        slim_run.run(Scenario.from_tree(TREE), options)
    assert not list(tmp_path.iterdir())
