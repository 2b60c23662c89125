# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry by distance to the nearest functional element, in the six bins of Petr et al. 2019.

Bin 0 is inside elements; bins 1 to 5 are the fifths of all other sequence by its distance to the nearest element, in
bp, bin 1 the nearest (Petr, Pääbo, Kelso & Vernot 2019, doi:10.1073/pnas.1814338116, who used sites; here every base
counts).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix.blocks import Blocks, chromosome_lengths, jackknife
from admix.errors import InputError
from admix.genome import SHIPPED, Genome
from admix.genome_layout import merge
from admix.landscape import HaplotypeAncestry
from admix.tracts import cover

__all__ = ["FIFTHS", "by_distance", "check_elements"]

Int64 = npt.NDArray[np.int64]

FIFTHS = 5
_ENDLESS = 2**45
"""Distance, bp, where a chromosome has no element: more than any, and far from the limits of int64."""


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Stretches of sequence outside elements in which the nearest element is on one side; arrays of one length.

    Base `origin + d - 1` of a piece that rises, and `origin - d` of one that falls, is at distance d.
    """

    start: Int64
    end: Int64
    origin: Int64
    rises: npt.NDArray[np.bool_]

    @property
    def offset(self) -> Int64:
        """One less than the smallest distance in each piece."""
        return np.where(self.rises, self.start - self.origin, self.origin - self.end)

    def within(self, low: int, high: int) -> tuple[Int64, Int64]:
        """Return the intervals of bases at a distance above `low` and up to `high`."""
        offset = self.offset
        near = np.maximum(offset, low)
        far = np.minimum(offset + self.end - self.start, high)
        start = np.where(self.rises, self.origin + near, self.origin - far)
        some = far > near
        return start[some], (start + far - near)[some]


def check_elements(genome: Genome) -> None:
    """Refuse a genome whose elements are not where they really are.

    Raises
    ------
    InputError
        For the shipped genome.
    """
    if genome.name == SHIPPED:
        raise InputError(
            "distance to elements", genome.name,
            "a run whose elements have real places (genome.source: files, with a map and a BED or GFF3 file): the"
            " shipped genome knows how many exons a window of 100 kb has, not where in it they are",
        )  # fmt: skip


def by_distance(genome: Genome, ancestry: HaplotypeAncestry, blocks: Blocks) -> pd.DataFrame:
    """Return mean ancestry in the six bins of distance to the nearest element of the genome.

    Windows that are all gap are left out. A chromosome without elements counts for bin 5. Bins 1 to 5 hold equal
    amounts of sequence, as far as bases at one distance, which stay together, allow it.

    Parameters
    ----------
    genome
        The genome of the run; its functional bases are the elements.
    ancestry
        Of sampled haplotypes, to the base.
    blocks
        For the errors.

    Returns
    -------
    DataFrame
        `bin` (0 to 5), `nearest` and `farthest` (bp, the range of distances; 0 in bin 0; `farthest` missing in bin
        5, and both in a bin without bases), `sequence_bp`, `ancestry`, `se` (block jackknife).

    Raises
    ------
    InputError
        For the shipped genome (see `check_elements`).
    """
    check_elements(genome)
    elements = merge(genome.target_chrom, genome.target_start, genome.target_start + np.diff(genome.target_cum))
    inside, outside = [], []
    for c, length in enumerate(chromosome_lengths(genome).values()):
        own = elements.chrom == c
        start, end = elements.start[own], elements.end[own]
        tiles = _sequence(genome, c)
        inside.append(_cut(start, end, tiles)[1:])
        outside.append(_pieces(start, end, length, tiles))
    breaks = _fifths(outside)
    held = np.zeros((blocks.total, FIFTHS + 1), dtype=np.int64)
    covered = np.zeros((blocks.total, FIFTHS + 1), dtype=np.int64)
    for c, name in enumerate(genome.chroms):
        edges = blocks.edges[name]
        for bin_ in range(FIFTHS + 1):
            start, end = inside[c] if bin_ == 0 else outside[c].within(breaks[bin_ - 1], breaks[bin_])
            _, start, end = _cut(start, end, (edges[:-1], edges[1:]))
            number = blocks.number(name, start)
            held[:, bin_] += np.bincount(number, end - start, blocks.total).astype(np.int64)
            inside_tracts = ancestry.bases(c, start, end)
            covered[:, bin_] += np.bincount(number, inside_tracts, blocks.total).astype(np.int64)
    result = jackknife(covered, held * ancestry.haplotypes)
    empty = held.sum(axis=0) == 0
    return pd.DataFrame(
        {
            "bin": np.arange(FIFTHS + 1),
            "nearest": np.where(empty, np.nan, [0.0, *(b + 1.0 for b in breaks[:-1])]),
            "farthest": np.where(empty, np.nan, [0.0, *(float(b) for b in breaks[1:-1]), np.nan]),
            "sequence_bp": held.sum(axis=0),
            "ancestry": result.estimate,
            "se": result.error,
        }
    )


def _sequence(genome: Genome, chrom: int) -> tuple[Int64, Int64]:
    """Start and end of the windows of a chromosome that are not all gap."""
    own = (genome.window_chrom == chrom) & (genome.window_end - genome.window_start > genome.window_gap_bp)
    return genome.window_start[own], genome.window_end[own]


def _cut(start: Int64, end: Int64, tiles: tuple[Int64, Int64]) -> tuple[Int64, Int64, Int64]:
    """Intersections of intervals with disjoint tiles in order: number of the interval, start, end."""
    first = np.searchsorted(tiles[1], start, side="right")
    n = np.maximum(np.searchsorted(tiles[0], end, side="left") - first, 0)
    which = np.repeat(np.arange(len(n)), n)
    tile = np.arange(len(which)) - np.repeat(np.cumsum(n) - n, n) + first[which]
    return which, np.maximum(start[which], tiles[0][tile]), np.minimum(end[which], tiles[1][tile])


def _pieces(start: Int64, end: Int64, length: int, tiles: tuple[Int64, Int64]) -> _Pieces:
    """What lies outside the elements [start, end) of a chromosome, cut at the middle between two of them."""
    if len(start) == 0:
        left, right = np.array([0]), np.array([length])
        origin, rises = left - _ENDLESS, np.array([True])
    else:
        # each element has the sequence up to the middle on either side; of an odd number the left one has more
        half = end[:-1] + (start[1:] - end[:-1] + 1) // 2
        left = np.concatenate([end, np.append(0, half)])
        right = np.concatenate([np.append(half, length), start])
        origin = np.concatenate([end, start])
        rises = np.repeat([True, False], len(start))
    which, left, right = _cut(left, right, tiles)
    some = right > left
    which = which[some]
    return _Pieces(left[some], right[some], origin[which], rises[which])


def _fifths(pieces: list[_Pieces]) -> list[int]:
    """Distances between the bins: 0, four breaks, and one beyond all."""
    low = np.concatenate([p.offset for p in pieces])
    high = np.concatenate([p.offset + p.end - p.start for p in pieces])
    # how much lies up to each distance is linear between the ends of pieces
    at = np.unique(np.concatenate([[0], low, high]))
    up_to = cover(low, high, at)
    breaks = [0]
    for k in range(1, FIFTHS):
        wanted = k * int(up_to[-1])
        i = max(int(np.searchsorted(FIFTHS * up_to, wanted)), 1)
        slope = int(up_to[i] - up_to[i - 1]) // int(at[i] - at[i - 1])
        short = wanted - FIFTHS * int(up_to[i - 1])
        breaks.append(int(at[i - 1]) + -(-short // (FIFTHS * slope)))
    return [*breaks, 2 * _ENDLESS]
