# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the SLiM engine (``--engine slim``): the same scenario and the same run directory, simulated by SLiM."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from admix import genealogies, results, run_plan, scaling, trees
from admix.engines.native.branch import ALWAYS_UNTIL, THEN_EVERY, BranchPlan, Records
from admix.engines.native.history import RESULTS_VERSION as NATIVE_VERSION
from admix.engines.native.history import History, Stage, load_slope
from admix.engines.native.snapshot import Arrays
from admix.engines.native.workers import Workers
from admix.engines.slim import cost, program
from admix.engines.slim.branch import SlimBranch
from admix.engines.slim.genealogy import chromosome_records, marker_labels
from admix.engines.slim.history import RESULTS_VERSION, SlimHistory, slim_stages
from admix.engines.slim.model import SCRIPT
from admix.errors import InputError
from admix.progress import Progress
from admix.results import RunWriter
from admix.run_plan import Estimate, Plan, RunOptions, run_label, stage_label
from admix.run_record import Clock, frames, provenance
from admix.scenario import HISTORIES, Scenario
from admix.schedule import Schedule

__all__ = ["ENGINE", "estimate", "run", "write_script"]

ENGINE = "slim"
"""Name of the engine on the command line and in provenance.json."""
_PICTURES = "tables and pictures"


@dataclass(slots=True)
class _Job:
    """A run under way."""

    plan: Plan
    slim: str
    version: str
    workers: Workers
    progress: Progress
    clock: Clock
    writer: RunWriter
    told: dict[str, Any]
    work: dict[str, float]


def run(scenario: Scenario, options: RunOptions, progress: Progress | None = None) -> Path:
    """Simulate a scenario with SLiM and return its complete run directory.

    Raises
    ------
    InputError
        Where there is no SLiM that admix knows, the scenario or an option can't be run, or ``options.out`` exists and
        may not be replaced.
    RunError
        Where SLiM fails, the disk is full or a directory can't be written.
    KeyboardInterrupt
        On SIGINT, once SLiM has been ended; ``options.out`` is not written then.
    """
    RunWriter.check(options.out, options.force)
    progress = progress or Progress(quiet=True)
    slim, version = program.require(options.slim_path)
    plan = _resolve(scenario, options, version, progress)
    work = dict(_work(plan, 1.0))
    progress.plan([*work.items(), (_PICTURES, 8.0)])
    clock, workers = Clock(), Workers(plan.threads)
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in results.SCHEMA}
    try:
        with RunWriter(options.out, options.force) as writer:
            job = _Job(plan, slim, version, workers, progress, clock, writer, {}, work)
            for replicate in range(options.replicates):
                for name in plan.branches:
                    lineages = _history(job, name, plan.burnin(replicate))
                    for twin in plan.twins:
                        made = _branch(job, name, replicate, twin, lineages)
                        for table, frame in frames(plan.genome, made).items():
                            tables[table].append(frame)
            progress.start(_PICTURES)
            with clock.part(_PICTURES):
                whole = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
                for table, frame in whole.items():
                    writer.table(table, frame)
                stems = {name.removesuffix(".tsv"): frame for name, frame in whole.items()}
                writer.json("summary.json", results.summarise(stems, plan.scenario))
                text = run_plan.resolved(plan.scenario, plan.options).to_yaml()
                writer.text("scenario.yaml", _scale_note(options.scale) + text)
            more: dict[str, Any] = {
                "engine": ENGINE,
                "slim": {"version": version, "path": slim, "history": options.history, "scale": options.scale},
                "history": [{"key": key} | told for key, told in job.told.items()], "cache": str(plan.cache.directory),
            }  # fmt: skip
            writer.json("provenance.json", provenance(plan.genome, RESULTS_VERSION, plan.threads, clock, more))
            path = writer.seal()
        progress.update(_PICTURES, 0.4)
        from admix import run_pages  # matplotlib: not for a dry run

        run_pages.make(path)
        progress.done(_PICTURES)
    finally:
        workers.close()
    return path


def _scale_note(scale: float) -> str:
    if scale == 1.0:
        return ""
    return (
        f"# Made with --scale {scale:g}. Sizes, times, rates below are scaled. The map was {scale:g} times as long,\n"
        "# which no scenario can say. To repeat the run, give --scale and the scenario that it was made from.\n"
    )


