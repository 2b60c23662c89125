# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep will cost before it starts: core time of the histories and points that are missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from admix import run_plan
from admix.cache import Cache
from admix.cost import SCALING
from admix.sweep.plan import Parts, SweepPlan
from admix.sweep.point import missing_stages

__all__ = ["Cost", "cost"]

POINT_SECONDS = 0.3
"""Reading the history, and writing the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds on one core, and bytes of the largest point.

    ``histories`` and ``points`` are by number in the plan, ``stages`` (of which histories consist) by cache key; all
    hold only what is missing.
    """

    stages: dict[str, float]
    histories: dict[int, float]
    points: dict[int, float]
    memory_bytes: float

    @property
    def core_seconds(self) -> float:
        """Seconds of all that is missing, on one core."""
        return sum(self.histories.values()) + sum(self.points.values())

    def wall_seconds(self, cores: int) -> float:
        """Seconds with this many cores that share a memory, if all of them have work to the end."""
        return self.core_seconds / (1 + SCALING * (cores - 1))


def cost(plan: SweepPlan, done: set[str], cache_dir: Path) -> Cost:
    """Return what the points that are not `done` will cost.

    The numbers of sites are those of the first missing point throughout: what a generation costs depends on sizes
    and the genome far more than on effects, and each spectrum takes seconds.
    """
    cache, parts = Cache(cache_dir), Parts()
    spectrum = None
    histories: dict[int, float] = {}
    each: dict[int, float] = {}
    points: dict[int, float] = {}
    memory = 0.0
    stages: dict[str, float] = {}
    for i, point in enumerate(plan.points):
        if point.key in done:
            continue
        number = point.history
        if number not in each:
            scenario = plan.scenario(point)
            genome, tables, _ = parts.of(scenario)
            options = plan.options(point, threads=1, cache_dir=cache_dir)
            resolved = run_plan.resolve(scenario, options, genome=genome, tables=tables)
            if spectrum is None:
                spectrum = resolved.spectrum
            run_plan.share_spectrum(resolved, spectrum)
            # a stage that histories share is counted for the first of them
            missing = [key for key in missing_stages(plan, number, cache) if key not in stages]
            stages |= {key: run_plan.stages_seconds(resolved, {key}) for key in missing}
            if missing:
                histories[number] = sum(stages[key] for key in missing)
            each[number] = POINT_SECONDS + sum(seconds for _, seconds in run_plan.work(resolved)[1])
            memory = max(memory, run_plan.memory_bytes(resolved))
        points[i] = each[number]
    return Cost(stages=stages, histories=histories, points=points, memory_bytes=memory)
