# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry around named places of the genome: genes, or intervals that the user gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from admix.blocks import chromosome_lengths
from admix.errors import InputError, nearest
from admix.genome import Genome
from admix.landscape import Ancestry

__all__ = ["FLANK_BP", "STEP_BP", "Interval", "around", "parse_intervals", "read_intervals"]

FLANK_BP = 500_000
STEP_BP = 50_000
_PLACE = re.compile(r"(?:(?P<name>[^=]+)=)?(?:chr)?(?P<chrom>[^:=]+):(?P<start>[\d,]+)-(?P<end>[\d,]+)")


@dataclass(frozen=True, slots=True)
class Interval:
    """A named interval [start, end) of a chromosome, 0-based bp."""

    name: str
    chrom: str
    start: int
    end: int


def read_intervals(path: str | Path, genome: Genome) -> list[Interval]:
    """Return the intervals of a BED file with names: chromosome, start, end (0-based, half-open), name, tab-separated.

    Lines that are empty or begin with ``#``, ``track`` or ``browser`` are passed over.

    Raises
    ------
    InputError
        With file and line, for a line that is not so, or an interval outside the genome.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise InputError(str(path), allowed=f"a text file that can be read ({reason})") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split("\t")
        where = f"{path}, line {number}"
        if len(cells) < 4 or not cells[1].isdecimal() or not cells[2].isdecimal() or not cells[3].strip():
            raise InputError(where, line, "chromosome, start, end and name, separated by tabs")
        interval = Interval(cells[3].strip(), cells[0].removeprefix("chr"), int(cells[1]), int(cells[2]))
        found.append(_checked(interval, genome, where))
    if not found:
        raise InputError(str(path), "no interval", "at least one line with chromosome, start, end and name")
    return found


def parse_intervals(words: Sequence[str], genome: Genome, table: Sequence[Interval] = ()) -> list[Interval]:
    """Return the intervals that words name.

    Parameters
    ----------
    words
        Each is ``CHROM:START-END`` as in genome browsers (1-based, both ends included, commas allowed), with
        ``NAME=`` before it if it is to have a name, or a name in `table`.
    genome
        Where they must lie.
    table
        Known names, as from `read_intervals`. Case does not matter.

    Raises
    ------
    InputError
        For a word that is neither, or an interval outside the genome.
    """
    known = {interval.name.lower(): interval for interval in table}
    found = []
    for word in words:
        place = _PLACE.fullmatch(word.strip())
        if place is not None:
            start, end = (int(place[key].replace(",", "")) for key in ("start", "end"))
            name = place["name"] or f"{place['chrom']}:{start}-{end}"
            found.append(_checked(Interval(name, place["chrom"], start - 1, end), genome, f"interval {word}"))
        elif word.strip().lower() in known:
            found.append(known[word.strip().lower()])
        else:
            rule = "CHROM:START-END, or a name from the table of intervals" if known else "CHROM:START-END"
            raise InputError("interval", word, rule, nearest(word, [interval.name for interval in table]))
    return found


def _checked(interval: Interval, genome: Genome, where: str) -> Interval:
    lengths = chromosome_lengths(genome)
    if interval.chrom not in lengths:
        chroms = ", ".join(genome.chroms)
        raise InputError(where, interval.chrom, f"a chromosome of the run: {chroms}", nearest(interval.chrom, lengths))
    if not 0 <= interval.start < interval.end <= lengths[interval.chrom]:
        given = f"bases {interval.start + 1:,} to {interval.end:,}"
        raise InputError(where, given, f"bases 1 to {lengths[interval.chrom]:,} of chromosome {interval.chrom}")
    return interval


def around(
    genome: Genome, ancestry: Ancestry, intervals: Sequence[Interval], flank: int = FLANK_BP, step: int = STEP_BP
) -> pd.DataFrame:
    """Return the frequency of ancestry in intervals and around them.

    Parameters
    ----------
    genome, ancestry
        Where, and of whom.
    intervals
        Which.
    flank
        How far to look on either side, bp; 0 for the intervals alone. Ends of chromosomes cut it short.
    step
        Length of the windows on either side, counted from the interval outwards, bp.

    Returns
    -------
    DataFrame
        `name`, `chrom`, `start`, `end`, `distance` (bp from the interval to the middle of the window, negative before
        it; 0 for the interval itself), `ancestry` (mean frequency over the bases of the window, missing where
        unknown). In order of interval and position.

    Raises
    ------
    InputError
        If `flank` is below 0 or `step` below 1.
    """
    if flank < 0 or step < 1:
        raise InputError("flank and step", [flank, step], "whole numbers of bp, at least 0 and at least 1")
    lengths = chromosome_lengths(genome)
    rows: list[tuple[str, str, int, int, float]] = []
    for interval in intervals:
        reach = max(0, interval.start - flank), min(lengths[interval.chrom], interval.end + flank)
        left = [(max(reach[0], end - step), end) for end in range(interval.start, reach[0], -step)][::-1]
        right = [(start, min(reach[1], start + step)) for start in range(interval.end, reach[1], step)]
        rows += [(interval.name, interval.chrom, a, b, (a + b) / 2 - interval.start) for a, b in left]
        rows.append((interval.name, interval.chrom, interval.start, interval.end, 0.0))
        rows += [(interval.name, interval.chrom, a, b, (a + b) / 2 - interval.end) for a, b in right]
    table = pd.DataFrame(rows, columns=["name", "chrom", "start", "end", "distance"])
    chrom = np.array([genome.chroms.index(row[1]) for row in rows], dtype=np.int64)
    start, end = (np.array([row[k] for row in rows], dtype=np.int64) for k in (2, 3))
    return table.assign(ancestry=ancestry.mean(chrom, start, end))
