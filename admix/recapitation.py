# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies before the records of a tree file, and neutral variation on all of it.

The genealogy above the roots is drawn by msprime under the scenario's own demography, and neutral mutations are laid
over the whole. **The recapitated part has no background selection**: in it all sites are neutral and lineages meet as
population sizes alone say. Linked selection, which lowers diversity near functional elements, acts in the recorded
part only, so diversity that is older than the records is too high near elements. (For `reich` it would be lower by
the factor B = 0.82 on average.) The standing mutations stay on the founders that carried them, with the frequencies
that selection gave them; the recapitated genealogy knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msprime
import numpy as np
import tskit

from admix import seeds
from admix.engines.coalescent import recombination_map
from admix.errors import InputError, RunError
from admix.genome_layout import Int64, merge
from admix.msprime_demography import demography
from admix.run_trees import TreeFile, tree_files
from admix.tree_formats import format_of
from admix.tree_metadata import provenance_record
from admix.trees import (
    NEUTRAL,
    STANDING,
    admix_metadata,
    mutations,
    next_mutation_id,
    population_names,
    replicate_folder,
    roots,
    validate,
    write,
)

if TYPE_CHECKING:
    from admix.genome import Genome
    from admix.results import Run
    from admix.timeline import Schedule

__all__ = [
    "DEFAULT_MUTATION_RATE",
    "MutationRates",
    "check_coalescence",
    "mutation_rates",
    "recapitate",
    "recapitate_run",
    "recapitated_path",
]

_COMPLETE = "its lineages have all met already (a complete genealogy, as the coalescent engine makes)"

DEFAULT_MUTATION_RATE = 1.29e-8
"""All mutations per bp and generation in human autosomes: Tian, Browning & Browning 2019
(doi:10.1016/j.ajhg.2019.09.012), the value of stdpopsim's catalogue."""

_OPTION = "--mutation-rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationRates:
    """Rates of neutral mutations along a chromosome, per bp and generation.

    `recorded` is for the time that the records cover, `older` for the recapitated part.
    """

    recorded: msprime.RateMap
    older: msprime.RateMap


