# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of jobs, with a Slurm that is pretended and runs its jobs in this process; and pieces of work by hand."""

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from test_sweep import write
from test_sweep_local import SMALL

from admix import cli_batch
from admix.cache import Cache
from admix.cli import app
from admix.cli_process import execute
from admix.errors import InputError, RunError
from admix.sweep import batch, collect, grid, plan, plots, rounds, slurm
from admix.sweep.point import UNFINISHED, Bench
from admix.sweep.store import Store


class Pretended:
    """Takes the words of Slurm's programs. ``accidents[kind, k]`` is a line for the log of a task that is killed."""

    def __init__(self):
        self.jobs, self.number, self.waits, self.ran = {}, 0, {}, []
        self.accidents, self.refusals, self.config = {}, [], {"MaxArraySize": 1001}

    def __call__(self, words):
        code, said = 0, ""
        if words[0] == "sbatch":
            if self.refusals and (line := self.refusals.pop(0)):
                return subprocess.CompletedProcess(words, 1, "", line)
            self.number += 1
            self.jobs[str(self.number)] = Path(words[-1]).read_text()
            self.waits[str(self.number)] = [w.split(":")[1:] for w in words if w.startswith("--dependency=afterany")]
            said = f"{self.number}\n"
        elif words[0] == "squeue":
            name = words[words.index("-n") + 1]
            for job, text in self.jobs.items():
                assert f"--job-name={name}\n" in text
                said += "".join(f"{job}_{i} PENDING\n" for i in self.elements(text))
        elif words[0] == "scancel":
            for job in words[1:]:
                self.jobs.pop(job.split("_")[0], None)
        elif words[0] == "scontrol":
            said = "".join(f"{key:<24}= {value}\n" for key, value in self.config.items())
        else:
            raise AssertionError(words)
        return subprocess.CompletedProcess(words, code, said, "")

    @staticmethod
    def elements(text):
        found = re.search(r"--array=0-(\d+)", text)
        return range(int(found[1]) + 1) if found else range(1)

    def run(self, limit=50):
        """Run all jobs, and those that they submit, in order."""
        while self.jobs:
            limit -= 1
            assert limit, "jobs without end"
            job, text = next(iter(self.jobs.items()))
            assert all(other not in self.jobs for others in self.waits[job] for other in others)
            del self.jobs[job]
            for i in self.elements(text):
                self.task(text, i)

    def task(self, text, i):
        words = re.search(r"exec (.*)", text)[1]
        words = re.sub(r"\$\(\(SLURM_ARRAY_TASK_ID \+ (\d+)\)\)", lambda m: str(int(m[1]) + i), words)
        words = shlex.split(words)[3:]
        assert words[:2] == ["sweep", "batch"]
        log = re.search(r'--output="(.*)"', text)[1].replace("%a", str(i))
        at = words[4], int(words[5]) if len(words) > 5 and words[5].isdigit() else 0
        self.ran.append((words[3], *at))
        if at in self.accidents:
            line = self.accidents.pop(at)
            if callable(line):
                line = line(words)
            with open(log, "w") as file:
                file.write(line)
            return
        execute(app, words)


@pytest.fixture
def pretended(monkeypatch):
    made = Pretended()
    monkeypatch.setattr(slurm, "_run", made)
    return made


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with the histories of the small sweep."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory, cache):
    """The small sweep, each point simulated by hand: its store and its table."""
    folder = tmp_path_factory.mktemp("by hand")
    made = plan.make(grid.load(write(folder, **SMALL)))
    bench = Bench(made, folder, cache)
    for point in made.points:
        bench.point(point, 1)
    return Store(folder), collect.write(*collect.tables(made, Store(folder)), folder)[0].read_bytes()


@pytest.fixture
def expected(by_hand, monkeypatch):
    """The table; pictures are drawn elsewhere."""
    monkeypatch.setattr(plots, "draw_all", lambda *given: [])
    return by_hand[1]


