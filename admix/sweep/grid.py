# SPDX-License-Identifier: GPL-3.0-or-later
"""The grid file: which fields of a scenario vary, over which values or priors, and how often each setting is run.

A *setting* is one value for every parameter. Listed values are crossed with one another and with the draws from the
priors; each setting is then run with every burn-in, and ``replicates`` times from each. A draw is a quantile: draw i
of a parameter takes one uniform number from a stream named by the seed, the parameter's name and i, so neither more
draws nor another parameter move it.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from admix import scenario as scenarios
from admix import seeds
from admix.errors import InputError, nearest, plain
from admix.scenario import ENGINES, Scenario
from admix.scenario_yaml import assign, read
from admix.strict import (
    NOTHING,
    Block,
    Name,
    Rule,
    Text,
    broken,
    explain,
    list_of,
    number,
    text,
    truth,
    variants,
    whole_number,
)

__all__ = ["MAX_POINTS", "RESERVED", "Grid", "Parameter", "Setting", "Study", "load"]

MAX_POINTS = 1_000_000
RESERVED = (
    "point", "key", "draw", "burnin", "replicate", "seed", "history", "source", "deme", "pulse", "generation",
    "years_bp", "generations", "realised", "fitness_archaic_relative", "log_load_difference",
    "n_individuals", "log_fitness_mean", "load_archaic", "load_archaic_final", "requested", "target",
)  # fmt: skip
"""Columns that the table of a sweep has anyway, besides those that begin with ``ancestry`` or ``ancestors``."""
FIXED = ("name", "title", "description", "citation", "branches", "run")
"""Blocks of a scenario that decide no number of a point, or that the grid file has words of its own for."""

_Low = Annotated[float, number("a finite number")]


class _Between(Block):
    """A prior between two ends; ``whole`` rounds draws to whole numbers, as sizes of demes have to be."""

    low: _Low
    high: _Low
    whole: Annotated[bool, truth()] = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise broken(f"a number above low, which is {plain(self.low)}, as high", plain(self.high))
        return self


class Uniform(_Between):
    """Every value between ``low`` and ``high`` alike."""

    kind: Literal["uniform"] = "uniform"

    def quantile(self, u: float) -> float:
        """Return the value below which a share ``u`` of the prior lies."""
        return self.low + u * (self.high - self.low)


class LogUniform(_Between):
    """Every ratio alike: uniform on the logarithm."""

    kind: Literal["log-uniform"] = "log-uniform"

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.low <= 0:
            raise broken("a number above 0 as low of a log-uniform prior", plain(self.low))
        return self

    def quantile(self, u: float) -> float:
        """Return the value below which a share ``u`` of the prior lies."""
        return math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))


class Normal(Block):
    """A normal distribution, cut off at ``low`` and ``high`` where they are given."""

    kind: Literal["normal"] = "normal"
    mean: _Low
    sd: Annotated[float, number("a finite number above 0", 0, above=True)]
    low: _Low | None = None
    high: _Low | None = None
    whole: Annotated[bool, truth()] = False

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        below, above = self._ends()
        if not above - below > 1e-6:
            raise broken("low and high that leave more than a millionth of the normal prior", [self.low, self.high])
        return self

    def _ends(self) -> tuple[float, float]:
        from statistics import NormalDist

        whole = NormalDist(self.mean, self.sd)
        return (
            0.0 if self.low is None else whole.cdf(self.low),
            1.0 if self.high is None else whole.cdf(self.high),
        )

    def quantile(self, u: float) -> float:
        """Return the value below which a share ``u`` of the prior lies."""
        from statistics import NormalDist

        below, above = self._ends()
        # the end points themselves have no finite value
        share = min(max(below + u * (above - below), 1e-15), 1 - 1e-15)
        value = NormalDist(self.mean, self.sd).inv_cdf(share)
        return min(
            max(value, -math.inf if self.low is None else self.low), math.inf if self.high is None else self.high
        )


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_value(item) for item in value)
    return isinstance(value, bool | str | int) or (isinstance(value, float) and math.isfinite(value))


def _different(value: Any) -> Any:
    words = "a list of at least one value: finite numbers, words, true or false"
    values = Rule(words, lambda given: isinstance(given, list | tuple) and len(given) > 0)(value)
    seen: dict[str, int] = {}
    for i, item in enumerate(values):
        if not _is_value(item):
            raise broken(words, item)
        name = json.dumps(plain(item))
        if name in seen:
            raise broken(f"each value once, and the points of value {seen[name] + 1} would be the same again", item)
        seen[name] = i
    return tuple(values)


_Values = Annotated[tuple[Any, ...], BeforeValidator(_different)]


class Choice(Block):
    """One of a few values, each as likely as the others."""

    kind: Literal["list"] = "list"
    values: _Values

    def quantile(self, u: float) -> Any:
        """Return value number ``floor(u * len(values))``."""
        return self.values[min(int(u * len(self.values)), len(self.values) - 1)]


if TYPE_CHECKING:
    Prior = Uniform | LogUniform | Normal | Choice | None
else:
    Prior = variants("kind", Uniform, LogUniform, Normal, Choice)


class Parameter(Block):
    """One field of the scenario that varies: over ``values``, all of which are run, or by draws from ``prior``.

    ``name`` is its column in the table; ``label`` stands at the axes of figures.
    """

    name: Annotated[
        str, text("a column name of small letters, digits and _, starting with a letter", pattern=r"[a-z][a-z0-9_]*")
    ]
    field: Annotated[str, text("a field of the scenario, as in pulse[0].share")]
    label: Text = ""
    values: _Values | None = None
    prior: Prior = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.values is None) == (self.prior is None):
            raise broken("either values or prior", "both" if self.values is not None else NOTHING)
        if self.name in RESERVED or self.name.startswith(("ancestry", "ancestors")):
            raise broken("a name that is no column of the table already", self.name)
        return self

    def draw(self, seed: int, number: int) -> Any:
        """Return draw ``number`` of the prior."""
        assert self.prior is not None
        value = self.prior.quantile(float(seeds.generator("sweep", seed, "prior", self.name, number).random()))
        if isinstance(self.prior, Choice):
            return value
        # six digits are the value itself, not its display: what the table says is what was run
        return round(value) if self.prior.whole else float(f"{value:.6g}")


class Grid(Block):
    """A grid file with every default filled in.

    ``burnins`` is how many independent histories each setting starts from, and ``replicates`` how many runs start
    from each of them. ``set`` changes fields for all points alike. ``generations`` is the last generation, today where
    it is left out. ``branch`` is the branch of the scenario that is varied; without it the scenario's own branches are
    left aside.
    """

    name: Name
    title: Text = ""
    scenario: Text
    branch: Name | None = None
    set: Annotated[
        dict[str, Any], BeforeValidator(Rule("a block of fields and values", lambda value: isinstance(value, dict)))
    ] = Field(default_factory=dict)
    parameters: Annotated[
        tuple[Parameter, ...], list_of("a list of at least one block with name, field and values or prior", at_least=1)
    ]
    draws: Annotated[int, whole_number("a whole number of draws from 1 on", 1)] | None = None
    seed: Annotated[int, whole_number("a whole number from 1 to 4,294,967,295", 1, 2**32 - 1)] = 1
    burnins: Annotated[int, whole_number("a whole number from 1 to 10,000", 1, 10_000)] = 1
    replicates: Annotated[int, whole_number("a whole number from 1 to 100,000", 1, 100_000)] = 1
    generations: Annotated[int, whole_number("a whole number from 1 on", 1)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        drawn = [p.name for p in self.parameters if p.prior is not None]
        if drawn and self.draws is None:
            raise broken(f"draws, a number, since {drawn[0]} has a prior", NOTHING)
        if not drawn and self.draws is not None:
            raise broken("draws only where a parameter has a prior", self.draws)
        names = [p.name for p in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise broken("parameters with different names", name)
        return self

    def to_tree(self) -> dict[str, Any]:
        """Return the grid as dicts and lists."""
        tree: dict[str, Any] = self.model_dump(exclude_none=True, mode="json", warnings=False)
        return tree

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [parameter.name for parameter in self.parameters]


@dataclass(frozen=True, slots=True)
class Setting:
    """One value for every parameter, in their order, and the number of the draw (None where nothing is drawn)."""

    values: tuple[Any, ...]
    draw: int | None


@dataclass(frozen=True, slots=True)
class Study:
    """A grid and the scenario that it varies.

    ``base`` is the scenario with ``set`` applied and without branches; ``paths`` are the parameters' fields in full.
    """

    grid: Grid
    base: Scenario
    paths: tuple[str, ...]

    def settings(self) -> Iterator[Setting]:
        """Yield all settings: listed values crossed, the last parameter fastest, each with every draw."""
        grid = self.grid
        draws: list[int | None] = [None] if grid.draws is None else list(range(grid.draws))
        drawn = [
            [None if p.prior is None or i is None else p.draw(grid.seed, i) for p in grid.parameters] for i in draws
        ]
        for listed in itertools.product(*((None,) if p.values is None else p.values for p in grid.parameters)):
            for number_, taken in zip(draws, drawn, strict=True):
                values = [a if p.prior is None else b for p, a, b in zip(grid.parameters, listed, taken, strict=True)]
                yield Setting(tuple(plain(value) for value in values), number_)

    def count(self) -> int:
        """Return the number of points."""
        listed = math.prod(len(p.values) for p in self.grid.parameters if p.values is not None)
        return listed * (self.grid.draws or 1) * self.grid.burnins * self.grid.replicates

    def scenario(self, setting: Setting) -> Scenario:
        """Return the scenario of a setting.

        Raises
        ------
        InputError
            If a value is not allowed there.
        """
        tree = self.base.to_tree()
        for path, value in zip(self.paths, setting.values, strict=True):
            assign(tree, path, copy.deepcopy(value))
        try:
            return Scenario.from_tree(tree)
        except InputError as error:
            given = ", ".join(f"{n}={v}" for n, v in zip(self.grid.names, setting.values, strict=True))
            raise InputError(f"point {given}: {error.where}", error.given, error.allowed, error.nearest) from error


def load(path: str | Path) -> Study:
    """Return the grid in a YAML file and its scenario.

    The scenario is a name from the catalogue, or a file whose path is relative to the grid file.

    Raises
    ------
    InputError
        For the first fault, in one line.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(10_000_000).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"a byte that is no UTF-8 at position {error.start}", "text in UTF-8") from error
    except OSError as error:
        raise InputError("GRID", str(path), f"a grid file that can be read ({error.strerror or error})") from error
    tree = read(content, str(path))
    if not isinstance(tree, dict):
        raise InputError(str(path), tree if tree is not None else NOTHING, "a block of keys and values")
    try:
        grid = Grid.model_validate(tree)
    except ValidationError as error:
        fault = explain(error, Grid)
        where = fault.where if any(detail["loc"] for detail in error.errors()) else str(path)
        raise InputError(where, fault.given, fault.allowed, fault.nearest) from error
    return study(grid, file.parent)


