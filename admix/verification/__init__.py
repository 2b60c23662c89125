# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of admix against theory, papers and other engines; each returns rows of one table, with verdicts."""
