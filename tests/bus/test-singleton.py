#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-singleton.py - one host and its singletons: what is started, stopped and resigned, and when; see singleton_host.py and ctl_harness.py

import signal
import time

from ctl_harness import equal, here, main, wait_until
from singleton_host import Host, candidate, leader

hosts = []


class Alone(Host):
    """An ensemble of one."""

    def __init__(self, **keys):
        super().__init__(here.work, f"host{len(hosts)}")
        hosts.append(self)
        self.settings(**keys)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()


def test_gain():
    with Alone() as host:
        equal(host.row()["state"], "not-standing")
        host.stand()
        token = host.leads()
        equal([entry[1:3] for entry in host.systemd.log][-4:], [(candidate(), "active"), (leader(), "activating"), (leader(), "active"),
                                                                 ("myapp.service", "active")])
        row = host.wait_state("leading")
        equal((row["unit"], row["host"], row["hosts"], row["token"], row["copies"]),
              ("myapp.service", host.name, [host.name], token, 1))
        equal(host.files(), ["myapp"])
        equal((host.leader / "myapp").stat().st_mode & 0o777, 0o644)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        assert now < row["deadline"] <= now + 2000000 - 400000, (now, row)
        wait_until(lambda: host.row()["deadline"] > row["deadline"] + 500000, "the deadline moves on")


def test_candidate_stops():
    with Alone() as host:
        host.stand()
        host.leads()
        host.systemd.order("stopping", 700)
        host.systemd.order("stop", candidate())
        host.systemd.read_until("myapp.service", "deactivating")
        row = host.row()
        equal((row["hosts"], host.files()), ([host.name], []))          # no resigning before it has stopped
        host.systemd.read_until("myapp.service", "inactive")
        wait_until(lambda: host.row()["hosts"] == [], "resigned")
        equal(host.row()["state"], "not-standing")


def test_application_fails():
    with Alone() as host:
        host.stand()
        first = host.leads()
        failed = time.monotonic()
        host.systemd.order("fail", "myapp.service")
        host.systemd.read_until(leader(), "inactive")
        row = host.wait_state("standing-back")
        assert "myapp.service failed" in row["text"], row
        second = host.leads()
        assert 1 <= time.monotonic() - failed < 3, "stands back for a second"
        assert second > first
        host.systemd.order("fail", "myapp.service")
        failed = time.monotonic()
        host.leads()
        assert 2 <= time.monotonic() - failed < 5, "then for two"


def test_administrator_stops():
    with Alone() as host:
        host.stand()
        first = host.leads()
        host.systemd.order("stop", "myapp.service")
        host.systemd.read_until(leader(), "inactive")
        row = host.wait_state("held")
        assert "was stopped on this host" in row["text"], row
        equal((row["hosts"], host.files()), ([], []))
        host.stop(signal.SIGKILL)               # and is not forgotten
        host.start()
        assert "was stopped on this host" in host.wait_state("held")["text"]
        host.systemd.order("restart", candidate())
        second = host.leads()
        assert second > first
        host.systemd.order("stop", "myapp.service")
        host.wait_state("held")
        host.systemd.order("start", "myapp.service")
        third = host.leads()
        assert third > second
        host.systemd.order("stop", "myapp.service")
        host.wait_state("held")
        host.called("Hold", "sba{sv}", "myapp", "false", "0")
        assert host.leads() > third


def test_administrator_stops_what_fails_then():
    """What it was told counts, not how it ended; the next time it fails by itself."""
    with Alone() as host:
        host.stand()
        host.leads()
        host.systemd.order("stopping", 500)
        host.systemd.order("stopped", "failed")
        host.systemd.order("stop", "myapp.service")
        host.systemd.read_until("myapp.service", "failed")
        host.systemd.read_until(leader(), "inactive")
        wait_until(lambda: host.row()["hosts"] == [], "resigned")
        equal(host.row()["state"], "held")
        host.systemd.order("start", "myapp.service")
        host.leads()
        host.systemd.order("fail", "myapp.service")
        assert "myapp.service failed" in host.wait_state("standing-back")["text"]


