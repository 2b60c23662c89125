# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md and docs/: numbers come from a run by a script, and what the pages say of the code holds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from test_figures import frame, histogram

from admix import cli, cli_process, scenario, schedule
from admix.engines.native import state, tables, world
from admix.engines.native.history import RESULTS_VERSION, plan_stages
from admix.errors import InputError
from admix.genome import shipped
from admix.results import SCHEMA, Run, RunWriter, read_run, summarise

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TODAY = {"reich": 1680, "petr2019": 2201, "tiny": 201}
MADE_LATER = {"docs/images/reich.png", "docs/verification/petr2019.md"}
"""Files that only a run of hours can make; the pages may name them before."""


def script(name: str) -> ModuleType:
    """A script of sims/ as a module."""
    spec = spec_from_file_location(name, ROOT / "sims" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


readme, expectations = script("readme"), script("predictions")


def make_run(
    path: Path, name: str = "reich", *, replicates: int = 6, burnins: int = 3, twins=("none",), **options
) -> Run:
    """A sealed run directory with invented numbers; ``options`` go into its run block."""
    chosen = scenario.load(name).with_set(options.pop("change", []))
    shares = {b.name: chosen.branch(b.name).pulse[0].share for b in chosen.branches}
    data = frame(branches=tuple(shares.items()), replicates=replicates, twins=twins, today=TODAY[name])
    for column in ("n_individuals", "log_fitness_mean", "load_archaic"):
        data[column] = 1
    for column in ("sd", "p05", "p50", "p95", "functional", "far"):
        data[f"ancestry_{column}"] = 0.01
    keys = ["branch", "replicate", "twin", "source"]
    pulse = data.groupby(keys, sort=False, as_index=False).agg(years_bp=("years_bp", "max"))
    share = pulse["branch"].map(shares)
    pulse = pulse.assign(
        pulse="pulse", target="modern", requested=share, realised=share, log_load_difference=0.766,
        fitness_archaic_relative=0.465 - 0.01 * (pulse["replicate"] % burnins), burnin=pulse["replicate"] % burnins,
    )  # fmt: skip
    measures = {"headcount": 1.0, "pedigree_paths": 0.23, "genealogical": 0.56, "genealogical@70ka": 0.9, "dna": 0.21}
    ancestors = pd.concat(
        pulse[keys].assign(scope="all", measure=measure, value=share * part) for measure, part in measures.items()
    )
    landscape = pulse[keys].assign(
        generation=2, chrom="1", start=0, end=1, cM=0.0, functional_bp=0, B=np.nan, ancestry=0.1
    )
    found = {"trajectory": data, "pulse": pulse, "ancestors": ancestors, "landscape": landscape}
    found["spread"] = pd.concat([histogram(branch=b) for b in shares], ignore_index=True)
    given = {"seed": 7, "replicates": replicates, "burnins": burnins, "start": chosen.start.mode} | options
    with RunWriter(path) as writer:
        for table, rows in found.items():
            writer.table(f"{table}.tsv", rows)
        writer.text("scenario.yaml", chosen.with_run(**given).to_yaml())
        writer.json("summary.json", summarise(found, chosen))
        writer.json(
            "provenance.json",
            {"software": {"admix": "9.9", "results_version": 3}, "inputs": {"genome_sha256": "abcdef" * 8}},
        )
        return read_run(writer.seal())


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A copy of the pages, with nothing filled in."""
    for page in PAGES:
        copy = tmp_path / "pages" / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = page.read_text(encoding="utf-8")
        copy.write_text(readme.ANCHOR.sub(lambda m: m[1] + readme.EMPTY + m[4], text), encoding="utf-8")
    return tmp_path / "pages"


def block(page: Path, name: str) -> str:
    (text,) = [m["text"] for m in readme.ANCHOR.finditer(page.read_text()) if m["block"] == name]
    return text


# ---- the script


def test_every_anchor_is_known_and_on_a_page_that_is_filled() -> None:
    filled = {ROOT / page for found in readme.PAGES.values() for page in found}
    for page in PAGES:
        text = page.read_text()
        found = [m["block"] for m in readme.ANCHOR.finditer(text)]
        assert set(found) <= set(readme.BLOCKS), page
        assert len(found) == len(set(found)) == text.count("<!-- numbers:") == text.count("<!-- /numbers -->")
        assert bool(found) == (page in filled), page
    assert set(readme.PAGES) <= set(scenario.names())
    # the others have a page too, filled with what theory expects
    for name in set(scenario.names()) - set(readme.PAGES) - {"fstatistics"}:
        text = (ROOT / "docs" / "scenarios" / f"{name}.md").read_text()
        assert text.startswith(f"# Scenario `{name}`") and len(expectations.ANCHOR.findall(text)) == 1


def test_the_main_job_fills_the_readme(pages: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = readme.fill(run, pages)
    assert {p.relative_to(pages).as_posix() for p in written} == {
        "README.md", "docs/scenarios/reich.md", "docs/images/reich.png", "docs/images/reich.svg"
    }  # fmt: skip
    assert sorted(p.name for p in (pages / "docs" / "images").iterdir()) == ["reich.png", "reich.svg"]
    p10, p20 = run.summary["entries"]
    answer = block(pages / "README.md", "answer")
    assert len(answer.splitlines()) == 3 and all(line.endswith(".") for line in answer.splitlines())
    first, second, third = answer.splitlines()
    low, high = (f"{100 * v:.1f}" for v in p10["ancestry"][-1]["interval"])
    assert first.startswith("If 10 % of the founding generation are Neanderthals, ")
    assert f"{100 * p10['ancestry'][-1]['mean']:.1f} % (95 % interval {low} to {high}) of today's DNA" in first
    assert f"and if 20 % are, {100 * p20['ancestry'][-1]['mean']:.1f} % (" in first
    assert f"by generation {p10['loss']['by_generation']} " in second
    assert "0.45 times the fitness" in second  # exp of the mean log of 0.465, 0.455 and 0.445
    for text in ("5.6 % of the founders", "2.3 % of the paths", "9.0 % of everybody", "70,000 years ago"):
        assert text in third
    table = block(pages / "README.md", "trajectory").splitlines()
    assert table[0] == "| generation | years ago | 10 % pulse | 20 % pulse |"
    assert table[2].startswith("| 1 | 47,012 | 10.00 | 20.00 |")
    assert table[-1].startswith("| 1,680 (today) | 0 | ")
    assert len(table) == 2 + 8
    assert block(pages / "README.md", "ancestors").splitlines()[2] == "| `headcount` | 10.00 | 20.00 |"
    page = pages / "docs" / "scenarios" / "reich.md"
    command = "`admix run --scenario reich --seed 7 --replicates 6 --burnins 3`"
    assert block(page, "run").startswith(f"{command}\n(admix 9.9, results version 3,")
    assert len(block(page, "fitness").splitlines()) == 2 + 4
    assert all(readme.EMPTY not in (pages / p).read_text() for p in readme.PAGES["reich"])
    assert readme.EMPTY in (pages / "docs" / "scenarios" / "tiny.md").read_text()


def test_filling_again_changes_nothing_and_another_run_replaces_all(pages: Path, tmp_path: Path) -> None:
    first = make_run(tmp_path / "run")
    contents = [{p: p.read_bytes() for p in readme.fill(first, pages)} for _ in range(2)]
    assert contents[0] == contents[1]
    other = make_run(tmp_path / "other", replicates=8, burnins=4, twins=("none", "neutral"), twin="neutral")
    readme.fill(other, pages)
    text = (pages / "docs" / "scenarios" / "reich.md").read_text()
    assert "--replicates 8 --burnins 4 --twin neutral" in text and "--replicates 6 --burnins 3`" not in text
    assert "| 10 % pulse, no selection |" in text
    readme.fill(first, pages)
    assert {p: p.read_bytes() for p in contents[0]} == contents[0]


def test_what_stands_outside_the_anchors_is_left_alone(pages: Path, tmp_path: Path) -> None:
    def outside() -> str:
        return readme.ANCHOR.sub("", (pages / "README.md").read_text())

    before = outside()
    readme.fill(make_run(tmp_path / "run"), pages)
    assert outside() == before


@pytest.mark.parametrize(("name", "filled"), [("petr2019", 1), ("tiny", 2)])
def test_other_scenarios_fill_their_pages(pages: Path, tmp_path: Path, name: str, filled: int) -> None:
    run = make_run(tmp_path / "run", name, replicates=1, burnins=1)
    assert len(readme.fill(run, pages)) == filled
    assert all(readme.EMPTY not in (pages / p).read_text() for p in readme.PAGES[name])
    assert readme.EMPTY in (pages / "README.md").read_text()
    if name == "tiny":
        for table, schema in SCHEMA.items():
            lines = block(pages / "docs" / "run-directory.md", table).splitlines()
            assert lines[1].split("\t") == schema.names and len(lines) <= 3 + readme.EXAMPLE_ROWS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"replicates": 5, "burnins": 3}, "5 replicates over 3 burn-ins"),
        ({"replicates": 8, "burnins": 2}, "8 replicates over 2 burn-ins"),
        ({"change": ["selection.dominance=0.1"]}, "a changed reich"),
        ({"generations": 100}, "--generations 100"),
    ],
)
def test_runs_that_the_pages_do_not_speak_of_are_refused(pages: Path, tmp_path: Path, options: dict, says: str) -> None:
    before = (pages / "README.md").read_bytes()
    with pytest.raises(InputError, match=re.escape(says)):
        readme.fill(make_run(tmp_path / "run", **options), pages)
    assert (pages / "README.md").read_bytes() == before


def test_the_script_runs_from_the_command_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = make_run(tmp_path / "run", replicates=2, burnins=1)
    done = subprocess.run(
        [sys.executable, ROOT / "sims" / "readme.py", run.path], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2 and "2 replicates over 1 burn-ins" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["bottleneck-heterosis", "denisova", "gravel"])
def test_pages_have_the_expectation_of_today(name: str, tmp_path: Path) -> None:
    page = ROOT / "docs" / "scenarios" / f"{name}.md"
    copy = tmp_path / page.name
    copy.write_text(expectations.ANCHOR.sub(lambda m: m[1] + "old" + m[3], page.read_text()))
    assert expectations.fill(copy) and copy.read_text() == page.read_text()


# ---- what the pages say


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if file.relative_to(ROOT).as_posix() in MADE_LATER and not file.exists():
            continue
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def commands() -> list[str]:
    """Every `admix run` in a code block or in backticks, but for pages whose blocks are run (test_pages.py)."""
    found = set()
    for page in PAGES:
        if page.name == "decisions.md" or page.parent.name == "howto":
            continue
        text = page.read_text()
        code = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
        lines = [line for part in code for line in part.splitlines()] + re.findall(r"`(admix [^`]+)`", text)
        found |= {line[line.index("admix run ") :] for line in lines if "admix run " in line}
    return sorted(found)


@pytest.mark.parametrize("command", [c for c in commands() if "--scenario" in c])
def test_every_command_in_the_pages_works(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the simulation: options exist, and the scenario with its changes is valid."""
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "simulate_and_tell", lambda loaded, options, progress: asked.append(loaded))
    monkeypatch.setattr(cli, "print_plan", lambda loaded, options: asked.append(loaded))
    monkeypatch.setattr(cli, "write_slim_script", lambda loaded, *given, **more: asked.append(loaded))
    shutil.copy(scenario.CATALOG / "reich.yaml", "mine.yaml")
    Path("DIR").mkdir()
    shutil.copy(scenario.CATALOG / "tiny.yaml", "DIR/scenario.yaml")
    words = [w for w in shlex.split(command, comments=True)[1:] if w != "NAME"]
    assert cli_process.execute(cli.app, words) == 0
    for branch in asked[0].branches:
        schedule.compile(asked[0].branch(branch.name))


