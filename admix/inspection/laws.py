# SPDX-License-Identifier: GPL-3.0-or-later
"""Laws that bind the tables of a run to each other, to its scenario and to the genome, whatever was simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from admix import schedule as schedules
from admix.genome import Genome
from admix.results import Run, summarise
from admix.scenario import Scenario
from admix.timeline import Schedule

__all__ = ["LAWS", "Facts", "Law"]

ROUNDING = 2e-9
"""Tables have ten digits."""
_SUMMARY_ROUNDING = 1e-6
Law = Callable[["Facts"], Iterator[str]]
_RUN = ["branch", "replicate", "twin"]
_AT = [*_RUN, "source", "deme", "generation"]


@dataclass(slots=True)
class Facts:
    """A run's tables, and what its scenario says about them."""

    run: Run
    scenario: Scenario
    genome: Genome
    schedules: dict[str, Schedule]
    engine: str
    tables: dict[str, Any] = field(default_factory=dict)
    """Data frames; Any, as the stubs of pandas know no type of a cell."""

    @classmethod
    def of(cls, run: Run) -> Facts:
        """Read a run."""
        scenario = run.scenario
        clocks = {b.name: schedules.compile(scenario.branch(b.name)) for b in scenario.branches}
        engine = scenario.run.engine or "native"
        return cls(run, scenario, scenario.build_genome(), clocks, engine, run.tables())

    def last(self, branch: str) -> int:
        """Last tick of a branch."""
        clock, generations = self.schedules[branch], self.scenario.run.generations
        return clock.today if generations is None else clock.first_pulse_tick() + generations - 1

    def tick(self, branch: str, source: str, generation: int) -> int:
        """Tick of a generation of a source."""
        clock = self.schedules[branch]
        return clock.first_pulse_tick(clock.deme_names.index(source)) + generation - 1


