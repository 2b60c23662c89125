# SPDX-License-Identifier: GPL-3.0-or-later
"""What precedes the first pulse, simulated in SLiM: the native engine's stages, one run of the script each.

The ancestor starts from the same kind of draw from theory as the native engine's (SLiM has no such thing), and each
stage ends in the native engine's form of a state, so that it is cached, started from and compared like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from admix import seeds
from admix.cache import content_key
from admix.engines.native.cohorts import plan_cohorts
from admix.engines.native.history import History, Stage
from admix.engines.native.mutations import COLUMNS
from admix.engines.native.pedigree import Pedigree
from admix.engines.native.snapshot import Arrays, pack_world
from admix.engines.native.start import effects_of as log_effects
from admix.engines.native.state import MAX_COMMON_EFFECT
from admix.engines.native.tables import Tables
from admix.engines.native.world import COMMON, Cohort
from admix.engines.slim import program
from admix.engines.slim.branch import Output, _lines, fixed_in_all, seed_of, write_state
from admix.engines.slim.checkpoint import cut_back, last_save, working_folder
from admix.engines.slim.model import SCRIPT, Model, blocks_of, effects_of, number, regroup, size_changes, write_model
from admix.engines.slim.population import Population, chromosomes, read_population
from admix.genome import Genome
from admix.genome_layout import position_key

__all__ = ["RESULTS_VERSION", "SlimHistory", "arrays_of", "slim_stages"]

RESULTS_VERSION = 1
"""Part of the cache keys of histories made in SLiM; raised whenever the script would give other numbers."""
_REPORT_EVERY = 8
_SAVE_PEOPLE, _SAVE_LEAST = 2_000_000, 50
"""A stage is saved each time that so many people have lived in its largest cohort, but after so many ticks at least:
every five minutes or so. The ticks must not depend on the machine, as random numbers start anew at each save."""


def slim_stages(stages: Sequence[Stage], version: str) -> list[Stage]:
    """Return the stages of a history as SLiM ``version`` makes them: the same, under keys of their own."""
    made: list[Stage] = []
    keys: dict[str, str] = {}
    for stage in stages:
        content = stage.content | {"engine": f"slim {version}", "script": RESULTS_VERSION}
        if stage.parent:
            content |= {"parent": keys[stage.parent]}
        key = content_key(content)
        keys[stage.key] = key
        made.append(replace(stage, content=content, key=key, parent=keys.get(stage.parent, "")))
    return made


@dataclass(slots=True)
class SlimHistory(History):
    """Makes the stages in SLiM, whose path is ``slim``; ``scratch`` is where its files go while it runs."""

    genome: Genome
    mutation_rate: float
    slim: str
    scratch: Path

    def _run(self, stage: Stage, founder: tuple[Arrays, dict[str, Any]] | None) -> tuple[Arrays, dict[str, Any]]:
        world = self._begin(stage, None if founder is None else founder[0])
        given, demes = pack_world(world), sorted(world.demes)
        start, keep_from = stage.first - 1, int(stage.content.get("parents from", stage.last + 1))
        schedule = self.schedule

        def generators(purpose: str, deme: int, at: int) -> np.random.Generator:
            return seeds.generator("slim", "burnin", stage.key, purpose, schedule.deme_names[deme], at)

        cohorts: dict[int, dict[int, Cohort]] = {}
        model = Model(
            start=start, last=stage.last, mutation_rate=self.mutation_rate, parents_from=keep_from + 1,
            report_every=_REPORT_EVERY, events=[(stage.last, "state", 0)],
        )  # fmt: skip
        sizes = {start: {d: world.demes[d].n for d in demes}}
        for tick in range(stage.first, stage.last + 1):
            planned = plan_cohorts(schedule, tick, stage.demes, generators, {})
            sizes[tick] = {d: c.n for d, c in planned.items()}
            if tick > keep_from:
                cohorts[tick] = {d: regroup(c) for d, c in planned.items()}
            for d, cohort in planned.items():
                if blocks := blocks_of(cohort, d) if len(cohort.groups) > 1 or d not in sizes[tick - 1] else None:
                    model.cohorts[tick, d] = blocks
        model.sizes = [row for row in size_changes(sizes) if row[0] > start]
        model.save_every = max(_SAVE_LEAST, _SAVE_PEOPLE // max(n for here in sizes.values() for n in here.values()))
        with working_folder(self.scratch, stage.key) as folder:
            saved = last_save(folder / "out")
            if saved is not None:
                tick = cut_back(folder / "out")
                self.report(stage.name, self._fraction(stage, tick), f"goes on from tick {tick:,} (SLiM)")
            write_model(self.genome, effects_of(self.tables), model, folder / "in")
            dropped, written = write_state(self.genome, self.tables, given, demes, folder / "in" / "population")
            constants = model.constants(folder / "in", folder / "out", saved)
            words = program.command(self.slim, SCRIPT, seed_of("burnin", stage.key), constants)

            def progress(tick: int) -> None:
                note = f"tick {tick - stage.first + 1:,} of {stage.ticks:,} (SLiM)"
                self.report(stage.name, self._fraction(stage, tick), note)

            program.run(words, folder / "log", progress)
            out = Output.read(folder / "out")
            population = read_population(folder / "out" / "population")
            gone = [[number(word) for word in words] for words in _lines(folder / "out" / "substitutions.tsv")]
        living = sizes[stage.last]
        rng = seeds.generator("slim", "burnin", stage.key, "uid")
        arrays = arrays_of(population, gone, given, written, demes, living, self.genome, self.tables, start, rng)
        pedigree = Pedigree()
        if keep_from in sizes:
            pedigree.sizes[keep_from] = sizes[keep_from]
        for tick, births in cohorts.items():
            pedigree.add(tick, births, out.parents[tick])
        curve = [[tick, d, value + dropped] for (tick, d), value in sorted(out.fitness.items()) if tick > start]
        meta: dict[str, Any] = {
            "title": f"{stage.name}, burn-in {stage.content['burnin']}, SLiM", "tick": stage.last, "curve": curve,
        }  # fmt: skip
        if founder is not None:
            meta["ancestor"] = founder[1]["curve"]
        arrays |= pedigree.pack()
        self.cache.save(stage.key, arrays, meta)
        return arrays, meta


def arrays_of(
    population: Population,
    gone: Sequence[Sequence[float]],
    given: Mapping[str, np.ndarray],
    written: np.ndarray,
    founders: Sequence[int],
    sizes: Mapping[int, int],
    genome: Genome,
    tables: Tables,
    start: int,
    rng: np.random.Generator,
) -> Arrays:
    """Return a population of SLiM as the native engine packs its worlds.

    Parameters
    ----------
    population
        What SLiM has written.
    gone
        Mutations that became fixed in all demes: id, chromosome, position, type, s, SLiM's tick and deme of birth.
    given
        The arrays that SLiM began with.
    written
        Row of their table by id in SLiM; a mutation with a higher id is new.
    founders
        The demes that it began with; what was fixed in all of them, SLiM was not told of.
    sizes
        Individuals of the demes that are wanted.
    start
        Tick of SLiM's tick 1.
    rng
        Draws the identities of new mutations.
    """
    ids, offset, _ = chromosomes(genome)
    effects = effects_of(tables)
    lost = np.flatnonzero(fixed_in_all(given, founders)) if len(founders) else np.zeros(0, np.int64)
    fixed = np.array([list(row) for row in gone], np.float64).reshape(-1, 7)
    m = population.mutations
    slim_id = np.concatenate([m["id"], fixed[:, 0].astype(np.int64)])
    row = np.full(len(slim_id), -1, np.int64)
    row[slim_id < len(written)] = written[slim_id[slim_id < len(written)]]
    row = np.concatenate([row, lost])
    chrom = np.concatenate([population.chrom, np.searchsorted(ids, fixed[:, 1]), np.zeros(len(lost), np.int64)])
    position = np.concatenate([m["position"], fixed[:, 2], np.zeros(len(lost))]).astype(np.int64)
    kind = np.concatenate([m["type"], fixed[:, 3], np.ones(len(lost))]).astype(np.int64)
    s = np.concatenate([m["s"].astype(np.float64), fixed[:, 4], np.zeros(len(lost))])
    tick = np.concatenate([m["tick"], fixed[:, 5], np.zeros(len(lost))]).astype(np.int64)
    deme = np.concatenate([m["subpopulation"], fixed[:, 6], np.ones(len(lost))]).astype(np.int64)

    n = len(row)
    out: Arrays = {f"mutation_{name}": np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
    old, new = np.flatnonzero(row >= 0), np.flatnonzero(row < 0)
    for name in COLUMNS:
        out[f"mutation_{name}"][old] = given[f"mutation_{name}"][row[old]]
    site = _sites(genome, chrom[new], position[new] - offset[chrom[new]])
    out["mutation_site"][new] = site
    out["mutation_axis"][new] = genome.target_axis(site)
    out["mutation_s"][new] = s[new]
    out["mutation_h"][new] = np.append(effects.h, 0.0)[(kind[new] - 1) % 1000]
    out["mutation_uid"][new] = rng.integers(0, 1 << 64, len(new), dtype=np.uint64)
    out["mutation_born"][new] = tick[new] + start - 1
    out["mutation_lineage"][new] = deme[new] - 1
    # in single precision, as SLiM had them
    log_effects(
        out["mutation_s"][new], out["mutation_h"][new], new.astype(np.int32), out["mutation_effect"],
        out["mutation_correction"],
    )  # fmt: skip
    everywhere = np.arange(len(m), n, dtype=np.int32)
    at = 0
    for d in sorted(population.sizes):
        rows = 2 * population.sizes[d]
        if sizes.get(d, 0):
            _pack_deme(out, d, population.carried, population.ends[at : at + rows + 1], everywhere, len(m))
        at += rows
    return out


def _sites(genome: Genome, chrom: np.ndarray, bp: np.ndarray) -> np.ndarray:
    """Numbers of functional bases from their chromosomes and positions."""
    key = position_key(genome.target_chrom, genome.target_start)
    segment = np.searchsorted(key, position_key(chrom, bp), side="right") - 1
    return np.asarray(genome.target_cum[segment] + bp - genome.target_start[segment])


def _pack_deme(out: Arrays, d: int, carried: np.ndarray, ends: np.ndarray, everywhere: np.ndarray, n: int) -> None:
    """Enter a deme: common mutations as bits in order of position, the others as lists, fixed ones apart."""
    haplotypes = len(ends) - 1
    mine = carried[ends[0] : ends[-1]]
    count = np.bincount(mine, minlength=n)
    fixed = count == haplotypes
    weak = np.abs(out["mutation_effect"][:n]) <= MAX_COMMON_EFFECT
    common = (count > COMMON * haplotypes) & ~fixed & weak
    ids = np.flatnonzero(common)
    ids = ids[np.argsort((out["mutation_axis"][ids].astype(np.uint64) << np.uint64(32)) | ids.astype(np.uint64))]
    place = np.full(n, -1, np.int64)
    place[ids] = np.arange(len(ids))
    words = max(1, -(-len(ids) // 64))
    bits = np.zeros((haplotypes, words), np.uint64)
    rare: list[np.ndarray] = []
    flags = np.zeros(64 * words, np.uint8)
    for g in range(haplotypes):
        row = carried[ends[g] : ends[g + 1]]
        at = place[row]
        flags[:] = 0
        flags[at[at >= 0]] = 1
        bits[g] = np.packbits(flags, bitorder="little").view(np.uint64)
        rare.append(row[(at < 0) & ~fixed[row]])
    out[f"deme{d}_ids"] = ids.astype(np.int32)
    out[f"deme{d}_bits"] = bits
    out[f"deme{d}_rare"] = np.concatenate(rare).astype(np.int32)
    out[f"deme{d}_n_rare"] = np.array([len(row) for row in rare], np.int32)
    out[f"deme{d}_fixed"] = np.concatenate([np.flatnonzero(fixed), everywhere]).astype(np.int32)
