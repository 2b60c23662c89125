# SPDX-License-Identifier: GPL-3.0-or-later
"""The SLiM engine with the program itself: one state in both engines, pulses, trees, and what used to fail in silence.

The faults are those that were measured in SLiM, pyslim and tskit (census in the wrong tick, retention that keeps
coalescent nodes only, fixed mutations on another chromosome, mutation ids that collide): each is brought about here,
and must be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small import Parts, demes, scenario, start_times, tree

from admix import genealogies, trees
from admix.ancestry import labels_at
from admix.base_axis import base_axis
from admix.cache import Cache
from admix.engines.native.branch import BranchPlan
from admix.engines.native.snapshot import unpack_worlds
from admix.engines.native.world import World
from admix.engines.slim import program
from admix.engines.slim.branch import Output, SlimBranch, fixed_in_all, sampled
from admix.engines.slim.genealogy import chromosome_records, marker_labels
from admix.engines.slim.history import SlimHistory, slim_stages
from admix.engines.slim.model import SCRIPT
from admix.errors import RunError

SLIM = program.find()
pytestmark = [
    pytest.mark.slim,
    pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH, in $SLIM or named otherwise"),
]

# two sources that come twice, as F1 and as gametes, and migration out of one of them
PULSES = [
    {"name": "a", "source": "archaic", "target": "modern", "time": 30, "share": 0.2},
    {"name": "b", "source": "other", "target": "modern", "time": 25, "share": 0.1, "unit": "F1"},
    {"name": "c", "source": "archaic", "target": "modern", "time": 20, "share": 0.1, "unit": "gametes"},
    {"name": "d", "source": "other", "target": "modern", "time": 20, "share": 0.1, "mode": "binomial"},
]
DEMES = demes(
    ("ancestral", (), [(90, 40)]), ("modern", ("ancestral",), [(0, 40)]), ("archaic", ("ancestral",), [(8, 12)]),
    ("other", ("ancestral",), [(15, (20, 10))]),
    migrations=[("archaic", "modern", 0.05, 18, 12), ("modern", "archaic", 0.02, 28, 10)],
)  # fmt: skip
MANY = {
    "demography": DEMES, "pulse": PULSES,
    "sampling": {
        "individuals": [{"deme": "modern", "time": 0, "n": 6}, {"deme": "modern", "time": 19, "n": 3},
                        {"deme": "archaic", "time": 9, "n": 2}],
        "ancestors_at": [40], "landscape_generations": [2], "spread_generations": [2],
    },
}  # fmt: skip


@dataclass
class Ran:
    """A branch that SLiM has run, and its folder."""

    branch: SlimBranch
    parts: Parts
    folder: Path
    lineages: list

    @property
    def genome(self):
        return self.branch.genome

    def write_trees(self, place: Path) -> list[Path]:
        plan, clock = self.branch.plan, self.parts.schedule
        labels = trees.TreeLabels.from_schedule(
            clock, branch="b", replicate=0, twin=plan.twin, seed=plan.seed, chroms=self.genome.chroms,
            last_tick=plan.last, samples=[(d, t, len(w)) for t in sorted(plan.samples)
                                          for d, w in sorted(plan.samples[t].items())],
        )  # fmt: skip
        return genealogies.write_trees(
            chromosome_records(self.branch, self.folder / "out", self.genome), labels, self.genome,
            marker_labels(self.branch, self.folder / "out", self.genome), lambda chrom: place / f"chr{chrom}.tsz",
        )  # fmt: skip


def play(folder: Path, changes: dict, *, seed=1, twin="none", script=SCRIPT, with_trees=True, cache=None) -> Ran:
    parts = Parts(scenario(**changes), cache or folder / "cache")
    made = parts.history().make(parts.stages)
    lineages = [made[stage.name][0] for stage in parts.stages[1:]]
    clock = parts.schedule
    rng = np.random.default_rng(seed)
    samples = {}
    for d, t, n in clock.individuals if with_trees else ():
        samples.setdefault(t, {})[d] = np.sort(rng.choice(clock.size(d, t), n, replace=False))
    plan = BranchPlan(
        branch="b", replicate=0, twin=twin, seed=seed, burnin=0, last=clock.today, landscape_generations=(2,),
        spread_generations=(2,), samples=samples,
    )  # fmt: skip
    s = parts.scenario
    branch = SlimBranch(
        clock, parts.tables, s.build_genome(), parts.workers, plan, s.build_selection().mutation_rate,
        trees=bool(samples),
    )  # fmt: skip
    branch.run_in(folder / "run", str(SLIM), lineages, script=script)
    return Ran(branch, parts, folder / "run", lineages)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return play(tmp_path_factory.mktemp("many"), MANY)


@pytest.fixture(scope="module")
def files(many, tmp_path_factory):
    paths = many.write_trees(tmp_path_factory.mktemp("trees"))
    return {chrom: trees.load(path) for chrom, path in zip(many.genome.chroms, paths, strict=True)}


# ---- the same state in both engines


def test_both_engines_see_the_same_fitness(many):
    """Everybody's log fitness at the pulse, to single precision of some hundred effects."""
    out = Output.read(many.folder / "out")
    world = World(many.parts.tables, many.parts.schedule.deme_names, lambda a, b: 0, many.parts.workers)
    unpack_worlds(world, many.lineages)
    everywhere = set(world.demes[1].fixed.tolist())
    for d in many.branch.demes:
        everywhere &= set(world.demes[d].fixed.tolist())
    dropped = float(np.log1p(world.mutations["s"][sorted(everywhere)]).sum())
    for d in (1, 2):
        assert out.people[59, d] + dropped == pytest.approx(world.log_fitness(d), abs=2e-5)
    # and a wrong dominance would be seen
    wrong = world.log_fitness(2) + 1e-3
    assert np.abs(out.people[59, 2] + dropped - wrong).max() > 9e-4


