# SPDX-License-Identifier: GPL-3.0-or-later
"""The usual rescaling: what it multiplies and divides, what it warns of, and where it is refused."""

import numpy as np
import pytest
import small

from admix import scaling, schedule
from admix.errors import InputError

DEMES = small.demes(
    ("ancestral", (), [(900, 4000)]), ("modern", ("ancestral",), [(0, (4000, 2000))]),
    ("archaic", ("ancestral",), [(300, 1200)]), migrations=[("modern", "archaic", 0.001, 800, 400)],
)  # fmt: skip
PULSE = [{"name": "pulse", "source": "archaic", "target": "modern", "time": 300, "share": 0.2}]


def made(**changes):
    return small.scenario(demography=DEMES, pulse=PULSE, sampling={}, **changes)


def test_everything_is_scaled_but_the_share():
    plain, scaled = made(), scaling.scaled_scenario(made(), 10)
    a, b = (schedule.compile(s) for s in (plain, scaled))
    assert (b.today, b.first_pulse_tick()) == (a.today // 10, a.first_pulse_tick() // 10) == (90, 60)
    assert (b.size(0, 0), b.size(2, 1)) == (400, 120) and b.size(1, b.today) == 200
    assert b.migrations[0].rate == pytest.approx(0.01) and b.pulses[0].share == 0.2
    assert b.years_bp(b.first_pulse_tick()) == 300
    one, ten = plain.build_selection(), scaled.build_selection()
    assert ten.mutation_rate == pytest.approx(10 * one.mutation_rate)
    u = np.linspace(0.01, 0.99, 9)
    assert ten.dfe.costs(u) == pytest.approx(10 * one.dfe.costs(u))
    genome = plain.build_genome()
    assert scaling.scaled_genome(genome, 10).morgans == pytest.approx(10 * genome.morgans)
    # the number of mutations a generation, and N s, are what they were
    assert scaled.start.relax == 2


@pytest.mark.parametrize(
    "dfe",
    [
        {"kind": "lognormal", "mu": -7.0, "sigma": 2.0}, {"kind": "point", "s": -0.001}, {"kind": "neutral"},
        {"kind": "mixture", "components": [{"share": 0.5, "dfe": {"kind": "neutral"}},
                                           {"share": 0.5, "dfe": {"kind": "point", "s": -0.01}}]},
    ],
    ids=lambda dfe: dfe["kind"],
)  # fmt: skip
def test_every_distribution_can_be_scaled(dfe):
    scenario = made(selection=small.TREE["selection"] | {"dfe": dfe})
    u = np.linspace(0.05, 0.95, 7)
    scaled = scaling.scaled_scenario(scenario, 5).build_selection().dfe.costs(u)
    assert scaled == pytest.approx(5 * scenario.build_selection().dfe.costs(u))


@pytest.mark.parametrize(
    "dominance",
    [{"kind": "hs", "h0": 0.5, "k": 1000.0}, {"kind": "classes", "breaks": [0.001, 0.01], "values": [0.5, 0.2, 0.0]}],
    ids=["hs", "classes"],
)
def test_dominance_follows_the_effect(dominance):
    scenario = made(selection=small.TREE["selection"] | {"dominance": dominance})
    scaled = scaling.scaled_scenario(scenario, 5)
    s = -np.array([1e-4, 2e-3, 0.05])
    expected = scenario.build_selection().dominance_of(s)
    assert scaled.build_selection().dominance_of(5 * s) == pytest.approx(expected)


def test_what_becomes_unsafe_is_listed():
    lines = scaling.dangers(scaling.scaled_scenario(made(), 20), 20)
    text = "\n".join(lines)
    assert scaling.REASON in lines[0]
    assert "archaic has 60 people, fewer than 100" in text and "pulse pulse brings" in text
    assert "% of the mutations have -s above 0.3" in text and "crossovers a generation" in text


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(InputError, match="a number of individuals from 2"):
        schedule.compile(scaling.scaled_scenario(small.scenario(), 10))
    with pytest.raises(InputError, match=r"dfe.*mean"):
        scaling.scaled_scenario(made(), 50)


@pytest.mark.parametrize(
    ("text", "engine"), [("2", None), ("2", "native"), ("0.5", "slim"), ("ten", "slim"), ("101", "slim")]
)
def test_scales_that_are_not_allowed(text, engine):
    with pytest.raises(InputError, match=f"--scale: got '{text}'"):
        scaling.check(text, engine)
    assert scaling.check("1.0", engine) == 1.0 and scaling.check("7.5", "slim") == 7.5
