# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``admix run`` does once its words are read: put the options together, then run or tell the plan."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from admix.cli_process import STANDARD_OUTPUT, Stopped, place, tell
from admix.errors import InputError

if TYPE_CHECKING:
    from admix.progress import Progress
    from admix.scenario import Scenario
    from admix.simulate import Estimate, RunOptions

SEED_END = 2**32
_OF_EVERY_ENGINE = ("seed", "replicates", "generations", "twin")


def put_together(
    scenario: Scenario, given: dict[str, Any], *, out: str | None, force: bool, cache_dir: str | None
) -> RunOptions:
    """Return the options of a run: what was typed, else the scenario's ``run:`` block, else the defaults."""
    if given["burnin"] is not None and given["burnins"] is not None:
        raise InputError("--burnin", given["burnin"], "one of --burnin and --burnins, not both")
    if given["burnin"] is not None:
        given = given | {"burnins": 1}
    from admix.scenario import ENGINES

    written = scenario.run.given()
    usual = written.get("engine", ENGINES[0])
    if given.get("engine") not in (None, usual):
        # the rest of what the file says of its run means nothing to another engine
        written = {name: value for name, value in written.items() if name in _OF_EVERY_ENGINE}
    engine = given.get("engine") or usual
    if engine == "msprime":
        for name in ("burnins", "cache_dir"):
            if given.get(name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise InputError(option, given[name], f"left out with --engine {engine}, which keeps no history")
    given = {name: value for name, value in given.items() if name != "cache_dir"}
    if given["burnins"] is not None:
        # whatever single burn-in the file names is overruled
        written.pop("burnin", None)
    if engine != "slim":
        for name in ("history", "slim_path"):
            if given.get(name) is not None:
                raise InputError(f"--{name.replace('_', '-')}", given[name], "together with --engine slim")
    values = written | {name: value for name, value in given.items() if value is not None}
    if values.get("twin") == "none":
        values["twin"] = None
    count, shared = values.get("replicates", 1), values.get("burnins", 1)
    if shared > count:
        raise InputError("--burnins", shared, f"at most the number of replicates, which is {count}")
    where = Path(out) if out is not None else Path("runs") / f"{scenario.name}-s{values.get('seed', 1)}"

    from admix.simulate import RunOptions

    return RunOptions(out=where, force=force, cache_dir=Path(cache_dir) if cache_dir else None, **values)


def simulate_and_tell(scenario: Scenario, options: RunOptions, progress: Progress) -> None:
    """Run a scenario; print its short table, its answer in a sentence, and where the rest is.

    Raises
    ------
    Stopped
        If Ctrl-C or SIGTERM ended the simulation.
    """
    from admix import simulate

    place(options.out)
    try:
        path = simulate.run(scenario, options, progress)
    except KeyboardInterrupt as error:
        progress.close()
        kept = "the same command begins anew"
        if options.engine != "msprime":
            kept = f"the history simulated so far is kept in {_cache_directory(options)}"
            if options.engine == "native":
                from admix.results import unfinished_folder

                folder = unfinished_folder(options.out)
                kept += f", the branches in {folder}" if folder.is_dir() else ""
            kept += ", and the same command goes on from there"
        raise Stopped(error, f"{options.out} was not written; {kept}") from None
    progress.close()
    place(STANDARD_OUTPUT)

    from admix import results

    summary = results.read_run(path).summary
    tell(results.screen_table(summary).rstrip("\n"), "", results.answer(summary).rstrip("\n"), "")
    if (path / "figures").is_dir():
        tell(f"Pictures: {options.out / 'figures'}")
    tell(f"Tables:   {options.out}")


def refuse_others(context: Any, allowed: tuple[str, ...]) -> None:
    """Refuse options that were typed and are not among those allowed together with ``--resume``.

    Raises
    ------
    InputError
        For the first of them.
    """
    for param in context.command.params:
        typed = context.get_parameter_source(param.name)
        if param.name not in allowed and typed is not None and typed.name == "COMMANDLINE":
            rule = "left out with --resume, which repeats the command that was given at first"
            raise InputError(param.opts[-1], context.params[param.name], rule)


def go_on(out: Path, threads: int | None, cache_dir: Path | None, progress: Progress) -> None:
    """Go on with the run that was to be in `out`; tell so if it is complete.

    Raises
    ------
    InputError
        If there is none, or what was saved can't be used.
    """
    from admix import results, unfinished

    folder = results.unfinished_folder(out)
    complete = (out / results.MANIFEST).is_file()
    # one that was to replace what is there may have done so or not, and is made from what is kept
    if complete and not (folder.is_dir() and unfinished.record_of(out).force):
        shutil.rmtree(folder, ignore_errors=True)
        tell(f"{out} is complete")
        return
    record = unfinished.record_of(out)
    from admix.scenario import Scenario
    from admix.scenario_yaml import read

    scenario = Scenario.from_tree(read(record.scenario, str(folder / unfinished.RUN)))
    given: dict[str, Any] = dict.fromkeys(("burnin", "burnins", "engine"))
    given |= {"threads": threads, "keep_parents": record.keep_parents or None}
    chosen = str(cache_dir) if cache_dir else record.cache
    # what is there already was to be replaced, if the first command said so
    options = put_together(scenario, given, out=str(out), force=record.force, cache_dir=chosen)
    simulate_and_tell(scenario, options, progress)


def write_slim_script(scenario: Scenario, options: RunOptions, path: str, *, dry_run: bool) -> None:
    """Write the script that ``--engine slim`` would run, and its tables beside it."""
    if options.engine != "slim":
        raise InputError("--slim-script", path, "together with --engine slim")
    if dry_run:
        raise InputError("--slim-script", path, "without --dry-run, as files are written")
    from admix import slim_run

    slim_run.write_script(scenario, options, Path(path), tell)


def _cache_directory(options: RunOptions) -> Path:
    from admix import cache

    return options.cache_dir or cache.default_directory()


def print_plan(scenario: Scenario, options: RunOptions) -> None:
    """Print the resolved scenario as YAML, and the schedule and the estimate as YAML comments below it."""
    from admix import simulate
    from admix.run_plan import resolved

    estimate = simulate.estimate(scenario, options)
    tell(
        "# Dry run: nothing was computed and nothing was written. This text is a scenario that can be run.",
        resolved(scenario, options).to_yaml().rstrip("\n"),
        "#",
        "# Schedule",
        *(f"#   {line}" for line in _schedule_lines(scenario, options.scale)),
        "#",
        "# Estimate",
        *(f"#   {line}" for line in _estimate_lines(estimate)),
        "#",
        f"# Output: {options.out}"
        + (" (exists: --force would be needed)" if options.out.exists() and not options.force else ""),
    )


def _schedule_lines(scenario: Scenario, scale: float) -> list[str]:
    """Return the schedule of the first branch, and of each other branch where it differs; the scaled ones, if so."""
    from admix import scaling, schedule

    if scale != 1.0:
        scenario = scaling.scaled_scenario(scenario, scale)
    first: list[str] = []
    told = []
    for branch in scenario.branches:
        lines = schedule.compile(scenario.branch(branch.name)).describe()
        told.append(f"branch {branch.name}" + (", where it differs" if first else ""))
        told += [f"  {line}" for line in lines if line not in first]
        first = first or lines
    return told


def _estimate_lines(estimate: Estimate) -> list[str]:
    from admix.progress import duration

    times = {"time": duration(estimate.seconds_first)}
    if estimate.seconds_cached is not None:
        times = {"first run": times["time"], "with history cached": duration(estimate.seconds_cached)}
    values = times | {
        "memory": size(estimate.memory_bytes),
        "disk": size(estimate.disk_bytes),
    }
    return [f"{label:<24}{text}" for label, text in values.items()]


def size(count: float) -> str:
    """Return a number of bytes in words, in powers of ten."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
