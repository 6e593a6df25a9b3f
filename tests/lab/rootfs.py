# SPDX-License-Identifier: LGPL-2.1-or-later
"""The read-only root file system that all hosts share: Debian 12 with what convene and its tests need.

It lies in a cache under a name made from all that goes into it, so a changed list is a new file system, and a running lab
keeps the one it was started with.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

from settings import CACHE
from util import Fail, sh

SUITE = "bookworm"
PACKAGES = """systemd systemd-sysv libnss-systemd dbus polkitd procps iproute2
libglib2.0-0 libjson-c5 liblmdb0 libssl3 libxxhash0
nginx-light redis-server cron openssl strace""".split()

# Manuals and locales are about 90 MB to read that no test needs.
EXCLUDE = ["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/i18n/*"]

# An ordinary user; and the services under test start when a test says so.
CUSTOMIZE = r"""
chroot "$1" useradd --uid 1000 --create-home --shell /bin/sh alice
chroot "$1" systemctl disable nginx.service redis-server.service cron.service
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/etc/machine-id
: >"$1/etc/machine-id"
"""


def default():
    """The file system for the lists above, built or not."""
    text = repr((SUITE, PACKAGES, EXCLUDE, CUSTOMIZE))
    return os.environ.get("LAB_ROOTFS", "%s/rootfs-%s" % (CACHE, hashlib.sha256(text.encode()).hexdigest()[:12]))


def sources():
    """This machine's own apt sources that hold SUITE, for they are the ones it can reach; none: mmdebstrap's choice."""
    form = "$(ORIGIN) deb $(SITE) $(RELEASE) $(COMPONENT)"
    lines = sh(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines()
    return sorted({line.split(" ", 1)[1] for line in lines
                   if re.match(r"Debian deb \S+ %s(-updates|-security)? " % SUITE, line)})


def build(target):
    """Build it beside its place, and put it there whole."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(os.path.dirname(target) + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(target):
            return
        tmp = target + ".new"
        shutil.rmtree(tmp, ignore_errors=True)
        with tempfile.TemporaryDirectory() as scratch:
            hook = scratch + "/customize"
            with open(hook, "w") as f:
                f.write("#!/bin/sh\nset -eu\n" + CUSTOMIZE)
            os.chmod(hook, 0o755)
            os.chmod(scratch, 0o755)
            args = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(PACKAGES),
                    "--customize-hook=" + hook]
            args += ["--dpkgopt=path-exclude=" + path for path in EXCLUDE]
            mirror = sources()
            p = subprocess.run(args + [SUITE, tmp] + (["-"] if mirror else []), text=True, stdout=sys.stderr,
                               input="\n".join(mirror) + "\n")
        if p.returncode:
            shutil.rmtree(tmp, ignore_errors=True)
            raise Fail("mmdebstrap could not build the root file system")
        os.rename(tmp, target)


def ensure():
    """The path of the root file system, built now if it is not there yet."""
    target = default()
    if not os.path.isdir(target + "/usr"):
        sys.stderr.write("lab: building the hosts' root file system in %s (once)\n" % target)
        build(target)
    return os.path.realpath(target)
