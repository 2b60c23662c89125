# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections that say how a run was made: the model, the provenance, the citations."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from admix.report import words
from admix.report.html import Markup, fragment, tag
from admix.report.material import Material, copied, table
from admix.report.references import bibtex
from admix.summary import percent

__all__ = ["the_citations", "the_making", "the_model"]


def the_model(material: Material) -> Markup:
    """Return the demographic model and the parameters."""
    scenario = material.run.scenario
    tree = scenario.to_tree()
    picture = material.stills.get(("model", ""))
    generation_time = scenario.graph.generation_time
    image = None if picture is None else tag(
        "figure",
        tag("img", class_="drawing", src=picture, alt="Populations as tubes through time, the pulse as an arrow"),
        tag("figcaption", f"Populations, their sizes, and the gene flow. A generation is {generation_time:g} years."),
    )  # fmt: skip
    selection, genome = tree["selection"], material.genome
    target = f" ({tree['genome']['target']})" if "target" in tree["genome"] else ""
    sampled = [f"{i['n']} of {i['deme']}, {i['time']:,.0f} years ago" for i in tree["sampling"]["individuals"]]
    rows = [
        ["Genome", f"{genome.name}: {len(genome.chroms)} chromosomes, {genome.total_bp / 1e6:,.1f} Mb,"
                   f" {genome.morgans:.2f} Morgans"],
        ["Functional bases", f"{genome.functional_bp / 1e6:,.2f} Mb{target}"],
        ["Mutation rate there", f"{selection['mutation_rate']:g} per base and generation, all harmful"],
        ["Effects", _plain(selection["dfe"])],
        ["Dominance h", _plain(selection.get("dominance"))],
        *([_named("Pulse", p["name"]), f"{percent(p['share'])} of gene copies of {p['target']} from {p['source']},"
           f" {p['time']:,.0f} years ago, as {p['unit']} ({p['mode']} number)"] for p in tree["pulse"]),
        *([_named("Branch", b["name"]), _plain(b.get("set") or "as above")] for b in tree["branches"]),
        ["Start", _plain(tree["start"])],
        ["Sampled people", "; ".join(sampled) or "none"],
    ]  # fmt: skip
    return fragment(
        image,
        table(["Parameter", "Value"], rows, "Parameters", numbers=False),
        tag("details", tag("summary", "The whole scenario"), tag("pre", scenario.to_yaml(), tabindex="0")),
    )


def _named(what: str, name: str) -> str:
    return what if name.lower() == what.lower() else f"{what} {name}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_plain(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def the_making(material: Material) -> Markup:
    """Return provenance: command, versions, seeds, times."""
    run = material.run
    provenance, options = run.provenance, run.scenario.run
    typed = [str(word) for word in provenance["command"]]
    name = PurePath(typed[0]).name if typed else ""
    command = shlex.join(["admix" if name == "__main__.py" else name, *typed[1:]]) if typed else "unknown"
    again = f"admix run --scenario {shlex.quote(run.path.name + '/scenario.yaml')} --out again"
    platform, software = provenance["platform"], provenance["software"]
    inputs = provenance["inputs"]
    wall = sum(part["wall_seconds"] for part in provenance["time"].values())
    summary = run.summary
    count, burnins = int(summary["replicates"]), int(summary["burnins"])
    rows = [
        ["Program", f"admix {software['admix']}, results version {software['results_version']},"
                    f" engine {provenance.get('engine', 'native')}"],
        ["Seed", str(options.seed or 1)],
        ["Replicates", f"{count}, from {burnins} histor{'y' if burnins == 1 else 'ies'} before the pulse"],
        ["Genome", f"{inputs['genome']}, SHA-256 {inputs['genome_sha256']}"],
        ["Time", f"{wall:,.0f} s ({provenance['cpu_seconds']:,.0f} s of processor time) on"
                 f" {platform['threads']} threads; {provenance['peak_memory_bytes'] / 1e9:.2f} GB of memory"],
        ["Platform", f"Python {platform['python']}, {platform['system']}"],
        ["Libraries", ", ".join(f"{name} {version}" for name, version in provenance["packages"].items())],
    ]  # fmt: skip
    for history in provenance.get("history", []):
        found = "from the cache" if history.get("from_cache") else "simulated"
        ticks = f"ticks {history.get('first_tick', 0):,} to {history.get('last_tick', 0):,}"
        stage = f"History {history.get('stage', '')}, burn-in {history.get('burnin', 0)}"
        rows.append([stage, f"{ticks}, {found}, key {str(history.get('key', ''))[:16]}"])
    return fragment(
        tag("p", "The command, as typed:"),
        copied(command),
        tag("p", "From this directory, the same numbers again:"),
        copied(again),
        table(["", ""], rows, "How the run was made", numbers=False),
    )


def the_citations(material: Material) -> Markup:
    """Return the methods paragraph and what to cite."""
    items = []
    for work in material.works:
        link = None
        if work.doi:
            link = fragment(" ", tag("a", f"doi:{work.doi}", href=f"https://doi.org/{work.doi}", rel="noreferrer"))
        items.append(tag("li", work.text, link, tag("span", f" – {work.role}", class_="role") if work.role else None))
    return fragment(
        tag("p", "A paragraph for the methods section:"),
        copied(words.methods(material.run, material.works), prose=True),
        tag("ol", items, class_="works"),
        tag("details", tag("summary", "BibTeX"), copied(bibtex(material.works)), open=True),
        tag(
            "p",
            "Works for which admix knows no title come as the scenario cites them: complete them by their DOI.",
            class_="note",
        )
        if any(work.kind == "misc" for work in material.works)
        else None,
    )
