# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that follow ancestral material back through a pedigree, one tick at a time.

A haplotype's ancestral material is a list of *segments*: first and last axis position (both included, uint32) and
the node of the tree that stands for it from there down (int32). Lists lie anywhere in long arrays: haplotype h has
the segments ``start[h]`` to ``start[h] + count[h]``, in order and disjoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from admix.engines.native.bits import GOLDEN, LOW32, ONE, lowest, stream
from admix.engines.native.gametes import MAX_CUTS, crossovers

CENSUS = 1
MIGRATION = 2
SAMPLE = 4
"""Why a haplotype keeps a node of its own although nothing coalesces in it (bits)."""
ROOM = 60
"""Cuts a gamete for which room is reckoned; where there are more, the tick is made again with more room."""
_S32 = np.uint64(32)


@njit(nogil=True, cache=True)
def children_by_parent(parent: Any, count: Any, starts: Any, order: Any) -> Any:
    """List the haplotypes with ancestral material by the individual that made them (a stable counting sort).

    ``parent`` int32[H] (below 0: none); ``starts`` int64[P + 1], filled with 0, becomes the place in ``order``
    int32[H] of each parent's first child. Returns how many there are.
    """
    for h in range(parent.shape[0]):
        if count[h] > 0 and parent[h] >= 0:
            starts[parent[h] + 1] += 1
    for p in range(1, starts.shape[0]):
        starts[p] += starts[p - 1]
    total = starts[starts.shape[0] - 1]
    for h in range(parent.shape[0]):
        if count[h] > 0 and parent[h] >= 0:
            p = parent[h]
            order[starts[p]] = h
            starts[p] += 1
    for p in range(starts.shape[0] - 1, 0, -1):
        starts[p] = starts[p - 1]
    starts[0] = 0
    return total


@njit(nogil=True, cache=True)
def draw_cuts(
    span: Any, keys: Any, tick: Any, deme: Any, number: Any, wanted: Any, chrom_axis: Any, crossover_cdf: Any,
    cuts: Any, n_cuts: Any, firsts: Any,
) -> Any:  # fmt: skip
    """Draw again the crossovers of the gametes in [``span[0]``, ``span[1]``) that are ``wanted``.

    Fills ``cuts`` uint32[H, room] (axis positions, non-decreasing), ``n_cuts`` int32[H] and ``firsts`` int8[H], the
    strand on which a gamete starts. Returns the longest list; where it exceeds the room, no longer list is filled,
    and the call is to be made again with more room.
    """
    scratch = np.empty(MAX_CUTS, np.uint64)
    room = cuts.shape[1]
    longest = np.int64(0)
    for h in range(span[0], span[1]):
        if wanted[h] == 0:
            continue
        state = stream(keys[deme[h]], tick, number[h]) + GOLDEN
        n, first = crossovers(state, chrom_axis, crossover_cdf, scratch)
        n_cuts[h] = n
        firsts[h] = first
        longest = max(longest, n)
        if n <= room:
            for j in range(n):
                cuts[h, j] = scratch[j]
    return longest


@njit(nogil=True)
def cut_segments(
    left: Any, last: Any, node: Any, begin: Any, n: Any, cuts: Any, n_cuts: Any, first: Any,
    piece_left: Any, piece_last: Any, piece_node: Any, used: Any,
) -> None:  # fmt: skip
    """Deal a gamete's segments out to the two strands of its parent.

    The gamete starts on strand ``first``; a position at or after an odd number of cuts is on the other.
    ``piece_`` arrays have a row a strand; ``used`` int64[2] is how many pieces each row holds, and grows.
    """
    j = 0
    strand = first
    for i in range(begin, begin + n):
        a = np.uint64(left[i])
        z = np.uint64(last[i])
        while j < n_cuts and np.uint64(cuts[j]) <= a:
            j += 1
            strand ^= 1
        while j < n_cuts and np.uint64(cuts[j]) <= z:
            x = np.uint64(cuts[j])
            if x > a:
                k = used[strand]
                piece_left[strand, k] = a
                piece_last[strand, k] = x - ONE
                piece_node[strand, k] = node[i]
                used[strand] = k + 1
                a = x
            j += 1
            strand ^= 1
        k = used[strand]
        piece_left[strand, k] = a
        piece_last[strand, k] = z
        piece_node[strand, k] = node[i]
        used[strand] = k + 1


