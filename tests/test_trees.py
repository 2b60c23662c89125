# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree files: built from a record, equal to what happened; read by pyslim; written, read and refused."""

import dataclasses
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import msprime
import numpy as np
import pyslim
import pytest
import tree_records
import tskit
import tszip

from admix import trees
from admix.errors import AdmixError, InputError, RunError
from admix.tree_formats import inherit
from admix.trees import CENSUS, NEW, STANDING, Census, ChromosomeRecord, TreeLabels

SLIM = os.environ.get("SLIM") or shutil.which("slim")


@functools.cache
def toy(seed=1, **options):
    return tree_records.toy(seed, **options)


@functools.cache
def built(seed=1, **options):
    made = toy(seed, **options)
    return trees.build(made.record, made.labels)


def check(ts, made=None, where="FILE", **changes):
    """Validate against the labels of the toy."""
    made = made or toy()
    wanted = {"chrom": "22", "length": made.record.length, "labels": made.labels} | changes
    trees.validate(ts, where, **wanted)


def edited(ts, change):
    """The tree sequence after `change(tables)`."""
    tables = ts.dump_tables()
    change(tables)
    tables.sort()
    tables.build_index()
    tables.compute_mutation_parents()
    return tables.tree_sequence()


def relabelled(ts, key="admix", **values):
    """The tree sequence with other top-level metadata; None removes a key."""

    def change(tables):
        metadata = tables.metadata
        for name, value in values.items():
            if value is None:
                del metadata[key][name]
            else:
                metadata[key][name] = value
        tables.metadata = metadata

    return edited(ts, change)


def carried(ts, sample):
    """Base -> mutation ids of a sample, by its alleles."""
    out = {}
    for variant in ts.variants(samples=[sample]):
        state = variant.alleles[variant.genotypes[0]]
        if state:
            out[int(variant.site.position)] = {int(number) for number in state.split(",")}
    return out


def lineages(ts):
    """For each tree and sample, its ancestors (time, deme, individual), with neighbours that are equal as one."""
    people = [row.metadata["pedigree_id"] for row in ts.individuals()]
    node = [(n.time, n.population, people[n.individual] if n.individual >= 0 else -1) for n in ts.nodes()]
    samples = sorted(ts.samples(), key=lambda n: (node[n][2], ts.node(n).metadata["slim_id"]))
    out = []
    for tree in ts.trees():
        paths = []
        for sample in samples:
            path, at = [], sample
            while at != tskit.NULL:
                path.append(node[at])
                at = tree.parent(at)
            paths.append(tuple(path))
        if not out or out[-1][1] != paths:
            out.append((tree.interval.left, paths))
    return out


# ---- what happened is what the file says


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_sample_carries_what_it_carried(seed):
    ts, made = built(seed), toy(seed)
    assert ts.num_samples == len(made.carried) == 16
    stacked = 0
    for k, sample in enumerate(ts.samples()):
        assert carried(ts, sample) == {base: ids for base, ids in made.carried[k].items() if ids}
        stacked += sum(len(ids) > 1 for ids in made.carried[k].values())
    assert stacked > 5
    kinds = made.record.mutation_kind
    assert (kinds == NEW).sum() > 50 and (kinds == STANDING).sum() > 15


@pytest.mark.parametrize("seed", [1, 2])
def test_ancestry_is_where_it_came_from(seed):
    """The rule of the files: the first census parent in the source above a child elsewhere brings it in."""
    ts, made = built(seed), toy(seed)
    source = trees.population_names(ts).index("archaic")
    flagged = (ts.nodes_flags & CENSUS) != 0
    found = [[] for _ in made.archaic]
    for tree in ts.trees():
        for k, sample in enumerate(ts.samples()):
            at = sample
            while tree.parent(at) != tskit.NULL:
                above = tree.parent(at)
                if flagged[above] and ts.nodes_population[above] == source != ts.nodes_population[at]:
                    found[k].append((int(tree.interval.left), int(tree.interval.right)))
                    break
                at = above
    assert sum(map(len, found)) > 10
    for mine, true in zip(found, made.archaic, strict=True):
        assert joined(mine) == joined(true)


def joined(stretches):
    out = []
    for left, right in sorted(stretches):
        if left == right:
            continue
        if out and out[-1][1] == left:
            out[-1][1] = right
        else:
            out.append([left, right])
    return out


def test_order_cuts_and_useless_rows_change_nothing():
    made = toy()
    other = trees.build(tree_records.shuffled(made.record), made.labels)
    ts = built()
    assert len(made.record.node_tick) == ts.num_nodes == other.num_nodes
    assert ts.num_edges == other.num_edges == len(made.record.edge_left)
    assert lineages(ts) == lineages(other)
    assert len(lineages(ts)) > 100
    assert ts.tables.sites == other.tables.sites
    for sample in ts.samples():
        assert carried(ts, sample) == carried(other, sample)


