# SPDX-License-Identifier: GPL-3.0-or-later
"""VCF and label arrays: what other programs read is what the tree sequence and the tracts say."""

import dataclasses
import functools
import gzip
import io
import os
import re
import struct

import msprime
import numpy as np
import pandas as pd
import pytest
import tree_records
import tskit

from admix import trees
from admix.errors import InputError, RunError
from admix.exports import ancestry_labels, sample_nodes, write_labels, write_vcf


@functools.cache
def toy():
    return tree_records.toy(1)


@functools.cache
def built():
    return trees.build(toy().record, toy().labels)


def read_vcf(path):
    """Header lines, sample names and records (fields as text)."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    assert text.endswith("\n") and "\r" not in text
    lines = text.splitlines()
    header = [line for line in lines if line.startswith("##")]
    columns = lines[len(header)].split("\t")
    assert columns[:9] == "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split()
    records = [line.split("\t") for line in lines[len(header) + 1 :]]
    assert all(len(record) == len(columns) for record in records)
    return header, columns[9:], records


def fields(info):
    return dict(part.split("=") for part in info.split(";"))


# ---- VCF


def test_vcf_is_what_people_carry(tmp_path):
    ts, made = built(), toy()
    done = write_vcf(ts, tmp_path / "chr22.vcf", "22")
    header, people, records = read_vcf(tmp_path / "chr22.vcf")
    assert header[0] == "##fileformat=VCFv4.3"
    assert "##contig=<ID=22,length=51304566>" in header
    assert people == trees.sample_names(ts)
    assert (done.sites, done.left_out) == (len(records), ts.num_sites - len(records))
    effects = dict(zip(made.record.mutation_id.tolist(), made.record.mutation_s.tolist(), strict=True))
    kinds = dict(zip(made.record.mutation_id.tolist(), made.record.mutation_kind.tolist(), strict=True))
    left = {base for carried in made.carried for base, ids in carried.items() if ids}
    stacked = 0
    for chrom, pos, name, ref, alt, qual, passed, info, form, *genotypes in records:
        base = int(pos) - 1
        assert (chrom, name, qual, passed, form) == ("22", ".", ".", "PASS", "GT")
        alleles = [ref, *alt.split(",")]
        assert ref == "ACGT"[base % 4] and len(set(alleles)) == len(alleles)
        assert all(len(allele) == 1 and allele in "ACGT" for allele in alleles)
        said = fields(info)
        ids = [set(), *(set(map(int, part.split("&"))) for part in said["MID"].split(","))]
        called = [int(letter) for pair in genotypes for letter in pair.split("|")]
        assert [ids[k] for k in called] == [carried.get(base, set()) for carried in made.carried]
        assert said["AC"] == ",".join(str(called.count(k)) for k in range(1, len(alleles))) and said["AN"] == "16"
        assert set(called) - {0} == set(range(1, len(alleles)))
        for mine, s, types, text in zip(
            ids[1:], said["S"].split(","), said["MT"].split(","), said["MID"].split(","), strict=True
        ):
            assert float(s) == pytest.approx(sum(effects[number] for number in mine), rel=1e-5)
            assert [int(kind) for kind in types.split("&")] == [kinds[int(n)] for n in text.split("&")]
            stacked += len(mine) > 1
        left.discard(base)
    assert len(records) > 15 and stacked > 3
    assert len(left) == done.left_out
    assert [int(record[1]) for record in records] == sorted({int(record[1]) for record in records})


def alleles_record(mutations):
    """A site at each end and one in between, on a star of three people and a sixth haplotype that carries nothing."""
    made = toy()
    n = 6
    return dataclasses.replace(
        made.record,
        length=100,
        node_tick=np.array([90] * n + [59], np.int32),
        node_deme=np.ones(n + 1, np.int16),
        node_flags=np.array([1] * n + [trees.CENSUS], np.uint32),
        node_individual=np.array([0, 0, 1, 1, 2, 2, 9]),
        edge_left=np.zeros(n, np.int64),
        edge_right=np.full(n, 100),
        edge_parent=np.full(n, n, np.int32),
        edge_child=np.arange(n, dtype=np.int32),
        mutation_bp=np.array([m[0] for m in mutations]),
        mutation_node=np.array([m[1] for m in mutations], np.int32),
        mutation_tick=np.array([m[2] for m in mutations], np.int32),
        mutation_id=np.array([m[3] for m in mutations]),
        mutation_s=np.full(len(mutations), -0.5),
        mutation_kind=np.array([1 if m[2] > 59 else 2 for m in mutations], np.int8),
        mutation_deme=np.ones(len(mutations), np.int16),
    )


def small(mutations):
    return trees.build(alleles_record(mutations), toy().labels)


def test_positions_are_one_based_and_fixed_sites_are_kept(tmp_path):
    ts = small([(0, 0, 80, 5), (99, 6, 1, 6), (99, 1, 70, 7)])
    write_vcf(ts, tmp_path / "a.vcf", "22")
    _, _, records = read_vcf(tmp_path / "a.vcf")
    assert [record[:5] for record in records] == [["22", "1", ".", "A", "C"], ["22", "100", ".", "T", "A,C"]]
    assert records[0][9:] == ["1|0", "0|0", "0|0"]
    assert records[1][9:] == ["1|2", "1|1", "1|1"]
    assert records[1][7] == "AC=5,1;AN=6;MID=6,6&7;S=-0.5,-1;MT=2,2&1"


def test_sites_with_too_many_alleles_are_left_out(tmp_path):
    four = [(10, k, 80, k) for k in range(4)]
    done = write_vcf(small([*four, (20, 0, 80, 9)]), tmp_path / "a.vcf", "22")
    assert (done.sites, done.left_out) == (1, 1)
    done = write_vcf(small(four[:3]), tmp_path / "a.vcf", "22")
    assert (done.sites, done.left_out) == (1, 0)
    assert read_vcf(tmp_path / "a.vcf")[2][0][3:5] == ["G", "T,A,C"]


def test_a_site_at_which_nobody_differs_is_no_record(tmp_path):
    ts = small([(10, 0, 80, 1), (20, 1, 80, 2)])
    less = ts.simplify(ts.samples()[2:], filter_sites=False)
    done = write_vcf(less, tmp_path / "a.vcf", "22")
    assert (less.num_sites, done.sites, done.left_out) == (2, 0, 0)
    assert read_vcf(tmp_path / "a.vcf")[1:] == (["modern_0", "modern_1"], [])


def test_letters_stay_as_they_are(tmp_path):
    """Against tskit's own writer."""
    ts = msprime.sim_ancestry(5, sequence_length=5000, recombination_rate=1e-5, population_size=100, random_seed=1)
    ts = msprime.sim_mutations(ts, rate=1e-4, random_seed=2)
    done = write_vcf(ts, tmp_path / "a.vcf", "7")
    _, people, records = read_vcf(tmp_path / "a.vcf")
    theirs = io.StringIO()
    ts.write_vcf(theirs, contig_id="7", individual_names=people, position_transform=lambda at: 1 + np.asarray(at))
    expected = {}
    for line in theirs.getvalue().splitlines():
        if not line.startswith("#"):
            row = line.split("\t")
            expected[row[1]] = (row[3], [called(row[3:5], genotype) for genotype in row[9:]])
    mine = {row[1]: (row[3], [called(row[3:5], genotype) for genotype in row[9:]]) for row in records}
    assert done.sites == len(mine) > 50
    changed = {pos: row for pos, row in expected.items() if {letter for pair in row[1] for letter in pair} != {row[0]}}
    assert mine == changed
    assert all(set(fields(row[7])) == {"AC", "AN"} for row in records)


