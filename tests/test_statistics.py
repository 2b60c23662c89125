# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of a run: load, intervals, and all tables of a run directory whose history is known."""

import dataclasses
import math

import msprime
import numpy as np
import pandas as pd
import pytest
import small
import small_genomes
import tree_records as records

from admix import schedule, trees
from admix.derived import replaced_folder, write_table
from admix.errors import InputError, RunError
from admix.fstatistics import Roles
from admix.intervals import Interval, around, parse_intervals, read_intervals
from admix.landscape import HaplotypeAncestry, PopulationAncestry
from admix.load import ORIGINS, chromosome_load, population_load, relative_fitness
from admix.results import Run, RunWriter, read_run
from admix.sampled_statistics import Group, tract_tables
from admix.samples import sample_table
from admix.statistics import Options, run_statistics
from admix.tracts import measure

KEY = {"branch": "main", "replicate": 0, "twin": "none", "source": "archaic"}


def tracts_of(toy, chrom, names):
    """What the toy says of its samples, as a table of tracts."""
    rows = [
        (chrom, a, b, "archaic", names[h // 2], h % 2) for h, found in enumerate(toy.archaic) for a, b in tidy(found)
    ]
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "source", "sample", "haplotype"])


def tidy(stretches):
    """Stretches that touch as one."""
    out = []
    for start, end in sorted(stretches):
        if out and out[-1][1] == start:
            start = out.pop()[0]
        out.append((start, end))
    return out


# ---------------------------------------------------------------------- load


@pytest.mark.parametrize("dominance", [0.5, 0.1, {"kind": "hs", "h0": 0.4, "k": 50.0}])
def test_load_is_that_of_what_everybody_carries(dominance):
    """Each person by itself, mutation by mutation, from what the toy knows that they carry."""
    toy = records.toy(seed=3, standing=40, rate=2.0)
    selection = small.scenario(
        selection={"mutation_rate": 1e-8, "dfe": {"kind": "point", "s": -0.1}, "dominance": dominance}
    ).selection
    ts = trees.build(toy.record, toy.labels)
    samples = sample_table(ts)
    tracts = tracts_of(toy, "22", samples["sample"].tolist())
    first = toy.schedule.first_pulse_tick()
    found = chromosome_load(ts, samples, tracts, selection, first)
    record = toy.record
    s = dict(zip(record.mutation_id.tolist(), record.mutation_s.tolist(), strict=True))
    tick = dict(zip(record.mutation_id.tolist(), record.mutation_tick.tolist(), strict=True))
    want, twice = np.zeros((len(samples), 3)), 0
    for person in range(len(samples)):
        pair = toy.carried[2 * person : 2 * person + 2]
        for strand, carried in enumerate(pair):
            for base, ids in carried.items():
                inside = any(a <= base < b for a, b in toy.archaic[2 * person + strand])
                for number in ids:
                    effect = float(np.float32(s[number]))
                    both = number in pair[1 - strand].get(base, ())
                    twice += both
                    h = float(selection.dominance_of(np.array([effect]))[0])
                    cost = -math.log1p(effect) / 2 if both else -math.log1p(h * effect)
                    origin = "new" if tick[number] >= first else "archaic" if inside else "modern"
                    want[person, ORIGINS.index(origin)] += cost
    assert twice > 20 and (want.sum(axis=0) > 0).all()
    np.testing.assert_allclose(found, want, rtol=1e-9)
    # with other people's tracts, archaic and modern differ, and nothing else
    other = chromosome_load(ts, samples, tracts.iloc[:0], selection, first)
    assert (other[:, 0] == 0).all() and np.allclose(other[:, 2], found[:, 2])
    assert np.allclose(other[:, 1], found[:, 0] + found[:, 1])


def test_no_mutation_no_load():
    toy = records.toy(seed=3, standing=0, rate=0.0)
    ts = trees.build(toy.record, toy.labels)
    samples = sample_table(ts)
    found = chromosome_load(ts, samples, tracts_of(toy, "22", samples["sample"].tolist()), toy.scenario.selection, 60)
    assert found.shape == (8, 3) and not found.any()