def test_clock_order_and_flags():
    ts, made = built(), toy()
    assert ts.time_units == "generations" and ts.sequence_length == made.record.length
    people = [ts.individual(k) for k in range(8)]
    assert [p.time for p in people] == [20] * 3 + [0] * 5  # in order of their keys: oldest first
    assert [p.metadata["pedigree_id"] for p in people] == list(range(8))
    assert [list(p.nodes) for p in people] == [[2 * k, 2 * k + 1] for k in range(8)]
    assert [ts.node(n).metadata["slim_id"] for p in people for n in p.nodes] == list(range(16))
    assert [p.flags for p in people] == [pyslim.INDIVIDUAL_REMEMBERED] * 3 + [pyslim.INDIVIDUAL_ALIVE] * 5
    assert set(ts.individuals_flags[8:]) == {pyslim.INDIVIDUAL_RETAINED}
    census = (ts.nodes_flags & CENSUS) != 0
    assert set(ts.nodes_time[census]) == {30, 31}
    assert (ts.nodes_individual[census] >= 0).all()
    assert set(np.unique(ts.nodes_population[ts.nodes_time == 31])) == {1, 2}
    plain = ts.nodes_individual < 0
    assert plain.any() and all(ts.node(n).metadata is None for n in np.flatnonzero(plain)[:5])


def test_times_of_mutations():
    """New ones have the time of their birth; standing ones that of their root, and their birth in the metadata."""
    ts = built()
    new = standing = 0
    for mutation in ts.mutations():
        entry = mutation.metadata["mutation_list"][-1]
        if entry["mutation_type"] == NEW:
            new += 1
            assert mutation.time == 90 - entry["slim_time"]
        else:
            standing += 1
            assert mutation.time == ts.node(mutation.node).time == 31
            assert entry["slim_time"] < 59
        assert entry["nucleotide"] == -1
    assert new > 20 and standing > 20


# ---- metadata as tskit and pyslim have them


@pytest.mark.parametrize("chromosomes", [1, 2, 8, 9, 22])
def test_packed_metadata_is_what_tskit_packs(chromosomes):
    made = toy()
    labels = dataclasses.replace(made.labels, chroms=tuple(str(k) for k in range(23 - chromosomes, 23)))
    ts = trees.build(made.record, labels)
    tables = ts.tables
    for table in (tables.nodes, tables.individuals, tables.mutations, tables.populations):
        assert table.metadata_schema.asdict()["codec"] in ("struct", "json")
        raw, offset = table.metadata.tobytes(), table.metadata_offset
        assert table.num_rows > 2
        for k, row in enumerate(table):
            encoded = table.metadata_schema.validate_and_encode_row(row.metadata)
            assert raw[offset[k] : offset[k + 1]] == encoded
    assert len(ts.node(0).metadata["is_vacant"]) == (chromosomes + 7) // 8
    slim = ts.metadata["SLiM"]
    assert (slim["tick"], slim["cycle"], slim["stage"], slim["model_type"]) == (90, 90, "late", "WF")
    assert slim["this_chromosome"] == {
        "id": 22, "index": chromosomes - 1, "symbol": "22", "name": "chr22", "type": "A"
    }  # fmt: skip
    assert slim["chromosomes"][slim["this_chromosome"]["index"]] == slim["this_chromosome"]
    assert len({c["id"] for c in slim["chromosomes"]}) == chromosomes


def test_chromosomes_without_numbers_are_counted():
    made = toy()
    labels = dataclasses.replace(made.labels, chroms=("2L", "22"))
    slim = trees.build(made.record, labels).metadata["SLiM"]
    assert [(c["id"], c["symbol"]) for c in slim["chromosomes"]] == [(1, "2L"), (2, "22")]


def test_labels():
    found = trees.admix_metadata(built())
    assert found == {
        "branch": "main", "replicate": 0, "twin": "none", "chrom": "22", "seed": 3, "sources": ["archaic"],
        "today_tick": 90, "last_tick": 90, "first_pulse_tick": 60, "recorded_from_tick": 59, "generation_time": 1.0,
        "census": [{"tick": 59, "time_ago": 31, "pulse": "pulse", "source": "archaic", "target": "modern"}],
        "samples": [
            {"date_years": 20.0, "time_ago": 20, "deme": "modern", "individuals": 3},
            {"date_years": 0.0, "time_ago": 0, "deme": "modern", "individuals": 5},
        ],
        "dominance": 0.5, "run": trees.run_digest(toy().scenario),
    }  # fmt: skip


def test_labels_of_a_run_that_ends_early():
    made = toy()
    make = functools.partial(
        TreeLabels.from_schedule, made.schedule, branch="b", replicate=0, twin="none", seed=1, chroms=("22",)
    )
    assert [c.time_ago for c in make(last_tick=70).census] == [11]
    assert make(last_tick=59).census == ()
    assert make().last_tick == 90 and make(recorded_from_tick=0).recorded_from_tick == 0
    assert make(last_tick=70, samples=[(1, 65, 2)]).samples[0] == trees.SampleGroup(
        date_years=25.0, time_ago=5, deme="modern", individuals=2
    )


def test_digest_of_a_run():
    """The same for the same run, another one whenever something differs."""
    scenario = toy().scenario
    same = tree_records.scenario()
    others = [
        scenario.with_run(seed=4),
        scenario.with_set(["pulse[0].share=0.1"]),
        scenario.with_set(["selection.dominance=0.4"]),
    ]
    assert trees.run_digest(same) == trees.run_digest(scenario)
    assert len({trees.run_digest(s) for s in [scenario, *others]}) == 4


