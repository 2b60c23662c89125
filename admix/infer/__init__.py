# SPDX-License-Identifier: GPL-3.0-or-later
"""The inverse question: which pulse, and which other values of a sweep, end where living people are."""
