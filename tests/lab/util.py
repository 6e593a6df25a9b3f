# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small helpers that know nothing of the lab."""

import ctypes
import os
import subprocess
import sys


CLONE_NEWNS, CLONE_NEWTIME, CLONE_NEWNET = 0x20000, 0x80, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


class Fail(Exception):
    pass


def die(msg, rc=1):
    sys.stderr.write("lab: %s\n" % msg)
    sys.exit(rc)


def check(ret, what):
    if ret != 0:
        e = ctypes.get_errno()
        raise Fail("%s: %s" % (what, os.strerror(e)))


def sh(args, **kw):
    """Run a tool; raise Fail with its words when it fails."""
    p = subprocess.run(args, stdin=None if "input" in kw else subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if p.returncode:
        raise Fail("%s: %s" % (" ".join(args[:6]), (p.stderr or p.stdout).strip()))
    return p.stdout


def read(path, default=None):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        if default is None:
            raise
        return default


def write(path, text, mode=0o644):
    """Write a file whole or not at all."""
    tmp = path + ".new"
    with open(tmp, "w") as f:
        os.fchmod(f.fileno(), mode)
        f.write(text)
    os.rename(tmp, path)


def poke(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