def test_provenance():
    (row,) = built().provenances()
    record = json.loads(row.record)
    tskit.validate_provenance(record)
    assert record["software"]["name"] == "admix"
    assert record["parameters"]["command"] == "run"
    assert record["parameters"]["command_line"] == "admix run"
    assert record["parameters"]["admix"]["chrom"] == "22"


def test_pyslim_works_on_it():
    ts = built()
    assert pyslim.is_current_version(ts)
    assert [p.metadata["name"] for p in ts.populations()] == ["ancestral", "modern", "archaic"]
    assert [p.metadata["slim_id"] for p in ts.populations()] == [0, 1, 2]
    assert list(pyslim.individuals_alive_at(ts, 0)) == [3, 4, 5, 6, 7]
    assert list(pyslim.individuals_alive_at(ts, 20)) == [0, 1, 2]
    parents = pyslim.individuals_alive_at(ts, 31)
    assert len(parents) > 10 and set(ts.individuals_population[parents]) == {1, 2}
    assert len(pyslim.individuals_alive_at(ts, 31, population=2)) > 0
    assert set(pyslim.individual_ages(ts)) == {0}
    assert not pyslim.has_vacant_samples(ts)
    assert list(pyslim.slim_time(ts, np.array([0, 31]))) == [90, 59]
    assert pyslim.next_slim_mutation_id(ts) == trees.next_mutation_id(ts) > 1000


def test_pyslim_recapitates_it_although_there_are_standing_mutations():
    """They are older than the parents that their roots get, and tskit refuses a mutation above its branch."""
    ts = built()
    tall = pyslim.recapitate(ts, ancestral_Ne=40, recombination_rate=1e-9, random_seed=1)
    assert all(tree.num_roots == 1 for tree in tall.trees())
    assert tall.num_mutations == ts.num_mutations
    true_times = edited_times(ts)
    with pytest.raises(tskit.LibraryError, match="MUTATION_TIME_OLDER_THAN_PARENT_NODE"):
        pyslim.recapitate(true_times, ancestral_Ne=40, recombination_rate=1e-9, random_seed=1)


def edited_times(ts):
    """With the birth times of standing mutations."""

    def change(tables):
        born = [90 - m.metadata["mutation_list"][-1]["slim_time"] for m in ts.mutations()]
        columns = {k: v for k, v in tables.mutations.asdict().items() if k != "metadata_schema"}
        tables.mutations.set_columns(**(columns | {"time": np.array(born, dtype=float)}))

    return edited(ts, change)


def test_pyslim_makes_nucleotides_of_it():
    made = toy(1)
    small = small_record(MUTATIONS)
    ts = pyslim.generate_nucleotides(trees.build(small, made.labels), seed=1)
    letters = pyslim.convert_alleles(ts)
    assert {state for v in letters.variants() for state in v.alleles} <= set("ACGT")


# ---- a record by hand: two samples of one individual, a parent each, roots at tick 59


MUTATIONS = [
    # base, node, tick, id, s, kind, deme
    (0, 4, -400, 11, -0.25, STANDING, 1),
    (0, 4, -500, 12, -0.5, STANDING, 1),
    (0, 5, -500, 12, -0.5, STANDING, 1),
    (0, 0, 90, 30, -0.125, NEW, 1),
    (0, 0, 85, 31, -0.0625, NEW, 1),
    (0, 2, 70, 29, -0.03125, NEW, 1),
    (99, 1, 90, 40, 0.0, NEW, 1),
]


def small_record(mutations=(), **changes):
    """0 and 1 are the samples, 2 and 3 their ancestors of tick 80, 4 and 5 the roots; the bases 50 on have 4 as the
    only root."""
    rows = np.array([row[:4] for row in mutations], dtype=np.int64).reshape(-1, 4)
    columns = {
        "chrom": "22",
        "length": 100,
        "node_tick": np.array([90, 90, 80, 80, 59, 59], np.int32),
        "node_deme": np.array([1, 1, 1, 1, 2, 1], np.int16),
        "node_flags": np.array([1, 1, 0, 0, CENSUS, CENSUS], np.uint32),
        "node_individual": np.array([7, 7, -1, -1, 8, 9], np.int64),
        "edge_left": np.array([0, 0, 0, 0, 50]),
        "edge_right": np.array([100, 100, 100, 50, 100]),
        "edge_parent": np.array([2, 3, 4, 5, 4], np.int32),
        "edge_child": np.array([0, 1, 2, 3, 3], np.int32),
        "mutation_bp": rows[:, 0],
        "mutation_node": rows[:, 1].astype(np.int32),
        "mutation_tick": rows[:, 2].astype(np.int32),
        "mutation_id": rows[:, 3],
        "mutation_s": np.array([row[4] for row in mutations], dtype=float),
        "mutation_kind": np.array([row[5] for row in mutations], dtype=np.int8),
        "mutation_deme": np.array([row[6] for row in mutations], dtype=np.int16),
    }
    return ChromosomeRecord(**(columns | changes))


