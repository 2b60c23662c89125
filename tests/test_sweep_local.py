# SPDX-License-Identifier: GPL-3.0-or-later
"""The local executor: every stage once, no oversubscription, faults that cost one point, results equal `admix run`."""

import fcntl
import json
import os
import signal
import time
from collections import namedtuple
from typing import ClassVar

import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_sweep import PARAMETERS, write

from admix import simulate
from admix.cache import Cache
from admix.cli import app
from admix.cli_process import execute
from admix.errors import InputError, RunError
from admix.results import read_run
from admix.run_plan import RunOptions
from admix.sweep import collect, figures, grid, local, plan, plots
from admix.sweep.crew import Crew
from admix.sweep.estimate import Cost
from admix.sweep.point import Bench
from admix.sweep.store import Store

SMALL = {"generations": 6, "burnins": 2, "set": {"sampling.ancestors_at": []}}


def prepared(folder, **changes):
    made = plan.make(grid.load(write(folder, **SMALL | changes)))
    plan.write(made, folder / "sweep")
    return made, folder / "sweep"


# ---- what is begun when, with jobs that only pretend --------------------------------------------------------


class Pretence:
    """A crew whose jobs put empty entries into the cache or invented results into the store, last begun first."""

    def __init__(self, size, make, folder, cache_dir):
        self.size, self.folder = size, folder
        self.cache, self.store = Cache(cache_dir), Store(folder)
        self.plan = plan.read(folder)
        self.jobs, self.made, self.most, self.closed = [], [], 0, False
        type(self).latest = self

    faults: ClassVar = {}
    latest = None

    @property
    def free(self):
        return self.size - len(self.jobs)

    def give(self, job):
        assert self.free > 0
        self.jobs.append(job)
        self.most = max(self.most, sum(threads for _, _, threads in self.jobs))
        kind, number, _ = job
        if kind == "history":
            under_way = [self.stages(n) for k, n, _ in self.jobs[:-1] if k == "history"]
            assert all(self.stages(number).isdisjoint(other) for other in under_way)
        else:
            stages = self.plan.histories[self.plan.points[number].history].stages
            assert all(self.cache.has(key) for _, key in stages[1:])

    def stages(self, number):
        return {key for _, key in self.plan.histories[number].stages if not self.cache.has(key)}

    def finished(self):
        kind, number, _ = job = self.jobs.pop()
        fault = self.faults.get((kind, number), "")
        if kind == "history" and not fault:
            for key in self.stages(number):
                self.made.append(key)
                self.cache.save(key, {}, {"title": "pretended"})
        elif not fault:
            self.store.keep(self.plan.points[number].key, {})
        return [(job, fault)]

    def close(self):
        self.closed = True


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(local, "Crew", Pretence)
    monkeypatch.setattr(Pretence, "faults", {})


def execute_plan(made, folder, processes=3, cores=4):
    said = []
    outcome = local.run(
        made, folder, folder.parent / "cache", processes=processes, cores=cores, say=said.append,
        report=lambda *told: None,
    )  # fmt: skip
    return outcome, said


def test_progress_counts_histories_by_their_cost(pretended, tmp_path):
    size = {"name": "size", "field": "demography.demes.archaic.epochs[0].start_size", "values": [12, 14]}
    made, folder = prepared(tmp_path, parameters=[PARAMETERS[0], size])
    count, told = len(made.points), []
    cost = Cost(
        stages={}, histories=dict.fromkeys(range(len(made.histories)), 30.0),
        points=dict.fromkeys(range(count), 2.0), memory_bytes=1e8,
    )  # fmt: skip
    given = {"processes": 1, "cores": 1, "say": print, "report": lambda *some: told.append(some[:2])}
    local.run(made, folder, tmp_path / "cache", cost=cost, **given)
    total = 30.0 * len(made.histories) + 2.0 * count
    assert {of for _, of in told} == {total} and told[-1][0] == pytest.approx(total)
    steps = sorted({round(b - a, 6) for (a, _), (b, _) in zip([(0, 0), *told], told, strict=False)})
    assert steps == [2.0, 30.0]


