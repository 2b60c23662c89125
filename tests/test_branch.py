# SPDX-License-Identifier: GPL-3.0-or-later
"""What a branch writes down, against the people in it; pulses of several kinds, times and sources."""

import json
import math

import numpy as np
import pytest
import reference_model as reference
import small

from admix.engines.native import branch as branch_module
from admix.engines.native import workers as workers_module
from admix.engines.native import world as world_module
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.gametes import ONE_LOG


def plan(parts, **changes):
    given = {
        "branch": "main", "replicate": 0, "twin": "none", "seed": 1, "burnin": 0, "last": parts.schedule.today,
        "landscape_generations": (2,), "spread_generations": (2,),
    }  # fmt: skip
    return BranchPlan(**(given | changes))


def run(parts, watch=None, **changes):
    """Records of one branch; ``watch(branch, tick, cohorts, parents, before)`` sees every tick, with the mean of
    exp(log fitness) and the mean log fitness of the parents' generation in ``before``."""
    branch = Branch(parts.schedule, parts.tables, parts.workers, plan(parts, **changes))
    seen = {}
    breed = branch.world.breed

    def spy(tick, cohorts):
        seen["before"] = {
            d: (np.exp(branch.world.log_fitness(d)).mean(), branch.world.log_fitness(d).mean())
            for d in branch.world.demes
        }
        seen.update(tick=tick, cohorts=cohorts, parents=breed(tick, cohorts))
        if watch is not None:
            watch(branch, tick, cohorts, seen["parents"], seen["before"])
        return seen["parents"]

    branch.world.breed = spy
    records = branch.run(parts.lineages(), lambda fraction, note: None)
    return records, branch


def told(records):
    landscape = [(labels, shares.tolist()) for labels, shares in records.landscape]
    tables = [records.trajectory, records.pulse, records.ancestors, records.spread, landscape]
    return json.dumps(tables, default=float)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return small.Parts(small.scenario(), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def plain(parts):
    return told(run(parts)[0])


# Everybody's ancestors, two archaic demes that part, two recipients that exchange migrants.
DEMES = (
    ("ancestral", (), [(90, 40)]),
    ("modern", ("ancestral",), [(0, 30)]),
    ("archaic", ("ancestral",), [(70, 10)]),
    ("altai", ("archaic",), [(10, 8)]),
    ("denisova", ("archaic",), [(10, 8)]),
    ("east", ("modern",), [(0, 20)]),
)
PULSES = [
    {"name": "first", "source": "altai", "target": "modern", "time": 30, "share": 0.2},
    {"name": "again", "source": "altai", "target": "east", "time": 18, "share": 0.25, "unit": "gametes"},
    {"name": "other", "source": "denisova", "target": "east", "time": 15, "share": 0.2, "unit": "F1"},
]


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    block = small.start_times(
        small.demes(*DEMES, migrations=[("modern", "east", 0.1, 22, 0), ("east", "modern", 0.05, 22, 0)]), east=24
    )
    chosen = small.scenario(demography=block, pulse=PULSES)
    return small.Parts(chosen, tmp_path_factory.mktemp("cache"))


def test_rows_are_what_the_people_are(rich):
    """Every row of the trajectory against shares, fitness and load worked out anew from each haplotype."""
    schedule, expected = rich.schedule, {}
    flags = {q: set() for q in (0, 1)}
    names = schedule.deme_names

    def watch(branch, tick, cohorts, parents, before):
        world, t = branch.world, rich.tables
        weight = t.mark_weight[: t.n_markers].astype(float)
        bits = [np.unpackbits(t.masks[k].view(np.uint8), bitorder="little")[: t.n_markers] for k in (2, 3)]
        uid, m = world.mutations["uid"].tolist(), world.mutations
        effects = {u: (int(m["effect"][k]), int(m["correction"][k])) for k, u in enumerate(uid)}
        for d in world.demes:
            haplotypes = reference.haplotypes_of(world, d)
            labels = reference.labels_of(world, d)
            log = log_of(haplotypes, effects, None)
            for q in (0, 1):
                own = (labels == q) @ weight / weight.sum()
                share = (own[0::2] + own[1::2]) / 2
                expected[tick, names[d], q] = {
                    "n_individuals": len(haplotypes) // 2,
                    "ancestry_mean": share.mean(), "ancestry_sd": share.std(),
                    "ancestry_p05": np.percentile(share, 5), "ancestry_p95": np.percentile(share, 95),
                    "ancestry_functional": ((labels == q) @ (weight * bits[0])).mean() / (weight @ bits[0]),
                    "ancestry_far": ((labels == q) @ (weight * bits[1])).mean() / (weight @ bits[1]),
                    "log_fitness_mean": log.mean(),
                    "load_archaic": -log_of(haplotypes, effects, flags[q]).mean(),
                }  # fmt: skip

    def note_flags(branch):
        # what a pulse brings: carried in the source, by nobody in the target at that moment
        original = branch._flag

        def flag(pulse):
            world = branch.world
            carried = {d: set().union(*reference.haplotypes_of(world, d)) for d in (pulse.source, pulse.target)}
            flags[branch.planes[pulse.source]] |= carried[pulse.source] - carried[pulse.target]
            original(pulse)

        branch._flag = flag

    init = Branch.__init__

    def noted(self, *given):
        init(self, *given)
        note_flags(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Branch, "__init__", noted)
        records, branch = run(rich, watch)

    assert {(r["source"], r["deme"]) for r in records.trajectory} == {
        (s, d) for s in ("altai", "denisova") for d in ("modern", "east")
    }
    for row in records.trajectory:
        plane = branch.planes[schedule.deme(row["source"])]
        first = {0: 60, 1: 75}[plane]
        tick = row["generation"] - 1 + first
        assert row["years_bp"] == 90 - tick
        for name, value in expected[tick, row["deme"], plane].items():
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, row)
    loads = [r["load_archaic"] for r in records.trajectory if r["source"] == "altai" and r["deme"] == "modern"]
    assert max(loads) > 0.01
    generations = [r["generation"] for r in records.trajectory if (r["source"], r["deme"]) == ("altai", "modern")]
    assert generations == list(range(1, 32))
    # east is reached in its first cohort, and by the other source when it comes
    assert min(r["generation"] for r in records.trajectory if (r["source"], r["deme"]) == ("altai", "east")) == 8
    assert min(r["generation"] for r in records.trajectory if (r["source"], r["deme"]) == ("denisova", "east")) == 1
    assert min(r["generation"] for r in records.trajectory if (r["source"], r["deme"]) == ("denisova", "modern")) == 2


