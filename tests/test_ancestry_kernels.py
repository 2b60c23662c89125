# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels of local ancestry against tests/ancestry_reference.py."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ancestry_reference as ref
import numpy as np
import pytest
from adapters import EXAMPLES
from hypothesis import given
from hypothesis import strategies as st
from test_bits import TESTS, jitted, uses

from admix import ancestry_kernels as kernels
from admix.ancestry_kernels import NONE

STALE = 0x5A1E5A1E
"""What int32 arrays hold before a call."""
TWIN_OF = {"finish_node": "paint"}
"""Kernels whose twin has another name: a part of it."""


if os.environ.get("ADMIX_KERNEL_MODE"):  # set by test_ancestry.py in the process that runs in a mode

    def test_the_mode_is_on() -> None:
        """A place beyond the end of the array: compiled without checks, the kernel would read on."""
        with pytest.raises(IndexError, match="out of bounds"):
            kernels.step_at(1.0, 9, np.zeros(1))


def test_every_kernel_has_a_twin_that_a_test_compares_it_with() -> None:
    names = jitted(Path(kernels.__file__).read_text())
    assert len(names) == len(set(names)) == 9
    assert set(TWIN_OF) <= set(names)
    used = uses((TESTS / Path(__file__).name).read_text(), "ref")
    for name in names:
        twin = TWIN_OF.get(name, name)
        assert callable(getattr(ref, twin, None)), f"kernel {name} has no twin in tests/ancestry_reference.py"
        assert twin in used, f"no test compares a kernel with the twin {twin}"


class Cells:
    """An arena of cells in a random order, some of which are a list and some are free."""

    def __init__(self, cells: Sequence[ref.Interval], n_free: int, rng: random.Random) -> None:
        n = len(cells) + n_free
        place = rng.sample(range(n), n)
        self.left, self.right = np.full(n, np.nan), np.full(n, np.nan)
        self.value, self.link = np.full(n, STALE, np.int32), np.full(n, STALE, np.int32)
        for k, (left, right, value) in zip(place, cells, strict=False):
            self.left[k], self.right[k], self.value[k] = left, right, value
        self.used, self.spare = place[: len(cells)], place[len(cells) :]
        self.head, self.free = self._chain(self.used), self._chain(self.spare)

    def _chain(self, places: Sequence[int]) -> int:
        for here, after in itertools.pairwise([*places, NONE]):
            self.link[here] = after
        return places[0] if places else NONE

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.left, self.right, self.value, self.link

    def places(self, head: int) -> list[int]:
        found = []
        while head != NONE:
            assert head not in found, "the list is a ring"
            found.append(int(head))
            head = int(self.link[head])
        return found

    def content(self, head: int) -> list[ref.Interval]:
        return [(float(self.left[k]), float(self.right[k]), int(self.value[k])) for k in self.places(head)]


def intervals(rng: random.Random, length: int, most: int, values: int) -> list[ref.Interval]:
    """Disjoint intervals in no order, some of which touch."""
    ends = sorted(rng.sample(range(length + 1), min(length + 1, 2 * rng.randint(0, most))))
    pairs = [(ends[i], ends[i + 1]) for i in range(0, len(ends) - 1, rng.choice([1, 2]))]
    out = [(float(a), float(b), rng.randrange(-1, values)) for a, b in pairs]
    rng.shuffle(out)
    return out


@EXAMPLES
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_sort_cells(seed: int, n: int) -> None:
    rng = random.Random(seed)
    # equal left ends too: their order shows that the sort is stable
    cells = Cells([(float(rng.randint(0, n)), float(k), k) for k in range(n)], 3, rng)
    before = cells.content(cells.head)
    head = kernels.sort_cells(cells.head, cells.left, cells.link)
    assert cells.content(head) == ref.sort_cells(before)
    assert cells.places(cells.free) == cells.spare


@EXAMPLES
@given(st.integers(0, 2**32), st.sampled_from([-1, 0, 2]))
def test_steps_of_cells_and_add_step(seed: int, rest: int) -> None:
    rng = random.Random(seed)
    length = rng.choice([1, 7, 30])
    found = intervals(rng, length, 8, 3)
    cells = Cells(ref.sort_cells(found), 2, rng)
    at, label = np.full(2 * len(found) + 1, np.nan), np.full(2 * len(found) + 1, STALE, np.int32)
    n = kernels.steps_of_cells(cells.head, float(length), rest, *cells.arrays, at, label)
    steps = ref.steps_of_cells(found, float(length), rest)
    assert list(zip(at[:n].tolist(), label[:n].tolist(), strict=True)) == steps
    assert np.isnan(at[n:]).all()
    for value in (steps[-1][1], 9):
        at, label = np.append([x for x, _ in steps], 0.0), np.array([*(v for _, v in steps), 0], np.int32)
        n = kernels.add_step(len(steps), length - 0.5, value, at, label)
        after = list(zip(at[:n].tolist(), label[:n].tolist(), strict=True))
        assert after == ref.add_step(steps, length - 0.5, value)


