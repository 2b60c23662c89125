# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that paint the genomes of samples with labels, in one pass over the edges of a tree sequence.

Edges are taken from the oldest parent to the youngest. A node has its final labels when the first edge below it
comes up, for all edges above it are older; it hands them down and they are forgotten. What waits is, for each
node that is still to come, a linked list of intervals in no order: a *cell* is (left, right, value, link). The
list is sorted once, when the node's turn comes, and is then a *step function* over the whole sequence:
``at[i]`` is where the value ``label[i]`` begins.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from admix.engines.native import compiled as compiled  # the folder of compiled kernels: before any kernel

KEEP = -2
"""Action of an edge: the child has what the parent has."""
UNCOVERED = -1
"""Value of what has no label. As an action: the edge hands nothing down."""
NONE = -1
"""End of a list."""

END, BEGIN, NEXT, STEPS, FREE, SPARE, ROWS, LEAF = range(8)
"""Entries of ``progress``: edges from END on are done; BEGIN is the first edge of the parent in hand, NEXT the edge
to do next (NONE: its labels are not made yet), STEPS the length of its step function; FREE heads the list of free
cells, SPARE counts them; ROWS are written; samples before LEAF have been looked at, once all edges are done."""
DONE, MORE_CELLS, MORE_STEPS, MORE_ROWS = range(4)
"""What `paint` returns: it is finished, or which of the arrays is too short to go on."""


@njit(nogil=True)
def sort_cells(head: Any, left: Any, link: Any) -> Any:
    """Sort a list of cells by ``left``, by merging runs of 1, 2, 4, ...; return its new head."""
    run = 1
    while True:
        p = head
        head = NONE
        tail = NONE
        merges = 0
        while p != NONE:
            merges += 1
            q = p
            n_p = 0
            while n_p < run and q != NONE:
                n_p += 1
                q = link[q]
            n_q = run
            while n_p > 0 or (n_q > 0 and q != NONE):
                if n_p > 0 and (n_q == 0 or q == NONE or left[p] <= left[q]):
                    cell = p
                    p = link[p]
                    n_p -= 1
                else:
                    cell = q
                    q = link[q]
                    n_q -= 1
                if tail == NONE:
                    head = cell
                else:
                    link[tail] = cell
                tail = cell
            p = q
        if tail != NONE:
            link[tail] = NONE
        if merges <= 1:
            return head
        run *= 2


@njit(nogil=True)
def add_step(n: Any, x: Any, value: Any, at: Any, label: Any) -> Any:
    """Let ``value`` hold from ``x`` on in a step function of ``n`` steps; return how many it has then."""
    if n > 0 and label[n - 1] == value:
        return n
    at[n] = x
    label[n] = value
    return n + 1


@njit(nogil=True)
def steps_of_cells(
    head: Any, length: Any, rest: Any, left: Any, right: Any, value: Any, link: Any, at: Any, label: Any
) -> Any:
    """Fill ``at`` and ``label`` from a sorted list; ``rest`` is the value between the cells. Return the steps."""
    n = 0
    x = 0.0
    cell = head
    while cell != NONE:
        if left[cell] > x:
            n = add_step(n, x, rest, at, label)
        n = add_step(n, left[cell], value[cell], at, label)
        x = right[cell]
        cell = link[cell]
    if x < length:
        n = add_step(n, x, rest, at, label)
    return n


@njit(nogil=True)
def release(head: Any, link: Any, free: Any) -> Any:
    """Put a list of cells before the list of free ones; return its head."""
    if head == NONE:
        return free
    tail = head
    while link[tail] != NONE:
        tail = link[tail]
    link[tail] = free
    return head


@njit(nogil=True)
def step_at(x: Any, n: Any, at: Any) -> Any:
    """Number of the step that holds at ``x``."""
    lo = 0
    hi = n
    while hi - lo > 1:
        mid = (lo + hi) >> 1
        if at[mid] <= x:
            lo = mid
        else:
            hi = mid
    return lo


@njit(nogil=True)
def finish_node(
    u: Any, progress: Any, length: Any, rest: Any, row: Any, head: Any, count: Any, left: Any, right: Any,
    value: Any, link: Any, at: Any, label: Any, out_at: Any, out_label: Any, out_first: Any, out_n: Any,
) -> Any:  # fmt: skip
    """Make the step function of node ``u`` from its cells, which become free; write it out if it is sample ``row``.

    Returns DONE, or what is missing, and then nothing is changed.
    """
    most = 2 * count[u] + 1
    if most > at.shape[0]:
        return MORE_STEPS
    if row >= 0 and progress[ROWS] + most > out_at.shape[0]:
        return MORE_ROWS
    first = sort_cells(head[u], left, link)
    n = steps_of_cells(first, length, rest, left, right, value, link, at, label)
    progress[FREE] = release(first, link, progress[FREE])
    progress[SPARE] += count[u]
    progress[STEPS] = n
    head[u] = NONE
    count[u] = 0
    if row >= 0:
        at_row = progress[ROWS]
        out_first[row] = at_row
        out_n[row] = n
        for i in range(n):
            out_at[at_row + i] = at[i]
            out_label[at_row + i] = label[i]
        progress[ROWS] = at_row + n
    return DONE


