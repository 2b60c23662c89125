# SPDX-License-Identifier: GPL-3.0-or-later
"""Tract lengths: in Morgans, their expectation without selection, and the tests that compare the two."""

from itertools import pairwise

import msprime
import numpy as np
import pandas as pd
import pytest
import small
import small_genomes
from scipy import stats

from admix import schedule, tract_theory
from admix.errors import InputError, RunError
from admix.tracts import compare, cover, measure, survival

SIGMAS = 4.9
"""A right expectation is rejected with probability 1e-6 (two-sided, normal)."""


def table(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "source", "sample", "haplotype"])


# ---------------------------------------------------------------------- theory


def slow_effective_meioses(sizes, unit):
    """Each meiosis by itself: the chance that lines parted there have not met by the first mixed generation."""
    first = {"individuals": 2, "F1": 1, "gametes": 1}[unit]
    size = dict(enumerate(sizes, start=1))
    total = 0.0
    for g in range(first, len(sizes)):
        apart = 1.0
        for j in range(g - 1, first - 1, -1):
            apart *= 1 - 1 / (2 * size[j])
        total += apart
    return total


@pytest.mark.parametrize("unit", ["individuals", "F1", "gametes"])
def test_effective_meioses_are_the_sum_over_meioses(unit):
    sizes = np.random.default_rng(1).integers(3, 40, 30)
    for n in range(1, 30):
        assert tract_theory.effective_meioses(sizes[:n], unit) == pytest.approx(slow_effective_meioses(sizes[:n], unit))
    assert tract_theory.meioses(30, unit) == {"individuals": 28, "F1": 29, "gametes": 29}[unit]
    assert tract_theory.meioses(1, unit) == 0


def test_constant_size_is_the_published_formula():
    n, t = 10_000, 1678
    rate = tract_theory.end_rate(0.1, np.full(t + 2, n))
    assert rate == pytest.approx(0.9 * 2 * n * (1 - (1 - 1 / (2 * n)) ** t), rel=1e-12)
    # continuous time errs by 1/4N
    assert rate == pytest.approx(tract_theory.coalescent_end_rate(0.1, t, n), rel=1 / (4 * n) * 1.1)
    assert tract_theory.coalescent_end_rate(0.1, t, 1e12) == pytest.approx(0.9 * t, rel=1e-6)
    assert rate / (0.9 * t) == pytest.approx(0.959, abs=5e-4)


def gamete(rng, pair, morgans):
    """A gamete of two haplotypes, each (first ancestry, [places where it changes])."""
    cuts = np.sort(rng.random(rng.poisson(morgans))) * morgans
    strand = int(rng.integers(2))
    if len(cuts) == 0:
        return pair[strand]
    out, state, at = [], pair[strand][0], 0.0
    start = state
    for cut in [*cuts, morgans]:
        ancestry, switches = pair[strand]
        now = ancestry ^ (sum(s <= at for s in switches) & 1)
        if at > 0 and now != state:
            out.append(at)
        inside = [s for s in switches if at < s < cut]
        out += inside
        state = now ^ (len(inside) & 1)
        strand, at = 1 - strand, cut
    return start, out


def forward(rng, n, generations, share, unit, morgans):
    """Haplotypes of the last generation of a Wright-Fisher population of n people."""
    if unit == "individuals":
        come = rng.permutation(n) < round(share * n)
        people = [((bool(c), []), (bool(c), [])) for c in come]
    elif unit == "F1":
        people = [((bool(c), []), (False, [])) for c in rng.random(n) < 2 * share]
    else:
        people = [((bool(a), []), (bool(b), [])) for a, b in rng.random((n, 2)) < share]
    for _ in range(generations - 1):
        parents = rng.integers(0, n, (n, 2))
        people = [tuple(gamete(rng, people[p], morgans) for p in pair) for pair in parents]
    return [haplotype for person in people for haplotype in person]


