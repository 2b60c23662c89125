# SPDX-License-Identifier: GPL-3.0-or-later
"""The estimate of what a run costs: sane numbers, and nothing written."""

from pathlib import Path

import pytest
import small

from admix import cost, scenario, simulate
from admix.simulate import RunOptions

LOAD = cost.Load(morgans=35.0, common=30_000, rare=200, markers=26_000)


def test_more_work_takes_longer():
    base = cost.tick_seconds(10_000, LOAD, 1)
    assert 0.03 < base < 1.0
    assert cost.tick_seconds(20_000, LOAD, 1) > 1.9 * base
    assert cost.tick_seconds(10_000, LOAD, 1, planes=2) > base
    assert base / 2 < cost.tick_seconds(10_000, LOAD, 2) < base
    assert cost.tick_seconds(2, cost.Load(morgans=0, common=0, rare=0, markers=0), 64) > 0
    for more in ({"common": 60_000}, {"rare": 400}, {"morgans": 70.0}):
        values = {"morgans": 35.0, "common": 30_000, "rare": 200, "markers": 26_000} | more
        assert cost.tick_seconds(10_000, cost.Load(**values), 1) > base


def test_memory_of_the_real_genome_fits_the_promise():
    assert 5e7 < cost.state_bytes(10_000, LOAD, 1) < 4e9
    assert cost.state_bytes(10_000, LOAD, 2) > cost.state_bytes(10_000, LOAD, 1)


def options(tmp_path, **changes):
    return RunOptions(**({"out": tmp_path / "out", "cache_dir": tmp_path / "cache", "threads": 1} | changes))


@pytest.mark.parametrize("name", ["tiny", "reich"])
def test_estimates_of_the_catalogue(tmp_path, name):
    found = simulate.estimate(scenario.load(name), options(tmp_path))
    assert not list(tmp_path.iterdir())
    assert 0 < found.seconds_cached < found.seconds_first < 1e6
    assert 1e8 < found.memory_bytes < 4e9
    assert found.disk_bytes > 0
    assert all(seconds > 0 for _, seconds in found.stages)
    assert len({label for label, _ in found.stages}) == len(found.stages)


def test_stages_are_all_that_will_be_done(tmp_path):
    chosen = small.scenario(branches=[{"name": "a"}, {"name": "b", "set": {"pulse.share": 0.1}}])
    found = simulate.estimate(chosen, options(tmp_path, replicates=3, burnins=2, twin="neutral"))
    labels = [label for label, _ in found.stages]
    history = {f"{stage}, burn-in {k}" for stage in ("ancestor", "modern", "archaic") for k in (0, 1)}
    runs = {f"branch {b}, replicate {r}{t}" for b in "ab" for r in range(3) for t in ("", ", neutral twin")}
    assert set(labels) == history | runs
    one = simulate.estimate(chosen, options(tmp_path))
    assert one.seconds_first < found.seconds_first
    short = simulate.estimate(chosen, options(tmp_path, generations=5))
    assert short.seconds_cached < one.seconds_cached


def test_stages_in_the_cache_are_not_counted(tmp_path, monkeypatch):
    from admix import run_pages

    monkeypatch.setattr(run_pages, "make", lambda path: None)
    simulate.run(small.scenario(), options(tmp_path))
    found = simulate.estimate(small.scenario(), options(tmp_path, out=tmp_path / "again"))
    assert [label for label, _ in found.stages] == ["branch main"]
    assert not Path(tmp_path / "again").exists()
