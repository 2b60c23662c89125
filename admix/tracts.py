# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths of ancestry tracts in Morgans, the rate at which they end, and whether a rate explains them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix.blocks import chromosome_lengths, jackknife, morgans_at
from admix.errors import RunError
from admix.genome import Genome
from admix.tract_theory import expected_survival

__all__ = ["TRACT_COLUMNS", "Fit", "compare", "cover", "measure", "survival"]

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

TRACT_COLUMNS = ("chrom", "start", "end", "source", "sample", "haplotype")
"""A table of tracts: each row is a stretch [start, end) in bp of one haplotype, whose ancestry is of `source`."""

DRAWS = 9999
FEWEST_CHROMOSOMES = 5
"""With fewer, resampling chromosomes says too little about chance, and no p-value is given."""
_GRID = 256


def measure(tracts: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    """Return the tracts with their genetic lengths; tracts of one source that touch on a haplotype become one.

    Parameters
    ----------
    tracts
        Columns `TRACT_COLUMNS`.
    genome
        The genome that the tracts lie on: its map is the one on which the crossovers happened.

    Returns
    -------
    DataFrame
        `TRACT_COLUMNS`, `morgans` (float64), and `from_start` and `to_end` (bool): whether the tract reaches the
        first base and the end of its chromosome. In order of source, sample, haplotype, chromosome and position.

    Raises
    ------
    RunError
        If a tract is empty, leaves its chromosome or overlaps another one of its haplotype.

    Notes
    -----
    Ends lie between two bases, and their Morgans are those of the map at that base, linear between its knots. Both
    ends are rounded in the same direction, so lengths are not biased; one base is about 1e-8 Morgans.
    """
    lengths = chromosome_lengths(genome)
    names = tracts["chrom"].astype(str)
    unknown = sorted(set(names) - set(lengths))
    if unknown:
        raise RunError("tract table", f"chromosome {unknown[0]} is not in the genome of the run")
    chrom = names.map({name: i for i, name in enumerate(genome.chroms)}).to_numpy(dtype=np.int64)
    # numbers instead of names: there can be millions of rows
    source, sample = (pd.factorize(tracts[column], sort=True)[0] for column in ("source", "sample"))
    haplotype = tracts["haplotype"].to_numpy(dtype=np.int64)
    order = np.lexsort((tracts["start"].to_numpy(dtype=np.int64), chrom, haplotype, sample, source))
    keys = np.array([source, sample, haplotype, chrom])[:, order]
    same = np.append(False, (keys[:, 1:] == keys[:, :-1]).all(axis=0))[: len(order)]
    table = tracts[list(TRACT_COLUMNS)].iloc[order].assign(chrom=names.iloc[order]).reset_index(drop=True)
    start, end = (table[c].to_numpy(dtype=np.int64) for c in ("start", "end"))
    whole = np.array(list(lengths.values()), dtype=np.int64)[keys[3]]
    if ((start < 0) | (end <= start) | (end > whole)).any() or (same[1:] & (start[1:] < end[:-1])).any():
        raise RunError("tract table", "a tract is empty, leaves its chromosome, or overlaps the one before it")
    begins = ~(same & np.append(False, start[1:] == end[:-1]))
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(table)) - 1 if len(first) else first
    table = table.iloc[first].reset_index(drop=True)
    start, end, whole, chrom = start[first], end[last], whole[first], keys[3][first]
    morgans = np.empty(len(first))
    for c, name in enumerate(genome.chroms):
        here = chrom == c
        morgans[here] = morgans_at(genome, name, end[here]) - morgans_at(genome, name, start[here])
    return table.assign(start=start, end=end, morgans=morgans, from_start=start == 0, to_end=end == whole)


