#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guard of a leader unit, without an agent and without systemd: a leader file, and a socket for what it notifies.

    test-guard.py GUARD
"""

import ctypes
import mmap
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

GUARD = sys.argv[1]
NAME = "myapp@blue"
PATIENCE = 20
HEADER = struct.Struct("=8sIIQQ224s")
LOST, PROBLEM, USAGE, PASSED, NOT_LEADING = 0, 1, 64, 75, 77
DAY = 24 * 3600


def now():
    """CLOCK_BOOTTIME, in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Leadership:
    """The files of one election, in a directory of its own, and the guard."""

    def __init__(self, seconds, **fields):
        self.directory = tempfile.TemporaryDirectory(prefix="convene-guard-")
        self.file = pathlib.Path(self.directory.name, NAME)
        self.file.write_bytes(self.content(seconds, **fields))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.directory.name + "/notify")
        self.socket.settimeout(PATIENCE)
        self.process = None

    def content(self, seconds, magic=b"cnvlead1", version=1, size=HEADER.size, name=NAME):
        return HEADER.pack(magic, version, size, now() + int(seconds * 1000000), 77, name.encode())

    def renew(self, seconds):
        with self.file.open("r+b") as f, mmap.mmap(f.fileno(), HEADER.size) as m:
            ctypes.c_uint64.from_buffer(m, 16).value = now() + int(seconds * 1000000)

    def start(self, *words, watchdog=None):
        environment = {"NOTIFY_SOCKET": self.directory.name + "/notify", "PATH": os.environ["PATH"]}
        environment.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1000000))
        self.process = subprocess.Popen([GUARD, *(words or [NAME, self.directory.name])], env=environment, stderr=subprocess.PIPE)
        return self

    def heard(self, wanted):
        """Waits until it says this; what else it said before."""
        before = []
        while True:
            said = self.socket.recv(4096).decode().splitlines()
            if wanted in said:
                return before, said
            before += said

    def begun(self):
        before, said = self.heard("READY=1")
        assert "STATUS=This host leads %s, token 77" % NAME in said, said
        return self

    def runs(self):
        return self.process.poll() is None

    def ends(self, status, mentions=""):
        got = self.process.wait(PATIENCE)
        text = self.process.stderr.read().decode()
        assert got == status, (got, text)
        assert mentions in text, text

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self.process and self.runs():
            self.process.kill()
            self.process.wait()
        if self.process:
            self.process.stderr.close()
        self.socket.close()
        self.directory.cleanup()


def test_export():
    """A number and a name, for root's eyes; nothing of a file that is no leader file, or that is somewhere else."""
    with Leadership(10) as l:
        out = pathlib.Path(l.directory.name, "out")
        words = ["--export", NAME, l.directory.name, str(out)]
        l.start(*words).ends(0)
        assert (out / (NAME + ".env")).read_text() == f"CONVENE_TOKEN=77\nCONVENE_ELECTION='{NAME}'\n"
        assert (out / (NAME + ".token")).read_text() == "77"
        assert (out / (NAME + ".env")).stat().st_mode & 0o777 == 0o600
        l.file.write_bytes(b"LD_PRELOAD=/tmp/x.so".ljust(HEADER.size, b"\0"))
        l.start(*words).ends(PROBLEM)
        l.file.unlink()
        l.file.symlink_to("/etc/passwd")
        l.start(*words).ends(PROBLEM)
        assert (out / (NAME + ".token")).read_text() == "77"
        l.start("--export", NAME, l.directory.name).ends(USAGE)


def test_deadline_passes():
    with Leadership(0.3) as one:
        begun = time.clock_gettime(time.CLOCK_BOOTTIME)
        one.start().begun()
        one.ends(PASSED, "was not renewed in time")
        assert time.clock_gettime(time.CLOCK_BOOTTIME) - begun >= 0.25


def test_deadline_is_renewed():
    with Leadership(0.5) as one:
        one.start().begun()
        end = now() + 1500000
        while now() < end:
            one.renew(0.5)
            assert one.runs()
            time.sleep(0.05)
        one.ends(PASSED)


