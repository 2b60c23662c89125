# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree files of a run: where they are, how they are written, read and checked.

A file holds the genealogy of the sampled people on one chromosome, ``RUN/trees/BRANCH/REPLICATE/chrN.tsz`` (of the
neutral twin ``REPLICATE-neutral``): a tskit tree sequence with SLiM 0.9 metadata, compressed with tszip. Time 0 is
the last cohort of the run, and base b is the interval [b, b + 1). Files that SLiM 5.1 or 5.2 wrote are read too: they
have no labels of admix, so the census is looked for at the times that the caller gives.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tskit
import tszip

from admix.errors import InputError, RunError, nearest
from admix.genome_layout import Int32, Int64, merge, position_key
from admix.timeline import round_years
from admix.tree_formats import CENSUS, MIGRANT, NEUTRAL, NEW, STANDING, Mutations, format_of
from admix.tree_metadata import Census, SampleGroup, TreeLabels, run_digest
from admix.tree_tables import MAX_ID, ChromosomeRecord, build

__all__ = [
    "CENSUS",
    "MAX_ID",
    "MIGRANT",
    "NEUTRAL",
    "NEW",
    "STANDING",
    "Census",
    "ChromosomeRecord",
    "Mutations",
    "SampleGroup",
    "TreeLabels",
    "admix_metadata",
    "build",
    "census_nodes",
    "load",
    "mutations",
    "next_mutation_id",
    "roots",
    "run_digest",
    "sample_names",
    "tree_path",
    "validate",
    "write",
]

_MAX_DESCRIPTION = 100_000
_AGAIN = "make the file again"
_CHUNK = 1 << 16
"""tszip pads each column to whole chunks, and compresses larger ones harder: with its own choice of 2^23, writing takes
four times as long for files that are no smaller."""


def tree_path(run: str | Path, branch: str, replicate: int, twin: str, chrom: str) -> Path:
    """Return where the tree file of a chromosome is inside a run directory (or inside another `run` root)."""
    return Path(run) / "trees" / branch / replicate_folder(replicate, twin) / f"chr{chrom}.tsz"


def replicate_folder(replicate: int, twin: str) -> str:
    """Return the name of a replicate's folder: its number, with ``-neutral`` for the neutral twin."""
    return f"{replicate}-neutral" if twin == "neutral" else str(replicate)


