# SPDX-License-Identifier: LGPL-2.1-or-later
"""A unit on every host with an ephemeral znode: there while the unit and its host live, gone when its session's time is over,
not before."""

import time

from client import TREE
from labtest import run
from state import leader as top_of
from traffic import ANYBODY

SESSIONS = "org.convene1.Sessions"
UNIT = "lab-app.service"
TIMEOUT_SEC = 3.0
LATE_SEC = 1.5                          # what a busy machine may take longer than what was promised


def boottime_here(usec, host):
    """An instant of a host's CLOCK_BOOTTIME on our CLOCK_MONOTONIC, in seconds."""
    with open("/proc/%d/timens_offsets" % top_of(host)) as f:
        offsets = {clock: int(sec) + int(nsec) / 1e9 for clock, sec, nsec in (line.split() for line in f)}
    asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return usec / 1e6 - offsets.get("boottime", 0.0) - asleep


class Presence:
    def __init__(self, ensemble):
        self.ensemble, self.made = ensemble, {}         # host: (session, czxid)
        member = ensemble[ensemble.leader()]
        member.call(TREE, "Create", "saysa{sv}", ("/alive", b"", "persistent", ANYBODY))

    def path(self, host):
        return "/alive/" + host

    def stat(self, host, seen_by):
        """czxid and session of a host's znode as another host has it; None if it is gone."""
        there, stat = self.ensemble[seen_by].call(TREE, "Exists", "sa{sv}", (self.path(host), {}))
        return (stat[0], stat[8]) if there else None

    def renew(self):
        """Every host that has none makes one."""
        for host in self.ensemble.up():
            if host in self.made:
                continue
            run("systemd-run", "--quiet", "--unit=" + UNIT, "sleep", "infinity", host=host, status=None)
            member = self.ensemble[host]
            options = {"unit": ("s", UNIT), "timeout": ("u", int(TIMEOUT_SEC * 1000))}
            session = member.call(SESSIONS, "Open", "sa{sv}", ("unit", options))[0]
            stat = member.call(TREE, "Create", "saysa{sv}", (self.path(host), b"", "ephemeral", {"session": ("t", session)}))[1]
            self.made[host] = session, stat[0]

    def check(self, hosts, seen_by):
        """Those of HOSTS are there, and never were away."""
        for host in hosts:
            session, czxid = self.made[host]
            for other in seen_by:
                found = self.stat(host, other)
                if found != (czxid, session):
                    del self.made[host]         # the next round begins anew
                    raise AssertionError("%s: the znode of %s is %s instead of %s" % (other, host, found, (czxid, session)))

    def check_or_due(self, host, promised, seen_by):
        """A host that was away: its znode is there as it was, or the host was away for longer than its session lasts."""
        session, czxid = self.made[host]
        found = [self.stat(host, other) for other in seen_by]
        if all(one == (czxid, session) for one in found):
            return
        del self.made[host]
        assert all(one in (None, (czxid, session)) for one in found), "the znode of %s is %s" % (host, found)
        assert time.monotonic() >= promised, "the znode of %s went before its time" % host

    def look(self):
        """Takes what is there for granted, so that a case does not suffer from what an earlier one has found."""
        seen_by = self.ensemble.leader()
        found = {host: self.stat(host, seen_by) for host in self.ensemble.hosts}
        self.made = {host: (stat[1], stat[0]) for host, stat in found.items() if stat}

    def promised(self, host):
        """Until when the ensemble has promised this host to keep its session, on our clock."""
        for session, _, _, _, _, _, _, deadline in self.ensemble[host].call(SESSIONS, "List", "a{sv}", ({},))[0]:
            if session == self.made[host][0]:
                assert deadline, "%s does not answer for the session of its unit" % host
                return boottime_here(deadline, host)
        raise AssertionError("%s has no session for its unit" % host)

    def expires(self, host, promised, latest, seen_by):
        """Waits until the znode of a host that is gone goes away everywhere, and checks that this was due."""
        czxid, left = self.made.pop(host)[1], set(seen_by)
        while left:
            for other in sorted(left):
                found = self.stat(host, other)
                now = time.monotonic()
                if found and found[0] == czxid:
                    assert now < latest, "%s: the znode of %s is still there %.1f s after its time" % (other, host, now - promised)
                    continue
                assert now >= promised, "%s: the znode of %s went %.3f s before its time" % (other, host, promised - now)
                left.discard(other)
            time.sleep(0.005)
        return time.monotonic()
