# SPDX-License-Identifier: GPL-3.0-or-later
"""The run under way: a hidden folder beside the run directory that is being made, with all that is finished of it.

``.NAME.unfinished`` holds ``run.json`` (what is being run), ``parts`` (finished branches, and the state of the one
under way, each written by renaming, with checksums) and ``lock``. It is removed when the run directory is complete.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from admix import __version__
from admix.cache import Arrays, Cache, content_key, entries
from admix.engines.native.branch import Records
from admix.engines.native.branch_state import STATE_VERSION, pack_records, pack_value, unpack_records, unpack_value
from admix.engines.native.history import RESULTS_VERSION
from admix.errors import InputError, RunError
from admix.results import os_errors, unfinished_folder
from admix.run_plan import Plan, resolved, tables_key
from admix.scenario import Scenario
from admix.scenario_yaml import read

__all__ = ["Part", "Record", "Unfinished", "record_of"]

RUN, LOCK, PARTS = "run.json", "lock", "parts"
_FORMAT = 1
_MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an unfinished run is: its resolved scenario as YAML, and options that the scenario does not hold."""

    scenario: str
    tables: str
    keep_parents: bool
    cache: str
    force: bool
    version: str = __version__
    results_version: int = RESULTS_VERSION
    state_version: int = STATE_VERSION

    @property
    def key(self) -> str:
        """SHA-256 (hex) of all that decides what is saved."""
        return content_key([self.results_version, self.state_version, self.scenario, self.tables, self.keep_parents])

    @classmethod
    def of(cls, plan: Plan) -> Record:
        """Return the record of a planned run."""
        options = plan.options
        return cls(
            scenario=resolved(plan.scenario, options).to_yaml(), tables=tables_key(plan.genome, plan.tables),
            keep_parents=options.keep_parents, cache=os.path.abspath(plan.cache.directory), force=options.force,
        )  # fmt: skip

    def to_json(self) -> str:
        """Return the record as text, with a checksum."""
        tree = {name: getattr(self, name) for name in self.__dataclass_fields__}
        tree |= {"format": _FORMAT, "command": sys.argv, "begun": round(time.time())}
        return json.dumps(tree | {"checksum": content_key(tree)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Return the record in a text.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            tree = json.loads(text)
            if tree.pop("checksum") != content_key(tree):
                raise ValueError("its checksum differs")
            if tree["format"] != _FORMAT:
                raise ValueError(f"its format is {tree['format']}")
            return cls(**{name: tree[name] for name in cls.__dataclass_fields__})
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no record of a run ({error})") from error

    def difference(self, other: Record) -> str:
        """Return in words why what was saved of `other` can't be used for this run; empty if it can."""
        if (other.results_version, other.state_version) != (self.results_version, self.state_version):
            return (
                f"it was saved by admix {other.version} (results {other.results_version}, state {other.state_version}),"
                f" and this is admix {self.version} (results {self.results_version}, state {self.state_version})"
            )
        mine, theirs = (Scenario.from_tree(read(r.scenario, RUN)).to_tree() for r in (self, other))
        for path in sorted({*_leaves(mine), *_leaves(theirs)}):
            a, b = _leaves(mine).get(path, "nothing"), _leaves(theirs).get(path, "nothing")
            if a != b:
                return f"{path} is {b!r} there and {a!r} here"
        if self.tables != other.tables:
            return "the genome's files held something else then"
        if self.keep_parents != other.keep_parents:
            return "--keep-parents was not the same"
        return ""


def record_of(out: Path) -> Record:
    """Return the record of the run that is to be in `out` and is not complete.

    Raises
    ------
    InputError
        If there is none, or it is damaged, or another version of admix made it whose numbers differ.
    """
    folder = unfinished_folder(out)
    try:
        with (folder / RUN).open("rb") as file:
            record = Record.from_json(file.read(_MAX_BYTES).decode("utf-8"))
    except FileNotFoundError:
        rule = "the directory of a run that was stopped (there is nothing to go on from)"
        raise InputError("--resume", str(out), rule) from None
    except (OSError, ValueError) as error:
        rule = "a run whose record is whole; give the command of the run again"
        raise InputError("--resume", str(folder / RUN), f"{rule} ({error})") from error
    if (record.results_version, record.state_version) != (RESULTS_VERSION, STATE_VERSION):
        rule = (
            f"a run of an admix with results {RESULTS_VERSION} and state {STATE_VERSION}, as this one is; it was begun"
            f" by admix {record.version} (results {record.results_version}, state {record.state_version}), which gives"
            " other numbers or kept them differently: run it anew with --force"
        )
        raise InputError("--resume", str(out), rule)
    return record


class Part:
    """One branch of one replicate: the state it was saved in (see `Keeper`), and what it left when it was finished."""

    def __init__(self, store: Cache, run: str, branch: str, replicate: int, twin: str) -> None:
        self.key = content_key([run, branch, replicate, twin])
        self.title = f"branch {branch}, replicate {replicate}, twin {twin}"
        self._store = store

    def load(self) -> Arrays | None:
        """Return the state that was saved last, None where there is none."""
        found = self._store.load(self.key, checkpoint=True)
        return None if found is None else found[0]

    def save(self, arrays: Arrays, title: str) -> None:
        """Keep the state of the branch under way."""
        self._store.save(self.key, arrays, {"title": f"{self.title}, {title}"}, checkpoint=True)

    @property
    def is_finished(self) -> bool:
        """Whether the branch need not be run again."""
        return self._store.has(self.key)

    def finish(self, records: Records, files: Mapping[str, Path], history: Mapping[str, Any]) -> None:
        """Keep what a finished branch has left: rows of tables, files by name, provenance of its history."""
        arrays = pack_records(records) | {f"file:{name}": np.fromfile(path, np.uint8) for name, path in files.items()}
        arrays["history"] = pack_value(dict(history))
        self._store.save(self.key, arrays, {"title": self.title})
        self._store.drop_checkpoint(self.key)

    def finished(self, path: Callable[[str], Path]) -> tuple[Records, dict[str, Any]] | None:
        """Return records and history of a finished branch, its files written to ``path(name)``; None if damaged."""
        found = self._store.load(self.key)
        if found is None:
            return None
        arrays, _ = found
        for name, content in arrays.items():
            if name.startswith("file:"):
                content.tofile(path(name.removeprefix("file:")))
        return unpack_records(arrays, Records()), unpack_value(arrays["history"])


class Unfinished:
    """The folder of a run under way, locked for this process.

    Parameters
    ----------
    out
        The run directory that is to be made.
    record
        What is run.
    force
        Throw away what is left of another run that was to be in `out`.
    say
        Gets a line of text about what is found.
    """

    def __init__(self, out: Path, record: Record, *, force: bool, say: Callable[[str], None]) -> None:
        self.out, self.record = out, record
        self.folder = unfinished_folder(out)
        self._force, self._say = force, say
        self._key = record.key
        self._lock: IO[str] | None = None
        self.store = Cache(self.folder / PARTS, say, self._unwritable)

    def __enter__(self) -> Self:
        with os_errors(self.folder):
            before = self._acquire()
        try:
            with os_errors(self.folder):
                if before:
                    # whoever held the lock last was killed while it wrote there
                    left = self.folder.parent / Path(before).name
                    if left.name.startswith(self.folder.name.removesuffix("unfinished") + "partial-"):
                        shutil.rmtree(left, ignore_errors=True)
                self._put_back()
                self._look_at_record()
                self._write_record()
        except BaseException:
            self._release(keep=True)
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self._release(keep=bool(self.kept))

    @property
    def kept(self) -> int:
        """How many branches are finished or saved."""
        return len(entries(self.store.directory))

    def part(self, branch: str, replicate: int, twin: str) -> Part:
        """Return what is kept of one branch."""
        return Part(self.store, self._key, branch, replicate, twin)

    def writes_in(self, partial: Path) -> None:
        """Say where this process writes, for whoever comes after it was killed."""
        if self._lock is not None:
            with os_errors(self.folder):
                self._lock.seek(0)
                self._lock.truncate()
                told = {"pid": os.getpid(), "host": socket.gethostname(), "partial": partial.name}
                self._lock.write(json.dumps(told))
                self._lock.flush()

    def complete(self) -> None:
        """Remove all, once the run directory is there."""
        shutil.rmtree(self.store.directory, ignore_errors=True)

    # ------------------------------------------------------------------

    def _acquire(self) -> str:
        """Lock the folder; return the directory in which the last holder wrote."""
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = (self.folder / LOCK).open("a+", encoding="utf-8")
            except FileNotFoundError:
                continue  # its last holder has just removed it
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                told = _read_lock(lock)
                lock.close()
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    who = f"process {told.get('pid', '?')} on {told.get('host', '?')} is at it"
                    rule = f"a directory that no other process is making ({who})"
                    raise InputError("--out", str(self.out), rule) from error
                if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                    return ""  # a file system without locks
                raise
            with suppress(FileNotFoundError):
                if (self.folder / LOCK).stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    self._lock = lock
                    return str(_read_lock(lock).get("partial", ""))
            lock.close()

    def _put_back(self) -> None:
        """Put a run back that was moved out of the way by a process that was killed before it put its own there."""
        real = Path(os.path.realpath(self.out))
        for left in sorted(real.parent.iterdir()):
            if left.name.startswith(f".{real.name}.replaced-"):
                if real.exists():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.rename(real)
                    self._say(f"{self.out} was being replaced when its new run was killed; the old one is there again")

    def _look_at_record(self) -> None:
        file = self.folder / RUN
        if not file.exists():
            return
        try:
            other = Record.from_json(file.read_text(encoding="utf-8"))
            why = self.record.difference(other)
        except (ValueError, OSError, InputError) as error:
            self._say(f"{file} is damaged ({error}); branches that were finished are simulated again")
            shutil.rmtree(self.store.directory, ignore_errors=True)
            return
        if not why:
            return
        if self.kept and not self._force:
            rule = f"a directory without another unfinished run: {why}; --force throws that one away"
            if "saved by admix" not in why:
                rule += ", --resume goes on with it"
            raise InputError("--out", str(self.out), rule)
        shutil.rmtree(self.store.directory, ignore_errors=True)

    def _write_record(self) -> None:
        # not forced to the disk: its checksum tells whether it came there
        temporary = self.folder / f".{RUN}"
        temporary.write_text(self.record.to_json(), encoding="utf-8")
        temporary.replace(self.folder / RUN)

    def _release(self, *, keep: bool) -> None:
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _unwritable(self, error: OSError) -> RunError:
        try:
            with os_errors(self.out):
                raise error
        except RunError as told:
            return told


def _read_lock(lock: IO[str]) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        lock.seek(0)
        told = json.loads(lock.read(10_000))
        if isinstance(told, dict):
            return told
    return {}


def _leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Single values of a tree by their paths."""
    found: dict[str, Any] = {}
    for path, item in _children(value, place):
        found |= _leaves(item, path) if isinstance(item, dict | list | tuple) and item else {path: item}
    return found


def _children(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{place}.{key}".removeprefix("."), item
    else:
        for i, item in enumerate(value):
            yield f"{place}[{i}]", item


@contextmanager
def reporting(out: Path, plan: Plan) -> Iterator[None]:
    """Write a report beside `out` if a law of the simulation is broken inside the block, and name it in the error."""
    from admix.errors import InvariantError

    try:
        yield
    except InvariantError as error:
        report = Path(os.path.realpath(out)).with_name(f"{out.name}.fault.json")
        content = {
            "law": error.law, "where": error.where, "found": error.found, "numbers": error.numbers,
            "admix": __version__, "results_version": RESULTS_VERSION, "command": sys.argv,
            "python": sys.version, "numpy": np.__version__, "time": round(time.time()),
            "scenario": resolved(plan.scenario, plan.options).to_yaml(),
        }  # fmt: skip
        with os_errors(report):
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
        remedy = f"no table was written; please send {report} to the authors of admix"
        raise RunError(error.where, error.what, remedy) from error
