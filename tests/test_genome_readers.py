# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of maps and elements: conventions tested both ways, and every complaint with its line."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admix.errors import InputError
from admix.genome import from_files, shipped
from admix.genome_readers import choose_chromosomes, chromosome_lengths, read_elements, read_map

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="no full data files beside this checkout")

HAPMAP = """Chromosome\tPosition(bp)\tRate(cM/Mb)\tMap(cM)
chr1\t1\t2.5\t0
chr1\t1001\t0\t0.0025
chr2\t501\t1\t0
chr2\t2001\t0\t0.0015
"""
PLINK = "1\trs1\t0\t1\n1\trs2\t0.0025\t1001\n2\t.\t0\t501\n2\trs4\t0.0015\t2001\n"
CHROMS = ("1", "2")
LENGTHS = {"1": 5000, "2": 3000}
GFF_HEAD = "##gff-version 3\n"


def gff(*rows: tuple[str, str, int, int]) -> str:
    return GFF_HEAD + "".join(f"{c}\tsrc\t{kind}\t{a}\t{b}\t.\t+\t.\tID=x;Note=a b\n" for c, kind, a, b in rows)


def intervals(path: Path, text: str, elements_format: str = "bed", feature: str = "exon", **options: object) -> list:
    path.write_text(text)
    found = read_elements(path, elements_format, feature, CHROMS, LENGTHS, **options)
    return list(zip(found.chrom.tolist(), found.start.tolist(), found.end.tolist(), strict=True))


