# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine, measured: ticks as :class:`admix.engines.native.history.History` makes them, timed.

Everything that a run does in a tick is inside the time, the tidying up (``collect``, ``rebalance``) too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from admix import seeds
from admix.engines.native import cohort_kernels, gametes, history
from admix.engines.native.compiled import kernel_folder
from admix.engines.native.pedigree import Pedigree
from admix.engines.native.snapshot import unpack_worlds
from admix.engines.native.tables import Tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import Cohort, Group, World
from benchmarks import memory
from benchmarks.states import DEME, Arrays, State, keep_mutations, obtain

CYCLE = history.REBALANCE_EVERY
"""Ticks after which all that is done now and then has been done once."""
COLLECT_EVERY = 16
WARM = 3
PART_TICKS = 32
MARKED = 0.02
_KERNEL_MODULES = (gametes, cohort_kernels)


class Population:
    """One deme of constant size that is its own parent, tick after tick."""

    def __init__(self, tables: Tables, threads: int = 1, *, planes: int = 0) -> None:
        self.workers = Workers(threads)
        self.world = World(
            tables,
            ("deme",),
            lambda purpose, deme: seeds.stream_key("benchmark", purpose, deme),
            self.workers,
            n_planes=planes,
        )
        self.tick = 0
        self.pedigree: Pedigree | None = None

    @classmethod
    def of(cls, arrays: Arrays, tables: Tables, threads: int, *, markers: bool = False) -> Population:
        """A population from packed arrays; ``markers`` gives it one plane of ancestry markers, 2 % of them set."""
        made = cls(tables, threads, planes=int(markers))
        if markers:
            n = len(arrays[f"deme{DEME}_n_rare"])
            flags = np.random.default_rng(1).random((n, 64 * tables.mark_words)) < MARKED
            flags[:, tables.n_markers :] = False
            packed = np.packbits(flags, axis=1, bitorder="little").view(np.uint64)
            arrays = arrays | {f"deme{DEME}_marks": packed[None]}
        unpack_worlds(made.world, [arrays])
        return made

    @property
    def n(self) -> int:
        """Individuals."""
        return self.world.demes[DEME].n

    def run(self, ticks: int, tidy: bool = True) -> list[float]:
        """Play ticks and return the seconds that each took; ``tidy`` False leaves the layout as it is."""
        n = self.n
        rows = np.arange(2 * n)
        seconds = []
        for _ in range(ticks):
            begin = time.perf_counter()
            self.tick += 1
            cohorts = {DEME: Cohort(n, [Group(DEME, rows)])}
            parents = self.world.breed(self.tick, cohorts)
            if self.pedigree is not None:
                self.pedigree.add(self.tick, cohorts, parents)
            if tidy and self.tick % CYCLE == 0:
                self.world.rebalance()
            elif tidy and self.tick % COLLECT_EVERY == 0:
                self.world.collect()
            seconds.append(time.perf_counter() - begin)
        return seconds

    def warm_up(self) -> None:
        """Load all kernels, bring the arrays to their lasting size, and set the clock to a round tick."""
        self.run(WARM, tidy=False)
        self.world.collect()
        self.world.rebalance()
        self.run(1, tidy=False)
        self.tick = CYCLE

    def close(self) -> None:
        """Stop the threads."""
        self.workers.close()


def facts(state: State, folder: Path) -> dict[str, Any]:
    """Make a state, or take it from disk, and say what is in it."""
    begin = time.perf_counter()
    arrays = obtain(state, folder)
    seconds = time.perf_counter() - begin
    population = Population.of(arrays, state.tables(), 1)
    world = population.world
    counts = world.counts(DEME)
    inside = (counts > 0) & (counts < 2 * state.n)
    log = world.log_fitness(DEME) - world.fixed_log(DEME)
    found = {
        "make_seconds": seconds,
        "sites": int(inside.sum()),
        "per_haplotype": float(counts[inside].sum() / (2 * state.n)),
        "common": len(world.demes[DEME].layout.ids),
        "fitness_mean": float(np.exp(log).mean()),
        "log_fitness_mean": float(log.mean()),
        "log_fitness_sd": float(log.std()),
    }
    population.close()
    return found