@pytest.mark.parametrize(("processes", "cores"), [(1, 1), (1, 4), (2, 3), (4, 4)])
def test_every_stage_once_and_never_more_threads_than_cores(pretended, tmp_path, processes, cores):
    size = {"name": "size", "field": "demography.demes.archaic.epochs[0].start_size", "values": [12, 14, 16]}
    made, folder = prepared(tmp_path, parameters=[PARAMETERS[0], size])
    outcome, _ = execute_plan(made, folder, processes, cores)
    assert (outcome.finished, outcome.failed, outcome.histories) == (12, 0, 6)
    crew = Pretence.latest
    # sizes of the archaic deme share the ancestor and the modern lineage
    assert len(crew.made) == len(set(crew.made)) == 2 * (2 + 3)
    # with one core a process, or all of them where there is one process
    assert processes <= crew.most <= cores and crew.closed
    if processes == 1:
        assert crew.most == cores


def test_a_second_call_does_nothing(pretended, tmp_path):
    made, folder = prepared(tmp_path)
    execute_plan(made, folder)
    Pretence.latest = None
    assert execute_plan(made, folder)[0] == local.Outcome()
    assert Pretence.latest is None


def test_a_fault_costs_what_depends_on_it_and_is_tried_again(pretended, monkeypatch, tmp_path):
    made, folder = prepared(tmp_path)
    monkeypatch.setattr(Pretence, "faults", {("point", 0): "boom", ("history", 3): "bang"})
    outcome, said = execute_plan(made, folder)
    hit = [i for i, point in enumerate(made.points) if point.history == 3]
    assert (outcome.finished, outcome.failed) == (len(made.points) - 1 - len(hit), 1 + len(hit))
    store = Store(folder)
    assert store.failed() == {made.points[i].key for i in [0, *hit]}
    assert store.error(made.points[0].key)["error"] == "boom"
    assert store.error(made.points[hit[0]].key)["error"] == "history: bang"
    assert sorted(said) == ["point 0 failed: boom", f"the history of {len(hit)} points failed: bang"]
    monkeypatch.setattr(Pretence, "faults", {})
    assert execute_plan(made, folder)[0].finished == 1 + len(hit)
    assert store.failed() == set()


def test_a_nearly_full_directory_is_refused_before_anything_runs(pretended, monkeypatch, tmp_path):
    made, folder = prepared(tmp_path)
    usage = namedtuple("usage", "total used free")(1, 1, 10**6)
    monkeypatch.setattr(local.shutil, "disk_usage", lambda path: usage)
    Pretence.latest = None
    with pytest.raises(InputError, match="1 MB are free and about 200 MB are needed"):
        execute_plan(made, folder)
    assert Pretence.latest is None


# ---- processes -----------------------------------------------------------------------------------------------


def jobs_for_tests(word):
    def do(job):
        if job[0] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if job[0] == "wait":
            time.sleep(600)
        return f"{word} {job[1]} {os.environ['OMP_NUM_THREADS']}"

    return do


def test_a_killed_process_costs_its_own_job():
    before = dict(os.environ)
    crew = Crew(2, jobs_for_tests, "did")
    try:
        crew.give(("die", 1, 1))
        crew.give(("do", 2, 1))
        found = {}
        while len(found) < 2:
            found |= {job[1]: told for job, told in crew.finished()}
        assert found == {1: "its process was killed by signal 9 (too little memory?)", 2: "did 2 1"}
        crew.give(("do", 3, 1))
        assert crew.finished() == [(("do", 3, 1), "did 3 1")]
        crew.give(("wait", 4, 1))
        (process, _), *_ = crew._busy.values()
    finally:
        crew.close()
    assert not process.is_alive() and crew.jobs == []
    assert dict(os.environ) == before


# ---- real points ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of eight points of the small scenario, run by two processes."""
    folder = tmp_path_factory.mktemp("swept")
    made, sweep = prepared(folder)
    outcome, said = execute_plan(made, sweep, processes=2, cores=2)
    assert (outcome.finished, outcome.failed, said) == (8, 0, [])
    return made, sweep


