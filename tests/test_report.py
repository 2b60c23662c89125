# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run: what it says, that nothing in it is taken for HTML, and how it behaves in a browser."""

import base64
import gc
import hashlib
import json
import re
from html.parser import HTMLParser

import chromium
import numpy as np
import pandas as pd
import pytest
import small

import admix
from admix import cli, comparison, plots, results, run_pages, scenario, simulate
from admix.cli_process import execute
from admix.errors import InputError
from admix.report import page, tracks
from admix.report.html import data_block, fragment, tag
from admix.report.references import bibtex, references
from admix.report.sweep_page import write_sweep_report
from admix.report.words import meaning, methods, question
from admix.simulate import RunOptions
from admix.summary import percent

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"quotes\" 'single' %{x} ${y} </style>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with trees and a neutral twin, whose words are as bad as a scenario allows."""
    folder = tmp_path_factory.mktemp("report")
    made = small.scenario(
        title=HOSTILE,
        description=f"Is this {HOSTILE}? Yes </script>.",
        citation=[{"text": f"Evil {HOSTILE} 2020, Journal {{}} 1, 2-3", "doi": '10.1/<b>"x'}, {"text": "No source"}],
        sampling={
            "individuals": [{"deme": "modern", "time": 0, "n": 3}, {"deme": "modern", "time": 20, "n": 2}],
            "ancestors_at": [40],
            "landscape_generations": [2],
            "spread_generations": [2, 5],
        },
    )
    options = RunOptions(
        out=folder / "run", cache_dir=folder / "cache", replicates=2, burnins=2, twin="neutral", trees=True, threads=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        path = simulate.run(made, options)
    found = results.read_run(path)
    page.write_report(found)
    return found


@pytest.fixture(scope="module")
def text(run):
    return (run.path / page.REPORT).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Start tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.found, self.words, self._inside, self.open = [], [], None, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside = tag
        if tag not in ("meta", "img", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._inside = None

    def handle_data(self, data):
        if self._inside is None:
            self.words.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


# ---- HTML ----------------------------------------------------------------------------------------------


def test_text_and_attributes_are_escaped():
    made = tag("p", "a < b & c", tag("b", "</p>"), title='"x" <y>', data_k=3, hidden=True, id=None)
    assert made == '<p title="&quot;x&quot; &lt;y&gt;" data-k="3" hidden>a &lt; b &amp; c<b>&lt;/p&gt;</b></p>'
    assert fragment("<", ["&", None, [tag("br")]]) == "&lt;&amp;<br>"


def test_data_cannot_end_their_element():
    block = data_block("x", {"a": "</script><!--", "b": [float("nan"), 1.5], "c": "\u2028"})
    inside = block[block.index(">") + 1 : block.rindex("<")]
    assert not set("<>&\u2028") & set(inside)
    assert json.loads(inside) == {"a": "</script><!--", "b": [None, 1.5], "c": "\u2028"}


def test_nothing_of_a_scenario_becomes_html(text):
    page_ = Elements(text)
    assert page_.open == []
    assert not any(name.startswith("on") for _, attributes in page_.found for name in attributes)
    assert all(a["src"].startswith("data:image/") for a in page_.all("img"))
    assert len(page_.all("script")) == 4
    assert HOSTILE in "".join(page_.words).replace("\u00a0", " ")


def test_the_page_needs_nothing_else(text):
    page_ = Elements(text)
    assert not page_.all("link")
    for attributes in page_.all("a"):
        assert attributes["href"].startswith(("#", "https://doi.org/"))
    css = (text[text.index("<style>") : text.index("</style>")]).lower()
    assert "url(" not in css and "@import" not in css
    policy = next(a["content"] for a in page_.all("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy


def test_the_same_run_gives_the_same_page(run, text):
    assert page.render(run) == text


def test_the_run_stays_sealed(run):
    assert results.validate_run(run.path) == []
    assert page.REPORT not in run.manifest["files"]


def test_the_numbers_are_those_of_the_summary(run, text):
    words = "".join(Elements(text).words).replace("\u00a0", " ")
    assert results.answer(run.summary).split(";")[0] in words
    for entry in run.summary["entries"]:
        last = entry["ancestry"][-1]
        assert percent(last["mean"]) in words
        low, high = (percent(v).removesuffix(" %") for v in last["interval"])
        assert f"{percent(last['mean'])} [{low}, {high}]" in words
    assert "2 replicates from 2 independent histories" in words


def test_charts_hold_the_tables(run, text):
    block = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)[1]
    charts = json.loads(block)["charts"]
    table = run.table("trajectory")
    line = charts["trajectory-archaic"]["lines"][0]
    rows = table[(table["branch"] == "main") & (table["twin"] == "none")]
    np.testing.assert_allclose(line["y"], 100 * rows.groupby("generation")["ancestry_mean"].mean(), rtol=1e-4)
    genome = charts["genome-archaic"]
    packed = next(one for one in genome["lines"] if one["kind"] == "one" and one["g"] == genome["generations"][-1])
    values = np.frombuffer(base64.b64decode(packed["data"]), "<u2").astype(float)
    values[values == genome["missing"]] = np.nan
    landscape = run.table("landscape")
    own = landscape[(landscape["twin"] == "none") & (landscape["replicate"] == 0)]
    own = own[own["generation"] == own["generation"].max()]["ancestry"].to_numpy()
    np.testing.assert_allclose(values * packed["scale"] / 100, own, atol=packed["scale"] / 100)


def test_elements_have_names_for_those_who_do_not_see(text):
    page_ = Elements(text)
    assert all(a.get("alt") for a in page_.all("img"))
    assert all(a.get("aria-label") for _, a in page_.found if a.get("role") in ("img", "region"))
    assert all(a.get("scope") in ("row", "col") for a in page_.all("th"))
    assert [a["lang"] for a in page_.all("html")] == ["en"]
    identities = [a["id"] for _, a in page_.found if "id" in a]
    assert len(identities) == len(set(identities))
    for wanted in ("answer", "trajectory", "ancestors", "spread", "genomes", "landscape", "load", "model", "making"):
        assert wanted in identities


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrasts(text, theme):
    """As WCAG 2.1 asks: 4.5 for text, 3 for lines and bars."""
    blocks = re.findall(r"--paper: #[0-9a-f]{6};.*?}", text, re.DOTALL)
    names = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[theme]))
    assert len(names) >= 12
    for name in ("ink", "soft", "link"):
        assert contrast(names[name], names["paper"]) >= 4.5, name
        assert contrast(names[name], names["wash"]) >= 4.5, name
    for k in range(6):
        assert contrast(names[f"c{k}"], names["paper"]) >= 3, k


# ---- words and citations -------------------------------------------------------------------------------


def test_questions():
    assert question("Is it so? It is.\nPerhaps.") == ("Is it so?", "It is. Perhaps.")
    assert question("It is so. Perhaps.") == ("It is so.", "Perhaps.")
    assert meaning("genealogical@70ka", "Neanderthal")[0] == "Everybody alive 70,000 years ago who has descendants"


def test_citations(run):
    works = references(run)
    keys = [work.key for work in works]
    assert keys[0] == "admix" and len(set(keys)) == len(keys)
    assert not any("No source" in work.text for work in works)
    assert {"10.1038/nature06258", "10.1093/genetics/iyac131"} <= {work.doi for work in works}
    made = bibtex(works)
    assert made.count("{") == made.count("}") and made.count("@") == len(works)
    said = methods(run, works)
    assert "2 replicates from 2 independent histories" in said and "Gower et al. 2022" in said
    assert "2 human autosomes (GRCh37)" in said and "dominance h = 0.5" in said


@pytest.mark.parametrize("name", scenario.names())
def test_every_shipped_citation_is_understood(name):
    from types import SimpleNamespace

    shipped = scenario.load(name)
    works = references(SimpleNamespace(scenario=shipped, provenance={"software": {"admix": "1"}}))
    with_year = [c for c in shipped.citation if c.doi]
    assert {c.doi for c in with_year} <= {work.doi for work in works}
    assert all(re.search(r"\b(19|20)\d\d\b", work.short) for work in works if work.kind != "software")


# ---- tracks --------------------------------------------------------------------------------------------


def test_a_track_by_window(tmp_path):
    genome = small.scenario().build_genome()
    file = tmp_path / "x.bed"
    file.write_text(
        "chrom start end f\nchr21 20000000 20150000 0.5\n21\t20120000\t20130000\t0.25\nchr21 30000000 30000010 1\n"
    )
    track = tracks.read_track(file)
    found = track.by_window(genome)
    assert track.unit == "frequency, %"
    assert np.isnan(found[genome.window_chrom == 1]).all()
    at = np.flatnonzero((genome.window_chrom == 0) & (genome.window_start == 20_000_000))[0]
    np.testing.assert_allclose(found[at : at + 2], [0.5, 0.5 * 0.5 + 0.1 * 0.25])
    assert found[np.flatnonzero((genome.window_chrom == 0) & (genome.window_start == 30_000_000))[0]] == pytest.approx(
        1e-4
    )
    file.write_text("21 1 5 name\n")
    assert tracks.read_track(file).unit == "covered, %"


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "at least one interval"), ("21 5 3\n", "0 <= start < end"), ("21 1 2\n21 x 3\n", "start and end")],
    ids=["empty", "backwards", "letters"],
)
def test_bad_tracks(tmp_path, content, words):
    (tmp_path / "x.bed").write_text(content)
    with pytest.raises(InputError, match=words):
        tracks.read_track(tmp_path / "x.bed")


