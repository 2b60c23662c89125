# SPDX-License-Identifier: GPL-3.0-or-later
"""Genetic positions of bases, blocks of equal genetic length, and errors by leaving blocks out one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admix.errors import InputError, nearest
from admix.genome import Genome

__all__ = [
    "BLOCK_CM",
    "Blocks",
    "Jackknife",
    "chromosome_lengths",
    "gap_stretches",
    "genome_blocks",
    "jackknife",
    "morgans_at",
]

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

BLOCK_CM = 5.0
"""Length of a block, cM: the default of ADMIXTOOLS."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Neighbouring stretches that tile every chromosome.

    Attributes
    ----------
    edges
        By name of chromosome, the bp at which its blocks begin, and its length: int64, strictly rising, from 0.
    first
        By name of chromosome, the number of its first block.
    total
        How many blocks there are.
    """

    edges: Mapping[str, Int64]
    first: Mapping[str, int]
    total: int

    @classmethod
    def of(cls, edges: Mapping[str, npt.ArrayLike]) -> Blocks:
        """Number the blocks that lie between `edges`, in the order of the mapping.

        Raises
        ------
        InputError
            If the edges of a chromosome do not rise from 0.
        """
        arrays = {name: np.asarray(bp, dtype=np.int64) for name, bp in edges.items()}
        first, total = {}, 0
        for name, bp in arrays.items():
            if len(bp) < 2 or bp[0] != 0 or (np.diff(bp) <= 0).any():
                raise InputError(f"blocks of chromosome {name}", bp.tolist(), "bp that rise from 0 to its length")
            first[name] = total
            total += len(bp) - 1
        return cls(edges=arrays, first=first, total=total)

    @classmethod
    def uniform(cls, lengths: Mapping[str, float], rate: float, cm: float = BLOCK_CM) -> Blocks:
        """Blocks of about `cm` where recombination has the same `rate` (per bp and generation) everywhere."""
        edges = {}
        for name, length in lengths.items():
            n = max(1, min(round(length * rate * 100 / cm), int(length)))
            edges[name] = np.rint(np.linspace(0, int(length), n + 1)).astype(np.int64)
        return cls.of(edges)

    def number(self, chrom: str, bp: Int64) -> Int64:
        """Return the number of the block that holds each base of a chromosome."""
        edges = self.edges[chrom]
        return np.asarray(self.first[chrom] + np.searchsorted(edges, bp, side="right") - 1)


def gap_stretches(genome: Genome) -> dict[str, Int64]:
    """Return by name of chromosome the stretches of windows that are all gap, int64[k, 2], bp."""
    out = {}
    for c, name in enumerate(genome.chroms):
        own = genome.window_chrom == c
        start, end = genome.window_start[own], genome.window_end[own]
        gap = np.concatenate([[False], genome.window_gap_bp[own] >= end - start, [False]])
        edges = np.append(start, end[-1])[np.flatnonzero(gap[1:] != gap[:-1])]
        out[name] = edges.reshape(-1, 2).astype(np.int64)
    return out


def chromosome_lengths(genome: Genome) -> dict[str, int]:
    """Return the length of each chromosome by name, bp."""
    ends = genome.knot_bp[genome.knot_first[1:] - 1]
    return {name: int(end) for name, end in zip(genome.chroms, ends, strict=True)}


def _map_of(genome: Genome, chrom: str) -> tuple[Floats, Floats]:
    """Return the knots of a chromosome's map: bp, and Morgans from its first base."""
    if chrom not in genome.chroms:
        raise InputError(
            "chromosome", chrom, f"one of this genome: {', '.join(genome.chroms)}", nearest(chrom, genome.chroms)
        )
    c = genome.chroms.index(chrom)
    knots = slice(int(genome.knot_first[c]), int(genome.knot_first[c + 1]))
    axis = (genome.knot_axis[knots] - genome.chrom_axis[c]).astype(np.float64)
    width = float(genome.chrom_axis[c + 1] - genome.chrom_axis[c])
    return genome.knot_bp[knots].astype(np.float64), axis * (float(genome.chrom_morgans[c]) / width)


