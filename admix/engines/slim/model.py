# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that ``admix.slim`` reads: genome, effects, sizes, cohorts, and what is to be written when.

Tables are tab-separated with a header. Positions count from 0 and ends are included, as SLiM has it; demes, sources
and ticks are numbered as in the schedule. SLiM can't read a table without rows, so an empty one has a row of -1
(with a tick that never comes).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from admix.base_axis import base_axis
from admix.engines.native.tables import Tables
from admix.engines.native.world import Cohort, Group
from admix.engines.slim.population import chromosomes
from admix.genome import Genome

__all__ = ["SCRIPT", "Block", "Effects", "Model", "blocks_of", "effects_of", "regroup", "write_genome", "write_model"]

SCRIPT = Path(__file__).with_name("admix.slim")
_NEVER = -(10**9)
_STEPS = 64
"""Dominance that depends on s without end is rounded to so many steps of its range: a mutation type each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Mutation types of new mutations: type k + 1 has dominance ``h[k]``, the bins ``first[k]`` to ``last[k]``
    (inclusive) of the table of effects, and the share ``weight[k]`` of all mutations."""

    h: np.ndarray
    weight: np.ndarray
    first: np.ndarray
    last: np.ndarray
    s_nodes: np.ndarray

    @property
    def by_type(self) -> dict[int, float]:
        """Dominance by mutation type."""
        return {k + 1: float(h) for k, h in enumerate(self.h)}

    def type_of(self, s: np.ndarray) -> np.ndarray:
        """Mutation type of each selection coefficient."""
        lows = -self.s_nodes[self.first]  # ascending costs at which the types begin
        return np.maximum(np.searchsorted(lows, -np.asarray(s), side="right"), 1).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``n`` children in a row: the first gamete from deme `a`, the second from `b`, and the source as whose they are
    marked (-1: as inherited)."""

    n: int
    a: int
    b: int
    mark_a: int = -1
    mark_b: int = -1


@dataclass(slots=True, kw_only=True)
class Model:
    """What one run of the script simulates and writes; ticks and demes are the schedule's.

    Attributes
    ----------
    start, last
        Tick of the population that is given, and the last one.
    sizes
        (tick, deme, individuals) wherever a size differs from the tick before; 0: the deme is no more.
    cohorts
        Blocks by (tick, deme), where a cohort is more than the deme's own children.
    sources
        Demes whose ancestry is marked.
    recipients
        (source's number, deme, first tick) of the rows of ancestry.
    flags
        (tick, source's number, source deme, other deme): what the source carries and none of the others is the
        source's.
    events
        (tick, what, deme): ``people``, ``census``, ``spread``, ``landscape``, ``load`` or ``state``.
    samples
        (tick, deme, individual).
    parents_from
        Tick from which parents are written.
    trees
        Whether genealogies are recorded.
    selected
        False in the neutral twin.
    mutation_rate
        Selected mutations per base of the target and generation.
    report_every
        Ticks between rows of fitness and lines of progress.
    save_every
        Ticks between saves, 0 for none; the numbers that are drawn depend on it.
    """

    start: int
    last: int
    mutation_rate: float
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    cohorts: dict[tuple[int, int], list[Block]] = field(default_factory=dict)
    sources: tuple[int, ...] = ()
    recipients: list[tuple[int, int, int]] = field(default_factory=list)
    flags: list[tuple[int, int, int, int]] = field(default_factory=list)
    events: list[tuple[int, str, int]] = field(default_factory=list)
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    parents_from: int | None = None
    trees: bool = False
    selected: bool = True
    report_every: int = 1
    save_every: int = 0

    def constants(self, folder: Path, out: Path, save: tuple[Path, int] | None = None) -> dict[str, str]:
        """The constants of the script, as Eidos; ``save`` is a file to go on from, and its seed."""
        return {
            "FOLDER": _quoted(f"{folder}/"),
            "OUT": _quoted(f"{out}/"),
            "START": str(self.start),
            "LAST": str(self.last),
            "MU": repr(float(self.mutation_rate if self.selected else 0.0)),
            "SELECTED": "T" if self.selected else "F",
            "PARENTS": str(10**9 if self.parents_from is None else self.parents_from),
            "TREES": "T" if self.trees else "F",
            "REPORT": str(self.report_every),
            "RUNS": "0",
            "SAVE": str(self.save_every),
            "RESUME": _quoted(str(save[0]) if save else ""),
            "SEED": str(save[1] if save else 0),
        }


def effects_of(tables: Tables) -> Effects:
    """Return the mutation types of a table of effects: one for each stretch of bins with one dominance."""
    h = np.asarray(tables.h_bins)
    if len(np.unique(h)) > _STEPS:
        step = (h.max() - h.min()) / _STEPS
        label = np.minimum(np.floor((h - h.min()) / step), _STEPS - 1)
    else:
        label = h
    starts = np.flatnonzero(np.append(True, label[1:] != label[:-1]))
    ends = np.append(starts[1:], len(h))
    return Effects(
        h=np.array([np.float32(h[a:b].mean()) for a, b in zip(starts, ends, strict=True)], np.float64),
        weight=(ends - starts) / len(h),
        first=starts,
        last=ends - 1,
        s_nodes=np.asarray(tables.s_nodes),
    )


def blocks_of(cohort: Cohort, deme: int) -> list[Block] | None:
    """Return a cohort as blocks of like children; None where all are the deme's own.

    Children are put into another order: see `regroup`.
    """
    order, kinds = _kinds(cohort)
    group = cohort.groups
    blocks = []
    for (first, second), n in _runs(kinds[order]):
        a, b = group[first], group[second]
        blocks.append(Block(n=n, a=a.source, b=b.source, mark_a=a.plane, mark_b=b.plane))
    plain = len(blocks) == 1 and blocks[0] == Block(n=cohort.n, a=deme, b=deme)
    return None if plain else blocks


def regroup(cohort: Cohort) -> Cohort:
    """Return the cohort with its children in the order of `blocks_of`."""
    order, _ = _kinds(cohort)
    place = np.empty(cohort.n, np.int64)
    place[order] = np.arange(cohort.n)
    groups = [Group(g.source, np.sort(2 * place[g.rows >> 1] + (g.rows & 1)), g.plane, g.pulse) for g in cohort.groups]
    return Cohort(cohort.n, groups)


def _kinds(cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Order of the children by the groups of their gametes, and these, int64[n, 2]."""
    of = np.full(2 * cohort.n, -1, np.int64)
    for k, group in enumerate(cohort.groups):
        of[group.rows] = k
    kinds = of.reshape(-1, 2)
    return np.lexsort((kinds[:, 1], kinds[:, 0])), kinds


def _runs(kinds: np.ndarray) -> list[tuple[tuple[int, int], int]]:
    found: list[tuple[tuple[int, int], int]] = []
    starts = np.flatnonzero(np.append(True, (kinds[1:] != kinds[:-1]).any(axis=1)))
    for a, b in zip(starts.tolist(), np.append(starts[1:], len(kinds)).tolist(), strict=True):
        found.append(((int(kinds[a, 0]), int(kinds[a, 1])), b - a))
    return found


def write_genome(genome: Genome, folder: Path, form: str = "many") -> None:
    """Write chromosomes.tsv, elements.tsv and rates.tsv."""
    ids, offset, length = chromosomes(genome, form)
    names = [f"chr{name}" for name in genome.chroms] if form == "many" else ["genome"]
    _table(folder / "chromosomes.tsv", ("id", "length", "name"), np.unique(ids), length, names)

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


def write_model(genome: Genome, effects: Effects, model: Model, folder: Path) -> None:
    """Write all tables of a run into a folder that exists; the population file is written apart."""
    write_genome(genome, folder)
    ids = np.arange(1, len(effects.h) + 1)
    _table(
        folder / "effects.tsv", ("id", "h", "weight", "first", "last"), ids, effects.h, effects.weight, effects.first,
        effects.last,
    )  # fmt: skip
    # in single precision an effect of -1 has no logarithm
    _table(folder / "bins.tsv", ("s",), np.maximum(effects.s_nodes, -1.0 + 1e-7))
    _table(folder / "sources.tsv", ("deme",), list(model.sources) or [-1])
    axis = base_axis(genome)
    ids, offset, _ = chromosomes(genome)
    _table(
        folder / "markers.tsv", ("id", "position", "weight", "functional", "far"), ids[axis.marker_chrom],
        axis.marker_bp + offset[axis.marker_chrom], genome.marker_weight, genome.marker_functional.astype(int),
        genome.marker_far.astype(int),
    )  # fmt: skip
    cohorts = [
        (tick, deme, b.n, b.a, b.b, b.mark_a, b.mark_b)
        for (tick, deme), blocks in sorted(model.cohorts.items())
        for b in blocks
    ]
    for name, columns, rows in (
        ("sizes", ("tick", "deme", "n"), model.sizes),
        ("cohorts", ("tick", "deme", "n", "a", "b", "mark_a", "mark_b"), cohorts),
        ("recipients", ("source", "deme", "tick"), model.recipients),
        ("flags", ("tick", "source", "deme", "there"), model.flags),
        ("events", ("tick", "what", "deme"), sorted(set(model.events))),
        ("samples", ("tick", "deme", "individual"), model.samples),
    ):
        empty = {"what": "none", "tick": _NEVER}
        lines: Sequence[tuple[object, ...]] = rows or [tuple(empty.get(c, -1) for c in columns)]
        _table(folder / f"{name}.tsv", columns, *zip(*lines, strict=True))


def _table(path: Path, names: Sequence[str], *columns: Iterable[object]) -> None:
    plain = [column.tolist() if isinstance(column, np.ndarray) else list(column) for column in columns]
    lines = ["\t".join(names)]
    lines += ["\t".join(v if isinstance(v, str) else repr(v) for v in row) for row in zip(*plain, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _quoted(text: str) -> str:
    """An Eidos string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def size_changes(sizes: Mapping[int, Mapping[int, int]]) -> list[tuple[int, int, int]]:
    """(tick, deme, individuals) wherever a size differs from the tick before, from sizes by tick and deme."""
    rows: list[tuple[int, int, int]] = []
    now: dict[int, int] = {}
    for tick in sorted(sizes):
        here = sizes[tick]
        for deme in sorted(set(now) | set(here)):
            n = int(here.get(deme, 0))
            if now.get(deme, 0) != n:
                rows.append((tick, deme, n))
        now = {d: int(n) for d, n in here.items()}
    return rows


def number(text: str) -> float:
    """Return a number as Eidos writes it."""
    return {"NAN": math.nan, "INF": math.inf, "-INF": -math.inf}.get(text.strip()) or float(text)
