# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the coalescent engine: the run directory, what other commands make of it, what is refused."""

import threading

import numpy as np
import pandas as pd
import pytest
import small

from admix import ancestry_run, background, coalescent_run, recapitation, results, run_pages, scenario, simulate, trees
from admix.ancestry import labels_at
from admix.base_axis import base_axis
from admix.cli_run import put_together
from admix.errors import InputError, RunError
from admix.progress import Progress
from admix.run_exports import export_labels, export_vcf
from admix.run_plan import RunOptions, resolved
from admix.run_trees import tree_files
from admix.statistics import run_statistics

PEOPLE = [
    {"deme": "modern", "time": 0, "n": 4},
    {"deme": "modern", "time": 20, "n": 2},
    {"deme": "modern", "time": 30, "n": 1},
]
TWO = [{"name": "a", "set": {"pulse.share": 0.1}}, {"name": "b", "set": {"pulse.share": 0.4}}]
NEUTRAL = {"mutation_rate": 2e-7, "dfe": {"kind": "neutral"}, "dominance": 0.5}
TABLES = ("trajectory.tsv", "pulse.tsv", "ancestors.tsv", "landscape.tsv", "spread.tsv", "summary.json")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(run_pages, "make", lambda path: None)


def chosen(**changes):
    given = {"sampling": {"individuals": PEOPLE}, "branches": TWO}
    return small.scenario(**(given | changes))


def neutral(**changes):
    people = [*PEOPLE, {"deme": "archaic", "time": 40, "n": 1}]
    return chosen(**({"selection": NEUTRAL, "sampling": {"individuals": people}, "branches": []} | changes))


def run(which, out, **options):
    return simulate.run(which, RunOptions(out=out, engine="msprime", **({"threads": 1} | options)))


def table(path, name="trajectory.tsv"):
    return pd.read_csv(path / name, sep="\t", dtype={"chrom": str})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        folder = tmp_path_factory.mktemp("runs")
        return {
            "twin": run(chosen(), folder / "twin", twin="neutral", replicates=2),
            "whole": run(neutral(), folder / "whole"),
        }


def test_a_run_is_complete(made):
    path = made["twin"]
    assert results.validate_run(path) == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["twin", "whole"]
    read = results.read_run(path)
    assert read.provenance["engine"] == "msprime"
    assert read.scenario.run.engine == "msprime" and read.scenario.run.twin == "neutral"
    frame = table(path)
    assert set(frame.twin) == {"neutral"} and set(frame.deme) == {"modern"}
    assert frame.groupby(["branch", "replicate"]).generation.apply(list).tolist() == [[1, 11, 31]] * 4
    assert frame.groupby("generation").n_individuals.first().tolist() == [1, 2, 4]
    assert frame[frame.generation == 31].years_bp.eq(0).all()
    assert table(path, "pulse.tsv").burnin.tolist() == [0, 0, 1, 1]
    assert set(table(path, "ancestors.tsv").measure) == {"headcount", "dna"}


def test_tables_say_what_the_trees_say(made):
    """Ancestry of the trajectory, the landscape and ancestors.tsv, read off the tree files again."""
    read = results.read_run(made["twin"])
    genome = read.scenario.build_genome()
    axis = base_axis(genome)
    marks = []
    for file in tree_files(read, branch="b", replicate=1, twin="neutral"):
        at = axis.marker_bp[axis.marker_chrom == genome.chroms.index(file.chrom)]
        marks.append(labels_at(file.load(), at, sources=["archaic"]) == 1)
    every = np.concatenate(marks, axis=1)
    assert every.shape[0] == 14 and 0.05 < every.mean() < 0.95
    shares = every @ genome.marker_weight / genome.marker_weight.sum()
    today = table(made["twin"]).query("branch == 'b' and replicate == 1 and generation == 31").iloc[0]
    people = shares[6:].reshape(4, 2).mean(axis=1)
    assert today.ancestry_mean == pytest.approx(people.mean(), rel=1e-8)
    assert today.ancestry_sd == pytest.approx(people.std(), rel=1e-8)
    dna = table(made["twin"], "ancestors.tsv").query("branch == 'b' and replicate == 1 and measure == 'dna'")
    assert dna.value.iloc[0] == pytest.approx(people.mean(), rel=1e-8)
    land = table(made["twin"], "landscape.tsv").query("branch == 'b' and replicate == 1 and generation == 31")
    assert land.ancestry.to_numpy()[genome.marker_window] == pytest.approx(every[6:].mean(axis=0), abs=1e-9)


