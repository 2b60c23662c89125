# SPDX-License-Identifier: GPL-3.0-or-later
"""What the figures show: artists, labels, units and positions, never pixels."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import demes
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, StepPatch

from admix import figures, plots, scenario
from admix.errors import InputError, RunError
from admix.results import RunWriter, read_run

ROOT = Path(__file__).parents[1]
TODAY = 1680
YEARS = 28.0


def frame(*, branches=(("p10", 0.1), ("p20", 0.2)), replicates=1, twins=("none",), today=TODAY, deme="modern"):
    g = np.arange(1, today + 1)
    parts = []
    for (branch, share), twin, replicate in itertools.product(branches, twins, range(replicates)):
        left = 0.22 if twin == "none" else 1.0
        mean = share * (left + (1 - left) * 0.4 ** (g - 1)) * (1 + 0.05 * replicate * (g - 1) / today)
        parts.append(
            pd.DataFrame(
                {
                    "branch": branch,
                    "replicate": replicate,
                    "twin": twin,
                    "source": "neanderthal",
                    "deme": deme,
                    "generation": g,
                    "years_bp": (today - g) * YEARS,
                    "ancestry_mean": mean,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def histogram(generations=(2, 5, 10, 50), branch="p10"):
    parts = []
    edges = np.linspace(0, 1, 201)
    rng = np.random.default_rng(1)
    for g in generations:
        x = rng.choice([0.0, 0.5, 1.0], 1000, p=[0.9, 0.09, 0.01]) if g == 2 else rng.beta(2 * g, 80 * g, 1000)
        parts.append(
            pd.DataFrame(
                {
                    "branch": branch,
                    "replicate": 0,
                    "twin": "none",
                    "source": "neanderthal",
                    "deme": "modern",
                    "generation": g,
                    "bin_start": edges[:-1],
                    "bin_end": edges[1:],
                    "count": np.histogram(x, edges)[0],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def ax():
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(5.0, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplots()


def lines(ax):
    return {line.get_label().removeprefix("_"): line for line in ax.lines}


def texts(ax):
    return [t.get_text() for t in ax.texts]


def text_boxes(figure):
    """Boxes of every visible text, in pixels; what constrained layout has settled."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = []
    hidden = set()
    for axes in figure.findobj(matplotlib.axis.Axis):
        # Ticks beyond the limits exist but are not drawn.
        low, high = sorted(axes.get_view_interval())
        ticks = [*axes.get_major_ticks(), *axes.get_minor_ticks()]
        hidden |= {id(label) for t in ticks if not low <= t.get_loc() <= high for label in (t.label1, t.label2)}
    for text in figure.findobj(matplotlib.text.Text):
        if id(text) not in hidden and text.get_visible() and text.get_text().strip():
            # Not the annotation's own method, which takes in the arrow.
            box = matplotlib.text.Text.get_window_extent(text, renderer)
            if box.width > 0:
                boxes.append((text.get_text(), box))
    return boxes


def assert_legible(figure):
    """No two texts overlap and none is cut off by the edge of the figure."""
    boxes = text_boxes(figure)
    assert len(boxes) > 5
    width, height = figure.canvas.get_width_height()
    for text, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{text!r} is cut off"
    for (a, box_a), (b, box_b) in itertools.combinations(boxes, 2):
        overlap = (
            min(box_a.x1, box_b.x1) - max(box_a.x0, box_b.x0),
            min(box_a.y1, box_b.y1) - max(box_a.y0, box_b.y0),
        )
        assert min(overlap) < 1, f"{a!r} and {b!r} overlap"


# ---- trajectory


def test_trajectory_draws_the_mean_in_per_cent(ax):
    data = frame(replicates=3)
    assert figures.trajectory(data, ax) is ax
    line = lines(ax)["p10"]
    expected = data[data["branch"] == "p10"].groupby("generation")["ancestry_mean"].mean()
    np.testing.assert_array_equal(line.get_xdata(), expected.index)
    np.testing.assert_allclose(line.get_ydata(), 100 * expected.to_numpy())
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "Neanderthal ancestry (% of DNA)"
    assert "generation" in ax.get_xlabel()


