# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an ordinary user of a host can and cannot do to the agent, and what the agent can do to the host.

Each case is a numbered security test of the project; SEC-15 with an ephemeral in the place of a lock.
"""

import os
import re
import socket
import struct
import time
import xml.etree.ElementTree as ElementTree

from labtest import case, count, main, run, show, status_of, wait
from rawbus import BUSES, Bus, BusError, METHOD_CALL, SIGNAL, inside, message, types

ROOT, ALICE, GAMES = 0, 1000, 5         # root, the ordinary user, and another one
ALL = 31
EVERYBODY = [[ALL, "world", "anyone"]]
TREE, SESSIONS, WATCHES = "org.convene1.Tree", "org.convene1.Sessions", "org.convene1.Watches"
LOCKS, LEASES, COUNTERS = "org.convene1.Locks", "org.convene1.Leases", "org.convene1.Counters"
BARRIERS, GROUPS, QUEUES = "org.convene1.Barriers", "org.convene1.Groups", "org.convene1.Queues"
AGENT, ENSEMBLE, SINGLETONS = "org.convene1.Agent", "org.convene1.Ensemble", "org.convene1.Singletons"
PROPERTIES = "org.freedesktop.DBus.Properties"


def create(bus, path, data=b"", mode="persistent", acl=None, **options):
    given = {**options, **({"acl": ("a(uss)", acl)} if acl else {})}
    return bus.call(TREE, "Create", "saysa{sv}", [path, data, mode, given])


def agent():
    """What must stay the same while it is attacked."""
    return show("convened.service", "MainPID", "NRestarts", "ActiveState")


def unharmed(before):
    assert agent() == before, "the agent was %s and is %s" % (before, agent())
    assert status_of("busctl", "--timeout=10", "call", "org.convene1", "/org/convene1", TREE, "WhoAmI", "a{sv}", "0") == 0


def remove(path):
    with Bus("system", ROOT) as bus:
        try:
            bus.call(TREE, "DeleteRecursive", "sa{sv}", [path, {}])
        except BusError as e:
            assert e.name.endswith(".NoNode"), e


def prepare():
    """/sec for everybody, /private for root."""
    remove("/sec")
    remove("/private")
    with Bus("system", ROOT) as bus:
        create(bus, "/sec", acl=EVERYBODY)
        create(bus, "/private", b"hidden", acl=[[ALL, "unix", "0@*"]])
        create(bus, "/private/below", b"hidden", acl=[[ALL, "unix", "0@*"]])


#
# SEC-11
#

def calls_of_a_user(own, others):
    """Every method with arguments, and what an ordinary user gets: (interface, member, signature, arguments, outcome).

    own: session and secret of the caller; others: of somebody else.
    """
    none, admin = {}, {"super": ("b", True)}
    return (calls_on_the_tree(own, others, none, admin) + calls_of_recipes(none) +
            calls_beside_the_tree(own, others, none, admin))


def calls_on_the_tree(own, others, none, admin):
    free, shut, low = "/sec/a", "/private", "/private/below"
    return [
        (TREE, "Create", "saysa{sv}", [free, b"1", "persistent", none], "ok"),
        (TREE, "Create", "saysa{sv}", [shut + "/x", b"", "persistent", none], "NoAuth"),
        (TREE, "Create", "saysa{sv}", [shut + "/x", b"", "persistent", admin], "NoAuth"),
        (TREE, "Create", "saysa{sv}", ["/sec/forged", b"", "ephemeral", {"session": ("t", others[0])}], "NoAuth"),
        (TREE, "Get", "sa{sv}", [free, none], "ok"),
        (TREE, "Get", "sa{sv}", [shut, none], "NoAuth"),
        (TREE, "Get", "sa{sv}", [shut, admin], "NoAuth"),
        (TREE, "Exists", "sa{sv}", [free, none], "ok"),
        (TREE, "Exists", "sa{sv}", [free, admin], "NoAuth"),
        (TREE, "Set", "sayia{sv}", [free, b"2", -1, none], "ok"),
        (TREE, "Set", "sayia{sv}", [shut, b"2", -1, none], "NoAuth"),
        (TREE, "Set", "sayia{sv}", [shut, b"2", -1, admin], "NoAuth"),
        (TREE, "GetAcl", "sa{sv}", [free, none], "ok"),
        (TREE, "GetAcl", "sa{sv}", [shut, none], "NoAuth"),
        (TREE, "GetAcl", "sa{sv}", [shut, admin], "NoAuth"),
        (TREE, "SetAcl", "sa(uss)ia{sv}", [free, EVERYBODY, -1, none], "ok"),
        (TREE, "SetAcl", "sa(uss)ia{sv}", [shut, EVERYBODY, -1, none], "NoAuth"),
        (TREE, "SetAcl", "sa(uss)ia{sv}", [shut, EVERYBODY, -1, admin], "NoAuth"),
        (TREE, "GetChildren", "sa{sv}", ["/sec", none], "ok"),
        (TREE, "GetChildren", "sa{sv}", [shut, none], "NoAuth"),
        (TREE, "GetChildren", "sa{sv}", [shut, admin], "NoAuth"),
        (TREE, "List", "sa{sv}", ["/sec", none], "ok"),
        (TREE, "List", "sa{sv}", [shut, none], "NoAuth"),
        (TREE, "List", "sa{sv}", [shut, admin], "NoAuth"),
        (TREE, "CountDescendants", "sa{sv}", ["/sec", none], "ok"),
        (TREE, "CountDescendants", "sa{sv}", [shut, none], "NoAuth"),
        (TREE, "CountDescendants", "sa{sv}", [shut, admin], "NoAuth"),
        (TREE, "GetEphemerals", "sa{sv}", ["/", {"session": ("t", own[0])}], "ok"),
        (TREE, "GetEphemerals", "sa{sv}", ["/", {"session": ("t", others[0])}], "NoAuth"),
        (TREE, "Multi", "a(ssa{sv})a{sv}", [[["check", free, none]], none], "ok"),
        (TREE, "Multi", "a(ssa{sv})a{sv}", [[["check", free, none]], admin], "NoAuth"),
        (TREE, "MultiRead", "a(ss)a{sv}", [[["get", free]], none], "ok"),
        (TREE, "MultiRead", "a(ss)a{sv}", [[["get", free]], admin], "NoAuth"),
        (TREE, "Sync", "a{sv}", [none], "ok"),
        (TREE, "WhoAmI", "a{sv}", [none], "ok"),
        (TREE, "Delete", "sia{sv}", [low, -1, none], "NoAuth"),
        (TREE, "Delete", "sia{sv}", [low, -1, admin], "NoAuth"),
        (TREE, "Delete", "sia{sv}", [free, -1, none], "ok"),
        (TREE, "DeleteRecursive", "sa{sv}", [shut, none], "NoAuth"),
        (TREE, "DeleteRecursive", "sa{sv}", [shut, admin], "NoAuth"),
        (TREE, "DeleteRecursive", "sa{sv}", ["/sec", admin], "NoAuth"),
    ]


RECIPES = ("lock", "election", "counter", "barrier", "double", "group", "queue")
FREE, SHUT = "/sec/recipe-%s", "/private/recipe-%s"
TELL_NOTHING = ("Verify", "Ack")        # to one who has not got the token
FREE_LEASE, SHUT_LEASE = "sec-free", "sec-private"


def prepare_recipes():
    """The znodes behind root's locks, counters and so on, with an ACL that lets only root in."""
    remove("/convene/leases/" + FREE_LEASE)
    remove("/convene/leases/" + SHUT_LEASE)
    own = [[ALL, "unix", "0@*"]]
    with Bus("system", ROOT) as bus:
        for name in RECIPES:
            create(bus, SHUT % name, b"1", acl=own)
        create(bus, SHUT % "queue" + "/item-0000000000", b"work", acl=own)
        for name, acl in ((FREE_LEASE, EVERYBODY), (SHUT_LEASE, own)):
            bus.call(LEASES, "Acquire", "sta{sv}", [name, 600000000, {"acl": ("a(uss)", acl)}])
        bus.call(LEASES, "Release", "sa{sv}", [FREE_LEASE, {}])


