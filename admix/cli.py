# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: it reads what a person typed, calls the library and prints. No science here.

Modules that take long to import are imported inside the functions that need them, so that ``admix --help``
is quick.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from admix import __version__, cli_batch, cli_check, cli_derive, cli_infer, cli_look, cli_sweep, cli_theory
from admix.cli_derive import choice, whole
from admix.cli_process import CommandGroup, execute, messages, show_tracebacks
from admix.cli_run import (
    SEED_END,
    go_on,
    print_plan,
    put_together,
    refuse_others,
    simulate_and_tell,
    size,
    write_slim_script,
)
from admix.errors import InputError, RunError, nearest

__all__ = ["app", "main"]

STARTS = ("forward", "stationary")
TWINS = ("neutral", "none")
COMPLETE = "_ADMIX_COMPLETE"
"""Variable by which a shell asks for completions (see ``admix --show-completion``)."""
TREES_TO = ("pulse", "split")


def _typer(*, completion: bool = False) -> typer.Typer:
    return typer.Typer(
        cls=CommandGroup,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _typer(completion=True)
scenarios_app = _typer()
cache_app = _typer()
export_app = _typer()
dfe_app = _typer()
sweep_app = _typer()


def main() -> None:
    """Run the command line of this process and exit."""
    if COMPLETE in os.environ:
        # a shell that wants to know how a word may end; typer answers it
        app(prog_name="admix")
    sys.exit(execute(app, sys.argv[1:]))


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("-V", "--version", help="Print the version and exit.")] = False,
) -> None:
    """Simulate Neanderthal admixture forwards in time, in whole genomes with linked purifying selection.

    A scenario, written in years, goes in. A directory with tables and pictures of Neanderthal ancestry
    through the generations comes out.

    Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted, 143 terminated.

    Example: admix run --scenario reich --seed 1
    """
    if version:
        print(f"admix {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


# Words that belong to no option are taken, so that `admix run reich` can be answered with the right spelling.
@app.command(short_help="Simulate a scenario and write its run directory.", context_settings={"allow_extra_args": True})
def run(
    context: typer.Context,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A name that 'admix scenarios' lists, or a YAML file. Required."),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--seed",
            metavar="S",
            help="The seed of all random numbers from the pulse on, 1 to 4294967295."
            " The same seed gives the same numbers.  [default: 1]",
        ),
    ] = None,
    replicates: Annotated[
        str | None,
        typer.Option(metavar="R", help="How often each branch is repeated from the pulse on.  [default: 1]"),
    ] = None,
    burnins: Annotated[
        str | None,
        typer.Option(
            metavar="B",
            help="How many independent histories before the pulse the replicates are shared out to,"
            " at most R.  [default: 1]",
        ),
    ] = None,
    burnin: Annotated[
        str | None,
        typer.Option(metavar="K", help="Use history number K, counted from 0, for all replicates."),
    ] = None,
    generations: Annotated[
        str | None,
        typer.Option(metavar="G", help="Stop after generation G; generation 1 is the pulse.  [default: until today]"),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="How the common ancestors get their load: 'forward' simulates them until it is stable,"
            " 'stationary' draws it from theory and simulates a shorter time.  [default: as in the scenario]",
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(metavar="T", help="Number of threads; it does not change the results.  [default: all cores]"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="The run directory to make.  [default: runs/NAME-sSEED in the current directory]",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace the run directory if it exists.")] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Go on with the run that was to be in DIR and was stopped. Takes --threads and --cache-dir only.",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Change one field of the scenario, as in --set selection.dominance=0.1; may be repeated.",
        ),
    ] = None,
    twin: Annotated[
        str | None,
        typer.Option(
            metavar="neutral",
            help="Also run each replicate without selection from the pulse on, to compare with"
            " (with --engine msprime that alone).",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="native|slim|msprime",
            help="Who simulates: admix itself; the program SLiM (5.1 or 5.2), the reference; or msprime by coalescence,"
            " which takes neutral scenarios (or --twin neutral) only and makes sampled people alone."
            "  [default: native]",
        ),
    ] = None,
    trees: Annotated[
        bool | None,
        typer.Option(
            "--trees/--no-trees",
            show_default=False,
            help="Also make tree sequences of the people in sampling.individuals.  [default: as in the scenario]",
        ),
    ] = None,
    trees_to: Annotated[
        str | None,
        typer.Option(
            metavar="pulse|split",
            help="How far back trees reach; 'split' simulates all lineages from the split on.  [default: pulse]",
        ),
    ] = None,
    keep_parents: Annotated[
        bool, typer.Option("--keep-parents", help="Keep the parents of everybody since the pulse (parents/*.npz).")
    ] = False,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="slim|native",
            help="With --engine slim, who simulates what precedes the pulse; with 'native', both engines"
            " go on from the same people.  [default: slim]",
        ),
    ] = None,
    slim_path: Annotated[
        str | None,
        typer.Option(metavar="PROGRAM", help="Where SLiM is.  [default: $SLIM, else slim on the PATH]"),
    ] = None,
    slim_script: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the SLiM script of the first branch, with its tables, to run or edit by hand, and stop.",
        ),
    ] = None,
    cache_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="ADMIX_CACHE",
            show_envvar=True,
            help="Where histories before the pulse are kept for later runs.",
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            metavar="Q",
            help="Only 1: this question cannot be answered by a scaled-down simulation. With --engine slim"
            " up to 100, to see how wrong it is.",
        ),
    ] = "1",
    dry_run: Annotated[
        bool,
        typer.Option(
            "-n",
            "--dry-run",
            help="Print the complete scenario, its events in ticks, and the time and memory a run would take."
            " Write nothing.",
        ),
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            help="Say more about what is done; -vv also shows where a fault comes from.",
        ),
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No progress and no warnings, only the result and errors.")
    ] = False,
) -> None:
    """Simulate a scenario and write its run directory: tables, figures, and a record of how they were made.

    What happens before the pulse is kept in a cache, so a second run with another seed or pulse share
    starts there. A run that was stopped goes on when the same command is given again, or with --resume.
    SIGUSR1 makes it save its state at once.

    \b
    Examples:
      admix run --scenario tiny
      admix run --scenario reich --seed 2 --replicates 6 --burnins 3 --out runs/six
      admix run --scenario reich --set selection.dominance=0.1 --dry-run
      admix run --resume runs/six
    """
    if verbose >= 2:
        show_tracebacks()
    if context.args:
        words = " ".join(context.args)
        raise InputError("run", words, "options only", f"--scenario {words}" if scenario is None else None)
    if resume is not None:
        refuse_others(context, ("resume", "threads", "cache_dir", "verbose", "quiet"))
        count = whole("--threads", threads, 1)
        with messages(verbose, quiet) as progress:
            go_on(Path(resume), count, Path(cache_dir) if cache_dir else None, progress)
        return
    if scenario is None:
        raise InputError("--scenario is missing", allowed="a name that 'admix scenarios' lists, or a YAML file")
    if verbose and quiet:
        raise InputError("--quiet", allowed="not together with --verbose")
    from admix import scaling
    from admix import scenario as scenarios

    factor = scaling.check(scale, engine)

    typed = context.get_parameter_source("cache_dir")
    given = {
        "engine": choice("--engine", engine, scenarios.ENGINES),
        "seed": whole("--seed", seed, 1, SEED_END - 1),
        "replicates": whole("--replicates", replicates, 1),
        "burnins": whole("--burnins", burnins, 1),
        "burnin": whole("--burnin", burnin, 0),
        "generations": whole("--generations", generations, 1),
        "start": choice("--start", start, STARTS),
        "twin": choice("--twin", twin, TWINS),
        "trees": trees,
        "trees_to": choice("--trees-to", trees_to, TREES_TO),
        "keep_parents": keep_parents or None,
        "threads": whole("--threads", threads, 1),
        # not what the environment says
        "cache_dir": cache_dir if typed is not None and typed.name == "COMMANDLINE" else None,
        "history": choice("--history", history, scenarios.HISTORIES),
        "slim_path": slim_path,
        "scale": factor if factor != 1 else None,
    }

    with messages(verbose, quiet) as progress:
        loaded = scenarios.load(scenario).with_set(assignments or [])
        options = put_together(loaded, given, out=out, force=force, cache_dir=cache_dir)
        if slim_script is not None:
            write_slim_script(loaded, options, slim_script, dry_run=dry_run)
        elif dry_run:
            print_plan(loaded, options)
        else:
            simulate_and_tell(loaded, options, progress)


