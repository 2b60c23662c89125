# SPDX-License-Identifier: GPL-3.0-or-later
"""Local ancestry: the stretches of every sampled haplotype that came from each source, read off a tree sequence.

An edge *introduces* ancestry of a source deme if its parent lived in that deme at a census (or migrated from it)
and its child did not. A base has ancestry of the source of the first such edge that is met on the way up from the
sample, so the most recent pulse wins; it is *native* if none is met. Somebody of the source deme itself is native:
as for the markers of the native engine, only what came into other demes counts.

Every way up must have a node at the oldest census, at each later one that the demes around it took part in, and
wherever it leaves a source. A stretch whose way has not is *uncovered*: what it carries may have come in unseen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from admix import ancestry_kernels as kernels
from admix.ancestry_kernels import KEEP, NONE, UNCOVERED
from admix.errors import InputError, RunError, nearest

if TYPE_CHECKING:
    import pandas as pd
    import tskit

__all__ = ["NATIVE", "UNCOVERED", "Tracts", "census_ancestry", "labels_at", "local_ancestry", "window_shares"]

Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

NATIVE = 0
"""Label of what no source brought in. Sources are labelled 1, 2, ... in their order."""

_CENSUS, _MIGRANT = 1 << 20, 1 << 19  # msprime's NODE_IS_CEN_EVENT and NODE_IS_MIG_EVENT
_KEPT_BY_SLIM = 1 << 17 | 1 << 18  # flags of individuals: remembered, retained
_FEW = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracts:
    """Every sampled haplotype cut into stretches of one label, from the first base to the last.

    Attributes
    ----------
    names : tuple of str
        Name of each label: of local ancestry ``native`` and the sources; of a census the populations or the nodes.
    length : float
        Length of the sequence, bp.
    node : int32[n]
        Sample node of each haplotype.
    sample, haplotype : int32[n]
        Number of the haplotype's individual among those sampled, and of the haplotype in it (0 or 1). Nodes without
        individual count as one each.
    population : int32[n]
        Deme in which it was sampled.
    time : float64[n]
        Generations before the last cohort.
    first : int64[n + 1]
        Stretches [first[k], first[k + 1]) are those of haplotype k, in order.
    start : float64[m]
        Where each stretch begins. It ends where the next one of its haplotype begins; the last one at `length`.
    label : int32[m]
        Its label, `UNCOVERED` (-1) for none. Neighbours differ.
    """

    names: tuple[str, ...]
    length: float
    node: Int32
    sample: Int32
    haplotype: Int32
    population: Int32
    time: Float64
    first: Int64
    start: Float64
    label: Int32

    @property
    def end(self) -> Float64:
        """Where each stretch ends, float64[m]."""
        end = np.append(self.start[1:], self.length)
        end[self.first[1:] - 1] = self.length
        return end

    @property
    def row(self) -> Int64:
        """Haplotype of each stretch, int64[m]."""
        return np.repeat(np.arange(len(self.node)), np.diff(self.first))

    @property
    def coverage(self) -> float:
        """Share of all haplotypes' bases that have a label; 1 exactly if and only if every base has one."""
        bare = self.label == UNCOVERED
        if not bare.any():
            return 1.0
        missing = float((self.end - self.start)[bare].sum()) / (len(self.node) * self.length)
        return min(1.0 - missing, float(np.nextafter(1.0, 0.0)))

    def amounts(self, measure: tuple[npt.ArrayLike, npt.ArrayLike] | None = None) -> Float64:
        """Return how much of each haplotype has each label.

        Parameters
        ----------
        measure
            Another measure than bp, as a function of position that never falls: positions, and how much lies before
            each of them; linear between them. Morgans and bases outside gaps are such measures.

        Returns
        -------
        float64[n, labels]
            Bp, or in the units of the measure.
        """
        ends = np.stack([self.start, self.end])
        if measure is not None:
            position, amount = (np.asarray(values, np.float64) for values in measure)
            ends = np.interp(ends, position, amount)
        known = self.label != UNCOVERED
        out = np.zeros((len(self.node), len(self.names)))
        np.add.at(out, (self.row[known], self.label[known]), (ends[1] - ends[0])[known])
        return out

    def frame(self, labels: Iterable[int] | None = None) -> pd.DataFrame:
        """Return the stretches as a table: `start`, `end`, `source` (name), `sample`, `haplotype`.

        Parameters
        ----------
        labels
            Those to list; all but `UNCOVERED` if omitted.

        Returns
        -------
        DataFrame
            In order of haplotype and position. Positions are int64 if all are whole, else float64.
        """
        import pandas as pd

        wanted = range(len(self.names)) if labels is None else list(labels)
        keep = np.isin(self.label, wanted)
        start, end, row = self.start[keep], self.end[keep], self.row[keep]
        if np.array_equal(start, np.floor(start)) and np.array_equal(end, np.floor(end)):
            start, end = start.astype(np.int64), end.astype(np.int64)
        source = np.array(self.names, dtype=object)[self.label[keep]]
        columns = {"start": start, "end": end, "source": source}
        return pd.DataFrame(columns | {"sample": self.sample[row], "haplotype": self.haplotype[row]})


