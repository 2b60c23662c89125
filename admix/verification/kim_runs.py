# SPDX-License-Identifier: GPL-3.0-or-later
"""Kim, Huber & Lohmueller 2018 as they simulated it: made-up genes or one chromosome, and everything rescaled.

The catalog's scenario `kim2018` is unscaled and on the human map; their published results are of other genomes: 5 Mb
of made-up genes at a uniform rate, and some 100 Mb of chromosome 1. Both are made here from their recipes. "Rescaled
by Q" is theirs: sizes and times divided by Q, effects and rates of mutation and recombination multiplied by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from admix import results, seeds, simulate
from admix.run_plan import RunOptions
from admix.scenario import Scenario, load
from admix.verification.checks import Row, register
from admix.verification.verdicts import Wrong, mean_rows, noted_row, range_rows

__all__ = ["genes", "kim_scenario"]

Options = Mapping[str, Any]
KIM = "Kim et al. 2018, doi:10.1371/journal.pgen.1007741"
Q = 5
"""Their rescaling."""
NONSYNONYMOUS = 2.31 / 3.31
SOURCE, BEFORE, LAST, AFTER = range(4)
MODELS = {
    0: (10_000, 10_000, 10_000, 10_000),
    1: (10_000, 10_000, 1_000, 10_000),
    2: (1_000, 10_000, 10_000, 10_000),
    3: (10_000, 1_000, 1_000, 1_000),
    4: (10_000, 1_000, 1_000, 10_000),
}
"""Sizes of the source, and of the recipient before, in the last 50 generations before the pulse, and after it."""
SPLIT, LATER, SHORT = 20_000, 10_000, 50
MEGABASE = 1_000_000
_WINDOWS = 10
"""Windows of 100 kb that are taken together for correlations along the chromosome."""


def genes(length: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return exons of randomly made genes on ``length`` bases, as half-open intervals.

    Noncoding U(100, 5000); exon lognormal(ln 50, ln 2) + 1; intron lognormal(ln 100, ln 1.5) + 10; another exon with
    probability 0.8: the recipe of their scripts (github.com/LohmuellerLab/admixture_load_scripts).
    """
    exons: list[tuple[int, int]] = []
    at = int(rng.integers(100, 5001))
    while True:
        end = at + int(rng.lognormal(np.log(50), np.log(2))) + 1
        if end >= length:
            return exons
        exons.append((at, end))
        if rng.random() < 0.8:
            at = end + int(rng.lognormal(np.log(100), np.log(1.5))) + 10
        else:
            at = end + int(rng.integers(100, 5001))


