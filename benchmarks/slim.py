# SPDX-License-Identifier: GPL-3.0-or-later
"""SLiM: a population in its binary format, the map and the target as its tables, and a timed run.

Two forms: ``one`` chromosome with breaks of 0.5 between what were chromosomes, and ``many`` (SLiM 5 and newer).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from admix.engines.slim.model import write_genome
from admix.engines.slim.population import FORMS, MUTATION, chromosomes, write_population
from admix.engines.slim.program import find, version
from admix.errors import RunError
from benchmarks.states import DEME, DFE_MEAN, DFE_SHAPE, Arrays, State

__all__ = [
    "FORMS", "MODEL", "MUTATION", "chromosomes", "command", "find", "read_output", "version", "whole_intervals",
    "write", "write_genome",
]  # fmt: skip

MODEL = Path(__file__).with_name("model.slim")
SHORTEST = 12
"""Fewest ticks between simplifications: SLiM begins with 20 and makes them longer, or by a sixth shorter."""


def write(state: State, arrays: Arrays, folder: Path, form: str) -> None:
    """Write all that the model reads into ``folder``, which appears once it is complete."""
    genome = state.genome()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        write_genome(genome, temporary, form)
        with (temporary / "population").open("wb") as file:
            write_population(genome, arrays, [DEME], file, form=form, h={1: state.h}, ages=False)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def command(
    program: str, state: State, folder: Path, *, runs: int, trees: bool, first: int, least: int, most: int,
    seconds: float,
) -> list[str]:  # fmt: skip
    """The command that runs the model; see ``model.slim`` for what is given to it."""
    given: dict[str, object] = {
        "FOLDER": json.dumps(str(folder)), "MU": repr(state.u / state.genome().functional_bp), "H": repr(state.h),
        "MEAN": DFE_MEAN, "SHAPE": DFE_SHAPE, "RUNS": runs, "TREES": "T" if trees else "F", "FIRST": first,
        "LEAST": least, "MOST": most, "SECONDS": float(seconds),
    }  # fmt: skip
    defines = [word for name, value in given.items() for word in ("-d", f"{name}={value}")]
    return [program, "-s", "1", "-l", "0", *defines, str(MODEL)]


def read_output(text: str, first: int, trees: bool) -> dict[str, Any]:
    """Turn what the model printed into times a tick.

    Without trees: the mean over ticks ``first`` and later. With trees, over whole intervals between
    simplifications, since a tick that simplifies costs many times as much.
    """
    clock, cpu, found = [], [], {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["tick"]:
            clock.append(float(words[2]))
            cpu.append(float(words[3]))
        elif words[:1] == ["read"]:
            found = {"sites": int(words[1]), "fitness_mean": float(words[2])}
    ms, cpu_ms = 1000 * np.diff(clock), 1000 * np.diff(cpu)
    if len(ms) <= first:
        raise RunError("slim", f"it played {len(ms)} ticks, too few to be timed", "see what it printed")
    window, simplified = whole_intervals(cpu_ms, first) if trees else (slice(first, None), 0)
    chosen = ms[window]
    found |= {
        "ms": float(chosen.mean()),
        "ms_median_tick": float(np.median(chosen)),
        "ms_longest_tick": float(chosen.max()),
        "cpu_ms": float(cpu_ms[window].mean()),
        "ticks": len(chosen),
    }
    return found | ({"simplifications": simplified} if trees else {})


def whole_intervals(cpu_ms: np.ndarray, first: int) -> tuple[slice, int]:
    """Ticks from one simplification (or, if there is only one, from the beginning) to the last one, and how many
    simplifications they hold. Where none stands out: all ticks from ``first`` on, and 0.

    SLiM does not tell when it simplifies, but these ticks take several times as long as others.
    """
    spikes: list[int] = []
    for k in np.flatnonzero(cpu_ms > 2.5 * np.median(cpu_ms)).tolist():
        if k >= (spikes[-1] if spikes else 0) + SHORTEST:
            spikes.append(k)
    if len(spikes) == 0:
        return slice(first, None), 0
    if len(spikes) == 1:
        return slice(0, spikes[0] + 1), 1
    return slice(spikes[0] + 1, spikes[-1] + 1), len(spikes) - 1