def test_pulses_bring_what_they_should(many):
    rows = {row["pulse"]: row for row in many.branch.records.pulse}
    n = {t: many.parts.schedule.size(1, t) for t in (60, 65, 70)}
    assert rows["a"]["realised"] == 0.2 and rows["b"]["realised"] == 4 / (2 * n[65]) * 2
    assert rows["c"]["realised"] == 8 / (2 * n[70])
    first = next(r for r in many.branch.records.trajectory if r["source"] == "archaic" and r["generation"] == 1)
    assert first["ancestry_mean"] == pytest.approx(0.2, abs=1e-12)
    assert (first["ancestry_p05"], first["ancestry_p95"]) == (0, 1)
    born = {(r["source"], r["deme"], r["generation"]): r for r in many.branch.records.trajectory}
    before, after = born["archaic", "modern", 10], born["archaic", "modern", 11]
    assert after["ancestry_mean"] > before["ancestry_mean"] * 0.5 + 0.05
    assert born["other", "modern", 1]["ancestry_mean"] == pytest.approx(0.1, abs=1e-12)
    # F1 children have exactly half
    assert born["other", "modern", 1]["ancestry_p95"] == pytest.approx(0.5)
    assert {r["deme"] for r in many.branch.records.trajectory if r["source"] == "archaic"} == {"modern"}


def test_rows_are_complete_and_ancestors_add_up(many):
    generations = [r["generation"] for r in many.branch.records.trajectory if r["source"] == "archaic"]
    assert generations == list(range(1, 32))
    found = {(r["source"], r["measure"]): r["value"] for r in many.branch.records.ancestors}
    assert found["archaic", "headcount"] == 0.2 and 0 < found["archaic", "genealogical"] < 1
    last = {r["source"]: r["ancestry_mean"] for r in many.branch.records.trajectory if r["generation"] == 31}
    assert found["archaic", "dna"] == pytest.approx(last["archaic"], rel=1e-6)
    assert 0 < found["archaic", "genealogical@0.04ka"] < 1
    loads = [r["load_archaic"] for r in many.branch.records.trajectory if r["source"] == "archaic"]
    assert all(load > 0 for load in loads)


def test_the_same_seed_gives_the_same_numbers(many, tmp_path):
    again = play(tmp_path, MANY, cache=many.parts.cache.directory)
    assert again.branch.records.trajectory == many.branch.records.trajectory
    other = play(tmp_path / "other", MANY, seed=2, cache=many.parts.cache.directory)
    assert other.branch.records.trajectory != many.branch.records.trajectory


def test_the_neutral_twin_has_no_selection(tmp_path):
    ran = play(tmp_path, {}, twin="neutral", with_trees=False)
    rows = ran.branch.records.trajectory
    assert {r["log_fitness_mean"] for r in rows} == {0.0} and {r["load_archaic"] for r in rows} == {0.0}
    out = Output.read(ran.folder / "out")
    assert all(value == 0 for value in out.fitness.values()) and rows[1]["ancestry_mean"] != 0.2


# ---- trees


