# SPDX-License-Identifier: GPL-3.0-or-later
"""Genotypes and ancestry of the sampled people in formats that other programs read: VCF, and arrays of labels.

Both are by sampled individual in the order and under the names of `admix.trees.sample_names`, haplotype 0 before
haplotype 1, so that the rows of the labels are the columns of the genotypes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import tskit

import admix
from admix.errors import InputError, RunError
from admix.genome_layout import Int64
from admix.tree_formats import slim_metadata
from admix.trees import mutations, sample_names

__all__ = ["AncestryLabels", "VcfSummary", "ancestry_labels", "sample_nodes", "write_labels", "write_vcf"]

_LETTERS = "ACGT"
_BLOCK = 65_280  # of uncompressed bytes in a BGZF block, as bgzip has it
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_TRACTS = ("chrom", "start", "end", "source", "sample", "haplotype")


@dataclass(frozen=True, slots=True, kw_only=True)
class VcfSummary:
    """What was written: `sites` records, and how many sites were left out as they have more than four alleles."""

    path: Path
    sites: int
    left_out: int


def write_vcf(ts: tskit.TreeSequence, path: str | Path, chrom: str) -> VcfSummary:
    """Write the phased genotypes of the sampled individuals as VCF 4.3.

    POS is one-based, as VCF wants it: base b of the tree sequence is POS b + 1. REF is the ancestral state.

    Alleles are letters. Where they are none in the tree sequence (SLiM's are lists of mutation ids, the ancestral
    one is empty), they are given by a fixed rule that has no meaning: REF of base b is letter b modulo 4 of ACGT,
    and the other alleles of the site get the letters that follow it, in order of their first occurrence in the
    mutation table. INFO says what each is: MID the mutation ids on it (joined by ``&``), S the sum of the selection
    coefficients, MT their mutation types (1 new, 2 standing, 3 neutral; joined by ``&``). A site with more than
    four alleles is left out and counted. A site at which nobody carries a mutation is no record.

    Parameters
    ----------
    ts
        Tree sequence with diploid samples.
    path
        ``.vcf``, or ``.vcf.gz`` for BGZF, which gzip reads and tabix and bcftools can index. It is written under
        a temporary name first.
    chrom
        Name of the chromosome, for the CHROM column and the contig line.

    Raises
    ------
    InputError
        If `path` has another ending.
    RunError
        If an individual is not diploid, genotypes are missing, or the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith((".vcf", ".vcf.gz")):
        raise InputError("VCF file", str(path), "a name that ends in .vcf or .vcf.gz")
    names, nodes = sample_names(ts), sample_nodes(ts)
    coded = any(state not in _LETTERS or not state for state in {site.ancestral_state for site in ts.sites()})
    described = _Described(ts) if coded and slim_metadata(ts) is not None else None
    sites = left_out = 0
    line = np.full(4 * len(names), ord("\t"), np.uint8)
    line[1::4] = ord("|")
    with _replacing(path) as handle:
        out = _Bgzf(handle) if path.suffix == ".gz" else handle
        out.write(_header(chrom, int(ts.sequence_length), names).encode())
        for variant in ts.variants(samples=nodes.ravel()):
            if variant.has_missing_data:
                what = f"genotypes are missing at {int(variant.site.position):,} bp"
                raise RunError("tree sequence", what, "give trees that reach a root everywhere")
            present = np.unique(variant.genotypes)
            if len(present) == 1 and variant.alleles[present[0]] == variant.site.ancestral_state:
                continue
            # allele 0 is the ancestral one; the others are those that somebody has
            states = [variant.site.ancestral_state]
            states += [variant.alleles[k] for k in present if variant.alleles[k] != states[0]]
            if len(states) > len(_LETTERS):
                left_out += 1
                continue
            number = {state: k for k, state in enumerate(states)}
            code = np.array([number.get(state, 0) for state in variant.alleles], dtype=np.uint8) + ord("0")
            called = code[variant.genotypes]
            line[0::4], line[2::4] = called[0::2], called[1::2]
            base = int(variant.site.position)
            letters, info = _alleles(states, base, described, called)
            fields = (chrom, str(base + 1), ".", letters[0], ",".join(letters[1:]), ".", "PASS", info, "GT")
            out.write("\t".join(fields).encode() + b"\t" + line[:-1].tobytes() + b"\n")
            sites += 1
        if isinstance(out, _Bgzf):
            out.finish()
    return VcfSummary(path=path, sites=sites, left_out=left_out)


