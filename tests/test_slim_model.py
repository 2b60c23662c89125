# SPDX-License-Identifier: GPL-3.0-or-later
"""What SLiM is given and what it gives back: tables, effects, cohorts as blocks, populations and native states."""

import io
import itertools

import numpy as np
import pytest
from small import Parts, scenario

from admix import schedule
from admix.engines.native.cohorts import plan_cohorts
from admix.engines.native.snapshot import pack_world, unpack_worlds
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, Group, World
from admix.engines.slim import model as slim_model
from admix.engines.slim.branch import Output, seed_of, write_state
from admix.engines.slim.history import arrays_of, slim_stages
from admix.engines.slim.model import Block, Model, blocks_of, effects_of, regroup, size_changes
from admix.engines.slim.population import haplotypes, read_population, write_population
from admix.errors import RunError


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A scenario's parts and both demes at the pulse, as one state."""
    parts = Parts(scenario(), tmp_path_factory.mktemp("cache"))
    made = parts.history().make(parts.stages)
    world = World(parts.tables, parts.schedule.deme_names, lambda purpose, deme: 0, parts.workers)
    unpack_worlds(world, [made[stage.name][0] for stage in parts.stages[1:]])
    return parts, pack_world(world)


def read_table(path):
    head, *rows = path.read_text().splitlines()
    return dict(zip(head.split("\t"), np.array([row.split("\t") for row in rows]).T, strict=True))


# ---- effects