def test_trees_hold_what_the_haplotypes_carry(many, files):
    """Mutation by mutation: who has it by the tree has it in SLiM, on every chromosome, and nothing else."""
    number = {who: k for k, who in enumerate(sampled(many.branch.plan))}
    real: dict[tuple[str, int], set[int]] = {}
    for line in (many.folder / "out" / "carried.tsv").read_text().splitlines():
        tick, deme, who, _, chrom, strand, *ids = map(int, line.split("\t"))
        real[many.genome.chroms[chrom - 1], 2 * number[tick, deme, who] + strand] = set(ids)
    # standing ones by their row in the native table; SLiM was not told of those that everybody had
    arrays, written = many.branch.arrays, many.branch.written
    everywhere = {2**61 + i for i in np.flatnonzero(fixed_in_all(arrays, many.branch.demes)).tolist()}
    real = {k: {2**61 + int(written[i]) if i < len(written) else i for i in ids} for k, ids in real.items()}
    seen_new = 0
    for chrom, ts in files.items():
        own = {k: set() for k in range(ts.num_samples)}
        for variant in ts.variants():
            for k, allele in enumerate(variant.genotypes):
                state = variant.alleles[allele]
                own[k] |= {int(x) for x in state.split(",")} if state else set()
        for k in range(ts.num_samples):
            assert own[k] - everywhere == real[chrom, k]
            seen_new += sum(i < 2**61 for i in own[k])
    assert seen_new > 100
    # SLiM issue 649: no mutation is on two chromosomes
    ids = [set(trees.mutations(ts).id.tolist()) for ts in files.values()]
    assert not set.intersection(*ids)


def test_trees_are_whole_and_agree_with_the_markers(many, files):
    axis = base_axis(many.genome)
    expected = marker_labels(many.branch, many.folder / "out", many.genome)
    assert (expected == 1).any() and (expected == 2).any() and (expected == 0).any()
    for c, (chrom, ts) in enumerate(files.items()):
        here = axis.marker_chrom == c
        assert (labels_at(ts, axis.marker_bp[here], sources=["archaic", "other"]) == expected[:, here]).all()
        length = int(many.genome.window_end[many.genome.window_chrom == c][-1])
        trees.validate(ts, chrom, chrom=chrom, length=length)
        assert ts.num_samples == 22 and trees.sample_names(ts)[:3] == ["modern-19_0", "modern-19_1", "modern-19_2"]
    assert many.genome.chroms == ("21", "22")


def test_one_chromosome_makes_a_file_not_a_folder(tmp_path):
    one = {"genome": tree()["genome"] | {"chromosomes": [22]},
           "sampling": {"individuals": [{"deme": "modern", "time": 0, "n": 2}]}}  # fmt: skip
    ran = play(tmp_path, one)
    assert (ran.folder / "out" / "trees").is_file()
    (path,) = ran.write_trees(tmp_path / "trees")
    assert trees.load(path).num_samples == 4


def changed_script(path: Path, old: str, new: str) -> Path:
    text = SCRIPT.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


SILENT = "sim.treeSeqRememberIndividuals(deme(d).individuals, permanent=F);"


@pytest.mark.parametrize(
    ("old", "new"),
    [(SILENT, 'catn("nobody is remembered");'), ("retainCoalescentOnly=F", "retainCoalescentOnly=T")],
    ids=["no census", "coalescent nodes only"],
)
def test_a_census_that_fails_in_silence_is_seen(many, tmp_path, old, new):
    script = changed_script(tmp_path / "wrong.slim", old, new)
    ran = play(tmp_path, MANY, script=script, cache=many.parts.cache.directory)
    with pytest.raises(RunError, match=r"[\d,]+ edges pass the census of tick (64|69) without a node"):
        ran.write_trees(tmp_path / "trees")
    assert not list((tmp_path / "trees").glob("*"))


def test_a_census_in_the_wrong_tick_is_seen(many, tmp_path, monkeypatch):
    """Everybody remembered a tick late, when the pulse's children are there and carry the target's label."""
    ask = SlimBranch._ask

    def late(self, model):
        ask(self, model)
        model.events = [(t + 1, what, d) if what == "census" else (t, what, d) for t, what, d in model.events]

    monkeypatch.setattr(SlimBranch, "_ask", late)
    ran = play(tmp_path, MANY, cache=many.parts.cache.directory)
    with pytest.raises(RunError, match=r"[\d,]+ edges pass the census of tick (64|69) without a node"):
        ran.write_trees(tmp_path / "trees")


def test_marks_that_are_missing_are_seen(many, tmp_path):
    """Without marks on what a pulse brings, the trees say otherwise, and no tree is written."""
    script = changed_script(tmp_path / "wrong.slim", "\t\t\t\tif (q >= 0)\n", "\t\t\t\tif (q >= 0 & k < 0)\n")
    ran = play(tmp_path, MANY, script=script, cache=many.parts.cache.directory)
    with pytest.raises(RunError, match="labels differ from the markers of the simulation"):
        ran.write_trees(tmp_path / "trees")


