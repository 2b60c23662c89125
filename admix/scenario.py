# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario: everything that defines a run's biology, as a person writes it, in years.

A scenario is loaded from a YAML file or from the catalogue, checked to the last key, and never changes
afterwards; a branch, or a field set on the command line, makes a new one.  Every fault is an `InputError`
with the place as a dotted path.  Dates are years before today; they become ticks in `admix.schedule` and
nowhere else.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from admix.demography import DemeName, Demography, resolve
from admix.errors import InputError, nearest, plain
from admix.scenario_changes import changed_tree
from admix.scenario_yaml import assign, read, write
from admix.selection import Selection
from admix.strict import (
    NOTHING,
    Block,
    Name,
    Rule,
    Text,
    explain,
    list_of,
    number,
    one_of,
    truth,
    variants,
    whole_number,
)

if TYPE_CHECKING:
    import demes

    from admix.genome import Genome

CATALOG = Path(__file__).with_name("catalog")
ENGINES = ("native", "slim", "msprime")
"""What can simulate a scenario, the default first; `admix.simulate` knows where each one is."""
HISTORIES = ("slim", "native")
"""Who simulates what precedes the pulse for the engine ``slim``, the default first; with ``native`` both engines go on
from identical haplotypes."""
MAX_SOURCES = 8
"""Deleterious mutations carry a bit for each source that brought them."""
SCALE_REASON = (
    "1 only: rescaling (N and t divided by Q; s, mu and r multiplied by it) gives the wrong answer to this"
    " question: it keeps the number of differences between the lineages and makes each cost Q times as much,"
    " so that the archaic load becomes Q times too large, while the assortment of whole chromosomes cannot be"
    " scaled at all"
)


class Citation(Block):
    """A publication that the scenario rests on."""

    text: Text
    doi: Text = ""


def _chromosome_names(value: Any) -> Any:
    """Return chromosome names as a tuple of text; numbers are accepted, since YAML reads 21 as one."""
    if isinstance(value, list | tuple):
        value = tuple(str(name) if type(name) is int else name for name in value)

    def different_names(names: Any) -> bool:
        names_only = isinstance(names, tuple) and all(type(name) is str and name for name in names)
        return names_only and len(names) > 0 and len(set(names)) == len(names)

    words = "all, or a list of different names of chromosomes"
    return Rule(words, lambda names: names == "all" or different_names(names))(value)


Chromosomes = Annotated[str | tuple[str, ...], BeforeValidator(_chromosome_names)]


class ShippedGenome(Block):
    """The human autosomes that come with admix."""

    source: Literal["human_autosomes_GRCh37"] = "human_autosomes_GRCh37"
    target: Annotated[str, one_of("exons", "cds")] = "exons"
    chromosomes: Chromosomes = "all"


class FilesGenome(Block):
    """A genome from a recombination map and functional elements in files of one's own."""

    source: Literal["files"] = "files"
    map: Text
    map_format: Annotated[str, one_of("hapmap", "plink")] = "hapmap"
    elements: Text
    elements_format: Annotated[str, one_of("bed", "gff3")] = "bed"
    feature: Text = "exon"
    chromosome_lengths: Text | None = None
    gaps: Text | None = None
    window: Annotated[int, whole_number("a whole number of bp from 1000 to 100,000,000", 1000, 10**8)] = 100_000
    chromosomes: Chromosomes = "all"


GENOME_FILES = ("map", "elements", "chromosome_lengths", "gaps")

if TYPE_CHECKING:
    AnyGenome = ShippedGenome | FilesGenome
else:
    AnyGenome = variants("source", ShippedGenome, FilesGenome)


class PulseBlock(Block):
    """Gene flow from `source` into `target` in a single generation, `time` years ago.

    `share` is the share of the target's gene copies that come from the source in that generation, whatever
    the `unit`: ``individuals`` (children both of whose parents are from the source), ``F1`` (twice as many
    children, with one parent from the source) or ``gametes`` (single gametes from the source, spread over
    the cohort).  `mode` is ``exact`` (the same number in every replicate, up to rounding) or ``binomial``.
    """

    name: Name
    source: DemeName
    target: DemeName
    time: Annotated[float, number("years ago, above 0 and up to 100,000,000", 0, 1e8, above=True)]
    share: Annotated[float, number("a share from 0 to 1", 0, 1)]
    unit: Annotated[str, one_of("individuals", "F1", "gametes")] = "individuals"
    mode: Annotated[str, one_of("exact", "binomial")] = "exact"


