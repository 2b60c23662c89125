# SPDX-License-Identifier: GPL-3.0-or-later
"""Of how many individuals a person has DNA: in the native engine, and in a simulation that shares nothing with it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from admix.engines.native.backward import Backward, Material
from admix.engines.native.branch import Branch

__all__ = ["genetic_ancestors", "plain_ancestors"]


def genetic_ancestors(branch: Branch, deme: int, person: int, last: int, ago: Sequence[int]) -> list[int]:
    """Return how many individuals one person has DNA of, for each number of generations ``ago``."""
    held: dict[int, int] = {}

    def seen(material: Material) -> None:
        held[last - material.tick] = material.holders()

    backward = Backward(
        branch.tables, branch.world.workers, branch.pedigree,
        lambda purpose, d, tick: int(branch.world.stream_key(purpose, d)),
        lambda tick: {d: branch.schedule.size(d, tick) for d in branch.pedigree.births[tick]},
        {last: {deme: np.array([person])}}, nodes=False,
    )  # fmt: skip
    backward.run(last, last - max(ago), seen)
    return [held[k] for k in ago]


def plain_ancestors(morgans: np.ndarray, n: int, ago: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Return the same for a person of ``n`` in a Wright-Fisher population without interference, the plain way."""
    now = {(-1, strand): [(c, 0.0, length) for c, length in enumerate(morgans)] for strand in (0, 1)}
    found = {}
    for k in range(1, max(ago) + 1):
        before: dict[tuple[int, int], list[tuple[int, float, float]]] = {}
        for pieces in now.values():
            parent = int(rng.integers(n))
            cuts = [np.sort(rng.random(rng.poisson(length)) * length) for length in morgans]
            coins = rng.integers(0, 2, len(morgans))
            for c, a, b in pieces:
                inside = cuts[c][(cuts[c] > a) & (cuts[c] < b)]
                first = coins[c] + int((cuts[c] <= a).sum())
                for i, (x, y) in enumerate(pairwise([a, *inside, b])):
                    before.setdefault((parent, int(first + i) % 2), []).append((c, x, y))
        now = {}
        for haplotype, pieces in before.items():
            joined: list[tuple[int, float, float]] = []
            for c, a, b in sorted(pieces):
                if joined and joined[-1][0] == c and a <= joined[-1][2]:
                    joined[-1] = c, joined[-1][1], max(b, joined[-1][2])
                else:
                    joined.append((c, a, b))
            now[haplotype] = joined
        found[k] = len({parent for parent, _ in now})
    return [found[k] for k in ago]
