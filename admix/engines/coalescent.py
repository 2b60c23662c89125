# SPDX-License-Identifier: GPL-3.0-or-later
"""The coalescent engine: tree sequences of a neutral scenario by msprime, back to the common ancestors.

It knows nothing of selection. It is an independent check of the neutral twin, and the way to make whole data sets
with a known truth: people of any deme and date, Africans and a chimpanzee too, with neutral mutations.

A chromosome is simulated in stages. The simulation halts at generation 1 of each pulse and in the generation before,
where every haplotype that is ancestral to a sample gets a node: the censuses of `admix.trees`. msprime's own census is
not used, for two reasons: it makes a node for each segment of a haplotype, and it sees nothing of the bases where
all samples have met already, whose ancestry would then be unknown. So that these are followed to the last census,
a further lineage, the *anchor*, is simulated in a deme of its own and removed afterwards. The single generation of a
pulse is always Wright-Fisher: in continuous time, lineages that have crossed could meet before the census that tells
where they are. What is older than the tick before the first pulse is simulated by the sequentially Markov coalescent
SMC' (McVean & Cardin 2005, doi:10.1098/rstb.2005.1673; Marjoram & Wall 2006, doi:10.1186/1471-2156-7-16), seventeen
times faster than Hudson's on chromosome 22 of `reich`: the time at which two genomes meet at a base has the same
distribution in both, and neighbouring bases nearly the same joint one.

Chromosomes are simulated one by one, so that they share no pedigree. The variance between people in the first ten
generations or so after a pulse, when whole chromosomes of one ancestor are inherited together, is therefore too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msprime
import numpy as np
import tskit

from admix import seeds
from admix.errors import InputError, nearest
from admix.genome import Genome
from admix.msprime_demography import demography
from admix.timeline import Schedule
from admix.tree_formats import CENSUS, MIGRANT, NEUTRAL
from admix.tree_metadata import (
    TreeLabels,
    add_populations,
    individual_metadata,
    node_metadata,
    provenance_record,
    set_top_level,
)

__all__ = ["DEPTHS", "MODELS", "RESULTS_VERSION", "check_samples", "recombination_map", "simulate_chromosome"]

RESULTS_VERSION = 1
"""Raised whenever the same scenario and seed would give other numbers."""

MODELS = ("hudson", "dtwf")
"""``hudson``: continuous time, for samples that are few beside the deme; ``dtwf``: discrete Wright-Fisher generations
as in the other engines, far slower."""

DEPTHS = ("pulse", "split", "ancestors")
"""How far back trees reach: the tick before the first pulse, the last cohort of the root deme, or the common ancestors
of all samples at every base."""

Samples = Sequence[tuple[int, int, int]]
"""(deme, tick, number of individuals), as `Schedule.individuals`."""

_SMC = msprime.SMCK(k=1)
"""SMC': lineages meet if their ancestral material overlaps or touches."""

_ALIVE, _REMEMBERED = 1 << 16, 1 << 17  # pyslim's flags of individuals


def simulate_chromosome(
    schedule: Schedule,
    genome: Genome,
    chrom: str,
    samples: Samples | None = None,
    seed: int = 1,
    model: str = "hudson",
    *,
    branch: str = "main",
    replicate: int = 0,
    twin: str = "none",
    to: str = "ancestors",
    last_tick: int | None = None,
    mutation_rate: float = 0.0,
    dominance: Any = None,
    run: str = "",
) -> tskit.TreeSequence:
    """Simulate the genealogy of sampled people on one chromosome.

    Parameters
    ----------
    schedule, genome, chrom
        Demography, map, and the name of the chromosome.
    samples
        Who is sampled; ``schedule.individuals`` if omitted. Sample nodes are in this order.
    seed, branch, replicate
        They name the random streams, together with the chromosome.
    model
        One of `MODELS`, for all that is younger than the tick before the first pulse.
    to
        One of `DEPTHS`. Up to the pulse it takes a tenth of the time or less.
    twin, dominance, run
        Labels of the file.
    last_tick
        Tick of the cohort at time 0; today if omitted. No sample may be younger.
    mutation_rate
        Neutral mutations per base pair and generation, on the whole chromosome and all branches; only with `to`
        ``ancestors``.

    Returns
    -------
    tskit.TreeSequence
        As in `admix.trees`: SLiM 0.9 metadata, labels, census nodes at generation 1 of each pulse and in the tick
        before, and nodes where lineages cross from a source by migration. Times of other nodes are not whole
        generations. Where all samples meet after the oldest census, its node there is the root nevertheless.
        Mutations are of type `NEUTRAL`, with SLiM's ids as alleles.

    Raises
    ------
    InputError
        For an unknown chromosome, model or depth, no sample, one that does not exist or is older than the trees are
        to reach, demes that give to each other in one tick, and migration from a source after its first pulse under
        ``dtwf``.
    """
    if chrom not in genome.chroms:
        raise InputError("chromosome", chrom, f"one of {', '.join(genome.chroms)}", nearest(chrom, genome.chroms))
    if model not in MODELS:
        raise InputError("model", model, " or ".join(MODELS), nearest(model, MODELS))
    if to not in DEPTHS:
        raise InputError("to", to, ", ".join(DEPTHS), nearest(to, DEPTHS))
    if mutation_rate > 0 and to != "ancestors":
        raise InputError("mutation_rate", mutation_rate, "0 for trees that do not reach the common ancestors")
    last = schedule.today if last_tick is None else last_tick
    chosen = tuple(schedule.individuals if samples is None else samples)
    check_samples(schedule, chosen, last, to)
    labels = TreeLabels.from_schedule(
        schedule,
        branch=branch,
        replicate=replicate,
        twin=twin,
        seed=seed,
        chroms=genome.chroms,
        last_tick=last,
        recorded_from_tick=0 if to == "split" else None,
        samples=chosen,
        dominance=dominance,
        run=run,
        parameters={"engine": "msprime", "model": model, "to": to, "mutation_rate": mutation_rate},
    )
    rates = recombination_map(genome, chrom)
    stream = ("msprime", seed, branch, replicate, chrom)
    tables = _first_tables(labels, chrom, chosen, rates.sequence_length)
    tables = _records(tables, schedule, rates, last, model, to, stream)
    ts = _older(tables, schedule, rates, last, stream) if to == "ancestors" else tables.tree_sequence()
    if mutation_rate > 0:
        ts = msprime.sim_mutations(
            ts,
            rate=mutation_rate,
            model=msprime.SLiMMutationModel(type=NEUTRAL, slim_generation=last),
            random_seed=_msprime_seed(*stream, "mutations"),
            record_provenance=False,
        )
    tables = ts.dump_tables()
    tables.provenances.add_row(provenance_record("run", {**labels.parameters, "admix": labels.metadata(chrom)}))
    return tables.tree_sequence()


