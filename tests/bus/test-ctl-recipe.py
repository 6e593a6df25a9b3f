#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-recipe.py - leases, counters, barriers, groups and queues through convenectl, on one agent; see ctl_harness.py

import importlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

from ctl_harness import (ACCESS, CONFLICT, NOBODY, NO_NODE, PATIENCE, SESSION, USAGE, Running, Skip, bad, ctl, equal, good, here,
                         main, running, wait_until)

lock = importlib.import_module("test-ctl-lock")
NOT_GRANTED = lock.NOT_GRANTED


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


#
# Barriers
#

def children(path):
    answer = ctl("ls", path)
    return answer.lines if answer.status == 0 else []


def wait_children(path, count):
    end = time.monotonic() + PATIENCE
    while len(children(path)) != count:
        assert time.monotonic() < end, children(path)
        time.sleep(0.01)


def test_barrier():
    good("barrier", "wait", "gate")                     # there is none
    good("barrier", "close", "gate")
    good("barrier", "close", "gate")
    bad(NOT_GRANTED, "TimedOut", "barrier", "wait", "gate", "--try")
    bad(NOT_GRANTED, "TimedOut", "barrier", "wait", "gate", "--timeout=200ms")
    waiters = [running("barrier", "wait", "gate") for _ in range(5)]
    bad(NOT_GRANTED, "TimedOut", "barrier", "wait", "gate", "--timeout=200ms")
    equal([one.process.poll() for one in waiters], [None] * 5)
    good("barrier", "open", "gate")
    for one in waiters:
        equal((one.end(), one.complaint()), (0, b""))
        one.close()
    good("barrier", "open", "gate")
    bad(USAGE, "BadArguments", "barrier", "wait", "a/b")


class Entrant:
    def __init__(self, name, count, *options, agent=()):
        self.running = running(*agent, "barrier", "enter", *options, name, str(count), "--", "sh", "-c", "echo begun; read line; exit 7",
                               stdin=subprocess.PIPE)

    def begun(self):
        equal(self.running.line(), "begun")

    def leave(self):
        self.running.process.stdin.close()

    def end(self):
        equal((self.running.end(), self.running.complaint()), (7, b""))
        self.running.close()


def test_double_barrier():
    two = [Entrant("party", 3) for _ in range(2)]
    wait_children("/convene/barriers/party", 2)
    bad(NOT_GRANTED, "TimedOut", "barrier", "enter", "party", "4", "--timeout=300ms", "--", "true")
    gone = Entrant("party", 4)
    wait_children("/convene/barriers/party", 3)
    for one in two:
        one.begun()                                     # they wanted three
    gone.running.kill(signal.SIGKILL)
    gone.running.end()
    gone.running.process.stdin.close()
    gone.running.close()
    wait_children("/convene/barriers/party", 2)
    two[0].leave()
    wait_children("/convene/barriers/party", 1)
    equal(two[0].running.process.poll(), None)          # until the other has left, too
    two[1].leave()
    for one in two:
        one.end()


def test_double_barrier_ready():
    """Clients of Curator's recipe wait for "ready", and others wait for theirs."""
    all_three = [Entrant("ready", 3) for _ in range(3)]
    for one in all_three:
        one.begun()
    wait_children("/convene/barriers/ready", 4)
    assert "ready" in children("/convene/barriers/ready")
    for one in all_three:
        one.leave()
    for one in all_three:
        one.end()
    good("create", "--parents", "/convene/barriers/curator/ready")
    late = Entrant("curator", 3)
    late.begun()
    late.leave()
    late.end()
    bad(USAGE, "which command?", "barrier", "enter", "x", "2")
    bad(USAGE, "not a number", "barrier", "enter", "x", "0", "--", "true")


#
# Groups
#

class Joined:
    def __init__(self, name, *options, agent=()):
        self.running = running(*agent, "group", "join", *options, name, "--", "sh", "-c", "echo begun; read line",
                               stdin=subprocess.PIPE)
        equal(self.running.line(), "begun")

    def leave(self):
        self.running.process.stdin.close()
        self.running.end()
        self.running.close()


