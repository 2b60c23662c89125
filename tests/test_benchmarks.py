# SPDX-License-Identifier: GPL-3.0-or-later
"""benchmarks/: all engines get the same population, and a run of the benchmark can be interrupted and gone on with."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
# last, so that admix itself comes from where it is installed
sys.path.append(str(ROOT))

from admix.engines.slim.population import haplotypes  # noqa: E402
from admix.errors import InputError, RunError  # noqa: E402
from benchmarks import __main__ as command  # noqa: E402
from benchmarks import fwdpy11_model, measure, native, plan, report, slim, states, store, worker  # noqa: E402
from benchmarks.states import State  # noqa: E402

STATE = State(n=40, u=0.25, h=0.1, relax=8, chromosomes=("20", "21", "22"))
TINY = "--size 60 --relax 4 --ticks 4 --chromosomes 21,22 --rounds 1 --engines native".split()
SLIM = slim.find()
needs_slim = pytest.mark.skipif(SLIM is None, reason="slim is not on the PATH")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def arrays(folder):
    return states.obtain(STATE, folder)


@pytest.fixture(scope="module")
def genome():
    return STATE.genome()


def carried(arrays):
    """Mutations of each haplotype, one bit and one key at a time."""
    ids, bits, rare = (arrays[f"deme0_{name}"].tolist() for name in ("ids", "bits", "rare"))
    found, at = [], 0
    for row, count in zip(bits, arrays["deme0_n_rare"].tolist(), strict=True):
        own = {m for k, m in enumerate(ids) if row[k >> 6] >> (k & 63) & 1}
        own |= set(rare[at : at + count])
        at += count
        found.append(own)
    return found


# ---------------------------------------------------------------------- states


def test_a_state_is_made_once(folder, arrays, monkeypatch):
    monkeypatch.setattr(states, "_make", lambda *given: pytest.fail("made again"))
    again = states.obtain(STATE, folder)
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)
    keys = {s.key() for s in (STATE, replace(STATE, relax=9), replace(STATE, h=0.2), replace(STATE, u=0.3))}
    assert len(keys) == 4


def test_haplotypes_are_those_of_the_bits_and_keys(arrays):
    rank = np.random.default_rng(1).permutation(len(arrays["mutation_uid"]))
    found, ends = haplotypes(arrays, rank)
    rows = [found[a:b].tolist() for a, b in pairwise(ends.tolist())]
    assert rows == [sorted(rank[list(own)].tolist()) for own in carried(arrays)]
    # both kinds of mutation were there
    assert len(arrays["deme0_ids"]) > 20 and arrays["deme0_n_rare"].sum() > 20


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_mutations_that_are_left_out_are_gone_and_no_others(arrays, share):
    keep = np.random.default_rng(2).random(len(arrays["mutation_uid"])) < share
    left = states.keep_mutations(arrays, keep)
    uid, left_uid = arrays["mutation_uid"], left["mutation_uid"]
    expected = [sorted(uid[[m for m in own if keep[m]]].tolist()) for own in carried(arrays)]
    assert [sorted(left_uid[list(own)].tolist()) for own in carried(left)] == expected
    population = native.Population.of(left, STATE.tables(), 1)
    counts = population.world.counts(0)
    assert sorted(population.world.mutations["uid"][counts > 0].tolist()) == sorted(
        {u for own in expected for u in own} | set(left_uid[left["deme0_fixed"]].tolist())
    )


# ---------------------------------------------------------------------- SLiM


def read_population(data):
    """SLiM's binary format 8, read by the letter of its reader: (chromosomes, mutations by chromosome, haplosomes).

    chromosomes: (id, last position); mutations: arrays; haplosomes[chromosome][g]: numbers into these.
    """
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def end():
        assert take("I") == 0xFFFF0000

    assert take("Ii") == (0x12345678, 8)
    assert take("idQ") == (8, 1234567890.0987654321, 0)
    assert take("12i") == (4, 8, 4, 4, 4, 4, 8, 4, 4, 8, 8, 8)
    take("ii")
    end()
    tag, deme, n, sexes, _ = take("Iiiid")
    assert (tag, deme, sexes) == (0xFFFF0001, 1, 0)
    end()
    assert set(take(f"{n}b")) == {-1}
    end()
    chromosomes, mutations, haplosomes = [], [], []
    for index in range(take("i")):
        number, kind, name, last, size = take("iiqqi")
        assert (number, kind) == (index, 0)
        rows = np.frombuffer(data, slim.MUTATION, size, at)
        at += rows.nbytes
        assert set(rows["tag"].tolist()) <= {0xFFFF0002}
        assert sorted(rows["polymorphism"].tolist()) == list(range(size))
        end()
        own = []
        for _ in range(2 * n):
            deme, count = take("ii")
            assert deme == 2
            entries = take(f"{count}H" if size <= 65534 else f"{count}i")
            own.append([entries] if count == 1 else list(entries))
        end()
        order = np.argsort(rows["polymorphism"])
        chromosomes.append((name, last))
        mutations.append(rows[order])
        haplosomes.append(own)
    assert at == len(data)
    return chromosomes, mutations, haplosomes


def described(population, form, genome):
    """Each haplotype's mutations as (SLiM's chromosome, position, s), and the mutations' counts."""
    chromosomes, mutations, haplosomes = population
    rows = [Counter() for _ in haplosomes[0]]
    for (name, _), table, own in zip(chromosomes, mutations, haplosomes, strict=True):
        for row, numbers in zip(rows, own, strict=True):
            positions = table["position"][numbers].tolist()
            assert positions == sorted(positions)
            row.update(zip([name] * len(numbers), positions, table["s"][numbers].tolist(), strict=True))
        found = Counter(k for numbers in own for k in numbers)
        assert [found[k] for k in range(len(table))] == table["count"].tolist()
    return rows


