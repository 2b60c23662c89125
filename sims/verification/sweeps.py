# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps under fire: what is lost when processes, tasks and daemons are killed (nothing), and what they cost.

    python sims/verification/sweeps.py speed     # core use, overhead, resume and planning on this machine
    python sims/verification/sweeps.py kill      # kill -9 of any process at 20 random moments
    python sims/verification/sweeps.py slurm     # a private Slurm whose daemons are killed; needs slurm-wlm and munge

Prints a table; the last one stands in docs/sweeps.md. Ends with code 1 if a figure is missed.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from admix.engines.native.compiled import kernel_folder  # noqa: E402

GRID = {
    "scenario": "tiny", "seed": 7, "burnins": 2, "replicates": 1, "generations": 50,
    "parameters": [
        {"name": "pulse_share", "field": "pulse[0].share", "values": [round(0.02 * k, 2) for k in range(1, 11)]},
        {"name": "dominance", "field": "selection.dominance", "values": [0.5, 0.1]},
    ],
}  # fmt: skip
SMALL = {
    "name": "small", "title": "A sweep's smallest scenario",
    "demography": {"time_units": "years", "generation_time": 1, "demes": [
        {"name": "ancestral", "epochs": [{"start_size": 40, "end_time": 90}]},
        {"name": "modern", "ancestors": ["ancestral"], "epochs": [{"start_size": 40}]},
        {"name": "archaic", "ancestors": ["ancestral"], "epochs": [{"start_size": 12, "end_time": 30}]},
    ]},
    "genome": {"source": "human_autosomes_GRCh37", "target": "exons", "chromosomes": [21, 22]},
    "selection": {"mutation_rate": 4e-7, "dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23}, "dominance": 0.5},
    "pulse": [{"name": "pulse", "source": "archaic", "target": "modern", "time": 30, "share": 0.2}],
    "start": {"mode": "stationary", "relax": 20},
}  # fmt: skip


class Figures:
    """Rows of the table, and whether all are met."""

    def __init__(self):
        self.met = True
        print("| figure | wanted | found | |\n|---|---|---|---|")

    def add(self, what, wanted, found, met):
        self.met &= met
        print(f"| {what} | {wanted} | {found} | {'met' if met else '**missed**'} |", flush=True)


class Work:
    """A directory with a grid, a cache, and the command."""

    def __init__(self, folder, name, **changes):
        self.folder = Path(folder) / name
        self.folder.mkdir(parents=True)
        (self.folder / "small.yaml").write_text(json.dumps(SMALL))
        self.grid = self.folder / "grid.json"
        self.grid.write_text(json.dumps({"name": "s"} | GRID | changes))
        self.sweep = self.folder / "sweep"
        self.env = os.environ | {"ADMIX_CACHE": str(self.folder / "cache"), "MPLBACKEND": "Agg"}
        self.env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # compiled kernels are the same for all
        self.env["NUMBA_CACHE_DIR"] = str(kernel_folder().parent)

    def words(self, command, *more):
        return [sys.executable, "-m", "admix", "sweep", command, str(self.grid), "-o", str(self.sweep), *more]

    def run(self, command, *more, codes=(0,)):
        """(seconds, seconds of processor time, what was said) of a command."""
        before, began = os.times(), time.monotonic()
        done = subprocess.run(
            self.words(command, *more), env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode not in codes:
            sys.exit(f"{command}: code {done.returncode}: {done.stdout}{done.stderr}")
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return time.monotonic() - began, spent, done.stdout

    def table(self):
        return (self.sweep / "table.tsv").read_bytes()

    def seconds(self):
        """What the points themselves took, of each."""
        return [json.loads(file.read_text())["seconds"] for file in self.sweep.glob("results/*/*.json")]


def speed(folder, figures):
    values = [round(0.002 * k, 3) for k in range(1, 26)]
    more = [GRID["parameters"][0] | {"values": values}, GRID["parameters"][1]]
    work = Work(folder, "speed", parameters=more)
    cores = len(os.sched_getaffinity(0))
    work.run("run", "-q")  # histories and compiled kernels
    subprocess.run(["rm", "-r", str(work.sweep)], check=True)
    # of what the machine had to give: others may use it too
    other = _stolen()
    wall, spent, _ = work.run("run", "-q")
    free = cores * wall - (_stolen() - other - spent)
    inside = sum(work.seconds())
    figures.add(
        "cores in use over 100 points",
        "90 %",
        f"{100 * spent / free:.0f} % of {free:.0f} core seconds",
        spent / free >= 0.9,
    )
    over = (cores * wall - inside) / 100
    figures.add(
        "overhead a point, everything counted", "0.5 s", f"{over:.2f} s ({wall:.0f} s on {cores} cores)", over < 0.5
    )
    shares = {"name": "share", "field": "pulse.share", "values": [round(0.1 + k / 50_000, 6) for k in range(2500)]}
    work = Work(folder, "many", scenario="small.yaml", replicates=2, generations=5, parameters=[shares])
    wall, spent, _ = work.run("plan")
    figures.add("plan of 10,000 points", "10 s", f"{wall:.1f} s ({spent:.1f} s of a processor)", spent < 10)
    for file, keys in _results(work.sweep):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(keys))
    (work.sweep / "table.tsv").write_text("")
    wall, spent, said = work.run("run", "-q")
    assert "all 10000 points are finished" in said, said
    figures.add("resume of 10,000 finished points", "5 s", f"{wall:.1f} s ({spent:.1f} s of a processor)", spent < 5)


def _stolen():
    """Processor seconds of the whole machine that were in use."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _results(sweep):
    for row in json.loads((sweep / "plan.json").read_text())["points"]:
        yield sweep / "results" / row[0][:2] / f"{row[0]}.json", {"key": row[0]}


def kill(folder, figures, moments):
    small = {"scenario": "small.yaml", "generations": 25}
    straight = Work(folder, "straight", **small)
    whole = straight.run("run", "-q", "-j", "2")[0]
    work, rng, killed = Work(folder, "killed", **small), random.Random(5), []
    for _ in range(moments):
        process = subprocess.Popen(
            work.words("run", "-q", "-j", "2"), env=work.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0, whole / 3))
        family = _family(process.pid)
        victim = rng.choice(family)
        killed.append(family.index(victim))
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            killed[-1] = None
        process.wait()
        # processes end when their parent does
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() and not _zombie(pid) for pid in family[1:]):
            assert time.monotonic() < deadline, "a process was left behind"
            time.sleep(0.1)
    work.run("run", "-q", "-j", "2")
    told = f"{killed.count(0)} times the main process, {sum(bool(k) for k in killed)} times a worker"
    figures.add(f"table after kill -9 at {moments} random moments", "identical", told, work.table() == straight.table())


def _family(pid):
    found = [pid]
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += _family(int(child))
    except OSError:
        pass
    return found


def _zombie(pid):
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def slurm(folder, figures):
    from slurm_cluster import Cluster, missing

    if missing():
        sys.exit(f"not installed: {', '.join(missing())}; apt-get install slurm-wlm munge")
    values = [round(0.02 * k, 2) for k in range(1, 21)]
    small = {"scenario": "small.yaml", "generations": 25, "parameters": [GRID["parameters"][0] | {"values": values}]}
    here = Work(folder, "here", **small)
    here.run("run", "-q")
    work = Work(folder, "there", **small)
    work.run("plan")
    results = [file for file, _ in _results(work.sweep)]
    counts = {}
    for file in results:
        counts.setdefault(file.parent, []).append(file)
    # what stands where a result's directory belongs makes the point fail
    blocked = [parent for parent, files in counts.items() if len(files) == 1][:3]
    for place in blocked:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    cluster = Cluster(cpus=4)
    began = time.monotonic()
    try:
        work.env |= cluster.env
        asked = ("--executor", "slurm", "--chunk", "4", "--retries", "1", "--mem", "900")
        said = work.run("run", *asked)[2]
        job = re.search(r"Jobs: .*?(\d+); then", said)[1]
        print(next(f"<!-- {line} -->" for line in said.splitlines() if "job arrays" in line))
        finished = lambda: sum(file.exists() for file in results)  # noqa: E731
        cluster.until(lambda: finished() >= 2, "first results", 900)
        cluster.ask("scancel", f"{job}_9")
        cluster.kill("slurmctld")
        time.sleep(4)
        cluster.start("slurmctld")
        cluster.until(lambda: finished() >= 12, "more results", 900)
        cluster.kill("slurmd")
        time.sleep(2)
        cluster.start("slurmd")
        cluster.until(lambda: not cluster.ask("squeue", "-h", "-r", "-o", "%i"), "end of all jobs", 1800)
        status = work.run("status")[2]
        figures.add(
            "40 points: 3 planned failures, a cancelled task, both daemons killed", "37 finished, 3 failed",
            re.search("[0-9]+ finished, [0-9]+ failed", status)[0], "37 finished, 3 failed" in status,
        )  # fmt: skip
        for place in blocked:
            place.unlink()
        work.run("run", *asked, "--wait")
        rounds = len(list((work.sweep / "batch").iterdir()))
        figures.add(
            "the cause removed, the same command: results", "40", f"{finished()}, {rounds} rounds,"
            f" {time.monotonic() - began:.0f} s", finished() == 40,
        )  # fmt: skip
        figures.add("its table and that of the local run", "identical", "", work.table() == here.table())
        many = Work(folder, "many", scenario="small.yaml", replicates=2, generations=5, parameters=[
            {"name": "share", "field": "pulse.share", "values": [round(0.1 + k / 50_000, 6) for k in range(2500)]}
        ])  # fmt: skip
        many.env |= cluster.env
        wall, spent, said = many.run("run", "--executor", "slurm", "--chunk", "1", "--slurm-opt=--hold")
        assert "10,000 points in 10,000 tasks" in said, said
        figures.add(
            "10,000 points planned and submitted", "10 s", f"{wall:.1f} s ({spent:.1f} s of a processor)", spent < 10
        )
        many.run("cancel")
    finally:
        cluster.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "kill", "slurm"))
    parser.add_argument("--moments", type=int, default=20, help="of kill")
    given = parser.parse_args()
    # so that daemons are stopped and directories removed
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="admix-sweeps-") as folder:
        more = {"moments": given.moments} if given.what == "kill" else {}
        {"speed": speed, "kill": kill, "slurm": slurm}[given.what](folder, figures, **more)
    return 0 if figures.met else 1


if __name__ == "__main__":
    sys.exit(main())
