# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that runs the lab's tests: each script in a lab of its own, its verdicts one line each."""

import collections
import os
import re
import subprocess
import sys
import threading
import time

from cgroup import cg
from settings import HERE
from util import Fail

# Fast ones first.  What is not named here comes last, by name.
ORDER = ["boot", "activation", "presence", "gates", "restart", "disk-full", "kill", "power", "ensemble", "singleton", "waiters",
         "examples", "five", "catch-up", "mesh"]
# How many hosts a test has, if not one.
HOSTS = {"ensemble": 3, "singleton": 3, "waiters": 3, "examples": 3, "five": 5, "catch-up": 4, "mesh": 4}
TIME_MAX_SEC = int(os.environ.get("LAB_TEST_SEC", "1200"))
SKIPPED = 77
output = threading.Lock()
VERDICT = re.compile(r"(ok|not ok|skip) \S")


def names():
    found = sorted(f[5:-3] for f in os.listdir(HERE) if re.fullmatch(r"test-[a-z0-9-]+\.py", f))
    return sorted(found, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def say(line):
    with output:
        sys.stdout.write(line)
        sys.stdout.flush()


def run(name, env, tell):
    """Pass the script's lines on; say so when it ends badly without a verdict that does.  Returns true if all is well."""
    p = subprocess.Popen(["timeout", "--kill-after=10", str(TIME_MAX_SEC), sys.executable,
                          "%s/test-%s.py" % (HERE, name)], env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True)
    verdicts = {"ok": 0, "not ok": 0, "skip": 0}
    for line in p.stdout:
        m = VERDICT.match(line)
        if m:
            verdicts[m.group(1)] += 1
        tell(line)
    rc = p.wait()
    if not verdicts["not ok"] and (rc or not any(verdicts.values())):
        tell("not ok %s: the script exited %d after %d verdicts\n" % (name, rc, sum(verdicts.values())))
        return False
    return not verdicts["not ok"]


def unable():
    """What this machine withholds that every host needs, or None.  In a container that is a reason to skip, not to fail."""
    try:
        there = os.path.isdir(cg())
        os.makedirs(cg(), exist_ok=True)
        if not there:
            os.rmdir(cg())
    except (Fail, OSError) as e:
        return "no cgroup can be made: %s" % e
    for what, command in (("no mount and network namespaces", ["unshare", "--mount", "--net", "true"]),
                          ("no loop device", ["losetup", "--find"])):
        p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if p.returncode:
            return "%s: %s" % (what, p.stderr.strip())
    return None


def one(name, env, tree, keep, tell):
    """A test in a lab of its own, from the first boot to the end."""
    lab = [sys.executable, HERE + "/lab"]
    subprocess.run(lab + ["down"], env=env, check=True)
    up = subprocess.run(lab + ["up", str(HOSTS.get(name, 1)), "--quiet", "--tree", tree], env=env)
    if up.returncode:
        tell("not ok %s: the lab does not come up\n" % name)
        return False
    t0 = time.monotonic()
    good = run(name, env, tell)
    tell("# %s: %.1f s\n" % (name, time.monotonic() - t0))
    if not keep:
        subprocess.run(lab + ["down"], env=env, check=True)
    return good


def two_lanes(wanted, env, tree, keep):
    """Hosts mostly wait: one lane takes tests from the front, one from the back.  What each says comes in one piece."""
    left, results = collections.deque(wanted), {}

    def lane(directory, take):
        own = dict(env, LAB_DIR=directory)
        while True:
            try:
                name = take()
            except IndexError:
                return
            lines = []
            results[name] = False
            try:
                results[name] = one(name, own, tree, keep, lines.append)
            except (Fail, OSError, subprocess.SubprocessError) as e:
                lines.append("not ok %s: %s\n" % (name, e))
            say("".join(lines))

    back = threading.Thread(target=lane, args=(env["LAB_DIR"] + "-2", left.pop))
    back.start()
    lane(env["LAB_DIR"], left.popleft)
    back.join()
    return all(results.values())


def cmd_test(a):
    wanted = a.names or names()
    for name in wanted:
        if name not in names():
            raise Fail("no test %s (have: %s)" % (name, " ".join(names())))
    if not a.tree or not os.path.isfile(a.tree + "/usr/lib/convene/convened"):
        raise Fail("lab test needs --tree DESTDIR with convene installed in it (./dev lab test does that)")
    why = unable()
    if why:
        print("skip all: no hosts can be booted here: " + why)
        sys.exit(SKIPPED)
    env = dict(os.environ)
    env.setdefault("LAB_DIR", "/var/tmp/convene-lab-test")
    env["LAB_TREE"] = os.path.abspath(a.tree)
    if len(wanted) > 1 and not a.keep:
        # what all hosts stand on is made by the first
        good = one(wanted[0], env, a.tree, a.keep, say)
        good = two_lanes(wanted[1:], env, a.tree, a.keep) and good
    else:
        good = all([one(name, env, a.tree, a.keep, say) for name in wanted])
    if not good:
        sys.exit(1)
