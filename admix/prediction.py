# SPDX-License-Identifier: GPL-3.0-or-later
"""What theory expects of a scenario before it is run: the load of each lineage, and the trajectory of ancestry.

Two approximations are put together. The load of the source and of the recipient comes from independent sites under
mutation, selection and drift through their whole history of sizes (`admix.theory.LoadModel`), with drift made stronger
by background selection on the map in use. Ancestry is then lost as if that load were spread evenly over the
functional bases (`admix.theory.uniform_load_trajectory`). Chance after the pulse is not in the curve; the band holds
the scatter of histories and of drift.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix import schedule as schedules
from admix import theory
from admix.genome import Genome
from admix.scenario import Scenario
from admix.schedule import Schedule
from admix.selection import LARGEST_COST, Selection
from admix.summary import CONVENTION, GENERATIONS, people, percent

__all__ = ["APPROXIMATION", "Cost", "Forecast", "lineage_sizes", "predict", "predict_branch", "screen_text"]

Floats = npt.NDArray[np.float64]

APPROXIMATION = (
    "independent sites under mutation, selection and drift give the load of each lineage, with background selection on"
    " this map; ancestry is lost as if that load were spread evenly over the functional bases"
)
LEVEL = 0.95
_Epochs = Sequence[theory.Epoch]
_Known = dict[object, tuple[float, float, theory.Load, theory.Load]]
_NORMAL = 1.959964
_MERGE = 5  # windows taken together for background selection: B N is 0.6 % (N = 1,000) to 2 % (10,000) higher
_MAP_STEP = 1e-4  # Morgans; phi errs by less than 1 % until generation 2,000
_WIDEST = 50.0  # of ln p; a band of a share that chance alone decides
_SIZE_STEP = 0.05  # relative change of size that starts a new epoch
_SMALLEST_SHARE = 0.1  # of N, below which background selection theory says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the load of a source costs, beside a recipient at the same time.

    Attributes
    ----------
    source, target : str
        Demes.
    S : float
        Log fitness cost of an unmixed individual of the source.
    S_het : float
        Log fitness cost of the child of one parent from each; S/2 where effects are additive, negative with heterosis.
    sd : float
        Standard deviation of S between independent histories.
    load_source, load_target : Load
        Loads since the two lineages parted.
    """

    source: str
    target: str
    S: float
    S_het: float
    sd: float
    load_source: theory.Load
    load_target: theory.Load


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is expected of a scenario.

    Attributes
    ----------
    trajectory : DataFrame
        `branch, source, deme, generation, years_bp, ancestry_mean, ancestry_low, ancestry_high`; shares as
        fractions. Low and high enclose 95 % of single runs.
    costs : dict
        By branch, one `Cost` for each source and deme that it enters.
    founders : dict
        By branch and source, where a single pulse of unmixed individuals is all of the source's gene flow and effects
        are additive: how likely founders of either origin are to have living descendants.
    rbar : float
        Mean recombination fraction of two markers.
    morgans : float
        Genetic length of the genome.
    """

    trajectory: pd.DataFrame
    costs: Mapping[str, tuple[Cost, ...]]
    founders: Mapping[tuple[str, str], theory.FounderSurvival]
    rbar: float
    morgans: float


@dataclass(frozen=True)
class _Genetics:
    """What a forecast needs of genome and selection; made once for all branches."""

    model: theory.LoadModel
    phi: Floats
    """Between markers and functional bases."""
    phi_markers: Floats
    """Among markers."""


def predict(scenario: Scenario, *, uniform_map: bool = False) -> Forecast:
    """Return what theory expects of every branch of a scenario, from the first pulse of each source to today.

    Parameters
    ----------
    scenario
    uniform_map
        Spread the Morgans of each chromosome evenly over its bases.

    Raises
    ------
    InputError
        If the scenario cannot be played; see `admix.schedule.compile`.
    """
    return _predict(scenario.with_run().to_yaml(), uniform_map)


@lru_cache(maxsize=32)
def _predict(text: str, uniform_map: bool) -> Forecast:
    from admix.scenario_yaml import read

    scenario = Scenario.from_tree(read(text, "scenario"))
    clocks = {b.name: schedules.compile(scenario.branch(b.name)) for b in scenario.branches}
    longest = max(clock.today - clock.first_pulse_tick() for clock in clocks.values()) + 2
    genome, selection = scenario.build_genome(), scenario.build_selection()
    genome = _uniform(genome) if uniform_map else genome
    largest = max(int(clock.sizes(d, t, t)[0]) for clock in clocks.values() for d, t in _corners(clock))
    ticks = max(longest, 60)
    genetics = _Genetics(
        _load_model(genome, selection, largest), _phi(genome, ticks), theory.phi(genome, ticks, step=_MAP_STEP)
    )
    frames: list[pd.DataFrame] = []
    costs: dict[str, tuple[Cost, ...]] = {}
    founders: dict[tuple[str, str], theory.FounderSurvival] = {}
    known: _Known = {}
    for name, clock in clocks.items():
        frame, found = predict_branch(clock, genetics.model, genetics.phi, selection.is_additive, known)
        frame.insert(0, "branch", name)
        frames.append(frame)
        costs[name] = found
        if selection.is_additive:
            founders |= {(name, s): f for s, f in _founders(clock, found, genetics.phi_markers).items()}
    return Forecast(
        trajectory=pd.concat(frames, ignore_index=True),
        costs=costs,
        founders=founders,
        rbar=float(1 - genetics.phi_markers[1]),
        morgans=genome.morgans,
    )


def _founders(clock: Schedule, costs: Sequence[Cost], phi: Floats) -> dict[str, theory.FounderSurvival]:
    """Return the survival of founders for the sources that enter by one pulse of unmixed individuals alone."""
    found = {}
    for source in clock.sources():
        name = clock.deme_names[source]
        pulses = [p for p in clock.pulses if p.source == source]
        own = [cost for cost in costs if cost.source == name]
        if len(pulses) == len(own) == 1 and pulses[0].unit == "individuals" and 0 < pulses[0].share < 1:
            if not any(m.source == source and m.last_tick >= pulses[0].tick for m in clock.migrations):
                found[name] = theory.pedigree_survival(pulses[0].share, max(0.0, own[0].S), phi)
    return found


def _uniform(genome: Genome) -> Genome:
    """Return the genome with constant recombination in each chromosome (what theory reads of it)."""
    chrom = genome.window_chrom
    first = np.flatnonzero(np.diff(chrom, prepend=-1))
    last = np.append(first[1:], len(chrom)) - 1
    rate = genome.chrom_morgans * 100 / genome.window_end[last]
    middle = (genome.window_start + genome.window_end)[genome.marker_window] / 2
    c = chrom[genome.marker_window]
    width = (genome.chrom_axis[1:] - genome.chrom_axis[:-1]).astype(np.float64)
    offset = (middle / genome.window_end[last][c] * width[c]).astype(np.uint64)
    return replace(
        genome,
        window_cm_start=genome.window_start * rate[chrom],
        window_cm_end=genome.window_end * rate[chrom],
        marker_axis=genome.chrom_axis[:-1][c] + offset,
    )


def _corners(clock: Schedule) -> Iterable[tuple[int, int]]:
    for d in range(len(clock.deme_names)):
        for epoch in clock.epochs[d]:
            for tick in (max(epoch.first_tick, 0), epoch.last_tick):
                if clock.exists(d, tick):
                    yield d, tick


def _phi(genome: Genome, longest: int) -> Floats:
    functional = genome.window_functional_bp[genome.marker_window].astype(np.float64)
    if not functional.sum() > 0:
        return theory.phi(genome, longest, step=_MAP_STEP)
    return theory.phi(genome, longest, None, functional, _MAP_STEP)


def _load_model(genome: Genome, selection: Selection, largest: float) -> theory.LoadModel:
    """Return the load model with drift as background selection on this map leaves it."""
    effects = theory.effect_classes(selection.dfe.probability, selection.dominance_of, largest_cost=LARGEST_COST)
    U = selection.mutation_rate * genome.functional_bp
    plain = theory.LoadModel(effects, U, largest_N=largest)
    windows = theory.merged(genome, _MERGE)
    known: dict[float, float] = {}

    def share(N: float) -> float:
        # sizes that differ by less than a twentieth have the same share
        key = round(float(np.log(N)) / _SIZE_STEP) * _SIZE_STEP
        if key not in known:
            parts = theory.VarianceComponents(U, *plain.variance_components(float(np.exp(key))))
            known[key] = max(_SMALLEST_SHARE, theory.background_selection(windows, parts).mean)
        return known[key]

    if U == 0 or len(effects.s) == 0:
        return plain
    return theory.LoadModel(effects, U, share, largest_N=largest)


def lineage_sizes(clock: Schedule, deme: int, tick: int) -> list[tuple[int, int, int]]:
    """Return (tick, deme, size) of the cohorts on the line from `deme` at `tick` back to the tick after the root was
    alone, oldest first; where a deme has several ancestors, the line follows the largest share."""
    out = []
    here = deme
    for now in range(tick, 0, -1):
        out.append((now, here, 0))
        if now == clock.first_tick[here]:
            here = max(clock.ancestors[here], key=lambda ancestor: ancestor[1])[0]
    out.reverse()
    sizes: list[tuple[int, int, int]] = []
    first = 0
    for i in range(1, len(out) + 1):
        if i == len(out) or out[i][1] != out[first][1]:
            d, begin, end = out[first][1], out[first][0], out[i - 1][0]
            sizes += [(begin + k, d, int(n)) for k, n in enumerate(clock.sizes(d, begin, end))]
            first = i
    return sizes


def _epochs(sizes: Sequence[tuple[int, int, int]]) -> list[theory.Epoch]:
    """Return stretches of nearly constant size (harmonic means)."""
    epochs: list[theory.Epoch] = []
    start, inverse, count = 0.0, 0.0, 0
    for _, _, n in sizes:
        if count and abs(n / start - 1) > _SIZE_STEP:
            epochs.append(theory.Epoch(count / inverse, count))
            inverse, count = 0.0, 0
        if not count:
            start = float(n)
        inverse += 1 / n
        count += 1
    if count:
        epochs.append(theory.Epoch(count / inverse, count))
    return epochs


def predict_branch(
    clock: Schedule, model: theory.LoadModel, phi: Floats, additive: bool, known: _Known | None = None
) -> tuple[pd.DataFrame, tuple[Cost, ...]]:
    """Return the expected trajectories of one branch, without the column `branch`, and the costs behind them.

    Parameters
    ----------
    clock
        Schedule of the branch.
    model
        Mutations under selection.
    phi
        From `admix.theory.phi`, at least one value more than generations.
    additive
        Whether the child of two lineages has the mean of their log fitness.
    known
        Costs by history, to be used again for other branches with the same model.
    """
    frames, costs = [], []
    loads = _Loads(clock, model, additive, {} if known is None else known)
    for source in clock.sources():
        flow = _Flow(clock, source, phi, loads)
        frames.append(flow.frame())
        costs += [flow.costs[target] for target in sorted(flow.costs)]
    return pd.concat(frames, ignore_index=True), tuple(costs)


class _Loads:
    """Costs of sources beside recipients, from their histories of sizes."""

    def __init__(self, clock: Schedule, model: theory.LoadModel, additive: bool, known: _Known) -> None:
        self.clock, self.model, self.additive, self.known = clock, model, additive, known

    def cost(self, source: int, target: int, tick: int) -> Cost:
        """Return the cost of the source's load to those who enter `target` in the cohort `tick`."""
        names = self.clock.deme_names
        lines = [lineage_sizes(self.clock, deme, tick - 1) for deme in (source, target)]
        together = 0
        while together < min(map(len, lines)) and lines[0][together] == lines[1][together]:
            together += 1
        root = self.clock.size(self.clock.root, 0)
        before, first_line, second_line = (
            tuple(_epochs(part)) for part in (lines[0][:together], lines[0][together:], lines[1][together:])
        )
        history = (root, before, first_line, second_line)
        if history not in self.known:
            self.known[history] = self._parted(root, before, first_line, second_line)
        S, hybrid, first, second = self.known[history]
        return Cost(
            source=names[source],
            target=names[target],
            S=S,
            S_het=hybrid,
            sd=float(np.hypot(first.sd, second.sd)),
            load_source=first,
            load_target=second,
        )

    def _parted(
        self, root: int, before: _Epochs, source: _Epochs, target: _Epochs
    ) -> tuple[float, float, theory.Load, theory.Load]:
        """Return S, its value for a hybrid, and the loads of two lineages that have parted."""
        model = self.model
        if len(model.effects.s) == 0 or model.U == 0:
            none = theory.Load(0.0, 0.0, 0.0, 0.0)
            return 0.0, 0.0, none, none
        common = model.evolve(model.equilibrium(root), before)
        common = theory.Lineage(common.density, np.zeros_like(common.fixed))  # what both have costs neither
        states = [model.evolve(common, epochs) for epochs in (source, target)]
        first, second = (model.load(state) for state in states)
        cost = first.total - second.total
        if self.additive:
            return cost, cost / 2, first, second
        shared = model.shared_frequency(common, source, target)
        return cost, model.hybrid_load(states[0], states[1], shared) - second.total, first, second