def called(alleles, genotype):
    letters = [alleles[0], *alleles[1].split(",")]
    return [letters[int(k)] for k in genotype.split("|")]


def test_other_alleles_get_letters_too(tmp_path):
    ts = msprime.sim_ancestry(2, sequence_length=100, population_size=100, random_seed=1)
    ts = msprime.sim_mutations(ts, rate=1e-3, random_seed=3, model="binary")
    write_vcf(ts, tmp_path / "a.vcf", "7")
    _, _, records = read_vcf(tmp_path / "a.vcf")
    assert len(records) > 2
    for row in records:
        assert row[3] == "ACGT"[(int(row[1]) - 1) % 4] and row[4] == "ACGT"[int(row[1]) % 4]
        assert "MID" not in row[7]


def blocks(data):
    """Contents of the blocks of a BGZF file, each found by the length that the one before gives."""
    out, at = [], 0
    while at < len(data):
        magic, extra, ident, size = data[at : at + 4], *struct.unpack("<H2s2xH", data[at + 10 : at + 18])
        assert (magic, extra, ident) == (b"\x1f\x8b\x08\x04", 6, b"BC")
        out.append(gzip.decompress(data[at : at + size + 1]))
        at += size + 1
    assert at == len(data)
    return out


def test_compressed_files_can_be_indexed(tmp_path):
    ts = msprime.sim_ancestry(60, sequence_length=20_000, population_size=1000, random_seed=1)
    ts = msprime.sim_mutations(ts, rate=1e-5, random_seed=2)
    write_vcf(ts, tmp_path / "a.vcf", "7")
    write_vcf(ts, tmp_path / "a.vcf.gz", "7")
    plain, packed = (tmp_path / "a.vcf").read_bytes(), (tmp_path / "a.vcf.gz").read_bytes()
    assert gzip.decompress(packed) == plain
    parts = blocks(packed)
    assert b"".join(parts) == plain and len(parts) > 3
    assert max(map(len, parts)) <= 65_280 and parts[-1] == b""
    assert packed.endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))


