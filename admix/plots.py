# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a run: reads a run directory, lays the figures out and saves them."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from admix import figures, prediction
from admix.datafiles import data_path
from admix.errors import InputError, RunError, nearest
from admix.figure_style import PAPER_WIDTH, STYLES
from admix.results import Run
from admix.summary import centre, meaning, people, percent

ANCIENT = "ancient_neanderthal_ancestry.tsv"
# Measured people are only shown beside a run whose pulse is as old as the real one.
_REAL_PULSE_YEARS = 40_000
_WIDE = 7.2
_PANEL_NAME = {"fontweight": "bold", "fontsize": 10.0}

# Without these, each file would carry the date or the version and differ from the last.
_METADATA: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def ancient_genomes() -> pd.DataFrame:
    """Return the shipped table of measured ancient genomes: `sample, age_bp, estimate, se, source`."""
    return pd.read_csv(data_path(ANCIENT), sep="\t", comment="#")


def is_real(source: str, data: pd.DataFrame) -> bool:
    """Say whether measured people may be shown beside a trajectory: of Neanderthals, the pulse as old as the real."""
    return people(source) == "Neanderthal" and bool(data["years_bp"].max() >= _REAL_PULSE_YEARS)


def trajectory(run: Run) -> dict[str, Figure]:
    """Draw ancestry from the first generation to today, over what theory expected, and the first 20 generations."""
    data = with_burnins(run)
    expected = prediction.predict(run.scenario).trajectory
    return _by_source(data, partial(_trajectory, labels=branch_labels(run.table("pulse")), expected=expected))


def _trajectory(data: pd.DataFrame, source: str, labels: Mapping[str, str], expected: pd.DataFrame) -> Figure:
    figure = _sheet(_WIDE, 3.4)
    main, first = figure.subplots(1, 2, width_ratios=(2.1, 1), gridspec_kw={"wspace": 0.06})
    real = is_real(source, data)
    ylabel = f"{people(source)} ancestry (% of DNA)"
    figures.trajectory(
        data,
        main,
        ancient=ancient_genomes() if real else None,
        living=figures.LIVING if real else None,
        labels=labels,
        ylabel=ylabel,
        expected=expected[expected["source"] == source],
    )
    figures.first_generations(data, first, labels=labels, ylabel=ylabel)
    main.annotate("a", (-0.1, 1.12), xycoords="axes fraction", **_PANEL_NAME)
    first.annotate("b", (-0.22, 1.12), xycoords="axes fraction", **_PANEL_NAME)
    return figure


def spread(run: Run) -> dict[str, Figure]:
    """Draw the distribution of individual ancestry in generations 2, 5, 10 and 50, one panel a branch."""
    trajectories = with_burnins(run)
    labels = branch_labels(run.table("pulse"))
    return _by_source(run.table("spread"), partial(_spread, trajectories=trajectories, labels=labels))


