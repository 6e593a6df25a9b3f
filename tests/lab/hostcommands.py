# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands about hosts: up, down, crash, exec, push and the like."""

import errno
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time

import rootfs
from cgroup import cg, cg_delegate, cg_event, cg_kill, cg_procs
from host import loops_gone, offline, start, wait_up
from process import enter
from seed import make_seed
from settings import HERE, LAB_DIR, STORE, TIMEOUT
from state import Lock, config, hdir, holder, host, hosts, image, leader, load, pidfile, save
from switch import apply_links, links, switch_up, unplug_for_good
from util import Fail, die, poke, read, sh

EXT4_IOC_SHUTDOWN = 0x8004587D          # _IOR('X', 125, __u32)


def cmd_rootfs(a):
    print(rootfs.ensure())


def snapshot(tree):
    """A copy of an install tree: an overlay's lower layer must not change while hosts run on it."""
    for x in ("bin", "sbin", "lib", "lib64"):
        if os.path.isdir(os.path.join(tree, x)):
            raise Fail("%s/%s would hide the host's link to usr/%s; install into /usr" % (tree, x, x))
    t = os.path.join(LAB_DIR, "tree")
    shutil.rmtree(t, ignore_errors=True)
    os.makedirs(t)
    sh(["cp", "-a", "--reflink=auto", tree + "/.", t])
    return t


def cmd_up(a):
    t0 = time.monotonic()
    for p in (LAB_DIR, STORE, rootfs.default()):
        if re.search(r"[:,\\\s]", p):
            raise Fail("%s: no colon, comma, backslash or space, please" % p)
    if not 1 <= a.n <= 99:
        raise Fail("1 to 99 hosts")
    with Lock():
        c = load("lab.json", None)
        alive = [h for h in hosts() if leader(h)]
        if c is None or not alive:
            n = max(a.n, c["n"] if c and not (a.tree or a.bind or a.bare) else 0)
            c = {"n": n, "rootfs": rootfs.ensure(), "bare": a.bare, "clock": a.clock,
                 "binds": a.bind, "trees": c["trees"] if c else [], "store": STORE,
                 "hierarchy": os.environ.get("LAB_HIERARCHY", "unified")}
            if a.tree:
                c["trees"] = [snapshot(a.tree)]
            make_seed(c)
        elif a.tree or a.bind or a.bare != c["bare"] or a.clock and not c["clock"]:
            raise Fail("hosts are running: --tree, --bind, --clock and --bare need lab down first")
        c["n"] = max(c["n"], a.n)
        save("lab.json", c)
        cg_delegate("")
        switch_up()
        apply_links(links())
        want = ["h%d" % i for i in range(1, c["n"] + 1)]
        new = [h for h in want if not leader(h)]
        state, step = {}, a.jobs or len(new) or 1
        for i in range(0, len(new), step):
            start(new[i:i + step], c)
            state.update(wait_up(new[i:i + step], c))
        bad = [h for h, s in state.items() if s not in ("running", "degraded")]
    if not a.quiet:
        print("%d host%s up, %d booted, %.2f s%s" % (
            len(want), "s"[len(want) == 1:], len(new), time.monotonic() - t0,
            "".join("; %s: %s" % x for x in sorted(state.items()) if x[1] != "running")))
    if bad:
        raise Fail("in maintenance: " + " ".join(bad))


def memory(h):
    """Proportional set size of the host's processes, MiB, and how many there are."""
    pss, n = 0, 0
    for p in cg_procs(h):
        m = re.search(r"^Pss:\s+(\d+)", read("/proc/%d/smaps_rollup" % p, ""), re.M)
        pss += int(m.group(1)) if m else 0
        n += 1
    return pss / 1024, n


def cmd_status(a):
    k, out = links(), []
    for h in hosts():
        pid = leader(h)
        mem, n = memory(h)
        out.append({"host": h, "address": "10.77.0." + h[1:], "pid": pid,
                    "state": "down" if not pid else "paused" if cg_event(h, "frozen") else "up",
                    "processes": n, "pss_mib": round(mem, 1),
                    "isolated": h in k["isolated"], "unplugged": h in k["unplugged"]})
    if a.json:
        print(json.dumps({"hosts": out, "links": k, "switch": holder(), "cgroup": cg()}, indent=1))
        return
    for o in out:
        print("{host:4} {address:11} {state:7} pid {pid:<7} {processes:3} processes {pss_mib:6.1f} MiB".format(**o)
              + "".join(" " + x for x in ("isolated", "unplugged") if o[x]))
    for key in ("drop", "loss"):
        for a_, b, v in k[key]:
            print("%s %s -> %s%s" % (key, a_, b, " %s" % v if v else ""))
    for h, v in k["delay"].items():
        print("delay %s %g ms +%g" % (h, v[0], v[1]))
    for h, v in k["rate"].items():
        print("rate %s %s" % (h, v))