@scenarios_app.callback(invoke_without_command=True)
def _scenarios(context: typer.Context) -> None:
    """List the scenarios that come with admix: name, title, and the question each one asks.

    \b
    Examples:
      admix scenarios
      admix scenarios show reich > mine.yaml
    """
    if context.invoked_subcommand is not None:
        return
    from admix import scenario as scenarios

    names = scenarios.names()
    width = max(map(len, names)) + 2
    for name in names:
        loaded = scenarios.load(name)
        print(f"{name:<{width}}{loaded.title}")
        print(f"{'':<{width}}{_question(loaded.description)}")


def _question(description: str) -> str:
    """Return the question a description opens with (else its first sentence), on one line."""
    text = " ".join(description.split())
    found = re.match(r".*?\?", text) or re.match(r".*?\.(?= |$)", text)
    return found[0] if found else text


@scenarios_app.command("show", short_help="Print a scenario as YAML.")
def _show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that 'admix scenarios' lists.")],
) -> None:
    """Print a scenario as YAML text that can be edited and run.

    \b
    Example, with an editor in between:
      admix scenarios show reich > mine.yaml
      admix run --scenario mine.yaml
    """
    from admix import scenario as scenarios

    names = scenarios.names()
    if name not in names:
        raise InputError("scenarios show NAME", name, ", ".join(names), nearest(name, names))
    print(scenarios.text(name), end="")