def complaint(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and caught.value.exit_code == 2
    return text


# ---- maps: conventions


def test_hapmap_positions_are_one_based(tmp_path: Path) -> None:
    (tmp_path / "m").write_text(HAPMAP)
    points = read_map(tmp_path / "m")
    assert points.chroms == CHROMS
    assert points.chrom.tolist() == [0, 0, 1, 1] and points.chrom.dtype == np.int32
    assert points.bp.tolist() == [0, 1000, 500, 2000] and points.bp.dtype == np.int64
    assert points.cm.tolist() == [0.0, 0.0025, 0.0, 0.0015] and points.cm.dtype == np.float64


@pytest.mark.parametrize(
    ("map_format", "text"),
    [
        ("plink", PLINK),
        ("plink", "# comment\n\n" + PLINK.replace("\t", "   ")),
        ("hapmap", HAPMAP.replace("\n", "\r\n")),
        ("hapmap", HAPMAP.replace("\n", "\r")),
        ("hapmap", "\ufeff" + HAPMAP),
        ("hapmap", "# made by hand\n\n" + HAPMAP.replace("chr1\t1001", "\n# half way\n  \nchr1\t1001")),
        ("hapmap", HAPMAP.rstrip("\n")),
        ("hapmap", "pos chr cM\n1 1 0\n1001 1 0.0025\n501 2 0\n2001 2 1.5e-3\n"),
        ("hapmap", "chrom pos cM\n1 1 0\nchr1 1001 .0025\n2 501 0\n2 2001 0.0015\n"),
        ("hapmap", HAPMAP.replace("1001", "1.001e+03")),
        ("hapmap", HAPMAP.replace("0.0025\n", "0.0025\tmore columns\n")),
    ],
    ids=[
        "plink",
        "plink-blanks",
        "crlf",
        "cr",
        "bom",
        "comments",
        "no-end",
        "shapeit",
        "header-order",
        "from-R",
        "extra",
    ],
)
def test_the_same_map_in_other_clothes(tmp_path: Path, map_format: str, text: str) -> None:
    (tmp_path / "a").write_text(HAPMAP)
    (tmp_path / "b").write_bytes(text.encode())
    a, b = read_map(tmp_path / "a"), read_map(tmp_path / "b", map_format)
    assert a.chroms == b.chroms
    for name in ("chrom", "bp", "cm"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}[suffix]
    path = tmp_path / f"m.txt{suffix}"
    path.write_bytes(pack(HAPMAP.encode()))
    assert read_map(path).bp.tolist() == [0, 1000, 500, 2000]
    path.write_bytes(pack(HAPMAP.replace("1001", "one").encode()))
    assert complaint(lambda: read_map(path)).startswith(f"{path}:3: got 'one'")
    path.write_bytes(pack(HAPMAP.encode())[:-6])
    assert "can be read" in complaint(lambda: read_map(path))


# ---- elements: conventions, both ways


def test_bed_is_half_open_and_gff3_closed(tmp_path: Path) -> None:
    """Bases 10 to 19 (0-based) in both notations; and reading one as the other is off by one."""
    assert intervals(tmp_path / "e", "1\t10\t20\n") == [(0, 10, 20)]
    assert intervals(tmp_path / "e", gff(("1", "exon", 11, 20)), "gff3") == [(0, 10, 20)]
    assert intervals(tmp_path / "e", gff(("1", "exon", 10, 20)), "gff3") == [(0, 9, 20)]
    assert intervals(tmp_path / "e", "1\t11\t20\n") == [(0, 11, 20)]


def test_first_and_last_base_of_a_chromosome(tmp_path: Path) -> None:
    path = tmp_path / "e"
    assert intervals(path, "1 0 1\n1 4999 5000\n") == [(0, 0, 1), (0, 4999, 5000)]
    assert intervals(path, gff(("1", "exon", 1, 1), ("1", "exon", 5000, 5000)), "gff3") == [
        (0, 0, 1),
        (0, 4999, 5000),
    ]
    assert f"{path}:1: got '4999-5001'" in complaint(lambda: intervals(path, "1 4999 5001\n"))
    assert f"{path}:2: got '5000-5001'" in complaint(lambda: intervals(path, gff(("1", "exon", 5000, 5001)), "gff3"))
    assert f"{path}:2: got '0-1'" in complaint(lambda: intervals(path, gff(("1", "exon", 0, 1)), "gff3"))
    assert f"{path}:1: got '-1-1'" in complaint(lambda: intervals(path, "1 -1 1\n"))


def test_overlapping_and_touching_are_merged(tmp_path: Path) -> None:
    bed = "2 5 9\n1 0 10\n1 5 8\n1 10 12\n1 13 14\n1 13 20\n1 15 16\n1 20 21\n"
    merged = [(0, 0, 12), (0, 13, 21), (1, 5, 9)]
    assert intervals(tmp_path / "e", bed) == merged
    rows = [(c, "exon", int(a) + 1, int(b)) for c, a, b in map(str.split, bed.splitlines())]
    assert intervals(tmp_path / "e", gff(*rows), "gff3") == merged
    # GFF3 lists exons gene by gene, on the minus strand backwards: its order means nothing.
    assert intervals(tmp_path / "e", gff(*rows[::-1]), "gff3") == merged


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=20))
def test_merging_keeps_every_base(tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, int]]) -> None:
    path = tmp_path_factory.mktemp("e") / "e"
    bed = "".join(f"{c + 1}\t{a}\t{a + n}\n" for c, a, n in sorted(drawn))
    found = intervals(path, bed)
    assert {(c, bp) for c, a, b in found for bp in range(a, b)} == {(c, a + i) for c, a, n in drawn for i in range(n)}
    assert all(x[0] < y[0] or x[2] < y[1] for x, y in pairwise(found))
    rows = [(f"chr{c + 1}", "exon", a + 1, a + n) for c, a, n in drawn]
    assert intervals(path, gff(*rows), "gff3") == found


def test_bed_furniture_is_skipped(tmp_path: Path) -> None:
    bed = "browser position chr1:1-2\ntrack name=x\n# c\nchr1\t1\t2\tname with blanks\t0\t+\n\nchr2\t3\t4\n"
    assert intervals(tmp_path / "e", bed) == [(0, 1, 2), (1, 3, 4)]


def test_gff3_types_and_fasta(tmp_path: Path) -> None:
    text = gff(("1", "gene", 1, 900), ("1", "CDS", 11, 20), ("1", "exon", 6, 30)) + "##FASTA\n>1\nACGT\n"
    assert intervals(tmp_path / "e", text, "gff3", "CDS") == [(0, 10, 20)]
    assert intervals(tmp_path / "e", text, "gff3", "exon") == [(0, 5, 30)]
    message = complaint(lambda: intervals(tmp_path / "e", text, "gff3", "cds"))
    assert "feature: got 'cds'" in message and "did you mean CDS?" in message


