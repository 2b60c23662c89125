# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in words: the question, how sure the answer is, what the meanings of ancestor are, the methods paragraph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from admix.prediction import Forecast
from admix.report.references import Reference
from admix.results import Run
from admix.scenario import Scenario, ShippedGenome
from admix.summary import LEVEL, people, percent

__all__ = ["certainty", "estimate_text", "joined", "meaning", "methods", "question"]

_QUESTION = re.compile(r"(.*?\?)\s*(.*)", re.DOTALL)


def question(description: str) -> tuple[str, str]:
    """Return the question that a description opens with (else its first sentence), and the rest."""
    text = " ".join(description.split())
    found = _QUESTION.match(text) or re.match(r"(.*?\.)(?: |$)(.*)", text)
    return (found[1], found[2]) if found else (text, "")


def joined(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""


def estimate_text(estimate: Mapping[str, Any] | None) -> str:
    """Return a share as per cent, with its interval where there is one that has a width."""
    if estimate is None or estimate.get("mean") is None:
        return "–"
    text, interval = percent(estimate["mean"]), estimate.get("interval")
    if interval is not None and interval[1] - interval[0] > 1e-9:
        text += f" [{percent(interval[0]).removesuffix(' %')}, {percent(interval[1]).removesuffix(' %')}]"
    return text


def certainty(summary: Mapping[str, Any], forecast: Forecast | None) -> list[str]:
    """Return sentences that say what the numbers' uncertainty covers, and what theory expected of single runs."""
    replicates, burnins = int(summary["replicates"]), int(summary["burnins"])
    said = []
    if replicates == 1:
        said.append("This is one replicate, one course that history could have taken, so there is no interval.")
    elif burnins == 1:
        said.append(
            f"Means are of {replicates} replicates that share one history before the pulse. Their scatter is"
            " drift after the pulse alone; how much such histories differ is not known from this run, so no interval is"
            " given."
        )
    else:
        said.append(
            f"Means are of {replicates} replicates from {burnins} independent histories before the pulse."
            f" Square brackets hold the {100 * LEVEL:.0f} % interval of the mean: drift after the pulse and the scatter"
            " between"
            " histories. It does not cover the choice of the model."
        )
    if forecast is not None:
        expected = []
        for entry in summary["entries"]:
            rows = forecast.trajectory
            rows = rows[(rows["branch"] == entry["branch"]) & (rows["source"] == entry["source"])]
            rows = rows[(rows["deme"] == entry["deme"]) & (rows["generation"] == entry["ancestry"][-1]["generation"])]
            if entry["twin"] == "none" and len(rows):
                row = rows.iloc[0]
                low, high = (percent(float(row[f"ancestry_{end}"])).removesuffix(" %") for end in ("low", "high"))
                of = percent(entry["realised"]["mean"]) if entry["realised"] else entry["branch"]
                expected.append(f"{percent(float(row['ancestry_mean']))} [{low}, {high}] of {of}")
        if expected:
            said.append(
                f"Theory, which knows nothing of this run, expected {joined(expected)} to be left"
                " (95 % of single runs in brackets)."
            )
    return said


_MEANINGS: Mapping[str, tuple[str, str]] = {
    "headcount": (
        "By head-count",
        "The share of generation 1, the mixed founding cohort, that are {who}s. It is the pulse itself.",
    ),
    "genealogical": (
        "Founders with descendants",
        "Among the founders who have at least one living descendant, the share that are {who}s. Lines of {who}s die out"
        " more often, as selection acts on people, not on single letters of DNA.",
    ),
    "genealogical@": (
        "Everybody alive {date} ago who has descendants",
        "So long ago nearly everybody with any living descendant is an ancestor of everybody. The share is close to"
        " that of {who}s among all people then, whatever the pulse and the selection.",
    ),
    "genetic": (
        "Founders who left DNA",
        "Among the founders from whom at least one base came down to the living, the share that are {who}s. It depends"
        " on how many people and generations are looked at.",
    ),
    "pedigree_paths": (
        "Paths through the pedigree",
        "Go back from the living to the founders, parent by parent, choosing mother or father at random: how often does"
        " the path end in a {who}? The pedigree is purged together with the DNA.",
    ),
    "dna": ("DNA", "The share of the living people's DNA that came from {who}s."),
}


def meaning(measure: str, who: str) -> tuple[str, str]:
    """Return a name and an explanation of a measure of ancestors.tsv."""
    stem, at, date = measure.partition("@")
    name, text = _MEANINGS.get(stem + at, (measure.replace("_", " "), ""))
    when = re.sub(r"^([\d.]+)ka$", r"\1,000 years", date)
    return name.format(date=when), text.format(who=who)


def methods(run: Run, works: Sequence[Reference]) -> str:
    """Return a paragraph for the methods section of a paper, with citations by author and year."""
    scenario, summary, provenance = run.scenario, run.summary, run.provenance
    cite = _citer(works)
    cite.used.add("admix")
    engine = scenario.run.engine or "native"
    version = provenance["software"]["admix"]
    text = [f"We simulated the scenario “{scenario.name}” with admix {version}."]
    how = {
        "native": "Diploid Wright-Fisher populations were simulated forwards in time, one tick a generation, without"
        " rescaling",
        "slim": "Populations were simulated forwards in time in SLiM, without rescaling",
        "msprime": "Sampled people were simulated by coalescence in msprime, without selection",
    }[engine]
    text.append(f"{how}, on {_genome(scenario)}.")
    text += [] if engine == "msprime" else [_selection(scenario)]
    text.append(_demography(scenario, cite))
    text.append(_pulses(run))
    count, burnins = int(summary["replicates"]), int(summary["burnins"])
    runs = f"{count} replicate{'s' * (count != 1)}" + (
        f" from {burnins} independent histor{'y' if burnins == 1 else 'ies'} before the pulse"
        if engine != "msprime"
        else ""
    )
    seed = scenario.run.seed or 1
    twin = ", each with a twin without selection from the pulse on" if scenario.run.twin == "neutral" else ""
    text.append(f"We ran {runs}{twin} (seed {seed}; results version {provenance['software']['results_version']}).")
    if engine != "msprime":
        text.append(
            "Ancestry was recorded from the pulse on by neutral markers, one in each window of the genome. Generation 1"
            " is the cohort of the pulse and generation 2 the first one born after one round of selection."
        )
    rest = [work for work in works if work.key not in cite.used]
    if rest:
        named = [f"{work.role}: {cite(work.key)}" if work.role else cite(work.key) for work in rest]
        text.append(f"Further sources: {'; '.join(named)}.")
    return " ".join(text)


class _citer:
    """Turns keys into citations and remembers which were used."""

    def __init__(self, works: Sequence[Reference]) -> None:
        self.works = {work.key: work for work in works}
        self.used: set[str] = set()

    def __call__(self, key: str) -> str:
        self.used.add(key)
        return self.works[key].short


def _genome(scenario: Scenario) -> str:
    genome = scenario.build_genome()
    count = len(genome.chroms)
    what = f"{count} chromosome{'s' * (count != 1)}"
    target = f"{genome.functional_bp / 1e6:,.1f} Mb of functional sequence"
    if isinstance(scenario.genome, ShippedGenome):
        what = f"{'the 22' if count == 22 else count} human autosome{'s' * (count != 1)} (GRCh37)"
        kind = "exons" if scenario.genome.target == "exons" else "coding sequence"
        target = f"{genome.functional_bp / 1e6:,.1f} Mb of {kind}"
    return f"{what} of {genome.total_bp / 1e6:,.0f} Mb and {genome.morgans:.2f} Morgans, with {target}"


def _selection(scenario: Scenario) -> str:
    block = scenario.to_tree()["selection"]
    dfe, dominance = block["dfe"], block.get("dominance")
    kind = str(dfe.get("kind"))
    if kind == "gamma":
        effects = f"selection coefficients from a gamma distribution (mean {dfe['mean']:g}, shape {dfe['shape']:g})"
    elif kind == "named":
        effects = f"selection coefficients from the published distribution “{dfe['name']}”"
    else:
        effects = f"selection coefficients as given in the scenario ({kind})"
    h = f"dominance h = {dominance:g}" if isinstance(dominance, int | float) else "dominance as given in the scenario"
    return (
        f"Harmful mutations arise there at {block['mutation_rate']:g} per base and generation, with {effects} and {h};"
        " fitness is multiplicative over sites and acts on the choice of parents."
    )


def _demography(scenario: Scenario, cite: _citer) -> str:
    graph = scenario.graph
    parts = []
    for deme in graph.demes:
        sizes = [e.start_size for e in deme.epochs] + [e.end_size for e in deme.epochs]
        low, high = min(sizes), max(sizes)
        size = f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
        since = f", from {deme.start_time:,.0f} years ago" if np.isfinite(deme.start_time) else ""
        parts.append(f"{people(deme.name)} (N = {size}{since})")
    source = f" The model is a Demes graph ({cite('gower2022')})." if "gower2022" in cite.works else ""
    return f"Populations were {joined(parts)}, with a generation time of {graph.generation_time:g} years.{source}"


def _pulses(run: Run) -> str:
    rows = run.table("pulse")
    parts = []
    for (source, target, years), group in rows.groupby(["source", "target", "years_bp"], sort=False):
        shares = [percent(float(s)) for s in dict.fromkeys(group["requested"])]
        parts.append(
            f"{' or '.join(shares)} {people(str(source))} gene copies into {people(str(target))} {years:,.0f} years ago"
        )
    return f"Gene flow: {'; '.join(parts)}." if parts else "Gene flow was continuous, as in the model."
