# SPDX-License-Identifier: GPL-3.0-or-later
"""The Snakefile of sims/ on this machine."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_sweep import PARAMETERS, write
from test_sweep_local import SMALL

from admix.engines.native.compiled import kernel_folder
from admix.sweep import collect, grid, plan
from admix.sweep.point import Bench
from admix.sweep.store import Store

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.snakemake,
    pytest.mark.skipif(
        find_spec("snakemake") is None, reason="Snakemake is not installed (pip install admix[snakemake])"
    ),
]


def test_the_local_profile_gives_the_same_table(tmp_path):
    file = write(tmp_path, **SMALL | {"burnins": 1, "parameters": PARAMETERS[:1]})
    made = plan.make(grid.load(file))
    bench = Bench(made, tmp_path / "by-hand", tmp_path / "cache-by-hand")
    for point in made.points:
        bench.point(point, 1)
    expected = collect.write(*collect.tables(made, bench.store), tmp_path)[0].read_bytes()

    program = tmp_path / "bin/admix"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/commands\nexec {sys.executable} -m admix "$@"\n')
    program.chmod(0o755)
    env = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "ADMIX_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "XDG_CACHE_HOME": str(tmp_path / "xdg"),
        "NUMBA_CACHE_DIR": str(kernel_folder().parent),
    }  # fmt: skip
    words = [
        sys.executable, "-m", "snakemake", "-s", ROOT / "sims/snakemake/Snakefile", "--profile",
        ROOT / "sims/snakemake/local", "--cores", "1", "--config", f"grid={file}", f"out={tmp_path / 'sweep'}",
    ]  # fmt: skip
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep/table.tsv").read_bytes() == expected
    ran = [line.split()[1] for line in (tmp_path / "commands").read_text().splitlines()]
    assert ran == ["plan", "history", "history", "task", "collect"]
    assert Store(tmp_path / "sweep").finished() == {point.key for point in made.points}
