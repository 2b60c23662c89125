# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole-genome, unscaled forward simulation of archaic admixture with linked purifying selection.

The public names are loaded on first use, so that ``import admix`` and ``admix --help`` stay quick.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name -> (module, name there)
_PUBLIC = {
    "AdmixError": ("admix.errors", "AdmixError"),
    "estimate": ("admix.simulate", "estimate"),
    "Genome": ("admix.genome", "Genome"),
    "genome_from_files": ("admix.genome", "from_files"),
    "InputError": ("admix.errors", "InputError"),
    "load_scenario": ("admix.scenario", "load"),
    "read_run": ("admix.results", "read_run"),
    "run": ("admix.simulate", "run"),
    "RunError": ("admix.errors", "RunError"),
    "Result": ("admix.api.result", "Result"),
    "RunOptions": ("admix.simulate", "RunOptions"),
    "Scenario": ("admix.scenario", "Scenario"),
    "scenario_names": ("admix.scenario", "names"),
    "shipped_genome": ("admix.genome", "shipped"),
    # the module itself, which can be called
    "simulate": ("admix.simulate", ""),
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    try:
        module, attribute = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(module), attribute) if attribute else import_module(module)


def __dir__() -> list[str]:
    return sorted(__all__)
