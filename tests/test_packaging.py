# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing: every way finds the shipped data, and the files that describe the package agree."""

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

import admix
from admix import datafiles
from admix.errors import InputError, RunError

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = sorted(path.name for path in (ROOT / "data").iterdir() if path.name != "README.md")

# Run in the new installation. What admix needs comes last on the path, so that admix cannot come from there.
PROBE = """
import sys
sys.path.append(sys.argv[1])
import admix
from admix.datafiles import data_names, data_path
from admix.genome import shipped
from pathlib import Path
import hashlib
print(admix.__version__)
print(Path(admix.__file__).resolve())
print(Path(admix.__file__).parent.joinpath("py.typed").is_file())
print(sorted(p.name for p in Path(admix.__file__).parent.joinpath("catalog").glob("*.yaml")))
for name in data_names():
    print(name, hashlib.sha256(data_path(name).read_bytes()).hexdigest(), data_path(name).resolve())
print(shipped().checksum())
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source distribution, so that both are complete."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (found,) = folder.glob("*.whl")
    assert len(list(folder.glob("*.tar.gz"))) == 1
    return found


@pytest.mark.parametrize("how", ["plain", "editable", "wheel"])
def test_every_way_of_installing(how: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    what = {"plain": [ROOT], "editable": ["--editable", ROOT]}.get(how) or [request.getfixturevalue("wheel")]
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    # The build backend is taken from here, so that no package index is asked. Without isolation pip looks
    # for it in the environment it works on, which `--python` makes the new one.
    libraries = sysconfig.get_path("purelib")
    (python_lib,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (python_lib / "zz_build.pth").write_text(libraries + "\n")
    run(*pip, "--no-build-isolation", "--ignore-installed", *what, cwd=tmp_path)
    (python_lib / "zz_build.pth").unlink()

    version, module, typed, catalog, *rest = run(python, "-c", PROBE, libraries, cwd=tmp_path).splitlines()
    assert (python_lib / "admix").exists() == (how != "editable")
    home = ROOT if how == "editable" else python_lib.resolve()
    data = ROOT / "data" if how == "editable" else home / "admix" / "_data"
    assert version == admix.__version__ and typed == "True"
    assert module == str(home / "admix" / "__init__.py")
    assert catalog == str(sorted(path.name for path in (ROOT / "admix" / "catalog").glob("*.yaml")))
    sums = {name: hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() for name in SHIPPED}
    assert rest[:-1] == [f"{name} {sums[name]} {data / name}" for name in SHIPPED]
    from admix.genome import shipped

    assert rest[-1] == shipped().checksum()
    assert (python.parent / "admix").is_file()


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    outside = [name for name in names if not name.startswith(("admix/", f"admix-{admix.__version__}.dist-info/"))]
    assert outside == []
    assert {f"admix/_data/{name}" for name in [*SHIPPED, "README.md"]} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    source = {str(path.relative_to(ROOT)) for path in (ROOT / "admix").rglob("*.py")}
    assert source == {name for name in names if name.endswith(".py")} and len(source) > 10
    assert not any("__pycache__" in name for name in names)


def test_data_path_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign `data` beside an installed package is not taken for ours."""
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(datafiles, "_PACKAGE", tmp_path / "admix")
    with pytest.raises(RunError, match="missing; install admix again"):
        datafiles.data_path("x.tsv")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "data" / "x.tsv").touch()
    assert datafiles.data_path("x.tsv") == tmp_path / "data" / "x.tsv"
    (tmp_path / "admix" / "_data").mkdir(parents=True)
    (tmp_path / "admix" / "_data" / "x.tsv").touch()
    assert datafiles.data_path("x.tsv") == tmp_path / "admix" / "_data" / "x.tsv"


@pytest.mark.parametrize("name", ["human_autosomes.tsv.gz", "../pyproject.toml", "", "README.md"])
def test_unknown_data_file(name: str) -> None:
    with pytest.raises(InputError, match="shipped data file: got") as caught:
        datafiles.data_path(name)
    assert SHIPPED[0] in str(caught.value)


def test_every_table_is_described_with_its_checksum() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|", (ROOT / "data" / "README.md").read_text(), re.M))
    assert listed == {name: hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() for name in SHIPPED}
    for name in SHIPPED:
        text = (ROOT / "data" / "README.md").read_text().split(f"## `{name}`")[1].split("\n## ")[0]
        assert "doi:10." in text and "licence" in text


def requirements(lines: list[str]) -> dict[str, str]:
    found = dict(re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", line.replace(" ", "")).groups() for line in lines)
    assert len(found) == len(lines)
    return found


def test_environment_and_pyproject_agree() -> None:
    environment = YAML(typ="safe").load(ROOT / "environment.yml")
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    conda = requirements(environment["dependencies"])
    assert conda.pop("slim") == ">=5.1" and conda.pop("pip") == ""
    assert conda.pop("python") == PROJECT["requires-python"]
    assert conda == requirements(PROJECT["dependencies"]) and len(conda) >= 15


def test_installed_versions_meet_the_bounds() -> None:
    """What the tests run with is what is promised to work."""
    from importlib.metadata import version

    def number(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)]

    for name, bound in requirements(PROJECT["dependencies"]).items():
        assert bound.startswith(">=") and number(version(name)) >= number(bound), name


def test_version_licence_and_citation_agree() -> None:
    assert "version" in PROJECT["dynamic"] and re.fullmatch(r"\d+\.\d+\.\d+", admix.__version__)
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["version"] == admix.__version__
    assert citation["license"] == PROJECT["license"] == "GPL-3.0-or-later"
    assert (ROOT / "LICENSE").read_text().split("\n")[0].strip() == "GNU GENERAL PUBLIC LICENSE"
    assert "END OF TERMS AND CONDITIONS" in (ROOT / "LICENSE").read_text()
    assert all(re.fullmatch(r"10\.\d{4,}/\S+", work["doi"]) for work in citation["references"])


def test_readme_and_ci_run_the_same_tests() -> None:
    """.ci/run stands for what the README tells a stranger to type."""
    ci = (ROOT / ".ci" / "run").read_text()
    (command,) = re.findall(r"^(pytest.*?) \|", ci, re.M)
    # The command line is the last of a chain; it is followed by the end of the line or of the code.
    assert re.search(rf"(^|&& |/bin/){re.escape(command)}(`|$)", (ROOT / "README.md").read_text(), re.M), command
    assert re.search(r"^pip install .*'\.\[test\]'$", ci, re.M)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_shipped_table_is_plain() -> None:
    """Readable by anything that reads tab-separated text: same columns in every line, numbers only."""
    table = np.genfromtxt(ROOT / "data" / "human_autosomes_GRCh37_100kb.tsv.gz", delimiter="\t", names=True)
    assert table.shape == (28_823,) and table.dtype.names[-1] == "B"
    assert not np.isnan(table["gap_bp"]).any()
