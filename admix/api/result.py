# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished run as an object: its tables, its trees, its figures, and itself in a notebook."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from admix.errors import InputError
from admix.results import Run, answer, read_run, screen_table

if TYPE_CHECKING:
    import tskit
    from matplotlib.figure import Figure

    from admix.scenario import Scenario

__all__ = ["Result"]


class Result:
    """A finished run.

    ``result.trajectory`` and the other tables are pandas data frames with the columns of the run directory, shares as
    fractions. `admix.simulate` returns one; ``admix.Result("runs/reich-s1")`` opens a run that is there.

    Parameters
    ----------
    path
        A run directory.

    Raises
    ------
    InputError
        If there is no such run.
    """

    def __init__(self, path: str | Path) -> None:
        self.run: Run = read_run(path)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.run.path

    @property
    def scenario(self) -> Scenario:
        """The scenario as it was run, every default filled in."""
        return self.run.scenario

    @property
    def summary(self) -> dict[str, Any]:
        """The headline figures with their errors, as in summary.json."""
        return self.run.summary

    @property
    def answer(self) -> str:
        """The answer in a sentence."""
        return answer(self.summary)

    @property
    def trajectory(self) -> pd.DataFrame:
        """Ancestry, fitness and load by generation."""
        return self.run.table("trajectory")

    @property
    def pulse(self) -> pd.DataFrame:
        """What each pulse brought."""
        return self.run.table("pulse")

    @property
    def ancestors(self) -> pd.DataFrame:
        """Shares of ancestors, by what is counted."""
        return self.run.table("ancestors")

    @property
    def landscape(self) -> pd.DataFrame:
        """Ancestry along the genome."""
        return self.run.table("landscape")

    @property
    def spread(self) -> pd.DataFrame:
        """How many people have how much ancestry."""
        return self.run.table("spread")

    @property
    def headline(self) -> pd.DataFrame:
        """Mean ancestry with its interval: one row for each branch, twin, source, deme and generation told."""
        rows = []
        for entry in self.summary["entries"]:
            labels = {name: entry[name] for name in ("branch", "twin", "source", "deme")}
            for row in entry["ancestry"]:
                low, high = row["interval"] or (None, None)
                rows.append(
                    {**labels, "generation": row["generation"], "years_bp": row["years_bp"], "ancestry": row["mean"],
                     "low": low, "high": high}
                )  # fmt: skip
        return pd.DataFrame(rows)

    def trees(self, branch: str | None = None, replicate: int = 0, twin: str = "none") -> dict[str, tskit.TreeSequence]:
        """Return the tree sequences of one branch and replicate by chromosome; the first branch if omitted.

        Raises
        ------
        InputError
            If the run has no trees, or none of these.
        """
        from admix.run_trees import tree_files

        first = branch if branch is not None else self.scenario.branches[0].name
        return {file.chrom: file.load() for file in tree_files(self.run, branch=first, replicate=replicate, twin=twin)}

    def plot(self, figure: str = "trajectory", *, style: str = "paper") -> Figure:
        """Return a figure, which a notebook shows; of a run with several sources, that of the first.

        Parameters
        ----------
        figure
            ``trajectory``, ``spread``, ``model``, ``ancestors``, ``load`` or ``genome``.
        style
            ``paper`` or ``talk``.
        """
        from admix import plots

        return plots.one(self.run, figure, style=style)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the page of the run, to ``report.html`` in its directory if `path` is omitted; return the file."""
        from admix.report.page import write_report

        return write_report(self.run, path)

    def save(self, path: str | Path) -> Result:
        """Copy the run directory to `path`, which must not exist, and return the result that is there."""
        target = Path(path)
        if target.exists():
            raise InputError("save", str(path), "a path where nothing is yet")
        shutil.copytree(self.path, target)
        return Result(target)

    def __repr__(self) -> str:
        """Return the short table and the answer."""
        return f"{screen_table(self.summary)}\n{self.answer}\n{self.path}"

    def _repr_html_(self) -> str:
        """Return the headline table for a notebook."""
        frame = self.headline
        columns = ["source", "deme", "branch", "twin"]
        shown = [name for name in columns if frame[name].nunique() > 1]
        share = [
            f"{100 * row['ancestry']:.2f}"
            + ("" if pd.isna(row["low"]) else f" [{100 * row['low']:.2f}, {100 * row['high']:.2f}]")
            for row in frame.to_dict("records")
        ]
        frame = frame.assign(share=share).pivot(index="generation", columns=shown or ["branch"], values="share")
        return (
            f"<p><b>{escape(self.scenario.title)}</b><br>{escape(self.answer)}</p>"
            f"<p>Share of DNA, %</p>{frame.to_html(escape=True, na_rep='', border=0)}"
            f"<p><small>{escape(str(self.path))}</small></p>"
        )

    @classmethod
    def temporary(cls, make: Callable[[Path], Path], name: str) -> Result:
        """Return the result of ``make(path)`` in a directory that is removed when the result is forgotten."""
        folder = Path(tempfile.mkdtemp(prefix="admix-"))
        try:
            result = cls(make(folder / name))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
        return result
