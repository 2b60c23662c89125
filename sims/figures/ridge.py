# SPDX-License-Identifier: GPL-3.0-or-later
"""The ridge: which pulses end at what living people have, by the load of the archaic people.

    python sims/figures/ridge.py                          # runs sims/sweeps/reich-ridge.yaml first: an hour
    python sims/figures/ridge.py --sweep sweeps/mine      # of a sweep that there is, finished or not

Panel a: every point of the sweep; filled and with a bar where the last generation's ancestry is 2.0-2.4 %. Lines are
what theory expects for the same load (spread evenly over the functional bases, `admix.theory.uniform_load_trajectory`).
Panel b: ancestry in the last generation, by load, for the pulses of the claim.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import paper
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from admix import cli, cli_process, theory
from admix.errors import InputError, RunError
from admix.figure_style import COLOURS, GREY, LIVING_COLOUR
from admix.sweep import figures
from admix.sweep import plan as plans
from admix.sweep.collect import TABLE

GRID = paper.ROOT / "sims" / "sweeps" / "reich-ridge.yaml"
CLAIM = (0.10, 0.20)


def expected(loads: np.ndarray, low: float, high: float, generation: int, phi: np.ndarray) -> np.ndarray:
    """Return the pulse shares that theory takes to ``low`` and to ``high``, shape (loads, 2); NaN above 0.9."""
    shares = np.geomspace(1e-3, 0.9, 400)
    out = np.full((len(loads), 2), np.nan)
    for i, S in enumerate(loads):
        # from generation 1 on, where all of the pulse is there
        left = np.array([theory.uniform_load_trajectory(p, S, phi, np.array([generation]))[0] for p in shares])
        out[i] = np.exp(np.interp([low, high], left, np.log(shares), right=np.nan))
    return out


def draw(table: pd.DataFrame, phi: np.ndarray, out: Path) -> list[Path]:
    """Draw both panels of a sweep's table and save them."""
    first = table.iloc[0]
    table = table[(table["source"] == first["source"]) & (table["deme"] == first["deme"])]
    generation = int(table["generations"].max())
    low, high = figures.RIDGE
    with paper.style():
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        load = table["log_load_difference"]
        loads = np.linspace(0.9 * load.min(), 1.1 * load.max(), 25)
        theirs = 100 * expected(loads, low, high, generation, phi)
        for column, label in enumerate((f"theory, {100 * low:g} %", f"theory, {100 * high:g} %")):
            left.plot(loads, theirs[:, column], color=GREY, lw=0.9, ls=(":", "--")[column], label=label)
        figures.ridge(table, left, low=low, high=high)
        left.axhspan(*(100 * share for share in CLAIM), color=COLOURS[1], alpha=0.1, lw=0)
        left.annotate(
            "the claim: 10 to 20 %", (0.02, 100 * CLAIM[1]), xycoords=left.get_yaxis_transform(), va="top",
            xytext=(0, -2), textcoords="offset points", fontsize=7.5, color=COLOURS[1],
        )  # fmt: skip
        left.set_ylim(100 * table["realised"].min() / 1.3, 100 * table["realised"].max() * 1.3)
        shares = sorted(100 * table["requested"].unique())
        left.set_yticks(shares, [f"{share:.3g}" for share in shares])
        left.minorticks_off()
        left.get_legend().remove()
        right.axhspan(100 * low, 100 * high, color=LIVING_COLOUR, alpha=0.2, lw=0, label="living people")
        groups = [(share, part) for share, part in table.groupby("requested") if CLAIM[0] <= share <= CLAIM[1]]
        for colour, (share, part) in zip(COLOURS, groups or list(table.groupby("requested")), strict=False):
            part = part.sort_values("log_load_difference")
            right.plot(
                part["log_load_difference"], 100 * part["ancestry_final"], "o", ms=3.5, color=colour,
                label=f"pulse of {100 * share:g} %",
            )  # fmt: skip
        right.set_yscale("log")
        right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        right.yaxis.set_minor_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}".strip("0.")[0] in "25" else "")
        )
        right.set_ylabel(f"archaic ancestry in generation {generation} (% of DNA)")
        right.set_xlabel("archaic load (difference of mean log fitness)")
        right.legend()
        for ax in (left, right):
            upper = ax.secondary_xaxis("top", functions=(lambda S: S, lambda S: S))
            fitness = [w for w in np.arange(0.05, 1, 0.05) if load.min() * 0.9 <= -np.log(w) <= load.max() * 1.1]
            fitness = fitness if len(fitness) < 7 else fitness[len(fitness) % 2 :: 2]
            upper.set_xticks([-np.log(w) for w in fitness], [f"{w:.2f}" for w in fitness])
            upper.set_xlabel("fitness of an unmixed archaic person")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
        paper.panels(figure, (left, right))
        return paper.save(figure, out, "ridge")


def main() -> list[Path]:
    """Read the command line, run what is missing of the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, default=Path("figures"), help="[default: figures]")
    parser.add_argument(
        "--grid", metavar="GRID", type=Path, default=GRID, help="[default: sims/sweeps/reich-ridge.yaml]"
    )
    parser.add_argument("--sweep", metavar="DIR", type=Path, help="a sweep's directory, of which nothing is run")
    options = parser.parse_args()
    folder = options.sweep or Path("sweeps") / options.grid.stem
    steps = [] if options.sweep else [["sweep", "run", str(options.grid), "-o", str(folder)]]
    for words in [*steps, ["sweep", "collect", str(folder)]]:
        code = cli_process.execute(cli.app, words)
        if code:
            raise RunError(str(folder), f"'admix {' '.join(words)}' ended with code {code}")
    table = pd.read_csv(folder / TABLE, sep="\t")
    if table.empty:
        raise InputError("--sweep", str(folder), "a sweep with finished points")
    genome = plans.read(folder).study.base.build_genome()
    return draw(table, theory.phi(genome, int(table["generations"].max())), options.out)


if __name__ == "__main__":
    paper.main(main)
