#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-examples.py - runs the examples of man/examples that need no systemd, as they are; see ctl_harness.py.  Those that do are run by
# tests/lab/test-examples.py.
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import os
import pathlib
import re
import shutil
import signal
import subprocess

from ctl_ensemble import Ensemble
from ctl_harness import PATIENCE, Running, Skip, equal, here, wait_until

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "man/examples"
SESSION_MS = 2000
ensemble = Ensemble()


def environment(member, **more):
    """Of a program on the host of this member, which finds convenectl where it is installed."""
    return {**here.environment, "PATH": f"{here.work}:{os.environ['PATH']}", "CONVENE_ADDRESS": f"unix:path={member.socket}", **more}


def example(member, name, *words, **more):
    return Running([str(EXAMPLES / name), *words], env=environment(member, **more))


def test_three():
    m1, m2, m3 = (ensemble[f"m{i}"] for i in (1, 2, 3))
    m1.start()
    for m in (m2, m3):
        equal(m.join(m1.token()), None)
        m1.promote(m.name)
    ensemble.whole(3)


#
# election.py
#

class Candidate:
    """One process of it.  What it says is read in order."""

    def __init__(self, member):
        self.member = member
        self.running = example(member, "election.py", "demo", str(SESSION_MS))
        self.until(r"standing")

    def until(self, pattern):
        """Reads on until a line that matches; returns its first group."""
        seen = []
        while True:
            line = self.running.line()
            found = re.match(pattern, line)
            if found:
                return found.group(1) if found.groups() else line
            seen.append(line)
            assert len(seen) < 100, seen

    def leads(self):
        return int(self.until(r"leading with token (\d+)$"))

    def sees(self, leader, token):
        self.until(rf"{leader.member.name} leads, process {leader.running.process.pid}, with token {token}$")

    def said(self):
        """What there is to read at this moment."""
        pipe = self.running.process.stdout
        os.set_blocking(pipe.fileno(), False)
        self.running.rest["stdout"] += pipe.read() or b""
        os.set_blocking(pipe.fileno(), True)
        return self.running.rest["stdout"].decode()

    def end(self, number):
        self.running.kill(number)
        status = self.running.end()
        return status


class Election:
    """Who stands, the first to have come first, and the highest token so far."""
    candidates = []
    token = 0

    def turn(self):
        """The next one leads, all others see it, and it works; nobody else leads."""
        leader, *others = self.candidates
        token = leader.leads()
        assert token > self.token, (token, self.token)
        self.token = token
        for one in others:
            one.sees(leader, token)
        leader.until(rf"working with token {token}$")
        for one in others:
            assert "leading with" not in one.said(), one.said()

    def close(self):
        for one in self.candidates:
            one.running.close()


election = Election()


