# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that copy a haplotype from two parental strands: words of bits with their sums, and rare keys.

Rows lie anywhere in memory, and waiting for their first lines costs more than copying them: the next gamete's rows
are asked for before one is copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from admix.engines.native.bits import ALL, LOW6, ONE, SHIFT6, lowest, prefetch

_S32 = np.uint64(32)
_ZERO = np.uint64(0)
EIGHT = np.uint64(8)
CHUNK = np.uint64(16)
"""Words that are copied at a time."""
PAD = 8
"""Keys of all ones that end every row of rare keys."""


@njit(nogil=True)
def fetch_rows(rows: Any, pair: Any, width: Any, out: Any, place: Any, step: Any) -> None:
    """Ask for the first ``width`` values of rows ``pair`` and ``pair + 1`` of ``rows``, unless ``pair`` < 0 (they are
    the rows in use), and of row ``place`` of ``out``. ``step`` values fill a cache line of 64 bytes."""
    for c in range(0, width, step):
        if pair >= 0:
            prefetch(rows, pair, c)
            prefetch(rows, pair + 1, c)
        prefetch(out, place, c)


@njit(nogil=True)
def fetch_row(rows: Any, row: Any, width: Any) -> None:
    """Ask for the first ``width`` 64-bit values of a row."""
    for c in range(0, width, 8):
        prefetch(rows, row, c)


@njit(nogil=True)
def copy8(row: Any, o: Any, source: Any, i: Any) -> None:
    """Copy 8 values from ``source[i]`` on to ``row[o]`` on (uint64 indices).

    All are read before any is written: only then may the compiler use vector instructions, as it can't know that
    the arrays don't overlap.
    """
    v0 = source[i]
    v1 = source[i + np.uint64(1)]
    v2 = source[i + np.uint64(2)]
    v3 = source[i + np.uint64(3)]
    v4 = source[i + np.uint64(4)]
    v5 = source[i + np.uint64(5)]
    v6 = source[i + np.uint64(6)]
    v7 = source[i + np.uint64(7)]
    row[o] = v0
    row[o + np.uint64(1)] = v1
    row[o + np.uint64(2)] = v2
    row[o + np.uint64(3)] = v3
    row[o + np.uint64(4)] = v4
    row[o + np.uint64(5)] = v5
    row[o + np.uint64(6)] = v6
    row[o + np.uint64(7)] = v7


@njit(nogil=True)
def copy_runs(row: Any, a: Any, b: Any, edges: Any, n_edges: Any) -> None:
    """Copy whole words of strand ``a``, changing to ``b`` and back after each word that has an edge in it.

    ``edges`` int64 are bit indices, non-decreasing. Words are copied CHUNK at a time and what was too many is
    overwritten by the next run: runs end unforeseeably, and a loop that does so costs more than the words.
    """
    n_words = np.uint64(row.shape[0])
    x = _ZERO
    for j in range(n_edges + 1):
        last = np.uint64(edges[j]) >> SHIFT6 if j < n_edges else n_words - ONE
        last = min(last, n_words - ONE)
        source = b if j & 1 else a
        while x <= last:
            if x + CHUNK <= n_words:
                copy8(row, x, source, x)
                copy8(row, x + EIGHT, source, x + EIGHT)
                x += CHUNK
            else:
                row[x] = source[x]
                x += ONE
        x = last + ONE


@njit(nogil=True)
def copy_runs_and_sums(
    row: Any, a: Any, b: Any, row_sums: Any, sums_a: Any, sums_b: Any, edges: Any, n_edges: Any
) -> None:  # fmt: skip
    """The same for words and their int32 sums side by side."""
    n_words = np.uint64(row.shape[0])
    x = _ZERO
    for j in range(n_edges + 1):
        last = np.uint64(edges[j]) >> SHIFT6 if j < n_edges else n_words - ONE
        last = min(last, n_words - ONE)
        source = b if j & 1 else a
        source_sums = sums_b if j & 1 else sums_a
        while x <= last:
            if x + CHUNK <= n_words:
                copy8(row, x, source, x)
                copy8(row, x + EIGHT, source, x + EIGHT)
                copy8(row_sums, x, source_sums, x)
                copy8(row_sums, x + EIGHT, source_sums, x + EIGHT)
                x += CHUNK
            else:
                row[x] = source[x]
                row_sums[x] = source_sums[x]
                x += ONE
        x = last + ONE