def with_mutations(*mutations, **changes):
    return trees.build(small_record(mutations, **changes), toy().labels)


def test_mutations_stack():
    ts = with_mutations(*MUTATIONS)
    assert list(ts.sites_position) == [0, 99]
    assert all(site.ancestral_state == "" for site in ts.sites())
    rows = [(m.node, m.time, m.derived_state, m.parent) for m in ts.mutations()]
    assert rows == [
        (4, 31, "12", -1),  # the older of two on one root is the parent
        (5, 31, "12", -1),
        (4, 31, "12,11", 0),
        (2, 20, "12,11,29", 2),
        (0, 5, "12,11,29,31", 3),
        (0, 0, "12,11,29,31,30", 4),
        (1, 0, "40", -1),
    ]
    deepest = ts.mutation(5).metadata["mutation_list"]
    assert [(e["slim_time"], e["selection_coeff"], e["mutation_type"], e["subpopulation"]) for e in deepest] == [
        (-500, -0.5, 2, 1), (-400, -0.25, 2, 1), (70, -0.03125, 1, 1), (85, -0.0625, 1, 1), (90, -0.125, 1, 1)
    ]  # fmt: skip


def test_mutations_as_arrays():
    """The adapter against the row-by-row decoding of tskit."""
    for ts in (with_mutations(*MUTATIONS), built(2)):
        found = trees.mutations(ts)
        rows, inherited = [], 0
        for m in ts.mutations():
            ids = [int(number) for number in m.derived_state.split(",")]
            above = [] if m.parent < 0 else [int(number) for number in ts.mutation(m.parent).derived_state.split(",")]
            inherited += len(above)
            for number, entry in zip(ids, m.metadata["mutation_list"], strict=True):
                values = [entry[k] for k in ("mutation_type", "selection_coeff", "slim_time", "subpopulation")]
                bp = int(ts.site(m.site).position)
                rows.append((m.id, bp, m.node, number, *values, number not in above))
        columns = ("row", "bp", "node", "id", "type", "s", "tick", "deme", "own")
        assert rows == list(zip(*(getattr(found, name).tolist() for name in columns), strict=True))
        assert inherited > 5
        assert trees.next_mutation_id(ts) == pyslim.next_slim_mutation_id(ts)
    empty = trees.mutations(with_mutations())
    assert len(empty.id) == 0 and trees.next_mutation_id(with_mutations()) == 1


def test_large_ids_are_kept():
    top = trees.MAX_ID - 1
    ts = with_mutations((5, 0, 90, top, -0.1, NEW, 1), node_individual=np.array([top, top, -1, -1, 8, 9]))
    assert trees.mutations(ts).id.tolist() == [top]
    assert ts.node(1).metadata["slim_id"] == 2 * top + 1


def test_standing_mutations_of_nobody_are_left_out():
    """Root 5 is an ancestor below base 50 alone, and a founder may be handed over with all that it carries."""
    ts = with_mutations((49, 5, -9, 1, -0.1, STANDING, 1), (50, 5, -9, 2, -0.1, STANDING, 1))
    assert [m.derived_state for m in ts.mutations()] == ["1"]
    record = small_record(
        [(49, 6, -9, 3, -0.1, STANDING, 1)],
        **{
            name: np.append(getattr(small_record(), name), value)
            for name, value in {"node_tick": 59, "node_deme": 1, "node_flags": CENSUS, "node_individual": 10}.items()
        },
    )
    ts = trees.build(record, toy().labels)
    assert (ts.num_nodes, ts.num_individuals, ts.num_mutations) == (6, 3, 0)


def test_samples_may_be_roots():
    record = small_record(
        [(3, 1, -8, 2, -0.1, STANDING, 1)],
        node_tick=np.array([59, 59, 59], np.int32),
        node_deme=np.array([1, 1, 1], np.int16),
        node_flags=np.array([1, 1, CENSUS], np.uint32),
        node_individual=np.array([4, 4, 5]),
        **{f"edge_{name}": np.zeros(0, np.int32) for name in ("left", "right", "parent", "child")},
    )
    ts = trees.build(record, toy().labels)
    assert (ts.num_nodes, ts.num_edges, ts.num_mutations) == (2, 0, 1)
    assert carried(ts, 1) == {3: {2}}


