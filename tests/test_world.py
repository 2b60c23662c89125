# SPDX-License-Identifier: GPL-3.0-or-later
"""The living population against a slow model of whole individuals, and against what theory says."""

import itertools
import math

import numpy as np
import pytest
import reference_model as reference
import small

from admix import seeds, theory
from admix.engines.native import start
from admix.engines.native import workers as workers_module
from admix.engines.native import world as world_module
from admix.engines.native.gametes import ONE_LOG
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, Group, World
from admix.genome import shipped
from admix.scenario import Scenario

NAMES = ("root", "big", "little", "late")
ROOT, BIG, LITTLE, LATE = range(4)


def tables_of(chromosomes=(21, 22), rate=4e-7, dominance=0.5, dfe=None):
    tree = small.tree()
    tree["genome"]["chromosomes"] = list(chromosomes)
    tree["selection"] = {
        "mutation_rate": rate,
        "dfe": dfe or {"kind": "gamma", "mean": -0.1, "shape": 0.3},
        "dominance": dominance,
    }
    made = Scenario.from_tree(tree)
    return build_tables(made.build_genome(), made.build_selection())


@pytest.fixture(scope="module")
def tables():
    return {h: tables_of(dominance=h) for h in (0.5, 0.0, 0.1)}


def empty_world(tables, sizes, *, threads=1, n_planes=2, seed=1, selected=True, names=NAMES):
    world = World(
        tables, names, lambda purpose, deme: seeds.stream_key("test", seed, purpose, deme),
        Workers(threads), n_planes=n_planes, selected=selected,
    )  # fmt: skip
    nobody = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    for deme, n in sizes.items():
        start.found(world, deme, n, nobody, np.random.default_rng(1), 0)
    return world


def whole(n, source):
    return Cohort(n, [Group(source, np.arange(2 * n))])


def mixed(n, *parts):
    """A cohort of n from (source, individuals, plane) parts, in order."""
    groups, at = [], 0
    for source, count, plane in parts:
        groups.append(Group(source, np.arange(2 * at, 2 * (at + count)), plane))
        at += count
    assert at == n
    return Cohort(n, groups)


def demography():
    """(tick, cohorts): a common ancestor, a split, size changes, migration, pulses of two sources, and a deme
    that is founded by two others."""
    for tick in range(1, 26):
        yield tick, {ROOT: whole(16, ROOT)}
    yield 26, {BIG: whole(20, ROOT), LITTLE: whole(5, ROOT)}
    for tick in range(27, 70):
        size = 20 + (tick - 27) % 7
        # little is so small that mutations fix in it; now and then it sends migrants
        groups = [(BIG, size, -1)] if tick % 9 else [(BIG, size - 2, -1), (LITTLE, 2, -1)]
        yield tick, {BIG: mixed(size, *groups), LITTLE: whole(4, LITTLE)}
    yield 70, {BIG: mixed(24, (BIG, 18, -1), (LITTLE, 6, 0)), LITTLE: whole(4, LITTLE)}
    for tick in range(71, 76):
        yield tick, {BIG: whole(24, BIG), LITTLE: mixed(5, (BIG, 1, -1), (LITTLE, 4, -1))}
    # F1: every second gamete of the last three children, and single gametes from the other side
    rows = np.arange(48)
    f1, single = np.array([43, 45, 47]), np.array([0, 7, 8])
    rest = np.setdiff1d(rows, np.concatenate([f1, single]))
    groups = [Group(BIG, rest), Group(LITTLE, f1, 1), Group(LITTLE, single, 0)]
    yield 76, {BIG: Cohort(24, groups), LITTLE: whole(6, LITTLE)}
    yield 77, {BIG: whole(12, BIG), LITTLE: whole(6, LITTLE), LATE: mixed(9, (BIG, 4, -1), (LITTLE, 5, -1))}
    for tick in range(78, 84):
        yield tick, {BIG: mixed(30, (BIG, 27, -1), (LATE, 3, -1)), LATE: mixed(9, (BIG, 1, -1), (LATE, 8, -1))}
    yield 84, {BIG: whole(30, LATE), LATE: whole(9, LATE)}  # nobody but migrants
    yield 85, {BIG: whole(30, BIG), LATE: mixed(9, (LATE, 7, -1), (BIG, 2, 1))}
    for tick in range(86, 92):
        yield tick, {BIG: whole(30, BIG)}


