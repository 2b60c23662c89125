# SPDX-License-Identifier: GPL-3.0-or-later
"""Small random scenarios, drawn by hypothesis: each is run with all laws on, inspected, and resumed from its middle."""

import shutil
import warnings
from pathlib import Path

import processes
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from admix import results, run_pages, simulate
from admix.engines.native import history
from admix.engines.native.branch import Branch
from admix.errors import InputError
from admix.inspection import inspect
from admix.scenario import Scenario
from admix.simulate import RunOptions

ARCHAIC = ("neanderthal", "denisovan")


@st.composite
def scenarios(draw):
    """The tree of a scenario whose ticks are years: one or two archaic demes, one to three recipients."""
    split = draw(st.integers(40, 90))
    pulse = draw(st.integers(8, split - 20))
    size = st.integers(8, 60)
    ancestral = draw(size)
    demes = [{"name": "ancestral", "epochs": [{"start_size": ancestral, "end_time": split}]}]
    archaic = ARCHAIC[: draw(st.integers(1, 2))]
    for name in archaic:
        end = draw(st.integers(0, max(0, pulse - 6)))
        demes.append(
            {"name": name, "ancestors": ["ancestral"], "epochs": [_epoch(draw, draw(st.integers(4, 30)), end)]}
        )
    modern = {"name": "modern", "ancestors": ["ancestral"], "epochs": []}
    if draw(st.booleans()):
        between = draw(st.integers(pulse, split - 2))
        modern["epochs"].append({"start_size": ancestral, "end_time": between})
    modern["epochs"].append(_epoch(draw, draw(size), 0))
    demes.append(modern)
    recipients = ["modern"]
    for name in ("east", "west")[: draw(st.integers(0, 2))]:
        parent = draw(st.sampled_from(recipients))
        last = {d["name"]: d.get("start_time", split) for d in demes}[parent]
        start = draw(st.integers(3, int(last) - 1)) if last > 4 else 3
        demes.append(
            {"name": name, "ancestors": [parent], "start_time": start, "epochs": [_epoch(draw, draw(size), 0)]}
        )
        recipients.append(name)
    block = {"time_units": "years", "generation_time": 1, "demes": demes}
    if len(recipients) > 1 and draw(st.booleans()):
        a, b = draw(st.permutations(recipients))[:2]
        born = min(d.get("start_time", split) for d in demes if d["name"] in (a, b))
        rate = draw(st.sampled_from([0.001, 0.02, 0.2]))
        block["migrations"] = [{"source": a, "dest": b, "rate": rate, "start_time": born, "end_time": 0}]
    pulses = []
    for k in range(draw(st.integers(1, 3))):
        source = draw(st.sampled_from(archaic))
        first = next(d["epochs"][-1]["end_time"] for d in demes if d["name"] == source)
        when = draw(st.integers(max(2, int(first)), pulse))
        alive = [d["name"] for d in demes if d["name"] in recipients and d.get("start_time", split) > when]
        unit = draw(st.sampled_from(["individuals", "F1", "gametes"]))
        pulses.append(
            {
                "name": f"pulse{k}", "source": source, "target": draw(st.sampled_from(alive)), "time": when,
                "share": draw(st.sampled_from([0.02, 0.1, 0.3, 0.3 if unit == "F1" else 0.9])), "unit": unit,
                "mode": draw(st.sampled_from(["exact", "binomial"])),
            }
        )  # fmt: skip
    living = draw(st.sampled_from(recipients))
    return {
        "name": "soak", "title": "drawn at random", "demography": block,
        "genome": {
            "source": "human_autosomes_GRCh37", "target": draw(st.sampled_from(["exons", "cds"])),
            "chromosomes": draw(st.sampled_from([[22], [21, 22]])),
        },
        "selection": {
            "mutation_rate": draw(st.sampled_from([0.0, 1e-8, 4e-7, 2e-6])), "dfe": draw(dfes()),
            "dominance": draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        },
        "pulse": pulses,
        "start": {
            "mode": draw(st.sampled_from(["stationary", "stationary", "forward"])),
            "relax": draw(st.integers(0, 20)), "ancestral_burnin": 1,
        },
        "sampling": {
            "ancestors_at": draw(st.sampled_from([[], [split - 2]])), "landscape_generations": [1, 3],
            "spread_generations": [1, 2, 5], "trees": draw(st.sampled_from([False, False, True])),
            "individuals": [{"deme": living, "time": 0, "n": draw(st.integers(1, 3))}],
        },
    }  # fmt: skip


