# SPDX-License-Identifier: GPL-3.0-or-later
"""Execute the code blocks of README.md and docs/, page by page, each page in an empty directory of its own.

    python docs/execute.py [--write] [PAGE...]      # all pages if none is named; --write renews the outputs shown

Blocks of `sh`, `bash` and `python` are run from top to bottom. A comment on the line above a block says otherwise:

    <!-- not run: REASON -->    its commands are only checked: syntax, options, scenarios and the fields set in them
    <!-- output -->             a `text` block: what the block before prints; a line `...` stands for any lines
    <!-- file: NAME -->         the block is written to this file, for the commands that follow
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run|output|file)(?::(?P<note>[^\n]*?))? *-->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```[ ]*$",
    re.S | re.M,
)
SHELL, PYTHON = ("sh", "bash"), ("python",)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


class PageError(Exception):
    """A block that does not do what its page says: the page, the line, and what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its language, its text, which begins at character `at` of the page and on the line after
    `line`, and the comment above it (`mark`, `note`)."""

    page: Path
    line: int
    at: int
    language: str
    text: str
    mark: str
    note: str

    def error(self, what: str) -> PageError:
        """Return an error that names the block's place."""
        return PageError(f"{os.path.relpath(self.page, ROOT)}:{self.line}: {what}")


def pages() -> list[Path]:
    """Return the pages whose blocks are executed."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks from top to bottom.

    Raises
    ------
    PageError
        Where a comment stands above a block that it cannot be for, or nowhere near one.
    """
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        line = text[: match.start("language")].count("\n") + 1
        block = Block(
            page=page, line=line, at=match.start("text"), language=match["language"], text=match["text"],
            mark=match["mark"] or "", note=(match["note"] or "").strip(),
        )  # fmt: skip
        code = block.language in SHELL + PYTHON
        if block.mark == "not run" and not (code and block.note):
            raise block.error("'not run: REASON' belongs above a block of sh or python")
        if block.mark == "output" and (block.language != "text" or not found or not _runs(found[-1])):
            raise block.error("'output' belongs above a block of text that follows one that is run")
        if block.mark == "file" and not block.note:
            raise block.error("'file: NAME' without a name")
        found.append(block)
    comments = len(re.findall(r"(?m)^<!-- (?:not run|output|file)\b", text))
    if comments != sum(bool(block.mark) for block in found):
        raise PageError(f"{os.path.relpath(page, ROOT)}: a comment for a block is not on the line above one")
    return found


def _runs(block: Block) -> bool:
    return block.language in SHELL + PYTHON and block.mark == ""


# ---- commands


