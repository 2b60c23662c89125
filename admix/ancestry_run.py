# SPDX-License-Identifier: GPL-3.0-or-later
"""Local ancestry of a run: from its tree files to tables in ``RUN/derived/ancestry/BRANCH/REPLICATE/``.

``tracts.tsv.gz``
    One row for each stretch of a sampled haplotype that a source brought in, by chromosome and position: `chrom`,
    `start`, `end` (bp, 0-based, half-open), `source`, `sample` (name of the individual, as in a VCF file of the
    run), `haplotype` (0 or 1). Stretches run through gaps. What is in no row is native.
``samples.tsv``
    One row for each sampled individual and source, also where it has nothing of it.
``groups.tsv``
    The same for all individuals of a deme and date together.

Shares are of bases outside gaps in the known sequence, in all chromosomes and all sampled haplotypes: a haplotype
without any tract counts in the denominator. A genome says how many bases of a window are gap and not which, so each
base of a window counts as much of a base as the window has known sequence. That is exact for windows that are
known throughout or not at all; in the shipped genome 393 of 28,823 are neither.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from admix import trees
from admix.ancestry import Tracts, local_ancestry
from admix.derived import replaced_folder, write_table
from admix.errors import RunError
from admix.genome import Genome
from admix.results import Run
from admix.run_trees import TreeFile, tree_files

if TYPE_CHECKING:
    import tskit

__all__ = ["TRACT_COLUMNS", "Written", "known_bases", "screen_table", "write_ancestry"]

Report = Callable[[float, str], None]
"""Called with the fraction that is done and what was done last."""

TRACT_COLUMNS = ("chrom", "start", "end", "source", "sample", "haplotype")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written for one branch of one replicate.

    Attributes
    ----------
    branch, replicate, twin
        Which one; `twin` is ``none`` or ``neutral``.
    path
        The folder.
    groups
        The content of ``groups.tsv``.
    """

    branch: str
    replicate: int
    twin: str
    path: Path
    groups: pd.DataFrame


