# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, in which order: a list of tasks, each of which is one process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.states import State

GROUPS = ("states", "tune", "common", "stages", "series", "memory", "reich", "petr2019")
"""``petr2019`` takes hours and is measured only where it is asked for by name."""
ENGINES = ("native", "slim", "fwdpy11")
NATIVE: dict[str, dict[str, Any]] = {
    "native, 1 thread": {"threads": 1},
    "native, all threads": {"threads": 0},
    "native, 1 thread, parents kept": {"threads": 1, "parents": True},
    "native, all threads, parents kept": {"threads": 0, "parents": True},
    "native, 1 thread, markers": {"threads": 1, "markers": True},
    "native, all threads, markers": {"threads": 0, "markers": True},
}
"""Name of a configuration -> arguments; 0 threads are all there are."""
ONE, ALL, ONE_KEPT, ALL_KEPT = list(NATIVE)[:4]
SLIM, SLIM_TREES, FWDPY11 = "SLiM", "SLiM, trees recorded", "fwdpy11"
RUNS = {"one": (64, 128, 256, 512, 1024), "many": (4, 16, 32, 64)}
"""Numbers of mutation runs a chromosome among which the fastest is looked for."""
RUNS_QUICK = {"one": (512,), "many": (32,)}
"""The same for ``--quick``, where reading the population takes most of the time."""
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000)
TARGETS = (10, 20, 40, 74.27, 150)
"""Mb at a rate of 1e-8."""
MAPS = (0.25, 0.5, 2.0, 4.0)
KEPT = (0.1, 0.25, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run of the benchmark measures.

    Attributes
    ----------
    quick
        A choice that takes ten minutes on two cores.
    rounds
        How often each configuration of ``common`` is measured, in turn.
    size, relax, chromosomes
        The common state's individuals, ticks forward, and chromosomes (all autosomes where empty).
    ticks
        Measured ticks of the native engine; 128 hold everything that is done now and then.
    only, engines
        Groups and engines that are measured.
    """

    quick: bool = False
    rounds: int = 3
    size: int = 10_000
    relax: int = 300
    ticks: int = 128
    chromosomes: tuple[str, ...] = ()
    only: tuple[str, ...] = GROUPS[:-1]
    engines: tuple[str, ...] = ENGINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One measurement: which configuration of which engine, on which state, for the how many-th time."""

    group: str
    label: str
    engine: str
    state: State
    given: dict[str, Any] = field(default_factory=dict)
    round: int = 0

    @property
    def id(self) -> str:
        """What tells it from all others."""
        return f"{self.group} / {self.state.name} / {self.label} / {self.round}"


def states(settings: Settings) -> list[State]:
    """The common states."""
    base = State(n=settings.size, relax=settings.relax, chromosomes=settings.chromosomes)
    light, heavy = replace(base, target="cds", u=0.25), replace(base, target="exons", u=0.74)
    if settings.quick:
        return [light, heavy]
    return [light, replace(light, h=0.1), heavy, replace(heavy, h=0.1)]


def tasks(settings: Settings) -> list[Task]:
    """All tasks, in order."""
    groups = {
        "states": _states(settings), "tune": _tune(settings), "common": _common(settings), "stages": _stages(settings),
        "series": _series(settings), "memory": _memory(settings), "reich": _job("reich", settings),
        "petr2019": _job("petr2019", settings),
    }  # fmt: skip
    made = [task for name in GROUPS if name in settings.only for task in groups[name]]
    if settings.quick:
        # each thing once before anything twice
        made.sort(key=lambda task: task.round)
    # what a task needs before it
    if "slim" in settings.engines and "common" in settings.only and "tune" not in settings.only:
        made = groups["tune"] + made
    wanted = {"states": "native", "stages": "native", "job": "native"}
    return [task for task in made if wanted.get(task.engine, task.engine) in (*settings.engines, "facts")]


def _states(settings: Settings) -> list[Task]:
    return [Task(group="states", label="contents", engine="facts", state=state) for state in states(settings)]


def _tune(settings: Settings) -> list[Task]:
    runs = RUNS_QUICK if settings.quick else RUNS
    chosen = [state for state in states(settings) if state.h == 0.5]
    given = {"trees": False, "first": 2, "least": 6, "most": 10, "seconds": 10.0}
    return [
        Task(
            group="tune", label=f"{form} {count}", engine="slim", state=state,
            given=given | {"form": form, "runs": count},
        )
        for state in (chosen[:1] if settings.quick else chosen)
        for form, counts in runs.items()
        for count in counts
    ]  # fmt: skip


def _common(settings: Settings) -> list[Task]:
    quick = settings.quick
    plain = {"trees": False, "first": 3, "least": 8, "most": 23 if quick else 63, "seconds": 20.0 if quick else 120.0}
    # up to the simplification in tick 20 at least
    trees = {"trees": True, "first": 1, "least": 21, "most": 46 if quick else 110, "seconds": 45.0 if quick else 300.0}
    made = []
    for k in range(settings.rounds):
        for state in states(settings):
            for label, given in NATIVE.items():
                if quick and "markers" in given:
                    continue
                made.append(
                    Task(
                        group="common", label=label, engine="native", state=state, round=k,
                        given=given | {"ticks": settings.ticks},
                    )
                )  # fmt: skip
            for label, engine, given in (
                (SLIM, "slim", plain),
                (FWDPY11, "fwdpy11", {"interval": 100}),
                (SLIM_TREES, "slim", trees),
            ):
                # these take so long that nothing else would be measured in ten minutes
                if not (quick and (label == FWDPY11 or (label == SLIM_TREES and state.u > 0.5))):
                    made.append(Task(group="common", label=label, engine=engine, state=state, round=k, given=given))
    return made


def _stages(settings: Settings) -> list[Task]:
    return [
        Task(group="stages", label="1 thread", engine="stages", state=state, given={"ticks": settings.ticks})
        for state in states(settings)
    ]


def _series(settings: Settings) -> list[Task]:
    light, heavy = (s for s in states(settings) if s.h == 0.5)
    given = {"threads": 1, "ticks": settings.ticks}
    sizes = (1_000, 4_000) if settings.quick else SIZES
    if settings.size != State().n:
        sizes = (settings.size // 2, settings.size)

    def task(label: str, state: State, **more: Any) -> Task:
        return Task(group="series", label=label, engine="native", state=state, given=given | more)

    made = [task(f"n {n}", replace(light, n=n)) for n in sizes]
    if not settings.quick:
        made += [task(f"target {mb}", replace(heavy, u=mb / 100)) for mb in TARGETS]
    made += [task(f"map {scale}", light, map_scale=scale) for scale in (MAPS[1:3] if settings.quick else MAPS)]
    made += [task(f"sites {share}", heavy, keep=share) for share in (KEPT[1:2] if settings.quick else KEPT)]
    return made


def _memory(settings: Settings) -> list[Task]:
    if settings.quick:
        return []
    heavy = next(s for s in states(settings) if s.u == 0.74)
    few = replace(heavy, relax=10)
    return [
        Task(
            group="memory", label=f"n {n}", engine="native", state=replace(few, n=n), given={"threads": 0, "ticks": 10}
        )
        for n in (settings.size, 10 * settings.size)
    ]


def _job(name: str, settings: Settings) -> list[Task]:
    if settings.quick:
        return []
    state = states(settings)[0]
    if name == "petr2019":
        return [Task(group=name, label="forward start", engine="job", state=state, given={"scenario": name})]
    return [
        Task(group=name, label=label, engine="job", state=state, given={"scenario": name, "cached": label != "first"})
        for label in ("first", "cached")
    ]
