# SPDX-License-Identifier: GPL-3.0-or-later
"""Where compiled kernels are kept: a folder named by a hash of all kernel sources and of the run mode.

Numba's own on-disk key holds neither the bounds-checking mode nor the sources of kernels that were inlined from
other modules, so that an edited kernel could go on being used in its old form. Imported before any kernel.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from numba import config as numba_config

from admix.cache import default_directory

config: Any = numba_config


def kernel_folder() -> Path:
    """Folder of the compiled kernels, under ``$NUMBA_CACHE_DIR`` where it is set, else in admix's cache."""
    digest = hashlib.sha256(f"bounds {config.BOUNDSCHECK} opt {config.OPT}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else default_directory() / "kernels"
    return base / digest.hexdigest()[:16]


def use_kernel_folder() -> None:
    """Make numba keep compiled kernels there; where it can't be written, numba's own choice stands."""
    folder = kernel_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        config.CACHE_DIR = str(folder)


use_kernel_folder()
