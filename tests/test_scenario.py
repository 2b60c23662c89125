# SPDX-License-Identifier: GPL-3.0-or-later
import copy
import functools
import math
import re

import pytest

from admix import schedule
from admix.errors import InputError
from admix.scenario import SCALE_REASON, Scenario, load, names, refuse_scale, text
from admix.scenario_yaml import MAX_BYTES, assign, parse_path, read, write

CATALOG = ("petr2019", "reich", "tiny")  # the others are in tests/test_catalog.py
NOTHING = object()
REMOVE = object()


@functools.cache
def parsed(name):
    return read(text(name), name)


def raw(name="reich"):
    return copy.deepcopy(parsed(name))


def changed(tree, path, value):
    """Change or remove one value of `tree`, by the same paths that messages show, and return it."""
    *parents, last = parse_path(path)
    place = tree
    for key in parents:
        place = place[key]
    if value is REMOVE:
        del place[last]
    else:
        place[last] = value
    return tree


# ---- the catalogue


def test_catalogue():
    assert set(names()) > set(CATALOG)
    assert names() == sorted(names())


@pytest.mark.parametrize("name", CATALOG)
def test_round_trip_is_identity(name, tmp_path):
    scenario = load(name)
    file = tmp_path / "resolved.yaml"
    file.write_text(scenario.to_yaml(), encoding="utf-8")
    again = load(file)
    assert again == scenario
    assert again.to_yaml() == scenario.to_yaml()
    for branch in scenario.branches:
        assert again.branch(branch.name) == scenario.branch(branch.name)
    assert again != scenario.with_set(["selection.dominance=0.4"])


@pytest.mark.parametrize("name", CATALOG)
def test_resolved_file_is_complete_readable_and_can_be_edited(name, tmp_path):
    lines = load(name).to_yaml()
    for key in (
        "unit: individuals",
        "mode: exact",
        "relax:",
        "ancestral_burnin: 7",
        "spread_generations: [2, 5, 10, 50]",
    ):
        assert key in lines
    assert "mutation_rate: 1e-08" in lines or name == "tiny"
    assert max(map(len, lines.splitlines())) <= 110
    assert "null" not in lines
    edited = re.sub(r"dominance: 0.5\n", "dominance: 0.25\n", lines)
    file = tmp_path / "mine.yaml"
    file.write_text(edited, encoding="utf-8")
    mine = load(str(file))
    assert mine.selection.dominance == 0.25
    assert mine == load(name).with_set(["selection.dominance=0.25"])


@pytest.mark.parametrize("name", CATALOG)
def test_shown_file_is_the_file_itself_with_its_comments(name):
    assert Scenario.from_tree(read(text(name), name)) == load(name)
    assert text(name).count("#") > 5


def test_reich_has_the_parameters_of_its_description():
    scenario = load("reich")
    sizes = {deme.name: [epoch.start_size for epoch in deme.epochs] for deme in scenario.graph.demes}
    assert sizes == {"ancestral": [10_000], "modern": [10_000], "neanderthal": [1000]}
    assert {deme.name: deme.start_time for deme in scenario.graph.demes} == {
        "ancestral": math.inf,
        "modern": 550_000,
        "neanderthal": 550_000,
    }
    assert scenario.graph.generation_time == 28
    assert (scenario.selection.mutation_rate, scenario.selection.dominance) == (1e-8, 0.5)
    assert (scenario.selection.dfe.mean, scenario.selection.dfe.shape) == (-0.043, 0.23)
    assert (scenario.genome.source, scenario.genome.target) == ("human_autosomes_GRCh37", "exons")
    pulses = {branch.name: scenario.branch(branch.name).pulse[0] for branch in scenario.branches}
    assert {name: (p.share, p.time, p.unit, p.mode) for name, p in pulses.items()} == {
        "p10": (0.10, 47_000, "individuals", "exact"),
        "p20": (0.20, 47_000, "individuals", "exact"),
    }
    assert scenario.sampling.ancestors_at == (70_000,)


def test_petr2019_has_the_published_parameters():
    scenario = load("petr2019")
    demes = {deme.name: deme for deme in scenario.graph.demes}
    assert {name: deme.epochs[0].start_size for name, deme in demes.items()} == {
        "ancestral": 10_000,
        "modern": 10_000,
        "neanderthal": 1000,
    }
    assert all(len(deme.epochs) == 1 for deme in demes.values())
    assert (scenario.graph.generation_time, demes["modern"].start_time) == (25, 500_000)
    assert (scenario.pulse[0].time, scenario.pulse[0].share) == (55_000, 0.10)
    assert (scenario.selection.mutation_rate, scenario.selection.dominance) == (1e-8, 0.5)
    assert (scenario.selection.dfe.mean, scenario.selection.dfe.shape) == (-0.043, 0.23)
    assert scenario.genome.target == "exons"
    assert scenario.start.ancestral_burnin == 7
    assert [branch.name for branch in scenario.branches] == ["p10"]