def commands(text: str) -> list[str]:
    """Return the lines of a shell block without comments, each continued line put together."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).rstrip() for line in joined.splitlines())
    return [line for line in lines if line]


def admix_words(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of admix in a line of shell, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    part: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if part and Path(part[0]).name == "admix":
                yield part[1:]
            # what follows < or > is a file
            part = ["<file>"] if set(word) & set("<>") else []
        else:
            part.append(word)


def check(block: Block, made: set[str]) -> None:
    """Check a block that is not run: syntax, options of admix, scenarios and fields; names of files in the repository.

    ``made`` are files that earlier blocks of the page make.
    """
    if block.language in PYTHON:
        try:
            compile(block.text, str(block.page), "exec")
        except SyntaxError as error:
            raise block.error(f"syntax: {error}") from error
        return
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise block.error(f"syntax: {done.stderr.strip()}")
    for line in commands(block.text):
        made |= {found.strip("'\"") for found in re.findall(r">\s*(\S+)", line)}
        for name in re.findall(r"(?:^|\s)((?:sims|docs|data|benchmarks|tests)/[\w./-]+)", line):
            if not (ROOT / name).exists():
                raise block.error(f"{name} does not exist")
        for words in admix_words(line):
            try:
                parse(words, made)
            except Exception as error:
                raise block.error(f"{shlex.join(['admix', *words])}: {error}") from error


def parse(words: Sequence[str], made: set[str]) -> None:
    """Read one call of admix up to the point where it would begin to work.

    Raises
    ------
    Exception
        As the command line does, for unknown commands, options and arguments; for a scenario that does not exist,
        or a field that cannot be set in it.
    """
    from typer.main import get_command

    from admix.cli import app

    root: Any = get_command(app)
    called: list[Any] = []

    def stubbed(command: Any) -> None:
        below = getattr(command, "commands", {})
        for found in below.values():
            stubbed(found)
        if not below:
            command.invoke = called.append

    stubbed(root)
    with contextlib.redirect_stdout(io.StringIO()):
        root.invoke(root.make_context("admix", list(words)))
    for context in called:
        given = context.params
        if context.args:
            raise ValueError(f"unexpected {' '.join(context.args)}")
        if isinstance(given.get("scenario"), str) and given["scenario"] not in made:
            valid_scenario(given["scenario"], given.get("assignments") or [])


def valid_scenario(name: str, assignments: Sequence[str]) -> None:
    """Load a scenario with its changes, and make the schedule of each branch."""
    from admix import scenario, schedule

    loaded = scenario.load(name).with_set(list(assignments))
    for branch in loaded.branches:
        schedule.compile(loaded.branch(branch.name))


# ---- running


@dataclass
class Session:
    """What a page's blocks share: a directory, the names of its Python blocks, the files it has made."""

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__page__"})

    def __post_init__(self) -> None:
        for name in ("sims", "benchmarks"):
            (self.folder / name).symlink_to(ROOT / name)
        tools = self.folder / ".bin"
        tools.mkdir()
        shim = tools / "admix"
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m admix "$@"\n')
        shim.chmod(0o755)
        (tools / "python").symlink_to(sys.executable)

    def run(self, block: Block) -> str:
        """Execute a block and return what it printed on standard output."""
        if block.language in PYTHON:
            return self._python(block)
        return "".join(self._shell(block, line) for line in commands(block.text))

    def _python(self, block: Block) -> str:
        printed = io.StringIO()
        # blank lines before it, so that a traceback names the line of the page
        code = compile("\n" * block.line + block.text, str(block.page), "exec")
        try:
            with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
                exec(code, self.names)
        except Exception as error:
            raise block.error(f"{type(error).__name__}: {error}") from error
        return printed.getvalue()

    def _shell(self, block: Block, line: str) -> str:
        plain = re.fullmatch(r"admix [^|&;<>$`]*(> *(?P<file>\S+))?", line)
        if plain:
            words = shlex.split(line[: line.index(">")] if plain["file"] else line)[1:]
            code, out, complaint = self._admix(words)
            if plain["file"]:
                (self.folder / plain["file"]).write_text(out, encoding="utf-8")
                out = ""
        else:
            environment = {**os.environ, "PATH": f"{self.folder / '.bin'}{os.pathsep}{os.environ['PATH']}"}
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line],
                cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            code, out, complaint = done.returncode, done.stdout, done.stderr
        if code:
            raise block.error(f"{line}: exit code {code}: {complaint.strip()[-500:]}")
        return out

    def _admix(self, words: list[str]) -> tuple[int, str, str]:
        """Call the command line in this process, which spares the imports of a new one."""
        from admix import cli, cli_process

        out, complaint = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(complaint):
            code = cli_process.execute(cli.app, words)
        return code, out.getvalue(), complaint.getvalue()


def same(shown: str, printed: str) -> bool:
    """Return whether a page shows what was printed, numbers aside; a line `...` stands for any lines.

    Numbers may differ in other versions of the libraries; labels and layout may not.
    """

    def lines(text: str) -> list[str]:
        return [" ".join(NUMBER.sub("0", line).split()) for line in text.strip().splitlines()]

    pattern = "".join(r"(?:.*\n)*" if line == "..." else rf"{re.escape(line)}\n" for line in lines(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines(printed))) is not None


def execute(page: Path, folder: Path, *, write: bool = False) -> int:
    """Run or check every block of a page in an empty directory; return how many were run.

    Raises
    ------
    PageError
        At the first block that fails, or whose output is not as shown.
    """
    session = Session(folder)
    made: set[str] = set()
    count, printed = 0, ""
    renewed: list[tuple[Block, str]] = []
    for block in blocks(page):
        if block.mark == "file":
            made.add(block.note)
            (folder / block.note).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.note).write_text(block.text, encoding="utf-8")
        elif block.mark == "not run":
            check(block, made)
        elif block.mark == "output":
            if write and "..." not in block.text.split():
                renewed.append((block, printed.rstrip("\n") + "\n"))
            elif not same(block.text, printed):
                raise block.error(f"shown is\n{block.text}but printed was\n{printed}")
        elif _runs(block):
            printed = session.run(block)
            count += 1
    if renewed:
        text = page.read_text(encoding="utf-8")
        for block, new in reversed(renewed):
            text = text[: block.at] + new + text[block.at + len(block.text) :]
        page.write_text(text, encoding="utf-8")
    return count


def main() -> int:
    """Read the command line, execute the pages, tell of each; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pages", metavar="PAGE", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="put what is printed in the place of the outputs shown")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    failed = 0
    for page in [path.resolve() for path in arguments.pages] or pages():
        begun = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                count = execute(page, Path(folder), write=arguments.write)
            print(f"{os.path.relpath(page, ROOT)}: {count} blocks, {time.monotonic() - begun:.0f} s", flush=True)
        except PageError as error:
            failed += 1
            print(f"FAILED {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
