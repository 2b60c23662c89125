# SPDX-License-Identifier: GPL-3.0-or-later
"""Local ancestry of a run directory: tables beside what happened, and what is refused."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tree_records as records

from admix import ancestry_run, trees
from admix.ancestry_run import TRACT_COLUMNS, known_bases, screen_table, write_ancestry
from admix.errors import InputError, RunError
from admix.genome import Genome, shipped
from admix.results import Run

CHROMS = ("21", "22")


def make_run(path: Path, **options) -> tuple[Run, dict[str, records.Toy]]:
    """A run directory with the tree files of one replicate (and nothing else but the scenario)."""
    toys = {chrom: records.toy(seed=k, chrom=chrom, **options) for k, chrom in enumerate(CHROMS, start=4)}
    made = next(iter(toys.values()))
    path.mkdir(parents=True, exist_ok=True)
    (path / "scenario.yaml").write_text(made.scenario.to_yaml())
    for chrom, one in toys.items():
        labels = one.labels
        trees.write(
            trees.build(one.record, labels),
            trees.tree_path(path, labels.branch, labels.replicate, labels.twin, chrom),
        )
    return Run(path=path, manifest={}), toys


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, records.Toy]]:
    return make_run(tmp_path_factory.mktemp("runs") / "toy")


def tidy(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches that touch as one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if out and out[-1][1] == start:
            start = out.pop()[0]
        out.append((start, end))
    return out


def known_in(genome: Genome, chrom: str, start: int, end: int) -> float:
    """Bases outside gaps in an interval, window by window."""
    total = 0.0
    for w in np.flatnonzero(genome.window_chrom == genome.chroms.index(chrom)):
        a, b = int(genome.window_start[w]), int(genome.window_end[w])
        inside = max(0, min(b, end) - max(a, start))
        total += inside * (b - a - int(genome.window_gap_bp[w])) / (b - a)
    return total


def test_tables_say_what_happened(made: tuple[Run, dict[str, records.Toy]]) -> None:
    run, toys = made
    heard: list[tuple[float, str]] = []
    (written,) = write_ancestry(run, report=lambda *told: heard.append(told))
    assert written.path == run.path / "derived" / "ancestry" / "main" / "0"
    assert (written.branch, written.replicate, written.twin) == ("main", 0, "none")
    assert heard == [(0.5, "main, replicate 0, chromosome 21"), (1.0, "main, replicate 0, chromosome 22")]
    assert sorted(p.name for p in written.path.iterdir()) == ["groups.tsv", "samples.tsv", "tracts.tsv.gz"]

    tracts = pd.read_csv(written.path / "tracts.tsv.gz", sep="\t", dtype={"chrom": str})
    assert tuple(tracts.columns) == TRACT_COLUMNS
    people = trees.sample_names(trees.load(trees.tree_path(run.path, "main", 0, "none", "21")))
    assert len(set(people)) == 8
    expected = {
        (chrom, start, end, "archaic", people[row // 2], row % 2)
        for chrom, one in toys.items()
        for row, own in enumerate(one.archaic)
        for start, end in tidy(own)
    }
    assert len(expected) > 20
    assert set(tracts.itertuples(index=False, name=None)) == expected and len(tracts) == len(expected)
    place = tracts["chrom"].map({c: i for i, c in enumerate(CHROMS)})
    assert tracts.assign(place=place).sort_values(["place", "start"], kind="stable").index.is_monotonic_increasing

    genome = next(iter(toys.values())).genome
    whole = genome.total_bp - genome.gap_bp
    samples = pd.read_csv(written.path / "samples.tsv", sep="\t")
    assert samples["sample"].tolist() == people
    assert samples["years_bp"].tolist() == [20.0] * 3 + [0.0] * 5
    for row in samples.to_dict("records"):
        own = [t for t in expected if t[4] == row["sample"]]
        share = sum(known_in(genome, t[0], t[1], t[2]) for t in own) / (2 * whole)
        assert row["share"] == pytest.approx(share, rel=1e-9)
        lengths = [t[2] - t[1] for t in own]
        assert (row["bp"], row["tracts"], row["longest_bp"]) == (sum(lengths), len(own), max(lengths, default=0))
        assert (row["deme"], row["source"], row["haplotypes"]) == ("modern", "archaic", 2)
        if own:
            assert row["mean_bp"] == pytest.approx(np.mean(lengths))
        else:
            assert np.isnan(row["mean_bp"])

    groups = pd.read_csv(written.path / "groups.tsv", sep="\t")
    assert groups["years_bp"].tolist() == [20.0, 0.0] and groups["individuals"].tolist() == [3, 5]
    for row in groups.to_dict("records"):
        own = samples[samples["years_bp"] == row["years_bp"]]
        assert row["share"] == pytest.approx(own["share"].mean(), rel=1e-9)
        assert row["share_sd"] == pytest.approx(own["share"].std(ddof=0), rel=1e-7)
        assert row["haplotypes"] == 2 * len(own)
        assert row["tracts"] == own["tracts"].sum() and row["bp"] == own["bp"].sum()
        assert row["longest_bp"] == own["longest_bp"].max()
    pd.testing.assert_frame_equal(written.groups, groups, check_dtype=False, rtol=1e-9)
    lines = screen_table(written.groups).splitlines()
    assert lines[0].split() == "deme years ago source people share tracts per haplotype mean tract".split()
    assert len(lines) == 3
    assert f"{100 * groups['share'][1]:.2f} %" in lines[2]


def test_the_same_call_writes_the_same_bytes(made: tuple[Run, dict[str, records.Toy]]) -> None:
    run, _ = made
    (first,) = write_ancestry(run)
    before = {p.name: p.read_bytes() for p in first.path.iterdir()}
    (first.path / "left.over").write_text("x")
    (second,) = write_ancestry(run, branch="main", replicate=0, twin="none")
    assert {p.name: p.read_bytes() for p in second.path.iterdir()} == before
    assert [p.name for p in second.path.parent.iterdir()] == ["0"]
    assert gzip.decompress(before["tracts.tsv.gz"]).startswith(b"chrom\tstart\tend\tsource\tsample\thaplotype\n21\t")


def test_replicates_and_the_neutral_twin_have_folders_of_their_own(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run")
    make_run(tmp_path / "run", replicate=2, twin="neutral")
    both = write_ancestry(run)
    assert [(w.replicate, w.twin, w.path.name) for w in both] == [(0, "none", "0"), (2, "neutral", "2-neutral")]
    assert [w.path.name for w in write_ancestry(run, twin="neutral")] == ["2-neutral"]
    with pytest.raises(InputError, match="replicate 1"):
        write_ancestry(run, replicate=1)


def test_a_missing_chromosome_is_refused(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run")
    trees.tree_path(run.path, "main", 0, "none", "22").unlink()
    with pytest.raises(RunError, match=r"chr22\.tsz: missing"):
        write_ancestry(run)
    assert not (run.path / "derived").exists()


def test_a_fault_on_the_way_leaves_the_old_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = make_run(tmp_path / "run")
    (first,) = write_ancestry(run)
    before = {p.name: p.read_bytes() for p in first.path.iterdir()}
    # the file of the last chromosome loses a stretch of everybody
    path = trees.tree_path(run.path, "main", 0, "none", "22")
    whole = trees.load(path)
    trees.write(whole.delete_intervals([[5, 9]], simplify=False, record_provenance=False), path)
    with pytest.raises(RunError) as caught:
        write_ancestry(run)
    assert "chr22.tsz" in str(caught.value) and "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in first.path.iterdir()} == before
    assert [p.name for p in first.path.parent.iterdir()] == ["0"]
    # a disk that is full when the tables are written
    trees.write(whole, path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ancestry_run.os, "fsync", full)
    with pytest.raises(RunError, match=r"derived/ancestry/main/0: cannot be written \(No space left on device\)"):
        write_ancestry(run)
    assert {p.name: p.read_bytes() for p in first.path.iterdir()} == before


def test_chromosomes_of_different_people_are_refused(tmp_path: Path) -> None:
    run, toys = make_run(tmp_path / "run")
    one = toys["22"]
    samples = (one.record.node_flags & 1) != 0
    last = np.flatnonzero(samples & (one.record.node_individual == one.record.node_individual[samples].max()))
    flags = one.record.node_flags.copy()
    flags[last] &= ~np.uint32(1)
    record = dataclasses.replace(one.record, node_flags=flags)
    trees.write(trees.build(record, one.labels), trees.tree_path(run.path, "main", 0, "none", "22"))
    with pytest.raises(RunError, match=r"chr22\.tsz: its samples or sources are not those of the other chromosomes"):
        write_ancestry(run)


def test_known_bases() -> None:
    """Gap bases are spread over their window, which is exact where a window is all gap or has none."""
    genome = shipped(chromosomes=["21", "22"])
    total = 0
    for c, chrom in enumerate(genome.chroms):
        position, known = known_bases(genome, c)
        assert position[0] == known[0] == 0 and (np.diff(position) > 0).all()
        own = genome.window_chrom == c
        assert np.array_equal(np.diff(known), (genome.window_end - genome.window_start - genome.window_gap_bp)[own])
        assert position[-1] == genome.window_end[own][-1]
        for start, end in [(0, 9_500_000), (9_411_193, 9_411_194), (14_000_000, 20_123_457), (0, int(position[-1]))]:
            found = np.diff(np.interp([start, end], position, known))[0]
            assert found == pytest.approx(known_in(genome, chrom, start, end), rel=1e-9, abs=1e-6)
        total += int(known[-1])
    assert total == genome.total_bp - genome.gap_bp
    whole = shipped()
    length = whole.window_end - whole.window_start
    assert ((whole.window_gap_bp > 0) & (whole.window_gap_bp < length)).sum() == 393  # as the module says
    assert len(length) == 28823