def test_group():
    equal(good("group", "list", "workers", "--json").json, [])
    first = Joined("workers", "--as=one", "--data=first of all")
    second = Joined("workers")
    shown = {one["member"]: one for one in good("group", "list", "workers", "--json").json}
    host = good("status", "--json").json["name"]
    default = f"{host}-{second.running.process.pid}"
    equal(sorted(shown), sorted(["one", default]))
    equal((shown["one"]["data"], shown["one"]["host"], shown["one"]["pid"]), ("first of all", host, first.running.process.pid))
    assert "first of all" in good("group", "list", "workers").text
    bad(CONFLICT, "NodeExists", "group", "join", "workers", "--as=one", "--", "true")
    bad(USAGE, "BadArguments", "group", "join", "workers", "--as=a/b", "--", "true")
    bad(USAGE, "BadArguments", "group", "join", "workers", "--as=", "--", "true")
    first.leave()
    equal([one["member"] for one in good("group", "list", "workers", "--json").json], [default])
    second.leave()
    again = Joined("workers", "--as=one")
    again.leave()


def test_group_watch():
    early = Joined("watched", "--as=early")
    watch = running("group", "watch", "watched", "--json", "--count=5")

    def event():
        said = json.loads(watch.line())
        return said["change"], said["member"], said["data"]

    equal(event(), ("joined", "early", ""))
    late = Joined("watched", "--as=late", "--data=x")
    equal(event(), ("joined", "late", "x"))
    good("set", "/convene/groups/watched/late", "y")
    equal(event(), ("changed", "late", "y"))
    late.leave()
    equal(event(), ("left", "late", "y"))
    early.running.kill(signal.SIGKILL)
    early.running.process.stdin.close()
    equal(event(), ("left", "early", ""))
    equal(watch.end(), 0)
    watch.close()
    early.running.close()


def test_group_share():
    """The rows 1 to 100 among ten workers, then nine."""
    rows = [str(i) for i in range(1, 101)]
    workers = [Joined("share", f"--as=w{i}") for i in range(10)]

    def shares():
        found = {one["member"]: good("group", "share", f"--as={one['member']}", "share", *rows).lines
                 for one in good("group", "list", "share", "--json").json}
        equal(sorted(row for share in found.values() for row in share), sorted(rows))
        return found

    before = shares()
    equal([len(share) for share in before.values()], [10] * 10)
    version = good("group", "share", "--as=w0", "--json", "share", *rows).json["version"]
    waiting = running("group", "share", "--as=w0", f"--since={version}", "--json", "share", *rows)
    bad(NOT_GRANTED, "TimedOut", "group", "share", "--as=w0", f"--since={version}", "--timeout=200ms", "share", "x")
    equal(waiting.process.poll(), None)
    workers[9].leave()
    after = shares()
    equal(sorted(len(share) for share in after.values()), [11] * 8 + [12])
    equal(json.loads(waiting.line())["items"], after["w0"])
    equal(waiting.end(), 0)
    waiting.close()
    assert sum(len(set(before[name]) & set(share)) for name, share in after.items()) > 60
    bad(NO_NODE, "NotHeld", "group", "share", "--as=w9", "share", "x")
    bad(USAGE, "whose share?", "group", "share", "share", "x")
    said = ctl("group", "join", "--as=me", "alone", "--", str(here.work / "convenectl"), "group", "share", "alone", "b", "a", "b")
    equal((said.status, said.out), (0, b"a\nb\n"))
    for one in workers[:9]:
        one.leave()


#
# Queues
#

def items(name):
    return good("queue", "list", name, "--json").json


class Taker:
    """Says what it got, and ends as it is told."""

    def __init__(self, name, *options, agent=()):
        self.pipe = tempfile.mkdtemp(dir=here.work) + "/pipe"
        os.mkfifo(self.pipe)
        self.running = running(*agent, "queue", "take", *options, name, "--", "sh", "-c",
                               'cat; echo; read status < "$0"; exit "$status"', self.pipe)

    def got(self):
        return self.running.line()

    def finish(self, status):
        with open(self.pipe, "w", encoding="ascii") as f:
            f.write(f"{status}\n")
        said = self.running.end()
        complaint = self.running.complaint()
        self.running.close()
        equal((said, complaint), (status, b""))

    def has_nothing(self):
        os.set_blocking(self.running.process.stdout.fileno(), False)
        said = self.running.process.stdout.read()
        os.set_blocking(self.running.process.stdout.fileno(), True)
        assert not said and self.running.process.poll() is None, said