@njit(nogil=True)
def join_lists(
    piece_left: Any, piece_last: Any, piece_node: Any, at: Any, end: Any, n_lists: Any, own: Any,
    left: Any, last: Any, node: Any, out: Any, limit: Any, edges: Any, n_edges: Any,
) -> Any:  # fmt: skip
    """Join lists of segments into one; where two or more overlap they coalesce in node ``own``.

    Parameters
    ----------
    piece_left, piece_last, piece_node
        Segments; list i is [``at[i]``, ``end[i]``). The first two and ``at`` are used up.
    own : int
        Node of the haplotype; below 0: overlaps are only made one, with node 0, and no edge is written.
    left, last, node, out, limit
        Where the joined list goes: from place ``out`` on, below ``limit``.
    edges : uint32[4, room]
        Left, last, parent, child of each edge; ``n_edges`` are there already.

    Returns
    -------
    (out, n_edges) : int64, int64
        The places reached; (-1, -1) where there is too little room.
    """
    first = out
    while True:
        a = np.int64(-1)
        for i in range(n_lists):
            if at[i] < end[i]:
                here = np.int64(piece_left[at[i]])
                if a < 0 or here < a:
                    a = here
        if a < 0:
            return out, n_edges
        z = np.int64(LOW32)
        covered = 0
        who = 0
        for i in range(n_lists):
            if at[i] < end[i]:
                here = np.int64(piece_left[at[i]])
                if here == a:
                    covered += 1
                    who = i
                    z = min(z, np.int64(piece_last[at[i]]))
                else:
                    z = min(z, here - 1)
        if out >= limit or (own >= 0 and n_edges + covered > edges.shape[1]):
            return np.int64(-1), np.int64(-1)
        over = piece_node[at[who]]
        if covered > 1:
            over = np.int32(max(own, 0))
            if own >= 0:
                for i in range(n_lists):
                    if at[i] < end[i] and np.int64(piece_left[at[i]]) == a:
                        edges[0, n_edges] = a
                        edges[1, n_edges] = z
                        edges[2, n_edges] = own
                        edges[3, n_edges] = piece_node[at[i]]
                        n_edges += 1
        for i in range(n_lists):
            if at[i] < end[i] and np.int64(piece_left[at[i]]) == a:
                if np.int64(piece_last[at[i]]) == z:
                    at[i] += 1
                else:
                    piece_left[at[i]] = z + 1
        if out > first and node[out - 1] == over and np.int64(last[out - 1]) + 1 == a:
            last[out - 1] = z
        else:
            left[out] = a
            last[out] = z
            node[out] = over
            out += 1


@njit(nogil=True)
def keep_node(own: Any, whole: Any, left: Any, last: Any, node: Any, first: Any, out: Any, limit: Any,
              edges: Any, n_edges: Any) -> Any:  # fmt: skip
    """Put node ``own`` above all segments in [``first``, ``out``); with ``whole`` it has all of the genome then.

    Returns as :func:`join_lists`.
    """
    kept = first
    for i in range(first, out):
        if node[i] != own:
            if n_edges >= edges.shape[1]:
                return np.int64(-1), np.int64(-1)
            edges[0, n_edges] = left[i]
            edges[1, n_edges] = last[i]
            edges[2, n_edges] = own
            edges[3, n_edges] = node[i]
            n_edges += 1
        if kept > first and np.int64(last[kept - 1]) + 1 == np.int64(left[i]):
            last[kept - 1] = last[i]
        else:
            left[kept] = left[i]
            last[kept] = last[i]
            node[kept] = own
            kept += 1
    if whole:
        if first >= limit:
            return np.int64(-1), np.int64(-1)
        left[first] = 0
        last[first] = LOW32
        node[first] = own
        kept = first + 1
    return kept, n_edges


@njit(nogil=True, cache=True)
def climb(
    # the children: where each haplotype changes strand, how often, and on which it starts; whether a lineage that
    # goes through it must keep nodes; who is whose child
    cuts: Any, n_cuts: Any, firsts: Any, marked: Any, starts: Any, order: Any, span: Any,
    # their ancestral material
    start: Any, count: Any, left: Any, last: Any, node: Any,
    # the parents' haplotypes: node numbers begin at ``base`` (below 0: no nodes); why nodes are kept
    base: Any, keep: Any,
    # out: the parents' ancestral material from place ``room[0]`` on, below ``room[1]``; edges
    out_start: Any, out_count: Any, out_left: Any, out_last: Any, out_node: Any, room: Any, edges: Any,
) -> Any:  # fmt: skip
    """Move ancestral material from children to the parents in [``span[0]``, ``span[1]``).

    Fills ``out_start`` int64 and ``out_count`` int32 of haplotypes 2p and 2p + 1 of each parent p, and adds to
    ``keep`` uint8 what migrating children ask for. Returns (places used, edges), or (-1, -1) where there is too
    little room, with nothing else changed that a second call would not overwrite.
    """
    most = np.int64(0)
    lists = np.int64(1)
    for p in range(span[0], span[1]):
        total = np.int64(0)
        for k in range(starts[p], starts[p + 1]):
            total += count[order[k]] + n_cuts[order[k]]
        most = max(most, total)
        lists = max(lists, starts[p + 1] - starts[p])
    piece_left = np.empty((2, most), np.uint32)
    piece_last = np.empty((2, most), np.uint32)
    piece_node = np.empty((2, most), np.int32)
    at = np.empty((2, lists), np.int64)
    end = np.empty((2, lists), np.int64)
    used = np.zeros(2, np.int64)
    out = room[0]
    n_edges = np.int64(0)
    for p in range(span[0], span[1]):
        n_lists = starts[p + 1] - starts[p]
        used[0] = 0
        used[1] = 0
        moved = np.uint8(0)
        for i in range(n_lists):
            h = order[starts[p] + i]
            at[0, i] = used[0]
            at[1, i] = used[1]
            cut_segments(
                left, last, node, start[h], count[h], cuts[h], n_cuts[h], firsts[h], piece_left, piece_last,
                piece_node, used,
            )  # fmt: skip
            end[0, i] = used[0]
            end[1, i] = used[1]
            if marked[h]:
                for strand in range(2):
                    if end[strand, i] > at[strand, i]:
                        moved |= np.uint8(1 << strand)
        for strand in range(2):
            h = 2 * p + strand
            own = np.int64(-1)
            if base >= 0:
                own = base + h
            if moved & np.uint8(1 << strand):
                keep[h] |= np.uint8(MIGRATION)
            begin = out
            if used[strand] > 0:
                out, n_edges = join_lists(
                    piece_left[strand], piece_last[strand], piece_node[strand], at[strand], end[strand], n_lists, own,
                    out_left, out_last, out_node, begin, room[1], edges, n_edges,
                )  # fmt: skip
                if out < 0:
                    return np.int64(-1), np.int64(-1)
            sampled = (keep[h] & np.uint8(SAMPLE)) != 0
            if sampled or (keep[h] and own >= 0):
                out, n_edges = keep_node(
                    max(own, 0), sampled, out_left, out_last, out_node, begin, out, room[1],
                    edges, n_edges,
                )  # fmt: skip
                if out < 0:
                    return np.int64(-1), np.int64(-1)
            out_start[h] = begin
            out_count[h] = out - begin
    return out - room[0], n_edges


