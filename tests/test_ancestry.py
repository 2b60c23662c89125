# SPDX-License-Identifier: GPL-3.0-or-later
"""Local ancestry against what happened, against slow twins, and against tskit's link_ancestors."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ancestry_reference as ref
import ancestry_toy as toy
import msprime
import numpy as np
import pytest
import tskit
from ancestry_toy import AFRICAN, DENISOVAN, MODERN, NEANDERTHAL, Move
from test_kernel_modes import MODES, environment

from admix import ancestry
from admix.ancestry import NATIVE, UNCOVERED, Tracts, census_ancestry, labels_at, local_ancestry, window_shares
from admix.errors import InputError, RunError

PULSE = [Move(1, NEANDERTHAL, MODERN, 2)]
TODAY = [(MODERN, 12)]
STORIES: dict[str, tuple[Sequence[Move], Sequence[tuple[int, int]]]] = {
    "one pulse": (PULSE, TODAY),
    "two pulses of one source": ([*PULSE, Move(6, NEANDERTHAL, MODERN, 2)], TODAY),
    "two sources, the later one over the earlier": (
        [Move(1, NEANDERTHAL, MODERN, 3), Move(4, DENISOVAN, MODERN, 3)],
        TODAY,
    ),
    "two sources in one tick": ([*PULSE, Move(1, DENISOVAN, MODERN, 2)], TODAY),
    "the younger source first in the list": ([Move(5, DENISOVAN, MODERN, 2), *PULSE], TODAY),
    "a source that takes in another": (
        [Move(1, NEANDERTHAL, DENISOVAN, 3), Move(3, DENISOVAN, MODERN, 3), Move(5, NEANDERTHAL, MODERN, 2)],
        [*TODAY, (DENISOVAN, 12)],
    ),
    "migration after the pulse": (
        [*PULSE, *(Move(t, NEANDERTHAL, MODERN, 1, pulse=False) for t in (3, 4, 7))],
        TODAY,
    ),
    "migration to a third deme, and back into the source": (
        [
            *PULSE,
            Move(3, NEANDERTHAL, AFRICAN, 2, pulse=False),
            Move(4, MODERN, NEANDERTHAL, 3, pulse=False),
            Move(6, AFRICAN, MODERN, 2, pulse=False),
            Move(7, NEANDERTHAL, MODERN, 2, pulse=False),
        ],
        [*TODAY, (AFRICAN, 12), (NEANDERTHAL, 12)],
    ),
    "people who left a source before its own first pulse": (
        [
            Move(1, NEANDERTHAL, MODERN, 2),
            Move(1, DENISOVAN, MODERN, 2, pulse=False),
            Move(3, DENISOVAN, MODERN, 2, pulse=False),
            Move(6, DENISOVAN, MODERN, 2),
            Move(8, DENISOVAN, MODERN, 1, pulse=False),
        ],
        TODAY,
    ),
    "ancient people": ([*PULSE, Move(6, DENISOVAN, MODERN, 2)], [*TODAY, (MODERN, 9), (MODERN, 5), (MODERN, 1)]),
    "people of the cohort before the pulse": (PULSE, [*TODAY, (MODERN, 0), (NEANDERTHAL, 0)]),
    "people of the source itself": (PULSE, [*TODAY, (NEANDERTHAL, 12), (NEANDERTHAL, 4)]),
    "a deme without ancestry": (PULSE, [(AFRICAN, 12)]),
}  # fmt: skip


def by_base(tracts: Tracts) -> list[list[int]]:
    """The label of each base of each haplotype."""
    out = np.full((len(tracts.node), int(tracts.length)), 99)
    for row, start, end, label in zip(tracts.row, tracts.start, tracts.end, tracts.label, strict=True):
        assert (out[row, int(start) : int(end)] == 99).all() and start < end
        out[row, int(start) : int(end)] = label
    return out.tolist()


def intervals(tracts: Tracts) -> list[list[ref.Interval]]:
    """The stretches of each haplotype."""
    columns = (tracts.start.tolist(), tracts.end.tolist(), tracts.label.tolist())
    rows = list(zip(*columns, strict=True))
    return [rows[a:b] for a, b in itertools.pairwise(tracts.first)]


def path_up(tree: tskit.Tree, u: int) -> list[int]:
    """A node and all above it."""
    way = [u]
    while tree.parent(way[-1]) != tskit.NULL:
        way.append(tree.parent(way[-1]))
    return way


# ---------------------------------------------------------------------- what happened


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_local_ancestry_is_what_happened(story: str, seed: int) -> None:
    moves, sampled = STORIES[story]
    made = toy.play(moves, sampled, seed=seed)
    tracts = local_ancestry(made.ts)
    assert by_base(tracts) == made.truth
    assert intervals(tracts) == ref.local_ancestry(made.ts, made.sources, made.census, made.since)
    assert tracts.coverage == 1.0
    assert tracts.names == ("native", *(toy.DEMES[q] for q in made.sources))
    assert tracts.node.tolist() == made.ts.samples().tolist()
    assert [toy.DEMES[p] for p in tracts.population] == [toy.DEMES[made.ts.node(u).population] for u in tracts.node]
    # the same without what admix wrote into the file
    bare = toy.play(moves, sampled, seed=seed, metadata=False)
    since = {toy.DEMES[q]: t for q, t in made.since.items()}
    assert by_base(local_ancestry(bare.ts, list(made.sources), since=since)) == made.truth
    if not any(not m.pulse for m in moves):
        parents = sorted({12 - m.tick + 1 for m in moves})
        assert by_base(local_ancestry(bare.ts, list(made.sources), census=parents, since=since)) == made.truth


def test_the_stories_say_something() -> None:
    """Labels that are all 0, or all alike in a haplotype, would show little."""
    for story, (moves, sampled) in STORIES.items():
        truth = [made for seed in (1, 2, 3) for made in toy.play(moves, sampled, seed=seed).truth]
        if story == "a deme without ancestry":
            assert not np.any(truth)
        else:
            assert set(np.unique(truth)) == set(range(len({m.source for m in moves if m.pulse}) + 1)), story
            assert np.mean([len(set(row)) > 1 for row in truth]) > 0.1, story


def test_the_comparison_with_what_happened_can_fail() -> None:
    moves, sampled = STORIES["people who left a source before its own first pulse"]
    made = toy.play(moves, sampled, seed=2, metadata=False)
    assert by_base(local_ancestry(made.ts, list(made.sources))) != made.truth  # `since` is not said
    moves, sampled = STORIES["migration after the pulse"]
    made = toy.play(moves, sampled, seed=2)
    tables = made.ts.dump_tables()
    tables.nodes.flags = tables.nodes.flags & ~np.uint32(toy.MIGRANT)
    with pytest.raises(RunError, match="coverage is 0"):
        local_ancestry(tables.tree_sequence())


def test_edges_beyond_the_oldest_census_change_nothing() -> None:
    """As after recapitation: roots are joined by older nodes, of any deme, with flags or without."""
    made = toy.play(*STORIES["one pulse"])
    tables = made.ts.dump_tables()
    roots = np.flatnonzero(tables.nodes.time == 12)
    for k, u in enumerate(roots[1:]):
        old = tables.nodes.add_row(time=20 + k, population=NEANDERTHAL, flags=[0, toy.MIGRANT][k % 2])
        tables.edges.add_row(0, 60, old, u)
        tables.edges.add_row(0, 60, old, roots[0] if k == 0 else old - 1)
    tables.sort()
    assert by_base(local_ancestry(tables.tree_sequence())) == made.truth


def test_samples_may_be_chosen() -> None:
    made = toy.play(*STORIES["ancient people"])
    every = made.ts.samples()
    chosen = [5, 0, 17]
    tracts = local_ancestry(made.ts, samples=every[chosen])
    assert by_base(tracts) == [made.truth[k] for k in chosen]
    assert tracts.node.tolist() == every[chosen].tolist()
    assert tracts.sample.tolist() == [1, 0, 2] and tracts.haplotype.tolist() == [0, 0, 0]
    for wrong in ([], [every[0], every[0]], [-1], [made.ts.num_nodes]):
        with pytest.raises(InputError, match=r"^samples: got \[.*each once$"):
            local_ancestry(made.ts, samples=wrong)


# ---------------------------------------------------------------------- not covered


def test_a_stretch_without_a_way_up_is_uncovered_and_refused() -> None:
    made = toy.play(*STORIES["one pulse"])
    cut = made.ts.delete_intervals([[10, 25]], simplify=False)
    with pytest.raises(RunError) as caught:
        local_ancestry(cut, where="chr1.tsz")
    assert str(caught.value) == (
        "chr1.tsz: coverage is 0.75, not 1: 12 of 12 haplotypes have bases whose way up lacks a node at a census"
        " (the oldest is 12 generations ago) or migration; keep census nodes, unary nodes and roots when making and"
        " simplifying the file"
    )
    tracts = local_ancestry(cut, require_coverage=False)
    assert by_base(tracts) == [[*row[:10], *[UNCOVERED] * 15, *row[25:]] for row in made.truth]
    assert tracts.coverage == 0.75


def test_one_base_of_one_haplotype_is_enough_to_refuse() -> None:
    made = toy.play(*STORIES["one pulse"])
    tables = made.ts.dump_tables()
    u = int(made.ts.samples()[3])
    rows = [(e.left, e.right, e.parent, e.child) for e in tables.edges]
    tables.edges.clear()
    for left, right, parent, child in rows:
        for a, b in [(left, min(right, 59)), (max(left, 59), right)] if child == u else [(left, right)]:
            if a < b <= 59 or (a < b and child != u):
                tables.edges.add_row(a, b, parent, child)
    tables.sort()
    with pytest.raises(RunError, match=r"coverage is 0\.998611, not 1: 1 of 12 haplotypes"):
        local_ancestry(tables.tree_sequence())


@pytest.mark.parametrize("seed", [1, 2])
def test_trees_that_lost_their_census_are_refused(seed: int) -> None:
    """Without unary nodes ways jump over the census: the ancestry would seem to be nothing, without an error."""
    made = toy.play(*STORIES["people of the source itself"], seed=seed, metadata=False)
    lost = made.ts.simplify(keep_input_roots=False, filter_populations=False)
    kept = (lost.nodes_flags & toy.CENSUS) != 0
    assert kept.any()
    with pytest.raises(RunError, match="coverage is 0"):
        local_ancestry(lost, ["neanderthal"])
    tracts = local_ancestry(lost, ["neanderthal"], require_coverage=False)
    census = sorted(set(lost.nodes_time[kept]))
    assert intervals(tracts) == ref.local_ancestry(lost, {NEANDERTHAL: 1}, census)


def test_a_way_that_jumps_over_a_later_census_is_refused() -> None:
    moves = [*PULSE, Move(6, NEANDERTHAL, MODERN, 2)]
    made = toy.play(moves, TODAY, seed=2)
    tables = made.ts.dump_tables()
    # a lineage of moderns without its nodes in ticks 5 and 6
    tree = made.ts.first()
    way = path_up(tree, made.ts.samples()[0])
    inner = [u for u in way if made.ts.node(u).time in (6, 7)]
    assert {made.ts.node(u).population for u in inner} == {MODERN}
    below, above = way[way.index(inner[0]) - 1], way[way.index(inner[-1]) + 1]
    assert made.ts.node(above).population == MODERN
    rows = [(e.left, e.right, e.parent, e.child) for e in tables.edges]
    tables.edges.clear()
    for left, right, parent, child in rows:
        if child == below and left <= 0 < right:
            tables.edges.add_row(left, 1, above, child)
            left = 1
        if left < right:
            tables.edges.add_row(left, right, parent, child)
    tables.sort()
    ts = tables.tree_sequence()
    with pytest.raises(RunError, match=r"coverage is 0\.99"):
        local_ancestry(ts)
    found = by_base(local_ancestry(ts, require_coverage=False))
    assert found[0] == [UNCOVERED, *made.truth[0][1:]]
    # where the demes of its ends took no part in the census, nothing is lost
    tables.nodes.flags = np.where(
        (tables.nodes.time == 6) | (tables.nodes.time == 7) & (tables.nodes.population == MODERN),
        tables.nodes.flags & ~np.uint32(toy.CENSUS),
        tables.nodes.flags,
    ).astype(np.uint32)
    assert by_base(local_ancestry(tables.tree_sequence()))[0] == made.truth[0]


def test_a_sample_without_any_edge_is_uncovered() -> None:
    made = toy.play(*STORIES["one pulse"])
    tables = made.ts.dump_tables()
    tables.nodes.add_row(flags=tskit.NODE_IS_SAMPLE, time=0, population=MODERN)
    ts = tables.tree_sequence()
    with pytest.raises(RunError, match="1 of 13 haplotypes"):
        local_ancestry(ts)
    tracts = local_ancestry(ts, require_coverage=False)
    assert by_base(tracts) == [*made.truth, [UNCOVERED] * 60]
    assert tracts.sample.tolist()[-2:] == [5, 6] and tracts.haplotype.tolist()[-2:] == [1, 0]


def test_faults_of_the_caller_are_one_line() -> None:
    made = toy.play(*STORIES["one pulse"], metadata=False)
    plain = made.ts.dump_tables()
    plain.nodes.flags = plain.nodes.flags & np.uint32(tskit.NODE_IS_SAMPLE)
    none = plain.tree_sequence()
    tracts = local_ancestry(made.ts, [1])
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: local_ancestry(made.ts), InputError, "sources: got []; allowed: one or several of modern, nea"),
        (lambda: local_ancestry(made.ts, [1, 1]), InputError, "sources: got ['neanderthal', 'neanderthal']; allowed:"),
        (lambda: local_ancestry(made.ts, [4]), InputError, "source: got 4; allowed: a population of the file: modern"),
        (lambda: local_ancestry(made.ts, [-1]), InputError, "source: got -1; allowed: a population of the file"),
        (
            lambda: local_ancestry(made.ts, ["neandertal"]), InputError,
            "source: got 'neandertal'; allowed: a population of the file: modern, neanderthal, denisovan, african;"
            " did you mean neanderthal?",
        ),
        (lambda: local_ancestry(none, [1]), RunError, "tree sequence: no census node found; available: none"),
        (
            lambda: local_ancestry(made.ts, [1], census=7.5, where="x.trees"), RunError,
            "x.trees: no census found at time 7.5; available: 11, 12",
        ),
        (lambda: census_ancestry(none, 7.5), RunError, "tree sequence: no census found at time 7.5; available: none"),
        (lambda: labels_at(tracts, [3, 60]), InputError, "positions: got 60.0; allowed: from 0 to below 60"),
        (lambda: labels_at(tracts, [-0.5]), InputError, "positions: got -0.5; allowed: from 0 to below 60"),
    ]  # fmt: skip
    for call, kind, line in cases:
        with pytest.raises(kind) as caught:
            call()
        assert str(caught.value).startswith(line)


def test_a_census_that_the_file_names_must_be_there() -> None:
    moves = [*PULSE, Move(6, NEANDERTHAL, MODERN, 2)]
    made = toy.play(moves, TODAY, drop=(5, 6))
    with pytest.raises(RunError, match=r"no census found at time 7; available: 11, 12$"):
        local_ancestry(made.ts)
    # nobody who is sampled is younger than the second pulse
    old = toy.play(moves, [(MODERN, 4)], drop=(5, 6))
    assert by_base(local_ancestry(old.ts)) == old.truth


# ---------------------------------------------------------------------- link_ancestors


def linked(ts: tskit.TreeSequence, census: float, by: str) -> list[tuple[int, float, float, int]]:
    """(sample, left, right, label) by tskit, neighbours of one label joined."""
    rows: list[tuple[int, float, float, int]] = []
    # sample by sample, for it links a sample to the next sample above it where there is one
    for u in ts.samples():
        ancestors = np.setdiff1d(np.flatnonzero(ts.nodes_time == census), u)
        table = ts.dump_tables().link_ancestors(samples=[u], ancestors=ancestors)
        label = table.parent if by == "node" else ts.nodes_population[table.parent]
        found = zip(table.child.tolist(), table.left.tolist(), table.right.tolist(), label.tolist(), strict=True)
        rows += sorted(row for row in found if row[0] == u)
    out: list[tuple[int, float, float, int]] = []
    for child, left, right, own in rows:
        if out and out[-1][0] == child and out[-1][2] == left and out[-1][3] == own:
            left = out.pop()[1]
        out.append((child, left, right, own))
    return out


def census_rows(ts: tskit.TreeSequence, census: float, by: Any) -> list[tuple[int, float, float, int]]:
    tracts = census_ancestry(ts, census, by=by)
    keep = tracts.label != UNCOVERED
    label = tracts.label[keep] if by == "population" else np.array(tracts.names, int)[tracts.label[keep]]
    node, start, end = tracts.node[tracts.row[keep]], tracts.start[keep], tracts.end[keep]
    return sorted(zip(node.tolist(), start.tolist(), end.tolist(), label.tolist(), strict=True))


FIRST, SECOND = 30.001, 20.001
"""Right behind the pulses: lineages that have entered a source must not meet before the census."""


def coalescent(
    seed: int, *, discrete: bool = True, census: Sequence[float] = (FIRST,), second: float = 0.2
) -> tskit.TreeSequence:
    """Pulses from two sources, 30 and 20 generations ago; ancient samples and samples of a source."""
    d = msprime.Demography()
    for name, size in (("modern", 200), ("neanderthal", 50), ("denisovan", 50), ("ancestral", 200)):
        d.add_population(name=name, initial_size=size, initially_active=True if name != "ancestral" else None)
    d.add_mass_migration(time=20, source="modern", dest="denisovan", proportion=second)
    d.add_mass_migration(time=30, source="modern", dest="neanderthal", proportion=0.3)
    for time in census:
        d.add_census(time=time)
    d.add_population_split(time=400, derived=["modern", "neanderthal", "denisovan"], ancestral="ancestral")
    d.sort_events()
    samples = [
        msprime.SampleSet(6, population="modern", time=0),
        msprime.SampleSet(2, population="modern", time=25),
        msprime.SampleSet(1, population="modern", time=100),
        msprime.SampleSet(2, population="neanderthal", time=5),
    ]
    return msprime.sim_ancestry(
        samples, demography=d, sequence_length=1000, recombination_rate=2e-4, random_seed=seed, discrete_genome=discrete
    )


@pytest.mark.parametrize("by", ["population", "node"])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("discrete", [True, False])
def test_census_ancestry_is_that_of_link_ancestors(seed: int, discrete: bool, by: str) -> None:
    ts = coalescent(seed, discrete=discrete)
    found = census_rows(ts, FIRST, by)
    assert found == linked(ts, FIRST, by)
    table = ts.dump_tables().link_ancestors(samples=ts.samples(), ancestors=np.flatnonzero(ts.nodes_time == FIRST))
    if by == "node" and discrete:
        assert len(table) == len(found)
    assert len(found) > 40 and len({row[3] for row in found}) > 2
    # all but the two haplotypes that are older than the census
    assert census_ancestry(ts, FIRST).coverage == pytest.approx(20 / 22)


@pytest.mark.parametrize("by", ["population", "node"])
@pytest.mark.parametrize("story", STORIES)
def test_census_ancestry_of_forward_trees_is_that_of_link_ancestors(story: str, by: str) -> None:
    """Here samples are ancestors of samples, and some live at the census."""
    ts = toy.play(*STORIES[story], seed=4).ts
    for time in np.unique(ts.nodes_time[(ts.nodes_flags & toy.CENSUS) != 0]):
        assert census_rows(ts, time, by) == linked(ts, time, by)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_pulses_of_the_coalescent(seed: int) -> None:
    ts = coalescent(seed, census=(SECOND, FIRST))
    tracts = local_ancestry(ts, ["neanderthal", "denisovan"])
    assert intervals(tracts) == ref.local_ancestry(ts, {1: 1, 2: 2}, (SECOND, FIRST))
    given = local_ancestry(ts, [1, 2], census=[FIRST, SECOND])
    assert intervals(given) == intervals(tracts)
    assert set(tracts.label) == {0, 1, 2}
    source = tracts.population == 1
    assert not tracts.label[source[tracts.row]].any()
    assert not tracts.label[(tracts.time > 31)[tracts.row]].any()


def test_one_pulse_of_the_coalescent_is_the_population_at_the_census() -> None:
    ts = coalescent(5, second=0)
    living = ts.samples(population=0, time=0)
    tracts = local_ancestry(ts, ["neanderthal", "denisovan"], samples=living)
    assert intervals(tracts) == intervals(census_ancestry(ts, FIRST, samples=living))
    assert set(tracts.label) == {0, 1}


@pytest.mark.parametrize("seed", [1, 3])
def test_a_pulse_without_a_census_of_its_own_is_refused(seed: int) -> None:
    """What two lineages share after they have entered a source lies above a node that is no census's."""
    ts = coalescent(seed)
    with pytest.raises(RunError, match="coverage is 0"):
        local_ancestry(ts, [1, 2])
    tracts = local_ancestry(ts, [1, 2], require_coverage=False)
    assert intervals(tracts) == ref.local_ancestry(ts, {1: 1, 2: 2}, (FIRST,))


