# SPDX-License-Identifier: GPL-3.0-or-later
"""Chi-square tests with a stated false-alarm rate, and the power they have against a wrong model."""

from __future__ import annotations

import numpy as np
from scipy import stats

FALSE_ALARM = 1e-6
"""Probability that a test of this suite rejects a right model. The seeds are fixed, so it is paid once."""
POWER = 0.999
"""Least probability, for a fresh seed, that a control rejects the wrong model it is given."""


def poisson(mean: float, n_bins: int) -> np.ndarray:
    """Probabilities of 0, 1, 2, ... and, in the last bin, of all the rest."""
    return np.append(stats.poisson.pmf(np.arange(n_bins - 1), mean), stats.poisson.sf(n_bins - 2, mean))


def poisson_bins(mean: float, n: int) -> int:
    """Number of bins for ``n`` values of which the last is expected to hold 10 or more."""
    return int(stats.poisson.isf(10 / n, mean)) + 1


def tally(values: np.ndarray, n_bins: int) -> np.ndarray:
    """How many values fall on 0, 1, ..., and on the last bin or beyond it."""
    return np.bincount(np.minimum(values, n_bins - 1), minlength=n_bins)


def p_value(observed: np.ndarray, probabilities: np.ndarray) -> float:
    """Pearson's chi-square of counts against probabilities that add up to 1."""
    expected = np.asarray(probabilities) * np.sum(observed)
    assert expected.min() >= 5, "too few expected in a bin for the chi-square distribution to hold"
    return float(stats.chisquare(observed, expected).pvalue)


def power(truth: np.ndarray, wrong: np.ndarray, n: int) -> float:
    """Probability that ``n`` values of ``truth`` reject ``wrong`` at FALSE_ALARM (noncentral chi-square)."""
    truth, wrong = np.asarray(truth), np.asarray(wrong)
    freedom = len(truth) - 1
    distance = n * float(((truth - wrong) ** 2 / wrong).sum())
    return float(stats.ncx2.sf(stats.chi2.isf(FALSE_ALARM, freedom), freedom, distance))


def accepts(observed: np.ndarray, probabilities: np.ndarray) -> bool:
    """Whether the counts agree with the model, at FALSE_ALARM."""
    return p_value(observed, probabilities) > FALSE_ALARM


def rejects(observed: np.ndarray, truth: np.ndarray, wrong: np.ndarray) -> bool:
    """Whether the counts refuse the wrong model; that they would is sure to POWER."""
    assert power(truth, wrong, int(np.sum(observed))) > POWER
    return p_value(observed, wrong) < FALSE_ALARM
