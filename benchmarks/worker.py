# SPDX-License-Identifier: GPL-3.0-or-later
"""One piece of work in a process of its own: ``python -m benchmarks.worker`` reads JSON and prints JSON.

A process a measurement makes peaks of memory comparable, and lets nothing of one measurement into the next.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.states import State, obtain


def facts(state: State, folder: Path, **given: Any) -> dict[str, Any]:
    """Make the state, if need be, and say what is in it."""
    from benchmarks import native

    return native.facts(state, folder)


def native(state: State, folder: Path, **given: Any) -> dict[str, Any]:
    """See :func:`benchmarks.native.measure`."""
    from benchmarks import native

    return native.measure(state, folder, **given)


def stages(state: State, folder: Path, **given: Any) -> dict[str, Any]:
    """See :func:`benchmarks.native.stages`."""
    from benchmarks import native

    return native.stages(state, folder, **given)


def slim_files(state: State, folder: Path, *, form: str) -> dict[str, Any]:
    """Write what SLiM reads, if it is not there; return where."""
    from benchmarks import slim

    place = folder / "slim" / f"{state.key()[:24]}-{form}"
    if not place.is_dir():
        slim.write(state, obtain(state, folder), place, form)
    return {"folder": str(place), "bytes": sum(file.stat().st_size for file in place.iterdir())}


def fwdpy11_files(state: State, folder: Path, **given: Any) -> dict[str, Any]:
    """Write what fwdpy11 reads, if it is not there; return where."""
    from benchmarks import fwdpy11_model

    place = folder / "fwdpy11" / state.key()[:24]
    if not place.is_file():
        fwdpy11_model.write(state, obtain(state, folder), place)
    return {"path": str(place), "bytes": place.stat().st_size}


def fwdpy11(state: State, folder: Path, *, path: str, interval: int) -> dict[str, Any]:
    """See :func:`benchmarks.fwdpy11_model.measure`."""
    from benchmarks import fwdpy11_model

    return fwdpy11_model.measure(state, Path(path), interval=interval)


WORK = {work.__name__: work for work in (facts, native, stages, slim_files, fwdpy11_files, fwdpy11)}


def main() -> None:
    """Do what the JSON on standard input asks for; its last line on standard output is the JSON that it found."""
    asked = json.load(sys.stdin)
    found = WORK[asked["work"]](State.from_dict(asked["state"]), Path(asked["folder"]), **asked["given"])
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
