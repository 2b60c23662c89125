# SPDX-License-Identifier: GPL-3.0-or-later
"""A forward simulation in plain Python in which every base knows where it came from, and its tree sequence.

Demes exchange people by pulses and by migration. Each haplotype is a list with one label a base, handed down gamete by
gamete; nothing is asked of a tree. The tree sequence has the nodes that a tree file of a run has.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tskit

MODERN, NEANDERTHAL, DENISOVAN, AFRICAN = range(4)
DEMES = ("modern", "neanderthal", "denisovan", "african")
CENSUS, MIGRANT = 1 << 20, 1 << 19


@dataclass(frozen=True)
class Move:
    """In the cohort of ``tick``, ``n`` individuals of ``target`` have their parents in ``source``."""

    tick: int
    source: int
    target: int
    n: int
    pulse: bool = True


@dataclass(frozen=True)
class Toy:
    """A tree sequence; for each sample, in its order, the true label of each base; and the rule's numbers."""

    ts: tskit.TreeSequence
    truth: list[list[int]]
    sources: dict[int, int]
    census: list[float]
    since: dict[int, float]


def play(
    moves: Sequence[Move],
    sampled: Sequence[tuple[int, int]],
    *,
    seed: int = 1,
    last: int = 12,
    n: int = 6,
    length: int = 60,
    crossovers: float = 0.7,
    metadata: bool = True,
    drop: Sequence[int] = (),
) -> Toy:
    """Simulate cohorts 0 to ``last``; ``sampled`` are (deme, tick), of each of which all are samples.

    Cohort 0 is the one before the first pulse, in tick 1. Nodes of the ticks ``drop`` are not kept.
    """
    rng = random.Random(seed)
    pulses = [m for m in moves if m.pulse]
    assert min(m.tick for m in pulses) == 1
    labels = {q: k for k, q in enumerate(dict.fromkeys(m.source for m in sorted(pulses, key=lambda m: m.tick)), 1)}
    first_pulse = {q: min(m.tick for m in pulses if m.source == q) for q in labels}
    kept = {t for m in pulses for t in (m.tick - 1, m.tick)} - set(drop)
    tables = tskit.TableCollection(length)
    tables.time_units = "generations"
    tables.populations.metadata_schema = tskit.MetadataSchema.permissive_json()
    tables.individuals.add_row()
    for name in DEMES:
        tables.populations.add_row(metadata={"name": name})
    paint: dict[int, list[int]] = {}
    flags: dict[int, int] = {}
    owner: dict[int, int] = {}

    def person(tick: int, deme: int) -> list[int]:
        pair = [tables.nodes.add_row(time=last - tick, population=deme) for _ in range(2)]
        key = len(tables.individuals)
        tables.individuals.add_row()
        for u in pair:
            sample = (deme, tick) in sampled
            flags[u] = (CENSUS if tick in kept else 0) | (tskit.NODE_IS_SAMPLE if sample else 0)
            owner[u] = key
        return pair

    people = {d: [person(0, d) for _ in range(n)] for d in range(len(DEMES))}
    paint |= {u: [0] * length for pairs in people.values() for pair in pairs for u in pair}
    for tick in range(1, last + 1):
        born = {}
        for deme in range(len(DEMES)):
            come = [m for m in moves if m.tick == tick and m.target == deme for _ in range(m.n)]
            origin = [*come, *[None] * (n - len(come))]
            born[deme] = [person(tick, deme) for _ in range(n)]
            for move, pair in zip(origin, born[deme], strict=True):
                home = deme if move is None else move.source
                for child in pair:
                    parents = rng.choice(people[home])
                    cuts = sorted({c for c in range(1, length) if rng.random() < crossovers / length})
                    strand = rng.randrange(2)
                    paint[child] = []
                    for left, right in zip([0, *cuts], [*cuts, length], strict=True):
                        tables.edges.add_row(left, right, parents[strand], child)
                        paint[child] += paint[parents[strand]][left:right]
                        if move is not None and not move.pulse:
                            flags[parents[strand]] |= MIGRANT
                        strand = 1 - strand
                    if move is not None and not move.pulse:
                        flags[child] |= MIGRANT
                    if move is not None and home in labels and tick >= first_pulse[home]:
                        paint[child] = [labels[home]] * length
        people = born
    kinds = np.array([flags[u] for u in range(len(flags))], np.uint32)
    # tskit can keep unary nodes of individuals: only nodes that are wanted have one
    wanted = (kinds & (CENSUS | MIGRANT | tskit.NODE_IS_SAMPLE)) != 0
    individual = np.where(wanted, [owner[u] for u in range(len(flags))], -1).astype(np.int32)
    time, population = tables.nodes.time, tables.nodes.population
    tables.nodes.set_columns(flags=kinds, time=time, population=population, individual=individual)
    if metadata:
        tables.metadata_schema = tskit.MetadataSchema.permissive_json()
        census = [
            {"tick": m.tick - 1, "time_ago": last - m.tick + 1, "pulse": f"p{k}", "source": DEMES[m.source],
             "target": DEMES[m.target]}
            for k, m in enumerate(pulses)
        ]  # fmt: skip
        tables.metadata = {"admix": {"sources": [DEMES[q] for q in labels], "census": census}}
    tables.sort()
    ts = tables.tree_sequence()
    samples = ts.samples()
    less, where = ts.simplify(
        samples, keep_unary_in_individuals=True, keep_input_roots=True, filter_populations=False, map_nodes=True
    )
    assert list(where[samples]) == list(less.samples())
    since = {q: float(last - tick + 1) for q, tick in first_pulse.items()}
    return Toy(less, [paint[u] for u in samples], labels, sorted({float(last - t) for t in kept}), since)
