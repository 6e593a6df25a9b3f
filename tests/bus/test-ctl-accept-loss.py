#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-accept-loss.py - a damaged store: convened refuses to serve it, says what is wrong, and with --accept-loss goes on
# with what is left, once; see ctl_harness.py

import pathlib
import re
import subprocess
import tempfile

from ctl_harness import Agent, CONVENED, PATIENCE, equal, good, here, main

FAILURE, DAMAGED = 1, 65        # exit statuses of convened
ZNODES = 8
SEGMENT = "log/0000000000000001.log"


class Store:
    """An agent with a store of its own, for a "with" statement."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="damage-", dir=here.work)
        self.agent = Agent(pathlib.Path(self.temporary.name))
        self.data = self.agent.directory / "data"
        conf = self.agent.directory / "convened.conf"
        conf.write_text("[Store]\nSegmentSize=8M\n")
        self.agent.more = ["--no-system-bus", f"--config={conf}"]
        return self

    def __exit__(self, *_):
        if self.agent.running and self.agent.running.process.poll() is None:
            self.agent.stop()
        self.agent.journal.close()
        self.temporary.cleanup()

    def ctl(self, *words):
        return good(f"--address=unix:path={self.agent.socket}", *words)

    def make(self):
        """Znodes /0, /1, ..., each written by itself; their indices in the log."""
        self.agent.start()
        before = self.last_index()
        for i in range(ZNODES):
            self.ctl("create", f"/{i}", self.value(i))
        indices = list(range(before + 1, before + 1 + ZNODES))
        equal(self.last_index(), indices[-1])
        return indices

    def last_index(self):
        return self.ctl("status", "--json").json["last_index"]

    @staticmethod
    def value(i):
        return f"the value of {i:04d}"

    def contents(self):
        return {path: path.read_bytes() for path in sorted(self.data.rglob("*")) if path.is_file()}

    def flip(self, file, offset):
        path = self.data / file
        data = bytearray(path.read_bytes())
        data[offset] ^= 0x20
        path.write_bytes(data)

    def place(self, i):
        """Where in the log the value of a znode is."""
        data = (self.data / SEGMENT).read_bytes()
        equal(data.count(self.value(i).encode()), 1)
        return data.index(self.value(i).encode())

    def once(self, *more):
        """Exit status and words of an agent that ends by itself."""
        p = subprocess.run([CONVENED, "--data", str(self.data), "--socket", str(self.agent.socket), *self.agent.more,
                            *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           env=here.environment, timeout=PATIENCE, text=True)
        return p.returncode, p.stdout

    def serves(self, present):
        """Starts the agent: it has these znodes, with their values, and no others; takes updates; then ends."""
        self.agent.start()
        for i in range(ZNODES):
            if i in present:
                equal(self.ctl("get", f"/{i}").text.strip(), self.value(i))
        names = set(self.ctl("ls", "/").lines)
        equal({name for name in names if name.isdigit()}, {str(i) for i in present})
        self.ctl("set", "/0", "another")
        self.ctl("set", "/0", self.value(0))
        equal(self.ctl("status", "--json").json["problems"], [])
        equal(self.agent.stop(), 0)


def test_byte_in_the_middle_of_the_log():
    with Store() as s:
        indices = s.make()
        equal(s.agent.stop(), 0)
        places = [s.place(i) for i in (4, 5)]
        s.flip(SEGMENT, places[1])

        damaged = s.contents()
        for _ in range(2):
            status, said = s.once()
            equal(status, DAMAGED)
            match = re.search(r"(\S+), offset (\d+): .*entries from (\d+) on may be lost.*--accept-loss", said)
            assert match, said
            equal(match.group(1), str(s.data / SEGMENT))
            assert places[0] < int(match.group(2)) <= places[1], (said, places)
            equal(int(match.group(3)), indices[5])
            equal(s.contents(), damaged)        # nothing is mended unasked

        status, said = s.once("--accept-loss")
        equal(status, 0)
        assert re.search(rf"entries from index {indices[5]} on may be gone", said), said
        s.serves(range(5))
        s.serves(range(5))


def test_second_time_finds_nothing_to_do():
    with Store() as s:
        s.make()
        equal(s.agent.stop(), 0)
        s.flip(SEGMENT, s.place(6))
        equal(s.once("--accept-loss")[0], 0)
        mended = s.contents()
        status, said = s.once("--accept-loss")
        equal(status, 0)
        assert "nothing is lost, and nothing was changed" in said, said
        equal(s.contents(), mended)
        s.serves(range(6))


def test_sound_store_loses_nothing():
    with Store() as s:
        s.make()
        status, said = s.once("--accept-loss")
        equal(status, FAILURE)
        assert "in use by another process" in said, said
        equal(s.agent.stop(), 0)
        before = s.contents()
        status, said = s.once("--accept-loss")
        equal(status, 0)
        assert f"The store in {s.data} is sound: nothing is lost, and nothing was changed" in said and "gone" not in said, said
        equal(s.contents(), before)
        s.serves(range(ZNODES))


def test_no_store():
    with Store() as s:
        status, said = s.once("--accept-loss")
        equal(status, FAILURE)
        assert "nothing to mend" in said, said


def test_both_slots_of_meta():
    """The promises are lost: no loss that could be accepted."""
    with Store() as s:
        s.make()
        equal(s.agent.stop(), 0)
        whole = (s.data / "meta").read_bytes()
        for slot in (0, 4096):
            s.flip("meta", slot + 30)
        damaged = s.contents()
        for more in ((), ("--accept-loss",)):
            status, said = s.once(*more)
            equal(status, DAMAGED)
            assert f"{s.data}/meta: both copies" in said and "restore a backup" in said, said
            equal(s.contents(), damaged)
        (s.data / "meta").write_bytes(whole)
        s.flip("meta", 30)                      # one is as good as two
        s.serves(range(ZNODES))


def test_checkpoint_with_the_whole_log_behind_it():
    with Store() as s:
        s.make()
        s.ctl("checkpoint")
        equal(s.agent.stop(), 0)
        checkpoint, = s.data.glob("checkpoint.*/data.mdb")
        checkpoint.write_bytes(checkpoint.read_bytes()[:4096])
        status, said = s.once()
        equal(status, DAMAGED)
        assert str(checkpoint) in said and "--accept-loss" in said, said
        equal(s.once("--accept-loss")[0], 0)
        s.serves(range(ZNODES))


if __name__ == "__main__":
    main(globals())
