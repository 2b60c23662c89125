# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels over a whole cohort: fitness of individuals, counts of mutations, change of representation.

As in :mod:`admix.engines.native.gametes`, a call fills only the rows in its span.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from admix.engines.native.bits import ALL, LOW32, ONE, SHIFT6, lowest
from admix.engines.native.strands import PAD, fetch_row, insert_key, pad, word_sum

_ZERO = np.uint64(0)
HALF = np.uint64(32)
TAGS = 1 << 14
TAG_MASK = np.uint64(TAGS - 1)
RARE = -1
"""Recoding: the mutation goes to (or stays in) the list of rare ones."""
DROP = -2
"""Recoding: the mutation is fixed in the new cohort, and leaves the rows."""


@njit(nogil=True)
def common_correction(a: Any, b: Any, words: Any, mask: Any, correction: Any, both: Any, held: Any) -> Any:
    """Sum over sites where both rows have the bit of log(1 + s) - 2 log(1 + hs).

    ``words`` int32 lists the words in which ``mask`` (uint64, a word each) has any site with a correction.
    ``both`` uint64 and ``held`` int32 are scratch, as long as the rows.
    """
    # few words hold such a site twice: no branch is taken before they are known
    for x in range(a.shape[0]):
        both[x] = a[x] & b[x] & mask[x]
    n = np.int64(0)
    for j in range(words.shape[0]):
        held[n] = words[j]
        n += np.int64(both[words[j]] != _ZERO)
    total = np.int64(0)
    for j in range(n):
        w = np.uint64(held[j])
        total += word_sum(both[w], w << SHIFT6, correction)
    return total


@njit(nogil=True)
def rare_correction(a: Any, n_a: Any, b: Any, n_b: Any, correction: Any, tags: Any, tag: Any, held: Any) -> Any:
    """The same for two lists of rare keys.

    A ``tag`` in ``tags`` uint8[TAGS] at each id of ``a`` modulo its size tells at once of most ids of ``b`` that
    they are not in ``a``, where a merge would wait at every step; where the tag is there already, an id is looked
    for in vain. ``held`` uint64 is scratch, longer than the lists.
    """
    for i in range(n_a):
        tags[a[i] & TAG_MASK] = tag
    n = np.int64(0)
    for k in range(n_b):
        held[n] = b[k]
        n += np.int64(tags[b[k] & TAG_MASK] == tag)
    total = np.int64(0)
    for k in range(n):
        key = held[k]
        lo = 0
        hi = n_a
        while lo < hi:
            mid = (lo + hi) >> 1
            if a[mid] < key:
                lo = mid + 1
            else:
                hi = mid
        if lo < n_a and a[lo] == key:
            total += np.int64(correction[key & LOW32])
    return total


@njit(nogil=True, cache=True)
def log_fitness(
    span: Any, load: Any, bits: Any, words: Any, mask: Any, site_correction: Any, rare: Any, n_rare: Any,
    correction: Any, out: Any,
) -> None:  # fmt: skip
    """Fill ``out`` int64 with the log fitness of individuals [span[0], span[1]), in units of 2**-26.

    Individual i has haplotypes 2i and 2i + 1. Loci multiply: the sum over heterozygous sites of
    log(1 + hs) and over homozygous ones of log(1 + s), written as both haplotypes' sums of log(1 + hs)
    (``load`` int64[2N]) and a correction where both carry the mutation.
    """
    n_words = bits.shape[1] if words.shape[0] else 0
    both = np.empty(n_words, np.uint64)
    held_words = np.empty(n_words + 1, np.int32)
    held_keys = np.empty(rare.shape[1] + 1, np.uint64)
    tags = np.zeros(TAGS, np.uint8)
    for i in range(span[0], span[1]):
        a = 2 * i
        b = a + 1
        if i + 1 < span[1]:
            fetch_row(bits, a + 2, n_words)
            fetch_row(bits, a + 3, n_words)
            fetch_row(rare, a + 2, n_rare[a + 2])
            fetch_row(rare, a + 3, n_rare[a + 3])
        total = load[a] + load[b]
        if n_words:
            total += common_correction(bits[a], bits[b], words, mask, site_correction, both, held_words)
        total += rare_correction(rare[a], n_rare[a], rare[b], n_rare[b], correction, tags, np.uint8(i & 255), held_keys)
        out[i] = total