def write(ts: tskit.TreeSequence, path: str | Path) -> Path:
    """Write a tree sequence with tszip, under a temporary name that is renamed when all of it is on the disk.

    Parameters
    ----------
    ts
        The tree sequence.
    path
        The file, by custom with the ending ``.tsz``; its folder is made. An existing file is replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tszip.compress(ts, partial, chunk_size=_CHUNK)
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise RunError(
            str(path), f"cannot be written ({error.strerror or error})", "make room, or choose another place"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return path


def load(path: str | Path) -> tskit.TreeSequence:
    """Read a tree sequence, compressed with tszip or not, and make sure that its format can be read.

    Raises
    ------
    InputError
        If there is no such file, it is no tree sequence, or its SLiM format is not supported.
    RunError
        If it is truncated or damaged.
    """
    where = str(path)
    try:
        with open(path, "rb") as handle:
            start = handle.read(8)
    except OSError as error:
        raise InputError(where, allowed=f"a tree file that can be read ({error.strerror or error})") from error
    zipped = start[:4] == b"PK\x03\x04"
    if not zipped and start[:4] != b"\x89KAS":
        given = "an empty file" if not start else "a file that is no tree sequence"
        raise InputError(where, given, "a tree sequence, as .tsz (tszip) or .trees (tskit)")
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                names = {Path(name).name for name in archive.namelist()}
                _refuse_strange_arrays(archive, where)
            if not names & {"zarr.json", ".zgroup"}:
                raise InputError(where, "a zip file that is no tree sequence", "a file that tszip made")
        ts = tszip.load(path)
    except InputError:
        raise
    except Exception as error:  # zarr, numcodecs, zipfile, kastore and tskit each have kinds of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, tszip.exceptions.FileFormatError) and "Incorrect file format" in reason:
            raise InputError(where, "a zip file that is no tree sequence", "a file that tszip made") from error
        raise RunError(where, f"truncated or damaged ({reason})", f"copy it again, or {_AGAIN}") from error
    format_of(ts, where)
    return ts


def _refuse_strange_arrays(archive: zipfile.ZipFile, where: str) -> None:
    """Refuse arrays that are stored as anything but compressed numbers: zarr would unpickle objects, which runs code.

    Raises
    ------
    InputError
        For the first such array, and for an archive that unpacks to far more than it holds.
    """
    told = 0
    for entry in archive.infolist():
        name = Path(entry.filename).name
        if name in (".zarray", "zarr.json", ".zmetadata"):
            told += entry.file_size
            if entry.file_size > _MAX_DESCRIPTION or told > 100 * _MAX_DESCRIPTION:
                raise InputError(where, f"{told:,} bytes that describe arrays", "a file that tszip made")
            about = archive.read(entry)
            if b'"pickle"' in about or b'"|O"' in about or b'"object"' in about:
                raise InputError(where, f"an array of objects ({entry.filename})", "arrays of numbers only")


def admix_metadata(ts: tskit.TreeSequence) -> dict[str, Any] | None:
    """Return the labels that admix wrote into a tree sequence; None for a file of another program."""
    metadata = ts.metadata
    found = metadata.get("admix") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else None


def mutations(ts: tskit.TreeSequence, where: str = "tree sequence") -> Mutations:
    """Return the mutations of a tree sequence of any supported format, with their selection coefficients."""
    return format_of(ts, where).mutations(ts, where)


def next_mutation_id(ts: tskit.TreeSequence, where: str = "tree sequence") -> int:
    """Return the lowest mutation id above all that are in use (as pyslim's `next_slim_mutation_id`, but at once)."""
    return format_of(ts, where).next_id(ts, where)


def census_nodes(ts: tskit.TreeSequence, time_ago: float, where: str = "tree sequence") -> Int32:
    """Return the nodes of the census `time_ago` generations before the last cohort, in order.

    Raises
    ------
    RunError
        If there is no census at that time; the message names those there are.
    """
    kept = format_of(ts, where).census_flags(ts)
    nodes = np.flatnonzero(kept & (ts.nodes_time == time_ago)).astype(np.int32)
    if len(nodes) == 0:
        times = np.unique(ts.nodes_time[kept])
        there = f"there is one {', '.join(f'{t:,.10g}' for t in times[:5])}" if len(times) else "nor at any time"
        what = f"no census {time_ago:,.10g} generations ago ({there})"
        raise RunError(where, what, "take a file whose census nodes and their unary edges were kept")
    return nodes


def sample_names(ts: tskit.TreeSequence) -> list[str]:
    """Return a name for each individual with sample nodes, in order of the individual table.

    People of the last cohort are ``DEME_0``, ``DEME_1``, ...; those of older dates ``DEME-DATE_0``, ..., DATE being
    the roundest date in years before today of that generation (generations before the last cohort if generation time
    is not known).
    """
    labels = admix_metadata(ts)
    demes = population_names(ts)
    sampled = np.unique(ts.nodes_individual[ts.samples()])
    if len(sampled) == 0 or sampled[0] < 0:
        raise RunError("tree sequence", "samples that belong to no individual", "give a file with diploid individuals")
    years = labels["generation_time"] if labels else 1.0
    offset = (labels["today_tick"] - labels["last_tick"]) if labels else 0
    names, seen = [], dict[str, int]()
    for population, time in zip(ts.individuals_population[sampled], ts.individuals_time[sampled], strict=True):
        date = "" if time == 0 else f"-{round_years(round(time + offset), years)}"
        stem = f"{demes[population]}{date}"
        names.append(f"{stem}_{seen.get(stem, 0)}")
        seen[stem] = seen.get(stem, 0) + 1
    return names


def population_names(ts: tskit.TreeSequence) -> list[str]:
    """Return the names of the populations; ``pop_K`` for one without (SLiM counts from 1, so its 0 has none)."""
    rows = (population.metadata for population in ts.populations())
    return [row["name"] if isinstance(row, dict) and row.get("name") else f"pop_{k}" for k, row in enumerate(rows)]


def roots(ts: tskit.TreeSequence) -> tuple[Int32, Int64, Int64]:
    """Return all stretches over which a node is a root of samples, or a sample without parent.

    Coordinates must be whole bases. Edges that lead to no sample have roots too; a simplified file has no such edges.

    Returns
    -------
    node : int32[k]
    left, right : int64[k]
        By node and position; the stretches of a node do not touch.
    """
    sample = ts.samples()
    length = int(ts.sequence_length)
    left, right = ts.edges_left.astype(np.int64), ts.edges_right.astype(np.int64)
    above = merge(
        np.append(ts.edges_parent, sample).astype(np.int32),
        np.append(left, np.zeros(len(sample), np.int64)),
        np.append(right, np.full(len(sample), length)),
    )
    below = merge(ts.edges_child, left, right)
    # where a node is a parent or sample, and not a child
    where = np.concatenate(
        [
            position_key(above.chrom, above.start),
            position_key(above.chrom, above.end),
            position_key(below.chrom, below.start),
            position_key(below.chrom, below.end),
        ]
    )
    step = np.repeat([1, -1, -2, 2], [len(above.start), len(above.end), len(below.start), len(below.end)])
    node = np.concatenate([above.chrom, above.chrom, below.chrom, below.chrom])
    order = np.argsort(where, kind="stable")
    state = np.cumsum(step[order])
    open_ = np.flatnonzero((state == 1) & (np.append(where[order][1:], -1) > where[order]))
    first, last = where[order][open_], where[order][open_ + 1]
    owner = node[order][open_]
    base = position_key(owner, np.zeros(len(owner), np.int64))
    joined = merge(owner.astype(np.int32), first - base, last - base)
    return joined.chrom, joined.start, joined.end


def validate(
    ts: tskit.TreeSequence,
    where: str,
    *,
    chrom: str,
    length: int,
    labels: TreeLabels | None = None,
    census: Sequence[Census] | None = None,
) -> None:
    """Make sure that a tree file is the one that is meant, and complete.

    Parameters
    ----------
    ts
        The tree sequence.
    where
        Its file, for messages.
    chrom, length
        The chromosome that it must be, and its length in bp.
    labels
        The run, branch and replicate that it must belong to. Not compared for a file of SLiM, which has none.
    census
        The censuses that it must have; those of `labels`, else those that the file itself names. A file of SLiM
        names none.

    Raises
    ------
    InputError
        For a file of another format, run, branch, replicate, twin or chromosome, or of another length.
    RunError
        If a census is missing or ambiguous, or some part of a sample reaches no root at or beyond the oldest one.
    """
    format_of(ts, where)
    if ts.time_units != "generations":
        raise InputError(f"{where}: time units", ts.time_units, "generations")
    found = admix_metadata(ts)
    if found is not None:
        _compare(found, where, chrom, labels)
    if ts.sequence_length != length:
        given = f"{ts.sequence_length:,.10g} bp"
        raise InputError(f"{where}: sequence length", given, f"{length:,} bp, as chromosome {chrom} of the genome")
    wanted = list(census) if census is not None else list(labels.census) if labels is not None else None
    if found is not None:
        recorded = _recorded(found, where)
        wanted = recorded if wanted is None else wanted
        for entry in wanted:
            _agree(entry, recorded, where)
    if not wanted:
        raise RunError(
            where, "no census is recorded in it", "give the times of the censuses, or make the file with admix run"
        )
    for entry in wanted:
        _check_census(ts, entry, where)
    oldest = max(entry.time_ago for entry in wanted)
    _check_roots(ts, oldest, where)


def _compare(found: dict[str, Any], where: str, chrom: str, labels: TreeLabels | None) -> None:
    """Refuse a file whose labels say that it belongs elsewhere."""
    expected: dict[str, Any] = {"chrom": chrom}
    if labels is not None:
        expected = {key: getattr(labels, key) for key in ("branch", "replicate", "twin")} | expected
        if labels.run and found.get("run"):
            expected = {"run": labels.run} | expected
        expected |= {"seed": labels.seed}
    for key, value in expected.items():
        if found.get(key) == value:
            continue
        if key in ("run", "seed"):
            rule = f"{value!r}: the file is from another run; take the one of this run"
        else:
            rule = f"{value!r}, as its place says; take the right file"
        raise InputError(f"{where}: {key}", found.get(key), rule)


def _recorded(found: dict[str, Any], where: str) -> list[Census]:
    """Censuses that the file names, once each; two of one pulse at different times are refused."""
    by_pulse: dict[tuple[str, str, str], Census] = {}
    for entry in found.get("census", []):
        census = Census(**{key: entry[key] for key in ("tick", "time_ago", "pulse", "source", "target")})
        key = (census.pulse, census.source, census.target)
        other = by_pulse.setdefault(key, census)
        if (other.tick, other.time_ago) != (census.tick, census.time_ago):
            times = f"{other.time_ago:,} and {census.time_ago:,} generations ago"
            raise RunError(where, f"two conflicting censuses for pulse {census.pulse}, {times}", _AGAIN)
    return list(by_pulse.values())


def _agree(entry: Census, recorded: Sequence[Census], where: str) -> None:
    """Refuse a file whose census of a pulse is missing or at another time than expected."""
    same = [c for c in recorded if (c.pulse, c.source, c.target) == (entry.pulse, entry.source, entry.target)]
    if not same:
        there = ", ".join(c.pulse for c in recorded) or "none"
        raise RunError(where, f"no census for pulse {entry.pulse} (there is one for: {there})", _AGAIN)
    if same[0].time_ago != entry.time_ago:
        times = f"{same[0].time_ago:,} generations ago, not {entry.time_ago:,}"
        raise RunError(where, f"the census for pulse {entry.pulse} is {times}", "take the file of this run")


def _check_census(ts: tskit.TreeSequence, entry: Census, where: str) -> None:
    """Nodes at the census, and no lineage of the two demes that passes it without one."""
    census_nodes(ts, entry.time_ago, where)
    demes = population_names(ts)
    for name in (entry.source, entry.target):
        if name not in demes:
            raise InputError(f"{where}: populations", demes, f"one called {name}", nearest(name, demes))
    both = np.isin(ts.nodes_population, [demes.index(entry.source), demes.index(entry.target)])
    time, parent, child = ts.nodes_time, ts.edges_parent, ts.edges_child
    passing = both[parent] & both[child] & (time[child] < entry.time_ago) & (time[parent] > entry.time_ago)
    if np.any(passing):
        what = f"{int(passing.sum()):,} edges pass the census {entry.time_ago:,} generations ago without a node"
        raise RunError(where, what, "keep unary nodes when simplifying (in SLiM: retainCoalescentOnly=F)")


def _check_roots(ts: tskit.TreeSequence, oldest: float, where: str) -> None:
    """Every base of every sample must reach a root at or beyond the oldest census."""
    node, left, right = roots(ts)
    short = ts.nodes_time[node] < oldest
    if np.any(short):
        bases = int((right - left)[short].sum())
        k = int(np.argmax(short))
        what = f"{bases:,} bases end before the census, the first at node {node[k]}, {left[k]:,} to {right[k]:,} bp"
        raise RunError(where, what, "keep the roots when simplifying (keep_input_roots=True)")
