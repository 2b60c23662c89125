# SPDX-License-Identifier: GPL-3.0-or-later
"""Laws of a run: each is obeyed, noticed when it is broken, and ends the run with a report and no table."""

import json

import numpy as np
import pytest
import small

from admix import run_pages, simulate
from admix.engines.native import audit as audits
from admix.engines.native import branch as branches
from admix.engines.native.audit import Conservation, audit
from admix.engines.native.branch import Branch, BranchPlan
from admix.errors import InvariantError, RunError
from admix.simulate import RunOptions


@pytest.fixture(scope="module")
def lineages(tmp_path_factory):
    parts = small.Parts(small.scenario(), tmp_path_factory.mktemp("cache"))
    return parts, parts.lineages()


@pytest.fixture
def world(lineages):
    """The world some generations after the pulse."""
    parts, made = lineages
    plan = BranchPlan(
        branch="main", replicate=0, twin="none", seed=1, burnin=0, last=parts.schedule.first_pulse_tick() + 5,
        landscape_generations=(), spread_generations=(),
    )  # fmt: skip
    branch = Branch(parts.schedule, parts.tables, parts.workers, plan)
    branch.run(made, lambda *told: None)
    return branch.world


def deme(world):
    (found,) = world.demes.values()
    assert len(found.layout.ids) and found.rows.n_rare.max() and len(world.mutations.free)
    return found


def test_a_world_obeys_its_laws(world):
    before = [np.array(a) for a in (deme(world).rows.bits, deme(world).rows.rare, deme(world).log_fitness)]
    audit(world, 7)
    after = [deme(world).rows.bits, deme(world).rows.rare, deme(world).log_fitness]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def free_twice(world):
    world.mutations.free[0] = world.mutations.free[1]


def free_and_common(world):
    world.mutations.free[0] = deme(world).layout.ids[0]


def common_and_fixed(world):
    deme(world).fixed = np.append(deme(world).fixed, deme(world).layout.ids[:1])


def fixed_twice(world):
    free = world.mutations.take(1)
    deme(world).fixed = np.concatenate([deme(world).fixed, free, free])


def rare_and_free(world):
    rows = deme(world).rows
    g = int(rows.n_rare.argmax())
    world.mutations.free[0] = int(rows.rare[g, 0] & np.uint64(0xFFFFFFFF))


def rare_not_sorted(world):
    rows = deme(world).rows
    g = int(rows.n_rare.argmax())
    rows.rare[g, [0, 1]] = rows.rare[g, [1, 0]]


def load(world):
    deme(world).rows.load[3] += 1


def a_bit(world):
    world.demes[deme(world).index].rows.bits[2, 0] ^= np.uint64(1)


def word_sums(world):
    rows = deme(world).rows
    rows.sums[1, 0] += 1
    rows.sums[1, -1] -= 0


def fitness(world):
    deme(world).log_fitness[4] -= 1


def infinite_fitness(world):
    m = world.mutations
    only = m.take(1)
    deme(world).fixed = np.concatenate([deme(world).fixed, only])
    m["effect"][only] = -(2**31)
    world.mutations.homozygous = lambda ids: -(1 << 60)


def ancestry(world):
    deme(world).rows.ancestry[0, 5, 0] += 1


def a_marker(world):
    deme(world).rows.marks[0, 5, 0] ^= np.uint64(2)


def beyond_the_last_marker(world):
    deme(world).rows.marks[0, 5, -1] |= np.uint64(1 << 63)


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        (free_twice, "free once"),
        (free_and_common, "belongs to one mutation"),
        (common_and_fixed, "belongs to one mutation"),
        (fixed_twice, "belongs to one mutation"),
        (rare_and_free, "neither free, common nor fixed"),
        (rare_not_sorted, "sorted"),
        (load, "sum of its mutations"),
        (a_bit, "sum of its mutations|word's sum"),
        (word_sums, "word's sum"),
        (fitness, "that of the genome"),
        (infinite_fitness, "finite"),
        (ancestry, "weight of its markers"),
        (a_marker, "weight of its markers"),
        (beyond_the_last_marker, "lies on markers"),
    ],
)
def test_a_broken_law_is_noticed(world, spoil, law):
    audit(world, 7)
    spoil(world)
    with pytest.raises(InvariantError, match=law) as caught:
        audit(world, 7)
    assert "\n" not in str(caught.value) and json.dumps(caught.value.numbers)


def test_ancestry_comes_from_nowhere_and_vanishes(world):
    conserved = Conservation()
    marks = deme(world).rows.marks
    marks[0, :, 0] |= np.uint64(4)
    marks[0, :, 0] &= ~np.uint64(8)
    conserved.look(world, 1)
    conserved.look(world, 2)
    marks[0, 3, 0] |= np.uint64(8)
    with pytest.raises(InvariantError, match="came from nowhere"):
        conserved.look(world, 3)
    marks[0, 3, 0] &= ~np.uint64(8)
    marks[0, 3, 0] &= ~np.uint64(4)
    with pytest.raises(InvariantError, match="vanished where everybody had it"):
        conserved.look(world, 4)
    conserved.forget()
    conserved.look(world, 5)


def test_frequencies_are_recounted_when_mutations_move(world, monkeypatch):
    world.rebalance(recount=True)
    counts = type(world).counts

    def miscount(self, index):
        found = counts(self, index)
        found[deme(self).layout.ids[0]] += len(calls) % 2
        calls.append(1)
        return found

    calls = []
    monkeypatch.setattr(type(world), "counts", miscount)
    with pytest.raises(InvariantError, match="do not depend on where a mutation is kept"):
        world.rebalance(recount=True)


def test_a_large_deme_is_looked_at_in_quarters():
    seen = [audits._part(1001, tick) for tick in range(128, 128 * 5, 128)]
    assert sorted(seen) == [(0, 250), (250, 500), (500, 750), (750, 1001)]
    assert {audits._part(1001, tick) for tick in range(4)} == set(seen)
    assert audits._part(256, 3) == (0, 256)


def test_a_broken_law_ends_the_run_with_a_report_and_no_table(tmp_path, monkeypatch):
    monkeypatch.setattr(run_pages, "make", lambda path: None)

    def faulty(world, tick):
        if world.n_planes:
            deme(world).rows.load[3] += 1
        audit(world, tick)

    options = RunOptions(out=tmp_path / "out", cache_dir=tmp_path / "cache", threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(branches, "audit", faulty)
        with pytest.raises(RunError, match="a law of every run is broken") as caught:
            simulate.run(small.scenario(), options)
    report = tmp_path / "out.fault.json"
    assert str(report) in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "out.fault.json"]
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["law"] == "a haplotype's load is the sum of its mutations" and told["numbers"]["number"] == 3
    assert "name: small" in told["scenario"] and told["numbers"]["kept"] == told["numbers"]["recounted"] + 1
    simulate.run(small.scenario(), options)