FAULTS = {
    "two edges from node 2 to node 4 overlap at 40 bp": {
        "edge_left": np.array([0, 0, 0, 0, 50, 40]), "edge_right": np.array([100, 100, 60, 50, 100, 100]),
        "edge_parent": np.array([2, 3, 4, 5, 4, 4], np.int32), "edge_child": np.array([0, 1, 2, 3, 3, 2], np.int32),
    },
    "the genealogy contradicts itself": {"edge_right": np.array([100, 100, 100, 51, 100])},
    "time[parent] must be greater than time[child]": {"node_tick": np.array([90, 90, 80, 80, 59, 85], np.int32)},
    "individual 7 has more than two haplotypes": {"node_individual": np.array([7, 7, -1, -1, 7, 9])},
    "individual 8 lives in two ticks or demes": {"node_individual": np.array([7, 7, -1, 8, 8, 9])},
    "individual 9 lives in two ticks or demes": {"node_individual": np.array([7, 7, -1, -1, 9, 9])},
    "node_individual of a sample is missing at index 1": {"node_individual": np.array([7, -1, -1, -1, 8, 9])},
    "node_individual is out of range at index 0": {"node_individual": np.array([2**62, 2**62, -1, -1, 8, 9])},
    "node_tick is after the last tick at index 0": {"node_tick": np.array([91, 90, 80, 80, 59, 59], np.int32)},
    "node_deme is no deme at index 5": {"node_deme": np.array([1, 1, 1, 1, 2, 3], np.int16)},
    "edge_parent is no node at index 4": {"edge_parent": np.array([2, 3, 4, 5, 6], np.int32)},
    "edge_child is no node at index 0": {"edge_child": np.array([-1, 1, 2, 3, 3], np.int32)},
    "no interval of the chromosome at index 4": {"edge_right": np.array([100, 100, 100, 50, 101])},
    "no interval of the chromosome at index 1": {"edge_left": np.array([0, 101, 0, 0, 50])},
    "arrays of different lengths": {"edge_left": np.array([0, 0, 0, 0])},
    "no chromosome of the genome": {"chrom": "X"},
    "no sample": {"node_flags": np.zeros(6, np.uint32)},
}  # fmt: skip


@pytest.mark.parametrize(("message", "changes"), FAULTS.items(), ids=list(FAULTS))
def test_records_that_contradict_themselves(message, changes):
    trees.build(small_record(), toy().labels)
    with pytest.raises(RunError) as caught:
        trees.build(small_record(**changes), toy().labels)
    line = str(caught.value)
    assert line.startswith(f"trees of chromosome {changes.get('chrom', '22')}: ")
    assert message.lower() in line.lower() and "\n" not in line


@pytest.mark.parametrize(
    ("mutations", "message"),
    [
        ([(50, 5, 59, 1, -0.1, NEW, 1)], "new mutation 1 at 50 bp lies on nobody's ancestor"),
        ([(5, 0, 80, 1, -0.1, NEW, 1)], "mutation 1 of tick 80 at 5 bp lies above a node of tick 90 with a parent of"),
        ([(5, 2, 81, 1, -0.1, NEW, 1)], "mutation 1 of tick 81 at 5 bp lies above a node of tick 80 with a parent of"),
        ([(5, 2, 40, 1, -0.1, STANDING, 1)], "above a node of tick 80 with a parent of tick 59"),
        ([(5, 4, 60, 1, -0.1, NEW, 1)], "mutation 1 of tick 60 at 5 bp lies above a node of tick 59; "),
        ([(5, 4, 1, 1, 0, STANDING, 1), (5, 0, 90, 1, 0, NEW, 1)], "mutation 1 lies twice on one branch at 5 bp"),
        ([(5, 4, 1, 1, 0, STANDING, 1), (5, 4, 1, 1, 0, STANDING, 1)], "mutation 1 lies twice on one branch"),
        ([(5, 4, 1, 1, 0, STANDING, 1), (6, 5, 1, 1, 0, STANDING, 1)], "mutation 1 lies at two bases"),
        ([(100, 4, 1, 1, 0, STANDING, 1)], "mutation_bp is not on the chromosome at index 0"),
        ([(5, 6, 1, 1, 0, STANDING, 1)], "mutation_node is no node at index 0"),
        ([(5, 4, 1, -1, 0, STANDING, 1)], "mutation_id is out of range at index 0"),
        ([(5, 4, 1, 1, 0, 3, 1)], "mutation_kind is neither 1 nor 2 at index 0"),
    ],
)
def test_mutations_that_cannot_be(mutations, message):
    with pytest.raises(RunError) as caught:
        with_mutations(*mutations)
    assert message in str(caught.value)


def test_what_is_inherited():
    # rows: 0 has ids 5 6, 1 (below 0) has 7, 2 (below 1) has 6 8; 5 is not passed on
    ids, offset = np.array([5, 6, 7, 6, 8]), np.array([0, 2, 3, 5])
    entry, ends = inherit(np.array([-1, 0, 1], np.int32), ids, offset, ids != 5)
    assert [ids[entry[a:b]].tolist() for a, b in itertools.pairwise(ends)] == [[5, 6], [6, 7], [7, 6, 8]]


# ---- roots


def test_roots_are_those_of_the_trees():
    topmost = built().nodes_time[built().edges_parent] == 31
    uncovered = edited(built(), lambda t: t.edges.keep_rows(~topmost | (np.arange(len(topmost)) % 7 > 0)))
    unknown_population = msprime.sim_ancestry(4, sequence_length=1000, recombination_rate=1e-3, end_time=3,
                                              population_size=5, random_seed=2)  # fmt: skip
    for ts in (built(), with_mutations(), uncovered, unknown_population):
        slow = {}
        for tree in ts.trees():
            for root in tree.roots:
                slow.setdefault(root, []).append((int(tree.interval.left), int(tree.interval.right)))
        node, left, right = trees.roots(ts)
        fast = [(n, a, b) for n, a, b in zip(node.tolist(), left.tolist(), right.tolist(), strict=True)]
        assert fast == [(n, a, b) for n in sorted(slow) for a, b in joined(slow[n])]
        assert len(fast) > 1


