# SPDX-License-Identifier: GPL-3.0-or-later
"""f4, f4-ratios and D of tree sequences with block-jackknife errors, beside the true ancestry of the same genomes.

With a, b, ... the frequencies of an allele, and sums over sites (Patterson et al. 2012,
doi:10.1534/genetics.112.145037)

    f4(A, B; C, D) = sum (a - b)(c - d) / number of sites
    D(A, B; C, D)  = sum (a - b)(c - d) / sum (a + b - 2ab)(c + d - 2cd)
    direct         = f4(A, O; X, C) / f4(A, O; B, C)
    indirect       = 1 - f4(G, O; X, AB) / f4(G, O; C, AB)

for people X, two archaic genomes A and B (AB both together), an African population C that is compared with, another
one G, and an outgroup O. `direct` is the share of X's ancestry that comes from the side of B, and supposes nothing of
gene flow into Africa; `indirect` is wrong if C or G have Eurasian ancestors (Petr et al. 2019,
doi:10.1073/pnas.1814338116).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tskit

from admix.blocks import Blocks, Jackknife, jackknife
from admix.errors import InputError, RunError
from admix.samples import group_rows, sample_table
from admix.tracts import cover

__all__ = ["COLUMNS", "MODES", "Roles", "f_statistics"]

Floats = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

MODES = ("site", "branch")
COLUMNS = (
    "statistic", "people", "individuals", "estimate", "se", "z", "blocks", "sites",
    "truth", "truth_se", "difference", "difference_se",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which sampled people play which part; each is a group as `admix.samples.group_rows` reads it.

    Attributes
    ----------
    a
        The archaic genome that shares drift with the source of the gene flow.
    c
        The African population.
    o
        The outgroup.
    x
        Those whose ancestry is asked for, one or more groups.
    b
        A second archaic genome; without it there is no f4-ratio.
    g
        A second African population; without it there is no indirect f4-ratio.
    """

    a: str
    c: str
    o: str
    x: tuple[str, ...]
    b: str | None = None
    g: str | None = None

    def renamed(self, name: Callable[[str], str]) -> Roles:
        """Return the roles with another name for each group."""
        b, g = (None if word is None else name(word) for word in (self.b, self.g))
        return Roles(a=name(self.a), b=b, c=name(self.c), g=g, o=name(self.o), x=tuple(name(word) for word in self.x))


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sample sets, and the statistics as quadruples of them. `rows` are those of the samples of each group X."""

    sets: list[list[int]]
    names: tuple[str, ...]
    rows: list[Int32]
    quadruples: list[tuple[int, int, int, int]]
    direct: list[tuple[int, int]]
    indirect: list[tuple[int, int]]
    d: list[int]


def f_statistics(
    trees: Iterable[tuple[str, tskit.TreeSequence]],
    roles: Roles,
    blocks: Blocks,
    *,
    mode: str = "site",
    each: bool = False,
    tracts: pd.DataFrame | None = None,
    gaps: Mapping[str, Int64] | None = None,
) -> pd.DataFrame:
    """Return f4, D and f4-ratios of groups of people, with errors, and their true ancestry.

    Parameters
    ----------
    trees
        Chromosome name and tree sequence; all chromosomes have the same samples in the same order.
    roles
        Who is compared.
    blocks
        For the jackknife; they must have the chromosomes that come.
    mode
        ``site``: over variable sites; ``branch``: over branches, what sites give on average at one mutation rate.
    each
        Every individual of `x` by itself, too.
    tracts
        Archaic tracts of the samples, of the sources that count as the truth: columns `chrom`, `start`, `end`,
        `sample`, `haplotype`. None leaves the truth missing.
    gaps
        By name of chromosome, stretches of unknown sequence, int64[k, 2] in order, that count for nothing. A gap of
        many Mb without recombination would weigh as much as a fifth of a small chromosome, with a single genealogy.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: `statistic` is ``f4`` or ``D`` (both of X, C; A, O), ``f4_ratio_direct`` or
        ``f4_ratio_indirect``; `people` the group, or the name of an individual; `z` is estimate / se; `sites` those
        that vary among all groups (missing with branches). `truth` is the share of the genomes that is in the tracts;
        `difference` is estimate - truth, for the ratios alone, its error that of the difference.

    Raises
    ------
    InputError
        For an unknown mode or group.
    RunError
        For a tree sequence with several roots at one place, without sites (in mode ``site``), or with other samples
        than the first, or if no tree sequence comes.

    Notes
    -----
    At a site with more than two alleles each is compared with the rest, as tskit does.
    """
    if mode not in MODES:
        raise InputError("mode", mode, " or ".join(MODES))
    plan: _Plan | None = None
    samples = pd.DataFrame()
    parts: list[dict[str, Floats]] = []
    for chrom, ts in trees:
        _check(ts, chrom, mode)
        own = sample_table(ts)
        if plan is None:
            plan, samples = _plan(own, roles, each), own
        elif not own.equals(samples):
            raise RunError(f"trees of chromosome {chrom}", "other samples than in the chromosomes before")
        if chrom not in blocks.edges or blocks.edges[chrom][-1] != ts.sequence_length:
            raise RunError(f"trees of chromosome {chrom}", f"{ts.sequence_length:,.10g} bp, unlike the genetic map")
        holes = np.zeros((0, 2), np.int64) if gaps is None else gaps[chrom]
        if len(holes):
            ts = ts.delete_intervals(holes, simplify=False, record_provenance=False)
        part = _sums(ts, plan, blocks.edges[chrom], mode)
        part["bases"] = np.diff(_known(blocks.edges[chrom], holes)).astype(np.float64)[:, None]
        if tracts is not None:
            part["covered"] = _hidden(tracts, chrom, samples, plan, blocks.edges[chrom], holes)
        parts.append(part)
    if plan is None:
        raise RunError("tree sequences", "none is there")
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return _table(plan, whole, mode)


def _check(ts: tskit.TreeSequence, chrom: str, mode: str) -> None:
    where = f"trees of chromosome {chrom}"
    if any(tree.num_roots > 1 for tree in ts.trees()):
        raise RunError(where, "several roots at one place", "recapitate them first (admix recapitate)")
    if mode == "site" and ts.num_sites == 0:
        raise RunError(where, "no variable site", "put mutations on them (admix recapitate), or use mode branch")


def _plan(samples: pd.DataFrame, roles: Roles, each: bool) -> _Plan:
    """Nodes of all groups, and which four of them make which statistic."""
    haplotypes = samples[["node_0", "node_1"]].to_numpy()

    def rows(part: str) -> Int32:
        return group_rows(samples, getattr(roles, part), f"group {part.upper()} of the f-statistics")

    parts = {part: rows(part) for part in ("a", "b", "c", "g", "o") if getattr(roles, part) is not None}
    if roles.b is not None:
        parts["ab"] = np.union1d(parts["a"], parts["b"])
    if not roles.x:
        raise InputError("group X of the f-statistics", allowed="at least one group")
    people = [(word, group_rows(samples, word, "group X of the f-statistics")) for word in roles.x]
    if each:
        people += [(samples["sample"].iloc[r], np.array([r], np.int32)) for _, group in people for r in group]
    at = {part: i for i, part in enumerate(parts)}
    sets = [haplotypes[r].ravel().tolist() for r in [*parts.values(), *(group for _, group in people)]]
    quadruples: list[tuple[int, int, int, int]] = []
    d, direct, indirect = [], [], []

    def add(*four: int) -> int:
        if four not in quadruples:
            quadruples.append((four[0], four[1], four[2], four[3]))
        return quadruples.index((four[0], four[1], four[2], four[3]))

    for x in range(len(parts), len(sets)):
        d.append(add(x, at["c"], at["a"], at["o"]))
        if "b" in at:
            direct.append((add(at["a"], at["o"], x, at["c"]), add(at["a"], at["o"], at["b"], at["c"])))
        if "b" in at and "g" in at:
            indirect.append((add(at["g"], at["o"], x, at["ab"]), add(at["g"], at["o"], at["c"], at["ab"])))
    names, groups = zip(*people, strict=True)
    return _Plan(sets, names, list(groups), quadruples, direct, indirect, d)


def _sums(ts: tskit.TreeSequence, plan: _Plan, edges: Int64, mode: str) -> dict[str, Floats]:
    """Sums of all statistics in the blocks of a chromosome, shape (blocks, k) each."""
    common: dict[str, Any] = {"windows": edges.astype(np.float64), "mode": mode, "span_normalise": False}
    people = len(plan.rows)
    _, c, a, o = (plan.sets[i] for i in plan.quadruples[plan.d[0]])
    sets = [a, o, c, *plan.sets[-people:]]
    differ = _both_differ(np.array([len(group) for group in sets], dtype=np.float64))
    everybody = sorted({node for group in plan.sets for node in group})
    return {
        "f4": ts.f4(plan.sets, indexes=plan.quadruples, **common),
        "differ": ts.sample_count_stat(sets, differ, people, polarised=True, **common),
        "sites": ts.segregating_sites([everybody], **common),
    }


def _both_differ(sizes: Floats) -> Callable[[Floats], Floats]:
    """Summary function of D's denominator for the sets A, O, C and all X: (x + c - 2xc)(a + o - 2ao) for each X."""
    zero = np.zeros(len(sizes) - 3)
    n_a, n_o, n_c = sizes[:3].tolist()
    n_x = sizes[3:]

    def summary(count: Floats) -> Floats:
        # called for each allele or branch; at most of them A and O are the same
        a, o = count[0] / n_a, count[1] / n_o
        apart = a + o - 2 * a * o
        if apart == 0:
            return zero
        x, c = count[3:] / n_x, count[2] / n_c
        return np.asarray((x + c - 2 * c * x) * apart)

    return summary