def sample_nodes(ts: tskit.TreeSequence) -> np.ndarray:
    """Return the nodes of the sampled individuals, int32 of shape (individuals, 2).

    Raises
    ------
    RunError
        If a sampled individual has not got two sample nodes.
    """
    samples = ts.samples()
    owner = ts.nodes_individual[samples]
    order = np.argsort(owner, kind="stable")
    count = np.unique(owner, return_counts=True)[1]
    if len(samples) == 0 or owner.min() < 0 or np.any(count != 2):
        raise RunError("tree sequence", "sampled individuals that are not diploid", "sample both haplotypes of each")
    return samples[order].reshape(-1, 2).astype(np.int32)


class _Described:
    """What the mutations of a tree sequence are, by id."""

    def __init__(self, ts: tskit.TreeSequence) -> None:
        found = mutations(ts)
        order = np.argsort(found.id, kind="stable")
        self._id, self._s, self._type = found.id[order], found.s[order], found.type[order]

    def info(self, state: str) -> tuple[str, str, str]:
        """Ids, sum of the selection coefficients and types of an allele."""
        at = np.searchsorted(self._id, [int(number) for number in state.split(",")])
        types = "&".join(str(kind) for kind in self._type[at])
        return state.replace(",", "&"), f"{float(self._s[at].sum()):.6g}", types


def _alleles(states: list[str], base: int, described: _Described | None, called: np.ndarray) -> tuple[list[str], str]:
    """Letters and INFO of the alleles of a site, the ancestral one first."""
    count = [int((called == ord("0") + k).sum()) for k in range(1, len(states))]
    info = f"AC={','.join(map(str, count))};AN={len(called)}"
    if all(len(state) == 1 and state in _LETTERS for state in states):
        return states, info
    letters = [_LETTERS[(base + k) % len(_LETTERS)] for k in range(len(states))]
    if described is not None and all(state for state in states[1:]):
        ids, effects, types = zip(*(described.info(state) for state in states[1:]), strict=True)
        info += f";MID={','.join(ids)};S={','.join(effects)};MT={','.join(types)}"
    return letters, info


def _header(chrom: str, length: int, names: Sequence[str]) -> str:
    lines = [
        "##fileformat=VCFv4.3",
        f"##source=admix {admix.__version__}",
        '##FILTER=<ID=PASS,Description="All filters passed">',
        f"##contig=<ID={chrom},length={length}>",
        '##INFO=<ID=AC,Number=A,Type=Integer,Description="Allele count in genotypes">',
        '##INFO=<ID=AN,Number=1,Type=Integer,Description="Number of alleles in genotypes">',
        '##INFO=<ID=MID,Number=A,Type=String,Description="Ids of the mutations on the allele, joined by &">',
        '##INFO=<ID=S,Number=A,Type=Float,Description="Sum of the selection coefficients of the mutations on it">',
        '##INFO=<ID=MT,Number=A,Type=String,Description="Types of the mutations: 1 new, 2 standing, 3 neutral">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Phased genotype; letters of alleles have no meaning">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names]),
    ]
    return "\n".join(lines) + "\n"


