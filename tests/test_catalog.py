# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog, field by field against a second version of it, written from the papers' parameters.

The twins below were written from the project's table of facts (and, for Jacobs et al. and Gravel et al., from
stdpopsim's catalog), in generations and not in years, without a look at the YAML files.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from admix import cli, prediction, schedule
from admix.cli_process import execute
from admix.scenario import Scenario, load, names

EW06 = stats.gamma(0.23, scale=0.043 / 0.23)
KIM17 = stats.gamma(0.186, scale=2 * 875 / (2 * 12_378))
ALWAYS = np.inf


@dataclass
class Twin:
    """A scenario in generations: demes as {name: (ancestor, [(from, to, N at start, N at end), ...])}."""

    years: float
    demes: dict
    pulses: dict  # by branch: [(source, target, generations ago, share)]
    rate: float
    dfe: object
    dominance: object = 0.5
    target: str = "exons"
    chromosomes: object = "all"
    migration: list = field(default_factory=list)
    unit: str = "individuals"
    mode: str = "exact"
    tested: str = ""


def three(split, pulse, modern=None, N=10_000, nea=1_000):
    return {
        "ancestral": (None, [(ALWAYS, split, N, N)]),
        "modern": ("ancestral", modern or [(split, 0, N, N)]),
        "neanderthal": ("ancestral", [(split, pulse, nea, nea)]),
    }


def one(generations, **shares):
    return {branch: [("neanderthal", "modern", generations, share)] for branch, share in shares.items()}


