# SPDX-License-Identifier: GPL-3.0-or-later
"""The first of the random scenarios; all 200 are a command: see suite.py."""

import pytest
import soak


@pytest.mark.parametrize("number", [1, 2, 3])
def test_random_scenarios(number, tmp_path):
    outcome = soak.live(number, tmp_path / "soak")
    assert outcome == "ok" or outcome.startswith("refused: ")


def test_scenarios_are_always_the_same():
    assert soak.drawn(5) == soak.drawn(5) != soak.drawn(6)
