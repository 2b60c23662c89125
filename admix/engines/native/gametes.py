# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that make gametes: parents, crossovers, new mutations, and all of it together (see also strands).

All arrays are given and preallocated; a call fills the rows that it is told to fill and nothing else,
so calls on disjoint rows may run at the same time. See ``docs/engine.md`` for the representation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from admix.engines.native.bits import GOLDEN, LOW32, ONE, SHIFT6, below, count_from, lowest, mix, popcount, stream, unit
from admix.engines.native.strands import (
    PAD,
    copy_runs_and_sums,
    fetch_rows,
    insert_key,
    mend_words,
    pad,
    splice,
    splice_rare,
    sum_cut_words,
)

_S32 = np.uint64(32)
_ZERO = np.uint64(0)
MAX_CUTS = 1024
"""Room for crossovers and chromosome ends in one gamete; a map of 400 M stays far below it."""
GUIDE_SHIFT = 12
ONE_LOG = 1 << 26
"""Fixed-point unit of log fitness: all log effects are whole multiples of 2**-26."""


@njit(nogil=True, cache=True)
def guide_table(cumulative: Any, guide: Any) -> None:
    """Fill ``guide[j]`` with the first i for which ``cumulative[i] > j * total / len(guide)``.

    Parameters: ``cumulative`` uint64[n], running sums of the parents' integer weights; ``guide`` int32[m].
    """
    total = np.float64(cumulative[-1])
    m = guide.shape[0]
    i = 0
    for j in range(m):
        at = np.uint64(j * (total / m))
        while cumulative[i] <= at:
            i += 1
        guide[j] = i


@njit(nogil=True)
def choose_parent(z: Any, cumulative: Any, guide: Any) -> Any:
    """The parent whose share of the summed weights holds the draw ``z`` (uint64)."""
    u = unit(z)
    n = cumulative.shape[0]
    at = np.uint64(u * np.float64(cumulative[n - 1]))
    i = np.int64(guide[np.int64(u * guide.shape[0])])
    # the guide is made with rounded numbers, so step back where it points one entry too far
    while i > 0 and cumulative[i - 1] > at:
        i -= 1
    while cumulative[i] <= at:
        i += 1
    return i


@njit(nogil=True, cache=True)
def choose_parents(key: Any, tick: Any, rows: Any, span: Any, cumulative: Any, guide: Any, parents: Any) -> None:
    """Fill ``parents[g]`` (int32) for the gametes g in ``rows[span[0]:span[1]]``."""
    for r in range(span[0], span[1]):
        g = rows[r]
        parents[g] = choose_parent(mix(stream(key, tick, g) + GOLDEN), cumulative, guide)


@njit(nogil=True, cache=True)
def order_by_parent(rows: Any, parents: Any, starts: Any, order: Any) -> None:
    """Fill ``order`` int64[n] with the indices of ``rows`` in order of parent (a stable counting sort).

    ``starts`` int64[individuals + 1] is scratch, filled with 0. Gametes of one parent are then made one after
    another, while its haplotypes are in the processor's cache.
    """
    for r in range(rows.shape[0]):
        starts[parents[rows[r]] + 1] += 1
    for p in range(1, starts.shape[0]):
        starts[p] += starts[p - 1]
    for r in range(rows.shape[0]):
        p = parents[rows[r]]
        order[starts[p]] = r
        starts[p] += 1


