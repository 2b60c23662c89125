# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of sampled people: what the tree files of one replicate give, group by group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import tskit

from admix import trees
from admix.ancestry import local_ancestry
from admix.blocks import chromosome_lengths
from admix.errors import InputError, RunError
from admix.genome import Genome
from admix.landscape import HaplotypeAncestry, genome_windows
from admix.load import ORIGINS, chromosome_load
from admix.run_trees import TreeFile
from admix.samples import sample_table
from admix.schedule import Schedule
from admix.selection import Selection
from admix.tract_theory import effective_meioses, end_rate, line_sizes, meioses
from admix.tracts import TRACT_COLUMNS, compare, measure, survival

__all__ = ["Group", "Sampled", "people_table", "read_sampled", "tract_tables", "trees_elsewhere"]

_POINTS = 101
_LEAST = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """Sampled people of one deme and date, and their ancestry of one source.

    `generation` counts from the first pulse of the source; `tracts` are from `admix.tracts.measure`.
    """

    source: str
    deme: str
    tick: int
    generation: int
    years_bp: float
    individuals: int
    tracts: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """All sampled people of a replicate.

    Attributes
    ----------
    samples
        From `admix.samples.sample_table`, and the column `tick`.
    tracts
        Of all sources, from `admix.tracts.measure`.
    load
        By source, load by origin as `admix.load.chromosome_load` gives it, over all chromosomes. Empty for the neutral
        twin, which has none.
    """

    samples: pd.DataFrame
    tracts: pd.DataFrame
    load: dict[str, npt.NDArray[np.float64]]

    def groups(self, clock: Schedule) -> Iterator[Group]:
        """Give each source's ancestry in each deme and date that it has reached, in the order of the samples."""
        for deme, tick in self.samples[["deme", "tick"]].drop_duplicates().itertuples(index=False):
            people = self.samples[(self.samples["deme"] == deme) & (self.samples["tick"] == tick)]
            mine = self.tracts["sample"].isin(people["sample"])
            for source in clock.sources():
                name = clock.deme_names[source]
                if tick < clock.recipients(source).get(clock.deme(str(deme)), tick + 1):
                    continue
                yield Group(
                    source=name, deme=str(deme), tick=int(tick), generation=clock.generation(int(tick), source),
                    years_bp=clock.years_bp(int(tick)), individuals=len(people),
                    tracts=self.tracts[mine & (self.tracts["source"] == name)],
                )  # fmt: skip


def read_sampled(files: Sequence[TreeFile], selection: Selection, report: Callable[[float], None]) -> Sampled:
    """Read ancestry and load of all sampled people off the tree files of a replicate.

    Parameters
    ----------
    files
        One for each chromosome of the genome.
    selection
        Of the run.
    report
        Told which part is done.

    Raises
    ------
    InputError, RunError
        As `admix.run_trees.TreeFile.load` and `admix.ancestry.local_ancestry`, and if chromosomes have different
        samples.
    """
    clock, genome, twin = files[0].schedule, files[0].genome, files[0].twin
    sources = [clock.deme_names[source] for source in clock.sources()]
    samples: pd.DataFrame | None = None
    load: dict[str, npt.NDArray[np.float64]] = {}
    parts = []
    for done, file in enumerate(files, start=1):
        ts = file.load()
        found = sample_table(ts)
        if samples is not None and not found.equals(samples):
            raise RunError(str(file.path), "other samples than in the chromosomes before it", "make the run again")
        samples = found
        labelled = local_ancestry(ts, sources, where=str(file.path))
        table = labelled.frame(range(1, len(labelled.names)))
        names = samples["sample"].to_numpy()[table["sample"].to_numpy()]
        parts.append(table.assign(chrom=file.chrom, sample=names)[list(TRACT_COLUMNS)])
        for source in sources if twin == "none" else ():
            mine = parts[-1][parts[-1]["source"] == source]
            load[source] = load.get(source, 0.0) + chromosome_load(
                ts, samples, mine, selection, clock.first_pulse_tick()
            )
        report(done / len(files))
    assert samples is not None  # a replicate has a file
    ticks = files[0].labels.last_tick - np.rint(samples["time"].to_numpy()).astype(np.int64)
    tracts = measure(pd.concat(parts, ignore_index=True), genome)
    return Sampled(samples=samples.assign(tick=ticks), tracts=tracts, load=load)