def test_elements_elsewhere(tmp_path: Path) -> None:
    bed = "1 0 5\nX 0 9999999\n2 1 2\n"
    assert f"{tmp_path / 'e'}:2: got 'X'" in complaint(lambda: intervals(tmp_path / "e", bed))
    assert intervals(tmp_path / "e", bed, skip_others=True) == [(0, 0, 5), (1, 1, 2)]


# ---- what is refused, with the line


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (4, HAPMAP.replace("chr2\t501\t1\t0\n", "chr1\t900\t1\t0.003\n"), "got 900; allowed: a sorted map"),
        (3, HAPMAP.replace("1001", "1"), "got 1; allowed: one point at a position"),
        (
            5,
            HAPMAP.replace("\t501\t1\t0\n", "\t501\t1\t0.7\n"),
            "got 0.0015; allowed: cM that never decrease",
        ),
        (2, HAPMAP.replace("\t1\t2.5", "\t0\t2.5"), "got 0; allowed: a position from 1"),
        (2, HAPMAP.replace("\t1\t2.5", "\t-5\t2.5"), "got -5; allowed: a position from 1"),
        (5, HAPMAP.replace("2001", "3001"), "got 3001; allowed: a position from 1 to the length"),
        (5, HAPMAP.replace("2001", "99999999999999999"), "got 99999999999999999; allowed: a position"),
        (5, HAPMAP.replace("2001", "9" * 30), "a whole number for bp"),
        (2, HAPMAP.replace("2.5\t0\n", "2.5\t-0.1\n"), "got -0.1; allowed: a cM of 0 or more"),
        (2, HAPMAP.replace("2.5", "-2.5"), "got -2.5; allowed: a rate of 0 or more"),
        (3, HAPMAP.replace("0.0025", "nan"), "got 'nan'; allowed: a number"),
        (3, HAPMAP.replace("0.0025", "inf"), "got inf; allowed: a cM"),
        (3, HAPMAP.replace("0.0025", "x"), "got 'x'; allowed: a number for cM"),
        (3, HAPMAP.replace("1001", "1001.5"), "got '1001.5'; allowed: a whole number for bp"),
        (3, HAPMAP.replace("1001", "1001bp"), "got '1001bp'; allowed: a number for bp"),
        (4, HAPMAP.replace("501\t1\t0\n", "501\n"), "got '2 columns'; allowed: 4 or more"),
        (6, HAPMAP + "chr1\t2000\t0\t0.01\n", "got 'chr1'; allowed: a sorted map, all points"),
        (8, HAPMAP + "\n# note\nchr2\t2001\t0\t0.01\n", "got 2001; allowed: one point"),
        (1, HAPMAP.replace("Map(cM)", "cMM"), "allowed: a header"),
        (1, PLINK, "allowed: a header"),
    ],
)
def test_map_refused(tmp_path: Path, line: int, text: str, words: str) -> None:
    path = tmp_path / "map.txt"
    path.write_text(text)
    message = complaint(lambda: read_map(path, lengths=LENGTHS))
    assert message.startswith(f"{path}:{line}: got ") and words in message, message


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (2, PLINK.replace("rs2\t0.0025\t1001", "rs2\t0.0025\t1"), "got 1; allowed: one point"),
        (2, PLINK.replace("\t1001", "\t-1001"), "got -1001; allowed: a position"),
        (4, PLINK.replace("0.0015", "-1"), "got -1.0; allowed: a cM"),
        (3, PLINK.replace("2\t.\t0\t501", "2\t.\t501"), "got '3 columns'; allowed: 4 or more"),
        (1, HAPMAP, "a number for cM"),
    ],
)
def test_plink_map_refused(tmp_path: Path, line: int, text: str, words: str) -> None:
    path = tmp_path / "x.map"
    path.write_text(text)
    message = complaint(lambda: read_map(path, "plink", LENGTHS))
    assert message.startswith(f"{path}:{line}: got ") and words in message, message


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (2, "1 100 200\n1 50 60\n", "got '50-60'; allowed: a sorted file, elements in order"),
        (3, "1 1 2\n2 1 2\n1 5 6\n", "got '1'; allowed: a sorted file, all elements"),
        (2, "1 1 2\n1 30 20\n", "got '30-20'; allowed: a half-open interval"),
        (2, "1 1 2\n1 20 20\n", "got '20-20'; allowed: a half-open interval"),
        (1, "2 2999 3001\n", "got '2999-3001'; allowed: a half-open interval"),
        (3, "# c\n1 1 2\n1 x 7\n", "got 'x'; allowed: a number for start"),
        (2, "1 1 2\n1 3\n", "got '2 columns'; allowed: 3 or more"),
        (2, "1 1e+00 2\n1 2.5 3\n", "got '2.5'; allowed: a whole number"),
        (2, "1 0 9\n01 1 2\n", "got '01'; allowed: elements on chromosomes"),
        (2, "1 1 2\n3 1 2\n", "got '3'; allowed: elements on chromosomes of the map (1, 2)"),
    ],
)
def test_bed_refused(tmp_path: Path, line: int, text: str, words: str) -> None:
    path = tmp_path / "e.bed"
    message = complaint(lambda: intervals(path, text))
    assert message.startswith(f"{path}:{line}: got ") and words in message, message


