# SPDX-License-Identifier: LGPL-2.1-or-later
"""The layer between the root file system and the hosts: what all hosts of a lab share."""

import os
import shutil

from settings import HERE, LAB_DIR
from util import sh, write


# Units a test host does not need; masking them makes the boot shorter.
MASK = """console-getty.service getty.target getty-static.service container-getty@.service
systemd-logind.service systemd-user-sessions.service systemd-update-utmp.service
systemd-update-utmp-runlevel.service systemd-ask-password-wall.path
systemd-ask-password-console.path systemd-firstboot.service
systemd-machine-id-commit.service systemd-network-generator.service
systemd-binfmt.service systemd-hwdb-update.service systemd-boot-system-token.service
systemd-pstore.service systemd-repart.service systemd-growfs@.service
systemd-remount-fs.service systemd-sysctl.service systemd-modules-load.service
systemd-random-seed.service
e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer
dpkg-db-backup.timer fstrim.timer motd-news.timer systemd-tmpfiles-clean.timer
ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service
modprobe@.service cryptsetup.target veritysetup.target integritysetup.target
systemd-udevd.service systemd-udev-trigger.service remote-fs.target
dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount
sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
proc-sys-fs-binfmt_misc.automount""".split()

BARE_INIT = """\
mount -t proc proc /proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /tmp
mount -t tmpfs -o mode=755,nosuid tmpfs /dev
for n in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
	set -- $n; mknod -m 666 /dev/$1 c $2 $3
done
mkdir -p /dev/shm /dev/pts /run/dbus /run/lock
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx; ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr
hostname "$(cat /etc/hostname)"
dbus-daemon --system --nofork --nopidfile &
while :; do sleep 86400 & wait $!; done
"""


def make_seed(c):
    """The layer between the root file system and the hosts: what all of them share."""
    seed = os.path.join(LAB_DIR, "seed")
    shutil.rmtree(seed, ignore_errors=True)
    etc = seed + "/etc"
    os.makedirs(etc + "/systemd/system")
    os.makedirs(etc + "/systemd/journald.conf.d")
    os.makedirs(etc + "/systemd/system.conf.d")
    if os.environ.get("LAB_MASK", "1") != "0":
        for u in MASK:
            os.symlink("/dev/null", etc + "/systemd/system/" + u)
        os.symlink("/usr/lib/systemd/system/multi-user.target", etc + "/systemd/system/default.target")
    write(etc + "/hosts", "127.0.0.1 localhost\n::1 localhost\n10.77.0.254 switch\n" +
          "".join("10.77.0.%d h%d\nfd77::%x h%d\n" % (i, i, i, i) for i in range(1, 100)))
    write(etc + "/fstab", "")
    write(etc + "/resolv.conf", "")
    write(etc + "/systemd/journald.conf.d/lab.conf",
          "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nSystemMaxFileSize=8M\n"
          "RateLimitBurst=0\nForwardToConsole=no\nAudit=no\nReadKMsg=no\nSyncIntervalSec=1s\n")
    write(etc + "/systemd/system.conf.d/lab.conf",
          "[Manager]\nDefaultTimeoutStopSec=20s\nStatusUnitFormat=name\nShowStatus=yes\n")
    if c["bare"]:
        write(seed + "/lab-init", BARE_INIT)
    if c["clock"]:
        os.makedirs(seed + "/usr/lib/lab")
        sh(["gcc", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-Wall", "-o", seed + "/usr/lib/lab/clock.so",
            HERE + "/clock.c", "-ldl"])
        write(etc + "/ld.so.preload", "/usr/lib/lab/clock.so\n")
