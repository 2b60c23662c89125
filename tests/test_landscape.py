# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry along the genome, against counts base by base."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import small_genomes
from scipy import stats

from admix import genome as genomes
from admix.blocks import Blocks, chromosome_lengths, genome_blocks, jackknife, morgans_at
from admix.element_distance import FIFTHS, by_distance, check_elements
from admix.errors import InputError
from admix.landscape import (
    HaplotypeAncestry,
    PopulationAncestry,
    Windows,
    correlations,
    deserts,
    genome_windows,
    quantiles,
)

SIGMAS = 4.9
"""A right value is rejected with probability 1e-6 (two-sided, normal)."""

A = {
    "length": 10_500,
    "map": [(0, 0.0), (2000, 1.0), (4000, 1.0), (7000, 9.0), (10_499, 10.0)],
    "elements": [(100, 350), (1200, 1250), (5000, 5001), (9990, 10_200)],
    "gaps": [(3000, 4500)],
}
B = {"length": 2000, "elements": [], "gaps": [(0, 1000)]}
C = {"length": 3000, "elements": [(0, 1), (2000, 3000)]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three chromosomes in windows of 1000 bp, one without an element; B is known in some windows."""
    found = small_genomes.genome(tmp_path_factory.mktemp("genome"), {"1": A, "2": B, "3": C})
    values = np.linspace(0.1, 0.9, len(found.window_start))
    values[4] = np.nan
    return dataclasses.replace(found, window_b=values)


def tracts_on(genome, rng, n, longest, haplotypes=4):
    rows = []
    for name, length in chromosome_lengths(genome).items():
        start = rng.integers(0, length - 1, n)
        end = np.minimum(start + rng.integers(1, longest, n), length)
        rows.append(pd.DataFrame({"chrom": name, "start": start, "end": end}))
    return pd.concat(rows, ignore_index=True)


def depth_of(tracts, genome):
    """How many tracts cover each base, by chromosome."""
    out = []
    for name, length in chromosome_lengths(genome).items():
        depth = np.zeros(length)
        mine = tracts[tracts["chrom"] == name]
        for a, b in zip(mine["start"], mine["end"], strict=True):
            depth[a:b] += 1
        out.append(depth)
    return out


# ---------------------------------------------------------------------- blocks and their errors


def slow_jackknife(top, low, weight):
    """Busing et al. 1999, block by block."""
    used = [j for j, w in enumerate(weight) if w > 0]
    n, g = sum(weight), len(used)
    whole = sum(top) / sum(low)
    without = {j: (sum(top) - top[j]) / (sum(low) - low[j]) for j in used}
    mean = g * whole - sum((1 - weight[j] / n) * without[j] for j in used)
    total = 0.0
    for j in used:
        h = n / weight[j]
        total += (h * whole - (h - 1) * without[j] - mean) ** 2 / (h - 1)
    return whole, np.sqrt(total / g)


def test_jackknife_is_the_published_one():
    rng = np.random.default_rng(1)
    top, low = rng.normal(1, 1, (30, 3)), rng.uniform(1, 5, (30, 3))
    weight = rng.integers(0, 4, 30).astype(float)
    top[weight == 0] = low[weight == 0] = 0
    found = jackknife(top, low, weight)
    for k in range(3):
        want = slow_jackknife(top[:, k], low[:, k], weight)
        assert (found.estimate[k], found.error[k]) == pytest.approx(want)
    other = jackknife(2 * top, low, weight)
    apart = found.minus(other)
    assert apart.estimate == pytest.approx(-found.estimate) and apart.error == pytest.approx(found.error)
    alone = jackknife([0, 1.0], [0, 2.0])
    assert alone.estimate[0] == 0.5 and np.isnan(alone.error[0])
    assert np.isnan(jackknife([0.0, 0.0], [0.0, 0.0]).estimate[0])


def test_jackknife_error_is_the_scatter_of_the_estimate():
    """Weighted means of 40 unequal blocks, 2000 times: the root mean square of the errors over the standard deviation
    of the estimates is 1 within 5 standard errors of 1/sqrt(4000) (false alarm 6e-7); as if blocks were equal in
    weight, it would be off."""
    rng = np.random.default_rng(2)
    size = rng.integers(1, 60, 40).astype(float)
    values = rng.normal(0, 1 / np.sqrt(size), (2000, 40))
    found = jackknife((values * size).T, np.repeat(size[:, None], 2000, axis=1))
    room = 5 / np.sqrt(4000)
    assert np.sqrt(np.mean(found.error**2)) / found.estimate.std() == pytest.approx(1, abs=room)
    plain = values.std(axis=1, ddof=1) / np.sqrt(40)
    assert abs(np.sqrt(np.mean(plain**2)) / found.estimate.std() - 1) > 2 * room


def test_blocks_have_one_genetic_length(made):
    blocks = genome_blocks(made, 2.0)
    assert {name: len(edges) - 1 for name, edges in blocks.edges.items()} == {"1": 5, "2": 1, "3": 1}
    assert blocks.total == 7 and blocks.first == {"1": 0, "2": 5, "3": 6}
    widths = np.diff(morgans_at(made, "1", blocks.edges["1"]))
    assert widths == pytest.approx(0.02, abs=1e-4)
    number = blocks.number("1", np.arange(10_500))
    assert number[0] == 0 and number[-1] == 4 and (np.diff(number) >= 0).all()
    assert all((blocks.edges["1"][k] <= base < blocks.edges["1"][k + 1]) for base, k in enumerate(number))
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InputError, match="block length"):
            genome_blocks(made, wrong)


def test_human_blocks():
    blocks = genome_blocks(genomes.shipped())
    assert 700 <= blocks.total <= 715  # 3,546 cM
    cm = np.concatenate([100 * np.diff(morgans_at(genomes.shipped(), c, e)) for c, e in blocks.edges.items()])
    assert cm.min() > 4.5 and cm.max() < 5.5


def test_blocks_of_an_even_map():
    blocks = Blocks.uniform({"a": 10_000_000, "b": 3.0}, 1e-8)
    assert blocks.edges["a"].tolist() == [0, 5_000_000, 10_000_000] and blocks.edges["b"].tolist() == [0, 3]
    with pytest.raises(InputError, match="rise from 0"):
        Blocks.of({"a": [0, 5, 5]})


def test_positions_off_the_genome_are_refused(made):
    with pytest.raises(InputError, match="one of this genome"):
        morgans_at(made, "4", 5)


# ---------------------------------------------------------------------- windows


def known_share(genome, c):
    """Share of each base that counts as known: that of its window."""
    own = genome.window_chrom == c
    start, end = genome.window_start[own], genome.window_end[own]
    share = (end - start - genome.window_gap_bp[own]) / (end - start)
    return small_genomes.per_base(share, start, end, int(end[-1]))


def test_windows_are_what_their_bases_are(made):
    for size in (700, 2500):
        windows = genome_windows(made, size)
        elements = [A["elements"], B["elements"], C["elements"]]
        for k in range(len(windows.start)):
            c, a, b = int(windows.chrom[k]), int(windows.start[k]), int(windows.end[k])
            known = known_share(made, c)
            own = made.window_chrom == c
            value = small_genomes.per_base(
                made.window_b[own], made.window_start[own], made.window_end[own], len(known)
            )[a:b]
            weight = np.where(np.isnan(value), 0, known[a:b])
            assert windows.sequence_bp[k] == pytest.approx(known[a:b].sum())
            functional = sum(max(0, min(b, y) - max(a, x)) for x, y in elements[c])
            if known[a:b].sum() > 0:
                assert windows.functional[k] == pytest.approx(functional / known[a:b].sum())
            if weight.sum() > 0:
                assert windows.B[k] == pytest.approx(np.nansum(weight * value) / weight.sum())
            else:
                assert np.isnan(windows.B[k])
            name = made.chroms[c]
            cm = 100 * (morgans_at(made, name, b) - morgans_at(made, name, a))
            assert windows.recombination[k] == pytest.approx(cm / (b - a) * 1e6)
        assert windows.end[windows.chrom == 0][-1] == 10_500
    with pytest.raises(InputError, match="window"):
        genome_windows(made, 0)


def test_ancestry_of_windows(made):
    rng = np.random.default_rng(3)
    tracts = tracts_on(made, rng, 40, 2000)
    depth = depth_of(tracts, made)
    haplotypes = HaplotypeAncestry(tracts, made, 90)
    frequency = np.where(made.window_gap_bp == 1000, np.nan, rng.random(len(made.window_start)))
    population = PopulationAncestry(made, frequency)
    windows = genome_windows(made, 1300)
    of_sample = haplotypes.mean(windows.chrom, windows.start, windows.end)
    of_all = population.mean(windows.chrom, windows.start, windows.end)
    for k in range(len(windows.start)):
        c, a, b = int(windows.chrom[k]), int(windows.start[k]), int(windows.end[k])
        assert of_sample[k] == pytest.approx(depth[c][a:b].mean() / 90)
        own = made.window_chrom == c
        known = known_share(made, c)
        value = small_genomes.per_base(frequency[own], made.window_start[own], made.window_end[own], len(known))[a:b]
        weight = np.where(np.isnan(value), 0, known[a:b])
        want = np.nansum(weight * value) / weight.sum() if weight.sum() else np.nan
        assert of_all[k] == pytest.approx(want, nan_ok=True)
    with pytest.raises(InputError, match="one value for each"):
        PopulationAncestry(made, frequency[1:])


class Given:
    """Ancestry that is given for the windows of the genome."""

    def __init__(self, values):
        self.values = values

    def mean(self, chrom, start, end):
        assert len(start) == len(self.values)
        return self.values


def test_quintiles(made):
    rng = np.random.default_rng(4)
    windows = genome_windows(made)
    ancestry = rng.random(len(windows.start))
    ancestry[2] = np.nan
    blocks = genome_blocks(made, 2.0)
    found = quantiles(made, Given(ancestry), blocks, bins=3)
    assert found["feature"].tolist() == ["recombination"] * 3 + ["B"] * 3 and found["bin"].tolist() == [1, 2, 3] * 2
    for feature, rows in found.groupby("feature"):
        value = getattr(windows, feature)
        used = np.flatnonzero((windows.sequence_bp > 0) & ~np.isnan(value) & ~np.isnan(ancestry))
        total = windows.sequence_bp[used].sum()
        assert rows["sequence_bp"].sum() == round(total)
        assert rows["windows"].sum() == len(used)
        # by value, equal amounts as far as whole windows allow
        assert (rows["sequence_bp"] - total / 3).abs().max() <= 3000
        assert (rows["low"].to_numpy()[1:] > rows["high"].to_numpy()[:-1]).all()
        for row in rows.itertuples():
            inside = used[(value[used] >= row.low) & (value[used] <= row.high)]
            assert len(inside) == row.windows
            weight = windows.sequence_bp[inside]
            assert row.ancestry == pytest.approx((weight * ancestry[inside]).sum() / weight.sum())
    assert quantiles(dataclasses.replace(made, window_b=np.full(len(windows.start), np.nan)), Given(ancestry), blocks)[
        "feature"
    ].unique().tolist() == ["recombination"]


def test_quintiles_find_a_gradient():
    """Human genome; ancestry of a window is 0.02 + 0.002 log2(cM/Mb + 0.1) and noise of 0.02, independent.

    Each quintile lies within 4.9 standard errors of its expectation (false alarm 5e-6), the errors are those of
    independent windows to 15 % (jackknife over 711 blocks: 4 % each), and the lowest lies 4.9 below the highest."""
    human = genomes.shipped()
    rng = np.random.default_rng(5)
    windows = genome_windows(human)
    expected = 0.02 + 0.002 * np.log2(windows.recombination + 0.1)
    ancestry = expected + rng.normal(0, 0.02, len(expected))
    found = quantiles(human, Given(ancestry), genome_blocks(human))
    exact = quantiles(human, Given(expected), genome_blocks(human))
    rate = found["feature"] == "recombination"
    z = ((found["ancestry"] - exact["ancestry"]) / found["se"])[rate]
    assert z.abs().max() < SIGMAS
    # not quite: the spread of the expectation inside a quintile is in the error, too
    plain = 0.02 / np.sqrt(found["windows"])
    assert (found["se"] / plain)[rate].between(0.85, 1.35).all()
    rows = found[rate]
    apart = rows["ancestry"].iloc[4] - rows["ancestry"].iloc[0]
    assert apart > SIGMAS * np.hypot(rows["se"].iloc[0], rows["se"].iloc[4])
    # a twin without the gradient
    flat = quantiles(human, Given(ancestry - expected), genome_blocks(human))[rate]
    apart = flat["ancestry"].iloc[4] - flat["ancestry"].iloc[0]
    assert abs(apart) < SIGMAS * np.hypot(flat["se"].iloc[0], flat["se"].iloc[4])


def test_correlations_are_spearmans():
    human = genomes.shipped(chromosomes=["21", "22"])
    rng = np.random.default_rng(6)
    blocks = genome_blocks(human)
    frequency = np.where(
        human.window_end - human.window_start > human.window_gap_bp, rng.random(len(human.window_b)), np.nan
    )
    ancestry = PopulationAncestry(human, frequency)
    found = correlations(human, ancestry, blocks, 250_000)
    windows = genome_windows(human, 250_000)
    mean = ancestry.mean(windows.chrom, windows.start, windows.end)
    assert found["feature"].tolist() == ["recombination", "B", "functional"]
    for row in found.itertuples():
        value = getattr(windows, row.feature)
        used = (windows.sequence_bp >= 125_000) & ~np.isnan(value) & ~np.isnan(mean)
        assert row.windows == used.sum() and row.window_bp == 250_000
        # bases without recombination are equal, whatever the last digit
        x, y = np.round(value[used], 12), np.round(mean[used], 12)
        assert row.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert len(correlations(human, Given(np.full(len(windows.start), 0.02)), blocks, 250_000)) == 0
    # ancestry that differs in the last digits alone is the same everywhere
    noise = Given(0.02 * (1 + 1e-15 * rng.integers(-3, 4, len(windows.start))))
    assert len(correlations(human, noise, blocks, 250_000)) == 0


def test_correlations_find_what_is_there_and_nothing_else():
    """1-Mb windows of the human genome: |rho| of unrelated ancestry below 4.9 standard errors (false alarm 3e-6 for
    three), its error that of independent windows, 1/sqrt(n), to 15 %; of related ancestry above."""
    human = genomes.shipped()
    rng = np.random.default_rng(7)
    windows = genome_windows(human, 1_000_000)
    blocks = genome_blocks(human)
    noise = rng.normal(0, 1, len(windows.start))
    none = correlations(human, Given(noise), blocks, 1_000_000)
    assert (none["rho"] / none["se"]).abs().max() < SIGMAS
    assert (none["se"] * np.sqrt(none["windows"])).between(0.85, 1.15).all()
    related = correlations(human, Given(noise + 0.3 * np.log(windows.recombination + 0.1)), blocks, 1_000_000)
    assert (related["rho"] / related["se"])[related["feature"] == "recombination"].item() > SIGMAS


# ---------------------------------------------------------------------- deserts


def slow_deserts(genome, ancestry, size, share):
    """Every stretch of whole windows, one by one."""
    windows = genome_windows(genome)
    out = []
    for c, name in enumerate(genome.chroms):
        here = np.flatnonzero(windows.chrom == c)
        marked = np.zeros(len(here), bool)
        weight = np.where(np.isnan(ancestry[here]), 0, windows.sequence_bp[here])
        for i in range(len(here)):
            j = i
            while j < len(here) and windows.end[here[j]] - windows.start[here[i]] < size:
                j += 1
            if j == len(here):
                break
            if i + 1 == len(here) or windows.end[here[-1]] - windows.start[here[i + 1]] < size:
                j = len(here) - 1
            held = weight[i : j + 1].sum()
            length = windows.end[here[j]] - windows.start[here[i]]
            mean = np.nansum(weight[i : j + 1] * ancestry[here[i : j + 1]]) / held if held else np.nan
            if 2 * held >= length and mean <= share:
                marked[i : j + 1] = True
        i = 0
        while i < len(here):
            j = i
            while j < len(here) and marked[j]:
                j += 1
            inside = [k for k in range(i, j) if weight[k] > 0]
            if inside:
                out.append((name, int(windows.start[here[inside[0]]]), int(windows.end[here[inside[-1]]])))
            i = max(j, i + 1)
    return out


def test_deserts_are_the_poor_stretches(tmp_path):
    made = small_genomes.genome(
        tmp_path,
        {
            "1": {"length": 60_300, "gaps": [(20_000, 26_000), (40_500, 40_900)], "elements": [(10, 20)]},
            "2": {"length": 4000},
        },
    )
    rng = np.random.default_rng(8)
    seen = 0
    for _ in range(60):
        level = np.repeat(rng.choice([0.0, 0.0, 0.004, 0.03], 20), 4)[: len(made.window_start)]
        ancestry = np.where(made.window_gap_bp == 1000, np.nan, level)
        size, share = int(rng.integers(2, 12)) * 700, float(rng.choice([0.0, 0.001, 0.003]))
        found = deserts(made, PopulationAncestry(made, ancestry), size, share)
        want = slow_deserts(made, ancestry, size, share)
        assert list(found[["chrom", "start", "end"]].itertuples(index=False, name=None)) == want
        seen += len(found)
    assert seen > 50


def test_what_a_desert_is_said_to_be(made):
    ancestry = np.where(made.window_gap_bp == 1000, np.nan, 0.0)
    ancestry[:2] = 0.4
    found = deserts(made, PopulationAncestry(made, ancestry), 3000, 0.0)
    row = found.iloc[0]
    assert (row.chrom, row.start, row.end) == ("1", 2000, 10_500)  # through the gap
    assert row.sequence_bp == 7000 and row.functional_bp == 211 and row.cM == pytest.approx(9.0, abs=0.01)
    assert row.ancestry == 0.0 and row.B == pytest.approx(
        np.average(made.window_b[[2, 5, 6, 7, 8, 9, 10]], weights=[1000] * 6 + [500])
    )
    assert deserts(made, PopulationAncestry(made, np.full(len(ancestry), 0.4))).empty
    for size, share in ((0, 0.1), (10, 1.5), (10, -0.1)):
        with pytest.raises(InputError, match="desert"):
            deserts(made, PopulationAncestry(made, ancestry), size, share)


# ---------------------------------------------------------------------- distance to elements


def slow_distance(genome, elements, depth):
    """Distance of every base, and whether its window is known: arrays over all chromosomes."""
    distance, known, cover = [], [], []
    for c, inside in enumerate(elements):
        own = genome.window_chrom == c
        length = int(genome.window_end[own][-1])
        bases = np.arange(length)
        far = np.full(length, 10**9)
        for a, b in inside:
            outside = np.where(bases < a, a - bases, bases - b + 1)
            far = np.minimum(far, np.where((bases >= a) & (bases < b), 0, outside))
        distance.append(far)
        gap = genome.window_gap_bp[own] == genome.window_end[own] - genome.window_start[own]
        start, end = genome.window_start[own], genome.window_end[own]
        known.append(small_genomes.per_base((~gap).astype(float), start, end, length) == 1)
        cover.append(depth[c])
    return np.concatenate(distance), np.concatenate(known), np.concatenate(cover)


def test_distance_bins_base_by_base(made):
    tracts = tracts_on(made, np.random.default_rng(9), 60, 1500)
    found = by_distance(made, HaplotypeAncestry(tracts, made, 70), genome_blocks(made, 2.0))
    elements = [A["elements"], B["elements"], C["elements"]]
    distance, known, depth = slow_distance(made, elements, depth_of(tracts, made))
    outside = np.sort(distance[known & (distance > 0)])
    # break k is the smallest distance up to which there are k fifths
    breaks = [0, *(outside[-(-k * len(outside) // FIFTHS) - 1] for k in range(1, FIFTHS)), 10**9]
    assert found["bin"].tolist() == list(range(6)) and len(set(breaks)) == 6
    for row in found.itertuples():
        inside = distance == 0 if row.bin == 0 else (distance > breaks[row.bin - 1]) & (distance <= breaks[row.bin])
        inside &= known
        assert row.sequence_bp == inside.sum()
        assert row.ancestry == pytest.approx(depth[inside].sum() / (70 * inside.sum()))
        assert row.nearest == (0 if row.bin == 0 else breaks[row.bin - 1] + 1)
        if row.bin < FIFTHS:
            assert row.farthest == breaks[row.bin]
    assert np.isnan(found["farthest"].iloc[5]) and found["sequence_bp"].sum() == known.sum()


def test_distance_bins_find_depletion(tmp_path):
    """Tracts that are never nearer than 200 bp to an element are missing from the nearest bins, and random ones are
    equally frequent everywhere: largest difference from the mean below 4.9 standard errors (false alarm 6e-6)."""
    rng = np.random.default_rng(10)
    chroms = {}
    for name in "12345678":
        start = np.sort(rng.choice(400, 40, replace=False)) * 1000 + 300
        chroms[name] = {
            "length": 400_000, "elements": [(int(a), int(a) + 200) for a in start], "map": [(0, 0.0), (399_999, 60.0)]
        }  # fmt: skip
    made = small_genomes.genome(tmp_path, chroms, 10_000)
    blocks = genome_blocks(made)
    tracts = tracts_on(made, rng, 3000, 400)
    random = by_distance(made, HaplotypeAncestry(tracts, made, 50), blocks)
    mean = (random["ancestry"] * random["sequence_bp"]).sum() / random["sequence_bp"].sum()
    assert ((random["ancestry"] - mean) / random["se"]).abs().max() < SIGMAS
    keep = np.ones(len(tracts), bool)
    for name, what in chroms.items():
        mine = (tracts["chrom"] == name).to_numpy()
        for a, b in what["elements"]:
            keep &= ~(mine & (tracts["start"] < b + 200).to_numpy() & (tracts["end"] > a - 200).to_numpy())
    depleted = by_distance(made, HaplotypeAncestry(tracts[keep], made, 50), blocks)
    assert depleted["ancestry"].iloc[0] == 0
    gap = depleted["ancestry"].iloc[5] - depleted["ancestry"].iloc[1]
    assert gap > SIGMAS * np.hypot(depleted["se"].iloc[5], depleted["se"].iloc[1])


def test_distance_is_refused_where_places_are_not_real(made):
    human = genomes.shipped(chromosomes=["22"])
    with pytest.raises(InputError) as caught:
        by_distance(
            human, HaplotypeAncestry(tracts_on(human, np.random.default_rng(1), 5, 9), human, 2), genome_blocks(human)
        )
    assert "genome.source: files" in str(caught.value) and "\n" not in str(caught.value)
    check_elements(made)
    assert isinstance(genome_windows(made), Windows)
