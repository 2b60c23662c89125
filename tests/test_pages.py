# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md and docs/: every block of code is executed or checked, and the site is built without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import admix
from admix import scenario
from admix.cache import default_directory

ROOT = Path(__file__).resolve().parents[1]


def module(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[name] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


execute, generated = module("execute"), module("generated")
PAGES = execute.pages()
RUN = [page for page in PAGES if any(execute._runs(block) for block in execute.blocks(page))]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all pages, as histories are made once."""
    return tmp_path_factory.mktemp("cache")


def page(folder: Path, text: str) -> Path:
    file = folder / "page.md"
    file.write_text(text, encoding="utf-8")
    return file


def executed(file: Path, folder: Path) -> int:
    (folder / "there").mkdir()
    return execute.execute(file, folder / "there")


# ---- the pages


@pytest.mark.parametrize("file", RUN, ids=lambda file: file.stem)
def test_every_block_does_what_its_page_says(
    file: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # kernels that are compiled already are not compiled again
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR") or str(default_directory() / "kernels"))
    monkeypatch.setenv("ADMIX_CACHE", str(cache))
    assert executed(file, tmp_path) > 0


def test_every_block_that_is_not_run_could_be(tmp_path: Path) -> None:
    """Syntax, options, scenarios with their changes, names of files."""
    checked = 0
    for file in sorted(set(PAGES) - set(RUN)):
        folder = tmp_path / str(checked) / file.stem
        folder.mkdir(parents=True)
        assert execute.execute(file, folder) == 0
        checked += sum(block.mark == "not run" for block in execute.blocks(file))
    assert checked > 20


def test_the_tutorial_and_the_how_tos_are_run() -> None:
    assert {"tutorial", "own-species", "own-dfe", "denisovans", "clusters"} <= {file.stem for file in RUN}


def test_the_list_of_scenarios_is_complete() -> None:
    listed = re.findall(r"^\| \[([\w-]+)\]\(scenarios/\1\.md\) \|", (ROOT / "docs" / "scenarios.md").read_text(), re.M)
    assert sorted(listed) == sorted(scenario.names())


# ---- the extractor finds what is wrong


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```sh\nadmix scenarios --nonsense\n```", "page.md:1: admix scenarios --nonsense: exit code 2"),
        ("text\n\n```sh\nfalse | true\n```", "page.md:3: false | true: exit code 1"),
        ("```python\nx = 1\nassert x == 2\n```", "page.md:1: AssertionError"),
        (
            "```sh\necho 2 apples\n```\n<!-- output -->\n```text\n3 pears\n```",
            "shown is\n3 pears\nbut printed was\n2 a",
        ),
        ("<!-- not run: x -->\n```sh\nadmix run --scenario reich --sed 1\n```", "No such option: --sed"),
        ("<!-- not run: x -->\n```sh\nadmix run --scenario riech\n```", "riech"),
        ("<!-- not run: x -->\n```sh\nadmix run --scenario reich --set selection.h=0.1\n```", "selection"),
        ("<!-- not run: x -->\n```sh\nseq 3 | admix swep plan\n```", "swep"),
        ("<!-- not run: x -->\n```sh\nadmix run reich\n```", "unexpected reich"),
        ("<!-- not run: x -->\n```sh\nadmix stats\n```", "Missing"),
        ("<!-- not run: x -->\n```sh\npython sims/nowhere.py\n```", "sims/nowhere.py does not exist"),
        ("<!-- not run: x -->\n```sh\nif true; then\n```", "syntax"),
        ("<!-- not run: x -->\n```python\nprint(\n```", "syntax"),
        ("<!-- not run: -->\n```sh\ntrue\n```", "REASON"),
        ("<!-- not run: x -->\n\n```sh\ntrue\n```", "not on the line above"),
        ("<!-- output -->\n```text\n2\n```", "follows one that is run"),
    ],
)
def test_a_fault_in_a_page_is_found(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(execute.PageError, match=re.escape(says)):
        executed(page(tmp_path, text + "\n"), tmp_path)


def test_blocks_share_a_directory_and_names(tmp_path: Path) -> None:
    text = (
        "<!-- file: a/b.txt -->\n```yaml\nhello: 1\n```\n\n"
        "```sh\ncat a/b.txt > c.txt  # a remark\nadmix scenarios \\\n  > list.txt\n```\n"
        "```python\nfrom pathlib import Path\ntext = Path('c.txt').read_text()\n```\n"
        "```python\nprint(text, len(Path('list.txt').read_text()) > 100)\n```\n"
        "<!-- output -->\n```text\nhello: 7\n...\n```\n"
        "```json\n{not: run}\n```\n"
    )
    assert executed(page(tmp_path, text), tmp_path) == 3


def test_outputs_are_renewed_in_their_places(tmp_path: Path) -> None:
    text = "```sh\necho 1\n```\n<!-- output -->\n```text\n```\n```sh\necho 2\n```\n<!-- output -->\n```text\n```\nend\n"
    file = page(tmp_path, text)
    (tmp_path / "there").mkdir()
    assert execute.execute(file, tmp_path / "there", write=True) == 2
    wanted = text.replace("```text\n", "```text\n1\n", 1)
    assert file.read_text() == "```text\n2\n".join(wanted.rsplit("```text\n", 1))


@pytest.mark.parametrize(
    ("shown", "printed", "wanted"),
    [
        ("a 1.5 b", "a  27,000 b\n", True),
        ("first\n...\nlast", "first\n1\n2\nlast", True),
        ("first\n...\nlast", "first\nlast", True),
        ("first\nlast", "first\n1\nlast", False),
        ("a 1.5 b", "a 1.5 c", False),
        ("a", "a\nb", False),
    ],
)
def test_outputs_are_compared_but_for_their_numbers(shown: str, printed: str, wanted: bool) -> None:
    assert execute.same(shown, printed) == wanted


# ---- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of the README with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    command = "sphinx-build -W docs site"
    assert f"{command}\n" in (ROOT / "README.md").read_text()
    words = command.split()[1:-1]
    # no network: whatever asks for it fails at once
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", *words, "-d", folder / "doctrees", folder / "html"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "html"


def text_of(file: Path) -> str:
    from html import unescape

    return unescape(re.sub(r"<[^>]+>", "", file.read_text(encoding="utf-8")))


def test_every_page_is_on_the_site(site: Path) -> None:
    for file in PAGES:
        name = "overview" if file.name == "README.md" else file.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert (site / f"{name}.html").is_file(), name
        assert not re.search("<!-- (?:generated|include): ", (site / f"{name}.html").read_text()), name


def test_the_command_line_reference_has_every_command_and_option(site: Path) -> None:
    text = text_of(site / "reference" / "cli.html")
    count = 0
    for words, command in generated.commands():
        assert words in text
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert all(option in text for option in parameter.opts), (words, parameter.opts)
                count += 1
    assert count > 60
    assert "Example: admix" not in text and "\b" not in text and "\n: " not in text


def test_help_becomes_markdown() -> None:
    text = "See 'admix run --help', --set and\n  [default: x_y] <a>; a-b."
    assert generated._escaped(text) == r"See `admix run --help`, `--set` and \[default: x\_y\] \<a\>; a-b."


def test_the_python_reference_has_every_public_name(site: Path) -> None:
    html = (site / "reference" / "python.html").read_text()
    for name in admix.__all__:
        assert name.startswith("__") or re.search(rf'id="admix(\.\w+)*\.{name}"', html) or f">{name}<" in html, name
    assert 'id="admix.run"' in html and 'id="admix.theory.phi"' in html


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    seen = 0
    for file in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", file.read_text(encoding="utf-8")):
            address = re.search(r'(?:src|href)="([^"]*)"', tag)
            if address:
                assert not re.match(r"(?:https?:)?//", address[1]), f"{file.name}: {tag}"
                seen += 1
    assert seen > 100


def test_links_of_included_files_lead_to_pages(site: Path) -> None:
    overview = (site / "overview.html").read_text()
    for target in (
        "model.html#why-the-genome-is-whole-and-unscaled",
        "data.html",
        "scenarios/reich.html",
        "#what-ancestor-means",
    ):
        assert f'href="{target}"' in overview, target
    assert ".md" not in " ".join(re.findall(r'href="([^"]+)"', overview))
