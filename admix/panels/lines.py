# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels of lines by generation: mean log fitness, the load of archaic alleles, and runs beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from admix.figure_style import COLOURS, GREY

__all__ = ["centre_and_range", "compared", "fitness", "load"]

_DASHES = ("-", "--", "-.", ":")


def _generation_axis(ax: Axes, last: int) -> None:
    ax.set_xscale("log")
    ax.set_xlim(0.93, last * 1.03)
    ticks = [g for g in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000) if g <= last]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("generation (log scale)")


def centre_and_range(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return `mean`, `min` and `max` over replicates by generation; the mean is that of burn-in means where known."""
    by = rows.groupby("generation")[column].agg(["mean", "min", "max"])
    if "burnin" in rows:
        by["mean"] = rows.groupby(["generation", "burnin"])[column].mean().groupby(level=0).mean()
    return by


def _by_branch(data: pd.DataFrame, column: str, ax: Axes, labels: Mapping[str, str]) -> Axes:
    known = data[data[column].notna()]
    for index, (branch, rows) in enumerate(known.groupby("branch", sort=False)):
        by = centre_and_range(rows, column)
        colour = COLOURS[index % len(COLOURS)]
        if rows["replicate"].nunique() > 1:
            ax.fill_between(by.index, by["min"], by["max"], color=colour, alpha=0.22, lw=0, label="_range")
        ax.plot(by.index, by["mean"], color=colour, label=labels.get(str(branch), str(branch)))
    _generation_axis(ax, int(known["generation"].max()))
    ax.legend(loc="best")
    return ax


def fitness(data: pd.DataFrame, ax: Axes, *, labels: Mapping[str, str] | None = None) -> Axes:
    """Draw mean log fitness by generation, a line for each branch, with the range of its replicates.

    `data` are rows of trajectory.tsv of one source, deme and twin; with a `burnin` column, means are those of burn-in
    means.
    """
    _by_branch(data, "log_fitness_mean", ax, labels or {})
    ax.set_ylabel("mean log fitness (natural log)")
    return ax


def load(data: pd.DataFrame, ax: Axes, *, labels: Mapping[str, str] | None = None) -> Axes:
    """Draw mean log fitness lost to alleles that the source brought, by generation; parameters as in `fitness`."""
    _by_branch(data, "load_archaic", ax, labels or {})
    ax.set_ylabel("load of archaic alleles (log fitness)")
    ax.set_ylim(bottom=0)
    return ax


def compared(
    data: pd.DataFrame, ax: Axes, *, runs: Sequence[str], relative: bool = False, ylabel: str = "ancestry (% of DNA)"
) -> Axes:
    """Draw mean ancestry of several runs on the same axes.

    Parameters
    ----------
    data
        Columns `run`, `line` (name of branch, twin and deme in its run), `generation`, `replicate`, `ancestry_mean`;
        with a `burnin` column, means are those of burn-in means.
    ax
        Where to draw.
    runs
        Names of the runs, in the order of their colours.
    relative
        Draw per cent of the share in the line's first generation, so that pulses of other size can be compared.
    ylabel
        Text of the vertical axis.

    Returns
    -------
    Axes
        `ax`; a colour for each run, a dash for each of its lines, the range of replicates as a band.
    """
    bottom = np.inf
    for k, run in enumerate(runs):
        own = data[data["run"] == run]
        for j, (name, rows) in enumerate(own.groupby("line", sort=False)):
            by = 100 * centre_and_range(rows, "ancestry_mean")
            if relative:
                by = 100 * by / by["mean"].iloc[0]
            colour = COLOURS[k % len(COLOURS)]
            if rows["replicate"].nunique() > 1:
                ax.fill_between(by.index, by["min"], by["max"], color=colour, alpha=0.2, lw=0, label="_range")
            label = f"{run}, {name}" if own["line"].nunique() > 1 else run
            ax.plot(by.index, by["mean"], color=colour, ls=_DASHES[j % len(_DASHES)], label=label)
            bottom = min(bottom, float(by["mean"].min()))
    _generation_axis(ax, int(data["generation"].max()))
    if bottom > 0:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        low, high = ax.get_ylim()
        steps = [m * 10.0**e for e in range(-4, 4) for m in (1, 2, 5)]
        ax.yaxis.set_major_locator(FixedLocator([s for s in steps if low <= s <= high]))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(bottom=0)
    ax.grid(axis="y", color=GREY, alpha=0.15, lw=0.5)
    ax.set_ylabel("% of the first generation's share" if relative else ylabel)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, borderaxespad=0)
    return ax
