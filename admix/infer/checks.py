# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an emulator against the points it was made from: each part is left out and foretold from the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix import seeds
from admix.infer.emulator import Basis, surface_of
from admix.infer.surface import drift_scale, fit
from admix.infer.survey import Floats, Ints, Survey

__all__ = ["Check", "leave_out", "verdicts"]

FALSE_ALARM = 0.001
"""A kind of check is failed if what it shows, or worse, has this probability in a sound emulator."""
_DRAWS = 2000
_MOST = 40  # parts of a kind; more histories are taken together


@dataclass(frozen=True)
class Check:
    """The verdict on one kind of part that was left out.

    Attributes
    ----------
    kind : str
        ``burn-in``: histories (and those with a lineage in common); ``setting``: all histories of one setting, inside
        the range; ``pulse``: all points of one pulse, inside the range.
    parts, points : int
    inside : float
        Share of the points inside their 90 % interval.
    error : float
        Root mean square of the parts' mean errors, in log-odds.
    probability : float
        Of a sum of squared, standardised mean errors as large as this or larger.
    """

    kind: str
    parts: int
    points: int
    inside: float
    error: float
    probability: float

    @property
    def passed(self) -> bool:
        """Whether the emulator stands."""
        return self.probability > FALSE_ALARM


def leave_out(survey: Survey, basis: Basis) -> pd.DataFrame:
    """Return the check of each part: `kind, part, points, error, sd, inside`.

    `error` is the mean of simulated less foretold log-odds in the last simulated generation, `sd` what is expected of
    it, and `inside` the share of the part's points inside their 90 % intervals.
    """
    X = basis.columns(survey.values)
    end = survey.at(survey.last)
    _, a = surface_of(X, end, survey)
    lost = end - survey.pulse_odds
    rows = []
    for kind, name, out in _parts(survey):
        rest = ~out
        if np.linalg.matrix_rank(X[rest]) < X.shape[1] or rest.sum() <= X.shape[1] + 2:
            continue
        surface = fit(X[rest], lost[rest], a[rest], survey.history[rest], survey.family[rest])
        rng = seeds.generator("infer", "check", kind, name)
        drawn = surface.draw(rng, _DRAWS)
        mean = drawn.b @ X[out].T
        mean += np.sqrt(drawn.history)[:, None] * _shared(survey.history[out], rng)
        mean += np.sqrt(drawn.family)[:, None] * _shared(survey.family[out], rng)
        drift = drift_scale(survey.pulse_odds[out] + mean) / surface.unit * drawn.c[:, None]
        foretold = mean + np.sqrt(drift) * rng.standard_normal(mean.shape)
        low, high = np.quantile(foretold, (0.05, 0.95), axis=0)
        inside = float(np.mean((lost[out] >= low) & (lost[out] <= high)))
        averages = foretold.mean(axis=1)
        error, sd = float(lost[out].mean() - averages.mean()), float(averages.std())
        rows.append((kind, name, int(out.sum()), error, sd, inside))
    return pd.DataFrame(rows, columns=["kind", "part", "points", "error", "sd", "inside"])


def _shared(group: Ints, rng: np.random.Generator) -> Floats:
    """Return a normal number for each draw and group, float64[draws, points]."""
    _, number = np.unique(group, return_inverse=True)
    return rng.standard_normal((_DRAWS, int(number.max()) + 1))[:, number]


def _parts(survey: Survey) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    families = np.unique(survey.family)
    for i, some in enumerate(np.array_split(families, min(_MOST, len(families)))):
        yield "burn-in", str(i), np.isin(survey.family, some)
    others = survey.axes[1:]
    if others:
        settings = survey.values[[a.name for a in others]]
        distinct = [
            row
            for row in settings.drop_duplicates().itertuples(index=False, name=None)
            # at the ends of an axis it would be an extrapolation; with two values there is nothing between them
            if all(a.numeric and len(a.levels) > 2 and a.low < v < a.high for a, v in zip(others, row, strict=True))
        ]
        for row in distinct[:_MOST]:
            text = ", ".join(f"{a.name}={v}" for a, v in zip(others, row, strict=True))
            yield "setting", text, np.asarray((settings == row).to_numpy().all(axis=1), dtype=np.bool_)
    pulse = survey.values[survey.pulse.name].to_numpy(np.float64)
    if len(survey.pulse.levels) <= _MOST:
        for level in survey.pulse.levels[1:-1]:
            yield "pulse", f"{survey.pulse.name}={level:g}", pulse == level


def verdicts(table: pd.DataFrame) -> list[Check]:
    """Return a verdict for each kind of part in a table from `leave_out`."""
    from scipy.stats import f as fisher

    found = []
    for kind, part in table.groupby("kind", sort=False):
        z2 = (part["error"].to_numpy(np.float64) / part["sd"].to_numpy(np.float64)) ** 2
        points, error = part["points"].to_numpy(np.float64), part["error"].to_numpy(np.float64)
        inside = float(points @ part["inside"].to_numpy(np.float64) / points.sum())
        # The spread that a part is measured by is itself estimated from the others, hence F and not chi-squared.
        probability = float(fisher.sf(z2.mean(), len(part), max(len(part), 4)))
        found.append(
            Check(
                str(kind), len(part), int(points.sum()), inside, float(np.sqrt(np.mean(error**2))), probability,
            )
        )  # fmt: skip
    return found
