# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a sweep: functions of its tables and Axes that return the Axes; they read nothing and save nothing.

`data` is the table of points (`admix.sweep.collect`) of one source and deme, or, where it says so, that of
trajectories. Shares come in as fractions and are drawn in per cent.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from admix.figure_style import COLOURS, GREY, LIVING_COLOUR

__all__ = ["RIDGE", "final_against_initial", "heat_map", "ridge", "trajectories"]

RIDGE = (0.020, 0.024)
"""Shares of DNA today between which a point is on the ridge."""


def _percent_axis(ax: Axes, which: str) -> None:
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    axis.set_minor_formatter(NullFormatter())


def trajectories(data: pd.DataFrame, ax: Axes, *, by: str, label: str = "") -> Axes:
    """Draw mean ancestry by generation, a line for each value of the parameter `by`, a band over its points.

    `data` is the table of trajectories; the band is the range of the points that share the value.
    """
    for i, (value, part) in enumerate(data.groupby(by, sort=True)):
        shares = 100 * part.groupby("generation")["ancestry_mean"].agg(["mean", "min", "max"])
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(shares.index, shares["mean"], color=colour, label=str(value))
        ax.fill_between(shares.index, shares["min"], shares["max"], color=colour, alpha=0.15, lw=0)
    ax.set_xscale("log")
    ax.set_xlabel("generation (1 is the pulse)")
    ax.set_ylabel("archaic ancestry (% of DNA)")
    _percent_axis(ax, "x")
    ax.set_ylim(bottom=0)
    ax.legend(title=label or by)
    return ax


def final_against_initial(data: pd.DataFrame, ax: Axes, *, by: str | None = None, label: str = "") -> Axes:
    """Draw each point's ancestry in its last generation against its pulse, coloured by the parameter `by`.

    The grey line is where nothing would be lost.
    """
    groups = [(None, data)] if by is None else list(data.groupby(by, sort=True))
    for i, (value, part) in enumerate(groups):
        ax.plot(
            100 * part["realised"], 100 * part["ancestry_final"], "o", ms=4, alpha=0.7,
            color=COLOURS[i % len(COLOURS)], label=None if value is None else str(value),
        )  # fmt: skip
    ends = np.array([0.0, 100 * max(data["realised"].max(), 1e-6)])
    ax.plot(ends, ends, color=GREY, lw=0.8, ls=":", label="_nothing lost")
    ax.axhspan(100 * RIDGE[0], 100 * RIDGE[1], color=LIVING_COLOUR, alpha=0.2, lw=0)
    ax.set_xlabel("archaic share of generation 1 (%)")
    ax.set_ylabel(f"archaic ancestry in generation {data['generations'].max()} (% of DNA)")
    if by is not None:
        ax.legend(title=label or by)
    return ax


def ridge(data: pd.DataFrame, ax: Axes, *, low: float = RIDGE[0], high: float = RIDGE[1]) -> Axes:
    """Draw the pulses that end between `low` and `high` against the archaic load, one bar a history.

    Along each history the last generation's ancestry is interpolated, on logarithms, between the pulses that were
    run; a history whose points do not reach `low` or `high` has no bar, and none is extrapolated. Dots are the
    points, filled where they end between the two.
    """
    inside = data["ancestry_final"].between(low, high)
    load, pulse = data["log_load_difference"], 100 * data["realised"]
    ax.plot(load[~inside], pulse[~inside], "o", ms=3.5, mfc="none", mec=GREY, mew=0.7, label="other points")
    ax.plot(load[inside], pulse[inside], "o", ms=3.5, color=LIVING_COLOUR, label=f"{100 * low:g}–{100 * high:g} %")
    for _, part in data.groupby("history", sort=False):
        found = crossing(part, [low, high])
        if np.isfinite(found).all():
            x = float(part["log_load_difference"].mean())
            ax.plot([x, x], 100 * found, color=LIVING_COLOUR, lw=5, alpha=0.35, solid_capstyle="butt", label="_bar")
    ax.set_yscale("log")
    _percent_axis(ax, "y")
    ax.set_xlabel("archaic load (difference of mean log fitness)")
    ax.set_ylabel("archaic share of generation 1 (%)")
    ax.legend()
    return ax


def crossing(part: pd.DataFrame, levels: list[float]) -> np.ndarray:
    """Return the pulse shares (float64, NaN outside the points) at which one history's points end at `levels`.

    Means of equal pulses are interpolated linearly on logarithms; means that fall as the pulse grows are pooled, so
    that every level is crossed once.
    """
    means = part.groupby("realised")["ancestry_final"].mean().sort_index()
    means = means[(means > 0) & (means.index > 0)]
    if len(means) < 2:
        return np.full(len(levels), np.nan)
    y = np.log(np.maximum.accumulate(means.to_numpy(np.float64)))
    x = np.log(means.index.to_numpy(np.float64))
    return np.exp(np.interp(np.log(levels), y, x, left=np.nan, right=np.nan))


def heat_map(data: pd.DataFrame, ax: Axes, *, x: str, y: str, labels: tuple[str, str] = ("", "")) -> Axes:
    """Draw the mean of the last generation's ancestry for each pair of values of the parameters `x` and `y`."""
    table = 100 * data.pivot_table("ancestry_final", index=y, columns=x, aggfunc="mean").sort_index()
    image = ax.imshow(table.to_numpy(), origin="lower", aspect="auto", cmap="cividis")
    for i, row in enumerate(table.to_numpy()):
        for j, value in enumerate(row):
            if np.isfinite(value):
                colour = "white" if value < np.nanmean(table.to_numpy()) else "black"
                ax.text(j, i, f"{value:.2g}", ha="center", va="center", color=colour, fontsize=7)
    ax.set_xticks(range(table.shape[1]), [f"{v}" for v in table.columns])
    ax.set_yticks(range(table.shape[0]), [f"{v}" for v in table.index])
    ax.set_xlabel(labels[0] or x)
    ax.set_ylabel(labels[1] or y)
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(image, ax=ax, label=f"ancestry in generation {data['generations'].max()} (% of DNA)")
    return ax