def calls_of_recipes(none):
    """They are only as much as the znodes they are made of: what may not be read or made, may not be locked, counted or taken."""
    soon = {"timeout": ("t", 100000)}
    return calls_of_leases(none, soon) + [
        (interface, member, signature, [where % name] + rest, outcome if where == FREE or member in TELL_NOTHING else "NoAuth")
        for where in (FREE, SHUT)
        for interface, member, signature, name, rest, outcome in [
            (LOCKS, "Lock", "sa{sv}", "lock", [soon], "ok"),
            (LOCKS, "Verify", "st", "lock", [1], "ok"),
            (LOCKS, "Campaign", "sa{sv}", "election", [soon], "ok"),
            (LOCKS, "Leader", "sa{sv}", "election", [none], "ok"),
            (LOCKS, "HandOver", "ssa{sv}", "election", ["", none], "BadArguments"),
            (COUNTERS, "Set", "sxa{sv}", "counter", [1, none], "ok"),
            (COUNTERS, "Add", "sxa{sv}", "counter", [1, none], "ok"),
            (COUNTERS, "Get", "sa{sv}", "counter", [none], "ok"),
            (BARRIERS, "Wait", "sa{sv}", "barrier", [soon], "ok"),
            (BARRIERS, "Close", "sa{sv}", "barrier", [none], "ok"),
            (BARRIERS, "Open", "sa{sv}", "barrier", [none], "ok"),
            (BARRIERS, "WaitEmpty", "sa{sv}", "double", [soon], "ok"),
            (BARRIERS, "Enter", "sua{sv}", "double", [1, soon], "ok"),
            (GROUPS, "Join", "sa{sv}", "group", [soon], "ok"),
            (GROUPS, "Members", "sa{sv}", "group", [none], "ok"),
            (GROUPS, "Share", "ssasa{sv}", "group", ["nobody", ["1"], none], "NotHeld"),
            (QUEUES, "Put", "saya{sv}", "queue", [b"1", none], "ok"),
            (QUEUES, "Items", "sa{sv}", "queue", [none], "ok"),
            (QUEUES, "Take", "sa{sv}", "queue", [soon], "ok"),
            (QUEUES, "Ack", "sta{sv}", "queue/item-0000000000", [1, none], "NotHeld"),
        ]] + [(LOCKS, "ListLocks", "a{sv}", [none], "ok")]


