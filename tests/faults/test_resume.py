# SPDX-License-Identifier: GPL-3.0-or-later
"""Branches that go on where they were, and unfinished runs that may not be gone on with."""

import json
import shutil
import signal
import time

import numpy as np
import processes
import pytest
import small
import tszip

from admix import results, run_pages, scenario, simulate, unfinished
from admix.cli import app
from admix.cli_process import execute
from admix.engines.native import history
from admix.engines.native.branch import Branch, BranchPlan
from admix.errors import InputError
from admix.interrupts import SAVE
from admix.run_plan import resolve
from admix.scenario_yaml import write
from admix.simulate import RunOptions

TREE = small.tree(**processes.SEVERAL)


class Kept:
    """A keeper that keeps everything."""

    def __init__(self, last=None):
        self.states, self.last = [], last

    def load(self):
        return self.last

    def save(self, arrays, title):
        self.states.append({name: np.array(values) for name, values in arrays.items()})


@pytest.mark.parametrize("twin", ["none", "neutral"])
def test_a_branch_goes_on_from_any_tick(tmp_path, monkeypatch, twin):
    """Two pulses and migration between two recipients; rows, pedigree and markers are those of the whole branch."""
    block = small.start_times(
        small.demes(
            ("ancestral", [], [(90, 40)]), ("modern", ["ancestral"], [(0, 40)]),
            ("archaic", ["ancestral"], [(10, 12)]), ("east", ["modern"], [(0, 30)]),
            migrations=[("modern", "east", 0.05, 18, 0)],
        ),
        east=20,
    )  # fmt: skip
    pulses = [
        {"name": name, "source": "archaic", "target": "modern", "time": time, "share": 0.2, "unit": unit}
        for name, time, unit in (("first", 30, "individuals"), ("second", 12, "gametes"))
    ]
    parts = small.Parts(small.scenario(demography=block, pulse=pulses), tmp_path)
    lineages = parts.lineages()
    clock = parts.schedule
    modern = clock.deme_names.index("modern")
    plan = BranchPlan(
        branch="main", replicate=0, twin=twin, seed=5, burnin=0, last=clock.today, landscape_generations=(2, 20),
        spread_generations=(2,), samples={clock.today - 15: {modern: np.array([1, 4])}},
    )  # fmt: skip

    def play(keeper=None):
        branch = Branch(clock, parts.tables, parts.workers, plan)
        return branch, branch.run(lineages, lambda *told: None, keeper)

    whole, expected = play()
    monkeypatch.setattr(history, "CHECKPOINT_SECONDS", -1.0)
    kept = Kept()
    play(kept)
    assert len(kept.states) == clock.today - clock.first_pulse_tick() + 1
    monkeypatch.undo()
    for state in [*kept.states[::6], kept.states[-1]]:
        branch, records = play(Kept(state))
        # as text, where numbers of NumPy and Python look alike and NaN equals itself
        for name in ("trajectory", "pulse", "ancestors", "spread"):
            assert json.dumps(getattr(records, name)) == json.dumps(getattr(expected, name)), name
        assert [labels for labels, _ in records.landscape] == [labels for labels, _ in expected.landscape]
        for (_, a), (_, b) in zip(records.landscape, expected.landscape, strict=True):
            assert np.array_equal(a, b)
        for tick, births in whole.pedigree.births.items():
            for deme, birth in births.items():
                other = branch.pedigree.births[tick][deme]
                assert np.array_equal(birth.parents, other.parents)
                assert [(g.source, g.plane, g.pulse, g.rows.tolist()) for g in birth.groups] == [
                    (g.source, g.plane, g.pulse, g.rows.tolist()) for g in other.groups
                ]
        assert branch.pedigree.sizes == whole.pedigree.sizes
        assert branch.sampled_marks.keys() == whole.sampled_marks.keys()
        assert all(np.array_equal(branch.sampled_marks[k], v) for k, v in whole.sampled_marks.items())
        assert all(np.array_equal(a, b) for a, b in zip(
            branch.packed_pedigree().values(), whole.packed_pedigree().values(), strict=True
        ))  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "several.yaml"
    path.write_text(write(TREE), encoding="utf-8")
    return path


