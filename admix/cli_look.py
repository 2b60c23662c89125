# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands to look at finished runs: ``report``, ``plot``, ``compare`` and ``explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from admix.cli_derive import choice
from admix.cli_process import messages, place, tell
from admix.errors import InputError, nearest

__all__ = ["compare", "explain", "plot", "report"]

FORMATS = ("pdf", "svg", "png")
LOOKS = ("paper", "talk")

_AnyRun = Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")]
_Format = Annotated[
    str | None, typer.Option("--format", metavar="pdf|svg|png", help="The format of the files.  [default: png and svg]")
]
_Style = Annotated[
    str | None,
    typer.Option(metavar="paper|talk", help="Letters and lines for a page, or larger for slides.  [default: paper]"),
]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No warnings, only the result and errors.")]


def report(
    path: Annotated[str, typer.Argument(metavar="RUN", help="A run directory, or the directory of a sweep.")],
    track: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A BED or bedGraph file of measured introgression (GRCh37 for the shipped genome), to be shown"
            " beside the simulated one; a fourth column with shares from 0 to 1 is a frequency.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page to write.  [default: report.html in RUN]"),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Write the page of a finished run again: one HTML file for screens, phones and paper that needs no network.

    Every run has one already. It is made again to show a map of measured introgression beside the simulated
    genome, or after a newer version of admix was installed.

    \b
    Examples:
      admix report runs/reich-s1
      admix report runs/reich-s1 --track neanderthal-segments.bed -o with-track.html
    """
    from admix.sweep import plan as plans

    if (Path(path) / plans.FILE).is_file():
        if track is not None or out is not None:
            raise InputError("report", path, "the directory of a run, with --track or --out")
        from admix.cli_sweep_files import write_page
        from admix.sweep import collect
        from admix.sweep.store import Store

        chosen = plans.read(Path(path))
        place(path)
        tell(str(write_page(chosen, collect.tables(chosen, Store(Path(path)))[0], Path(path))))
        return

    from admix.report import page
    from admix.report.tracks import read_track
    from admix.results import read_run

    with messages(0, quiet):
        run = read_run(path)
        shown = read_track(track) if track is not None else None
        target = Path(out) if out is not None else run.path / page.REPORT
        place(target)
        tell(str(page.write_report(run, target, track=shown)))


def plot(
    path: _AnyRun,
    figure: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Draw only this one: trajectory, spread, model, ancestors, load or genome.  [default: all]",
        ),
    ] = None,
    form: _Format = None,
    style: _Style = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="DIR", help="Where to write the figures.  [default: RUN/derived/figures]"),
    ] = None,
) -> None:
    """Draw the figures of a finished run again, for example in another format.

    \b
    Examples:
      admix plot runs/reich-s1 --figure trajectory --format pdf -o pictures
      admix plot runs/reich-s1 --style talk
    """
    formats, look = _looks(form, style)

    from admix import plots, results

    if figure is not None and figure not in plots.FIGURES:
        raise InputError("--figure", figure, ", ".join(plots.FIGURES), nearest(figure, plots.FIGURES))
    read = results.read_run(path)
    target = Path(out) if out is not None else Path(path) / "derived" / "figures"
    place(target)
    for drawn in plots.draw_all(read, target, figures=[figure] if figure else None, formats=formats, style=look):
        tell(str(drawn))


def _looks(form: str | None, style: str | None) -> tuple[list[str], str]:
    chosen = choice("--format", form, FORMATS)
    return [chosen] if chosen else ["png", "svg"], choice("--style", style, LOOKS) or "paper"


def compare(
    paths: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two or more run directories.")],
    relative: Annotated[
        bool, typer.Option("--relative", help="Draw per cent of the share in the first generation.")
    ] = False,
    form: _Format = None,
    style: _Style = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="DIR", help="Where to write the figure.  [default: comparison]"),
    ] = None,
) -> None:
    """Draw the trajectories of several runs on the same axes, and print their headline numbers beside one another.

    They may differ in anything: scenario, engine, a neutral twin. Names in the figure are those of the directories.

    \b
    Examples:
      admix compare runs/reich-s1 runs/petr2019-s1
      admix compare runs/native runs/slim --relative --format pdf -o pictures
    """
    formats, look = _looks(form, style)
    if len(paths) < 2:
        raise InputError("compare RUN...", " ".join(paths), "two or more run directories")

    from admix import plots, results
    from admix.comparison import names_of, screen_table

    read = [results.read_run(path) for path in paths]
    runs = dict(zip(names_of([Path(path) for path in paths]), read, strict=True))
    target = Path(out) if out is not None else Path("comparison")
    place(target)
    drawn = plots.draw_comparison(runs, target, relative=relative, formats=formats, style=look)
    tell(screen_table(runs), "", *(str(file) for file in drawn))


def explain(
    path: _AnyRun,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print what to cite as BibTeX instead.")] = False,
) -> None:
    """Print a paragraph for the methods section of a paper that used a run, and the works to cite.

    \b
    Examples:
      admix explain runs/reich-s1
      admix explain runs/reich-s1 --bibtex > references.bib
    """
    import textwrap

    from admix.report import words
    from admix.report.references import bibtex as as_bibtex
    from admix.report.references import references
    from admix.results import read_run

    run = read_run(path)
    works = references(run)
    if bibtex:
        tell(as_bibtex(works).rstrip("\n"))
        return
    tell(textwrap.fill(words.methods(run, works), 88), "")
    for work in works:
        doi = f" doi:{work.doi}" if work.doi else ""
        role = f" ({work.role})" if work.role else ""
        tell(
            textwrap.fill(
                f"{work.text}{doi}{role}", 88, initial_indent="* ", subsequent_indent="  ", break_on_hyphens=False
            )
        )