@njit(nogil=True)
def add_cell(
    u: Any, progress: Any, begin: Any, end: Any, v: Any, head: Any, count: Any, left: Any, right: Any, value: Any,
    link: Any,
) -> None:  # fmt: skip
    """Let node ``u`` have value ``v`` in [begin, end): lengthen its newest cell, or take a free one."""
    cell = head[u]
    if cell != NONE and value[cell] == v:
        if right[cell] == begin:
            right[cell] = end
            return
        if left[cell] == end:
            left[cell] = begin
            return
    new = progress[FREE]
    progress[FREE] = link[new]
    progress[SPARE] -= 1
    left[new] = begin
    right[new] = end
    value[new] = v
    link[new] = cell
    head[u] = new
    count[u] += 1


@njit(nogil=True, cache=True)
def paint(
    progress: Any, length: Any, edge_left: Any, edge_right: Any, edge_parent: Any, edge_child: Any, action: Any,
    root_label: Any, row_of: Any, samples: Any, head: Any, count: Any, left: Any, right: Any, value: Any, link: Any,
    at: Any, label: Any, out_at: Any, out_label: Any, out_first: Any, out_n: Any,
) -> Any:  # fmt: skip
    """Write each sample's labels along the sequence as a step function.

    Parameters
    ----------
    progress : int64[8]
        Where the work stands, see `END`; changed.
    length
        Length of the sequence. Positions are float64.
    edge_left, edge_right, edge_parent, edge_child
        The edges, in order of the parents' times, those of one parent together.
    action : int32[edges]
        What each edge hands down: `KEEP` the parent's labels, `UNCOVERED` nothing, else this label.
    root_label : int32[nodes]
        Label of a node where no edge that hands anything down is above it.
    row_of : int32[nodes]
        Number of each sample, -1 for other nodes.
    samples : int32[n]
        Nodes of the samples.
    head, count : int32[nodes]
        List of each node's cells, and how many they are; changed.
    left, right : float64[cells]
    value, link : int32[cells]
        The cells; changed.
    at, label
        Scratch for a step function, float64 and int32; kept between calls.
    out_at, out_label
        Steps of all samples, float64 and int32.
    out_first, out_n : int64[n]
        First step of each sample, and how many it has.

    Returns
    -------
    int
        `DONE`, or which arrays are too short. The work goes on when the caller has lengthened them (``MORE_CELLS``:
        by at least ``progress[STEPS]`` free cells) and calls again.
    """
    end = progress[END]
    while end > 0:
        parent = edge_parent[end - 1]
        if progress[NEXT] == NONE:
            status = finish_node(
                parent, progress, length, root_label[parent], row_of[parent], head, count, left, right, value, link,
                at, label, out_at, out_label, out_first, out_n,
            )  # fmt: skip
            if status != DONE:
                return status
            begin = end - 1
            while begin > 0 and edge_parent[begin - 1] == parent:
                begin -= 1
            progress[BEGIN] = begin
            progress[NEXT] = begin
        n = progress[STEPS]
        for e in range(progress[NEXT], end):
            if progress[SPARE] < n:
                progress[NEXT] = e
                return MORE_CELLS
            if action[e] == UNCOVERED:
                continue
            child = edge_child[e]
            x = edge_left[e]
            if action[e] != KEEP:
                add_cell(child, progress, x, edge_right[e], action[e], head, count, left, right, value, link)
                continue
            i = step_at(x, n, at)
            while x < edge_right[e]:
                y = edge_right[e]
                if i + 1 < n and at[i + 1] < y:
                    y = at[i + 1]
                # what the child has anyway needs no cell: all that is older than the census costs nothing
                if label[i] != root_label[child]:
                    add_cell(child, progress, x, y, label[i], head, count, left, right, value, link)
                x = y
                i += 1
        end = progress[BEGIN]
        progress[END] = end
        progress[NEXT] = NONE
    for k in range(progress[LEAF], samples.shape[0]):
        u = samples[k]
        if out_n[k] == 0:
            status = finish_node(
                u, progress, length, root_label[u], k, head, count, left, right, value, link, at, label, out_at,
                out_label, out_first, out_n,
            )  # fmt: skip
            if status != DONE:
                return status
        progress[LEAF] = k + 1
    return DONE


@njit(nogil=True, cache=True)
def read_labels(first: Any, start: Any, label: Any, position: Any, place: Any, out: Any) -> None:
    """Fill ``out[k, place[j]]`` with the label of sample k at ``position[j]`` (float64, ascending).

    ``first`` int64[n + 1] delimits each sample's steps in ``start`` float64 and ``label``.
    """
    for k in range(first.shape[0] - 1):
        i = first[k]
        last = first[k + 1] - 1
        for j in range(position.shape[0]):
            while i < last and start[i + 1] <= position[j]:
                i += 1
            out[k, place[j]] = label[i]
