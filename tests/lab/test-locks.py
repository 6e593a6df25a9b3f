# SPDX-License-Identifier: LGPL-2.1-or-later
"""Locks as an administrator uses them: with nothing but busctl; and convenectl lock, whose command is gone, with all that it has
started, before another host's has the lock.

One process sees the end of each process here and the beginning of the command there, by one clock. The margin between them is
printed.
"""

import json
import os
import select
import signal
import subprocess
import time

from ensemble import Ensemble, agent_pid, attempt, kill_agent
from labtest import case, count, ctl, main, run, state, wait, words
from util import read

ROUNDS = count("LAB_ROUNDS", 1)
TIMEOUTS = ["4s", "10s"]
LOCKS, TREE = "org.convene1.Locks", "org.convene1.Tree"
OBJECT = "org.convene1", "/org/convene1"
HOLDS = "deploy-lock.service"
E = Ensemble(3)


#
# busctl
#

def busctl(*arguments, host="h1", status=0):
    return run("busctl", *arguments, host=host, status=status)


def call(interface, method, *arguments, host="h1", status=0):
    """Its answer, as busctl prints it with --json=short."""
    said = busctl("--json=short", "call", *OBJECT, "org.convene1." + interface, method, *arguments, host=host, status=status)
    return json.loads(said)["data"]


def hold():
    """In a unit of its own, so that it stays: the call is the lock."""
    run("systemd-run", "--quiet", "--unit=" + HOLDS, "busctl", "--timeout=infinity", "call", *OBJECT, LOCKS, "Lock", "sa{sv}", "deploy",
        "1", "stay", "b", "true")
    return wait("somebody holds it", lambda: call("Locks", "ListLocks", "a{sv}", "0")[0])[0]


def holders(host):
    said = busctl("--json=short", "get-property", "org.convene1", "/org/convene1/lock/deploy", "org.convene1.Lock", "Holders", host=host)
    return json.loads(said)["data"]


def verified(token, host):
    return busctl("call", *OBJECT, LOCKS, "Verify", "st", "deploy", str(token), host=host).strip()


