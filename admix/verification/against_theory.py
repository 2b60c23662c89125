# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulations against theory: ancestry with and without selection, pedigrees, tracts, mutation-selection balance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from admix import seeds, theory
from admix.engines.native import start
from admix.engines.native.branch import Branch
from admix.engines.native.history import RESULTS_VERSION
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, Group, World, every
from admix.spectrum import StationarySpectrum
from admix.tract_theory import expected_survival
from admix.verification.checks import Row, register
from admix.verification.neutral_tracts import Native, expected_rate, measured_tracts
from admix.verification.pedigrees import genetic_ancestors, plain_ancestors
from admix.verification.store import Store, Values
from admix.verification.verdicts import Wrong, deviation_rows, mean_rows, ratio_rows
from admix.verification.worlds import Planted, Setting, one_site_genome, pulse_scenario

Options = Mapping[str, Any]
VELLER = "doi:10.1101/846147, phi of the map"
CHANG = "doi:10.1239/aap/1029955256"
S_PETR = 0.766
"""-ln of the relative fitness of Neanderthals in Petr et al. 2019, doi:10.1073/pnas.1814338116."""


def runs_of(name: str, options: Options, number: int, make: Callable[[int], Values]) -> list[Values]:
    """Return the values of runs 0 .. number - 1 of a check, those of an interrupted one from its store."""
    folder, seed = Path(options["folder"]), int(options["seed"])
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / f"{name}-{options['suite']}-{seed}-native{RESULTS_VERSION}.jsonl")
    store.load()
    todo = sum(str(k) not in store.results for k in range(number))
    options["say"](f"{name}: {todo} of {number} runs to do")
    return [store.obtain(str(k), lambda k=k: make(1000 * seed + k)) for k in range(number)]  # type: ignore[misc]


def _column(runs: Sequence[Values], name: str) -> list[float]:
    return [run[name] for run in runs]


# ------------------------------------------------------------------ without selection


@dataclass(frozen=True, slots=True)
class _Neutral:
    size: int
    runs: int
    generations: tuple[int, ...]
    persons: int = 0


_NEUTRAL = {
    "smoke": _Neutral(1_000, 40, (2, 3, 4, 5, 6, 8, 10, 12)),
    "quick": _Neutral(4_000, 48, (2, 3, 4, 5, 6, 8, 10, 12, 16, 20)),
    "full": _Neutral(10_000, 48, (*range(2, 21), 31), persons=2),
}
GENETIC = (8, 10, 15)
"""Generations ago in which the genetic ancestors of one person are counted."""


@register("neutral", "neutral runs: variance of ancestry by generation, mean, founders with descendants")
def neutral(options: Options) -> list[Row]:
    """Variance between individuals, mean and its scatter between runs, and pedigree survival without selection."""
    size = _NEUTRAL[options["suite"]]
    n, p, last = size.size, 0.1, size.generations[-1]
    setting = Setting(pulse_scenario(n, p, last))

    def make(seed: int) -> Values:
        branch = setting.branch("neutral", seed)
        rows = {row["generation"]: row for row in setting.run(branch).trajectory}
        values = {f"variance {g}": rows[g]["ancestry_sd"] ** 2 for g in size.generations}
        values["mean"] = rows[10]["ancestry_mean"]
        deme, first, tick = setting.clock.deme("modern"), setting.clock.first_pulse_tick(), setting.clock.today
        living = {deme: np.ones(n, bool)}
        found = branch.pedigree.founders(first, tick, living, 0)[1]
        values["founders"] = found / branch.pedigree.all_founders(first, tick, 0)[1]
        chosen = seeds.generator("verify", "persons", seed).choice(n, size.persons, replace=False)
        for i, person in enumerate(chosen):
            held = genetic_ancestors(branch, deme, int(person), tick, GENETIC)
            values |= {f"genetic {k} {i}": count for k, count in zip(GENETIC, held, strict=True)}
        return values

    runs = runs_of("neutral", options, size.runs, make)
    phi = theory.phi(setting.genome, last + 1)
    # in a finite population the mean drifts, which takes its part from what lies between individuals
    kept = (1 - 1 / (2 * n)) ** np.arange(last + 1)
    right, late = theory.ancestry_variance(p, phi, last) * kept[:-1], theory.ancestry_variance(p, phi, last + 1)[1:]
    longer = replace(setting.genome, chrom_morgans=2 * setting.genome.chrom_morgans)
    double = theory.ancestry_variance(p, theory.phi(longer, last), last)
    rows: list[Row] = []
    for g in size.generations:
        # a generation more or less hardly shows late, the map hardly shows early
        wrong = Wrong("a generation too late", late[g - 1]) if g < 9 else Wrong("map twice as long", double[g - 1])
        rows += mean_rows(
            "neutral: variance between individuals", f"generation {g}", _column(runs, f"variance {g}"), right[g - 1],
            VELLER, wrong, slack=1.0 / n,
        )  # fmt: skip
    source = "ancestry without selection is a martingale"
    wrong = Wrong("pulse of 12 % instead of 10 %", 0.12)
    rows += mean_rows("neutral: mean", "generation 10", _column(runs, "mean"), p, source, wrong)
    spread = float(np.sqrt(theory.mean_variance(p, n, phi, 10)))
    rows += deviation_rows(
        "neutral: scatter of the mean", "generation 10", _column(runs, "mean"), spread, VELLER,
        Wrong("a ninth of the size", 3 * spread),
    )  # fmt: skip
    rows += mean_rows(
        "neutral: founders with a living descendant", f"after {last - 1} generations", _column(runs, "founders"),
        founders(n, last - 1), CHANG, Wrong("only the founders' children are asked for", founders(n, 1)),
    )  # fmt: skip
    if size.persons:
        rows += _genetic_rows(runs, setting, size.persons)
    return rows


