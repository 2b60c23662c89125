# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put on top of a tree file: genealogy under the scenario's demography, neutral mutations at their rates."""

import dataclasses
import functools
import json
import shutil

import chance
import msprime
import numpy as np
import pyslim
import pytest
import small
import tree_records
import tskit
from scipy import stats
from test_results import tables as run_tables

from admix import recapitation, schedule, trees
from admix.errors import InputError, RunError
from admix.recapitation import check_coalescence, mutation_rates, recapitate, recapitate_run, recapitated_path
from admix.results import RunWriter, read_run, sha256, validate_run
from admix.run_trees import tree_files
from admix.trees import CENSUS, NEUTRAL, STANDING

RATE, SELECTED = 2e-6, 1.5e-6


@functools.cache
def toy(seed=1):
    return tree_records.toy(seed)


@functools.cache
def built(seed=1):
    return trees.build(toy(seed).record, toy(seed).labels)


def tall(ts=None, made=None, seed=3, **options):
    made = made or toy()
    options = {"mutation_rate": RATE, "selected_rate": SELECTED} | options
    return recapitate(built() if ts is None else ts, made.schedule, made.genome, "22", seed, **options)


@functools.cache
def recapitated():
    return tall()


def changed(ts, change):
    tables = ts.dump_tables()
    change(tables)
    tables.sort()
    tables.build_index()
    tables.compute_mutation_parents()
    return tables.tree_sequence()


def without_labels(tables):
    tables.metadata = {"SLiM": tables.metadata["SLiM"]}


# ---- genealogy: founders alone, so that all of it is recapitated


def founders(modern=8, archaic=8, **labels):
    """Samples that live at the tick of the roots, in two demes, without any edge."""
    n = modern + archaic
    none = np.zeros(0, np.int64)
    record = dataclasses.replace(
        toy().record,
        node_tick=np.full(n, 59, np.int32),
        node_deme=np.repeat([1, 2], [modern, archaic]).astype(np.int16),
        node_flags=np.full(n, 1 | CENSUS, np.uint32),
        node_individual=np.arange(n) // 2,
        **{f.name: none for f in dataclasses.fields(toy().record) if f.name.startswith(("edge_", "mutation_"))},
    )
    return trees.build(record, dataclasses.replace(toy().labels, **labels))


def meetings(make, seeds=40):
    """Mean time, for each seed, at which two haplotypes meet: both modern, one of each, both archaic."""
    groups = [list(range(8)), list(range(8, 16))]
    found = []
    for seed in range(1, seeds + 1):
        ts = make(seed)
        within = ts.diversity(groups, mode="branch")
        between = ts.divergence(groups, mode="branch")
        found.append([31 + value / 2 for value in (within[0], between, within[1])])
    return np.array(found)


