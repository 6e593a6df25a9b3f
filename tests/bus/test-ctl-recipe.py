#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-recipe.py - leases and counters through convenectl, on one agent; see ctl_harness.py

import os
import threading
import time

from ctl_harness import (ACCESS, CONFLICT, NOBODY, NO_NODE, PATIENCE, USAGE, Skip, bad, ctl, equal, good, here, main, running)

NOT_GRANTED = 11


def token(*words):
    return int(good("lease", *words).text)


def held(name):
    return good("lease", "show", name, "--json").json


#
# Leases
#

def test_lease():
    first = token("acquire", "first", "--ttl=1h", "--holder=a")
    said = held("first")
    equal((said["name"], said["holder"], said["token"], said["ttl_ms"]), ("first", "a", first, 3600000))
    assert 3590000 < said["left_ms"] <= 3600000, said
    equal(token("acquire", "first", "--ttl=2h", "--holder=a"), first)
    equal(held("first")["ttl_ms"], 7200000)
    equal(token("renew", "first", str(first), "--holder=a"), first)
    equal(held("first")["ttl_ms"], 7200000)
    equal(token("renew", "first", str(first), "--holder=a", "--ttl=1h"), first)
    equal([one["name"] for one in good("lease", "list", "--json").json], ["first"])
    assert "first" in good("lease", "list").text

    bad(NOT_GRANTED, "TimedOut", "lease", "acquire", "first", "--ttl=1h", "--holder=b", "--try")
    bad(NO_NODE, "NotHeld", "lease", "renew", "first", str(first + 1), "--holder=a")
    bad(NO_NODE, "NotHeld", "lease", "renew", "first", str(first), "--holder=b")
    bad(NO_NODE, "NotHeld", "lease", "release", "first", "--holder=b")
    bad(NO_NODE, "NotHeld", "lease", "transfer", "first", "c", "--holder=b")

    good("lease", "transfer", "first", "b", "--holder=a")
    bad(NO_NODE, "NotHeld", "lease", "renew", "first", str(first), "--holder=a")
    second = token("acquire", "first", "--ttl=1h", "--holder=b", "--try")
    assert second > first, (first, second)
    good("lease", "release", "first", "--holder=b")
    bad(NO_NODE, "NotHeld", "lease", "show", "first")
    equal(good("lease", "list", "--json").json, [])
    third = token("acquire", "first", "--ttl=1h", "--holder=a", "--try")
    assert third > second, (second, third)

    good("delete", "/convene/leases/first")
    bad(NO_NODE, "NotHeld", "lease", "show", "first")
    fourth = token("acquire", "first", "--ttl=1h", "--holder=c", "--try")
    assert fourth > third, (third, fourth)


def test_lease_default_holder():
    token("acquire", "mine", "--ttl=1min")
    name = held("mine")["holder"]
    assert name.endswith("@" + good("status", "--json").json["name"]), name
    equal(token("acquire", "mine", "--ttl=1min", "--try"), held("mine")["token"])


def test_lease_runs_out():
    begin = time.monotonic()
    first = token("acquire", "short", "--ttl=1s", "--holder=a")
    second = token("acquire", "short", "--ttl=1s", "--holder=b")         # waits
    passed = time.monotonic() - begin
    assert 1 <= passed < PATIENCE and second > first, (passed, first, second)
    bad(NO_NODE, "NotHeld", "lease", "renew", "short", str(first), "--holder=a")


def test_lease_waits_for_release():
    token("acquire", "long", "--ttl=1h", "--holder=0")
    waiters = [running("lease", "acquire", "long", "--ttl=1h", f"--holder={i}") for i in range(1, 6)]
    tokens = []
    for i in range(5):
        good("lease", "release", "long", f"--holder={held('long')['holder']}")
        done = [one for one in waiters if wait_for_one(waiters) is one][0]
        waiters.remove(done)
        tokens.append(int(done.line()))
        equal(done.end(), 0)
        done.close()
    equal(tokens, sorted(set(tokens)))


def wait_for_one(waiters):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for one in waiters:
            if one.process.poll() is not None:
                return one
        time.sleep(0.01)
    raise AssertionError("nobody got the lease")


def test_lease_timeout():
    token("acquire", "patience", "--ttl=1h", "--holder=a")
    begin = time.monotonic()
    bad(NOT_GRANTED, "TimedOut", "lease", "acquire", "patience", "--ttl=1h", "--holder=b", "--timeout=300ms")
    assert 0.3 <= time.monotonic() - begin < PATIENCE


