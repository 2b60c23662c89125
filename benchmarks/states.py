# SPDX-License-Identifier: GPL-3.0-or-later
"""The populations that every engine starts from, made once by the native engine and kept on disk.

A population is drawn from theory (the stationary spectrum, in linkage equilibrium) and then runs forward for some
hundred ticks, so that its mutations are linked as in a running population. Engines differ by what they do with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from admix.cache import Cache, content_key

if TYPE_CHECKING:
    from admix.engines.native.tables import Tables
    from admix.genome import Genome

Arrays = dict[str, np.ndarray]
DFE_MEAN, DFE_SHAPE = -0.043, 0.23
"""Gamma distribution of effects of Eyre-Walker et al. 2006 (doi:10.1534/genetics.106.057570), in SLiM's convention."""
DEME = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a population is.

    Attributes
    ----------
    n
        Diploid individuals.
    target
        Where mutations arise: ``exons`` or ``cds`` of the shipped genome.
    u
        Deleterious mutations per haploid genome and generation; sets the rate per base of the target.
    h
        Dominance of all mutations.
    relax
        Ticks that the population has run forward since it was drawn from theory.
    chromosomes
        Names of the chromosomes, all autosomes where empty.
    """

    n: int = 10_000
    target: str = "cds"
    u: float = 0.25
    h: float = 0.5
    relax: int = 300
    chromosomes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Short name that tells states of one run of the benchmark apart."""
        return f"U={self.u:g} h={self.h:g} N={self.n}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self) | {"chromosomes": list(self.chromosomes)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> State:
        """The reverse of :meth:`to_dict`."""
        return cls(**(fields | {"chromosomes": tuple(fields["chromosomes"])}))

    def genome(self) -> Genome:
        """The human map with this state's target."""
        from admix.genome import shipped

        return shipped(self.target, list(self.chromosomes) or None)

    def tables(self, map_scale: float = 1.0) -> Tables:
        """The native engine's tables; ``map_scale`` multiplies the Morgans of every chromosome."""
        from dataclasses import replace

        from admix.engines.native.tables import build_tables
        from admix.selection import Gamma, Selection

        genome = self.genome()
        selection = Selection(
            dfe=Gamma(mean=DFE_MEAN, shape=DFE_SHAPE),
            dominance=self.h,
            mutation_rate=self.u / genome.functional_bp,
        )
        if map_scale != 1.0:
            genome = replace(genome, chrom_morgans=genome.chrom_morgans * map_scale)
        return build_tables(genome, selection)

    def key(self) -> str:
        """Content key: all that decides the population."""
        from admix.engines.native.history import RESULTS_VERSION

        fields = self.to_dict() | {"dfe": [DFE_MEAN, DFE_SHAPE]}
        return content_key({"benchmark": fields, "genome": self.genome().checksum(), "results": RESULTS_VERSION})


def obtain(state: State, folder: Path, say: Callable[[str], None] = lambda text: None) -> Arrays:
    """Return a population as :func:`admix.engines.native.snapshot.pack_world` writes it, from ``folder`` if it is
    there; else it is made and kept there. Its one deme has the index 0."""
    cache = Cache(folder / "states", say)
    key = state.key()
    found = cache.load(key)
    if found is None:
        arrays = _make(state, key, say)
        cache.save(key, arrays, {"title": state.name})
        return arrays
    return found[0]


def _make(state: State, key: str, say: Callable[[str], None]) -> Arrays:
    from admix import seeds
    from admix.engines.native import start
    from admix.engines.native.snapshot import pack_world
    from admix.engines.native.workers import available_threads
    from admix.theory import linked_spectrum
    from benchmarks.native import Population

    tables = state.tables()
    say(f"{state.name}: spectrum")
    t = tables
    spectrum = linked_spectrum(state.genome(), state.n, t.s_nodes, t.h_bins, t.mutation_mean)
    population = Population(tables, available_threads())
    rng = seeds.generator("benchmark", key, "theory")
    start.found(population.world, DEME, state.n, spectrum.draw(rng), rng, 0)
    say(f"{state.name}: {state.relax} ticks forward")
    population.run(state.relax)
    population.world.rebalance()
    arrays = pack_world(population.world)
    population.close()
    return arrays


def keep_mutations(arrays: Arrays, keep: np.ndarray) -> Arrays:
    """The same population without the mutations for which ``keep`` (bool, one a mutation) is false."""
    number = (np.cumsum(keep) - 1).astype(np.int32)
    out = {name: values[keep] if name.startswith("mutation_") else values for name, values in arrays.items()}
    ids = arrays[f"deme{DEME}_ids"]
    stay = np.flatnonzero(keep[ids])
    bits = arrays[f"deme{DEME}_bits"]
    words = max(1, -(-len(stay) // 64))
    narrow = np.zeros((len(bits), words), np.uint64)
    for first in range(0, len(bits), 1000):
        part = np.unpackbits(bits[first : first + 1000].view(np.uint8), axis=1, bitorder="little")
        flags = np.zeros((len(part), 64 * words), np.uint8)
        flags[:, : len(stay)] = part[:, stay]
        narrow[first : first + 1000] = np.packbits(flags, axis=1, bitorder="little").view(np.uint64)
    rare, n_rare = arrays[f"deme{DEME}_rare"], arrays[f"deme{DEME}_n_rare"]
    held = keep[rare]
    row = np.repeat(np.arange(len(n_rare)), n_rare)
    fixed = arrays[f"deme{DEME}_fixed"]
    return out | {
        f"deme{DEME}_ids": number[ids[stay]],
        f"deme{DEME}_bits": narrow,
        f"deme{DEME}_rare": number[rare[held]],
        f"deme{DEME}_n_rare": np.bincount(row[held], minlength=len(n_rare)).astype(n_rare.dtype),
        f"deme{DEME}_fixed": number[fixed[keep[fixed]]],
    }
