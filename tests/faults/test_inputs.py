# SPDX-License-Identifier: GPL-3.0-or-later
"""Corrupted inputs: refused in one line, soon, in little memory. The long list is a command: see suite.py."""

import bz2
import gzip
import json
import lzma
import random
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import corrupter
import inputs
import pytest
import small
import tszip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from admix import cache, genome_readers, results, scenario_yaml, trees, unfinished
from admix.errors import AdmixError, InputError
from admix.scenario import Scenario, load

EXAMPLES = settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=list(HealthCheck))


def test_one_of_every_kind_is_refused(tmp_path):
    line = [sys.executable, str(Path(inputs.__file__)), str(tmp_path), "7", "1"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert sum(n for kind, verdict, n in told["counts"] if verdict == "refused" and "random" not in kind) > 65
    assert told["memory_bytes"] < 1e9


def test_the_corrupter_repeats_itself():
    for name, change in corrupter.SCENARIOS.items():
        assert change(small.tree(), random.Random(4)) == change(small.tree(), random.Random(4)), name


# ---- strategies: any text, and text that looks like the format -----------------------------------------------------

CELLS = st.one_of(
    st.sampled_from(["a", "b", "1", "2000000", "0", "-1", "nan", "inf", "1e5", "1e999", "0.5", "", " ", "#"]),
    st.just("x" * 300),
    st.integers(-(10**20), 10**20).map(str), st.floats().map(str), st.text(max_size=8),
)  # fmt: skip
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=5).map("\t".join), max_size=8).map("\n".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)


def answer(read, *given):
    """Call a reader: its answer, or None where it refused in one line; nothing else may come out."""
    try:
        return read(*given)
    except AdmixError as error:
        assert "\n" not in str(error)
        return None


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


@EXAMPLES
@given(st.one_of(TABLES, st.binary(max_size=300)), st.sampled_from(["hapmap", "plink"]))
def test_any_map(tmp_path_factory, content, form):
    path = put(tmp_path_factory.getbasetemp() / "any.map", content)
    found = answer(genome_readers.read_map, path, form)
    if found is not None:
        assert (found.bp >= 0).all() and all("/" not in name for name in found.chroms)


@EXAMPLES
@given(st.one_of(TABLES, st.binary(max_size=300)), st.sampled_from(["bed", "gff3"]))
def test_any_elements(tmp_path_factory, content, form):
    path = put(tmp_path_factory.getbasetemp() / "any.bed", content)
    found = answer(genome_readers.read_elements, path, form, "exon", ["a", "b"], {"a": 2_000_000}, True)
    if found is not None:
        assert (found.start < found.end).all()


@EXAMPLES
@given(st.one_of(TABLES, st.binary(max_size=200)))
def test_any_lengths(tmp_path_factory, content):
    found = answer(genome_readers.chromosome_lengths, put(tmp_path_factory.getbasetemp() / "any.sizes", content))
    assert found is None or all(n >= 1 for n in found.values())


@EXAMPLES
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200), JSON.map(json.dumps)))
def test_any_yaml(tmp_path_factory, content):
    answer(load, put(tmp_path_factory.getbasetemp() / "any.yaml", content))


@EXAMPLES
@given(JSON, st.integers(0, 2**32))
def test_any_tree_of_a_scenario(value, seed):
    """A good scenario in which something is anything."""
    tree, rng = small.tree(), random.Random(seed)
    path, _ = rng.choice(list(corrupter.leaves(tree)))
    corrupter.at(tree, path[:-1])[path[-1]] = value
    answer(Scenario.from_tree, tree)


@EXAMPLES
@given(st.one_of(st.binary(max_size=100), JSON.map(json.dumps)))
def test_any_manifest(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "any-run"
    folder.mkdir(exist_ok=True)
    put(folder / "manifest.json", content)
    assert answer(results.read_run, folder) is None or b"admix-run" in (folder / "manifest.json").read_bytes()
    assert results.validate_run(folder)


@EXAMPLES
@given(st.one_of(st.binary(max_size=100), JSON.map(json.dumps)))
def test_any_cache_entry_and_record(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "any-cache"
    key = "a" * 64
    (folder / key).mkdir(parents=True, exist_ok=True)
    put(folder / key / "meta.json", content)
    put(folder / key / "arrays.npz", b"PK\x03\x04")
    said = []
    cache.entries(folder)
    assert cache.Cache(folder, said.append).load(key) is None and len(said) == 1
    unfinished_folder = results.unfinished_folder(folder / "out")
    unfinished_folder.mkdir(parents=True, exist_ok=True)
    put(unfinished_folder / "run.json", content)
    assert answer(unfinished.record_of, folder / "out") is None


@EXAMPLES
@given(st.integers(0, 2**32))
def test_any_damage_to_trees(packed, tmp_path_factory, seed):
    content = corrupter.scramble(packed, random.Random(seed))
    found = answer(trees.load, put(tmp_path_factory.getbasetemp() / "any.tsz", content))
    assert found is None or found.num_samples == 4


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A tree sequence in a format that is read, packed."""
    import msprime
    import pyslim

    ts = pyslim.annotate(msprime.sim_ancestry(2, sequence_length=100, random_seed=1), model_type="WF", tick=1)
    path = tmp_path_factory.mktemp("packed") / "good.tsz"
    tszip.compress(ts, path)
    assert trees.load(path).num_samples == 4
    return path.read_bytes()


# ---- things that are not what they seem --------------------------------------------------------------------------


def test_trees_run_no_code(packed, tmp_path):
    """zarr unpickles arrays of objects; such a file is refused before it gets there."""
    path = put(tmp_path / "bad.tsz", packed)
    evil = tmp_path / "evil.tsz"
    # the names of groups are written more than once
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("time/.zarray") and b'"filters": null' in content:
                content = content.replace(b'"filters": null', b'"filters": [{"id": "pickle", "protocol": 4}]')
            new.writestr(entry, content)
    with pytest.raises(InputError, match="an array of objects"):
        trees.load(evil)


@pytest.mark.parametrize("ending", ["gz", "xz", "bz2"])
def test_a_file_that_unpacks_to_all_of_the_memory(tmp_path, ending):
    pack = {"gz": gzip, "xz": lzma, "bz2": bz2}[ending].compress
    path = put(tmp_path / f"map.{ending}", pack(b"\0" * 150_000_000))
    with pytest.raises(InputError, match=r"more than .* MB of text"):
        genome_readers.read_map(path)


def test_a_device_without_end(monkeypatch):
    monkeypatch.setattr(genome_readers, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(InputError, match="more than 1 MB of text"):
        genome_readers.read_map("/dev/zero")


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_json_without_end(tmp_path, depth):
    folder = tmp_path / "run"
    folder.mkdir()
    put(folder / "manifest.json", "[" * depth)
    assert "not readable JSON" in results.validate_run(folder)[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [" + "1, " * 40_000 + "1]\n", "up to 30,000 values"),
        ('a: "\\ud800"\n', "text that UTF-8 can hold"),
        ("a: {<<: {b: 1}}\n", "no merge keys"),
    ],
    ids=["many", "half", "merge"],
)
def test_yaml_with_limits(text, words):
    """Found by the corrupter: a megabyte of short values took half a minute, and the others were let through."""
    with pytest.raises(InputError, match=words):
        scenario_yaml.read(text, "file")
