# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in SLiM that goes on from its last save, with the numbers that it would have had without a break."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cut_back", "last_save", "working_folder"]

_WITHOUT_TICK = ("mutations.tsv", "substitutions.tsv")


@contextmanager
def working_folder(scratch: Path, key: str) -> Iterator[Path]:
    """A folder with ``in`` and ``out`` for the run ``key``: the one that an earlier, ended process has left, if any.

    It is removed when all went well, and where nothing is saved in it. While a process works in it, another one with
    the same key gets a folder of its own, and saves nothing for later.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    place = scratch / f"slim-{key[:40]}"
    place.mkdir(exist_ok=True)
    lock = place / "process"
    if not _take(lock):
        with tempfile.TemporaryDirectory(prefix=".slim-", dir=scratch) as name:
            yield _parts(Path(name))
        return
    try:
        yield _parts(place)
    except BaseException:
        if last_save(place / "out") is None:
            shutil.rmtree(place, ignore_errors=True)
        else:
            lock.unlink(missing_ok=True)
        raise
    shutil.rmtree(place, ignore_errors=True)


def _parts(folder: Path) -> Path:
    for part in ("in", "out"):
        (folder / part).mkdir(exist_ok=True)
    if last_save(folder / "out") is None:
        # of a process that ended before its first save
        shutil.rmtree(folder / "out")
        (folder / "out").mkdir()
    return folder


def _take(lock: Path) -> bool:
    """Write this process into the lock, unless a living one is there; one on another machine counts as living."""
    mine = f"{socket.gethostname()} {os.getpid()}"
    for _ in range(2):
        try:
            with lock.open("x", encoding="ascii") as file:
                file.write(mine)
            return True
        except FileExistsError:
            host, _, number = lock.read_text(encoding="ascii").partition(" ")
            if host != socket.gethostname() or _alive(number):
                return False
            lock.unlink(missing_ok=True)
    return False


def _alive(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def last_save(out: Path) -> tuple[Path, int] | None:
    """The last complete save that a run has left in its output, and its seed; None if there is none."""
    saves = _saves(out)
    return None if not saves else (out / f"save{saves[-1][1]}", saves[-1][2])


def _saves(out: Path) -> list[tuple[int, int, int]]:
    """(tick, slot, seed) of all saves that have been completed."""
    path = out / "saves.tsv"
    if not path.exists():
        return []
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    rows = [tuple(map(int, line.split("\t"))) for line in lines if line.endswith("\n")]
    return [(tick, slot, seed) for tick, slot, seed in rows]


def cut_back(out: Path) -> int:
    """Drop from a run's output what it wrote after its last save; return the save's tick."""
    last = _saves(out)[-1][0]
    for path in sorted(out.glob("*.tsv")):
        if path.name in _WITHOUT_TICK:
            continue
        lines = path.read_text(encoding="ascii").splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and int(line.split("\t", 1)[0]) <= last]
        path.write_text("".join(kept), encoding="ascii")
    return last
