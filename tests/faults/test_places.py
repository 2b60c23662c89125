# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in odd places and on poor machines: names, locales, read-only folders, little memory, a disk that fills."""

import errno
import locale
import os
import resource
import subprocess
import sys

import processes
import pytest
import small

from admix import cache, run_pages, simulate
from admix.errors import RunError
from admix.scenario_yaml import write
from admix.simulate import RunOptions

ROOT = os.geteuid() == 0 if hasattr(os, "geteuid") else False
ODD = [
    "with a space and 'quotes' and \"more\" $(touch x) `y` ; & | * ?",
    "Ötzi-Вася-尼安德特人-\u202e-🦴",
    "x" * 200,
    "-n",
    "per%cent %s {brace} \\back\\slash",
]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    base = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        return processes.tables(simulate.run(small.scenario(), RunOptions(out=base / "o", cache_dir=base, threads=1)))


def words(place, *more):
    file = place / "s.yaml"
    file.write_text(write(small.tree()), encoding="utf-8")
    return ["run", "--scenario", file, f"--out={place / 'out'}", f"--cache-dir={place / 'cache'}", "--threads=1", *more]


@pytest.mark.parametrize("name", ODD, ids=["quotes", "letters", "long", "option", "format"])
def test_odd_names(expected, tmp_path, name, monkeypatch, capsys):
    """In this process, as a name goes through the same functions there."""
    from admix.cli import app
    from admix.cli_process import execute

    monkeypatch.setattr(run_pages, "make", lambda path: None)
    place = tmp_path / name
    place.mkdir()
    assert execute(app, [str(w) for w in words(place, "-q")]) == 0, capsys.readouterr().err
    assert processes.tables(place / "out") == expected
    assert sorted(p.name for p in place.iterdir()) == ["cache", "out", "s.yaml"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_a_name_that_no_file_system_takes(tmp_path):
    place = tmp_path / ("y" * 250)
    done = processes.finish(processes.plain(*words(tmp_path, "-q", f"--out={place}")))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "File name too long" in done.stderr


def test_a_locale_with_decimal_commas(expected, tmp_path):
    comma = next((n for n in ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8") if _has(n)), None)
    code = processes.CHILD
    if comma is None:
        # none is installed: what Python and C would write with one is put in by hand
        code = "import locale\nlocale.localeconv = lambda: {'decimal_point': ',', 'thousands_sep': '.'}\n" + code
    else:
        code = f"import locale\nlocale.setlocale(locale.LC_ALL, {comma!r})\n" + code
    line = [sys.executable, "-c", code, "1e9", "0", *map(str, words(tmp_path, "-q"))]
    done = processes.finish(line, env=os.environ | {"LC_ALL": comma or "de_DE.UTF-8", "LANG": comma or "de_DE.UTF-8"})
    assert done.returncode == 0, done.stderr
    assert processes.tables(tmp_path / "out") == expected


def _has(name):
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
        return True
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize("where", ["out", "cache"])
def test_what_cannot_be_written_is_one_line(tmp_path, where):
    """A folder without permission, or, for root, whom nothing forbids to write, one on a system mounted read-only."""
    line = words(tmp_path, "-q")
    place = tmp_path / "closed"
    place.mkdir()
    line.append(f"--out={place / 'out'}" if where == "out" else f"--cache-dir={place / 'cache'}")
    if ROOT:
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("root, and nothing can be mounted")
    else:
        place.chmod(0o500)
    try:
        done = processes.finish(processes.plain(*line))
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        assert str(place) in done.stderr and ("Read-only" in done.stderr or "Permission" in done.stderr)
        assert not list(place.iterdir())
    finally:
        if ROOT:
            subprocess.run(["umount", str(place)], check=True)
        else:
            place.chmod(0o700)
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_one_line_and_loses_nothing(expected, tmp_path):
    """The address space may grow by so much from the pulse on only, while the state grows."""
    code = (
        """
import resource
from admix.engines.native import branch
unpack = branch.unpack_worlds
def limited(world, packed):
    unpack(world, packed)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 30_000_000, -1))
    for _ in range(1000):
        hold.append(bytearray(1_000_000))  # the state, as it grows
hold = []
branch.unpack_worlds = limited
"""
        + processes.CHILD
    )
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc")
    line = [sys.executable, "-c", code, "1e9", "0", *map(str, words(tmp_path, "-q"))]
    done = processes.finish(line)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "not enough memory" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "s.yaml"]
    again = processes.finish(processes.admix(*words(tmp_path, "-q")))
    assert again.returncode == 0, again.stderr
    assert processes.tables(tmp_path / "out") == expected


@pytest.mark.parametrize("call", [7, 8, 9, 12])
def test_a_disk_that_fills_after_the_history(expected, tmp_path, monkeypatch, call):
    """While a branch is kept, a table is written or the run is sealed; the next attempt ends as if nothing had been."""
    monkeypatch.setattr(run_pages, "make", lambda path: None)
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return fsync(descriptor)

    options = RunOptions(out=tmp_path / "out", cache_dir=tmp_path / "cache", threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", full)
        with pytest.raises(RunError, match=r"out: disk full; make room|out/.*: disk full; make room") as caught:
            simulate.run(small.scenario(), options)
    assert "\n" not in str(caught.value)
    assert {p.name for p in tmp_path.iterdir()} <= {"cache", ".out.unfinished"}
    simulate.run(small.scenario(), options)
    assert processes.tables(tmp_path / "out") == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "out"]


def test_the_limit_of_file_size_is_told(tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = processes.finish(processes.plain(*words(tmp_path, "-q")), preexec_fn=small_files)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "File too large" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