def calls_of_leases(none, soon):
    return [
        (LEASES, member, signature, [name] + rest, "ok" if name == FREE_LEASE else "NoAuth")
        for name in (FREE_LEASE, SHUT_LEASE)
        for member, signature, rest in [
            ("Acquire", "sta{sv}", [60000000, soon]),
            ("Get", "sa{sv}", [none]),
            ("Transfer", "ssa{sv}", ["1000@h1", none]),
            ("Release", "sa{sv}", [none]),
        ]] + [(LEASES, "List", "a{sv}", [none], "ok")]


def calls_beside_the_tree(own, others, none, admin):
    return [
        (SESSIONS, "Open", "sa{sv}", ["connection", none], "ok"),
        (SESSIONS, "Open", "sa{sv}", ["explicit", none], "ok"),
        (SESSIONS, "Open", "sa{sv}", ["host", none], "NoAuth"),
        (SESSIONS, "Open", "sa{sv}", ["unit", {"unit": ("s", "dbus.service")}], "NoAuth"),
        (SESSIONS, "OpenDescriptor", "a{sv}", [none], "ok"),
        (SESSIONS, "Attach", "taya{sv}", [others[0], bytes(len(others[1])), none], "AuthFailed"),
        (SESSIONS, "Attach", "taya{sv}", [others[0], b"", none], "AuthFailed"),
        (SESSIONS, "Attach", "taya{sv}", [own[0], own[1], none], "ok"),
        (SESSIONS, "Authenticate", "tsay", [own[0], "digest", b"alice:a password"], "ok"),
        (SESSIONS, "Authenticate", "tsay", [own[0], "super", b"x"], "AuthFailed"),
        (SESSIONS, "Authenticate", "tsay", [own[0], "unix", b"0@h1"], "AuthFailed"),
        (SESSIONS, "Authenticate", "tsay", [others[0], "digest", b"alice:a password"], "NoAuth"),
        (SESSIONS, "KeepAlive", "t", [own[0]], "ok"),
        (SESSIONS, "KeepAlive", "t", [others[0]], "NoAuth"),
        (SESSIONS, "List", "a{sv}", [none], "ok"),
        (SESSIONS, "Close", "ta{sv}", [others[0], none], "NoAuth"),
        (SESSIONS, "Close", "ta{sv}", [own[0], none], "ok"),
        (WATCHES, "Watch", "tssa{sv}", [7, "/sec", "persistent", none], "ok"),
        (WATCHES, "Watch", "tssa{sv}", [8, "/private", "recursive", admin], "NoAuth"),
        (WATCHES, "SetWatches", "ttsasa{sv}", [9, 0, "data", ["/sec"], none], "ok"),
        (WATCHES, "Unwatch", "ts", [7, "/sec"], "ok"),
        ("org.convene1.Statistics", "Get", "", [], "ok"),
        (SINGLETONS, "List", "a{sv}", [none], "ok"),
        (SINGLETONS, "Move", "ssa{sv}", ["sec", "", none], "NoAuth"),
        (SINGLETONS, "Hold", "sba{sv}", ["sec", True, none], "NoAuth"),
        (AGENT, "ListPresences", "", [], "ok"),
        (AGENT, "Checkpoint", "", [], "NoAuth"),
        (ENSEMBLE, "ListMembers", "", [], "ok"),
        (ENSEMBLE, "RemoveMember", "st", ["h1", 0], "NoAuth"),
        (ENSEMBLE, "PromoteMember", "st", ["h1", 0], "NoAuth"),
        (ENSEMBLE, "DemoteMember", "st", ["h1", 0], "NoAuth"),
        (ENSEMBLE, "TransferLeadership", "st", ["h1", 0], "NoAuth"),
        (ENSEMBLE, "CreateToken", "t", [60000], "NoAuth"),
        (ENSEMBLE, "CreateTokenFor", "st", ["h9", 60000], "NoAuth"),
        (ENSEMBLE, "RotateKey", "", [], "NoAuth"),
        ("org.freedesktop.DBus.Peer", "Ping", "", [], "ok"),
        ("org.freedesktop.DBus.Peer", "GetMachineId", "", [], "ok"),
        ("org.freedesktop.DBus.Introspectable", "Introspect", "", [], "ok"),
        (PROPERTIES, "Get", "ss", [AGENT, "Version"], "ok"),
        (PROPERTIES, "GetAll", "s", [ENSEMBLE], "ok"),
        (PROPERTIES, "Set", "ssv", [AGENT, "Version", ("s", "0")], "refused"),
    ]


def methods_offered(bus):
    text = bus.call("org.freedesktop.DBus.Introspectable", "Introspect")[0]
    return {(i.get("name"), m.get("name")) for i in ElementTree.fromstring(text).iter("interface")
            for m in i.iter("method")}


@case
def sec_11_every_method_as_an_ordinary_user():
    for which in BUSES:
        prepare()
        prepare_recipes()
        before = agent()
        with Bus(which, ALICE) as bus, Bus(which, ROOT) as other:
            own = bus.call(SESSIONS, "Open", "sa{sv}", ["explicit", {}])
            others = other.call(SESSIONS, "Open", "sa{sv}", ["explicit", {}])
            calls = calls_of_a_user(own, others)
            unknown = methods_offered(bus) - {c[:2] for c in calls}
            assert not unknown, "methods of %s that this test does not know: %s" % (which, sorted(unknown))
            wrong = []
            for interface, member, signature, body, expected in calls:
                got = bus.outcome(interface, member, signature, body)
                if got != expected and not (expected == "refused" and got != "ok"):
                    wrong.append("%s.%s%s: %s instead of %s" % (interface, member, body, got, expected))
            assert not wrong, "%s:\n%s" % (which, "\n".join(wrong))
            assert other.call(TREE, "Get", "sa{sv}", ["/private", {}])[0] == b"hidden"
            assert other.outcome(SESSIONS, "KeepAlive", "t", [others[0]]) == "ok", "the other's session is gone"
        unharmed(before)


