# SPDX-License-Identifier: GPL-3.0-or-later
"""What precedes the first pulse: the common ancestor, then each separate lineage forward to the pulse.

A *lineage* is a set of demes that exchange genes before the first pulse. Each stage is a cache entry, keyed by
all that decides its content and by the burn-in's number, which also name its random streams: the same history
gives the same bits whatever the seed of the run, the threads or the state of the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from admix import seeds
from admix.cache import Cache, content_key
from admix.engines.native import start
from admix.engines.native.audit import audit
from admix.engines.native.cohorts import plan_cohorts
from admix.engines.native.pedigree import Pedigree
from admix.engines.native.snapshot import Arrays, pack_world, unpack_worlds
from admix.engines.native.tables import Tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.interrupts import deferred
from admix.schedule import Schedule
from admix.spectrum import StationarySpectrum

RESULTS_VERSION = 1
"""Part of every cache key; raised whenever the same history would give other numbers."""
CHECKPOINT_SECONDS = 120.0
_LOAD_EVERY = 8
REBALANCE_EVERY = 128
_COLLECT_EVERY = 16


@dataclass(frozen=True, slots=True)
class Past:
    """What is needed to follow lineages back beyond the pulse: the ancestor's world, and of each deme the key of the
    stage that simulated it."""

    ancestor: Arrays
    stage_of: dict[int, str]


Report = Callable[[str, float, str], None]
"""``report(stage, fraction done, note)``."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One cache entry: some demes over cohorts ``first`` .. ``last`` (ticks, inclusive)."""

    name: str
    demes: tuple[int, ...]
    first: int
    last: int
    content: dict[str, Any] = field(hash=False)
    key: str = ""
    parent: str = ""

    @property
    def ticks(self) -> int:
        """Cohorts to simulate."""
        return self.last - self.first + 1


def lineages(schedule: Schedule) -> list[tuple[int, ...]]:
    """Sets of demes that are linked by descent (after the first split) or migration before the first pulse."""
    pulse = schedule.first_pulse_tick()
    root = schedule.root
    demes = range(len(schedule.deme_names))
    # the root itself may live on beside those that split off
    alive = [d for d in demes if schedule.first_tick[d] < pulse and schedule.last_tick[d] > 0]
    leader = {d: d for d in alive}

    def find(d: int) -> int:
        while leader[d] != d:
            d = leader[d]
        return d

    links = [(d, a) for d in alive for a, _ in schedule.ancestors[d] if (a, schedule.first_tick[d]) != (root, 1)]
    links += [(m.source, m.target) for m in schedule.migrations if m.first_tick < pulse]
    for a, b in links:
        if a in leader and b in leader:
            leader[find(a)] = find(b)
    groups: dict[int, list[int]] = {}
    for d in alive:
        groups.setdefault(find(d), []).append(d)
    return sorted(tuple(g) for g in groups.values())