def test_what_was_expected_lies_under_the_lines(ax):
    data = frame(twins=("none", "neutral"), today=200)
    expected = data[data["twin"] == "none"].assign(ancestry_mean=lambda rows: 0.9 * rows["ancestry_mean"])
    longer = pd.concat([expected, expected.assign(generation=expected["generation"] + 200)])
    figures.trajectory(data, ax, expected=longer[longer["branch"] == "p10"])
    found = lines(ax)
    assert [name for name in found if "expected" in name] == ["p10, expected"]
    under, over = found["p10, expected"], found["p10"]
    np.testing.assert_array_equal(under.get_xdata(), over.get_xdata())
    np.testing.assert_allclose(under.get_ydata(), 0.9 * over.get_ydata())
    assert under.get_zorder() < over.get_zorder() and under.get_color() == over.get_color()
    assert figures.EXPECTED_LABEL in [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_mean_is_that_of_burnins_where_they_are_known(ax):
    data = frame(branches=(("p10", 0.1),), replicates=3)
    data["burnin"] = np.where(data["replicate"] == 2, 1, 0)
    figures.trajectory(data, ax)
    at_end = data[data["generation"] == TODAY].set_index("replicate")["ancestry_mean"]
    expected = 100 * ((at_end[0] + at_end[1]) / 2 + at_end[2]) / 2
    assert lines(ax)["p10"].get_ydata()[-1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("replicates", "label", "tail"),
    [(3, "range of 3 replicates", 0.0), (20, "5–95 % of 20 replicates", 0.05)],
)
def test_the_band_says_what_it_is_and_is_that(ax, replicates, label, tail):
    data = frame(branches=(("p10", 0.1),), replicates=replicates, today=200)
    figures.trajectory(data, ax, living=None)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [label]
    (band,) = ax.collections
    at_end = 100 * data[data["generation"] == 200]["ancestry_mean"]
    corners = band.get_paths()[0].vertices
    ends = corners[corners[:, 0] == 200][:, 1]
    assert ends.min() == pytest.approx(at_end.quantile(tail))
    assert ends.max() == pytest.approx(at_end.quantile(1 - tail))


def test_one_replicate_has_no_band(ax):
    figures.trajectory(frame(), ax, living=None)
    assert len(ax.collections) == 0
    assert ax.get_legend() is None


def test_ancient_genomes_stand_at_their_dates_by_the_runs_clock(ax):
    ancient = pd.DataFrame(
        {
            "age_bp": [45_020, 28 * 680.0, 60_000],
            "estimate": [0.0256, 0.02, 0.03],
            "se": [0.0038, 0.004, 0.004],
        }
    )
    figures.trajectory(frame(), ax, ancient=ancient)
    (container,) = [c for c in ax.containers if isinstance(c, ErrorbarContainer)]
    points, _, (bars,) = container.lines
    # Older than generation 1 (47,012 years) is left out; generation = today - years / 28.
    np.testing.assert_allclose(points.get_xdata(), [TODAY - 45_020 / 28, TODAY - 680])
    np.testing.assert_allclose(points.get_ydata(), [2.56, 2.0])
    np.testing.assert_allclose([s[:, 1] for s in bars.get_segments()], [[2.18, 2.94], [1.6, 2.4]])
    assert figures.ANCIENT_LABEL in [t.get_text() for t in ax.get_legend().get_texts()]


def test_living_people_are_a_labelled_band(ax):
    figures.trajectory(frame(), ax)
    (band,) = [p for p in ax.patches if isinstance(p, matplotlib.patches.Rectangle)]
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((1.8, 2.4))
    assert "living non-Africans, 1.8–2.4 %" in texts(ax)


def test_upper_axis_is_in_thousand_years_at_the_right_generations(ax):
    figures.trajectory(frame(), ax)
    (upper,) = ax.child_axes
    assert upper.get_xlabel() == "thousand years ago"
    ticks = dict(zip((t.get_text() for t in upper.get_xticklabels()), upper.get_xticks(), strict=True))
    assert ticks["47"] == 1
    assert ticks["0"] == TODAY
    assert {"46.9", "46", "45", "40", "30"} <= set(ticks)
    for label, generation in ticks.items():
        if label != "47":
            assert generation == pytest.approx(TODAY - 1000 * float(label) / YEARS)


def test_lines_are_named_at_their_ends_with_todays_value(ax):
    data = frame(twins=("none", "neutral"))
    figures.trajectory(data, ax, labels={"p10": "10 % pulse", "p20": "20 % pulse"})
    assert {
        "10 % pulse\n2.2 % today",
        "20 % pulse\n4.4 % today",
        "10 % pulse, no selection\n10.0 % today",
        "20 % pulse, no selection\n20.0 % today",
    } <= set(texts(ax))
    drawn = lines(ax)
    assert drawn["10 % pulse"].get_linestyle() == "-"
    assert drawn["10 % pulse, no selection"].get_linestyle() == ":"
    assert drawn["10 % pulse"].get_color() == drawn["10 % pulse, no selection"].get_color()
    assert drawn["10 % pulse"].get_color() != drawn["20 % pulse"].get_color()
    assert set(figures.COLOURS) >= {line.get_color() for line in drawn.values()}


def test_a_run_that_stops_early_claims_nothing_for_today(ax):
    data = frame()
    figures.trajectory(data[data["generation"] <= 100], ax)
    assert not any("today" in t for t in texts(ax))


def test_lost_ancestry_is_drawn_on_a_linear_axis(ax):
    data = frame()
    data.loc[data["generation"] > 100, "ancestry_mean"] = 0.0
    figures.trajectory(data, ax)
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] == 0