#
# SEC-12
#

@case
def sec_12_a_thousand_questions_to_polkit():
    prepare()
    before = agent()
    with Bus("system", ALICE) as bus:
        admin = {"super": ("b", True)}
        t0 = time.monotonic()
        answers = bus.call_all([(TREE, "Create", "saysa{sv}", ["/private/x%d" % i, b"", "persistent", admin])
                                for i in range(1000)])
        print("# 1000 administrator's requests of a user were answered in %.2f s" % (time.monotonic() - t0))
        granted = [a for a in answers if not isinstance(a, BusError)]
        assert len(answers) == 1000 and not granted, "%d granted" % len(granted)
    assert children("/private") == ["below"]
    unharmed(before)


def children(path):
    with Bus("system", ROOT) as bus:
        return bus.call(TREE, "GetChildren", "sa{sv}", [path, {}])[0]


@case
def sec_12_callers_that_die():
    prepare()
    before = agent()
    for i in range(200):
        bus = Bus(("system", "socket")[i % 2], ALICE)
        for n in range(5):
            bus.send(TREE, "Create", "saysa{sv}", ["/private/y%d-%d" % (i, n), b"", "persistent", {"super": ("b", True)}])
            bus.send(SESSIONS, "Open", "sa{sv}", ["unit", {"unit": ("s", "dbus.service")}])
        bus.close()
    unharmed(before)
    assert children("/private") == ["below"]


@case
def sec_12_callers_that_become_root():
    """The connection stays, but the process that made it has become a set-user-id program when the agent may look at it."""
    prepare()
    before = agent()
    for i in range(40):
        with Bus(("system", "socket")[i % 2], ALICE) as bus:
            bus.become("/usr/bin/su", "--help")
            for options in ({"super": ("b", True)}, {}):
                assert bus.outcome(TREE, "Create", "saysa{sv}", ["/private/z", b"", "persistent", options]) == "NoAuth"
    unharmed(before)
    assert children("/private") == ["below"]


def forged(bus, to, path, interface, member, signature, body):
    """A signal as systemd or the bus would send it, but from BUS and to one receiver."""
    fields = {1: ("o", path), 2: ("s", interface), 3: ("s", member), 6: ("s", to)}
    bus.serial += 1
    bus.send_raw(message(SIGNAL, bus.serial, fields, signature, body))


@case
def sec_12_forged_signals_end_no_session():
    prepare()
    before = agent()
    driver = {"to": "org.freedesktop.DBus", "path": "/org/freedesktop/DBus"}
    with Bus("system", ROOT) as victim:
        name = victim.call("org.freedesktop.DBus", "GetNameOwner", "s", ["org.convene1"], **driver)[0]
        create(victim, "/sec/of-a-connection", mode="ephemeral")
        session = victim.call(SESSIONS, "Open", "sa{sv}", ["unit", {"unit": ("s", "dbus.service")}])[0]
        create(victim, "/sec/of-a-unit", mode="ephemeral", session=("t", session))
        dead = {"ActiveState": ("s", "failed"), "SubState": ("s", "failed"), "InvocationID": ("ay", bytes(16))}
        for which, to in (("system", name), ("socket", "org.convene1")):
            with Bus(which, ALICE) as bus:
                forged(bus, to, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", "sss",
                       [victim.name, victim.name, ""])
                forged(bus, to, "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", "sss",
                       ["org.freedesktop.systemd1", "", bus.name])
                forged(bus, to, "/org/freedesktop/systemd1/unit/dbus_2eservice", PROPERTIES, "PropertiesChanged",
                       "sa{sv}as", ["org.freedesktop.systemd1.Unit", dead, []])
                bus.outcome(TREE, "Sync", "a{sv}", [{}])
        victim.call(TREE, "Sync", "a{sv}", [{}])
        assert children("/sec") == ["of-a-connection", "of-a-unit"], children("/sec")
        victim.call(SESSIONS, "Close", "ta{sv}", [session, {}])
    unharmed(before)


#
# SEC-13
#

@case
def sec_13_properties_cannot_be_set():
    for which in BUSES:
        for uid in (ROOT, ALICE):
            with Bus(which, uid) as bus:
                got = bus.outcome(PROPERTIES, "Set", "ssv", [ENSEMBLE, "Epoch", ("u", 99)])
                assert got in ("AccessDenied", "PropertyReadOnly"), "%s as %d: %s" % (which, uid, got)


@case
def sec_13_name_cannot_be_taken():
    driver = {"to": "org.freedesktop.DBus", "path": "/org/freedesktop/DBus"}
    with Bus("system", ALICE) as bus:
        for flags in (0, 1, 2, 4, 7):
            got = bus.outcome("org.freedesktop.DBus", "RequestName", "su", ["org.convene1", flags], **driver)
            assert got == "AccessDenied", got
        owner = bus.call("org.freedesktop.DBus", "GetNameOwner", "s", ["org.convene1"], **driver)[0]
        assert owner != bus.name


