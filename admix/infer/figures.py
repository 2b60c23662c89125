# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a posterior: functions of it and Axes that return the Axes; they read nothing and save nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from admix.figure_style import COLOURS, GREY, LIVING_COLOUR
from admix.infer.posterior import INTERVAL, Posterior
from admix.infer.rejection import quantiles
from admix.infer.survey import Axis, Floats, Survey, share
from admix.infer.targets import Measured
from admix.summary import people

__all__ = ["joint", "marginal", "predictive"]

_BINS = 30
_CELLS = 24
_LEVELS = np.linspace(0, 1, 6001)


def _factor(axis: Axis) -> float:
    return 100.0 if axis.scale == "log-odds" else 1.0


def _text(axis: Axis) -> str:
    return f"{axis.label} (%)" if axis.scale == "log-odds" else axis.label


def marginal(posterior: Posterior, number: int, ax: Axes) -> Axes:
    """Draw prior (grey line) and posterior (bars) of a parameter; its 90 % interval is dark."""
    belief = posterior.beliefs[number]
    axis, weights = belief.axis, posterior.samples["weight"].to_numpy()
    if belief.discrete:
        values = belief.values(np.arange(belief.count))
        found = posterior.probabilities(axis.name)
        bars = [float(found.get(v, 0.0)) for v in values]
        ax.bar(range(len(bars)), bars, color=COLOURS[0], alpha=0.8)
        ax.axhline(1 / len(bars), color=GREY, lw=1.0, label="prior")
        ax.set_xticks(range(len(bars)), [f"{_factor(axis) * v:g}" if axis.numeric else str(v) for v in values])
        ax.set_ylabel("probability")
    else:
        x = _factor(axis) * posterior.samples[axis.name].to_numpy(np.float64)
        prior = _factor(axis) * belief.at((_LEVELS[:-1] + _LEVELS[1:]) / 2)
        edges = np.linspace(min(prior.min(), x.min()), max(prior.max(), x.max()), _BINS + 1)
        heights, _ = np.histogram(x, edges, weights=weights, density=True)
        low, high = quantiles(x, weights, INTERVAL)
        middle = (edges[:-1] + edges[1:]) / 2
        ax.bar(middle, heights, np.diff(edges), color=COLOURS[0], alpha=0.35, lw=0)
        inside = (middle >= low) & (middle <= high)
        ax.bar(middle[inside], heights[inside], np.diff(edges)[inside], color=COLOURS[0], alpha=0.55, lw=0,
               label="90 % interval")  # fmt: skip
        before, _ = np.histogram(prior, edges, density=True)
        ax.stairs(before, edges, color=GREY, lw=1.0, label="prior")
        ax.set_yticks([])
        ax.set_ylabel("density")
    ax.set_xlabel(_text(axis))
    ax.legend()
    return ax


def joint(posterior: Posterior, number: int, ax: Axes) -> Axes:
    """Draw the joint posterior of the pulse and another parameter: darker is more probable."""
    first, second = posterior.beliefs[0].axis, posterior.beliefs[number].axis
    weights = posterior.samples["weight"].to_numpy()
    x = _factor(first) * posterior.samples[first.name].to_numpy(np.float64)
    if second.numeric:
        y = posterior.samples[second.name].to_numpy(np.float64) * _factor(second)
        logarithmic = second.scale == "log"
        low, high = second.low * _factor(second), second.high * _factor(second)
        rows: Floats = np.geomspace(low, high, _CELLS + 1) if logarithmic else np.linspace(low, high, _CELLS + 1)
        if logarithmic:
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        order = {level: i for i, level in enumerate(second.levels)}
        y = posterior.samples[second.name].map(order).to_numpy(np.float64)
        rows = np.arange(len(order) + 1, dtype=np.float64) - 0.5
        ax.set_yticks(range(len(order)), [str(level) for level in order])
    columns = np.linspace(first.low, first.high, _CELLS + 1) * _factor(first)
    density, _, _ = np.histogram2d(x, y, [columns, rows], weights=weights)
    ax.pcolormesh(columns, rows, density.T, cmap="Blues", rasterized=True, lw=0)
    ax.set_xlabel(_text(first))
    ax.set_ylabel(_text(second))
    return ax


def predictive(posterior: Posterior, target: Measured, survey: Survey, ax: Axes) -> Axes:
    """Draw the trajectories of the prior (grey) and of the posterior (blue): medians and 90 % intervals, with what was
    measured and its standard errors."""
    generations = np.array(posterior.generations, dtype=np.float64)
    weights = posterior.samples["weight"].to_numpy()
    after = np.array([
        quantiles(posterior.samples[f"ancestry_g{g}"], weights, (0.5, *INTERVAL)) for g in posterior.generations
    ])  # fmt: skip
    before = np.quantile(share(posterior.prior_odds), INTERVAL, axis=0)
    ax.fill_between(generations, 100 * before[0], 100 * before[1], color=GREY, alpha=0.15, lw=0, label="prior")
    ax.fill_between(generations, 100 * after[:, 1], 100 * after[:, 2], color=COLOURS[0], alpha=0.35, lw=0,
                    label="posterior, 90 %")  # fmt: skip
    ax.plot(generations, 100 * after[:, 0], color=COLOURS[0])
    if survey.last < generations[-1]:
        ax.axvline(survey.last, color=GREY, lw=0.8, ls=":")
    seen: pd.DataFrame = target.genomes
    if len(seen):
        ax.errorbar(
            seen["generation"].to_numpy(np.float64), 100 * seen["estimate"].to_numpy(), 100 * seen["se"].to_numpy(),
            fmt="o", ms=3.0, mec="white", mew=0.3, lw=0.7, color=GREY, label="ancient genomes, ± 1 SE", zorder=3,
        )  # fmt: skip
    if target.living is not None:
        ax.errorbar(
            [survey.today], [100 * target.living[0]], [100 * target.living[1]], fmt="s", ms=4.0, color=LIVING_COLOUR,
            lw=1.2, label="living people, ± 1 SE", zorder=4,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))
    ax.set_xlabel("generation (1 is the pulse)")
    ax.set_ylabel(f"{people(survey.source)} ancestry (% of DNA)")
    ax.legend()
    return ax