def test_lease_outlives_the_agent():
    """An agent that comes back counts anew: never too short."""
    first = token("acquire", "survivor", "--ttl=2s", "--holder=a")
    equal(here.agent.stop(), 0)
    time.sleep(1)
    here.agent.start()
    begin = time.monotonic()
    equal(held("survivor")["token"], first)
    assert token("acquire", "survivor", "--ttl=1s", "--holder=b") > first
    passed = time.monotonic() - begin
    assert 1 < passed < PATIENCE, passed


def test_lease_mistakes():
    bad(USAGE, "--ttl", "lease", "acquire", "x")
    bad(USAGE, "BadArguments", "lease", "acquire", "x", "--ttl=999ms")
    bad(USAGE, "BadArguments", "lease", "acquire", "x", "--ttl=367d")
    bad(USAGE, "BadArguments", "lease", "acquire", "/a/whole/path", "--ttl=1s")
    bad(USAGE, "BadArguments", "lease", "acquire", "x", "--ttl=1s", "--holder=a\nb")
    bad(USAGE, "BadArguments", "lease", "acquire", "x", "--ttl=1s", "--holder=" + "x" * 257)
    bad(USAGE, "no token", "lease", "renew", "x", "y")
    bad(NO_NODE, "NotHeld", "lease", "renew", "x", "1")
    good("create", "--parents", "/convene/leases/other", "data of another kind")
    bad(USAGE, "no lease", "lease", "acquire", "other", "--ttl=1s")
    bad(USAGE, "no lease", "lease", "show", "other")
    equal([one for one in good("lease", "list", "--json").json if one["name"] == "other"], [])


def test_lease_who_may():
    if os.getuid() != 0:
        raise Skip("needs root")
    bad(ACCESS, "NoAuth", "lease", "acquire", "theirs", "--ttl=1s", user=NOBODY)
    token("acquire", "theirs", "--ttl=1h", "--holder=shared", "--acl=world:anyone:rw")
    said = ctl("lease", "acquire", "theirs", "--ttl=1h", "--holder=shared", user=NOBODY)
    equal((said.status, int(said.text)), (0, held("theirs")["token"]))
    token("acquire", "secret", "--ttl=1h", "--acl=unix:0@*:all")
    bad(ACCESS, "NoAuth", "lease", "show", "secret", user=NOBODY)
    bad(ACCESS, "NoAuth", "lease", "release", "secret", user=NOBODY)
    names = [one["name"] for one in ctl("lease", "list", "--json", user=NOBODY).json]
    assert "theirs" in names and "secret" not in names, names


#
# Counters
#

def test_counter():
    bad(NO_NODE, "NoNode", "counter", "get", "c")
    equal(good("counter", "add", "c").text, "1\n")
    equal(good("counter", "add", "c", "41", "--json").json, {"name": "c", "value": 42})
    equal(good("counter", "add", "c", "--", "-50").text, "-8\n")
    equal(good("get", "/convene/counters/c").out, (-8).to_bytes(8, "big", signed=True))        # as Curator has it
    good("counter", "set", "c", "7", "--expect=-8")
    bad(CONFLICT, "its value is 7", "counter", "set", "c", "9", "--expect=-8")
    equal(good("counter", "get", "c").text, "7\n")
    good("counter", "set", "c", "9223372036854775807")
    bad(USAGE, "64 bits", "counter", "add", "c")
    equal(good("counter", "get", "c", "--json").json["value"], 9223372036854775807)
    good("counter", "set", "new", "3", "--expect=0")
    equal(good("counter", "add", "/by/whole path").text, "1\n")
    good("create", "/nocounter", "text")
    bad(USAGE, "no counter", "counter", "add", "/nocounter")
    bad(USAGE, "no counter", "counter", "get", "/nocounter")
    for number in ("1x", "", "9223372036854775808"):
        bad(USAGE, "no number", "counter", "set", "c", number)


def test_counter_many():
    """Each addition once, and every caller gets a sum of its own."""
    sums = []

    def add():
        for _ in range(20):
            sums.append(int(good("counter", "add", "many").text))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    equal(sorted(sums), list(range(1, 161)))


if __name__ == "__main__":
    main(globals())
