# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agent's disk is full, for real: a small ext4 with another file in it, under a load of updates.

Updates are refused and the agent says so everywhere; reads and sessions go on; once there is room it goes on by itself.
Nothing that was acknowledged is lost, and no checkpoint that fails for want of room ends the agent.
"""

import contextlib
import os

from labtest import case, ctl, main, run, show, state, status_of, wait
from rawbus import Bus, BusError
from state import hdir
from util import sh

TREE, SESSIONS = "org.convene1.Tree", "org.convene1.Sessions"
DATA = "/var/lib/convene"
DISK_MB = 96
SEGMENT_MB = 8                          # the smallest that the agent takes
BLOCK = 64 << 10                        # of data, per update
DISK_FULL, ROOM_AGAIN = "3b0930d75af04381be0491602eb1363d", "c8780d7329e842ad87703d9a64ec5f97"
EXIT_UNREACHABLE, EXIT_LIMIT = 6, 7     # of convenectl
EVERYBODY = [[31, "world", "anyone"]]
acknowledged = {}                       # path -> data
unanswered = {}                         # path -> list of data


def mount_small_disk():
    """An ext4 of its own for the agent's data; it goes when the host does."""
    image = hdir("h1", "small.img")
    with open(image, "wb") as f:
        f.truncate(DISK_MB << 20)
    sh(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=0", image])
    device = sh(["losetup", "--find", "--show", image]).strip()
    try:
        number = os.stat(device).st_rdev
        run("mkdir", "-p", DATA)
        run("mknod", "/dev/small", "b", str(os.major(number)), str(os.minor(number)))
        run("mount", "/dev/small", DATA)
        run("rm", "/dev/small")
    finally:
        sh(["losetup", "--detach", device])     # once it is not mounted any more
    run("chown", "convene:convene", DATA)
    run("chmod", "0700", DATA)


def fill(kib_left=0):
    """Another file takes what room there is, but for KIB_LEFT."""
    run("sh", "-c", "for size in 1M 4k; do dd if=/dev/zero of={0}/other bs=$size oflag=append conv=notrunc; done; "
        "sync -f {0}; truncate -s -{1}K {0}/other; sync -f {0}".format(DATA, kib_left), status=None)
    free, size = run("stat", "-f", "-c", "%a %S", DATA).split()
    left = int(free) * int(size) >> 10
    assert abs(left - kib_left) <= 64, "%d KiB are left, not %d" % (left, kib_left)


def make_room():
    run("rm", "-f", DATA + "/other")


class Writer:
    """Updates, a few under way at any time; remembers what was acknowledged, and refused with which errors."""

    def __init__(self, window=8, uid=0):
        self.window, self.waiting, self.refused, self.number = window, [], [], 0
        self.bus = Bus("socket", uid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, path, data in self.waiting:
            unanswered.setdefault(path, []).append(data)
        self.bus.close()

    def send(self, member, path, size):
        self.number += 1
        data = b"%012d " % self.number + os.urandom(size)
        if member == "Create":
            serial = self.bus.send(TREE, "Create", "saysa{sv}", [path, data, "persistent", {"acl": ("a(uss)", EVERYBODY)}])
        else:
            serial = self.bus.send(TREE, "Set", "sayia{sv}", [path, data, -1, {}])
        self.waiting.append((serial, path, data))
        if len(self.waiting) >= self.window:
            self.take()

    def take(self):
        serial, path, data = self.waiting.pop(0)
        try:
            self.bus.wait_reply(serial)
            assert not self.refused, "%s is accepted after an update was refused" % path
            acknowledged[path] = data
        except BusError as e:
            self.refused.append(e.name.rpartition(".")[2])

    def finish(self):
        while self.waiting:
            self.take()


def write_until_refused(limit_mb, window=8, uids=(0,)):
    """Each user has znodes of its own, so that the last update of each is known."""
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(Writer(window, uid)) for uid in uids]
        for i in range((limit_mb << 20) // BLOCK):
            w = writers[i % len(writers)]
            w.send("Set", "/full/%d" % (i % 16), BLOCK)
            if w.refused:
                break
        for w in writers:
            w.finish()
    refused = sum((w.refused for w in writers), [])
    assert refused, "%d MiB were written and none refused" % limit_mb
    assert set(refused) == {"NoSpace"}, refused


def all_acknowledged_is_there():
    assert acknowledged
    with Bus("socket") as bus:
        for path, data in acknowledged.items():
            got = bus.call(TREE, "Get", "sa{sv}", [path, {}])[0]
            assert got == data or got in unanswered.get(path, ()), \
                "%s is %s, acknowledged %s" % (path, got[:13], data[:13])


def agent_property(name):
    with Bus("system") as bus:
        return bus.call("org.freedesktop.DBus.Properties", "Get", "ss", ["org.convene1.Agent", name])[0]


def agent():
    return show("convened.service", "MainPID", "NRestarts", "ActiveState")


def messages(message_id):
    run("journalctl", "--sync")
    return run("journalctl", "-q", "--no-pager", "-o", "cat", "MESSAGE_ID=" + message_id).splitlines()


def serves_again():
    wait("updates are accepted again", lambda: agent_property("SpaceAvailable"))


def good_again():
    """Also if the case before this one ended the agent."""
    make_room()
    run("systemctl", "start", "convened.service")
    serves_again()


def subscribed():
    """A connection that hears of changes of the agent's properties."""
    bus = Bus("system")
    bus.call("org.freedesktop.DBus", "AddMatch", "s", ["type='signal',member='PropertiesChanged',path='/org/convene1'"],
             to="org.freedesktop.DBus", path="/org/freedesktop/DBus")
    return bus


def heard(bus):
    """Properties of the agent that changed, with their last values."""
    bus.call("org.freedesktop.DBus.Peer", "Ping")
    values = {}
    for signal in bus.signals:
        if signal.member == "PropertiesChanged" and signal.body[0] == "org.convene1.Agent":
            values.update(signal.body[1])
    return values


@case
def agent_lives_on_a_small_disk():
    run("systemctl", "stop", "convened.socket", "convened.service")
    mount_small_disk()
    run("sh", "-c", "mkdir -p /etc/convene/convened.conf.d && cat >/etc/convene/convened.conf.d/small.conf",
        stdin="[Store]\nSegmentSize=%dM\nKeepLog=1M\n" % SEGMENT_MB)
    run("systemctl", "start", "convened.socket", "convened.service")
    with Writer() as w:
        w.send("Create", "/full", 0)
        for i in range(16):
            w.send("Create", "/full/%d" % i, 100)
        w.finish()
        assert not w.refused, w.refused
    assert agent_property("SpaceAvailable") and not agent_property("Problems")


@case
def updates_are_refused_when_the_disk_is_full():
    before = agent()
    with subscribed() as bus:
        fill()
        write_until_refused(4 * SEGMENT_MB)
        changed = heard(bus)
        assert changed.get("SpaceAvailable") is False and "full" in str(changed.get("Problems")), changed
    assert agent() == before


@case
def it_says_so_everywhere():
    assert not agent_property("SpaceAvailable")
    problems = agent_property("Problems")
    assert len(problems) == 1 and "full" in problems[0] and DATA in problems[0], problems
    text = show("convened.service", "StatusText")["StatusText"]
    assert "FULL" in text, text
    assert len(messages(DISK_FULL)) == 1, messages(DISK_FULL)
    out = ctl("status", status=EXIT_UNREACHABLE)
    assert "reads only: the disk is full" in out and problems[0] in out, out
    ctl("set", "/full/0", "x", status=EXIT_LIMIT)


@case
def reads_and_sessions_go_on():
    all_acknowledged_is_there()
    assert len(ctl("ls", "/full").split()) == 16
    with Bus("socket") as bus:
        assert bus.outcome(TREE, "Sync", "a{sv}", [{}]) == "ok"
        assert bus.outcome(TREE, "Get", "sa{sv}", ["/full/0", {"linearizable": ("b", True)}]) == "ok"
        assert bus.outcome(SESSIONS, "List", "a{sv}", [{}]) == "ok"


def restart_how(signal):
    before = agent()["MainPID"]
    run("systemctl", "kill", "--kill-whom=main", "--signal=" + signal, "convened.service")
    if signal == "TERM":
        wait("the agent has ended", lambda: state("convened.service") == "inactive")
        run("systemctl", "start", "convened.service")
    wait("the agent is back", lambda: agent()["MainPID"] not in ("0", before) and
         status_of("convenectl", "get", "/full/0") == 0, 30)


@case
def nothing_is_lost_when_it_starts_on_a_full_disk():
    for signal in ("TERM", "KILL"):
        restart_how(signal)
        all_acknowledged_is_there()
        wait("the disk is found full", lambda: not agent_property("SpaceAvailable"))
        ctl("set", "/full/0", "x", status=EXIT_LIMIT)


def log_files():
    return set(run("ls", DATA + "/log").split()) - {"spare"}


def checkpoints_fail(rooms):
    before, log = agent(), log_files()
    for kib_left in rooms:
        fill(kib_left)
        with Bus("system") as bus:
            try:
                bus.call("org.convene1.Agent", "Checkpoint")
                raise AssertionError("there was room for a checkpoint in %d KiB" % kib_left)
            except BusError as e:
                assert "No space" in str(e), "with %d KiB left: %s" % (kib_left, e)
        assert agent() == before, "a checkpoint ended the agent"
    assert log <= log_files(), "the log is not kept"
    assert "Checkpoint failed" in run("journalctl", "-q", "--no-pager", "-n", "20", "-u", "convened.service")
    all_acknowledged_is_there()


@case
def a_first_checkpoint_that_finds_no_room_fails_alone():
    checkpoints_fail((0, 20, 300))


@case
def room_is_noticed():
    before, told = agent(), len(messages(ROOM_AGAIN))
    with subscribed() as bus:
        make_room()
        serves_again()
        changed = heard(bus)
        assert changed.get("SpaceAvailable") is True and changed.get("Problems") == [], changed
    assert len(messages(ROOM_AGAIN)) == told + 1
    assert "FULL" not in show("convened.service", "StatusText")["StatusText"]
    ctl("status")
    with Writer() as w:
        for i in range(3 * (SEGMENT_MB << 20) // BLOCK):
            w.send("Set", "/full/%d" % (i % 16), BLOCK)
        w.finish()
        assert not w.refused, w.refused
    assert agent() == before
    run("systemctl", "restart", "convened.service")
    all_acknowledged_is_there()
    ctl("checkpoint")


@case
def what_is_under_way_when_the_disk_gets_full_ends_well():
    """More than the rest of the log can take, for the disk stands still while it is sent: it waits or is refused."""
    good_again()
    before = agent()
    fill()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(Writer(200, uid)) for uid in (0, 5, 1000)]
        run("fsfreeze", "--freeze", DATA)
        try:
            for i in range(190 * len(writers)):
                writers[i % 3].send("Set", "/full/%d" % (i % 15), BLOCK)
        finally:
            run("fsfreeze", "--unfreeze", DATA)
        wait("the disk is found full", lambda: not agent_property("SpaceAvailable"))
        assert status_of("convenectl", "get", "/full/15") == 0
        make_room()
        for w in writers:
            w.finish()
    refused = sum((w.refused for w in writers), [])
    print("# %d updates under way, %d refused" % (190 * len(writers), len(refused)))
    assert set(refused) <= {"NoSpace"}, set(refused)
    assert agent() == before, "the agent was %s and is %s" % (before, agent())
    all_acknowledged_is_there()
    serves_again()


@case
def a_checkpoint_that_finds_no_room_fails_alone():
    """The disk gets full at different places in it."""
    good_again()
    ctl("checkpoint")
    with Writer() as w:
        for i in range((5 << 20) // BLOCK):
            w.send("Create", "/full/more-%d" % i, BLOCK)
        w.finish()
        assert not w.refused, w.refused
    checkpoints_fail((0, 20, 300, 1000, 2500))
    run("systemctl", "restart", "convened.service")
    all_acknowledged_is_there()


@case
def after_all_that_it_is_well():
    good_again()
    ctl("checkpoint")
    ctl("create", "/after", "all that")
    run("systemctl", "restart", "convened.service")
    all_acknowledged_is_there()
    assert ctl("get", "/after").strip() == "all that"


if __name__ == "__main__":
    main("disk-full")