def test_gff3_refused_at_its_own_line(tmp_path: Path) -> None:
    """Lines of other types and comments count, but are not looked at."""
    path = tmp_path / "e.gff3"
    text = gff(("9", "gene", 900, 1), ("1", "exon", 3, 4), ("1", "mRNA", 1, 2)) + "#x\n" + gff(("1", "exon", 9, 8))
    message = complaint(lambda: intervals(path, text, "gff3"))
    assert message.startswith(f"{path}:7: got '9-8'; allowed: a closed interval"), message
    message = complaint(lambda: intervals(path, gff(("1", "exon", 3, 4)) + "1 src exon 3 4\n", "gff3"))
    assert message.startswith(f"{path}:3: got '1 columns'"), message


@settings(max_examples=150, deadline=None)
@given(data=st.data(), n=st.integers(2, 40))
def test_the_first_bad_line_is_the_one_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n: int
) -> None:
    """A good BED file with blank lines and comments, spoilt in one line drawn at random."""
    path = tmp_path_factory.mktemp("bad") / "e.bed"
    lines, good = [], []
    for i in range(n):
        lines += data.draw(st.lists(st.sampled_from(["", "#", "track x", "   "]), max_size=2))
        good.append(len(lines))
        lines.append(f"{1 + (2 * i >= n)} {10 * i} {10 * i + 5}")
    assert len(intervals(path, "\n".join(lines))) == n
    bad = data.draw(st.sampled_from(good))
    lines[bad] = data.draw(st.sampled_from(["1 2", "1 a 5", "1 5 1e9", "1 7 7", "1 -1 4", "1 5 999999", "x 1 2", "1"]))
    message = complaint(lambda: intervals(path, "\n".join(lines)))
    assert message.startswith(f"{path}:{bad + 1}: got "), message


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n"])
def test_empty_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty"
    path.write_text(content)
    assert complaint(lambda: read_map(path)).startswith(f"{path}: got 'no line")
    assert complaint(lambda: read_map(path, "plink")).startswith(f"{path}: got 'no line")
    assert complaint(lambda: intervals(path, content)).startswith(f"{path}: got 'no line")
    path.write_text(HAPMAP.splitlines()[0] + "\n")
    assert complaint(lambda: read_map(path)).startswith(f"{path}: got 'no line")


def test_unreadable_files(tmp_path: Path) -> None:
    assert "there is none" in complaint(lambda: read_map(tmp_path / "none.txt"))
    assert "can be read" in complaint(lambda: read_map(tmp_path))
    (tmp_path / "x.gz").write_text("not gzip")
    assert "can be read" in complaint(lambda: read_map(tmp_path / "x.gz"))
    (tmp_path / "latin").write_bytes(b"1 1 2\n1 5 9 \xe4\n")
    message = complaint(lambda: read_elements(tmp_path / "latin", "bed", "exon", CHROMS))
    assert message.startswith(f"{tmp_path / 'latin'}:2: ") and "UTF-8" in message


