# SPDX-License-Identifier: LGPL-2.1-or-later
"""A witness of who runs: outside the hosts, so that it sees what no host can say of itself.

A singleton takes a lease by a TCP connection and holds it as long as it lives; with each line that it sends it acts, and shows its
token. The witness listens on the loopback of each host, in its network namespace: cuts and frozen agents do not come between, and the kernel
closes the connection at the very instant when the process ends. It refuses a token that is older than one it has seen, notes every start
and every end by one clock, and how long two had a lease at a time.

It is a process of its own, with real-time priority where it may have that, so that what it notes is when it happened.
"""

import ctypes
import json
import os
import select
import signal
import socket
import time
import traceback

from state import leader

PORT = 7777
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

# What the singleton does: bash alone, without a process for each act. $1: its name, $2: "stubborn", if SIGTERM does not end it.
SCRIPT = r"""#!/bin/bash
[[ ${2-} == stubborn ]] && trap '' TERM
until exec 3<>/dev/tcp/127.0.0.1/%d; do read -rt 0.05 <> <(:); done 2>/dev/null
[[ ${CONVENE_TOKEN-} ]] || exit 3
read -r credential <"$CREDENTIALS_DIRECTORY/convene.token"
[[ $credential == "$CONVENE_TOKEN" ]] || exit 3
printf '%%s %%s %%s %%s\n' "$1" "$HOSTNAME" "$CONVENE_TOKEN" "$$" >&3
while :; do
        read -r -t 0.01 -u 3
        (( $? > 128 )) || exit 4
        printf 'act\n' >&3
done
""" % PORT


def listening(host):
    """A socket that listens on a host's loopback."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            with open("/proc/%d/ns/net" % leader(host)) as space:
                if libc.setns(space.fileno(), CLONE_NEWNET):
                    os._exit(1)
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", PORT))
            s.listen(64)
            socket.send_fds(theirs, [b"x"], [s.fileno()])
        finally:
            os._exit(0)
    theirs.close()
    os.waitpid(pid, 0)
    _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    ours.close()
    assert fds, "no socket on the loopback of %s" % host
    return socket.socket(fileno=fds[0])


class Lease:
    def __init__(self, sock):
        self.socket, self.buffer, self.name, self.host, self.token = sock, b"", None, None, 0
        self.acts = self.refused = 0
        self.last = 0.0                 # when it acted


class Server:
    """The witness's own process."""

    def __init__(self, control):
        self.control, self.listeners, self.leases, self.highest = control, [], {}, {}
        self.overlaps = {}              # (old, new): when it began
        self.poll = select.epoll()
        self.poll.register(control, select.EPOLLIN)

    def note(self, event, lease, **more):
        self.control.send(json.dumps({"event": event, "at": time.monotonic(), "name": lease.name, "host": lease.host,
                                      "token": lease.token, **more}).encode())

    def serve(self):
        while True:
            # whoever has ended has done so before whoever begins
            ready = sorted(self.poll.poll(), key=lambda pair: not pair[1] & (select.EPOLLHUP | select.EPOLLRDHUP))
            for fd, _ in ready:
                if fd == self.control.fileno():
                    data, fds, _, _ = socket.recv_fds(self.control, 64, 4)
                    if not data:
                        return
                    for f in fds:
                        self.listeners.append(socket.socket(fileno=f))
                        self.poll.register(f, select.EPOLLIN)
                elif fd in self.leases:
                    self.read(self.leases[fd])
                else:
                    self.accept(fd)

    def accept(self, fd):
        for listener in self.listeners:
            if listener.fileno() == fd:
                s, _ = listener.accept()
                s.setblocking(False)
                self.leases[s.fileno()] = Lease(s)
                self.poll.register(s.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def read(self, lease):
        """False once it has ended."""
        try:
            while True:
                data = lease.socket.recv(65536)
                if not data:
                    self.end(lease)
                    return False
                lease.buffer += data
                while b"\n" in lease.buffer:
                    line, lease.buffer = lease.buffer.split(b"\n", 1)
                    self.line(lease, line.decode())
        except BlockingIOError:
            return True
        except ConnectionError:
            self.end(lease)
            return False

    def line(self, lease, line):
        if lease.name is None:
            lease.name, lease.host, token, _ = line.split(" ")
            lease.token = int(token)
            self.start(lease)
        elif lease.token < self.highest[lease.name]:
            lease.refused += 1
        else:
            lease.acts += 1
        lease.last = time.monotonic()

    def start(self, lease):
        others = [other for other in list(self.leases.values()) if other is not lease and other.name == lease.name]
        there = [other for other in others if self.read(other)]
        highest = self.highest.get(lease.name, 0)
        self.note("start", lease, stale=lease.token < highest, beside=[other.host for other in there])
        self.highest[lease.name] = max(highest, lease.token)
        for other in there:
            self.overlaps[other, lease] = time.monotonic()

    def end(self, lease):
        del self.leases[lease.socket.fileno()]
        self.poll.unregister(lease.socket.fileno())
        lease.socket.close()
        if lease.name is None:
            return
        self.note("end", lease, acts=lease.acts, refused=lease.refused, last=lease.last)
        for old, new in [pair for pair in self.overlaps if lease in pair]:
            self.note("overlap", old, other=new.host, begin=self.overlaps.pop((old, new)))


class Witness:
    """The process, as a test sees it."""

    def __init__(self, hosts):
        self.events = []
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.socket.close()
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                try:
                    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
                except PermissionError:
                    pass
                Server(theirs).serve()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        theirs.close()
        self.socket.setblocking(False)
        for host in hosts:
            self.attend(host)

    def attend(self, host):
        """From each boot of a host on; until then its singletons wait for their leases."""
        with listening(host) as s:
            socket.send_fds(self.socket, [host.encode()], [s.fileno()])

    def close(self):
        self.socket.close()
        os.waitpid(self.pid, 0)

    def read(self):
        try:
            while True:
                data = self.socket.recv(4096)
                assert data, "the witness has died"
                self.events.append(json.loads(data))
        except BlockingIOError:
            return self.events

    def wait(self, what, match, since=0.0, seconds=30.0):
        """The first event at or after SINCE that MATCH(event) likes."""
        end = time.monotonic() + seconds
        while True:
            for event in self.read():
                if event["at"] >= since and match(event):
                    return event
            left = end - time.monotonic()
            assert left > 0, "not within %g s: %s; the last the witness has seen: %s" % (seconds, what, self.events[-6:])
            select.select([self.socket], [], [], left)

    def running(self, name):
        """The starts of those that have not ended."""
        there = []
        for event in self.read():
            if event["name"] != name:
                continue
            if event["event"] == "start":
                there.append(event)
            elif event["event"] == "end":
                there = [e for e in there if (e["host"], e["token"]) != (event["host"], event["token"])]
        return there

    def of(self, kind, since=0.0, name=None):
        return [e for e in self.read() if e["event"] == kind and e["at"] >= since and name in (None, e["name"])]
