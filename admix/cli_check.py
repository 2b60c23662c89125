# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that check: the installation (``admix doctor``), and admix itself (``admix verify``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from admix.cli_derive import choice, whole
from admix.cli_process import messages, tell
from admix.cli_run import SEED_END

__all__ = ["check", "doctor", "verify"]

_SlimPath = Annotated[
    str | None, typer.Option(metavar="PROGRAM", help="Where SLiM is.  [default: $SLIM, else slim on the PATH]")
]
_CacheDir = Annotated[
    str | None,
    typer.Option(metavar="DIR", envvar="ADMIX_CACHE", show_envvar=True, help="Where histories are kept."),
]


def check(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")],
    generation: Annotated[
        str | None, typer.Option(metavar="G", help="The generation to make again.  [default: a random one]")
    ] = None,
    seed: Annotated[str | None, typer.Option("-s", "--seed", metavar="S", help="Seed of that choice.")] = None,
    no_replay: Annotated[bool, typer.Option("--no-replay", help="Make nothing again, only read.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Make it again whatever time it takes, history included.")
    ] = False,
    threads: Annotated[
        str | None, typer.Option(metavar="T", help="Number of threads; no result depends on it.  [default: all cores]")
    ] = None,
    cache_dir: _CacheDir = None,
) -> None:
    """Check a run directory: complete, unchanged, lawful, and reproducible.

    Compares every file with the manifest, and the tables with each other, with the scenario and with the genome. Then
    simulates a random branch up to a random generation and compares every number. Ends with code 1 if anything is bad.

    \b
    Examples:
      admix check runs/tiny-s1
      admix check runs/tiny-s1 --generation 10
    """
    from admix.inspection.inspect import inspect, sound

    chosen = whole("--generation", generation, 1)
    if chosen is not None:
        _within(run, chosen)
    findings = []
    for finding in inspect(
        run, seed=whole("--seed", seed, 1), generation=chosen, again=not no_replay, thorough=thorough,
        cache_dir=Path(cache_dir) if cache_dir else None, threads=whole("--threads", threads, 1),
    ):  # fmt: skip
        tell(finding.line)
        findings.append(finding)
    if not sound(findings):
        raise typer.Exit(1)


def _within(run: str, generation: int) -> None:
    """Refuse a generation that a run does not have."""
    from admix.errors import InputError
    from admix.results import read_run

    last = int(read_run(run).table("trajectory")["generation"].max())
    if generation > last:
        raise InputError("--generation", generation, f"1 to {last}")


def doctor(
    slim_path: _SlimPath = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="Only look; simulate nothing.")] = False,
    cache_dir: _CacheDir = None,
) -> None:
    """Check this installation and say how to mend what is wrong.

    Looks at versions, SLiM, threads, the cache and the disk, and lets each engine it finds simulate for some seconds,
    through trees to tracts. Ends with code 1 if anything is bad.
    """
    from admix import doctor as doctors

    findings = []
    for finding in doctors.examine(
        slim_path=slim_path, simulate=not no_run, cache_dir=Path(cache_dir) if cache_dir else None
    ):
        tell(finding.line)
        findings.append(finding)
    if not doctors.sound(findings):
        raise typer.Exit(1)


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Checks.  [default: all of the suite]")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="smoke|quick|full", help="How much: two minutes, ten, or a night and more.  [default: quick]"
        ),
    ] = None,
    seed: Annotated[
        str | None, typer.Option("-s", "--seed", metavar="S", help="Seed of the suite.  [default: 1]")
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Where runs, table and page are kept; with the same one an interrupted suite goes on."
            "  [default: verify in the cache]",
        ),
    ] = None,
    slim_path: _SlimPath = None,
    cache_dir: _CacheDir = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list the checks.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the table.")] = False,
) -> None:
    """Check admix against theory, papers and SLiM, with a verdict on each number.

    Each number has a control, a deliberately wrong model that must be refused. A suite fails with a probability of 1 %
    although all is right. Writes verify.tsv and a page, verify.md, with a picture. Ends with code 1 if any verdict is a
    failure. The check 'engines' needs SLiM and is part of the full suite only.

    \b
    Examples:
      admix verify --suite smoke
      admix verify two-locus purging
      admix verify engines --slim-path ~/slim/slim
    """
    from admix.cache import default_directory
    from admix.verification import checks
    from admix.verification import suite as suites

    size = choice("--suite", suite, checks.SUITES) or "quick"
    number = whole("--seed", seed, 1, SEED_END // 1000 - 1) or 1
    if listed:
        width = max(map(len, checks.REGISTRY))
        tell(*(f"{c.name:<{width}}  {c.title} ({', '.join(c.suites)})" for c in checks.REGISTRY.values()))
        return
    place = Path(folder) if folder else (Path(cache_dir) if cache_dir else default_directory()) / "verify"
    with messages(0, quiet) as progress:
        outcome = suites.run(names or [], suite=size, seed=number, folder=place, slim_path=slim_path, say=progress.say)
    tell(checks.screen(outcome.rows), f"Table: {outcome.table}", f"Page:  {outcome.page}")
    if not checks.passed(outcome.rows):
        raise typer.Exit(1)