def local_ancestry(
    ts: tskit.TreeSequence,
    sources: Sequence[str | int] | None = None,
    *,
    census: float | Sequence[float] | None = None,
    since: Mapping[str | int, float] | None = None,
    samples: npt.ArrayLike | None = None,
    require_coverage: bool = True,
    where: str = "tree sequence",
) -> Tracts:
    """Return the ancestry of every sampled haplotype, along the sequence.

    Parameters
    ----------
    ts
        The tree sequence. Its population metadata give the demes' names.
    sources
        Source demes, by name or population id; they are labelled 1, 2, ... in this order. If omitted, those that a
        file of admix names.
    census
        Times of the censuses, in the units of the file: the parents' generation of each pulse. Nodes of these times
        count that have msprime's flag for a census; if the file has none, those of individuals that SLiM remembered;
        if it has none either, all. If omitted, all flagged nodes count, and the censuses that a file of admix names
        must be among them.
    since
        For each source the time from which on it counts, the parents' generation of its first pulse. What left the
        source earlier is native, as in the engine. If omitted, that of the file of admix, else the oldest census.
    samples
        Sample nodes (int32[n], each once) in the order wanted. All samples if omitted; in a file of SLiM these may
        be more than the living, namely all who were remembered for good.
    require_coverage
        Refuse if any base of any sample is uncovered; else it is labelled `UNCOVERED`.
    where
        Name of the file, for messages.

    Returns
    -------
    Tracts
        Labels `NATIVE` and 1, 2, ... for the sources. A sample that is older than the oldest census is native.

    Raises
    ------
    InputError
        For an unknown source, or none.
    RunError
        If there is no census, or a base is uncovered.
    """
    labels = _labels(ts)
    population_names = _population_names(ts)
    chosen = _sources(sources, labels, population_names)
    time = ts.nodes_time
    counted = _census_nodes(ts, census, where)
    times = np.unique(time[counted])
    oldest = float(times[-1])
    begin = dict.fromkeys(chosen, oldest)
    if labels is not None and census is None:
        for entry in labels["census"]:
            if time[ts.samples()].min(initial=np.inf) < entry["time_ago"] and entry["time_ago"] not in times:
                raise _no_census(ts, counted, float(entry["time_ago"]), where)
        named = [(_population(e["source"], population_names), float(e["time_ago"])) for e in labels["census"]]
        begin |= {q: max(t for p, t in named if p == q) for q in chosen if q in {p for p, _ in named}}
    if since is not None:
        begin |= {_population(q, population_names): float(t) for q, t in since.items()}

    # one entry more, for nodes without population (-1)
    label_of = np.full(len(population_names) + 1, NONE, np.int32)
    since_of = np.full(len(population_names) + 1, oldest)
    for k, q in enumerate(chosen, start=1):
        label_of[q] = k
        since_of[q] = min(begin[q], oldest)
    home = label_of[ts.nodes_population]
    gives = (home != NONE) & (time <= since_of[ts.nodes_population])
    marked = counted | ((ts.nodes_flags & _MIGRANT) != 0)
    last = _edges_below(ts, oldest)
    parent, child = ts.edges_parent[:last], ts.edges_child[:last]
    action = np.where(gives, home, np.int32(KEEP))[parent]
    action[action == home[child]] = KEEP
    action[(action != KEEP) & ~marked[parent]] = UNCOVERED
    action[_passing(ts, last, times, counted)] = UNCOVERED
    root = np.where(time >= oldest, np.int32(NATIVE), np.int32(UNCOVERED))
    names = ("native", *(population_names[q] for q in chosen))
    tracts = _paint(ts, last, action, root, names, samples)
    if require_coverage and tracts.coverage != 1.0:
        bare = np.unique(tracts.row[tracts.label == UNCOVERED])
        what = f"coverage is {tracts.coverage:.6g}, not 1: {len(bare):,} of {len(tracts.node):,} haplotypes have bases"
        what += f" whose way up lacks a node at a census (the oldest is {oldest:,.10g} generations ago) or migration"
        raise RunError(where, what, "keep census nodes, unary nodes and roots when making and simplifying the file")
    return tracts