def test_a_neutral_scenario_has_whole_genealogies_and_mutations(made):
    read = results.read_run(made["whole"])
    assert results.validate_run(made["whole"]) == []
    assert set(table(made["whole"]).twin) == {"none"}
    for file in tree_files(read):
        ts = file.load()
        assert all(tree.num_roots == 1 for tree in ts.trees()) and ts.num_mutations > 500
    assert "archaic-40_0" in trees.sample_names(ts)


def test_what_other_commands_make_of_it(made):
    read = results.read_run(made["whole"])
    assert set(ancestry_run.write_ancestry(read)[0].groups.deme) == {"archaic", "modern"}
    found = run_statistics(read)
    # nothing is said of the ancestry of people whom the source has not reached, and nobody is left out
    assert set(found.tables["tracts"].deme) == {"modern"} and len(found.tables["people"]) == 8
    assert found.tables["people"].query("deme == 'archaic'").ancestry.tolist() == [0.0]
    assert not any("archaic in archaic" in note for note in found.notes)
    assert export_vcf(read, chroms=["22"])[0].sites > 500
    assert export_labels(read, step=100_000)
    with pytest.raises(RunError, match=r"have all met already .* use it as it is"):
        recapitation.recapitate_run(read, chroms=["22"])
    assert not (made["whole"] / "derived" / "recapitated").exists()
    # the twin's trees end at the pulse, and can be recapitated
    twin = results.read_run(made["twin"])
    ts = trees.load(recapitation.recapitate_run(twin, chroms=["22"], branch="a", replicate=0)[0])
    assert all(tree.num_roots == 1 for tree in ts.trees())


def test_numbers_do_not_depend_on_threads_and_repeat_from_the_scenario_file(made, tmp_path):
    again = scenario.load(str(made["whole"] / "scenario.yaml"))
    nothing = dict.fromkeys(
        "engine seed replicates burnins burnin generations start twin trees trees_to keep_parents threads".split()
    )
    options = put_together(again, nothing | {"threads": 3}, out=str(tmp_path / "x"), force=False, cache_dir=None)
    assert options.engine == "msprime"
    other = simulate.run(again, options)
    for name in TABLES:
        assert (other / name).read_bytes() == (made["whole"] / name).read_bytes()
    third = run(neutral(), tmp_path / "y", seed=2)
    assert (third / "trajectory.tsv").read_bytes() != (other / "trajectory.tsv").read_bytes()


def test_another_engine_forgets_what_a_file_says_of_its_run(tmp_path):
    written = resolved(chosen(), RunOptions(out=tmp_path, twin="neutral", seed=7))
    assert written.run.engine == "native" and written.run.start and written.run.burnins == 1
    nothing = dict.fromkeys(["burnin", "burnins", "twin", "trees", "start"]) | {"engine": "msprime"}
    options = put_together(written, nothing, out=None, force=False, cache_dir=None)
    assert (options.engine, options.seed, options.twin, options.start) == ("msprime", 7, "neutral", None)
    assert simulate.estimate(written, options).seconds_cached is None


def test_generations_and_no_trees(tmp_path):
    path = run(chosen(), tmp_path / "x", twin="neutral", generations=5, trees=False)
    assert not (path / "trees").exists()
    assert table(path).generation.unique().tolist() == [1, 5]
    assert table(path).query("generation == 5").n_individuals.tolist() == [6, 6]


