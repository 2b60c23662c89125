# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of the demographic model."""

from __future__ import annotations

from collections.abc import Mapping

import demes
import demesdraw
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from admix.figure_style import COLOURS


def model(
    graph: demes.Graph,
    ax: Axes,
    *,
    pulse_label: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Axes:
    """Draw the demographic model by demesdraw on a log time axis, with sizes and pulses written beside.

    Parameters
    ----------
    graph
        The model with its pulses in it, in years.
    ax
        Where to draw.
    pulse_label
        Share to write at the pulse when there is just one; by default the graph's own.
    names
        Text for each deme in place of its name.

    Returns
    -------
    Axes
        `ax`; thousand years ago from below the youngest event to beyond the oldest; tube width is size.
    """
    times = [t for deme in graph.demes for e in deme.epochs for t in (e.start_time, e.end_time)]
    times += [pulse.time for pulse in graph.pulses]
    events = sorted({t for t in times if 0 < t < np.inf}) or [100.0]
    youngest, oldest = events[0] / 6, events[-1] * 2.5
    widest = max(max(e.start_size, e.end_size) for d in graph.demes for e in d.epochs)
    positions = demesdraw.utils.minimal_crossing_positions(graph, sep=2.2 * widest, unique_interactions=False)
    if len(graph.demes) > 1:
        positions = demesdraw.utils.optimise_positions(
            graph, positions=positions, sep=2.2 * widest, unique_interactions=False
        )
    colours = {d.name: COLOURS[i % len(COLOURS)] for i, d in enumerate(graph.demes)}
    demesdraw.tubes(
        graph,
        ax=ax,
        colours=colours,
        log_time=True,
        labels=None,  # type: ignore[arg-type]  # documented, but annotated as str only
        positions=positions,
        max_time=oldest,
        seed=1,
    )
    # With more than this the words would cover the model; then only names are written, below the axes.
    few = len(graph.demes) <= 4 and sum(len(d.epochs) for d in graph.demes) <= 6 and len(graph.pulses) <= 2
    margin = (1.0 if few else 0.3) * widest
    left = min(positions[d.name] - d.epochs[0].start_size / 2 for d in graph.demes) - margin
    right = max(positions[d.name] + d.epochs[0].start_size / 2 for d in graph.demes) + margin
    ax.set_xlim(left, right)
    ax.set_ylim(youngest, oldest)
    title = {d.name: (names or {}).get(d.name, d.name).replace("_", " ") for d in graph.demes}
    for deme in graph.demes if few else ():
        _name_deme(deme, title[deme.name], ax, positions[deme.name])
    for pulse in graph.pulses:
        label = pulse_label if len(graph.pulses) == 1 else None
        _pulse_arrow(graph, pulse, ax, positions, colours, label, written=few)
    in_years = graph.time_units == "years"
    ax.yaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t / 1000 if in_years else t:,g}"))
    steps = [m * 10.0**e for e in range(8) for m in (1, 2, 5)]
    ax.yaxis.set_major_locator(FixedLocator([t for t in steps if youngest <= t <= oldest]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel(f"{'thousand years' if in_years else graph.time_units} ago (log scale)")
    if few:
        living = [d.name for d in graph.demes if d.end_time == 0]
        ax.set_xticks([positions[name] for name in living], ["to the present"] * len(living))
    else:
        ax.set_xticks(list(positions.values()), [title[n] for n in positions], rotation=90)
    return ax


def _name_deme(deme: demes.Deme, title: str, ax: Axes, x: float) -> None:
    """Write a deme's name and sizes on its tube, or beside it where the tube is narrower than the words."""
    left, right = ax.get_xlim()
    youngest, oldest = ax.get_ylim()
    for index, epoch in enumerate(deme.epochs):
        start, end = min(epoch.start_time, oldest), max(epoch.end_time, youngest)
        size = f"N = {epoch.start_size:,.0f}"
        if epoch.end_size != epoch.start_size:
            size += f" → {epoch.end_size:,.0f}"
        width = max(epoch.start_size, epoch.end_size)
        inside = width > 0.2 * (right - left)
        outward = -1 if x < (left + right) / 2 else 1
        ax.text(
            x if inside else x + outward * (width / 2 + 0.015 * (right - left)),
            float(np.sqrt(start * end)),
            f"{title}\n{size}" if index == 0 else size,
            ha="center" if inside else "right" if outward < 0 else "left",
            va="center",
            zorder=6,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.75},
        )


def _pulse_arrow(
    graph: demes.Graph,
    pulse: demes.Pulse,
    ax: Axes,
    positions: Mapping[str, float],
    colours: Mapping[str, str],
    label: str | None,
    written: bool,
) -> None:
    """Draw a bold arrow over demesdraw's thin dashed one, from tube to tube, with share and date above."""
    into = graph[pulse.dest]
    for source, share in zip(pulse.sources, pulse.proportions, strict=True):
        sign = 1 if positions[source] < positions[pulse.dest] else -1
        start = positions[source] + sign * graph[source].size_at(pulse.time) / 2
        end = positions[pulse.dest] - sign * into.size_at(pulse.time) / 2
        ax.annotate(
            "",
            xy=(end, pulse.time),
            xytext=(start, pulse.time),
            zorder=5,
            arrowprops={
                "arrowstyle": "-|>,head_width=0.3,head_length=0.6",
                "lw": 2.0,
                "color": colours[source],
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        if not written:
            continue
        when = f"{pulse.time:,.0f} {graph.time_units} ago"
        ax.annotate(
            f"pulse of {label or f'{100 * share:g} %'}\n{when}",
            ((start + end) / 2, pulse.time),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            zorder=6,
        )