@njit(nogil=True)
def crossovers(state: Any, chrom_axis: Any, crossover_cdf: Any, cuts: Any) -> Any:
    """Draw where a gamete changes strand.

    Parameters
    ----------
    state : uint64
        Stream just after the draw that chose the parent.
    chrom_axis : uint64[c + 1]
        Ends of the chromosomes on the genetic axis.
    crossover_cdf : uint64[c, k]
        Cumulative Poisson probabilities of each chromosome's number of crossovers, times 2**32.
    cuts : uint64[MAX_CUTS]
        Filled with axis positions, non-decreasing: a site at ``x >= cut`` comes from the other strand.

    Returns
    -------
    (n, first) : int64, int64
        Number of cuts; strand (0 or 1) on which the gamete starts.
    """
    n_chrom = crossover_cdf.shape[0]
    state += GOLDEN
    coins = mix(state)
    first = np.int64(coins & ONE)
    strand = first
    n = 0
    spare = _ZERO
    has_spare = False
    for c in range(n_chrom):
        # 64 coins a draw; a genome of more than 64 chromosomes draws again
        if c > 0 and (c & 63) == 0:
            state += GOLDEN
            coins = mix(state)
        coin = np.int64((coins >> np.uint64(c & 63)) & ONE)
        if c > 0 and coin != strand:
            cuts[n] = chrom_axis[c]
            n += 1
            strand = coin
        if has_spare:
            z = spare
            has_spare = False
        else:
            state += GOLDEN
            z = mix(state)
            spare = z & LOW32
            has_spare = True
            z = z >> _S32
        k = count_from(z, crossover_cdf[c])
        start = chrom_axis[c]
        length = chrom_axis[c + 1] - start
        begin = n
        for _ in range(k):
            state += GOLDEN
            at = start + below(mix(state), length)
            i = n
            while i > begin and cuts[i - 1] > at:
                cuts[i] = cuts[i - 1]
                i -= 1
            cuts[i] = at
            n += 1
        strand ^= k & 1
    return n, first


@njit(nogil=True)
def first_at(x: Any, axis: Any, grid: Any, shift: Any) -> Any:
    """Index of the first site at or after axis position ``x`` (uint64); ``grid[j]`` holds that of ``j << shift``.

    ``axis`` uint32[n + 1] ends with a position that no site is beyond. Cells hold few sites, so two steps without
    a branch nearly always arrive.
    """
    i = np.uint64(grid[x >> shift])
    i += np.uint64(np.uint64(axis[i]) < x)
    i += np.uint64(np.uint64(axis[i]) < x)
    while np.uint64(axis[i]) < x:
        i += ONE
    return np.int64(i)


@njit(nogil=True)
def edges_of(cuts: Any, n: Any, axis: Any, grid: Any, shift: Any, edges: Any) -> None:
    """Turn axis cuts into bit edges: the first site at or after each cut."""
    for j in range(n):
        edges[j] = first_at(cuts[j], axis, grid, shift)


@njit(nogil=True)
def weigh(row: Any, masks: Any, odd_words: Any, weight: Any, plain_weight: Any, out: Any) -> None:
    """Sum the weights of a marker row's set bits: all, functional, far -> ``out`` int64[3].

    ``masks`` uint64[4, w] are of the plain, the odd, the functional and the far markers: the plain ones all weigh
    ``plain_weight``, the odd ones have their own ``weight`` int64[64 w] and are in ``odd_words`` int32 only.
    """
    plain = masks[0]
    odd = masks[1]
    functional = masks[2]
    far = masks[3]
    c0 = 0
    c1 = 0
    c2 = 0
    for w in range(row.shape[0]):
        x = row[w] & plain[w]
        c0 += popcount(x)
        c1 += popcount(x & functional[w])
        c2 += popcount(x & far[w])
    t0 = c0 * plain_weight
    t1 = c1 * plain_weight
    t2 = c2 * plain_weight
    for j in range(odd_words.shape[0]):
        q = np.uint64(odd_words[j])
        x = row[q] & odd[q]
        while x != _ZERO:
            low = x & (~x + ONE)
            v = weight[(q << SHIFT6) + np.uint64(lowest(x))]
            t0 += v
            if functional[q] & low:
                t1 += v
            if far[q] & low:
                t2 += v
            x ^= low
    out[0] = t0
    out[1] = t1
    out[2] = t2


@njit(nogil=True, cache=True)
def weigh_rows(span: Any, marks: Any, masks: Any, odd_words: Any, weight: Any, plain_weight: Any, out: Any) -> None:
    """Fill ``out`` int64[planes, n, 3] with the weighted markers of rows [span[0], span[1]): see weigh."""
    for g in range(span[0], span[1]):
        for q in range(marks.shape[0]):
            weigh(marks[q, g], masks, odd_words, weight, plain_weight, out[q, g])


