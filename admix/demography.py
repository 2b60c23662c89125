# SPDX-License-Identifier: GPL-3.0-or-later
"""The demography block of a scenario: a Demes model in years, checked line by line before demes sees it.

Demes itself would refuse most of these faults, but without the value that was given.  What it adds to the
checks here (resolution of omitted times and sizes) is kept: `resolve` returns its graph.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any

import demes

from admix.errors import InputError, nearest, plain
from admix.strict import NOTHING, Block, Text, list_of, number, one_of, text

Words = Text | None
Size = Annotated[float, number("a number of individuals from 2 to 10,000,000", 2, 1e7)]
EndTime = Annotated[float, number("years ago, from 0 (today) to 100,000,000", 0, 1e8)]
StartTime = Annotated[
    float,
    number(
        "years ago, above 0 and up to 100,000,000, or .inf for the oldest deme",
        0,
        1e8,
        above=True,
        infinity=True,
    ),
]
Share = Annotated[float, number("a share from 0 to 1", 0, 1)]
DemeName = Annotated[
    str, text("a name of letters, digits and _, not starting with a digit", pattern=r"[A-Za-z_][A-Za-z0-9_]*")
]
Names = Annotated[tuple[DemeName, ...], list_of("a list of names of demes")]
Function = Annotated[str, one_of("constant", "linear", "exponential")]


class EpochBlock(Block):
    """An epoch of a deme, over (end of the one before, `end_time`] in years ago."""

    end_time: EndTime | None = None
    start_size: Size | None = None
    end_size: Size | None = None
    size_function: Function | None = None


class DemeDefaults(Block):
    """Defaults inside a deme, as in Demes."""

    epoch: EpochBlock | None = None


class DemeBlock(Block):
    """A deme, which lives over (`start_time`, end of its last epoch] in years ago."""

    name: DemeName
    description: Words = None
    start_time: StartTime | None = None
    ancestors: Names | None = None
    proportions: Annotated[tuple[Share, ...], list_of("a list of shares")] | None = None
    defaults: DemeDefaults | None = None
    epochs: Annotated[tuple[EpochBlock, ...], list_of("a list of epochs, at least one", at_least=1)] | None = None


class MigrationBlock(Block):
    """Continuous migration over (`start_time`, `end_time`]; `rate` of the parents of `dest` live in
    `source`."""

    source: DemeName | None = None
    dest: DemeName | None = None
    demes: Names | None = None
    start_time: StartTime | None = None
    end_time: EndTime | None = None
    rate: Share | None = None


class DefaultDeme(Block):
    """Defaults for every deme."""

    description: Words = None
    start_time: StartTime | None = None
    ancestors: Names | None = None
    proportions: Annotated[tuple[Share, ...], list_of("a list of shares")] | None = None


class Defaults(Block):
    """Defaults for the whole demography, as in Demes."""

    epoch: EpochBlock | None = None
    deme: DefaultDeme | None = None
    migration: MigrationBlock | None = None


class Demography(Block):
    """A Demes model (https://popsim-consortium.github.io/demes-spec-docs) without its pulses, in years."""

    description: Words = None
    time_units: Annotated[str, one_of("years")]
    generation_time: Annotated[float, number("years per generation, from 0.001 to 1000", 1e-3, 1e3)]
    doi: Annotated[tuple[Text, ...], list_of("a list of DOIs")] | None = None
    defaults: Defaults | None = None
    demes: Annotated[tuple[DemeBlock, ...], list_of("a list of at least two demes", at_least=2)]
    migrations: Annotated[tuple[MigrationBlock, ...], list_of("a list of migrations")] | None = None

    def as_written(self) -> dict[str, Any]:
        """Return the Demes model with nothing added to what was written."""
        written: dict[str, Any] = self.model_dump(exclude_none=True)
        return written


def resolve(demography: Demography) -> demes.Graph:
    """Return the resolved Demes graph.

    Raises
    ------
    InputError
        Where the parts do not fit together: names, times, sizes, proportions.
    """
    written = with_defaults(demography.as_written())
    deme_list = written["demes"]
    _unique([deme["name"] for deme in deme_list], "demography.demes", "name")
    lives: dict[str, tuple[float, float]] = {}
    for i, deme in enumerate(deme_list):
        where = f"demography.demes[{i}]"
        start = _check_origin(deme, where, lives, deme_list)
        lives[deme["name"]] = (start, _check_epochs(deme["epochs"], where, start))
    for i, migration in enumerate(written.get("migrations", [])):
        _check_migration(migration, f"demography.migrations[{i}]", lives)
    try:
        return demes.Graph.fromdict(_lists(written))
    except (ValueError, KeyError, TypeError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise _fault("demography", NOTHING, f"a valid Demes model; demes says: {cause}") from error


def with_defaults(written: dict[str, Any]) -> dict[str, Any]:
    """Return a Demes model with its ``defaults`` blocks applied and removed."""
    defaults = written.get("defaults", {})
    out = {key: value for key, value in written.items() if key != "defaults"}
    out["demes"] = []
    for deme in written["demes"]:
        full = {**defaults.get("deme", {}), **deme}
        epoch = {**defaults.get("epoch", {}), **full.pop("defaults", {}).get("epoch", {})}
        full["epochs"] = [{**epoch, **own} for own in full.get("epochs", [{}])]
        out["demes"].append(full)
    if "migrations" in written:
        out["migrations"] = [{**defaults.get("migration", {}), **own} for own in written["migrations"]]
    return out


def _check_origin(
    deme: dict[str, Any], where: str, lives: dict[str, tuple[float, float]], all_demes: list[dict[str, Any]]
) -> float:
    """Check where a deme comes from; return its start in years ago."""
    ancestors = deme.get("ancestors", ())
    if not ancestors:
        if lives:
            root = next(iter(lives))
            raise _fault(
                f"{where}.ancestors",
                NOTHING,
                f"ancestors among {', '.join(lives)}, since only {root} has always existed",
            )
        start = deme.get("start_time", math.inf)
        if start != math.inf:
            raise _fault(f"{where}.start_time", start, "no start_time (or .inf) for the deme without ancestors")
        return math.inf
    for k, ancestor in enumerate(ancestors):
        if ancestor not in lives:
            later = ancestor in [other["name"] for other in all_demes]
            rule = "a deme that is listed earlier" + (" (order the demes from old to new)" if later else "")
            known = ", ".join(lives) or "none is"
            near = None if later else nearest(ancestor, lives)
            raise _fault(f"{where}.ancestors[{k}]", ancestor, f"{rule}: {known}", near)
    _unique(list(ancestors), f"{where}.ancestors")
    proportions = deme.get("proportions")
    if proportions is None and len(ancestors) > 1:
        raise _fault(f"{where}.proportions", NOTHING, f"{len(ancestors)} shares that add up to 1")
    if proportions is not None and (len(proportions) != len(ancestors) or abs(sum(proportions) - 1) > 1e-9):
        raise _fault(
            f"{where}.proportions",
            list(proportions),
            f"{len(ancestors)} shares (one for each ancestor) that add up to 1",
        )
    start = deme.get("start_time")
    if start is None:
        if len(ancestors) > 1 or lives[ancestors[0]][1] == 0:
            raise _fault(f"{where}.start_time", NOTHING, "years ago (not implied by the end of a single ancestor)")
        start = lives[ancestors[0]][1]
    for ancestor in ancestors:
        oldest, latest = lives[ancestor]
        if not latest <= start < oldest:
            raise _fault(
                f"{where}.start_time",
                start,
                f"a time at which its ancestor {ancestor} lives: {_span(oldest, latest)}",
            )
    return float(start)


def _check_epochs(epochs: list[dict[str, Any]], where: str, start: float) -> float:
    """Check the epochs of a deme that starts at `start`; return the end of the last, in years ago."""
    time, size = start, None
    for k, epoch in enumerate(epochs):
        here = f"{where}.epochs[{k}]"
        last = k == len(epochs) - 1
        end = epoch.get("end_time", 0.0 if last else None)
        if end is None:
            raise _fault(f"{here}.end_time", NOTHING, "years ago (only the last epoch may do without, ending today)")
        if not end < time:
            raise _fault(f"{here}.end_time", end, f"less than {_years(time)} years ago, when the epoch starts")
        first = epoch.get("start_size", size if size is not None else epoch.get("end_size"))
        if first is None:
            raise _fault(f"{here}.start_size", NOTHING, "a number of individuals (the first epoch of a deme needs one)")
        size = epoch.get("end_size", first)
        function = epoch.get("size_function", "constant" if size == first else "exponential")
        if function == "constant" and size != first:
            raise _fault(f"{here}.end_size", size, f"{first:,.10g} as start_size, since size_function is constant")
        if time == math.inf and size != first:
            raise _fault(f"{here}.end_size", size, f"{first:,.10g} as start_size, since the epoch has no beginning")
        time = end
    return float(time)


def _check_migration(migration: dict[str, Any], where: str, lives: dict[str, tuple[float, float]]) -> None:
    if ("demes" in migration) == ("source" in migration or "dest" in migration):
        raise _fault(where, sorted(migration), "either source and dest, or demes for migration both ways")
    if "rate" not in migration:
        raise _fault(f"{where}.rate", NOTHING, "a share from 0 to 1 per generation")
    if "demes" in migration:
        named = [(f"{where}.demes[{k}]", name) for k, name in enumerate(migration["demes"])]
        if len(named) < 2:
            raise _fault(f"{where}.demes", list(migration["demes"]), "at least two demes")
    else:
        named = [(f"{where}.{key}", migration.get(key, NOTHING)) for key in ("source", "dest")]
    for place, name in named:
        if name not in lives:
            raise _fault(place, name, f"one of the demes {', '.join(lives)}", nearest(str(name), lives))
    _unique([name for _, name in named], where)
    for a, b in itertools.combinations([name for _, name in named], 2):
        oldest, latest = min(lives[a][0], lives[b][0]), max(lives[a][1], lives[b][1])
        span = f"within the time when {a} and {b} both live: {_span(oldest, latest)}"
        start, end = migration.get("start_time", oldest), migration.get("end_time", latest)
        if not latest < start <= oldest:
            raise _fault(f"{where}.start_time", start, span)
        if not latest <= end < start:
            raise _fault(
                f"{where}.end_time",
                end,
                f"after the migration's start ({_years(start)} years ago) and {span}",
            )


def _fault(where: str, given: object, allowed: str, near: str | None = None) -> InputError:
    return InputError(where, plain(given), allowed, near)


def _unique(names: list[str], where: str, key: str = "") -> None:
    for k, name in enumerate(names):
        if name in names[:k]:
            place = f"{where}[{k}]" + (f".{key}" if key else "")
            raise _fault(place, name, f"a name of its own, since {where}[{names.index(name)}] has this one")


def _span(oldest: float, latest: float) -> str:
    return f"{_years(latest)} to {_years(oldest)} years ago"


def _years(time: float) -> str:
    return "any number of" if time == math.inf else f"{time:,.10g}"


def _lists(value: Any) -> Any:
    """Return `value` with tuples as lists, which demes insists on."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_lists(item) for item in value]
    return value
