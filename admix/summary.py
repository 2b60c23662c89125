# SPDX-License-Identifier: GPL-3.0-or-later
"""The headline figures of a run: estimates with nested standard errors, the screen table, the answer.

Generation 1 is the cohort in which unmixed archaic people are the pulse share of the population; generation 2
is the first cohort born after one round of selection. Shares are fractions here and per cent on the screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy.special import stdtrit

SUMMARY_VERSION = 1
GENERATIONS = (1, 2, 5, 10, 20, 100, 1000)
LEVEL = 0.95
CONVENTION = (
    "Generation 1 is the cohort in which unmixed archaic people are the pulse share of the population; "
    "generation 2 is the first cohort born after one round of selection."
)
MEASURES: Mapping[str, str] = {
    "headcount": "of generation 1",
    "genealogical": "of the founders with living descendants",
    "pedigree_paths": "of the pedigree paths back to the founders",
    "dna": "of today's DNA",
}

# Below this difference in log fitness the sentence calls two groups equally fit.
_EQUAL_FITNESS = 0.005
# Lines that backcross pay S, then S/2, S/4, ...: 2 S of log ancestry in all. Beyond twice that, it is chance.
_EXPLAINED = 4.0
_UNCHANGED = 0.05
_LOSS = 0.9
_REALS = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over replicates nested in burn-ins, with what is known of its error.

    `se_total` and `interval` need two burn-ins, `se_drift` two replicates of one burn-in, `se_burnin` both;
    what the data do not give is None and `note` says why.
    """

    mean: float | None
    replicates: int
    burnins: int
    se_total: float | None = None
    se_burnin: float | None = None
    se_drift: float | None = None
    interval: tuple[float, float] | None = None
    level: float = LEVEL
    note: str = ""


def nested(
    values: Sequence[float] | np.ndarray,
    burnins: Sequence[int] | np.ndarray,
    *,
    bounds: tuple[float, float] = _REALS,
    level: float = LEVEL,
) -> Estimate:
    """Return the mean of replicates nested in burn-ins and its standard error, split into its two sources.

    With B >= 2 burn-ins the mean is the unweighted mean of the burn-in means m_b, and

        se_total^2  = s^2(m_b) / B
        s2_drift    = sum_b sum_r (y_br - m_b)^2 / (R - B),      se_drift^2  = s2_drift sum_b (1/n_b) / B^2
        s2_burnin   = max(0, s^2(m_b) - s2_drift mean_b(1/n_b)), se_burnin^2 = s2_burnin / B

    which is the one-way random-effects analysis of variance by unweighted means (Searle, Casella & McCulloch
    1992, Variance Components, doi:10.1002/9780470316856): for equal n_b the ordinary analysis of variance;
    for any n_b se_total^2 is unbiased. The interval uses the t quantile with B - 1 degrees of freedom,
    exact for equal n_b.

    Parameters
    ----------
    values
        float64[R], one value a replicate; NaN are left out.
    burnins
        int64[R], the burn-in that each replicate started from.
    bounds
        The range of what is estimated; the interval is cut to it.
    level
        Coverage of the interval.

    Returns
    -------
    Estimate
        With one burn-in only the drift part; with one replicate only the mean.
    """
    y = np.asarray(values, dtype=np.float64)
    labels = np.asarray(burnins)[~np.isnan(y)]
    y = y[~np.isnan(y)]
    replicates = len(y)
    if replicates == 0:
        return Estimate(mean=None, replicates=0, burnins=0, level=level, note="no value")
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    groups = len(counts)
    means = np.bincount(index, weights=y) / counts
    mean = float(means.mean())
    if replicates == 1:
        note = "one replicate: no standard error"
        return Estimate(mean=mean, replicates=1, burnins=1, level=level, note=note)
    s2_drift = float(((y - means[index]) ** 2).sum() / (replicates - groups)) if replicates > groups else None
    if groups == 1:
        assert s2_drift is not None
        note = "drift only: all replicates share one burn-in, whose own scatter is not in it"
        error = math.sqrt(s2_drift / replicates)
        return Estimate(mean=mean, replicates=replicates, burnins=1, se_drift=error, level=level, note=note)
    s2_means = float(means.var(ddof=1))
    se_total = math.sqrt(s2_means / groups)
    half = float(stdtrit(groups - 1, 0.5 + level / 2)) * se_total
    interval = (max(bounds[0], mean - half), min(bounds[1], mean + half))
    se_drift = se_burnin = None
    note = "one replicate a burn-in: the parts due to burn-ins and to drift cannot be told apart"
    if s2_drift is not None:
        s2_burnin = s2_means - s2_drift * float((1 / counts).mean())
        note = "" if s2_burnin >= 0 else "the part due to burn-ins came out negative and is set to 0"
        se_burnin = math.sqrt(max(0.0, s2_burnin) / groups)
        se_drift = math.sqrt(s2_drift * float((1 / counts).sum())) / groups
    return Estimate(
        mean=mean,
        replicates=replicates,
        burnins=groups,
        se_total=se_total,
        se_burnin=se_burnin,
        se_drift=se_drift,
        interval=interval,
        level=level,
        note=note,
    )


