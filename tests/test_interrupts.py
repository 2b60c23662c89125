# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that wait for a state worth keeping."""

import os
import signal
import threading

import pytest

from admix.interrupts import SAVE, deferred


def send(number):
    os.kill(os.getpid(), number)


def test_an_interrupt_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred() as pending:
            assert pending.signal is None
            send(signal.SIGINT)
            assert pending.signal == signal.SIGINT
            done.append("the rest of the block")
        done.append("not reached")
    assert done == ["the rest of the block"]


def test_a_second_interrupt_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        send(signal.SIGINT)
        done.append("once")
        send(signal.SIGINT)
        done.append("twice")
    assert done == ["once"]


def test_termination_is_delivered_to_the_handler_of_before():
    got = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        with deferred() as pending:
            send(signal.SIGTERM)
            send(signal.SIGTERM)
            assert pending.signal == signal.SIGTERM and not got
        assert got == [signal.SIGTERM]
        send(signal.SIGTERM)
        assert got == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(SAVE is None, reason="no SIGUSR1")
def test_a_wish_for_a_checkpoint_is_noted_and_stops_nothing():
    before = signal.getsignal(SAVE)
    with deferred() as pending:
        assert not pending.save
        send(SAVE)
        assert pending.save and pending.signal is None
        pending.save = False
        send(SAVE)
        assert pending.save
    assert signal.getsignal(SAVE) == before


def test_handlers_come_back():
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with deferred():
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] != handlers
    with pytest.raises(ValueError, match="an error"), deferred():
        send(signal.SIGINT)
        raise ValueError("an error")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_blocks_nest():
    with pytest.raises(KeyboardInterrupt), deferred() as outer:
        with deferred() as inner:
            send(signal.SIGINT)
        assert inner.signal == outer.signal == signal.SIGINT


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with deferred() as pending:
            seen.append((pending.signal, signal.getsignal(signal.SIGINT)))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, handler)]
