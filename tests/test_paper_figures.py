# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of sims/figures/ that make figures as in the papers, on small and on invented runs."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from admix import scenario, theory
from admix.cache import default_directory
from admix.errors import InputError
from admix.genome import shipped
from admix.results import RunWriter, read_run, summarise

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["genome.chromosomes=[22]", "sampling.ancestors_at=[]", "branches=[]"]


@pytest.fixture(autouse=True)
def _import_from_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "sims" / "figures"))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they are saved."""
    saved: list[Figure] = []
    paper = import_module("paper")
    real = paper.save

    def save(figure: Figure, out: Path, name: str) -> list[Path]:
        saved.append(figure)
        return real(figure, out, name)

    monkeypatch.setattr(paper, "save", save)
    return saved


def script(name: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[ModuleType, list[Path]]:
    """A script's module, and what its main function returns for these words."""
    module = import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
    return module, module.main()


def invented(path: Path, name: str = "petr2019", *, shares: dict[int, tuple[float, ...]] | None = None, change=()):
    """A sealed run of two burn-ins; ``shares`` by generation are (functional, all, far) in the first, half of it more
    in the second."""
    chosen = scenario.load(name).with_set([*change])
    shares = shares or {
        1: (0.1, 0.1, 0.1),
        2: (0.05, 0.05, 0.05),
        20: (0.022, 0.023, 0.024),
        2201: (0.02, 0.021, 0.023),
    }
    keys = ["branch", "replicate", "twin", "source"]
    rows, genome = [], chosen.build_genome()
    branches = [branch.name for branch in chosen.branches]
    for branch in branches:
        for replicate, factor in enumerate((1.0, 1.5)):
            for generation, (functional, everywhere, far) in shares.items():
                rows.append(
                    {
                        "branch": branch, "replicate": replicate, "twin": "none", "source": "neanderthal",
                        "deme": "modern", "generation": generation, "years_bp": 55_000.0 - 25 * (generation - 1),
                        "n_individuals": 100, "ancestry_mean": factor * everywhere, "ancestry_sd": 0.01,
                        "ancestry_p05": 0.0, "ancestry_p50": 0.01, "ancestry_p95": 0.1,
                        "ancestry_functional": factor * functional, "ancestry_far": factor * far,
                        "log_fitness_mean": -1.0, "load_archaic": 0.1,
                    }
                )  # fmt: skip
    data = pd.DataFrame(rows)
    pulse = data.groupby(keys, sort=False, as_index=False).agg(years_bp=("years_bp", "max"))
    pulse = pulse.assign(
        pulse="pulse", target="modern", requested=0.1, realised=0.1, log_load_difference=0.77,
        fitness_archaic_relative=0.46, burnin=pulse["replicate"],
    )  # fmt: skip
    windows = pd.DataFrame(
        {
            "chrom": [genome.chroms[c] for c in genome.window_chrom], "start": genome.window_start,
            "end": genome.window_end, "cM": 0.1, "functional_bp": genome.window_functional_bp, "B": genome.window_b,
            # proportional to B: so is every fifth's ratio
            "ancestry": 0.02 * genome.window_b,
        }
    )  # fmt: skip
    landscape = pd.concat(
        windows.assign(branch=b, replicate=r, twin="none", source="neanderthal", generation=g)
        for b in branches for r in (0, 1) for g in (2, 20)
    )  # fmt: skip
    landscape.loc[landscape["generation"] == 2, "ancestry"] = 0.05
    found = {
        "trajectory": data, "pulse": pulse, "landscape": landscape,
        "ancestors": pulse[keys].assign(scope="all", measure="dna", value=0.02),
        "spread": pulse[keys].assign(deme="modern", generation=2, bin_start=0.0, bin_end=1.0, count=100),
    }  # fmt: skip
    with RunWriter(path) as writer:
        for table, frame in found.items():
            writer.table(f"{table}.tsv", frame)
        writer.text("scenario.yaml", chosen.with_run(replicates=2, burnins=2, seed=1).to_yaml())
        writer.json("summary.json", summarise(found, chosen))
        writer.json("provenance.json", {"software": {"admix": "9", "results_version": 1}, "inputs": {}})
        return read_run(writer.seal())


def ends(ax) -> dict[str, float]:
    """The last value of each named line."""
    return {line.get_label(): float(line.get_ydata()[-1]) for line in ax.lines if not line.get_label().startswith("_")}


