#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-singleton-ensemble.py - singletons over three hosts, each with a systemd of its own: who takes over, and that two never run at
# once; see singleton_host.py and ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import shutil
import signal
import threading
import time

import ctl_ensemble
from ctl_harness import equal, wait_until
from singleton_host import Host, candidate


class Ensemble(ctl_ensemble.Ensemble):
    def __getitem__(self, name):
        if name not in self.members:
            self.members[name] = Host(self.root, name)
        return self.members[name]

    def end(self):
        for host in self.members.values():
            host.close()
            host.journal.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def hosts(self):
        return [self.members[name] for name in sorted(self.members)]

    def drain(self):
        for host in self.hosts():
            host.systemd.drain()

    def leading(self, *but, name="myapp"):
        """Waits until a host's application runs, on one that is none of these; that host."""
        def look():
            self.drain()
            up = [host for host in self.hosts() if host not in but and host.systemd.state(f"{name}.service") == "active"]
            return up[0] if up else None
        return wait_until(look, f"{name} runs somewhere")

    def runs(self, name="myapp"):
        """Every run so far: (from, to, token, host), in the order of their beginning."""
        self.drain()
        return sorted(run for host in self.hosts() for run in host.systemd.runs(f"{name}.service", host.name))

    def check(self, name="myapp", copies=1):
        """Never more than so many at once, and tokens that grow."""
        runs = self.runs(name)
        ends = []
        for begin, end, _, _ in runs:
            ends = [one for one in ends if one > begin]
            assert len(ends) < copies, f"{len(ends) + 1} run at {begin}: {runs}"
            ends.append(end)
        if copies == 1:
            tokens = [token for _, _, token, _ in runs]
            equal(tokens, sorted(tokens))
        return runs


ensemble = Ensemble()


def everywhere(**keys):
    for host in ensemble.hosts():
        host.settings(**keys)


def stand(*hosts, name="myapp"):
    """One after the other, so that their order is known."""
    for host in hosts:
        host.stand(name)
        wait_until(lambda one=host: one.name in (one.row(name) or {}).get("hosts", []), f"{host.name} stands")


def wait_queue(names, name="myapp"):
    for host in ensemble.hosts():
        if host.alive:
            wait_until(lambda one=host: one.row(name)["hosts"] == names, f"{names} as {host.name} sees it")


def test_three():
    h1, h2, h3 = (ensemble[f"h{i}"] for i in (1, 2, 3))
    h1.start()
    for h in (h2, h3):
        equal(h.join(h1.token()), None)
        h1.promote(h.name)
    ensemble.whole(3)
    everywhere()
    stand(h1, h2, h3)
    equal(ensemble.leading(), h1)
    wait_queue(["h1", "h2", "h3"])
    equal([host.row()["state"] for host in (h1, h2, h3)], ["leading", "standing-by", "standing-by"])
    equal({host.row()["token"] for host in (h1, h2, h3)}, {h1.row()["token"]})


def test_failure():
    """The next one takes over, and the one that failed comes back behind the others."""
    h1, h2, h3 = ensemble.hosts()
    h1.systemd.order("fail", "myapp.service")
    equal(ensemble.leading(h1), h2)
    wait_queue(["h2", "h3", "h1"])
    ensemble.check()


def test_move():
    h1, h2, h3 = ensemble.hosts()
    for host in ensemble.hosts():
        host.systemd.order("stopping", 300)
    begun = time.monotonic()
    equal(h3.called("Move", "ssa{sv}", "myapp", "h1", "0"), "h1")      # past the one who would be next, asked on a third
    print(f"# moved in {time.monotonic() - begun:.3f} s, of which 0.3 s to stop")
    equal(ensemble.leading(h2, h3), h1)
    wait_until(lambda: sorted(h1.row()["hosts"]) == ["h1", "h2", "h3"] and h1.row()["host"] == "h1", "all stand again")
    moved_to = h1.called("Move", "ssa{sv}", "myapp", "", "0")
    assert moved_to in ("h2", "h3")
    equal(ensemble.leading(h1).name, moved_to)
    wait_until(lambda: len(h1.row()["hosts"]) == 3, "all stand again")
    equal(h2.called("Move", "ssa{sv}", "myapp", moved_to, "0"), moved_to)       # it leads already
    for host, mentions in (("nobody", "does not stand in it: nobody"), ("../x", "does not stand in it")):
        answer = h1.call("Move", "ssa{sv}", "myapp", host, "0")
        assert answer.returncode != 0 and mentions in answer.stderr.decode(), answer
    answer = h1.call("Move", "ssa{sv}", "other", "", "0")
    assert b"led by nobody" in answer.stderr, answer
    ensemble.check()


