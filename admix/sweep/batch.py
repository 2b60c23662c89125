# SPDX-License-Identifier: GPL-3.0-or-later
"""The Slurm executor: job arrays for ancestors, lineages and chunks of points, and a job that gathers.

Nothing has to stay alive between submission and the end. The gathering job judges the round and submits the next one
for what is missing, until nothing is left to try. Resume is the same command.
"""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from admix.cache import Cache, content_key
from admix.errors import AdmixError, RunError
from admix.sweep import plan as plans
from admix.sweep import rounds, slurm
from admix.sweep.estimate import Cost, cost
from admix.sweep.plan import SweepPlan, put
from admix.sweep.point import Bench, missing_stages, reason
from admix.sweep.rounds import Options, Progress, Round
from admix.sweep.store import Store

__all__ = ["GATHER", "close_last", "gather", "job_name", "scripts", "submit", "work"]

GATHER = "gather"
TASK_SECONDS = 600.0
"""A task of several points takes about this long."""
SPARE = 2.0
"""What a task may take, in units of the estimate, and SPARE_MINUTES more."""
SPARE_MINUTES = 10
ROW_BYTES = 400
"""Memory for a generation of a trajectory while the tables are made."""


def job_name(folder: Path) -> str:
    """Name of all jobs of the sweep in a directory."""
    return f"admix-{content_key(str(folder.resolve()))[:10]}"


@dataclass(frozen=True, slots=True)
class _Need:
    minutes: int
    memory_mb: int


