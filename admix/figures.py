# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures: functions of data and Axes that return the Axes; they read nothing and save nothing.

Shares come in as fractions and are drawn in per cent. Generation 1 is the cohort in which unmixed archaic
people are the pulse share of the population; generation 2 is the first cohort born after one round of
selection. Draw inside `matplotlib.rc_context(STYLE)`, so that all figures share fonts and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from admix.figure_model import model as model
from admix.figure_style import COLOURS as COLOURS
from admix.figure_style import GREY, LIVING_COLOUR
from admix.figure_style import STYLE as STYLE
from admix.panels.ancestors import ancestors as ancestors
from admix.panels.genome import ancestry_map as ancestry_map
from admix.panels.genome import painted as painted
from admix.panels.lines import compared as compared
from admix.panels.lines import fitness as fitness
from admix.panels.lines import load as load

LIVING = (0.018, 0.024)
"""Neanderthal share of living non-Africans as measured: Petr et al. 2019 (doi:10.1073/pnas.1814338116) have
1.83 % for West Eurasia and 2.24 % for East Asia at array sites, and about 2.3 % by direct f4-ratio."""
LIVING_LABEL = "living non-Africans, 1.8–2.4 %"
ANCIENT_LABEL = "ancient genomes, ± 1 SE"
EXPECTED_LABEL = "theory, before the run"
_EXPECTED_STYLE: Mapping[str, Any] = {"lw": 2.6, "alpha": 0.35, "ls": "-"}