def test_unknown_formats(tmp_path: Path) -> None:
    assert "did you mean hapmap?" in complaint(lambda: read_map(tmp_path / "m", "HapMap"))
    assert "did you mean gff3?" in complaint(lambda: read_elements(tmp_path / "m", "gff", "exon", CHROMS))


# ---- chromosomes and lengths


def test_lengths_from_mapping_and_file(tmp_path: Path) -> None:
    (tmp_path / "x.fai").write_text("chr1\t5000\t6\t60\t61\nchr2\t3000\t9\t60\t61\n")
    assert chromosome_lengths(tmp_path / "x.fai") == chromosome_lengths({"chr1": 5000, "2": 3000}) == LENGTHS
    assert chromosome_lengths(None) == {}
    (tmp_path / "x.fai").write_text("chr1\t5000\nchr2\t0\n")
    assert complaint(lambda: chromosome_lengths(tmp_path / "x.fai")).startswith(f"{tmp_path / 'x.fai'}:2: got 0")
    for bad in (0, -1, True, 1.5, "5000"):
        assert f"chromosome_lengths.1: got {bad!r}" in complaint(lambda bad=bad: chromosome_lengths({"1": bad}))


def test_choosing_keeps_the_order_of_the_map() -> None:
    assert choose_chromosomes(("2", "1", "X"), ["X", "chr2"]) == ("2", "X")
    assert choose_chromosomes(("2", "1"), None) == ("2", "1")
    assert "got '3'" in complaint(lambda: choose_chromosomes(("2", "1"), ["3"]))


def write(tmp_path: Path, map_text: str = HAPMAP, bed: str = "1 0 10\n2 0 10\n") -> tuple[Path, Path]:
    (tmp_path / "map.txt").write_text(map_text)
    (tmp_path / "e.bed").write_text(bed)
    return tmp_path / "map.txt", tmp_path / "e.bed"


def test_from_files_options(tmp_path: Path) -> None:
    paths = write(tmp_path, bed="1 0 10\n1 1200 1300\n2 0 10\n")
    g = from_files(*paths, window=500)
    # Without lengths a chromosome ends at its last map point or element.
    assert [int(g.window_end[g.window_chrom == c].max()) for c in (0, 1)] == [1300, 2001]
    assert (g.name, g.target, g.build, g.gap_bp) == ("map.txt", "custom", "unknown", 0)
    one = from_files(*paths, window=500, chromosomes=["2"], name="mine", build="b1")
    assert (one.chroms, one.functional_bp, one.name, one.build) == (("2",), 10, "mine", "b1")
    (tmp_path / "e.gff3").write_text(gff(("1", "CDS", 1, 10), ("2", "CDS", 1, 10)))
    cds = from_files(paths[0], tmp_path / "e.gff3", elements_format="gff3", feature="CDS", window=500)
    assert cds.target == "cds" and cds.functional_bp == 20


def test_map_that_does_not_start_at_zero(tmp_path: Path) -> None:
    """The first point says how many cM lie between the chromosome's start and it."""
    g = from_files(*write(tmp_path, "chr pos cM\n1 1001 2\n1 2001 3\n", "1 0 5\n"), window=1000)
    assert g.window_cm_end.tolist() == [2.0, 3.0, 3.0]
    assert g.chrom_morgans.tolist() == [0.03]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window": 0}, "window: got 0"),
        ({"window": True}, "window: got True"),
        ({"window": 1e5}, "window: got 100000.0"),
        ({"window": 1, "chromosome_lengths": {"1": 10**8, "2": 3000}}, "at most 10,000,000 windows"),
        ({"chromosome_lengths": {"1": 5000}}, "a length for every chromosome; 2 has none"),
        ({"chromosome_lengths": {"1": 1000, "2": 3000}}, "map.txt:3: got 1001"),
        ({"chromosomes": ["3"]}, "chromosomes: got '3'"),
        ({"map_format": "hap"}, "map_format: got 'hap'"),
        ({"elements_format": "gtf"}, "elements_format: got 'gtf'"),
    ],
)
def test_from_files_refuses(tmp_path: Path, change: dict[str, object], words: str) -> None:
    assert words in complaint(lambda: from_files(*write(tmp_path), **change))


