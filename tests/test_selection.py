# SPDX-License-Identifier: GPL-3.0-or-later
import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import integrate, stats

from admix.selection import LARGEST_COST, Selection
from admix.strict import explain

EW06 = {"kind": "gamma", "mean": -0.043, "shape": 0.23}
KIM17 = {"kind": "gamma", "mean": -0.01314833, "shape": 0.186}
HUBER17 = {"kind": "gamma", "mean": -0.028, "shape": 0.19}
MIXTURE = {
    "kind": "mixture",
    "components": [
        {"share": 0.3, "dfe": {"kind": "neutral"}},
        {"share": 0.5, "dfe": {"kind": "gamma", "mean": -0.01, "shape": 0.5}},
        {"share": 0.2, "dfe": {"kind": "point", "s": -0.05}},
    ],
}


def selection(dfe=None, dominance=0.5, mutation_rate=1e-8):
    return Selection.model_validate({"dfe": dfe or EW06, "dominance": dominance, "mutation_rate": mutation_rate})


def draw(tables, n, seed):
    """Draw s as an engine does: a bin, then uniformly inside it."""
    rng = np.random.default_rng(seed)
    bins = rng.integers(0, len(tables.h_bins), n)
    u = rng.random(n)
    return tables.s_nodes[bins] * (1 - u) + tables.s_nodes[bins + 1] * u


# Probability mass by decade of |s|: < 1e-5, to 1e-4, to 1e-3, to 1e-2, to 1e-1, above.
@pytest.mark.parametrize(
    ("dfe", "masses"),
    [
        (EW06, [0.114, 0.080, 0.135, 0.225, 0.314, 0.132]),
        (KIM17, [0.209, 0.111, 0.170, 0.248, 0.236, 0.026]),
        (HUBER17, [0.175, 0.096, 0.149, 0.224, 0.272, 0.083]),
    ],
    ids=["EW06", "Kim17", "Huber17"],
)
def test_masses_by_decade_of_published_distributions(dfe, masses):
    s = draw(selection(dfe).tables(), 100_000, 1)
    found = np.histogram(-s, [0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])[0] / len(s)
    error = np.sqrt(np.multiply(masses, np.subtract(1, masses)) / len(s))
    # The masses are rounded to three places.
    assert np.all(np.abs(found - masses) < 0.0005 + 4 * error)


def test_lethal_share_of_the_standard_distribution():
    tables = selection().tables()
    lethal = np.mean(tables.s_nodes[:-1] <= -LARGEST_COST)
    assert lethal == pytest.approx(2.9e-4, abs=0.7e-4)
    assert tables.s_nodes.min() == -LARGEST_COST


@pytest.mark.parametrize(
    ("dfe", "distribution"),
    [
        (EW06, stats.gamma(0.23, scale=0.043 / 0.23)),
        ({"kind": "gamma", "mean": -1e-4, "shape": 3.0}, stats.gamma(3.0, scale=1e-4 / 3)),
        ({"kind": "lognormal", "mu": -7.37, "sigma": 2.0}, stats.lognorm(2.0, scale=np.exp(-7.37))),
    ],
    ids=["gamma", "light gamma", "lognormal"],
)
def test_mean_is_that_of_the_distribution_cut_at_one(dfe, distribution):
    tables = selection(dfe).tables()
    mean = -0.5 * (tables.s_nodes[1:] + tables.s_nodes[:-1]).mean()
    # E[min(X, 1)] is the integral of the survival function up to 1.
    knots = distribution.ppf([0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999])
    parts = [0.0, *[x for x in knots if x < 1], 1.0]
    expected = sum(integrate.quad(distribution.sf, a, b)[0] for a, b in itertools.pairwise(parts))
    assert mean == pytest.approx(expected, rel=1e-3)