def selection(dominance):
    changed = {"mutation_rate": 4e-7, "dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23}, "dominance": dominance}
    s = scenario(selection=changed)
    return build_tables(s.build_genome(), s.build_selection())


@pytest.mark.parametrize(
    ("dominance", "types"),
    [
        (0.25, 1),
        ({"kind": "classes", "breaks": [0.001, 0.01], "values": [0.5, 0.25, 0.0]}, 3),
        ({"kind": "hs", "h0": 0.5, "k": 1e4}, 64),
    ],
    ids=["constant", "classes", "falling"],
)
def test_mutation_types_cover_all_bins_with_their_dominance(dominance, types):
    tables = selection(dominance)
    effects = effects_of(tables)
    assert len(effects.h) <= types and (types > 3 or len(effects.h) == types)
    assert effects.weight.sum() == pytest.approx(1) and effects.first[0] == 0
    assert (effects.first[1:] == effects.last[:-1] + 1).all() and effects.last[-1] == len(tables.h_bins) - 1
    of_bin = np.repeat(np.arange(len(effects.h)), effects.last - effects.first + 1)
    # 64 steps of the range of h: no mutation's h is off by more than one of them
    assert np.abs(effects.h[of_bin] - tables.h_bins).max() <= max(1e-7, np.ptp(tables.h_bins) / 64)
    middle = 0.5 * (tables.s_nodes[1:] + tables.s_nodes[:-1])
    assert (effects.type_of(middle) == of_bin + 1).all()


# ---- cohorts


def cohorts_of(pulses, tick, n=40):
    s = scenario(pulse=pulses)
    clock = schedule.compile(s)
    planes = {source: q for q, source in enumerate(clock.sources())}
    rng = np.random.default_rng(1)
    return plan_cohorts(clock, tick, [1], lambda *name: rng, planes)[1]


@pytest.mark.parametrize("unit", ["individuals", "F1", "gametes"])
def test_blocks_say_the_same_as_the_cohort(unit):
    pulse = {"name": "pulse", "source": "archaic", "target": "modern", "time": 30, "share": 0.2, "unit": unit}
    cohort = cohorts_of([pulse], 60)
    blocks = blocks_of(cohort, 1)
    assert sum(b.n for b in blocks) == cohort.n == 40
    of = np.empty(80, int)
    for _k, group in enumerate(cohort.groups):
        of[group.rows] = group.source
    children = sorted(map(tuple, of.reshape(-1, 2).tolist()))
    assert sorted((b.a, b.b) for b in blocks for _ in range(b.n)) == children
    assert all((b.mark_a, b.mark_b) == (0 if b.a == 2 else -1, 0 if b.b == 2 else -1) for b in blocks)
    expected = {"individuals": {(1, 1), (2, 2)}, "F1": {(1, 1), (1, 2)}, "gametes": set(children)}[unit]
    assert {(b.a, b.b) for b in blocks} == expected

    # in the new order each block's children have its gametes
    again = regroup(cohort)
    row = np.empty(80, int)
    for group, old in zip(again.groups, cohort.groups, strict=True):
        assert (group.source, group.plane, group.pulse) == (old.source, old.plane, old.pulse)
        assert len(group.rows) == len(old.rows) and (np.diff(group.rows) > 0).all()
        row[group.rows] = group.source
    assert [tuple(r) for r in row.reshape(-1, 2).tolist()] == [(b.a, b.b) for b in blocks for _ in range(b.n)]
    assert list(blocks_of(again, 1)) == blocks


def test_a_deme_of_its_own_children_needs_no_block():
    assert blocks_of(Cohort(5, [Group(3, np.arange(10))]), 3) is None
    assert blocks_of(Cohort(5, [Group(3, np.arange(10))]), 2) == [Block(n=5, a=3, b=3)]


def test_size_changes_tell_births_and_deaths():
    sizes = {4: {0: 9}, 5: {0: 9, 1: 3}, 6: {0: 9, 1: 4}, 7: {1: 4}}
    assert size_changes(sizes) == [(4, 0, 9), (5, 1, 3), (6, 1, 4), (7, 0, 0)]


def test_tables_without_rows_have_one_that_never_counts(tmp_path, state):
    parts, _ = state
    model = Model(start=59, last=60, mutation_rate=1e-8)
    slim_model.write_model(parts.scenario.build_genome(), effects_of(parts.tables), model, tmp_path)
    for name in ("sizes", "cohorts", "flags", "events", "samples"):
        table = read_table(tmp_path / f"{name}.tsv")
        assert int(table["tick"][0]) < -(10**8)
    assert read_table(tmp_path / "sources.tsv")["deme"].tolist() == ["-1"]
    assert (read_table(tmp_path / "bins.tsv")["s"].astype(np.float32) > -1).all()
    constants = model.constants(tmp_path / 'a "b"', tmp_path)
    assert constants["FOLDER"].endswith('/a \\"b\\"/"') and constants["MU"] == "1e-08"
    model.selected = False
    assert model.constants(tmp_path, tmp_path)["MU"] == "0.0"


# ---- populations


def sets(arrays, deme):
    """Identities of the mutations of each haplotype, fixed ones too."""
    carried, ends = haplotypes(arrays, np.arange(len(arrays["mutation_uid"])), deme, fixed=True)
    uid = arrays["mutation_uid"]
    return [frozenset(uid[carried[a:b]].tolist()) for a, b in itertools.pairwise(ends)]


def test_a_population_file_is_read_as_it_was_written(state, tmp_path):
    parts, arrays = state
    genome, effects = parts.scenario.build_genome(), effects_of(parts.tables)
    keep = np.ones(len(arrays["mutation_uid"]), bool)
    with (tmp_path / "population").open("wb") as file:
        written = write_population(genome, arrays, [2, 1], file, h=effects.by_type, keep=keep)
    found = read_population(tmp_path / "population")
    assert found.sizes == {1: 40, 2: 12} and found.tick == 1
    rows = written[found.mutations["id"]]
    lists = [
        frozenset(arrays["mutation_uid"][rows[found.carried[a:b]]].tolist())
        for a, b in zip(found.ends[:-1], found.ends[1:], strict=True)
    ]
    assert lists == sets(arrays, 1) + sets(arrays, 2)
    chrom, bp = genome.target_positions(arrays["mutation_site"][rows])
    assert (found.chrom == chrom).all() and (found.mutations["position"] == bp).all()
    assert (found.mutations["s"] == arrays["mutation_s"][rows].astype(np.float32)).all()


def test_a_state_through_a_file_is_the_same_state(state, tmp_path):
    """Also what the file leaves out: mutations that are fixed in both demes."""
    parts, arrays = state
    shared = np.intersect1d(arrays["deme1_fixed"], arrays["deme2_fixed"])
    assert len(shared) > 3
    genome = parts.scenario.build_genome()
    dropped, written = write_state(genome, parts.tables, arrays, [1, 2], tmp_path / "population")
    assert dropped == pytest.approx(np.log1p(arrays["mutation_s"][shared]).sum())
    population = read_population(tmp_path / "population")
    assert not np.isin(shared, written).any()
    # SLiM goes on counting from the highest id that it has read, so none may be left out
    assert sorted(population.mutations["id"].tolist()) == list(range(len(written)))
    rng = np.random.default_rng(1)
    again = arrays_of(population, [], arrays, written, [1, 2], {1: 40, 2: 12}, genome, parts.tables, 59, rng)
    for d in (1, 2):
        assert sets(again, d) == sets(arrays, d)
    worlds = []
    for packed in (arrays, again):
        world = World(parts.tables, parts.schedule.deme_names, lambda purpose, deme: 0, Workers(1))
        unpack_worlds(world, [packed])
        worlds.append([world.log_fitness(d) for d in (1, 2)])
    for one, other in zip(*worlds, strict=True):
        assert np.array_equal(one, other)


def test_new_mutations_come_back_with_place_and_effect(state, tmp_path):
    """A mutation whose id SLiM has given: its base, its dominance and its tick are found again."""
    parts, arrays = state
    genome = parts.scenario.build_genome()
    _, written = write_state(genome, parts.tables, arrays, [1, 2], tmp_path / "population")
    population = read_population(tmp_path / "population")
    known = written[population.mutations["id"]]
    population.mutations["id"] += 10**6
    population.mutations["tick"] = 7
    rng = np.random.default_rng(1)
    gone = [[10**7, 1, 14_000_000, 1, -0.25, 5, 3]]
    bp = int(genome.target_positions(np.array([0]))[1][0])
    gone[0][2] = bp
    again = arrays_of(population, gone, arrays, written, [], {1: 40, 2: 12}, genome, parts.tables, 100, rng)
    n = len(known)
    assert (again["mutation_site"][:n] == arrays["mutation_site"][known]).all()
    assert (again["mutation_axis"][:n] == arrays["mutation_axis"][known]).all()
    assert again["mutation_s"][:n] == pytest.approx(arrays["mutation_s"][known], rel=1e-6)
    assert (again["mutation_h"][:n] == 0.5).all() and (again["mutation_born"][:n] == 106).all()
    assert len(set(again["mutation_uid"].tolist())) == len(again["mutation_uid"])
    assert again["mutation_site"][n] == 0 and again["mutation_s"][n] == -0.25 and again["mutation_lineage"][n] == 2
    for d in (1, 2):
        assert n in again[f"deme{d}_fixed"]


def test_damaged_population_files(state, tmp_path):
    parts, arrays = state
    file = io.BytesIO()
    write_population(parts.scenario.build_genome(), arrays, [1], file, h=effects_of(parts.tables).by_type)
    data = file.getvalue()
    path = tmp_path / "population"
    for bad, message in (
        (data[: len(data) // 2], "truncated"), (data[:20], "truncated"), (b"\0" + data[1:], "no population file"),
        (data[:4] + b"\7" + data[5:], "of format 8"),
    ):  # fmt: skip
        path.write_bytes(bad)
        with pytest.raises(RunError, match=message):
            read_population(path)


# ---- output and names


def test_output_is_read_and_missing_values_are_nan(tmp_path):
    (tmp_path / "ancestry.tsv").write_text("60\t0\t1\t0.1\t0.3\t0\t0\t1\tNAN\t0.1\n")
    (tmp_path / "fitness.tsv").write_text("60\t1\t40\t-0.5\n60\t2\t12\t-INF\n")
    (tmp_path / "parents.tsv").write_text("60\t1\t3\t4\t0\t1\n")
    out = Output.read(tmp_path)
    assert np.isnan(out.ancestry[60, 0, 1][5]) and out.ancestry[60, 0, 1][0] == 0.1
    assert out.fitness == {(60, 1): -0.5, (60, 2): -np.inf}
    assert out.parents[60][1].tolist() == [3, 4, 0, 1] and out.load == {}


def test_seeds_differ_by_name_and_fit_slim():
    made = {seed_of("run", 1, "p10", r, "none") for r in range(200)}
    assert len(made) == 200 and all(1 <= s < 2**31 for s in made)
    assert seed_of("run", 1, "p10", 0, "none") == seed_of("run", 1, "p10", 0, "none")


def test_stages_have_keys_of_their_own(state):
    parts, _ = state
    made = slim_stages(parts.stages, "5.2")
    assert [s.name for s in made] == [s.name for s in parts.stages]
    assert not {s.key for s in made} & {s.key for s in parts.stages}
    assert all(s.parent == made[0].key for s in made[1:])
    assert {s.key for s in slim_stages(parts.stages, "5.1")}.isdisjoint(s.key for s in made)