@pytest.mark.parametrize("name", ["a.bcf", "a.gz", "a.tsv", "vcf"])
def test_other_endings_of_vcf_files(tmp_path, name):
    with pytest.raises(InputError, match=re.escape(f"{name}'; allowed: a name that ends in .vcf or .vcf.gz")):
        write_vcf(built(), tmp_path / name, "22")
    assert list(tmp_path.iterdir()) == []


def test_genotypes_that_are_missing(tmp_path):
    ts = small([(10, 0, 80, 1)])
    tables = ts.dump_tables()
    tables.edges.keep_rows(ts.edges_child != 3)
    with pytest.raises(RunError, match="genotypes are missing at 10 bp"):
        write_vcf(tables.tree_sequence(), tmp_path / "a.vcf", "22")
    assert list(tmp_path.iterdir()) == []


def test_people_with_one_haplotype(tmp_path):
    ts = built().simplify(built().samples()[:3])
    for ask in (sample_nodes, lambda ts: write_vcf(ts, tmp_path / "a.vcf", "22")):
        with pytest.raises(RunError, match="sampled individuals that are not diploid"):
            ask(ts)
    with pytest.raises(RunError, match="not diploid"):
        sample_nodes(tskit.Tree.generate_star(4).tree_sequence)


def test_nodes_of_people():
    assert sample_nodes(built()).tolist() == [[2 * k, 2 * k + 1] for k in range(8)]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "a.vcf").write_text("before")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    labels = labelled(table([]), {"22": 100})
    for write in (
        lambda: write_vcf(built(), tmp_path / "a.vcf", "22"),
        lambda: write_labels(labels, tmp_path / "a.npz"),
    ):
        with pytest.raises(RunError, match=r"cannot be written \(No space left on device\)"):
            write()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.vcf": "before"}


# ---- labels


def table(rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "source", "sample", "haplotype"])


def labelled(tracts, lengths, samples=("a", "b"), sources=("nea", "den"), step=10):
    return ancestry_labels(tracts, lengths=lengths, samples=samples, sources=sources, step=step)