def _demes(model: int, scale: int) -> list[dict[str, Any]]:
    sizes = [size // scale for size in MODELS[model]]
    after, split = LATER // scale, (SPLIT + LATER) // scale
    short = max(1, SHORT // scale)
    recipient = [
        {"start_size": sizes[BEFORE], "end_time": after + short + 1},
        {"start_size": sizes[LAST], "end_time": after + 1},
        {"start_size": sizes[AFTER]},
    ]
    return [
        {"name": "ancestral", "epochs": [{"end_time": split, "start_size": 10_000 // scale}]},
        {"name": "source", "ancestors": ["ancestral"], "epochs": [{"start_size": sizes[SOURCE], "end_time": after}]},
        {"name": "recipient", "ancestors": ["ancestral"], "epochs": recipient},
    ]


def kim_scenario(
    model: int, h: float, genome: Mapping[str, Any], mean_s: float, *, scale: int = Q, pulse: float = 0.05
) -> Scenario:
    """Return one of their demographies on a genome of one's own.

    Parameters
    ----------
    model
        0 to 4, as in `MODELS`.
    h
        Dominance coefficient.
    genome
        Genome block. The map is that of the unscaled model times ``scale``.
    mean_s
        Mean effect before rescaling, negative.
    scale
        Q.
    pulse
        Share of the source in generation 1.
    """
    tree = {
        "name": f"kim-model{model}", "title": f"Kim et al. 2018, model {model}",
        "demography": {"time_units": "years", "generation_time": 1, "demes": _demes(model, scale)},
        "genome": dict(genome),
        "selection": {
            "mutation_rate": 1.5e-8 * NONSYNONYMOUS * scale, "dominance": h,
            "dfe": {"kind": "gamma", "mean": mean_s * scale, "shape": 0.186},
        },
        "pulse": [{"name": "pulse", "source": "source", "target": "recipient", "time": LATER // scale, "share": pulse}],
        "start": {"mode": "stationary", "ancestral_burnin": 10, "relax": 500},
    }  # fmt: skip
    return Scenario.from_tree(tree)


def made_up_genome(folder: Path, seed: int, rate: float, scale: int = Q, length: int = 5 * MEGABASE) -> dict[str, Any]:
    """Write 5 Mb of made-up genes at a uniform recombination rate, and return the genome block that reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    exons = genes(length, seeds.generator("verify", "kim genes", seed))
    bed = "".join(f"1\t{start}\t{end}\n" for start, end in exons)
    points = f"Chromosome\tPosition(bp)\tMap(cM)\n1\t1\t0\n1\t{length}\t{100 * length * rate * scale!r}\n"
    (folder / "exons.bed").write_text(bed, encoding="utf-8")
    (folder / "map.txt").write_text(points, encoding="utf-8")
    return {
        "source": "files", "map": str(folder / "map.txt"), "elements": str(folder / "exons.bed"), "window": 50_000
    }  # fmt: skip


def chromosome_1(folder: Path, scale: int = Q, length: int = 100 * MEGABASE) -> dict[str, Any]:
    """Write the first 100 Mb of chromosome 1 with a map that is ``scale`` times as long, and return its block.

    The coding bases of each window of 100 kb lie in four pieces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tree = {"genome.target": "cds", "genome.chromosomes": "[1]"}
    genome = load("reich").with_set([f"{key}={value}" for key, value in tree.items()]).build_genome()
    inside = genome.window_end <= length
    rows = zip(genome.window_end[inside].tolist(), (scale * genome.window_cm_end[inside]).tolist(), strict=True)
    points = "".join(f"1\t{end}\t{cm!r}\n" for end, cm in rows)
    (folder / "map.txt").write_text("Chromosome\tPosition(bp)\tMap(cM)\n1\t1\t0\n" + points, encoding="utf-8")
    starts, ends = (x[inside].tolist() for x in (genome.window_start, genome.window_end))
    bed: list[str] = []
    for start, end, bases in zip(starts, ends, genome.window_functional_bp[inside].tolist(), strict=True):
        pieces = [bases // 4 + (i < bases % 4) for i in range(4)]
        for i, piece in enumerate(pieces):
            at = start + i * (end - start) // 4
            bed += [f"1\t{at}\t{at + piece}\n"] if piece else []
    (folder / "cds.bed").write_text("".join(bed), encoding="utf-8")
    return {"source": "files", "map": str(folder / "map.txt"), "elements": str(folder / "cds.bed")}


def runs(options: Options, label: str, scenario: Scenario, replicates: int) -> results.Run:
    """Return a run directory of independent replicates, made unless it is there."""
    out = Path(options["folder"]) / "runs" / f"{label}-{options['seed']}"
    if not out.exists():
        options["say"](f"{label}: {replicates} replicates")
        given = RunOptions(
            out=out, seed=int(options["seed"]), replicates=replicates, burnins=replicates, twin="none", trees=False
        )
        simulate.run(scenario, given)
    return results.read_run(out)


def final(run: results.Run) -> list[float]:
    """Return the share of each replicate in the last generation."""
    rows = run.table("trajectory")
    last = rows[rows["generation"] == rows["generation"].max()].sort_values("replicate")
    return [float(x) for x in last["ancestry_mean"]]


def correlations(run: results.Run) -> tuple[list[float], list[float]]:
    """Return each replicate's Spearman correlations of final ancestry with recombination and with functional bases."""
    rows = run.table("landscape")
    rows = rows[rows["generation"] == rows["generation"].max()]
    by_rate: list[float] = []
    by_exons: list[float] = []
    for _, one in rows.groupby("replicate"):
        place = one["start"].to_numpy() // (_WINDOWS * 100_000)
        joined = one.assign(place=place).groupby("place").agg(
            ancestry=("ancestry", "mean"), cM=("cM", "sum"), functional=("functional_bp", "sum")
        ).dropna()  # fmt: skip
        # where nothing differs any more nothing is correlated
        for found, other in ((by_rate, "cM"), (by_exons, "functional")):
            rho = (
                stats.spearmanr(joined["ancestry"], joined[other]).statistic if joined["ancestry"].nunique() > 1 else 0
            )
            found.append(float(rho))
    return by_rate, by_exons


def sign_rows(check: str, statistic: str, values: Sequence[float], sign: int, wrong: Wrong) -> list[Row]:
    """Rows of a mean over runs that must be on one side of zero by more than its own chance error."""
    x = sign * np.asarray(values, dtype=np.float64)
    error = float(x.std(ddof=1) / np.sqrt(len(x)))
    least = 2.0 * error
    rows = range_rows(
        check, f"{statistic} x {sign:+d}", float(x.mean()), least, 1.0, KIM,
        "beyond two standard errors on the published side", Wrong(wrong.title, sign * wrong.value), n=len(x),
    )  # fmt: skip
    return rows


@register("kim2018-runs", "Kim et al. 2018, simulated on their genomes: recessive mutations raise ancestry",
          suites=("full",))  # fmt: skip
def kim(options: Options) -> list[Row]:
    """K1 to K5."""
    folder = Path(options["folder"]) / "kim"
    rows: list[Row] = []
    seed = int(options["seed"])
    low = {rate: made_up_genome(folder / f"genes-{rate:g}", seed, rate) for rate in (1e-9, 1e-8)}
    count = int(options.get("kim_replicates", 40))
    mean_genes, mean_chromosome = -0.01314833, -0.01026
    shares = {
        (model, h, rate): final(
            runs(
                options, f"kim-genes-model{model}-h{h}-r{rate:g}", kim_scenario(model, h, block, mean_genes), count
            )
        )
        for model, h in ((4, 0), (4, 0.5), (0, 0.5))
        for rate, block in low.items()
        if (model == 4 and h == 0) or rate == 1e-8
    }  # fmt: skip
    for rate in low:
        found = shares[4, 0, rate]
        rows += range_rows(
            "kim2018-runs: K1", f"% in the end, model 4, h 0, r {rate:g}", 100 * float(np.mean(found)), 30, 75, KIM,
            "range of the target", Wrong("h 0.5", 100 * float(np.mean(shares[4, 0.5, 1e-8]))), n=count,
        )  # fmt: skip
    rows += mean_rows(
        "kim2018-runs: K4", "share in the end, model 0, h 0.5, r 1e-08", shares[0, 0.5, 1e-8], 0.05, KIM,
        Wrong("model 4, h 0", float(np.mean(shares[4, 0, 1e-8]))),
    )  # fmt: skip
    block = chromosome_1(folder / "chromosome-1")
    along = {
        (model, h): runs(
            options, f"kim-chromosome-model{model}-h{h}", kim_scenario(model, h, block, mean_chromosome), count
        )
        for model, h in ((2, 0.5), (4, 0))
    }  # fmt: skip
    small, large = along[2, 0.5], along[4, 0]
    rows += range_rows(
        "kim2018-runs: K2", "% in the end, model 2, h 0.5", 100 * float(np.mean(final(small))), 0, 4.999, KIM,
        "below 5 %", Wrong("model 4, h 0", 100 * float(np.mean(final(large)))), n=count,
    )  # fmt: skip
    by = {key: correlations(run) for key, run in along.items()}
    for k, (what, sign) in enumerate((("recombination", 1), ("coding bases", -1))):
        one, other = by[2, 0.5][k], by[4, 0][k]
        rows += sign_rows(
            "kim2018-runs: K2", f"correlation with {what}, model 2, h 0.5", one, sign,
            Wrong("model 4, h 0", float(np.mean(other))),
        )  # fmt: skip
        rows += sign_rows(
            "kim2018-runs: K3", f"correlation with {what}, model 4, h 0", other, -sign,
            Wrong("model 2, h 0.5", float(np.mean(one))),
        )  # fmt: skip
    rows.append(_rescaling(options, shares[4, 0, 1e-8], folder, seed, mean_genes))
    return rows


def _rescaling(options: Options, scaled: Sequence[float], folder: Path, seed: int, mean_s: float) -> Row:
    """K5 is reported, not required: what rescaling by 5 does to K1."""
    block = made_up_genome(folder / "genes-unscaled", seed, 1e-8, scale=1)
    count = int(options.get("kim_unscaled", 8))
    whole = final(runs(options, "kim-genes-unscaled", kim_scenario(4, 0, block, mean_s, scale=1), count))
    ratio = float(np.mean(scaled) / np.mean(whole))
    parts = [np.std(x, ddof=1) / np.sqrt(len(x)) / np.mean(x) for x in (scaled, whole)]
    error = ratio * float(np.hypot(*parts))
    row = noted_row(
        "kim2018-runs: K5", "share in the end rescaled by 5 / unscaled, model 4, h 0, r 1e-08", 1.0, KIM,
        f"reported, not required: standard error {error:.2g}; what rescaling does depends on the model",
    )  # fmt: skip
    return replace(row, observed=ratio, n=len(whole))
