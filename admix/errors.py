# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that admix raises on purpose, each of which prints as one line.

`InputError` is for what a person wrote (a scenario, an option, a file they brought); `RunError` is for what
went wrong while the program was working (a full disk, a damaged file).  The command line prints
``str(error)`` and ends with ``error.exit_code``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

_MISSING = object()
_LONGEST_GIVEN = 120


class AdmixError(Exception):
    """Base of all errors raised on purpose; ``str()`` is always a single line."""

    exit_code = 1


class InputError(AdmixError):
    """Something a person wrote is not allowed.

    Parameters
    ----------
    where
        The place, as a dotted path (``pulse[0].share``), a command line option, or ``FILE:LINE``.
    given
        What was found there.  Left out of the message when omitted (for something that is missing
        altogether).
    allowed
        The rule that was broken, in words.
    nearest
        The nearest valid spelling, if there is one.
    """

    exit_code = 2

    def __init__(self, where: str, given: object = _MISSING, allowed: str = "", nearest: str | None = None) -> None:
        self.where = where
        self.given = given
        self.allowed = allowed
        self.nearest = nearest
        parts = []
        if given is not _MISSING:
            parts.append(f"got {show(given)}")
        if allowed:
            parts.append(f"allowed: {allowed}")
        if nearest is not None:
            parts.append(f"did you mean {nearest}?")
        super().__init__(_one_line(f"{where}: " + "; ".join(parts)))

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with the finished line as `where` when an error crosses a process
        # pool.
        given = self.given if self.given is _MISSING else show(self.given)
        return (
            _rebuild,
            (
                type(self),
                str(self),
                self.where,
                None if given is _MISSING else given,
                self.allowed,
                self.nearest,
            ),
        )


class RunError(AdmixError):
    """Something went wrong while the program was working.

    Parameters
    ----------
    where
        The file or stage concerned.
    what
        What happened.
    remedy
        What the reader can do about it.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        self.where = where
        self.what = what
        self.remedy = remedy
        super().__init__(_one_line(f"{where}: {what}" + (f"; {remedy}" if remedy else "")))

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.where, self.what, self.remedy))


class InvariantError(RunError):
    """A law that holds for every state of a simulation is broken: a fault in admix or in the machine.

    Parameters
    ----------
    law
        The law, in words.
    where
        Deme or stage.
    what
        What was found.
    numbers
        What helps to find the cause; plain values.
    """

    def __init__(self, law: str, where: str, what: str, numbers: Mapping[str, object] | None = None) -> None:
        self.law = law
        self.found = what
        self.numbers = dict(numbers or {})
        super().__init__(where, f"a law of every run is broken ({law}): {what}", "no table was written")

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.law, self.where, self.found, self.numbers))


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option most like `word`, or None if none is much like it."""
    by_lower = {option.lower(): option for option in options}
    found = difflib.get_close_matches(str(word).lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def show(value: object) -> str:
    """Return `value` as it is quoted in a message: strings in quotes, long values cut."""
    text = repr(value)
    if len(text) > _LONGEST_GIVEN:
        text = text[: _LONGEST_GIVEN - 3] + "..."
    return text


def plain(value: Any) -> Any:
    """Return `value` with 47000 for 47000.0, as a person would have written it, also inside lists."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _rebuild(
    kind: type[InputError], line: str, where: str, given: str | None, allowed: str, nearest: str | None
) -> InputError:
    error = kind.__new__(kind, line)
    Exception.__init__(error, line)
    error.where, error.given, error.allowed, error.nearest = where, given, allowed, nearest
    return error
