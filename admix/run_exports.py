# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports of a run: VCF files from its trees, and ancestry labels from its tracts, in ``RUN/derived/``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from admix import trees
from admix.derived import replaced_folder
from admix.errors import InputError
from admix.exports import VcfSummary, ancestry_labels, write_labels, write_vcf
from admix.recapitation import recapitated_path
from admix.results import Run
from admix.run_trees import TreeFile, tree_files

__all__ = ["export_labels", "export_vcf"]

Report = Callable[[float, str], None]


def export_vcf(
    run: Run,
    *,
    recapitated: bool = False,
    chroms: Sequence[str] | None = None,
    branch: str | None = None,
    replicate: int | None = None,
    twin: str | None = None,
    report: Report = lambda fraction, note: None,
) -> list[VcfSummary]:
    """Write ``derived/vcf/BRANCH/REPLICATE/chrN.vcf.gz`` (or ``derived/vcf-recapitated/...``) for a run's trees.

    Parameters
    ----------
    recapitated
        Take the files that `admix recapitate` made, which have neutral variation.
    chroms, branch, replicate, twin
        Which files; all if omitted.

    Raises
    ------
    InputError
        If there are no such trees, or they were not recapitated.
    RunError
        If a file is damaged or cannot be written.
    """
    files = tree_files(run, chroms=chroms, branch=branch, replicate=replicate, twin=twin)
    places = [_recapitated(run, file) if recapitated else None for file in files]
    kind = "vcf-recapitated" if recapitated else "vcf"
    written = []
    for k, (file, place) in enumerate(zip(files, places, strict=True)):
        report(k / len(files), f"{file.branch}, replicate {file.replicate}, chromosome {file.chrom}")
        ts = file.load() if place is None else trees.load(place)
        if place is not None:
            trees.validate(ts, str(place), chrom=file.chrom, length=file.length, labels=file.labels)
        out = run.path / "derived" / kind / file.branch / trees.replicate_folder(file.replicate, file.twin)
        out.mkdir(parents=True, exist_ok=True)
        written.append(write_vcf(ts, out / f"chr{file.chrom}.vcf.gz", file.chrom))
    report(1.0, "")
    return written


def _recapitated(run: Run, file: TreeFile) -> Path:
    path = recapitated_path(run.path, file.branch, file.replicate, file.twin, file.chrom)
    if not path.is_file():
        raise InputError(str(path), allowed=f"a file made by: admix recapitate {run.path} --chrom {file.chrom}")
    return path


def export_labels(
    run: Run,
    *,
    step: int,
    branch: str | None = None,
    replicate: int | None = None,
    twin: str | None = None,
    report: Report = lambda fraction, note: None,
) -> list[Path]:
    """Write ``derived/labels/BRANCH/REPLICATE/labels.npz`` from the tracts that `admix ancestry` made.

    Parameters
    ----------
    step
        Distance between the labels, bp.
    branch, replicate, twin
        Which replicates; all that have trees if omitted.

    Raises
    ------
    InputError
        If there are no trees, or no tracts of them yet.
    RunError
        If a file cannot be written.
    """
    files = tree_files(run, branch=branch, replicate=replicate, twin=twin)
    first = {(f.branch, f.replicate, f.twin): f for f in reversed(files)}
    lengths = {f.chrom: f.length for f in files}
    jobs = []
    for (name, number, kind), file in sorted(first.items()):
        where = Path(name) / trees.replicate_folder(number, kind)
        tracts = run.path / "derived" / "ancestry" / where / "tracts.tsv.gz"
        if not tracts.is_file():
            raise InputError(str(tracts), allowed=f"a file made by: admix ancestry {run.path}")
        jobs.append((where, tracts, file))
    written = []
    for k, (where, tracts, file) in enumerate(jobs):
        report(k / len(jobs), str(where))
        labels = ancestry_labels(
            pd.read_csv(tracts, sep="\t", dtype={"chrom": str, "source": str, "sample": str}, keep_default_na=False),
            lengths=lengths,
            samples=trees.sample_names(file.load()),
            sources=file.labels.sources,
            step=step,
        )
        out = run.path / "derived" / "labels" / where
        with replaced_folder(out) as folder:
            write_labels(labels, folder / "labels.npz")
        written.append(out / "labels.npz")
    report(1.0, "")
    return written