app.command(
    "predict",
    short_help="What theory expects of a scenario, without simulation.",
    context_settings={"allow_extra_args": True},
)(cli_theory.predict)
app.command(
    "sensitivity",
    short_help="How the answer depends on what nobody knows well.",
    context_settings={"allow_extra_args": True},
)(cli_theory.sensitivity)
app.command("infer", short_help="Which pulse a sweep says ends at what was measured.")(cli_infer.infer)
app.command("report", short_help="Write the page of a finished run again.")(cli_look.report)
app.command("plot", short_help="Draw the figures of a run.")(cli_look.plot)
app.command("compare", short_help="Draw runs beside one another.")(cli_look.compare)
app.command("explain", short_help="A methods paragraph for a run, and what to cite.")(cli_look.explain)
app.command("ancestry", short_help="Tracts of archaic ancestry, from the trees of a run.")(cli_derive.ancestry)
app.command("stats", short_help="Statistics of a run.")(cli_derive.stats)
app.command("recapitate", short_help="Add older genealogy and neutral mutations to trees.")(cli_derive.recapitate)
app.command("check", short_help="Check a run directory.")(cli_check.check)
app.command("doctor", short_help="Check this installation and say how to mend it.")(cli_check.doctor)
app.command("verify", short_help="Check admix against theory, papers and SLiM.")(cli_check.verify)
export_app.command("vcf", short_help="Genotypes as VCF.")(cli_derive.export_vcf)
export_app.command("labels", short_help="Ancestry labels on a grid.")(cli_derive.export_labels)
sweep_app.command("plan", short_help="Write the plan of a sweep and say what it will cost.")(cli_sweep.plan)
sweep_app.command("run", short_help="Run what is missing of a sweep.")(cli_sweep.run)
sweep_app.command("status", short_help="Count points, and show why some failed.")(cli_sweep.status)
sweep_app.command("cancel", short_help="Stop a sweep; results are kept.")(cli_batch.cancel)
sweep_app.command("task", short_help="Run one point of a planned sweep, or several.")(cli_batch.task)
sweep_app.command("history", short_help="Simulate one history of a planned sweep.")(cli_batch.history)
sweep_app.command("batch", hidden=True)(cli_batch.batch)
sweep_app.command("collect", short_help="Put finished points into tables and figures.")(cli_sweep.collect)


