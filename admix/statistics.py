# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics of a run: from its tables and tree files to tables in ``RUN/derived/stats/``.

What needs tree files (tracts, distances, load by origin, f-statistics) is left out where there are none; each thing
that is left out has a line in the notes. The columns are in docs/statistics.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from admix import schedule
from admix.blocks import BLOCK_CM, gap_stretches, genome_blocks
from admix.derived import replaced_folder, write_table
from admix.element_distance import by_distance, check_elements
from admix.errors import InputError, RunError, nearest
from admix.fstatistics import Roles, f_statistics
from admix.genome import Genome
from admix.genome_layout import position_key
from admix.intervals import FLANK_BP, STEP_BP, Interval, around
from admix.landscape import (
    DESERT_BP,
    DESERT_SHARE,
    SCALES,
    Ancestry,
    HaplotypeAncestry,
    PopulationAncestry,
    correlations,
    deserts,
    genome_windows,
    quantiles,
)
from admix.load import population_load, relative_fitness
from admix.results import Run
from admix.run_trees import TreeFile, tree_files
from admix.sampled_statistics import people_table, read_sampled, tract_tables, trees_elsewhere
from admix.schedule import Schedule

__all__ = ["Options", "Statistics", "run_statistics"]

Report = Callable[[float, str], None]
"""Called with the fraction that is done and what is under way."""

Labels = dict[str, str | int | float]
LABELS = ("branch", "replicate", "twin", "source")
_YEARS = re.compile(r"@(?P<number>\d+(?:\.\d+)?)(?P<unit>y|ka)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for besides the defaults.

    Attributes
    ----------
    branch, replicate, twin
        One of several; None for all.
    block_cm
        Length of the blocks for standard errors, cM.
    scales
        Windows for correlations, bp.
    desert_bp, desert_share
        See `admix.landscape.deserts`.
    intervals, flank, step
        See `admix.intervals.around`; no interval, no table.
    distance
        True asks for ancestry by distance to elements, and is refused where their places are not real; None gives it
        where it can be had; False leaves it out.
    roles, mode, each, trees
        See `admix.fstatistics.f_statistics`; no roles, no table. Groups can have dates in years before today, too:
        ``DEME@45ka`` and ``DEME@45000y``. `trees` is another folder that holds ``BRANCH/REPLICATE/chrN.tsz``, as the
        recapitated ones; those of the run if omitted.
    """

    branch: str | None = None
    replicate: int | None = None
    twin: str | None = None
    block_cm: float = BLOCK_CM
    scales: tuple[int, ...] = SCALES
    desert_bp: int = DESERT_BP
    desert_share: float = DESERT_SHARE
    intervals: tuple[Interval, ...] = ()
    flank: int = FLANK_BP
    step: int = STEP_BP
    distance: bool | None = None
    roles: Roles | None = None
    mode: str = "site"
    each: bool = False
    trees: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What was written: the folder, the tables by name, and a line for each thing that was left out."""

    path: Path
    tables: dict[str, pd.DataFrame]
    notes: list[str]


def run_statistics(run: Run, options: Options | None = None, report: Report | None = None) -> Statistics:
    """Compute the statistics of a run and write them to ``RUN/derived/stats/``, in place of older ones.

    Parameters
    ----------
    run
        A finished run.
    options
        What is asked for; the defaults if omitted.
    report
        Told how far it is.

    Returns
    -------
    Statistics
        Tables: ``quintiles``, ``correlations``, ``deserts``, ``load`` and ``fitness`` always; ``tracts``,
        ``tract_lengths`` and ``people`` where there are tree files; ``distance``, ``intervals`` and ``fstatistics``
        as asked for. The notes are in ``notes.txt`` too.

    Raises
    ------
    InputError
        For an option that asks for what is not there.
    RunError
        For a damaged table or tree file, or if the folder cannot be written.
    """
    wanted = options or Options()
    collector = _Collector(run, wanted, report or (lambda fraction, what: None))
    if wanted.distance:
        check_elements(collector.genome)
    collector.population()
    collector.sampled()
    out = run.path / "derived" / "stats"
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in collector.parts.items()}
    with replaced_folder(out) as folder:
        for name, table in tables.items():
            write_table(folder / f"{name}.tsv", table)
        (folder / "notes.txt").write_text("".join(f"{note}\n" for note in collector.notes), encoding="utf-8")
    return Statistics(path=out, tables=tables, notes=collector.notes)


