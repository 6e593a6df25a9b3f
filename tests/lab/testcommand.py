# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command that runs the lab's tests: each script in a lab of its own, its verdicts one line each."""

import os
import re
import subprocess
import sys
import time

from cgroup import cg
from settings import HERE
from util import Fail

# Fast ones first.  What is not named here comes last, by name.
ORDER = ["boot", "activation", "presence", "gates", "restart", "disk-full", "kill", "power", "ensemble", "singleton", "five",
         "catch-up", "mesh"]
# How many hosts a test has, if not one.
HOSTS = {"ensemble": 3, "singleton": 3, "five": 5, "catch-up": 4, "mesh": 4}
TIME_MAX_SEC = int(os.environ.get("LAB_TEST_SEC", "1200"))
SKIPPED = 77
VERDICT = re.compile(r"(ok|not ok|skip) \S")


def names():
    found = sorted(f[5:-3] for f in os.listdir(HERE) if re.fullmatch(r"test-[a-z0-9-]+\.py", f))
    return sorted(found, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def run(name, env):
    """Pass the script's lines on; say so when it ends badly without a verdict that does.  Returns true if all is well."""
    p = subprocess.Popen(["timeout", "--kill-after=10", str(TIME_MAX_SEC), sys.executable,
                          "%s/test-%s.py" % (HERE, name)], env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True)
    verdicts = {"ok": 0, "not ok": 0, "skip": 0}
    for line in p.stdout:
        m = VERDICT.match(line)
        if m:
            verdicts[m.group(1)] += 1
        sys.stdout.write(line)
        sys.stdout.flush()
    rc = p.wait()
    if not verdicts["not ok"] and (rc or not any(verdicts.values())):
        print("not ok %s: the script exited %d after %d verdicts" % (name, rc, sum(verdicts.values())))
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
    lab = [sys.executable, HERE + "/lab"]
    good = True
    for name in wanted:
        subprocess.run(lab + ["down"], env=env, check=True)
        up = subprocess.run(lab + ["up", str(HOSTS.get(name, 1)), "--quiet", "--tree", a.tree], env=env)
        if up.returncode:
            print("not ok %s: the lab does not come up" % name)
            good = False
            continue
        t0 = time.monotonic()
        good = run(name, env) and good
        print("# %s: %.1f s" % (name, time.monotonic() - t0), flush=True)
        if not a.keep:
            subprocess.run(lab + ["down"], env=env, check=True)
    if not good:
        sys.exit(1)
