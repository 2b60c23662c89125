# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks at after a run: its figures and its page, made from the sealed directory."""

from __future__ import annotations

import logging
from pathlib import Path

from admix import plots
from admix.report.page import REPORT, write_report
from admix.results import read_run

__all__ = ["make"]


def make(path: Path) -> None:
    """Draw the figures of a sealed run into ``figures/`` and write its ``report.html``.

    A page that cannot be made is told as a warning: the run is complete without it.
    """
    run = read_run(path)
    plots.draw_all(run, path / "figures")
    try:
        write_report(run)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        logging.getLogger(__name__).warning(
            "the run is complete, but its page %s could not be made (%s); 'admix report %s' tries again",
            REPORT,
            text,
            path,
        )
