# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agent starts when it is first spoken to, over either bus, and serves root and an ordinary user within policy."""

from labtest import SOCKET, case, main, run, show, state, status_of, wait

CALL = ["org.convene1", "/org/convene1"]
TREE = CALL + ["org.convene1.Tree"]


def busctl(*args, user=None, status=0):
    return run("busctl", "--timeout=20", *args, user=user, status=status)


def stop():
    run("systemctl", "stop", "convened.service")
    wait("inactive", lambda: state("convened.service") == "inactive")


@case
def bus_activation():
    stop()
    busctl("call", *TREE, "WhoAmI", "a{sv}", "0")
    assert state("convened.service") == "active"


@case
def bus_activation_by_user():
    stop()
    busctl("call", *TREE, "WhoAmI", "a{sv}", "0", user="alice")
    assert state("convened.service") == "active"


@case
def socket_activation():
    stop()
    assert state("convened.socket") == "active"
    busctl("--address=" + SOCKET, "call", *TREE, "WhoAmI", "a{sv}", "0")
    assert state("convened.service") == "active"


@case
def socket_activation_by_user():
    stop()
    run("convenectl", "--address=" + SOCKET, "ls", "/", user="alice")
    assert state("convened.service") == "active"


@case
def both_serve_the_same_tree():
    run("convenectl", "--address=" + SOCKET, "create", "/both", "one")
    assert run("convenectl", "--system", "get", "/both").strip() == "one"
    run("convenectl", "--system", "set", "/both", "two")
    assert run("convenectl", "--address=" + SOCKET, "get", "/both").strip() == "two"


@case
def properties_and_introspection():
    for where in ([], ["--address=" + SOCKET]):
        for user in (None, "alice"):
            out = busctl(*where, "introspect", *CALL, user=user)
            for name in ("org.convene1.Tree", "org.convene1.Sessions", "org.convene1.Watches", "org.convene1.Ensemble"):
                assert name in out, "introspect as %s %s: no %s" % (user, where, name)


@case
def user_is_kept_within_acl():
    run("convenectl", "create", "--acl", "unix:0@*:cdrwa", "/rootonly", "secret")
    for where in (["--system"], ["--address=" + SOCKET]):
        assert status_of("convenectl", *where, "get", "/rootonly") == 0
        assert status_of("convenectl", *where, "get", "/rootonly", user="alice") == 5
        assert status_of("convenectl", *where, "delete", "/rootonly", user="alice") != 0
    assert status_of("convenectl", "create", "/by-alice", "mine", user="alice") == 5, "the root is not for everybody"
    run("convenectl", "create", "--acl", "unix:1000@*:all", "/alice")
    run("convenectl", "create", "/alice/own", "mine", user="alice")
    assert run("convenectl", "get", "/alice/own", user="alice").strip() == "mine"


@case
def user_may_not_bind_for_others():
    rc = status_of("convenectl", "create", "--ephemeral", "--unit", "dbus.service", "/forged", user="alice")
    assert rc == 5, "exit status %d" % rc
    assert status_of("convenectl", "stat", "/forged") == 3


@case
def nothing_restarted_meanwhile():
    assert show("convened.service", "NRestarts")["NRestarts"] == "0"


if __name__ == "__main__":
    main("activation")