def play(world, *, tidy=None, watch=None):
    """Run the demography; ``tidy(world, tick)`` may rebalance, ``watch`` sees tick, cohorts and parents."""
    for tick, cohorts in demography():
        parents = world.breed(tick, cohorts)
        if tidy is not None:
            tidy(world, tick)
        if watch is not None:
            watch(tick, cohorts, parents)


def often(world, tick):
    if tick % 5 == 0:
        world.rebalance()
    elif tick % 2 == 0:
        world.collect()


@pytest.mark.parametrize("dominance", [0.5, 0.0, 0.1])
def test_world_is_the_slow_model(tables, dominance, monkeypatch):
    # with few haplotypes a threshold of 10 % makes both kinds of site common enough to matter
    monkeypatch.setattr(world_module, "COMMON", 0.2)
    monkeypatch.setattr(world_module, "RARE_AGAIN", 0.1)
    chosen = tables[dominance]
    world = empty_world(chosen, {ROOT: 16})
    model = reference.Model(chosen, NAMES, lambda p, name: seeds.stream_key("test", 1, p, name))
    model.found(ROOT, 16)
    seen = {"fixed": 0, "common": 0, "rare": 0, "fixed again": 0}
    labels = set()

    def watch(tick, cohorts, parents):
        expected = model.breed(tick, cohorts)
        assert {i: p.tolist() for i, p in parents.items()} == expected
        reference.check_equal(world, model)
        for deme in world.demes.values():
            seen["fixed"] += len(deme.fixed)
            seen["common"] += len(deme.layout.ids)
            seen["rare"] += int(deme.rows.n_rare.sum())
        labels.update(np.unique(reference.labels_of(world, BIG if BIG in world.demes else ROOT)).tolist())
        if LITTLE in world.demes and tick < 70:
            fixed = set(world.mutations["uid"][world.demes[LITTLE].fixed].tolist())
            seen["fixed again"] += len(fixed & set(model.counts(BIG)))

    play(world, tidy=often, watch=watch)
    # the comparison was about something
    assert min(seen.values()) > 100
    assert labels == {-1, 0, 1}


def test_load_of_chosen_mutations_is_the_slow_models(tables):
    chosen = tables[0.1]
    world = empty_world(chosen, {ROOT: 16})
    model = reference.Model(chosen, NAMES, lambda p, name: seeds.stream_key("test", 1, p, name))
    model.found(ROOT, 16)

    def watch(tick, cohorts, parents):
        model.breed(tick, cohorts)
        model.adopt(world.mutations)

    play(world, tidy=often, watch=watch)
    uid = world.mutations["uid"]
    carried = np.flatnonzero(world.counts(BIG))
    for choice in (carried[::2], carried, carried[:0]):
        flag = np.zeros(world.mutations.capacity, bool)
        flag[choice] = True
        expected = np.array(model.flagged(BIG, set(uid[choice].tolist()))) / ONE_LOG
        assert np.array_equal(world.flagged_log_fitness(BIG, flag), expected)
    assert (expected == 0).all()


def story(world):
    """Everything about a world that a result could come from, free of ids."""
    out = []
    for i, deme in sorted(world.demes.items()):
        counts = world.counts(i)
        held = np.flatnonzero(counts)
        by_uid = sorted(zip(world.mutations["uid"][held].tolist(), counts[held].tolist(), strict=True))
        out.append((i, world.log_fitness(i).tolist(), by_uid, world.shares(i).tolist(), deme.n))
        out.append([world.marker_shares(i, q).tolist() for q in range(world.n_planes)])
    return out


def stories(world, tidy):
    told = []
    play(world, tidy=tidy, watch=lambda tick, cohorts, parents: told.append(story(world)))
    return told


@pytest.fixture(scope="module")
def plain_story(tables):
    return stories(empty_world(tables[0.1], {ROOT: 16}), None)


@pytest.mark.parametrize("common, again", [(0.5, 0.25), (0.001, 0.0), (1.1, 1.1), (0.1, 0.1)])
@pytest.mark.parametrize("tidy", [often, lambda world, tick: world.rebalance()], ids=["often", "always"])
def test_results_do_not_depend_on_where_a_mutation_is_kept(tables, plain_story, monkeypatch, common, again, tidy):
    monkeypatch.setattr(world_module, "COMMON", common)
    monkeypatch.setattr(world_module, "RARE_AGAIN", again)
    assert stories(empty_world(tables[0.1], {ROOT: 16}), tidy) == plain_story