dfe_app.command("list", short_help="List them.")(cli_theory.dfe_list)
dfe_app.command("show", short_help="Show one: source, convention, mean, shares by strength.")(cli_theory.dfe_show)


@dfe_app.callback(invoke_without_command=True)
def _dfe(context: typer.Context) -> None:
    """Look at the published distributions of fitness effects.

    \b
    Examples:
      admix dfe list
      admix dfe show kim2017
    """
    if context.invoked_subcommand is None:
        cli_theory.dfe_list()


@sweep_app.callback(invoke_without_command=True)
def _sweep(context: typer.Context) -> None:
    """Run a scenario many times over a grid or draws of its fields.

    \b
    Examples:
      admix sweep plan sims/sweeps/smoke.yaml
      admix sweep run sims/sweeps/smoke.yaml
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@export_app.callback(invoke_without_command=True)
def _export(context: typer.Context) -> None:
    """Write what other programs read: genotypes as VCF, ancestry as arrays.

    \b
    Examples:
      admix export vcf runs/reich-s1
      admix export labels runs/reich-s1
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


_CacheDir = Annotated[
    str | None,
    typer.Option("--cache-dir", metavar="DIR", envvar="ADMIX_CACHE", show_envvar=True, help="The cache to look at."),
]


@cache_app.callback(invoke_without_command=True)
def _cache(context: typer.Context) -> None:
    """Look at the cache of simulated histories before the pulse, or empty it.

    \b
    Examples:
      admix cache list
      admix cache clear
    """
    if context.invoked_subcommand is None:
        _cache_list(None)


@cache_app.command("list", short_help="List what is in the cache.")
def _cache_list(cache_dir: _CacheDir = None) -> None:
    """List the histories in the cache, with their sizes.

    Example: admix cache list
    """
    from admix import cache

    directory = _cache_directory(cache_dir)
    found = cache.entries(directory)
    print(f"{directory}: {_entries(len(found))}, {size(sum(entry.size for entry in found))}")
    for entry in found:
        state = "" if entry.finished else " (unfinished)"
        print(f"  {entry.key[:12]}  {size(entry.size):>8}  {entry.title}{state}")


@cache_app.command("clear", short_help="Remove everything from the cache.")
def _cache_clear(cache_dir: _CacheDir = None) -> None:
    """Remove all histories from the cache; later runs simulate them again.

    Example: admix cache clear
    """
    from admix import cache

    directory = _cache_directory(cache_dir)
    before = len(cache.entries(directory))
    freed = cache.clear(directory)
    if left := cache.entries(directory):
        raise RunError(str(directory), f"{_entries(len(left))} could not be removed", "check its permissions")
    print(f"{directory}: {_entries(before)} removed, {size(freed)} freed")


def _cache_directory(given: str | Path | None) -> Path:
    from admix import cache

    return Path(given) if given else cache.default_directory()


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


app.add_typer(scenarios_app, name="scenarios", short_help="List the scenarios that come with admix, or show one.")
app.add_typer(dfe_app, name="dfe", short_help="List or show published distributions of fitness effects.")
app.add_typer(export_app, name="export", short_help="Write what other programs read.")
app.add_typer(sweep_app, name="sweep", short_help="Run a scenario many times over a grid of its fields.")
app.add_typer(cache_app, name="cache", short_help="List or empty the cache of histories before the pulse.")