class Monitor:
    """busctl monitor of what the agent of a host tells of the lock."""

    def __init__(self, host):
        command = ["busctl", "--json=short", "monitor", "--match=type='signal',path='/org/convene1/lock/deploy'"]
        self.process = subprocess.Popen(words(command, host),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        assert b"Monitoring" in self.process.stderr.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def wait_tokens(self, tokens, seconds=10.0):
        """Until a change tells that those hold; changes are told some time after they happened."""
        end, told = time.monotonic() + seconds, None
        while told != tokens:
            assert select.select([self.process.stdout], [], [], end - time.monotonic())[0], "no signal but of %s" % told
            m = json.loads(self.process.stdout.readline())
            interface, changed, _ = m["payload"]["data"]
            assert (m["member"], interface) == ("PropertiesChanged", "org.convene1.Lock"), m
            told = [holder[8] for holder in changed["Holders"]["data"]]


@case
def three_hosts():
    E.form()


@case
def lock_with_busctl_alone():
    """Seen and asked for from other hosts; released, and taken away."""
    call_made = busctl("call", *OBJECT, TREE, "Create", "saysa{sv}", "/convene/locks/deploy", "0", "container", "2",
                       "parents", "b", "true", "acl", "a(uss)", "2", "31", "unix", "0@*", "1", "world", "anyone")
    assert "/convene/locks/deploy" in call_made, call_made
    with Monitor("h2") as monitor:
        held = hold()
        name, kind, host, unit, uid, _, session, _, token, _, path = held
        assert (name, kind, host, unit, uid) == ("deploy", "mutex", "h1", HOLDS, 0), held
        monitor.wait_tokens([token])
        assert [h[8] for h in holders("h2")] == [token]
        assert verified(token, "h3") == "b true" and verified(token - 1, "h3") == "b false"
        assert "Holders" in busctl("introspect", "org.convene1", "/org/convene1/lock/deploy", "org.convene1.Lock", host="h3")
        _, said = attempt("busctl", "call", *OBJECT, LOCKS, "Lock", "sa{sv}", "deploy", "1", "timeout", "t", "0", host="h2")
        assert "Call failed" in said, said

        run("systemctl", "stop", HOLDS)
        monitor.wait_tokens([])
        wait("it is free", lambda: verified(token, "h3") == "b false" and not holders("h2"))

    again = hold()
    assert again[8] > token
    busctl("call", *OBJECT, "org.convene1.Sessions", "Close", "ta{sv}", str(again[6]), "0")
    wait("the call has ended", lambda: state(HOLDS) == "failed")
    said = run("journalctl", "--no-pager", "-o", "cat", "-u", HOLDS)
    assert "Call failed" in said and path.rsplit("/", 1)[0] in said, said
    run("systemctl", "reset-failed", HOLDS)
    wait("it is free", lambda: not holders("h2"))


@case
def lock_with_busctl_and_a_restart():
    """The call ends with the agent, and nobody else has it before the grace is over."""
    held = hold()
    begin = time.monotonic()
    run("systemctl", "restart", "convened.service")
    wait("the call has ended", lambda: state(HOLDS) == "failed")
    run("busctl", "--timeout=60", "call", *OBJECT, LOCKS, "Lock", "sa{sv}", "deploy", "0", host="h2")
    passed = time.monotonic() - begin
    assert 2.4 < passed < 9, passed                             # a quarter of 10 s
    assert verified(held[8], "h3") == "b false"
    run("systemctl", "reset-failed", HOLDS)
    E.whole()


#
# convenectl lock
#

FAMILY = """(sleep {mark} & )
(trap '' TERM; exec sleep {mark}) &
echo begun
while :; do read -r line || sleep {mark}; done"""


class Command:
    """convenectl lock in a host; its output is read here."""

    def __init__(self, host, *arguments):
        self.process = subprocess.Popen(words(["convenectl", "lock", *arguments], host), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_begun(self, seconds):
        assert select.select([self.process.stdout], [], [], seconds)[0], "not within %g s" % seconds
        now = time.monotonic()
        assert self.process.stdout.readline() == b"begun\n", self.process.stderr.read()
        return now

    def end(self):
        """Its exit status, and what it complained of."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode()


def processes(mark):
    """The command and all it has started, as seen from here."""
    found = []
    for pid in [int(d) for d in os.listdir("/proc") if d.isdigit()]:
        if read("/proc/%d/comm" % pid, "").strip() in ("sh", "sleep") and mark in read("/proc/%d/cmdline" % pid, ""):
            found.append(pid)
    return found


def ends(fds, seconds):
    """Waits for the end of processes; {descriptor: instant}."""
    poll, at, end = select.poll(), {}, time.monotonic() + seconds
    for fd in fds:
        poll.register(fd, select.POLLIN)
    while len(at) < len(fds):
        assert time.monotonic() < end, "%d processes go on" % (len(fds) - len(at))
        for fd, _ in poll.poll(100):
            at[fd] = time.monotonic()
            poll.unregister(fd)
    return at


def dies(what, strike, mend, timeout, leads, n):
    """Strikes the host of the holder.  Prints how long after the last of its processes the other's command began."""
    leader = E.whole()
    host = leader if leads else E.followers()[n % 2]
    other = next(h for h in E.hosts if h != host)
    name, mark = "dying", "86400.%d" % (time.monotonic_ns() % 10 ** 9)
    holder = Command(host, "--session-timeout=" + timeout, name, "--", "sh", "-c", FAMILY.format(mark=mark))
    holder.wait_begun(10)
    pids = wait("the family is there", lambda: (lambda p: p if len(p) >= 3 else None)(processes(mark)))
    fds = [os.pidfd_open(pid) for pid in pids]
    waiter = Command(other, name, "--", "sh", "-c", "echo begun; read -r line")
    wait("two contend", lambda: len(E[other].call(TREE, "GetChildren", "sa{sv}", ("/convene/locks/" + name, {}))[0]) == 2)
    struck = time.monotonic()
    strike(host)
    try:
        # Both are looked at in one loop: the ends first, for they are to be there.
        at = ends(fds, 60)
        early = select.select([waiter.process.stdout], [], [], 0)[0]
        assert not early, "%s had the lock before all had ended on %s" % (other, host)
        begun = waiter.wait_begun(60)
    finally:
        mend(host)
        for fd in fds:
            os.close(fd)
    status, said = holder.end()
    last = max(at.values())
    assert not processes(mark) and last < begun
    print("# convenectl lock, session %3s, %-13s %-8s: all had ended after %5.0f ms, margin %5.0f ms, status %s   load %.1f" % (
        timeout, what, "(leader)" if leads else "", 1000 * (last - struck), 1000 * (begun - last), status,
        os.getloadavg()[0]), flush=True)
    assert waiter.end()[0] == 1
    E.whole()
    return status, said


def stop_agent(host):
    os.kill(agent_pid(host), signal.SIGSTOP)


def go_on(host):
    """systemd may have replaced it."""
    pid = agent_pid(host)
    if pid:
        os.kill(pid, signal.SIGCONT)


def rounds(what, strike, mend):
    for n in range(ROUNDS):
        for timeout in TIMEOUTS:
            for leads in (False, True):
                status, said = dies(what, strike, mend, timeout, leads, n)
                assert status == 8 and "is lost" in said, (status, said)


@case
def host_isolated():
    rounds("isolated", E.isolate, E.heal)


@case
def agent_stopped():
    rounds("agent SIGSTOP", stop_agent, go_on)


@case
def host_without_power():
    for n in range(ROUNDS):
        dies("power cut", E.crash, E.boot, TIMEOUTS[0], False, n)


@case
def agent_killed():
    """Takes the lock from nobody: systemd has the descriptors, and starts another agent."""
    for host in (E.leader(), E.followers()[0]):
        holder = Command(host, "killed", "--", "sh", "-c", "echo begun; read -r line")
        holder.wait_begun(10)
        pid = agent_pid(host)
        kill_agent(host)
        wait("another agent runs", lambda: agent_pid(host) not in (0, pid))
        E.whole()
        said = ctl("lock", "--try", "killed", "--", "true", host=next(h for h in E.hosts if h != host), status=11)
        assert holder.process.poll() is None, said
        assert holder.end() == (1, "")


if __name__ == "__main__":
    main("locks", E.hosts)