def log_of(haplotypes, effects, chosen):
    out = []
    for a, b in zip(haplotypes[0::2], haplotypes[1::2], strict=True):
        if chosen is not None:
            a, b = a & chosen, b & chosen
        out.append(sum(effects[u][0] for u in a) + sum(effects[u][0] for u in b) + sum(effects[u][1] for u in a & b))
    return np.array(out) / ONE_LOG


def test_pulses_are_written_as_they_came(rich):
    realised, fitness = {}, {}

    def watch(branch, tick, cohorts, parents, before):
        for pulse in (p for p in rich.schedule.pulses if p.tick == tick):
            rows = next(g.rows for g in cohorts[pulse.target].groups if g.plane == branch.planes[pulse.source])
            realised[pulse.name] = len(rows) / (2 * cohorts[pulse.target].n)
            log = branch.world.log_fitness(pulse.target)
            inside = np.isin(np.arange(len(log)), rows >> 1)
            if pulse.unit == "individuals":
                a, m = log[inside], log[~inside]
                fitness[pulse.name] = np.exp(a).mean() / np.exp(m).mean(), m.mean() - a.mean()
            else:
                a, m = before[pulse.source], before[pulse.target]
                fitness[pulse.name] = a[0] / m[0], m[1] - a[1]

    records, _ = run(rich, watch)
    assert [r["pulse"] for r in records.pulse] == ["first", "again", "other"]
    for row, pulse in zip(records.pulse, PULSES, strict=True):
        assert (row["source"], row["target"], row["requested"]) == (pulse["source"], pulse["target"], pulse["share"])
        assert row["years_bp"] == pulse["time"] and row["burnin"] == 0
        assert row["realised"] == realised[row["pulse"]]
        relative, difference = fitness[row["pulse"]]
        assert row["fitness_archaic_relative"] == pytest.approx(relative, rel=1e-12)
        assert row["log_load_difference"] == pytest.approx(difference, rel=1e-9)
        assert relative > 0 and relative != 1
    assert [row["realised"] for row in records.pulse] == [6 / 30, 0.25, 0.2]


