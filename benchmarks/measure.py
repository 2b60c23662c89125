# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing the tasks one after another, each in its own process, and keeping what they found."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from admix.errors import RunError
from benchmarks import plan, slim, store
from benchmarks.plan import Task
from benchmarks.states import State
from benchmarks.store import Results

BUSY = 0.1
"""Share of the machine used by other work above which a timing is marked."""
QUICK_SECONDS = 540.0
"""What ``--quick`` allows itself, before what is under way then."""
_FIRST_GUESS = {"facts": 40.0, "native": 25.0, "stages": 45.0, "slim": 60.0, "fwdpy11": 90.0, "job": 600.0}


class Bench:
    """Does tasks.

    Parameters
    ----------
    results
        Where findings go.
    folder
        Where states and the peers' files are kept.
    program
        The program slim, or None.
    say
        Gets a line of text for every task.
    """

    def __init__(self, results: Results, folder: Path, program: str | None, say: Callable[[str], None]) -> None:
        self.results, self.folder, self.program, self.say = results, folder, program, say
        self.begun = time.monotonic()
        self._took: dict[tuple[str, str], float] = {}

    def run(self, tasks: list[Task], seconds: float = float("inf")) -> None:
        """Do all tasks that are not done; in ``seconds``, as many of them as are expected to fit."""
        for k, task in enumerate(tasks):
            head = f"[{k + 1}/{len(tasks)}] {task.state.name} | {task.group}: {task.label}"
            if self.results.done(task.id):
                self.say(f"{head}: done before")
                continue
            kind = (task.engine, task.label if task.group == "common" else "")
            left = seconds - (time.monotonic() - self.begun)
            if self._took.get(kind, _FIRST_GUESS[task.engine]) > left:
                self.say(f"{head}: left out, no time")
                continue
            others, begin = store.OtherWork(), time.monotonic()
            try:
                found = self._do(task)
            except RunError as error:
                found = {"failed": str(error)}
            took, load = time.monotonic() - begin, others.share()
            self._took[kind] = took
            self.results.add(
                {
                    "id": task.id, "group": task.group, "label": task.label, "engine": task.engine,
                    "state": task.state.to_dict(), "given": task.given, "round": task.round, "when": store.now(),
                    "other_work": load, "seconds": took,
                }
                | found
            )  # fmt: skip
            self.say(f"{head}: {_brief(found)} ({took:.0f} s{', machine busy' if load > BUSY else ''})")

    # ------------------------------------------------------------------ one task

    def _do(self, task: Task) -> dict[str, Any]:
        if task.engine == "slim":
            return self._slim(task)
        if task.engine == "job":
            return self._job(**task.given)
        if task.engine == "facts":
            return self._prepared("facts", task.state)
        given = dict(task.given)
        if "threads" in given:
            given["threads"] = given["threads"] or self.results.head["machine"]["threads"]
        if task.engine == "fwdpy11":
            given["path"] = self._prepared("fwdpy11_files", task.state)["path"]
        if task.engine == "native":
            # so that what making the state takes is not part of the peak
            self._prepared("facts", task.state)
        found = self._work(task.engine, task.state, given)
        if task.engine == "fwdpy11":
            self._check(task, found, "sites", "per_haplotype")
        return found

    def _check(self, task: Task, found: dict[str, Any], *names: str) -> None:
        """Refuse a measurement on another population than the state's."""
        wanted = self._prepared("facts", task.state)
        for name in names:
            if abs(found[name] - wanted[name]) > 1e-4 * abs(wanted[name]):
                raise RunError(task.label, f"it read another population: {name} {found[name]}, not {wanted[name]}")

    def _work(self, work: str, state: State, given: dict[str, Any]) -> dict[str, Any]:
        asked = json.dumps({"work": work, "state": state.to_dict(), "folder": str(self.folder), "given": given})
        done = store.run([sys.executable, "-m", "benchmarks.worker"], asked)
        if done.code != 0:
            raise RunError(work, _last_line(done.errors) or f"it ended with code {done.code}")
        found: dict[str, Any] = json.loads(done.output.splitlines()[-1])
        return found | {"peak_bytes": done.peak}

    def _prepared(self, work: str, state: State, **given: Any) -> dict[str, Any]:
        """Files of a state, made on first use; remembered in the results' file as long as they are there."""
        name = " / ".join(["files", work, state.name, *map(str, given.values())])
        kept: dict[str, Any] = self.results.head.setdefault("files", {}).get(name, {})
        if kept and kept["state"] == state.to_dict() and all(Path(p).exists() for p in kept["paths"]):
            return kept
        found = self._work(work, state, given)
        found |= {"state": state.to_dict(), "paths": [found[key] for key in ("folder", "path") if key in found]}
        self.results.head["files"][name] = found
        return found

    def _slim(self, task: Task) -> dict[str, Any]:
        assert self.program is not None
        form, runs = self._form(task)
        place = Path(self._prepared("slim_files", task.state, form=form)["folder"])
        given = {name: task.given[name] for name in ("trees", "first", "least", "most", "seconds")}
        done = store.run(slim.command(self.program, task.state, place, runs=runs, **given))
        if done.code != 0:
            raise RunError(self.program, _last_line(done.errors) or f"it ended with code {done.code}")
        found = slim.read_output(done.output, given["first"], given["trees"])
        self._check(task, found, "sites", "fitness_mean")
        return found | {"form": form, "runs": runs, "peak_bytes": done.peak}

    def _form(self, task: Task) -> tuple[str, int]:
        """Form and number of mutation runs: what the task says, else what was fastest at this or the nearest U."""
        if "form" in task.given:
            return task.given["form"], task.given["runs"]
        tried = [e for e in self.results.measured.values() if e["group"] == "tune" and "ms" in e]
        if not tried:
            return "one", plan.RUNS_QUICK["one"][0]
        off = min(abs(e["state"]["u"] - task.state.u) for e in tried)
        best = min((e for e in tried if abs(e["state"]["u"] - task.state.u) == off), key=lambda e: e["ms"])
        return best["form"], best["runs"]

    def _job(self, scenario: str, cached: bool = False) -> dict[str, Any]:
        place = self.folder / "jobs" / scenario
        if scenario == "reich" and not cached:
            shutil.rmtree(place, ignore_errors=True)
        command = [
            sys.executable, "-m", "admix", "run", "--scenario", scenario, "--seed", "1", "--quiet", "--force",
            "--cache-dir", str(place / "cache"), "--out", str(place / "run"),
        ]  # fmt: skip
        command += ["--start", "forward"] if scenario == "petr2019" else []
        begin = time.perf_counter()
        # kernels are compiled anew in the first run
        done = store.run(command, environment={"NUMBA_CACHE_DIR": str(place / "kernels")})
        seconds = time.perf_counter() - begin
        if done.code != 0:
            raise RunError(f"admix run --scenario {scenario}", _last_line(done.errors))
        return {"wall_seconds": seconds, "peak_bytes": done.peak}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # SLiM shows the place in the script below its message
    return next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")


def _brief(found: dict[str, Any]) -> str:
    if "failed" in found:
        return f"FAILED: {found['failed']}"
    if "ms" in found:
        return f"{found['ms']:.1f} ms a generation"
    if "wall_seconds" in found:
        return f"{found['wall_seconds'] / 60:.1f} min"
    return f"{found['sites']:,} segregating sites, {found['per_haplotype']:,.0f} in a haplotype"
