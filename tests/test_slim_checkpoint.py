# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a run in SLiM: the last complete save, and no more than was written before it."""

import os

import pytest

from admix.engines.slim.checkpoint import cut_back, last_save, working_folder


def test_the_last_line_that_is_complete_counts(tmp_path):
    assert last_save(tmp_path) is None
    (tmp_path / "saves.tsv").write_text("10\t0\t77\n20\t1\t88\n30\t0\t9")
    assert last_save(tmp_path) == (tmp_path / "save1", 88)


def test_output_is_cut_back_to_the_save(tmp_path):
    (tmp_path / "saves.tsv").write_text("-5\t0\t77\n")
    (tmp_path / "fitness.tsv").write_text("-9\t1\t2\n-5\t1\t3\n-4\t1\t4\n-3\t")
    (tmp_path / "mutations.tsv").write_text("100\t1\n")
    assert cut_back(tmp_path) == -5
    assert (tmp_path / "fitness.tsv").read_text() == "-9\t1\t2\n-5\t1\t3\n"
    assert (tmp_path / "mutations.tsv").read_text() == "100\t1\n"


def test_a_folder_is_kept_only_for_what_is_saved_in_it(tmp_path):
    with working_folder(tmp_path, "key") as folder:
        assert folder == tmp_path / "slim-key" and (folder / "in").is_dir()
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), working_folder(tmp_path, "key") as folder:
        (folder / "out" / "fitness.tsv").write_text("1\t1\n")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), working_folder(tmp_path, "key") as folder:
        (folder / "out" / "saves.tsv").write_text("1\t0\t5\n")
        raise KeyboardInterrupt
    with working_folder(tmp_path, "key") as folder:
        assert last_save(folder / "out") == (folder / "out" / "save0", 5)


def test_two_processes_do_not_share_a_folder(tmp_path):
    with working_folder(tmp_path, "key") as one:
        with working_folder(tmp_path, "key") as other:
            assert other != one and (other / "out").is_dir()
        assert not other.exists() and one.exists()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_process_that_is_gone_is_taken(tmp_path):
    place = tmp_path / "slim-key"
    place.mkdir()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    (place / "process").write_text(f"{os.uname().nodename} {pid}")
    with working_folder(tmp_path, "key") as folder:
        assert folder == place
