# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``infer``: which pulse a sweep says ends at what was measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from admix.cli_derive import whole
from admix.cli_process import STANDARD_OUTPUT, messages, place, tell
from admix.cli_run import SEED_END
from admix.errors import InputError

__all__ = ["infer"]

_MOST_DRAWS = 10_000_000


def infer(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="A grid file, or the directory of a finished sweep.")],
    target: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Share of archaic DNA in living people, as 0.0223.")
    ] = None,
    sd: Annotated[str | None, typer.Option(metavar="SD", help="Standard error of --target. Required with it.")] = None,
    trajectory: Annotated[
        bool, typer.Option("--trajectory", help="Also, or only, condition on the ancient genomes that come with admix.")
    ] = False,
    genomes: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Other ancient genomes: a table with the columns age_bp, estimate, se."),
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PRIOR",
            help="uniform(LOW,HIGH), log-uniform(LOW,HIGH), normal(MEAN,SD[,LOW,HIGH]) or list(VALUE,...); NAME is a"
            " parameter of the sweep, or 'pulse'; may be repeated.  [default: as in the grid file, else uniform over"
            " what was run]",
        ),
    ] = None,
    today: Annotated[
        str | None,
        typer.Option(
            metavar="SWEEP",
            help="A sweep of the same scenario that was run to today, to learn what is lost after the last generation"
            " of the first.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="DIR", help="Where to write.  [default: infer/ in the sweep's directory]"),
    ] = None,
    source: Annotated[str | None, typer.Option(metavar="DEME", help="Whose ancestry, where there are several.")] = None,
    deme: Annotated[str | None, typer.Option(metavar="DEME", help="In whom, where there are several.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Do with the points that are finished.")] = False,
    draws: Annotated[
        str, typer.Option(metavar="N", help="Runs drawn from the priors, of which a fiftieth is accepted.")
    ] = "200000",
    seed: Annotated[str, typer.Option(metavar="S", help="Seed of the draws.")] = "1",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Say which pulses, and other values of a sweep, end at what was measured in people: the posterior.

    Approximate Bayesian computation on an emulator of the sweep, with the scatter of histories and drift. Writes
    samples, a summary, checks of the emulator and a picture, and ends with the answer in one sentence.

    \b
    Examples:
      admix infer sims/sweeps/reich-ridge.yaml --target 0.0223 --sd 0.002
      admix infer sweeps/reich-ridge --target 0.0223 --sd 0.002 --trajectory --prior 'pulse=uniform(0.02,0.2)'
    """
    from admix.infer import inference, plots, report, targets

    folder = _directory("SWEEP", sweep)
    share = _number("--target", target, "a share above 0 and below 1", 0.0, 1.0)
    error = _number("--sd", sd, "a number above 0, as 0.002 for a standard error of 0.2 %", 0.0, math.inf)
    if (share is None) != (error is None):
        missing = "--sd" if error is None else "--target"
        raise InputError(f"{missing} is missing", allowed="--target and --sd together")
    if trajectory and genomes is not None:
        raise InputError("--genomes", genomes, "not together with --trajectory, which stands for the shipped genomes")
    measured = None
    if genomes is not None:
        measured = targets.read_genomes(Path(genomes))
    elif trajectory:
        from admix.plots import ancient_genomes

        measured = ancient_genomes()
    if share is None and measured is None:
        raise InputError("--target is missing", allowed="--target SHARE with --sd SD, or --trajectory, or both")
    count, number = whole("--draws", draws, 1000, _MOST_DRAWS), whole("--seed", seed, 1, SEED_END - 1)
    assert count is not None and number is not None
    other = _directory("--today", today) if today is not None else None
    target_folder = Path(out) if out is not None else folder / "infer"
    with messages(0, quiet) as progress:
        progress.plan([("inference", 30.0)])
        progress.start("inference")
        found = inference.infer(
            folder, targets.Target(share, error, measured), stated=prior or [], today=other, source=source, deme=deme,
            partial=partial, seed=number, draws=count,
            report=lambda done, note: progress.update("inference", done, note),
        )  # fmt: skip
        place(target_folder)
        files = report.write(found, target_folder)
        files += plots.draw(found.posterior, found.target, found.survey, target_folder)
        progress.done("inference")
    place(STANDARD_OUTPUT)
    tell(report.screen_text(found), "", f"Files: {', '.join(file.name for file in files)} in {target_folder}")


def _number(option: str, text: str | None, allowed: str, low: float, high: float) -> float | None:
    """Return a number between two ends, without them."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (low < number < high):
        raise InputError(option, text, allowed)
    return number


def _directory(option: str, given: str) -> Path:
    """Return the directory of a sweep, which may be named by its grid file."""
    path = Path(given)
    if path.is_dir():
        return path
    if not path.is_file():
        raise InputError(option, given, "a grid file, or the directory of a sweep")
    from admix.sweep import grid

    return Path("sweeps") / grid.load(path).grid.name
