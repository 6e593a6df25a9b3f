#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does what the README says: starts ./dev run, types the tour's commands, stops the agent and starts it again; then the same
with three members, of which one is killed and comes back.

Uses a directory of its own for the agent's data.  READY_SEC bounds the wait for it, which includes installing packages and
building.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
READY_SEC = float(os.environ.get("READY_SEC", "900"))
BLOCK_SEC = 60
END_SEC = 30


def as_in_a_terminal():
    """Whoever started us in the background had SIGINT ignored, and a shell cannot trap what it finds ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Agent:
    """./dev run in a process group of its own, as in a terminal."""

    def __init__(self, folder, *words):
        self.output = b""
        self.process = subprocess.Popen(["./dev", "run", "--dir", folder, *words], cwd=ROOT, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, start_new_session=True, preexec_fn=as_in_a_terminal)

    def wait_for(self, pattern, seconds):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.output, re.M):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError("no %r within %g s; it said: %r" % (pattern, seconds, self.output))
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError("ended with status %d before %r; it said: %r" %
                                     (self.process.wait(END_SEC), pattern, self.output))
            self.output += data

    def stop(self, how, to_group):
        """Ctrl-C reaches every process of the terminal; systemctl or kill only the one."""
        if to_group:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        status = self.process.wait(END_SEC)
        assert status == 0, "ended with status %d" % status

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def tour():
    """The README's blocks to type, in order."""
    with open(ROOT + "/README.md") as f:
        return re.findall(r"^```sh\n(.*?)^```$", f.read(), re.M | re.S)


def shell(block, folder):
    """A shell that types a block and stops at the first command that fails."""
    script = block.replace("./dev ctl -- ", "./dev ctl --dir %s -- " % folder)
    return subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process, block):
    """What a block printed."""
    try:
        out = process.communicate(timeout=BLOCK_SEC)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("still running after %d s:\n%s" % (BLOCK_SEC, block)) from None
    assert process.returncode == 0, "exit status %d from:\n%s\n%s" % (process.returncode, block, out)
    return out


def type_blocks(blocks, folder):
    """What each block printed.  A block with a watch stays open while the next is typed, as often as the watch needs: a
    person sees that it has begun."""
    said = []
    following = None
    for block in blocks:
        if " watch " in block:
            following = (len(said), shell(block, folder), block)
            said.append("")
            continue
        said.append(finish(shell(block, folder), block))
        if following:
            index, process, text = following
            end = time.monotonic() + BLOCK_SEC
            while process.poll() is None and time.monotonic() < end:
                finish(shell(block, folder), block)
            said[index] = finish(process, text)
            following = None
    return said


def ctl(folder, *words, member=1):
    return subprocess.run(["./dev", "ctl", "--dir", folder, "--member", str(member), "--"] + list(words), cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BLOCK_SEC)


def start_and_tour(folder, agents):
    agents.append(Agent(folder))
    agents[-1].wait_for(rb"^ready.*$", READY_SEC)
    agents[-1].wait_for(rb"^Ctrl-C ends the agent", END_SEC)
    blocks = tour()
    assert len(blocks) >= 5, "the README's tour is gone"
    said = type_blocks(blocks, folder)
    assert "world" in said[0] and "color" in said[0], said[0]
    assert said[1].count("/hello") >= 2, said[1]
    inside, _, after = said[3].rpartition("worker")
    assert inside and "config" in after, "the ephemeral was not there, or stayed: %r" % said[3]
    assert sorted(os.listdir(folder + "/m1")) == ["bus", "data", "pid"], os.listdir(folder + "/m1")
    agents[-1].stop(signal.SIGINT, True)


def start_again(folder, agents):
    for agent in agents:
        agent.kill()
    agents.append(Agent(folder))
    agents[-1].wait_for(rb"^ready.*$", READY_SEC)
    for path, data in (("/hello", "all"), ("/together", "or nothing"), ("/app/config/color", "blue")):
        p = ctl(folder, "get", path)
        assert p.returncode == 0 and data in p.stdout, (path, p.stdout)
    p = ctl(folder, "get", "/app/worker")
    assert p.returncode == 3, "an ephemeral came back: %r" % p.stdout
    pid = int(open(folder + "/m1/pid").read())
    assert pid == agents[-1].process.pid, "the pid file names %d, ./dev run is %d" % (pid, agents[-1].process.pid)
    agents[-1].stop(signal.SIGTERM, False)
    assert not os.path.exists("/proc/%d" % pid), "the agent outlives ./dev run"


def pids_in(folder, *members):
    return [int(open("%s/m%d/pid" % (folder, k)).read()) for k in members]


def gone(pids):
    return not any(os.path.exists("/proc/%d" % pid) for pid in pids)


def three_members(folder, agents):
    folder += "/three"
    agents.append(Agent(folder, "--members", "3"))
    agents[-1].wait_for(rb"^ready: 3 members", READY_SEC)
    agents[-1].wait_for(rb"^Ctrl-C ends the agents", END_SEC)
    assert ctl(folder, "create", "/hello", "world").returncode == 0
    for k in (2, 3):
        p = ctl(folder, "get", "--linearizable", "/hello", member=k)
        assert p.returncode == 0 and "world" in p.stdout, (k, p.stdout)

    os.kill(pids_in(folder, 1)[0], signal.SIGKILL)
    agents[-1].wait_for(rb"^m1 ended with status 137", END_SEC)
    p = ctl(folder, "set", "/hello", "again", member=2)
    assert p.returncode == 0, p.stdout
    agents.append(Agent(folder, "--member", "1"))
    agents[-1].wait_for(rb"^ready.*$", READY_SEC)
    p = ctl(folder, "get", "--linearizable", "/hello", member=1)
    assert p.returncode == 0 and "again" in p.stdout, p.stdout
    agents[-1].stop(signal.SIGTERM, False)
    pids = pids_in(folder, 2, 3)
    agents[-2].stop(signal.SIGINT, True)
    assert gone(pids), "agents outlive ./dev run"


def three_again(folder, agents):
    folder += "/three"
    agents.append(Agent(folder))
    agents[-1].wait_for(rb"^ready: 3 members", READY_SEC)
    p = ctl(folder, "get", "/hello", member=3)
    assert p.returncode == 0 and "again" in p.stdout, p.stdout
    pids = pids_in(folder, 1, 2, 3)
    agents[-1].stop(signal.SIGTERM, False)
    assert gone(pids), "agents outlive ./dev run"


def main():
    folder, agents, failed = tempfile.mkdtemp(prefix="convene-readme-"), [], False
    try:
        for name, step in (("dev-run-and-tour", start_and_tour), ("dev-run-again", start_again),
                           ("dev-run-three", three_members), ("dev-run-three-again", three_again)):
            try:
                step(folder, agents)
                print("ok %s" % name, flush=True)
            except (AssertionError, OSError, subprocess.SubprocessError) as e:
                failed = True
                print("not ok %s: %s" % (name, str(e).replace("\n", "\n    ")), flush=True)
    finally:
        for agent in agents:
            agent.kill()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
