# SPDX-License-Identifier: GPL-3.0-or-later
"""The genome: totals, layout on the axis, and agreement of the shipped table with full maps."""

import dataclasses
import time
from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admix import genome as genome_module
from admix.errors import InputError
from admix.genome import AXIS_LENGTH, Genome, from_files, shipped
from admix.genome_layout import chromosome_axis, place_evenly

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
MAP = SHARED / "maps" / "HapMapII_GRCh37_autosomes.gmap.txt.xz"
EXONS = SHARED / "annotation" / "RefSeq_exons_GRCh37_autosomes.lifted.merged.bed.gz"
CDS = SHARED / "annotation" / "RefSeq_CDS_union_GRCh37_autosomes.merged.bed.gz"
needs_shared = pytest.mark.skipif(not MAP.exists(), reason="the full maps are not beside this checkout")

SMALL_MAP = """chr pos rate cM
A 1 0 0
A 1001 0 2.0
A 3001 0 2.0
A 5001 0 3.5
B 501 0 1.0
B 2000 0 1.25
C 1 0 0
C 2500 0 0
"""
SMALL_BED = "A 0 10\nA 990 1010\nA 1005 1030\nA 4990 5003\nC 100 200\nC 2490 2500\n"
SMALL_GAPS = "A 3000 4000\nA 4500 4600\nB 0 2000\n"
SMALL_LENGTHS = {"A": 5200, "B": 2000, "C": 2500}


@pytest.fixture
def small(tmp_path: Path) -> Genome:
    return make(tmp_path, SMALL_MAP, SMALL_BED, gaps=SMALL_GAPS, chromosome_lengths=SMALL_LENGTHS, window=1000)


def make(folder: Path, map_text: str, bed: str, gaps: str | None = None, **options: object) -> Genome:
    (folder / "map.txt").write_text(map_text)
    (folder / "elements.bed").write_text(bed)
    if gaps is not None:
        (folder / "gaps.bed").write_text(gaps)
        options["gaps"] = folder / "gaps.bed"
    return from_files(folder / "map.txt", folder / "elements.bed", **options)


