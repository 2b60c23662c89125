# SPDX-License-Identifier: GPL-3.0-or-later
"""How selection removes ancestry whose cost is spread over the whole genome."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def uniform_load_trajectory(
    p1: float, S: float, phi: npt.ArrayLike, generations: npt.ArrayLike, S_het: float | None = None
) -> Floats:
    """Return the expected share of source ancestry when its cost is spread evenly over the genome.

    Parameters
    ----------
    p1 : float
        Share in generation 1, unmixed individuals.
    S : float
        Log fitness cost of an unmixed individual of the source, -ln(relative fitness).
    phi : array_like
        From `phi`, at least ``max(generations) - 2`` values.
    generations : array_like of int
        Generations wanted, at least 1.
    S_het : float, optional
        Log fitness cost of an F1, negative with heterosis; ``S/2`` (additive) if omitted.

    Returns
    -------
    float64
        Shape of `generations`.

    Notes
    -----
    Fitness ``exp(-S I)`` in an individual with ancestry I changes the mean by ``-S Var(I)`` (Price
    1970, doi:10.1038/227520a0); with rare ancestry the variance is that of `ancestry_variance`, so that
    ``ln odds(g) = ln odds(1) - S - S/2 * sum of phi(0 .. g-3)`` (after Veller et al., doi:10.1101/846147).
    With dominance, one more gamete of the source at a place costs ``S_het`` beside a native one and ``S - S_het``
    beside another of its kind, so S/2 becomes ``(1-p) S_het + p (S - S_het)`` in random mating. Lower by up to
    5-8 % than runs in which the load lies at discrete, linked sites.
    """
    g = np.asarray(generations, dtype=np.int64)
    decay = np.asarray(phi, dtype=np.float64)
    if g.min() < 1 or len(decay) < g.max() - 2:
        raise ValueError(f"generations: got {g.min()} .. {g.max()}; allowed: 1 .. {len(decay) + 2}")
    if S_het is None:
        summed = np.concatenate([[0.0], np.cumsum(decay)])
        lost = np.where(g > 1, S, 0.0) + S / 2 * summed[np.maximum(g - 2, 0)]
        odds = p1 / (1 - p1) * np.exp(-lost)
        return np.asarray(odds / (1 + odds))
    share = np.empty(int(g.max()) + 1)
    share[1] = p1
    log_odds = np.log(p1) - np.log1p(-p1) - S
    for now in range(2, len(share)):
        share[now] = 1 / (1 + np.exp(-log_odds))
        log_odds -= gamete_cost(share[now], S, S_het) * decay[now - 2] if now - 2 < len(decay) else 0.0
    return np.asarray(share[g])


def gamete_cost(p: float, S: float, S_het: float) -> float:
    """Return the log fitness cost of a wholly foreign gamete whose partner is foreign with probability `p`.

    ``(1-p) S_het + p (S - S_het)``; S/2 for any p where effects are additive.
    """
    return (1 - p) * S_het + p * (S - S_het)
