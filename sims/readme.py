# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill the numbers and pictures of README.md and docs/ from a run directory.

    python sims/readme.py RUN

The run's scenario decides which pages are filled: reich (at least 6 replicates over 3 burn-ins, as they come with
admix) README.md, docs/scenarios/reich.md and docs/images/reich.png and .svg; petr2019 its page; tiny its page and the
example lines of docs/run-directory.md. What stands between two anchors is replaced, so the script may be run again:

    <!-- numbers: made by sims/readme.py (BLOCK) -->
    ...
    <!-- /numbers -->
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from admix.errors import AdmixError, InputError
from admix.plots import draw_all
from admix.results import SCHEMA, Run, answer, read_run, screen_table
from admix.scenario import load, names
from admix.summary import meaning, people, percent

ROOT = Path(__file__).resolve().parents[1]
PAGES: Mapping[str, tuple[str, ...]] = {
    "reich": ("README.md", "docs/scenarios/reich.md"),
    "petr2019": ("docs/scenarios/petr2019.md",),
    "tiny": ("docs/scenarios/tiny.md", "docs/run-directory.md"),
}
EMPTY = "not measured yet"
ANCHOR = re.compile(
    r"(<!-- numbers: made by sims/readme\.py \((?P<block>\S+)\) -->\n)(?P<text>.*?)(\n<!-- /numbers -->)", re.S
)
REPLICATES, BURNINS = 6, 3
EXAMPLE_ROWS = 3
Entry = Mapping[str, Any]


def main() -> None:
    """Read the command line and fill the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="a run directory")
    arguments = parser.parse_args()
    try:
        for path in fill(read_run(arguments.run)):
            print(path)
    except AdmixError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def fill(run: Run, root: Path = ROOT) -> list[Path]:
    """Write a run's numbers and pictures into the pages below ``root``; return the files written."""
    check(run)
    name = run.scenario.name
    texts = {}
    for page in PAGES[name]:
        path = root / page
        before = path.read_text(encoding="utf-8")
        texts[path] = ANCHOR.sub(lambda found: found[1] + BLOCKS[found["block"]](run) + found[4], before)
    written = []
    if name == "reich":
        written += pictures(run, root / "docs" / "images" / name)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def check(run: Run) -> None:
    """Refuse a run that the pages do not speak of: a changed scenario, one cut short, or too few replicates."""
    scenario, given = run.scenario, run.scenario.run
    allowed = f"a run of {', '.join(PAGES)}"
    if scenario.name not in names() or scenario.name not in PAGES:
        raise InputError("RUN", scenario.name, allowed)
    if scenario.with_run().to_tree() != load(scenario.name).with_run().to_tree():
        raise InputError("RUN", f"a changed {scenario.name}", "the scenario as it comes with admix")
    if given.generations is not None:
        raise InputError("RUN", f"--generations {given.generations}", "a run until today")
    if scenario.name != "reich":
        return
    found = run.summary["replicates"], run.summary["burnins"]
    if found[0] < REPLICATES or found[1] < BURNINS:
        raise InputError(
            "RUN", f"{found[0]} replicates over {found[1]} burn-ins", f"at least {REPLICATES} over {BURNINS}"
        )


def pictures(run: Run, stem: Path) -> list[Path]:
    """Draw the trajectory to ``stem``.png and .svg."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=stem.parent) as folder:
        return [path.replace(stem.with_suffix(path.suffix)) for path in draw_all(run, folder, figures=["trajectory"])]


# ---- pieces of text


def chosen(run: Run, twins: Sequence[str] = ("none", "neutral")) -> list[Entry]:
    """The summary's entries, those with selection first."""
    return [e for twin in twins for e in run.summary["entries"] if e["twin"] == twin]


def head(entry: Entry) -> str:
    """An entry's name at the head of a column."""
    return f"{percent(entry['requested'])} pulse" + (", no selection" if entry["twin"] == "neutral" else "")


def interval(estimate: Entry) -> tuple[float, float] | None:
    """The interval, where there is one with any width."""
    found = estimate["interval"]
    return (found[0], found[1]) if found is not None and found[1] - found[0] > 1e-9 else None


def words(estimate: Entry) -> str:
    """A share in a sentence: 2.2 % (95 % interval 1.9 to 2.5)."""
    text, width = percent(estimate["mean"]), interval(estimate)
    if width is None:
        return text
    low, high = (percent(value).removesuffix(" %") for value in width)
    return f"{text} ({100 * estimate['level']:.0f} % interval {low} to {high})"


def cell(estimate: Entry, factor: float = 100.0) -> str:
    """An estimate in a table: 2.16 [1.94, 2.38]; per cent unless ``factor`` is 1."""
    if estimate["mean"] is None:
        return ""
    text, width = f"{factor * estimate['mean']:.2f}", interval(estimate)
    return text if width is None else f"{text} [{factor * width[0]:.2f}, {factor * width[1]:.2f}]"


