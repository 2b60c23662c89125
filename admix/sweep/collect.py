# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a sweep as tables: one row a point (and source and deme), and all trajectories.

The tables depend on the plan and the finished points alone, not on who computed them or in which order.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from admix.derived import write_table
from admix.errors import RunError
from admix.sweep.plan import Point, SweepPlan
from admix.sweep.store import Store

__all__ = ["GENERATIONS", "TABLE", "TRAJECTORIES", "tables", "write"]

TABLE, TRAJECTORIES = "table.tsv", "trajectories.tsv"
GENERATIONS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Generations whose mean ancestry is a column of its own, as far as the points reach."""
_PULSE = ("requested", "realised", "fitness_archaic_relative", "log_load_difference")


def tables(plan: SweepPlan, store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of all finished points and that of their trajectories, in the order of the plan.

    Raises
    ------
    RunError
        If a result is damaged.
    """
    done = store.finished()
    rows: list[dict[str, Any]] = []
    parts: list[pd.DataFrame] = []
    for number, point in enumerate(plan.points):
        if point.key not in done:
            continue
        result = store.result(point.key)
        try:
            labels = _labels(plan, number, point)
            trajectory = pd.DataFrame(result["trajectory"])
            for (source, deme), part in trajectory.groupby(["source", "deme"], sort=False):
                rows.append(labels | _row(result, str(source), str(deme), part))
            names = [name for name in labels if name not in ("key", "seed", "history", "draw")]
            short = trajectory.assign(**{name: labels[name] for name in names})
            parts.append(short[names + list(trajectory)])
        except (KeyError, TypeError, ValueError) as error:
            remedy = "remove it, and 'admix sweep run' makes it again"
            raise RunError(f"result {point.key[:12]}", f"damaged ({error})", remedy) from error
    head = [*_labels(plan, 0, plan.points[0])]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or head
    return pd.DataFrame(rows, columns=columns), pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _labels(plan: SweepPlan, number: int, point: Point) -> dict[str, Any]:
    """Return the columns that say which point a row is."""
    values = dict(zip(plan.study.grid.names, point.setting.values, strict=True))
    lists = {name: json.dumps(value) for name, value in values.items() if isinstance(value, list)}
    drawn = {} if point.setting.draw is None else {"draw": point.setting.draw}
    return {
        "point": number, **values, **lists, **drawn, "burnin": point.burnin, "replicate": point.replicate,
        "seed": point.seed, "history": plan.histories[point.history].label, "key": point.key,
    }  # fmt: skip


def _row(result: dict[str, Any], source: str, deme: str, trajectory: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"source": source, "deme": deme}
    # what the source's first pulse brought
    pulses = pd.DataFrame(result["pulse"])
    first = pulses[pulses["source"] == source].iloc[0]
    row |= {name: first[name] for name in _PULSE}
    by_generation = trajectory.set_index("generation")["ancestry_mean"]
    row |= {f"ancestry_g{g}": by_generation[g] for g in GENERATIONS if g in by_generation.index}
    last = trajectory.iloc[-1]
    row["generations"] = int(last["generation"])
    row["ancestry_final"] = last["ancestry_mean"]
    row |= {f"ancestry_final_{where}": last[f"ancestry_{where}"] for where in ("functional", "far")}
    row["load_archaic_final"] = last["load_archaic"]
    ancestors = pd.DataFrame(result["ancestors"])
    chosen = ancestors[(ancestors["source"] == source) & (ancestors["scope"] == "all")]
    return row | {f"ancestors_{m}": v for m, v in zip(chosen["measure"], chosen["value"], strict=True)}


def write(table: pd.DataFrame, trajectories: pd.DataFrame, folder: Path) -> list[Path]:
    """Write both tables into the directory of a sweep, also as Parquet where pyarrow is installed; return the files.

    Raises
    ------
    RunError
        If nothing is finished, or the directory can't be written.
    """
    if table.empty:
        raise RunError(str(folder), "no point is finished yet", "'admix sweep run' computes them")
    files: list[Path] = []
    for name, frame in ((TABLE, table), (TRAJECTORIES, trajectories)):
        files += _write(folder / name, frame)
    return files


def _write(path: Path, frame: pd.DataFrame) -> Iterable[Path]:
    forms: list[tuple[Path, Callable[[Path, pd.DataFrame], None]]] = [(path, write_table)]
    if find_spec("pyarrow") is not None:
        forms.append((path.with_suffix(".parquet"), lambda file, table: table.to_parquet(file, index=False)))
    for target, put in forms:
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
        try:
            put(temporary, frame)
            os.replace(temporary, target)
        except OSError as error:
            what = f"cannot be written ({error.strerror or error})"
            raise RunError(str(target), what, "finished points are kept") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        yield target
