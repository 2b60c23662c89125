# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to a scenario from Python: short names for the fields that people vary, and what they do to branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from admix.errors import InputError, nearest
from admix.scenario_yaml import assign

__all__ = ["SHORT", "changed_tree"]

SHORT: Mapping[str, str] = {
    "pulse": "pulse[0].share",
    "pulse_time": "pulse[0].time",
    "mutation_rate": "selection.mutation_rate",
    "dominance": "selection.dominance",
    "dfe": "selection.dfe",
    "target": "genome.target",
    "chromosomes": "genome.chromosomes",
    "name": "name",
    "title": "title",
    "start": "start.mode",
}
"""Path of the field for each short name."""


def changed_tree(tree: dict[str, Any], paths: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Change a tree of dicts and lists in place and return it.

    Branches that differ from one another in nothing else than a field that is set here become one, ``main``.

    Raises
    ------
    InputError
        If there is no such field, or `pulse` is given for several pulses.
    """
    wanted = dict(paths)
    for name, value in fields.items():
        if name not in SHORT:
            rule = f"one of {', '.join(SHORT)}, or a path in a dictionary, as in with_({{'pulse[0].time': 50_000}})"
            raise InputError(f"with_({name}=...)", value, rule, nearest(name, SHORT))
        if SHORT[name].startswith("pulse[0]") and len(tree["pulse"]) > 1:
            given = ", ".join(p["name"] for p in tree["pulse"])
            rule = (
                f"a path, as in with_({{'pulse.{tree['pulse'][0]['name']}.share': 0.1}}): there are several ({given})"
            )
            raise InputError(f"with_({name}=...)", value, rule)
        wanted[SHORT[name]] = list(value) if isinstance(value, tuple) else value
    for path, value in wanted.items():
        full = assign(tree, path, value)
        for branch in tree.get("branches", []):
            (branch.get("set") or {}).pop(full, None)
    branches = tree.get("branches", [])
    if len(branches) > 1 and not any(branch.get("set") for branch in branches):
        tree["branches"] = [{"name": "main"}]
    return tree