def census_ancestry(
    ts: tskit.TreeSequence,
    time: float,
    *,
    by: Literal["population", "node"] = "population",
    samples: npt.ArrayLike | None = None,
    where: str = "tree sequence",
) -> Tracts:
    """Return from which ancestor of one census, or from which population, each base of each sample comes.

    The same as tskit's ``link_ancestors`` with the census nodes as ancestors: all populations are labelled, and what
    has no ancestor at the census is `UNCOVERED`.

    Parameters
    ----------
    ts, samples, where
        As for `local_ancestry`.
    time
        Time of the census; which nodes count is as for `local_ancestry`.
    by
        Label by the ancestor's population (its id), or by the ancestor itself: then the labels are numbers of the
        census nodes in order, and `Tracts.names` holds their node ids.

    Raises
    ------
    RunError
        If no node is of that time.
    """
    counted = _census_nodes(ts, time, where)
    if by == "population":
        own, names = ts.nodes_population, tuple(_population_names(ts))
    else:
        own, names = np.cumsum(counted, dtype=np.int32) - 1, tuple(map(str, np.flatnonzero(counted)))
    last = _edges_below(ts, time)
    action = np.where(counted, own, np.int32(KEEP))[ts.edges_parent[:last]]
    root = np.full(ts.num_nodes, UNCOVERED, np.int32)
    return _paint(ts, last, action, root, names, samples)


def labels_at(source: tskit.TreeSequence | Tracts, positions: npt.ArrayLike, **options: Any) -> Int8:
    """Return the label of every sampled haplotype at given positions.

    Parameters
    ----------
    source
        Tracts, or a tree sequence, for which `local_ancestry` is called with `options`.
    positions
        Positions in bp from 0 to below the length of the sequence, in any order, shape (p,).

    Returns
    -------
    int8[n, p]
        `NATIVE`, 1 + number of the source, or `UNCOVERED`.

    Raises
    ------
    InputError
        For a position outside the sequence, or labels that do not fit.
    """
    tracts = source if isinstance(source, Tracts) else local_ancestry(source, **options)
    wanted = np.asarray(positions, np.float64).reshape(-1)
    outside = ~((wanted >= 0) & (wanted < tracts.length))
    if outside.any():
        raise InputError("positions", float(wanted[np.argmax(outside)]), f"from 0 to below {tracts.length:,.10g}")
    if tracts.label.max(initial=0) > np.iinfo(np.int8).max:
        raise InputError("labels", int(tracts.label.max()), f"at most {np.iinfo(np.int8).max} (label by population)")
    order = np.argsort(wanted, kind="stable")
    out = np.empty((len(tracts.node), len(wanted)), np.int8)
    kernels.read_labels(tracts.first, tracts.start, tracts.label, wanted[order], order, out)
    return out


def window_shares(tracts: Tracts, start: npt.ArrayLike, end: npt.ArrayLike, rows: Bool | None = None) -> Float64:
    """Return the share of each label in windows of the sequence, over all haplotypes together.

    Parameters
    ----------
    tracts
        Labels, `UNCOVERED` ones included, which count as none.
    start, end
        The windows, bp, half-open, not empty, shape (w,); they may overlap or leave gaps.
    rows
        Haplotypes that count, bool[n]; all if omitted.

    Returns
    -------
    float64[labels, w]
        Bases of the label in the window / bases of the window in all haplotypes. Gaps in the known sequence are
        bases like others here.
    """
    lo, hi = np.asarray(start, np.float64), np.asarray(end, np.float64)
    chosen = np.ones(len(tracts.node), np.bool_) if rows is None else np.asarray(rows, np.bool_)
    kept = chosen[tracts.row]
    begins, ends = tracts.start, tracts.end
    out = np.zeros((len(tracts.names), len(lo)))
    for k in range(len(tracts.names)):
        own = kept & (tracts.label == k)
        edges = (np.sort(begins[own]), np.sort(ends[own]))
        out[k] = _before(edges, hi) - _before(edges, lo)
    return out / (int(chosen.sum()) * (hi - lo))


