# SPDX-License-Identifier: GPL-3.0-or-later
"""Sweeps: many runs of one scenario over a grid or draws of its fields, planned on disk, run anywhere, in one table."""