class _Flow:
    """Ancestry of one source in all demes that it reaches, generation by generation.

    Ancestry is kept by arrival: what came in one tick by one way pays the same from then on. An arrival of
    unmixed individuals pays S in its first generation and then, as its chromosomes are cut and spread, the cost of a
    foreign gamete times phi(0), phi(1), ... (see `admix.theory.uniform_load_trajectory`); children of mixed couples
    and scattered gametes begin with phi(0).
    """

    def __init__(self, clock: Schedule, source: int, phi: Floats, loads: _Loads) -> None:
        self.clock, self.source, self.phi, self.loads = clock, source, phi, loads
        self.costs: dict[int, Cost] = {}
        self.reached = clock.recipients(source)
        self.first = clock.first_pulse_tick(source)

    def frame(self) -> pd.DataFrame:
        """Return the trajectory with its band."""
        (middle, low, high), spread = self._shares(np.array([0.0, _NORMAL, -_NORMAL]))
        clock, rows = self.clock, []
        for deme, begin in self.reached.items():
            for tick in range(begin, int(clock.last_tick[deme]) + 1):
                p = middle[tick - self.first, deme]
                # both sources of scatter on the scale of ln p; drift is that of one run
                drift = _NORMAL * float(np.sqrt(spread[tick - self.first, deme]))
                ends = [max(other[tick - self.first, deme], 1e-300) for other in (low, high)]
                fall = np.log(max(p, 1e-300)) - np.log(ends)
                width = np.minimum(np.hypot(fall, drift), _WIDEST)
                rows.append(
                    (
                        clock.deme_names[self.source], clock.deme_names[deme], clock.generation(tick, self.source),
                        clock.years_bp(tick), p, p * np.exp(-width[0]), min(1.0, p * np.exp(width[1])),
                    )
                )  # fmt: skip
        columns = ["source", "deme", "generation", "years_bp", "ancestry_mean", "ancestry_low", "ancestry_high"]
        return pd.DataFrame(rows, columns=columns)

    def _cost(self, target: int, tick: int) -> Cost:
        if target not in self.costs:
            self.costs[target] = self.loads.cost(self.source, target, tick)
        return self.costs[target]

    def _shares(self, deviations: Floats) -> tuple[Floats, Floats]:
        """Return shares, float64[k, ticks, demes], with costs by k numbers of standard deviations off, and Var(ln p),
        float64[ticks, demes], at the first of these."""
        clock, count, k = self.clock, len(self.clock.deme_names), len(deviations)
        ticks = clock.today - self.first + 1
        shares, scatter = np.zeros((k, ticks, count)), np.zeros((ticks, count))
        parts = np.zeros((k, count, 0))  # share of each arrival in each deme
        arrived, unmixed = np.zeros(0), np.zeros(0)
        S, het = np.zeros((k, 0)), np.zeros((k, 0))
        for tick in range(self.first, clock.today + 1):
            bred = self._bred(parts, tick - arrived, unmixed, S, het)
            fresh: list[tuple[int, float, bool, Cost]] = []
            made = np.zeros_like(parts)
            for deme, begin in self.reached.items():
                if tick < begin or not clock.exists(deme, tick):
                    continue
                variance = 0.0
                for parent, share in clock.parents(deme, tick):
                    if parent == self.source:
                        fresh.append((deme, share, True, self._cost(deme, tick)))
                    else:
                        made[:, deme] += share * bred[:, parent]
                        if tick > self.first:
                            variance += share * share * scatter[tick - 1 - self.first, parent]
                taken = 0.0
                for pulse in clock.pulses:
                    if pulse.tick == tick and pulse.target == deme:
                        taken += pulse.share
                        if pulse.source == self.source:
                            cost = self._cost(deme, tick)
                            fresh.append((deme, pulse.share, pulse.unit == "individuals", cost))
                made[:, deme] *= 1 - taken
                scatter[tick - self.first, deme] = variance
            old = made.shape[2]
            parts = made
            if fresh:
                parts = np.concatenate([made, np.zeros((k, count, len(fresh)))], axis=2)
            for i, (deme, share, whole, cost) in enumerate(fresh, start=old):
                parts[:, deme, i] = share
                shift = deviations[:, None] * cost.sd
                arrived, unmixed = np.append(arrived, tick), np.append(unmixed, float(whole))
                S, het = (np.append(a, b, axis=1) for a, b in ((S, cost.S + shift), (het, cost.S_het + shift / 2)))
            shares[:, tick - self.first] = parts.sum(axis=2)
            self._drift(scatter, parts[0], tick, arrived, unmixed)
        return shares, scatter

    def _bred(self, parts: Floats, age: Floats, unmixed: Floats, S: Floats, het: Floats) -> Floats:
        """Return the shares among the gametes of the cohort before, after selection on it; `age` is 1 for its own."""
        if parts.shape[2] == 0:
            return parts
        p = parts.sum(axis=2, keepdims=True)
        step = (age - 1 - unmixed).astype(np.int64)
        S, het = S[:, None], het[:, None]
        later = ((1 - p) * het + p * (S - het)) * self.phi[np.maximum(step, 0)]
        lost = np.where(step < 0, S, later)
        kept = parts * np.exp(-np.minimum(np.maximum(lost, -_WIDEST), _WIDEST))
        whole = kept.sum(axis=2, keepdims=True) + np.maximum(0.0, 1 - p)
        return np.asarray(kept / np.where(whole > 0, whole, 1.0))

    def _drift(self, scatter: Floats, parts: Floats, tick: int, arrived: Floats, unmixed: Floats) -> None:
        """Add what sampling the gametes of this cohort adds to the variance of ln p; a pulse's share is exact."""
        age = tick - arrived
        old = age > 0
        if not old.any():
            return
        decay = np.where(old, self.phi[np.maximum((age - unmixed).astype(np.int64), 0)], 0.0)
        for deme in self.reached:
            p = float(parts[deme].sum())
            if p > 0 and self.clock.exists(deme, tick):
                mean = float(parts[deme] @ decay) / p
                scatter[tick - self.first, deme] += (1 - p) * mean / (2 * self.clock.size(deme, tick) * p)


