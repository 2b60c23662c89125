# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the two engines agree? Many short runs of each from one state at the pulse, and of their histories before it.

In each scenario both engines start from identical haplotypes (SLiM is given the native state), so differences between
runs are those of what happens after the pulse alone. Histories are compared from the same kind of draw from theory,
one draw a run.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from admix import schedule
from admix.cache import Cache
from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.history import RESULTS_VERSION, History, Stage, plan_stages
from admix.engines.native.snapshot import Arrays, unpack_worlds
from admix.engines.native.tables import Tables, build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.engines.slim import program
from admix.engines.slim.branch import SlimBranch, fixed_in_all
from admix.engines.slim.genealogy import marker_labels
from admix.engines.slim.history import RESULTS_VERSION as SLIM_VERSION
from admix.engines.slim.history import SlimHistory, slim_stages
from admix.engines.slim.model import Model
from admix.engines.slim.population import read_population
from admix.genealogies import expected_labels
from admix.genome import Genome
from admix.run_plan import tables_key
from admix.scenario import Scenario
from admix.selection import Selection
from admix.spectrum import StationarySpectrum
from admix.verification.checks import FAIL, FALSE_ALARM, PASS, Row, compare, register
from admix.verification.engine_scenarios import SCENARIOS, tree_of
from admix.verification.store import Store, Values

__all__ = ["CONTROLS", "SUITES", "Suite", "agreement", "verdicts"]

CLASSES = ((0.0, 1e-4), (1e-4, 1e-2), (1e-2, 2.0))
"""Classes of -s in which the frequency spectrum is counted."""
GENERATIONS = (2, 5, 10, 20, 41)
HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Control:
    """A parameter that SLiM is given wrong, and the statistics that must show it (by the start of their name)."""

    title: str
    scenario: str
    statistics: tuple[str, ...]


_LOAD = tuple(f"load of archaic alleles, generation {g}" for g in (2, 10, 41))
_SD = tuple(f"ancestry sd, generation {g}" for g in GENERATIONS)
CONTROLS: dict[str, Control] = {
    "share": Control(
        "share of the pulse x 1.6",
        "additive",
        ("ancestry, generation", "genealogical", "pedigree paths", *_SD[:2], *_LOAD[1:]),
    ),
    "selection": Control("effects of all mutations x 2", "additive", ("log fitness", _LOAD[0])),
    "recombination": Control("crossovers x 3", "additive", (*_SD[2:], "tract")),
    "size": Control("quarter the size after the pulse", "additive", ("segregating", "fixed")),
    "mutation": Control("mutation rate x 2", HISTORY, ("archaic", "modern")),
}
"""By name; each statistic has one. (Twice the effect is hidden from the later load of archaic alleles: it is removed
faster.)"""


@dataclass(frozen=True, slots=True)
class Suite:
    """Which scenarios are run how often by each engine."""

    scenarios: tuple[str, ...]
    runs: int


SUITES = {
    "quick": Suite(("additive", "recessive"), 50),
    "full": Suite((*SCENARIOS, HISTORY), 50),
}


@dataclass(slots=True)
class _Setting:
    """One scenario made ready: its parts, and the state at the pulse."""

    scenario: Scenario
    clock: schedule.Schedule
    genome: Genome
    selection: Selection
    tables: Tables
    workers: Workers
    lineages: list[Arrays]

    @property
    def last(self) -> int:
        return self.clock.today

    def plan(self, engine: str, seed: int, run: int) -> BranchPlan:
        samples: dict[int, dict[int, np.ndarray]] = {}
        for deme, tick, n in self.clock.individuals:
            samples.setdefault(tick, {})[deme] = np.arange(n)
        return BranchPlan(
            branch=engine, replicate=run, twin="none", seed=seed, burnin=0, last=self.last, landscape_generations=(),
            spread_generations=(), samples=samples,
        )  # fmt: skip


@dataclass(kw_only=True)
class _Bench(Store):
    """What runs are made with, and their results so far."""

    slim: str
    seed: int
    say: Callable[[str], None]


def _setting(name: str, folder: Path, *, history: bool = True) -> _Setting:
    scenario = Scenario.from_tree(tree_of(name))
    clock = schedule.compile(scenario)
    genome, selection = scenario.build_genome(), scenario.build_selection()
    tables, workers = build_tables(genome, selection), Workers(1)
    setting = _Setting(scenario, clock, genome, selection, tables, workers, [])
    if history:
        made = _native_history(setting, folder / "native", 0)
        setting.lineages = list(made)
    return setting


