# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree files of a sealed run: which there are, and each of them read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tskit

from admix import schedule as schedules
from admix.errors import InputError, RunError, nearest
from admix.genome import Genome
from admix.results import Run, sha256
from admix.timeline import Schedule
from admix.trees import TreeLabels, load, run_digest, tree_path, validate

__all__ = ["TreeFile", "tree_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One tree file of a run, not read yet.

    Attributes
    ----------
    path
        The file.
    branch, replicate, twin, chrom
        What it holds.
    labels
        What it must say of itself.
    schedule
        The schedule of its branch.
    genome
        The genome of the run.
    sha256
        Checksum in the manifest; None if the run is not sealed.
    """

    path: Path
    branch: str
    replicate: int
    twin: str
    chrom: str
    labels: TreeLabels
    schedule: Schedule
    genome: Genome
    sha256: str | None

    @property
    def length(self) -> int:
        """Length of the chromosome, bp."""
        own = self.genome.window_chrom == self.genome.chroms.index(self.chrom)
        return int(self.genome.window_end[own][-1])

    def load(self) -> tskit.TreeSequence:
        """Read the tree sequence and make sure that it is the one that is meant, and complete.

        Raises
        ------
        InputError, RunError
            In one line that names the file, as `admix.trees.load` and `admix.trees.validate` do.
        """
        ts = load(self.path)
        validate(ts, str(self.path), chrom=self.chrom, length=self.length, labels=self.labels)
        if self.sha256 is not None and sha256(self.path) != self.sha256:
            raise RunError(str(self.path), "changed since it was sealed (checksum differs)", "make the run again")
        return ts


def tree_files(
    run: Run,
    *,
    chroms: Sequence[str] | None = None,
    branch: str | None = None,
    replicate: int | None = None,
    twin: str | None = None,
) -> list[TreeFile]:
    """Return the tree files of a run, by branch, replicate, twin and chromosome.

    Parameters
    ----------
    chroms, branch, replicate, twin
        Which files; all if omitted.

    Raises
    ------
    InputError
        If the run has no trees, or none of this branch, replicate, twin or chromosome.
    RunError
        If a chromosome of a replicate is missing.
    """
    scenario = run.scenario
    genome = scenario.build_genome()
    branches = [one.name for one in scenario.branches]
    if branch is not None and branch not in branches:
        raise InputError("--branch", branch, f"one of {', '.join(branches)}", nearest(branch, branches))
    for chrom in chroms or ():
        if chrom not in genome.chroms:
            rule = f"one of {', '.join(genome.chroms)}"
            raise InputError("--chrom", chrom, rule, nearest(str(chrom), genome.chroms))
    options = scenario.run
    found: list[TreeFile] = []
    there: set[tuple[int, str]] = set()
    for name in branches if branch is None else [branch]:
        schedule = schedules.compile(scenario.branch(name))
        last = schedule.today
        if options.generations is not None:
            last = schedule.first_pulse_tick() + options.generations - 1
        labels = TreeLabels.from_schedule(
            schedule,
            branch=name,
            replicate=0,
            twin="none",
            seed=options.seed or 1,
            chroms=genome.chroms,
            last_tick=last,
            run=run_digest(scenario),
        )
        for number, kind in _replicates(run.path / "trees" / name):
            there.add((number, kind))
            if replicate not in (None, number) or twin not in (None, kind):
                continue
            for chrom in genome.chroms if chroms is None else chroms:
                path = tree_path(run.path, name, number, kind, chrom)
                if not path.is_file():
                    raise RunError(str(path), "missing", "make the run again")
                entry = run.manifest.get("files", {}).get(path.relative_to(run.path).as_posix())
                found.append(
                    TreeFile(
                        path=path,
                        branch=name,
                        replicate=number,
                        twin=kind,
                        chrom=chrom,
                        labels=replace(labels, replicate=number, twin=kind),
                        schedule=schedule,
                        genome=genome,
                        sha256=entry["sha256"] if entry else None,
                    )
                )
    if not found and there:
        given = f"replicate {replicate if replicate is not None else 'any'}, twin {twin or 'any'}"
        allowed = ", ".join(f"{n} ({t})" if t == "neutral" else str(n) for n, t in sorted(there, key=_by_number))
        raise InputError("--replicate", given, f"a replicate with trees: {allowed}")
    if not found:
        raise InputError(str(run.path), "a run without trees", "a run made with --trees")
    return found


def _replicates(folder: Path) -> list[tuple[int, str]]:
    """Replicates with trees in the folder of a branch: number and twin."""
    out = []
    for path in folder.iterdir() if folder.is_dir() else ():
        number, _, kind = path.name.partition("-")
        if path.is_dir() and number.isdecimal() and kind in ("", "neutral"):
            out.append((int(number), kind or "none"))
    return sorted(out, key=_by_number)


def _by_number(one: tuple[int, str]) -> tuple[int, bool]:
    """By number, and the twin after its replicate."""
    return one[0], one[1] == "neutral"
