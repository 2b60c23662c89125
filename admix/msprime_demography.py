# SPDX-License-Identifier: GPL-3.0-or-later
"""The demography of a schedule as msprime reads it, backwards in time.

Time 0 is the last cohort and the cohort of tick k lives at time ``last - k``. A gamete of the cohort at time a has its
parent in the cohort at time a + 1, so all that is said of the births of a cohort (which deme the parents live in, how
many parents there are) holds over (a, a + 1]:

* the size of the cohort at time a + 1 is the size of its deme over (a, a + 1];
* a pulse into the cohort at time a is a mass migration at time a, and a deme whose first cohort lives at time a goes
  to its ancestors at time a. Lineages cross after they were in the cohort of the pulse (generation 1) and before they
  are in the one before. Moves that fall on one time are in an order in which no lineage crosses twice;
* migration into the cohorts at times a to b holds from a to b + 1.

"At time a" is the next number that a computer knows above a, except for migration rates. For msprime applies the
events of a time before it takes the samples of that time; and in its discrete Wright-Fisher model the births over
(a, a + 1] happen at time a + 1, after the events of that time, but their migration before them. So the same events
are right for both models, and for lineages that begin at any tick.

What differs from a forward engine: gametes cross one by one, whatever the unit of a pulse, so that migrants who are
children of two parents from the source count one meiosis more than they have (`admix.tract_theory.meioses`); each
gamete crosses with the probability of the share, whatever the mode; and migration goes on all through a generation,
so that a rate m moves a share 1 - exp(-m), and a lineage that a pulse or a split has moved may go on by migration in
the same generation. (Not in the discrete model, where migration comes first.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from admix.errors import InputError
from admix.timeline import ROOT_FIRST_TICK, Pulse, Schedule, epoch_sizes

if TYPE_CHECKING:
    import msprime

__all__ = ["SIZE_STEP", "demography", "sizes_by_step"]

SIZE_STEP = 0.005
"""Where a size changes in every tick, ticks are put together in which it differs by no more than this share. Such a
step has the harmonic mean of its sizes, so the probability to have met by its end is the same."""


def demography(
    schedule: Schedule, *, before_tick: int | None = None, last_tick: int | None = None
) -> msprime.Demography:
    """Return the demography of a schedule for msprime, in generations.

    Populations have the names and the indices of the schedule's demes, and all of them are active from time 0 on.

    Parameters
    ----------
    before_tick
        Leave out what happens in the births of this tick and later (as `Schedule.to_dict` does): lineages may
        enter at the cohort ``before_tick - 1``, which is at time ``last_tick - before_tick + 1``, or at older ones.
        Younger pulses, splits, sizes and migration are not in it. For records that begin at the tick
        before the first pulse, this is the tick of that pulse.
    last_tick
        The cohort at time 0; today if omitted.

    Raises
    ------
    InputError
        If demes give to each other in one tick, which has no order backwards in time.
    """
    import msprime

    last = schedule.today if last_tick is None else last_tick
    newest = last if before_tick is None else min(last, before_tick - 1)
    out = msprime.Demography()
    sizes = {}
    for deme, name in enumerate(schedule.deme_names):
        # one that begins later has no lineage, but msprime wants a size
        at = max(newest, int(schedule.first_tick[deme]))
        sizes[deme] = list(sizes_by_step(schedule, deme, at))
        out.add_population(
            name=name,
            initial_size=sizes[deme][0][1],
            default_sampling_time=max(0, last - int(schedule.last_tick[deme])),
            initially_active=True,
        )
    pulses = [pulse for pulse in schedule.pulses if pulse.tick <= newest]
    _add_migration(out, schedule, last, newest)
    for deme, steps in sizes.items():
        if schedule.first_tick[deme] <= newest:
            for tick, size in steps[1:]:
                out.add_population_parameters_change(_just_after(last - tick - 1), population=deme, initial_size=size)
    births = {pulse.tick for pulse in pulses}
    births |= {int(tick) for deme, tick in enumerate(schedule.first_tick) if deme != schedule.root and tick <= newest}
    for tick in sorted(births, reverse=True):
        for deme in _order(schedule, tick, [pulse for pulse in pulses if pulse.tick == tick]):
            _add_births(out, schedule, deme, tick, _just_after(last - tick))
    out.sort_events()
    return out


def sizes_by_step(schedule: Schedule, deme: int, newest: int) -> Iterator[tuple[int, float]]:
    """Yield (last tick, size) of the stretches of equal size of a deme up to tick `newest`, the youngest first.

    The size holds for the births whose parents live at that tick and before, down to the next stretch.
    """
    for epoch in reversed(schedule.epochs[deme]):
        end = min(epoch.last_tick, newest)
        if end < epoch.first_tick:
            continue
        if epoch.first_tick == ROOT_FIRST_TICK or epoch.size_function == "constant":
            yield end, float(epoch_sizes(epoch, end, end)[0])
            continue
        sizes = epoch_sizes(epoch, epoch.first_tick, end)[::-1].astype(np.float64)
        start = 0
        while start < len(sizes):
            off = np.abs(sizes[start:] / sizes[start] - 1) > SIZE_STEP
            stop = start + int(off.argmax()) if off.any() else len(sizes)
            yield end - start, float((stop - start) / (1 / sizes[start:stop]).sum())
            start = stop


def _add_migration(out: msprime.Demography, schedule: Schedule, last: int, newest: int) -> None:
    """Add migration rates; msprime names the deme that a lineage leaves the source, which is our target."""
    windows: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
    for m in schedule.migrations:
        # the parents of a deme's first cohort are in `_add_births`
        first = max(m.first_tick, int(schedule.first_tick[m.target]) + 1)
        end = min(m.last_tick, newest)
        if first <= end:
            windows.setdefault((m.target, m.source), []).append((last - end, last - first + 1, m.rate))
    for (target, source), spans in windows.items():
        for time in sorted({edge for start, end, _ in spans for edge in (start, end)}):
            rate = sum(rate for start, end, rate in spans if start <= time < end)
            if time <= last - newest:
                out.set_migration_rate(target, source, rate)
            else:
                out.add_migration_rate_change(time, rate=rate, source=target, dest=source)


def _order(schedule: Schedule, tick: int, pulses: list[Pulse]) -> list[int]:
    """Return the demes whose births at `tick` move lineages to other demes, in an order in which none moves twice."""
    leaving: dict[int, set[int]] = {}
    for pulse in pulses:
        if pulse.share > 0:
            leaving.setdefault(pulse.target, set()).add(pulse.source)
    for deme, first in enumerate(schedule.first_tick):
        if deme != schedule.root and first == tick:
            leaving.setdefault(deme, set()).update(parent for parent, _ in schedule.parents(deme, tick))
    order: list[int] = []
    while leaving:
        # a deme's own lineages leave before others come to it
        free = [deme for deme, to in leaving.items() if not to & leaving.keys()]
        if not free:
            names = " and ".join(schedule.deme_names[deme] for deme in sorted(leaving))
            raise InputError(
                "pulse.time",
                f"pulses between {names} in one tick of {schedule.generation_time:g} years",
                "with msprime, different ticks for pulses between demes that give to each other",
            )
        order += sorted(free)
        for deme in free:
            del leaving[deme]
    return order


def _just_after(time: int) -> float:
    return float(np.nextafter(time, np.inf)) if time else 2.0**-52


def _add_births(out: msprime.Demography, schedule: Schedule, deme: int, tick: int, time: float) -> None:
    """Add where the gametes of the cohort `tick` of `deme` come from, if not from the deme itself: pulses first."""
    left = 1.0
    for pulse in schedule.pulses:
        if pulse.tick == tick and pulse.target == deme and pulse.share > 0 and left > 0:
            # msprime takes a mass migration of 1 for the end of the deme, and warns of migration that goes on
            share = min(1.0 - 2.0**-53, pulse.share / left)
            out.add_mass_migration(time, source=deme, dest=pulse.source, proportion=share)
            left -= pulse.share
    if tick == schedule.first_tick[deme]:
        parents = schedule.parents(deme, tick)
        if len(parents) == 1:
            out.add_population_split(time, derived=[deme], ancestral=parents[0][0])
        else:
            total = sum(share for _, share in parents)
            out.add_admixture(
                time,
                derived=deme,
                ancestral=[parent for parent, _ in parents],
                proportions=[share / total for _, share in parents],
            )
