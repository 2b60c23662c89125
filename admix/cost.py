# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run will cost, told before it starts: seconds, memory and disk, from the sizes of its parts.

The rates were fitted to the native engine on two cores of an AMD EPYC; another machine may differ by a factor
of two, and the progress line corrects itself after the first seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

TICK_SECONDS = 2.4e-3
"""Fixed cost of a tick: planning, bookkeeping, handing out work."""
GAMETE_SECONDS = 1.2e-6
"""One gamete without any site: parent, and one crossover a Morgan for 35 M."""
SITE_SECONDS = 7e-11
"""A gamete's cost for each site that is common in its deme, on one thread."""
RARE_SECONDS = 1.1e-8
"""A gamete's cost for each rare mutation that it carries."""
MARKER_SECONDS = 1.3e-10
"""A gamete's cost for each ancestry marker."""
COMPILE_SECONDS = 35.0
"""Compiling the kernels, on their first use after installation."""
SCALING = 0.85
"""Share of an added thread's (or process's) work that is not lost to memory traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What decides the cost of a gamete: Morgans, common sites of the deme, rare mutations a haplotype."""

    morgans: float
    common: float
    rare: float
    markers: int


def tick_seconds(n: float, load: Load, threads: int, planes: int = 0) -> float:
    """Seconds for one tick of a deme of ``n`` individuals."""
    gamete = (
        GAMETE_SECONDS * (0.2 + 0.8 * load.morgans / 35)
        + SITE_SECONDS * load.common
        + RARE_SECONDS * load.rare
        + MARKER_SECONDS * load.markers * planes
    )
    return TICK_SECONDS + 2 * n * gamete / (1 + SCALING * (threads - 1))


def state_bytes(n: float, load: Load, planes: int = 0) -> float:
    """Bytes of a deme while it is simulated: two cohorts and what moving between layouts needs."""
    row = load.common * (1 / 8 + 4 / 64) + 8 * (2.5 * load.rare + 100) + planes * load.markers / 8
    return 2 * n * row * 5


SEGMENT_SECONDS = 5e-8
"""Following one segment of ancestral material back by one tick."""
SAMPLED_TICK_SECONDS = 3e-3
"""Fixed cost of a tick on the way back."""
WRITE_SECONDS = 2.5e-5
"""Turning one segment that is left in the end into edges, and writing them."""


def tree_seconds(n: float, ticks: int, haplotypes: int, morgans: float, threads: int) -> float:
    """Seconds to rebuild and write the genealogy of sampled haplotypes in a deme of ``n`` individuals.

    At a time t, about ``h / (1 + h t / 4n)`` of h lineages are left at a place, each cut t times a Morgan.
    """
    total = last = 0.0
    steps = 64
    for k in range(steps):
        t = (k + 0.5) * ticks / steps
        last = min(haplotypes / (1 + haplotypes * t / (4 * n)) * t * morgans, 0.8 * n * t * morgans)
        total += last * ticks / steps
    climb = (SEGMENT_SECONDS * total + SAMPLED_TICK_SECONDS * ticks) / (1 + SCALING * (threads - 1))
    return climb + WRITE_SECONDS * last
