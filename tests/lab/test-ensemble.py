# SPDX-License-Identifier: LGPL-2.1-or-later
"""Three hosts, clients on all of them writing and reading throughout, and one fault after the other.

After all of it no acknowledged update is lost and the history is linearizable; ephemerals of a unit go when its host is gone and
its session's time is over, not before, and those of units that live stay.  For each fault it prints how long nobody on the
hosts that are left was told that an update is done.

LAB_ROUNDS: of each fault (2; 20 for figures).  LAB_SEED: of what the clients do.  LAB_HISTORY: where to keep a history that
is wrong.  LAB_OTHER_BUILD: an agent of another build (./dev names one).
"""

import os
import subprocess
import time

from client import TREE, UID
from ensemble import Ensemble, agent_pid, kill_agent
from labtest import case, count, lab, main, median, run, wait, words
from presence import LATE_SEC, TIMEOUT_SEC, Presence
from rawbus import Bus
from state import Lock
from switch import apply_links, links
from traffic import ANYBODY, Traffic

ROUNDS = count("LAB_ROUNDS", 2)
PROPERTIES = "org.freedesktop.DBus.Properties"
FILLER, FULL_SEC = "/var/filler", 60.0
BULK, BULK_BYTES = "/bulk", 256 << 10
AGENT = "/usr/lib/convene/convened"
FIRST_BUILD, OTHER_BUILD = os.environ["LAB_TREE"] + AGENT, os.environ["LAB_OTHER_BUILD"]
E = Ensemble(3)
TRAFFIC = PRESENCE = None


def figures(name, gaps, slow, back, calm, aim):
    def text(values):
        return "median %4.0f, maximum %4.0f" % (1000 * median(values), 1000 * max(values))
    print("# %s, %d rounds: nobody was told of an update for ms: %s%s" % (name, len(gaps), text(gaps), aim and "  (aim: %s)" % aim))
    print("#     slowest update: %s   as it came back: %s   without a fault: %s   load %.1f" % (
        text(slow), text(back), text(calm), os.getloadavg()[0]), flush=True)


def measure_calm():
    t = time.monotonic()
    TRAFFIC.all_write(since=t, times=10)
    return TRAFFIC.gap(t, time.monotonic(), E.hosts)


def rounds(name, leads, strike, mend, expires=False, aim=""):
    """LEADS: the victim is the leader; STRIKE and MEND it; EXPIRES: its sessions end meanwhile."""
    gaps, slow, back, calm = [], [], [], []
    E.whole()
    PRESENCE.look()
    for n in range(ROUNDS):
        leader = E.whole()
        victim = leader if leads else E.followers()[n % 2]
        rest = [host for host in E.hosts if host != victim]
        PRESENCE.renew()
        calm.append(measure_calm())
        promised, begin = PRESENCE.promised(victim), time.monotonic()
        strike(victim)
        struck = time.monotonic()
        TRAFFIC.all_write(rest, since=struck, times=10)
        end = time.monotonic()
        gaps.append(TRAFFIC.gap(begin, end, rest))
        slow.append(TRAFFIC.slowest(begin, end, rest))
        if expires:
            # A new leader gives every session its full time first.
            PRESENCE.expires(victim, promised, struck + leads * gaps[-1] + TIMEOUT_SEC + LATE_SEC, rest)
        begin = time.monotonic()
        mend(victim)
        E.whole()
        TRAFFIC.all_write()
        back.append(TRAFFIC.gap(begin, time.monotonic(), rest))
        PRESENCE.check(rest, E.hosts)
        if not expires:
            PRESENCE.check_or_due(victim, promised, E.hosts)
    figures(name, gaps, slow, back, calm, aim)


def nothing(_):
    """systemd starts it again by itself."""


def crash(host):
    E.crash(host)


def boot(host):
    E.boot(host)


def cut_one_way(host):
    """It hears the others, and they do not hear it: all at once, or one of them would be without a leader for a while."""
    E.down.add(host)
    with Lock():
        wanted = links()
        wanted["drop"] += [[host, other, 0] for other in E.hosts if other != host]
        apply_links(wanted)


def pause(host):
    E.down.add(host)
    lab("pause", host)


def resume(host):
    lab("resume", host)
    E.down.discard(host)


def fill(host):
    """Another file takes all room on its disk, and updates want more than the log has made sure of."""
    run("sh", "-c", "fallocate -l $(df --output=avail -B1 /var | tail -n 1) {0}; dd if=/dev/zero of={0} bs=4k oflag=append conv=notrunc; "
        "sync -f /var".format(FILLER), host=host, status=None)
    end = time.monotonic() + FULL_SEC
    with Bus("socket", UID, next(other for other in E.hosts if other != host), 30.0) as bus:
        while E[host].call(PROPERTIES, "Get", "ss", ("org.convene1.Agent", "SpaceAvailable"))[0]:
            assert time.monotonic() < end, "%s has room for ever" % host
            bus.outcome(TREE, "Set", "sayia{sv}", (BULK, os.urandom(BULK_BYTES), -1, {}))


