# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was sampled in a tree sequence, and groups of them by name."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import tskit

from admix.errors import InputError, RunError, nearest
from admix.genome_layout import Int32
from admix.trees import population_names, sample_names

__all__ = ["group_rows", "sample_table"]

_GROUP = re.compile(r"(?P<deme>[^@:]+)(?:@(?P<time>\d+(?:\.\d+)?))?(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?")


def sample_table(ts: tskit.TreeSequence) -> pd.DataFrame:
    """Return the sampled individuals of a tree sequence.

    Returns
    -------
    DataFrame
        In order of the individual table: `sample` (name, see `admix.trees.sample_names`), `deme`, `time`
        (generations before the last cohort), `node_0`, `node_1` (its haplotypes).

    Raises
    ------
    RunError
        If a sample belongs to no individual, or an individual has not two sampled haplotypes.
    """
    names = sample_names(ts)
    nodes = ts.samples()
    nodes = nodes[np.lexsort((nodes, ts.nodes_individual[nodes]))]
    owner, count = np.unique(ts.nodes_individual[nodes], return_counts=True)
    if (count != 2).any():
        raise RunError(
            "tree sequence", f"individual {owner[int(np.argmax(count != 2))]} has not two sampled haplotypes"
        )
    demes = population_names(ts)
    return pd.DataFrame(
        {
            "sample": names,
            "deme": [demes[p] for p in ts.individuals_population[owner]],
            "time": ts.individuals_time[owner],
            "node_0": nodes[::2],
            "node_1": nodes[1::2],
        }
    )


def group_rows(samples: pd.DataFrame, word: str, where: str = "group") -> Int32:
    """Return the rows of `samples` (see `sample_table`) that a word names.

    Parameters
    ----------
    samples
        Individuals with `deme` and `time`.
    word
        ``DEME``, ``DEME@GENERATIONS`` (those that lived so many generations before the last cohort), either with
        ``:K`` or ``:K-L`` for the individuals K to L of them alone, counted from 0. So ``neanderthal@2857:0`` is
        the first Neanderthal of that time.
    where
        What the group is for, for the message.

    Raises
    ------
    InputError
        If the word is no such name, or nobody bears it.
    """
    found = _GROUP.fullmatch(word.strip())
    counts = samples.groupby(["deme", "time"], sort=False).size().reset_index(name="n")
    there = [f"{deme}@{time:g} ({n})" for deme, time, n in counts.itertuples(index=False)]
    if found is None:
        raise InputError(where, word, "DEME, DEME@GENERATIONS, and either with :K or :K-L for some individuals of it")
    deme = found["deme"]
    demes = list(dict.fromkeys(samples["deme"]))
    if deme not in demes:
        raise InputError(where, word, f"sampled individuals: {', '.join(there)}", nearest(deme, demes))
    chosen = (samples["deme"] == deme).to_numpy()
    if found["time"] is not None:
        chosen = chosen & (samples["time"].to_numpy() == float(found["time"]))
    rows = np.flatnonzero(chosen)
    if found["first"] is not None:
        first = int(found["first"])
        last = first if found["last"] is None else int(found["last"])
        rows = rows[first : last + 1] if first <= last < len(rows) else rows[:0]
    if len(rows) == 0:
        raise InputError(where, word, f"sampled individuals: {', '.join(there)}")
    return rows.astype(np.int32)
