#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-lock-ensemble.py - locks over three agents: a holder here, somebody who waits there, and hosts that die; see
# ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import importlib
import signal
import subprocess
import time

from ctl_ensemble import Ensemble, Member
from ctl_harness import CONFLICT, UNREACHABLE, Running, bad, command, ctl, equal, here, running, wait_until

lock = importlib.import_module("test-ctl-lock")
ensemble = Ensemble()


class Kept(lock.Keeper, Member):
    """A member under a service manager that keeps its descriptors."""

    def __init__(self, root, name):
        Member.__init__(self, root, name)
        self.keep()


def holder(member, name, *options, **more):
    return lock.Holder(name, *options, agent=member.words(), **more)


def wait_queue(member, name, length):
    """Waits until so many contend, as this member sees it."""
    def look():
        answer = ctl(*member.words("ls", f"/convene/locks/{name}"))
        return answer.status == 0 and len(answer.lines) == length
    wait_until(look, f"{length} contend for {name}")


def shown(member, name):
    return [one for one in member.good("lock", "list", "--linearizable", "--json").json if one["name"] == name]


def test_three():
    m1, m2, m3 = (ensemble[f"m{i}"] for i in (1, 2, 3))
    m1.start()
    for m in (m2, m3):
        equal(m.join(m1.token()), None)
        m1.promote(m.name)
    ensemble.whole(3)


def test_from_host_to_host():
    members = ensemble.others()
    contenders = []
    for i in range(9):
        contenders.append(holder(members[i % 3], "relay"))
        wait_queue(members[0], "relay", i + 1)
    tokens = []
    for i, one in enumerate(contenders):
        tokens.append(one.begun())
        said, = shown(members[(i + 1) % 3], "relay")
        equal((said["host"], said["token"], said["waiters"]), (members[i % 3].name, tokens[-1], len(contenders) - 1 - i))
        equal(said["pid"], one.running.process.pid)
        one.release()
    equal(tokens, sorted(set(tokens)))


def test_one_entry_per_release():
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    one = holder(first, "entries")
    one.begun()
    other, third = holder(second, "entries"), None
    wait_queue(leader, "entries", 2)
    third = holder(leader, "entries")
    wait_queue(leader, "entries", 3)
    before = leader.status()["last_index"]
    one.release()
    other.begun()
    wait_queue(leader, "entries", 2)
    equal(leader.status()["last_index"] - before, 1)
    other.release()
    third.begun()
    third.release()


def test_election():
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    one = holder(first, "chief", "--data=one", verb="elect")
    one.begun()
    two = holder(second, "chief", "--data=two", verb="elect")
    wait_until(lambda: leader.good("leader", "--linearizable", "chief", "--json").json["waiters"] == 1, "the other stands, too")
    said = leader.good("leader", "--linearizable", "chief", "--json").json
    equal((said["host"], said["data"]), (first.name, "one"))
    one.release()
    two.begun()
    equal(leader.good("leader", "--linearizable", "chief", "--json").json["host"], second.name)
    two.release()


def wait_leader(member, name, waiters):
    """Waits until so many wait behind who leads, as this member sees it."""
    def look():
        answer = ctl(*member.words("leader", name, "--json"))
        return answer.status == 0 and answer.json["waiters"] == waiters
    wait_until(look, f"{waiters} wait to lead {name}")


def test_handed_over():
    """To the oldest of the host that is named, past those before it, and past what is more important."""
    m1, m2, m3 = members = ensemble.others()
    one = holder(m1, "post", "--session-timeout=20s", verb="elect")
    tokens = [one.begun()]
    others = []
    for m, priority in ((m2, 0), (m1, 7), (m3, 1), (m3, 9)):
        others.append(holder(m, "post", *([f"--priority={priority}"] if priority else []), verb="elect"))
        for each in members:
            wait_leader(each, "post", len(others))
    begin = time.monotonic()
    equal(m2.good("leader", "move", "post", m3.name).text.strip(), m3.name)
    one.lost()
    tokens.append(others[2].begun())
    assert time.monotonic() - begin < 20 / 4, "its grace was waited for, which it did not need"
    said = m1.good("leader", "--linearizable", "post", "--json").json
    equal((said["host"], said["token"], said["waiters"]), (m3.name, tokens[-1], 3))
    for i in (0, 1, 3):
        others[i].has_not_begun()
    equal(m1.good("leader", "move", "post", m3.name).text.strip(), m3.name)         # it leads already
    # to any other host: the most important of those
    moved_to = m3.good("leader", "move", "post").text.strip()
    others[2].lost()
    equal(moved_to, m1.name)
    tokens.append(others[1].begun())
    others[1].release()
    tokens.append(others[3].begun())
    others[3].release()
    tokens.append(others[0].begun())
    others[0].release()
    equal(tokens, sorted(set(tokens)))


