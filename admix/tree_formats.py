# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what differs between versions of the SLiM file format, behind one adapter for each version.

Nothing else in admix decodes the metadata of mutations. SLiM 6 (format 1.0) moves selection coefficients out of
it; an adapter for it is all that will have to be added. Which one is used is decided by the version that is
written in the file, never by the version of a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tskit

from admix.errors import InputError, RunError
from admix.genome_layout import Bool, Float64, Int32, Int64
from admix.tree_metadata import FILE_VERSION, MUTATION_RECORD

__all__ = [
    "CENSUS",
    "MIGRANT",
    "NEUTRAL",
    "NEW",
    "STANDING",
    "Format",
    "Mutations",
    "format_of",
    "inherit",
    "mutation_columns",
]

CENSUS = 1 << 20
"""Node flag of a census, msprime's NODE_IS_CEN_EVENT."""
MIGRANT = 1 << 19
"""Node flag on both sides of a migration, msprime's NODE_IS_MIG_EVENT."""

NEW, STANDING, NEUTRAL = 1, 2, 3
"""Mutation types: arisen since the records begin, older than they are, and neutral ones put on afterwards."""

_REMEMBERED, _RETAINED = 1 << 17, 1 << 18  # pyslim's flags of individuals
_OLDER = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutations:
    """Mutations of a tree sequence, one entry for each mutation id in each row of the mutation table.

    A row whose derived state is stacked (``5,9``) has an entry for each id in it, so an id that lies on a row and
    on one below it is there twice; `own` says which entries are not inherited from the row's parent.

    Attributes
    ----------
    row : int32[k]
        Row of the mutation table.
    bp : int64[k]
        Base, 0-based.
    node : int32[k]
        Node above which the row lies.
    id : int64[k]
        Id of the mutation; several rows may have it.
    type : int32[k]
        `NEW`, `STANDING` or `NEUTRAL` in admix's files, the mutation type of the script in SLiM's.
    s : float64[k]
        Selection coefficient (single precision in the file).
    tick, deme : int32[k]
        Birth tick and birth deme, as numbered by the program that wrote the file.
    own : bool[k]
        Whether the mutation arose on this branch.
    """

    row: Int32
    bp: Int64
    node: Int32
    id: Int64
    type: Int32
    s: Float64
    tick: Int32
    deme: Int32
    own: Bool


class Format(Protocol):
    """What a version of the file format must be able to tell."""

    version: str

    def mutations(self, ts: tskit.TreeSequence, where: str) -> Mutations:
        """Return all mutations."""

    def next_id(self, ts: tskit.TreeSequence, where: str) -> int:
        """Return the lowest mutation id above all that are in use."""

    def restack(self, ts: tskit.TreeSequence, where: str) -> tskit.TreeSequence:
        """Return the tree sequence with each neutral mutation also in the states of the mutations below it."""

    def census_flags(self, ts: tskit.TreeSequence) -> Bool:
        """Return for each node whether it is kept for a census, bool[nodes]."""


class _Slim09:
    """SLiM 5.0 to 5.2, and admix itself."""

    version = FILE_VERSION

    def mutations(self, ts: tskit.TreeSequence, where: str) -> Mutations:
        ids, count = _ids(ts, where)
        length = np.diff(ts.tables.mutations.metadata_offset.astype(np.int64))
        wrong = np.flatnonzero(length != count * MUTATION_RECORD.itemsize)
        if len(wrong):
            first = int(wrong[0])
            described = length[first] / MUTATION_RECORD.itemsize
            what = f"mutation {first} has {count[first]} ids and metadata for {described:g}"
            raise RunError(where, what, "the file is damaged; make it again")
        records = ts.tables.mutations.metadata.view(np.uint8).view(MUTATION_RECORD)
        row = np.repeat(np.arange(ts.num_mutations, dtype=np.int32), count)
        return Mutations(
            row=row,
            bp=ts.sites_position.astype(np.int64)[ts.mutations_site[row]],
            node=ts.mutations_node[row],
            id=ids,
            type=records["type"].astype(np.int32),
            s=records["s"].astype(np.float64),
            tick=records["tick"].astype(np.int32),
            deme=records["deme"].astype(np.int32),
            own=_own(ts.mutations_parent, row, ids),
        )

    def next_id(self, ts: tskit.TreeSequence, where: str) -> int:
        ids, _ = _ids(ts, where)
        return int(ids.max(initial=0)) + 1

    def restack(self, ts: tskit.TreeSequence, where: str) -> tskit.TreeSequence:
        """msprime lets a new mutation inherit the state that it meets, but leaves the states below it as they were,
        so that the new mutation would be lost where an older program's mutation lies below it.
        """
        found = self.mutations(ts, where)
        offset = np.searchsorted(found.row, np.arange(ts.num_mutations + 1))
        entry, offset = inherit(ts.mutations_parent, found.id, offset, found.type == NEUTRAL)
        if len(entry) == len(found.id):
            return ts
        tables = ts.dump_tables()
        records = tables.mutations.metadata.view(np.uint8).view(MUTATION_RECORD)
        columns = {key: column for key, column in tables.mutations.asdict().items() if key != "metadata_schema"}
        tables.mutations.set_columns(**(columns | mutation_columns(found.id, records, entry, offset)))
        return tables.tree_sequence()

    def census_flags(self, ts: tskit.TreeSequence) -> Bool:
        """Flagged nodes; where no node of the file has the flag, those of individuals that SLiM retained or
        remembered."""
        flagged = (ts.nodes_flags & CENSUS) != 0
        if flagged.any():
            return np.asarray(flagged)
        kept = np.append((ts.individuals_flags & (_REMEMBERED | _RETAINED)) != 0, False)
        return np.asarray(kept[ts.nodes_individual])  # -1 is the False at the end


