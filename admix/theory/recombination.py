# SPDX-License-Identifier: GPL-3.0-or-later
"""Recombination between pairs of loci of a map, and the variance of ancestry that it leaves."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BIN = 0.01  # relative width of the bins of map distance; phi errs by its square over 24
_EARLY, _GONE = 200, -25.0  # pairs with less than exp(-25) left after 200 generations are not followed longer
_NEAR = 1e-9  # Morgans; pairs nearer than this are taken as one point
_FAR = 20.0  # Morgans; beyond, recombination is 1/2 to the last digit
_COARSE_FROM, _COARSE = 0.2, 16  # Morgans; cells beyond are taken together, since such pairs are gone before it shows


class Genome(Protocol):
    """The part of `admix.genome.Genome` that theory needs."""

    @property
    def chrom_axis(self) -> npt.NDArray[np.uint64]: ...  # noqa: D102
    @property
    def chrom_morgans(self) -> Floats: ...  # noqa: D102
    @property
    def marker_axis(self) -> npt.NDArray[np.uint64]: ...  # noqa: D102
    @property
    def marker_weight(self) -> npt.NDArray[np.int64]: ...  # noqa: D102


def haldane(morgans: npt.ArrayLike) -> Floats:
    """Return the recombination fraction ``(1 - exp(-2d))/2`` at map distance `morgans` (no interference)."""
    return -np.expm1(-2 * np.asarray(morgans, dtype=np.float64)) / 2


def _shares(genome: Genome, weights: npt.ArrayLike | None) -> Floats:
    """Return the weights of the markers as shares, by default those of the genome."""
    weight = np.asarray(genome.marker_weight if weights is None else weights, dtype=np.float64)
    if weight.shape != np.shape(genome.marker_axis) or not weight.sum() > 0 or weight.min() < 0:
        raise ValueError("weights: allowed: one number of at least 0 per marker, not all 0")
    return weight / weight.sum()


def _distances(genome: Genome, weight: Floats, other: Floats) -> tuple[Floats, Floats, float]:
    """Return distance (Morgans) and weight of binned pairs on one chromosome, and the weight of the rest.

    A pair is a marker drawn with `weight` and one drawn with `other`.
    """
    axis = np.asarray(genome.chrom_axis, dtype=np.float64)
    marker = np.asarray(genome.marker_axis, dtype=np.float64)
    bins = int(np.ceil(np.log(_FAR / _NEAR) / _BIN)) + 2
    total, moment, within = np.zeros(bins), np.zeros(bins), 0.0
    for c, morgans in enumerate(genome.chrom_morgans):
        first, last = np.searchsorted(marker, axis[c : c + 2])
        x = (marker[first:last] - axis[c]) * (morgans / (axis[c + 1] - axis[c]))
        w, v = weight[first:last], other[first:last]
        within += float(w.sum()) * float(v.sum())
        total[0] += float((w * v).sum())
        for lag in range(1, len(x)):
            d, pair = x[lag:] - x[:-lag], w[lag:] * v[:-lag] + v[lag:] * w[:-lag]
            place = (np.log(np.clip(d, _NEAR, _FAR) / _NEAR) / _BIN).astype(np.int64) + (d > _NEAR)
            total += np.bincount(place, pair, bins)
            moment += np.bincount(place, pair * d, bins)
    used = total > 0
    return moment[used] / total[used], total[used], max(0.0, 1.0 - within)


def _rounded_distances(genome: Genome, weight: Floats, other: Floats, step: float) -> tuple[Floats, Floats, float]:
    """As `_distances`, with positions rounded to `step` Morgans: a correlation of two vectors a chromosome."""
    axis = np.asarray(genome.chrom_axis, dtype=np.float64)
    marker = np.asarray(genome.marker_axis, dtype=np.float64)
    cells = int(max(genome.chrom_morgans) / step) + 2
    size = 1 << (2 * cells - 1).bit_length()
    total, within = np.zeros(cells), 0.0
    for c, morgans in enumerate(genome.chrom_morgans):
        first, last = np.searchsorted(marker, axis[c : c + 2])
        cell = np.rint((marker[first:last] - axis[c]) * (morgans / (axis[c + 1] - axis[c]) / step)).astype(np.int64)
        w = np.fft.rfft(np.bincount(cell, weight[first:last], cells), size)
        v = w if other is weight else np.fft.rfft(np.bincount(cell, other[first:last], cells), size)
        both = np.fft.irfft(w * np.conj(v), size)
        total += both[:cells]
        total[1:] += both[:-cells:-1]
        within += float(weight[first:last].sum()) * float(other[first:last].sum())
    distance = (np.arange(cells) * step).astype(np.float64)
    near = min(cells, int(_COARSE_FROM / step))
    extra = -(cells - near) % _COARSE
    far, at = (np.append(part[near:], np.zeros(extra)).reshape(-1, _COARSE) for part in (total, distance))
    weights = far.sum(axis=1)
    means = (far * at).sum(axis=1) / np.where(weights > 0, weights, 1.0)
    total, distance = np.append(total[:near], weights), np.append(distance[:near], means).astype(np.float64)
    used = total > 1e-15  # the transform leaves dust
    return distance[used], total[used], max(0.0, 1.0 - within)


def phi(
    genome: Genome,
    t_max: int,
    weights: npt.ArrayLike | None = None,
    other: npt.ArrayLike | None = None,
    step: float | None = None,
) -> Floats:
    """Return the mean of ``(1 - r_ij)^t`` over all ordered pairs of markers, for t = 0 .. t_max.

    Parameters
    ----------
    genome : Genome
        With `marker_axis`, `marker_weight`, `chrom_axis` and `chrom_morgans`.
    t_max : int
        Last generation.
    weights : array_like, optional
        Weight of each marker, shape (m,); by default `marker_weight`.
    other : array_like, optional
        Weight of each marker as the second of a pair, shape (m,), where it differs from `weights`: with the bases
        under selection here, phi is the association of ancestry anywhere with ancestry where the load is.
    step : float, optional
        Round positions to this many Morgans: ten times as quick, and good to ``(t step)^2 / 12``.

    Returns
    -------
    float64[t_max + 1]
        ``phi(t)``, pairs of a marker with itself included. Relative error below 1e-4.

    Notes
    -----
    ``1 - phi(1)`` is r-bar of Veller, Kleckner & Nowak 2019, doi:10.1073/pnas.1817482116; higher powers as in
    Veller, Edelman, Muralidhar & Nowak, doi:10.1101/846147. Recombination follows Haldane's map function
    within a chromosome and is 1/2 between.
    """
    first = _shares(genome, weights)
    second = first if other is None else _shares(genome, other)
    if step is None:
        distance, weight, between = _distances(genome, first, second)
    else:
        distance, weight, between = _rounded_distances(genome, first, second, step)
    t = np.arange(t_max + 1)
    log_kept = np.log1p(-haldane(distance))
    out = between * 0.5**t
    # far pairs are gone early, so that only near ones are needed for all generations
    for far, last in ((True, min(_EARLY, t_max)), (False, t_max)):
        chosen = (log_kept < _GONE / _EARLY) == far
        out[: last + 1] += weight[chosen] @ np.exp(np.outer(log_kept[chosen], t[: last + 1]))
    return np.asarray(out)


def rbar(genome: Genome, weights: npt.ArrayLike | None = None) -> float:
    """Return the mean recombination fraction of two loci drawn at random (with replacement).

    Veller, Kleckner & Nowak 2019, doi:10.1073/pnas.1817482116.
    """
    return float(1 - phi(genome, 1, weights)[1])


def ancestry_variance(p: float, phi: npt.ArrayLike, generations: int) -> Floats:
    """Return the neutral variance of ancestry between individuals in generations 1 .. `generations`.

    Parameters
    ----------
    p : float
        Share of the source in generation 1, all of it unmixed individuals.
    phi : array_like
        From `phi`, at least ``generations - 1`` values.
    generations : int

    Returns
    -------
    float64[generations]
        ``p(1-p)`` and then ``p(1-p)/2 * phi(g-2)``.

    Notes
    -----
    A gamete's ancestry has variance ``p(1-p) phi(t)`` after t rounds of meiosis in mixed individuals, and an
    individual is the mean of two independent gametes (Veller et al., doi:10.1101/846147).
    """
    decay = np.asarray(phi, dtype=np.float64)
    if len(decay) < generations - 1:
        raise ValueError(f"phi: got {len(decay)} values; allowed: at least {generations - 1}")
    return p * (1 - p) * np.concatenate([[1.0], decay[: generations - 1] / 2])[:generations]


def mean_variance(p: float, N: int, phi: npt.ArrayLike, g: int) -> float:
    """Return the neutral variance between runs of the population's mean ancestry in generation `g`.

    ``p(1-p)/(2N) * sum of phi(0 .. g-2)``: each generation samples 2N gametes, whose ancestry has variance
    ``p(1-p) phi`` (see `ancestry_variance`). To first order in ``g/2N``.
    """
    decay = np.asarray(phi, dtype=np.float64)
    if len(decay) < g - 1:
        raise ValueError(f"phi: got {len(decay)} values; allowed: at least {g - 1}")
    return float(p * (1 - p) / (2 * N) * decay[: max(0, g - 1)].sum())