def test_forged_order():
    """Whoever may contend may make a znode that looks like an order to hand over.  Nobody obeys it."""
    m1, m2, _ = ensemble.others()
    one, two = holder(m1, "forged", verb="elect"), None
    one.begun()
    two = holder(m2, "forged", verb="elect")
    wait_leader(m1, "forged", 1)
    forged = running(*m2.words("create", "--ephemeral", "/convene/elections/forged/move", f"{m1.name}\n{m2.name}", "--", "sh", "-c",
                               "echo begun; read line"), stdin=subprocess.PIPE)
    while forged.line() != "begun":
        pass
    m1.bad(CONFLICT, "NodeExists", "leader", "move", "forged", m2.name)
    two.has_not_begun()
    assert one.running.process.poll() is None
    forged.process.stdin.close()
    forged.end()
    forged.close()
    one.release()
    two.begun()
    two.release()


def test_shortest_timeout():
    """What is promised is renewed in time, on the leader and on followers."""
    ones = [Running(command(*m.words("lock", "--session-timeout=1s", "--shared", "short", "--", "sleep", "4")), env=here.environment)
            for m in ensemble.others()]
    for one in ones:
        equal((one.end(), one.complaint()), (0, b""))
        one.close()


def test_leader_killed():
    """A change of leader takes no lock away, and those who wait go on waiting."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    one = holder(first, "survivor")
    token = one.begun()
    other = holder(second, "survivor")
    wait_queue(first, "survivor", 2)
    leader.kill()
    ensemble.leader()
    equal([said["token"] for said in shown(second, "survivor")], [token])
    other.has_not_begun()
    assert one.running.process.poll() is None
    one.release()
    assert other.begun() > token
    other.release()
    leader.start()
    ensemble.whole(3)


def test_agent_of_holder_killed():
    """Its descriptor hangs up with it; another host gets the lock once the session is over, and not before."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    one = holder(first, "deadly", "--session-timeout=2s")
    token = one.begun()
    other = holder(second, "deadly")
    wait_queue(leader, "deadly", 2)
    begin = time.monotonic()
    first.kill()
    one.lost()
    lost = time.monotonic()
    assert other.begun() > token
    given = time.monotonic()
    assert lost - begin < 1 and given - begin > 1, (begin, lost, given)
    other.release()
    first.start()
    ensemble.whole(3)


def test_agent_of_holder_stopped():
    """It hangs up nothing, and answers nothing: convenectl knows by itself how long the promise lasts."""
    leader = ensemble.leader()
    first, second = ensemble.others(leader)
    one = holder(first, "frozen", "--session-timeout=4s")
    token = one.begun()
    other = holder(second, "frozen")
    wait_queue(leader, "frozen", 2)
    begin = time.monotonic()
    first.running.kill(signal.SIGSTOP)
    one.lost()
    lost = time.monotonic()
    other.has_not_begun()
    assert other.begun() > token
    given = time.monotonic()
    assert 1.5 < lost - begin < 3.7 and given - lost > 0.3, (begin, lost, given)
    first.running.kill(signal.SIGCONT)
    other.release()
    ensemble.whole(3)
    wait_queue(leader, "frozen", 0)


def test_agent_stopped_for_a_moment():
    """Nothing is lost as long as the promise is renewed in time."""
    leader = ensemble.leader()
    first = ensemble.others(leader)[0]
    one = Running(command(*first.words("lock", "--session-timeout=4s", "moment", "--", "sleep", "6")), env=here.environment)
    wait_queue(first, "moment", 1)
    for _ in range(2):
        first.running.kill(signal.SIGSTOP)
        time.sleep(1)                   # how long it is stopped
        first.running.kill(signal.SIGCONT)
        wait_queue(first, "moment", 1)
    equal((one.end(), one.complaint()), (0, b""))
    one.close()


def test_agent_restarted_without_quorum():
    """The next agent knows how long what it finds may be held: neither longer nor shorter than if it had never been away."""
    kept, other = Kept(ensemble.root, "kept"), Member(ensemble.root, "other")
    kept.start()
    equal(other.join(kept.token()), None)
    kept.promote("other")
    one = holder(kept, "kept", "--session-timeout=12s")
    one.begun()
    other.kill()
    begin = time.monotonic()
    kept.kill()
    kept.take()
    equal(len(kept.kept), 1)
    kept.begin()
    one.lost()
    passed = time.monotonic() - begin
    # 12 s * 0.99 less the grace of 3 s, counted from when the ensemble was last heard; 3 s from its start is all that an agent knows without
    assert 6 < passed < 11.5, passed
    kept.kill()


