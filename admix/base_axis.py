# SPDX-License-Identifier: GPL-3.0-or-later
"""Which base pair a place on the genetic axis is: the exact link between the engine's crossovers and a tree's bases.

The engine compares axis positions: a site at axis position a comes from the other strand where a crossover lies at
or below a. Trees are in base pairs. Both say the same of every base whose axis position is the one given here, if a
crossover at x is put before the first base with an axis position of x or more.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from admix.genome import Genome
from admix.genome_layout import Bool, Int32, Int64, UInt64, position_key

__all__ = ["BaseAxis", "base_axis"]


@lru_cache(maxsize=4)
def base_axis(genome: Genome) -> BaseAxis:
    """Return the axis of a genome's bases, made once for each genome object."""
    return BaseAxis(genome)


class BaseAxis:
    """Axis positions of all bases of a genome, as a rising step function that can be turned round.

    A functional base has the axis position at which the engine puts its mutations (`Genome.target_axis`), any
    other that of the map (`Genome.axis_of`).

    Attributes
    ----------
    marker_chrom : int32[m]
        Chromosome index of each ancestry marker.
    marker_bp : int64[m]
        Its base: the last one at or before the genetic midpoint of its window.
    marker_axis : uint64[m]
        Its axis position; non-decreasing.
    """

    def __init__(self, genome: Genome) -> None:
        self.genome = genome
        n_chrom = len(genome.chroms)
        knot_chrom = np.repeat(np.arange(n_chrom), np.diff(genome.knot_first))
        inner = np.ones(len(knot_chrom), bool)
        inner[genome.knot_first[1:] - 1] = False  # a chromosome's last knot begins nothing
        map_chrom, map_start = knot_chrom[inner], genome.knot_bp[inner]
        map_end = genome.knot_bp[np.flatnonzero(inner) + 1]
        target_end = genome.target_start + np.diff(genome.target_cum)
        # pieces on which the axis is one rounded line: map pieces, cut open where functional segments lie in them
        key = np.concatenate([position_key(map_chrom, map_start), position_key(genome.target_chrom, target_end)])
        keep = np.ones(len(key), bool)
        functional_key = position_key(genome.target_chrom, genome.target_start)
        ends = np.concatenate([position_key(map_chrom, map_end), functional_key])
        keep[: len(map_chrom)] = ~np.isin(key[: len(map_chrom)], functional_key)
        after = key[len(map_chrom) :]
        keep[len(map_chrom) :] = ~(np.isin(after, functional_key) | np.isin(after, ends[: len(map_chrom)]))
        rest = key[keep]
        piece_key = np.concatenate([rest, functional_key])
        order = np.argsort(piece_key, kind="stable")
        piece_key = piece_key[order]
        functional = (np.arange(len(order)) >= len(rest))[order]
        segment = np.where(functional, order - len(rest), 0)

        map_key = position_key(map_chrom, map_start)
        at = np.searchsorted(map_key, piece_key, side="right") - 1
        chrom = map_chrom[at]
        axis = genome.knot_axis.astype(np.int64)
        low = np.flatnonzero(inner)[at]
        self._chrom = chrom.astype(np.int64)
        self._start = piece_key - position_key(chrom, np.zeros(len(chrom), np.int64))
        self._key = piece_key
        same = np.append(chrom[1:] == chrom[:-1], False)
        sizes = genome.knot_bp[genome.knot_first[1:] - 1]
        self._end = np.where(same, np.append(self._start[1:], 0), sizes[chrom])
        # the line: axis = axis0 + (bp - bp0) * width // length
        self._bp0 = np.where(functional, genome.target_start[segment], map_start[at])
        self._axis0 = np.where(functional, genome.target_axis_start.astype(np.int64)[segment], axis[low])
        self._width = np.where(
            functional,
            (genome.target_axis_end.astype(np.int64) - genome.target_axis_start.astype(np.int64))[segment],
            axis[low + 1] - axis[low],
        )
        self._length = np.where(functional, np.diff(genome.target_cum)[segment], (map_end - map_start)[at])
        self._first = self._value(np.arange(len(chrom)), self._start)
        self._bounds = np.searchsorted(self._chrom, np.arange(n_chrom + 1))

        windows = genome.marker_window
        marker_chrom = genome.window_chrom[windows]
        beyond = genome.marker_axis + np.uint64(1)
        bp = np.maximum(self.first_base(marker_chrom, beyond) - 1, genome.window_start[windows])
        self.marker_bp: Int64 = np.minimum(bp, genome.window_end[windows] - 1)
        self.marker_axis: UInt64 = self.axis(marker_chrom, self.marker_bp)
        self.marker_chrom: Int32 = marker_chrom

    def _value(self, piece: Int64, bp: Int64) -> Int64:
        offset = (bp - self._bp0[piece]) * self._width[piece] // self._length[piece]
        return np.asarray(self._axis0[piece] + offset)

    def axis(self, chrom: Int32 | Int64 | int, bp: Int64 | int) -> UInt64:
        """Return the axis position of bases: uint64, of the broadcast shape of chromosome indices and positions."""
        chrom, bp = np.broadcast_arrays(np.asarray(chrom, np.int64), np.asarray(bp, np.int64))
        piece = np.searchsorted(self._key, position_key(chrom, bp), side="right") - 1
        return self._value(piece, bp).astype(np.uint64)

    def first_base(self, chrom: Int32 | Int64 | int, x: UInt64 | int) -> Int64:
        """Return the first base of a chromosome whose axis position is `x` or more.

        Parameters
        ----------
        chrom
            Chromosome indices, broadcast against `x`.
        x
            Axis positions, uint64.

        Returns
        -------
        int64
            Base pairs, 0-based; the chromosome's length where every base lies below `x`.
        """
        chrom, x = np.broadcast_arrays(np.asarray(chrom, np.int64), np.asarray(x, np.uint64))
        x = x.astype(np.int64)
        piece = np.empty(x.shape, np.int64)
        for c in range(len(self._bounds) - 1):
            here = chrom == c
            if here.any():
                low, high = self._bounds[c], self._bounds[c + 1]
                piece[here] = low + np.searchsorted(self._first[low:high], x[here], side="left")
        first = piece == self._bounds[chrom]
        before = np.where(first, piece, piece - 1)
        flat: Bool = self._width[before] == 0
        width = np.where(flat, 1, self._width[before])
        # ceiling of (x - axis0) * length / width
        inside = self._bp0[before] - (self._axis0[before] - x) * self._length[before] // width
        inside = np.where(flat, self._end[before], np.minimum(inside, self._end[before]))
        return np.asarray(np.where(first, self._start[before], inside))
