# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw ancestry over all chromosomes in the last generation.

python sims/figures/genome.py RUN [DIR]
"""

import argparse
import sys

from admix.errors import AdmixError
from admix.plots import draw_all
from admix.results import read_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("out", metavar="DIR", nargs="?", default=".", help="where to save  [default: here]")
    arguments = parser.parse_args()
    try:
        for path in draw_all(read_run(arguments.run), arguments.out, figures=["genome"]):
            print(path)
    except AdmixError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