@njit(nogil=True, cache=True)
def count_mutations(key: Any, tick: Any, cdf: Any, counts: Any) -> None:
    """Fill ``counts[g]`` (int64) with gamete g's number of new mutations, from the mutation stream."""
    for g in range(counts.shape[0]):
        counts[g] = count_from(mix(stream(key, tick, g) + GOLDEN) >> _S32, cdf)


@njit(nogil=True, cache=True)
def new_mutations(
    key: Any, tick: Any, gametes: Any, offset: Any, ids: Any, target_cum: Any, target_guide: Any,
    target_axis_start: Any, target_axis_end: Any, s_nodes: Any, h_bins: Any, site: Any, axis: Any, s: Any, h: Any,
    effect: Any, correction: Any, uid: Any, born: Any,
) -> None:  # fmt: skip
    """Draw the new mutations of gametes [gametes[0], gametes[1]) into the mutation table.

    ``target_guide[j]`` int32 is the segment of base ``j << GUIDE_SHIFT``. ``offset`` int64[n + 1] are running
    counts; mutation ``k`` gets the id ``ids[k]``. Of each: ``site`` (base
    number in the target), ``axis`` position, ``s``, ``h``, ``effect`` = log(1 + hs) and ``correction`` =
    log(1 + s) - 2 log(1 + hs) in units of 2**-26, a random 64-bit ``uid`` and the tick in which it was ``born``.
    """
    total = np.uint64(target_cum[-1])
    bins = np.float64(h_bins.shape[0])
    for g in range(gametes[0], gametes[1]):
        state = stream(key, tick, g) + GOLDEN
        for k in range(offset[g], offset[g + 1]):
            m = ids[k]
            state += GOLDEN
            t = np.int64(below(mix(state), total))
            lo = np.int64(target_guide[t >> GUIDE_SHIFT])
            while target_cum[lo + 1] <= t:
                lo += 1
            span = np.uint64(target_cum[lo + 1] - target_cum[lo])
            room = target_axis_end[lo] - target_axis_start[lo]
            axis[m] = target_axis_start[lo] + np.uint64(t - target_cum[lo]) * room // span
            site[m] = t
            state += GOLDEN
            u = unit(mix(state)) * bins
            b = np.int64(u)
            v = s_nodes[b] + (u - b) * (s_nodes[b + 1] - s_nodes[b])
            s[m] = v
            h[m] = h_bins[b]
            set_effects(v, h_bins[b], m, effect, correction)
            state += GOLDEN
            uid[m] = mix(state)
            born[m] = tick


@njit(nogil=True)
def set_effects(s: Any, h: Any, m: Any, effect: Any, correction: Any) -> None:
    """Write the fixed-point log effects of one mutation: see :func:`new_mutations`."""
    het = np.log1p(h * s)
    effect[m] = np.int64(np.rint(het * ONE_LOG))
    # rounded by itself and to 2**-20, so that it is 0 where an additive effect is weak: nearly all common sites
    # need none then, and no homozygote's fitness is off by more than 5e-7
    correction[m] = 64 * np.int64(np.rint((np.log1p(s) - 2 * het) * (ONE_LOG / 64)))


