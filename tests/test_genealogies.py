# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree files of a branch: made, held against the markers, refused where they differ."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyslim
import pytest
import small

from admix import simulate, trees
from admix.ancestry import local_ancestry
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.genealogy import chromosome_records, sample_order
from admix.engines.native.pedigree import Pedigree
from admix.errors import InputError, RunError
from admix.genealogies import expected_labels, write_trees
from admix.results import read_run
from admix.run_trees import tree_files
from admix.simulate import RunOptions


@pytest.fixture(scope="module", params=["none", "neutral"])
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trees")
    parts = small.Parts(small.scenario(), folder / "cache")
    lineages, last = parts.lineages(), parts.schedule.today
    samples = {last: {1: np.arange(0, 20, 2)}, last - 9: {1: np.array([3, 5])}}
    branch = Branch(
        parts.schedule, parts.tables, parts.workers,
        BranchPlan(branch="main", replicate=0, twin=request.param, seed=5, burnin=0, last=last,
                   landscape_generations=(), spread_generations=(), samples=samples),
    )  # fmt: skip
    branch.run(lineages, lambda fraction, note: None)
    genome = parts.scenario.build_genome()
    labels = trees.TreeLabels.from_schedule(
        parts.schedule, branch="main", replicate=0, twin=request.param, seed=5, chroms=genome.chroms, last_tick=last,
        samples=[(d, t, len(w)) for t in sorted(samples) for d, w in samples[t].items()],
    )  # fmt: skip
    expected = expected_labels(
        [branch.sampled_marks[at] for at in sorted(branch.sampled_marks)], parts.tables.n_markers
    )
    records = list(chromosome_records(branch, lineages, genome))
    return SimpleNamespace(
        parts=parts, branch=branch, genome=genome, labels=labels, expected=expected, records=records, folder=folder,
        samples=samples, last=last, twin=request.param,
    )  # fmt: skip


def test_files_are_written_and_valid(made):
    paths = write_trees(
        made.records, made.labels, made.genome, made.expected, lambda c: made.folder / "out" / f"chr{c}.tsz", 2
    )
    assert [p.name for p in paths] == ["chr21.tsz", "chr22.tsz"]
    for c, path in enumerate(paths):
        ts = trees.load(path)
        length = int(made.genome.window_end[made.genome.window_chrom == c].max())
        trees.validate(ts, str(path), chrom=made.genome.chroms[c], length=length, labels=made.labels)
        assert ts.num_samples == 24
        assert local_ancestry(ts).coverage == 1
        alive = pyslim.individuals_alive_at(ts, 0)
        assert len(alive) == 10
        assert len(pyslim.individuals_alive_at(ts, 9)) >= 2
        assert (ts.num_mutations == 0) == (made.twin == "neutral")
        kinds = {m["mutation_type"] for row in ts.mutations() for m in row.metadata["mutation_list"]}
        assert kinds == (set() if made.twin == "neutral" else {trees.NEW, trees.STANDING})
        named = trees.sample_names(ts)
        assert named[:3] == ["modern-9_0", "modern-9_1", "modern_0"]


def test_sampled_haplotypes_are_those_of_the_engine(made):
    """Mutations of each living sample, read off the trees, against the engine's last cohort."""
    if made.twin == "neutral":
        return
    world, genome = made.branch.world, made.genome
    order = sample_order(made.samples)
    want = {}
    for k, (tick, deme, i) in enumerate(order):
        for strand in (0, 1) if tick == made.last else ():
            d, m, hap = world.demes[deme], world.mutations, 2 * i + strand
            ids = [j for n, j in enumerate(d.layout.ids) if int(d.rows.bits[hap, n >> 6] >> np.uint64(n & 63)) & 1]
            ids += [
                int(key & np.uint64(0xFFFFFFFF)) for key in d.rows.rare[hap, : d.rows.n_rare[hap]]
            ] + d.fixed.tolist()
            chrom, bp = genome.target_positions(m["site"][np.array(ids, int)])
            want[2 * k + strand] = sorted(
                zip(chrom.tolist(), bp.tolist(), np.float32(m["s"][ids]).tolist(), strict=True)
            )
    have = {u: [] for u in want}
    for c, record in enumerate(made.records):
        for tree in trees.build(record, made.labels).trees():
            for site in tree.sites():
                lists = [(set(tree.samples(m.node)), m.metadata["mutation_list"]) for m in site.mutations]
                for u, rows in have.items():
                    # of the mutations on a sample's path the lowest has the longest list: they are stacked
                    on = max((entries for below, entries in lists if u in below), key=len, default=[])
                    rows += [(c, int(site.position), e["selection_coeff"]) for e in on]
    assert {u: sorted(rows) for u, rows in have.items()} == want


def test_a_label_that_differs_from_a_marker_stops_all(made):
    wrong = made.expected.copy()
    at = np.flatnonzero(wrong[7] == 0)[3]
    wrong[7, at] = 1
    with pytest.raises(RunError, match=r"1 of [\d,]+ labels differ from the markers") as caught:
        write_trees(made.records, made.labels, made.genome, wrong, lambda c: made.folder / "no" / f"chr{c}.tsz")
    assert "\n" not in str(caught.value)


