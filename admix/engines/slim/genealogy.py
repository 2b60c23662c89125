# SPDX-License-Identifier: GPL-3.0-or-later
"""From SLiM's tree sequences to the records of a run's tree files.

SLiM records the genealogy alone. Mutations are put on it afterwards, from what the sampled haplotypes carry: a
mutation that arose on the way lies above the first node, going up from any of its carriers, that is no older than it
and whose parent is; every carrier must lead to the same node. Those of the population that was read lie on the
founders that had them. So there is no mutation of another chromosome on a tree, which SLiM's own files may have
(github.com/MesserLab/SLiM/issues/649), and no id twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tskit

from admix.engines.slim.branch import SlimBranch, _lines, sampled
from admix.engines.slim.model import number
from admix.engines.slim.population import chromosomes, haplotypes
from admix.errors import RunError
from admix.genome import Genome
from admix.tree_metadata import INDIVIDUAL_RECORD
from admix.trees import CENSUS, MIGRANT, NEW, STANDING, ChromosomeRecord, load

__all__ = ["chromosome_records", "marker_labels"]

_SAMPLE = 1
_STANDING_IDS = 2**61
"""Ids of mutations of the population that was read begin here, in tree files; those of new ones are SLiM's."""
_KEPT = 1 << 18  # SLiM's flag of an individual that is retained
_BUG = "no tree was written; please report this as a bug of admix"


def marker_labels(branch: SlimBranch, folder: Path, genome: Genome) -> np.ndarray:
    """Return the source of each sampled haplotype at each marker, int8[haplotypes, markers]: 0, or 1 + its number."""
    from admix.base_axis import base_axis

    axis = base_axis(genome)
    people = {who: k for k, who in enumerate(sampled(branch.plan))}
    ids, offset, _ = chromosomes(genome)
    label = np.zeros((2 * len(people), len(genome.marker_weight)), np.int8)
    seen = np.zeros(2 * len(people), bool)
    first = np.searchsorted(axis.marker_chrom, np.arange(len(genome.chroms) + 1))
    position = axis.marker_bp + offset[axis.marker_chrom]
    for words in _lines(folder / "marked.tsv"):
        tick, deme, who, _, chrom, strand, source, *places = map(int, words)
        row = 2 * people[tick, deme, who] + strand
        seen[row] = True
        c = int(np.searchsorted(ids, chrom))
        at = first[c] + np.searchsorted(position[first[c] : first[c + 1]], places)
        label[row, at] = source + 1
    if not seen.all():
        raise RunError("SLiM", f"nothing written about {int((~seen).sum())} sampled haplotypes", "run it again")
    return label


def chromosome_records(
    branch: SlimBranch, folder: Path, genome: Genome, report: Callable[[float, str], None] = lambda done, note: None
) -> Iterator[ChromosomeRecord]:
    """Yield the genealogy of the sampled people, chromosome by chromosome.

    Parameters
    ----------
    branch
        A branch that has run, with genealogies recorded.
    folder
        What SLiM has written.
    genome
        Its genome.
    report
        Told the fraction of chromosomes that are done.
    """
    people = sampled(branch.plan)
    number_of = {who: k for k, who in enumerate(people)}
    pedigree = np.full(len(people), -1, np.int64)
    carried: dict[int, dict[tuple[int, int], np.ndarray]] = {}
    for words in _lines(folder / "carried.tsv"):
        tick, deme, who, pedigree_id, chrom, strand = map(int, words[:6])
        k = number_of[tick, deme, who]
        pedigree[k] = pedigree_id
        carried.setdefault(chrom, {})[k, strand] = np.array(words[6:], np.int64)
    born: dict[int, tuple[int, float, int, int]] = {}
    for words in _lines(folder / "mutations.tsv"):
        # SLiM's first tick is that of the population that was read; its demes count from 1
        tick = int(words[4]) + branch.first - 2
        born[int(words[0])] = (int(words[2]), number(words[3]), tick, int(words[5]) - 1)
    founders = {d: haplotypes(branch.arrays, np.arange(len(branch.arrays["mutation_uid"])), d) for d in branch.demes}
    ids, _, _ = chromosomes(genome)
    for c in range(len(genome.chroms)):
        ts = load(_tree_file(folder, int(ids[c])))
        yield _record(branch, genome, c, ts, pedigree, carried.get(int(ids[c]), {}), born, founders)
        report((c + 1) / len(genome.chroms), f"chromosome {c + 1} of {len(genome.chroms)}")


def _tree_file(folder: Path, chrom: int) -> Path:
    """SLiM writes a folder where there are several chromosomes, else a file."""
    path = folder / "trees"
    return path if path.is_file() else path / f"chromosome_{chrom}.trees"


