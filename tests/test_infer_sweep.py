# SPDX-License-Identifier: GPL-3.0-or-later
"""`admix infer` on the directory of a sweep whose results are invented: what it reads, writes, says and refuses."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from test_sweep import write

from admix import prediction, scenario
from admix.cli import app
from admix.cli_process import execute
from admix.errors import InputError, RunError
from admix.infer import emulator, slow_loss, survey
from admix.infer.survey import log_odds, share
from admix.summary import percent
from admix.sweep import grid, plan
from admix.sweep.store import Store

SHARES, SIZES, LAST, TODAY = [0.1, 0.2, 0.3], [12, 14, 17, 20], 6, 31
PARAMETERS = [
    {"name": "size", "field": "demography.demes.archaic.epochs[0].start_size", "values": SIZES},
    {"name": "share", "field": "pulse.share", "label": "pulse", "values": SHARES},
]
SMALL = {"parameters": PARAMETERS, "generations": LAST, "burnins": 2, "set": {"sampling.ancestors_at": []}}


def invented(made, folder, last=LAST, skip=(), slope=0.0):
    """Keep results in which a history's scatter and the pulse decide the end, and odds fall as theory says."""
    store = Store(folder)
    scatter = 0.05 * np.random.default_rng(1).standard_normal(len(made.histories))
    for number, point in enumerate(made.points):
        if number in skip:
            continue
        size, pulse = point.setting.values if len(point.setting.values) == 2 else (14, point.setting.values[0])
        g = np.arange(1, last + 1)
        noise = 0.03 * np.random.default_rng(point.seed).standard_normal()
        fall = (1.2 * (14 / size) + scatter[point.history] + noise) * (1 - 0.5 ** (g - 1.0))
        fall += slope * np.maximum(g - LAST, 0)
        mean = share(log_odds(pulse) - fall)
        trajectory = {
            "source": ["archaic"] * last, "deme": ["modern"] * last, "generation": g.tolist(),
            "years_bp": [float(TODAY - i) for i in g], "n_individuals": [40] * last, "ancestry_mean": mean.tolist(),
            "ancestry_functional": mean.tolist(), "ancestry_far": mean.tolist(), "load_archaic": [0.1] * last,
        }  # fmt: skip
        pulses = {"source": ["archaic"], "requested": [pulse], "realised": [pulse], "fitness_archaic_relative": [0.5],
                  "log_load_difference": [0.7]}  # fmt: skip
        ancestors = {"source": ["archaic"], "scope": ["all"], "measure": ["dna"], "value": [mean[-1]]}
        store.keep(point.key, {"trajectory": trajectory, "pulse": pulses, "ancestors": ancestors})


def sweep(folder, name="sweep", skip=(), **changes):
    made = plan.make(grid.load(write(folder, **SMALL | changes)))
    plan.write(made, folder / name)
    invented(made, folder / name, last=made.study.grid.generations or TODAY, skip=skip, slope=0.004)
    return made, folder / name


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("infer"))


def infer(folder, *options):
    return execute(app, ["infer", str(folder), "--quiet", "--draws", "20000", *options])


def test_the_command_writes_the_same_files_again_and_says_the_answer(finished, tmp_path, capsys):
    _, folder = finished
    for name in ("one", "two"):
        assert infer(folder, "--target", "0.06", "--sd", "0.005", "--out", str(tmp_path / name)) == 0
    out = capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(
        ["posterior.tsv", "summary.tsv", "checks.tsv", "inference.json", "posterior.png", "posterior.svg"]
    )
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    summary = pd.read_csv(tmp_path / "one" / "summary.tsv", sep="\t").set_index("parameter")
    samples = pd.read_csv(tmp_path / "one" / "posterior.tsv", sep="\t")
    assert samples["weight"].sum() == pytest.approx(1)
    assert samples["share"].between(0.1, 0.3).all() and samples["size"].between(12, 20).all()
    record = json.loads((tmp_path / "one" / "inference.json").read_text())
    assert record["priors"]["share"] == {
        "prior": "uniform(0.1,0.3)", "origin": "over the values that were run", "cut_off": 0.0,
    }  # fmt: skip
    middle, low, high = (percent(summary.loc["share", k]) for k in ("median", "q05", "q95"))
    words = f"To end at 6.0 % with these priors, {middle} (90 % interval {low[:-2]} to {high}"[:-2] + ") of the mixed"
    assert record["sentence"].startswith(words) and record["sentence"].endswith("founding generation were archaic.")
    assert "share ~ uniform(0.1,0.3)" in out and "To end at 6.0 % with these priors" in out
    # a unit of the size moves the end more than the scatter does
    assert np.corrcoef(samples["share"], samples["size"])[0, 1] < -0.5
    assert f"ancestry_g{TODAY}" in samples


def test_families_are_the_histories_with_one_modern_lineage(finished):
    made, folder = finished
    found = survey.read(made, Store(folder))
    assert (found.today, found.last, found.pulse.name, found.unit) == (TODAY, LAST, "share", "individuals")
    assert len(np.unique(found.history)) == 8 and (found.family == found.burnin).all()
    assert found.generation(30.0) == 1 and found.years(TODAY) == 0
    np.testing.assert_allclose(share(found.at(1)), found.values["share"])


