# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario `fstatistics` through engine, run directory and statistics, on a small genome with stronger gene flow.

The direct f4-ratio finds the true ancestry; the indirect one does so without gene flow into Africa, and with it shows
less, and a decline from the ancient to the living that is not there (Petr et al. 2019). Every tolerance is five of the
standard errors that the program gives: a false alarm in a million for each normal estimate, in ten thousand for
Student's t with the 16 blocks that there are.
"""

import pytest
import small_genomes

from admix import results, run_pages, scenario, simulate
from admix.fstatistics import Roles
from admix.run_plan import RunOptions
from admix.statistics import Options, run_statistics

CHROMS, LENGTH = 8, 1_200_000
SHARE, RATE = 0.2, 5e-4  # 0.3 in 720 generations
TODAY, OLD = "european@0", "european@45ka"
ERRORS, SEEN = 5, 4


def made(folder, *settings):
    small_genomes.uniform(folder, CHROMS, LENGTH)
    lengths = folder / "lengths"
    lengths.write_text("".join(f"{c + 1}\t{LENGTH}\n" for c in range(CHROMS)))
    people = [("european", 0, 5), ("european", 45000, 5), ("dinka", 0, 3), ("yoruba", 0, 3), ("chimpanzee", 0, 1)]
    blocks = ", ".join(f"{{deme: {d}, time: {t}, n: {n}}}" for d, t, n in [*people, ("neanderthal", 80000, 2)])
    files = f"source: files, map: {folder}/map, elements: {folder}/elements.bed, chromosome_lengths: {lengths}"
    chosen = scenario.load("fstatistics").with_set(
        [
            f"genome={{{files}}}", f"pulse[0].share={SHARE}", f"sampling.individuals=[{blocks}]",
            "demography.demes[0].epochs[0].end_time=1500000", "selection.mutation_rate=4e-8",
            # more drift of Europeans makes more of the bias
            "demography.demes[7].epochs[1].start_size=1000", *settings,
        ]
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        path = simulate.run(chosen, RunOptions(out=folder / "run", engine="msprime", threads=1))
    roles = Roles(a="neanderthal:0", b="neanderthal:1", c="dinka", g="yoruba", o="chimpanzee", x=(TODAY, OLD))
    run = results.read_run(path)
    # the name of an ancient group has the date in generations
    tables = run_statistics(run, Options(roles=roles, block_cm=0.5, distance=False)).tables
    rows = tables["fstatistics"].itertuples()
    people = tables["people"]
    africans = people.loc[people["deme"] == "dinka", "ancestry"].mean()
    return {(row.statistic, row.people.partition("@")[2] == "0"): row for row in rows} | {"africans": africans}


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    return made(tmp_path_factory.mktemp("without"), "demography.migrations=[]")


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    return made(tmp_path_factory.mktemp("flow"), *(f"demography.migrations[{k}].rate={RATE}" for k in (0, 1)))


def off(found, statistic, living):
    """Estimate less truth, and the standard error. A ratio is of what there is beyond the Africans compared with:
    with shares t and c of true ancestry it is (t - c) / (1 - c)."""
    row, c = found[statistic, living], found["africans"]
    return row.estimate - (row.truth - c) / (1 - c), row.difference_se


def test_without_gene_flow_into_africa_both_ratios_find_the_truth(without):
    assert without["africans"] == 0
    for living in (True, False):
        for name in ("f4_ratio_direct", "f4_ratio_indirect"):
            difference, error = off(without, name, living)
            assert difference == without[name, living].difference
            assert abs(difference) < ERRORS * error
        # it would be seen if there was none
        assert without["f4_ratio_direct", living].truth > 2 * ERRORS * without["f4_ratio_direct", living].difference_se
        assert without["D", living].z > SEEN


def test_gene_flow_into_africa_biases_the_indirect_ratio_alone(flow):
    assert flow["africans"] > 0.01
    for living in (True, False):
        difference, error = off(flow, "f4_ratio_direct", living)
        assert abs(difference) < ERRORS * error
    living, error = off(flow, "f4_ratio_indirect", True)
    assert living < -SEEN * error
    # a decline that never was
    ancient, other = off(flow, "f4_ratio_indirect", False)
    assert ancient - living > SEEN * (error**2 + other**2) ** 0.5


def test_the_catalogue_entry():
    chosen = scenario.load("fstatistics")
    assert chosen.run.engine == "msprime"
    assert {d.name for d in chosen.graph.demes} >= {"yoruba", "dinka", "european", "neanderthal", "chimpanzee"}
    rates = [m.rate * (m.start_time - m.end_time) / 25 for m in chosen.graph.migrations]
    assert rates == pytest.approx([0.1, 0.1], rel=0.01)