# ---------------------------------------------------------------------- what is made of tracts


def test_labels_at() -> None:
    made = toy.play(*STORIES["two sources in one tick"])
    where = [59, 0, 17, 3, 17]
    expected = [[row[x] for x in where] for row in made.truth]
    found = labels_at(made.ts, where)
    assert found.dtype == np.int8 and found.tolist() == expected
    tracts = local_ancestry(made.ts)
    assert labels_at(tracts, np.array(where) + 0.9).tolist() == expected
    assert labels_at(tracts, []).shape == (12, 0)
    assert labels_at(tracts, np.arange(60)).tolist() == made.truth
    cut = made.ts.delete_intervals([[10, 25]], simplify=False)
    assert labels_at(cut, [24], require_coverage=False).tolist() == [[UNCOVERED]] * 12


def test_labels_beyond_a_byte_are_refused() -> None:
    ts = toy.play(PULSE, [(MODERN, 2)], n=150, last=2).ts
    tracts = census_ancestry(ts, 2, by="node")
    assert tracts.label.max() > 127
    with pytest.raises(InputError, match="at most 127"):
        labels_at(tracts, [0])


@pytest.mark.parametrize("story", STORIES)
def test_window_shares_and_amounts(story: str) -> None:
    made = toy.play(*STORIES[story])
    tracts = local_ancestry(made.ts)
    truth = np.array(made.truth)
    start, end = [0, 7, 30, 59, 5], [7, 30, 59, 60, 60]
    found = window_shares(tracts, start, end)
    expected = [
        [np.mean(truth[:, a:b] == q) for a, b in zip(start, end, strict=True)] for q in range(len(tracts.names))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    rows = np.arange(len(truth)) % 3 == 0
    some = window_shares(tracts, start, end, rows)
    expected = [
        [np.mean(truth[rows, a:b] == q) for a, b in zip(start, end, strict=True)] for q in range(len(tracts.names))
    ]
    np.testing.assert_allclose(some, expected, rtol=1e-12, atol=0)
    amounts = [[np.sum(row == q) for q in range(len(tracts.names))] for row in truth]
    assert tracts.amounts().tolist() == amounts
    # a measure by which the first 20 bases count double and the last 30 nothing
    weight = np.repeat([2.0, 1.0, 0.0], [20, 10, 30])
    weighted = [[weight[row == q].sum() for q in range(len(tracts.names))] for row in truth]
    np.testing.assert_allclose(tracts.amounts(([0, 20, 30, 60], [0, 40, 50, 50])), weighted, rtol=1e-12)


def test_uncovered_bases_count_in_no_label() -> None:
    made = toy.play(*STORIES["one pulse"])
    tracts = local_ancestry(made.ts.delete_intervals([[10, 25]], simplify=False), require_coverage=False)
    np.testing.assert_allclose(window_shares(tracts, [0, 10, 20], [10, 25, 30]).sum(axis=0), [1, 0, 0.5])
    assert tracts.amounts().sum(axis=1).tolist() == [45.0] * 12
    assert "uncovered" not in set(tracts.frame()["source"]) and len(tracts.frame()) < len(tracts.start)


def test_frame() -> None:
    made = toy.play(*STORIES["two sources in one tick"])
    tracts = local_ancestry(made.ts)
    frame = tracts.frame()
    rows = [[99] * 60 for _ in made.truth]
    for r in frame.to_dict("records"):
        row = 2 * r["sample"] + r["haplotype"]
        rows[row][r["start"] : r["end"]] = [tracts.names.index(r["source"])] * (r["end"] - r["start"])
    assert rows == made.truth
    assert frame["start"].dtype == np.int64
    archaic = tracts.frame([1, 2])
    assert set(archaic["source"]) == {"neanderthal", "denisovan"}
    assert len(archaic) == (tracts.label != NATIVE).sum()
    continuous = census_ancestry(coalescent(1, discrete=False), FIRST).frame()
    assert continuous["start"].dtype == np.float64 and set(continuous["source"]) == {
        "modern",
        "neanderthal",
        "denisovan",
    }


def test_the_kernel_is_asked_again_with_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    made = toy.play(*STORIES["ancient people"])
    monkeypatch.setattr(ancestry, "_FEW", 1)
    assert by_base(local_ancestry(made.ts)) == made.truth


@pytest.mark.parametrize("mode", MODES)
def test_kernels_agree_with_their_twins_in_other_modes(mode: str) -> None:
    """With the JIT off, and with every index checked."""
    tests = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ancestry_kernels.py"],
        cwd=tests,
        env=environment(mode),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    outcome = re.fullmatch(r"(\d+) passed in .*", done.stdout.splitlines()[-1].strip("= "))
    assert outcome and int(outcome[1]) == 14, done.stdout[-2000:]


# ---------------------------------------------------------------------- SLiM

SLIM = shutil.which(os.environ.get("SLIM") or "slim")
PROGRAM = """
initialize() {
    initializeTreeSeq(retainCoalescentOnly=RETAIN, timeUnit="generations");
    initializeMutationRate(0); initializeRecombinationRate(2e-4);
    initializeMutationType("m1", 0.5, "f", 0.0); m1.convertToSubstitution = F;
    initializeGenomicElementType("g1", m1, 1.0); initializeGenomicElement(g1, 0, 999);
}
1 early() { sim.addSubpop("p1", 40); sim.addSubpop("p2", 20); }
10 late() {
    p2.haplosomes.addNewDrawnMutation(m1, seq(0, 999, by=7));
    sim.treeSeqRememberIndividuals(sim.subpopulations.individuals, permanent=F);
    p1.setMigrationRates(p2, 0.25);
}
11 early() { p1.setMigrationRates(p2, 0.25); }
11 late() { p1.setMigrationRates(p2, 0.0); }
30 late() { sim.treeSeqOutput(OUT); }
"""


@pytest.mark.slim
@pytest.mark.skipif(SLIM is None, reason="SLiM is not installed")
@pytest.mark.parametrize("retain", ["F", "T"])
def test_trees_of_slim_agree_with_marker_mutations(retain: str, tmp_path: Path) -> None:
    """Every haplotype of the source carries markers from the census on; who has one has the source's DNA there."""
    script = tmp_path / "pulse.slim"
    script.write_text(PROGRAM)
    out = tmp_path / "out.trees"
    options = ["-s", "5", "-d", f"RETAIN={retain}", "-d", f"OUT='{out}'", str(script)]
    subprocess.run([str(SLIM), *options], check=True, capture_output=True)
    ts = tskit.load(out)
    living = ts.samples(time=0, population=1)
    options = {"sources": ["p2"], "census": 20, "samples": living}
    if retain == "T":
        with pytest.raises(RunError, match=r"no census found at time 20; available: none$|coverage is 0"):
            local_ancestry(ts, **options)
        return
    carried = np.stack([v.genotypes > 0 for v in ts.variants(samples=living)], axis=1)
    positions = ts.sites_position
    assert len(positions) == 143 and 0.1 < carried.mean() < 0.5
    assert np.array_equal(labels_at(ts, positions, **options) == 1, carried)
    with pytest.raises(RunError, match=r"no census found at time 7; available: 20$"):
        local_ancestry(ts, ["p2"], census=7)
