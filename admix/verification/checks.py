# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check is: a function that returns rows of one table, and the verdict of two samples.

A suite rejects a right program with a probability of at most ``FALSE_ALARM``, shared out over its rows (Bonferroni).
Every statistic has a *control*: the same comparison with one named parameter wrong by a stated amount, which must be
rejected; where it is not, the suite could not have seen such a fault, and that is a failure too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

__all__ = [
    "FALSE_ALARM", "REGISTRY", "SUITES", "Check", "Row", "compare", "passed", "register", "screen", "write_rows",
]  # fmt: skip

FALSE_ALARM = 0.01
"""Probability that a suite fails although all is right."""
SUITES = ("smoke", "quick", "full")
PASS, FAIL, NOTED = "pass", "FAIL", "noted"
"""Verdicts. ``noted``: the value is not the published one, for the reason that stands beside it; no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    check
        What is checked, as in ``engines: recessive`` or ``control: recombination x 2``.
    statistic
        Name of the number.
    expected, source
        The value it should have, and where that comes from.
    observed
        The value it has.
    n
        Number of runs (or samples) behind it.
    tolerance
        Largest difference that passes.
    derivation
        Where the tolerance comes from.
    p
        p-value of the difference where chance is in it (NaN otherwise).
    power
        Probability that the statistic's control is rejected (in a control's row: that this one is).
    verdict
        ``pass``, ``FAIL`` or ``noted``. A control passes if the difference is beyond the tolerance.
    note
        The reason of a difference that is known and understood.
    """

    check: str
    statistic: str
    expected: float
    source: str
    observed: float
    n: int
    tolerance: float
    derivation: str
    p: float = math.nan
    power: float
    verdict: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check that can be run by name; ``run(options)`` returns its rows.

    ``suites`` are those it belongs to; asked for by name, it runs in any. ``version`` is raised when the same runs
    would give other rows.
    """

    name: str
    title: str
    run: Callable[[Mapping[str, Any]], list[Row]]
    suites: tuple[str, ...] = SUITES
    version: int = 1


REGISTRY: dict[str, Check] = {}


def register(
    name: str, title: str, suites: tuple[str, ...] = SUITES, version: int = 1
) -> Callable[[Callable[[Mapping[str, Any]], list[Row]]], Any]:
    """Enter a function as the check ``name``."""

    def enter(run: Callable[[Mapping[str, Any]], list[Row]]) -> Any:
        if name in REGISTRY:
            raise ValueError(f"two checks are called {name}")
        REGISTRY[name] = Check(name=name, title=title, run=run, suites=suites, version=version)
        return run

    return enter


def compare(a: Sequence[float], b: Sequence[float], level: float) -> tuple[float, float, float, bool]:
    """Compare two samples' means by Welch's test.

    Returns
    -------
    tolerance
        Largest difference of the means that passes at the two-sided `level`.
    power
        Probability that a difference as large as the one observed is beyond it.
    p
        p-value.
    equal
        Whether it passes.
    """
    x, y = (np.asarray([v for v in values if not math.isnan(v)], float) for values in (a, b))
    if len(x) < 2 or len(y) < 2:
        return math.nan, math.nan, math.nan, False
    vx, vy = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    difference = abs(float(y.mean() - x.mean()))
    error = math.sqrt(vx + vy)
    if error == 0.0:
        # the same number in every run of both
        slack = 1e-9 * max(1.0, abs(float(x.mean())))
        return slack, float(difference > slack), float(difference <= slack), difference <= slack
    freedom = (vx + vy) ** 2 / (vx**2 / (len(x) - 1) + vy**2 / (len(y) - 1))
    critical = float(stats.t.isf(level / 2, freedom))
    power = float(stats.norm.sf(critical - difference / error))
    p = float(2 * stats.t.sf(difference / error, freedom))
    return critical * error, power, p, difference <= critical * error


def passed(rows: Iterable[Row]) -> bool:
    """Return whether no verdict is a failure."""
    return all(row.verdict != FAIL for row in rows)


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as a tab-separated table."""
    names = [field.name for field in fields(Row)]
    lines = ["\t".join(names)]
    for row in rows:
        values = asdict(row)
        lines.append("\t".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values.values()))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(path)


def screen(rows: Sequence[Row]) -> str:
    """Return the rows as a short table for a terminal."""
    width = max((len(row.statistic) for row in rows), default=0)
    lines: list[str] = []
    last = ""
    for row in rows:
        if row.check != last:
            lines += ["", row.check] if lines else [row.check]
            last = row.check
        lines.append(
            f"  {row.verdict:<5}  {row.statistic:<{width}}  {row.expected:>10.4g}  {row.observed:>10.4g}"
            f"  +-{row.tolerance:<9.3g} power {row.power:.2f}  n {row.n}"
        )
        lines += [f"         {row.note}"] if row.note and row.verdict != PASS else []
    number = {verdict: sum(row.verdict == verdict for row in rows) for verdict in (PASS, NOTED, FAIL)}
    told = [f"{number[PASS]} of {len(rows)} pass"]
    told += [f"{number[NOTED]} are noted: they cannot agree, for the reason given"] if number[NOTED] else []
    told += [f"{number[FAIL]} fail"] if number[FAIL] else []
    return "\n".join([*lines, "", ", ".join(told)])
