# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes of admix that save their state all the time, and what they must leave behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from admix import results

SEVERAL = {
    "branches": [
        {"name": "p20", "set": {}},
        {"name": "p40", "set": {"pulse[0].share": 0.4}},
    ],
    "sampling": {
        "ancestors_at": [40], "landscape_generations": [2], "spread_generations": [2], "trees": True,
        "individuals": [{"deme": "modern", "time": 0, "n": 3}],
    },
}  # fmt: skip
"""Changes of small.TREE: two branches with trees."""

# What the processes do besides `admix ...`: checkpoints every so many seconds, ticks that take a moment, no pictures.
CHILD = """
import sys, time
from admix import run_pages
from admix.engines.native import history
from admix.engines.native.world import World
history.CHECKPOINT_SECONDS, pause = float(sys.argv.pop(1)), float(sys.argv.pop(1))
run_pages.make = lambda path: None
breed = World.breed
def slowly(self, tick, cohorts):
    time.sleep(pause)
    return breed(self, tick, cohorts)
World.breed = slowly
from admix.cli import main
main()
"""


def admix(*words, every=1e9, pause=0.0):
    """The words of a command that runs admix."""
    return [sys.executable, "-c", CHILD, str(every), str(pause), *map(str, words)]


def plain(*words):
    """The words of admix as it is."""
    return [sys.executable, "-m", "admix", *map(str, words)]


def finish(words, *, timeout=300, **how):
    """Run a command to its end."""
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, **how)


def start(words, **how):
    """Begin a command, in a group of its own."""
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True, **how
    )


def kill_at(process, seconds, number=signal.SIGKILL):
    """Send a signal after some seconds, unless the process has ended; return whether it was sent."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.kill(process.pid, number)
        process.wait(120)
        return True


def in_second_branch(place):
    """Whether one branch is finished, and the next one has been saved."""
    parts = Path(place) / ".out.unfinished" / "parts"
    names = [p.name for p in parts.iterdir() if not p.name.startswith(".")] if parts.is_dir() else []
    return any(len(name) == 64 for name in names) and any(name.endswith(".checkpoint") for name in names)


def tables(out):
    """Content of the tables of a run directory."""
    return {name: (Path(out) / name).read_bytes() for name in results.SCHEMA}


class Kills:
    """A run (or a sweep) that is killed again and again until it is finished, in one place after another.

    Parameters
    ----------
    words
        ``words(place)`` are the words of the command.
    look
        ``look(place)`` returns what is to be the same, and raises if anything is wrong with what is there.
    base
        Where places are made.
    """

    def __init__(self, words, look, base, *, seed, every=0.2, pause=0.02):
        self.words, self.look, self.base = words, look, Path(base)
        self.rng = random.Random(seed)
        self.how = {"every": every, "pause": pause}
        self.kills = self.finished = 0
        self.moments = []
        self.before = None

    def expected(self):
        """What an uninterrupted command makes, and how long it takes."""
        place = self.base / "whole"
        place.mkdir(parents=True)
        began = time.monotonic()
        done = finish(admix(*self.words(place), **self.how))
        assert done.returncode == 0, done.stderr
        self.seconds = time.monotonic() - began
        self.before = self.look(place)

    def run(self, count, patience=8):
        """Kill so many times; whatever is finished in between must be as expected."""
        self.expected()
        k = 0
        while self.kills < count:
            place = self.base / f"place{k}"
            place.mkdir()
            k += 1
            for attempt in range(patience + 1):
                process = start(admix(*self.words(place), **self.how))
                moment = self.rng.uniform(0.1, self.seconds)
                # in the end it has to be left alone
                ended = attempt == patience or self.kills >= count or not kill_at(process, moment)
                if not ended:
                    self.kills += 1
                    self.moments.append(moment)
                    process.stderr.close()
                    continue
                process.wait(300)
                told = process.stderr.read()
                process.stderr.close()
                assert process.returncode == 0, told
                assert "Traceback" not in told, told
                break
            assert self.look(place) == self.before, place
            self.finished += 1
            shutil.rmtree(place)
        return self