def agrees(values, expected):
    """t-test of the mean over seeds, at the false-alarm rate of the suite."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return abs(values.mean() - expected) < stats.t.isf(chance.FALSE_ALARM / 2, len(values) - 1) * error


def test_lineages_meet_as_the_demography_says():
    """40 modern and 12 archaic people, 58 births apart from the tick after the split on, 40 before.

    The last one is the trap of a bare ancestral size: both demes become one at the roots.
    """
    start = founders()
    own = meetings(lambda seed: tall(start, seed=seed, mutation_rate=1e-12, selected_rate=0.0))
    apart = np.exp(-58 / 24)
    expected = [31 + 80, 89 + 80, 31 + 24 * (1 - apart) + 80 * apart]
    assert [agrees(own[:, k], expected[k]) for k in range(3)] == [True, True, True]
    chromosome = recapitation.recombination_map(toy().genome, "22")
    bare = meetings(
        lambda seed: pyslim.recapitate(start, ancestral_Ne=40, recombination_rate=chromosome, random_seed=seed)
    )
    assert not agrees(bare[:, 1], expected[1]) and agrees(bare[:, 1], 31 + 80)
    assert not agrees(own[:, 0], expected[0] * 1.2) and not agrees(own[:, 2], 31 + 80)


def test_sizes_just_before_the_roots_count():
    """10 modern people from tick 45 on, 400 before: 14 births from parents of the one size, 44 of the other."""
    demography = small.demes(
        ("ancestral", [], [(90, 40)]),
        ("modern", ["ancestral"], [(46, 400), (0, 10)]),
        ("archaic", ["ancestral"], [(30, 12)]),
    )
    clock = schedule.compile(tree_records.scenario(demography=demography))
    assert [clock.size(1, tick) for tick in (44, 45)] == [400, 10]
    start, genome = founders(), toy().genome
    found = meetings(lambda seed: recapitate(start, clock, genome, "22", seed, mutation_rate=1e-12, selected_rate=0.0))
    near, far = np.exp(-14 / 20), np.exp(-44 / 800)
    assert agrees(found[:, 0], 31 + 20 * (1 - near) + near * (800 * (1 - far) + far * 80))
    for wrong in (31 + 800 * (1 - np.exp(-58 / 800)) + np.exp(-58 / 800) * 80, 31 + 20 * (1 - np.exp(-58 / 20))):
        assert not agrees(found[:, 0], wrong)


def test_a_run_that_ended_early_has_the_same_demography():
    """Time counts from the last cohort, so the split is 20 generations nearer."""

    def first_meeting(last):
        start = founders(2, 2, last_tick=last)
        done = [tall(start, seed=seed, mutation_rate=1e-12, selected_rate=0.0) for seed in range(1, 9)]
        return min(tree.tmrca(a, b) for ts in done for tree in ts.trees() for a in (0, 1) for b in (2, 3))

    assert 89 < first_meeting(90) < 95
    assert 69 < first_meeting(70) < 75


def test_everything_recorded_is_still_there():
    before, after = built(), recapitated()
    assert all(tree.num_roots == 1 for tree in after.trees())
    n = before.num_nodes
    for name in ("nodes_time", "nodes_flags", "nodes_population", "nodes_individual"):
        assert np.array_equal(getattr(after, name)[:n], getattr(before, name))
    assert after.nodes_time[n:].min() > 31
    recorded = after.nodes_time[after.edges_parent] <= 31
    columns = ("edges_parent", "edges_child", "edges_left", "edges_right")
    old = {tuple(row) for row in np.column_stack([getattr(before, c) for c in columns])}
    new = {tuple(row) for row in np.column_stack([getattr(after, c)[recorded] for c in columns])}
    assert old == new
    assert after.tables.individuals == before.tables.individuals
    assert after.tables.populations == before.tables.populations
    assert trees.sample_names(after) == trees.sample_names(before)
    trees.validate(after, "FILE", chrom="22", length=toy().record.length, labels=toy().labels)
    assert (after.breakpoints(as_array=True) % 1 == 0).all()


def test_mutations_may_be_older_than_their_roots():
    """As in a file that gives standing mutations the time of their birth: its roots are about to get parents."""
    ts = built()
    born = 90.0 - np.array([m.metadata["mutation_list"][-1]["slim_time"] for m in ts.mutations()])
    aged = changed(ts, lambda tables: setattr(tables.mutations, "time", born))
    assert (aged.mutations_time > 31).any()
    assert same(tall(aged), recapitated())


def test_no_crossover_where_the_map_is_flat():
    genome = toy().genome
    rates = recapitation.recombination_map(genome, "22")
    flat = np.flatnonzero(rates.rate == 0)
    assert len(flat) > 5 and rates.total_mass == pytest.approx(genome.chrom_morgans[1], rel=1e-9)
    new = np.setdiff1d(recapitated().breakpoints(as_array=True), built().breakpoints(as_array=True))
    assert len(new) > 200
    inside = (new[:, None] > rates.left[flat]) & (new[:, None] < rates.right[flat])
    assert not inside.any()


# ---- populations of the file


def test_populations_are_matched_by_name():
    """As SLiM numbers them: an empty population without a name first, then in the order of the script."""
    ts = built()

    def slim_order(tables):
        without_labels(tables)
        rows = [None, tables.populations[2].metadata, tables.populations[1].metadata]
        tables.populations.clear()
        for row in rows:
            tables.populations.add_row(metadata=row)
        tables.nodes.population = np.array([-1, 2, 1], np.int32)[tables.nodes.population]

    other = changed(ts, slim_order)
    done = tall(other)
    assert trees.population_names(done) == ["pop_0", "archaic", "modern", "ancestral"]
    assert all(tree.num_roots == 1 for tree in done.trees())
    old = done.nodes_time > 89.001
    assert old.any() and set(done.nodes_population[old]) == {3}
    assert set(done.nodes_population[(done.nodes_time > 31) & (done.nodes_time < 89)]) <= {1, 2}


def test_roots_in_an_unknown_deme():
    def rename(tables):
        rows = [row.metadata | {"name": row.metadata["name"] + "s"} for row in tables.populations]
        tables.populations.clear()
        for row in rows:
            tables.populations.add_row(metadata=row)

    with pytest.raises(InputError, match=r"FILE: populations: got 'moderns'; allowed: one of the demes ancestral, mod"):
        tall(changed(built(), rename), where="FILE")


def test_roots_at_a_time_without_their_deme():
    labels = dataclasses.replace(toy().labels, last_tick=1000)
    ts = changed(founders(), lambda t: setattr(t, "metadata", t.metadata | {"admix": labels.metadata("22")}))
    with pytest.raises(RunError, match="FILE: roots in deme modern at tick 969, when it has no cohort"):
        tall(ts, where="FILE")


# ---- demographies that never coalesce


def demography(**sizes):
    out = msprime.Demography()
    for name, size in sizes.items():
        out.add_population(name=name, initial_size=size)
    return out


def test_lineages_that_stay_apart_are_refused():
    model = demography(a=10, b=10, c=10)
    check_coalescence(model, [0])
    with pytest.raises(RunError) as caught:
        check_coalescence(model, [0, 1], "FILE")
    assert str(caught.value) == (
        "FILE: lineages in a and b can never coalesce: nothing joins these demes before the records;"
        " give the demography a common ancestor, or migration between them"
    )
    model.set_migration_rate("a", "b", 0.1)
    check_coalescence(model, [0, 1])  # one way is enough
    with pytest.raises(RunError, match="lineages in b and c can never coalesce"):
        check_coalescence(model, [0, 2])
    model.add_migration_rate_change(50, rate=0, source="a", dest="b")
    with pytest.raises(RunError, match="lineages in a and b can never coalesce"):
        check_coalescence(model, [0, 1])  # migration ended too early to be certain


def test_where_lineages_may_go_counts_too():
    model = demography(a=10, b=10, c=10)
    model.set_migration_rate("a", "b", 0.1)
    model.set_migration_rate("a", "c", 0.1)
    with pytest.raises(RunError, match="lineages in b and c can never coalesce"):
        check_coalescence(model, [0])
    model = demography(a=10, b=10, c=10)
    model.add_mass_migration(5, source="a", dest="c", proportion=0.5)
    with pytest.raises(RunError, match="lineages in a and c can never coalesce"):
        check_coalescence(model, [0])
    model.add_population_split(20, derived=["a"], ancestral="c")
    check_coalescence(model, [0])
    chain = demography(a=10, b=10, c=10, d=10)
    for source, dest in (("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")):
        chain.set_migration_rate(source, dest, 0.01)
    check_coalescence(chain, [0, 1, 2, 3])


def test_a_population_that_grows_without_end_is_refused():
    model = msprime.Demography()
    model.add_population(name="a", initial_size=10, growth_rate=-0.1)
    with pytest.raises(RunError, match="lineages in a may never coalesce: its size grows without end"):
        check_coalescence(model, [0])
    model.add_population_parameters_change(100, population="a", growth_rate=0)
    check_coalescence(model, [0])


def test_msprime_is_not_called_where_it_would_not_return(monkeypatch):
    isolated = demography(ancestral=40, modern=40, archaic=12)
    monkeypatch.setattr(recapitation, "demography", lambda *_, **__: isolated)
    monkeypatch.setattr(msprime, "sim_ancestry", lambda **_: pytest.fail("called"))
    with pytest.raises(RunError, match="FILE: lineages in modern and archaic can never coalesce"):
        tall(where="FILE")


# ---- files that cannot be recapitated


def test_a_file_is_recapitated_once():
    with pytest.raises(RunError, match="FILE: it is recapitated already"):
        tall(recapitated(), where="FILE")
    bare = changed(recapitated(), without_labels)
    with pytest.raises(RunError, match=r"FILE: its lineages have all met already \(.*\); use it as it is"):
        tall(bare, where="FILE")


def test_a_simplified_file():
    """With its roots, and demes kept, it is as good; without them it is refused."""
    ts, kept = built(), {"keep_input_roots": True}
    done = tall(ts.simplify(ts.samples()[:6], filter_populations=False, keep_unary=True, **kept))
    assert done.num_samples == 6 and all(tree.num_roots == 1 for tree in done.trees())
    assert (done.nodes_flags & CENSUS).any()
    assert all(tree.num_roots == 1 for tree in tall(ts.simplify(filter_populations=True, **kept)).trees())
    with pytest.raises(RunError, match="if you simplify it first, use keep_input_roots=True"):
        tall(ts.simplify())


def test_uncovered_bases():
    """msprime would let the sample wait at its own time, and join it to the others at the roots."""
    ts = changed(built(), lambda t: t.edges.keep_rows(np.arange(t.edges.num_rows) != 5))
    with pytest.raises(RunError, match="FILE: its roots are not of one time"):
        tall(ts, where="FILE")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mutation_rate": 1e-8}, "--mutation-rate: got 1e-08; allowed: at least 1.5e-06 (selection.mutation_rate)"),
        ({"mutation_rate": 0.0}, "--mutation-rate: got 0.0; allowed: a rate per bp and generation above 0"),
        ({"mutation_rate": 1.0}, "--mutation-rate: got 1.0; allowed: a rate"),
        ({"mutation_rate": float("nan")}, "--mutation-rate: got nan; allowed: a rate"),
    ],
)
def test_rates_that_do_not_fit(options, message):
    with pytest.raises(InputError) as caught:
        tall(**options)
    assert str(caught.value).startswith(message)


def test_another_chromosome():
    with pytest.raises(InputError, match="FILE: sequence length: got '51,304,566 bp'; allowed: 48,129,895 bp"):
        recapitate(built(), toy().schedule, toy().genome, "21", 1, selected_rate=0, where="FILE")
    with pytest.raises(InputError, match="--chrom: got '23'; allowed: one of 21, 22"):
        recapitate(built(), toy().schedule, toy().genome, "23", 1, selected_rate=0)


# ---- neutral mutations


def elements_below(genome, chrom, bp):
    """Functional bases before each position."""
    own = genome.target_chrom == genome.chroms.index(chrom)
    start, length = genome.target_start[own], np.diff(genome.target_cum)[own]
    edges = np.column_stack([start, start + length]).ravel()
    return np.interp(bp, edges, np.append(0, np.cumsum(np.column_stack([length, 0 * length]).ravel()))[:-1])


def area(ts, genome, lo, hi):
    """Bases times generations of all branches between two times: inside functional elements, and outside."""
    time = ts.nodes_time
    span = np.clip(time[ts.edges_parent], lo, hi) - np.clip(time[ts.edges_child], lo, hi)
    inside = elements_below(genome, "22", ts.edges_right) - elements_below(genome, "22", ts.edges_left)
    return float((span * inside).sum()), float((span * (ts.edges_right - ts.edges_left - inside)).sum())


def counted(ts, genome):
    """Neutral mutations: recorded and older, inside elements and outside."""
    found = trees.mutations(ts)
    own = found.own & (found.type == NEUTRAL)
    bp, time = found.bp[own], ts.mutations_time[found.row[own]]
    inside = elements_below(genome, "22", bp + 1) - elements_below(genome, "22", bp) > 0
    classes = [((time < 31) == recent) & (inside == within) for recent in (True, False) for within in (True, False)]
    return np.array([members.sum() for members in classes])


def expected(ts, genome, inside_recorded, inside_older):
    """Mutations expected on these trees, in the order of `counted`."""
    recorded, older = area(ts, genome, 0, 31), area(ts, genome, 31, np.inf)
    rates = [inside_recorded, RATE, inside_older, RATE]
    return np.array([*recorded, *older]) * rates


def test_the_functional_bases_of_this_test():
    genome = toy().genome
    t = np.array([0, 1, genome.functional_bp - 1])
    chrom, bp = genome.target_positions(t)
    assert chrom[2] == 1
    assert elements_below(genome, "22", bp[2] + 1) - elements_below(genome, "22", bp[2]) == 1
    assert elements_below(genome, "22", 10**9) == genome.functional_bp - np.sum(
        np.diff(genome.target_cum)[genome.target_chrom == 0]
    )


@pytest.mark.parametrize("standing", [True, False])
def test_rates_inside_and_outside_of_elements(standing):
    """The complement inside, in the time before the records only if the file has the standing mutations of it.

    Controls: the full rate inside in both times, and the complement in the wrong one.
    """
    record = toy().record
    if not standing:
        new = record.mutation_kind == 1
        columns = [f.name for f in dataclasses.fields(record) if f.name.startswith("mutation_")]
        record = dataclasses.replace(record, **{name: getattr(record, name)[new] for name in columns})
    ts = trees.build(record, toy().labels)
    assert ts.num_mutations > 50 and (STANDING in trees.mutations(ts).type) == standing
    done = tall(ts)
    genome = toy().genome
    found = counted(done, genome)
    rest = RATE - SELECTED
    truth = expected(done, genome, rest, rest if standing else RATE)
    assert found.min() > 20
    low, high = stats.poisson.ppf([chance.FALSE_ALARM / 8, 1 - chance.FALSE_ALARM / 8], truth[:, None]).T
    assert (low <= found).all() and (found <= high).all()
    for wrong in (expected(done, genome, RATE, RATE), expected(done, genome, rest, RATE if standing else rest)):
        assert chance.rejects(found, truth / truth.sum(), wrong / wrong.sum())


def test_rate_maps():
    genome = toy().genome
    rates = mutation_rates(genome, "22", 1.29e-8, 1e-8, standing=False)
    assert rates.older.rate.tolist() == [1.29e-8] and rates.older.sequence_length == toy().record.length
    t = np.arange(genome.functional_bp)
    chrom, bp = genome.target_positions(t)
    inside = bp[chrom == 1]
    assert (rates.recorded.get_rate(inside) == 1.29e-8 - 1e-8).all()
    everywhere = rates.recorded.get_rate(np.arange(0, toy().record.length, 7))
    share = (everywhere != 1.29e-8).mean()
    assert share == pytest.approx(len(inside) / toy().record.length, rel=0.01)
    same = mutation_rates(genome, "22", 1.29e-8, 1e-8, standing=True)
    assert same.older == same.recorded == rates.recorded
    none = mutation_rates(genome, "22", 1e-8, 0.0, standing=True)
    assert set(none.recorded.rate) == {1e-8}
    least = mutation_rates(genome, "22", 1e-8, 1e-8, standing=True)
    assert set(least.recorded.rate) == {0.0, 1e-8}


def carried(ts, sample):
    """Base -> ids of a sample, by its alleles."""
    out = {}
    for variant in ts.variants(samples=[sample]):
        state = variant.alleles[variant.genotypes[0]]
        if state:
            out[int(variant.site.position)] = {int(number) for number in state.split(",")}
    return out


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """So many neutral mutations on so few bases that they lie above and below selected ones."""
    genome = tree_records.small_genome(tmp_path_factory.mktemp("genome"))
    made = tree_records.toy(4, chrom="1", genome=genome, rate=4, standing=600, spots=2000)
    ts = trees.build(made.record, made.labels)
    return made, ts, recapitate(ts, made.schedule, made.genome, "1", 1, mutation_rate=1e-4, selected_rate=0.0)


def test_selected_mutations_are_carried_by_the_same_people(crowded):
    made, before, after = crowded
    first = trees.next_mutation_id(before)
    mixed = 0
    for k, sample in enumerate(after.samples()):
        now = carried(after, sample)
        selected = {base: {number for number in ids if number < first} for base, ids in now.items()}
        assert {base: ids for base, ids in selected.items() if ids} == {b: i for b, i in made.carried[k].items() if i}
        mixed += sum(0 < len(selected[base]) < len(ids) for base, ids in now.items())
    assert mixed > 30


def test_neutral_mutations_are_carried_by_all_below_them(crowded):
    """msprime alone does not add them to the states of older programs' mutations below."""
    _, _, after = crowded
    found = trees.mutations(after)
    neutral = np.flatnonzero(found.own & (found.type == NEUTRAL))
    lies = {int(found.id[k]): (int(found.bp[k]), int(found.node[k])) for k in neutral}
    assert len(lies) == len(neutral) > 200
    have = {sample: carried(after, sample) for sample in after.samples()}
    for number, (base, node) in lies.items():
        below = set(after.at(base).samples(node))
        assert {sample for sample in have if number in have[sample].get(base, ())} == below
    parent = after.mutations_parent[found.row]
    over = (found.type != NEUTRAL) & found.own & (parent >= 0)
    kinds = {row: set(found.type[found.row == row]) for row in np.unique(parent[over])}
    assert sum(NEUTRAL in kind for kind in kinds.values()) > 5  # it happened here


