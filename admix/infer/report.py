# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written and printed about a posterior."""

from __future__ import annotations

import json
import os
import textwrap
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from admix import __version__
from admix.derived import write_table
from admix.errors import RunError, plain
from admix.infer.checks import Check
from admix.infer.emulator import Emulator
from admix.infer.posterior import Posterior
from admix.infer.survey import Survey
from admix.infer.targets import Measured
from admix.summary import people, percent

__all__ = ["CHECKS", "SAMPLES", "SUMMARY", "Answer", "screen_text", "sentence", "write"]

SAMPLES, SUMMARY, CHECKS, RECORD = "posterior.tsv", "summary.tsv", "checks.tsv", "inference.json"
_STRONG_DRIFT = 0.5  # in log-odds; beyond, the smallest shares have a long tail towards 0
_LEVELS = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


@dataclass(frozen=True)
class Answer:
    """Everything that an inference found.

    Attributes
    ----------
    survey, emulator, target, posterior
        What it was made from, and the posterior itself.
    parts : DataFrame
        See `admix.infer.checks.leave_out`.
    checks : list of Check
    seed : int
    """

    survey: Survey
    emulator: Emulator
    target: Measured
    posterior: Posterior
    parts: pd.DataFrame
    checks: Sequence[Check]
    seed: int

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know before using the numbers, a sentence each."""
        found = []
        for name, end in self.posterior.edges:
            found.append(
                f"The interval of {name} depends on the prior's end at {end:g}: the data alone do not exclude it."
            )
        for belief in self.posterior.beliefs:
            if belief.outside > 1e-6:
                found.append(
                    f"{100 * belief.outside:.2g} % of the prior of {belief.axis.name} lies outside what was simulated"
                    f" ({belief.axis.low:g} to {belief.axis.high:g}) and was cut off."
                )
        if all(check.kind != "burn-in" for check in self.checks):
            found.append("There are too few burn-ins to leave one out, so the scatter of histories is unchecked.")
        for check in self.checks:
            if not check.passed:
                found.append(
                    f"The emulator does not foretell a {check.kind} that is left out (p = {check.probability:.1g});"
                    " run more values in between."
                )
        if self.emulator.anchor.sd_drift > _STRONG_DRIFT:
            found.append(
                f"Drift moves log-odds by {self.emulator.anchor.sd_drift:.2f}, and is taken as normal: shares are too"
                " small for this population."
            )
        if self.target.unused:
            found.append(f"{self.target.unused} genomes are older than the mixture and were left out.")
        if not 0.005 <= self.posterior.misfit <= 0.995:
            found.append(f"What was measured does not fit any of these runs (p = {self.posterior.misfit:.1g}).")
        if self.posterior.effective_exact < 200:
            found.append("Few of the prior's runs end near the target: give more --draws or a narrower prior.")
        return found


def sentence(answer: Answer) -> str:
    """Return the sentence that a reader wants."""
    axis, survey, target = answer.survey.pulse, answer.survey, answer.target
    middle, low, high = answer.posterior.quantiles(axis.name)
    who = people(survey.source)
    of = "the mixed founding generation were" if survey.unit == "individuals" else "its founding gene copies were"
    if target.living is not None:
        begin = f"To end at {percent(target.living[0])}"
        also = " and to pass through the ancient genomes" if len(target.genomes) else ""
    else:
        begin, also = "To pass through the ancient genomes", ""
    interval = f"90 % interval {_bare(low)} to {_bare(high)}"
    return f"{begin}{also} with these priors, {percent(middle)} ({interval}) of {of} {who}."


def _bare(value: float) -> str:
    return percent(value).removesuffix(" %")


def summary(answer: Answer) -> pd.DataFrame:
    """Return `parameter, value, prior, mean, q05, q25, median, q75, q95, probability, exact_q05, exact_median,
    exact_q95`: a row for each number, and for each value of a parameter that is a list."""
    posterior, rows = answer.posterior, []
    weights = posterior.samples["weight"].to_numpy()
    exact = posterior.exact.set_index("parameter")
    for belief in posterior.beliefs:
        name = belief.axis.name
        head = {"parameter": name, "value": "", "prior": belief.text}
        if belief.axis.numeric:
            values = posterior.samples[name].to_numpy(float)
            found = dict(zip(_LEVELS, posterior.quantiles(name, list(_LEVELS.values())), strict=True))
            other = {f"exact_{k}": exact.loc[name, v] for k, v in
                     (("q05", "low"), ("median", "median"), ("q95", "high"))}  # fmt: skip
            rows.append(head | {"mean": float(weights @ values)} | found | other)
        if belief.discrete:
            probabilities = posterior.probabilities(name)
            for value in belief.values(np.arange(belief.count)):
                rows.append(head | {"value": str(plain(value)), "probability": float(probabilities.get(value, 0.0))})
    last = f"ancestry_g{posterior.generations[-1]}"
    found = dict(zip(_LEVELS, posterior.quantiles(last, list(_LEVELS.values())), strict=True))
    mean = float(weights @ posterior.samples[last].to_numpy(float))
    rows.append({"parameter": last, "value": "", "prior": "", "mean": mean} | found)
    columns = ["parameter", "value", "prior", "mean", *_LEVELS, "probability", "exact_q05", "exact_median", "exact_q95"]
    return pd.DataFrame(rows, columns=columns)


def record(answer: Answer) -> dict[str, Any]:
    """Return all that was supposed and found, for JSON."""
    survey, posterior, target = answer.survey, answer.posterior, answer.target
    anchor, slow = answer.emulator.anchor, answer.emulator.slow
    return {
        "admix": __version__,
        "seed": answer.seed,
        "sentence": sentence(answer),
        "warnings": answer.warnings,
        "source": survey.source,
        "deme": survey.deme,
        "priors": {b.axis.name: {"prior": b.text, "origin": b.origin, "cut_off": b.outside} for b in posterior.beliefs},
        "simulated": {
            a.name: [plain(v) for v in a.levels] if len(a.levels) <= 20 else [a.low, a.high] for a in survey.axes
        },
        "target": dict(zip(target.names, target.observed.tolist(), strict=True)),
        "target_sd": dict(zip(target.names, (target.covariance.diagonal() ** 0.5).tolist(), strict=True)),
        "genomes": len(target.genomes),
        "generations_simulated": survey.last,
        "generation_today": survey.today,
        "emulator": {
            "points": len(survey.values), "histories": len(set(survey.history.tolist())),
            "columns": anchor.b.shape[1], "basis": answer.emulator.basis.text,
            "sd_between_histories": anchor.sd_history, "sd_within_histories": anchor.sd_drift,
            "variance_shared": anchor.shared_variance,
        },
        "slow_loss": None if slow is None else asdict(slow.factor) | {"meaning": slow.factor.text},
        "checks": [asdict(check) | {"passed": check.passed} for check in answer.checks],
        "draws": posterior.draws,
        "effective_samples": posterior.effective,
        "effective_samples_exact": posterior.effective_exact,
        "predictive_p": posterior.misfit,
        "summary": [
            {k: v for k, v in row.items() if v == v and v != ""} for row in summary(answer).to_dict("records")
        ],
    }  # fmt: skip


def write(answer: Answer, out: Path) -> list[Path]:
    """Write samples, summary, checks and the record into a directory; return the files.

    Raises
    ------
    RunError
        If that fails; files are whole or absent.
    """
    text = json.dumps(record(answer), indent=1, allow_nan=False) + "\n"
    puts: dict[str, Callable[[Path], object]] = {
        SAMPLES: lambda path: write_table(path, answer.posterior.samples),
        SUMMARY: lambda path: write_table(path, summary(answer)),
        CHECKS: lambda path: write_table(path, answer.parts),
        RECORD: lambda path: path.write_text(text, encoding="utf-8", newline="\n"),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(str(out), f"cannot be made ({error.strerror or error})") from error
    files = []
    for name, put in puts.items():
        target = out / name
        temporary = target.with_name(f".{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
        try:
            put(temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise RunError(str(target), f"cannot be written ({error.strerror or error})") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        files.append(target)
    return files


def screen_text(answer: Answer) -> str:
    """Return what is printed: priors, emulator and its checks, posterior, warnings, and the sentence at the end."""
    survey, posterior, anchor = answer.survey, answer.posterior, answer.emulator.anchor
    lines = ["priors:"]
    for b in posterior.beliefs:
        lines.append(f"  {b.axis.name} ~ {b.text}, {b.origin}")
    lines.append("target:")
    for name, value, sd in zip(
        answer.target.names, answer.target.observed, answer.target.covariance.diagonal() ** 0.5, strict=True
    ):
        lines.append(f"  {name}: {100 * value:.3g} % +- {100 * sd:.2g}")
    histories = len(set(survey.history.tolist()))
    lines += [
        f"emulator: {len(survey.values):,} points from {histories:,} histories, to generation {survey.last:,};"
        f" {anchor.b.shape[1]} columns",
        f"  standard deviation in log-odds: {anchor.sd_history:.3f} between histories, {anchor.sd_drift:.3f} within",
    ]
    for check in answer.checks:
        lines.append(
            f"  left out {check.kind} by {check.kind}: {100 * check.inside:.0f} % of {check.points:,} points inside"
            f" 90 % intervals, error {check.error:.3f} (p = {check.probability:.2g})"
        )
    if answer.emulator.slow is not None:
        lines.append(f"  from generation {survey.last:,} to {survey.today:,}: {answer.emulator.slow.factor.text}")
    lines.append(f"posterior: {posterior.draws:,} draws, {posterior.effective:,.0f} effective samples")
    for row in summary(answer).to_dict("records"):
        if row["value"]:
            lines.append(f"  {row['parameter']} = {row['value']}: probability {row['probability']:.2f}")
            continue
        name = row["parameter"]
        line = f"  {name}: {row['median']:.4g} [{row['q05']:.4g}, {row['q95']:.4g}]"
        if row["exact_median"] == row["exact_median"]:
            line += (
                f"; without tolerance and regression {row['exact_median']:.4g}"
                f" [{row['exact_q05']:.4g}, {row['exact_q95']:.4g}]"
            )
        lines.append(line)
    lines.append(f"  a new measurement would fit worse with probability {posterior.misfit:.2f}")
    blocks = ["\n".join(lines)]
    if answer.warnings:
        blocks.append("\n".join(f"WARNING: {text}" for text in answer.warnings))
    blocks.append("\n".join(textwrap.wrap(sentence(answer), 100)))
    return "\n\n".join(blocks)
