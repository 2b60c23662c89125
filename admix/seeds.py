# SPDX-License-Identifier: GPL-3.0-or-later
"""Named random streams.

A stream is named by what it is for: (seed, branch, replicate, purpose, deme, ...). Its key is a hash of that
name, so adding a stream moves no other, and the order in which streams are opened has no effect. Streams of a
burn-in are named by the content of the history and the burn-in's number, never by the user's seed.
"""

from __future__ import annotations

import hashlib

import numpy as np


def _digest(name: tuple[str | int, ...]) -> bytes:
    # types and lengths are part of the text, so ("a", "b") and ("ab",) or 1 and "1" differ
    text = "".join(f"{type(part).__name__}{len(str(part))}:{part};" for part in name)
    return hashlib.sha256(text.encode()).digest()


def stream_key(*name: str | int) -> int:
    """Return the 64-bit key of the stream with this name."""
    return int.from_bytes(_digest(name)[:8], "little")


def generator(*name: str | int) -> np.random.Generator:
    """Return a NumPy generator (Philox) for the stream with this name."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(name)[8:24], "little")))
