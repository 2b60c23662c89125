# SPDX-License-Identifier: GPL-3.0-or-later
"""The genealogy of sampled genomes, rebuilt after the run from the parents that it kept.

Nothing but the parent of each gamete is kept while a branch runs. Crossovers and new mutations come from
counter-based streams, so those of the gametes that are ancestral to the sample can be drawn again; the rest is
never looked at. Lineages are followed back tick by tick, and edges are written only where they coalesce, where a
sampled person is met, and where nodes are asked for (a census, a migration). Kelleher, Etheridge & McVean 2016
(doi:10.1371/journal.pcbi.1004842) do the same with the coalescent's pedigree in place of a known one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from admix.engines.native import gametes as gk
from admix.engines.native import lineage_kernels as lk
from admix.engines.native.mutations import COLUMNS
from admix.engines.native.pedigree import Pedigree
from admix.engines.native.tables import Tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.errors import RunError

Keys = Callable[[str, int, int], int]
"""``key(purpose, deme, tick)``: the key of the stream that the forward pass used."""
Sizes = Callable[[int], Mapping[int, int]]
"""``sizes(tick)``: individuals of each deme whose cohort may have descendants in the sample."""
_MOST_NODES = 2**31 - 1


@dataclass(slots=True)
class Material:
    """Ancestral material of one tick's haplotypes; see :mod:`admix.engines.native.lineage_kernels`.

    ``offset`` is the number of each deme's first individual among all of the tick, ``n`` their number.
    """

    tick: int
    offset: dict[int, int]
    n: int
    start: np.ndarray
    count: np.ndarray
    left: np.ndarray
    last: np.ndarray
    node: np.ndarray

    @classmethod
    def none(cls, tick: int, sizes: Mapping[int, int]) -> Material:
        """Nobody's material yet."""
        offset, n = {}, 0
        for deme in sorted(sizes):
            offset[deme] = n
            n += sizes[deme]
        empty = np.zeros(0, np.uint32)
        return cls(
            tick, offset, n, np.zeros(2 * n, np.int64), np.zeros(2 * n, np.int32), empty, empty, np.zeros(0, np.int32)
        )

    @property
    def segments(self) -> int:
        """How many segments there are in all."""
        return int(self.count.sum())

    def holders(self) -> int:
        """Individuals with any material."""
        return int(((self.count[0::2] > 0) | (self.count[1::2] > 0)).sum())


@dataclass(frozen=True, slots=True)
class Children:
    """How one tick's haplotypes were made: arrays with an entry for each.

    ``parent`` int32 (number of the individual among all of the tick before, -1: none); ``marked`` uint8 whether a
    lineage keeps nodes on the way; ``drawn`` bool for whom the rest is known: ``cuts`` uint32, ``n_cuts`` and
    ``firsts``, see :func:`admix.engines.native.lineage_kernels.draw_cuts`.
    """

    parent: np.ndarray
    marked: np.ndarray
    drawn: np.ndarray
    cuts: np.ndarray
    n_cuts: np.ndarray
    firsts: np.ndarray


@dataclass(slots=True)
class Born:
    """Mutations that arose on the sample's lineages: arrays of one length."""

    tick: np.ndarray
    haplotype: np.ndarray
    number: np.ndarray
    site: np.ndarray
    s: np.ndarray
    node: np.ndarray


@dataclass(slots=True)
class Genealogy:
    """What a backward pass has found, in axis positions.

    ``edges`` uint32[4, e]: first and last position (both included), parent, child. Node v is haplotype
    ``v - base`` of the tick whose ``base`` is the last at or below v; ``ticks`` and ``bases`` are in order of
    falling tick. ``kept`` are the nodes kept for a reason, ``reason`` the bits of it. ``offsets`` are each
    tick's demes and their first individuals.
    """

    ticks: list[int] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    offsets: list[dict[int, int]] = field(default_factory=list)
    edges: list[np.ndarray] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    reason: list[np.ndarray] = field(default_factory=list)
    born: list[Born] = field(default_factory=list)


