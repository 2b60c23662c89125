# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this installation sound, and how to mend it: versions, SLiM, threads, cache, disk, and a small run of each engine
from burn-in through trees to tracts."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import admix
from admix.cache import default_directory
from admix.engines.native.workers import available_threads
from admix.engines.slim import program
from admix.errors import AdmixError

__all__ = ["Finding", "examine", "sound"]

STATES = ("ok", "note", "bad")
LEAST_PYTHON = (3, 11)
LEAST_DISK = 2e9
"""Bytes that a burn-in of the human scenarios and a run's trees need."""
_TREE: dict[str, Any] = {
    "name": "doctor",
    "title": "A small run",
    "demography": {
        "time_units": "years",
        "generation_time": 1,
        "demes": [
            {"name": "ancestral", "epochs": [{"start_size": 100, "end_time": 130}]},
            {"name": "modern", "ancestors": ["ancestral"], "epochs": [{"start_size": 100}]},
            {"name": "archaic", "ancestors": ["ancestral"], "epochs": [{"start_size": 40, "end_time": 20}]},
        ],
    },
    "genome": {"source": "human_autosomes_GRCh37", "target": "exons", "chromosomes": [21, 22]},
    "selection": {
        "mutation_rate": 2e-7,
        "dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23},
        "dominance": 0.5,
    },
    "pulse": [{"name": "pulse", "source": "archaic", "target": "modern", "time": 20, "share": 0.2}],
    "start": {"mode": "stationary", "relax": 20},
    "sampling": {"individuals": [{"deme": "modern", "time": 0, "n": 100}], "trees": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: `state` is one of `STATES`; `mend` says what to do where it is not ok."""

    what: str
    state: str
    detail: str
    mend: str = ""

    @property
    def line(self) -> str:
        """The finding as one line."""
        return f"{self.state:<5}{self.what}: {self.detail}" + (f"; {self.mend}" if self.mend else "")


def examine(*, slim_path: str | None = None, simulate: bool = True, cache_dir: Path | None = None) -> Iterator[Finding]:
    """Yield findings, the quick ones first.

    Parameters
    ----------
    slim_path
        Where SLiM is, if not in ``$SLIM`` or on the PATH.
    simulate
        Whether each engine makes a small run.
    cache_dir
        The cache; the default one if omitted.
    """
    cache = cache_dir or default_directory()
    yield Finding(what="admix", state="ok", detail=f"{admix.__version__} in {Path(admix.__file__).parent}")
    yield _python()
    yield from _packages()
    slim = _slim(slim_path)
    yield slim
    yield _threads()
    yield _cache(cache)
    yield _disk("cache", cache)
    yield _disk("temporary files", Path(tempfile.gettempdir()))
    yield _data()
    if simulate:
        yield _run("native", cache, None)
        if slim.state == "ok":
            yield _run("slim", cache, slim_path)


def sound(findings: list[Finding]) -> bool:
    """Return whether nothing is bad."""
    return all(finding.state != "bad" for finding in findings)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        return Finding(what="Python", state="bad", detail=found, mend="make an environment with Python 3.11 or newer")
    return Finding(what="Python", state="ok", detail=f"{found} ({sys.executable})")


def _packages() -> Iterator[Finding]:
    """The packages that admix needs, against the least versions that it names."""
    try:
        wanted = [word for word in requires("admix") or [] if "extra ==" not in word]
    except PackageNotFoundError:
        yield Finding(
            what="packages", state="note", detail="admix is not installed, so its needs are not known",
            mend="install it with: pip install .",
        )  # fmt: skip
        return
    found, bad = [], False
    for word in sorted(wanted):
        match = re.match(r"([A-Za-z0-9_.-]+)\s*(?:>=\s*([0-9.]+))?", word)
        if match is None:
            continue
        name, least = match[1], match[2] or "0"
        try:
            have = version(name)
        except PackageNotFoundError:
            have = ""
        if not have or _numbers(have) < _numbers(least):
            bad = True
            yield Finding(
                what=name, state="bad", detail=f"{have or 'missing'}, at least {least} is needed",
                mend=f"mend it with: pip install '{name}>={least}'",
            )  # fmt: skip
        found.append(f"{name} {have}")
    if not bad:
        yield Finding(what="packages", state="ok", detail=", ".join(found))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3])


def _slim(path: str | None) -> Finding:
    try:
        where, found = program.require(path)
    except AdmixError as error:
        missing = program.find() is None if path is None and not os.environ.get("SLIM") else False
        if missing:
            return Finding(
                what="SLiM", state="note", detail="not found, so only the native engine can run",
                mend=f"to have --engine slim: {program.CONDA}",
            )  # fmt: skip
        return Finding(what="SLiM", state="bad", detail=str(error))
    return Finding(what="SLiM", state="ok", detail=f"{found} ({where}), tree files of format 0.9")


def _threads() -> Finding:
    detail = f"{available_threads()} of {os.cpu_count()} processors may be used"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        mend = "unset NUMBA_DISABLE_JIT, or runs take a thousand times as long"
        return Finding(what="threads", state="bad", detail=f"{detail}, but kernels are not compiled", mend=mend)
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
        mend = "unset NUMBA_BOUNDSCHECK for full speed"
        return Finding(what="threads", state="note", detail=f"{detail}, with bounds checks", mend=mend)
    return Finding(what="threads", state="ok", detail=detail)


def _cache(place: Path) -> Finding:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        mend = "name another one with --cache-dir or $ADMIX_CACHE"
        return Finding(what="cache", state="bad", detail=f"{place} can't be written ({error.strerror})", mend=mend)
    size = 0
    for path in place.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return Finding(what="cache", state="ok", detail=f"{place}, {size / 1e6:,.0f} MB")


def _disk(what: str, place: Path) -> Finding:
    there = next(p for p in [place, *place.parents] if p.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free / 1e9:,.1f} GB free in {there}"
    if free < LEAST_DISK:
        mend = f"make room for {LEAST_DISK / 1e9:g} GB; 'admix cache clear' empties the cache"
        return Finding(what=f"disk for {what}", state="bad", detail=detail, mend=mend)
    return Finding(what=f"disk for {what}", state="ok", detail=detail)


def _data() -> Finding:
    from admix.genome import shipped

    try:
        genome = shipped()
    except (AdmixError, OSError) as error:
        return Finding(what="genome", state="bad", detail=str(error), mend="install admix again")
    return Finding(what="genome", state="ok", detail=f"{genome.name}, {genome.morgans:.2f} Morgans")


def _run(engine: str, cache: Path, slim_path: str | None) -> Finding:
    """Simulate, write trees, read tracts off them, and compare these with what the engine counted."""
    from admix import ancestry_run, results
    from admix.run_plan import RunOptions
    from admix.scenario import Scenario

    run: Callable[..., Path]
    if engine == "slim":
        from admix.slim_run import run
    else:
        from admix.simulate import run
    what = f"a run of the {engine} engine"
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="admix-doctor-") as folder:
            options = RunOptions(
                out=Path(folder) / "run", engine=engine, slim_path=slim_path, cache_dir=Path(folder) / "cache",
            )  # fmt: skip
            path = run(Scenario.from_tree(_TREE), options)
            (written,) = ancestry_run.write_ancestry(results.read_run(path))
            by_tree = float(written.groups["share"].iloc[-1])
            counted = float(results.read_run(path).table("trajectory")["ancestry_mean"].iloc[-1])
    except (AdmixError, OSError) as error:
        return Finding(what=what, state="bad", detail=str(error), mend="run it again with 'admix run -vv' to see where")
    seconds = time.monotonic() - begun
    # everybody is sampled, so trees and engine differ by what markers 100 kb apart miss
    if abs(by_tree - counted) > 0.01:
        detail = f"trees say {by_tree:.2%} of the DNA is archaic, the engine {counted:.2%}"
        return Finding(what=what, state="bad", detail=detail, mend="please report this as a bug of admix")
    detail = f"burn-in to tracts in {seconds:.0f} s, {by_tree:.2%} archaic by trees, {counted:.2%} by the engine"
    return Finding(what=what, state="ok", detail=detail)