def cmd_exec(a):
    if not a.cmd:
        raise Fail("exec HOST -- COMMAND")
    targets = [h for h in hosts() if leader(h)] if a.host == "all" else [host(a.host, True)]
    frozen = [h for h in targets if cg_event(h, "frozen")]
    if frozen:
        raise Fail("%s is paused" % " ".join(frozen))
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
           "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb"), "USER": "root", "LOGNAME": "root"}
    for kv in a.env:
        env.update([kv.split("=", 1)])
    cmd = a.cmd if not a.user else ["setpriv", "--reuid=" + a.user, "--regid=" + a.user, "--init-groups"] + a.cmd

    def go(h):
        p = leader(h)
        d = cg(h) + "/exec"             # so that pause and crash reach it
        os.makedirs(d, exist_ok=True)
        poke(d + "/cgroup.procs", "0")
        os.execvpe("nsenter", enter(p) + cmd, env)

    if a.host != "all":
        try:
            go(targets[0])
        except OSError as e:
            die("exec: %s" % e, 125)
    rc, kids = 0, []
    for h in targets:
        p = subprocess.Popen([sys.executable, "-I", HERE + "/lab", "exec"] +
                             ["--env=" + e for e in a.env] + (["--user=" + a.user] if a.user else []) +
                             [h, "--"] + a.cmd,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        kids.append((h, p))
    for h, p in kids:
        out = p.communicate()[0]
        for line in out.splitlines():
            print("%s: %s" % (h, line))
        rc = rc or (p.returncode if p.returncode >= 0 else 128 - p.returncode)
    sys.exit(rc)


def cmd_net(a):
    pid = holder() if a.host == "switch" else leader(host(a.host, True))
    if not pid or not a.cmd:
        raise Fail("net HOST|switch -- COMMAND, with the lab up")
    c = cg("exec" if a.host == "switch" else a.host + "/net")
    os.makedirs(c, exist_ok=True)
    poke(c + "/cgroup.procs", "0")
    os.execvp("nsenter", ["nsenter", "-t", str(pid), "-n", "--"] + a.cmd)


def cmd_push(a):
    targets = a.hosts or [h for h in hosts() if leader(h)]
    if not os.path.lexists(a.src):
        raise Fail("%s: no such file" % a.src)
    for h in targets:
        pid = leader(host(h, True))
        # tar through the namespaces: owners, modes, links and xattrs as they are, and
        # DEST is resolved inside the host, so a symbolic link there cannot lead out.
        if os.path.isdir(a.src):
            src = ["tar", "-C", a.src, "-cf", "-", "--xattrs", "."]
            dst = 'mkdir -p "$1" && tar -C "$1" -xpf - --xattrs --no-overwrite-dir --keep-directory-symlink && sync -f "$1"'
        else:
            src = ["cat", a.src]
            mode = "%o" % (os.stat(a.src).st_mode & 0o7777)
            # Put it in place with rename, so that a running program is not disturbed.
            dst = ('d=$1; [ -d "$d" ] && d=$d/%s; mkdir -p "$(dirname "$d")" && cat >"$d.lab" && '
                   'chmod %s "$d.lab" && mv -f "$d.lab" "$d" && sync -f "$d"'
                   % (shlex.quote(os.path.basename(a.src)), mode))
        p = subprocess.Popen(src, stdout=subprocess.PIPE)
        q = subprocess.Popen(enter(pid) + ["/bin/sh", "-c", dst, "sh", a.dest], stdin=p.stdout)
        p.stdout.close()
        if q.wait() or p.wait():
            raise Fail("push to %s failed" % h)


def cmd_pull(a):
    h = host(a.host)
    pid = leader(h)
    if pid:
        p = subprocess.Popen(enter(pid) + ["tar", "-cf", "-", "-C", os.path.dirname(a.src) or "/",
                             os.path.basename(a.src.rstrip("/")) or "."], stdout=subprocess.PIPE)
        os.makedirs(a.dest, exist_ok=True)
        rc = subprocess.call(["tar", "-C", a.dest, "-xpf", "-"], stdin=p.stdout)
        if p.wait() or rc:
            raise Fail("pull failed")
    else:
        os.makedirs(a.dest, exist_ok=True)
        sys.exit(offline(h, ["cp", "-a", "@" + a.src, os.path.realpath(a.dest) + "/"]))


def cmd_crash(a):
    with Lock():
        h = host(a.host)
        t0 = time.monotonic()
        sup = pidfile(h)
        # The cable first: closing sockets must not tell the peers anything.
        unplug_for_good(h)
        if sup and not a.keep:
            # Then the disk, as xfstests does it: nothing more reaches it, not the
            # dirty pages and not the journal's running transaction.
            try:
                fd = os.open("/proc/%d/root%s" % (sup, hdir(h, "disk")), os.O_RDONLY)
                fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", 2))
                os.close(fd)
            except OSError as e:
                raise Fail("cannot shut the disk of %s down: %s" % (h, e))
        cg_kill(h)
        loops_gone(image(h))
        if a.verbose:
            print("crashed %s, %.2f s" % (h, time.monotonic() - t0))


def cmd_stop(a):
    with Lock():
        h = host(a.host)
        pid = leader(h)
        if pid:
            if config()["bare"]:
                for p in cg_procs(h):
                    if p not in (pid, pidfile(h)):
                        os.kill(p, signal.SIGTERM)
                time.sleep(0.2)
                sh(["sync", "-f", "/proc/%d/root/etc" % pid])
            else:
                os.kill(pid, signal.SIGRTMIN + 4)       # systemd: poweroff.target
                end = time.monotonic() + TIMEOUT
                while pidfile(h):
                    if time.monotonic() > end:
                        raise Fail("%s did not stop in %d s" % (h, TIMEOUT))
                    time.sleep(0.01)
        unplug_for_good(h)
        cg_kill(h)
        loops_gone(image(h))


def cmd_boot(a):
    with Lock():
        h, c = host(a.host), config()
        t0 = time.monotonic()
        if leader(h):
            raise Fail("%s is running" % h)
        switch_up()
        start([h], c)
        s = wait_up([h], c)[h]
        if s == "maintenance":
            raise Fail("%s is in maintenance" % h)
        if a.verbose:
            print("booted %s: %s, %.2f s" % (h, s, time.monotonic() - t0))


def cmd_wipe(a):
    with Lock():
        h = host(a.host, False)
        cg_kill(h)
        loops_gone(image(h))
        os.unlink(image(h))


def cmd_clock(a):
    with Lock():
        h = host(a.host, True)
        if not config()["clock"]:
            raise Fail("this lab has no clock shim (lab up --clock)")
        fd = os.open("/proc/%d/root/var/lib/lab/clock" % leader(h), os.O_RDWR)
        os.pwrite(fd, struct.pack("=q", int(a.offset * 1e9)), 0)
        os.fsync(fd)
        os.close(fd)


def cmd_journal(a):
    h = host(a.host)
    args = ["journalctl", "--no-pager"] + (["-u", a.unit] if a.unit else []) + a.args
    pid = leader(h)
    if pid:
        os.execvp("nsenter", enter(pid) + args)
    sys.exit(offline(h, args[:1] + ["-D", "@/var/log/journal"] + args[1:]))


def cmd_console(a):
    sys.stdout.write(read(hdir(host(a.host), "console.log"), ""))


def cmd_down(a):
    if os.path.isdir(LAB_DIR):
        with Lock():
            cg_kill()
            store = load("lab.json", {}).get("store", STORE)
            loops_gone(os.path.join(store, "hosts") + "/")
            for d in {LAB_DIR, store}:
                shutil.rmtree(os.path.join(d, "hosts"), ignore_errors=True)
            for x in ("seed", "tree"):
                shutil.rmtree(os.path.join(LAB_DIR, x), ignore_errors=True)
            for x in os.listdir(LAB_DIR):
                if re.fullmatch(r"(lab|links)\.json(\.new)?|switch\.(pid|log)|wire-h\d+\.log|lock", x):
                    os.unlink(os.path.join(LAB_DIR, x))
        try:
            os.rmdir(LAB_DIR)
        except OSError as e:
            if e.errno == errno.ENOTEMPTY:
                die("%s holds files that are not the lab's: left there" % LAB_DIR, 0)
    else:
        cg_kill()