def test_restart_of_the_application():
    with Alone() as host:
        host.stand()
        host.leads()
        before = host.wait_state("leading")
        host.systemd.order("restart", "myapp.service")
        host.systemd.read_until("myapp.service", "inactive")
        host.leads()
        equal(host.row()["token"], before["token"])
        equal(host.row()["state"], "leading")


def test_guard_killed():
    """The application is stopped by systemd, and only then does the agent resign."""
    with Alone() as host:
        host.stand()
        first = host.leads()
        host.systemd.order("stopping", 500)
        host.systemd.order("kill", leader(), int(signal.SIGKILL))
        host.systemd.read_until(leader(), "failed")
        equal(host.row()["hosts"], [host.name])
        host.systemd.read_until("myapp.service", "inactive")
        assert "failed" in host.wait_state("standing-back")["text"]
        assert host.leads() > first


def test_guard_of_a_timer_killed():
    """It is not enough that the timer has stopped: what it has started ends first, too."""
    with Alone(file="backup", Unit="backup.timer") as host:
        host.stand("backup.timer")
        host.systemd.read_until("backup.timer", "active")
        host.systemd.order("start", "backup.service")
        host.systemd.read_until("backup.service", "active")
        host.systemd.order("stopping", 1000)
        host.systemd.order("kill", leader("backup.timer"), int(signal.SIGKILL))
        host.systemd.read_until("backup.service", "deactivating")
        equal(host.systemd.state("backup.timer"), "inactive")
        while True:
            row = host.row("backup.timer")
            host.systemd.drain()
            if host.systemd.state("backup.service") != "deactivating":
                break
            equal(row["hosts"], [host.name])
        assert "failed" in host.wait_state("standing-back", "backup.timer")["text"]


def test_guard_stopped():
    with Alone() as host:
        host.stand()
        first = host.leads()
        host.systemd.order("kill", leader(), int(signal.SIGSTOP))
        host.systemd.read_until(leader(), "failed")
        assert host.leads() > first


def test_agent_killed():
    """Back before the promise ends, it goes on with what it had: nothing is stopped."""
    with Alone() as host:
        host.stand()
        host.leads()
        before = host.wait_state("leading")
        length = len(host.systemd.log)
        host.stop(signal.SIGKILL)
        host.start()
        after = host.wait_state("leading")
        equal((after["token"], after["hosts"]), (before["token"], [host.name]))
        wait_until(lambda: host.row()["deadline"] > after["deadline"] + 2500000, "the deadline moves on past any that it had before")
        host.systemd.order("stop", candidate())
        host.systemd.read_until("myapp.service", "inactive")
        # the guard, whose file is gone, may be first to end, or told to
        told = [entry[1:3] for entry in host.systemd.log[length:] if entry[1] != leader()]
        equal(told[:2], [(candidate(), "inactive"), ("myapp.service", "deactivating")])


def test_agent_restarted():
    with Alone() as host:
        host.stand()
        host.leads()
        before = host.wait_state("leading")
        length = len(host.systemd.log)
        host.systemd.order("job", "convened.service", "restart")
        equal(host.stop(), 0)
        host.start()
        equal(host.wait_state("leading")["token"], before["token"])
        equal(host.systemd.log[length:], [])


def test_agent_stopped():
    """It ends once everything has stopped, and has resigned by then."""
    with Alone() as host:
        host.stand()
        first = host.leads()
        host.systemd.order("stopping", 500)
        host.systemd.order("job", "convened.service", "stop")
        equal(host.stop(), 0)
        equal(host.files(), [])
        host.systemd.read_until("myapp.service", "inactive")
        host.start()
        assert host.leads() > first


def test_agent_hangs():
    """The guard ends by itself in time, and with it the application; going on, the agent finds it so."""
    with Alone() as host:
        host.stand()
        first = host.leads()
        begun = time.monotonic()
        host.running.kill(signal.SIGSTOP)
        host.systemd.read_until("myapp.service", "inactive")
        assert time.monotonic() - begun < 2 * 0.99, "before the session's timeout"
        host.running.kill(signal.SIGCONT)
        assert host.leads() > first


