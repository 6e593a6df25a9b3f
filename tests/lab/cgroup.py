# SPDX-License-Identifier: LGPL-2.1-or-later
"""Control groups: one directory per lab, one child per host.

In cgroup v2 and, where it is mounted, in the v1 name=systemd hierarchy that nspawn wants beside it.  Everything a lab
makes in the kernel is held by processes in here only, so killing the group removes all of it.
"""

import errno
import os
import signal
import time

from settings import NAME
from util import Fail, poke, read


def cgroup_mounts():
    v2, v1 = None, []
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        point, fs, opts = left.split()[4], right.split()[0], right.split()[2].split(",")
        if fs == "cgroup2" and v2 is None:
            v2 = point
        elif fs == "cgroup" and "name=systemd" in opts:
            v1.append(point)
        elif fs == "cgroup" and os.environ.get("LAB_V1") and \
                set(opts) & set(os.environ["LAB_V1"].split(",")):
            v1.append(point)
    if v2 is None:
        raise Fail("no cgroup v2 hierarchy is mounted")
    return v2, v1


def cg(name=""):
    return os.path.join(cgroup_mounts()[0], NAME, name).rstrip("/")


def cg_join(name, pid=0):
    v2, v1 = cgroup_mounts()
    for root in [v2] + v1:
        d = os.path.join(root, NAME, name)
        os.makedirs(d, exist_ok=True)
        poke(d + "/cgroup.procs", "%d" % pid)


def cg_delegate(name):
    """On a machine where v2 has controllers, hand them down.  Best effort."""
    v2 = cgroup_mounts()[0]
    d = v2
    for part in [""] + [NAME] + ([name] if name else []):
        d = os.path.join(d, part).rstrip("/")
        os.makedirs(d, exist_ok=True)
        for c in read(d + "/cgroup.controllers", "").split():
            if c in ("memory", "pids", "cpu", "io"):
                try:
                    poke(d + "/cgroup.subtree_control", "+" + c)
                except OSError:
                    pass


def cg_event(name, key):
    for line in read(cg(name) + "/cgroup.events", "").splitlines():
        k, v = line.split()
        if k == key:
            return v == "1"
    return False


def cg_wait(name, key, value, limit=10.0):
    end = time.monotonic() + limit
    while cg_event(name, key) != value:
        if time.monotonic() > end:
            raise Fail("cgroup %s: %s did not become %d" % (name or NAME, key, value))
        time.sleep(0.002)


def cg_procs(name):
    pids = []
    for d, _, _ in os.walk(cg(name)):
        pids += [int(p) for p in read(d + "/cgroup.procs", "").split()]
    return pids


def cg_kill(name=""):
    """Kill every process in the lab's own cgroup, at once, and remove the cgroup."""
    d = cg(name)
    if os.path.isdir(d):
        if os.path.exists(d + "/cgroup.kill"):
            poke(d + "/cgroup.kill", "1")
        else:                           # before Linux 5.14
            while cg_event(name, "populated"):
                for p in cg_procs(name):
                    try:
                        os.kill(p, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        cg_wait(name, "populated", False)
    v2, v1 = cgroup_mounts()
    for root in [v2] + v1:
        for d, _, _ in os.walk(os.path.join(root, NAME, name).rstrip("/"), topdown=False):
            for _ in range(100):
                try:
                    os.rmdir(d)
                    break
                except OSError as e:
                    if e.errno != errno.EBUSY:
                        break
                    time.sleep(0.01)