def test_selected_mutations_keep_what_they_are(crowded):
    _, before, after = crowded
    old, new = trees.mutations(before), trees.mutations(after)
    kept = new.own & (new.type != NEUTRAL)

    def rows(found, which):
        names = ("bp", "node", "id", "type", "s", "tick", "deme")
        return sorted(zip(*(getattr(found, name)[which].tolist() for name in names), strict=True))

    assert rows(new, kept) == rows(old, old.own) and kept.sum() > 50


def test_ids_never_collide(crowded):
    """Each neutral mutation arose once, and has a number above all that were there."""
    _, before, after = crowded
    found = trees.mutations(after)
    neutral = found.id[found.own & (found.type == NEUTRAL)]
    assert len(np.unique(neutral)) == len(neutral)
    assert neutral.min() == pyslim.next_slim_mutation_id(before)
    assert pyslim.next_slim_mutation_id(after) == neutral.max() + 1 == trees.next_mutation_id(after)
    # what would happen without: msprime counts from 0
    model = msprime.SLiMMutationModel(type=NEUTRAL)
    careless = trees.mutations(msprime.sim_mutations(before, rate=1e-4, model=model, random_seed=1))
    assert len(np.intersect1d(careless.id[careless.type == NEUTRAL], trees.mutations(before).id)) > 0


