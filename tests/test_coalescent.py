# SPDX-License-Identifier: GPL-3.0-or-later
"""The coalescent engine against closed forms: who crosses, who has met, what a tree file must hold.

The genome is one chromosome of blocks without recombination, 60 cM apart, so that every block has a genealogy of
nearly its own: for a pair of lineages with r = 0.35 in a deme of N = 60, times to the common ancestor in neighbouring
blocks have a correlation of about 1 / (4 N r), 0.01, which is neglected.
"""

import dataclasses
import functools
import json
import tempfile
from pathlib import Path

import chance
import msprime
import numpy as np
import pytest
import small
import small_genomes
from scipy import stats

from admix import schedule, trees
from admix.ancestry import NATIVE, census_ancestry, labels_at, local_ancestry
from admix.engines.coalescent import recombination_map, simulate_chromosome
from admix.errors import InputError
from admix.genome import shipped
from admix.recapitation import recapitate
from admix.trees import CENSUS, MIGRANT, NEUTRAL

BLOCKS, BLOCK = 400, 1000
MODELS = ("hudson", "dtwf")
PULSE, SPLIT, TODAY = 171, 0, 200  # ticks of generation 1, of the last common cohort, of today
T0 = TODAY - PULSE + 1
N, SHARE = 60, 0.2

DEMES = (("ancestral", (), [(200, 40)]), ("modern", ("ancestral",), [(0, N)]), ("archaic", ("ancestral",), [(29, 20)]))
ONE = ({"name": "pulse", "source": "archaic", "target": "modern", "time": 29, "share": SHARE, "unit": "gametes"},)


@functools.cache
def genome(blocks=BLOCKS):
    with tempfile.TemporaryDirectory() as folder:
        points = [p for i in range(blocks) for p in ((BLOCK * i, 60.0 * i), (BLOCK * (i + 1) - 1, 60.0 * i))]
        return small_genomes.genome(Path(folder) / "genome", {"1": {"length": blocks * BLOCK, "map": points}})


def compiled(demes=DEMES, pulses=ONE, migrations=(), starts=None):
    block = small.demes(*demes, migrations=migrations)
    for name, time in (starts or {}).items():
        small.start_times(block, **{name: time})
    return schedule.compile(small.scenario(demography=block, pulse=list(pulses), sampling={}))


ANCESTRAL, MODERN, ARCHAIC = range(3)
SITES = np.arange(BLOCKS) * BLOCK + BLOCK // 2
"""A base in each block."""


@functools.cache
def simulated(model="hudson", samples=((MODERN, TODAY, 10),), seed=1, to="pulse", clock=None, blocks=BLOCKS, **options):
    return simulate_chromosome(clock or compiled(), genome(blocks), "1", samples, seed, model, to=to, **options)


def census(ts, time):
    return np.flatnonzero(((ts.nodes_flags & CENSUS) != 0) & (ts.nodes_time == time))


def crossed(ts, time=T0 - 1, source=ARCHAIC):
    """For each haplotype of generation 1: whether its parents are in the source. All of them are in one deme."""
    nodes = census(ts, time)
    came = np.full(ts.num_nodes, -1)
    edges = np.isin(ts.edges_child, nodes)
    child, deme = ts.edges_child[edges], ts.nodes_population[ts.edges_parent[edges]]
    assert (ts.nodes_time[ts.edges_parent[edges]] == time + 1).all()
    came[child] = deme
    assert (came[child] == deme).all()
    return came[nodes] == source


# ---- what crosses

SEEDS = {"hudson": range(1, 3), "dtwf": range(1, 15)}
"""In continuous time a deme of 60 can have far more than 120 lineages in one generation, each with a few blocks."""


@pytest.mark.parametrize("model", MODELS)
def test_haplotypes_cross_with_the_share(model):
    """Each haplotype of generation 1 that is ancestral to a sample has its parents in the source with probability
    `SHARE`, independently of the others: the number is binomial."""
    found = np.concatenate([crossed(simulated(model, seed=seed)) for seed in SEEDS[model]])
    counts = np.array([found.sum(), (~found).sum()])
    truth, wrong = np.array([SHARE, 1 - SHARE]), np.array([SHARE + 0.12, 0.88 - SHARE])
    assert chance.accepts(counts, truth)
    assert chance.rejects(counts, truth, wrong)