def test_queue():
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--try", "q", "--", "true")
    equal(items("q"), [])
    first = good("queue", "put", "q", "one").text.strip()
    equal(good("queue", "put", "q", "--json", "-", stdin=b"t\0wo").json["item"][-10:], "0000000001")
    good("queue", "put", "q", "")
    equal([(one["bytes"], one["attempts"], one["pid"]) for one in items("q")], [(3, 0, None), (4, 0, None), (0, 0, None)])
    equal(good("get", first).text, "one")
    equal(ctl("queue", "take", "q", "--", "cat").out, b"one")
    equal(len(items("q")), 2)
    equal(ctl("queue", "take", "q", "--", "sh", "-c", "exit 3").status, 3)
    equal([one["attempts"] for one in items("q")], [1, 0])
    said = ctl("queue", "take", "q", "--", "sh", "-c", 'cat; echo " $CONVENE_PATH" >&2')
    assert said.out == b"t\0wo" and b"item-0000000001" in said.err, said
    equal(ctl("queue", "take", "q", "--", "cat").out, b"")
    equal(items("q"), [])


def test_queue_waits():
    takers = [Taker("later") for _ in range(3)]
    for i in range(3):
        good("queue", "put", "later", str(i))
    equal(sorted(one.got() for one in takers), ["0", "1", "2"])
    shown = items("later")
    equal(sorted(one["pid"] for one in shown), sorted(one.running.process.pid for one in takers))
    equal([one["attempts"] for one in shown], [1, 1, 1])
    for one in takers:
        one.finish(0)
    equal(items("later"), [])
    begin = time.monotonic()
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--timeout=300ms", "later", "--", "true")
    assert 0.3 <= time.monotonic() - begin < PATIENCE


def test_queue_taker_dies():
    good("queue", "put", "deadly", "work")
    first = Taker("deadly")
    equal(first.got(), "work")
    second = Taker("deadly")
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--try", "deadly", "--", "true")
    second.has_nothing()
    first.running.kill(signal.SIGKILL)                  # its command gets SIGTERM
    first.running.end()
    first.running.close()
    equal(second.got(), "work")
    equal(items("deadly")[0]["attempts"], 2)
    session = good("stat", items("deadly")[0]["item"] + "/claim", "--json").json[0]["stat"]["ephemeral_owner"]
    good("sessions", "close", session)
    equal(second.running.end(), SESSION)
    second.running.close()
    equal(ctl("queue", "take", "deadly", "--", "cat").out, b"work")


def claimants():
    return [one for one in good("sessions", "list", "--json").json if one["owner"].startswith("claim")]


def test_queue_nothing_left():
    """Who waited in vain leaves no session, however it went."""
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--try", "empty", "--", "true")
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--timeout=100ms", "empty", "--", "true")
    waiting = running("queue", "take", "empty", "--", "true")
    wait_until(lambda: [one for one in claimants() if f"pid {waiting.process.pid}" in one["owner"]], "it waits")
    waiting.kill(signal.SIGKILL)
    waiting.end()
    waiting.close()
    wait_until(lambda: not claimants(), "no session is left")


def test_queue_dead():
    for text in ("bad", "good"):
        good("queue", "put", "hospital", text)
    for _ in range(2):
        equal(ctl("queue", "take", "--tries=2", "hospital", "--", "sh", "-c", 'test "$(cat)" = good').status, 1)
    equal(ctl("queue", "take", "--tries=2", "hospital", "--", "sh", "-c", 'test "$(cat)" = good').status, 0)
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--tries=2", "--try", "hospital", "--", "true")
    equal(items("hospital"), [])
    dead, = items("/convene/queues/hospital/dead")
    equal((dead["bytes"], dead["attempts"]), (3, 0))
    equal(ctl("queue", "take", "/convene/queues/hospital/dead", "--", "cat").out, b"bad")


def test_queue_ordered():
    for i in range(3):
        good("queue", "put", "line", str(i))
    first = Taker("line", "--ordered")
    equal(first.got(), "0")
    second = Taker("line", "--ordered")
    bad(NOT_GRANTED, "TimedOut", "queue", "take", "--ordered", "--try", "line", "--", "true")
    second.has_nothing()
    third = Taker("line")                               # who does not care for the order
    equal(third.got(), "1")
    first.finish(5)
    equal(second.got(), "0")
    third.finish(0)
    second.finish(0)
    equal(ctl("queue", "take", "--ordered", "line", "--", "cat").out, b"2")