def assert_sound(g: Genome) -> None:
    """What every Genome promises, whatever it was made from."""
    c, w = len(g.chroms), len(g.window_chrom)
    dtypes = {
        "int32": np.int32,
        "int64": np.int64,
        "uint64": np.uint64,
        "float64": np.float64,
        "bool": np.bool_,
    }
    expected = {
        "window_chrom": "int32",
        "window_start": "int64",
        "window_end": "int64",
        "window_cm_start": "float64",
        "window_cm_end": "float64",
        "window_functional_bp": "int64",
        "window_gap_bp": "int64",
        "window_b": "float64",
        "chrom_axis": "uint64",
        "chrom_morgans": "float64",
        "knot_first": "int64",
        "knot_bp": "int64",
        "knot_axis": "uint64",
        "target_chrom": "int32",
        "target_start": "int64",
        "target_cum": "int64",
        "target_axis_start": "uint64",
        "target_axis_end": "uint64",
        "marker_window": "int32",
        "marker_axis": "uint64",
        "marker_weight": "int64",
        "marker_functional": "bool",
        "marker_far": "bool",
    }
    arrays = {f.name for f in dataclasses.fields(g) if isinstance(getattr(g, f.name), np.ndarray)}
    assert arrays == set(expected)
    for name, dtype in expected.items():
        assert getattr(g, name).dtype == dtypes[dtype], name
        assert not getattr(g, name).flags.writeable, name

    # Windows tile the chromosomes, and their genetic edges meet.
    same = g.window_chrom[1:] == g.window_chrom[:-1]
    assert np.all(np.diff(g.window_chrom)[~same] == 1) and g.window_chrom[0] == 0 and g.window_chrom[-1] == c - 1
    assert np.array_equal(g.window_start[1:][same], g.window_end[:-1][same])
    assert np.all(g.window_start[np.append(True, ~same)] == 0) and np.all(g.window_end > g.window_start)
    assert np.array_equal(g.window_cm_start[1:][same], g.window_cm_end[:-1][same])
    assert np.all(g.window_cm_start[np.append(True, ~same)] == 0) and np.all(g.window_cm_end >= g.window_cm_start)
    assert np.allclose(g.window_cm_end[np.append(~same, True)], 100 * g.chrom_morgans, rtol=1e-12)

    # The axis: proportional to Morgans, each chromosome at least one position.
    assert g.chrom_axis[0] == 0 and int(g.chrom_axis[-1]) == AXIS_LENGTH
    width = np.diff(g.chrom_axis).astype(float)
    assert np.all(width >= 1) and np.all(np.abs(width - g.chrom_morgans / g.morgans * AXIS_LENGTH) <= c + 1)

    # The map: knots rise, from the first base to the end, inside their chromosome's part.
    for i in range(c):
        knots = slice(g.knot_first[i], g.knot_first[i + 1])
        assert g.knot_bp[knots][0] == 0 and g.knot_bp[knots][-1] == g.window_end[g.window_chrom == i][-1]
        assert np.all(np.diff(g.knot_bp[knots]) > 0)
        assert g.knot_axis[knots][0] == g.chrom_axis[i] and g.knot_axis[knots][-1] < g.chrom_axis[i + 1]
        assert np.all(g.knot_axis[knots][1:] >= g.knot_axis[knots][:-1])

    # Functional bases: disjoint segments in order; windows count every base once.
    length = np.diff(g.target_cum)
    assert g.target_cum[0] == 0 and np.all(length > 0)
    assert np.all(g.target_axis_end >= g.target_axis_start)
    assert np.all(g.target_axis_start[1:] >= g.target_axis_end[:-1])
    assert np.all(g.target_axis_start >= g.chrom_axis[g.target_chrom])
    assert np.all(g.target_axis_end < g.chrom_axis[g.target_chrom + 1])
    neighbours = g.target_chrom[1:] == g.target_chrom[:-1]
    assert np.all((g.target_start[1:] >= (g.target_start + length)[:-1])[neighbours])
    assert g.window_functional_bp.sum() == g.functional_bp == length.sum()
    assert np.all(g.window_functional_bp <= g.window_end - g.window_start)

    # Markers: one for each window with sequence, in order, inside their window's part of the axis.
    sequence = g.window_end - g.window_start - g.window_gap_bp
    assert np.array_equal(g.marker_window, np.flatnonzero(sequence > 0))
    assert np.array_equal(g.marker_weight, sequence[g.marker_window])
    assert g.marker_weight.sum() == g.total_bp - g.gap_bp
    assert np.all(g.marker_axis[1:] >= g.marker_axis[:-1])
    home = g.window_chrom[g.marker_window]
    assert np.all((g.marker_axis >= g.chrom_axis[home]) & (g.marker_axis < g.chrom_axis[home + 1]))
    middle = (g.window_cm_start + g.window_cm_end)[g.marker_window] / 2
    place = (g.marker_axis - g.chrom_axis[home]).astype(float) / np.diff(g.chrom_axis)[home].astype(float)
    assert np.all(np.abs(place * g.chrom_morgans[home] * 100 - middle) <= 3 * 100 * g.morgans / AXIS_LENGTH)
    assert np.array_equal(g.marker_functional, g.window_functional_bp[g.marker_window] > 0)
    assert not np.any(g.marker_far & g.marker_functional)
    assert g.marker_far.sum() == -(-np.sum(~g.marker_functional) // 5)
    assert w == len(g.window_b) == len(g.window_gap_bp)


def far_slow(g: Genome) -> list[bool]:
    """Twin of `far_markers` by looking at every segment for every marker."""
    distances = []
    for m, window in enumerate(g.marker_window.tolist()):
        if g.marker_functional[m]:
            continue
        best = float("inf")
        for j in np.flatnonzero(g.target_chrom == g.window_chrom[window]).tolist():
            a, b, x = int(g.target_axis_start[j]), int(g.target_axis_end[j]), int(g.marker_axis[m])
            best = min(best, max(a - x, x - b, 0))
        distances.append((-best, m))
    chosen = {m for _, m in sorted(distances)[: (len(distances) + 4) // 5]}
    return [m in chosen for m in range(len(g.marker_window))]


@pytest.mark.parametrize(
    ("target", "functional_bp"), [("exons", 74_266_274), ("cds", 32_676_063)], ids=["exons", "cds"]
)
def test_shipped_totals(target: str, functional_bp: int) -> None:
    g = shipped(target)
    assert_sound(g)
    assert g.chroms == tuple(str(i) for i in range(1, 23)) and g.build == "GRCh37" and g.target == target
    assert len(g.window_chrom) == 28_823
    assert round(100 * g.morgans, 1) == 3545.8
    assert g.functional_bp == functional_bp
    assert g.gap_bp == 196_454_806 and round(g.gap_bp / 1e6) == 196
    assert g.total_bp == 2_881_033_286
    assert np.sum(g.window_gap_bp == g.window_end - g.window_start) == 28_823 - len(g.marker_window) == 1_817
    assert np.sum(g.window_cm_end == g.window_cm_start) == 1_980
    assert 0.78 < np.nanmean(g.window_b) < 0.79 and np.isnan(g.window_b).sum() == 1_747


def test_windows_carry_the_bases_of_the_table() -> None:
    table = genome_module.readers.read_window_table(genome_module.data_path(f"{genome_module.SHIPPED}.tsv.gz"))
    for target in ("exons", "cds"):
        assert np.array_equal(shipped(target).window_functional_bp, table.elements[target][1])


def test_stretches_without_map_are_zero_cm() -> None:
    g = shipped()
    own = g.window_chrom == g.chroms.index("9")
    hole = own & (g.window_cm_end == g.window_cm_start)
    run = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], hole[own].astype(int), [0]]))))[::2].max()
    assert run * 100_000 > 11_000_000
    inside = np.flatnonzero(hole)
    assert np.all(g.axis_of(g.window_chrom[inside], g.window_start[inside]) < g.chrom_axis[9])
    markers = np.isin(g.marker_window, np.flatnonzero(hole))
    assert markers.sum() > 0  # some of these windows have sequence, so they keep their marker


