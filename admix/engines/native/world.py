# SPDX-License-Identifier: GPL-3.0-or-later
"""The living population: demes on one table of mutations, and the step from one cohort to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from admix.engines.native import cohort_kernels as ck
from admix.engines.native import gametes as gk
from admix.engines.native.bits import ALL
from admix.engines.native.mutations import Mutations
from admix.engines.native.state import GRID_SHIFT, MAX_COMMON_EFFECT, Deme, Layout, Rows, layout_of, pack
from admix.engines.native.strands import PAD
from admix.engines.native.tables import Tables
from admix.engines.native.workers import LIGHT, Workers
from admix.errors import InvariantError

COMMON = 0.015
"""Share of haplotypes above which a rare mutation becomes a common site ..."""
RARE_AGAIN = 0.0075
"""... and at or below which a common site becomes rare again. Speed only: no result depends on either."""
_FEW = 0.005
"""Share of migrants below which a cohort keeps its layout when they come in."""
UNIT = 1.0 / gk.ONE_LOG


@dataclass(frozen=True, slots=True)
class Group:
    """Gametes of one cohort that come from one deme: ``rows`` int64, their numbers in the cohort.

    ``plane`` >= 0: their markers become wholly of that source. ``pulse`` is the name of the pulse that brings
    them, if one does.
    """

    source: int
    rows: np.ndarray
    plane: int = -1
    pulse: str = ""


@dataclass(frozen=True, slots=True)
class Cohort:
    """What a deme's next cohort is made of: ``n`` individuals, gametes 2i and 2i + 1 make individual i."""

    n: int
    groups: Sequence[Group]


@lru_cache(maxsize=64)
def every(n: int) -> np.ndarray:
    """0 .. n - 1; one array for all ticks, since a pedigree keeps it for each."""
    numbers = np.arange(n)
    numbers.flags.writeable = False
    return numbers


@dataclass(slots=True)
class _Part:
    """Rows in some layout that become rows ``places`` of a new cohort."""

    rows: Rows
    take: np.ndarray
    places: np.ndarray
    layout: Layout
    fixed: np.ndarray
    plane: int
    own: bool = False


def room_for(mean: float) -> int:
    """Width of a row of rare keys: room for two parents' lists, most of the time (a tick that finds it too
    narrow is made again with wider rows)."""
    return int(2 * mean + 12 * mean**0.5) + 64


