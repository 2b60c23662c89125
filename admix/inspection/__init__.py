# SPDX-License-Identifier: GPL-3.0-or-later
"""``admix check RUN``: is a run directory complete, unchanged, lawful, and made again to the same numbers?"""

from admix.inspection.inspect import Finding, inspect

__all__ = ["Finding", "inspect"]