def test_every_column_of_every_table_is_described_in_order() -> None:
    text = (ROOT / "docs" / "run-directory.md").read_text()
    shared = ["branch", "replicate", "twin", "source"]
    kinds = {"str", "int", "float", "share", "float?", "share?"}

    def described(section: str) -> list[tuple[str, str]]:
        rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section, re.M)
        return [(name, kind) for names, kind in rows for name in re.findall(r"`(\w+)`", names)]

    first = described(text.split("## Columns that every table begins with")[1].split("\n## ")[0])
    assert [name for name, _ in first] == shared
    for name, table in SCHEMA.items():
        found = first + described(text.split(f"\n## {name}\n")[1].split("\n## ")[0])
        assert [n for n, _ in found] == table.names
        assert {kind for _, kind in found} <= kinds
        wanted = [c.kind + "?" * c.missing for c in table.columns]
        assert [kind for _, kind in found] == wanted, name


def test_every_test_and_file_that_is_named_exists() -> None:
    seen = 0
    for page in PAGES:
        named = r"`((?:tests|sims|admix|docs|data)/[\w/.]+\.(?:py|md))(?:::(\w+))?`"
        for file, name in re.findall(named, page.read_text()):
            if file in MADE_LATER:
                continue
            assert (ROOT / file).is_file(), f"{page.name}: {file}"
            if name:
                assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M), f"{page.name}: {file}::{name}"
                seen += 1
    assert seen > 20