@EXAMPLES
@given(st.sets(st.integers(1, 60), max_size=20), st.integers(0, 61))
def test_step_at(starts: set[int], x: int) -> None:
    at = [0.0, *map(float, sorted(starts))]
    room = np.array([*at, -1.0, -1.0])  # what lies behind the steps is not looked at
    assert kernels.step_at(float(x), len(at), room) == ref.step_at(x, at)


@EXAMPLES
@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 5))
def test_release(seed: int, n: int, n_free: int) -> None:
    cells = Cells([(0.0, 1.0, 0)] * n, n_free, random.Random(seed))
    free = kernels.release(cells.head, cells.link, cells.free)
    assert cells.places(free) == ref.release(cells.used, cells.spare)


@EXAMPLES
@given(st.integers(0, 2**32))
def test_add_cell(seed: int) -> None:
    rng = random.Random(seed)
    drawn = intervals(rng, 20, 6, 2)
    if not drawn:
        return
    *old, new = drawn
    if old and rng.random() < 0.7:  # beside the newest cell, which is the first of the list
        a, b, v = old[0]
        new = rng.choice([(b, b + 2.0, v), (a - 2.0, a, v), (b, b + 2.0, v + 1)])
        if any(new[0] < d and c < new[1] for c, d, _ in old):
            return
    cells = Cells(old, 2, rng)
    progress = np.zeros(8, np.int64)
    progress[kernels.FREE], progress[kernels.SPARE] = cells.free, 2
    head, count = np.array([NONE, cells.head], np.int32), np.array([0, len(old)], np.int32)
    kernels.add_cell(1, progress, *new, head, count, *cells.arrays)
    content = cells.content(int(head[1]))
    assert ref.add_cell(content[1:], content[0]) == ref.add_cell(old, new)
    assert len(content) == count[1] <= len(old) + 1
    assert len(cells.places(int(progress[kernels.FREE]))) == progress[kernels.SPARE] == 2 - (count[1] - len(old))
    beside = bool(old) and old[0][2] == new[2] and (old[0][1] == new[0] or old[0][0] == new[1])
    assert count[1] == len(old) + (not beside)


# ---------------------------------------------------------------------- a whole genealogy


def genealogy(
    rng: random.Random, n: int, length: int, gaps: float, labels: int
) -> tuple[list[ref.Edge], list[int], list[int]]:
    """Edges by age of the parent, labels of roots and samples; node 0 is the oldest."""
    edges = []
    for child in range(1, n):
        cuts = [0, *sorted(rng.sample(range(1, length), rng.randint(0, min(4, length - 1)))), length]
        for left, right in itertools.pairwise(cuts):
            if rng.random() >= gaps:
                action = rng.choice([ref.KEEP] * 6 + [ref.UNCOVERED, *range(labels)])
                edges.append(ref.Edge(left, right, rng.randrange(child), child, action))
    # edges of one parent in no order among themselves
    rng.shuffle(edges)
    edges.sort(key=lambda e: -e.parent)
    root_label = [rng.choice([-1, -1, 0, 1]) for _ in range(n)]
    samples = rng.sample(range(n), rng.randint(1, n))
    return edges, root_label, samples


def longer(array: np.ndarray, by: int) -> np.ndarray:
    return np.append(array, np.full(by, STALE, array.dtype))


def painted(
    length: int, edges: Sequence[ref.Edge], root_label: Sequence[int], samples: Sequence[int], step: int
) -> tuple[list[ref.Steps], dict[str, Any]]:
    """What the kernel writes, with arrays that are too short and are lengthened by ``step`` whenever it asks."""
    n = len(root_label)
    columns = [np.array([getattr(e, name) for e in edges], np.float64) for name in ("left", "right")]
    nodes = [np.array([getattr(e, name) for e in edges], np.int32) for name in ("parent", "child", "action")]
    for array in (*columns, *nodes[:2]):
        array.flags.writeable = False  # as tskit gives them
    row_of = np.full(n, NONE, np.int32)
    row_of[list(samples)] = np.arange(len(samples))
    head, count = np.full(n, NONE, np.int32), np.zeros(n, np.int32)
    progress = np.zeros(8, np.int64)
    progress[kernels.END], progress[kernels.NEXT], progress[kernels.FREE] = len(edges), NONE, NONE
    cells = [np.empty(0), np.empty(0), np.empty(0, np.int32), np.empty(0, np.int32)]
    scratch, out = [np.empty(1), np.empty(1, np.int32)], [np.empty(0), np.empty(0, np.int32)]
    first, number = np.zeros(len(samples), np.int64), np.zeros(len(samples), np.int64)
    asked = set()
    for _ in range(100_000):
        status = kernels.paint(
            progress, float(length), *columns, *nodes, np.array(root_label, np.int32), row_of,
            np.array(samples, np.int32), head, count, *cells, *scratch, *out, first, number,
        )  # fmt: skip
        asked.add(int(status))
        if status == kernels.DONE:
            break
        if status == kernels.MORE_CELLS:
            old, more = len(cells[0]), max(step, int(progress[kernels.STEPS]))
            cells = [longer(array, more) for array in cells]
            cells[3][old:] = [*range(old + 1, old + more), progress[kernels.FREE]]
            progress[kernels.FREE] = old
            progress[kernels.SPARE] += more
        elif status == kernels.MORE_STEPS:
            scratch = [longer(array, step) for array in scratch]
        else:
            out = [longer(array, step) for array in out]
    else:
        raise AssertionError("the kernel asks for more for ever")
    rows = [
        list(zip(out[0][a : a + k].tolist(), out[1][a : a + k].tolist(), strict=True))
        for a, k in zip(first.tolist(), number.tolist(), strict=True)
    ]
    facts = {"asked": asked, "cells": len(cells[0]), "spare": int(progress[kernels.SPARE]), "count": count}
    return rows, facts