def test_expected_labels():
    marks = np.zeros((2, 3, 2), np.uint64)
    marks[0, 0, 0] = 0b101
    marks[1, 2, 1] = 1
    found = expected_labels([marks[:, :1], marks[:, 1:]], 66)
    want = np.zeros((3, 66), np.int8)
    want[0, [0, 2]] = 1
    want[2, 64] = 2
    np.testing.assert_array_equal(found, want)


def test_order_of_samples():
    samples = {9: {1: np.array([4, 7]), 0: np.array([2])}, 3: {1: np.array([5])}}
    assert sample_order(samples) == [(3, 1, 5), (9, 0, 2), (9, 1, 4), (9, 1, 7)]


@pytest.fixture(scope="module")
def to_split(tmp_path_factory):
    """A run whose trees reach back to the split, with a Neanderthal who lived before the pulse."""
    folder = tmp_path_factory.mktemp("split")
    people = [{"deme": "modern", "n": 4}, {"deme": "archaic", "time": 45, "n": 2}]
    chosen = small.scenario(sampling=small.TREE["sampling"] | {"individuals": people})
    options = RunOptions(
        out=folder / "run", cache_dir=folder / "cache", threads=1, trees=True, trees_to="split", keep_parents=True
    )
    return read_run(simulate.run(chosen, options)), folder


def test_trees_to_the_split(to_split):
    run, _ = to_split
    assert run.scenario.run.trees_to == "split"
    for file in tree_files(run):
        ts = file.load()
        assert ts.metadata["admix"]["recorded_from_tick"] == 0
        names = trees.population_names(ts)
        tracts = local_ancestry(ts)
        for tree in ts.trees():
            for u in ts.samples():
                line = [u]
                while (p := tree.parent(line[-1])) >= 0:
                    line.append(p)
                assert ts.nodes_time[line[-1]] == 90
                assert names[ts.nodes_population[line[-1]]] == "ancestral"
        demes = [names[p] for p in ts.nodes_population[tracts.node]]
        assert demes[:4] == ["archaic"] * 4
        assert (ts.nodes_time[tracts.node[:4]] == 45).all()
        # what is in its own deme has not come in by a pulse
        assert (tracts.label[np.isin(tracts.row, range(4))] == 0).all()
        born = np.array([e["slim_time"] for m in ts.mutations() for e in m.metadata["mutation_list"]])
        kinds = np.array([e["mutation_type"] for m in ts.mutations() for e in m.metadata["mutation_list"]])
        assert (born[kinds == trees.NEW] >= 1).all()
        assert (born[kinds == trees.STANDING] < 1).all()
        assert ((born >= 1) & (born < 59)).any()


def test_the_way_back_does_not_change_the_tables_after_the_pulse(to_split, tmp_path):
    """--trees-to split has a history of its own, and what follows is the same simulation with that history."""
    run, folder = to_split
    options = RunOptions(out=tmp_path / "again", cache_dir=folder / "cache", threads=2, trees=True, trees_to="split")
    again = read_run(simulate.run(run.scenario.with_run(), options))
    for table in ("trajectory", "pulse", "ancestors"):
        assert again.table(table).equals(run.table(table))


def test_parents_are_kept_if_asked_for(to_split):
    run, _ = to_split
    assert "parents/main/0.npz" in run.manifest["files"]
    with np.load(run.path / "parents" / "main" / "0.npz") as kept:
        arrays = dict(kept)
    pedigree = Pedigree.unpack(arrays)
    assert sorted(pedigree.births) == list(range(60, 91))
    assert arrays["demes"].tolist() == ["ancestral", "modern", "archaic"]
    assert (int(arrays["first_tick"]), int(arrays["last_tick"])) == (60, 90)


def test_older_people_need_older_trees(tmp_path):
    people = [{"deme": "archaic", "time": 45, "n": 2}]
    chosen = small.scenario(sampling=small.TREE["sampling"] | {"individuals": people})
    with pytest.raises(InputError, match=r"sampling.individuals: got 'archaic 45 years ago'.*--trees-to split"):
        simulate.estimate(chosen, RunOptions(out=tmp_path / "x", cache_dir=tmp_path, trees=True))


def test_trees_of_nobody(tmp_path):
    with pytest.raises(InputError, match=r"--trees.*sampling.individuals"):
        simulate.estimate(small.scenario(), RunOptions(out=tmp_path / "x", cache_dir=tmp_path, trees=True))
    with pytest.raises(InputError, match=r"--trees-to: got 'split'; allowed: together with --trees"):
        simulate.estimate(small.scenario(), RunOptions(out=tmp_path / "x", cache_dir=tmp_path, trees_to="split"))


def test_people_of_today_are_those_of_the_last_generation_of_a_shorter_run(tmp_path):
    people = [{"deme": "modern", "n": 3}, {"deme": "modern", "time": 25, "n": 2}]
    chosen = small.scenario(sampling=small.TREE["sampling"] | {"individuals": people})
    options = RunOptions(out=tmp_path / "run", cache_dir=tmp_path / "cache", threads=1, trees=True, generations=4)
    run = read_run(simulate.run(chosen, options))
    ts = tree_files(run)[0].load()
    assert ts.nodes_time[ts.samples()].tolist() == [0] * 10
