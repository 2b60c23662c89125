# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a sweep: its points and the histories they share, keyed by content, and the file that holds it.

A point's key is the hash of all that decides its numbers, and its seed comes from the setting, the burn-in and the
replicate by name. So a grid that grows keeps the points, seeds and results it had.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from admix import __version__, run_plan, schedule, seeds
from admix.cache import content_key
from admix.engines.native.history import RESULTS_VERSION, plan_stages
from admix.engines.native.tables import Tables, build_tables
from admix.errors import InputError, RunError
from admix.genome import Genome
from admix.results import sha256
from admix.scenario import GENOME_FILES, Scenario
from admix.sweep.grid import Grid, Setting, Study

__all__ = ["FILE", "FORMAT", "History", "Parts", "Point", "SweepPlan", "inputs_key", "make", "read", "write"]

FILE = "plan.json"
FORMAT = 1
_MADE_AGAIN = "'admix sweep plan' makes it again, and finished points are kept"


@dataclass(frozen=True, slots=True)
class Point:
    """One run: a setting, a burn-in and a replicate of it; ``history`` is a number in `SweepPlan.histories`."""

    key: str
    setting: Setting
    burnin: int
    replicate: int
    seed: int
    history: int


@dataclass(frozen=True, slots=True)
class History:
    """What some points share before the pulse: (name, cache key) of the ancestor and of each lineage."""

    burnin: int
    stages: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """Names and shortened keys of the lineages."""
        return " ".join(f"{name}:{key[:12]}" for name, key in self.stages[1:])


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """All points of a sweep, in the order of the grid; ``inputs`` is the hash of what they were made from."""

    study: Study
    inputs: str
    histories: tuple[History, ...]
    points: tuple[Point, ...]

    def scenario(self, point: Point) -> Scenario:
        """Return the scenario of a point."""
        return self.study.scenario(point.setting)

    def options(self, point: Point, **more: Any) -> run_plan.RunOptions:
        """Return the options with which `admix run` would simulate the point; trees are never made."""
        return run_plan.RunOptions(
            out=Path(point.key), seed=point.seed, burnin=point.burnin, generations=self.study.grid.generations,
            trees=False, **more,
        )  # fmt: skip

    def to_tree(self) -> dict[str, Any]:
        """Return the plan as it stands in its file, without the checksum."""
        study = self.study
        return {
            "format": FORMAT, "admix": __version__, "results_version": RESULTS_VERSION, "inputs": self.inputs,
            "grid": study.grid.to_tree(), "base": study.base.to_tree(),
            "paths": list(study.paths),
            "histories": [[h.burnin, [list(stage) for stage in h.stages]] for h in self.histories],
            "points": [
                [p.key, list(p.setting.values), p.setting.draw, p.burnin, p.replicate, p.seed, p.history]
                for p in self.points
            ],
        }  # fmt: skip


class Parts:
    """Genomes and tables of effects, built once for all scenarios that share them."""

    def __init__(self) -> None:
        self._genomes: dict[str, Genome] = {}
        self._tables: dict[str, tuple[Genome, Tables, str]] = {}

    def of(self, scenario: Scenario) -> tuple[Genome, Tables, str]:
        """Return genome, tables and their key (see `admix.run_plan.tables_key`)."""
        tree = scenario.to_tree()
        block = content_key(tree["genome"])
        key = content_key([block, tree["selection"]])
        if key not in self._tables:
            if block not in self._genomes:
                self._genomes = {block: scenario.build_genome()}
            genome = self._genomes[block]
            tables = build_tables(genome, scenario.build_selection())
            # as many as points of one sweep may alternate between, and no more, since each takes some MB
            if len(self._tables) >= 16:
                del self._tables[next(iter(self._tables))]
            self._tables[key] = genome, tables, run_plan.tables_key(genome, tables)
        return self._tables[key]


def inputs_key(study: Study) -> str:
    """SHA-256 (hex) of all that a plan is made from."""
    tree = study.base.to_tree()
    files = {k: sha256(Path(tree["genome"][k])) for k in GENOME_FILES if tree["genome"].get(k)}
    grid = study.grid.to_tree()
    return content_key([FORMAT, __version__, RESULTS_VERSION, grid, tree, list(study.paths), files])


def make(study: Study) -> SweepPlan:
    """Return the plan of a grid.

    Raises
    ------
    InputError
        If a value of a parameter is not allowed, or the grid asks for generations after today.
    """
    maker = _Maker(study)
    points = tuple(maker.points())
    seen: dict[str, int] = {}
    for i, point in enumerate(points):
        if point.key in seen:
            given = dict(zip(study.grid.names, point.setting.values, strict=True))
            raise InputError(f"points {seen[point.key]} and {i}", given, "points that differ")
        seen[point.key] = i
    return SweepPlan(study, inputs_key(study), maker.histories, points)