def test_a_mutation_that_is_not_on_the_genealogy_is_seen(many, tmp_path):
    carried = many.folder / "out" / "carried.tsv"
    kept = carried.read_text()
    lines = kept.splitlines()
    standing = len(many.branch.written)
    new = next(w for line in lines for w in line.split("\t")[6:] if int(w) >= standing)
    try:
        chrom = next(line.split("\t")[4] for line in lines if new in line.split("\t")[6:])
        one = next(
            k for k, line in enumerate(lines) if new not in line.split("\t")[6:] and line.split("\t")[4] == chrom
        )
        carried.write_text("\n".join([*lines[:one], f"{lines[one]}\t{new}", *lines[one + 1 :]]) + "\n")
        with pytest.raises(RunError, match="does not fit the genealogy that SLiM recorded"):
            many.write_trees(tmp_path / "trees")
    finally:
        carried.write_text(kept)


# ---- histories


def test_a_history_made_in_slim(tmp_path):
    """The stages of the native engine, with pedigree, fixed mutations and a load that belongs to the haplotypes."""
    demography = start_times(
        demes(("ancestral", (), [(90, 40)]), ("modern", ("ancestral",), [(0, (40, 60))]),
              ("archaic", ("ancestral",), [(30, 12)])),
    )  # fmt: skip
    parts = Parts(scenario(demography=demography), tmp_path)
    stages = slim_stages(parts.stages, "5.2")
    s = parts.scenario
    history = SlimHistory(
        parts.schedule, parts.tables, parts.workers, parts.cache, lambda *told: None, parts.spectrum,
        s.build_genome(), s.build_selection().mutation_rate, str(SLIM), tmp_path / "scratch",
    )  # fmt: skip
    made = history.make(stages)
    assert set(made) == {"modern", "archaic"}
    for stage in stages[1:]:
        arrays, meta = made[stage.name]
        world = World(parts.tables, parts.schedule.deme_names, lambda a, b: 0, parts.workers)
        unpack_worlds(world, [arrays])
        (d,) = world.demes
        assert world.demes[d].n == parts.schedule.size(d, stage.last) and meta["from_cache"] is False
        assert meta["curve"][-1][0] == stage.last
        assert world.log_fitness(d).mean() == pytest.approx(meta["curve"][-1][2], abs=2e-5)
        assert (arrays["mutation_born"] <= stage.last).all() and (arrays["mutation_born"] > 0).any()
        assert len(np.unique(arrays["mutation_uid"])) == len(arrays["mutation_uid"])
        # an id that SLiM gave must not be that of a mutation which it was not told of
        fixed = arrays[f"deme{d}_fixed"]
        assert len(fixed) and not np.isin(fixed, [*arrays[f"deme{d}_ids"], *arrays[f"deme{d}_rare"]]).any()
    assert {f"ticks{d}" for d in (1, 2)} <= set(made["modern"][0]) | set(made["archaic"][0])
    again = history.make(stages)
    for name, (arrays, meta) in again.items():
        assert meta["from_cache"] and all(np.array_equal(arrays[k], made[name][0][k]) for k in arrays)
    assert not list((tmp_path / "scratch").glob(".slim-*"))


def test_a_history_that_was_killed_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    """Saved every six ticks; ended in the middle, with more written than the last save holds."""
    from admix.engines.slim import history as module

    monkeypatch.setattr(module, "_SAVE_PEOPLE", 0)
    monkeypatch.setattr(module, "_SAVE_LEAST", 6)
    parts = Parts(scenario(), tmp_path)
    s = parts.scenario
    stages = slim_stages(parts.stages, "5.2")

    def history(folder):
        return SlimHistory(
            parts.schedule, parts.tables, parts.workers, Cache(folder, print), lambda *told: None, parts.spectrum,
            s.build_genome(), s.build_selection().mutation_rate, str(SLIM), folder / "scratch",
        )  # fmt: skip

    whole = history(tmp_path / "whole").make(stages)
    seen, real = [], program.run

    resumed = []

    def interrupted(words, log, progress=lambda tick: None, warn=print):
        resumed.append('RESUME=""' not in words)

        def stop(tick):
            progress(tick)
            seen.append(tick)
            if len(seen) == 4:
                raise KeyboardInterrupt

        real(words, log, stop if len(seen) < 4 else progress, warn)

    monkeypatch.setattr(program, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        history(tmp_path / "broken").make(stages)
    (left,) = (tmp_path / "broken" / "scratch").glob("slim-*")
    assert (left / "out" / "saves.tsv").exists() and not (left / "process").exists()
    with (left / "out" / "fitness.tsv").open("a") as file:
        file.write("1000\t1\t40\t-9\n1001\t1")
    again = history(tmp_path / "broken").make(stages)
    assert resumed == [False, True, False, False]  # the ancestor from its save, then both lineages
    for name, (arrays, meta) in whole.items():
        assert meta["curve"] == again[name][1]["curve"]
        for key in arrays:
            assert np.array_equal(arrays[key], again[name][0][key]), key
    assert not list((tmp_path / "broken" / "scratch").iterdir())
