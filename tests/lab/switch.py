# SPDX-License-Identifier: LGPL-2.1-or-later
"""The switch: a network namespace with one bridge; port hN leads to host hN.

Cuts and losses are rules of one nftables table, written anew as a whole from links.json.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import time

from cgroup import cg_kill
from process import nse, spawn, spawned
from settings import HERE, LAB_DIR
from state import holder, leader, load, save, stat_start
from util import CLONE_NEWNET, Fail, check, libc, read, sh, write


def switch_up():
    if holder():
        return holder()
    cg_kill("switch")

    def body():
        check(libc.unshare(CLONE_NEWNET), "unshare")
        # IPv4 forwarding stays off and there is no link to the outside.
        sh(["ip", "-batch", "-"], input="""\
link set lo up
link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set br0 address 02:c0:4e:00:00:fe up
addr add 10.77.0.254/24 dev br0
addr add fd77::fe/64 dev br0 nodad
""")
        os.execvp("sleep", ["sleep", "infinity"])
    pid = spawned(spawn("switch", LAB_DIR + "/switch.log", body))
    write(LAB_DIR + "/switch.pid", "%d %s\n" % (pid, stat_start(pid)))
    return pid


def links():
    d = {"drop": [], "isolated": [], "unplugged": [], "loss": [], "delay": {}, "rate": {}}
    d.update(load("links.json", {}))
    return d


def apply_links(k):
    """Write the wanted state down, then make the whole nft table anew, atomically."""
    save("links.json", k)
    sw = holder()
    if not sw:
        return
    hooks = {"forward": [], "input": [], "output": []}

    def rule(a, b, verdict):
        if b == "switch":
            hooks["input"].append('iifname "%s" %s' % (a, verdict))
        elif a == "switch":
            hooks["output"].append('oifname "%s" %s' % (b, verdict))
        else:
            hooks["forward"].append('iifname "%s" oifname "%s" %s' % (a, b, verdict))

    for h in k["isolated"]:
        hooks["forward"] += ['iifname "%s" counter drop' % h, 'oifname "%s" counter drop' % h]
        hooks["input"].append('iifname "%s" counter drop' % h)
        hooks["output"].append('oifname "%s" counter drop' % h)
    for a, b, port in k["drop"]:
        if port:
            for proto in ("tcp", "udp"):
                for side in ("dport", "sport"):
                    rule(a, b, "%s %s %d counter drop" % (proto, side, port))
        else:
            rule(a, b, "counter drop")
    for a, b, pct in k["loss"]:
        rule(a, b, "numgen random mod 10000 < %d counter drop" % int(pct * 100))
    text = "table bridge lab\ndelete table bridge lab\ntable bridge lab {\n"
    for hook, rules in hooks.items():
        text += " chain %s {\n  type filter hook %s priority 0; policy accept;\n" % (hook, hook)
        # Neighbour discovery passes, so that a cut looks like one made by a router
        # (silence) and a one-way cut does not hang on what the ARP cache holds.
        text += "  ether type arp accept\n  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
        text += "".join("  %s\n" % r for r in rules) + " }\n"
    nse(sw, "nft", "-f", "-", input=text + "}\n")


def ports(sw):
    return {l["ifname"]: l for l in json.loads(nse(sw, "ip", "-j", "link", "show"))}


def plug(h, on):
    sw = holder()
    if sw and h in ports(sw):
        nse(sw, "ip", "link", "set", h, "up" if on else "down")
        if "w" + h in ports(sw):
            nse(sw, "ip", "link", "set", "w" + h, "up" if on else "down")


def apply_host_links(h):
    """Per-port state that is lost when a host's link is made anew."""
    k = links()
    if h in k["delay"]:
        set_delay(h, *k["delay"][h])
    if h in k["rate"]:
        set_rate(h, k["rate"][h])
    if h in k["unplugged"]:
        plug(h, False)


def set_rate(h, rate):
    sw = holder()
    if rate:
        nse(sw, "tc", "qdisc", "replace", "dev", h, "root", "tbf", "rate", rate,
            "burst", "16kb", "latency", "200ms")
    else:
        try:
            nse(sw, "tc", "qdisc", "del", "dev", h, "root")
        except Fail:
            pass


def unset_delay(h):
    sw = holder()
    cg_kill("wire-" + h)
    p = ports(sw) if sw else {}
    if "w" + h in p:                    # the port was set aside; what bears its name is the tap
        nse(sw, "ip", "-batch", "-", input=("link del %s\n" % h if h in p else "") +
            "link set w%s down\nlink set w%s promisc off name %s\n"
            "link set %s master br0 up\n" % (h, h, h, h))


def set_delay(h, ms, jitter):
    """This kernel has no netem: put a user-space wire between the port and the bridge.
    The tap takes the port's name, so cuts and losses go on matching."""
    sw = holder()
    unset_delay(h)
    if not ms:
        return
    offload_off(leader(h))
    nse(sw, "ip", "-batch", "-", input="link set %s down nomaster\nlink set %s name w%s\n"
        "link set w%s promisc on up\ntuntap add dev %s mode tap\n"
        "link set %s master br0 up\n" % (h, h, h, h, h, h))

    def body():
        fd = os.open("/proc/%d/ns/net" % sw, os.O_RDONLY)
        check(libc.setns(fd, CLONE_NEWNET), "setns")
        os.execv(sys.executable, [sys.executable, "-I", HERE + "/wire.py", h, str(ms), str(jitter)])
    spawned(spawn("wire-" + h, LAB_DIR + "/wire-%s.log" % h, body))
    for _ in range(500):                # until the wire has taken the tap
        if "LOWER_UP" in ports(sw).get(h, {}).get("flags", []):
            return
        time.sleep(0.01)
    raise Fail("the wire of %s did not come up: %s" % (h, read(LAB_DIR + "/wire-%s.log" % h, "")))


def offload_off(pid):
    """Frames must carry their checksums and fit the MTU to pass through user space."""
    if os.fork() == 0:
        rc = 1
        try:
            fd = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
            check(libc.setns(fd, CLONE_NEWNET), "setns")
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for cmd in (0x1F, 0x24, 0x2C, 0x17):    # STSO SGSO SGRO STXCSUM
                val = ctypes.create_string_buffer(struct.pack("II", cmd, 0))
                fcntl.ioctl(s, 0x8946, struct.pack("16sP16x", b"eth0", ctypes.addressof(val)))
            rc = 0
        finally:
            os._exit(rc)
    if os.wait()[1]:
        raise Fail("cannot turn segmentation offload off")


def unplug_for_good(h):
    cg_kill("wire-" + h)
    sw = holder()
    if sw:
        p = ports(sw)
        for x in (h, "w" + h):
            if x in p:
                nse(sw, "ip", "link", "del", x)
