# SPDX-License-Identifier: GPL-3.0-or-later
"""The command: ``python -m benchmarks`` in a checkout with ``pip install -e '.[bench]'``.

Makes four populations near equilibrium (N = 10,000, 22 autosomes, U = 0.25 and 0.74, h = 0.5 and 0.1), gives each of
them to the native engine, SLiM and fwdpy11, and times generations, engine after engine and then all over again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from admix.cache import default_directory
from admix.errors import AdmixError, InputError, nearest
from benchmarks import plan, report, slim, store
from benchmarks.measure import BUSY, QUICK_SECONDS, Bench
from benchmarks.plan import ENGINES, GROUPS, Settings


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = parser().parse_args(words)
    try:
        bench(given, sys.argv[1:] if words is None else words)
    except AdmixError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; the same command with --resume goes on where it was.\n")
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="file of results, written after every measurement")
    made.add_argument("--resume", action="store_true", help="go on with that file; without it, it is begun anew")
    made.add_argument("--quick", action="store_true", help="a choice that takes ten minutes on two cores")
    made.add_argument("--only", metavar="GROUPS", help=f"some of {','.join(GROUPS)} (default: all but the last)")
    made.add_argument("--engines", metavar="NAMES", help=f"some of {','.join(ENGINES)} (default: those that are there)")
    made.add_argument("--rounds", type=int, help="how often each engine is measured, in turn (default: 3; 5 if quick)")
    made.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    made.add_argument("--slim-path", metavar="PROGRAM", help="SLiM (default: $SLIM, else slim on the PATH)")
    made.add_argument("--cache-dir", type=Path, metavar="DIR", help="where states are kept (some 4 GB)")
    tiny = made.add_argument_group("to try it out on a small population, whose figures mean nothing")
    tiny.add_argument("--size", type=int, default=10_000, help="individuals")
    tiny.add_argument("--relax", type=int, default=300, help="generations that a state runs forward")
    tiny.add_argument("--ticks", type=int, default=128, help="generations of the native engine that are timed")
    tiny.add_argument("--chromosomes", default="", metavar="NAMES", help="as in 21,22")
    return made


def bench(given: argparse.Namespace, words: list[str]) -> None:
    """Measure, print and write as the command line asks."""
    program = slim.find(given.slim_path)
    settings = chosen(given, program)
    folder = (given.cache_dir or default_directory() / "benchmarks").resolve()
    path = given.json or folder / ("results-quick.json" if given.quick else "results.json")
    versions = store.versions()
    if program and "slim" in settings.engines:
        versions["SLiM"] = slim.version(program)
    head = {
        "machine": store.machine(), "versions": versions, "settings": plain(settings),
        "commands": [shlex.join(["python", "-m", "benchmarks", *words])],
    }  # fmt: skip
    results = store.Results.begin(path, head, resume=given.resume)
    results.write()
    others = store.OtherWork()
    time.sleep(0.5)
    if others.share() > BUSY:
        say(f"Other work uses {others.share():.0%} of the machine: timings will not be valid.")
    work = Bench(results, folder, program, say)
    work.run(plan.tasks(settings), QUICK_SECONDS if settings.quick else float("inf"))
    say("\n" + report.screen(results))
    if given.write:
        report.write_page(results)
        say(f"\nwritten: {report.PAGE}")


def chosen(given: argparse.Namespace, program: str | None) -> Settings:
    """What the command line asks for, checked."""
    there = {"native": True, "slim": program is not None, "fwdpy11": find_spec("fwdpy11") is not None}
    remedies = {"slim": "slim is not on the PATH; see --slim-path", "fwdpy11": "pip install -e '.[bench]' brings it"}
    if given.engines is None:
        engines = tuple(name for name in ENGINES if there[name])
        for name in ENGINES:
            if not there[name]:
                say(f"{name} is left out: {remedies[name]}")
    else:
        engines = names("--engines", given.engines, ENGINES)
        for name in engines:
            if not there[name]:
                raise InputError("--engines", name, f"what is installed: {remedies[name]}")
    for name, low in (("rounds", 1), ("size", 20), ("relax", 0), ("ticks", 1)):
        value = getattr(given, name)
        if value is not None and value < low:
            raise InputError(f"--{name}", value, f"a whole number from {low} on")
    return Settings(
        quick=given.quick,
        rounds=given.rounds or (5 if given.quick else 3),
        size=given.size,
        relax=given.relax,
        ticks=given.ticks,
        chromosomes=tuple(name for name in given.chromosomes.split(",") if name),
        only=GROUPS[:-1] if given.only is None else names("--only", given.only, GROUPS),
        engines=engines,
    )


def names(option: str, text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a list with commas, each of which must be allowed."""
    found = tuple(name.strip() for name in text.split(","))
    for name in found:
        if name not in allowed:
            raise InputError(option, name, f"some of {', '.join(allowed)}", nearest(name, allowed))
    return found


def plain(settings: Settings) -> dict[str, object]:
    """The settings that two parts of one run must share, as JSON has them; groups and engines may be added later."""
    return {
        "quick": settings.quick, "size": settings.size, "relax": settings.relax, "ticks": settings.ticks,
        "chromosomes": list(settings.chromosomes),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