@njit(nogil=True, cache=True)
def count_rare(span: Any, rows: Any, rare: Any, n_rare: Any, counts: Any) -> None:
    """Add to ``counts`` int64[ids] how many of ``rows[span[0]:span[1]]`` carry each rare mutation."""
    for r in range(span[0], span[1]):
        g = rows[r]
        for i in range(n_rare[g]):
            counts[np.int64(rare[g, i] & LOW32)] += 1


@njit(nogil=True, cache=True)
def see_rare(span: Any, rare: Any, n_rare: Any, seen: Any) -> None:
    """Set ``seen`` uint8[ids] to 1 for each rare mutation that the rows of the span carry."""
    for g in range(span[0], span[1]):
        for i in range(n_rare[g]):
            seen[np.int64(rare[g, i] & LOW32)] = 1


@njit(nogil=True, cache=True)
def check_rare(span: Any, rare: Any, n_rare: Any, axis: Any, barred: Any) -> Any:
    """Return the first row of the span whose list of rare keys is against the rules, -1 if there is none.

    Keys ascend strictly, each has its mutation's position (``axis`` uint32[ids]), none is of an id that is ``barred``
    (uint8[ids]: free, common or fixed), and a key of all ones ends the list.
    """
    for g in range(span[0], span[1]):
        n = n_rare[g]
        if n < 0 or n >= rare.shape[1]:
            return np.int64(g)
        before = _ZERO
        bad = rare[g, n] != ALL
        for i in range(n):
            key = rare[g, i]
            k = np.int64(key & LOW32)
            if k >= axis.shape[0]:
                bad = True
            else:
                bad |= barred[k] != 0 or np.uint64(axis[k]) != key >> HALF
            bad |= i > 0 and key <= before
            before = key
        if bad:
            return np.int64(g)
    return np.int64(-1)


@njit(nogil=True, cache=True)
def count_bits(span: Any, rows: Any, bits: Any, counts: Any) -> None:
    """Add to ``counts`` int64[64 w] how many of ``rows[span[0]:span[1]]`` have each bit set.

    Counts are kept as eight planes of one bit for up to 255 rows, and read out then.
    """
    n_words = bits.shape[1]
    planes = np.zeros((8, n_words), np.uint64)
    held = 0
    for r in range(span[0], span[1]):
        g = rows[r]
        for w in range(n_words):
            carry = bits[g, w]
            for p in range(8):
                both = planes[p, w] & carry
                planes[p, w] ^= carry
                carry = both
        held += 1
        if held == 255 or r == span[1] - 1:
            for p in range(8):
                for w in range(n_words):
                    x = planes[p, w]
                    while x != _ZERO:
                        counts[w * 64 + lowest(x)] += 1 << p
                        x &= x - ONE
                    planes[p, w] = _ZERO
            held = 0


@njit(nogil=True, cache=True)
def recode(
    span: Any, rows: Any, places: Any, bits: Any, site_id: Any, site_key: Any, rare: Any, n_rare: Any,
    target: Any, added: Any, added_key: Any, new_effect: Any, out_bits: Any, out_sums: Any, out_rare: Any,
    out_n_rare: Any,
) -> Any:  # fmt: skip
    """Write ``rows[span[0]:span[1]]`` in another layout of common and rare sites, to the rows ``places``.

    ``target`` int32[ids] says where each mutation goes: a bit of the new layout, ``RARE`` or ``DROP``.
    ``added`` int32 are mutations that every row carries without showing them (fixed in the old cohort, not in
    the new), ``added_key`` uint64 their keys. ``new_effect`` int32[64 w] are the new sites' log effects, for
    the words' sums. Returns 0, or the room that the widest row of rare keys would need.
    """
    room = out_rare.shape[1]
    short = 0
    for r in range(span[0], span[1]):
        g = rows[r]
        o = places[r]
        need = n_rare[g] + PAD
        for w in range(out_bits.shape[1]):
            out_bits[o, w] = _ZERO
        n = 0
        for i in range(n_rare[g]):
            key = rare[g, i]
            t = target[np.int64(key & LOW32)]
            if t >= 0:
                out_bits[o, t >> 6] |= ONE << np.uint64(t & 63)
            elif t == RARE:
                if n + PAD < room:
                    out_rare[o, n] = key
                    n += 1
        for w in range(bits.shape[1]):
            x = bits[g, w]
            while x != _ZERO:
                k = w * 64 + lowest(x)
                x &= x - ONE
                t = target[site_id[k]]
                if t >= 0:
                    out_bits[o, t >> 6] |= ONE << np.uint64(t & 63)
                elif t == RARE:
                    need += 1
                    if n + PAD < room:
                        insert_key(out_rare[o], n, site_key[k])
                        n += 1
        for j in range(added.shape[0]):
            t = target[added[j]]
            if t >= 0:
                out_bits[o, t >> 6] |= ONE << np.uint64(t & 63)
            elif t == RARE:
                need += 1
                if n + PAD < room:
                    insert_key(out_rare[o], n, added_key[j])
                    n += 1
        if need > room:
            short = max(short, need)
        pad(out_rare[o], n)
        out_n_rare[o] = n
        for w in range(out_bits.shape[1]):
            out_sums[o, w] = word_sum(out_bits[o, w], np.uint64(64 * w), new_effect)
    return short