FIRST_GENERATIONS = 20
SPREAD_GENERATIONS = (2, 5, 10, 50)
# Fewer replicates than this have no 5 and 95 % points worth the name; their whole range is shown instead.
QUANTILE_REPLICATES = 20
# Height of a strip with the gap above it; the strip itself is 1 high.
_STRIP = 1.42


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a trajectory: arrays by generation, shares as per cent."""

    branch: str
    twin: str
    deme: str
    label: str
    colour_index: int
    dashes: str
    generation: np.ndarray
    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    band: str

    @property
    def colour(self) -> str:
        """Its colour."""
        return COLOURS[self.colour_index]


def trajectory_lines(frame: pd.DataFrame, labels: Mapping[str, str] | None) -> list[Line]:
    """Return one line for each branch, twin and deme of rows of trajectory.tsv, as `trajectory` draws them."""
    branches = list(dict.fromkeys(frame["branch"]))
    demes_ = list(dict.fromkeys(frame["deme"]))
    replicates = frame["replicate"].nunique()
    lines = []
    for (branch, twin, deme), rows in frame.groupby(["branch", "twin", "deme"], sort=False):
        by_generation = rows.groupby("generation")["ancestry_mean"]
        # As in the summary: the mean of burn-in means, where the burn-ins are known.
        inner = ["generation", "burnin"] if "burnin" in rows else ["generation", "replicate"]
        mean = rows.groupby(inner)["ancestry_mean"].mean().groupby(level=0).mean()
        low = high = None
        if replicates > 1:
            tail = 0.05 if replicates >= QUANTILE_REPLICATES else 0.0
            low, high = (100 * by_generation.quantile(q).to_numpy() for q in (tail, 1 - tail))
        words = [labels.get(str(branch), str(branch)) if labels else str(branch)]
        words += [str(deme)] if len(demes_) > 1 else []
        words += ["no selection"] if twin == "neutral" else []
        lines.append(
            Line(
                branch=str(branch),
                twin=str(twin),
                deme=str(deme),
                label=", ".join(words),
                colour_index=branches.index(branch) % len(COLOURS),
                dashes=(":" if twin == "neutral" else "-" if deme == demes_[0] else "--"),
                generation=mean.index.to_numpy(),
                mean=100 * mean.to_numpy(),
                low=low,
                high=high,
                band=_band_label(replicates),
            )
        )
    return lines


def _band_label(replicates: int) -> str:
    if replicates == 1:
        return ""
    if replicates >= QUANTILE_REPLICATES:
        return f"5–95 % of {replicates} replicates"
    return f"range of {replicates} replicates"


def _draw(lines: Sequence[Line], ax: Axes, **style: Any) -> None:
    for line in lines:
        if line.low is not None and line.high is not None:
            ax.fill_between(line.generation, line.low, line.high, color=line.colour, alpha=0.22, lw=0, zorder=2)
        ax.plot(
            line.generation,
            line.mean,
            ls=line.dashes,
            color=line.colour,
            label=f"_{line.label}",
            zorder=4,
            **style,
        )


def _draw_expected(expected: pd.DataFrame, lines: Sequence[Line], ax: Axes) -> list[np.ndarray]:
    """Draw what was expected under the lines that it belongs to; return it in per cent."""
    drawn = []
    for line in lines:
        if line.twin != "none":
            continue
        rows = expected[(expected["branch"] == line.branch) & (expected["deme"] == line.deme)]
        if len(rows):
            mean = 100 * rows["ancestry_mean"].to_numpy()
            label = f"_{line.label}, expected"
            ax.plot(rows["generation"].to_numpy(), mean, color=line.colour, zorder=2.5, label=label, **_EXPECTED_STYLE)
            drawn.append(mean)
    return drawn


def trajectory(
    data: pd.DataFrame,
    ax: Axes,
    *,
    ancient: pd.DataFrame | None = None,
    living: tuple[float, float] | None = LIVING,
    labels: Mapping[str, str] | None = None,
    ylabel: str = "Neanderthal ancestry (% of DNA)",
    expected: pd.DataFrame | None = None,
) -> Axes:
    """Draw mean ancestry from the first generation to the last on a log time axis.

    Parameters
    ----------
    data
        Rows of trajectory.tsv for one source; with a `burnin` column, means are those of burn-in means.
    ax
        Where to draw.
    ancient
        Measured genomes: `age_bp` (years), `estimate` and `se` (fractions). Dates become generations by the
        run's own `generation` and `years_bp`; genomes older than generation 1 are left out.
    living
        Lowest and highest share of living people to shade, or None.
    labels
        Text for each branch in place of its name.
    ylabel
        Text of the vertical axis.
    expected
        What theory said before the run, drawn under its lines: `branch`, `deme`, `generation`, `ancestry_mean`.

    Returns
    -------
    Axes
        `ax`; ancestry in per cent on a log scale (linear if a mean is 0), generations below, thousand years
        above.
    """
    lines = trajectory_lines(data, labels)
    first, last = float(data["generation"].min()), float(data["generation"].max())
    _draw(lines, ax)
    theory = [] if expected is None else _draw_expected(expected[expected["generation"] <= last], lines, ax)
    if living is not None:
        low, high = (100 * share for share in living)
        ax.axhspan(low, high, color=LIVING_COLOUR, alpha=0.18, lw=0, zorder=1)
    if ancient is not None:
        seen = dated(ancient, data)
        if len(seen):
            ax.errorbar(
                seen["generation"].to_numpy(),
                100 * seen["estimate"].to_numpy(),
                yerr=100 * seen["se"].to_numpy(),
                fmt="o",
                ms=3.0,
                mec="white",
                mew=0.3,
                lw=0.7,
                color=GREY,
                zorder=3,
                label=ANCIENT_LABEL,
            )
    ax.set_xscale("log")
    ax.set_xlim(first * 0.93, last * 1.03)
    shown = [line.mean for line in lines] + theory
    _share_axis(ax, shown, living, room=1.25 if ancient is None else 1.9)
    ax.set_ylabel(ylabel)
    ax.set_xlabel("generation (1 = the mixed founding cohort; log scale)")
    ax.xaxis.set_major_locator(FixedLocator(_generation_ticks(first, last)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    _years_axis(data, ax)
    if living is not None:
        # Under the band, at the left end: lines come down into the band, not below it so early.
        ax.annotate(
            LIVING_LABEL if living == LIVING else f"living people, {100 * living[0]:g}–{100 * living[1]:g} %",
            (0.012, 100 * living[0]),
            xycoords=ax.get_yaxis_transform(),
            xytext=(0, -2),
            textcoords="offset points",
            va="top",
            fontsize=_small(),
            color="#00563F",
            zorder=5,
        )
    _end_labels(lines, ax, today=bool((data["years_bp"] == 0).any()))
    entries = [container for container in ax.containers if container.get_label() == ANCIENT_LABEL]
    handles: list[Any] = [Patch(color=GREY, alpha=0.25, lw=0, label=lines[0].band)] if lines[0].band else []
    handles += entries
    if theory:
        handles.append(Line2D([], [], color=GREY, label=EXPECTED_LABEL, **_EXPECTED_STYLE))
    if handles:
        # Below the axes, since lines may run anywhere inside them.
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(-0.01, -0.17),
            ncols=3,
            borderaxespad=0,
            handlelength=1.6,
        )
    return ax


def _share_axis(ax: Axes, shown: Sequence[np.ndarray], living: tuple[float, float] | None, room: float) -> None:
    """Scale the vertical axis, with a factor of `room` below the lowest line for what lies there."""
    top = max(float(np.nanmax(y)) for y in shown)
    bottom = min(float(np.nanmin(y)) for y in shown)
    if living is not None:
        top, bottom = max(top, 100 * living[1]), min(bottom, 100 * living[0])
    if bottom <= 0:
        ax.set_ylim(0, 1.08 * top)
        return
    ax.set_yscale("log")
    ax.set_ylim(bottom / room, top * 1.15)
    steps = [m * 10.0**e for e in range(-4, 3) for m in (1, 2, 3, 5)]
    ax.yaxis.set_major_locator(FixedLocator([s for s in steps if bottom / room <= s <= top * 1.15]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_locator(NullLocator())


def _generation_ticks(first: float, last: float) -> list[int]:
    """Return 1, 2, 5, 10, ... without those whose labels would touch the one before."""
    ticks: list[int] = []
    for tick in (m * 10**e for e in range(6) for m in (1, 2, 5)):
        if not first <= tick <= last:
            continue
        # About 1.1 % of the axis a character, from either label's middle.
        letters = len(f"{tick:,}") + len(f"{ticks[-1]:,}") if ticks else 0
        if not ticks or np.log(tick / ticks[-1]) > 0.011 * letters * np.log(last / first):
            ticks.append(tick)
    return ticks


def _clock(data: pd.DataFrame) -> pd.DataFrame:
    return data[["generation", "years_bp"]].drop_duplicates("generation").sort_values("generation")


def dated(ancient: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """Add `generation` to measured genomes; drop those outside the run's time."""
    clock = _clock(data)
    # np.interp wants rising abscissae; years fall as generations rise.
    years, generations = clock["years_bp"].to_numpy()[::-1], clock["generation"].to_numpy()[::-1]
    inside = (ancient["age_bp"] <= years[-1]) & (ancient["age_bp"] >= years[0])
    seen = ancient[inside].copy()
    seen["generation"] = np.interp(seen["age_bp"], years, generations)
    return seen


