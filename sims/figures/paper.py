# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts of paper-style figures share: runs that are made if they are missing, means, saving."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

import admix
from admix.errors import AdmixError, InputError
from admix.figure_style import STYLE
from admix.progress import Progress
from admix.results import Run
from admix.summary import nested

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("png", "svg")


def parser(doc: str | None, runs: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have; ``runs`` says what --runs holds."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("-o", "--out", metavar="DIR", type=Path, default=Path("figures"), help="[default: figures]")
    made.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs/figures"), help=runs)
    made.add_argument("--set", metavar="PATH=VALUE", action="append", default=[], help="change a field, to try it out")
    made.add_argument("--generations", metavar="G", type=int, help="stop after generation G")
    made.add_argument("--replicates", metavar="R", type=int, default=3, help="[default: 3]")
    made.add_argument("--burnins", metavar="B", type=int, default=3, help="[default: 3]")
    made.add_argument("--seed", metavar="S", type=int, default=1, help="[default: 1]")
    return made


def main(draw: Callable[[], list[Path]]) -> None:
    """Run a script: print the files it makes, or its error in one line."""
    try:
        for path in draw():
            print(path)
    except AdmixError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def ensured(path: Path, scenario: str, changes: Sequence[str], options: argparse.Namespace) -> Run:
    """Return the run at ``path``; make it there if there is none.

    Histories are kept in the cache of `admix run`, so that a script that was stopped goes on.

    Raises
    ------
    InputError
        If there is a run of something else.
    """
    wanted = admix.load_scenario(scenario).with_set([*changes, *options.set])
    if path.is_dir():
        run = admix.read_run(path)
        given = run.scenario.run
        same = run.scenario.with_run().to_tree() == wanted.with_run().to_tree()
        asked = (options.generations, options.replicates, options.burnins, options.seed)
        if not same or (given.generations, given.replicates or 1, given.burnins or 1, given.seed or 1) != asked:
            raise InputError("--runs", str(path), "a directory whose runs have the same options, or another directory")
        return run
    with Progress() as progress:
        progress.say(f"{path} is missing and will be simulated")
        made = admix.run(
            wanted,
            admix.RunOptions(
                out=path, seed=options.seed, replicates=options.replicates, burnins=options.burnins,
                generations=options.generations, trees=False,
            ),
            progress,
        )  # fmt: skip
    return admix.read_run(made)


def means(run: Run, column: str, branch: str, source: str | None = None) -> pd.DataFrame:
    """Return a column of the trajectory by generation.

    Returns
    -------
    DataFrame
        `generation`, `years_bp`, `mean`, `low`, `high`: per cent; the band is the 95 % interval where there are two
        burn-ins, else NaN.
    """
    table, pulse = run.table("trajectory"), run.table("pulse")
    burnin = dict(zip(pulse["replicate"], pulse["burnin"], strict=True))
    mine = table[(table["branch"] == branch) & (table["twin"] == "none")]
    mine = mine[mine["source"] == (source or mine["source"].iloc[0])]
    rows = []
    for (generation, years), part in mine.groupby(["generation", "years_bp"], sort=True):
        found = nested(100 * part[column].to_numpy(), part["replicate"].map(burnin).to_numpy())
        low, high = found.interval or (np.nan, np.nan)
        rows.append((generation, years, found.mean, low, high))
    return pd.DataFrame(rows, columns=["generation", "years_bp", "mean", "low", "high"])


def line(ax: Axes, x: pd.Series, data: pd.DataFrame, colour: str, label: str) -> None:
    """Draw a mean with its band."""
    ax.plot(x, data["mean"], color=colour, label=label)
    if data["low"].notna().any():
        ax.fill_between(x, data["low"], data["high"], color=colour, alpha=0.2, lw=0)


def generations(ax: Axes) -> None:
    """Make the horizontal axis one of generations, on a log scale."""
    ax.set_xscale("log")
    ax.set_xlim(left=0.93)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("generation (1 = the mixed founding cohort; log scale)")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))


def panels(figure: Figure, axes: Sequence[Axes]) -> None:
    """Name panels a, b, ..."""
    for name, ax in zip("abcdef", axes, strict=False):
        ax.annotate(name, (-0.16, 1.06), xycoords="axes fraction", fontweight="bold", fontsize=10.0)


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Save a figure as PNG and SVG; the same figure gives the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for form in FORMATS:
        metadata = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
        figure.savefig(out / f"{name}.{form}", metadata=metadata)
        files.append(out / f"{name}.{form}")
    return files


def style() -> object:
    """Return a context in which figures look as all others of admix."""
    return mpl.rc_context(dict(STYLE))
