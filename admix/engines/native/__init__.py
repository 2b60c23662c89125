# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine: a bit-packed Wright-Fisher model of whole autosomes with exact linkage."""

from admix.engines.native import compiled as compiled