@pytest.fixture
def quick(by_hand, expected, monkeypatch):
    """Points take their numbers from those simulated by hand."""
    store = by_hand[0]
    monkeypatch.setattr(
        Bench, "point", lambda self, point, threads: self.store.keep(point.key, store.result(point.key))
    )
    return expected


@pytest.fixture
def sweep(tmp_path, cache, capsys, monkeypatch):
    """``sweep(words)``: exit code and what was said, of a command on the small sweep; ``sweep.folder``."""
    file = write(tmp_path, **SMALL)
    monkeypatch.setenv("ADMIX_CACHE", str(cache))

    def do(command, *words, grid=file):
        capsys.readouterr()
        code = execute(app, ["sweep", command, str(grid), "-o", str(do.folder), *words])
        said = capsys.readouterr()
        assert said.err.count("\n") <= 1
        return code, said.out + said.err

    do.folder, do.file = tmp_path / "sweep", file
    do.table = lambda: (do.folder / "table.tsv").read_bytes()
    do.slurm = lambda *words: do("run", "--executor", "slurm", *words)
    return do


def test_a_sweep_is_the_same_table(pretended, sweep, expected):
    code, said = sweep.slurm("--chunk", "1")
    assert code == 0 and "8 points in 8 tasks, 0 stages of histories, 1 job arrays" in said
    assert len(pretended.jobs) == 2
    _, said = sweep("status")
    assert "Slurm, round 1: 9 pending" in said
    pretended.run()
    assert sweep.table() == expected
    code, said = sweep.slurm()
    assert (code, said) == (0, "all 8 points are finished\n") and not pretended.jobs


def test_histories_come_first_and_each_stage_once(pretended, sweep, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path / "empty"))
    code, said = sweep.slurm()
    # two burn-ins of two dominances: an ancestor and two lineages each
    assert code == 0 and "12 stages of histories, 3 job arrays" in said
    assert list(pretended.waits.values()) == [[], [["1"]], [["2"]], [["1", "2", "3"]]]
    pretended.run()
    assert sweep.table() == expected
    kinds = [kind for _, kind, _ in pretended.ran]
    assert kinds == ["ancestor"] * 4 + ["lineage"] * 8 + ["point"] * kinds.count("point") + ["gather"]


def test_arrays_are_as_short_as_the_site_wants(pretended, sweep, quick):
    pretended.config["MaxArraySize"] = 3
    _, said = sweep.slurm("--chunk", "1", "--max-parallel", "2")
    assert "3 job arrays" in said
    scripts = sorted((sweep.folder / "batch/0001").glob("point-*.sh"))
    assert [re.search("--array=(.*)", f.read_text())[1] for f in scripts] == ["0-2%2", "0-2%2", "0-1%2"]
    pretended.run()
    assert sweep.table() == quick


def test_what_does_not_fit_into_the_queue_comes_later(pretended, sweep, quick):
    pretended.config["MaxJobCount"] = 5
    _, said = sweep.slurm("--chunk", "1")
    assert "4 points in 4 tasks" in said
    pretended.run()
    assert sweep.table() == quick
    # the gathering job is queued itself while it submits
    assert [kind for _, kind, _ in pretended.ran] == ["point"] * 4 + ["gather"] + ["point"] * 3 + [
        "gather",
        "point",
        "gather",
    ]
    assert not Store(sweep.folder).failed()


def test_chunks_grow_until_all_fit(pretended, sweep):
    pretended.config["MaxJobCount"] = 6
    _, said = sweep.slurm()
    assert "8 points in 4 tasks" in said
    # and with a limit of one's own
    code, said = sweep("cancel")
    assert code == 0 and "stopped 5 jobs in Slurm" in said
    assert "2 points in 2 tasks" in sweep.slurm("--chunk", "1", "--max-submit", "3")[1]
    assert "nothing of this sweep is running" in (sweep("cancel"), sweep("cancel"))[1][1]


