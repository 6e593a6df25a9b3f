# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of one host's agent, over /run/convene/bus, that writes down what it asks and is told (see history.py).

    client.py HOST NAME FILE SEED

It creates /lab/own/NAME/0000001 and so on, one after the other, and in between reads the shared znodes /lab/shared/N and
sets them if nobody else has meanwhile.  Its connections belong to processes of the host, but what it writes is kept outside,
where no crash of the host reaches it, and all clients have one clock.  When a connection breaks it makes another, for as long
as it takes, until SIGTERM.
"""

import json
import os
import random
import signal
import sys
import time

from rawbus import Bus, BusError

TREE = "org.convene1.Tree"
UID = 1000                              # alice, an ordinary user
SHARED = 4
CALL_SEC_MAX = 60.0
PAUSE_SEC_MAX = 0.004
RETRY_SEC = 0.01
LINEARIZABLE = {"linearizable": ("b", True)}


class Stop(Exception):
    pass


class Client:
    def __init__(self, host, name, path, seed):
        self.host, self.name, self.chance = host, name, random.Random(seed)
        self.out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.n, self.next, self.bus, self.ending = 0, 1, None, False

    def write(self, *words):
        os.write(self.out, json.dumps(words, separators=(",", ":")).encode() + b"\n")

    def connect(self):
        while not self.bus:
            if self.ending:
                raise Stop
            try:
                self.bus = Bus("socket", UID, self.host, CALL_SEC_MAX)
            except (OSError, AssertionError):
                time.sleep(RETRY_SEC)

    def call(self, kind, path, data, expected, member, signature, body):
        """One call, written down; returns what to make of it: (outcome, zxid, version, data)."""
        self.connect()
        if self.ending:
            raise Stop
        self.n += 1
        self.write("call", self.n, time.monotonic(), kind, path, data, expected)
        try:
            answer = self.bus.call(TREE, member, signature, body)
            result = ("ok",) + self.facts(kind, answer)
        except BusError as e:
            word = e.name.rsplit(".", 1)[1]
            result = ("unknown" if word == "FateUnknown" or not e.name.startswith("org.convene1.Error.") else word, 0, 0, "")
        except OSError:
            # The connection broke, or there was no answer.
            self.bus.close()
            self.bus = None
            result = ("unknown", 0, 0, "")
        self.write("return", self.n, time.monotonic(), *result)
        return result

    @staticmethod
    def facts(kind, answer):
        """(zxid, version, data) of an answer; a Stat has czxid, mzxid and version at 0, 1 and 5."""
        if kind == "create":
            return answer[1][0], 0, ""
        if kind == "set":
            return answer[0][1], answer[0][5], ""
        return answer[1][1], answer[1][5], answer[0].decode()

    def create(self):
        path, data = "/lab/own/%s/%07d" % (self.name, self.next), "%s %d" % (self.name, self.next)
        outcome = self.call("create", path, data, 0, "Create", "saysa{sv}", (path, data.encode(), "persistent", {}))[0]
        if outcome in ("ok", "NodeExists"):     # the latter: one before, whose answer was lost, had succeeded
            self.next += 1

    def compare_and_set(self, path):
        outcome, _, version, _ = self.call("read", path, "", 0, "Get", "sa{sv}", (path, LINEARIZABLE))
        if outcome == "ok":
            data = "%s %d" % (self.name, self.n)
            self.call("set", path, data, version, "Set", "sayia{sv}", (path, data.encode(), version, {}))

    def peek(self, path):
        self.call("peek", path, "", 0, "Get", "sa{sv}", (path, {}))

    def work(self):
        while True:
            path, dice = "/lab/shared/%d" % self.chance.randrange(SHARED), self.chance.random()
            if dice < 0.5:
                self.create()
            elif dice < 0.85:
                self.compare_and_set(path)
            else:
                self.peek(path)
            time.sleep(self.chance.random() * PAUSE_SEC_MAX)


def main():
    host, name, path, seed = sys.argv[1:]
    client = Client(host, name, path, seed)

    def end(*_):
        client.ending = True

    signal.signal(signal.SIGTERM, end)
    try:
        client.work()
    except Stop:
        pass


if __name__ == "__main__":
    main()
