# SPDX-License-Identifier: GPL-3.0-or-later
"""The notebooks in examples/ run from beginning to end, as they are shipped: without output."""

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def test_there_are_examples():
    assert [path.stem for path in EXAMPLES] == ["first-run", "vary-the-pulse"]


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    # one cache for all, as on a person's machine
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path_factory.getbasetemp() / "notebooks-cache"))
    book = nbformat.read(path, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [output for cell in code for output in cell.outputs]
    assert not any(output.output_type == "error" for output in shown)
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert "text/html" in kinds
    if path.stem == "first-run":
        assert "image/png" in kinds