def ends_and_length(haplotypes, morgans):
    """Ends of archaic tracts inside the chromosome, and their length, over haplotypes."""
    ends = length = 0.0
    for state, switches in haplotypes:
        edges = [0.0, *switches, morgans]
        for k, (a, b) in enumerate(pairwise(edges)):
            if state ^ (k & 1):
                length += b - a
                ends += b < morgans
    return ends, length


@pytest.mark.parametrize(
    ("unit", "n", "generations", "wrong"),
    [
        ("individuals", 8, 10, 0.75 * 8),  # (1 - m) t, 24 % too high
        ("gametes", 8, 10, 0.75 * 9),  # the same, 27 % too high
        ("F1", 40, 3, 0.75 * (1 + 79 / 80)),  # as if the other gamete of an F1 could be archaic: 14 % too low
    ],
    ids=["individuals", "gametes", "F1"],
)
def test_rate_is_that_of_a_wright_fisher_population(unit, n, generations, wrong):
    """Ends less rate times length has the mean 0 over 900 independent populations: z-test, false alarm 1e-6. The wrong
    rates are 8 standard errors or more away, so they are rejected with probability 0.999."""
    rng = np.random.default_rng(5)
    share, morgans = 0.25, 1.0
    runs = np.array([ends_and_length(forward(rng, n, generations, share, unit, morgans), morgans) for _ in range(900)])

    def z(rate):
        score = runs[:, 0] - rate * runs[:, 1]
        return score.mean() / (score.std(ddof=1) / np.sqrt(len(score)))

    right = tract_theory.end_rate(share, np.full(generations, n), unit)
    assert abs(z(right)) < SIGMAS
    assert z(wrong) * (right - wrong) > SIGMAS * abs(right - wrong)


# ---------------------------------------------------------------------- the line to the pulse


def clock(**changes):
    return schedule.compile(small.scenario(**changes))


def test_sizes_of_the_line_to_the_pulse():
    grown = small.demes(
        ("ancestral", [], [(90, 40)]),
        ("modern", ["ancestral"], [(20, 40), (0, (50, 59))]),
        ("archaic", ["ancestral"], [(30, 12)]),
    )
    made = clock(demography=grown)
    sizes, unit = tract_theory.line_sizes(made, "archaic", "modern", made.today)
    assert unit == "individuals" and len(sizes) == 31  # generation 1 is 30 ticks ago
    assert sizes.tolist() == made.sizes(1, made.today - 30, made.today).tolist()
    assert sizes[0] == 40 and sizes[-1] == 59
    earlier, _ = tract_theory.line_sizes(made, "archaic", "modern", made.today - 10)
    assert earlier.tolist() == sizes[:-10].tolist()


def test_the_line_runs_through_a_split():
    made = clock(
        demography=small.start_times(
            small.demes(
                ("ancestral", [], [(90, 40)]),
                ("modern", ["ancestral"], [(0, 40)]),
                ("archaic", ["ancestral"], [(30, 12)]),
                ("east", ["modern"], [(0, 7)]),
            ),
            east=10,
        )
    )
    sizes, _ = tract_theory.line_sizes(made, "archaic", "east", made.today)
    assert sizes.tolist() == [40] * 21 + [7] * 10


@pytest.mark.parametrize(
    ("changes", "deme", "says"),
    [
        (
            {
                "pulse": [
                    {"name": "a", "source": "archaic", "target": "modern", "time": 38, "share": 0.1},
                    {"name": "b", "source": "archaic", "target": "modern", "time": 30, "share": 0.1},
                ]
            },
            "modern",
            "one pulse",
        ),
        (
            {
                "demography": small.demes(
                    ("ancestral", [], [(90, 40)]),
                    ("modern", ["ancestral"], [(0, 40)]),
                    ("archaic", ["ancestral"], [(30, 12)]),
                    ("south", ["ancestral"], [(0, 40)]),
                    migrations=[("south", "modern", 0.01, 20, 10)],
                )
            },
            "modern",
            "without migration",
        ),
        ({}, "archaic", "a pulse of that source"),
    ],
    ids=["two pulses", "migration", "no pulse"],
)
def test_what_the_theory_does_not_cover_is_refused(changes, deme, says):
    made = clock(**changes)
    tick = made.today if deme == "modern" else made.first_pulse_tick() - 1
    with pytest.raises(InputError, match=says):
        tract_theory.line_sizes(made, "archaic", deme, tick)