def test_demes_are_told_apart(ax):
    data = pd.concat([frame(branches=(("p10", 0.1),)), frame(branches=(("p10", 0.1),), deme="EAS")])
    figures.trajectory(data, ax)
    assert set(lines(ax)) == {"p10, modern", "p10, EAS"}


def test_labels_that_would_touch_are_moved_apart():
    assert figures._apart([0.1, 0.5], 0.2) == [0.1, 0.5]
    spots = figures._apart([0.30, 0.31, 0.32, 0.9], 0.1)
    assert min(np.diff(spots)) >= 0.1 - 1e-6
    assert spots[1] == pytest.approx(0.31, abs=0.02)


def test_labels_above_lines_that_lie_close_stand_above_all_of_them():
    assert figures._stacked([0.1, 0.5], 0.1) == [0.1, 0.5]
    np.testing.assert_allclose(figures._stacked([0.1, 0.12, 0.15, 0.9], 0.1), [0.15, 0.25, 0.35, 0.9])


def test_first_generations_are_the_first_twenty(ax):
    figures.first_generations(frame(), ax)
    line = lines(ax)["p20"]
    assert line.get_xdata().tolist() == list(range(1, 21))
    assert line.get_ydata()[0] == pytest.approx(20.0)
    assert ax.get_xscale() == ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] == 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("generation", "Neanderthal ancestry (% of DNA)")


# ---- spread


def test_spread_shows_the_share_of_people_in_each_bin(ax):
    data = histogram()
    figures.spread(data, ax, means={2: 0.055})
    steps = {p.get_label(): p for p in ax.patches if isinstance(p, StepPatch) and p.get_label().startswith("gen")}
    assert list(steps) == ["generation 2", "generation 5", "generation 10", "generation 50"]
    heights, edges, base = steps["generation 2"].get_data()
    assert edges[:3].tolist() == [0.0, 0.5, 1.0]
    # Read back through the axis's own labels: a decade is the distance between two of them, over two.
    ticks = {t.get_text(): y for t, y in zip(ax.get_yticklabels()[:3], ax.get_yticks()[:3], strict=True)}
    decade = (ticks["100"] - ticks["1"]) / 2
    share = 10 ** ((heights - ticks["1"]) / decade)
    counts = data[data["generation"] == 2]["count"].to_numpy()
    np.testing.assert_allclose(share[counts > 0], 100 * counts[counts > 0] / 1000)
    assert np.all(heights[counts == 0] == base)
    assert "generation 2, mean 5.5 %" in texts(ax)
    assert "generation 5" in texts(ax)
    (triangle,) = [line for line in ax.lines if line.get_marker() == "^"]
    assert triangle.get_xdata() == [pytest.approx(5.5)]
    assert ax.get_xlabel() == "Neanderthal ancestry of one person (% of DNA)"
    assert "people" in ax.get_ylabel()


def test_spread_adds_up_replicates_and_leaves_out_absent_generations(ax):
    data = pd.concat([histogram((2, 5)), histogram((2, 5)).assign(replicate=1)])
    figures.spread(data, ax)
    assert [t for t in texts(ax) if t.startswith("generation")] == ["generation 2", "generation 5"]


# ---- model


