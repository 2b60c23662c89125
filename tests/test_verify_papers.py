# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the full suite that simulate papers: their genomes, and that their rows see what is wrong."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import small_genomes

from admix import genome as genomes
from admix import scenario as scenarios
from admix import schedule
from admix.verification import checks, f4_runs, kim_runs, linked_loss
from admix.verification.checks import FAIL, PASS
from admix.verification.verdicts import Wrong

SMALL = {"suite": "smoke", "seed": 1, "say": lambda text: None}


def own(rows):
    return [row for row in rows if not row.check.startswith("control:")]


def test_made_up_genes_follow_the_recipe():
    """Exons of 64.6 bases in the mean (lognormal + 1/2 by rounding), 9.7 % of the sequence; five standard errors."""
    exons = np.array(kim_runs.genes(20_000_000, np.random.default_rng(1)))
    length = exons[:, 1] - exons[:, 0]
    mean = 50 * np.exp(np.log(2) ** 2 / 2) + 0.5
    assert abs(length.mean() - mean) < 5 * length.std() / len(length) ** 0.5
    assert (exons[1:, 0] > exons[:-1, 1]).all() and exons[-1, 1] < 20_000_000
    gap = exons[1:, 0] - exons[:-1, 1]
    # introns are short, what lies between genes is up to 5,000: four in five gaps are introns
    introns = 100 * np.exp(np.log(1.5) ** 2 / 2) + 10 - 0.5
    expected = 0.8 * introns + 0.2 * 2550
    assert abs(gap.mean() - expected) < 5 * gap.std() / len(gap) ** 0.5


def test_one_chromosome_keeps_its_map_and_coding_bases(tmp_path):
    block = kim_runs.chromosome_1(tmp_path, scale=5, length=20_000_000)
    made = genomes.from_files(block["map"], block["elements"])
    shipped = scenarios.load("reich").with_set(["genome.target=cds", "genome.chromosomes=[1]"]).build_genome()
    inside = shipped.window_end <= 20_000_000
    assert made.functional_bp == shipped.window_functional_bp[inside].sum()
    assert 100 * made.chrom_morgans[0] == pytest.approx(5 * shipped.window_cm_end[inside][-1], rel=1e-4)
    assert (made.window_functional_bp[: inside.sum()] == shipped.window_functional_bp[inside]).all()


@pytest.mark.parametrize("model", [0, 1, 2, 3, 4])
def test_demographies_are_rescaled(model, tmp_path):
    small_genomes.uniform(tmp_path, 1, 1_000_000)
    block = {"source": "files", "map": str(tmp_path / "map"), "elements": str(tmp_path / "elements.bed")}
    for scale in (1, 5):
        chosen = kim_runs.kim_scenario(model, 0, block, -0.0131, scale=scale)
        clock = schedule.compile(chosen)
        recipient, source = clock.deme("recipient"), clock.deme("source")
        first = clock.first_pulse_tick()
        assert clock.today - first == 10_000 // scale
        sizes = kim_runs.MODELS[model]
        assert clock.size(source, first - 1) == sizes[0] // scale
        found = [clock.size(recipient, first - back) for back in (52 // scale + 2, 1)] + [
            clock.size(recipient, first + 1)
        ]
        assert found == [size // scale for size in sizes[1:]]
        assert chosen.selection.mutation_rate == pytest.approx(1.5e-8 * 2.31 / 3.31 * scale)


def landscape(slope_rate, slope_exons, replicates=6, seed=1):
    rng = np.random.default_rng(seed)
    cm, functional = rng.exponential(1, 300), rng.integers(0, 3000, 300)
    rows = []
    for k in range(replicates):
        ancestry = 0.05 + slope_rate * cm + slope_exons * functional / 1000 + rng.normal(0, 0.02, 300)
        rows.append(
            pd.DataFrame(
                {"replicate": k, "generation": 10, "start": np.arange(300) * 100_000, "ancestry": ancestry,
                 "cM": cm, "functional_bp": functional}
            )
        )  # fmt: skip
    return SimpleNamespace(table=lambda name: pd.concat(rows))


@pytest.mark.parametrize("sign", [1, -1])
def test_correlations_along_the_chromosome(sign):
    by_rate, by_exons = kim_runs.correlations(landscape(sign * 0.02, -sign * 0.02))
    assert len(by_rate) == 6 and sign * np.mean(by_rate) > 0.3 and sign * np.mean(by_exons) < -0.3
    wrong = Wrong("the other", -sign * 0.5)
    rows = kim_runs.sign_rows("k: K2", "rate", by_rate, sign, wrong)
    assert [row.verdict for row in rows] == [PASS, PASS]
    rows = kim_runs.sign_rows("k: K2", "rate", by_rate, -sign, wrong)
    assert [row.verdict for row in rows] == [FAIL, FAIL]


def test_a_correlation_within_chance_does_not_pass():
    noise = np.random.default_rng(2).normal(0, 0.2, 20)
    rows = kim_runs.sign_rows("k: K2", "rate", noise, 1, Wrong("the other", -0.5))
    assert rows[0].verdict == FAIL


def test_linked_loss_agrees_with_the_recursion(tmp_path, monkeypatch):
    monkeypatch.setitem(linked_loss._SIZES, "smoke", linked_loss._Size(500, 12))
    monkeypatch.setattr(linked_loss, "LAST", 41)
    monkeypatch.setattr(linked_loss, "AT", (21, 41))
    rows = own(linked_loss.linked_loss(SMALL | {"folder": tmp_path}))
    assert len(rows) == 4 + 6 and all(row.verdict == PASS for row in rows), checks.screen(rows)


def test_the_slope_of_ratios_is_over_45000_years(monkeypatch, tmp_path):
    ages = (0, 600, 1200, 1800)
    table = pd.DataFrame(
        [
            {"statistic": name, "people": f"european@{age}", "estimate": base + fall * age / 1800, "se": 0.003}
            for name, base, fall in (("f4_ratio_direct", 0.02, 0.001), ("f4_ratio_indirect", 0.01, 0.03))
            for age in ages
        ]
    )
    out = tmp_path / "runs" / "label-1"
    out.mkdir(parents=True)
    monkeypatch.setattr(f4_runs.results, "read_run", lambda path: path)
    monkeypatch.setattr(f4_runs, "run_statistics", lambda run, options: SimpleNamespace(tables={"fstatistics": table}))
    found = f4_runs.slopes(SMALL | {"folder": tmp_path}, "label", [], "all")
    assert found.direct == pytest.approx(-0.1) and found.indirect == pytest.approx(-3.0)


def test_rows_of_f4_ratios(monkeypatch):
    fallen, flat = f4_runs.Ratios(-0.1, -4.5), f4_runs.Ratios(0.1, 0.1)
    made = {"fstatistics-flow": fallen, "fstatistics-none": flat}
    monkeypatch.setattr(f4_runs, "slopes", lambda options, label, changes, which: made[label])
    assert all(row.verdict == PASS for row in f4_runs.f4_ratios(SMALL))
    made["fstatistics-flow"] = flat
    assert [row.verdict for row in own(f4_runs.f4_ratios(SMALL))] == [FAIL, PASS]
