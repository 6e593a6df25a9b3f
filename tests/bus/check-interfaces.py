#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares what a running agent shows of its interfaces with dbus/interfaces/*.xml, and wants a comment on every member there.

    check-interfaces.py CONVENED BUSCTL INTERFACES-FOLDER

Prints TAP, one case per interface and direction.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

DESTINATION = "org.convene1"
CHANGED = "org.freedesktop.DBus.Property.EmitsChangedSignal"


def arguments(member, direction):
    """(name, type) of a member's arguments, in order.  A signal's have no direction."""
    return [(a.get("name"), a.get("type")) for a in member.findall("arg")
            if a.get("direction", "out" if member.tag == "signal" else "in") == direction]


def shape(interface):
    """Everything the two descriptions must agree on: (kind, member) -> facts."""
    members = {}
    for m in interface:
        if m.tag not in ("method", "signal", "property"):
            continue
        notes = {a.get("name"): a.get("value") for a in m.findall("annotation")}
        if m.tag == "property":
            notes.setdefault(CHANGED, "true")           # the specification's default; sd-bus leaves it out
            facts = (m.get("type"), m.get("access"))
        else:
            facts = (arguments(m, "in"), arguments(m, "out"))
        members[m.tag, m.get("name")] = (facts, sorted(notes.items()))
    return members


def interfaces(text):
    return {i.get("name"): shape(i) for i in ET.fromstring(text).iter("interface")}


def uncommented(path):
    """Members that do not have a comment right above them."""
    lines = open(path, encoding="utf-8").read().splitlines()
    missing = []
    for n, line in enumerate(lines):
        found = re.match(r'\s*<(interface|method|signal|property) name="([^"]+)"', line)
        if not found:
            continue
        above = n - 1
        while above > 0 and lines[above].strip() in ("<node>", ""):
            above -= 1
        if not lines[above].rstrip().endswith("-->"):
            missing.append(found[2])
    return missing


def introspect(busctl, socket, path):
    out = subprocess.run([busctl, "--address=unix:path=" + socket, "--timeout=20", "introspect", "--xml-interface",
                          DESTINATION, path], capture_output=True, text=True, check=True).stdout
    return interfaces(re.sub(r"<!DOCTYPE[^>]*>", "", out))


def differences(wanted, shown):
    for key in sorted(wanted.keys() | shown.keys()):
        if wanted.get(key) != shown.get(key):
            yield f"{key[0]} {key[1]}: documented {wanted.get(key)}, served {shown.get(key)}"


class Plan:
    """TAP."""

    def __init__(self):
        self.count = self.failed = 0

    def case(self, name, problems):
        self.count += 1
        self.failed += bool(problems)
        print("not ok" if problems else "ok", self.count, "-", name)
        for p in problems:
            print("#  ", p)


def served_by(convened, busctl, folder):
    """Interface name -> shape, over all kinds of objects."""
    with tempfile.TemporaryDirectory(prefix="convene-interfaces-") as d:
        socket = os.path.join(d, "bus")
        agent = subprocess.Popen([convened, "--data", os.path.join(d, "data"), "--socket", socket, "--no-system-bus",
                                  "--print-ready"], stdout=subprocess.PIPE, text=True)
        try:
            if not agent.stdout.readline().startswith("ready"):
                sys.exit("the agent did not start")
            call = [busctl, "--address=unix:path=" + socket, "--timeout=20", "call", DESTINATION, "/org/convene1",
                    "org.convene1.Sessions", "Open", "sa{sv}", "explicit", "0"]
            session = int(subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()[1])
            tree = subprocess.run([busctl, "--address=unix:path=" + socket, "tree", "--list", DESTINATION],
                                  capture_output=True, text=True, check=True).stdout.split()
            member = next(p for p in tree if p.startswith("/org/convene1/member/"))
            recipes = []
            for root, kind in (("locks", "lock"), ("elections", "election"), ("groups", "group")):
                subprocess.run(call[:5] + ["/org/convene1", "org.convene1.Tree", "Create", "saysa{sv}", f"/convene/{root}/x", "0",
                                           "persistent", "1", "parents", "b", "true"], stdout=subprocess.DEVNULL, check=True)
                recipes.append(f"/org/convene1/{kind}/x")
            shown = {}
            for path in ("/org/convene1", f"/org/convene1/session/{session:016x}", member, *recipes):
                shown.update(introspect(busctl, socket, path))
            return shown
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait()


def main():
    convened, busctl, folder = sys.argv[1:]
    shown = {n: s for n, s in served_by(convened, busctl, folder).items() if not n.startswith("org.freedesktop.")}
    plan = Plan()
    documented = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".xml"):
            continue
        path = os.path.join(folder, name)
        documented.update(interfaces(open(path, encoding="utf-8").read().split("?>", 1)[1]))
        plan.case(f"{name}: every member has a comment", [f"{m} has none" for m in uncommented(path)])
    for name in sorted(documented.keys() | shown.keys()):
        if name not in shown:
            plan.case(name, ["documented, but not served"])
        elif name not in documented:
            plan.case(name, ["served, but not documented"])
        else:
            plan.case(f"{name}: served as documented", list(differences(documented[name], shown[name])))
    print(f"1..{plan.count}")
    sys.exit(plan.failed > 0)


main()