def trajectory(**columns):
    generations = columns.pop("generation", [1, 2, 31])
    base = {
        **KEY, "deme": "modern", "generation": generations, "years_bp": [31.0 - g for g in generations],
        "n_individuals": 40, "ancestry_mean": 0.2, "ancestry_sd": 0.1, "ancestry_p05": 0.0, "ancestry_p50": 0.1,
        "ancestry_p95": 0.3, "ancestry_functional": 0.1, "ancestry_far": 0.1, "log_fitness_mean": -1.5,
        "load_archaic": 0.1,
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def pulse_table(**columns):
    base = {
        **KEY, "pulse": "pulse", "target": "modern", "years_bp": 30.0, "requested": 0.2, "realised": 0.2,
        "fitness_archaic_relative": 0.36, "log_load_difference": 1.0, "burnin": 0,
    }  # fmt: skip
    return pd.DataFrame([base | columns])


def test_load_of_populations():
    found = population_load(
        trajectory(load_archaic=[0.3, np.nan, 0.0], ancestry_mean=[0.2, 0.1, 0.0], log_fitness_mean=[-2.0, -1, -1.25])
    )
    assert found["generation"].tolist() == [1, 31]
    assert found["load"].tolist() == [2.0, 1.25] and found["load_other"].tolist() == [1.7, 1.25]
    assert found["load_archaic_per_ancestry"].iloc[0] == pytest.approx(1.5)
    assert np.isnan(found["load_archaic_per_ancestry"].iloc[1])


def mixed(native, archaic, f1, share, pure, hybrid):
    """Trajectory of generations 1 and 2 where each kind of people has one log fitness."""
    means = [share, pure + hybrid / 2]
    square = pure + hybrid / 4
    fitness = [
        share * archaic + (1 - share) * native,
        pure * archaic + hybrid * f1 + (1 - pure - hybrid) * native,
    ]  # fmt: skip
    sd = [math.sqrt(share * (1 - share)), math.sqrt(square - means[1] ** 2)]
    return trajectory(generation=[1, 2], ancestry_mean=means, ancestry_sd=sd, log_fitness_mean=fitness)


def fitness(pulses, made, **changes):
    chosen = small.scenario(**changes)
    found = relative_fitness(pulses, made, chosen.selection, schedule.compile(chosen))
    return {(r.people, r.method): r.log_fitness for r in found.itertuples()}


def test_fitness_of_hybrids():
    made = mixed(native=-1.0, archaic=-2.0, f1=-1.1, share=0.2, pure=0.02, hybrid=0.15)
    pulses = pulse_table(fitness_archaic_relative=math.exp(-1), log_load_difference=1.0)
    found = fitness(pulses, made)
    assert found == pytest.approx(
        {
            ("archaic", "measured"): -1.0,
            ("F1", "additive"): -0.5,
            ("backcross", "additive"): -0.25,
            ("F1", "generation 2"): -0.1,  # any dominance
        }
    )
    half = {"selection": {"mutation_rate": 1e-8, "dfe": {"kind": "point", "s": -0.1}, "dominance": 0.1}}
    assert set(fitness(pulses, made, **half)) == {("archaic", "measured"), ("F1", "generation 2")}
    table = relative_fitness(pulses, made, small.scenario().selection, schedule.compile(small.scenario()))
    assert np.allclose(np.exp(table["log_fitness"]), table["fitness"]) and (table["target"] == "modern").all()


def test_hybrids_are_left_out_where_they_cannot_be_known():
    pulses = pulse_table(fitness_archaic_relative=math.exp(-1), log_load_difference=1.0)
    made = mixed(native=-1.0, archaic=-2.0, f1=-1.1, share=0.2, pure=0.02, hybrid=0.15)
    block = {"name": "pulse", "source": "archaic", "target": "modern", "time": 30, "share": 0.2}
    solved = ("F1", "generation 2")
    assert solved in fitness(pulses, made)
    assert solved not in fitness(pulses, made, pulse=[block | {"unit": "gametes"}])
    assert solved not in fitness(pulses, made, pulse=[block, block | {"name": "again", "time": 31}])
    assert solved not in fitness(pulses, made[made["generation"] == 1])
    assert solved not in fitness(pulses, mixed(-1.0, -2.0, -1.1, share=0.2, pure=0.02, hybrid=0.0))
    missing = fitness(pulse_table(fitness_archaic_relative=np.nan, log_load_difference=np.nan), made)
    assert missing == {}


# ---------------------------------------------------------------------- intervals


def test_intervals_as_in_genome_browsers(tmp_path):
    made = small_genomes.genome(tmp_path, {"7": {"length": 9000}, "X": {"length": 500}})
    table = tmp_path / "genes.bed"
    table.write_text("track name=genes\n#x\nchr7\t99\t200\tABC1\nX\t0\t500\tall of X\textra\n\n")
    known = read_intervals(table, made)
    assert known == [Interval("ABC1", "7", 99, 200), Interval("all of X", "X", 0, 500)]
    words = ["chr7:1,001-2,000", "mine=7:1-9000", "abc1"]
    assert parse_intervals(words, made, known) == [
        Interval("7:1001-2000", "7", 1000, 2000),
        Interval("mine", "7", 0, 9000),
        known[0],
    ]
    for word, says in (
        ("8:1-5", "a chromosome of the run"),
        ("7:0-5", "bases 1 to 9,000"),
        ("7:5-4", "bases 1 to 9,000"),
        ("7:5-9001", "bases 1 to 9,000"),
        ("ABC2", "did you mean ABC1"),
    ):
        with pytest.raises(InputError, match=says):
            parse_intervals([word], made, known)
    with pytest.raises(InputError, match="CHROM:START-END"):
        parse_intervals(["ABC1"], made)
    for line in ("7\t5\t9\n", "7\tfive\t9\tx\n", "7 5 9 x\n", "7\t5\t9001\tx\n"):
        table.write_text("\n" + line)
        with pytest.raises(InputError, match="line 2"):
            read_intervals(table, made)
    table.write_text("# nothing\n")
    with pytest.raises(InputError, match="no interval"):
        read_intervals(table, made)
    with pytest.raises(InputError, match="can be read"):
        read_intervals(tmp_path / "none.bed", made)


def test_frequencies_around_an_interval(tmp_path):
    made = small_genomes.genome(tmp_path, {"7": {"length": 9000}})
    rng = np.random.default_rng(1)
    start = rng.integers(0, 8000, 50)
    tracts = pd.DataFrame({"chrom": "7", "start": start, "end": start + rng.integers(1, 900, 50)})
    depth = np.zeros(9000)
    for a, b in zip(tracts["start"], tracts["end"], strict=True):
        depth[a:b] += 1
    ancestry = HaplotypeAncestry(tracts, made, 60)
    found = around(made, ancestry, [Interval("g", "7", 700, 950), Interval("h", "7", 8999, 9000)], 1000, 300)
    g = found[found["name"] == "g"]
    assert g["start"].tolist() == [0, 100, 400, 700, 950, 1250, 1550, 1850]
    assert g["end"].tolist() == [100, 400, 700, 950, 1250, 1550, 1850, 1950]
    assert g["distance"].tolist() == [-650.0, -450.0, -150.0, 0.0, 150.0, 450.0, 750.0, 950.0]
    assert found[found["name"] == "h"]["start"].tolist() == [7999, 8099, 8399, 8699, 8999]
    for row in found.itertuples():
        assert row.ancestry == pytest.approx(depth[row.start : row.end].mean() / 60)
    alone = around(made, PopulationAncestry(made, np.linspace(0, 0.8, 9)), [Interval("g", "7", 500, 1500)], flank=0)
    assert alone[["start", "end", "distance", "ancestry"]].values.tolist() == [[500, 1500, 0.0, pytest.approx(0.05)]]
    for flank, step in ((-1, 5), (5, 0)):
        with pytest.raises(InputError, match="flank and step"):
            around(made, ancestry, [], flank, step)


# ---------------------------------------------------------------------- folders


def test_a_folder_appears_when_it_is_complete(tmp_path):
    out = tmp_path / "derived" / "stats"
    with replaced_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert [p.name for p in out.iterdir()] == ["a"]
    with pytest.raises(KeyError), replaced_folder(out) as folder:
        (folder / "b").write_text("2")
        raise KeyError
    assert [p.name for p in out.iterdir()] == ["a"]
    with replaced_folder(out) as folder:
        write_table(folder / "c.tsv", pd.DataFrame({"x": [1.0, np.nan], "y": ["", "k"]}))
    assert [p.name for p in out.parent.rglob("*")] == ["stats", "c.tsv"]
    assert (out / "c.tsv").read_bytes() == b"x\ty\n1\t\n\tk\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"), replaced_folder(tmp_path / "file" / "stats"):
        pass