# ---------------------------------------------------------------------- lengths


def test_lengths_follow_the_map(tmp_path):
    """1 cM over the first 1000 bases, none over the next 1000, 4 cM over the rest."""
    points = [(0, 0.0), (1000, 1.0), (2000, 1.0), (3999, 5.0)]
    made = small_genomes.genome(tmp_path, {"7": {"length": 4000, "map": points}, "8": {"length": 1000}})
    found = measure(
        table(
            ("7", 500, 1500, "x", "b", 0),
            ("7", 0, 4000, "x", "a", 1),
            ("7", 1000, 2000, "x", "a", 0),
            ("7", 1500, 1600, "x", "b", 0),
            ("7", 1600, 1700, "y", "b", 0),
            ("8", 0, 500, "x", "b", 0),
        ),
        made,
    )
    assert found["morgans"].to_numpy() == pytest.approx([0, 0.05, 0.005, 5e-6, 0], abs=1e-8)
    assert found["end"].tolist() == [2000, 4000, 1600, 500, 1700]  # tracts that touch are one, of one source
    assert found["from_start"].tolist() == [False, True, False, True, False]
    assert found["to_end"].tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    "rows",
    [
        [("7", 10, 10, "x", "a", 0)],
        [("7", 10, 4001, "x", "a", 0)],
        [("7", 10, 30, "x", "a", 0), ("7", 20, 40, "x", "a", 0)],
        [("9", 10, 30, "x", "a", 0)],
    ],
    ids=["empty", "beyond", "overlap", "chromosome"],
)
def test_impossible_tracts_are_refused(tmp_path, rows):
    made = small_genomes.genome(tmp_path, {"7": {"length": 4000}})
    with pytest.raises(RunError, match="tract table"):
        measure(table(*rows), made)


def test_bases_before_a_place_are_counted_exactly():
    rng = np.random.default_rng(2)
    start = rng.integers(0, 90, 30)
    end = start + rng.integers(1, 10, 30)
    depth = np.zeros(100, dtype=int)
    for a, b in zip(start, end, strict=True):
        depth[a:b] += 1
    at = rng.integers(0, 101, 50)
    assert cover(start, end, at).tolist() == [int(depth[:b].sum()) for b in at]


# ---------------------------------------------------------------------- the law and its tests


def markov(rng, chromosomes, haplotypes, share, rate):
    """Tracts of haplotypes that change between two ancestries by the law: (chromosome, start, end) in Morgans."""
    other = share / (1 - share) * rate
    rows = []
    for c, length in enumerate(chromosomes):
        for _ in range(haplotypes):
            inside, at = rng.random() < share, 0.0
            while at < length:
                stop = at + rng.exponential(1 / (rate if inside else other))
                if inside:
                    rows.append((c, at, min(stop, length)))
                inside, at = not inside, stop
    return np.array(rows)


def as_measured(rows, chromosomes):
    """The rows as `measure` gives them."""
    c = rows[:, 0].astype(int)
    return pd.DataFrame(
        {
            "chrom": (c + 1).astype(str),
            "morgans": rows[:, 2] - rows[:, 1],
            "to_end": rows[:, 2] == np.asarray(chromosomes)[c],
        }
    )


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """22 chromosomes from 0.5 to 2.6 Morgans."""
    folder = tmp_path_factory.mktemp("uneven")
    chroms = {str(c + 1): {"length": 50_000_000 + 10_000_000 * c} for c in range(22)}
    return small_genomes.genome(folder, chroms, 5_000_000)


