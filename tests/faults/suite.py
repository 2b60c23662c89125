# SPDX-License-Identifier: GPL-3.0-or-later
"""The long fault suite; each part goes on where it was stopped, and its outcome is put down in docs/verification.

    python tests/faults/suite.py kills|sweep-kills|inputs|stores|soak|page [--count N] [--seed S] [--folder DIR]

Every case is one line of FOLDER/PART.jsonl; ``page`` puts the counts into docs/verification/faults.md.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE.parent), str(HERE)]

import corrupter  # noqa: E402
import processes  # noqa: E402
import small  # noqa: E402

from admix import results  # noqa: E402
from admix.scenario_yaml import write  # noqa: E402

PAGE = ROOT / "docs" / "verification" / "faults.md"
PARTS = {
    "kills": ("`kill -9` at random moments of a run (two branches, trees)", 50),
    "sweep-kills": ("`kill -9` at random moments of a sweep (8 points, 2 processes)", 50),
    "inputs": ("corrupted inputs", 0),
    "stores": ("damaged, truncated and swapped cache entries, checkpoints and finished branches", 60),
    "soak": ("random scenarios, native engine", 200),
    "soak-slim": ("random scenarios, SLiM on the native history", 20),
}
BEGIN, END = "<!-- suite -->", "<!-- /suite -->"


class Log:
    """Outcomes of a part, one JSON line each."""

    def __init__(self, folder, part):
        self.file = folder / f"{part}.jsonl"
        self.lines = [json.loads(x) for x in self.file.read_text().splitlines()] if self.file.is_file() else []

    def add(self, **outcome):
        self.lines.append(outcome | {"date": time.strftime("%Y-%m-%d")})
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")
        print(json.dumps(self.lines[-1]), flush=True)


def kills(folder, log, count, seed):
    file = folder / "several.yaml"
    file.write_text(write(small.tree(**processes.SEVERAL)), encoding="utf-8")

    def words(place):
        return ["run", "--scenario", file, "--out", place / "out", "--cache-dir", place / "cache", "--threads", 1, "-q"]

    def look(place):
        assert results.validate_run(place / "out") == []
        assert sorted(p.name for p in place.iterdir()) == ["cache", "out"], list(place.iterdir())
        assert not [p.name for p in (place / "cache").iterdir() if p.name.endswith(".checkpoint")]
        return processes.tables(place / "out")

    _kills(folder, log, count, seed, words, look, 0.02)


def sweep_kills(folder, log, count, seed):
    scenario = folder / "small.yaml"
    scenario.write_text(write(small.tree()), encoding="utf-8")
    grid = {
        "name": "kills", "scenario": str(scenario), "seed": 1, "burnins": 2, "replicates": 2, "generations": 12,
        "parameters": [{"name": "share", "field": "pulse[0].share", "values": [0.1, 0.3]}],
    }  # fmt: skip
    file = folder / "grid.yaml"
    file.write_text(write(grid), encoding="utf-8")

    def words(place):
        return ["sweep", "run", file, "-o", place / "out", "--cache-dir", place / "cache", "-j", 2, "-q"]

    def look(place):
        from admix.sweep import plan
        from admix.sweep.store import Store

        made = plan.read(place / "out")
        assert Store(place / "out").finished() == {point.key for point in made.points}
        return {name: (place / "out" / name).read_bytes() for name in ("table.tsv", "trajectories.tsv")}

    _kills(folder, log, count, seed, words, look, 0.0)


def _kills(folder, log, count, seed, words, look, pause):
    left = count - sum(outcome["cases"] for outcome in log.lines)
    while left > 0:
        base = folder / "places"
        shutil.rmtree(base, ignore_errors=True)
        killer = processes.Kills(words, look, base, seed=f"{seed} {left}", every=0.2, pause=pause)
        killer.run(min(left, 10))
        moments = [round(m, 2) for m in killer.moments]
        log.add(cases=killer.kills, wrong=[], finished=killer.finished, moments=moments, whole=round(killer.seconds, 2))
        left -= killer.kills
    shutil.rmtree(folder / "places", ignore_errors=True)


def inputs(folder, log, count, seed):
    place = folder / "inputs"
    place.mkdir(exist_ok=True)
    if not (place / "run" / "manifest.json").is_file():
        file = place / "several.yaml"
        file.write_text(write(small.tree(**processes.SEVERAL)), encoding="utf-8")
        words = [
            "run",
            "--scenario",
            file,
            "--out",
            place / "run",
            "--cache-dir",
            place / "cache",
            "--threads",
            1,
            "-q",
        ]
        assert processes.finish(processes.plain(*words)).returncode == 0
    rounds = count or 5
    line = [sys.executable, str(HERE / "inputs.py"), str(place), str(seed), str(rounds)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    log.add(cases=sum(n for _, _, n in told["counts"]), seed=seed, **told)


def stores(folder, log, count, seed):
    """Damage one stored thing at a time; the same command must then end with the same tables."""
    file = folder / "several.yaml"
    file.write_text(write(small.tree(**processes.SEVERAL)), encoding="utf-8")
    template = folder / "template"

    def words(place):
        return ["run", "--scenario", file, "--out", place / "out", "--cache-dir", place / "cache", "--threads", 1, "-q"]

    if not (template / "expected").is_dir():
        shutil.rmtree(template, ignore_errors=True)
        template.mkdir()
        process = processes.start(processes.admix(*words(template), every=0.05, pause=0.03))
        while not processes.in_second_branch(template):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        whole = folder / "whole"
        done = processes.finish(processes.admix(*words(whole)))
        assert done.returncode == 0, done.stderr
        shutil.move(whole / "out", template / "expected")
    expected = processes.tables(template / "expected")
    for k in range(len(log.lines), count):
        rng = random.Random(f"{seed} {k}")
        place = folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place)
        shutil.rmtree(place / "expected")
        found = sorted(p for p in place.rglob("*") if p.is_file() and p.name in ("arrays.npz", "meta.json", "run.json"))
        target = found[k % len(found)]
        how = rng.choice(["damaged", "truncated", "swapped", "emptied", "removed"])
        content = target.read_bytes()
        if how == "damaged":
            target.write_bytes(corrupter.scramble(content, rng))
        elif how == "truncated":
            target.write_bytes(content[: rng.randrange(len(content))])
        elif how == "emptied":
            target.write_bytes(b"")
        elif how == "removed":
            target.unlink()
        else:
            other = rng.choice([p for p in found if p.name == target.name and p != target] or [target])
            shutil.copy(other, target)
        done = processes.finish(processes.admix(*words(place)))
        wrong = []
        if done.returncode or "Traceback" in done.stderr:
            wrong = [f"{how} {target.relative_to(place)}: {done.stderr[-500:]}"]
        elif processes.tables(place / "out") != expected:
            wrong = [f"{how} {target.relative_to(place)}: other numbers"]
        log.add(cases=1, how=how, what=str(target.relative_to(place)), wrong=wrong)
    shutil.rmtree(folder / "place", ignore_errors=True)


def soak(folder, log, count, seed, engine="native"):
    from soak import live

    # those that went wrong are tried again: the fault may be mended
    log.lines = [outcome for outcome in log.lines if not outcome["wrong"]]
    log.file.write_text("".join(json.dumps(outcome) + "\n" for outcome in log.lines), encoding="utf-8")
    done = {outcome["number"] for outcome in log.lines}
    for number in sorted(set(range(1, count + 1)) - done):
        began = time.monotonic()
        outcome = live(number, folder / "soak", engine=engine, slim_path=os.environ.get("SLIM"))
        good = outcome == "ok" or outcome.startswith("refused: ")
        took = round(time.monotonic() - began, 1)
        log.add(cases=1, number=number, outcome=outcome[:1000], wrong=[] if good else [outcome], seconds=took)


def page(folder):
    """Write the counts of every part into the page."""
    lines = ["| part | cases | as they must be | remarks | date |", "|---|---|---|---|---|"]
    for part, (title, _) in PARTS.items():
        found = Log(folder, part).lines
        if not found:
            continue
        cases = sum(outcome["cases"] for outcome in found)
        wrong = sum(len(outcome["wrong"]) for outcome in found)
        more = ""
        if part == "inputs":
            last = found[-1]
            cases, wrong = last["cases"], len(last["wrong"])
            free = sum(n for kind, _, n in last["counts"] if "random" in kind)
            more = f"{cases - free} wrong by construction, {free} with random bytes (no crash is asked of them);"
            more += f" slowest {last['slowest_seconds'][0]:.1f} s of processor time;"
            more += f" memory {last['memory_bytes'] / 1e6:.0f} MB"
        elif part.startswith("soak"):
            refused = sum(outcome["outcome"].startswith("refused") for outcome in found)
            more = f"{refused} refused in one line, the others run, inspected" + (
                " and resumed" if part == "soak" else ""
            )
        elif "kills" in part:
            more = f"{sum(outcome['finished'] for outcome in found)} finished in between, byte for byte"
        lines.append(f"| {title} | {cases} | {cases - wrong} | {more} | {found[-1]['date']} |")
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after, encoding="utf-8")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "page"])
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("faults"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.part == "page":
        page(given.folder)
        return
    log = Log(given.folder, given.part)
    count = given.count if given.count is not None else PARTS[given.part][1]
    work = {
        "kills": kills, "sweep-kills": sweep_kills, "inputs": inputs, "stores": stores, "soak": soak,
        "soak-slim": lambda *words: soak(*words, engine="slim"),
    }[given.part]  # fmt: skip
    folder = given.folder / given.part
    folder.mkdir(exist_ok=True)
    work(folder, log, count, given.seed)
    if any(outcome["wrong"] for outcome in log.lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
