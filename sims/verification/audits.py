# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audits of a run cost (docs/safety.md): processor time of a branch of 10,000 people on the whole exome.

    python sims/verification/audits.py [TICKS]

One thread. Audits and recounts are timed inside the run; the share is of the branch, and of one of 2,000 generations,
in which they come every 128.
"""

import sys
import tempfile
import time
from pathlib import Path

from admix import schedule
from admix.cache import Cache
from admix.engines.native import branch as branches
from admix.engines.native.branch import Branch, BranchPlan
from admix.engines.native.history import REBALANCE_EVERY, History, plan_stages
from admix.engines.native.tables import build_tables
from admix.engines.native.workers import Workers
from admix.engines.native.world import World
from admix.scenario import load
from admix.spectrum import StationarySpectrum

SPENT = {"audit": [0.0, 0], "conservation": [0.0, 0], "recount": [0.0, 0]}


def timed(name, function):
    """The function, with its processor time put down."""

    def call(*given):
        began = time.process_time()
        try:
            return function(*given)
        finally:
            SPENT[name][0] += time.process_time() - began
            SPENT[name][1] += 1

    return call


def main():
    """Run the branch and print the shares."""
    ticks = int(sys.argv[1]) if len(sys.argv) > 1 else 130
    tree = load("tiny").to_tree()
    tree["name"] = "audits"
    pulse = ticks - 1
    tree["demography"] = {
        "time_units": "years", "generation_time": 1,
        "demes": [
            {"name": "ancestral", "epochs": [{"start_size": 10_000, "end_time": ticks + 6}]},
            {"name": "modern", "ancestors": ["ancestral"], "epochs": [{"start_size": 10_000}]},
            {"name": "neanderthal", "ancestors": ["ancestral"], "epochs": [{"start_size": 1000, "end_time": pulse}]},
        ],
    }  # fmt: skip
    tree["genome"] = {"source": "human_autosomes_GRCh37", "target": "exons"}
    tree["selection"] |= {"mutation_rate": 1e-8}
    tree["pulse"] = [{"name": "p", "source": "neanderthal", "target": "modern", "time": pulse, "share": 0.1}]
    tree["start"] = {"mode": "stationary", "relax": 4}
    tree["sampling"] = {"landscape_generations": [2], "spread_generations": [2]}
    tree["branches"] = [{"name": "main", "set": {}}]
    from admix.scenario import Scenario

    chosen = Scenario.from_tree(tree)
    clock, tables = schedule.compile(chosen), build_tables(chosen.build_genome(), chosen.build_selection())
    workers = Workers(1)
    with tempfile.TemporaryDirectory() as folder:
        stages = plan_stages(clock, "audits", "stationary", 1, 4, 0)
        spectrum = StationarySpectrum(10_000, tables.s_nodes, tables.h_bins, tables.mutation_mean)
        history = History(clock, tables, workers, Cache(Path(folder)), lambda *told: None, lambda: spectrum)
        made = history.make(stages)
    lineages = [made[stage.name][0] for stage in stages[1:]]
    plan = BranchPlan(
        branch="main", replicate=0, twin="none", seed=1, burnin=0, last=clock.today, landscape_generations=(2,),
        spread_generations=(2,),
    )  # fmt: skip
    branches.audit = timed("audit", branches.audit)
    branches.Conservation.look = timed("conservation", branches.Conservation.look)
    rebalance = World.rebalance

    def rebalanced(self, *, recount=False):
        counts = World.counts
        if recount:
            calls = []

            def twice(self, index):
                calls.append(index)
                # the second count of a deme is the one that is made for the comparison alone
                return (timed("recount", counts) if calls.count(index) > 1 else counts)(self, index)

            World.counts = twice
        try:
            rebalance(self, recount=recount)
        finally:
            World.counts = counts

    World.rebalance = rebalanced
    branch = Branch(clock, tables, workers, plan)
    began = time.process_time()
    branch.run(lineages, lambda done, note: None)
    whole = time.process_time() - began
    looks = SPENT["audit"][1]
    extra = sum(seconds for seconds, _ in SPENT.values())
    tick = (whole - extra) / ticks
    for name, (seconds, calls) in SPENT.items():
        print(f"{name}: {calls} times, {1000 * seconds / max(1, calls):.0f} ms each")
    print(f"a generation: {1000 * tick:.0f} ms")
    print(f"share of this branch of {ticks} generations with {looks} audits: {extra / whole:.2%}")
    print(f"share where one comes every {REBALANCE_EVERY} generations: {extra / looks / (tick * REBALANCE_EVERY):.2%}")


if __name__ == "__main__":
    main()