@pytest.mark.parametrize("threads", [2, 3])
def test_results_do_not_depend_on_threads(tables, plain_story, monkeypatch, threads):
    # otherwise so few rows are never handed out
    monkeypatch.setattr(workers_module, "_SMALL", 1)
    world = empty_world(tables[0.1], {ROOT: 16}, threads=threads)
    assert stories(world, often) == plain_story
    world.workers.close()


def test_another_seed_gives_other_numbers(tables, plain_story):
    assert stories(empty_world(tables[0.1], {ROOT: 16}, seed=2), None)[-1] != plain_story[-1]


def test_few_migrants_come_into_a_layout_that_stays(tables):
    """Migrants and a pulse of half a per cent do not make a new layout; the result is the slow model's."""
    n = 250
    world = empty_world(tables[0.0], {ROOT: n})
    model = reference.Model(tables[0.0], NAMES, lambda p, name: seeds.stream_key("test", 1, p, name))
    model.found(ROOT, n)
    plan = [(1, {ROOT: whole(n, ROOT)}), (2, {BIG: whole(n, ROOT), LITTLE: whole(3, ROOT)})]
    plan += [(t, {BIG: whole(n, BIG), LITTLE: whole(3, LITTLE)}) for t in range(3, 12)]
    plan += [(12, {BIG: mixed(n, (BIG, n - 1, -1), (LITTLE, 1, 0)), LITTLE: whole(3, LITTLE)})]
    plan += [(13, {BIG: mixed(n, (BIG, n - 1, -1), (LITTLE, 1, -1)), LITTLE: whole(3, LITTLE)})]
    plan += [(14, {BIG: whole(n, BIG)})]
    stayed = 0
    for tick, cohorts in plan:
        before = world.demes[BIG].layout if BIG in world.demes else None
        world.breed(tick, cohorts)
        model.breed(tick, cohorts)
        model.adopt(world.mutations)
        stayed += tick in (12, 13) and world.demes[BIG].layout is before
        if tick in (2, 11):
            world.rebalance()
        if tick > 10:
            reference.check_equal(world, model)
    assert stayed == 2


def test_migration_of_almost_everybody_while_layouts_are_shared(tables):
    """Right after a split both demes have one layout object, and it must not be asked whose rows these are."""
    world = empty_world(tables[0.5], {ROOT: 200})
    model = reference.Model(tables[0.5], NAMES, lambda p, name: seeds.stream_key("test", 1, p, name))
    model.found(ROOT, 200)
    plan = [
        (1, {ROOT: whole(200, ROOT)}),
        (2, {ROOT: whole(200, ROOT), BIG: whole(200, ROOT)}),
        (3, {ROOT: whole(200, ROOT), BIG: mixed(200, (ROOT, 199, -1), (BIG, 1, -1))}),
        (4, {BIG: whole(200, BIG)}),
    ]
    for tick, cohorts in plan:
        world.breed(tick, cohorts)
        model.breed(tick, cohorts)
        reference.check_equal(world, model)


def test_strip_takes_mutations_and_leaves_ancestry(tables):
    world = empty_world(tables[0.5], {ROOT: 16})
    play(world)
    before = reference.labels_of(world, BIG)
    world.strip()
    assert not world.counts(BIG).any()
    assert not world.log_fitness(BIG).any()
    assert np.array_equal(reference.labels_of(world, BIG), before)


def test_neutral_world_has_no_mutations_and_equal_chances(tables):
    world = empty_world(tables[0.5], {ROOT: 50}, selected=False)
    model = reference.Model(tables[0.5], NAMES, lambda p, name: seeds.stream_key("test", 1, p, name), selected=False)
    model.found(ROOT, 50)
    for tick in range(1, 6):
        assert (
            world.breed(tick, {ROOT: whole(50, ROOT)})[ROOT].tolist()
            == model.breed(tick, {ROOT: whole(50, ROOT)})[ROOT]
        )
    assert not world.counts(ROOT).any()


# ---------------------------------------------------------------------- against theory

Z = 4.0
"""Standard errors allowed: a right program fails one such two-sided test in 16,000."""


def neutral_runs(tables, n, p, runs, generations):
    """(variance between individuals, mean ancestry), float64[runs, generations], of a neutral pulse."""
    archaic = round(p * n)
    variance, mean = np.empty((runs, generations)), np.empty((runs, generations))
    for run in range(runs):
        world = empty_world(tables, {ROOT: n, LITTLE: 2}, n_planes=1, seed=100 + run, selected=False)
        for g in range(generations):
            first = mixed(n, (ROOT, n - archaic, -1), (LITTLE, archaic, 0))
            world.breed(g + 1, {ROOT: first if g == 0 else whole(n, ROOT)})
            shares = world.shares(ROOT)[0]
            variance[run, g], mean[run, g] = shares.var(), shares.mean()
    return variance, mean