# ---- in a browser --------------------------------------------------------------------------------------

in_browser = pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium on the PATH")
SHOW_ALL = """(async () => {
  for (const box of document.querySelectorAll('.chart')) {
    box.scrollIntoView();
    for (let k = 0; k < 200 && !box.querySelector('.main-svg'); k++) await new Promise((next) => setTimeout(next, 25));
  }
  return document.querySelectorAll('.chart .main-svg').length;
})()"""


@in_browser
def test_the_page_in_a_browser(run, tmp_path):
    with chromium.Page() as browser:
        browser.open(run.path / page.REPORT)
        assert browser.ask(SHOW_ALL) >= 6
        charts = browser.ask("document.querySelectorAll('.chart').length")
        assert charts == browser.ask(
            "Array.from(document.querySelectorAll('.chart')).filter((b) => b.querySelector('.main-svg')).length"
        )
        assert browser.ask("getComputedStyle(document.querySelector('.still')).display") == "none"
        # hover values
        browser.ask("Plotly.Fx.hover('trajectory-archaic', [{curveNumber: document.getElementById('trajectory-archaic')"
                    ".data.findIndex((t) => t.hovertemplate && t.customdata && t.mode === 'lines' && t.line.width < 3),"
                    " pointNumber: 4}])")  # fmt: skip
        assert "generation 5" in browser.ask("document.querySelector('#trajectory-archaic .hoverlayer').textContent")
        # keyboard: the theme, linear axes
        before = browser.ask("getComputedStyle(document.body).backgroundColor")
        for _ in range(2):
            browser.ask("document.getElementById('theme').focus()")
            for kind in ("keyDown", "keyUp"):
                key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
                browser.send("Input.dispatchKeyEvent", type=kind, **key)
        assert browser.ask("document.documentElement.dataset.theme") == "dark"
        assert browser.ask("getComputedStyle(document.body).backgroundColor") != before
        browser.ask("document.querySelector('[data-axes]').click()")
        assert browser.ask("document.getElementById('trajectory-archaic').layout.xaxis.type") == "linear"
        # another chromosome and another person
        browser.ask("(() => { const s = document.querySelector('[data-chromosome]'); s.value = '1';"
                    " s.dispatchEvent(new Event('change')); })()")  # fmt: skip
        assert "chromosome 22" in browser.ask("document.getElementById('genome-archaic').layout.xaxis.title.text")
        browser.ask(
            "(() => { const s = document.querySelector('.chooser'); s.value = '2';"
            " s.dispatchEvent(new Event('change')); })()"
        )
        assert browser.ask("Array.from(document.querySelectorAll('.person')).map((p) => p.hidden)") == [
            True,
            True,
            False,
            True,
        ]
        assert browser.ask("document.documentElement.scrollWidth") <= 1280
        browser.paper(tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").stat().st_size > 50_000
        assert browser.complaints == []
        assert [u for u in browser.requests if not u.startswith(("file:", "data:", "blob:"))] == []


@in_browser
def test_the_page_on_a_phone_and_without_scripts(run):
    with chromium.Page(width=360, height=740, mobile=True, dark=True) as browser:
        browser.open(run.path / page.REPORT)
        assert browser.ask(SHOW_ALL) >= 6
        assert browser.ask("document.documentElement.scrollWidth") <= 360
        assert browser.complaints == []
    with chromium.Page(scripts=False) as browser:
        browser.open(run.path / page.REPORT, ready="true")
        shown = (
            "Array.from(document.querySelectorAll('.still'))"
            ".filter((image) => getComputedStyle(image).display !== 'none').length"
        )
        assert browser.ask(shown) == browser.ask("document.querySelectorAll('.still').length") > 3


# ---- other ways to look at a run -----------------------------------------------------------------------


def test_a_result(run, tmp_path):
    result = admix.Result(run.path)
    assert result.trajectory.equals(run.table("trajectory"))
    assert result.answer == results.answer(run.summary)
    assert result.answer in repr(result)
    shown = result._repr_html_()
    assert "<script" not in shown and "&lt;script&gt;" in shown
    headline = result.headline.query("twin == 'none'").iloc[-1]
    entry = next(e for e in run.summary["entries"] if e["twin"] == "none")
    assert headline["ancestry"] == entry["ancestry"][-1]["mean"]
    trees = result.trees()
    assert list(trees) == ["21", "22"] and trees["22"].num_individuals >= 5
    figure = result.plot("load", style="talk")
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "mean log fitness (natural log)",
        "load of archaic alleles (log fitness)",
    ]
    with pytest.raises(InputError, match="did you mean spread"):
        result.plot("spreed")
    assert result.save(tmp_path / "copy").summary == run.summary
    with pytest.raises(InputError, match="nothing is yet"):
        result.save(tmp_path / "copy")


