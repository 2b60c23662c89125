# SPDX-License-Identifier: GPL-3.0-or-later
"""fwdpy11: the same population handed over through its own file format, and a timed run.

Its positions are those of the genetic axis, on which recombination is uniform within a chromosome: the whole human
map in 22 regions, exactly, where base positions would need 28,823 regions and a draw for each in every gamete.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from admix.engines.slim.population import haplotypes
from admix.genome import AXIS_LENGTH, Genome
from benchmarks import memory
from benchmarks.states import DFE_MEAN, DFE_SHAPE, Arrays, State


def available() -> bool:
    """Is fwdpy11 installed?"""
    return find_spec("fwdpy11") is not None


def positions(arrays: Arrays) -> np.ndarray:
    """Positions on the axis (float64, one a mutation), all different, since each site of fwdpy11 mutates once."""
    axis = arrays["mutation_axis"].astype(np.int64)
    order = np.argsort(axis, kind="stable")
    _, first, count = np.unique(axis[order], return_index=True, return_counts=True)
    place = np.arange(len(axis)) - np.repeat(first, count)
    out = np.empty(len(axis))
    out[order] = axis[order] + (place + 0.5) / np.repeat(count, count)
    return out


def write(state: State, arrays: Arrays, path: Path) -> None:
    """Write the population for ``DiploidPopulation.load_from_pickle_file``; ``path`` appears once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        temporary = Path(file.name)
        try:
            _dump(state, arrays, file)
            file.close()
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)


def _dump(state: State, arrays: Arrays, file: IO[bytes]) -> None:
    import fwdpy11

    at = positions(arrays)
    order = np.argsort(at)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    carried, ends = haplotypes(arrays, rank)
    count = np.bincount(carried, minlength=len(order))
    held = np.flatnonzero(count)
    number = np.full(len(order), -1)
    number[held] = np.arange(len(held))
    at, s = at[order][held], arrays["mutation_s"][order][held]

    def put(value: object) -> None:
        pickle.dump(value, file, protocol=5)

    n, m, length = state.n, len(held), float(AXIS_LENGTH)
    put((n, 2 * n, m, 0, 0, length))
    for i in range(n):
        put(fwdpy11.DiploidGenotype(2 * i, 2 * i + 1))
    for g in range(2 * n):
        keys = number[carried[ends[g] : ends[g + 1]]]
        put(fwdpy11.HaploidGenome((1, [], keys.tolist())))
    for k in range(m):
        put(fwdpy11.Mutation(float(at[k]), float(s[k]), state.h, 0, 0))
    put([])  # fixation times
    put(count[held].tolist())
    put([0] * m)
    put((n, 0))
    # a population of fwdpy11's own making has the metadata and the nodes that are wanted
    fresh = fwdpy11.DiploidPopulation(n, length)
    for metadata in fresh.diploid_metadata:
        put(metadata)
    put((2 * n + 1, 2 * n, m, m))
    for node in fresh.tables.nodes:
        put(node)
    # Genomes carry the mutations; in the genealogy, which begins here, they all stand at one ancestor of everybody.
    # A mutation that stands nowhere in it would have its position erased when the genealogy is simplified.
    put(_filled(fwdpy11.Node, (0, -1.0)))
    for child in range(2 * n):
        put(_filled(fwdpy11.Edge, (0.0, length, 2 * n, child)))
    for k in range(m):
        put(_filled(fwdpy11.MutationRecord, (2 * n, k, k, 1, False)))
    for k in range(m):
        put(_filled(fwdpy11.Site, (float(at[k]), 0)))
    put([])
    put([])


def _filled(kind: Any, state: tuple[Any, ...]) -> Any:
    """An entry of a table, made the way that pickle makes it: these classes have no other constructor."""
    made = kind.__new__(kind)
    made.__setstate__(state)
    return made


def model(state: State, genome: Genome, ticks: int) -> Any:
    """The parameters of the simulation, ``fwdpy11.ModelParams``."""
    import fwdpy11

    # bases of the target by stretch of the axis; a stretch without map is a point, which a region can't be
    start = genome.target_axis_start.astype(np.float64)
    end = np.maximum(genome.target_axis_end.astype(np.float64), start + 1)
    bases = np.diff(genome.target_cum)
    window = np.searchsorted(genome.knot_axis, genome.target_axis_start, side="right")
    first = np.flatnonzero(np.diff(window, prepend=-1))
    last = np.append(first[1:], len(window)) - 1
    weight = np.add.reduceat(bases, first)
    regions = [
        fwdpy11.GammaS(a, b, w, mean=DFE_MEAN, shape_parameter=DFE_SHAPE, h=state.h, coupled=False)
        for a, b, w in zip(start[first].tolist(), end[last].tolist(), weight.tolist(), strict=True)
    ]
    edges = genome.chrom_axis.astype(np.float64).tolist()
    mapped: list[Any] = [
        fwdpy11.PoissonInterval(a, b, m)
        for a, b, m in zip(edges[:-1], edges[1:], genome.chrom_morgans.tolist(), strict=True)
    ]
    mapped += [fwdpy11.BinomialPoint(edge, 0.5) for edge in edges[1:-1]]
    return fwdpy11.ModelParams(
        rates=(0.0, state.u, None),
        sregions=regions,
        recregions=mapped,
        gvalue=fwdpy11.Multiplicative(scaling=1.0),  # a homozygote has 1 + s
        demography=fwdpy11.ForwardDemesGraph.tubes([state.n], burnin=ticks + 1, burnin_is_exact=True),
        simlen=ticks,
    )


def load(path: Path) -> Any:
    """The population that :func:`write` wrote, ``fwdpy11.DiploidPopulation``."""
    import fwdpy11

    with path.open("rb") as file:
        return fwdpy11.DiploidPopulation.load_from_pickle_file(file)


def measure(state: State, path: Path, *, interval: int) -> dict[str, Any]:
    """Time the ``interval`` ticks after the first: they hold one simplification, the last of them."""
    import fwdpy11

    population = load(path)
    carried = sum(len(haplotype.smutations) for haplotype in population.haploid_genomes)
    read = {"sites": len(population.mutations), "per_haplotype": carried / (2 * population.N)}
    parameters = model(state, state.genome(), interval + 2)
    memory.forget_peak()
    clock, cpu = [], []

    def record(now: Any, sampler: Any) -> None:
        clock.append(time.perf_counter())
        cpu.append(time.process_time())

    # by the genealogy all mutations that were read in are fixed, so nothing is to be removed in the end
    fwdpy11.evolvets(
        fwdpy11.GSLrng(1), population, parameters, simplification_interval=interval, recorder=record,
        stopping_criterion=lambda now, simplified: len(clock) > interval, remove_extinct_variants=False,
    )  # fmt: skip
    # tick 0 simplifies too: it is the first of a call
    ms, cpu_ms = 1000 * np.diff(clock)[:interval], 1000 * np.diff(cpu)[:interval]
    return read | {
        "ms": float(ms.mean()),
        "ms_median_tick": float(np.median(ms)),
        "ms_longest_tick": float(ms.max()),
        "cpu_ms": float(cpu_ms.mean()),
        "ticks": len(ms),
        "simplifications": 1,
        "peak_running_bytes": memory.peak(),
    }