def test_a_point_is_what_admix_run_gives(swept, tmp_path):
    made, sweep = swept
    point = made.points[5]
    options = RunOptions(
        out=tmp_path / "run", seed=point.seed, burnin=point.burnin, generations=6, trees=False, threads=1,
        cache_dir=sweep.parent / "cache",
    )  # fmt: skip
    run = read_run(simulate.run(made.scenario(point), options))
    result = Store(sweep).result(point.key)
    for table in ("trajectory", "pulse", "ancestors"):
        mine = pd.DataFrame(result[table])
        theirs = run.table(table)[list(mine)]
        pd.testing.assert_frame_equal(mine, theirs, check_dtype=False, rtol=1e-9)
    assert [list(stage) for stage in made.histories[point.history].stages] == result["history"]
    assert run.table("pulse")["burnin"].eq(point.burnin).all()
    # the run took the sweep's history from the cache
    told = json.loads((tmp_path / "run/provenance.json").read_text())["history"]
    assert {stage["key"] for stage in told} == {key for _, key in made.histories[point.history].stages[1:]}
    assert all(stage["from_cache"] for stage in told)


def test_a_task_by_hand_gives_the_same_table(swept, tmp_path):
    made, sweep = swept
    other = tmp_path / "other"
    plan.write(made, other)
    bench = Bench(made, other, tmp_path / "cache")
    for point in made.points[:2]:
        bench.point(point, 1)
    for mine, theirs in zip(collect.tables(made, Store(other)), collect.tables(made, Store(sweep)), strict=True):
        theirs = theirs[theirs["point"] < 2]
        pd.testing.assert_frame_equal(mine, theirs)
    assert len(mine) == 2 * 6


def test_the_table_has_a_row_a_point(swept):
    made, sweep = swept
    table, trajectories = collect.tables(made, Store(sweep))
    assert list(table["point"]) == list(range(8))
    assert list(table["share"]) == [p.setting.values[0] for p in made.points]
    assert list(table["history"]) == [made.histories[p.history].label for p in made.points]
    assert (table["requested"] == table["share"]).all() and (table["generations"] == 6).all()
    last = trajectories[trajectories["generation"] == 6].set_index("point")["ancestry_mean"]
    assert (table.set_index("point")["ancestry_final"] == last).all()
    assert (table["ancestry_g5"] != table["ancestry_final"]).any() and "ancestry_g10" not in table
    assert (table["ancestors_headcount"] == table["realised"]).all()
    files = collect.write(table, trajectories, sweep)
    text = files[0].read_bytes()
    assert text.count(b"\n") == 9 and b"\r" not in text
    collect.write(*collect.tables(made, Store(sweep)), sweep)
    assert files[0].read_bytes() == text


def test_a_damaged_result_is_named(swept, tmp_path):
    made, _ = swept
    store = Store(tmp_path)
    store.keep(made.points[0].key, {"trajectory": {"source": ["a"]}})
    with pytest.raises(RunError, match=f"result {made.points[0].key[:12]}: damaged .*remove it"):
        collect.tables(made, store)
    with pytest.raises(RunError, match="no point is finished yet"):
        collect.write(*collect.tables(made, Store(tmp_path / "none")), tmp_path)


def test_pictures_are_drawn_for_every_parameter(swept, tmp_path):
    made, sweep = swept
    drawn = plots.draw_all(made.study.grid, *collect.tables(made, Store(sweep)), tmp_path)
    names = {file.stem for file in drawn}
    wanted = "trajectories-share trajectories-dominance final-against-initial ridge heat-map-share-dominance"
    assert names == set(wanted.split())
    assert all(file.stat().st_size > 1000 for file in drawn)


# ---- the command line ----------------------------------------------------------------------------------------