def test_neutral_mutations_say_when_they_arose(crowded):
    _, _, after = crowded
    found = trees.mutations(after)
    neutral = found.own & (found.type == NEUTRAL)
    time = after.mutations_time[found.row[neutral]]
    assert np.array_equal(found.tick[neutral], 90 - np.floor(time)) and (found.s[neutral] == 0).all()
    assert (time < 31).sum() > 20 and (time > 31).sum() > 20


def test_without_selected_mutations_the_rate_is_the_full_one(crowded):
    made, _, after = crowded
    rates = mutation_rates(made.genome, "1", 1e-4, 0.0, standing=True)
    assert set(rates.recorded.rate) == set(rates.older.rate) == {1e-4}
    assert after.num_sites > 200


def test_a_chromosome_without_recombination(tmp_path):
    genome = tree_records.small_genome(tmp_path, centimorgans=0)
    assert set(recapitation.recombination_map(genome, "1").rate) == {0}
    made = tree_records.toy(4, chrom="1", genome=genome)
    ts = trees.build(made.record, made.labels)
    done = recapitate(ts, made.schedule, genome, "1", 1, mutation_rate=1e-5, selected_rate=0.0)
    assert np.array_equal(done.breakpoints(as_array=True), ts.breakpoints(as_array=True))
    assert all(tree.num_roots == 1 for tree in done.trees())


