# SPDX-License-Identifier: GPL-3.0-or-later
"""From a sweep and what was measured to the answer: reads, emulates, checks, conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from admix.errors import InputError
from admix.infer import checks, priors, slow_loss, survey, targets
from admix.infer.emulator import Emulator, basis_of, make
from admix.infer.posterior import conditioned
from admix.infer.report import Answer
from admix.infer.survey import Survey
from admix.sweep import plan as plans
from admix.sweep.grid import Parameter
from admix.sweep.store import Store

__all__ = ["answer", "infer"]

SHOWN = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Generations of the predicted trajectory, besides those that the target needs."""

Report = Callable[[float, str], None]


def infer(
    folder: Path,
    target: targets.Target,
    *,
    stated: Sequence[str] = (),
    today: Path | None = None,
    source: str | None = None,
    deme: str | None = None,
    partial: bool = False,
    seed: int = 1,
    draws: int = 200_000,
    taken: float = 0.02,
    report: Report = lambda done, note: None,
) -> Answer:
    """Return the posterior of a sweep's parameters.

    Parameters
    ----------
    folder
        The directory of the sweep.
    target
        What was measured.
    stated
        Priors as typed.
    today
        The directory of a sweep of the same scenario that was run to today, which says how much of theory's slow loss
        is real.
    source, deme, partial
        See `admix.infer.survey.read`.
    seed, draws, taken
        See `admix.infer.posterior.conditioned`.
    report
        Is told the progress.

    Raises
    ------
    AdmixError
        If anything is not as it has to be.
    """
    plan, store = plans.read(folder), Store(folder)
    report(0.0, "reading the sweep")
    found = survey.read(plan, store, source=source, deme=deme, partial=partial)
    # what is wrong with the question is said before the long part
    targets.measured(target, found)
    priors.beliefs(found.axes, plan.study.grid.parameters, stated)
    basis = basis_of(found)
    factor = slow_loss.Factor()
    if found.last < found.today and today is not None:
        other = plans.read(today)
        if other.study.base.name != plan.study.base.name:
            raise InputError("--today", other.study.base.name, f"a sweep of the scenario {plan.study.base.name}")
        factor = slow_loss.calibrate(other, Store(today), found, lambda done, note: report(0.05 + 0.4 * done, note))
    wanted = [*SHOWN, *targets.measured(target, found).dates, found.today]
    slow = slow_loss.expect(plan, found, basis, wanted, factor, lambda done, note: report(0.45 + 0.4 * done, note))
    report(0.9, "posterior")
    emulator = make(found, wanted, slow, basis)
    parameters = plan.study.grid.parameters
    return answer(found, emulator, target, parameters=parameters, stated=stated, seed=seed, draws=draws, taken=taken)


def answer(
    found: Survey,
    emulator: Emulator,
    target: targets.Target,
    *,
    parameters: Sequence[Parameter] = (),
    stated: Sequence[str] = (),
    seed: int = 1,
    draws: int = 200_000,
    taken: float = 0.02,
) -> Answer:
    """Return the posterior of a survey's parameters; see `infer`."""
    measured = targets.measured(target, found)
    beliefs = priors.beliefs(found.axes, parameters, stated)
    posterior = conditioned(emulator, beliefs, measured, seed=seed, draws=draws, taken=taken)
    parts, verdicts = checks.leave_out(found, emulator.basis)
    return Answer(found, emulator, measured, posterior, parts, verdicts, seed)
