# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that follow ancestral material, against tests/reference.py, position by position."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference as ref
from adapters import call

from admix.engines.native import lineage_kernels as lk
from admix.engines.native.bits import GOLDEN

END = 64
CHROM_AXIS = np.array([0, 20, 41, END], np.uint64)
MANY = range(60)


def segments(rng, positions=END, nodes=5, first=0):
    """A random haplotype's material, often with gaps, sometimes none or all of it; nodes from ``first`` on."""
    edges = np.sort(rng.choice(np.arange(positions + 1), rng.integers(1, 9), replace=False))
    material = {}
    for a, b in itertools.pairwise(edges):
        if rng.random() < 0.6:
            material |= dict.fromkeys(range(a, b), first + int(rng.integers(nodes)))
    return material


def runs(material):
    """(first, last, node) of stretches with one node."""
    out = []
    for x in sorted(material):
        if out and out[-1][1] == x - 1 and out[-1][2] == material[x]:
            out[-1][1] = x
        else:
            out.append([x, x, material[x]])
    return out


class Packed:
    """Materials as the kernels hold them, each at some place of long arrays."""

    def __init__(self, rng, materials):
        lists = [runs(m) for m in materials]
        self.count = np.array([len(one) for one in lists], np.int32)
        self.start = np.zeros(len(lists), np.int64)
        self.left = np.full(sum(map(len, lists)) + 7 * len(lists) + 1, 77, np.uint32)
        self.last, self.node = self.left.copy(), self.left.astype(np.int32)
        at = 0
        for i in rng.permutation(len(lists)):
            at += int(rng.integers(0, 7))
            self.start[i] = at
            for a, z, node in lists[i]:
                self.left[at], self.last[at], self.node[at] = a, z, node
                at += 1


def expand(left, last, node, start, count, *, whole=True):
    """The positions below END of a list of segments; they must be in order, and made one where ``whole``."""
    material = {}
    before = None
    for i in range(start, start + count):
        a, z, v = int(left[i]), int(last[i]), int(node[i])
        assert a <= z
        assert before is None or before[0] < a
        assert before is None or before != (a - 1, v) or not whole
        before = (z, v)
        material |= dict.fromkeys(range(a, min(z, END - 1) + 1), v)
    return material


def expand_edges(edges, n):
    found = [(x, int(p), int(c)) for a, z, p, c in edges[:, :n].T.tolist() for x in range(a, min(z, END - 1) + 1)]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("seed", MANY)
def test_cut_segments(seed):
    rng = np.random.default_rng(seed)
    material = segments(rng)
    packed = Packed(rng, [material])
    cuts = np.sort(rng.integers(0, END, rng.integers(0, 9))).astype(np.uint64)
    left = np.zeros((2, 40), np.uint32)
    last, node, used = left.copy(), left.astype(np.int32), np.array([3, 1])
    first = int(rng.integers(2))
    call(
        lk.cut_segments, packed.left, packed.last, packed.node, packed.start[0], packed.count[0], cuts, len(cuts),
        first, left, last, node, used,
    )  # fmt: skip
    want = ref.cut_segments(material, cuts.tolist(), first)
    for side, begin in ((0, 3), (1, 1)):
        # two cuts in one place leave two pieces
        assert expand(left[side], last[side], node[side], begin, used[side] - begin, whole=False) == want[side]


@pytest.mark.parametrize("own", [99, 0, -1])
@pytest.mark.parametrize("seed", MANY)
def test_join_lists_and_keep_node(seed, own):
    rng = np.random.default_rng(seed)
    nodes = 5 if own >= 0 else 1
    # two haplotypes never have the same node at one position
    materials = [segments(rng, nodes=nodes, first=20 * i * (own >= 0)) for i in range(rng.integers(1, 5))]
    if own == 0:
        materials = [{x: v + 1 for x, v in m.items()} for m in materials]
    packed = Packed(rng, materials)
    left, last, node = np.zeros(99, np.uint32), np.zeros(99, np.uint32), np.zeros(99, np.int32)
    edges = np.zeros((4, 200), np.uint32)
    at, end = packed.start.copy(), packed.start + packed.count
    args = packed.left, packed.last, packed.node
    again = [a.copy() for a in args]
    out, n = call(lk.join_lists, *args, at, end, len(materials), own, left, last, node, 4, 99, edges, 2)
    want, want_edges = ref.join_lists(materials, own)
    assert expand(left, last, node, 4, out - 4) == want
    assert expand_edges(edges[:, 2:], n - 2) == want_edges
    if out > 4:  # one place less is too little
        args = [a.copy() for a in again]
        at = packed.start.copy()
        short = call(lk.join_lists, *args, at, end, len(materials), own, left, last, node, 4, 4, edges, 2)
        assert short == (-1, -1)
    if n > 2:
        at = packed.start.copy()
        few = np.zeros((4, n - 1), np.uint32)
        scrap = left.copy(), last.copy(), node.copy()
        assert call(lk.join_lists, *again, at, end, len(materials), own, *scrap, 4, 99, few, 2) == (-1, -1)
    if own == 99:
        whole = bool(seed % 2)
        kept, n = call(lk.keep_node, own, whole, left, last, node, 4, out, 99, edges, 0)
        material, want_edges = ref.keep_node(want, own, range(END) if whole else ())
        assert expand(left, last, node, 4, kept - 4) == material
        assert expand_edges(edges, n) == want_edges
        if n:
            few = np.zeros((4, n - 1), np.uint32)
            node[4:out] = 3
            assert call(lk.keep_node, own, whole, left, last, node, 4, out, 99, few, 0) == (-1, -1)