class _Pulse(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...


class ScenarioLike(Protocol):
    """What `summarise` wants of a scenario: its pulses, with any branch applied."""

    @property
    def pulse(self) -> Sequence[_Pulse]:
        """The pulses."""
        ...

    def branch(self, name: str) -> ScenarioLike:
        """Return the scenario with the branch's overrides applied."""
        ...


def summarise(tables: Mapping[str, pd.DataFrame], scenario: ScenarioLike | None = None) -> dict[str, Any]:
    """Return the content of summary.json.

    Parameters
    ----------
    tables
        `trajectory`, `pulse` and `ancestors` as in the run directory (`Run.tables()`).
    scenario
        Tells what a pulse is a share of (individuals, F1, gametes); without it `unit` is None.

    Returns
    -------
    dict
        `entries`: one for each branch, twin, source and recipient deme, in the order of the trajectory. In
        each: `pulses` (requested and realised share, unit), `S` = -ln of a pure archaic person's relative
        fitness at the first pulse, `ancestry` (generations 1, 2, 5, 10, 20, 100, 1,000, today; all that there are
        of sampled people), `loss` and
        `ancestors`. Every estimate is an `Estimate` as a dictionary.
    """
    trajectory, pulse, ancestors = tables["trajectory"], tables["pulse"], tables["ancestors"]
    burnin_of = dict(zip(pulse["replicate"], pulse["burnin"], strict=True))
    entries = []
    for key, rows in trajectory.groupby(["branch", "twin", "source", "deme"], sort=False):
        branch, twin, source, deme = (str(k) for k in key)
        same = (branch, twin, source)
        units = {p.name: p.unit for p in scenario.branch(branch).pulse} if scenario is not None else {}
        pulses = _pulses(_only(pulse, same), units)
        first: dict[str, Any] = pulses[0] if pulses else {}
        fitness = first.get("S", {}).get("mean")
        entries.append(
            {
                "branch": branch,
                "twin": twin,
                "source": source,
                "deme": deme,
                "requested": first.get("requested"),
                "realised": first.get("realised"),
                "S": first.get("S"),
                "fitness_archaic_relative": None if fitness is None else math.exp(-fitness),
                "pulses": pulses,
                "ancestry": _ancestry(rows, burnin_of),
                "loss": _loss(rows, burnin_of),
                "ancestors": _ancestors(_only(ancestors, same), burnin_of),
            }
        )
    return {
        "summary_version": SUMMARY_VERSION,
        "convention": CONVENTION,
        "replicates": int(trajectory["replicate"].nunique()),
        "burnins": int(pulse["burnin"].nunique()),
        "entries": entries,
    }


def _only(frame: pd.DataFrame, key: tuple[str, str, str]) -> pd.DataFrame:
    branch, twin, source = key
    return frame[(frame["branch"] == branch) & (frame["twin"] == twin) & (frame["source"] == source)]


def _estimate(
    values: pd.Series,
    replicates: pd.Series,
    burnin_of: Mapping[int, int],
    bounds: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Any]:
    burnins = np.array([burnin_of.get(r, 0) for r in replicates])
    return asdict(nested(values.to_numpy(dtype=np.float64), burnins, bounds=bounds))


def _pulses(rows: pd.DataFrame, units: Mapping[str, str]) -> list[dict[str, Any]]:
    pulses = []
    # Oldest first, as generation 1 is counted; pulses of one date keep the order of the file.
    by_date = rows.sort_values("years_bp", ascending=False, kind="stable")
    for name, group in by_date.groupby("pulse", sort=False):
        burnin_of = dict(zip(group["replicate"], group["burnin"], strict=True))
        log_fitness = -np.log(group["fitness_archaic_relative"])
        pulses.append(
            {
                "pulse": str(name),
                "target": str(group["target"].iloc[0]),
                "unit": units.get(str(name)),
                "years_bp": float(group["years_bp"].iloc[0]),
                "requested": float(group["requested"].iloc[0]),
                "realised": _estimate(group["realised"], group["replicate"], burnin_of),
                "S": _estimate(log_fitness, group["replicate"], burnin_of, _REALS),
                "log_load_difference": _estimate(group["log_load_difference"], group["replicate"], burnin_of, _REALS),
            }
        )
    return pulses


def _ancestry(rows: pd.DataFrame, burnin_of: Mapping[int, int]) -> list[dict[str, Any]]:
    last = int(rows["generation"].max())
    present = set(rows["generation"])
    # without a first generation there are no cohorts, but the dates at which people were sampled
    wanted = sorted(g for g in {*GENERATIONS, last} if g in present) if 1 in present else sorted(present)
    out = []
    for generation in wanted:
        at = rows[rows["generation"] == generation]
        years = float(at["years_bp"].iloc[0])
        row = {"generation": generation, "years_bp": years, "today": years == 0, "last": generation == last}
        out.append(row | _estimate(at["ancestry_mean"], at["replicate"], burnin_of))
    return out


def _ancestors(rows: pd.DataFrame, burnin_of: Mapping[int, int]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for (scope, measure), group in rows.groupby(["scope", "measure"], sort=False):
        estimate = _estimate(group["value"], group["replicate"], burnin_of)
        out.setdefault(str(scope), {})[str(measure)] = estimate
    return out


def centre(rows: pd.DataFrame, burnin_of: Mapping[int, int]) -> pd.Series:
    """Return mean ancestry by generation as `nested` defines the mean: the mean of burn-in means."""
    burnins = rows["replicate"].map(lambda r: burnin_of.get(r, 0))
    by_burnin = rows.groupby([rows["generation"], burnins])["ancestry_mean"].mean()
    return by_burnin.groupby(level=0).mean()


def _loss(rows: pd.DataFrame, burnin_of: Mapping[int, int]) -> dict[str, Any]:
    """When ancestry peaked, and the first generation by which nine tenths of the fall had come."""
    mean = centre(rows, burnin_of)
    generations, shares = mean.index.to_numpy(), mean.to_numpy()
    top = int(shares.argmax())
    peak_at, peak, end = int(generations[top]), float(shares[top]), float(shares[-1])
    enough = (peak - shares >= _LOSS * (peak - end)) & (generations > peak_at)
    by = int(generations[enough.argmax()]) if end < peak else None
    return {"peak_generation": peak_at, "peak": peak, "end": end, "fraction": _LOSS, "by_generation": by}


def people(source: str) -> str:
    """Return what a source deme's people are called in sentences: `NEA` and the like become Neanderthal."""
    word = source.replace("_", " ")
    if word.lower() in ("nea", "neand", "neanderthal", "neanderthals", "neandertal", "neandertals"):
        return "Neanderthal"
    return "Denisovan" if word.lower() in ("den", "denisova", "denisovan", "denisovans") else word


def percent(share: float) -> str:
    """Return a share as per cent with two digits that count (`2.2 %`, `10 %`, `0.15 %`, `0 %`)."""
    value = 100 * share
    if value == 0:
        return "0 %"
    if value < 0.01:
        return "less than 0.01 %"
    if value < 0.995:
        return f"{value:.2g} %"
    if value < 9.95:
        return f"{value:.1f} %"
    return f"{value:.1f}".removesuffix(".0") + " %"


def _column(entry: Mapping[str, Any], many_demes: bool) -> str:
    name = str(entry["branch"])
    if many_demes:
        name += f" {entry['deme']}"
    return name if entry["twin"] == "none" else f"{name} {entry['twin']}"


def screen_table(summary: Mapping[str, Any]) -> str:
    """Return the short table: ancestry by generation, its standard error, and what the ancestors were."""
    blocks = []
    for source in dict.fromkeys(e["source"] for e in summary["entries"]):
        entries = [e for e in summary["entries"] if e["source"] == source]
        many = len({e["deme"] for e in entries}) > 1
        heads = [_column(e, many) for e in entries]
        count = f"{summary['replicates']} replicate" + "s" * (summary["replicates"] != 1)
        count += f", {summary['burnins']} burn-in" + "s" * (summary["burnins"] != 1)
        if any(row["interval"] is not None for e in entries for row in e["ancestry"]):
            count += f"; mean [{100 * LEVEL:.0f} % interval of the mean]"
        lines = [f"{people(source)} share of DNA, % ({count})"]
        rows: dict[int, dict[int, str]] = {}
        labels: dict[int, tuple[str, str]] = {}
        for column, entry in enumerate(entries):
            for row in entry["ancestry"]:
                generation = row["generation"]
                tag = " (today)" if row["today"] else " (last)" if row["last"] else ""
                labels[generation] = (f"{generation:,}{tag}", f"{row['years_bp']:,.0f}")
                rows.setdefault(generation, {})[column] = _cell(row)
        body = [[*labels[g], *(rows[g].get(c, "") for c in range(len(entries)))] for g in sorted(rows)]
        lines += _grid([["generation", "years ago", *heads], *body])
        for head, entry in zip(heads, entries, strict=True):
            error = _error_line(entry["ancestry"][-1])
            if error:
                lines.append(f"  standard error, {head}, last row: {error}")
        lines += _ancestor_lines(entries, heads)
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, str(summary["convention"])]) + "\n"