def test_move_times_out():
    """The unit takes longer to stop than the caller waits: it is moved nevertheless, as nobody can say that it was not."""
    now = ensemble.leading()
    other, third = (host for host in ensemble.hosts() if host is not now)
    now.systemd.order("stopping", 2500)
    answer = other.call("Move", "ssa{sv}", "myapp", other.name, "1", "timeout", "t", "500000")
    assert b"was not taken over in time" in answer.stderr, answer
    assert ensemble.leading(now) in (other, third)
    now.systemd.order("stopping", 0)
    wait_until(lambda: len(now.row()["hosts"]) == 3, "all stand again")
    ensemble.check()


def test_hold():
    now = ensemble.leading()
    now.called("Hold", "sba{sv}", "myapp", "true", "0")
    other = ensemble.leading(now)
    equal(now.wait_state("held")["host"], other.name)
    assert now.name not in now.row()["hosts"]
    now.called("Hold", "sba{sv}", "myapp", "false", "0")
    wait_until(lambda: len(now.row()["hosts"]) == 3, "it stands again")
    equal(ensemble.leading(), other)
    ensemble.check()


def test_agent_killed_and_back():
    """No bounce: it is back before the promise ends."""
    now = ensemble.leading()
    before = ensemble.runs()
    now.kill()
    now.start()
    wait_until(lambda: now.row()["state"] == "leading", "found again")
    deadline = now.row()["deadline"]
    wait_until(lambda: now.row()["deadline"] > deadline + 2000000, "promised anew")
    equal(ensemble.runs()[-1][:1], before[-1][:1])
    equal(len(ensemble.runs()), len(before))


def test_agent_dies():
    """The guard stops the unit in time, and another host takes over after that."""
    now = ensemble.leading()
    begun = time.monotonic()
    now.kill()
    other = ensemble.leading(now)
    print(f"# taken over after {time.monotonic() - begun:.3f} s")
    now.start()
    wait_until(lambda: len(other.row()["hosts"]) == 3, "it stands again, behind")
    equal(ensemble.leading(), other)
    ensemble.check()


def test_agent_hangs():
    now = ensemble.leading()
    now.running.kill(signal.SIGSTOP)
    other = ensemble.leading(now)
    now.running.kill(signal.SIGCONT)
    wait_until(lambda: len(other.row()["hosts"]) == 3, "it stands again, behind")
    equal(ensemble.leading(), other)
    ensemble.check()


def test_quorum_lost():
    """Without the others there is no promise: it stops here, and runs again when one is back."""
    now = ensemble.leading()
    others = [host for host in ensemble.hosts() if host is not now]
    for host in others:
        host.running.kill(signal.SIGSTOP)
    now.systemd.read_until("myapp.service", "inactive")
    for host in others:
        host.running.kill(signal.SIGCONT)
    ensemble.leading()
    wait_until(lambda: len(now.row()["hosts"]) == 3, "all stand again")
    ensemble.check()


def test_agent_stopped():
    """Another takes over at once, not after the session's timeout."""
    now = ensemble.leading()
    everywhere(SessionTimeout="20s")
    wait_until(lambda: "h1" in now.row()["hosts"] and len(now.row()["hosts"]) == 3, "all stand again")
    now = ensemble.leading()
    now.systemd.order("job", "convened.service", "stop")
    begun = time.monotonic()
    equal(now.stop(), 0)
    other = ensemble.leading(now)
    assert time.monotonic() - begun < 10
    now.systemd.order("job", "convened.service", "-")
    now.start()
    wait_until(lambda: len(other.row()["hosts"]) == 3, "it stands again, behind")
    ensemble.check()
    everywhere()
    ensemble.whole(3)