def test_neutral_variance_is_that_of_theory(tables):
    """p(1-p), then p(1-p)/2 phi(g-2); the size of a deme lowers p(1-p) by 1/(2N) and a sample's variance by
    1/N a generation. Tolerance: 4 standard errors of the runs' own scatter."""
    n, p, runs, generations = 400, 0.2, 60, 8
    variance, mean = neutral_runs(tables[0.5], n, p, runs, generations)
    phi = theory.phi(shipped("exons", ["21", "22"]), generations)
    expected = theory.ancestry_variance(p, phi, generations)
    assert (variance[:, 0] == pytest.approx(p * (1 - p), rel=1e-12)) and expected[0] == pytest.approx(p * (1 - p))
    kept = (1 - 1 / n) * (1 - 1 / (2 * n)) ** np.arange(generations)
    error = variance.std(axis=0, ddof=1) / math.sqrt(runs)
    z = (variance.mean(axis=0) - expected * kept)[1:] / error[1:]
    assert np.abs(z).max() < Z
    assert (error[1:] / expected[1:]).max() < 0.02  # power: a factor of 1.1 anywhere would be seen
    assert (np.abs(variance.mean(axis=0) - 1.1 * expected * kept)[1:] / error[1:]).max() > Z
    spread = theory.mean_variance(p, n, phi, generations)
    assert abs(mean[:, -1].mean() - p) < Z * math.sqrt(spread / runs)
    # the variance between runs, by chi squared: 60 runs tell it to 18 %
    assert abs(mean[:, -1].var(ddof=1) / spread - 1) < Z * math.sqrt(2 / (runs - 1))


def loaded_world(tables, n, S, seed, sites=60):
    """A deme of n without mutations, and one of 50 in which ``sites`` additive mutations of total cost S are
    fixed, spread over the genome."""
    world = empty_world(tables, {ROOT: n, LITTLE: 50}, n_planes=1, seed=seed)
    s = np.full(sites, math.expm1(-S / 2 / sites) * 2)
    ids = start.add_mutations(world, np.random.default_rng(seed), s, np.full(sites, 0.5), LITTLE, 0)
    # log(1 + s/2) a copy: two copies a site cost S altogether (with the dominance correction undone)
    world.mutations["correction"][ids] = 0
    world.demes[LITTLE].fixed = ids
    return world


def pulsed(n, unit, count, rng):
    """Generation 1 with ``count`` children (individuals, F1) or gametes from the source."""
    rows = np.arange(2 * n)
    if unit == "individuals":
        taken = rows[2 * (n - count) :]
    elif unit == "F1":
        taken = rows[1::2][n - count :]
    else:
        taken = np.sort(rng.choice(rows, count, replace=False))
    return Cohort(n, [Group(ROOT, np.setdiff1d(rows, taken)), Group(LITTLE, taken, 0)])


def survival(tables, n, S, unit, count, seeds_, generations):
    """Mean ancestry, float64[runs, generations]."""
    out = np.empty((len(seeds_), generations))
    for row, seed in zip(out, seeds_, strict=True):
        world = loaded_world(tables, n, S, seed)
        rng = np.random.default_rng(seed)
        for g in range(generations):
            world.breed(g + 1, {ROOT: pulsed(n, unit, count, rng) if g == 0 else whole(n, ROOT)})
            row[g] = world.shares(ROOT)[0].mean()
    return out