# ---------------------------------------------------------------------- a whole run


def make_run(path, chosen=None, chroms=("21", "22"), with_trees=True, twin="none"):
    """A sealed run directory: tables that fit, and tree files of a history that is known."""
    chosen = records.scenario() if chosen is None else chosen
    toys = {
        c: records.toy(seed=k, chrom=c, chosen=chosen, standing=20, twin=twin) for k, c in enumerate(chroms, start=4)
    }
    key = KEY | {"twin": twin}
    genome = chosen.build_genome()
    rng = np.random.default_rng(1)
    window = {
        "chrom": np.array(genome.chroms)[genome.window_chrom], "start": genome.window_start, "end": genome.window_end,
        "cM": genome.window_cm_end - genome.window_cm_start, "functional_bp": genome.window_functional_bp,
        "B": genome.window_b,
    }  # fmt: skip
    whole = genome.window_gap_bp == genome.window_end - genome.window_start
    landscape = [
        pd.DataFrame(key | {"generation": g} | window | {"ancestry": np.where(whole, np.nan, rng.random(len(whole)))})
        for g in (2, 31)
    ]
    with RunWriter(path) as writer:
        writer.table("trajectory.tsv", trajectory().assign(twin=twin))
        writer.table("pulse.tsv", pulse_table(twin=twin))
        values = {"measure": ["headcount", "pedigree_paths"], "value": [0.2, 0.15]}
        writer.table("ancestors.tsv", pd.DataFrame(key | {"scope": "all"} | values))
        writer.table("landscape.tsv", pd.concat(landscape))
        spread = key | {"deme": "modern", "generation": 2, "bin_start": [0.0], "bin_end": 0.005, "count": 40}
        writer.table("spread.tsv", pd.DataFrame(spread))
        writer.text("scenario.yaml", chosen.to_yaml())
        writer.json("provenance.json", {})
        writer.json("summary.json", {})
        for chrom, toy in toys.items() if with_trees else ():
            name = trees.tree_path("", toy.labels.branch, toy.labels.replicate, toy.labels.twin, chrom)
            trees.write(trees.build(toy.record, toy.labels), writer.path(name.as_posix()))
        return read_run(writer.seal()), toys


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run, toys = make_run(tmp_path_factory.mktemp("runs") / "toy")
    interval = parse_intervals(["here=22:20,000,001-20,400,000"], run.scenario.build_genome())
    return run, toys, run_statistics(run, Options(intervals=tuple(interval), flank=100_000))


