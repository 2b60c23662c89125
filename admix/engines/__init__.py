# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines: each turns a Schedule into the same run."""