@case
def sec_13_descriptors_are_refused():
    before = agent()
    for which in BUSES:
        left = show("convened.service", "MainPID")["MainPID"]
        held = len(run("ls", "/proc/%s/fd" % left).split())
        for n in (1, 16, 64):
            with Bus(which, ALICE) as bus:
                fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(n)]
                try:
                    serial = bus.send(TREE, "WhoAmI", "a{sv}", [{}], fds=fds)
                    bus.wait_reply(serial)      # that they were let go is what counts
                except (BusError, ConnectionError, PermissionError):
                    pass                        # PermissionError: the agent's socket takes none (SO_PASSRIGHTS)
                finally:
                    for fd in fds:
                        os.close(fd)
        wait("the agent has let go of the descriptors",
             lambda: len(run("ls", "/proc/%s/fd" % left).split()) <= held + 2)
    unharmed(before)


@case
def sec_13_a_message_of_128_mib():
    before = agent()
    for which in BUSES:
        with Bus(which, ALICE) as bus:
            fields = {1: ("o", "/org/convene1"), 2: ("s", TREE), 3: ("s", "Set"), 6: ("s", "org.convene1")}
            head = bytearray(message(METHOD_CALL, 99, fields, "sayia{sv}", ["/sec", b"", -1, {}]))
            head[4:8] = struct.pack("<I", 128 << 20)
            try:
                bus.send_raw(head)
                for _ in range(128):
                    bus.send_raw(bytes(1 << 20))
                bus.wait_reply(99)
                raise AssertionError("%s took it" % which)
            except (BusError, ConnectionError, TimeoutError):
                pass
        unharmed(before)
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", run("cat", "/proc/%s/status" % before["MainPID"])).group(1))
    assert peak < 512 << 10, "the agent's memory grew to %d KiB" % peak


def damaged_messages():
    """Well-formed headers with something wrong in them, as bytes."""
    fields = {1: ("o", "/org/convene1"), 2: ("s", TREE), 3: ("s", "Get"), 6: ("s", "org.convene1")}
    good = message(METHOD_CALL, 99, fields, "sa{sv}", ["/sec", {}])
    yield message(METHOD_CALL, 99, {**fields, 8: ("g", "s(a{sv")})
    yield message(METHOD_CALL, 99, {**fields, 8: ("g", "a" * 200 + "s")})
    yield message(METHOD_CALL, 99, {**fields, 8: ("g", "{sv}")})
    yield message(METHOD_CALL, 99, {**fields, 8: ("g", "z")})
    yield message(METHOD_CALL, 99, {**fields, 1: ("s", "no path")})
    yield message(METHOD_CALL, 99, {**fields, 3: ("s", "")})
    yield message(METHOD_CALL, 99, fields, "s", [b"\xff\xfe"])
    yield good[:-4]
    yield good[:4] + b"\xff\xff\xff\xff" + good[8:]
    yield good[:12] + b"\xff\xff\xff\x7f" + good[16:]
    yield b"X" + good[1:]
    yield good[:3] + b"\x07" + good[4:]
    for at in range(0, len(good), 3):
        yield good[:at] + bytes([good[at] ^ 0xff]) + good[at + 1:]


@case
def sec_13_malformed_messages():
    before, n = agent(), 0
    for which in BUSES:
        for raw in damaged_messages():
            with Bus(which, ALICE) as bus:
                try:
                    bus.socket.sendall(raw)
                    bus.socket.shutdown(socket.SHUT_WR)
                    while True:
                        bus.take(bus.receive())
                except (ConnectionError, OSError, UnicodeDecodeError):
                    pass
                n += 1
    print("# %d malformed messages" % n)
    unharmed(before)


@case
def sec_13_wrong_arguments():
    """Well-formed messages whose arguments are not those of the method."""
    before = agent()
    for which in BUSES:
        with Bus(which, ALICE) as bus:
            for interface, member, signature, body, _ in calls_of_a_user([1, b""], [1, b""]):
                if not interface.startswith("org.convene1."):
                    continue
                for wrong, value in (("i", [1]), ("sss", ["a", "b", "c"]), ("v", [("v", ("v", ("s", "x")))])):
                    assert types(signature) != types(wrong)
                    got = bus.outcome(interface, member, wrong, value)
                    assert got != "ok", "%s.%s took %s" % (interface, member, wrong)
    unharmed(before)


#
# SEC-14
#

def others_work(which):
    with Bus(which, GAMES) as bus:
        session = bus.call(SESSIONS, "Open", "sa{sv}", ["connection", {}])[0]
        create(bus, "/sec/of-games", mode="ephemeral", session=("t", session))
        bus.call(WATCHES, "Watch", "tssa{sv}", [1, "/sec/of-games", "persistent", {}])
        bus.call(SESSIONS, "Close", "ta{sv}", [session, {}])


def bounded(what, answers, most):
    good = sum(not isinstance(a, BusError) for a in answers)
    errors = {a.name.rsplit(".", 1)[1] for a in answers if isinstance(a, BusError)}
    print("# %s: %d of %d granted, then %s" % (what, good, len(answers), sorted(errors)))
    assert 0 < good <= most, "%s: %d granted, %d expected at most" % (what, good, most)
    assert errors == {"LimitExceeded"}, errors


