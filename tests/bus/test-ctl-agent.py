#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-agent.py - what convenectl says of sessions, presence, the agent and itself; see ctl_harness.py

import os
import pathlib
import pty
import re
import resource
import socket
import struct
import subprocess
import tempfile
import threading
import time

from ctl_harness import (FATE_UNKNOWN, LIMIT, NO_NODE, OK, PATIENCE, SESSION, UNREACHABLE, USAGE, Agent, bad, command,
                         ctl, equal, good, here, main, running, zxid)


def test_colours():
    def status_on_terminal(**more):
        ours, theirs = pty.openpty()
        subprocess.run(command("status"), stdout=theirs, env={**here.environment, "TERM": "xterm", **more},
                       timeout=PATIENCE, check=True)
        os.close(theirs)
        out = os.read(ours, 65536)
        os.close(ours)
        return out

    assert b"\x1b[" in status_on_terminal()
    assert b"\x1b[" not in status_on_terminal(NO_COLOR="1")
    assert b"\x1b[" not in status_on_terminal(TERM="dumb")
    assert b"\x1b" not in good("status").out


def test_unit_without_systemd():
    answer = ctl("create", "--unit=nginx.service", "/unit")
    assert answer.status != OK and b"nginx.service" in answer.err, answer
    bad(NO_NODE, "NoNode", "stat", "/unit")
    bad(USAGE, "exclude", "create", "--unit=x.service", "/unit", "--ephemeral", "--", "true")


def test_sessions():
    holder = running("create", "-e", "/session", "--session-timeout=7s")
    holder.line()
    sessions = good("sessions", "--json").json
    equal(len(sessions), 1)
    one = sessions[0]
    equal((one["owner_kind"], one["ephemerals"], one["timeout_ms"]), ("connection", 1, 7000))
    assert f"pid {holder.process.pid}" in one["owner"], one
    assert 0 < one["deadline_in_ms"] <= 7000, one
    assert one["id"] in good("sessions").lines[1] and one["id"] in good("sessions", "list").text
    shown = good("sessions", "show", one["id"], "--json").json[0]
    assert any(identity.startswith(f"unix:{os.getuid()}@") for identity in shown["identities"]), shown
    assert "Owner:" in good("sessions", "show", one["id"]).text
    bad(NO_NODE, "no such session", "sessions", "show", "1")
    bad(USAGE, "no session id", "sessions", "show", "nginx")
    good("sessions", "close", one["id"])
    equal(holder.end(), SESSION)
    holder.close()
    equal(good("sessions", "--json").json, [])
    bad(SESSION, "SessionExpired", "sessions", "close", one["id"])


def test_presence_files():
    root = here.work / "root"
    enable = ["presence", "enable", "web@1.service", "--path=/services/%N", "--data=a\nb", "--acl=world:anyone:r",
              f"--root={root}"]
    path = root / "etc/convene/presence.d/web@1.service.conf"
    equal(good(*enable).text.strip(), str(path))
    equal(path.stat().st_mode & 0o777, 0o644)
    lines = path.read_text().splitlines()
    equal(lines[1:], ["[Presence]", "Unit=web@1.service", "Path=/services/%N", "Data=a\\nb", "Acl=world:anyone:r"])

    vendor = root / "usr/lib/convene/presence.d"
    vendor.mkdir(parents=True)
    (vendor / "web.conf").write_text("[Presence]\nUnit=web@*.service other.service\nPath=/x\n")
    (vendor / "web@1.service.conf").write_text("[Presence]\nUnit=hidden.service\nPath=/hidden\n")
    (vendor / "masked.conf").write_text("[Presence]\nUnit=masked.service\nPath=/m\n")
    (root / "etc/convene/presence.d/masked.conf").symlink_to("/dev/null")
    shown = good("presence", "show", "web@1.service", f"--root={root}", "--json").json
    equal([pathlib.Path(one["file"]).name for one in shown], ["web.conf", "web@1.service.conf"])
    equal(len(good("presence", "show", f"--root={root}", "--json").json), 2)
    assert "Unit=web@1.service" in good("presence", "show", "web@1.service", f"--root={root}").text
    bad(NO_NODE, "no presence", "presence", "show", "masked.service", f"--root={root}")

    good("presence", "disable", "web@1.service", f"--root={root}")
    assert not path.exists()
    bad(NO_NODE, "no such presence", "presence", "disable", "web@1.service", f"--root={root}")
    bad(USAGE, "name of a unit", "presence", "enable", "../x.service", "--path=/x", f"--root={root}")
    bad(USAGE, "--path", "presence", "enable", "x.service", f"--root={root}")
    equal(good("presence", "--json").json, [])
    equal(good("presence").lines[0].split(), ["UNIT", "PATH", "SESSION", "STATE"])


def test_status():
    status = good("status", "--json").json
    equal((status["role"], status["serving"], status["space_available"], status["problems"]),
          ("leader", True, True, []))
    equal((status["leader"], status["member"], len(status["members"])), (1, 1, 1))
    assert status["znodes"] >= 4 and status["sessions"] == 0, status
    assert abs(status["role_since_ms"] / 1000 - time.time()) < 600, status
    equal(status["members"][0]["name"], status["name"])
    text = good("status").text
    assert text.startswith(f"● {status['name']} - leader of an ensemble of 1"), text
    assert f"unix:path={here.agent.socket}" in text and "Serving: yes" in text, text