def test_trajectory_by_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[Figure]) -> None:
    run = invented(tmp_path / "run")
    _, files = script("petr2019", monkeypatch, "--run", run.path, "-o", tmp_path / "out")
    assert [path.name for path in files] == ["trajectory-by-distance.png", "trajectory-by-distance.svg"]
    assert all(path.stat().st_size > 5000 for path in files)
    left, right = figures[0].axes
    # means over the two burn-ins, in per cent
    wanted = {"windows with exons": 2.5, "all windows": 2.625, "the fifth farthest from exons": 2.875}
    assert {label: ends(left)[label] for label in wanted} == pytest.approx(wanted)
    assert ends(right) == pytest.approx(wanted)
    marks = [line for line in left.lines if line.get_linestyle() == "None"]
    assert len(marks) == 3 and marks[1].get_ydata()[3] == 2.38
    assert len(left.collections) == 3, "a band for each, as there are two burn-ins"
    assert "%" in left.get_ylabel() and "generation" in left.get_xlabel() and "years" in right.get_xlabel()
    assert right.get_xlim()[0] == 55


def test_published_shares_are_those_of_the_page() -> None:
    module = import_module("petr2019")
    page = (ROOT / "docs" / "scenarios" / "petr2019.md").read_text()
    for shares in module.PUBLISHED.values():
        assert f"| {' | '.join(f'{share:.2f}' for share in shares)} |" in page
    assert f"| {' | '.join(f'{g:,}' for g in module.GENERATIONS)} |" in page


def test_dominance_of_runs_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[Figure]
) -> None:
    small = ["genome.chromosomes=[22]"]
    for h, share in ((0.5, 0.02), (0.1, 0.05), (0, 0.1)):
        change = [f"selection.dominance={h:g}", *small]
        shares = {1: (0.1,) * 3, 20: (share,) * 3}
        invented(tmp_path / "runs" / f"harris-nielsen2016-h{h:g}", "harris-nielsen2016", shares=shares, change=change)
    words = ["--runs", tmp_path / "runs", "-o", tmp_path, "--set", small[0], "--replicates", 2, "--burnins", 2]
    _, files = script("harris_nielsen2016", monkeypatch, *words)
    assert files[0].name == "dominance.png"
    left, right = figures[0].axes
    wanted = {"additive (h = 0.5)": 2.5, "partly recessive (h = 0.1)": 6.25, "recessive (h = 0)": 12.5}
    assert ends(left) == pytest.approx(wanted) and ends(right) == pytest.approx(wanted)
    theory_lines = [line for line in left.lines if line.get_linestyle() == "--"]
    assert len(theory_lines) == 3 and all(line.get_xdata()[-1] <= 20 for line in theory_lines)
    additive, recessive = (float(line.get_ydata()[-1]) for line in (theory_lines[0], theory_lines[2]))
    assert additive < recessive, "the right forecast beside each run"
    # a directory that holds something else is refused, not overwritten or drawn
    with pytest.raises(InputError, match="the same options"):
        script("harris_nielsen2016", monkeypatch, *words, "--seed", 2)


@pytest.mark.parametrize("with_maps", [True, False])
def test_depletion(
    with_maps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[Figure], capsys
) -> None:
    run = invented(tmp_path / "run", change=["genome.chromosomes=[20, 21, 22]"])
    genome = run.scenario.build_genome()
    words: list[object] = ["--run", run.path, "-o", tmp_path / "out"]
    module = import_module("depletion")
    monkeypatch.setattr(module, "MEASURED", tmp_path / "absent.tsv")
    if with_maps:
        table = run.table("landscape").query("replicate == 0 and generation == 2")[["chrom", "start", "end"]]
        table = table.assign(flat=0.3, B=0.0, half=np.where(genome.window_b > np.nanmedian(genome.window_b), 0.2, 0.1))
        table.assign(chrom="chr" + table["chrom"]).to_csv(tmp_path / "maps.tsv", sep="\t", index=False)
        words += ["--measured", tmp_path / "maps.tsv"]
    _, files = script("depletion", monkeypatch, *words)
    assert ("the run is drawn alone" in capsys.readouterr().err) != with_maps
    assert len(files) == 2
    left, _ = figures[0].axes
    shown = {box.get_label(): box for box in left.containers}
    assert set(shown) == {"simulated, p10"} | ({"flat", "half"} if with_maps else set())
    simulated = shown["simulated, p10"].lines[0].get_ydata()
    # the ancestry was made proportional to B, so the fifths rise with it: of the last generation, not of another
    data = module.simulated(run, "p10")
    fifths = data[data["feature"] == "B"]
    assert (np.diff(simulated) > 0).all() and simulated == pytest.approx(fifths["ratio"].to_numpy())
    assert (fifths["ratio"] >= 0.98 * fifths["low"] / np.nanmax(genome.window_b)).all()
    if with_maps:
        assert shown["flat"].lines[0].get_ydata() == pytest.approx(np.ones(5))
        assert shown["half"].lines[0].get_ydata()[0] < 0.8 < 1.2 < shown["half"].lines[0].get_ydata()[4]


