# SPDX-License-Identifier: LGPL-2.1-or-later
#
# singleton_host.py - a host for test-singleton*.py: an agent, a bus of its own, and on it a systemd that runs the real guard (fake-systemd.c)

import json
import os
import select
import shutil
import signal
import subprocess

from ctl_ensemble import Member
from ctl_harness import BROKER_CONFIGURATION, PATIENCE, Running, Skip, equal, wait_until

FAKE, GUARD = os.environ["FAKE_SYSTEMD"], os.environ["CONVENE_GUARD"]


def candidate(name="myapp"):
    return f"convene-candidate@{name}.target"


def leader(name="myapp"):
    return f"convene-leader@{name}.service"


class Systemd(Running):
    """Orders go to its standard input; what becomes of units is kept in the order in which it was."""

    def __init__(self, host, address):
        super().__init__([FAKE, address, GUARD, str(host.leader), str(host.directory)], stdin=subprocess.PIPE, stderr=None)
        self.log = []                           # (CLOCK_MONOTONIC in seconds, unit, state, token or None)
        self.read_until("convened.service", "active")

    def order(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def read(self):
        at, unit, state, *token = self.line().split()
        self.log.append((int(at) / 1e6, unit, state, int(token[0]) if token else None))
        return self.log[-1]

    def read_until(self, unit, state):
        """Waits until the unit comes to this state; what came before is in the log only."""
        while True:
            entry = self.read()
            if entry[1:3] == (unit, state):
                return entry

    def drain(self):
        """What it has said by now."""
        while b"\n" in self.rest["stdout"] or select.select([self.process.stdout], [], [], 0)[0]:
            self.read()

    def state(self, unit):
        return next((state for _, one, state, _ in reversed(self.log) if one == unit), "inactive")

    def runs(self, unit, host):
        """(from, to, token, host) of each run; to: infinity if it goes on.  Times are those at which its state was said, and come with it."""
        out = []
        for at, one, state, token in self.log:
            if one == unit and state == "active":
                out.append((at, float("inf"), token, host))
            elif one == unit and state in ("inactive", "failed") and out and out[-1][1] == float("inf"):
                out[-1] = (out[-1][0], at, *out[-1][2:])
        return out

    def close(self):
        self.process.stdin.close()
        super().close()


class Host(Member):
    def __init__(self, root, name):
        if not shutil.which("dbus-daemon") or not shutil.which("busctl"):
            raise Skip("dbus-daemon or busctl is not installed")
        super().__init__(root, name)
        self.runtime = self.directory / "run"
        self.leader = self.runtime / "leader"
        (self.runtime / "singleton.d").mkdir(parents=True)
        file = self.directory / "broker.conf"
        file.write_text(BROKER_CONFIGURATION.format(socket=self.directory / "broker"))
        self.daemon = Running(["dbus-daemon", f"--config-file={file}", "--nofork", "--print-address"])
        self.usual = [f"--bus-address={self.daemon.line()}", f"--config={self.conf}"]
        self.more = self.usual
        self.systemd = Systemd(self, self.usual[0].split("=", 1)[1])

    def begin(self):
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(self.runtime)}
        self.running = Running([self.program, "--data", str(self.directory / "data"), "--socket", str(self.socket), "--print-ready",
                                *self.more], stderr=self.journal, env=environment)

    def start(self):
        self.begin()
        assert self.is_ready(), self.last_words()

    def settings(self, file="myapp", **keys):
        keys = {"Unit": "myapp.service", "StopTimeout": "100ms", "SessionTimeout": "2s", "StandBack": "1s", "StandBackMax": "4s", **keys}
        text = "[Singleton]\n" + "".join(f"{key}={value}\n" for key, value in keys.items() if value is not None)
        (self.runtime / "singleton.d" / f"{file}.conf").write_text(text)
        if self.alive:
            self.running.kill(signal.SIGHUP)

    def call(self, *words):
        return subprocess.run(["busctl", f"--address=unix:path={self.socket}", "--json=short", f"--timeout={PATIENCE}", "call", "org.convene1",
                               "/org/convene1", "org.convene1.Singletons", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def called(self, *words):
        answer = self.call(*words)
        equal((answer.returncode, answer.stderr), (0, b""))
        return json.loads(answer.stdout)["data"][0] if answer.stdout else None

    def rows(self):
        return {row["name"]["data"]: {key: value["data"] for key, value in row.items()} for row in self.called("List", "a{sv}", "0")}

    def row(self, name="myapp"):
        return self.rows().get(name)

    def wait_state(self, state, name="myapp"):
        return wait_until(lambda: (self.row(name) or {}).get("state") == state and self.row(name), f"{self.name} is {state}, not {self.row(name)}")

    def stand(self, name="myapp"):
        self.systemd.order("start", candidate(name))

    def leads(self, name="myapp"):
        """Waits until the application runs; its token."""
        return self.systemd.read_until(f"{name}.service", "active")[3]

    def files(self):
        return sorted(file.name for file in self.leader.iterdir()) if self.leader.exists() else []

    def close(self):
        if self.alive:
            self.running.kill(signal.SIGKILL)
            self.running.end()
        if self.running:
            self.running.close()
        self.systemd.close()
        self.daemon.kill(signal.SIGTERM)
        self.daemon.end()
        self.daemon.close()
