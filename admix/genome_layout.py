# SPDX-License-Identifier: GPL-3.0-or-later
"""Laying things out along the genome: intervals in windows, and bases on the genetic axis.

Pure functions of arrays. Positions in base pairs are 0-based and intervals half-open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AXIS_LENGTH",
    "MAX_BP",
    "Elements",
    "chromosome_axis",
    "far_markers",
    "interpolate",
    "merge",
    "overlap",
    "place_evenly",
    "position_key",
    "split_at_knots",
]

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

AXIS_LENGTH = 2**32
MAX_BP = 2**40  # far beyond any chromosome; the positions of all chromosomes share one 64-bit key


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Disjoint intervals in order of chromosome and position; arrays of one length.

    Attributes
    ----------
    chrom
        Index into the chromosomes asked for, int32.
    start, end
        Half-open interval, 0-based bp, int64. Neighbours are at least one base apart.
    """

    chrom: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def position_key(chrom: NDArray[np.integer], bp: NDArray[np.integer]) -> Int64:
    """One int64 that sorts by chromosome index, then position (bp below 2**40)."""
    return np.asarray(chrom, dtype=np.int64) * MAX_BP + np.asarray(bp, dtype=np.int64)


def merge(chrom: Int32, start: Int64, end: Int64) -> Elements:
    """Elements in order, those that overlap or touch made one."""
    order = np.lexsort((start, chrom))
    chrom, start, end = chrom[order], start[order], end[order]
    if len(start) == 0:
        return Elements(chrom=chrom, start=start, end=end)
    reach = np.maximum.accumulate(position_key(chrom, end))
    new = np.append(True, position_key(chrom, start)[1:] > reach[:-1])
    first = np.flatnonzero(new)
    return Elements(chrom=chrom[first], start=start[first], end=np.maximum.reduceat(end, first))


def place_evenly(start: Int64, end: Int64, count: Int64, bases: Int64) -> tuple[Int64, Int64, Int64]:
    """Elements of each window by the fixed rule: window index, start and end of each element.

    Each element has an equal share of the window's functional bases, and half of an equal share of its
    other bases on either side, both rounded down along the window.
    """
    # A window can hold bases of an element that starts, and is counted, in the window before.
    n = np.where(bases > 0, np.clip(count, 1, np.maximum(bases, 1)), 0)
    window = np.repeat(np.arange(len(n)), n)
    i = np.arange(len(window)) - np.repeat(np.cumsum(n) - n, n)
    n, f, spare = n[window], bases[window], (end - start - bases)[window]
    left = start[window] + (2 * i + 1) * spare // (2 * n)
    return window, left + i * f // n, left + (i + 1) * f // n


def interpolate(knot_bp: Int64, knot_axis: UInt64, knot: Int64, bp: Int64) -> UInt64:
    """Axis position of `bp` on the piece of the map that starts at `knot`."""
    width = knot_axis[knot + 1] - knot_axis[knot]
    length = knot_bp[knot + 1] - knot_bp[knot]
    return knot_axis[knot] + (bp - knot_bp[knot]).astype(np.uint64) * width // length.astype(np.uint64)


def split_at_knots(elements: Elements, knot_key: Int64, knot_bp: Int64) -> tuple[Int64, Int64, Int64, Int64]:
    """Pieces of the elements that lie between two neighbouring knots: element, knot before, start, end.

    `knot_key` is the `position_key` of the knots, in order; knots reach from end to end of a chromosome.
    """
    start = position_key(elements.chrom, elements.start)
    end = position_key(elements.chrom, elements.end)
    after = np.searchsorted(knot_key, start, side="right")
    n = np.searchsorted(knot_key, end, side="left") - after + 1
    element = np.repeat(np.arange(len(n)), n)
    knot = np.arange(len(element)) - np.repeat(np.cumsum(n) - n, n) + after[element] - 1
    piece_start = np.maximum(elements.start[element], knot_bp[knot])
    return element, knot, piece_start, np.minimum(elements.end[element], knot_bp[knot + 1])


def overlap(window: tuple[Int32, Int64, Int64], elements: Elements) -> Int64:
    """Bases of the elements in each window."""
    chrom, start, end = window
    element_start = position_key(elements.chrom, elements.start)
    element_end = position_key(elements.chrom, elements.end)
    before = np.append(0, np.cumsum(element_end - element_start))
    reach = np.append(-1, element_end)

    def covered(key: Int64) -> Int64:
        i = np.searchsorted(element_start, key, side="right")
        return before[i] - np.maximum(reach[i] - key, 0)

    return covered(position_key(chrom, end)) - covered(position_key(chrom, start))


def chromosome_axis(morgans: Float64) -> UInt64:
    """Axis position of the chromosomes' ends, each chromosome owning at least one."""
    edge = np.append(0.0, np.cumsum(morgans))
    axis = np.rint(edge / edge[-1] * AXIS_LENGTH).astype(np.int64)
    number = np.arange(len(axis))
    axis = np.maximum.accumulate(axis - number) + number
    return np.minimum(axis, AXIS_LENGTH - number[::-1]).astype(np.uint64)


def far_markers(chrom: Int32, axis: UInt64, functional: Bool, target: tuple[Int32, UInt64, UInt64]) -> Bool:
    """The fifth of the markers that are not functional which is farthest from functional bases.

    `target` is chromosome, first and last axis position of the segments, in order. The number is rounded
    up; of equally far markers the first count.
    """
    target_chrom, first, last = target
    after = np.searchsorted(position_key(target_chrom, first), position_key(chrom, axis), side="right")
    distance = np.full(len(axis), np.inf)
    place = axis.astype(np.float64)
    for neighbour, edge, sign in ((after - 1, last, 1.0), (after, first, -1.0)):
        inside = np.flatnonzero((neighbour >= 0) & (neighbour < len(first)))
        inside = inside[target_chrom[neighbour[inside]] == chrom[inside]]
        apart = sign * (place[inside] - edge[neighbour[inside]].astype(np.float64))
        distance[inside] = np.minimum(distance[inside], np.maximum(apart, 0.0))
    others = np.flatnonzero(~functional)
    farthest_first = others[np.argsort(-distance[others], kind="stable")]
    far = np.zeros(len(axis), dtype=bool)
    far[farthest_first[: -(-len(others) // 5)]] = True
    return far
