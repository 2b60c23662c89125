# SPDX-License-Identifier: GPL-3.0-or-later
"""Published distributions of fitness effects and of dominance, by name.

All of them are written here in this program's convention, which is SLiM's: a homozygote has fitness 1 + s, a
heterozygote 1 + hs. Inference with dadi and its relatives (fitdadi, Poisson random fields) is written for 1 + 2s and
1 + 2hs, so that its s has to be doubled; `factor` says by how much the published s was multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from admix.errors import InputError, nearest

__all__ = ["DFES", "DOMINANCES", "Dominance", "Published", "dfe", "dominance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published distribution of fitness effects.

    Attributes
    ----------
    title, citation, doi : str
        What it is and where it was published.
    published : str
        Its parameters as published, in the convention of the publication.
    factor : float
        The published s was multiplied by this.
    tree : dict
        The distribution as a scenario writes it.
    applies_to : str
        To which mutations it applies; `selection.mutation_rate` has to be the rate of those.
    dominance : str or None
        Name of the dominance in `DOMINANCES` that was published with it.
    remark : str
        What else one has to know.
    """

    title: str
    citation: str
    doi: str
    published: str
    factor: float
    tree: dict[str, Any]
    applies_to: str
    dominance: str | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominance:
    """A published relation of dominance and selection; attributes as in `Published`."""

    title: str
    citation: str
    doi: str
    tree: dict[str, Any] = field(default_factory=dict)


def _gamma(mean: float, shape: float) -> dict[str, Any]:
    return {"kind": "gamma", "mean": mean, "shape": shape}


_NONSYNONYMOUS = "nonsynonymous mutations, 2.31 of 3.31 (70 %) of those in coding sequence"
_KIM_2N = 2 * 12_378
_KIM_MEAN = -0.186 * 875 * 2 / _KIM_2N
_LN2 = 0.6931471805599453

DFES: dict[str, Published] = {
    "eyre-walker2006": Published(
        title="Gamma, as used by Harris and Nielsen 2016 and Petr et al. 2019",
        citation="Eyre-Walker, Woolfit and Phelps 2006, Genetics 173, 891-900",
        doi="10.1534/genetics.106.057570",
        published="shape 0.23, mean s 0.043 (SLiM's convention, in the scripts of Petr et al. 2019)",
        factor=1.0,
        tree=_gamma(-0.043, 0.23),
        applies_to="amino-acid changing mutations; Harris and Nielsen and Petr et al. apply it to whole exons",
        remark="Whether the s of the publication is that of a heterozygote is not settled; if so, the effects double.",
    ),
    "boyko2008": Published(
        title="Gamma from African Americans",
        citation="Boyko et al. 2008, PLoS Genetics 4, e1000083",
        doi="10.1371/journal.pgen.1000083",
        published="shape 0.184, scale 8,200 in 2Ns with N = 25,636 (fitness 1 + 2s)",
        factor=2.0,
        tree=_gamma(-2 * 0.184 * 8200 / (2 * 25_636), 0.184),
        applies_to=_NONSYNONYMOUS,
        remark="Read in the scripts of Kyriazis et al. (their figure 1) and of PReFerSim, which agree.",
    ),
    "kim2017": Published(
        title="Gamma from 432 Europeans",
        citation="Kim, Huber and Lohmueller 2017, Genetics",
        doi="10.1534/genetics.116.197145",
        published="shape 0.186, scale 875 in 2Ns with N = 12,378 (fitness 1 + 2s)",
        factor=2.0,
        tree=_gamma(_KIM_MEAN, 0.186),
        applies_to=_NONSYNONYMOUS,
        remark="stdpopsim's Gamma_K17.",
    ),
    "huber2017": Published(
        title="Gamma, all data",
        citation="Huber, Kim, Marsden and Lohmueller 2017, PNAS",
        doi="10.1073/pnas.1619508114",
        published="shape 0.19, mean 0.014 (fitness 1 + 2s)",
        factor=2.0,
        tree=_gamma(-0.028, 0.19),
        applies_to=_NONSYNONYMOUS,
        remark="stdpopsim's Gamma_H17.",
    ),
    "huber2017-lognormal": Published(
        title="Lognormal, recent estimates of the mutation rate",
        citation="Huber, Kim, Marsden and Lohmueller 2017, PNAS",
        doi="10.1073/pnas.1619508114",
        published="mean -7.37 and standard deviation 4.58 of ln s (fitness 1 + 2s)",
        factor=2.0,
        tree={"kind": "lognormal", "mu": -7.37 + _LN2, "sigma": 4.58},
        applies_to=_NONSYNONYMOUS,
        remark="stdpopsim's LogNormal_H17. Its tail is long: see the share above 1.",
    ),
    "kyriazis2023": Published(
        title="Gamma of Kim et al. 2017 with 0.3 % recessive lethals",
        citation="Kyriazis, Robinson and Lohmueller 2023, American Naturalist",
        doi="10.1086/726736",
        published="shape 0.186, mean 0.0131 (fitness 1 + s), and 0.3 % with s = -1",
        factor=1.0,
        tree={
            "kind": "mixture",
            "components": [
                {"share": 0.997, "dfe": _gamma(-0.0131, 0.186)},
                {"share": 0.003, "dfe": {"kind": "point", "s": -1.0}},
            ],
        },
        applies_to=_NONSYNONYMOUS,
        dominance="kyriazis2023",
        remark="stdpopsim's Mixed_K23. Use it with its own dominance: additive lethals would halve carriers' fitness.",
    ),
}

DOMINANCES: dict[str, Dominance] = {
    "kyriazis2023": Dominance(
        title="h = 0.45, 0.2, 0.05 and 0 for |s| up to 0.001, 0.01, 0.1 and above",
        citation="Kyriazis, Robinson and Lohmueller 2023, American Naturalist (after Henn et al. 2016)",
        doi="10.1086/726736",
        tree={"kind": "classes", "breaks": [0.001, 0.01, 0.1], "values": [0.45, 0.2, 0.05, 0.0]},
    ),
    "kim2018": Dominance(
        title="h = 0.5 / (1 + 7071.07 |s|)",
        citation="Kim, Huber and Lohmueller 2018, PLoS Genetics 14, e1007741",
        doi="10.1371/journal.pgen.1007741",
        tree={"kind": "hs", "h0": 0.5, "k": 7071.07},
    ),
}


def dfe(name: str, where: str = "DFE") -> Published:
    """Return the distribution of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in DFES:
        raise InputError(where, name, f"one of {', '.join(DFES)}", nearest(name, DFES))
    return DFES[name]


def dominance(name: str, where: str = "dominance") -> Dominance:
    """Return the dominance of that name; errors as in `dfe`."""
    if name not in DOMINANCES:
        raise InputError(where, name, f"one of {', '.join(DOMINANCES)}", nearest(name, DOMINANCES))
    return DOMINANCES[name]
