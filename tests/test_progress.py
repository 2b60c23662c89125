# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress lines: when they come, what they say, and whether the time left is true."""

from __future__ import annotations

import io
import itertools
import re
import time

import pytest

from admix.progress import Progress, duration


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Recorder(io.StringIO):
    """A stream that notes at what time each line was written."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.lines: list[tuple[float, str]] = []

    def write(self, text: str) -> int:
        self.lines.append((self.clock.now - 1000.0, text.rstrip("\n")))
        return super().write(text)


def make(plan: list[tuple[str, float]]) -> tuple[Progress, Recorder, Clock]:
    clock = Clock()
    stream = Recorder(clock)
    progress = Progress(stream, clock=clock, heartbeat=False)
    progress.plan(plan)
    return progress, stream, clock


def work(
    progress: Progress, clock: Clock, name: str, seconds: float, steps: int, note: str = ""
) -> list[tuple[float, float]]:
    """Do a stage in equal steps; return (time, seconds left) after each."""
    told = []
    progress.start(name)
    for k in range(1, steps + 1):
        clock.now += seconds / steps
        progress.update(name, k / steps, note)
        told.append((clock.now, progress.seconds_left))
    progress.done(name)
    return told


def percents(stream: Recorder) -> list[int]:
    return [int(line.split("%")[0]) for _, line in stream.lines]


def seconds_of(line: str) -> int:
    """Read the time left back from a line."""
    match = re.search(r"(?:(\d+) h )?(?:(\d+) min )?(?:(\d+) s )?left$", line)
    assert match is not None, line
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def test_the_line_has_the_form_that_was_promised() -> None:
    progress, stream, clock = make([("archaic lineage", 200.0), ("branches", 40.0)])
    progress.start("archaic lineage")
    clock.now += 24.0
    progress.update("archaic lineage", 0.12, "tick 2,150 of 17,964")
    assert stream.getvalue() == "10%  archaic lineage, tick 2,150 of 17,964, 3 min 36 s left\n"


def test_first_line_after_five_seconds_and_then_no_gap_above_fifteen() -> None:
    progress, stream, clock = make([("a", 500.0), ("b", 500.0)])
    work(progress, clock, "a", 500.0, 1000)
    work(progress, clock, "b", 500.0, 1000)
    progress.close()
    times = [when for when, _ in stream.lines]
    assert times[0] == 5.0
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) <= 15.0
    assert len(times) == pytest.approx(1000 / 15, abs=4)


def test_a_quick_run_says_nothing() -> None:
    progress, stream, clock = make([("a", 3.0)])
    work(progress, clock, "a", 4.0, 100)
    progress.close()
    assert stream.getvalue() == ""


def test_a_short_run_reports_every_five_per_cent_but_not_each_moment() -> None:
    progress, stream, clock = make([("a", 60.0)])
    work(progress, clock, "a", 60.0, 6000)
    progress.close()
    shown = percents(stream)
    assert shown[0] == 8
    steps = [later - earlier for earlier, later in itertools.pairwise(shown)]
    assert set(steps[:-1]) <= {5, 6}

    progress, stream, clock = make([("a", 10.0)])
    work(progress, clock, "a", 10.0, 1000)
    progress.close()
    times = [when for when, _ in stream.lines]
    assert min(later - earlier for earlier, later in itertools.pairwise(times[:-1])) >= 1.0


def test_percentages_never_go_back() -> None:
    progress, stream, clock = make([("a", 10.0), ("b", 10.0), ("c", 10.0)])
    progress.start("a")
    for fraction in (0.2, 0.9, 0.3, 0.1, 0.95):
        clock.now += 16
        progress.update("a", fraction)
    progress.plan([("a", 10.0), ("b", 200.0), ("c", 400.0), ("d", 90.0)])
    work(progress, clock, "b", 160.0, 10)
    work(progress, clock, "c", 160.0, 10)
    work(progress, clock, "d", 160.0, 10)
    progress.close()
    shown = percents(stream)
    assert len(shown) > 20
    assert shown == sorted(shown)
    assert shown[-1] == 100 and shown[-2] < 100


def test_a_hundred_per_cent_is_for_the_end_only() -> None:
    progress, stream, clock = make([("a", 1000.0), ("tables", 0.001)])
    work(progress, clock, "a", 1000.0, 100)
    clock.now += 20
    progress.start("tables")
    assert percents(stream)[-1] == 99
    progress.done("tables")
    progress.close()
    assert stream.lines[-1][1] == "100%  done in 17 min"


def test_an_aborted_run_does_not_claim_to_be_done() -> None:
    progress, stream, clock = make([("a", 100.0), ("b", 100.0)])
    work(progress, clock, "a", 100.0, 10)
    progress.close()
    progress.close()
    assert percents(stream)[-1] <= 50


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 1.0])
def test_time_left_converges_to_the_truth(factor: float) -> None:
    plan = [("a", 100.0), ("b", 300.0), ("c", 200.0)]
    progress, _, clock = make(plan)
    begin = clock.now
    told: list[tuple[float, float]] = []
    for name, seconds in plan:
        told += work(progress, clock, name, seconds * factor, 200)
    end = clock.now
    assert end - begin == pytest.approx(600 * factor)
    for when, left in told:
        through = (when - begin) / (end - begin)
        if through > 0.25:
            assert left == pytest.approx(end - when, rel=0.15, abs=0.01 * (end - begin))
        elif through > 0.1:
            assert left == pytest.approx(end - when, rel=0.4)
    assert progress.seconds_left == 0


def test_the_printed_time_left_is_the_truth_when_the_estimate_was_three_times_too_low() -> None:
    progress, stream, clock = make([("burn-in", 200.0), ("branches", 100.0)])
    work(progress, clock, "burn-in", 600.0, 600)
    work(progress, clock, "branches", 300.0, 300)
    late = [(when, line) for when, line in stream.lines if 300 < when < 880]
    assert len(late) > 20
    for when, line in late:
        assert seconds_of(line) == pytest.approx(900 - when, rel=0.15, abs=10)


def test_a_slow_beginning_is_forgotten() -> None:
    progress, _, clock = make([("ticks", 100.0)])
    progress.start("ticks")
    clock.now += 40  # compilation inside the first tick
    progress.update("ticks", 0.001)
    for k in range(2, 301):
        clock.now += 0.1
        progress.update("ticks", k / 1000)
    assert progress.seconds_left == pytest.approx(70.0, rel=0.1)


def test_a_silent_stage_that_is_overdue_does_not_promise_to_be_over() -> None:
    progress, _, clock = make([("compile", 10.0), ("rest", 100.0)])
    progress.start("compile")
    clock.now += 9.0
    early = progress.seconds_left
    clock.now += 91.0
    late = progress.seconds_left
    assert early == pytest.approx(101.0, abs=1)
    assert late > early + 50


def test_a_tiny_first_stage_does_not_scale_hours() -> None:
    progress, _, clock = make([("check", 0.5), ("burn-in", 7200.0)])
    work(progress, clock, "check", 5.0, 1)
    assert progress.seconds_left == pytest.approx(7200.0, rel=0.05)


def test_a_skipped_stage_counts_as_done_and_teaches_nothing() -> None:
    progress, _, clock = make([("burn-in", 300.0), ("branch", 100.0)])
    progress.done("burn-in")
    assert progress.share == pytest.approx(0.75)
    assert progress.seconds_left == pytest.approx(100.0)
    clock.now += 1
    assert progress.seconds_left == pytest.approx(100.0)


def test_two_stages_of_one_name_are_two_stages() -> None:
    progress, _, clock = make([("replicate", 10.0), ("replicate", 10.0)])
    work(progress, clock, "replicate", 10.0, 2)
    assert progress.share == pytest.approx(0.5)
    work(progress, clock, "replicate", 10.0, 2)
    assert progress.share == 1.0


def test_starting_the_next_stage_finishes_the_one_before() -> None:
    progress, _, clock = make([("a", 10.0), ("b", 30.0)])
    progress.start("a")
    clock.now += 10
    progress.start("b")
    assert progress.share == pytest.approx(0.25)


def test_unplanned_work_is_reported_too() -> None:
    clock = Clock()
    stream = Recorder(clock)
    progress = Progress(stream, clock=clock, heartbeat=False)
    progress.start("surprise")
    clock.now += 20
    progress.update("surprise", 0.5)
    assert stream.getvalue() == "50%  surprise, 20 s left\n"


def test_quiet_writes_nothing() -> None:
    clock = Clock()
    stream = Recorder(clock)
    with Progress(stream, quiet=True, clock=clock) as progress:
        progress.plan([("a", 100.0)])
        work(progress, clock, "a", 100.0, 10)
        progress.say("a message")
    assert stream.getvalue() == ""


def test_say_writes_a_line_at_once() -> None:
    progress, stream, _ = make([("a", 1.0)])
    progress.say("cache entry [damaged], made again")
    assert stream.getvalue() == "cache entry [damaged], made again\n"


def test_default_stream_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(clock=clock, heartbeat=False)
    progress.plan([("a", 100.0)])
    work(progress, clock, "a", 100.0, 10)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "10%  a, 1 min 30 s left\n" in captured.err


def test_the_heartbeat_reports_a_silent_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admix.progress.FIRST_LINE_SECONDS", 0.1)
    monkeypatch.setattr("admix.progress.LINE_SECONDS", 0.2)
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.plan([("compile", 60.0)])
        progress.start("compile")
        deadline = time.monotonic() + 20
        while stream.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    lines = stream.getvalue().splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(" 0%  compile, ") for line in lines)
    after = stream.getvalue()
    time.sleep(0.5)
    assert stream.getvalue() == after


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError()])
def test_a_stream_that_cannot_be_written_does_not_fail_the_run(error: Exception) -> None:
    class Broken(io.StringIO):
        tries = 0

        def write(self, text: str) -> int:
            Broken.tries += 1
            raise error

    clock = Clock()
    progress = Progress(Broken(), clock=clock, heartbeat=False)
    progress.plan([("a", 100.0)])
    work(progress, clock, "a", 100.0, 10)
    progress.close()
    assert Broken.tries == 1
    assert progress.share == 1.0


def test_on_a_terminal_there_is_one_bar_with_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    clock = Clock()
    stream = Terminal()
    progress = Progress(stream, clock=clock, heartbeat=False)
    progress.plan([("a [odd] name", 100.0)])
    progress.start("a [odd] name")
    clock.now += 10
    progress.update("a [odd] name", 0.1, "tick 1")
    assert "10%" in stream.getvalue()
    assert "1 min 30 s left, a [odd] name, tick 1" in re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    progress.say("a line [above]")
    assert "a line [above]" in stream.getvalue()
    assert "\x1b[?25l" in stream.getvalue()  # cursor hidden while the bar lives
    progress.close()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_a_narrow_terminal_keeps_the_time_left_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    clock = Clock()
    stream = Terminal()
    progress = Progress(stream, clock=clock, heartbeat=False)
    progress.plan([("a stage with a rather long name", 1000.0)])
    progress.start("a stage with a rather long name")
    clock.now += 100
    progress.update("a stage with a rather long name", 0.1, "tick 2,150 of 17,964")
    last = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", stream.getvalue().split("\r")[-1])
    assert "15 min left" in last and "\n" not in last and len(last) <= 60
    assert last.count("━") > 20


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for no_color in (False, True):
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        if no_color:
            monkeypatch.setenv("NO_COLOR", "1")
        clock = Clock()
        stream = Terminal()
        progress = Progress(stream, clock=clock, heartbeat=False)
        progress.plan([("a", 100.0)])
        work(progress, clock, "a", 100.0, 10)
        progress.close()
        shown[no_color] = re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", stream.getvalue()) is not None
    assert shown == {False: True, True: False}


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    clock = Clock()
    stream = Terminal()
    progress = Progress(stream, clock=clock, heartbeat=False)
    progress.plan([("a", 100.0)])
    progress.start("a")
    clock.now += 10
    progress.update("a", 0.1)
    assert stream.getvalue() == "10%  a, 1 min 30 s left\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "less than 1 s"),
        (0.9, "less than 1 s"),
        (1.0, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (190.0, "3 min 10 s"),
        (599.9, "10 min"),
        (3569.0, "59 min"),
        (3590.0, "1 h 00 min"),
        (7500.0, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
