# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many clients on several hosts that wait for locks, watched by one process.

The connections of a host are made by one process in it; all of them are read here, in one loop, so that what they are told is noted
in one order and by one clock.
"""

import os
import re
import select
import time

from rawbus import Bus, BusError, connect_many

LOCKS = "org.convene1.Locks"


def sequence(path):
    """The contender's number: its place in the order of all who contend."""
    return int(re.search(r"\d{10}$", path)[0])


class Grant:
    def __init__(self, waiter, token, path, at, fd):
        self.waiter, self.token, self.path, self.at, self.fd = waiter, token, path, at, fd
        self.released = None            # the instant just before the descriptor was closed

    def release(self):
        self.released = time.monotonic()
        os.close(self.fd)
        self.fd = -1


class Waiter:
    """One connection, which waits for one lock at a time."""

    def __init__(self, number, host, bus):
        self.number, self.host, self.bus, self.serial = number, host, bus, None

    def ask(self, name, **options):
        """Its contender has its number as data."""
        self.serial = self.bus.send(LOCKS, "Lock", "sa{sv}", (name, {"data": ("ay", b"%d" % self.number), **options}))

    def take(self):
        """What has come; the grant, if it is the answer."""
        self.bus.take(self.bus.receive())
        if self.serial not in self.bus.replies:
            return None
        now = time.monotonic()
        try:
            _, token, path, _ = self.bus.wait_reply(self.serial)
        except BusError as e:
            raise AssertionError("a waiter on %s was refused: %s" % (self.host, e)) from e
        finally:
            self.serial = None
        return Grant(self, token, path, now, self.bus.fds.pop())


class Crowd:
    def __init__(self, counts, uid):
        """COUNTS: of each host, how many."""
        self.uid, self.waiters, self.keepers, self.by_fd, self.poll, self.numbers = uid, [], [], {}, select.poll(), 0
        for host, count in counts.items():
            self.join(host, count)

    def join(self, host, count):
        """So many more, on that host."""
        sockets, keeper = connect_many("socket", self.uid, host, count)
        self.keepers.append(keeper)
        for s in sockets:
            one = Waiter(self.numbers, host, Bus("socket", self.uid, host, connected=s))
            self.numbers += 1
            self.waiters.append(one)
            self.by_fd[s.fileno()] = one
            self.poll.register(s, select.POLLIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in list(self.waiters):
            self.leave(one)
        for keeper in self.keepers:
            keeper.close()

    def leave(self, waiter):
        """Its connection ends."""
        self.poll.unregister(waiter.bus.socket)
        del self.by_fd[waiter.bus.socket.fileno()]
        self.waiters.remove(waiter)
        waiter.bus.close()

    def forget(self, host):
        """That host is dead, and what is on it with it."""
        for one in [w for w in self.waiters if w.host == host]:
            self.leave(one)

    def some(self, count):
        """So many of them, from all hosts by turns."""
        by_host = {}
        for one in self.waiters:
            by_host.setdefault(one.host, []).append(one)
        rows = max(len(row) for row in by_host.values())
        return [row[i] for i in range(rows) for row in by_host.values() if i < len(row)][:count]

    def received(self):
        """Messages that all of them have been sent, ever."""
        return sum(one.bus.received for one in self.waiters)

    def take(self, seconds):
        """The grants that have come, waiting for at most so long if there is none."""
        ready = self.poll.poll(1000 * seconds)
        return [grant for grant in (self.by_fd[fd].take() for fd, _ in ready) if grant]

    def next(self, seconds=20.0):
        """All grants that have come when at least one has, as they came."""
        end, found = time.monotonic() + seconds, []
        while not found:
            left = end - time.monotonic()
            assert left > 0, "nobody was given the lock within %g s" % seconds
            found = self.take(left)
        return found

    def stay_quiet(self, seconds):
        """Nobody is given anything for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.take(end - time.monotonic())
            assert not found, "given while another has it: %s" % [g.path for g in found]
