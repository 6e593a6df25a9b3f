# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes that outlive the command that starts them, and ways into a host."""

import os
import signal

from cgroup import cg_join
from util import Fail, sh


def spawn(cgroup, log, body):
    """Fork a process that outlives us; it joins its cgroup first and must exec.
    Returns its pid once it has exec'd; raises Fail when body did."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            os.setsid()
            if os.fork():
                os._exit(0)
            os.write(w, b"%d\n" % os.getpid())
            cg_join(cgroup)
            n = os.open("/dev/null", os.O_RDONLY)
            o = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(n, 0); os.dup2(o, 1); os.dup2(o, 2)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            body()
        except BaseException as e:
            os.write(w, ("%s" % e).encode())
        os._exit(1)
    os.close(w)
    os.waitpid(pid, 0)
    return r


def spawned(r):
    data = b""
    while True:
        b = os.read(r, 4096)
        if not b:
            break
        data += b
    os.close(r)
    pid, _, err = data.decode().partition("\n")
    if err or not pid:
        raise Fail(err or "could not start a process")
    return int(pid)


def nse(pid, *args, **kw):
    return sh(["nsenter", "-t", str(pid), "-n"] + list(args), **kw)


def enter(pid):
    return ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "-C", "-T", "-r", "-w", "--"]
