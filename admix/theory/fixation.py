# SPDX-License-Identifier: GPL-3.0-or-later
"""Load that drift fixes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, zeta

Floats = npt.NDArray[np.float64]


def drift_load(N: float, T: float, mutation_rate: float, target_bp: float, mean: float, shape: float) -> float:
    """Return the log load fixed by drift in `T` generations: gamma DFE, h = 1/2, independent sites.

    Parameters
    ----------
    N : float
        Diploid (effective) size.
    T : float
        Generations.
    mutation_rate, target_bp : float
        Deleterious mutations per base pair per generation, and base pairs.
    mean, shape : float
        Of the gamma distribution of ``|s|`` (homozygous cost); the sign of `mean` is ignored.

    Notes
    -----
    With Kimura's probability of fixation ``s/(exp(2Ns) - 1)`` (Kimura 1962,
    doi:10.1093/genetics/47.6.713) the mean of ``2N U T pfix s`` over the DFE is ``U T c^-k Gamma(2+k)
    zeta(2+k) / Gamma(k) * (2N)^-(1+k)``, k the shape and ``c = mean/k``: linear in time and target, steep
    in N.
    """
    if not (N > 0 and shape > 0 and mean != 0):
        raise ValueError(f"N, shape, mean: got {N}, {shape}, {mean}; allowed: N > 0, shape > 0, mean not 0")
    log_factor = gammaln(2 + shape) - gammaln(shape) - shape * np.log(abs(mean) / shape)
    return float(T * mutation_rate * target_bp * zeta(2 + shape) * np.exp(log_factor - (1 + shape) * np.log(2 * N)))


def fixation_load_rate(N: float, s: npt.ArrayLike, share: npt.ArrayLike, U: float) -> float:
    """Return how fast drift fixes log load, for any distribution of effects: h = 1/2, independent sites.

    Parameters
    ----------
    N : float
        Diploid (effective) size.
    s, share : array_like
        Selection coefficients (homozygote ``1 + s``, negative or 0) and their shares of new mutations, shape (k,).
    U : float
        Mutations per haploid genome and generation.

    Notes
    -----
    ``sum of 2NU share pfix(s) (-ln(1 + s))`` with ``pfix = (1 - exp(-s)) / (1 - exp(-2Ns))``, the probability of
    fixation of one new copy by Kimura 1962, doi:10.1093/genetics/47.6.713, eq. 10 with half the homozygous effect
    for one copy. `drift_load` is its integral over a gamma distribution of weak effects.
    """
    a, weight = np.asarray(s, dtype=np.float64), np.asarray(share, dtype=np.float64)
    if not (N > 0 and np.all(a <= 0) and np.all(a > -1) and np.all(weight >= 0)):
        raise ValueError("N, s, share: allowed: N above 0, -1 < s <= 0, shares of at least 0")
    strength = np.maximum(-2 * N * a, 1e-12)
    pfix = np.expm1(np.maximum(-a, 1e-12 / (2 * N))) / np.expm1(np.minimum(strength, 700.0))
    return float((2 * N * U * weight * pfix) @ -np.log1p(a))