def test_theory_between_the_last_generation_and_today_is_that_of_predict(finished):
    made, folder = finished
    found = survey.read(made, Store(folder))
    basis = emulator.basis_of(found)
    slow = slow_loss.expect(made, found, basis, [10, TODAY, 100], slow_loss.Factor())
    assert slow.generations == (10, TODAY)
    tree = made.study.scenario(made.points[3].setting).to_tree()
    size, pulse = made.points[3].setting.values
    expected = prediction.predict(scenario.Scenario.from_tree(tree)).trajectory.set_index("generation")
    odds = log_odds(expected["ancestry_mean"])
    values = {"share": np.array([pulse]), "size": np.array([float(size)])}
    by_columns = (basis.columns(values) @ slow.coefficients)[0]
    there = odds[expected.index.get_loc(LAST)] - odds[[expected.index.get_loc(10), expected.index.get_loc(TODAY)]]
    np.testing.assert_allclose(by_columns, there, rtol=0.02)
    assert 0 < slow.drift[0] < slow.drift[1]


def test_a_sweep_to_today_says_how_much_of_theory_is_real(finished, tmp_path):
    made, folder = finished
    found = survey.read(made, Store(folder))
    other, where = sweep(tmp_path, "today", generations=None, burnins=4, parameters=[PARAMETERS[1]])
    factor = slow_loss.calibrate(other, Store(where), found)
    # 25 generations of 0.004, and what is left of the halving
    left = 1.2 * 0.5**5
    assert factor.degrees == 3 and factor.estimate > 0
    assert "of the loss that theory expects, from 4 histories" in factor.text
    theory = prediction.predict(other.study.scenario(other.points[0].setting)).trajectory.set_index("generation")
    odds = log_odds(theory["ancestry_mean"].loc[[LAST, TODAY]])
    assert factor.estimate == pytest.approx((0.1 + left) / (odds[0] - odds[1]), rel=0.2)
    with pytest.raises(InputError, match=r"--today test: got 6; allowed: a sweep to generation 31, today"):
        slow_loss.calibrate(made, Store(folder), found)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "--target is missing: allowed: --target SHARE with --sd SD, or --trajectory, or both"),
        (("--target", "0.06"), "--sd is missing: allowed: --target and --sd together"),
        (("--sd", "0.06"), "--target is missing: allowed: --target and --sd together"),
        (("--target", "0.06", "--sd", "0"), "--sd: got '0'; allowed: a number above 0"),
        (("--target", "0.06", "--sd", "nan"), "--sd: got 'nan'"),
        (("--target", "6", "--sd", "0.1"), "--target: got '6'; allowed: a share above 0 and below 1"),
        (("--target", "0.9", "--sd", "0.001"), "--target: got 0.9; allowed: a share between 0.0"),
        (("--target", "0.06", "--sd", "0.01", "--prior", "pulse=uniform(0.01,0.9)"), "at most 10 % of a prior"),
        (("--target", "0.06", "--sd", "0.01", "--prior", "sise=list(12)"), "did you mean size?"),
        (("--trajectory",), "--trajectory: got '21 genomes'; allowed: genomes younger than the mixture, 29 years ago"),
        (("--trajectory", "--genomes", "x"), "--genomes: got 'x'; allowed: not together with --trajectory"),
        (("--genomes", "nowhere.tsv"), "--genomes nowhere.tsv: allowed: a tab-separated table that can be read"),
        (("--target", "0.06", "--sd", "0.01", "--source", "archaix"), "got 'archaix'; .*did you mean archaic"),
        (("--target", "0.06", "--sd", "0.01", "--draws", "10"), "--draws: got 10; allowed: a whole number from 1000"),
        (("--target", "0.06", "--sd", "0.01", "--today", "nowhere"), "--today: got 'nowhere'; allowed: a grid file"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, tuple) else None,
)  # fmt: skip
def test_a_bad_question_is_refused_in_one_line(finished, tmp_path, capsys, options, line):
    out = tmp_path / "out"
    assert infer(finished[1], "--out", str(out), *options) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(line, said), said
    assert not out.exists()


def test_an_unfinished_sweep_is_refused_unless_it_shall_do(tmp_path):
    made, folder = sweep(tmp_path, skip=(3,))
    with pytest.raises(
        InputError, match=r"test: got '23 of 24 points finished'; allowed: a finished sweep; .*--partial"
    ):
        survey.read(made, Store(folder))
    assert len(survey.read(made, Store(folder), partial=True).values) == 23
    shutil.rmtree(folder / "results")
    with pytest.raises(InputError, match="0 of 24 points finished"):
        survey.read(made, Store(folder), partial=True)


def test_a_sweep_without_the_pulse_or_with_one_share_is_refused(tmp_path):
    made, folder = sweep(tmp_path, "a", parameters=[PARAMETERS[0], PARAMETERS[1] | {"values": [0.2]}])
    with pytest.raises(InputError, match=r"share: got \[0.2\]; allowed: a sweep with several shares"):
        survey.read(made, Store(folder))
    other = {"name": "h", "field": "selection.dominance", "values": [0.5, 0.1]}
    made, folder = sweep(tmp_path, "b", parameters=[PARAMETERS[0], other])
    with pytest.raises(InputError, match="allowed: the share of the first pulse from archaic among those that vary"):
        survey.read(made, Store(folder))


def test_points_that_lost_all_ancestry_are_refused(tmp_path):
    made, folder = sweep(tmp_path)
    file = next((folder / "results").glob("*/*.json"))
    result = json.loads(file.read_text())
    result["trajectory"]["ancestry_mean"][-1] = 0.0
    file.write_text(json.dumps(result))
    with pytest.raises(RunError, match="1 of 24 points ended with no ancestry"):
        survey.read(made, Store(folder))
