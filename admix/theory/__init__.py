# SPDX-License-Identifier: GPL-3.0-or-later
"""What theory says before the run: ancestry variance, purging, load, survival of ancestors, linked selection.

Generations are counted as in the tables: generation 1 is the cohort in which unmixed individuals of the
source are the pulse's share, generation 2 the first one born in the mixed population. Equilibrium spectra are in
`admix.spectrum`, lengths of tracts in `admix.tract_theory`, the forecast of a whole scenario in `admix.prediction`.
"""

from admix.spectrum import StationarySpectrum, fixation_probability, stationary_density
from admix.theory.ancestors import (
    NEUTRAL_SURVIVAL,
    FounderSurvival,
    ancestral_blocks,
    genealogical_ancestors,
    genetic_ancestors,
    pedigree_survival,
)
from admix.theory.background import (
    BackgroundSelection,
    VarianceComponents,
    background_selection,
    linked_spectrum,
    merged,
)
from admix.theory.fixation import drift_load, fixation_load_rate
from admix.theory.load_history import Effects, Epoch, Lineage, Load, LoadModel, effect_classes
from admix.theory.purging import gamete_cost, uniform_load_trajectory
from admix.theory.recombination import ancestry_variance, haldane, mean_variance, phi, rbar
from admix.theory.two_locus import two_locus_survival, two_locus_trajectory

__all__ = [
    "NEUTRAL_SURVIVAL",
    "BackgroundSelection",
    "Effects",
    "Epoch",
    "FounderSurvival",
    "Lineage",
    "Load",
    "LoadModel",
    "StationarySpectrum",
    "VarianceComponents",
    "ancestral_blocks",
    "ancestry_variance",
    "background_selection",
    "drift_load",
    "effect_classes",
    "fixation_load_rate",
    "fixation_probability",
    "gamete_cost",
    "genealogical_ancestors",
    "genetic_ancestors",
    "haldane",
    "linked_spectrum",
    "mean_variance",
    "merged",
    "pedigree_survival",
    "phi",
    "rbar",
    "stationary_density",
    "two_locus_survival",
    "two_locus_trajectory",
    "uniform_load_trajectory",
]