def test_tiny_is_tiny():
    scenario = load("tiny")
    plan = schedule.compile(scenario.branch("p10"))
    assert {d.name: d.epochs[0].start_size for d in scenario.graph.demes} == {
        "ancestral": 500,
        "modern": 500,
        "neanderthal": 50,
    }
    assert scenario.genome.chromosomes == ("20", "21", "22")
    assert plan.today <= 2000
    assert plan.generation(plan.today) == 201
    assert [scenario.branch(b.name).pulse[0].share for b in scenario.branches] == [0.1, 0.2]


# ---- what is refused: one fault at a time in every entry of the catalogue

NEA = "demography.demes[2]"
EPOCH = "demography.demes[1].epochs[0]"
ROOT = "demography.demes[0].epochs[0]"

# path to change, new value, place in the message, value in the message, part of the rule, nearest spelling
FAULTS = [
    # unknown and misspelt keys
    ("puls", 1, "puls", "1", "only the keys name, title", "pulse"),
    ("Selection", {}, "Selection", "{}", "only the keys", "selection"),
    ("selection.dominanc", 0.5, "selection.dominanc", "0.5", "only the keys dfe, dominance, mutation_rate",
     "dominance"),
    ("selection.dfe.maen", -0.1, "selection.dfe.maen", "-0.1", "only the keys kind, mean, shape", "mean"),
    ("genome.chromosome", "all", "genome.chromosome", "'all'", "only the keys source, target", "chromosomes"),
    ("genome.map", "x.txt", "genome.map", "'x.txt'", "only the keys source, target, chromosomes", None),
    ("pulse[0].shares", 0.1, "pulse[0].shares", "0.1", "only the keys name, source", "share"),
    ("pulse[0].dest", "modern", "pulse[0].dest", "'modern'", "only the keys name, source", None),
    ("start.mod", "forward", "start.mod", "'forward'", "only the keys mode, ancestral_burnin, relax", "mode"),
    ("sampling.ancestor_at", [1], "sampling.ancestor_at", "[1]", "only the keys individuals, trees, ancestors_at",
     "ancestors_at"),
    ("citation[0].DOI", "x", "citation[0].DOI", "'x'", "only the keys text, doi", "doi"),
    ("branches[0].sets", {}, "branches[0].sets", "{}", "only the keys name, set", "set"),
    ("run", {"sead": 1}, "run.sead", "1", "only the keys engine, history, seed", "seed"),
    ("demography.deme", [], "demography.deme", "[]", "only the keys description, time_units", "demes"),
    (f"{NEA}.ancestor", ["modern"], f"{NEA}.ancestor", "['modern']", "only the keys name, description",
     "ancestors"),
    (f"{EPOCH}.size", 5, f"{EPOCH}.size", "5", "only the keys end_time, start_size", "end_size"),
    (f"{EPOCH}.start_sise", 5, f"{EPOCH}.start_sise", "5", "only the keys end_time", "start_size"),
    (f"{EPOCH}.selfing_rate", 0.5, f"{EPOCH}.selfing_rate", "0.5", "only the keys end_time", None),
    # missing
    ("name", REMOVE, "name", "nothing", "this key has to be there", None),
    ("demography", REMOVE, "demography", "nothing", "this key has to be there", None),
    ("selection", REMOVE, "selection", "nothing", "this key has to be there", None),
    ("selection.mutation_rate", REMOVE, "selection.mutation_rate", "nothing",
     "a rate per functional bp", None),
    ("selection.dfe.shape", REMOVE, "selection.dfe.shape", "nothing", "a number above 0", None),
    ("selection.dfe.kind", REMOVE, "selection.dfe.kind", "nothing",
     "a block with kind: gamma, lognormal", None),
    ("pulse[0].share", REMOVE, "pulse[0].share", "nothing", "a share from 0 to 1", None),
    ("pulse[0].time", REMOVE, "pulse[0].time", "nothing", "years ago, above 0", None),
    ("genome.source", REMOVE, "genome.source", "nothing",
     "a block with source: human_autosomes_GRCh37, files", None),
    ("demography.generation_time", REMOVE, "demography.generation_time", "nothing",
     "years per generation", None),
    (f"{EPOCH}.start_size", REMOVE, f"{EPOCH}.start_size", "nothing",
     "the first epoch of a deme needs one", None),
    (f"{ROOT}.end_time", REMOVE, "demography.demes[1].start_time", "nothing", "not implied", None),
    # wrong types: a bool is no number, a number in quotes is text
    (f"{EPOCH}.start_size", True, f"{EPOCH}.start_size", "True", "a number of individuals from 2", None),
    (f"{EPOCH}.start_size", "10000", f"{EPOCH}.start_size", "'10000'",
     "a number of individuals from 2", None),
    ("selection.mutation_rate", "1e-8", "selection.mutation_rate", "'1e-8'",
     "a rate per functional bp", None),
    ("selection.dominance", True, "selection.dominance", "True", "a number from 0 (recessive) to 1", None),
    ("selection.dominance", "half", "selection.dominance", "'half'",
     "a number from 0 (recessive) to 1", None),
    ("selection.dominance", [0.5], "selection.dominance", "[0.5]", "a number from 0 (recessive) to 1", None),
    ("selection", 3, "selection", "3", "a block of keys and values", None),
    ("demography", [], "demography", "[]", "a block of keys and values", None),
    ("pulse[0].share", False, "pulse[0].share", "False", "a share from 0 to 1", None),
    ("pulse[0].time", "47 ky", "pulse[0].time", "'47 ky'", "years ago, above 0", None),
    ("start.relax", 10.5, "start.relax", "10.5", "a whole number of generations", None),
    ("start.relax", True, "start.relax", "True", "a whole number of generations", None),
    ("run", {"seed": 1.5}, "run.seed", "1.5", "a whole number from 1", None),
    ("run", {"replicates": 0}, "run.replicates", "0", "a whole number from 1 on", None),
    ("title", 7, "title", "7", "text", None),
    ("demography.demes", {"modern": {}}, "demography.demes", "{'modern': {}}",
     "a list of at least two demes", None),
    ("sampling.ancestors_at", 70000, "sampling.ancestors_at", "70000", "a list of dates in years ago", None),
    ("sampling.landscape_generations", [10, 2], "sampling.landscape_generations", "[10, 2]",
     "in rising order", None),
    ("sampling.spread_generations", [0, 2], "sampling.spread_generations", "[0, 2]",
     "generations from 1 to 10,000,000", None),
    # numbers that are none
    (f"{EPOCH}.start_size", math.nan, f"{EPOCH}.start_size", "nan", "a number of individuals from 2", None),
    (f"{EPOCH}.start_size", math.inf, f"{EPOCH}.start_size", "inf", "a number of individuals from 2", None),
    ("selection.dfe.mean", math.nan, "selection.dfe.mean", "nan", "a number from -1", None),
    ("selection.mutation_rate", math.inf, "selection.mutation_rate", "inf", "a rate per functional bp", None),
    ("pulse[0].share", math.nan, "pulse[0].share", "nan", "a share from 0 to 1", None),
    ("pulse[0].time", math.inf, "pulse[0].time", "inf", "years ago, above 0", None),
    ("demography.generation_time", math.nan, "demography.generation_time", "nan",
     "years per generation", None),
    # out of range
    ("pulse[0].share", 1.5, "pulse[0].share", "1.5", "a share from 0 to 1", None),
    ("pulse[0].share", -0.1, "pulse[0].share", "-0.1", "a share from 0 to 1", None),
    ("pulse[0].share", 10, "pulse[0].share", "10", "a share from 0 to 1", None),
    ("pulse[0].time", 0, "pulse[0].time", "0", "years ago, above 0", None),
    ("pulse[0].time", -47000, "pulse[0].time", "-47000", "years ago, above 0", None),
    (f"{EPOCH}.start_size", 0, f"{EPOCH}.start_size", "0", "a number of individuals from 2", None),
    (f"{EPOCH}.start_size", -5, f"{EPOCH}.start_size", "-5", "a number of individuals from 2", None),
    (f"{EPOCH}.start_size", 10**12, f"{EPOCH}.start_size", "1000000000000", "from 2 to 10,000,000", None),
    ("demography.generation_time", 0, "demography.generation_time", "0", "years per generation", None),
    ("selection.dominance", 1.1, "selection.dominance", "1.1", "a number from 0 (recessive) to 1", None),
    ("selection.dominance", -0.1, "selection.dominance", "-0.1", "a number from 0 (recessive) to 1", None),
    ("selection.mutation_rate", -1e-8, "selection.mutation_rate", "-1e-08", "from 0 to 1e-4", None),
    ("selection.mutation_rate", 1, "selection.mutation_rate", "1", "from 0 to 1e-4", None),
    ("selection.dfe.mean", 0.043, "selection.dfe.mean", "0.043", "mutations are deleterious", None),
    ("selection.dfe.mean", -1.043, "selection.dfe.mean", "-1.043", "a number from -1 (lethal)", None),
    ("selection.dfe.shape", 0, "selection.dfe.shape", "0", "a number above 0", None),
    ("start.ancestral_burnin", 0, "start.ancestral_burnin", "0", "a number above 0 and up to 100", None),
    # words
    ("selection.dfe.kind", "gama", "selection.dfe.kind", "'gama'", "a block with kind: gamma, lognormal",
     "gamma"),
    ("selection.dominance", {"kind": "clases"}, "selection.dominance.kind", "'clases'",
     "or a block with kind: hs", "classes"),
    ("genome.target", "exon", "genome.target", "'exon'", "one of exons, cds", "exons"),
    ("genome.source", "human", "genome.source", "'human'", "a block with source: human_autosomes", None),
    ("genome.chromosomes", "20", "genome.chromosomes", "'20'", "all, or a list of different names", None),
    ("genome.chromosomes", [20, 20], "genome.chromosomes", "['20', '20']", "a list of different names", None),
    ("pulse[0].unit", "f1", "pulse[0].unit", "'f1'", "one of individuals, F1, gametes", "F1"),
    ("pulse[0].mode", "exactly", "pulse[0].mode", "'exactly'", "one of exact, binomial", "exact"),
    ("start.mode", "foward", "start.mode", "'foward'", "one of stationary, forward", "forward"),
    ("run", {"twin": "neutrl"}, "run.twin", "'neutrl'", "one of none, neutral", "neutral"),
    ("demography.time_units", "generations", "demography.time_units", "'generations'", "one of years", None),
    (f"{EPOCH}.size_function", "expo", f"{EPOCH}.size_function", "'expo'", "one of constant, linear", None),
    ("name", "../up", "name", "'../up'", "a name of up to 100 letters, digits", None),
    ("branches[0].name", "p 10", "branches[0].name", "'p 10'", "a name of up to 100 letters, digits", None),
    ("demography.demes[1].name", "modern-1", "demography.demes[1].name", "'modern-1'",
     "letters, digits and _", None),
    # names that must be known, or new
    ("pulse[0].source", "neandertal", "pulse[0].source", "'neandertal'", "one of the demes", "neanderthal"),
    ("pulse[0].target", "humans", "pulse[0].target", "'humans'", "one of the demes ancestral, modern", None),
    ("pulse[0].target", "neanderthal", "pulse[0].target", "'neanderthal'",
     "another deme than the source", None),
    (f"{NEA}.ancestors", ["ancestrl"], f"{NEA}.ancestors[0]", "'ancestrl'", "listed earlier", "ancestral"),
    (f"{NEA}.ancestors", [], f"{NEA}.ancestors", "nothing", "only ancestral has always existed", None),
    ("demography.demes[1].ancestors", ["neanderthal"], "demography.demes[1].ancestors[0]", "'neanderthal'",
     "order the demes from old to new", None),
    (f"{NEA}.name", "modern", f"{NEA}.name", "'modern'", "a name of its own", None),
    # times that cannot be
    ("pulse[0].time", 900_000, "pulse[0].time", "900000", "the source neanderthal does not exist yet", None),
    ("pulse[0].time", 100, "pulse[0].time", "100", "the source neanderthal does not exist any more", None),
    (f"{ROOT}.end_time", -1, f"{ROOT}.end_time", "-1", "years ago, from 0 (today)", None),
    (f"{NEA}.epochs[0].end_time", 900_000, f"{NEA}.epochs[0].end_time", "900000",
     "when the epoch starts", None),
    (f"{NEA}.start_time", 1, f"{NEA}.start_time", "1", "a time at which its ancestor ancestral lives", None),
    (f"{NEA}.start_time", math.inf, f"{NEA}.start_time", "inf",
     "a time at which its ancestor ancestral", None),
    ("demography.demes[0].start_time", 900_000, "demography.demes[0].start_time", "900000", "or .inf", None),
    (f"{NEA}.epochs", [{"start_size": 50}, {"end_time": 0}], f"{NEA}.epochs[0].end_time", "nothing",
     "only the last", None),
    (f"{NEA}.epochs", [], f"{NEA}.epochs", "[]", "a list of epochs, at least one", None),
    # parts that do not fit together
    (f"{ROOT}.end_size", 20_000, f"{ROOT}.end_size", "20000", "the epoch has no beginning", None),
    (f"{NEA}.ancestors", ["ancestral", "modern"], f"{NEA}.proportions", "nothing",
     "2 shares that add up to 1", None),
    (f"{NEA}.proportions", [0.4], f"{NEA}.proportions", "[0.4]", "1 shares (one for each ancestor)", None),
    ("demography.migrations", [{"source": "modern", "dest": "modrn", "rate": 0.1}],
     "demography.migrations[0].dest", "'modrn'", "one of the demes", "modern"),
    ("demography.migrations", [{"source": "modern", "dest": "neanderthal", "rate": 1.1}],
     "demography.migrations[0].rate", "1.1", "a share from 0 to 1", None),
    ("demography.migrations", [{"source": "modern", "dest": "neanderthal", "rate": 0.1, "end_time": 9e5}],
     "demography.migrations[0].end_time", "900000", "when modern and neanderthal both live", None),
    ("demography.migrations", [{"source": "modern", "rate": 0.1}], "demography.migrations[0].dest", "nothing",
     "one of the demes", None),
    ("demography.migrations", [{"rate": 0.1}], "demography.migrations[0]", "['rate']",
     "either source and dest", None),
    ("demography.pulses", [], "demography.pulses", "[]", "the scenario's own pulse block only", None),
    ("pulse", [], "pulse", "[]", "a pulse, or a list of at least one", None),
    # branches
    ("branches", [{"name": "a"}, {"name": "a"}], "branches[1].name", "'a'", "a name of its own", None),
    ("branches", [{"name": "a", "set": {"selection.dominance": 0}}],
     "branches[0].set.selection.dominance", "0",
     "branches share one history", None),
    ("branches", [{"name": "a", "set": {"pulse[0].share": 2}}], "branches[0].set.pulse[0].share", "2",
     "a share from 0 to 1", None),
    ("branches", [{"name": "a", "set": {"pulse[0].shar": 0}}], "branches[0].set.pulse[0].shar", "0",
     "only the keys", "share"),
    ("branches", [{"name": "a", "set": {"pulse[1].share": 0}}], "branches[0].set.pulse[1].share", "1",
     "a part of pulse", None),
    ("branches", [{"name": "a", "set": {"pulse.share": 0, "pulse[0].share": 0}}],
     "branches[0].set.pulse[0].share", "0",
     "each field once", None),
    ("branches", [{"name": "a", "set": [1]}], "branches[0].set", "[1]", "a block of fields", None),
    # scaling
    ("scale", 10, "scale", "10", "1 only: rescaling", None),
    ("selection.scale", 5, "selection.scale", "5", "1 only: rescaling", None),
]  # fmt: skip


