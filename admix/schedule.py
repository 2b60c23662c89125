# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scenario in years to a schedule in ticks: the only place where time is converted.

The clock
---------
A tick is one generation.  Ticks are integers that run forwards:

* ``ticks_ago(years) = floor(years / generation_time + 0.5)`` (to the nearest tick, halves to the older
  one).  This is the only rounding of time in admix, and every date goes through it.
* **Tick 0 is the last cohort in which the root deme is alone**: the one whose children found the first deme
  that splits off.  Cohorts of the root before it (burn-in and older sizes) have negative ticks; how many of
  them are simulated is the engine's affair.
* **Today is tick T** = ``ticks_ago`` of that first split, so ``tick = T - ticks_ago(years)`` and
  ``years_bp(tick) = (T - tick) * generation_time``, which is the date after rounding.
* Intervals are half-open, as in Demes: what holds over (start, end] in years ago holds for the cohorts with
  ``ticks_ago(end) <= ago < ticks_ago(start)``.  A deme that starts at the split therefore has its first
  cohort at tick 1.
* A pulse at ``time`` falls on the cohort born at ``ticks_ago(time)``: these children have parents in the
  source deme, at the tick before.
* **Generation 1 is the cohort of the first pulse of a source**, in which unmixed migrants make up the pulse
  share; generation g is g - 1 ticks later, and today is generation ``T - first_pulse_tick + 1``.

Two examples.  `reich`: 28 years a generation, split 550,000 years ago, pulse 47,000 years ago.  47,000 / 28
= 1,678.57, so the pulse is 1,679 ticks ago, ``years_bp`` of generation 1 is 47,012, and today is generation
1,680.  `petr2019`: 25 years a generation; the pulse is 2,200 ticks ago and the split 20,000, so that 17,800
ticks lie between the last cohort of the root and generation 1.

Sizes inside a linear or exponential epoch are read at the end of each tick: with n cohorts in the epoch,
cohort i = 1..n has the size at the fraction i / n of the way from ``start_size`` to ``end_size``, rounded
half up, so the last cohort has ``end_size`` exactly.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from admix.errors import InputError, nearest, plain
from admix.timeline import (
    ROOT_FIRST_TICK,
    Epoch,
    IntArray,
    Migration,
    Pulse,
    Schedule,
    epoch_sizes,
    ticks_ago,
)

if TYPE_CHECKING:
    import demes

    from admix.scenario import Scenario

__all__ = ["ROOT_FIRST_TICK", "Epoch", "Migration", "Pulse", "Schedule", "compile", "ticks_ago"]

MAX_TICKS = 10_000_000
SMALLEST_SIZE = 2


def compile(scenario: Scenario) -> Schedule:
    """Return the schedule of a scenario (with its branch already applied).

    Raises
    ------
    InputError
        If the dates, once rounded to ticks, cannot be played: an epoch or a deme without a single cohort,
        parents in a deme that has no cohort then, two pulses of one source into one deme in one tick,
        shares adding up to more than 1, or a size below 2.
    """
    graph = scenario.graph
    generation_time = float(scenario.demography.generation_time)
    names = tuple(deme.name for deme in graph.demes)
    index = {name: i for i, name in enumerate(names)}
    root = next(i for i, deme in enumerate(graph.demes) if not deme.ancestors)
    splits = [deme.start_time for deme in graph.demes if deme.ancestors]
    if not splits:
        raise InputError("demography.demes", list(names), "at least two demes, one of them a source of a pulse")
    today = ticks_ago(max(splits), generation_time)
    if not 1 <= today <= MAX_TICKS:
        raise InputError(
            "demography.generation_time",
            generation_time,
            f"a value that puts the first split ({max(splits):,.10g} years ago) 1 to {MAX_TICKS:,} ticks ago",
        )

    first, last, epochs = [], [], []
    for deme in graph.demes:
        epochs.append(_compile_epochs(deme, today, generation_time))
        first.append(epochs[-1][0].first_tick)
        last.append(epochs[-1][-1].last_tick)
    schedule = Schedule(
        generation_time=generation_time,
        deme_names=names,
        root=root,
        today=today,
        first_tick=_frozen(first),
        last_tick=_frozen(last),
        ancestors=tuple(
            tuple((index[a], float(p)) for a, p in zip(deme.ancestors, deme.proportions, strict=True))
            for deme in graph.demes
        ),
        epochs=tuple(epochs),
        pulses=_compile_pulses(scenario, index, today, generation_time),
        migrations=_compile_migrations(graph, index, first, last, today, generation_time),
        ancestors_at=tuple(
            (float(years), today - ticks_ago(years, generation_time)) for years in scenario.sampling.ancestors_at
        ),
        individuals=_compile_individuals(scenario, index, today, generation_time),
    )
    _check_ancestors(schedule)
    _check_pulses(schedule, scenario)
    _check_recipients(schedule, scenario)
    _check_dates(schedule)
    _check_individuals(schedule, scenario)
    return schedule


