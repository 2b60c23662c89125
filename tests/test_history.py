# SPDX-License-Identifier: GPL-3.0-or-later
"""What precedes the pulse: lineages, cache keys, resumption, and the two ways to begin."""

import os
import signal

import numpy as np
import pytest
import small
from test_branch import run, told

from admix import schedule as schedule_module
from admix.engines.native import history as history_module
from admix.engines.native.history import lineages, load_slope, plan_stages
from admix.engines.native.snapshot import unpack_worlds
from admix.engines.native.world import World


def names_of(chosen):
    clock = schedule_module.compile(chosen)
    return [tuple(clock.deme_names[d] for d in group) for group in lineages(clock)]


ROOT = ("ancestral", (), [(90, 40)])
MODERN = ("modern", ("ancestral",), [(0, 40)])
ARCHAIC = ("archaic", ("ancestral",), [(30, 12)])


def with_demes(*rows, migrations=(), pulse=None, starts=None, **changes):
    block = small.start_times(small.demes(*rows, migrations=migrations), **(starts or {}))
    given = {"demography": block} | changes
    if pulse is not None:
        given["pulse"] = pulse
    return small.scenario(**given)


def test_lineages_are_sets_that_exchange_genes_before_the_pulse():
    assert names_of(small.scenario()) == [("modern",), ("archaic",)]
    # migration that begins with the pulse or later links nothing, before it does
    late = with_demes(
        ROOT, MODERN, ("archaic", ("ancestral",), [(0, 12)]), migrations=[("modern", "archaic", 0.1, 30, 0)]
    )
    assert names_of(late) == [("modern",), ("archaic",)]
    early = with_demes(
        ROOT, MODERN, ("archaic", ("ancestral",), [(0, 12)]), migrations=[("modern", "archaic", 0.1, 33, 0)]
    )
    assert names_of(early) == [("modern", "archaic")]
    # an archaic deme that splits in two is one lineage, a recipient that splits after the pulse none yet
    forked = with_demes(
        ROOT, MODERN, ("stem", ("ancestral",), [(70, 10)]), ("archaic", ("stem",), [(30, 12)]),
        ("other", ("stem",), [(30, 12)]), ("east", ("modern",), [(0, 10)]), starts={"east": 20},
    )  # fmt: skip
    assert names_of(forked) == [("modern",), ("stem", "archaic", "other")]
    # the root lives on beside what splits off, and what splits off it later belongs to it
    beside = with_demes(
        ("ancestral", (), [(0, 40)]), MODERN, ARCHAIC, ("east", ("ancestral",), [(0, 10)]),
        starts={"modern": 90, "archaic": 90, "east": 50},
    )  # fmt: skip
    assert names_of(beside) == [("ancestral", "east"), ("modern",), ("archaic",)]


def keys(chosen, tables="t", mode="stationary", ancestral=7.0, relax=20, burnin=0):
    clock = schedule_module.compile(chosen)
    return [s.key for s in plan_stages(clock, tables, mode, ancestral, relax, burnin)]


def test_keys_depend_on_the_history_alone():
    base = keys(small.scenario())
    assert len(set(base)) == 3 == len(base)
    pulse = small.TREE["pulse"][0]
    # what happens at the pulse and after, and how the run is named, is not in them
    for same in (
        small.scenario(pulse=[pulse | {"share": 0.5, "unit": "F1", "mode": "binomial"}]),
        small.scenario(name="other", branches=[{"name": "x"}]),
        with_demes(ROOT, ("modern", ("ancestral",), [(20, 40), (0, (40, 90))]), ARCHAIC),
        with_demes(ROOT, MODERN, ARCHAIC, ("east", ("modern",), [(0, 9)]), starts={"east": 10}),
        small.scenario(sampling=small.TREE["sampling"] | {"spread_generations": [3]}),
    ):
        assert keys(same) == base
    for other in (
        keys(small.scenario(), tables="u"),
        keys(small.scenario(), burnin=1),
        keys(small.scenario(), relax=21),
        keys(small.scenario(), mode="forward"),
        keys(with_demes(("ancestral", (), [(90, 41)]), MODERN, ARCHAIC)),
    ):
        assert not set(other) & set(base)
    # a change in one lineage leaves the other and the ancestor
    smaller = keys(with_demes(ROOT, MODERN, ("archaic", ("ancestral",), [(30, 13)])))
    assert [a == b for a, b in zip(smaller, base, strict=True)] == [True, True, False]
    shrunk = keys(with_demes(ROOT, ("modern", ("ancestral",), [(50, 40), (0, 30)]), ARCHAIC))
    assert [a == b for a, b in zip(shrunk, base, strict=True)] == [True, False, True]
    earlier = keys(small.scenario(pulse=[pulse | {"time": 31}]))
    assert [a == b for a, b in zip(earlier, base, strict=True)] == [True, False, False]
    counted = keys(small.scenario(sampling=small.TREE["sampling"] | {"ancestors_at": [45]}))
    assert [a == b for a, b in zip(counted, base, strict=True)] == [True, False, False]


