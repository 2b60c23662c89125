# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a sweep from its tables, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from admix.figure_style import STYLE
from admix.sweep import figures
from admix.sweep.grid import Grid

__all__ = ["MAX_VALUES", "draw_all"]

MAX_VALUES = 12
"""Parameters with more values than this (draws from a prior) are not drawn as lines or rows of a heat map."""


def draw_all(grid: Grid, table: pd.DataFrame, trajectories: pd.DataFrame, out: Path) -> list[Path]:
    """Draw every figure that the grid's parameters allow, of the first source and deme; return the files."""
    first = table.iloc[0]
    table, trajectories = (
        frame[(frame["source"] == first["source"]) & (frame["deme"] == first["deme"])]
        for frame in (table, trajectories)
    )
    labels = {p.name: p.label for p in grid.parameters}
    few = [name for name in grid.names if 1 < table[name].nunique() <= MAX_VALUES]
    out.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []

    def save(figure: Figure, name: str) -> None:
        for form in ("png", "svg"):
            # without these each file would carry the date or the version
            metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
            figure.savefig(out / f"{name}.{form}", metadata=metadata)
            files.append(out / f"{name}.{form}")

    with matplotlib.rc_context(cast(Any, dict(STYLE))):
        for name in few:
            figure = Figure(figsize=(4.2, 3.2), layout="constrained")
            figures.trajectories(trajectories, figure.subplots(), by=name, label=labels[name])
            save(figure, f"trajectories-{name}")
        by = next((name for name in few if table.groupby(name)["requested"].nunique().max() > 1), None)
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        figures.final_against_initial(table, figure.subplots(), by=by, label=labels[by] if by else "")
        save(figure, "final-against-initial")
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        figures.ridge(table, figure.subplots())
        save(figure, "ridge")
        for i, x in enumerate(few):
            for y in few[i + 1 :]:
                figure = Figure(figsize=(4.6, 3.2), layout="constrained")
                figures.heat_map(table, figure.subplots(), x=x, y=y, labels=(labels[x], labels[y]))
                save(figure, f"heat-map-{x}-{y}")
    return files
