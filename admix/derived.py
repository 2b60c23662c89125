# SPDX-License-Identifier: GPL-3.0-or-later
"""What later commands write beside a sealed run: folders that appear when they are complete, and plain tables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from admix.errors import RunError

__all__ = ["replaced_folder", "write_table"]


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` to write into, which takes its place when the block ends well.

    If the block raises, `out` stays as it was.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    old = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            os.rename(out, old)
        try:
            os.rename(partial, out)
        except OSError:
            if old.exists():
                os.rename(old, out)
            raise
    except OSError as error:
        raise RunError(str(out), f"cannot be written ({error.strerror or error})", "make room there") from error
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as in a run directory: tab-separated, floats with ten digits, missing as empty, line ends LF."""
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        table.to_csv(handle, sep="\t", index=False, float_format="%.10g", na_rep="", lineterminator="\n")
        handle.flush()
        os.fsync(handle.fileno())
