# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the lab's test scripts share: cases with verdicts, a way into a host, waiting for a state, and time on its clock.

A script is run by "lab test" with a new lab of one host h1 (or more: HOSTS in testcommand.py) that has convene installed.
It prints "ok NAME", "not ok NAME: why" or "skip NAME: why" for each case.

LAB_CASES: of all cases only these, by the words of their names; for one that is looked into, with those that it builds on.
"""

import json
import os
import re
import select
import subprocess
import sys
import time

from settings import HERE
from state import leader
from util import Fail

LAB = [sys.executable, HERE + "/lab"]
COMMAND_SEC = 60
SOCKET = "unix:path=/run/convene/bus"
CASES = []


class Skip(Exception):
    pass


def case(function):
    CASES.append(function)
    return function


def install(host):
    """What a package's installation does beside putting files in place."""
    for command in (("systemctl", "enable", "--now", "convened.socket"), ("journalctl", "--update-catalog")):
        subprocess.run(words(command, host), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=COMMAND_SEC)


def main(prefix, hosts=("h1",)):
    """Run the cases in the order they are written, each whether or not the ones before it held."""
    failed = False
    wanted = os.environ.get("LAB_CASES", "").split()
    install("h1")
    for function in CASES:
        case_name = function.__name__.replace("_", "-")
        if wanted and case_name not in wanted:
            continue
        name = "%s/%s" % (prefix, case_name)
        try:
            function()
            print("ok " + name, flush=True)
        except Skip as e:
            print("skip %s: %s" % (name, e), flush=True)
        except (AssertionError, OSError, ValueError, LookupError, Fail, subprocess.SubprocessError) as e:
            failed = True
            print("not ok %s: %s: %s" % (name, type(e).__name__, str(e).strip().replace("\n", "\n    ")), flush=True)
            for host in hosts:
                journal(host, 25 if len(hosts) == 1 else 12)
    sys.exit(failed)


def journal(host="h1", lines=25):
    """The end of the agent's journal, indented, so that no line of it looks like a verdict."""
    p = subprocess.run(LAB + ["journal", host, "convened.service", "--", "-n", str(lines), "-o", "short-monotonic"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_SEC)
    print("".join("    | %s: %s\n" % (host, line) for line in p.stdout.splitlines()), end="", flush=True)


def lab(*args):
    p = subprocess.run(LAB + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=COMMAND_SEC * 3)
    assert p.returncode == 0, "lab %s: %s" % (" ".join(args[:3]), p.stdout)
    return p.stdout


def words(command, host="h1", user=None):
    return LAB + ["exec"] + (["--user", user] if user else []) + [host, "--"] + list(command)


def run(*command, host="h1", user=None, status=0, stdin=None):
    """Run a command in a host and return what it printed; STATUS None takes any exit status."""
    p = subprocess.run(words(command, host, user), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=COMMAND_SEC)
    assert status is None or p.returncode == status, "%s: exit status %d: %s" % (
        " ".join(command), p.returncode, (p.stderr or p.stdout).strip())
    return p.stdout


def status_of(*command, host="h1", user=None):
    return subprocess.run(words(command, host, user), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=COMMAND_SEC).returncode


def ctl(*args, host="h1", user=None, status=0):
    return run("convenectl", *args, host=host, user=user, status=status)


def ctl_json(*args, host="h1", user=None):
    return json.loads(ctl("--json", *args, host=host, user=user))


def facts(*paths, host="h1"):
    """The stats of znodes, a dictionary each."""
    return [entry["stat"] for entry in ctl_json("stat", *paths, host=host)]


def exists(path, host="h1"):
    """Exit status 3 says that there is no such znode; anything else but 0 is a failure."""
    rc = status_of("convenectl", "stat", path, host=host)
    assert rc in (0, 3), "convenectl stat %s: exit status %d" % (path, rc)
    return rc == 0


def show(unit, *names, host="h1"):
    """Properties of a unit, as a dictionary."""
    out = run("systemctl", "show", unit, *["--property=" + name for name in names], host=host)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def state(unit, host="h1"):
    return show(unit, "ActiveState", host=host)["ActiveState"]


def wait(what, condition, seconds=10.0):
    """Poll until CONDITION holds, and return what it gave; a state is waited for, never a time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "not within %g s: %s" % (seconds, what)
        time.sleep(0.01)


def clock_offset(host="h1"):
    """Seconds by which CLOCK_MONOTONIC of a host differs from ours."""
    with open("/proc/%d/timens_offsets" % leader(host)) as f:
        for line in f:
            clock, sec, nsec = line.split()
            if clock == "monotonic":
                return int(sec) + int(nsec) / 1e9
    return 0.0


def stamp(unit, name, host="h1"):
    """A monotonic timestamp of a unit (such as InactiveEnter) on our CLOCK_MONOTONIC, in seconds; 0 if there is none."""
    usec = int(show(unit, name + "TimestampMonotonic", host=host)[name + "TimestampMonotonic"])
    return usec / 1e6 - clock_offset(host) if usec else 0.0


class Watch:
    """convenectl watch in a host: its events, each with the instant at which it was printed."""

    def __init__(self, path, host="h1"):
        self.buffer, self.events = b"", []
        self.process = subprocess.Popen(words(["convenectl", "--json", "watch", "--recursive", path], host),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def read(self, seconds):
        """Take in what is there, waiting for at most SECONDS if nothing is."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return
        data = os.read(self.process.stdout.fileno(), 65536)
        now = time.monotonic()
        assert data, "convenectl watch ended with status %s" % self.process.wait(COMMAND_SEC)
        self.buffer += data
        *whole, self.buffer = self.buffer.split(b"\n")
        self.events += [(now, json.loads(line)) for line in whole if line]

    def wait_for(self, what, match, since=0.0, seconds=10.0):
        """The instant of the first event after SINCE that MATCH(event) likes."""
        end = time.monotonic() + seconds
        while True:
            for at, event in self.events:
                if at >= since and match(event):
                    return at
            left = end - time.monotonic()
            assert left > 0, "not within %g s: %s; events: %s" % (seconds, what, self.events[-5:])
            self.read(left)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def count(name, default):
    """How often, unless the environment says otherwise: LAB_KILLS=500 for a long run of the test "kill"."""
    value = os.environ.get(name, "")
    assert re.fullmatch(r"\d*", value), "%s=%s is no number" % (name, value)
    return int(value or default)
