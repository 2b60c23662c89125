# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, on disk after every measurement; and the machine that it was measured on."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from admix.errors import InputError, RunError

FORMAT = 1
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("admix", "numpy", "numba", "scipy", "fwdpy11")


def now() -> str:
    """Date and time to the second, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine() -> dict[str, Any]:
    """Processor, threads, memory and system of this machine."""
    cpu = platform.processor() or platform.machine()
    caches: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
        for place in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
            level, kind, size = ((place / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                caches[f"L{level}"] = size
    except OSError:
        pass
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu, "threads": threads, "caches": caches, "memory_bytes": memory, "system": platform.platform(),
        "python": platform.python_version(),
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of the packages that are installed and, in a checkout, the commit (``+`` where files differ)."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _git("rev-parse", "--short", "HEAD")
    if commit:
        found["commit"] = commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    return found


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class OtherWork:
    """How much of the machine other work uses, from the moment this is made; unknown (0) where there is no /proc."""

    def __init__(self) -> None:
        self._begin = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        try:
            line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        except OSError:
            return time.monotonic(), own, 0.0
        # user, nice, system, idle, waiting for disks, interrupts, soft ones, stolen by other virtual machines
        ticks = [int(word) for word in line.split()[1:9]]
        return time.monotonic(), own, (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    def share(self) -> float:
        """Share of all processor time since then that neither this process nor its finished children had."""
        (wall, own, all_of_it), (end, own_end, all_end) = self._begin, self._now()
        others = (all_end - all_of_it) - (own_end - own)
        return max(0.0, others / max(1e-9, end - wall) / (os.cpu_count() or 1))


@dataclass(slots=True)
class Results:
    """The file of results: ``head`` says what was asked for and where, ``measured`` holds one entry a measurement."""

    path: Path
    head: dict[str, Any]
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def begin(cls, path: Path, head: dict[str, Any], *, resume: bool) -> Results:
        """Begin a file, or go on with the one that is there; one that is not gone on with is kept as ``NAME~``.

        Raises
        ------
        InputError
            Where ``resume`` finds results of another machine or of other settings, or a file that holds no results.
        """
        if resume and path.is_file():
            old = cls.read(path)
            for name in ("machine", "settings"):
                if old.head[name] != head[name]:
                    raise InputError(str(path), allowed=f"results of the same {name}; without --resume they begin anew")
            merged = old.head | {"versions": old.head["versions"] | head["versions"], "commands": old.head["commands"]}
            merged["commands"] = [*merged["commands"], *head["commands"]]
            return cls(path, merged, old.measured)
        if path.is_file():
            path.replace(path.with_name(path.name + "~"))
        return cls(path, head)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file of results."""
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if tree["format"] != FORMAT:
                raise ValueError
            return cls(path, tree["head"], {entry["id"]: entry for entry in tree["measured"]})
        except OSError as error:
            raise InputError(str(path), allowed=f"a file of results ({error.strerror})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(str(path), allowed=f"results of python -m benchmarks, format {FORMAT}") from error

    def add(self, entry: dict[str, Any]) -> None:
        """Add or replace a measurement, and write the file."""
        self.measured[entry["id"]] = entry
        self.write()

    def done(self, name: str) -> bool:
        """Was this measured (and did it not fail)?"""
        return name in self.measured and "failed" not in self.measured[name]

    def write(self) -> None:
        """Write the file whole."""
        tree = {"format": FORMAT, "head": self.head, "measured": list(self.measured.values())}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.path.parent, prefix=".", delete=False, encoding="utf-8"
            ) as file:
                json.dump(tree, file, indent=1)
            Path(file.name).replace(self.path)
        except OSError as error:
            raise RunError(str(self.path), f"can't be written ({error.strerror})", "--json names a place") from error


@dataclass(frozen=True, slots=True)
class Finished:
    """What a process printed, and its greatest memory in bytes."""

    output: str
    errors: str
    code: int
    peak: int


def run(command: list[str], given: str = "", environment: dict[str, str] | None = None) -> Finished:
    """Run a process to its end; when this process is interrupted, so is that one."""
    file = tempfile.TemporaryFile
    with file("w+") as asked, file("w+") as out, file("w+") as err:
        asked.write(given)
        asked.seek(0)
        process = subprocess.Popen(
            command, stdin=asked, stdout=out, stderr=err, cwd=ROOT, env=os.environ | (environment or {})
        )
        try:
            # not Popen.wait: it does not tell what the process used
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return Finished(out.read(), err.read(), process.returncode, unit * used.ru_maxrss)
