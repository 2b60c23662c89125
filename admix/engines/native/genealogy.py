# SPDX-License-Identifier: GPL-3.0-or-later
"""From a branch that has run to the records of its tree files: one genealogy a chromosome, in base pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from admix import seeds
from admix.base_axis import BaseAxis, base_axis
from admix.engines.native import lineage_kernels as lk
from admix.engines.native.backward import Backward, Genealogy, Material, mutations_carried
from admix.engines.native.branch import Branch
from admix.engines.native.history import Past
from admix.engines.native.pedigree import Pedigree
from admix.engines.native.snapshot import Arrays, unpack_worlds
from admix.engines.native.world import World
from admix.genome import Genome
from admix.trees import CENSUS, MIGRANT, NEW, STANDING, ChromosomeRecord

Report = Callable[[float, str], None]
_SAMPLE = 1
"""tskit's flag of a sample node."""
_STANDING_IDS = 2**61
"""Ids of standing mutations begin here; those of new ones say tick, haplotype and number, and are smaller."""


@dataclass(slots=True)
class _Placed:
    """Mutations on the trees: place on the target, node, and what their metadata hold; arrays of one length."""

    site: np.ndarray
    node: np.ndarray
    tick: np.ndarray
    id: np.ndarray
    s: np.ndarray
    kind: np.ndarray
    deme: np.ndarray


def chromosome_records(
    branch: Branch,
    lineages: Sequence[Arrays],
    genome: Genome,
    report: Report = lambda fraction, note: None,
    past: Past | None = None,
) -> Iterator[ChromosomeRecord]:
    """Yield the genealogy of the people that a branch has sampled, chromosome by chromosome.

    Lineages are followed to the tick before the first pulse, or to the split. There, and in the tick of every pulse
    and the one before it, all of them have a node. Mutations that arose on the way are on the trees; those that are
    older lie on each of the oldest nodes that carries them.

    Parameters
    ----------
    branch
        A branch that has run, with people sampled.
    lineages
        The worlds that it began with.
    genome
        Its genome.
    report
        Told the fraction of ticks that is done.
    past
        Given it, lineages are followed on to the last cohort of the common ancestor.
    """
    found, roots = _go_back(branch, lineages, report, past)
    mutations = _mutations(branch, lineages, found, roots, past)
    trace = _Trace(branch, found)
    axis = base_axis(genome)
    edges = np.concatenate([*found.edges, np.zeros((4, 0), np.uint32)], axis=1)
    found.edges.clear()
    chrom_axis = genome.chrom_axis.astype(np.int64)
    low = np.searchsorted(chrom_axis, edges[0], side="right") - 1
    high = np.searchsorted(chrom_axis, edges[1], side="right") - 1
    chrom, bp = genome.target_positions(mutations.site)
    for c in range(len(genome.chroms)):
        own = np.flatnonzero((low <= c) & (c <= high))
        here = np.flatnonzero(chrom == c)
        yield _record(genome, axis, c, edges[:, own], trace, mutations, here, bp[here])


def sample_order(samples: Mapping[int, Mapping[int, np.ndarray]]) -> list[tuple[int, int, int]]:
    """(tick, deme, individual) of all sampled people in the order of the tree files: oldest first, then by deme."""
    return [(t, d, int(i)) for t in sorted(samples) for d in sorted(samples[t]) for i in samples[t][d]]


def _go_back(
    branch: Branch, lineages: Sequence[Arrays], report: Report, past: Past | None
) -> tuple[Genealogy, Material]:
    schedule, world, last, stop = branch.schedule, branch.world, branch.plan.last, branch.first - 1
    demes = range(len(schedule.deme_names))
    pedigree = branch.pedigree
    census = {t for p in schedule.pulses for t in (p.tick - 1, p.tick)}
    if past is not None:
        stop = 0
        census |= {0}
        pedigree = Pedigree(dict(pedigree.births), dict(pedigree.sizes))
        for arrays in lineages:
            for tick, births in Pedigree.unpack(arrays).births.items():
                pedigree.births[tick] = pedigree.births.get(tick, {}) | births

    def key(purpose: str, deme: int, tick: int) -> int:
        if past is None or tick >= branch.first:
            return int(world.stream_key(purpose, deme))
        return seeds.stream_key("burnin", past.stage_of[deme], purpose, schedule.deme_names[deme])

    def sizes(tick: int) -> dict[int, int]:
        living = pedigree.births.get(tick)
        here = living if living is not None else [d for d in demes if schedule.exists(d, tick)]
        return {d: schedule.size(d, tick) for d in here}

    def seen(material: Material) -> None:
        done = (last - material.tick + 1) / (last - stop + 1)
        report(done, f"{last - material.tick:,} of {last - stop:,} generations back")

    backward = Backward(
        branch.tables, world.workers, pedigree, key, sizes, branch.plan.samples, census=census,
        mutations=world.selected,
    )  # fmt: skip
    roots = backward.run(max(branch.plan.samples), stop, seen)
    return backward.found, roots


