# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario files as text: reading YAML with limits, writing it readably, and paths like ``pulse[0].share``
into it.

YAML is read by ruamel.yaml in safe mode as YAML 1.2, so that ``1e-8`` is a number and ``no`` is text.
Aliases are refused: a scenario does not need them, and a few lines of them can fill the memory.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from admix.errors import InputError, nearest

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_EVENTS = 30_000
"""Values, beginnings and ends of blocks: far more than any scenario has, and read within two seconds."""

Key = str | int


def read(content: str, name: str) -> Any:
    """Return the value of a YAML text.

    Parameters
    ----------
    content
        The text.
    name
        What to call it in messages: a file or an option.

    Raises
    ------
    InputError
        If it is too large, too deep or too much, has aliases, a key twice, or is no YAML at all.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(content) > MAX_BYTES:
        raise InputError(name, f"{len(content):,} characters", f"a scenario of up to {MAX_BYTES:,}")
    try:
        depth = 0
        for number, event in enumerate(YAML(typ="safe", pure=True).parse(content)):
            kind = type(event).__name__
            depth += (kind in ("MappingStartEvent", "SequenceStartEvent")) - (
                kind in ("MappingEndEvent", "SequenceEndEvent")
            )
            line = event.start_mark.line + 1
            if kind == "AliasEvent":
                raise InputError(f"{name}:{line}", f"*{event.anchor}", "no YAML aliases: write the value out")
            if kind == "ScalarEvent" and event.value == "<<" and not event.style:
                raise InputError(f"{name}:{line}", "<<", "no merge keys: write the values out")
            if number > MAX_EVENTS:
                raise InputError(f"{name}:{line}", "more than that", f"up to {MAX_EVENTS:,} values, blocks and lists")
            if depth > MAX_DEPTH:
                raise InputError(f"{name}:{line}", f"{depth} levels of nesting", f"at most {MAX_DEPTH} levels")
        value = YAML(typ="safe", pure=True).load(content)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        twice = re.search(r'duplicate key "([^"]*)"', str(error))
        raise InputError(
            f"{name}:{line}", twice.group(1) if twice else "a key twice", "each key once in a block"
        ) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise InputError(where, _line(content, mark.line if mark else 0), f"YAML; {error.problem}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(name, _line(content, 0), f"YAML; {error}") from error
    for place, key in _strange_keys(value):
        raise InputError(place or name, key, "keys that are text")
    if (half := _half_character(value)) is not None:
        raise InputError(name, half, "text that UTF-8 can hold")
    return value


def write(value: Mapping[str, Any]) -> str:
    """Return `value` as YAML; reading it gives an equal value again.

    Whole numbers are written as such even where they are stored as floats, and short lists of plain values on
    one line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import FoldedScalarString

    def styled(item: Any) -> Any:
        if isinstance(item, Mapping):
            block = CommentedMap((key, styled(part)) for key, part in item.items())
            if not item:
                block.fa.set_flow_style()
            return block
        if isinstance(item, list | tuple):
            line = CommentedSeq(styled(part) for part in item)
            if not any(isinstance(part, Mapping | list | tuple) for part in item):
                line.fa.set_flow_style()
            return line
        if isinstance(item, float) and item.is_integer() and abs(item) < 1e15:
            return int(item)
        if isinstance(item, str) and _folds(item):
            return _fold(FoldedScalarString, item)
        return item

    yaml = YAML()
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(styled(value), stream)
    return stream.getvalue()


def parse_path(path: str) -> list[Key]:
    """Return ["pulse", 0, "share"] for ``pulse[0].share``.

    Raises
    ------
    InputError
        If `path` is not written like that.
    """
    if not re.fullmatch(r"[^.\[\]\s]+(\[\d+\])*(\.[^.\[\]\s]+(\[\d+\])*)*", path):
        raise InputError(
            "path",
            path,
            "names and numbers as in pulse[0].share or demography.demes.NAME.epochs[0].start_size",
        )
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]


def show_path(keys: list[Key]) -> str:
    """Return ``pulse[0].share`` for ["pulse", 0, "share"]."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def assign(tree: dict[str, Any], path: str, value: Any) -> str:
    """Put `value` at `path` in a tree of dicts and lists; return the path in full.

    A part of a list is found by number, by the ``name`` of the part, or, if the list has but one part, by
    nothing at all.  A key that is not there yet is added if its block is: whether it may be is for
    validation to say.  The ``set`` block of a branch is keyed by paths, so what follows ``set`` is one key.

    Raises
    ------
    InputError
        If there is nothing at `path`.
    """
    keys = parse_path(path)
    place: Any = tree
    done: list[Key] = []
    while True:
        key = keys.pop(0)
        if isinstance(place, list) and isinstance(key, str):
            names = [part.get("name") if isinstance(part, dict) else None for part in place]
            if key in names:
                key = names.index(key)
            elif len(place) == 1 and isinstance(place[0], dict):
                keys.insert(0, key)
                key = 0
            else:
                known = [name for name in names if isinstance(name, str)]
                raise InputError(
                    f"--set {path}",
                    key,
                    f"a part of {show_path(done)}: {_choices(known, len(place))}",
                    nearest(key, known),
                )
        if isinstance(place, list):
            if not isinstance(key, int) or not key < len(place):
                raise InputError(f"--set {path}", key, f"a part of {show_path(done)}: {_choices([], len(place))}")
        elif isinstance(place, dict):
            if isinstance(key, int):
                raise InputError(f"--set {path}", f"[{key}]", f"a key of {show_path(done)}: {', '.join(place)}")
            if done[:1] == ["branches"] and done[-1:] == ["set"]:
                key, keys = show_path([key, *keys]), []
                if key.startswith("pulse"):
                    key = assign({"pulse": copy.deepcopy(tree.get("pulse"))}, key, value)
            elif keys and key not in place:
                raise InputError(f"--set {path}", key, f"one of {', '.join(place)}", nearest(key, place))
        else:
            raise InputError(
                f"--set {path}",
                key,
                f"nothing further, since {show_path(done)} is a single value ({place!r})",
            )
        done.append(key)
        if not keys:
            place[key] = value
            return show_path(done)
        place = place[key]


def _choices(known: list[str], length: int) -> str:
    numbers = f"[0] to [{length - 1}]" if length else "none, as it is empty"
    return ", ".join([*known, numbers])


def _strange_keys(value: Any, place: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield place, key
            else:
                yield from _strange_keys(item, f"{place}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _strange_keys(item, f"{place}[{i}]")


def _half_character(value: Any) -> str | None:
    """Return a text that holds half a character (an escape such as \\ud800), None if there is none."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("ascii", "backslashreplace").decode()
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((found for part in parts if (found := _half_character(part)) is not None), None)


def _line(content: str, number: int) -> str:
    lines = content.splitlines()
    return lines[number].strip() if number < len(lines) else ""


def _folds(text: str) -> bool:
    """Return whether a text can be written in folded style and come back unchanged."""
    return len(text) > 80 and bool(re.fullmatch(r"\S+( \S+)*\n?", text))


def _fold(kind: Any, text: str) -> Any:
    out: list[str] = []
    positions: list[int] = []
    length = offset = 0
    for word in text.split(" "):
        if length + len(word) > 92 and out:
            positions.append(offset - 1)
            length = 0
        out.append(word)
        length += len(word) + 1
        offset += len(word) + 1
    folded = kind(text)
    folded.fold_pos = positions
    return folded
