# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs, small: the same numbers however they are made, and options that do what they say."""

import pandas as pd
import pytest
import small

from admix import cache, results, run_pages, scenario, schedule, simulate
from admix.cli_run import put_together
from admix.engines.native import workers as workers_module
from admix.errors import InputError
from admix.simulate import RunOptions

TABLES = ("trajectory.tsv", "pulse.tsv", "ancestors.tsv", "landscape.tsv", "spread.tsv", "summary.json")
TWO = [{"name": "a", "set": {"pulse.share": 0.1}}, {"name": "b", "set": {"pulse.share": 0.3}}]


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(run_pages, "make", lambda path: None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A cache that runs share."""
    return tmp_path_factory.mktemp("cache")


def run(chosen, out, store, **options):
    given = {"threads": 1, "cache_dir": store} | options
    return simulate.run(chosen, RunOptions(out=out, **given))


def table(path, name="trajectory.tsv"):
    return pd.read_csv(path / name, sep="\t")


def assert_same(a, b):
    # a column of zeros is read as whole numbers
    pd.testing.assert_frame_equal(a, b, check_dtype=False)


def contents(path, names=TABLES):
    return {name: (path / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, shared):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        return run(small.scenario(branches=TWO), tmp_path_factory.mktemp("run") / "plain", shared)


def test_a_run_is_complete_and_leaves_nothing_else(plain, shared):
    assert results.validate_run(plain) == []
    assert [p.name for p in plain.parent.iterdir()] == ["plain"]
    frame = table(plain)
    assert set(frame.branch) == {"a", "b"} and set(frame.deme) == {"modern"} and set(frame.source) == {"archaic"}
    assert frame.groupby("branch").generation.apply(list).tolist() == [list(range(1, 32))] * 2
    assert frame.years_bp.iloc[-1] == 0 and frame.years_bp.iloc[0] == 30
    assert table(plain, "pulse.tsv").realised.tolist() == [0.1, 0.3]
    # both branches stand on one history: ancestor and two lineages
    assert len([e for e in cache.entries(shared) if e.finished]) == 3


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_a_cold_cache_change_no_byte(plain, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(workers_module, "_SMALL", 1)
    made = run(small.scenario(branches=TWO), tmp_path / "out", tmp_path / "cache", threads=threads)
    assert contents(made) == contents(plain)


def test_a_warm_cache_changes_no_byte(plain, shared, tmp_path):
    made = run(small.scenario(branches=TWO), tmp_path / "out", shared)
    assert contents(made) == contents(plain)
    history = results.read_run(made).provenance["history"]
    assert [h["from_cache"] for h in history] == [True, True]
    assert all(h["stage"] in h["load_slope"] and len(h["load_slope"]) == 2 for h in history)


def test_branches_do_not_depend_on_each_other(plain, shared, tmp_path):
    alone = table(run(small.scenario(branches=TWO[1:]), tmp_path / "out", shared))
    both = table(plain)
    assert_same(alone, both[both.branch == "b"].reset_index(drop=True))


def test_another_seed_has_other_numbers_on_the_same_history(plain, shared, tmp_path):
    other = run(small.scenario(branches=TWO), tmp_path / "out", shared, seed=2)
    a, b = table(plain), table(other)
    assert (a.ancestry_mean != b.ancestry_mean)[a.generation > 1].mean() > 0.9
    assert len([e for e in cache.entries(shared) if e.finished]) == 3


def test_generations(plain, shared, tmp_path):
    made = run(small.scenario(branches=TWO), tmp_path / "out", shared, generations=4)
    frame, whole = table(made), table(plain)
    expected = whole[whole.generation <= 4].reset_index(drop=True)
    assert_same(frame, expected)
    assert frame.generation.max() == 4 and set(table(made, "landscape.tsv").generation) == {2, 4}
    with pytest.raises(InputError, match=r"--generations: got 32; allowed: 1 to 31 \(today\) in branch a"):
        run(small.scenario(branches=TWO), tmp_path / "other", shared, generations=32)
    assert not (tmp_path / "other").exists()


def test_replicates_share_burnins_in_turn(plain, shared, tmp_path):
    made = run(small.scenario(branches=TWO[:1]), tmp_path / "out", shared, replicates=5, burnins=2, generations=6)
    assert table(made, "pulse.tsv").burnin.tolist() == [0, 1, 0, 1, 0]
    assert table(made).groupby("replicate").size().tolist() == [6] * 5
    frame = table(made)
    # replicate 0 of burn-in 0 is what a run of one replicate gives; all differ
    first = frame[frame.replicate == 0].reset_index(drop=True)
    whole = table(plain)
    assert_same(first, whole[(whole.branch == "a") & (whole.generation <= 6)].reset_index(drop=True))
    assert frame[frame.generation == 6].log_fitness_mean.nunique() == 5
    # whatever the number of replicates, a burn-in of a number is the same
    third = run(small.scenario(branches=TWO[:1]), tmp_path / "one", shared, replicates=2, burnin=1, generations=6)
    assert table(third, "pulse.tsv").burnin.tolist() == [1, 1]
    found, same = table(third), frame
    assert_same(found[found.replicate == 1].reset_index(drop=True), same[same.replicate == 1].reset_index(drop=True))
    fitness = table(made, "pulse.tsv").fitness_archaic_relative
    assert fitness.nunique() >= 2


def test_neutral_twin(plain, shared, tmp_path):
    made = run(small.scenario(branches=TWO), tmp_path / "out", shared, twin="neutral")
    frame, whole = table(made), table(plain)
    assert set(frame.twin) == {"none", "neutral"}
    assert_same(frame[frame.twin == "none"].reset_index(drop=True), whole)
    twin = frame[frame.twin == "neutral"]
    assert (twin.log_fitness_mean == 0).all() and (twin.load_archaic == 0).all()
    assert len(twin) == len(whole)
    pulse = table(made, "pulse.tsv")
    assert pulse[pulse.twin == "neutral"].realised.tolist() == [0.1, 0.3]
    assert results.validate_run(made) == []


def test_start(plain, shared, tmp_path):
    chosen = small.scenario(branches=TWO[:1], start={"mode": "stationary", "relax": 20, "ancestral_burnin": 0.6})
    forward = run(chosen, tmp_path / "out", shared, start="forward")
    assert results.read_run(forward).provenance["history"][0]["first_tick"] == 1
    assert scenario.load(forward / "scenario.yaml").run.start == "forward"
    assert not table(forward).equals(table(plain)[table(plain).branch == "a"])


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 7, "twin": "neutral", "generations": 9},
        {"seed": 2, "replicates": 3, "burnins": 2},
        {"burnin": 1, "start": "forward", "replicates": 2, "generations": 3},
    ],
)
def test_the_scenario_in_a_run_directory_runs_again_to_the_same_bytes(shared, tmp_path, options):
    chosen = small.scenario(branches=TWO, start={"mode": "stationary", "relax": 20, "ancestral_burnin": 0.5})
    made = run(chosen, tmp_path / "out", shared, **options)
    nothing = dict.fromkeys(
        ("seed", "replicates", "burnins", "burnin", "generations", "start", "threads", "twin"), None
    )
    again = put_together(
        scenario.load(made / "scenario.yaml"), nothing, out=str(tmp_path / "again"), force=False, cache_dir=str(shared)
    )
    other = simulate.run(scenario.load(made / "scenario.yaml"), again)
    assert contents(other, (*TABLES, "scenario.yaml")) == contents(made, (*TABLES, "scenario.yaml"))


def test_existing_output_is_refused_before_anything_is_computed(plain, tmp_path):
    before = contents(plain, (*TABLES, "manifest.json"))
    with pytest.raises(InputError, match="--force"):
        run(small.scenario(), plain, tmp_path / "cache")
    assert not (tmp_path / "cache").exists() and contents(plain, (*TABLES, "manifest.json")) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="--out"):
            run(small.scenario(), tmp_path / "mine", tmp_path / "cache", force=force)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_force_replaces_a_run_with_a_whole_one(shared, tmp_path):
    first = run(small.scenario(), tmp_path / "out", shared, generations=3)
    assert len(table(first)) == 3
    second = run(small.scenario(), tmp_path / "out", shared, generations=4, force=True)
    assert first == second and len(table(second)) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


# ---------------------------------------------------------------------- demographies

ROOT, MODERN = ("ancestral", (), [(90, 40)]), ("modern", ("ancestral",), [(0, 40)])
ARCHAIC = ("archaic", ("ancestral",), [(30, 12)])
PULSE = small.TREE["pulse"][0]


def living_root():
    rows = ("ancestral", (), [(0, 40)]), MODERN, ARCHAIC
    return {"demography": small.start_times(small.demes(*rows), modern=90, archaic=90)}


def pulse_into_a_living_root():
    rows = ("modern", (), [(0, 40)]), ("archaic", ("modern",), [(30, 12)])
    return {"demography": small.start_times(small.demes(*rows), archaic=90)}


def two_archaic_demes():
    rows = (
        ROOT,
        MODERN,
        ("stem", ("ancestral",), [(70, 10)]),
        ("west", ("stem",), [(20, 8)]),
        ("east", ("stem",), [(20, 9)]),
    )
    pulses = [PULSE | {"name": "one", "source": "west"}, PULSE | {"name": "two", "source": "east", "time": 25}]
    return {"demography": small.demes(*rows), "pulse": pulses}


def both_at_once():
    found = two_archaic_demes()
    found["pulse"][1]["time"] = 30
    return found


def size_changes():
    rows = ROOT, ("modern", ("ancestral",), [(60, 40), (35, 15), (30, 60), (0, (60, 150))]), ARCHAIC
    return {"demography": small.demes(*rows)}


def shrinking():
    rows = (
        ROOT,
        ("modern", ("ancestral",), [(25, 40), (0, (40, 11))]),
        ("archaic", ("ancestral",), [(50, (40, 12)), (30, 12)]),
    )
    return {"demography": small.demes(*rows)}


def two_recipients():
    rows = ROOT, MODERN, ARCHAIC, ("africa", ("ancestral",), [(0, 30)])
    moves = [("modern", "africa", 0.05, 85, 0), ("africa", "modern", 0.02, 85, 0)]
    return {"demography": small.demes(*rows, migrations=moves)}


def split_after_the_pulse():
    rows = ROOT, MODERN, ARCHAIC, ("asia", ("modern",), [(0, 25)]), ("europe", ("modern",), [(0, (10, 40))])
    return {"demography": small.start_times(small.demes(*rows), asia=20, europe=15)}


def recipient_that_ends_in_two():
    rows = (
        ROOT,
        ("modern", ("ancestral",), [(20, 40)]),
        ARCHAIC,
        ("asia", ("modern",), [(0, 25)]),
        ("europe", ("modern",), [(0, 20)]),
    )
    return {"demography": small.demes(*rows)}


def recipient_that_dies_out():
    rows = ROOT, MODERN, ("archaic", ("ancestral",), [(20, 12)]), ("lost", ("ancestral",), [(10, 9)])
    pulses = [PULSE | {"name": "one"}, PULSE | {"name": "two", "target": "lost", "time": 29}]
    moves = [("lost", "modern", 0.05, 25, 10)]
    return {"demography": small.demes(*rows, migrations=moves), "pulse": pulses}


def merged_recipient():
    rows = (
        ROOT,
        ("west", ("ancestral",), [(15, 20)]),
        ("south", ("ancestral",), [(15, 20)]),
        ("modern", ("west", "south"), [(0, 30)]),
        ARCHAIC,
    )
    block = small.start_times(small.demes(*rows), modern=15)
    return {"demography": block, "pulse": [PULSE | {"target": "west"}]}


def many_pulses():
    pulses = [
        PULSE | {"name": f"p{t}", "time": t, "share": 0.02, "mode": "binomial", "unit": unit}
        for t, unit in zip(range(40, 30, -1), ["individuals", "F1", "gametes"] * 4, strict=False)
    ]
    return {"pulse": pulses}


VARIANTS = {
    f.__name__: f
    for f in (
        living_root, pulse_into_a_living_root, two_archaic_demes, both_at_once, size_changes, shrinking, two_recipients,
        split_after_the_pulse, recipient_that_ends_in_two, recipient_that_dies_out, merged_recipient, many_pulses,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_demographies_run(tmp_path, name, monkeypatch):
    """Each runs whole, in either start, gives the same bytes on three threads, and counts what adds up."""
    changes = VARIANTS[name]()
    changes["start"] = {"mode": "stationary", "relax": 5, "ancestral_burnin": 0.2}
    changes["sampling"] = {"ancestors_at": [60, 45], "landscape_generations": [2], "spread_generations": [2]}
    chosen = small.scenario(**changes)
    made = run(chosen, tmp_path / "out", tmp_path / "cache", twin="neutral")
    assert results.validate_run(made) == []
    monkeypatch.setattr(workers_module, "_SMALL", 1)
    other = run(chosen, tmp_path / "other", tmp_path / "cache2", twin="neutral", threads=3)
    assert contents(other) == contents(made)
    forward = run(chosen, tmp_path / "forward", tmp_path / "cache", start="forward")
    assert results.validate_run(forward) == []

    frame, clock = table(made), schedule.compile(chosen)
    names = clock.deme_names
    for (source, deme), rows in frame[frame.twin == "none"].groupby(["source", "deme"]):
        d, s = names.index(deme), names.index(source)
        first = clock.recipients(s)[d]
        last = min(clock.today, int(clock.last_tick[d]))
        assert rows.generation.tolist() == [clock.generation(t, s) for t in range(first, last + 1)]
        assert rows.n_individuals.tolist() == clock.sizes(d, first, last).tolist()
    assert {(r.source, r.deme) for r in frame.itertuples()} == {
        (names[s], names[d]) for s in clock.sources() for d in clock.recipients(s)
    }
    sums = frame.groupby(["twin", "deme", "years_bp"]).ancestry_mean.sum()
    assert sums.max() <= 1 + 1e-12
    ancestors = table(made, "ancestors.tsv")
    values = ancestors.pivot(index=["twin", "source"], columns="measure", values="value")
    assert ((values >= 0) & (values <= 1)).all().all()
    per_twin = values.groupby("twin")[["pedigree_paths", "dna", "genealogical@0.06ka"]].sum()
    assert (per_twin[["pedigree_paths", "dna"]] <= 1 + 1e-12).all().all()
    assert len(table(made, "pulse.tsv")) == 2 * len(chosen.pulse)


def test_pedigree_paths_and_dna_agree_in_the_mean_without_selection(tmp_path, shared):
    """In the neutral twin each path back carries the same DNA: the mean of dna - pedigree_paths over replicates
    is 0, by its own scatter (4 standard errors of 30 replicates)."""
    chosen = small.scenario()
    made = run(chosen, tmp_path / "out", shared, twin="neutral", replicates=30)
    values = table(made, "ancestors.tsv")
    values = values[values.twin == "neutral"].pivot(index="replicate", columns="measure", values="value")
    difference = values.dna - values.pedigree_paths
    assert abs(difference.mean()) < 4 * difference.std() / 30**0.5
    # and both stay at the pulse's share in the mean
    assert abs(values.dna.mean() - 0.2) < 4 * values.dna.std() / 30**0.5