def founders(n: int, generations: int) -> float:
    """Return the expected share of ``n`` people with descendants after so many generations, 0.797 in the end.

    ``x' = 1 - (1 - 1/N)^(2 N x)``, the recursion behind Chang 1999, doi:10.1239/aap/1029955256.
    """
    share = 1.0
    for _ in range(generations):
        share = float(-np.expm1(2 * n * share * np.log1p(-1 / n)))
    return share


def _genetic_rows(runs: Sequence[Values], setting: Setting, persons: int) -> list[Row]:
    rng = seeds.generator("verify", "plain ancestors")
    n = setting.clock.size(setting.clock.deme("modern"), setting.clock.today)
    plain = np.array([plain_ancestors(setting.genome.chrom_morgans, n, (*GENETIC, 16), rng) for _ in range(100)])
    rows: list[Row] = []
    for k, ago in enumerate(GENETIC):
        means = [float(np.mean([run[f"genetic {ago} {i}"] for i in range(persons)])) for run in runs]
        rows += mean_rows(
            "neutral: genetic ancestors of one person", f"{ago} generations ago", means, float(plain[:, k].mean()),
            "a simulation that shares nothing with the engine, 100 persons",
            Wrong("a tenth more of them", 1.1 * float(plain[:, k].mean())), slack=0.01,
        )  # fmt: skip
    return rows


# ------------------------------------------------------------------ one deleterious site


@dataclass(frozen=True, slots=True)
class _TwoLocus:
    size: int
    runs: int
    share: float
    cases: tuple[tuple[float, float], ...]
    generations: tuple[int, ...]
    rare: bool = False


_TWO_LOCUS = {
    "smoke": _TwoLocus(4_000, 20, 0.3, ((-0.2, 0.5),), (2, 5, 10)),
    "quick": _TwoLocus(20_000, 40, 0.1, ((-0.2, 0.5), (-0.3, 0.0)), (2, 5, 10, 20), rare=True),
    "full": _TwoLocus(50_000, 60, 0.1, ((-0.2, 0.5), (-0.3, 0.0), (-0.1, 0.5)), (2, 5, 10, 20, 40), rare=True),
}
DISTANCES = (0.0005, 0.02, 0.1, 0.3)
"""Morgans between the two loci; markers on both sides are taken together."""
LEWONTIN = "doi:10.1111/j.1558-5646.1960.tb03113.x, four gametes, unmixed first generation"


