# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection on new mutations: distribution of effects, dominance, and the tables that the engines draw from.

Fitness follows SLiM's convention: a mutation with selection coefficient s multiplies fitness by 1 + s in a
homozygote and by 1 + h s in a heterozygote, so that h = 0.5 is (nearly) additive, and effects of different
sites multiply.  Mutations are deleterious, -1 <= s < 0, or neutral.  Estimates from dadi-type inference are
written for 1 + 2s and 1 + 2hs: double their s before putting it here. Published distributions have names
(`admix.dfe_catalog`), and are doubled there where they have to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from admix.dfe_catalog import DFES, DOMINANCES
from admix.strict import Block, broken, list_of, number, one_of, variants

FloatArray = npt.NDArray[np.float64]

LARGEST_COST = 1.0 - 1e-9
"""Largest -s: a lethal homozygote keeps a log fitness that is finite."""

_TAIL_POINTS = 4096

Effect = Annotated[
    float,
    number("a number from -1 (lethal) up to but not 0, as mutations are deleterious", -1, 0, below=True),
]
_DOMINANCE = "a number from 0 (recessive) to 1 (dominant)"
Dominance = Annotated[float, number(_DOMINANCE, 0, 1)]
Shape = Annotated[float, number("a number above 0 and up to 1000", 0, 1000, above=True)]


class Gamma(Block):
    """-s is gamma distributed; `mean` is the mean of s (below 0)."""

    kind: Literal["gamma"] = "gamma"
    mean: Effect
    shape: Shape

    def costs(self, u: FloatArray) -> FloatArray:
        """Return the quantiles `u` of -s, before they are cut at 1."""
        from scipy.special import gammaincinv

        return np.asarray(gammaincinv(self.shape, u) * (-self.mean / self.shape))

    def probability(self, cost: FloatArray) -> FloatArray:
        """Return P(-s <= cost)."""
        from scipy.special import gammainc

        return np.asarray(gammainc(self.shape, cost * (self.shape / -self.mean)))


class Lognormal(Block):
    """ln(-s) is normal with mean `mu` and standard deviation `sigma`."""

    kind: Literal["lognormal"] = "lognormal"
    mu: Annotated[float, number("a number from -50 to 0", -50, 0)]
    sigma: Annotated[float, number("a number above 0 and up to 20", 0, 20, above=True)]

    def costs(self, u: FloatArray) -> FloatArray:
        """Return the quantiles `u` of -s, before they are cut at 1."""
        from scipy.special import ndtri

        return np.asarray(np.exp(np.minimum(self.mu + self.sigma * ndtri(u), 1.0)))

    def probability(self, cost: FloatArray) -> FloatArray:
        """Return P(-s <= cost)."""
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            return np.asarray(ndtr((np.log(cost) - self.mu) / self.sigma))


class Point(Block):
    """All mutations have the same `s`."""

    kind: Literal["point"] = "point"
    s: Effect

    def costs(self, u: FloatArray) -> FloatArray:
        """Return the quantiles `u` of -s."""
        return np.full(len(u), -self.s)

    def probability(self, cost: FloatArray) -> FloatArray:
        """Return P(-s <= cost)."""
        return (cost >= -self.s).astype(np.float64)


class Neutral(Block):
    """s = 0: mutations without effect, as in the neutral twin of a run or as a part of a mixture."""

    kind: Literal["neutral"] = "neutral"

    def costs(self, u: FloatArray) -> FloatArray:
        """Return the quantiles `u` of -s."""
        return np.zeros(len(u))

    def probability(self, cost: FloatArray) -> FloatArray:
        """Return P(-s <= cost)."""
        return np.ones(len(cost))


if TYPE_CHECKING:
    SimpleDfe = Gamma | Lognormal | Point | Neutral
else:
    SimpleDfe = variants("kind", Gamma, Lognormal, Point, Neutral)


class Component(Block):
    """A part of a mixture: `share` of all mutations have their effect from `dfe`."""

    share: Annotated[float, number("a share above 0 and up to 1", 0, 1, above=True)]
    dfe: SimpleDfe


class Mixture(Block):
    """A mixture of distributions; the shares of its components add up to 1."""

    kind: Literal["mixture"] = "mixture"
    components: Annotated[tuple[Component, ...], list_of("a list of blocks with share and dfe", at_least=1)]

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        total = sum(component.share for component in self.components)
        if abs(total - 1.0) > 1e-9:
            raise broken("components whose shares add up to 1", total)
        return self

    def costs(self, u: FloatArray) -> FloatArray:
        """Return the quantiles `u` of -s: the smallest cost c with P(-s <= c) >= u, before they are cut at
        1."""
        # Bisection on a log scale, from below any effect that could matter to just above the cut.
        low, high = np.full(len(u), np.log(1e-300)), np.full(len(u), np.log(2.0))
        for _ in range(64):
            middle = 0.5 * (low + high)
            enough = self.probability(np.exp(middle)) >= u
            high = np.where(enough, middle, high)
            low = np.where(enough, low, middle)
        return np.where(self.probability(np.zeros(len(u))) >= u, 0.0, np.exp(high))

    def probability(self, cost: FloatArray) -> FloatArray:
        """Return P(-s <= cost)."""
        return np.sum([c.share * c.dfe.probability(cost) for c in self.components], axis=0)


class FallingDominance(Block):
    """h(s) = h0 / (1 + k |s|): the stronger the effect, the more recessive (Kim et al. 2018,
    10.1371/journal.pgen.1007741)."""

    kind: Literal["hs"] = "hs"
    h0: Dominance
    k: Annotated[float, number("a number from 0 to 1e9", 0, 1e9)]

    def of(self, cost: FloatArray) -> FloatArray:
        """Return h for each -s."""
        return self.h0 / (1.0 + self.k * cost)


