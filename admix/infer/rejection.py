# SPDX-License-Identifier: GPL-3.0-or-later
"""Approximate Bayesian computation: rejection, local linear regression, and what weighted samples say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admix.infer.survey import Floats, Ints

__all__ = ["accept", "adjust", "effective", "quantiles"]


def accept(statistics: Floats, observed: Floats, share: float) -> tuple[Ints, Floats]:
    """Return which draws come nearest to what was observed, and their weights.

    Parameters
    ----------
    statistics : float64[m, k]
        Of simulated runs, with errors of measurement.
    observed : float64[k]
        Of people.
    share : float
        How many of the draws are taken.

    Returns
    -------
    int64[n], float64[n]
        Numbers of the draws, ascending, and weights that sum to 1.

    Notes
    -----
    Distances are Euclidean in units of the median absolute deviation of each statistic; the weight is
    Epanechnikov's, ``1 - (d / delta)^2``, with delta the largest that is taken (Beaumont, Zhang & Balding 2002,
    doi:10.1093/genetics/162.4.2025, eq. 5).
    """
    spread = np.median(np.abs(statistics - np.median(statistics, axis=0)), axis=0)
    d = np.sqrt(np.sum(((statistics - observed) / np.where(spread > 0, spread, 1.0)) ** 2, axis=1))
    count = max(2, round(share * len(d)))
    # the draw at delta itself has no weight
    delta = float(np.partition(d, count)[count])
    taken = np.flatnonzero(d < delta)
    weights = 1 - (d[taken] / delta) ** 2
    return taken, weights / weights.sum()


def adjust(values: Floats, statistics: Floats, observed: Floats, weights: Floats) -> Floats:
    """Return values as if every statistic had been what was observed.

    Parameters
    ----------
    values : float64[n, q]
        Of the draws that were taken, on a scale without ends.
    statistics : float64[n, k]
    observed : float64[k]
    weights : float64[n]

    Notes
    -----
    ``values - (statistics - observed) beta``, with beta from the weighted regression of the values on the statistics
    (Beaumont et al. 2002, doi:10.1093/genetics/162.4.2025, eqs. 3-4).
    """
    away = statistics - observed
    scale = np.where(away.std(axis=0) > 0, away.std(axis=0), 1.0)
    X = np.column_stack([np.ones(len(away)), away / scale]) * np.sqrt(weights)[:, None]
    beta = np.linalg.lstsq(X, values * np.sqrt(weights)[:, None], rcond=None)[0]
    return np.asarray(values - (away / scale) @ beta[1:])


def quantiles(values: npt.ArrayLike, weights: Floats, levels: npt.ArrayLike) -> Floats:
    """Return quantiles of weighted values: the middle of each weight is its place, linear in between."""
    x = np.asarray(values, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    w = weights[order]
    place = (np.cumsum(w) - w / 2) / w.sum()
    return np.asarray(np.interp(np.asarray(levels, dtype=np.float64), place, x[order]))


def effective(weights: Floats) -> float:
    """Return how many equally weighted samples have the same variance of the mean (Kish)."""
    return float(weights.sum() ** 2 / np.sum(weights**2))