def expected_rows(arrays, genome, form):
    chrom, bp = genome.target_positions(arrays["mutation_site"])
    if form == "one":
        length = [int(genome.knot_bp[last - 1]) for last in genome.knot_first[1:]]
        before = np.cumsum([0, *length[:-1]])
        chrom, bp = np.zeros_like(chrom), bp + before[chrom]
    key = list(zip((chrom + 1).tolist(), bp.tolist(), arrays["mutation_s"].astype("f4").tolist(), strict=True))
    return [Counter(key[m] for m in own) for own in carried(arrays)]


@pytest.mark.parametrize("form", slim.FORMS)
def test_slims_population_is_the_state(arrays, genome, tmp_path, form):
    slim.write(STATE, arrays, tmp_path / "files", form)
    population = read_population((tmp_path / "files" / "population").read_bytes())
    assert described(population, form, genome) == expected_rows(arrays, genome, form)
    for table in population[1]:
        assert (table["h"] == np.float32(0.1)).all() and (table["count"] > 0).all()
    lasts = [last + 1 for _, last in population[0]]
    assert sum(lasts) == genome.total_bp and len(lasts) == (1 if form == "one" else 3)
    assert not list(tmp_path.glob(".*"))


def read_table(path):
    head, *rows = path.read_text().splitlines()
    return dict(zip(head.split("\t"), np.array([row.split("\t") for row in rows]).T, strict=True))


@pytest.mark.parametrize("form", slim.FORMS)
def test_slims_map_and_target_are_the_genomes(arrays, genome, tmp_path, form):
    slim.write_genome(genome, tmp_path, form)
    chromosomes, elements, rates = (read_table(tmp_path / f"{n}.tsv") for n in ("chromosomes", "elements", "rates"))
    start, end = elements["start"].astype(int), elements["end"].astype(int)
    assert (end - start + 1).sum() == genome.functional_bp
    same = elements["id"][1:] == elements["id"][:-1]
    assert (start[1:] > end[:-1] + 1)[same].all()  # apart: neighbours are one element

    # every base of the target, where the genome says that it is
    chrom, bp = genome.target_positions(np.arange(0, genome.functional_bp, 997))
    ids, offset, _ = slim.chromosomes(genome, form)
    for c, place in zip(chrom[:300].tolist(), bp[:300].tolist(), strict=True):
        inside = (elements["id"] == str(ids[c])) & (start <= place + offset[c]) & (place + offset[c] <= end)
        assert inside.sum() == 1

    stop, rate = rates["end"].astype(int), rates["rate"].astype(float)
    breaks = np.flatnonzero(rate == 0.5)
    lengths = [int(genome.knot_bp[last - 1]) for last in genome.knot_first[1:]]
    assert stop[breaks].tolist() == ([] if form == "many" else np.cumsum(lengths)[:-1].tolist())
    for name, length in zip(chromosomes["id"], chromosomes["length"].astype(int), strict=True):
        own = rates["id"] == name
        assert stop[own][-1] == length - 1 and (np.diff(stop[own]) > 0).all()
        # a rate holds from one end to the next, and there is no step to the very first base
        steps = np.diff(stop[own], prepend=0)
        morgans = (rate * 1.0)[own] @ steps - 0.5 * (len(breaks) if form == "one" else 0)
        wanted = genome.morgans if form == "one" else genome.chrom_morgans[int(name) - 1]
        assert morgans == pytest.approx(wanted, rel=1e-4)


