# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill what theory expects into the pages of docs/scenarios/.

    python sims/predictions.py [NAME...]

Replaces what stands between the two lines in each page that has them (all pages if no name is given):

    <!-- expected: made by sims/predictions.py -->
    ...
    <!-- /expected -->
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from admix.prediction import predict
from admix.scenario import load
from admix.summary import GENERATIONS, people

PAGES = Path(__file__).resolve().parents[1] / "docs" / "scenarios"
ANCHOR = re.compile(r"(<!-- expected: made by sims/predictions\.py -->\n)(.*?)(\n<!-- /expected -->)", re.S)


def block(name: str) -> str:
    """Costs and expected shares of a scenario, as Markdown."""
    forecast = predict(load(name))
    lines = []
    told = set()
    for branch, costs in forecast.costs.items():
        for cost in costs:
            if (cost.source, cost.target, cost.S) in told:
                continue
            told.add((cost.source, cost.target, cost.S))
            also = [b for b, other in forecast.costs.items() if cost.S in [c.S for c in other]]
            where = f" ({', '.join(also or [branch])})" if len(forecast.costs) > 1 else ""
            lines.append(
                f"* `{cost.source}` into `{cost.target}`{where}: S = {cost.S:.3f} ± {cost.sd:.3f} between histories;"
                f" relative fitness {np.exp(-cost.S):.3f}, of the children of mixed couples {np.exp(-cost.S_het):.3f}"
            )
    data = forecast.trajectory
    for source, rows in data.groupby("source", sort=False):
        columns = list(rows[["branch", "deme"]].drop_duplicates().itertuples(index=False, name=None))
        many = rows["deme"].nunique() > 1
        heads = [deme if many else branch for branch, deme in columns]
        lines += ["", f"| generation | years ago | {' | '.join(f'`{head}`' for head in heads)} |"]
        lines += ["| --- | --: |" + " --: |" * len(heads)]
        by = rows.set_index(["branch", "deme", "generation"])
        clock = rows.drop_duplicates("generation").set_index("generation")["years_bp"]
        last = int(rows["generation"].max())
        for generation in sorted({*(g for g in GENERATIONS if g <= last), last}):
            cells = []
            for branch, deme in columns:
                found = by.loc[(branch, deme, generation)]
                mean, low, high = (100 * found[f"ancestry_{key}"] for key in ("mean", "low", "high"))
                cells.append(f"{mean:.2f} [{low:.2f}, {high:.2f}]")
            years = clock.loc[generation]
            label = f"{generation:,}" + (" (today)" if years == 0 else "")
            lines.append(f"| {label} | {years:,.0f} | {' | '.join(cells)} |")
        lines.append("")
        lines.append(f"({people(str(source))} share of DNA, per cent; brackets hold 95 % of single runs.)")
    return "\n".join(lines)


def fill(page: Path) -> bool:
    """Write the block of a page; return whether it has one."""
    text = page.read_text(encoding="utf-8")
    if not ANCHOR.search(text):
        return False
    made = block(page.stem)
    page.write_text(ANCHOR.sub(lambda found: found[1] + made + found[3], text), encoding="utf-8")
    return True


if __name__ == "__main__":
    for path in sorted(PAGES.glob("*.md")):
        if (len(sys.argv) == 1 or path.stem in sys.argv[1:]) and fill(path):
            print(path)