class Branch(Block):
    """A variant of the scenario: the same history with other values for some fields of the pulses."""

    name: Name
    set: Annotated[
        dict[str, Any],
        BeforeValidator(Rule("a block of fields of pulses and their values", lambda value: isinstance(value, dict))),
    ] = Field(default_factory=dict)


class Start(Block):
    """How the modern side reaches its equilibrium; the archaic lineage always runs forward from the split.

    `ancestral_burnin` is the length of a forward start, in units of the ancestral size; `relax` the number of
    generations simulated after a start from theory.
    """

    mode: Annotated[str, one_of("stationary", "forward")] = "stationary"
    ancestral_burnin: Annotated[float, number("a number above 0 and up to 100", 0, 100, above=True)] = 7.0
    relax: Annotated[int, whole_number("a whole number of generations from 0 to 1,000,000", 0, 10**6)] = 500


def _rising(words: str, low: int) -> BeforeValidator:
    def rises(value: Any) -> bool:
        whole = all(type(item) is int and low <= item <= 10**7 for item in value)
        return whole and list(value) == sorted(set(value))

    rule = Rule(words, lambda value: isinstance(value, list | tuple) and rises(value))
    return BeforeValidator(lambda value: tuple(rule(value)))


Generations = Annotated[
    tuple[int, ...], _rising("a list of generations from 1 to 10,000,000, whole numbers in rising order", 1)
]


class Individuals(Block):
    """People whose genomes get a tree sequence: `n` of one deme, alive `time` years ago (0 is today)."""

    deme: DemeName
    time: Annotated[float, number("years ago, from 0 to 100,000,000", 0, 1e8)] = 0.0
    n: Annotated[int, whole_number("a whole number of individuals from 1 on", 1)]


class Sampling(Block):
    """What is recorded besides the trajectory: people and dates in years ago, generations counted from the pulse.

    `trees` is whether the people in `individuals` get tree sequences where the command line does not say.
    """

    individuals: Annotated[tuple[Individuals, ...], list_of("a list of blocks with deme, time and n")] = ()
    trees: Annotated[bool, truth()] = False

    ancestors_at: Annotated[
        tuple[Annotated[float, number("years ago, above 0", 0, 1e8, above=True)], ...],
        list_of("a list of dates in years ago"),
    ] = ()
    landscape_generations: Generations = (2, 10, 100)
    spread_generations: Generations = (2, 5, 10, 50)


class RunDefaults(Block):
    """Options of the command line that a resolved scenario carries, so that running it again gives the same
    numbers."""

    engine: Annotated[str, one_of(*ENGINES)] | None = None
    history: Annotated[str, one_of(*HISTORIES)] | None = None
    seed: Annotated[int, whole_number("a whole number from 1 to 4,294,967,295", 1, 2**32 - 1)] | None = None
    replicates: Annotated[int, whole_number("a whole number from 1 on", 1)] | None = None
    burnins: Annotated[int, whole_number("a whole number from 1 on", 1)] | None = None
    burnin: Annotated[int, whole_number("a whole number from 0 on", 0)] | None = None
    generations: Annotated[int, whole_number("a whole number from 1 on", 1)] | None = None
    start: Annotated[str, one_of("stationary", "forward")] | None = None
    twin: Annotated[str, one_of("none", "neutral")] | None = None
    trees: Annotated[bool, truth()] | None = None
    trees_to: Annotated[str, one_of("pulse", "split")] | None = None

    def given(self) -> dict[str, Any]:
        """Return the options that are set."""
        return self.model_dump(exclude_none=True)


