# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry along the genome: by recombination, by background selection, correlations at a scale, and deserts.

Ancestry is either that of a whole population, known at one marker a window of the genome, or that of sampled
haplotypes, known to the base from their tracts. Both answer one question, the mean ancestry of any windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from admix.blocks import Blocks, chromosome_lengths, jackknife, leave_out, morgans_at
from admix.errors import InputError
from admix.genome import Genome
from admix.genome_layout import merge, overlap
from admix.tracts import cover

__all__ = [
    "DESERT_BP",
    "DESERT_SHARE",
    "QUANTILES",
    "SCALES",
    "Ancestry",
    "HaplotypeAncestry",
    "PopulationAncestry",
    "Windows",
    "correlations",
    "deserts",
    "genome_windows",
    "quantiles",
    "windows_of",
]

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

SCALES = (250_000, 1_000_000)
"""Windows for correlations, bp."""
QUANTILES = 5
DESERT_BP = 10_000_000
DESERT_SHARE = 0.001
FEATURES = ("recombination", "B", "functional")
_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Windows of the genome with what is known of them; arrays of shape (w,), in order.

    Attributes
    ----------
    chrom
        Index into the chromosomes of the genome.
    start, end
        bp, half-open.
    sequence_bp
        Bases that are not gap. Within a window of the genome they count as evenly spread.
    recombination
        cM per Mb, on the genome's map.
    functional
        Share of functional bases among those that are not gap.
    B
        Mean strength of background selection, NaN where unknown.
    """

    chrom: Int64
    start: Int64
    end: Int64
    sequence_bp: Floats
    recombination: Floats
    functional: Floats
    B: Floats


class Ancestry(Protocol):
    """Mean ancestry of any windows."""

    def mean(self, chrom: Int64, start: Int64, end: Int64) -> Floats:
        """Return the mean ancestry of windows [start, end) of chromosomes by index, NaN where unknown."""
        ...


class PopulationAncestry:
    """Ancestry of a population from the frequency at the marker of each window of the genome.

    The frequency at the marker is taken for all of the window, each base that is not gap with the same weight.

    Parameters
    ----------
    genome
        The genome of the run.
    ancestry
        Frequency in each of its windows, NaN where there is no marker, shape (w,).
    """

    def __init__(self, genome: Genome, ancestry: npt.ArrayLike) -> None:
        self.genome = genome
        self.ancestry = np.asarray(ancestry, dtype=np.float64)
        if self.ancestry.shape != genome.window_start.shape:
            raise InputError(
                "ancestry", self.ancestry.shape, f"one value for each of {len(genome.window_start)} windows"
            )

    def mean(self, chrom: Int64, start: Int64, end: Int64) -> Floats:
        """Return the mean ancestry of windows, NaN where they have no marker."""
        known = ~np.isnan(self.ancestry)
        weight = np.where(known, _sequence(self.genome), 0.0)
        total = _spread(self.genome, weight * np.where(known, self.ancestry, 0.0), chrom, start, end)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(total / _spread(self.genome, weight, chrom, start, end))


class HaplotypeAncestry:
    """Ancestry of sampled haplotypes from their tracts, to the base.

    Parameters
    ----------
    tracts
        Columns `chrom`, `start`, `end`, of one source and of all haplotypes of the group.
    genome
        The genome that they lie on.
    haplotypes
        How many haplotypes the group has, those without a tract included.
    """

    def __init__(self, tracts: pd.DataFrame, genome: Genome, haplotypes: int) -> None:
        index = {name: c for c, name in enumerate(genome.chroms)}
        chrom = np.array([index[name] for name in tracts["chrom"].astype(str)], dtype=np.int64)
        start, end = (tracts[column].to_numpy(dtype=np.int64) for column in ("start", "end"))
        self.haplotypes = haplotypes
        self._tracts = {c: (start[chrom == c], end[chrom == c]) for c in range(len(genome.chroms))}

    def bases(self, chrom: int, start: Int64, end: Int64) -> Int64:
        """Return the bases of the source's ancestry in windows of a chromosome, summed over haplotypes."""
        left, right = self._tracts[chrom]
        edges = np.append(start, end)
        before = cover(left, right, edges)
        return np.asarray(before[len(start) :] - before[: len(start)])

    def mean(self, chrom: Int64, start: Int64, end: Int64) -> Floats:
        """Return the mean ancestry of windows over all bases and haplotypes."""
        out = np.full(len(start), np.nan)
        for c in np.unique(chrom):
            here = chrom == c
            length = (end - start)[here] * self.haplotypes
            out[here] = self.bases(int(c), start[here], end[here]) / length
        return out


