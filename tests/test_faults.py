# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes that are killed, interrupted, or run out of disk: nothing half-written, nothing finished lost."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import small

from admix import cache as cache_module
from admix import results, run_pages, simulate
from admix.cache import entries
from admix.errors import RunError
from admix.scenario import Scenario
from admix.scenario_yaml import write
from admix.simulate import RunOptions

# Checkpoints are written every two minutes; here after every tick, so that a kill finds one soon. Each tick
# waits a little, so that there is time to be killed in. The pictures are other tests' business.
CHILD = """
import sys, time
from admix import run_pages
from admix.engines.native import history
from admix.engines.native.world import World
history.CHECKPOINT_SECONDS, pause = float(sys.argv.pop(1)), float(sys.argv.pop(1))
run_pages.make = lambda path: None
breed = World.breed
def slowly(self, tick, cohorts):
    time.sleep(pause)
    return breed(self, tick, cohorts)
World.breed = slowly
from admix.cli import main
main()
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "small.yaml"
    path.write_text(write(small.tree()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """trajectory.tsv of an uninterrupted run with an empty cache."""
    base = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        made = simulate.run(small.scenario(), RunOptions(out=base / "out", cache_dir=base / "cache", threads=1))
    return {name: (made / name).read_bytes() for name in results.SCHEMA}


def command(file, place, *words, every=1e9, pause=0.0):
    return [
        sys.executable, "-c", CHILD, str(every), str(pause), "run", "--scenario", str(file), "--threads", "1",
        "--out", str(place / "out"), "--cache-dir", str(place / "cache"), *words,
    ]  # fmt: skip


def finish(file, place, *words):
    done = subprocess.run(command(file, place, *words), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def started(file, place, *words, **how):
    return subprocess.Popen(
        command(file, place, *words, **how), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process, ready):
    end = time.monotonic() + 90
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def parts(place, ending):
    folder = place / "cache"
    return [p for p in folder.iterdir() if p.name.endswith(ending)] if folder.is_dir() else []


def finished(place):
    return [p for p in parts(place, "") if len(p.name) == 64]


def check_tables(place, expected):
    assert {name: (place / "out" / name).read_bytes() for name in expected} == expected
    assert results.validate_run(place / "out") == []


def test_a_killed_burnin_goes_on_where_it_was(file, expected, tmp_path):
    process = started(file, tmp_path, every=0.0, pause=0.02)
    # in the middle of the second or third stage
    wait_for(process, lambda: finished(tmp_path) and parts(tmp_path, ".checkpoint"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    done = finished(tmp_path)
    assert 1 <= len(done) < 3 and parts(tmp_path, ".checkpoint")
    stamps = {p: (p / "meta.json").stat().st_mtime_ns for p in done}
    code, err = finish(file, tmp_path, "-v")
    assert code == 0, err
    check_tables(tmp_path, expected)
    assert {p: (p / "meta.json").stat().st_mtime_ns for p in done} == stamps
    assert not parts(tmp_path, ".checkpoint") and len(finished(tmp_path)) == 3


@pytest.mark.parametrize("when", ["burn-in", "branch"])
def test_ctrl_c_leaves_a_reusable_cache_and_nothing_else(file, expected, tmp_path, when):
    process = started(file, tmp_path, pause=0.03)
    if when == "burn-in":
        wait_for(process, lambda: len(finished(tmp_path)) == 1)
        time.sleep(0.2)
    else:
        wait_for(process, lambda: len(finished(tmp_path)) == 3)
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.rstrip("\n").splitlines()[-1]
    assert last.startswith("admix: interrupted: ") and str(tmp_path / "out") in last
    assert str(tmp_path / "cache") in last and "Traceback" not in err
    kept = [".out.unfinished"] if when == "branch" else []
    assert sorted(p.name for p in tmp_path.iterdir()) == [*kept, "cache"]
    assert all(name in last for name in kept)
    assert not parts(tmp_path, ".old") and not [p for p in parts(tmp_path, "") if p.name.startswith(".")]
    assert len(parts(tmp_path, ".checkpoint")) == (when == "burn-in")
    assert finish(file, tmp_path)[0] == 0
    check_tables(tmp_path, expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "out"]


def test_two_processes_at_one_cache(file, expected, tmp_path):
    places = [tmp_path / name for name in ("one", "two")]
    commands = [command(file, p, "--cache-dir", str(tmp_path / "cache"), every=0.0, pause=0.005) for p in places]
    processes = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for c in commands]
    told = [p.communicate(timeout=120) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], told
    for place in places:
        check_tables(place, expected)
    assert not parts(tmp_path, ".checkpoint") and len(finished(tmp_path)) == 3
    assert not [p for p in parts(tmp_path, "") if p.name.startswith(".")]
    assert all("damaged" not in err for _, err in told)


# ---------------------------------------------------------------------- in this process


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(run_pages, "make", lambda path: None)


def options(place, **changes):
    return RunOptions(**({"out": place / "out", "cache_dir": place / "cache", "threads": 1} | changes))


class Told:
    """A progress display that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def __getattr__(self, name):
        return lambda *given: None