TWINS = {
    # sections 1 and 3: N 10,000 / 10,000 / 1,000, apart for 16,000 generations, pulse 2,000 ago, N 1,032 from the pulse
    # until 1,100 ago, then exponential growth to 20,000; mu 7e-9; h 0.5
    "harris-nielsen2016": Twin(
        years=25,
        demes=three(18_000, 2_000, [(18_000, 2_001, 1e4, 1e4), (2_001, 1_100, 1032, 1032), (1_100, 0, 1032, 2e4)]),
        pulses=one(2_000, p10=0.1, p01=0.01), rate=7e-9, dfe=EW06,
    ),
    # section 2: t = 2,000 generations, cost 4e-4 a copy; sizes and split of reich
    "juric2016": Twin(
        years=28, demes=three(550_000 / 28, 2_000), pulses=one(2_000, main=0.1), rate=2e-9, dfe=8e-4,
    ),
    # section 4: source; recipient before; just before the pulse; after
    "kim2018": Twin(
        years=1,
        demes={
            "ancestral": (None, [(ALWAYS, 30_000, 1e4, 1e4)]),
            "large_source": ("ancestral", [(30_000, 10_000, 1e4, 1e4)]),
            "small_source": ("ancestral", [(30_000, 10_000, 1e3, 1e3)]),
            "model0": ("ancestral", [(30_000, 0, 1e4, 1e4)]),
            "model1": ("ancestral", [(30_000, 10_051, 1e4, 1e4), (10_051, 10_001, 1e3, 1e3), (10_001, 0, 1e4, 1e4)]),
            "model2": ("ancestral", [(30_000, 0, 1e4, 1e4)]),
            "model3": ("ancestral", [(30_000, 0, 1e3, 1e3)]),
            "model4": ("ancestral", [(30_000, 10_001, 1e3, 1e3), (10_001, 0, 1e4, 1e4)]),
        },
        pulses={
            "main": [
                (f"{'small' if k == 2 else 'large'}_source", f"model{k}", 10_000, 0.05) for k in range(5)
            ]
        },
        rate=1.5e-8 * 2.31 / 3.31, dfe=KIM17, dominance=0.0, target="cds", chromosomes=("22",),
    ),
    # section 6: one gene flow 50.5 to 43.5 ka; 10 % in all
    "iasi2024": Twin(
        years=28, demes=three(550_000 / 28, 43_500 / 28),
        pulses=one(50_500 / 28, main=1 - 0.9 ** (1 / 251)), rate=1e-8, dfe=EW06,
        migration=[("neanderthal", "modern", 50_500 / 28, 43_500 / 28, 1 - 0.9 ** (1 / 251))],
    ),
    # stdpopsim's PapuansOutOfAfrica_10J19: archaic split 20,225, pulses 1,853 and 1,566 generations ago, 29 years
    "two-pulse": Twin(
        years=29, demes=three(20_225, 1_566),
        pulses={
            branch: [("neanderthal", "modern", 1_853, 0.024 * f), ("neanderthal", "modern", 1_566, 0.011 * f)]
            for branch, f in {"fitted": 1, "fourfold": 4}.items()
        },
        rate=1e-8, dfe=EW06,
    ),
    # the same: Denisovans and Neanderthals part 15,090 generations ago; 4 % in two pulses, 45 % of it D2 (45.7 ka) and
    # 55 % D1 (29.8 ka)
    "denisova": Twin(
        years=29,
        demes={
            "ancestral": (None, [(ALWAYS, 20_225, 1e4, 1e4)]),
            "modern": ("ancestral", [(20_225, 0, 1e4, 1e4)]),
            "archaic": ("ancestral", [(20_225, 15_090, 1e3, 1e3)]),
            "neanderthal": ("archaic", [(15_090, 1_853, 1e3, 1e3)]),
            "denisovan": ("archaic", [(15_090, 29_800 / 29, 1e3, 1e3)]),
        },
        pulses={
            "fitted": [
                ("neanderthal", "modern", 1_853, 0.024),
                ("denisovan", "modern", 45_700 / 29, 0.45 * 0.04),
                ("denisovan", "modern", 29_800 / 29, 0.55 * 0.04),
            ]
        },
        rate=1e-8, dfe=EW06,
    ),
    # section 3: 500 and 55 ky at 25 years; 1,861, from 23 ka on 1,032 exp(0.0038 t)
    "gravel": Twin(
        years=25,
        demes=three(
            20_000, 2_200,
            [(20_000, 2_201, 1e4, 1e4), (2_201, 920, 1861, 1861), (920, 0, 1032, round(1032 * np.exp(0.0038 * 920)))],
        ),
        pulses=one(2_200, p10=0.1), rate=1e-8, dfe=EW06,
    ),
    # our own: 500 generations at 1,000 before the pulse, recessive
    "bottleneck-heterosis": Twin(
        years=28,
        demes=three(
            550_000 / 28, 47_000 / 28,
            [(550_000 / 28, 61_000 / 28, 1e4, 1e4), (61_000 / 28, 47_028 / 28, 1e3, 1e3), (47_028 / 28, 0, 1e4, 1e4)],
        ),
        pulses=one(47_000 / 28, p05=0.05), rate=7e-9, dfe=EW06, dominance=0.0,
    ),
    "neutral": Twin(
        years=28, demes=three(550_000 / 28, 47_000 / 28), pulses=one(47_000 / 28, p10=0.1, p20=0.2), rate=0.0, dfe=0.0,
    ),
    # section 7 and design
    "reich": Twin(
        years=28, demes=three(550_000 / 28, 47_000 / 28), pulses=one(47_000 / 28, p10=0.1, p20=0.2), rate=1e-8,
        dfe=EW06,
    ),
    "petr2019": Twin(years=25, demes=three(20_000, 2_200), pulses=one(2_200, p10=0.1), rate=1e-8, dfe=EW06),
    # section 3, the coalescent model for f4: splits 6 My, 500, 150 and 60 ky ago; 3 % at 55 ky; 10 % in all into both
    # Africans over 20 to 2 ky; the ancestral size is that of the forward model
    "fstatistics": Twin(
        years=25,
        demes={
            "common_ancestor": (None, [(ALWAYS, 240_000, 1e4, 1e4)]),
            "chimpanzee": ("common_ancestor", [(240_000, 0, 1e4, 1e4)]),
            "hominin": ("common_ancestor", [(240_000, 20_000, 1e4, 1e4)]),
            "neanderthal": ("hominin", [(20_000, 2_200, 1e3, 1e3)]),
            "modern": ("hominin", [(20_000, 6_000, 2e4, 2e4)]),
            "yoruba": ("modern", [(6_000, 0, 2e4, 2e4)]),
            "dinka": ("modern", [(6_000, 0, 2e4, 2e4)]),
            "european": ("dinka", [(2_400, 2_200, 2e3, 2e3), (2_200, 0, 5e3, 5e3)]),
        },
        pulses={"main": [("neanderthal", "european", 2_200, 0.03)]}, rate=1e-8, dfe=0.0,
        migration=[("european", african, 800, 80, 0.1 / 720) for african in ("dinka", "yoruba")],
        unit="gametes", mode="binomial",
    ),
}  # fmt: skip
TOYS = {"tiny"}