def test_queue_many():
    """Many takers at once: each item once, for none of them failed."""
    for i in range(60):
        good("queue", "put", "many", str(i))
    script = 'while "$CTL" queue take --try many -- sh -c \'cat >> "$0"; echo >> "$0"\' "$0"; do :; done'
    files = [here.work / f"many-{i}" for i in range(6)]
    takers = [Running(["sh", "-c", script, str(one)], env={**here.environment, "CTL": str(here.work / "convenectl")}) for one in files]
    for one in takers:
        one.end()
        one.close()
    equal(sorted(int(line) for one in files if one.exists() for line in one.read_text().split()), list(range(60)))
    equal(items("many"), [])


def test_queue_mistakes():
    bad(USAGE, "which command?", "queue", "take", "x")
    bad(USAGE, "no token", "queue", "ack", "/convene/queues/x/item-0000000000", "x")
    bad(USAGE, "BadArguments", "queue", "ack", "item-0000000000", "1")
    bad(USAGE, "BadArguments", "queue", "ack", "/convene/queues/x", "1")
    bad(NO_NODE, "NotHeld", "queue", "ack", "/convene/queues/x/item-0000000000", "1")
    bad(USAGE, "BadArguments", "queue", "put", "a/b", "x")
    bad(USAGE, "BadArguments", "queue", "take", "a/b", "--", "true")
    item = good("queue", "put", "acked", "x").text.strip()
    one = Taker("acked")
    equal(one.got(), "x")
    claim = good("stat", f"{item}/claim", "--json").json[0]["stat"]["czxid"]
    bad(NO_NODE, "NotHeld", "queue", "ack", item, str(int(claim, 16) - 1))
    good("queue", "ack", item, str(int(claim, 16)))
    equal(one.running.end(), SESSION)                   # it has nothing to do any more
    one.running.close()
    equal(items("acked"), [])


def test_queue_who_may():
    if os.getuid() != 0:
        raise Skip("needs root")
    bad(ACCESS, "NoAuth", "queue", "put", "theirs", "x", user=NOBODY)
    good("queue", "put", "theirs", "x")
    bad(ACCESS, "NoAuth", "queue", "take", "theirs", "--try", "--", "true", user=NOBODY)
    good("queue", "put", "hidden", "x", "--acl=unix:0@*:all")
    bad(ACCESS, "NoAuth", "queue", "take", "hidden", "--try", "--", "true", user=NOBODY)
    bad(ACCESS, "NoAuth", "queue", "list", "hidden", user=NOBODY)
    good("queue", "put", "open", "x", "--acl=world:anyone:all")
    equal(ctl("queue", "take", "open", "--", "cat", user=NOBODY).out, b"x")


def wait_lost(one):
    equal(one.running.end(), SESSION)
    assert "is lost" in one.running.complaint().decode()
    one.running.process.stdin.close()
    one.running.close()


def test_group_lost():
    one = Joined("lost", "--as=me")
    good("delete", "/convene/groups/lost/me")
    wait_lost(one)


def test_agent_restarted():
    """Who is in a group or behind a barrier stays there, and who has taken an item has it."""
    with tempfile.TemporaryDirectory(prefix="recipe-", dir=here.work) as directory:
        agent = lock.Keeper(pathlib.Path(directory))
        agent.start()
        where = (f"--address=unix:path={agent.socket}",)
        try:
            member = Joined("kept", "--as=me", "--data=x", agent=where)
            pair = [Entrant("kept", 2, agent=where) for _ in range(2)]
            for one in pair:
                one.begun()
            wait_until(lambda: len(good(*where, "ls", "/convene/barriers/kept").lines) == 3, "two, and \"ready\"")
            before = good(*where, "group", "list", "kept", "--json").json
            good(*where, "queue", "put", "kept", "work")
            taker = Taker("kept", agent=where)
            equal(taker.got(), "work")
            agent.stop(signal.SIGKILL)
            agent.take()
            agent.start()
            equal(good(*where, "group", "list", "kept", "--json").json, before)
            equal(len(good(*where, "ls", "/convene/barriers/kept").lines), 3)
            bad(NOT_GRANTED, "TimedOut", *where, "queue", "take", "--try", "kept", "--", "true")
            taker.finish(0)
            equal(good(*where, "queue", "list", "kept", "--json").json, [])
            pair[0].leave()
            wait_until(lambda: len(good(*where, "ls", "/convene/barriers/kept").lines) < 3, "one has left")
            pair[1].leave()
            for one in pair:
                one.end()
            good(*where, "sessions", "close", before[0]["session"])
            wait_lost(member)
        finally:
            agent.stop()
            agent.journal.close()


if __name__ == "__main__":
    main(globals())
