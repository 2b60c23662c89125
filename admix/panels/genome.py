# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels of the genome: a map of ancestry over all chromosomes, and painted chromosomes of one person."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from admix.figure_style import COLOURS, GREY

__all__ = ["ancestry_map", "painted"]

_BIN = 1_000_000


def ancestry_map(data: pd.DataFrame, ax: Axes, *, label: str = "ancestry (% of DNA)") -> Axes:
    """Draw mean ancestry in pieces of 1 Mb, a row for each chromosome.

    Parameters
    ----------
    data
        Rows of landscape.tsv of one branch, twin, source and generation; replicates are averaged.
    ax
        Where to draw; a colour bar is put beside it, whose colours end at the 99th percentile.
    label
        Text of the colour bar.
    """
    chroms = list(dict.fromkeys(data["chrom"]))
    pieces = data.assign(piece=data["start"] // _BIN).groupby(["chrom", "piece"], sort=False)["ancestry"].mean()
    grid = np.full((len(chroms), int(data["start"].max() // _BIN) + 1), np.nan)
    names, column = (pieces.index.get_level_values(level) for level in ("chrom", "piece"))
    grid[[chroms.index(c) for c in names], column.to_numpy(np.int64)] = 100 * pieces.to_numpy()
    known = grid[~np.isnan(grid)]
    top = float(np.quantile(known, 0.99)) if len(known) else 1.0
    edges = np.arange(grid.shape[1] + 1) * _BIN / 1e6
    for row, values in enumerate(grid):
        ax.pcolormesh(
            edges, [row - 0.4, row + 0.4], values[None, :], vmin=0, vmax=top or 1.0, cmap="cividis", rasterized=True,
            label="_map",
        )  # fmt: skip
    ax.set_ylim(len(chroms) - 0.5, -0.5)
    ax.set_yticks(range(len(chroms)), chroms)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("position (Mb)")
    ax.set_ylabel("chromosome")
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(ax.collections[0], ax=ax, label=label, extend="max", shrink=0.7)
    return ax


def painted(
    data: pd.DataFrame, ax: Axes, *, lengths: Mapping[str, int], names: Mapping[str, str] | None = None
) -> Axes:
    """Draw both copies of each chromosome of one person with its archaic stretches.

    Parameters
    ----------
    data
        Columns `chrom`, `start`, `end` (bp), `source`, `haplotype` (0 or 1).
    ax
        Where to draw.
    lengths
        Length of each chromosome, bp, in the order drawn.
    names
        Text for each source in place of its name.
    """
    sources = list(dict.fromkeys([*(names or {}), *data["source"]]))
    for row, (chrom, length) in enumerate(lengths.items()):
        for copy in (0, 1):
            y = row - 0.36 + 0.38 * copy
            ax.broken_barh([(0, length / 1e6)], (y, 0.34), facecolor="#ECEFF2", edgecolor=GREY, linewidth=0.3)
            here = data[(data["chrom"] == chrom) & (data["haplotype"] == copy)]
            for k, source in enumerate(sources):
                own = here[here["source"] == source]
                spans = list(zip(own["start"] / 1e6, (own["end"] - own["start"]) / 1e6, strict=True))
                colour = COLOURS[k % len(COLOURS)]
                ax.broken_barh(spans, (y, 0.34), facecolor=colour, edgecolor=colour, linewidth=0.25)
    ax.set_ylim(len(lengths) - 0.5, -0.6)
    ax.set_yticks(range(len(lengths)), list(lengths))
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, max(lengths.values()) / 1e6)
    ax.set_xlabel("position (Mb)")
    ax.set_ylabel("chromosome, both copies")
    keys = [Patch(color=COLOURS[k % len(COLOURS)], label=(names or {}).get(s, s)) for k, s in enumerate(sources)]
    ax.legend(handles=keys, loc="lower right")
    return ax
