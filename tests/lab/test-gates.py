# SPDX-License-Identifier: LGPL-2.1-or-later
"""Units that wait for a quorum, a znode or other hosts hold nothing up, and start when it is time; others follow the tree."""

from labtest import case, ctl, ctl_json, exists, lab, main, run, show, state, status_of, wait
from state import leader

GATED = """\
[Unit]
After=%(gate)s
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=%(gate)s
Also=%(waits)s
"""


def put(path, text):
    run("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", path, stdin=text)


def gated(name, gate, waits):
    """A unit that the gate starts, enabled as an administrator does it."""
    # Also= takes a backslash for an escape, After= and WantedBy= do not
    put("/etc/systemd/system/%s" % name, GATED % {"gate": gate, "waits": waits.replace("\\", "\\\\")})
    run("systemctl", "enable", name)


def boot():
    """To the end: without a job that waits."""
    lab("stop", "h1")
    lab("boot", "h1")
    wait("the host is up", lambda: run("systemctl", "is-system-running", status=None).strip() == "running", 60)
    assert run("systemctl", "list-jobs", "--no-legend").strip() in ("", "No jobs running."), run("systemctl", "list-jobs")


@case
def units_are_enabled():
    gated("on-line.service", "convene-online.target", "convene-wait-online.service")
    gated("on-znode.service", "convene-gate@gates-some\\x2dznode.target", "convene-wait@gates-some\\x2dznode.service")
    gated("on-value.service", "convene-gate@gates-value.target", "convene-wait@gates-value.service")
    put("/etc/systemd/system/convene-wait@gates-value.service.d/50-value.conf",
        "[Service]\nEnvironment=CONVENE_WAIT_OPTIONS=--value=on\n")
    gated("on-hosts.service", "convene-barrier@party-of-two.target", "convene-barrier@party-of-two.service")
    put("/etc/systemd/system/convene-barrier@party-of-two.service.d/50-hosts.conf",
        "[Service]\nEnvironment=CONVENE_BARRIER_HOSTS=2\n")
    run("systemctl", "daemon-reload")