@njit(nogil=True)
def splice(row: Any, a: Any, b: Any, edges: Any, n_edges: Any) -> None:
    """Fill ``row`` with the bits of strand ``a``, changing to ``b`` and back at each edge (see copy_runs)."""
    copy_runs(row, a, b, edges, n_edges)
    mend_words(row, a, b, edges, n_edges)


@njit(nogil=True)
def mend_words(row: Any, a: Any, b: Any, edges: Any, n_edges: Any) -> None:
    """Put right the words with an edge in them: every edge changes the strand of the bits from it on."""
    n_words = np.uint64(row.shape[0])
    for j in range(n_edges):
        w = np.uint64(edges[j]) >> SHIFT6
        if w < n_words:
            high = ALL << (np.uint64(edges[j]) & LOW6)
            row[w] = (row[w] & ~high) | ((a[w] if j & 1 else b[w]) & high)


@njit(nogil=True)
def word_sum(x: Any, base: Any, effect: Any) -> Any:
    """Sum of the int32 effects of the set bits of a word whose first site is ``base`` (uint64)."""
    total = np.int64(0)
    while x != _ZERO:
        total += effect[base + np.uint64(lowest(x))]
        x &= x - ONE
    return total


@njit(nogil=True)
def whole_word_sum(x: Any, base: Any, effect: Any) -> Any:
    """The same by looking at all 64 sites: no branch depends on the word, which is faster from ten bits on."""
    total = np.int64(0)
    for t in range(64):
        chosen = np.int32((x >> np.uint64(t)) & ONE)
        total += np.int64(effect[base + np.uint64(t)] & -chosen)
    return total


@njit(nogil=True)
def sum_cut_words(row_sums: Any, row: Any, edges: Any, n_edges: Any, effect: Any) -> None:
    """Fill in the sums of the words of ``row`` that have an edge in them."""
    n_words = np.uint64(row.shape[0])
    for j in range(n_edges):
        w = np.uint64(edges[j]) >> SHIFT6
        if w < n_words:
            row_sums[w] = whole_word_sum(row[w], w << SHIFT6, effect)


@njit(nogil=True)
def splice_rare(row: Any, a: Any, b: Any, cuts: Any, n_cuts: Any) -> Any:
    """Fill ``row`` with the keys of strand ``a``, changing to ``b`` and back at each cut; return how many.

    Keys are uint64, axis position in the high half, sorted, and end with ``PAD`` keys of all ones, which lets
    eight keys be copied and compared at a time (segments are short, and a loop that ends after an
    unforeseeable number of keys costs more than the keys). ``row`` needs room for both lists, and is padded.
    """
    # unsigned, so that no index can count from the end of the array
    i = _ZERO
    k = _ZERO
    o = _ZERO
    for j in range(n_cuts + 1):
        end = (cuts[j] << _S32) if j < n_cuts else ALL
        if j & 1:
            o, k = take_keys(row, o, b, k, end)
            i = skip_keys(a, i, end)
        else:
            o, i = take_keys(row, o, a, i, end)
            k = skip_keys(b, k, end)
    pad(row, o)
    return np.int64(o)


@njit(nogil=True)
def take_keys(row: Any, o: Any, keys: Any, i: Any, end: Any) -> Any:
    """Copy the keys from ``i`` on that are below ``end`` to ``row`` at ``o``; return the places reached."""
    while True:
        c = np.int64(0)
        for t in range(PAD):
            c += np.int64(keys[i + np.uint64(t)] < end)
        copy8(row, o, keys, i)
        i += np.uint64(c)
        o += np.uint64(c)
        if c < PAD:
            return o, i


@njit(nogil=True)
def skip_keys(keys: Any, i: Any, end: Any) -> Any:
    """The place of the first key from ``i`` on that is not below ``end``."""
    while True:
        c = np.int64(0)
        for t in range(PAD):
            c += np.int64(keys[i + np.uint64(t)] < end)
        i += np.uint64(c)
        if c < PAD:
            return i


@njit(nogil=True)
def pad(row: Any, n: Any) -> None:
    """End a row of ``n`` keys."""
    for t in range(PAD):
        row[np.uint64(n) + np.uint64(t)] = ALL


@njit(nogil=True)
def insert_key(row: Any, n: Any, key: Any) -> None:
    """Put a key into its place in a sorted row of ``n`` keys."""
    i = n
    while i > 0 and row[i - 1] > key:
        row[i] = row[i - 1]
        i -= 1
    row[i] = key