def recapitate(
    ts: tskit.TreeSequence,
    schedule: Schedule,
    genome: Genome,
    chrom: str,
    seed: int,
    *,
    mutation_rate: float = DEFAULT_MUTATION_RATE,
    selected_rate: float,
    last_tick: int | None = None,
    stream: Sequence[str | int] = (),
    where: str = "tree sequence",
) -> tskit.TreeSequence:
    """Return a tree sequence with the genealogy before its roots and with neutral mutations.

    All that is in `ts` is kept, census nodes and their unary edges too, so its local ancestry can be read from the
    result as well. Neutral mutations have the mutation type `admix.trees.NEUTRAL`, ids above all others, and
    stack on those that are there.

    Parameters
    ----------
    ts
        Genealogy of one chromosome from a forward simulation, all of whose roots live in one tick. If it has been
        simplified, then with ``keep_input_roots=True`` (and ``keep_unary=True`` to keep the census).
    schedule
        The demography; its demes are matched to the populations of `ts` by name.
    genome, chrom
        The genome, for recombination and functional bases, and the name of the chromosome.
    seed
        Seed of the user. With `stream` it names the random streams of genealogy and mutations.
    mutation_rate
        All mutations, neutral or not, per bp and generation.
    selected_rate
        Of these, those that the simulation has made itself, per functional bp: ``selection.mutation_rate`` of the
        scenario, 0 for a neutral twin. See `mutation_rates`.
    last_tick
        Tick of time 0; as the file says if omitted, and today if it doesn't say.
    stream
        What else names the streams, as branch, replicate and twin. The chromosome always does.
    where
        The file, for messages.

    Raises
    ------
    InputError
        If the rates do not fit together, the chromosome is not in the genome, or a deme with roots is unknown.
    RunError
        If roots live in several ticks (as after a second recapitation), a part of a sample has no root, or lineages
        could stay apart for ever.

    Notes
    -----
    Where the records hold standing mutations, those are the selected mutations of the time before, so neutral
    mutations in functional elements have the complement of the selected rate there as well; in a file without any,
    the full rate.
    """
    labels = admix_metadata(ts)
    if labels is not None and "recapitated" in labels:
        raise RunError(where, "it is recapitated already", "recapitate the file that the run wrote")
    c = _chromosome(genome, chrom)
    length = int(genome.window_end[genome.window_chrom == c][-1])
    if ts.sequence_length != length:
        given = f"{ts.sequence_length:,.10g} bp"
        raise InputError(f"{where}: sequence length", given, f"{length:,} bp, as chromosome {chrom} of the genome")
    if last_tick is None:
        last_tick = schedule.today if labels is None else int(labels["last_tick"])
    start, occupied = _start(ts, where)
    root_tick = last_tick - round(start)
    standing = bool(np.any(mutations(ts, where).type == STANDING)) if labels is not None else False
    rates = mutation_rates(genome, chrom, mutation_rate, selected_rate, standing=standing)
    model = _demography(ts, schedule, root_tick, last_tick, occupied, where)
    check_coalescence(model, occupied, where)
    name = ("recapitate", seed, *stream, chrom)

    tables = _settled(ts)
    tall = msprime.sim_ancestry(
        initial_state=tables,
        demography=model,
        recombination_rate=recombination_map(genome, chrom),
        random_seed=_seed(*name, "ancestry"),
        record_provenance=False,
    )
    alleles = msprime.SLiMMutationModel(
        type=NEUTRAL, next_id=next_mutation_id(tall, where), slim_generation=_tick(ts, last_tick)
    )
    # The older ones first: a mutation inherits the state that is there when it is put on. `next_id` moves on by
    # itself; without it, ids would collide in silence.
    for rate, first, end, purpose in (
        (rates.older, start, None, "older mutations"),
        (rates.recorded, None, start, "recorded mutations"),
    ):
        tall = msprime.sim_mutations(
            tall,
            rate=rate,
            model=alleles,
            start_time=first,
            end_time=end,
            random_seed=_seed(*name, purpose),
            keep=True,
            record_provenance=False,
        )
    parameters = {
        "chrom": chrom,
        "seed": seed,
        "from_time_ago": start,
        "mutation_rate": mutation_rate,
        "selected_rate": selected_rate,
        "complement_before_records": standing,
    }
    return _labelled(format_of(tall, where).restack(tall, where), parameters)


def mutation_rates(
    genome: Genome, chrom: str, mutation_rate: float, selected_rate: float, *, standing: bool
) -> MutationRates:
    """Return the rates of neutral mutations along a chromosome.

    Outside functional elements all mutations are neutral. Inside, `selected_rate` of them have been simulated with
    their effects, so the neutral ones have the complement, ``mutation_rate - selected_rate``; in the time before the
    records that is so only if the records hold `standing` mutations, which are the selected ones of that time.

    Raises
    ------
    InputError
        If `mutation_rate` is not a rate, or is below `selected_rate`.
    """
    _check_rates(mutation_rate, selected_rate)
    c = _chromosome(genome, chrom)
    length = int(genome.window_end[genome.window_chrom == c][-1])
    own = genome.target_chrom == c
    start = genome.target_start[own]
    elements = merge(genome.target_chrom[own], start, start + np.diff(genome.target_cum)[own])
    full = msprime.RateMap.uniform(length, mutation_rate)
    complement = _alternating(elements.start, elements.end, length, mutation_rate, mutation_rate - selected_rate)
    return MutationRates(recorded=complement, older=complement if standing else full)


def _check_rates(mutation_rate: float, selected_rate: float) -> None:
    if not 0 < mutation_rate <= 1e-4:
        raise InputError(_OPTION, mutation_rate, "a rate per bp and generation above 0 and up to 1e-4")
    if mutation_rate < selected_rate:
        rule = (
            f"at least {selected_rate:g} (selection.mutation_rate), since selected mutations are a part of all;"
            f" the default is {DEFAULT_MUTATION_RATE:g}"
        )
        raise InputError(_OPTION, mutation_rate, rule)


