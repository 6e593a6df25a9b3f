# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands that cut, slow, freeze and heal."""

from cgroup import cg, cg_wait
from state import Lock, host, save
from switch import apply_host_links, apply_links, links, plug, set_rate, unset_delay
from util import poke


def end_point(h):
    return h if h == "switch" else host(h)


def cmd_cut(a):
    with Lock():
        k = links()
        for x, y in [(a.a, a.b)] + ([] if a.one_way else [(a.b, a.a)]):
            r = [end_point(x), end_point(y), a.port]
            if r not in k["drop"]:
                k["drop"].append(r)
        apply_links(k)


def cmd_split(a):
    with Lock():
        k = links()
        groups = [g.split(",") for g in a.group]
        for g in groups:
            for o in groups:
                if o is not g:
                    k["drop"] += [[end_point(x), end_point(y), 0] for x in g for y in o
                                  if [x, y, 0] not in k["drop"]]
        apply_links(k)


def cmd_isolate(a):
    with Lock():
        k = links()
        h = host(a.host)
        key = "unplugged" if a.link else "isolated"
        if h not in k[key]:
            k[key].append(h)
        apply_links(k)
        if a.link:
            plug(h, False)


def cmd_loss(a):
    with Lock():
        k = links()
        for x, y in [(a.a, a.b)] + ([] if a.one_way else [(a.b, a.a)]):
            k["loss"] = [r for r in k["loss"] if r[:2] != [x, y]]
            if a.percent > 0:
                k["loss"].append([end_point(x), end_point(y), a.percent])
        apply_links(k)


def cmd_delay(a):
    with Lock():
        k = links()
        h = host(a.host, True)
        k["delay"].pop(h, None)
        if a.ms > 0:
            k["delay"][h] = [a.ms, a.jitter]
        save("links.json", k)
        if a.ms <= 0:
            unset_delay(h)
        apply_host_links(h)


def cmd_rate(a):
    with Lock():
        k = links()
        h = host(a.host, True)
        k["rate"].pop(h, None)
        if a.rate != "0":
            k["rate"][h] = a.rate
        save("links.json", k)
        set_rate(h, a.rate if a.rate != "0" else None)


def cmd_heal(a):
    with Lock():
        k = links()
        sel = set(a.hosts)
        for h in sel:
            end_point(h)
        for key in ("drop", "loss"):
            k[key] = [r for r in k[key] if sel and not (sel <= {r[0], r[1]})]
        back = [h for h in k["unplugged"] if not sel or sel == {h}]
        for key in ("isolated", "unplugged"):
            k[key] = [h for h in k[key] if sel and sel != {h}]
        apply_links(k)
        for h in back:
            plug(h, True)


def cmd_pause(a):
    with Lock():
        h = host(a.host, True)
        if a.dark:
            plug(h, False)
        poke(cg(h) + "/cgroup.freeze", "1")
        cg_wait(h, "frozen", True)


def cmd_resume(a):
    with Lock():
        h = host(a.host, True)
        poke(cg(h) + "/cgroup.freeze", "0")
        cg_wait(h, "frozen", False)
        if h not in links()["unplugged"]:
            plug(h, True)