def test_simulate_from_python(run, monkeypatch):
    monkeypatch.setattr(run_pages, "make", lambda path: None)
    made = small.scenario().with_(pulse=0.4)
    cache = run.path.parent / "cache"
    result = admix.simulate(made, generations=3, threads=1, cache_dir=cache)
    assert result.trajectory["generation"].max() == 3
    assert result.trajectory["ancestry_mean"].iloc[0] == pytest.approx(0.4, abs=0.02)
    folder = result.path
    del result
    gc.collect()
    assert not folder.exists()
    with pytest.raises(InputError, match="did you mean seed"):
        admix.simulate(made, sead=1)


def test_changes_to_a_scenario():
    reich = scenario.load("reich")
    one = reich.with_(pulse=0.3, dominance=0.1)
    assert [b.name for b in one.branches] == ["main"] and one.pulse[0].share == 0.3
    assert one.to_tree()["selection"]["dominance"] == 0.1
    assert [b.name for b in reich.with_(mutation_rate=7e-9).branches] == ["p10", "p20"]
    assert reich.with_({"pulse[0].time": 50_000}).pulse[0].time == 50_000
    assert reich.with_(chromosomes=("21", "22")).genome.chromosomes == ("21", "22")
    assert scenario.load("reich") == reich
    with pytest.raises(InputError, match="did you mean pulse"):
        reich.with_(puls=0.1)
    with pytest.raises(InputError, match="there are several"):
        scenario.load("two-pulse").with_(pulse=0.1)


