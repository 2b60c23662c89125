# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run: one HTML file that needs nothing else, for screens, phones and paper."""