def _record(
    branch: SlimBranch, genome: Genome, c: int, ts: tskit.TreeSequence, pedigree: np.ndarray,
    carried: dict[tuple[int, int], np.ndarray], born: dict[int, tuple[int, float, int, int]],
    founders: dict[int, tuple[np.ndarray, np.ndarray]],
) -> ChromosomeRecord:  # fmt: skip
    where = f"trees of chromosome {genome.chroms[c]}"
    samples = _sample_nodes(ts, pedigree, where)
    ts = ts.simplify(
        samples, keep_unary_in_individuals=True, keep_input_roots=True, filter_populations=False, filter_sites=False
    )
    last = branch.plan.last
    tick = (last - np.rint(ts.nodes_time)).astype(np.int64)
    deme = ts.nodes_population.astype(np.int64) - 1
    n_samples = len(samples)
    _check_census(branch, ts, tick, deme, where)
    census = {t for p in branch.schedule.pulses for t in (p.tick - 1, p.tick)}
    flags = np.zeros(ts.num_nodes, np.uint32)
    kept = np.append((ts.individuals_flags & _KEPT) != 0, False)[ts.nodes_individual]
    flags[kept] |= np.uint32(MIGRANT)
    at_census = kept & np.isin(tick, list(census))
    roots = tick == branch.first - 1
    flags[at_census | roots] |= np.uint32(CENSUS)
    flags[(at_census & ~_bordering(ts, deme)) | roots] &= ~np.uint32(MIGRANT)
    flags[:n_samples] |= np.uint32(_SAMPLE)

    key = np.full(ts.num_nodes, -1, np.int64)
    key[:n_samples] = np.arange(n_samples) // 2
    others = np.flatnonzero((flags & np.uint32(CENSUS)) != 0)
    others = others[others >= n_samples]
    own = ts.nodes_individual[others]
    key[others] = np.where(own >= 0, len(pedigree) + own, -1)
    # somebody who is both sampled and counted in a census is one person
    person = np.full(ts.num_individuals + 1, -1, np.int64)
    person[ts.nodes_individual[:n_samples]] = key[:n_samples]
    same = person[ts.nodes_individual] >= 0
    key[same] = person[ts.nodes_individual][same]

    new = _new_mutations(ts, tick, carried, born, len(branch.written), where)
    old = _standing(branch, genome, c, ts, tick, deme, founders)
    columns = [np.concatenate(pair) for pair in zip(new, old, strict=True)]
    return ChromosomeRecord(
        chrom=genome.chroms[c],
        length=int(ts.sequence_length),
        node_tick=tick.astype(np.int32),
        node_deme=deme.astype(np.int16),
        node_flags=flags,
        node_individual=key,
        edge_left=ts.edges_left.astype(np.int64),
        edge_right=ts.edges_right.astype(np.int64),
        edge_parent=ts.edges_parent,
        edge_child=ts.edges_child,
        mutation_bp=columns[0].astype(np.int64),
        mutation_node=columns[1].astype(np.int32),
        mutation_tick=columns[2].astype(np.int32),
        mutation_id=columns[3].astype(np.int64),
        mutation_s=columns[4].astype(np.float64),
        mutation_kind=columns[5].astype(np.int8),
        mutation_deme=columns[6].astype(np.int16),
    )


def _check_census(branch: SlimBranch, ts: tskit.TreeSequence, tick: np.ndarray, deme: np.ndarray, where: str) -> None:
    """Every lineage of the two demes of a pulse must have a node in the tick before it."""
    child, parent = ts.edges_child, ts.edges_parent
    for pulse in branch.schedule.pulses:
        both = np.isin(deme, [pulse.source, pulse.target])
        passing = (tick[child] > pulse.tick - 1) & (tick[parent] < pulse.tick - 1) & both[child] & both[parent]
        if passing.any():
            raise RunError(
                where, f"{passing.sum():,} edges pass the census of tick {pulse.tick - 1} without a node", _BUG
            )


def _bordering(ts: tskit.TreeSequence, deme: np.ndarray) -> np.ndarray:
    """Which nodes have an edge to a node of another deme."""
    out = np.zeros(ts.num_nodes, bool)
    across = deme[ts.edges_parent] != deme[ts.edges_child]
    out[ts.edges_parent[across]] = out[ts.edges_child[across]] = True
    return out