def _epoch(draw, size, end):
    if draw(st.booleans()):
        return {"start_size": size, "end_time": end}
    return {"start_size": size, "end_size": draw(st.integers(6, 60)), "end_time": end}


def dfes():
    """Distributions of fitness effects, from none to lethal."""
    return st.one_of(
        st.just({"kind": "neutral"}),
        st.sampled_from([0.043, 0.5, 0.001]).map(lambda m: {"kind": "gamma", "mean": -m, "shape": 0.23}),
        st.sampled_from([-0.999, -0.1, -1e-6]).map(lambda s: {"kind": "point", "s": s}),
    )


def drawn(number):
    """The tree of scenario `number`, and its options; always the same."""
    found = []

    @seed(number)
    @settings(
        max_examples=4, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(scenarios(), st.sampled_from([None, "neutral"]), st.integers(1, 2), st.integers(1, 2**32 - 1))
    def one(tree, twin, replicates, run_seed):
        # the first is the simplest that there is
        found.append((tree, {"twin": twin, "replicates": replicates, "burnins": replicates, "seed": run_seed}))

    one()
    return found[-1]


def live(number, folder, *, engine="native", slim_path=None):
    """Run a scenario and look at it; return ``refused: why``, or ``ok``, or what is wrong."""
    tree, options = drawn(number)
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make, run_pages.make = run_pages.make, lambda path: None
    options |= {"out": folder / "run", "cache_dir": folder / "cache", "threads": 1}
    if engine == "slim":
        options |= {"engine": engine, "slim_path": slim_path, "history": "native"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                scenario = Scenario.from_tree(tree)
                made = simulate.run(scenario, RunOptions(**options))
            except InputError as error:
                return f"refused: {error}"
            bad = [
                f.line for f in inspect(made, seed=number, cache_dir=folder / "cache", threads=1) if f.state == "bad"
            ]
            if bad:
                return "; ".join(bad)
            if engine == "native" and (wrong := _resumed(scenario, options, processes.tables(made))):
                return wrong
            return "ok"
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"
    finally:
        run_pages.make = make
        shutil.rmtree(folder, ignore_errors=True)


def _resumed(scenario, options, expected):
    """Stop the run after some ticks of its last branch and go on."""
    options = options | {"out": options["out"].with_name("again")}
    run, left = Branch.run, [len(scenario.branches) * options["replicates"] * (1 + (options["twin"] is not None))]

    def stop(self, lineages, report, *rest):
        left[0] -= 1

        def last(done, note):
            if not left[0] and done > 0.3:
                raise KeyboardInterrupt

        return run(self, lineages, last, *rest)

    before, history.CHECKPOINT_SECONDS = history.CHECKPOINT_SECONDS, -1.0
    Branch.run = stop
    try:
        simulate.run(scenario, RunOptions(**options))
        return "the run could not be stopped"
    except KeyboardInterrupt:
        pass
    finally:
        Branch.run, history.CHECKPOINT_SECONDS = run, before
    made = simulate.run(scenario, RunOptions(**options))
    if processes.tables(made) != expected:
        return "resumed, it gave other numbers"
    if len(results.read_run(made).provenance["resumed"]) != _others(scenario, options):
        return "resumed, it repeated a finished branch"
    return ""


def _others(scenario, options):
    return len(scenario.branches) * options["replicates"] * (1 + (options["twin"] is not None)) - 1
