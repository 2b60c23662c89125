# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that check: the installation (``admix doctor``), and admix itself (``admix verify``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from admix.cli_derive import choice, whole
from admix.cli_process import messages, tell
from admix.cli_run import SEED_END

__all__ = ["doctor", "verify_engines"]

SUITES = ("quick", "full")
_SlimPath = Annotated[
    str | None, typer.Option(metavar="PROGRAM", help="Where SLiM is.  [default: $SLIM, else slim on the PATH]")
]
_CacheDir = Annotated[
    str | None,
    typer.Option(metavar="DIR", envvar="ADMIX_CACHE", show_envvar=True, help="Where histories are kept."),
]


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


def verify_engines(
    suite: Annotated[
        str | None,
        typer.Option(metavar="quick|full", help="How much: two scenarios, or all of them.  [default: quick]"),
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
            help="Where runs and the table are kept; with the same one an interrupted suite goes on."
            "  [default: verify in the cache]",
        ),
    ] = None,
    slim_path: _SlimPath = None,
    cache_dir: _CacheDir = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the table.")] = False,
) -> None:
    """Compare the native engine with SLiM, run by run from the same people, and give a verdict on each statistic.

    The suite fails with a probability of 1 % although all is right; that it could fail is shown by controls, in which
    SLiM gets a wrong parameter. Ends with code 1 if any verdict is a failure.
    """
    from admix.cache import default_directory
    from admix.verification import checks
    from admix.verification.engines import agreement

    place = Path(folder) if folder else (Path(cache_dir) if cache_dir else default_directory()) / "verify"
    chosen = choice("--suite", suite, SUITES) or "quick"
    number = whole("--seed", seed, 1, SEED_END - 1) or 1
    with messages(0, quiet) as progress:
        rows = agreement(
            {"suite": chosen, "seed": number, "folder": place, "slim_path": slim_path, "say": progress.say}
        )
    table = place / f"engines-{chosen}-{number}.tsv"
    checks.write_rows(rows, table)
    tell(checks.screen(rows), f"Table: {table}")
    if not checks.passed(rows):
        raise typer.Exit(1)