def test_compare(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = comparison.table({"a": run, "b": run})
    assert list(found["run"]) == ["a"] * 2 + ["b"] * 2
    entry = run.summary["entries"][0]
    assert found["ancestry"].iloc[0] == entry["ancestry"][-1]["mean"] and found["S"].iloc[0] == entry["S"]["mean"]
    figure = plots.compare({"a": run, "b": run})[""]
    lines = {line.get_label(): line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")}
    assert len(lines) == 4
    assert any("no selection" in label for label in lines)
    last = 100 * entry["ancestry"][-1]["mean"]
    assert any(line.get_ydata()[-1] == pytest.approx(last) for line in lines.values())
    relative = plots.compare({"a": run}, relative=True)[""].axes[0]
    assert all(line.get_ydata()[0] == pytest.approx(100) for line in relative.get_lines())
    assert execute(cli.app, ["compare", str(run.path), str(run.path), "--format", "svg", "-o", "out"]) == 0
    assert (tmp_path / "out" / "comparison.svg").is_file()
    assert "DNA, %" in capsys.readouterr().out
    assert execute(cli.app, ["compare", str(run.path)]) == 2


def test_names_of_directories_tell_them_apart(tmp_path):
    assert comparison.names_of([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    assert comparison.names_of([tmp_path / "x", tmp_path / "y"]) == ["x", "y"]
    assert len(set(comparison.names_of([tmp_path / "x", tmp_path / "x"]))) == 2


def test_explain_and_report_on_the_command_line(run, tmp_path, capsys):
    assert execute(cli.app, ["explain", str(run.path)]) == 0
    assert "We simulated the scenario" in capsys.readouterr().out
    assert execute(cli.app, ["explain", str(run.path), "--bibtex"]) == 0
    assert capsys.readouterr().out.startswith("@software{admix,")
    (tmp_path / "own.bed").write_text("chr21 20000000 21000000\n")
    words = ["report", str(run.path), "--track", str(tmp_path / "own.bed"), "-o", str(tmp_path / "x.html"), "-q"]
    assert execute(cli.app, words) == 0
    made = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "The track own.bed was given by the user" in made
    assert results.validate_run(run.path) == []


@pytest.mark.parametrize("name", ["ancestors", "load", "genome"])
def test_figures_hold_the_tables(run, name):
    figure = plots.one(run, name)
    ax = figure.axes[0]
    if name == "ancestors":
        widths = [bar.get_width() for bar in ax.patches]
        entry = next(e for e in run.summary["entries"] if e["twin"] == "none")
        wanted = [100 * v["mean"] for m, v in entry["ancestors"]["all"].items() if not m.endswith("_founders")]
        np.testing.assert_allclose(sorted(widths), sorted(wanted))
    elif name == "load":
        rows = run.table("trajectory").query("twin == 'none'")
        mean = rows.groupby("generation")["log_fitness_mean"].mean()
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), mean)
    else:
        assert [t.get_text() for t in ax.get_yticklabels()] == ["21", "22"]
        assert ax.get_xlabel() == "position (Mb)"


def test_the_page_of_a_sweep(tmp_path):
    table = pd.DataFrame(
        {
            "point": [0, 1, 2],
            "N": [500, 500, 1000],
            "share": [0.05, 0.1, 0.1],
            "history": ["a", "a", "<b>"],
            "source": "neanderthal",
            "deme": "modern",
            "requested": [0.05, 0.1, 0.1],
            "realised": [0.05, 0.1, 0.1],
            "fitness_archaic_relative": [0.4, 0.4, 0.7],
            "ancestry_final": [0.01, 0.02, 0.04],
            "generations": 100,
        }
    )
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "ridge.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    file = write_sweep_report(tmp_path, "<i>", "name: x </pre>", {"N": "Size <1>", "share": ""}, table, 5)
    text = file.read_text(encoding="utf-8")
    found = Elements(text)
    assert found.open == [] and not found.all("i") and len(found.all("img")) == 1
    words = "".join(found.words).replace("\u00a0", " ")
    assert "lies between 1.0 % and 4.0 %, from pulses of 5.0 % to 10 %" in words
    assert "3 points are finished. 2 points are not finished." in words and "Size <1>: 2 values, 500 to 1000" in words
    chart = json.loads(re.search(r'id="charts">(.*?)</script>', text, re.DOTALL)[1])["charts"]["sweep-0"]
    assert chart["x"] == [5.0, 10.0, 10.0] and chart["colour"] == [500.0, 500.0, 1000.0] and chart["by"] == "Size <1>"
    assert chart["text"][2] == "Size <1> 1000, share 0.1; history <b>"
    if chromium.PROGRAM is not None:
        with chromium.Page() as browser:
            browser.open(file)
            assert browser.ask("document.querySelectorAll('#sweep-0 .point').length") == 3
            assert browser.complaints == []
