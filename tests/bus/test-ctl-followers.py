#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-followers.py - what a client of a member that does not lead is told: one that observes, one that was away for so long
# that it needs a snapshot, one that no longer hears from anybody; see ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import json
import os
import select
import signal
import time

from ctl_ensemble import Ensemble
from ctl_harness import ACCESS, FATE_UNKNOWN, OK, UNREACHABLE, equal, good, running, wait_until

CALL_SECONDS = 25               # after which a D-Bus caller gives up by itself

ensemble = Ensemble()
three = []


def make(name):
    m = ensemble[name]
    m.conf.write_text(m.conf.read_text() + "KeepLog=1M\n")
    return m


def follow(m, *words):
    """A command that goes on beside the test."""
    return running(*m.words(*words))


def ended(process, status, *mentions):
    """Ends as it should; what it said on standard error."""
    error = process.process.communicate(timeout=2 * CALL_SECONDS)[1].decode()
    equal((process.process.returncode, error.count("\n")), (status, 1))
    for text in mentions:
        assert text in error, error
    return error


def pause(*members):
    for m in members:
        m.running.kill(signal.SIGSTOP)


def resume(*members):
    for m in members:
        m.running.kill(signal.SIGCONT)


def until_registered(process, leader, path):
    """Changes something until the watch tells of it."""
    while not select.select([process.process.stdout], [], [], 0.2)[0]:
        leader.good("set", path, "again")
    process.line()


def test_made():
    m1, m2, m3 = three[:] = [make(f"m{i}") for i in (1, 2, 3)]
    m1.start()
    for m in (m2, m3):
        equal(m.join(m1.token()), None)
        m1.promote(m.name)
    ensemble.whole(3)
    m1.good("create", "/shared", "1")


def test_root_of_an_observer():
    """May there what an ACL allows to the root of that host, and no more."""
    m1, m4 = ensemble["m1"], make("m4")
    equal(m4.join(m1.token()), None)
    equal(m4.status()["role"], "observer")
    me = f"unix:{os.getuid()}"
    m1.good("create", "/of-m4", "--acl", f"{me}@m4:crwda")
    m1.good("create", "/of-m1", "secret", "--acl", f"{me}@m1:crwda")

    m4.good("create", "/of-m4/a", "1")
    m4.good("set", "/of-m4/a", "2")
    equal(m1.good("get", "--linearizable", "/of-m4/a").text, "2")
    holder = follow(m4, "create", "--ephemeral", "/of-m4/e")
    holder.line()
    m1.good("get", "--linearizable", "/of-m4/e")
    holder.close()
    m4.bad(ACCESS, "NoAuth", "set", "/of-m1", "mine")
    m4.bad(ACCESS, "NoAuth", "get", "/of-m1")
    m4.bad(ACCESS, "this one observes", "set", "--super", "/of-m1", "mine")

    # and with a vote it may everything
    m1.promote("m4")
    wait_until(lambda: m4.status()["role"] == "follower", "m4 knows of its vote")
    equal(m4.good("get", "/of-m1").text, "secret")
    m4.good("set", "/of-m1", "everybody's")
    m1.good("member", "remove", "m4")
    ensemble.members.pop("m4").running.close()


