# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule of a run as engines see it: sizes, parents and events in integer ticks.

The clock, that is how dates become ticks, is stated in `admix.schedule`, which makes these objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

ROOT_FIRST_TICK = -(2**40)
"""First tick of the root deme: it has always existed, and this is older than any burn-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A stretch of one deme's life with one size law; both ticks are inclusive.

    `start_size` is the size at the tick before `first_tick`, `end_size` the size at `last_tick`.
    """

    first_tick: int
    last_tick: int
    start_size: float
    end_size: float
    size_function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One pulse: children of cohort `tick` of deme `target` with parents in deme `source` at ``tick - 1``.

    `share` is the expected fraction of the cohort's gene copies that come from the source, whatever the
    unit: ``individuals`` makes ``share * N`` children of two source parents, ``F1`` makes ``2 * share * N``
    children of one source and one native parent, ``gametes`` takes ``share * 2N`` gametes from the source,
    spread over the children. `mode` is ``exact`` (floor plus a Bernoulli draw for the remainder) or
    ``binomial``.  `years` is as written.
    """

    name: str
    source: int
    target: int
    tick: int
    share: float
    unit: str
    mode: str
    years: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Continuous migration: in cohorts `first_tick` to `last_tick` of `target`, `rate` of the parents are
    in `source`."""

    source: int
    target: int
    first_tick: int
    last_tick: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """What an engine needs to know about demography, in integer ticks (see the module docstring for the
    clock).

    Attributes
    ----------
    generation_time
        Years per tick.
    deme_names
        Demes in the order of the scenario; everything else refers to them by index.
    root
        Index of the deme from which all others descend.
    today
        Tick of the cohort alive today.
    first_tick, last_tick
        int64 arrays of shape (demes,), read-only: first and last cohort of each deme, inclusive.
        ``first_tick[root]`` is `ROOT_FIRST_TICK`.
    ancestors
        For each deme the (deme, proportion) pairs its first cohort descends from; empty for the root.
    epochs
        For each deme its epochs, oldest first.
    pulses
        By tick, and within a tick in the order of the scenario.
    migrations
        By target, source and tick.
    ancestors_at
        (years as written, tick) of the dates at which ancestors are to be counted.
    individuals
        (deme, tick, number) of the people to be sampled, oldest first, by deme within a tick.
    """

    generation_time: float
    deme_names: tuple[str, ...]
    root: int
    today: int
    first_tick: IntArray
    last_tick: IntArray
    ancestors: tuple[tuple[tuple[int, float], ...], ...]
    epochs: tuple[tuple[Epoch, ...], ...]
    pulses: tuple[Pulse, ...]
    migrations: tuple[Migration, ...]
    ancestors_at: tuple[tuple[float, int], ...] = ()
    individuals: tuple[tuple[int, int, int], ...] = ()

    def deme(self, name: str) -> int:
        """Return the index of the deme called `name`."""
        return self.deme_names.index(name)

    def exists(self, deme: int, tick: int) -> bool:
        """Return whether `deme` has a cohort at `tick`."""
        return bool(self.first_tick[deme] <= tick <= self.last_tick[deme])

    def size(self, deme: int, tick: int) -> int:
        """Return the number of diploid individuals in the cohort of `deme` at `tick`."""
        return int(self.sizes(deme, tick, tick)[0])

    def sizes(self, deme: int, first: int, last: int) -> IntArray:
        """Return the sizes of the cohorts `first` to `last` (inclusive) of `deme`, int64 of shape (last -
        first + 1,).

        Raises
        ------
        ValueError
            If the deme has no cohort at one of these ticks.
        """
        if not (self.exists(deme, first) and self.exists(deme, last)):
            raise ValueError(f"deme {self.deme_names[deme]} has no cohort at every tick from {first} to {last}")
        out = np.empty(last - first + 1, dtype=np.int64)
        for epoch in self.epochs[deme]:
            lo, hi = max(first, epoch.first_tick), min(last, epoch.last_tick)
            if lo <= hi:
                out[lo - first : hi - first + 1] = epoch_sizes(epoch, lo, hi)
        return out

    def parents(self, target: int, tick: int) -> list[tuple[int, float]]:
        """Return (deme, fraction) of the parents of cohort `tick` of `target`; the parents live at ``tick -
        1``.

        The list is in order of deme and its fractions add up to one.  It holds continuous migration, the
        ancestors at a deme's first tick, and the deme itself for the remainder; pulses are not in it.
        """
        shares: dict[int, float] = {}
        for migration in self.migrations:
            if migration.target == target and migration.first_tick <= tick <= migration.last_tick:
                shares[migration.source] = shares.get(migration.source, 0.0) + migration.rate
        remainder = 1.0 - sum(shares.values())
        home = self.ancestors[target] if tick == self.first_tick[target] else ((target, 1.0),)
        for deme, proportion in home:
            shares[deme] = shares.get(deme, 0.0) + proportion * remainder
        return [(deme, share) for deme, share in sorted(shares.items()) if share > 0]

    def first_pulse_tick(self, source: int | None = None) -> int:
        """Return the tick of generation 1: the first pulse from `source`, or the first of all."""
        return min(pulse.tick for pulse in self.pulses if source is None or pulse.source == source)

    def sources(self) -> tuple[int, ...]:
        """Return the demes that pulses come from, in order of their first pulse."""
        return tuple(dict.fromkeys(pulse.source for pulse in self.pulses))

    def recipients(self, source: int) -> dict[int, int]:
        """Return the demes that ancestry of `source` reaches, each with the first tick that has some.

        Ways are pulses, and from the first pulse of the source on also migration and splits.  The source
        itself is left out.
        """
        # Ancestry is counted from the first pulse on, when all of the source itself has it.
        never = self.today + 1
        reached = {source: self.first_pulse_tick(source) - 1}

        def reach(deme: int, tick: int) -> bool:
            if reached.get(deme, never) <= tick:
                return False
            reached[deme] = tick
            return True

        changed = True
        while changed:
            changed = False
            for pulse in self.pulses:
                if reached.get(pulse.source, never) < pulse.tick:
                    changed |= reach(pulse.target, pulse.tick)
            for migration in self.migrations:
                earliest = reached.get(migration.source, never) + 1
                if earliest <= migration.last_tick:
                    changed |= reach(migration.target, max(earliest, migration.first_tick))
            for deme, ancestors in enumerate(self.ancestors):
                if any(reached.get(ancestor, never) < self.first_tick[deme] for ancestor, _ in ancestors):
                    changed |= reach(deme, int(self.first_tick[deme]))
        return {deme: tick for deme, tick in sorted(reached.items()) if deme != source}

    def generation(self, tick: int, source: int | None = None) -> int:
        """Return the generation number of `tick`, counted from the first pulse of `source`."""
        return tick - self.first_pulse_tick(source) + 1

    def years_bp(self, tick: int) -> float:
        """Return how many years before today the cohort `tick` lived."""
        return (self.today - tick) * self.generation_time

    def tick_of_years(self, years: float) -> int:
        """Return the tick of a date in years ago."""
        return self.today - ticks_ago(years, self.generation_time)

    def describe(self) -> list[str]:
        """Return the events in order of tick, one line of text each."""
        lines = [f"one tick is a generation of {self.generation_time:g} years; today is tick {self.today:,}"]
        for tick, text in sorted(self._events(), key=lambda event: event[0]):
            lines.append(f"tick {tick:>9,}  {self.years_bp(tick):>12,.0f} years ago  {text}")
        return lines

    def _events(self) -> Iterator[tuple[int, str]]:
        names = self.deme_names
        for d, name in enumerate(names):
            for k, epoch in enumerate(self.epochs[d]):
                law = f"N {epoch.end_size:,.10g}"
                if epoch.size_function != "constant":
                    law = f"N {epoch.start_size:,.10g} to {epoch.end_size:,.10g}, {epoch.size_function}"
                if k > 0:
                    yield epoch.first_tick, f"{name} changes size: {law}"
                elif d != self.root:
                    origin = " and ".join(f"{p:.3g} of {names[a]}" if p < 1 else names[a] for a, p in self.ancestors[d])
                    yield epoch.first_tick, f"{name} begins from {origin}: {law}"
                elif epoch.last_tick < 0:
                    yield epoch.last_tick, f"{name}, alone so far: {law}"
            if d != self.root and self.last_tick[d] < self.today:
                yield int(self.last_tick[d]), f"last cohort of {name}"
        ends = " (its last cohort)" if self.last_tick[self.root] == 0 else ""
        yield 0, f"{names[self.root]} for the last time alone{ends}: N {self.size(self.root, 0):,}"
        for m in self.migrations:
            pair = f"migration {names[m.source]} -> {names[m.target]}"
            yield m.first_tick, f"{pair} begins: {m.rate:g} of the parents in each tick"
            yield m.last_tick, f"{pair}: last tick"
        for years, tick in self.ancestors_at:
            yield tick, f"ancestors are counted ({years:,.10g} years ago as written)"
        for deme, tick, n in self.individuals:
            yield tick, f"{n:,} individuals of {names[deme]} are sampled"
        for p in self.pulses:
            generation = f"generation {self.generation(p.tick, p.source):,} of {names[p.source]}"
            pair = f"{names[p.source]} -> {names[p.target]}"
            name = "" if p.name == "pulse" else f" {p.name}"
            yield p.tick, f"pulse{name}, {pair}: share {p.share:g} as {p.unit}, {p.mode} ({generation})"
        generations = (f"generation {self.generation(self.today, s):,} of {names[s]}" for s in self.sources())
        yield self.today, f"today: {' and '.join(generations)}"

    def to_dict(self, before_tick: int | None = None) -> dict[str, Any]:
        """Return everything that decides the demography, as plain lists and numbers, for hashing.

        Parameters
        ----------
        before_tick
            Leave out all that happens in this tick and later.  Two schedules with equal results have the same
            demography before that tick, whatever comes after; nothing in it depends on the date of today, on
            years, or on where ancestors are counted and people sampled.
        """
        stop = self.today + 1 if before_tick is None else before_tick
        demes_ = []
        for d, name in enumerate(self.deme_names):
            if self.first_tick[d] >= stop:
                continue
            last = min(int(self.last_tick[d]), stop - 1)
            first = None if d == self.root else int(self.first_tick[d])
            ancestors = [[a, p] for a, p in self.ancestors[d]]
            demes_.append(
                {"index": d, "name": name, "first": first, "last": last, "ancestors": ancestors,
                 "sizes": self._size_changes(d, last)}
            )  # fmt: skip
        return {
            "root": self.root,
            "demes": demes_,
            "pulses": [[p.name, p.source, p.target, p.tick, p.share, p.unit, p.mode] for p in self.pulses
                       if p.tick < stop],
            "migrations": [[m.source, m.target, m.first_tick, min(m.last_tick, stop - 1), m.rate]
                           for m in self.migrations if m.first_tick < stop],
        }  # fmt: skip

    def _size_changes(self, deme: int, last: int) -> list[list[int | None]]:
        """Return [tick, size] wherever the size differs from the tick before; the tick is None for
        "always"."""
        changes: list[list[int | None]] = []
        for epoch in self.epochs[deme]:
            if epoch.first_tick > last:
                break
            # Only a constant epoch can be endless, and then one of its ticks says all.
            lo = epoch.last_tick if epoch.first_tick == ROOT_FIRST_TICK else epoch.first_tick
            lo = min(lo, last)
            for tick, size in enumerate(epoch_sizes(epoch, lo, min(epoch.last_tick, last)).tolist(), start=lo):
                if not changes or changes[-1][1] != size:
                    changes.append([None if epoch.first_tick == ROOT_FIRST_TICK else tick, size])
        return changes