def _alternating(start: Int64, end: Int64, length: int, outside: float, inside: float) -> msprime.RateMap:
    """One rate inside disjoint intervals that don't touch, another outside."""
    edge = np.column_stack([start, end]).ravel()
    position = np.concatenate([[0], edge, [length]])
    rate = np.append(np.tile([outside, inside], len(start)), outside)
    full = np.flatnonzero(np.diff(position) > 0)
    return msprime.RateMap(position=np.append(position[full], length).astype(np.float64), rate=rate[full])


def check_coalescence(model: msprime.Demography, occupied: Sequence[int], where: str = "demography") -> None:
    """Refuse a demography in which lineages could stay apart for ever, for which msprime would never return.

    Far enough back sizes and migration are constant. Lineages that have come to different demes then meet with
    certainty if, and only if, there is one group of demes that all of them can reach and none can leave.

    Parameters
    ----------
    model
        The demography.
    occupied
        Indices of the populations in which there are lineages at its time 0.

    Raises
    ------
    RunError
        If they could stay apart, or the last population grows without end backwards in time.
    """
    debugger = model.debug()
    samples = [msprime.SampleSet(1, population=int(k), time=0) for k in occupied]
    possible = debugger.possible_lineage_locations(samples)
    reached = np.flatnonzero(possible[max(possible)])
    last = debugger.epochs[-1]
    leads = (np.asarray(last.migration_matrix) > 0) | np.eye(model.num_populations, dtype=bool)
    for _ in range(model.num_populations):
        leads = leads @ leads
    closed = {tuple(np.flatnonzero(leads[k])) for k in reached if np.all(leads[leads[k], k])}
    names = [population.name for population in model.populations]
    if len(closed) > 1:
        groups = " and ".join("+".join(names[k] for k in group) for group in sorted(closed))
        what = f"lineages in {groups} can never coalesce: nothing joins these demes before the records"
        raise RunError(where, what, "give the demography a common ancestor, or migration between them")
    for k in next(iter(closed)):
        if last.populations[k].growth_rate < 0:
            what = f"lineages in {names[k]} may never coalesce: its size grows without end backwards in time"
            raise RunError(where, what, "give its oldest epoch a constant size")


def _start(ts: tskit.TreeSequence, where: str) -> tuple[float, list[int]]:
    """Time of the roots and the populations that they live in."""
    node, left, right = roots(ts)
    times = np.unique(ts.nodes_time[node])
    if len(times) > 1 and all(tree.num_roots == 1 for tree in ts.trees()):
        raise RunError(where, _COMPLETE, "use it as it is")
    if len(times) > 1:
        bases = int((right - left)[ts.nodes_time[node] < times[-1]].sum())
        shown = f"{times[0]:,.10g} to {times[-1]:,.10g} generations ago, {bases:,} bases younger than the oldest"
        remedy = "recapitate what the run wrote; if you simplify it first, use keep_input_roots=True"
        raise RunError(where, f"its roots are not of one time ({shown})", remedy)
    if times[0] != round(times[0]):
        raise RunError(where, f"its roots lived {times[0]:,.10g} generations ago", "give trees in whole generations")
    return float(times[0]), np.unique(ts.nodes_population[node]).tolist()


def _demography(
    ts: tskit.TreeSequence, schedule: Schedule, root_tick: int, last_tick: int, occupied: list[int], where: str
) -> msprime.Demography:
    """The scenario's demography before the roots, with the populations of the tree sequence in its order."""
    known = set(schedule.deme_names)
    present = population_names(ts)
    for k in occupied:
        if present[k] not in known:
            raise InputError(f"{where}: populations", present[k], f"one of the demes {', '.join(schedule.deme_names)}")
        if not schedule.exists(schedule.deme(present[k]), root_tick):
            raise RunError(where, f"roots in deme {present[k]} at tick {root_tick}, when it has no cohort")
    model = demography(schedule, before_tick=root_tick + 1, last_tick=last_tick)
    for name in present:
        if name not in known:
            model.add_population(name=name, initial_size=1)  # without lineages, as SLiM's population 0
    order = [*present, *(name for name in schedule.deme_names if name not in present)]
    return model.copy(populations=order)