def test_times_of_slim_are_taken_over_whole_intervals():
    cpu = np.full(80, 10.0)
    assert slim.whole_intervals(cpu, 3) == (slice(3, None), 0)
    cpu[18] = 200
    assert slim.whole_intervals(cpu, 1) == (slice(0, 19), 1)
    cpu[[0, 5, 44]] = 100  # other work, no simplification
    assert slim.whole_intervals(cpu, 1) == (slice(19, 45), 1)
    cpu[44] = 10
    cpu[[42, 71]] = 300
    window, found = slim.whole_intervals(cpu, 1)
    assert found == 2 and cpu[window].sum() == 51 * 10 + 600

    def told(ticks):
        return "read 12 0.5\n" + "\n".join(f"tick {k} {t:.6f} {t / 2:.6f}" for k, t in enumerate(ticks))

    ticks = np.cumsum([0.0, 1.0, 1.0, 0.2, 0.3, 0.4])
    found = slim.read_output(told(ticks), 2, False)
    assert (found["ms"], found["cpu_ms"]) == (pytest.approx(300), pytest.approx(150)) and found["ticks"] == 3
    assert (found["sites"], found["fitness_mean"]) == (12, 0.5)
    with pytest.raises(RunError, match="too few"):
        slim.read_output(told(ticks[:3]), 2, False)


