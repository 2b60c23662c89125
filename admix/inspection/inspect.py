# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of ``admix check``, one after another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from admix import run_trees
from admix.errors import AdmixError
from admix.inspection import replay
from admix.inspection.laws import LAWS, Facts, Law
from admix.results import Run, read_run, validate_run

__all__ = ["Finding", "inspect", "sound"]

SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check: ``state`` is ``ok``, ``bad`` or ``left`` (not looked at)."""

    name: str
    state: str
    text: str

    @property
    def line(self) -> str:
        """The finding for the screen."""
        return f"{self.state:<5} {self.name}: {self.text}"


def sound(findings: list[Finding]) -> bool:
    """Return whether nothing is bad."""
    return all(finding.state != "bad" for finding in findings)


def inspect(
    path: str | Path, *, seed: int | None = None, generation: int | None = None, again: bool = True,
    thorough: bool = False, cache_dir: Path | None = None, threads: int | None = None,
) -> Iterator[Finding]:  # fmt: skip
    """Look at a run directory.

    Parameters
    ----------
    path
        The directory.
    seed
        Chooses the generation that is made again; at random if omitted.
    generation
        That generation itself, counted from the first pulse.
    again
        Whether one is made again.
    thorough
        Whatever time that takes.
    cache_dir, threads
        As for a run.

    Raises
    ------
    InputError
        If there is no complete run directory.
    """
    run = read_run(path)
    problems = validate_run(path)
    count = len(run.manifest["files"])
    yield _finding("files", problems, f"{count} files are as they were sealed")
    if problems:
        return  # the rest would be about other files than those that were made
    facts = Facts.of(run)
    for name, law in LAWS.items():
        yield _finding(name, _broken(law, facts), _sentence(law.__doc__))
    yield _trees(run)
    yield from _parents(run)
    if again:
        yield _again(run, seed, generation, thorough=thorough, cache_dir=cache_dir, threads=threads)


def _broken(law: Law, facts: Facts) -> list[str]:
    """What breaks a law, one line each; tables that break one law may leave another without its rows."""
    try:
        return list(law(facts))
    except (AdmixError, KeyError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        return [f"it can't be looked at ({type(error).__name__}: {' '.join(str(error).split())})"]


def _finding(name: str, problems: list[str], good: str) -> Finding:
    if not problems:
        return Finding(name=name, state="ok", text=good)
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return Finding(name=name, state="bad", text="; ".join(problems[:SHOWN]) + more)


def _sentence(text: str | None) -> str:
    first = " ".join((text or "").split()).split(". ")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _trees(run: Run) -> Finding:
    names = [name for name in run.manifest["files"] if name.startswith("trees/")]
    if not names:
        return Finding(name="trees", state="ok", text="none were asked for")
    problems, files = [], 0
    try:
        for file in run_trees.tree_files(run):
            file.load()
            files += 1
    except AdmixError as error:
        problems.append(str(error))
    return _finding("trees", problems, f"{files} tree sequences are whole and of this run")


def _parents(run: Run) -> Iterator[Finding]:
    """Kept pedigrees: everybody has two parents, who lived in the tick before."""
    names = [name for name in run.manifest["files"] if name.startswith("parents/")]
    if not names:
        return
    problems, births = [], 0
    for name in names:
        with np.load(run.path / name, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        demes = arrays["demes"].tolist()
        sizes = {
            (i, tick): n for i in range(len(demes)) for tick, n in arrays.get(f"ticks{i}", np.zeros((0, 2))).tolist()
        }
        for i in range(len(demes)):
            if f"ticks{i}" not in arrays:
                continue
            parents, sources, at = arrays[f"parents{i}"], arrays[f"sources{i}"], 0
            for tick, n in arrays[f"ticks{i}"].tolist():
                who, where = parents[at : at + 2 * n], sources[at : at + 2 * n]
                at += 2 * n
                births += n
                for source in np.unique(where):
                    size = sizes.get((int(source), tick - 1))
                    if size is not None and int(who[where == source].max()) >= size:
                        problems.append(f"{name}: {demes[i]}, tick {tick}: a parent who did not live")
            if at != len(parents) or len(parents) != len(sources):
                problems.append(f"{name}: {demes[i]}: {len(parents)} gametes for {at // 2} people")
    yield _finding("pedigree", problems, f"{births:,} people have two parents each, of the generation before")


def _again(
    run: Run, seed: int | None, generation: int | None, *, thorough: bool, cache_dir: Path | None, threads: int | None
) -> Finding:
    plan = replay.plan_of(run, cache_dir, threads)
    reason = replay.hindrance(run, plan, thorough=thorough)
    if reason:
        return Finding(name="again", state="left", text=f"no generation was made again: {reason}")
    choice = replay.choose(run, plan, random.Random(seed), thorough=thorough)
    if generation is not None:
        choice = replay.Choice(
            branch=choice.branch, replicate=choice.replicate, twin=choice.twin, generation=generation
        )
    problems = list(replay.differences(run, plan, choice))
    return _finding("again", problems, f"{choice}, and all before, come out the same to the last digit")
