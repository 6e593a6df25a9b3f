# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections to a member's port that do what no member does: any key, any hello, any bytes.

They begin in the network of a host, or of the switch, which is nobody's.  Frames are those of agent/wire/frame.h.
"""

import os
import resource
import socket
import ssl
import struct
import subprocess
import time

from ensemble import PORT
from state import holder, leader
from util import CLONE_NEWNET, check, libc

VERSION = 2                             # of frames, as in agent/wire/frame.h
HELLO, VOTE_RESPONSE, LEADER_HELLO, SYNC_REQUEST, ENTRIES, NEWLEADER = 0, 4, 5, 7, 12, 13
ACK_NEWLEADER, UPTODATE, PROGRESS, ACK, TIMEOUT_NOW, LEAVE, FORWARD, REFUSED = 14, 15, 16, 17, 23, 24, 64, 65
JOIN, JOINED, JOIN_REFUSED = 250, 251, 252
SEC = 10.0


def plain(to, source="switch"):
    """A TCP connection to a host's member port."""
    pid = holder() if source == "switch" else leader(source)
    assert pid, "%s is down" % source
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
    try:
        check(libc.setns(there, CLONE_NEWNET), "setns")
        try:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            check(libc.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)
        os.close(there)
    s.settimeout(SEC)
    s.connect(("10.77.0." + to[1:], PORT))
    return s


def openssl(*args, stdin=None):
    p = subprocess.run(("openssl",) + args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert p.returncode == 0, "openssl %s: %s" % (args[0], p.stderr.decode())
    return p.stdout


def make_key(path):
    openssl("genpkey", "-algorithm", "ed25519", "-out", path)
    return path


def make_certificate(key, path, authority=None):
    """Self-signed; or by AUTHORITY, (key, certificate)."""
    if authority:
        request = openssl("req", "-new", "-key", key, "-subj", "/CN=x")
        openssl("x509", "-req", "-CA", authority[1], "-CAkey", authority[0], "-CAcreateserial", "-days", "9", "-out", path,
                stdin=request)
    else:
        openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=x", "-days", "9", "-out", path)
    return path


def context(key=None, certificate=None, version=ssl.TLSVersion.TLSv1_3):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.minimum_version = c.maximum_version = version
    if version < ssl.TLSVersion.TLSv1_3:
        c.set_ciphers("ALL:@SECLEVEL=0")
    if key:
        c.load_cert_chain(certificate, key)
    return c


def frame(kind, body=b""):
    return struct.pack("<IB3x", len(body), kind) + body


def text(s):
    return struct.pack("<I", len(s)) + s.encode() + b"\0"


def hello(cluster, disk, sid, name, level=1, incarnation=None):
    return frame(HELLO, struct.pack("<III", VERSION, VERSION, level) + bytes.fromhex(cluster) + bytes.fromhex(disk) +
                 (incarnation or os.urandom(16)) + struct.pack("<IQQQ", sid, 0, 0, 0) + text(name))


def join(cluster, disk, secret, name, address="", level=1):
    return frame(JOIN, struct.pack("<III", VERSION, VERSION, level) + bytes.fromhex(cluster) + bytes.fromhex(disk) + secret + text(name) +
                 text(address))


def last_index(body):
    """Of the entries of a frame: each is index, zxid, zxid before, chain, type, time, and a payload."""
    _, count = struct.unpack_from("<QI", body)
    at, index = 12, 0
    for _ in range(count):
        index, size = struct.unpack_from("<Q", body, at)[0], struct.unpack_from("<I", body, at + 49)[0]
        at += 53 + size
    return index


class Peer:
    """A TLS connection; what it sends as TCP sees it is kept in SENT, for those who replay."""

    def __init__(self, to, tls, source="switch", session=None):
        self.socket, self.sent, self.buffer = plain(to, source), b"", b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, session=session)
        self.until(self.tls.do_handshake)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        data = self.outgoing.read()
        self.sent += data
        self.socket.sendall(data)

    def until(self, step, seconds=SEC):
        """Repeats STEP while TLS wants more bytes; ConnectionError when there are no more."""
        end = time.monotonic() + seconds
        while True:
            try:
                result = step()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError("nothing came within %g s" % seconds)
                self.socket.settimeout(left)
                data = self.socket.recv(65536)
                if not data:
                    raise ConnectionResetError("closed")
                self.incoming.write(data)

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def next_frame(self, seconds=SEC):
        """(type, body); ConnectionError if it is closed before."""
        while len(self.buffer) < 8 or len(self.buffer) - 8 < struct.unpack_from("<I", self.buffer)[0]:
            data = self.until(lambda: self.tls.read(65536), seconds)
            if not data:
                raise ConnectionResetError("closed by close_notify")
            self.buffer += data
        size, kind = struct.unpack_from("<IB", self.buffer)
        body, self.buffer = self.buffer[8:8 + size], self.buffer[8 + size:]
        return kind, body

    def receive(self, kind, seconds=SEC):
        """The body of the next frame of this kind; others are dropped."""
        end = time.monotonic() + seconds
        while True:
            found, body = self.next_frame(max(0.0, end - time.monotonic()))
            if found == kind:
                return body
            if time.monotonic() >= end:
                raise TimeoutError("no frame of type %d within %g s" % (kind, seconds))

    def follow(self):
        """As a member without any log: takes all that the leader has, until it is up to date.  Returns (epoch, session)."""
        epoch, session = struct.unpack_from("<IQ", self.receive(LEADER_HELLO))
        head = struct.pack("<IQ", epoch, session)
        self.send(frame(SYNC_REQUEST, head + struct.pack("<IQQQQ", 0, 0, 0, 0, 0) + struct.pack("<QQBI", 0, 0, 0, 0)))
        end = time.monotonic() + SEC
        while time.monotonic() < end:
            kind, body = self.next_frame()
            if kind == ENTRIES:
                self.send(frame(PROGRESS, head + struct.pack("<QB", last_index(body[12:]), 0)))
            elif kind == NEWLEADER:
                self.send(frame(ACK_NEWLEADER, head + body[12:20] + b"\0"))
            elif kind == UPTODATE:
                return epoch, session
        raise TimeoutError("not up to date within %g s" % SEC)

    def agree(self):
        """The second half of the hellos: from here on it is a connection of two members."""
        self.receive(HELLO)
        self.send(frame(HELLO))

    def closed(self, seconds=SEC):
        """Waits until the other side closes it; returns what it had sent in frames till then."""
        got, end = self.buffer, time.monotonic() + seconds
        self.buffer = b""
        try:
            while True:
                data = self.until(lambda: self.tls.read(65536), seconds)
                if not data:
                    return got
                got += data
                if time.monotonic() > end:
                    raise TimeoutError
        except TimeoutError:
            raise AssertionError("the member does not close the connection")
        except (ConnectionError, ssl.SSLError):
            return got


def refused(attempt):
    """That ATTEMPT, a function, fails as TLS or TCP; returns the words."""
    try:
        with attempt() as peer:
            peer.send(b"x")
            peer.receive(HELLO)
    except TimeoutError:
        raise
    except (ssl.SSLError, OSError) as e:
        return str(e)
    raise AssertionError("it was let in")


def objection(peer):
    """What a member says before it closes the connection, and that it says nothing else; "" if it says nothing."""
    data = peer.closed()
    if not data:
        return ""
    size, kind = struct.unpack_from("<IB", data)
    assert kind == LEAVE and len(data) == 8 + size, "it was answered: %r" % data
    return data[8 + 12 + 4:-1].decode()


def raise_files_max():
    """Many connections at a time."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, max(16384, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