def year_ticks(clock: pd.DataFrame, gap: float) -> tuple[list[float], list[str]]:
    """Return round dates as generations and as text in thousand years ago, at least `gap` apart in log generation.

    `clock` has the columns `generation`, rising, and `years_bp`.
    """
    years, generations = clock["years_bp"].to_numpy()[::-1], clock["generation"].to_numpy()[::-1]
    oldest, youngest = years[-1] / 1000, years[0] / 1000
    span = oldest - youngest
    coarse = next((s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if span / s <= 6), 100.0)
    dates = [
        youngest,
        oldest,
        *(n * coarse for n in range(int(oldest / coarse) + 1) if n * coarse > youngest),
    ]
    # The first generations take up most of a log axis but little time: ever finer dates there.
    fine = (coarse / f for f in (2, 10, 20, 100, 200, 1000))
    dates += [s * np.floor(oldest / s - 0.3) for s in fine if s >= 0.1]
    chosen: dict[float, str] = {}
    for date in dates:
        at = float(np.interp(1000 * date, years, generations))
        if all(abs(np.log(at / other)) > gap for other in chosen):
            whole = (date == oldest and oldest >= 20) or abs(date - round(date)) < 1e-6
            chosen[at] = f"{date:.0f}" if whole else f"{date:.1f}"
    return list(chosen), list(chosen.values())


