# SPDX-License-Identifier: GPL-3.0-or-later
"""Slow, obvious twins of the kernels of local ancestry, on Python lists, and of the rule itself on tskit's trees.

A twin asks at each position alone which edge is above a node, and goes up. It knows nothing of the order of edges,
of cells, free lists or scratch.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEEP = -2
UNCOVERED = -1
MIGRANT = 1 << 19
Steps = list[tuple[float, int]]
"""A step function: where each value begins, and the value."""
Interval = tuple[float, float, int]
"""Left end, right end, value."""


@dataclass(frozen=True)
class Edge:
    """Above ``child`` is ``parent`` in [left, right); ``action`` says what the child gets from it."""

    left: float
    right: float
    parent: int
    child: int
    action: int = KEEP


def squash(pieces: Iterable[Interval]) -> Steps:
    """Neighbours of one value become one step."""
    steps: Steps = []
    for left, _, value in sorted(pieces):
        if not steps or steps[-1][1] != value:
            steps.append((left, value))
    return steps


def label_above(u: int, x: float, edges: Sequence[Edge], root_label: Sequence[int]) -> int:
    """Label of node ``u`` at ``x``: from the edge above it that hands something down, else that of a root."""
    above = [e for e in edges if e.child == u and e.left <= x < e.right and e.action != UNCOVERED]
    assert len(above) <= 1
    if not above:
        return root_label[u]
    return label_above(above[0].parent, x, edges, root_label) if above[0].action == KEEP else above[0].action


def paint(length: float, edges: Sequence[Edge], root_label: Sequence[int], samples: Iterable[int]) -> list[Steps]:
    """Labels of each sample along the sequence."""
    ends = sorted({0.0, length, *(e.left for e in edges), *(e.right for e in edges)})
    return [
        squash((left, right, label_above(u, left, edges, root_label)) for left, right in itertools.pairwise(ends))
        for u in samples
    ]


def sort_cells(cells: Iterable[Interval]) -> list[Interval]:
    """By left end; those that begin together keep their order."""
    return sorted(cells, key=lambda cell: cell[0])


def add_step(steps: Steps, x: float, value: int) -> Steps:
    """One step more, unless the value holds already."""
    return steps if steps and steps[-1][1] == value else [*steps, (x, value)]


def steps_of_cells(cells: Iterable[Interval], length: float, rest: int) -> Steps:
    """The value of the cell that holds a place, ``rest`` where none does."""
    cells = list(cells)
    ends = sorted({0.0, length, *(c[0] for c in cells), *(c[1] for c in cells)})
    values = [next((v for a, b, v in cells if a <= x < b), rest) for x in ends[:-1]]
    return squash((x, x, v) for x, v in zip(ends, values, strict=False))


def step_at(x: float, starts: Sequence[float]) -> int:
    """Number of the last step that begins at ``x`` or before."""
    return max(i for i, start in enumerate(starts) if start <= x)


def release(cells: Sequence[int], free: Sequence[int]) -> list[int]:
    """Free cells: these, and those that were free before."""
    return [*cells, *free]


def add_cell(cells: Sequence[Interval], new: Interval) -> set[tuple[float, int]]:
    """What a node has at each whole position, with the new interval."""
    return {(x, v) for a, b, v in [*cells, new] for x in range(int(a), int(b))}


def read_labels(haplotypes: Sequence[Steps], positions: Sequence[float]) -> list[list[int]]:
    """The value of each haplotype at each position."""
    return [[[value for start, value in steps if start <= x][-1] for x in positions] for steps in haplotypes]


# ---------------------------------------------------------------------- the rule


def ancestry_at(
    tree: Any,
    u: int,
    sources: Mapping[int, int],
    census: Mapping[float, Collection[int]],
    since: Mapping[int, float] | None = None,
) -> int:
    """Label of a sample in a tskit tree: that of the first introducing edge on the way up.

    0 where a node at the oldest census is reached without one; -1 where there is no such node on the way, or the way
    leaves a source at a node that is neither a census's nor a migrant's, or it passes a later census between demes
    that have nodes there. ``sources`` are labels by population, ``census`` says at which times there are nodes of which
    populations, ``since`` from which time on each population's ancestry counts.
    """
    ts, oldest = tree.tree_sequence, max(census)
    while ts.node(u).time < oldest:
        child, above = ts.node(u), tree.parent(u)
        if above == -1 or ts.node(above).time > oldest:
            return UNCOVERED
        parent, u = ts.node(above), above
        passed = [demes for time, demes in census.items() if child.time < time < parent.time]
        if any(child.population in demes and parent.population in demes for demes in passed):
            return UNCOVERED
        leaves = parent.population in sources and child.population != parent.population
        if leaves and (since is None or parent.time <= since.get(parent.population, oldest)):
            seen = parent.time in census or parent.flags & MIGRANT
            return sources[parent.population] if seen else UNCOVERED
    return 0


def local_ancestry(
    ts: Any, sources: Mapping[int, int], census: Iterable[float], since: Mapping[int, float] | None = None
) -> list[list[Interval]]:
    """Stretches of each sample, by going up every tree from every sample."""
    there = {time: {node.population for node in ts.nodes() if node.time == time} for time in census}
    pieces: list[list[Interval]] = [[] for _ in ts.samples()]
    for tree in ts.trees():
        for k, s in enumerate(ts.samples()):
            label = ancestry_at(tree, s, sources, there, since)
            pieces[k].append((tree.interval.left, tree.interval.right, label))
    return [joined(own) for own in pieces]


def joined(pieces: Iterable[Interval]) -> list[Interval]:
    """Intervals that touch and have one value become one."""
    out: list[Interval] = []
    for left, right, value in pieces:
        if out and out[-1][1] == left and out[-1][2] == value:
            left = out.pop()[0]
        out.append((left, right, value))
    return out