def make_room(host):
    run("rm", FILLER, host=host)
    wait("%s has room" % host, lambda: E[host].call(PROPERTIES, "Get", "ss", ("org.convene1.Agent", "SpaceAvailable"))[0], FULL_SEC)


@case
def three_hosts_are_one_ensemble():
    global TRAFFIC, PRESENCE
    E.form()
    TRAFFIC = Traffic(E, seed=count("LAB_SEED", 1))
    TRAFFIC.__enter__()
    PRESENCE = Presence(E)
    E[E.leader()].call(TREE, "Create", "saysa{sv}", (BULK, b"", "persistent", ANYBODY))


@case
def leader_killed():
    rounds("leader killed", True, kill_agent, nothing, aim="150 median")


@case
def leader_without_power():
    rounds("leader's power cut", True, crash, boot, expires=True, aim="1000 median")


@case
def leader_isolated():
    rounds("leader isolated", True, E.isolate, E.heal, expires=True, aim="1000 median")


@case
def leader_not_heard():
    rounds("leader cut one way", True, cut_one_way, E.heal)


@case
def leader_paused():
    rounds("leader paused", True, pause, resume)


@case
def leader_without_room():
    rounds("leader's disk full", True, fill, make_room)


@case
def follower_killed():
    rounds("follower killed", False, kill_agent, nothing, aim="0")


@case
def follower_without_power():
    rounds("follower's power cut", False, crash, boot, expires=True, aim="0")


@case
def follower_isolated():
    rounds("follower isolated", False, E.isolate, E.heal, expires=True, aim="0")


@case
def follower_without_room():
    rounds("follower's disk full", False, fill, make_room)


def one_after_the_other(name, prepare, aim=""):
    """PREPARE(host, round), and then a restart of its agent; the leader hands over first."""
    gaps, slow, calm = [], [], []
    E.whole()
    PRESENCE.look()
    for n in range(ROUNDS):
        E.whole()
        PRESENCE.renew()
        calm.append(measure_calm())
        begin = time.monotonic()
        for host in E.hosts:
            old = agent_pid(host)
            prepare(host, n)
            run("systemctl", "restart", "convened.service", host=host)
            assert agent_pid(host) != old
            E.whole()
        TRAFFIC.all_write()
        end = time.monotonic()
        gaps.append(TRAFFIC.gap(begin, end, E.hosts))
        slow.append(TRAFFIC.slowest(begin, end, E.hosts))
        PRESENCE.check(E.hosts, E.hosts)
    figures(name, gaps, slow, gaps, calm, aim)


@case
def rolling_restart():
    one_after_the_other("rolling restart of all three", lambda host, n: None, aim="150 maximum")


def put_build(host, n):
    """The other build and the first one by turns, as a package's upgrade puts it in place."""
    with open(OTHER_BUILD if n % 2 == 0 else FIRST_BUILD, "rb") as f:
        subprocess.run(words(("sh", "-c", "cat >{0}.new && chmod 755 {0}.new && mv {0}.new {0}".format(AGENT)), host), stdin=f, check=True,
                       timeout=60)


def runs_build(n):
    """All three, mixed ones in between."""
    with open(OTHER_BUILD if n % 2 == 0 else FIRST_BUILD, "rb") as f:
        wanted = f.read()
    for host in E.hosts:
        with open("/proc/%d/exe" % agent_pid(host), "rb") as f:
            assert f.read() == wanted, "%s does not run the build that was put there" % host


@case
def rolling_upgrade():
    """To a build that can do more, and back: what it can do more is not used before the ensemble has been told to."""
    def prepare(host, n):
        if n > 0 and host == E.hosts[0]:
            runs_build(n - 1)
        put_build(host, n)
    one_after_the_other("rolling upgrade to another build, and back", prepare)
    runs_build(ROUNDS - 1)


@case
def history_is_linearizable_and_nothing_is_lost():
    TRAFFIC.judge()


@case
def nobody_differs():
    """All hosts have the same tree, to the bit, at the same place."""
    E.whole()
    zxids = wait("all are at one place", lambda: same([E[host].try_get("Zxid") for host in E.hosts]))
    assert zxids
    for host in E.hosts:
        assert not E.status(host)["problems"], E.status(host)["problems"]


def same(values):
    return values[0] if values[0] and len(set(values)) == 1 else None


if __name__ == "__main__":
    try:
        main("ensemble", E.hosts)
    finally:
        if TRAFFIC:
            TRAFFIC.__exit__()
