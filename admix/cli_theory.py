# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that answer without a simulation: ``predict``, ``sensitivity`` and ``dfe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from admix.cli_process import STANDARD_OUTPUT, messages, place, tell
from admix.errors import InputError, RunError

__all__ = ["dfe_list", "dfe_show", "predict", "sensitivity"]

_Scenario = Annotated[
    str | None,
    typer.Option(
        "--scenario", metavar="NAME|FILE", help="A name that 'admix scenarios' lists, or a YAML file. Required."
    ),
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one field of the scenario; may be repeated."),
]
_Out = Annotated[
    str | None, typer.Option("-o", "--out", metavar="FILE", help="Also write all generations as a table (.tsv).")
]


def needed(command: str, context: typer.Context, scenario: str | None) -> str:
    """Return the scenario that was asked for; words without an option are answered with the right spelling."""
    if context.args:
        words = " ".join(context.args)
        raise InputError(command, words, "options only", f"--scenario {words}" if scenario is None else None)
    if scenario is None:
        raise InputError("--scenario is missing", allowed="a name that 'admix scenarios' lists, or a YAML file")
    return scenario


def write_table(path: str, text: str) -> None:
    """Write a file as a whole or not at all."""
    place(path)
    target, half = Path(path), Path(f"{path}.partial")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(target)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise RunError(path, f"cannot be written ({error.strerror or error})") from error


def predict(context: typer.Context, scenario: _Scenario = None, assignments: _Set = None, out: _Out = None) -> None:
    """Print what theory expects of a scenario before it is simulated, within seconds.

    The load of each lineage comes from independent sites under mutation, selection and drift through its history of
    sizes, with background selection on the map in use; ancestry is then lost as if that load were spread evenly over
    the functional bases. For reich the expectation is within a tenth of the simulated shares.

    \b
    Examples:
      admix predict --scenario reich
      admix predict --scenario reich --set selection.dominance=0.1
      admix predict --scenario reich --out expected.tsv
    """
    name = needed("predict", context, scenario)

    from admix import prediction
    from admix import scenario as scenarios

    forecast = prediction.predict(scenarios.load(name).with_set(assignments or []))
    if out is not None:
        write_table(out, forecast.trajectory.to_csv(sep="\t", index=False, float_format="%.8g", lineterminator="\n"))
    tell(prediction.screen_text(forecast))
    if out is not None:
        tell("", f"Table: {out}")


def sensitivity(
    context: typer.Context,
    scenario: _Scenario = None,
    assignments: _Set = None,
    out: _Out = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Print how much the answer depends on effects and target, dominance, archaic size and map, by theory.

    Each line changes one assumption of the scenario. With --out the table also has what to give to --set in order to
    simulate a line.

    \b
    Examples:
      admix sensitivity --scenario reich
      admix sensitivity --scenario reich --out choices.tsv
    """
    name = needed("sensitivity", context, scenario)

    from admix import scenario as scenarios
    from admix import sensitivity as choices

    loaded = scenarios.load(name).with_set(assignments or [])
    with messages(0, quiet) as progress:
        progress.plan([("choices", 30.0)])
        progress.start("choices")
        table = choices.sensitivity(loaded, lambda done, note: progress.update("choices", done, note))
        progress.done("choices")
    if out is not None:
        write_table(out, table.to_csv(sep="\t", index=False, float_format="%.8g", lineterminator="\n"))
    place(STANDARD_OUTPUT)
    tell(choices.screen_text(table))
    if out is not None:
        tell("", f"Table: {out}")


def dfe_list() -> None:
    """List the published distributions of fitness effects, and relations of dominance, that scenarios can name.

    \b
    Example:
      admix dfe list
    """
    from admix import dfe_summary

    tell(dfe_summary.list_text())


def dfe_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that 'admix dfe list' shows.")],
) -> None:
    """Show one distribution: source, convention, mean, shares by strength, and how a scenario names it.

    A distribution of stdpopsim's catalog can be looked at too, where stdpopsim is installed; one with the wrong sign
    is refused.

    \b
    Examples:
      admix dfe show kim2017
      admix dfe show stdpopsim:HomSap/Gamma_K17
    """
    from admix import dfe_summary

    tell(dfe_summary.show_text(name))
