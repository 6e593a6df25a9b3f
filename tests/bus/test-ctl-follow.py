#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-follow.py - what convenectl follows and holds; see ctl_harness.py

import json
import select
import signal
import time

from ctl_harness import (CONFLICT, NO_NODE, OK, SESSION, UNREACHABLE, USAGE, bad, command, ctl, equal, good,
                         here, main, running, zxid)


def test_watch():
    good("create", "/watch")
    since = zxid()
    watch = running("watch", "-r", "/watch", "--since", since, "--count=4", "--json")
    made = good("create", "/watch/a", "--json").json["stat"]["czxid"]
    good("create", "/elsewhere")
    good("set", "/watch/a", "x")
    good("delete", "/watch/a")
    good("set", "/watch", "y")
    events = [json.loads(watch.line()) for _ in range(4)]
    equal(events[0], {"zxid": made, "type": "created", "path": "/watch/a"})
    equal([(event["type"], event["path"]) for event in events[1:]],
          [("data-changed", "/watch/a"), ("deleted", "/watch/a"), ("data-changed", "/watch")])
    equal(watch.end(), OK)
    watch.close()

    watch = running("watch", "/watch", "--since", since, "--count=3")
    equal([watch.line().split()[1:] for _ in range(3)],
          [["children-changed", "/watch"], ["children-changed", "/watch"], ["data-changed", "/watch"]])
    watch.close()


def test_watch_live():
    """Without --since: what is told is what comes after the watch."""
    watch = running("watch", "/live", "--json")
    # registered at some time: the first change it tells of shows that, and none is missing after it
    changes = 0
    good("create", "/live")
    while not select.select([watch.process.stdout], [], [], 0)[0]:
        good("set", "/live", str(changes))
        changes += 1
        assert changes < 1000
    good("create", "/live/child")
    good("delete", "-r", "/live")
    seen = [json.loads(watch.line())]
    while seen[-1]["type"] != "deleted":
        seen.append(json.loads(watch.line()))
    types = [event["type"] for event in seen]
    assert types[-3:] == ["children-changed", "children-changed", "deleted"], types
    watch.kill(signal.SIGINT)
    equal(watch.end(), -signal.SIGINT)
    watch.close()


def test_watch_outlives_the_agent():
    good("create", "/outlive")
    watch = running("watch", "-r", "/outlive", "--since", zxid(), "--json")
    good("multi", "-q", stdin=b'[{"op":"create","path":"/outlive/a"},{"op":"create","path":"/outlive/b"}]')
    equal([json.loads(watch.line())["path"] for _ in range(2)], ["/outlive/a", "/outlive/b"])
    for number in (signal.SIGTERM, signal.SIGKILL):
        here.agent.stop(number)
        assert "gone away" in watch.line("stderr")
        here.agent.start()
        good("set", "/outlive/a", str(int(number)))
        event = json.loads(watch.line())
        equal((event["type"], event["path"]), ("data-changed", "/outlive/a"))
        assert "is back" in watch.line("stderr")
    here.agent.stop()
    watch.close()

    here.agent.start()
    impatient = running("watch", "/outlive", "--timeout=500ms", "--since", zxid())
    good("set", "/outlive", "x")
    impatient.line()
    here.agent.stop()
    assert "gone away" in impatient.line("stderr")
    assert "did not come back" in impatient.line("stderr")
    equal(impatient.end(), UNREACHABLE)
    impatient.close()
    here.agent.start()


def test_watch_mistakes():
    bad(USAGE, "BadArguments", "watch", "no-slash")
    bad(USAGE, "--since", "watch", "/", "--since=soon")


def test_ephemeral_foreground():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        holder = running("create", "--ephemeral", "/held", "x", "--json")
        held = json.loads(holder.line())
        assert held["stat"]["ephemeral_owner"], held
        equal(good("stat", "/held", "--json").json[0]["stat"]["ephemeral_owner"], held["stat"]["ephemeral_owner"])
        holder.kill(number)
        equal(holder.end(), OK)
        bad(NO_NODE, "NoNode", "stat", "/held")
        holder.close()


def test_ephemeral_vanishes_with_its_client():
    holder = running("create", "--ephemeral", "/killed")
    equal(holder.line(), "/killed")
    watch = running("watch", "/killed", "--since", good("stat", "/killed", "--json").json[0]["stat"]["czxid"],
                    "--count=1", "--json")
    holder.kill(signal.SIGKILL)
    event = json.loads(watch.line())
    equal((event["type"], event["path"]), ("deleted", "/killed"))
    holder.close()
    watch.close()


