# SPDX-License-Identifier: GPL-3.0-or-later
"""Local ancestry beside tspop, on one tree sequence: ``python -m benchmarks.local_ancestry``.

msprime simulates two populations that mixed in a pulse, with a census behind it. Then admix and tspop take turns, each
in a process of its own: they read the file and say from which population of the census each base of each haplotype
came. Times are of that call alone, by the clock and of a processor (on a busy machine only the latter tells something);
memory is the peak of the whole process, reading the file and libraries included.
The tables must be identical.

tspop needs only numpy, pandas, tskit and matplotlib; ``--tspop-python`` names an interpreter that has it, where it is
not installed beside admix.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak

ROOT = Path(__file__).resolve().parents[1]
KEYS = ("seconds", "cpu", "again", "cpu_again", "peak", "loaded")
COLUMNS = ("sample", "left", "right", "population")


def simulate(path: str, samples: int, length: float, generations: float, share: float, seed: int) -> dict[str, Any]:
    """Write the tree sequence; `samples` are haplotypes. The census is 0.01 generations behind the pulse."""
    import msprime

    d = msprime.Demography()
    d.add_population(name="modern", initial_size=10_000)
    d.add_population(name="neanderthal", initial_size=1_000)
    d.add_population(name="ancestral", initial_size=10_000)
    d.add_mass_migration(time=generations, source="modern", dest="neanderthal", proportion=share)
    d.add_census(time=generations + 0.01)
    d.add_population_split(time=generations + 18_000, derived=["modern", "neanderthal"], ancestral="ancestral")
    ts = msprime.sim_ancestry(
        {"modern": samples // 2},
        demography=d,
        sequence_length=length,
        recombination_rate=1e-8,
        random_seed=seed,
    )
    ts.dump(path)
    return {"edges": ts.num_edges, "nodes": ts.num_nodes, "trees": ts.num_trees, "msprime": msprime.__version__}


def by_admix(path: str, census: float, out: str) -> dict[str, Any]:
    """Tracts by admix: the first call of the process, which reads the compiled kernel from disk, and a second one."""
    import tskit

    from admix.ancestry import census_ancestry

    ts = tskit.load(path)
    loaded = peak()
    clock = [(time.perf_counter(), time.process_time())]
    census_ancestry(ts, census)
    clock.append((time.perf_counter(), time.process_time()))
    tracts = census_ancestry(ts, census)
    clock.append((time.perf_counter(), time.process_time()))
    seconds, cpu = np.diff(np.array(clock), axis=0).T.tolist()
    most = peak()
    keep = tracts.label >= 0
    columns = (tracts.node[tracts.row[keep]], tracts.start[keep], tracts.end[keep], tracts.label[keep])
    np.savez(out, **dict(zip(COLUMNS, columns, strict=True)))
    times = {"seconds": seconds[0], "cpu": cpu[0], "again": seconds[1], "cpu_again": cpu[1]}
    return times | {"peak": most, "loaded": loaded, "version": "this checkout"}


def by_tspop(path: str, census: float, out: str) -> dict[str, Any]:
    """Tracts by tspop: its squashed table."""
    from importlib.metadata import version

    import tskit
    import tspop

    ts = tskit.load(path)
    loaded = peak()
    start = (time.perf_counter(), time.process_time())
    table = tspop.get_pop_ancestry(ts, census_time=census).squashed_table
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    most = peak()
    np.savez(out, **{name: table[name].to_numpy() for name in COLUMNS})
    times = {"seconds": seconds, "cpu": cpu, "again": seconds, "cpu_again": cpu}
    return times | {"peak": most, "loaded": loaded, "version": version("tspop")}


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


WORKERS: dict[str, Callable[..., dict[str, Any]]] = {"simulate": simulate, "admix": by_admix, "tspop": by_tspop}


def call(python: str, name: str, *arguments: Any) -> dict[str, Any]:
    """What a worker returns, from a process of its own."""
    command = [python, "-m", "benchmarks.local_ancestry", "--worker", json.dumps([name, *arguments])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def identical(one: Path, other: Path) -> bool:
    """Whether two tables have the same rows in the same order."""
    with np.load(one) as a, np.load(other) as b:
        return all(np.array_equal(a[name], b[name]) for name in COLUMNS)


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Simulate, let the two take turns, and return everything measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "trees")
        size = (options.samples, options.length, options.generations, options.share, options.seed)
        say(f"simulating {options.samples:,} haplotypes of {options.length / 1e6:,g} Mb ...")
        simulated = call(sys.executable, "simulate", path, *size)
        census = options.generations + 0.01
        outs = {name: Path(folder) / f"{name}.npz" for name in ("admix", "tspop")}
        pythons = {"admix": sys.executable, "tspop": options.tspop_python or sys.executable}
        call(sys.executable, "admix", path, census, str(outs["admix"]))  # compiles where no kernel is kept yet
        runs: dict[str, list[dict[str, Any]]] = {"admix": [], "tspop": []}
        same = True
        for k in range(options.repeat):
            for name in ("admix", "tspop"):
                runs[name].append(call(pythons[name], name, path, census, str(outs[name])))
                last = runs[name][-1]
                say(f"{k + 1}  {name:<6} {last['seconds']:8.3f} s  {last['peak'] / 2**20:8.0f} MiB")
            same &= identical(outs["admix"], outs["tspop"])
        with np.load(outs["admix"]) as table:
            rows = len(table["left"])
    medians = {name: {key: statistics.median(run[key] for run in own) for key in KEYS} for name, own in runs.items()}
    ours, theirs = medians["admix"], medians["tspop"]
    return {
        "simulated": simulated,
        "rows": rows,
        "runs": runs,
        "medians": medians,
        "faster": {key: theirs[key] / ours[key] for key in ("seconds", "cpu", "again", "cpu_again")},
        "memory_share": ours["peak"] / theirs["peak"],
        "memory_share_beyond_file": (ours["peak"] - ours["loaded"]) / (theirs["peak"] - theirs["loaded"]),
        "identical": same,
    }


def main() -> None:
    """Parse the command line, measure, print, and fail if the tables differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_ancestry", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000, help="haplotypes")
    parser.add_argument("--length", type=float, default=50e6, help="bp")
    parser.add_argument("--generations", type=float, default=2000, help="generations since the census")
    parser.add_argument("--share", type=float, default=0.1, help="share of the pulse")
    parser.add_argument("--repeat", type=int, default=3, help="turns; medians are reported")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tspop-python", metavar="PYTHON", help="an interpreter that has tspop")
    parser.add_argument("--json", metavar="FILE", help="write everything measured there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, *arguments = json.loads(options.worker)
        say(json.dumps(WORKERS[name](*arguments)))
        return
    found = compare(options)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")
    simulated, medians = found["simulated"], found["medians"]
    say(f"{simulated['edges']:,} edges, {simulated['nodes']:,} nodes; {found['rows']:,} tracts")
    for name, own in medians.items():
        first, again = (f"{own[a]:.3f} s (of a processor {own[b]:.3f})" for a, b in (KEYS[:2], KEYS[2:4]))
        say(f"{name:<6} first call {first}, another {again}")
        say(f"       peak {own['peak'] / 2**20:.0f} MiB, before the call {own['loaded'] / 2**20:.0f}")
    ratio = found["faster"]
    first, again = (f"{ratio[a]:.0f} times (by processor time {ratio[b]:.0f})" for a, b in (KEYS[:2], KEYS[2:4]))
    say(f"admix is faster {first}; in a process that has called it before, {again}")
    beyond = found["memory_share_beyond_file"]
    say(f"peak memory: {found['memory_share']:.3f} of tspop's; {beyond:.3f} of what comes on top of file and libraries")
    say("tracts are identical" if found["identical"] else "TRACTS DIFFER")
    if not found["identical"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
