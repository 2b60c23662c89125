# SPDX-License-Identifier: GPL-3.0-or-later
"""A first cohort drawn from theory: the stationary spectrum, in linkage equilibrium."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from admix.engines.native.bits import ALL, GOLDEN, ONE, below, mix, stream
from admix.engines.native.gametes import set_effects
from admix.engines.native.state import MAX_COMMON_EFFECT, Deme, Rows, layout_of
from admix.engines.native.strands import PAD
from admix.engines.native.world import COMMON, World, room_for

Draw = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Copies (int64), s and h (float64) of each segregating mutation."""


@njit(nogil=True, cache=True)
def scatter(key: Any, keys: Any, counts: Any, sites: Any, bits: Any, rare: Any, n_rare: Any, holders: Any) -> Any:
    """Give each mutation, in order, to ``counts[k]`` haplotypes drawn without replacement.

    ``keys`` uint64[k] ascending; ``sites`` int32[k] is a mutation's bit in ``bits``, or -1: it goes to the rows
    of ``rare``, which are filled in that order, so they end up sorted. ``holders`` int64[2N] is scratch, filled
    with -1. Returns 0, or how wide ``rare`` has to be.
    """
    n = n_rare.shape[0]
    widest = 0
    for k in range(keys.shape[0]):
        state = stream(key, 0, k)
        # whichever is fewer is drawn: those who carry it or those who don't
        invert = 2 * counts[k] > n
        wanted = n - counts[k] if invert else counts[k]
        got = 0
        while got < wanted:
            state += GOLDEN
            drawn = np.int64(below(mix(state), np.uint64(n)))
            if holders[drawn] != k:
                holders[drawn] = k
                got += 1
                if not invert:
                    give(drawn, keys[k], sites[k], bits, rare, n_rare)
        if invert:
            for g in range(n):
                if holders[g] != k:
                    give(g, keys[k], sites[k], bits, rare, n_rare)
    for g in range(n):
        widest = max(widest, n_rare[g])
    return widest + PAD if widest + PAD > rare.shape[1] else 0


@njit(nogil=True)
def give(g: Any, key: Any, site: Any, bits: Any, rare: Any, n_rare: Any) -> None:
    """Put one mutation on haplotype ``g``: its bit, or its key where there is room."""
    if site >= 0:
        bits[g, site >> 6] |= ONE << np.uint64(site & 63)
    else:
        if n_rare[g] < rare.shape[1]:
            rare[g, n_rare[g]] = key
        n_rare[g] += 1


@njit(nogil=True, cache=True)
def effects_of(s: Any, h: Any, ids: Any, effect: Any, correction: Any) -> None:
    """Fill the log effects of mutations ``ids``, whose coefficients are ``s`` and ``h``."""
    for k in range(ids.shape[0]):
        set_effects(s[k], h[k], ids[k], effect, correction)


def add_mutations(
    world: World, rng: np.random.Generator, s: np.ndarray, h: np.ndarray, deme: int, born: int
) -> np.ndarray:
    """Enter mutations at random places of the target into the table; return their ids (int32)."""
    m, t = world.mutations, world.tables
    ids = m.take(len(s))
    site = rng.integers(0, t.target_cum[-1], len(s))
    j = np.searchsorted(t.target_cum, site, side="right") - 1
    offset = (site - t.target_cum[j]).astype(np.uint64)
    length = (t.target_cum[j + 1] - t.target_cum[j]).astype(np.uint64)
    m["axis"][ids] = t.target_axis_start[j] + offset * (t.target_axis_end[j] - t.target_axis_start[j]) // length
    m["site"][ids] = site
    m["s"][ids], m["h"][ids] = s, h
    m["uid"][ids] = rng.integers(0, 1 << 64, len(s), dtype=np.uint64)
    m["born"][ids], m["lineage"][ids] = born, deme
    effects_of(s, h, ids, m["effect"], m["correction"])
    return ids


def found(world: World, deme: int, n: int, draw: Draw, rng: np.random.Generator, born: int) -> None:
    """Make a deme of ``n`` individuals whose mutations are ``draw``, placed independently of each other.

    Mutations get places, identities and carriers at random; ``born`` is written as their tick of birth.
    """
    counts, s, h = draw
    ids = add_mutations(world, rng, s, h, deme, born)
    m = world.mutations
    keys = m.key(ids)
    order = np.argsort(keys)
    ids, keys, counts = ids[order], keys[order], counts[order]
    common = (counts > COMMON * 2 * n) & (np.abs(m["effect"][ids]) <= MAX_COMMON_EFFECT)
    layout = layout_of(ids[common], m)
    sites = np.full(len(ids), -1, np.int32)
    sites[common] = np.arange(common.sum())
    room = room_for(counts[~common].sum() / (2 * n))
    while True:
        rows = Rows.empty(2 * n, layout.n_words, room, world.n_planes, world.tables.mark_words)
        rows.rare.fill(ALL)
        holders = np.full(2 * n, -1, np.int64)
        key = world.stream_key("founders", deme)
        wider = scatter(key, keys, counts, sites, rows.bits, rows.rare, rows.n_rare, holders)
        if not wider:
            break
        room = wider
    world.demes[deme] = Deme(deme, rows, layout, np.zeros(0, np.int32))
    world.refresh(world.demes[deme])