def study(grid: Grid, folder: Path) -> Study:
    """Return a grid with its scenario; `folder` is where a relative path of the scenario begins.

    Raises
    ------
    InputError
        If the scenario, a branch or a field does not exist, or a field is given twice.
    """
    named = grid.scenario in scenarios.names()
    if not named and not grid.scenario.endswith((".yaml", ".yml")):
        rule = f"a name from the catalogue ({', '.join(scenarios.names())}) or the path of a .yaml file"
        raise InputError("scenario", grid.scenario, rule, nearest(grid.scenario, scenarios.names()))
    loaded = scenarios.load(grid.scenario if named else folder / grid.scenario)
    if loaded.run.engine not in (None, ENGINES[0]):
        raise InputError("scenario: run.engine", loaded.run.engine, f"{ENGINES[0]} only, which is what sweeps run")
    tree = (loaded.branch(grid.branch) if grid.branch is not None else loaded).to_tree()
    tree.pop("branches", None)
    tree.pop("run", None)
    paths: dict[str, str] = {}
    for field, value in grid.set.items():
        full = _assign(tree, field, value, f"set.{field}")
        if full in paths:
            raise InputError(f"set.{field}", value, f"each field once, and {paths[full]} is the same one")
        paths[full] = f"set.{field}"
    base = Scenario.from_tree(tree)
    fields = []
    for i, parameter in enumerate(grid.parameters):
        where = f"parameters[{i}].field"
        value = parameter.values[0] if parameter.values is not None else parameter.draw(grid.seed, 0)
        full = _assign(tree, parameter.field, value, where)
        if full in paths:
            raise InputError(where, parameter.field, f"each field once, and {paths[full]} has this one already")
        paths[full] = where
        fields.append(full)
    made = Study(grid, base, tuple(fields))
    if made.count() > MAX_POINTS:
        raise InputError("parameters", f"{made.count():,} points", f"at most {MAX_POINTS:,} points")
    return made


def _assign(tree: dict[str, Any], field: str, value: Any, where: str) -> str:
    """Put a value into a scenario's tree and return the full path; faults are reported at `where`."""
    top = field.split(".")[0].split("[")[0]
    known = [name for name in Scenario.model_fields if name not in FIXED]
    if top not in known:
        raise InputError(where, field, f"a field of {', '.join(known)}", nearest(top, known))
    try:
        return assign(tree, field, copy.deepcopy(value))
    except InputError as error:
        raise InputError(where, field, error.allowed, error.nearest) from error