class _Maker:
    def __init__(self, study: Study) -> None:
        self.study = study
        self._order: dict[History, int] = {}
        self._parts = Parts()
        self._numbers: dict[str, list[tuple[History, int]]] = {}

    @property
    def histories(self) -> tuple[History, ...]:
        return tuple(self._order)

    def points(self) -> Iterator[Point]:
        grid = self.study.grid
        for setting in self.study.settings():
            scenario = self.study.scenario(setting)
            tree = scenario.to_tree()
            numbers = self._histories(scenario, tree)
            decides = {name: tree[name] for name in ("demography", "selection", "pulse", "start")}
            decides["ancestors_at"] = tree["sampling"]["ancestors_at"]
            name = content_key(dict(zip(self.study.paths, setting.values, strict=True)))
            draw = -1 if setting.draw is None else setting.draw
            for burnin in range(grid.burnins):
                history, number = numbers[burnin]
                for replicate in range(grid.replicates):
                    seed = 1 + seeds.stream_key("sweep", grid.seed, name, draw, burnin, replicate) % (2**32 - 1)
                    key = content_key([FORMAT, RESULTS_VERSION, decides, history.stages, grid.generations, seed])
                    yield Point(key, setting, burnin, replicate, seed, number)

    def _histories(self, scenario: Scenario, tree: dict[str, Any]) -> list[tuple[History, int]]:
        """Histories of a scenario and their numbers, by burn-in."""
        clock = schedule.compile(scenario)
        longest = clock.today - clock.first_pulse_tick() + 1
        if self.study.grid.generations is not None and self.study.grid.generations > longest:
            raise InputError("generations", self.study.grid.generations, f"1 to {longest} (today)")
        before = {name: tree[name] for name in ("demography", "genome", "selection", "start")}
        pulses = [{k: v for k, v in p.items() if k in ("source", "target", "time")} for p in tree["pulse"]]
        name = content_key([before, pulses, tree["sampling"]["ancestors_at"]])
        if name not in self._numbers:
            _, _, tables_key = self._parts.of(scenario)
            start = scenario.start
            found = []
            for k in range(self.study.grid.burnins):
                stages = plan_stages(clock, tables_key, start.mode, start.ancestral_burnin, start.relax, k)
                history = History(k, tuple((stage.name, stage.key) for stage in stages))
                # another name may lead to the same stages: a field written in two ways, or one that decides nothing
                found.append((history, self._order.setdefault(history, len(self._order))))
            self._numbers[name] = found
        return self._numbers[name]


def write(plan: SweepPlan, folder: Path) -> Path:
    """Write a plan into the directory of its sweep, whole or not at all; return the file.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    tree = plan.to_tree()
    text = json.dumps(tree | {"checksum": content_key(tree)}, separators=(",", ":"), allow_nan=False)
    put(folder / FILE, text + "\n")
    return folder / FILE


def put(path: Path, text: str) -> None:
    """Write a text file by renaming, so that it is whole or absent whoever writes it at once.

    Raises
    ------
    RunError
        If it cannot be written; nothing half-written is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(
            str(path), f"cannot be written ({error.strerror or error})", "what was finished before is kept"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read(folder: Path) -> SweepPlan:
    """Return the plan in a directory.

    Raises
    ------
    InputError
        If there is none, or it was edited by hand, or made by another version of admix.
    """
    file = folder / FILE
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        checksum = tree.pop("checksum")
        made_by = tree["admix"], tree["format"], tree["results_version"]
    except FileNotFoundError as error:
        raise InputError(str(folder), allowed=f"the directory of a sweep ({FILE} is not there)") from error
    except OSError as error:
        raise InputError(str(file), allowed=f"a plan that can be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(str(file), allowed=f"a whole plan; {_MADE_AGAIN}") from error
    if made_by != (__version__, FORMAT, RESULTS_VERSION):
        theirs = f"a plan of admix {made_by[0]} (format {made_by[1]}, results {made_by[2]})"
        ours = f"{__version__} (format {FORMAT}, results {RESULTS_VERSION})"
        raise InputError(str(file), theirs, f"one of this admix, {ours}; {_MADE_AGAIN}")
    if content_key(tree) != checksum:
        raise InputError(str(file), "a plan changed by hand", f"change the grid file instead; {_MADE_AGAIN}")
    try:
        study = Study(Grid.model_validate(tree["grid"]), Scenario.from_tree(tree["base"]), tuple(tree["paths"]))
    except ValidationError as error:  # the checksum holds, so this is a fault in admix
        raise RunError(str(file), "does not hold a valid grid", _MADE_AGAIN) from error
    return SweepPlan(
        study, tree["inputs"],
        tuple(History(k, tuple((name, key) for name, key in stages)) for k, stages in tree["histories"]),
        tuple(Point(p[0], Setting(tuple(p[1]), p[2]), *p[3:]) for p in tree["points"]),
    )  # fmt: skip
