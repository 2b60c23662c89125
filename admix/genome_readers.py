# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of recombination maps and functional elements; every complaint names file and line.

What they return is 0-based and half-open, in bp. Files are read by a fast tokeniser; only when something
is wrong are they read again, line by line, to find out where.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from admix.errors import InputError, nearest
from admix.genome_layout import MAX_BP, Elements, merge

__all__ = [
    "MapPoints",
    "WindowTable",
    "choose_chromosomes",
    "chromosome_lengths",
    "chromosome_names",
    "read_elements",
    "read_map",
    "read_window_table",
]

AnyPath = str | PathLike[str]
MAP_FORMATS = ("hapmap", "plink")
ELEMENTS_FORMATS = ("bed", "gff3")

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
MAX_UNPACKED = 64_000_000
"""Bytes of text that a packed file may hold beyond a hundred times its size, and that a pipe may give."""
_CHROM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.*:+-]{0,63}")
_NOT_DATA = re.compile(rb"^(?:#.*|track\b.*|browser\b.*|[ \t\f\v]+)$", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HAPMAP_COLUMNS = {
    "chrom": ("chromosome", "chrom", "chr"),
    "bp": ("position(bp)", "position", "pos", "bp"),
    "cM": ("map(cm)", "cm", "genetic_map(cm)"),
    "rate": ("rate(cm/mb)", "rate", "combined_rate(cm/mb)"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPoints:
    """Points of a recombination map in order of chromosome and position; arrays of one length.

    Attributes
    ----------
    chroms
        Chromosome names in the order of the file.
    chrom
        Index into `chroms`, int32.
    bp
        Position, 0-based bp, int64, strictly increasing on a chromosome.
    cm
        Genetic position, cM, float64, non-decreasing on a chromosome.
    """

    chroms: tuple[str, ...]
    chrom: NDArray[np.int32]
    bp: NDArray[np.int64]
    cm: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTable:
    """The shipped table of windows; arrays of one length, in order of chromosome and position.

    Attributes
    ----------
    chroms, chrom
        Names, and the index of each window's chromosome in them (int32).
    start, end
        Window, 0-based half-open bp, int64.
    cm_start, cm_end
        Genetic position of the edges, cM from the start of the chromosome, float64.
    elements
        For each target, the number of elements that start in the window and the functional bp, int64.
    gap_bp
        Bases without known sequence, int64.
    b
        McVicker's B, float64, NaN where unknown.
    """

    chroms: tuple[str, ...]
    chrom: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    cm_start: NDArray[np.float64]
    cm_end: NDArray[np.float64]
    elements: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
    gap_bp: NDArray[np.int64]
    b: NDArray[np.float64]


def read_window_table(path: AnyPath) -> WindowTable:
    """Read the shipped table (tab-separated, with a header, nothing for an unknown B)."""
    header, *rows = _content(path).decode().splitlines()
    columns = dict(zip(header.split("\t"), zip(*(row.split("\t") for row in rows), strict=True), strict=True))

    def whole(name: str) -> NDArray[np.int64]:
        return np.array(list(map(int, columns[name])), dtype=np.int64)

    def real(name: str) -> NDArray[np.float64]:
        return np.array([float(text) if text not in ("", "NA") else np.nan for text in columns[name]])

    chroms = tuple(dict.fromkeys(columns["chrom"]))
    index = {name: i for i, name in enumerate(chroms)}
    return WindowTable(
        chroms=chroms,
        chrom=np.array([index[name] for name in columns["chrom"]], dtype=np.int32),
        start=whole("start"),
        end=whole("end"),
        cm_start=real("cM_start"),
        cm_end=real("cM_end"),
        elements={"exons": (whole("exon_n"), whole("exon_bp")), "cds": (whole("cds_n"), whole("cds_bp"))},
        gap_bp=whole("gap_bp"),
        b=real("B"),
    )


def read_map(path: AnyPath, map_format: str = "hapmap", lengths: Mapping[str, int] | None = None) -> MapPoints:
    """Read a recombination map.

    Parameters
    ----------
    path
        The file; ``.gz``, ``.xz`` and ``.bz2`` are unpacked.
    map_format
        ``hapmap``: a header line names the columns for chromosome (``Chromosome``, ``chr``), position
        (``Position(bp)``, ``pos``; 1-based), genetic position (``Map(cM)``, ``cM``) and, if there, rate
        (``Rate(cM/Mb)``), in any order. ``plink``: chromosome, name, cM, bp (1-based), without header.
        In both, columns are parted by blanks, and the cM column is what is used.
    lengths
        Length of each chromosome, bp; those not in it are not checked.

    Raises
    ------
    InputError
        See `admix.genome.from_files`.
    """
    _choice("map_format", map_format, MAP_FORMATS)
    source = _Source(path)
    if map_format == "plink":
        layout, header = {"chrom": 0, "cM": 2, "bp": 3}, 0
    else:
        layout, header = _hapmap_layout(source), 1
    kinds = {"chrom": "name", "bp": "integer", "cM": "number", "rate": "number"}
    column = source.columns({name: (at, kinds[name]) for name, at in layout.items()}, header)
    chroms, chrom = _chromosomes(column["chrom"])
    # they become names of files
    fit = np.array([_CHROM_NAME.fullmatch(name) is not None for name in chroms])
    source.require(fit[chrom], column["chrom"], "a chromosome's name: up to 64 letters, digits, _ . * : + and -")
    bp, cm = column["bp"], column["cM"]

    limit = np.array([(lengths or {}).get(name, MAX_BP) for name in chroms], dtype=np.int64)
    source.require((bp >= 1) & (bp <= limit[chrom]), bp, "a position from 1 to the length of the chromosome")
    for name in sorted({"cM", "rate"} & set(column)):
        values = column[name]
        source.require(np.isfinite(values) & (values >= 0), values, f"a {name} of 0 or more")
    new = np.diff(chrom, prepend=-1) != 0
    rule = "a sorted map, all points of a chromosome together"
    source.require(_first_run(chrom, new), column["chrom"], rule)
    source.require(new | (np.diff(bp, prepend=0) != 0), bp, "one point at a position")
    source.require(new | (np.diff(bp, prepend=0) > 0), bp, "a sorted map, points in order of position")
    source.require(new | (np.diff(cm, prepend=0) >= 0), cm, "cM that never decrease along a chromosome")
    return MapPoints(chroms=chroms, chrom=chrom, bp=bp - 1, cm=cm)


def read_elements(
    path: AnyPath,
    elements_format: str,
    feature: str,
    chroms: Sequence[str],
    lengths: Mapping[str, int] | None = None,
    skip_others: bool = False,
) -> Elements:
    """Read intervals, merging those that overlap or touch.

    Parameters
    ----------
    path
        The file; ``.gz``, ``.xz`` and ``.bz2`` are unpacked.
    elements_format
        ``bed``: 0-based, half-open, sorted. ``gff3``: 1-based, closed, in any order (the format lists
        exons gene by gene); reading ends at ``##FASTA``.
    feature
        Type of the GFF3 lines wanted, such as ``exon`` or ``CDS``.
    chroms
        The chromosomes wanted.
    lengths
        Length of each chromosome, bp; those not in it are not checked.
    skip_others
        Leave out elements on other chromosomes; otherwise they are an error.

    Raises
    ------
    InputError
        See `admix.genome.from_files`.
    """
    _choice("elements_format", elements_format, ELEMENTS_FORMATS)
    source = _Source(path)
    layout = {"chrom": (0, "name"), "start": (1, "integer"), "end": (2, "integer")}
    first, rule = 0, "a half-open interval, 0 <= start < end <= length of the chromosome"
    if elements_format == "gff3":
        layout = {"chrom": (0, "name"), "type": (2, "name"), "start": (3, "integer"), "end": (4, "integer")}
        first, rule = 1, "a closed interval, 1 <= start <= end <= length of the chromosome"
    column = source.columns(layout, separator="\t" if elements_format == "gff3" else None)
    if elements_format == "gff3":
        wanted = column["type"] == feature
        if not np.any(wanted):
            seen = sorted(set(column["type"].tolist()))
            raise InputError(f"{source.name}, feature", feature, "a type in the file", nearest(feature, seen))
        column = {name: values[wanted] for name, values in column.items()}
        source.keep(wanted)
    start, end = column["start"] - first, column["end"]
    names, own = _chromosomes(column["chrom"])

    def interval(row: int) -> str:
        return f"{column['start'][row]}-{column['end'][row]}"

    known = np.array([name in chroms for name in names])[own]
    if not skip_others:
        source.require(known, column["chrom"], f"elements on chromosomes of the map ({', '.join(chroms)})")
    limit = np.array([(lengths or {}).get(name, MAX_BP) for name in names], dtype=np.int64)
    source.require(~known | ((start >= 0) & (start < end) & (end <= limit[own])), interval, rule)
    if elements_format == "bed":
        new = np.diff(own, prepend=-1) != 0
        rule = "a sorted file, all elements of a chromosome together"
        source.require(_first_run(own, new), column["chrom"], rule)
        rule = "a sorted file, elements in order of their start"
        source.require(new | (np.diff(start, prepend=0) >= 0), interval, rule)
    index = np.array([chroms.index(name) if name in chroms else -1 for name in names], dtype=np.int32)
    return merge(index[own[known]], start[known], end[known])


def chromosome_names(wanted: Sequence[str] | None) -> tuple[str, ...] | None:
    """Plain names of the chromosomes a person asked for; None, for all, stays None.

    Raises
    ------
    InputError
        If they are no list of names, or there is none, or one is named twice.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str) or not all(isinstance(name, str) for name in wanted) or len(wanted) == 0:
        raise InputError("chromosomes", wanted, "a list of chromosome names, at least one")
    names = tuple(_plain(name) for name in wanted)
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InputError("chromosomes", wanted[i], "each chromosome once")
    return names


def choose_chromosomes(available: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Chromosomes wanted, in the order of `available`; all of them if `wanted` is None.

    Raises
    ------
    InputError
        As `chromosome_names`, and for a name that is not available.
    """
    names = chromosome_names(wanted)
    for name in names or ():
        if name not in available:
            rule = f"names among {', '.join(available)}"
            raise InputError("chromosomes", name, rule, nearest(name, available))
    return tuple(name for name in available if names is None or name in names)


def chromosome_lengths(given: Mapping[str, int] | AnyPath | None) -> dict[str, int]:
    """Lengths (bp) by plain chromosome name, from a mapping or a ``chrom.sizes`` or ``.fai`` file."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for name, length in given.items():
            whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
            if not whole or not 1 <= length < MAX_BP:
                raise InputError(f"chromosome_lengths.{name}", length, "a whole number of bp, at least 1")
        return {_plain(str(name)): int(length) for name, length in given.items()}
    source = _Source(given)
    column = source.columns({"chrom": (0, "name"), "length": (1, "integer")})
    lengths = column["length"]
    source.require((lengths >= 1) & (lengths < MAX_BP), lengths, "a length of at least 1 bp")
    return dict(zip(map(_plain, column["chrom"].tolist()), lengths.tolist(), strict=True))


def _plain(name: str) -> str:
    return name[3:] if name[:3].lower() == "chr" and len(name) > 3 else name


def _choice(where: str, given: str, options: tuple[str, ...]) -> None:
    if given not in options:
        raise InputError(where, given, f"one of {', '.join(options)}", nearest(str(given), options))


def _chromosomes(names: NDArray[np.object_]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Plain names in order of appearance, and the index of each row's name in them."""
    import pandas as pd

    codes, found = pd.factorize(names)
    plain = [_plain(str(name)) for name in found]
    chroms = tuple(dict.fromkeys(plain))
    translate = np.array([chroms.index(name) for name in plain] or [0], dtype=np.int32)
    return chroms, translate[codes]


def _first_run(chrom: NDArray[np.int32], new: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """False where a run of rows starts (`new`) on a chromosome that had a run before."""
    good = np.ones(len(chrom), dtype=bool)
    starts = np.flatnonzero(new)
    _, first = np.unique(chrom[starts], return_index=True)
    good[np.delete(starts, first)] = False
    return good


def _hapmap_layout(source: _Source) -> dict[str, int]:
    for number, fields in source.rows():
        lower = [field.lower() for field in fields]
        layout = {}
        for name, spellings in _HAPMAP_COLUMNS.items():
            at = [i for i, field in enumerate(lower) if field in spellings]
            if at:
                layout[name] = at[0]
        missing = [name for name in ("chrom", "bp", "cM") if name not in layout]
        if missing:
            rule = "a header with chromosome, position and cM: Chromosome Position(bp) Rate(cM/Mb) Map(cM)"
            raise InputError(f"{source.name}:{number}", " ".join(fields), rule)
        return layout
    raise InputError(source.name, "no line with content", "a header and the points of the map")


def _content(path: AnyPath) -> bytes:
    opener = _OPENERS.get(Path(fspath(path)).suffix, open)
    try:
        with opener(path, "rb") as stream:
            status = os.stat(path)
            regular = stat.S_ISREG(status.st_mode)
            # a few bytes can unpack to all of the memory, and a device never ends
            most = status.st_size if regular and opener is open else MAX_UNPACKED + 100 * regular * status.st_size
            data: bytes = stream.read(most + 1)
            if len(data) > most:
                raise InputError(fspath(path), f"more than {most / 1e6:,.0f} MB of text", "no more than that")
            return data
    except FileNotFoundError:
        raise InputError(fspath(path), allowed="an existing file; there is none of this name") from None
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise InputError(fspath(path), str(error), "a file that can be read") from error


class _Source:
    """One text file: its columns as arrays, and the way back from a row to its line."""

    def __init__(self, path: AnyPath) -> None:
        self.name = fspath(path)
        text = _content(path).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        fasta = re.search(rb"^##FASTA\b", text, re.MULTILINE)
        if fasta:
            text = text[: fasta.start()]
        # Lines that are no data become empty, so that line numbers stay.
        self._text = _NOT_DATA.sub(b"", text)
        try:
            self._text.decode()
        except UnicodeDecodeError as error:
            line = self._text[: error.start].count(b"\n") + 1
            byte = self._text[error.start : error.end]
            raise InputError(f"{self.name}:{line}", byte, "text in UTF-8") from error
        self._separator: str | None = None
        self._skip = 0
        self._kept: NDArray[np.int64] | None = None

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number (from 1) and fields of each line with content, the header included."""
        for number, line in enumerate(io.BytesIO(self._text), start=1):
            text = line.decode().rstrip("\n")
            if text:
                yield number, text.split(self._separator)

    def columns(
        self, layout: Mapping[str, tuple[int, str]], header: int = 0, separator: str | None = None
    ) -> dict[str, NDArray[Any]]:
        """Read columns; `layout` has, for each, its place in the line and its kind.

        Kinds are ``name`` (array of str objects), ``integer`` (int64) and ``number`` (float64).
        """
        import pandas as pd

        self._separator, self._skip = separator, header
        # As a category, a column of digits would come back as numbers. What R writes for 100000, 1e+05, is
        # a whole number to the tokeniser, and so it is in `_explain`.
        kinds = {"name": "str", "integer": "int64", "number": "float64"}
        ordered = sorted(layout, key=lambda name: layout[name][0])
        try:
            # a number that fits no int64 is told by `_explain`, not by a warning of NumPy's
            with np.errstate(invalid="ignore"):
                frame = pd.read_csv(
                    io.BytesIO(self._text),
                    sep=separator or r"\s+",
                    header=None,
                    skiprows=self._header_lines(),
                    usecols=[layout[name][0] for name in ordered],
                    names=ordered,
                    index_col=False,
                    dtype={name: kinds[layout[name][1]] for name in ordered},
                    na_filter=False,
                    quoting=3,
                    engine="c",
                )
        except pd.errors.EmptyDataError:
            raise InputError(self.name, "no line of data", "at least one") from None
        except (ValueError, OverflowError, pd.errors.ParserError) as error:
            self._explain(layout, error)
        if len(frame) == 0:
            raise InputError(self.name, "no line of data", "at least one")
        dtypes = {"name": object, "integer": np.int64, "number": np.float64}
        return {name: frame[name].to_numpy(dtype=dtypes[kind]) for name, (_, kind) in layout.items()}

    def _header_lines(self) -> int:
        """Lines up to the end of the header, which may follow comments."""
        if self._skip == 0:
            return 0
        return next(number for number, _ in self.rows())

    def _explain(self, layout: Mapping[str, tuple[int, str]], error: Exception) -> NoReturn:
        need = max(at for at, _ in layout.values()) + 1
        for number, fields in islice(self.rows(), self._skip, None):
            where = f"{self.name}:{number}"
            if len(fields) < need:
                raise InputError(where, f"{len(fields)} columns", f"{need} or more") from error
            for name, (at, kind) in layout.items():
                text = fields[at]
                if kind == "name":
                    continue
                if not _NUMBER.fullmatch(text):
                    raise InputError(where, text, f"a number for {name}") from error
                if kind == "integer" and not (float(text).is_integer() and abs(float(text)) < MAX_BP):
                    raise InputError(where, text, f"a whole number for {name}") from error
        raise InputError(self.name, str(error), "a table that can be read") from error

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Tell that the arrays given to `require` from now on have only these rows."""
        self._kept = np.flatnonzero(rows)

    def require(self, good: NDArray[np.bool_], given: NDArray[Any] | Callable[[int], object], rule: str) -> None:
        """Raise for the first row that is not good, naming its line; `given` tells what stands there."""
        bad = np.flatnonzero(~good)
        if len(bad) == 0:
            return
        row = int(bad[0])
        at = row if self._kept is None else int(self._kept[row])
        number, _ = next(islice(self.rows(), at + self._skip, None))
        value = given(row) if callable(given) else given[row]
        plain = value.item() if isinstance(value, np.generic) else value
        raise InputError(f"{self.name}:{number}", plain, rule)