def _sequence(genome: Genome) -> Floats:
    """Bases that are not gap in each window of the genome."""
    return (genome.window_end - genome.window_start - genome.window_gap_bp).astype(np.float64)


def _spread(genome: Genome, values: Floats, chrom: Int64, start: Int64, end: Int64) -> Floats:
    """Sums of `values`, one for each window of the genome and evenly spread in it, over other windows."""
    out = np.zeros(len(start))
    for c in np.unique(chrom):
        here, own = chrom == c, genome.window_chrom == c
        edge = np.append(genome.window_start[own], genome.window_end[own][-1])
        before = np.append(0.0, np.cumsum(values[own]))
        out[here] = np.interp(end[here], edge, before) - np.interp(start[here], edge, before)
    return out


def windows_of(genome: Genome, chrom: Int64, start: Int64, end: Int64) -> Windows:
    """Return what is known of any windows of the genome."""
    sequence = _spread(genome, _sequence(genome), chrom, start, end)
    known = ~np.isnan(genome.window_b)
    weight = np.where(known, _sequence(genome), 0.0)
    target_end = genome.target_start + np.diff(genome.target_cum)
    elements = merge(genome.target_chrom, genome.target_start, target_end)
    functional = overlap((chrom.astype(np.int32), start, end), elements)
    cm = np.empty(len(start))
    for c in np.unique(chrom):
        here, name = chrom == c, genome.chroms[int(c)]
        cm[here] = 100 * (morgans_at(genome, name, end[here]) - morgans_at(genome, name, start[here]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Windows(
            chrom=chrom, start=start, end=end, sequence_bp=sequence, recombination=cm / ((end - start) / 1e6),
            functional=functional / sequence,
            B=_spread(genome, weight * np.where(known, genome.window_b, 0.0), chrom, start, end)
            / _spread(genome, weight, chrom, start, end),
        )  # fmt: skip


def genome_windows(genome: Genome, size: int | None = None) -> Windows:
    """Return windows of `size` bp from the start of each chromosome, the last one shorter; the genome's own if omitted.

    Raises
    ------
    InputError
        If `size` is below 1.
    """
    if size is None:
        return windows_of(genome, genome.window_chrom.astype(np.int64), genome.window_start, genome.window_end)
    if size < 1:
        raise InputError("window", size, "a whole number of bp, at least 1")
    lengths = np.array(list(chromosome_lengths(genome).values()), dtype=np.int64)
    n = -(-lengths // size)
    chrom = np.repeat(np.arange(len(n), dtype=np.int64), n)
    start = (np.arange(len(chrom)) - np.repeat(np.cumsum(n) - n, n)) * size
    return windows_of(genome, chrom, start, np.minimum(start + size, lengths[chrom]))


def _block_numbers(genome: Genome, windows: Windows, blocks: Blocks) -> Int64:
    middle = (windows.start + windows.end) // 2
    numbers = np.empty(len(middle), dtype=np.int64)
    for c in np.unique(windows.chrom):
        here = windows.chrom == c
        numbers[here] = blocks.number(genome.chroms[int(c)], middle[here])
    return numbers


def _sums(block: Int64, bin_: Int64, values: Floats, blocks: int, bins: int) -> Floats:
    """Sums of values by block and bin, shape (blocks, bins)."""
    return np.asarray(np.bincount(block * bins + bin_, values, blocks * bins).reshape(blocks, bins), dtype=np.float64)


def quantiles(genome: Genome, ancestry: Ancestry, blocks: Blocks, bins: int = QUANTILES) -> pd.DataFrame:
    """Return mean ancestry by quintile of recombination rate and of B.

    Windows are those of the genome that are not all gap. Bin 1 has the lowest values; the bins hold equal amounts of
    sequence, as far as windows of one value, which stay together, allow it.

    Parameters
    ----------
    genome, ancestry
        Where, and what.
    blocks
        For the errors.
    bins
        How many bins.

    Returns
    -------
    DataFrame
        `feature` (``recombination`` in cM/Mb, ``B``), `bin`, `low`, `high` (range of the feature), `windows`,
        `sequence_bp`, `ancestry`, `se` (block jackknife). A feature that is nowhere known has no rows.
    """
    windows = genome_windows(genome)
    share = ancestry.mean(windows.chrom, windows.start, windows.end)
    block = _block_numbers(genome, windows, blocks)
    rows = []
    for feature in ("recombination", "B"):
        value = getattr(windows, feature)
        used = (windows.sequence_bp > 0) & ~np.isnan(value) & ~np.isnan(share)
        if not used.any():
            continue
        v, w = value[used], windows.sequence_bp[used]
        bin_ = _weighted_bins(v, w, bins)
        held = _sums(block[used], bin_, w, blocks.total, bins)
        result = jackknife(_sums(block[used], bin_, w * share[used], blocks.total, bins), held)
        for b in range(bins):
            inside = v[bin_ == b]
            low, high = (inside.min(), inside.max()) if len(inside) else (np.nan, np.nan)
            rows.append(
                {
                    "feature": feature, "bin": b + 1, "low": low, "high": high, "windows": len(inside),
                    "sequence_bp": round(held[:, b].sum()), "ancestry": result.estimate[b], "se": result.error[b],
                }
            )  # fmt: skip
    columns = ["feature", "bin", "low", "high", "windows", "sequence_bp", "ancestry", "se"]
    return pd.DataFrame(rows, columns=columns)


def _weighted_bins(value: Floats, weight: Floats, bins: int) -> Int64:
    """Number of the bin of each value: equal weight in each, equal values in one."""
    _, index = np.unique(value, return_inverse=True)
    total = np.bincount(index, weight)
    middle = (np.cumsum(total) - total / 2) / total.sum()
    return np.asarray(np.minimum((middle * bins).astype(np.int64), bins - 1)[index])


def correlations(genome: Genome, ancestry: Ancestry, blocks: Blocks, size: int) -> pd.DataFrame:
    """Return Spearman's rank correlation of ancestry with features of windows of `size` bp.

    Windows count that have at least half of `size` in sequence that is not gap.

    Returns
    -------
    DataFrame
        `window_bp`, `feature` (``recombination``, ``B``, ``functional``), `windows`, `rho`, `se`. A feature that is
        unknown, or the same everywhere, has no row, nor has one for fewer than three windows.

    Notes
    -----
    Neighbouring windows are not independent, so there is no p-value; the standard error is that of the block
    jackknife, in which windows keep the ranks they have among all.
    """
    windows = genome_windows(genome, size)
    share = ancestry.mean(windows.chrom, windows.start, windows.end)
    block = _block_numbers(genome, windows, blocks)
    rows = []
    for feature in FEATURES:
        value = getattr(windows, feature)
        used = (windows.sequence_bp >= size / 2) & ~np.isnan(value) & ~np.isnan(share)
        # the means of equal values can differ in their last digits, which must not be ranked
        x, y = np.round(value[used], _DIGITS), np.round(share[used], _DIGITS)
        if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
            continue
        rho = float(stats.spearmanr(x, y).statistic)
        error = _rank_error(stats.rankdata(x), stats.rankdata(y), block[used], blocks.total)
        rows.append({"window_bp": size, "feature": feature, "windows": len(x), "rho": rho, "se": error})
    return pd.DataFrame(rows, columns=["window_bp", "feature", "windows", "rho", "se"])


def _rank_error(x: Floats, y: Floats, block: Int64, blocks: int) -> float:
    """Block jackknife error of Pearson's correlation of ranks."""
    parts = np.array([np.bincount(block, v, blocks) for v in (np.ones(len(x)), x, y, x * x, y * y, x * y)])

    def correlation(sums: Floats) -> Floats:
        n, sx, sy, sxx, syy, sxy = sums
        return np.asarray((n * sxy - sx * sy) / np.sqrt((n * sxx - sx * sx) * (n * syy - sy * sy)))

    whole = parts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = correlation(whole[:, None] - parts)
        result = leave_out(correlation(whole[:, None]), without[:, None], parts[0][:, None])
    return float(result.error[0])


def deserts(genome: Genome, ancestry: Ancestry, size: int = DESERT_BP, share: float = DESERT_SHARE) -> pd.DataFrame:
    """Return the deserts: where stretches of at least `size` bp have a mean ancestry of at most `share`.

    A stretch begins at each window of the genome and has as many whole windows as `size` needs, the last one of a
    chromosome all to its end; at least half of its bases must not be gap. Poor stretches that overlap or touch are one
    desert, shorn of windows that are all gap.

    Returns
    -------
    DataFrame
        `chrom`, `start`, `end`, `sequence_bp` (not gap), `cM`, `functional_bp`, `B`, `ancestry` (of all of it).

    Raises
    ------
    InputError
        If `size` is below 1 or `share` is not a share.
    """
    if size < 1:
        raise InputError("desert size", size, "a whole number of bp, at least 1")
    if not 0 <= share <= 1:
        raise InputError("desert share", share, "a share from 0 to 1")
    windows = genome_windows(genome)
    mean = ancestry.mean(windows.chrom, windows.start, windows.end)
    found: list[tuple[int, int, int]] = []
    for c in range(len(genome.chroms)):
        here = np.flatnonzero(windows.chrom == c)
        start, end = windows.start[here], windows.end[here]
        known = np.where(np.isnan(mean[here]), 0.0, windows.sequence_bp[here])
        weight = np.append(0.0, np.cumsum(known))
        total = np.append(0.0, np.cumsum(known * np.nan_to_num(mean[here])))
        first = np.arange(len(here))
        last = np.searchsorted(end, start + size)
        first, last = first[last < len(here)], last[last < len(here)]
        last[-1:] = len(here) - 1  # the last window may be shorter, and would be in no stretch
        held = weight[last + 1] - weight[first]
        # a hair of room, for sums that should be equal
        poor = total[last + 1] - total[first] <= share * held * (1 + 1e-12) + 1e-9
        poor &= 2 * held >= end[last] - start[first]
        inside = np.zeros(len(here) + 1, dtype=np.int64)
        np.add.at(inside, first[poor], 1)
        np.add.at(inside, last[poor] + 1, -1)
        covered = np.cumsum(inside)[:-1] > 0
        edge = np.flatnonzero(np.diff(np.concatenate([[False], covered, [False]]).astype(np.int8)))
        for left, right in zip(edge[::2], edge[1::2], strict=True):
            sequence = left + np.flatnonzero(known[left:right] > 0)
            found.append((c, int(start[sequence[0]]), int(end[sequence[-1]])))
    chrom, begin, stop = np.array(found, dtype=np.int64).reshape(-1, 3).T
    what = windows_of(genome, chrom, begin, stop)
    return pd.DataFrame(
        {
            "chrom": [genome.chroms[c] for c in chrom], "start": begin, "end": stop,
            "sequence_bp": np.rint(what.sequence_bp).astype(np.int64),
            "cM": what.recombination * (stop - begin) / 1e6,
            "functional_bp": np.rint(what.functional * what.sequence_bp).astype(np.int64),
            "B": what.B, "ancestry": ancestry.mean(chrom, begin, stop),
        }
    )  # fmt: skip