def test_deadline_comes_nearer():
    """The timer is set for what it was: whoever wants it sooner removes the file."""
    with Leadership(30) as one:
        one.start().begun()
        one.file.unlink()
        one.ends(LOST, "does not lead")


def test_file_is_replaced():
    with Leadership(30) as one:
        one.start().begun()
        other = one.file.with_name("other")
        other.write_bytes(one.content(60))
        other.rename(one.file)
        one.ends(LOST, "does not lead")


def test_other_files_are_others():
    with Leadership(30) as one:
        one.start(watchdog=0.2).begun()
        other = one.file.with_name("other")
        other.write_bytes(b"x")
        other.unlink()
        one.heard("WATCHDOG=1")
        one.heard("WATCHDOG=1")
        assert one.runs()


def test_directory_is_removed():
    with Leadership(30) as one:
        one.start().begun()
        for file in pathlib.Path(one.directory.name).iterdir():
            file.unlink()
        one.ends(LOST)


def test_terminated():
    with Leadership(30) as one:
        one.start().begun()
        one.process.send_signal(signal.SIGTERM)
        one.heard("STOPPING=1")
        one.ends(LOST)


def test_watchdog():
    """Stopped, it says nothing, so that systemd kills it; going on again, it finds the deadline passed."""
    with Leadership(1.5) as one:
        one.start(watchdog=0.4).begun()
        for _ in range(3):
            one.heard("WATCHDOG=1")
        one.process.send_signal(signal.SIGSTOP)
        os.waitpid(one.process.pid, os.WUNTRACED)
        one.socket.setblocking(False)
        try:
            while True:
                one.socket.recv(4096)
        except BlockingIOError:
            pass
        one.socket.settimeout(2)
        try:
            assert not one.socket.recv(4096), "a stopped process does not speak"
        except socket.timeout:
            pass
        one.process.send_signal(signal.SIGCONT)
        one.ends(PASSED)


def refused(status, mentions, seconds=30, **fields):
    with Leadership(seconds, **fields) as one:
        one.start().ends(status, mentions)


def test_not_leading():
    refused(NOT_LEADING, "has passed", seconds=-1)
    with Leadership(30) as one:
        one.file.unlink()
        one.start().ends(NOT_LEADING, "No such file")


def test_bad_files():
    refused(PROBLEM, "no leader file", magic=b"cnvlead2")
    refused(PROBLEM, "another version", version=2)
    refused(PROBLEM, "another version", size=HEADER.size + 8)
    refused(PROBLEM, "another election", name="myapp")
    refused(PROBLEM, "more than a day", seconds=2 * DAY)
    for content in (b"", b"x", b"x" * 100000):
        with Leadership(30) as one:
            one.file.write_bytes(content)
            one.start().ends(PROBLEM, "another size")


def test_bad_kinds_of_file():
    with Leadership(30) as one:
        one.file.rename(one.file.with_name("real"))
        one.file.symlink_to("real")
        one.start().ends(PROBLEM)
    with Leadership(30) as one:
        one.file.unlink()
        os.mkfifo(one.file)
        one.start().ends(PROBLEM, "not a regular file")
    if os.geteuid() == 0:
        with Leadership(30) as one:
            os.chown(one.file, 65534, 65534)
            one.start().ends(PROBLEM, "another user")


def test_bad_names():
    for name in ("", "..", "../x", "a/b", "a%n", "-x", "x.env", "a" * 225):
        with Leadership(30) as one:
            one.start(name, one.directory.name).ends(USAGE, "usage:")


def main():
    tests = [(name, function) for name, function in globals().items() if name.startswith("test_")]
    failures = 0
    print(f"1..{len(tests)}", flush=True)
    for i, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {i} - {name[5:].replace('_', ' ')}", flush=True)
        except Exception:
            failures += 1
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"not ok {i} - {name[5:].replace('_', ' ')}", flush=True)
    sys.exit(1 if failures else 0)


main()