def test_subset_keeps_its_windows_and_fills_the_axis() -> None:
    whole, part = shipped(), shipped(chromosomes=["chr22", "20"])
    assert_sound(part)
    assert part.chroms == ("20", "22")
    rows = np.isin(whole.window_chrom, [19, 21])
    for name in ("window_start", "window_cm_end", "window_functional_bp", "window_gap_bp"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[rows])
    assert np.array_equal(part.chrom_morgans, whole.chrom_morgans[[19, 21]])
    kept = np.isin(whole.target_chrom, [19, 21])
    assert np.array_equal(part.target_start, whole.target_start[kept])
    assert part.checksum() != whole.checksum()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": "exon"}, ["target: got 'exon'", "exons, cds", "did you mean exons?"]),
        ({"target": 3}, ["target: got 3"]),
        ({"chromosomes": ["21", "X"]}, ["chromosomes: got 'X'", "21, 22"]),
        ({"chromosomes": ["chr021"]}, ["got '021'", "did you mean 21?"]),
        ({"chromosomes": ["21", "chr21"]}, ["got 'chr21'", "once"]),
        ({"chromosomes": []}, ["at least one"]),
        ({"chromosomes": "21"}, ["got '21'", "a list"]),
        ({"chromosomes": [21]}, ["got [21]", "a list"]),
    ],
)
def test_shipped_refuses(arguments: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        shipped(**arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_is_quick() -> None:
    times = []
    for _ in range(3):
        start = time.process_time()
        genome_module._shipped.__wrapped__("exons", None)
        times.append(time.process_time() - start)
    assert min(times) < 0.5


def test_elements_of_a_window_are_even() -> None:
    """`place_evenly` against the rule in words, in exact arithmetic."""
    rng = np.random.default_rng(7)
    start = rng.integers(0, 1000, 300)
    end = start + rng.integers(1, 200, 300)
    bases = rng.integers(0, end - start + 1)
    bases[:20] = (end - start)[:20]
    count = rng.integers(0, 30, 300)
    window, first, last = place_evenly(start, end, count, bases)
    for i in range(300):
        a, b = first[window == i].tolist(), last[window == i].tolist()
        f, size = int(bases[i]), int(end[i] - start[i])
        if f == 0:
            assert a == []
            continue
        n = min(max(int(count[i]), 1), f)
        lengths = [y - x for x, y in zip(a, b, strict=True)]
        assert len(a) == n and sum(lengths) == f and max(lengths) - min(lengths) <= 1
        assert a[0] >= start[i] and b[-1] <= end[i] and all(y <= x for x, y in zip(a[1:], b[:-1], strict=True))
        for j in range(n):
            ideal = int(start[i]) + Fraction((2 * j + 1) * (size - f), 2 * n) + Fraction(j * f, n)
            assert 0 <= ideal - a[j] < 2


def test_small_genome_base_by_base(small: Genome) -> None:
    """Positions of all functional bases, counted off one by one."""
    assert_sound(small)
    wanted = {
        "A": [*range(10), *range(990, 1030), *range(4990, 5003)],
        "C": [*range(100, 200), *range(2490, 2500)],
    }
    bases = [(small.chroms.index(name), bp) for name in wanted for bp in wanted[name]]
    assert small.functional_bp == len(bases) == 173
    t = np.arange(small.functional_bp)
    chrom, bp = small.target_positions(t)
    assert list(zip(chrom.tolist(), bp.tolist(), strict=True)) == bases
    axis = small.target_axis(t)
    assert np.all(np.diff(axis.astype(np.int64)) >= 0)
    assert np.all(np.abs(axis.astype(np.int64) - small.axis_of(chrom, bp).astype(np.int64)) <= 1)
    assert small.target_positions(t.reshape(1, -1))[1].shape == (1, 173)


def test_segments_follow_the_formula_of_their_docstring(small: Genome) -> None:
    for t, axis in enumerate(small.target_axis(np.arange(small.functional_bp)).tolist()):
        j = bisect_right(small.target_cum.tolist(), t) - 1
        length = int(small.target_cum[j + 1] - small.target_cum[j])
        a, b = int(small.target_axis_start[j]), int(small.target_axis_end[j])
        assert axis == a + (t - int(small.target_cum[j])) * (b - a) // length


def test_small_genome_follows_its_map(small: Genome) -> None:
    """`axis_of` against the map as written: point (position p, cM) is the left edge of base p - 1."""
    assert small.chroms == ("A", "B", "C")
    assert np.allclose(small.chrom_morgans, [0.035, 0.0125, 0.0])
    scale = AXIS_LENGTH / small.morgans / 100
    cm = {0: ([0, 1000, 3000, 5000], [0, 2, 2, 3.5]), 1: ([0, 500, 1999], [0, 1, 1.25])}
    for c, (bp, value) in cm.items():
        at = np.arange(SMALL_LENGTHS[small.chroms[c]])
        expected = float(small.chrom_axis[c]) + np.interp(at, bp, value) * scale
        assert np.all(np.abs(small.axis_of(c, at).astype(float) - expected) <= 3)
    # A chromosome that never recombines owns one position.
    assert set(small.axis_of(2, np.arange(2500)).tolist()) == {AXIS_LENGTH - 1}


def test_small_genome_windows(small: Genome) -> None:
    assert small.window_start.tolist() == [0, 1000, 2000, 3000, 4000, 5000, 0, 1000, 0, 1000, 2000]
    assert small.window_end.tolist() == [1000, 2000, 3000, 4000, 5000, 5200, 1000, 2000, 1000, 2000, 2500]
    assert small.window_functional_bp.tolist() == [20, 30, 0, 0, 10, 3, 0, 0, 100, 0, 10]
    assert small.window_gap_bp.tolist() == [0, 0, 0, 1000, 100, 0, 1000, 1000, 0, 0, 0]
    expected = [2, 2, 2, 2.75, 3.5, 3.5, 1 + 0.25 * 500 / 1499, 1.25, 0, 0, 0]
    assert np.allclose(small.window_cm_end, expected, rtol=0, atol=1e-12)
    # The window that is all gap and the chromosome that is all gap have no marker.
    assert small.marker_window.tolist() == [0, 1, 2, 4, 5, 8, 9, 10]
    assert small.marker_far.tolist() == far_slow(small) == [False, False, True, *[False] * 5]
    assert np.all(np.isnan(small.window_b))


def test_chromosome_without_functional_bases_is_farthest(tmp_path: Path) -> None:
    g = make(
        tmp_path,
        "chr pos cM\nA 1 0\nA 5000 9\nB 1 0\nB 1000 1\n",
        "A 0 5\n",
        window=1000,
        chromosome_lengths={"A": 5000, "B": 1000},
    )
    assert_sound(g)
    assert g.marker_functional.tolist() == [True, *[False] * 5]
    assert g.marker_far.tolist() == far_slow(g) == [*[False] * 5, True]


def test_far_markers_against_all_pairs() -> None:
    g = shipped(chromosomes=["21", "22"])
    assert g.marker_far.tolist() == far_slow(g)
    assert 0 < g.marker_far.sum() < (~g.marker_functional).sum()


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    window=st.integers(1, 150),
)
def test_any_genome_is_sound(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sizes: list[int], window: int
) -> None:
    """Random maps with flat stretches, elements anywhere, gaps anywhere."""
    map_lines, bed_lines, gap_lines, bases = ["chr pos cM"], [], [], set()
    for c, size in enumerate(sizes):
        points = sorted(data.draw(st.sets(st.integers(1, size), min_size=1, max_size=8)))
        steps = data.draw(st.lists(st.sampled_from([0, 0, 0.001, 1.5, 40]), min_size=len(points), max_size=len(points)))
        if c == 0:
            points, steps = [*points, size + 1], [*steps, 1]
        map_lines += [f"{c} {p} {sum(steps[: i + 1])}" for i, p in enumerate(points)]
        intervals = st.tuples(st.integers(0, size - 1), st.integers(1, 60)).map(lambda x: (x[0], sum(x)))
        for lines, least in ((bed_lines, int(c == 0)), (gap_lines, 0)):
            drawn = sorted(data.draw(st.lists(intervals, min_size=least, max_size=5)))
            lines += [f"{c} {a} {min(b, size)}" for a, b in drawn]
            if lines is bed_lines:
                bases |= {(c, bp) for a, b in drawn for bp in range(a, min(b, size))}
    g = make(
        tmp_path_factory.mktemp("genome"),
        "\n".join(map_lines),
        "\n".join(bed_lines),
        gaps="\n".join(gap_lines) or None,
        window=window,
        chromosome_lengths={str(c): s + 1 for c, s in enumerate(sizes)},
    )
    assert_sound(g)
    chrom, bp = g.target_positions(np.arange(g.functional_bp))
    assert list(zip(chrom.tolist(), bp.tolist(), strict=True)) == sorted(bases)
    assert g.marker_far.tolist() == far_slow(g)
    difference = g.target_axis(np.arange(g.functional_bp)).astype(float) - g.axis_of(chrom, bp).astype(float)
    assert np.all(np.abs(difference) <= 1)


@pytest.mark.parametrize("morgans", [[1.0], [0.0, 1.0, 0.0, 0.0], [1e-12, 1.0, 1e-12], [0.5, 0.25, 0.0, 3.0]])
def test_every_chromosome_owns_some_axis(morgans: list[float]) -> None:
    axis = chromosome_axis(np.array(morgans)).astype(np.int64)
    assert axis[0] == 0 and axis[-1] == AXIS_LENGTH and np.all(np.diff(axis) >= 1)
    assert np.all(np.abs(np.diff(axis) - np.array(morgans) / sum(morgans) * AXIS_LENGTH) <= len(morgans))


def test_checksum_sees_everything_but_the_name(small: Genome) -> None:
    seen = {small.checksum()}
    for field in dataclasses.fields(small):
        value = getattr(small, field.name)
        if isinstance(value, np.ndarray):
            changed = value.copy()
            changed[0] = not changed[0] if changed.dtype == bool else changed[0] + 1
            if np.isnan(value[0]):
                changed[0] = 0.5
        else:
            changed = ("A", "B", "D") if field.name == "chroms" else value + "x"
        other = dataclasses.replace(small, **{field.name: changed}).checksum()
        assert (other in seen) == (field.name == "name"), field.name
        seen.add(other)
    assert len(small.checksum()) == 64


def test_shipped_checksum_is_the_one_results_were_made_with() -> None:
    """A new value here means that results change: say so in the changelog."""
    assert shipped("exons").checksum() == "74c9c1b161582d61ff383190fbf44470eb24e3c5e7bc23ff42e19cdd904079aa"


def test_arrays_are_copies(small: Genome) -> None:
    mine = small.window_gap_bp.copy()
    other = dataclasses.replace(small, window_gap_bp=mine)
    mine[0] = 99
    assert other.window_gap_bp[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        other.window_gap_bp[0] = 1


@needs_shared
@pytest.mark.parametrize(("target", "elements"), [("exons", EXONS), ("cds", CDS)], ids=["exons", "cds"])
def test_shipped_genome_equals_the_full_files(target: str, elements: Path) -> None:
    """The table of windows against the map of 3.3 million points and the annotation it was made from."""
    g = shipped(target)
    ends = {name: int(g.window_end[g.window_chrom == c][-1]) for c, name in enumerate(g.chroms)}
    full = from_files(MAP, elements, chromosome_lengths=ends, build="GRCh37")
    assert_sound(full)
    assert full.chroms == g.chroms
    assert np.array_equal(full.window_start, g.window_start) and np.array_equal(full.window_end, g.window_end)
    assert np.allclose(full.chrom_morgans, g.chrom_morgans, rtol=0, atol=1e-7)  # the table has 1e-5 cM
    assert np.abs(full.window_cm_end - g.window_cm_end).max() <= 0.5001e-5
    by_chrom = [np.bincount(x.window_chrom, weights=x.window_functional_bp).tolist() for x in (full, g)]
    assert by_chrom[0] == by_chrom[1]
    assert np.array_equal(full.window_functional_bp, g.window_functional_bp)
    # Placing elements by rule moves them less than a window, on the axis too.
    t = np.arange(0, g.functional_bp, 997)
    (_, bp), (_, bp_full) = g.target_positions(t), full.target_positions(t)
    assert np.array_equal(bp // 100_000, bp_full // 100_000)
    apart = g.target_axis(t).astype(float) - full.target_axis(t).astype(float)
    assert np.abs(apart).mean() * g.morgans * 100 / AXIS_LENGTH < 0.05  # cM