@EXAMPLES
@given(st.integers(0, 2**32), st.sampled_from([1, 5, 100]), st.sampled_from([0.0, 0.2]))
def test_paint(seed: int, step: int, gaps: float) -> None:
    rng = random.Random(seed)
    n, length = rng.randint(1, 14), rng.choice([1, 5, 40])
    edges, root_label, samples = genealogy(rng, n, length, gaps, rng.choice([1, 3]))
    rows, facts = painted(length, edges, root_label, samples, step)
    assert rows == ref.paint(float(length), edges, root_label, samples)
    # of what is left only nodes that nobody looked at may hold any
    assert facts["cells"] - facts["spare"] == facts["count"].sum()
    assert not facts["count"][samples].any() and not facts["count"][[e.parent for e in edges]].any()


def test_paint_asks_for_room_of_each_kind_and_goes_on() -> None:
    edges, root_label, samples = genealogy(random.Random(5), 40, 200, 0.1, 4)
    rows, facts = painted(200, edges, root_label, samples, 1)
    assert facts["asked"] == {kernels.DONE, kernels.MORE_CELLS, kernels.MORE_STEPS, kernels.MORE_ROWS}
    assert rows == ref.paint(200.0, edges, root_label, samples)


def test_cells_are_used_again() -> None:
    """A line of mothers and daughters of 1,000 generations needs as much room as one of 10."""
    used = []
    for n in (10, 1000):
        edges = [ref.Edge(0, 50, k - 1, k) for k in range(n - 1, 1, -1)]
        edges += [ref.Edge(10 * k, 10 * k + 10, 0, 1, k % 2) for k in range(5)]
        rows, facts = painted(50, edges, [-1] * n, [n - 1], 1)
        assert rows == [[(0.0, 0), (10.0, 1), (20.0, 0), (30.0, 1), (40.0, 0)]]
        used.append(facts["cells"])
    assert used[0] == used[1] <= 12


def test_what_is_older_than_the_census_takes_no_room() -> None:
    edges = [ref.Edge(k, k + 1, k, 101) for k in range(100, 0, -1)]
    rows, facts = painted(101, edges, [0] * 102, [101], 1)
    assert rows == [[(0.0, 0)]]
    assert facts["cells"] <= 1


@EXAMPLES
@given(st.integers(0, 2**32), st.integers(0, 12))
def test_read_labels(seed: int, n_positions: int) -> None:
    rng = random.Random(seed)
    haplotypes = [ref.steps_of_cells(intervals(rng, 30, 5, 3), 30.0, 0) for _ in range(rng.randint(1, 4))]
    positions = [rng.choice([0.0, 29.5, float(rng.randrange(30)), rng.random() * 30]) for _ in range(n_positions)]
    first = np.append(0, np.cumsum([len(steps) for steps in haplotypes]))
    start = np.array([x for steps in haplotypes for x, _ in steps])
    label = np.array([v for steps in haplotypes for _, v in steps], np.int32)
    order = np.argsort(positions, kind="stable")
    out = np.full((len(haplotypes), n_positions), 77, np.int8)
    kernels.read_labels(first, start, label, np.array(positions)[order], order, out)
    assert out.tolist() == ref.read_labels(haplotypes, positions)


@pytest.mark.parametrize("wrong", ["action", "root"])
def test_the_comparison_can_fail(wrong: str) -> None:
    edges, root_label, samples = genealogy(random.Random(3), 12, 40, 0.1, 3)
    rows, _ = painted(40, edges, root_label, samples, 8)
    if wrong == "action":
        edges = [ref.Edge(e.left, e.right, e.parent, e.child) for e in edges]
    else:
        root_label = [label + 1 for label in root_label]
    assert rows != ref.paint(40.0, edges, root_label, samples)
