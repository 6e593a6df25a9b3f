# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that come back from far behind, while clients on the others go on: one that was off, one whose disk was wiped, one
whose join was interrupted; and an observer that loses the follower its changes come from, and the leader.

Prints how long it took, and what the clients' updates took meanwhile.
LAB_ENTRIES: how many updates a host misses (50000; 1000000 by hand, with LAB_TEST_SEC=3600).
"""

import os
import time

import history
from client import TREE, UID
from ensemble import Ensemble, attempt
from labtest import case, count, ctl, ctl_json, lab, main, run, wait
from rawbus import Bus
from traffic import ANYBODY, Traffic

ENTRIES = count("LAB_ENTRIES", 50000)
VOTERS, OBSERVER, AWAY = ["h1", "h2", "h3"], "h4", "h3"
BULK, BULK_BYTES, WINDOW = "/bulk", 100, 500
BACK_SEC = 600.0
HERE, TIMEOUT_SEC = "/alive/observer", 5.0

E = Ensemble(4)
TRAFFIC = None


def latencies(begin, end, hosts):
    """Milliseconds that updates took which were called between BEGIN and END: median, 99 of 100, slowest."""
    took = sorted(1000 * (op.end - op.call) for op in TRAFFIC.ops(hosts)
                  if op.ok and op.kind in history.UPDATES and begin <= op.call < end)
    assert took, "no update was made meanwhile"
    return "median %.1f, 99%% %.1f, slowest %.1f ms of %d" % (
        took[len(took) // 2], took[len(took) * 99 // 100], took[-1], len(took))


def calm(hosts):
    """As much as the clients do in a while, without anything going on."""
    begin = time.monotonic()
    TRAFFIC.all_write(hosts, since=begin, times=60)
    return latencies(begin, time.monotonic(), hosts)


def miss_entries():
    """ENTRIES updates, made through a follower, so that the leader is not the only one busy."""
    host = next(host for host in E.followers() if host in VOTERS)
    done, begin = 0, time.monotonic()
    with Bus("socket", UID, host, 60.0) as bus:
        set_it = ("org.convene1.Tree", "Set", "sayia{sv}", (BULK, bytes(BULK_BYTES), -1, {}))
        while done < ENTRIES:
            part = min(20000, ENTRIES - done)
            bad = [answer for answer in bus.call_all([set_it] * part, WINDOW) if isinstance(answer, Exception)]
            assert not bad, bad[0]
            done += part
    return time.monotonic() - begin


def come_back(what, host, start):
    """START brings HOST back; it is behind by ENTRIES at least."""
    rest = [other for other in E.up() if other != host]
    before = calm(rest)
    begin = time.monotonic()
    start()
    started = time.monotonic()
    E.whole(BACK_SEC)
    end = time.monotonic()
    during = latencies(begin, end, rest)
    TRAFFIC.all_write()
    for op in TRAFFIC.answered(begin, end, rest):
        assert op.outcome in ("ok", "BadVersion"), op
    print("# %s: up to date %.2f s after it was started (which took %.2f s)" % (what, end - begin, started - begin))
    print("#     updates of the others meanwhile: %s; before: %s; load %.1f" % (during, before, os.getloadavg()[0]), flush=True)
    show_how(host)


def show_how(host):
    """Its own words about how it was brought up to date."""
    said = lab("journal", host, "convened.service", "--", "-b", "-o", "cat")
    for line in said.splitlines():
        if "snapshot" in line.lower() or "up to date" in line:
            print("#     %s: %s" % (host, line), flush=True)


@case
def three_voters_and_an_observer():
    global TRAFFIC
    E.form(VOTERS)
    assert E.status(OBSERVER)["role"] == "observer"
    TRAFFIC = Traffic(E, clients_per_host=2, seed=count("LAB_SEED", 1))
    TRAFFIC.__enter__()
    for path in BULK, os.path.dirname(HERE):
        E[E.leader()].call(TREE, "Create", "saysa{sv}", (path, b"", "persistent", ANYBODY))


@case
def observer_serves():
    ctl("create", "/for-the-observer", "hello", host="h1")
    assert ctl("get", "--linearizable", "/for-the-observer", host=OBSERVER).strip() == "hello"
    wait("a local read", lambda: ctl("get", "/for-the-observer", host=OBSERVER).strip() == "hello")
    # It does not count.
    said = E.status("h1")
    assert (said["voters"], said["quorum"]) == (3, 2), said


def parent_of_observer():
    """The follower that its changes come from; None while the leader sends them."""
    said = E.status(OBSERVER)
    return {member["sid"]: member["name"] for member in said["members"]}.get(said["parent"])


@case
def observer_loses_its_parent():
    wait("the observer has a parent", parent_of_observer)
    parent = parent_of_observer()
    assert parent in VOTERS and parent != E.leader(), parent
    observer_loses("a follower, whom its changes came from", parent)
    wait("it has a parent again", parent_of_observer)


@case
def observer_loses_its_leader():
    observer_loses("the leader", E.leader())


def observer_loses(what, lost):
    """Its sessions live on, for longer than they would without a heartbeat."""
    E.whole()
    with Bus("socket", UID, OBSERVER) as bus:
        options = {"timeout": ("u", int(1000 * TIMEOUT_SEC))}
        session = bus.call("org.convene1.Sessions", "Open", "sa{sv}", ("connection", options))[0]
        options = {"session": ("t", session)}
        czxid = bus.call(TREE, "Create", "saysa{sv}", (HERE, b"", "ephemeral", options))[1][0]
        begin = time.monotonic()
        E.crash(lost)
        rest = [host for host in E.up() if host != OBSERVER]
        TRAFFIC.all_write([OBSERVER], since=begin, times=10)
        value = ctl("get", "--linearizable", "/for-the-observer", host=OBSERVER)
        assert value.strip() == "hello", value
        print("# the observer lost %s: its clients were told of no update for %.0f ms" %
              (what, 1000 * TRAFFIC.gap(begin, time.monotonic(), [OBSERVER])), flush=True)
        E.boot(lost)
        E.whole()
        # All the time the clients on it read and write.
        while time.monotonic() < begin + 1.5 * TIMEOUT_SEC:
            TRAFFIC.all_write([OBSERVER] + rest)
            for host in rest:
                there, stat = E[host].call(TREE, "Exists", "sa{sv}", (HERE, {}))
                assert there and (stat[0], stat[8]) == (czxid, session), stat
    wait("it goes with its owner", lambda: not E[rest[0]].call(TREE, "Exists", "sa{sv}", (HERE, {}))[0])


@case
def host_that_was_off():
    E.crash(AWAY)
    E.whole()
    took = miss_entries()
    print("# %d updates in %.1f s while %s is off" % (ENTRIES, took, AWAY), flush=True)
    come_back("a host that missed %d updates" % ENTRIES, AWAY, lambda: E.boot(AWAY))


@case
def host_that_was_wiped():
    """Its store is gone, and with it the member it was: it needs a token, is an observer, and has to be promoted."""
    before = {m["name"]: m for m in ctl_json("member", "list", host="h1")}[AWAY]
    run("systemctl", "stop", "convened.socket", "convened.service", host=AWAY)
    run("sh", "-c", "rm -rf /var/lib/convene/*", host=AWAY)
    E.down.add(AWAY)
    come_back("a host that was wiped", AWAY, lambda: E.join(AWAY))
    after = {m["name"]: m for m in ctl_json("member", "list", host="h1")}[AWAY]
    assert (after["sid"], after["role"]) == (before["sid"], "observer") and after["disk_id"] != before["disk_id"], (before, after)
    E.promote(AWAY)
    E.whole()
    assert E.status("h1")["voters"] == 3


@case
def join_that_was_interrupted():
    """The ensemble has taken a host up, which lost its power before it had noted that: the same token lets it in again."""
    disk_id = {m["name"]: m for m in ctl_json("member", "list", host="h1")}[AWAY]["disk_id"]
    ctl("member", "demote", AWAY, host="h1")
    run("systemctl", "stop", "convened.socket", "convened.service", host=AWAY)
    E.down.add(AWAY)
    # What is on the disk then: the key and the disk's id, and no store.
    run("sh", "-c", "cd /var/lib/convene && find . -mindepth 1 -maxdepth 1 ! -name key.pem -exec rm -r {} + && "
        "echo %s >joining && chown convene:convene joining && chmod 600 joining" % disk_id, host=AWAY)
    run("systemctl", "start", "convened.socket", "convened.service", host=AWAY)
    wait("it serves", lambda: E[AWAY].try_get("Serving"), 30)
    E.down.discard(AWAY)
    assert {m["name"]: m for m in ctl_json("member", "list", host="h1")}[AWAY]["disk_id"] == disk_id
    E.promote(AWAY)
    E.whole()


@case
def wiped_host_without_a_token():
    """What an operator gets who has forgotten that: not its old place, and no harm to the others."""
    run("systemctl", "stop", "convened.socket", "convened.service", host=AWAY)
    run("sh", "-c", "rm -rf /var/lib/convene/*", host=AWAY)
    E.down.add(AWAY)
    began = time.monotonic()
    status, said = attempt("systemctl", "start", "convened.socket", "convened.service", host=AWAY)
    print("# wiped, and started with the token it had once: exit status %d: %s" % (status, last_words(AWAY)), flush=True)
    assert status != 0, "it started"
    TRAFFIC.all_write(E.up(), since=began)
    E.join(AWAY)
    E.promote(AWAY)
    E.whole()


def last_words(host):
    lines = [line for line in lab("journal", host, "convened.service", "--", "-b", "-o", "cat").splitlines() if "token" in line]
    return lines[-1] if lines else "nothing about a token"


@case
def history_is_linearizable_and_nothing_is_lost():
    TRAFFIC.judge()


if __name__ == "__main__":
    try:
        main("catch-up", E.hosts)
    finally:
        if TRAFFIC:
            TRAFFIC.__exit__()