def test_live_jobs_are_never_doubled(pretended, sweep):
    sweep.slurm("--chunk", "4")
    code, said = sweep.slurm("--chunk", "4")
    assert code == 1 and "5 jobs of this sweep are queued or running" in said and len(pretended.jobs) == 2
    code, said = sweep("run", "-q")
    assert code == 1 and "queued or running in Slurm; 'admix sweep cancel' ends them" in said


ACCIDENTS = {
    "too late": ("slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-11-24T02:32:11 DUE TO TIME LIMIT ***\n", 2, 1),
    "too large": ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch\n", 1, 2),
    "killed without a word": ("point 3: finished\n", 1, 2),
    "cancelled": ("slurmstepd: error: *** JOB 7 ON n CANCELLED AT 2026-11-24T02:32:11 ***\n", 1, 1),
}


def needed(file):
    text = file.read_text()
    return int(re.search("--time=(.*)", text)[1]), int(re.search("--mem=(.*)M", text)[1])


@pytest.mark.parametrize("how", ACCIDENTS)
def test_a_task_that_is_killed_is_tried_again_with_more(pretended, sweep, quick, how):
    line, longer, larger = ACCIDENTS[how]

    def killed(words):
        progress = rounds.Progress(sweep.folder, 1, "point", 2)
        progress.at(rounds.read(sweep.folder, 1).tasks["point"][2][0])
        return line

    pretended.accidents["point", 2] = killed
    sweep.slurm("--chunk", "1", "--time", "20", "--mem", "500")
    pretended.run()
    assert sweep.table() == quick and [at for at in pretended.ran if at[0] == "2"] == [
        ("2", "point", 0),
        ("2", "gather", 0),
    ]
    assert needed(sweep.folder / "batch/0001/point-0.sh") == (20, 500)
    assert needed(sweep.folder / "batch/0002/point-0.sh") == (20 * longer, 500 * larger)
    assert not Store(sweep.folder).failed()


def test_a_task_that_never_begins_is_tried_as_often_as_asked(pretended, sweep, quick):
    for task in (1, 0):
        # of four tasks the second, and then the only one that is left
        pretended.accidents = {("point", task): "slurmstepd: error: no such node\n"}
        sweep.slurm("--chunk", "4", "--retries", "0")
        pretended.run()
    _, said = sweep("status")
    assert "6 finished, 2 failed" in said and "no jobs" in said
    assert said.count("its task did not begin: slurmstepd: error: no such node (attempt 2)") == 2
    sweep.slurm("--retries", "0")
    pretended.run()
    assert sweep.table() == quick


def test_a_point_that_fails_does_not_hold_up_the_others(pretended, sweep, quick):
    made = plan.make(grid.load(sweep.file))
    blocked = sweep.folder / "results" / made.points[5].key[:2]
    blocked.parent.mkdir(parents=True)
    blocked.write_text("not a directory")
    sweep.slurm("--retries", "1")
    pretended.run()
    tries = [r for r, kind, _ in pretended.ran if kind == "gather"]
    assert tries == ["1", "2"]
    _, said = sweep("status")
    assert "7 finished, 1 failed" in said and "cannot be written" in said and "(attempt 2)" in said
    blocked.unlink()
    sweep.slurm()
    pretended.run()
    assert sweep.table() == quick


