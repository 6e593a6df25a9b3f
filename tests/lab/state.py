# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a lab remembers on disk, and which of its hosts are alive."""

import fcntl
import json
import os
import re

from cgroup import cg_procs
from settings import LAB_DIR, NAME, STORE
from util import Fail, read, write


def hdir(h, *rest):
    return os.path.join(LAB_DIR, "hosts", h, *rest)


def image(h):
    return os.path.join(STORE, "hosts", h, "disk.img")


def load(name, default):
    try:
        return json.loads(read(os.path.join(LAB_DIR, name)))
    except (OSError, ValueError):
        return default


def save(name, obj):
    write(os.path.join(LAB_DIR, name), json.dumps(obj, indent=1) + "\n")


def config():
    c = load("lab.json", None)
    if not c:
        raise Fail("no lab in %s (lab up)" % LAB_DIR)
    return c


def hosts():
    return ["h%d" % i for i in range(1, load("lab.json", {"n": 0})["n"] + 1)]


def host(h, running=None):
    if h not in hosts():
        raise Fail("no host %s (have: %s)" % (h, " ".join(hosts()) or "none"))
    if running is not None and bool(leader(h)) != running:
        raise Fail("%s is %s" % (h, "running" if leader(h) else "down"))
    return h


def pidfile(h):
    """The supervisor this lab recorded, if it is still that process."""
    try:
        pid, start = read(hdir(h, "pid")).split()
        if stat_start(int(pid)) == start and NAME in read("/proc/%s/cgroup" % pid):
            return int(pid)
    except (OSError, ValueError, IndexError):
        pass
    return 0


def stat_start(pid):
    return read("/proc/%d/stat" % pid).rpartition(")")[2].split()[19]


def leader(h):
    """PID 1 of the host, as seen from here: the supervisor's child that is 1 inside."""
    sup = pidfile(h)
    if not sup:
        return 0
    for p in cg_procs(h):
        st = read("/proc/%d/status" % p, "")
        if re.search(r"^PPid:\t%d$" % sup, st, re.M) and re.search(r"^NSpid:.*\t1$", st, re.M):
            return p
    return 0


def holder():
    try:
        pid, start = read(os.path.join(LAB_DIR, "switch.pid")).split()
        if stat_start(int(pid)) == start and NAME in read("/proc/%s/cgroup" % pid):
            return int(pid)
    except (OSError, ValueError, IndexError):
        pass
    return 0


class Lock:
    def __enter__(self):
        os.makedirs(LAB_DIR, exist_ok=True)
        while True:
            self.fd = os.open(LAB_DIR + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            try:                        # "lab down" may have removed it meanwhile
                if os.stat(LAB_DIR + "/lock").st_ino == os.fstat(self.fd).st_ino:
                    return self
            except FileNotFoundError:
                os.makedirs(LAB_DIR, exist_ok=True)
            os.close(self.fd)

    def __exit__(self, *a):
        os.close(self.fd)
