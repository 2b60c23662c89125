# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the tracts of a source's ancestry are expected to be without selection.

Follow one base of a sampled haplotype back to the pulse, and ask whether the next base comes from the same source. A
crossover between the two, in one of the meioses on the way, puts them on different lines. The lines may meet again in
one haplotype before the pulse is reached; if they do not, the next base is of the source with the share of the pulse.
So tracts end at a rate per Morgan of

    (1 - share) x sum over meioses of P(lines parted then have not met again at the pulse)

which for a constant size and t meioses is ``(1 - m) 2N (1 - exp(-t/2N))`` (Liang & Nielsen 2014,
doi:10.1534/genetics.114.162362), and not ``(1 - m) t``. Lengths in Morgans are then close to exponential, cut short
where a chromosome ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admix.errors import InputError
from admix.schedule import Schedule

__all__ = ["coalescent_end_rate", "effective_meioses", "end_rate", "expected_survival", "line_sizes", "meioses"]

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_MIXED = {"individuals": 2, "F1": 1, "gametes": 1}
"""By unit of the pulse, the first generation in which one person can have both ancestries."""


def meioses(generation: int, unit: str = "individuals") -> int:
    """Return in how many meioses on the way to a haplotype of `generation` a tract could be cut.

    Unmixed individuals of generation 1 cut nothing: the first meiosis that counts makes generation 3. Children of
    one archaic and one native parent (`F1`), or of scattered `gametes`, are mixed in generation 1 already.
    """
    return max(0, generation - _MIXED[unit])


def effective_meioses(sizes: npt.ArrayLike, unit: str = "individuals") -> float:
    """Return the expected number of meioses whose crossovers can still show, those that part lines that do not meet
    again.

    Parameters
    ----------
    sizes
        Diploid individuals of each cohort on the line, from generation 1 to that of the sample, shape (generations,).
    unit
        ``individuals``, ``F1`` or ``gametes``: what came in by the pulse.

    Notes
    -----
    Exact for a Wright-Fisher population: lines parted in a person of generation g are in different haplotypes there,
    and meet in generation j < g with probability 1 / 2N_j. For a constant N it is 2N (1 - (1 - 1/2N)^t), the discrete
    form of Liang & Nielsen 2014, doi:10.1534/genetics.114.162362.
    """
    n = np.asarray(sizes, dtype=np.float64)
    t = meioses(len(n), unit)
    # the cohorts in which two parted lines can meet, oldest first; the last but one is the youngest
    apart = np.cumprod(1.0 - 1.0 / (2.0 * n[_MIXED[unit] - 1 : -1]))[: max(t - 1, 0)]
    return float(t > 0) + float(apart.sum())


def end_rate(share: float, sizes: npt.ArrayLike, unit: str = "individuals") -> float:
    """Return the rate, per Morgan, at which tracts of the source end without selection.

    Parameters
    ----------
    share
        Probability that a line which reaches the pulse by itself is of the source there.
    sizes, unit
        As in `effective_meioses`.

    Notes
    -----
    With `F1` the other haplotype of a mixed person of generation 1 is native for certain, which adds `share`.
    """
    rate = (1.0 - share) * effective_meioses(sizes, unit)
    if unit == "F1" and len(np.atleast_1d(sizes)) > 1:
        rate += share
    return rate


def coalescent_end_rate(share: float, generations: float, size: float) -> float:
    """Return the rate per Morgan in continuous time with a constant size: ``(1 - m) 2N (1 - exp(-t/2N))``.

    Liang & Nielsen 2014, doi:10.1534/genetics.114.162362; `generations` before the sample each line is of the source
    with probability `share`.
    """
    return (1.0 - share) * -2.0 * size * float(np.expm1(-generations / (2.0 * size)))


def expected_survival(length: npt.ArrayLike, rate: float, chromosomes: npt.ArrayLike) -> Floats:
    """Return the expected share of tracts longer than `length`, with those cut short by a chromosome's end.

    Parameters
    ----------
    length
        Morgans, shape (k,).
    rate
        Rate per Morgan at which tracts end.
    chromosomes
        Length of each chromosome, Morgans.

    Returns
    -------
    float64[k]
        ``sum (1 + rate (L - x)) exp(-rate x) / sum (1 + rate L)`` over chromosomes longer than x.

    Notes
    -----
    A haplotype begins inside a tract with probability m and begins a new one at the rate ``m rate`` per Morgan; each
    lasts an exponential length or to the end of its chromosome. m cancels out.
    """
    x = np.atleast_1d(np.asarray(length, dtype=np.float64))[:, None]
    whole = np.asarray(chromosomes, dtype=np.float64)[None, :]
    longer = np.where(x < whole, (1.0 + rate * (whole - x)) * np.exp(-rate * x), 0.0)
    return np.asarray(longer.sum(axis=1) / (1.0 + rate * whole).sum())


def line_sizes(schedule: Schedule, source: str, deme: str, tick: int) -> tuple[Int64, str]:
    """Return the sizes on the one line from a sampled deme back to the only pulse of a source, and the pulse's unit.

    Parameters
    ----------
    schedule
        Of the branch.
    source, deme
        Names of demes.
    tick
        Cohort of the sample.

    Returns
    -------
    sizes : int64[generations]
        Individuals in each cohort on the line, from the pulse to `tick`.
    unit : str
        Of the pulse.

    Raises
    ------
    InputError
        If the theory does not cover the case: no pulse or several on the line, or migration into it.
    """
    where = f"neutral tract lengths of {source} in {deme}"
    origin = schedule.deme(source)
    here, line = schedule.deme(deme), []
    for now in range(tick, schedule.first_pulse_tick(origin) - 1, -1):
        line.append(schedule.size(here, now))
        pulses = [p for p in schedule.pulses if p.target == here and p.tick == now]
        if pulses:
            if len(pulses) > 1 or pulses[0].source != origin or _earlier(schedule, pulses[0].tick, here, origin):
                raise InputError(where, allowed="one pulse into the line that leads to the sample, and no other before")
            return np.array(line[::-1], dtype=np.int64), pulses[0].unit
        parents = schedule.parents(here, now)
        if len(parents) > 1:
            raise InputError(where, allowed="a line without migration or mixture between the pulse and the sample")
        here = parents[0][0]
    raise InputError(where, allowed="a pulse of that source into the line that leads to the sample")


def _earlier(schedule: Schedule, tick: int, deme: int, source: int) -> bool:
    """Return whether ancestry of the source is in the deme before its pulse at `tick`."""
    return schedule.recipients(source).get(deme, tick) < tick
