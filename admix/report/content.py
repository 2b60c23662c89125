# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page's script draws, as plain numbers: shares in per cent, five digits, one block for each source."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix import figures, plots
from admix.genome import Genome
from admix.landscape import DESERT_BP, DESERT_SHARE, PopulationAncestry, deserts
from admix.panels.lines import centre_and_range
from admix.prediction import Forecast
from admix.report.tracks import Track
from admix.results import Run
from admix.summary import people

__all__ = ["MISSING", "landscape", "load", "spread", "trajectory"]

MISSING = 65535
"""Stands for a missing value in packed numbers."""
_DENSE = 200
_POINTS = 240
_DIGITS = 5

Floats = npt.NDArray[np.float64]


def trajectory(run: Run, source: str, forecast: Forecast | None) -> dict[str, Any]:
    """Return lines, theory, measured genomes and clock of one source's trajectory."""
    data = plots.with_burnins(run)
    data = data[data["source"] == source]
    labels = plots.branch_labels(run.table("pulse"))
    real = plots.is_real(source, data)
    last = int(data["generation"].max())
    lines = []
    for line in figures.trajectory_lines(data, labels):
        keep = _thinned(line.generation)
        same = (data["branch"] == line.branch) & (data["twin"] == line.twin) & (data["deme"] == line.deme)
        spread_of = data[same].groupby("generation")[["ancestry_p05", "ancestry_p95"]].mean()
        lines.append(
            {
                "name": line.label, "colour": line.colour_index, "dash": _DASHES[line.dashes],
                "g": line.generation[keep].tolist(), "y": _digits(line.mean[keep]),
                "low": None if line.low is None else _digits(line.low[keep]),
                "high": None if line.high is None else _digits(line.high[keep]), "band": line.band,
                "p05": _digits(100 * spread_of["ancestry_p05"].to_numpy()[keep]),
                "p95": _digits(100 * spread_of["ancestry_p95"].to_numpy()[keep]),
            }
        )  # fmt: skip
    theory = [] if forecast is None else _theory(forecast, data, source, last)
    clock = data[["generation", "years_bp"]].drop_duplicates("generation").sort_values("generation")
    keep = _thinned(clock["generation"].to_numpy())
    ancient = figures.dated(plots.ancient_genomes(), data) if real else None
    at, text = figures.year_ticks(clock, 0.05)
    return {
        "who": people(source), "last": last, "lines": lines, "theory": theory,
        "clock": {name: clock[column].to_numpy()[keep].tolist()
                  for name, column in (("g", "generation"), ("years", "years_bp"))},
        "years": {"g": _digits(np.array(at)), "text": text},
        "ancient": [] if ancient is None else [
            {"sample": str(r["sample"]), "years": float(r["age_bp"]), "g": round(float(r["generation"]), 1),
             "y": round(100 * float(r["estimate"]), 4), "se": round(100 * float(r["se"]), 4)}
            for r in ancient.to_dict("records")
        ],
        "living": [100 * share for share in figures.LIVING] if real else None,
    }  # fmt: skip


_DASHES = {"-": "solid", "--": "dash", ":": "dot"}


def _theory(forecast: Forecast, data: pd.DataFrame, source: str, last: int) -> list[dict[str, Any]]:
    branches = list(dict.fromkeys(data["branch"]))
    out = []
    rows = forecast.trajectory[forecast.trajectory["source"] == source]
    for (branch, deme), part in rows[rows["generation"] <= last].groupby(["branch", "deme"], sort=False):
        # a run without selection has nothing that the curve is about
        if not ((data["branch"] == branch) & (data["deme"] == deme) & (data["twin"] == "none")).any():
            continue
        keep = _thinned(part["generation"].to_numpy())
        values = {key: _digits(100 * part[f"ancestry_{name}"].to_numpy()[keep])
                  for key, name in (("y", "mean"), ("low", "low"), ("high", "high"))}  # fmt: skip
        index = branches.index(branch)
        out.append({"colour": index % len(figures.COLOURS), "g": part["generation"].to_numpy()[keep].tolist()} | values)
    return out


def spread(run: Run, source: str) -> list[dict[str, Any]]:
    """Return histograms of individual ancestry, a panel for each branch, a strip for each generation."""
    rows = run.table("spread")
    rows = rows[rows["source"] == source]
    labels = plots.branch_labels(run.table("pulse"))
    trajectories = plots.with_burnins(run)
    panels = []
    for index, branch in enumerate(dict.fromkeys(rows["branch"])):
        shown, means, twin = plots.spread_of(rows, trajectories, str(branch), source)
        strips = []
        for generation in [g for g in figures.SPREAD_GENERATIONS if (shown["generation"] == g).any()]:
            share, edges = figures.histogram(shown[shown["generation"] == generation])
            filled = np.flatnonzero(share > 0)
            # beyond the last person the axis would be empty
            end = int(filled[-1]) + 1 if len(filled) else 1
            strips.append(
                {"g": generation, "mean": None if generation not in means else round(100 * means[generation], 4),
                 "share": _digits(share[:end]), "step": float(edges[1] - edges[0])}
            )  # fmt: skip
        name = labels.get(str(branch), str(branch)) + (", no selection" if twin == "neutral" else "")
        panels.append({"name": name, "colour": index % len(figures.COLOURS), "strips": strips})
    return panels


