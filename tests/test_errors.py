# SPDX-License-Identifier: GPL-3.0-or-later
import pickle

import pytest

from admix.errors import AdmixError, InputError, RunError, nearest, plain


def test_input_error_says_where_what_rule_and_nearest():
    error = InputError("pulse[0].source", "neandertal", "one of modern, neanderthal", "neanderthal")
    assert str(error) == (
        "pulse[0].source: got 'neandertal'; allowed: one of modern, neanderthal; did you mean neanderthal?"
    )
    assert error.exit_code == 2
    assert isinstance(error, AdmixError)


def test_parts_that_are_not_given_are_left_out():
    assert str(InputError("--out", allowed="a new directory")) == "--out: allowed: a new directory"
    assert str(InputError("--out", None)) == "--out: got None"


def test_run_error():
    error = RunError("runs/a", "the disk is full", "free some space and run the same command again")
    assert str(error) == "runs/a: the disk is full; free some space and run the same command again"
    assert error.exit_code == 1


@pytest.mark.parametrize("error", [InputError("a", "x\ny\n\tz", "1\n2"), RunError("a\nb", "c\nd", "e\nf")])
def test_message_is_one_line(error):
    assert "\n" not in str(error)
    assert "\t" not in str(error)


def test_long_values_are_cut():
    message = str(InputError("a", "x" * 10_000, "less"))
    assert len(message) < 200
    assert "..." in message


@pytest.mark.parametrize(
    "error",
    [
        InputError("a", 3, "b", "c"),
        InputError("a", allowed="b"),
        InputError("a", None),
        RunError("a", "b", "c"),
    ],
)
def test_errors_survive_a_process_pool(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.where == error.where


@pytest.mark.parametrize(
    ("word", "found"),
    [("neandertal", "neanderthal"), ("Modern", "modern"), ("zzz", None), ("", None)],
)
def test_nearest(word, found):
    assert nearest(word, ["modern", "neanderthal"]) == found


def test_plain_numbers():
    assert plain(47000.0) == 47000
    assert repr(plain([47000.0, 0.5, True, "a"])) == "[47000, 0.5, True, 'a']"
