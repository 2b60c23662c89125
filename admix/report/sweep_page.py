# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a sweep: its grid, its points in a chart that tells their values, its figures and its table."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from admix.report.html import Markup, fragment, tag
from admix.report.material import table as html_table
from admix.report.page import REPORT, document, save
from admix.summary import people, percent

__all__ = ["render_sweep", "write_sweep_report"]

MOST_ROWS = 200
"""Points that the page lists; all are in table.tsv."""


def write_sweep_report(
    folder: Path, title: str, grid: str, parameters: Mapping[str, str], table: pd.DataFrame, total: int
) -> Path:
    """Write ``report.html`` into the directory of a sweep; parameters as in `render_sweep`.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    pictures = sorted((folder / "figures").glob("*.svg"))
    return save(render_sweep(title, grid, parameters, table, total, pictures), folder / REPORT)


def render_sweep(
    title: str, grid: str, parameters: Mapping[str, str], table: pd.DataFrame, total: int, pictures: Sequence[Path]
) -> str:
    """Return the page of a sweep as HTML.

    Parameters
    ----------
    title
        Its title.
    grid
        The grid as YAML.
    parameters
        Label of each parameter by its name, a column of `table`.
    table
        The table of finished points (`admix.sweep.collect`).
    total
        How many points are planned.
    pictures
        SVG files to show.
    """
    points = table["point"].nunique()
    charts: dict[str, Any] = {}
    parts: list[tuple[str, str, Markup]] = [("answer", "What was found", _found(table, parameters, points, total))]
    figures = []
    for number, ((source, deme), rows) in enumerate(table.groupby(["source", "deme"], sort=False)):
        identity = f"sweep-{number}"
        charts[identity] = _chart(rows, parameters)
        alt = f"{people(str(source))} ancestry of {deme} in the last generation against the pulse, one dot a point"
        figures.append(
            tag(
                "figure",
                tag("div", class_="chart", id=identity, data_kind="sweep", role="img", aria_label=alt, tabindex="0"),
                tag("figcaption", f"{alt}. Point at a dot for its values."),
                class_="noprint",
            )
        )
    stills = [
        tag("img", src=_uri(path), alt=f"Figure {path.stem.replace('-', ' ')}", loading="lazy") for path in pictures
    ]
    parts.append(("points", "Points", fragment(figures, tag("div", stills, class_="pictures"))))
    parts.append(("table", "Table", _rows(table, parameters)))
    parts.append(("grid", "The grid", tag("pre", grid, tabindex="0")))
    return document(
        title=title,
        facts=["sweep", f"{points:,} of {total:,} points"],
        lead=None,
        parts=parts,
        charts=charts,
    )


def _found(table: pd.DataFrame, parameters: Mapping[str, str], points: int, total: int) -> Markup:
    said = []
    for (source, deme), rows in table.groupby(["source", "deme"], sort=False):
        low, high = rows["ancestry_final"].min(), rows["ancestry_final"].max()
        pulse = rows["realised"]
        said.append(
            f"{people(str(source))} ancestry of {deme} in generation {int(rows['generations'].max()):,} lies between"
            f" {percent(low)} and {percent(high)}, from pulses of {percent(pulse.min())} to {percent(pulse.max())}."
        )
    varied = [
        f"{parameters.get(name) or name}: {table[name].nunique():,} values, {table[name].min()} to {table[name].max()}"
        for name in parameters
    ]
    missing = f" {total - points:,} points are not finished." if points < total else ""
    return fragment(
        [tag("p", line, class_="answer") for line in said],
        tag(
            "p",
            f"{points:,} points are finished.{missing} Each is one run; those of one setting differ by chance.",
        ),
        tag("ul", [tag("li", line) for line in varied]),
    )


def _chart(rows: pd.DataFrame, parameters: Mapping[str, str]) -> dict[str, Any]:
    numeric = [name for name in parameters if rows[name].nunique() > 1 and pd.api.types.is_numeric_dtype(rows[name])]
    # the pulse is on the axis already
    by = next((name for name in numeric if not rows[name].equals(rows["requested"])), None)
    text = [
        ", ".join(f"{parameters.get(name) or name} {row[name]:g}" if isinstance(row[name], float) else
                  f"{parameters.get(name) or name} {row[name]}" for name in parameters) + f"; history {row['history']}"
        for row in rows.to_dict("records")
    ]  # fmt: skip
    return {
        "x": (100 * rows["realised"]).tolist(),
        "y": (100 * rows["ancestry_final"]).tolist(),
        "colour": None if by is None else rows[by].astype(float).tolist(),
        "by": "" if by is None else parameters.get(by) or by,
        "text": text,
        "ylabel": f"ancestry in generation {int(rows['generations'].max()):,} (% of DNA)",
    }


def _rows(table: pd.DataFrame, parameters: Mapping[str, str]) -> Markup:
    shown = ["point", *parameters, "source", "deme", "realised", "fitness_archaic_relative", "ancestry_final"]
    rows = [
        [f"{row[c]:.4g}" if isinstance(row[c], float) else str(row[c]) for c in shown]
        for row in table[shown].head(MOST_ROWS).to_dict("records")
    ]
    more = f"The first {MOST_ROWS} of {len(table):,} rows; all are in table.tsv." if len(table) > MOST_ROWS else None
    return fragment(html_table(shown, rows, "Finished points"), tag("p", more, class_="note") if more else None)


def _uri(path: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