def test_slim_is_found_where_it_is_named(tmp_path, monkeypatch):
    program = tmp_path / "slim"
    program.write_text("#!/bin/sh\necho 'SLiM version 5.2, built today'\n")
    program.chmod(0o755)
    monkeypatch.delenv("SLIM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slim.find() == str(program)
    monkeypatch.setenv("PATH", "")
    assert slim.find() is None and slim.find(str(program)) == str(program)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert slim.version(str(program)) == "5.2"
    with pytest.raises(InputError, match="--slim-path"):
        slim.find(str(tmp_path / "nowhere"))
    program.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(RunError, match="not say that it is SLiM"):
        slim.version(str(program))


@pytest.mark.slim
@needs_slim
@pytest.mark.parametrize("form", slim.FORMS)
def test_slim_reads_and_writes_the_same_population(arrays, genome, tmp_path, form):
    slim.write(STATE, arrays, tmp_path / "files", form)
    text = slim.MODEL.read_text()
    script = tmp_path / "model.slim"
    script.write_text(text[: text.index("1 late()")] + '1 late() { sim.readFromPopulationFile(FOLDER + "/population");'
                      ' sim.outputFull(FOLDER + "/again", binary=T); sim.simulationFinished(); }\n')  # fmt: skip
    words = slim.command(SLIM, STATE, tmp_path / "files", runs=4, trees=False, first=1, least=2, most=2, seconds=1)
    subprocess.run([*words[:-1], str(script)], check=True, capture_output=True)
    again = read_population((tmp_path / "files" / "again").read_bytes())
    # tick and order of mutations are SLiM's own
    assert described(again, form, genome) == expected_rows(arrays, genome, form)


@pytest.mark.slim
@needs_slim
@pytest.mark.parametrize("trees", [False, True])
def test_slim_plays_on_from_the_state(folder, arrays, trees):
    given = worker.slim_files(STATE, folder, form="one")
    words = slim.command(
        SLIM, STATE, Path(given["folder"]), runs=8, trees=trees, first=2, least=22, most=24, seconds=60
    )
    done = store.run(words)
    assert done.code == 0, done.errors
    found, facts = slim.read_output(done.output, 2, trees), native.facts(STATE, folder)
    assert found["sites"] == facts["sites"]
    assert found["fitness_mean"] == pytest.approx(facts["fitness_mean"], rel=1e-5)
    assert found["ms"] > 0 and found["ticks"] > 10 and done.peak > 1e6


# ---------------------------------------------------------------------- fwdpy11


def test_positions_for_fwdpy11_are_different_and_in_order(arrays):
    crowded = arrays | {"mutation_axis": (arrays["mutation_axis"] >> 28) << 28}
    at = fwdpy11_model.positions(crowded)
    assert len(np.unique(at)) == len(at) > len(np.unique(crowded["mutation_axis"]))
    assert (np.floor(at) == crowded["mutation_axis"]).all()


def test_fwdpy11_plays_on_from_the_state(folder, arrays, genome):
    pytest.importorskip("fwdpy11")
    path = Path(worker.fwdpy11_files(STATE, folder)["path"])
    population = fwdpy11_model.load(path)
    at, s = fwdpy11_model.positions(arrays), arrays["mutation_s"]
    expected = [sorted((float(at[m]), float(s[m])) for m in own) for own in carried(arrays)]
    table = population.mutations
    found = [[(table[k].pos, table[k].s) for k in h.smutations] for h in population.haploid_genomes]
    assert found == expected
    told, facts = fwdpy11_model.measure(STATE, path, interval=6), native.facts(STATE, folder)
    assert told["sites"] == facts["sites"] and told["per_haplotype"] == pytest.approx(facts["per_haplotype"])
    assert told["ticks"] == 6 and told["ms"] > 0


# ---------------------------------------------------------------------- the native engine


def test_kernels_are_timed_and_put_back(arrays):
    population = native.Population.of(arrays, STATE.tables(), 1)
    population.warm_up()
    before = {name: vars(native.gametes)[name] for name in ("make_gametes", "crossovers")}
    with native.timed_kernels() as spent:
        seconds = population.run(4)
    assert {name: vars(native.gametes)[name] for name in before} == before
    if hasattr(before["make_gametes"], "py_func"):
        assert spent["make_gametes"] > 0 and spent["log_fitness"] > 0
        assert sum(spent.values()) < sum(seconds)


def test_what_is_measured_is_what_the_engine_does(folder, arrays):
    """Threads, parents and the clock change nothing in the population that comes out."""
    out = []
    for threads, parents in ((1, False), (2, True)):
        population = native.Population.of(arrays, STATE.tables(), threads)
        population.pedigree = native.Pedigree() if parents else None
        assert len(population.run(5)) == 5
        out.append(population.world.log_fitness(0).tolist())
        assert not parents or sorted(population.pedigree.births) == [1, 2, 3, 4, 5]
    assert out[0] == out[1]
    longer = native.measure(STATE, folder, threads=1, ticks=6, markers=True, map_scale=2.0, keep=0.5)
    assert longer["ticks"] == 6 and longer["bytes_moved"]["markers"] > 0
    assert longer["bytes_moved"]["all"] == sum(v for k, v in longer["bytes_moved"].items() if k != "all")
    assert STATE.tables(2.0).crossover_cdf[0, 0] < STATE.tables().crossover_cdf[0, 0]


# ---------------------------------------------------------------------- the command


def in_process(command_line, given="", environment=None):
    """What the worker's process would do, without the process."""
    asked = json.loads(given)
    found = worker.WORK[asked["work"]](State.from_dict(asked["state"]), Path(asked["folder"]), **asked["given"])
    return store.Finished(json.dumps(found), "", 0, 1_000_000)


@pytest.fixture
def quiet(monkeypatch, folder):
    """The command with its work done in this process; the calls it makes."""
    calls = []

    def run(*given, **more):
        calls.append(given)
        return in_process(*given, **more)

    monkeypatch.setattr(store, "run", run)
    return calls


def benchmark(folder, *more, path):
    return command.main([*TINY, "--cache-dir", str(folder), "--json", str(path), *more])


def test_a_small_run_measures_everything_and_fills_the_page(quiet, folder, tmp_path, monkeypatch, capsys):
    page = tmp_path / "benchmarks.md"
    shutil.copy(report.PAGE, page)
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report.write_page, "__defaults__", (page,))
    for name, few in (("TARGETS", (40,)), ("MAPS", (2.0,)), ("KEPT", (0.5,))):
        monkeypatch.setattr(plan, name, few)
    outside = report.ANCHOR.sub("", page.read_text())
    assert benchmark(folder, "--only", "states,common,stages,series,memory", "--write", path=tmp_path / "r.json") == 0
    told = capsys.readouterr().out
    assert "FAILED" not in told and told.index("| figure |") > told.index("| kernel |") > told.index("| engine |")
    results = store.Results.read(tmp_path / "r.json")
    groups = Counter(e["group"] for e in results.measured.values())
    assert groups == {"states": 4, "common": 4 * 6, "stages": 4, "series": 2 + 3, "memory": 2}
    text = page.read_text()
    assert report.ANCHOR.sub("", text) == outside
    filled = {m["block"]: m["text"] for m in report.ANCHOR.finditer(text)}
    assert {name for name, block in filled.items() if block == report.EMPTY} == {"jobs", "tune"}
    assert filled["engines"].count("native, 1 thread |") == 4 and "U = 0.74, h = 0.1, N = 60" in filled["states"]


