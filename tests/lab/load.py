# SPDX-License-Identifier: LGPL-2.1-or-later
"""A load that records what was acknowledged, and the check that all of it is there, in order, and nothing half.

In the host, each worker W creates /load/W/000001, 000002, ... one after the other, and after each sets /load/W/last to its
number, as often as it takes: the agent may be killed at any instant, and a call's fate be unknown to the caller.  A worker
prints a line once a call was acknowledged.  The lines are kept here, where no crash of the host reaches them.
"""

import select
import subprocess
import time

from labtest import ctl, ctl_json, run, words

WORKERS = 4

# $1: worker, $2: first number.  Exit status 4 of create says that the znode exists: an earlier try had succeeded.
WORKER = r"""
w=$1 i=$2
while [ ! -e /run/load-ends ]; do
        n=$(printf %06d "$i")
        convenectl --timeout=5 create "/load/$w/$n" "$w $n" >/dev/null 2>&1
        rc=$?
        if [ $rc = 0 ] || [ $rc = 4 ]; then
                echo "created $n"
                if convenectl --timeout=5 set "/load/$w/last" "$n" >/dev/null 2>&1; then
                        echo "set $n"
                fi
                i=$((i + 1))
        else
                echo "failed $rc"
        fi
done
"""


class Worker:
    def __init__(self, name):
        self.name, self.created, self.set, self.failed = name, 0, 0, 0
        self.process, self.buffer = None, ""

    def start(self):
        self.buffer = ""
        self.process = subprocess.Popen(words(["sh", "-c", WORKER, "worker", self.name, str(self.created + 1)]),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def take(self, data):
        *whole, self.buffer = (self.buffer + data.decode()).split("\n")
        for line in whole:
            word, number = line.split()
            if word == "created":
                assert int(number) == self.created + 1, "worker %s: %s after %d" % (self.name, line, self.created)
                self.created = int(number)
            elif word == "set":
                self.set = int(number)
            else:
                self.failed += 1

    def end(self):
        """Take in the rest of what it printed.  It ends by itself after the call under way, or has died with its host."""
        if self.process:
            self.take(self.process.stdout.read())
            self.process.wait()
            self.process = None


class Load:
    def __init__(self):
        self.workers = [Worker("w%d" % i) for i in range(WORKERS)]

    def prepare(self):
        ctl("create", "/load")
        for worker in self.workers:
            ctl("create", "/load/" + worker.name)
            ctl("create", "/load/%s/last" % worker.name, "000000")

    def start(self):
        run("rm", "-f", "/run/load-ends")
        for worker in self.workers:
            worker.start()

    def acknowledged(self):
        return sum(worker.created + worker.set for worker in self.workers)

    def pump(self, seconds):
        """Take in what the workers print, for at most SECONDS."""
        streams = {worker.process.stdout: worker for worker in self.workers}
        for stream in select.select(list(streams), [], [], seconds)[0]:
            data = stream.read1(65536)
            assert data, "worker %s ended" % streams[stream].name
            streams[stream].take(data)

    def until(self, more, seconds=30.0):
        """Go on until MORE calls were acknowledged."""
        goal, end = self.acknowledged() + more, time.monotonic() + seconds
        while self.acknowledged() < goal:
            assert time.monotonic() < end, "the load stands still: %d of %d" % (self.acknowledged(), goal)
            self.pump(0.1)

    def end(self):
        """After this no call is under way.  The host may be down: then there is nobody to tell."""
        run("touch", "/run/load-ends", status=None)
        for worker in self.workers:
            worker.end()

    def check(self):
        """Every acknowledged write is there, in order, whole; and nothing else is."""
        there = {worker.name: {} for worker in self.workers}
        for entry in ctl_json("tree", "--with-data", "/load"):
            parts = entry["path"].split("/")[2:]
            if len(parts) == 2:
                there[parts[0]][parts[1]] = entry
        for worker in self.workers:
            self.check_worker(worker, there[worker.name])

    @staticmethod
    def check_worker(worker, there):
        base = "/load/" + worker.name
        last = there.pop("last")["data"]
        names = sorted(there)
        assert names == ["%06d" % (i + 1) for i in range(len(names))], "%s has gaps: %s" % (base, names[-5:])
        assert worker.created <= len(names) <= worker.created + 1, \
            "%s: %d acknowledged, %d there" % (base, worker.created, len(names))
        assert worker.set <= int(last) <= len(names), "%s/last is %s, acknowledged %d" % (base, last, worker.set)
        before = 0
        for name in names:
            assert there[name]["data"] == "%s %s" % (worker.name, name), there[name]
            czxid = int(there[name]["stat"]["czxid"], 16)
            assert czxid > before, "the order of creation is lost: %s" % there[name]
            before = czxid
        # What was there but not acknowledged is acknowledged from now on: it must not go away again.
        worker.created, worker.set = len(names), int(last)
