# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sweep has finished: one file a point, named by the point's key, and the last error of each that failed.

These files alone say what is done. They are written by renaming, so any number of processes and machines may work on
one sweep, and any of them may be killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from admix.errors import RunError
from admix.sweep.plan import put

__all__ = ["Store"]


class Store:
    """Results and errors in the directory of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, kind: str, key: str) -> Path:
        # 256 folders, since some file systems are slow with many files in one
        return self.folder / kind / key[:2] / f"{key}.json"

    def _keys(self, kind: str) -> set[str]:
        found: set[str] = set()
        with suppress(FileNotFoundError), os.scandir(self.folder / kind) as folders:
            for folder in folders:
                with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
                    found.update(f.name[:-5] for f in files if f.name.endswith(".json") and not f.name.startswith("."))
        return found

    def finished(self) -> set[str]:
        """Keys of the points that have a result."""
        return self._keys("results")

    def has(self, key: str) -> bool:
        """Has this point a result?"""
        return self._file("results", key).is_file()

    def failed(self) -> set[str]:
        """Keys of the points whose last attempt failed."""
        return self._keys("errors") - self.finished()

    def keep(self, key: str, result: Mapping[str, Any]) -> None:
        """Write the result of a point and forget its last error.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        put(self._file("results", key), json.dumps({"key": key} | dict(result), allow_nan=False) + "\n")
        with suppress(OSError):
            self._file("errors", key).unlink(missing_ok=True)

    def blame(self, key: str, line: str) -> None:
        """Write down why the last attempt at a point failed."""
        attempts = self.error(key)["attempts"] + 1
        error = {"key": key, "error": line, "attempts": attempts, "time": round(time.time())}
        put(self._file("errors", key), json.dumps(error) + "\n")

    def result(self, key: str) -> dict[str, Any]:
        """Return the result of a point.

        Raises
        ------
        RunError
            If it is not there or damaged.
        """
        file = self._file("results", key)
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            if result["key"] == key:
                return dict(result)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(str(file), "damaged", "remove it, and 'admix sweep run' makes it again") from error
        raise RunError(str(file), "is the result of another point", "remove it, and 'admix sweep run' makes it again")

    def error(self, key: str) -> dict[str, Any]:
        """Return the last error of a point: ``error`` (a line, empty where there is none), ``attempts``, ``time``."""
        try:
            found = json.loads(self._file("errors", key).read_text(encoding="utf-8"))
            return {"error": str(found["error"]), "attempts": int(found["attempts"]), "time": int(found["time"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"error": "", "attempts": 0, "time": 0}