def _has_width(estimate: Mapping[str, Any]) -> bool:
    """False too where all replicates agree but for rounding, as the head-count of an exact pulse does."""
    interval = estimate["interval"]
    return interval is not None and interval[1] - interval[0] > 1e-9


def _cell(estimate: Mapping[str, Any]) -> str:
    if estimate["mean"] is None:
        return ""
    text = f"{100 * estimate['mean']:.2f}"
    if _has_width(estimate):
        low, high = estimate["interval"]
        text += f" [{100 * low:.2f}, {100 * high:.2f}]"
    return text


def _error_line(estimate: Mapping[str, Any]) -> str:
    total, burnin, drift = (estimate[f"se_{part}"] for part in ("total", "burnin", "drift"))
    if total is not None:
        text = f"{100 * total:.2g}"
        if burnin is not None and drift is not None:
            text += f" in all, {100 * burnin:.2g} from burn-ins, {100 * drift:.2g} from drift"
    elif drift is not None:
        text = f"{100 * drift:.2g}"
    else:
        return ""
    return text + (f" ({estimate['note']})" if estimate["note"] else "")


def meaning(measure: str) -> int:
    """Place of a measure: from counting people to counting bases."""
    order = ("headcount", "genealogical@", "genealogical", "genetic", "pedigree_paths", "dna")
    return next((k for k, name in enumerate(order) if measure.startswith(name)), len(order))