# ---- names


def test_names_of_samples():
    assert trees.sample_names(built()) == [*(f"modern-20_{k}" for k in range(3)), *(f"modern_{k}" for k in range(5))]
    half = relabelled(built(), generation_time=28.4, today_tick=100)
    assert trees.sample_names(half)[:4] == ["modern-850_0", "modern-850_1", "modern-850_2", "modern_0"]
    plain = msprime.sim_ancestry(2, sequence_length=10, random_seed=1)
    assert trees.sample_names(plain) == ["pop_0_0", "pop_0_1"]
    with pytest.raises(RunError, match="samples that belong to no individual"):
        trees.sample_names(tskit.Tree.generate_star(3).tree_sequence)


# ---- files


def test_a_file_is_read_as_it_was_written(tmp_path):
    path = trees.tree_path(tmp_path, "main", 0, "none", "22")
    assert path == tmp_path / "trees/main/0/chr22.tsz"
    assert trees.tree_path(tmp_path, "p", 3, "neutral", "1") == tmp_path / "trees/p/3-neutral/chr1.tsz"
    ts = built()
    assert trees.write(ts, path) == path
    assert trees.load(path).equals(ts)
    assert tszip.load(path).equals(ts)  # anybody's tools
    trees.write(built(2), path)
    assert trees.load(path).equals(built(2))
    assert [p.name for p in path.parent.iterdir()] == ["chr22.tsz"]
    ts.dump(tmp_path / "plain.trees")
    assert trees.load(tmp_path / "plain.trees").equals(ts)
    check(trees.load(path), toy(2))


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "chr22.tsz"
    trees.write(built(), path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(RunError, match=r"chr22\.tsz: cannot be written \(No space left on device\)"):
        trees.write(built(2), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["chr22.tsz"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        trees.write(built(), tmp_path / "file" / "chr22.tsz")


def one_line(caught, path):
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path))
    return line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got 'an empty file'"),
        (b"chrom\tstart\tend\n", "got 'a file that is no tree sequence'; allowed: a tree sequence, as .tsz"),
        (b"PK\x03", "got 'a file that is no tree sequence'"),
    ],
)
def test_files_that_are_no_tree_sequences(tmp_path, content, message):
    path = tmp_path / "chr22.tsz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        trees.load(path)
    assert message in one_line(caught, path)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path / "chr22.tsz", tmp_path):
        with pytest.raises(InputError) as caught:
            trees.load(path)
        assert "allowed: a tree file that can be read" in one_line(caught, path)


def test_a_zip_file_of_something_else(tmp_path):
    path = tmp_path / "chr22.tsz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError) as caught:
        trees.load(path)
    assert "got 'a zip file that is no tree sequence'; allowed: a file that tszip made" in one_line(caught, path)


@pytest.mark.parametrize("ending", ["tsz", "trees"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_truncated_files(tmp_path, ending, share):
    path = tmp_path / f"chr22.{ending}"
    if ending == "tsz":
        trees.write(built(), path)
    else:
        built().dump(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(8, int(len(content) * share))])
    with pytest.raises(RunError) as caught:
        trees.load(path)
    assert "truncated or damaged" in one_line(caught, path) and "copy it again" in str(caught.value)


def test_damaged_files_are_never_read_as_something_else(tmp_path):
    path = tmp_path / "chr22.tsz"
    trees.write(built(), path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    caught = 0
    for _ in range(24):
        spot = int(rng.integers(8, len(content)))
        path.write_bytes(content[:spot] + bytes([content[spot] ^ 0xFF]) + content[spot + 1 :])
        try:
            ts = trees.load(path)
        except AdmixError as error:
            assert "\n" not in str(error)
            caught += 1
        else:
            assert ts.equals(built(), ignore_provenance=True)  # a byte that nobody reads, as a date in the zip
    assert caught > 8


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("0.8", "got 'SLiM file format 0.8'; allowed: format 0.9 (admix, SLiM 5.1 and 5.2); bring it forward with"
         " pyslim.update"),
        ("0.7", "bring it forward with pyslim.update"),
        ("1.0", "got 'SLiM file format 1.0'; allowed: format 0.9 (admix, SLiM 5.1 and 5.2); files of SLiM 6 are not"
         " supported yet"),
        ("fox", "got 'SLiM file format fox'; allowed: format 0.9 (admix, SLiM 5.1 and 5.2)"),
    ],
)  # fmt: skip
def test_other_formats(tmp_path, version, message):
    path = tmp_path / "chr22.tsz"
    trees.write(relabelled(built(), "SLiM", file_version=version), path)
    with pytest.raises(InputError) as caught:
        trees.load(path)
    assert message in one_line(caught, path)


def test_tree_sequences_of_other_programs(tmp_path):
    path = tmp_path / "chr22.trees"
    msprime.sim_ancestry(2, sequence_length=10, random_seed=1).dump(path)
    with pytest.raises(InputError) as caught:
        trees.load(path)
    assert "got 'a tree sequence without SLiM metadata'" in one_line(caught, path)


