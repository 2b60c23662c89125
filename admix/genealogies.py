# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree files of one branch: made from its records, held against the engine's markers, written."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from admix import trees
from admix.ancestry import labels_at
from admix.base_axis import base_axis
from admix.errors import RunError
from admix.genome import Genome

__all__ = ["expected_labels", "write_trees"]


def expected_labels(marks: Iterable[np.ndarray], n_markers: int) -> np.ndarray:
    """Return the source of each sampled haplotype at each marker, from marker bits.

    Parameters
    ----------
    marks
        For each group of samples, in order, uint64[planes, haplotypes, words].
    n_markers
        Number of markers, at most 64 times the words.

    Returns
    -------
    int8[haplotypes, markers]
        0 where no source's bit is set, 1 + plane where it is.
    """
    parts = []
    for words in marks:
        bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=2, bitorder="little")[:, :, :n_markers]
        label = np.zeros(bits.shape[1:], np.int8)
        for plane in range(len(bits)):
            label[bits[plane] == 1] = plane + 1
        parts.append(label)
    return np.concatenate(parts)


def write_trees(
    records: Iterable[trees.ChromosomeRecord],
    labels: trees.TreeLabels,
    genome: Genome,
    expected: np.ndarray,
    path_of: Callable[[str], Path],
    threads: int = 1,
    report: Callable[[float, str], None] = lambda fraction, note: None,
) -> list[Path]:
    """Write a tree file for each chromosome, unless any label in it differs from the engine's marker.

    Parameters
    ----------
    records
        Genealogies, one a chromosome.
    labels
        What the files say of themselves.
    genome
        The genome.
    expected
        Source of each sampled haplotype at each marker: see `expected_labels`.
    path_of
        Where the file of a chromosome goes.
    threads
        How many files are made at a time.
    report
        Told the fraction of chromosomes that are written.

    Raises
    ------
    RunError
        If the ancestry read off a tree is not that of the markers (which would be a fault of admix), or a file
        can't be written.
    """
    axis = base_axis(genome)
    number = {name: c for c, name in enumerate(genome.chroms)}

    def make(record: trees.ChromosomeRecord) -> Path:
        ts = trees.build(record, labels)
        here = axis.marker_chrom == number[record.chrom]
        found = labels_at(ts, axis.marker_bp[here], sources=labels.sources)
        wrong = int((found != expected[:, here]).sum())
        if wrong:
            raise RunError(
                f"trees of chromosome {record.chrom}",
                f"{wrong:,} of {found.size:,} labels differ from the markers of the simulation",
                "no tree was written; please report this as a bug of admix",
            )
        return trees.write(ts, path_of(record.chrom))

    written: list[Path] = []
    waiting: deque[Future[Path]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # tszip silences this warning of zipfile while it writes, but several threads lift each other's silence
        warnings.filterwarnings("ignore", "Duplicate name", UserWarning)
        try:
            for record in records:
                waiting.append(pool.submit(make, record))
                while len(waiting) > threads:
                    written.append(waiting.popleft().result())
                    report(len(written) / len(number), f"chromosome {len(written)} of {len(number)}")
            while waiting:
                written.append(waiting.popleft().result())
                report(len(written) / len(number), f"chromosome {len(written)} of {len(number)}")
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    return written