def need_gi():
    if subprocess.run(["/usr/bin/python3", "-c", "import gi"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip("python3-gi is not installed")


def test_election():
    need_gi()
    for member in ensemble.others():
        election.candidates.append(Candidate(member))
    election.turn()


def standing():
    need_gi()
    assert election.candidates, "the test before has left nobody"
    return election.candidates


def test_election_process_killed():
    equal(standing().pop(0).end(signal.SIGKILL), -signal.SIGKILL)
    election.turn()


def test_election_agent_killed():
    """Who leads stops before the other begins, and stands again when the agent is back."""
    leader, other = standing()
    leader.member.kill()
    leader.until(rf"lost with token {election.token}$")
    assert "leading with" not in other.said(), other.said()
    election.candidates.reverse()
    token = other.leads()
    assert token > election.token
    election.token = token
    assert "working" not in leader.said(), leader.said()
    leader.member.start()
    leader.until(r"standing")
    leader.sees(other, token)
    ensemble.whole(3)


def test_election_handed_over():
    leader = standing().pop(0)
    equal(leader.end(signal.SIGTERM), 0)
    leader.until(r"handed over$")
    leader.running.close()
    election.turn()
    equal(election.candidates.pop().end(signal.SIGINT), 0)


#
# lock.sh, lock-busctl.sh
#

def in_pairs(path):
    """The tokens of those who wrote "begin" and "end" there: each in one piece, and the tokens grow."""
    lines = [line.split() for line in path.read_text().splitlines()]
    pairs = list(zip(lines[::2], lines[1::2]))
    for begin, end in pairs:
        assert (begin[0], end[0]) == ("begin", "end") and begin[1:] == end[1:], lines
    tokens = [int(begin[2]) for begin, _ in pairs]
    equal(tokens, sorted(set(tokens)))
    return tokens


def ends(one, status):
    equal((one.end(), one.complaint()), (status, b""))
    one.close()


def test_lock():
    """On three hosts at once: one after the other, and a token that is too old keeps out."""
    shared = here.work / "shared"
    shared.mkdir()
    for one in [example(member, "lock.sh", str(shared)) for member in ensemble.others()]:
        ends(one, 0)
    tokens = in_pairs(shared / "report")
    equal(len(tokens), 3)
    equal(int((shared / "token").read_text()), tokens[-1])
    (shared / "token").write_text("9" * 18)
    one = example(ensemble.leader(), "lock.sh", str(shared))
    equal(one.end(), 1)
    assert "comes after" in one.line("stderr")
    one.close()
    equal(in_pairs(shared / "report"), tokens)


def by_busctl(member, job, **more):
    if not shutil.which("busctl"):
        raise Skip("busctl is not installed")
    return example(member, "lock-busctl.sh", "report", "sh", "-c", job, **more)


def test_lock_by_busctl():
    report = here.work / "by-busctl"
    job = f'echo "begin $$ $CONVENE_TOKEN" >>{report}; sleep 0.3; echo "end $$ $CONVENE_TOKEN" >>{report}; exit 7'
    for one in [by_busctl(member, job) for member in ensemble.others()]:
        ends(one, 7)
    equal(len(in_pairs(report)), 3)


def test_lock_by_busctl_signalled():
    """What is told to end passes it on, and gives the lease back: the next one has it at once."""
    one = by_busctl(ensemble.leader(), 'exec 2>/dev/null; trap "echo told; exit 3" TERM; echo begun; while :; do sleep 0.1; done')
    equal(one.line(), "begun")
    one.kill(signal.SIGTERM)
    equal(one.line(), "told")
    ends(one, 3)
    one = by_busctl(ensemble.leader(), "true", WAIT="0")
    ends(one, 0)


def test_lock_by_busctl_lost():
    """Without an agent to renew it: the command has ended before another host has the lease."""
    holder = ensemble.others(ensemble.leader())[0]
    report = here.work / "lost"
    one = by_busctl(holder, f'exec 2>/dev/null; trap "echo end >>{report}; exit" TERM; echo begun; while :; do sleep 0.1; done', TTL="10")
    equal(one.line(), "begun")
    other = by_busctl(ensemble.leader(), f"echo next >>{report}")
    none = by_busctl(ensemble.leader(), "true", WAIT="0")
    equal(none.end(), 11)
    assert "report" in none.line("stderr")
    none.close()
    holder.kill()
    equal(one.end(), 8)
    assert "report is lost" in one.line("stderr")
    one.close()
    equal(other.process.wait(3 * PATIENCE), 0)           # its agent may see another leader, and count from then
    other.close()
    equal(report.read_text().split(), ["end", "next"])
    holder.start()
    ensemble.whole(3)


#
# in-turn.sh
#

def in_turn(member, job):
    return Running([str(EXAMPLES / "in-turn.sh"), "fleet", "sh", "-c", job], env=environment(member), stdin=subprocess.PIPE)


def slots():
    return [one["host"] for one in ensemble.leader().good("reboot-slot", "status", "fleet", "--json").json]


def test_in_turn():
    """All at once; each takes its agent down in its turn, as a reboot does, and the next one's comes when that is back."""
    members = ensemble.others()
    jobs = {m.name: in_turn(m, f"echo {m.name} >>{here.work}/turn; echo down; read up") for m in members}
    done = []
    while jobs:
        wait_until(lambda: slots() and (here.work / "turn").exists() and (here.work / "turn").read_text().split() == done + slots(), "a turn")
        name, = slots()
        one = jobs.pop(name)
        equal(one.line(), "down")
        ensemble[name].kill()
        ensemble[name].start()
        equal(slots(), [name])
        equal((here.work / "turn").read_text().split(), done + [name])
        done.append(name)
        one.process.stdin.write(b"up\n")
        one.process.stdin.close()
        ends(one, 0)
    wait_until(lambda: not slots(), "the last slot is free")
    equal(sorted(done), sorted(m.name for m in members))


def test_in_turn_stopped_by_failure():
    first, second = ensemble.others()[:2]
    one = in_turn(first, "exit 3")
    one.process.stdin.close()
    equal(one.end(), 3)
    assert "sh failed; the slot of fleet stays" in one.line("stderr")
    one.close()
    equal(slots(), [first.name])
    other = in_turn(second, "echo turn")
    other.process.stdin.close()
    equal(slots(), [first.name])
    second.good("reboot-slot", "release", "fleet", first.name)
    equal(other.line(), "turn")
    ends(other, 0)


#
# cron-once: the lines of cron, with a journal that is standard output
#

def crontab(what):
    """The command of one line, as cron hands it to a shell."""
    for line in (EXAMPLES / "cron-once/report.cron").read_text().splitlines():
        found = re.match(r"\S+ \S+ \S+ \S+ \S+ root systemd-cat -t report (.*)", line)
        if found and f"report {what}" in line:
            return found.group(1).replace("\\%", "%").replace("/usr/local/bin/report", str(EXAMPLES / "cron-once/report"))
    raise AssertionError(f"no line {what}")


def fire(what):
    """At the same time on all hosts: (exit status, what it said) of each."""
    jobs = [Running(["sh", "-c", crontab(what)], env=environment(member), stderr=subprocess.STDOUT) for member in ensemble.others()]
    ended = []
    for job in jobs:
        said = job.process.communicate(timeout=3 * PATIENCE)[0].decode().splitlines()
        ended.append((job.process.returncode, said))
    return ended


def test_cron_never_two_at_a_time():
    """One does it, and the others leave it; or they come when it is over, and do it after."""
    did = [said for status, said in fire("cron-lock") if status == 0]
    assert did and all(len(said) == 2 and "with token none" not in said[0] for said in did), did
    holder = Running(["convenectl", "lock", "report", "--", "sh", "-c", "echo begun; read line"], env=environment(ensemble.leader()),
                     stdin=subprocess.PIPE)
    equal(holder.line(), "begun")
    ended = fire("cron-lock")
    equal((holder.process.poll(), holder.complaint()), (None, b""))
    for status, said in ended:
        equal(status, 11)
        assert len(said) == 1 and "TimedOut" in said[0], said
    holder.process.stdin.close()
    holder.end()
    holder.close()


def test_cron_once():
    """However often and wherever it comes in the same minute."""
    ended = fire("cron-once") + fire("cron-once")
    minutes = ensemble.leader().good("ls", "/cron/report").lines
    equal([status for status, _ in ended].count(0), len(minutes))
    for status, said in ended:
        assert status == 0 and len(said) == 2 or status == 4 and "NodeExists" in said[0], (status, said)


if __name__ == "__main__":
    try:
        ensemble.main(globals())
    finally:
        election.close()