class Scenario(Block):
    """A scenario with every default filled in; the demography alone stays as written, which is its own
    standard."""

    name: Name
    title: Text
    description: Text = ""
    citation: Annotated[tuple[Citation, ...], list_of("a list of blocks with text and doi")] = ()
    demography: Demography
    genome: AnyGenome
    selection: Selection
    pulse: Annotated[tuple[PulseBlock, ...], list_of("a pulse, or a list of at least one", at_least=1)]
    branches: Annotated[tuple[Branch, ...], list_of("a list of blocks with name and set")] = (Branch(name="main"),)
    start: Start = Start()
    sampling: Sampling = Sampling()
    run: RunDefaults = RunDefaults()

    @classmethod
    def from_tree(cls, tree: Any) -> Scenario:
        """Return the scenario that is written as dicts and lists, as they come from YAML.

        Raises
        ------
        InputError
            For the first fault, in one line.
        """
        if not isinstance(tree, dict):
            raise InputError("scenario", tree if tree is not None else NOTHING, "a block of keys and values")
        refuse_scale(tree)
        try:
            return cls.model_validate(_completed(tree))
        except ValidationError as error:
            raise explain(error, cls) from error

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_pulses(self)
        _unique([branch.name for branch in self.branches], "branches")
        for i, branch in enumerate(self.branches):
            if branch.set:
                try:
                    self.branch(branch.name)
                except InputError as error:
                    raise InputError(
                        f"branches[{i}].set.{error.where}", error.given, error.allowed, error.nearest
                    ) from error
        return self

    @cached_property
    def graph(self) -> demes.Graph:
        """The resolved Demes graph without pulses."""
        return resolve(self.demography)

    def graph_with_pulses(self) -> demes.Graph:
        """Return the Demes graph with the pulses in it, for drawing and for coalescent engines.

        Pulses into one deme at one time become a single pulse with several sources, as their shares add up
        here.
        """
        import demes

        model = self.graph.asdict()
        together: dict[tuple[float, str], list[PulseBlock]] = {}
        for pulse in self.pulse:
            together.setdefault((pulse.time, pulse.target), []).append(pulse)
        model["pulses"] = [
            {
                "sources": [p.source for p in ps],
                "proportions": [p.share for p in ps],
                "dest": dest,
                "time": time,
            }
            for (time, dest), ps in together.items()
        ]
        return demes.Graph.fromdict(model)

    def branch(self, name: str) -> Scenario:
        """Return the scenario with the overrides of branch `name` applied and that branch alone."""
        names = [branch.name for branch in self.branches]
        if name not in names:
            raise InputError("branches", name, f"one of {', '.join(names)}", nearest(name, names))
        tree = self.to_tree()
        for field, value in self.branches[names.index(name)].set.items():
            assign(tree, field, copy.deepcopy(value))
        tree["branches"] = [{"name": name}]
        return Scenario.from_tree(tree)

    def with_set(self, assignments: Iterable[str]) -> Scenario:
        """Return the scenario with fields changed as on the command line, as in ``selection.dominance=0.1``.

        Raises
        ------
        InputError
            If there is no such field, its value is not allowed, or all branches set that field themselves.
        """
        tree = self.to_tree()
        touched = False
        for assignment in assignments:
            path, equals, content = assignment.partition("=")
            if not equals:
                raise InputError("--set", assignment, "PATH=VALUE, as in selection.dominance=0.1")
            value = read(content, f"--set {path}")
            full = assign(tree, path.strip(), value)
            _refuse_overridden(tree, full, value)
            touched = True
        return Scenario.from_tree(tree) if touched else self

    def with_(self, paths: Mapping[str, Any] | None = None, /, **fields: Any) -> Scenario:
        """Return the scenario with other values for some fields, as in ``with_(pulse=0.2, dominance=0.1)``.

        Short names are those of `admix.scenario_changes.SHORT`; any other field goes by its path in a dictionary, as
        in ``with_({"pulse[0].time": 50_000})``. Unlike ``--set``, a field that branches set is set for all of them,
        and branches that are equal then become one.

        Raises
        ------
        InputError
            If there is no such field, or its value is not allowed.
        """
        return Scenario.from_tree(changed_tree(self.to_tree(), paths or {}, fields))

    def _repr_html_(self) -> str:
        """Return title, question and text for a notebook."""
        return (
            f"<p><b>{escape(self.title)}</b> ({escape(self.name)})<br>{escape(' '.join(self.description.split()))}</p>"
            f"<details><summary>scenario.yaml</summary><pre>{escape(self.to_yaml())}</pre></details>"
        )

    def with_run(self, **options: Any) -> Scenario:
        """Return the scenario with the ``run:`` block `options`; options that are None are left out."""
        tree = self.to_tree()
        tree["run"] = {key: value for key, value in options.items() if value is not None}
        return Scenario.from_tree(tree)

    def to_tree(self) -> dict[str, Any]:
        """Return the scenario as dicts and lists with every default filled in."""
        tree: dict[str, Any] = _as_lists(self.model_dump(exclude_none=True))
        if not tree["run"]:
            del tree["run"]
        return tree

    def to_yaml(self) -> str:
        """Return the scenario as YAML with every default filled in; loading it gives an equal scenario."""
        blocks = "|".join(name for name in type(self).model_fields if name not in ("name", "title", "description"))
        return re.sub(rf"^({blocks}):", r"\n\1:", write(self.to_tree()), flags=re.MULTILINE)

    def build_genome(self) -> Genome:
        """Return the genome."""
        from admix import genome

        chosen = self.genome
        chromosomes = None if isinstance(chosen.chromosomes, str) else chosen.chromosomes
        if isinstance(chosen, ShippedGenome):
            return genome.shipped(chosen.target, chromosomes)
        return genome.from_files(
            chosen.map,
            chosen.elements,
            chromosome_lengths=chosen.chromosome_lengths,
            window=chosen.window,
            map_format=chosen.map_format,
            elements_format=chosen.elements_format,
            feature=chosen.feature,
            chromosomes=chromosomes,
            gaps=chosen.gaps,
        )

    def build_selection(self) -> Selection:
        """Return the selection."""
        return self.selection