@pytest.mark.parametrize("model", MODELS)
def test_shares_of_pulses_in_one_tick_and_of_two_sources(model):
    clock = two_sources()
    ts = [simulated(model, seed=seed, clock=clock) for seed in SEEDS[model]]
    west, east = clock.deme("west"), clock.deme("east")
    for time, source, share in ((19, west, 0.3), (19, east, 0.2), (9, east, 0.25)):
        found = np.concatenate([crossed(one, time, source) for one in ts])
        home = np.concatenate([one.nodes_population[census(one, time)] for one in ts]) == clock.deme("modern")
        counts = np.array([found[home].sum(), (~found[home]).sum()])
        assert chance.accepts(counts, np.array([share, 1 - share]))
        assert chance.rejects(counts, np.array([share, 1 - share]), np.array([share - 0.1, 1.1 - share]))
        # the source's own cohort has its parents there, and the other source's has not
        assert found[~home].sum() == ((~home).sum() if source == east else 0)


@functools.cache
def two_sources():
    """Pulses of two sources fall on one tick; one of them gives again ten ticks later."""
    demes = (
        ("ancestral", (), [(200, 40)]),
        ("modern", ("ancestral",), [(0, N)]),
        ("west", ("ancestral",), [(10, 20)]),
        ("east", ("ancestral",), [(0, 25)]),
    )
    one = dict(ONE[0], target="modern")
    pulses = (
        one | {"name": "a", "source": "west", "time": 19, "share": 0.3},
        one | {"name": "b", "source": "east", "time": 19, "share": 0.2},
        one | {"name": "c", "source": "east", "time": 9, "share": 0.25},
    )
    return compiled(demes, pulses)


def test_labels_of_two_sources():
    """The last pulse wins, so native lineages escaped all of them: (1 - 0.25) (1 - 0.5), west 0.75 x 0.3."""
    clock = two_sources()
    found = []
    for seed in range(1, 11):
        ts = simulated("dtwf", ((clock.deme("modern"), TODAY, 1),), seed, clock=clock)
        tracts = local_ancestry(ts)
        assert tracts.names == ("native", "west", "east") and tracts.coverage == 1
        found.append(labels_at(tracts, SITES)[0])
    counts = np.bincount(np.concatenate(found), minlength=3)
    truth = np.array([0.75 * 0.5, 0.75 * 0.3, 0.75 * 0.2 + 0.25])
    assert chance.accepts(counts, truth)
    assert chance.rejects(counts, truth, np.array([0.5, 0.3, 0.2]))


@pytest.mark.parametrize("model", MODELS)
def test_people_of_the_pulse_and_of_the_tick_before(model):
    """Events and samples of one tick: those born at the pulse may come from the source, those before it may not."""
    groups = ((MODERN, PULSE - 1, 20), (ARCHAIC, PULSE - 1, 5), (MODERN, PULSE, 20))
    whole = []
    for seed in range(1, 13):
        ts = simulated(model, groups, seed, "split", blocks=20)
        marks = labels_at(local_ancestry(ts), SITES[:20])
        assert (marks[:50] == NATIVE).all()
        assert (ts.nodes_time[:90] == np.repeat([T0, T0 - 1], [50, 40])).all()
        assert (ts.nodes_flags[:90] == (1 | CENSUS)).all()
        born = marks[50:]
        assert (born == born[:, :1]).all()
        whole.append(born[:, 0] == 1)
    came = np.concatenate(whole)
    counts = np.array([came.sum(), (~came).sum()])
    assert chance.accepts(counts, np.array([SHARE, 1 - SHARE]))
    assert chance.rejects(counts, np.array([SHARE, 1 - SHARE]), np.array([0.4, 0.6]))


