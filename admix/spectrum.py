# SPDX-License-Identifier: GPL-3.0-or-later
"""Stationary spectrum of deleterious mutations under mutation, selection and drift.

The Poisson random field: sites are independent, new mutations enter one copy at a time, and the
number of sites with `k` copies is Poisson with the mean number of generations a mutation spends at
`k` copies (Sawyer & Hartl 1992, doi:10.1093/genetics/132.4.1161).

Which approximation is used where, for a population of ``n = 2N`` haploid genomes:

* Up to `exact_counts` copies: the Wright-Fisher chain itself. With ``Q`` its transition matrix and one new
  mutation a generation, the mean sojourn times solve ``v = e_1 + Q^T v`` (Ewens 2004, on finite Markov
  chains, doi:10.1007/978-0-387-21822-9). Classes above the block enter as a source term with the shape of
  the diffusion and one free factor.
* Above: the diffusion. With drift variance ``x(1-x)/(2Ne)`` and the exact one-generation change
  ``x(1-x)/2 * d ln(wbar)/dx`` (Wright 1937, doi:10.1073/pnas.23.6.307), the scale density is
  ``wbar^(-2Ne)`` for every dominance, and the density of sites is proportional to
  ``wbar(x)^(2Ne) / (x(1-x)) * integral_x^1 wbar(y)^(-2Ne) dy``.
* The factor is fixed where both hold, in the second quarter of the exact block.

When the population has no more than `exact_counts` classes, everything is exact.

Where ``Ne < N``, parents draw a random, not inherited, factor of success: offspring counts are beta-binomial
with variance ``N/Ne`` times binomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EXACT_COUNTS = 192
_NODE_STEP = 0.05  # spacing of the solved nodes in ln|s|; linear interpolation errs by its square over 8
_NEUTRAL = 0.01  # below Ne|s| of this, the spectrum is linear in s to one part in ten thousand
_ONE_THREAD = 96  # OpenBLAS solves systems below 100 on one thread
_CLASS_STEP = 0.005  # relative width of a class of counts once classes hold more than one


class Sojourn(NamedTuple):
    """Mean sojourn times of one new mutation.

    Attributes
    ----------
    visits : float64[classes]
        Mean number of generations with a count in each class.
    fixation : float
        Probability of fixation.
    """

    visits: Floats
    fixation: float


@dataclass(frozen=True)
class CountClasses:
    """Classes of copy numbers ``1 .. n-1``: single counts at both ends, wider in the middle.

    Attributes
    ----------
    n : int
        Haploid genomes in the population, 2N.
    block : int
        Copy numbers up to this one are treated by the exact chain.
    reach : int
        From counts above this one no appreciable mass falls into the block in one generation.
    low, high : int64[classes]
        Half-open range ``[low, high)`` of copies of each class.
    """

    n: int
    block: int
    reach: int
    low: Ints
    high: Ints

    @classmethod
    def build(cls, n: int, block: int, overdispersion: float) -> CountClasses:
        """Return the classes for `n` genomes; `overdispersion` is N/Ne."""
        block = min(block, n - 1)
        reach = min(n - 1, block + int(np.ceil(8.0 * np.sqrt(block * overdispersion))) + 8)
        edges = [*range(1, reach + 1)]
        k = reach + 1
        while k < n:
            edges.append(k)
            k += max(1, int(_CLASS_STEP * min(k, n - k)))
        bounds = np.array([*edges, n], dtype=np.int64)
        return cls(n, block, reach, bounds[:-1], bounds[1:])

    @property
    def frequency(self) -> Floats:
        """Mean allele frequency of each class, float64[classes]."""
        return (self.low + self.high - 1) / (2.0 * self.n)

    @property
    def heterozygosity(self) -> Floats:
        """Mean of ``x(1-x)`` over the counts of each class, float64[classes]."""
        x, width = self.frequency, (self.high - self.low) / self.n
        return x * (1 - x) - (width**2 - 1.0 / self.n**2) / 12


def log_mean_fitness(x: npt.ArrayLike, s: float, h: float) -> Floats:
    """Return ln of mean fitness at allele frequency `x` in Hardy-Weinberg proportions.

    Parameters
    ----------
    x : array_like
        Frequency of the allele.
    s, h : float
        Homozygote ``1 + s``, heterozygote ``1 + h s``.
    """
    x = np.asarray(x, dtype=np.float64)
    return np.log1p(x * (2 * h * s + (1 - 2 * h) * s * x))


def _log_tail(x: Floats, log_scale: Floats) -> Floats:
    """Return ln of the integral of exp(log_scale) from each x to the last; log_scale is linear in between."""
    drop = np.abs(np.diff(log_scale))
    shape = np.where(drop > 1e-9, -np.expm1(-drop) / np.maximum(drop, 1e-9), 1 - drop / 2)
    piece = np.maximum(log_scale[1:], log_scale[:-1]) + np.log(np.diff(x)) + np.log(shape)
    return np.asarray(np.logaddexp.accumulate(piece[::-1])[::-1], dtype=np.float64)


def _diffusion(classes: CountClasses, ne: float, s: float, h: float) -> Sojourn:
    """Return the diffusion's sojourn times per class and its probability of fixation from one copy."""
    n = classes.n
    x = np.concatenate([[0.0], classes.frequency, [1.0]])
    fitness = 2 * ne * log_mean_fitness(x, s, h)
    tail = _log_tail(x, -fitness)
    inner = x[1:-1]
    density = np.exp(tail[1:] - tail[0] + fitness[1:-1]) / (inner * (1 - inner))
    visits = 4 * ne / n**2 * density * (classes.high - classes.low)
    return Sojourn(visits, float(np.exp(-np.log(n) - tail[0])))


