#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-gates.py - "convenectl wait"; see ctl_harness.py

import os
import signal
import time

from ctl_harness import (ACCESS, NOBODY, OK, PATIENCE, USAGE, Skip, bad, ctl, equal, good, here, main, running)

TIMED_OUT = 11


def waits(*words):
    """A waiter that the agent knows of: its watch is counted."""
    before = watches()
    waiter = running("wait", *words)
    wait_until(lambda: watches() > before)
    assert waiter.process.poll() is None, waiter.complaint()
    return waiter


def watches():
    return good("statistics", "watchers_now", "--json").json["watchers_now"]


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def passes(waiter):
    equal((waiter.end(), waiter.complaint()), (OK, b""))
    waiter.close()


def test_wait_exists():
    bad(TIMED_OUT, "was not made within 200ms (TimedOut)", "wait", "/wait", "--timeout=200ms")
    waiter = waits("/wait")
    good("create", "/wait")
    passes(waiter)
    equal(good("wait", "/wait").out, b"")
    equal(good("wait", "/wait", "--json").json, {"path": "/wait", "stat": good("stat", "/wait", "--json").json[0]["stat"]})


def test_wait_below_what_is_not_there():
    waiter = waits("/deep/down/here")
    good("create", "-p", "/deep/down/here")
    passes(waiter)


def test_wait_value():
    waiter = waits("/value", "--value=on")
    good("create", "/value", "off")
    good("set", "/value", "on and on")
    equal(waiter.process.poll(), None)
    good("set", "/value", "on")
    passes(waiter)
    bad(TIMED_OUT, "did not become what is waited for", "wait", "/value", "--value=off", "--timeout=100ms")
    good("set", "/value", "--null")
    good("wait", "/value", "--value=")


def test_wait_gone():
    good("wait", "/gone", "--gone")
    good("create", "/gone")
    bad(TIMED_OUT, "was not deleted", "wait", "/gone", "--gone", "--timeout=100ms")
    waiter = waits("/gone", "--gone")
    good("set", "/gone", "x")
    equal(waiter.process.poll(), None)
    good("delete", "/gone")
    passes(waiter)
    equal(good("wait", "/gone", "--gone", "--json").json, {"path": "/gone", "stat": None})


def test_wait_children():
    waiter = waits("/crowd", "--children=3")
    good("create", "/crowd")
    good("create", "/crowd/a")
    good("create", "/crowd/b")
    equal(waiter.process.poll(), None)
    good("create", "/crowd/c")
    passes(waiter)
    good("wait", "/crowd", "--children=2")
    bad(TIMED_OUT, "did not become", "wait", "/crowd", "--children=4", "--timeout=100ms")


def test_wait_quorum():
    equal(good("wait", "--quorum").out, b"")
    equal(good("wait", "--quorum", "--json").json, {"serving": True})


def test_wait_survives_the_agent():
    """What changes while nobody is connected is seen afterwards."""
    waiter = waits("/survivor", "--value=2")
    for number in (signal.SIGTERM, signal.SIGKILL):
        here.agent.stop(number)
        assert "gone away" in waiter.line("stderr")
        here.agent.start()
        assert "is back" in waiter.line("stderr")
    good("create", "/survivor", "2")
    passes(waiter)


def test_wait_begins_before_the_agent():
    good("create", "/early", "x")
    here.agent.stop()
    early = [running("wait", "/early"), running("wait", "--quorum")]
    for one in early:
        assert "cannot reach the agent" in one.line("stderr")
    bad(TIMED_OUT, "did not come to serve within 300ms", "wait", "--quorum", "--timeout=300ms", "-q")
    here.agent.start()
    for one in early:
        assert "is back" in one.line("stderr")
        passes(one)


def test_wait_runs_a_command():
    waiter = waits("/go", "--", "sh", "-c", "echo ran; exit 7")
    good("create", "/go")
    equal((waiter.line(), waiter.end(), waiter.complaint()), ("ran", 7, b""))
    waiter.close()
    bad(127, "cannot run", "wait", "/go", "--", "/nonexistent")
    bad(TIMED_OUT, "TimedOut", "wait", "/no-go", "--timeout=100ms", "--", "touch", str(here.work / "ran"))
    assert not (here.work / "ran").exists()
    bad(USAGE, "which command?", "wait", "/go", "--")


def test_wait_time_is_kept():
    begin = time.monotonic()
    bad(TIMED_OUT, "TimedOut", "wait", "/never", "--timeout=500ms")
    assert 0.5 <= time.monotonic() - begin < PATIENCE


def test_wait_who_may():
    if os.getuid() != 0:
        raise Skip("needs root")
    good("create", "/private", "--acl=unix:0@*:all")
    bad(ACCESS, "NoAuth", "wait", "/private", user=NOBODY)
    bad(ACCESS, "NoAuth", "wait", "/private", "--gone", user=NOBODY)
    equal(ctl("wait", "/", user=NOBODY).status, OK)


def test_wait_mistakes():
    bad(USAGE, "wait for what", "wait")
    bad(USAGE, "wait for what", "wait", "/", "--quorum")
    bad(USAGE, "wait for what", "wait", "--quorum", "--gone")
    bad(USAGE, "--gone goes with neither", "wait", "/x", "--gone", "--value=1")
    bad(USAGE, "BadArguments", "wait", "no-slash")
    bad(USAGE, "--children", "wait", "/x", "--children=0")


if __name__ == "__main__":
    main(globals())
