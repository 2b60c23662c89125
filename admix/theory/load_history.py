# SPDX-License-Identifier: GPL-3.0-or-later
"""The load that a lineage is expected to carry after any history of population sizes, in a fraction of a second.

Sites are independent; each follows the Wright-Fisher diffusion of an allele with effects 1, 1 + hs, 1 + s. Its
frequency is put on a grid that is fine near 0 and 1, and moves by one step at a time with rates that make the scale
function and the local variance exact (a birth and death process: Scharfetter & Gummel 1969,
doi:10.1109/T-ED.1969.16566, for fluxes; Chang & Cooper 1970, doi:10.1016/0021-9991(70)90001-X, for densities), so that
probabilities of fixation are exact at any strength of selection. Time steps are implicit. New mutations arrive as one
copy (the Poisson random field of Sawyer & Hartl 1992, doi:10.1093/genetics/132.4.1161, out of equilibrium as in
Williamson et al. 2005, doi:10.1073/pnas.0502300102).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from admix.spectrum import log_mean_fitness

Floats = npt.NDArray[np.float64]

_NODES_BELOW = 0.11
"""Spacing of the grid in ln x below 1/2, and of ln(1-x) above; the load errs by 1 % at twice this."""
_FIRST_STEP, _STEP_GROWTH, _LONGEST_STEP = 0.002, 1.18, 0.06
"""Time steps, in units of 2N generations."""
_FLAT = 1e-9
_STEEP = 500.0  # exponents are cut here; exp(500) is as good as infinite


class Effects(NamedTuple):
    """Classes of mutations that are followed together, each array float64[k].

    Attributes
    ----------
    s : float64[k]
        Selection coefficient, ``-1 < s <= 0``.
    h : float64[k]
        Dominance.
    share : float64[k]
        Share of new mutations; what is missing to 1 is neutral.
    """

    s: Floats
    h: Floats
    share: Floats


class Load(NamedTuple):
    """The expected load of a lineage, as -ln(fitness) relative to its state before it was alone.

    Attributes
    ----------
    segregating, fixed : float
        From alleles that still segregate, and from those fixed since the start.
    sd : float
        Standard deviation of their sum between independent histories.
    fixations : float
        Number of deleterious alleles fixed.
    """

    segregating: float
    fixed: float
    sd: float
    fixations: float

    @property
    def total(self) -> float:
        """Sum of both parts."""
        return self.segregating + self.fixed


class Epoch(NamedTuple):
    """A stretch of a lineage's history with one size.

    Attributes
    ----------
    N : float
        Diploid individuals.
    generations : float
        Its length.
    """

    N: float
    generations: float


@dataclass(frozen=True)
class Lineage:
    """Expected state of a lineage's mutations; made by `LoadModel`.

    Attributes
    ----------
    density : float64[nodes, k]
        Expected number of sites at each frequency of the grid.
    fixed : float64[k]
        Expected number fixed since the start.
    """

    density: Floats
    fixed: Floats


class LoadModel:
    """Mutations of a genome under selection, in a population of changing size.

    Parameters
    ----------
    effects : Effects
    U : float
        Mutations with these effects per haploid genome and generation.
    effective_share : callable, optional
        From N to Ne/N for each class of mutations, a float or float64[k]; 1 if omitted. See
        `admix.theory.background_selection`.
    largest_N : float
        The grid reaches down to a single copy in a population of this size.
    """

    def __init__(
        self,
        effects: Effects,
        U: float,
        effective_share: Callable[[float], npt.ArrayLike] | None = None,
        largest_N: float = 10_000,
    ) -> None:
        self.effects, self.U = effects, U
        self._effective_share = effective_share or (lambda N: 1.0)
        low = np.exp(np.arange(np.log(1 / (2 * largest_N)), np.log(0.4), _NODES_BELOW))
        high = 1 - np.exp(np.arange(np.log(1e-3), np.log(0.45), 1.5 * _NODES_BELOW))[::-1]
        self.x = np.concatenate([low, np.linspace(0.42, 0.55, 3), high])
        s, h = effects.s, effects.h
        self._log_het, self._log_hom = np.log1p(h * s), np.log1p(s)
        ends = np.concatenate([[0.0], self.x, [1.0]])
        self._log_mean = np.empty((len(ends), len(s)))
        for k in range(len(s)):
            self._log_mean[:, k] = log_mean_fitness(ends, float(s[k]), float(h[k]))

    # ---- the process

    def _rates(self, N: float) -> tuple[Floats, Floats, Floats]:
        """Return rates up and down, float64[nodes, k] each, and the input of new mutations at each node."""
        x = np.concatenate([[0.0], self.x, [1.0]])
        ne = N * np.broadcast_to(np.asarray(self._effective_share(N), dtype=np.float64), self.effects.s.shape)
        # ln of the scale density, wbar^(-2Ne), is linear between nodes
        rise = np.clip(np.diff(-2 * ne * self._log_mean, axis=0), -_STEEP, _STEEP)
        width = np.diff(x)[:, None]
        flat = np.abs(rise) < _FLAT
        ratio = np.where(flat, 1.0, rise)
        up = width * np.where(flat, 1.0, np.expm1(ratio) / ratio)  # integral over the step, in units of its left end
        down = width * np.where(flat, 1.0, -np.expm1(-ratio) / ratio)  # of its right end
        edge = (x[1:] + x[:-1]) / 2
        edge[0], edge[-1] = x[1] / 2, (x[-2] + 1) / 2
        # 2 / variance, integrated over the cell: 4 Ne dx / (x(1-x))
        cell = 4 * ne * np.diff(np.log(edge) - np.log1p(-edge))[:, None]
        return 1 / (cell * up[1:]), 1 / (cell * down[:-1]), self._input(N)

    def _input(self, N: float) -> Floats:
        """Return one new copy a mutation: on the nodes around 1/2N, so that its mean frequency is right."""
        x, at = self.x, 1 / (2 * N)
        entry = np.zeros(len(x))
        i = int(np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2))
        if at <= x[0]:
            entry[0] = at / x[0]
        else:
            part = (at - x[i]) / (x[i + 1] - x[i])
            entry[i], entry[i + 1] = 1 - part, part
        return entry

    def _source(self, N: float, entry: Floats) -> Floats:
        return 2 * N * self.U * entry[:, None] * self.effects.share

    def equilibrium(self, N: float) -> Lineage:
        """Return the state of a population that has always had size `N`; what is fixed counts from now."""
        up, down, entry = self._rates(N)
        density = _solve(-down[1:], up + down, -up[:-1], self._source(N, entry), transpose=True)
        return Lineage(density, np.zeros(len(self.effects.s)))

    def evolve(self, state: Lineage, epochs: Sequence[Epoch]) -> Lineage:
        """Return the state after a history of sizes."""
        density, fixed = state.density, state.fixed
        for N, generations in epochs:
            up, down, entry = self._rates(N)
            source = self._source(N, entry)
            for dt in _steps(N, generations):
                density = _solve(-dt * down[1:], 1 + dt * (up + down), -dt * up[:-1], density + dt * source, True)
                fixed = fixed + dt * up[-1] * density[-1]
        return Lineage(density, fixed)

    def mean_frequency(self, epochs: Sequence[Epoch]) -> Floats:
        """Return the expected frequency, after a history, of an allele that starts at each node; float64[nodes, k]."""
        mean = np.repeat(self.x[:, None], len(self.effects.s), axis=1)
        for N, generations in reversed(epochs):
            up, down, _ = self._rates(N)
            for dt in _steps(N, generations)[::-1]:
                right = mean.copy()
                right[-1] += dt * up[-1]  # fixed alleles have frequency 1
                mean = _solve(-dt * down[1:], 1 + dt * (up + down), -dt * up[:-1], right, False)
        return mean

    # ---- what it costs

    def load(self, state: Lineage) -> Load:
        """Return the expected load of an individual of a lineage, in Hardy-Weinberg proportions."""
        x = self.x[:, None]
        cost = -(2 * x * (1 - x) * self._log_het + x * x * self._log_hom)
        squares = (state.density * cost**2).sum() + (state.fixed * self._log_hom**2).sum()
        return Load(
            float((state.density * cost).sum()),
            float(-(state.fixed * self._log_hom).sum()),
            float(np.sqrt(squares)),
            float(state.fixed.sum()),
        )

    def frequency_sum(self, state: Lineage) -> Floats:
        """Return the expected number of mutations in a haploid genome by class, fixed ones included; float64[k]."""
        return np.asarray((state.density * self.x[:, None]).sum(axis=0) + state.fixed)

    def hybrid_load(self, first: Lineage, second: Lineage, shared: Floats) -> float:
        """Return the expected load of children of one parent from each of two lineages.

        Parameters
        ----------
        first, second : Lineage
        shared : float64[k]
            Expected sum over sites of the product of both frequencies, as from `shared_frequency`.
        """
        alleles = self.frequency_sum(first) + self.frequency_sum(second)
        return float(-(alleles * self._log_het + shared * (self._log_hom - 2 * self._log_het)).sum())

    def shared_frequency(self, common: Lineage, first: Sequence[Epoch], second: Sequence[Epoch]) -> Floats:
        """Return the expected sum over sites of the product of the frequencies in two lineages; float64[k].

        Only what segregated in their common ancestor can be in both, and given its frequency there the two lineages
        are independent.
        """
        product = self.mean_frequency(first) * self.mean_frequency(second)
        return np.asarray((common.density * product).sum(axis=0))

    def variance_components(self, N: float, state: Lineage | None = None) -> tuple[Floats, Floats]:
        """Return the additive variance of log fitness among gametes by class and its loss per generation.

        As `admix.spectrum.StationarySpectrum.fitness_variance_components`, for a state or the equilibrium of `N`.
        """
        x = self.x[:, None]
        density = (state or self.equilibrium(N)).density
        effect = self.effects.s * (self.effects.h + (1 - 2 * self.effects.h) * x)
        variance = (density * x * (1 - x) * effect**2).sum(axis=0)
        standing = (density * x * (1 - x)).sum(axis=0)
        entry = 2 * N * self.U * self.effects.share * (1 - 1 / (2 * N)) / (2 * N)
        return variance, np.divide(entry, standing, out=np.ones_like(entry), where=standing > 0)


def effect_classes(
    probability: Callable[[Floats], Floats],
    dominance: Callable[[Floats], Floats],
    per_decade: int = 8,
    weakest: float = 1e-7,
    largest_cost: float = 1 - 1e-9,
) -> Effects:
    """Return a distribution of effects cut into classes of equal width in ln|s|.

    Parameters
    ----------
    probability : callable
        P(-s <= cost) for costs, float64[k].
    dominance : callable
        h for selection coefficients s, float64[k].
    per_decade : int
        Classes a decade of \\|s\\|.
    weakest : float
        Weaker effects are left out, as neutral.
    largest_cost : float
        Stronger effects are cut to this.
    """
    n = int(np.ceil(-np.log10(weakest) * per_decade))
    edges = np.geomspace(weakest, 1.0, n + 1)
    below = np.asarray(probability(edges), dtype=np.float64)
    # the first class reaches down to its edge only; -s = 1 and beyond is a class of its own
    share = np.append(np.diff(below), 1.0 - below[-1])
    cost = np.append(np.sqrt(edges[1:] * edges[:-1]), largest_cost)
    fine = probability
    for i in range(n):  # the mean of the class, not the middle: a point mass stays where it is
        inside = np.geomspace(edges[i], edges[i + 1], 17)
        mass = np.diff(np.asarray(fine(inside)))
        if mass.sum() > 0:
            cost[i] = float(mass @ np.sqrt(inside[1:] * inside[:-1]) / mass.sum())
    keep = share > 0
    s = -np.minimum(cost[keep], largest_cost)
    return Effects(s, np.asarray(dominance(s), dtype=np.float64), share[keep])


def _steps(N: float, generations: float) -> list[float]:
    """Return time steps that grow from the start of an epoch, in generations."""
    steps, left, dt = [], float(generations), max(1.0, _FIRST_STEP * 2 * N)
    while left > 1e-9:
        now = min(dt, left)
        steps.append(now)
        left -= now
        dt = min(dt * _STEP_GROWTH, max(1.0, _LONGEST_STEP * 2 * N))
    return steps


def _solve(lower: Floats, diagonal: Floats, upper: Floats, right: Floats, transpose: bool) -> Floats:
    """Return the solutions of tridiagonal systems, one a column (Thomas's algorithm; diagonally dominant)."""
    if transpose:
        lower, upper = upper, lower
    n = len(diagonal)
    slope = np.empty_like(upper)
    out = np.empty_like(right)
    pivot = diagonal[0]
    out[0] = right[0] / pivot
    for i in range(1, n):
        slope[i - 1] = upper[i - 1] / pivot
        pivot = diagonal[i] - lower[i - 1] * slope[i - 1]
        out[i] = (right[i] - lower[i - 1] * out[i - 1]) / pivot
    for i in range(n - 2, -1, -1):
        out[i] -= slope[i] * out[i + 1]
    return out