def finished_run(file, place, **changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        options = {"out": place / "out", "cache_dir": place / "cache", "threads": 1} | changes
        return simulate.run(scenario.load(file), RunOptions(**options))


@pytest.fixture(scope="module")
def whole(file, tmp_path_factory):
    return finished_run(file, tmp_path_factory.mktemp("whole"))


def same_trees(one, other):
    names = sorted(p.relative_to(one).as_posix() for p in one.rglob("*.tsz"))
    assert len(names) == 4
    for name in names:
        a, b = tszip.load(one / name), tszip.load(other / name)
        assert a.tables.equals(b.tables, ignore_timestamps=True), name


def words(file, place, *more):
    return ["run", "--scenario", file, "--out", place / "out", "--cache-dir", place / "cache", "--threads", 1, *more]


def stopped(file, place, number=signal.SIGTERM):
    """A run that got a signal in its second branch; returns exit code and what it said."""
    process = processes.start(processes.admix(*words(file, place), every=0.05, pause=0.04))
    end = time.monotonic() + 90
    while not processes.in_second_branch(place):
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


def test_a_stopped_run_goes_on_on_other_threads_and_repeats_nothing(file, whole, tmp_path):
    code, told = stopped(file, tmp_path)
    last = told.rstrip("\n").splitlines()[-1]
    assert code == 143 and last.startswith("admix: terminated: ") and ".out.unfinished" in last
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.unfinished", "cache"]
    # what is not complete says so
    refused = processes.finish(processes.plain("check", tmp_path / "out"))
    assert refused.returncode == 2 and f"admix run --resume {tmp_path / 'out'}" in refused.stderr
    done = processes.finish(processes.admix("run", "--resume", tmp_path / "out", "--threads", 2, "-q"))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert processes.tables(tmp_path / "out") == processes.tables(whole)
    same_trees(whole, tmp_path / "out")
    resumed = results.read_run(tmp_path / "out").provenance["resumed"]
    assert resumed == ["branch p20, replicate 0, twin none"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "out"]
    again = processes.finish(processes.plain("run", "--resume", tmp_path / "out"))
    assert (again.returncode, again.stdout) == (0, f"{tmp_path / 'out'} is complete\n")


@pytest.mark.skipif(SAVE is None, reason="no SIGUSR1")
def test_a_signal_that_asks_for_a_checkpoint_stops_nothing(file, whole, tmp_path):
    process = processes.start(processes.admix(*words(file, tmp_path), every=1e9, pause=0.02))
    cache = tmp_path / "cache"
    end = time.monotonic() + 90
    while not list(cache.glob("*.checkpoint")):
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        process.send_signal(signal.SIGUSR1) if cache.is_dir() else None
        time.sleep(0.05)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert processes.tables(tmp_path / "out") == processes.tables(whole)


@pytest.fixture
def interrupted(file, tmp_path, monkeypatch):
    """A run that was interrupted in this process while its first branch was under way."""
    monkeypatch.setattr(run_pages, "make", lambda path: None)
    run = Branch.run

    def interrupt(self, lineages, report, *rest):
        sent = []

        def report_and_stop(done, note):
            if done > 0.5 and not sent:
                sent.append(done)
                signal.raise_signal(signal.SIGINT)

        return run(self, lineages, report_and_stop, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Branch, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            finished_run(file, tmp_path)
    assert (tmp_path / ".out.unfinished" / "run.json").is_file()
    return tmp_path


def test_another_scenario_is_refused_with_the_reason_and_force_begins_anew(file, whole, interrupted):
    with pytest.raises(InputError, match=r"run\.seed is 1 there and 2 here; --force .*, --resume goes on with it"):
        finished_run(file, interrupted, seed=2)
    assert (interrupted / ".out.unfinished" / "parts").is_dir()
    finished_run(file, interrupted, seed=2, force=True)
    assert processes.tables(interrupted / "out") != processes.tables(whole)
    assert not (interrupted / ".out.unfinished").exists()


def test_the_same_command_goes_on(file, whole, interrupted, monkeypatch):
    begun = []
    unpack = history.unpack_worlds
    monkeypatch.setattr("admix.engines.native.branch.unpack_worlds", lambda *given: begun.append(1) or unpack(*given))
    finished_run(file, interrupted)
    assert len(begun) == 1  # the second branch only: the first one went on
    assert processes.tables(interrupted / "out") == processes.tables(whole)


@pytest.mark.parametrize("which", ["results_version", "state_version"])
def test_another_version_is_refused_with_the_reason(file, interrupted, monkeypatch, which):
    record = unfinished.record_of(interrupted / "out")
    older = unfinished.Record(**{n: getattr(record, n) for n in record.__dataclass_fields__} | {which: 0})
    (interrupted / ".out.unfinished" / "run.json").write_text(older.to_json(), encoding="utf-8")
    with pytest.raises(InputError, match=r"--resume: got .*begun by admix .*\(results [01], state [01]\).*--force"):
        unfinished.record_of(interrupted / "out")
    with pytest.raises(InputError, match=r"it was saved by admix .*--force throws that one away$"):
        finished_run(file, interrupted)


def test_a_version_that_changed_no_result_goes_on(file, whole, interrupted):
    record = unfinished.record_of(interrupted / "out")
    older = unfinished.Record(**{n: getattr(record, n) for n in record.__dataclass_fields__} | {"version": "0.0.1"})
    (interrupted / ".out.unfinished" / "run.json").write_text(older.to_json(), encoding="utf-8")
    finished_run(file, interrupted)
    assert processes.tables(interrupted / "out") == processes.tables(whole)


@pytest.mark.parametrize("damage", ["record", "state", "swapped"])
def test_damage_costs_time_and_no_result(file, whole, interrupted, damage):
    folder = interrupted / ".out.unfinished"
    if damage == "record":
        text = (folder / "run.json").read_text(encoding="utf-8")
        (folder / "run.json").write_text(text.replace("seed: 1", "seed: 2"), encoding="utf-8")
        with pytest.raises(InputError, match=r"--resume: got .*run\.json'; allowed: .*checksum"):
            unfinished.record_of(interrupted / "out")
    else:
        (state,) = (folder / "parts").glob("*.checkpoint")
        if damage == "state":
            content = bytearray((state / "arrays.npz").read_bytes())
            content[len(content) // 2] ^= 1
            (state / "arrays.npz").write_bytes(content)
        else:
            state.rename(state.with_name("0" * 64 + ".checkpoint"))
    finished_run(file, interrupted)
    assert processes.tables(interrupted / "out") == processes.tables(whole)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [("--seed 3", "--seed"), ("--scenario tiny", "--scenario"), ("-f", "--force"), ("--out x", "--out")],
    ids=["seed", "scenario", "force", "out"],
)
def test_what_was_typed_first_is_not_typed_again(tmp_path, capsys, words, option):
    assert execute(app, ["run", "--resume", str(tmp_path / "run"), *words.split()]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"admix: {option}: got ") and "left out with --resume" in told


def test_a_run_that_was_being_replaced_comes_back(file, whole, tmp_path):
    """Killed between the two renames of --force: the old run is not lost, and not replaced without --force either."""
    shutil.copytree(whole, tmp_path / ".out.replaced-123")
    with pytest.raises(InputError, match="--force to replace it"):
        finished_run(file, tmp_path)
    assert results.validate_run(tmp_path / "out") == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_process_that_was_killed_at_its_very_end(file, whole, tmp_path, capsys):
    """The run directory is complete, and the folder beside it was not removed any more."""
    shutil.copytree(whole, tmp_path / "out")
    folder = tmp_path / ".out.unfinished"
    plan = resolve(scenario.load(file), RunOptions(out=tmp_path / "out", cache_dir=tmp_path, threads=1))
    folder.mkdir()
    (folder / "run.json").write_text(unfinished.Record.of(plan).to_json(), encoding="utf-8")
    assert execute(app, ["run", "--resume", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'} is complete\n"
    assert not folder.exists() and results.validate_run(tmp_path / "out") == []


def test_there_is_nothing_to_go_on_with(tmp_path):
    with pytest.raises(InputError, match="there is nothing to go on from"):
        unfinished.record_of(tmp_path / "never")


def test_two_processes_at_one_output(file, whole, tmp_path):
    """The second one is told at once who is at work; the first one is not disturbed."""
    process = processes.start(processes.admix(*words(file, tmp_path), every=0.1, pause=0.03))
    lock = tmp_path / ".out.unfinished" / "lock"
    end = time.monotonic() + 90
    while not (lock.is_file() and lock.read_text()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    second = processes.finish(processes.plain(*words(file, tmp_path, "-q")))
    assert second.returncode == 2 and second.stderr.count("\n") == 1
    assert f"no other process is making (process {process.pid} on " in second.stderr
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert processes.tables(tmp_path / "out") == processes.tables(whole)


@pytest.mark.parametrize("number", [signal.SIGKILL], ids=["kill"])
def test_what_a_killed_process_was_writing_is_removed(file, tmp_path, number):
    code, _ = stopped(file, tmp_path, number)
    assert code == -number
    left = [p.name for p in tmp_path.iterdir() if ".partial-" in p.name]
    assert len(left) == 1
    done = processes.finish(processes.admix("run", "--resume", tmp_path / "out", "-q"))
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "out"]
