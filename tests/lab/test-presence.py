# SPDX-License-Identifier: LGPL-2.1-or-later
"""Debian's own nginx and redis, which know nothing of convene, are in the tree while they run: a drop-in is all.

Prints how long it takes from the instant systemd gives for the end of a run until a watcher is told that the znode is gone.
LAB_PRESENCES: how many of these times to take (20).
"""

import time

from labtest import Watch, case, count, ctl, ctl_json, exists, facts, main, median, run, show, stamp, state, wait

UNITS = {"nginx": "http on 80", "redis-server": "redis on 6379"}
GONE_SEC_MAX = 5.0


def path(name):
    return "/services/%s/h1" % name


def appeared(name):
    return lambda event: event["type"] == "created" and event["path"] == path(name)


def vanished(name):
    return lambda event: event["type"] == "deleted" and event["path"] == path(name)


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