# ---- validation


def test_a_good_file_is_accepted():
    check(built())
    check(built(), labels=None)
    check(built(), labels=None, census=toy().labels.census)
    check(built(), labels=dataclasses.replace(toy().labels, run=""))
    check(built(), labels=dataclasses.replace(toy().labels, parameters={"another": 1}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("run", "0123456789abcdef", "the file is from another run; take the one of this run"),
        ("seed", 4, "FILE: seed: got 3; allowed: 4: the file is from another run"),
        ("branch", "p20", "FILE: branch: got 'main'; allowed: 'p20', as its place says"),
        ("replicate", 1, "FILE: replicate: got 0; allowed: 1, as its place says"),
        ("twin", "neutral", "FILE: twin: got 'none'; allowed: 'neutral', as its place says"),
    ],
)
def test_files_from_elsewhere(key, value, message):
    with pytest.raises(InputError) as caught:
        check(built(), labels=dataclasses.replace(toy().labels, **{key: value}))
    assert message in one_line(caught, "FILE")


def test_another_chromosome():
    with pytest.raises(InputError, match="FILE: chrom: got '22'; allowed: '21', as its place says"):
        check(built(), chrom="21")


def test_another_length():
    with pytest.raises(InputError, match="FILE: sequence length: got '51,304,566 bp'; allowed: 48,129,895 bp, as"):
        check(built(), length=48_129_895)


def test_other_time_units():
    with pytest.raises(InputError, match="FILE: time units: got 'ticks'; allowed: generations"):
        check(edited(built(), lambda tables: setattr(tables, "time_units", "ticks")))


ENTRY = {"tick": 59, "time_ago": 31, "pulse": "pulse", "source": "archaic", "target": "modern"}


@pytest.mark.parametrize(
    ("census", "message"),
    [
        ([], "no census for pulse pulse (there is one for: none)"),
        ([ENTRY | {"pulse": "second"}], "no census for pulse pulse (there is one for: second)"),
        (
            [ENTRY, ENTRY | {"tick": 49, "time_ago": 41}],
            "two conflicting censuses for pulse pulse, 31 and 41 generations ago",
        ),
        ([ENTRY | {"tick": 49, "time_ago": 41}], "the census for pulse pulse is 41 generations ago, not 31"),
    ],
)
def test_censuses_that_are_missing_or_in_conflict(census, message):
    ts = relabelled(built(), census=census)
    with pytest.raises(RunError) as caught:
        check(ts)
    assert message in one_line(caught, "FILE")


def test_the_same_census_twice_is_one():
    check(relabelled(built(), census=[ENTRY, ENTRY]))


def test_a_census_without_nodes():
    def forget(tables):
        tables.nodes.flags &= np.uint32(tskit.NODE_IS_SAMPLE)
        tables.individuals.flags &= np.uint32(0)

    def unflag(tables):
        at = tables.nodes.time == 31
        tables.nodes.flags = np.where(at, 0, tables.nodes.flags).astype(np.uint32)

    with pytest.raises(RunError, match=r"FILE: no census 31 generations ago \(nor at any time\)"):
        check(edited(built(), forget))
    with pytest.raises(RunError, match=r"FILE: no census 31 generations ago \(there is one 30\)"):
        check(edited(built(), unflag))
    with pytest.raises(RunError, match="no census is recorded in it"):
        check(relabelled(built(), census=[]), labels=None)


def test_a_census_of_unknown_demes():
    odd = [dataclasses.replace(c, source="archaicc") for c in toy().labels.census]
    bare = edited(built(), lambda tables: setattr(tables, "metadata", {"SLiM": tables.metadata["SLiM"]}))
    with pytest.raises(InputError, match=r"did you mean archaic\?"):
        check(bare, labels=None, census=odd)


def test_simplified_files():
    """What simplify does to a file is seen, unless it was told to keep what is needed."""
    ts = built()
    kept = {"keep_input_roots": True, "filter_populations": False}
    check(ts.simplify(ts.samples()[:6], keep_unary=True, **kept))
    with pytest.raises(RunError, match=r"bases end before the census, the first at node \d+, [\d,]+ to [\d,]+ bp"):
        check(ts.simplify(**(kept | {"keep_input_roots": False})))
    # unary nodes of generation 1 and of the census are gone, but the roots are there
    check(ts.simplify(**kept))
    with pytest.raises(RunError, match="bases end before the census, the first at node"):
        check(edited(ts, lambda t: t.edges.keep_rows(np.arange(t.edges.num_rows) != 5)))


def test_edges_that_pass_the_census():
    """Roots ten generations older, and no node at the census: in SLiM, the default retainCoalescentOnly=T."""

    def older(tables):
        at = tables.nodes.time == 31
        tables.nodes.time = np.where(at, 41, tables.nodes.time)
        tables.mutations.clear()
        pick = int(np.flatnonzero(at)[0])
        time = tables.nodes.time
        time[pick] = 31
        tables.nodes.time = time

    with pytest.raises(RunError, match=r"[\d,]+ edges pass the census 31 generations ago without a node"):
        check(edited(built(), older))