def _named(row: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{name} {row[name]}" for name in names)


def _first(frame: Any, wrong: Any, names: list[str]) -> tuple[str, Any] | None:
    """Name and content of the first row that is wrong."""
    at = np.flatnonzero(np.asarray(wrong))
    if not len(at):
        return None
    row = frame.iloc[int(at[0])]
    return _named(row, *names), row


def runs(facts: Facts) -> Iterator[str]:
    """Every branch, replicate and twin that the scenario names is there, and no other."""
    options = facts.scenario.run
    twins = ["none", "neutral"] if options.twin == "neutral" and facts.engine != "msprime" else None
    found = {tuple(key) for key in facts.tables["trajectory"][_RUN].drop_duplicates().itertuples(index=False)}
    if twins is None:
        twins = sorted({twin for _, _, twin in found})
    wanted = {(b, r, t) for b in facts.schedules for r in range(options.replicates or 1) for t in twins}
    for what, keys in (("is missing", wanted - found), ("is not in the scenario", found - wanted)):
        for key in sorted(keys)[:1]:
            yield f"trajectory.tsv: {_named(dict(zip(_RUN, key, strict=True)), *_RUN)} {what}"


def time(facts: Facts) -> Iterator[str]:
    """Generations follow one another to the last, at the dates and with the sizes of the schedule."""
    table = facts.tables["trajectory"]
    sampled = facts.engine == "msprime"
    for key, rows in table.groupby(["branch", "source", "deme", "replicate", "twin"], sort=False):
        branch, source, deme = (str(name) for name in key[:3])
        where = f"trajectory.tsv: branch {branch}, source {source}, deme {deme}"
        clock = facts.schedules.get(branch)
        if clock is None or source not in clock.deme_names or deme not in clock.deme_names:
            yield f"{where}: not in the scenario"
            continue
        index, generations = clock.deme_names.index(deme), rows["generation"].to_numpy()
        if not sampled and (np.diff(generations) != 1).any():
            yield f"{where}: generation {generations[int(np.argmax(np.diff(generations) != 1))] + 1} is missing"
            continue
        ticks = [facts.tick(branch, source, int(g)) for g in generations]
        if ticks[-1] > facts.last(branch) or ticks[0] < 1:
            yield f"{where}: a generation after the last one"
            continue
        if not sampled and ticks[-1] != min(facts.last(branch), int(clock.last_tick[index])):
            yield f"{where}: the last generation is {generations[-1]}"
        for tick, row in zip(ticks, rows.itertuples(), strict=True):
            if abs(clock.years_bp(tick) - row.years_bp) > ROUNDING * max(1.0, row.years_bp):
                yield f"{where}: generation {row.generation} is dated {row.years_bp:g}, not {clock.years_bp(tick):g}"
                break
            if not sampled and clock.size(index, tick) != row.n_individuals:
                size = clock.size(index, tick)
                yield f"{where}: generation {row.generation} has {row.n_individuals} individuals, not {size}"
                break


def shares(facts: Facts) -> Iterator[str]:
    """Percentiles ascend, the spread fits the mean, and sources together give no more than everything."""
    t = facts.tables["trajectory"]
    bad = _first(t, (t["ancestry_p05"] > t["ancestry_p50"]) | (t["ancestry_p50"] > t["ancestry_p95"]), _AT)
    if bad:
        yield f"trajectory.tsv: {bad[0]}: percentiles that do not ascend"
    most = np.sqrt(t["ancestry_mean"] * (1 - t["ancestry_mean"]))
    bad = _first(t, t["ancestry_sd"] > most + 1e-8, _AT)
    if bad:
        sd, mean = bad[1]["ancestry_sd"], bad[1]["ancestry_mean"]
        yield f"trajectory.tsv: {bad[0]}: ancestry_sd {sd:g} with a mean of {mean:g}"
    # sources count generations each from its own pulse, so they are brought together by date
    together = t.groupby([*_RUN, "deme", "years_bp"])["ancestry_mean"].sum()
    if (together > 1 + 1e-8).any():
        yield f"trajectory.tsv: {together.idxmax()}: sources that add up to {together.max():.10g}"
    neutral = t[t["twin"] == "neutral"]
    bad = _first(neutral, (neutral["log_fitness_mean"].fillna(0) != 0) | (neutral["load_archaic"].fillna(0) != 0), _AT)
    if bad:
        yield f"trajectory.tsv: {bad[0]}: load in a neutral twin"


def pulses(facts: Facts) -> Iterator[str]:
    """What a pulse brought is the ancestry of its generation, and the share of heads where the first one comes."""
    table, t = facts.tables["pulse"], facts.tables["trajectory"].set_index(_AT).sort_index()["ancestry_mean"]
    heads = facts.tables["ancestors"]
    heads = (
        heads[(heads["scope"] == "all") & (heads["measure"] == "headcount")]
        .set_index([*_RUN, "source"])
        .sort_index()["value"]
    )
    for row in table.itertuples():
        clock = facts.schedules.get(row.branch)
        where = f"pulse.tsv: branch {row.branch}, replicate {row.replicate}, twin {row.twin}, pulse {row.pulse}"
        pulse = next((p for p in clock.pulses if p.name == row.pulse), None) if clock else None
        if clock is None or pulse is None:
            yield f"{where}: not in the scenario"
            continue
        if abs(pulse.share - row.requested) > ROUNDING:
            yield f"{where}: requested {row.requested:g}, but {pulse.share:g} in the scenario"
        source = clock.deme_names[pulse.source]
        first = [p for p in clock.pulses if p.source == pulse.source]
        if pulse.tick != min(p.tick for p in first) or sum(p.tick == pulse.tick for p in first) > 1:
            continue  # later ones add to what is there
        mean = t.get((row.branch, row.replicate, row.twin, source, row.target, 1))
        if mean is not None and abs(float(mean) - row.realised) > ROUNDING and facts.engine != "msprime":
            yield f"{where}: {row.realised:.10g} came in, but generation 1 of trajectory.tsv has {float(mean):.10g}"
        head = heads.get((row.branch, row.replicate, row.twin, source))
        if head is not None and abs(float(head) - row.realised) > ROUNDING and facts.engine != "msprime":
            yield f"{where}: {row.realised:.10g} came in, but the head-count of ancestors.tsv is {float(head):.10g}"


def ancestors(facts: Facts) -> Iterator[str]:
    """The living's DNA is that of the last generation, in each of the demes that live then."""
    if facts.engine == "msprime":
        return
    table, t = facts.tables["ancestors"], facts.tables["trajectory"]
    dna = table[(table["scope"] == "all") & (table["measure"] == "dna")]
    for row in dna.itertuples():
        clock, last = facts.schedules[row.branch], facts.last(row.branch)
        living = {d for s in clock.sources() for d in clock.recipients(s) if clock.exists(d, last)}
        living |= {d for d, _, _ in clock.individuals}
        rows = t[(t[_RUN] == [row.branch, row.replicate, row.twin]).all(axis=1) & (t["source"] == row.source)]
        rows = rows[rows["generation"] == rows["generation"].max()]
        if len(rows) != len(living):
            continue  # people whom this source has not reached count too
        mean = float(np.average(rows["ancestry_mean"], weights=rows["n_individuals"]))
        if abs(mean - row.value) > 10 * ROUNDING:
            where = f"ancestors.tsv: branch {row.branch}, source {row.source}"
            yield f"{where}: dna {row.value:.10g}, but the last generation's mean is {mean:.10g}"


def landscape(facts: Facts) -> Iterator[str]:
    """Windows cover each chromosome once, and their weighted mean is the mean of the people."""
    table, g = facts.tables["landscape"], facts.genome
    if not len(table):
        return
    chroms = np.array(g.chroms)[g.window_chrom]
    means = facts.tables["trajectory"].groupby([*_RUN, "source", "generation"])
    parts = [
        ("ancestry_mean", np.ones(len(g.marker_window), bool)),
        ("ancestry_functional", np.asarray(g.marker_functional)),
        ("ancestry_far", np.asarray(g.marker_far)),
    ]
    for key, rows in table.groupby([*_RUN, "source", "generation"], sort=False):
        where = "landscape.tsv: " + _named(
            dict(zip([*_RUN, "source", "generation"], key, strict=True)), "branch", "generation"
        )
        if len(rows) != len(chroms) or (rows["chrom"].to_numpy() != chroms).any():
            yield f"{where}: {len(rows)} windows of {len(chroms)}"
            continue
        if (rows["start"].to_numpy() != g.window_start).any() or (rows["end"].to_numpy() != g.window_end).any():
            yield f"{where}: windows that do not cover the genome once"
            continue
        if facts.engine == "msprime":
            continue
        people = means.get_group(key)
        values = rows["ancestry"].to_numpy()[g.marker_window]
        for name, flags in parts:
            weight = np.asarray(g.marker_weight)[flags]
            if not len(weight) or people[name].isna().any():
                continue
            mean, whole = float(np.average(values[flags], weights=weight)), float(people[name].mean())
            if not abs(mean - whole) <= 10 * ROUNDING:
                yield f"{where}: the windows' mean is {mean:.10g}, but {name} is {whole:.10g}"
                break


def spread(facts: Facts) -> Iterator[str]:
    """Each histogram holds everybody once, and has the mean of the people."""
    table = facts.tables["spread"]
    people = facts.tables["trajectory"].set_index(_AT).sort_index()
    for key, rows in table.groupby(_AT, sort=False):
        where = "spread.tsv: " + _named(dict(zip(_AT, key, strict=True)), "branch", "deme", "generation")
        if key not in people.index:
            yield f"{where}: no such row in trajectory.tsv"
            continue
        row = people.loc[key]
        n = int(rows["count"].sum())
        if n != int(row["n_individuals"]) or (rows["count"] < 0).any():
            yield f"{where}: {n} people of {int(row['n_individuals'])}"
            continue
        low = float((rows["count"] * rows["bin_start"]).sum()) / n
        high = float((rows["count"] * rows["bin_end"]).sum()) / n
        if not low - ROUNDING <= float(row["ancestry_mean"]) <= high + ROUNDING:
            yield f"{where}: a mean between {low:g} and {high:g}, but {row['ancestry_mean']:g} in trajectory.tsv"


def summary(facts: Facts) -> Iterator[str]:
    """summary.json is the summary of the tables."""
    again = summarise(facts.tables, facts.scenario)
    bad = next(_differences(again, facts.run.summary), None)
    if bad:
        yield f"summary.json: {bad}"


def _differences(a: Any, b: Any, place: str = "") -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*map(str, a), *map(str, b)}):
            one = {str(k): v for k, v in a.items()}.get(key)
            yield from _differences(one, b.get(key), f"{place}.{key}".removeprefix("."))
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _differences(x, y, f"{place}[{i}]")
    elif isinstance(a, np.generic):
        yield from _differences(a.item(), b, place)
    elif isinstance(a, float) and not math.isfinite(a):
        if b is not None:
            yield f"{place} is {b!r}, and the tables give nothing"
    elif isinstance(a, int | float) and isinstance(b, int | float):
        if abs(a - b) > _SUMMARY_ROUNDING * max(1.0, abs(a)):
            yield f"{place} is {b!r}, and the tables give {a!r}"
    elif a != b:
        yield f"{place} is {b!r}, and the tables give {a!r}"


LAWS: dict[str, Law] = {
    law.__name__: law for law in (runs, time, shares, pulses, ancestors, landscape, spread, summary)
}
"""By name; each yields what breaks it, one line each."""
