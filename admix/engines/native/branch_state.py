# SPDX-License-Identifier: GPL-3.0-or-later
"""A branch under way as plain arrays and back, so that another process can go on with it to the same bits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from admix.engines.native.pedigree import Birth
from admix.engines.native.snapshot import Arrays, pack_world, unpack_worlds
from admix.engines.native.world import Group, every

if TYPE_CHECKING:
    from admix.engines.native.branch import Branch

__all__ = ["pack_branch", "unpack_branch"]

_ROWS = ("trajectory", "pulse", "spread")


def pack_branch(branch: Branch, tick: int, since: int) -> tuple[Arrays, dict[str, Any]]:
    """Return all that decides what a branch will do and say after a tick: arrays, and their description.

    Parameters
    ----------
    tick
        The last tick that was played.
    since
        Ticks since the last pulse.
    """
    arrays = pack_world(branch.world)
    # not Pedigree.pack, which doesn't keep pulses apart; and each array once, as there may be thousands
    groups: list[list[Any]] = []
    parents: dict[int, list[np.ndarray]] = {}
    rows: list[np.ndarray] = []
    for at, births in branch.pedigree.births.items():
        for deme, birth in births.items():
            parents.setdefault(deme, []).append(birth.parents)
            for group in birth.groups:
                whole = len(group.rows) == len(birth.parents)
                rows += [] if whole else [np.asarray(group.rows, np.int64)]
                groups.append(
                    [at, deme, len(birth.parents), birth.parents.dtype.str, group.source, group.plane, group.pulse,
                     -1 if whole else len(group.rows)]
                )  # fmt: skip
    arrays |= {f"birth{deme}": _bytes(found) for deme, found in parents.items()}
    arrays["birth_rows"] = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    for plane, values in branch.paths.items():
        arrays |= {f"paths{plane}_{deme}": v for deme, v in values.items()}
    records = branch.records
    arrays |= {f"landscape{i}": values for i, (_, values) in enumerate(records.landscape)}
    arrays |= {f"sampled{at}_{deme}": marks for (at, deme), marks in branch.sampled_marks.items()}
    told = {name: getattr(records, name) for name in _ROWS}
    told["landscape"] = [labels for labels, _ in records.landscape]
    # a description may hold no nan, and rows do
    arrays["records"] = np.frombuffer(json.dumps(told, default=_plain).encode(), np.uint8)
    content = {
        "title": f"branch {branch.plan.branch}, unfinished", "tick": tick, "since": since, "groups": groups,
        "sizes": [[at, deme, n] for at, sizes in branch.pedigree.sizes.items() for deme, n in sizes.items()],
    }  # fmt: skip
    return arrays, content


def unpack_branch(branch: Branch, arrays: Arrays, content: dict[str, Any]) -> tuple[int, int]:
    """Bring a new branch to where `pack_branch` left it; return tick and ``since``.

    Raises
    ------
    KeyError, ValueError
        If the arrays are not those of this branch.
    """
    unpack_worlds(branch.world, [{name: a for name, a in arrays.items() if not name.startswith("birth")}])
    births: dict[tuple[int, int], tuple[np.ndarray, list[Group]]] = {}
    at_byte: dict[int, int] = {}
    at_row = 0
    for tick, deme, length, dtype, source, plane, pulse, count in content["groups"]:
        if (tick, deme) not in births:
            size = length * np.dtype(dtype).itemsize
            begin = at_byte.get(deme, 0)
            births[tick, deme] = arrays[f"birth{deme}"][begin : begin + size].view(dtype).copy(), []
            at_byte[deme] = begin + size
        if count < 0:
            rows = every(length)
        else:
            rows = arrays["birth_rows"][at_row : at_row + count]
            at_row += count
        births[tick, deme][1].append(Group(source, rows, plane, pulse))
    for (tick, deme), (parents, groups) in births.items():
        branch.pedigree.births.setdefault(tick, {})[deme] = Birth(parents, tuple(groups))
    for tick, deme, n in content["sizes"]:
        branch.pedigree.sizes.setdefault(tick, {})[deme] = n
    told = json.loads(arrays["records"].tobytes())
    for name in _ROWS:
        setattr(branch.records, name, told[name])
    branch.records.landscape = [(labels, arrays[f"landscape{i}"]) for i, labels in enumerate(told["landscape"])]
    for name, values in arrays.items():
        if name.startswith("paths"):
            plane, deme = map(int, name[5:].split("_"))
            branch.paths[plane][deme] = values
        elif name.startswith("sampled"):
            tick, deme = map(int, name[7:].split("_"))
            branch.sampled_marks[tick, deme] = values
    return int(content["tick"]), int(content["since"])


def _bytes(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrays of several types of number as bytes, one after the other."""
    return np.concatenate([np.ascontiguousarray(a).view(np.uint8) for a in arrays])


def _plain(value: Any) -> Any:
    return value.item()