def test_ancestors_are_counted_once_each(rich):
    records, branch = run(rich)
    by = {(r["source"], r["measure"]): r["value"] for r in records.ancestors}
    living = {d: np.ones(deme.n, bool) for d, deme in branch.world.demes.items()}
    assert sorted(living) == [rich.schedule.deme(d) for d in ("modern", "east")]
    for source, first in (("altai", 60), ("denisova", 75)):
        plane = branch.planes[rich.schedule.deme(source)]
        archaic, everybody = branch.pedigree.founders(first, 90, living, plane)
        assert by[source, "genealogical"] == archaic / everybody
        shares = np.concatenate([branch.world.shares(d)[plane] for d in living])
        assert by[source, "dna"] == pytest.approx(shares.mean(), rel=1e-12)
        assert 0 < by[source, "pedigree_paths"] < by[source, "headcount"] + 0.2
    assert by["altai", "headcount"] == 6 / 30 and by["denisova", "headcount"] == 0.2
    total = sum(by[s, "pedigree_paths"] for s in ("altai", "denisova"))
    assert 0 < total < 1
    # 40 years ago, before the pulse: the two archaic demes, of 8 and 8, beside 30 modern people
    assert 0 < by["altai", "genealogical@0.04ka"] < 0.5


def test_early_ancestors_against_every_line(parts):
    records, branch = run(parts)
    value = next(r["value"] for r in records.ancestors if r["measure"] == "genealogical@0.04ka")
    people = {(90, d, k) for d, deme in branch.world.demes.items() for k in range(deme.n)}
    births = {t: dict(b) for t, b in branch.pedigree.births.items()}
    for arrays in parts.lineages():
        for t, b in branch_module.Pedigree.unpack(arrays).births.items():
            births.setdefault(t, {}).update(b)
    for tick in range(90, 50, -1):
        before = set()
        for _, d, k in people:
            for source, _, rows, who in births[tick][d].by_source():
                before |= {(tick - 1, source, int(w)) for g, w in zip(rows, who, strict=True) if g >> 1 == k}
        people = before
    archaic = parts.schedule.deme("archaic")
    assert value == sum(d == archaic for _, d, _ in people) / len(people)


def test_another_seed_replicate_branch_or_burnin_gives_other_numbers(parts, plain):
    for change in ({"seed": 2}, {"replicate": 1}, {"branch": "other"}):
        label = {k: v for k, v in change.items() if k != "seed"}
        other = [r | {"branch": "main", "replicate": 0} for r in run(parts, **change)[0].trajectory]
        assert json.dumps(other, default=float) not in plain, label
    assert told(run(parts)[0]) == plain
    # the number of the burn-in is a label here: it is the history that differs
    assert told(run(parts, burnin=3)[0]) == plain.replace('"burnin": 0', '"burnin": 3')


@pytest.mark.parametrize("change", ["threads", "thresholds", "rebalance", "collect"])
def test_records_do_not_depend_on_how_the_work_is_done(parts, plain, monkeypatch, tmp_path, change):
    if change == "threads":
        monkeypatch.setattr(workers_module, "_SMALL", 1)
        parts = small.Parts(parts.scenario, tmp_path, threads=3)
    elif change == "thresholds":
        monkeypatch.setattr(world_module, "COMMON", 0.3)
        monkeypatch.setattr(world_module, "RARE_AGAIN", 0.2)
        parts = small.Parts(parts.scenario, tmp_path)
    elif change == "rebalance":
        monkeypatch.setattr(branch_module, "REBALANCE_EVERY", 1)
    else:
        monkeypatch.setattr(branch_module, "_COLLECT_EVERY", 10**9)
    assert told(run(parts)[0]) == plain


def test_neutral_twin(parts):
    records, branch = run(parts, twin="neutral")
    assert not branch.world.mutations["uid"][: branch.world.mutations.capacity][branch.world.counts(1) > 0].size
    assert all(r["twin"] == "neutral" for r in records.trajectory + records.pulse + records.ancestors)
    assert all(r["log_fitness_mean"] == 0 and r["load_archaic"] == 0 for r in records.trajectory)
    assert records.pulse[0]["fitness_archaic_relative"] == 1 and records.pulse[0]["log_load_difference"] == 0
    # its streams are its own branch's, so that it is paired with the run under selection in pulse and migration
    assert records.pulse[0]["realised"] == run(parts)[0].pulse[0]["realised"]


def test_fewer_generations_are_the_beginning_of_all(parts):
    whole = run(parts)[0]
    short = run(parts, last=66)[0]
    assert len(short.trajectory) == 7
    assert short.trajectory == whole.trajectory[:7]
    assert short.trajectory[-1]["generation"] == 7
    assert [labels["generation"] for labels, _ in short.landscape] == [2, 7]
    one = run(parts, last=60)[0]
    assert len(one.trajectory) == 1
    values = {r["measure"]: r["value"] for r in one.ancestors}
    assert values["headcount"] == values["pedigree_paths"] == values["genealogical"] == values["dna"] == 0.2