def stationary_density(x: npt.ArrayLike, N: int, s: float, h: float = 0.5, Ne: float | None = None) -> Floats:
    """Return the diffusion's density of segregating sites at allele frequency `x`.

    Parameters
    ----------
    x : array_like
        Frequencies, inside (0, 1), any order.
    N : int
        Diploid individuals.
    s, h : float
        Homozygote ``1 + s``, heterozygote ``1 + h s``.
    Ne : float, optional
        Effective size for drift (default N).

    Returns
    -------
    float64
        Sites per unit of frequency and per new mutation per generation in the population, shape of `x`.

    Notes
    -----
    For weak additive selection this is the density of Sawyer & Hartl 1992, doi:10.1093/genetics/132.4.1161,
    per mutation. Poor below a few copies when selection is strong; `StationarySpectrum` is not.
    """
    at = np.asarray(x, dtype=np.float64)
    ne = float(N if Ne is None else Ne)
    grid = np.unique(np.concatenate([np.linspace(0, 1, 4 * N + 1), at.ravel()]))
    fitness = 2 * ne * log_mean_fitness(grid, s, h)
    tail = np.append(_log_tail(grid, -fitness), -np.inf)
    place = np.searchsorted(grid, at)
    return np.asarray(2 * ne / N * np.exp(tail[place] - tail[0] + fitness[place]) / (at * (1 - at)))


def fixation_probability(N: int, s: float, h: float = 0.5, Ne: float | None = None) -> float:
    """Return the probability that one new copy fixes, by the diffusion, for any dominance.

    ``integral_0^(1/2N) G / integral_0^1 G`` with ``G = wbar^(-2Ne)``: Kimura 1962,
    doi:10.1093/genetics/47.6.713.

    Parameters
    ----------
    N : int
        Diploid individuals.
    s, h : float
        Homozygote ``1 + s``, heterozygote ``1 + h s``.
    Ne : float, optional
        Effective size for drift (default N).
    """
    ne = float(N if Ne is None else Ne)
    grid = np.linspace(0, 1, 4 * N + 1)
    scale = -2 * ne * log_mean_fitness(grid, s, h)
    return float(np.exp(_log_tail(grid[:3], scale[:3])[0] - _log_tail(grid, scale)[0]))


