# SPDX-License-Identifier: GPL-3.0-or-later
"""A forward simulation in plain Python that writes down everything, and the record that the engine would make of it.

Each gamete is a node, and the mutations that it carries are followed as a set, so that what a tree file says can be
compared with what happened.
"""

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
import small
import tskit

from admix import schedule as schedules
from admix.genome import Genome, from_files
from admix.scenario import Scenario
from admix.timeline import Schedule
from admix.trees import CENSUS, NEW, STANDING, ChromosomeRecord, TreeLabels, run_digest

ANCESTRAL, MODERN, ARCHAIC = 0, 1, 2
PEOPLE = [{"deme": "modern", "n": 5}, {"deme": "modern", "time": 20, "n": 3}]


def scenario(**changes) -> Scenario:
    """The small scenario (tick 0: split; 59: parents; 60: generation 1; 90: today), with sampled people."""
    sampling = {"ancestors_at": [40], "individuals": PEOPLE}
    return small.scenario(**({"sampling": sampling} | changes)).with_run(seed=3)


@dataclass(frozen=True, kw_only=True)
class Toy:
    """What happened on one chromosome: the record of it, and the mutations that each sampled haplotype carries."""

    scenario: Scenario
    schedule: Schedule
    genome: Genome
    labels: TreeLabels
    record: ChromosomeRecord
    carried: list[dict[int, set[int]]]  # for each sample haplotype, in order: base -> mutation ids
    archaic: list[list[tuple[int, int]]]  # for each sample haplotype: stretches from the archaic deme


def small_genome(folder, centimorgans=100) -> Genome:
    """One chromosome of 4,000 bases, a quarter of them functional, beside one that has a map in any case."""
    (folder / "map").write_text(f"chrom pos cM\n1 1 0\n1 4000 {centimorgans}\n2 1 0\n2 4000 10\n")
    (folder / "bed").write_text("1\t1000\t2000\n2\t100\t200\n")
    return from_files(
        folder / "map", folder / "bed", chromosome_lengths={"1": 4000, "2": 4000}, window=1000, map_format="hapmap"
    )


def length_of(genome: Genome, chrom: str) -> int:
    return int(genome.window_end[genome.window_chrom == genome.chroms.index(chrom)][-1])


class _Forward:
    """Gametes as nodes, their parents as edges, and what they carry."""

    def __init__(self, length, rng, rate, bases):
        self.length, self.rng, self.rate, self.bases = length, rng, rate, bases
        self.tables = tskit.TableCollection(length)
        for _ in range(3):
            self.tables.populations.add_row()
        self.mutations = {}  # base, node, tick, s, kind, deme
        self.carried = {}  # node -> {base: {ids}}
        self.archaic = {}  # node -> [(left, right)]

    def node(self, tick, deme):
        return self.tables.nodes.add_row(time=-tick, population=deme)

    def founder(self, tick, deme, shared):
        node = self.node(tick, deme)
        mine = {}
        for number, (base, s, birth) in shared.items():
            if self.rng.random() < 0.3:
                self.mutations.setdefault(number, []).append((base, node, birth, s, STANDING, deme))
                mine.setdefault(base, set()).add(number)
        self.carried[node] = mine
        self.archaic[node] = [(0, self.length)] if deme == ARCHAIC else []
        return node

    def child(self, pair, tick, deme):
        node = self.node(tick, deme)
        cuts = np.sort(self.rng.integers(1, self.length, self.rng.poisson(0.8)))
        edges = [0, *cuts.tolist(), self.length]
        strand = int(self.rng.integers(2))
        mine, archaic = {}, []
        for k, (left, right) in enumerate(itertools.pairwise(edges)):
            parent = pair[(strand + k) % 2]
            if left < right:
                self.tables.edges.add_row(left, right, parent, node)
            mine |= {base: set(ids) for base, ids in self.carried[parent].items() if left <= base < right}
            archaic += [(max(a, left), min(b, right)) for a, b in self.archaic[parent] if a < right and b > left]
        for _ in range(self.rng.poisson(self.rate)):
            # few bases, so that mutations meet on them
            base, number = int(self.rng.choice(self.bases)), 1000 + 7 * len(self.mutations)
            self.mutations[number] = [(base, node, tick, -float(self.rng.random()) / 8, NEW, deme)]
            mine.setdefault(base, set()).add(number)
        self.carried[node], self.archaic[node] = mine, archaic
        return node


