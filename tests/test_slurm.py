# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps on a real Slurm of one node, which the tests start on loopback."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import Cluster, missing
from test_sweep import PARAMETERS, write
from test_sweep_local import SMALL

from admix.engines.native.compiled import kernel_folder
from admix.sweep import collect, grid, plan
from admix.sweep.point import Bench
from admix.sweep.store import Store

pytestmark = pytest.mark.slurm
GRID = SMALL | {"replicates": 2, "parameters": PARAMETERS[:1]}
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cluster():
    if absent := missing():
        why = f"Slurm is not installed ({', '.join(absent)}; Debian's packages slurm-wlm and munge have them)"
        if os.environ.get("ADMIX_REQUIRE_SLURM"):
            pytest.fail(why)
        pytest.skip(why)
    try:
        made = Cluster(cpus=4)
    except RuntimeError as error:
        if os.environ.get("ADMIX_REQUIRE_SLURM"):
            raise
        pytest.skip(f"Slurm does not come up here: {error}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """The small sweep without Slurm: cache, points and table."""
    folder = tmp_path_factory.mktemp("by-hand")
    made = plan.make(grid.load(write(folder, **GRID)))
    bench = Bench(made, folder, folder / "cache")
    for point in made.points:
        bench.point(point, 1)
    table = collect.write(*collect.tables(made, Store(folder)), folder)[0].read_bytes()
    return folder / "cache", made, table


def admix(cluster, cache, *words):
    # kernels that are compiled already, since every task would compile them again
    kernels = str(kernel_folder().parent)
    env = os.environ | cluster.env | {"ADMIX_CACHE": str(cache), "NUMBA_CACHE_DIR": kernels, "MPLBACKEND": "Agg"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    words = [sys.executable, "-m", "admix", "sweep", *map(str, words)]
    return subprocess.run(words, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_failures_a_cancelled_task_and_killed_daemons(cluster, by_hand, tmp_path):
    """Everything is there in the end, by the same command, in the same table."""
    cache, made, table = by_hand
    file, folder = write(tmp_path, **GRID), tmp_path / "sweep"
    # what stands where a result's directory belongs makes the point fail
    blocked = folder / "results" / made.points[5].key[:2]
    blocked.parent.mkdir(parents=True)
    blocked.write_text("")
    slurm = ("run", file, "-o", folder, "--executor", "slurm", "--retries", "1", "--mem", "700", "--chunk", "2")
    done = admix(cluster, cache, *slurm)
    assert done.returncode == 0, done
    job = done.stdout.split("Jobs: ")[1].split(";")[0].split(",")[0]
    again = admix(cluster, cache, *slurm)
    assert again.returncode == 1 and "jobs of this sweep are queued or running" in again.stderr
    cluster.ask("scancel", f"{job}_0")
    cluster.kill("slurmctld")
    away = admix(cluster, cache, *slurm)
    assert away.returncode == 2 and away.stderr.startswith("admix: squeue: allowed: what this site takes; it said: ")
    cluster.start("slurmctld")
    cluster.until(lambda: cluster.ask("squeue", "-h") or Store(folder).failed(), "controller")
    cluster.kill("slurmd")
    cluster.start("slurmd")
    cluster.until(lambda: not cluster.ask("squeue", "-h", "-r", "-o", "%i"), "end of all jobs", 300)
    status = admix(cluster, cache, "status", folder)
    assert "7 finished, 1 failed" in status.stdout and "Slurm, round 2: no jobs" in status.stdout, status
    assert "cannot be written" in status.stdout
    blocked.unlink()
    done = admix(cluster, cache, *slurm, "--wait")
    assert done.returncode == 0 and "(8 of 8 points)" in done.stdout, done
    assert (folder / "table.tsv").read_bytes() == table


def test_ten_thousand_points_are_submitted_within_ten_seconds(cluster, by_hand, tmp_path):
    """Processor time, since other work may be going on; then all are cancelled."""
    share = {"name": "share", "field": "pulse.share", "values": [round(0.1 + k / 50_000, 6) for k in range(1250)]}
    parameters = [share, {"name": "dominance", "field": "selection.dominance", "values": [0.5, 0.1]}]
    file, folder = write(tmp_path, **GRID | {"parameters": parameters}), tmp_path / "sweep"
    before = os.times()
    began = time.monotonic()
    hold = ("--chunk", "1", "--slurm-opt=--hold")
    done = admix(cluster, by_hand[0], "run", file, "-o", folder, "--executor", "slurm", *hold)
    after = os.times()
    assert done.returncode == 0 and "10,000 points in 10,000 tasks" in done.stdout, done
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{spent:.1f} s of processor time, {time.monotonic() - began:.1f} s")
    assert spent < 10
    status = admix(cluster, by_hand[0], "status", folder)
    # points, the gathering job, and what the cache lacks of histories
    jobs = int(status.stdout.split("Slurm, round 1: ")[1].split(" pending")[0].replace(",", ""))
    assert 10_001 < jobs < 10_020, status.stdout
    cancelled = admix(cluster, by_hand[0], "cancel", folder)
    assert f"stopped {jobs} jobs" in cancelled.stdout.replace(",", "")
    assert not cluster.ask("squeue", "-h")


def test_a_refusal_is_the_sites_own_words(cluster, by_hand, tmp_path):
    file, folder = write(tmp_path, **GRID), tmp_path / "sweep"
    words = ("run", file, "-o", folder, "--executor", "slurm", "--slurm-opt=--partition=gpu")
    done = admix(cluster, by_hand[0], *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "sbatch: allowed: what this site takes; it said: invalid partition specified: gpu" in done.stderr
    assert not cluster.ask("squeue", "-h")
