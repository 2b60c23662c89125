# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed and memory of the native engine beside SLiM and fwdpy11, from one equal start: ``python -m benchmarks``."""
