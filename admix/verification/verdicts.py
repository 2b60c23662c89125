# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on numbers that have an expected value: a row, and the row of its control.

A control is the same observation held against what a deliberately wrong model expects (or, for a published range, a
wrong model's value held against the range); it must be refused. ``LEVEL`` is the false-alarm rate of one row: a
suite has at most ``ROWS`` rows with chance in them, so that all together stay below `FALSE_ALARM`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from admix.verification.checks import FAIL, FALSE_ALARM, NOTED, PASS, Row

__all__ = ["LEVEL", "ROWS", "Wrong", "deviation_rows", "mean_rows", "noted_row", "range_rows", "ratio_rows"]

ROWS = 200
LEVEL = FALSE_ALARM / ROWS


@dataclass(frozen=True, slots=True)
class Wrong:
    """A deliberately wrong model: what is wrong in it, and the value it gives."""

    title: str
    value: float


def _rows(
    check: str, statistic: str, observed: float, error: float, n: int, expected: float, source: str, wrong: Wrong,
    slack: float, test: str,
) -> list[Row]:  # fmt: skip
    """Rows of an estimate with a standard error (n - 1 degrees of freedom) against an expectation."""
    freedom = max(1, n - 1)
    allowed = slack * abs(expected)
    critical = float(stats.t.isf(LEVEL / 2, freedom))
    derivation = f"{test} at {LEVEL:.2g}, n - 1 degrees of freedom"
    if slack:
        derivation += f", beyond {100 * slack:.2g} % allowed to the theory"
    # the least that a sum of doubles may differ by, where nothing is left to chance
    tolerance = max(critical * error + allowed, 1e-9 * abs(expected))

    def one(name: str, value: float) -> tuple[Row, bool]:
        difference = abs(observed - value)
        p = float(2 * stats.t.sf(max(0.0, difference - allowed) / error, freedom)) if error > 0 else math.nan
        distance = abs(wrong.value - expected) - tolerance
        power = float(stats.norm.sf(-distance / error)) if error > 0 else float(distance > 0)
        row = Row(
            check=name, statistic=statistic, expected=value, source=source, observed=observed, n=n,
            tolerance=tolerance, derivation=derivation, p=p, power=power, verdict=PASS,
        )  # fmt: skip
        return row, difference <= tolerance

    return _pair(*one(check, expected), *one(_control(check, wrong), wrong.value))


def _control(check: str, wrong: Wrong) -> str:
    return f"control: {check.partition(':')[0]}, {wrong.title}"


def _pair(row: Row, well: bool, control: Row, accepted: bool) -> list[Row]:
    return [replace(row, verdict=PASS if well else FAIL), replace(control, verdict=FAIL if accepted else PASS)]


def mean_rows(
    check: str, statistic: str, values: Sequence[float], expected: float, source: str, wrong: Wrong, *,
    slack: float = 0.0,
) -> list[Row]:  # fmt: skip
    """Rows of the mean of independent runs against an expectation (Student's t).

    Parameters
    ----------
    check, statistic, source
        As in `Row`.
    values
        One a run.
    expected, wrong
        What theory expects, and what a wrong one would.
    slack
        Relative error that the theory itself is known to have; it widens the tolerance.
    """
    x = np.asarray(values, dtype=np.float64)
    error = float(x.std(ddof=1) / math.sqrt(len(x)))
    return _rows(check, statistic, float(x.mean()), error, len(x), expected, source, wrong, slack, "Student's t-test")


def ratio_rows(
    check: str, statistic: str, parts: Sequence[float], wholes: Sequence[float], expected: float, source: str,
    wrong: Wrong, *, slack: float = 0.0,
) -> list[Row]:  # fmt: skip
    """Rows of a ratio of sums over independent runs against an expectation.

    The error is that of the runs' ``part - expected x whole``, whose mean is 0 where the expectation is right.
    """
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    left = part - expected * whole
    error = float(left.std(ddof=1) / math.sqrt(len(left)) / abs(whole.mean()))
    ratio = float(part.sum() / whole.sum())
    return _rows(check, statistic, ratio, error, len(part), expected, source, wrong, slack, "t-test of a ratio")


def deviation_rows(
    check: str, statistic: str, values: Sequence[float], expected: float, source: str, wrong: Wrong
) -> list[Row]:
    """Rows of the standard deviation between independent runs against an expectation (chi-square)."""
    x = np.asarray(values, dtype=np.float64)
    freedom = len(x) - 1
    low, high = (float(q) for q in stats.chi2.ppf([LEVEL / 2, 1 - LEVEL / 2], freedom))
    observed = float(x.std(ddof=1))

    def one(name: str, value: float) -> tuple[Row, bool]:
        sum_of_squares = freedom * (observed / value) ** 2
        p = 2 * min(stats.chi2.cdf(sum_of_squares, freedom), stats.chi2.sf(sum_of_squares, freedom))
        scale = (wrong.value / expected) ** 2
        power = float(stats.chi2.cdf(low * scale, freedom) + stats.chi2.sf(high * scale, freedom))
        row = Row(
            check=name, statistic=statistic, expected=value, source=source, observed=observed, n=len(x),
            tolerance=value * max(math.sqrt(high / freedom) - 1, 1 - math.sqrt(low / freedom)),
            derivation=f"chi-square test at {LEVEL:.2g}, n - 1 degrees of freedom", p=min(1.0, float(p)), power=power,
            verdict=PASS,
        )  # fmt: skip
        return row, low <= sum_of_squares <= high

    return _pair(*one(check, expected), *one(_control(check, wrong), wrong.value))


def range_rows(
    check: str, statistic: str, observed: float, low: float, high: float, source: str, derivation: str,
    wrong: Wrong | None, *, n: int = 1, known: str = "",
) -> list[Row]:  # fmt: skip
    """Rows of a number that is to lie in a published range.

    Parameters
    ----------
    observed
        What the program gives.
    low, high
        The range; the row shows its middle and half its width.
    wrong
        The value of a wrong model, which must lie outside; none where ``known`` is given.
    known
        Why the number cannot lie in the range. If it does all the same, the reason is wrong and the row fails.
    """
    expected, tolerance = (low + high) / 2, (high - low) / 2

    def one(name: str, value: float) -> tuple[Row, bool]:
        row = Row(
            check=name, statistic=statistic, expected=expected, source=source, observed=value, n=n,
            tolerance=tolerance, derivation=derivation, power=math.nan if wrong is None else 1.0, verdict=PASS,
        )  # fmt: skip
        return row, low <= value <= high

    row, well = one(check, observed)
    if known:
        note = f"the value is as published although {known}" if well else known
        return [replace(row, verdict=FAIL if well else NOTED, note=note)]
    if wrong is None:
        raise ValueError(f"{check}, {statistic}: a row needs a control or a known reason")
    return _pair(row, well, *one(_control(check, wrong), wrong.value))


def noted_row(check: str, statistic: str, expected: float, source: str, reason: str) -> Row:
    """Return the row of a published number that the program has no value for, with the reason."""
    return Row(
        check=check, statistic=statistic, expected=expected, source=source, observed=math.nan, n=0, tolerance=math.nan,
        derivation="none", power=math.nan, verdict=NOTED, note=reason,
    )  # fmt: skip
