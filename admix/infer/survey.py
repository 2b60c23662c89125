# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep tells about its parameters: one row a point, ancestry as log-odds by generation, histories as numbers.

Inference reads nothing else of a sweep, so that tables made by hand serve as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix import schedule
from admix.errors import InputError, RunError, nearest
from admix.sweep import collect
from admix.sweep.grid import Parameter
from admix.sweep.plan import SweepPlan
from admix.sweep.store import Store

__all__ = ["Axis", "Floats", "Survey", "families", "log_odds", "read", "share"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LOG_FROM = 3.0  # largest over smallest value from which a positive parameter is taken as its logarithm
_SHARE = re.compile(r"pulse\[(\d+)\]\.share")


def log_odds(shares: npt.ArrayLike) -> Floats:
    """Return ln(q / (1 - q)) of shares."""
    q = np.asarray(shares, dtype=np.float64)
    return np.asarray(np.log(q) - np.log1p(-q))


def share(odds: npt.ArrayLike) -> Floats:
    """Return the share that has these log-odds."""
    from scipy.special import expit

    return np.asarray(expit(np.asarray(odds, dtype=np.float64)))


@dataclass(frozen=True)
class Axis:
    """A parameter as the emulator sees it.

    Attributes
    ----------
    name, label : str
        Its column in the table of the sweep, and its text in figures.
    levels : tuple
        The values that were run, sorted where they are numbers.
    scale : str
        ``log-odds`` (the pulse), ``log``, ``linear``, or ``factor`` for words, truths and lists.
    """

    name: str
    label: str
    levels: tuple[Any, ...]
    scale: str

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return self.scale != "factor"

    @property
    def low(self) -> float:
        """Smallest number that was run."""
        return float(self.levels[0])

    @property
    def high(self) -> float:
        """Largest number that was run."""
        return float(self.levels[-1])

    def _raw(self, values: npt.ArrayLike) -> Floats:
        numbers = np.asarray(values, dtype=np.float64)
        if self.scale == "log-odds":
            return log_odds(numbers)
        return np.asarray(np.log(numbers)) if self.scale == "log" else numbers

    def scaled(self, values: npt.ArrayLike) -> Floats:
        """Return numbers on the axis' scale, -1 at the smallest that was run and 1 at the largest."""
        low, high = self._raw([self.low, self.high])
        return np.asarray((self._raw(values) - (low + high) / 2) / ((high - low) / 2))


def axis(name: str, label: str, values: Sequence[Any], *, pulse: bool = False) -> Axis:
    """Return the axis of a parameter with these values."""
    distinct = list(dict.fromkeys(values))
    numbers = all(isinstance(v, int | float | np.number) and not isinstance(v, bool | np.bool_) for v in distinct)
    if not numbers:
        return Axis(name, label or name, tuple(distinct), "factor")
    levels = tuple(sorted(distinct))
    if pulse:
        scale = "log-odds"
    else:
        scale = "log" if levels[0] > 0 and levels[-1] >= _LOG_FROM * levels[0] else "linear"
    return Axis(name, label or name, levels, scale)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The points of a sweep, for one source and deme.

    Attributes
    ----------
    source, deme, unit : str
        Whose ancestry, where, and the unit of the source's first pulse.
    axes : tuple of Axis
        Parameters with more than one value; the first is the share of the source's first pulse.
    values : DataFrame
        A column for each axis, a row for each point.
    history, family : int64[points]
        The history that a point starts from; and which of these hold a lineage in common.
    burnin : int64[points]
    generations : int64[g]
        Generations on record, ascending; the last is the end of the runs.
    log_odds : float64[points, g]
        Log-odds of the mean ancestry.
    today : int
        The generation of today.
    first_years, years_a_generation : float
        Date of generation 1 (years ago), and the step.
    """

    source: str
    deme: str
    unit: str
    axes: tuple[Axis, ...]
    values: pd.DataFrame
    history: Ints
    family: Ints
    burnin: Ints
    generations: Ints
    log_odds: Floats
    today: int
    first_years: float
    years_a_generation: float

    @property
    def pulse(self) -> Axis:
        """The axis of the source's first pulse."""
        return self.axes[0]

    @property
    def last(self) -> int:
        """The last generation that was run."""
        return int(self.generations[-1])

    @cached_property
    def pulse_odds(self) -> Floats:
        """Log-odds of the pulse of each point."""
        return log_odds(self.values[self.pulse.name].to_numpy(np.float64))

    def at(self, generation: int) -> Floats:
        """Return the log-odds of all points in a generation on record.

        Raises
        ------
        RunError
            If some points have no ancestry on record then.
        """
        found = np.flatnonzero(self.generations == generation)
        if not len(found):
            raise RunError("the sweep", f"generation {generation} is not in all of its points")
        return np.asarray(self.log_odds[:, found[0]])

    def generation(self, years: float) -> float:
        """Return the generation, not a whole number, of a date in years ago."""
        return 1 + (self.first_years - years) / self.years_a_generation

    def years(self, generation: float) -> float:
        """Return the date (years ago) of a generation."""
        return self.first_years - (generation - 1) * self.years_a_generation

    def until(self, generation: int) -> Survey:
        """Return the survey as if the runs had ended with this generation."""
        kept = self.generations <= generation
        return replace(self, generations=self.generations[kept], log_odds=self.log_odds[:, kept])

    def of(self, points: npt.NDArray[np.bool_]) -> Survey:
        """Return the survey with some of the points alone; its axes stay as they are."""
        return replace(
            self, values=self.values[points].reset_index(drop=True), history=self.history[points],
            family=self.family[points], burnin=self.burnin[points], log_odds=self.log_odds[points],
        )  # fmt: skip


def families(histories: Sequence[Sequence[str]]) -> list[int]:
    """Return a number for each history; those that have a lineage in common, also through others, have the same.

    Parameters
    ----------
    histories
        Keys of the lineages of each.
    """
    parent = list(range(len(histories)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, lineages in enumerate(histories):
        for key in lineages:
            parent[root(i)] = root(first.setdefault(key, i))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(len(histories))]


def read(
    plan: SweepPlan, store: Store, *, source: str | None = None, deme: str | None = None, partial: bool = False
) -> Survey:
    """Return what the finished points of a sweep tell.

    Parameters
    ----------
    plan, store
        The sweep.
    source, deme
        Whose ancestry, and where; needed where there is more than one.
    partial
        Whether a sweep with missing points will do.

    Raises
    ------
    InputError
        If no pulse's share varies, there is nothing or not everything finished, or `source` or `deme` is unclear.
    RunError
        If a result is damaged, or points lost all ancestry.
    """
    table, trajectories = collect.tables(plan, store)
    count, total = (table["point"].nunique() if len(table) else 0), len(plan.points)
    if count == 0 or (count < total and not partial):
        allowed = "a finished sweep; 'admix sweep run' computes the rest" + (
            ", and --partial does without" * (count > 0)
        )
        raise InputError(plan.study.grid.name, f"{count:,} of {total:,} points finished", allowed)
    source = _chosen("--source", source, list(dict.fromkeys(table["source"])))
    table = table[table["source"] == source]
    deme = _chosen("--deme", deme, list(dict.fromkeys(table["deme"])))
    table = table[table["deme"] == deme].set_index("point")
    parameters, unit = _parameters(plan, source)
    axes = tuple(
        axis(p.name, p.label, table[p.name].tolist(), pulse=i == 0)
        for i, p in enumerate(parameters)
        if i == 0 or table[p.name].nunique() > 1
    )
    if len(axes[0].levels) < 2:
        raise InputError(axes[0].name, list(axes[0].levels), "a sweep with several shares of the pulse")
    data = trajectories[(trajectories["source"] == source) & (trajectories["deme"] == deme)]
    shares = data.pivot_table("ancestry_mean", index="point", columns="generation").loc[table.index].dropna(axis=1)
    points = [plan.points[number] for number in table.index]
    family = families([[key for _, key in history.stages[1:]] for history in plan.histories])
    clock = data.drop_duplicates(["generation", "years_bp"]).sort_values("generation")
    if clock["generation"].duplicated().any():
        raise InputError(plan.study.grid.name, "pulses at several dates", "one date, so that all points have one clock")
    scenario = plan.scenario(points[0])
    times = schedule.compile(scenario)
    generation_time = float(scenario.demography.generation_time)
    first = clock.iloc[0]
    return Survey(
        source=source, deme=deme, unit=unit, axes=axes,
        values=table[[a.name for a in axes]].reset_index(drop=True),
        history=np.array([point.history for point in points]),
        family=np.array([family[point.history] for point in points]),
        burnin=np.array([point.burnin for point in points]),
        generations=shares.columns.to_numpy(np.int64),
        log_odds=_odds(shares, axes[0]),
        today=times.today - times.first_pulse_tick(times.deme(source)) + 1,
        first_years=float(first["years_bp"]) + (int(first["generation"]) - 1) * generation_time,
        years_a_generation=generation_time,
    )  # fmt: skip


def _chosen(option: str, given: str | None, found: list[str]) -> str:
    if given is None and len(found) == 1:
        return found[0]
    if given not in found:
        words = (given,) if given is not None else ("nothing",)
        raise InputError(option, *words, f"one of {', '.join(found)}", nearest(str(given), found))
    return given


def _parameters(plan: SweepPlan, source: str) -> tuple[list[Parameter], str]:
    """Return the parameters of a sweep, the share of the source's first pulse before the others, and its unit."""
    pulses = plan.study.base.to_tree()["pulse"]
    found: dict[int, float] = {}
    for i, path in enumerate(plan.study.paths):
        match = _SHARE.fullmatch(path)
        if match is not None and pulses[int(match[1])]["source"] == source:
            found[i] = float(pulses[int(match[1])]["time"])
    oldest = max((float(p["time"]) for p in pulses if p["source"] == source), default=math.inf)
    first = next((i for i, time in found.items() if time == oldest), None)
    if first is None:
        paths = ", ".join(plan.study.paths)
        raise InputError("parameters", paths, f"the share of the first pulse from {source} among those that vary")
    parameters = list(plan.study.grid.parameters)
    match = _SHARE.fullmatch(plan.study.paths[first])
    assert match is not None
    return [parameters.pop(first), *parameters], str(pulses[int(match[1])].get("unit", "individuals"))


def _odds(shares: pd.DataFrame, pulse: Axis) -> Floats:
    ends = shares.to_numpy(np.float64)
    if shares.shape[1] < 2:
        raise RunError("the sweep", "no generation after the pulse is in all of its points")
    if not 0 < pulse.low <= pulse.high < 1:
        raise InputError(pulse.name, list(pulse.levels), "shares above 0 and below 1")
    lost = int((ends[:, -1] <= 0).sum()) + int((ends[:, -1] >= 1).sum())
    if lost:
        what = f"{lost} of {len(ends)} points ended with no ancestry or nothing else, which has no log-odds"
        raise RunError("the sweep", what, "leave out the pulses or loads at which that happens")
    # where the end is inside, everything before is
    return log_odds(ends)