def screen_text(forecast: Forecast) -> str:
    """Return what is printed: costs, expected shares by generation, and founders with living descendants."""
    blocks = ["\n".join(textwrap.wrap(f"Theory, nothing was simulated: {APPROXIMATION}.", 100)), _cost_lines(forecast)]
    data = forecast.trajectory
    for source in dict.fromkeys(data["source"]):
        blocks.append(_share_lines(data[data["source"] == source], source))
    lines = [
        f"{branch}: {percent(found.share)} of the founders with living descendants are {people(source)};"
        f" {found.source:.2f} of the {people(source)} founders and {found.recipient:.2f} of the others have any"
        for (branch, source), found in forecast.founders.items()
    ]
    if lines:
        blocks.append("\n".join(lines))
    blocks.append(CONVENTION)
    return "\n\n".join(blocks)


def _cost_lines(forecast: Forecast) -> str:
    lines = [f"map of {forecast.morgans:.2f} Morgans, mean recombination fraction {forecast.rbar:.4f}"]
    told: dict[tuple[str, str, float], list[str]] = {}
    for branch, costs in forecast.costs.items():
        for cost in costs:
            told.setdefault((cost.source, cost.target, cost.S), []).append(branch)
    for (source, target, S), branches in told.items():
        cost = next(c for c in forecast.costs[branches[0]] if (c.source, c.target) == (source, target))
        lines += [
            f"{source} into {target} ({', '.join(branches)}): S = {S:.3f} +- {cost.sd:.3f} between histories;"
            f" relative fitness {np.exp(-S):.3f}, of the F1 {np.exp(-cost.S_het):.3f}",
            f"  log-load since the split: {cost.load_source.total:.3f} in {source}"
            f" ({cost.load_source.fixed:.3f} of it fixed), {cost.load_target.total:.3f} in {target}"
            f" ({cost.load_target.fixed:.3f})",
        ]
    return "\n".join(lines)


