# SPDX-License-Identifier: GPL-3.0-or-later
"""A world as arrays and back: the same people with the same future, alone or brought together."""

import dataclasses

import numpy as np
import pytest
import reference_model as reference
import test_world as worlds
from test_world import BIG, LITTLE, ROOT, empty_world, mixed, story, whole

from admix.engines.native import world as world_module
from admix.engines.native.mutations import COLUMNS
from admix.engines.native.snapshot import _reorder, pack_world, unpack_worlds
from admix.engines.native.state import pack


@pytest.fixture(scope="module")
def tables():
    # a map so coarse that many mutations share a position: the order of keys there depends on ids
    made = worlds.tables_of(chromosomes=(22,), rate=2e-6, dominance=0.1)
    start = made.target_axis_start >> np.uint64(24) << np.uint64(24)
    return dataclasses.replace(made, target_axis_start=start, target_axis_end=start)


@pytest.fixture(autouse=True)
def thresholds(monkeypatch):
    monkeypatch.setattr(world_module, "COMMON", 0.2)
    monkeypatch.setattr(world_module, "RARE_AGAIN", 0.1)


def grown(tables, ticks=30, n_planes=2):
    world = empty_world(tables, {ROOT: 10}, n_planes=n_planes)
    for tick in range(1, ticks):
        world.breed(tick, {ROOT: whole(10, ROOT)})
        if tick % 7 == 0:
            world.rebalance()
    return world


def split(world, first=30, ticks=60):
    world.breed(first, {BIG: whole(9, ROOT), LITTLE: whole(4, ROOT)})
    for tick in range(first + 1, first + ticks):
        world.breed(
            tick,
            {BIG: whole(9, BIG), LITTLE: mixed(4, (BIG, 1, 0), (LITTLE, 3, -1)) if tick == 40 else whole(4, LITTLE)},
        )
        if tick % 7 == 0:
            world.rebalance()
    return world


def again(world, tables, *arrays, n_planes=2):
    other = empty_world(tables, {}, n_planes=n_planes)
    unpack_worlds(other, arrays or [pack_world(world)])
    return other


@pytest.mark.parametrize("rebalance", [False, True])
def test_a_world_comes_back_with_its_future(tables, rebalance):
    world = split(grown(tables))
    assert len(world.demes[LITTLE].fixed) and len(world.demes[BIG].layout.ids) and world.demes[BIG].rows.n_rare.any()
    if rebalance:
        world.rebalance()
    other = again(world, tables)
    assert story(other) == story(world)
    for i in (BIG, LITTLE):
        assert reference.haplotypes_of(other, i) == reference.haplotypes_of(world, i)
        assert np.array_equal(reference.labels_of(other, i), reference.labels_of(world, i))
    for tick in range(90, 110):
        parents = [
            w.breed(tick, {BIG: mixed(9, (BIG, 7, -1), (LITTLE, 2, 1)), LITTLE: whole(5, LITTLE)})
            for w in (world, other)
        ]
        assert all(np.array_equal(parents[0][i], parents[1][i]) for i in (BIG, LITTLE))
    assert story(other) == story(world)


def test_packing_twice_gives_the_same_arrays(tables):
    world = split(grown(tables))
    one = pack_world(world)
    two = pack_world(again(world, tables))
    assert sorted(one) == sorted(two)
    columns = {f"mutation_{name}" for name in COLUMNS}
    assert columns <= set(one)
    order = [np.argsort(a["mutation_uid"]) for a in (one, two)]
    for name in columns:
        assert np.array_equal(one[name][order[0]], two[name][order[1]])
    carried = set()
    for i in (BIG, LITTLE):
        carried |= set().union(*reference.haplotypes_of(world, i))
    # nothing that nobody carries, but for common sites that were lost since the layout was made
    lost = set(one["mutation_uid"].tolist()) - carried
    common = set().union(*(one["mutation_uid"][one[f"deme{i}_ids"]].tolist() for i in (BIG, LITTLE)))
    assert carried <= set(one["mutation_uid"].tolist()) and lost <= common


def test_lineages_meet_as_if_they_had_never_been_apart(tables):
    """Two halves of one world, packed by themselves and brought together, are that world: what they share is
    one mutation again, and what is fixed in one only is found."""
    world = grown(tables)
    whole_world = again(world, tables)
    founder = pack_world(world)
    halves = []
    for deme, n in ((BIG, 9), (LITTLE, 4)):
        half = again(None, tables, founder)
        half.breed(30, {deme: whole(n, ROOT)})
        for tick in range(31, 90):
            half.breed(tick, {deme: whole(n, deme)})
            if tick % 11 == 0:
                half.rebalance()
        halves.append(half)
    whole_world.breed(30, {BIG: whole(9, ROOT), LITTLE: whole(4, ROOT)})
    for tick in range(31, 90):
        whole_world.breed(tick, {BIG: whole(9, BIG), LITTLE: whole(4, LITTLE)})
    together = again(None, tables, *[pack_world(h) for h in halves])
    assert story(together) == story(whole_world)
    shared = set(pack_world(halves[0])["mutation_uid"].tolist()) & set(pack_world(halves[1])["mutation_uid"].tolist())
    assert len(shared) > 10
    uid = together.mutations["uid"]
    assert len(set(uid[uid > 0].tolist())) == (uid > 0).sum()
    for w in (together, whole_world):
        w.breed(90, {BIG: mixed(10, (BIG, 6, -1), (LITTLE, 4, 0))})
    assert story(together) == story(whole_world)


def test_worlds_without_markers_come_into_one_with_them(tables):
    """A history has no planes, a branch has."""
    world = split(grown(tables, n_planes=0))
    other = again(world, tables, n_planes=2)
    assert not other.shares(BIG).any()
    assert np.array_equal(other.log_fitness(BIG), world.log_fitness(BIG))
    assert not any(name.endswith("_marks") for name in pack_world(world))


def test_many_mutations_share_a_position(tables):
    axis = pack_world(split(grown(tables)))["mutation_axis"]
    assert len(np.unique(axis)) < len(axis) / 2


@pytest.mark.parametrize("sites", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("seed", range(3))
def test_reorder_is_a_permutation_of_columns(sites, seed):
    rng = np.random.default_rng(seed)
    old = rng.choice(1000, sites, replace=False).astype(np.int32)
    new = rng.permutation(old)
    width = 64 * ((sites + 63) // 64)
    flags = np.zeros((5, width), bool)
    flags[:, :sites] = rng.random((5, sites)) < 0.5
    bits = np.stack([pack(row) for row in flags])
    expected = np.zeros_like(flags)
    for k, m in enumerate(new):
        expected[:, k] = flags[:, old.tolist().index(m)]
    assert np.array_equal(_reorder(bits, old, new), np.stack([pack(row) for row in expected]))
    assert np.array_equal(_reorder(bits, old, old), bits)