# ---- seeds and labels


def same(a, b):
    return a.equals(b, ignore_provenance=True)


def test_streams():
    """The same name, the same numbers; another seed, branch or chromosome, others. Each purpose has its own."""
    assert same(tall(stream=("main", 0)), tall(stream=("main", 0)))
    others = [tall(stream=("main", 0)), tall(stream=("main", 1)), tall(stream=("p20", 0)), tall(seed=4)]
    assert all(not same(a, b) for k, a in enumerate(others) for b in others[:k])
    more = tall(mutation_rate=2 * RATE)
    assert same(more.delete_sites(range(more.num_sites)), changed_metadata(more, recapitated()))


def changed_metadata(like, ts):
    """The genealogy of `ts` with the labels of `like`."""
    tables = ts.delete_sites(range(ts.num_sites)).dump_tables()
    tables.metadata = like.metadata
    return tables.tree_sequence()


def test_what_was_done_is_written_down():
    done = recapitated()
    note = trees.admix_metadata(done)["recapitated"]
    assert note == {
        "chrom": "22", "seed": 3, "from_time_ago": 31.0, "mutation_rate": RATE, "selected_rate": SELECTED,
        "complement_before_records": True,
    }  # fmt: skip
    records = [json.loads(row.record) for row in done.provenances()]
    assert [r["parameters"]["command"] for r in records] == ["run", "recapitate"]
    tskit.validate_provenance(records[1])
    assert records[1]["parameters"]["mutation_rate"] == RATE
    assert sum(len(row.record) for row in done.provenances()) < 10_000  # no maps in it


