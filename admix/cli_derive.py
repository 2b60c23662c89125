# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that look at a finished run: ``ancestry``, ``stats``, ``recapitate`` and ``export``.

They write into ``RUN/derived/`` and never touch what the run has sealed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from admix.cli_process import STANDARD_OUTPUT, messages, place, tell
from admix.errors import InputError, nearest

if TYPE_CHECKING:
    from admix.fstatistics import Roles

__all__ = ["ancestry", "choice", "export_labels", "export_vcf", "recapitate", "stats", "whole"]

_Run = Annotated[str, typer.Argument(metavar="RUN", help="A run directory made with --trees.")]
_AnyRun = Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")]
_Branch = Annotated[str | None, typer.Option(metavar="NAME", help="Only this branch.  [default: all]")]
_Replicate = Annotated[str | None, typer.Option(metavar="R", help="Only this replicate, from 0.  [default: all]")]
_Twin = Annotated[
    str | None, typer.Option(metavar="none|neutral", help="Only runs with, or only those without selection.")
]
_Chrom = Annotated[
    list[str] | None, typer.Option("--chrom", metavar="N", help="Only this chromosome; may be repeated.")
]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no warnings.")]


def whole(option: str, text: str | None, low: int, high: int | None = None) -> int | None:
    """Return the whole number typed after ``option``, or None if it was not given."""
    if text is None:
        return None
    allowed = f"a whole number, {low} or more" if high is None else f"a whole number from {low} to {high}"
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None:
        raise InputError(option, text, allowed)
    number = int(text)
    if number < low or (high is not None and number > high):
        raise InputError(option, number, allowed)
    return number


def choice(option: str, text: str | None, allowed: tuple[str, ...]) -> str | None:
    """Return one of a few words typed after ``option``, or None if it was not given."""
    if text is None or text in allowed:
        return text
    raise InputError(option, text, " or ".join(allowed), nearest(text, allowed))


def _number(option: str, text: str | None, low: float, high: float, unit: str) -> float | None:
    """Return the number typed after ``option``, above ``low`` and up to ``high``."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low < number <= high:
        raise InputError(option, text, f"a number above {low:g} and up to {high:g} ({unit})")
    return number


@contextmanager
def _told(path: str, what: str, quiet: bool) -> Iterator[Callable[[float, str], None]]:
    """Show progress of one long piece of work on a run."""
    place(Path(path) / "derived")
    with messages(0, quiet) as progress:
        progress.plan([(what, 30.0)])
        progress.start(what)
        yield lambda fraction, note: progress.update(what, fraction, note)
        progress.done(what)
    place(STANDARD_OUTPUT)


def _which(branch: str | None, replicate: str | None, twin: str | None) -> dict[str, Any]:
    return {
        "branch": branch,
        "replicate": whole("--replicate", replicate, 0),
        "twin": choice("--twin", twin, ("none", "neutral")),
    }


def ancestry(
    path: _Run, branch: _Branch = None, replicate: _Replicate = None, twin: _Twin = None, quiet: _Quiet = False
) -> None:
    """Read local ancestry off the tree files of a run: which stretches of each sampled genome are archaic.

    Writes tracts.tsv.gz (BED-like), samples.tsv and groups.tsv into RUN/derived/ancestry.

    \b
    Example:
      admix ancestry runs/reich-s1 --branch p10
    """
    from admix import ancestry_run, results

    which = _which(branch, replicate, twin)
    with _told(path, "local ancestry", quiet) as report:
        written = ancestry_run.write_ancestry(results.read_run(path), **which, report=report)
    for one in written:
        suffix = ", neutral twin" if one.twin == "neutral" else ""
        tell(f"branch {one.branch}, replicate {one.replicate}{suffix}", ancestry_run.screen_table(one.groups), "")
    for one in written:
        tell(f"Tables: {one.path}")


def recapitate(
    path: _Run,
    chrom: _Chrom = None,
    branch: _Branch = None,
    replicate: _Replicate = None,
    mutation_rate: Annotated[
        str | None,
        typer.Option(metavar="U", help="All mutations, neutral or not, per bp and generation.  [default: 1.29e-8]"),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Add what lies before the records: msprime draws the older genealogy, and neutral mutations over all of it.

    The older part follows the scenario's own demography, without background selection. Writes tree files into
    RUN/derived/recapitated.

    \b
    Example:
      admix recapitate runs/reich-s1 --chrom 22
    """
    from admix import recapitation, results

    number = whole("--replicate", replicate, 0)
    rate = _number("--mutation-rate", mutation_rate, 0, 1e-3, "per bp and generation")
    with _told(path, "recapitation", quiet) as report:
        written = recapitation.recapitate_run(
            results.read_run(path),
            chroms=chrom or None,
            branch=branch,
            replicate=number,
            mutation_rate=recapitation.DEFAULT_MUTATION_RATE if rate is None else rate,
            report=report,
        )
    tell(*(str(file) for file in written))