def recombination_map(genome: Genome, chrom: str) -> msprime.RateMap:
    """Return the map of a chromosome for msprime: crossovers per base and generation between the knots of the map."""
    c = genome.chroms.index(chrom)
    knots = slice(int(genome.knot_first[c]), int(genome.knot_first[c + 1]))
    position = genome.knot_bp[knots].astype(np.float64)
    morgans = (genome.knot_axis[knots] - genome.chrom_axis[c]).astype(np.float64)
    if morgans[-1] > 0:
        # the last knot lies one unit of the axis short of the chromosome's end
        morgans *= genome.chrom_morgans[c] / morgans[-1]
    return msprime.RateMap(position=position, rate=np.diff(morgans) / np.diff(position))


def check_samples(schedule: Schedule, samples: Samples, last: int, to: str) -> None:
    """Raise an `InputError` unless there are samples, and all of them can be had; see `simulate_chromosome`."""
    if not samples:
        rule = "at least one block with deme, time and n, for the coalescent engine"
        raise InputError("sampling.individuals", allowed=rule)
    oldest = {"pulse": schedule.first_pulse_tick(), "split": 1}.get(to)
    for deme, tick, number in samples:
        name, date = schedule.deme_names[deme], f"{schedule.years_bp(tick):,.10g} years ago"
        if oldest is not None and tick < oldest:
            rule = f"dates from {schedule.years_bp(oldest):,.10g} years ago on, as trees reach back no further"
            raise InputError("sampling.individuals", f"{name} {date}", rule)
        if not (schedule.exists(deme, tick) and tick <= last and 1 <= number <= schedule.size(deme, tick)):
            rule = f"1 to as many as live in a cohort of the deme, by {schedule.years_bp(last):,.10g} years ago"
            raise InputError("sampling.individuals", f"{number} of {name} {date}", rule)


def _first_tables(labels: TreeLabels, chrom: str, samples: Samples, length: float) -> tskit.TableCollection:
    """Tables with the sampled people, and the anchor as the last node, in a population after the demes."""
    tables = tskit.TableCollection(length)
    tables.time_units = "generations"
    set_top_level(tables, chrom, labels)
    add_populations(tables, (*labels.demes, _anchor(labels.demes)))
    numbers = [number for _, _, number in samples]
    deme = np.repeat(np.array([deme for deme, _, _ in samples], np.int32), numbers)
    time = labels.last_tick - np.repeat(np.array([tick for _, tick, _ in samples], np.int64), numbers)
    key = np.arange(len(deme), dtype=np.int32)
    column, offset = individual_metadata(key, deme)
    tables.individuals.set_columns(
        flags=np.where(time == 0, _ALIVE, _REMEMBERED).astype(np.uint32),
        location=np.zeros(3 * len(key)),
        location_offset=3 * np.arange(len(key) + 1, dtype=np.uint64),
        metadata=np.frombuffer(column, np.int8),
        metadata_offset=offset,
    )
    column, offset = node_metadata(np.append(np.arange(2 * len(key)), -1), len(labels.chroms))
    tables.nodes.set_columns(
        flags=np.full(2 * len(key) + 1, tskit.NODE_IS_SAMPLE, np.uint32),
        time=np.append(np.repeat(time, 2), 0).astype(np.float64),
        population=np.append(np.repeat(deme, 2), len(labels.demes)).astype(np.int32),
        individual=np.append(np.repeat(key, 2), -1).astype(np.int32),
        metadata=np.frombuffer(column, np.int8),
        metadata_offset=offset,
    )
    return tables


