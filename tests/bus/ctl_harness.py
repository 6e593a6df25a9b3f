# SPDX-License-Identifier: LGPL-2.1-or-later
#
# ctl_harness.py - runs convenectl against a real agent on its local socket, for test-ctl-*.py
#
# A test is a function test_*() of the module that calls main(); paths in the tree are its own.  It fails by an
# exception.
#
# usage of each: test-ctl-*.py CONVENED CONVENECTL COMPLETION_DIRECTORY [test_NAME...]

import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True

CONVENED, CONVENECTL, COMPLETION = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
PATIENCE = 20           # seconds that anything may take
NOBODY = 65534

OK, FAILURE, USAGE, NO_NODE, CONFLICT, ACCESS, UNREACHABLE, LIMIT, SESSION, FATE_UNKNOWN, HISTORY_GONE = range(11)


BROKER_CONFIGURATION = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class Skip(Exception):
    pass


class Running:
    """A process whose output is read line by line, with patience."""

    def __init__(self, argv, **more):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, **{"stderr": subprocess.PIPE, **more})
        self.rest = {"stdout": b"", "stderr": b""}

    def line(self, stream="stdout"):
        pipe = getattr(self.process, stream)
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.rest[stream]:
            ready, _, _ = select.select([pipe], [], [], max(0, end - time.monotonic()))
            chunk = os.read(pipe.fileno(), 65536) if ready else b""
            assert chunk, f"no line on {stream} of {self.process.args}, only {self.rest}; {self.complaint()}"
            self.rest[stream] += chunk
        line, self.rest[stream] = self.rest[stream].split(b"\n", 1)
        return line.decode()

    def complaint(self):
        """What there is on standard error."""
        pipe = self.process.stderr
        return os.read(pipe.fileno(), 65536) if pipe and select.select([pipe], [], [], 0)[0] else b""

    def kill(self, number):
        self.process.send_signal(number)

    def end(self):
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Agent:
    program = CONVENED

    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "bus"
        self.more = ["--no-system-bus"]
        self.journal = open(directory / "journal", "wb")
        self.running = None

    def start(self):
        self.running = Running([self.program, "--data", str(self.directory / "data"), "--socket", str(self.socket),
                                "--print-ready", *self.more], stderr=self.journal)
        try:
            assert self.running.line().startswith("ready")
        except AssertionError as error:
            raise AssertionError(f"the agent does not start: {self.last_words()}") from error

    def last_words(self):
        return (self.directory / "journal").read_text(errors="replace")[-1000:]

    def stop(self, number=signal.SIGTERM):
        self.running.kill(number)
        status = self.running.end()
        self.running.close()
        return status


class Answer:
    def __init__(self, run):
        self.status, self.out, self.err = run.returncode, run.stdout, run.stderr

    @property
    def text(self):
        return self.out.decode()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.text.splitlines()

    def __repr__(self):
        return f"exit {self.status}, {self.out[:500]!r}, {self.err[:500]!r}"


# of the run: set once by main(), so that "from ctl_harness import *" is no use for them
class Here:
    agent = None
    work = None                 # a directory that others may enter
    environment = None


here = Here()


def command(*words):
    return [str(here.work / "convenectl"), *words]


def free_port():
    """Not of the range that the kernel hands out by itself, so that it is still free when a member is started again."""
    while True:
        with socket.socket() as s:
            port = random.randrange(20000, 32000)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def ctl(*words, stdin=b"", **more):
    return Answer(subprocess.run(command(*words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 timeout=2 * PATIENCE, env=more.pop("env", here.environment), **more))


def good(*words, **more):
    answer = ctl(*words, **more)
    assert answer.status == OK, f"{words}: {answer}"
    return answer


def bad(status, mentions, *words, **more):
    """Ends with this status, one line on stderr, and nothing on stdout unless asked for JSON."""
    answer = ctl(*words, **more)
    assert answer.status == status, f"{words}: {answer}"
    lines = answer.err.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("convenectl: ") and mentions in lines[0], f"{words}: {answer}"
    return answer


def running(*words, **more):
    return Running(command(*words), env=here.environment, **more)


def equal(a, b):
    assert a == b, f"{a!r} is not {b!r}"


def zxid():
    return good("sync").text.strip()


def wait_until(condition, what):
    """The condition's value, once it is true."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not in {PATIENCE} s: {what}"
        time.sleep(0.01)


def main(names):
    """Runs the tests among these names (a module's globals()) and prints TAP."""
    tests = [(name, function) for name, function in names.items() if name.startswith("test_")]
    only = sys.argv[4:]
    tests = [(name, function) for name, function in tests if not only or name in only]
    failures = 0

    with tempfile.TemporaryDirectory(prefix="convene-ctl-") as directory:
        here.work = pathlib.Path(directory)
        here.work.chmod(0o755)               # for the tests that are somebody else
        shutil.copy(CONVENECTL, here.work / "convenectl")
        here.agent = Agent(here.work)
        here.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": directory,
                       "CONVENE_ADDRESS": f"unix:path={here.agent.socket}"}
        here.environment.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
        here.agent.start()
        print(f"1..{len(tests)}", flush=True)
        try:
            for i, (name, function) in enumerate(tests, 1):
                title = name[len("test_"):].replace("_", " ")
                try:
                    function()
                    print(f"ok {i} - {title}", flush=True)
                except Skip as why:
                    print(f"ok {i} - {title} # SKIP {why}", flush=True)
                except Exception:
                    failures += 1
                    print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
                    print(f"not ok {i} - {title}", flush=True)
                    if here.agent.running.process.poll() is not None:
                        for line in here.agent.last_words().splitlines():
                            print(f"# {line}", flush=True)
                        here.agent.start()
        finally:
            if here.agent.running.process.poll() is None:
                equal(here.agent.stop(), 0)
    sys.exit(1 if failures else 0)