def test_agent_dies():
    with Alone() as host:
        host.stand()
        first = host.leads()
        begun = time.monotonic()
        host.stop(signal.SIGKILL)
        host.systemd.read_until("myapp.service", "inactive")
        assert time.monotonic() - begun < 2 * 0.99, "before the session's timeout"
        host.start()
        assert host.leads() >= first            # the same, if the ensemble, which was away as well, still has the session


def test_start_is_refused():
    with Alone() as host:
        host.systemd.order("refuse", "yes")
        host.stand()
        row = host.wait_state("standing-back")
        assert f"cannot start {leader()}: Permission denied" in row["text"], row
        equal((row["hosts"], host.files()), ([], []))
        host.systemd.order("refuse", "no")
        host.leads()


def test_hold():
    with Alone() as host:
        host.stand()
        first = host.leads()
        host.called("Hold", "sba{sv}", "myapp", "true", "0")
        host.systemd.read_until(leader(), "inactive")
        wait_until(lambda: host.row()["hosts"] == [], "resigned")
        equal(host.row()["state"], "held")
        host.stop()
        host.start()
        host.wait_state("held")
        host.called("Hold", "sba{sv}", "myapp", "false", "0")
        assert host.leads() > first
        for name in ("", "../x", "a/b", "a%n", "x.env", "a b"):
            answer = host.call("Hold", "sba{sv}", name, "true", "0")
            assert answer.returncode != 0 and b"no name of a singleton" in answer.stderr, (name, answer)


def test_settings():
    with Alone(StopTimeout="90s", SessionTimeout="10s") as host:
        host.stand()
        row = host.wait_state("refused")
        assert "90.46s" in row["text"] and "91.4s" in row["text"], row
        equal(row["hosts"], [])
        host.settings(file="other", Unit="nothing.service", StopTimeout=None)
        wait_until(lambda: "lacks StopTimeout=" in host.last_words(), "said in the journal")
        host.settings()
        host.leads()
        host.systemd.order("start", candidate("other"))
        row = host.wait_state("refused", "other")
        assert "no settings" in row["text"], row


def test_stop_may_take_longer():
    """Than the settings promise: said in the journal, once, and shown, until it is mended."""
    with Alone() as host:
        host.systemd.order("timeout", 5000)
        host.stand()
        host.leads()
        text = wait_until(lambda: host.row().get("text"), "shown")
        assert "a stop of myapp.service may take 5.000s (TimeoutStopSec=)" in text and "promises 0.100s" in text, text
        host.settings(StandBack="2s")
        host.systemd.order("timeout", "infinity")
        host.settings(StandBack="1s")
        wait_until(lambda: "may take for ever" in (host.row().get("text") or ""), "asked again with the settings")
        host.systemd.order("timeout", 100)
        host.settings(StandBack="2s")
        wait_until(lambda: not host.row().get("text"), "mended")
        equal((host.directory / "journal").read_text().count("may take 5.000s"), 1)
        equal(host.row()["state"], "leading")


def test_mistake_stops_nothing():
    with Alone() as host:
        host.stand()
        host.leads()
        before = host.wait_state("leading")
        host.settings(StopTimeout="1h")
        wait_until(lambda: "may take 3600s to stop" in host.last_words(), "said in the journal")
        wait_until(lambda: host.row()["deadline"] > before["deadline"] + 2500000, "it goes on")
        equal(host.row()["state"], "leading")


def test_instances():
    with Alone(file="myapp@", Unit="myapp@.service") as host:
        for name in ("myapp@blue", "myapp@green"):
            host.stand(name)
            host.leads(name)
        equal({name: row["state"] for name, row in host.rows().items()}, {"myapp@blue": "leading", "myapp@green": "leading"})


def test_left_files():
    """Of an agent whose session is gone: the guard ends, nothing is started for what is no name, and other files go."""
    with Alone() as host:
        host.stop()
        host.leader.mkdir(exist_ok=True)
        for name in ("myapp", "myapp.env", "stray.token", ".new", "a b"):
            (host.leader / name).write_text("x")
        host.start()
        wait_until(lambda: host.files() == [], "all are removed")
        host.stand()
        host.leads()


if __name__ == "__main__":
    main(globals())
