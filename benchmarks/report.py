# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and ratios from what was measured, in Markdown, and the page that holds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from admix.errors import RunError
from benchmarks.measure import BUSY
from benchmarks.plan import ALL, ALL_KEPT, FWDPY11, NATIVE, ONE, ONE_KEPT, SLIM, SLIM_TREES
from benchmarks.states import State
from benchmarks.store import ROOT, Results

PAGE = ROOT / "docs" / "benchmarks.md"
ANCHOR = re.compile(
    r"(<!-- measured: python -m benchmarks \((?P<block>\w+)\) -->\n)(?P<text>.*?)(\n<!-- /measured -->)", re.S
)
EMPTY = "not measured yet"
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Configuration:
    """All rounds of one configuration on one state: medians of what they found."""

    label: str
    entries: list[Entry]

    def middle(self, name: str) -> float:
        """Median over the rounds."""
        return float(median(e[name] for e in self.entries))

    @property
    def ms(self) -> float:
        """Milliseconds a generation."""
        return self.middle("ms")


def configurations(results: Results, state: State) -> dict[str, Configuration]:
    """The common configurations that were measured on a state."""
    made: dict[str, list[Entry]] = {}
    for entry in results.measured.values():
        if entry["group"] == "common" and "ms" in entry and State.from_dict(entry["state"]) == state:
            made.setdefault(entry["label"], []).append(entry)
    order = [*NATIVE, SLIM, SLIM_TREES, FWDPY11]
    return {label: Configuration(label, made[label]) for label in order if label in made}


def common_states(results: Results) -> list[State]:
    """States of the common measurements, in order of measurement."""
    found = [State.from_dict(e["state"]) for e in _group(results, "common")] or [
        State.from_dict(e["state"]) for e in _group(results, "states")
    ]
    return list(dict.fromkeys(found))


def _group(results: Results, name: str) -> list[Entry]:
    return [e for e in results.measured.values() if e["group"] == name and "failed" not in e]


def table(head: Iterable[str], rows: Iterable[Iterable[str]], left: int = 1) -> str:
    """A table in Markdown; columns after the first ``left`` are aligned to the right."""
    names = list(head)
    rule = ["---" if k < left else "---:" for k in range(len(names))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [names, rule, *map(list, rows)])


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f}"


def _title(state: State) -> str:
    return f"U = {state.u:g}, h = {state.h:g}, N = {state.n:,}"


# ---------------------------------------------------------------------- blocks


def machine(results: Results) -> str:
    """Where, with what and when."""
    head, where = results.head, results.head["machine"]
    dates = sorted(e["when"] for e in results.measured.values())
    caches = ", ".join(f"{level} {size}" for level, size in where["caches"].items())
    lines = [
        f"* {where['cpu']}, {where['threads']} threads{f', {caches}' if caches else ''}, "
        f"{where['memory_bytes'] / 2**30:.0f} GiB of memory",
        f"* {where['system']}, Python {where['python']}",
        "* " + ", ".join(f"{name} {version}" for name, version in head["versions"].items()),
        f"* measured {dates[0]} to {dates[-1]} UTC" if dates else "* nothing measured",
        *(f"* `{command}`" for command in head["commands"]),
    ]
    loud = [e for e in results.measured.values() if e["other_work"] > BUSY]
    if loud:
        lines.append(f"* THE MACHINE WAS BUSY WITH OTHER WORK at {len(loud)} of {len(results.measured)} measurements")
    if len({e["kernel_hash"] for e in results.measured.values() if "kernel_hash" in e}) > 1:
        lines.append("* The kernels were changed between measurements.")
    failed = [f"* failed: {e['id']}: {e['failed']}" for e in results.measured.values() if "failed" in e]
    return "\n".join(lines + failed)


def states(results: Results) -> str:
    """What the common states contain."""
    rows = [
        [
            _title(State.from_dict(e["state"])), e["state"]["target"], f"{e['sites']:,}", f"{e['common']:,}",
            f"{e['per_haplotype']:,.0f}", f"{e['log_fitness_mean']:.3f}", f"{e['log_fitness_sd']:.3f}",
        ]
        for e in _group(results, "states")
    ]  # fmt: skip
    head = ["state", "target", "segregating sites", "common ones", "in a haplotype", "mean log fitness", "its SD"]
    return table(head, rows, 2) if rows else ""