def errors(estimate: Entry, factor: float = 100.0) -> list[str]:
    """Standard errors as cells: in all, from burn-ins, from drift; empty where the run does not give it."""
    found = (estimate[f"se_{part}"] for part in ("total", "burnin", "drift"))
    return ["" if value is None else f"{factor * value:.2g}" for value in found]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head; numbers to the right."""
    first, *rest = rows
    lines = [first, ["---"] + ["--:"] * (len(first) - 1), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---- blocks


def three_sentences(run: Run) -> str:
    """The answer: what is left, how fast and why, and what the ancestors were."""
    p10, p20 = (next(e for e in chosen(run, ["none"]) if e["branch"] == name) for name in ("p10", "p20"))
    who = people(p10["source"])
    today = [words(e["ancestry"][-1]) for e in (p10, p20)]
    small, large = (percent(e["realised"]["mean"]) for e in (p10, p20))
    by = [e["loss"]["by_generation"] for e in (p10, p20)]
    counted = [{m: words(v) for m, v in e["ancestors"]["all"].items()} for e in (p10, p20)]
    dated = next(m for m in counted[0] if m.startswith("genealogical@"))
    when = dated.removeprefix("genealogical@").removesuffix("ka") + ",000 years ago"
    a, b = counted
    return "\n".join(
        [
            f"If {small} of the founding generation are {who}s, {today[0]} of today's DNA is {who}, and if {large} are,"
            f" {today[1]}.",
            f"Nine tenths of the loss have come by generation {by[0]} (for {large}: {by[1]}), with an unmixed {who}"
            f" having {p10['fitness_archaic_relative']:.2f} times the fitness of the others.",
            f"Counted as ancestors of the living, the {who} share is {a['genealogical']} of the founders with living"
            f" descendants (for {large}: {b['genealogical']}), {a['pedigree_paths']} of the paths through the pedigree"
            f" (for {large}: {b['pedigree_paths']}), and {a[dated]} of everybody with living descendants {when}.",
        ]
    )


def trajectory(run: Run) -> str:
    """Share of DNA by generation, per cent."""
    entries = chosen(run)
    rows = [["generation", "years ago", *map(head, entries)]]
    for k, row in enumerate(entries[0]["ancestry"]):
        label = f"{row['generation']:,}" + (" (today)" if row["today"] else "")
        rows.append([label, f"{row['years_bp']:,.0f}", *(cell(e["ancestry"][k]) for e in entries)])
    return markdown(rows)


def ancestors(run: Run) -> str:
    """Share of the ancestors of all living people, per cent, by what is counted."""
    entries = chosen(run)
    rows = [["what is counted", *map(head, entries)]]
    measures = [m for m in entries[0]["ancestors"]["all"] if not m.endswith("_founders")]
    for measure in sorted(measures, key=meaning):
        rows.append([f"`{measure}`", *(cell(e["ancestors"]["all"][measure]) for e in entries)])
    return markdown(rows)


def fitness(run: Run) -> str:
    """S with its errors, and the errors of today's share."""
    rows = [["", "mean", "standard error", "from burn-ins", "from drift"]]
    for e in chosen(run, ["none"]):
        rows.append([f"S, {head(e)}", cell(e["S"], 1.0), *errors(e["S"], 1.0)])
        rows.append([f"today's share, %, {head(e)}", cell(e["ancestry"][-1]), *errors(e["ancestry"][-1])])
    return markdown(rows)


def how(run: Run) -> str:
    """The command that makes such a run, and the version that made this one."""
    given, software = run.scenario.run, run.provenance["software"]
    words_ = ["admix", "run", "--scenario", run.scenario.name]
    usual = {"seed": None, "replicates": 1, "burnins": 1, "burnin": None, "start": run.scenario.start.mode}
    for option, default in usual.items():
        value = getattr(given, option)
        if value is not None and value != default:
            words_ += [f"--{option}", str(value)]
    if given.twin == "neutral":
        words_ += ["--twin", "neutral"]
    if given.trees is not None and given.trees != run.scenario.sampling.trees:
        words_.append("--trees" if given.trees else "--no-trees")
    return (
        f"`{shlex.join(words_)}`\n(admix {software['admix']}, results version {software['results_version']},"
        f" genome {run.provenance['inputs']['genome_sha256'][:12]})"
    )


def screen(run: Run) -> str:
    """What the run printed."""
    return f"```text\n{screen_table(run.summary).rstrip()}\n\n{answer(run.summary).rstrip()}\n```"


def example(name: str) -> Callable[[Run], str]:
    """First lines of a table."""

    def lines(run: Run) -> str:
        rows = (run.path / name).read_text(encoding="utf-8").splitlines()
        return "\n".join(["```text", *rows[: 1 + EXAMPLE_ROWS], "```"])

    return lines


BLOCKS: Mapping[str, Callable[[Run], str]] = {
    "answer": three_sentences,
    "trajectory": trajectory,
    "ancestors": ancestors,
    "fitness": fitness,
    "run": how,
    "screen": screen,
    **{name: example(name) for name in SCHEMA},
}


if __name__ == "__main__":
    main()