@case
def boot_is_not_held_up():
    boot()
    for name in ("on-znode", "on-value", "on-hosts"):
        assert state(name + ".service") == "inactive", name
    for name in ("convene-wait@gates-some\\x2dznode", "convene-wait@gates-value", "convene-barrier@party-of-two"):
        assert show(name + ".service", "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}, name


@case
def quorum_opens():
    wait("started by the quorum", lambda: state("on-line.service") == "active")
    assert state("convene-online.target") == "active"


@case
def znode_opens():
    ctl("create", "--parents", "/gates/some-znode")
    wait("started by the znode", lambda: state("on-znode.service") == "active")
    assert state("convene-gate@gates-some\\x2dznode.target") == "active"
    assert state("on-value.service") == "inactive"


@case
def value_opens():
    ctl("create", "/gates/value", "off")
    ctl("set", "/gates/value", "on")
    wait("started by the value", lambda: state("on-value.service") == "active")


@case
def stop_of_the_waiter_opens_nothing():
    run("systemctl", "stop", "convene-gate@never.target")
    run("systemctl", "start", "convene-wait@never.service")
    run("systemctl", "stop", "convene-wait@never.service")
    assert show("convene-wait@never.service", "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert state("convene-gate@never.target") == "inactive"


@case
def waiting_survives_the_agent():
    run("systemctl", "start", "convene-wait@later.service")
    run("systemctl", "kill", "--signal=SIGKILL", "convened.service")
    wait("the agent is back", lambda: state("convened.service") == "active")
    run("systemctl", "restart", "convened.service")
    ctl("create", "/later")
    wait("the gate is open", lambda: state("convene-gate@later.target") == "active")
    assert show("convene-wait@later.service", "NRestarts")["NRestarts"] == "0"


@case
def enough_hosts_open():
    assert state("on-hosts.service") == "inactive"
    run("systemd-run", "--unit=guest", "convenectl", "barrier", "enter", "party-of-two", "2", "--", "sleep", "infinity")
    wait("both are there", lambda: state("on-hosts.service") == "active")


@case
def who_comes_back_finds_the_others():
    boot()                              # the guest is gone with it, and comes again
    assert state("on-hosts.service") == "inactive"
    run("systemd-run", "--unit=guest", "convenectl", "barrier", "enter", "party-of-two", "2", "--", "sleep", "infinity")
    wait("both are there", lambda: state("on-hosts.service") == "active")
    run("systemctl", "stop", "guest.service", "on-hosts.service", "convene-barrier@party-of-two.target")
    run("systemd-run", "--unit=guest-again", "convenectl", "barrier", "enter", "party-of-two", "2", "--", "touch", "/run/in")
    wait("the host is still inside", lambda: status_of("test", "-e", "/run/in") == 0)


@case
def stop_leaves_the_barrier():
    run("systemctl", "stop", "convene-barrier@party-of-two.service")
    assert show("convene-barrier@party-of-two.service", "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    wait("nobody is inside", lambda: not exists("/convene/barriers/party-of-two") or
         not [one for one in ctl("ls", "/convene/barriers/party-of-two").split() if one != "ready"])


@case
def open_gates_open_at_once_at_the_next_boot():
    boot()
    for name in ("on-line", "on-znode", "on-value"):
        wait(name, lambda: state(name + ".service") == "active")


def reloads():
    return run("cat", "/run/reloads").split() if status_of("test", "-e", "/run/reloads") == 0 else []


@case
def unit_is_reloaded_when_a_znode_changes():
    put("/etc/systemd/system/reader.service", "[Service]\nType=exec\nExecStart=sleep infinity\n"
        "ExecReload=sh -c 'echo reload >>/run/reloads'\n")
    put("/etc/systemd/system/convene-watch@watched.service.d/50-reader.conf", "[Service]\nEnvironment=CONVENE_WATCH_UNITS=reader.service\n")
    run("systemctl", "daemon-reload")
    before = ctl_json("statistics", "watchers_now")["watchers_now"]
    run("systemctl", "start", "convene-watch@watched.service")
    wait("it watches", lambda: ctl_json("statistics", "watchers_now")["watchers_now"] > before)
    ctl("create", "/watched", "1")
    ctl("create", "/watched/child")
    run("systemctl", "start", "reader.service")
    wait("the first jobs are done", lambda: not run("systemctl", "list-jobs", "--no-legend", "reader.service").strip())
    seen = len(reloads())
    ctl("set", "/watched", "2")
    wait("reloaded", lambda: len(reloads()) > seen)
    assert state("reader.service") == "active"


@case
def subtree_is_kept_in_files():
    put("/etc/systemd/system/convene-project@conf-app.service.d/50-reader.conf",
        "[Service]\nEnvironment=CONVENE_PROJECT_UNITS=reader.service CONVENE_PROJECT_OPTIONS=--mode=0640\nGroup=daemon\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "convene-project@conf-app.service")
    ctl("create", "--parents", "/conf/app/a", "1")
    ctl("create", "--parents", "/conf/app/sub/b", "2")
    place = "/run/convene-project/conf-app/files"
    wait("the files are there", lambda: status_of("test", "-e", place + "/sub/b") == 0)
    assert run("stat", "--format=%U %G %a", place + "/a").split() == ["root", "daemon", "640"]
    assert run("cat", place + "/a", place + "/sub/b", user="daemon") == "12"
    assert status_of("cat", place + "/a", user="alice") != 0
    seen = len(reloads())
    ctl("set", "/conf/app/a", "3")
    wait("the file changes", lambda: run("cat", place + "/a") == "3")
    wait("reloaded", lambda: len(reloads()) > seen)
    run("systemctl", "stop", "convene-project@conf-app.service")
    assert run("cat", place + "/a") == "3"


def secret_unit(name, credential):
    put("/etc/systemd/system/" + name, "[Service]\nType=oneshot\nRemainAfterExit=yes\nLoadCredential=%s:/run/convene/credentials\n"
        "User=daemon\nExecStart=sh -c 'cp $CREDENTIALS_DIRECTORY/%s /run/%s.got'\n" % (credential, credential, name))
    run("touch", "/run/%s.got" % name)
    run("chown", "daemon", "/run/%s.got" % name)
    run("systemctl", "daemon-reload")


@case
def credential_is_the_data_of_a_znode():
    secret_unit("secretive@.service", "password")
    ctl("create", "--parents", "--acl=unit:secretive@one.service@*:r", "/convene/credentials/secretive@one.service/password", "to one only")
    run("systemctl", "start", "secretive@one.service")
    assert run("cat", "/run/secretive@.service.got") == "to one only"


@case
def credential_of_another_unit_fails_the_start():
    ctl("create", "--parents", "--acl=unit:secretive@one.service@*:r", "/convene/credentials/secretive@two.service/password", "not to two")
    for name in ("two", "three"):
        assert status_of("systemctl", "start", "secretive@%s.service" % name) != 0
        assert show("secretive@%s.service" % name, "ExecMainStatus")["ExecMainStatus"] == "243"
    assert run("cat", "/run/secretive@.service.got") == "to one only"
    log = run("journalctl", "-u", "convened.service", "-b", "-o", "cat")
    assert "Credential password is not given to secretive@two.service" in log and "there is no znode" in log, log


@case
def credential_comes_from_an_agent_that_is_started_for_it():
    ctl("create", "--parents", "--acl=unit:secretive@late.service@*:r", "/convene/credentials/secretive@late.service/password", "late")
    run("systemctl", "stop", "convened.service")
    run("systemctl", "start", "secretive@late.service")
    assert run("cat", "/run/secretive@.service.got") == "late"
    assert state("convened.service") == "active"


@case
def credentials_are_for_systemd():
    assert run("stat", "--format=%a %U", "/run/convene/credentials").split() == ["600", "root"]


@case
def host_reboots_when_it_is_its_turn():
    """The other host is down; when it is up again this one goes, and gives its slot back when it has booted."""
    run("systemctl", "enable", "--now", "convene-reboot-slot@web.service", "convene-reboot@web.path")
    ctl("create", "--parents", "/convene/reboot-slots/web/other")
    run("touch", "/run/reboot-required")
    wait("it waits", lambda: "waiting for a slot of other" in run("journalctl", "-u", "convene-reboot@web.service", "-b", "-o", "cat"))
    assert [one["host"] for one in ctl_json("reboot-slot", "status", "web")] == ["other"]
    ctl("reboot-slot", "release", "web", "other")
    # in the lab a host that reboots goes down, and is booted by hand
    wait("it goes down", lambda: not leader("h1"), 60)
    boot()
    wait("the slot is free", lambda: ctl_json("reboot-slot", "status", "web") == [])
    assert show("convene-reboot@web.service", "ActiveState")["ActiveState"] == "inactive"
    log = run("journalctl", "-u", "convene-reboot-slot@web.service", "-b", "-p", "warning", "-o", "cat")
    assert not log.strip(), log


if __name__ == "__main__":
    main("gates")
