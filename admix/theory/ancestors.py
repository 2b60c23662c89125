# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has descendants, and of how many ancestors a person has DNA."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from admix.theory.purging import uniform_load_trajectory

Floats = npt.NDArray[np.float64]

NEUTRAL_SURVIVAL = 0.7968121300200202
"""The root of ``f = 1 - exp(-2f)``: the share of a population that has descendants in the far future."""


class FounderSurvival(NamedTuple):
    """Probability that a founder has descendants in the far future, by its origin.

    Attributes
    ----------
    source, recipient : float
        Founders of generation 1 from the source, and the others.
    share : float
        Share of the source among the founders that have descendants.
    """

    source: float
    recipient: float
    share: float


def pedigree_survival(p1: float, S: float, phi: npt.ArrayLike) -> FounderSurvival:
    """Return how likely founders are to be anybody's genealogical ancestor after many generations.

    Parameters
    ----------
    p1 : float
        Share of the source in generation 1.
    S : float
        Log fitness cost of an unmixed individual of the source.
    phi : array_like
        From `phi`, at least 40 values.

    Notes
    -----
    Children of an individual are Poisson with mean twice its relative fitness, and a line once
    established stays: ``f_k = 1 - exp(-2 w_k f_(k+1))`` backwards from the neutral ``f = 0.797``, the root
    of ``f = 1 - exp(-2f)`` (Chang 1999, doi:10.1239/aap/1029955256). A descendant k generations on has
    ancestry ``2^-k`` of its founder's and the rest from the population, whose mean follows
    `uniform_load_trajectory` and whose log fitness has the variance of `ancestry_variance`. Variation
    between descendants of the same degree is neglected: for S = 0.77 the source's survival comes out 0.02
    higher than in individual-based runs.
    """
    depth = 40
    p = uniform_load_trajectory(p1, S, phi, np.arange(1, depth + 1))
    variance = p * (1 - p) / 2 * np.concatenate([[0.0], np.asarray(phi, dtype=np.float64)[: depth - 1]])
    log_mean = -S * p + S**2 * variance / 2
    log_mean[0] = np.log1p(-p1 * -np.expm1(-S))
    log_mean[1] = 2 * np.log1p(-p[1] * -np.expm1(-S / 2))
    survival = []
    for own in (1.0, 0.0):
        f = NEUTRAL_SURVIVAL
        for k in range(depth - 1, -1, -1):
            ancestry = own * 0.5**k + p[k] * (1 - 0.5**k)
            f = -np.expm1(-2 * np.exp(-S * ancestry - log_mean[k]) * f)
        survival.append(float(f))
    source, recipient = survival
    return FounderSurvival(source, recipient, p1 * source / (p1 * source + (1 - p1) * recipient))


def genealogical_ancestors(k: npt.ArrayLike, N: float) -> Floats:
    """Return the expected number of distinct genealogical ancestors of one person `k` generations ago.

    Parameters
    ----------
    k : array_like of int
        Generations back, from 0.
    N : float
        Diploid individuals in every generation, mating at random.

    Returns
    -------
    float64
        Shape of `k`.

    Notes
    -----
    Each of A ancestors has two parents, drawn with replacement: ``A_(k+1) = N (1 - (1 - 1/N)^(2 A_k))``. It grows
    as 2^k and levels off at 0.797 N (Chang 1999, doi:10.1239/aap/1029955256).
    """
    wanted = np.asarray(k, dtype=np.int64)
    if wanted.min() < 0 or N < 1:
        raise ValueError(f"k, N: got {wanted.min()}, {N}; allowed: k of at least 0, N of at least 1")
    counts = np.ones(int(wanted.max()) + 1)
    for i in range(1, len(counts)):
        counts[i] = -N * np.expm1(2 * counts[i - 1] * np.log1p(-1 / N)) if N > 1 else 1.0
    return np.asarray(counts[wanted])


def ancestral_blocks(k: npt.ArrayLike, morgans: float, chromosomes: int) -> Floats:
    """Return the expected number of blocks into which one person's two haploid genomes are cut `k` generations ago.

    ``2 (chromosomes + morgans (k - 1))``: a gamete from a parent is not cut, and every further generation adds a
    crossover a Morgan in each (Coop 2013, https://gcbias.org/2013/11/11, "How does your number of genetic ancestors
    grow back over time?"; Donnelly 1983, doi:10.1016/0040-5809(83)90004-7).
    """
    back = np.asarray(k, dtype=np.float64)
    if back.min() < 1:
        raise ValueError(f"k: got {back.min():g}; allowed: at least 1")
    return 2 * (chromosomes + morgans * (back - 1))


def genetic_ancestors(k: npt.ArrayLike, morgans: float, chromosomes: int, N: float = np.inf) -> Floats:
    """Return the expected number of ancestors `k` generations ago from whom one person has DNA.

    Parameters
    ----------
    k : array_like of int
        Generations back, from 1.
    morgans : float
        Genetic length of the haploid genome.
    chromosomes : int
        Number of chromosomes.
    N : float, optional
        Diploid individuals in every generation; without end if omitted.

    Returns
    -------
    float64
        Shape of `k`.

    Notes
    -----
    Blocks fall on the ancestors' lines at random, so ``A (1 - exp(-blocks / A))`` of A ancestors have at least one.
    For an endless population ``A = 2^k`` (Coop 2013, after Donnelly 1983, doi:10.1016/0040-5809(83)90004-7); in a
    finite one A is `genealogical_ancestors`, which supposes equal chances for all of them: pedigree collapse
    makes them unequal, and the result is then an upper bound. Within 5 % for k <= 6 and 10-25 % high at k = 8 to 15
    against simulation, since blocks of one gamete lie together.
    """
    blocks = ancestral_blocks(k, morgans, chromosomes)
    lines = 2.0 ** np.asarray(k, dtype=np.float64) if np.isinf(N) else genealogical_ancestors(k, N)
    return np.asarray(-lines * np.expm1(-blocks / lines))
