# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine's populations as SLiM's binary population files (``outputFull(binary=T)``, format 8), and back.

Deme i is subpopulation p(i + 1). Mutations in the file have the ids 0, 1, 2, ..., so that all that SLiM gives later are
higher than any of them: it goes on from the highest id that it has read. SLiM keeps effects in single precision.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from admix.errors import RunError
from admix.genome import Genome

__all__ = [
    "FORMS",
    "MUTATION",
    "Population",
    "chromosomes",
    "haplotypes",
    "read_population",
    "single_precision",
    "write_population",
]

Arrays = dict[str, np.ndarray]

FORMS = ("one", "many")
"""One chromosome with breaks of 0.5 between what were chromosomes, or many (SLiM 5 and newer)."""
_END, _SUBPOPULATION, _MUTATION = (struct.pack("<I", 0xFFFF0000 + k) for k in range(3))
_FORMAT = 8
_MAGIC, _DOUBLE = 0x12345678, 1234567890.0987654321
_SIZES = (4, 8, 4, 4, 4, 4, 8, 4, 4, 8, 8, 8)
"""Bytes of SLiM's tick, position, object id, size, count, effect, mutation id, polymorphism id, age, pedigree id,
haplosome id and tag, which a file states so that another build refuses it."""
_AGES, _PEDIGREE = 4, 8
"""Flags of a file: ages (which a nonWF model has), and pedigree ids."""
_HEADER = "<IiidQ12iii"
_SHORT = 0xFFFE
"""Up to so many mutations a chromosome, their numbers are written in 16 bits."""
STRONGEST = float(np.nextafter(np.float32(-1.0), np.float32(0.0)))
"""In single precision the strongest effects would be -1, whose logarithm is infinite."""
MUTATION = np.dtype(
    [
        ("tag", "<u4"), ("polymorphism", "<i4"), ("id", "<i8"), ("type", "<i4"), ("position", "<i8"), ("s", "<f4"),
        ("h", "<f4"), ("subpopulation", "<i4"), ("tick", "<i4"), ("count", "<i4"),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """What a population file holds.

    Attributes
    ----------
    tick
        SLiM's tick.
    sizes
        Individuals by deme.
    mutations
        `MUTATION` records in order of chromosome and position.
    chrom : int64
        Index of the chromosome of each of them.
    carried : int32
        Haplotype by haplotype (deme by deme, 2i and 2i + 1 are individual i), rows of `mutations`, ascending.
    ends : int64
        Haplotype g has ``carried[ends[g]:ends[g + 1]]``.
    """

    tick: int
    sizes: dict[int, int]
    mutations: np.ndarray
    chrom: np.ndarray
    carried: np.ndarray
    ends: np.ndarray


def single_precision(s: np.ndarray) -> np.ndarray:
    """Effects as SLiM has them (float32), none as strong as -1."""
    return np.maximum(s, STRONGEST).astype(np.float32)


def chromosomes(genome: Genome, form: str = "many") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(id, offset, length in bp): SLiM's chromosome of each of the genome's, the place of its first base there, and
    the lengths of SLiM's chromosomes. Ids count from 1. All int64."""
    length = np.array([genome.knot_bp[last - 1] for last in genome.knot_first[1:]], np.int64)
    if form == "many":
        return np.arange(1, len(length) + 1), np.zeros(len(length), np.int64), length
    return np.ones(len(length), np.int64), np.cumsum(length) - length, length.sum(keepdims=True)


def haplotypes(
    arrays: Mapping[str, np.ndarray], rank: np.ndarray, deme: int = 0, *, fixed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Which mutations each haplotype of a deme carries.

    Parameters
    ----------
    arrays
        As `admix.engines.native.snapshot.pack_world` returns.
    rank
        int, one a mutation: the numbers to write, which also order them; negative ones are left out.
    fixed
        Whether those that are fixed in the deme count.

    Returns
    -------
    carried : int32[k]
        Ranks, ascending in each haplotype, all haplotypes in a row.
    ends : int64[2N + 1]
        Haplotype g has ``carried[ends[g]:ends[g + 1]]``.
    """
    ids, bits = arrays[f"deme{deme}_ids"], arrays[f"deme{deme}_bits"]
    rare, n_rare = arrays[f"deme{deme}_rare"], arrays[f"deme{deme}_n_rare"]
    everywhere = rank[arrays[f"deme{deme}_fixed"]] if fixed else np.zeros(0, rank.dtype)
    common_rank, rare_rank = rank[ids], rank[rare]
    starts = np.append(0, np.cumsum(n_rare, dtype=np.int64))
    rows, ends = [], np.zeros(len(n_rare) + 1, np.int64)
    for g in range(len(n_rare)):
        flags = np.unpackbits(bits[g].view(np.uint8), bitorder="little")[: len(ids)]
        parts = [common_rank[flags.view(bool)], rare_rank[starts[g] : starts[g + 1]], everywhere]
        row = np.concatenate(parts).astype(np.int32)
        row = row[row >= 0]
        row.sort()
        rows.append(row)
        ends[g + 1] = ends[g] + len(row)
    return np.concatenate(rows) if rows else np.zeros(0, np.int32), ends


def write_population(
    genome: Genome,
    arrays: Mapping[str, np.ndarray],
    demes: Sequence[int],
    file: IO[bytes],
    *,
    form: str = "many",
    h: Mapping[int, float],
    kind: np.ndarray | None = None,
    keep: np.ndarray | None = None,
    ages: bool = True,
) -> np.ndarray:
    """Write demes as a population file.

    Parameters
    ----------
    genome
        The genome.
    arrays
        Demes and mutations, as `admix.engines.native.snapshot.pack_world` returns them.
    demes
        Which demes.
    file
        Written to.
    form
        One of `FORMS`.
    h
        Dominance by mutation type.
    kind
        Mutation type of each mutation; 1 if omitted.
    keep
        Which mutations are written (bool, one a mutation), those fixed in a deme included. All that segregate if
        omitted.
    ages
        Whether individuals have ages, as in a nonWF model.

    Returns
    -------
    int64
        Rows of the table of mutations that are in the file; the one at place k has the id k there.
    """
    ids, offset, length = chromosomes(genome, form)
    chrom, bp = genome.target_positions(arrays["mutation_site"])
    position = bp + offset[chrom]
    kind = np.ones(len(position), np.int64) if kind is None else kind
    order = np.lexsort((position, ids[chrom]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    if keep is not None:
        rank = np.where(keep, rank, -1)
    demes = sorted(demes)
    parts = [haplotypes(arrays, rank, d, fixed=keep is not None) for d in demes]
    count = np.sum([np.bincount(carried, minlength=len(order)) for carried, _ in parts], axis=0)

    flags = _AGES if ages else 0
    file.write(struct.pack(_HEADER, _MAGIC, _FORMAT, 8, _DOUBLE, flags, *_SIZES, 1, 1) + _END)
    sizes = [len(arrays[f"deme{d}_n_rare"]) // 2 for d in demes]
    for d, n in zip(demes, sizes, strict=True):
        file.write(_SUBPOPULATION + struct.pack("<iiid", d + 1, n, 0, 0.0))
    file.write(_END)
    # sex (-1: hermaphrodite) and age of everybody
    file.write((b"\xff" + (b"\0\0\0\0" if ages else b"")) * sum(sizes) + _END)
    names = np.unique(ids)
    file.write(struct.pack("<i", len(names)))
    in_order = ids[chrom][order]
    written: list[np.ndarray] = []
    s = single_precision(arrays["mutation_s"])
    for index, (name, bases) in enumerate(zip(names.tolist(), length.tolist(), strict=True)):
        low, high = np.searchsorted(in_order, [name, name + 1]).tolist()
        there = count[low:high] > 0
        here = order[low:high][there]
        number = np.full(high - low, -1, np.int64)
        number[there] = np.arange(len(here))
        file.write(struct.pack("<iiqqi", index, 0, name, bases - 1, len(here)))
        rows = np.zeros(len(here), MUTATION)
        rows["tag"] = struct.unpack("<I", _MUTATION)[0]
        rows["polymorphism"] = np.arange(len(here))
        rows["id"] = np.arange(len(here)) + sum(map(len, written))
        rows["type"], rows["position"] = kind[here], position[here]
        written.append(here)
        rows["s"] = s[here]
        rows["h"] = np.array([h[k] for k in kind[here].tolist()], np.float32)
        rows["subpopulation"] = arrays["mutation_lineage"][here] + 1
        rows["tick"], rows["count"] = 1, count[low:high][there]
        file.write(rows.tobytes() + _END)
        for d, (carried, ends) in zip(demes, parts, strict=True):
            _write_haplosomes(file, d + 2, carried, ends, low, high, number)
        file.write(_END)
    file.flush()
    return np.concatenate(written)


def _write_haplosomes(
    file: IO[bytes], name: int, carried: np.ndarray, ends: np.ndarray, low: int, high: int, number: np.ndarray
) -> None:
    present = int((number >= 0).sum())
    kind = "<u2" if present <= _SHORT else "<i4"
    whole = low == 0 and high > carried.max(initial=-1)
    for g in range(len(ends) - 1):
        row = carried[ends[g] : ends[g + 1]]
        if not whole:
            first, last = np.searchsorted(row, [low, high])
            row = row[first:last]
        file.write(struct.pack("<ii", name, len(row)) + number[row - low].astype(kind).tobytes())


class _Reader:
    """Reads plain values from the bytes of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.at = 0

    def fault(self, what: str) -> RunError:
        return RunError(str(self.path), what, "SLiM 5.1 and 5.2 write files that admix reads; see admix doctor")

    def take(self, form: str) -> tuple[Any, ...]:
        try:
            values = struct.unpack_from(form, self.data, self.at)
        except struct.error:
            raise self.fault("truncated population file") from None
        self.at += struct.calcsize(form)
        return values

    def array(self, dtype: Any, n: int) -> np.ndarray:
        dtype = np.dtype(dtype)
        if self.at + n * dtype.itemsize > len(self.data):
            raise self.fault("truncated population file")
        values = np.frombuffer(self.data, dtype, n, self.at)
        self.at += n * dtype.itemsize
        return values

    def end(self) -> None:
        if self.data[self.at : self.at + 4] != _END:
            raise self.fault("damaged population file")
        self.at += 4


def read_population(path: Path) -> Population:
    """Read a population file of any number of demes, all of whose chromosomes are autosomes.

    Raises
    ------
    RunError
        If it is damaged, or has another format than 8, nucleotides, tags or places in space.
    """
    reader = _Reader(path)
    magic, version, double, value, flags, *sizes = reader.take(_HEADER)
    if (magic, version, double, value) != (_MAGIC, _FORMAT, 8, _DOUBLE) or tuple(sizes[:12]) != _SIZES:
        raise reader.fault(f"no population file of format {_FORMAT}")
    if flags & ~(_AGES | _PEDIGREE):
        raise reader.fault("a population file with more than ages and pedigree ids")
    reader.end()
    people: dict[int, int] = {}
    while reader.data[reader.at : reader.at + 4] == _SUBPOPULATION:
        reader.at += 4
        name, n, _, _ = reader.take("<iiid")
        people[name - 1] = n
    reader.end()
    reader.at += sum(people.values()) * (1 + (8 if flags & _PEDIGREE else 0) + (4 if flags & _AGES else 0))
    reader.end()
    (n_chrom,) = reader.take("<i")
    total = 2 * sum(people.values())
    found, chroms = [], []
    lists: list[list[np.ndarray]] = [[] for _ in range(total)]
    base = 0
    for index in range(n_chrom):
        reader.take("<iiqq")
        (n,) = reader.take("<i")
        rows = reader.array(MUTATION, n).copy()
        reader.end()
        order = np.lexsort((rows["id"], rows["position"]))
        place = np.empty(n, np.int64)
        place[rows["polymorphism"][order]] = np.arange(n) + base
        found.append(rows[order])
        chroms.append(np.full(n, index))
        kind = "<u2" if n <= _SHORT else "<i4"
        for g in range(total):
            _, count = reader.take("<ii")
            lists[g].append(np.sort(place[reader.array(kind, count)]).astype(np.int32))
        reader.end()
        base += n
    rows_of = [np.concatenate(parts) if parts else np.zeros(0, np.int32) for parts in lists]
    ends = np.append(0, np.cumsum([len(row) for row in rows_of])).astype(np.int64)
    carried = np.concatenate(rows_of) if rows_of else np.zeros(0, np.int32)
    return Population(
        tick=int(sizes[12]), sizes=people, mutations=np.concatenate(found), chrom=np.concatenate(chroms),
        carried=carried, ends=ends,
    )  # fmt: skip
