# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the code: imports point down, modules stay small, starting up is quick."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import admix

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "admix"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 625  # about 500, and some leave for docstrings
HEAVY = ("numba", "llvmlite", "matplotlib", "pandas", "msprime", "tskit", "scipy", "demes", "demesdraw")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: 3 kept, 0 broken", done.stdout)


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("selection.py", "from admix import scenario", "imports point down the layers only"),
        ("errors.py", "import admix.cli", "imports point down the layers only"),
        ("genome.py", "from admix import selection", "imports point down the layers only"),
        ("newcomer.py", "", "imports point down the layers only"),
        ("results.py", "import matplotlib.pyplot", "matplotlib only in figures and plots"),
        ("theory/fixation.py", "from numba import njit", "numba only in kernels"),
    ],
)
def test_import_contracts_can_break(module: str, line: str, broken: str, tmp_path: Path) -> None:
    """Negative control: one bad import, also inside a function, is found."""
    shutil.copytree(PACKAGE, tmp_path / "admix", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "admix" / module).open("a") as stream:
        stream.write(f"\n\ndef _hidden() -> None:\n    {line or 'pass'}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert re.findall(r"^(.+) BROKEN\b", done.stdout, re.MULTILINE) == [broken], done.stdout


def test_modules_stay_small_and_say_their_licence() -> None:
    assert len(SOURCES) > 20
    for path in [*SOURCES, *sorted((ROOT / "tests").glob("*.py")), *sorted((ROOT / "sims").rglob("*.py"))]:
        lines = path.read_text().splitlines()
        assert lines[0] == "# SPDX-License-Identifier: GPL-3.0-or-later", path
        if path in SOURCES:
            assert len(lines) <= MAX_LINES, f"{path} has {len(lines)} lines: it is two modules"
            assert ast.get_docstring(ast.parse("\n".join(lines))), f"{path} does not say what it is"


def loaded_by(code: str) -> set[str]:
    """Heavy modules that are loaded after `code` has run in a fresh interpreter."""
    probe = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\nLOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    names = done.stdout.rsplit("\nLOADED ", 1)[1].split()
    assert "admix" in names
    return {name for name in names if name in HEAVY}


@pytest.mark.parametrize(
    "code",
    [
        "import admix",
        "import admix.errors, admix.cli",
        "sys.argv = ['admix', '--help']; import admix.cli; admix.cli.main()",
    ],
    ids=["package", "cli", "help"],
)
def test_starting_up_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == set()


def test_loading_something_heavy_would_be_seen() -> None:
    assert "scipy" in loaded_by("import admix, scipy.stats")
    assert loaded_by("import admix; admix.Scenario") != set()


def test_public_names_exist() -> None:
    assert len(admix.__all__) > 10
    for name in admix.__all__:
        assert getattr(admix, name) is not None
    assert set(dir(admix)) == set(admix.__all__)
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        admix.simulat  # noqa: B018


def test_public_names_are_no_modules() -> None:
    """A lazy name that is also a module would change its meaning once the module is imported."""
    modules = {path.stem for path in PACKAGE.iterdir()}
    # `simulate` is the module, which can be called
    assert modules & set(admix.__all__) == {"simulate"}
    import_module("admix.simulate")
    assert callable(admix.simulate)


def test_every_exported_name_is_defined() -> None:
    checked = 0
    for path in SOURCES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if "__all__" not in path.read_text():
            continue
        module = import_module(name)
        missing = [public for public in module.__all__ if getattr(module, public, None) is None]
        assert missing == [], name
        checked += 1
    assert checked >= 5


def test_linters_look_at_everything() -> None:
    """No rule is switched off for the package as a whole, and no module is left out."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tool["mypy"]["files"] == ["admix"] and tool["mypy"]["disallow_untyped_defs"]
    assert all("admix" not in name for override in tool["mypy"]["overrides"] for name in override["module"])
    assert set(tool["ruff"]["lint"]["per-file-ignores"]["admix/cli.py"]) == {"T20"}
    assert tool["pytest"]["ini_options"]["filterwarnings"][0] == "error"
