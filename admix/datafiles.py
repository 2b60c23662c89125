# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the shipped tables are: inside the installed package, else beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from admix.errors import InputError, RunError, nearest

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Directory that holds the shipped tables.

    A wheel carries them as ``admix/_data``. An editable install runs from the checkout, where they lie
    in ``data/`` beside the package.

    Raises
    ------
    RunError
        If neither directory is there.
    """
    installed = _PACKAGE / "_data"
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent / "data"
    # Without the second condition a foreign `data/` next to an installed package would do.
    if checkout.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return checkout
    raise RunError(str(installed), "the tables that come with admix are missing", "install admix again")


def data_names() -> list[str]:
    """Names of the shipped tables, sorted."""
    return sorted(path.name for path in data_dir().iterdir() if path.is_file() and path.name != "README.md")


def data_path(name: str) -> Path:
    """Path of the shipped table `name`.

    Parameters
    ----------
    name
        A file name as listed in ``data/README.md``, without directories.

    Raises
    ------
    InputError
        If no table has that name.
    """
    names = data_names()
    if name not in names:
        raise InputError("shipped data file", name, f"one of {', '.join(names)}", nearest(name, names))
    return data_dir() / name
