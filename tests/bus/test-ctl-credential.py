#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-credential.py - the socket from which systemd loads credentials: what it answers to systemd, and to others; see ctl_harness.py

import importlib
import os
import socket
import time

from ctl_harness import NOBODY, PATIENCE, Skip, equal, good, here, main

lock = importlib.import_module("test-ctl-lock")
door = {}                       # the agent with the socket, and where it is


def agent():
    """One that has the socket from its service manager."""
    if os.getuid() != 0:
        raise Skip("needs root")
    if not door:
        directory = here.work / "door"
        directory.mkdir()
        directory.chmod(0o755)
        path = directory / "credentials"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(64)
        path.chmod(0o666)               # so that it is the agent who says no
        keeper = lock.Keeper(directory)
        keeper.kept["credentials"] = os.dup(listening.fileno())
        keeper.start()
        door.update(keeper=keeper, path=path, listening=listening)
    return door["keeper"]


def tell(*words, **more):
    return good(f"--address=unix:path={agent().socket}", *words, **more)


def connect(address):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    if address is not None:
        s.bind(address)
    s.connect(str(door["path"]))
    s.shutdown(socket.SHUT_WR)
    return s


def read(s):
    got = b""
    with s:
        while chunk := s.recv(1 << 20):
            got += chunk
            if len(got) > 1 << 20 and not got.strip(b"\0"):
                return None             # as systemd does: that is too much
    return got


def load(unit, name):
    return read(connect(f"\0{os.urandom(8).hex()}/unit/{unit}/{name}"))


def journal(text):
    end = time.monotonic() + PATIENCE
    while text not in (path := agent().directory / "journal").read_text():
        assert time.monotonic() < end, path.read_text()[-2000:]
        time.sleep(0.01)


def give(unit, name, data, acl):
    tell("create", "-p", f"--acl={acl}", f"/convene/credentials/{unit}/{name}", "-", stdin=data)


def test_given():
    host = tell("status", "--json").json["name"]
    give("web.service", "password", b"secret", f"unit:web.service@{host}:r")
    equal(load("web.service", "password"), b"secret")
    give("web.service", "anywhere", bytes(range(256)), "unit:web.service@*:r")
    equal(load("web.service", "anywhere"), bytes(range(256)))
    give("web.service", "empty", b"", "unit:web.service@*:r")
    equal(load("web.service", "empty"), b"")
    big = os.urandom(1 << 19)
    give("web.service", "big", big, "unit:web.service@*:r")
    equal(load("web.service", "big"), big)
    tell("set", "/convene/credentials/web.service/password", "-", stdin=b"changed")
    equal(load("web.service", "password"), b"changed")


def test_refused():
    """Never by an end without data: that would be an empty credential."""
    equal(load("web.service", "nothing"), None)
    journal("there is no znode /convene/credentials/web.service/nothing (NoNode)")
    equal(load("other.service", "password"), None)
    give("other.service", "stolen", b"secret", "unit:web.service@*:r")
    equal(load("other.service", "stolen"), None)
    journal("is not readable for other.service@")
    give("other.service", "admin", b"secret", "unix:0@*:all")
    equal(load("other.service", "admin"), None)
    give("other.service", "elsewhere", b"secret", "unit:other.service@somewhere-else:r")
    equal(load("other.service", "elsewhere"), None)


def test_template():
    give("app@.service", "key", b"of all", "world:anyone:r")
    give("app@two.service", "key", b"of the second", "world:anyone:r")
    equal(load("app@one.service", "key"), b"of all")
    equal(load("app@two.service", "key"), b"of the second")
    equal(load("app@.service", "none"), None)
    equal(load("app@one.socket", "key"), None)
    journal("nor /convene/credentials/app@.socket/key")


def test_hostile_addresses():
    """Whoever has no address as systemd's gets nothing, and no look at the tree."""
    agent()
    give("hostile.service", "x", b"secret", "world:anyone:r")
    tell("create", "-p", "/convene/credentials/hostile.service/sub/x", "secret")
    random = os.urandom(8).hex()
    for address in (None, f"{here.work}/door/peer", f"\0{random}", f"\0{random}/unit/hostile.service", f"\0{random}/unit//x",
                    f"\0{random}/unit/hostile.service/", f"\0{random}/unit/hostile.service/sub/x", f"\0{random}/unit/../x",
                    f"\0{random}/unit/./x", f"\0{random}/unit/hostile.service/..", f"\0/unit/hostile.service/x",
                    f"\0{random}/user/hostile.service/x", f"\0{random}/unit/hostile.service\0/x", f"\0{random}/unit/hos tile.service/x",
                    f"\0{random}/unit/hostile.service/\x01", b"\0" + random.encode() + b"/unit/hostile.service/\xff\xfe"):
        answer = read(connect(address))
        assert answer in (b"", None), (address, answer)
    equal(load("hostile.service", "x"), b"secret")


def test_not_root():
    agent()
    out, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(NOBODY)
            os.write(end, b"got " + (load("hostile.service", "x") or b""))
        finally:
            os._exit(0)
    os.close(end)
    os.waitpid(pid, 0)
    with open(out, "rb") as file:
        equal(file.read(), b"got ")


def test_those_who_do_not_read():
    """They cost a descriptor each, and nobody else anything."""
    agent()
    address = "\0{}/unit/web.service/big"
    idle = [connect(address.format(os.urandom(8).hex())) for _ in range(50)]
    equal(load("web.service", "anywhere"), bytes(range(256)))
    for s in idle:
        s.close()
    equal(len(load("web.service", "big")), 1 << 19)
    equal(tell("status", "--json").json["problems"], [])


def test_restart_of_the_agent():
    """Who comes meanwhile waits in the socket's queue."""
    keeper = agent()
    equal(keeper.stop(), 0)
    waiting = connect(f"\0{os.urandom(8).hex()}/unit/web.service/password")
    keeper.kept["credentials"] = os.dup(door["listening"].fileno())
    keeper.start()
    equal(read(waiting), b"changed")


def test_end():
    if door:
        equal(agent().stop(), 0)


if __name__ == "__main__":
    main(globals())