def known_bases(genome: Genome, chrom: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return positions on chromosome number `chrom`, and how many bases outside gaps lie before each.

    Returns
    -------
    position, known : int64[windows + 1]
        Edges of the windows. Between two of them, known bases are taken to be spread evenly.
    """
    own = genome.window_chrom == chrom
    start, end, gap = genome.window_start[own], genome.window_end[own], genome.window_gap_bp[own]
    return np.append(start, end[-1]), np.append(0, np.cumsum(end - start - gap))


def write_ancestry(
    run: Run,
    *,
    branch: str | None = None,
    replicate: int | None = None,
    twin: str | None = None,
    report: Report | None = None,
) -> list[Written]:
    """Read local ancestry off the tree files of a run and write the three tables for each replicate.

    Tables of an earlier call are replaced when the new ones are complete.

    Parameters
    ----------
    run
        A finished run.
    branch, replicate, twin
        Which replicates; all that have tree files if omitted.
    report
        Told how far it is after every chromosome.

    Raises
    ------
    InputError, RunError
        In one line, for what `admix.run_trees.tree_files` refuses, and for a tree file that is damaged, from elsewhere,
        without census, with a base that is not covered, or with other samples than the file before it.
    """
    by_replicate: dict[tuple[str, int, str], list[TreeFile]] = {}
    files = tree_files(run, branch=branch, replicate=replicate, twin=twin)
    for file in files:
        by_replicate.setdefault((file.branch, file.replicate, file.twin), []).append(file)
    done, written = 0, []
    for (name, number, kind), own in by_replicate.items():
        out = run.path / "derived" / "ancestry" / name / trees.replicate_folder(number, kind)

        def told(k: int, file: TreeFile, before: int = done) -> None:
            if report is not None:
                label = f"{file.branch}, replicate {file.replicate}{', neutral' if file.twin == 'neutral' else ''}"
                report((before + k) / len(files), f"{label}, chromosome {file.chrom}")

        groups = _write_replicate(own, out, told)
        written.append(Written(branch=name, replicate=number, twin=kind, path=out, groups=groups))
        done += len(own)
    return written


def _write_replicate(files: Sequence[TreeFile], out: Path, told: Callable[[int, TreeFile], None]) -> pd.DataFrame:
    """Write the tables of the replicate whose chromosomes are `files`; return the groups."""
    genome = files[0].genome
    people: pd.DataFrame | None = None
    names: tuple[str, ...] = ()
    parts = []
    with replaced_folder(out) as folder, _packed(folder / "tracts.tsv.gz") as handle:
        handle.write("\t".join(TRACT_COLUMNS) + "\n")
        for k, file in enumerate(files, start=1):
            ts = file.load()
            tracts = local_ancestry(ts, where=str(file.path))
            found = _people(ts, tracts, file.labels)
            if people is None:
                people, names = found, tracts.names
            elif not people.equals(found) or names != tracts.names:
                what = "its samples or sources are not those of the other chromosomes"
                raise RunError(str(file.path), what, "make the run again")
            table = _chromosome_table(tracts, file.chrom, people)
            table.to_csv(handle, sep="\t", index=False, header=False, lineterminator="\n")
            parts.append(_amounts(tracts, known_bases(genome, genome.chroms.index(file.chrom))))
            told(k, file)
        assert people is not None  # a genome has a chromosome
        rows = _rows(people, names[1:], np.sum([p[:3] for p in parts], axis=0), np.max([p[3] for p in parts], axis=0))
        samples, groups = _tables(rows, genome.total_bp - genome.gap_bp)
        for name, frame in (("samples", samples), ("groups", groups)):
            write_table(folder / f"{name}.tsv", frame)
    return groups


def screen_table(groups: pd.DataFrame) -> str:
    """Return ``groups.tsv`` as a short table for the screen."""
    rows = [("deme", "years ago", "source", "people", "share", "tracts per haplotype", "mean tract")]
    for group in groups.to_dict("records"):
        rows.append(
            (
                str(group["deme"]),
                f"{group['years_bp']:,.0f}",
                str(group["source"]),
                f"{group['individuals']:,}",
                f"{100 * group['share']:.2f} %",
                f"{group['tracts'] / group['haplotypes']:,.1f}",
                f"{group['mean_bp'] / 1000:,.0f} kb" if group["tracts"] else "",
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    text = (0, 2)
    lines = []
    for row in rows:
        cells = (v.ljust(w) if k in text else v.rjust(w) for k, (v, w) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _people(ts: tskit.TreeSequence, tracts: Tracts, labels: trees.TreeLabels) -> pd.DataFrame:
    """One row for each haplotype: name of its individual, haplotype, deme, date."""
    names = np.array(trees.sample_names(ts), dtype=object)
    demes = np.array(trees.population_names(ts), dtype=object)
    years = (tracts.time + (labels.today_tick - labels.last_tick)) * labels.generation_time
    return pd.DataFrame(
        {
            "sample": names[tracts.sample],
            "haplotype": tracts.haplotype,
            "deme": demes[tracts.population],
            "years_bp": years,
            "number": tracts.sample,
        }
    )


def _chromosome_table(tracts: Tracts, chrom: str, people: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``tracts.tsv.gz``, by position."""
    table = tracts.frame(range(1, len(tracts.names)))
    table = table.sort_values(["start", "end", "sample", "haplotype"], kind="stable", ignore_index=True)
    names = people.drop_duplicates("number").set_index("number")["sample"]
    return table.assign(chrom=chrom, sample=table["sample"].map(names))[list(TRACT_COLUMNS)]


def _amounts(tracts: Tracts, measure: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
    """Of each haplotype and source: known bases, all bases, number of tracts, longest; shape (4, n, sources)."""
    shape = (len(tracts.node), len(tracts.names))
    number, longest = np.zeros(shape), np.zeros(shape)
    np.add.at(number, (tracts.row, tracts.label), 1)
    np.maximum.at(longest, (tracts.row, tracts.label), tracts.end - tracts.start)
    out: npt.NDArray[np.float64] = np.stack([tracts.amounts(measure), tracts.amounts(), number, longest])
    return out[:, :, 1:]


def _rows(
    people: pd.DataFrame, sources: tuple[str, ...], sums: npt.NDArray[np.float64], longest: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """One row for each haplotype and source."""
    frames = []
    for q, source in enumerate(sources):
        columns = {"known": sums[0, :, q], "bp": sums[1, :, q], "tracts": sums[2, :, q], "longest_bp": longest[:, q]}
        frames.append(people.assign(source=source, order=q, **columns))
    return pd.concat(frames, ignore_index=True)


def _tables(rows: pd.DataFrame, total: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``samples.tsv`` and ``groups.tsv``; `total` is the number of known bases of a haplotype."""
    adding = {"haplotypes": ("haplotype", "size"), "known": ("known", "sum"), "bp": ("bp", "sum"),
              "tracts": ("tracts", "sum"), "longest_bp": ("longest_bp", "max")}  # fmt: skip
    whole = {"bp": np.int64, "tracts": np.int64, "longest_bp": np.int64}

    def table(data: pd.DataFrame, by: list[str], **more: tuple[str, str]) -> pd.DataFrame:
        out = data.groupby(by, sort=False, as_index=False).agg(**adding, **more).astype(whole)
        mean = np.divide(out["bp"], out["tracts"], out=np.full(len(out), np.nan), where=out["tracts"].to_numpy() > 0)
        return out.assign(share=out["known"] / (out["haplotypes"] * total), mean_bp=mean)

    people = table(rows, ["number", "sample", "deme", "years_bp", "source", "order"])
    people = people.sort_values(["number", "order"], ignore_index=True)
    groups = table(rows, ["deme", "years_bp", "source"], individuals=("number", "nunique"))
    spread = (
        people.groupby(["deme", "years_bp", "source"], sort=False)["share"].std(ddof=0).reset_index(name="share_sd")
    )
    groups = groups.merge(spread, on=["deme", "years_bp", "source"], how="left", validate="one_to_one")
    shown = ["deme", "years_bp", "source"]
    return (
        people[["sample", *shown, "haplotypes", "share", "bp", "tracts", "mean_bp", "longest_bp"]],
        groups[[*shown, "individuals", "haplotypes", "share", "share_sd", "bp", "tracts", "mean_bp", "longest_bp"]],
    )


# ---------------------------------------------------------------------- files


@contextmanager
def _packed(path: Path) -> Iterator[io.TextIOWrapper]:
    """A gzip file without name and date in it, so that equal tables are equal bytes."""
    with open(path, "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
            with io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as handle:
                yield handle
        raw.flush()
        os.fsync(raw.fileno())
