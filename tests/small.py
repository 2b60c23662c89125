# SPDX-License-Identifier: GPL-3.0-or-later
"""Small scenarios and the parts of an engine made from them, for the tests of the native engine."""

import copy

from admix import schedule
from admix.cache import Cache
from admix.engines.native.history import History, plan_stages
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.scenario import Scenario
from admix.spectrum import StationarySpectrum

# One year is one tick: the split is 90 ticks ago, the pulse 30, so generation 1 is tick 60 and today tick 90.
TREE = {
    "name": "small",
    "title": "A test",
    "demography": {
        "time_units": "years",
        "generation_time": 1,
        "demes": [
            {"name": "ancestral", "epochs": [{"start_size": 40, "end_time": 90}]},
            {"name": "modern", "ancestors": ["ancestral"], "epochs": [{"start_size": 40}]},
            {"name": "archaic", "ancestors": ["ancestral"], "epochs": [{"start_size": 12, "end_time": 30}]},
        ],
    },
    "genome": {"source": "human_autosomes_GRCh37", "target": "exons", "chromosomes": [21, 22]},
    "selection": {
        "mutation_rate": 4e-7,
        "dfe": {"kind": "gamma", "mean": -0.043, "shape": 0.23},
        "dominance": 0.5,
    },
    "pulse": [{"name": "pulse", "source": "archaic", "target": "modern", "time": 30, "share": 0.2}],
    "start": {"mode": "stationary", "relax": 20},
    "sampling": {"ancestors_at": [40], "landscape_generations": [2], "spread_generations": [2]},
}


def tree(**changes):
    """The tree of a small scenario, with whole top-level blocks replaced."""
    return copy.deepcopy(TREE) | copy.deepcopy(changes)


def scenario(**changes):
    return Scenario.from_tree(tree(**changes))


def demes(*rows, migrations=()):
    """A demography block: (name, ancestors, [(end_time, size or (start, end)), ...]) a deme."""
    out = []
    for name, ancestors, epochs in rows:
        deme = {"name": name, "epochs": []}
        if ancestors:
            deme["ancestors"] = list(ancestors)
            if len(ancestors) > 1:
                deme["proportions"] = [1 / len(ancestors)] * len(ancestors)
        for end, size in epochs:
            first, last = size if isinstance(size, tuple) else (size, size)
            deme["epochs"].append({"end_time": end, "start_size": first, "end_size": last})
        out.append(deme)
    block = {"time_units": "years", "generation_time": 1, "demes": out}
    if migrations:
        block["migrations"] = [
            {"source": s, "dest": d, "rate": rate, "start_time": first, "end_time": last}
            for s, d, rate, first, last in migrations
        ]
    return block


def start_times(block, **times):
    """Set the start_time of demes that split off before their ancestor ends."""
    for deme in block["demes"]:
        if deme["name"] in times:
            deme["start_time"] = times[deme["name"]]
    return block


class Parts:
    """Schedule, tables and history of a scenario, in a cache of its own."""

    def __init__(self, chosen, directory, *, threads=1, burnin=0, say=None, mode=None):
        self.scenario = chosen
        self.schedule = schedule.compile(chosen)
        self.tables = build_tables(chosen.build_genome(), chosen.build_selection())
        self.workers = Workers(threads)
        self.told = []
        self.cache = Cache(directory, say or self.told.append)
        start = chosen.start
        self.stages = plan_stages(
            self.schedule, "tables", mode or start.mode, start.ancestral_burnin, start.relax, burnin
        )

    def history(self, report=lambda *told: None):
        return History(self.schedule, self.tables, self.workers, self.cache, report, self.spectrum)

    def spectrum(self):
        t, n = self.tables, self.schedule.size(self.schedule.root, self.stages[0].first - 1)
        return StationarySpectrum(n, t.s_nodes, t.h_bins, t.mutation_mean)

    def lineages(self):
        made = self.history().make(self.stages)
        return [made[stage.name][0] for stage in self.stages[1:]]