def names() -> list[str]:
    """Return the names of the scenarios in the catalogue."""
    return sorted(file.stem for file in CATALOG.glob("*.yaml"))


def text(name: str) -> str:
    """Return the file of a scenario of the catalogue, comments included."""
    if name not in names():
        raise InputError("scenario", name, f"a name from the catalogue: {', '.join(names())}", nearest(name, names()))
    return (CATALOG / f"{name}.yaml").read_text(encoding="utf-8")


def load(name_or_path: str | Path) -> Scenario:
    """Return a scenario of the catalogue, by name, or of a YAML file, by path.

    Paths of genome files inside a scenario file are relative to that file.

    Raises
    ------
    InputError
        If there is no such scenario, or for its first fault.
    """
    given = str(name_or_path)
    if isinstance(name_or_path, str) and given in names():
        return Scenario.from_tree(read(text(given), given))
    file = Path(given)
    if not (given.endswith((".yaml", ".yml")) or "/" in given):
        rule = f"a name from the catalogue ({', '.join(names())}) or the path of a .yaml file"
        raise InputError("scenario", given, rule, nearest(given, names()))
    try:
        # Far more than any scenario, and no more than that of a file that never ends.
        with file.open("rb") as stream:
            content = stream.read(10_000_000).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(given, f"a byte that is no UTF-8 at position {error.start}", "text in UTF-8") from error
    except OSError as error:
        raise InputError("scenario", given, f"a file that can be read ({error.strerror or error})") from error
    tree = read(content, given)
    genome = tree.get("genome") if isinstance(tree, dict) else None
    if isinstance(genome, dict) and genome.get("source") == "files":
        for key in GENOME_FILES:
            if isinstance(genome.get(key), str):
                genome[key] = str((file.parent / genome[key]).resolve())
    return Scenario.from_tree(tree)


