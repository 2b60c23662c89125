# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the page of a run, from the question to the citations; each is one function of a `Material`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from admix.landscape import DESERT_BP
from admix.report import words
from admix.report.html import Markup, fragment, tag
from admix.report.karyogram import drawing
from admix.report.material import Material, chart_figure, entries_of, labels_of, names_of, per_source, table
from admix.report.record import the_citations, the_making, the_model
from admix.summary import CONVENTION, answer, people, percent
from admix.summary import meaning as order_of_meanings

__all__ = ["SECTIONS", "Section"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section: identity in the address, title, and what makes its content; None where a run has nothing for it."""

    identity: str
    title: str
    make: Callable[[Material], Markup | None]


def the_answer(material: Material) -> Markup:
    """Return the question, the answer with its uncertainty, and the headline numbers."""
    summary = material.run.summary
    said = answer(summary).rstrip(".")
    clauses = [clause.strip() for clause in said.split(";")]
    clauses = _whole(clauses)
    first, rest = clauses[0], clauses[1:]
    return fragment(
        tag("p", first + ".", class_="answer"),
        tag("ul", [tag("li", clause[:1].upper() + clause[1:] + ".") for clause in rest]) if rest else None,
        [tag("p", sentence, class_="certainty") for sentence in words.certainty(summary, material.forecast)],
        per_source(material, lambda source: _headline(material, source)),
        tag("p", CONVENTION, class_="note"),
    )


def _whole(clauses: Sequence[str]) -> list[str]:
    """Join clauses that a semicolon inside brackets has parted."""
    out: list[str] = []
    for clause in clauses:
        if out and out[-1].count("(") > out[-1].count(")"):
            out[-1] += f"; {clause}"
        else:
            out.append(clause)
    return out


def _headline(material: Material, source: str) -> Markup:
    entries = entries_of(material, source)
    who = people(source)
    generations = sorted({row["generation"] for e in entries for row in e["ancestry"]})
    rows = []
    for generation in generations:
        found = [next((r for r in e["ancestry"] if r["generation"] == generation), None) for e in entries]
        one = next(r for r in found if r is not None)
        when = "today" if one["today"] else f"{one['years_bp']:,.0f} years ago"
        rows.append([f"Generation {generation:,}", when, *(words.estimate_text(r) for r in found)])
    fitness = [e["fitness_archaic_relative"] for e in entries]
    if any(value is not None for value in fitness):
        cells = ["–" if value is None else f"{value:.2f}" for value in fitness]
        rows.append([f"Fitness of an unmixed {who}", "others = 1", *cells])
    by = [e["loss"]["by_generation"] for e in entries]
    if any(value is not None for value in by):
        rows.append(
            ["Nine tenths of the loss had come by", "generation", *("–" if v is None else f"{v:,}" for v in by)]
        )
    return table(["", "", *names_of(entries, labels_of(material))], rows, f"{who} share of DNA")


def the_trajectory(material: Material) -> Markup | None:
    """Return ancestry over time, with theory and measured genomes, and the first generations."""

    def one(source: str) -> Markup | None:
        who = people(source)
        chart = material.charts.get(f"trajectory-{source}")
        if chart is None:
            return None
        ends = [f"{line['name']}: {line['y'][-1]:.2g} %" for line in chart["lines"]]
        alt = f"Mean {who} ancestry by generation on a log scale. In the last generation, {words.joined(ends)}."
        parts = ["Lines are means of the cohort."]
        if chart["lines"][0]["band"]:
            parts.append(f"Bands are the {chart['lines'][0]['band']}.")
        if chart["theory"]:
            parts.append("Pale lines are what theory expected before the run, with the range of 95 % of single runs.")
        if chart["ancient"]:
            parts.append(
                "Points are ancient genomes with one standard error (Petr et al. 2019); the green band is the share of"
                " living non-Africans, 1.8 to 2.4 %."
            )
        parts.append("Point at a line for its values; drag to zoom, double-click to come back.")
        buttons = tag(
            "div",
            tag(
                "button",
                "Linear axes",
                type="button",
                class_="switch",
                data_axes=f"trajectory-{source}",
                aria_pressed="false",
            ),
            class_="controls noprint",
        )
        return fragment(
            chart_figure(material, "trajectory", "trajectory", source, alt, " ".join(parts), buttons),
            chart_figure(
                material, "early", "", source,
                f"Mean {who} ancestry in the first twenty generations.",
                "The first twenty generations on linear axes, in which nearly all of the loss happens.",
            ) if f"early-{source}" in material.charts else None,
            _numbers(chart),
        )  # fmt: skip

    return per_source(material, one)


def _numbers(chart: Mapping[str, Any]) -> Markup:
    wanted = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50, 100, 200, 500, 1000]
    rows = []
    for g in [*wanted, chart["last"]]:
        cells = []
        for line in chart["lines"]:
            at = line["g"].index(g) if g in line["g"] else None
            cells.append("" if at is None or line["y"][at] is None else f"{line['y'][at]:.3g}")
        if any(cells) and [f"{g:,}", *cells] not in rows:
            rows.append([f"{g:,}", *cells])
    found = table(
        ["Generation", *(line["name"] for line in chart["lines"])], rows, f"{chart['who']} ancestry, % of DNA"
    )
    return tag("details", tag("summary", "The numbers"), found)


def the_ancestors(material: Material) -> Markup | None:
    """Return the meanings of ancestor side by side, with bars."""

    def one(source: str) -> Markup | None:
        who, parts = people(source), []
        entries = [e for e in entries_of(material, source) if e["twin"] == "none"] or entries_of(material, source)
        shown = list({e["branch"]: e for e in entries}.values())
        names = names_of(shown, labels_of(material))
        for scope, title in (("all", "Of all people living in the last generation"), ("one", "Of one living person")):
            every = dict.fromkeys(m for e in shown for m in e["ancestors"].get(scope, {}))
            measures = sorted((m for m in every if not m.endswith("_founders")), key=order_of_meanings)
            values = [e["ancestors"].get(scope, {}).get(m, {}).get("mean") for e in shown for m in measures]
            top = max((v for v in values if v is not None), default=0.0)
            if not measures or top <= 0:
                continue
            blocks = []
            for measure in measures:
                name, text = words.meaning(measure, who)
                bars = []
                for k, (entry, label) in enumerate(zip(shown, names, strict=True)):
                    estimate = entry["ancestors"].get(scope, {}).get(measure)
                    value = None if estimate is None else estimate["mean"]
                    if value is None:
                        continue
                    width = f"width:{100 * value / top:.2f}%"
                    bars.append(
                        tag(
                            "div",
                            tag("span", label, class_="who"),
                            tag("span", tag("span", class_=f"fill c{k % 6}", style=width), class_="track"),
                            tag("span", words.estimate_text(estimate), class_="value"),
                            class_="bar",
                        )
                    )  # fmt: skip
                blocks.append(
                    tag(
                        "div",
                        tag("div", tag("h4", name, tag("code", measure)), tag("p", text) if scope == "all" else None),
                        tag("div", bars),
                        class_="meaning",
                    )
                )
            parts.append(tag("section", tag("h3", title) if scope == "one" else None, blocks, class_="meanings"))
        return fragment(*parts) if parts else None

    found = per_source(material, one)
    if found is None:
        return None
    lead = tag(
        "p",
        "“Share of the ancestors” can be read in several ways, and each gives another number. From counting people to"
        " counting letters of DNA:",
    )
    return fragment(lead, found)


def the_spread(material: Material) -> Markup | None:
    """Return how ancestry is spread over people in the first generations."""

    def one(source: str) -> Markup | None:
        if f"spread-{source}" not in material.charts:
            return None
        who = people(source)
        alt = (
            f"Histograms of {who} ancestry of single people in the generations after the pulse, one strip a generation."
        )
        caption = (
            "Each strip is a generation: how many per cent of people (log scale) have how much ancestry (square-root"
            " scale). Children of unmixed parents stand at 50 %, grandchildren at 25 %; then the peaks melt into one"
            " another, and the right end, the people with the greatest load, is cut off. Triangles are means."
        )
        return chart_figure(material, "spread", "spread", source, alt, caption)

    return per_source(material, one)


def the_genomes(material: Material) -> Markup | None:
    """Return painted chromosomes of sampled people."""
    if not material.painted:
        if material.run.scenario.sampling.individuals:
            text = "This run kept no trees, so nobody's chromosomes are known. "
            return tag("p", text, tag("code", "admix run --trees"), " keeps them.", class_="note")
        return None
    people_ = material.painted
    options, pictures = [], []
    for k, person in enumerate(people_):
        when = "today" if person.years_bp == 0 else f"{person.years_bp:,.0f} years ago"
        shares = words.joined([f"{percent(s)} {people(q)}" for s, q in zip(person.share, person.sources, strict=True)])
        title = f"{person.name}: {person.deme}, {when}, {shares}"
        options.append(tag("option", title, value=str(k)))
        pictures.append(
            tag(
                "div",
                tag("p", title, class_="person-title"),
                drawing(material.genome, person, title),
                class_="person",
                hidden=k > 0,
            )
        )
    key = [
        tag("span", tag("i", class_=f"swatch c{k % 6}"), people(s), class_="key")
        for k, s in enumerate(people_[0].sources)
    ]
    chooser = tag(
        "label", "Person ", tag("select", options, class_="chooser", data_target="painted"), class_="controls noprint"
    )
    several = len(material.run.scenario.branches) > 1
    caption = fragment(
        "Both copies of each chromosome; archaic stretches are coloured and drawn at least half a pixel wide, so that"
        " short ones can be seen. ", key, " The first people of each sampled group",
        f", of branch {people_[0].branch}" if several else "", ". ", tag("code", "admix ancestry"),
        " lists all stretches.",
    )  # fmt: skip
    return tag("figure", chooser, tag("div", pictures, id="painted"), tag("figcaption", caption), class_="wide")


def the_landscape(material: Material) -> Markup | None:
    """Return ancestry along the genome."""

    def one(source: str) -> Markup | None:
        chart = material.charts.get(f"genome-{source}")
        if chart is None:
            return None
        who = people(source)
        said = []
        for found in chart["deserts"]:
            name = chart["branches"][found["branch"]]["name"]
            mean = sum(found["counts"]) / len(found["counts"])
            size = sum(found["mb"]) / len(found["mb"])
            each = " per replicate" if len(found["counts"]) > 1 else ""
            said.append(f"{mean:.3g} ({size:,.0f} Mb){each} for {name}")
        sentence = (
            f"Deserts, stretches of at least {DESERT_BP / 1e6:.0f} Mb with {who} ancestry of at most"
            f" {chart['desert_percent']:g} % in the last generation: {words.joined(said)}."
        ) if said else ""  # fmt: skip
        here, generations = f"genome-{source}", chart["generations"]
        chooser = tag(
            "div",
            _choice("Chromosome", {str(k): c for k, c in enumerate(chart["chroms"])}, data_chromosome=here),
            _choice("Generation", {str(g): f"{g:,}" for g in generations}, str(generations[-1]), data_generation=here),
            _choice("Windows of", {"1": "their own size", "1e6": "1 Mb", "5e6": "5 Mb"}, "1e6", data_window=here),
            class_="controls noprint",
        )
        alt = (
            f"{who} ancestry along the chromosomes, with density of functional bases and recombination rate. {sentence}"
        )
        caption = (
            "Frequency of the ancestry in windows of the genome, of one replicate; below it the density of functional"
            " bases and the recombination rate. Grey blocks are deserts."
            + (f" The track {chart['track']['name']} was given by the user." if chart["track"] else "")
        )
        overview = f"overview-{source}"
        names = {str(k): branch["name"] for k, branch in enumerate(chart["branches"])}
        branches = tag("div", _choice("Branch", names, data_branch=overview), class_="controls")
        return fragment(
            tag("p", sentence) if sentence else None,
            tag(
                "figure",
                branches if len(names) > 1 else None,
                tag("div", class_="chart", id=overview, data_kind="overview", role="img", tabindex="0",
                    aria_label=f"Map of {who} ancestry over all chromosomes in windows of 2 Mb"),
                tag("figcaption", "All chromosomes in pieces of 2 Mb, in the last generation; colours end at the 99th"
                    " percentile. Choose a chromosome to see it below."),
                class_="noprint",
            ),
            chart_figure(material, "genome", "genome", source, alt, caption, chooser),
        )  # fmt: skip

    return per_source(material, one)


def _choice(title: str, options: Mapping[str, str], chosen: str = "", **attributes: str) -> Markup:
    """Return a menu with its title."""
    rows = [tag("option", text, value=value, selected=value == chosen) for value, text in options.items()]
    return tag("label", f"{title} ", tag("select", rows, **attributes))


def the_load(material: Material) -> Markup | None:
    """Return load and fitness over time."""

    def one(source: str) -> Markup | None:
        if f"load-{source}" not in material.charts:
            return None
        who = people(source)
        alt = f"Mean log fitness of the population, and the load of alleles that {who}s brought, by generation."
        caption = (
            "Above, mean log fitness (natural logarithm; 0 is the common ancestor's fixed genotype). The pulse lowers"
            f" it, and selection brings it back within generations. Below, what alleles that {who}s brought cost the"
            " population in log fitness."
        )
        return chart_figure(material, "load", "load", source, alt, caption)

    return per_source(material, one)


SECTIONS = (
    Section(identity="answer", title="The question and the answer", make=the_answer),
    Section(identity="trajectory", title="Ancestry through the generations", make=the_trajectory),
    Section(identity="ancestors", title="What “ancestor” means", make=the_ancestors),
    Section(identity="spread", title="The first generations, person by person", make=the_spread),
    Section(identity="genomes", title="Painted genomes", make=the_genomes),
    Section(identity="landscape", title="Along the genome", make=the_landscape),
    Section(identity="load", title="Load and fitness", make=the_load),
    Section(identity="model", title="The model", make=the_model),
    Section(identity="making", title="How this was made", make=the_making),
    Section(identity="citations", title="Methods and citations", make=the_citations),
)
