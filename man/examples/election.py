#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An election from Python, with nothing but GLib's D-Bus binding (Debian: python3-gi).

Shows: standing for election, knowing who leads, working only while leading, handing over on SIGTERM, and going on after a restart
of the agent.

Change: work().  Give the token to whatever it writes to, and have that refuse one that is smaller than it has seen.

Try it, as root on two hosts of an ensemble or twice on one:

    ./election.py demo

One says "leading"; kill it in any way, and the other does.  "convenectl leader watch demo" shows it from outside.  For another user
than root an administrator makes the election first, with an ACL: convenectl create --parents --acl=unix:1000@*:cr --acl=world:anyone:r
/convene/elections/demo

usage: election.py NAME [SESSION_TIMEOUT_MS]
"""

import os
import signal
import string
import sys

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib

SOCKET = "/run/convene/bus"
NAME, PATH = "org.convene1", "/org/convene1"
LOCKS, ELECTION = "org.convene1.Locks", "org.convene1.Election"
CALL_MS = 30000


def work(token):
    """What only the leader does, once a second.  Briefly: while it runs nobody notices that leadership is lost."""
    say(f"working with token {token}")


def say(text):
    print(text, flush=True)


def connect():
    """The agent's own socket; without it the system bus, which is the same, a little slower."""
    address = os.environ.get("CONVENE_ADDRESS") or os.path.exists(SOCKET) and "unix:path=" + SOCKET
    if not address:
        address = Gio.dbus_address_get_for_bus_sync(Gio.BusType.SYSTEM)
    return Gio.DBusConnection.new_for_address_sync(address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
                                                   Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION)


def object_path(name):
    """As sd_bus_path_encode() does it."""
    plain = string.ascii_letters + string.digits
    label = "".join(chr(c) if chr(c) in plain and not (i == 0 and chr(c).isdigit()) else f"_{c:02x}" for i, c in enumerate(name.encode()))
    return f"{PATH}/election/{label}"


class Candidate:
    def __init__(self, name, timeout_ms):
        self.name, self.timeout_ms = name, timeout_ms
        self.loop = GLib.MainLoop()
        self.bus = None                 # None: there is no agent at the moment
        self.descriptor = None          # our place in the line, and later leadership; it outlives a restart of the agent
        self.token = 0
        self.sources = []               # what is watched as long as there is a descriptor
        self.leading = False
        self.leader = None              # who leads, as said last

    def reach(self):
        """Connects and does what is left to do; again a second later, as long as there is no agent or it has no quorum."""
        try:
            if not self.bus:
                self.bus = connect()
                self.bus.connect("closed", self.on_closed)
                self.bus.signal_subscribe(None, "org.freedesktop.DBus.Properties", "PropertiesChanged", object_path(self.name), ELECTION,
                                          Gio.DBusSignalFlags.NONE, lambda *_: self.look())
            if self.descriptor is None:
                self.stand()
            self.look()
            return GLib.SOURCE_REMOVE
        except GLib.Error as error:
            say(f"not yet: {error.message}")
            return GLib.SOURCE_CONTINUE

    def on_closed(self, *_):
        """The agent has ended.  Whether we still lead is for the descriptor to say, not for this."""
        self.bus = None
        say("the agent is away")
        GLib.timeout_add_seconds(1, self.reach)

    def stand(self):
        options = {"pending": GLib.Variant("b", True), "session-timeout": GLib.Variant("u", self.timeout_ms),
                   "data": GLib.Variant("ay", f"process {os.getpid()}".encode())}
        reply, descriptors = self.bus.call_with_unix_fd_list_sync(NAME, PATH, LOCKS, "Campaign",
                                                                  GLib.Variant("(sa{sv})", (self.name, options)), GLib.VariantType("(htsu)"),
                                                                  Gio.DBusCallFlags.NONE, CALL_MS, None, None)
        index, self.token, _, grace_ms = reply.unpack()
        self.descriptor = descriptors.get(index)
        say(f"standing; when it is lost there are {grace_ms} ms to stop")
        # before all else that is due: a process that was frozen learns first what it has lost
        self.sources = [GLib.unix_fd_add_full(GLib.PRIORITY_HIGH, self.descriptor, GLib.IOCondition.IN | GLib.IOCondition.HUP,
                                              self.on_descriptor)]

    def on_descriptor(self, descriptor, _):
        """A line: we lead.  The end: we do not, or not any more."""
        line = os.read(descriptor, 4096)
        if line:
            if line.strip():                    # we have let others go first, or the agent was restarted: the token is another one
                self.token = int(line.split()[0])
            self.leading = True
            say(f"leading with token {self.token}")
            self.sources.append(GLib.timeout_add_seconds(1, self.on_second))
            return GLib.SOURCE_CONTINUE
        say(f"lost with token {self.token}")
        self.resign()
        GLib.timeout_add_seconds(1, self.reach)
        return GLib.SOURCE_CONTINUE             # it is gone already

    def on_second(self):
        work(self.token)
        return GLib.SOURCE_CONTINUE

    def resign(self):
        """Stop working, then let go: in this order."""
        for source in self.sources:
            GLib.source_remove(source)
        self.sources, self.leading = [], False
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = None

    def look(self):
        """Say who leads, if it is not who did."""
        try:
            (leader, data) = self.bus.call_sync(NAME, PATH, LOCKS, "Leader", GLib.Variant("(sa{sv})", (self.name, {})),
                                                GLib.VariantType("((ssssuutxtus)ay)"), Gio.DBusCallFlags.NONE, CALL_MS, None).unpack()
            text = f"{leader[2]} leads, {bytes(data).decode(errors='replace')}, with token {leader[8]}"
        except GLib.Error as error:
            if Gio.DBusError.get_remote_error(error) != "org.convene1.Error.NotHeld":
                return                          # there is no quorum, or no agent: we are told when that changes
            text = "nobody leads"
        if text != self.leader:
            self.leader = text
            say(text)

    def on_signal(self):
        self.resign()
        say("handed over")
        self.loop.quit()
        return GLib.SOURCE_REMOVE

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, self.on_signal)
        if self.reach():
            GLib.timeout_add_seconds(1, self.reach)
        self.loop.run()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: election.py NAME [SESSION_TIMEOUT_MS]")
    Candidate(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 10000).run()