def test_units_of_a_pulse_differ_by_what_selection_does_in_between():
    """Generation 2 exactly: individuals of fitness exp(-S) become parents, or F1 and heterozygotes of
    exp(-S/2). Then: pure individuals' children are what single gametes are one generation before, so that
    F1 and gametes leave more by a factor near exp(S). Tolerances: 4 standard errors of the runs' scatter."""
    tables = tables_of(chromosomes=(20, 21, 22), rate=0.0)
    n, S, p, runs, generations = 600, 1.2, 0.04, 50, 6
    w, v = math.exp(-S), math.exp(-S / 2)
    individuals = survival(tables, n, S, "individuals", round(p * n), range(runs), generations)
    f1 = survival(tables, n, S, "F1", round(2 * p * n), range(runs, 2 * runs), generations)
    gametes = survival(tables, n, S, "gametes", round(2 * p * n), range(2 * runs, 3 * runs), generations)
    for unit in (individuals, f1, gametes):
        assert np.allclose(unit[:, 0], p, rtol=1e-12)

    expected = {
        "individuals": p * w / (1 - p + p * w),
        "F1": p * v / (1 - 2 * p + 2 * p * v),
        "gametes": (p * (1 - p) * v + p * p * w) / ((1 - p) ** 2 + 2 * p * (1 - p) * v + p * p * w),
    }
    for name, unit in (("individuals", individuals), ("F1", f1), ("gametes", gametes)):
        second = unit[:, 1]
        error = second.std(ddof=1) / math.sqrt(runs)
        assert abs(second.mean() - expected[name]) < Z * error, name
        assert error < 0.07 * expected[name], "too little power"

    # the same share of gametes as individuals leave in generation 2 leads to the same future
    same = survival(
        tables, n, S, "gametes", round(2 * n * expected["individuals"]), range(3 * runs, 4 * runs), generations - 1
    )
    a, b = individuals[:, -1], same[:, -1]
    b_expected = b.mean() * expected["individuals"] / (round(2 * n * expected["individuals"]) / (2 * n))
    error = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / runs)
    assert abs(a.mean() - b_expected) < Z * error

    # and so the factor is exp(S), a little less since more ancestry also competes with itself (order p)
    for unit in (f1, gametes):
        ratio = unit[:, -1].mean() / a.mean()
        relative = math.sqrt((unit[:, -1].std(ddof=1) / unit[:, -1].mean()) ** 2 + (a.std(ddof=1) / a.mean()) ** 2)
        slack = Z * relative / math.sqrt(runs) + 0.1
        assert abs(ratio / math.exp(S) - 1) < slack, ratio
        assert slack < 1 - math.exp(-S), "could not tell exp(S) from 1"


def test_planes_are_overwritten_by_the_latest_pulse(tables):
    """A source that itself received a pulse marks everything it gives as its own."""
    world = empty_world(tables[0.5], {ROOT: 20, LITTLE: 10, BIG: 20})
    world.breed(1, {ROOT: whole(20, ROOT), LITTLE: mixed(10, (LITTLE, 5, -1), (ROOT, 5, 0)), BIG: whole(20, BIG)})
    assert world.shares(LITTLE)[0].mean() == 0.5
    world.breed(2, {BIG: mixed(20, (BIG, 10, -1), (LITTLE, 10, 1)), LITTLE: whole(10, LITTLE)})
    assert world.shares(BIG)[0].sum() == 0
    assert world.shares(BIG)[1].mean() == 0.5
    # by migration instead, the labels travel as they are
    world.breed(3, {BIG: mixed(20, (BIG, 10, -1), (LITTLE, 10, -1))})
    assert 0 < world.shares(BIG)[0].sum()


def test_parents_are_drawn_by_fitness():
    """Counts of children against the weights: chi squared over individuals of two kinds."""
    tables = tables_of(chromosomes=(22,), rate=0.0)
    n = 2000
    world = empty_world(tables, {ROOT: n}, n_planes=0)
    ids = start.add_mutations(world, np.random.default_rng(1), np.full(1, -0.5), np.full(1, 0.2), ROOT, 0)
    key = world.mutations.key(ids)[0]
    rows = world.demes[ROOT].rows
    # 400 homozygotes of fitness 0.5, 600 heterozygotes of 0.9, the rest 1
    for row in itertools.chain(range(800), range(800, 2000, 2)):
        rows.rare[row, 0], rows.n_rare[row] = key, 1
    world.refresh(world.demes[ROOT])
    fitness = np.exp(world.log_fitness(ROOT))
    assert np.allclose(fitness[:400], 0.5, atol=1e-7) and np.allclose(fitness[400:1000], 0.9, atol=1e-7)
    parents = world.breed(1, {ROOT: whole(n, ROOT)})[ROOT]
    kinds = np.array([(parents < 400).sum(), ((parents >= 400) & (parents < 1000)).sum(), (parents >= 1000).sum()])
    expected = 2 * n * np.array([400 * 0.5, 600 * 0.9, 1000.0]) / (400 * 0.5 + 600 * 0.9 + 1000)
    # 2 degrees of freedom: 20 is passed by chance once in 22,000
    assert ((kinds - expected) ** 2 / expected).sum() < 20
    assert ((kinds - 2 * n * np.array([0.2, 0.3, 0.5])) ** 2 / expected).sum() > 20