@case
def sec_14_sessions():
    prepare()
    before = agent()
    for which in BUSES:
        with Bus(which, ALICE) as bus:
            bounded("sessions over " + which, bus.call_all([(SESSIONS, "Open", "sa{sv}", ["connection", {}])] * 20000), 64)
            others_work(which)
        wait("the sessions are gone with their connection", lambda: owned_sessions() == 0)
    unharmed(before)


def owned_sessions():
    with Bus("system", ROOT) as bus:
        found = bus.call(SESSIONS, "List", "a{sv}", [{}])[0]
    return sum("uid %d" % ALICE in s[2] for s in found)


@case
def sec_14_ephemerals():
    prepare()
    before = agent()
    with Bus("socket", ALICE) as bus:
        session = bus.call(SESSIONS, "Open", "sa{sv}", ["connection", {}])[0]
        options = {"session": ("t", session)}
        bounded("ephemerals", bus.call_all([(TREE, "Create", "saysa{sv}", ["/sec/e%d" % i, b"", "ephemeral", options])
                                            for i in range(20000)]), 10000)
        others_work("system")
        others_work("socket")
    wait("the ephemerals are gone with their session", lambda: children("/sec") == [], 30)
    unharmed(before)


@case
def sec_14_watches():
    prepare()
    before = agent()
    with Bus("socket", ALICE) as bus:
        bounded("watches", bus.call_all([(WATCHES, "Watch", "tssa{sv}", [i + 1, "/sec", "persistent", {}])
                                         for i in range(20000)]), 10000)
        others_work("system")
        others_work("socket")
    unharmed(before)


@case
def sec_14_calls_without_reading_answers():
    """A client that asks and never listens is cut off, or not answered; the agent does not keep its answers for ever."""
    prepare()
    before = agent()
    with Bus("system", ROOT) as bus:
        bus.call(TREE, "Set", "sayia{sv}", ["/sec", bytes(500000), -1, {}])
    with Bus("socket", ALICE) as bus:
        bus.socket.settimeout(2)
        fields = {1: ("o", "/org/convene1"), 2: ("s", TREE), 3: ("s", "Get"), 6: ("s", "org.convene1")}
        try:
            for i in range(20000):
                bus.socket.sendall(message(METHOD_CALL, i + 2, fields, "sa{sv}", ["/sec", {}]))
        except (TimeoutError, ConnectionError):
            pass
        others_work("system")
        others_work("socket")
        memory = int(re.search(r"VmRSS:\s+(\d+) kB", run("cat", "/proc/%s/status" % before["MainPID"])).group(1))
        assert memory < 512 << 10, "the agent's memory grew to %d KiB" % memory
    unharmed(before)


#
# SEC-15, SEC-16, SEC-18
#

@case
def sec_15_a_client_that_dies_holds_nothing():
    prepare()
    last = 0
    for which in list(BUSES) * 5:
        bus = Bus(which, ALICE)
        created = create(bus, "/sec/held", mode="ephemeral")[1]
        assert created[0] > last, "fencing token %d does not exceed %d" % (created[0], last)
        last = created[0]
        with Bus(which, GAMES) as other:
            assert other.outcome(TREE, "Create", "saysa{sv}", ["/sec/held", b"", "ephemeral", {}]) == "NodeExists"
        bus.close()
        wait("the ephemeral is gone", lambda: "held" not in children("/sec"))


