# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine holds of a population: layouts of common sites, rows of haplotypes, demes.

Sites above a frequency threshold are *common*: bits, a row of 64-bit words a haplotype, sorted by genetic
position, with the sum of log effects of each word beside it. All other mutations are *rare*: sorted lists of
keys. Where a mutation is stored changes no result: sums are of whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from admix.engines.native.mutations import Mutations

GRID_SHIFT = np.uint64(16)
"""Look-up grids have a cell for every 2**16 units of the genetic axis."""
_GRID_EDGES = np.arange(1 << 16, dtype=np.uint64) << GRID_SHIFT
WORD_STEP = 16
MAX_COMMON_EFFECT = 1 << 24
"""A mutation stronger than this (log effect 1/4) is never common: 64 such effects fit an int32."""


def grid_of(axis: np.ndarray) -> np.ndarray:
    """For each cell of the look-up grid the first site at or after its start (int32)."""
    return np.searchsorted(axis.astype(np.uint64), _GRID_EDGES).astype(np.int32)


@dataclass(slots=True)
class Layout:
    """The common sites of one deme, in order of position.

    ``ids`` int32[k]; ``axis`` uint32[k + 1], closed by a last position; ``keys`` uint64[k]; ``grid`` int32; per site,
    padded to whole words:
    ``effect``, ``correction`` int32[64 w]; ``mask`` uint64[w] sites with a correction; ``words`` int32 the
    words that have any.
    """

    ids: np.ndarray
    axis: np.ndarray
    keys: np.ndarray
    grid: np.ndarray
    effect: np.ndarray
    correction: np.ndarray
    mask: np.ndarray
    words: np.ndarray

    @property
    def n_words(self) -> int:
        """Words of a row."""
        return len(self.mask)


def closed(axis: np.ndarray) -> np.ndarray:
    """Axis positions (uint32) with one more at the end, at or beyond which no cut can fall but the axis' end."""
    return np.append(axis.astype(np.uint32), np.uint32(0xFFFFFFFF))


def layout_of(ids: np.ndarray, mutations: Mutations) -> Layout:
    """Build the layout that holds these mutations (any order)."""
    keys = np.sort(mutations.key(ids))
    ids = (keys & np.uint64(0xFFFFFFFF)).astype(np.int32)
    # in steps, so that a new layout mostly has rows as long as the last one's, whose arrays can be used again
    n_words = max(1, -(-len(ids) // 64))
    n_words = -(-n_words // WORD_STEP) * WORD_STEP if n_words > 4 * WORD_STEP else n_words
    effect = np.zeros(64 * n_words, np.int32)
    correction = np.zeros(64 * n_words, np.int32)
    effect[: len(ids)] = mutations["effect"][ids]
    correction[: len(ids)] = mutations["correction"][ids]
    axis = mutations["axis"][ids]
    mask = pack(correction != 0)
    return Layout(
        ids, closed(axis), keys, grid_of(axis), effect, correction, mask, np.flatnonzero(mask).astype(np.int32)
    )


def pack(flags: np.ndarray) -> np.ndarray:
    """Turn bool[64 w] into uint64[w], the first flag in the lowest bit."""
    return np.packbits(flags, bitorder="little").view(np.uint64)


@dataclass(slots=True)
class Rows:
    """Haplotypes: arrays with a row each. See :func:`admix.engines.native.gametes.make_gametes`."""

    bits: np.ndarray
    sums: np.ndarray
    rare: np.ndarray
    n_rare: np.ndarray
    load: np.ndarray
    marks: np.ndarray
    ancestry: np.ndarray

    @classmethod
    def empty(cls, n: int, n_words: int, room: int, n_planes: int, mark_words: int) -> Rows:
        """Rows without any mutation or mark; the rows of ``rare`` are still to be padded."""
        return cls(
            np.zeros((n, n_words), np.uint64),
            np.zeros((n, n_words), np.int32),
            np.empty((n, room), np.uint64),
            np.zeros(n, np.int32),
            np.zeros(n, np.int64),
            np.zeros((n_planes, n, mark_words), np.uint64),
            np.zeros((n_planes, n, 3), np.int64),
        )

    def fits(self, n: int, n_words: int, room: int, n_planes: int) -> bool:
        """Can these arrays be used again for rows of such sizes?"""
        return self.bits.shape == (n, n_words) and self.rare.shape[1] >= room and self.marks.shape[0] == n_planes

    def __len__(self) -> int:
        return len(self.n_rare)


@dataclass(slots=True)
class Deme:
    """One deme's living cohort, and the mutations that are fixed in it (int32 ids)."""

    index: int
    rows: Rows
    layout: Layout
    fixed: np.ndarray
    log_fitness: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    spare: Rows | None = None
    cumulative: np.ndarray | None = None
    guide: np.ndarray | None = None

    @property
    def n(self) -> int:
        """Number of individuals."""
        return len(self.rows) // 2