def _resolve(scenario: Scenario, options: RunOptions, version: str, progress: Progress | None = None) -> Plan:
    if options.history not in HISTORIES:
        raise InputError("--history", options.history, f"one of {', '.join(HISTORIES)}")
    for option, given, unset in (
        ("--trees-to", options.trees_to, "pulse"),
        ("--keep-parents", options.keep_parents, False),
    ):
        if given != unset:
            raise InputError(option, given, f"left out with --engine {ENGINE}, whose trees reach back to the pulse")
    say = progress.say if progress else None
    genome = None
    if options.scale != 1.0:
        if options.history == "native":
            raise InputError("--scale", options.scale, "1 with --history native: the native engine is never scaled")
        if options.trees:
            raise InputError("--scale", options.scale, "1 with --trees, whose dates and map would be wrong")
        scenario = scaling.scaled_scenario(scenario, options.scale)
        genome = scaling.scaled_genome(scenario.build_genome(), options.scale)
        if say is not None:
            for line in scaling.dangers(scenario, options.scale):
                say(line)
    plan = run_plan.resolve(scenario, options, say, genome)
    if options.history == "slim":
        for key, stages in plan.stages.items():
            plan.stages[key] = slim_stages(stages, version)
    return plan


def _history(job: _Job, branch: str, burnin: int) -> list[Arrays]:
    """The lineages at the tick before the pulse."""
    plan, progress = job.plan, job.progress
    stages = plan.stages[branch, burnin]
    labels = {stage.name: stage_label(stage) for stage in stages}
    begun: set[str] = set()

    def report(name: str, fraction: float, note: str) -> None:
        if labels[name] in job.work:
            if name not in begun:
                progress.start(labels[name])
                begun.add(name)
            progress.update(labels[name], fraction, note)

    common = (plan.schedules[branch], plan.tables, job.workers, plan.cache, report, lambda: plan.spectrum)
    maker = History(*common)
    if plan.options.history == "slim":
        rate = plan.scenario.build_selection().mutation_rate
        maker = SlimHistory(*common, plan.genome, rate, job.slim, plan.cache.directory)
    with job.clock.part(f"history, burn-in {burnin}"):
        made = maker.make(stages)
    for name in begun:
        progress.done(labels[name])
    for stage in stages[1:]:
        meta = made[stage.name][1]
        slopes = {}
        for curve in (meta["ancestor"], meta["curve"]):
            for deme in sorted({int(i) for _, i, _ in curve}):
                slope, error = load_slope(curve, deme)
                name = plan.schedules[branch].deme_names[deme]
                slopes[name] = {"log_fitness_per_1000_generations": slope, "standard_error": error}
        told = {
            "stage": stage.name, "burnin": burnin, "first_tick": stage.first, "last_tick": stage.last,
            "from_cache": meta["from_cache"], "load_slope": slopes,
            "engine": f"slim {job.version}" if plan.options.history == "slim" else f"native, results {NATIVE_VERSION}",
        }  # fmt: skip
        job.told.setdefault(stage.key, told)
    return [made[stage.name][0] for stage in stages[1:]]


def _branch_of(plan: Plan, workers: Workers, name: str, replicate: int, twin: str) -> SlimBranch:
    sampling, o = plan.scenario.sampling, plan.options
    made = BranchPlan(
        branch=name, replicate=replicate, twin=twin, seed=o.seed, burnin=plan.burnin(replicate), last=plan.last(name),
        landscape_generations=sampling.landscape_generations, spread_generations=sampling.spread_generations,
        samples=plan.samples(name, replicate),
    )  # fmt: skip
    return SlimBranch(
        plan.schedules[name], plan.tables, plan.genome, workers, made,
        plan.branches[name].build_selection().mutation_rate, trees=bool(plan.groups(name)),
    )  # fmt: skip


def _branch(job: _Job, name: str, replicate: int, twin: str, lineages: list[Arrays]) -> Records:
    plan, progress = job.plan, job.progress
    branch = _branch_of(plan, job.workers, name, replicate, twin)
    label = run_label(plan, name, replicate, twin)
    # beside the output, which has to have room for such things anyway
    with tempfile.TemporaryDirectory(prefix=f".{plan.options.out.name}-slim-", dir=job.writer.out.parent) as place:
        folder = Path(place)
        progress.start(label)
        with job.clock.part(f"branch {name}" + (", neutral twin" if twin == "neutral" else "")):
            records = branch.run_in(
                folder, job.slim, lineages, lambda done, note: progress.update(label, done, note), progress.say
            )
        progress.done(label)
        if plan.groups(name):
            _trees(job, branch, folder / "out")
    return records


