# SPDX-License-Identifier: GPL-3.0-or-later
"""The posterior of a sweep's parameters, given what was measured in people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from admix import seeds
from admix.errors import InputError
from admix.infer.emulator import Emulator
from admix.infer.priors import Belief
from admix.infer.rejection import accept, adjust, effective, quantiles
from admix.infer.survey import Floats, share
from admix.infer.targets import Measured

__all__ = ["INTERVAL", "Posterior", "conditioned"]

INTERVAL = (0.05, 0.95)
"""Levels of the 90 % interval."""
_EDGE = 0.05  # of the prior at either end; where half of that is left there, the end decides the interval
_OUTER = (0.001, 0.999)  # levels of the measurements of the prior's runs between which a target has to lie
_NARROW = 1e-9


@dataclass(frozen=True)
class Posterior:
    """Weighted samples and what is said about them.

    Attributes
    ----------
    beliefs : tuple of Belief
        The priors; the first is the pulse's.
    samples : DataFrame
        `weight`, a column for each parameter, and `ancestry_gN` for each emulated generation, after regression.
    exact : DataFrame
        `parameter, median, low, high` by weighting all draws with the likelihood: no tolerance, no regression.
    prior_odds : float64[draws, generations]
        Log-odds of the runs drawn from the prior; the first few thousand.
    draws, effective, effective_exact : int, float, float
        Draws from the prior, and effective sizes of both samples.
    misfit : float
        Share of the posterior in which a new measurement would fit worse than what was measured did.
    edges : tuple of (str, float)
        Parameters whose posterior has not fallen to half of the prior at an end of the prior, and that end.
    """

    beliefs: tuple[Belief, ...]
    samples: pd.DataFrame
    exact: pd.DataFrame
    prior_odds: Floats
    generations: tuple[int, ...]
    draws: int
    effective: float
    effective_exact: float
    misfit: float
    edges: tuple[tuple[str, float], ...]

    def quantiles(self, column: str, levels: Sequence[float] = (0.5, *INTERVAL)) -> Floats:
        """Return quantiles of a column of numbers."""
        return quantiles(self.samples[column].to_numpy(np.float64), self.samples["weight"].to_numpy(), levels)

    def probabilities(self, column: str) -> pd.Series[float]:
        """Return the weight of each value of a column."""
        return self.samples.groupby(column, sort=False)["weight"].sum()


def conditioned(
    emulator: Emulator,
    beliefs: Sequence[Belief],
    target: Measured,
    *,
    seed: int = 1,
    draws: int = 200_000,
    taken: float = 0.02,
) -> Posterior:
    """Return the posterior.

    Parameters
    ----------
    emulator
        Has to know all of the target's dates.
    beliefs
        Priors, in the order of the emulator's axes.
    target
        What was measured.
    seed
        Of the random streams.
    draws
        How many runs are drawn from the prior.
    taken
        Share of them that is accepted.

    Raises
    ------
    InputError
        If what was measured is outside what the runs of the prior end at.
    """
    rng = seeds.generator("infer", seed, "prior")
    levels = rng.random((draws, len(beliefs)))
    found = [b.at(levels[:, i]) for i, b in enumerate(beliefs)]
    values = {b.axis.name: b.values(x) for b, x in zip(beliefs, found, strict=True)}
    odds = emulator.play(values, seeds.generator("infer", seed, "runs"))
    places = [emulator.generations.index(g) for g in target.dates]
    plain = target.statistics(share(odds[:, places]))
    statistics = plain + target.error(seeds.generator("infer", seed, "measurement"), draws)
    _inside(target, statistics)
    rows, weights = accept(statistics, target.observed, taken)

    # a prior's level has ends at 0 and 1 for every parameter; values from a list stay as they are
    free = [i for i, b in enumerate(beliefs) if not b.discrete]
    u = np.clip(levels[rows][:, free], _NARROW, 1 - _NARROW)
    unbounded = np.column_stack([np.log(u) - np.log1p(-u), odds[rows]])
    adjusted = adjust(unbounded, statistics[rows], target.observed, weights)
    table: dict[str, Any] = {"weight": weights}
    new_levels = {i: share(adjusted[:, k]) for k, i in enumerate(free)}
    for i, b in enumerate(beliefs):
        table[b.axis.name] = b.at(new_levels[i]) if i in new_levels else values[b.axis.name][rows]
    after = share(adjusted[:, len(free) :])
    table |= {f"ancestry_g{g}": after[:, k] for k, g in enumerate(emulator.generations)}
    samples = pd.DataFrame(table)

    log_weight = target.log_likelihood(plain)
    full = np.exp(log_weight - log_weight.max())
    exact = pd.DataFrame(
        [
            (b.axis.name, *quantiles(values[b.axis.name], full, (0.5, *INTERVAL)))
            for b in beliefs
            if b.axis.numeric
        ],
        columns=["parameter", "median", "low", "high"],
    )  # fmt: skip
    seen, again = target.misfit(after[:, places], seeds.generator("infer", seed, "check"))
    edges = [
        (beliefs[i].axis.name, float(f"{beliefs[i].at(np.array([end]))[0]:.4g}"))
        for i in free
        for end in (0.0, 1.0)
        if weights[np.abs(new_levels[i] - end) < _EDGE].sum() > _EDGE / 2
    ]
    return Posterior(
        beliefs=tuple(beliefs), samples=samples, exact=exact, prior_odds=odds[:4000],
        generations=emulator.generations, draws=draws, effective=effective(weights), effective_exact=effective(full),
        misfit=float(weights @ (again > seen)), edges=tuple(edges),
    )  # fmt: skip


def _inside(target: Measured, statistics: Floats) -> None:
    """Refuse a target beyond what the prior's runs end at."""
    for i, name in enumerate(target.names):
        if name.startswith("slope"):
            continue
        low, high = np.quantile(statistics[:, i], _OUTER)
        if not low <= target.observed[i] <= high:
            where = "--target" if name == "share of living people" else "--trajectory"
            allowed = f"a share between {max(low, 0.0):.4g} and {high:.4g}, where the runs of these priors end"
            raise InputError(where, float(f"{target.observed[i]:.6g}"), allowed)
