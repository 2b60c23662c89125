# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML from Python: elements whose text and attributes are always escaped, and data that a script can read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["Markup", "data_block", "fragment", "tag", "trusted"]

_VOID = frozenset({"br", "hr", "img", "input", "meta"})
# In these a number and its per cent sign stay on one line; text to be copied is left as it is.
_PROSE = frozenset({"caption", "figcaption", "h3", "li", "p", "span", "td", "th"})


class Markup(str):
    """Text that is HTML already; all other text is escaped where it is put into an element."""

    __slots__ = ()


def trusted(text: str) -> Markup:
    """Mark text that was written here, not by a user, as HTML."""
    return Markup(text)


def fragment(*children: str | Iterable[str] | None) -> Markup:
    """Return children one after the other; plain text is escaped, None left out, lists are opened."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, str):
            parts.append(escape(child, quote=False))
        else:
            parts.append(str(fragment(*child)))
    return Markup("".join(parts))


def tag(name: str, /, *children: str | Iterable[str] | None, **attributes: str | float | bool | None) -> Markup:
    """Return one element.

    Parameters
    ----------
    name
        Its name.
    children
        Text (escaped), elements, lists of these, or None for nothing.
    attributes
        By name, with ``_`` for ``-`` and one at the end dropped (``class_``). True has no value; None and False are
        left out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        words.append(label if value is True else f'{label}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    if name in _VOID:
        return Markup(start)
    if name in _PROSE:
        children = tuple(
            child.replace(" %", "\u00a0%") if isinstance(child, str) and not isinstance(child, Markup) else child
            for child in children
        )
    return Markup(f"{start}{fragment(*children)}</{name}>")


def data_block(identity: str, value: Mapping[str, Any] | Sequence[Any]) -> Markup:
    """Return `value` as a JSON element that a script reads; no text in it can end the element."""
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(f'<script type="application/json" id="{escape(identity)}">{text}</script>')


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
