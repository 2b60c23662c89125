# SPDX-License-Identifier: GPL-3.0-or-later
"""What theory says before the run: ancestry variance, purging, survival of ancestors, linked selection.

Generations are counted as in the tables: generation 1 is the cohort in which unmixed individuals of the
source are the pulse's share, generation 2 the first one born in the mixed population.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, zeta

from admix.spectrum import StationarySpectrum

Floats = npt.NDArray[np.float64]

_BIN = 0.01  # relative width of the bins of map distance; phi errs by its square over 24
_NEAR = 1e-9  # Morgans; pairs nearer than this are taken as one point
_FAR = 20.0  # Morgans; beyond, recombination is 1/2 to the last digit


class Genome(Protocol):
    """The part of `admix.genome.Genome` that theory needs."""

    @property
    def chrom_axis(self) -> npt.NDArray[np.uint64]: ...  # noqa: D102
    @property
    def chrom_morgans(self) -> Floats: ...  # noqa: D102
    @property
    def marker_axis(self) -> npt.NDArray[np.uint64]: ...  # noqa: D102
    @property
    def marker_weight(self) -> npt.NDArray[np.int64]: ...  # noqa: D102


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


def haldane(morgans: npt.ArrayLike) -> Floats:
    """Return the recombination fraction ``(1 - exp(-2d))/2`` at map distance `morgans` (no interference)."""
    return -np.expm1(-2 * np.asarray(morgans, dtype=np.float64)) / 2


def _distances(genome: Genome, weights: npt.ArrayLike | None) -> tuple[Floats, Floats, float]:
    """Return distance (Morgans) and weight of binned pairs on one chromosome, and the weight of the rest."""
    weight = np.asarray(genome.marker_weight if weights is None else weights, dtype=np.float64)
    if weight.shape != np.shape(genome.marker_axis) or not weight.sum() > 0 or weight.min() < 0:
        raise ValueError("weights: allowed: one number of at least 0 per marker, not all 0")
    weight = weight / weight.sum()
    axis = np.asarray(genome.chrom_axis, dtype=np.float64)
    marker = np.asarray(genome.marker_axis, dtype=np.float64)
    bins = int(np.ceil(np.log(_FAR / _NEAR) / _BIN)) + 2
    total, moment, within = np.zeros(bins), np.zeros(bins), 0.0
    for c, morgans in enumerate(genome.chrom_morgans):
        first, last = np.searchsorted(marker, axis[c : c + 2])
        x = (marker[first:last] - axis[c]) * (morgans / (axis[c + 1] - axis[c]))
        w = weight[first:last]
        within += float(w.sum()) ** 2
        total[0] += float((w * w).sum())
        for lag in range(1, len(x)):
            d, pair = x[lag:] - x[:-lag], 2 * w[lag:] * w[:-lag]
            place = (np.log(np.clip(d, _NEAR, _FAR) / _NEAR) / _BIN).astype(np.int64) + (d > _NEAR)
            total += np.bincount(place, pair, bins)
            moment += np.bincount(place, pair * d, bins)
    used = total > 0
    return moment[used] / total[used], total[used], max(0.0, 1.0 - within)


def phi(genome: Genome, t_max: int, weights: npt.ArrayLike | None = None) -> Floats:
    """Return the mean of ``(1 - r_ij)^t`` over all ordered pairs of markers, for t = 0 .. t_max.

    Parameters
    ----------
    genome : Genome
        With `marker_axis`, `marker_weight`, `chrom_axis` and `chrom_morgans`.
    t_max : int
        Last generation.
    weights : array_like, optional
        Weight of each marker, shape (m,); by default `marker_weight`.

    Returns
    -------
    float64[t_max + 1]
        ``phi(t)``, pairs of a marker with itself included. Relative error below 1e-4.

    Notes
    -----
    ``1 - phi(1)`` is r-bar of Veller, Kleckner & Nowak 2019, doi:10.1073/pnas.1817482116; higher powers as in
    Veller, Edelman, Muralidhar & Nowak, doi:10.1101/846147. Recombination follows Haldane's map function
    within a chromosome and is 1/2 between.
    """
    distance, weight, between = _distances(genome, weights)
    t = np.arange(t_max + 1)
    return weight @ np.exp(np.outer(np.log1p(-haldane(distance)), t)) + between * 0.5**t


def rbar(genome: Genome, weights: npt.ArrayLike | None = None) -> float:
    """Return the mean recombination fraction of two loci drawn at random (with replacement).

    Veller, Kleckner & Nowak 2019, doi:10.1073/pnas.1817482116.
    """
    return float(1 - phi(genome, 1, weights)[1])


def ancestry_variance(p: float, phi: npt.ArrayLike, generations: int) -> Floats:
    """Return the neutral variance of ancestry between individuals in generations 1 .. `generations`.

    Parameters
    ----------
    p : float
        Share of the source in generation 1, all of it unmixed individuals.
    phi : array_like
        From `phi`, at least ``generations - 1`` values.
    generations : int

    Returns
    -------
    float64[generations]
        ``p(1-p)`` and then ``p(1-p)/2 * phi(g-2)``.

    Notes
    -----
    A gamete's ancestry has variance ``p(1-p) phi(t)`` after t rounds of meiosis in mixed individuals, and an
    individual is the mean of two independent gametes (Veller et al., doi:10.1101/846147).
    """
    decay = np.asarray(phi, dtype=np.float64)
    if len(decay) < generations - 1:
        raise ValueError(f"phi: got {len(decay)} values; allowed: at least {generations - 1}")
    return p * (1 - p) * np.concatenate([[1.0], decay[: generations - 1] / 2])[:generations]


def mean_variance(p: float, N: int, phi: npt.ArrayLike, g: int) -> float:
    """Return the neutral variance between runs of the population's mean ancestry in generation `g`.

    ``p(1-p)/(2N) * sum of phi(0 .. g-2)``: each generation samples 2N gametes, whose ancestry has variance
    ``p(1-p) phi`` (see `ancestry_variance`). To first order in ``g/2N``.
    """
    decay = np.asarray(phi, dtype=np.float64)
    if len(decay) < g - 1:
        raise ValueError(f"phi: got {len(decay)} values; allowed: at least {g - 1}")
    return float(p * (1 - p) / (2 * N) * decay[: max(0, g - 1)].sum())


def uniform_load_trajectory(p1: float, S: float, phi: npt.ArrayLike, generations: npt.ArrayLike) -> Floats:
    """Return the expected share of source ancestry when its cost is spread evenly over the genome.

    Parameters
    ----------
    p1 : float
        Share in generation 1, unmixed individuals.
    S : float
        Log fitness cost of an unmixed individual of the source, -ln(relative fitness).
    phi : array_like
        From `phi`, at least ``max(generations) - 2`` values.
    generations : array_like of int
        Generations wanted, at least 1.

    Returns
    -------
    float64
        Shape of `generations`.

    Notes
    -----
    Fitness ``exp(-S I)`` in an individual with ancestry I changes the mean by ``-S Var(I)`` (Price
    1970, doi:10.1038/227520a0); with rare ancestry the variance is that of `ancestry_variance`, so that
    ``ln odds(g) = ln odds(1) - S - S/2 * sum of phi(0 .. g-3)`` (after Veller et al., doi:10.1101/846147).
    Lower by 5-8 % than runs in which the load lies at discrete, linked sites.
    """
    g = np.asarray(generations, dtype=np.int64)
    decay = np.asarray(phi, dtype=np.float64)
    if g.min() < 1 or len(decay) < g.max() - 2:
        raise ValueError(f"generations: got {g.min()} .. {g.max()}; allowed: 1 .. {len(decay) + 2}")
    summed = np.concatenate([[0.0], np.cumsum(decay)])
    lost = np.where(g > 1, S, 0.0) + S / 2 * summed[np.maximum(g - 2, 0)]
    odds = p1 / (1 - p1) * np.exp(-lost)
    return np.asarray(odds / (1 + odds))


def two_locus_survival(s: npt.ArrayLike, r: npt.ArrayLike, t: npt.ArrayLike) -> Floats:
    """Return the share of rare neutral ancestry left after `t` generations beside one deleterious allele.

    Parameters
    ----------
    s : array_like
        Cost of one copy of the allele, positive; its carriers are heterozygotes, as ancestry is rare.
    r : array_like
        Recombination fraction between the two loci.
    t : array_like
        Generations since gametes carrying both entered the population.

    Notes
    -----
    ``x + r(1-s)(1-x)/(1-(1-s)(1-r))`` with ``x = [(1-s)(1-r)]^t``: the two-locus recursion of
    Juric, Aeschbacher & Coop 2016, doi:10.1371/journal.pgen.1006340 for a rare allele. A gamete
    that recombines away in a generation has still paid that generation's cost.
    """
    s, r, t = (np.asarray(value, dtype=np.float64) for value in (s, r, t))
    keep = (1 - s) * (1 - r)
    x = keep**t
    lasting = np.where(keep < 1, r * (1 - s) / np.where(keep < 1, 1 - keep, 1.0), 1.0)
    return np.asarray(x + lasting * (1 - x))


def two_locus_trajectory(p1: float, s: float, h: float, r: float, generations: int) -> Floats:
    """Return the share of source ancestry at a selected and at a neutral locus, without drift.

    Parameters
    ----------
    p1 : float
        Share of the source in generation 1, unmixed individuals: both loci homozygous for its alleles.
    s, h : float
        Homozygote ``1 + s``, heterozygote ``1 + h s`` for the source's allele at the selected locus.
    r : float
        Recombination fraction between the two.
    generations : int
        Generations wanted, from 1.

    Returns
    -------
    float64[generations, 2]
        Selected locus, neutral locus; newborns.

    Notes
    -----
    The exact recursion for four gametes under random mating, Lewontin & Kojima 1960,
    doi:10.1111/j.1558-5646.1960.tb03113.x, for any share of the source; only generation 1 is not in
    Hardy-Weinberg proportions.
    """
    out = np.empty((generations, 2))
    out[0] = p1
    kept = p1 * (1 + s)
    q = kept / (kept + 1 - p1)
    # gametes by (selected, neutral) allele: 11, 10, 01, 00
    x = np.array([q, 0.0, 0.0, 1 - q])
    fitness = np.array([1.0, 1 + h * s, 1 + s])[np.add.outer([1, 1, 0, 0], [1, 1, 0, 0])]
    for g in range(1, generations):
        out[g] = x[0] + x[1], x[0] + x[2]
        marginal = fitness @ x
        swap = r * fitness[0, 3] * (x[0] * x[3] - x[1] * x[2])
        x = (x * marginal + swap * np.array([-1.0, 1.0, 1.0, -1.0])) / (x @ marginal)
    return out


class FounderSurvival(NamedTuple):
    """Probability that a founder has descendants in the far future, by its origin.

    Attributes
    ----------
    source, recipient : float
        Founders of generation 1 from the source, and the others.
    share : float
        Share of the source among the founders that have descendants.
    """

    source: float
    recipient: float
    share: float


def pedigree_survival(p1: float, S: float, phi: npt.ArrayLike) -> FounderSurvival:
    """Return how likely founders are to be anybody's genealogical ancestor after many generations.

    Parameters
    ----------
    p1 : float
        Share of the source in generation 1.
    S : float
        Log fitness cost of an unmixed individual of the source.
    phi : array_like
        From `phi`, at least 40 values.

    Notes
    -----
    Children of an individual are Poisson with mean twice its relative fitness, and a line once
    established stays: ``f_k = 1 - exp(-2 w_k f_(k+1))`` backwards from the neutral ``f = 0.797``, the root
    of ``f = 1 - exp(-2f)`` (Chang 1999, doi:10.1239/aap/1029955256). A descendant k generations on has
    ancestry ``2^-k`` of its founder's and the rest from the population, whose mean follows
    `uniform_load_trajectory` and whose log fitness has the variance of `ancestry_variance`. Variation
    between descendants of the same degree is neglected: for S = 0.77 the source's survival comes out 0.02
    higher than in individual-based runs.
    """
    depth = 40
    p = uniform_load_trajectory(p1, S, phi, np.arange(1, depth + 1))
    variance = p * (1 - p) / 2 * np.concatenate([[0.0], np.asarray(phi, dtype=np.float64)[: depth - 1]])
    log_mean = -S * p + S**2 * variance / 2
    log_mean[0] = np.log1p(-p1 * -np.expm1(-S))
    log_mean[1] = 2 * np.log1p(-p[1] * -np.expm1(-S / 2))
    survival = []
    for own in (1.0, 0.0):
        f = 0.7968121300200202
        for k in range(depth - 1, -1, -1):
            ancestry = own * 0.5**k + p[k] * (1 - 0.5**k)
            f = -np.expm1(-2 * np.exp(-S * ancestry - log_mean[k]) * f)
        survival.append(float(f))
    source, recipient = survival
    return FounderSurvival(source, recipient, p1 * source / (p1 * source + (1 - p1) * recipient))


def drift_load(N: float, T: float, mutation_rate: float, target_bp: float, mean: float, shape: float) -> float:
    """Return the log load fixed by drift in `T` generations: gamma DFE, h = 1/2, independent sites.

    Parameters
    ----------
    N : float
        Diploid (effective) size.
    T : float
        Generations.
    mutation_rate, target_bp : float
        Deleterious mutations per base pair per generation, and base pairs.
    mean, shape : float
        Of the gamma distribution of ``|s|`` (homozygous cost); the sign of `mean` is ignored.

    Notes
    -----
    With Kimura's probability of fixation ``s/(exp(2Ns) - 1)`` (Kimura 1962,
    doi:10.1093/genetics/47.6.713) the mean of ``2N U T pfix s`` over the DFE is ``U T c^-k Gamma(2+k)
    zeta(2+k) / Gamma(k) * (2N)^-(1+k)``, k the shape and ``c = mean/k``: linear in time and target, steep
    in N.
    """
    if not (N > 0 and shape > 0 and mean != 0):
        raise ValueError(f"N, shape, mean: got {N}, {shape}, {mean}; allowed: N > 0, shape > 0, mean not 0")
    log_factor = gammaln(2 + shape) - gammaln(shape) - shape * np.log(abs(mean) / shape)
    return float(T * mutation_rate * target_bp * zeta(2 + shape) * np.exp(log_factor - (1 + shape) * np.log(2 * N)))


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


def _strength(spectrum: StationarySpectrum, r: Floats) -> Floats:
    """Return -ln B per unit of U of selected sites at recombination fraction r."""
    variance, decay = spectrum.fitness_variance_components()
    r = r[:, None]
    own = 1 / (1 - (1 - r) * (1 - decay))
    partner = 1 + r * (1 - decay) * own
    return (own**2 + partner**2) @ variance / spectrum.U


def background_selection(genome: MutableGenome, spectrum: StationarySpectrum) -> BackgroundSelection:
    """Return the effective size, as a share of N, that purifying selection at other sites leaves.

    Parameters
    ----------
    genome : MutableGenome
        Deleterious mutations are spread evenly over the functional bases of each window.
    spectrum : StationarySpectrum
        Of the population; gives N, U, and the variance of fitness.

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
