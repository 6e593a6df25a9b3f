# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's own nginx and redis, which know nothing of convene, are in the tree while they run: a drop-in is all.

Declared by files, by "convenectl presence", or for one run by "convenectl create --unit".

Prints how long it takes from the instant systemd gives for the end of a run until a watcher is told that the znode is gone.
LAB_PRESENCES: how many of these times to take (20).
"""

import time

from labtest import (Watch, case, count, ctl, ctl_json, exists, facts, main, median, run, show, stamp, state, status_of,
                     wait)

UNITS = {"nginx": "http on 80", "redis-server": "redis on 6379"}
GONE_SEC_MAX = 5.0
ENABLED, ENABLED_FILE = "/enabled/%N/%H", "/etc/convene/presence.d/redis-server.service.conf"
EXIT_USAGE, EXIT_NO_NODE, EXIT_ACCESS = 2, 3, 5         # of convenectl


def path(name):
    return "/services/%s/h1" % name


def appeared(name):
    return lambda event: event["type"] == "created" and event["path"] == path(name)


def vanished(name):
    return lambda event: event["type"] == "deleted" and event["path"] == path(name)


def agent():
    return show("convened.service", "MainPID", "NRestarts", "ActiveState")


def owner(name):
    """The session that owns the znode, or None while there is no znode."""
    return facts(path(name))[0]["ephemeral_owner"] if exists(path(name)) else None


@case
def drop_ins_are_all_it_takes():
    for name, data in UNITS.items():
        run("sh", "-c", "mkdir -p /etc/convene/presence.d && cat >/etc/convene/presence.d/%s.conf" % name,
            stdin="[Presence]\nUnit=%s.service\nPath=/services/%%N/%%H\nData=%s\n" % (name, data))
    run("systemctl", "start", "convened.service")
    # A unit that nothing refers to is forgotten when it ends, and its time stamps with it.
    run("systemctl", "enable", *UNITS)
    for name in UNITS:
        assert state(name + ".service") == "inactive" and not exists(path(name))


@case
def start_makes_the_znode():
    for name, data in UNITS.items():
        run("systemctl", "start", name + ".service")
        wait("%s in the tree" % name, lambda: exists(path(name)))
        assert ctl("get", path(name)).strip() == data
        assert owner(name), "the znode is not ephemeral"


@case
def reload_of_the_unit_keeps_it():
    before = owner("nginx")
    assert before
    run("systemctl", "reload", "nginx.service")
    run("systemctl", "kill", "--signal=SIGHUP", "nginx.service")
    assert owner("nginx") == before


@case
def session_names_the_run():
    run_id = show("nginx.service", "InvocationID")["InvocationID"]
    out = ctl("--json", "sessions", "list")
    assert "nginx.service" in out and run_id in out, out


@case
def restart_is_a_new_session():
    for name in UNITS:
        before = owner(name)
        with Watch("/services") as watch:
            wait_watching(watch)
            since = time.monotonic()
            run("systemctl", "restart", name + ".service")
            gone = watch.wait_for("%s gone" % name, vanished(name), since)
            watch.wait_for("%s back" % name, appeared(name), gone)
        after = owner(name)
        assert after and after != before, (before, after)
        sessions = [s for s in ctl_json("sessions", "list") if name + ".service" in str(s)]
        assert len(sessions) == 1, "a ghost of the old run: %s" % sessions


@case
def end_in_each_way_is_seen():
    """stop, kill -9 and restart in turn; the times are the point of this test."""
    times = {"stop": [], "kill": [], "restart": []}
    with Watch("/services") as watch:
        wait_watching(watch)
        for i in range(count("LAB_PRESENCES", 20)):
            how, name = list(times)[i % 3], list(UNITS)[i % 2]
            # So many starts in a row are past the start limit.
            run("systemctl", "reset-failed", name + ".service")
            since = time.monotonic()
            if how == "kill":
                run("systemctl", "kill", "--signal=SIGKILL", name + ".service")
            else:
                run("systemctl", how, name + ".service")
            gone = watch.wait_for("%s gone after %s" % (name, how), vanished(name), since)
            # A unit that is killed leaves "active" for good; one that waits to be restarted is "activating" next.
            ended = stamp(name + ".service", "ActiveExit" if how == "kill" else "InactiveEnter")
            assert since - 0.01 <= ended <= gone + 0.01, "systemd says it ended at %g, not within %g..%g" % (ended, since, gone)
            times[how].append(gone - ended)
            if how != "restart":
                wait("%s down" % name, lambda: state(name + ".service") in ("inactive", "failed", "active"))
                run("systemctl", "reset-failed", name + ".service")
                run("systemctl", "start", name + ".service")
            watch.wait_for("%s back" % name, appeared(name), gone)
    for how, values in times.items():
        print("# unit state change to znode gone, %-7s n=%d median %.1f ms, max %.1f ms" %
              (how, len(values), median(values) * 1e3, max(values) * 1e3))
    values = sum(times.values(), [])
    print("# unit state change to znode gone, all     n=%d median %.1f ms, max %.1f ms" %
          (len(values), median(values) * 1e3, max(values) * 1e3), flush=True)
    assert max(values) < GONE_SEC_MAX


def listed(unit, path):
    """What "convenectl presence list" has of a unit's znode."""
    return [p for p in ctl_json("presence", "list") if (p["unit"], p["path"]) == (unit, path)]