@pytest.mark.parametrize("seed", MANY)
def test_children_by_parent(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    parent = rng.integers(-1, n, 2 * n).astype(np.int32)
    count = rng.integers(0, 2, 2 * n).astype(np.int32)
    starts, order = np.zeros(n + 1, np.int64), np.zeros(2 * n, np.int32)
    total = call(lk.children_by_parent, parent, count, starts, order)
    want = ref.children_by_parent(parent.tolist(), count.tolist(), n)
    assert [order[starts[i] : starts[i + 1]].tolist() for i in range(n)] == want
    assert total == sum(map(len, want))


@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize("seed", MANY)
def test_climb(seed, trees):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    materials = [segments(rng, nodes=5 if trees else 1, first=20 * i * trees) for i in range(2 * n + 3)]
    packed = Packed(rng, materials)
    size = len(materials)
    parent = rng.integers(0, n, size).astype(np.int32)
    starts, order = np.zeros(n + 1, np.int64), np.zeros(size, np.int32)
    call(lk.children_by_parent, parent, packed.count, starts, order)
    keys = np.array([11, 12], np.uint64)
    deme = rng.integers(0, 2, size).astype(np.int16)
    number = rng.permutation(size)
    marked = (rng.random(size) < 0.1).astype(np.uint8)
    cdf = np.array([[1 << 30, 3 << 30, 1 << 32, 1 << 32], [1 << 31, 1 << 32, 1 << 32, 1 << 32],
                    [1 << 28, 1 << 29, 1 << 31, 1 << 32]], np.uint64)  # fmt: skip
    meioses = []
    for h in range(size):
        draws = ref.Draws(ref.stream(int(keys[deme[h]]), 31, int(number[h])))
        draws.next()
        meioses.append(ref.crossovers(draws, CHROM_AXIS.tolist(), cdf.tolist()))
    wanted_cuts = (packed.count > 0).astype(np.uint8)
    cuts = np.full((size, 12), 7, np.uint32)
    n_cuts, firsts = np.zeros(size, np.int32), np.zeros(size, np.int8)
    room = np.array([0, size])
    longest = call(lk.draw_cuts, room, keys, 31, deme, number, wanted_cuts, CHROM_AXIS, cdf, cuts, n_cuts, firsts)
    for h, meiosis in enumerate(meioses):
        if wanted_cuts[h]:
            assert cuts[h, : n_cuts[h]].tolist() == meiosis.cuts()
            assert firsts[h] == meiosis.first
        else:
            assert (n_cuts[h], cuts[h, 0]) == (0, 7)
    assert longest == n_cuts.max()
    narrow = np.full((size, 1), 7, np.uint32)
    again = call(lk.draw_cuts, room, keys, 31, deme, number, wanted_cuts, CHROM_AXIS, cdf, narrow, n_cuts, firsts)
    assert again == longest  # the lists that were too long are left alone
    assert [narrow[h, 0] == 7 for h in range(size)] == [n_cuts[h] != 1 for h in range(size)]
    base = 500 if trees else -1
    keep = rng.choice([0, 0, 0, lk.CENSUS, lk.SAMPLE, lk.CENSUS | lk.SAMPLE], 2 * n).astype(np.uint8)
    asked = keep.copy()
    place, count = np.zeros(2 * n, np.int64), np.zeros(2 * n, np.int32)
    left, last, node = np.zeros(900, np.uint32), np.zeros(900, np.uint32), np.zeros(900, np.int32)
    edges = np.zeros((4, 900 if trees else 0), np.uint32)
    cut = int(rng.integers(0, n + 1))
    found = set()
    for span, room in (((0, cut), (5, 400)), ((cut, n), (400, 900))):
        used, n_edges = call(
            lk.climb, cuts, n_cuts, firsts, marked, starts, order, np.array(span), packed.start, packed.count,
            packed.left, packed.last, packed.node, base, asked, place, count, left, last, node,
            np.array(room), edges,
        )  # fmt: skip
        assert 0 <= used <= room[1] - room[0]
        found |= expand_edges(edges, n_edges)
    wanted = set()
    for p in range(n):
        children = []
        for h in range(size):
            if parent[h] == p and materials[h]:
                meiosis = meioses[h]
                children.append(ref.Child(materials[h], meiosis.cuts(), meiosis.first, bool(marked[h])))
        bases = (base + 2 * p, base + 2 * p + 1) if trees else (-1, -1)
        reasons = int(keep[2 * p]), int(keep[2 * p + 1])
        want, want_edges, why = ref.climb(children, bases, reasons, range(END))
        for side in (0, 1):
            h = 2 * p + side
            assert expand(left, last, node, place[h], count[h]) == want[side]
            assert asked[h] == why[side]
        wanted |= want_edges
    assert found == wanted
    if (count > 0).any():
        short = call(
            lk.climb, cuts, n_cuts, firsts, marked, starts, order, np.array([0, n]), packed.start, packed.count,
            packed.left, packed.last, packed.node, base, asked, place, count, left, last, node,
            np.array([5, 5]), edges,
        )  # fmt: skip
        assert short == (-1, -1)


@pytest.mark.parametrize("seed", MANY)
def test_nodes_at(seed):
    rng = np.random.default_rng(seed)
    materials = [segments(rng) for _ in range(4)]
    packed = Packed(rng, materials)
    hap, axis = rng.integers(0, 4, 50), rng.integers(0, END, 50).astype(np.uint32)
    out = np.zeros(50, np.int32)
    call(lk.nodes_at, hap, axis, packed.start, packed.count, packed.left, packed.last, packed.node, out)
    assert out.tolist() == ref.nodes_at(materials, zip(hap.tolist(), axis.tolist(), strict=True))


@pytest.mark.parametrize("seed", MANY)
def test_carried(seed):
    rng = np.random.default_rng(seed)
    n_sites = int(rng.integers(0, 140))
    axis = np.sort(rng.integers(0, END, n_sites)).astype(np.uint32)
    ids = rng.permutation(n_sites).astype(np.int32)
    n = 3
    bits = np.zeros((n, 3), np.uint64)
    rare = np.full((n, 30), np.uint64(2**64 - 1))
    n_rare = np.zeros(n, np.int32)
    fixed = np.arange(300, 300 + rng.integers(0, 5), dtype=np.int32)
    fixed_axis = np.sort(rng.integers(0, END, len(fixed))).astype(np.uint32)
    haplotypes = []
    for r in range(n):
        have = {}
        for j in np.flatnonzero(rng.random(n_sites) < 0.2):
            bits[r, j // 64] |= np.uint64(1 << (int(j) % 64))
            have[int(ids[j])] = int(axis[j])
        keys = sorted((int(x), 200 + k) for k, x in enumerate(rng.integers(0, END, rng.integers(0, 9))))
        n_rare[r] = len(keys)
        for k, (x, m) in enumerate(keys):
            rare[r, k] = np.uint64((x << 32) | m)
            have[m] = x
        haplotypes.append(have | dict(zip(fixed.tolist(), fixed_axis.tolist(), strict=True)))
    materials = [segments(rng) for _ in range(n)]
    packed = Packed(rng, materials)
    closed = np.append(axis, np.uint32(2**32 - 1))
    none = np.zeros(0, np.int32)
    rows = np.arange(n)
    args = (
        rows, rows, packed.start, packed.count, packed.left, packed.last, packed.node, closed, ids, bits, rare,
        n_rare, fixed, fixed_axis,
    )  # fmt: skip
    total = call(lk.carried, *args, none, none)
    out_id, out_node = np.zeros(total, np.int32), np.zeros(total, np.int32)
    if total:
        assert call(lk.carried, *args, out_id, out_node) == total
    assert sorted(zip(out_id.tolist(), out_node.tolist(), strict=True)) == ref.carried(materials, haplotypes)


def test_streams_are_those_of_the_forward_pass():
    """The draw that chose the parent comes first in a gamete's stream, so the crossovers start after it."""
    from admix.engines.native.bits import stream

    draws = ref.Draws(ref.stream(5, 6, 7))
    draws.next()
    with np.errstate(over="ignore"):
        assert int(stream(np.uint64(5), 6, 7) + GOLDEN) % 2**64 == draws.state