def cover(start: Int64, end: Int64, bp: Int64) -> Int64:
    """Return how many bases the intervals of one chromosome have before each of `bp`, overlaps counted each time."""
    total = np.zeros(len(bp), dtype=np.int64)
    for edge, sign in ((start, 1), (end, -1)):
        edge = np.sort(edge)
        n = np.searchsorted(edge, bp, side="left")
        total += sign * (n * bp - np.append(0, np.cumsum(edge))[n])
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Tracts beside the exponential law with a given rate.

    Attributes
    ----------
    tracts, ends
        How many tracts there are, and how many of them end inside their chromosome.
    morgans
        Their length together.
    rate, rate_se
        Rate per Morgan at which they end, `ends` / `morgans`, with its standard error over chromosomes. It is the
        maximum likelihood estimate for exponential lengths that are censored where a chromosome ends.
    expected
        The rate they are compared with.
    p_rate
        Two-sided p-value of `expected` being the rate, by a studentised bootstrap over chromosomes.
    p_shape
        p-value of the whole distribution being the expected one (largest difference of the two survival functions),
        by a bootstrap over chromosomes.
    """

    tracts: int
    ends: int
    morgans: float
    rate: float
    rate_se: float
    expected: float
    p_rate: float
    p_shape: float


def compare(measured: pd.DataFrame, genome: Genome, expected: float, draws: int = DRAWS, seed: int = 1) -> Fit:
    """Compare tracts of one group of haplotypes with the rate that theory expects.

    Parameters
    ----------
    measured
        From `measure`; all haplotypes together.
    genome
        As there. Chromosomes without a tract count too.
    expected
        Rate per Morgan, as from `admix.tract_theory.end_rate`; NaN gives no p-value.
    draws, seed
        Of the bootstrap.

    Notes
    -----
    Chromosomes are resampled, not tracts: those of a chromosome are often copies of one ancestor's. What all
    chromosomes share, the pedigree, is no part of this error; so the share in `expected` should be that of the
    pedigree (`pedigree_paths` in ancestors.tsv) where it is known.
    """
    names = genome.chroms
    index = {name: i for i, name in enumerate(names)}
    place: Int64 = np.array([index[chrom] for chrom in measured["chrom"]], dtype=np.int64)
    lengths = measured["morgans"].to_numpy(dtype=np.float64)
    ends = np.bincount(place, ~measured["to_end"].to_numpy(dtype=bool), len(names))
    morgans = np.bincount(place, lengths, len(names))
    rate = jackknife(ends, morgans, np.where(morgans > 0, genome.chrom_morgans, 0.0))
    p_rate = p_shape = float("nan")
    if len(names) >= FEWEST_CHROMOSOMES and len(measured) and np.isfinite(expected):
        rng = np.random.default_rng(seed)
        picks = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws).astype(np.float64)
        p_rate = _p_mean(ends - expected * morgans, picks)
        p_shape = _p_shape(place, lengths, genome.chrom_morgans, expected, picks)
    return Fit(
        tracts=len(measured), ends=int(ends.sum()), morgans=float(morgans.sum()), rate=float(rate.estimate[0]),
        rate_se=float(rate.error[0]), expected=float(expected), p_rate=p_rate, p_shape=p_shape,
    )  # fmt: skip


def _p_mean(values: Floats, picks: Floats) -> float:
    """Two-sided p-value of the values having the mean 0: bootstrap of Student's t."""
    n = len(values)
    centred = values - values.mean()
    if not centred.any():
        return float("nan")
    observed = abs(values.mean()) / np.sqrt(centred @ centred)
    mean = picks @ centred / n
    spread = np.maximum(picks @ centred**2 - n * mean**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.abs(mean) / np.sqrt(spread)
    # A draw of one chromosome n times over has no spread; it counts as at least as extreme.
    return float((1 + np.sum(~(drawn < observed))) / (1 + len(picks)))


def _p_shape(place: Int64, lengths: Floats, chromosomes: Floats, expected: float, picks: Floats) -> float:
    """P-value of the largest difference between observed and expected survival functions."""
    grid = -np.log((np.arange(_GRID) + 0.5) / _GRID) / expected
    longer = _longer(place, lengths, grid, len(chromosomes))
    whole = np.bincount(place, minlength=len(chromosomes)).astype(np.float64)
    observed = longer.sum(axis=0) / whole.sum()
    distance = np.abs(observed - expected_survival(grid, expected, chromosomes)).max()
    total = picks @ whole
    drawn = (picks @ longer)[total > 0] / total[total > 0, None]
    reached = np.abs(drawn - observed).max(axis=1) >= distance
    return float((1 + reached.sum() + np.sum(total == 0)) / (1 + len(picks)))


def _longer(place: Int64, lengths: Floats, grid: Floats, n: int) -> Floats:
    """How many tracts of each chromosome are longer than each point, shape (n, grid)."""
    return np.array(
        [np.sum(place == c) - np.searchsorted(np.sort(lengths[place == c]), grid, "right") for c in range(n)]
    )


def survival(measured: pd.DataFrame, genome: Genome, expected: float, length: Sequence[float] | Floats) -> pd.DataFrame:
    """Return the shares of tracts longer than each `length` (Morgans), observed and expected.

    Returns
    -------
    DataFrame
        `cM`, `observed`, `expected`; the latter NaN where the rate is.
    """
    x = np.asarray(length, dtype=np.float64)
    lengths = np.sort(measured["morgans"].to_numpy(dtype=np.float64))
    observed = 1.0 - np.searchsorted(lengths, x, side="right") / max(len(lengths), 1) if len(lengths) else x * np.nan
    theory = expected_survival(x, expected, genome.chrom_morgans) if np.isfinite(expected) else x * np.nan
    return pd.DataFrame({"cM": 100.0 * x, "observed": observed, "expected": theory})
