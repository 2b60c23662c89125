# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel tests once more with the JIT off, and once more with every index checked.

Compiled kernels are kept between runs, in a directory of their own for each mode (and, by
admix.engines.native.compiled, for each text of the kernels): numba's cache alone takes no notice of either.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import adapters as kernel
import numba
import pytest
from test_bits import FILES, TESTS

MODE = os.environ.get("ADMIX_KERNEL_MODE", "")
"""Set in the process that runs in a mode, and there alone."""
MODES = {"plain": "NUMBA_DISABLE_JIT", "checked": "NUMBA_BOUNDSCHECK"}


def environment(mode: str) -> dict[str, str]:
    """This process's environment, without what steers numba or pytest, and with the mode."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("NUMBA_", "PYTEST_"))}
    user = os.getuid() if hasattr(os, "getuid") else ""
    cache = Path(tempfile.gettempdir()) / f"admix-kernels-{user}" / mode
    return kept | {MODES[mode]: "1", "NUMBA_CACHE_DIR": str(cache), "ADMIX_KERNEL_MODE": mode}


if MODE:

    def test_the_mode_is_on() -> None:
        """A row with no room for its padding: numba would write past its end."""
        config: Any = numba.config
        assert bool(config.DISABLE_JIT) == (MODE == "plain")
        assert bool(config.BOUNDSCHECK) == (MODE == "checked")
        with pytest.raises(IndexError, match="out of bounds"):
            kernel.pad([1] * 7, 0)

else:

    @pytest.mark.parametrize("mode", MODES)
    def test_kernels_agree_with_their_twins(mode: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES, Path(__file__).name],
            cwd=TESTS,
            env=environment(mode),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        outcome = re.fullmatch(r"(\d+) passed in .*", done.stdout.splitlines()[-1].strip("= "))
        assert outcome, done.stdout[-2000:]
        assert int(outcome[1]) > 400