def test_a_file_of_slim():
    """No labels: time 0 is said to be tick 90, and nothing is known of mutations from before the records."""

    def as_slim(tables):
        without_labels(tables)
        tables.nodes.flags &= np.uint32(tskit.NODE_IS_SAMPLE)

    done = tall(changed(built(), as_slim), last_tick=90)
    assert "admix" not in done.metadata and all(tree.num_roots == 1 for tree in done.trees())
    truth = expected(done, toy().genome, RATE - SELECTED, RATE)
    low, high = stats.poisson.ppf([chance.FALSE_ALARM / 8, 1 - chance.FALSE_ALARM / 8], truth[:, None]).T
    found = counted(done, toy().genome)
    assert (low <= found).all() and (found <= high).all()


# ---- a run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A sealed run with trees: two branches on two chromosomes, and a neutral twin of one."""
    out = tmp_path_factory.mktemp("runs") / "toy"
    chosen = tree_records.scenario(
        branches=[{"name": "main", "set": {}}, {"name": "less", "set": {"pulse[0].share": 0.1}}],
        selection={"mutation_rate": 1e-8, "dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23}, "dominance": 0.5},
    )
    with RunWriter(out) as writer:
        for name, frame in run_tables().items():
            writer.table(name, frame)
        writer.text("scenario.yaml", chosen.to_yaml())
        writer.json("provenance.json", {"command": "admix run"})
        writer.json("summary.json", {"entries": []})
        for seed, (branch, replicate, twin) in enumerate(
            [("main", 0, "none"), ("main", 0, "neutral"), ("less", 0, "none"), ("less", 10, "none")]
        ):
            for chrom in ("21", "22"):
                few = {"standing": 0, "rate": 0.0} if twin == "neutral" else {}
                made = tree_records.toy(
                    seed, chrom=chrom, chosen=chosen, replicate=replicate, branch=branch, twin=twin, **few
                )
                path = writer.path(f"trees/{branch}/{trees.replicate_folder(replicate, twin)}/chr{chrom}.tsz")
                trees.write(trees.build(made.record, made.labels), path)
        return writer.seal()


@pytest.fixture
def run(run_folder, tmp_path):
    """A copy that may be spoilt."""
    shutil.copytree(run_folder, tmp_path / "toy")
    return read_run(tmp_path / "toy")


def names(files):
    return [(f.branch, f.replicate, f.twin, f.chrom) for f in files]


def test_tree_files_of_a_run(run):
    files = tree_files(run)
    assert names(files) == [
        (branch, replicate, twin, chrom)
        for branch, replicate, twin in [
            ("main", 0, "none"), ("main", 0, "neutral"), ("less", 0, "none"), ("less", 10, "none")
        ]
        for chrom in ("21", "22")
    ]  # fmt: skip
    assert names(tree_files(run, branch="less", replicate=10, chroms=["22"])) == [("less", 10, "none", "22")]
    assert names(tree_files(run, twin="neutral", chroms=["21"])) == [("main", 0, "neutral", "21")]
    one = files[-1]
    assert one.load().sequence_length == one.length == 51_304_566
    assert one.labels.census[0].time_ago == 31 and one.schedule.pulses[0].share == 0.1
    assert one.sha256 == sha256(one.path)


def test_a_run_is_recapitated(run):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    told = []
    written = recapitate_run(
        run, chroms=["22"], branch="main", mutation_rate=1e-7, report=lambda *what: told.append(what)
    )
    assert written == [run.path / f"derived/recapitated/main/{folder}/chr22.tsz" for folder in ("0", "0-neutral")]
    assert recapitated_path(run.path, "main", 0, "neutral", "22") == written[1]
    assert [what[0] for what in told] == [0.0, 0.5, 1.0] and "main, replicate 0, neutral, chromosome 22" in told[1][1]
    assert {path: path.read_bytes() for path in before} == before
    assert validate_run(run.path) == []
    selected, neutral = (trees.load(path) for path in written)
    assert trees.admix_metadata(neutral)["recapitated"]["selected_rate"] == 0.0
    note = trees.admix_metadata(selected)["recapitated"]
    assert (note["selected_rate"], note["seed"], note["complement_before_records"]) == (1e-8, 3, True)
    assert set(trees.mutations(neutral).type) == {NEUTRAL}
    for ts in (neutral, selected):
        assert all(tree.num_roots == 1 for tree in ts.trees())
        assert len(trees.census_nodes(ts, 31)) > 5
    again = recapitate_run(run, chroms=["22"], branch="main", replicate=0, mutation_rate=1e-7)
    assert again == written and same(trees.load(again[0]), selected)
    assert not list((run.path / "derived").rglob(".*"))


def test_default_rate_of_a_run(run):
    (path,) = recapitate_run(run, chroms=["21"], branch="less", replicate=10)
    assert trees.admix_metadata(trees.load(path))["recapitated"]["mutation_rate"] == 1.29e-8


def test_a_rate_that_does_not_fit_is_refused_before_anything_is_read(run):
    (run.path / "trees/main/0/chr22.tsz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"--mutation-rate: got 1e-09; allowed: at least 1e-08"):
        recapitate_run(run, chroms=["22"], branch="main", mutation_rate=1e-9)
    with pytest.raises(InputError, match="a file that is no tree sequence"):
        recapitate_run(run, chroms=["22"], branch="main", mutation_rate=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branch": "lesss"}, "--branch: got 'lesss'; allowed: one of main, less; did you mean less?"),
        ({"chroms": ["222"]}, "--chrom: got '222'; allowed: one of 21, 22; did you mean 22?"),
        ({"replicate": 3}, "--replicate: got 'replicate 3, twin any'; allowed: a replicate with trees: 0, 0 (neutral)"),
        ({"branch": "less", "twin": "neutral"}, "--replicate: got 'replicate any, twin neutral'; allowed: a replicate"),
    ],
)
def test_trees_that_a_run_has_not(run, options, message):
    with pytest.raises(InputError) as caught:
        tree_files(run, **options)
    assert str(caught.value).startswith(message)


def test_a_run_without_trees(run):
    shutil.rmtree(run.path / "trees")
    with pytest.raises(InputError, match="got 'a run without trees'; allowed: a run made with --trees"):
        recapitate_run(run)


def test_a_chromosome_that_is_gone(run):
    (run.path / "trees/less/10/chr21.tsz").unlink()
    with pytest.raises(RunError, match=r"trees/less/10/chr21\.tsz: missing"):
        recapitate_run(run, branch="less")


def test_files_in_the_wrong_place(run):
    place = run.path / "trees/less/10/chr21.tsz"
    for other, key in (("less/0/chr21", "replicate"), ("main/0/chr21", "branch"), ("less/10/chr22", "chrom")):
        shutil.copy(run.path / f"trees/{other}.tsz", place)
        with pytest.raises(InputError) as caught:
            tree_files(run, branch="less", replicate=10)[0].load()
        assert str(caught.value).startswith(f"{place}: {key}: got ")
    made = tree_records.toy(1, chrom="21", chosen=run.scenario.with_run(seed=4), branch="less", replicate=10)
    trees.write(trees.build(made.record, made.labels), place)
    with pytest.raises(InputError, match="the file is from another run"):
        tree_files(run, branch="less", replicate=10)[0].load()


def test_a_file_that_was_changed(run):
    file = tree_files(run, branch="less", replicate=10)[0]
    trees.write(file.load(), file.path)  # the same, written again
    with open(file.path, "ab") as handle:
        handle.write(b"\0")
    with pytest.raises(RunError, match=r"chr21\.tsz: (changed since it was sealed|truncated or damaged)"):
        file.load()


def test_a_run_that_ended_early(run):
    """The labels that are expected follow from the number of generations in the scenario."""
    early = run.scenario.with_run(seed=3, generations=11)
    (run.path / "scenario.yaml").write_text(early.to_yaml())
    (run.path / "manifest.json").write_text(json.dumps(dict(run.manifest) | {"files": {}}))
    file = tree_files(read_run(run.path), branch="main", replicate=0, twin="none")[0]
    assert (file.labels.last_tick, file.labels.census[0].time_ago) == (70, 11)
    assert file.sha256 is None


def test_schedule_and_digest_survive_the_file(run_folder):
    scenario = read_run(run_folder).scenario
    assert trees.run_digest(scenario) == trees.admix_metadata(trees.load(run_folder / "trees/main/0/chr22.tsz"))["run"]
    assert schedule.compile(scenario.branch("main")).first_pulse_tick() == 60
