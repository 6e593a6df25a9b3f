# SPDX-License-Identifier: LGPL-2.1-or-later
"""An ensemble of the lab's hosts, seen from outside: who leads, who is up to date, and its making."""

import json
import os
import signal
import subprocess

from cgroup import cg_procs
from labtest import COMMAND_SEC, ctl, install, lab, run, status_of, wait, words
from rawbus import Bus, BusError
from state import leader as top_of
from util import read

PORT = 2890
MANAGER = "org.convene1.Ensemble"
UP_SEC = 30.0
CONF = "/etc/convene/convened.conf.d"
SMALL_LOG = "[Store]\nSegmentSize=8M\n"        # so that it soon wants more room


def address(host):
    return "10.77.0.%s:%d" % (host[1:], PORT)


def attempt(*command, host="h1", stdin=None):
    """(exit status, all it printed) of a command in a host."""
    p = subprocess.run(words(command, host), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_SEC)
    return p.returncode, p.stdout


def agent_pid(host):
    """The agent's process, as seen from here; 0 if there is none."""
    for pid in cg_procs(host):
        if read("/proc/%d/comm" % pid, "").strip() == "convened" and "/convened.service" in read("/proc/%d/cgroup" % pid, ""):
            return pid
    return 0


def kill_agent(host):
    pid = agent_pid(host)
    assert pid, "%s has no agent" % host
    os.kill(pid, signal.SIGKILL)


class Member:
    """A connection to one host's agent, as root, made anew whenever it broke."""

    def __init__(self, host):
        self.host, self.bus = host, None

    def close(self):
        if self.bus:
            self.bus.close()
        self.bus = None

    def call(self, interface, method, signature="", body=(), seconds=5.0):
        try:
            if not self.bus:
                self.bus = Bus("socket", 0, self.host, seconds)
            return self.bus.call(interface, method, signature, body)
        except BusError:
            raise
        except OSError:
            self.close()
            raise

    def get(self, name):
        return self.call("org.freedesktop.DBus.Properties", "Get", "ss", (MANAGER, name))[0]

    def try_get(self, name):
        """None where nobody answers."""
        try:
            return self.get(name) if top_of(self.host) else None
        except OSError:
            return None

    def leads(self):
        return self.try_get("Role") == "leader" and bool(self.try_get("Serving"))


class Ensemble:
    def __init__(self, count):
        self.hosts = ["h%d" % i for i in range(1, count + 1)]
        self.members = {host: Member(host) for host in self.hosts}
        self.down = set()               # hosts of which nothing is expected; asked too early, one would found its own ensemble

    def __getitem__(self, host):
        return self.members[host]

    def up(self):
        return [host for host in self.hosts if host not in self.down]

    def form(self, voters=None):
        """h1 founds it, the others join one by one and, those in VOTERS (default: all), are promoted."""
        self.down = set(self.hosts[1:])
        for host in self.hosts:
            install(host)
            run("systemctl", "enable", "convened.service", host=host)
            run("sh", "-c", "mkdir -p %s && cat >%s/60-lab.conf" % (CONF, CONF), host=host, stdin=SMALL_LOG)
        run("convenectl", "init", "--listen", address("h1"), host="h1")
        for host in self.hosts[1:]:
            self.join(host)
            if voters is None or host in voters:
                self.promote(host)
        for host in self.hosts:         # their power may be cut next
            run("sync", host=host)
        return self.whole()

    def join(self, host):
        """HOST has no store; it becomes an observer.  If it was a member, it takes its own place, once the leader knows that it is away."""
        wait("%s is known to be away" % host,
             lambda: not any(m[1] == host and m[4] for m in self[self.leader()].call(MANAGER, "ListMembers")[0]), UP_SEC)
        token = json.loads(ctl("member", "add", "--json", host, host=self.leader()))["token"]
        run("convenectl", "join", "--listen", address(host), "-", host=host, stdin=token + "\n")
        wait("%s serves" % host, lambda: self[host].try_get("Serving"), UP_SEC)
        self.down.discard(host)

    def promote(self, host):
        wait("%s is promoted" % host, lambda: status_of("convenectl", "member", "promote", host, host=self.leader()) == 0, UP_SEC)
        wait("%s is a voter" % host, lambda: self[host].try_get("Role") in ("follower", "leader"), UP_SEC)

    def find_leader(self, among=None):
        return next((host for host in among or self.up() if self[host].leads()), None)

    def leader(self, among=None, seconds=UP_SEC):
        return wait("somebody leads", lambda: self.find_leader(among), seconds)

    def followers(self):
        leader = self.leader()
        return [host for host in self.up() if host != leader]

    def is_whole(self):
        """Every host that is up serves, and the leader has all of them connected and up to date."""
        leader = self.find_leader()
        if not leader or not all(self[host].try_get("Serving") for host in self.up()):
            return None
        try:
            listed = self[leader].call(MANAGER, "ListMembers")[0]
        except OSError:
            return None
        # Of what it leads it knows whether it is up to date; of itself there is nothing to know.
        good = {name for _, name, _, _, connected, _, synced, _, _, _ in listed if name == leader or connected and synced}
        return leader if good.issuperset(self.up()) else None

    def whole(self, seconds=UP_SEC * 2):
        """Waits for that; returns the leader."""
        return wait("all of %s serve and are up to date" % " ".join(self.up()), self.is_whole, seconds)

    def status(self, host):
        """What convenectl says, also where the agent does not serve (exit status 6)."""
        status, said = attempt("convenectl", "--json", "status", host=host)
        assert status in (0, 6), said
        return json.loads(said)

    def crash(self, host):
        self.down.add(host)
        lab("crash", host)
        self[host].close()

    def boot(self, host):
        lab("boot", host)
        self.down.discard(host)

    def isolate(self, host):
        self.down.add(host)
        lab("isolate", host)

    def heal(self, host):
        lab("heal", host)
        self.down.discard(host)

