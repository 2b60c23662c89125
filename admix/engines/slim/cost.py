# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run in SLiM will cost, told before it starts.

A tick of SLiM costs each child a part for crossovers, a part for the mutations that its haplosomes carry, one for
ancestry markers and one for recorded genealogy. The rates were fitted to SLiM 5.2 on an AMD EPYC (docs/slim.md) and
are multiplied by what a small piece of work takes on this machine, now.
"""

from __future__ import annotations

import tempfile
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

from admix.engines.native import start
from admix.engines.native.snapshot import pack_world
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.engines.slim import program
from admix.engines.slim.branch import write_state
from admix.engines.slim.model import SCRIPT, Model, effects_of, write_model
from admix.genome import shipped
from admix.selection import Gamma, Selection
from admix.spectrum import StationarySpectrum

__all__ = ["carried", "load_seconds", "machine_factor", "tick_seconds"]

MORGAN_SECONDS = 1.75e-6
"""A child's cost for a Morgan of map."""
MUTATION_SECONDS = 5.6e-8
"""A child's cost for each mutation that a haplosome carries on average."""
MARKER_SECONDS = 3.8e-9
"""A person's cost for each ancestry marker and source."""
RECORD_SECONDS = 3.9e-6
"""A child's cost for a Morgan of recorded genealogy, simplification included."""
LOAD_SECONDS, LOAD_MUTATION_SECONDS = 6e-6, 3e-8
"""A person's cost where the load of archaic alleles is measured, and for each mutation carried."""
START_SECONDS = 2.0
"""Writing tables, starting SLiM, reading what it wrote."""
STATE_SECONDS = 2.4e-7
"""Writing and reading one mutation of one haplotype in a population file."""
BYTES_PER_MUTATION = 24
"""Memory of SLiM for each mutation of each haplosome: two cohorts, and mutation runs that are not shared."""
_PILOT = {"n": 200, "ticks": 120}


def carried(spectrum: StationarySpectrum, n: float) -> float:
    """Segregating mutations that a haplotype carries in a deme of ``n``, from the ancestor's spectrum.

    They grow with size to the power 0.75, fitted to theory between 500 and 2,000 people.
    """
    counts = spectrum.expected_counts()
    if len(counts) != 2 * spectrum.N - 1:
        return 0.0
    share = np.arange(1, len(counts) + 1) / (2 * spectrum.N)
    return float((counts * share).sum() * (n / spectrum.N) ** 0.75)


def tick_seconds(n: float, morgans: float, mutations: float, markers: float = 0.0, *, trees: bool = False) -> float:
    """Seconds of a tick of a deme of ``n`` people whose haplotypes carry so many mutations; ``markers`` are those of
    all sources together."""
    child = MORGAN_SECONDS * morgans + MUTATION_SECONDS * mutations + MARKER_SECONDS * markers
    return n * (child + (RECORD_SECONDS * morgans if trees else 0.0)) + 3e-4


def load_seconds(n: float, mutations: float) -> float:
    """Seconds to measure the load of archaic alleles of ``n`` people."""
    return n * (LOAD_SECONDS + LOAD_MUTATION_SECONDS * mutations)


@lru_cache(maxsize=2)
def machine_factor(slim: str) -> float:
    """Return how much longer SLiM takes on this machine, now, than the rates say: a pilot of about a second."""
    genome = shipped("exons", ["20", "21", "22"])
    selection = Selection(dfe=Gamma(mean=-0.043, shape=0.23), dominance=0.5, mutation_rate=5e-8)
    tables, n = build_tables(genome, selection), _PILOT["n"]
    spectrum = StationarySpectrum(n, tables.s_nodes, tables.h_bins, tables.mutation_mean)
    rng = np.random.default_rng(1)
    world = World(tables, ("pilot",), lambda purpose, deme: 1, Workers(1))
    start.found(world, 0, n, spectrum.draw(rng), rng, 0)
    seconds: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory(prefix="admix-pilot-") as name:
        folder = Path(name)
        for part in ("in", "out"):
            (folder / part).mkdir()
        arrays = pack_world(world)
        for k, last in enumerate((2, 2 + _PILOT["ticks"]) * 3):
            model = Model(start=0, last=last, mutation_rate=5e-8, report_every=10**6)
            write_model(genome, effects_of(tables), model, folder / "in")
            write_state(genome, tables, arrays, [0], folder / "in" / "population")
            words = program.command(slim, SCRIPT, 1, model.constants(folder / "in", folder / "out"))
            begun = time.monotonic()
            program.run(words, folder / "log")
            seconds[k % 2].append(time.monotonic() - begun)
    expected = _PILOT["ticks"] * tick_seconds(n, genome.morgans, carried(spectrum, n))
    # other work on the machine only ever adds to a time
    return float(np.clip((min(seconds[1]) - min(seconds[0])) / expected, 0.2, 10.0))