def _ancestor_lines(entries: Sequence[Mapping[str, Any]], heads: Sequence[str]) -> list[str]:
    lines = []
    for scope, title in (("all", "all living people"), ("one", "one living person")):
        every = dict.fromkeys(m for e in entries for m in e["ancestors"].get(scope, {}))
        # shares of all founders, not of ancestors, are in the files only
        measures = sorted((m for m in every if not m.endswith("_founders")), key=meaning)
        # The measures of two demes of one branch are the same rows.
        shown = {(e["branch"], e["twin"]): (e, h) for e, h in zip(entries, heads, strict=True)}.values()
        if not measures:
            continue
        grid = [["", *(h for _, h in shown)]]
        for measure in measures:
            cells = [e["ancestors"].get(scope, {}).get(measure) for e, _ in shown]
            grid.append([f"{measure}", *("" if c is None else _cell(c) for c in cells)])
        lines += ["", f"share of the ancestors of {title}, %, by what is counted", *_grid(grid)]
    return lines


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(r[c]) for r in rows) for c in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return [f"  {line}".rstrip() for line in lines]


def answer(summary: Mapping[str, Any]) -> str:
    """Return the answer in one sentence that says, for each figure, what is counted."""
    clauses: list[str] = []
    for source in dict.fromkeys(e["source"] for e in summary["entries"]):
        clauses += _source_clauses(summary, source)
    text = "; ".join(clauses)
    return text[:1].upper() + text[1:] + "." if text else "No archaic ancestry entered."