@pytest.mark.parametrize("stages", [("modern",), ("archaic",), ("ancestor", "modern", "archaic")])
def test_damaged_entries_are_reported_and_rebuilt(no_pictures, expected, tmp_path, stages):
    simulate.run(small.scenario(), options(tmp_path, out=tmp_path / "first"))
    damaged = [e for e in entries(tmp_path / "cache") if e.title.split(",")[0] in stages]
    assert len(damaged) == len(stages)
    for entry in damaged:
        arrays = tmp_path / "cache" / entry.key / "arrays.npz"
        data = bytearray(arrays.read_bytes())
        data[len(data) // 2] ^= 4
        arrays.write_bytes(data)
    progress = Told()
    simulate.run(small.scenario(), options(tmp_path), progress)
    check_tables(tmp_path, expected)
    assert len(progress.lines) == len(stages) and all("damaged" in line for line in progress.lines)
    assert len(finished(tmp_path)) == 3


@pytest.mark.parametrize("call", range(1, 7))
def test_a_disk_that_fills_while_the_cache_is_written(no_pictures, monkeypatch, expected, tmp_path, call):
    """At any of the six writes of arrays and descriptions: one line, what was finished stays, and on it goes."""
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(cache_module.os, "fsync", full)
        with pytest.raises(RunError) as caught:
            simulate.run(small.scenario(), options(tmp_path))
    assert str(tmp_path / "cache") in str(caught.value) and "\n" not in str(caught.value)
    assert "No space left" in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache"]
    assert len(finished(tmp_path)) == (call - 1) // 2
    assert not [p for p in parts(tmp_path, "") if p.name.startswith(".")]
    simulate.run(small.scenario(), options(tmp_path))
    check_tables(tmp_path, expected)


@contextlib.contextmanager
def little_disk(place, size):
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can't be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """Bytes of the three entries and of the run directory."""
    base = tmp_path_factory.mktemp("sizes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        simulate.run(small.scenario(), options(base))

    def on_disk(folder):
        return sum(4096 * (1 + p.stat().st_size // 4096) for p in folder.rglob("*"))

    return sum(on_disk(p) for p in finished(base)), on_disk(base / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="mount")
def test_a_cache_on_a_disk_that_is_full(file, expected, sizes, tmp_path):
    place = tmp_path / "disk"
    with little_disk(place, int(sizes[0] * 0.8)):
        code, err = finish(file, tmp_path, "-q", "--cache-dir", str(place / "cache"))
        assert code == 1 and err.count("\n") == 1 and str(place / "cache") in err and "No space left" in err
        kept = finished(place)
        assert len(kept) in (1, 2) and not (tmp_path / "out").exists()
        assert not [p for p in parts(place, "") if p.name.startswith(".")]
        subprocess.run(["mount", "-o", f"remount,size={sizes[0] * 3}", str(place)], check=True)
        assert finish(file, tmp_path, "-q", "--cache-dir", str(place / "cache"))[0] == 0
        assert len(finished(place)) == 3
    check_tables(tmp_path, expected)


@pytest.mark.skipif(sys.platform != "linux", reason="mount")
def test_output_on_a_disk_that_is_full(file, expected, sizes, tmp_path):
    place = tmp_path / "disk"
    with little_disk(place, int(sizes[1] * 0.5)):
        code, err = finish(file, tmp_path, "-q", "--out", str(place / "out"))
        assert code == 1 and err.count("\n") == 1 and str(place / "out") in err and "disk full" in err
        # the finished branch may be there, where it fitted
        assert {p.name for p in place.iterdir()} <= {".out.unfinished"}
        assert len(finished(tmp_path)) == 3
    assert finish(file, tmp_path, "-q")[0] == 0
    check_tables(tmp_path, expected)


def test_the_scenario_of_these_tests_is_what_the_file_says(file):
    from admix import scenario

    assert scenario.load(file).to_tree() == Scenario.from_tree(small.tree()).to_tree()