@njit(nogil=True)
def segment_at(left: Any, last: Any, begin: Any, n: Any, x: Any) -> Any:
    """The place of the segment that holds axis position ``x`` (uint32), or -1."""
    low = begin
    high = begin + n
    while low < high:
        middle = (low + high) >> 1
        if last[middle] < x:
            low = middle + 1
        else:
            high = middle
    if low < begin + n and left[low] <= x:
        return low
    return np.int64(-1)


@njit(nogil=True, cache=True)
def nodes_at(hap: Any, axis: Any, start: Any, count: Any, left: Any, last: Any, node: Any, out: Any) -> None:
    """Fill ``out`` int32[n] with the node that carries position ``axis[i]`` (uint32) of haplotype ``hap[i]``; -1
    where that is not ancestral."""
    for i in range(hap.shape[0]):
        k = segment_at(left, last, start[hap[i]], count[hap[i]], axis[i])
        out[i] = node[k] if k >= 0 else -1


@njit(nogil=True)
def axis_index(axis: Any, n: Any, x: Any) -> Any:
    """Index of the first of ``n`` rising axis positions at or after ``x``."""
    low = np.int64(0)
    high = np.int64(n)
    while low < high:
        middle = (low + high) >> 1
        if np.int64(axis[middle]) < x:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def carried(
    rows: Any, haps: Any, start: Any, count: Any, left: Any, last: Any, node: Any, axis: Any, ids: Any, bits: Any,
    rare: Any, n_rare: Any, fixed: Any, fixed_axis: Any, out_id: Any, out_node: Any,
) -> Any:  # fmt: skip
    """List the mutations that haplotypes carry in their ancestral segments.

    ``rows`` int64[n] are rows of ``bits`` and ``rare`` (a deme's haplotypes), ``haps`` int64[n] their numbers in
    the segments. ``axis`` uint32[k + 1] and ``ids`` int32[k] are the common sites, ``fixed`` int32[f] what all
    carry, in order of ``fixed_axis``. Fills mutation id and node of each, and returns how many; only counts them
    where ``out_id`` is empty.
    """
    total = np.int64(0)
    write = out_id.shape[0] > 0
    n_sites = ids.shape[0]
    for r in range(rows.shape[0]):
        row = rows[r]
        h = haps[r]
        keys = rare[row]
        for i in range(start[h], start[h] + count[h]):
            a = np.int64(left[i])
            z = np.int64(last[i])
            j = axis_index(axis, n_sites, a)
            stop = axis_index(axis, n_sites, z + 1)
            while j < stop:
                w = j >> 6
                x = bits[row, w] >> np.uint64(j & 63)
                if x == np.uint64(0):
                    j = (w + 1) << 6
                    continue
                j += np.int64(lowest(x))
                if j < stop:
                    if write:
                        out_id[total] = ids[j]
                        out_node[total] = node[i]
                    total += 1
                j += 1
            low = np.int64(0)
            high = np.int64(n_rare[row])
            while low < high:
                middle = (low + high) >> 1
                if np.int64(keys[middle] >> _S32) < a:
                    low = middle + 1
                else:
                    high = middle
            while low < n_rare[row] and np.int64(keys[low] >> _S32) <= z:
                if write:
                    out_id[total] = np.int32(keys[low] & LOW32)
                    out_node[total] = node[i]
                total += 1
                low += 1
            f = axis_index(fixed_axis, fixed.shape[0], a)
            while f < fixed.shape[0] and np.int64(fixed_axis[f]) <= z:
                if write:
                    out_id[total] = fixed[f]
                    out_node[total] = node[i]
                total += 1
                f += 1
    return total
