# SPDX-License-Identifier: GPL-3.0-or-later
"""Strictly validated blocks of a scenario, and what a broken rule looks like to the person who wrote it.

Blocks are pydantic models that derive from `Block`.  Their fields carry rules made here (`number`,
`whole_number`, `text`, ...), each with its own wording, and `explain` turns the first complaint of pydantic
into an `InputError` with the dotted path, the given value, the rule and the nearest valid spelling.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Union, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag, ValidationError
from pydantic_core import PydanticCustomError

from admix.errors import InputError, nearest

_BROKEN_RULE = "broken_rule"


class Block(BaseModel):
    """A block of the scenario: unknown keys and wrong types are refused, and nothing changes once it is
    loaded."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
"""Stands for a value that is missing in an error message."""


def broken(words: str, given: object, options: tuple[str, ...] = ()) -> PydanticCustomError:
    """Return the exception of a validator that found `given` where the rule `words` holds."""
    return PydanticCustomError(_BROKEN_RULE, "{rule}", {"rule": words, "given": given, "options": options})


class Rule:
    """A check of one value, with the words that say what is allowed and, for names, the valid spellings."""

    def __init__(self, words: str, check: Callable[[Any], bool], options: tuple[str, ...] = ()) -> None:
        self.words = words
        self.check = check
        self.options = options

    def __call__(self, value: Any) -> Any:
        """Return `value`, or raise what `explain` turns into an `InputError`."""
        if not self.check(value):
            raise broken(self.words, value, self.options)
        return value


def is_number(value: object) -> bool:
    """Return whether `value` is a finite number; booleans and text are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def number(
    words: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    infinity: bool = False,
) -> BeforeValidator:
    """Return the rule for a number between `low` and `high`; `above` and `below` shut the ends out."""

    def check(value: Any) -> bool:
        if infinity and isinstance(value, float) and value == math.inf:
            return True
        if not is_number(value):
            return False
        return (value > low if above else value >= low) and (value < high if below else value <= high)

    return BeforeValidator(Rule(words, check))


def whole_number(words: str, low: int, high: int | None = None) -> BeforeValidator:
    """Return the rule for a whole number between `low` and `high`."""

    def check(value: Any) -> bool:
        return type(value) is int and value >= low and (high is None or value <= high)

    return BeforeValidator(Rule(words, check))


def text(words: str = "text", *, pattern: str = r"(?s).*") -> BeforeValidator:
    """Return the rule for text that matches `pattern`."""
    return BeforeValidator(Rule(words, lambda value: type(value) is str and bool(re.fullmatch(pattern, value))))


def truth() -> BeforeValidator:
    """Return the rule for true or false, as YAML has them."""
    return BeforeValidator(Rule("true or false", lambda value: type(value) is bool))


def one_of(*options: str) -> BeforeValidator:
    """Return the rule for one of a few words."""
    return BeforeValidator(Rule("one of " + ", ".join(options), lambda value: value in options, options))


def list_of(words: str, *, at_least: int = 0) -> BeforeValidator:
    """Return the rule for a list, which is kept as a tuple so that it cannot change."""
    rule = Rule(words, lambda value: isinstance(value, list | tuple) and len(value) >= at_least)
    return BeforeValidator(lambda value: tuple(rule(value)))


def variants(key: str, *kinds: type[Block], plain: Any = None, words: str = "") -> Any:
    """Return the type of a block that comes in several kinds.

    Parameters
    ----------
    key
        The key whose value names the kind; every one of `kinds` has it as a field with its name as default.
    kinds
        The blocks.
    plain
        A type that stands for the block when it is written as a single value.
    words
        What is allowed then, in words.
    """
    names = {str(kind.model_fields[key].default): kind for kind in kinds}
    tagged: list[Any] = [Annotated[kind, Tag(f"<{key}={name}>")] for name, kind in names.items()]
    if plain is not None:
        tagged.append(Annotated[plain, Tag("<plain>")])

    def choose(value: Any) -> str | None:
        if isinstance(value, BaseModel):
            return next((f"<{key}={name}>" for name, kind in names.items() if kind is type(value)), None)
        if isinstance(value, Mapping):
            return f"<{key}={value.get(key)}>"
        return "<plain>" if plain is not None else None

    allowed = " or ".join(part for part in (words, f"a block with {key}: " + ", ".join(names)) if part)
    # pydantic types the context narrowly, but passes it on untouched.
    context: Any = {"rule": allowed, "options": tuple(names), "key": key}
    discriminator = Discriminator(
        choose, custom_error_type=_BROKEN_RULE, custom_error_message="{rule}", custom_error_context=context
    )
    return Annotated[Union[tuple(tagged)], discriminator]  # noqa: UP007


Name = Annotated[
    str,
    text(
        "a name of up to 100 letters, digits, _ . and -, starting with a letter or a digit",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}",
    ),
]
Text = Annotated[str, text()]


def path(parts: tuple[int | str, ...]) -> str:
    """Return ``demes[1].epochs[0]`` for ("demes", 1, "epochs", 0); the tags of `variants` are left out."""
    out = ""
    for part in parts:
        if isinstance(part, int):
            out += f"[{part}]"
        elif not _is_tag(part):
            out += f".{part}" if out else part
    return out


def explain(error: ValidationError, model: type[BaseModel], within: str = "") -> InputError:
    """Return the `InputError` for the first complaint about a `model` that stands at the path `within`."""
    # A misspelt key is also a missing one; the spelling is the better message.
    details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")[0]
    kind, loc, context = details["type"], details["loc"], details.get("ctx", {})
    where = ".".join(part for part in (within, path(loc)) if part).replace(".[", "[") or "scenario"
    given: object = details.get("input")
    allowed = ""
    options: tuple[str, ...] = ()
    if kind == _BROKEN_RULE:
        given = context.get("given", given)
        given = list(given) if isinstance(given, tuple) else given
        allowed, options = context["rule"], context["options"]
        if "key" in context and isinstance(given, Mapping):
            where, given = f"{where}.{context['key']}", given.get(context["key"], NOTHING)
    elif kind == "extra_forbidden":
        options = tuple(_owner(model, loc).model_fields)
        allowed = "only the keys " + ", ".join(options)
        return InputError(where, given, allowed, nearest(str(loc[-1]), options))
    elif kind == "missing":
        given = NOTHING
        allowed = _words(_owner(model, loc), str(loc[-1])) + " (this key has to be there)"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        allowed = "a block of keys and values"
    else:
        allowed = details["msg"]
    return InputError(where, given, allowed, nearest(given, options) if isinstance(given, str) else None)


def _is_tag(part: int | str) -> bool:
    return isinstance(part, str) and part.startswith("<")


def _owner(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model that the last part of `loc` is a key of."""
    found = [model]
    for part in loc[:-1]:
        if _is_tag(part):
            key, _, name = str(part)[1:-1].partition("=")
            found = [m for m in found if key in m.model_fields and m.model_fields[key].default == name]
        elif isinstance(part, str):
            found = [child for m in found if part in m.model_fields for child in _children(m, part)]
    return found[0]


def _children(model: type[BaseModel], field: str) -> Iterator[type[BaseModel]]:
    return _models(model.model_fields[field].annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _words(model: type[BaseModel], field: str) -> str:
    for item in model.model_fields[field].metadata:
        rule = getattr(item, "func", None)
        if isinstance(rule, Rule):
            return rule.words
    return "a value"