def test_a_quick_run_measures_each_thing_before_any_twice():
    tasks = plan.tasks(plan.Settings(quick=True, rounds=5))
    assert [t.round for t in tasks] == sorted(t.round for t in tasks)
    assert len({t.id for t in tasks}) == len(tasks)
    first = {t.label for t in tasks if t.group == "common" and t.round == 0}
    assert first == {*list(plan.NATIVE)[:4], plan.SLIM, plan.SLIM_TREES}


def test_engines_are_measured_in_turn():
    tasks = [t for t in plan.tasks(plan.Settings(rounds=3)) if t.group == "common"]
    each = 4 * (len(plan.NATIVE) + 3)
    assert [t.round for t in tasks] == [0] * each + [1] * each + [2] * each
    labels = [t.label for t in tasks]
    assert labels[:each] == labels[each : 2 * each] == labels[2 * each :]


def test_an_interrupted_run_goes_on_where_it_was(folder, tmp_path, monkeypatch, capsys):
    calls = []

    def stops_at(limit):
        def run(*given, **more):
            if len(calls) == limit:
                raise KeyboardInterrupt
            calls.append(json.loads(given[1])["work"])
            return in_process(*given, **more)

        monkeypatch.setattr(store, "run", run)

    path = tmp_path / "r.json"
    stops_at(6)
    assert benchmark(folder, "--only", "common", path=path) == 130
    assert "--resume" in capsys.readouterr().err
    before = store.Results.read(path).measured
    assert len(before) == 5
    stops_at(-1)
    assert benchmark(folder, "--only", "common", "--resume", path=path) == 0
    after = store.Results.read(path)
    assert len(after.measured) == 24 and all(after.measured[name] == entry for name, entry in before.items())
    # contents of the four states, and each configuration once
    assert Counter(calls) == {"facts": 4, "native": 24}
    assert len(after.head["commands"]) == 2
    calls.clear()
    assert benchmark(folder, "--only", "common", "--resume", path=path) == 0
    assert calls == []

    tree = json.loads(path.read_text())
    tree["head"]["machine"]["cpu"] = "another"
    path.write_text(json.dumps(tree))
    assert benchmark(folder, "--only", "common", "--resume", path=path) == 2
    assert "same machine" in capsys.readouterr().err
    stops_at(0)
    assert benchmark(folder, "--only", "common", path=path) == 130
    assert len(store.Results.read(path.with_name("r.json~")).measured) == 24


def test_work_that_fails_is_told_and_done_again(folder, tmp_path, monkeypatch, capsys):
    fails = [True]

    def run(*given, **more):
        if fails[0] and json.loads(given[1])["work"] == "stages":
            return store.Finished("", "Traceback\nMemoryError: too big\n", 1, 0)
        return in_process(*given, **more)

    monkeypatch.setattr(store, "run", run)
    path = tmp_path / "r.json"
    assert benchmark(folder, "--only", "stages", path=path) == 0
    told = capsys.readouterr().out
    assert told.count("FAILED: stages: MemoryError: too big") == 4 and "* failed: stages" in told
    fails[0] = False
    assert benchmark(folder, "--only", "stages", "--resume", path=path) == 0
    assert all("ms" in e for e in store.Results.read(path).measured.values())


def test_another_population_is_no_measurement(folder, tmp_path, monkeypatch):
    """SLiM, played by a program that prints times and a fitness."""
    told = "read {} {}\n" + "\n".join(f"tick {k} {k}.0 {k}.0" for k in range(9))
    facts = native.facts(STATE, folder)

    def found(sites, fitness):
        def run(command_line, given="", environment=None):
            if not given:
                return store.Finished(told.format(sites, fitness), "", 0, 5)
            return in_process(command_line, given)

        monkeypatch.setattr(store, "run", run)
        results = store.Results(tmp_path / "r.json", {"machine": {"threads": 1}})
        bench = measure.Bench(results, folder, "slim", lambda text: None)
        given = {"form": "one", "runs": 1, "trees": False, "first": 2, "least": 2, "most": 4, "seconds": 1.0}
        bench.run([plan.Task(group="tune", label="x", engine="slim", state=STATE, given=given)])
        (entry,) = results.measured.values()
        return entry

    right = found(facts["sites"], facts["fitness_mean"])
    assert right["ms"] == 1000 and right["peak_bytes"] == 5
    assert "another population" in found(facts["sites"] + 1, facts["fitness_mean"])["failed"]
    assert "another population" in found(facts["sites"], 1.001 * facts["fitness_mean"])["failed"]