@register("two-locus", "a neutral allele beside a deleterious one, against the exact recursion")
def two_locus(options: Options) -> list[Row]:
    """Ancestry at and beside one selected site, at a finite share of the pulse, from unmixed people on."""
    size = _TWO_LOCUS[options["suite"]]
    last = size.generations[-1]
    genome = one_site_genome(Path(options["folder"]) / "one-site")
    rows: list[Row] = []
    for s, h in size.cases:
        scenario = pulse_scenario(size.size, size.share, last, genome=genome)
        site = scenario.build_genome().target_axis_start[:1].astype(np.uint64)
        setting = Setting(scenario, Planted(site, np.array([s]), np.array([h])))
        morgans = _signed_morgans(setting, int(site[0]))
        pairs = [[int(np.argmin(np.abs(morgans - side * d))) for side in (-1, 1)] for d in DISTANCES]

        def make(
            seed: int, setting: Setting = setting, s: float = s, h: float = h, pairs: list[list[int]] = pairs
        ) -> Values:
            branch = setting.branch(f"two loci {s} {h}", seed, size.generations)
            landscape = {labels["generation"]: shares for labels, shares in setting.run(branch).landscape}
            return {
                f"{g} {d}": float(landscape[g][pair].mean())
                for g in size.generations for d, pair in zip(DISTANCES, pairs, strict=True)
            }  # fmt: skip

        runs = runs_of(f"two-locus-s{s:g}-h{h:g}", options, size.runs, make)
        for d, pair in zip(DISTANCES, pairs, strict=True):
            r = [float(theory.haldane(abs(morgans[i]))) for i in pair]
            right, strong = (
                np.mean([theory.two_locus_trajectory(size.share, x, h, one, last)[:, 1] for one in r], axis=0)
                for x in (s, 2 * s)
            )
            for g in size.generations:
                rows += mean_rows(
                    f"two-locus: s {s:g}, h {h:g}, pulse {100 * size.share:g} %", f"{100 * d:g} cM, generation {g}",
                    _column(runs, f"{g} {d}"), float(right[g - 1]), LEWONTIN,
                    Wrong("twice the selection", float(strong[g - 1])),
                )  # fmt: skip
        if size.rare and h == 0.5 and s == -0.2:
            rows += _against_the_rare_formula(runs, size, s, float(theory.haldane(abs(morgans[pairs[1][0]]))))
    return rows


def _signed_morgans(setting: Setting, site: int) -> np.ndarray:
    axis = setting.genome.marker_axis.astype(np.float64)
    whole = float(setting.genome.chrom_axis[1] - setting.genome.chrom_axis[0])
    return np.asarray((axis - site) / whole * setting.genome.chrom_morgans[0])


def _against_the_rare_formula(runs: Sequence[Values], size: _TwoLocus, s: float, r: float) -> list[Row]:
    """The formula for rare ancestry is too low at a finite share, and the runs can tell."""
    g, d = 10, DISTANCES[1]
    exact = float(theory.two_locus_trajectory(size.share, s, 0.5, r, g)[-1, 1])
    rare = size.share * (1 + s) * float(theory.two_locus_survival(-s / 2, r, g - 2))
    return mean_rows(
        "two-locus: finite share", f"{100 * d:g} cM, generation {g}", _column(runs, f"{g} {d}"), exact, LEWONTIN,
        Wrong("formula for rare ancestry", rare),
    )  # fmt: skip


# ------------------------------------------------------------------ a load spread over the genome


@dataclass(frozen=True, slots=True)
class _Purging:
    size: int
    runs: int
    generations: tuple[int, ...]


_PURGING = {
    "smoke": _Purging(2_000, 24, (2, 3, 5, 10)),
    "quick": _Purging(5_000, 30, (2, 3, 5, 10)),
    "full": _Purging(10_000, 40, (2, 3, 5, 10, 100)),
}
_SITES = 2_000
UNIFORM = {2: 0.0488, 3: 0.0334, 5: 0.0248, 10: 0.0221, 100: 0.0206}
"""Share left of 9.93 % with S = 0.766 spread evenly over 22 chromosomes, individual-based runs that share nothing with
this program; each within 3 %."""