FORMATS: dict[str, Format] = {FILE_VERSION: _Slim09()}


def format_of(ts: tskit.TreeSequence, where: str) -> Format:
    """Return the adapter for the format of a tree sequence.

    Parameters
    ----------
    ts
        The tree sequence.
    where
        Its file, for the message.

    Raises
    ------
    InputError
        If it has no SLiM metadata, or those of a format that this admix does not read.
    """
    slim = slim_metadata(ts)
    if slim is None or not isinstance(slim.get("file_version"), str):
        raise InputError(where, "a tree sequence without SLiM metadata", "one written by admix, or by SLiM 5.1 or 5.2")
    version = slim["file_version"]
    if version in FORMATS:
        return FORMATS[version]
    known = f"format {', '.join(FORMATS)} (admix, SLiM 5.1 and 5.2)"
    if version in _OLDER:
        raise InputError(where, f"SLiM file format {version}", f"{known}; bring it forward with pyslim.update")
    newer = "; files of SLiM 6 are not supported yet" if version.partition(".")[0].isdecimal() else ""
    raise InputError(where, f"SLiM file format {version}", known + newer)


def slim_metadata(ts: tskit.TreeSequence) -> dict[str, Any] | None:
    """The SLiM key of the top-level metadata; None where there is none."""
    metadata = ts.metadata  # decoded at each access
    slim = metadata.get("SLiM") if isinstance(metadata, dict) else None
    return slim if isinstance(slim, dict) else None


def _ids(ts: tskit.TreeSequence, where: str) -> tuple[Int64, Int64]:
    """All mutation ids in the derived states, in order, and how many each row has."""
    states = ts.tables.mutations.derived_state.view(np.uint8)
    offset = ts.tables.mutations.derived_state_offset.astype(np.int64)
    length = np.diff(offset)
    row = np.repeat(np.arange(len(length)), length)
    text = np.full(len(states) + len(length), ord(","), np.uint8)
    text[np.arange(len(states)) + row] = states  # each row ends with a comma of its own
    commas = np.bincount(row, states == ord(","), minlength=len(length)).astype(np.int64)
    tokens = [token for token in text.tobytes().split(b",") if token]
    try:
        ids = np.array(tokens, dtype="S").astype(np.int64) if tokens else np.zeros(0, np.int64)
    except ValueError as error:
        bad = next(token for token in tokens if not token.isdigit())
        what = f"an allele that is no list of SLiM mutation ids ({bad[:20].decode(errors='replace')!r})"
        raise RunError(where, what, "give a file to which no other mutation model has added alleles") from error
    return ids, np.where(length > 0, commas + 1, 0)


def _own(parent: Int32, row: Int32, ids: Int64) -> Bool:
    """Which entries are not among those of the row's parent."""
    above = parent[row]
    own = np.ones(len(row), dtype=bool)
    first = np.searchsorted(row, np.arange(len(parent) + 1))
    for k in np.flatnonzero(above >= 0).tolist():  # two mutations on one base are rare
        own[k] = ids[k] not in ids[first[above[k]] : first[above[k] + 1]]
    return own


def inherit(parent: Int32, ids: Int64, offset: Int64, passes: Bool) -> tuple[Int64, Int64]:
    """Put the mutations of each row's parent before those of the row, where it has not got them already.

    Parameters
    ----------
    parent
        Parent of each row of the mutation table, before the row; -1 for none.
    ids
        Mutation ids of all rows, one after another.
    offset
        Row r has the ids ``offset[r]`` to ``offset[r + 1]``.
    passes
        Which ids are inherited.

    Returns
    -------
    entry : int64
        Indices into `ids` for all rows.
    offset : int64
        Row r has the entries ``offset[r]`` to ``offset[r + 1]``.
    """
    longer: dict[int, list[int]] = {}
    count = np.diff(offset)
    for row in np.flatnonzero(parent >= 0).tolist():
        above, own = int(parent[row]), list(range(offset[row], offset[row + 1]))
        mine = set(ids[own].tolist())
        over = longer.get(above, list(range(offset[above], offset[above + 1])))
        missing = [k for k in over if passes[k] and int(ids[k]) not in mine]
        if missing:
            longer[row] = missing + own
            count[row] = len(longer[row])
    end = np.append(0, np.cumsum(count))
    owner = np.repeat(np.arange(len(count)), count)
    entry = np.asarray(offset)[:-1][owner] + np.arange(len(owner)) - end[owner]
    for k, entries in longer.items():
        entry[end[k] : end[k + 1]] = entries
    return entry, end


def mutation_columns(ids: Int64, records: np.ndarray, entry: Int64, offset: Int64) -> dict[str, np.ndarray]:
    """Return derived states and metadata of the rows that `inherit` describes.

    `records` (`MUTATION_RECORD`) has the metadata of each of `ids`.
    """
    text = np.char.add(np.char.mod("%d", ids[entry]).astype("S"), b",")
    length = np.char.str_len(text).astype(np.int64)
    length[offset[1:][np.diff(offset) > 0] - 1] -= 1  # no comma at the end of a row
    width = max(text.dtype.itemsize, 1)
    letters = text.view(np.uint8).reshape(len(text), width)[np.arange(width) < length[:, None]]
    return {
        "derived_state": letters.view(np.int8),
        "derived_state_offset": np.append(0, np.cumsum(length))[offset].astype(np.uint64),
        "metadata": np.frombuffer(records[entry].tobytes(), np.int8),
        "metadata_offset": (offset * MUTATION_RECORD.itemsize).astype(np.uint64),
    }