def _source_clauses(summary: Mapping[str, Any], source: str) -> list[str]:
    entries = [e for e in summary["entries"] if e["source"] == source]
    selected = [e for e in entries if e["twin"] == "none"]
    if not selected:
        return _neutral_only(entries, source)
    branch = selected[0]["branch"]
    main = _demes([e for e in selected if e["branch"] == branch])
    entry, who = main[0], people(source)
    if entry["loss"]["peak"] == 0:
        return [f"{_head(entry, who)}, no {who} DNA entered"]
    clause = f"{_head(entry, who)}, {_ends(main)} {_when(entry, who)}"
    others = [e for e in selected if e["branch"] != branch]
    clauses = [clause + _others(entry, others)]
    clauses += _change(entry, who)
    twin = [e for e in entries if e["twin"] == "neutral" and e["branch"] == branch]
    if twin:
        clauses.append(f"without selection (neutral twin) it would be {_ends(_demes(twin))}")
    counts = entry["ancestors"].get("all", {})
    genealogical = counts.get("genealogical", {}).get("mean")
    paths = counts.get("pedigree_paths", {}).get("mean")
    counted = []
    if genealogical is not None:
        counted.append(f"{percent(genealogical)} of the founders with living descendants")
    if paths is not None:
        counted.append(f"{percent(paths)} of the pedigree paths back to the founders")
    if counted:
        clauses.append(f"by count of ancestors, {' and '.join(counted)} are {who}")
    return clauses


def _neutral_only(entries: Sequence[Mapping[str, Any]], source: str) -> list[str]:
    who = people(source)
    main = _demes([e for e in entries if e["branch"] == entries[0]["branch"]])
    others = [e for e in entries if e["branch"] != entries[0]["branch"]]
    text = f"{_head(main[0], who)} and no selection, {_ends(main)} {_when(main[0], who)}"
    return [text + _others(main[0], others)]


