# SPDX-License-Identifier: GPL-3.0-or-later
"""Headline numbers of several runs beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from admix.results import Run
from admix.summary import people

__all__ = ["names_of", "screen_table", "table"]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return short names of directories that tell them apart: the last part, with as many before it as are needed."""
    parts = [path.resolve().parts for path in paths]
    names: list[str] = []
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            break
    # a directory may be given twice
    return [f"{name} ({k})" if names.count(name) > 1 else name for k, name in enumerate(names, start=1)]


def table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Return one row for each entry of each run's summary.

    Returns
    -------
    DataFrame
        `run, branch, twin, source, deme`, `requested` (share of the first pulse), `S` (-ln of the relative fitness of
        an unmixed archaic person), `generation` (the last), `ancestry`, `ancestry_low`, `ancestry_high` (95 %
        interval of the mean; missing where there is none), `genealogical`, `pedigree_paths`; shares as fractions.
    """
    rows = []
    for name, run in runs.items():
        for entry in run.summary["entries"]:
            last, counted = entry["ancestry"][-1], entry["ancestors"].get("all", {})
            low, high = last["interval"] or (None, None)
            rows.append(
                {
                    "run": name, "branch": entry["branch"], "twin": entry["twin"], "source": entry["source"],
                    "deme": entry["deme"], "requested": entry["requested"], "S": (entry["S"] or {}).get("mean"),
                    "generation": last["generation"], "ancestry": last["mean"], "ancestry_low": low,
                    "ancestry_high": high,
                    **{m: counted.get(m, {}).get("mean") for m in ("genealogical", "pedigree_paths")},
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def screen_table(runs: Mapping[str, Run]) -> str:
    """Return `table` for the screen, shares in per cent."""
    head = ("run", "branch", "source", "pulse, %", "S", "generation", "DNA, %", "founders, %", "paths, %")
    lines = [head]
    for row in table(runs).to_dict("records"):
        branch = row["branch"] + (" neutral" if row["twin"] == "neutral" else "")
        dna = _percent(row["ancestry"])
        if not pd.isna(row["ancestry_low"]) and row["ancestry_high"] - row["ancestry_low"] > 1e-9:
            dna += f" [{_percent(row['ancestry_low'])}, {_percent(row['ancestry_high'])}]"
        cost = "" if pd.isna(row["S"]) else f"{row['S'] + 0.0:.2f}"
        cells = (
            row["run"],
            branch,
            people(row["source"]),
            _percent(row["requested"]),
            cost,
            f"{row['generation']:,}",
            dna,
        )
        lines.append((*cells, _percent(row["genealogical"]), _percent(row["pedigree_paths"])))
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k < 3 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _percent(share: float | None) -> str:
    return "" if pd.isna(share) else f"{100 * share:.2f}"