def test_a_refusal_is_passed_on_and_nothing_stays_behind(pretended, sweep, quick):
    line = (
        "sbatch: error: invalid partition specified: gpu\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    pretended.refusals = [line]
    code, said = sweep.slurm("--slurm-opt=--partition=gpu")
    assert code == 2
    assert said.endswith(
        "\nadmix: sbatch: allowed: what this site takes; it said: invalid partition specified: gpu;"
        " Batch job submission failed: Invalid partition name specified\n"
    )
    pretended.refusals = ["", line]
    code, said = sweep.slurm()
    assert code == 2 and not pretended.jobs
    assert sweep.slurm()[0] == 0
    pretended.run()
    assert sweep.table() == quick


def test_more_than_the_site_has_is_asked_for_once(pretended, sweep, quick):
    """The next round asks for twice the memory, is refused, and asks for as much as before."""
    pretended.accidents["point", 0] = lambda words: (
        rounds.Progress(sweep.folder, 1, "point", 0).at(rounds.read(sweep.folder, 1).tasks["point"][0][0]),
        "oom_kill\n",
    )[1]
    pretended.refusals = ["", "", "sbatch: error: Memory specification can not be satisfied\n"]
    sweep.slurm("--chunk", "4", "--mem", "700")
    pretended.run()
    assert sweep.table() == quick
    assert needed(sweep.folder / "batch/0002/point-0.sh")[1] == 700


def test_a_signal_saves_the_point_and_the_next_job_goes_on(pretended, sweep, expected, monkeypatch):
    from admix.engines.native.world import World

    breed, calls = World.breed, []

    def interrupted(self, tick, cohorts):
        calls.append(tick)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return breed(self, tick, cohorts)

    monkeypatch.setattr(World, "breed", interrupted)
    sweep.slurm("--chunk", "8", "--retries", "0")
    assert "--signal=B:TERM@60\n" in next(iter(pretended.jobs.values()))
    pretended.run()
    # six generations a point; the third one was the last of the first job, and none was played twice
    assert len(calls) == 6 * 8 and sweep.table() == expected
    assert [r for r, kind, _ in pretended.ran if kind == "gather"] == ["1", "2"]
    assert not list((sweep.folder / UNFINISHED).iterdir())


def test_what_is_saved_but_came_no_further_is_charged(tmp_path, cache):
    made = plan.make(grid.load(write(tmp_path, **SMALL)))
    plan.write(made, tmp_path / "s")
    folder, key = tmp_path / "s", made.points[0].key
    states = Cache(folder / UNFINISHED)
    options = rounds.Options(cache=str(cache))

    def charged(tick):
        states.save(key, {}, {"tick": tick}, checkpoint=True)
        rounds.Progress(folder, r.number, "point", 0).at(key)
        return key in rounds.judge(folder, r).charged

    r = rounds.make(made, folder, options, number=1, chunk=1, room=None, tries={})
    r.split(1000)
    assert not charged(3)
    r = rounds.make(made, folder, options, number=2, chunk=1, room=None, tries={})
    r.split(1000)
    assert r.ticks == {key: 3} and charged(3) and not charged(4)


def test_a_dry_run_shows_the_scripts_and_writes_nothing(pretended, sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path / "empty"))
    code, said = sweep.slurm("--dry-run", "--slurm-opt=--account=lab", "--slurm-opt", "-p long", "--time", "90")
    assert code == 0 and not sweep.folder.exists() and not pretended.jobs and not (tmp_path / "empty").exists()
    assert re.findall("# ---- (.*)", said) == ["ancestor-0", "lineage-0", "point-0", "gather"]
    assert said.count("#SBATCH --account=lab\n#SBATCH -p long\n") == 4 and "#SBATCH --time=90\n" in said
    assert "12 stages of histories, 3 job arrays\n" in said and "on one core" in said
    for text in re.split("# ---- .*\n", said)[1:]:
        script = tmp_path / "script.sh"
        script.write_text(text[: text.index("exec")])
        assert subprocess.run(["bash", "-n", script]).returncode == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--executor", "slrum"], "--executor: got 'slrum'; allowed: local or slurm; did you mean slurm"),
        (["--chunk", "3"], "--chunk: allowed: together with --executor slurm only"),
        (["--executor", "slurm", "-j", "2"], "--jobs: got '2'; allowed: with --executor local only"),
        (["--executor", "slurm", "--chunk", "0"], "--chunk: got 0; allowed: a whole number, 1 or more"),
        (["--executor", "slurm", "--time", "1h"], "--time: got '1h'; allowed: a whole number"),
        (["--executor", "slurm", "--signal", "USR3@60"], "--signal: got 'USR3@60'; .*did you mean USR2"),
        (["--executor", "slurm", "--signal", "USR1@600", "--time", "10"], "allowed: fewer seconds than --time"),
        (["--executor", "slurm", "--slurm-opt", "account=lab"], "--slurm-opt: got 'account=lab'; allowed: one option"),
        (["--executor", "slurm", "--slurm-opt=--array=1-9"], "allowed: options other than --array, --dependency"),
        (["--executor", "slurm", "--slurm-opt=--mem=1\n#SBATCH -a 2"], "allowed: one option of sbatch"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value)[:40].replace("\n", " "),
)
def test_bad_options_are_one_line(pretended, sweep, words, line):
    code, said = sweep("run", *words)
    assert code == 2 and re.search(line, said) and said.count("\n") == 1
    assert not pretended.jobs and not sweep.folder.exists()