def plan_stages(
    schedule: Schedule,
    tables_key: str,
    start_mode: str,
    ancestral_burnin: float,
    relax: int,
    burnin: int,
    ancestor_burnin: int | None = None,
    *,
    parents_from_split: bool = False,
) -> list[Stage]:
    """Return the stages of a history, the ancestor first.

    Parameters
    ----------
    start_mode : ``forward`` or ``stationary``
        ``forward`` simulates every lineage for all its ticks. ``stationary`` takes a lineage that is one deme
        of the ancestor's constant size to be the same population, later: it runs ``relax`` ticks on from the
        ancestor, and what was fixed in it before is drawn from theory. (An ancestor that itself changed size
        in its last ``relax`` ticks is not stationary, so its descendants are simulated whole.)
    ancestral_burnin : float
        Length of the ancestor's burn-in in units of its size (``forward``).
    burnin, ancestor_burnin : int
        Number of the burn-in, and that of its ancestor where several burn-ins share one.
    parents_from_split : bool
        Keep the parents of everybody since the split; then every lineage is simulated from there on.
    """
    pulse = schedule.first_pulse_tick()
    size = schedule.size(schedule.root, 0)
    length = round(ancestral_burnin * size) if start_mode == "forward" else relax
    common: dict[str, Any] = {"results": RESULTS_VERSION, "tables": tables_key, "burnin": burnin, "unit": 26}
    content: dict[str, Any] = common | {
        "stage": "ancestor",
        "name": schedule.deme_names[schedule.root],
        "sizes": _runs(schedule.sizes(schedule.root, -length, 0)),
    }
    if ancestor_burnin is not None:
        content["burnin"] = ancestor_burnin
    ancestor = Stage("ancestor", (schedule.root,), 1 - length, 0, content, content_key(content))
    stages = [ancestor]
    steady = len(content["sizes"]) == 1
    oldest = min([tick for _, tick in schedule.ancestors_at], default=pulse)
    if parents_from_split:
        oldest = 0
    for demes in lineages(schedule):
        first = 1
        # a source of a pulse is always run forward, whatever its size: its history is what the pulse brings
        alone = len(demes) == 1 and demes[0] not in schedule.sources()
        if start_mode == "stationary" and alone and steady:
            sizes = schedule.sizes(demes[0], 1, min(pulse - 1, int(schedule.last_tick[demes[0]])))
            constant = int(np.argmax(sizes != size)) if (sizes != size).any() else len(sizes)
            # parents must be known back to the oldest date at which ancestors are counted
            first = max(1, min(constant, pulse - relax, oldest))
        content = common | {
            "stage": "lineage",
            "parent": ancestor.key,
            "first": first,
            "last": pulse - 1,
            "parents from": min(oldest, pulse),
            "demes": [d for d in schedule.to_dict(pulse)["demes"] if d["index"] in demes],
            "migrations": [m for m in schedule.to_dict(pulse)["migrations"] if m[0] in demes or m[1] in demes],
        }
        name = "+".join(schedule.deme_names[d] for d in demes)
        stages.append(Stage(name, demes, first, pulse - 1, content, content_key(content), ancestor.key))
    return stages


def _runs(sizes: np.ndarray) -> list[list[int]]:
    """Sizes as [size, how many ticks] pairs."""
    edges = np.flatnonzero(np.diff(sizes, prepend=-1, append=-1))
    return [[int(sizes[a]), int(b - a)] for a, b in pairwise(edges)]