def ticks_ago(years: float, generation_time: float) -> int:
    """Return how many ticks ago `years` years ago is: the only rounding of time (see `admix.schedule`)."""
    return math.floor(years / generation_time + 0.5)


def round_years(ticks: int, generation_time: float) -> int:
    """Return the roundest date in years ago that is `ticks` ago: a multiple of the highest power of ten.

    So a date is mostly as it was written. With generations of 28 years, 1,607 ticks ago is 45,000, exactly 44,996.
    """
    low, exact, high = ((ticks + shift) * generation_time for shift in (-0.5, 0.0, 0.5))
    for power in range(9, -1, -1):
        step = 10**power
        found = [k * step for k in range(math.ceil(low / step), math.ceil(high / step)) if k >= 0]
        if found:
            return min(found, key=lambda years: abs(years - exact))
    return round(exact)


def epoch_sizes(epoch: Epoch, first: int, last: int) -> IntArray:
    """Return the sizes at the ticks `first` to `last`, all of them inside `epoch`."""
    if epoch.size_function == "constant":
        return np.full(last - first + 1, math.floor(epoch.end_size + 0.5), dtype=np.int64)
    length = epoch.last_tick - epoch.first_tick + 1
    x = (np.arange(first, last + 1, dtype=np.int64) - epoch.first_tick + 1) / length
    if epoch.size_function == "linear":
        sizes = epoch.start_size * (1.0 - x) + epoch.end_size * x
    else:
        sizes = epoch.start_size * (epoch.end_size / epoch.start_size) ** x
    sizes[x == 1.0] = epoch.end_size
    rounded: IntArray = np.floor(sizes + 0.5).astype(np.int64)
    return rounded
