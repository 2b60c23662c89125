# SPDX-License-Identifier: GPL-3.0-or-later
"""From the last simulated generation on: the slow loss that theory expects, and how much of it is believed.

Theory spreads the load evenly over the functional bases (`admix.prediction`), which removes ancestry for longer than
load at discrete sites does. So its loss of log-odds is multiplied by a factor: anything from 0 to 1 where nothing
more is known, or what runs to today of the same scenario lost (``--today``).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from admix import prediction, schedule, theory
from admix.errors import InputError
from admix.infer.survey import Floats, Ints, Survey, log_odds
from admix.scenario import Scenario
from admix.scenario_yaml import assign
from admix.sweep import collect
from admix.sweep.grid import Setting
from admix.sweep.plan import SweepPlan
from admix.sweep.store import Store

if TYPE_CHECKING:
    from admix.infer.emulator import Basis

__all__ = ["Factor", "SlowLoss", "calibrate", "estimate", "expect"]

LEAST_HISTORIES = 3
"""Least number of histories that were run to today, for the factor to be estimated from them."""
_SETTINGS = 12  # for which theory is asked; its loss is smooth
_STEP = 1e-4  # Morgans, as in `admix.prediction`

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Factor:
    """How much of theory's slow loss is believed: uniform from 0 to 1, or an estimate with a t distribution.

    Attributes
    ----------
    estimate, error : float or None
        From runs to today; None where there are none.
    degrees : int
        Histories less one.
    scatter : float
        Standard deviation between histories of the loss of log-odds, around the estimate.
    """

    estimate: float | None = None
    error: float = 0.0
    degrees: int = 0
    scatter: float = 0.0

    def draw(self, rng: np.random.Generator, m: int) -> Floats:
        """Return m draws."""
        if self.estimate is None:
            return rng.random(m)
        return self.estimate + self.error * rng.standard_t(self.degrees, m)

    @property
    def text(self) -> str:
        """The factor in words."""
        if self.estimate is None:
            return "anything from none to all of the loss that theory expects"
        return (
            f"{self.estimate:.2f} +- {self.error:.2f} of the loss that theory expects,"
            f" from {self.degrees + 1} histories run to today"
        )


@dataclass(frozen=True)
class SlowLoss:
    """What is lost after the last simulated generation.

    Attributes
    ----------
    generations : tuple of int
        Ascending, all after the last that was simulated.
    coefficients : float64[p, g]
        Theory's loss of log-odds until each, by the columns of the emulator's basis.
    drift : float64[g]
        Variance that drift adds until each, as a share of what it had added before.
    factor : Factor
    """

    generations: tuple[int, ...]
    coefficients: Floats
    drift: Floats
    factor: Factor

    def play(self, X: Floats, odds: Floats, drift: Floats, rng: np.random.Generator) -> list[Floats]:
        """Return the log-odds in each generation, a list of float64[m].

        Parameters
        ----------
        X
            Columns of the basis, float64[m, p].
        odds, drift
            Log-odds in the last simulated generation, and the variance that drift has added until then, float64[m].
        rng
        """
        lost = (X @ self.coefficients) * self.factor.draw(rng, len(X))[:, None]
        added = np.diff(self.drift, prepend=0.0)
        steps = np.sqrt(drift[:, None] * added) * rng.standard_normal(lost.shape)
        after = odds[:, None] - lost + np.cumsum(steps, axis=1)
        return list(after.T)


def expect(
    plan: SweepPlan,
    survey: Survey,
    basis: Basis,
    generations: Sequence[int],
    factor: Factor,
    report: Report = lambda done, note: None,
) -> SlowLoss | None:
    """Return the slow loss of a sweep until each generation after its last; None if there is none.

    Parameters
    ----------
    plan, survey
        The sweep.
    basis
        Columns of the emulator; theory is fitted by them, for up to twelve settings with three pulses each.
    generations
        Those not after the last one that was simulated are left out.
    factor
        How much of it is believed.
    report
        Is told the progress.
    """
    later = tuple(sorted({int(g) for g in generations if survey.last < g <= survey.today}))
    if not later:
        return None
    others = [a.name for a in basis.axes[1:]]
    settings: dict[tuple[Any, ...], Setting] = {}
    names = plan.study.grid.names
    for point in plan.points:
        settings.setdefault(tuple(str(point.setting.values[names.index(n)]) for n in others), point.setting)
    chosen = list(settings.values())
    chosen = [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, _SETTINGS).round().astype(int))]
    pulse = basis.axes[0]
    low, high = log_odds([pulse.low, pulse.high])
    pulses = [float(f"{1 / (1 + np.exp(-x)):.6g}") for x in np.linspace(low, high, 3)]
    rows, values = [], []
    for i, setting in enumerate(chosen):
        report(i / len(chosen), "theory of the slow loss")
        odds = _theory(plan, setting, pulse.name, pulses, survey.source, survey.deme, [survey.last, *later])
        rows += [line[0] - line[1:] for line in odds]
        row = dict(zip(names, setting.values, strict=True))
        values += [{a.name: row[a.name] for a in basis.axes[1:]} | {pulse.name: p} for p in pulses]
    X = basis.columns(pd.DataFrame(values).map(lambda v: json.dumps(v) if isinstance(v, list) else v))
    coefficients = np.linalg.lstsq(X, np.array(rows), rcond=None)[0]
    return SlowLoss(later, coefficients, _drift(plan.study.scenario(chosen[0]), survey, later), factor)


def _theory(
    plan: SweepPlan, setting: Setting, pulse: str, shares: Sequence[float], source: str, deme: str,
    generations: Sequence[int],
) -> Floats:  # fmt: skip
    """Return theory's log-odds, float64[shares, generations], of a setting with other shares of the pulse."""
    names = plan.study.grid.names
    path = plan.study.paths[names.index(pulse)]
    tree = plan.study.scenario(setting).to_tree()
    assign(tree, path, float(shares[0]))
    branches = [{"name": f"p{i}", "set": {path: float(share)}} for i, share in enumerate(shares)]
    tree = copy.deepcopy(tree) | {"branches": branches}
    expected = prediction.predict(Scenario.from_tree(tree)).trajectory
    rows = expected[(expected["source"] == source) & (expected["deme"] == deme)]
    table = rows.pivot_table("ancestry_mean", index="branch", columns="generation")
    order = [f"p{i}" for i in range(len(shares))]
    return log_odds(table.loc[order][list(generations)].to_numpy(np.float64))