@case
def enable_takes_in_a_unit_that_runs():
    """convenectl writes the file and tells the agent; what was there before stays as it is."""
    before, others = agent(), owner("redis-server")
    out = ctl("presence", "enable", "redis-server.service", "--path=" + ENABLED, "--data=%p of %H")
    assert out.strip() == ENABLED_FILE, out
    wait("the znode is there", lambda: exists("/enabled/redis-server/h1"))
    assert ctl("get", "/enabled/redis-server/h1").strip() == "redis-server of h1"
    run_id = show("redis-server.service", "InvocationID")["InvocationID"]
    entry, = listed("redis-server.service", "/enabled/redis-server/h1")
    assert entry["invocation"] == run_id and not entry["error"], entry
    assert entry["session"] == facts("/enabled/redis-server/h1")[0]["ephemeral_owner"]
    assert "Unit=redis-server.service" in ctl("presence", "show", "redis-server.service")
    assert others and owner("redis-server") == others, "the unit's other znode is of a new session"
    assert agent() == before
    run("systemctl", "restart", "redis-server.service")
    wait("a session of the new run", lambda: exists("/enabled/redis-server/h1") and
         facts("/enabled/redis-server/h1")[0]["ephemeral_owner"] != entry["session"])


@case
def disable_takes_it_out_while_the_unit_runs():
    before, others = agent(), owner("redis-server")
    assert ctl("presence", "disable", "redis-server.service").strip() == ENABLED_FILE
    wait("the znode is gone", lambda: not exists("/enabled/redis-server/h1"))
    assert status_of("test", "-e", ENABLED_FILE) == 1
    assert not listed("redis-server.service", "/enabled/redis-server/h1")
    assert len(listed("redis-server.service", path("redis-server"))) == 1
    assert others and owner("redis-server") == others and state("redis-server.service") == "active"
    ctl("presence", "disable", "redis-server.service", status=EXIT_NO_NODE)
    assert agent() == before


@case
def enable_is_for_those_who_may():
    ctl("presence", "enable", "redis-server.service", "--path=" + ENABLED, user="alice", status=EXIT_ACCESS)
    assert status_of("test", "-e", ENABLED_FILE) == 1
    assert not exists("/enabled/redis-server/h1")


@case
def create_for_a_unit_lasts_as_long_as_its_run():
    ctl("create", "--unit=redis-server.service", "/bound", "by hand")
    assert ctl("get", "/bound").strip() == "by hand"
    session = facts("/bound")[0]["ephemeral_owner"]
    run_id = show("redis-server.service", "InvocationID")["InvocationID"]
    assert [run_id in s["owner"] for s in ctl_json("sessions", "list") if s["id"] == session] == [True]
    run("systemctl", "restart", "convened.service")
    assert facts("/bound")[0]["ephemeral_owner"] == session, "a restart of the agent is not invisible"
    run("systemctl", "restart", "redis-server.service")
    wait("the znode is gone with that run", lambda: not exists("/bound"))
    # A presence returns with the next run; what was made by hand does not.
    wait("the next run is in the tree", lambda: owner("redis-server"))
    assert not exists("/bound")


@case
def create_for_a_unit_that_may_not_be():
    ctl("create", "--unit=redis-server.service", "/bound", user="alice", status=EXIT_ACCESS)
    run("systemctl", "stop", "nginx.service")
    ctl("create", "--unit=nginx.service", "/bound", status=EXIT_USAGE)
    ctl("create", "--unit=there-is-none.service", "/bound", status=EXIT_USAGE)
    assert not exists("/bound")
    assert not [s for s in ctl_json("sessions", "list") if "nginx" in s["owner"]], "a session is left of it"
    run("systemctl", "start", "nginx.service")


@case
def agent_kept_running():
    assert show("convened.service", "NRestarts")["NRestarts"] == "0"


def wait_watching(watch):
    """A watch is in place once it reports a change made for it."""
    probe = "/services/probe-%d" % time.monotonic_ns()
    end = time.monotonic() + 10
    while not any(event["path"].startswith(probe) for _, event in watch.events):
        assert time.monotonic() < end, "the watch never began"
        ctl("create", "--parents", "--sequential", probe + "-")
        watch.read(0.05)
    for child in ctl("ls", "/services").split():
        if child.startswith("probe-"):
            ctl("delete", "/services/" + child)


if __name__ == "__main__":
    main("presence")