def test_model_shows_sizes_dates_and_a_bold_pulse(ax):
    graph = scenario.load("reich").graph_with_pulses()
    figures.model(graph, ax, pulse_label="10 % or 20 %", names={"neanderthal": "Neanderthal"})
    assert set(texts(ax)) >= {
        "ancestral\nN = 10,000",
        "modern\nN = 10,000",
        "Neanderthal\nN = 1,000",
        "pulse of 10 % or 20 %\n47,000 years ago",
    }
    assert ax.get_ylabel() == "thousand years ago (log scale)"
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    assert low < 47_000 / 3
    assert high > 550_000 * 1.5
    (arrow,) = [
        t.arrow_patch
        for t in ax.texts
        if getattr(t, "arrow_patch", None) is not None and t.get_visible() and t.get_text() == ""
    ]
    assert isinstance(arrow, FancyArrowPatch)
    assert arrow.get_linewidth() >= 2
    ax.figure.canvas.draw()
    label = {t.get_text(): t for t in ax.get_yticklabels()}
    assert {"50", "100", "500", "1,000"} <= set(label)


def test_model_with_many_demes_writes_names_only(ax):
    builder = demes.Builder(time_units="years", generation_time=28)
    builder.add_deme("root", epochs=[{"start_size": 1000, "end_time": 500_000}])
    names = [f"pop{i}" for i in range(6)]
    for name in names:
        builder.add_deme(name, ancestors=["root"], epochs=[{"start_size": 1000}])
    for i, name in enumerate(names[1:]):
        builder.add_pulse(sources=["pop0"], dest=name, proportions=[0.1], time=50_000 + 1000 * i)
    figures.model(builder.resolve(), ax)
    assert sorted(t.get_text() for t in ax.get_xticklabels()) == sorted(["root", *names])
    assert not any("N =" in t or "pulse" in t for t in texts(ax))


# ---- the pictures of a run


def run_directory(path, scenario_name="reich", *, second_source=False, **options):
    data = frame(**options)
    if second_source:
        data = pd.concat([data, data.assign(source="denisova")], ignore_index=True)
    for column in ("n_individuals", "log_fitness_mean", "load_archaic"):
        data[column] = 1
    for column in ("sd", "p05", "p50", "p95", "functional", "far"):
        data[f"ancestry_{column}"] = 0.01
    keys = ["branch", "replicate", "twin", "source"]
    pulse = data.groupby(keys, sort=False, as_index=False).agg(
        years_bp=("years_bp", "max"), requested=("ancestry_mean", "max")
    )
    pulse = pulse.assign(
        pulse="pulse",
        target="modern",
        realised=pulse["requested"],
        fitness_archaic_relative=0.465,
        log_load_difference=0.766,
        burnin=0,
    )
    spread = pd.concat([histogram(branch=b) for b in data["branch"].unique()], ignore_index=True)
    if second_source:
        spread = pd.concat([spread, spread.assign(source="denisova")], ignore_index=True)
    shares = {"headcount": 0.1, "pedigree_paths": 0.023, "genealogical": 0.056, "genealogical@70ka": 0.09, "dna": 0.021}
    measures = pd.DataFrame({"scope": "all", "measure": list(shares), "value": list(shares.values())})
    ancestors = pulse[keys].merge(measures, how="cross")
    start = np.tile(np.arange(0, 5_000_000, 500_000), 3)
    windows = pd.DataFrame({"chrom": np.repeat(["1", "2", "22"], 10), "start": start, "end": start + 500_000})
    windows = windows.assign(generation=2, cM=0.5, functional_bp=0, B=1.0, ancestry=start / 5e7)
    landscape = pulse[keys].merge(windows, how="cross")
    with RunWriter(path) as writer:
        for name, table in {
            "trajectory": data,
            "pulse": pulse,
            "ancestors": ancestors,
            "landscape": landscape,
            "spread": spread,
        }.items():
            writer.table(f"{name}.tsv", table)
        writer.text("scenario.yaml", scenario.load(scenario_name).to_yaml())
        writer.json("provenance.json", {})
        writer.json("summary.json", {})
        return read_run(writer.seal())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"replicates": 6, "twins": ("none", "neutral")},
        {"branches": (("main", 0.1),), "replicates": 20},
        {"scenario_name": "tiny", "today": 201},
        {"scenario_name": "petr2019", "branches": (("p10", 0.1),), "today": 2201},
        {"branches": tuple((f"p{i}", 0.1 + 0.004 * i) for i in range(4))},
    ],
)
@pytest.mark.parametrize("name", list(plots.FIGURES))
def test_every_picture_is_legible(tmp_path, name, options):
    run = run_directory(tmp_path / "run", **options)
    with matplotlib.rc_context(figures.STYLE):
        pictures = plots.FIGURES[name](run)
        assert list(pictures) == [""]
        for figure in pictures.values():
            FigureCanvasAgg(figure)
            assert_legible(figure)


