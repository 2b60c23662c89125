# SPDX-License-Identifier: GPL-3.0-or-later
"""The run directory: schema, sealing, refusal and replacement, full disks and kills."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from admix import results
from admix.errors import InputError, RunError
from admix.results import SCHEMA, RunWriter, conform, read_run, validate_run

FIRST = {"branch": "p10", "replicate": 0, "twin": "none", "source": "neanderthal"}


def tables():
    trajectory = pd.DataFrame(
        {
            **FIRST,
            "deme": "modern",
            "generation": [1, 2, 3],
            "years_bp": [56.0, 28.0, 0.0],
            "n_individuals": 100,
            "ancestry_mean": [0.1, 1 / 3, 0.02],
            "ancestry_sd": 0.1,
            "ancestry_p05": 0.0,
            "ancestry_p50": 0.1,
            "ancestry_p95": 0.2,
            "ancestry_functional": [0.1, np.nan, 0.1],
            "ancestry_far": 0.1,
            "log_fitness_mean": -1.5,
            "load_archaic": 0.1,
        }
    )
    pulse = pd.DataFrame(
        [
            {
                **FIRST,
                "pulse": "pulse",
                "target": "modern",
                "years_bp": 56.0,
                "requested": 0.1,
                "realised": 0.1,
                "fitness_archaic_relative": 0.465,
                "log_load_difference": 0.766,
                "burnin": 0,
            }
        ]
    )
    ancestors = pd.DataFrame([{**FIRST, "scope": "all", "measure": "dna", "value": 0.02}])
    landscape = pd.DataFrame(
        {
            **FIRST,
            "generation": 2,
            "chrom": ["1", "22"],
            "start": [0, 100_000],
            "end": [100_000, 200_000],
            "cM": [0.0, np.nan],
            "functional_bp": 5,
            "B": 0.8,
            "ancestry": [0.1, np.nan],
        }
    )
    spread = pd.DataFrame(
        {
            **FIRST,
            "deme": "modern",
            "generation": 2,
            "bin_start": [0.0, 0.005],
            "bin_end": [0.005, 0.01],
            "count": [90, 10],
        }
    )
    return {
        "trajectory.tsv": trajectory,
        "pulse.tsv": pulse,
        "ancestors.tsv": ancestors,
        "landscape.tsv": landscape,
        "spread.tsv": spread,
    }


def fill(writer, **changed):
    for name, frame in {**tables(), **changed}.items():
        writer.table(name, frame)
    writer.text("scenario.yaml", "name: test\n")
    writer.json("provenance.json", {"command": "admix run"})
    writer.json("summary.json", {"entries": []})


def write(out, force=False, **changed):
    with RunWriter(out, force) as writer:
        fill(writer, **changed)
        return writer.seal()


def snapshot(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


# ---- schema


def test_every_table_has_a_valid_example_and_unknown_tables_do_not_exist():
    assert set(tables()) == set(SCHEMA)
    for name, frame in tables().items():
        assert list(conform(name, frame).columns) == SCHEMA[name].names


def test_the_columns_are_those_of_the_contract():
    first = "branch replicate twin source "
    contract = {
        "trajectory.tsv": "deme generation years_bp n_individuals ancestry_mean ancestry_sd ancestry_p05"
        " ancestry_p50 ancestry_p95 ancestry_functional ancestry_far log_fitness_mean load_archaic",
        "pulse.tsv": "pulse target years_bp requested realised fitness_archaic_relative log_load_difference burnin",
        "ancestors.tsv": "scope measure value",
        "landscape.tsv": "generation chrom start end cM functional_bp B ancestry",
        "spread.tsv": "deme generation bin_start bin_end count",
    }
    assert {name: " ".join(table.names) for name, table in SCHEMA.items()} == {
        name: first + rest for name, rest in contract.items()
    }


def test_columns_are_put_in_order_and_types_are_cast():
    frame = tables()["trajectory.tsv"]
    shuffled = frame[frame.columns[::-1]].astype({"generation": float, "ancestry_sd": np.float32})
    out = conform("trajectory.tsv", shuffled)
    assert list(out.columns) == SCHEMA["trajectory.tsv"].names
    assert out["generation"].dtype == np.int64
    assert out["ancestry_sd"].dtype == np.float64


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("ancestry_mean", 1.01, "ancestry_mean: row 0 holds 1.01, not a share in \\[0, 1\\]"),
        ("ancestry_mean", -0.01, "not a share"),
        ("ancestry_mean", np.nan, "not a share"),
        ("ancestry_functional", 2.0, "not a share"),
        ("generation", 1.5, "not a whole number"),
        ("n_individuals", "many", "not numbers"),
        ("log_fitness_mean", np.inf, "not a finite number"),
        ("twin", "deleterious", "holds 'deleterious', not none or neutral"),
        ("branch", "a\tb", "without tabs"),
        ("deme", "", "not text"),
        ("deme", None, "holds None, not text"),
    ],
)
def test_a_bad_value_is_refused_with_its_place(column, value, says):
    frame = tables()["trajectory.tsv"]
    frame[column] = value
    with pytest.raises(RunError, match=says) as caught:
        conform("trajectory.tsv", frame)
    assert str(caught.value).startswith(f"trajectory.tsv: {column}")
    assert "\n" not in str(caught.value)


def test_a_rounding_error_above_one_is_no_fault():
    frame = tables()["ancestors.tsv"]
    frame["value"] = 1 + 2e-16 * 3
    assert conform("ancestors.tsv", frame)["value"].iloc[0] == 1.0


def test_missing_and_unknown_columns_are_named():
    frame = tables()["ancestors.tsv"].rename(columns={"value": "share"})
    with pytest.raises(RunError, match="missing value; unknown share"):
        conform("ancestors.tsv", frame)


def test_two_rows_with_one_key_are_refused():
    frame = tables()["trajectory.tsv"]
    frame["generation"] = [1, 2, 2]
    with pytest.raises(RunError, match=r"two rows for branch p10, .*generation 2"):
        conform("trajectory.tsv", frame)


# ---- writing and reading


def test_round_trip(tmp_path):
    out = write(tmp_path / "deep" / "run")
    assert validate_run(out) == []
    run = read_run(out)
    for name, frame in tables().items():
        expected = conform(name, frame)
        # Ten digits are written.
        pd.testing.assert_frame_equal(run.table(name), expected, rtol=1e-9, atol=0)
    assert run.summary == {"entries": []}
    assert run.provenance == {"command": "admix run"}
    assert set(run.tables()) == {"trajectory", "pulse", "ancestors", "landscape", "spread"}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run"]


def test_text_form_of_a_table(tmp_path):
    out = write(tmp_path / "run")
    raw = (out / "trajectory.tsv").read_bytes()
    assert b"\r" not in raw
    lines = raw.decode().splitlines()
    assert lines[0].split("\t") == SCHEMA["trajectory.tsv"].names
    cells = lines[2].split("\t")
    assert cells[SCHEMA["trajectory.tsv"].names.index("ancestry_mean")] == "0.3333333333"
    assert cells[SCHEMA["trajectory.tsv"].names.index("ancestry_functional")] == ""


def test_names_that_pandas_takes_for_missing_survive(tmp_path):
    frame = tables()["ancestors.tsv"]
    frame["branch"] = "NA"
    frame["source"] = "None"
    out = write(tmp_path / "run", **{"ancestors.tsv": frame})
    assert read_run(out).table("ancestors")[["branch", "source"]].iloc[0].tolist() == ["NA", "None"]


def test_a_table_read_is_the_readers_own(tmp_path):
    run = read_run(write(tmp_path / "run"))
    frame = run.table("pulse")
    frame.loc[0, "requested"] = 0.8
    frame["realised"] = 0.7
    assert run.table("pulse")[["requested", "realised"]].iloc[0].tolist() == [0.1, 0.1]


def test_an_empty_table_is_a_header(tmp_path):
    out = write(tmp_path / "run", **{"spread.tsv": tables()["spread.tsv"].iloc[:0]})
    assert len((out / "spread.tsv").read_text().splitlines()) == 1
    assert read_run(out).table("spread").empty


def test_json_has_no_nan_and_takes_numpy(tmp_path):
    with RunWriter(tmp_path / "run") as writer:
        writer.json("summary.json", {"a": np.nan, "b": [np.float64(1.5), np.int32(2)], 3: np.arange(2), "p": tmp_path})
        text = (writer.partial / "summary.json").read_text()
    assert json.loads(text) == {"a": None, "b": [1.5, 2], "3": [0, 1], "p": str(tmp_path)}


def test_the_same_content_gives_the_same_bytes(tmp_path):
    assert snapshot(write(tmp_path / "a")) == snapshot(write(tmp_path / "b"))


def test_manifest_lists_sealed_files_but_not_what_is_redrawn(tmp_path):
    with RunWriter(tmp_path / "run") as writer:
        fill(writer)
        for name in ("figures/a.svg", "derived/x.tsv", "report.html", "trees/p10/0/chr1.tsz"):
            writer.path(name).write_text("x")
        out = writer.seal()
    files = json.loads((out / "manifest.json").read_text())["files"]
    assert set(files) == {*SCHEMA, "scenario.yaml", "provenance.json", "summary.json", "trees/p10/0/chr1.tsz"}
    assert files["trees/p10/0/chr1.tsz"] == {
        "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "bytes": 1,
    }
    (out / "figures" / "a.svg").write_text("redrawn")
    assert validate_run(out) == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "manifest.json", "a/../../x", ""])
def test_names_outside_the_directory_are_refused(tmp_path, name):
    with RunWriter(tmp_path / "run") as writer, pytest.raises(ValueError, match="not a name inside"):
        writer.path(name)


def test_seal_wants_every_file(tmp_path):
    with RunWriter(tmp_path / "run") as writer:
        fill(writer)
        (writer.partial / "pulse.tsv").unlink()
        with pytest.raises(RunError, match=r"pulse\.tsv not written"):
            writer.seal()
    assert list(tmp_path.iterdir()) == []


# ---- refusal and replacement


def test_an_existing_directory_is_refused(tmp_path):
    out = write(tmp_path / "run")
    before = snapshot(out)
    with pytest.raises(InputError, match="--force to replace it") as caught:
        RunWriter(out)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert snapshot(out) == before


def test_force_replaces_a_run_and_leaves_nothing_else(tmp_path):
    out = write(tmp_path / "run")
    (out / "derived").mkdir()
    (out / "derived" / "old.tsv").write_text("old")
    changed = tables()["ancestors.tsv"].assign(value=0.5)
    write(out, force=True, **{"ancestors.tsv": changed})
    assert read_run(out).table("ancestors")["value"].iloc[0] == 0.5
    assert not (out / "derived").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_force_keeps_the_old_run_until_the_new_one_is_whole(tmp_path):
    out = write(tmp_path / "run")
    before = snapshot(out)
    with RunWriter(out, force=True) as writer:
        writer.text("scenario.yaml", "name: new\n")
        assert snapshot(out) == before
    assert snapshot(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_run_is_never_replaced(tmp_path, force):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("years of work")
    with pytest.raises(InputError, match="--out"):
        RunWriter(out, force)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="this is a file"):
        RunWriter(file, force)
    with pytest.raises(InputError, match="is a file"):
        RunWriter(file / "run", force)
    assert (out / "chapter1.tex").read_text() == "years of work"


def test_force_takes_an_empty_directory(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="--force"):
        RunWriter.check(tmp_path / "run", False)
    assert validate_run(write(tmp_path / "run", force=True)) == []


def test_a_link_to_a_run_is_followed(tmp_path):
    target = write(tmp_path / "real")
    link = tmp_path / "link"
    link.symlink_to(target)
    write(link, force=True, **{"ancestors.tsv": tables()["ancestors.tsv"].assign(value=0.5)})
    assert link.is_symlink()
    assert read_run(target).table("ancestors")["value"].iloc[0] == 0.5


def test_a_directory_that_appears_meanwhile_is_kept_and_so_is_the_finished_run(tmp_path):
    out = tmp_path / "run"
    with RunWriter(out) as writer:
        fill(writer)
        out.mkdir()
        (out / "other").write_text("other")
        with pytest.raises(RunError, match="the finished run is in") as caught:
            writer.seal()
    assert (out / "other").read_text() == "other"
    assert str(writer.partial) in str(caught.value)
    assert validate_run(writer.partial) == []


@pytest.mark.parametrize(
    ("fault", "seen"),
    [(OSError(errno.EIO, "Input/output error"), RunError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failed_swap_puts_the_old_run_back(tmp_path, monkeypatch, fault, seen):
    out = write(tmp_path / "run")
    before = snapshot(out)
    rename = os.rename

    def fail_into_place(source, target):
        if ".partial-" in str(source):
            raise fault
        rename(source, target)

    with RunWriter(out, force=True) as writer:
        fill(writer)
        monkeypatch.setattr(results.os, "rename", fail_into_place)
        with pytest.raises(seen):
            writer.seal()
    assert snapshot(out) == before


def test_two_writers_of_one_process_do_not_share_a_directory(tmp_path):
    with RunWriter(tmp_path / "run") as one, RunWriter(tmp_path / "run") as two:
        assert one.partial != two.partial
    assert list(tmp_path.iterdir()) == []


# ---- faults


class FullDisk:
    """A file that takes some characters and then has no space left."""

    def __init__(self, handle, room):
        self.handle, self.room = handle, room

    def write(self, text):
        if len(text) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(text)
        return self.handle.write(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handle.close()

    def __getattr__(self, name):
        return getattr(self.handle, name)


@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk_ends_with_one_line_naming_the_path(tmp_path, monkeypatch, room):
    out = tmp_path / "run"
    with pytest.raises(RunError) as caught, RunWriter(out) as writer:
        writer.text("scenario.yaml", "name: test\n")
        monkeypatch.setattr(results, "open", lambda *a, **k: FullDisk(open(*a, **k), room), raising=False)
        writer.table("trajectory.tsv", tables()["trajectory.tsv"])
    assert str(caught.value).startswith(f"{out / 'trajectory.tsv'}: disk full")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_syncing_is_told_too(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match="disk full"), RunWriter(tmp_path / "run") as writer:
        monkeypatch.setattr(results.os, "fsync", full)
        writer.text("scenario.yaml", "name: test\n")
    assert list(tmp_path.iterdir()) == []


def run_script(tmp_path, body):
    head = """
        import sys, time
        sys.path.insert(0, {tests!r})
        from test_results import fill, tables
        from admix import results
        from admix.results import RunWriter
        from pathlib import Path
        out = Path({out!r})
    """.format(tests=os.path.dirname(__file__), out=str(tmp_path / "run"))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.getcwd(),
    )


def test_a_file_size_limit_of_the_system_is_one_line(tmp_path):
    """No injection: the kernel refuses the write."""
    process = run_script(
        tmp_path,
        """
        import resource, signal
        import pandas as pd
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        frame = pd.concat([tables()["trajectory.tsv"].assign(replicate=i) for i in range(100)])
        try:
            with RunWriter(out) as writer:
                writer.table("trajectory.tsv", frame)
        except results.RunError as error:
            print(error)
        """,
    )
    stdout, stderr = process.communicate(timeout=120)
    assert (stdout, stderr) == (
        f"{tmp_path / 'run' / 'trajectory.tsv'}: cannot be written (File too large)\n",
        "",
    )
    assert [p.name for p in tmp_path.iterdir()] == ["script.py"]


# Where the process stands when it is killed: amid a table, before the manifest, before the rename.
STOPS = {
    "table": "pd_to_csv = results.pd.DataFrame.to_csv\n"
    "def half(frame, handle, **options):\n"
    "    handle.write('branch\\treplicate'); handle.flush(); stop()\n"
    "results.pd.DataFrame.to_csv = half\n",
    "manifest": "results.sha256 = lambda path: stop()\n",
    "rename": "results.os.rename = lambda *_: stop()\n",
}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("where", STOPS)
def test_a_killed_process_leaves_nothing_in_out(tmp_path, where, sent):
    body = "def stop():\n    print('here', flush=True)\n    time.sleep(60)\n" + STOPS[where]
    body += "with RunWriter(out) as writer:\n    fill(writer)\n    writer.seal()\n"
    process = run_script(tmp_path, body)
    assert process.stdout.readline() == "here\n"
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "run").exists()
    beside = [p.name for p in tmp_path.iterdir() if p.name != "script.py"]
    if sent == signal.SIGINT and where != "rename":
        assert beside == []
    else:
        assert beside == [f".run.partial-{process.pid}"]
    # What was left behind is in nobody's way.
    assert validate_run(write(tmp_path / "run")) == []


def test_a_killed_replacement_leaves_the_old_run(tmp_path):
    before = snapshot(write(tmp_path / "run"))
    body = "def stop():\n    print('here', flush=True)\n    time.sleep(60)\n" + STOPS["manifest"]
    body += "with RunWriter(out, True) as writer:\n    fill(writer)\n    writer.seal()\n"
    process = run_script(tmp_path, body)
    assert process.stdout.readline() == "here\n"
    process.kill()
    process.communicate(timeout=60)
    assert snapshot(tmp_path / "run") == before


# ---- validation


def damage_bytes(out):
    path = out / "pulse.tsv"
    path.write_bytes(path.read_bytes().replace(b"0.465", b"0.565"))
    return "pulse.tsv: checksum differs"


def damage_length(out):
    with open(out / "pulse.tsv", "a") as handle:
        handle.write("x")
    return "pulse.tsv: .* bytes, sealed with"


def damage_missing(out):
    (out / "landscape.tsv").unlink()
    return "landscape.tsv: missing"


def damage_extra(out):
    (out / "notes.txt").write_text("x")
    return "notes.txt: not in manifest.json"


def damage_manifest(out):
    (out / "manifest.json").write_text("{")
    return "manifest.json: not readable JSON"


def damage_schema_version(out):
    path = out / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    return "schema_version: got 2; allowed: 1"


def damage_table_with_right_checksum(out):
    path = out / "ancestors.tsv"
    path.write_text(path.read_text().replace("0.02", "1.02"))
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["ancestors.tsv"]["sha256"] = results.sha256(path)
    (out / "manifest.json").write_text(json.dumps(manifest))
    return "not a share in"


def damage_manifest_entry(out):
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["files"]["summary.json"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    return "summary.json: not in manifest.json"


@pytest.mark.parametrize(
    "damage",
    [
        damage_bytes,
        damage_length,
        damage_missing,
        damage_extra,
        damage_manifest,
        damage_schema_version,
        damage_table_with_right_checksum,
        damage_manifest_entry,
    ],
)
def test_validate_names_the_damage(tmp_path, damage):
    import re

    out = write(tmp_path / "run")
    expected = damage(out)
    problems = validate_run(out)
    assert any(re.search(expected, problem) for problem in problems), problems
    assert not any("\n" in problem for problem in problems)


def test_a_changed_table_is_not_read(tmp_path):
    out = write(tmp_path / "run")
    damage_bytes(out)
    run = read_run(out)
    assert len(run.table("trajectory")) == 3
    with pytest.raises(RunError, match="checksum differs"):
        run.table("pulse")


def test_reading_what_is_no_run(tmp_path):
    write(tmp_path / "reich-s1")
    with pytest.raises(InputError, match="did you mean reich-s1"):
        read_run(tmp_path / "reich-s2")
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=r"it has no manifest\.json"):
        read_run(tmp_path / "other")
    (tmp_path / "other" / "manifest.json").write_text('{"name": "app"}')
    with pytest.raises(InputError, match="written by admix run"):
        read_run(tmp_path / "other")
    with pytest.raises(InputError, match=r"did you mean trajectory\.tsv"):
        read_run(tmp_path / "reich-s1").table("trajectry")


def test_an_unsealed_run_can_be_read(tmp_path):
    with RunWriter(tmp_path / "run") as writer:
        fill(writer)
        assert len(read_run(writer.partial, sealed=False).table("trajectory")) == 3