# What a scenario consists of, and how the twins cover it; what is not biology is listed.
COVERED = {"demography", "genome", "selection", "pulse", "branches"}
NOT_BIOLOGY = {"name", "title", "description", "citation", "start", "sampling", "run"}


def differences(scenario: Scenario, twin: Twin) -> list[str]:
    """Every field in which a scenario and its twin differ."""
    found = []

    def same(field_, got, want, close=0.0):
        if not (np.allclose(got, want, rtol=close, atol=close / 1000) if close else got == want):
            found.append(f"{field_}: {got} and not {want}")

    clock = twin.years
    same("generation_time", scenario.demography.generation_time, clock)
    graph = scenario.graph
    same("demes", {d.name for d in graph.demes}, set(twin.demes))
    for deme in graph.demes:
        ancestor, epochs = twin.demes.get(deme.name, (None, []))
        same(f"{deme.name}.ancestors", list(deme.ancestors), [ancestor] if ancestor else [])
        same(f"{deme.name}.epochs", len(deme.epochs), len(epochs))
        for k, (epoch, (first, last, a, b)) in enumerate(zip(deme.epochs, epochs, strict=False)):
            got = [epoch.start_time / clock, epoch.end_time / clock, epoch.start_size, epoch.end_size]
            same(f"{deme.name}.epochs[{k}]", got, [first, last, a, b], close=1e-3)
            same(f"{deme.name}.epochs[{k}].law", epoch.size_function, "constant" if a == b else "exponential")
    flows = [[m.source, m.dest] for m in graph.migrations]
    same("migrations", flows, [[a, b] for a, b, *_ in twin.migration])
    for m, (*_, first, last, rate) in zip(graph.migrations, twin.migration, strict=False):
        same("migration", [m.start_time / clock, m.end_time / clock], [first, last], close=1e-3)
        same("migration.rate", 1e4 * m.rate, 1e4 * rate, close=1e-3)
    same("branches", [b.name for b in scenario.branches], list(twin.pulses))
    for name, pulses in twin.pulses.items():
        if name not in {b.name for b in scenario.branches}:
            continue
        own = scenario.branch(name).pulse
        same(f"{name}.pulses", [(p.source, p.target) for p in own], [p[:2] for p in pulses])
        for p, (_, _, ago, share) in zip(own, pulses, strict=False):
            same(f"{name}.{p.name}", [p.time / clock, 1e4 * p.share], [ago, 1e4 * share], close=1e-3)
            same(f"{name}.{p.name}.unit", (p.unit, p.mode), (twin.unit, twin.mode))
    same("target", (scenario.genome.target, scenario.genome.chromosomes), (twin.target, twin.chromosomes))
    same("mutation_rate", 1e8 * scenario.selection.mutation_rate, 1e8 * twin.rate, close=1e-3)
    cost = np.geomspace(1e-6, 0.9, 30)
    if isinstance(twin.dfe, float):
        want = (cost >= twin.dfe).astype(float)
    else:
        want = twin.dfe.cdf(cost)
    same("dfe", scenario.selection.dfe.probability(cost), want, close=1e-6)
    same("dominance", scenario.selection.dominance_of(-cost), np.full(30, twin.dominance), close=1e-3)
    return found


def test_the_list_of_twins_is_complete() -> None:
    assert len(TWINS) >= 11
    assert set(names()) == set(TWINS) | TOYS
    assert set(Scenario.model_fields) == COVERED | NOT_BIOLOGY


@pytest.mark.parametrize("name", sorted(TWINS))
def test_the_twin_agrees(name: str) -> None:
    assert differences(load(name), TWINS[name]) == []


