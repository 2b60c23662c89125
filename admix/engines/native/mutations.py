# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of mutations that anybody alive carries: one row an id, ids used again after loss."""

from __future__ import annotations

import numpy as np

COLUMNS: dict[str, type] = {
    "axis": np.uint32,
    "site": np.int64,
    "s": np.float64,
    "h": np.float64,
    "effect": np.int32,
    "correction": np.int32,
    "uid": np.uint64,
    "born": np.int32,
    "lineage": np.int16,
    "archaic": np.uint8,
}
"""``axis`` genetic position; ``site`` number of the base in the target; ``s``, ``h`` (homozygote 1 + s,
heterozygote 1 + hs); ``effect`` and ``correction`` log effects in units of 2**-26 (see gametes.new_mutations);
``uid`` random identity, the same in every deme and stage; ``born`` tick and ``lineage`` deme of birth; ``archaic``
bit q is set where the mutation came into the recipients by the pulse of source q."""


class Mutations:
    """Columns of the mutations in use, as arrays indexed by id, and the ids that are free."""

    def __init__(self, capacity: int = 1 << 16) -> None:
        self.capacity = capacity
        self.columns: dict[str, np.ndarray] = {name: np.zeros(capacity, dtype) for name, dtype in COLUMNS.items()}
        self._free = np.arange(capacity, dtype=np.int32)
        self._next = 0

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def n_free(self) -> int:
        """How many ids can be taken before the table has to grow."""
        return len(self._free) - self._next

    @property
    def free(self) -> np.ndarray:
        """Ids that nobody carries (int32)."""
        return self._free[self._next :]

    def take(self, n: int) -> np.ndarray:
        """Return ``n`` free ids (int32); the table grows where it has too few."""
        if self.n_free < n:
            old, new = self.capacity, max(2 * self.capacity, self.capacity + 2 * n)
            for name, column in self.columns.items():
                grown = np.zeros(new, column.dtype)
                grown[:old] = column
                self.columns[name] = grown
            self._free = np.concatenate([self._free[self._next :], np.arange(old, new, dtype=np.int32)])
            self._next, self.capacity = 0, new
        ids = self._free[self._next : self._next + n]
        self._next += n
        return ids

    def keep_only(self, used: np.ndarray) -> None:
        """Free every id for which ``used`` (bool[capacity]) is false."""
        self._free = np.flatnonzero(~used).astype(np.int32)
        self._next = 0

    def key(self, ids: np.ndarray) -> np.ndarray:
        """Sort keys (uint64): axis position in the high half, id in the low half."""
        return (self["axis"][ids].astype(np.uint64) << np.uint64(32)) | ids.astype(np.uint64)

    def homozygous(self, ids: np.ndarray) -> int:
        """Sum of log(1 + s) over ids, in units of 2**-26."""
        return int(2 * self["effect"][ids].sum(dtype=np.int64) + self["correction"][ids].sum(dtype=np.int64))
