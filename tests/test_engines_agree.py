# SPDX-License-Identifier: GPL-3.0-or-later
"""The native engine and the coalescent engine on one neutral scenario, by the functions of the verification script.

Its full size is in docs/verification/coalescent.md; here few people of a small population, many times.
"""

import sys
from importlib import import_module
from pathlib import Path

import chance
import pandas as pd
import pytest
import small

RUNS = 24
FOLDER = Path(__file__).parents[1] / "sims" / "verification"
N, T, SHARE = 100, 40, 0.3


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        # both have names that other modules could have
        for name in ("neutral", "coalescent"):
            patch.delitem(sys.modules, name, raising=False)
        yield import_module("coalescent")
        for name in ("neutral", "coalescent"):
            sys.modules.pop(name, None)


def chosen(time):
    demography = small.demes(
        ("ancestral", (), [(300, N)]), ("modern", ("ancestral",), [(0, N)]), ("archaic", ("ancestral",), [(time, 40)])
    )
    pulse = {"name": "p", "source": "archaic", "target": "modern", "time": time, "share": SHARE}
    return small.scenario(
        demography=demography,
        pulse=[pulse | {"unit": "gametes", "mode": "binomial"}],
        selection=small.TREE["selection"] | {"mutation_rate": 0},
        sampling={"individuals": [{"deme": "modern", "time": 0, "n": 4}]},
    )


def rows(script, engine, rate):
    return pd.DataFrame([script.measured(engine.run(seed), engine.genome, rate) for seed in range(1, RUNS + 1)])


def test_tracts_and_individual_ancestry_agree(script):
    """At a false-alarm rate of 1e-6; a pulse of twice the age is refused (rates differ by 60 %)."""
    rate = script.expected_rate(chosen(T))
    native = rows(script, script.Native(chosen(T), threads=1), rate)
    table, p = script.compared(native, rows(script, script.Coalescent(chosen(T)), rate))
    assert p > chance.FALSE_ALARM, table
    assert len(table) == len(script.STATISTICS)
    _, p = script.compared(native, rows(script, script.Coalescent(chosen(2 * T)), rate))
    assert p < chance.FALSE_ALARM


def test_the_comparison_sees_every_statistic(script):
    native = pd.DataFrame({name: [1.0, 2.0, 3.0] * 10 for name in script.STATISTICS})
    assert script.compared(native, native)[1] == 1
    for name in script.STATISTICS:
        assert script.compared(native, native.assign(**{name: native[name] + 2}))[1] < script.FALSE_ALARM


def test_finished_runs_are_not_made_again(script, tmp_path):
    kept = tmp_path / "coalescent.tsv"
    row = {"case": "native", "seed": 3, "versions": script.VERSIONS} | dict.fromkeys(script.STATISTICS, 0.25)
    script.write(kept, row)
    script.write(kept, row | {"seed": 4, "versions": "0.0"})
    with kept.open("a") as file:
        file.write("native\t5\t" + script.VERSIONS + "\t0.2")
    assert script.done(kept) == {("native", 3): {k: v for k, v in row.items() if k != "versions"}}
