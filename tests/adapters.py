# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands between the kernels' arrays and the twins' sets and lists (tests/reference.py).

Only this module knows the kernels' signatures, and how words, keys and padding hold a haplotype. Every
call leaves the integers of NumPy free to wrap round, as those of the kernels do, so that it works with the
JIT off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import reference as ref
from hypothesis import HealthCheck, settings

from admix.engines.native import bits, cohort_kernels, gametes, start, strands
from admix.engines.native.mutations import Mutations
from admix.engines.native.state import GRID_SHIFT, Deme, Rows, closed, grid_of, layout_of, pack
from admix.engines.native.tables import Tables, target_guide
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, Group, World

ALL = 2**64 - 1
STALE = 0xABAD1DEA
"""What output arrays hold before a call, so that whatever a kernel does not write is seen."""
EXAMPLES = settings(deadline=None, derandomize=True, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def call(kernel: Callable[..., Any], *args: Any) -> Any:
    with np.errstate(over="ignore"):
        return kernel(*args)


# ---------------------------------------------------------------------- representation


def words(sites: Iterable[int], n_words: int) -> np.ndarray:
    """A row of bits."""
    row = np.zeros(n_words, np.uint64)
    for i in sites:
        row[i // 64] |= np.uint64(1 << (i % 64))
    return row


def sites(row: np.ndarray) -> set[int]:
    """The bits that are set in a row."""
    return {64 * w + i for w, x in enumerate(row.tolist()) for i in range(64) if x & (1 << i)}


def table(rows: Sequence[Iterable[int]], n_words: int) -> np.ndarray:
    return np.array([words(row, n_words) for row in rows], np.uint64).reshape(len(rows), n_words)


def keys(mutations: Iterable[ref.Mutation]) -> list[int]:
    return [m.axis * 2**32 + m.number for m in sorted(mutations)]


def key_rows(lists: Sequence[Iterable[ref.Mutation]], room: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of rare keys, padded, and how many each has."""
    rows = [keys(mutations) for mutations in lists]
    width = max([room, *(len(row) + strands.PAD for row in rows)])
    out = np.full((len(rows), width), ALL, np.uint64)
    for g, row in enumerate(rows):
        out[g, : len(row)] = row
    return out, np.array([len(row) for row in rows], np.int32)


def rare_list(row: np.ndarray, n: int) -> list[tuple[int, int]]:
    """(axis, number) of each key of a row; asserts that the row is padded."""
    assert row[n : n + strands.PAD].tolist() == [ALL] * strands.PAD
    return [divmod(key, 2**32) for key in row[:n].tolist()]


def pairs(mutations: Iterable[ref.Mutation]) -> list[tuple[int, int]]:
    return [(m.axis, m.number) for m in mutations]


def by_number(mutations: Iterable[ref.Mutation], name: str, capacity: int) -> np.ndarray:
    """A column of the mutation table (int32)."""
    column = np.zeros(capacity, np.int32)
    for m in mutations:
        column[m.number] = getattr(m, name)
    return column


def by_site(mutations: Sequence[ref.Mutation], name: str, n_words: int) -> np.ndarray:
    """A column over the common sites, padded (int32)."""
    column = np.zeros(64 * n_words, np.int32)
    column[: len(mutations)] = [getattr(m, name) for m in mutations]
    return column


def span(first: int, last: int) -> np.ndarray:
    return np.array([first, last], np.int64)


# ---------------------------------------------------------------------- bits


def popcount(x: int) -> int:
    return int(call(bits.popcount, np.uint64(x)))


def lowest(x: int) -> int:
    return int(call(bits.lowest, np.uint64(x)))


def mix(z: int) -> int:
    return int(call(bits.mix, np.uint64(z)))


def stream(key: int, tick: int, index: int) -> int:
    return int(call(bits.stream, np.uint64(key), tick, index))


def below(z: int, n: int) -> int:
    return int(call(bits.below, np.uint64(z), np.uint64(n)))


def unit(z: int) -> float:
    return float(call(bits.unit, np.uint64(z)))


def count_from(z: int, cdf: Sequence[int]) -> int:
    return int(call(bits.count_from, np.uint64(z), np.array(cdf, np.uint64)))


# ---------------------------------------------------------------------- gametes


def guide_table(weights: Sequence[int], m: int) -> list[int]:
    guide = np.full(m, -1, np.int32)
    call(gametes.guide_table, np.cumsum(np.array(weights, np.uint64)), guide)
    return guide.tolist()


def chooser(weights: Sequence[int], m: int) -> Callable[[int], int]:
    """``choose_parent`` as a function of the draw, with a guide of ``m`` entries."""
    cumulative = np.cumsum(np.array(weights, np.uint64))
    guide = np.zeros(m, np.int32)
    call(gametes.guide_table, cumulative, guide)
    return lambda z: int(call(gametes.choose_parent, np.uint64(z), cumulative, guide))


def choose_parents(
    key: int, tick: int, rows: Sequence[int], part: tuple[int, int], weights: Sequence[int], n: int
) -> list[int]:
    """The parents of all ``n`` gametes; those that were not to be drawn stay stale."""
    cumulative = np.cumsum(np.array(weights, np.uint64))
    guide = np.zeros(16, np.int32)
    call(gametes.guide_table, cumulative, guide)
    parents = np.full(n, 77, np.int32)
    which = np.array(rows, np.int64)
    call(gametes.choose_parents, np.uint64(key), tick, which, span(*part), cumulative, guide, parents)
    return parents.tolist()


def order_by_parent(rows: Sequence[int], parents: Sequence[int], n_individuals: int) -> list[int]:
    order, starts = np.full(len(rows), -1, np.int64), np.zeros(n_individuals + 1, np.int64)
    call(gametes.order_by_parent, np.array(rows, np.int64), np.array(parents, np.int32), starts, order)
    return order.tolist()


def crossovers(state: int, chrom_axis: Sequence[int], crossover_cdf: Sequence[Sequence[int]]) -> tuple[list[int], int]:
    """(cuts, first strand)."""
    return crosser(chrom_axis, crossover_cdf)(state)


def crossover_table(crossover_cdf: Sequence[Sequence[int]]) -> np.ndarray:
    """Cumulative tables of different lengths as one array, filled up with 2**32."""
    cdf = np.full((len(crossover_cdf), max(len(row) for row in crossover_cdf)), np.uint64(2**32))
    for c, row in enumerate(crossover_cdf):
        cdf[c, : len(row)] = row
    return cdf


def crosser(
    chrom_axis: Sequence[int], crossover_cdf: Sequence[Sequence[int]]
) -> Callable[[int], tuple[list[int], int]]:
    """``crossovers`` as a function of the state of the stream."""
    axis, cdf = np.array(chrom_axis, np.uint64), crossover_table(crossover_cdf)
    cuts = np.full(gametes.MAX_CUTS, STALE, np.uint64)

    def draw(state: int) -> tuple[list[int], int]:
        n, first = call(gametes.crossovers, np.uint64(state), axis, cdf, cuts)
        return cuts[:n].tolist(), int(first)

    return draw


def first_at(x: int, axis: Sequence[int]) -> int:
    where = np.array(axis, np.uint32)
    return int(call(gametes.first_at, np.uint64(x), closed(where), grid_of(where), GRID_SHIFT))


def edges_of(cuts: Sequence[int], axis: Sequence[int]) -> list[int]:
    where = np.array(axis, np.uint32)
    edges = np.full(len(cuts) + 1, STALE, np.int64)
    call(gametes.edges_of, np.array(cuts, np.uint64), len(cuts), closed(where), grid_of(where), GRID_SHIFT, edges)
    assert edges[-1] == STALE
    return edges[:-1].tolist()


class Spliced:
    """A spliced row: its ``bits``; the words' sums of both parents; its own words' ``sums`` after `copy_runs`,
    and ``all_sums`` after `sum_cut_words`."""

    def __init__(self, a: Iterable[int], b: Iterable[int], edges: Sequence[int], effect: Sequence[int]) -> None:
        padded = np.array(effect, np.int32)
        n_words = len(padded) // 64
        at = np.array([*edges, STALE], np.int64)
        row = np.full((3, n_words), STALE, np.uint64)
        row[0], row[1] = words(a, n_words), words(b, n_words)
        call(strands.splice, row[2], row[0], row[1], at, len(edges))
        self.bits = sites(row[2])
        sums = np.full((3, n_words), 77, np.int32)
        call(cohort_kernels.sum_words, span(0, 2), row, padded, sums)
        self.sums_a, self.sums_b = sums[0].tolist(), sums[1].tolist()
        call(strands.copy_runs, sums[2], sums[0], sums[1], at, len(edges))
        self.sums = sums[2].tolist()
        both, both_sums = np.full(n_words, STALE, np.uint64), np.full(n_words, 78, np.int32)
        call(
            strands.copy_runs_and_sums, both, row[0], row[1], both_sums, sums[0], sums[1], at, len(edges),
        )  # fmt: skip
        call(strands.mend_words, both, row[0], row[1], at, len(edges))
        assert sites(both) == self.bits and both_sums.tolist() == self.sums
        call(strands.sum_cut_words, sums[2], row[2], at, len(edges), padded)
        self.all_sums = sums[2].tolist()


def word_sum(row: Iterable[int], w: int, effect: Sequence[int]) -> int:
    x = words((i % 64 for i in row if i // 64 == w), 1)[0]
    padded = np.array(effect, np.int32)
    total = int(call(strands.word_sum, x, np.uint64(w * 64), padded))
    assert call(strands.whole_word_sum, x, np.uint64(w * 64), padded) == total
    return total


def splice_rare(a: Iterable[ref.Mutation], b: Iterable[ref.Mutation], cuts: Sequence[int]) -> list[tuple[int, int]]:
    rows, n = key_rows([list(a), list(b)])
    row = np.full(int(n.sum()) + strands.PAD, STALE, np.uint64)  # no more than it may need
    at = np.array([*cuts, STALE], np.uint64)
    made = call(strands.splice_rare, row, rows[0], rows[1], at, len(cuts))
    return rare_list(row, made)


def take_keys(keys: Sequence[int], i: int, end: int) -> tuple[list[int], int]:
    """(what is taken, the place reached); it is written behind three keys that are there."""
    padded = np.array([*keys, *[ALL] * strands.PAD], np.uint64)
    row = np.full(len(keys) + 3 + strands.PAD, STALE, np.uint64)
    o, reached = call(strands.take_keys, row, np.uint64(3), padded, np.uint64(i), np.uint64(end))
    assert row[:3].tolist() == [STALE] * 3
    return row[3 : int(o)].tolist(), int(reached)


def skip_keys(keys: Sequence[int], i: int, end: int) -> int:
    padded = np.array([*keys, *[ALL] * strands.PAD], np.uint64)
    return int(call(strands.skip_keys, padded, np.uint64(i), np.uint64(end)))


def pad(row: Sequence[int], n: int) -> list[int]:
    out = np.array(row, np.uint64)
    call(strands.pad, out, n)
    return out.tolist()


def insert_key(row: Sequence[int], key: int) -> list[int]:
    out = np.array([*row, STALE], np.uint64)
    call(strands.insert_key, out, len(row), np.uint64(key))
    return out.tolist()


def mark_masks(
    weight: Sequence[int], functional: Collection[int], far: Collection[int], plain_weight: int
) -> tuple[np.ndarray, np.ndarray]:
    """(masks of ordinary weight, any other, functional, far; weights), padded to whole words."""
    n_words = -(-len(weight) // 64)
    every = range(len(weight))
    masks = [
        [i for i in every if weight[i] == plain_weight],
        [i for i in every if weight[i] != plain_weight],
        functional,
        far,
    ]
    padded = np.zeros(64 * n_words, np.int64)
    padded[: len(weight)] = weight
    return table(masks, n_words), padded


def odd_words(masks: np.ndarray) -> np.ndarray:
    """The words with any marker of other than the ordinary weight."""
    return np.flatnonzero(masks[1]).astype(np.int32)


def weigh(
    row: Iterable[int],
    weight: Sequence[int],
    functional: Collection[int],
    far: Collection[int],
    plain_weight: int,
) -> tuple[int, int, int]:
    masks, padded = mark_masks(weight, functional, far, plain_weight)
    out = np.full(3, STALE, np.int64)
    call(gametes.weigh, words(row, masks.shape[1]), masks, odd_words(masks), padded, plain_weight, out)
    return int(out[0]), int(out[1]), int(out[2])


def weigh_rows(
    planes: Sequence[Sequence[Iterable[int]]],
    weight: Sequence[int],
    functional: Collection[int],
    far: Collection[int],
    plain_weight: int,
    part: tuple[int, int],
) -> list[list[tuple[int, ...]]]:
    """Weights of each row of each plane; rows outside of ``part`` stay stale."""
    masks, padded = mark_masks(weight, functional, far, plain_weight)
    height = len(planes[0]) if planes else 0
    marks = np.array([table(rows, masks.shape[1]) for rows in planes], np.uint64)
    marks = marks.reshape(len(planes), height, masks.shape[1])
    out = np.full((*marks.shape[:2], 3), STALE, np.int64)
    call(gametes.weigh_rows, span(*part), marks, masks, odd_words(masks), padded, plain_weight, out)
    return [[tuple(row) for row in plane] for plane in out.tolist()]


def count_mutations(key: int, tick: int, cdf: Sequence[int], n: int) -> list[int]:
    counts = np.full(n, STALE, np.int64)
    call(gametes.count_mutations, np.uint64(key), tick, np.array(cdf, np.uint64), counts)
    return counts.tolist()


def new_mutations(
    key: int,
    tick: int,
    part: tuple[int, int],
    counts: Sequence[int],
    ids: Sequence[int],
    target: Sequence[ref.Segment],
    s_nodes: Sequence[float],
    h_bins: Sequence[float],
) -> dict[int, ref.Fresh]:
    """The new mutations of the gametes of ``part``, by id; asserts that no other row is touched."""
    m = Mutations(capacity=max(ids, default=0) + 2)
    for name in m.columns:
        m.columns[name][:] = 77
    offset = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    target_cum = np.concatenate([[0], np.cumsum([segment.length for segment in target])]).astype(np.int64)
    call(
        gametes.new_mutations, np.uint64(key), tick, span(*part), offset, np.array(ids, np.int32),
        target_cum, target_guide(target_cum),
        np.array([segment.axis_start for segment in target], np.uint64),
        np.array([segment.axis_end for segment in target], np.uint64),
        np.array(s_nodes), np.array(h_bins), m["site"], m["axis"], m["s"], m["h"], m["effect"],
        m["correction"], m["uid"], m["born"],
    )  # fmt: skip
    written = [ids[k] for k in range(offset[part[0]], offset[part[1]])]
    others = np.setdiff1d(np.arange(m.capacity), written)
    assert all((column[others] == 77).all() for column in m.columns.values())
    names = ("site", "axis", "s", "h", "effect", "correction", "uid", "born")
    return {i: ref.Fresh(*(m[name][i].item() for name in names)) for i in written}


def set_effects(s: float, h: float) -> tuple[int, int]:
    effect, correction = np.zeros(3, np.int32), np.zeros(3, np.int32)
    call(gametes.set_effects, s, h, 1, effect, correction)
    assert effect[[0, 2]].tolist() == correction[[0, 2]].tolist() == [0, 0]
    return int(effect[1]), int(correction[1])


def effects_of(s: Sequence[float], h: Sequence[float]) -> list[tuple[int, int]]:
    effect, correction = np.zeros(2 * len(s), np.int32), np.zeros(2 * len(s), np.int32)
    ids = np.arange(len(s), dtype=np.int32)[::-1] * 2
    call(start.effects_of, np.array(s), np.array(h), ids, effect, correction)
    return list(zip(effect[ids].tolist(), correction[ids].tolist(), strict=True))


# ---------------------------------------------------------------------- cohorts


class Sample:
    """A cohort's haplotypes as arrays: the mutations of ``common`` as bits, all others as lists."""

    def __init__(self, haplotypes: Sequence[ref.Haplotype], common: Iterable[ref.Mutation]) -> None:
        self.haplotypes = haplotypes
        self.common = sorted(common)
        self.capacity = 2 + max((m.number for h in haplotypes for m in h), default=0)
        self.capacity = max([self.capacity, *(m.number + 2 for m in self.common)])
        self.n_words = max(1, -(-len(self.common) // 64))
        bit = {m: i for i, m in enumerate(self.common)}
        self.rows = [{bit[m] for m in h if m in bit} for h in haplotypes]
        self.lists = [[m for m in h if m not in bit] for h in haplotypes]
        every = {m for h in haplotypes for m in h}
        self.bits = table(self.rows, self.n_words)
        self.rare, self.n_rare = key_rows(self.lists)
        self.effect = by_number(every, "effect", self.capacity)
        self.correction = by_number(every, "correction", self.capacity)
        self.site_effect = by_site(self.common, "effect", self.n_words)
        self.site_correction = by_site(self.common, "correction", self.n_words)
        self.mask = pack(self.site_correction != 0)
        self.words = np.flatnonzero(self.mask).astype(np.int32)
        self.load = np.array([ref.haplotype_load(h) for h in haplotypes], np.int64)

    def sums(self) -> np.ndarray:
        sums = np.full((len(self.rows), self.n_words), 77, np.int32)
        call(cohort_kernels.sum_words, span(0, len(self.rows)), self.bits, self.site_effect, sums)
        return sums


def common_correction(sample: Sample, a: int, b: int) -> int:
    return int(
        call(
            cohort_kernels.common_correction,
            sample.bits[a], sample.bits[b], sample.words, sample.mask, sample.site_correction,
            np.full(sample.bits.shape[1], STALE, np.uint64), np.full(sample.bits.shape[1] + 1, -1, np.int32),
        )
    )  # fmt: skip


def rare_correction(sample: Sample, a: int, b: int) -> int:
    tags = np.full(cohort_kernels.TAGS, 6, np.uint8)
    total = call(
        cohort_kernels.rare_correction,
        sample.rare[a], sample.n_rare[a], sample.rare[b], sample.n_rare[b], sample.correction, tags,
        np.uint8(7), np.full(sample.rare.shape[1] + 1, STALE, np.uint64),
    )  # fmt: skip
    return int(total)


def log_fitness(sample: Sample, part: tuple[int, int]) -> list[int]:
    out = np.full(len(sample.rows) // 2, STALE, np.int64)
    call(
        cohort_kernels.log_fitness, span(*part), sample.load, sample.bits, sample.words, sample.mask,
        sample.site_correction, sample.rare, sample.n_rare, sample.correction, out,
    )  # fmt: skip
    return out.tolist()


def flagged_log_fitness(sample: Sample, flagged: Callable[[ref.Mutation], bool], part: tuple[int, int]) -> list[int]:
    flag = np.zeros(sample.capacity, np.uint8)
    flag[[m.number for h in sample.haplotypes for m in h if flagged(m)]] = 1
    mask = words((i for i, m in enumerate(sample.common) if flagged(m)), sample.n_words)
    out = np.full(len(sample.rows) // 2, STALE, np.int64)
    call(
        cohort_kernels.flagged_log_fitness, span(*part), sample.bits, mask, sample.site_effect,
        sample.site_correction, sample.rare, sample.n_rare, flag, sample.effect, sample.correction, out,
    )  # fmt: skip
    return out.tolist()


def haplotype_load(sample: Sample, part: tuple[int, int]) -> list[int]:
    out = np.full(len(sample.rows), STALE, np.int64)
    call(
        cohort_kernels.haplotype_load,
        span(*part), sample.sums(), sample.rare, sample.n_rare, sample.effect, out,
    )  # fmt: skip
    return out.tolist()


def sum_words(rows: Sequence[Iterable[int]], effect: Sequence[int], part: tuple[int, int]) -> np.ndarray:
    n_words = len(effect) // 64
    sums = np.full((len(rows), n_words), 77, np.int32)
    call(cohort_kernels.sum_words, span(*part), table(rows, n_words), np.array(effect, np.int32), sums)
    return sums


def count_rare(sample: Sample, take: Sequence[int], part: tuple[int, int]) -> dict[int, int]:
    counts = np.zeros(sample.capacity, np.int64)
    call(cohort_kernels.count_rare, span(*part), np.array(take, np.int64), sample.rare, sample.n_rare, counts)
    return {i: n for i, n in enumerate(counts.tolist()) if n}


def see_rare(sample: Sample, part: tuple[int, int]) -> set[int]:
    seen = np.zeros(sample.capacity, np.uint8)
    call(cohort_kernels.see_rare, span(*part), sample.rare, sample.n_rare, seen)
    assert set(seen.tolist()) <= {0, 1}
    return set(np.flatnonzero(seen).tolist())


def pairs_of(sample: Sample, g: int) -> list[tuple[int, int]]:
    """(axis, number) of the rare keys of a haplotype, as they stand there."""
    return [divmod(key, 2**32) for key in sample.rare[g, : sample.n_rare[g]].tolist()]


def spoilt_keys(sample: Sample, g: int) -> list[tuple[int, int]]:
    """(place, wrong key) in the list of a haplotype, the end of it included."""
    n = int(sample.n_rare[g])
    row = sample.rare[g].tolist()
    spoilt = [(n, 5)]
    if n:
        spoilt += [(0, row[0] + (1 << 32)), (n - 1, (row[n - 1] & ~0xFFFFFFFF) | (sample.capacity - 1))]
    if n > 1:
        spoilt += [(0, row[1]), (1, row[0])]
    return spoilt


def check_rare(sample: Sample, barred: Collection[int], part: tuple[int, int]) -> int:
    flags = np.zeros(sample.capacity, np.uint8)
    flags[list(barred)] = 2
    axis = np.zeros(sample.capacity, np.uint32)
    for m in {m for h in sample.haplotypes for m in h}:
        axis[m.number] = m.axis
    return int(call(cohort_kernels.check_rare, span(*part), sample.rare, sample.n_rare, axis, flags))


def count_bits(
    rows: Sequence[Iterable[int]], n_words: int, take: Sequence[int], part: tuple[int, int]
) -> dict[int, int]:
    counts = np.zeros(64 * n_words, np.int64)
    call(cohort_kernels.count_bits, span(*part), np.array(take, np.int64), table(rows, n_words), counts)
    return {i: n for i, n in enumerate(counts.tolist()) if n}


class Recoded:
    """The outcome of ``recode``: ``short`` as it returns it, and rows for those that were written."""

    def __init__(
        self,
        sample: Sample,
        new_common: Sequence[ref.Mutation],
        dropped: Collection[ref.Mutation],
        added: Sequence[ref.Mutation],
        take: Sequence[int],
        places: Sequence[int],
        part: tuple[int, int],
        n_out: int,
        room: int,
    ) -> None:
        every = [*{m for h in sample.haplotypes for m in h}, *added]
        capacity = 2 + max((m.number for m in [*every, *new_common]), default=0)
        self.target = np.full(capacity, cohort_kernels.RARE, np.int32)
        for i, m in enumerate(new_common):
            self.target[m.number] = i
        self.target[[m.number for m in dropped]] = cohort_kernels.DROP
        n_words = max(1, -(-len(new_common) // 64))
        self.bits = np.full((n_out, n_words), STALE, np.uint64)
        self.sums = np.full((n_out, n_words), 77, np.int32)
        self.rare = np.full((n_out, room), STALE, np.uint64)
        self.n_rare = np.full(n_out, 77, np.int32)
        new_effect = by_site(new_common, "effect", n_words)
        self.new_effect = new_effect.tolist()
        site_key = np.array(keys(sample.common), np.uint64)
        site_id = np.array([m.number for m in sample.common], np.int32)
        self.short = int(
            call(
                cohort_kernels.recode, span(*part), np.array(take, np.int64), np.array(places, np.int64),
                sample.bits, site_id, site_key, sample.rare, sample.n_rare, self.target,
                np.array([m.number for m in added], np.int32),
                np.array([k for m in added for k in keys([m])], np.uint64),
                new_effect, self.bits, self.sums, self.rare, self.n_rare,
            )
        )  # fmt: skip

    def untouched(self, o: int) -> bool:
        return bool(
            (self.bits[o] == STALE).all()
            and (self.sums[o] == 77).all()
            and (self.rare[o] == STALE).all()
            and self.n_rare[o] == 77
        )


def remark(
    planes: Sequence[Sequence[Iterable[int]]],
    n_markers: int,
    take: Sequence[int],
    places: Sequence[int],
    plane: int,
    n_out: int,
) -> list[list[set[int] | None]]:
    """Marks of each plane and row; None where nothing was written."""
    n_words = -(-n_markers // 64)
    marks = np.array([table(rows, n_words) for rows in planes])
    out = np.full((len(planes), n_out, n_words), ALL - 5, np.uint64)
    call(
        cohort_kernels.remark,
        np.array(take, np.int64), np.array(places, np.int64), marks, plane, n_markers, out,
    )  # fmt: skip
    return [[None if (row == ALL - 5).all() else sites(row) for row in rows] for rows in out]


# ---------------------------------------------------------------------- founders


def scatter(
    key: int,
    mutations: Sequence[ref.Mutation],
    counts: Sequence[int],
    n: int,
    room: int,
    common: Collection[ref.Mutation] = (),
) -> tuple[int, list[list[tuple[int, int]]], list[set[int]]]:
    """(what it returns, each haplotype's list, its bits); no lists if the room was too narrow."""
    bit = {m: i for i, m in enumerate(sorted(common))}
    where = np.array([bit.get(m, -1) for m in mutations], np.int32)
    bits = np.zeros((n, len(bit) // 64 + 1), np.uint64)
    rare = np.full((n, room), ALL, np.uint64)
    n_rare = np.zeros(n, np.int32)
    holders = np.full(n, -1, np.int64)
    wider = call(
        start.scatter,
        np.uint64(key), np.array(keys(mutations), np.uint64), np.array(counts, np.int64), where, bits, rare,
        n_rare, holders,
    )  # fmt: skip
    lists = [] if wider else [rare_list(rare[g], n_rare[g]) for g in range(n)]
    return int(wider), lists, [sites(row) for row in bits]


# ---------------------------------------------------------------------- a deme that breeds


class Town:
    """A world of one deme with given haplotypes; one breeds, and looks at the children.

    Mutations of the town are numbered by their ``uid``, which is the same in every layout.
    """

    KEY = 0x5EED

    def __init__(
        self,
        tables: Tables,
        individuals: Sequence[tuple[ref.Chromatid, ref.Chromatid]],
        common: Collection[ref.Mutation],
        n_planes: int = 0,
        room: int = 0,
    ) -> None:
        self.tables, self.individuals = tables, individuals
        self.world = World(tables, ["town"], self.key, Workers(1), n_planes=n_planes)
        haplotypes = [strand for pair in individuals for strand in pair]
        every = sorted({m for h in haplotypes for m in h.mutations} | set(common))
        m = self.world.mutations
        ids = dict(zip(every, m.take(len(every)).tolist(), strict=True))
        for mutation, i in ids.items():
            m["axis"][i], m["uid"][i] = mutation.axis, mutation.number
            m["effect"][i], m["correction"][i] = mutation.effect, mutation.correction
        layout = layout_of(np.array([ids[c] for c in common], np.int32), m)
        bit = {int(i): k for k, i in enumerate(layout.ids)}
        lists = [[ref.Mutation(x.axis, ids[x]) for x in h.mutations if ids[x] not in bit] for h in haplotypes]
        rare, n_rare = key_rows(lists, room)
        rows = Rows.empty(len(haplotypes), layout.n_words, rare.shape[1], n_planes, tables.mark_words)
        rows.bits[:] = table([[bit[ids[x]] for x in h.mutations if ids[x] in bit] for h in haplotypes], layout.n_words)
        rows.rare, rows.n_rare = rare, n_rare
        for q in range(n_planes):
            rows.marks[q] = table([h.marks[q] for h in haplotypes], tables.mark_words)
        deme = Deme(0, rows, layout, np.zeros(0, np.int32))
        self.world.demes[0] = deme
        call(self.world.refresh, deme)

    @staticmethod
    def key(purpose: str, deme: str) -> int:
        return ref.mix(Town.KEY + sum(purpose.encode()) + sum(deme.encode()))

    def log_fitness(self) -> list[int]:
        return self.world.demes[0].log_fitness.tolist()

    def breed(self, tick: int, n: int) -> list[int]:
        """Make the next cohort, of ``n`` individuals; return the parents of its gametes."""
        cohort = Cohort(n, [Group(0, np.arange(2 * n))])
        return call(self.world.breed, tick, {0: cohort})[0].tolist()

    def haplotypes(self) -> list[ref.Chromatid]:
        """The living haplotypes; asserts that every row is in order, and its sums right."""
        deme, m = self.world.demes[0], self.world.mutations
        rows, layout = deme.rows, deme.layout
        found = []
        for g in range(len(rows)):
            carried = [int(layout.ids[i]) for i in sites(rows.bits[g])]
            rare = rare_list(rows.rare[g], rows.n_rare[g])
            assert rare == sorted(rare)
            assert all(axis == m["axis"][i] for axis, i in rare)
            carried += [i for _, i in rare]
            assert len(set(carried)) == len(carried)
            for w in range(layout.n_words):
                assert rows.sums[g, w] == ref.word_sum(sites(rows.bits[g]), w, layout.effect.tolist())
            mutations = frozenset(
                ref.Mutation(*(m[name][i].item() for name in ("axis", "uid", "effect", "correction"))) for i in carried
            )
            found.append(ref.Chromatid(mutations, tuple(frozenset(sites(p[g])) for p in rows.marks)))
        return found

    def loads(self) -> list[int]:
        return self.world.demes[0].rows.load.tolist()

    def ancestry(self) -> list[list[tuple[int, ...]]]:
        """Weighted markers of each plane and haplotype."""
        return [[tuple(row) for row in plane] for plane in self.world.demes[0].rows.ancestry.tolist()]


def town_tables(
    chrom_axis: Sequence[int],
    crossover_cdf: Sequence[Sequence[int]],
    mutation_cdf: Sequence[int],
    target: Sequence[ref.Segment],
    s_nodes: Sequence[float],
    h_bins: Sequence[float],
    mark_axis: Sequence[int],
    weight: Sequence[int],
    functional: Collection[int],
    far: Collection[int],
    plain_weight: int,
) -> Tables:
    masks, padded = mark_masks(weight, functional, far, plain_weight)
    total = ref.weigh(range(len(weight)), weight, functional, far)
    target_cum = np.concatenate([[0], np.cumsum([segment.length for segment in target])]).astype(np.int64)
    return Tables(
        chrom_axis=np.array(chrom_axis, np.uint64),
        crossover_cdf=crossover_table(crossover_cdf),
        mutation_cdf=np.array(mutation_cdf, np.uint64),
        mutation_mean=1.0,
        target_cum=target_cum,
        target_guide=target_guide(target_cum),
        target_axis_start=np.array([segment.axis_start for segment in target], np.uint64),
        target_axis_end=np.array([segment.axis_end for segment in target], np.uint64),
        s_nodes=np.array(s_nodes),
        h_bins=np.array(h_bins),
        mark_axis=closed(np.array(mark_axis, np.uint32)),
        mark_grid=grid_of(np.array(mark_axis, np.uint64)),
        masks=masks,
        odd_words=odd_words(masks),
        mark_weight=padded,
        plain_weight=plain_weight,
        mark_total=np.array(total),
    )