def morgans_at(genome: Genome, chrom: str, bp: npt.ArrayLike) -> Floats:
    """Return the genetic position of bases on the engine's own map, linear between its knots.

    Parameters
    ----------
    genome
        The genome of the run.
    chrom
        Name of the chromosome.
    bp
        Positions from 0 to the length of the chromosome, any shape.

    Returns
    -------
    float64
        Morgans from the first base, of the shape of `bp`. Stretches without recombination are flat.

    Raises
    ------
    InputError
        If the genome has no such chromosome.
    """
    knot_bp, knot_morgans = _map_of(genome, chrom)
    return np.interp(np.asarray(bp, dtype=np.float64), knot_bp, knot_morgans)


def genome_blocks(genome: Genome, cm: float = BLOCK_CM) -> Blocks:
    """Cut each chromosome into blocks of equal genetic length, as near to `cm` as a whole number of them allows.

    Raises
    ------
    InputError
        If `cm` is not above 0.
    """
    if not cm > 0:
        raise InputError("block length", cm, "a number of cM above 0")
    edges = {}
    for chrom in genome.chroms:
        knot_bp, knot_morgans = _map_of(genome, chrom)
        n = max(1, round(knot_morgans[-1] * 100 / cm))
        inner = np.arange(1, n) * (knot_morgans[-1] / n)
        # The map is flat in places, where an inverse has no single value: the knot after the level is reached.
        after = np.searchsorted(knot_morgans, inner, side="left")
        low, high = knot_morgans[after - 1], knot_morgans[after]
        bp = knot_bp[after - 1] + (inner - low) / (high - low) * (knot_bp[after] - knot_bp[after - 1])
        edges[chrom] = np.unique(np.concatenate([[0], np.rint(bp), [knot_bp[-1]]]).astype(np.int64))
    return Blocks.of(edges)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jackknife:
    """Estimates with their errors; arrays of shape (k,), and of shape (blocks, k) for what is left out.

    Attributes
    ----------
    estimate
        From all blocks, NaN where there is nothing.
    error
        Standard error, NaN where fewer than two blocks hold anything.
    without
        The estimate without each block.
    weight
        What each block holds.
    """

    estimate: Floats
    error: Floats
    without: Floats
    weight: Floats

    def minus(self, other: Jackknife) -> Jackknife:
        """Return the difference of two estimates from the same blocks, with the error of the difference."""
        return leave_out(self.estimate - other.estimate, self.without - other.without, self.weight)


def jackknife(numerator: npt.ArrayLike, denominator: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Jackknife:
    """Return ratios of sums over blocks, with standard errors by the block jackknife.

    Parameters
    ----------
    numerator, denominator
        Sums in each block, shape (blocks,) or (blocks, k).
    weight
        What a block holds (sites, bases), broadcast to that shape; the denominator if omitted. Blocks that hold
        nothing are left aside.

    Notes
    -----
    The delete-m jackknife for unequal m, Busing, Meijer & van der Leeden 1999, doi:10.1023/A:1008800423698.
    """
    top = np.atleast_2d(np.asarray(numerator, dtype=np.float64).T).T
    low = np.broadcast_to(np.atleast_2d(np.asarray(denominator, dtype=np.float64).T).T, top.shape)
    held = low if weight is None else np.atleast_2d(np.asarray(weight, dtype=np.float64).T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return leave_out(
            top.sum(axis=0) / low.sum(axis=0),
            (top.sum(axis=0) - top) / (low.sum(axis=0) - low),
            np.broadcast_to(held, top.shape),
        )


def leave_out(estimate: Floats, without: Floats, weight: Floats) -> Jackknife:
    """Return estimates with their errors from what they are without each block (see `jackknife`).

    Parameters
    ----------
    estimate
        From all blocks, shape (k,).
    without
        Without each block, shape (blocks, k).
    weight
        What each block holds, shape (blocks, k).
    """
    used = weight > 0
    count = used.sum(axis=0)
    n = weight.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = np.where(used, n / weight, np.nan)
        mean = count * estimate - np.nansum(np.where(used, (1 - 1 / h) * without, 0.0), axis=0)
        pseudo = h * estimate - (h - 1) * without
        variance = np.nansum(np.where(used, (pseudo - mean) ** 2 / (h - 1), 0.0), axis=0) / count
    error = np.where((count > 1) & np.isfinite(estimate), np.sqrt(variance), np.nan)
    return Jackknife(estimate=estimate, error=error, without=without, weight=weight)
