# SPDX-License-Identifier: GPL-3.0-or-later
"""Content-addressed store of what is simulated before the pulse.

An entry is a directory named by the SHA-256 of its content key: ``arrays.npz`` and ``meta.json`` with the
checksums. It is written beside its place and renamed, so an entry is whole or absent, and two processes that
make the same one at once end with one of two equal copies. An unfinished stage leaves a checkpoint under the
same name with ``.checkpoint`` added.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from admix.errors import RunError

Arrays = dict[str, np.ndarray]
ABANDONED_SECONDS = 3600.0
"""Nobody takes that long to write an entry: an older unfinished one belongs to a process that was killed."""


_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, NotImplementedError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading an entry raises that is not as it was written."""


def default_directory() -> Path:
    """Where burn-ins are kept: ``$ADMIX_CACHE``, else ``$XDG_CACHE_HOME/admix``, else ``~/.cache/admix``."""
    if chosen := os.environ.get("ADMIX_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "admix"


def content_key(content: Any) -> str:
    """SHA-256 (hex) of a JSON-able description; the order of keys in it does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inode(place: Path) -> int | None:
    """What tells a directory from another one of the same name; None where there is none."""
    try:
        return place.stat().st_ino if place.is_dir() else None
    except OSError:
        return None


def _read(place: Path, key: str) -> tuple[Arrays, dict[str, Any]]:
    meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
    if meta["key"] != key:
        raise ValueError(f"it is the entry {str(meta['key'])[:12]}")
    for name, found in (
        ("sha256", _checksum(place / "arrays.npz")),
        ("content_sha256", content_key(meta["content"])),
    ):
        if meta[name] != found:
            raise ValueError(f"checksum {found[:12]} is not {str(meta[name])[:12]}")
    with np.load(place / "arrays.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}, meta["content"]


def _put(temporary: Path, place: Path) -> None:
    """Move a finished directory to its place, and what is there out of the way; on failure it stays there."""
    old = temporary.with_name(temporary.name + ".old")
    for _ in range(100):
        with suppress(FileNotFoundError):
            place.rename(old)
        try:
            temporary.rename(place)
            shutil.rmtree(old, ignore_errors=True)
            return
        except OSError as error:
            if old.exists():
                with suppress(OSError):
                    old.rename(place)
                shutil.rmtree(old, ignore_errors=True)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # another process was quicker; once more, unless its copy (with the same content) is there to stay
            if place.is_dir():
                return
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the cache, for listing: its key, what it holds, its size in bytes, and is it finished."""

    key: str
    title: str
    size: int
    finished: bool


class Cache:
    """The store in one directory.

    Parameters
    ----------
    directory : Path
        Made when something is first written.
    say : callable
        Gets a line of text when an entry is damaged and is thrown away.
    unwritable : callable
        Turns an error of the operating system into the one that is raised when nothing can be written.
    """

    def __init__(
        self,
        directory: Path,
        say: Callable[[str], None] = lambda text: None,
        unwritable: Callable[[OSError], RunError] | None = None,
    ) -> None:
        self.directory = directory
        self._say = say
        self._unwritable = unwritable

    def _place(self, key: str, checkpoint: bool) -> Path:
        return self.directory / (key + ".checkpoint" if checkpoint else key)

    def has(self, key: str) -> bool:
        """Is there a finished entry (its checksum is not looked at)?"""
        return (self._place(key, False) / "meta.json").is_file()

    def describe(self, key: str, *, checkpoint: bool = False) -> dict[str, Any] | None:
        """Return the description of an entry without its arrays, or None where there is none that can be read."""
        try:
            meta = json.loads((self._place(key, checkpoint) / "meta.json").read_text(encoding="utf-8"))
            return dict(meta["content"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def load(self, key: str, *, checkpoint: bool = False) -> tuple[Arrays, dict[str, Any]] | None:
        """Return the arrays and the description of an entry, or None where there is none.

        A damaged entry is reported, removed and counted as absent.
        """
        place = self._place(key, checkpoint)
        for last in (False, False, True):
            before = _inode(place)
            if before is None:
                return None
            try:
                return _read(place, key)
            except _DAMAGE as error:
                # another process may have put its own copy here, or taken it away, while this one read
                if _inode(place) != before and not last:
                    continue
                self._say(f"cache: {place} is damaged ({error}); it is thrown away and made again")
                shutil.rmtree(place, ignore_errors=True)
                return None
        return None

    def save(self, key: str, arrays: Arrays, content: dict[str, Any], *, checkpoint: bool = False) -> None:
        """Write an entry (or replace the checkpoint) whole.

        Raises
        ------
        RunError
            Where the disk is full or the directory can't be written; what was there before is untouched.
        """
        place = self._place(key, checkpoint)
        temporary = self.directory / f".{key[:16]}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        try:
            self._sweep(key)
            temporary.mkdir(parents=True)
            with (temporary / "arrays.npz").open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            meta = {
                "key": key,
                "sha256": _checksum(temporary / "arrays.npz"),
                "content_sha256": content_key(content),
                "content": content,
            }
            with (temporary / "meta.json").open("w", encoding="utf-8") as text:
                json.dump(meta, text, indent=1)
                text.flush()
                os.fsync(text.fileno())
            _put(temporary, place)
        except OSError as error:
            if self._unwritable is not None:
                raise self._unwritable(error) from error
            raise RunError(
                str(self.directory),
                f"the cache can't be written ({error.strerror})",
                "--cache-dir names another place",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _sweep(self, key: str) -> None:
        """Remove what a process that was killed while it wrote this entry has left."""
        for left in self.directory.glob(f".{key[:16]}.*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)

    def drop_checkpoint(self, key: str) -> None:
        """Remove a stage's checkpoint, where there is one."""
        shutil.rmtree(self._place(key, True), ignore_errors=True)


def entries(directory: Path) -> list[Entry]:
    """What a cache directory holds, in order of name."""
    found = []
    for place in sorted(directory.glob("*/meta.json")) if directory.is_dir() else []:
        if place.parent.name.startswith("."):
            continue
        try:
            content = json.loads(place.read_text(encoding="utf-8"))["content"]
            title = str(content.get("title", ""))
        except (*_DAMAGE, AttributeError):
            title = "damaged"
        size = sum(f.stat().st_size for f in place.parent.iterdir())
        key = place.parent.name
        found.append(Entry(key.removesuffix(".checkpoint"), title, size, not key.endswith(".checkpoint")))
    return found


def clear(directory: Path) -> int:
    """Remove every entry, and nothing else; return how many bytes that freed."""
    freed = 0
    for entry in entries(directory):
        freed += entry.size
        shutil.rmtree(directory / (entry.key if entry.finished else entry.key + ".checkpoint"), ignore_errors=True)
    return freed