def test_agent_stopped_without_quorum():
    """As when all hosts are switched off together: it does not wait for others that are not there."""
    now = ensemble.leading()
    others = [host for host in ensemble.hosts() if host is not now]
    for host in others:
        host.running.kill(signal.SIGSTOP)
    now.systemd.order("job", "convened.service", "stop")
    begun = time.monotonic()
    equal(now.stop(), 0)
    print(f"# stopped after {time.monotonic() - begun:.3f} s")
    assert time.monotonic() - begun < 10
    assert "has not confirmed that this host has resigned" in now.last_words()
    now.systemd.read_until("myapp.service", "inactive")
    for host in others:
        host.running.kill(signal.SIGCONT)
    now.systemd.order("job", "convened.service", "-")
    now.start()
    ensemble.leading()
    wait_until(lambda: len(now.row()["hosts"]) == 3, "all stand again")
    ensemble.check()
    ensemble.whole(3)


def test_preferred():
    """Who goes first when nobody leads; it takes nothing away."""
    everywhere(file="db", Unit="db.service", PreferredHosts="h3 h2")
    h1, h2, h3 = ensemble.hosts()
    stand(h1, h2, h3, name="db")
    equal(ensemble.leading(name="db"), h1)                              # it was alone
    h1.systemd.order("fail", "db.service")
    equal(ensemble.leading(h1, name="db"), h3)                          # past h2
    wait_until(lambda: len(h1.row("db")["hosts"]) == 3, "all stand again")
    h3.systemd.order("stop", candidate("db"))
    equal(ensemble.leading(h3, name="db"), h2)
    h3.systemd.order("start", candidate("db"))
    wait_until(lambda: len(h1.row("db")["hosts"]) == 3, "all stand again")
    equal(ensemble.leading(name="db"), h2)
    equal(h3.called("Move", "ssa{sv}", "db", "h1", "0"), "h1")          # an order goes before what is preferred
    equal(ensemble.leading(h2, name="db"), h1)
    ensemble.check("db")


def test_move_to_one_who_leaves():
    """Nobody waits for it any longer: another leads, and the caller is told."""
    h1, h2, h3 = ensemble.hosts()
    wait_until(lambda: len(h1.row("db")["hosts"]) == 3, "all stand again")
    h1.systemd.order("stopping", 1500)
    answers = []
    move = threading.Thread(target=lambda: answers.append(h2.call("Move", "ssa{sv}", "db", "h3", "0")))
    move.start()
    h1.systemd.read_until("db.service", "deactivating")
    h3.called("Hold", "sba{sv}", "db", "true", "0")
    move.join()
    assert b"does not stand in it any more: h3" in answers[0].stderr, answers
    equal(ensemble.leading(h1, name="db"), h2)
    h1.systemd.order("stopping", 0)
    h3.called("Hold", "sba{sv}", "db", "false", "0")
    wait_until(lambda: len(h1.row("db")["hosts"]) == 3, "all stand again")
    ensemble.check("db")


def test_copies():
    everywhere(file="cache", Unit="cache.service", Copies="2")
    h1, h2, h3 = ensemble.hosts()
    stand(h1, h2, h3, name="cache")
    equal({ensemble.leading(name="cache"), ensemble.leading(h1, name="cache")}, {h1, h2})
    equal([host.row("cache")["state"] for host in (h1, h2, h3)], ["leading", "leading", "standing-by"])
    h1.systemd.order("fail", "cache.service")
    equal(ensemble.leading(h1, h2, name="cache"), h3)
    equal(ensemble.leading(h1, h3, name="cache"), h2)
    ensemble.check("cache", copies=2)


def test_all():
    """Everything that was said above about never two, once more over all that has happened."""
    runs = ensemble.check()
    assert len(runs) >= 10, runs


if __name__ == "__main__":
    ensemble.main(globals())