# ---- files of SLiM


def as_slim(ts):
    """The file that SLiM would have written: no labels of admix, no flags of nodes, retained individuals."""

    def change(tables):
        tables.metadata = {"SLiM": tables.metadata["SLiM"]}
        tables.nodes.flags &= np.uint32(tskit.NODE_IS_SAMPLE)

    return edited(ts, change)


def test_a_census_in_a_file_of_slim():
    ts = as_slim(built())
    assert trees.admix_metadata(ts) is None
    census = toy().labels.census
    check(ts, labels=None, census=census)
    check(ts)  # labels give the census and are not compared
    found = trees.census_nodes(ts, 31)
    assert np.array_equal(found, trees.census_nodes(built(), 31)) and len(found) > 10
    assert len(trees.census_nodes(ts, 30)) > 10
    with pytest.raises(RunError, match=r"no census 29 generations ago \(there is one 20, 30, 31\)"):
        trees.census_nodes(ts, 29)
    with pytest.raises(RunError, match="no census is recorded in it"):
        check(ts, labels=None)


def test_alleles_of_another_model():
    """sim_mutations with its default model works on SLiM's alleles without complaint; what comes out is refused."""
    ts = msprime.sim_mutations(with_mutations(*MUTATIONS[-1:]), rate=1e-5, random_seed=1, end_time=31)
    assert {m.derived_state for m in ts.mutations()} & set("ACGT")
    with pytest.raises(RunError, match=r"an allele that is no list of SLiM mutation ids \('[ACGT]'\)"):
        trees.mutations(ts, "FILE")


def test_metadata_that_do_not_fit_the_alleles():
    def change(tables):
        columns = {k: v for k, v in tables.mutations.asdict().items() if k != "metadata_schema"}
        states = tskit.unpack_strings(columns["derived_state"], columns["derived_state_offset"])
        packed, offset = tskit.pack_strings([states[0] + ",99", *states[1:]])
        tables.mutations.set_columns(**(columns | {"derived_state": packed, "derived_state_offset": offset}))

    with pytest.raises(RunError, match=r"FILE: mutation \d+ has \d ids and metadata for \d; the file is damaged"):
        trees.mutations(edited(built(), change), "FILE")


SCRIPT = """
initialize() {
    initializeTreeSeq(retainCoalescentOnly=F, timeUnit="generations");
    initializeMutationRate(2e-4);
    initializeMutationType("m1", 0.5, "g", -0.03, 0.2);
    m1.convertToSubstitution = F;
    initializeGenomicElementType("g1", m1, 1.0);
    initializeGenomicElement(g1, 0, 999);
    initializeRecombinationRate(1e-3);
}
1 early() { sim.addSubpop("p1", 40); p1.name = "modern"; }
2 early() { sim.addSubpopSplit("p2", 12, p1); p2.name = "archaic"; }
60 early() { p1.setMigrationRates(p2, 0.3); }
59 late() { sim.treeSeqRememberIndividuals(sim.subpopulations.individuals, permanent=F); }
60 late() { p1.setMigrationRates(p2, 0.0); }
62 early() { p2.setSubpopulationSize(0); }
90 late() { sim.treeSeqOutput(OUT); }
"""


@pytest.mark.slim
@pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH")
def test_what_slim_writes(tmp_path):
    script = tmp_path / "model.slim"
    script.write_text(SCRIPT)
    out = tmp_path / "out.trees"
    subprocess.run([SLIM, "-s", "1", "-d", f"OUT='{out}'", str(script)], check=True, capture_output=True)
    ts = trees.load(out)
    census = [Census(tick=59, time_ago=31, pulse="pulse", source="archaic", target="modern")]
    trees.validate(ts, str(out), chrom="22", length=1000, census=census)
    assert len(trees.census_nodes(ts, 31)) > 10
    found = trees.mutations(ts)
    assert len(found.id) > 20 and found.s.max() <= 0 and found.tick.max() <= 90
    assert trees.next_mutation_id(ts) == pyslim.next_slim_mutation_id(ts)
    assert [trees.sample_names(ts)[k] for k in (0, 39)] == ["modern_0", "modern_39"]
    short = [dataclasses.replace(census[0], time_ago=30)]
    with pytest.raises(RunError, match="no census 30 generations ago"):
        trees.validate(ts, str(out), chrom="22", length=1000, census=short)
    coalescent = SCRIPT.replace("retainCoalescentOnly=F", "retainCoalescentOnly=T")
    script.write_text(coalescent)
    subprocess.run([SLIM, "-s", "1", "-d", f"OUT='{out}'", str(script)], check=True, capture_output=True)
    with pytest.raises(RunError, match=r"edges pass the census|no census 31"):
        trees.validate(trees.load(out), str(out), chrom="22", length=1000, census=census)


def test_nothing_else_decodes_mutation_metadata():
    """SLiM 6 moves it: only the adapter may know where it is."""
    package = Path(trees.__file__).parent
    knowing = {p.name for p in package.rglob("*.py") if re.search(r"mutation_list|MUTATION_RECORD", p.read_text())}
    assert knowing == {"tree_formats.py", "tree_metadata.py", "tree_tables.py"}
