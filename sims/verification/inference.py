# SPDX-License-Identifier: GPL-3.0-or-later
"""Does `admix infer` find the pulse of runs that it has not seen? On 280 real points of the toy scenario.

    admix sweep run sims/sweeps/inference-heldout.yaml            # 70 histories, about 15 min on one core
    python sims/verification/inference.py sweeps/inference-heldout > docs/verification/inference.md

The burn-ins are put into five groups. Each group in turn makes the emulator (14 histories), and the next group gives
the truths: one run from each of its 14 histories, whose ancestry today is measured with an error. So each of 70
histories is a truth once. Pulses and sizes of the truths are drawn from those that were run, and the priors are lists
of just these, so that a sound posterior holds the truth at a uniform level (the weight below it, and a random part of
its own weight). What is counted is how often that level lies between 5 and 95 %.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from scipy.stats import binom

from admix import seeds
from admix.errors import InputError
from admix.infer import emulator, posterior, priors, slow_loss, survey, targets
from admix.sweep import plan as plans
from admix.sweep.store import Store

GROUPS, SD, LAST, DRAWS = 5, 0.001, 50, 10_000


def main(folder):
    plan, store = plans.read(folder), Store(folder)
    whole = survey.read(plan, store)
    short = whole.until(LAST)
    cases = [(f, row) for f in range(GROUPS) for row in truths(whole, (f + 1) % GROUPS)]
    low, high = (int(binom.ppf(level, len(cases), 0.9)) for level in (0.005, 0.995))
    basis = emulator.basis_of(short)
    theory = slow_loss.expect(plan, short, basis, [whole.today], slow_loss.Factor())
    expected = basis.columns(whole.values) @ theory.coefficients[:, -1]

    def factor(points):
        lost = short.at(LAST)[points] - whole.at(whole.today)[points]
        return dataclasses.replace(theory, factor=slow_loss.estimate(lost, expected[points], whole.history[points]))

    designs = {
        "run to today": (whole, lambda points: None),
        f"run to generation {LAST}, anything from none to all of theory's loss": (short, lambda points: theory),
        f"run to generation {LAST}, factor from the same histories run to today": (short, factor),
    }
    everybody = np.ones(len(whole.values), dtype=bool)
    found = factor(everybody).factor
    print(HEAD.format(points=len(whole.values), histories=len(np.unique(whole.history)), cases=len(cases), low=low,
                      high=high, sd=100 * SD, today=whole.today))  # fmt: skip
    print(
        "| emulator from points that were | archaic size | covered | verdict | without burn-ins | without drift too |"
    )
    print("|---|---|--:|---|--:|--:|")
    for name, (seen, slow) in designs.items():
        made = {}
        for f in range(GROUPS):
            points = whole.burnin % GROUPS == f
            made[f] = emulator.make(seen.of(points), [], slow(points), emulator.basis_of(seen.of(points)))
        for known in (False, True)[len(whole.axes) == 1 :]:
            right = sum(covers(made[f], whole, row, known) for f, row in cases)
            blind, deaf = (
                sum(covers(quiet(made[f], drift), whole, row, known) for f, row in cases) for drift in (1.0, 1e-6)
            )
            verdict = "pass" if low <= right <= high else "FAIL"
            what = "known" if known else "unknown"
            print(f"| {name} | {what} | {right} of {len(cases)} | {verdict} | {blind} | {deaf} |")
    print(TAIL.format(factor=found.estimate, error=found.error, histories=found.degrees + 1,
                      loss=float(np.mean(expected)), drift=float(theory.drift[-1]), last=LAST))  # fmt: skip
    surface = emulator.make(whole, [], None).anchor
    print(f"\nAll points together: standard deviation {surface.sd_history:.3f} between histories and"
          f" {surface.sd_drift:.3f} within, in log-odds; {100 * surface.shared_variance:.0f} % of the variance between"
          " histories is shared by those with the same modern lineage.")  # fmt: skip


def truths(whole, group):
    """One row for each history of a group, drawn by the history's number."""
    chosen = whole.burnin % GROUPS == group
    for history in np.unique(whole.history[chosen]):
        rows = np.flatnonzero(whole.history == history)
        yield int(seeds.generator("sims", "inference", int(history)).choice(rows))


def quiet(made, drift):
    """The same emulator without what burn-ins differ by, and with a part of the variance of drift: twins that fail."""
    anchor = made.anchor
    blind = dataclasses.replace(anchor, ratio=np.zeros_like(anchor.ratio), rss=drift * anchor.rss)
    return dataclasses.replace(made, anchor=blind)


def covers(made, whole, row, known):
    truth = whole.values.iloc[row]
    error = SD * float(seeds.generator("sims", "inference", "error", row).standard_normal())
    share = float(survey.share(whole.at(whole.today)[row])) + error
    stated = []
    for i, axis in enumerate(whole.axes):
        values = [truth[axis.name]] if known and i > 0 else axis.levels
        stated.append(f"{axis.name}=list({','.join(f'{value:g}' for value in values)})")
    beliefs = priors.beliefs(whole.axes, [], stated)
    target = targets.measured(targets.Target(share, SD), whole)
    try:
        found = posterior.conditioned(made, beliefs, target, draws=DRAWS)
    except InputError:
        return False  # a truth that is refused is a truth that is missed
    samples, pulse = found.samples, truth["pulse_share"]
    below, at = (
        samples["weight"][chosen].sum() for chosen in (samples["pulse_share"] < pulse, samples["pulse_share"] == pulse)
    )
    level = below + at * seeds.generator("sims", "inference", "level", row).random()
    return bool(posterior.INTERVAL[0] <= level <= posterior.INTERVAL[1])


HEAD = """# Does `admix infer` find the pulse of runs that it has not seen?

Made by `sims/verification/inference.py` from the sweep `sims/sweeps/inference-heldout.yaml`: {points:,} real points of
the scenario `tiny` from {histories} histories, run to today (generation {today}). Each of five groups of burn-ins makes
an emulator from 14 histories; the truths are runs of the next group, one from each history, with a measurement error
of {sd:g} % of DNA added. Priors are lists of the pulses and sizes that were run, and what is counted is how often the
truth lies between the levels of 5 and 95 % of the posterior of the pulse. In {cases} cases a sound method has it there
{low} to {high} times (binomial, 99 %). The twins in the last columns, which know nothing of the scatter of burn-ins, or
of drift either, show what the count can tell. In this toy drift is as large as the scatter of burn-ins.
"""
TAIL = """
From generation {last} to today theory expects a loss of {loss:.3f} in log-odds, in the mean of all points, and drift
with {drift:.2f} times the variance of before. The {histories} histories lost {factor:.2f} +- {error:.2f} times theory's
loss."""

if __name__ == "__main__":
    main(Path(sys.argv[1]))