def _transition(n: int, ne: float, start: Ints, stop: int, s: float, h: float) -> Floats:
    """Return P(j copies next generation | i now) for i in `start`, j = 1 .. stop, as float64[i, j]."""
    x = start / n
    carriers = x * (1 + h * s + (1 - h) * s * x)
    p = (carriers / np.exp(log_mean_fitness(x, s, h)))[:, None]
    j = np.arange(stop)
    choose = np.log((n - j) / (j + 1.0))
    rho = (n / (2 * ne) - 1) / (n - 1)
    if n / (2 * ne) < 1 + 1e-4:  # closer to binomial than gammaln's digits can tell
        first = n * np.log1p(-p)
        steps = choose + np.log(p) - np.log1p(-p)
    else:
        a, b = p * (1 / rho - 1), (1 - p) * (1 / rho - 1)
        first = gammaln(b + n) - gammaln(b) + gammaln(a + b) - gammaln(a + b + n)
        steps = choose + np.log(a + j) - np.log(b + n - 1 - j)
    return np.exp(first + np.cumsum(steps, axis=1))


def _solve(a: Floats, b: Floats) -> Floats:
    """Return the solution of ``a x = b`` by halves; diagonally dominant columns need no pivoting."""
    # whole, BLAS would start threads, which on busy cores cost ten times the work
    n = len(a)
    if n <= _ONE_THREAD:
        return np.asarray(np.linalg.solve(a, b), dtype=np.float64)
    m = n // 2
    x = _solve(a[:m, :m], np.concatenate([a[:m, m:], b[:m]], axis=1))
    low = np.einsum("ij,jk->ik", a[m:, :m], x)
    y = _solve(a[m:, m:] - low[:, : n - m], b[m:] - low[:, n - m :])
    return np.concatenate([x[:, n - m :] - np.einsum("ij,jk->ik", x[:, : n - m], y), y])


