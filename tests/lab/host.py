# SPDX-License-Identifier: LGPL-2.1-or-later
"""One host: its disk, its birth in namespaces of its own, and the wait until it is up."""

import os
import shutil
import subprocess
import time

from cgroup import cg_delegate, cg_kill
from process import enter, nse, spawn, spawned
from settings import DISK_MB, LAB_DIR, NAME, TIMEOUT
from state import config, hdir, holder, image, leader, pidfile, stat_start
from switch import apply_host_links, unplug_for_good
from util import (CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWTIME, MS_PRIVATE, MS_REC, Fail, check, libc, poke, read, sh,
                  write)


def make_disk(h):
    img = image(h)
    os.makedirs(os.path.dirname(img), exist_ok=True)
    if os.path.exists(img):
        return
    with open(img + ".new", "wb") as f:
        f.truncate(DISK_MB << 20)
    sh(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^resize_inode",
        "-J", "size=8", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
        img + ".new"])
    os.rename(img + ".new", img)


def host_setup(h, c):
    """In the new process: make the host's namespaces and mounts, then become nspawn."""
    i = int(h[1:])
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
    try:    # uptime starts at zero, as on a host of its own
        check(libc.unshare(CLONE_NEWTIME), "unshare")
        text = ""
        for clk, num in ((time.CLOCK_MONOTONIC, 1), (time.CLOCK_BOOTTIME, 7)):
            text += "%d -%d 0\n" % (num, int(time.clock_gettime(clk)))
        poke("/proc/self/timens_offsets", text)
    except (Fail, OSError) as e:
        sys.stderr.write("no time namespace: %s\n" % e)
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    disk, root = hdir(h, "disk"), hdir(h, "root")
    os.makedirs(disk, exist_ok=True)
    os.makedirs(root, exist_ok=True)
    for attempt in range(100):          # the last boot's loop device may be going still
        try:
            sh(["mount", "-o", "loop,noatime,noinit_itable", image(h), disk])
            break
        except Fail:
            if attempt == 99:
                raise
            time.sleep(0.02)
    fresh = not os.path.exists(disk + "/upper")
    if fresh:
        shutil.rmtree(disk + "/upper.new", ignore_errors=True)
        etc = disk + "/upper.new/etc"
        os.makedirs(etc)
        os.makedirs(disk + "/upper.new/var/lib/lab")
        os.makedirs(disk + "/work", exist_ok=True)
        write(etc + "/hostname", h + "\n")
        write(etc + "/machine-id", os.urandom(16).hex() + "\n", 0o444)
        with open(disk + "/upper.new/var/lib/lab/clock", "wb") as f:
            f.write(bytes(4096))
        os.rename(disk + "/upper.new", disk + "/upper")
        sh(["sync", "-f", disk])
    mid = read(disk + "/upper/etc/machine-id").strip()
    lower = ":".join(c["trees"] + [LAB_DIR + "/seed", c["rootfs"]])
    sh(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s/upper,workdir=%s/work"
        % (lower, disk, disk), root])
    sh(["ip", "-batch", "-"], input="""\
link add eth0 address 02:c0:4e:00:00:{i:02x} type veth peer name {h} netns {sw}
link set lo up
addr add 10.77.0.{i}/24 dev eth0
addr add fd77::{i:x}/64 dev eth0 nodad
link set eth0 up
""".format(i=i, h=h, sw=holder()))
    nse(holder(), "ip", "link", "set", h, "master", "br0", "up")
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    if c["bare"]:
        for b in c["binds"]:
            src, dst = b.split(":")
            os.makedirs(root + dst, exist_ok=True)
            sh(["mount", "--bind", src, root + dst])
            sh(["mount", "-o", "remount,bind,ro", root + dst])
        os.execvpe("unshare", ["unshare", "--fork", "--kill-child", "--pid", "--uts", "--ipc",
                               "--root=" + root, "--wd=/", "/bin/sh", "/lab-init"], env)
    # nspawn keeps names in here; a file system of our own so that nothing stays behind
    os.makedirs("/run/systemd/nspawn", exist_ok=True)
    sh(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/systemd/nspawn"])
    if c["hierarchy"] == "unified":
        env["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
    args = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no",
            "--directory=" + root, "--machine=%s-%s" % (NAME, h), "--hostname=" + h,
            "--uuid=" + mid, "--network-namespace-path=/proc/self/ns/net",
            "--capability=CAP_NET_ADMIN", "--link-journal=no", "--resolv-conf=off",
            "--timezone=off", "--console=read-only"]
    args += ["--bind-ro=" + b for b in c["binds"]]
    os.execvpe("systemd-nspawn", args, env)


def start(hs, c):
    procs = []
    for h in hs:
        cg_kill(h)                      # what a lab that was killed may have left
        unplug_for_good(h)
        os.makedirs(hdir(h), exist_ok=True)
        make_disk(h)
        cg_delegate(h)
        procs.append((h, spawn(h, hdir(h, "console.log"), lambda h=h: host_setup(h, c))))
    for h, r in procs:
        try:
            pid = spawned(r)
        except Fail as e:
            cg_kill(h)
            raise Fail("%s: %s" % (h, e))
        write(hdir(h, "pid"), "%d %s\n" % (pid, stat_start(pid)))


def wait_up(hs, c):
    """Until each host is running or degraded.  Returns {host: state}."""
    end = time.monotonic() + TIMEOUT
    state, waits = {}, {}
    while len(state) < len(hs):
        for h in hs:
            if h in state:
                continue
            if time.monotonic() > end:
                for p in waits.values():
                    p.kill()
                raise Fail("%s did not come up in %d s; see lab console %s" % (h, TIMEOUT, h))
            if not pidfile(h):
                raise Fail("%s died while booting: %s" % (h, read(hdir(h, "console.log"), "")[-2000:]))
            if h in waits:
                if waits[h].poll() is None:
                    continue
                out = waits.pop(h).stdout.read().strip()
                if out in ("running", "degraded", "maintenance"):
                    state[h] = out
                continue
            pid = leader(h)
            if not pid:
                continue
            if c["bare"]:
                if os.path.exists("/proc/%d/root/run/dbus/system_bus_socket" % pid):
                    state[h] = "running"
            elif os.path.exists("/proc/%d/root/run/systemd/private" % pid):
                waits[h] = subprocess.Popen(
                    enter(pid) + ["systemctl", "is-system-running", "--wait"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, text=True)
        time.sleep(0.01)
    for h in hs:
        apply_host_links(h)
    return state


def loops_gone(prefix, limit=5.0):
    end = time.monotonic() + limit
    while True:
        left = []
        for d in os.listdir("/sys/block"):
            f = read("/sys/block/%s/loop/backing_file" % d, "") if d.startswith("loop") else ""
            if f.startswith(prefix):
                left.append(d)
        if not left:
            return
        if time.monotonic() > end:
            for d in left:
                subprocess.call(["losetup", "-d", "/dev/" + d])
            return
        time.sleep(0.005)


def offline(h, args):
    """Run a tool on the disk of a host that is down.  @PATH is a path on that disk."""
    c = config()
    pid = os.fork()
    if pid == 0:
        try:
            check(libc.unshare(CLONE_NEWNS), "unshare")
            check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
            sh(["mount", "-o", "loop,noatime", image(h), hdir(h, "disk")])
            sh(["mount", "-t", "overlay", "overlay", "-o", "ro,lowerdir=%s" % ":".join(
                [hdir(h, "disk/upper")] + c["trees"] + [LAB_DIR + "/seed", c["rootfs"]]), hdir(h, "root")])
            os.execvp(args[0], [hdir(h, "root") + x[1:] if x[:1] == "@" else x for x in args])
        except BaseException as e:
            sys.stderr.write("lab: %s\n" % e)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