def test_results_version_is_in_every_key(monkeypatch):
    base = keys(small.scenario())
    monkeypatch.setattr(history_module, "RESULTS_VERSION", -1)
    assert not set(base) & set(keys(small.scenario()))


def stages(chosen, **changes):
    given = {"tables_key": "t", "start_mode": "stationary", "ancestral_burnin": 7.0, "relax": 20, "burnin": 0}
    return {s.name: s for s in plan_stages(schedule_module.compile(chosen), **(given | changes))}


def test_when_stages_begin():
    found = stages(small.scenario())
    assert (found["ancestor"].first, found["ancestor"].last, found["ancestor"].ticks) == (-19, 0, 20)
    # the modern deme is the ancestor still: its last 20 ticks are enough; the archaic one is always whole
    assert (found["modern"].first, found["modern"].last) == (40, 59)
    assert (found["archaic"].first, found["archaic"].last) == (1, 59)
    forward = stages(small.scenario(), start_mode="forward")
    assert (forward["ancestor"].first, forward["modern"].first) == (1 - 280, 1)
    # parents must be known from the oldest date at which ancestors are counted
    old = small.scenario(sampling=small.TREE["sampling"] | {"ancestors_at": [40, 70]})
    assert stages(old)["modern"].first == 20
    # a change of size must be played
    grown = with_demes(ROOT, ("modern", ("ancestral",), [(75, 40), (0, 50)]), ARCHAIC)
    assert stages(grown)["modern"].first == 15
    assert stages(with_demes(ROOT, ("modern", ("ancestral",), [(0, 50)]), ARCHAIC))["modern"].first == 1
    # an ancestor that has just changed size is not what its descendants will be
    changed = with_demes(("ancestral", (), [(95, 20), (90, 40)]), MODERN, ARCHAIC)
    assert stages(changed)["modern"].first == 1
    assert stages(changed, relax=4)["modern"].first == 50
    assert stages(small.scenario(), relax=0)["ancestor"].ticks == 0


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return small.Parts(small.scenario(), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def plain(parts):
    return told(run(parts)[0])


def test_cold_and_warm_cache_give_the_same(parts, plain, tmp_path):
    fresh = small.Parts(parts.scenario, tmp_path)
    made = fresh.history().make(fresh.stages)
    assert [meta["from_cache"] for _, meta in made.values()] == [False, False]
    assert told(run(fresh)[0]) == plain
    made = fresh.history().make(fresh.stages)
    assert [meta["from_cache"] for _, meta in made.values()] == [True, True]
    # one stage lost: it is made again from the ancestor in the cache, with the same result
    fresh.cache._say = fresh.told.append
    (tmp_path / fresh.stages[1].key / "arrays.npz").write_bytes(b"x")
    made = fresh.history().make(fresh.stages)
    assert [meta["from_cache"] for _, meta in made.values()] == [False, True]
    assert len(fresh.told) == 1 and told(run(fresh)[0]) == plain


def test_burnins_are_independent_and_named_by_number(parts, plain, tmp_path):
    other = small.Parts(parts.scenario, tmp_path, burnin=1)
    assert told(run(other)[0]) != plain
    uid = [set(a["mutation_uid"].tolist()) for p in (parts, other) for a in p.lineages()]
    assert not (uid[0] | uid[1]) & (uid[2] | uid[3])
    assert uid[0] & uid[1]  # two lineages of one ancestor


@pytest.mark.parametrize("mode", ["forward", "stationary"])
def test_both_starts_run_and_differ(tmp_path, plain, mode):
    chosen = small.scenario(start={"mode": mode, "ancestral_burnin": 0.5, "relax": 5})
    parts = small.Parts(chosen, tmp_path)
    assert told(run(parts)[0]) != plain
    assert parts.stages[0].ticks == {"forward": 20, "stationary": 5}[mode]


def test_relax_zero(tmp_path):
    parts = small.Parts(small.scenario(start={"mode": "stationary", "relax": 0}, sampling={}), tmp_path)
    assert (parts.stages[0].ticks, parts.stages[1].ticks) == (0, 1)
    assert len(run(parts)[0].trajectory) == 31


def test_what_was_fixed_in_either_lineage_counts(parts):
    """Mutations fixed since the common ancestor, in the archaic lineage by drift and in the modern one by
    theory where its time is not played, are part of fitness when the demes meet."""
    world = World(parts.tables, parts.schedule.deme_names, lambda purpose, deme: 1, parts.workers)
    arrays = parts.lineages()
    unpack_worlds(world, arrays)
    modern, archaic = (parts.schedule.deme(d) for d in ("modern", "archaic"))
    for deme, packed in ((modern, arrays[0]), (archaic, arrays[1])):
        fixed = packed[f"deme{deme}_fixed"]
        assert len(fixed) == len(world.demes[deme].fixed) > 0
        log = np.log1p(packed["mutation_s"][fixed]).sum()
        assert world.fixed_log(deme) == pytest.approx(log, abs=3e-7 * len(fixed))
        rest = world.demes[deme].log_fitness / 2.0**26
        assert np.allclose(world.log_fitness(deme), rest + world.fixed_log(deme))
    # the stretch of modern history that is not played is one of 39 ticks; what was fixed by it was born in it
    born = arrays[0]["mutation_born"][arrays[0][f"deme{modern}_fixed"]]
    assert (born == 39).any()
    assert world.counts(archaic)[world.demes[modern].fixed].min() == 0


def test_what_was_fixed_in_the_ancestor_is_forgotten(tmp_path):
    """It is fixed in everybody, and would only move the zero of log fitness."""
    chosen = with_demes(("ancestral", (), [(90, 12)]), MODERN, ARCHAIC)
    parts = small.Parts(chosen, tmp_path, mode="forward")
    lineages = parts.lineages()
    ancestor, _ = parts.cache.load(parts.stages[0].key)
    fixed = set(ancestor["mutation_uid"][ancestor["deme0_fixed"]].tolist())
    assert fixed
    assert all(not fixed & set(arrays["mutation_uid"].tolist()) for arrays in lineages)


class Stop:
    """Sends this process a signal when the history gets to a tick, as a person would."""

    def __init__(self, number, at):
        self.number, self.at, self.seen = number, at, 0

    def __call__(self, stage, fraction, note):
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_an_interrupted_history_goes_on_where_it_was(parts, plain, tmp_path, at, monkeypatch):
    monkeypatch.setattr(history_module, "_LOAD_EVERY", 10)
    fresh = small.Parts(parts.scenario, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fresh.history(Stop(signal.SIGINT, at)).make(fresh.stages)
    kept = sorted(p.name[64:] for p in tmp_path.iterdir())
    assert kept and set(kept) <= {"", ".checkpoint"}
    notes = []
    made = fresh.history(lambda stage, fraction, note: notes.append(note)).make(fresh.stages)
    assert sum("goes on from tick" in n for n in notes) == kept.count(".checkpoint")
    assert told(run(fresh)[0]) == plain
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".checkpoint")]
    assert all(len(meta["curve"]) > 2 for _, meta in made.values())


