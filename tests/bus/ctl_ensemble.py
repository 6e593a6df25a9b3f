# SPDX-License-Identifier: LGPL-2.1-or-later
"""An ensemble of agents on loopback, for the tests of convenectl."""

import pathlib
import shutil
import signal
import tempfile

from ctl_harness import CONFLICT, OK, UNREACHABLE, Agent, Running, bad, ctl, equal, free_port, good, main, wait_until

CONFIGURATION = 78              # exit status of convened


class Member(Agent):
    made = []                   # all of them, so that none outlives a test that fails

    def __init__(self, root, name):
        directory = root / name
        directory.mkdir()
        super().__init__(directory)
        self.name = name
        self.address = f"127.0.0.1:{free_port()}"
        self.conf = directory / "conf"
        self.conf.write_text(f"[Agent]\nName={name}\n[Ensemble]\nListen={self.address}\nFound=yes\n[Store]\nSegmentSize=8M\nKeepLog=1\n")
        self.usual = ["--no-system-bus", f"--config={self.conf}"]
        self.more = self.usual
        self.made.append(self)

    @property
    def alive(self):
        return self.running is not None and self.running.process.poll() is None

    def join(self, token):
        """Starts with a token; returns None once it serves, or the exit status and what it said."""
        file = self.directory / "token"
        file.write_text(token + "\n")
        self.more = [*self.usual, f"--join={file}"]
        self.begin()
        self.more = self.usual
        if self.is_ready():
            return None
        status = self.running.end()
        self.running.close()
        return status, self.last_words()

    def begin(self):
        """Starts without waiting until it serves: it may not, for want of others."""
        self.running = Running([self.program, "--data", str(self.directory / "data"), "--socket", str(self.socket), "--print-ready",
                                *self.more], stderr=self.journal)

    def is_ready(self):
        try:
            return self.running.line().startswith("ready")
        except AssertionError:
            return False

    def kill(self):
        self.running.kill(signal.SIGKILL)
        equal(self.running.end(), -signal.SIGKILL)
        self.running.close()

    def words(self, *words):
        return (f"--address=unix:path={self.socket}", *words)

    def good(self, *words):
        return good(*self.words(*words))

    def bad(self, status, mentions, *words):
        return bad(status, mentions, *self.words(*words))

    def status(self):
        """What it says of itself, whether it serves or not."""
        answer = ctl(*self.words("status", "--json"))
        assert answer.status in (OK, UNREACHABLE), answer
        said = answer.json
        equal(answer.status == OK, said["serving"])
        return said

    def members(self):
        return {one["name"]: one for one in self.good("member", "list", "--json").json}

    def token(self):
        return self.good("member", "token").text.strip()

    def promote(self, name):
        """As soon as it may be: it has to be up to date first."""
        def try_it():
            answer = ctl(*self.words("member", "promote", name))
            assert answer.status in (OK, CONFLICT), answer
            return answer.status == OK
        wait_until(try_it, f"{name} can be promoted")


class Ensemble:
    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="convene-ensemble-"))
        self.root.chmod(0o755)
        self.members = {}

    def __getitem__(self, name):
        if name not in self.members:
            self.members[name] = Member(self.root, name)
        return self.members[name]

    def leader(self):
        """The member that leads and says so itself."""
        def find():
            for m in self.members.values():
                if m.alive and m.socket.exists():
                    said = m.status()
                    if said["role"] == "leader" and said["serving"]:
                        return m
            return None
        return wait_until(find, "somebody leads")

    def others(self, *but):
        return [m for m in self.members.values() if m.alive and m not in but]

    def whole(self, voters):
        """Waits until the leader has all of them connected and up to date."""
        def look():
            said = self.leader().status()
            return said["voters_up"] == voters and not said["problems"] and all(one["synced"] for one in said["members"])
        wait_until(look, f"{voters} voters are up to date")

    def end(self):
        for m in Member.made:
            if m.running:
                m.running.close()
            m.journal.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def main(self, names):
        """Runs the tests among these names; if one fails, what the members said last is told."""
        try:
            main(names)
        except SystemExit as end:
            if end.code:
                for member in self.members.values():
                    for line in member.last_words().splitlines():
                        print(f"# {member.name}: {line}", flush=True)
            raise
        finally:
            self.end()