def test_labels_are_what_came_from_where():
    made, people = toy(), trees.sample_names(built())
    rows = [
        ("22", left, right, "archaic", people[k // 2], k % 2)
        for k, stretches in enumerate(made.archaic)
        for left, right in stretches
        if left < right
    ]
    length = made.record.length
    order = np.random.default_rng(1).permutation(len(rows))
    found = labelled(table(rows).iloc[order], {"22": length}, samples=people, sources=["archaic"], step=100_000)
    assert found.position[:2].tolist() == [50_000, 150_000] and len(found.position) == 514
    assert found.position[-1] == (51_300_000 + length) // 2
    expected = [
        [any(left <= point < right for left, right in stretches) for point in found.position]
        for stretches in made.archaic
    ]
    assert np.array_equal(found.labels, np.array(expected, dtype=np.int8)) and 100 < found.labels.sum() < 5000
    assert found.labels.dtype == np.int8 and found.labels.shape == (16, 514)


def test_labels_of_several_chromosomes_and_sources():
    rows = [
        ("21", 0, 25, "nea", "a", 1),
        ("22", 0, 5, "den", "a", 1),
        ("22", 5, 6, "nea", "a", 1),
        ("22", 15, 30, "den", "b", 0),
        ("1", 0, 1000, "nea", "b", 0),
    ]
    found = labelled(table(rows), {"22": 33, "21": 25})
    assert found.position.tolist() == [5, 15, 25, 31, 5, 15, 22]
    assert found.chrom.tolist() == [0, 0, 0, 0, 1, 1, 1] and found.chroms == ("22", "21")
    assert found.labels.tolist() == [[0] * 7, [1, 0, 0, 0, 1, 1, 1], [0, 2, 2, 0, 0, 0, 0], [0] * 7]
    assert (found.samples, found.sources, found.step) == (("a", "b"), ("nea", "den"), 10)


def test_chromosome_names_may_be_numbers():
    found = labelled(table([(22, 0, 30, "nea", "a", 0)]), {"22": 30})
    assert found.labels[0].tolist() == [1, 1, 1]


def test_nobody_has_any():
    found = labelled(table([]), {"22": 30}, samples=["a", "b", "c"])
    assert found.labels.shape == (6, 3) and not found.labels.any()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("22", 0, 30, "nae", "a", 0)], "tract table: source: got 'nae'; allowed: one of nea, den"),
        ([("22", 0, 30, "nea", "c", 0)], "tract table: sample: got 'c'; allowed: one of a, b"),
        ([("22", 0, 30, "nea", "a", 2)], "tract table: haplotype: got '2'; allowed: one of 0, 1"),
        ([("22", 0, 31, "nea", "a", 0)], "tract table: row 0: got [0, 31]; allowed: an interval inside its"),
        ([("22", 0, 1, "nea", "a", 0), ("22", 5, 5, "nea", "a", 0)], "tract table: row 1: got [5, 5]; allowed: an"),
        ([("22", -1, 5, "nea", "a", 0)], "tract table: row 0: got [-1, 5]; allowed: an interval"),
        (
            [("22", 9, 30, "nea", "a", 0), ("22", 0, 30, "nea", "a", 1), ("22", 0, 10, "den", "a", 0)],
            "tract table: row 0: got [9, 30]; allowed: tracts of a haplotype without overlap",
        ),
    ],
)
def test_tracts_that_cannot_be(rows, message):
    with pytest.raises(InputError) as caught:
        labelled(table(rows), {"22": 30})
    assert str(caught.value).startswith(message)


def test_other_faults_of_labels():
    with pytest.raises(InputError, match=r"tract table: got .*; allowed: columns chrom, start, end, source, sample"):
        labelled(table([]).drop(columns="source"), {"22": 30})
    with pytest.raises(InputError, match="step: got 0; allowed: a whole number of bp, at least 1"):
        labelled(table([]), {"22": 30}, step=0)
    with pytest.raises(InputError, match="sources: got 128; allowed: at most 127"):
        labelled(table([]), {"22": 30}, sources=[str(k) for k in range(128)])


def test_label_files(tmp_path):
    labels = labelled(table([("22", 5, 6, "den", "b", 1)]), {"22": 30})
    assert write_labels(labels, tmp_path / "deep" / "x.npz") == tmp_path / "deep" / "x.npz"
    with np.load(tmp_path / "deep" / "x.npz", allow_pickle=False) as found:
        assert set(found) == {"labels", "chrom", "position", "chroms", "sources", "samples", "step"}
        assert np.array_equal(found["labels"], labels.labels) and found["labels"][3].tolist() == [2, 0, 0]
        assert found["position"].tolist() == [5, 15, 25] and found["chrom"].tolist() == [0, 0, 0]
        assert found["samples"].tolist() == ["a", "b"] and found["sources"].tolist() == ["nea", "den"]
        assert found["chroms"].tolist() == ["22"] and found["step"] == 10
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["x.npz"]
    with pytest.raises(InputError, match=r"x\.txt'; allowed: a name that ends in \.npz"):
        write_labels(labels, tmp_path / "x.txt")


def test_rows_of_labels_are_columns_of_genotypes(tmp_path):
    write_vcf(built(), tmp_path / "a.vcf", "22")
    _, people, _ = read_vcf(tmp_path / "a.vcf")
    found = labelled(table([]), {"22": 100}, samples=trees.sample_names(built()))
    assert found.samples == tuple(people) and len(found.labels) == 2 * len(people)
