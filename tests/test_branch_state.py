# SPDX-License-Identifier: GPL-3.0-or-later
"""A branch that a signal stops goes on in another process to the same bits."""

import os
import signal

import numpy as np
import pytest
import small
from test_branch import DEMES, PULSES, plan, told

from admix.cache import Cache
from admix.engines.native import branch as branch_module
from admix.engines.native.branch import Branch


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """Two sources, pulses as individuals, gametes and F1, two recipients that exchange migrants."""
    block = small.start_times(
        small.demes(*DEMES, migrations=[("modern", "east", 0.1, 22, 0), ("east", "modern", 0.05, 22, 0)]), east=24
    )
    return small.Parts(small.scenario(demography=block, pulse=PULSES), tmp_path_factory.mktemp("cache"))


class Kept:
    """A state in a cache."""

    def __init__(self, cache):
        self.cache = cache

    def load(self):
        found = self.cache.load("ab", checkpoint=True)
        return None if found is None else found[0]

    def save(self, arrays, title):
        self.cache.save("ab", arrays, {"title": title}, checkpoint=True)


def in_pieces(parts, cache, stops, **changes):
    """Run a branch that gets SIGINT in each of some ticks; return the last piece and what it recorded."""
    stops, pieces = set(stops), 0
    while True:
        branch = Branch(parts.schedule, parts.tables, parts.workers, plan(parts, **changes))
        breed = branch.world.breed

        def stopped(tick, cohorts, breed=breed):
            if tick in stops:
                stops.remove(tick)
                os.kill(os.getpid(), signal.SIGINT)
            return breed(tick, cohorts)

        branch.world.breed = stopped
        pieces += 1
        try:
            records = branch.run(parts.lineages(), lambda done, note: None, Kept(cache))
        except KeyboardInterrupt:
            continue
        return branch, told(records), pieces


def whole(branch, records):
    """All that a run directory and its trees are made from, as bytes."""
    arrays = branch.packed_pedigree() | {f"m{t}_{d}": marks for (t, d), marks in branch.sampled_marks.items()}
    return records, {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}


@pytest.mark.parametrize("twin", ["none", "neutral"])
def test_it_goes_on_to_the_same_bits(rich, tmp_path, twin):
    first, today = rich.schedule.first_pulse_tick(), rich.schedule.today
    samples = {tick: {rich.schedule.deme_names.index("east"): np.array([1, 4])} for tick in (today - 5, today)}
    more = {"twin": twin, "samples": samples, "landscape_generations": (2, 20)}
    straight = whole(*in_pieces(rich, Cache(tmp_path / "a"), [], **more)[:2])
    branch, records, pieces = in_pieces(rich, Cache(tmp_path / "b"), range(first, today + 1), **more)
    assert pieces == today - first + 2
    assert whole(branch, records) == straight
    # a state of another seed would not have given that
    assert whole(*in_pieces(rich, Cache(tmp_path / "c"), [], seed=2, **more)[:2]) != straight


def test_a_signal_while_ancestors_are_counted(rich, tmp_path, monkeypatch):
    straight = whole(*in_pieces(rich, Cache(tmp_path / "a"), [])[:2])
    rows = branch_module.Ancestors.rows
    calls = []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return rows(self)

    monkeypatch.setattr(branch_module.Ancestors, "rows", interrupted)
    branch, records, pieces = in_pieces(rich, Cache(tmp_path / "b"), [])
    assert (pieces, len(calls)) == (2, 2) and whole(branch, records) == straight