def test_survival_of_tracts_that_chromosomes_cut_short():
    """Counts beyond x less the expected share of all counts have the mean 0 over haplotypes: largest z of 8 points,
    false alarm 8e-6. A rate 1.15 times too high is rejected."""
    rng = np.random.default_rng(3)
    chromosomes, rate, haplotypes = [0.3, 1.1], 4.0, 4000
    counts = np.zeros((haplotypes, 9))
    x = np.linspace(0.02, 0.7, 8)
    for h in range(haplotypes):
        rows = markov(rng, chromosomes, 1, 0.4, rate)
        if len(rows):
            length = rows[:, 2] - rows[:, 1]
            counts[h] = [len(length), *((length > limit).sum() for limit in x)]

    def largest(tried):
        score = counts[:, 1:] - counts[:, :1] * tract_theory.expected_survival(x, tried, chromosomes)
        return np.abs(score.mean(axis=0) / (score.std(axis=0, ddof=1) / np.sqrt(haplotypes))).max()

    assert largest(rate) < SIGMAS
    assert largest(1.15 * rate) > SIGMAS
    assert tract_theory.expected_survival([0.0, 2.0], rate, chromosomes).tolist() == [1.0, 0.0]


def test_p_values_are_those_of_chance(uneven):
    """200 data sets from the law: how often p < 0.05 must lie between 0.5 and 13 % (binomial: false alarm 1e-4), and
    both tests must reject a rate 1.3 times too high in all of them but one in ten."""
    rng = np.random.default_rng(4)
    rate = 12.0
    right, wrong = [], []
    for _ in range(200):
        data = as_measured(markov(rng, uneven.chrom_morgans, 2, 0.4, rate), uneven.chrom_morgans)
        right.append(compare(data, uneven, rate, draws=399))
        wrong.append(compare(data, uneven, 1.3 * rate, draws=399))
    for name in ("p_rate", "p_shape"):
        early = np.mean([getattr(fit, name) < 0.05 for fit in right])
        assert 0.005 <= early < 0.13, name
        assert np.mean([getattr(fit, name) < 0.05 for fit in wrong]) > 0.9, name
    z = np.array([(fit.rate - rate) / fit.rate_se for fit in right])
    # Student's t with about 21 degrees of freedom: standard deviation 1.05, known to 0.055
    assert 0.85 < z.std() < 1.25


def test_comparison_says_what_it_counted(uneven):
    rows = np.array([(0, 0.1, 0.2), (0, 0.3, uneven.chrom_morgans[0]), (3, 0.0, 0.05)])
    fit = compare(as_measured(rows, uneven.chrom_morgans), uneven, 7.0)
    assert (fit.tracts, fit.ends, fit.expected) == (3, 2, 7.0)
    assert fit.rate == pytest.approx(2 / (0.15 + uneven.chrom_morgans[0] - 0.3))
    nothing = compare(as_measured(rows[:0], uneven.chrom_morgans), uneven, 7.0)
    assert nothing.tracts == 0 and np.isnan([nothing.rate, nothing.p_rate, nothing.p_shape]).all()
    unknown = compare(as_measured(rows, uneven.chrom_morgans), uneven, float("nan"))
    assert unknown.rate == fit.rate and np.isnan([unknown.p_rate, unknown.p_shape]).all()


def test_survival_table(uneven):
    rows = np.array([(0, 0.1, 0.2), (1, 0.1, 0.4)])
    found = survival(as_measured(rows, uneven.chrom_morgans), uneven, 5.0, [0.0, 0.15, 0.5])
    assert found["cM"].tolist() == [0.0, 15.0, 50.0] and found["observed"].tolist() == [1.0, 0.5, 0.0]
    assert found["expected"].tolist() == pytest.approx(
        tract_theory.expected_survival([0.0, 0.15, 0.5], 5.0, uneven.chrom_morgans).tolist()
    )


# ---------------------------------------------------------------------- msprime