def _years_axis(data: pd.DataFrame, ax: Axes) -> None:
    """Add the upper axis; its ticks sit at round dates that lie far enough apart on the log axis."""
    left, right = (np.log(x) for x in ax.get_xlim())
    at, names = year_ticks(_clock(data), 0.06 * (right - left))
    upper = ax.secondary_xaxis("top")
    upper.set_xticks(at, names)
    upper.xaxis.set_minor_locator(NullLocator())
    upper.set_xlabel("thousand years ago")
    upper.spines["top"].set_visible(True)


def _end_labels(lines: Sequence[Line], ax: Axes, today: bool) -> None:
    """Name each line and its last value to the right of the axes, moved apart where they would touch."""
    ends, height = _ends(lines, ax)
    placed = _apart([y for y, _ in ends], 22.0 * _small() / 7.5 / height)
    for (y, line), at in zip(ends, placed, strict=True):
        ax.annotate(
            f"{line.label}\n{_percent(line.mean[-1])}{' today' if today else ''}",
            xy=(1.0, y),
            xytext=(1.025, at),
            xycoords=ax.transAxes,
            textcoords=ax.transAxes,
            va="center",
            fontsize=_small(),
            linespacing=1.05,
            color=line.colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.6,
                "color": line.colour,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _ends(lines: Sequence[Line], ax: Axes) -> tuple[list[tuple[float, Line]], float]:
    """Return where lines end, rising, as shares of the axes' height, and that height in points."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = [(float(to_axes.transform((line.generation[-1], line.mean[-1]))[1]), line) for line in lines]
    return sorted(ends, key=lambda end: end[0]), ax.get_window_extent().height / figure.dpi * 72


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Return positions at least `gap` apart, in the order given (rising) and near to `wanted`."""
    spots = list(wanted)
    for _ in range(200):
        moved = False
        for i in range(len(spots) - 1):
            lack = gap - (spots[i + 1] - spots[i])
            if lack > 1e-9:
                spots[i] -= lack / 2
                spots[i + 1] += lack / 2
                moved = True
        if not moved:
            break
    return spots


def _stacked(wanted: Sequence[float], gap: float) -> list[float]:
    """Return positions for labels above lines: those of lines too close together stand above the highest."""
    groups: list[list[float]] = []
    for y in wanted:
        if groups and y < groups[-1][-1] + gap * len(groups[-1]):
            groups[-1].append(y)
        else:
            groups.append([y])
    return [group[-1] + gap * i for group in groups for i in range(len(group))]


def _percent(value: float) -> str:
    return f"{value:.2g} %" if value < 0.995 else f"{value:.1f} %"


def first_generations(
    data: pd.DataFrame,
    ax: Axes,
    *,
    generations: int = FIRST_GENERATIONS,
    labels: Mapping[str, str] | None = None,
    ylabel: str = "Neanderthal ancestry (% of DNA)",
) -> Axes:
    """Draw mean ancestry over the first generations on linear axes, one point a generation.

    Parameters are those of `trajectory`; `generations` is the last one shown.
    """
    lines = trajectory_lines(data[data["generation"] <= generations], labels)
    _draw(lines, ax, marker="o", ms=2.6)
    ax.set_xlim(0.4, generations + 0.6)
    top = max(float(line.mean.max()) for line in lines)
    # A line that ends at the top needs room for its name.
    ax.set_ylim(0, top * (1.2 if max(float(line.mean[-1]) for line in lines) > 0.8 * top else 1.06))
    ax.set_xlabel("generation")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(FixedLocator([1, *range(5, generations + 1, 5)]))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    names = [line.label.replace(", ", ",\n") for line in lines]
    rows = max(name.count("\n") + 1 for name in names)
    ends, height = _ends(lines, ax)
    placed = _stacked([y for y, _ in ends], 10.5 * rows * _small() / 7.5 / height)
    for (_, line), at in zip(ends, placed, strict=True):
        ax.annotate(
            line.label.replace(", ", ",\n"),
            (0.98, at),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=_small(),
            color=line.colour,
        )
    return ax


def spread(
    data: pd.DataFrame,
    ax: Axes,
    *,
    generations: Sequence[int] = SPREAD_GENERATIONS,
    means: Mapping[int, float] | None = None,
    colour: str = COLOURS[0],
    xlabel: str = "Neanderthal ancestry of one person (% of DNA)",
) -> Axes:
    """Draw how individual ancestry is spread over people in a few generations, one strip a generation.

    Parameters
    ----------
    data
        Rows of spread.tsv for one branch, twin, source and deme; replicates are added up.
    ax
        Where to draw.
    generations
        Those to show, from the top; the ones without rows are left out.
    means
        Mean ancestry by generation (fractions), to mark by a triangle; bins are too wide to compute it from.
    colour
        Of the strips.
    xlabel
        Text of the horizontal axis.

    Returns
    -------
    Axes
        `ax`: in each strip the per cent of people in each bin of ancestry, on a log scale of its own;
        ancestry on a square-root scale, so that the crowded low end can be read.
    """
    shown = [g for g in generations if (data["generation"] == g).any()]
    tables = [histogram(data[data["generation"] == g]) for g in shown]
    # Half of the smallest share, so that a single person still shows above the base line.
    floor = np.floor(np.log10(min(float(share[share > 0].min()) for share, _ in tables) / 2))
    decades = 2.0 - floor
    ticks, names = [], []
    for index, (generation, (share, edges)) in enumerate(zip(shown, tables, strict=True)):
        base = (len(shown) - 1 - index) * _STRIP
        with np.errstate(divide="ignore"):
            height = np.clip((np.log10(share) - floor) / decades, 0, None)
        ax.stairs(base + height, edges, baseline=base, fill=True, color=colour, alpha=0.3, lw=0)
        ax.stairs(base + height, edges, baseline=base, color=colour, lw=0.9, label=f"generation {generation}")
        ax.axhline(base, color="black", lw=0.5)
        title = f"generation {generation:,}"
        if means is not None and generation in means:
            mean = 100 * means[generation]
            title += f", mean {_percent(mean)}"
            ax.plot([mean], [base], marker="^", ms=5, color=colour, mec="white", mew=0.5, clip_on=False, zorder=5)
        ax.text(
            0.985,
            base + 1.06,
            title,
            transform=ax.get_yaxis_transform(),
            ha="right",
            va="bottom",
        )
        exponents = [e for e in (2, 0, -2, -4, -6) if e >= floor]
        ticks += [base + (e - floor) / decades for e in exponents]
        names += [f"{10.0**e:g}" for e in exponents]
    ax.set_xscale("function", functions=(_root, np.square))
    ax.set_xlim(0, 100)
    ax.xaxis.set_major_locator(FixedLocator([0, 1, 5, 10, 20, 30, 50, 75, 100]))
    ax.set_ylim(0, len(shown) * _STRIP)
    ax.set_yticks(ticks, names)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("people in each 0.5 % bin (%, log scale)")
    return ax


def histogram(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Per cent of people in each bin, and the edges of the bins in per cent of ancestry."""
    bins = rows.groupby(["bin_start", "bin_end"], as_index=False)["count"].sum()
    edges = np.append(bins["bin_start"].to_numpy(), bins["bin_end"].to_numpy()[-1])
    return 100 * bins["count"].to_numpy() / bins["count"].sum(), 100 * edges


def _small() -> float:
    """Points of the letters beside lines: those of legends."""
    return float(FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points())


def _root(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(x, 0))