def shares(toys, genome):
    """True archaic bases of each sampled haplotype, over all chromosomes, and the length of all."""
    bases = np.sum([[sum(b - a for a, b in found) for found in toy.archaic] for toy in toys.values()], axis=0)
    return bases, sum(records.length_of(genome, chrom) for chrom in toys)


def test_all_tables_are_written(made):
    run, _, found = made
    assert found.path == run.path / "derived" / "stats"
    names = {
        "correlations",
        "deserts",
        "fitness",
        "intervals",
        "load",
        "people",
        "quintiles",
        "tract_lengths",
        "tracts",
    }
    assert set(found.tables) == names
    assert {p.name for p in found.path.iterdir()} == {f"{name}.tsv" for name in names} | {"notes.txt"}
    for name, table in found.tables.items():
        assert table.columns[:4].tolist() == list(KEY), name
        assert pd.read_csv(found.path / f"{name}.tsv", sep="\t").shape == table.shape
        for column, value in KEY.items():
            assert (table[column] == value).all()
    assert len(found.notes) == 1 and "distance.tsv is not written" in found.notes[0]
    assert (found.path / "notes.txt").read_text() == found.notes[0] + "\n"


def test_tracts_of_the_run_are_what_happened(made):
    run, toys, found = made
    genome = run.scenario.build_genome()
    table = found.tables["tracts"].set_index("years_bp")
    assert table["generation"].to_dict() == {20.0: 11, 0.0: 31} and (table["deme"] == "modern").all()
    known = genome.window_end - genome.window_start - genome.window_gap_bp
    for years, rows in ((20.0, range(6)), (0.0, range(6, 16))):
        stretches = [
            (chrom, h, a, b) for chrom, toy in toys.items() for h in rows for a, b in tidy(toy.archaic[h])
        ]  # fmt: skip
        row = table.loc[years]
        assert (row.tracts, row.individuals) == (len(stretches), len(rows) // 2)
        ends = sum(b < records.length_of(genome, chrom) for chrom, _, _, b in stretches)
        assert row.ends == ends and row.rate == pytest.approx(ends / (row.mean_cM / 100 * row.tracts))
        assert row.meioses == row.generation - 2
        assert row.share == 0.15  # of the pedigree
        total = 0.0
        for chrom, _, a, b in stretches:
            own = genome.window_chrom == genome.chroms.index(chrom)
            start, end = genome.window_start[own], genome.window_end[own]
            part = np.clip(np.minimum(end, b) - np.maximum(start, a), 0, None) / (end - start)
            total += (part * known[own]).sum()
        assert row.ancestry == pytest.approx(total / (len(rows) * known.sum()))
    lengths = found.tables["tract_lengths"]
    assert len(lengths) == 202 and lengths["observed"].between(0, 1).all() and lengths["expected"].iloc[0] == 1


def test_people_of_the_run(made):
    run, toys, found = made
    people = found.tables["people"]
    bases, length = shares(toys, run.scenario.build_genome())
    first = trees.load(trees.tree_path(run.path, "main", 0, "none", "21"))
    assert people["sample"].tolist() == trees.sample_names(first)
    assert (
        people["years_bp"].tolist() == [20.0] * 3 + [0.0] * 5 and people["generation"].tolist() == [11] * 3 + [31] * 5
    )
    np.testing.assert_allclose(people["ancestry"], (bases[::2] + bases[1::2]) / (2 * length))
    origins = people[[f"load_{origin}" for origin in ORIGINS]]
    np.testing.assert_allclose(people["load"], origins.sum(axis=1))
    assert (people["load"] > 0).all()


def test_landscape_of_the_run(made):
    run, toys, found = made
    genome = run.scenario.build_genome()
    groups = found.tables["quintiles"].groupby(["of", "generation"], sort=False).size()
    wanted = [("population", 2), ("population", 31), ("sample", 11), ("sample", 31)]
    assert groups.to_dict() == dict.fromkeys(wanted, 10)
    assert found.tables["quintiles"].groupby("of")["haplotypes"].unique().map(list).to_dict() == {
        "population": [pytest.approx(np.nan, nan_ok=True)], "sample": [6, 10]
    }  # fmt: skip
    scales = found.tables["correlations"]
    assert sorted(scales["window_bp"].unique()) == [250_000, 1_000_000]
    at = found.tables["intervals"]
    assert (at["name"] == "here").all() and at["distance"].nunique() == 5
    rows = at[(at["of"] == "sample") & (at["years_bp"] == 0) & (at["distance"] == 0)]
    inside = sum(
        max(0, min(b, 20_400_000) - max(a, 20_000_000)) for h in range(6, 16) for a, b in toys["22"].archaic[h]
    )
    assert rows["ancestry"].item() == pytest.approx(inside / (10 * 400_000))
    assert (genome.chroms, len(found.tables["load"])) == (("21", "22"), 3)


def test_the_same_call_writes_the_same_bytes(made):
    run, _, found = made
    before = {p.name: p.read_bytes() for p in found.path.iterdir()}
    told = []
    interval = Interval("here", "22", 20_000_000, 20_400_000)
    again = run_statistics(run, Options(intervals=(interval,), flank=100_000), lambda *given: told.append(given))
    assert {p.name: p.read_bytes() for p in again.path.iterdir()} == before
    assert [f for f, _ in told] == sorted(f for f, _ in told) and told[-1][0] == pytest.approx(1)


def test_what_is_not_there_is_refused_or_noted(made, tmp_path):
    run, _, _ = made
    with pytest.raises(InputError, match=r"genome\.source: files"):
        run_statistics(run, Options(distance=True))
    for option, value in (("branch", "mian"), ("replicate", 3), ("twin", "neutral")):
        with pytest.raises(InputError, match=f"--{option}: got '?{value}"):
            run_statistics(run, Options(**{option: value}))
    bare, _ = make_run(tmp_path / "bare", with_trees=False)
    found = run_statistics(bare, Options(distance=False))
    assert set(found.tables) == {"correlations", "deserts", "fitness", "load", "quintiles"}
    assert len(found.notes) == 1 and "without trees" in found.notes[0]
    with pytest.raises(InputError, match="without trees"):
        run_statistics(bare, Options(roles=Roles(a="modern", c="modern", o="modern", x=("modern",))))


def test_the_neutral_twin_has_no_load(tmp_path):
    run, _ = make_run(tmp_path / "neutral", chroms=("21", "22"), twin="neutral")
    found = run_statistics(run)
    assert found.tables["people"]["load"].isna().all() and (found.tables["people"]["ancestry"] > 0).any()
    assert all((table["twin"] == "neutral").all() for table in found.tables.values())
    with pytest.raises(InputError, match="--twin"):
        run_statistics(run, Options(twin="none"))


def test_lineages_cross_at_a_pulse_of_the_coalescent_engine(made, tmp_path):
    run, _, found = made
    other = Run(path=run.path, manifest={}, _cache={"provenance.json": {"engine": "msprime"}})
    table = run_statistics(other).tables["tracts"]
    assert (table["meioses"] - found.tables["tracts"]["meioses"]).tolist() == [1, 1]
    assert (table["expected_rate"] > found.tables["tracts"]["expected_rate"]).all()


def test_without_a_pedigree_the_share_is_that_of_the_pulse(made):
    run, _, _ = made
    other = Run(path=run.path, manifest={}, _cache={"ancestors.tsv": run.table("ancestors").iloc[:1]})
    assert run_statistics(other).tables["tracts"]["share"].tolist() == [0.2, 0.2]


def test_an_expectation_that_does_not_hold_is_left_out(tmp_path):
    block = {"name": "pulse", "source": "archaic", "target": "modern", "time": 30, "share": 0.2}
    chosen = records.scenario(
        pulse=[block, block | {"name": "again", "time": 25}],
        demography=small.demes(
            ("ancestral", [], [(90, 40)]), ("modern", ["ancestral"], [(0, 40)]), ("archaic", ["ancestral"], [(25, 12)])
        ),
    )
    run, _ = make_run(tmp_path / "twice", chosen, with_trees=False)
    assert run_statistics(run).tables["fitness"]["people"].tolist() == ["archaic", "F1", "backcross", "F1"]
    clock = schedule.compile(chosen)
    rows = [("22", 30_000_000, 31_000_000, "archaic", "a", 0)]
    tracts = pd.DataFrame(rows, columns=["chrom", "start", "end", "source", "sample", "haplotype"])
    genome = chosen.build_genome()
    group = Group(
        source="archaic", deme="modern", tick=90, generation=31, years_bp=0.0, individuals=1,
        tracts=measure(tracts, genome),
    )  # fmt: skip
    summary, lengths, note = tract_tables(group, genome, clock, 0.2)
    assert "one pulse" in note and np.isnan(summary["expected_rate"].item()) and summary["tracts"].item() == 1
    assert lengths["expected"].isna().all() and lengths["observed"].iloc[0] == 1
    empty, none, _ = tract_tables(dataclasses.replace(group, tracts=group.tracts.iloc[:0]), genome, clock, 0.2)
    assert empty["ancestry"].item() == 0 and np.isnan(empty["mean_cM"].item()) and len(none) == 0


def test_distance_is_given_where_elements_have_places(tmp_path):
    small_genomes.genome(
        tmp_path / "genome",
        {c: {"length": 300_000, "elements": [(50_000, 51_000), (200_000, 200_100)]} for c in ("21", "22")},
    )
    files = {"source": "files", "map": str(tmp_path / "genome" / "map"),
             "elements": str(tmp_path / "genome" / "elements.bed"), "window": 10_000}  # fmt: skip
    run, toys = make_run(tmp_path / "run", records.scenario(genome=files))
    found = run_statistics(run)
    table = found.tables["distance"]
    assert found.notes == [] and table["bin"].tolist() == list(range(6)) * 2
    today = table[table["years_bp"] == 0]
    inside = sum(
        max(0, min(b, y) - max(a, x))
        for toy in toys.values() for h in range(6, 16) for a, b in toy.archaic[h]
        for x, y in ((50_000, 51_000), (200_000, 200_100))
    )  # fmt: skip
    assert today["ancestry"].iloc[0] == pytest.approx(inside / (10 * 2200))
    bases, length = shares(toys, run.scenario.build_genome())
    mean = (today["ancestry"] * today["sequence_bp"]).sum() / today["sequence_bp"].sum()
    assert mean == pytest.approx(bases[6:].sum() / (10 * length))
    assert "distance" not in run_statistics(run, Options(distance=False)).tables


def test_f_statistics_of_other_trees_of_the_run(made, tmp_path):
    """Recapitated trees of one chromosome, in another folder; those of the run have several roots."""
    run, toys, _ = made
    # a year is a generation here
    roles = Roles(a="modern@0y:0", c="modern@0:1", o="modern@20y:0", x=("modern@0.02ka:1-2",))
    with pytest.raises(RunError, match="several roots"):
        run_statistics(run, Options(roles=roles))
    with pytest.raises(InputError, match=r"chrN\.tsz"):
        run_statistics(run, Options(roles=roles, trees=tmp_path))
    ts = trees.build(toys["22"].record, toys["22"].labels)
    demography = msprime.Demography.from_tree_sequence(ts)
    for population in demography.populations:
        population.initial_size = 100
    for other in (1, 2):
        demography.add_mass_migration(time=40, source=other, dest=0, proportion=1)
    whole = msprime.sim_ancestry(initial_state=ts, demography=demography, random_seed=1)
    model = msprime.SLiMMutationModel(type=3, next_id=10**6)
    whole = msprime.sim_mutations(whole, rate=1e-8, model=model, keep=True, random_seed=1)
    trees.write(whole, trees.tree_path(tmp_path, "main", 0, "none", "22"))
    table = run_statistics(run, Options(roles=roles, trees=tmp_path / "trees")).tables["fstatistics"]
    assert table["people"].tolist() == ["modern@20:1-2"] * 2
    assert table["statistic"].tolist() == ["f4", "D"] and table["sites"].iloc[0] > 500
    # windows that are all gap count for nothing
    genome = run.scenario.build_genome()
    known = np.zeros(int(ts.sequence_length), bool)
    for c, start, end, gap in zip(
        genome.window_chrom, genome.window_start, genome.window_end, genome.window_gap_bp, strict=True
    ):
        if genome.chroms[c] == "22" and gap < end - start:
            known[start:end] = True
    true = sum(known[int(a) : int(b)].sum() for h in range(2, 6) for a, b in toys["22"].archaic[h])
    assert 0 < known.sum() < len(known)
    assert table["truth"].to_numpy() == pytest.approx(true / (4 * known.sum()))
