# SPDX-License-Identifier: GPL-3.0-or-later
"""A smooth surface through points that share histories: a linear mixed model, with what is unknown about it.

    y = X b + v[family] + u[history] + e,   v ~ N(0, w^2),   u ~ N(0, t^2),   e ~ N(0, c a)

A history is one burn-in of one setting; histories that have a lineage in common (the modern one, where only the archaic
one varies) are a family. `a` is known for each point, since drift moves small shares more. The variances are
integrated over on a grid: with few burn-ins they are not well known, and intervals that take them as known are too
narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admix.infer.survey import Floats, Ints

__all__ = ["Parameters", "Surface", "drift_scale", "fit"]

HISTORY_SD = 0.5
"""Scale of the half-Cauchy prior of the standard deviation between histories, in log-odds."""
_RATIOS = np.geomspace(0.02, 50.0, 30)  # of that standard deviation to the one of drift
_SHARED = np.linspace(0.0, 0.9, 5)  # share of its variance that a family has in common, all alike likely


@dataclass(frozen=True)
class Parameters:
    """Draws of what a surface does not know: b, float64[m, p]; c, t^2 and w^2, float64[m]."""

    b: Floats
    c: Floats
    history: Floats
    family: Floats


@dataclass(frozen=True)
class Surface:
    """A fitted surface: its posterior on a grid of variances (k cells).

    Attributes
    ----------
    weight : float64[k]
        Posterior probability of each cell.
    ratio, shared : float64[k]
        (t^2 + w^2) / c, with `a` of mean 1, and w^2 / (t^2 + w^2).
    b, root : float64[k, p], float64[k, p, p]
        Estimate of b, and the Cholesky factor of its covariance over c.
    rss : float64[k]
        Weighted residual sum of squares; c is ``rss / chi^2`` with `df` degrees of freedom.
    df : int
        Points less columns.
    unit : float
        The mean of `a` where it was fitted, by which every `a` is divided.
    """

    weight: Floats
    ratio: Floats
    shared: Floats
    b: Floats
    root: Floats
    rss: Floats
    df: int
    unit: float

    def draw(self, rng: np.random.Generator, m: int) -> Parameters:
        """Return m draws from the posterior."""
        cell = np.sort(rng.choice(len(self.weight), size=m, p=self.weight))
        c = self.rss[cell] / rng.chisquare(self.df, m)
        z = rng.standard_normal((m, self.b.shape[1]))
        b = np.empty_like(z)
        for k, first, last in _runs(cell):
            b[first:last] = self.b[k] + (z[first:last] @ self.root[k].T) * np.sqrt(c[first:last, None])
        order = rng.permutation(m)
        total = c * self.ratio[cell]
        drawn = b, c, total * (1 - self.shared[cell]), total * self.shared[cell]
        return Parameters(*(part[order] for part in drawn))

    @property
    def sd_history(self) -> float:
        """Posterior median of the standard deviation between histories."""
        return float(np.sqrt(self._median(self.ratio * self._c)))

    @property
    def shared_variance(self) -> float:
        """Posterior mean of the share of that variance that families have in common."""
        return float(self.weight @ self.shared)

    @property
    def sd_drift(self) -> float:
        """Posterior median of the standard deviation within histories, at the mean of `a`."""
        return float(np.sqrt(self._median(self._c)))

    def _median(self, values: Floats) -> float:
        order = np.argsort(values)
        return float(values[order][np.searchsorted(np.cumsum(self.weight[order]), 0.5)])

    @property
    def _c(self) -> Floats:
        return self.rss / self.df


def _runs(sorted_cells: Ints) -> list[tuple[int, int, int]]:
    cells, first = np.unique(sorted_cells, return_index=True)
    last = np.append(first[1:], len(sorted_cells))
    return [(int(k), int(i), int(j)) for k, i, j in zip(cells, first, last, strict=True)]


def fit(X: Floats, y: Floats, a: Floats, history: Ints, family: Ints) -> Surface:
    """Return the surface through points.

    Parameters
    ----------
    X, y : float64[n, p], float64[n]
        Columns, and what is to be explained.
    a : float64[n]
        Variance of each point's drift, up to a factor.
    history, family : int64[n]
        Which history a point has, and which family that is of.

    Notes
    -----
    With V the covariance of y over c, the density of the ratios given y is, up to a factor,
    ``|V|^(-1/2) |X' V^-1 X|^(-1/2) rss^(-(n-p)/2)`` times their prior (Harville 1974,
    doi:10.1093/biomet/61.2.383, eq. for the restricted likelihood, integrated over c with density 1/c). V is
    inverted by hand, first for the histories and then for the families.
    """
    n, p = X.shape
    unit = float(a.mean())
    w = unit / a
    _, h = np.unique(history, return_inverse=True)
    _, first = np.unique(h, return_index=True)
    _, f = np.unique(family[first], return_inverse=True)
    both = np.column_stack([X, y])
    cross = both.T @ (both * w[:, None])
    sums = np.zeros((len(first), p + 1))
    np.add.at(sums, h, both * w[:, None])
    total = np.bincount(h, w)
    # where no two histories are of one family, what they could share cannot be told from the rest
    shares = _SHARED if len(np.unique(f)) < len(f) else _SHARED[:1]
    ratio, shared = (part.ravel() for part in np.meshgrid(_RATIOS**2, shares, indexing="ij"))
    k = len(ratio)
    density, rss = np.empty(k), np.empty(k)
    b, root = np.empty((k, p)), np.empty((k, p, p))
    for i in range(k):
        within, among = ratio[i] * (1 - shared[i]), ratio[i] * shared[i]
        shrunk = 1 / (1 + within * total)
        Q = cross - (sums * (within * shrunk)[:, None]).T @ sums
        one = np.bincount(f, total * shrunk)
        joint = np.zeros((len(one), p + 1))
        np.add.at(joint, f, sums * shrunk[:, None])
        Q -= (joint * (among / (1 + among * one))[:, None]).T @ joint
        lower = np.linalg.cholesky(Q[:p, :p])
        inverse = np.linalg.inv(lower)
        half = inverse @ Q[:p, p]
        b[i], root[i] = inverse.T @ half, inverse.T
        rss[i] = max(float(Q[p, p] - half @ half), 1e-300)
        density[i] = -0.5 * (np.log1p(within * total).sum() + np.log1p(among * one).sum())
        density[i] -= np.log(np.diag(lower)).sum() + 0.5 * (n - p) * np.log(rss[i])
    sd = np.sqrt(ratio * rss / (n - p))
    density += np.log(sd) - np.log1p((sd / HISTORY_SD) ** 2)
    weight = np.exp(density - density.max())
    return Surface(weight / weight.sum(), ratio, shared, b, root, rss, n - p, unit)


def drift_scale(odds: npt.ArrayLike) -> Floats:
    """Return 1 / (q (1 - q)) at log-odds: the variance of log-odds under drift is proportional to it."""
    x = np.asarray(odds, dtype=np.float64)
    return np.asarray(2 + 2 * np.cosh(np.clip(x, -50, 50)))