def test_the_corpus_of_faults_is_not_empty():
    assert len(FAULTS) >= 100


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize(
    ("path", "value", "where", "given", "allowed", "near"),
    FAULTS,
    ids=[f"{f[0]}={'removed' if f[1] is REMOVE else str(f[1])[:25]}" for f in FAULTS],
)
def test_fault_is_refused_in_one_line_with_all_its_parts(name, path, value, where, given, allowed, near, tmp_path):
    faulty = changed(raw(name), path, value)
    with pytest.raises(InputError) as caught:
        Scenario.from_tree(faulty)
    if name == "tiny":  # the way through a file is slower and leads to the same message
        file = tmp_path / "faulty.yaml"
        file.write_text(write(faulty), encoding="utf-8")
        with pytest.raises(InputError, match=re.escape(str(caught.value))):
            load(file)
    message = str(caught.value)
    assert message.startswith(f"{where}: got {given}; allowed: ")
    assert allowed in message
    assert message.endswith(f"; did you mean {near}?") if near else "did you mean" not in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def leaves(tree, path=""):
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            part = f"[{key}]" if isinstance(key, int) else f".{key}"
            if "[" not in str(key):  # keys of branches are paths themselves
                yield f"{path}{part}".removeprefix(".")
                yield from leaves(value, f"{path}{part}")


