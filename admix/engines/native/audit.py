# SPDX-License-Identifier: GPL-3.0-or-later
"""Laws that hold for every state of a run, looked at while it runs, so that a fault ends it and spoils no table.

An audit recounts a quarter of each deme's haplotypes (all of a small one), another quarter each time, and all of the
ids. It changes nothing. One is made every 128 ticks, and before anything is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from admix.engines.native import cohort_kernels as ck
from admix.engines.native import gametes as gk
from admix.engines.native.state import Deme
from admix.engines.native.world import World
from admix.errors import InvariantError

__all__ = ["Conservation", "audit"]

PARTS = 4
SMALL = 256
"""Individuals up to which a deme is looked at as a whole."""
_LARGEST = 1 << 52
"""Beyond this log fitness (2**26 in natural logarithms) sums of 64 bits could overflow."""
FREE, COMMON, FIXED = 1, 2, 4


def audit(world: World, tick: int) -> None:
    """Look whether a world obeys its laws at the end of a tick.

    Raises
    ------
    InvariantError
        For the first law that is broken.
    """
    capacity, free = world.mutations.capacity, world.mutations.free
    booked = np.zeros(capacity, np.uint8)
    booked[free] = FREE
    if int(np.count_nonzero(booked)) != len(free):
        raise InvariantError(
            "a free id is free once", "mutations", "an id is twice among the free ones", {"tick": tick}
        )
    for index, deme in sorted(world.demes.items()):
        place = f"{world.names[index]}, tick {tick:,}"
        barred = _bar(booked, deme, place)
        first, last = _part(deme.n, tick)
        _rare_lists(world, deme, barred, place, first, last)
        _sums(world, deme, place, first, last)
        if world.n_planes:
            _ancestry(world, deme, place, first, last)


class Conservation:
    """No marker's ancestry appears or vanishes for good but by a pulse: what nobody carried nobody carries now, and
    what all carried all still carry, in all demes together."""

    def __init__(self) -> None:
        self._none: np.ndarray | None = None
        self._all: np.ndarray | None = None

    def forget(self) -> None:
        """Begin anew, after a pulse."""
        self._none = self._all = None

    def look(self, world: World, tick: int) -> None:
        """Compare the markers with those of the last look.

        Raises
        ------
        InvariantError
            If ancestry came from nowhere, or left where everybody had it.
        """
        marks = [deme.rows.marks for deme in world.demes.values()]
        some = np.bitwise_or.reduce([np.bitwise_or.reduce(m, axis=1) for m in marks])
        every = np.bitwise_and.reduce([np.bitwise_and.reduce(m, axis=1) for m in marks])
        if self._none is not None and self._all is not None:
            come, gone = some & self._none, self._all & ~every
            for bits, what in ((come, "came from nowhere"), (gone, "vanished where everybody had it")):
                if bits.any():
                    plane, word = (int(i) for i in np.argwhere(bits)[0])
                    raise InvariantError(
                        "ancestry of neutral markers is conserved", f"tick {tick:,}",
                        f"ancestry of source {plane} {what}, in marker word {word}",
                        {"tick": tick, "plane": plane, "word": word},
                    )  # fmt: skip
        self._none, self._all = ~some, every


def _part(n: int, tick: int) -> tuple[int, int]:
    """First and last individual (half-open) to look at."""
    if n <= SMALL:
        return 0, n
    k = (tick + (tick >> 7)) % PARTS
    return n * k // PARTS, n * (k + 1) // PARTS


def _over(world: World, first: int, last: int, kernel: Callable[[np.ndarray], Any]) -> list[Any]:
    """Run a kernel over rows [first, last) on all threads."""
    edges = np.linspace(first, last, world.workers.threads + 1).astype(np.int64)
    return world.workers.each([edges[i : i + 2].copy() for i in range(len(edges) - 1)], kernel)


def _bar(booked: np.ndarray, deme: Deme, place: str) -> np.ndarray:
    """What no rare list of the deme may hold; refuses an id that is booked twice."""
    barred = booked.copy()
    for ids, flag, name in ((deme.layout.ids, COMMON, "common"), (deme.fixed, FIXED, "fixed")):
        again = ids[barred[ids] != 0]
        barred[ids] |= flag
        if len(again) or int(np.count_nonzero(barred & flag)) != len(ids):
            what = f"{len(again)} {name} mutations are" if len(again) else f"a {name} mutation is"
            raise InvariantError(
                "an id belongs to one mutation", place, f"{what} free, or kept in another way too",
                {"ids": again[:20].tolist(), "kept": name},
            )  # fmt: skip
    return barred


def _rare_lists(world: World, deme: Deme, barred: np.ndarray, place: str, first: int, last: int) -> None:
    rows, axis = deme.rows, world.mutations["axis"]
    found = _over(world, 2 * first, 2 * last, lambda span: ck.check_rare(span, rows.rare, rows.n_rare, axis, barred))
    bad = [int(row) for row in found if row >= 0]
    if bad:
        g = bad[0]
        n = int(rows.n_rare[g])
        raise InvariantError(
            "rare mutations are sorted, and neither free, common nor fixed", place,
            f"the list of haplotype {g} is not", {"haplotype": g, "n_rare": n, "keys": rows.rare[g, : n + 1].tolist()},
        )  # fmt: skip


def _sums(world: World, deme: Deme, place: str, first: int, last: int) -> None:
    """Sums that every tick carries on, against what bits and lists say."""
    rows, layout, m = deme.rows, deme.layout, world.mutations
    lo, hi = 2 * first, 2 * last
    if not world.selected:
        if rows.load.any() or deme.log_fitness.any():
            raise InvariantError("a neutral twin has no load", place, "somebody has a log fitness other than 0")
        return
    sums, load = np.empty_like(rows.sums), np.empty_like(rows.load)
    fitness = np.empty_like(deme.log_fitness)

    def recount(span: np.ndarray) -> None:
        ck.sum_words(span, rows.bits, layout.effect, sums)
        ck.haplotype_load(span, sums, rows.rare, rows.n_rare, m["effect"], load)

    _over(world, lo, hi, recount)
    _equal("a haplotype's load is the sum of its mutations", place, "haplotype", rows.load, load, lo, hi)
    wrong = (rows.sums[lo:hi] != sums[lo:hi]).any(axis=1)
    if wrong.any():
        g = lo + int(wrong.argmax())
        raise InvariantError(
            "a word's sum is that of its sites", place, f"it is not in haplotype {g}", {"haplotype": g}
        )
    _over(
        world, first, last,
        lambda span: ck.log_fitness(
            span, load, rows.bits, layout.words, layout.mask, layout.correction, rows.rare, rows.n_rare,
            m["correction"], fitness,
        ),
    )  # fmt: skip
    _equal("fitness is that of the genome", place, "individual", deme.log_fitness, fitness, first, last)
    extreme = int(np.abs(deme.log_fitness).max(initial=0))
    if extreme >= _LARGEST or abs(m.homozygous(deme.fixed)) >= _LARGEST:
        raise InvariantError(
            "fitness is finite", place, f"a log fitness of {extreme / (1 << 26):g}", {"units": extreme}
        )


def _ancestry(world: World, deme: Deme, place: str, first: int, last: int) -> None:
    rows, t = deme.rows, world.tables
    lo, hi = 2 * first, 2 * last
    marks = rows.marks[:, lo:hi]
    seen = marks[0].copy()
    for plane in marks[1:]:
        if (seen & plane).any():
            raise InvariantError("a marker has one source", place, "a haplotype has two at one marker")
        seen |= plane
    over = t.n_markers & 63
    if over and (seen[:, -1] >> np.uint64(over)).any():
        raise InvariantError("ancestry lies on markers", place, "there is some beyond the last marker")
    weights = np.empty_like(rows.ancestry)
    _over(
        world, lo, hi,
        lambda span: gk.weigh_rows(span, rows.marks, t.masks, t.odd_words, t.mark_weight, t.plain_weight, weights),
    )  # fmt: skip
    law = "a haplotype's ancestry is the weight of its markers"
    for q in range(world.n_planes):
        for k in range(weights.shape[2]):
            _equal(law, place, "haplotype", rows.ancestry[q, :, k], weights[q, :, k], lo, hi)
    whole = rows.ancestry.sum(axis=0)
    if (rows.ancestry < 0).any() or (whole > t.mark_total).any():
        raise InvariantError("shares of ancestry lie between 0 and 1", place, "a haplotype has less or more")


def _equal(law: str, place: str, who: str, kept: np.ndarray, found: np.ndarray, first: int, last: int) -> None:
    wrong = np.flatnonzero(kept[first:last] != found[first:last])
    if len(wrong):
        g = first + int(wrong[0])
        raise InvariantError(
            law, place, f"{who} {g} has {int(kept[g])}, recounted {int(found[g])}",
            {"of": who, "number": g, "wrong": len(wrong), "kept": int(kept[g]), "recounted": int(found[g])},
        )  # fmt: skip
