# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator: ancestry in any generation for any pulse, and any other values inside the range that was simulated.

The last simulated generation comes from one surface through all points; earlier generations are put before it one by
one, each from a surface that also knows the later one, and later generations follow from theory
(`admix.infer.slow_loss`). A draw is one new history and one new run from it, with surfaces drawn from what is known
about them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from admix.errors import InputError
from admix.infer.slow_loss import SlowLoss
from admix.infer.surface import Surface, drift_scale, fit
from admix.infer.survey import Axis, Floats, Survey, log_odds

__all__ = ["LEAST_DEGREES", "Basis", "Emulator", "basis_of", "degrees", "make"]

LEAST_DEGREES = 2
"""Least number of histories beyond the columns that tell histories apart, for their scatter to be estimated."""


@dataclass(frozen=True)
class Basis:
    """Columns of a surface: a polynomial of the axes' scaled values, with an indicator for each further factor level.

    Attributes
    ----------
    axes : tuple of Axis
    squares : bool
        Squares of axes other than the pulse, where they have three values or more; the pulse's is always there.
    products : bool
        Products of two axes other than the pulse; those with the pulse are always there.
    """

    axes: tuple[Axis, ...]
    squares: bool = True
    products: bool = True

    def columns(self, values: Mapping[Any, Any] | pd.DataFrame) -> Floats:
        """Return float64[n, p] for n values of each axis; the first column is 1."""
        parts: list[tuple[int, Floats]] = []
        extra: list[Floats] = []
        for i, axis in enumerate(self.axes):
            given = np.asarray(values[axis.name])
            if axis.numeric:
                x = axis.scaled(given)
                parts.append((i, x))
                if len(axis.levels) > 2 and (self.squares or i == 0):
                    extra.append(x * x)
            else:
                parts += [(i, (given == level).astype(np.float64)) for level in axis.levels[1:]]
        for (i, x), (j, y) in itertools.combinations(parts, 2):
            if i != j and (self.products or i == 0):
                extra.append(x * y)
        one = np.ones(len(np.asarray(values[self.axes[0].name])))
        return np.column_stack([one, *(x for _, x in parts), *extra])

    @property
    def text(self) -> str:
        """The columns in words."""
        return ("squares" if self.squares else "no squares") + (" and products" if self.products else ", no products")


def basis_of(survey: Survey) -> Basis:
    """Return the richest basis that the histories of a survey can bear.

    Raises
    ------
    InputError
        If there are too few burn-ins, or too few points.
    """
    n_histories = len(np.unique(survey.history))
    for squares, products in ((True, True), (True, False), (False, False)):
        basis = Basis(survey.axes, squares, products)
        X = basis.columns(survey.values)
        enough = degrees(survey, basis) >= LEAST_DEGREES and len(X) > X.shape[1] + 2
        if enough and np.linalg.matrix_rank(X) == X.shape[1]:
            return basis
    burnins = len(np.unique(survey.burnin))
    raise InputError(
        "burnins", burnins,
        f"more, as {n_histories} histories and {len(survey.values)} points do not tell how far burn-ins scatter",
    )  # fmt: skip


def degrees(survey: Survey, basis: Basis) -> int:
    """Return the number of histories beyond the columns that tell histories apart, whatever the pulse."""
    _, first = np.unique(survey.history, return_index=True)
    fixed = {name: survey.values[name].to_numpy()[first] for name in survey.values}
    fixed[survey.pulse.name] = np.full(len(first), survey.pulse.low)
    return len(first) - int(np.linalg.matrix_rank(basis.columns(fixed)))


@dataclass(frozen=True)
class Emulator:
    """Surfaces and theory from which runs are drawn.

    Attributes
    ----------
    basis : Basis
    last : int
        The last simulated generation.
    anchor : Surface
        Log-odds in that generation less those of the pulse.
    steps : tuple of (int, Surface, float)
        Earlier generations, from late to early: log-odds less those of the generation after it in this list, by the
        columns of the basis and the log-odds lost until that one, less a number.
    slow : SlowLoss or None
        What comes after the last generation.
    """

    basis: Basis
    last: int
    anchor: Surface
    steps: tuple[tuple[int, Surface, float], ...]
    slow: SlowLoss | None

    @property
    def generations(self) -> tuple[int, ...]:
        """All generations that are emulated, ascending."""
        before = [generation for generation, _, _ in reversed(self.steps)]
        return (*before, self.last, *(self.slow.generations if self.slow is not None else ()))

    def play(self, values: Mapping[str, Any], rng: np.random.Generator) -> Floats:
        """Return the log-odds, float64[m, generations], of one run from a history of its own for each of m values."""
        X = self.basis.columns(values)
        pulse = log_odds(np.asarray(values[self.basis.axes[0].name], dtype=np.float64))
        drawn = self.anchor.draw(rng, len(X))
        middle = pulse + np.einsum("ij,ij->i", X, drawn.b)
        middle += np.sqrt(drawn.history + drawn.family) * rng.standard_normal(len(X))
        drift = drawn.c * drift_scale(middle) / self.anchor.unit
        anchor = middle + np.sqrt(drift) * rng.standard_normal(len(X))
        out = [anchor]
        for _, surface, centre in self.steps:
            later = out[0]
            wide = np.column_stack([X, later - pulse - centre])
            step = surface.draw(rng, len(X))
            spread = step.history + step.family + step.c * drift_scale(anchor) / surface.unit
            change = np.einsum("ij,ij->i", wide, step.b) + np.sqrt(spread) * rng.standard_normal(len(X))
            out.insert(0, later + change)
        if self.slow is not None:
            out += self.slow.play(X, anchor, drift, rng)
        return np.column_stack(out)


def make(survey: Survey, generations: Sequence[int], slow: SlowLoss | None, basis: Basis | None = None) -> Emulator:
    """Return the emulator of a survey.

    Parameters
    ----------
    survey
    generations
        Generations wanted up to the last that was simulated, which is always there; others are left out.
    slow
        What comes after that.
    basis
        By default the richest that the histories can bear.

    Raises
    ------
    InputError
        If there are too few burn-ins or points.
    """
    basis = basis_of(survey) if basis is None else basis
    X = basis.columns(survey.values)
    end = survey.at(survey.last)
    anchor, a = surface_of(X, end, survey)
    steps = []
    later = end
    for generation in sorted({int(g) for g in generations if 1 < g < survey.last}, reverse=True):
        now = survey.at(generation)
        lost = later - survey.pulse_odds
        centre = float(lost.mean())
        wide = np.column_stack([X, lost - centre])
        steps.append((generation, fit(wide, now - later, a, survey.history, survey.family), centre))
        later = now
    return Emulator(basis, survey.last, anchor, tuple(steps), slow)


def surface_of(X: Floats, end: Floats, survey: Survey) -> tuple[Surface, Floats]:
    """Return the surface of the log-odds at the end less those of the pulse, and the scale of drift of each point."""
    lost = end - survey.pulse_odds
    # by the smooth part: a point's own chance must not decide its weight
    smooth = X @ np.linalg.lstsq(X, lost, rcond=None)[0]
    a = drift_scale(survey.pulse_odds + smooth)
    return fit(X, lost, a, survey.history, survey.family), a