def _sample_nodes(ts: tskit.TreeSequence, pedigree: np.ndarray, where: str) -> np.ndarray:
    """Nodes of the sampled people, first and second strand, in order."""
    ids = ts.tables.individuals.metadata.view(np.uint8)
    records = ids.reshape(ts.num_individuals, -1)[:, : INDIVIDUAL_RECORD.itemsize].copy().view(INDIVIDUAL_RECORD)
    of = dict(zip(records["pedigree_id"].ravel().tolist(), range(ts.num_individuals), strict=True))
    missing = [p for p in pedigree.tolist() if p not in of]
    if missing:
        raise RunError(where, f"{len(missing)} sampled people are not in SLiM's file", _BUG)
    owned: dict[int, list[int]] = {}
    for node in np.flatnonzero(ts.nodes_individual >= 0).tolist():
        owned.setdefault(int(ts.nodes_individual[node]), []).append(node)
    # SLiM writes a person's nodes in order of strand
    return np.array([node for p in pedigree.tolist() for node in sorted(owned[of[p]])], np.int32)


_Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _new_mutations(
    ts: tskit.TreeSequence, tick: np.ndarray, carried: dict[tuple[int, int], np.ndarray],
    born: dict[int, tuple[int, float, int, int]], standing: int, where: str,
) -> _Columns:  # fmt: skip
    """Place, node, tick, id, s, kind and deme of the mutations that arose since the population was read."""
    holders: dict[int, list[int]] = {}
    for (person, strand), ids in carried.items():
        for one in ids[ids >= standing].tolist():
            holders.setdefault(one, []).append(2 * person + strand)
    order = sorted(holders, key=lambda one: born[one][0])
    rows: list[tuple[int, int, int, int, float, int, int]] = []
    tree = ts.first() if ts.num_trees else None
    for one in order:
        bp, s, arose, deme = born[one]
        assert tree is not None
        while not tree.interval.left <= bp < tree.interval.right:
            tree.next()
        nodes = set()
        for sample in holders[one]:
            node = sample
            while tree.parent(node) >= 0 and tick[tree.parent(node)] >= arose:
                node = tree.parent(node)
            nodes.add(node)
        below = set(tree.samples(min(nodes))) if len(nodes) == 1 else set()
        if len(nodes) > 1 or below != set(holders[one]) or tick[min(nodes)] < arose:
            raise RunError(where, f"mutation {one} at {bp:,} bp does not fit the genealogy that SLiM recorded", _BUG)
        rows.append((bp, min(nodes), arose, one, s, NEW, deme))
    return _columns(rows)


def _columns(rows: list[tuple[int, int, int, int, float, int, int]]) -> _Columns:
    parts = list(zip(*rows, strict=True)) if rows else [()] * 7
    ints = [np.array(part, np.float64 if k == 4 else np.int64) for k, part in enumerate(parts)]
    return ints[0], ints[1], ints[2], ints[3], ints[4], ints[5], ints[6]


def _standing(
    branch: SlimBranch, genome: Genome, c: int, ts: tskit.TreeSequence, tick: np.ndarray, deme: np.ndarray,
    founders: dict[int, tuple[np.ndarray, np.ndarray]],
) -> _Columns:  # fmt: skip
    """The same of the mutations that founders had, once for each founding strand that is in the genealogy."""
    if not branch.selected:
        return _columns([])
    arrays = branch.arrays
    chrom, bp = genome.target_positions(arrays["mutation_site"])
    here = chrom == c
    everywhere = {d: arrays[f"deme{d}_fixed"] for d in branch.demes}
    ids, nodes = [], []
    for node in np.flatnonzero(tick == branch.first - 1).tolist():
        d = int(deme[node])
        held, ends = founders[d]
        g = _founder_strand(ts, node, branch, d)
        mine = np.concatenate([held[ends[g] : ends[g + 1]], everywhere[d]])
        mine = mine[here[mine]]
        ids.append(mine)
        nodes.append(np.full(len(mine), node))
    i = np.concatenate([np.zeros(0, np.int64), *ids]).astype(np.int64)
    return (
        bp[i], np.concatenate([np.zeros(0, np.int64), *nodes]), arrays["mutation_born"][i].astype(np.int64),
        _STANDING_IDS + i,
        arrays["mutation_s"][i], np.full(len(i), STANDING), arrays["mutation_lineage"][i].astype(np.int64),
    )  # fmt: skip


def _founder_strand(ts: tskit.TreeSequence, node: int, branch: SlimBranch, d: int) -> int:
    """Which of a deme's founding haplotypes a root is: SLiM numbers founders in order of the file."""
    record = ts.tables.nodes[node].metadata
    slim_id = int(record["slim_id"])
    before = sum(2 * branch.schedule.size(e, branch.first - 1) for e in branch.demes if e < d)
    return slim_id - before