def _chunk(plan: SweepPlan, options: Options, spent: Cost, room: int | None) -> int:
    """Points of a task: as asked for, else so many that it takes some minutes, and that all fit into the queue."""
    if options.chunk is not None:
        return options.chunk
    each = sum(spent.points.values()) / max(1, len(spent.points)) / options.cpus
    chunk = max(1, round(TASK_SECONDS / each)) if each > 0 else 1
    sizes: dict[int, int] = {}
    for i in spent.points:
        sizes[plan.points[i].history] = sizes.get(plan.points[i].history, 0) + 1
    if room is not None:
        room -= 1 + len(spent.stages)
        while sum(-(-n // chunk) for n in sizes.values()) > room and chunk < max(sizes.values()):
            chunk *= 2
    return chunk


def _needs(plan: SweepPlan, made: Round, spent: Cost, chunk: int) -> dict[str, _Need]:
    """Time and memory of a task of each kind."""
    options = made.options
    memory = options.memory_mb or math.ceil(1.25 * spent.memory_bytes / 1e6 + 200)
    found = {}
    for kind, tasks in made.tasks.items():
        if kind == "point":
            seconds = chunk * max(spent.points.values(), default=0.0)
        else:
            seconds = max((spent.stages.get(key, 0.0) for task in tasks for key in task), default=0.0)
        minutes = options.minutes or math.ceil(SPARE * seconds / options.cpus / 60) + SPARE_MINUTES
        found[kind] = _Need(math.ceil(minutes * made.longer), math.ceil(memory * made.larger))
    generations = plan.study.grid.generations or 2000
    found[GATHER] = _Need(30 + len(plan.points) // 200, 1000 + len(plan.points) * generations * ROW_BYTES // 10**6)
    return found


def scripts(folder: Path, made: Round, needs: dict[str, _Need]) -> list[tuple[str, str]]:
    """(name, text) of the batch scripts of a round, in the order of submission, the gathering job's last."""
    return [
        *((f"{kind}-{first}", _script(folder, made, needs[kind], kind, first, n)) for kind, first, n in made.arrays),
        (GATHER, _script(folder, made, needs[GATHER], GATHER, 0, 0)),
    ]


def _script(folder: Path, made: Round, need: _Need, kind: str, first: int, n: int) -> str:
    options = made.options
    log = str(rounds.logs(folder, made.number)).replace("%", "%%")
    command = [sys.executable, "-m", "admix", "sweep", "batch", str(folder), str(made.number), kind]
    words = " ".join(map(shlex.quote, command))
    lines = [
        f"--job-name={job_name(folder)}",
        f'--output="{log}/{kind}.log"' if kind == GATHER else f'--output="{log}/{kind}-{first}+%a.log"',
        "--open-mode=append",
        "--requeue",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={1 if kind == GATHER else options.cpus}",
        f"--time={need.minutes}",
        f"--mem={need.memory_mb}M",
    ]
    if kind != GATHER:
        lines.append(f"--array=0-{n - 1}" + (f"%{options.parallel}" if options.parallel else ""))
        lines.append("--signal=B:{}@{}".format(*options.signal))
        words += f" $((SLURM_ARRAY_TASK_ID + {first})) --threads {options.cpus} --signal {options.signal[0]}"
    lines += options.extra
    directives = "".join(f"#SBATCH {line}\n" for line in lines)
    # libraries must not make threads beside ours
    return (
        f"#!/bin/bash\n{directives}"
        "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1\n"
        f"exec {words}\n"
    )


def prepare(
    plan: SweepPlan, folder: Path, options: Options, site: slurm.Site, *, queued: int = 0,
    tries: dict[str, int] | None = None, longer: float = 1.0, larger: float = 1.0, spent: Cost | None = None,
) -> tuple[Round, dict[str, _Need]]:  # fmt: skip
    """Return the next round and what its tasks need; writes nothing. ``spent`` is the estimate, where it is known.

    Raises
    ------
    RunError
        If the site's limit of queued jobs leaves no room.
    """
    spent = spent or cost(plan, Store(folder).finished(), Path(options.cache))
    limits = [n for n in (site.max_submit, options.max_submit) if n is not None]
    room = min(limits) - queued if limits else None
    chunk = _chunk(plan, options, spent, room)
    made = rounds.make(
        plan, folder, options, number=rounds.last(folder) + 1, chunk=chunk, room=room, tries=tries or {},
        longer=longer, larger=larger,
    )  # fmt: skip
    if not made.count and rounds.make(
        plan, folder, options, number=0, chunk=chunk, room=None, tries=tries or {}
    ).count:  # fmt: skip
        raise RunError("Slurm", f"{room} more jobs may be queued, which is too few", "try again later")
    made.split(site.max_array)
    return made, _needs(plan, made, spent, chunk)


def submit(folder: Path, made: Round, needs: dict[str, _Need], *, patient: bool = False) -> None:
    """Give all jobs of a round to Slurm, or none of them.

    Raises
    ------
    Refused
        If sbatch does not take one of them; those before it are cancelled.
    RunError
        If the directory can't be written.
    """
    home = rounds.place(folder, made.number)
    files = []
    for name, text in scripts(folder, made, needs):
        put(home / f"{name}.sh", text)
        files.append(str(home / f"{name}.sh"))
    rounds.logs(folder, made.number).mkdir(exist_ok=True)
    rounds.write(folder, made)
    by_kind: dict[str, list[str]] = {kind: [] for kind in rounds.KINDS}
    given: list[str] = []
    try:
        for (kind, first, _), file in zip(made.arrays, files[:-1], strict=True):
            waits = by_kind["lineage"] or by_kind["ancestor"] if kind == "point" and first >= made.ready else []
            if kind == "lineage":
                waits = by_kind["ancestor"]
            given.append(slurm.submit(file, waits, patient=patient))
            by_kind[kind].append(given[-1])
        given.append(slurm.submit(files[-1], given, patient=patient))
    except BaseException:
        with suppress(AdmixError):
            slurm.cancel(given)
        shutil.rmtree(home, ignore_errors=True)
        raise
    made.jobs = given
    rounds.write(folder, made)


def close_last(folder: Path, store: Store) -> tuple[Round | None, rounds.Verdict]:
    """Judge the last round, whose jobs have ended, if nobody has yet; put down why points are missing."""
    number = rounds.last(folder)
    try:
        made = rounds.read(folder, number) if number else None
    except RunError:  # killed before its first byte; another one follows
        made = None
    if made is None or made.judged:
        return None, rounds.Verdict()
    verdict = rounds.judge(folder, made)
    chosen = plans.read(folder)
    done = store.finished()
    for point in chosen.points:
        line = verdict.charged.get(point.key)
        if line is None and point.key not in done:
            stages = chosen.histories[point.history].stages
            line = next((f"history: {verdict.charged[key]}" for _, key in stages if key in verdict.charged), None)
        if line is not None and point.key not in verdict.known:
            store.blame(point.key, line)
    made.judged = True
    rounds.write(folder, made)
    return made, verdict


def gather(folder: Path, number: int, say: Callable[[str], None]) -> bool:
    """Judge a round and submit the next one; return whether there is one.

    Raises
    ------
    AdmixError
        If the next round can't be submitted; the same command of the user does it.
    """
    store, chosen = Store(folder), plans.read(folder)
    made, verdict = close_last(folder, store)
    if made is None or made.number != number:
        say(f"round {number} was judged before")
        return False
    tries = made.tries | {key: made.tries.get(key, 0) + 1 for key in verdict.charged}
    longer, larger = made.longer * (2 if verdict.late else 1), made.larger * (2 if verdict.large else 1)
    site = slurm.read_site(patient=True)
    done = store.finished()
    if all(point.key in done for point in chosen.points):
        return False
    queued = len(slurm.live(job_name(folder), patient=True)) + 1
    refusal: slurm.Refused | None = None
    for factors in dict.fromkeys([(longer, larger), (made.longer, made.larger)]):
        following, needs = prepare(
            chosen, folder, made.options, site, queued=queued, tries=tries, longer=factors[0], larger=factors[1]
        )
        if not following.count:
            return False
        try:
            submit(folder, following, needs, patient=True)
        except slurm.Refused as error:
            # more time or memory than there is: once more with what it had
            say(str(error))
            refusal = error
            continue
        say(f"round {following.number}: {following.count} tasks in jobs {' '.join(following.jobs)}")
        return True
    assert refusal is not None
    raise refusal


def work(folder: Path, number: int, kind: str, k: int, threads: int, say: Callable[[str], None]) -> int:
    """Do one task of a round; return how much of it failed.

    Raises
    ------
    KeyboardInterrupt
        On a signal; the state of what was under way is saved.
    """
    made, chosen = rounds.read(folder, number), plans.read(folder)
    cache = Cache(Path(made.options.cache))
    bench = Bench(chosen, folder, Path(made.options.cache))
    points = {point.key: (i, point) for i, point in enumerate(chosen.points)}
    progress = Progress(folder, number, kind, k)
    progress.at(None)
    for key in made.tasks[kind][k]:
        if kind == "point":
            # the grid may have changed since
            if key not in points or (bench.store.has(key)):
                continue
            i, point = points[key]
            if missing_stages(chosen, point.history, cache):
                say(f"point {i}: its history is not there, so it has to wait for the next round")
                continue
        elif cache.has(key):
            continue
        name = f"point {points[key][0]}" if kind == "point" else f"{kind} {key[:12]}"
        progress.at(key)
        try:
            if kind == "point":
                bench.point(points[key][1], threads)
            else:
                bench.stage(key, threads)
            say(f"{name}: finished")
        except Exception as error:
            line = progress.errors[key] = reason(error)
            if kind == "point":
                bench.store.blame(key, line)
            say(f"{name} failed: {line}")
    progress.at(None)
    return len(progress.errors)
