# SPDX-License-Identifier: GPL-3.0-or-later
"""From the genealogy of one chromosome, as plain arrays, to a tree sequence with SLiM's metadata.

A new mutation has the time of its birth. A standing one, older than the records, has the time of the root on which
it lies; its birth tick is in the metadata (``slim_time``). With its true time it would be older than the parents
that recapitation puts above the root, which tskit refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import tskit

from admix.errors import RunError
from admix.genome_layout import Bool, Int32, Int64, merge, position_key
from admix.tree_formats import NEW, STANDING, inherit, mutation_columns
from admix.tree_metadata import (
    MUTATION_RECORD,
    TreeLabels,
    add_populations,
    individual_metadata,
    node_metadata,
    provenance_record,
    set_top_level,
)

__all__ = ["MAX_ID", "ChromosomeRecord", "build"]

MAX_ID = 2**62
"""Keys of individuals and ids of mutations are below this: twice a key, and neutral ids to come, fit 64 bits."""

_ALIVE, _REMEMBERED, _RETAINED = 1 << 16, 1 << 17, 1 << 18  # pyslim's flags of individuals
_BUG = "please report this as a bug of admix"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChromosomeRecord:
    """The genealogy of the sampled haplotypes on one chromosome; n nodes, e edges, m mutation rows.

    Attributes
    ----------
    chrom, length
        Name of the chromosome and its length, bp.
    node_tick : int32[n]
        Birth tick.
    node_deme : int16[n]
        Deme index.
    node_flags : uint32[n]
        tskit's and msprime's flags: sample, census (1 << 20), migration (1 << 19).
    node_individual : int64[n]
        Equal keys (0 to `MAX_ID`) are one individual, in order its first and second haplotype; -1 is none. Sample
        nodes must have one, and their individuals come in order of key.
    edge_left, edge_right : int64[e]
        Half-open interval, bp. Empty ones are dropped, those that touch are joined.
    edge_parent, edge_child : int32[e]
        Nodes, as indices into the arrays above.
    mutation_bp : int64[m]
        Base, 0-based.
    mutation_node : int32[m]
        Node above which the mutation lies.
    mutation_tick : int32[m]
        Birth tick.
    mutation_id : int64[m]
        Id, 0 to `MAX_ID`; the same one lies on several nodes where several founders carry a standing mutation.
    mutation_s : float64[m]
        Selection coefficient of the homozygote.
    mutation_kind : int8[m]
        1 (arisen since the records begin) or 2 (standing).
    mutation_deme : int16[m]
        Birth deme.
    """

    chrom: str
    length: int
    node_tick: np.ndarray
    node_deme: np.ndarray
    node_flags: np.ndarray
    node_individual: np.ndarray
    edge_left: np.ndarray
    edge_right: np.ndarray
    edge_parent: np.ndarray
    edge_child: np.ndarray
    mutation_bp: np.ndarray
    mutation_node: np.ndarray
    mutation_tick: np.ndarray
    mutation_id: np.ndarray
    mutation_s: np.ndarray
    mutation_kind: np.ndarray
    mutation_deme: np.ndarray

    def check(self, labels: TreeLabels) -> None:
        """Raise a `RunError` unless lengths, indices and ranges are as they must be."""
        for group in ("node", "edge", "mutation"):
            sizes = {f.name: len(getattr(self, f.name)) for f in fields(self) if f.name.startswith(f"{group}_")}
            if len(set(sizes.values())) != 1:
                raise self.fault(f"arrays of different lengths: {sizes}")
        n = len(self.node_tick)
        sampled = (self.node_flags & tskit.NODE_IS_SAMPLE) != 0
        rules: tuple[tuple[str, np.ndarray], ...] = (
            ("node_tick is after the last tick", self.node_tick > labels.last_tick),
            ("node_deme is no deme", (self.node_deme < 0) | (self.node_deme >= len(labels.demes))),
            ("node_individual is out of range", (self.node_individual < -1) | (self.node_individual >= MAX_ID)),
            ("node_individual of a sample is missing", sampled & (self.node_individual < 0)),
            ("edge_parent is no node", (self.edge_parent < 0) | (self.edge_parent >= n)),
            ("edge_child is no node", (self.edge_child < 0) | (self.edge_child >= n)),
            (
                "edge_left and edge_right are no interval of the chromosome",
                (self.edge_left < 0) | (self.edge_right < self.edge_left) | (self.edge_right > self.length),
            ),
            ("mutation_bp is not on the chromosome", (self.mutation_bp < 0) | (self.mutation_bp >= self.length)),
            ("mutation_node is no node", (self.mutation_node < 0) | (self.mutation_node >= n)),
            ("mutation_id is out of range", (self.mutation_id < 0) | (self.mutation_id >= MAX_ID)),
            ("mutation_kind is neither 1 nor 2", (self.mutation_kind != NEW) & (self.mutation_kind != STANDING)),
        )
        for what, wrong in rules:
            if np.any(wrong):
                raise self.fault(f"{what} at index {int(np.argmax(wrong))}")
        if self.chrom not in labels.chroms:
            raise self.fault("no chromosome of the genome")
        if not sampled.any():
            raise self.fault("no sample")

    def fault(self, what: str) -> RunError:
        """Return the error that says `what` is wrong with this chromosome."""
        return RunError(f"trees of chromosome {self.chrom}", what, _BUG)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edges:
    """Edges without empty and divided ones, in order of child and position; indices are those of the record."""

    left: Int64
    right: Int64
    parent: Int32
    child: Int32


def build(record: ChromosomeRecord, labels: TreeLabels) -> tskit.TreeSequence:
    """Return the tree sequence of a chromosome.

    Nodes that are neither samples nor in an edge are left out. Sample nodes come first, in order of their
    individuals' keys, then the others from young to old. Standing mutations on a node that is no ancestor of any
    sample at their place are left out, so that all those of a founder may be handed over.

    Parameters
    ----------
    record
        The genealogy.
    labels
        The run it belongs to.

    Raises
    ------
    RunError
        If the record contradicts itself: two parents at one place, a parent no older than its child, an
        individual of three nodes or of two ticks, a mutation outside the branch it is said to lie on.
    """
    record.check(labels)
    edges = _squashed(record)
    tables = tskit.TableCollection(record.length)
    tables.time_units = "generations"
    set_top_level(tables, record.chrom, labels)
    add_populations(tables, labels.demes)
    new_id = _set_nodes(tables, record, edges, labels)
    time = tables.nodes.time
    parent, child = new_id[edges.parent], new_id[edges.child]
    order = np.lexsort((edges.left, child, parent, time[parent]))
    tables.edges.set_columns(
        left=edges.left[order], right=edges.right[order], parent=parent[order], child=child[order]
    )  # fmt: skip
    tables.provenances.add_row(provenance_record("run", {**labels.parameters, "admix": labels.metadata(record.chrom)}))
    try:
        tables.build_index()
        _set_mutations(tables, record, edges, new_id, labels)
        return tables.tree_sequence()
    except tskit.LibraryError as error:
        raise record.fault(f"the genealogy contradicts itself: {error}") from error


def _squashed(record: ChromosomeRecord) -> _Edges:
    full = np.flatnonzero(record.edge_right > record.edge_left)
    left, right = record.edge_left[full].astype(np.int64), record.edge_right[full].astype(np.int64)
    parent, child = record.edge_parent[full].astype(np.int32), record.edge_child[full].astype(np.int32)
    order = np.lexsort((left, parent, child))
    left, right, parent, child = left[order], right[order], parent[order], child[order]
    same = (parent[1:] == parent[:-1]) & (child[1:] == child[:-1])
    if np.any(same & (left[1:] < right[:-1])):
        k = int(np.argmax(same & (left[1:] < right[:-1])))
        raise record.fault(f"two edges from node {child[k]} to node {parent[k]} overlap at {left[k + 1]} bp")
    starts = np.append(True, ~(same & (left[1:] == right[:-1])))[: len(left)]
    first = np.flatnonzero(starts)
    right = right[np.append(first[1:], len(left))[: len(first)] - 1]
    left, parent, child = left[first], parent[first], child[first]
    order = np.lexsort((left, child))
    return _Edges(left=left[order], right=right[order], parent=parent[order], child=child[order])


def _set_nodes(tables: tskit.TableCollection, record: ChromosomeRecord, edges: _Edges, labels: TreeLabels) -> Int32:
    """Fill the tables of nodes and individuals; return the new index of each node, -1 where it is left out."""
    tick, key = record.node_tick.astype(np.int64), record.node_individual.astype(np.int64)
    sampled = (record.node_flags & tskit.NODE_IS_SAMPLE) != 0
    used = np.zeros(len(tick), dtype=bool)
    used[edges.parent] = used[edges.child] = True
    samples, others = np.flatnonzero(sampled), np.flatnonzero(used & ~sampled)
    order = np.append(
        samples[np.argsort(key[samples], kind="stable")], others[np.argsort(-tick[others], kind="stable")]
    )
    new_id = np.full(len(tick), -1, dtype=np.int32)
    new_id[order] = np.arange(len(order), dtype=np.int32)

    tick, key, deme = tick[order], key[order], record.node_deme[order].astype(np.int32)
    member = np.flatnonzero(key >= 0)
    _, first, index, count = np.unique(key[member], return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)  # in order of their first node
    first = member[first]
    if np.any(count > 2):
        raise record.fault(f"individual {key[first[int(np.argmax(count > 2))]]} has more than two haplotypes")
    torn = (tick[member] != tick[first[index]]) | (deme[member] != deme[first[index]])
    if np.any(torn):
        raise record.fault(f"individual {key[member[int(np.argmax(torn))]]} lives in two ticks or demes")
    individual = np.full(len(order), -1, dtype=np.int32)
    individual[member] = rank[index]
    haplosome = np.full(len(order), -1, dtype=np.int64)
    haplosome[member] = 2 * key[member] + (member != first[index])

    founder = np.sort(first)
    alive = np.where(tick[founder] == labels.last_tick, _ALIVE, _REMEMBERED)
    column, offset = individual_metadata(key[founder], deme[founder])
    tables.individuals.set_columns(
        flags=np.where(sampled[order][founder], alive, _RETAINED).astype(np.uint32),
        location=np.zeros(3 * len(founder)),
        location_offset=3 * np.arange(len(founder) + 1, dtype=np.uint64),
        metadata=np.frombuffer(column, np.int8),
        metadata_offset=offset,
    )
    column, offset = node_metadata(haplosome, len(labels.chroms))
    tables.nodes.set_columns(
        flags=record.node_flags[order].astype(np.uint32),
        time=(labels.last_tick - tick).astype(np.float64),
        population=deme,
        individual=individual,
        metadata=np.frombuffer(column, np.int8),
        metadata_offset=offset,
    )
    return new_id


def _set_mutations(
    tables: tskit.TableCollection, record: ChromosomeRecord, edges: _Edges, new_id: Int32, labels: TreeLabels
) -> None:
    """Fill the tables of sites and mutations; the other tables are complete and indexed."""
    keep, root = _placed(record, edges)
    bp, node = record.mutation_bp[keep].astype(np.int64), record.mutation_node[keep]
    tick, ids = record.mutation_tick[keep].astype(np.int64), record.mutation_id[keep].astype(np.int64)
    born = np.where(root[keep], record.node_tick[node].astype(np.int64), tick)
    order = np.lexsort((ids, tick, born, bp))
    position, site = np.unique(bp[order], return_inverse=True)
    tables.sites.set_columns(
        position=position.astype(np.float64),
        ancestral_state=np.zeros(0, np.int8),
        ancestral_state_offset=np.zeros(len(position) + 1, np.uint64),
    )
    records = np.zeros(len(order), MUTATION_RECORD)
    records["type"], records["s"] = record.mutation_kind[keep][order], record.mutation_s[keep][order]
    records["deme"], records["tick"], records["nucleotide"] = record.mutation_deme[keep][order], tick[order], -1
    ids = ids[order]
    columns = {
        "site": site.astype(np.int32),
        "node": new_id[node[order]],
        "time": (labels.last_tick - born[order]).astype(np.float64),
    }
    single = np.arange(len(ids) + 1)
    tables.mutations.set_columns(**columns, **mutation_columns(ids, records, single[:-1], single))
    tables.compute_mutation_parents()
    parent = np.array(tables.mutations.parent)
    entry, offset = inherit(parent, ids, single, np.ones(len(ids), dtype=bool))
    twice = np.flatnonzero(parent >= 0)
    twice = twice[np.diff(offset)[twice] == np.diff(offset)[parent[twice]]]  # the row has added nothing
    if len(twice):
        k = int(twice[0])
        raise record.fault(f"mutation {ids[k]} lies twice on one branch at {int(position[site[k]])} bp")
    tables.mutations.set_columns(**columns, parent=parent, **mutation_columns(ids, records, entry, offset))


def _placed(record: ChromosomeRecord, edges: _Edges) -> tuple[Int64, Bool]:
    """Rows of the mutations to keep, and which of all rows lie on a root; checks that each lies on its branch."""
    node, bp = record.mutation_node.astype(np.int64), record.mutation_bp.astype(np.int64)
    tick, own = record.mutation_tick.astype(np.int64), record.node_tick[node].astype(np.int64)
    at = _covering(position_key(edges.child, edges.left), position_key(edges.child, edges.right), node, bp)
    root = at < 0
    above = np.full(len(node), np.iinfo(np.int64).min)
    above[~root] = record.node_tick[edges.parent[at[~root]]]
    inner = merge(edges.parent, edges.left, edges.right)
    parental = _covering(position_key(inner.chrom, inner.start), position_key(inner.chrom, inner.end), node, bp) >= 0
    absent = root & ~parental & ((record.node_flags[node] & tskit.NODE_IS_SAMPLE) == 0)
    lost = absent & (record.mutation_kind == NEW)
    if np.any(lost):
        k = int(np.argmax(lost))
        raise record.fault(f"new mutation {record.mutation_id[k]} at {bp[k]} bp lies on nobody's ancestor")
    astray = ~absent & ((tick > own) | (tick <= above))
    if np.any(astray):
        k = int(np.argmax(astray))
        raise record.fault(
            f"mutation {record.mutation_id[k]} of tick {tick[k]} at {bp[k]} bp lies above a node of tick {own[k]}"
            + ("" if root[k] else f" with a parent of tick {above[k]}")
        )
    keep = np.flatnonzero(~absent)
    _, first, index = np.unique(record.mutation_id[keep], return_index=True, return_inverse=True)
    moved = bp[keep] != bp[keep][first[index]]
    if np.any(moved):
        raise record.fault(f"mutation {record.mutation_id[keep[int(np.argmax(moved))]]} lies at two bases")
    return keep, root


def _covering(start: Int64, end: Int64, chrom: Int64, bp: Int64) -> Int64:
    """Index of the interval (by `position_key`, in order, disjoint) that holds each place, -1 where none does."""
    place = position_key(chrom, bp)
    at = np.searchsorted(start, place, side="right") - 1
    inside = at >= 0
    inside[inside] = place[inside] < end[at[inside]]
    return np.where(inside, at, -1)
