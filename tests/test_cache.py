# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of burn-ins: whole or absent, damage noticed, equal for everybody who writes at once."""

import errno
import itertools
import json
import os
import shutil
import threading
import time

import numpy as np
import pytest

from admix import cache as cache_module
from admix.cache import Cache, clear, content_key, default_directory, entries
from admix.errors import RunError

KEY, OTHER = content_key("one"), content_key("two")
ARRAYS = {"a": np.arange(100, dtype=np.uint64), "b": np.ones((3, 4), np.int8), "none": np.zeros((0, 2))}
CONTENT = {"title": "a stage", "tick": 12, "curve": [[1, 2, -0.1234567890123456]]}


@pytest.fixture
def told():
    return []


@pytest.fixture
def store(tmp_path, told):
    return Cache(tmp_path / "cache", told.append)


def same(found, arrays=None, content=CONTENT):
    arrays = ARRAYS if arrays is None else arrays
    return (
        sorted(found[0]) == sorted(arrays)
        and all(np.array_equal(found[0][k], v) and found[0][k].dtype == v.dtype for k, v in arrays.items())
        and found[1] == content
    )


def hidden(store):
    return [p.name for p in store.directory.iterdir() if p.name.startswith(".")]


def test_what_is_saved_is_loaded(store, told):
    assert store.load(KEY) is None and not store.has(KEY)
    assert not store.directory.exists()
    store.save(KEY, ARRAYS, CONTENT)
    assert store.has(KEY) and same(store.load(KEY))
    assert store.load(OTHER) is None and store.load(KEY, checkpoint=True) is None
    assert not told and not hidden(store)


def test_checkpoints_are_replaced_and_dropped(store):
    store.save(KEY, ARRAYS, CONTENT, checkpoint=True)
    assert not store.has(KEY) and store.load(KEY) is None
    store.save(KEY, {"a": np.zeros(2)}, {"tick": 13}, checkpoint=True)
    assert same(store.load(KEY, checkpoint=True), {"a": np.zeros(2)}, {"tick": 13})
    store.drop_checkpoint(KEY)
    store.drop_checkpoint(KEY)
    assert store.load(KEY, checkpoint=True) is None and not hidden(store)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def damages():
    def bytes_of(name, number):
        return lambda place, other: flip(place / name, int((place / name).stat().st_size * number / 11))

    for name in ("arrays.npz", "meta.json"):
        for number in range(1, 11):
            yield f"bit of {name} at {number}/11", bytes_of(name, number)
        yield f"{name} missing", lambda place, other, name=name: (place / name).unlink()
        yield f"{name} empty", lambda place, other, name=name: (place / name).write_bytes(b"")
        yield f"{name} cut", lambda place, other, name=name: os.truncate(place / name, 120)
        yield f"{name} of another", lambda place, other, name=name: shutil.copy(other / name, place / name)
    yield "another entry", lambda place, other: (shutil.rmtree(place), shutil.copytree(other, place))
    yield "an empty directory", lambda place, other: (shutil.rmtree(place), place.mkdir())


