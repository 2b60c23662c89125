# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured: the share of living people, or the shares of ancient genomes by age, each with its error.

Measurements are made of simulated runs as they were made of people: the share of the run plus a normal error. Genomes
are summed up by their weighted mean and their weighted slope with age, of which the likelihood of a straight
line consists.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from admix.errors import InputError, nearest
from admix.infer.survey import Floats, Survey

__all__ = ["Measured", "Target", "measured", "read_genomes"]

FIRST = 2
"""The first generation in which unmixed migrants and natives have had children together."""


@dataclass(frozen=True)
class Target:
    """What the posterior is conditioned on: a share of today with its error, or genomes, or both.

    Attributes
    ----------
    share, sd : float or None
        Ancestry of living people and its standard error.
    genomes : DataFrame or None
        `sample, age_bp, estimate, se`: ages in years before present, shares as fractions.
    """

    share: float | None = None
    sd: float | None = None
    genomes: pd.DataFrame | None = None


@dataclass(frozen=True)
class Measured:
    """A target on the clock of a sweep.

    Attributes
    ----------
    names : tuple of str
        The statistics.
    observed : float64[k]
        Their values.
    dates : tuple of int
        The generations needed, ascending.
    matrix : float64[k, dates]
        Statistics without error are ``matrix @ shares``.
    covariance : float64[k, k]
        Of the errors of measurement.
    genomes : DataFrame
        The genomes that are used, with `generation`; empty without.
    unused : int
        Genomes older than the mixture.
    living : tuple of float, or None
        Share and standard error of living people.
    """

    names: tuple[str, ...]
    observed: Floats
    dates: tuple[int, ...]
    matrix: Floats
    covariance: Floats
    genomes: pd.DataFrame
    unused: int
    living: tuple[float, float] | None

    def statistics(self, shares: Floats) -> Floats:
        """Return the statistics, float64[m, k], of shares at `dates`, float64[m, dates], without error."""
        return np.asarray(shares @ self.matrix.T)

    def error(self, rng: np.random.Generator, m: int) -> Floats:
        """Return errors of measurement, float64[m, k]."""
        return np.asarray(rng.standard_normal((m, len(self.names))) @ np.linalg.cholesky(self.covariance).T)

    def log_likelihood(self, statistics: Floats) -> Floats:
        """Return the log density of what was observed, up to a number, given statistics without error."""
        root = np.linalg.cholesky(self.covariance)
        z = np.linalg.solve(root, (self.observed - statistics).T)
        return np.asarray(-0.5 * np.sum(z * z, axis=0))

    def misfit(self, shares: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return the chi-squared of what was measured, and of measurements of the runs themselves, float64[m] each.

        `shares` are those at `dates`.
        """
        columns = [self.dates.index(int(g)) for g in self.genomes["generation"]]
        estimates, errors = self.genomes["estimate"].to_numpy(), self.genomes["se"].to_numpy()
        if self.living is not None:
            columns.append(len(self.dates) - 1)
            estimates, errors = np.append(estimates, self.living[0]), np.append(errors, self.living[1])
        z = (estimates - shares[:, columns]) / errors
        again = rng.standard_normal(z.shape)
        return np.asarray(np.sum(z * z, axis=1)), np.asarray(np.sum(again * again, axis=1))


def measured(target: Target, survey: Survey) -> Measured:
    """Return a target on the clock of a survey.

    Raises
    ------
    InputError
        If there is nothing to condition on, or all genomes are older than the mixture.
    """
    if target.share is None and target.genomes is None:
        raise InputError("--target is missing", allowed="--target SHARE with --sd, or --trajectory, or both")
    genomes = pd.DataFrame(columns=["sample", "age_bp", "estimate", "se", "generation"], dtype=np.float64)
    unused = 0
    if target.genomes is not None:
        # np.rint would round halves to even numbers
        generation = np.floor(survey.generation(target.genomes["age_bp"].to_numpy(np.float64)) + 0.5)  # type: ignore[arg-type]
        genomes = target.genomes.assign(generation=np.minimum(generation, survey.today).astype(np.int64))
        genomes = genomes[generation >= FIRST]
        unused = len(generation) - len(genomes)
        if genomes.empty:
            oldest = survey.years(FIRST)
            allowed = f"genomes younger than the mixture, {oldest:,.0f} years ago in this sweep"
            raise InputError("--trajectory", f"{unused} genomes", allowed)
    dates = sorted({int(g) for g in genomes["generation"]} | ({survey.today} if target.share is not None else set()))
    rows, names, observed = [], [], []
    blocks: list[Floats] = []
    if len(genomes):
        what, weights, cov = _line(genomes)
        place = np.zeros((len(genomes), len(dates)))
        place[np.arange(len(genomes)), [dates.index(int(g)) for g in genomes["generation"]]] = 1
        rows += list(weights @ place)
        names += what
        observed += list(weights @ genomes["estimate"].to_numpy(np.float64))
        blocks.append(cov)
    living = None
    if target.share is not None:
        assert target.sd is not None
        rows.append((np.array(dates) == survey.today).astype(np.float64))
        names.append("share of living people")
        observed.append(target.share)
        blocks.append(np.array([[target.sd**2]]))
        living = target.share, target.sd
    from scipy.linalg import block_diag

    return Measured(
        tuple(names), np.array(observed), tuple(dates), np.array(rows), np.asarray(block_diag(*blocks)), genomes,
        unused, living,
    )  # fmt: skip


def _line(genomes: pd.DataFrame) -> tuple[list[str], Floats, Floats]:
    """Return names, weights float64[k, genomes], and covariance of the weighted mean and slope with age."""
    age, se = genomes["age_bp"].to_numpy(np.float64), genomes["se"].to_numpy(np.float64)
    w = se**-2
    mean = w / w.sum()
    centred = age - mean @ age
    spread = float(w @ centred**2)
    weights = [mean]
    names = ["mean of the genomes"]
    if spread > 0 and len(genomes) > 2:
        # in 10,000 years, so that both are shares
        weights.append(1e4 * w * centred / spread)
        names.append("slope of the genomes in 10,000 years")
    matrix = np.array(weights)
    return names, matrix, (matrix * se**2) @ matrix.T


def read_genomes(path: Path) -> pd.DataFrame:
    """Return a table of genomes: `age_bp, estimate, se`, and `sample` where it is there.

    Raises
    ------
    InputError
        If the file cannot be read, or a column is missing or holds anything but numbers that make sense.
    """
    where = f"--genomes {path}"
    try:
        table = pd.read_csv(path, sep="\t", comment="#")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "no table"
        raise InputError(where, allowed=f"a tab-separated table that can be read ({what})") from error
    for name in ("age_bp", "estimate", "se"):
        if name not in table:
            near = nearest(name, [str(column) for column in table])
            raise InputError(where, list(table), f"a column {name}" + (f" (is it {near}?)" if near else ""))
        column = pd.to_numeric(table[name], errors="coerce")
        least = math.nextafter(0.0, 1.0) if name == "se" else 0.0
        bad = ~(column >= least) | ~np.isfinite(column)
        if bad.any():
            row = int(np.argmax(bad))
            allowed = f"{'numbers above 0' if name == 'se' else 'numbers of at least 0'} in column {name}"
            raise InputError(f"{where}: row {row + 1}", str(table[name].iloc[row]), allowed)
        table[name] = column.astype(np.float64)
    if table.empty:
        raise InputError(where, "no rows", "at least one genome")
    return table
