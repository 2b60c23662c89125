# SPDX-License-Identifier: GPL-3.0-or-later
"""Peak memory of this process since it began, or since a moment of one's choice."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def forget_peak() -> bool:
    """Let the peak begin anew from what is in use now; False where the system can't do that (only Linux can)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak() -> int:
    """Bytes at the peak since :func:`forget_peak`, or since the process began."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
