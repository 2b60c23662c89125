# SPDX-License-Identifier: GPL-3.0-or-later
"""A track of measured introgression that a user brings, to be shown beside the simulated genome."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from admix.errors import InputError
from admix.genome import Genome

__all__ = ["Track", "read_track"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Intervals on chromosomes with a share in each.

    Attributes
    ----------
    name
        Name of the file.
    unit
        What the shares are.
    chrom, start, end, value
        Of each interval: the chromosome without ``chr``, bp (0-based, half-open), and a share from 0 to 1.
    """

    name: str
    unit: str
    chrom: tuple[str, ...]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    def by_window(self, genome: Genome) -> npt.NDArray[np.float64]:
        """Return the mean share of each window of a genome; 0 where no interval is; NaN on chromosomes without any."""
        sums = np.full(len(genome.window_start), np.nan)
        names = np.array(self.chrom, dtype=object)
        for number, chrom in enumerate(genome.chroms):
            own = names == chrom
            if not own.any():
                continue
            here = np.flatnonzero(genome.window_chrom == number)
            edges = np.append(genome.window_start[here], genome.window_end[here][-1])
            # the integral of the share up to each edge, interval by interval
            before = np.zeros(len(edges))
            start, end, value = self.start[own], self.end[own], self.value[own]
            order = np.argsort(start, kind="stable")
            for s, e, v in zip(start[order], end[order], value[order], strict=True):
                first, last = np.searchsorted(edges, [s, e])
                before[first:last] += v * (edges[first:last] - s)
                before[last:] += v * (e - s)
            sums[here] = np.diff(before) / np.diff(edges)
        return np.minimum(sums, 1.0)


def read_track(path: str | Path) -> Track:
    """Read a BED or bedGraph file, gzipped or not: chromosome, start, end, and perhaps a share in the fourth column.

    Where the fourth column of every line is a share from 0 to 1, it is the frequency of the archaic haplotype, say;
    else each interval counts as 1. Overlapping intervals add up, to 1 at most.

    Raises
    ------
    InputError
        If the file cannot be read, or for the first line that is no interval.
    """
    path = Path(path)
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as handle
        ):
            lines = handle.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError("--track", str(path), f"a BED or bedGraph file that can be read ({reason})") from error
    chrom: list[str] = []
    spans: list[tuple[int, int]] = []
    shares: list[float | None] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith(("#", "track", "browser")):
            continue
        try:
            start, end = int(words[1]), int(words[2])
        except (IndexError, ValueError):
            if not chrom:
                continue  # a header
            raise InputError(f"{path}:{number}", line[:60], "chromosome, start and end in bp") from None
        if not 0 <= start < end:
            raise InputError(f"{path}:{number}", line[:60], "0 <= start < end")
        chrom.append(words[0].removeprefix("chr"))
        spans.append((start, end))
        shares.append(_share(words[3]) if len(words) > 3 else None)
    if not chrom:
        raise InputError("--track", str(path), "a BED or bedGraph file with at least one interval")
    numbers = [share for share in shares if share is not None]
    given = len(numbers) == len(shares)
    edges = np.array(spans, dtype=np.int64)
    return Track(
        name=path.name,
        unit="frequency, %" if given else "covered, %",
        chrom=tuple(chrom),
        start=edges[:, 0],
        end=edges[:, 1],
        value=np.array(numbers if given else [1.0] * len(chrom)),
    )


def _share(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