def test_measured_people_are_not_drawn_beside_a_toy(tmp_path):
    toy = plots.trajectory(run_directory(tmp_path / "toy", "tiny", today=201))[""]
    real = plots.trajectory(run_directory(tmp_path / "real"))[""]
    assert figures.LIVING_LABEL not in texts(toy.axes[0])
    assert figures.LIVING_LABEL in texts(real.axes[0])


def test_draw_all_saves_every_figure_and_the_same_bytes_again(tmp_path):
    run = run_directory(tmp_path / "run", today=300)
    saved = plots.draw_all(run, tmp_path / "one")
    assert [p.name for p in saved] == [f"{name}.{form}" for name in plots.FIGURES for form in ("png", "svg")]
    plots.draw_all(run, tmp_path / "two")
    for path in saved:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted(p.name for p in saved)


def test_png_has_200_dots_an_inch(tmp_path):
    run = run_directory(tmp_path / "run", today=300)
    (path,) = plots.draw_all(run, tmp_path, figures=["trajectory"], formats=["png"])
    header = path.read_bytes()[:24]
    assert int.from_bytes(header[16:20]) == 1440
    assert int.from_bytes(header[20:24]) == 680


def test_two_sources_give_two_pictures(tmp_path):
    run = run_directory(tmp_path / "run", today=300, second_source=True)
    saved = plots.draw_all(run, tmp_path / "out", figures=["trajectory", "spread"], formats=["svg"])
    assert [p.name for p in saved] == [
        "trajectory_neanderthal.svg",
        "trajectory_denisova.svg",
        "spread_neanderthal.svg",
        "spread_denisova.svg",
    ]
    assert plots.trajectory(run)["_denisova"].axes[0].get_ylabel() == "Denisovan ancestry (% of DNA)"


def test_unknown_names_are_refused_and_a_full_disk_is_told(tmp_path, monkeypatch):
    run = run_directory(tmp_path / "run", today=300)
    with pytest.raises(InputError, match="did you mean trajectory"):
        plots.draw_all(run, tmp_path, figures=["trajectry"])
    with pytest.raises(InputError, match="png, svg, pdf"):
        plots.draw_all(run, tmp_path, formats=["gif"])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(RunError, match=r"trajectory\.png: cannot be written \(No space left on device\)"):
        plots.draw_all(run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_branches_are_named_by_their_pulse_where_that_tells_them_apart():
    pulse = pd.DataFrame({"branch": ["a", "b"], "source": "n", "pulse": "p", "requested": [0.1, 0.2]})
    assert plots.branch_labels(pulse) == {"a": "10 % pulse", "b": "20 % pulse"}
    assert plots.branch_labels(pulse.assign(requested=0.1)) == {}
    assert plots.branch_labels(pd.concat([pulse, pulse.assign(pulse="q")])) == {}


def test_shipped_ancient_genomes():
    table = plots.ancient_genomes()
    assert list(table.columns) == ["sample", "age_bp", "estimate", "se", "source"]
    assert len(table) == 21
    assert table["sample"].is_unique
    first = table.set_index("sample").loc["UstIshim"]
    assert (first["age_bp"], first["estimate"], first["se"]) == (45_020, 0.025594, 0.003803)
    assert table["estimate"].between(0.015, 0.034).all()
    assert table["se"].between(0.003, 0.0067).all()
    assert table["source"].str.contains("10.1073/pnas.1814338116").all()


def test_style_is_one_colour_blind_safe_set():
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(figures.COLOURS) | {figures.LIVING_COLOUR} <= okabe_ito
    assert len(set(figures.COLOURS)) == len(figures.COLOURS)


@pytest.mark.parametrize("name", list(plots.FIGURES))
def test_the_scripts_remake_each_figure(tmp_path, name):
    run = run_directory(tmp_path / "run", today=300)
    script = ROOT / "sims" / "figures" / f"{name}.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, run.path, tmp_path / "out"], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(tmp_path / "out" / f"{name}.{form}") for form in ("png", "svg")]
    (again,) = plots.draw_all(run, tmp_path / "again", figures=[name], formats=["svg"])
    assert again.read_bytes() == (tmp_path / "out" / f"{name}.svg").read_bytes()
    missing = subprocess.run(
        [sys.executable, script, tmp_path / "rum"], capture_output=True, text=True, env=environment
    )
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