def test_observer_of_a_follower():
    """Its changes come from a follower.  That one is killed, and then the leader; what lives on the observer's host notices neither."""
    leader, m5 = ensemble.leader(), make("m5")
    equal(m5.join(leader.token()), None)

    def parent(*but):
        said = m5.status()
        names = {one["sid"]: one["name"] for one in said["members"]}
        return next((m for m in three if m not in but and m.name == names.get(said["parent"])), None)

    def goes_on(word):
        wait_until(lambda: m5.status()["serving"], "it is led")
        ensemble.leader().good("set", "/shared", word)
        equal(m5.good("get", "--linearizable", "/shared").text, word)
        equal(m5.good("stat", "/of-m5/e", "--json").json, held)

    first = wait_until(parent, "it has a parent")
    assert first is not leader
    assert f"Leader: {leader.name}, whose changes come by way of {first.name}" in m5.good("status").text
    leader.good("create", "/of-m5", "--acl", f"unix:{os.getuid()}@m5:crwda", "--acl", "world:anyone:r")
    holder = follow(m5, "create", "--ephemeral", "--session-timeout=4s", "/of-m5/e")
    holder.line()
    held, began = m5.good("stat", "/of-m5/e", "--json").json, time.monotonic()
    goes_on("fed")

    first.kill()
    goes_on("without its parent")
    wait_until(lambda: parent(leader, first), "another is its parent")
    goes_on("fed by another")
    first.start()
    ensemble.whole(3)

    leader = ensemble.leader()
    leader.kill()
    goes_on("led by another")
    while time.monotonic() < began + 8:         # its session has twice ended by now, had nobody answered for it
        goes_on("still there")
    leader.start()
    ensemble.whole(3)
    wait_until(lambda: parent(ensemble.leader()), "it has a parent again")
    goes_on("as before")
    holder.close()
    ensemble.leader().good("member", "remove", "m5")
    ensemble.members.pop("m5").running.close()


def test_lost():
    """A follower that slept while the log went on without it: who watches there is told to read again."""
    leader = ensemble.leader()
    follower, other = (m for m in three if m is not leader)
    leader.good("create", "/tree")
    leader.good("create", "/tree/old")
    watch = follow(follower, "watch", "--recursive", "--json", "/tree")
    quiet = follow(follower, "watch", "--json", "/shared")

    def seen(process):
        one = json.loads(process.line())
        return one["type"], one["path"]

    until_registered(watch, leader, "/tree/old")
    until_registered(quiet, leader, "/shared")

    pause(follower)
    leader.good("create", "/tree/new")
    leader.good("delete", "/tree/old")
    leader.good("create", "/bulk")
    for _ in range(30):
        good(*leader.words("set", "/bulk", "-"), stdin=bytes(900_000))
    for m in (leader, other):
        m.good("checkpoint")
    resume(follower)

    # what was on its way to it comes first
    for process, path in ((watch, "/tree"), (quiet, "/shared")):
        before = []
        while (event := seen(process)) != ("lost", path):
            before.append(event)
        assert set(before) <= {("data-changed", "/tree/old"), ("created", "/tree/new"), ("deleted", "/tree/old"),
                               ("data-changed", "/shared")}, before
    # of what is there now it sees everything
    leader.good("set", "/tree/new", "1")
    leader.good("set", "/shared", "1")
    equal(seen(watch), ("data-changed", "/tree/new"))
    equal(seen(quiet), ("data-changed", "/shared"))
    for process in (watch, quiet):
        process.kill(signal.SIGTERM)
        process.close()
    ensemble.whole(3)


def test_silence():
    """Everybody else stands still, and no connection breaks: each call ends before its caller gives up, and says what is known."""
    leader = ensemble.leader()
    m, other = (m for m in three if m is not leader)
    m.good("set", "/shared", "before")
    began = time.monotonic()
    pause(leader, other)
    update = follow(m, "set", "/shared", "perhaps")
    wait_until(lambda: not m.status()["serving"], "it notices")
    read, watch = follow(m, "get", "/shared"), follow(m, "watch", "/shared")
    late = follow(m, "set", "/shared", "never")

    ended(update, FATE_UNKNOWN, "FateUnknown", "not known whether the request took effect", "no leader", "s now")
    assert time.monotonic() - began < CALL_SECONDS, "later than that"
    for process in (read, watch, late):
        ended(process, UNREACHABLE, "NotReady", "no leader", "s now")
    patient = follow(m, "watch", "--count=1", "/shared")
    waiting = follow(m, "get", "/shared")
    resume(leader, other)
    equal(waiting.process.wait(CALL_SECONDS), OK)
    assert waiting.process.stdout.read() in (b"before", b"perhaps")
    assert ensemble.leader().good("get", "--linearizable", "/shared").text in ("before", "perhaps")
    until_registered(patient, ensemble.leader(), "/shared")
    equal(patient.end(), OK)
    for process in (update, read, watch, late, patient, waiting):
        process.close()


def test_end():
    for m in three:
        equal(m.stop(), 0)


if __name__ == "__main__":
    ensemble.main(globals())
