#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-lock.py - locks, semaphores and elections through convenectl: order, loss, and every way in which a holder ends; see
# ctl_harness.py

import fcntl
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

from ctl_harness import (ACCESS, CONVENED, NOBODY, NO_NODE, PATIENCE, SESSION, USAGE, Agent, Running, Skip, bad, command, ctl, equal,
                         good, here, main, running, wait_until)

NOT_GRANTED = 11
WAITERS = 50


def queue(path):
    """The contenders in order of their numbers."""
    answer = ctl("ls", path if path.startswith("/") else f"/convene/locks/{path}")
    names = [name for name in answer.lines if name[-10:].isdigit()] if answer.status == 0 else []
    return sorted(names, key=lambda name: int(name[-10:]))


def wait_queue(path, length):
    return wait_until(lambda: len(queue(path)) == length and (queue(path) or True), f"{length} contend for {path}")


class Holder:
    """A command that holds until told to end; says its token when it has begun."""

    def __init__(self, name, *options, verb="lock", agent=(), **more):
        self.running = running(*agent, verb, *options, name, "--", "sh", "-c", 'echo "$CONVENE_TOKEN" "$$"; read line',
                               stdin=subprocess.PIPE, **more)

    def begun(self):
        token, pid = self.running.line().split()
        self.pid = int(pid)
        return int(token)

    def has_not_begun(self):
        """Says nothing although everything it could have waited for has come to pass."""
        equal(self.running.rest["stdout"], b"")
        os.set_blocking(self.running.process.stdout.fileno(), False)
        said = self.running.process.stdout.read()
        os.set_blocking(self.running.process.stdout.fileno(), True)
        assert not said, said

    def release(self):
        self.running.process.stdin.close()
        equal(self.running.end(), 1)                    # of "read" at the end of the input
        self.running.close()

    def lost(self):
        status = self.running.end()
        said = self.running.complaint().decode()
        self.running.process.stdin.close()
        self.running.close()
        equal(status, SESSION)
        assert "is lost" in said, said

    def kill(self):
        self.running.kill(signal.SIGKILL)
        self.running.end()
        self.running.process.stdin.close()
        self.running.close()


def last_index():
    return good("status", "--json").json["last_index"]


def holders(name):
    return [one for one in good("lock", "list", "--json").json if one["name"] == name]


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def test_command():
    answer = ctl("lock", "--session-timeout=5s", "simple", "--", "sh", "-c", 'echo "$CONVENE_TOKEN $CONVENE_PATH"; exit 7')
    equal(answer.status, 7)
    token, path = answer.text.split()
    assert int(token) > 0 and path.startswith("/convene/locks/simple/_c_") and "-lock-00000" in path, answer
    equal(queue("simple"), [])                          # gone when convenectl is
    equal(ctl("lock", "simple", "--", "sh", "-c", "kill -9 $$").status, 128 + 9)
    equal(ctl("lock", "simple", "--", "/nonexistent").status, 127)
    equal(ctl("lock", "/elsewhere/by path", "--", "true").status, 0)
    good("stat", "/elsewhere/by path")


def test_mistakes():
    bad(USAGE, "which command?", "lock", "x")
    bad(USAGE, "exclude each other", "lock", "--shared", "--slots=2", "x", "--", "true")
    for name in ("a/b", "", ".", "/", "/a/../b", "/a/"):
        bad(USAGE, "BadArguments", "lock", name, "--", "true")
    bad(USAGE, "convenectl --help", "lock", "--", "true")
    bad(USAGE, "convenectl --help", "lock", "--slots=0", "x", "--", "true")
    bad(NO_NODE, "NotHeld", "leader", "nobody")
    equal([one for one in holders("x")], [])


def test_order_of_many():
    first = Holder("order")
    tokens = [first.begun()]
    waiters = []
    for i in range(WAITERS):
        waiters.append(running("lock", "order", "--", "sh", "-c", f'echo {i} "$CONVENE_TOKEN" >> {here.work}/order'))
        wait_queue("order", i + 2)
    shown, = holders("order")
    equal((shown["kind"], shown["waiters"], shown["token"]), ("mutex", WAITERS, tokens[0]))
    equal(shown["pid"], first.running.process.pid)
    first.release()
    for one in waiters:
        equal(one.end(), 0)
        one.close()
    said = [line.split() for line in (here.work / "order").read_text().splitlines()]
    equal([int(number) for number, _ in said], list(range(WAITERS)))
    tokens += [int(token) for _, token in said]
    equal(tokens, sorted(set(tokens)))
    equal(queue("order"), [])