def measure(
    state: State, folder: Path, *, threads: int, ticks: int, parents: bool = False, markers: bool = False,
    map_scale: float = 1.0, keep: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """Time ``ticks`` ticks.

    Parameters
    ----------
    parents
        Keep the parents of every gamete, from which trees are built later.
    markers
        One plane of ancestry markers, as after a pulse.
    map_scale
        Multiplies the map of the state.
    keep
        Share of the state's segregating mutations that are kept, chosen at random.
    """
    arrays = obtain(state, folder)
    if keep < 1.0:
        rng = np.random.default_rng(1)
        arrays = keep_mutations(arrays, rng.random(len(arrays["mutation_uid"])) < keep)
    population = Population.of(arrays, state.tables(map_scale), threads, markers=markers)
    del arrays
    population.warm_up()
    population.pedigree = Pedigree() if parents else None
    memory.forget_peak()
    cpu = time.process_time()
    seconds = population.run(ticks)
    cpu = time.process_time() - cpu
    found = _summary(seconds, cpu) | {
        "threads": threads,
        "peak_running_bytes": memory.peak(),
        "state_bytes": _state_bytes(population.world),
        "bytes_moved": bytes_moved(population.world),
        "sites": int((population.world.counts(DEME) > 0).sum()),
        "kernel_hash": kernel_folder().name,
    }
    population.close()
    return found


def _summary(seconds: list[float], cpu: float) -> dict[str, Any]:
    ms = 1000 * np.array(seconds)
    return {
        "ms": float(ms.mean()),
        "ms_median_tick": float(np.median(ms)),
        "ms_longest_tick": float(ms.max()),
        "cpu_ms": 1000 * cpu / len(seconds),
        "ticks": len(seconds),
    }


def _state_bytes(world: World) -> int:
    """Bytes of all arrays of the population: both cohorts' rows and the table of mutations."""
    deme = world.demes[DEME]
    rows = [r for r in (deme.rows, deme.spare) if r is not None]
    arrays = [getattr(r, name) for r in rows for name in type(r).__slots__]
    arrays += [world.mutations[name] for name in world.mutations.columns]
    return sum(array.nbytes for array in arrays)


def bytes_moved(world: World) -> dict[str, float]:
    """Bytes that one tick reads and writes, from the sizes of the arrays (an estimate).

    Each gamete: common words with their sums (8 + 4 bytes) are read from one parental strand or the other and
    written; rare keys (8 bytes) of both strands are read, and one row of them is written; each key's effect (4
    bytes) is looked up. Fitness reads the words that have a correction, and all keys once more. Markers are read,
    written, and read to be weighed.
    """
    deme = world.demes[DEME]
    rows, layout = deme.rows, deme.layout
    n2, rare = len(rows), float(rows.n_rare.mean())
    moved = {
        "common": n2 * layout.n_words * 12.0 * 2,
        "rare": n2 * rare * (8.0 * 3 + 4),
        "fitness": n2 * (8.0 * len(layout.words) + 8 * rare + 8),
        "markers": world.n_planes * n2 * rows.marks.shape[2] * 8.0 * 3,
    }
    return moved | {"all": sum(moved.values())}


# ---------------------------------------------------------------------- stages


def stages(state: State, folder: Path, *, ticks: int, markers: bool = False) -> dict[str, Any]:
    """Where the time of a tick goes on one thread: by kernel, and by what the population consists of.

    Returns
    -------
    dict
        ``kernels``: ms a tick in each kernel that Python calls, and ``rest``, what is left of ``ms``. ``parts``: ms a
        tick without any mutation (crossovers, choice of parents and what is done once a tick), and what common
        sites, rare ones and one plane of markers add to it, over ticks that tidy nothing up.
    """
    arrays, tables = obtain(state, folder), state.tables()
    population = Population.of(arrays, tables, 1, markers=markers)
    population.warm_up()
    with timed_kernels() as spent:
        seconds = population.run(ticks)
    population.close()
    kernels = {name: 1000 * s / ticks for name, s in sorted(spent.items(), key=lambda item: -item[1]) if s > 0}
    total = 1000 * sum(seconds) / ticks
    kernels["rest"] = total - sum(kernels.values())
    del population
    part_ticks = min(ticks, PART_TICKS)
    return {"ms": total, "ticks": ticks, "kernels": kernels, "parts": _parts(arrays, tables, part_ticks)}


def _parts(arrays: Arrays, tables: Tables, ticks: int) -> dict[str, float]:
    m = len(arrays["mutation_uid"])
    common, nothing = np.zeros(m, bool), np.zeros(m, bool)
    common[arrays[f"deme{DEME}_ids"]] = True

    def ms(keep: np.ndarray | None, markers: bool = False) -> float:
        chosen = arrays if keep is None else keep_mutations(arrays, keep)
        population = Population.of(chosen, tables, 1, markers=markers)
        population.run(WARM, tidy=False)
        spent = float(np.median(population.run(ticks, tidy=False)))
        population.close()
        return 1000 * spent

    bare, half, whole, marked = ms(nothing), ms(common), ms(None), ms(None, True)
    return {
        "no mutation": bare,
        "common sites": half - bare,
        "rare mutations": whole - half,
        "one plane of markers": marked - whole,
    }


@contextmanager
def timed_kernels() -> Iterator[dict[str, float]]:
    """While it lasts, seconds spent in each kernel add up in the dictionary that it yields.

    Kernels must have been compiled before: one that is compiled meanwhile would find a plain function in place of
    the kernels that it calls. On one thread only, so that times add up.
    """
    spent: dict[str, float] = {}
    replaced: list[tuple[Any, str, Any]] = []

    def timed(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            begin = time.perf_counter()
            try:
                return kernel(*given)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin

        return run

    try:
        for module in _KERNEL_MODULES:
            for name, value in list(vars(module).items()):
                # what numba made of a function keeps the function
                if hasattr(value, "py_func") and value.py_func.__module__ == module.__name__:
                    replaced.append((module, name, value))
                    setattr(module, name, timed(name, value))
        yield spent
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)