def archaic_tracts(model, size, time, share, people, genome, seed):
    """Tracts of a pulse by the coalescent, with the map of the genome."""
    demography = msprime.Demography()
    demography.add_population(name="modern", initial_size=size)
    demography.add_population(name="archaic", initial_size=size)
    demography.add_mass_migration(time=time, source="modern", dest="archaic", proportion=share)
    demography.add_census(time=time + 0.5)
    parts = []
    for c, name in enumerate(genome.chroms):
        knots = slice(genome.knot_first[c], genome.knot_first[c + 1])
        position = genome.knot_bp[knots].astype(float)
        morgans = (genome.knot_axis[knots] - genome.chrom_axis[c]).astype(float)
        morgans *= genome.chrom_morgans[c] / morgans[-1]
        ts = msprime.sim_ancestry(
            {"modern": people},
            demography=demography,
            recombination_rate=msprime.RateMap(position=position, rate=np.diff(morgans) / np.diff(position)),
            end_time=time + 1,
            random_seed=seed + c,
            model=model,
        )
        census = np.flatnonzero(ts.nodes_flags & msprime.NODE_IS_CEN_EVENT)
        edges = ts.tables.link_ancestors(ts.samples(), census)
        mine = ts.nodes_population[edges.parent] == 1
        child = edges.child[mine]
        columns = {"start": edges.left[mine].astype(int), "end": edges.right[mine].astype(int)}
        parts.append(
            pd.DataFrame({"chrom": name, **columns, "source": "archaic", "sample": child // 2, "haplotype": child % 2})
        )
    return pd.concat(parts, ignore_index=True)


def test_tracts_of_the_coalescent_have_the_expected_lengths(tmp_path):
    """N = 10,000, 1,679 generations, 22 chromosomes with cold, flat and hot stretches, 8 haplotypes.

    The standard error of the rate is about 1.3 %. A right rate fails with probability 2e-3 (two p-values below
    1e-3). A rate for t x 1.1 is 9.2 % too high, 7 standard errors: both p-values fall below 0.01 with probability
    over 0.99. The naive (1 - m) t, 4.2 % too high, is 3 standard errors off: z < -1 with probability 0.98.
    """
    n, t, share = 10_000, 1679, 0.1
    points = [(0, 0.0), (4_000_000, 2.0), (10_000_000, 2.0), (12_000_000, 20.0), (30_000_000, 27.0), (39_999_999, 28.0)]
    made = small_genomes.genome(
        tmp_path, {str(c + 1): {"length": 40_000_000, "map": points} for c in range(22)}, 1_000_000
    )
    found = measure(archaic_tracts("hudson", n, t, share, 4, made, 11), made)
    rate = tract_theory.coalescent_end_rate(share, t, n)
    right = compare(found, made, rate)
    assert right.rate_se < 0.02 * rate
    assert right.p_rate > 1e-3 and right.p_shape > 1e-3
    longer = compare(found, made, tract_theory.coalescent_end_rate(share, 1.1 * t, n))
    assert longer.p_rate < 0.01 and longer.p_shape < 0.01
    assert (right.rate - (1 - share) * t) / right.rate_se < -1
    # as if the map were even: lengths on the wrong map are not exponential
    even = found.assign(morgans=(found["end"] - found["start"]) * 0.28 / 40_000_000)
    assert compare(even, made, right.rate).p_shape < 1e-3


def test_tracts_of_discrete_generations_have_the_expected_lengths(tmp_path):
    """The discrete Wright-Fisher model of msprime, in which gametes cross: N = 300, 40 generations.

    z over 22 chromosomes (Student's t, 21 degrees of freedom): |t| < 4.6, false alarm 2e-4. The rate for N = 30 is
    38 % lower and is rejected.
    """
    n, t, share = 300, 40, 0.3
    made = small_genomes.uniform(tmp_path, 22, 100_000_000)
    found = measure(archaic_tracts("dtwf", n, t, share, 10, made, 7), made)
    fit = compare(found, made, tract_theory.end_rate(share, np.full(t + 1, n), "gametes"))
    limit = stats.t.isf(1e-4, 21)
    assert abs(fit.rate - fit.expected) / fit.rate_se < limit
    few = tract_theory.end_rate(share, np.full(t + 1, 30), "gametes")
    assert (fit.rate - few) / fit.rate_se > limit
