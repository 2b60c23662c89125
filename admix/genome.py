# SPDX-License-Identifier: GPL-3.0-or-later
"""The genome: recombination map, functional bases and ancestry markers on one genetic axis.

All chromosomes share one unsigned 32-bit axis on which recombination is uniform, so that a crossover
is a uniform draw and a comparison. Base pairs are kept beside it, because a stretch without
recombination has many bases and one axis position.

Positions in base pairs are 0-based and intervals half-open everywhere in this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np

from admix import genome_readers as readers
from admix.datafiles import data_path
from admix.errors import InputError, nearest
from admix.genome_layout import (
    AXIS_LENGTH,
    Bool,
    Elements,
    Float64,
    Int32,
    Int64,
    UInt64,
    chromosome_axis,
    far_markers,
    interpolate,
    overlap,
    place_evenly,
    position_key,
    split_at_knots,
)

__all__ = ["AXIS_LENGTH", "SHIPPED", "TARGETS", "Genome", "from_files", "shipped"]

SHIPPED = "human_autosomes_GRCh37_100kb"
TARGETS = ("exons", "cds")
MAX_WINDOWS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Genome:
    """Chromosomes, windows, functional bases and markers on one genetic axis; arrays are read-only.

    Attributes
    ----------
    name, build
        Where the genome comes from, and the assembly its positions are on.
    target
        What the functional bases are: ``exons``, ``cds`` or ``custom``.
    chroms
        Chromosome names without ``chr``, in order. Indices below refer to it.
    window_chrom, window_start, window_end
        Windows in order of chromosome and position, shape (w,). They tile every chromosome.
    window_cm_start, window_cm_end
        Genetic position of the window's edges, cM from the start of the chromosome, shape (w,).
    window_functional_bp, window_gap_bp
        Functional bases and bases without known sequence in the window, shape (w,).
    window_b
        Mean strength of background selection (McVicker's B) in the window, NaN where unknown, shape (w,).
    chrom_axis
        Chromosome `c` owns axis positions [chrom_axis[c], chrom_axis[c+1]), in proportion to its Morgans;
        the last value is 2**32. Shape (c+1,).
    chrom_morgans
        Genetic length, Morgans, shape (c,).
    knot_first, knot_bp, knot_axis
        The map: axis position as a piecewise linear function of bp. Chromosome `c` has the knots
        [knot_first[c], knot_first[c+1]), the first at its first base and the last at its end, all below
        ``chrom_axis[c+1]``. Window edges are knots.
    target_chrom, target_start, target_cum
        Functional bases as segments inside one piece of the map, in order; ``target_cum`` counts the
        bases before each segment, and its last value is all of them. Shapes (k,), (k,), (k+1,).
    target_axis_start, target_axis_end
        Axis positions of the segment's ends, shape (k,). The base `o` of a segment of `n` lies at
        ``start + o*(end-start)//n``, always below ``chrom_axis[c+1]``.
    marker_window
        Window of each neutral ancestry marker, shape (m,). A window has one unless all of it is gap.
    marker_axis
        Axis position of the marker: the genetic midpoint of its window; non-decreasing. Shape (m,).
    marker_weight
        Bases of the window that are not gap; shares of ancestry are weighted by it. Shape (m,).
    marker_functional
        Whether the window holds functional bases, shape (m,).
    marker_far
        The fifth of the other markers that is farthest from any functional base, in genetic distance on
        the chromosome (a chromosome without functional bases is farther than all), shape (m,).
    """

    name: str
    build: str
    target: str
    chroms: tuple[str, ...]
    window_chrom: Int32
    window_start: Int64
    window_end: Int64
    window_cm_start: Float64
    window_cm_end: Float64
    window_functional_bp: Int64
    window_gap_bp: Int64
    window_b: Float64
    chrom_axis: UInt64
    chrom_morgans: Float64
    knot_first: Int64
    knot_bp: Int64
    knot_axis: UInt64
    target_chrom: Int32
    target_start: Int64
    target_cum: Int64
    target_axis_start: UInt64
    target_axis_end: UInt64
    marker_window: Int32
    marker_axis: UInt64
    marker_weight: Int64
    marker_functional: Bool
    marker_far: Bool

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.flags.writeable = False
                object.__setattr__(self, field.name, value)

    @property
    def total_bp(self) -> int:
        """Length of all chromosomes, bp, gaps included."""
        return int(np.sum(self.window_end - self.window_start))

    @property
    def functional_bp(self) -> int:
        """Number of functional bases."""
        return int(self.target_cum[-1])

    @property
    def gap_bp(self) -> int:
        """Number of bases without known sequence."""
        return int(np.sum(self.window_gap_bp))

    @property
    def morgans(self) -> float:
        """Genetic length of all chromosomes, Morgans."""
        return float(np.sum(self.chrom_morgans))

    def target_positions(self, t: Int64) -> tuple[Int32, Int64]:
        """Chromosome index and position (bp) of functional bases.

        Parameters
        ----------
        t
            Numbers of functional bases, each in [0, functional_bp), any shape.

        Returns
        -------
        chrom : int32
        bp : int64
            Both of the shape of `t`.
        """
        segment, offset = self._segment(t)
        return self.target_chrom[segment], self.target_start[segment] + offset

    def target_axis(self, t: Int64) -> UInt64:
        """Axis position of functional bases; `t` as in `target_positions`, same shape."""
        segment, offset = self._segment(t)
        first = self.target_axis_start[segment]
        width = self.target_axis_end[segment] - first
        length = self.target_cum[segment + 1] - self.target_cum[segment]
        return first + offset.astype(np.uint64) * width // length.astype(np.uint64)

    def _segment(self, t: Int64) -> tuple[Int64, Int64]:
        t = np.asarray(t, dtype=np.int64)
        segment = np.searchsorted(self.target_cum, t, side="right") - 1
        return segment, t - self.target_cum[segment]

    def axis_of(self, chrom: Int32 | int, bp: Int64 | int) -> UInt64:
        """Axis position of any base, functional or not.

        The map is rounded to the axis at its knots here and at the ends of segments in `target_axis`; for
        one base the two agree to one axis unit (about a base pair at the mean rate).

        Parameters
        ----------
        chrom
            Chromosome index, broadcast against `bp`.
        bp
            Position in [0, length of the chromosome).

        Returns
        -------
        uint64
            Always inside the chromosome: below ``chrom_axis[chrom+1]``.
        """
        chrom, bp = np.broadcast_arrays(np.asarray(chrom, dtype=np.int64), np.asarray(bp, dtype=np.int64))
        knot_chrom = np.repeat(np.arange(len(self.chroms)), np.diff(self.knot_first))
        knot_key = position_key(knot_chrom, self.knot_bp)
        knot = np.searchsorted(knot_key, position_key(chrom, bp), side="right") - 1
        return interpolate(self.knot_bp, self.knot_axis, knot, bp)

    def checksum(self) -> str:
        """SHA-256 (hex) over everything that can change a result: all but `name`."""
        digest = hashlib.sha256()
        for field in fields(self):
            if field.name == "name":
                continue
            value = getattr(self, field.name)
            digest.update(f"{field.name}=".encode())
            if isinstance(value, np.ndarray):
                little = value.astype(value.dtype.newbyteorder("<"), copy=False)
                digest.update(f"{little.dtype.str}{little.shape}".encode())
                digest.update(np.ascontiguousarray(little).tobytes())
            else:
                digest.update(repr(value).encode())
        return digest.hexdigest()


def shipped(target: str = "exons", chromosomes: Sequence[str] | None = None) -> Genome:
    """Human autosomes on GRCh37 in windows of 100 kb, as shipped with admix.

    The map is HapMap II (doi:10.1038/nature06258), the functional bases are RefSeq exons or coding
    sequence, B is McVicker et al. 2009 (doi:10.1371/journal.pgen.1000471); see ``data/README.md``. The
    table says how many elements and bases a window has, not where: the `n` elements of a window have
    lengths that differ by one base at most, and lie evenly spaced in it.

    Parameters
    ----------
    target
        ``exons`` (RefSeq exons with UTRs, 74.27 Mb) or ``cds`` (coding sequence, 32.68 Mb).
    chromosomes
        Names of the chromosomes wanted (``["20", "21"]``); all 22 if omitted. They keep the order of
        the genome.

    Raises
    ------
    InputError
        For an unknown target or chromosome, one named twice, or none at all.
    """
    if target not in TARGETS:
        raise InputError("target", target, f"one of {', '.join(TARGETS)}", nearest(str(target), TARGETS))
    return _shipped(target, readers.chromosome_names(chromosomes))


@lru_cache(maxsize=8)
def _shipped(target: str, wanted: tuple[str, ...] | None) -> Genome:
    table = readers.read_window_table(data_path(f"{SHIPPED}.tsv.gz"))
    keep = readers.choose_chromosomes(table.chroms, wanted)
    kept = [table.chroms.index(name) for name in keep]
    rows = np.isin(table.chrom, kept)
    chrom = np.searchsorted(kept, table.chrom[rows]).astype(np.int32)
    start, end = table.start[rows], table.end[rows]
    count, bases = table.elements[target]
    element_window, element_start, element_end = place_evenly(start, end, count[rows], bases[rows])

    first = np.flatnonzero(np.diff(chrom, prepend=-1))
    last = np.append(first[1:], len(chrom)) - 1
    # Knots are the window starts of a chromosome and its end.
    at = np.insert(np.arange(len(chrom)), last + 1, -1)
    knot_bp, knot_cm = start[at], table.cm_start[rows][at]
    knot_bp[at < 0], knot_cm[at < 0] = end[last], table.cm_end[rows][last]
    return _build(
        name=SHIPPED,
        build="GRCh37",
        target=target,
        chroms=keep,
        window=(chrom, start, end),
        gap_bp=table.gap_bp[rows],
        b=table.b[rows],
        knots=(np.append(first, len(chrom)) + np.arange(len(first) + 1), knot_bp, knot_cm),
        elements=Elements(chrom=chrom[element_window], start=element_start, end=element_end),
    )


def from_files(
    map_path: str | PathLike[str],
    elements_path: str | PathLike[str],
    *,
    chromosome_lengths: Mapping[str, int] | str | PathLike[str] | None = None,
    window: int = 100_000,
    map_format: str = "hapmap",
    elements_format: str = "bed",
    feature: str = "exon",
    chromosomes: Sequence[str] | None = None,
    gaps: str | PathLike[str] | None = None,
    name: str | None = None,
    build: str = "unknown",
) -> Genome:
    """Genome from a recombination map and functional elements in a user's own files.

    Bases before the first and after the last point of the map recombine as the map says: from 0 cM at
    the first base to the first point's cM, and not at all after the last. Files may be compressed
    (``.gz``, ``.xz``, ``.bz2``). ``chr21`` and ``21`` are the same chromosome.

    Parameters
    ----------
    map_path, map_format
        ``hapmap``: text with a header naming the columns chromosome, position (bp, 1-based), cM and, if
        there, rate (cM/Mb). ``plink``: .map with chromosome, name, cM, bp (1-based), no header.
    elements_path, elements_format, feature
        ``bed`` (0-based, half-open) or ``gff3`` (1-based, closed; only lines of type `feature`). Order
        is free, overlaps are merged.
    chromosome_lengths
        Mapping, or a file of two columns (``chrom.sizes``, ``.fai``). If omitted, a chromosome ends at
        the last map point or element.
    window
        Length of the windows, bp; the last of a chromosome is shorter.
    chromosomes
        Names of the chromosomes wanted. Elements elsewhere are an error only if this is omitted.
    gaps
        BED file of bases without known sequence.
    name, build
        Recorded in the result; `name` is the map's file name if omitted.

    Raises
    ------
    InputError
        In one line with the file and the line number: text for a number, too few columns, a position or
        cM that is negative or beyond the chromosome, map points that are out of order or at one
        position, cM that decrease, an element that ends before it starts, an unknown chromosome.
    """
    lengths = readers.chromosome_lengths(chromosome_lengths)
    points = readers.read_map(map_path, map_format, lengths)
    chroms = readers.choose_chromosomes(points.chroms, chromosomes)
    only = chromosomes is not None
    elements = readers.read_elements(elements_path, elements_format, feature, chroms, lengths, only)
    if len(elements.start) == 0:
        raise InputError(str(elements_path), "no element", f"at least one on chromosomes {', '.join(chroms)}")
    size = np.zeros(len(chroms), dtype=np.int64)
    maps = []
    for c, chrom in enumerate(chroms):
        if lengths and chrom not in lengths:
            raise InputError("chromosome_lengths", allowed=f"a length for every chromosome; {chrom} has none")
        own = points.chrom == points.chroms.index(chrom)
        bp, cm = points.bp[own], points.cm[own]
        size[c] = lengths.get(chrom, max(bp[-1] + 1, elements.end[elements.chrom == c].max(initial=0)))
        maps.append((bp, cm) if bp[0] == 0 else (np.append(0, bp), np.append(0.0, cm)))

    windows = _tile(size, window)
    knot_bp, knot_cm = [], []
    for c, (bp, cm) in enumerate(maps):
        at = np.union1d(bp, np.append(windows[1][windows[0] == c], size[c]))
        knot_bp.append(at)
        knot_cm.append(np.interp(at, bp, cm))
    if not any(cm[-1] > cm[0] for cm in knot_cm):
        raise InputError(str(map_path), "cM that are all the same", "a map with a genetic length")
    gap_bp = np.zeros(len(windows[0]), dtype=np.int64)
    if gaps is not None:
        gap_bp = overlap(windows, readers.read_elements(gaps, "bed", feature, chroms, lengths, True))
    kind = {"exon": "exons", "CDS": "cds"}.get(feature, "custom") if elements_format == "gff3" else "custom"
    return _build(
        name=Path(map_path).name if name is None else name,
        build=build,
        target=kind,
        chroms=chroms,
        window=windows,
        gap_bp=gap_bp,
        b=np.full(len(gap_bp), np.nan),
        knots=(np.cumsum([0, *map(len, knot_bp)]), np.concatenate(knot_bp), np.concatenate(knot_cm)),
        elements=elements,
    )


def _tile(size: Int64, window: int) -> tuple[Int32, Int64, Int64]:
    """Windows of every chromosome: chromosome index, start, end; the last of a chromosome is shorter."""
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise InputError("window", window, "a whole number of bp, at least 1")
    n = -(-size // window)
    if n.sum() > MAX_WINDOWS:
        raise InputError("window", window, f"so many bp that there are at most {MAX_WINDOWS:,} windows")
    chrom = np.repeat(np.arange(len(size), dtype=np.int32), n)
    start = (np.arange(len(chrom)) - np.repeat(np.cumsum(n) - n, n)) * window
    return chrom, start, np.minimum(start + window, size[chrom])


def _build(
    *,
    name: str,
    build: str,
    target: str,
    chroms: tuple[str, ...],
    window: tuple[Int32, Int64, Int64],
    gap_bp: Int64,
    b: Float64,
    knots: tuple[Int64, Int64, Float64],
    elements: Elements,
) -> Genome:
    """Genome from windows, the knots of the map (first of each chromosome, bp, cM) and elements."""
    window_chrom, window_start, window_end = window
    knot_first, knot_bp, knot_cm = knots
    knot_chrom = np.repeat(np.arange(len(chroms)), np.diff(knot_first))
    knot_cm = knot_cm - knot_cm[knot_first[:-1]][knot_chrom]
    length_cm = knot_cm[knot_first[1:] - 1]
    chrom_axis = chromosome_axis(length_cm)
    share = knot_cm / np.where(length_cm > 0, length_cm, 1.0)[knot_chrom]
    width = np.diff(chrom_axis)[knot_chrom]
    offset = np.minimum((share * width).astype(np.uint64), width - np.uint64(1))
    knot_axis = chrom_axis[knot_chrom] + offset
    knot_key = position_key(knot_chrom, knot_bp)

    element, knot, target_start, target_end = split_at_knots(elements, knot_key, knot_bp)
    target_chrom = elements.chrom[element]
    axis_start = interpolate(knot_bp, knot_axis, knot, target_start)
    axis_end = interpolate(knot_bp, knot_axis, knot, target_end)

    left = np.searchsorted(knot_key, position_key(window_chrom, window_start))
    right = np.searchsorted(knot_key, position_key(window_chrom, window_end))
    functional_bp = overlap(window, elements)
    sequence_bp = window_end - window_start - gap_bp
    marker = np.flatnonzero(sequence_bp > 0)
    marker_axis = ((knot_axis[left] + knot_axis[right]) // np.uint64(2))[marker]
    functional = functional_bp[marker] > 0
    target_segments = (target_chrom, axis_start, axis_end)
    return Genome(
        name=name,
        build=build,
        target=target,
        chroms=chroms,
        window_chrom=window_chrom,
        window_start=window_start,
        window_end=window_end,
        window_cm_start=knot_cm[left],
        window_cm_end=knot_cm[right],
        window_functional_bp=functional_bp,
        window_gap_bp=gap_bp,
        window_b=b,
        chrom_axis=chrom_axis,
        chrom_morgans=length_cm / 100.0,
        knot_first=knot_first,
        knot_bp=knot_bp,
        knot_axis=knot_axis,
        target_chrom=target_chrom,
        target_start=target_start,
        target_cum=np.append(0, np.cumsum(target_end - target_start)),
        target_axis_start=axis_start,
        target_axis_end=axis_end,
        marker_window=marker.astype(np.int32),
        marker_axis=marker_axis,
        marker_weight=sequence_bp[marker],
        marker_functional=functional,
        marker_far=far_markers(window_chrom[marker], marker_axis, functional, target_segments),
    )