def _mutations(
    branch: Branch, lineages: Sequence[Arrays], found: Genealogy, roots: Material, past: Past | None
) -> _Placed:
    schedule, first = branch.schedule, roots.tick
    born = found.born
    none = np.zeros(0, np.int64)
    tick = np.concatenate([none, *(b.tick for b in born)])
    haplotype = np.concatenate([none, *(b.haplotype for b in born)])
    number = np.concatenate([none, *(b.number for b in born)])
    node = np.concatenate([none, *(b.node for b in born)])
    deme = np.zeros(len(tick), np.int16)
    offset_of = dict(zip(found.ticks, found.offsets, strict=True))
    for t in np.unique(tick).tolist():
        own = tick == t
        starts = np.array([2 * at for at in offset_of[t].values()])
        deme[own] = np.array(list(offset_of[t]))[np.searchsorted(starts, haplotype[own], side="right") - 1]
    new = _Placed(
        np.concatenate([none, *(b.site for b in born)]), node, tick, ((tick - first) << 40) | (haplotype << 8) | number,
        np.concatenate([np.zeros(0), *(b.s for b in born)]), np.full(len(tick), NEW, np.int8), deme,
    )  # fmt: skip
    if not branch.world.selected:
        return new
    world = World(branch.tables, schedule.deme_names, lambda purpose, deme: 0, branch.world.workers)
    unpack_worlds(world, lineages if past is None else [past.ancestor])
    if past is not None:
        # fixed in the common ancestor, so in everybody: the engine forgets them at the split
        world.demes[schedule.root].fixed = np.zeros(0, np.int32)
    ids, nodes = mutations_carried(world, roots)
    m = world.mutations
    old = _Placed(
        m["site"][ids], nodes.astype(np.int64), m["born"][ids].astype(np.int64), _STANDING_IDS + ids.astype(np.int64),
        m["s"][ids], np.full(len(ids), STANDING, np.int8), m["lineage"][ids],
    )  # fmt: skip
    return _Placed(*(np.concatenate([getattr(new, f), getattr(old, f)]) for f in _Placed.__slots__))


class _Trace:
    """Tick, deme, flags and individual of a genealogy's nodes."""

    def __init__(self, branch: Branch, found: Genealogy) -> None:
        self.bases, self.ticks = np.array(found.bases), np.array(found.ticks)
        starts, demes = [], []
        for base, offsets in zip(found.bases, found.offsets, strict=True):
            starts += [base + 2 * at for at in offsets.values()]
            demes += list(offsets)
        self.starts, self.demes = np.array(starts), np.array(demes, np.int16)
        none = np.zeros(0, np.int64)
        self.kept = np.concatenate([none, *found.kept])
        reason = np.concatenate([none.astype(np.uint8), *found.reason])
        order = np.argsort(self.kept)
        self.kept, reason = self.kept[order], reason[order]
        self.flags = np.zeros(len(reason), np.uint32)
        for bit, flag in ((lk.SAMPLE, _SAMPLE), (lk.CENSUS, CENSUS), (lk.MIGRATION, MIGRANT)):
            self.flags[(reason & bit) != 0] |= np.uint32(flag)
        place = dict(zip(found.ticks, zip(found.bases, found.offsets, strict=True), strict=True))
        people = sample_order(branch.plan.samples)
        firsts = [place[t][0] + 2 * (place[t][1][d] + i) for t, d, i in people]
        self.sample_nodes = np.array([v + strand for v in firsts for strand in (0, 1)])
        self.individual_of_sample = dict(zip((v // 2 for v in firsts), range(len(firsts)), strict=True))
        self.n_samples = len(people)

    def flags_of(self, node: np.ndarray) -> np.ndarray:
        at = np.minimum(np.searchsorted(self.kept, node), len(self.kept) - 1)
        return np.where(self.kept[at] == node, self.flags[at], np.uint32(0)).astype(np.uint32)

    def individuals_of(self, node: np.ndarray, flags: np.ndarray) -> np.ndarray:
        """Keys of individuals: sampled people come first, in order; people of a census follow."""
        key = np.where(flags & np.uint32(_SAMPLE | CENSUS), node // 2 + self.n_samples, -1)
        sampled = np.flatnonzero(flags & np.uint32(_SAMPLE))
        key[sampled] = [self.individual_of_sample[v // 2] for v in node[sampled].tolist()]
        return key


def _record(
    genome: Genome, axis: BaseAxis, c: int, edges: np.ndarray, trace: _Trace, mutations: _Placed, here: np.ndarray,
    bp: np.ndarray,
) -> ChromosomeRecord:  # fmt: skip
    low, high = genome.chrom_axis[c], genome.chrom_axis[c + 1]
    left = np.maximum(edges[0].astype(np.uint64), low)
    end = np.minimum(edges[1].astype(np.uint64) + np.uint64(1), high)
    node = np.unique(np.concatenate([edges[2], edges[3], trace.sample_nodes]).astype(np.int64))
    flags = trace.flags_of(node)
    tick = trace.ticks[np.searchsorted(trace.bases, node, side="right") - 1]
    deme = trace.demes[np.searchsorted(trace.starts, node, side="right") - 1]
    # a standing mutation may lie on a root that has nothing but coalesced material elsewhere
    above = np.searchsorted(node, mutations.node[here])
    on = node[np.minimum(above, len(node) - 1)] == mutations.node[here]
    here, above, bp = here[on], above[on], bp[on]
    return ChromosomeRecord(
        chrom=genome.chroms[c],
        length=int(genome.window_end[genome.window_chrom == c].max()),
        node_tick=tick.astype(np.int32),
        node_deme=deme,
        node_flags=flags,
        node_individual=trace.individuals_of(node, flags),
        edge_left=axis.first_base(c, left),
        edge_right=axis.first_base(c, end),
        edge_parent=np.searchsorted(node, edges[2]).astype(np.int32),
        edge_child=np.searchsorted(node, edges[3]).astype(np.int32),
        mutation_bp=bp,
        mutation_node=above.astype(np.int32),
        mutation_tick=mutations.tick[here].astype(np.int32),
        mutation_id=mutations.id[here],
        mutation_s=mutations.s[here],
        mutation_kind=mutations.kind[here],
        mutation_deme=mutations.deme[here],
    )
