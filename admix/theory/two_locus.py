# SPDX-License-Identifier: GPL-3.0-or-later
"""A neutral locus beside a deleterious one: the share of ancestry that is left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def two_locus_survival(s: npt.ArrayLike, r: npt.ArrayLike, t: npt.ArrayLike) -> Floats:
    """Return the share of rare neutral ancestry left after `t` generations beside one deleterious allele.

    Parameters
    ----------
    s : array_like
        Cost of one copy of the allele, positive; its carriers are heterozygotes, as ancestry is rare.
    r : array_like
        Recombination fraction between the two loci.
    t : array_like
        Generations since gametes carrying both entered the population.

    Notes
    -----
    ``x + r(1-s)(1-x)/(1-(1-s)(1-r))`` with ``x = [(1-s)(1-r)]^t``: the two-locus recursion of
    Juric, Aeschbacher & Coop 2016, doi:10.1371/journal.pgen.1006340 for a rare allele. A gamete
    that recombines away in a generation has still paid that generation's cost.
    """
    s, r, t = (np.asarray(value, dtype=np.float64) for value in (s, r, t))
    keep = (1 - s) * (1 - r)
    x = keep**t
    lasting = np.where(keep < 1, r * (1 - s) / np.where(keep < 1, 1 - keep, 1.0), 1.0)
    return np.asarray(x + lasting * (1 - x))


def two_locus_trajectory(p1: float, s: float, h: float, r: float, generations: int) -> Floats:
    """Return the share of source ancestry at a selected and at a neutral locus, without drift.

    Parameters
    ----------
    p1 : float
        Share of the source in generation 1, unmixed individuals: both loci homozygous for its alleles.
    s, h : float
        Homozygote ``1 + s``, heterozygote ``1 + h s`` for the source's allele at the selected locus.
    r : float
        Recombination fraction between the two.
    generations : int
        Generations wanted, from 1.

    Returns
    -------
    float64[generations, 2]
        Selected locus, neutral locus; newborns.

    Notes
    -----
    The exact recursion for four gametes under random mating, Lewontin & Kojima 1960,
    doi:10.1111/j.1558-5646.1960.tb03113.x, for any share of the source; only generation 1 is not in
    Hardy-Weinberg proportions.
    """
    out = np.empty((generations, 2))
    out[0] = p1
    kept = p1 * (1 + s)
    q = kept / (kept + 1 - p1)
    # gametes by (selected, neutral) allele: 11, 10, 01, 00
    x = np.array([q, 0.0, 0.0, 1 - q])
    fitness = np.array([1.0, 1 + h * s, 1 + s])[np.add.outer([1, 1, 0, 0], [1, 1, 0, 0])]
    for g in range(1, generations):
        out[g] = x[0] + x[1], x[0] + x[2]
        marginal = fitness @ x
        swap = r * fitness[0, 3] * (x[0] * x[3] - x[1] * x[2])
        x = (x * marginal + swap * np.array([-1.0, 1.0, 1.0, -1.0])) / (x @ marginal)
    return out