def engines(results: Results) -> str:
    """Milliseconds a generation of every engine on every state."""
    parts = []
    for state in common_states(results):
        found = configurations(results, state)
        rows = []
        for label, c in found.items():
            spread = [e["ms"] for e in c.entries]
            moved = [e["bytes_moved"]["all"] for e in c.entries if "bytes_moved" in e]
            slim = {f"{e['form']} x {e['runs']}" for e in c.entries if "form" in e}
            note = f"{', '.join(sorted(slim))}" if slim else ""
            if "simplifications" in c.entries[0]:
                note += f"{', ' if note else ''}simplifications: {c.entries[0]['simplifications']}"
            rows.append(
                [
                    label, note, f"{c.ms:,.1f}", f"{min(spread):,.1f} to {max(spread):,.1f}", str(len(spread)),
                    str(c.entries[0]["ticks"]), f"{2 * state.n / c.ms * 1e3:,.0f}", f"{c.middle('cpu_ms'):,.1f}",
                    f"{median(moved) / 1e6:,.0f}" if moved else "", _gb(c.middle("peak_bytes")),
                ]
            )  # fmt: skip
        head = [
            "engine", "form", "ms a generation", "rounds from to", "rounds", "generations", "gametes a second",
            "CPU ms", "MB moved", "peak GB",
        ]  # fmt: skip
        if rows:
            parts.append(f"### {_title(state)}\n\n" + table(head, rows, 2))
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that the engine is to show: what was measured, in words, and is it reached?"""

    name: str
    wanted: str
    measured: str
    reached: bool


def figures(results: Results) -> list[Figure]:
    """The figures that what was measured can tell of."""
    made: list[Figure] = []

    def at_least(name: str, wanted: float, value: float) -> None:
        made.append(Figure(name, f"at least {wanted:g}", f"{value:.2f}", value >= wanted))

    def under(name: str, wanted: float, value: float, unit: str) -> None:
        made.append(Figure(name, f"under {wanted:g} {unit}", f"{value:.2f} {unit}", value < wanted))

    for state in common_states(results):
        found = configurations(results, state)
        light = state.u < 0.5
        # what is wanted is wanted of additive mutations, and not of a small population to try things out
        full = state.h == 0.5 and state.n == State().n

        def ratio(name: str, slow: str, fast: str, wanted: float | None, state: State = state) -> None:
            known = configurations(results, state)
            if slow not in known or fast not in known:
                return
            value, title = known[slow].ms / known[fast].ms, f"{_title(state)}: {name}"
            if wanted is None:
                made.append(Figure(title, "", f"{value:.2f}", True))
            else:
                at_least(title, wanted, value)

        ratio("SLiM / native, thread for thread", SLIM, ONE, (8 if light else 10) if full else None)
        ratio("SLiM with trees / native with parents kept, thread for thread", SLIM_TREES, ONE_KEPT,
              40 if light and full else None)  # fmt: skip
        ratio("fwdpy11 / native with parents kept, thread for thread", FWDPY11, ONE_KEPT,
              15 if light and full else None)  # fmt: skip
        threads = results.head["machine"]["threads"]
        if threads > 1:
            ratio(f"1 thread / {threads} threads", ONE, ALL, 1.6 if full and threads == 2 else None)
        if not light and full and ALL in found:
            under(f"{_title(state)}: a generation on all threads", 70, found[ALL].ms, "ms")
        if not light and full and ALL_KEPT in found:
            peak = found[ALL_KEPT].middle("state_bytes") / 1e9
            under(f"{_title(state)}: arrays of the population", 1.5, peak, "GB")
    spread = linearity(results)
    if spread is not None:
        name = "cost for each individual, most / least over N"
        made.append(Figure(name, "at most 1.25", f"{spread:.2f}", spread <= 1.25))
    for e in _group(results, "memory"):
        if e["state"]["n"] == 100_000:
            under(f"{_title(State.from_dict(e['state']))}: peak while it runs", 16, e["peak_running_bytes"] / 1e9, "GB")
    wanted = {"first": ("reich", 8), "cached": ("reich", 4.5), "forward start": ("petr2019", 120)}
    for e in [*_group(results, "reich"), *_group(results, "petr2019")]:
        name, minutes = wanted[e["label"]]
        under(f"admix run --scenario {name}, {e['label']}", minutes, e["wall_seconds"] / 60, "min")
    return made


def ratios(results: Results) -> str:
    """The figures as a table."""
    found = figures(results)
    rows = [[f.name, f.wanted, f.measured, ("yes" if f.reached else "NO") if f.wanted else ""] for f in found]
    return table(["figure", "wanted", "measured", "reached"], rows) if rows else ""


def stages(results: Results) -> str:
    """Where the time of a tick goes."""
    parts = []
    for e in _group(results, "stages"):
        rows = [[f"`{k}`" if k != "rest" else k, f"{v:.2f}", f"{v / e['ms']:.0%}"] for k, v in e["kernels"].items()]
        own = [[name, f"{v:.2f}"] for name, v in e["parts"].items()]
        parts.append(
            f"### {_title(State.from_dict(e['state']))}, 1 thread, {e['ms']:.1f} ms\n\n"
            + table(["kernel", "ms a generation", "share"], rows)
            + "\n\n"
            + table(["what the population consists of", "ms a generation that it adds"], own)
        )
    return "\n\n".join(parts)


def _points(results: Results, kind: str) -> list[Entry]:
    return [e for e in _group(results, "series") if e["label"].split()[0] == kind]


def linearity(results: Results) -> float | None:
    """Greatest cost of an individual over the least, among population sizes; None with fewer than two."""
    each = [e["ms"] / e["state"]["n"] for e in _points(results, "n")]
    return max(each) / min(each) if len(each) > 1 else None


def series(results: Results) -> str:
    """How the cost of a generation grows."""
    parts = []

    def part(title: str, kind: str, head: list[str], row: Callable[[Entry], list[str]]) -> None:
        entries = _points(results, kind)
        if entries:
            rest = [[*row(e), f"{e['sites']:,}", f"{e['ms']:.2f}"] for e in entries]
            parts.append(f"### {title}\n\n" + table([*head, "segregating sites", "ms a generation"], rest, 0))

    def asked(e: Entry) -> str:
        return str(e["label"].split()[1])

    def size(e: Entry) -> list[str]:
        n = e["state"]["n"]
        return [f"{n:,}", f"{1e3 * e['ms'] / n:.2f}", _gb(e["peak_running_bytes"])]

    part("Individuals (each at its own equilibrium, U = 0.25)", "n", ["N", "µs an individual", "peak GB"], size)
    title = "Target (at 1e-8; given as another rate on the exons, which is the same to the engine)"
    part(title, "target", ["Mb", "U"], lambda e: [asked(e), f"{e['state']['u']:g}"])
    part("Map (the same population, U = 0.25)", "map", ["times the human map"], lambda e: [asked(e)])
    part("Segregating sites (a part of one population's, U = 0.74)", "sites", ["share kept"], lambda e: [asked(e)])
    return "\n\n".join(parts)


def memory(results: Results) -> str:
    """Memory at two sizes."""
    rows = [
        [_title(State.from_dict(e["state"])), f"{e['ms']:,.0f}", _gb(e["state_bytes"]), _gb(e["peak_running_bytes"]),
         _gb(e["peak_bytes"])]
        for e in _group(results, "memory")
    ]  # fmt: skip
    head = ["state", "ms a generation, all threads", "arrays, GB", "peak while it runs, GB", "peak with reading it, GB"]
    return table(head, rows) if rows else ""


def jobs(results: Results) -> str:
    """Whole runs of a scenario."""
    rows = [
        [f"{e['group']}, {e['label']}", f"{e['wall_seconds'] / 60:.1f}", _gb(e["peak_bytes"])]
        for e in [*_group(results, "reich"), *_group(results, "petr2019")]
    ]
    return table(["run", "minutes", "peak GB"], rows) if rows else ""


def tune(results: Results) -> str:
    """SLiM's forms and numbers of mutation runs."""
    rows = [
        [_title(State.from_dict(e["state"])), e["form"], str(e["runs"]), f"{e['ms']:,.0f}", _gb(e["peak_bytes"])]
        for e in _group(results, "tune")
    ]
    return table(["state", "form", "mutation runs a chromosome", "ms a generation", "peak GB"], rows, 2) if rows else ""


BLOCKS: dict[str, Callable[[Results], str]] = {
    block.__name__: block for block in (machine, states, engines, ratios, stages, series, memory, jobs, tune)
}


def screen(results: Results) -> str:
    """What is printed at the end: the tables, and the ratios last."""
    order = ("machine", "tune", "engines", "stages", "series", "memory", "jobs", "ratios")
    return "\n\n".join(text for name in order if (text := BLOCKS[name](results)))


def write_page(results: Results, path: Path = PAGE) -> None:
    """Put the tables between their anchors on the page; everything else on it stays.

    Raises
    ------
    RunError
        Where there is no page, or an anchor on it is unknown or missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(str(path), f"there is no page to fill ({error.strerror})") from error
    found = [match["block"] for match in ANCHOR.finditer(text)]
    if sorted(found) != sorted(BLOCKS):
        raise RunError(str(path), f"it has anchors for {found}", f"it should have each of {', '.join(BLOCKS)} once")
    path.write_text(
        ANCHOR.sub(lambda match: match[1] + (BLOCKS[match["block"]](results) or EMPTY) + match[4], text),
        encoding="utf-8",
    )
