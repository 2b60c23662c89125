# SPDX-License-Identifier: GPL-3.0-or-later
"""The branches of a run of the native engine: histories first, then two branches at a time.

Two branches side by side, each on half of the threads, take less time than one after the other on all
(docs/benchmarks.md): what is not shared out among threads is done twice at once. No number depends on it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from admix.engines.native.branch import Branch, BranchPlan, Records
from admix.engines.native.branch_state import pack_branch
from admix.engines.native.history import History, Past, load_slope
from admix.engines.native.workers import Workers
from admix.interrupts import deferred
from admix.progress import Progress
from admix.results import RunWriter
from admix.run_plan import Plan, resolved, run_label, side_by_side, stage_label, work
from admix.run_record import Clock
from admix.unfinished import Part, Unfinished

__all__ = ["NativeBranches"]


@dataclass(slots=True)
class _Lineages:
    """What a branch begins with: worlds at the tick before the pulse, and where they come from."""

    worlds: list[dict[str, np.ndarray]]
    past: Past | None
    told: dict[str, Any]


@dataclass(slots=True)
class _Ready:
    """A branch that is to run."""

    branch: Branch
    lineages: _Lineages
    part: Part
    label: str
    what: str


@dataclass(slots=True)
class NativeBranches:
    """One run of the native engine under way, and what all of its branches use."""

    plan: Plan
    workers: Workers
    progress: Progress
    clock: Clock
    writer: RunWriter
    unfinished: Unfinished
    histories: dict[str, Any]
    taken: list[str]
    _known: dict[tuple[str, ...], _Lineages] = field(default_factory=dict, init=False)

    def run(self) -> Iterator[Records]:
        """Yield the records of every branch and twin, in order; what is finished is taken from where it was kept."""
        at_once = side_by_side(self.plan)
        waiting: list[_Ready] = []
        lanes = [Workers(len(range(i, self.plan.threads, at_once))) for i in range(at_once)] if at_once > 1 else []
        try:
            for replicate in range(self.plan.options.replicates):
                for name in self.plan.branches:
                    for twin in self.plan.twins:
                        part = self.unfinished.part(name, replicate, twin)
                        done = part.finished(self.writer.path)
                        if done is None:
                            waiting.append(self._ready(name, replicate, twin, part))
                        if done is not None or len(waiting) == at_once:
                            yield from self._group(waiting, lanes)
                            waiting = []
                        if done is not None:
                            yield self._taken(name, replicate, twin, part, *done)
            yield from self._group(waiting, lanes)
        finally:
            for lane in lanes:
                lane.close()

    def _taken(
        self, name: str, replicate: int, twin: str, part: Part, records: Records, told: dict[str, Any]
    ) -> Records:
        for key, history in told.items():
            self.histories.setdefault(key, history | {"from_cache": True})
        self.progress.done(run_label(self.plan, name, replicate, twin))
        if self.plan.groups(name):
            self.progress.done(run_label(self.plan, name, replicate, twin, "trees of branch"))
        self.taken.append(part.title)
        return records

    def _ready(self, name: str, replicate: int, twin: str, part: Part) -> _Ready:
        plan = self.plan
        lineages = self._history(name, plan.burnin(replicate))
        sampling, o = plan.scenario.sampling, plan.options
        branch = Branch(
            plan.schedules[name], plan.tables, self.workers,
            BranchPlan(
                branch=name, replicate=replicate, twin=twin, seed=o.seed, burnin=plan.burnin(replicate),
                last=plan.last(name), landscape_generations=sampling.landscape_generations,
                spread_generations=sampling.spread_generations, samples=plan.samples(name, replicate),
            ),
        )  # fmt: skip
        what = f"branch {name}" + (", neutral twin" if twin == "neutral" else "")
        return _Ready(branch, lineages, part, run_label(plan, name, replicate, twin), what)

    def _history(self, branch: str, burnin: int) -> _Lineages:
        """Return the lineages of a branch; those of the branch before, where they are the same."""
        stages = self.plan.stages[branch, burnin]
        key = tuple(stage.key for stage in stages)
        if key not in self._known:
            self._known.clear()
            self._known[key] = self._made_history(branch, burnin)
        return self._known[key]

    def _made_history(self, branch: str, burnin: int) -> _Lineages:
        plan, workers, progress, clock = self.plan, self.workers, self.progress, self.clock
        told: dict[str, Any] = {}
        stages = plan.stages[branch, burnin]
        by_name = {stage.name: stage_label(stage) for stage in stages}
        begun: set[str] = set()

        def report(name: str, fraction: float, note: str) -> None:
            if by_name[name] in planned:
                if name not in begun:
                    progress.start(by_name[name])
                    begun.add(name)
                progress.update(by_name[name], fraction, note)

        planned = {label for label, _ in work(plan)[0]}
        with clock.part(f"history, burn-in {burnin}"):
            made = History(
                plan.schedules[branch], plan.tables, workers, plan.cache, report, lambda: plan.spectrum
            ).make(stages, ancestor_too=plan.to_split)
        for name in begun:
            progress.done(by_name[name])
        for stage in stages[1:]:
            meta = made[stage.name][1]
            slopes = {}
            for curve in (meta["ancestor"], meta["curve"]):
                for deme in sorted({int(i) for _, i, _ in curve}):
                    slope, error = load_slope(curve, deme)
                    deme_name = plan.schedules[branch].deme_names[deme]
                    slopes[deme_name] = {"log_fitness_per_1000_generations": slope, "standard_error": error}
            told[stage.key] = {
                "stage": stage.name, "burnin": burnin, "first_tick": stage.first, "last_tick": stage.last,
                "from_cache": meta["from_cache"], "load_slope": slopes,
            }  # fmt: skip
            self.histories.setdefault(stage.key, told[stage.key])
        past = None
        if plan.to_split:
            stage_of = {deme: stage.key for stage in stages[1:] for deme in stage.demes}
            past = Past(made[stages[0].name][0], stage_of)
        return _Lineages([made[stage.name][0] for stage in stages[1:]], past, told)

    def _group(self, group: Sequence[_Ready], lanes: Sequence[Workers]) -> Iterator[Records]:
        """Run branches, side by side if there are several, and yield their records."""
        if not group:
            return
        with self.clock.part(" and ".join(dict.fromkeys(ready.what for ready in group))):
            if len(group) == 1:
                (one,) = group
                self.progress.start(one.label)
                one.branch.run(
                    one.lineages.worlds, lambda done, note: self.progress.update(one.label, done, note), one.part
                )
                self.progress.done(one.label)
            else:
                self._side_by_side(group, lanes)
        for ready in group:
            ready.part.finish(ready.branch.records, self._files(ready), ready.lineages.told)
            yield ready.branch.records

    def _side_by_side(self, group: Sequence[_Ready], lanes: Sequence[Workers]) -> None:
        together = _Together(self.progress, [ready.label for ready in group])
        with deferred() as pending, ThreadPoolExecutor(len(group)) as pool:
            asked = [pending.share() for _ in group]
            futures: list[Future[Records]] = []

            def stop_others(future: Future[Records]) -> None:
                # what the others have done so far is kept
                if future.exception() is not None:
                    for other in asked:
                        other.signal = other.signal or signal.SIGTERM

            for i, (ready, lane) in enumerate(zip(group, lanes, strict=False)):
                ready.branch.world.workers = lane
                future = pool.submit(
                    ready.branch.run, ready.lineages.worlds, together.lane(i), ready.part, asked[i]
                )  # fmt: skip
                future.add_done_callback(stop_others)
                futures.append(future)
            errors = [future.exception() for future in futures]
            if any(errors):
                for ready, error in zip(group, errors, strict=True):
                    if error is None:
                        ready.part.save(pack_branch(ready.branch, ready.branch.plan.last, 0), "last generation")
            for error in errors:
                if error is not None and not isinstance(error, KeyboardInterrupt):
                    raise error
        if any(errors):
            raise KeyboardInterrupt
        together.done()
        for ready in group:
            ready.branch.world.workers = self.workers

    def _files(self, ready: _Ready) -> dict[str, Path]:
        """Write the trees and parents of a branch that has run; return their places by name."""
        plan, made = self.plan, ready.branch.plan
        files: dict[str, Path] = {}

        def path(file: str) -> Path:
            files[file] = self.writer.path(file)
            return files[file]

        if plan.groups(made.branch):
            _trees(plan, ready.branch, ready.lineages.worlds, ready.lineages.past, self.progress, self.clock, path)
        if plan.options.keep_parents:
            place = path(f"parents/{made.branch}/{made.replicate}{'-neutral' if made.twin == 'neutral' else ''}.npz")
            np.savez(place, allow_pickle=False, **ready.branch.packed_pedigree())
        return files


class _Together:
    """Tells the progress of several stages under way at once as that of one after the other."""

    def __init__(self, progress: Progress, labels: Sequence[str]) -> None:
        self._progress, self._labels = progress, list(labels)
        self._fractions = [0.0] * len(self._labels)
        self._begun = 0
        self._lock = threading.Lock()
        progress.start(self._labels[0])

    def lane(self, i: int) -> Callable[[float, str], None]:
        """Return what the stage `i` reports to."""

        def report(fraction: float, note: str) -> None:
            with self._lock:
                self._fractions[i] = fraction
                total = min(sum(self._fractions), len(self._fractions) - 1e-9)
                while self._begun < int(total):
                    self._progress.done(self._labels[self._begun])
                    self._begun += 1
                    self._progress.start(self._labels[self._begun])
                self._progress.update(self._labels[self._begun], total - self._begun, note)

        return report

    def done(self) -> None:
        """All stages are done."""
        self._progress.done(self._labels[self._begun])


def _trees(
    plan: Plan, branch: Branch, lineages: list[dict[str, np.ndarray]], past: Past | None, progress: Progress,
    clock: Clock, path: Callable[[str], Path],
) -> None:  # fmt: skip
    """Make the tree files of a branch that has run."""
    from admix import genealogies, trees  # tskit and pyslim: not for a run without trees
    from admix.engines.native.ancestors import Ancestors
    from admix.engines.native.genealogy import chromosome_records

    made, name = branch.plan, branch.plan.branch
    labels = trees.TreeLabels.from_schedule(
        branch.schedule, branch=name, replicate=made.replicate, twin=made.twin, seed=made.seed,
        chroms=plan.genome.chroms, last_tick=made.last, recorded_from_tick=None if past is None else 0,
        run=trees.run_digest(resolved(plan.scenario, plan.options)),
        samples=[(deme, tick, n) for tick, deme, n in plan.groups(name)],
        dominance=plan.scenario.to_tree()["selection"].get("dominance"),
    )  # fmt: skip
    # who lived before the pulse has no markers, and nothing from any source
    unmarked = len(branch.sources), plan.tables.mark_words
    expected = genealogies.expected_labels(
        [
            branch.sampled_marks.get((tick, deme), np.zeros((unmarked[0], 2 * n, unmarked[1]), np.uint64))
            for tick, deme, n in plan.groups(name)
        ],
        plan.tables.n_markers,
    )
    label = run_label(plan, name, made.replicate, made.twin, "trees of branch")
    progress.start(label)
    shares = np.cumsum([0.0, 0.4, 0.35, 0.25])  # of the time: who left DNA, the way back, the files

    def at(part: int) -> Callable[[float, str], None]:
        return lambda done, note: progress.update(label, shares[part] + (shares[part + 1] - shares[part]) * done, note)

    what = f"branch {name}" + (", neutral twin" if made.twin == "neutral" else "")
    with clock.part(f"genetic ancestors of {what}"):
        branch.records.ancestors += Ancestors(branch, lineages).genetic_rows(at(0))
    with clock.part(f"trees of {what}"):
        records = chromosome_records(branch, lineages, plan.genome, at(1), past)
        genealogies.write_trees(
            records, labels, plan.genome, expected,
            lambda chrom: path(
                str(trees.tree_path("", name, made.replicate, made.twin, chrom)).replace(os.sep, "/")
            ),
            plan.threads, at(2),
        )  # fmt: skip
    progress.done(label)
