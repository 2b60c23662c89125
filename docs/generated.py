# SPDX-License-Identifier: GPL-3.0-or-later
"""What pages take from the code while the site is built: the commands and the Python names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

MODULES: Mapping[str, str] = {
    "results": "Run directories",
    "figures": "Figures of a run",
    "statistics": "Statistics of a run",
    "theory": "Theory",
    "prediction": "What theory expects of a scenario",
    "genome": "Genomes",
    "selection": "Effects and dominance",
    "schedule": "The clock",
    "samples": "Sampled people",
}
"""Modules on the page of the Python reference beside the public names, with their headings."""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command's words and its object, groups before what is in them."""
    from typer.main import get_command

    from admix.cli import app

    def below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield words, command
        for name, found in getattr(command, "commands", {}).items():
            yield from below(f"{words} {name}", found)

    return below("admix", get_command(app))


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, with options and words in single quotes as code."""
    text = re.sub(r"([*_<>\[\]|])", r"\\\1", " ".join(text.split()))
    text = re.sub(r"'([a-z-][^']*)'", lambda found: f"`{found[1]}`".replace("\\", ""), text)
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"(?<!\w)--[a-z][a-z-]*", r"`\g<0>`", part) for part in parts[::2]]
    return "".join(parts)


def _help(command: Any) -> str:
    """Return a command's help as Markdown; paragraphs that keep their lines become code."""
    parts = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            head, *lines = paragraph.lstrip("\b\n").split("\n")
            parts.append(f"{head}\n\n```text\n" + inspect.cleandoc("\n".join(lines)) + "\n```")
        elif found := re.fullmatch(r"Example: (admix .*)", paragraph.strip()):
            parts.append(f"Example:\n\n```text\n{found[1]}\n```")
        else:
            parts.append(_escaped(paragraph))
    return "\n\n".join(parts)


def _parameter(parameter: Any) -> str | None:
    """Return one line on an option or argument; None for hidden ones."""
    if getattr(parameter, "hidden", False):
        return None
    if parameter.param_type_name == "argument":
        name, words = parameter.metavar or parameter.name.upper(), parameter.help or ""
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
        if parameter.metavar and not parameter.is_flag:
            name += f" {parameter.metavar}"
        words = parameter.help or ""
    told = f"`{name}`\n: {_escaped(words)}"
    variable = getattr(parameter, "envvar", None)
    return told + (f" Environment variable: `{variable}`." if variable else "")


def command_line() -> str:
    """Return the reference of the command line: every command with its help and options."""
    pages = []
    for words, command in commands():
        usage = ["admix" if words == "admix" else words]
        if getattr(command, "commands", {}):
            usage.append("COMMAND")
        else:
            usage += [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
            usage.append("[OPTIONS]")
        told = [f"## {words}", f"```text\n{' '.join(usage)}\n```", _help(command)]
        told += [f"{line}" for line in map(_parameter, command.params) if line]
        pages.append("\n\n".join(told))
    return "\n\n".join(pages)


def _directive(name: str, target: str, *options: str) -> str:
    lines = "\n".join(f"   :{option}:" for option in options)
    return f"```{{eval-rst}}\n.. {name}:: {target}\n{lines}\n```"


def _documented(target: str, found: object) -> str:
    if inspect.ismodule(found):  # one that can be called, as the function in it that has its name
        name = target.rpartition(".")[2]
        return _documented(f"{target}.{name}", getattr(found, name))
    if inspect.isclass(found):
        return _directive("autoclass", target, "members")
    if inspect.isfunction(found):
        return _directive("autofunction", target)
    return _directive("autodata", target)


def public_names() -> str:
    """Return directives for every public name of the package."""
    import admix

    names = [name for name in admix.__all__ if not name.startswith("__")]
    return "\n\n".join(f"### {name}\n\n{_documented(f'admix.{name}', getattr(admix, name))}" for name in names)


def modules() -> str:
    """Return directives for what the modules in `MODULES` name in `__all__`, or define in public."""
    pages = []
    for name, heading in MODULES.items():
        module = import_module(f"admix.{name}")
        told = [f"### {heading}: `admix.{name}`", (inspect.getdoc(module) or "").split("\n\n")[0]]
        chosen = getattr(module, "__all__", None) or [
            found for found, value in vars(module).items()
            if not found.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]  # fmt: skip
        told += [
            _documented(f"admix.{name}.{found}", getattr(module, found))
            for found in chosen
            if inspect.isclass(getattr(module, found)) or inspect.isfunction(getattr(module, found))
        ]
        pages.append("\n\n".join(told))
    return "\n\n".join(pages)


MAKERS: Mapping[str, Callable[[], str]] = {
    "command-line": command_line,
    "public-names": public_names,
    "modules": modules,
}