class _Bgzf:
    """A stream of gzip blocks whose length is written in each, so that readers can jump to any of them.

    The format is that of the SAM specification, section 4.1. Python's gzip would make one block without lengths,
    which tabix refuses.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        """Take in `data`, and write out what fills blocks."""
        self._waiting += data
        while len(self._waiting) >= _BLOCK:
            self._block(bytes(self._waiting[:_BLOCK]))
            del self._waiting[:_BLOCK]

    def finish(self) -> None:
        """Write the rest, and the empty block that marks the end."""
        if self._waiting:
            self._block(bytes(self._waiting))
        self._handle.write(_END)

    def _block(self, data: bytes) -> None:
        squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = squeeze.compress(data) + squeeze.flush()
        start = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(body) + 25)
        self._handle.write(start + body + struct.pack("<II", zlib.crc32(data), len(data)))


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when all is written."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise RunError(str(path), what, "make room, or choose another place") from error
    finally:
        with suppress(OSError):
            partial.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class AncestryLabels:
    """Ancestry of each sampled haplotype at points along the genome.

    Attributes
    ----------
    labels : int8[haplotypes, points]
        0 native, k ancestry of ``sources[k - 1]``. Row ``2 i + h`` is haplotype h of individual i.
    chrom : int16[points]
        Index into `chroms`.
    position : int64[points]
        Base at which the label holds, 0-based: the middle of each step.
    chroms, sources, samples
        Names of chromosomes, of sources, and of the individuals.
    step : int
        Distance between points, bp.
    """

    labels: np.ndarray
    chrom: np.ndarray
    position: Int64
    chroms: tuple[str, ...]
    sources: tuple[str, ...]
    samples: tuple[str, ...]
    step: int


def ancestry_labels(
    tracts: pd.DataFrame,
    *,
    lengths: dict[str, int],
    samples: Sequence[str],
    sources: Sequence[str],
    step: int,
) -> AncestryLabels:
    """Return the labels of a table of tracts on a grid.

    Parameters
    ----------
    tracts
        Columns chrom, start, end (bp, 0-based, half-open), source, sample, haplotype (0 or 1); tracts of a
        haplotype do not overlap.
    lengths
        Chromosomes wanted, in order, and their lengths in bp. Tracts elsewhere are left out.
    samples
        All individuals, in order (`admix.trees.sample_names`), also those without any tract.
    sources
        All sources, in order.
    step
        Distance between points, bp. The last step of a chromosome is shorter, and its point in its middle too.

    Raises
    ------
    InputError
        If a column is missing, a sample, source or haplotype is unknown, or tracts are empty or overlap.
    """
    missing = [name for name in _TRACTS if name not in tracts.columns]
    if missing:
        raise InputError("tract table", list(tracts.columns), f"columns {', '.join(_TRACTS)}")
    if isinstance(step, bool) or step < 1:
        raise InputError("step", step, "a whole number of bp, at least 1")
    if len(sources) > np.iinfo(np.int8).max:
        raise InputError("sources", len(sources), f"at most {np.iinfo(np.int8).max}")
    chroms = tuple(lengths)
    table = tracts[tracts["chrom"].astype(str).isin(chroms)]
    chrom = _numbers(table["chrom"].astype(str), chroms, "chrom")
    source = _numbers(table["source"].astype(str), sources, "source") + 1
    row = 2 * _numbers(table["sample"].astype(str), samples, "sample")
    row += _numbers(table["haplotype"].astype(str), ("0", "1"), "haplotype")
    start, end = table["start"].to_numpy(np.int64), table["end"].to_numpy(np.int64)
    size = np.array([lengths[name] for name in chroms], dtype=np.int64)
    wrong = (start < 0) | (end <= start) | (end > size[chrom])
    if np.any(wrong):
        k = int(np.argmax(wrong))
        raise InputError(f"tract table: row {k}", [int(start[k]), int(end[k])], "an interval inside its chromosome")

    points, first = [], [0]
    for length in size.tolist():
        left = np.arange(0, length, step)
        points.append((left + np.minimum(left + step, length)) // 2)
        first.append(first[-1] + len(left))
    labels = np.zeros((2 * len(samples), first[-1]), dtype=np.int16)
    order = np.lexsort((start, row, chrom))
    same = (chrom[order][1:] == chrom[order][:-1]) & (row[order][1:] == row[order][:-1])
    if np.any(same & (start[order][1:] < end[order][:-1])):
        k = int(order[1:][np.argmax(same & (start[order][1:] < end[order][:-1]))])
        raise InputError(f"tract table: row {k}", [int(start[k]), int(end[k])], "tracts of a haplotype without overlap")
    # the label goes up by the source where a tract begins, and down again where it ends
    change = np.zeros((2 * len(samples), first[-1] + 1), dtype=np.int16)
    for k in range(len(chroms)):
        here = chrom == k
        for place, sign in ((start, 1), (end, -1)):
            at = first[k] + np.searchsorted(points[k], place[here], side="left")
            np.add.at(change, (row[here], at), sign * source[here].astype(np.int16))
    labels = np.cumsum(change[:, :-1], axis=1, dtype=np.int16).astype(np.int8)
    return AncestryLabels(
        labels=labels,
        chrom=np.repeat(np.arange(len(chroms), dtype=np.int16), np.diff(first)),
        position=np.concatenate(points) if points else np.zeros(0, np.int64),
        chroms=chroms,
        sources=tuple(sources),
        samples=tuple(samples),
        step=int(step),
    )


def _numbers(values: pd.Series, known: Sequence[str], column: str) -> Int64:
    """The index of each value among the known ones."""
    index = pd.Index([str(name) for name in known])
    found = index.get_indexer(pd.Index(values))
    if np.any(found < 0):
        bad = values.iloc[int(np.argmax(found < 0))]
        raise InputError(f"tract table: {column}", bad, f"one of {', '.join(map(str, known[:10]))}")
    return np.asarray(found, dtype=np.int64)


def write_labels(labels: AncestryLabels, path: str | Path) -> Path:
    """Write labels as a compressed ``.npz`` with the arrays of `AncestryLabels` (names as text, `step` as a number).

    Raises
    ------
    InputError
        If `path` has another ending.
    RunError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError("label file", str(path), "a name that ends in .npz")
    with _replacing(path) as handle:
        np.savez_compressed(
            handle,
            labels=labels.labels,
            chrom=labels.chrom,
            position=labels.position,
            chroms=np.array(labels.chroms, dtype=np.str_),
            sources=np.array(labels.sources, dtype=np.str_),
            samples=np.array(labels.samples, dtype=np.str_),
            step=np.int64(labels.step),
        )
    return path