def _stages(setting: _Setting, burnin: int) -> list[Stage]:
    s = setting.scenario.start
    return plan_stages(
        setting.clock, tables_key(setting.genome, setting.tables), s.mode, s.ancestral_burnin, s.relax, burnin
    )


def _spectrum(setting: _Setting) -> StationarySpectrum:
    t, clock = setting.tables, setting.clock
    return StationarySpectrum(clock.size(clock.root, 0), t.s_nodes, t.h_bins, t.mutation_mean)


def _quiet(name: str, fraction: float, note: str) -> None:
    """No progress of stages of a second."""


def _native_history(setting: _Setting, folder: Path, burnin: int) -> list[Arrays]:
    stages = _stages(setting, burnin)
    history = History(
        setting.clock, setting.tables, setting.workers, Cache(folder, lambda text: None), _quiet,
        lambda: _spectrum(setting),
    )  # fmt: skip
    made = history.make(stages)
    return [made[stage.name][0] for stage in stages[1:]]


def _slim_history(setting: _Setting, folder: Path, slim: str, burnin: int, factor: float) -> list[Arrays]:
    stages = slim_stages(_stages(setting, burnin), f"verify {factor}")
    history = SlimHistory(
        setting.clock, setting.tables, setting.workers, Cache(folder, lambda text: None), _quiet,
        lambda: _spectrum(setting), setting.genome, setting.selection.mutation_rate * factor, slim, folder,
    )  # fmt: skip
    made = history.make(stages)
    return [made[stage.name][0] for stage in stages[1:]]


# ------------------------------------------------------------------ what is measured


def _of_records(records: Records, source: str) -> Values:
    """Statistics of the rows of one run, for its first source."""
    rows = {r["generation"]: r for r in records.trajectory if r["source"] == source and r["deme"] == "modern"}
    values: Values = {}
    for generation in GENERATIONS:
        row = rows[generation]
        values[f"ancestry, generation {generation}"] = row["ancestry_mean"]
        values[f"ancestry sd, generation {generation}"] = row["ancestry_sd"]
    for generation in (2, 10, 41):
        values[f"log fitness, generation {generation}"] = rows[generation]["log_fitness_mean"]
        values[f"load of archaic alleles, generation {generation}"] = rows[generation]["load_archaic"]
    told = {r["measure"]: r["value"] for r in records.ancestors if r["source"] == source and r["scope"] == "all"}
    values["genealogical ancestors"] = told["genealogical"]
    values["pedigree paths"] = told["pedigree_paths"]
    return values


def _of_marks(labels: np.ndarray, source: int) -> Values:
    """Tracts of sampled haplotypes at the resolution of markers, from int8[haplotypes, markers]."""
    inside = labels == source + 1
    starts = (inside[:, 1:] & ~inside[:, :-1]).sum() + inside[:, 0].sum()
    return {
        "tracts per haplotype": float(starts / len(inside)),
        "tract length, markers": float(inside.sum() / starts) if starts else math.nan,
    }