def _years(found: re.Match[str]) -> float:
    return float(found["number"]) * (1000.0 if found["unit"] == "ka" else 1.0)


class _Collector:
    """Parts of all tables, gathered over branches, replicates and twins."""

    def __init__(self, run: Run, options: Options, report: Report) -> None:
        self.run, self.options, self.report = run, options, report
        self.genome: Genome = run.scenario.build_genome()
        self.blocks = genome_blocks(self.genome, options.block_cm)
        self.windows = genome_windows(self.genome)
        self.parts: dict[str, list[pd.DataFrame]] = {}
        self.notes: list[str] = []
        self.clocks: dict[str, Schedule] = {}
        pulses = run.table("pulse")
        for option in ("branch", "replicate", "twin"):
            given, there = getattr(options, option), [str(value) for value in pulses[option].unique()]
            if given is not None and str(given) not in there:
                raise InputError(
                    f"--{option}", given, f"one of this run: {', '.join(there)}", nearest(str(given), there)
                )

    def clock(self, branch: str) -> Schedule:
        """The schedule of a branch."""
        if branch not in self.clocks:
            self.clocks[branch] = schedule.compile(self.run.scenario.branch(branch))
        return self.clocks[branch]

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run, without what is not asked for."""
        table = self.run.table(name)
        for option in ("branch", "replicate", "twin"):
            given = getattr(self.options, option)
            if given is not None:
                table = table[table[option] == given]
        return table

    def add(self, name: str, table: pd.DataFrame, labels: Labels) -> None:
        """Put rows to a table, with their labels before them."""
        for at, (column, value) in enumerate(labels.items()):
            table.insert(at, column, value)
        self.parts.setdefault(name, []).append(table)

    def note(self, text: str) -> None:
        """Put down, once, what was left out and why."""
        if text not in self.notes:
            self.notes.append(text)

    # ------------------------------------------------------------------ whole populations

    def population(self) -> None:
        """All that comes from the tables of the run."""
        self.parts["load"] = [population_load(self.table("trajectory"))]
        selection = self.run.scenario.build_selection()
        pulses, trajectory = self.table("pulse"), self.table("trajectory")
        self.parts["fitness"] = [
            relative_fitness(rows, trajectory, selection, self.clock(branch))
            for branch, rows in ((b, pulses[pulses["branch"] == b]) for b in pulses["branch"].unique())
        ]
        groups = list(self.table("landscape").groupby([*LABELS, "generation"], sort=False))
        labels: Labels
        group: Labels
        here = position_key(self.windows.chrom, self.windows.start)
        index = {name: c for c, name in enumerate(self.genome.chroms)}
        for k, (key, rows) in enumerate(groups):
            branch, replicate, twin, source, generation = cast(tuple[str, int, str, str, int], key)
            labels = {"branch": branch, "replicate": replicate, "twin": twin, "source": source}
            chrom = rows["chrom"].map(index).fillna(-1).to_numpy(dtype=np.int64)
            there = position_key(chrom, rows["start"].to_numpy(dtype=np.int64))
            if not np.array_equal(here, there):
                raise RunError(str(self.run.path / "landscape.tsv"), "its windows are not those of the run's genome")
            clock = self.clock(branch)
            tick = clock.first_pulse_tick(clock.deme(source)) + generation - 1
            group = {"of": "population", "deme": "", "generation": generation, "years_bp": clock.years_bp(tick)}
            ancestry = PopulationAncestry(self.genome, rows["ancestry"].to_numpy(dtype=np.float64))
            self.landscape(ancestry, labels | group | {"haplotypes": np.nan})
            self.report(0.3 * (k + 1) / len(groups), "whole populations")

    def landscape(self, ancestry: Ancestry, labels: Labels) -> None:
        """Ancestry along the genome of one group."""
        options = self.options
        self.add("quintiles", quantiles(self.genome, ancestry, self.blocks), labels)
        for size in options.scales:
            self.add("correlations", correlations(self.genome, ancestry, self.blocks, size), labels)
        self.add("deserts", deserts(self.genome, ancestry, options.desert_bp, options.desert_share), labels)
        if options.intervals:
            table = around(self.genome, ancestry, options.intervals, options.flank, options.step)
            self.add("intervals", table, labels)

    # ------------------------------------------------------------------ sampled haplotypes

    def sampled(self) -> None:
        """All that comes from tree files."""
        options = self.options
        distance = options.distance is not False
        if distance and options.distance is None:
            try:
                check_elements(self.genome)
            except InputError as error:
                self.note(f"distance.tsv is not written: {error}")
                distance = False
        try:
            files = tree_files(self.run, branch=options.branch, replicate=options.replicate, twin=options.twin)
        except InputError as error:
            if options.distance or options.roles is not None:
                raise
            self.note(f"tracts.tsv, tract_lengths.tsv, people.tsv and distance.tsv are not written: {error}")
            return
        by_replicate: dict[tuple[str, int, str], list[TreeFile]] = {}
        for file in files:
            by_replicate.setdefault((file.branch, file.replicate, file.twin), []).append(file)
        for k, mine in enumerate(by_replicate.values()):
            self.replicate(mine, distance, k / len(by_replicate), 1 / len(by_replicate))

    def replicate(self, files: list[TreeFile], distance: bool, start: float, part: float) -> None:
        """All groups of sampled people of one replicate."""
        labels: Labels = {"branch": files[0].branch, "replicate": files[0].replicate, "twin": files[0].twin}
        clock = files[0].schedule
        name = f"tree files of branch {files[0].branch}, replicate {files[0].replicate}"
        sampled = read_sampled(
            files,
            self.run.scenario.build_selection(),
            lambda done: self.report(0.3 + 0.7 * (start + 0.7 * part * done), name),
        )
        for group in sampled.groups(clock):
            here = labels | {"source": group.source}
            common: Labels = {"deme": group.deme, "generation": group.generation, "years_bp": group.years_bp}
            summary, lengths, note = tract_tables(group, self.genome, clock, self.share(here), self.crossing)
            self.add("tracts", summary, here | common)
            self.add("tract_lengths", lengths, here | common)
            if note:
                self.note(note)
            haplotypes = 2 * group.individuals
            ancestry = HaplotypeAncestry(group.tracts, self.genome, haplotypes)
            self.landscape(ancestry, here | {"of": "sample"} | common | {"haplotypes": haplotypes})
            if distance:
                self.add("distance", by_distance(self.genome, ancestry, self.blocks), here | common)
        for source in clock.sources():
            source_name = clock.deme_names[source]
            people = people_table(sampled, clock, self.genome, source_name)
            self.add("people", people, labels | {"source": source_name})
        if self.options.roles is not None:
            self.f_statistics(files, sampled.tracts, labels)
        self.report(0.3 + 0.7 * (start + part), name)

    def f_statistics(self, files: list[TreeFile], tracts: pd.DataFrame, labels: Labels) -> None:
        """f4, D and f4-ratios of one replicate; the truth is the ancestry of the deme that group A is of."""
        options, roles = self.options, self.options.roles
        assert roles is not None
        clock, last = files[0].schedule, files[0].labels.last_tick

        def dated(word: str) -> str:
            return _YEARS.sub(lambda found: f"@{last - clock.tick_of_years(_years(found))}", word)

        sources = [clock.deme_names[source] for source in clock.sources()]
        roles = roles.renamed(dated)
        deme = roles.a.partition("@")[0].partition(":")[0]
        if deme in sources:
            tracts = tracts[tracts["source"] == deme]
        found = trees_elsewhere(options.trees or self.run.path / "trees", files)
        table = f_statistics(
            found,
            roles,
            self.blocks,
            mode=options.mode,
            each=options.each,
            tracts=tracts,
            gaps=gap_stretches(self.genome),
        )
        self.add("fstatistics", table, labels)

    @property
    def crossing(self) -> str | None:
        """What crosses at a pulse, where that is not what the scenario says: lineages, in the coalescent engine."""
        return "gametes" if self.run.provenance.get("engine") == "msprime" else None

    def share(self, labels: Labels) -> float:
        """The source's share of pedigree paths, else of the cohort of its first pulse.

        Drift of the first generations is common to all chromosomes, so that no error over chromosomes holds it; in
        the pedigree it is known.
        """
        key, values = list(labels), list(labels.values())
        ancestors = self.run.table("ancestors")
        rows = ancestors[(ancestors[key] == values).all(axis=1)]
        paths = rows.loc[(rows["measure"] == "pedigree_paths") & (rows["scope"] == "all"), "value"].dropna()
        if len(paths):
            return float(paths.iloc[0])
        pulses = self.run.table("pulse")
        rows = pulses[(pulses[key] == values).all(axis=1)]
        return float(rows.sort_values("years_bp", ascending=False)["realised"].iloc[0])
