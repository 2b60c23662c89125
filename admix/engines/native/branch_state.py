# SPDX-License-Identifier: GPL-3.0-or-later
"""A branch under way as arrays and back, and the records that a finished one has left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from admix.engines.native.pedigree import Birth
from admix.engines.native.snapshot import Arrays, pack_world, unpack_worlds
from admix.engines.native.world import Group, every

if TYPE_CHECKING:
    from admix.engines.native.branch import Branch, Records

STATE_VERSION = 1
"""Of what is written here; raised whenever older states can't be read any more."""
_TABLES = ("trajectory", "pulse", "ancestors", "spread")


class Keeper(Protocol):
    """Where the state of a branch under way is kept."""

    def load(self) -> Arrays | None:
        """Return what was saved last, None where nothing was."""

    def save(self, arrays: Arrays, title: str) -> None:
        """Keep a state instead of the last one."""


def pack_value(value: Any) -> np.ndarray:
    """Return a value as bytes of JSON (uint8); numbers of NumPy become plain ones, and NaN is kept."""
    return np.frombuffer(json.dumps(value, default=lambda number: number.item()).encode(), np.uint8)


def unpack_value(array: np.ndarray) -> Any:
    """Return the value that :func:`pack_value` made bytes of."""
    return json.loads(array.tobytes())


def pack_records(records: Records) -> Arrays:
    """Return records as arrays: ``records`` (JSON) and ``landscape`` float64[rows, markers]."""
    tables = {name: getattr(records, name) for name in _TABLES}
    landscape = [values for _, values in records.landscape]
    return {
        "records": pack_value(tables | {"landscape": [labels for labels, _ in records.landscape]}),
        "landscape": np.stack(landscape) if landscape else np.zeros((0, 0)),
    }


def unpack_records(arrays: Arrays, records: Records) -> Records:
    """Fill empty records with those that :func:`pack_records` made arrays of; return them."""
    found = unpack_value(arrays["records"])
    for name in _TABLES:
        getattr(records, name).extend(found[name])
    records.landscape += list(zip(found["landscape"], arrays["landscape"], strict=True))
    return records


def pack_branch(branch: Branch, tick: int, since: int) -> Arrays:
    """Return everything that decides what a branch will be and record, after ``tick``.

    Besides :func:`pack_world` and :func:`pack_records`: ``state`` (JSON: tick, ticks since the last pulse, sizes,
    names of pulses); ``births`` int64[k, 3] (tick, deme, gametes) and ``parents``, one cohort after another;
    ``groups`` int64[k, 5] (birth, source, plane, pulse or -1, gametes, which count as all of the cohort's where they
    are -1) and ``group_rows``; ``path{plane}_{deme}`` float64[n]; ``sampled{tick}_{deme}``.
    """
    births: list[tuple[int, int, int]] = []
    parents: list[np.ndarray] = []
    groups: list[tuple[int, int, int, int, int]] = []
    rows: list[np.ndarray] = []
    pulses = [pulse.name for pulse in branch.schedule.pulses]
    for at, by_deme in branch.pedigree.births.items():
        for deme, birth in by_deme.items():
            n2 = len(birth.parents)
            for g in birth.groups:
                whole = len(g.rows) == n2 and np.array_equal(g.rows, every(n2))
                pulse = pulses.index(g.pulse) if g.pulse else -1
                groups.append((len(births), g.source, g.plane, pulse, -1 if whole else len(g.rows)))
                if not whole:
                    rows.append(g.rows)
            births.append((at, deme, n2))
            parents.append(birth.parents)
    sizes = [[at, deme, n] for at, by_deme in branch.pedigree.sizes.items() for deme, n in by_deme.items()]
    arrays = pack_world(branch.world) | pack_records(branch.records)
    arrays |= {
        "state": pack_value({"tick": tick, "since": since, "sizes": sizes, "pulses": pulses}),
        "births": np.array(births, np.int64).reshape(-1, 3),
        "parents": np.concatenate(parents) if parents else np.zeros(0, np.uint8),
        "groups": np.array(groups, np.int64).reshape(-1, 5),
        "group_rows": np.concatenate(rows) if rows else np.zeros(0, np.int64),
    }
    for plane, paths in branch.paths.items():
        arrays |= {f"path{plane}_{deme}": values for deme, values in paths.items()}
    arrays |= {f"sampled{at}_{deme}": marks for (at, deme), marks in branch.sampled_marks.items()}
    return arrays


def unpack_branch(branch: Branch, arrays: Arrays) -> tuple[int, int]:
    """Fill a branch that has not run; return (last tick done, ticks since the last pulse)."""
    state = unpack_value(arrays["state"])
    unpack_worlds(branch.world, [arrays])
    unpack_records(arrays, branch.records)
    by_birth: dict[int, list[Group]] = {}
    n2 = arrays["births"][:, 2].tolist()
    at = 0
    for birth, source, plane, pulse, count in arrays["groups"].tolist():
        numbers = every(n2[birth]) if count < 0 else arrays["group_rows"][at : at + count]
        at += max(count, 0)
        name = state["pulses"][pulse] if pulse >= 0 else ""
        by_birth.setdefault(birth, []).append(Group(source, numbers, plane, name))
    at = 0
    for k, (tick, deme, n) in enumerate(arrays["births"].tolist()):
        born = Birth(arrays["parents"][at : at + n], tuple(by_birth.get(k, ())))
        branch.pedigree.births.setdefault(tick, {})[deme] = born
        at += n
    for tick, deme, n in state["sizes"]:
        branch.pedigree.sizes.setdefault(tick, {})[deme] = n
    for name, values in arrays.items():
        kind = next((word for word in ("path", "sampled") if name.startswith(word)), "")
        if kind:
            first, second = (int(part) for part in name[len(kind) :].split("_"))
            if kind == "path":
                branch.paths[first][second] = values
            else:
                branch.sampled_marks[first, second] = values
    return int(state["tick"]), int(state["since"])
