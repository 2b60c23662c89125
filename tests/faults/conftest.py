# SPDX-License-Identifier: GPL-3.0-or-later
"""The small scenarios of the other tests are used here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
