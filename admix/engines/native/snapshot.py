# SPDX-License-Identifier: GPL-3.0-or-later
"""A world as plain arrays and back: for the cache, for checkpoints, and to bring lineages together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from admix.engines.native.bits import ALL
from admix.engines.native.mutations import COLUMNS
from admix.engines.native.state import Deme, Rows, layout_of
from admix.engines.native.strands import PAD
from admix.engines.native.world import World

Arrays = dict[str, np.ndarray]


def pack_world(world: World) -> Arrays:
    """Return everything that decides a world's future, with mutation ids renumbered from 0.

    Keys: ``mutation_COLUMN``; for deme i ``deme{i}_ids`` (common sites, in order of position), ``_bits``,
    ``_rare`` (ids, all haplotypes in a row), ``_n_rare``, ``_fixed``, and ``_marks`` where there are any.
    """
    used = np.zeros(world.mutations.capacity, bool)
    lists = {}
    for i, deme in world.demes.items():
        rows = deme.rows
        inside = np.arange(rows.rare.shape[1]) < rows.n_rare[:, None]
        rare = (rows.rare[inside] & np.uint64(0xFFFFFFFF)).astype(np.int32)
        lists[i] = rare
        used[rare] = used[deme.layout.ids] = used[deme.fixed] = True
    number = (np.cumsum(used) - 1).astype(np.int32)
    arrays: Arrays = {f"mutation_{name}": world.mutations[name][used] for name in COLUMNS}
    for i, deme in world.demes.items():
        arrays[f"deme{i}_ids"] = number[deme.layout.ids]
        arrays[f"deme{i}_bits"] = deme.rows.bits
        arrays[f"deme{i}_rare"] = number[lists[i]]
        arrays[f"deme{i}_n_rare"] = deme.rows.n_rare
        arrays[f"deme{i}_fixed"] = number[deme.fixed]
        if world.n_planes:
            arrays[f"deme{i}_marks"] = deme.rows.marks
    return arrays


def unpack_worlds(world: World, packed: Sequence[Arrays]) -> None:
    """Fill an empty world with the demes of one or more packed ones.

    A mutation with the same ``uid`` in several is one mutation: it arose before they parted.
    """
    uid = np.concatenate([arrays["mutation_uid"] for arrays in packed])
    _, first, which = np.unique(uid, return_index=True, return_inverse=True)
    ids = world.mutations.take(len(first))
    for name in COLUMNS:
        world.mutations[name][ids] = np.concatenate([arrays[f"mutation_{name}"] for arrays in packed])[first]
    at = 0
    for arrays in packed:
        n = len(arrays["mutation_uid"])
        _add_demes(world, arrays, ids[which[at : at + n]])
        at += n


def _add_demes(world: World, arrays: Arrays, number: np.ndarray) -> None:
    for name in [key for key in arrays if key.startswith("deme") and key.endswith("_ids")]:
        i = int(name[4:-4])
        mark_words = world.tables.mark_words
        layout = layout_of(number[arrays[f"deme{i}_ids"]], world.mutations)
        n_rare = arrays[f"deme{i}_n_rare"]
        keys = world.mutations.key(number[arrays[f"deme{i}_rare"]])
        n2 = len(n_rare)
        rows = Rows.empty(n2, layout.n_words, 2 * int(n_rare.max(initial=0)) + 4 * PAD, world.n_planes, mark_words)
        rows.n_rare[:] = n_rare
        rows.rare.fill(ALL)
        rows.rare[np.arange(rows.rare.shape[1]) < n_rare[:, None]] = keys
        # keys hold ids in their low half: new ids may change the order of mutations at one position
        ends = np.cumsum(n_rare)
        for row, start, end in zip(rows.rare, ends - n_rare, ends, strict=True):
            row[: end - start].sort()
        bits = _reorder(arrays[f"deme{i}_bits"], number[arrays[f"deme{i}_ids"]], layout.ids)
        width = min(bits.shape[1], layout.n_words)  # rows may be longer than their sites need, by any length
        rows.bits[:, :width] = bits[:, :width]
        if f"deme{i}_marks" in arrays:
            rows.marks[:] = arrays[f"deme{i}_marks"]
        deme = Deme(i, rows, layout, number[arrays[f"deme{i}_fixed"]])
        world.demes[i] = deme
        world.refresh(deme)


def _reorder(bits: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Rows of bits for sites in the order ``old``, brought into the order ``new`` of the same ids."""
    if np.array_equal(old, new):
        return bits
    out = np.zeros_like(bits)
    order = np.argsort(old)
    source = order[np.searchsorted(old[order], new)]
    moved = np.flatnonzero(source != np.arange(len(new)))
    out[:] = bits
    one = np.uint64(1)
    for k in moved:
        j = int(source[k])
        bit = (bits[:, j >> 6] >> np.uint64(j & 63)) & one
        out[:, k >> 6] &= ~(one << np.uint64(k & 63))
        out[:, k >> 6] |= bit << np.uint64(k & 63)
    return out