class Backward:
    """Follows the genomes of sampled people back through a pedigree.

    Parameters
    ----------
    tables, workers
        As of the forward pass.
    pedigree
        Births of every tick that is to be passed.
    key
        Streams of the forward pass.
    sizes
        Individuals by tick and deme.
    samples
        Numbers of the sampled individuals (ascending) by tick and deme.
    census
        Ticks in which every haplotype with ancestral material gets a node.
    nodes : bool
        False: only which material is ancestral is followed, no tree.
    mutations : bool
        Whether mutations arose in the forward pass and are wanted.
    """

    def __init__(
        self,
        tables: Tables,
        workers: Workers,
        pedigree: Pedigree,
        key: Keys,
        sizes: Sizes,
        samples: Mapping[int, Mapping[int, np.ndarray]],
        *,
        census: Collection[int] = (),
        nodes: bool = True,
        mutations: bool = False,
    ) -> None:
        self.tables, self.workers, self.pedigree, self.key, self.sizes = tables, workers, pedigree, key, sizes
        self.samples = {tick: dict(who) for tick, who in samples.items()}
        self.census = frozenset(census)
        self.nodes, self.mutations = nodes, mutations
        self.found = Genealogy()
        self._spare: Material | None = None
        self._next = 0
        self._made: tuple[int, Children] | None = None
        self._cut_room = 96

    def run(self, last: int, stop: int, seen: Callable[[Material], None] = lambda material: None) -> Material:
        """Go from tick ``last`` back to ``stop``; ``seen`` is told of each tick's material on the way.

        Returns the material of ``stop``, whose arrays stay as they are.
        """
        now = self.begin(last)
        while now.tick > stop:
            now = self.step(now)
            seen(now)
        return now

    def begin(self, last: int) -> Material:
        """Nobody's material, in the tick after ``last``."""
        return Material.none(last + 1, {})

    def step(self, child: Material, like: Backward | None = None) -> Material:
        """Material of the tick before that of ``child``.

        ``like``, another pass over the same pedigree that has just made the same step, saves work.
        """
        tick = child.tick - 1
        if self.mutations and child.n:
            self._mutations_born(child)
        made = Material.none(tick, self.sizes(tick))
        keep, base = self._keep(made), self._base(made)
        known = like._made if like is not None else None
        # crossovers are drawn for those alone who are ancestral in that pass
        if known is None or known[0] != child.tick or ((child.count > 0) & ~known[1].drawn).any():
            known = child.tick, self._children(child, made)
        self._made = known
        who = known[1]
        starts = np.zeros(made.n + 1, np.int64)
        order = np.zeros(len(who.parent), np.int32)
        total = lk.children_by_parent(who.parent, child.count, starts, order)
        loads = np.zeros(total + 1, np.int64)
        np.cumsum(child.count[order[:total]], out=loads[1:])
        before = loads[starts] + lk.ROOM * starts
        cuts = np.linspace(0, before[-1], self.workers.threads + 1)
        bounds = np.searchsorted(before, cuts)
        bounds[0], bounds[-1] = 0, made.n
        spans = [np.array(b, np.int64) for b in pairwise(bounds) if b[1] > b[0]]
        factor = 2
        while True:
            sampled = [int(((keep[2 * a : 2 * b] & lk.SAMPLE) != 0).sum()) for a, b in spans]
            rooms = [int(factor * (before[b] - before[a])) + n + 8 for (a, b), n in zip(spans, sampled, strict=True)]
            places = np.concatenate([[0], np.cumsum(rooms)]).astype(np.int64)
            self._give_room(made, int(places[-1]))
            edges = [np.empty((4, room if self.nodes else 0), np.uint32) for room in rooms]
            asked = keep.copy()

            def kernel(i: int, edges: list[np.ndarray] = edges, places: np.ndarray = places, asked: np.ndarray = asked
                       ) -> tuple[int, int]:  # fmt: skip
                return lk.climb(
                    who.cuts, who.n_cuts, who.firsts, who.marked, starts, order, spans[i], child.start, child.count,
                    child.left, child.last, child.node, base, asked, made.start, made.count, made.left, made.last,
                    made.node, places[i : i + 2], edges[i],
                )  # fmt: skip

            used = self.workers.each(range(len(spans)), kernel)
            if all(u[0] >= 0 for u in used):
                break
            factor *= 2
        self._spare = child
        if self.nodes:
            found = self.found
            found.ticks.append(tick)
            found.bases.append(base)
            found.offsets.append(made.offset)
            found.edges += [e[:, : u[1]].copy() for e, u in zip(edges, used, strict=True) if u[1]]
            kept = np.flatnonzero((asked > 0) & (made.count > 0))
            if len(kept):
                found.kept.append(base + kept)
                found.reason.append(asked[kept])
        return made

    def _base(self, made: Material) -> int:
        if not self.nodes:
            return -1
        base, self._next = self._next, self._next + 2 * made.n
        if self._next > _MOST_NODES:
            raise RunError("trees", "more haplotypes in all ticks than nodes can be numbered", "sample fewer ticks")
        return base

    def _give_room(self, made: Material, room: int) -> None:
        """Give ``made`` arrays for its segments: those of the tick before last where they are long enough."""
        old = self._spare
        if old is not None and room <= len(old.left) <= 4 * room + 4096:
            made.left, made.last, made.node = old.left, old.last, old.node
        else:
            room += room // 4
            made.left, made.last = np.empty(room, np.uint32), np.empty(room, np.uint32)
            made.node = np.empty(room, np.int32)

    def _keep(self, made: Material) -> np.ndarray:
        keep = np.zeros(2 * made.n, np.uint8)
        if made.tick in self.census:
            keep |= np.uint8(lk.CENSUS)
        elif self.nodes and made.tick in self.pedigree.births:
            for deme, birth in self.pedigree.births[made.tick].items():
                for group in birth.groups:
                    if group.plane >= 0 and deme in made.offset:
                        keep[2 * made.offset[deme] + group.rows] |= np.uint8(lk.MIGRATION)
        for deme, who in self.samples.get(made.tick, {}).items():
            for strand in range(2):
                keep[2 * (made.offset[deme] + who) + strand] |= np.uint8(lk.SAMPLE)
        return keep

    def _children(self, child: Material, made: Material) -> Children:
        size = 2 * child.n
        keys = np.zeros(max(child.offset, default=0) + 1, np.uint64)
        deme, number = np.zeros(size, np.int16), np.zeros(size, np.int64)
        marked, parent = np.zeros(size, np.uint8), np.full(size, -1, np.int32)
        for d, at in child.offset.items():
            birth = self.pedigree.births[child.tick].get(d)
            if birth is None:
                continue
            n = len(birth.parents)
            here = slice(2 * at, 2 * at + n)
            keys[d] = np.uint64(self.key("gametes", d, child.tick))
            deme[here] = d
            number[here] = np.arange(n)
            for group in birth.groups:
                rows = 2 * at + group.rows
                parent[rows] = made.offset[group.source] + birth.parents[group.rows].astype(np.int32)
                marked[rows] = group.plane >= 0 and child.tick not in self.census
        drawn = (child.count > 0) & (parent >= 0)
        firsts, n_cuts = np.zeros(size, np.int8), np.zeros(size, np.int32)
        t = self.tables
        room = self._cut_room
        while True:
            cuts = np.empty((size, room), np.uint32)

            def kernel(span: np.ndarray, cuts: np.ndarray = cuts) -> int:
                return lk.draw_cuts(
                    span, keys, child.tick, deme, number, drawn.view(np.uint8), t.chrom_axis, t.crossover_cdf, cuts,
                    n_cuts, firsts,
                )  # fmt: skip

            longest = max(self.workers.run(size, kernel), default=0)
            if longest <= room:
                break
            room = self._cut_room = longest + longest // 4
        return Children(parent, marked, drawn, cuts, n_cuts, firsts)

    # ------------------------------------------------------------------ mutations

    def _mutations_born(self, now: Material) -> None:
        """Draw again the mutations of one tick, and keep those on ancestral material."""
        t = self.tables
        for deme, at in now.offset.items():
            birth = self.pedigree.births[now.tick].get(deme)
            if birth is None:
                continue
            n2 = len(birth.parents)
            if not now.count[2 * at : 2 * at + n2].any():
                continue
            key = np.uint64(self.key("mutations", deme, now.tick))
            counts = np.empty(n2, np.int64)
            gk.count_mutations(key, now.tick, t.mutation_cdf, counts)
            counts[now.count[2 * at : 2 * at + n2] == 0] = 0
            offset = np.zeros(n2 + 1, np.int64)
            np.cumsum(counts, out=offset[1:])
            m: dict[str, np.ndarray] = {name: np.empty(int(offset[-1]), kind) for name, kind in COLUMNS.items()}
            gk.new_mutations(
                key, now.tick, np.array([0, n2], np.int64), offset, np.arange(offset[-1]), t.target_cum,
                t.target_guide, t.target_axis_start, t.target_axis_end, t.s_nodes, t.h_bins, m["site"], m["axis"],
                m["s"], m["h"], m["effect"], m["correction"], m["uid"], m["born"],
            )  # fmt: skip
            hap = np.repeat(np.arange(n2), counts)
            node = np.empty(len(hap), np.int32)
            lk.nodes_at(2 * at + hap, m["axis"], now.start, now.count, now.left, now.last, now.node, node)
            on = node >= 0
            number = np.arange(len(hap)) - offset[hap]
            ticks = np.full(int(on.sum()), now.tick)
            self.found.born.append(Born(ticks, 2 * at + hap[on], number[on], m["site"][on], m["s"][on], node[on]))


