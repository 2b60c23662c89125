# SPDX-License-Identifier: GPL-3.0-or-later
"""The run directory: its tables, how they are written, sealed, read and checked.

Generation 1 is the cohort in which unmixed archaic people are the pulse share of the population; generation 2
is the first cohort born after one round of selection. Shares are fractions; times are years before today.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from admix.errors import InputError, RunError, nearest
from admix.summary import answer, screen_table, summarise

if TYPE_CHECKING:
    from admix.scenario import Scenario

__all__ = [
    "SCHEMA",
    "Run",
    "RunWriter",
    "answer",
    "conform",
    "read_run",
    "screen_table",
    "summarise",
    "validate_run",
]

SCHEMA_NAME = "admix-run"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
TWINS = ("none", "neutral")
SCOPES = ("all", "one")
"""Values of `scope` in ancestors.tsv: all living people, or one living person."""

# Remade at will by later commands, so no checksum may bind them.
UNSEALED = ("figures/", "derived/", "report.html")

Kind = Literal["str", "int", "float", "share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: kind `share` is a fraction in [0, 1]; `missing` says whether a cell may be empty."""

    name: str
    kind: Kind
    missing: bool = False
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One tab-separated table: its columns in the order written, and the columns that together name a row."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Column names in the order written."""
        return [column.name for column in self.columns]


_FIRST = ("branch", "replicate", "twin", "source")


def _table(spec: str, key: str) -> Table:
    """Table from `name:kind` words; `?` marks a kind that may be missing; `_FIRST` is always there."""
    columns = [
        Column(name="branch", kind="str"),
        Column(name="replicate", kind="int"),
        Column(name="twin", kind="str", allowed=TWINS),
        Column(name="source", kind="str"),
    ]
    kinds: dict[str, Kind] = {"str": "str", "int": "int", "float": "float", "share": "share"}
    for word in spec.split():
        name, _, kind = word.partition(":")
        allowed = SCOPES if name == "scope" else ()
        missing = kind.endswith("?")
        columns.append(Column(name=name, kind=kinds[kind.rstrip("?")], missing=missing, allowed=allowed))
    return Table(columns=tuple(columns), key=(*_FIRST, *key.split()))


SCHEMA: Mapping[str, Table] = {
    "trajectory.tsv": _table(
        "deme:str generation:int years_bp:float n_individuals:int ancestry_mean:share ancestry_sd:float"
        " ancestry_p05:share ancestry_p50:share ancestry_p95:share ancestry_functional:share?"
        " ancestry_far:share? log_fitness_mean:float? load_archaic:float?",
        "deme generation",
    ),
    "pulse.tsv": _table(
        "pulse:str target:str years_bp:float requested:share realised:share fitness_archaic_relative:float?"
        " log_load_difference:float? burnin:int",
        "pulse",
    ),
    "ancestors.tsv": _table("scope:str measure:str value:share?", "scope measure"),
    "landscape.tsv": _table(
        "generation:int chrom:str start:int end:int cM:float? functional_bp:int B:share? ancestry:share?",
        "generation chrom start",
    ),
    "spread.tsv": _table(
        "deme:str generation:int bin_start:share bin_end:share count:int", "deme generation bin_start"
    ),
}
"""Every table of the run directory: the one place where columns, their order and their types are defined."""

REQUIRED = ("scenario.yaml", "provenance.json", "summary.json", *SCHEMA)


