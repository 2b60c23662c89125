# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written beside the genealogy in a tree file: labels of the run, SLiM 0.9 metadata, provenance.

The fixed-size records of SLiM's schemas are numpy structured arrays here, so that columns of metadata are made at
once. Their layout is tskit's ``struct`` codec: little-endian, in order of the schema's ``index``, without padding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyslim
import tskit

import admix

if TYPE_CHECKING:
    from admix.scenario import Scenario
    from admix.timeline import Schedule

__all__ = ["FILE_VERSION", "Census", "SampleGroup", "TreeLabels", "run_digest"]

FILE_VERSION = "0.9"
"""The SLiM file format that is written."""

MUTATION_RECORD = np.dtype(
    [("type", "<i4"), ("s", "<f4"), ("deme", "<i4"), ("tick", "<i4"), ("nucleotide", "i1")]
)  # fmt: skip
INDIVIDUAL_RECORD = np.dtype(
    [
        ("pedigree_id", "<i8"),
        ("pedigree_p1", "<i8"),
        ("pedigree_p2", "<i8"),
        ("age", "<i4"),
        ("deme", "<i4"),
        ("sex", "<i4"),
        ("flags", "<u4"),
    ]
)

_ADMIX_SCHEMA = {
    "type": "object",
    "description": "Which run of admix made the file, what it records, and where the censuses of its pulses are.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The tick before a pulse, in which the parents of the pulse's children live, and every lineage has a node.

    `tick` is the pulse's tick less one, `time_ago` the same in generations before the last cohort; `pulse` is the
    pulse's name, `source` and `target` are demes.
    """

    tick: int
    time_ago: int
    pulse: str
    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleGroup:
    """Sampled individuals of one deme and date: `date_years` before today, `time_ago` before the last cohort."""

    date_years: float
    time_ago: int
    deme: str
    individuals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLabels:
    """Which run, branch and replicate a tree file belongs to, and what its ticks mean.

    Attributes
    ----------
    branch, replicate, twin, seed
        As in the tables of the run directory; `twin` is ``none`` or ``neutral``.
    chroms
        Chromosomes of the genome, in order.
    demes, sources
        Demes of the schedule in order, and those that pulses come from.
    today_tick, last_tick, first_pulse_tick, recorded_from_tick
        Ticks of the cohort alive today, of the last cohort of the run (time 0), of generation 1, and of the roots.
    generation_time
        Years per tick.
    census
        One entry for each pulse.
    samples
        Sampled individuals in the order of the individual table.
    dominance
        h, as in the scenario (a number or a block); None where it is not known.
    run
        `run_digest` of the resolved scenario; empty where it is not known, and then not compared.
    parameters
        What else goes into the provenance record, as plain values.
    """

    branch: str
    replicate: int
    twin: str
    seed: int
    chroms: tuple[str, ...]
    demes: tuple[str, ...]
    sources: tuple[str, ...]
    today_tick: int
    last_tick: int
    first_pulse_tick: int
    recorded_from_tick: int
    generation_time: float
    census: tuple[Census, ...]
    samples: tuple[SampleGroup, ...] = ()
    dominance: Any = None
    run: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_schedule(
        cls,
        schedule: Schedule,
        *,
        branch: str,
        replicate: int,
        twin: str,
        seed: int,
        chroms: Sequence[str],
        last_tick: int | None = None,
        recorded_from_tick: int | None = None,
        samples: Sequence[tuple[int, int, int]] = (),
        dominance: Any = None,
        run: str = "",
        parameters: Mapping[str, Any] | None = None,
    ) -> TreeLabels:
        """Return the labels of a run of `schedule`.

        Parameters
        ----------
        last_tick
            Last cohort of the run; today if omitted. Pulses after it have no census.
        recorded_from_tick
            Tick of the roots; the one before the first pulse if omitted.
        samples
            (deme index, tick, number of individuals), in the order of the sample individuals.
        """
        last = schedule.today if last_tick is None else last_tick
        first = schedule.first_pulse_tick()
        names = schedule.deme_names
        return cls(
            branch=branch,
            replicate=replicate,
            twin=twin,
            seed=seed,
            chroms=tuple(chroms),
            demes=names,
            sources=tuple(names[source] for source in schedule.sources()),
            today_tick=schedule.today,
            last_tick=last,
            first_pulse_tick=first,
            recorded_from_tick=first - 1 if recorded_from_tick is None else recorded_from_tick,
            generation_time=schedule.generation_time,
            census=tuple(
                Census(
                    tick=pulse.tick - 1,
                    time_ago=last - pulse.tick + 1,
                    pulse=pulse.name,
                    source=names[pulse.source],
                    target=names[pulse.target],
                )
                for pulse in schedule.pulses
                if pulse.tick <= last
            ),
            samples=tuple(
                SampleGroup(
                    date_years=schedule.years_bp(tick), time_ago=last - tick, deme=names[deme], individuals=number
                )
                for deme, tick, number in samples
            ),
            dominance=dominance,
            run=run,
            parameters=dict(parameters or {}),
        )

    def metadata(self, chrom: str) -> dict[str, Any]:
        """Return the value of the top-level metadata key ``admix``."""
        out = asdict(self)
        for key in ("chroms", "demes", "parameters"):  # the first two are in the populations and the SLiM key
            del out[key]
        out |= {"sources": list(self.sources), "census": list(out["census"]), "samples": list(out["samples"])}
        return {"chrom": chrom, **out}


def run_digest(scenario: Scenario) -> str:
    """Return a hash (hex) of a resolved scenario with its ``run:`` block: runs that differ in anything differ in it."""
    return hashlib.sha256(json.dumps(scenario.to_tree(), sort_keys=True).encode()).hexdigest()[:16]


def set_top_level(tables: tskit.TableCollection, chrom: str, labels: TreeLabels) -> None:
    """Set schemas of all tables and the top-level metadata."""
    chromosomes = [{**chromosome, "index": k} for k, chromosome in enumerate(_chromosomes(labels.chroms))]
    pyslim.set_tree_sequence_metadata(
        tables,
        model_type="WF",
        tick=labels.last_tick,
        stage="late",
        name="admix",
        this_chromosome=chromosomes[labels.chroms.index(chrom)],
        chromosomes=chromosomes,
        file_version=FILE_VERSION,
    )
    pyslim.set_metadata_schemas(tables, num_chromosomes=len(labels.chroms))
    schema = tables.metadata_schema.asdict()
    schema["properties"]["admix"] = _ADMIX_SCHEMA
    tables.metadata_schema = tskit.MetadataSchema(schema)
    tables.metadata = {**tables.metadata, "admix": labels.metadata(chrom)}


def _chromosomes(chroms: Sequence[str]) -> list[dict[str, Any]]:
    """SLiM's list of chromosomes: the number in the name is the id where all names are different numbers."""
    numbers = [int(name) for name in chroms if name.isdecimal()]
    numbered = len(numbers) == len(chroms) == len(set(numbers))
    return [
        {"id": int(name) if numbered else k + 1, "symbol": name, "name": f"chr{name}", "type": "A"}
        for k, name in enumerate(chroms)
    ]


def add_populations(tables: tskit.TableCollection, demes: Sequence[str]) -> None:
    """Add a population for each deme, with SLiM's metadata: name, and its index as id."""
    for k, name in enumerate(demes):
        tables.populations.add_row(metadata=pyslim.default_slim_metadata("population") | {"slim_id": k, "name": name})


def individual_metadata(key: np.ndarray, deme: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Metadata column and offsets of individuals with these pedigree ids and demes (hermaphrodites of a WF model)."""
    records = np.zeros(len(key), INDIVIDUAL_RECORD)
    records["pedigree_id"], records["deme"] = key, deme
    for unknown in ("pedigree_p1", "pedigree_p2", "age", "sex"):
        records[unknown] = -1
    return records.tobytes(), np.arange(len(key) + 1, dtype=np.uint64) * np.uint64(INDIVIDUAL_RECORD.itemsize)


def node_metadata(haplosome: np.ndarray, n_chromosomes: int) -> tuple[bytes, np.ndarray]:
    """Metadata column and offsets of nodes with these haplosome ids; a negative id has no metadata."""
    record = np.dtype([("slim_id", "<i8"), ("is_vacant", "u1", (pyslim.is_vacant_num_bytes(n_chromosomes),))])
    known = haplosome >= 0
    records = np.zeros(int(known.sum()), record)
    records["slim_id"] = haplosome[known]
    return records.tobytes(), np.append(0, np.cumsum(known * record.itemsize)).astype(np.uint64)


def provenance_record(command: str, parameters: Mapping[str, Any]) -> str:
    """Return a provenance record of this program in tskit's schema, as JSON."""
    libraries = {name: {"version": module.__version__} for name, module in (("tskit", tskit), ("pyslim", pyslim))}
    record = {
        "schema_version": "1.0.0",
        "software": {"name": "admix", "version": admix.__version__},
        "parameters": {"command": command, **parameters},
        "environment": tskit.provenance.get_environment(extra_libs=libraries),
    }
    tskit.validate_provenance(record)
    return json.dumps(record)