def tract_tables(
    group: Group, genome: Genome, clock: Schedule, share: float, unit: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the lengths of a group's tracts beside what is expected without selection.

    Parameters
    ----------
    group
        Of a replicate.
    genome, clock
        Of the run and the branch.
    share
        Share of the source among the lines at the pulse, for the expectation.
    unit
        What crosses at a pulse, if not what the scenario says.

    Returns
    -------
    summary : DataFrame
        One row: `individuals`, `tracts`, `ancestry` (share of bases outside gaps), `mean_cM`, `median_cM`,
        `longest_cM`, `ends` (inside chromosomes), `rate` and `rate_se` (ends per Morgan), `meioses`,
        `effective_meioses`, `share`, `expected_rate`, `p_rate`, `p_shape`.
    lengths : DataFrame
        `cM`, `observed`, `expected`: shares of tracts that are longer, at 101 points. Empty without tracts.
    note : str
        Why nothing is expected, if so.
    """
    note = ""
    t = effective = expected = np.nan
    try:
        sizes, crossing = line_sizes(clock, group.source, group.deme, group.tick)
        crossing = unit or crossing
        t, effective = meioses(len(sizes), crossing), effective_meioses(sizes, crossing)
        expected = end_rate(share, sizes, crossing)
    except InputError as error:
        note = f"tracts.tsv has no expected rate where the theory does not hold: {error}"
    fit = compare(group.tracts, genome, expected if effective > 0 else np.nan)
    cm = 100 * group.tracts["morgans"].to_numpy(dtype=np.float64)
    windows = genome_windows(genome)
    mean = HaplotypeAncestry(group.tracts, genome, 2 * group.individuals).mean(
        windows.chrom, windows.start, windows.end
    )
    summary = pd.DataFrame(
        {
            "individuals": [group.individuals], "tracts": [fit.tracts],
            "ancestry": [float(mean @ windows.sequence_bp / windows.sequence_bp.sum())],
            "mean_cM": [cm.mean() if len(cm) else np.nan], "median_cM": [np.median(cm) if len(cm) else np.nan],
            "longest_cM": [cm.max() if len(cm) else np.nan], "ends": [fit.ends], "rate": [fit.rate],
            "rate_se": [fit.rate_se], "meioses": [t], "effective_meioses": [effective], "share": [share],
            "expected_rate": [expected], "p_rate": [fit.p_rate], "p_shape": [fit.p_shape],
        }
    )  # fmt: skip
    rate = expected if expected > 0 else fit.rate
    lengths = pd.DataFrame(columns=["cM", "observed", "expected"])
    if fit.tracts and rate > 0:
        # up to the length that one tract in a thousand exceeds
        lengths = survival(group.tracts, genome, expected if expected > 0 else np.nan, _grid(rate, genome))
    return summary, lengths, note


def _grid(rate: float, genome: Genome) -> npt.NDArray[np.float64]:
    return np.linspace(0.0, min(-np.log(_LEAST) / rate, float(genome.chrom_morgans.max())), _POINTS)


def people_table(sampled: Sampled, clock: Schedule, genome: Genome, source: str) -> pd.DataFrame:
    """Return ancestry and load of each sampled person.

    Returns
    -------
    DataFrame
        `sample`, `deme`, `generation`, `years_bp`, `ancestry` (of all bases, gaps included), `load` and
        `load_archaic`, `load_modern`, `load_new` (see `admix.load`; missing in the neutral twin).
    """
    total = sum(chromosome_lengths(genome).values())
    mine = sampled.tracts[sampled.tracts["source"] == source]
    bases = (mine["end"] - mine["start"]).groupby(mine["sample"]).sum()
    ticks = sampled.samples["tick"]
    out = sampled.samples[["sample", "deme"]].assign(
        generation=[clock.generation(int(tick), clock.deme(source)) for tick in ticks],
        years_bp=[clock.years_bp(int(tick)) for tick in ticks],
        ancestry=sampled.samples["sample"].map(bases).fillna(0.0).astype(np.float64) / (2 * total),
    )
    load = sampled.load.get(source, np.full((len(out), len(ORIGINS)), np.nan))
    out["load"] = load.sum(axis=1)
    for k, origin in enumerate(ORIGINS):
        out[f"load_{origin}"] = load[:, k]
    return out


def trees_elsewhere(folder: Path, files: Sequence[TreeFile]) -> Iterator[tuple[str, tskit.TreeSequence]]:
    """Give the chromosomes that a folder has of a replicate (``BRANCH/REPLICATE/chrN.tsz``), in order.

    Parameters
    ----------
    folder
        Where the tree files are, as RUN/trees.
    files
        Those of the replicate in the run itself.

    Raises
    ------
    InputError
        If it has none.
    """
    mine = folder / files[0].branch / trees.replicate_folder(files[0].replicate, files[0].twin)
    there = [(file.chrom, mine / file.path.name) for file in files if (mine / file.path.name).is_file()]
    if not there:
        raise InputError(str(mine), allowed="a folder with tree files of this replicate, chrN.tsz")
    for chrom, path in there:
        yield chrom, trees.load(path)