def conform(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with the columns, order and types of table `name`.

    Parameters
    ----------
    name
        File name, a key of `SCHEMA`.
    frame
        Columns in any order; none missing, none extra.

    Raises
    ------
    RunError
        If a column is missing or unknown, a value has the wrong type or range, or two rows share a key.
    """
    table = SCHEMA[name]
    missing = [c for c in table.names if c not in frame.columns]
    extra = [str(c) for c in frame.columns if c not in table.names]
    if missing or extra:
        faults = (("missing", missing), ("unknown", extra))
        parts = [f"{what} {', '.join(names)}" for what, names in faults if names]
        raise RunError(name, f"wrong columns: {'; '.join(parts)}")
    out = pd.DataFrame({c.name: _cast(name, c, frame[c.name]) for c in table.columns})
    twice = out.duplicated(subset=list(table.key))
    if twice.any():
        row = out[list(table.key)].iloc[int(twice.to_numpy().argmax())]
        raise RunError(name, "two rows for " + ", ".join(f"{k} {v}" for k, v in row.items()))
    return out


def _cast(name: str, column: Column, values: pd.Series) -> pd.Series:
    where = f"{name}: {column.name}"
    if column.kind == "str":
        text = values.reset_index(drop=True).astype(object)
        for value in text.unique():
            if not isinstance(value, str) or value == "" or any(c in value for c in '\t\r\n"'):
                raise RunError(where, f"holds {value!r}, not text without tabs, quotes and line ends")
            if column.allowed and value not in column.allowed:
                raise RunError(where, f"holds {value!r}, not {' or '.join(column.allowed)}")
        return text
    try:
        numbers = pd.to_numeric(values, errors="raise").to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise RunError(where, f"not numbers ({error})") from error
    bad_numbers = np.isinf(numbers) if column.missing else ~np.isfinite(numbers)
    if column.kind == "share":
        # A weighted mean of ones may end an ulp above one.
        numbers = np.where(np.abs(numbers - 0.5) < 0.5 + 1e-9, np.clip(numbers, 0.0, 1.0), numbers)
        bad_numbers |= (numbers < 0) | (numbers > 1)
    elif column.kind == "int":
        bad_numbers |= numbers != np.floor(numbers)
    if bad_numbers.any():
        row = int(np.argmax(bad_numbers))
        rule = {"share": "a share in [0, 1]", "int": "a whole number"}.get(column.kind, "a finite number")
        raise RunError(where, f"row {row} holds {numbers[row]:g}, not {rule}")
    return pd.Series(numbers.astype(np.int64) if column.kind == "int" else numbers)


class RunWriter:
    """Writer of one run directory: all goes to a hidden directory beside `out` until `seal` renames it.

    Used as a context manager, it removes the hidden directory when the block ends without `seal`.

    Parameters
    ----------
    out
        The run directory to make; its parent is made if need be.
    force
        Replace an existing run directory. Anything else that exists is never replaced.

    Raises
    ------
    InputError
        If `out` exists and may not be replaced.
    RunError
        If the hidden directory cannot be made.
    """

    def __init__(self, out: Path, force: bool = False) -> None:
        self.check(out, force)
        # A link is followed, so that the rename replaces the directory and not the link.
        self.out = Path(os.path.realpath(out))
        self.force = force
        self._open = False
        number = 0
        with os_errors(self.out.parent):
            self.out.parent.mkdir(parents=True, exist_ok=True)
            while True:
                suffix = f"-{number}" if number else ""
                self.partial = self.out.parent / f".{self.out.name}.partial-{os.getpid()}{suffix}"
                try:
                    self.partial.mkdir()
                    break
                except FileExistsError:
                    # Left by a killed process that had our number, or by another writer of this process.
                    number += 1
        self._open = True

    @staticmethod
    def check(out: Path, force: bool) -> None:
        """Refuse an `out` that must not be written, before anything is computed.

        Raises
        ------
        InputError
            If `out` exists and `force` is not given, or it exists and is no run directory and not empty.
        """
        if not os.path.lexists(out) or not os.path.exists(os.path.realpath(out)):
            parent = next((p for p in Path(os.path.realpath(out)).parents if p.exists()), None)
            if parent is not None and not parent.is_dir():
                raise InputError("--out", str(out), f"a path inside a directory ({parent} is a file)")
            return
        real = Path(os.path.realpath(out))
        if not real.is_dir():
            raise InputError("--out", str(out), "a directory that does not exist yet (this is a file)")
        if not force:
            raise InputError("--out", str(out), "a directory that does not exist, or --force to replace it")
        if any(real.iterdir()) and not _is_run(real):
            rule = "with --force, a run directory or an empty one (this holds other files)"
            raise InputError("--out", str(out), rule)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def path(self, name: str) -> Path:
        """Path inside the hidden directory for a file that the caller writes itself; its folder is made.

        Raises
        ------
        ValueError
            If `name` leaves the directory or is the manifest.
        """
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or name == MANIFEST:
            raise ValueError(f"not a name inside the run directory: {name!r}")
        path = self.partial / pure
        with os_errors(self.out / pure):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table of `SCHEMA`: floats as %.10g, missing as empty, line ends LF.

        Raises
        ------
        RunError
            If the table breaks its schema or cannot be written.
        """
        frame = conform(name, frame)
        with self._writing(name) as handle:
            frame.to_csv(handle, sep="\t", index=False, float_format="%.10g", na_rep="", lineterminator="\n")

    def json(self, name: str, value: object) -> None:
        """Write `value` as JSON, keys in their order; NaN becomes null, numpy numbers plain ones."""
        text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
        self.text(name, text + "\n")

    def text(self, name: str, value: str) -> None:
        """Write text as UTF-8 with LF line ends."""
        with self._writing(name) as handle:
            handle.write(value)

    @contextmanager
    def _writing(self, name: str) -> Iterator[IO[str]]:
        path = self.path(name)
        try:
            with os_errors(self.out / name), open(path, "w", encoding="utf-8", newline="\n") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise

    def seal(self) -> Path:
        """Write the manifest, force all to disk and rename the hidden directory to `out`.

        Returns
        -------
        Path
            The finished run directory.

        Raises
        ------
        RunError
            If a required file is missing, the disk is full, or `out` has appeared meanwhile (the finished
            files are then kept in the hidden directory, which the message names).
        """
        absent = [name for name in REQUIRED if not (self.partial / name).is_file()]
        if absent:
            raise RunError(str(self.out), f"cannot be sealed: {', '.join(absent)} not written")
        files: dict[str, dict[str, object]] = {}
        with os_errors(self.out):
            for path in sorted(self.partial.rglob("*")):
                name = path.relative_to(self.partial).as_posix()
                if path.is_file():
                    _sync(path)
                    if not name.startswith(UNSEALED):
                        files[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
        manifest = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, "files": files}
        with os_errors(self.out / MANIFEST), open(self.partial / MANIFEST, "w", encoding="utf-8") as handle:
            handle.write(json.dumps(manifest, indent=2) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        with os_errors(self.out):
            for folder in [*(p for p in self.partial.rglob("*") if p.is_dir()), self.partial]:
                _sync(folder)
        self._swap()
        return self.out

    def _swap(self) -> None:
        self._open = False
        old: Path | None = None
        try:
            if self.force and self.out.exists():
                # Checked again: hours may lie between the start and here.
                self.check(self.out, self.force)
                old = self.partial.with_name(self.partial.name.replace(".partial-", ".replaced-"))
                os.rename(self.out, old)
            os.rename(self.partial, self.out)
        except BaseException as error:
            if old is not None and old.exists() and not self.out.exists():
                os.rename(old, self.out)
            if not isinstance(error, (OSError, InputError)):
                raise
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise RunError(
                str(self.out), f"cannot be put in place ({reason})", f"the finished run is in {self.partial}"
            ) from error
        with suppress(OSError):
            _sync(self.out.parent)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    def abort(self) -> None:
        """Remove the hidden directory; nothing after `seal`."""
        if self._open:
            self._open = False
            shutil.rmtree(self.partial, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run directory, read lazily; each table is checked against its checksum when first read.

    `manifest` is empty for a directory that is not sealed yet.
    """

    path: Path
    manifest: Mapping[str, Any]
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def table(self, name: str) -> pd.DataFrame:
        """Return table `name` (with or without `.tsv`), typed as in `SCHEMA`; a copy, free to change.

        Raises
        ------
        RunError
            If the file is missing, damaged or breaks its schema.
        """
        name = name if name.endswith(".tsv") else f"{name}.tsv"
        if name not in SCHEMA:
            raise InputError("table", name, ", ".join(SCHEMA), nearest(name, SCHEMA))
        if name not in self._cache:
            self._cache[name] = _read_table(self._checked(name), name)
        frame: pd.DataFrame = self._cache[name]
        return frame.copy()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by its name without ending."""
        return {name.removesuffix(".tsv"): self.table(name) for name in SCHEMA}

    @property
    def summary(self) -> dict[str, Any]:
        """The headline figures of summary.json."""
        return self._json("summary.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """Command, versions, checksums, times: provenance.json."""
        return self._json("provenance.json")

    @property
    def scenario(self) -> Scenario:
        """The resolved scenario of scenario.yaml."""
        from admix.scenario import load

        if "scenario.yaml" not in self._cache:
            self._cache["scenario.yaml"] = load(str(self._checked("scenario.yaml")))
        scenario: Scenario = self._cache["scenario.yaml"]
        return scenario

    def _json(self, name: str) -> dict[str, Any]:
        if name not in self._cache:
            self._cache[name] = _read_json(self._checked(name))
        value: dict[str, Any] = self._cache[name]
        return value

    def _checked(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise RunError(str(path), "missing", "make the run again")
        entry = self.manifest.get("files", {}).get(name)
        if entry is not None and entry["sha256"] != sha256(path):
            raise RunError(str(path), "changed since it was sealed (checksum differs)", "make the run again")
        return path


def read_run(path: str | Path, *, sealed: bool = True) -> Run:
    """Open a run directory.

    Parameters
    ----------
    path
        The directory.
    sealed
        False opens one that is still being written (`RunWriter.partial`), without manifest and checksums.

    Raises
    ------
    InputError
        If there is no such directory, it is no run directory, or a newer admix made it.
    RunError
        If its manifest is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        if unfinished_folder(path).is_dir():
            rule = f"a complete run; this one was stopped, and 'admix run --resume {path}' goes on with it"
            raise InputError("run directory", str(path), rule)
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        name = nearest(path.name, [p.name for p in beside if p.is_dir()])
        raise InputError("run directory", str(path), "an existing run directory", name)
    if not sealed:
        return Run(path=path, manifest={})
    if not (path / MANIFEST).is_file():
        raise InputError("run directory", str(path), f"a directory made by admix run (it has no {MANIFEST})")
    manifest = _read_json(path / MANIFEST)
    if manifest.get("schema") != SCHEMA_NAME or not isinstance(manifest.get("files"), dict):
        raise InputError("run directory", str(path), f"a directory whose {MANIFEST} was written by admix run")
    for name, entry in manifest["files"].items():
        # they are joined to the directory's path
        pure = PurePosixPath(name)
        inside = not pure.is_absolute() and ".." not in pure.parts and bool(pure.parts) and "\0" not in name
        if not inside or not isinstance(entry, dict) or not {"sha256", "bytes"} <= set(entry):
            rule = "names of files inside the directory, each with sha256 and bytes"
            raise InputError(f"{path / MANIFEST}: files", name, rule)
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(f"{path / MANIFEST}: schema_version", version, f"{SCHEMA_VERSION} (this admix)")
    return Run(path=path, manifest=manifest)


def validate_run(path: str | Path) -> list[str]:
    """Return what is wrong with a sealed run directory, one line each; empty when all is well.

    Checks the manifest, the presence, size and checksum of every sealed file, files unknown to the manifest,
    and the columns, types, ranges and keys of every table.
    """
    try:
        run = read_run(path)
    except (InputError, RunError) as error:
        return [str(error)]
    problems = []
    files = run.manifest["files"]
    for name in sorted(set(REQUIRED) - set(files)):
        problems.append(f"{name}: not in {MANIFEST}")
    for found in sorted(run.path.rglob("*")):
        name = found.relative_to(run.path).as_posix()
        if found.is_file() and name not in files and name != MANIFEST and not name.startswith(UNSEALED):
            problems.append(f"{name}: not in {MANIFEST}")
    for name, entry in sorted(files.items()):
        file = run.path / name
        if not file.is_file():
            problems.append(f"{name}: missing")
        elif file.stat().st_size != entry["bytes"]:
            problems.append(f"{name}: {file.stat().st_size} bytes, sealed with {entry['bytes']}")
        elif sha256(file) != entry["sha256"]:
            problems.append(f"{name}: checksum differs from {MANIFEST}")
        else:
            try:
                if name in SCHEMA:
                    _read_table(file, name)
                elif name.endswith(".json"):
                    _read_json(file)
            except RunError as error:
                problems.append(str(error))
    return problems


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _is_run(path: Path) -> bool:
    try:
        return bool(_read_json(path / MANIFEST).get("schema") == SCHEMA_NAME)
    except RunError:
        return False


def _read_table(path: Path, name: str) -> pd.DataFrame:
    table = SCHEMA[name]
    text = {c.name: object for c in table.columns if c.kind == "str"}
    # "NA", "None" and the like are legal branch and deme names: only the empty cell is missing.
    empty = {c.name: [""] for c in table.columns if c.kind != "str"}
    try:
        frame = pd.read_csv(path, sep="\t", dtype=text, keep_default_na=False, na_values=empty, quoting=3)
    except (ValueError, OSError) as error:
        raise RunError(str(path), f"not a readable table ({str(error).splitlines()[0]})") from error
    return conform(name, frame)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise RunError(str(path), f"not readable JSON ({error})") from error
    if not isinstance(value, dict):
        raise RunError(str(path), "not a JSON object")
    return value


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unfinished_folder(out: str | Path) -> Path:
    """Return the hidden folder beside a run directory in which the run is kept until it is complete."""
    real = Path(os.path.realpath(out))
    return real.parent / f".{real.name}.unfinished"


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into one line that names `path`, the place the user asked for."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "make room or choose another --out; burn-ins stay cached"
            raise RunError(str(path), "disk full", remedy) from error
        raise RunError(str(path), f"cannot be written ({error.strerror or error})") from error
