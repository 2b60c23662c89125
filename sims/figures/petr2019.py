# SPDX-License-Identifier: GPL-3.0-or-later
"""Ancestry by distance from exons, from the pulse to today, beside the published simulations of Petr et al. 2019.

    python sims/figures/petr2019.py                 # makes its runs first: hours on two cores, minutes if cached
    python sims/figures/petr2019.py --run RUN       # of a run that there is
    python sims/figures/petr2019.py --set 'genome.chromosomes=["21","22"]' --generations 20 --runs runs/try

Panel a has a log scale of generations, panel b a linear one of years: what is lost is lost at once, and the rest is
flat over the time that ancient genomes are known from.
"""

from __future__ import annotations

from pathlib import Path

import paper
from matplotlib.figure import Figure

import admix
from admix.figure_style import COLOURS, LIVING_COLOUR
from admix.figures import LIVING
from admix.results import Run

GENERATIONS = (1, 2, 5, 10, 20, 100, 1000, 2000)
PUBLISHED = {
    "inside exons": (9.92, 4.87, 2.68, 2.36, 2.31, 2.21, 2.01, 1.94),
    "gap markers, middle fifth by distance": (9.93, 4.88, 2.70, 2.38, 2.33, 2.26, 2.15, 2.11),
    "gap markers, farthest fifth": (9.93, 4.88, 2.71, 2.39, 2.35, 2.33, 2.34, 2.35),
}
"""Per cent, means of 20 runs of Petr et al. 2019 (doi:10.1073/pnas.1814338116; docs/scenarios/petr2019.md)."""
LINES = (
    ("ancestry_functional", "windows with exons", "inside exons", COLOURS[1], "v"),
    ("ancestry_mean", "all windows", "gap markers, middle fifth by distance", COLOURS[0], "o"),
    ("ancestry_far", "the fifth farthest from exons", "gap markers, farthest fifth", COLOURS[2], "^"),
)


def draw(run: Run, out: Path, branch: str = "p10") -> list[Path]:
    """Draw both panels of a run and save them."""
    with paper.style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        published = run.scenario.name == "petr2019"
        for column, label, theirs, colour, mark in LINES:
            if run.table("trajectory")[column].isna().all():
                continue  # no window is far from exons
            data = paper.means(run, column, branch)
            paper.line(left, data["generation"], data, colour, label)
            paper.line(right, data["years_bp"] / 1000, data, colour, label)
            last = data["generation"].max()
            if published:
                shown = [(g, share) for g, share in zip(GENERATIONS, PUBLISHED[theirs], strict=True) if g <= last]
                left.plot(
                    *zip(*shown, strict=True),
                    mark,
                    ms=4,
                    mfc="white",
                    mec=colour,
                    color=colour,
                    label="_" if column != "ancestry_mean" else "published (Petr et al. 2019)",
                )
        paper.generations(left)
        left.set_yscale("log")
        left.set_yticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"])
        left.minorticks_off()
        left.set_ylabel("Neanderthal ancestry (% of DNA)")
        left.legend(loc="upper right")
        settled = paper.means(run, "ancestry_mean", branch).query("generation >= 10")["mean"]
        top = 1.8 * max(float(settled.max()) if len(settled) else 10.0, 100 * LIVING[1])
        right.axhspan(100 * LIVING[0], 100 * LIVING[1], color=LIVING_COLOUR, alpha=0.18, lw=0)
        right.annotate(
            "living people", (0.98, 100 * LIVING[1]), xycoords=right.get_yaxis_transform(), ha="right", va="bottom",
            fontsize=7.5, color="#00563F",
        )  # fmt: skip
        right.set_xlim(data["years_bp"].max() / 1000, data["years_bp"].min() / 1000)
        right.set_ylim(0, top)
        right.set_xlabel("thousand years ago")
        right.set_ylabel("Neanderthal ancestry (% of DNA)")
        paper.panels(figure, (left, right))
        return paper.save(figure, out, "trajectory-by-distance")


def main() -> list[Path]:
    """Read the command line."""
    parser = paper.parser(__doc__, "where the run is, or will be  [default: runs/figures]")
    parser.add_argument("--run", metavar="RUN", help="a run of petr2019, or another scenario with a branch p10")
    options = parser.parse_args()
    run = (
        admix.read_run(options.run)
        if options.run
        else paper.ensured(options.runs / "petr2019", "petr2019", [], options)
    )
    return draw(run, options.out)


if __name__ == "__main__":
    paper.main(main)
