# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page is made of, and the elements that its sections share: figures, tables, text to copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from admix.genome import Genome
from admix.plots import branch_labels
from admix.prediction import Forecast
from admix.report.html import Markup, fragment, tag
from admix.report.karyogram import Painted
from admix.report.references import Reference
from admix.results import Run
from admix.summary import people

__all__ = ["Material", "chart_figure", "copied", "entries_of", "labels_of", "names_of", "per_source", "table"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that a page is made of.

    Attributes
    ----------
    run
        The run.
    forecast
        What theory expected, or None where it has nothing to say.
    genome
        The genome of the run.
    painted
        Sampled people with their tracts; empty without trees.
    works
        What to cite.
    charts
        Numbers for the script, by the identity of a chart.
    stills
        Pictures as SVG or PNG data URIs, by name and source.
    """

    run: Run
    forecast: Forecast | None
    genome: Genome
    painted: Sequence[Painted]
    works: Sequence[Reference]
    charts: Mapping[str, Any] = field(default_factory=dict)
    stills: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """Archaic demes, in the order of the trajectory."""
        return list(dict.fromkeys(self.run.table("trajectory")["source"]))


def chart_figure(
    material: Material,
    chart: str,
    still: str,
    source: str,
    alt: str,
    caption: str | Markup,
    controls: Markup | None = None,
) -> Markup:
    """Return a chart for the screen with a picture that stands for it on paper and where scripts do not run."""
    identity = f"{chart}-{source}"
    picture = material.stills.get((still, source)) or material.stills.get((still, ""))
    live = None
    if identity in material.charts:
        live = fragment(
            controls,
            tag("div", class_="chart", id=identity, data_kind=chart, role="img", aria_label=alt, tabindex="0"),
        )
    image = None if picture is None else tag("img", class_="still", src=picture, alt=alt, loading="lazy")
    paper = None if picture is not None else "noprint"
    return tag("figure", live, image, tag("figcaption", caption), class_=paper)


def per_source(material: Material, make: Callable[[str], Markup | None]) -> Markup | None:
    """Return what `make` gives for each source, under its name where there are several."""
    several = len(material.sources) > 1
    parts = []
    for source in material.sources:
        made = make(source)
        if made is not None:
            parts += [tag("h3", f"{people(source)} ancestry")] if several else []
            parts.append(made)
    return fragment(*parts) if parts else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", *, numbers: bool = True) -> Markup:
    """Return a table in a box that scrolls sideways on a narrow screen; the first column names the rows."""
    body = [
        tag(
            "tr", tag("th", row[0], scope="row"), [tag("td", cell, class_="n" if numbers else None) for cell in row[1:]]
        )
        for row in rows
    ]
    heads = [tag("th", cell, scope="col", class_="n" if numbers and k else None) for k, cell in enumerate(head)]
    element = tag(
        "table", tag("caption", caption) if caption else None, tag("thead", tag("tr", heads)), tag("tbody", body)
    )
    return tag("div", element, class_="scroll", tabindex="0", role="region", aria_label=caption or "table")


def entries_of(material: Material, source: str) -> list[Mapping[str, Any]]:
    """Return the entries of summary.json of one source."""
    return [e for e in material.run.summary["entries"] if e["source"] == source]


def names_of(entries: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[str]:
    """Return what entries are called at the head of a column."""
    many = len({e["deme"] for e in entries}) > 1
    names = []
    for entry in entries:
        name = labels.get(entry["branch"], entry["branch"])
        name += f", {entry['deme']}" if many else ""
        names.append(name + (", no selection" if entry["twin"] == "neutral" else ""))
    return names


def labels_of(material: Material) -> Mapping[str, str]:
    """Return the names of branches in pictures."""
    return branch_labels(material.run.table("pulse"))


def copied(text: str, *, prose: bool = False) -> Markup:
    """Return text in a box with a button that copies it."""
    block = tag("pre", text if prose else tag("code", text), tabindex="0", class_="prose" if prose else None)
    return tag("div", block, tag("button", "Copy", type="button", class_="copy noprint"), class_="copied")