def _demes(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the demes that live latest: a deme that ended has no say in what is carried today."""
    latest = min(e["ancestry"][-1]["years_bp"] for e in entries)
    return [e for e in entries if e["ancestry"][-1]["years_bp"] == latest]


def _head(entry: Mapping[str, Any], who: str) -> str:
    pulses = entry["pulses"]
    shares = [p["realised"]["mean"] for p in pulses]
    units = {p["unit"] for p in pulses}
    if not pulses:
        return f"with continuous {who} gene flow"
    if len(pulses) > 1:
        # a share is of gene copies, and an F1 child has one from each side
        listed = [percent(2 * s if p["unit"] == "F1" else s) for s, p in zip(shares, pulses, strict=True)]
        each = ", ".join(listed[:-1]) + f" and {listed[-1]}"
        if len(listed) > 4:
            each = f"{percent(min(shares))} to {percent(max(shares))}"
        noun = {"individuals": " of their cohorts", "F1": " F1 hybrids", "gametes": " of the gametes"}
        of = noun.get(units.pop() or "", "") if len(units) == 1 else ""
        return f"with {len(pulses)} {who} pulses ({each}{of})"
    share = percent(shares[0])
    if units == {"F1"}:
        return f"with {percent(2 * shares[0])} of the founding generation F1 hybrids, half {who}"
    if units == {"gametes"}:
        return f"with {share} of the gametes behind the founding generation {who}"
    if units == {"individuals"}:
        return f"with {share} of the founding generation {who}"
    return f"with a {who} pulse of {share}"


def _ends(entries: Sequence[Mapping[str, Any]]) -> str:
    if len(entries) == 1:
        return _end(entries[0])
    return " and ".join(f"{_end(e)} ({e['deme']})" for e in entries)


def _end(entry: Mapping[str, Any]) -> str:
    last = entry["ancestry"][-1]
    text = "none" if last["mean"] == 0 else percent(last["mean"])
    if _has_width(last):
        low, high = (percent(v).removesuffix(" %") for v in last["interval"])
        text += f" ({100 * last['level']:.0f} % interval {low} to {high})"
    return text


def _when(entry: Mapping[str, Any], who: str) -> str:
    last = entry["ancestry"][-1]
    if last["today"]:
        return f"of today's DNA is {who}"
    return f"of the DNA in generation {last['generation']:,}, where the run stops, is {who}"


def _others(main: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """The other branches in brackets, by their share when that is what sets them apart, else by name."""
    if not others:
        return ""
    parts = []
    everyone = [main, *others]
    plain = all(len(e["pulses"]) == 1 for e in everyone)
    plain = plain and len({e["pulses"][0]["unit"] for e in everyone}) == 1
    branches = list(dict.fromkeys(e["branch"] for e in others))
    shares = {e["branch"]: percent(e["pulses"][0]["realised"]["mean"]) for e in everyone if plain}
    by_share = plain and len(set(shares.values())) == len(shares)
    for branch in branches:
        entries = _demes([e for e in others if e["branch"] == branch])
        label = f"with {shares[branch]}" if by_share else f"branch {branch}"
        parts.append(f"{label}: {_ends(entries)}")
    return f" ({'; '.join(parts)})"


def _change(entry: Mapping[str, Any], who: str) -> list[str]:
    """What became of the share after generation 1 and why, as far as the figures bear it out."""
    loss, fitness = entry["loss"], entry["fitness_archaic_relative"]
    start, end, peak_at = entry["ancestry"][0]["mean"], loss["end"], loss["peak_generation"]
    if len(entry["pulses"]) != 1:
        return [f"the share was highest in generation {peak_at:,}, at {percent(loss['peak'])}"]
    if end == 0:
        fall = math.inf
    else:
        fall = math.log(start / end) if start > 0 else 0.0
    change = "fell" if fall > _UNCHANGED else "rose" if fall < -_UNCHANGED else "hardly changed"
    timing = ""
    if change == "fell" and peak_at == 1:
        timing = f"nine tenths of the loss had come by generation {loss['by_generation']:,}"
    elif change == "fell":
        timing = (
            f"the share rose to {percent(loss['peak'])} in generation {peak_at:,} before it fell, "
            f"nine tenths of that by generation {loss['by_generation']:,}"
        )
    if fitness is None:
        return [timing or f"the share {change}"]
    s = -math.log(fitness)
    had = f"an unmixed {who} had {fitness:.2f} times the fitness of the others"
    if abs(s) <= _EQUAL_FITNESS:
        return [f"an unmixed {who} was as fit as the others, so the change is chance (drift)"]
    if change == "fell" and s > 0:
        if fall <= _EXPLAINED * s:
            return [f"{timing}, because {had}"]
        return [timing, f"{had}, which explains only part of that: the rest is chance (drift)"]
    if change == "rose" and s < 0:
        return [f"the share rose because {had}"]
    return [f"the share {change} although {had}"]