def test_trees_to_the_split(tmp_path):
    path = run(chosen(branches=TWO[:1]), tmp_path / "x", twin="neutral", trees_to="split")
    ts = tree_files(results.read_run(path))[0].load()
    assert ts.max_root_time == 90 and ts.metadata["admix"]["recorded_from_tick"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"--engine: got 'msprime'; allowed: native, as small has selection; or add --twin neutral"),
        ({"burnin": 1}, r"--burnin: got 1; allowed: left out with --engine msprime"),
        ({"burnins": 2, "replicates": 2}, r"--burnins: got 2; allowed: left out"),
        ({"start": "forward"}, r"--start: got 'forward'; allowed: left out"),
        ({"keep_parents": True}, r"--keep-parents: got True; allowed: left out"),
        ({"twin": "neutral", "generations": 32}, r"--generations: got 32; allowed: 1 to 31 \(today\) in branch a"),
        ({"twin": "neutral", "trees": False, "trees_to": "split"}, r"--trees-to: got 'split'; allowed: together with"),
        ({"engine": "slimm"}, r"engine: got 'slimm'; allowed: native or slim or msprime"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_refusals(tmp_path, given, message):
    options = RunOptions(**({"out": tmp_path / "x", "engine": "msprime"} | given))
    for call in (simulate.run, simulate.estimate):
        with pytest.raises(InputError, match=message):
            call(chosen(), options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([], r"sampling.individuals: allowed: at least one block .* of people of modern since the first pulse"),
        ([{"deme": "archaic", "time": 40, "n": 1}], r"of people of modern since the first pulse"),
        ([*PEOPLE, {"deme": "modern", "time": 31, "n": 1}], r"modern 31 years ago'; allowed: dates from 30 years ago"),
    ],
)
def test_people_who_cannot_be_sampled(tmp_path, people, message):
    with pytest.raises(InputError, match=message):
        run(chosen(sampling={"individuals": people}), tmp_path / "x", twin="neutral")


def test_an_existing_directory_is_kept(made, tmp_path):
    before = (made["twin"] / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="--force to replace it"):
        run(chosen(), made["twin"], twin="neutral")
    assert (made["twin"] / "manifest.json").read_bytes() == before
    path = run(chosen(branches=TWO[:1]), tmp_path / "x", twin="neutral")
    run(chosen(branches=TWO[1:]), path, twin="neutral", force=True)
    assert set(table(path).branch) == {"b"} and [p.name for p in tmp_path.iterdir()] == ["x"]


def test_what_is_neutral():
    assert coalescent_run.is_neutral(neutral().build_selection())
    assert not coalescent_run.is_neutral(chosen().build_selection())
    point = {"mutation_rate": 1e-8, "dominance": 0.5}
    mixed = [{"share": 0.5, "dfe": {"kind": "neutral"}}, {"share": 0.5, "dfe": {"kind": "point", "s": -1e-5}}]
    assert not coalescent_run.is_neutral(
        chosen(selection=point | {"dfe": {"kind": "mixture", "components": mixed}}).selection
    )
    mixed[1]["dfe"] = {"kind": "neutral"}
    assert coalescent_run.is_neutral(
        chosen(selection=point | {"dfe": {"kind": "mixture", "components": mixed}}).selection
    )


# ---- interrupts


class Interrupting(Progress):
    """Ctrl-C when the first chromosome is done."""

    def __init__(self):
        super().__init__(quiet=True)

    def update(self, *told):
        raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing_and_waits_for_nobody(tmp_path, monkeypatch):
    """Chromosome 21 takes for ever: the run ends at once, and what comes of the thread is not written."""
    go, ended = threading.Event(), threading.Event()
    real = coalescent_run.simulate_chromosome

    def slow(clock, genome, chrom, *given, **more):
        if chrom == "21":
            go.wait(60)
        return real(clock, genome, chrom, *given, **more)

    class Gate(background.Gate):
        def inside(self):
            if go.is_set():
                ended.set()
            return super().inside()

    monkeypatch.setattr(background, "Gate", Gate)
    monkeypatch.setattr(coalescent_run, "simulate_chromosome", slow)
    options = RunOptions(out=tmp_path / "x", engine="msprime", twin="neutral", threads=2)
    with pytest.raises(KeyboardInterrupt):
        simulate.run(chosen(branches=TWO[:1]), options, Interrupting())
    assert not go.is_set() and list(tmp_path.iterdir()) == []
    go.set()
    assert ended.wait(60)
    assert list(tmp_path.iterdir()) == []


def test_work_in_the_background():
    def work(job, gate):
        with gate.inside():
            return -job

    assert sorted(background.each(range(5), work, 2)) == [(k, -k) for k in range(5)]
    assert list(background.each([], work, 2)) == []

    def fails(job, gate):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(background.each(range(5), fails, 2))


def test_closing_the_gate_waits_for_who_is_inside():
    gate, entered, leave, closed = background.Gate(), threading.Event(), threading.Event(), threading.Event()

    def write():
        with gate.inside():
            entered.set()
            leave.wait(60)

    threading.Thread(target=write, daemon=True).start()
    assert entered.wait(60)
    closing = threading.Thread(target=lambda: (gate.close(), closed.set()), daemon=True)
    closing.start()
    assert not closed.wait(0.05)
    leave.set()
    assert closed.wait(60)
    with pytest.raises(background._Closed), gate.inside():
        pass