def _settled(ts: tskit.TreeSequence) -> tskit.TableCollection:
    """The tables, with no mutation older than the root that it lies on: the root will have parents."""
    tables = ts.dump_tables()
    time = np.array(tables.mutations.time)
    node = tables.mutations.node
    on_root = ts.mutations_edge == tskit.NULL
    time[on_root] = tables.nodes.time[node[on_root]]
    columns = {key: value for key, value in tables.mutations.asdict().items() if key != "metadata_schema"}
    tables.mutations.set_columns(**(columns | {"time": time}))
    return tables


def _labelled(ts: tskit.TreeSequence, parameters: dict[str, Any]) -> tskit.TreeSequence:
    """The tree sequence with a note in its labels and a provenance record."""
    tables = ts.dump_tables()
    metadata = tables.metadata
    if "admix" in metadata:
        metadata["admix"]["recapitated"] = parameters
        tables.metadata = metadata
    tables.provenances.add_row(provenance_record("recapitate", parameters))
    return tables.tree_sequence()


def _tick(ts: tskit.TreeSequence, last_tick: int) -> int:
    """Tick of time 0 as the file counts, for the birth ticks of neutral mutations."""
    slim = ts.metadata["SLiM"]
    return int(slim.get("tick", last_tick))


def _seed(*name: str | int) -> int:
    """A seed that msprime accepts, 1 to 2^32 - 1, of the stream with this name."""
    return seeds.stream_key(*name) % (2**32 - 1) + 1


def _chromosome(genome: Genome, chrom: str) -> int:
    if chrom not in genome.chroms:
        raise InputError("--chrom", chrom, f"one of {', '.join(genome.chroms)}")
    return genome.chroms.index(chrom)


def recapitated_path(run: str | Path, branch: str, replicate: int, twin: str, chrom: str) -> Path:
    """Return where `recapitate_run` writes a chromosome."""
    return Path(run) / "derived" / "recapitated" / branch / replicate_folder(replicate, twin) / f"chr{chrom}.tsz"


def recapitate_run(
    run: Run,
    *,
    chroms: Sequence[str] | None = None,
    branch: str | None = None,
    replicate: int | None = None,
    mutation_rate: float = DEFAULT_MUTATION_RATE,
    report: Callable[[float, str], None] | None = None,
) -> list[Path]:
    """Recapitate tree files of a run into ``RUN/derived/recapitated``.

    The random streams are those of the run's seed, branch, replicate and twin, so doing it again gives the same.

    Parameters
    ----------
    run
        A sealed run directory with trees.
    chroms, branch, replicate
        Which files; all if omitted. Neutral twins are done with their replicates.
    mutation_rate
        All mutations, neutral or not, per bp and generation.
    report
        Told the share of files that are done, and what comes next.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If there is no such tree file, or `mutation_rate` is below that of selected mutations.
    RunError
        If a tree file is damaged or not the one that should be there, or a file cannot be written.
    """
    files = tree_files(run, chroms=chroms, branch=branch, replicate=replicate)
    for file in files:
        if run.provenance.get("engine") == "msprime" and file.twin == "none":
            raise RunError(str(file.path), _COMPLETE, "use it as it is")
        _check_rates(mutation_rate, _selected_rate(run, file))
    written = []
    for done, file in enumerate(files):
        if report is not None:
            twin = ", neutral" if file.twin == "neutral" else ""
            report(done / len(files), f"{file.branch}, replicate {file.replicate}{twin}, chromosome {file.chrom}")
        written.append(_recapitate_file(run, file, mutation_rate))
    if report is not None:
        report(1.0, "")
    return written


def _selected_rate(run: Run, file: TreeFile) -> float:
    """Rate of the mutations that the run has made itself; a neutral twin makes none."""
    return 0.0 if file.twin == "neutral" else run.scenario.selection.mutation_rate


def _recapitate_file(run: Run, file: TreeFile, mutation_rate: float) -> Path:
    labels, where = file.labels, str(file.path)
    tall = recapitate(
        file.load(),
        file.schedule,
        file.genome,
        file.chrom,
        labels.seed,
        mutation_rate=mutation_rate,
        selected_rate=_selected_rate(run, file),
        last_tick=labels.last_tick,
        stream=(file.branch, file.replicate, file.twin),
        where=where,
    )
    validate(tall, where, chrom=file.chrom, length=file.length, labels=labels)
    return write(tall, recapitated_path(run.path, file.branch, file.replicate, file.twin, file.chrom))
