# SPDX-License-Identifier: GPL-3.0-or-later
"""How far each verdict is from failing, as a picture."""

from __future__ import annotations

from typing import Any

import pandas as pd

from admix.figure_style import COLOURS, GREY

__all__ = ["deviations"]

_WIDEST = 3.0


def deviations(rows: pd.DataFrame, ax: Any) -> None:
    """Draw each row's difference from what is expected, in units of its tolerance, one line a check.

    Parameters
    ----------
    rows
        `check, expected, observed, tolerance, verdict`; rows without a tolerance are left out. Those of a check named
        ``control: ...`` are open circles: they must lie outside.
    ax
        Axes to draw on.
    """
    data = rows[rows["tolerance"] > 0].copy()
    data["z"] = ((data["observed"] - data["expected"]) / data["tolerance"]).clip(-_WIDEST, _WIDEST)
    names = list(dict.fromkeys(data["check"]))
    place = {name: i for i, name in enumerate(names)}
    ax.axvspan(-1, 1, color=GREY, alpha=0.12, linewidth=0)
    ax.axvline(0, color=GREY, linewidth=0.7)
    control = data["check"].str.startswith("control:")
    for own in (~control, control):
        for verdict, colour in (("pass", COLOURS[0]), ("noted", COLOURS[3]), ("FAIL", COLOURS[1])):
            part = data[own & (data["verdict"] == verdict)]
            if len(part):
                y = [place[name] for name in part["check"]]
                face = "none" if own is control else colour
                ax.scatter(part["z"], y, s=16, linewidths=0.8, edgecolors=colour, facecolors=face)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(max(1, len(names)) - 0.5, -0.5)
    ax.set_xlim(-1.05 * _WIDEST, 1.05 * _WIDEST)
    ax.set_xlabel("difference from the expected value / tolerance (beyond 3: drawn at 3)")
