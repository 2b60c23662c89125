# SPDX-License-Identifier: GPL-3.0-or-later
"""Priors of parameters: from the grid file, or as typed, ``n_archaic=log-uniform(700,3300)``, cut to what was run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from admix.errors import InputError, nearest, plain
from admix.infer.survey import Axis, Floats
from admix.strict import explain
from admix.sweep.grid import Choice, LogUniform, Normal, Parameter, Uniform

__all__ = ["MOST_OUTSIDE", "Belief", "beliefs", "parse"]

MOST_OUTSIDE = 0.10
"""A prior with more than this of its mass outside the simulated range is refused."""
Prior = Uniform | LogUniform | Normal | Choice

_TYPED = re.compile(r"\s*([\w.]+)\s*=\s*([a-z-]+)\s*\((.*)\)\s*", re.S)
_KEYS: Mapping[str, tuple[type[Uniform | LogUniform | Normal], tuple[str, ...], int]] = {
    "uniform": (Uniform, ("low", "high"), 2),
    "log-uniform": (LogUniform, ("low", "high"), 2),
    "normal": (Normal, ("mean", "sd", "low", "high"), 2),
}
_HOW = "NAME=uniform(LOW,HIGH), log-uniform(LOW,HIGH), normal(MEAN,SD[,LOW,HIGH]) or list(VALUE,...)"


@dataclass(frozen=True)
class Belief:
    """The prior of one parameter, cut to the range that was simulated.

    Attributes
    ----------
    axis : Axis
    prior : Uniform, LogUniform, Normal or Choice
    origin : str
        Where it comes from, in words.
    low, high : float
        The levels (quantiles of the whole prior) between which it lies inside the simulated range.
    """

    axis: Axis
    prior: Prior
    origin: str
    low: float = 0.0
    high: float = 1.0

    @property
    def outside(self) -> float:
        """Share of the prior that was cut off."""
        return 1 - (self.high - self.low)

    @property
    def discrete(self) -> bool:
        """Whether it is a list of values."""
        return isinstance(self.prior, Choice)

    @property
    def count(self) -> int:
        """Number of values of a list; 0 for other priors."""
        return len(self.prior.values) if isinstance(self.prior, Choice) else 0

    @property
    def text(self) -> str:
        """The prior as it is typed."""
        p = self.prior
        if isinstance(p, Choice):
            return f"list({','.join(str(plain(v)) for v in p.values)})"
        if isinstance(p, Normal):
            ends = "" if p.low is None and p.high is None else f",{_end(p.low, -math.inf)},{_end(p.high, math.inf)}"
            return f"normal({p.mean:g},{p.sd:g}{ends})"
        return f"{p.kind}({p.low:g},{p.high:g})"

    def at(self, levels: Floats) -> np.ndarray:
        """Return the values at levels (0 to 1) of the cut prior: float64, or int64 numbers of the values of a list."""
        u = self.low + np.asarray(levels) * (self.high - self.low)
        if isinstance(self.prior, Choice):
            return np.minimum((u * len(self.prior.values)).astype(np.int64), len(self.prior.values) - 1)
        if isinstance(self.prior, Uniform):
            numbers = self.prior.low + u * (self.prior.high - self.prior.low)
        else:
            numbers = np.fromiter((self.prior.quantile(float(level)) for level in u), np.float64, len(u))
        # populations are whole, as they were run
        return np.asarray(np.clip(np.round(numbers) if self.prior.whole else numbers, self.axis.low, self.axis.high))

    def values(self, found: np.ndarray) -> np.ndarray:
        """Return the values themselves of what `at` returned."""
        if isinstance(self.prior, Choice):
            kind = np.float64 if self.axis.numeric else object
            return np.array(self.prior.values, dtype=kind)[found]
        return found


def _end(value: float | None, other: float) -> str:
    return f"{other if value is None else value:g}"


def parse(text: str, names: Sequence[str]) -> tuple[str, Prior]:
    """Return the name and the prior in ``NAME=kind(...)``; ``pulse`` is the first of the names.

    Raises
    ------
    InputError
        If it is no such thing, or the numbers allow no prior.
    """
    where = "--prior"
    match = _TYPED.fullmatch(text)
    if match is None:
        raise InputError(where, text, _HOW)
    name, kind, inside = match[1], match[2], match[3]
    if name == "pulse" and "pulse" not in names:
        name = names[0]
    if name not in names:
        allowed = f"a parameter that the sweep varies: {', '.join(names)}"
        raise InputError(where, name, allowed, nearest(name, names))
    words = [word.strip() for word in inside.split(",")]
    if kind == "list":
        return name, _made(Choice, {"values": [_value(word) for word in words]}, f"{where} {name}")
    if kind not in _KEYS:
        raise InputError(f"{where} {name}", kind, ", ".join([*_KEYS, "list"]), nearest(kind, [*_KEYS, "list"]))
    model, keys, needed = _KEYS[kind]
    if not needed <= len(words) <= len(keys):
        raise InputError(f"{where} {name}", f"{kind}({inside})", _HOW)
    given: dict[str, Any] = {}
    for key, word in zip(keys, words, strict=False):
        try:
            given[key] = float(word)
        except ValueError as error:
            raise InputError(f"{where} {name}", word, f"a number as {key} of {kind}") from error
    if model is Normal:
        given = {k: v for k, v in given.items() if k not in ("low", "high") or math.isfinite(v)}
    return name, _made(model, given, f"{where} {name}")


def _made(model: type[Any], given: dict[str, Any], where: str) -> Any:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        fault = explain(error, model, where)
        raise InputError(where, fault.given, fault.allowed, fault.nearest) from error


def _value(word: str) -> Any:
    try:
        return plain(float(word))
    except ValueError:
        return {"true": True, "false": False}.get(word, word)


def beliefs(axes: Sequence[Axis], parameters: Sequence[Parameter], typed: Sequence[str]) -> tuple[Belief, ...]:
    """Return the prior of each axis: as typed, else that of the grid file, else uniform over what was run.

    Raises
    ------
    InputError
        If a prior reaches too far beyond what was simulated, or two are given for one parameter.
    """
    names = [a.name for a in axes]
    stated: dict[str, Prior] = {}
    for text in typed:
        name, prior = parse(text, names)
        if name in stated:
            raise InputError("--prior", text, f"one prior for {name}")
        stated[name] = prior
    grid = {p.name: p.prior for p in parameters}
    found = []
    for a in axes:
        if a.name in stated:
            found.append(_cut(a, stated[a.name], "as typed"))
        elif grid.get(a.name) is not None:
            found.append(_cut(a, grid[a.name], "of the grid file"))  # type: ignore[arg-type]
        elif a.numeric:
            found.append(_cut(a, Uniform(low=a.low, high=a.high), "over the values that were run"))
        else:
            found.append(_cut(a, Choice(values=a.levels), "over the values that were run"))
    return tuple(found)


def _cut(axis: Axis, prior: Prior, origin: str) -> Belief:
    where = f"--prior {axis.name}"
    if isinstance(prior, Choice):
        for value in prior.values:
            inside = value in axis.levels if not axis.numeric else _between(axis, value)
            if not inside:
                allowed = f"{axis.low:g} to {axis.high:g}" if axis.numeric else ", ".join(map(str, axis.levels))
                raise InputError(where, value, f"what was simulated: {allowed}")
        return Belief(axis, prior, origin)
    if not axis.numeric:
        raise InputError(
            where, prior.kind, f"list, since the values are no numbers: {', '.join(map(str, axis.levels))}"
        )
    low, high = _level(prior, axis.low), _level(prior, axis.high)
    belief = Belief(axis, prior, origin, low, high)
    if belief.outside > MOST_OUTSIDE:
        allowed = (
            f"at most {100 * MOST_OUTSIDE:.0f} % of a prior outside {axis.low:g} to {axis.high:g}, which was simulated"
        )
        raise InputError(where, f"{belief.text}, {100 * belief.outside:.0f} % outside", f"{allowed}; run more points")
    return belief


def _between(axis: Axis, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and axis.low <= value <= axis.high


def _level(prior: Uniform | LogUniform | Normal, value: float) -> float:
    """Return the share of a prior below a value, by halving."""
    if prior.quantile(0.0) >= value:
        return 0.0
    if prior.quantile(1.0) <= value:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if prior.quantile(middle) < value else (low, middle)
    return (low + high) / 2
