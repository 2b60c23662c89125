# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a suite: verdicts by check, what failed or is noted, and a picture of all differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from admix import __version__
from admix.verification.checks import FAIL, FALSE_ALARM, NOTED, PASS, Check, Row

__all__ = ["Finished", "write_page"]

_VERDICTS = (PASS, NOTED, FAIL)


@dataclass(frozen=True, slots=True)
class Finished:
    """A check, its rows and the processor time that they took."""

    check: Check
    rows: Sequence[Row]
    seconds: float


def write_page(done: Sequence[Finished], *, suite: str, seed: int, path: Path) -> None:
    """Write the page (Markdown) and, beside it, its picture (PNG).

    Parameters
    ----------
    done
        The checks.
    suite, seed
        Named on the page.
    path
        Of the page; the picture has the same name.
    """
    from admix import figure_checks, plots

    rows = [row for one in done for row in one.rows]
    table = pd.DataFrame([asdict(row) for row in rows])
    picture = path.with_suffix(".png")
    height = 0.9 + 0.16 * table["check"].nunique()
    plots.draw_panel(partial(figure_checks.deviations, table), picture, (7.2, height))
    number = {verdict: int((table["verdict"] == verdict).sum()) for verdict in _VERDICTS}
    lines = [
        f"# Verification: {'FAILED' if number[FAIL] else 'passed'}",
        "",
        f"admix {__version__}, suite `{suite}`, seed {seed}: {number[PASS]} rows pass, {number[NOTED]} are noted,"
        f" {number[FAIL]} fail. A suite fails with a probability of {100 * FALSE_ALARM:g} % although all is right. A"
        " control is a deliberately wrong model; it passes by being refused.",
        "",
        "| check | what | rows | noted | failed | processor time |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for one in done:
        count = {verdict: sum(row.verdict == verdict for row in one.rows) for verdict in _VERDICTS}
        lines.append(
            f"| {one.check.name} | {one.check.title} | {len(one.rows)} | {count[NOTED]} | {count[FAIL]} |"
            f" {one.seconds:.0f} s |"
        )
    for verdict, title in ((FAIL, "Failures"), (NOTED, "Noted: cannot agree, and why")):
        found = [row for row in rows if row.verdict == verdict]
        if found:
            lines += ["", f"## {title}", "", *_table(found)]
    lines += ["", "## All rows", "", f"![Differences in units of the tolerance]({picture.name})", "", *_table(rows)]
    half = path.with_name(f".{path.name}.partial")
    half.write_text("\n".join(lines) + "\n", encoding="utf-8")
    half.replace(path)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| check | statistic | expected | observed | n | tolerance | p | power | verdict | source; tolerance; note |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        said = "; ".join(part for part in (row.source, row.derivation, row.note) if part)
        numbers = [f"{v:.4g}" for v in (row.expected, row.observed)]
        lines.append(
            f"| {row.check} | {row.statistic} | {numbers[0]} | {numbers[1]} | {row.n} | {row.tolerance:.2g} |"
            f" {row.p:.2g} | {row.power:.3g} | **{row.verdict}** | {said} |"
        )
    return lines
