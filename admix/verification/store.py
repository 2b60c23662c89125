# SPDX-License-Identifier: GPL-3.0-or-later
"""What the finished runs of a check gave, kept in a file so that an interrupted check goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Store", "Values"]

Values = dict[str, float]


@dataclass
class Store:
    """Results of runs by key; ``path`` holds a line of JSON for each."""

    path: Path
    results: dict[str, Values] = field(default_factory=dict)

    def load(self) -> None:
        """Read what an interrupted suite has left; a line that was not finished is made again."""
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    key, values = json.loads(line)
                except ValueError:
                    continue
                self.results[key] = {name: math.nan if v is None else v for name, v in values.items()}

    def obtain(self, key: str, make: Callable[[], Values]) -> Values:
        """Return the values of one run, made if they are not there yet."""
        if key not in self.results:
            values = {name: float(v) for name, v in make().items()}
            text = json.dumps([key, {name: None if math.isnan(v) else v for name, v in values.items()}])
            with self.path.open("a", encoding="utf-8") as file:
                file.write(("\n" if self.path.stat().st_size else "") + text)
            self.results[key] = values
        return self.results[key]