def test_tables_are_ordered_bounded_and_read_only():
    tables = selection(MIXTURE).tables(1 << 10)
    assert tables.s_nodes.shape == (1025,)
    assert tables.h_bins.shape == (1024,)
    assert np.all(np.diff(tables.s_nodes) <= 0)
    assert tables.s_nodes.max() <= 0
    assert tables.s_nodes.min() >= -LARGEST_COST
    for array in (tables.s_nodes, tables.h_bins):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_mixture_has_the_masses_of_its_parts():
    s = draw(selection(MIXTURE).tables(), 200_000, 2)
    gamma = stats.gamma(0.5, scale=0.02)
    for low, high in ((0.0, 1e-12), (1e-12, 0.001), (0.001, 0.049), (0.0499, 0.0501), (0.051, 1.0)):
        expected = 0.5 * (gamma.cdf(high) - gamma.cdf(low)) + 0.2 * (low < 0.05 <= high) + 0.3 * (low == 0.0)
        found = np.mean((-s >= low) & (-s < high))
        assert found == pytest.approx(expected, abs=4.5 * np.sqrt(0.25 / len(s)))


def test_point_and_neutral():
    assert np.all(selection({"kind": "point", "s": -0.02}).tables(64).s_nodes == -0.02)
    assert np.all(selection({"kind": "point", "s": -1}).tables(64).s_nodes == -LARGEST_COST)
    assert not selection({"kind": "neutral"}).tables(64).s_nodes.any()


def test_constant_dominance():
    assert np.all(selection(dominance=0).tables(64).h_bins == 0.0)
    assert np.all(selection(dominance=0.1).tables(64).h_bins == 0.1)


def test_dominance_that_falls_with_the_effect():
    # Kim et al. 2018: 0.29 at 1e-4, 0.062 at 1e-3, 0.007 at 1e-2.
    falling = selection(dominance={"kind": "hs", "h0": 0.5, "k": 7071.07})
    assert falling.dominance_of(np.array([-1e-4, -1e-3, -1e-2])) == pytest.approx([0.293, 0.062, 0.007], abs=5e-4)
    h = falling.tables().h_bins
    assert np.all(np.diff(h) <= 0)
    assert h[0] == pytest.approx(0.5)


def test_dominance_by_class():
    classes = selection(dominance={"kind": "classes", "breaks": [1e-3, 1e-2, 1e-1], "values": [0.45, 0.2, 0.05, 0]})
    s = np.array([0.0, -0.9e-3, -1e-3, -0.5e-2, -1e-2, -0.1, -1.0])
    assert classes.dominance_of(s).tolist() == [0.45, 0.45, 0.2, 0.2, 0.05, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dfe": {**EW06, "mean": 0.043}},
            "selection.dfe.mean: got 0.043; allowed: a number from -1 (lethal)",
        ),
        ({"dfe": {**EW06, "mean": 0}}, "selection.dfe.mean: got 0; allowed"),
        ({"dfe": {**EW06, "mean": -1.5}}, "selection.dfe.mean: got -1.5; allowed"),
        ({"dfe": {"kind": "point", "s": 0.01}}, "selection.dfe.s: got 0.01; allowed"),
        (
            {"dfe": {"kind": "gama", "mean": -1}},
            "selection.dfe.kind: got 'gama'; allowed: a block with kind: gamma",
        ),
        ({"dfe": {"mean": -0.1}}, "selection.dfe.kind: got nothing; allowed: a block with kind: gamma"),
        (
            {"dominance": {"kind": "classes", "breaks": [0.1, 0.01], "values": [0, 0, 0]}},
            "breaks in rising order",
        ),
        (
            {"dominance": {"kind": "classes", "breaks": [0.1], "values": [0]}},
            "got [0.0]; allowed: 2 values for 1 breaks",
        ),
        (
            {"dfe": {**MIXTURE, "components": MIXTURE["components"][:2]}},
            "got 0.8; allowed: components whose shares",
        ),
        (
            {"dfe": {"kind": "mixture", "components": [{"share": 1, "dfe": MIXTURE}]}},
            "components[0].dfe.kind: got 'mixture'",
        ),
    ],
)
def test_what_is_refused(change, message):
    raw = {"dfe": EW06, "dominance": 0.5, "mutation_rate": 1e-8, **change}
    with pytest.raises(ValidationError) as caught:
        Selection.model_validate(raw)
    assert message in str(explain(caught.value, Selection, "selection"))