def _drift(scenario: Scenario, survey: Survey, later: Sequence[int]) -> Floats:
    """Return the variance that drift adds after the last simulated generation, relative to what it added before.

    In each generation drift adds the mean association of ancestry along the genome over 2 N (see
    `admix.theory.phi`), in units of q (1 - q).
    """
    clock = schedule.compile(scenario)
    genome = scenario.build_genome()
    source, deme = clock.deme(survey.source), clock.deme(survey.deme)
    steps = np.arange(2, max(later) + 1)
    functional = genome.window_functional_bp[genome.marker_window].astype(np.float64)
    other = functional if functional.sum() > 0 else None
    decay = theory.phi(genome, len(steps), None, other, _STEP)[steps - 2]
    ticks = clock.first_pulse_tick(source) + steps - 1
    sizes = np.array([clock.size(deme, int(t)) if clock.exists(deme, int(t)) else np.inf for t in ticks])
    total = np.cumsum(decay / (2 * sizes))
    before = total[survey.last - 2]
    return np.asarray(total[np.array(later) - 2] / before - 1)


def calibrate(plan: SweepPlan, store: Store, survey: Survey, report: Report = lambda done, note: None) -> Factor:
    """Return the factor of the slow loss from a sweep that was run to today.

    Parameters
    ----------
    plan, store
        The sweep that was run to today: of the same scenario, with any parameters, from three histories or more.
    survey
        The sweep whose end is to be extrapolated.
    report
        Is told the progress.

    Raises
    ------
    InputError
        If the other sweep is of another scenario, does not reach today, or has too few histories.

    Notes
    -----
    See `estimate`.
    """
    where = f"--today {plan.study.grid.name}"
    _, trajectories = collect.tables(plan, store)
    if trajectories.empty:
        raise InputError(where, "no point finished", "a finished sweep")
    data = trajectories[(trajectories["source"] == survey.source) & (trajectories["deme"] == survey.deme)]
    shares = data.pivot_table("ancestry_mean", index="point", columns="generation")
    pulse = next((n for n, path in zip(plan.study.grid.names, plan.study.paths, strict=True)
                  if path.startswith("pulse[") and path.endswith(".share")), None)  # fmt: skip
    if survey.today not in shares or survey.last not in shares:
        found = int(data["generation"].max()) if len(data) else "another source or deme"
        raise InputError(where, found, f"a sweep to generation {survey.today}, today, of the same source and deme")
    if pulse is None:
        raise InputError(where, ", ".join(plan.study.paths), "a sweep in which the pulse's share is a parameter")
    shares = shares[(shares[survey.today] > 0) & (shares[survey.today] < 1)]
    lost = log_odds(shares[survey.last]) - log_odds(shares[survey.today])
    names = plan.study.grid.names
    place = names.index(pulse)
    points = [plan.points[number] for number in shares.index]
    wanted: dict[str, tuple[Setting, list[float]]] = {}
    for point in points:
        key = str([v for i, v in enumerate(point.setting.values) if i != place])
        wanted.setdefault(key, (point.setting, []))[1].append(float(point.setting.values[place]))
    theirs: dict[tuple[str, float], float] = {}
    for i, (key, (setting, pulses)) in enumerate(wanted.items()):
        report(i / len(wanted), "theory of the slow loss")
        distinct = sorted(set(pulses))
        odds = _theory(plan, setting, pulse, distinct, survey.source, survey.deme, [survey.last, survey.today])
        theirs |= {(key, p): float(line[0] - line[1]) for p, line in zip(distinct, odds, strict=True)}
    expected = [
        theirs[str([v for i, v in enumerate(p.setting.values) if i != place]), float(p.setting.values[place])]
        for p in points
    ]
    factor = estimate(np.asarray(lost), np.array(expected), np.array([p.history for p in points]))
    if factor is None:
        raise InputError(where, "too few histories", f"at least {LEAST_HISTORIES}")
    return factor


def estimate(lost: Floats, expected: Floats, history: Ints) -> Factor | None:
    """Return the factor by which the loss of points has to be multiplied in theory; None with too few histories.

    Parameters
    ----------
    lost, expected : float64[points]
        Loss of log-odds between two dates, simulated and of theory.
    history : int64[points]
        Points of one history count as one, by their means.

    Notes
    -----
    A regression of the means through the origin, with the error that their scatter gives it.
    """
    means = pd.DataFrame({"lost": lost, "expected": expected, "history": history}).groupby("history").mean()
    if len(means) < LEAST_HISTORIES:
        return None
    x, y = means["expected"].to_numpy(np.float64), means["lost"].to_numpy(np.float64)
    value = float(x @ y / (x @ x))
    degrees = len(x) - 1
    scatter = float(np.sqrt(np.sum((y - value * x) ** 2) / degrees))
    return Factor(value, scatter / float(np.sqrt(x @ x)), degrees, scatter)