def test_pulse_of_today():
    late = dict(ONE[0], time=0.4)
    demes = (*DEMES[:2], ("archaic", ("ancestral",), [(0, 20)]))
    clock = compiled(demes, (late,))
    assert clock.first_pulse_tick() == clock.today == TODAY
    found = []
    for seed in range(1, 13):
        ts = simulated("hudson", ((MODERN, TODAY, 20),), seed, clock=clock)
        marks = labels_at(local_ancestry(ts), SITES)
        assert (marks == marks[:, :1]).all() and ts.max_root_time == 1
        found.append(marks[:, 0] == 1)
    came = np.concatenate(found)
    assert chance.accepts(np.array([came.sum(), (~came).sum()]), np.array([SHARE, 1 - SHARE]))


@pytest.mark.parametrize("back", [0.0, 0.03])
def test_migration_from_a_source(back):
    """After its first pulse whoever comes from a source is its, and whoever comes from the others to it and returns."""
    rate, ticks = 0.01, 15
    migrations = [("archaic", "modern", rate, 20, 20 - ticks)]
    if back:
        migrations.append(("modern", "archaic", back, 20, 20 - ticks))
    clock = compiled((*DEMES[:2], ("archaic", ("ancestral",), [(0, 20)])), migrations=migrations)
    found = []
    for seed in range(1, 11):
        ts = simulated("hudson", ((MODERN, TODAY, 1),), seed, clock=clock)
        found.append(labels_at(local_ancestry(ts), SITES)[0])
        moved = np.flatnonzero((ts.nodes_flags & MIGRANT) != 0)
        assert len(moved) and set(ts.nodes_population[moved]) == ({MODERN, ARCHAIC} if back else {ARCHAIC})
        assert (ts.nodes_time[moved] < 20).all()
    counts = np.bincount(np.concatenate(found), minlength=2)
    # whoever went to the archaic deme at any time has its label, also if the line came back to the modern one
    native = np.exp(-rate * ticks) * (1 - SHARE)
    truth = np.array([native, 1 - native])
    assert chance.accepts(counts, truth)
    assert chance.rejects(counts, truth, np.array([1 - SHARE, SHARE]))


def test_founding_by_a_source():
    """A deme that splits off from a source after its pulse is of the source, as in the native engine."""
    demes = (*DEMES[:2], ("archaic", ("ancestral",), [(20, 20)]), ("young", ("archaic",), [(0, 15)]))
    clock = compiled(demes)
    young = clock.deme("young")
    ts = simulated("hudson", ((MODERN, TODAY, 2), (young, TODAY, 2)), clock=clock)
    assert (labels_at(local_ancestry(ts), SITES)[4:] == 1).all()
    assert {ARCHAIC, young} <= set(ts.nodes_population) and (ts.nodes_flags & MIGRANT).any()


def test_an_older_split_is_no_introduction():
    """The source is the ancestor of another deme from long before its pulse; nodes of that crossing are not kept."""
    demes = (*DEMES[:2], ("archaic", ("ancestral",), [(0, 20)]), ("sister", ("archaic",), [(0, 15)]))
    clock = compiled(demes, migrations=[("archaic", "sister", 0.001, 10, 5)], starts={"sister": 100})
    ts = simulated("hudson", ((MODERN, TODAY, 2), (clock.deme("sister"), TODAY, 4)), clock=clock, to="ancestors")
    marks = labels_at(local_ancestry(ts), SITES)[4:]
    assert 0.95 < (marks == NATIVE).mean() < 1
    assert (ts.nodes_time[(ts.nodes_flags & MIGRANT) != 0] < T0).all()


# ---- when lineages meet


def together(model, seed, clock, blocks):
    """For each block, whether both haplotypes of one person of today are in one haplotype of generation 1."""
    ts = simulated(model, ((MODERN, TODAY, 1),), seed, clock=clock, blocks=blocks)
    tracts = census_ancestry(ts, T0 - 1, by="node")
    # labels are int8: nodes are told apart by their number modulo 100 and by that modulo 97
    one, two = (labels_at(dataclasses.replace(tracts, label=tracts.label % k), SITES[:blocks]) for k in (100, 97))
    return (one[0] == one[1]) & (two[0] == two[1])