def _compile_epochs(deme: demes.Deme, today: int, generation_time: float) -> tuple[Epoch, ...]:
    epochs = []
    for k, epoch in enumerate(deme.epochs):
        first = (
            ROOT_FIRST_TICK
            if math.isinf(epoch.start_time)
            else today - ticks_ago(epoch.start_time, generation_time) + 1
        )
        last = today - ticks_ago(epoch.end_time, generation_time)
        where = f"demography.demes.{deme.name}.epochs[{k}]"
        if last < first:
            raise InputError(
                f"{where}.end_time",
                plain(epoch.end_time),
                f"a time at least one tick of {generation_time:g} years after the epoch's start"
                f" ({epoch.start_time:,.10g} years ago), since both round to {today - last:,} ticks ago",
            )
        compiled = Epoch(
            first_tick=first,
            last_tick=last,
            start_size=float(epoch.start_size),
            end_size=float(epoch.end_size),
            size_function=epoch.size_function,
        )
        for field, tick in (("start_size", first), ("end_size", last)):
            size = int(epoch_sizes(compiled, tick, tick)[0])
            if size < SMALLEST_SIZE:
                raise InputError(
                    f"{where}.{field}", plain(getattr(epoch, field)), f"at least {SMALLEST_SIZE} individuals"
                )
        epochs.append(compiled)
    return tuple(epochs)


def _compile_pulses(scenario: Scenario, index: dict[str, int], today: int, generation_time: float) -> tuple[Pulse, ...]:
    pulses = [
        Pulse(
            name=pulse.name,
            source=index[pulse.source],
            target=index[pulse.target],
            tick=today - ticks_ago(pulse.time, generation_time),
            share=float(pulse.share),
            unit=pulse.unit,
            mode=pulse.mode,
            years=float(pulse.time),
        )
        for pulse in scenario.pulse
    ]
    return tuple(sorted(pulses, key=lambda pulse: pulse.tick))


def _compile_migrations(
    graph: demes.Graph,
    index: dict[str, int],
    first: list[int],
    last: list[int],
    today: int,
    generation_time: float,
) -> tuple[Migration, ...]:
    migrations = []
    for migration in graph.migrations:
        source, target = index[migration.source], index[migration.dest]
        # In Demes two demes may exchange migrants from the moment they begin; in ticks a source has to have
        # lived one tick before it can be a parent, and it can still be one for the tick after its last.
        begin = max(today - ticks_ago(migration.start_time, generation_time) + 1, first[source] + 1, first[target])
        end = min(today - ticks_ago(migration.end_time, generation_time), last[source] + 1, last[target])
        if end < begin:
            raise InputError(
                f"demography.migrations ({migration.source} -> {migration.dest})",
                plain([migration.start_time, migration.end_time]),
                f"a window with at least one tick of {generation_time:g} years in which both demes live",
            )
        migrations.append(
            Migration(source=source, target=target, first_tick=begin, last_tick=end, rate=float(migration.rate))
        )
    return tuple(sorted(migrations, key=lambda m: (m.target, m.source, m.first_tick)))


def _compile_individuals(
    scenario: Scenario, index: dict[str, int], today: int, generation_time: float
) -> tuple[tuple[int, int, int], ...]:
    taken: dict[tuple[int, int], int] = {}
    for k, block in enumerate(scenario.sampling.individuals):
        if block.deme not in index:
            where = f"sampling.individuals[{k}].deme"
            raise InputError(where, block.deme, f"one of {', '.join(index)}", nearest(block.deme, index))
        at = (today - ticks_ago(block.time, generation_time), index[block.deme])
        taken[at] = taken.get(at, 0) + block.n
    return tuple((deme, tick, n) for (tick, deme), n in sorted(taken.items()))


def _check_ancestors(schedule: Schedule) -> None:
    for d, name in enumerate(schedule.deme_names):
        tick = int(schedule.first_tick[d])
        for ancestor, _ in schedule.ancestors[d]:
            if not schedule.exists(ancestor, tick - 1):
                raise InputError(
                    f"demography.demes.{name}.start_time",
                    plain(schedule.years_bp(tick - 1)),
                    f"a time at which its ancestor {schedule.deme_names[ancestor]} has a cohort, after"
                    f" rounding to ticks of {schedule.generation_time:g} years",
                )