@njit(nogil=True, cache=True)
def sum_words(span: Any, bits: Any, effect: Any, sums: Any) -> None:
    """Fill ``sums`` int32[n, w] with the summed effects of each word's set bits, for rows of the span."""
    for g in range(span[0], span[1]):
        for w in range(bits.shape[1]):
            sums[g, w] = word_sum(bits[g, w], np.uint64(64 * w), effect)


@njit(nogil=True, cache=True)
def haplotype_load(span: Any, sums: Any, rare: Any, n_rare: Any, effect: Any, out: Any) -> None:
    """Fill ``out`` int64 with each haplotype's sum of log(1 + hs), from the words' sums and the rare keys."""
    for g in range(span[0], span[1]):
        total = np.int64(0)
        for w in range(sums.shape[1]):
            total += sums[g, w]
        for i in range(n_rare[g]):
            total += effect[np.int64(rare[g, i] & LOW32)]
        out[g] = total


@njit(nogil=True, cache=True)
def flagged_log_fitness(
    span: Any, bits: Any, site_mask: Any, site_effect: Any, site_correction: Any, rare: Any, n_rare: Any,
    flag: Any, effect: Any, correction: Any, out: Any,
) -> None:  # fmt: skip
    """Fill ``out`` int64 with the log fitness that flagged mutations alone cost each individual of the span.

    ``site_mask`` uint64[w] marks the flagged common sites, ``flag`` uint8[ids] the flagged mutations.
    """
    keys = np.empty((2, rare.shape[1]), np.uint64)
    for i in range(span[0], span[1]):
        a = 2 * i
        b = a + 1
        if i + 1 < span[1]:
            fetch_row(bits, a + 2, bits.shape[1])
            fetch_row(bits, a + 3, bits.shape[1])
            fetch_row(rare, a + 2, n_rare[a + 2])
            fetch_row(rare, a + 3, n_rare[a + 3])
        total = np.int64(0)
        for j in range(site_mask.shape[0]):
            w = np.uint64(j)
            x = bits[a, w] & site_mask[w]
            y = bits[b, w] & site_mask[w]
            if (x | y) != _ZERO:
                total += word_sum(x, w << SHIFT6, site_effect) + word_sum(y, w << SHIFT6, site_effect)
                total += word_sum(x & y, w << SHIFT6, site_correction)
        n_a = flagged_keys(rare[a], n_rare[a], flag, keys[0])
        n_b = flagged_keys(rare[b], n_rare[b], flag, keys[1])
        for j in range(n_a):
            total += effect[keys[0, j] & LOW32]
        for j in range(n_b):
            total += effect[keys[1, j] & LOW32]
        i_a = 0
        i_b = 0
        while i_a < n_a and i_b < n_b:
            p = keys[0, i_a]
            q = keys[1, i_b]
            if p == q:
                total += correction[p & LOW32]
            i_a += p <= q
            i_b += q <= p
        out[i] = total


@njit(nogil=True)
def flagged_keys(row: Any, n: Any, flag: Any, out: Any) -> Any:
    """Copy the keys of flagged mutations to ``out``; return how many."""
    k = np.int64(0)
    for j in range(n):
        out[k] = row[j]
        k += np.int64(flag[row[j] & LOW32] != 0)
    return k


@njit(nogil=True, cache=True)
def remark(rows: Any, places: Any, marks: Any, plane: Any, n_markers: Any, out: Any) -> None:
    """Copy marker rows; with ``plane`` >= 0 they become wholly of that source instead: all its bits set."""
    for r in range(rows.shape[0]):
        g = rows[r]
        o = places[r]
        for q in range(out.shape[0]):
            for w in range(out.shape[2]):
                if plane < 0:
                    out[q, o, w] = marks[q, g, w]
                else:
                    out[q, o, w] = _ZERO
        if plane >= 0:
            for k in range(n_markers):
                out[plane, o, k >> 6] |= ONE << np.uint64(k & 63)
