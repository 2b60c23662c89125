# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a posterior, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.figure import Figure

from admix.figure_style import STYLE
from admix.infer import figures
from admix.infer.posterior import Posterior
from admix.infer.survey import Survey
from admix.infer.targets import Measured

__all__ = ["NAME", "draw"]

NAME = "posterior"
_MOST = 3  # other parameters that are drawn


def draw(posterior: Posterior, target: Measured, survey: Survey, out: Path) -> list[Path]:
    """Draw the pulse, the other parameters, their joint posterior, and the predicted trajectory; return the files."""
    others = list(range(1, len(posterior.beliefs)))[:_MOST]
    with matplotlib.rc_context(cast(Any, dict(STYLE))):
        figure = Figure(figsize=(7.2, 3.0 * (1 + len(others))), layout="constrained")
        grid = figure.add_gridspec(1 + len(others), 2, width_ratios=(1, 1.2))
        figures.marginal(posterior, 0, figure.add_subplot(grid[0, 0]))
        figures.predictive(posterior, target, survey, figure.add_subplot(grid[0, 1]))
        for row, number in enumerate(others, start=1):
            figures.marginal(posterior, number, figure.add_subplot(grid[row, 0]))
            figures.joint(posterior, number, figure.add_subplot(grid[row, 1]))
        files = []
        for form in ("png", "svg"):
            # without these each file would carry the date or the version
            metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
            files.append(out / f"{NAME}.{form}")
            figure.savefig(files[-1], metadata=metadata)
    return files