def test_the_worker_is_a_process_of_its_own(folder, arrays):
    asked = {"work": "facts", "state": STATE.to_dict(), "folder": str(folder), "given": {}}
    done = store.run([sys.executable, "-m", "benchmarks.worker"], json.dumps(asked))
    assert done.code == 0, done.errors
    found = json.loads(done.output.splitlines()[-1])
    mine = native.facts(STATE, folder)
    assert {k: v for k, v in found.items() if k != "make_seconds"} == {
        k: v for k, v in mine.items() if k != "make_seconds"
    }
    assert done.peak > 5e7


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--only", "comon"], "did you mean common?"),
        (["--engines", "slin"], "did you mean slim?"),
        (["--rounds", "0"], "--rounds: got 0"),
        (["--size", "2"], "--size: got 2"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, text, tmp_path, capsys):
    assert command.main(["--cache-dir", str(tmp_path), *words]) == 2
    told = capsys.readouterr()
    assert text in told.err and told.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- figures


def invented(**ms):
    """Results with chosen times on the additive states at full size."""
    head = {"machine": {"threads": 2}}
    results = store.Results(Path("nowhere"), head)
    for u, target in ((0.25, "cds"), (0.74, "exons")):
        for label in (*plan.NATIVE, plan.SLIM, plan.SLIM_TREES, plan.FWDPY11):
            for k in range(3):
                state = State(u=u, target=target)
                name = f"{u} {label} {k}"
                # an outlier in the last round, which a median does not see
                value = ms.get(label, 30.0) * (100 if k == 2 else 1)
                results.measured[name] = {
                    "id": name, "group": "common", "label": label, "state": state.to_dict(), "round": k, "ms": value,
                    "cpu_ms": value, "ticks": 9, "peak_bytes": 1e9, "state_bytes": 1.2e9,
                }  # fmt: skip
    return results


def test_figures_are_ratios_of_medians_thread_for_thread():
    good = {plan.ONE: 30.0, plan.ALL: 18.0, plan.ONE_KEPT: 31.0, plan.SLIM: 301.0, plan.SLIM_TREES: 1300.0,
            plan.FWDPY11: 500.0}  # fmt: skip
    found = {f.name: f for f in report.figures(invented(**good))}
    light, heavy = "U = 0.25, h = 0.5, N = 10,000: ", "U = 0.74, h = 0.5, N = 10,000: "
    assert found[light + "SLiM / native, thread for thread"].measured == f"{301 / 30:.2f}"
    assert found[light + "SLiM with trees / native with parents kept, thread for thread"].wanted == "at least 40"
    assert found[heavy + "SLiM / native, thread for thread"].wanted == "at least 10"
    assert all(f.reached for f in found.values())
    bad = good | {plan.ALL: 71.0, plan.SLIM: 239.0, plan.SLIM_TREES: 1239.0, plan.FWDPY11: 464.0}
    missed = {f.name for f in report.figures(invented(**bad)) if not f.reached}
    assert missed == {
        light + "SLiM / native, thread for thread", heavy + "SLiM / native, thread for thread",
        light + "SLiM with trees / native with parents kept, thread for thread",
        light + "fwdpy11 / native with parents kept, thread for thread", light + "1 thread / 2 threads",
        heavy + "1 thread / 2 threads", heavy + "a generation on all threads",
    }  # fmt: skip
    assert "NO" in report.ratios(invented(**bad)) and "NO" not in report.ratios(invented(**good))


def test_linear_is_the_same_cost_for_each_individual():
    results = store.Results(Path("nowhere"), {})
    assert report.linearity(results) is None
    for n, ms in ((1_000, 4.0), (10_000, 38.0), (40_000, 184.0)):
        state = State(n=n).to_dict()
        results.measured[str(n)] = {"group": "series", "label": f"n {n}", "state": state, "ms": ms, "sites": 1}
    assert report.linearity(results) == pytest.approx(4.6 / 3.8)


def test_a_page_without_its_anchors_is_not_written(tmp_path):
    page = tmp_path / "page.md"
    with pytest.raises(RunError, match="no page"):
        report.write_page(invented(), page)
    page.write_text(report.PAGE.read_text().replace("(stages)", "(stags)"))
    before = page.read_text()
    with pytest.raises(RunError, match="stags"):
        report.write_page(invented(), page)
    assert page.read_text() == before
