# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree files of a branch: made, held against the markers, refused where they differ."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyslim
import pytest
import small

from admix import trees
from admix.ancestry import local_ancestry
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.genealogy import chromosome_records, sample_order
from admix.errors import RunError
from admix.genealogies import expected_labels, write_trees


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