def test_ephemeral_command():
    answer = ctl("create", "-es", "/cmd-", "--", "sh", "-c",
                 'echo "$CONVENE_PATH $CONVENE_SESSION"; exec "$0" stat --json "$CONVENE_PATH"', *command())
    equal(answer.status, OK)
    first, second, rest = answer.text.split("\n", 2)
    equal(second.split(" ")[0], first)
    equal(json.loads(rest)[0]["stat"]["ephemeral_owner"], second.split(" ")[1])
    bad(NO_NODE, "NoNode", "stat", first)

    equal(ctl("create", "-e", "/cmd", "--", "sh", "-c", "exit 42").status, 42)
    equal(ctl("create", "-e", "/cmd", "--", "sh", "-c", "kill -9 $$").status, 128 + 9)
    equal(ctl("create", "-e", "/cmd", "--", "/nonexistent").status, 127)
    equal(ctl("create", "-e", "/cmd", "--", "/").status, 126)
    bad(CONFLICT, "NodeExists", "create", "-e", "/zookeeper", "--", "true")
    bad(USAGE, "no command", "create", "-e", "/cmd", "--")
    equal(good("sessions", "--json").json, [])

    # signals from elsewhere are passed on
    holder = running("create", "-e", "/cmd", "--", "sh", "-c",
                     'trap "exit 7" TERM; echo go; while :; do sleep 0.1; done')
    equal((holder.line(), holder.line()), ("/cmd", "go"))
    holder.kill(signal.SIGTERM)
    equal(holder.end(), 7)
    holder.close()


def test_ephemeral_lost():
    """An administrator ends the session: the command is told, and the exit status says why."""
    holder = running("create", "-e", "/lost", "--", "sh", "-c",
                     'trap "echo told; exit 3" TERM; echo "$CONVENE_SESSION"; while :; do sleep 0.1; done')
    equal(holder.line(), "/lost")
    good("sessions", "close", holder.line())
    equal(holder.line(), "told")
    equal(holder.end(), SESSION)
    assert "SessionExpired" in holder.line("stderr")
    holder.close()
    bad(NO_NODE, "NoNode", "stat", "/lost")


def test_ephemeral_outlives_the_agent():
    holder = running("create", "-e", "--session-timeout=3s", "/survivor")
    equal(holder.line(), "/survivor")
    owner = good("stat", "/survivor", "--json").json[0]["stat"]["ephemeral_owner"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        here.agent.stop(number)
        assert "gone away" in holder.line("stderr")
        here.agent.start()
        assert "is back" in holder.line("stderr")
    # longer than its time-out: it is there because it was taken up again, and not because nobody has looked yet
    time.sleep(5)
    equal(good("stat", "/survivor", "--json").json[0]["stat"]["ephemeral_owner"], owner)
    holder.kill(signal.SIGINT)
    equal(holder.end(), OK)
    # it closes its session when it can; should its connection be gone just then, the agent does when it sees that
    deadline = time.monotonic() + 3
    while ctl("stat", "/survivor").status == OK and time.monotonic() < deadline:
        pass
    bad(NO_NODE, "NoNode", "stat", "/survivor")
    holder.close()


def test_monitor():
    monitor = running("monitor", "--json")
    first = json.loads(monitor.line())
    equal((first["event"], first["role"], first["serving"]), ("role", "leader", True))
    # the role is told once the watch is there
    good("create", "/monitor")
    event = json.loads(monitor.line())
    equal((event["event"], event["type"], event["path"]), ("change", "created", "/monitor"))
    holder = running("create", "-e", "/monitor/e")
    holder.line()
    seen = {}
    while len(seen) < 2:
        event = json.loads(monitor.line())
        seen[event["event"]] = event
    equal(seen["change"]["path"], "/monitor/e")
    opened = seen["session-opened"]["session"]
    equal(opened["owner_kind"], "connection")
    holder.kill(signal.SIGKILL)
    seen = {}
    while len(seen) < 2:
        event = json.loads(monitor.line())
        seen[event["event"]] = event
    equal(seen["change"]["type"], "deleted")
    equal(seen["session-ended"]["session"]["id"], opened["id"])
    holder.close()

    # the agent goes and comes: a new epoch
    here.agent.stop(signal.SIGKILL)
    here.agent.start()
    event = json.loads(monitor.line())
    while event["event"] != "role":
        event = json.loads(monitor.line())
    assert event["epoch"] > first["epoch"], (first, event)
    monitor.close()

    monitor = running("monitor", "-n1")
    assert "leader, epoch" in monitor.line()
    equal(monitor.end(), OK)
    monitor.close()


main(globals())