def in_order(name, *contenders):
    """As they came: by the processes that their sessions name."""
    wait_queue(name, len(contenders))
    by_pid = {one.running.process.pid: one for one in contenders}
    order = []
    for contender in queue(name):
        owner = good("stat", f"/convene/locks/{name}/{contender}", "--json").json[0]["stat"]["ephemeral_owner"]
        words = good("sessions", "show", owner, "--json").json[0]["owner"].split()
        equal(words[0], "mutex")
        order.append(by_pid[int(words[words.index("pid") + 1])])
    return order


def test_one_entry_per_release():
    first, second, third = Holder("entries"), Holder("entries"), Holder("entries")
    first, second, third = in_order("entries", first, second, third)
    first.begun()
    before = last_index()
    first.release()
    second.begun()
    equal(last_index() - before, 1)
    third.has_not_begun()
    second.release()
    third.begun()
    equal(last_index() - before, 2)
    third.release()


def test_timeout_and_try():
    first = Holder("patience")
    first.begun()
    bad(NOT_GRANTED, "TimedOut", "lock", "--try", "patience", "--", "true")
    begin = time.monotonic()
    bad(NOT_GRANTED, "TimedOut", "lock", "--timeout=300ms", "patience", "--", "true")
    assert 0.3 <= time.monotonic() - begin < PATIENCE
    wait_queue("patience", 1)
    first.release()
    equal(ctl("lock", "--try", "patience", "--", "true").status, 0)


def test_waiter_killed():
    first, second = Holder("killed"), Holder("killed")
    first, second = in_order("killed", first, second)
    first.begun()
    third = Holder("killed")
    wait_queue("killed", 3)
    second.kill()
    wait_queue("killed", 2)
    third.has_not_begun()
    first.release()
    third.begun()
    third.release()


def test_holder_killed():
    """Its command is told to end, and the lock is held until it has."""
    first = running("lock", "orphan", "--", "sh", "-c", 'trap "" TERM; echo $$; read line', stdin=subprocess.PIPE)
    pid = int(first.line())
    second = Holder("orphan")
    wait_queue("orphan", 2)
    first.kill(signal.SIGKILL)
    first.end()
    equal(len(queue("orphan")), 2)
    second.has_not_begun()
    assert alive(pid)
    first.process.stdin.close()
    second.begun()
    second.release()
    first.close()

    third = Holder("orphan")
    third.begun()
    third.kill()
    wait_until(lambda: not alive(third.pid), "the command gets SIGTERM")
    wait_queue("orphan", 0)


def test_session_closed():
    first = Holder("closed")
    first.begun()
    second = Holder("closed")
    wait_queue("closed", 2)
    good("sessions", "close", holders("closed")[0]["session"])
    first.lost()
    second.begun()
    second.release()


def test_znode_deleted():
    first = Holder("deleted")
    first.begun()
    second = Holder("deleted")
    wait_queue("deleted", 2)
    third = Holder("deleted")
    names = wait_queue("deleted", 3)
    good("delete", f"/convene/locks/deleted/{names[2]}")                        # of one who waits
    equal(third.running.end(), SESSION)
    assert "NotHeld" in third.running.complaint().decode()
    good("delete", f"/convene/locks/deleted/{names[0]}")
    first.lost()
    second.begun()
    second.release()
    wait_queue("deleted", 0)


def test_loss_kills():
    """SIGTERM first, then SIGKILL, before another could have it."""
    stubborn = running("lock", "--session-timeout=4s", "stubborn", "--", "sh", "-c",
                       'trap "echo told" TERM; echo begun; while :; do read line; done', stdin=subprocess.PIPE)
    equal(stubborn.line(), "begun")
    begin = time.monotonic()
    good("sessions", "close", holders("stubborn")[0]["session"])
    equal(stubborn.end(), SESSION)
    passed = time.monotonic() - begin
    assert 0.4 < passed < PATIENCE / 4, passed  # after half of the grace, which is a quarter of 4 s
    stubborn.close()