def edit(place, change):
    meta = json.loads((place / "meta.json").read_text())
    change(meta)
    (place / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("damage", [d for _, d in damages()], ids=[n for n, _ in damages()])
def test_damage_is_noticed_told_and_mended(store, told, damage, checkpoint):
    store.save(KEY, ARRAYS, CONTENT, checkpoint=checkpoint)
    store.save(OTHER, {"a": np.zeros(9)}, {"title": "the other", "tick": 1}, checkpoint=checkpoint)
    suffix = ".checkpoint" if checkpoint else ""
    place, other = store.directory / (KEY + suffix), store.directory / (OTHER + suffix)
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    damage(place, other)
    after = {p.name: p.read_bytes() for p in place.iterdir()}
    assert before != after
    found = store.load(KEY, checkpoint=checkpoint)
    if found is not None:
        # white space in the description is no damage
        assert same(found) and json.loads(before["meta.json"]) == json.loads(after["meta.json"])
        return
    assert len(told) == 1 and str(place) in told[0] and "damaged" in told[0] and "\n" not in told[0]
    assert not place.exists() and store.load(KEY, checkpoint=checkpoint) is None and len(told) == 1
    store.save(KEY, ARRAYS, CONTENT, checkpoint=checkpoint)
    assert same(store.load(KEY, checkpoint=checkpoint))
    assert same(store.load(OTHER, checkpoint=checkpoint), {"a": np.zeros(9)}, {"title": "the other", "tick": 1})


def test_a_description_that_was_changed_is_damage(store, told):
    """A checkpoint that says another tick would go on from the wrong one."""
    store.save(KEY, ARRAYS, CONTENT, checkpoint=True)
    edit(store.directory / f"{KEY}.checkpoint", lambda meta: meta["content"].update(tick=11))
    assert store.load(KEY, checkpoint=True) is None and "checksum" in told[0]


def test_writers_at_once_leave_one_whole_entry(store, told):
    """Eight threads save and load the same entry; every load finds it whole and nobody calls it damaged."""
    faults = []

    def work():
        try:
            for _ in range(25):
                store.save(KEY, ARRAYS, CONTENT)
                found = store.load(KEY)
                if found is not None and not same(found):
                    faults.append("not the same")
        except Exception as error:
            faults.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and not told
    assert same(store.load(KEY)) and not hidden(store)


@pytest.mark.parametrize("where", ["np.savez", "os.fsync", "meta.json", "rename", "mkdir"])
@pytest.mark.parametrize("old", [False, True])
def test_a_full_disk_is_one_line_and_loses_nothing(store, monkeypatch, where, old):
    store.save(OTHER, ARRAYS, CONTENT)
    if old:
        store.save(KEY, ARRAYS, CONTENT, checkpoint=True)

    def full(*given, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    calls = itertools.count()

    def full_at_second(real):
        return lambda *given: full() if next(calls) == 1 else real(*given)

    with monkeypatch.context() as patch:
        if where == "np.savez":
            patch.setattr(cache_module.np, "savez", full)
        elif where == "os.fsync":
            patch.setattr(cache_module.os, "fsync", full)
        elif where == "meta.json":
            patch.setattr(cache_module.os, "fsync", full_at_second(os.fsync))
        elif where == "mkdir":
            patch.setattr(cache_module.Path, "mkdir", full)
        else:
            rename = cache_module.Path.rename

            def refuse(self, to):
                # the entry cannot be put in place, though the one before it could be taken away
                return full() if to.name.endswith("checkpoint") and ".old" not in self.name else rename(self, to)

            patch.setattr(cache_module.Path, "rename", refuse)
        with pytest.raises(RunError) as caught:
            store.save(KEY, {"a": np.zeros(3)}, {"tick": 99}, checkpoint=True)
    line = str(caught.value)
    assert "\n" not in line and str(store.directory) in line and "No space left on device" in line
    assert "--cache-dir" in line
    assert same(store.load(OTHER))
    kept = store.load(KEY, checkpoint=True)
    assert same(kept) if old else kept is None
    assert not hidden(store)


def test_what_a_killed_writer_left_is_removed_in_the_end(store):
    """Not at once: another process may be writing it."""
    store.save(OTHER, ARRAYS, CONTENT)
    for k, (key, age) in enumerate([(KEY, 4000), (KEY, 10), (OTHER, 4000)]):
        left = store.directory / f".{key[:16]}.{k}.0123abcd"
        left.mkdir()
        (left / "arrays.npz").write_bytes(b"half")
        os.utime(left, (time.time() - age,) * 2)
    store.save(KEY, ARRAYS, CONTENT)
    assert sorted(hidden(store)) == sorted([f".{KEY[:16]}.1.0123abcd", f".{OTHER[:16]}.2.0123abcd"])


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(RunError, match="cache can't be written") as caught:
        Cache(tmp_path / "file" / "cache").save(KEY, ARRAYS, CONTENT)
    assert str(tmp_path / "file" / "cache") in str(caught.value)


def test_listing_and_clearing(store, tmp_path):
    assert entries(store.directory) == [] and clear(store.directory) == 0
    store.save(KEY, ARRAYS, CONTENT)
    store.save(OTHER, ARRAYS, CONTENT, checkpoint=True)
    (store.directory / "kernels").mkdir()
    (store.directory / "kernels" / "mine").write_text("not an entry")
    found = {e.key: e for e in entries(store.directory)}
    assert set(found) == {KEY, OTHER}
    assert found[KEY].finished and not found[OTHER].finished
    assert found[KEY].title == "a stage" and found[KEY].size > 800
    (store.directory / KEY / "meta.json").write_text("{")
    assert {e.title for e in entries(store.directory)} == {"a stage", "damaged"}
    assert clear(store.directory) > 1600
    assert [p.name for p in store.directory.iterdir()] == ["kernels"]


def test_keys_are_of_the_content():
    assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": [1, 2], "a": 1})
    different = [{"a": 1}, {"a": "1"}, {"a": 1.5}, {"a": [1]}, {"a": None}, {"b": 1}, {}, {"a": [2, 1]}, {"a": [1, 2]}]
    assert len({content_key(c) for c in different}) == len(different)
    with pytest.raises(ValueError, match="JSON compliant"):
        content_key({"a": float("nan")})


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("ADMIX_CACHE", str(tmp_path / "mine"))
    assert default_directory() == tmp_path / "mine"
    monkeypatch.setenv("ADMIX_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_directory() == tmp_path / "xdg" / "admix"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".cache" / "admix"
