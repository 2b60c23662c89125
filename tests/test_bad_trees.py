# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree files that a command must refuse, in one line that says which file, what is wrong and what to do."""

import re
import shutil

import pytest
import small

from admix import cli, run_pages, simulate, trees
from admix.cli_process import execute
from admix.run_plan import RunOptions
from admix.timeline import round_years, ticks_ago


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the coalescent engine that differ in their seed."""
    folder = tmp_path_factory.mktemp("runs")
    chosen = small.scenario(sampling={"individuals": [{"deme": "modern", "time": 0, "n": 2}]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_pages, "make", lambda path: None)
        for seed in (1, 2):
            options = RunOptions(out=folder / str(seed), engine="msprime", twin="neutral", seed=seed, threads=1)
            simulate.run(chosen, options)
    return folder


def truncated(file, other):
    file.write_bytes(file.read_bytes()[:-1000])


def from_another_run(file, other):
    shutil.copy(other, file)


def changed(change):
    def put(file, other):
        tables = trees.load(file).dump_tables()
        metadata = tables.metadata
        change(metadata)
        tables.metadata = metadata
        trees.write(tables.tree_sequence(), file)

    return put


def another_census(metadata):
    first = metadata["admix"]["census"][0]
    metadata["admix"]["census"].append(first | {"tick": first["tick"] - 3, "time_ago": first["time_ago"] + 3})


CASES = {
    "truncated": (truncated, "truncated or damaged .*; copy it again, or make the file again", 1),
    "another run": (from_another_run, "run: got '.*'; allowed: '.*': the file is from another run; take the one of", 2),
    "SLiM 0.8": (
        changed(lambda m: m["SLiM"].update(file_version="0.8")),
        r"got 'SLiM file format 0\.8'; allowed: format 0\.9 .*; bring it forward with pyslim\.update",
        2,
    ),
    "SLiM 1.0": (
        changed(lambda m: m["SLiM"].update(file_version="1.0")),
        r"got 'SLiM file format 1\.0'; allowed: format 0\.9 .*; files of SLiM 6 are not supported yet",
        2,
    ),
    "no census": (
        changed(lambda m: m["admix"].update(census=[])),
        r"no census for pulse pulse \(there is one for: none\); make the file again",
        1,
    ),
    "two censuses": (
        changed(another_census),
        "two conflicting censuses for pulse pulse, 31 and 34 generations ago; make the file again",
        1,
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("command", ["ancestry", "stats"])
def test_one_line_says_which_and_what_to_do(runs, tmp_path, capsys, case, command):
    spoil, message, code = CASES[case]
    run = tmp_path / "run"
    shutil.copytree(runs / "1", run)
    file = run / "trees" / "main" / "0-neutral" / "chr22.tsz"
    spoil(file, runs / "2" / "trees" / "main" / "0-neutral" / "chr22.tsz")
    assert execute(cli.app, [command, str(run), "-q"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"admix: {file}: ")
    assert re.search(message, err), err
    assert not [path for path in (run / "derived").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("years", "generation", "shown"),
    [
        (45000, 28, 45000),
        (4200, 28, 4200),
        (80000, 25, 80000),
        (45000, 29, 45000),
        (0, 28, 0),
        (20, 1, 20),
        (14, 28, 30),
    ],
)
def test_dates_in_names_are_as_they_were_written(years, generation, shown):
    assert round_years(ticks_ago(years, generation), generation) == shown
    assert ticks_ago(shown, generation) == ticks_ago(years, generation)