def test_from_files_needs_cm_and_elements(tmp_path: Path) -> None:
    flat = "chr pos cM\n1 1 0\n1 900 0\n"
    assert "a genetic length" in complaint(lambda: from_files(*write(tmp_path, flat, "1 0 5\n")))
    message = complaint(lambda: from_files(*write(tmp_path, bed="2 0 10\n"), chromosomes=["1"]))
    assert message.endswith("e.bed: got 'no element'; allowed: at least one on chromosomes 1")
    paths = write(tmp_path)
    (tmp_path / "gaps.bed").write_text("1 0 10\n1 5 9999\n")
    message = complaint(lambda: from_files(*paths, gaps=tmp_path / "gaps.bed", chromosome_lengths=LENGTHS))
    assert message.startswith(f"{tmp_path / 'gaps.bed'}:2: got '5-9999'")


# ---- the full files


@needs_shared
@pytest.mark.parametrize(
    ("name", "count", "bases"),
    [
        ("RefSeq_CDS_union_GRCh37_autosomes.merged.bed.gz", 189_029, 32_676_063),
        ("RefSeq_exons_GRCh37_autosomes.lifted.merged.bed.gz", 221_736, 74_266_274),
    ],
    ids=["cds", "exons"],
)
def test_real_elements_in_both_notations(tmp_path: Path, name: str, count: int, bases: int) -> None:
    chroms = [str(i) for i in range(1, 23)]
    bed = read_elements(SHARED / "annotation" / name, "bed", "", chroms)
    assert len(bed.start) == count and int(np.sum(bed.end - bed.start)) == bases
    rows = zip(bed.chrom.tolist(), bed.start.tolist(), bed.end.tolist(), strict=True)
    path = tmp_path / "e.gff3.gz"
    path.write_bytes(gzip.compress("".join(f"chr{c + 1}\t.\texon\t{a + 1}\t{b}\n" for c, a, b in rows).encode(), 1))
    same = read_elements(path, "gff3", "exon", chroms)
    assert all(np.array_equal(getattr(bed, key), getattr(same, key)) for key in ("chrom", "start", "end"))


@needs_shared
def test_real_elements_of_another_build_are_refused() -> None:
    g = shipped()
    ends = {name: int(g.window_end[g.window_chrom == c][-1]) for c, name in enumerate(g.chroms)}
    path = SHARED / "annotation" / "RefSeq_exons_GRCh38_autosomes.merged.bed.gz"
    message = complaint(lambda: read_elements(path, "bed", "", g.chroms, ends))
    with gzip.open(path, "rt") as stream:
        lines = [line.split() for line in stream]
    first = next(i for i, (c, _, end) in enumerate(lines) if int(end) > ends[c])
    assert message.startswith(f"{path}:{first + 1}: got '{lines[first][1]}-{lines[first][2]}'")


@needs_shared
@pytest.mark.parametrize("tolerance", ["0.001", "0.01"])
def test_real_thinned_maps(tolerance: str, tmp_path: Path) -> None:
    """A thinned HapMap map, as it is and as PLINK .map, keeps the shipped lengths."""
    path = SHARED / "maps" / f"HapMapII_GRCh37_thinned_tol{tolerance}cM.tsv.gz"
    points = read_map(path)
    last = np.flatnonzero(np.diff(points.chrom, append=-1))
    assert np.allclose(points.cm[last] / 100, shipped().chrom_morgans, rtol=0, atol=2e-4)
    with gzip.open(path, "rt") as stream:
        rows = [line.split() for line in stream][1:]
    (tmp_path / "x.map").write_text("".join(f"{c} rs{i} {cm} {bp}\n" for i, (c, bp, cm) in enumerate(rows)))
    plink = read_map(tmp_path / "x.map", "plink")
    assert np.array_equal(plink.bp, points.bp) and np.array_equal(plink.cm, points.cm)
