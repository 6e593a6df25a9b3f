#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-recipe-ensemble.py - leases, counters, barriers, groups and queues over three agents, of which one dies; see ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import importlib
import json
import threading
import time

from ctl_ensemble import Ensemble
from ctl_harness import Running, command, ctl, equal, here, wait_until

recipe = importlib.import_module("test-ctl-recipe")
ensemble = Ensemble()


def start(member, *words):
    return Running(command(*member.words(*words)), env=here.environment)


def token(member, *words):
    return int(member.good("lease", *words).text)


def test_three():
    m1, m2, m3 = (ensemble[f"m{i}"] for i in (1, 2, 3))
    m1.start()
    for m in (m2, m3):
        equal(m.join(m1.token()), None)
        m1.promote(m.name)
    ensemble.whole(3)


def test_lease_from_host_to_host():
    a, b, c = ensemble.others()
    first = token(a, "acquire", "moving", "--ttl=1h", "--holder=one")
    equal(b.good("lease", "show", "moving", "--json").json["token"], first)
    waiter = start(c, "lease", "acquire", "moving", "--ttl=1h", "--holder=two")
    equal(token(b, "renew", "moving", str(first), "--holder=one"), first)       # from wherever the holder is
    a.good("lease", "release", "moving", "--holder=one")
    second = int(waiter.line())
    equal(waiter.end(), 0)
    waiter.close()
    assert second > first
    equal(a.good("lease", "show", "moving", "--json").json["holder"], "two")


def test_counter_from_everywhere():
    """With the leader killed and brought back meanwhile: each addition once."""
    leader = ensemble.leader()
    others = ensemble.others(leader)
    sums, failures = [], []

    def add(m):
        for _ in range(60):
            answer = ctl(*m.words("counter", "add", "everywhere"))
            if answer.status == 0:
                sums.append(int(answer.text))
            else:
                failures.append(answer)

    threads = [threading.Thread(target=add, args=(m,)) for m in others for _ in range(2)]
    for one in threads:
        one.start()
    leader.kill()
    ensemble.leader()
    for one in threads:
        one.join()
    equal(failures, [])
    equal(sorted(sums), list(range(1, 241)))
    leader.start()
    ensemble.whole(3)
    equal(leader.good("counter", "get", "everywhere").text, "240\n")


def test_lease_when_its_agent_dies():
    """It goes on as if nothing had been; another host has it when the time is over, and not before."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    begin = time.monotonic()
    one = token(first, "acquire", "deadly", "--ttl=3s", "--holder=a")
    waiter = start(second, "lease", "acquire", "deadly", "--ttl=1h", "--holder=b")
    first.kill()
    leader.kill()
    first.start()
    ensemble.leader()
    two = int(waiter.line())
    passed = time.monotonic() - begin
    equal(waiter.end(), 0)
    waiter.close()
    assert two > one and passed >= 3, (one, two, passed)
    leader.start()
    ensemble.whole(3)
    equal({m.good("lease", "show", "deadly", "--json").json["token"] for m in ensemble.others()}, {two})


def test_together():
    """A barrier opens for all hosts, with the leader killed meanwhile; and nobody begins before the last has come."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    leader.good("barrier", "close", "start")
    waiters = [start(m, "barrier", "wait", "start") for m in (first, second)]
    entrants = [recipe.Entrant("relay", 3, agent=m.words()) for m in (first, second)]
    wait_until(lambda: len(ctl(*leader.words("ls", "/convene/barriers/relay")).lines) == 2, "two have come")
    leader.kill()
    ensemble.leader()
    equal([one.process.poll() for one in waiters], [None, None])
    equal([one.running.rest["stdout"] for one in entrants], [b"", b""])
    entrants.append(recipe.Entrant("relay", 3, agent=first.words()))
    for one in entrants:
        one.begun()
    second.good("barrier", "open", "start")
    for one in waiters:
        equal((one.end(), one.complaint()), (0, b""))
        one.close()
    for one in entrants:
        one.leave()
    for one in entrants:
        one.end()
    leader.start()
    ensemble.whole(3)


def test_group_of_hosts():
    a, b, c = ensemble.others()
    joined = [recipe.Joined("hosts", f"--as={m.name}", agent=m.words()) for m in (a, b)]
    watch = start(c, "group", "watch", "hosts", "--json", "--count=4")
    said = [json.loads(watch.line()) for _ in range(2)]
    equal(sorted((one["change"], one["member"], one["host"]) for one in said), sorted(("joined", m.name, m.name) for m in (a, b)))
    joined.append(recipe.Joined("hosts", f"--as={c.name}", agent=c.words()))
    equal(json.loads(watch.line())["member"], c.name)
    joined[0].leave()
    last = json.loads(watch.line())
    equal((last["change"], last["member"]), ("left", a.name))
    equal(watch.end(), 0)
    watch.close()
    for one in joined[1:]:
        one.leave()


def test_queue_of_all():
    """Nothing is lost when the leader dies, and an agent with a claim; what was claimed there is done once more."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    for i in range(40):
        leader.good("queue", "put", "jobs", str(i))
    stuck = start(first, "queue", "take", "jobs", "--session-timeout=2s", "--", "sh", "-c", "cat; echo; exec sleep 100")
    equal(stuck.line(), "0")
    done, failures = [], []

    def work(m):
        while len(done) < 40 and not failures:
            answer = ctl(*m.words("queue", "take", "jobs", "--timeout=20s", "--", "cat"))
            if answer.status == 0:
                done.append(int(answer.out))
            elif len(done) < 40:
                failures.append(answer)

    threads = [threading.Thread(target=work, args=(m,)) for m in (second, leader)]
    for one in threads:
        one.start()
    first.kill()
    equal(stuck.end(), recipe.SESSION)
    stuck.close()
    wait_until(lambda: len(done) >= 40 or failures, "all is done")
    second.good("queue", "put", "jobs", "40")           # for whoever still waits
    second.good("queue", "put", "jobs", "40")
    for one in threads:
        one.join()
    equal(failures, [])
    equal(sorted(set(done) - {40}), list(range(40)))
    equal(len([i for i in done if i < 40]), 40)
    first.start()
    ensemble.whole(3)


def test_queue_when_the_leader_dies():
    """Items put and taken on the others meanwhile: each is put once, and done once or more."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    done, failures = [], []

    def put():
        for i in range(60):
            answer = ctl(*first.words("queue", "put", "mails", str(i)))
            if answer.status:
                failures.append(answer)

    def take():
        while not done or max(done) < 59:
            answer = ctl(*second.words("queue", "take", "--ordered", "mails", "--timeout=30s", "--", "cat"))
            if answer.status:
                failures.append(answer)
                return
            done.append(int(answer.out))

    threads = [threading.Thread(target=put), threading.Thread(target=take)]
    for one in threads:
        one.start()
    wait_until(lambda: len(done) > 5, "some are done")
    leader.kill()
    for one in threads:
        one.join()
    equal(failures, [])
    equal(done, list(range(60)))
    leader.start()
    ensemble.whole(3)


def test_end():
    for m in ensemble.others():
        equal(m.stop(), 0)


if __name__ == "__main__":
    ensemble.main(globals())
