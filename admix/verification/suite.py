# SPDX-License-Identifier: GPL-3.0-or-later
"""Which checks run, what is kept of them, and the table and page that they become.

The rows of a finished check are kept in ``rows/`` of the folder with all that they depend on; the same command takes
them from there, so that an interrupted suite goes on. A check that was interrupted itself goes on where it keeps its
runs.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from admix import __version__
from admix.engines.native.history import RESULTS_VERSION
from admix.errors import InputError, nearest
from admix.verification import against_papers, against_theory, engines, f4_runs, kim_runs, linked_loss, paper_runs
from admix.verification.checks import REGISTRY, SUITES, Check, Row, write_rows
from admix.verification.page import Finished, write_page

__all__ = ["Outcome", "chosen", "run"]

_ENTERED = (against_theory, linked_loss, against_papers, paper_runs, kim_runs, f4_runs, engines)
"""The modules whose checks are in the registry."""


@dataclass
class Outcome:
    """What a suite found: rows in the order of the checks, and where they stand."""

    table: Path
    page: Path
    rows: list[Row] = field(default_factory=list)


def chosen(names: Sequence[str], suite: str) -> list[Check]:
    """Return the checks that were asked for by name, or all of a suite.

    Raises
    ------
    InputError
        If there is no such check or suite.
    """
    if suite not in SUITES:
        raise InputError("--suite", suite, ", ".join(SUITES), nearest(suite, SUITES))
    for name in names:
        if name not in REGISTRY:
            raise InputError("verify", name, ", ".join(REGISTRY), nearest(name, REGISTRY))
    if names:
        return [REGISTRY[name] for name in dict.fromkeys(names)]
    return [check for check in REGISTRY.values() if suite in check.suites]


def run(
    names: Sequence[str], *, suite: str, seed: int, folder: Path, slim_path: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:  # fmt: skip
    """Run checks, or what is left of them, and write ``verify.tsv`` and ``verify.md`` with its picture.

    Parameters
    ----------
    names
        Checks; all of the suite if there are none.
    suite
        Their size: ``smoke``, ``quick`` or ``full``.
    seed
        Another one makes other runs.
    folder
        Where everything is kept.
    slim_path
        For the check ``engines``.
    say
        Told what is done.

    Raises
    ------
    InputError
        For an unknown name, or where ``engines`` finds no SLiM.
    """
    checks = chosen(names, suite)
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    outcome = Outcome(folder / "verify.tsv", folder / "verify.md")
    options: dict[str, Any] = {"suite": suite, "seed": seed, "folder": folder, "slim_path": slim_path, "say": say}
    done: list[Finished] = []
    for check in checks:
        kept = folder / "rows" / f"{check.name}-{suite}-{seed}.json"
        identity = {"check": check.version, "results": RESULTS_VERSION, "admix": __version__}
        known = _read(kept, identity)
        if known is None:
            began = time.process_time()
            # controls after all that they belong to
            found = sorted(check.run(options), key=lambda row: row.check.startswith("control:"))
            known = found, time.process_time() - began
            _write(kept, identity, *known)
        else:
            say(f"{check.name}: taken from {kept}")
        done.append(Finished(check, *known))
        outcome.rows += known[0]
        write_rows(outcome.rows, outcome.table)
    write_page(done, suite=suite, seed=seed, path=outcome.page)
    return outcome


def _read(path: Path, identity: dict[str, Any]) -> tuple[list[Row], float] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if kept["identity"] != identity:
        return None
    stored: list[dict[str, Any]] = kept["rows"]
    rows = [Row(**cast(Any, {k: math.nan if v is None else v for k, v in row.items()})) for row in stored]
    return rows, float(kept["seconds"])


def _write(path: Path, identity: dict[str, Any], rows: Sequence[Row], seconds: float) -> None:
    told = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(row).items()} for row in rows
    ]  # fmt: skip
    half = path.with_name(f".{path.name}.partial")
    half.write_text(json.dumps({"identity": identity, "seconds": seconds, "rows": told}), encoding="utf-8")
    half.replace(path)
