# SPDX-License-Identifier: GPL-3.0-or-later
"""The works that a run rests on: what its scenario cites, its data, and the programs that made it; as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import admix
from admix.results import Run

__all__ = ["Reference", "bibtex", "references"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One work.

    Attributes
    ----------
    key
        BibTeX key.
    kind
        ``article``, ``software`` or ``misc``.
    text
        As it is printed in a list of references.
    role
        What the run takes from it.
    fields
        BibTeX fields in their order, not escaped.
    """

    key: str
    kind: str
    text: str
    role: str
    fields: Mapping[str, str]

    @property
    def short(self) -> str:
        """Author and year, as in a text; of what has none, all of it."""
        found = re.match(r"(?P<who>[^(]+?) \(?(?P<year>(?:19|20)\d\d)\)?[.,]", self.text)
        if self.kind == "software" or found is None:
            return self.key if self.kind == "software" else self.text.partition(":")[0].rstrip(".")
        return f"{found['who'].rstrip(',')} {found['year']}"

    @property
    def doi(self) -> str:
        """The DOI, or nothing."""
        return self.fields.get("doi", "")


def _article(
    key: str, doi: str, author: str, title: str, journal: str, volume: str, pages: str, year: str
) -> Reference:
    names = [name.split(",")[0].strip("{}") for name in author.split(" and ")]
    who = names[0] if len(names) == 1 else f"{names[0]} and {names[1]}" if len(names) == 2 else f"{names[0]} et al."
    fields = {"author": author, "title": title, "journal": journal, "volume": volume, "pages": pages, "year": year}
    text = f"{who} ({year}). {title}. {journal} {volume}, {pages}."
    return Reference(key=key, kind="article", text=text, role="", fields=fields | {"doi": doi})


_KNOWN: Mapping[str, Reference] = {
    work.doi: work
    for work in (
        _article("petr2019", "10.1073/pnas.1814338116",
                 "Petr, Martin and Pääbo, Svante and Kelso, Janet and Vernot, Benjamin",
                 "Limits of long-term selection against Neandertal introgression",
                 "Proceedings of the National Academy of Sciences", "116", "1639-1644", "2019"),
        _article("harris2016", "10.1534/genetics.116.186890", "Harris, Kelley and Nielsen, Rasmus",
                 "The genetic cost of Neanderthal introgression", "Genetics", "203", "881-891", "2016"),
        _article("eyrewalker2006", "10.1534/genetics.106.057570",
                 "Eyre-Walker, Adam and Woolfit, Megan and Phelps, Ted",
                 "The distribution of fitness effects of new deleterious amino acid mutations in humans",
                 "Genetics", "173", "891-900", "2006"),
        _article("iasi2024", "10.1126/science.adq3010",
                 "Iasi, Leonardo N. M. and Chintalapati, Manjusha and Skov, Laurits and Bossoms Mesa, Alba and"
                 " Hajdinjak, Mateja and Peter, Benjamin M. and Moorjani, Priya",
                 "Neanderthal ancestry through time: Insights from genomes of ancient and present-day humans",
                 "Science", "386", "eadq3010", "2024"),
        _article("kim2018", "10.1371/journal.pgen.1007741",
                 "Kim, Bernard Y. and Huber, Christian D. and Lohmueller, Kirk E.",
                 "Deleterious variation shapes the genomic landscape of introgression",
                 "PLoS Genetics", "14", "e1007741", "2018"),
        _article("juric2016", "10.1371/journal.pgen.1006340",
                 "Juric, Ivan and Aeschbacher, Simon and Coop, Graham",
                 "The strength of selection against Neanderthal introgression",
                 "PLoS Genetics", "12", "e1006340", "2016"),
        _article("hapmap2007", "10.1038/nature06258", "{The International HapMap Consortium}",
                 "A second generation human haplotype map of over 3.1 million SNPs",
                 "Nature", "449", "851-861", "2007"),
        _article("mcvicker2009", "10.1371/journal.pgen.1000471",
                 "McVicker, Graham and Gordon, David and Davis, Colleen and Green, Phil",
                 "Widespread genomic signatures of natural selection in hominid evolution",
                 "PLoS Genetics", "5", "e1000471", "2009"),
        _article("gower2022", "10.1093/genetics/iyac131",
                 "Gower, Graham and Ragsdale, Aaron P. and Bisschop, Gertjan and Gutenkunst, Ryan N. and Hartfield,"
                 " Matthew and Noskova, Ekaterina and Schiffels, Stephan and Struck, Travis J. and Kelleher, Jerome"
                 " and Thornton, Kevin R.",
                 "Demes: a standard format for demographic models", "Genetics", "222", "iyac131", "2022"),
        _article("baumdicker2022", "10.1093/genetics/iyab229", "Baumdicker, Franz and others",
                 "Efficient ancestry and mutation simulation with msprime 1.0", "Genetics", "220", "iyab229", "2022"),
        _article("haller2023", "10.1086/723601", "Haller, Benjamin C. and Messer, Philipp W.",
                 "SLiM 4: multispecies eco-evolutionary modeling", "The American Naturalist", "201", "E127-E139",
                 "2023"),
    )
}  # fmt: skip
_PLAIN = re.compile(
    r"(?P<who>[^\d(]+?) (?P<year>(?:19|20)\d\d)(?:, (?P<where>[^(]+?))?(?: \((?P<role>.+)\))?$", re.DOTALL
)
# what the shipped genome is made of, see data/README.md
_SHIPPED_GENOME = (("10.1038/nature06258", "recombination map"), ("10.1371/journal.pgen.1000471", "map of B"))
_ENGINES = {"slim": ("10.1086/723601", "simulation"), "msprime": ("10.1093/genetics/iyab229", "simulation")}


