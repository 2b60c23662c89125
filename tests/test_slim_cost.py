# SPDX-License-Identifier: GPL-3.0-or-later
"""The estimate for SLiM: its rates give back the measurements that they were fitted to."""

import pytest

from admix import slim_run
from admix.engines.slim import cost, program
from admix.run_plan import RunOptions
from admix.scenario import load

SLIM = program.find()
MEASURED = [
    # people, Morgans, mutations a haplotype, markers, trees, milliseconds a tick (processor time)
    (500, 2.4516, 160.9, 0, False, 5.76),
    (500, 2.4516, 160.9, 1308, False, 9.14),
    (500, 2.4516, 160.9, 1308, True, 15.0),
    (2000, 2.4516, 427.3, 0, False, 51.3),
    (500, 35.458, 542.0, 0, False, 46.9),
    (500, 35.458, 542.0, 27006, False, 94.9),
    (2000, 35.458, 1641.2, 0, False, 314.0),
    (2000, 35.458, 1641.2, 27006, False, 521.5),
    (2000, 35.458, 1641.2, 27006, True, 790.4),
]


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row[0]} {row[1]:.0f} {row[3]} {row[4]}")
def test_rates_give_back_what_was_measured(row):
    n, morgans, mutations, markers, trees, milliseconds = row
    assert 1000 * cost.tick_seconds(n, morgans, mutations, markers, trees=trees) == pytest.approx(
        milliseconds, rel=0.25
    )


@pytest.mark.slim
@pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH, in $SLIM or named otherwise")
def test_an_estimate_grows_with_what_is_to_be_done(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "machine_factor", lambda slim: 1.0)

    def seconds(**options):
        told = RunOptions(out=tmp_path / "run", engine="slim", cache_dir=tmp_path / "cache", **options)
        found = slim_run.estimate(load("tiny"), told)
        return found.seconds_first, found.seconds_cached

    plain = seconds(trees=False)
    assert plain[0] > plain[1] > seconds(trees=False, generations=20)[1]
    assert seconds(trees=False, replicates=3)[1] > 2 * (plain[1] - 8)
    assert seconds()[1] > plain[1] and seconds(history="native", trees=False)[1] == pytest.approx(plain[1])
    assert not (tmp_path / "run").exists()


@pytest.mark.slim
@pytest.mark.skipif(SLIM is None, reason="the program slim is not on the PATH, in $SLIM or named otherwise")
def test_the_pilot_measures_this_machine():
    assert 0.2 <= cost.machine_factor(str(SLIM)) <= 10
