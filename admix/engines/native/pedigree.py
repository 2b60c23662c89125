# SPDX-License-Identifier: GPL-3.0-or-later
"""The pedigree that a run leaves behind: the parents of every gamete, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from admix.engines.native.world import Cohort, Group, every

NATIVE = -1
"""Founders that no pulse brought, among planes."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Parents of one deme's cohort: ``parents`` unsigned[2n], individuals of each group's source deme."""

    parents: np.ndarray
    groups: tuple[Group, ...]

    def by_source(self) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
        """(source deme, plane, gametes, their parents) for each group."""
        return [(g.source, g.plane, g.rows, self.parents[g.rows]) for g in self.groups]


@dataclass(slots=True)
class Pedigree:
    """Births by tick and deme, and the size of each deme at the tick before the first birth."""

    births: dict[int, dict[int, Birth]] = field(default_factory=dict)
    sizes: dict[int, dict[int, int]] = field(default_factory=dict)

    def add(self, tick: int, cohorts: Mapping[int, Cohort], parents: Mapping[int, np.ndarray]) -> None:
        """Keep one tick."""
        top = max((int(p.max(initial=0)) for p in parents.values()), default=0)
        dtype = np.min_scalar_type(top)
        self.births[tick] = {i: Birth(parents[i].astype(dtype), tuple(c.groups)) for i, c in cohorts.items()}
        self.sizes[tick] = {i: c.n for i, c in cohorts.items()}

    def pack(self) -> dict[str, np.ndarray]:
        """Return the pedigree as arrays: for deme i ``parents{i}`` and ``sources{i}`` (one a gamete, cohort
        after cohort) and ``ticks{i}`` int64[cohorts, 2] (tick, individuals). Pulses are not kept apart."""
        arrays = {}
        for i in sorted({i for births in self.births.values() for i in births}):
            ticks = [t for t, births in self.births.items() if i in births]
            sources = []
            for tick in ticks:
                birth = self.births[tick][i]
                source = np.empty(len(birth.parents), np.int8)
                for group in birth.groups:
                    source[group.rows] = group.source
                sources.append(source)
            arrays[f"parents{i}"] = np.concatenate([self.births[t][i].parents for t in ticks])
            arrays[f"sources{i}"] = np.concatenate(sources)
            arrays[f"ticks{i}"] = np.array([(t, self.sizes[t][i]) for t in ticks], np.int64)
        return arrays

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray]) -> Pedigree:
        """The reverse of :meth:`pack`; other arrays are left alone."""
        pedigree = cls()
        for name in arrays:
            if not name.startswith("ticks"):
                continue
            i = int(name[5:])
            parents, come_from = arrays[f"parents{i}"], arrays[f"sources{i}"]
            at = 0
            for tick, n in arrays[name].tolist():
                who, where = parents[at : at + 2 * n], come_from[at : at + 2 * n]
                at += 2 * n
                sources = np.unique(where)
                # one array for all ticks with a single source, which is nearly all of them
                rows = [every(2 * n)] if len(sources) == 1 else [np.flatnonzero(where == s) for s in sources]
                groups = tuple(Group(int(s), r) for s, r in zip(sources, rows, strict=True))
                pedigree.births.setdefault(tick, {})[i] = Birth(who, groups)
                pedigree.sizes.setdefault(tick, {})[i] = n
        return pedigree

    def parents_of(self, tick: int, now: Mapping[int, np.ndarray], *, pulses: bool = True) -> dict[int, np.ndarray]:
        """Flags of the individuals at ``tick - 1`` that have a child among the flagged of ``tick``.

        Flags are bool arrays by deme; one may be shorter than its deme, whose other individuals are not
        flagged then. ``pulses`` False: parents of gametes that came by a pulse are left out.
        """
        before: dict[int, np.ndarray] = {}
        for i, birth in self.births[tick].items():
            if i not in now:
                continue
            alive = _as_long(now[i], len(birth.parents) // 2)
            for source, pulse, gametes, parents in birth.by_source():
                if pulse >= 0 and not pulses:
                    continue
                wanted = parents[alive[gametes >> 1]]
                size = max(int(wanted.max()) + 1 if len(wanted) else 0, len(before.get(source, ())))
                flags = np.zeros(size, bool)
                flags[wanted] = True
                if source in before:
                    flags[: len(before[source])] |= before[source]
                before[source] = flags
        return before

    def back_to(self, tick: int, start: int, now: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Flags at ``tick`` of everybody with a descendant among the flagged of ``start``."""
        flags = dict(now)
        for t in range(start, tick, -1):
            flags = self.parents_of(t, flags)
        return flags

    def founders(self, first: int, last: int, living: Mapping[int, np.ndarray], plane: int) -> tuple[int, int]:
        """(archaic, all) founders with a descendant among the flagged of tick ``last``.

        Founders are the individuals of cohort ``first`` and those that later pulses bring in; the archaic
        ones came by a pulse of ``plane``. A line of descent ends where it meets a pulse: what a source's own
        ancestors were is not asked. Where a pulse comes as F1 or as gametes, the founders it brings are the
        parents in the tick before; if that is in cohort ``first``, so are all the others.
        """
        found: Counter[int] = Counter()
        flags: Mapping[int, np.ndarray] = living
        for tick in range(last, first - 1, -1):
            gametes = {i: np.repeat(f, 2) for i, f in flags.items()}
            found += self.brought(tick, gametes)
            if tick > first:
                flags = self.parents_of(tick, flags, pulses=False)
            else:
                found[NATIVE] += self.natives(first, gametes)
        return found[plane], found.total()

    def all_founders(self, first: int, last: int, plane: int) -> tuple[int, int]:
        """(archaic, all) founders, whether they have descendants or not; see :meth:`founders`."""
        found: Counter[int] = Counter()
        for tick in range(first, last + 1):
            everybody = {i: np.ones(len(birth.parents), bool) for i, birth in self.births[tick].items()}
            found += self.brought(tick, everybody)
            if tick == first:
                found[NATIVE] += self.natives(first, everybody)
        return found[plane], found.total()

    def brought(self, tick: int, gametes: Mapping[int, np.ndarray]) -> Counter[int]:
        """Founders behind the flagged gametes of a tick that its pulses bring in, by plane.

        ``gametes`` are flags, bool[2n] by deme; one may be shorter than its deme.
        """
        found: Counter[int] = Counter()
        parents: dict[tuple[int, int], list[np.ndarray]] = {}
        for i, birth in self.births[tick].items():
            if i not in gametes:
                continue
            for source, pulse, rows, who in birth.by_source():
                if pulse < 0:
                    continue
                alive = _as_long(gametes[i], len(birth.parents))[rows]
                if _whole_children(rows):
                    found[pulse] += int((alive[0::2] | alive[1::2]).sum())
                else:
                    parents.setdefault((pulse, source), []).append(who[alive])
        for (pulse, _), lists in parents.items():
            found[pulse] += len(np.unique(np.concatenate(lists)))
        return found

    def natives(self, first: int, gametes: Mapping[int, np.ndarray]) -> int:
        """Founders behind the flagged gametes of cohort ``first`` that no pulse brings in."""
        groups = [g for birth in self.births[first].values() for g in birth.groups if g.plane >= 0]
        whole = all(_whole_children(g.rows) for g in groups)
        total = 0
        parents: dict[int, list[np.ndarray]] = {}
        for i, birth in self.births[first].items():
            if i not in gametes:
                continue
            alive = _as_long(gametes[i], len(birth.parents)).copy()
            for group in birth.groups:
                if group.plane >= 0:
                    alive[group.rows] = False
                elif not whole:
                    parents.setdefault(group.source, []).append(birth.parents[group.rows][alive[group.rows]])
            if whole:
                total += int((alive[0::2] | alive[1::2]).sum())
        return total + sum(len(np.unique(np.concatenate(lists))) for lists in parents.values())


def _whole_children(gametes: np.ndarray) -> bool:
    """Are these (ascending) gametes both gametes of each child?"""
    if len(gametes) % 2:
        return False
    return bool((gametes[0::2] % 2 == 0).all() and (gametes[0::2] + 1 == gametes[1::2]).all())


def _as_long(flags: np.ndarray, n: int) -> np.ndarray:
    """The flags of all ``n`` individuals, from those of the first few."""
    return flags if len(flags) == n else np.pad(flags, (0, n - len(flags)))


def pass_down(values: Mapping[int, np.ndarray], births: Mapping[int, Birth], plane: int) -> dict[int, np.ndarray]:
    """Each child's mean of its two gametes' values; a gamete has its parent's value, or 1 if it is part of a
    pulse of ``plane`` (0 if of another one)."""
    out = {}
    for i, birth in births.items():
        gametes = np.zeros(len(birth.parents))
        for source, pulse, rows, parents in birth.by_source():
            if pulse >= 0:
                gametes[rows] = 1.0 if pulse == plane else 0.0
            elif source in values:
                gametes[rows] = values[source][parents]
        out[i] = 0.5 * (gametes[0::2] + gametes[1::2])
    return out
