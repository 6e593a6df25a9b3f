#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-absence.py - hosts that sleep or shut down, as logind tells it: what they lead and hold goes to others first, and logind waits for
# that; see fake-logind.c, singleton_host.py and ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import importlib
import os
import subprocess
import time

from ctl_harness import OK, Running, command, ctl, equal, here, wait_until
from singleton_host import candidate

lock = importlib.import_module("test-ctl-lock")
story = importlib.import_module("test-singleton-ensemble")
ensemble = story.ensemble
FAKE = os.environ["FAKE_LOGIND"]


class Logind(Running):
    def __init__(self, host):
        super().__init__([FAKE, host.usual[0].split("=", 1)[1]], stdin=subprocess.PIPE, stderr=None)
        self.host = host
        self.said()

    def order(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def said(self):
        """What it says next; when it was, in seconds, is in self.at."""
        at, what = self.line().split(" ", 1)
        self.at = int(at) / 1e6
        return what

    def expect(self, *what):
        equal([self.said() for _ in what], list(what))

    def locked(self):
        self.expect("inhibited sleep:shutdown delay")

    def close(self):
        self.process.stdin.close()
        super().close()


class Journal:
    """What an agent says from now on."""

    def __init__(self, host):
        self.path = host.directory / "journal"
        self.begin = self.path.stat().st_size

    def text(self):
        with open(self.path, "rb") as file:
            file.seek(self.begin)
            return file.read().decode(errors="replace")

    def wait(self, what):
        wait_until(lambda: what in self.text(), f"'{what}' in {self.text()}")


loginds = {}


def stand_all():
    for host in ensemble.hosts():
        wait_until(lambda one=host: len(one.row()["hosts"]) == 3, f"all stand as {host.name} sees it")


def place(host):
    """The singleton runs on this host."""
    stand_all()
    host.called("Move", "ssa{sv}", "myapp", host.name, "0")
    ensemble.leading(*(one for one in ensemble.hosts() if one is not host))
    host.wait_state("leading")
    stand_all()


def holder(host, name, *options):
    return lock.Holder(name, *options, agent=host.words())


def wait_contenders(host, name, count):
    """Waits until so many have the lock or wait for it."""
    def look():
        answer = ctl(*host.words("ls", f"/convene/locks/{name}"))
        return len(answer.lines) == count if answer.status == OK else count == 0
    wait_until(look, f"{count} contend for {name}")


def test_three():
    """There is no logind, and nothing is said about that."""
    h1, h2, h3 = (ensemble[f"h{i}"] for i in (1, 2, 3))
    h1.start()
    for h in (h2, h3):
        equal(h.join(h1.token()), None)
        h1.promote(h.name)
    ensemble.whole(3)
    story.everywhere(SessionTimeout="10s")      # long enough for a machine that is busy
    story.stand(h1, h2, h3)
    equal(ensemble.leading(), h1)
    for host in ensemble.hosts():
        assert "logind" not in host.last_words(), host.last_words()


def test_lock_is_taken():
    for host in ensemble.hosts():
        loginds[host.name] = Logind(host)
        loginds[host.name].locked()


def test_sleep():
    """All three kinds go elsewhere before logind is let go on, and nothing is given to the host until it is back."""
    leader = ensemble.leader()
    other, third = ensemble.others(leader)
    logind, journal = loginds[leader.name], Journal(leader)
    place(leader)
    held = holder(leader, "disk")
    token = held.begun()
    waiting = holder(other, "disk")
    wait_contenders(other, "disk", 2)
    leader.systemd.order("stopping", 300)

    begun = time.monotonic()
    logind.order("sleep", "yes")
    ensemble.leading(leader)
    assert waiting.begun() > token
    logind.expect("released", "going")
    print(f"# let go on after {logind.at - begun:.3f} s; of these 0.3 s are what the unit takes to stop")
    assert 0.3 <= logind.at - begun < 4.5
    assert ensemble.leader() is not leader
    assert held.running.end() != 0, "its lock was lost"
    journal.wait("Handing over leadership of the ensemble, 1 singleton, 1 lock or other grant, because this host is about to sleep; "
                 "logind waits for 5000ms at most")
    journal.wait("All that others wait for is handed over, after ")
    equal(leader.row()["text"], "this host is about to sleep")

    refused = holder(leader, "free")
    assert refused.running.end() != 0
    assert b"about to sleep or to shut down" in refused.running.complaint()
    queued = holder(leader, "disk")             # its turn has not come
    wait_contenders(other, "disk", 2)

    logind.order("sleep", "no")
    logind.locked()
    stand_all()
    ensemble.leading()
    journal.wait("This host is back after ")
    waiting.release()
    queued.running.close()
    free = holder(leader, "free")
    free.begun()
    free.release()
    ensemble.check()


def test_nothing_to_hand_over():
    """It leads nothing and holds nothing that is exclusive: logind does not notice, and nothing is said."""
    host = ensemble.others(ensemble.leader(), ensemble.leading())[0]
    logind, journal = loginds[host.name], Journal(host)
    wait_contenders(host, "free", 0)
    begun = time.monotonic()
    logind.order("shutdown", "yes")
    logind.expect("released", "going")
    assert logind.at - begun < 1
    logind.order("shutdown", "no")
    logind.locked()
    stand_all()
    equal(journal.text(), "")


def test_waiter_is_passed():
    """Whoever waits on a host that sleeps is not given the lock when the turn comes, but the next one is."""
    here, there = ensemble.hosts()[:2]
    logind = loginds[here.name]
    held = holder(there, "turn")
    held.begun()
    passed = holder(here, "turn")
    wait_contenders(there, "turn", 2)
    after = holder(there, "turn")
    wait_contenders(there, "turn", 3)
    logind.order("sleep", "yes")
    logind.expect("released", "going")
    held.release()
    after.begun()
    assert passed.running.end() != 0
    assert b"the place in the line is lost" in passed.running.complaint()
    after.release()
    logind.order("sleep", "no")
    logind.locked()
    stand_all()


def test_unit_is_slow():
    """logind is let go on before it would by itself; the unit goes on stopping, and nobody else starts it before it has."""
    host = ensemble.leading()
    logind, journal = loginds[host.name], Journal(host)
    logind.order("delay", 3000)
    logind.order("leave")
    logind.order("come")
    logind.expect("named")
    logind.locked()
    logind.expect("released")
    host.systemd.order("stopping", 4000)
    begun = time.monotonic()
    logind.order("shutdown", "yes")
    logind.expect("released", "going")
    assert 2.5 <= logind.at - begun < 3, logind.at - begun
    journal.wait("logind waits no longer")
    assert "not everything is handed over: 1 singleton; others" in journal.text(), journal.text()
    ensemble.leading(host)
    host.systemd.order("stopping", 0)
    logind.order("shutdown", "no")
    logind.locked()
    stand_all()
    ensemble.check()


def test_grace_is_kept():
    """A holder whose grace is longer than logind waits has it nevertheless."""
    host, other = ensemble.hosts()[:2]
    logind = loginds[host.name]
    logind.order("delay", 2000)
    logind.order("leave")
    logind.order("come")
    logind.expect("named")
    logind.locked()
    logind.expect("released")
    held = Running(command(*host.words("lock", "--session-timeout=20s", "slow", "--", "sh", "-c",
                                       'trap "" TERM; echo begun; while :; do read line; done')), env=here.environment, stdin=subprocess.PIPE)
    equal(held.line(), "begun")
    waiting = holder(other, "slow")
    wait_contenders(other, "slow", 2)
    begun = time.monotonic()
    logind.order("sleep", "yes")
    logind.expect("released", "going")
    assert logind.at - begun < 2
    waiting.begun()
    assert time.monotonic() - begun >= 2.2, "half of a quarter of 20 s, which a command has that does not end when told"
    waiting.release()
    held.process.stdin.close()
    held.close()
    logind.order("sleep", "no")
    logind.locked()
    stand_all()


def test_agent_restarted_meanwhile():
    """The next one finds that the host is about to go, and stands for nothing before it stays."""
    host = ensemble.hosts()[0]
    logind = loginds[host.name]
    logind.order("sleep", "yes")
    logind.expect("released", "going")
    equal(host.stop(), 0)
    host.start()
    wait_until(lambda: (host.row() or {}).get("text") == "this host is about to sleep", f"it knows: {host.row()}")
    assert host.name not in host.row()["hosts"]
    logind.order("sleep", "no")
    logind.locked()
    stand_all()
    ensemble.whole(3)


def test_not_logind():
    """What somebody else says is not believed."""
    host = ensemble.leading()
    for signature in (("PrepareForSleep", "b", "true"), ("PrepareForShutdown", "b", "true")):
        subprocess.run(["busctl", f"--address={host.usual[0].split('=', 1)[1]}", "emit", "--destination=org.convene1", "/org/freedesktop/login1",
                        "org.freedesktop.login1.Manager", *signature], check=True)
    free = holder(host, "free")
    free.begun()
    free.release()
    equal(host.row()["state"], "leading")


def test_refused():
    """Said once; the agent goes on without."""
    host = ensemble.hosts()[0]
    logind, journal = loginds[host.name], Journal(host)
    for _ in range(2):
        logind.order("refuse", "yes")
        logind.order("leave")
        logind.order("come")
        logind.expect("named", "refused")
    journal.wait("does not let convened delay sleep and shutdown: Permission denied")
    equal(journal.text().count("Permission denied"), 1)
    logind.order("refuse", "no")
    logind.order("leave")
    logind.order("come")
    logind.expect("named")
    logind.locked()
    logind.expect("released")
    equal(host.systemd.state(candidate()), "active")


def test_all():
    """Never two, through all of it."""
    runs = ensemble.check()
    assert len(runs) >= 3, runs
    for logind in loginds.values():
        logind.close()


if __name__ == "__main__":
    story.ensemble.main(globals())