def references(run: Run) -> list[Reference]:
    """Return the works to cite for a run: admix, what the scenario cites, its genome, and its engine."""
    scenario = run.scenario
    found = [_program(run.provenance)]
    for citation in scenario.citation:
        text, doi = " ".join(citation.text.split()), citation.doi.strip()
        if not doi and not re.search(r"\d", text):
            continue  # says that there is no source
        plain = _PLAIN.match(text)
        role = (plain["role"] or "") if plain else ""
        known = _KNOWN.get(doi)
        found.append(_from_text(text, doi, plain) if known is None else _with_role(known, role))
    more = list(_SHIPPED_GENOME) if scenario.genome.source != "files" else []
    engine = scenario.run.engine or "native"
    more += [_ENGINES[engine]] if engine in _ENGINES else []
    more.append(("10.1093/genetics/iyac131", "format of the demography"))
    there = {work.doi for work in found if work.doi}
    return _unique([*found, *(_with_role(_KNOWN[doi], role) for doi, role in more if doi not in there)])


def _program(provenance: Mapping[str, Any]) -> Reference:
    version = str(provenance.get("software", {}).get("admix", admix.__version__))
    title = "admix: whole-genome, unscaled forward simulation of Neanderthal admixture with linked purifying selection"
    fields = {"author": "{The admix developers}", "title": title, "version": version}
    text = f"The admix developers. {title}. Version {version}."
    return Reference(key="admix", kind="software", text=text, role="simulation", fields=fields)


def _with_role(work: Reference, role: str) -> Reference:
    return Reference(key=work.key, kind=work.kind, text=work.text, role=role, fields=work.fields)


def _from_text(text: str, doi: str, plain: re.Match[str] | None) -> Reference:
    """Return a citation of which no more is known than what the scenario says."""
    fields = {"title": text}
    key, role = "source", ""
    if plain is not None:
        authors = re.split(r", | and ", plain["who"])
        names = " and ".join("others" if a == "et al." else f"{{{a}}}" for a in authors).replace(
            " et al.}", "} and others"
        )
        fields = {"author": names, "year": plain["year"], "note": plain["where"] or text}
        letters = re.sub(r"[^a-z]", "", authors[0].split()[0].lower())
        key, role = f"{letters or 'source'}{plain['year']}", plain["role"] or ""
        text = text.removesuffix(f" ({role})") + "."
    return Reference(key=key, kind="misc", text=text, role=role, fields=fields | ({"doi": doi} if doi else {}))


def _unique(works: Sequence[Reference]) -> list[Reference]:
    """Give each work a key of its own."""
    taken: dict[str, int] = {}
    out = []
    for work in works:
        count = taken[work.key] = taken.get(work.key, 0) + 1
        key = work.key if count == 1 else f"{work.key}{chr(ord('a') + count - 1)}"
        out.append(Reference(key=key, kind=work.kind, text=work.text, role=work.role, fields=work.fields))
    return out


def bibtex(works: Sequence[Reference]) -> str:
    """Return the works as a BibTeX file in UTF-8."""
    blocks = []
    for work in works:
        lines = [f"  {name} = {{{_tex(value)}}}" for name, value in work.fields.items()]
        blocks.append(f"@{work.kind}{{{work.key},\n" + ",\n".join(lines) + "\n}\n")
    return "\n".join(blocks)


def _tex(text: str) -> str:
    """Escape what TeX reads; braces stay where they are balanced, as they keep names together."""
    plain = " ".join(text.split()).replace("\\", "/")
    if plain.count("{") != plain.count("}"):
        plain = plain.replace("{", "(").replace("}", ")")
    return re.sub(r"([%&#$_])", r"\\\1", plain)
