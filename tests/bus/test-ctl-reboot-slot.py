#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-reboot-slot.py - how many hosts may be down at once; see ctl_harness.py
#
# One agent is one host: other hosts are znodes, which is all that is known of a host that is down.

import json
import os
import subprocess

from ctl_harness import ACCESS, NOBODY, OK, USAGE, Skip, bad, ctl, equal, good, here, main, running

TIMED_OUT = 11


def host():
    return good("status", "--json").json["host"]


def holders(name):
    return [one["host"] for one in good("reboot-slot", "status", name, "--json").json]


def others(name, *hosts):
    for one in hosts:
        good("create", "-p", f"/convene/reboot-slots/{name}/{one}")


def waits(*words):
    one = running("reboot-slot", "acquire", *words)
    assert "waiting for a slot of" in one.line("stderr")
    return one


def passes(one):
    equal((one.end(), one.complaint()), (OK, b""))
    one.close()


def test_one():
    equal(holders("one"), [])
    good("reboot-slot", "release", "one")               # every boot does it
    good("reboot-slot", "acquire", "one")
    equal(holders("one"), [host()])
    assert host() in good("reboot-slot", "status", "one").text
    equal(good("reboot-slot", "acquire", "one", "--json").json, {"name": "one", "host": host()})        # it has it already
    good("reboot-slot", "release", "one")
    equal(holders("one"), [])


def test_waits_for_the_other():
    others("two", "a")
    bad(TIMED_OUT, "a is down (TimedOut)", "reboot-slot", "acquire", "two", "--try")
    bad(TIMED_OUT, "a is down (TimedOut)", "reboot-slot", "acquire", "two", "--timeout=200ms", "-q")
    one = waits("two")
    good("reboot-slot", "release", "two", "a")
    passes(one)
    equal(holders("two"), [host()])


def test_so_many():
    others("many", "a", "b")
    bad(TIMED_OUT, "a, b are down", "reboot-slot", "acquire", "many", "--slots=2", "--try")
    good("reboot-slot", "acquire", "many", "--slots=3", "--try")
    equal(holders("many"), ["a", "b", host()])


def test_survives_the_agent():
    """What is taken is taken, and who waits goes on waiting."""
    good("reboot-slot", "acquire", "kept")
    others("wanted", "a")
    one = waits("wanted")
    here.agent.stop()
    assert "gone away" in one.line("stderr")
    here.agent.start()
    assert "is back" in one.line("stderr")
    equal(holders("kept"), [host()])
    equal(holders("wanted"), ["a"])
    good("reboot-slot", "release", "wanted", "a")
    passes(one)


def test_last_slot_is_taken_once():
    """An update that follows from what is not so any more is not made: another host does the same at the same time."""
    won = []
    for i in range(20):
        path = f"/convene/reboot-slots/race{i}"
        good("create", "-p", path)
        operations = [{"op": "set", "path": path, "data": "", "version": 0}, {"op": "create", "path": path + "/rival"}]
        rival = running("multi", "-q", stdin=subprocess.PIPE)
        if i % 2:
            rival.process.stdin.write(json.dumps(operations).encode())
            rival.process.stdin.close()
        one = running("reboot-slot", "acquire", f"race{i}", "--try")
        if not i % 2:
            rival.process.stdin.write(json.dumps(operations).encode())
            rival.process.stdin.close()
        won.append(rival.end() == OK)
        equal((one.end() == OK, holders(f"race{i}")), (not won[-1], ["rival"] if won[-1] else [host()]))
        one.close()
        rival.close()
    print(f"# the other host had it {sum(won)} times of {len(won)}")


def test_command():
    one = ctl("reboot-slot", "acquire", "command", "--", "sh", "-c", "echo down; exit 3")
    equal((one.status, one.text), (3, "down\n"))
    equal(holders("command"), [host()])
    others("busy", "a")
    bad(TIMED_OUT, "is down", "reboot-slot", "acquire", "busy", "--try", "--", "touch", str(here.work / "rebooted"))
    assert not (here.work / "rebooted").exists()


def test_whole_path():
    good("reboot-slot", "acquire", "/my/own/group", "--acl=world:anyone:all")
    equal(holders("/my/own/group"), [host()])
    equal(good("ls", "/my/own/group").lines, [host()])


def test_who_may():
    if os.getuid() != 0:
        raise Skip("needs root")
    bad(ACCESS, "NoAuth", "reboot-slot", "acquire", "forbidden", user=NOBODY)
    good("reboot-slot", "acquire", "theirs", "--acl=unix:0@*:all", "--acl=world:anyone:r")
    bad(ACCESS, "NoAuth", "reboot-slot", "release", "theirs", user=NOBODY)
    good("reboot-slot", "release", "theirs")
    bad(ACCESS, "NoAuth", "reboot-slot", "acquire", "theirs", user=NOBODY)


def test_mistakes():
    for name in ("", "a/b"):
        bad(USAGE, "is no name", "reboot-slot", "acquire", name)
        bad(USAGE, "is no name", "reboot-slot", "release", name)
        bad(USAGE, "is no name", "reboot-slot", "status", name)
    bad(USAGE, "which command?", "reboot-slot", "acquire", "x", "--")


if __name__ == "__main__":
    main(globals())