def _share_lines(data: pd.DataFrame, source: str) -> str:
    last = data.groupby(["branch", "deme"])["generation"].max().max()
    many = data["deme"].nunique() > 1
    columns = list(data[["branch", "deme"]].drop_duplicates().itertuples(index=False, name=None))
    by = data.set_index(["branch", "deme", "generation"])
    heads = [f"{branch} {deme}" if many else branch for branch, deme in columns]
    rows = [["generation", "years ago", *heads]]
    clock = data.drop_duplicates("generation").set_index("generation")["years_bp"]
    for generation in sorted({*(g for g in GENERATIONS if g <= last), int(last)}):
        years = clock.loc[generation]
        cells = [f"{generation:,}" + (" (today)" if years == 0 else ""), f"{years:,.0f}"]
        for branch, deme in columns:
            if (branch, deme, generation) not in by.index:
                cells.append("")
                continue
            row = 100 * by.loc[(branch, deme, generation), ["ancestry_mean", "ancestry_low", "ancestry_high"]]
            cells.append(f"{row.iloc[0]:.2f} [{row.iloc[1]:.2f}, {row.iloc[2]:.2f}]")
        rows.append(cells)
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = ["  " + "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    head = f"{people(source)} share of DNA, %: expected [{100 * LEVEL:.0f} % of single runs]"
    return "\n".join([head, *lines])
