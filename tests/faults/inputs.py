# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed corrupted inputs to the command line, in one process with a limit of memory, and judge every answer.

``python inputs.py FOLDER SEED ROUNDS`` prints one JSON object.
"""

import contextlib
import io
import json
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import corrupter  # noqa: E402
import small  # noqa: E402

SECONDS, ASLEEP = 5.0, 120.0
"""Processor time that an answer may take, so that a busy machine changes nothing; and time altogether."""
SMALL_GENOME = {
    "map": "Chromosome\tPosition(bp)\tMap(cM)\n"
    + "".join(f"{c}\t{p}\t{p / 1e6 * 1.1:.6f}\n" for c in "ab" for p in range(1, 2_000_001, 100_000)),
    "bed": "".join(f"{c}\t{p}\t{p + 900}\n" for c in "ab" for p in range(1000, 1_900_000, 50_000)),
    "sizes": "a\t2000000\nb\t2000000\n",
}
GENOME_BLOCK = {
    "source": "files", "map": "map.txt", "map_format": "hapmap", "elements": "elements.bed",
    "elements_format": "bed", "chromosome_lengths": "sizes.txt",
}  # fmt: skip
FILES = {"map": "map.txt", "bed": "elements.bed", "sizes": "sizes.txt"}


def _hang(number, frame):
    raise TimeoutError(f"more than {SECONDS} s")


def limit(seconds):
    """Begin or (with 0) end the time that an answer may take."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, ASLEEP if seconds else 0)


class Judge:
    """Calls the command line and puts down what was wrong with its answers."""

    def __init__(self):
        from admix.cli import app
        from admix.cli_process import execute

        self.call = lambda words: execute(app, words)
        self.counts, self.wrong = Counter(), []
        self.slowest = (0.0, "")
        signal.signal(signal.SIGALRM, _hang)
        signal.signal(signal.SIGPROF, _hang)

    def ask(self, kind, words, *, refused=True):
        """Refused (or, if that is allowed, accepted) in one line, soon."""
        out, err = io.StringIO(), io.StringIO()
        began = time.process_time()
        limit(SECONDS)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = self.call([str(w) for w in words])
        except BaseException as error:  # nothing at all may come through
            code, told = None, f"{type(error).__name__}: {error}"
            err.write(told)
        finally:
            limit(0)
        self.slowest = max(self.slowest, (time.process_time() - began, kind))
        line = err.getvalue()
        good = code in (1, 2) and line.count("\n") == 1 and line.startswith("admix: ")
        good = good and "admix: unexpected" not in line and "Traceback" not in line and len(line) < 1500
        if not refused:
            good = good or code == 0
        self.counts[kind.split(":")[0], "accepted" if code == 0 else "refused"] += 1
        if not good:
            self.wrong.append(f"{kind}: code {code}: {line[:300]!r}")
        return line


def scenarios(judge, folder, rng, rounds):
    good = small.tree()
    file = folder / "s.yaml"
    words = ["run", "--scenario", file, "--dry-run"]
    for name, change in corrupter.SCENARIOS.items():
        for _ in range(rounds):
            made = change(good, rng)
            file.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass"))
            accepted = len(judge.wrong)
            judge.ask(f"YAML: {name}", words)
            if len(judge.wrong) > accepted:
                judge.wrong[-1] += f", from {made[:3000]!r}"
    for _ in range(4 * rounds):
        file.write_bytes(corrupter.scramble(corrupter.dump(good).encode(), rng))
        judge.ask("YAML, random bytes", ["run", "--scenario", file, "--dry-run", "--generations", "0"], refused=False)


def write_genome(folder):
    for name, file in FILES.items():
        (folder / file).write_text(SMALL_GENOME[name], encoding="utf-8")
    (folder / "g.yaml").write_text(corrupter.dump(small.tree(genome=GENOME_BLOCK)), encoding="utf-8")


def genomes(judge, folder, rng, rounds):
    words = ["run", "--scenario", folder / "g.yaml", "--dry-run", "--generations", "100000"]
    kinds = {"map": corrupter.MAPS, "bed": corrupter.ELEMENTS, "sizes": corrupter.LENGTHS}
    write_genome(folder)
    # the good files come as far as the number of generations, which is wrong
    line = judge.ask("good files", words)
    if "--generations" not in line:
        judge.wrong.append(f"the good files are not accepted: {line}")
    for which, changes in kinds.items():
        file = folder / FILES[which]
        for name, change in changes.items():
            for _ in range(rounds):
                made = change(SMALL_GENOME[which], rng)
                file.write_bytes(made if isinstance(made, bytes) else made.encode())
                line = judge.ask(f"{which}: {name}", words)
                if "--generations" in line:
                    judge.wrong.append(f"{which}: {name}: accepted: {made[:200]!r}")
        for _ in range(4 * rounds):
            file.write_bytes(corrupter.scramble(SMALL_GENOME[which].encode(), rng))
            judge.ask(f"{which}, random bytes", words, refused=False)
        write_genome(folder)


def runs(judge, folder, rng, rounds):
    """Any byte of a sealed file; a manifest; packed trees."""
    run = folder / "run"
    judge_words = ["check", run, "--no-replay"]
    names = sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file())
    names = [n for n in names if not n.startswith("figures/")]
    for k in range(8 * rounds):
        name = names[k % len(names)]
        file = run / name
        kept = file.read_bytes()
        made = corrupter.scramble(kept, rng)
        if made != kept:
            file.write_bytes(made)
            reads = ["check", "--no-replay", run] if k % 2 else ["plot", run, "-o", folder / "pictures"]
            if name.startswith("trees/"):
                reads = ["stats", run] if k % 4 == 0 else ["check", "--no-replay", run]
            check_run(judge, name, judge_words if k % 2 else reads)
            file.write_bytes(kept)


def check_run(judge, name, words):
    """`check` tells of damage on standard output and ends with 1; other commands in one line."""
    if words[0] != "check":
        judge.ask(f"run directory: {name}", words, refused=False)
        return
    out, err = io.StringIO(), io.StringIO()
    limit(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = judge.call([str(w) for w in words])
    except BaseException as error:
        code = None
        err.write(repr(error))
    finally:
        limit(0)
    same = name == "manifest.json" and code == 0  # white space, or a key that nobody reads
    told = err.getvalue()
    good = code == 1 and "bad " in out.getvalue() and not told
    good = good or (code in (1, 2) and told.count("\n") == 1 and "admix: unexpected" not in told)
    judge.counts["run directory", "accepted" if code == 0 else "refused"] += 1
    if not (good or same):
        judge.wrong.append(f"check, {name}: code {code}: {out.getvalue()[-300:]!r} {told[:300]!r}")


def main():
    folder, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    import matplotlib

    matplotlib.use("Agg")
    import admix.genome
    import admix.run_plan
    import admix.simulate  # noqa: F401  imports count for no input

    rng = random.Random(seed)
    judge = Judge()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scenarios(judge, folder, rng, rounds)
    genomes(judge, folder, rng, rounds)
    if (folder / "run").is_dir():
        runs(judge, folder, rng, rounds)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    counts = [[kind, verdict, n] for (kind, verdict), n in sorted(judge.counts.items())]
    print(
        json.dumps(
            {
                "counts": counts, "wrong": judge.wrong, "slowest_seconds": judge.slowest,
                "memory_bytes": after * 1024, "memory_before_bytes": before * 1024,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
