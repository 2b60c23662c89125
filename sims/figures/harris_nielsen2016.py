# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry with additive, partly recessive and recessive mutations, after Harris and Nielsen 2016.

    python sims/figures/harris_nielsen2016.py           # makes its three runs first: hours on two cores
    python sims/figures/harris_nielsen2016.py --set 'genome.chromosomes=["21","22"]' --generations 20 --runs runs/try

Panel a is a pulse of 10 %, panel b of 1 %. Dashed is what theory expects of the same scenario (`admix predict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import paper
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from admix import prediction
from admix.figure_style import COLOURS, GREY
from admix.results import Run

DOMINANCES = {0.5: "additive (h = 0.5)", 0.1: "partly recessive (h = 0.1)", 0.0: "recessive (h = 0)"}
BRANCHES = {"p10": "pulse of 10 %", "p01": "pulse of 1 %"}


def draw(runs: Mapping[float, Run], out: Path) -> list[Path]:
    """Draw both panels and save them; ``runs`` by dominance."""
    with paper.style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.subplots(1, 2)
        for ax, (branch, title) in zip(axes, BRANCHES.items(), strict=True):
            for colour, (h, run) in zip(COLOURS, runs.items(), strict=False):
                data = paper.means(run, "ancestry_mean", branch)
                paper.line(ax, data["generation"], data, colour, DOMINANCES[h])
                expected = prediction.predict(run.scenario).trajectory
                expected = expected[
                    (expected["branch"] == branch) & (expected["generation"] <= data["generation"].max())
                ]
                ax.plot(expected["generation"], 100 * expected["ancestry_mean"], color=colour, ls="--", lw=0.9)
            paper.generations(ax)
            ax.set_ylim(bottom=0)
            ax.set_title(title)
            ax.set_ylabel("Neanderthal ancestry (% of DNA)")
        handles, _ = axes[0].get_legend_handles_labels()
        handles.append(Line2D([], [], color=GREY, ls="--", lw=0.9, label="theory"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        paper.panels(figure, axes)
        return paper.save(figure, out, "dominance")


def main() -> list[Path]:
    """Read the command line, make what is missing."""
    parser = paper.parser(__doc__, "where the runs h0.5, h0.1 and h0 are, or will be  [default: runs/figures]")
    options = parser.parse_args()
    runs = {
        h: paper.ensured(
            options.runs / f"harris-nielsen2016-h{h:g}", "harris-nielsen2016", [f"selection.dominance={h:g}"], options
        )
        for h in DOMINANCES
    }
    return draw(runs, options.out)


if __name__ == "__main__":
    paper.main(main)
