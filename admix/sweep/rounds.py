# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of a sweep on a cluster: which tasks are given to it at once, and what became of them.

A round is made from what is missing, kept in a file, and judged when its jobs have ended: a result or a stage that is
there is finished, whatever the scheduler says; what failed or was killed is charged with a try; what was not reached,
or stopped by a signal further than it had been before, is not. So every round brings something to an end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from admix.cache import Cache
from admix.errors import RunError
from admix.sweep.plan import SweepPlan, put
from admix.sweep.point import UNFINISHED, missing_stages
from admix.sweep.store import Store

__all__ = [
    "KINDS",
    "Options",
    "Progress",
    "Round",
    "Verdict",
    "judge",
    "last",
    "logs",
    "make",
    "place",
    "read",
    "write",
]

KINDS = ("ancestor", "lineage", "point")
"""Kinds of tasks, in the order in which they need one another."""
BATCH = "batch"
_LATE = re.compile(r"DUE TO TIME LIMIT|due to time limit", re.IGNORECASE)
_MEMORY = re.compile(r"memory limit|oom.?kill|out of memory|MemoryError|not enough memory", re.IGNORECASE)
_TELLING = re.compile(r"slurmstepd: error|CANCELLED|oom|memory|Killed|Error|admix: ", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a sweep on a cluster; None: worked out from the estimate and the site's limits.

    Parameters
    ----------
    cache
        Where histories are.
    chunk
        Points of one task.
    cpus
        Cores, and threads, of a task.
    minutes, memory_mb
        Time and memory of a task in the first round.
    retries
        How often what failed is tried again.
    parallel
        Tasks of an array that may run at once.
    signal
        Name of the signal that makes a task save its state, and how many seconds before the end it comes.
    max_submit
        Jobs that may be queued at once.
    extra
        Further options of sbatch.
    """

    cache: str
    chunk: int | None = None
    cpus: int = 1
    minutes: int | None = None
    memory_mb: int | None = None
    retries: int = 2
    parallel: int | None = None
    signal: tuple[str, int] = ("TERM", 60)
    max_submit: int | None = None
    extra: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Round:
    """Tasks given to the cluster at once.

    ``tasks[kind][k]`` are keys of stages or points, and ``ready`` of the first tasks of points need no history of this
    round. ``arrays`` are the job arrays, as kind, first task and number of tasks; ``jobs`` their ids, and at the end
    that of the gathering job. ``tries`` are failures so far by key, ``ticks`` how far unfinished points and stages
    had come, ``longer`` and ``larger`` the factors of time and memory.
    """

    number: int
    options: Options
    tasks: dict[str, list[list[str]]]
    ready: int = 0
    arrays: list[tuple[str, int, int]] = field(default_factory=list)
    tries: dict[str, int] = field(default_factory=dict)
    ticks: dict[str, int] = field(default_factory=dict)
    longer: float = 1.0
    larger: float = 1.0
    jobs: list[str] = field(default_factory=list)
    judged: bool = False

    @property
    def count(self) -> int:
        """Number of tasks."""
        return sum(map(len, self.tasks.values()))

    def split(self, max_array: int) -> None:
        """Share the tasks out to job arrays of at most so many elements."""
        self.arrays = []
        for kind, tasks in self.tasks.items():
            # those that wait for nothing are arrays of their own
            parts = [(0, self.ready), (self.ready, len(tasks))] if kind == "point" else [(0, len(tasks))]
            for low, high in parts:
                self.arrays += [(kind, i, min(max_array, high - i)) for i in range(low, high, max_array)]

    def log(self, folder: Path, kind: str, k: int) -> Path:
        """Return the log of a task."""
        first = next(first for name, first, n in self.arrays if name == kind and first <= k < first + n)
        return logs(folder, self.number) / f"{kind}-{first}+{k - first}.log"


@dataclass(slots=True)
class Verdict:
    """What became of a round: a line for each key that is charged with a try; was there too little time or memory?

    ``known`` are those whose own task has put down the line.
    """

    charged: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    late: bool = False
    large: bool = False


def place(folder: Path, number: int) -> Path:
    """Return the directory of a round: its file, its scripts, its logs and the progress of its tasks."""
    return folder / BATCH / f"{number:04d}"


def logs(folder: Path, number: int) -> Path:
    """Return the directory of a round's logs."""
    return place(folder, number) / "logs"


def write(folder: Path, made: Round) -> None:
    """Write the file of a round."""
    put(place(folder, made.number) / "round.json", json.dumps(asdict(made)) + "\n")


def read(folder: Path, number: int) -> Round:
    """Return a round of a sweep.

    Raises
    ------
    RunError
        If it is not there, or damaged.
    """
    file = place(folder, number) / "round.json"
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        options = tree.pop("options")
        options |= {"signal": tuple(options["signal"]), "extra": tuple(options["extra"])}
        arrays = [(str(kind), int(first), int(n)) for kind, first, n in tree.pop("arrays")]
        return Round(options=Options(**options), arrays=arrays, **tree)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(str(file), "is damaged or not there", "'admix sweep run' makes a new round") from error


def last(folder: Path) -> int:
    """Number of the last round, 0 if there is none."""
    with suppress(FileNotFoundError):
        return max((int(f.name) for f in (folder / BATCH).iterdir() if f.name.isdigit()), default=0)
    return 0


class Progress:
    """What a task puts down about itself, so that others know what it was at if it is killed."""

    def __init__(self, folder: Path, number: int, kind: str, k: int) -> None:
        self._file = place(folder, number) / f"{kind}-{k}.json"
        self.errors: dict[str, str] = {}

    def at(self, key: str | None) -> None:
        """Say which key is worked on; None at the end."""
        put(self._file, json.dumps({"at": key, "errors": self.errors}) + "\n")

    def read(self) -> dict[str, Any] | None:
        """Return what was put down; None if the task never began."""
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def _ticks(keys: Iterable[str], unfinished: Cache, cache: Cache) -> dict[str, int]:
    """How far unfinished points and stages have come."""
    found = {}
    for key in keys:
        told = unfinished.describe(key, checkpoint=True) or cache.describe(key, checkpoint=True)
        if told is not None and "tick" in told:
            found[key] = int(told["tick"])
    return found


def make(
    plan: SweepPlan, folder: Path, options: Options, *, number: int, chunk: int, room: int | None,
    tries: dict[str, int], longer: float = 1.0, larger: float = 1.0,
) -> Round:  # fmt: skip
    """Return the next round, without tasks if nothing is left to try.

    Parameters
    ----------
    chunk
        Points of a task.
    room
        Jobs that may be queued, the gathering one included; what does not fit is left to later rounds.
    tries
        Failures so far, by key; who has failed more often than ``options.retries`` is left out.
    """
    cache, done = Cache(Path(options.cache)), Store(folder).finished()
    given_up = {key for key, n in tries.items() if n > options.retries}
    groups: dict[int, list[str]] = {}
    for point in plan.points:
        if point.key not in done and point.key not in given_up:
            groups.setdefault(point.history, []).append(point.key)
    needs = {h: missing_stages(plan, h, cache) for h in groups}
    left = None if room is None else room - 1
    tasks: dict[str, list[list[str]]] = {kind: [] for kind in KINDS}
    ready, taken = 0, set[str]()
    # those whose history is there first, so that they are one part of the list
    for h in sorted(groups, key=lambda h: (bool(needs[h]), h)):
        if given_up.intersection(needs[h]):
            continue
        new = [key for key in needs[h] if key not in taken]
        chunks = [groups[h][i : i + chunk] for i in range(0, len(groups[h]), chunk)]
        if left is not None:
            chunks = chunks[: max(0, left - len(new))]
            left -= len(new) + len(chunks) if chunks else 0
        if not chunks:
            break
        ancestor = plan.histories[h].stages[0][1]
        for key in new:
            tasks["ancestor" if key == ancestor else "lineage"].append([key])
        taken |= set(new)
        tasks["point"] += chunks
        ready += 0 if needs[h] else len(chunks)
    keys = [key for found in tasks.values() for task in found for key in task]
    # few of the points have a state, so they are looked for the other way round
    kept = {f.name.split(".")[0] for f in _entries(folder / UNFINISHED)}
    stages = [key for kind in KINDS[:2] for task in tasks[kind] for key in task]
    ticks = _ticks([*stages, *kept.intersection(keys)], Cache(folder / UNFINISHED), cache)
    return Round(
        number=number, options=options, tasks=tasks, ready=ready, tries={k: n for k, n in tries.items() if n},
        ticks=ticks, longer=longer, larger=larger,
    )  # fmt: skip


def _entries(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return list(folder.iterdir())
    return []


def judge(folder: Path, made: Round) -> Verdict:
    """Say what became of a round whose jobs have ended."""
    cache, unfinished = Cache(Path(made.options.cache)), Cache(folder / UNFINISHED)
    done, verdict = Store(folder).finished(), Verdict()
    for kind, tasks in made.tasks.items():
        for k, keys in enumerate(tasks):
            left = [key for key in keys if not (key in done if kind == "point" else cache.has(key))]
            if not left:
                continue
            told = Progress(folder, made.number, kind, k).read()
            lines = _tail(made.log(folder, kind, k))
            why = next((line for line in reversed(lines) if _TELLING.search(line)), "")
            late, large = (any(pattern.search(line) for line in lines) for pattern in (_LATE, _MEMORY))
            for key in left:
                if told is None:
                    verdict.charged[key] = f"its task did not begin{': ' + why if why else ''}"
                elif key in told["errors"]:
                    verdict.charged[key] = str(told["errors"][key])
                    verdict.known.add(key)
                    verdict.large |= bool(_MEMORY.search(verdict.charged[key]))
                elif told["at"] == key:
                    now = _ticks([key], unfinished, cache).get(key, -1)
                    # what has come further goes on from there, and its time was not lost
                    if now <= made.ticks.get(key, -1):
                        verdict.late |= late
                        verdict.large |= large or not (late or why)
                        verdict.charged[key] = f"its task was killed{': ' + why if why else ' (too little memory?)'}"
    return verdict


def _tail(log: Path) -> list[str]:
    with suppress(OSError), log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 4000))
        return file.read().decode(errors="replace").splitlines()
    return []