def _records(
    tables: tskit.TableCollection,
    schedule: Schedule,
    rates: msprime.RateMap,
    last: int,
    model: str,
    to: str,
    stream: tuple[str | int, ...],
) -> tskit.TableCollection:
    """Simulate from the samples to the tick before the first pulse, or to the split, and take the anchor away."""
    ages = {last - pulse.tick for pulse in schedule.pulses if pulse.tick <= last}
    censuses = {age + k for age in ages for k in (0, 1)}
    halts = sorted(censuses | {last} if to == "split" else censuses)
    crossing = _sources_send(schedule, last)
    if crossing and model == "dtwf":
        raise InputError(
            "model", model, "hudson, where lineages cross from a source by migration after its first pulse"
        )
    past = demography(schedule, last_tick=last)
    past.add_population(name=_anchor(schedule.deme_names), initial_size=1, initially_active=True)
    now = 0
    for halt in halts:
        if halt == now:
            continue
        one = halt - 1 in ages  # a pulse's generation
        tables = msprime.sim_ancestry(
            initial_state=tables,
            demography=past,
            recombination_rate=rates,
            start_time=now,
            end_time=halt,
            model="dtwf" if one else _SMC if halt not in censuses else model,
            additional_nodes=msprime.NodeType.MIGRANT if crossing and not one else None,
            coalescing_segments_only=not (crossing and not one),
            random_seed=_msprime_seed(*stream, "ancestry", halt),
            record_provenance=False,
        ).dump_tables()
        now = halt
    _flag(tables, schedule, last, sorted(censuses))
    return _without_anchor(tables, len(schedule.deme_names), halts[-1])


def _flag(tables: tskit.TableCollection, schedule: Schedule, last: int, censuses: Sequence[int]) -> None:
    """Flag all nodes at the censuses; take the flag from those of migrations that no source has a part in."""
    nodes = tables.nodes
    flags, time, deme = nodes.flags, nodes.time, nodes.population
    flags[np.isin(time, censuses)] |= np.uint32(CENSUS)
    crossed = (flags & MIGRANT) != 0
    # a source is one from its first pulse on
    begins = np.full(len(schedule.deme_names) + 1, -1)
    for source in schedule.sources():
        begins[source] = last - schedule.first_pulse_tick(source)
    of_source = np.floor(time) <= begins[deme]
    has_part = of_source.copy()
    edges = tables.edges
    has_part[edges.parent[of_source[edges.child]]] = True
    flags[crossed & ~has_part] &= ~np.uint32(MIGRANT)
    nodes.flags = flags


def _without_anchor(tables: tskit.TableCollection, demes: int, end: int) -> tskit.TableCollection:
    """Leave the samples, what they have in common, and with all of their material flagged nodes and those at `end`."""
    nodes = tables.nodes
    real = nodes.population < demes
    sampled = (nodes.flags & tskit.NODE_IS_SAMPLE) != 0
    kept = ((nodes.flags & (CENSUS | MIGRANT)) != 0) | (nodes.time == end)
    tables.simplify(
        np.append(np.flatnonzero(real & sampled), np.flatnonzero(real & kept & ~sampled)),
        update_sample_flags=False,
        filter_populations=False,
        filter_individuals=False,
        record_provenance=False,
    )
    tables.populations.truncate(demes)
    return tables


def _older(
    tables: tskit.TableCollection,
    schedule: Schedule,
    rates: msprime.RateMap,
    last: int,
    stream: tuple[str | int, ...],
) -> tskit.TreeSequence:
    """Simulate from the tick before the first pulse to the common ancestors."""
    ts = tables.tree_sequence()
    if all(tree.num_roots == 1 for tree in ts.trees()):
        return ts
    first = schedule.first_pulse_tick()
    return msprime.sim_ancestry(
        initial_state=tables,
        demography=demography(schedule, before_tick=first, last_tick=last),
        recombination_rate=rates,
        start_time=last - first + 1,
        model=_SMC,
        random_seed=_msprime_seed(*stream, "older"),
        record_provenance=False,
    )


def _sources_send(schedule: Schedule, last: int) -> bool:
    """Whether people come from a source other than by a pulse, after its first one."""
    for source in schedule.sources():
        first = schedule.first_pulse_tick(source)
        if any(m.source == source and m.last_tick >= first and m.first_tick <= last for m in schedule.migrations):
            return True
        founded = (int(schedule.first_tick[d]) for d, from_ in enumerate(schedule.ancestors) if source in dict(from_))
        if any(first <= tick <= last for tick in founded):
            return True
    return False


def _anchor(demes: Sequence[str]) -> str:
    name = "anchor"
    while name in demes:
        name += "_"
    return name


def _msprime_seed(*name: str | int) -> int:
    """A seed that msprime takes: 1 to 2^32 - 1."""
    return 1 + seeds.stream_key(*name) % (2**32 - 1)
