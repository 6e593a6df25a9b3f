#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-recipe-ensemble.py - leases and counters over three agents, of which one dies; see ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import importlib
import threading
import time

from ctl_harness import Running, command, ctl, equal, here, main

story = importlib.import_module("test-ctl-ensemble")
ensemble = None


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


def test_end():
    for m in ensemble.others():
        equal(m.stop(), 0)


if __name__ == "__main__":
    ensemble = story.Ensemble()
    try:
        main(globals())
    finally:
        ensemble.end()