def test_the_commands(swept, tmp_path, capsys, monkeypatch):
    made, sweep = swept
    monkeypatch.chdir(sweep.parent)
    monkeypatch.setenv("ADMIX_CACHE", str(sweep.parent / "cache"))

    def admix(*words):
        code = execute(app, ["sweep", *words])
        return code, capsys.readouterr()

    code, said = admix("plan", "grid.yaml", "-o", str(tmp_path / "new"), "--dry-run")
    assert code == 0 and "8 points from 4 histories; 0 finished, 0 histories to simulate" in said.out
    assert not (tmp_path / "new").exists()
    code, said = admix("status", "grid.yaml", "-o", "sweep")
    assert said.out == "test: 8 points, 8 finished, 0 failed, 0 not run yet; 4 of 4 histories in the cache\n"
    key = made.points[3].key
    result = sweep / "results" / key[:2] / f"{key}.json"
    content = result.read_bytes()
    result.unlink()
    Store(sweep).blame(key, "boom")
    code, said = admix("status", "sweep")
    assert "7 finished, 1 failed" in said.out
    assert "point 3 (share=0.1, dominance=0.1, burn-in 1, replicate 0): boom (attempt 1)" in said.out
    code, said = admix("task", "sweep", "3", "--threads", "1")
    assert code == 0 and said.out.endswith(": finished\n")
    drop = lambda text: text[: text.index(b'"seconds"')]  # noqa: E731
    assert drop(result.read_bytes()) == drop(content)
    code, said = admix("task", "sweep", "3")
    assert said.out.endswith(": finished already\n")
    code, said = admix("task", "sweep", "8")
    assert (code, said.err) == (2, "admix: K: got 8; allowed: a whole number from 0 to 7\n")
    code, said = admix("collect", "sweep")
    assert code == 0 and "(8 of 8 points)" in said.out
    code, said = admix("run", "grid.yaml", "-o", "sweep", "--quiet")
    assert (code, said.out) == (0, "all 8 points are finished\n")
    code, said = admix("run", "grid.yaml", "-o", "sweep", "-j", "100000")
    assert code == 2 and said.err.startswith("admix: --jobs: got 100000; allowed: a whole number from 1 to ")


def test_one_run_at_a_time(swept, capsys):
    _, sweep = swept
    with open(sweep / ".running", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert execute(app, ["sweep", "run", str(sweep), "-q"]) == 1
    assert "another 'admix sweep run' is at work on this sweep" in capsys.readouterr().err


# ---- figures -------------------------------------------------------------------------------------------------


def invented():
    """Points whose last ancestry is the pulse times exp(-2 load)."""
    rows = [
        {"history": str(load), "realised": p, "requested": p, "log_load_difference": load, "h": load,
         "ancestry_final": p * 2.718281828459045 ** (-2 * load), "generations": 100}
        for load in (0.5, 1.0) for p in (0.02, 0.05, 0.1, 0.2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_ridge_is_where_the_points_cross_it():
    part = invented().query("h == 0.5")
    found = figures.crossing(part, [0.020, 0.024, 0.5])
    assert found[:2] == pytest.approx([0.020 * 2.718281828459045, 0.024 * 2.718281828459045], rel=1e-9)
    assert pd.isna(found[2])


def test_figures_show_the_data():
    data = invented()
    ax = figures.ridge(data, Figure().subplots())
    bars = [line for line in ax.get_lines() if line.get_label() == "_bar"]
    assert [list(line.get_xdata()) for line in bars] == [[0.5, 0.5], [1.0, 1.0]]
    assert list(bars[1].get_ydata()) == pytest.approx([100 * s * 2.718281828459045**2 for s in figures.RIDGE])
    shown = sum(len(line.get_xdata()) for line in ax.get_lines() if line.get_marker() == "o")
    assert shown == len(data)
    ax = figures.heat_map(data, Figure().subplots(), x="requested", y="h")
    assert ax.images[0].get_array().shape == (2, 4)
    assert ax.images[0].get_array()[1, 3] == pytest.approx(20 * 2.718281828459045**-2)
    ax = figures.final_against_initial(data, Figure().subplots(), by="h")
    assert [len(line.get_xdata()) for line in ax.get_lines() if line.get_marker() == "o"] == [4, 4]
    frame = pd.concat([data.assign(generation=g, ancestry_mean=data["requested"] / g) for g in (1, 2)])
    ax = figures.trajectories(frame, Figure().subplots(), by="h", label="dominance")
    assert [list(line.get_ydata()) for line in ax.get_lines()] == [pytest.approx([9.25, 4.625])] * 2
    assert ax.get_legend().get_title().get_text() == "dominance"
