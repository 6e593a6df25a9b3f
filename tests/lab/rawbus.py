# SPDX-License-Identifier: LGPL-2.1-or-later
"""A D-Bus client that does what well-behaved libraries refuse to do: any bytes, any uid, any number of calls at once.

It runs outside the hosts: a child per connection enters the host's process ids and file system, connects as the wanted
user, and hands the socket back.  That child is who the agent sees; it belongs to no unit of the host.
Values are Python's: lists for arrays and structures, dictionaries for a{...}, (signature, value) for variants.
"""

import array
import ctypes
import os
import select
import socket
import struct
import time

from state import leader

BUSES = {"system": "/run/dbus/system_bus_socket", "socket": "/run/convene/bus"}
METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
ALIGN = dict({c: struct.calcsize(f) for c, f in FIXED.items()}, **{"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8})


libc = ctypes.CDLL(None, use_errno=True)


class BusError(OSError):
    def __init__(self, name, text):
        super().__init__("%s: %s" % (name, text))
        self.name = name


def single(signature, at=0):
    """The end of the complete type that begins at AT."""
    c = signature[at]
    if c == "a":
        return single(signature, at + 1)
    if c in "({":
        at += 1
        while signature[at] not in ")}":
            at = single(signature, at)
    return at + 1


def types(signature):
    out, at = [], 0
    while at < len(signature):
        end = single(signature, at)
        out.append(signature[at:end])
        at = end
    return out


class Writer:
    def __init__(self):
        self.data = bytearray()

    def align(self, n):
        self.data += bytes(-len(self.data) % n)

    def put(self, t, v):
        c = t[0]
        self.align(ALIGN[c])
        if c in FIXED:
            self.data += struct.pack("<" + FIXED[c], v)
        elif c in "so":
            raw = v.encode() if isinstance(v, str) else v
            self.data += struct.pack("<I", len(raw)) + raw + b"\0"
        elif c == "g":
            self.data += bytes([len(v)]) + v.encode() + b"\0"
        elif c == "v":
            self.put("g", v[0])
            self.put(v[0], v[1])
        elif c == "a":
            self.put_array(t[1:], v)
        else:
            for inner, x in zip(types(t[1:-1]), v):
                self.put(inner, x)

    def put_array(self, t, v):
        at = len(self.data)
        self.data += bytes(4)
        self.align(ALIGN[t[0]])
        start = len(self.data)
        if t == "y":
            self.data += bytes(v)
        else:
            for x in v.items() if isinstance(v, dict) else v:
                self.put(t, x)
        self.data[at:at + 4] = struct.pack("<I", len(self.data) - start)


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def align(self, n):
        self.at += -self.at % n

    def get(self, t):
        c = t[0]
        self.align(ALIGN[c])
        if c in FIXED:
            v, = struct.unpack_from("<" + FIXED[c], self.data, self.at)
            self.at += struct.calcsize(FIXED[c])
            return bool(v) if c == "b" else v
        if c in "sog":
            size = self.data[self.at] if c == "g" else self.get("u")
            self.at += c == "g"
            v = bytes(self.data[self.at:self.at + size]).decode()
            self.at += size + 1
            return v
        if c == "v":
            return self.get(self.get("g"))
        if c == "a":
            return self.get_array(t[1:])
        return [self.get(inner) for inner in types(t[1:-1])]

    def get_array(self, t):
        size = self.get("u")
        self.align(ALIGN[t[0]])
        end = self.at + size
        if t == "y":
            self.at = end
            return bytes(self.data[end - size:end])
        items = []
        while self.at < end:
            items.append(self.get(t))
        return dict(items) if t[0] == "{" else items


def message(kind, serial, fields, signature="", body=(), fds=0):
    """FIELDS: number -> (signature, value)."""
    b, w = Writer(), Writer()
    for t, v in zip(types(signature), body):
        b.put(t, v)
    if signature:
        fields = {**fields, 8: ("g", signature)}
    if fds:
        fields = {**fields, 9: ("u", fds)}
    w.data += struct.pack("<cBBBII", b"l", kind, 0, 1, len(b.data), serial)
    w.put("a(yv)", [(k, v) for k, v in sorted(fields.items())])
    w.align(8)
    return bytes(w.data + b.data)


class Message:
    def __init__(self, head, body):
        r = Reader(head, 1)
        self.kind = r.get("y")
        r.at = 8
        self.serial = r.get("u")
        self.fields = {k: v for k, v in r.get("a(yv)")}
        self.member, self.sender = self.fields.get(3), self.fields.get(7)
        self.reply_to = self.fields.get(5)
        r = Reader(body)
        self.body = [r.get(t) for t in types(self.fields.get(8, ""))]


class Bus:
    """A connection as the user UID to the system bus or to the agent's own socket of a host.

    CONNECTED: one of the sockets of connect_many(), instead of a new one with a process of its own."""

    def __init__(self, which, uid=0, host="h1", timeout=30.0, connected=None):
        self.timeout, self.serial, self.buffer, self.received = timeout, 0, b"", 0
        self.replies, self.signals, self.fds = {}, [], []
        self.socket, self.peer = (connected, None) if connected else connect(which, uid, host)
        self.socket.settimeout(timeout)
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        said = b""
        while said.count(b"\r\n") < 2:
            said += self.receive()
        assert said.startswith(b"OK "), said
        self.buffer = said.split(b"\r\n", 2)[2]
        self.name = self.call("org.freedesktop.DBus", "Hello", to="org.freedesktop.DBus", path="/org/freedesktop/DBus")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()
        if self.peer:
            self.peer.close()           # ends the child
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def become(self, *command):
        """The process that connected executes COMMAND."""
        self.peer.sendall("\0".join(command).encode())

    def receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(16 * 4))
        if not data:
            raise ConnectionError("the bus has closed the connection")
        for level, kind, raw in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.fds += array.array("i", raw[:len(raw) // 4 * 4])
        return data

    def send(self, interface, member, signature="", body=(), to="org.convene1", path="/org/convene1", fds=()):
        self.serial += 1
        fields = {1: ("o", path), 2: ("s", interface), 3: ("s", member), 6: ("s", to)}
        raw = message(METHOD_CALL, self.serial, fields, signature, body, len(fds))
        if fds:
            self.send_raw_with(raw, fds)
        else:
            self.send_raw(raw)
        return self.serial

    def send_raw(self, raw):
        """Sends all of it, and takes in what comes meanwhile, so that neither side waits for the other."""
        view, end = memoryview(raw), time.monotonic() + self.timeout
        self.socket.setblocking(False)
        try:
            while view:
                r, w, _ = select.select([self.socket], [self.socket], [], max(0, end - time.monotonic()))
                if not r and not w:
                    raise TimeoutError("the bus takes nothing more")
                if r:
                    self.take(self.receive())
                if w:
                    try:
                        view = view[self.socket.send(view):]
                    except BlockingIOError:
                        pass
        finally:
            self.socket.settimeout(self.timeout)

    def send_raw_with(self, raw, fds):
        self.socket.sendmsg([raw], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])

    def take(self, data):
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= 16:
            body, fields = struct.unpack_from("<I4xI", self.buffer, at + 4)
            head = at + 16 + fields + -fields % 8
            if len(self.buffer) < head + body:
                break
            m = Message(self.buffer[at:head], self.buffer[head:head + body])
            at = head + body
            self.received += 1
            if m.kind == SIGNAL:
                self.signals.append(m)
            elif m.reply_to:
                self.replies[m.reply_to] = m
        self.buffer = self.buffer[at:]

    def wait_reply(self, serial):
        """The body of the answer, or BusError; TimeoutError if there is none."""
        end = time.monotonic() + self.timeout
        while serial not in self.replies:
            if time.monotonic() > end:
                raise TimeoutError("no answer within %g s" % self.timeout)
            self.take(self.receive())
        m = self.replies.pop(serial)
        if m.kind == ERROR:
            raise BusError(m.fields[4], m.body[0] if m.body and isinstance(m.body[0], str) else "")
        return m.body

    def call(self, interface, member, signature="", body=(), **where):
        return self.wait_reply(self.send(interface, member, signature, body, **where))

    def call_all(self, calls, window=100):
        """Makes CALLS (arguments of send) with WINDOW of them under way, and returns their bodies or BusErrors."""
        out, waiting = [], []
        for c in list(calls) + [None] * window:
            if c:
                waiting.append(self.send(*c))
            if waiting and (not c or len(waiting) >= window):
                try:
                    out.append(self.wait_reply(waiting.pop(0)))
                except BusError as e:
                    out.append(e)
        return out

    def outcome(self, interface, member, signature="", body=(), **where):
        """"ok", or the last word of the error's name."""
        try:
            self.call(interface, member, signature, body, **where)
            return "ok"
        except BusError as e:
            return e.name.rsplit(".", 1)[1]


def inside(host):
    """A process in the host whose view of the file system is the host's: its PID 1."""
    top = leader(host)
    assert top, "%s is down" % host
    return top


def connect(which, uid, host):
    """A connected socket, and one to the process in the host that has connected it."""
    sockets, control = connect_many(which, uid, host, 1)
    return sockets[0], control


def connect_many(which, uid, host, count):
    """COUNT connected sockets, and one to the one process in the host that has connected them all: it ends when that is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    top = inside(host)
    pid = os.fork()
    if pid == 0:
        try:
            with open("/proc/%d/ns/pid" % top) as space:
                libc.setns(space.fileno(), 0)
            if os.fork() == 0:          # only a child of ours is in there
                connected(theirs, "/proc/%d/root%s" % (top, BUSES[which]), uid, count)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    theirs.close()
    _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4 * count))
    if not ancillary:
        raise ConnectionError("%s of %s cannot be reached" % (which, host))
    raw = ancillary[0][2]
    return [socket.socket(fileno=fd) for fd in array.array("i", raw[:len(raw) // 4 * 4])], ours


def connected(control, path, uid, count):
    """In the host: connects, gives the sockets away, and waits to be closed or, with one, which it keeps open, to become something else."""
    os.closerange(3, control.fileno())  # what keeps other connections open, and this one's other end
    os.closerange(control.fileno() + 1, 1024)
    directory, name = os.path.split(path)
    os.chdir(directory)                 # as root, for only root may go through /proc
    os.setresgid(uid, uid, uid)
    os.setgroups([])
    os.setresuid(uid, uid, uid)
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    for s in sockets:
        s.connect(name)
    control.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno() for s in sockets]))])
    if count > 1:
        for s in sockets:               # so that each ends when whoever was given it closes it
            s.close()
    command = control.recv(4096)
    if not command:
        os._exit(0)
    os.dup2(os.open("/dev/null", os.O_RDWR), 1)
    os.dup2(1, 2)
    sockets[0].set_inheritable(True)
    words = command.decode().split("\0")
    os.execv(words[0], words)