def test_sources_whose_pulse_is_still_to_come_have_no_rows(rich):
    records = run(rich, last=70)[0]
    assert {r["source"] for r in records.trajectory} == {"altai"}
    assert {r["source"] for r in records.ancestors} == {"altai"}
    assert [r["pulse"] for r in records.pulse] == ["first"]


def test_pulse_of_nobody(tmp_path):
    """A share of 0, and one so small that nobody comes."""
    for share in (0.0, 0.001):
        parts = small.Parts(small.scenario(pulse=[small.TREE["pulse"][0] | {"share": share}]), tmp_path)
        records, _ = run(parts, seed=3)
        assert records.pulse[0]["realised"] == 0 and records.pulse[0]["requested"] == share
        assert all(r["ancestry_mean"] == 0 and r["load_archaic"] == 0 for r in records.trajectory)
        values = {r["measure"]: r["value"] for r in records.ancestors}
        assert values["headcount"] == values["pedigree_paths"] == values["genealogical"] == values["dna"] == 0
        # what it would have cost is told all the same, from the parents
        assert records.pulse[0]["fitness_archaic_relative"] not in (0, 1)


def test_pulse_of_everybody(tmp_path):
    parts = small.Parts(small.scenario(pulse=[small.TREE["pulse"][0] | {"share": 1.0}]), tmp_path)
    records, _ = run(parts)
    assert records.pulse[0]["realised"] == 1
    assert all(r["ancestry_mean"] == 1 for r in records.trajectory)
    assert math.isnan(records.pulse[0]["fitness_archaic_relative"])
    values = {r["measure"]: r["value"] for r in records.ancestors}
    assert values["headcount"] == values["pedigree_paths"] == values["genealogical"] == values["dna"] == 1


@pytest.mark.parametrize("unit", ["individuals", "F1", "gametes"])
def test_pulse_into_the_first_cohort_of_a_deme(tmp_path, unit):
    block = small.start_times(
        small.demes(*DEMES[:2], ("archaic", ("ancestral",), [(20, 12)]), ("east", ("modern",), [(0, 20)])), east=31
    )
    pulse = {"source": "archaic", "target": "east", "time": 30, "share": 0.25, "unit": unit}
    parts = small.Parts(small.scenario(demography=block, pulse=[pulse]), tmp_path)
    assert parts.schedule.first_tick[parts.schedule.deme("east")] == parts.schedule.pulses[0].tick
    records, branch = run(parts)
    assert records.pulse[0]["realised"] == 0.25
    assert [r["deme"] for r in records.trajectory] == ["east"] * 31
    assert records.trajectory[0]["ancestry_mean"] == 0.25
    assert records.trajectory[0]["load_archaic"] > 0
    assert list(branch.world.demes) == [parts.schedule.deme("east")]


def test_only_demes_that_matter_are_simulated(rich):
    seen = {}
    run(rich, lambda branch, tick, cohorts, parents, before: seen.update({tick: sorted(branch.world.demes)}))
    name = rich.schedule.deme_names
    demes_at = {tick: {name[d] for d in demes} for tick, demes in seen.items()}
    assert demes_at[60] == {"modern", "altai", "denisova"}
    assert demes_at[67] == {"modern", "east", "altai", "denisova"}
    assert demes_at[71] == {"modern", "east", "altai", "denisova"}
    assert demes_at[74] == {"modern", "east", "denisova"}
    assert demes_at[75] == demes_at[90] == {"modern", "east"}


def test_spread_is_a_histogram_of_everybody(parts):
    shares = []

    def watch(branch, tick, cohorts, parents, before):
        if tick == 61:
            shares.append(branch.world.shares(parts.schedule.deme("modern"))[0])

    records, _ = run(parts, watch)
    counts = np.array([r["count"] for r in records.spread])
    assert counts.sum() == 40 and {r["generation"] for r in records.spread} == {2}
    assert np.array_equal(counts, np.histogram(shares[0], branch_module.SPREAD_BINS, (0, 1))[0])


def test_landscape_is_the_mean_over_people(parts):
    labels = {}

    def watch(branch, tick, cohorts, parents, before):
        labels[tick] = reference.labels_of(branch.world, parts.schedule.deme("modern"))

    records, _ = run(parts, watch)
    found = {row["generation"]: shares for row, shares in records.landscape}
    assert sorted(found) == [2, 31]
    for generation, shares in found.items():
        assert np.array_equal(shares, (labels[59 + generation] == 0).mean(axis=0))