def _before(edges: tuple[Float64, Float64], x: Float64) -> Float64:
    """Bases of intervals (sorted starts, sorted ends) that lie before each x."""
    total = np.zeros(len(x))
    for edge, sign in zip(edges, (1.0, -1.0), strict=True):
        passed = np.searchsorted(edge, x, side="right")
        total += sign * (passed * x - np.append(0.0, np.cumsum(edge))[passed])
    return total


# ---------------------------------------------------------------------- what counts


def _labels(ts: tskit.TreeSequence) -> dict[str, Any] | None:
    """What admix wrote into the file; None for a file of another program."""
    metadata = ts.metadata
    found = metadata.get("admix") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else None


def _population_names(ts: tskit.TreeSequence) -> list[str]:
    rows = (population.metadata for population in ts.populations())
    return [row["name"] if isinstance(row, dict) and row.get("name") else f"pop_{k}" for k, row in enumerate(rows)]


def _population(given: str | int, names: Sequence[str]) -> int:
    """Id of a population that is given by name or id."""
    if isinstance(given, str) and given in names:
        return names.index(given)
    if not isinstance(given, str) and 0 <= given < len(names):
        return int(given)
    close = nearest(given, names) if isinstance(given, str) else None
    raise InputError("source", given, f"a population of the file: {', '.join(names)}", close)


def _sources(given: Sequence[str | int] | None, labels: dict[str, Any] | None, names: Sequence[str]) -> list[int]:
    chosen = [_population(q, names) for q in (given if given is not None else labels["sources"] if labels else ())]
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("sources", [names[q] for q in chosen], f"one or several of {', '.join(names)}, each once")
    return chosen


def _kept(ts: tskit.TreeSequence) -> Bool:
    """Nodes that were kept for a census: flagged ones; where there are none, those of individuals that SLiM kept."""
    flagged: Bool = (ts.nodes_flags & _CENSUS) != 0
    if flagged.any():
        return flagged
    individuals = np.append((ts.individuals_flags & _KEPT_BY_SLIM) != 0, False)
    kept: Bool = individuals[ts.nodes_individual]  # -1 is the False at the end
    return kept


def _census_nodes(ts: tskit.TreeSequence, census: float | Sequence[float] | None, where: str) -> Bool:
    """Which nodes count as census nodes, bool[nodes]."""
    kept = _kept(ts)
    if census is None:
        flagged: Bool = kept & ((ts.nodes_flags & _CENSUS) != 0)
        if not flagged.any():
            raise _no_census(ts, kept, None, where)
        return flagged
    counted = np.zeros(ts.num_nodes, np.bool_)
    for time in np.atleast_1d(np.asarray(census, np.float64)):
        found = (ts.nodes_time == time) & (kept if kept.any() else True)
        if not found.any():
            raise _no_census(ts, kept, float(time), where)
        counted |= found
    return counted


def _no_census(ts: tskit.TreeSequence, kept: Bool, time: float | None, where: str) -> RunError:
    """The error that says which censuses there are."""
    there = ", ".join(f"{t:,.10g}" for t in np.unique(ts.nodes_time[kept])) or "none"
    at = "no census node found" if time is None else f"no census found at time {time:,.10g}"
    return RunError(where, at, f"available: {there}")


def _edges_below(ts: tskit.TreeSequence, time: float) -> int:
    """Number of edges whose parent is not older than `time`; they are the first ones."""
    nodes_time, parent = ts.nodes_time, ts.edges_parent
    return bisect_right(range(ts.num_edges), time, key=lambda e: float(nodes_time[parent[e]]))


def _passing(ts: tskit.TreeSequence, last: int, times: Float64, counted: Bool) -> Int64:
    """Edges that pass a census without a node, though the demes of both ends have nodes there.

    The oldest census needs no look: edges from beyond it are left out.
    """
    if len(times) == 1:
        return np.zeros(0, np.int64)
    parent, child = ts.edges_parent[:last], ts.edges_child[:last]
    before = np.searchsorted(times, ts.nodes_time, side="left").astype(np.int32)
    upto = np.searchsorted(times, ts.nodes_time, side="right").astype(np.int32)
    over = np.flatnonzero(upto[child] < before[parent])
    lo, hi = upto[child[over]], before[parent[over]]
    both = ts.nodes_population[child[over]], ts.nodes_population[parent[over]]
    found = np.zeros(len(over), np.bool_)
    for k in range(lo.min(initial=len(times)), hi.max(initial=0)):
        took_part = np.zeros(ts.num_populations + 1, np.bool_)
        took_part[ts.nodes_population[counted & (ts.nodes_time == times[k])]] = True
        found |= (lo <= k) & (k < hi) & took_part[both[0]] & took_part[both[1]]
    return over[found]


