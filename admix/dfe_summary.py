# SPDX-License-Identifier: GPL-3.0-or-later
"""What a distribution of fitness effects amounts to: mean, shares by strength, what lies beyond a lethal effect.

Also the gate through which distributions of other programs come in: `from_mutation_types` turns a list of SLiM-like
mutation types into a distribution of this program, and refuses one whose sign is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from admix import dfe_catalog
from admix.errors import InputError, RunError
from admix.scenario_yaml import write
from admix.selection import Selection
from admix.strict import explain

__all__ = ["DECADES", "Summary", "from_mutation_types", "from_stdpopsim", "list_text", "show_text", "summarise"]

Floats = npt.NDArray[np.float64]

DECADES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Limits of \\|s\\| between the shares of `Summary.shares`."""
_STDPOPSIM = "stdpopsim:"


class Distribution(Protocol):
    """A distribution of -s."""

    def costs(self, u: Floats) -> Floats: ...
    def probability(self, cost: Floats) -> Floats: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A distribution in numbers.

    Attributes
    ----------
    mean : float
        Mean of s, with what is stronger than lethal cut to -1.
    shares : tuple of float
        Shares of mutations by \\|s\\|: below the first of `DECADES`, between them, and above the last.
    above_one : float
        Share with \\|s\\| > 1 before the cut.
    nearly_neutral : float
        Share with 1/(2 x 10,000) < \\|s\\| < 1/(2 x 1,000): drift rules it in the smaller population alone.
    """

    mean: float
    shares: tuple[float, ...]
    above_one: float
    nearly_neutral: float


def summarise(dfe: Distribution) -> Summary:
    """Return the numbers of a distribution.

    The mean is the integral of P(-s > c) over c from 0 to 1, by the trapezoidal rule in ln c.
    """
    cost = np.geomspace(1e-14, 1.0, 40_001)
    tail = (1 - dfe.probability(cost)) * cost
    mean = float((tail[1:] + tail[:-1]).sum() / 2 * np.log(cost[1] / cost[0]))
    below = dfe.probability(np.array(DECADES))
    edges = dfe.probability(np.array([1 / 20_000, 1 / 2_000, 1.0]))
    return Summary(
        mean=-mean,
        shares=tuple(float(x) for x in np.diff(np.concatenate([[0.0], below, [1.0]]))),
        above_one=float(1 - edges[2]),
        nearly_neutral=float(edges[1] - edges[0]),
    )


def list_text() -> str:
    """Return a line for each distribution of the catalog, and for each dominance."""
    width = max(map(len, [*dfe_catalog.DFES, *dfe_catalog.DOMINANCES])) + 2
    lines = ["selection.dfe: {kind: named, name: NAME}"]
    for name, entry in dfe_catalog.DFES.items():
        lines.append(f"  {name:<{width}}mean s {summarise(_parse(entry.tree)).mean:8.4f}  {entry.title}")
    lines += ["", "selection.dominance: {kind: named, name: NAME}"]
    lines += [f"  {name:<{width}}{entry.title}" for name, entry in dfe_catalog.DOMINANCES.items()]
    return "\n".join(lines)


def show_text(name: str) -> str:
    """Return all that is known of one distribution of the catalog, or of stdpopsim's (``stdpopsim:HomSap/ID``).

    Raises
    ------
    InputError
        If there is no such distribution, or it cannot be used.
    """
    if name.startswith(_STDPOPSIM):
        tree, dominance = from_stdpopsim(name)
        rows = [("name", name)]
    else:
        entry = dfe_catalog.dfe(name, "dfe show NAME")
        tree = {"kind": "named", "name": name}
        dominance = {"kind": "named", "name": entry.dominance} if entry.dominance else None
        rows = [
            ("name", name), ("what", entry.title), ("citation", f"{entry.citation}, doi:{entry.doi}"),
            ("as published", entry.published), ("mutations", entry.applies_to), ("remark", entry.remark),
            ("dadi to SLiM", f"published s times {entry.factor:g}"),
        ]  # fmt: skip
    found = summarise(_parse(tree))
    rows += [
        ("convention", "homozygote 1 + s, heterozygote 1 + hs (SLiM's)"),
        ("mean of s", f"{found.mean:.6g} (what is above 1 cut to 1)"),
        ("share above 1", f"{found.above_one:.3g}"),
        (
            "nearly neutral",
            f"{100 * found.nearly_neutral:.1f} % with 1/20,000 < |s| < 1/2,000: in N = 1,000, not 10,000",
        ),
    ]
    limits = ["0", *(f"{x:g}" for x in DECADES), "more"]
    for low, high, share in zip(limits, limits[1:], found.shares, strict=False):
        rows.append((f"|s| {low} to {high}" if high != "more" else f"|s| above {low}", f"{100 * share:5.1f} %"))
    width = max(len(label) for label, _ in rows) + 2
    lines = [f"{label:<{width}}{text}" for label, text in rows if text]
    block: dict[str, Any] = {"selection": {"dfe": tree}}
    if dominance is not None:
        block["selection"]["dominance"] = dominance
    return "\n".join([*lines, "", write(block).rstrip()])


def _parse(tree: dict[str, Any]) -> Any:
    try:
        return Selection.model_validate({"dfe": tree, "dominance": 0.5, "mutation_rate": 1e-8}).dfe
    except ValidationError as error:
        raise explain(error, Selection) from error


def from_mutation_types(
    types: Sequence[tuple[float, str, Sequence[float]]], where: str = "DFE"
) -> tuple[dict[str, Any], float]:
    """Return a distribution written as a scenario does, and the share of mutations that it applies to.

    Parameters
    ----------
    types
        (proportion, distribution type, arguments) in stdpopsim's words: ``f`` (s), ``g`` (mean, shape), ``e`` (mean),
        ``ln`` and ``lp`` (mean and standard deviation of ln \\|s\\|; harmful, beneficial).
    where
        For messages.

    Raises
    ------
    InputError
        If most mutations with an effect are beneficial (a wrong sign or swapped proportions), or any are, as this
        program has none; or for a distribution type that it does not know.
    """
    total = sum(share for share, _, _ in types)
    if not types or abs(total - 1) > 1e-6 or any(share < 0 for share, _, _ in types):
        raise InputError(where, [share for share, _, _ in types], "proportions of at least 0 that add up to 1")
    harmful: list[tuple[float, dict[str, Any]]] = []
    beneficial = 0.0
    for share, kind, arguments in types:
        if share == 0 or (kind in ("f", "g", "e") and arguments[0] == 0):
            continue
        if kind == "lp" or (kind in ("f", "g", "e") and arguments[0] > 0):
            beneficial += share
        elif kind == "f":
            harmful.append((share, {"kind": "point", "s": float(arguments[0])}))
        elif kind in ("g", "e"):
            shape = float(arguments[1]) if kind == "g" else 1.0
            harmful.append((share, {"kind": "gamma", "mean": float(arguments[0]), "shape": shape}))
        elif kind == "ln":
            harmful.append((share, {"kind": "lognormal", "mu": float(arguments[0]), "sigma": float(arguments[1])}))
        else:
            raise InputError(where, kind, "mutation types f, g, e, ln and lp")
    bad = sum(share for share, _ in harmful)
    if beneficial > bad:
        raise InputError(
            where, f"{100 * beneficial:.3g} % beneficial and {100 * bad:.3g} % harmful mutations",
            "a harmful majority: a sign is wrong, or two proportions are swapped",
        )  # fmt: skip
    if beneficial > 0:
        raise InputError(where, f"{100 * beneficial:.3g} % beneficial mutations", "harmful and neutral ones only")
    if not harmful:
        return {"kind": "neutral"}, 0.0
    if len(harmful) == 1:
        return harmful[0][1], bad
    return {"kind": "mixture", "components": [{"share": share / bad, "dfe": tree} for share, tree in harmful]}, bad


def from_stdpopsim(name: str) -> tuple[dict[str, Any], Any]:
    """Return (distribution, dominance or None) of ``stdpopsim:SPECIES/ID``, checked on the way in.

    Raises
    ------
    RunError
        If stdpopsim is not installed.
    InputError
        If there is no such distribution, or as in `from_mutation_types`.
    """
    try:
        import stdpopsim
    except ImportError as error:
        raise RunError(name, "stdpopsim is not installed", "pip install stdpopsim") from error
    species, slash, wanted = name.removeprefix(_STDPOPSIM).partition("/")
    try:
        if not slash:
            raise ValueError("no /")
        found = stdpopsim.get_species(species).get_dfe(wanted)
    except ValueError as error:
        raise InputError("DFE", name, "stdpopsim:SPECIES/ID, as in stdpopsim:HomSap/Gamma_K17") from error
    types = [
        (float(share), str(made.distribution_type), [float(x) for x in made.distribution_args])
        for share, made in zip(found.proportions, found.mutation_types, strict=True)
    ]
    tree, _ = from_mutation_types(types, name)
    return tree, _dominance(found)


def _dominance(found: Any) -> Any:
    """Return the dominance of the commonest type of harmful mutations."""
    types = [
        (share, made) for share, made in zip(found.proportions, found.mutation_types, strict=True)
        if share > 0 and not (made.distribution_type == "f" and made.distribution_args[0] == 0)
    ]  # fmt: skip
    if not types:
        return None
    made = max(types, key=lambda pair: pair[0])[1]
    if made.dominance_coeff_list is None:
        return float(made.dominance_coeff)
    breaks, values = made.dominance_coeff_breaks, made.dominance_coeff_list
    return {"kind": "classes", "breaks": [abs(float(x)) for x in breaks], "values": [float(x) for x in values]}
