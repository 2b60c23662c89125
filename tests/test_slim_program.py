# SPDX-License-Identifier: GPL-3.0-or-later
"""The program SLiM: found or asked for in one line, its version checked, its messages turned into ours."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from admix.engines.slim import program
from admix.engines.slim.model import SCRIPT
from admix.errors import InputError, RunError

SLIM = program.find()


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def fake(path: Path, version: str = "5.2") -> str:
    return script(path, f"echo 'SLiM version {version}, built Nov 23 2026'\n")


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch):
    monkeypatch.delenv("SLIM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")


def test_option_before_variable_before_path(tmp_path, monkeypatch):
    assert program.find() is None
    one, two, three = (fake(tmp_path / name / "slim") for name in made(tmp_path, "one", "two", "three"))
    monkeypatch.setenv("PATH", str(tmp_path / "three"))
    assert program.find() == three
    monkeypatch.setenv("SLIM", two)
    assert program.find() == two
    assert program.find(one) == one


def made(folder: Path, *names: str):
    for name in names:
        (folder / name).mkdir()
    return names


def test_none_or_no_such_program(tmp_path, monkeypatch):
    with pytest.raises(InputError) as caught:
        program.require()
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        "--engine: got 'slim'; allowed: with the program slim on the PATH, in $SLIM or --slim-path;"
        " install it with conda install -c conda-forge slim=5.1"
    )
    fake(tmp_path / "slim")
    with pytest.raises(InputError, match=r"^--slim-path: got '.*slmi'; .*conda install.*did you mean .*/slim\?$"):
        program.require(str(tmp_path / "slmi"))
    monkeypatch.setenv("SLIM", str(tmp_path / "other" / "slim"))
    with pytest.raises(InputError, match=r"^\$SLIM: got"):
        program.require()


@pytest.mark.parametrize("version", ["5.1", "5.2"])
def test_versions_that_are_known(tmp_path, version):
    path = fake(tmp_path / "slim", version)
    assert program.require(path) == (path, version)


@pytest.mark.parametrize("version", ["4.3", "5.0", "5.3", "6.0"])
def test_versions_that_are_not(tmp_path, version):
    path = fake(tmp_path / "slim", version)
    with pytest.raises(InputError, match=rf"got 'SLiM {version}'; allowed: SLiM 5.1 or 5.2; install it with conda"):
        program.require(path)


def test_another_program(tmp_path):
    path = script(tmp_path / "slim", "echo SLURM 23\n")
    with pytest.raises(RunError, match="does not say that it is SLiM"):
        program.require(path)
    (tmp_path / "broken").write_bytes(b"\x7fELF nothing")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(RunError, match="it can't be started"):
        program.version(str(tmp_path / "broken"))


def test_words_of_the_command():
    words = program.command("slim", Path("a b.slim"), 7, {"N": "5", "FOLDER": '"x y/"'})
    assert words == ["slim", "-s", "7", "-l", "0", "-d", "N=5", "-d", 'FOLDER="x y/"', "a b.slim"]


def test_progress_and_warnings(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    path = script(
        tmp_path / "slim",
        "echo out; echo 'PROGRESS 3' >&2; echo '#WARNING (f): too   hot' >&2; echo 'PROGRESS 9' >&2\n"
        "echo 'WARNING (Species::InitializePopulationFromFile): it is usually desirable to call"
        " readFromPopulationFile() with a tree-sequence file' >&2\n",
    )
    ticks, warnings = [], []
    program.run([path], tmp_path / "log", ticks.append, warnings.append)
    assert ticks == [3, 9] and warnings == ["SLiM: WARNING (f): too hot"]
    assert (tmp_path / "log").read_text() == "out\n"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "ERROR (Species::X): unexpected EOF while reading header.\n\nError on script line 103, character 5:\n\n  x",
            1,
            "SLiM: unexpected EOF while reading header. (Error on script line 103, character 5); see docs/slim.md",
        ),
        ("ERROR: the tables are of another version", 1, "SLiM: the tables are of another version; see docs/slim.md"),
        ("something else", 3, "SLiM: something else; see docs/slim.md"),
        ("", 1, "SLiM: it ended without a message; see docs/slim.md"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, text, code, message):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "text").write_text(text)
    path = script(tmp_path / "slim", f"cat {tmp_path}/text >&2; exit {code}\n")
    with pytest.raises(RunError) as caught:
        program.run([path], tmp_path / "log")
    assert str(caught.value) == message


def test_a_program_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    path = script(tmp_path / "slim", "kill -9 $$\n")
    with pytest.raises(RunError, match="ended by signal 9; it may have had too little memory"):
        program.run([path], tmp_path / "log")


def test_an_interrupt_ends_slim_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    path = script(tmp_path / "slim", f"echo $$ > {tmp_path}/pid; while :; do echo 'PROGRESS 1' >&2; sleep 0.02; done\n")
    threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        program.run([path], tmp_path / "log")
    time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slim
@pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH")
def test_slim_takes_the_script(tmp_path):
    program.check_script(str(SLIM), SCRIPT, {})
    broken = tmp_path / "broken.slim"
    broken.write_text(SCRIPT.read_text().replace("function (integer$)now(void) {", "function (integer$)now(void) {{"))
    with pytest.raises(RunError, match=r"broken.slim: .*"):
        program.check_script(str(SLIM), broken, {})


def test_the_script_is_in_the_package():
    done = subprocess.run(
        [sys.executable, "-c", "from admix.engines.slim.model import SCRIPT; print(SCRIPT.is_file())"],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/bin", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "True\n"