def test_member():
    members = good("member", "--json").json
    equal([(one["sid"], one["leader"], one["this"], one["role"]) for one in members], [(1, True, True, "voter")])
    name = members[0]["name"]
    equal(good("member", "show", name, "--json").json, members)
    assert name in good("member", "list").lines[1] and "leader" in good("member").lines[1]
    bad(NO_NODE, "no such member", "member", "show", "nobody")


def test_statistics():
    before = good("statistics", "--json").json
    good("create", "/statistics")
    after = good("statistics", "--json").json
    assert after["updates"] == before["updates"] + 1, (before, after)
    equal(list(good("statistics", "updates*", "uptime_use?", "--json").json),
          ["updates", "updates_failed", "uptime_usec"])
    equal(good("statistics", "znodes_now").lines[0].split(), ["NAME", "VALUE"])


def test_sync_ping_checkpoint():
    number = good("create", "/sync", "--json").json["stat"]["czxid"]
    assert int(zxid(), 16) >= int(number, 16)
    assert int(good("sync", "--json").json["zxid"], 16) >= int(number, 16)
    equal(good("ping", "--json").json["serving"], True)
    assert "serving" in good("ping").text
    equal(len(good("ping", "-n2").lines), 2)
    assert int(good("checkpoint").text, 16) >= int(number, 16)


def test_checkpoint_without_room():
    """A limit of file size is no room, too, and whoever runs the tests can set it: the log fits, the checkpoint does not."""
    with tempfile.TemporaryDirectory(prefix="room-", dir=here.work) as name:
        agent = Agent(pathlib.Path(name))
        conf = agent.directory / "convened.conf"
        conf.write_text("[Store]\nSegmentSize=8M\n")
        agent.more = ["--no-system-bus", f"--config={conf}"]
        agent.start()
        try:
            address = f"--address=unix:path={agent.socket}"
            for i in range(12):
                good(address, "create", f"/{i}", "-", stdin=bytes(900_000))
            pid = agent.running.process.pid
            limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (9 << 20, limits[1]))
            for _ in range(2):
                answer = bad(LIMIT, "NoSpace", address, "checkpoint")
                assert b"make room" in answer.err and b"nothing is lost" in answer.err, answer
            good(address, "set", "/0", "goes on")
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
            good(address, "checkpoint")
            equal(good(address, "get", "/0").out.strip(), b"goes on")
            equal(agent.stop(), 0)
        finally:
            agent.running.close()
            agent.journal.close()


def test_command_line():
    equal(good("--help").lines[0], "convenectl [OPTIONS...] COMMAND ...")
    assert "--if-version" in good("set", "--help").text
    assert re.fullmatch(r"convenectl \S+\n", good("--version").text)
    for words in ([], ["frob"], ["get"], ["get", "/a", "/b"], ["--frob"], ["get", "--count=1", "/a"],
                  ["sessions", "frob"], ["get", "--timeout", "/a"], ["--system", "--address=unix:path=/x", "status"]):
        bad(USAGE, "convenectl --help", *words)


def test_unreachable():
    nowhere = {**here.environment, "CONVENE_ADDRESS": "unix:path=/nonexistent/bus"}
    bad(UNREACHABLE, "cannot reach the agent", "status", env=nowhere)
    bad(UNREACHABLE, "cannot reach the agent", "create", "/x", env=nowhere)
    bad(UNREACHABLE, "cannot reach the agent", "watch", "/x", env=nowhere)
    equal(good("--address", f"unix:path={here.agent.socket}", "ping", env=nowhere).status, OK)

    # somebody who accepts and says nothing is given up on
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(here.work / "silent"))
    silent.listen()
    begin = time.monotonic()
    bad(UNREACHABLE, "cannot reach", f"--address=unix:path={here.work}/silent", "--timeout=500ms", "sync")
    assert 0.4 < time.monotonic() - begin < 10
    silent.close()


class Imposter:
    """An agent that takes part up to the first call, and then falls silent or hangs up."""

    def __init__(self, hangs_up):
        self.hangs_up = hangs_up
        self.path = here.work / f"imposter-{hangs_up}"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.play)
        self.thread.start()

    def play(self):
        caller, _ = self.socket.accept()
        with caller:
            while not self.read(caller).endswith(b"BEGIN\r\n"):
                pass
            caller.sendall(b"DATA\r\nOK 00112233445566778899aabbccddeeff\r\nAGREE_UNIX_FD\r\n")
            self.read(caller)               # Hello
            name = b":1.1"
            body = struct.pack("<I", len(name)) + name + b"\0"
            fields = b"\5\1u\0" + struct.pack("<I", 1) + b"\x08\1g\0\1s\0"
            caller.sendall(b"l\2\1\1" + struct.pack("<III", len(body), 1, len(fields)) + fields + b"\0" + body)
            self.read(caller)               # the call
            if not self.hangs_up:
                while caller.recv(4096):
                    pass

    @staticmethod
    def read(caller):
        caller.settimeout(PATIENCE)
        data = caller.recv(4096)
        assert data
        return data

    def ends(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.socket.close()


def test_fate_unknown():
    """An update that was sent and not answered may have been done; a read has not done anything."""
    for hangs_up in (True, False):
        for words, status, mentions in ((["set", "/x", "y"], FATE_UNKNOWN, "FateUnknown"),
                                        (["create", "/x"], FATE_UNKNOWN, "FateUnknown"),
                                        (["get", "/x"], UNREACHABLE, "no answer")):
            imposter = Imposter(hangs_up)
            bad(status, mentions, f"--address=unix:path={imposter.path}", "--timeout=1s", *words)
            imposter.ends()
            imposter.path.unlink()


main(globals())