def refuse_scale(tree: Any, where: str = "") -> None:
    """Raise an `InputError` with the reason if anything in `tree` is scaled by a factor other than 1."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            place = f"{where}.{key}".removeprefix(".")
            if str(key).lower() in ("scale", "scaling", "scaling_factor", "slim_scaling_factor") and (
                type(value) not in (int, float) or value != 1
            ):
                raise InputError(place, value, SCALE_REASON)
            refuse_scale(value, place)
    elif isinstance(tree, list | tuple):
        for i, value in enumerate(tree):
            refuse_scale(value, f"{where}[{i}]")


def _completed(tree: dict[str, Any]) -> dict[str, Any]:
    """Return `tree` with pulses as a list, names for pulses without one, and full paths in branches."""
    tree = copy.deepcopy(tree)
    tree.pop("scale", None)  # refuse_scale has seen that it is 1
    demography = tree.get("demography")
    if isinstance(demography, dict) and "pulses" in demography:
        raise InputError("demography.pulses", demography["pulses"], "pulses in the scenario's own pulse block only")
    if isinstance(tree.get("pulse"), dict):
        tree["pulse"] = [tree["pulse"]]
    pulses = tree.get("pulse")
    if isinstance(pulses, list):
        for i, pulse in enumerate(pulses):
            if isinstance(pulse, dict):
                pulse.setdefault("name", "pulse" if len(pulses) == 1 else f"pulse{i + 1}")
    if tree.get("branches") == []:
        del tree["branches"]
    branches = tree.get("branches")
    for i, branch in enumerate(branches if isinstance(branches, list) else []):
        fields = branch.get("set") if isinstance(branch, dict) else None
        if isinstance(fields, dict) and isinstance(pulses, list) and pulses:
            branch["set"] = _full_paths(fields, pulses, f"branches[{i}].set")
    return tree


def _full_paths(fields: dict[str, Any], pulses: list[Any], where: str) -> dict[str, Any]:
    full: dict[str, Any] = {}
    for field, value in fields.items():
        if not re.match(r"pulse[.\[]", field):
            raise InputError(
                f"{where}.{field}",
                value,
                "fields of pulse only, as in pulse[0].share: branches share one history",
            )
        try:
            path = assign({"pulse": copy.deepcopy(pulses)}, field, value)
        except InputError as error:
            raise InputError(f"{where}.{field}", error.given, error.allowed, error.nearest) from error
        if path in full:
            raise InputError(f"{where}.{field}", value, f"each field once, and {path} is set already")
        full[path] = value
    return full


def _refuse_overridden(tree: dict[str, Any], path: str, value: Any) -> None:
    """Refuse to set a field that branches set themselves: it would change nothing and look as if it did."""
    if not path.startswith("pulse"):
        return
    branches = tree.get("branches", [])
    setting = [b["name"] for b in branches if isinstance(b, dict) and path in (b.get("set") or {})]
    if setting:
        raise InputError(
            f"--set {path}",
            value,
            f"a value for each branch, as {' and '.join(setting)} set their own, by"
            f" --set branches.{setting[0]}.set.{path}={value}, or --set branches=[] to have none, before it",
        )


def _check_pulses(scenario: Scenario) -> None:
    known = {deme.name: deme for deme in scenario.graph.demes}
    _unique([pulse.name for pulse in scenario.pulse], "pulse")
    for i, pulse in enumerate(scenario.pulse):
        where = f"pulse[{i}]"
        for key, name in (("source", pulse.source), ("target", pulse.target)):
            if name not in known:
                raise InputError(f"{where}.{key}", name, f"one of the demes {', '.join(known)}", nearest(name, known))
        if pulse.source == pulse.target:
            raise InputError(f"{where}.target", pulse.target, f"another deme than the source {pulse.source}")
        for key, name in (("source", pulse.source), ("target", pulse.target)):
            deme = known[name]
            if not deme.end_time <= pulse.time < deme.start_time:
                what = "does not exist yet" if pulse.time >= deme.start_time else "does not exist any more"
                since = f"less than {deme.start_time:,.10g}" if deme.ancestors else "any number of"
                until = f"{deme.end_time:,.10g} or more and " if deme.end_time else ""
                raise InputError(
                    f"{where}.time",
                    plain(pulse.time),
                    f"{until}{since} years ago, since otherwise the {key} {name} {what}",
                )
        sources = list(dict.fromkeys(other.source for other in scenario.pulse[: i + 1]))
        if len(sources) > MAX_SOURCES:
            raise InputError(f"{where}.source", pulse.source, f"at most {MAX_SOURCES} different sources of pulses")
        if pulse.unit == "F1" and pulse.share > 0.5:
            raise InputError(
                f"{where}.share",
                pulse.share,
                "a share from 0 to 0.5 for unit F1, in which half of each child is native",
            )


def _unique(given: list[str], where: str) -> None:
    for i, name in enumerate(given):
        if name in given[:i]:
            raise InputError(
                f"{where}[{i}].name",
                name,
                f"a name of its own, since {where}[{given.index(name)}] has this one",
            )


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_as_lists(item) for item in value]
    return value