@pytest.mark.parametrize(
    ("table", "says"),
    [("chrom\tstart\tvalue\n1\t0\t0.5\n", "end among them"), ("chrom\tstart\tend\tx\n1\t0\t5\t0.5\n", "other windows")],
)
def test_maps_that_cannot_be_compared_are_refused(
    table: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = invented(tmp_path / "run", change=["genome.chromosomes=[22]"])
    (tmp_path / "maps.tsv").write_text(table)
    with pytest.raises(InputError, match=says):
        script("depletion", monkeypatch, "--run", run.path, "--measured", tmp_path / "maps.tsv", "-o", tmp_path)


def test_ridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[Figure]) -> None:
    module = import_module("ridge")
    phi = theory.phi(shipped("exons"), 100)
    low, high = module.figures.RIDGE
    loads = np.array([0.5, 0.8, 1.1])
    pulses = module.expected(loads, low, high, 100, phi)
    # back again: what theory leaves of these pulses is the ridge
    for S, pair in zip(loads, pulses, strict=True):
        left = [theory.uniform_load_trajectory(p, S, phi, np.array([100]))[0] for p in pair]
        assert left == pytest.approx([low, high], rel=2e-3)
    assert (np.diff(pulses, axis=0) > 0).all()
    rows = [
        {
            "source": "neanderthal", "deme": "modern", "generations": 100, "requested": p, "realised": p,
            "log_load_difference": S, "history": f"h{S}",
            "ancestry_final": theory.uniform_load_trajectory(p, S, phi, np.array([100]))[0],
        }
        for S in loads for p in (0.02, 0.05, 0.1, 0.2)
    ]  # fmt: skip
    module.draw(pd.DataFrame(rows), phi, tmp_path)
    left, right = figures[0].axes[:2]
    curves = {line.get_label(): line for line in left.lines if line.get_label().startswith("theory")}
    assert set(curves) == {"theory, 2 %", "theory, 2.4 %"}
    bars = [line for line in left.lines if line.get_label() == "_bar"]
    assert bars, "the points reach the ridge"
    for bar in bars:  # between the two curves, as the points are theory's own
        for label, y in zip(curves, bar.get_ydata(), strict=True):
            x = bar.get_xdata()[0]
            assert y == pytest.approx(np.interp(x, curves[label].get_xdata(), curves[label].get_ydata()), rel=0.08)
    assert ends(right)["pulse of 10 %"] < ends(right)["pulse of 20 %"]


def test_a_run_that_is_missing_is_made_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the Python API, from the catalogue's scenario with the changes asked for."""
    paper = import_module("paper")
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR") or str(default_directory() / "kernels"))
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path / "cache"))
    options = paper.parser("", "").parse_args(
        [w for change in SMALL for w in ("--set", change)] + "--generations 3 --replicates 1 --burnins 1".split()
    )
    made = paper.ensured(tmp_path / "run", "tiny", [], options)
    assert made.table("trajectory")["generation"].max() == 3
    before = (tmp_path / "run" / "manifest.json").stat().st_mtime_ns
    again = paper.ensured(tmp_path / "run", "tiny", [], options)
    assert again.path == made.path and (tmp_path / "run" / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="the same options"):
        paper.ensured(tmp_path / "run", "tiny", ["selection.dominance=0.1"], options)
    data = paper.means(made, "ancestry_mean", "main")
    assert data["generation"].tolist() == [1, 2, 3] and data["mean"].iloc[0] == pytest.approx(10)
    assert data["low"].isna().all()
