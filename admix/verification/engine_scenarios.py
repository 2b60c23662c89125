# SPDX-License-Identifier: GPL-3.0-or-later
"""The small scenarios in which the two engines are compared; one year is one generation, so dates are ticks ago."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["BASE", "SCENARIOS", "tree_of"]


def _deme(name: str, *epochs: tuple[int, int], ancestor: str | None = "ancestral") -> dict[str, Any]:
    deme: dict[str, Any] = {"name": name, "epochs": [{"end_time": end, "start_size": n} for end, n in epochs]}
    return deme | ({"ancestors": [ancestor]} if ancestor else {})


def _demography(*demes: dict[str, Any], migrations: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    block: dict[str, Any] = {
        "time_units": "years", "generation_time": 1,
        "demes": [_deme("ancestral", (400, 200), ancestor=None), *demes],
    }  # fmt: skip
    return block | ({"migrations": list(migrations)} if migrations else {})


_ARCHAIC = _deme("archaic", (30, 30))
_MODERN = _deme("modern", (0, 200))
BASE: dict[str, Any] = {
    "title": "A comparison of engines",
    "demography": _demography(_MODERN, _ARCHAIC),
    "genome": {"source": "human_autosomes_GRCh37", "target": "exons", "chromosomes": [20, 21, 22]},
    # 4.5 Mb of exons: U = 0.36 a gamete, half of the human exome's
    "selection": {"mutation_rate": 8e-8, "dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23}, "dominance": 0.5},
    "pulse": [{"name": "pulse", "source": "archaic", "target": "modern", "time": 40, "share": 0.1}],
    "start": {"mode": "stationary", "relax": 100},
    "sampling": {"individuals": [{"deme": "modern", "time": 0, "n": 30}]},
}

SCENARIOS: dict[str, dict[str, Any]] = {
    "additive": {},
    "recessive": {"selection": BASE["selection"] | {"dominance": 0.0}},
    "dominance falls with effect": {
        "selection": BASE["selection"] | {"dominance": {"kind": "hs", "h0": 0.5, "k": 500.0}},
    },
    "two sources, F1 and gametes": {
        "demography": _demography(_MODERN, _ARCHAIC, _deme("other", (15, 60))),
        "pulse": [
            {"name": "one", "source": "archaic", "target": "modern", "time": 40, "share": 0.1, "unit": "F1"},
            {"name": "two", "source": "other", "target": "modern", "time": 30, "share": 0.1, "unit": "gametes"},
            {"name": "three", "source": "archaic", "target": "modern", "time": 30, "share": 0.05, "mode": "binomial"},
        ],
    },
    "bottleneck and migration": {
        "demography": _demography(
            _deme("modern", (38, 200), (25, 60), (0, 300)), _deme("archaic", (5, 30)),
            migrations=(
                {"source": "archaic", "dest": "modern", "rate": 0.005, "start_time": 35, "end_time": 10},
                {"source": "modern", "dest": "archaic", "rate": 0.02, "start_time": 20, "end_time": 10},
            ),
        ),
    },
    "one chromosome, strong effects": {
        "genome": BASE["genome"] | {"chromosomes": [22]},
        "selection": {"mutation_rate": 2e-7, "dfe": {"kind": "point", "s": -0.03}, "dominance": 0.25},
    },
}  # fmt: skip
"""What each scenario changes in `BASE`."""


def tree_of(name: str) -> dict[str, Any]:
    """Return the tree of a scenario."""
    return copy.deepcopy(BASE | SCENARIOS[name] | {"name": "engines"})