def java_random_bytes(seed, size):
    """java.util.Random(seed).nextBytes: what ZooKeeper derives a session's password from."""
    state, out = (seed ^ 0x5DEECE66D) & ((1 << 48) - 1), bytearray()
    while len(out) < size:
        state = (state * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        out += struct.pack("<I", state >> 16)
    return bytes(out[:size])


@case
def sec_16_sessions_cannot_be_guessed():
    prepare()
    with Bus("system", ROOT) as owner, Bus("system", ALICE) as bus:
        session, secret, _ = owner.call(SESSIONS, "Open", "sa{sv}", ["explicit", {}])
        flipped = [bytes(b ^ (1 << bit if i == at else 0) for i, b in enumerate(secret))
                   for at in range(len(secret)) for bit in (0, 7)]
        derived = [java_random_bytes(session ^ salt, len(secret)) for salt in (0, 0xB3415C00)]
        guesses = [b"", bytes(len(secret)), secret[:-1], secret + b"\0", secret[::-1]] + flipped + derived
        for guess in guesses:
            got = bus.outcome(SESSIONS, "Attach", "taya{sv}", [session, guess, {}])
            assert got == "AuthFailed", "%s: %s" % (guess.hex(), got)
        for other in (session - 1, session + 1, 0, 1, (1 << 64) - 1):
            assert bus.outcome(SESSIONS, "Attach", "taya{sv}", [other, secret, {}]) != "ok"
        assert bus.outcome(TREE, "Create", "saysa{sv}", ["/sec/x", b"", "ephemeral", {"session": ("t", session)}]) == "NoAuth"
        assert owner.outcome(SESSIONS, "KeepAlive", "t", [session]) == "ok"


@case
def sec_16_secrets_are_random():
    """Bytes of secrets against chance (chi-square with 255 degrees of freedom; 99.9999 % lie below 377), and none twice."""
    wanted, secrets = count("LAB_SECRETS", 3000), []
    with Bus("socket", ALICE) as bus:
        while len(secrets) < wanted:
            opened = [bus.call(SESSIONS, "Open", "sa{sv}", ["connection", {}])] if not secrets else \
                bus.call_all([(SESSIONS, "Open", "sa{sv}", ["connection", {}])] * 50)
            secrets += [o[1] for o in opened]
            bus.call_all([(SESSIONS, "Close", "ta{sv}", [o[0], {}]) for o in opened])
    assert len(set(secrets)) == len(secrets), "a secret was given twice"
    assert min(map(len, secrets)) >= 16
    counts = [0] * 256
    for b in b"".join(secrets):
        counts[b] += 1
    expected = sum(counts) / 256
    chi = sum((c - expected) ** 2 / expected for c in counts)
    print("# %d secrets of %d bytes, chi-square %.1f" % (len(secrets), len(secrets[0]), chi))
    assert chi < 377, chi


@case
def sec_18_recursive_watch_shows_no_unreadable_child():
    for which in BUSES:
        prepare()
        with Bus(which, ALICE) as bus, Bus(which, ROOT) as other:
            bus.call(WATCHES, "Watch", "tssa{sv}", [1, "/sec", "recursive", {}])
            bus.call(WATCHES, "Watch", "tssa{sv}", [2, "/private", "recursive", {}])
            root_only = [[ALL, "unix", "0@*"]]
            create(other, "/sec/secret-name", b"x", acl=root_only)
            other.call(TREE, "Set", "sayia{sv}", ["/sec/secret-name", b"y", -1, {}])
            create(other, "/sec/secret-name/below", acl=root_only)
            other.call(TREE, "Set", "sayia{sv}", ["/private", b"z", -1, {}])
            other.call(TREE, "DeleteRecursive", "sa{sv}", ["/sec/secret-name", {}])
            create(other, "/sec/open", acl=EVERYBODY)
            bus.call(TREE, "Sync", "a{sv}", [{}])       # events come before the answer that shows the new state
            seen = {s.body[2] for s in bus.signals if s.member == "Event"}
            assert "/sec/open" in seen, "%s: the watch does not work: %s" % (which, seen)
            assert not [p for p in seen if "secret" in p or p.startswith("/private")], seen


#
# SEC-19, SEC-20
#

def asked_of_systemd(member, signature, *arguments):
    """What systemd says when the agent's user asks for something; "" if it did it, or would have."""
    said = run("sh", "-c", 'setpriv --reuid=convene --regid=convene --clear-groups busctl --timeout=20 --quiet call "$@" 2>&1', "sh",
               "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", member, signature,
               *arguments, status=None)
    return said.strip() if re.search(r"denied|authentication required|not permitted", said, re.I) else ""


@case
def sec_19_agent_starts_and_stops_leader_units_alone():
    leader = "convene-leader@sec.service"
    assert not asked_of_systemd("StartUnit", "ss", leader, "replace"), "its own unit is refused"
    assert not asked_of_systemd("StopUnit", "ss", leader, "replace"), "its own unit is refused"
    assert show(leader, "ActiveState")["ActiveState"] == "inactive", "it does not lead"
    for unit in ("dbus.service", "convened.service", "rescue.target", "convene-candidate@sec.target", "systemd-journald.service"):
        for member in ("StartUnit", "StopUnit", "RestartUnit", "ReloadUnit"):
            assert asked_of_systemd(member, "ss", unit, "replace"), "%s %s is allowed" % (member, unit)
    for what in (("RestartUnit", "ss", leader, "replace"), ("KillUnit", "ssi", "dbus.service", "all", "9"), ("ResetFailedUnit", "s", "dbus.service"),
                 ("SetUnitProperties", "sba(sv)", "dbus.service", "true", "1", "CPUWeight", "t", "1"),
                 ("EnableUnitFiles", "asbb", "1", "convened.service", "true", "false"),
                 ("MaskUnitFiles", "asbb", "1", "cron.service", "true", "false"),
                 ("StartTransientUnit", "ssa(sv)a(sa(sv))", "convene-leader@x.service", "fail", "0", "0"),
                 ("StartTransientUnit", "ssa(sv)a(sa(sv))", "sec.service", "fail", "0", "0"),
                 ("Reload", ""), ("SetEnvironment", "as", "1", "A=b")):
        assert asked_of_systemd(*what), "%s is allowed" % (what,)


@case
def sec_20_names_are_names_and_nothing_else():
    """Neither a unit's instance nor what stands in the tree becomes a path, a specifier or a command."""
    prepare()
    before = agent()
    for name in ("x.env", "x.token", "x.service", r"a\x2f..\x2fb", "sec20"):
        run("systemctl", "start", "convene-candidate@%s.target" % name)
    with Bus("system", ROOT) as bus:
        for name in ("$(reboot)", "a;b", "a%n", "x y", "-x"):
            bus.call(TREE, "Create", "saysa{sv}", ["/convene/elections/" + name, b"", "persistent", {"parents": ("b", True)}])
        for name in ("../x", "a/b", "a%n", "", "$(reboot)", "x.env", "a\nb", "a" * 225):
            for member, signature, rest in (("Hold", "sba{sv}", [True, {}]), ("Move", "ssa{sv}", ["", {}])):
                assert bus.outcome(SINGLETONS, member, signature, [name, *rest]) == "BadArguments", (member, name)
        rows = [row["name"] for row in bus.call(SINGLETONS, "List", "a{sv}", [{}])[0]]
        assert "sec20" in rows, rows
        assert not set(rows) & {"x.env", "x.token", "x.service", "$(reboot)", "a;b", "a%n", "x y", "-x"}, rows
    assert run("sh", "-c", "ls -A /run/convene/leader /run/convene/stopped /var/lib/convene/held 2>/dev/null | grep -v : | grep . || true").strip() == ""
    for name in ("x.env", "x.token", "x.service", r"a\x2f..\x2fb", "sec20"):
        run("systemctl", "stop", "convene-candidate@%s.target" % name)
    unharmed(before)


#
# SEC-21, SEC-22, SEC-23
#

@case
def sec_21_unit_is_sound_and_tight():
    out = run("systemd-analyze", "verify", "--man=no", "convened.service", "convened.socket", "convene-leader@x.service",
              "convene-candidate@x.target")
    assert not out.strip(), out
    out = run("systemd-analyze", "security", "--no-pager", "--threshold=15", "convened.service")
    print("# " + out.strip().splitlines()[-1])


@case
def sec_22_process_is_confined():
    pid = agent()["MainPID"]
    status = run("cat", "/proc/%s/status" % pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert re.search(r"^%s:\t0+$" % name, status, re.M), "%s is not empty" % name
    assert re.search(r"^Seccomp:\t2$", status, re.M), "no system call filter"
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    uid = run("id", "-u", "convene").strip()
    assert re.search(r"^Uid:\t%s\t%s\t%s\t%s$" % ((uid,) * 4), status, re.M)
    writable = [line for line in run("cat", "/proc/%s/maps" % pid).splitlines() if re.match(r"\S+ .?wx", line)]
    assert not writable, writable
    limits = run("cat", "/proc/%s/limits" % pid)
    assert re.search(r"^Max core file size\s+0\s+0", limits, re.M), "a core could be written, with secrets in it"


def as_agent(*command):
    """Exit status of a command that sees what the agent's process sees, as its user."""
    pid = agent()["MainPID"]
    return status_of("nsenter", "--target", pid, "--mount", "setpriv", "--reuid=convene", "--regid=convene",
                     "--clear-groups", "--no-new-privs", "--inh-caps=-all", *command)


@case
def sec_22_process_sees_little_of_the_host():
    assert as_agent("cat", "/etc/hostname") == 0, "the way to look does not work"
    assert as_agent("test", "-w", "/var/lib/convene") == 0
    run("sh", "-c", "mkdir -p -m 0700 /var/lib/someone && echo x > /var/lib/someone/file; echo x > /root/file")
    for path in ("/etc/shadow", "/dev/mem", "/dev/kmsg", "/proc/kmsg", "/proc/sys/kernel/hostname", "/root/file", "/var/lib/someone/file",
                 "/home/alice/.profile", "/run/systemd/private", "/proc/1/environ"):
        assert as_agent("cat", path) != 0, "can read " + path
    for path in ("/etc", "/usr/lib/convene", "/var/lib", "/var/lib/someone", "/etc/convene", "/run", "/boot", "/sys/kernel"):
        assert as_agent("touch", path + "/made-by-the-agent") != 0, "can write in " + path


@case
def sec_23_secrets_are_nowhere():
    """Secrets that clients were given, and passwords they gave, in no journal, no log or checkpoint, no file of the agent's."""
    prepare()
    password = "correct-horse-" + os.urandom(8).hex()
    found = [password.encode()]
    for which in BUSES:
        with Bus(which, ALICE) as bus:
            for owner in ("connection", "explicit"):
                session, secret, _ = bus.call(SESSIONS, "Open", "sa{sv}", [owner, {}])
                bus.call(SESSIONS, "Authenticate", "tsay", [session, "digest", ("alice:" + password).encode()])
                create(bus, "/sec/s-", mode="ephemeral-sequential", session=("t", session))
                bus.call(SESSIONS, "Attach", "taya{sv}", [session, secret, {}])
                bus.outcome(SESSIONS, "Attach", "taya{sv}", [session, secret[:-1], {}])
                found += [secret, secret.hex().encode()]
    with Bus("system", ROOT) as bus:
        bus.call(AGENT, "Checkpoint")
        listed = repr(bus.call(TREE, "List", "sa{sv}", ["/", {"data": ("b", True)}])).encode()
        listed += repr(bus.call(SESSIONS, "List", "a{sv}", [{}])).encode()
    run("journalctl", "--flush", status=None)
    run("journalctl", "--sync")
    places = {"the tree": listed, "the journal": run("journalctl", "-o", "json", "--all", "--no-pager").encode(),
              "the store": stored_bytes()}
    assert len(places["the store"]) > 1000 and b"convened" in places["the journal"]
    for place, data in places.items():
        for text in found:
            assert text not in data and repr(text).encode()[2:-1] not in data, "%s has %r" % (place, text)


def stored_bytes():
    """All that the agent keeps in files, as they are on the disk."""
    out = bytearray()
    for top in ("/var/lib/convene", "/run/convene"):
        for directory, _, names in os.walk("/proc/%d/root%s" % (inside("h1"), top)):
            for name in names:
                path = os.path.join(directory, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        out += f.read()
    return bytes(out)


if __name__ == "__main__":
    main("security")