class World:
    """Demes, their mutations, and the streams that drive them.

    Parameters
    ----------
    tables : Tables
        Genome and selection.
    names : sequence of str
        Names of the demes; their streams are keyed by name.
    key : callable
        ``key(purpose, deme name)`` -> uint64, the key of a random stream.
    n_planes : int
        Sources whose ancestry is marked (0 before the first pulse).
    selected : bool
        False: everybody is equally fit and no mutation arises (the neutral twin).
    """

    def __init__(
        self,
        tables: Tables,
        names: Sequence[str],
        key: Callable[[str, str], int],
        workers: Workers,
        *,
        n_planes: int = 0,
        selected: bool = True,
    ) -> None:
        self.tables = tables
        self.names = tuple(names)
        self.workers = workers
        self.n_planes = n_planes
        self.selected = selected
        self.mutations = Mutations()
        self.demes: dict[int, Deme] = {}
        self._key = key
        self._keys: dict[tuple[str, int], np.uint64] = {}
        self._no_mutations = np.array([1 << 32], np.uint64)

    def stream_key(self, purpose: str, deme: int) -> np.uint64:
        """Key of the stream for a purpose in a deme."""
        at = (purpose, deme)
        if at not in self._keys:
            self._keys[at] = np.uint64(self._key(purpose, self.names[deme]))
        return self._keys[at]

    # ------------------------------------------------------------------ one tick

    def breed(self, tick: int, cohorts: Mapping[int, Cohort]) -> dict[int, np.ndarray]:
        """Replace every deme by its next cohort; demes that are not named die out.

        Returns the parents, int32[2n] for each deme: the individual of the source deme's last cohort that
        made each gamete.
        """
        self._set_weights({g.source for c in cohorts.values() for g in c.groups})
        made = {i: self._next_cohort(tick, i, cohort) for i, cohort in cohorts.items()}
        parents = {}
        for index in [i for i in self.demes if i not in made]:
            del self.demes[index]
        for index, (rows, layout, fixed, who) in made.items():
            old = self.demes.get(index)
            spare = old.rows if old is not None and old.rows is not rows else None
            deme = Deme(index, rows, layout, fixed, spare=spare)
            self.demes[index] = deme
            self._set_fitness(deme)
            parents[index] = who
        return parents

    def _set_weights(self, sources: set[int]) -> None:
        for index in sources:
            deme = self.demes[index]
            if deme.cumulative is None:
                best = deme.log_fitness.max()
                share = np.exp((deme.log_fitness - best) * UNIT)
                # whole numbers, so that the sum does not depend on its order; the fittest weighs 2**32
                deme.cumulative = np.cumsum(np.rint(share * 4294967296.0).astype(np.uint64))
                deme.guide = np.zeros(1 << max(4, int(deme.n).bit_length()), np.int32)
                gk.guide_table(deme.cumulative, deme.guide)

    def _next_cohort(self, tick: int, index: int, cohort: Cohort) -> tuple[Rows, Layout, np.ndarray, np.ndarray]:
        n2 = 2 * cohort.n
        offset, ids = self._mutate(tick, index, n2)
        parents = np.empty(n2, np.int32)
        deme = self.demes.get(index)
        only = cohort.groups[0] if len(cohort.groups) == 1 else None
        if only is not None and only.plane < 0 and (deme is None or only.source == index):
            source = self.demes[only.source]
            spare = source.spare if source is deme else None
            rows = self._make(tick, index, source, only.rows, only.rows, n2, spare, offset, ids, parents)
            return rows, source.layout, source.fixed, parents
        parts = []
        for group in cohort.groups:
            if not len(group.rows):
                continue
            source = self.demes[group.source]
            own = group.source == index and group.plane < 0
            places = group.rows if own else np.arange(len(group.rows))
            size = n2 if own else len(group.rows)
            spare = source.spare if own else None
            rows = self._make(tick, index, source, group.rows, places, size, spare, offset, ids, parents)
            parts.append(_Part(rows, places, group.rows, source.layout, source.fixed, group.plane, own))
        return *self._join(n2, parts), parents

    def _join(self, n2: int, parts: list[_Part]) -> tuple[Rows, Layout, np.ndarray]:
        own = next((p for p in parts if p.own), None)
        few = own is not None and n2 - len(own.take) <= _FEW * n2
        if own is None or not few or not all(np.isin(own.fixed, p.fixed).all() for p in parts):
            return self._merge(n2, parts)
        target = np.full(self.mutations.capacity, ck.RARE, np.int32)
        target[own.layout.ids] = np.arange(len(own.layout.ids), dtype=np.int32)
        target[own.fixed] = ck.DROP
        for part in parts:
            if part is not own:
                own.rows = self._recode(part, target, own.layout, own.rows)
        self._weigh(own.rows)
        return own.rows, own.layout, own.fixed

    def _mutate(self, tick: int, index: int, n2: int) -> tuple[np.ndarray, np.ndarray]:
        key = self.stream_key("mutations", index)
        counts = np.empty(n2, np.int64)
        t = self.tables
        cdf = t.mutation_cdf if self.selected else self._no_mutations
        gk.count_mutations(key, tick, cdf, counts)
        offset = np.zeros(n2 + 1, np.int64)
        np.cumsum(counts, out=offset[1:])
        ids = self.mutations.take(int(offset[-1]))
        m = self.mutations
        self.workers.run(
            n2,
            lambda span: gk.new_mutations(
                key, tick, span, offset, ids, t.target_cum, t.target_guide, t.target_axis_start, t.target_axis_end,
                t.s_nodes, t.h_bins, m["site"], m["axis"], m["s"], m["h"], m["effect"], m["correction"],
                m["uid"], m["born"],
            ),
            LIGHT,
        )  # fmt: skip
        m["lineage"][ids] = index
        m["archaic"][ids] = 0
        return offset, ids

    def _make(
        self, tick: int, index: int, source: Deme, numbers: np.ndarray, places: np.ndarray, n_rows: int,
        spare: Rows | None, offset: np.ndarray, ids: np.ndarray, parents: np.ndarray,
    ) -> Rows:  # fmt: skip
        t, layout, rows, m = self.tables, source.layout, source.rows, self.mutations
        room = rows.rare.shape[1]
        if spare is None or not spare.fits(n_rows, layout.n_words, room, self.n_planes):
            spare = Rows.empty(n_rows, layout.n_words, room, self.n_planes, t.mark_words)
        out = spare
        key = self.stream_key("gametes", index)
        marks = rows.marks

        self.workers.run(
            len(numbers),
            lambda span: gk.choose_parents(key, tick, numbers, span, source.cumulative, source.guide, parents),
            LIGHT,
        )
        order = np.empty(len(numbers), np.int64)
        gk.order_by_parent(numbers, parents, np.zeros(source.n + 1, np.int64), order)

        def kernel(span: np.ndarray) -> int:
            return gk.make_gametes(
                key, tick, numbers, places, order, span, parents, t.chrom_axis, t.crossover_cdf,
                layout.axis, layout.grid, GRID_SHIFT, layout.effect, rows.bits, rows.sums, rows.rare, rows.n_rare,
                m["effect"], t.mark_axis, t.mark_grid, marks, t.masks, t.odd_words, t.mark_weight, t.plain_weight,
                offset, ids, m["axis"], out.bits, out.sums, out.rare, out.n_rare, out.load, out.marks, out.ancestry,
            )  # fmt: skip

        while short := max(self.workers.run(len(numbers), kernel), default=0):
            out.rare = np.zeros((len(out), short + short // 2), np.uint64)
        return out

    def _set_fitness(self, deme: Deme) -> None:
        rows, layout, m = deme.rows, deme.layout, self.mutations
        deme.log_fitness = np.zeros(deme.n, np.int64)
        deme.cumulative = deme.guide = None
        if self.selected:
            self.workers.run(
                deme.n,
                lambda span: ck.log_fitness(
                    span, rows.load, rows.bits, layout.words, layout.mask, layout.correction, rows.rare,
                    rows.n_rare, m["correction"], deme.log_fitness,
                ),
            )  # fmt: skip

    # ------------------------------------------------------------------ representation

    def _counts(self, part: _Part) -> np.ndarray:
        """How many haplotypes of a part carry each mutation (int64[capacity])."""
        rows, n_words = part.rows, part.layout.n_words

        def kernel(span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rare = np.zeros(self.mutations.capacity, np.int64)
            common = np.zeros(64 * n_words, np.int64)
            ck.count_rare(span, part.take, rows.rare, rows.n_rare, rare)
            ck.count_bits(span, part.take, rows.bits, common)
            return rare, common

        found = self.workers.run(len(part.take), kernel)
        counts = np.sum([f[0] for f in found], axis=0)
        counts[part.layout.ids] += np.sum([f[1] for f in found], axis=0)[: len(part.layout.ids)]
        counts[part.fixed] += len(part.take)
        return counts

    def counts(self, index: int) -> np.ndarray:
        """Copies of each mutation among a deme's 2N haplotypes, fixed ones included (int64[capacity])."""
        return self._counts(self._whole(self.demes[index]))

    @staticmethod
    def _whole(deme: Deme) -> _Part:
        every = np.arange(2 * deme.n)
        return _Part(deme.rows, every, every, deme.layout, deme.fixed, -1)

    def _recode(self, part: _Part, target: np.ndarray, layout: Layout, out: Rows) -> Rows:
        added = part.fixed[target[part.fixed] != ck.DROP]
        keys = self.mutations.key(added)

        def kernel(span: np.ndarray) -> int:
            return ck.recode(
                span, part.take, part.places, part.rows.bits, part.layout.ids, part.layout.keys, part.rows.rare,
                part.rows.n_rare, target, added, keys, layout.effect, out.bits, out.sums, out.rare, out.n_rare,
            )  # fmt: skip

        while short := max(self.workers.run(len(part.take), kernel), default=0):
            wider = np.zeros((len(out), short + short // 2), np.uint64)
            wider[:, : out.rare.shape[1]] = out.rare
            out.rare = wider
        if self.n_planes:
            none = np.zeros((self.n_planes, len(part.rows), self.tables.mark_words), np.uint64)
            marks = part.rows.marks if part.rows.marks.shape[0] else none
            ck.remark(part.take, part.places, marks, part.plane, self.tables.n_markers, out.marks)
        self._set_load(out)
        return out

    def _set_load(self, rows: Rows) -> None:
        self.workers.run(
            len(rows),
            lambda span: ck.haplotype_load(
                span, rows.sums, rows.rare, rows.n_rare, self.mutations["effect"], rows.load
            ),
        )

    def refresh(self, deme: Deme) -> None:
        """Work out all sums of a deme anew from its bits, lists and marks."""
        self.workers.run(
            len(deme.rows),
            lambda span: ck.sum_words(span, deme.rows.bits, deme.layout.effect, deme.rows.sums),
        )
        self._set_load(deme.rows)
        self._weigh(deme.rows)
        self._set_fitness(deme)

    def _weigh(self, rows: Rows) -> None:
        t = self.tables
        if self.n_planes:
            self.workers.run(
                len(rows),
                lambda span: gk.weigh_rows(
                    span, rows.marks, t.masks, t.odd_words, t.mark_weight, t.plain_weight, rows.ancestry
                ),
            )

    def _merge(
        self, n2: int, parts: list[_Part], spare: Rows | None = None, counts: np.ndarray | None = None
    ) -> tuple[Rows, Layout, np.ndarray]:
        """Bring parts into one new layout, chosen from the frequencies in the whole."""
        if counts is None:
            counts = np.sum([self._counts(p) for p in parts], axis=0)
        weak = np.abs(self.mutations["effect"]) <= MAX_COMMON_EFFECT
        common = counts > COMMON * n2
        for part in parts:
            held = part.layout.ids
            common[held] |= counts[held] > RARE_AGAIN * n2
        common &= weak & (counts < n2)
        layout = layout_of(np.flatnonzero(common).astype(np.int32), self.mutations)
        fixed = np.flatnonzero(counts == n2).astype(np.int32)
        target = np.full(self.mutations.capacity, ck.RARE, np.int32)
        target[layout.ids] = np.arange(len(layout.ids), dtype=np.int32)
        target[fixed] = ck.DROP
        rare = counts.copy()
        rare[layout.ids] = rare[fixed] = 0
        room = room_for(rare.sum() / n2)
        if spare is None or not spare.fits(n2, layout.n_words, room, self.n_planes) or spare.rare.shape[1] > 2 * room:
            spare = Rows.empty(n2, layout.n_words, room, self.n_planes, self.tables.mark_words)
        for part in parts:
            spare = self._recode(part, target, layout, spare)
        self._weigh(spare)
        return spare, layout, fixed

    def collect(self) -> None:
        """Free the ids of lost rare mutations (cheaper than :meth:`rebalance`, which does it too)."""
        used = np.zeros(self.mutations.capacity, bool)
        for deme in self.demes.values():
            rows = deme.rows

            def kernel(span: np.ndarray, rows: Rows = rows) -> np.ndarray:
                seen = np.zeros(self.mutations.capacity, np.uint8)
                ck.see_rare(span, rows.rare, rows.n_rare, seen)
                return seen

            for seen in self.workers.run(len(rows), kernel):
                used |= seen.view(bool)
            used[deme.layout.ids] = used[deme.fixed] = True
        self.mutations.keep_only(used)

    def rebalance(self, *, recount: bool = False) -> None:
        """Choose every deme's common sites anew, move fixed mutations aside, free the ids of lost ones.

        Raises
        ------
        InvariantError
            With ``recount``, if a mutation is not carried by as many haplotypes afterwards as before.
        """
        used = np.zeros(self.mutations.capacity, bool)
        for deme in self.demes.values():
            counts = self.counts(deme.index)
            used |= counts > 0
            part = self._whole(deme)
            old = deme.rows
            deme.rows, deme.layout, deme.fixed = self._merge(2 * deme.n, [part], deme.spare, counts)
            deme.spare = old if old.bits.shape == deme.rows.bits.shape else None
            self._set_fitness(deme)
            if recount:
                self._compare(deme, counts, self.counts(deme.index))
        self.mutations.keep_only(used)

    def _compare(self, deme: Deme, before: np.ndarray, after: np.ndarray) -> None:
        wrong = np.flatnonzero((before != after) | (before > 2 * deme.n))
        if len(wrong):
            i = int(wrong[0])
            raise InvariantError(
                "frequencies do not depend on where a mutation is kept", self.names[deme.index],
                f"mutation {i} had {before[i]} copies among {2 * deme.n} haplotypes and has {after[i]} after recoding",
                {"mutations": len(wrong), "id": i, "before": int(before[i]), "after": int(after[i])},
            )  # fmt: skip

    def strip(self) -> None:
        """Take every mutation away; markers stay."""
        nothing = np.zeros(0, np.int32)
        for deme in self.demes.values():
            bare = Rows.empty(len(deme.rows), 1, 2 * PAD, self.n_planes, self.tables.mark_words)
            bare.rare.fill(ALL)
            bare.marks, bare.ancestry = deme.rows.marks, deme.rows.ancestry
            deme.rows, deme.layout, deme.fixed, deme.spare = (
                bare,
                layout_of(nothing, self.mutations),
                nothing,
                None,
            )
            self._set_fitness(deme)
        self.mutations.keep_only(np.zeros(self.mutations.capacity, bool))

    # ------------------------------------------------------------------ what can be asked

    def fixed_log(self, index: int) -> float:
        """Log fitness due to the mutations that are fixed in a deme."""
        return self.mutations.homozygous(self.demes[index].fixed) * UNIT

    def log_fitness(self, index: int) -> np.ndarray:
        """Each individual's log fitness, fixed mutations included (float64[n])."""
        return self.demes[index].log_fitness * UNIT + self.fixed_log(index)

    def flagged_log_fitness(self, index: int, flag: np.ndarray) -> np.ndarray:
        """Log fitness that the mutations in ``flag`` (bool[capacity]) cost each individual (float64[n])."""
        deme, m = self.demes[index], self.mutations
        layout = deme.layout
        sites = np.zeros(64 * layout.n_words, bool)
        sites[: len(layout.ids)] = flag[layout.ids]
        mask, out = pack(sites), np.zeros(deme.n, np.int64)
        self.workers.run(
            deme.n,
            lambda span: ck.flagged_log_fitness(
                span, deme.rows.bits, mask, layout.effect, layout.correction, deme.rows.rare, deme.rows.n_rare,
                flag.view(np.uint8), m["effect"], m["correction"], out,
            ),
        )  # fmt: skip
        return out * UNIT + m.homozygous(deme.fixed[flag[deme.fixed]]) * UNIT

    def marker_shares(self, index: int, plane: int) -> np.ndarray:
        """Frequency of a source's ancestry at each marker (float64[markers])."""
        rows = self.demes[index].rows
        every = np.arange(len(rows))

        def kernel(span: np.ndarray) -> np.ndarray:
            found = np.zeros(64 * self.tables.mark_words, np.int64)
            ck.count_bits(span, every, rows.marks[plane], found)
            return found

        counts = np.sum(self.workers.run(len(rows), kernel), axis=0)
        return counts[: self.tables.n_markers] / len(rows)

    def shares(self, index: int) -> np.ndarray:
        """Share of each individual's genome that each source gave (float64[planes, n])."""
        weights = self.demes[index].rows.ancestry[:, :, 0]
        return (weights[:, 0::2] + weights[:, 1::2]) / (2.0 * self.tables.mark_total[0])
