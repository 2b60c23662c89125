# SPDX-License-Identifier: GPL-3.0-or-later
"""Single panels: functions of data and Axes that return the Axes; `admix.figures` has them all by name."""