def test_no_slurm_here(monkeypatch, sweep):
    monkeypatch.setenv("PATH", "/nonexistent")
    code, said = sweep.slurm()
    assert code == 2 and "--executor: got 'slurm'; allowed: a machine with Slurm (squeue is not on the PATH)" in said
    code, said = sweep.slurm("--dry-run")
    assert code == 0 and "Slurm's usual limits are taken instead" in said and "exec " in said


def test_a_directory_that_cannot_be_written_is_refused(pretended, sweep, tmp_path):
    (tmp_path / "file").write_text("")
    sweep.folder = tmp_path / "file" / "sweep"
    for words in (["run", "-q"], ["run", "--executor", "slurm"]):
        code, said = sweep(*words)
        assert code == 2 and "a directory that can be written (Not a directory)" in said and said.count("\n") == 1


@pytest.mark.parametrize("executor", ["local", "slurm"])
def test_a_plan_that_is_not_as_it_was_written_loses_nothing(pretended, sweep, executor):
    assert sweep.slurm()[0] == 0
    sweep("cancel")
    file = sweep.folder / plan.FILE
    text = file.read_text()
    Store(sweep.folder).keep("ab1", {})
    for old, new, words in (
        ('"seed":1', '"seed":2', "changed by hand"),
        ('"format":1', '"format":0', "one of this admix"),
    ):
        file.write_text(text.replace(old, new, 1))
        code, said = sweep("run", "--executor", executor)
        assert code == 2 and words in said and said.count("\n") == 1
        assert Store(sweep.folder).finished() == {"ab1"} and not pretended.jobs


def test_limits_are_read_from_the_site(monkeypatch):
    answers = {
        "scontrol": "Configuration data as of now\nAccountingStorageType   = accounting_storage/slurmdbd\n"
        "MaxArraySize            = 1001\nMaxJobCount             = 10000\n",
        "assoc": "500|normal\n|\n", "qos": "200\n",
    }  # fmt: skip
    ran = []

    def run(words):
        ran.append(words)
        kind = "scontrol" if words[0] == "scontrol" else words[4]
        said = answers[kind]
        return subprocess.CompletedProcess(words, 0 if said else 1, said, "no access")

    monkeypatch.setattr(slurm, "_run", run)
    assert slurm.read_site() == slurm.Site(1001, 200)
    assert "name=normal" in ran[2]
    answers["qos"] = "\n"
    assert slurm.read_site() == slurm.Site(1001, 500)
    answers["assoc"] = ""
    assert slurm.read_site() == slurm.Site(1001, 10000)
    answers["scontrol"] = "MaxArraySize = 11\n"
    assert slurm.read_site() == slurm.Site(11, None)


def test_a_controller_that_is_away_is_waited_for_by_jobs_alone(monkeypatch):
    answers = ["slurm_load_jobs error: Unable to contact slurm controller (connect failure)"] * 2 + [""]
    run = lambda words: subprocess.CompletedProcess(words, bool(answers[0]), "7\n", answers.pop(0))  # noqa: E731
    monkeypatch.setattr(slurm, "_run", run)
    monkeypatch.setattr(slurm, "_PAUSE_SECONDS", 0)
    with pytest.raises(slurm.Refused, match=r"squeue: .*Unable to contact slurm controller"):
        slurm.live("name")
    assert slurm.submit("script", patient=True) == "7"


