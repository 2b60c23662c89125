# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python users hold: results with tables, trees and pictures."""
