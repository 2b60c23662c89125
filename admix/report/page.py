# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run: everything put together into one file without links to anything that it needs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from admix import __version__, plots, prediction
from admix.errors import InputError, RunError
from admix.report import content, words
from admix.report.html import Markup, data_block, fragment, tag
from admix.report.karyogram import Painted, painted_people
from admix.report.material import Material
from admix.report.references import references
from admix.report.sections import SECTIONS
from admix.report.tracks import Track
from admix.results import Run

__all__ = ["REPORT", "document", "render", "write_report"]

REPORT = "report.html"
_LIVE = 'document.documentElement.classList.add("live")'
"""First of all, so that pictures are not shown before the charts that take their place."""


def write_report(run: Run, path: str | Path | None = None, *, track: Track | None = None) -> Path:
    """Write the page of a run, ``report.html`` in its directory if `path` is omitted; return the file.

    The same run gives the same bytes. Nothing that is sealed is touched.

    Raises
    ------
    RunError
        If a table is damaged or the file cannot be written.
    """
    return save(render(run, track=track), Path(path) if path is not None else run.path / REPORT)


def save(text: str, target: Path) -> Path:
    """Write a page; it appears when it is complete."""
    half = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(text, encoding="utf-8", newline="\n")
        os.replace(half, target)
    except OSError as error:
        with suppress(OSError):
            half.unlink()
        raise RunError(str(target), f"cannot be written ({error.strerror or error})") from error
    return target


def render(run: Run, *, track: Track | None = None) -> str:
    """Return the page of a run as HTML."""
    scenario = run.scenario
    genome = scenario.build_genome()
    cohorts = bool((run.table("trajectory")["generation"] == 1).any())
    forecast = prediction.predict(scenario) if cohorts else None
    charts: dict[str, Any] = {}
    landscape = run.table("landscape")
    spread = run.table("spread")
    for source in dict.fromkeys(run.table("trajectory")["source"]):
        if cohorts:
            line = content.trajectory(run, source, forecast)
            charts[f"trajectory-{source}"] = line
            charts[f"early-{source}"] = {"of": f"trajectory-{source}"}
            charts[f"load-{source}"] = content.load(run, source)
        if (spread["source"] == source).any():
            charts[f"spread-{source}"] = content.spread(run, source)
        if (landscape["source"] == source).any():
            charts[f"genome-{source}"] = content.landscape(run, source, genome, track)
            charts[f"overview-{source}"] = {"of": f"genome-{source}"}
    works = references(run)
    material = Material(
        run=run,
        forecast=forecast,
        genome=genome,
        painted=_painted(run),
        works=works,
        charts=charts,
        stills=plots.stills(run),
    )
    head, rest = words.question(scenario.description)
    options = scenario.run
    facts = [
        f"scenario {scenario.name}",
        f"seed {options.seed or 1}",
        f"{run.summary['replicates']} replicate{'s' * (run.summary['replicates'] != 1)}",
        f"admix {run.provenance['software']['admix']}",
    ]
    return document(
        title=scenario.title,
        facts=facts,
        lead=fragment(
            tag("p", head, class_="question") if head else None, tag("p", rest, class_="lead") if rest else None
        ),
        parts=[(s.identity, s.title, made) for s in SECTIONS if (made := s.make(material)) is not None],
        charts=charts,
    )


def _painted(run: Run) -> Sequence[Painted]:
    try:
        return painted_people(run)
    except InputError:  # no trees
        return ()


def document(
    *,
    title: str,
    facts: Sequence[str],
    lead: Markup | None,
    parts: Sequence[tuple[str, str, Markup]],
    charts: Mapping[str, Any],
) -> str:
    """Return a whole page.

    Parameters
    ----------
    title, facts, lead
        What it begins with: its title, short facts, a paragraph.
    parts
        Its sections: identity, title, content.
    charts
        What the script draws, by the identity of the element; nothing is drawn and no library embedded if empty.
    """
    script = _asset("page.js")
    library = _library() if charts else None
    allowed = [_hash(_LIVE), _hash(script), *([library[1]] if library else [])]
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {' '.join(allowed)}"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"admix {__version__}"),
        tag("title", f"{title} – admix"),
        tag("style", Markup(_asset("page.css"))),
        Markup(f"<script>{_LIVE}</script>"),
    )
    contents = tag(
        "nav",
        tag("ul", [tag("li", tag("a", name, href=f"#{identity}")) for identity, name, _ in parts]),
        aria_label="Contents",
        class_="contents noprint",
    )
    sections = [
        tag("section", tag("h2", name, id=f"{identity}-title"), made, id=identity, aria_labelledby=f"{identity}-title")
        for identity, name, made in parts
    ]
    body = tag(
        "body",
        tag("a", "Skip to the answer", href="#main", class_="skip"),
        tag(
            "header",
            tag("div", tag("span", "admix", class_="brand"), tag("span", " · ".join(facts), class_="facts"),
                tag("button", "Theme: auto", type="button", id="theme", class_="noprint"), class_="strip"),
            tag("h1", title),
            lead,
        ),
        tag("div", contents, tag("main", sections, id="main"), class_="columns"),
        tag("footer", tag("p", f"Made by admix {__version__}. This file needs no network and sends nothing.")),
        data_block("charts", {"charts": charts, "colours": content.colours()}) if charts else None,
        Markup(f'<script type="text/plain" id="library">{library[0]}</script>') if library else None,
        Markup(f"<script>{script}</script>"),
    )  # fmt: skip
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


@lru_cache(maxsize=4)
def _asset(name: str) -> str:
    return (files("admix.report") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@lru_cache(maxsize=1)
def _library() -> tuple[str, str]:
    """Return plotly.js, packed (gzip, base64), and its hash for the page's policy."""
    script = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    # line ends as the browser will have them
    script = script.replace("\r\n", "\n")
    packed = gzip.compress(script.encode("utf-8"), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode("ascii"), _hash(script)
