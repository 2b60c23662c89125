# SPDX-License-Identifier: GPL-3.0-or-later
"""Two branches at a time: the same numbers, nothing lost when one is stopped or fails."""

import os
import signal
import threading
import time

import pytest
import small

from admix import results, run_pages, run_plan, simulate
from admix.engines.native.branch import Branch
from admix.errors import InvariantError, RunError
from admix.interrupts import deferred
from admix.native_branches import _Together
from admix.simulate import RunOptions


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(run_plan, "SIDE_BY_SIDE_FROM", 0)
    monkeypatch.setattr(run_pages, "make", lambda path: None)


BRANCHES = [{"name": "a"}, {"name": "b", "set": {"pulse[0].share": 0.3}}, {"name": "c"}]


def run(place, threads, **changes):
    options = RunOptions(**({"out": place / "out", "cache_dir": place / "cache", "threads": threads} | changes))
    return simulate.run(small.scenario(branches=BRANCHES), options)


def tables(path):
    return {name: (path / name).read_bytes() for name in results.SCHEMA}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        return tables(run(tmp_path_factory.mktemp("expected"), 1, replicates=3, burnins=2, twin="neutral"))


@pytest.fixture
def lanes(monkeypatch):
    """How many branches were under way at once, at most."""
    most, now, lock, play = [0], [0], threading.Lock(), Branch.run

    def counted(self, *given):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        try:
            return play(self, *given)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(Branch, "run", counted)
    return most


@pytest.mark.parametrize("threads", [2, 3])
def test_the_numbers_are_those_of_one_after_the_other(threads, lanes, expected, tmp_path):
    path = run(tmp_path, threads, replicates=3, burnins=2, twin="neutral")
    assert lanes == [2]
    assert tables(path) == expected and results.validate_run(path) == []


def test_one_thread_or_a_small_population_is_one_after_the_other(lanes, monkeypatch, tmp_path):
    run(tmp_path / "one", 1)
    monkeypatch.setattr(run_plan, "SIDE_BY_SIDE_FROM", 2_000)
    run(tmp_path / "two", 2)
    assert lanes == [1]


def test_memory_counts_both_and_is_not_overdrawn(monkeypatch, tmp_path):
    options = RunOptions(out=tmp_path, threads=2)
    plan = run_plan.resolve(small.scenario(branches=BRANCHES), options)
    alone = run_plan.resolve(small.scenario(), options)
    both, one = (run_plan.memory_bytes(p) - run_plan.BASE_BYTES for p in (plan, alone))
    assert both == pytest.approx(2 * one)
    monkeypatch.setattr(run_plan, "BASE_BYTES", 1e15)
    assert run_plan.side_by_side(plan) == 1


def interrupting(number, at):
    """A `Branch.run` that sends this process a signal in its first report at or beyond a share."""
    play, sent = Branch.run, []

    def patched(self, lineages, report, *given):
        def told(done, note):
            report(done, note)
            # both lanes have begun by then; each tick waits for the signal to arrive
            if done >= at and not sent:
                sent.append(self.plan.branch)
                os.kill(os.getpid(), number)
            time.sleep(0.01)

        return play(self, lineages, told, *given)

    return patched


def test_an_interrupt_saves_both_and_the_run_goes_on(monkeypatch, expected, tmp_path):
    given = {"replicates": 3, "burnins": 2, "twin": "neutral"}
    with monkeypatch.context() as patch:
        patch.setattr(Branch, "run", interrupting(signal.SIGINT, 0.5))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, 2, **given)
    kept = list((tmp_path / ".out.unfinished" / "parts").glob("*.checkpoint"))
    assert len(kept) == 2 and not (tmp_path / "out").exists()
    path = run(tmp_path, 2, **given)
    assert tables(path) == expected and not (tmp_path / ".out.unfinished").exists()


def test_a_fault_in_one_stops_the_other_and_what_that_has_done_is_kept(monkeypatch, tmp_path):
    play = Branch.run

    def broken(self, lineages, report, *given):
        def told(done, note):
            report(done, note)
            time.sleep(0.01)
            if self.plan.branch == "b" and done > 0.4:
                raise InvariantError("fitness is finite", "modern, tick 70", "it is not", {})

        return play(self, lineages, told, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Branch, "run", broken)
        with pytest.raises(RunError, match="modern, tick 70"):
            run(tmp_path, 2)
    assert len(list((tmp_path / ".out.unfinished" / "parts").glob("*.checkpoint"))) == 1
    assert (tmp_path / "out.fault.json").exists() and not (tmp_path / "out").exists()


def test_signals_reach_every_share():
    with deferred() as pending:
        first, second = pending.share(), pending.share()
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)
        assert first.save and second.save and pending.save
        first.save = False
        assert second.save and first.signal is second.signal is None
    with pytest.raises(KeyboardInterrupt), deferred() as pending:
        first = pending.share()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert first.signal == pending.share().signal == signal.SIGINT


def test_progress_of_two_is_told_as_one_after_the_other():
    told = []

    class Display:
        def __getattr__(self, name):
            return lambda *given: told.append((name, *given[:2]))

    together = _Together(Display(), ["a", "b"])
    first, second = together.lane(0), together.lane(1)
    first(0.5, "")
    second(0.25, "")
    second(0.75, "")
    first(1.0, "")
    second(1.0, "")
    together.done()
    assert [t for t in told if t[0] != "update"] == [("start", "a"), ("done", "a"), ("start", "b"), ("done", "b")]
    assert told[1:3] == [("update", "a", 0.5), ("update", "a", 0.75)]
    assert ("update", "b", 0.25) in told and told[-2][2] == pytest.approx(1, abs=1e-6)
