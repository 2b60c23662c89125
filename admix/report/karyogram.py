# SPDX-License-Identifier: GPL-3.0-or-later
"""The genomes of a few sampled people, painted with archaic ancestry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admix import trees
from admix.ancestry import local_ancestry
from admix.genome import Genome
from admix.report.html import Markup, tag
from admix.results import Run
from admix.run_trees import TreeFile, tree_files
from admix.samples import sample_table

__all__ = ["Painted", "drawing", "painted_people"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """One person.

    Attributes
    ----------
    name
        As in VCF files of the run.
    branch, deme
        Where from.
    years_bp
        When alive, years ago.
    sources
        The archaic sources.
    tracts
        For each chromosome, an int64[n, 4] table of haplotype (0 or 1), source (index), start and end in bp.
    share
        Of each source: the share of both haplotypes' bases, gaps included.
    """

    name: str
    branch: str
    deme: str
    years_bp: float
    sources: tuple[str, ...]
    tracts: dict[str, npt.NDArray[np.int64]]
    share: tuple[float, ...]


def painted_people(run: Run, *, each: int = 2) -> list[Painted]:
    """Return `each` people of every group sampled in the first branch and replicate that has trees.

    They are the first ones of their group, not chosen by what they carry.

    Raises
    ------
    InputError
        If the run has no trees.
    RunError
        If a tree file is damaged.
    """
    files = tree_files(run)
    own = [f for f in files if (f.branch, f.replicate, f.twin) == (files[0].branch, files[0].replicate, files[0].twin)]
    return _painted(own, each)


def _painted(files: Sequence[TreeFile], each: int) -> list[Painted]:
    labels = files[0].labels
    people: list[tuple[str, str, float]] = []
    nodes = np.empty(0, dtype=np.int32)
    tables: list[dict[str, npt.NDArray[np.int64]]] = []
    names: tuple[str, ...] = ()
    total = np.zeros((0, 0))
    for file in files:
        # not file.load(), which goes through the file once more for its checksum
        ts = trees.load(file.path)
        if not people:
            sampled = sample_table(ts).groupby(["deme", "time"], sort=False).head(each)
            nodes = sampled[["node_0", "node_1"]].to_numpy(np.int32).ravel()
            years = (sampled["time"] + (labels.today_tick - labels.last_tick)) * labels.generation_time
            people = list(zip(sampled["sample"], sampled["deme"], years, strict=True))
            tables = [{} for _ in people]
        tracts = local_ancestry(ts, samples=nodes, where=str(file.path))
        if not names:
            names, total = tracts.names[1:], np.zeros((len(people), len(tracts.names) - 1))
        row, start, end = tracts.row, tracts.start.astype(np.int64), tracts.end.astype(np.int64)
        for k in range(len(people)):
            mine = (row // 2 == k) & (tracts.label > 0)
            table = np.stack([row[mine] % 2, tracts.label[mine] - 1, start[mine], end[mine]], axis=1)
            tables[k][file.chrom] = table.astype(np.int64)
            np.add.at(total[k], table[:, 1], table[:, 3] - table[:, 2])
    bases = 2.0 * sum(file.length for file in files)
    return [
        Painted(name=str(name), branch=files[0].branch, deme=str(deme), years_bp=float(years), sources=names,
                tracts=tables[k], share=tuple(float(v) for v in total[k] / bases))
        for k, (name, deme, years) in enumerate(people)
    ]  # fmt: skip


def drawing(genome: Genome, person: Painted, title: str) -> Markup:
    """Return one person's chromosomes as SVG that takes its colours from the page."""
    width, row, bar, left = 1000.0, 22.0, 7.0, 34.0
    lengths = [int(genome.window_end[genome.window_chrom == c][-1]) for c in range(len(genome.chroms))]
    scale = (width - left) / max(lengths)
    height = row * len(lengths) + 24
    parts: list[Markup] = []
    for c, (chrom, length) in enumerate(zip(genome.chroms, lengths, strict=True)):
        top = c * row + 4
        parts.append(tag("text", chrom, x=f"{left - 8:g}", y=f"{top + bar + 4:g}", text_anchor="end"))
        for copy in (0, 1):
            y = top + copy * (bar + 1.5)
            parts.append(
                tag(
                    "rect",
                    x=f"{left:g}",
                    y=f"{y:g}",
                    width=f"{length * scale:.1f}",
                    height=f"{bar:g}",
                    rx="2",
                    class_="body",
                )
            )
        table = person.tracts.get(chrom)
        for source in range(len(person.sources)) if table is not None else ():
            strokes = []
            for copy, _, start, end in table[table[:, 1] == source].tolist():  # type: ignore[index]
                y = top + copy * (bar + 1.5)
                x, wide = left + start * scale, max(0.5, (end - start) * scale)
                strokes.append(f"M{x:.1f} {y:g}h{wide:.1f}v{bar:g}H{x:.1f}z")
            if strokes:
                parts.append(tag("path", d="".join(strokes), class_=f"p{source % 6}"))
    base = row * len(lengths) + 6
    for mb in range(0, int(max(lengths) / 1e6) + 1, 50):
        x = left + mb * 1e6 * scale
        parts.append(tag("path", d=f"M{x:.1f} {base - 4:g}v4", class_="tick"))
        parts.append(
            tag("text", f"{mb} Mb" if mb == 0 else str(mb), x=f"{x:.1f}", y=f"{base + 12:g}", text_anchor="middle")
        )
    return tag(
        "svg",
        parts,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=f"Chromosomes of {title}",
        class_="karyogram",
    )
