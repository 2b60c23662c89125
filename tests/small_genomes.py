# SPDX-License-Identifier: GPL-3.0-or-later
"""Small genomes with a map, elements and gaps of one's own."""

from pathlib import Path

import numpy as np

from admix.genome import Genome, from_files


def genome(folder: Path, chroms: dict, window: int = 1000) -> Genome:
    """A genome from files.

    `chroms`: name -> {"length": bp, "map": [(bp, cM), ...] (0-based; default 1 cM/Mb), "elements": [(start, end), ...],
    "gaps": [(start, end), ...]}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    points, elements, gaps = ["Chromosome\tPosition(bp)\tMap(cM)"], [], []
    for name, what in chroms.items():
        length = what["length"]
        for bp, cm in what.get("map", [(0, 0.0), (length - 1, length * 1e-6)]):
            points.append(f"{name}\t{bp + 1}\t{cm!r}")
        elements += [f"{name}\t{a}\t{b}" for a, b in what.get("elements", [(0, 1)])]
        gaps += [f"{name}\t{a}\t{b}" for a, b in what.get("gaps", [])]
    (folder / "map").write_text("\n".join(points) + "\n")
    (folder / "elements.bed").write_text("\n".join(elements) + "\n")
    (folder / "gaps.bed").write_text("\n".join(gaps) + "\n")
    return from_files(
        folder / "map",
        folder / "elements.bed",
        chromosome_lengths={name: what["length"] for name, what in chroms.items()},
        window=window,
        gaps=folder / "gaps.bed" if gaps else None,
    )


def uniform(folder: Path, n: int, length: int, window: int = 1_000_000) -> Genome:
    """`n` chromosomes of `length` bp with 1 cM/Mb throughout."""
    return genome(folder, {str(c + 1): {"length": length} for c in range(n)}, window)


def per_base(values: np.ndarray, start: np.ndarray, end: np.ndarray, length: int) -> np.ndarray:
    """Values of windows written out base by base; NaN outside them."""
    out = np.full(length, np.nan)
    for value, a, b in zip(values, start, end, strict=True):
        out[a:b] = value
    return out