def flat(page: Path) -> str:
    """A page's text without line ends."""
    return " ".join(page.read_text().split())


def test_examples_are_of_this_version() -> None:
    """The tiny run on the pages takes seconds, so it is made again whenever results change."""
    text = block(ROOT / "docs" / "scenarios" / "tiny.md", "run")
    assert text == readme.EMPTY or f"results version {RESULTS_VERSION}," in text


def test_numbers_that_the_pages_take_from_the_code() -> None:
    model, engine, reich = (flat(ROOT / "docs" / n) for n in ("model.md", "engine.md", "scenarios/reich.md"))
    genome = shipped("exons")
    assert f"{len(genome.marker_axis):,} in all" in model
    assert f"({genome.marker_far.sum():,} markers" in model
    for name, page in (("reich", "reich.md"), ("petr2019", "petr2019.md")):
        clock = schedule.compile(scenario.load(name).branch("p10"))
        first = clock.first_pulse_tick()
        last, ago = clock.generation(clock.today), clock.today - first
        for number in (clock.today, first, last, ago, round(clock.years_bp(first))):
            assert re.search(rf"\b{number:,}\b", model), (name, number)
        assert f"{clock.today - first:,}" in (ROOT / "docs" / "scenarios" / page).read_text()
    made = tables.build_tables(genome, scenario.load("reich").selection)
    assert f"({made.mutation_mean:.3f} for `reich`)" in model
    assert f"{len(made.h_bins):,} bins" in model
    assert f"above {100 * world.COMMON:g} % of the haplotypes, until it falls to {100 * world.RARE_AGAIN:g} %" in engine
    assert state.MAX_COMMON_EFFECT * world.UNIT == 1 / 4 and "exceeds 1/4" in engine
    assert f"at most {100 * world._FEW:g} % of the gametes are foreign" in engine
    chosen = scenario.load("reich")
    first, *rest = plan_stages(schedule.compile(chosen.branch("p10")), "", "stationary", 7.0, chosen.start.relax, 0)
    modern, archaic = ({stage.name: stage for stage in rest}[name] for name in ("modern", "neanderthal"))
    assert f"`relax` {first.ticks} |" in reich and f"the modern lineage then {modern.ticks}, from 70,000" in reich
    assert f"alone for {archaic.ticks:,} generations" in reich and f"in {archaic.ticks:,} generations 1.67" in reich


def test_closed_forms_that_the_pages_quote() -> None:
    from admix import theory

    genome = shipped("exons")
    page, model = (flat(ROOT / "docs" / name) for name in ("scenarios/reich.md", "model.md"))
    phi = theory.phi(genome, 1700)
    for S in (0.766, 0.573, 0.337):
        ten, today = 100 * theory.uniform_load_trajectory(0.1, S, phi, np.array([10, 1680]))
        assert f"{ten:.2f} % (10), {today:.2f} % (1,680)" in page, (S, ten, today)
    assert round(0.766 * shipped("cds").functional_bp / genome.functional_bp, 3) == 0.337
    loads = [theory.drift_load(n, 17_963, 1e-8, genome.functional_bp, -0.043, 0.23) for n in (500, 1000, 3000)]
    assert "{:.2f} with N = 500, {:.2f} with 1,000 and {:.2f} with 3,000".format(*loads) in page
    assert f"gives {100 * theory.pedigree_survival(0.1, 0.766, phi).share:.1f} %" in model
    assert f"{theory.rbar(genome):.2f} on this map" in model
