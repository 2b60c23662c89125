# SPDX-License-Identifier: GPL-3.0-or-later
"""The axis positions of bases, against the position of every single base."""

import numpy as np
import pytest

from admix import genome as genome_module
from admix.base_axis import BaseAxis


def small_genome(tmp_path, seed):
    """Two short chromosomes with a random map (flat stretches too) and random elements, also at the ends."""
    rng = np.random.default_rng(seed)
    sizes = {"1": 3000, "2": 2117}
    lines, bed = ["chrom position rate cM"], []
    for chrom, size in sizes.items():
        bp = np.sort(rng.choice(np.arange(1, size), 12, replace=False))
        cm = np.cumsum(rng.choice([0.0, 0.001, 2.0], 12))
        lines += [f"{chrom} {b} 0 {c:.6f}" for b, c in zip(bp, cm, strict=True)]
        edges = np.sort(rng.choice(np.arange(1, size), 30, replace=False))
        elements = [(0, 3), *zip(edges[::2], edges[1::2], strict=True), (size - 2, size)]
        bed += [f"{chrom}\t{a}\t{b}" for a, b in sorted(elements)]
    (tmp_path / "map").write_text("\n".join(lines) + "\n")
    (tmp_path / "bed").write_text("\n".join(bed) + "\n")
    return genome_module.from_files(tmp_path / "map", tmp_path / "bed", chromosome_lengths=sizes, window=500), sizes


@pytest.mark.parametrize("seed", range(8))
def test_every_base(tmp_path, seed):
    genome, sizes = small_genome(tmp_path, seed)
    axis = BaseAxis(genome)
    number = np.arange(genome.functional_bp)
    where, bp = genome.target_positions(number)
    rng = np.random.default_rng(seed)
    for c, size in enumerate(sizes.values()):
        wanted = genome.axis_of(c, np.arange(size))
        wanted[bp[where == c]] = genome.target_axis(number[where == c])
        assert (np.diff(wanted.astype(np.int64)) >= 0).all()
        found = axis.axis(c, np.arange(size))
        np.testing.assert_array_equal(found, wanted)
        low, high = genome.chrom_axis[c], genome.chrom_axis[c + 1]
        x = np.concatenate([wanted, wanted + np.uint64(1), rng.integers(low, high, 500, dtype=np.uint64), [low, high]])
        first = np.array([np.searchsorted(wanted, v) for v in x])
        np.testing.assert_array_equal(axis.first_base(c, x), first)


@pytest.mark.parametrize("seed", range(4))
def test_markers_are_bases_next_to_the_midpoint(tmp_path, seed):
    genome, _ = small_genome(tmp_path, seed)
    axis = BaseAxis(genome)
    np.testing.assert_array_equal(axis.axis(axis.marker_chrom, axis.marker_bp), axis.marker_axis)
    window = genome.marker_window
    assert (genome.window_start[window] <= axis.marker_bp).all()
    assert (axis.marker_bp < genome.window_end[window]).all()
    assert (np.diff(axis.marker_axis.astype(np.int64)) >= 0).all()
    after = np.minimum(axis.marker_bp + 1, genome.window_end[window] - 1)
    next_one = axis.axis(axis.marker_chrom, after)
    assert ((axis.marker_axis <= genome.marker_axis) | (axis.marker_bp == genome.window_start[window])).all()
    assert ((next_one > genome.marker_axis) | (axis.marker_bp == genome.window_end[window] - 1)).all()


def test_the_shipped_genome_moves_no_marker_far():
    genome = genome_module.shipped(chromosomes=["21", "22"])
    axis = BaseAxis(genome)
    moved = np.abs(axis.marker_axis.astype(np.int64) - genome.marker_axis.astype(np.int64))
    # a base is tens of axis units on a genome of two chromosomes, and hotspots are a thousand times the mean
    assert (moved < 1e6).all()
    assert (moved > 0).any()