@pytest.mark.parametrize("model", MODELS)
def test_pairs_that_have_met_by_the_pulse(model):
    """1 - exp(-t / 2N), or 1 - (1 - 1 / 2N)^t. Discrete generations have one pedigree for all blocks, which are not
    independent then: a block from each of many runs is taken."""
    clock, n = (compiled(), N) if model == "hudson" else (few(), 20)
    if model == "hudson":
        met = np.concatenate([together(model, seed, clock, BLOCKS) for seed in range(1, 7)])
    else:
        met = np.array([together(model, seed, clock, 2)[0] for seed in range(1, 131)])
    counts = np.array([met.sum(), (~met).sum()])

    def probability(n, t=T0 - 1):
        p = -np.expm1(-t / (2 * n)) if model == "hudson" else 1 - (1 - 1 / (2 * n)) ** t
        return np.array([p, 1 - p])

    assert chance.accepts(counts, probability(n))
    assert chance.rejects(counts, probability(n), probability(3 * n))


@functools.cache
def few():
    return compiled((DEMES[0], ("modern", ("ancestral",), [(0, 20)]), DEMES[2]))


def pair_times(ts, a, b):
    """Time at which two nodes meet, in each block."""
    return np.array([ts.at(site).tmrca(a, b) for site in SITES.tolist()])


def test_lineages_of_two_demes_meet_before_their_split():
    """An archaic and a native lineage have their common ancestor an exponential time, mean 2N, before the split."""
    times = []
    for seed in range(1, 6):
        ts = simulated("hudson", ((ARCHAIC, PULSE - 1, 1), (MODERN, TODAY, 1)), seed, "ancestors")
        native = labels_at(local_ancestry(ts), SITES)[2] == NATIVE
        times.append(pair_times(ts, 0, 2)[native] - (TODAY - 1))
    found = np.concatenate(times)
    assert len(found) > 1400 and found.min() > 0
    assert stats.kstest(found, "expon", args=(0, 80)).pvalue > chance.FALSE_ALARM
    assert stats.kstest(found, "expon", args=(0, 60)).pvalue < chance.FALSE_ALARM
    assert stats.kstest(found + 20, "expon", args=(0, 80)).pvalue < chance.FALSE_ALARM


def test_lineages_of_one_deme_meet_in_it():
    """Two archaic lineages, from the tick before the pulse on: the sizes of the parents decide, N = 20 then 40."""
    times = np.concatenate(
        [pair_times(simulated("hudson", ((ARCHAIC, PULSE - 1, 1),), seed, "ancestors"), 0, 1) for seed in range(1, 6)]
    )
    alone = TODAY - 1 - T0  # until the split

    def cdf(t, n):
        before = np.minimum(t - T0, alone) / (2 * n) + np.maximum(t - T0 - alone, 0) / 80
        return -np.expm1(-before)

    assert stats.kstest(times, cdf, args=(20,)).pvalue > chance.FALSE_ALARM
    assert stats.kstest(times, cdf, args=(28,)).pvalue < chance.FALSE_ALARM


# ---- what a tree file must hold


@pytest.mark.parametrize("model", MODELS)
def test_every_base_passes_both_censuses(model):
    """Also where the two haplotypes have met before: one person in a small deme."""
    ts = simulated(model, ((MODERN, TODAY, 1),), 3)
    for time in (T0 - 1, T0):
        assert census_ancestry(ts, time).coverage == 1
    assert local_ancestry(ts).coverage == 1
    assert sum(tree.num_children(tree.root) == 1 for tree in ts.trees() if tree.num_roots == 1) > 10
    assert {t for node in range(ts.num_nodes) for t in [ts.nodes_time[node]] if t >= T0 - 1} == {T0 - 1, T0}
    deme = ts.nodes_population
    assert set(deme[census(ts, T0 - 1)]) == {MODERN} and set(deme[census(ts, T0)]) == {MODERN, ARCHAIC}
    # a haplotype has one node for all of its bases
    parents = ts.edges_parent[np.isin(ts.edges_parent, census(ts, T0))]
    assert np.bincount(parents).max() > 3


