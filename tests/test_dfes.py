# SPDX-License-Identifier: GPL-3.0-or-later
"""Published distributions: what they are (from facts.md and the sources named there), and what is refused."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from admix import cli, dfe_catalog, dfe_summary
from admix.cli_process import execute
from admix.errors import InputError, RunError
from admix.scenario import load
from admix.selection import Selection

# facts.md section 9: shape and mean of s in SLiM's convention; masses by decade of |s|; share nearly neutral in
# Neanderthals alone.
GAMMAS = {
    "eyre-walker2006": (0.23, 0.043, [0.114, 0.080, 0.135, 0.225, 0.314, 0.132], 0.115),
    "kim2017": (0.186, 0.013148, [0.209, 0.111, 0.170, 0.248, 0.236, 0.026], 0.150),
    "huber2017": (0.19, 0.028, [0.175, 0.096, 0.149, 0.224, 0.272, 0.083], 0.130),
    # not in facts.md: shape 0.184, scale 8200/25636, figure 1 of Kyriazis et al. 2023 (their script)
    "boyko2008": (0.184, 0.184 * 8200 / 25_636, None, None),
}


def named(name, dominance=0.5):
    tree = {"dfe": {"kind": "named", "name": name}, "dominance": dominance, "mutation_rate": 1e-8}
    return Selection.model_validate(tree)


@pytest.mark.parametrize("name", GAMMAS)
def test_gammas_are_the_published_ones(name):
    shape, mean, masses, nearly = GAMMAS[name]
    dfe = named(name).dfe
    cost = np.geomspace(1e-8, 2, 50)
    np.testing.assert_allclose(dfe.probability(cost), stats.gamma(shape, scale=mean / shape).cdf(cost), atol=1e-5)
    wrong = stats.gamma(shape, scale=mean / shape / 2).cdf(cost)
    assert np.abs(dfe.probability(cost) - wrong).max() > 0.02
    found = dfe_summary.summarise(dfe)
    if masses:
        np.testing.assert_allclose(found.shares, masses, atol=6e-4)
        assert found.nearly_neutral == pytest.approx(nearly, abs=6e-4)


@pytest.mark.parametrize("name", dfe_catalog.DFES)
def test_summaries_are_those_of_the_distribution(name):
    """The mean against adaptive quadrature of the tail, the shares against the tables that engines draw from."""
    selection = named(name)
    found = dfe_summary.summarise(selection.dfe)

    def tail(log_cost):
        cost = np.exp(log_cost)
        return (1 - float(selection.dfe.probability(np.array([cost]))[0])) * cost

    want = integrate.quad(tail, np.log(1e-16), 0, limit=500, epsabs=1e-9)[0]
    assert found.mean == pytest.approx(-want, rel=2e-4)
    tables = selection.tables()
    assert (tables.s_nodes[1:] + tables.s_nodes[:-1]).mean() / 2 == pytest.approx(found.mean, rel=3e-3)
    assert sum(found.shares) == pytest.approx(1)
    assert found.above_one == pytest.approx(1 - float(selection.dfe.probability(np.array([1.0]))[0]))
    assert found.above_one == pytest.approx(2.9e-4, abs=0.1e-4) or name != "eyre-walker2006"


def test_the_lognormal_and_the_mixture_are_the_published_ones():
    cost = np.geomspace(1e-8, 0.9, 40)
    lognormal = stats.lognorm(4.58, scale=np.exp(-7.37 + np.log(2)))
    np.testing.assert_allclose(named("huber2017-lognormal").dfe.probability(cost), lognormal.cdf(cost), rtol=1e-9)
    mixture = named("kyriazis2023").dfe.probability(cost)
    np.testing.assert_allclose(mixture, 0.997 * stats.gamma(0.186, scale=0.0131 / 0.186).cdf(cost), rtol=1e-9)
    assert dfe_summary.summarise(named("kyriazis2023").dfe).above_one == pytest.approx(0, abs=1e-6)


def test_named_dominance_is_the_published_one():
    s = -np.array([1e-4, 1.1e-3, 1.1e-2, 0.11, 1.0])
    classes = named("kyriazis2023", {"kind": "named", "name": "kyriazis2023"})
    assert classes.dominance_of(s).tolist() == [0.45, 0.2, 0.05, 0.0, 0.0]
    falling = named("kim2017", {"kind": "named", "name": "kim2018"})
    np.testing.assert_allclose(falling.dominance_of(-np.array([1e-4, 1e-3, 1e-2])), [0.293, 0.062, 0.007], atol=5e-4)
    assert named("kim2017").is_additive and not classes.is_additive


def test_a_scenario_can_name_one():
    scenario = load("tiny").with_set(
        ["selection.dfe={kind: named, name: kyriazis2023}", "selection.dominance={kind: named, name: kyriazis2023}"]
    )
    assert scenario.selection.dominance_of(np.array([-0.5]))[0] == 0
    assert "name: kyriazis2023" in scenario.to_yaml()
    with pytest.raises(InputError, match=r"selection.dfe.name: got 'kim2071'; .* did you mean kim2017\?"):
        load("tiny").with_set(["selection.dfe={kind: named, name: kim2071}"])


@pytest.mark.parametrize("name", dfe_catalog.DFES)
def test_every_entry_says_where_it_comes_from(name, capsys):
    entry = dfe_catalog.DFES[name]
    assert entry.doi.startswith("10.") and entry.factor in (1.0, 2.0) and entry.published and entry.applies_to
    assert ("1 + 2s" in entry.published) == (entry.factor == 2.0)
    assert execute(cli.app, ["dfe", "show", name]) == 0
    text = capsys.readouterr().out
    assert f"published s times {entry.factor:g}" in text and entry.doi in text and f"name: {name}" in text
    assert "homozygote 1 + s, heterozygote 1 + hs" in text
    assert execute(cli.app, ["dfe", "list"]) == 0
    assert f"  {name} " in capsys.readouterr().out


def test_an_unknown_name_is_answered(capsys):
    assert execute(cli.app, ["dfe", "show", "kim2018"]) == 2
    assert "dfe show NAME: got 'kim2018'; allowed: one of eyre-walker2006" in capsys.readouterr().err


# ---- what comes in from elsewhere

NEGATIVE, POSITIVE = ("g", [-0.03, 0.16]), ("e", [0.01])


def made(types):
    return SimpleNamespace(
        proportions=[share for share, *_ in types],
        mutation_types=[
            SimpleNamespace(
                distribution_type=kind,
                distribution_args=arguments,
                dominance_coeff=0.5,
                dominance_coeff_list=None,
                dominance_coeff_breaks=None,
            )
            for _, kind, arguments in types
        ],
    )


@pytest.fixture
def catalog(monkeypatch):
    """A stand-in for stdpopsim with the distributions of its catalog that matter here."""
    dfes = {
        "Gamma_K17": made([(0.3, "f", [0]), (0.7, "g", [-0.013148, 0.186])]),
        # as in stdpopsim 0.3.0: the proportions of the beneficial and the harmful type are swapped
        "PosNeg_R24": made([(0.39995, "f", [0]), (0.00005, *NEGATIVE), (0.6, *POSITIVE)]),
        "Fixed_R24": made([(0.39995, "f", [0]), (0.6, *NEGATIVE), (0.00005, *POSITIVE)]),
    }

    def get_dfe(name):
        if name not in dfes:
            raise ValueError(name)
        return dfes[name]

    stand_in = SimpleNamespace(get_species=lambda name: SimpleNamespace(get_dfe=get_dfe))
    monkeypatch.setitem(sys.modules, "stdpopsim", stand_in)


def test_stdpopsims_gamma_is_ours(catalog):
    tree, dominance = dfe_summary.from_stdpopsim("stdpopsim:HomSap/Gamma_K17")
    assert tree == {"kind": "gamma", "mean": -0.013148, "shape": 0.186} and dominance == 0.5
    assert "mean: -0.013148" in dfe_summary.show_text("stdpopsim:HomSap/Gamma_K17")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("PosNeg_R24", "got '60 % beneficial and 0.005 % harmful mutations'; allowed: a harmful majority"),
        ("Fixed_R24", "got '0.005 % beneficial mutations'; allowed: harmful and neutral ones only"),
        ("Gamma_X17", "got 'stdpopsim:HomSap/Gamma_X17'; allowed: stdpopsim:SPECIES/ID"),
    ],
)
def test_what_stdpopsim_has_is_checked(catalog, name, says):
    with pytest.raises(InputError) as caught:
        dfe_summary.from_stdpopsim(f"stdpopsim:HomSap/{name}")
    assert says in str(caught.value)


def test_without_stdpopsim_one_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "stdpopsim", None)
    with pytest.raises(RunError, match="stdpopsim is not installed"):
        dfe_summary.show_text("stdpopsim:HomSap/Gamma_K17")


@pytest.mark.parametrize(
    ("types", "says"),
    [
        ([(1.0, "g", [0.043, 0.23])], "100 % beneficial and 0 % harmful"),
        ([(0.6, "g", [-0.03, 0.2]), (0.3, "f", [0.01])], "proportions of at least 0 that add up to 1"),
        ([(1.0, "w", [1, 2])], "mutation types f, g, e, ln and lp"),
        ([(0.2, "ln", [-7, 2]), (0.8, "lp", [-7, 2])], "80 % beneficial and 20 % harmful"),
    ],
)
def test_wrong_signs_and_shares_are_refused(types, says):
    with pytest.raises(InputError) as caught:
        dfe_summary.from_mutation_types(types)
    assert says in str(caught.value)


def test_several_harmful_types_become_a_mixture():
    tree, share = dfe_summary.from_mutation_types([(0.5, "f", [0]), (0.3, "e", [-0.01]), (0.2, "f", [-1])])
    assert share == pytest.approx(0.5)
    assert tree["components"][0] == {"share": pytest.approx(0.6), "dfe": {"kind": "gamma", "mean": -0.01, "shape": 1.0}}
    selection = Selection.model_validate({"dfe": tree, "dominance": 0.5, "mutation_rate": 1e-8})
    assert dfe_summary.summarise(selection.dfe).shares[-1] == pytest.approx(0.4 + 0.6 * np.exp(-10), abs=1e-6)
    assert dfe_summary.from_mutation_types([(1.0, "f", [0])]) == ({"kind": "neutral"}, 0.0)