def _check_pulses(schedule: Schedule, scenario: Scenario) -> None:
    names = schedule.deme_names
    written = {pulse.name: f"pulse[{i}]" for i, pulse in enumerate(scenario.pulse)}
    taken: dict[tuple[int, int], float] = {}
    pairs: dict[tuple[int, int, int], str] = {}
    for pulse in schedule.pulses:
        where = written[pulse.name]
        for deme, tick, role in (
            (pulse.source, pulse.tick - 1, "source"),
            (pulse.target, pulse.tick, "target"),
        ):
            if not schedule.exists(deme, tick):
                lag = pulse.tick - tick
                when = "the tick before" if lag else "then"
                oldest = schedule.years_bp(max(1, int(schedule.first_tick[deme]) + lag))
                latest = schedule.years_bp(min(schedule.today, int(schedule.last_tick[deme]) + lag))
                raise InputError(
                    f"{where}.time",
                    plain(pulse.years),
                    f"{oldest:,.10g} to {latest:,.10g} years ago in ticks of {schedule.generation_time:g}"
                    f" years, so that the {role} {names[deme]} has a cohort {when}",
                )
        pair = (pulse.tick, pulse.source, pulse.target)
        if pair in pairs:
            raise InputError(
                f"{where}.time",
                plain(pulse.years),
                f"one pulse from {names[pulse.source]} into {names[pulse.target]} in a tick of"
                f" {schedule.generation_time:g} years, and {pairs[pair]} falls on the same tick",
            )
        pairs[pair] = where
        # The parents a pulse brings come out of those the deme would otherwise have, so shares in a tick
        # add up; an F1 child needs a native parent too.
        cost = pulse.share * (2 if pulse.unit == "F1" else 1)
        taken[pair[0], pulse.target] = taken.get((pair[0], pulse.target), 0.0) + cost
        if taken[pair[0], pulse.target] > 1 + 1e-12:
            raise InputError(
                f"{where}.share",
                pulse.share,
                f"shares of all pulses into {names[pulse.target]} in one tick that add up to at most 1"
                f" (an F1 share counts twice), and they add up to {taken[pair[0], pulse.target]:.10g}",
            )


def _check_recipients(schedule: Schedule, scenario: Scenario) -> None:
    for i, pulse in enumerate(scenario.pulse):
        reached = schedule.recipients(schedule.deme(pulse.source))
        if not any(schedule.last_tick[deme] == schedule.today for deme in reached):
            alive = [n for d, n in enumerate(schedule.deme_names) if schedule.last_tick[d] == schedule.today]
            raise InputError(
                f"pulse[{i}].target",
                pulse.target,
                f"a deme with descendants today, which {', '.join(alive) or 'no deme'} lives to see",
            )


def _check_dates(schedule: Schedule) -> None:
    latest = schedule.first_pulse_tick()
    for k, (years, tick) in enumerate(schedule.ancestors_at):
        if not 1 <= tick <= latest:
            raise InputError(
                f"sampling.ancestors_at[{k}]",
                plain(years),
                f"a date from the first pulse ({schedule.years_bp(latest):,.10g} years ago) back to the first"
                f" cohort after the split ({schedule.years_bp(1):,.10g} years ago)",
            )


def _check_individuals(schedule: Schedule, scenario: Scenario) -> None:
    sampled = {(deme, tick): n for deme, tick, n in schedule.individuals}
    for k, block in enumerate(scenario.sampling.individuals):
        where = f"sampling.individuals[{k}]"
        deme = schedule.deme(block.deme)
        tick = schedule.tick_of_years(block.time)
        oldest = max(1, int(schedule.first_tick[deme]))
        if not oldest <= tick <= schedule.last_tick[deme]:
            dates = [f"{schedule.years_bp(t):,.10g}" for t in (int(schedule.last_tick[deme]), oldest)]
            raise InputError(
                f"{where}.time",
                plain(block.time),
                f"{dates[0]} to {dates[1]} years ago, when {block.deme} has cohorts after the first split",
            )
        if sampled[deme, tick] > schedule.size(deme, tick):
            raise InputError(
                f"{where}.n",
                sampled[deme, tick],
                f"at most {schedule.size(deme, tick):,}, the individuals of {block.deme} in that tick",
            )


def _frozen(values: list[int]) -> IntArray:
    array = np.array(values, dtype=np.int64)
    array.setflags(write=False)
    return array