RUBBISH = [
    None,
    True,
    "",
    "x",
    "0.1",
    [],
    [[]],
    {},
    {"a": 1},
    math.nan,
    math.inf,
    -math.inf,
    -1,
    0,
    10**400,
    1e300,
]


@pytest.mark.parametrize("path", list(leaves(parsed("reich"))))
def test_rubbish_anywhere_is_accepted_or_refused_in_one_line(path):
    refused = 0
    for value in RUBBISH:
        try:
            Scenario.from_tree(changed(raw(), path, value))
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "allowed: " in str(error)
    assert refused >= 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a\nname: b\n", "bad.yaml:2: got 'name'; allowed: each key once in a block"),
        ("a: [1, 2\n", "allowed: YAML; expected ',' or ']'"),
        ("a: b: c\n", "bad.yaml:1: got 'a: b: c'; allowed: YAML; mapping values are not allowed here"),
        ("a: &x 1\nb: *x\n", "bad.yaml:2: got '*x'; allowed: no YAML aliases"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("[" * 200, "allowed: at most 40 levels"),
        ("1: 2\n", "got 1; allowed: keys that are text"),
        ("a: 1\n---\nb: 1\n", "found another document"),
        ("\x00", "allowed: YAML; unacceptable character"),
        ("", "scenario: got nothing; allowed: a block of keys and values"),
        ("- 1\n", "scenario: got [1]; allowed: a block of keys and values"),
        ("# " + "x" * MAX_BYTES, "allowed: a scenario of up to 1,000,000"),
    ],
)
def test_text_that_is_no_scenario(content, message, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"scenario: got 'riech'; allowed: a name .*; did you mean reich\?"):
        load("riech")
    with pytest.raises(InputError, match=r"scenario: got .*none.yaml'; allowed: a file .*No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        load(f"{tmp_path}/")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match="text in UTF-8"):
        load(binary)
    with pytest.raises(InputError, match=r"got 'rich'.*did you mean reich\?"):
        text("rich")


# ---- what is accepted


def test_numbers_are_read_as_yaml_1_2():
    assert read("a: 1e-8", "x") == {"a": 1e-8}
    assert read("a: no", "x") == {"a": "no"}


def test_a_single_pulse_may_be_a_block_and_gets_a_name():
    tree = raw("petr2019")
    tree["pulse"] = {key: value for key, value in tree["pulse"][0].items() if key != "name"}
    assert Scenario.from_tree(tree) == load("petr2019")
    tree["pulse"] = [{**tree["pulse"]}, {**tree["pulse"], "time": 60_000}]
    tree["branches"] = []
    scenario = Scenario.from_tree(tree)
    assert [pulse.name for pulse in scenario.pulse] == ["pulse1", "pulse2"]
    assert [branch.name for branch in scenario.branches] == ["main"]
    tree["pulse"][0]["name"] = tree["pulse"][1]["name"] = "one"
    with pytest.raises(InputError, match=r"pulse\[1\].name: got 'one'; allowed: a name of its own"):
        Scenario.from_tree(tree)


def test_f1_share_is_a_share_of_dna():
    load("petr2019").with_set(["pulse.unit=F1", "pulse.share=0.5"])
    with pytest.raises(InputError, match=r"pulse\[0\].share: got 0.6; allowed: a share from 0 to 0.5 for unit F1"):
        load("petr2019").with_set(["pulse.unit=F1", "pulse.share=0.6"])


def test_scale_of_one_is_accepted_anywhere_else_refused():
    assert Scenario.from_tree({**raw(), "scale": 1}) == load("reich")
    refuse_scale({"scale": 1.0})
    for value in (10, 0.1, "1", True, None):
        with pytest.raises(InputError) as caught:
            refuse_scale({"a": [{"scaling_factor": value}]})
        assert caught.value.where == "a[0].scaling_factor"
        assert caught.value.allowed == SCALE_REASON


def test_defaults_block_of_demes_is_applied():
    tree = raw()
    tree["demography"]["defaults"] = {"epoch": {"start_size": 123}, "deme": {"description": "x"}}
    for deme in tree["demography"]["demes"][1:]:
        del deme["epochs"][0]["start_size"]
    tree["demography"]["demes"][2]["defaults"] = {"epoch": {"start_size": 45}}
    scenario = Scenario.from_tree(tree)
    assert [deme.epochs[0].start_size for deme in scenario.graph.demes] == [10_000, 123, 45]
    assert Scenario.from_tree(read(scenario.to_yaml(), "x")) == scenario


def test_demography_stays_as_written():
    # Filling in end_size would turn a later --set start_size=... into exponential growth.
    assert "end_size" not in load("reich").to_yaml()
    changed_size = load("reich").with_set(["demography.demes.modern.epochs[0].start_size=500"])
    assert changed_size.graph["modern"].epochs[0].end_size == 500


def test_graph_with_pulses():
    tree = raw("petr2019")
    tree["demography"]["demes"].append({"name": "other", "ancestors": ["ancestral"], "epochs": [{"start_size": 50}]})
    tree["pulse"].append({"name": "b", "source": "other", "target": "modern", "time": 55_000, "share": 0.02})
    tree["pulse"].append({"name": "c", "source": "other", "target": "modern", "time": 30_000, "share": 0.01})
    graph = Scenario.from_tree(tree).graph_with_pulses()
    assert [(p.sources, p.proportions, p.dest, p.time) for p in graph.pulses] == [
        (["neanderthal", "other"], [0.1, 0.02], "modern", 55_000),
        (["other"], [0.01], "modern", 30_000),
    ]
    assert load("reich").graph.pulses == []


def test_no_more_sources_than_mutations_can_name():
    tree = raw("petr2019")
    tree["pulse"] = []
    for k in range(9):
        tree["demography"]["demes"].append(
            {"name": f"other{k}", "ancestors": ["ancestral"], "epochs": [{"start_size": 50}]}
        )
        tree["pulse"].append(
            {"name": f"p{k}", "source": f"other{k}", "target": "modern", "time": 55_000, "share": 0.01}
        )
    with pytest.raises(InputError, match=r"pulse\[8\].source: got 'other8'; allowed: at most 8 different sources"):
        Scenario.from_tree(tree)
    tree["pulse"][8]["source"] = "other0"
    assert len(Scenario.from_tree(tree).pulse) == 9


def test_scenario_does_not_change():
    scenario = load("reich")
    with pytest.raises(Exception, match="frozen"):
        scenario.name = "other"
    with pytest.raises(Exception, match="frozen"):
        scenario.pulse[0].share = 0.5
    assert isinstance(scenario.pulse, tuple)


def test_run_block_is_kept():
    scenario = load("tiny").with_run(seed=3, replicates=2, burnins=1, start="forward", twin=None)
    assert scenario.run.given() == {"seed": 3, "replicates": 2, "burnins": 1, "start": "forward"}
    again = Scenario.from_tree(read(scenario.to_yaml(), "x"))
    assert again == scenario
    assert "run:" not in load("tiny").to_yaml()
    assert scenario.branch("p10").run.seed == 3


def test_paths_of_genome_files_are_relative_to_the_scenario(tmp_path):
    tree = raw("tiny")
    tree["genome"] = {"source": "files", "map": "maps/a.txt", "elements": str(tmp_path / "b.bed")}
    file = tmp_path / "mine.yaml"
    file.write_text(write(tree), encoding="utf-8")
    scenario = load(file)
    assert scenario.genome.map == str(tmp_path / "maps" / "a.txt")
    assert scenario.genome.elements == str(tmp_path / "b.bed")
    assert scenario.genome.window == 100_000
    copied = tmp_path / "run" / "scenario.yaml"
    copied.parent.mkdir()
    copied.write_text(scenario.to_yaml(), encoding="utf-8")
    assert load(copied) == scenario


def test_genome_and_selection_are_built_as_described():
    scenario = load("tiny")
    genome = scenario.build_genome()
    assert genome.chroms == ("20", "21", "22")
    assert genome.target == "exons"
    assert 4e6 < genome.functional_bp < 5e6
    assert scenario.build_selection() is scenario.selection
    with pytest.raises(InputError, match="23"):
        scenario.with_set(["genome.chromosomes=[23]"]).build_genome()


# ---- --set


@pytest.mark.parametrize(
    ("assignment", "look", "value"),
    [
        ("selection.dominance=0.1", lambda s: s.selection.dominance, 0.1),
        ("selection.dominance={kind: hs, h0: 0.5, k: 7071.07}",
         lambda s: getattr(s.selection.dominance, "k", None), 7071.07),
        ("selection.mutation_rate=7e-9", lambda s: s.selection.mutation_rate, 7e-9),
        ("pulse[0].share=0.2", lambda s: s.pulse[0].share, 0.2),
        ("pulse.share=0.2", lambda s: s.pulse[0].share, 0.2),
        ("pulse.pulse.share=0.2", lambda s: s.pulse[0].share, 0.2),
        ("demography.demes[1].epochs[0].start_size=500",
         lambda s: s.graph["modern"].epochs[0].start_size, 500),
        ("demography.demes.neanderthal.epochs[0].start_size=500",
         lambda s: s.graph["neanderthal"].epochs[0].start_size, 500),
        ("demography.demes.neanderthal.epochs.start_size=500",
         lambda s: s.graph["neanderthal"].epochs[0].start_size, 500),
        ("demography.demes.modern.epochs[0].end_size=500",
         lambda s: s.graph["modern"].epochs[0].end_size, 500),
        ("genome.target=cds", lambda s: s.genome.target, "cds"),
        ("genome.chromosomes=[1, X]", lambda s: s.genome.chromosomes, ("1", "X")),
        ("sampling.ancestors_at=[60000, 70000]", lambda s: s.sampling.ancestors_at, (60_000, 70_000)),
        ("title=a = b: 1".replace(": 1", ""), lambda s: s.title, "a = b"),
        ("branches.p10.set.pulse.share=0.3", lambda s: s.branch("p10").pulse[0].share, 0.3),
    ],
)  # fmt: skip
def test_set(assignment, look, value):
    scenario = load("petr2019")
    assert look(scenario) != value if "branches" not in assignment else True
    result = scenario.with_set([assignment])
    assert look(result) == value
    assert Scenario.from_tree(read(result.to_yaml(), "x")) == result


def test_set_several_in_order():
    result = load("reich").with_set(["branches=[]", "pulse.share=0.05", "pulse.share=0.06"])
    assert result.pulse[0].share == 0.06
    assert load("reich").with_set([]) == load("reich")


def test_set_in_a_branch_replaces_what_is_there():
    result = load("reich").with_set(["branches.p20.set.pulse.share=0.3"])
    assert [result.branch(name).pulse[0].share for name in ("p10", "p20")] == [0.1, 0.3]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("selction.dominance=0.1",
         "--set selction.dominance: got 'selction'; allowed: one of name, .*; did you mean selection?"),
        ("selection.dominanc=0.1",
         "selection.dominanc: got 0.1; allowed: only the keys .*; did you mean dominance?"),
        ("selection.dominance=lots", "selection.dominance: got 'lots'; allowed: a number from 0"),
        ('selection.dominance="0.1"', "selection.dominance: got '0.1'; allowed: a number from 0"),
        ("selection.dominance", "--set: got 'selection.dominance'; allowed: PATH=VALUE"),
        ("selection..dominance=1", "allowed: names and numbers as in pulse[0].share"),
        ("=1", "allowed: names and numbers as in pulse[0].share"),
        ("pulse[1].share=0.1", "--set pulse[1].share: got 1; allowed: a part of pulse: [0] to [0]"),
        ("selection[0]=0.1", "--set selection[0]: got '[0]'; allowed: a key of selection: dfe, dominance"),
        ("pulse.share.x=0.1", "--set pulse.share.x: got 'x'; allowed: nothing further"),
        ("demography.demes.neandertal.name=x",
         "got 'neandertal'; allowed: a part of demography.demes: .*, [0] to [2]; did you mean neanderthal?"),
        ("selection.dominance=[1", "--set selection.dominance:1: got '[1'; allowed: YAML"),
        ("scale=10", "scale: got 10; allowed: 1 only: rescaling"),
        ("pulse.share=0.2",
         "--set pulse[0].share: got 0.2; allowed: a value for each branch, as p10 and p20 set their own"),
        ("branches.p30.set.pulse.share=1",
         "got 'p30'; allowed: a part of branches: p10, p20, [0] to [1]; did you mean"),
        ("branches.p10.set.selection.dominance=0", "branches share one history"),
    ],
)  # fmt: skip
def test_set_is_refused(assignment, message):
    with pytest.raises(InputError) as caught:
        load("reich").with_set([assignment])
    pattern = ".*".join(re.escape(part) for part in message.split(".*"))
    assert re.search(pattern, str(caught.value))
    assert "\n" not in str(caught.value)


def test_unknown_branch():
    with pytest.raises(InputError, match=r"branches: got 'p11'; allowed: one of p10, p20; did you mean p10\?"):
        load("reich").branch("p11")


def test_assign_returns_the_full_path():
    tree = {"a": [{"name": "x", "b": 1}, {"name": "y", "b": 2}]}
    assert assign(tree, "a.y.b", 3) == "a[1].b"
    assert tree["a"][1]["b"] == 3


@pytest.mark.parametrize(
    "value",
    [
        "1e-8",
        "null",
        "no",
        "a: b",
        "- x",
        "#",
        "  x ",
        "x\ny",
        "",
        "~",
        "2024-01-01",
        "é" * 120,
        ("w" * 9 + " ") * 30,
    ],
)
def test_written_text_is_read_back(value):
    tree = {"text": value, "list": [value], "n": 1e-8, "deep": [{"a": [1, 2.5]}]}
    assert read(write(tree), "x") == tree