def stats(
    path: _AnyRun,
    branch: _Branch = None,
    replicate: _Replicate = None,
    twin: _Twin = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHROM:START-END|NAME",
            help="Ancestry around an interval, or one that --intervals names; may be repeated.",
        ),
    ] = None,
    intervals: Annotated[
        str | None, typer.Option(metavar="FILE", help="BED file of named intervals; without --at all of them.")
    ] = None,
    block_cm: Annotated[
        str | None, typer.Option(metavar="CM", help="Length of blocks for standard errors.  [default: 5]")
    ] = None,
    desert_mb: Annotated[
        str | None,
        typer.Option(
            metavar="MB", help="List stretches of at least so many Mb with at most 0.1 % ancestry.  [default: 10]"
        ),
    ] = None,
    distance: Annotated[
        bool | None,
        typer.Option(
            "--distance/--no-distance",
            show_default=False,
            help="Ancestry by distance to the nearest element; needs elements with real places."
            "  [default: where it can be had]",
        ),
    ] = None,
    archaic: Annotated[
        str | None, typer.Option(metavar="GROUP", help="f-statistics: the archaic genome nearest to the gene flow.")
    ] = None,
    archaic2: Annotated[
        str | None, typer.Option(metavar="GROUP", help="A second archaic genome, for f4-ratios.")
    ] = None,
    african: Annotated[str | None, typer.Option(metavar="GROUP", help="f-statistics: an African population.")] = None,
    african2: Annotated[
        str | None, typer.Option(metavar="GROUP", help="A second African population, for the indirect f4-ratio.")
    ] = None,
    outgroup: Annotated[str | None, typer.Option(metavar="GROUP", help="f-statistics: the outgroup.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP", help="f-statistics: whose ancestry is asked for; may be repeated."),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="f-statistics of every target individual too.")] = False,
    mode: Annotated[
        str | None, typer.Option(metavar="site|branch", help="f-statistics over sites or branches.  [default: site]")
    ] = None,
    trees_dir: Annotated[
        str | None,
        typer.Option(
            "--trees",
            metavar="DIR",
            help="f-statistics from tree files elsewhere, as RUN/derived/recapitated.  [default: those of the run]",
        ),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Statistics of a run: ancestry along the genome, deserts, load, fitness; with trees, tracts and f-statistics.

    Writes tables into RUN/derived/stats; what could not be computed, and why, is in notes.txt there. A GROUP of
    f-statistics is DEME (people of today), DEME@45ka, DEME@45000y or DEME@GENERATIONS, each with :K or :K-L for
    some of these people.

    \b
    Examples:
      admix stats runs/reich-s1
      admix stats runs/reich-s1 --at FOXP2=7:114,055,000-114,334,000
    """
    from admix import results
    from admix.intervals import parse_intervals, read_intervals
    from admix.landscape import DESERT_BP
    from admix.statistics import BLOCK_CM, Options, run_statistics

    which = _which(branch, replicate, twin)
    block = _number("--block-cm", block_cm, 0, 1000, "cM")
    desert = _number("--desert-mb", desert_mb, 0, 300, "Mb")
    roles = _roles(archaic, archaic2, african, african2, outgroup, target)
    if roles is None and (each or mode is not None or trees_dir is not None):
        rule = "--each, --mode and --trees together with groups for f-statistics (--archaic ...)"
        raise InputError("stats", allowed=rule)
    run = results.read_run(path)
    table = []
    if intervals is not None or at:
        genome = run.scenario.build_genome()
        table = read_intervals(intervals, genome) if intervals is not None else []
        table = parse_intervals(at, genome, table) if at else table
    options = Options(
        **which,
        block_cm=BLOCK_CM if block is None else block,
        desert_bp=DESERT_BP if desert is None else round(1e6 * desert),
        intervals=tuple(table),
        distance=distance,
        roles=roles,
        mode=choice("--mode", mode, ("site", "branch")) or "site",
        each=each,
        trees=Path(trees_dir) if trees_dir is not None else None,
    )
    with _told(path, "statistics", quiet) as report:
        found = run_statistics(run, options, report)
    tell(*found.notes)
    for name, rows in found.tables.items():
        tell(f"{found.path / name}.tsv  ({len(rows):,} rows)")


def _roles(
    archaic: str | None, archaic2: str | None, african: str | None, african2: str | None, outgroup: str | None,
    target: list[str] | None,
) -> Roles | None:  # fmt: skip
    needed = {"--archaic": archaic, "--african": african, "--outgroup": outgroup, "--target": target or None}
    given = {**needed, "--archaic2": archaic2, "--african2": african2}
    if not any(given.values()):
        return None
    missing = [option for option, value in needed.items() if value is None]
    if missing:
        raise InputError(", ".join(missing), allowed="all of --archaic, --african, --outgroup and --target")
    from admix.fstatistics import Roles

    assert archaic is not None and african is not None and outgroup is not None  # for the type checker
    return Roles(a=archaic, b=archaic2, c=african, g=african2, o=outgroup, x=tuple(target or ()))


def export_vcf(
    path: _Run,
    chrom: _Chrom = None,
    branch: _Branch = None,
    replicate: _Replicate = None,
    twin: _Twin = None,
    recapitated: Annotated[
        bool, typer.Option("--recapitated", help="From the files of admix recapitate, with neutral variation.")
    ] = False,
    quiet: _Quiet = False,
) -> None:
    """Write the genotypes of the sampled people as VCF, phased, a file a chromosome.

    \b
    Example:
      admix export vcf runs/reich-s1 --recapitated --chrom 22
    """
    from admix import results, run_exports

    which = _which(branch, replicate, twin)
    with _told(path, "VCF", quiet) as report:
        written = run_exports.export_vcf(
            results.read_run(path), recapitated=recapitated, chroms=chrom or None, **which, report=report
        )
    for one in written:
        left = f", {one.left_out:,} with more than four alleles left out" if one.left_out else ""
        tell(f"{one.path}  ({one.sites:,} sites{left})")


def export_labels(
    path: _Run,
    step: Annotated[str, typer.Option(metavar="BP", help="Distance between labels.")] = "10000",
    branch: _Branch = None,
    replicate: _Replicate = None,
    twin: _Twin = None,
    quiet: _Quiet = False,
) -> None:
    """Write the ancestry of each sampled haplotype on a grid, as arrays for machine learning (.npz).

    Needs the tracts of admix ancestry.

    \b
    Example:
      admix export labels runs/reich-s1 --step 10000
    """
    from admix import results, run_exports

    which, size = _which(branch, replicate, twin), whole("--step", step, 1, 10**9)
    assert size is not None
    with _told(path, "labels", quiet) as report:
        written = run_exports.export_labels(results.read_run(path), step=size, **which, report=report)
    tell(*(str(file) for file in written))