def test_a_signal_in_the_last_tick_of_a_stage_loses_nothing(parts, tmp_path):
    fresh = small.Parts(parts.scenario, tmp_path)
    last = []

    def stop(stage, fraction, note):
        if fraction == 1 and not last:
            last.append(stage)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fresh.history(stop).make(fresh.stages)
    assert last == ["ancestor"] and fresh.cache.has(fresh.stages[0].key)


def test_a_checkpoint_beside_a_finished_stage_is_removed(parts, plain, tmp_path):
    """Left where a process was killed between the two steps that end a stage."""
    fresh = small.Parts(parts.scenario, tmp_path)
    fresh.lineages()
    for stage in fresh.stages:
        fresh.cache.save(stage.key, {"a": np.zeros(1)}, {"tick": 1}, checkpoint=True)
    assert told(run(fresh)[0]) == plain
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(stage.key for stage in fresh.stages)


def test_termination_is_passed_on(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(history_module, "_LOAD_EVERY", 5)
    fresh = small.Parts(parts.scenario, tmp_path)

    class Terminated(Exception):
        pass

    def handler(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Terminated):
            fresh.history(Stop(signal.SIGTERM, 3)).make(fresh.stages)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert any(p.name.endswith(".checkpoint") for p in tmp_path.iterdir())


def test_checkpoints_at_any_tick_change_nothing(parts, plain, tmp_path, monkeypatch):
    """Stopped after every single tick and taken up again."""
    monkeypatch.setattr(history_module, "_LOAD_EVERY", 1)
    fresh = small.Parts(parts.scenario, tmp_path)
    stops = 0
    while True:
        try:
            fresh.history(Stop(signal.SIGINT, 4)).make(fresh.stages)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 25
    assert told(run(fresh)[0]) == plain


def test_checkpoints_are_written_in_passing(parts, plain, tmp_path, monkeypatch):
    monkeypatch.setattr(history_module, "CHECKPOINT_SECONDS", 0.0)
    fresh = small.Parts(parts.scenario, tmp_path)
    saved = []
    save = fresh.cache.save
    monkeypatch.setattr(
        type(fresh.cache),
        "save",
        lambda self, *given, **more: (saved.append(more.get("checkpoint")), save(*given, **more)),
    )
    assert told(run(fresh)[0]) == plain
    assert saved.count(True) > 80 and saved.count(None) == 3


@pytest.mark.parametrize("every", [1, 10**9])
def test_tidying_up_changes_nothing(parts, plain, tmp_path, monkeypatch, every):
    monkeypatch.setattr(history_module, "REBALANCE_EVERY", every)
    monkeypatch.setattr(history_module, "_COLLECT_EVERY", every)
    assert told(run(small.Parts(parts.scenario, tmp_path))[0]) == plain


def test_progress_runs_from_0_to_1(parts, tmp_path):
    seen = {}
    fresh = small.Parts(parts.scenario, tmp_path)
    fresh.history(lambda stage, fraction, note: seen.setdefault(stage, []).append(fraction)).make(fresh.stages)
    assert sorted(seen) == ["ancestor", "archaic", "modern"]
    for fractions in seen.values():
        assert fractions == sorted(fractions) and 0 < fractions[0] and fractions[-1] == 1


def test_an_ancestor_that_changed_size(tmp_path):
    """It starts with the spectrum of its older size, and every mutation has as many carriers as were drawn."""
    for older in (20, 80):
        chosen = with_demes(("ancestral", (), [(95, older), (90, 40)]), MODERN, ARCHAIC)
        parts = small.Parts(chosen, tmp_path / str(older))
        history = parts.history()
        world = history._begin(parts.stages[0], None)
        assert {d: deme.n for d, deme in world.demes.items()} == {0: older}
        counts = world.counts(0)
        assert 0 < counts.max() < 2 * older
        assert len(run(parts)[0].trajectory) == 31


def test_load_slope():
    rng = np.random.default_rng(1)
    ticks = np.arange(16, 16 * 400, 16)
    # 1,000 ticks cost 0.02 in deme 1 and nothing in deme 0; noise of 0.001 each time
    curve = [[int(t), 1, -2e-5 * t + 1e-3 * rng.standard_normal()] for t in ticks]
    curve += [[int(t), 0, 1e-3 * rng.standard_normal()] for t in ticks]
    slope, error = load_slope(curve, 1)
    flat, flat_error = load_slope(curve, 0)
    assert abs(slope + 0.02) < 4 * error < 0.02 and abs(flat) < 4 * flat_error
    # least squares over the last quarter: known scatter, which the error estimates within a factor of 4
    last = ticks[len(ticks) * 3 // 4 :]
    true = 1000 * 1e-3 / np.sqrt(((last - last.mean()) ** 2).sum())
    assert true / 4 < error < 4 * true
    assert all(np.isnan(load_slope(curve[:40], 1)))
    assert all(np.isnan(load_slope([], 0)))


def test_pedigree_is_kept_from_the_oldest_date_on(parts):
    for arrays, deme in zip(parts.lineages(), ("modern", "archaic"), strict=True):
        i = parts.schedule.deme(deme)
        # ancestors are counted 40 years ago, in tick 50: parents from the next cohort on
        assert arrays[f"ticks{i}"][:, 0].tolist() == list(range(51, 60))
    never = small.Parts(small.scenario(sampling={}), parts.cache.directory)
    assert not [name for arrays in never.lineages() for name in arrays if name.startswith("ticks")]


def test_a_source_of_the_ancestors_size_is_run_forward_too():
    block = small.demes(
        ("ancestral", (), [(90, 40)]), ("modern", ("ancestral",), [(0, 40)]), ("archaic", ("ancestral",), [(0, 40)])
    )
    found = stages(small.scenario(demography=block), relax=5)
    assert found["archaic"].first == 1
    assert found["modern"].first == 50
