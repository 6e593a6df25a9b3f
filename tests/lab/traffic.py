# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients on every host of an ensemble, all the time; what they were told, and whether it can all be true (history.py)."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import history
from client import SHARED, TREE, UID
from labtest import wait
from rawbus import Bus
from settings import HERE

ANYBODY = {"acl": ("a(uss)", [[31, "world", "anyone"]])}
PAGE = 2000
END_SEC = 20.0


class Client:
    def __init__(self, host, name, directory, seed):
        path = "%s/%s" % (directory, name)
        open(path, "wb").close()
        self.host, self.name, self.history = host, name, history.Reader(name, path)
        self.errors = open(path + ".err", "w+")
        self.process = subprocess.Popen([sys.executable, "-B", HERE + "/client.py", host, name, path, str(seed)],
                                        stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors)


class Traffic:
    def __init__(self, ensemble, clients_per_host=3, seed=1):
        self.ensemble, self.directory = ensemble, tempfile.mkdtemp(prefix="convene-traffic-")
        self.clients, self.per_host, self.seed = [], clients_per_host, seed

    def __enter__(self):
        member = self.ensemble[self.ensemble.leader()]
        names = ["%s-%d" % (host, n) for host in self.ensemble.hosts for n in range(self.per_host)]
        for path in ["/lab", "/lab/own", "/lab/shared"] + ["/lab/shared/%d" % n for n in range(SHARED)] + \
                ["/lab/own/" + name for name in names]:
            member.call(TREE, "Create", "saysa{sv}", (path, b"", "persistent", ANYBODY))
        for host in self.ensemble.up():
            self.begin(host)
        self.all_write()
        return self

    def begin(self, host):
        for n in range(self.per_host):
            name = "%s-%d" % (host, n)
            self.clients.append(Client(host, name, self.directory, "%d %s" % (self.seed, name)))

    def __exit__(self, *_):
        self.stop()
        for c in self.clients:
            c.errors.close()
            c.history.file.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        """Each ends after the call under way; one that does not is killed, and the fate of that call is not known."""
        for c in self.clients:
            c.process.terminate()
        end = time.monotonic() + END_SEC
        for c in self.clients:
            try:
                c.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                c.process.kill()
                c.process.wait()

    def take(self):
        for c in self.clients:
            c.history.take()
            if c.process.poll() not in (None, 0, -9):
                c.errors.seek(0)
                raise AssertionError("client %s ended: %s" % (c.name, c.errors.read()))

    def ops(self, hosts=None):
        self.take()
        return [op for c in self.clients if not hosts or c.host in hosts for op in c.history.ops]

    def answered(self, begin, end, hosts):
        """The calls made between two instants that are not under way any more, whatever came of them."""
        self.take()
        return [op for c in self.clients if c.host in hosts for op in c.history.ops
                if begin <= op.call < end and op.n not in c.history.open]

    def acknowledged(self, hosts=None):
        return sum(op.ok and op.kind in history.UPDATES for op in self.ops(hosts))

    def written_since(self, instant, client):
        """Updates that this client called and was told of after an instant."""
        count = 0
        for op in reversed(client.history.ops):
            if op.call < instant:
                break
            count += op.ok and op.kind in history.UPDATES
        return count

    def all_write(self, hosts=None, since=None, times=5, seconds=30.0):
        """Waits until every client of HOSTS (default: those that are up) has had updates done since an instant (default: now)."""
        since = time.monotonic() if since is None else since
        hosts = hosts if hosts is not None else self.ensemble.up()

        def condition():
            self.take()
            return all(self.written_since(since, c) >= times for c in self.clients if c.host in hosts)
        wait("the clients on %s write" % " ".join(hosts), condition, seconds)

    def gap(self, begin, end, hosts):
        """How long nobody on HOSTS was told that an update is done, at the longest; the bounds count as if somebody had been."""
        return history.longest_gap(self.ops(hosts), begin, end)

    def slowest(self, begin, end, hosts):
        return history.longest_call(self.ops(hosts), begin, end)

    def there(self):
        """All that is in the tree of what the clients create."""
        found, after = {}, ""
        bus = Bus("socket", UID, self.ensemble.leader())
        try:
            bus.call(TREE, "Sync", "a{sv}", ({},))
            while True:
                options = {"data": ("b", True), "limit": ("u", PAGE)}
                if after:
                    options["start-after"] = ("s", after)
                znodes, more = bus.call(TREE, "List", "sa{sv}", ("/lab/own", options))
                found.update((path, (stat[0], data.decode())) for path, stat, data in znodes if path.count("/") == 4)
                if not more:
                    return found
                after = znodes[-1][0]
        finally:
            bus.close()

    def judge(self):
        """Ends the traffic, and raises what is wrong with the history."""
        self.stop()
        self.take()
        histories = [c.history.ops for c in self.clients]
        t0 = time.monotonic()
        problems = history.judge(histories, self.there())
        ops = self.ops()
        outcomes = {}
        for op in ops:
            outcomes[op.outcome] = outcomes.get(op.outcome, 0) + 1
        print("# %d calls of %d clients (%s), %d updates acknowledged; judged in %.1f s" % (
            len(ops), len(self.clients), ", ".join("%s %d" % pair for pair in sorted(outcomes.items(), key=lambda p: -p[1])),
            sum(op.ok and op.kind in history.UPDATES for op in ops), time.monotonic() - t0), flush=True)
        if problems:
            kept = os.environ.get("LAB_HISTORY")
            if kept:
                shutil.copytree(self.directory, kept, dirs_exist_ok=True)
            raise AssertionError("%d problems:\n%s" % (len(problems), "\n".join(problems[:10])))