@njit(nogil=True, cache=True)
def make_gametes(
    # which: stream key, tick, gamete numbers, the rows they fill, in what order, and the part [span[0], span[1])
    # of that order
    key: Any, tick: Any, rows: Any, places: Any, order: Any, span: Any,
    # parents and the map
    parents: Any, chrom_axis: Any, crossover_cdf: Any,
    # the parents' deme: common sites, rare sites
    axis: Any, grid: Any, shift: Any, site_effect: Any, bits: Any, sums: Any, rare: Any, n_rare: Any, effect: Any,
    # markers
    mark_axis: Any, mark_grid: Any, marks: Any, masks: Any, odd_words: Any, mark_weight: Any, plain_weight: Any,
    # new mutations
    mut_offset: Any, mut_ids: Any, mut_axis: Any,
    # out
    out_bits: Any, out_sums: Any, out_rare: Any, out_n_rare: Any, out_load: Any, out_marks: Any,
    out_ancestry: Any,
) -> Any:  # fmt: skip
    """Make gametes from the individuals of one deme.

    Gamete ``g = rows[i]`` draws its parent and its crossovers from the stream (key, tick, g), so its
    content depends on nothing but that, the parents and the new mutations numbered ``mut_offset[g]``.

    Parameters
    ----------
    rows, places : int64[n], int64[n]
        Numbers of the gametes, which are also their places in ``parents``; rows of the ``out_`` arrays.
    bits, sums : uint64[2N, w], int32[2N, w]
        Common sites of each parental haplotype and, for each word, the sum of its sites' log effects.
    rare, n_rare : uint64[2N, cap], int32[2N]
        Keys (axis position << 32 | id) of each haplotype's rare mutations, sorted.
    marks : uint64[planes, 2N, v]
        Ancestry markers, a plane a source.
    out_load, out_ancestry : int64[n], int64[planes, n, 3]
        Sum of the haplotype's log effects; its weighted markers: all, functional, far.

    Returns
    -------
    int
        0, or the room that a row of rare keys would need where ``rare`` is too narrow (the call is then
        to be repeated with wider rows; nothing else depends on it).
    """
    cuts = np.empty(MAX_CUTS, np.uint64)
    edges = np.empty(MAX_CUTS + 1, np.int64)
    n_words = out_bits.shape[1]
    n_planes = marks.shape[0]
    n_mark_words = marks.shape[2]
    room = out_rare.shape[1]
    short = 0
    for k in range(span[0], span[1]):
        g = rows[order[k]]
        o = places[order[k]]
        state = stream(key, tick, g) + GOLDEN
        p = np.int64(parents[g])
        # the next gamete's rows are asked for in two lots: all at once would fill the queue of outstanding lines
        place = o
        pair = np.int64(-1)
        keys = np.int64(0)
        if k + 1 < span[1]:
            place = places[order[k + 1]]
            following = np.int64(parents[rows[order[k + 1]]])
            if following != p:
                pair = 2 * following
            keys = np.int64(max(n_rare[2 * following], n_rare[2 * following + 1]) + PAD)
            fetch_rows(bits, pair, n_words, out_bits, place, 8)
            fetch_rows(sums, pair, n_words, out_sums, place, 16)
        n_cuts, first = crossovers(state, chrom_axis, crossover_cdf, cuts)
        a = 2 * p + first
        b = 2 * p + 1 - first
        edges_of(cuts, n_cuts, axis, grid, shift, edges)
        copy_runs_and_sums(out_bits[o], bits[a], bits[b], out_sums[o], sums[a], sums[b], edges, n_cuts)
        mend_words(out_bits[o], bits[a], bits[b], edges, n_cuts)
        sum_cut_words(out_sums[o], out_bits[o], edges, n_cuts, site_effect)
        load = np.int64(0)
        for w in range(n_words):
            load += out_sums[o, w]
        if k + 1 < span[1]:
            fetch_rows(rare, pair, keys, out_rare, place, 8)
            for q in range(n_planes):
                fetch_rows(marks[q], pair, n_mark_words, out_marks[q], place, 8)
        need = n_rare[a] + n_rare[b] + mut_offset[g + 1] - mut_offset[g] + 2 * PAD
        if need > room:
            short = max(short, need)
            continue
        n = splice_rare(out_rare[o], rare[a], rare[b], cuts, n_cuts)
        for j in range(mut_offset[g], mut_offset[g + 1]):
            insert_key(out_rare[o], n, (np.uint64(mut_axis[mut_ids[j]]) << _S32) | np.uint64(mut_ids[j]))
            n += 1
        if mut_offset[g + 1] > mut_offset[g]:
            pad(out_rare[o], n)
        out_n_rare[o] = n
        for i in range(n):
            load += effect[out_rare[o, i] & LOW32]
        out_load[o] = load
        if n_planes:
            edges_of(cuts, n_cuts, mark_axis, mark_grid, shift, edges)
            for q in range(n_planes):
                splice(out_marks[q, o], marks[q, a], marks[q, b], edges, n_cuts)
                weigh(out_marks[q, o], masks, odd_words, mark_weight, plain_weight, out_ancestry[q, o])
    return short