@register("purging", "a load spread evenly over the genome: the fall of ancestry, and Price's equation")
def purging(options: Options) -> list[Row]:
    """Ancestry under a uniform load against independent runs and against Price's equation, generation by generation."""
    size = _PURGING[options["suite"]]
    last = size.generations[-1]
    scenario = pulse_scenario(size.size, 0.0993, last)
    axis = scenario.build_genome().marker_axis
    places = axis[np.linspace(0, len(axis) - 1, _SITES).astype(int)].astype(np.uint64)
    s = float(np.expm1(-S_PETR / _SITES))
    setting = Setting(scenario, Planted(places, np.full(_SITES, s), np.full(_SITES, 0.5)))
    deme = setting.clock.deme("modern")

    def make(seed: int) -> Values:
        branch = setting.branch("purging", seed)
        steps = _price_steps(branch, deme)
        rows = {row["generation"]: row["ancestry_mean"] for row in setting.run(branch).trajectory}
        return {f"share {g}": rows[g] for g in size.generations} | {
            "change": rows[last] - rows[1],
            "predicted": float(sum(steps)),
        }

    runs = runs_of("purging", options, size.runs, make)
    phi = theory.phi(setting.genome, last)
    rows: list[Row] = []
    for g in size.generations:
        more = theory.uniform_load_trajectory(0.0993, 1.3 * S_PETR, phi, [g])[0]
        rows += mean_rows(
            "purging: uniform load, S 0.766", f"share in generation {g}", _column(runs, f"share {g}"), UNIFORM[g],
            "individual-based runs, facts.md V3", Wrong("S a third larger", float(more)), slack=0.03,
        )  # fmt: skip
    rows += ratio_rows(
        "purging: Price's equation", f"change of the mean / sum of Cov(w, I) / mean w, generations 1 to {last}",
        _column(runs, "change"), _column(runs, "predicted"), 1.0, "doi:10.1038/227520a0",
        Wrong("fitness counted twice", 0.5),
    )  # fmt: skip
    return rows


def _price_steps(branch: Branch, deme: int) -> list[float]:
    """Let a branch note Cov(w, I) / mean w of a deme before each breeding, from generation 1 on."""
    steps: list[float] = []
    breed = branch.world.breed

    def noting(tick: int, cohorts: Mapping[int, Cohort]) -> dict[int, np.ndarray]:
        if tick > branch.first:
            share = branch.world.shares(deme)[0]
            log = branch.world.log_fitness(deme)
            w = np.exp(log - log.max())
            steps.append(float((w @ share) / w.sum() - share.mean()))
        return breed(tick, cohorts)

    branch.world.breed = noting  # type: ignore[method-assign]
    return steps


# ------------------------------------------------------------------ tracts


_TRACTS = {"smoke": (100, 40, 24), "quick": (200, 80, 40), "full": (500, 200, 60)}
"""Individuals, generations and runs."""
LIANG = "doi:10.1534/genetics.114.162362, in discrete generations"
_LENGTHS = (0.5, 1.0, 2.0)


@register("tracts", "lengths of neutral tracts, from trees")
def tracts(options: Options) -> list[Row]:
    """Rate at which tracts end and shares of long ones, of a pulse of gametes, on three chromosomes."""
    n, ago, number = _TRACTS[options["suite"]]
    scenario = pulse_scenario(
        n, 0.3, ago + 1, genome={"source": "human_autosomes_GRCh37", "target": "exons", "chromosomes": [20, 21, 22]},
        pulse={"unit": "gametes", "mode": "binomial"},
        sampling={"individuals": [{"deme": "modern", "time": 0, "n": 4}]},
    )  # fmt: skip
    engine, rate = Native(scenario, threads=1), expected_rate(scenario)

    def make(seed: int) -> Values:
        table, _ = measured_tracts(engine.run(seed), engine.genome)
        morgans = table["morgans"].to_numpy()
        values = {"tracts": len(table), "ends": float((~table["to_end"]).sum()), "morgans": float(morgans.sum())}
        return values | {f"longer {x:g}": float((morgans * rate > x).sum()) for x in _LENGTHS}

    runs = runs_of("tracts", options, number, make)
    older = 1.5 * rate
    check = f"tracts: N {n}, {ago} generations"
    rows = ratio_rows(
        check, "ends per Morgan", _column(runs, "ends"), _column(runs, "morgans"), rate, LIANG,
        Wrong("half as many crossovers again", older),
    )  # fmt: skip
    for x in _LENGTHS:
        right, wrong = (
            float(expected_survival([x / rate], one, engine.genome.chrom_morgans)[0]) for one in (rate, older)
        )
        rows += ratio_rows(
            check, f"share longer than {x:g} mean lengths", _column(runs, f"longer {x:g}"), _column(runs, "tracts"),
            right, LIANG, Wrong("half as many crossovers again", wrong), slack=0.02,
        )  # fmt: skip
    return rows


