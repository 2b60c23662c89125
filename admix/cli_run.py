# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``admix run`` does once its words are read: put the options together, then run or tell the plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from admix.cli_process import STANDARD_OUTPUT, Stopped, place, tell
from admix.errors import InputError

if TYPE_CHECKING:
    from admix.progress import Progress
    from admix.scenario import Scenario
    from admix.simulate import Estimate, RunOptions

SEED_END = 2**32


def put_together(
    scenario: Scenario, given: dict[str, Any], *, out: str | None, force: bool, cache_dir: str | None
) -> RunOptions:
    """Return the options of a run: what was typed, else the scenario's ``run:`` block, else the defaults."""
    if given["burnin"] is not None and given["burnins"] is not None:
        raise InputError("--burnin", given["burnin"], "one of --burnin and --burnins, not both")
    if given["burnin"] is not None:
        given = given | {"burnins": 1}
    written = scenario.run.given()
    if given["burnins"] is not None:
        # whatever single burn-in the file names is overruled
        written.pop("burnin", None)
    if given.get("engine") != "slim":
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
    place(options.out)
    try:
        path = _engine(options).run(scenario, options, progress)
    except KeyboardInterrupt as error:
        progress.close()
        kept = f"the history simulated so far is kept in {_cache_directory(options)}"
        raise Stopped(
            error, f"{options.out} was not written; {kept}, and the same command goes on from there"
        ) from None
    progress.close()
    place(STANDARD_OUTPUT)

    from admix import results

    summary = results.read_run(path).summary
    tell(results.screen_table(summary).rstrip("\n"), "", results.answer(summary).rstrip("\n"), "")
    if (path / "figures").is_dir():
        tell(f"Pictures: {options.out / 'figures'}")
    tell(f"Tables:   {options.out}")


def _engine(options: RunOptions) -> Any:
    """The module that runs and estimates with the engine chosen."""
    if options.engine == "slim":
        from admix import slim_run

        return slim_run
    from admix import simulate

    return simulate


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
    estimate = _engine(options).estimate(scenario, options)
    tell(
        "# Dry run: nothing was computed and nothing was written. This text is a scenario that can be run.",
        _with_options(scenario, options).to_yaml().rstrip("\n"),
        "#",
        "# Schedule",
        *(f"#   {line}" for line in _schedule_lines(scenario)),
        "#",
        "# Estimate",
        *(f"#   {line}" for line in _estimate_lines(estimate)),
        "#",
        f"# Output: {options.out}"
        + (" (exists: --force would be needed)" if options.out.exists() and not options.force else ""),
    )


def _schedule_lines(scenario: Scenario) -> list[str]:
    """Return the schedule of the first branch, and of each other branch where it differs."""
    from admix import schedule

    first: list[str] = []
    told = []
    for branch in scenario.branches:
        lines = schedule.compile(scenario.branch(branch.name)).describe()
        told.append(f"branch {branch.name}" + (", where it differs" if first else ""))
        told += [f"  {line}" for line in lines if line not in first]
        first = first or lines
    return told


def _with_options(scenario: Scenario, options: RunOptions) -> Scenario:
    """Return the scenario with a ``run:`` block that repeats this run."""
    return scenario.with_run(
        seed=options.seed,
        replicates=options.replicates,
        burnins=options.burnins if options.burnin is None else None,
        burnin=options.burnin,
        generations=options.generations,
        start=options.start or scenario.start.mode,
        twin=options.twin or "none",
        trees=scenario.sampling.trees if options.trees is None else options.trees,
        trees_to="split" if options.trees_to == "split" else None,
    )


def _estimate_lines(estimate: Estimate) -> list[str]:
    from admix.progress import duration

    values = {
        "first run": duration(estimate.seconds_first),
        "with history cached": duration(estimate.seconds_cached),
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
