# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of locks and leases that live through restarts of the agent: what is held is a descriptor and outlives the connection; a
call that was under way when the connection broke is made again."""

import os
import select
import threading
import time

from crowd import LOCKS
from rawbus import Bus, BusError

LEASES = "org.convene1.Leases"
RETRY_SEC = 0.01
TURN_SEC = 20.0
LEASE_USEC = 10 * 1000 * 1000
RENEW_SEC = 0.1


class Persistent(threading.Thread):
    """Does one thing after the other, each on the connection there is, until it is ended."""

    def __init__(self, host, uid):
        super().__init__(daemon=True)
        self.host, self.uid, self.bus, self.ending, self.failure = host, uid, None, threading.Event(), None

    def run(self):
        while not self.ending.is_set():
            try:
                if not self.bus:
                    self.bus = Bus("socket", self.uid, self.host)
                self.step()
            except BusError as e:
                if not e.name.endswith((".NotReady", ".FateUnknown", ".Disconnected")):
                    self.failure = e
                    return
                self.ending.wait(RETRY_SEC)
            except (OSError, AssertionError):   # the agent is away; or it went in the middle of a handshake
                if self.bus:
                    self.bus.close()
                self.bus = None
                self.ending.wait(RETRY_SEC)

    def end(self):
        self.ending.set()
        self.join(TURN_SEC)
        assert not self.failure and not self.is_alive(), "a client on %s: %s" % (self.host, self.failure or "does not end")
        if self.bus:
            self.bus.close()


class Changer(Persistent):
    """Takes one lock and lets it go, all the time: (from, until, token)."""

    def __init__(self, host, path, uid):
        super().__init__(host, uid)
        self.path, self.taken = path, []
        self.start()

    def step(self):
        token = self.bus.call(LOCKS, "Lock", "sa{sv}", (self.path, {}))[1]
        at, fd = time.monotonic(), self.bus.fds.pop()
        released = time.monotonic()
        os.close(fd)
        self.taken.append((at, released, token))

    def goes_on(self):
        """Waits until it has had the lock twice more, so once for a call that began now."""
        n, end = len(self.taken), time.monotonic() + TURN_SEC
        while len(self.taken) < n + 2:
            assert not self.failure and time.monotonic() < end, "%s does not get the lock: %s" % (self.host, self.failure)
            time.sleep(RETRY_SEC)


class Lessee(Persistent):
    """Renews a lease and takes down when its token changes, for then it had been lost."""

    def __init__(self, host, path, uid):
        super().__init__(host, uid)
        self.path, self.token, self.changed = path, None, []
        self.start()

    def step(self):
        token, _ = self.bus.call(LEASES, "Acquire", "sta{sv}", (self.path, LEASE_USEC, {"holder": ("s", self.host)}))
        if self.token not in (None, token):
            self.changed.append((self.token, token))
        self.token = token
        self.ending.wait(RENEW_SEC)


class Held:
    """A lock, or a place in its line, for as long as the descriptor is open; the connection is over at once."""

    def __init__(self, host, path, uid, pending=False):
        self.host = host
        with Bus("socket", uid, host) as bus:
            _, self.token, self.path, _ = bus.call(LOCKS, "Lock", "sa{sv}", (path, {"pending": ("b", True)} if pending else {}))
            self.fd = bus.fds.pop()

    def is_unchanged(self):
        """Neither lost nor told anything."""
        return not select.select([self.fd], [], [], 0)[0]

    def wait_turn(self):
        assert select.select([self.fd], [], [], TURN_SEC)[0], "%s on %s is not told that it holds" % (self.path, self.host)
        assert os.read(self.fd, 1), "%s on %s was lost" % (self.path, self.host)

    def close(self):
        os.close(self.fd)
