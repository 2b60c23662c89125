# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing runs code from a file, and nothing makes a command out of text: the sources say so."""

import ast
from pathlib import Path

import pytest

import admix

SOURCES = sorted(Path(admix.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "system", "popen", "getoutput", "getstatusoutput", "read_pickle", "to_pickle"}


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if (node.module or "").split(".")[0] in FORBIDDEN_MODULES else []
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in FORBIDDEN_CALLS:
                found.append(name)
            for word in node.keywords:
                value = getattr(word.value, "value", None)
                if word.arg == "shell" and value is not False:
                    found.append("shell=")
                if word.arg == "allow_pickle" and value is not False:
                    found.append("allow_pickle=")
                if name == "YAML" and word.arg == "typ" and value not in ("safe", "rt"):
                    found.append(f"YAML {value}")
            if name == "load" and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "np":
                found += [] if any(w.arg == "allow_pickle" for w in node.keywords) else ["np.load without allow_pickle"]
    return found


def test_no_source_runs_what_it_reads():
    assert len(SOURCES) > 100
    assert {path.name: found for path in SOURCES if (found := offences(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from dill import loads", "np.load(f)", "np.load(f, allow_pickle=True)", "eval(text)",
        "os.system(text)", "subprocess.run(text, shell=True)", "YAML(typ='unsafe')", "import yaml", "pd.read_pickle(f)",
    ],
)  # fmt: skip
def test_each_way_would_be_seen(source):
    assert offences(source)