@pytest.mark.parametrize(
    "change",
    [
        "demography.generation_time=26",
        "demography.demes[2].epochs[0].start_size=1010",
        "demography.demes[1].epochs[0].end_size=10100",
        "demography.demes[0].epochs[0].end_time=551000",
        "genome.target=cds",
        "genome.chromosomes=[1]",
        "selection.mutation_rate=1.1e-8",
        "selection.dominance=0.45",
        "selection.dfe.mean=-0.0431",
        "selection.dfe.shape=0.232",
        "branches.p20.set.pulse.share=0.21",
        "pulse.time=47100",
        "pulse.unit=F1",
        "pulse.mode=binomial",
    ],
)
def test_a_twin_would_see_a_wrong_field(change: str) -> None:
    assert len(differences(load("reich").with_set([change]), TWINS["reich"])) >= 1


@pytest.mark.parametrize("name", sorted(TWINS))
def test_every_scenario_is_cited_asks_a_question_and_can_be_played(name: str) -> None:
    scenario = load(name)
    assert scenario.citation and all(c.doi.startswith("10.") for c in scenario.citation if "Podcast" not in c.text)
    assert "?" in scenario.description
    for branch in scenario.branches:
        clock = schedule.compile(scenario.branch(branch.name))
        assert clock.today > clock.first_pulse_tick() > 1000


@pytest.mark.parametrize("name", sorted(TWINS))
def test_every_scenario_has_a_plan(name: str, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    small = ["--set", "genome.chromosomes=[22]"]
    assert execute(cli.app, ["run", "--scenario", name, "--dry-run", *small]) == 0
    text = capsys.readouterr().out
    assert f"name: {name}" in text and "# Estimate" in text and {path.name for path in tmp_path.iterdir()} <= {"cache"}


# ---- each of them at a small size


def reduced(name: str) -> Scenario:
    """The scenario with a fiftieth of its people, one chromosome, and a split just before its first change."""
    tree = copy.deepcopy(load(name).to_tree())
    clock = tree["demography"]["generation_time"]
    tree["genome"]["chromosomes"] = [22]
    tree["start"] = {"mode": "stationary", "relax": 5}
    tree["sampling"] = {"landscape_generations": [2], "spread_generations": [2]}
    tree["selection"]["mutation_rate"] *= 100
    times = [e["end_time"] for d in tree["demography"]["demes"][1:] for e in d["epochs"] if e.get("end_time")]
    first = max(p["time"] for p in tree["pulse"])
    stems = [d for d in tree["demography"]["demes"] if d["name"] in ("ancestral", "archaic")]
    latest = max([t for t in times if t < 3 * first] + [first])
    for k, deme in enumerate(stems):
        deme["epochs"][-1]["end_time"] = latest + 20 * clock * (len(stems) - k)
    for deme in tree["demography"]["demes"]:
        for epoch in deme["epochs"]:
            for key in ("start_size", "end_size"):
                if key in epoch:
                    epoch[key] = max(20, epoch[key] // 50)
    return Scenario.from_tree(tree)


@pytest.mark.parametrize("name", sorted(set(TWINS) - {"reich", "petr2019"}))
def test_every_scenario_runs_at_a_small_size(name: str, tmp_path, monkeypatch) -> None:
    from admix import results, run_pages, simulate

    monkeypatch.setattr(run_pages, "make", lambda path: None)
    scenario = reduced(name)
    options = simulate.RunOptions(
        out=tmp_path / "run", generations=6, threads=1, trees=False, cache_dir=tmp_path / "cache"
    )
    run = results.read_run(simulate.run(scenario, options))
    told = run.table("trajectory")
    assert set(told["branch"]) == {b.name for b in scenario.branches}
    for branch in scenario.branches:
        clock = schedule.compile(scenario.branch(branch.name))
        begun = {
            clock.deme_names[s] for s in clock.sources() if clock.first_pulse_tick(s) < clock.first_pulse_tick() + 6
        }
        rows = told[told["branch"] == branch.name]
        assert set(rows["source"]) == begun
    first = told[told["generation"] == 1]
    expected = prediction.predict(scenario).trajectory
    at_first = expected[expected["generation"] == 1].set_index(["branch", "source", "deme"])["ancestry_mean"]
    for row in first.itertuples():
        # whole people only: a share is off by less than one of them
        assert abs(row.ancestry_mean - at_first[row.branch, row.source, row.deme]) <= 1 / row.n_individuals + 1e-9