def test_loss_ends_what_the_command_started():
    """A child that has lost its parent, and one that does not hear SIGTERM: nothing goes on without the lock."""
    family = running("lock", "--session-timeout=4s", "family", "--", "sh", "-c",
                     "(sleep 1000 & echo $!); (trap '' TERM; sleep 1000) & echo $!; wait", stdin=subprocess.PIPE)
    pids = [int(family.line()) for _ in range(2)]
    assert all(alive(pid) for pid in pids), pids
    good("sessions", "close", holders("family")[0]["session"])
    equal(family.end(), SESSION)
    assert not any(alive(pid) for pid in pids), pids
    family.close()


def test_signals_are_passed_on():
    one = running("lock", "signals", "--", "sh", "-c", 'trap "exit 5" TERM; echo begun; while :; do read line; done',
                  stdin=subprocess.PIPE)
    equal(one.line(), "begun")
    one.kill(signal.SIGTERM)
    equal(one.end(), 5)
    one.close()
    wait_queue("signals", 0)


def test_terminal_hangs_up():
    """It is the leader of the session whom the kernel tells: the command is told by it."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)        # of nohup, which would have everything started here ignore it
        words = command("lock", "terminal", "--", "sh", "-c", 'trap "exit 5" HUP; echo begun; while :; do sleep 0.05; done')
        os.execve(words[0], words, here.environment)
    said = b""
    while b"begun" not in said:
        assert select.select([terminal], [], [], PATIENCE)[0], said
        said += os.read(terminal, 4096)
    os.close(terminal)
    equal(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 5)
    wait_queue("terminal", 0)


def test_shared():
    readers = [Holder("rw", "--shared"), Holder("rw", "--shared")]
    for one in readers:
        one.begun()
    writer = Holder("rw")
    wait_queue("rw", 3)
    late = Holder("rw", "--shared")             # writers are not starved
    wait_queue("rw", 4)
    equal(sorted((one["kind"], one["waiters"]) for one in holders("rw")), [("reader", 2)] * 2)
    readers[0].release()
    wait_queue("rw", 3)
    writer.has_not_begun()
    readers[1].release()
    writer.begun()
    late.has_not_begun()
    bad(NOT_GRANTED, "TimedOut", "lock", "--shared", "--try", "rw", "--", "true")
    writer.release()
    late.begun()
    equal(ctl("lock", "--shared", "--try", "rw", "--", "true").status, 0)
    late.release()


def test_semaphore():
    three = [Holder("slots", "--slots=3") for _ in range(3)]
    for one in three:
        one.begun()
    fourth = Holder("slots", "--slots=3")
    wait_queue("slots/leases", 4)
    equal([(one["kind"], one["waiters"]) for one in holders("slots")], [("semaphore", 1)] * 3)
    bad(NOT_GRANTED, "TimedOut", "lock", "--try", "--slots=3", "slots", "--", "true")
    bad(NOT_GRANTED, "TimedOut", "semaphore", "--try", "--slots=3", "slots", "--", "true")
    bad(USAGE, "--slots", "semaphore", "slots", "--", "true")
    three[1].release()
    fourth.begun()
    for one in (three[0], three[2], fourth):
        one.release()


def test_election():
    first = Holder("chief", "--data=first of all", verb="elect")
    token = first.begun()
    said = good("leader", "chief", "--json").json
    equal((said["kind"], said["token"], said["data"], said["waiters"]), ("election", token, "first of all", 0))
    assert "-latch-" in said["path"] and said["path"].startswith("/convene/elections/chief/"), said
    second = Holder("chief", "--data=second", verb="elect")
    wait_queue("/convene/elections/chief", 2)
    first.release()
    assert second.begun() > token
    text = good("leader", "--linearizable", "chief").text
    assert "Data: second" in text and f"Leader: {good('status', '--json').json['name']}" in text, text
    equal([(one["kind"], one["name"]) for one in holders("chief")], [("election", "chief")])
    second.release()
    bad(NO_NODE, "NotHeld", "leader", "chief")


def test_leader_watched():
    """Changes of the leader and of its data; not that somebody waits."""
    seen = running("leader", "watch", "observed")
    equal(seen.line(), "nobody")
    first = Holder("observed", "--data=one", verb="elect")
    token = first.begun()
    host = good("status", "--json").json["name"]
    equal(seen.line().split(), [host, str(token), "one"])
    second = Holder("observed", "--data=two", verb="elect")
    names = wait_queue("/convene/elections/observed", 2)
    good("set", f"/convene/elections/observed/{names[0]}", "proclaimed")
    equal(seen.line().split(), [host, str(token), "proclaimed"])
    first.release()
    equal(seen.line().split(), [host, str(second.begun()), "two"])
    said = good("leader", "watch", "--count=1", "--json", "observed").json
    equal((said["name"], said["data"]), ("observed", "two"))
    second.release()
    equal(seen.line(), "nobody")
    seen.kill(signal.SIGTERM)
    seen.end()
    seen.close()
    equal(ctl("leader", "watch", "--timeout=50ms", "observed").status, NOT_GRANTED)


def shown_leader(name):
    return good("leader", "--linearizable", name, "--json").json


def test_priority():
    """Whoever waits with more goes first; nobody who leads is driven out, and each has a token that is greater than the one before."""
    path = "/convene/elections/ranks"
    first = Holder("ranks", verb="elect")
    tokens = [first.begun()]
    waiting = {}
    for i, priority in enumerate((0, 1, 0, 2, 1)):
        waiting[i] = Holder("ranks", *([f"--priority={priority}"] if priority else []), f"--data={i}", verb="elect")
        wait_queue(path, i + 2)
    for one in waiting.values():
        one.has_not_begun()
    first.release()
    for i in (3, 4, 1, 2, 0):       # the greatest; of its like, the one that did not have to let it pass; and so on
        tokens.append(waiting[i].begun())
        said = shown_leader("ranks")
        equal((said["token"], said["data"]), (tokens[-1], str(i)))
        waiting[i].release()
    equal(tokens, sorted(set(tokens)))


def test_priority_of_other_clients():
    """One of another kind neither lets anybody pass nor is let pass."""
    good("create", "--container", "/latch")
    words = ("sh", "-c", "echo begun; read line")
    other = running("create", "--ephemeral", "--sequential", "/latch/_c_dbbf43f5-latch-", "--", *words, stdin=subprocess.PIPE)
    while other.line() != "begun":
        pass
    mine = Holder("/latch", "--priority=9", verb="elect")
    wait_queue("/latch", 2)
    mine.has_not_begun()
    other.process.stdin.close()
    other.end()
    other.close()
    mine.begun()
    mine.release()


def test_try_lets_pass():
    """Its turn has come, but it does not wait for the one that is to go first."""
    first = Holder("polite", verb="elect")
    first.begun()
    other = Holder("polite", "--priority=1", verb="elect")
    wait_queue("/convene/elections/polite", 2)
    bad(NOT_GRANTED, "TimedOut", "elect", "--try", "polite", "--", "true")
    other.has_not_begun()
    first.release()
    other.begun()
    other.release()


def test_path_after_standing_aside():
    """The command is told of the place that it has by then; whose it is can be seen by its name still."""
    first = Holder("moved", verb="elect")
    first.begun()
    low = running("elect", "moved", "--", "sh", "-c", 'echo "$CONVENE_TOKEN $CONVENE_PATH"; read line', stdin=subprocess.PIPE)
    wait_queue("/convene/elections/moved", 2)
    high = Holder("moved", "--priority=1", verb="elect")
    before = wait_queue("/convene/elections/moved", 3)
    first.release()
    high.begun()
    after = wait_queue("/convene/elections/moved", 2)
    high.release()
    token, path = low.line().split()
    said = shown_leader("moved")
    equal((said["token"], said["path"]), (int(token), path))
    assert path.endswith(after[1]) and after[1] not in before and after[1][:-10] == before[1][:-10], (path, before, after)
    low.process.stdin.close()
    low.end()
    low.close()


def test_who_may_let_pass():
    """Without DELETE nobody can give its place up for another: it leads in its turn."""
    if os.getuid() != 0:
        raise Skip("needs root")
    good("create", "--container", "--acl=world:anyone:cr", "/convene/elections/stiff")
    first = Holder("stiff", verb="elect")
    first.begun()
    low = Holder("stiff", verb="elect", user=NOBODY)
    wait_queue("/convene/elections/stiff", 2)
    high = Holder("stiff", "--priority=1", verb="elect")
    wait_queue("/convene/elections/stiff", 3)
    bad(ACCESS, "NoAuth", "leader", "move", "stiff", user=NOBODY)
    first.release()
    low.begun()
    bad(USAGE, "no other host", "leader", "move", "stiff", user=NOBODY)     # it leads: it may ask
    low.release()
    high.begun()
    high.release()


def test_nothing_to_move():
    bad(NO_NODE, "NotHeld", "leader", "move", "nobody-leads", "x")
    one = Holder("alone", verb="elect")
    one.begun()
    host = good("status", "--json").json["name"]
    bad(USAGE, "does not stand in it: x", "leader", "move", "alone", "x")
    bad(USAGE, "no other host", "leader", "move", "alone")
    equal(good("leader", "move", "alone", host).text.strip(), host)
    one.release()
    good("create", "--container", "/foreign")
    other = running("create", "--ephemeral", "--sequential", "/foreign/_c_dbbf43f5-latch-", "--", "sh", "-c", "echo begun; read line",
                    stdin=subprocess.PIPE)
    while other.line() != "begun":
        pass
    bad(USAGE, "ZooKeeper port", "leader", "move", "/foreign", "x")
    other.process.stdin.close()
    other.end()
    other.close()


def test_other_clients():
    """Curator's and kazoo's names in the same queue."""
    good("create", "--container", "/curator")
    for prefix in ("lock-", "4f0ab51e9e6c4a8ab3bd__lock__", "_c_dbbf43f5-__WRIT__"):
        other = running("create", "--ephemeral", "--sequential", f"/curator/{prefix}", "--", "sh", "-c", "echo begun; read line",
                        stdin=subprocess.PIPE)
        while other.line() != "begun":
            pass
        bad(NOT_GRANTED, "TimedOut", "lock", "--try", "/curator", "--", "true")
        bad(NOT_GRANTED, "TimedOut", "lock", "--try", "--shared", "/curator", "--", "true")
        mine = Holder("/curator")
        wait_queue("/curator", 2)
        mine.has_not_begun()
        other.process.stdin.close()
        other.end()
        other.close()
        mine.begun()
        mine.release()
    reader = running("create", "--ephemeral", "--sequential", "/curator/x__rlock__", "--", "sh", "-c", "echo begun; read line",
                     stdin=subprocess.PIPE)
    while reader.line() != "begun":
        pass
    equal(ctl("lock", "--try", "--shared", "/curator", "--", "true").status, 0)
    bad(NOT_GRANTED, "TimedOut", "lock", "--try", "/curator", "--", "true")
    reader.process.stdin.close()
    reader.end()
    reader.close()


def test_who_may():
    if os.getuid() != 0:
        raise Skip("needs root")
    bad(ACCESS, "NoAuth", "lock", "theirs", "--", "true", user=NOBODY)
    good("create", "--container", "--acl=world:anyone:cr", "/convene/locks/theirs")
    equal(ctl("lock", "theirs", "--", "true", user=NOBODY).status, 0)
    # who may not read does not see
    secret = Holder("secret", "--acl=unix:0@*:all")
    secret.begun()
    equal(len(holders("secret")), 1)
    equal([one for one in ctl("lock", "list", "--json", user=NOBODY).json if one["name"] == "secret"], [])
    bad(ACCESS, "NoAuth", "lock", "secret", "--", "true", user=NOBODY)
    secret.release()


class Keeper(Agent):
    """An agent under a service manager that keeps its descriptors, as far as that matters here."""

    def __init__(self, directory):
        super().__init__(directory)
        self.keep()

    def keep(self):
        directory = self.directory
        (directory / "run").mkdir()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(directory / "notify"))
        self.notify.setblocking(False)
        self.kept = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while select.select([self.notify], [], []):
            self.take()

    def take(self):
        """All that the agent has told by now."""
        while True:
            with self.lock:
                try:
                    message, fds, _, _ = socket.recv_fds(self.notify, 65536, 16)
                except BlockingIOError:
                    return
                lines = message.decode().splitlines()
                name = next((line[len("FDNAME="):] for line in lines if line.startswith("FDNAME=")), None)
                if "FDSTORE=1" in lines:
                    self.kept[name], = fds
                elif "FDSTOREREMOVE=1" in lines and name in self.kept:
                    os.close(self.kept.pop(name))

    def begin(self):
        # the numbers handed over must not be among those that are handed on
        high = {name: fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for name, fd in self.kept.items()}
        assert len(high) < 90, high
        script = "export LISTEN_PID=$$; exec \"$@\" " + " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(high.values()))
        self.running = Running(["bash", "-c", script, "bash", CONVENED, "--data", str(self.directory / "data"), "--socket",
                                str(self.socket), "--print-ready", *self.more], stderr=self.journal, pass_fds=tuple(high.values()),
                               env={**here.environment, "NOTIFY_SOCKET": str(self.directory / "notify"), "RUNTIME_DIRECTORY": str(self.directory / "run"),
                                    "LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": ":".join(high)})
        for fd in high.values():
            os.close(fd)

    def start(self):
        self.begin()
        assert self.running.line().startswith("ready"), self.last_words()


def restart(agent, number, has_store):
    """A lock, a slot and somebody who waits, over a restart of the agent."""
    where = (f"--address=unix:path={agent.socket}",)

    def ask(*words):
        return good(*where, *words)

    lock, slot = Holder("held", agent=where), Holder("slots", "--slots=2", agent=where)
    token = lock.begun()
    slot.begun()
    waiter = Holder("held", agent=where)
    wait_until(lambda: len(ask("ls", "/convene/locks/held").lines) == 2, "two contend")
    agent.stop(number)
    if has_store:
        agent.take()
    if not has_store:
        lock.lost()
        slot.lost()
        equal(waiter.running.end(), SESSION)
        assert "place in the line is lost" in waiter.running.complaint().decode()
        waiter.running.process.stdin.close()
        waiter.running.close()
    agent.start()
    if has_store:
        shown = {one["kind"]: one for one in ask("lock", "list", "--json").json}
        equal((shown["mutex"]["token"], sorted(shown)), (token, ["mutex", "semaphore"]))
        equal(ctl(*where, "lock", "--try", "held", "--", "true").status, NOT_GRANTED)
        # still what it was: it is seen when it is released, and when it is lost; and so is the place in the line
        waiter.has_not_begun()
        lock.release()
        assert waiter.begun() > token
        waiter.release()
        equal(ctl(*where, "lock", "held", "--timeout=10s", "--", "true").status, 0)
        ask("sessions", "close", shown["semaphore"]["session"])
        slot.lost()
    wait_until(lambda: ask("lock", "list", "--json").json == [], "nothing is held")
    wait_until(lambda: ask("ls", "/convene/locks/held").lines == [], "nobody waits")


def passed_over(agent, number, has_store):
    """One that has let another pass has another place than it was answered with; the next agent tells it which."""
    where = (f"--address=unix:path={agent.socket}",)

    def wait_contenders(count):
        wait_until(lambda: len(good(*where, "ls", "/convene/elections/passed").lines) == count, f"{count} contend")

    first = Holder("passed", verb="elect", agent=where)
    first.begun()
    low = Holder("passed", verb="elect", agent=where)
    wait_contenders(2)
    high = Holder("passed", "--priority=1", verb="elect", agent=where)
    wait_contenders(3)
    first.release()
    token = high.begun()
    agent.stop(number)
    agent.take()
    agent.start()
    low.has_not_begun()
    high.release()
    token, before = low.begun(), token
    assert token > before, (token, before)
    equal(good(*where, "leader", "passed", "--json").json["token"], token)
    low.release()


def with_agent(kind, *more, story=restart):
    with tempfile.TemporaryDirectory(prefix="lock-", dir=here.work) as directory:
        agent = kind(pathlib.Path(directory))
        agent.start()
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                story(agent, number, *more)
        finally:
            agent.stop()
            agent.journal.close()


def test_agent_restarted_with_fd_store():
    with_agent(Keeper, True)


def test_agent_restarted_without_fd_store():
    with_agent(Agent, False)


def test_agent_restarted_while_passed_over():
    with_agent(Keeper, True, story=passed_over)


def test_stopped_for_long():
    """By Ctrl-Z, for longer than the session's timeout: the agent keeps the lock, and the command goes on."""
    one = Holder("asleep", "--session-timeout=1s")
    token = one.begun()
    one.running.kill(signal.SIGSTOP)
    time.sleep(1.5)                     # how long it is stopped
    one.running.kill(signal.SIGCONT)
    equal(holders("asleep")[0]["token"], token)
    time.sleep(1)                       # and then nothing may happen
    one.release()


def test_nothing_else_happens():
    """In an ensemble of one, which has no heartbeats."""
    one = Running(command("lock", "--session-timeout=1s", "quiet", "--", "sleep", "3"), env=here.environment)
    equal((one.end(), one.complaint()), (0, b""))
    one.close()


if __name__ == "__main__":
    main(globals())