# ---------------------------------------------------------------------- the kernel


def _paint(
    ts: tskit.TreeSequence,
    last: int,
    action: Int32,
    root: Int32,
    names: tuple[str, ...],
    samples: npt.ArrayLike | None,
) -> Tracts:
    """Run the kernel over the first `last` edges, with as much memory as it asks for."""
    node = np.array(ts.samples() if samples is None else samples, dtype=np.int32).reshape(-1)
    if len(node) == 0 or node.min() < 0 or node.max() >= ts.num_nodes or len(np.unique(node)) < len(node):
        raise InputError("samples", node.tolist(), "one or several nodes of the file, each once")
    row_of = np.full(ts.num_nodes, NONE, np.int32)
    row_of[node] = np.arange(len(node), dtype=np.int32)
    head, count = np.full(ts.num_nodes, NONE, np.int32), np.zeros(ts.num_nodes, np.int32)
    progress = np.zeros(8, np.int64)
    progress[kernels.END], progress[kernels.NEXT], progress[kernels.FREE] = last, NONE, NONE
    left, right, value, link = np.empty(0), np.empty(0), np.empty(0, np.int32), np.empty(0, np.int32)
    at, step = np.empty(_FEW), np.empty(_FEW, np.int32)
    out_at, out_step = np.empty(_FEW), np.empty(_FEW, np.int32)
    out_first, out_n = np.zeros(len(node), np.int64), np.zeros(len(node), np.int64)
    while True:
        status = kernels.paint(
            progress, ts.sequence_length, ts.edges_left[:last], ts.edges_right[:last], ts.edges_parent[:last],
            ts.edges_child[:last], action, root, row_of, node, head, count, left, right, value, link, at, step,
            out_at, out_step, out_first, out_n,
        )  # fmt: skip
        if status == kernels.DONE:
            break
        if status == kernels.MORE_CELLS:
            old = len(left)
            left, right, value, link = _longer((left, right, value, link), int(progress[kernels.STEPS]))
            link[old:] = np.arange(old + 1, len(link) + 1)
            link[-1] = progress[kernels.FREE]
            progress[kernels.FREE] = old
            progress[kernels.SPARE] += len(link) - old
        elif status == kernels.MORE_STEPS:
            at, step = _longer((at, step))
        else:
            out_at, out_step = _longer((out_at, out_step))
    del left, right, value, link
    first = np.append(0, np.cumsum(out_n))
    take = np.repeat(out_first - first[:-1], out_n) + np.arange(first[-1])
    sample, haplotype = _individuals(ts, node)
    return Tracts(
        names=names,
        length=float(ts.sequence_length),
        node=node,
        sample=sample,
        haplotype=haplotype,
        population=ts.nodes_population[node],
        time=ts.nodes_time[node],
        first=first,
        start=out_at[take],
        label=out_step[take],
    )


def _longer(arrays: tuple[npt.NDArray[Any], ...], least: int = 0) -> list[npt.NDArray[Any]]:
    """The arrays with half as much room again, and with `least` places more at least."""
    out = []
    for old in arrays:
        new = np.empty(max(_FEW, len(old) + len(old) // 2 + 1, len(old) + least), old.dtype)
        new[: len(old)] = old
        out.append(new)
    return out


def _individuals(ts: tskit.TreeSequence, node: Int32) -> tuple[Int32, Int32]:
    """Number of each sample node's individual among those sampled, and of the node in its individual."""
    individual = ts.nodes_individual[node].astype(np.int64)
    alone = individual < 0
    individual[alone] = ts.num_individuals + node[alone]
    _, sample = np.unique(individual, return_inverse=True)
    order = np.lexsort((node, sample))
    fresh = np.flatnonzero(np.diff(sample[order], prepend=-1))
    haplotype = np.empty(len(node), np.int32)
    haplotype[order] = np.arange(len(node)) - np.repeat(fresh, np.diff(fresh, append=len(node)))
    return sample.astype(np.int32), haplotype
