# SPDX-License-Identifier: GPL-3.0-or-later
"""Effective size under background selection, on a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from admix.spectrum import StationarySpectrum
from admix.theory.recombination import haldane

Floats = npt.NDArray[np.float64]


class MutableGenome(Protocol):
    """The part of `admix.genome.Genome` that `background_selection` needs."""

    @property
    def window_chrom(self) -> npt.NDArray[np.int32]: ...  # noqa: D102
    @property
    def window_cm_start(self) -> Floats: ...  # noqa: D102
    @property
    def window_cm_end(self) -> Floats: ...  # noqa: D102
    @property
    def window_functional_bp(self) -> npt.NDArray[np.int64]: ...  # noqa: D102


@dataclass(frozen=True)
class BackgroundSelection:
    """Effective size under linked and unlinked purifying selection, as a share of N.

    Attributes
    ----------
    mean : float
        Mean over functional bases.
    unlinked : float
        What selected sites on other chromosomes leave, the same everywhere.
    window : int64[k]
        Indices of the windows with functional bases.
    b : float64[k]
        Share in the middle of each of them.
    """

    mean: float
    unlinked: float
    window: npt.NDArray[np.int64]
    b: Floats


class FitnessVariance(Protocol):
    """What background selection needs of a population: a `StationarySpectrum`, or the components alone."""

    @property
    def U(self) -> float: ...  # noqa: D102
    def fitness_variance_components(self) -> tuple[Floats, Floats]: ...  # noqa: D102


@dataclass(frozen=True)
class VarianceComponents:
    """Additive variance of log fitness among gametes by strength of selection, and its loss per generation.

    As `admix.spectrum.StationarySpectrum.fitness_variance_components` gives them.
    """

    U: float
    variance: Floats
    decay: Floats

    def fitness_variance_components(self) -> tuple[Floats, Floats]:
        """Return both."""
        return self.variance, self.decay


@dataclass(frozen=True)
class MergedWindows:
    """Windows of a genome, several of them taken together."""

    window_chrom: npt.NDArray[np.int32]
    window_cm_start: Floats
    window_cm_end: Floats
    window_functional_bp: npt.NDArray[np.int64]


def merged(genome: MutableGenome, count: int) -> MergedWindows:
    """Return the windows of a genome, `count` neighbours on a chromosome as one."""
    chrom = np.asarray(genome.window_chrom)
    first = np.flatnonzero(np.diff(chrom, prepend=-1))
    place = np.arange(len(chrom)) - np.repeat(first, np.diff(np.append(first, len(chrom))))
    start = np.flatnonzero(place % count == 0)
    last = np.append(start[1:], len(chrom)) - 1
    return MergedWindows(
        chrom[start],
        np.asarray(genome.window_cm_start)[start],
        np.asarray(genome.window_cm_end)[last],
        np.add.reduceat(np.asarray(genome.window_functional_bp), start),
    )


def _strength(spectrum: FitnessVariance, r: Floats) -> Floats:
    """Return -ln B per unit of U of selected sites at recombination fraction r."""
    variance, decay = spectrum.fitness_variance_components()
    r = r[:, None]
    own = 1 / (1 - (1 - r) * (1 - decay))
    partner = 1 + r * (1 - decay) * own
    return (own**2 + partner**2) @ variance / spectrum.U


def background_selection(genome: MutableGenome, spectrum: FitnessVariance) -> BackgroundSelection:
    """Return the effective size, as a share of N, that purifying selection at other sites leaves.

    Parameters
    ----------
    genome : MutableGenome
        Deleterious mutations are spread evenly over the functional bases of each window.
    spectrum : FitnessVariance
        Of the population: a `StationarySpectrum`, or `VarianceComponents`.

    Returns
    -------
    BackgroundSelection

    Notes
    -----
    A copy of a neutral allele shares its fate with its own gamete and, for a generation, with
    the gamete it has met. Summed over later generations, association with a site on its own gamete at
    recombination fraction r counts ``Q = 1/(1 - (1-r)(1-z))``, with one on the other gamete ``1 +
    r(1-z)Q``, where z is the loss per generation of the site's variance. The excess variance of the
    allele's success is

        ``-ln B = sum over sites of  x(1-x) a^2 [Q^2 + (1 + r(1-z)Q)^2]``.

    For strong selection (``x = u/t``, ``a = z = t = |hs|``) and small r this is ``ut/(t + r(1-t))^2``:
    Hudson & Kaplan 1995, doi:10.1093/genetics/141.4.1605; Nordborg, Charlesworth & Charlesworth 1996,
    doi:10.1017/S0016672300033619. For unlinked sites and weak selection it is ``4 C^2``, C^2 the additive
    variance of fitness among individuals (Robertson 1961, Genetical Research 2:189). Weakly selected sites
    enter with the variance they have and with the loss z by selection and drift, the 1 - Z of Santiago &
    Caballero 1998, doi:10.1093/genetics/149.4.2105.
    """
    functional = np.asarray(genome.window_functional_bp, dtype=np.float64)
    if spectrum.U <= 0 or functional.sum() <= 0:
        window = np.flatnonzero(functional > 0)
        return BackgroundSelection(1.0, 1.0, window, np.ones(len(window)))
    distance = np.concatenate([[0.0], np.geomspace(1e-9, 10.0, 600)])
    strength = _strength(spectrum, haldane(distance))
    integral = np.concatenate([[0.0], np.cumsum(np.diff(distance) * (strength[1:] + strength[:-1]) / 2)])
    far = float(_strength(spectrum, np.array([0.5]))[0])

    window = np.flatnonzero(functional > 0)
    chrom = np.asarray(genome.window_chrom)[window]
    start, end = (np.asarray(cm)[window] / 100 for cm in (genome.window_cm_start, genome.window_cm_end))
    u = spectrum.U * functional[window] / functional.sum()
    exponent = np.empty(len(window))
    for c in np.unique(chrom):
        here = np.flatnonzero(chrom == c)
        middle = (start[here] + end[here]) / 2
        length = end[here] - start[here]
        wide = length > 1e-9
        total = np.empty(len(here))
        for i, x in enumerate(middle):
            left, right = start[here] - x, end[here] - x
            span = np.sign(right) * np.interp(np.abs(right), distance, integral) - np.sign(left) * np.interp(
                np.abs(left), distance, integral
            )
            point = np.interp(np.abs(left), distance, strength)
            total[i] = u[here] @ np.where(wide, span / np.where(wide, length, 1), point)
        exponent[here] = total + (spectrum.U - u[here].sum()) * far
    b = np.exp(-exponent)
    mean = float(b @ functional[window] / functional.sum())
    return BackgroundSelection(mean, float(np.exp(-spectrum.U * far)), window, b)


def linked_spectrum(
    genome: MutableGenome, N: int, s_nodes: Floats, h_bins: Floats, U: float, rounds: int = 3
) -> StationarySpectrum:
    """Return the stationary spectrum of a population whose drift includes the effect of linked selection.

    The effective size is ``background_selection(...).mean * N`` at that very size, found by iteration from N
    (the third round moves it by less than 1 %). Where theory sees hardly any drift left, a tenth of N is the
    floor: beyond that the approximation says nothing.
    """
    spectrum = StationarySpectrum(N, s_nodes, h_bins, U)
    for _ in range(rounds):
        share = max(0.1, background_selection(genome, spectrum).mean)
        spectrum = StationarySpectrum(N, s_nodes, h_bins, U, Ne=max(1.0, share * N))
    return spectrum