def toy(
    seed=1,
    *,
    chrom="22",
    rate=0.5,
    standing=12,
    spots=40,
    chosen=None,
    genome=None,
    replicate=0,
    branch="main",
    twin="none",
) -> Toy:
    """Simulate from the tick before the pulse to today."""
    chosen = scenario() if chosen is None else chosen
    schedule = schedules.compile(chosen)
    genome = genome or chosen.build_genome()
    length = length_of(genome, chrom)
    rng = np.random.default_rng(seed)
    bases = np.append(rng.integers(0, length, spots), [0, length - 1])
    forward = _Forward(length, rng, rate, bases)
    first, last = schedule.first_pulse_tick() - 1, schedule.today
    shared = {
        number: (int(rng.choice(bases)), -float(rng.random()) / 8, -int(rng.integers(1, 5000)))
        for number in range(1, standing + 1)
    }
    shared = {number: (base, s, first + birth) for number, (base, s, birth) in shared.items()}
    people = {
        deme: [tuple(forward.founder(first, deme, shared) for _ in range(2)) for _ in range(schedule.size(deme, first))]
        for deme in (MODERN, ARCHAIC)
    }
    kept = [pair for deme in (MODERN, ARCHAIC) for pair in people[deme]]
    wanted = {(deme, tick): n for deme, tick, n in schedule.individuals}
    sampled = []
    for tick in range(first + 1, last + 1):
        born = []
        for number in range(schedule.size(MODERN, tick)):
            origin = ARCHAIC if tick == first + 1 and number < 8 else MODERN
            chosen_pair = [people[origin][k] for k in rng.integers(len(people[origin]), size=2)]
            born.append(tuple(forward.child(pair, tick, MODERN) for pair in chosen_pair))
        people[MODERN] = born
        if tick == first + 1:
            kept += born
        sampled += born[: wanted.get((MODERN, tick), 0)]
    labels = TreeLabels.from_schedule(
        schedule,
        branch=branch,
        replicate=replicate,
        twin=twin,
        seed=3,
        chroms=genome.chroms,
        samples=schedule.individuals,
        dominance=chosen.selection.dominance,
        run=run_digest(chosen),
        parameters={"command_line": "admix run"},
    )
    record = _record(forward, chrom, length, sampled, kept, first)
    haplotypes = [node for pair in sampled for node in pair]
    return Toy(
        scenario=chosen,
        schedule=schedule,
        genome=genome,
        labels=labels,
        record=record,
        carried=[forward.carried[node] for node in haplotypes],
        archaic=[forward.archaic[node] for node in haplotypes],
    )


