# SPDX-License-Identifier: GPL-3.0-or-later
"""Depletion of ancestry by background selection and recombination: a run beside maps of living people.

    python sims/figures/depletion.py                          # makes a run of reich first: half an hour
    python sims/figures/depletion.py --run RUN --measured windows.tsv.gz

Ancestry in each fifth of the genome relative to its mean. Errors are block jackknives (5 cM). In the maps a value is
the share of people who carry a called segment, so only ratios can be compared.

--measured names a tab-separated table with `chrom`, `start`, `end` (GRCh37, half-open) and a column for each map; the
default is ../shared/data/derived/windows_100kb_GRCh37.tsv.gz beside the repository. Without it the run is drawn alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import paper
from matplotlib.figure import Figure

import admix
from admix.blocks import genome_blocks
from admix.errors import InputError
from admix.figure_style import COLOURS, GREY
from admix.genome import Genome
from admix.landscape import PopulationAncestry, quantiles
from admix.results import Run

MEASURED = paper.ROOT.parent / "shared" / "data" / "derived" / "windows_100kb_GRCh37.tsv.gz"
NOT_MAPS = ("chrom", "start", "end", "cM", "gap_bp", "cds_bp", "functional_bp", "B")
SHOWN = ("SGDP_WEur_admixfrog", "1000G_CEU_hmmix", "1000G_CEU_IBDmix")
"""If a table has all of these maps, they alone are drawn."""
FEATURES = {
    "B": "fifths by B (1: strongest background selection)",
    "recombination": "fifths by recombination (1: lowest)",
}


def simulated(run: Run, branch: str, twin: str = "none") -> pd.DataFrame:
    """Return fifths of the run's last recorded generation, `feature`, `bin`, `ratio`, `se`; means over replicates."""
    genome = run.scenario.build_genome()
    table = run.table("landscape")
    table = table[(table["branch"] == branch) & (table["twin"] == twin)]
    table = table[(table["generation"] == table["generation"].max()) & (table["source"] == table["source"].iloc[0])]
    if table.empty:
        raise InputError("--run", str(run.path), f"a run with ancestry along the genome of branch {branch}")
    # the mean over replicates first: one jackknife of their common genome
    mean = table.groupby(["chrom", "start"], sort=False)["ancestry"].mean()
    return ratios(genome, mean.to_numpy(dtype=np.float64))


def ratios(genome: Genome, values: np.ndarray) -> pd.DataFrame:
    """Return the fifths of `admix.landscape.quantiles` divided by the mean of the whole genome."""
    ancestry = PopulationAncestry(genome, values)
    found = quantiles(genome, ancestry, genome_blocks(genome))
    weight = (genome.window_end - genome.window_start - genome.window_gap_bp).astype(np.float64)
    known = ~np.isnan(values)
    mean = np.average(values[known], weights=weight[known])
    return found.assign(ratio=found["ancestry"] / mean, se=found["se"] / mean)


def measured(file: Path, genome: Genome) -> dict[str, pd.DataFrame]:
    """Return the fifths of each map in a table of windows, by name.

    Raises
    ------
    InputError
        If the table lacks a column, or its windows are not those of the genome.
    """
    table = pd.read_csv(file, sep="\t", dtype={"chrom": str})
    for column in ("chrom", "start", "end"):
        if column not in table:
            raise InputError(f"{file}: columns", ", ".join(table.columns), f"{column} among them")
    maps = [name for name in table.columns if name not in NOT_MAPS]
    if set(SHOWN) <= set(maps):
        maps = list(SHOWN)
    windows = pd.DataFrame(
        {
            "chrom": [genome.chroms[c] for c in genome.window_chrom],
            "start": genome.window_start,
            "end": genome.window_end,
        }
    )
    table["chrom"] = table["chrom"].str.removeprefix("chr")
    joined = windows.merge(table, on=["chrom", "start", "end"], how="left")
    if joined[maps].notna().sum().min() < 0.5 * len(windows):
        raise InputError(str(file), "other windows", "the run's windows, 100 kb from the start of each chromosome")
    return {name: ratios(genome, joined[name].to_numpy(dtype=np.float64)) for name in maps}


def draw(run: Run, maps: dict[str, pd.DataFrame], out: Path, branches: list[str]) -> list[Path]:
    """Draw a panel for each feature and save them."""
    labels = {branch: f"simulated, {branch}" for branch in branches}
    series = [(labels[b], simulated(run, b), COLOURS[i], "o-") for i, b in enumerate(branches)]
    if (run.table("landscape")["twin"] == "neutral").any():
        series.append((f"{branches[0]} without selection", simulated(run, branches[0], "neutral"), GREY, "o:"))
    marks = ("s", "^", "D", "v", "P", "X", "*", "h")
    for i, (name, data) in enumerate(maps.items()):
        series.append((name.replace("_", " "), data, COLOURS[2 + i % (len(COLOURS) - 2)], f"{marks[i % len(marks)]}--"))
    with paper.style():
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, (feature, label) in zip(axes, FEATURES.items(), strict=True):
            ax.axhline(1, color=GREY, lw=0.6)
            for k, (name, data, colour, style) in enumerate(series):
                part = data[data["feature"] == feature]
                shift = 0.3 * (k / max(1, len(series) - 1) - 0.5)
                ax.errorbar(
                    part["bin"] + shift, part["ratio"], yerr=part["se"], fmt=style, ms=4, lw=1.1, color=colour,
                    label=name, elinewidth=0.7, mfc=colour if "simulated" in name else "white",
                )  # fmt: skip
            ax.set_xlabel(label)
            ax.set_xticks(range(1, 6))
            ax.set_ylabel("archaic ancestry / its mean")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3)
        paper.panels(figure, axes)
        return paper.save(figure, out, "depletion")


def main() -> list[Path]:
    """Read the command line."""
    parser = paper.parser(__doc__, "where the run is, or will be  [default: runs/figures]")
    parser.add_argument("--run", metavar="RUN", help="a run that there is")
    parser.add_argument("--measured", metavar="FILE", type=Path, help="measured maps, see above")
    parser.add_argument("--branch", metavar="NAME", action="append", help="[default: all of the run]")
    options = parser.parse_args()
    run = admix.read_run(options.run) if options.run else paper.ensured(options.runs / "reich", "reich", [], options)
    file = options.measured or MEASURED
    maps: dict[str, pd.DataFrame] = {}
    if options.measured is None and not file.exists():
        print(
            f"no measured maps: {file} is absent and --measured is not given; the run is drawn alone", file=sys.stderr
        )
    elif not file.exists():
        raise InputError("--measured", str(file), "a file that exists")
    elif run.scenario.genome.source != "human_autosomes_GRCh37":
        raise InputError("--measured", str(file), "a run on the shipped human genome")
    else:
        maps = measured(file, run.scenario.build_genome())
    return draw(run, maps, options.out, options.branch or [branch.name for branch in run.scenario.branches])


if __name__ == "__main__":
    paper.main(main)
