# SPDX-License-Identifier: GPL-3.0-or-later
"""How the site is built: sphinx-build -W docs site

The pages are plain Markdown that can be read in the repository as well. Three things are done to them on the way:
links to files outside docs/ that have a page here lead to that page, those to other files become plain text, and
each `<!-- generated: NAME -->` is replaced by what docs/generated.py makes from the code.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import generated  # noqa: E402

import admix  # noqa: E402

project = "admix"
author = copyright = "The admix developers"
version = release = admix.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "sphinx_copybutton"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}  # numpydoc asks for .rst, there are none
exclude_patterns = ["_build"]
language = "en"

html_theme = "sphinx_book_theme"
html_title = f"admix {release}"
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],
}
html_copy_source = False
html_show_copyright = False
# Nothing is fetched while the site is built or read: pages have no formulas, so MathJax is never loaded.
templates_path: list[str] = []

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]  # options of commands
smartquotes = False  # two hyphens begin an option
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_exclude = ".linenos, .gp, .go"

PAGES = {"README.md": "overview.md", "data/README.md": "data.md", "CHANGELOG.md": "changelog.md"}
"""Files outside docs/ and the page that includes each."""

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"(?ms)^(`{3,})[^\n]*\n.*?^\1[ ]*$")
_INCLUDED = re.compile(r"(?m)^<!-- include: (\S+) -->$")
_GENERATED = re.compile(r"(?m)^<!-- generated: ([\w-]+) -->$")


def _relative(target: Path, page: Path) -> str:
    up = len(page.relative_to(ROOT / "docs").parts) - 1
    return "../" * up + target.relative_to(ROOT / "docs").as_posix()


def links(text: str, source: Path, page: Path) -> str:
    """Return the Markdown of file ``source`` with its links as they must be on the site's ``page``."""

    def replaced(found: re.Match[str]) -> str:
        words, target = found[1], found[2]
        if re.match(r"[a-z]+:", target):
            return found[0]
        name, _, anchor = target.partition("#")
        file = (source.parent / name).resolve() if name else source
        inside = file.relative_to(ROOT).as_posix()
        if inside in PAGES:
            file = ROOT / "docs" / PAGES[inside]
        if not file.is_relative_to(ROOT / "docs") or file.is_dir():
            return words
        if file == page and anchor:
            return f"[{words}](#{anchor})"
        return f"[{words}]({_relative(file, page)}{'#' + anchor if anchor else ''})"

    pieces, last = [], 0
    for block in _BLOCK.finditer(text):
        pieces += [_LINK.sub(replaced, text[last : block.start()]), block[0]]
        last = block.end()
    return "".join([*pieces, _LINK.sub(replaced, text[last:])])


def images(text: str, source: Path, page: Path) -> str:
    """Return the Markdown with the paths of its pictures as they must be on ``page``."""

    def replaced(found: re.Match[str]) -> str:
        return f"![{found[1]}]({_relative((source.parent / found[2]).resolve(), page)})"

    return re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", replaced, text)


def read(app: object, docname: str, source: list[str]) -> None:
    """Make a page's Markdown ready for the site."""
    page = ROOT / "docs" / f"{docname}.md"
    if not page.is_file():
        return
    text = links(source[0], page, page)

    def included(found: re.Match[str]) -> str:
        file = (page.parent / found[1]).resolve()
        return images(links(file.read_text(encoding="utf-8"), file, page), file, page)

    text = _INCLUDED.sub(included, text)
    source[0] = _GENERATED.sub(lambda found: generated.MAKERS[found[1]](), text)


def docstring(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Let bars around a symbol mean its magnitude, not a substitution."""
    lines[:] = [re.sub(r"\|(\w+)\|", r"\\|\1\\|", line) for line in lines]


def setup(app: object) -> None:
    """Register the above with Sphinx."""
    app.connect("source-read", read)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", docstring)  # type: ignore[attr-defined]