def test_file_passes_its_checks():
    clock = compiled()
    groups = ((MODERN, PULSE + 9, 3), (MODERN, TODAY, 4))
    labels = trees.TreeLabels.from_schedule(
        clock, branch="b", replicate=2, twin="neutral", seed=9, chroms=("1",), samples=groups, run="r"
    )
    ts = simulate_chromosome(
        clock, genome(), "1", groups, 9, branch="b", replicate=2, twin="neutral", to="pulse", run="r"
    )
    trees.validate(ts, "file", chrom="1", length=BLOCKS * BLOCK, labels=labels)
    assert trees.sample_names(ts) == ["modern-20_0", "modern-20_1", "modern-20_2", *(f"modern_{k}" for k in range(4))]
    assert trees.population_names(ts) == list(clock.deme_names)
    assert ts.num_individuals == 7 and ts.time_units == "generations" and ts.num_provenances == 1
    written = json.loads(ts.provenance(0).record)
    assert written["software"]["name"] == "admix"
    assert written["parameters"]["engine"] == "msprime" and written["parameters"]["to"] == "pulse"
    assert ts.individual(0).metadata["pedigree_id"] == 0 and ts.node(0).metadata["slim_id"] == 0
    other = dataclasses.replace(labels, branch="c")
    with pytest.raises(InputError, match="branch"):
        trees.validate(ts, "file", chrom="1", length=BLOCKS * BLOCK, labels=other)


def test_depth_of_the_trees():
    groups = ((MODERN, TODAY, 5),)
    pulse, split, ancestors = (simulated("hudson", groups, 4, to) for to in ("pulse", "split", "ancestors"))
    assert {tree.time(root) for tree in pulse.trees() for root in tree.roots} == {T0}
    assert {tree.time(root) for tree in split.trees() for root in tree.roots} == {TODAY - SPLIT}
    assert split.metadata["admix"]["recorded_from_tick"] == SPLIT
    assert all(tree.num_roots == 1 for tree in ancestors.trees())
    assert ancestors.max_root_time > TODAY
    # the younger part is the same
    for ts in (split, ancestors):
        assert (labels_at(local_ancestry(ts), SITES) == labels_at(local_ancestry(pulse), SITES)).all()
    for ts in (pulse, split):
        recent = np.unique(ts.nodes_time[(ts.nodes_flags & CENSUS) != 0])
        assert recent.tolist() == [T0 - 1, T0]


def test_recapitation_goes_on_from_it():
    ts = simulated("hudson", ((MODERN, TODAY, 5),), 4)
    whole = recapitate(ts, compiled(), genome(), "1", 1, mutation_rate=1e-6, selected_rate=0.0)
    assert all(tree.num_roots == 1 for tree in whole.trees()) and whole.num_mutations > 100


def test_last_cohort_before_today():
    clock, last = compiled(), 180
    ts = simulate_chromosome(clock, genome(), "1", ((MODERN, last, 5),), to="pulse", last_tick=last)
    assert ts.max_root_time == last - PULSE + 1 and ts.metadata["admix"]["last_tick"] == last
    assert local_ancestry(ts).coverage == 1


@pytest.mark.parametrize("to", ["pulse", "ancestors"])
def test_same_names_same_numbers(to):
    def tables(ts):
        found = ts.dump_tables()
        found.provenances.clear()
        return found

    given = {"samples": ((MODERN, TODAY, 4),), "seed": 5, "to": to}
    rate = {"mutation_rate": 1e-6} if to == "ancestors" else {}
    one = tables(simulate_chromosome(compiled(), genome(), "1", **given, **rate))
    assert one == tables(simulate_chromosome(compiled(), genome(), "1", **given, **rate))
    for change in ({"seed": 6}, {"replicate": 1}, {"branch": "other"}):
        other = tables(simulate_chromosome(compiled(), genome(), "1", **(given | change), **rate))
        assert other.edges != one.edges


# ---- map and mutations


