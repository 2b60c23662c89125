# SPDX-License-Identifier: GPL-3.0-or-later
"""SLiM: a population in its binary format, the map and the target as its tables, and a timed run.

Two forms: ``one`` chromosome with breaks of 0.5 between what were chromosomes, and ``many`` (SLiM 5 and newer).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from admix.errors import InputError, RunError
from admix.genome import Genome
from benchmarks.states import DFE_MEAN, DFE_SHAPE, Arrays, State, haplotypes

FORMS = ("one", "many")
MODEL = Path(__file__).with_name("model.slim")
_END, _SUBPOPULATION, _MUTATION = (struct.pack("<I", 0xFFFF0000 + k) for k in range(3))
_FORMAT = 8
_SIZES = (4, 8, 4, 4, 4, 4, 8, 4, 4, 8, 8, 8)
"""Bytes of SLiM's tick, position, object id, size, count, effect, mutation id, polymorphism id, age, pedigree id,
haplosome id and tag, which a file states so that another build refuses it."""
SHORTEST = 12
"""Fewest ticks between simplifications: SLiM begins with 20 and makes them longer, or by a sixth shorter."""
MUTATION = np.dtype(
    [
        ("tag", "<u4"), ("polymorphism", "<i4"), ("id", "<i8"), ("type", "<i4"), ("position", "<i8"), ("s", "<f4"),
        ("h", "<f4"), ("subpopulation", "<i4"), ("tick", "<i4"), ("count", "<i4"),
    ]
)  # fmt: skip


def find(path: str | None = None) -> str | None:
    """Where SLiM is: ``path`` (``--slim-path``), else ``$SLIM``, else ``slim`` on the PATH, else None.

    Raises
    ------
    InputError
        Where a path that was named is no program.
    """
    for where, chosen in (("--slim-path", path), ("$SLIM", os.environ.get("SLIM"))):
        if chosen:
            found = shutil.which(chosen)
            if found is None:
                raise InputError(where, chosen, "the path of the program slim")
            return found
    return shutil.which("slim")


def version(program: str) -> str:
    """What SLiM calls its version, as in ``5.2``."""
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"SLiM version ([^\s,]+)", told)
    if found is None:
        raise RunError(program, "it does not say that it is SLiM", "--slim-path names another program")
    return found[1]


def write(state: State, arrays: Arrays, folder: Path, form: str) -> None:
    """Write all that the model reads into ``folder``, which appears once it is complete."""
    genome = state.genome()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        write_tables(genome, temporary, form)
        with (temporary / "population").open("wb") as file:
            write_population(genome, arrays, state.n, state.h, file, form)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def chromosomes(genome: Genome, form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(id, offset, length in bp): SLiM's chromosome of each of the genome's, the place of its first base there, and
    the lengths of SLiM's chromosomes. Ids count from 1. All int64."""
    length = np.array([genome.knot_bp[last - 1] for last in genome.knot_first[1:]], np.int64)
    if form == "many":
        return np.arange(1, len(length) + 1), np.zeros(len(length), np.int64), length
    return np.ones(len(length), np.int64), np.cumsum(length) - length, length.sum(keepdims=True)


