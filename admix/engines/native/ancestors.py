# SPDX-License-Identifier: GPL-3.0-or-later
"""What share of the ancestors was archaic, by each of the things that "ancestor" can mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from admix.engines.native.backward import Backward, Material
from admix.engines.native.pedigree import NATIVE, Pedigree
from admix.engines.native.snapshot import Arrays

if TYPE_CHECKING:
    from admix.engines.native.branch import Branch

PERSONS = 10
"""One living person's ancestors are those of so many, chosen at random, in the mean."""
Row = dict[str, Any]
Report = Callable[[float, str], None]


class Ancestors:
    """The rows of ``ancestors.tsv`` of a branch that has run.

    Parameters
    ----------
    branch
        The branch, with its pedigree and its last cohort.
    lineages
        The worlds that it began with, with their pedigrees.
    """

    def __init__(self, branch: Branch, lineages: Sequence[Arrays]) -> None:
        self.branch = branch
        self.schedule, self.last = branch.schedule, branch.plan.last
        self.early = Pedigree()
        for arrays in lineages:
            for tick, births in Pedigree.unpack(arrays).births.items():
                self.early.births.setdefault(tick, {}).update(births)

    def rows(self) -> list[Row]:
        """Rows for all living people: everything that the pedigree and the markers tell."""
        branch = self.branch
        living = {d: np.ones(deme.n, bool) for d, deme in branch.world.demes.items()}
        rows = []
        for source in self._sources():
            plane = branch.planes[source]
            first = self.schedule.first_pulse_tick(source)
            targets = {p.target for p in self.schedule.pulses if p.tick == first and p.source == source}
            begin = [birth for d, birth in branch.pedigree.births[first].items() if d in targets]
            gametes = sum(len(g.rows) for birth in begin for g in birth.groups if g.plane == plane)
            values = {"headcount": gametes / sum(len(birth.parents) for birth in begin)}
            rows += self._rows(source, "all", values | self._of(source, living))
        return rows

    def genetic_rows(self, report: Report) -> list[Row]:
        """Rows for the founders who left DNA to all the living, and for one living person.

        The first follow the material of everybody back through the pedigree, as unions of intervals; it takes
        about as long as making trees.
        """
        branch = self.branch
        everybody = {d: np.arange(deme.n) for d, deme in branch.world.demes.items()}
        persons = self._persons(everybody)
        passes = [everybody, *persons]
        rows = []
        sources = self._sources()
        for k, source in enumerate(sources):
            plane, first = branch.planes[source], self.schedule.first_pulse_tick(source)
            found = self._left_dna(
                passes,
                first,
                lambda done, note, k=k: report((k + done) / len(sources), note),  # type: ignore[misc]
            )
            founders = branch.pedigree.all_founders(first, self.last, plane)[1]
            genetic = [
                {"genetic": f[plane] / f.total(), "genetic_founders": f.total() / founders} for f in found if f.total()
            ]
            rows += self._rows(source, "all", genetic[0])
            one = [self._of(source, self._flags(who)) | value for who, value in zip(persons, genetic[1:], strict=True)]
            rows += self._rows(source, "one", {name: float(np.mean([v[name] for v in one])) for name in one[0]})
        return rows

    # ------------------------------------------------------------------

    def _sources(self) -> list[int]:
        return [s for s in self.branch.sources if self.schedule.first_pulse_tick(s) <= self.last]

    def _rows(self, source: int, scope: str, values: dict[str, float]) -> list[Row]:
        labels = self.branch.labels(source)
        return [labels | {"scope": scope, "measure": name, "value": value} for name, value in values.items()]

    def _persons(self, everybody: dict[int, np.ndarray]) -> list[dict[int, np.ndarray]]:
        demes = sorted(everybody)
        edges = np.cumsum([0, *(len(everybody[d]) for d in demes)])
        rng = self.branch.generator("persons", demes[0], self.last)
        persons = []
        for at in np.sort(rng.choice(edges[-1], min(PERSONS, edges[-1]), replace=False)):
            k = int(np.searchsorted(edges, at, side="right")) - 1
            persons.append({demes[k]: np.array([at - edges[k]])})
        return persons

    def _flags(self, who: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        flags = {}
        for d, numbers in who.items():
            flags[d] = np.zeros(self.branch.world.demes[d].n, bool)
            flags[d][numbers] = True
        return flags

    def _of(self, source: int, flags: dict[int, np.ndarray]) -> dict[str, float]:
        """Measures of the ancestors of flagged living people."""
        branch, plane, last = self.branch, self.branch.planes[source], self.last
        first = self.schedule.first_pulse_tick(source)
        archaic, everybody = branch.pedigree.founders(first, last, flags, plane)
        founders = branch.pedigree.all_founders(first, last, plane)[1]
        n = sum(int(f.sum()) for f in flags.values())
        paths = sum(float(branch.paths[plane][d][f].sum()) for d, f in flags.items())
        dna = sum(
            int(branch.world.demes[d].rows.ancestry[plane, :, 0][np.repeat(f, 2)].sum()) for d, f in flags.items()
        )
        values = {
            "pedigree_paths": paths / n,
            "genealogical": archaic / everybody,
            "genealogical_founders": everybody / founders,
        }
        if self.schedule.ancestors_at:
            pulsed = branch.pedigree.back_to(branch.first - 1, last, flags)
            kin = self._kin(source)
            for years, tick in self.schedule.ancestors_at:
                then = self.early.back_to(tick, branch.first - 1, pulsed)
                known = sum(int(f.sum()) for f in then.values())
                share = sum(int(f.sum()) for d, f in then.items() if d in kin) / known
                values[f"genealogical@{years / 1000:g}ka"] = share
        return values | {"dna": float(dna) / (2 * n * int(branch.tables.mark_total[0]))}

    def _left_dna(self, passes: list[dict[int, np.ndarray]], first: int, report: Report) -> list[Counter[int]]:
        """Founders, by plane, who left at least one base to each group of living people."""
        branch, last = self.branch, self.last
        world, pedigree = branch.world, branch.pedigree
        backward = [
            Backward(
                branch.tables, world.workers, pedigree,
                lambda purpose, deme, tick: int(world.stream_key(purpose, deme)),
                lambda tick: {d: self.schedule.size(d, tick) for d in pedigree.births[tick]},
                {last: who}, nodes=False,
            )
            for who in passes
        ]  # fmt: skip
        now: list[Material] = [b.begin(last) for b in backward]
        found: list[Counter[int]] = [Counter() for _ in passes]
        for tick in range(last, first - 1, -1):
            births = pedigree.births[tick]
            pulse = any(g.plane >= 0 for birth in births.values() for g in birth.groups)
            for k, b in enumerate(backward):
                now[k] = b.step(now[k], backward[0] if k else None)
                if not pulse and tick > first:
                    continue
                held = {
                    d: now[k].count[2 * at : 2 * at + len(births[d].parents)] > 0 for d, at in now[k].offset.items()
                }
                found[k] += pedigree.brought(tick, held)
                if tick == first:
                    found[k][NATIVE] += pedigree.natives(first, held)
                for d, at in now[k].offset.items():
                    for group in births[d].groups:
                        if group.plane >= 0:
                            # what a source's own ancestors were is not asked
                            now[k].count[2 * at + group.rows] = 0
            report((last - tick + 1) / (last - first + 1), f"{last - tick:,} of {last - first:,} generations back")
        return found

    def _kin(self, source: int) -> set[int]:
        """The source deme and those that it descends from, short of the root."""
        kin, todo = set(), [source]
        while todo:
            d = todo.pop()
            if d != self.schedule.root and d not in kin:
                kin.add(d)
                todo += [a for a, _ in self.schedule.ancestors[d]]
        return kin