def test_recombination_map_is_the_genome_s():
    whole = shipped("exons", ("21", "22"))
    for c, chrom in enumerate(whole.chroms):
        rates = recombination_map(whole, chrom)
        inside = whole.window_chrom == c
        assert rates.sequence_length == whole.window_end[inside][-1]
        assert rates.total_mass == pytest.approx(whole.chrom_morgans[c], rel=1e-12)
        found = rates.get_cumulative_mass(whole.window_end[inside].astype(float)) * 100
        assert found == pytest.approx(whole.window_cm_end[inside], abs=1e-6)
        flat = inside & (whole.window_cm_end == whole.window_cm_start)
        assert flat.sum() > 10
        assert (rates.get_rate(whole.window_start[flat].astype(float)) == 0).all()
    rates = recombination_map(genome(), "1")
    assert rates.total_mass == pytest.approx(0.6 * (BLOCKS - 1))
    assert (rates.get_rate(SITES.astype(float)) == 0).all()


def test_mutations():
    """Their number is Poisson with mean rate x bases x length of all branches."""
    rate = 2e-5
    ts = simulated("hudson", ((MODERN, TODAY, 5),), 4, "ancestors", mutation_rate=rate)
    bare = simulated("hudson", ((MODERN, TODAY, 5),), 4, "ancestors")
    assert ts.tables.edges == bare.tables.edges and bare.num_mutations == 0
    total = sum(tree.total_branch_length * tree.span for tree in ts.trees())
    found = trees.mutations(ts)
    assert set(found.type) == {NEUTRAL} and set(found.s) == {0.0}
    own = found.id[found.own]
    assert len(np.unique(own)) == len(own) > 3000

    def p(mean):
        return 2 * min(stats.poisson.cdf(len(own), mean), stats.poisson.sf(len(own) - 1, mean))

    assert p(rate * total) > chance.FALSE_ALARM
    assert p(1.15 * rate * total) < chance.FALSE_ALARM
    birth = TODAY - ts.mutations_time[found.row[found.own]]
    assert np.abs(found.tick[found.own] - birth).max() <= 1


# ---- what is refused


def test_refusals():
    clock = compiled()
    good = {"samples": ((MODERN, TODAY, 2),)}

    def refused(**given):
        with pytest.raises(InputError) as error:
            simulate_chromosome(clock, genome(), **({"chrom": "1"} | good | given))
        return str(error.value)

    assert refused(chrom="2").startswith("chromosome: got '2'; allowed: one of 1")
    assert "did you mean hudson?" in refused(model="hudsen")
    assert refused(to="puls") == "to: got 'puls'; allowed: pulse, split, ancestors; did you mean pulse?"
    assert refused(samples=()).startswith("sampling.individuals: allowed: at least one block")
    assert refused(samples=((ARCHAIC, TODAY, 1),)).startswith("sampling.individuals: got '1 of archaic 0 years ago'")
    assert "61 of modern" in refused(samples=((MODERN, TODAY, 61),))
    assert "29 years ago on" in refused(samples=((ARCHAIC, PULSE - 1, 1),), to="pulse")
    assert refused(to="pulse", mutation_rate=1e-8).startswith("mutation_rate: got 1e-08")
    assert "by 20 years ago" in refused(last_tick=180)
    assert refused(samples=None).startswith("sampling.individuals")


def test_discrete_generations_cannot_tell_migrants():
    clock = compiled(
        (*DEMES[:2], ("archaic", ("ancestral",), [(0, 20)])), migrations=[("archaic", "modern", 0.01, 9, 5)]
    )
    with pytest.raises(InputError, match="model: got 'dtwf'; allowed: hudson, where lineages cross"):
        simulate_chromosome(clock, genome(), "1", ((MODERN, TODAY, 2),), model="dtwf")


def test_anchor_has_a_name_of_its_own():
    demes = (
        ("ancestral", (), [(200, 40)]),
        ("anchor", ("ancestral",), [(0, N)]),
        ("archaic", ("ancestral",), [(29, 20)]),
    )
    ts = simulated(clock=compiled(demes, (dict(ONE[0], target="anchor"),)))
    assert trees.population_names(ts) == ["ancestral", "anchor", "archaic"]
    assert ts.num_populations == 3 and ts.nodes_population.max() == 2
    assert msprime.NODE_IS_CEN_EVENT == CENSUS and msprime.NODE_IS_MIG_EVENT == MIGRANT