def _known(bp: Int64, holes: Int64) -> Int64:
    """How many bases lie before each of `bp`, not counting those in holes."""
    return bp - cover(holes[:, 0], holes[:, 1], bp)


def _hidden(tracts: pd.DataFrame, chrom: str, samples: pd.DataFrame, plan: _Plan, edges: Int64, holes: Int64) -> Floats:
    """Bases in tracts of each group X in the blocks of a chromosome, holes left out, shape (blocks, groups)."""
    here = tracts[tracts["chrom"].astype(str) == chrom]
    row = here["sample"].map({name: i for i, name in enumerate(samples["sample"])}).to_numpy(dtype=np.float64)
    start, end = (_known(here[column].to_numpy(dtype=np.int64), holes) for column in ("start", "end"))
    edges = _known(edges, holes)
    columns = []
    for rows in plan.rows:
        mine = np.isin(row, rows)
        columns.append(np.diff(cover(start[mine], end[mine], edges)))
    return np.array(columns, dtype=np.float64).T


def _table(plan: _Plan, sums: dict[str, Floats], mode: str) -> pd.DataFrame:
    """Estimates of all groups from the sums in all blocks."""
    f4 = sums["f4"]
    weight = sums["sites"] if mode == "site" else sums["bases"]
    held = float(sums["sites"].sum()) if mode == "site" else np.nan
    rows: list[dict[str, object]] = []
    for k, (name, group) in enumerate(zip(plan.names, plan.rows, strict=True)):
        truth = None
        if "covered" in sums:
            truth = jackknife(sums["covered"][:, k], sums["bases"][:, 0] * 2 * len(group), weight)
        common = {"people": name, "individuals": len(group), "sites": held}
        here = f4[:, plan.d[k]]
        rows.append({"statistic": "f4"} | common | _row(jackknife(here, weight[:, 0], weight), truth))
        rows.append({"statistic": "D"} | common | _row(jackknife(here, sums["differ"][:, k], weight), truth))
        if plan.direct:
            top, low = plan.direct[k]
            ratio = jackknife(f4[:, top], f4[:, low], weight)
            rows.append({"statistic": "f4_ratio_direct"} | common | _row(ratio, truth, compared=True))
        if plan.indirect:
            top, low = plan.indirect[k]
            ratio = jackknife(f4[:, low] - f4[:, top], f4[:, low], weight)
            rows.append({"statistic": "f4_ratio_indirect"} | common | _row(ratio, truth, compared=True))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(found: Jackknife, truth: Jackknife | None, compared: bool = False) -> dict[str, object]:
    estimate, error = float(found.estimate[0]), float(found.error[0])
    row: dict[str, object] = {
        "estimate": estimate, "se": error, "z": estimate / error if error > 0 else np.nan,
        "blocks": int((found.weight > 0).sum()),
    }  # fmt: skip
    if truth is not None:
        row |= {"truth": float(truth.estimate[0]), "truth_se": float(truth.error[0])}
        if compared:
            apart = found.minus(truth)
            row |= {"difference": float(apart.estimate[0]), "difference_se": float(apart.error[0])}
    return row