def load(run: Run, source: str) -> list[dict[str, Any]]:
    """Return mean log fitness and the load of the source's alleles over time, a line for each branch and twin."""
    data = plots.with_burnins(run)
    data = data[data["source"] == source]
    labels = plots.branch_labels(run.table("pulse"))
    branches, lines = list(dict.fromkeys(data["branch"])), []
    first = str(data["deme"].iloc[0])
    for (branch, twin), rows in data[data["deme"] == first].groupby(["branch", "twin"], sort=False):
        if twin == "neutral":
            continue
        line: dict[str, Any] = {
            "name": labels.get(str(branch), str(branch)), "colour": branches.index(branch) % len(figures.COLOURS),
        }  # fmt: skip
        for column, key in (("log_fitness_mean", "fitness"), ("load_archaic", "load")):
            by = centre_and_range(rows[rows[column].notna()], column)
            keep = _thinned(by.index.to_numpy())
            line[key] = {"g": by.index.to_numpy()[keep].tolist()} | {
                name: _digits(by[name].to_numpy()[keep]) for name in ("mean", "min", "max")
            }
        lines.append(line)
    return lines


def landscape(run: Run, source: str, genome: Genome, track: Track | None) -> dict[str, Any]:
    """Return ancestry along the genome of replicate 0 and of the mean, features of its windows, and deserts.

    Numbers are packed: base64 of little-endian uint16, to be multiplied by ``scale``; `MISSING` is none.
    """
    table = run.table("landscape")
    table = table[table["source"] == source]
    labels = plots.branch_labels(run.table("pulse"))
    twins = set(table["twin"])
    table = table[table["twin"] == ("none" if "none" in twins else "neutral")]
    generations = sorted({int(g) for g in table["generation"]})
    branches, lines, empty = list(dict.fromkeys(table["branch"])), [], []
    for index, branch in enumerate(branches):
        own = table[table["branch"] == branch]
        for generation in generations:
            rows = own[own["generation"] == generation]
            if rows.empty:
                continue
            values = _by_window(rows, genome)
            lines.append({"branch": index, "g": generation, "kind": "one", **_packed(100 * values[0])})
            if generation == generations[-1]:
                if len(values) > 1:
                    lines.append(
                        {"branch": index, "g": generation, "kind": "mean", **_packed(100 * values.mean(axis=0))}
                    )
                found = [deserts(genome, PopulationAncestry(genome, one)) for one in values]
                empty.append(
                    {"branch": index, "counts": [len(f) for f in found],
                     "mb": [float((f["end"] - f["start"]).sum()) / 1e6 for f in found],
                     "list": [[str(r["chrom"]), round(r["start"] / 1e6, 2), round(r["end"] / 1e6, 2)]
                              for r in found[0].to_dict("records")]}
                )  # fmt: skip
    first = np.searchsorted(genome.window_chrom, np.arange(len(genome.chroms) + 1))
    width = (genome.window_end - genome.window_start).astype(np.float64)
    density = 100 * genome.window_functional_bp / width
    rate = 100 * (genome.window_cm_end - genome.window_cm_start) / (width / 1e4)
    return {
        "who": people(source), "chroms": list(genome.chroms), "first": first.tolist(), "missing": MISSING,
        "step": float(np.median(width)), "lengths": [int(genome.window_end[i - 1]) for i in first[1:]],
        "generations": generations,
        "branches": [{"name": labels.get(str(b), str(b)), "colour": i % len(figures.COLOURS)}
                     for i, b in enumerate(branches)],
        "lines": lines, "functional": _packed(density), "rate": _packed(rate),
        "deserts": empty, "desert_mb": DESERT_BP / 1e6, "desert_percent": 100 * DESERT_SHARE,
        "track": None if track is None else
        {"name": track.name, "unit": track.unit, **_packed(100 * track.by_window(genome))},
    }  # fmt: skip


def _by_window(rows: pd.DataFrame, genome: Genome) -> Floats:
    """Return ancestry of the genome's windows for each replicate, float64[replicates, windows]."""
    replicates = list(dict.fromkeys(rows["replicate"]))
    values = np.stack([rows.loc[rows["replicate"] == r, "ancestry"].to_numpy(np.float64) for r in replicates])
    assert values.shape[1] == len(genome.window_start)
    return values


def _packed(values: Floats) -> dict[str, Any]:
    known = ~np.isnan(values)
    top = float(values[known].max()) if known.any() else 0.0
    scale = top / (MISSING - 1) if top > 0 else 1.0
    packed = np.full(len(values), MISSING, dtype="<u2")
    packed[known] = np.rint(values[known] / scale)
    return {"scale": scale, "data": base64.b64encode(packed.tobytes()).decode("ascii")}


def _thinned(generations: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return places of all early generations, and of later ones that are apart on a log scale; and of the last."""
    g = np.asarray(generations)
    if len(g) <= _DENSE + _POINTS:
        return np.arange(len(g))
    wanted = np.geomspace(g[_DENSE], g[-1], _POINTS)
    return np.unique(np.concatenate([np.arange(_DENSE), np.searchsorted(g, wanted), [len(g) - 1]]))


def _digits(values: Floats) -> list[float | None]:
    return [None if np.isnan(v) else float(f"{v:.{_DIGITS}g}") for v in np.asarray(values, dtype=np.float64)]


def colours() -> Mapping[str, Sequence[str]]:
    """Return the colours of lines on light and on dark ground, in the order of the figures' colours."""
    return {"light": figures.COLOURS, "dark": ("#4DA6E8", "#F28A45", "#E39AC4", "#F2B632", "#8CD0F5", "#F2F2F2")}