class DominanceClasses(Block):
    """h by class of |s|: ``values[i]`` for ``breaks[i-1] <= |s| < breaks[i]`` (as in Kyriazis et al.
    2023)."""

    kind: Literal["classes"] = "classes"
    breaks: Annotated[
        tuple[Annotated[float, number("a break of |s| above 0 and below 1", 0, 1, above=True, below=True)], ...],
        list_of("a list of breaks of |s|, rising", at_least=1),
    ]
    values: Annotated[tuple[Dominance, ...], list_of("a list of h, one more than breaks")]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if any(b <= a for a, b in zip(self.breaks, self.breaks[1:], strict=False)):
            raise broken("breaks in rising order", list(self.breaks))
        if len(self.values) != len(self.breaks) + 1:
            raise broken(f"{len(self.breaks) + 1} values for {len(self.breaks)} breaks", list(self.values))
        return self

    def of(self, cost: FloatArray) -> FloatArray:
        """Return h for each -s."""
        return np.asarray(self.values)[np.searchsorted(self.breaks, cost, side="right")]


class NamedDfe(Block):
    """A published distribution, by its name in `admix.dfe_catalog`."""

    kind: Literal["named"] = "named"
    name: Annotated[str, one_of(*DFES)]

    @property
    def meaning(self) -> SimpleDfe | Mixture:
        """The distribution itself."""
        return _named_dfe(self.name)

    def costs(self, u: FloatArray) -> FloatArray:
        """Return the quantiles `u` of -s, before they are cut at 1."""
        return self.meaning.costs(u)

    def probability(self, cost: FloatArray) -> FloatArray:
        """Return P(-s <= cost)."""
        return self.meaning.probability(cost)


@lru_cache(maxsize=32)
def _named_dfe(name: str) -> SimpleDfe | Mixture:
    tree = DFES[name].tree
    kinds: dict[str, type[SimpleDfe] | type[Mixture]] = {"gamma": Gamma, "lognormal": Lognormal, "mixture": Mixture}
    return kinds[tree["kind"]].model_validate(tree)


class NamedDominance(Block):
    """A published relation of h and s, by its name in `admix.dfe_catalog`."""

    kind: Literal["named"] = "named"
    name: Annotated[str, one_of(*DOMINANCES)]

    def of(self, cost: FloatArray) -> FloatArray:
        """Return h for each -s."""
        tree = DOMINANCES[self.name].tree
        made = FallingDominance.model_validate(tree) if tree["kind"] == "hs" else DominanceClasses.model_validate(tree)
        return made.of(cost)


if TYPE_CHECKING:
    Dfe = SimpleDfe | Mixture | NamedDfe
    AnyDominance = float | FallingDominance | DominanceClasses | NamedDominance
else:
    Dfe = variants("kind", Gamma, Lognormal, Point, Neutral, Mixture, NamedDfe)
    AnyDominance = variants(
        "kind",
        FallingDominance,
        DominanceClasses,
        NamedDominance,
        plain=Annotated[float, number(f"{_DOMINANCE}, or a block with kind: hs, classes, named", 0, 1)],
        words=_DOMINANCE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionTables:
    """The distribution of effects as an engine draws from it: a bin at random, then s uniform inside the bin.

    Attributes
    ----------
    s_nodes
        float64 of shape (bins + 1,), read-only: s at the quantiles i / bins of |s|, so from nearest to zero
        to most harmful, cut at -`LARGEST_COST`.  The last node keeps the mean of its bin right instead,
        since the quantile 1 of most distributions is infinite.
    h_bins
        float64 of shape (bins,), read-only: dominance at the middle of each bin.
    """

    s_nodes: FloatArray
    h_bins: FloatArray


class Selection(Block):
    """Selection on the functional bases of the genome.

    Attributes
    ----------
    dfe
        Distribution of the selection coefficient of a new mutation.
    dominance
        h, as a number or as a function of s.
    mutation_rate
        Mutations with an effect from `dfe`, per functional base pair and generation.
    """

    dfe: Dfe
    dominance: AnyDominance
    mutation_rate: Annotated[float, number("a rate per functional bp and generation from 0 to 1e-4", 0, 1e-4)]

    @property
    def is_additive(self) -> bool:
        """Whether a heterozygote has half the effect of the homozygote, whatever the mutation."""
        return isinstance(self.dominance, float | int) and self.dominance == 0.5

    def dominance_of(self, s: FloatArray) -> FloatArray:
        """Return h for each selection coefficient in `s`, float64 of the same shape."""
        if isinstance(self.dominance, float):
            return np.full(np.shape(s), self.dominance)
        return self.dominance.of(-np.asarray(s))

    def tables(self, n_bins: int = 1 << 14) -> SelectionTables:
        """Return the distribution of effects and dominance, cut into `n_bins` bins of equal probability."""
        nodes = np.empty(n_bins + 1)
        nodes[:-1] = np.minimum(self.dfe.costs(np.arange(n_bins) / n_bins), LARGEST_COST)
        tail = (n_bins - 1 + (np.arange(_TAIL_POINTS) + 0.5) / _TAIL_POINTS) / n_bins
        tail_mean = np.minimum(self.dfe.costs(tail), LARGEST_COST).mean()
        nodes[-1] = np.clip(2.0 * tail_mean - nodes[-2], nodes[-2], LARGEST_COST)
        s_nodes = -nodes
        h_bins = self.dominance_of(0.5 * (s_nodes[:-1] + s_nodes[1:]))
        s_nodes.setflags(write=False)
        h_bins.setflags(write=False)
        return SelectionTables(s_nodes=s_nodes, h_bins=h_bins)
