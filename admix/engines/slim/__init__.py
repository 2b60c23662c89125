# SPDX-License-Identifier: GPL-3.0-or-later
"""The SLiM engine: the reference implementation, run as a program of its own."""
