# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m admix`` is the same as the command ``admix``."""

from admix.cli import main

if __name__ == "__main__":
    main()