def test_quorum_lost():
    """The promise runs out: the lock is given up while nobody could have it yet, and is free when the ensemble is back."""
    leader = ensemble.leader()
    m, other = ensemble.others(leader)
    one = holder(m, "promise", "--session-timeout=4s")
    one.begun()
    waiter = holder(m, "promise")
    wait_queue(m, "promise", 2)
    begin = time.monotonic()
    leader.kill()
    other.kill()
    one.lost()
    passed = time.monotonic() - begin
    # after 4 s * 0.99 less the grace of 1 s, counted from when the ensemble was last heard, and long before the end of the 4 s
    assert 1 < passed < 3.9, passed
    waiter.has_not_begun()
    bad(UNREACHABLE, "", *m.words("lock", "list", "--linearizable", "--timeout=1s"))
    equal(ctl(*m.words("lock", "--timeout=500ms", "promise", "--", "true")).status, lock.NOT_GRANTED)
    bad(lock.NOT_GRANTED, "TimedOut", *m.words("wait", "--quorum", "-q", "--timeout=300ms"))
    gates = [Running(command(*m.words("wait", what)), env=here.environment) for what in ("--quorum", "/")]
    for gate in gates:
        assert "does not serve yet" in gate.line("stderr")
    leader.start()
    other.start()
    ensemble.whole(3)
    for gate in gates:
        equal((gate.end(), gate.complaint()), (0, b""))
        gate.close()
    waiter.begun()
    waiter.release()
    wait_queue(m, "promise", 0)


def test_heard_again():
    """The ensemble is back just when the promise has run out: whoever held the lock has the grace that it was told, still."""
    leader = ensemble.leader()
    m, other = ensemble.others(leader)
    one = Running(command(*m.words("lock", "--session-timeout=12s", "grace", "--", "sh", "-c",
                                   'trap "echo told" TERM; echo begun; while :; do read line; done')), env=here.environment, stdin=subprocess.PIPE)
    equal(one.line(), "begun")
    waiter = holder(other, "grace")
    wait_queue(m, "grace", 2)
    for frozen in (leader, other):
        frozen.running.kill(signal.SIGSTOP)
    equal(one.line(), "told")
    lost = time.monotonic()
    for frozen in (leader, other):
        frozen.running.kill(signal.SIGCONT)
    waiter.begun()
    passed = time.monotonic() - lost
    assert passed > 1.2, passed             # the half of a quarter of 12 s that a command has that does not end when told
    equal(one.end(), lock.SESSION)
    one.process.stdin.close()
    one.close()
    waiter.release()
    wait_queue(m, "grace", 0)
    ensemble.whole(3)


def test_restarted_alone():
    """The agent comes back without a quorum, and has the descriptor from its service manager: it hangs up before the ensemble could
    give the lock to another, and what is promised for longer goes on."""
    m = ensemble.members["m3"]
    others = ensemble.others(m)
    equal(m.stop(), 0)
    keeper = lock.Keeper(m.directory)
    keeper.more = m.usual
    keeper.start()
    m.running = keeper.running
    ensemble.whole(3)
    one = holder(m, "alone", "--session-timeout=12s")
    one.begun()
    plain = Running(command(*m.words("lock", "--session-timeout=60s", "patient", "--", "sleep", "60")), env=here.environment)
    wait_queue(m, "patient", 1)
    for other in others:
        other.kill()
    m.kill()
    keeper.take()
    equal(len(keeper.kept), 2)
    begin = time.monotonic()
    keeper.begin()
    m.running = keeper.running
    one.lost()
    passed = time.monotonic() - begin
    assert 6 < passed < 11.5, passed        # 12 s * 0.99 less the grace of 3 s, counted from when the ensemble was last heard
    assert plain.process.poll() is None
    for other in others:
        other.start()
    next_one = holder(others[0], "alone")
    next_one.begun()
    next_one.release()
    ensemble.whole(3)
    equal([said["host"] for said in shown(m, "patient")], [m.name])
    plain.kill(signal.SIGTERM)
    plain.end()
    plain.close()


def test_end():
    for m in ensemble.others():
        equal(m.stop(), 0)


if __name__ == "__main__":
    ensemble.main(globals())