@dataclass(slots=True)
class History:
    """Makes and keeps the stages of one scenario's history; ``spectrum`` is asked for when a stage starts from
    theory."""

    schedule: Schedule
    tables: Tables
    workers: Workers
    cache: Cache
    report: Report
    spectrum: Callable[[], StationarySpectrum]

    def make(self, stages: list[Stage], *, ancestor_too: bool = False) -> dict[str, tuple[Arrays, dict[str, Any]]]:
        """Return arrays and description of every stage, by stage name; the ancestor's only if asked for.

        What is in the cache is taken from there; the description's ``from_cache`` says so.
        """
        ancestor, *rest = stages
        for stage in stages:
            # left by a process that was killed between its last two steps
            if self.cache.has(stage.key):
                self.cache.drop_checkpoint(stage.key)
        made = {}
        founder: tuple[Arrays, dict[str, Any]] | None = None
        for stage in rest:
            found = self.cache.load(stage.key)
            if found is None:
                if founder is None:
                    founder = self._ancestor(ancestor)
                found = self._run(stage, founder)
                found[1]["from_cache"] = False
            else:
                self.report(stage.name, 1.0, "from the cache")
                found[1]["from_cache"] = True
            made[stage.name] = found
        if ancestor_too:
            made[ancestor.name] = founder or self._ancestor(ancestor)
        return made

    def _ancestor(self, stage: Stage) -> tuple[Arrays, dict[str, Any]]:
        found = self.cache.load(stage.key)
        if found is None:
            found = self._run(stage, None)
        else:
            self.report(stage.name, 1.0, "from the cache")
        return found

    def _world(self, stage: Stage) -> World:
        return World(
            self.tables,
            self.schedule.deme_names,
            lambda purpose, deme: seeds.stream_key("burnin", stage.key, purpose, deme),
            self.workers,
        )

    def _begin(self, stage: Stage, founder: Arrays | None) -> World:
        world = self._world(stage)
        rng = seeds.generator("burnin", stage.key, "theory")
        root = self.schedule.root
        if founder is None:
            n = self.schedule.size(root, stage.first - 1)
            start.found(world, root, n, self.spectrum().draw(rng), rng, stage.first - 1)
            return world
        unpack_worlds(world, [founder])
        # what is fixed in the common ancestor is fixed in everybody and decides nothing
        world.demes[root].fixed = np.zeros(0, np.int32)
        if stage.first > 1:
            s, h = self.spectrum().draw_fixed(stage.first - 1, rng)
            only = stage.demes[0]
            world.demes[root].index = only
            world.demes[only] = world.demes.pop(root)
            world.demes[only].fixed = start.add_mutations(world, rng, s, h, only, stage.first - 1)
        return world

    def _run(self, stage: Stage, founder: tuple[Arrays, dict[str, Any]] | None) -> tuple[Arrays, dict[str, Any]]:
        kept = self.cache.load(stage.key, checkpoint=True)
        curve: list[list[float]] = []
        pedigree = Pedigree()
        if kept is not None:
            arrays, meta = kept
            world = self._world(stage)
            unpack_worlds(world, [arrays])
            pedigree = Pedigree.unpack(arrays)
            tick, curve = int(meta["tick"]), meta["curve"]
            self.report(stage.name, self._fraction(stage, tick), f"goes on from tick {tick:,}")
        else:
            world = self._begin(stage, None if founder is None else founder[0])
            tick = stage.first - 1
        keep_from = stage.content.get("parents from", stage.last + 1)
        schedule = self.schedule

        def generators(purpose: str, deme: int, at: int) -> np.random.Generator:
            return seeds.generator("burnin", stage.key, purpose, schedule.deme_names[deme], at)

        def state() -> tuple[Arrays, dict[str, Any]]:
            meta: dict[str, Any] = {
                "title": f"{stage.name}, burn-in {stage.content['burnin']}",
                "tick": tick,
                "curve": curve,
            }
            if founder is not None:
                meta["ancestor"] = founder[1]["curve"]
            return pack_world(world) | pedigree.pack(), meta

        saved = time.monotonic()
        with deferred() as pending:
            while tick < stage.last:
                tick += 1
                cohorts = plan_cohorts(schedule, tick, stage.demes, generators, {})
                parents = world.breed(tick, cohorts)
                if tick > keep_from:
                    pedigree.add(tick, cohorts, parents)
                elif tick == keep_from:
                    pedigree.sizes[tick] = {i: c.n for i, c in cohorts.items()}
                look = tick % REBALANCE_EVERY == 0 or tick == stage.last
                if look:
                    world.rebalance(recount=True)
                elif tick % _COLLECT_EVERY == 0:
                    world.collect()
                if tick % _LOAD_EVERY == 0 or tick == stage.last:
                    curve += [[tick, i, float(world.log_fitness(i).mean())] for i in sorted(world.demes)]
                    self.report(
                        stage.name,
                        self._fraction(stage, tick),
                        f"tick {tick - stage.first + 1:,} of {stage.ticks:,}",
                    )
                stop = pending.signal is not None
                due = stop or pending.save or time.monotonic() - saved > CHECKPOINT_SECONDS
                due = due and tick < stage.last
                if look or due:
                    audit(world, tick)
                if due:
                    self.cache.save(stage.key, *state(), checkpoint=True)
                    saved, pending.save = time.monotonic(), False
                if stop:
                    break
            arrays, meta = state()
            if tick == stage.last:
                # still inside, since a signal in the last tick must not cost what is finished
                self.cache.save(stage.key, arrays, meta)
                self.cache.drop_checkpoint(stage.key)
        if tick < stage.last:
            raise KeyboardInterrupt
        return arrays, meta

    @staticmethod
    def _fraction(stage: Stage, tick: int) -> float:
        return (tick - stage.first + 1) / max(1, stage.ticks)


def load_slope(curve: list[list[float]], deme: int) -> tuple[float, float]:
    """Slope of a deme's mean log fitness over the last quarter of a stage, per 1,000 ticks, and its standard
    error from four blocks (nan where the stage is too short)."""
    points = np.array([(t, v) for t, i, v in curve if int(i) == deme])
    points = points[len(points) * 3 // 4 :]
    if len(points) < 12:
        return float("nan"), float("nan")
    slopes = [np.polyfit(block[:, 0], block[:, 1], 1)[0] for block in np.array_split(points, 4)]
    whole = np.polyfit(points[:, 0], points[:, 1], 1)[0]
    # blocks are a quarter as long, so their slopes scatter 4**1.5 times as much
    return float(1000 * whole), float(1000 * np.std(slopes, ddof=1) / 8)
