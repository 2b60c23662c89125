# SPDX-License-Identifier: GPL-3.0-or-later
"""Genealogies rebuilt from the pedigree, against recording of every edge followed by tskit's simplify."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import reference as ref
import small
import tskit

from admix.engines.native import lineage_kernels as lk
from admix.engines.native.ancestors import Ancestors
from admix.engines.native.backward import Backward, mutations_carried
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.pedigree import Pedigree
from admix.engines.native.snapshot import unpack_worlds
from admix.engines.native.workers import Workers
from admix.engines.native.world import World

LENGTH = float(2**32)


def run_branch(parts, twin="none", last=None):
    lineages = parts.lineages()
    branch = Branch(
        parts.schedule, parts.tables, parts.workers,
        BranchPlan(branch="main", replicate=0, twin=twin, seed=5, burnin=0, last=last or parts.schedule.today,
                   landscape_generations=(), spread_generations=()),
    )  # fmt: skip
    branch.run(lineages, lambda fraction, note: None)
    return branch, lineages


def backward(branch, samples, *, threads=1, nodes=True, stop=None, census=None, mutations=True):
    schedule, world = branch.schedule, branch.world
    first = branch.first - 1
    if census is None:
        census = {t for p in schedule.pulses for t in (p.tick - 1, p.tick)}

    def sizes(tick):
        demes = range(len(schedule.deme_names))
        return {
            d: schedule.size(d, tick)
            for d in demes
            if schedule.exists(d, tick) and (tick < branch.first or d in branch.needed[tick])
        }

    made = Backward(
        branch.tables, Workers(threads), branch.pedigree, lambda purpose, deme, tick: world.stream_key(purpose, deme),
        sizes, samples, census=census, nodes=nodes, mutations=mutations and world.selected,
    )  # fmt: skip
    last = max(samples)
    return made, made.run(last, first if stop is None else stop)


def whole_record(branch, last):
    """Tables with a node for every haplotype from the tick before the pulse on, and all their edges."""
    tables = tskit.TableCollection(LENGTH)
    tables.time_units = "generations"
    schedule, t = branch.schedule, branch.tables
    for _ in schedule.deme_names:
        tables.populations.add_row()
    node = {}
    chrom_axis, cdf = [int(x) for x in t.chrom_axis], [[int(x) for x in row] for row in t.crossover_cdf]
    first = branch.first - 1
    for d in range(len(schedule.deme_names)):
        if schedule.exists(d, first):
            for h in range(2 * schedule.size(d, first)):
                node[first, d, h] = tables.nodes.add_row(time=last - first, population=d)
    for tick in range(first + 1, last + 1):
        for d, birth in branch.pedigree.births[tick].items():
            key = int(branch.world.stream_key("gametes", d))
            for group in birth.groups:
                for g in group.rows:
                    me = node[tick, d, int(g)] = tables.nodes.add_row(time=last - tick, population=d)
                    p = int(birth.parents[g])
                    draws = ref.Draws(ref.stream(key, tick, int(g)))
                    draws.next()
                    meiosis = ref.crossovers(draws, chrom_axis, cdf)
                    places = [0, *[int(c) for c in meiosis.cuts()], 2**32]
                    for j, (a, b) in enumerate(itertools.pairwise(places)):
                        if b > a:
                            strand = meiosis.first ^ (j & 1)
                            tables.edges.add_row(a, b, node[tick - 1, group.source, 2 * p + strand], me)
    tables.sort()
    return tables, node


def tree_of(found, schedule, samples, last):
    """The rebuilt genealogy as a tree sequence on the axis, and the (tick, deme, haplotype) of its nodes."""
    edges = np.concatenate([*found.edges, np.zeros((4, 0), np.uint32)], axis=1)
    bases = np.array(found.bases)
    flags = {}
    for nodes, reasons in zip(found.kept, found.reason, strict=True):
        flags |= dict(zip(nodes.tolist(), reasons.tolist(), strict=True))
    used = sorted(set(edges[2].tolist()) | set(edges[3].tolist()) | {v for v, f in flags.items() if f & lk.SAMPLE})
    tables = tskit.TableCollection(LENGTH)
    tables.time_units = "generations"
    for _ in schedule.deme_names:
        tables.populations.add_row()
    names, number = [], {}
    for v in used:
        i = int(np.searchsorted(bases, v, side="right")) - 1
        hap = v - found.bases[i]
        deme = max((d for d, at in found.offsets[i].items() if 2 * at <= hap), key=lambda d: found.offsets[i][d])
        tick = found.ticks[i]
        sample = flags.get(v, 0) & lk.SAMPLE
        number[v] = tables.nodes.add_row(time=last - tick, population=deme, flags=1 if sample else 0)
        names.append((tick, deme, hap - 2 * found.offsets[i][deme]))
    for left, z, parent, child in edges.T.tolist():
        tables.edges.add_row(left, z + 1, number[parent], number[child])
    tables.sort()
    tables.edges.squash()
    tables.sort()
    return tables.tree_sequence(), names, flags, number


def paths(ts, names, samples, keep):
    """For each sample and tree: (left, right, ancestors that matter, oldest last), neighbours that agree made one."""
    out = {}
    for tree in ts.trees():
        for u, who in samples.items():
            line, v = [], tree.parent(u)
            while v != tskit.NULL:
                if tree.num_children(v) > 1 or keep(names[v]):
                    line.append(names[v])
                v = tree.parent(v)
            rows = out.setdefault(who, [])
            if rows and rows[-1][2] == line:
                rows[-1][1] = tree.interval.right
            else:
                rows.append([tree.interval.left, tree.interval.right, line])
    return out


TWO_PULSES = [
    {"name": "a", "source": "archaic", "target": "modern", "time": 30, "share": 0.2},
    {"name": "b", "source": "archaic2", "target": "modern", "time": 17, "share": 0.15, "unit": "F1"},
]
TWO_SOURCES = small.demes(
    ("ancestral", (), [(90, 30)]),
    ("modern", ("ancestral",), [(0, 30)]),
    ("archaic", ("ancestral",), [(5, 10)]),
    ("archaic2", ("ancestral",), [(0, 8)]),
    migrations=[("archaic", "modern", 0.05, 20, 10), ("modern", "archaic2", 0.1, 40, 25)],
)
CASES = {
    "one pulse": {},
    "gametes": {
        "pulse": [{"name": "p", "source": "archaic", "target": "modern", "time": 30, "share": 0.2, "unit": "gametes"}]
    },
    "two sources and migration": {"demography": TWO_SOURCES, "pulse": TWO_PULSES},
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request, tmp_path_factory):
    parts = small.Parts(small.scenario(**CASES[request.param]), tmp_path_factory.mktemp("cache"))
    branch, lineages = run_branch(parts)
    last = parts.schedule.today
    modern = parts.schedule.deme("modern")
    rng = np.random.default_rng(1)
    samples = {last: {modern: np.sort(rng.choice(branch.world.demes[modern].n, 8, replace=False))},
               last - 9: {modern: np.array([0, 3])}}  # fmt: skip
    if request.param == "two sources and migration":
        samples[last - 12] = {parts.schedule.deme("archaic"): np.array([2])}
    return SimpleNamespace(
        name=request.param, parts=parts, branch=branch, lineages=lineages, samples=samples, last=last
    )


def sample_names(case):
    return [
        (t, d, 2 * int(i) + k)
        for t, demes in case.samples.items()
        for d, who in demes.items()
        for i in who
        for k in (0, 1)
    ]


def test_equal_to_recording_everything_and_simplifying(case):
    made, _ = backward(case.branch, case.samples)
    ts, names, flags, number = tree_of(made.found, case.parts.schedule, case.samples, case.last)
    wanted = sample_names(case)
    number_of = {name: i for i, name in enumerate(names)}
    tables, node = whole_record(case.branch, case.last)
    of = {v: k for k, v in node.items()}
    full = tables.tree_sequence()
    simple, mapped = full.simplify([node[w] for w in wanted], keep_unary=True, map_nodes=True)
    names_full = {int(new): of[old] for old, new in enumerate(mapped) if new >= 0}
    census = {t for p in case.parts.schedule.pulses for t in (p.tick - 1, p.tick)}
    sampled = set(wanted)

    def keep(name):
        return name[0] in census or name in sampled

    want = paths(simple, names_full, {int(mapped[node[w]]): w for w in wanted}, keep)
    have = paths(ts, names, {number_of[w]: w for w in wanted}, keep)
    assert want == have
    # and no node is there without a reason
    reasons = {number[v]: f for v, f in flags.items() if v in number}
    branching = set()
    for tree in ts.trees():
        branching |= {u for u in tree.nodes() if tree.num_children(u) > 1}
    assert all(reasons.get(u, 0) or u in branching for u in range(ts.num_nodes))


def test_labels_are_the_marker_bits(case):
    made, _ = backward(case.branch, case.samples)
    ts, names, _flags, _number = tree_of(made.found, case.parts.schedule, case.samples, case.last)
    markers = case.branch.tables.mark_axis[:-1].astype(np.int64)
    sources = case.branch.planes
    number_of = {name: i for i, name in enumerate(names)}
    pop = ts.nodes_population
    for deme, who in case.samples[case.last].items():
        marks = case.branch.world.demes[deme].rows.marks
        for i in who:
            for k in (0, 1):
                u = number_of[case.last, deme, 2 * int(i) + k]
                tree = ts.at(0)
                for m, x in enumerate(markers):
                    if not tree.interval.left <= x < tree.interval.right:
                        tree = ts.at(x)
                    label, v = -1, u
                    while (p := tree.parent(v)) != tskit.NULL:
                        if pop[p] != pop[v] and int(pop[p]) in sources:
                            label = sources[int(pop[p])]
                            break
                        v = p
                    bits = [int(marks[q, 2 * i + k, m >> 6] >> np.uint64(m & 63)) & 1 for q in range(len(sources))]
                    assert bits == [int(q == label) for q in range(len(sources))]


def mutations_of(world, deme, hap):
    """Places and effects of the mutations that a haplotype carries, fixed ones included."""
    d, m = world.demes[deme], world.mutations
    ids = [i for j, i in enumerate(d.layout.ids) if int(d.rows.bits[hap, j >> 6] >> np.uint64(j & 63)) & 1]
    ids += [int(k & np.uint64(0xFFFFFFFF)) for k in d.rows.rare[hap, : d.rows.n_rare[hap]]] + d.fixed.tolist()
    return sorted((int(m["site"][i]), float(m["s"][i])) for i in ids)


def test_mutations_on_the_trees_are_those_of_the_haplotypes(case):
    made, roots = backward(case.branch, case.samples)
    ts, names, _flags, number = tree_of(made.found, case.parts.schedule, case.samples, case.last)
    number_of = {name: i for i, name in enumerate(names)}
    world = World(case.branch.tables, case.parts.schedule.deme_names, lambda p, d: 0, case.parts.workers)
    unpack_worlds(world, case.lineages)
    ids, nodes = mutations_carried(world, roots)
    axis_of = {}
    found = [(int(world.mutations["site"][i]), float(world.mutations["s"][i]), int(world.mutations["axis"][i]), int(v))
             for i, v in zip(ids, nodes, strict=True)]  # fmt: skip
    genome = case.parts.scenario.build_genome()
    for born in made.found.born:
        axis = genome.target_axis(born.site)
        found += [
            (int(a), float(b), int(c), int(v)) for a, b, c, v in zip(born.site, born.s, axis, born.node, strict=True)
        ]
    assert any(len(born.site) for born in made.found.born)
    carried = {name: [] for name in sample_names(case)}
    samples = {number_of[name]: name for name in carried}
    for site, s, x, v in found:
        if v not in number:
            continue
        axis_of[site] = x
        for u in ts.at(x).samples(number[v]):
            carried[samples[u]].append((site, s))
    for (tick, deme, hap), have in carried.items():
        if tick == case.last:
            assert sorted(have) == mutations_of(case.branch.world, deme, hap)


def test_any_number_of_threads_gives_the_same(case):
    one, roots = backward(case.branch, case.samples)
    two, others = backward(case.branch, case.samples, threads=3)
    a, b = (np.concatenate(m.found.edges, axis=1) for m in (one, two))
    assert a.shape == b.shape
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(roots.count, others.count)


def test_without_nodes_the_same_people_hold_material(case):
    with_nodes, without = [], []
    for nodes, seen in ((True, with_nodes), (False, without)):
        made, _ = backward(case.branch, {case.last: case.samples[case.last]}, nodes=nodes, mutations=False)
        made.run(case.last, case.branch.first - 1, lambda m, seen=seen: seen.append((m.tick, (m.count > 0).tolist())))
        assert bool(made.found.edges) == nodes
    assert with_nodes == without


def test_a_stream_that_differs_gives_other_trees(case):
    made, _ = backward(case.branch, case.samples)
    key = made.key
    made.key = lambda purpose, deme, tick: key(purpose, deme, tick) ^ 1
    other = Backward(
        case.branch.tables, Workers(1), case.branch.pedigree, made.key, made.sizes, case.samples, census=made.census
    )
    other.run(case.last, case.branch.first - 1)
    a, b = (np.concatenate(m.found.edges, axis=1) for m in (made, other))
    assert a.shape != b.shape or (a != b).any()


def test_pedigree_from_the_cache_serves_too(case):
    packed = Pedigree.unpack(case.branch.pedigree.pack())
    assert packed.births.keys() == case.branch.pedigree.births.keys()


def founders_by_hand(branch, source, living, last):
    """(archaic, all) founders with a base in the living, from the record of every edge."""
    plane, first = branch.planes[source], branch.schedule.first_pulse_tick(source)
    brought = {}
    for tick in range(first, last + 1):
        for d, birth in branch.pedigree.births[tick].items():
            for group in birth.groups:
                if group.plane >= 0:
                    rows = set(group.rows.tolist())
                    whole = all(g ^ 1 in rows for g in rows)
                    for g in rows:
                        brought[tick, d, g] = group.plane, group.source, int(birth.parents[g]), whole
    tables, node = whole_record(branch, last)
    names = {v: k for k, v in node.items()}
    kept = [e for e in tables.edges if names[e.child] not in brought]
    tables.edges.clear()
    for e in kept:
        tables.edges.append(e)
    tables.sort()
    samples = [node[last, d, h] for d, who in living.items() for i in who for h in (2 * i, 2 * i + 1)]
    _, mapped = tables.tree_sequence().simplify(samples, keep_unary=True, map_nodes=True)
    held = {names[old] for old, new in enumerate(mapped) if new >= 0}
    first_whole = all(whole for (t, _, _), (_, _, _, whole) in brought.items() if t == first)
    founders = set()
    for t, d, g in held:
        if t < first:
            continue
        if (t, d, g) in brought:
            q, s, parent, whole = brought[t, d, g]
            founders.add((q, t, d, g >> 1) if whole else (q, t, "parent", s, parent))
        elif t == first:
            birth = branch.pedigree.births[t][d]
            s = next(group.source for group in birth.groups if g in group.rows)
            founders.add((-1, d, g >> 1) if first_whole else (-1, "parent", s, int(birth.parents[g])))
    return sum(f[0] == plane for f in founders), len(founders)


def test_founders_who_left_dna(case):
    last, branch = case.last, case.branch
    ancestors = Ancestors(branch, case.lineages)
    everybody = {d: np.arange(deme.n) for d, deme in branch.world.demes.items()}
    person = {case.parts.schedule.deme("modern"): np.array([3])}
    fewer = 0
    for source in branch.sources:
        first, plane = branch.schedule.first_pulse_tick(source), branch.planes[source]
        found = ancestors._left_dna([everybody, person], first, lambda done, note: None)
        for have, who in zip(found, (everybody, person), strict=True):
            assert (have[plane], have.total()) == founders_by_hand(branch, source, who, last)
            flags = ancestors._flags(who)
            fewer += have.total() < branch.pedigree.founders(first, last, flags, plane)[1]
    assert fewer > 0


def test_rows_of_ancestors(case):
    ancestors = Ancestors(case.branch, case.lineages)
    rows = ancestors.rows() + ancestors.genetic_rows(lambda done, note: None)
    keys = [(row["source"], row["scope"], row["measure"]) for row in rows]
    assert len(set(keys)) == len(keys)
    for source in case.branch.sources:
        name = case.parts.schedule.deme_names[source]
        value = {(s, m): row["value"] for row, (src, s, m) in zip(rows, keys, strict=True) if src == name}
        assert {m for s, m in value if s == "all"} == {
            "headcount", "pedigree_paths", "genealogical", "genealogical_founders", "genealogical@0.04ka", "dna",
            "genetic", "genetic_founders",
        }  # fmt: skip
        assert {m for s, m in value if s == "one"} == {m for s, m in value if s == "all"} - {"headcount"}
        assert 0 < value["all", "genetic_founders"] <= value["all", "genealogical_founders"] <= 1
        assert value["one", "genetic_founders"] < value["all", "genetic_founders"]
        assert all(0 <= v <= 1 for v in value.values())