def write_tables(genome: Genome, folder: Path, form: str) -> None:
    """Write chromosomes.tsv (id, length), elements.tsv (id, start, end) and rates.tsv (id, end, rate).

    Positions count from 0 and ends are included, as SLiM has it.
    """
    ids, offset, length = chromosomes(genome, form)
    _table(folder / "chromosomes.tsv", ("id", "length"), np.unique(ids), length)

    # segments of the target end at knots of the map; where one goes on in the next, they are one element
    chrom, start = genome.target_chrom, genome.target_start
    end = start + np.diff(genome.target_cum)
    begins = np.append(True, (chrom[1:] != chrom[:-1]) | (start[1:] != end[:-1]))
    stops = np.append(begins[1:], True)
    own = chrom[begins]
    _table(
        folder / "elements.tsv", ("id", "start", "end"), ids[own], start[begins] + offset[own],
        end[stops] - 1 + offset[own],
    )  # fmt: skip

    row_id, row_end, row_rate = [], [], []
    for c in range(len(genome.chroms)):
        knots = slice(genome.knot_first[c], genome.knot_first[c + 1])
        bp = genome.knot_bp[knots]
        axis = genome.knot_axis[knots].astype(np.float64)
        width = float(genome.chrom_axis[c + 1] - genome.chrom_axis[c])
        rate = np.diff(axis) / width * genome.chrom_morgans[c] / np.diff(bp)
        if form == "one" and c > 0:
            # the step to a chromosome's first base is a stretch of its own
            row_id.append(ids[c : c + 1])
            row_end.append(offset[c : c + 1])
            row_rate.append(np.array([0.5]))
        row_id.append(np.full(len(rate), ids[c]))
        row_end.append(bp[1:] - 1 + offset[c])
        row_rate.append(rate)
    _table(folder / "rates.tsv", ("id", "end", "rate"), *map(np.concatenate, (row_id, row_end, row_rate)))


def _table(path: Path, names: Sequence[str], *columns: np.ndarray) -> None:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    lines = ["\t".join(names), *("\t".join(map(repr, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def write_population(genome: Genome, arrays: Arrays, n: int, h: float, file: IO[bytes], form: str) -> None:
    """Write a population as SLiM 5's ``outputFull(binary=T)`` does (format 8), without the mutations that are fixed."""
    ids, offset, length = chromosomes(genome, form)
    chrom, bp = genome.target_positions(arrays["mutation_site"])
    position = bp + offset[chrom]
    order = np.lexsort((position, ids[chrom]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    carried, ends = haplotypes(arrays, rank)
    count = np.bincount(carried, minlength=len(order))

    file.write(struct.pack("<IiidQ12iii", 0x12345678, _FORMAT, 8, 1234567890.0987654321, 0, *_SIZES, 1, 1) + _END)
    file.write(_SUBPOPULATION + struct.pack("<iiid", 1, n, 0, 0.0) + _END)
    file.write(b"\xff" * n + _END)  # sex: hermaphrodites
    names = np.unique(ids)
    file.write(struct.pack("<i", len(names)))
    in_order = ids[chrom][order]
    for index, (name, bases) in enumerate(zip(names.tolist(), length.tolist(), strict=True)):
        low, high = np.searchsorted(in_order, [name, name + 1]).tolist()
        here = order[low:high][count[low:high] > 0]
        number = np.full(high - low, -1, np.int64)
        number[count[low:high] > 0] = np.arange(len(here))
        file.write(struct.pack("<iiqqi", index, 0, name, bases - 1, len(here)))
        rows = np.zeros(len(here), MUTATION)
        rows["tag"] = struct.unpack("<I", _MUTATION)[0]
        rows["polymorphism"] = np.arange(len(here))
        # the id in SLiM is the mutation's number in the state
        rows["id"], rows["type"], rows["position"] = here, 1, position[here]
        rows["s"], rows["h"], rows["subpopulation"] = arrays["mutation_s"][here], h, 1
        rows["tick"], rows["count"] = 1, count[low:high][count[low:high] > 0]
        file.write(rows.tobytes() + _END)
        _write_haplosomes(file, carried, ends, low, high, number)
    file.flush()


def _write_haplosomes(
    file: IO[bytes], carried: np.ndarray, ends: np.ndarray, low: int, high: int, number: np.ndarray
) -> None:
    present = int((number >= 0).sum())
    kind = "<u2" if present <= 0xFFFE else "<i4"
    whole = low == 0 and high > carried.max(initial=-1)
    for g in range(len(ends) - 1):
        row = carried[ends[g] : ends[g + 1]]
        if not whole:
            first, last = np.searchsorted(row, [low, high])
            row = row[first:last]
        file.write(struct.pack("<ii", 2, len(row)) + number[row - low].astype(kind).tobytes())
    file.write(_END)


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
