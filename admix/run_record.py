# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine's run writes beside its trees: tables from records, times, provenance."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

import admix
from admix import results
from admix.engines.native.branch import Records
from admix.genome import Genome

__all__ = ["Clock", "frames", "provenance"]

_PACKAGES = (
    "numpy",
    "numba",
    "scipy",
    "pandas",
    "matplotlib",
    "demes",
    "demesdraw",
    "msprime",
    "tskit",
    "pyslim",
    "tszip",
)


class Clock:
    """Wall and processor seconds of the named parts of a run."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside the block for part `name`."""
        wall, cpu = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            spent = self.parts.setdefault(name, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
            spent["wall_seconds"] += time.monotonic() - wall
            spent["cpu_seconds"] += time.process_time() - cpu


def frames(genome: Genome, records: Records) -> dict[str, pd.DataFrame]:
    """Return the tables of `admix.results.SCHEMA` by file name; a landscape is the plain mean over its demes."""
    landscapes: dict[tuple[Any, ...], list[np.ndarray]] = {}
    for labels, ancestry in records.landscape:
        key = (labels["branch"], labels["replicate"], labels["twin"], labels["source"], labels["generation"])
        landscapes.setdefault(key, []).append(ancestry)
    parts = [pd.DataFrame(columns=results.SCHEMA["landscape.tsv"].names)] if not landscapes else []
    for key, found in landscapes.items():
        by_window = np.full(len(genome.window_chrom), np.nan)
        by_window[genome.marker_window] = np.mean(found, axis=0)
        parts.append(
            pd.DataFrame(
                {
                    "branch": key[0], "replicate": key[1], "twin": key[2], "source": key[3], "generation": key[4],
                    "chrom": np.array(genome.chroms)[genome.window_chrom], "start": genome.window_start,
                    "end": genome.window_end, "cM": genome.window_cm_end - genome.window_cm_start,
                    "functional_bp": genome.window_functional_bp, "B": genome.window_b, "ancestry": by_window,
                }
            )
        )  # fmt: skip
    tables = {
        "trajectory.tsv": records.trajectory, "pulse.tsv": records.pulse, "ancestors.tsv": records.ancestors,
        "spread.tsv": records.spread,
    }  # fmt: skip
    out = {
        name: pd.DataFrame(rows, columns=None if rows else results.SCHEMA[name].names) for name, rows in tables.items()
    }
    out["landscape.tsv"] = pd.concat(parts, ignore_index=True)
    return out


def provenance(
    genome: Genome, results_version: int, threads: int, clock: Clock, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of provenance.json; `more` are the entries that an engine adds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "software": {"admix": admix.__version__, "results_version": results_version},
        "command": sys.argv,
        "packages": {name: version(name) for name in _PACKAGES},
        "platform": {
            "python": platform.python_version(), "system": platform.platform(), "processors": os.cpu_count(),
            "threads": threads,
        },
        "inputs": {"genome": genome.name, "genome_sha256": genome.checksum()},
        **more,
        "time": clock.parts,
        "peak_memory_bytes": usage.ru_maxrss * unit,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }  # fmt: skip