def _trees(job: _Job, branch: SlimBranch, folder: Path) -> None:
    """Make the tree files of a branch that has run."""
    plan, made = job.plan, branch.plan
    name = made.branch
    labels = trees.TreeLabels.from_schedule(
        branch.schedule, branch=name, replicate=made.replicate, twin=made.twin, seed=made.seed,
        chroms=plan.genome.chroms, last_tick=made.last,
        run=trees.run_digest(run_plan.resolved(plan.scenario, plan.options)),
        samples=[(deme, tick, n) for tick, deme, n in plan.groups(name)],
        dominance=plan.scenario.to_tree()["selection"].get("dominance"),
        parameters={"engine": f"slim {job.version}"},
    )  # fmt: skip
    label = run_label(plan, name, made.replicate, made.twin, "trees of branch")
    job.progress.start(label)
    with job.clock.part(f"trees of branch {name}" + (", neutral twin" if made.twin == "neutral" else "")):
        genealogies.write_trees(
            chromosome_records(branch, folder, plan.genome), labels, plan.genome,
            marker_labels(branch, folder, plan.genome),
            lambda chrom: job.writer.path(
                str(trees.tree_path("", name, made.replicate, made.twin, chrom)).replace(os.sep, "/")
            ),
            plan.threads, lambda done, note: job.progress.update(label, done, note),
        )  # fmt: skip
    job.progress.done(label)


def _work(plan: Plan, factor: float) -> list[tuple[str, float]]:
    """(name, seconds) of the stages that are not in the cache, and of the branches; SLiM's are times ``factor``."""
    native = plan.options.history == "native"
    history, runs = run_plan.work(plan)
    stages = {stage_label(s): (s, plan.schedules[name]) for (name, _), found in plan.stages.items() for s in found}
    out = []
    for label, seconds in history:
        out.append((label, seconds if native else cost.START_SECONDS + factor * _stage_seconds(plan, *stages[label])))
    for replicate in range(plan.options.replicates):
        for name in plan.branches:
            for twin in plan.twins:
                out.append(
                    (
                        run_label(plan, name, replicate, twin),
                        cost.START_SECONDS + factor * _branch_seconds(plan, name, twin),
                    )
                )
    named = dict(out)
    return out + [(label, seconds) for label, seconds in runs if label not in named]


def _stage_seconds(plan: Plan, stage: Stage, clock: Schedule) -> float:
    total = 0.0
    for deme in stage.demes:
        first, last = max(stage.first, int(clock.first_tick[deme])), min(stage.last, int(clock.last_tick[deme]))
        if last >= first:
            for n, count in zip(*np.unique(clock.sizes(deme, first, last), return_counts=True), strict=True):
                mutations = cost.carried(plan.spectrum, float(n))
                total += float(count) * cost.tick_seconds(float(n), plan.genome.morgans, mutations)
                # everybody's haplotypes are written and read once
                total += cost.STATE_SECONDS * 4 * float(n) * mutations / max(1, len(stage.demes))
    return total


def _fixed(plan: Plan, name: str) -> float:
    """Mutations that became fixed in a deme since the split: people of another deme carry them once."""
    clock = plan.schedules[name]
    ticks = clock.first_pulse_tick() - 1
    s, _ = plan.spectrum.draw_fixed(min(ticks, 1000), np.random.default_rng(1))
    return len(s) * ticks / min(ticks, 1000) if ticks else 0.0


