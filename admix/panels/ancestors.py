# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel of the meanings of ancestor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from admix.figure_style import COLOURS

__all__ = ["ancestors"]


def ancestors(
    data: pd.DataFrame,
    ax: Axes,
    *,
    names: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    xlabel: str = "Neanderthal share (%)",
) -> Axes:
    """Draw the share of ancestors by what is counted, a bar for each branch.

    Parameters
    ----------
    data
        Rows of ancestors.tsv of one source, twin and scope, in the order wanted from the top. Points are replicates;
        with a `burnin` column, means are those of burn-in means.
    ax
        Where to draw.
    names
        Text for each measure in place of its name.
    labels
        Text for each branch in place of its name.
    xlabel
        Text of the horizontal axis.
    """
    measures = list(dict.fromkeys(data["measure"]))
    branches = list(dict.fromkeys(data["branch"]))
    height = 0.8 / len(branches)
    for b, branch in enumerate(branches):
        own = data[data["branch"] == branch]
        parts = [own[own["measure"] == m] for m in measures]
        values = [100 * own.loc[own["measure"] == m, "value"].to_numpy(np.float64) for m in measures]
        y = np.arange(len(measures)) - 0.4 + height * (b + 0.5)
        # as in the summary: the mean of burn-in means, where the burn-ins are known
        inner = "burnin" if "burnin" in own else "replicate"
        means = [100 * float(part.groupby(inner)["value"].mean().mean()) for part in parts]
        label = (labels or {}).get(str(branch), str(branch))
        ax.barh(y, means, height=0.92 * height, color=COLOURS[b % len(COLOURS)], alpha=0.75, label=label)
        for at, mean, found in zip(y, means, values, strict=True):
            if len(found) > 1:
                ax.plot(found, np.full(len(found), at), ".", ms=3, color="black", alpha=0.6, label="_replicates")
            if np.isfinite(mean):
                right = max(mean, float(np.nanmax(found)))
                ax.annotate(f"{mean:.2g}" if mean < 9.95 else f"{mean:.3g}", (right, at), xytext=(3, 0),
                            textcoords="offset points", va="center", fontsize="small")  # fmt: skip
    ax.set_yticks(range(len(measures)), [(names or {}).get(m, m) for m in measures])
    ax.set_ylim(len(measures) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.1)
    ax.set_xlim(left=0)
    ax.set_xlabel(xlabel)
    if len(branches) > 1:
        ax.legend(loc="lower right")
    return ax