def mutations_carried(world: World, now: Material) -> tuple[np.ndarray, np.ndarray]:
    """Ids (int32, in ``world``) and nodes (int32) of the mutations that a tick's ancestral material carries.

    ``world`` is the living population of that tick.
    """
    none = np.zeros(0, np.int32)
    ids, nodes = [none], [none]
    for deme in now.offset:
        n = _carried(world, now, deme, none, none)
        ids.append(np.empty(n, np.int32))
        nodes.append(np.empty(n, np.int32))
        if n:
            _carried(world, now, deme, ids[-1], nodes[-1])
    return np.concatenate(ids), np.concatenate(nodes)


def _carried(world: World, now: Material, deme: int, out_id: np.ndarray, out_node: np.ndarray) -> int:
    living, axis = world.demes[deme], world.mutations["axis"]
    first = 2 * now.offset[deme]
    rows = np.flatnonzero(now.count[first : first + 2 * living.n])
    fixed = living.fixed[np.argsort(axis[living.fixed], kind="stable")]
    layout = living.layout
    return int(
        lk.carried(
            rows, first + rows, now.start, now.count, now.left, now.last, now.node, layout.axis, layout.ids,
            living.rows.bits, living.rows.rare, living.rows.n_rare, fixed, axis[fixed], out_id, out_node,
        )
    )  # fmt: skip