def _branch_seconds(plan: Plan, name: str, twin: str) -> float:
    clock, last, first = plan.schedules[name], plan.last(name), plan.schedules[name].first_pulse_tick()
    morgans, markers = plan.genome.morgans, plan.tables.n_markers * len(clock.sources())
    fixed = _fixed(plan, name) if twin == "none" else 0.0
    total = 0.0
    demes = {d for s in clock.sources() for d in clock.recipients(s)}
    for deme in demes:
        low, high = max(first, int(clock.first_tick[deme])), min(last, int(clock.last_tick[deme]))
        if high < low:
            continue
        sizes = clock.sizes(deme, low, high)
        for n, count in zip(*np.unique(sizes, return_counts=True), strict=True):
            mutations = fixed + (cost.carried(plan.spectrum, float(n)) if twin == "none" else 0.0)
            total += float(count) * cost.tick_seconds(float(n), morgans, mutations, markers, trees=plan.trees)
        if twin == "none":
            generation = np.arange(low, high + 1) - first + 1
            measured = (generation <= ALWAYS_UNTIL) | (generation % THEN_EVERY == 0)
            mutations = fixed + cost.carried(plan.spectrum, float(sizes.mean()))
            total += sum(cost.load_seconds(float(n), mutations) for n in sizes[measured])
        total += cost.STATE_SECONDS * 4 * float(sizes[0]) * (fixed + cost.carried(plan.spectrum, float(sizes[0])))
    return total


def estimate(scenario: Scenario, options: RunOptions) -> Estimate:
    """Return what a run will cost on this machine, from a pilot of a second in SLiM; nothing of it is kept."""
    slim, version = program.require(options.slim_path)
    plan = _resolve(scenario, options, version)
    factor = cost.machine_factor(slim)
    stages = _work(plan, factor)
    if options.history == "native":
        first = run_plan.history_seconds(plan)
    else:
        every = {s.key: _stage_seconds(plan, s, plan.schedules[n]) for (n, _), ss in plan.stages.items() for s in ss}
        first = factor * sum(every.values()) + cost.START_SECONDS * len(every)
    known = {stage_label(s) for found in plan.stages.values() for s in found}
    tail = sum(seconds for label, seconds in stages if label not in known) + 8.0
    # the first tick has people of all demes, the others of the recipients
    people = max(sum(c.size(d, t) for d in range(len(c.deme_names)) if c.exists(d, t))
                 for c in plan.schedules.values() for t in (c.first_pulse_tick() - 1, c.today))  # fmt: skip
    haplotypes = 2.0 * people
    mutations = cost.carried(plan.spectrum, people) + max(_fixed(plan, b) for b in plan.branches)
    state = haplotypes * mutations * 4
    rows = sum(plan.last(b) for b in plan.branches) * 180 + len(plan.genome.window_chrom) * 5 * 60
    return Estimate(
        seconds_first=first + tail,
        seconds_cached=tail,
        memory_bytes=3.5e8 + haplotypes * mutations * cost.BYTES_PER_MUTATION,
        disk_bytes=rows * options.replicates * len(plan.twins) + state,
        stages=stages,
    )


def write_script(scenario: Scenario, options: RunOptions, path: Path, say: Callable[[str], None]) -> None:
    """Write the script of the first branch to ``path``, ready to run by hand, and its tables to ``path``.tables.

    The state at the pulse is part of it, so what precedes it is simulated if the cache has not got it.
    """
    if path.exists() or path.with_name(f"{path.name}.tables").exists():
        raise InputError("--slim-script", str(path), "a file that does not exist yet, nor a folder of its tables")
    slim, version = program.require(options.slim_path)
    plan = _resolve(scenario, options, version)
    workers = Workers(plan.threads)
    try:
        name = next(iter(plan.branches))
        progress = Progress(quiet=True)
        job = _Job(plan, slim, version, workers, progress, Clock(), None, {}, {})  # type: ignore[arg-type]
        branch = _branch_of(plan, workers, name, 0, "none")
        folder = path.with_name(f"{path.name}.tables").resolve()
        words, _ = branch.prepare(folder, slim, _history(job, name, plan.burnin(0)))
    finally:
        workers.close()
    given = dict(word.split("=", 1) for word in words if "=" in word)
    lines = [f'\tif (!exists("{key}")) defineConstant("{key}", {value});' for key, value in given.items()]
    lines.append('\tcatn("run with: slim -s SEED ' + path.name + '");')
    text = SCRIPT.read_text(encoding="utf-8")
    head = "// What admix gives with -d; an own -d overrules it.\ninitialize() {\n" + "\n".join(lines) + "\n}\n\n"
    at = text.index("function (integer$)now")
    path.write_text(text[:at] + head + text[at:], encoding="utf-8")
    say(f"branch {name}, replicate 0: {path} and {folder}; run it with: slim -s {words[2]} {path}")