def _record(forward, chrom, length, sampled, kept, first) -> ChromosomeRecord:
    """What the engine keeps: samples, all ancestors in the census ticks, and coalescences."""
    tables = forward.tables
    individual = np.full(tables.nodes.num_rows, -1, dtype=np.int64)
    for key, pair in enumerate([*sampled, *(pair for pair in kept if pair not in sampled)]):
        individual[list(pair)] = key
    for _ in range(int(individual.max()) + 1):
        tables.individuals.add_row()
    samples = [node for pair in sampled for node in pair]
    flags = np.zeros(tables.nodes.num_rows, dtype=np.uint32)
    flags[samples] |= tskit.NODE_IS_SAMPLE
    flags[[node for pair in kept for node in pair]] |= CENSUS
    time, population = tables.nodes.time, tables.nodes.population
    tables.nodes.set_columns(flags=flags, time=time, population=population, individual=individual.astype(np.int32))
    rows = [(*row, number) for number, here in forward.mutations.items() for row in here]
    sites = {base: tables.sites.add_row(base, "") for base in sorted({row[0] for row in rows})}
    tables.sites.metadata_schema = tables.mutations.metadata_schema = tskit.MetadataSchema(None)
    for k, (base, node, tick, *_) in enumerate(rows):
        born = -max(tick, first)
        tables.mutations.add_row(sites[base], node, derived_state=str(k), time=born, metadata=str(k).encode())
    tables.sort()
    tables.build_index()
    tables.compute_mutation_parents()
    full = tables.tree_sequence()
    keep = {"filter_individuals": False, "filter_populations": False}
    less = full.simplify(samples, keep_unary_in_individuals=True, keep_input_roots=True, **keep)
    own = [rows[int(m.metadata)] for m in less.mutations()]
    return ChromosomeRecord(
        chrom=chrom,
        length=length,
        node_tick=(-less.nodes_time).astype(np.int32),
        node_deme=less.nodes_population.astype(np.int16),
        node_flags=less.nodes_flags.astype(np.uint32),
        node_individual=less.nodes_individual.astype(np.int64),
        edge_left=less.edges_left.astype(np.int64),
        edge_right=less.edges_right.astype(np.int64),
        edge_parent=less.edges_parent,
        edge_child=less.edges_child,
        mutation_bp=np.array([row[0] for row in own], dtype=np.int64),
        mutation_node=less.mutations_node,
        mutation_tick=np.array([row[2] for row in own], dtype=np.int32),
        mutation_id=np.array([row[6] for row in own], dtype=np.int64),
        mutation_s=np.array([row[3] for row in own]),
        mutation_kind=np.array([row[4] for row in own], dtype=np.int8),
        mutation_deme=np.array([row[5] for row in own], dtype=np.int16),
    )


def shuffled(record: ChromosomeRecord, seed=1) -> ChromosomeRecord:
    """The same genealogy in another order, with edges cut in two, empty edges, and nodes that nobody needs."""
    rng = np.random.default_rng(seed)
    n = len(record.node_tick)
    place = rng.permutation(n)
    for key in np.unique(record.node_individual[record.node_individual >= 0]):
        pair = np.flatnonzero(record.node_individual == key)
        place[pair] = np.sort(place[pair])  # which haplotype is the first is part of the record
    order = np.argsort(place)
    nodes = {name: getattr(record, name)[order] for name in ("node_tick", "node_deme", "node_flags", "node_individual")}
    left, right = record.edge_left, record.edge_right
    middle = left + (right - left) // 2
    cut = rng.random(len(left)) < 0.5
    lefts = np.concatenate([left, middle[cut], left[:3]])
    rights = np.concatenate([np.where(cut, middle, right), right[cut], left[:3]])
    parent = place[np.concatenate([record.edge_parent, record.edge_parent[cut], record.edge_parent[:3]])]
    child = place[np.concatenate([record.edge_child, record.edge_child[cut], record.edge_child[:3]])]
    mixed = rng.permutation(len(lefts))
    spare = {"node_tick": 70, "node_deme": 1, "node_flags": 0, "node_individual": -1}
    rows = rng.permutation(len(record.mutation_bp))
    changes = {name: np.append(column, column.dtype.type(spare[name])) for name, column in nodes.items()}
    changes |= {"edge_left": lefts[mixed], "edge_right": rights[mixed]}
    changes |= {"edge_parent": parent[mixed].astype(np.int32), "edge_child": child[mixed].astype(np.int32)}
    changes |= {f.name: getattr(record, f.name)[rows] for f in dataclasses.fields(record) if "mutation_" in f.name}
    changes["mutation_node"] = place[changes["mutation_node"]].astype(np.int32)
    return dataclasses.replace(record, **changes)
