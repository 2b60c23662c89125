# SPDX-License-Identifier: GPL-3.0-or-later
"""A genome and its selection as the arrays that the kernels read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import poisson

from admix.base_axis import base_axis
from admix.engines.native.gametes import GUIDE_SHIFT
from admix.engines.native.state import closed, grid_of, pack
from admix.genome import Genome
from admix.selection import Selection

_TWO32 = 4294967296.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Read-only inputs of the kernels.

    ``crossover_cdf`` uint64[c, k] and ``mutation_cdf`` uint64[k]: cumulative Poisson probabilities times
    2**32. Markers, padded to whole words: ``mark_axis`` uint32[m + 1] (closed by a
    last position), ``mark_grid``, ``masks`` uint64[4, v]
    (ordinary weight; any other; functional; far), ``odd_words`` int32 the words with any of other weight,
    ``mark_weight`` int64[64 v]; ``mark_total`` int64[3] the summed weights (all, functional, far).
    ``target_guide``: see `new_mutations`.
    """

    chrom_axis: np.ndarray
    crossover_cdf: np.ndarray
    mutation_cdf: np.ndarray
    mutation_mean: float
    target_cum: np.ndarray
    target_guide: np.ndarray
    target_axis_start: np.ndarray
    target_axis_end: np.ndarray
    s_nodes: np.ndarray
    h_bins: np.ndarray
    mark_axis: np.ndarray
    mark_grid: np.ndarray
    masks: np.ndarray
    odd_words: np.ndarray
    mark_weight: np.ndarray
    plain_weight: int
    mark_total: np.ndarray

    @property
    def n_markers(self) -> int:
        """Number of ancestry markers."""
        return len(self.mark_axis) - 1

    @property
    def mark_words(self) -> int:
        """Words in a row of markers."""
        return self.masks.shape[1]


def poisson_cdf(mean: float) -> np.ndarray:
    """Cumulative Poisson probabilities times 2**32 (uint64), ending with 2**32."""
    top = int(poisson.isf(2.0**-34, mean)) + 2 if mean > 0 else 1
    cdf = np.floor(poisson.cdf(np.arange(top), mean) * _TWO32).astype(np.uint64)
    cdf[-1] = np.uint64(1 << 32)
    return cdf


def target_guide(cumulative: np.ndarray) -> np.ndarray:
    """The segment of the target that holds every 2**GUIDE_SHIFT-th base (int32), from running sums of lengths."""
    bases = np.arange(0, max(1, int(cumulative[-1])), 1 << GUIDE_SHIFT)
    return (np.searchsorted(cumulative, bases, side="right") - 1).astype(np.int32)


def build_tables(genome: Genome, selection: Selection) -> Tables:
    """Return the kernels' view of a genome under selection."""
    rows = [poisson_cdf(m) for m in genome.chrom_morgans]
    crossover = np.full((len(rows), max(len(r) for r in rows)), np.uint64(1 << 32))
    for c, row in enumerate(rows):
        crossover[c, : len(row)] = row
    mean = genome.functional_bp * selection.mutation_rate
    effects = selection.tables()
    m = len(genome.marker_axis)
    padded = 64 * ((m + 63) // 64)
    weight = np.zeros(padded, np.int64)
    weight[:m] = genome.marker_weight
    values, counts = np.unique(genome.marker_weight, return_counts=True)
    plain = int(values[np.argmax(counts)])

    def mask(flags: np.ndarray) -> np.ndarray:
        full = np.zeros(padded, bool)
        full[:m] = flags
        return pack(full)

    # a marker is a base, so that a tree in base pairs has the same labels
    marker_axis = base_axis(genome).marker_axis
    ordinary = genome.marker_weight == plain
    functional, far = genome.marker_functional, genome.marker_far
    return Tables(
        chrom_axis=genome.chrom_axis.astype(np.uint64),
        crossover_cdf=crossover,
        mutation_cdf=poisson_cdf(mean),
        mutation_mean=mean,
        target_cum=genome.target_cum.astype(np.int64),
        target_guide=target_guide(genome.target_cum),
        target_axis_start=genome.target_axis_start.astype(np.uint64),
        target_axis_end=genome.target_axis_end.astype(np.uint64),
        s_nodes=effects.s_nodes,
        h_bins=effects.h_bins,
        mark_axis=closed(marker_axis),
        mark_grid=grid_of(marker_axis),
        masks=np.stack([mask(ordinary), mask(~ordinary), mask(functional), mask(far)]),
        odd_words=np.flatnonzero(mask(~ordinary)).astype(np.int32),
        mark_weight=weight,
        plain_weight=plain,
        mark_total=np.array(
            [w.sum() for w in (genome.marker_weight, genome.marker_weight[functional], genome.marker_weight[far])]
        ),
    )