def sojourn(classes: CountClasses, ne: float, s: float, h: float) -> Sojourn:
    """Return the mean sojourn times of a mutation that starts as one copy.

    Parameters
    ----------
    classes : CountClasses
        From `CountClasses.build`.
    ne : float
        Variance effective size, at most ``classes.n / 2``.
    s, h : float
        Homozygote ``1 + s``, heterozygote ``1 + h s``; ``-1 < s <= 0``, ``0 <= h <= 1``.

    Notes
    -----
    See the module's text for the equations. Cohorts are counted at birth: selection has acted on the
    parents and the mutation was counted once as a singleton.
    """
    n, block = classes.n, classes.block
    start = np.zeros(block)
    start[0] = 1.0
    if block == n - 1:
        move = _transition(n, ne, np.arange(1, n), n, s, h)
        visits = _solve(np.eye(block) - move[:, :-1].T, start[:, None])[:, 0]
        return Sojourn(visits, float(visits @ move[:, -1]))
    move = _transition(n, ne, np.arange(1, classes.reach + 1), block, s, h)
    shape = _diffusion(classes, ne, s, h)
    entering = np.einsum("i,ij->j", shape.visits[block : classes.reach], move[block:])
    matrix = np.eye(block) - move[:block].T
    inner, outer = _solve(matrix, np.stack([start, entering], axis=1)).T
    match = slice(block // 4, block // 2)
    gap = float((shape.visits[:block] - outer)[match].sum())
    # far below the smallest double nothing reaches the second quarter, and the factor multiplies nothing
    factor = float(inner[match].sum()) / gap if gap > 1e-280 else 1.0
    visits = factor * shape.visits
    visits[:block] = inner + factor * outer
    return Sojourn(visits, factor * shape.fixation)


@dataclass(frozen=True)
class _Atoms:
    """Pieces of the DFE: |s| uniform on [low, high], dominance h, share of new mutations."""

    low: Floats
    high: Floats
    h: Floats
    share: Floats

    @classmethod
    def build(cls, s_nodes: Floats, h_bins: Floats, ne: float) -> _Atoms:
        low, high = np.abs(s_nodes[:-1]), np.abs(s_nodes[1:])
        # wide bins at the strong end: the spectrum goes as 1/s, so one point in the middle is not enough
        parts = np.where((high > 1.05 * low) & (high * ne > _NEUTRAL), 16, 1)
        which = np.repeat(np.arange(len(low)), parts)
        step = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
        width = ((high - low) / parts)[which]
        start = low[which] + step * width
        return cls(start, start + width, h_bins[which], 1.0 / parts[which] / len(low))

    @property
    def middle(self) -> Floats:
        return (self.low + self.high) / 2


class StationarySpectrum:
    """Segregating and fixing deleterious mutations of a population at mutation-selection-drift balance.

    Parameters
    ----------
    N : int
        Diploid individuals.
    s_nodes : float64[n+1]
        Homozygous effects at the quantiles ``i/n`` of the DFE, ``-1 < s <= 0``, ascending in |s|; s is
        uniform between neighbours.
    h_bins : float64[n]
        Dominance of each of the n bins, in [0, 1].
    U : float
        Deleterious mutations per haploid genome per generation.
    Ne : float, optional
        Effective size for drift, at most N (default N). See `background_selection`.
    exact_counts : int
        Copy numbers up to this one come from the exact chain.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Notes
    -----
    Sites are independent and in linkage equilibrium. The cohort is counted at birth, new mutations included.
    Against the exact chain, totals of sites, copies and heterozygosity agree within 1 % at N = 50 with an
    exact block of 24, and within 0.2 % at N = 1,000 with the default block.
    """

    def __init__(
        self,
        N: int,
        s_nodes: npt.ArrayLike,
        h_bins: npt.ArrayLike,
        U: float,
        *,
        Ne: float | None = None,
        exact_counts: int = EXACT_COUNTS,
    ) -> None:
        nodes, h = np.asarray(s_nodes, dtype=np.float64), np.asarray(h_bins, dtype=np.float64)
        ne = float(N if Ne is None else Ne)
        if N < 2 or not 1 <= ne <= N:
            raise ValueError(f"N, Ne: got {N}, {ne}; allowed: N >= 2 and 1 <= Ne <= N")
        if not (np.isfinite(U) and U >= 0):
            raise ValueError(f"U: got {U}; allowed: a finite number, at least 0")
        if nodes.ndim != 1 or h.shape != (len(nodes) - 1,) or len(h) == 0:
            raise ValueError(f"s_nodes, h_bins: got shapes {nodes.shape}, {h.shape}; allowed: (n+1,), (n,)")
        if not (np.all(nodes <= 0) and np.all(nodes > -1) and np.all(np.diff(nodes) <= 0)):
            raise ValueError("s_nodes: allowed: -1 < s <= 0, |s| ascending")
        if not np.all((h >= 0) & (h <= 1)):
            raise ValueError("h_bins: allowed: 0 <= h <= 1")
        self.N, self.Ne, self.U = int(N), ne, float(U)
        self._classes = CountClasses.build(2 * self.N, exact_counts, self.N / ne)
        self._atoms = _Atoms.build(nodes, h, ne)
        self._solve()

    def _solve(self) -> None:
        """Solve the chain on a ladder of |s| and find each atom's rungs."""
        atoms, floor = self._atoms, _NEUTRAL / self.Ne
        size = atoms.middle
        jump = np.abs(np.diff(atoms.h)) > 0.01 + 0.1 * np.minimum(atoms.h[1:], atoms.h[:-1])
        bounds = [0, *(np.flatnonzero(jump) + 1).tolist(), len(size)]
        solved: list[Sojourn] = []
        effects: list[tuple[float, float]] = []
        rung = np.empty(len(size), dtype=np.int64)
        self._upper = np.empty(len(size))  # share of the upper rung in the spectrum, linear in ln|s|
        self._upper_fixation = np.empty(len(size))  # and in ln(pfix), linear in |s|
        for first, last in pairwise(bounds):
            part = size[first:last]
            bottom, top = max(float(part[0]), floor), max(float(part[-1]), floor)
            steps = max(1, int(np.ceil(np.log(top / bottom) / _NODE_STEP)))
            ladder = np.geomspace(bottom, top, steps + 1) if top > bottom else np.array([bottom])
            if part[0] < floor:
                ladder = np.concatenate([[0.0], ladder])
            known = np.maximum(part, 1e-300)
            dominance = np.interp(np.log(np.maximum(ladder, 1e-300)), np.log(known), atoms.h[first:last])
            left = np.clip(np.searchsorted(ladder, part, side="right") - 1, 0, max(0, len(ladder) - 2))
            right = np.minimum(left + 1, len(ladder) - 1)
            span = ladder[right] - ladder[left]
            linear = np.where(span > 0, (part - ladder[left]) / np.where(span > 0, span, 1), 0.0)
            safe = np.maximum(ladder, floor)
            rise = np.log(safe[right] / safe[left])
            log_linear = np.log(np.maximum(part, floor) / safe[left]) / np.where(rise > 0, rise, 1)
            weight = np.where((ladder[left] > 0) & (rise > 0), log_linear, linear)
            rung[first:last] = len(solved) + left
            self._upper[first:last] = np.clip(weight, 0, 1)
            self._upper_fixation[first:last] = np.clip(linear, 0, 1)
            for s, h in zip(-ladder, dominance, strict=True):
                solved.append(sojourn(self._classes, self.Ne, float(s), float(h)))
                effects.append((float(s), float(h)))
        self._lower_rung, self._upper_rung = rung, np.minimum(rung + 1, len(solved) - 1)
        self._visits = np.array([item.visits for item in solved])
        self._rung_s, self._rung_h = np.array(effects).T
        self._log_fixation = np.log(np.maximum([item.fixation for item in solved], 1e-300))
        self._input = 2 * self.N * self.U * atoms.share  # new mutations per generation in the population

    def _mean(self, by_rung: Floats) -> Floats:
        """Return a property of the rungs interpolated to the atoms."""
        return (1 - self._upper) * by_rung[self._lower_rung] + self._upper * by_rung[self._upper_rung]

    def _rung_input(self) -> Floats:
        """Return the new mutations per generation that each rung stands for."""
        by_rung = np.zeros(len(self._visits))
        np.add.at(by_rung, self._lower_rung, self._input * (1 - self._upper))
        np.add.at(by_rung, self._upper_rung, self._input * self._upper)
        return by_rung

    def expected_counts(self) -> Floats:
        """Return the expected number of sites with 1, 2, ... 2N-1 copies, float64[2N-1]."""
        width = self._classes.high - self._classes.low
        return np.repeat(self._rung_input() @ self._visits / width, width)

    def expected_sites(self) -> float:
        """Return the expected number of segregating sites."""
        return float(self._input @ self._mean(self._visits.sum(axis=1)))

    def expected_per_haplotype(self) -> float:
        """Return the expected number of segregating mutations carried by one haploid genome."""
        return float(self._input @ self._mean(self._visits @ self._classes.frequency))

    def expected_load(self) -> float:
        """Return the mean of -ln(fitness) from segregating sites, in Hardy-Weinberg proportions."""
        atoms, half = self._atoms, self._classes.heterozygosity
        heterozygous = self._mean(self._visits @ half)
        homozygous = self._mean(self._visits @ (self._classes.frequency - half))
        s = -atoms.middle
        return float(self._input @ -(2 * heterozygous * np.log1p(atoms.h * s) + homozygous * np.log1p(s)))

    def expected_fitness_variance(self) -> float:
        """Return the variance of ln(fitness) between individuals, Hardy-Weinberg and linkage equilibrium."""
        atoms, half = self._atoms, self._classes.heterozygosity
        x = self._classes.frequency
        het, hom = np.log1p(-atoms.h * atoms.middle), np.log1p(-atoms.middle)
        pq = 2 * x * (1 - x)
        weights = (2 * half - pq * pq, -2 * pq * x * x, x - half - x**4)
        one, both, two = (self._mean(self._visits @ weight) for weight in weights)
        return float(self._input @ (one * het**2 + both * het * hom + two * hom**2))

    def fitness_variance_components(self) -> tuple[Floats, Floats]:
        """Return the additive variance of log fitness among gametes by strength of selection, and its decay.

        Returns
        -------
        variance : float64[k]
            ``sum of x(1-x) a^2`` over sites, a the average effect ``hs + (1-2h)sx``. It adds up to half the
            additive variance among individuals.
        decay : float64[k]
            Fraction of the sites' variance lost per generation by selection and drift together: input by
            mutation over standing amount. |hs| where selection is strong, 1/(2Ne) where it is weak.
        """
        x, half = self._classes.frequency, self._classes.heterozygosity
        s, h = self._rung_s[:, None], self._rung_h[:, None]
        effect = s * (h + (1 - 2 * h) * x)
        variance = self._rung_input() * ((self._visits * effect**2) @ half)
        entry = (1 - 1 / (2 * self.N)) / (2 * self.N)
        return variance, entry / (self._visits @ half)

    def fixation_rates(self) -> Floats:
        """Return the expected fixations per generation of each piece of the DFE, float64."""
        low, high = self._log_fixation[self._lower_rung], self._log_fixation[self._upper_rung]
        return self._input * np.exp(low + self._upper_fixation * (high - low))

    def fixation_load_rate(self) -> float:
        """Return the growth of -ln(fitness) per generation by fixations, ``sum 2N U pfix * -ln(1 + s)``."""
        return float(self.fixation_rates() @ -np.log1p(-self._atoms.middle))

    def draw(self, rng: np.random.Generator) -> tuple[Ints, Floats, Floats]:
        """Return one population's segregating sites.

        Returns
        -------
        counts : int64[k]
            Copies, 1 .. 2N-1. The number of sites k is Poisson.
        s, h : float64[k]
        """
        totals = self._visits.sum(axis=1)
        rate = self._input * self._mean(totals)
        atom = self._draw_atoms(rate, rng)
        upper = self._upper * totals[self._upper_rung] * self._input / np.where(rate > 0, rate, 1)
        rung = np.where(rng.random(len(atom)) < upper[atom], self._upper_rung[atom], self._lower_rung[atom])
        where, place = np.empty(len(atom), dtype=np.int64), rng.random(len(atom))
        order = np.argsort(rung, kind="stable")
        edges = np.searchsorted(rung[order], np.arange(len(totals) + 1))
        for node in np.flatnonzero(np.diff(edges)):
            members = order[edges[node] : edges[node + 1]]
            cumulative = np.cumsum(self._visits[node])
            where[members] = np.searchsorted(cumulative, place[members] * cumulative[-1], side="right")
        where = np.minimum(where, len(self._classes.low) - 1)
        low, width = self._classes.low[where], (self._classes.high - self._classes.low)[where]
        counts = low + np.minimum((rng.random(len(atom)) * width).astype(np.int64), width - 1)
        return counts, self._draw_s(atom, rng), self._atoms.h[atom]

    def draw_fixed(self, T: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return s and h (float64[k] each) of the mutations fixed in `T` generations, a Poisson number."""
        atom = self._draw_atoms(T * self.fixation_rates(), rng)
        return self._draw_s(atom, rng), self._atoms.h[atom]

    @staticmethod
    def _draw_atoms(rate: Floats, rng: np.random.Generator) -> Ints:
        cumulative = np.cumsum(rate)
        k = int(rng.poisson(cumulative[-1]))
        atom = np.searchsorted(cumulative, rng.random(k) * cumulative[-1], side="right")
        return np.minimum(atom, len(rate) - 1).astype(np.int64)

    def _draw_s(self, atom: Ints, rng: np.random.Generator) -> Floats:
        low, high = self._atoms.low[atom], self._atoms.high[atom]
        return -(low + (high - low) * rng.random(len(atom)))