def _of_counts(s: np.ndarray, counts: np.ndarray, n2: int) -> Values:
    """Numbers of mutations by class of effect and frequency; ``counts`` are copies among ``n2``."""
    values: Values = {}
    for low, high in CLASSES:
        own = (-s >= low) & (-s < high)
        for label, first, last in (("singletons", 1, 1), ("rare", 2, n2 // 20), ("common", n2 // 20 + 1, n2 - 1)):
            number = int((own & (counts >= first) & (counts <= last)).sum())
            values[f"segregating, -s {low:g} to {high:g}, {label}"] = number
    values["fixed"] = int((counts >= n2).sum())
    return values


def _of_lineages(setting: _Setting, lineages: list[Arrays]) -> Values:
    """Statistics of a state at the pulse."""
    world = World(setting.tables, setting.clock.deme_names, lambda purpose, deme: 0, setting.workers)
    unpack_worlds(world, lineages)
    values: Values = {}
    for d, deme in sorted(world.demes.items()):
        name = setting.clock.deme_names[d]
        values[f"{name}, log fitness"] = float(world.log_fitness(d).mean())
        values[f"{name}, variance of log fitness"] = float(world.log_fitness(d).var())
        for key, number in _of_counts(world.mutations["s"], world.counts(d), 2 * deme.n).items():
            if "common" in key or "singletons" in key or key == "fixed":
                values[f"{name}, {key}"] = number
    return values


def _native_run(setting: _Setting, seed: int, run: int) -> Values:
    branch = Branch(setting.clock, setting.tables, setting.workers, setting.plan("native", seed, run))
    records = branch.run(setting.lineages, lambda fraction, note: None)
    modern = setting.clock.deme("modern")
    labels = expected_labels([branch.sampled_marks[setting.last, modern]], setting.tables.n_markers)
    counts = branch.world.counts(modern)
    first = setting.clock.sources()[0]
    return (
        _of_records(records, setting.clock.deme_names[first])
        | _of_marks(labels, 0)
        | _of_counts(branch.world.mutations["s"], counts, 2 * branch.world.demes[modern].n)
    )


class _WithState(SlimBranch):
    """A branch that also writes the population that it ends with."""

    def model(self) -> Model:
        model = super().model()
        model.events.append((self.plan.last, "state", 0))
        return model


def _slim_run(setting: _Setting, bench: _Bench, run: int, wrong: str = "") -> Values:
    """Statistics of one run of SLiM, with the parameter of a control wrong."""
    clock, genome, tables, lineages = setting.clock, setting.genome, setting.tables, setting.lineages
    if wrong == "share":
        clock = replace(clock, pulses=tuple(replace(p, share=p.share * 1.6) for p in clock.pulses))
    elif wrong == "recombination":
        genome = replace(genome, chrom_morgans=genome.chrom_morgans * 3)
    elif wrong == "selection":
        tables = replace(tables, s_nodes=np.maximum(tables.s_nodes * 2, -1 + 1e-9))
        lineages = [a | {"mutation_s": np.maximum(a["mutation_s"] * 2, -1 + 1e-9)} for a in lineages]
    elif wrong == "size":
        clock = _smaller(clock)
    plan = setting.plan(f"slim {wrong}".strip(), bench.seed, run)
    if wrong == "size":
        plan = replace(
            plan, samples={t: {d: w[: clock.size(d, t)] for d, w in s.items()} for t, s in plan.samples.items()}
        )
    branch = _WithState(clock, tables, genome, setting.workers, plan, setting.selection.mutation_rate, trees=False)
    with tempfile.TemporaryDirectory(dir=bench.path.parent) as place:
        records = branch.run_in(Path(place), bench.slim, lineages)
        labels = marker_labels(branch, Path(place) / "out", genome)
        population = read_population(Path(place) / "out" / "population")
    modern = clock.deme("modern")
    at = sum(2 * n for d, n in population.sizes.items() if d < modern)
    n2 = 2 * population.sizes[modern]
    m = population.mutations
    held = population.carried[population.ends[at] : population.ends[at + n2]]
    counts = np.bincount(held, minlength=len(m))
    selected = m["type"] < 2000
    # what everybody carried at the start was not written; it is fixed
    everywhere = fixed_in_all(branch.arrays, branch.demes)
    values = _of_counts(m["s"][selected].astype(float), counts[selected], n2)
    values["fixed"] += int(everywhere.sum())
    first = setting.clock.sources()[0]
    return _of_records(records, setting.clock.deme_names[first]) | _of_marks(labels, 0) | values


def _smaller(clock: schedule.Schedule) -> schedule.Schedule:
    """The schedule with a quarter of the modern people from the pulse on."""
    modern, first = clock.deme("modern"), clock.first_pulse_tick()
    (old,) = clock.epochs[modern]
    n = old.end_size
    before = replace(old, last_tick=first - 1)
    after = replace(old, first_tick=first, start_size=n / 4, end_size=n / 4)
    epochs = tuple((before, after) if d == modern else e for d, e in enumerate(clock.epochs))
    return replace(clock, epochs=epochs)


# ------------------------------------------------------------------ the suite


@register("engines", "the native engine and SLiM, run by run from one state", suites=("full",))
def agreement(options: Mapping[str, Any]) -> list[Row]:
    """Run the suite, or what is left of it, and return its verdicts.

    Parameters
    ----------
    options
        ``suite`` (a key of `SUITES`; ``smoke`` is ``quick``), ``seed``, ``folder`` (kept between calls, so that an
        interrupted suite goes on),
        ``slim_path``, and ``say``, told what is done.

    Raises
    ------
    InputError
        Where there is no SLiM.
    """
    suite = SUITES["full" if options["suite"] == "full" else "quick"]
    slim, version = program.require(options.get("slim_path"))
    seed, say = int(options["seed"]), options.get("say") or (lambda text: None)
    folder = Path(options["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    name = f"engines-{seed}-native{RESULTS_VERSION}-slim{version}.{SLIM_VERSION}.jsonl"
    bench = _Bench(folder / name, slim=slim, seed=seed, say=say)
    bench.load()
    results: dict[tuple[str, str], list[Values]] = {}
    for scenario in suite.scenarios:
        results |= _scenario(scenario, "", suite.runs, bench, folder)
    for wrong, control in CONTROLS.items():
        if control.scenario in suite.scenarios:
            results |= _scenario(control.scenario, wrong, suite.runs, bench, folder)
    return verdicts(results)


def _scenario(scenario: str, wrong: str, runs: int, bench: _Bench, folder: Path) -> dict[tuple[str, str], list[Values]]:
    """Values of all runs of a scenario by (scenario, engine), or of a control alone."""
    engines = [f"control {wrong}"] if wrong else ["native", "slim"]
    keys = {e: [f"{scenario}|{e}|{run}" for run in range(runs)] for e in engines}
    todo = sum(key not in bench.results for own in keys.values() for key in own)
    bench.say(f"{scenario}, {' and '.join(engines)}: {todo} of {runs * len(engines)} runs to do")
    history = scenario == HISTORY
    setting = None
    if todo:
        setting = _setting("additive" if history else scenario, folder / f"states-{bench.seed}", history=not history)
    out: dict[tuple[str, str], list[Values]] = {}
    for engine in engines:
        for run, key in enumerate(keys[engine]):

            def make(engine: str = engine, run: int = run) -> Values:
                assert setting is not None
                if history:
                    return _history_run(setting, bench, engine, run)
                if engine == "native":
                    return _native_run(setting, bench.seed, run)
                return _slim_run(setting, bench, run, wrong)

            out.setdefault((scenario, engine), []).append(bench.obtain(key, make))
    return out


def _history_run(setting: _Setting, bench: _Bench, engine: str, run: int) -> Values:
    burnin = 1000 * bench.seed + run
    with tempfile.TemporaryDirectory(dir=bench.path.parent) as place:
        if engine == "native":
            lineages = _native_history(setting, Path(place), burnin)
        else:
            factor = 2.0 if engine.startswith("control") else 1.0
            lineages = _slim_history(setting, Path(place), bench.slim, burnin, factor)
        return _of_lineages(setting, lineages)


def verdicts(results: Mapping[tuple[str, str], list[Values]]) -> list[Row]:
    """Return the rows of a suite: each statistic of each scenario, and each statistic's control."""
    pairs = [scenario for scenario, engine in results if engine == "slim"]
    number = sum(len(results[scenario, "native"][0]) for scenario in pairs)
    level = FALSE_ALARM / max(1, number)
    power: dict[tuple[bool, str], float] = {}
    controls: list[Row] = []
    for wrong, control in CONTROLS.items():
        bad = results.get((control.scenario, f"control {wrong}"))
        if bad is None:
            continue
        good = results[control.scenario, "native"]
        for name in _shared(good, bad):
            if any(name == s or (name.startswith(s) and not s[-1].isdigit()) for s in control.statistics):
                row = _row(f"control: {control.title}", name, good, bad, level, None)
                power[control.scenario == HISTORY, name] = row.power
                controls.append(row)
    rows = []
    for scenario in pairs:
        good, other = results[scenario, "native"], results[scenario, "slim"]
        for name in _shared(good, other):
            rows.append(
                _row(f"engines: {scenario}", name, good, other, level, power.get((scenario == HISTORY, name), math.nan))
            )
    return rows + controls


def _shared(good: list[Values], other: list[Values]) -> list[str]:
    return [name for name in good[0] if name in other[0]]


def _row(check: str, name: str, good: list[Values], other: list[Values], level: float, power: float | None) -> Row:
    """Compare one statistic; ``power`` is None for a control, which must be rejected."""
    a, b = [v[name] for v in good], [v[name] for v in other]
    # a run without archaic ancestry has no tracts to measure
    known = [[v for v in values if not math.isnan(v)] for values in (a, b)]
    shown = [float(np.mean(values)) if values else math.nan for values in known]
    tolerance, seen, p, equal = compare(a, b, level)
    control = power is None
    return Row(
        check=check, statistic=name, expected=shown[0], source=f"native engine, {len(good)} runs", observed=shown[1],
        n=len(other), tolerance=tolerance, derivation=f"Welch's t-test at {level:.2g}", p=p,
        power=seen if power is None else power, verdict=PASS if equal != control else FAIL,
    )  # fmt: skip