# ------------------------------------------------------------------ mutation-selection balance


@dataclass(frozen=True, slots=True)
class _Balance:
    size: int
    runs: int
    settle: int
    watch: int


_BALANCE = {
    "smoke": _Balance(50, 24, 250, 300),
    "quick": _Balance(100, 32, 600, 1_000),
    "full": _Balance(200, 40, 1_600, 2_000),
}
_U, _EVERY = 0.05, 10
_DFE = {"kind": "gamma", "mean": -0.05, "shape": 0.5}
SAWYER = "Wright-Fisher chain and diffusion, doi:10.1093/genetics/132.4.1161"


@register("balance", "load and spectrum at mutation-selection-drift balance")
def balance(options: Options) -> list[Row]:
    """Segregating sites by frequency, load and fixations of a population that began without any mutation."""
    size = _BALANCE[options["suite"]]
    n = size.size
    scenario = pulse_scenario(n, 0.1, 2)
    genome = scenario.build_genome()
    selection = _selection(scenario, _U / genome.functional_bp)
    tables, workers = build_tables(genome, selection), Workers(1)

    def make(seed: int) -> Values:
        return _balanced(tables, workers, size, seed)

    runs = runs_of("balance", options, size.runs, make)
    right, more = (_expected_balance(StationarySpectrum(n, tables.s_nodes, tables.h_bins, u)) for u in (_U, 1.6 * _U))
    rows: list[Row] = []
    for name, value in right.items():
        # linked selection, which theory leaves out, costs exp(-2U) of drift's N at most: 1 - 2U / (genome in s)
        rows += mean_rows(
            f"balance: N {n}, U {_U:g}", name, _column(runs, name), value, SAWYER,
            Wrong("mutation rate x 1.6", more[name]), slack=0.03,
        )  # fmt: skip
    return rows


def _selection(scenario: Any, rate: float) -> Any:
    """The selection of the check at a mutation rate per base."""
    chosen = scenario.with_set([f"selection.mutation_rate={rate!r}", f"selection.dfe={_DFE}"])
    return chosen.build_selection()


def _classes(n: int) -> dict[str, slice]:
    edge = max(2, 2 * n // 10)
    return {"singletons": slice(1, 2), "rare sites": slice(2, edge + 1), "common sites": slice(edge + 1, 2 * n)}


def _expected_balance(spectrum: StationarySpectrum) -> Values:
    counts = np.concatenate([[0.0], spectrum.expected_counts()])
    values = {name: float(counts[part].sum()) for name, part in _classes(spectrum.N).items()}
    values["load of segregating sites"] = spectrum.expected_load()
    values["fixations per 1,000 generations"] = 1000 * float(spectrum.fixation_rates().sum())
    return values


def _balanced(tables: Any, workers: Workers, size: _Balance, seed: int) -> Values:
    """Means over the generations watched of one population."""
    n = size.size
    world = World(
        tables, ("one",), lambda purpose, deme: seeds.stream_key("verify", "balance", seed, purpose, deme), workers
    )
    nothing = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    start.found(world, 0, n, nothing, seeds.generator("verify", "balance", seed), 0)
    everybody = {0: Cohort(n, [Group(0, every(2 * n))])}
    sums: dict[str, float] = {}
    fixed_before, fixed_now, looks = 0, 0, 0
    for tick in range(1, size.settle + size.watch + 1):
        world.breed(tick, everybody)
        if tick % 16 == 0:
            world.rebalance()
        if tick < size.settle or (tick - size.settle) % _EVERY:
            continue
        counts = world.counts(0)
        fixed = counts == 2 * n
        if tick == size.settle:
            fixed_before = int(fixed.sum())
            continue
        looks += 1
        spectrum = np.bincount(counts[counts > 0], minlength=2 * n + 1)
        lost = -float(world.log_fitness(0).mean()) + float(np.log1p(world.mutations["s"][fixed]).sum())
        now = {name: float(spectrum[part].sum()) for name, part in _classes(n).items()}
        for name, value in (now | {"load of segregating sites": lost}).items():
            sums[name] = sums.get(name, 0.0) + value
        fixed_now = int(fixed.sum())
    values = {name: total / looks for name, total in sums.items()}
    values["fixations per 1,000 generations"] = 1000 * (fixed_now - fixed_before) / size.watch
    return values
