# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours, sizes and fonts that all figures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Okabe & Ito's colour-blind safe palette (https://jfly.uni-koeln.de/color/) without its yellow, too pale for
# a line, and without its green, kept for what was measured in living people.
COLOURS = ("#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LIVING_COLOUR = "#009E73"
GREY = "#4D4D4D"
WIDTH = 1.5

PAPER_WIDTH = 7.2
"""Width in inches of a figure over both columns of a page."""

STYLE: Mapping[str, Any] = {
    "figure.figsize": (PAPER_WIDTH, 3.4),
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": WIDTH,
    # The layout is settled at the resolution that is saved.
    "figure.dpi": 200.0,
    "savefig.dpi": 200.0,
    "savefig.facecolor": "white",
    "svg.hashsalt": "admix",
    "svg.fonttype": "path",
}
"""One style for every figure, for `matplotlib.rc_context`."""

TALK: Mapping[str, Any] = {
    **STYLE,
    "figure.figsize": (9.36, 4.42),
    "font.size": 12.0,
    "axes.labelsize": 12.0,
    "axes.titlesize": 12.75,
    "axes.linewidth": 1.0,
    "xtick.labelsize": 11.25,
    "ytick.labelsize": 11.25,
    "xtick.major.width": 1.0,
    "ytick.major.width": 1.0,
    "legend.fontsize": 11.25,
    "lines.linewidth": 2.6,
}
"""For slides: letters half as large again on figures 1.3 times as wide, with thicker lines."""

STYLES: Mapping[str, Mapping[str, Any]] = {"paper": STYLE, "talk": TALK}