def _spread(data: pd.DataFrame, source: str, trajectories: pd.DataFrame, labels: Mapping[str, str]) -> Figure:
    branches = list(dict.fromkeys(data["branch"]))
    columns = min(2, len(branches))
    rows = -(-len(branches) // columns)
    width = _WIDE if columns > 1 else 4.0
    figure = _sheet(width, 3.8 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, (branch, ax) in enumerate(zip(branches, panels, strict=False)):
        shown, means, twin = spread_of(data, trajectories, str(branch), source)
        figures.spread(
            shown,
            ax,
            means=means,
            colour=figures.COLOURS[index % len(figures.COLOURS)],
            xlabel=f"{people(source)} ancestry of one person (% of DNA)",
        )
        ax.set_title(labels.get(branch, branch) + ("" if twin == "none" else ", no selection"))
        if index % columns:
            ax.set_ylabel("")
    for ax in panels[len(branches) :]:
        ax.remove()
    return figure


def spread_of(
    data: pd.DataFrame, trajectories: pd.DataFrame, branch: str, source: str
) -> tuple[pd.DataFrame, dict[int, float], str]:
    """Return the rows of spread.tsv to show of a branch, mean ancestry by generation, and the twin that they are of.

    They are of the run itself where there is one, else of its neutral twin, and of the first deme that got ancestry.
    """
    shown = data[data["branch"] == branch]
    twin = "none" if (shown["twin"] == "none").any() else "neutral"
    shown = shown[(shown["twin"] == twin) & (shown["deme"] == shown["deme"].iloc[0])]
    same = trajectories["source"] == source
    for column in ("branch", "twin", "deme"):
        same &= trajectories[column] == shown[column].iloc[0]
    rows = trajectories[same]
    by_generation = centre(rows, dict(zip(rows["replicate"], rows["burnin"], strict=True)))
    means = {int(g): float(by_generation.loc[g]) for g in shown["generation"].unique() if g in by_generation.index}
    return shown, means, twin


def model(run: Run) -> dict[str, Figure]:
    """Draw the demographic model with its pulses."""
    graph = run.scenario.graph_with_pulses()
    pulse = run.table("pulse")
    shares = [percent(s) for s in dict.fromkeys(pulse["requested"])]
    figure = _sheet(4.6 if len(graph.demes) <= 4 else _WIDE, 4.0)
    figures.model(
        graph,
        figure.subplots(),
        pulse_label=" or ".join(shares) if 0 < len(shares) <= 3 else None,
        names={source: people(source) for source in pulse["source"].unique()},
    )
    return {"": figure}


def ancestors(run: Run) -> dict[str, Figure]:
    """Draw the meanings of ancestor side by side, for all living people."""
    data = with_burnins(run, "ancestors")
    data = data[(data["scope"] == "all") & ~data["measure"].str.endswith("_founders")]
    data = data.sort_values("measure", key=lambda column: column.map(meaning), kind="stable")
    labels = branch_labels(run.table("pulse"))

    def draw(rows: pd.DataFrame, source: str) -> Figure:
        shown = rows[rows["twin"] == ("none" if (rows["twin"] == "none").any() else "neutral")]
        figure = _sheet(4.6, 3.0)
        figures.ancestors(shown, figure.subplots(), labels=labels, xlabel=f"{people(source)} share (%)")
        return figure

    return _by_source(data, draw)


def load(run: Run) -> dict[str, Figure]:
    """Draw mean log fitness and the load of archaic alleles over time."""
    data = with_burnins(run)
    labels = branch_labels(run.table("pulse"))

    def draw(rows: pd.DataFrame, source: str) -> Figure:
        shown = rows[(rows["twin"] == "none") & (rows["deme"] == rows["deme"].iloc[0])]
        figure = _sheet(_WIDE, 3.0)
        left, right = figure.subplots(1, 2)
        figures.fitness(shown, left, labels=labels)
        figures.load(shown, right, labels=labels)
        return figure

    return _by_source(data[data["source"].isin(data.loc[data["twin"] == "none", "source"])], draw)


def genome(run: Run) -> dict[str, Figure]:
    """Draw ancestry over all chromosomes in the last generation, a panel for each branch."""
    data = run.table("landscape")
    data = data[data["generation"] == data["generation"].max()]
    labels = branch_labels(run.table("pulse"))

    def draw(rows: pd.DataFrame, source: str) -> Figure:
        shown = rows[rows["twin"] == ("none" if (rows["twin"] == "none").any() else "neutral")]
        branches = list(dict.fromkeys(shown["branch"]))
        height = 0.6 + 0.16 * max(4, shown["chrom"].nunique())
        figure = _sheet(_WIDE, height * len(branches))
        for branch, ax in zip(branches, figure.subplots(len(branches), squeeze=False).ravel(), strict=True):
            figures.ancestry_map(shown[shown["branch"] == branch], ax, label="ancestry (%)")
            when = f"generation {shown['generation'].iloc[0]:,}"
            ax.set_title(f"{people(source)} ancestry, {labels.get(branch, branch)}, {when}")
        return figure

    return _by_source(data, draw)


FIGURES: Mapping[str, Callable[[Run], dict[str, Figure]]] = {
    "trajectory": trajectory,
    "spread": spread,
    "model": model,
    "ancestors": ancestors,
    "load": load,
    "genome": genome,
}
"""Every figure by name; each returns its pictures by the suffix of the file name (one picture a source)."""


def available(run: Run) -> list[str]:
    """Return the names of the figures that a run has data for: without cohorts, only sampled people, the model."""
    trajectory = run.table("trajectory")
    there = {"model"}
    if (trajectory["generation"] == 1).any():
        there |= {"trajectory", "spread", "ancestors"}
        if (trajectory["twin"] == "none").any():
            there.add("load")
    if run.table("landscape")["ancestry"].notna().any():
        there.add("genome")
    return [name for name in FIGURES if name in there]


def draw_all(
    run: Run,
    out_dir: str | Path,
    *,
    figures: Sequence[str] | None = None,
    formats: Sequence[str] = ("png", "svg"),
    style: str = "paper",
) -> list[Path]:
    """Draw the figures of a run and save them; the same run gives the same bytes.

    Parameters
    ----------
    run
        The run directory.
    out_dir
        Where to save; made if need be.
    figures
        Names in `FIGURES`; all that there are data for by default.
    formats
        Any of png (200 dpi), svg and pdf.
    style
        ``paper``, or ``talk`` for larger letters and thicker lines.

    Returns
    -------
    list of Path
        The files, in the order of `FIGURES`.

    Raises
    ------
    InputError
        If a figure, a format or a style is unknown, or the run has no data for a figure.
    RunError
        If a file cannot be written.
    """
    there = available(run)
    names = there if figures is None else list(figures)
    for name in names:
        if name not in FIGURES:
            raise InputError("figure", name, ", ".join(FIGURES), nearest(name, FIGURES))
        if name not in there:
            rule = f"{', '.join(there)}: the run has no cohorts (coalescent engine), only sampled people"
            raise InputError("figure", name, rule)
    _check_looks(formats, style)
    saved = []
    with mpl.rc_context(cast(Any, _style(style))):
        for name in names:
            for suffix, figure in FIGURES[name](run).items():
                saved += _save_all(figure, Path(out_dir) / f"{name}{suffix}", formats)
    return saved


def one(run: Run, name: str, *, style: str = "paper") -> Figure:
    """Return one figure of a run; of a run with several sources, that of the first.

    Raises
    ------
    InputError
        If the run has no such figure, or the style is unknown.
    """
    there = available(run)
    if name not in there:
        raise InputError("figure", name, ", ".join(there), nearest(name, there))
    _check_looks((), style)
    with mpl.rc_context(cast(Any, _style(style))):
        return next(iter(FIGURES[name](run).values()))


def _check_looks(formats: Sequence[str], style: str) -> None:
    for form in formats:
        if form not in _METADATA:
            raise InputError("format", form, ", ".join(_METADATA), nearest(form, _METADATA))
    if style not in STYLES:
        raise InputError("style", style, " or ".join(STYLES), nearest(style, STYLES))


def _save_all(figure: Figure, stem: Path, formats: Sequence[str]) -> list[Path]:
    # Laid out once, or the second format would differ with whether there was a first.
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return [_save(figure, stem.with_name(f"{stem.name}.{form}"), form) for form in formats]


def compare(runs: Mapping[str, Run], *, relative: bool = False) -> dict[str, Figure]:
    """Draw mean ancestry of several runs on the same axes, a figure for each source that they have.

    Parameters
    ----------
    runs
        Runs by the name that they get in the legend, in order.
    relative
        Draw per cent of the share in the first generation.
    """
    parts = []
    for name, run in runs.items():
        data = with_burnins(run)
        labels = branch_labels(run.table("pulse"))
        lines = [labels.get(branch, branch) for branch in data["branch"]]
        if data["deme"].nunique() > 1:
            lines = [f"{line}, {deme}" for line, deme in zip(lines, data["deme"], strict=True)]
        lines = [
            f"{line}, no selection" if t == "neutral" else line for line, t in zip(lines, data["twin"], strict=True)
        ]
        parts.append(data.assign(run=name, line=lines))
    found = pd.concat(parts, ignore_index=True)
    drawn = {}
    for source in dict.fromkeys(found["source"]):
        figure = _sheet(5.2, 3.8)
        rows = found[found["source"] == source]
        ylabel = f"{people(source)} ancestry (% of DNA)"
        shown = [name for name in runs if (rows["run"] == name).any()]
        figures.compared(rows, figure.subplots(), runs=shown, relative=relative, ylabel=ylabel)
        drawn[f"_{source}" if found["source"].nunique() > 1 else ""] = figure
    return drawn


def draw_comparison(
    runs: Mapping[str, Run],
    out_dir: str | Path,
    *,
    relative: bool = False,
    formats: Sequence[str] = ("png", "svg"),
    style: str = "paper",
) -> list[Path]:
    """Draw `compare` and save it as ``comparison`` (``comparison_SOURCE`` for several sources); return the files.

    Raises
    ------
    InputError
        If a format or a style is unknown.
    RunError
        If a file cannot be written.
    """
    _check_looks(formats, style)
    saved = []
    with mpl.rc_context(cast(Any, _style(style))):
        for suffix, figure in compare(runs, relative=relative).items():
            saved += _save_all(figure, Path(out_dir) / f"comparison{suffix}", formats)
    return saved


def stills(run: Run) -> dict[tuple[str, str], str]:
    """Return every figure of a run as an SVG data URI, by its name and its source (nothing where there is just one)."""
    made = {}
    with mpl.rc_context(cast(Any, _style())):
        for name in available(run):
            for suffix, figure in FIGURES[name](run).items():
                FigureCanvasAgg(figure)
                buffer = io.BytesIO()
                figure.savefig(buffer, format="svg", metadata=_METADATA["svg"])
                text = base64.b64encode(buffer.getvalue()).decode("ascii")
                made[name, suffix.removeprefix("_")] = f"data:image/svg+xml;base64,{text}"
    return made


def draw_panel(draw: Callable[[Any], None], path: str | Path, size: tuple[float, float]) -> Path:
    """Save one panel that ``draw(ax)`` draws, as the format that the name of the file ends with; ``size`` in inches."""
    target = Path(path)
    with mpl.rc_context(cast(Any, _style())):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        return _save(figure, target, target.suffix[1:])


def _style(name: str = "paper") -> dict[str, Any]:
    # Here, because `figures` is the name of an argument of draw_all.
    return dict(STYLES[name])


def _sheet(width: float, height: float) -> Figure:
    """Return an empty figure; sizes are those on paper, in inches."""
    larger = mpl.rcParams["figure.figsize"][0] / PAPER_WIDTH
    # whoever draws outside of the style gets the sizes of paper
    larger = larger if mpl.rcParams["svg.hashsalt"] == "admix" else 1.0
    return Sheet(figsize=(width * larger, height * larger), layout="constrained")


class Sheet(Figure):
    """A figure that notebooks show, without pyplot and whatever the backend."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()


def _save(figure: Figure, path: Path, form: str) -> Path:
    half = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(half, format=form, metadata=_METADATA[form])
        os.replace(half, path)
    except OSError as error:
        with suppress(OSError):
            half.unlink()
        raise RunError(str(path), f"cannot be written ({error.strerror or error})") from error
    return path


def branch_labels(pulse: pd.DataFrame) -> dict[str, str]:
    """Return the name of each branch in pictures: its pulse where that tells the branches apart."""
    shares: dict[str, str] = {}
    for branch, rows in pulse.groupby("branch", sort=False):
        if rows[["source", "pulse"]].drop_duplicates().shape[0] != 1:
            return {}
        shares[str(branch)] = f"{percent(float(rows['requested'].iloc[0]))} pulse"
    return shares if len(set(shares.values())) == len(shares) else {}


def with_burnins(run: Run, table: str = "trajectory") -> pd.DataFrame:
    """Return a table with the burn-in of each replicate as a column `burnin`."""
    pulse = run.table("pulse")
    burnin_of = dict(zip(pulse["replicate"], pulse["burnin"], strict=True))
    data = run.table(table)
    data["burnin"] = [burnin_of.get(r, 0) for r in data["replicate"]]
    return data


def _by_source(data: pd.DataFrame, draw: Callable[[pd.DataFrame, str], Figure]) -> dict[str, Figure]:
    sources = list(dict.fromkeys(data["source"]))
    return {
        f"_{source}" if len(sources) > 1 else "": draw(data[data["source"] == source], source) for source in sources
    }
