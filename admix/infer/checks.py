# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an emulator against the points it was made from: each part is left out and foretold from the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix import seeds
from admix.infer.emulator import Basis, degrees, surface_of
from admix.infer.surface import drift_scale, fit
from admix.infer.survey import Floats, Ints, Survey

__all__ = ["Check", "leave_out"]

FALSE_ALARM = 0.001
"""A kind of check is failed if what it shows, or worse, has at most this probability in a sound emulator."""
_DRAWS = 4000
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
        Of a sum of squared, standardised mean errors as large as this or larger, in a sound emulator.
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


def leave_out(survey: Survey, basis: Basis) -> tuple[pd.DataFrame, list[Check]]:
    """Return the check of each part, and a verdict for each kind of part.

    Returns
    -------
    DataFrame
        `kind, part, points, error, sd, inside`: `error` is the mean of simulated less foretold log-odds in the last
        simulated generation, `sd` what is expected of it, and `inside` the share of the part's points inside their
        90 % intervals.
    list of Check
    """
    X = basis.columns(survey.values)
    end = survey.at(survey.last)
    _, a = surface_of(X, end, survey)
    lost = end - survey.pulse_odds
    rows: list[tuple[str, str, int, float, float, float]] = []
    sound: dict[str, Floats] = {}
    for kind, name, out in _parts(survey):
        rest = ~out
        if np.linalg.matrix_rank(X[rest]) < X.shape[1] or rest.sum() <= X.shape[1] + 2:
            continue
        # what is left has to show how far histories scatter
        if kind != "pulse" and degrees(survey.of(rest), basis) < 1:
            continue
        foretell = _among if kind != "pulse" else _within
        part = _Part(X, lost, a, survey, rest, out, seeds.generator("infer", "check", kind, name))
        error, spread, inside = foretell(part)
        # by quantiles: with few burn-ins the tails are long, and have no variance
        sd = float(np.diff(np.quantile(spread, (0.1587, 0.8413)))[0] / 2)
        rows.append((kind, name, int(out.sum()), error, sd, inside))
        sound[kind] = sound.get(kind, np.zeros(_DRAWS)) + (spread / sd) ** 2
    found = []
    for kind, null in sound.items():
        chosen = [row for row in rows if row[0] == kind]
        points, errors, sds, shares = (np.array([row[i] for row in chosen]) for i in (2, 3, 4, 5))
        seen = float(np.sum((errors / sds) ** 2))
        found.append(
            Check(
                kind, len(chosen), int(points.sum()), float(points @ shares / points.sum()),
                float(np.sqrt(np.mean(errors**2))), float((1 + np.sum(null >= seen)) / (1 + _DRAWS)),
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["kind", "part", "points", "error", "sd", "inside"]), found


@dataclass(frozen=True)
class _Part:
    """Points that are left out, and the rest."""

    X: Floats
    lost: Floats
    a: Floats
    survey: Survey
    rest: npt.NDArray[np.bool_]
    out: npt.NDArray[np.bool_]
    rng: np.random.Generator


def _among(part: _Part) -> tuple[float, Floats, float]:
    """Foretell points of other histories: mean error, draws of it in a sound emulator, share inside the intervals."""
    survey, rest, out, rng = part.survey, part.rest, part.out, part.rng
    surface = fit(part.X[rest], part.lost[rest], part.a[rest], survey.history[rest], survey.family[rest])
    drawn = surface.draw(rng, _DRAWS)
    mean = drawn.b @ part.X[out].T
    mean += np.sqrt(drawn.history)[:, None] * _shared(survey.history[out], rng)
    mean += np.sqrt(drawn.family)[:, None] * _shared(survey.family[out], rng)
    drift = drift_scale(survey.pulse_odds[out] + mean) / surface.unit * drawn.c[:, None]
    foretold = mean + np.sqrt(drift) * rng.standard_normal(mean.shape)
    low, high = np.quantile(foretold, (0.05, 0.95), axis=0)
    inside = float(np.mean((part.lost[out] >= low) & (part.lost[out] <= high)))
    averages = foretold.mean(axis=1)
    middle = float(np.median(averages))
    return float(part.lost[out].mean()) - middle, averages - middle, inside


def _within(part: _Part) -> tuple[float, Floats, float]:
    """As `_among` for points of the same histories, from what tells the points of a history apart (their differences
    from its weighted mean, so that no scatter of histories is left)."""
    rest, out = part.rest, part.out
    _, h = np.unique(part.survey.history, return_inverse=True)
    w = np.where(rest, 1 / part.a, 0.0)
    both = np.column_stack([part.X, part.lost])
    total = np.bincount(h, w)
    means = np.zeros((len(total), both.shape[1]))
    np.add.at(means, h, both * w[:, None])
    means /= np.where(total > 0, total, 1.0)[:, None]
    apart = both - means[h]
    # of a history without any other point nothing is known
    told = out & (total[h] > 0)
    root = np.sqrt(w[rest])[:, None]
    X, y = apart[rest, :-1] * root, apart[rest, -1] * root[:, 0]
    inverse = np.linalg.pinv(X.T @ X, rcond=1e-9, hermitian=True)
    b = inverse @ X.T @ y
    df = max(int(rest.sum() - np.count_nonzero(total) - np.linalg.matrix_rank(X)), 1)
    c = float(np.sum((y - X @ b) ** 2)) / df
    error = apart[told, -1] - apart[told, :-1] @ b
    own = part.a[told] + 1 / total[h[told]]
    single = np.sqrt(c * (own + np.einsum("ij,jk,ik->i", apart[told, :-1], inverse, apart[told, :-1])))
    x = apart[told, :-1].mean(axis=0)
    sd = float(np.sqrt(c * (own.sum() / len(own) ** 2 + x @ inverse @ x)))
    t = part.rng.standard_t(df, _DRAWS)
    return float(error.mean()), sd * t, float(np.mean(np.abs(error) <= np.quantile(np.abs(t), 0.9) * single))


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
            yield "setting", text, np.all([settings[a.name] == v for a, v in zip(others, row, strict=True)], axis=0)
    pulse = survey.values[survey.pulse.name].to_numpy(np.float64)
    if len(survey.pulse.levels) <= _MOST:
        for level in survey.pulse.levels[1:-1]:
            yield "pulse", f"{survey.pulse.name}={level:g}", pulse == level
