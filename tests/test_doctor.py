# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor says what is wrong, in a line with the way to mend it."""

import shutil
from collections import namedtuple

import pytest

from admix import doctor
from admix.cli import main
from admix.engines.slim import program
from admix.errors import RunError

SLIM = program.find()


def look(**options):
    found = list(doctor.examine(simulate=False, **options))
    return {finding.what: finding for finding in found}, doctor.sound(found)


def test_a_sound_installation(tmp_path):
    found, sound = look(cache_dir=tmp_path / "cache")
    assert sound and {f.state for f in found.values()} <= {"ok", "note"}
    assert "numba" in found["packages"].detail and "35.46 Morgans" in found["genome"].detail
    assert found["cache"].line == f"ok   cache: {tmp_path / 'cache'}, 0 MB"


def test_packages_that_are_missing_or_old(monkeypatch):
    real = doctor.version

    def version(name):
        if name == "tszip":
            raise doctor.PackageNotFoundError(name)
        return "1.9.9" if name == "numpy" else real(name)

    monkeypatch.setattr(doctor, "version", version)
    found, sound = look()
    assert not sound
    assert found["numpy"].line.startswith(
        "bad  numpy: 1.9.9, at least 2.2 is needed; mend it with: pip install 'numpy>="
    )
    assert found["tszip"].detail.startswith("missing") and "packages" not in found


def test_no_slim_is_a_note_and_a_wrong_one_is_bad(monkeypatch, tmp_path):
    monkeypatch.delenv("SLIM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    found, sound = look()
    assert sound and found["SLiM"].state == "note" and "conda install -c conda-forge slim" in found["SLiM"].mend
    old = tmp_path / "slim"
    old.write_text("#!/bin/sh\necho SLiM version 4.3\n")
    old.chmod(0o755)
    found, sound = look(slim_path=str(old))
    assert not sound and "got 'SLiM 4.3'; allowed: SLiM 5.1 or 5.2" in found["SLiM"].detail


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    found, sound = look(cache_dir=tmp_path / "file" / "cache")
    assert not sound and "--cache-dir" in found["cache"].mend


def test_a_full_disk(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1e9, 1e9, 1e8))
    found, sound = look()
    assert not sound and "make room for 2 GB" in found["disk for cache"].mend


@pytest.mark.parametrize(("name", "state"), [("NUMBA_DISABLE_JIT", "bad"), ("NUMBA_BOUNDSCHECK", "note")])
def test_kernels_that_are_slowed_down(monkeypatch, name, state):
    monkeypatch.setenv(name, "1")
    finding = doctor._threads()
    assert finding.state == state and f"unset {name}" in finding.mend


def test_a_run_that_fails_or_contradicts_itself(monkeypatch, tmp_path):
    def broken(*args):
        raise RunError("SLiM", "it ended")

    monkeypatch.setattr("admix.simulate.run", broken)
    finding = doctor._run("native", tmp_path, None)
    assert finding.state == "bad" and "SLiM: it ended" in finding.detail


@pytest.mark.parametrize("engine", ["native", pytest.param("slim", marks=[pytest.mark.slim, pytest.mark.skipif(
    SLIM is None, reason="the program slim is not on the PATH, in $SLIM or named otherwise")])])  # fmt: skip
def test_a_run_of_each_engine(engine, tmp_path, monkeypatch):
    finding = doctor._run(engine, tmp_path, None)
    assert finding.state == "ok" and "burn-in to tracts" in finding.detail
    from admix import results

    class Off:
        def __init__(self, run):
            self.run = run

        def table(self, name):
            frame = self.run.table(name)
            if name == "trajectory":
                frame["ancestry_mean"] += 0.02
            return frame

        def __getattr__(self, name):
            return getattr(self.run, name)

    real = results.read_run
    monkeypatch.setattr(results, "read_run", lambda path: Off(real(path)))
    finding = doctor._run(engine, tmp_path, None)
    assert finding.state == "bad" and "report this as a bug" in finding.mend


def test_the_command_ends_with_1_where_something_is_bad(monkeypatch, capsys, tmp_path):
    for bad, code in ((False, 0), (True, 1)):
        finding = doctor.Finding(what="x", state="bad" if bad else "ok", detail="d", mend="m")
        monkeypatch.setattr(doctor, "examine", lambda finding=finding, **options: iter([finding]))
        monkeypatch.setattr("sys.argv", ["admix", "doctor", "--no-run"])
        with pytest.raises(SystemExit) as caught:
            main()
        assert (caught.value.code or 0) == code
        assert "x: d; m" in capsys.readouterr().out