def test_jobs_do_not_inherit_options(monkeypatch, tmp_path):
    """What Slurm tells a job, and names and arrays of the user's own, are kept from sbatch."""
    program = tmp_path / "sbatch"
    program.write_text("#!/bin/sh\nenv | grep ^S | sort | tr '\\n' ' '\n")
    program.chmod(0o755)
    for name in [name for name in os.environ if name.startswith("S")]:
        monkeypatch.delenv(name)
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SBATCH_JOB_NAME", "SBATCH_ACCOUNT", "SLURM_CONF"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert slurm.submit("x") == "SBATCH_ACCOUNT=1 SLURM_CONF=1"


def test_the_name_of_jobs_belongs_to_the_directory(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    assert batch.job_name(tmp_path / "a") == batch.job_name(tmp_path / "a/../a") != batch.job_name(tmp_path / "b")


# ---- by hand -------------------------------------------------------------------------------------------------


def test_histories_and_ranges_of_points_by_hand(sweep, expected, tmp_path, capsys):
    cache = tmp_path / "own"

    def admix(*words):
        code = execute(app, ["sweep", *words, "--cache-dir", str(cache)])
        return code, capsys.readouterr()

    sweep("plan")
    folder = str(sweep.folder)
    assert admix("history", folder, "0", "--ancestor-only")[0] == 0 and len(list(cache.glob("[0-9a-f]*"))) == 1
    for h in "0123":
        assert admix("history", folder, h, "--threads", "1")[1].out == f"history {h}: finished\n"
    assert admix("history", folder, "3")[1].out == "history 3: finished already\n"
    before = sorted(cache.iterdir())
    code, said = admix("task", folder, "0-6", "--threads", "1", "--signal", "USR2")
    assert code == 0 and said.out.count(": finished\n") == 7
    assert admix("task", folder, "6,7")[1].out.count("finished already") == 1
    assert sorted(cache.iterdir()) == before
    assert sweep("collect")[0] == 0 and sweep.table() == expected
    for words in (["task", folder, "3-2"], ["task", folder, "8"], ["task", folder, "-1"], ["history", folder, "4"]):
        code, said = admix(*words)
        assert code == 2 and said.err.count("\n") == 1
    assert admix("task", folder, "0", "--signal", "usr2")[0] == 2


def test_a_stage_needs_its_ancestor(tmp_path):
    made = plan.make(grid.load(write(tmp_path, **SMALL)))
    with pytest.raises(RunError, match="its ancestor is not in the cache"):
        Bench(made, tmp_path / "s", tmp_path / "cache").stage(made.histories[0].stages[1][1], 1)


def test_cancel_stops_a_run_of_this_machine(sweep, tmp_path, monkeypatch):
    sweep("plan")
    code = (
        "import fcntl, socket, sys, time\n"
        f"f = open({str(sweep.folder / '.running')!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "import os; f.write(f'{os.getpid()} {socket.gethostname()}\\n'); f.flush(); print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        code, said = sweep("cancel")
        assert code == 0 and f"stopped process {process.pid}" in said
        assert process.wait(30) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "nothing of this sweep is running" in sweep("cancel")[1]


def test_options_come_back_from_their_file(tmp_path):
    options = cli_batch.options_of(
        tmp_path, chunk="3", cpus="2", minutes="30", memory="900", retries="0", parallel="4", wall_signal="SIGUSR2@90",
        max_submit="50", extra=["--account=a b", "-p x"],
    )  # fmt: skip
    made = rounds.Round(number=3, options=options, tasks={"point": [["a"]]}, ready=1, tries={"a": 1})
    made.split(1000)
    rounds.write(tmp_path, made)
    assert rounds.read(tmp_path, 3) == made and rounds.last(tmp_path) == 3
    assert options.signal == ("USR2", 90)
    file = rounds.place(tmp_path, 3) / "round.json"
    file.write_text(json.dumps({"number": 3}))
    with pytest.raises(RunError, match="makes a new round"):
        rounds.read(tmp_path, 3)
    with pytest.raises(InputError):
        cli_batch.signal_of("60")
