# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hundred clients on three hosts wait for one lock; and agents are restarted under such a load.

One process sees all that the clients are told. Every grant goes to whoever has waited longest, by the numbers of the contenders; no
two hold at once; nobody is forgotten. What a release costs is printed, and must not grow with those who wait.
"""

import os
import time

from client import TREE, UID
from crowd import Crowd, sequence
from ensemble import CONF, UP_SEC, Ensemble, agent_pid
from labtest import case, count, ctl, main, median, run, show, wait
from lockload import Changer, Held, Lessee
from traffic import ANYBODY

COUNTS = {"h1": 67, "h2": 67, "h3": 66}
FEW, FEW_ROUNDS = 20, 4
SOME = 60
HOLD_SEC = 0.003
IDLE_SEC = 1.0                          # for the rate of what goes on anyway
DEATH_TIMEOUT_MSEC = 6000
RESTARTS = count("LAB_ROUNDS", 1)
LIMITS = "[Limits]\nSessions=1000\n"   # of one user: 64 otherwise
LONE = "[Service]\nExecStart=sleep infinity\nTimeoutStopSec=1s\n[Install]\nWantedBy=multi-user.target\n"
E = Ensemble(3)
CROWD = None


def make(path):
    E[E.leader()].call(TREE, "Create", "saysa{sv}", (path, b"", "persistent", ANYBODY))


def line(path, host=None):
    """The contenders in order: name -> number of the client, if it has one."""
    znodes, more = E[host or E.leader()].call(TREE, "List", "sa{sv}", (path, {"data": ("b", True), "linearizable": ("b", True)}))
    assert not more
    found = [(name.rsplit("/", 1)[1], data and int(data)) for name, _, data in znodes if name.count("/") == path.count("/") + 1]
    return dict(sorted(found, key=lambda pair: sequence(pair[0])))


def queue_up(path, waiters, **options):
    """The first has it before the others come; returns its grant, and the line."""
    waiters[0].ask(path, **options)
    first, = CROWD.next()
    for one in waiters[1:]:
        one.ask(path, **options)
    wait("%d stand in line" % len(waiters), lambda: len(line(path)) == len(waiters), UP_SEC)
    return first, line(path)


def relay(first, names, hold=0.0, seconds=20.0):
    """The first lets go, and each of NAMES when it has it, in this order; returns all grants."""
    grants = [first]
    for name in names:
        CROWD.stay_quiet(hold)
        grants[-1].release()
        grants += CROWD.next(seconds)
        assert [g.path.rsplit("/", 1)[1] for g in grants[-1:]] == [name], "%s was to be next: %s" % (name, grants[-1].path)
    CROWD.stay_quiet(hold)
    grants[-1].release()
    return grants


def judge(grants):
    """Tokens grow, nobody overtakes, and whoever has it has it alone."""
    by_token = sorted(grants, key=lambda g: g.token)
    assert by_token == grants and len({g.token for g in grants}) == len(grants), "tokens do not grow"
    assert sorted(grants, key=lambda g: sequence(g.path)) == grants, "not in the order of the contenders"
    for one, after in zip(by_token, by_token[1:]):
        assert one.released < after.at, "two at once: %s until %f, %s from %f" % (one.path, one.released, after.path, after.at)


def statistics():
    return [E[host].call("org.convene1.Statistics", "Get")[0] for host in E.hosts]


def counters():
    """(entries in the log, frames between members, messages to the clients) so far."""
    values = statistics()
    return max(v["store_appends"] for v in values), sum(v["mesh_frames_sent"] for v in values), CROWD.received()


def per_release(path, waiters, rounds):
    """(entries, frames, messages to clients) of one release, while so many wait."""
    times, spent, releases, sums, rate = [], 0.0, 0, [0.0, 0.0, 0.0], 0.0
    for _ in range(rounds):
        first, names = queue_up(path, waiters)
        idle, since = counters(), time.monotonic()
        CROWD.stay_quiet(IDLE_SEC)
        before, begin = counters(), time.monotonic()
        rate = (before[1] - idle[1]) / (begin - since)             # of heartbeats and the like
        grants = relay(first, list(names)[1:])
        after, end = counters(), time.monotonic()
        judge(grants)
        assert [g.waiter.number for g in grants] == list(names.values()), "not those who stood in line"
        wait("all are gone", lambda: not line(path))
        times += [b.at - a.released for a, b in zip(grants, grants[1:])]
        spent += grants[-1].at - grants[0].released
        releases += len(grants)
        for i, less in enumerate((0, rate * (end - begin), 0)):
            sums[i] += after[i] - before[i] - less
    # The first of each round was told before it began.
    entries, frames, messages = sums[0] / releases, sums[1] / releases, sums[2] / (releases - rounds)
    ordered = sorted(times)
    print("# %3d wait: %5.0f releases a second; release to next has it ms: median %.2f, 99%% %.2f; a release is %.2f entries, "
          "%.2f frames between members (%.0f a second beside), %.2f messages to clients   load %.1f" % (
              len(waiters), len(times) / spent, 1000 * median(times), 1000 * ordered[int(len(ordered) * 0.99)], entries, frames, rate,
              messages, os.getloadavg()[0]), flush=True)
    return entries, frames, messages


@case
def three_hosts_two_hundred_clients():
    global CROWD
    for host in E.hosts:
        run("sh", "-c", "mkdir -p %s && cat >%s/61-waiters.conf" % (CONF, CONF), host=host, stdin=LIMITS)
    E.form()
    make("/lab")
    CROWD = Crowd(COUNTS, UID)
    assert len(CROWD.waiters) == sum(COUNTS.values())


@case
def cost_of_a_release_does_not_grow():
    make("/lab/cost")
    few = per_release("/lab/cost", CROWD.some(FEW), FEW_ROUNDS)
    many = per_release("/lab/cost", CROWD.waiters, 1)
    assert few[0] < 1.05 and many[0] < 1.05 and few[2] == many[2] == 1, (few, many)
    # Ten times as many wait. A busy machine makes what goes on beside uneven.
    assert many[1] <= 2 * few[1] + 1, "frames per release grow with those who wait: %.2f, %.2f" % (few[1], many[1])


@case
def never_two_at_once():
    """Each keeps it for a moment, and nobody else is told anything meanwhile; another host says whose it is."""
    make("/lab/alone")
    first, names = queue_up("/lab/alone", CROWD.some(SOME))
    other = next(h for h in E.hosts if h != first.waiter.host)
    assert E[other].call("org.convene1.Locks", "Verify", "st", ("/lab/alone", first.token)) == [True]
    judge(relay(first, list(names)[1:], HOLD_SEC))


@case
def one_in_the_middle_dies():
    make("/lab/middle")
    first, names = queue_up("/lab/middle", CROWD.some(SOME))
    gone = list(names)[SOME // 2]
    CROWD.leave(next(w for w in CROWD.waiters if w.number == names[gone]))
    wait("it is out of the line", lambda: gone not in line("/lab/middle"))
    assert list(line("/lab/middle")) == [name for name in names if name != gone]
    judge(relay(first, [name for name in names if name not in (gone, list(names)[0])], HOLD_SEC))


def a_host_dies(path, host):
    """Its clients wait, and are dead; all others are served in their order, as soon as the sessions of the dead are over."""
    make(path)
    chosen = CROWD.some(SOME)
    holder = next(w for w in chosen if w.host != host)
    chosen = [holder] + [w for w in chosen if w is not holder]
    first, names = queue_up(path, chosen, **{"session-timeout": ("u", DEATH_TIMEOUT_MSEC)})
    hosts, todo = {w.number: w.host for w in CROWD.waiters}, list(names)[1:]
    dead = [name for name in todo if hosts[names[name]] == host]
    assert len(dead) == SOME // len(E.hosts), dead
    CROWD.forget(host)
    struck = time.monotonic()
    E.crash(host)
    grants = relay(first, [name for name in todo if name not in dead], HOLD_SEC, 4 * DEATH_TIMEOUT_MSEC / 1000)
    judge(grants)
    stalls = [b.at - a.released for a, b in zip(grants, grants[1:])]
    print("# %s without power, %d of its clients in a line of %d: the others had the lock in their order, all after %.1f s; longest "
          "pause %.1f s   load %.1f" % (host, len(dead), len(names), grants[-1].at - struck, max(stalls), os.getloadavg()[0]), flush=True)
    E.boot(host)
    E.whole()
    CROWD.join(host, COUNTS[host])


@case
def host_of_waiters_dies():
    a_host_dies("/lab/death", E.followers()[0])


@case
def leader_dies_with_its_waiters():
    a_host_dies("/lab/leader", E.leader())


#
# Agents restarted under load
#

def restart(host):
    """Under load; returns the instants between which it happened."""
    pid, begin = agent_pid(host), time.monotonic()
    run("systemctl", "restart", "convened.service", host=host)
    E.whole()
    assert agent_pid(host) != pid
    for one in CHANGERS:
        one.goes_on()
    return begin, time.monotonic()


CHANGERS = []


def lone():
    """(host, run) of the singleton."""
    found = {h: show("lone.service", "ActiveState", "InvocationID", "ActiveEnterTimestampMonotonic", host=h) for h in E.hosts}
    active = [(h, facts) for h, facts in found.items() if facts["ActiveState"] == "active"]
    return active[0] if len(active) == 1 else None


def enable_singleton():
    for host in E.hosts:
        run("sh", "-c", "cat >/etc/systemd/system/lone.service", host=host, stdin=LONE)
        run("systemctl", "daemon-reload", host=host)
        ctl("singleton", "enable", "lone", host=host)
    return wait("the singleton runs", lone, UP_SEC)


def hold_and_wait():
    """On each host a lock that is held throughout, and one who waits for each on every host, in a line that is told by number."""
    lines = {}
    for host in E.hosts:
        path = "/lab/long-" + host
        make(path)
        lines[path] = [Held(host, path, UID)]
        for n, other in enumerate(E.hosts):
            lines[path].append(Held(other, path, UID, pending=True))
    return lines


def still_held(lines, names):
    for path, (holder, *waiting) in lines.items():
        assert holder.is_unchanged(), "%s was lost" % path
        for host in E.hosts:
            assert E[host].call("org.convene1.Locks", "Verify", "st", (path, holder.token)) == [True], "%s: %s" % (host, path)
        for one in waiting:
            assert one.is_unchanged(), "the place of %s in %s was lost, or it was told that it holds" % (one.host, path)
        assert list(line(path)) == names[path], "the line of %s is not what it was" % path


def hand_on(lines):
    """All who waited get it, in their order."""
    for path, held in lines.items():
        for one, after in zip(held, held[1:]):
            one.close()
            after.wait_turn()
            assert after.token > one.token
        held[-1].close()


@case
def agents_are_restarted_under_load():
    global CHANGERS
    make("/lab/busy")
    lessees = [Lessee(host, "lab-" + host, 0) for host in E.hosts]
    CHANGERS = [Changer(host, "/lab/busy", UID) for host in E.hosts for _ in range(2)]
    before = enable_singleton()
    lines = hold_and_wait()
    names = {path: list(line(path)) for path in lines}
    try:
        for one in CHANGERS:
            one.goes_on()
        for n in range(RESTARTS):
            for what, host in (("leads", E.leader()), ("runs the singleton", before[0])):
                begin, end = restart(host)
                assert lone() == before, "bounced: %s, %s" % (before, lone())
                still_held(lines, names)
                taken = sorted(at for c in CHANGERS for at, _, _ in c.taken if begin <= at <= end)
                gap = max(b - a for a, b in zip([begin] + taken, taken + [end]))
                print("# agent of the host that %s restarted: %d locks taken in %.1f s, at the longest none for %.0f ms   load %.1f" % (
                    what, len(taken), end - begin, 1000 * gap, os.getloadavg()[0]), flush=True)
        hand_on(lines)
    finally:
        for one in CHANGERS + lessees:
            one.end()
    for one in lessees:
        assert one.token and not one.changed, "the lease of %s was lost: %s" % (one.host, one.changed)
    taken = sorted((token, at, released) for c in CHANGERS for at, released, token in c.taken)
    for (token, _, released), (after, at, _) in zip(taken, taken[1:]):
        assert token < after and released < at, "two at once: tokens %d, %d" % (token, after)


if __name__ == "__main__":
    main("waiters", E.hosts)
