# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands to look at finished runs: ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from admix.cli_process import messages, place, tell

__all__ = ["report"]

_AnyRun = Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")]
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
    from admix.report import page
    from admix.report.tracks import read_track
    from admix.results import read_run

    with messages(0, quiet):
        run = read_run(path)
        shown = read_track(track) if track is not None else None
        target = Path(out) if out is not None else run.path / page.REPORT
        place(target)
        tell(str(page.write_report(run, target, track=shown)))
