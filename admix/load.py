# SPDX-License-Identifier: GPL-3.0-or-later
"""Load by origin, archaic, modern and new, and the relative fitness of unmixed archaic people and their first hybrids.

Load is log fitness lost, natural logarithm, relative to the common ancestor's fixed genotype: a genotype costs
``-log(1 + hs)`` with one copy of a mutation and ``-log(1 + s)`` with two, and sites add up.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tskit

from admix.schedule import Schedule
from admix.selection import Selection
from admix.trees import NEUTRAL, mutations

__all__ = ["ORIGINS", "chromosome_load", "population_load", "relative_fitness"]

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

ORIGINS = ("archaic", "modern", "new")
"""Origin of a copy of a mutation: `new` if it arose in generation 1 or later; else `archaic` if it lies in a tract of
the source, and `modern` if it does not."""

_FEW = 0.002  # share of F1 people in generation 2 below which their mean is not worth solving for


def population_load(trajectory: pd.DataFrame) -> pd.DataFrame:
    """Return the load of whole populations over time, split as far as the trajectory knows it.

    Parameters
    ----------
    trajectory
        The table of a run; rows in which `load_archaic` was not measured are left out.

    Returns
    -------
    DataFrame
        The first columns of the trajectory, `generation`, `years_bp`, `ancestry`, `load` (-`log_fitness_mean`),
        `load_archaic` (of alleles that the source had and the target had not in the tick before the pulse, wherever
        they lie), `load_other` (of all others, standing or new), and `load_archaic_per_ancestry`, the first of them
        divided by the ancestry: what a genome that is archaic throughout would lose.

    Notes
    -----
    Here `archaic` goes by the allele; in `chromosome_load`, by the ancestry of the place where it lies.
    """
    known = trajectory[trajectory["load_archaic"].notna() & trajectory["log_fitness_mean"].notna()]
    out = known[["branch", "replicate", "twin", "source", "deme", "generation", "years_bp"]].reset_index(drop=True)
    load = 0.0 - known["log_fitness_mean"].to_numpy()  # and not -0.0
    archaic, ancestry = known["load_archaic"].to_numpy(), known["ancestry_mean"].to_numpy()
    each = np.divide(archaic, ancestry, out=np.full(len(out), np.nan), where=ancestry > 0)
    return out.assign(
        ancestry=ancestry, load=load, load_archaic=archaic, load_other=load - archaic, load_archaic_per_ancestry=each
    )


def chromosome_load(
    ts: tskit.TreeSequence, samples: pd.DataFrame, tracts: pd.DataFrame, selection: Selection, first_tick: int
) -> Floats:
    """Return the load of each sampled individual on a chromosome by the origin of what it carries.

    Parameters
    ----------
    ts
        The chromosome; alleles are lists of mutation ids.
    samples
        Its individuals, from `admix.samples.sample_table`.
    tracts
        Archaic tracts of one source on it: columns `start`, `end`, `sample`, `haplotype`.
    selection
        Of the run: it gives h for each s.
    first_tick
        Tick of generation 1. Mutations born then or later are new.

    Returns
    -------
    float64[individuals, 3]
        In the order of `ORIGINS`. Of two copies of a mutation in one person, each counts for half of what both cost.
        s has single precision in the files.
    """
    known = mutations(ts)
    ids, first = np.unique(known.id, return_index=True)
    s = np.where(known.type[first] == NEUTRAL, 0.0, known.s[first])
    one = -np.log1p(selection.dominance_of(s) * s)
    two = -np.log1p(s)
    new = known.tick[first] >= first_tick
    which, haplotype, bp = _copies(ts, samples, ids[s != 0])
    which = np.flatnonzero(s != 0)[which]
    order = np.lexsort((haplotype, which))
    which, haplotype, bp = which[order], haplotype[order], bp[order]
    person = haplotype // 2
    # the two copies of one person lie side by side
    twin = (which[1:] == which[:-1]) & (person[1:] == person[:-1])
    both = np.append(twin, False)[: len(which)] | np.append(False, twin)[: len(which)]
    cost = np.where(both, two[which] / 2, one[which])
    origin = np.where(new[which], 2, np.where(_inside(tracts, samples, haplotype, bp), 0, 1))
    out = np.zeros((len(samples), len(ORIGINS)))
    np.add.at(out, (person, origin), cost)
    return out


def _copies(ts: tskit.TreeSequence, samples: pd.DataFrame, ids: Int64) -> tuple[Int64, Int64, Int64]:
    """Copies of mutations in the samples: index into `ids`, haplotype (2i and 2i + 1 of person i), bp."""
    nodes = samples[["node_0", "node_1"]].to_numpy().ravel()
    place = {str(number): i for i, number in enumerate(ids.tolist())}
    which: list[Int64] = []
    carriers: list[Int64] = []
    bp: list[Int64] = []
    for variant in ts.variants(samples=nodes):
        held: dict[int, Bool] = {}
        for allele, state in enumerate(variant.alleles):
            numbers = [place[number] for number in (state or "").split(",") if number in place]
            has = variant.genotypes == allele
            for i in numbers:
                held[i] = held[i] | has if i in held else has
        for i, has in held.items():
            who = np.flatnonzero(has)
            carriers.append(who)
            which.append(np.full(len(who), i))
            bp.append(np.full(len(who), int(variant.site.position)))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *which]), np.concatenate([empty, *carriers]), np.concatenate([empty, *bp])


def _inside(tracts: pd.DataFrame, samples: pd.DataFrame, haplotype: Int64, bp: Int64) -> Bool:
    """Whether each base of a haplotype lies in a tract of it."""
    number = tracts["sample"].map({name: i for i, name in enumerate(samples["sample"])})
    mine = number.notna().to_numpy()
    row = 2 * number[mine].to_numpy(dtype=np.int64) + tracts["haplotype"].to_numpy(dtype=np.int64)[mine]
    start, end = (tracts[column].to_numpy(dtype=np.int64)[mine] for column in ("start", "end"))
    width = max(int(end.max(initial=0)), int(bp.max(initial=0))) + 1
    order = np.argsort(row * width + start)
    begin, stop = (row * width + start)[order], (row * width + end)[order]
    key = haplotype * width + bp
    at = np.searchsorted(begin, key, side="right") - 1
    return np.asarray((at >= 0) & (key < np.append(stop, 0)[at]))


def relative_fitness(
    pulses: pd.DataFrame, trajectory: pd.DataFrame, selection: Selection, schedule: Schedule
) -> pd.DataFrame:
    """Return the fitness of unmixed archaic people, F1 and backcrosses relative to native people at a pulse.

    Parameters
    ----------
    pulses, trajectory
        The tables of one branch of a run.
    selection
        Of the run.
    schedule
        Of the branch.

    Returns
    -------
    DataFrame
        `branch`, `replicate`, `twin`, `source`, `pulse`, `target`, `people`, `method`, `log_fitness`, `fitness`
        (relative: natives have 0 and 1).

    Notes
    -----
    ``archaic``, ``measured``: `fitness_archaic_relative` of pulse.tsv, w: a ratio of mean fitnesses.

    ``F1`` and ``backcross``, ``additive``: w^(1/2) and w^(1/4). A person's fitness is then the product of the
    fitnesses of two independent gametes, so for F1 this is exact but for chance; for the child of an F1 and a native
    person it neglects how unequally meiosis shares out the archaic half. Given where h is 0.5 throughout.

    ``F1``, ``generation 2``: from the run itself, for any h. In generation 2 people have none, one or two unmixed
    archaic gametes; how many is known from the mean and the variance of their ancestry, the mean log fitness of the
    first and the last of them from generation 1, and so that of F1 from the mean of the cohort. It takes natives and
    archaic people to be as fit as their parents' generation, and is a ratio of geometric means. Given where
    individuals came by the first pulse of all, and no other and no migration touches the deme then or next.
    """
    rows = []
    labels = ["branch", "replicate", "twin", "source", "pulse", "target"]
    additive = isinstance(selection.dominance, float) and selection.dominance == 0.5
    for row in pulses.to_dict("records"):
        found: list[tuple[str, str, float]] = []
        w = row["fitness_archaic_relative"]
        if np.isfinite(w) and w > 0:
            found.append(("archaic", "measured", float(np.log(w))))
            if additive:
                found += [("F1", "additive", float(np.log(w) / 2)), ("backcross", "additive", float(np.log(w) / 4))]
        solved = _solve_f1(row, trajectory, schedule)
        if np.isfinite(solved):
            found.append(("F1", "generation 2", solved))
        common = {key: row[key] for key in labels}
        for people, method, log in found:
            rows.append(
                common | {"people": people, "method": method, "log_fitness": log, "fitness": float(np.exp(log))}
            )
    return pd.DataFrame(rows, columns=[*labels, "people", "method", "log_fitness", "fitness"])


def _solve_f1(pulse: Mapping[Hashable, Any], trajectory: pd.DataFrame, schedule: Schedule) -> float:
    """Mean log fitness of F1 people less that of natives, from generations 1 and 2; NaN where it cannot be known."""
    event = next(p for p in schedule.pulses if p.name == pulse["pulse"])
    others = [p for p in schedule.pulses if p is not event and p.tick <= event.tick + 1]
    alone = all(
        schedule.exists(event.target, tick) and schedule.parents(event.target, tick) == [(event.target, 1.0)]
        for tick in (event.tick, event.tick + 1)
    )
    if event.unit != "individuals" or others or not alone:
        return float("nan")
    same = trajectory[["branch", "replicate", "twin", "source"]] == [
        pulse[key] for key in ("branch", "replicate", "twin", "source")
    ]
    mine = trajectory[same.all(axis=1) & (trajectory["deme"] == pulse["target"])].set_index("generation")
    if 1 not in mine.index or 2 not in mine.index:
        return float("nan")
    columns = ["ancestry_mean", "ancestry_sd", "log_fitness_mean"]
    (share, _, before), (mean, sd, after) = (mine.loc[g, columns].to_numpy(dtype=np.float64) for g in (1, 2))
    native = before + share * pulse["log_load_difference"]
    archaic = native - pulse["log_load_difference"]
    square = sd**2 + mean**2
    f1 = 4 * (mean - square)
    pure = mean - f1 / 2
    if not f1 > _FEW:
        return float("nan")
    return float((after - pure * archaic - (1 - f1 - pure) * native) / f1 - native)
