# SPDX-License-Identifier: GPL-3.0-or-later
"""The program SLiM: where it is, which version it is, and a run of a script with its messages turned into ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from admix.errors import InputError, RunError, nearest
from admix.interrupts import deferred

__all__ = ["CONDA", "SUPPORTED", "check_script", "command", "find", "require", "run", "version"]

SUPPORTED = ("5.1", "5.2")
CONDA = "conda install -c conda-forge slim=5.1"
_INSTALL = f"install it with {CONDA}"
_MEANT = "to call readFromPopulationFile() with a tree-sequence file"
"""A warning about what is meant: genealogies begin with the population that is read."""


def find(path: str | None = None) -> str | None:
    """Where SLiM is: ``path`` (``--slim-path``), else ``$SLIM``, else ``slim`` on the PATH, else None.

    Raises
    ------
    InputError
        Where a path that was named is no program.
    """
    for where, chosen in (("--slim-path", path), ("$SLIM", os.environ.get("SLIM"))):
        if chosen:
            found = shutil.which(chosen)
            if found is None:
                beside = Path(chosen).parent
                names = [p.name for p in beside.iterdir()] if beside.is_dir() else []
                near = nearest(Path(chosen).name, names)
                raise InputError(
                    where, chosen, f"the path of the program slim ({_INSTALL})", str(beside / near) if near else None
                )
            return found
    return shutil.which("slim")


def version(program: str) -> str:
    """What SLiM calls its version, as in ``5.2``.

    Raises
    ------
    RunError
        Where the program can't be started, or is not SLiM.
    """
    remedy = "--slim-path names another program"
    try:
        told = subprocess.run(
            [program, "-v"], capture_output=True, text=True, errors="replace", check=False, timeout=60,
            stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(program, f"it can't be started ({error})", remedy) from error
    found = re.search(r"SLiM version ([^\s,]+)", told)
    if found is None:
        raise RunError(program, "it does not say that it is SLiM", remedy)
    return found[1]


def require(path: str | None = None) -> tuple[str, str]:
    """Return the program and its version.

    Raises
    ------
    InputError
        Where there is none, or of a version that admix does not know.
    RunError
        Where what is found is not SLiM.
    """
    program = find(path)
    if program is None:
        raise InputError("--engine", "slim", f"with the program slim on the PATH, in $SLIM or --slim-path; {_INSTALL}")
    found = version(program)
    if found not in SUPPORTED:
        raise InputError(program, f"SLiM {found}", f"SLiM {' or '.join(SUPPORTED)}; {_INSTALL}")
    return program, found


def command(program: str, script: Path, seed: int, constants: Mapping[str, str]) -> list[str]:
    """The words of a command that runs a script with constants, given as Eidos."""
    defines = [word for name, value in constants.items() for word in ("-d", f"{name}={value}")]
    return [program, "-s", str(seed), "-l", "0", *defines, str(script)]


def check_script(program: str, script: Path, constants: Mapping[str, str]) -> None:
    """Have SLiM check the syntax of a script.

    Raises
    ------
    RunError
        With SLiM's message, where it is wrong.
    """
    words = command(program, script, 1, constants)
    done = subprocess.run(
        [*words[:-1], "-c", words[-1]], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RunError(str(script), _message(done.stderr + done.stdout))


def run(
    words: list[str],
    log: Path,
    progress: Callable[[int], None] = lambda tick: None,
    warn: Callable[[str], None] = lambda text: None,
) -> None:
    """Run SLiM to its end.

    Parameters
    ----------
    words
        The command.
    log
        File for what it prints.
    progress
        Told the tick of each ``PROGRESS`` line.
    warn
        Told each warning, in one line.

    Raises
    ------
    RunError
        Where SLiM ends with an error or a signal; the message is SLiM's first.
    KeyboardInterrupt
        On SIGINT and SIGTERM, once SLiM has been ended.
    """
    with log.open("w", encoding="utf-8") as printed, deferred() as pending:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.PIPE, text=True, errors="replace",
            # a signal from the terminal comes to this process, which ends the other
            start_new_session=True,
        )  # fmt: skip
        try:
            said = _follow(process.stderr, lambda: pending.signal is not None, process, progress, warn)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()
        if pending.signal is not None:
            return
    if code:
        how = f"ended by signal {-code}" if code < 0 else _message(said)
        remedy = "it may have had too little memory" if code == -9 else "see docs/slim.md"
        raise RunError("SLiM", how, remedy)


def _follow(
    stream: IO[str] | None,
    stopped: Callable[[], bool],
    process: subprocess.Popen[str],
    progress: Callable[[int], None],
    warn: Callable[[str], None],
) -> str:
    """Read what SLiM says until it ends; return all but progress."""
    said: list[str] = []
    if stream is None:
        return ""
    for line in stream:
        if stopped():
            process.kill()
            break
        if line.startswith("PROGRESS "):
            progress(int(line.split()[1]))
        elif line.strip():
            said.append(line)
            if line.lstrip("#").startswith("WARNING") and _MEANT not in line:
                warn("SLiM: " + " ".join(line.lstrip("#").split()))
    return "".join(said)


def _message(text: str) -> str:
    """SLiM's first error as one line, without the name of the function that found it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for k, line in enumerate(lines):
        found = re.match(r"ERROR(?: \([^)]*\))?:?\s*(.*)", line)
        if found:
            where = next((x for x in lines[k + 1 :] if x.startswith("Error on script line")), "")
            return (found[1] or "unknown error") + (f" ({where.rstrip('.:')})" if where else "")
    return lines[-1] if lines else "it ended without a message"
