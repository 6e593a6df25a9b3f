#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl.py - convenectl against a real agent on its local socket
#
# usage: test-ctl.py CONVENED CONVENECTL COMPLETION_DIRECTORY

import base64
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

CONVENED, CONVENECTL, COMPLETION = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
PATIENCE = 20           # seconds that anything may take
NOBODY = 65534

OK, FAILURE, USAGE, NO_NODE, CONFLICT, ACCESS, UNREACHABLE, LIMIT, SESSION, FATE_UNKNOWN, HISTORY_GONE = range(11)


class Skip(Exception):
    pass


class Running:
    """A process whose output is read line by line, with patience."""

    def __init__(self, argv, **more):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, **{"stderr": subprocess.PIPE, **more})
        self.rest = {"stdout": b"", "stderr": b""}

    def line(self, stream="stdout"):
        pipe = getattr(self.process, stream)
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.rest[stream]:
            ready, _, _ = select.select([pipe], [], [], max(0, end - time.monotonic()))
            chunk = os.read(pipe.fileno(), 65536) if ready else b""
            assert chunk, f"no line on {stream} of {self.process.args}, only {self.rest[stream]!r}"
            self.rest[stream] += chunk
        line, self.rest[stream] = self.rest[stream].split(b"\n", 1)
        return line.decode()

    def kill(self, number):
        self.process.send_signal(number)

    def end(self):
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Agent:
    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "bus"
        self.journal = open(directory / "journal", "wb")
        self.running = None

    def start(self):
        self.running = Running([CONVENED, "--data", str(self.directory / "data"), "--socket", str(self.socket),
                                "--no-system-bus", "--print-ready"], stderr=self.journal)
        try:
            assert self.running.line().startswith("ready")
        except AssertionError as error:
            raise AssertionError(f"the agent does not start: {self.last_words()}") from error

    def last_words(self):
        return (self.directory / "journal").read_text(errors="replace")[-1000:]

    def stop(self, number=signal.SIGTERM):
        self.running.kill(number)
        status = self.running.end()
        self.running.close()
        return status


class Answer:
    def __init__(self, run):
        self.status, self.out, self.err = run.returncode, run.stdout, run.stderr

    @property
    def text(self):
        return self.out.decode()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.text.splitlines()

    def __repr__(self):
        return f"exit {self.status}, {self.out[:500]!r}, {self.err[:500]!r}"


agent = None
work = None
environment = None


def command(*words):
    return [str(work / "convenectl"), *words]


def ctl(*words, stdin=b"", **more):
    return Answer(subprocess.run(command(*words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 timeout=2 * PATIENCE, env=more.pop("env", environment), **more))


def good(*words, **more):
    answer = ctl(*words, **more)
    assert answer.status == OK, f"{words}: {answer}"
    return answer


def bad(status, mentions, *words, **more):
    """Ends with this status, one line on stderr, and nothing on stdout unless asked for JSON."""
    answer = ctl(*words, **more)
    assert answer.status == status, f"{words}: {answer}"
    lines = answer.err.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("convenectl: ") and mentions in lines[0], f"{words}: {answer}"
    return answer


def running(*words, **more):
    return Running(command(*words), env=environment, **more)


def equal(a, b):
    assert a == b, f"{a!r} is not {b!r}"


def zxid():
    return good("sync").text.strip()


#
# Tests, in the order of convenectl(1); each uses paths of its own.
#

def test_get_set_create_delete():
    equal(good("create", "/t", "one").text, "/t\n")
    equal(good("get", "/t").out, b"one")
    equal(good("set", "/t", "two").out, b"")
    equal(good("get", "/t", "--linearizable").out, b"two")
    equal(good("delete", "/t").out, b"")
    bad(NO_NODE, "/t: no such znode", "get", "/t")
    bad(NO_NODE, "(NoNode)", "delete", "/t")


def test_bytes():
    data = bytes(range(256)) * 3
    good("create", "/bytes", "-", stdin=data)
    equal(good("get", "/bytes").out, data)
    answer = good("get", "/bytes", "--json").json
    equal(base64.b64decode(answer["data_base64"]), data)
    assert "data" not in answer
    equal(answer["stat"]["data_bytes"], len(data))

    good("set", "/bytes", "-", stdin="ä\n".encode())
    equal(good("get", "/bytes", "--json").json["data"], "ä\n")
    good("set", "/bytes", "")
    equal(good("get", "/bytes").out, b"")
    good("set", "/bytes", "x")
    good("set", "/bytes", "--null")
    equal(good("get", "/bytes", "--json").json["data"], "")
    good("set", "/bytes", "--", "-5")
    equal(good("get", "/bytes").out, b"-5")

    full = os.urandom(1024 * 1024)
    good("set", "/bytes", "-", stdin=full)
    equal(good("get", "/bytes").out, full)
    bad(LIMIT, "TooLarge", "set", "/bytes", "-", stdin=full + b"x")


def test_terminal_is_safe():
    good("create", "/screen", "-", stdin=b"\x1b]0;gotcha\x07\x9b31m")
    ours, theirs = pty.openpty()
    run = subprocess.run(command("get", "/screen"), stdout=theirs, stderr=subprocess.PIPE, env=environment,
                         timeout=PATIENCE)
    os.close(theirs)
    out = os.read(ours, 65536)
    os.close(ours)
    equal(run.returncode, OK)
    assert b"\x1b" not in out and b"\\x1b]0;gotcha" in out, out


def test_colours():
    def status_on_terminal(**more):
        ours, theirs = pty.openpty()
        subprocess.run(command("status"), stdout=theirs, env={**environment, "TERM": "xterm", **more}, timeout=PATIENCE,
                       check=True)
        os.close(theirs)
        out = os.read(ours, 65536)
        os.close(ours)
        return out

    assert b"\x1b[" in status_on_terminal()
    assert b"\x1b[" not in status_on_terminal(NO_COLOR="1")
    assert b"\x1b[" not in status_on_terminal(TERM="dumb")
    assert b"\x1b" not in good("status").out


def test_conditions():
    made = good("create", "/if", "0", "--json").json
    equal(made["path"], "/if")
    equal(made["stat"]["version"], 0)
    changed = good("set", "/if", "1", "--if-version=0", "--json").json
    equal(changed["stat"]["version"], 1)
    bad(CONFLICT, "BadVersion", "set", "/if", "2", "--if-version=0")
    bad(CONFLICT, "BadVersion", "delete", "/if", "--if-version=0")
    bad(CONFLICT, "BadVersion", "set", "/if", "2", "--if-czxid=0x7fffffff00000001")
    good("set", "/if", "2", f"--if-czxid={made['stat']['czxid']}")
    good("delete", "/if", f"--if-czxid={made['stat']['czxid']}", "--if-version=2")


def test_create_kinds():
    bad(NO_NODE, "NoNode", "create", "/kinds/a")
    equal(good("create", "--parents", "/kinds/a").text, "/kinds/a\n")
    bad(CONFLICT, "NodeExists", "create", "/kinds/a")
    first = good("create", "--sequential", "/kinds/s-").text.strip()
    second = good("create", "-s", "/kinds/s-").text.strip()
    assert re.fullmatch(r"/kinds/s-\d{10}", first) and first < second, (first, second)
    good("create", "--container", "/kinds/c")
    good("create", "--ttl=1h", "/kinds/t")
    good("create", "--ttl=1h", "--sequential", "/kinds/t-")
    equal(good("create", "--quiet", "/kinds/q").out, b"")
    bad(USAGE, "exclude", "create", "--container", "--ttl=1h", "/kinds/x")
    bad(USAGE, "exclude", "create", "--null", "/kinds/x", "data")
    bad(USAGE, "BadArguments", "create", "kinds")
    bad(USAGE, "BadArguments", "create", "/kinds//x")


def test_delete():
    good("create", "-p", "/del/a/b")
    good("create", "/del/c")
    bad(CONFLICT, "NotEmpty", "delete", "/del")
    answer = ctl("delete", "/del/nope", "/del/c", "--json")
    equal(answer.status, NO_NODE)
    equal(answer.json, [{"path": "/del/c", "znodes": 1}])
    equal(good("delete", "-r", "/del", "--json").json, [{"path": "/del", "znodes": 3}])
    bad(USAGE, "conditional", "delete", "-r", "--if-version=1", "/del")


def test_ls_and_tree():
    good("create", "-p", "/list/b/x", "deep")
    good("create", "/list/a", "flat")
    equal(good("ls", "/list").lines, ["a", "b"])
    equal(good("ls", "/list", "--json").json, ["a", "b"])
    equal(good("ls", "-r", "/list").lines, ["/list", "/list/a", "/list/b", "/list/b/x"])
    long = good("ls", "-l", "/list").lines
    assert long[0].split() == ["VERSION", "BYTES", "CHILDREN", "CHANGED", "KIND", "NAME"], long
    equal([line.split()[-1] for line in long[1:]], ["a", "b"])
    equal([entry["stat"]["data_bytes"] for entry in good("ls", "-l", "/list", "--json").json], [4, 0])
    assert "zookeeper" in good("ls").lines
    bad(NO_NODE, "NoNode", "ls", "/list/nope")

    equal(good("tree", "/list", "--with-data").lines,
          ["/list", "├─ a  flat", "└─ b", "   └─ x  deep", "", "4 znodes, 0 of them ephemeral"])
    equal(good("tree", "/list", "--depth=1", "-q").lines, ["/list", "├─ a", "└─ b"])
    entries = good("tree", "/list", "--with-data", "--json").json
    equal([(entry["path"], entry["data"]) for entry in entries],
          [("/list", ""), ("/list/a", "flat"), ("/list/b", ""), ("/list/b/x", "deep")])


def test_pages():
    """More children than one answer holds."""
    operations = [{"op": "create", "path": f"/many/n{i:05}"} for i in range(10500)]
    good("create", "/many")
    for begin in range(0, len(operations), 1000):
        good("multi", "-q", stdin=json.dumps(operations[begin:begin + 1000]).encode())
    equal(good("ls", "/many").lines, [f"n{i:05}" for i in range(10500)])
    equal(len(good("ls", "-r", "/many").lines), 10501)
    bad(LIMIT, "LimitExceeded", "delete", "-r", "/many")


def test_stat():
    good("create", "/stat", "x")
    stat = good("stat", "/stat", "--json").json[0]
    equal(sorted(stat["stat"]), sorted(["czxid", "mzxid", "pzxid", "ctime_ms", "mtime_ms", "version", "cversion",
                                        "aversion", "ephemeral_owner", "data_bytes", "children"]))
    equal(stat["stat"]["ephemeral_owner"], None)
    assert re.fullmatch(r"0x[0-9a-f]+", stat["stat"]["czxid"])
    assert abs(stat["stat"]["ctime_ms"] / 1000 - time.time()) < 60
    equal(good("stat", "/stat").lines[0].split(), ["Znode:", "/stat"])
    answer = ctl("stat", "/nope", "/stat", "--json")
    equal(answer.status, NO_NODE)
    equal([entry["path"] for entry in answer.json], ["/stat"])


def test_acl():
    good("create", "/acl", "--acl=world:anyone:r", "--acl", "unix:1@*:cdrwa")
    equal(good("acl", "/acl").lines, ["world:anyone:r", "unix:1@*:cdrwa"])
    entries = good("acl", "/acl", "--json").json
    equal(entries["acl"][0], {"scheme": "world", "id": "anyone", "permissions": "r"})
    good("acl", "/acl", "world:anyone:cdrw", "--if-version=0")
    equal(good("acl", "/acl").lines, ["world:anyone:cdrw"])
    bad(CONFLICT, "BadVersion", "acl", "/acl", "world:anyone:r", "--if-version=0")
    bad(USAGE, "InvalidACL", "acl", "/acl", "frob:x:r")
    bad(USAGE, "SCHEME:ID:PERMS", "acl", "/acl", "world")
    bad(USAGE, "SCHEME:ID:PERMS", "create", "/acl/x", "--acl=world")


def test_access():
    if os.getuid() != 0:
        raise Skip("only root can be somebody else")
    good("create", "/root-only", "secret", "--acl=unix:0@*:all")
    bad(ACCESS, "NoAuth", "get", "/root-only", user=NOBODY)
    bad(ACCESS, "NoAuth", "create", "/mine", user=NOBODY)
    bad(ACCESS, "(", "--super", "get", "/root-only", user=NOBODY)
    bad(ACCESS, "(", "checkpoint", user=NOBODY)
    good("create", "/open", "--acl=world:anyone:cdrw")
    good("create", "/open/mine", "--acl=auth::all", user=NOBODY)
    assert any(line.startswith(f"unix:{NOBODY}@") for line in good("acl", "/open/mine", user=NOBODY).lines)
    identities = good("whoami", "--json", user=NOBODY).json
    assert any(one["scheme"] == "unix" and one["id"].startswith(f"{NOBODY}@") for one in identities), identities
    assert not any(one["scheme"] == "super" for one in identities), identities


def test_quota():
    bad(NO_NODE, "NoNode", "quota", "/quota")
    good("create", "/quota")
    good("quota", "/quota", "count=100", "hard-count=3", "bytes=10M")
    good("create", "/quota/a", "x" * 10)
    answer = good("quota", "/quota", "--json").json
    equal(answer, {"path": "/quota", "count": 100, "bytes": 10 * 1024 * 1024, "hard_count": 3, "hard_bytes": None,
                   "used_count": 2, "used_bytes": 10})
    equal(good("quota", "/quota").lines[1].split(), ["znodes", "2", "100", "3"])
    good("create", "/quota/b")
    bad(LIMIT, "QuotaExceeded", "create", "/quota/c")
    good("quota", "/quota", "hard-count=10")
    good("create", "/quota/c")
    good("quota", "/quota", "none")
    bad(NO_NODE, "NoNode", "quota", "/quota")
    bad(NO_NODE, "NoNode", "quota", "/quota", "none")
    bad(NO_NODE, "NoNode", "stat", "/zookeeper/quota/quota")
    bad(USAGE, "is no quota", "quota", "/quota", "cuont=1")
    bad(USAGE, "BadArguments", "quota", "/")


def test_multi():
    operations = [{"op": "create", "path": "/multi", "data": "x"},
                  {"op": "create", "path": "/multi/e-", "mode": "persistent-sequential", "acl": ["world:anyone:r"]},
                  {"op": "set", "path": "/multi", "data_base64": "/wA=", "version": 0},
                  {"op": "check", "path": "/multi", "version": 1}]
    answer = good("multi", "--json", stdin=json.dumps(operations).encode()).json
    equal(answer["committed"], True)
    equal([result["error"] for result in answer["results"]], ["Ok"] * 4)
    equal(answer["results"][1]["created"], "/multi/e-0000000000")
    equal(answer["results"][2]["stat"]["mzxid"], answer["zxid"])
    equal(good("get", "/multi").out, b"\xff\x00")

    path = work / "multi.json"
    path.write_text(json.dumps([{"op": "delete", "path": "/multi/e-0000000000"},
                                {"op": "check", "path": "/multi", "version": 7},
                                {"op": "delete", "path": "/multi"}]))
    answer = ctl("multi", str(path), "--json")
    equal(answer.status, CONFLICT)
    equal(answer.json["committed"], False)
    equal([result["error"] for result in answer.json["results"]], ["Ok", "BadVersion", "RuntimeInconsistency"])
    assert b"operation 1: /multi: " in answer.err, answer
    good("stat", "/multi/e-0000000000")

    answer = ctl("multi", "--json", stdin=json.dumps([{"op": "get", "path": "/multi"},
                                                      {"op": "children", "path": "/multi"},
                                                      {"op": "get", "path": "/nope"}]).encode())
    equal(answer.status, NO_NODE)
    results = answer.json["results"]
    equal(results[0]["data_base64"], "/wA=")
    equal(results[1]["names"], ["e-0000000000"])
    equal(results[2], {"error": "NoNode"})
    table = ctl("multi", stdin=b'[{"op":"get","path":"/multi"}]').lines
    equal(table[0].split(), ["OPERATION", "PATH", "RESULT", "VALUE"])

    equal(good("multi", "--json", stdin=b"[]").json["results"], [])
    bad(USAGE, "takes no \"versoin\"", "multi", stdin=b'[{"op":"check","path":"/","versoin":1}]')
    bad(USAGE, "no valid JSON", "multi", stdin=b"[")
    bad(FAILURE, "cannot open", "multi", str(work / "nope"))


def test_watch():
    good("create", "/watch")
    since = zxid()
    watch = running("watch", "-r", "/watch", "--since", since, "--count=4", "--json")
    made = good("create", "/watch/a", "--json").json["stat"]["czxid"]
    good("create", "/elsewhere")
    good("set", "/watch/a", "x")
    good("delete", "/watch/a")
    good("set", "/watch", "y")
    events = [json.loads(watch.line()) for _ in range(4)]
    equal(events[0], {"zxid": made, "type": "created", "path": "/watch/a"})
    equal([(event["type"], event["path"]) for event in events[1:]],
          [("data-changed", "/watch/a"), ("deleted", "/watch/a"), ("data-changed", "/watch")])
    equal(watch.end(), OK)
    watch.close()

    watch = running("watch", "/watch", "--since", since, "--count=3")
    equal([watch.line().split()[1:] for _ in range(3)],
          [["children-changed", "/watch"], ["children-changed", "/watch"], ["data-changed", "/watch"]])
    watch.close()


def test_watch_live():
    """Without --since: what is told is what comes after the watch."""
    watch = running("watch", "/live", "--json")
    # registered at some time: the first change it tells of shows that, and none is missing after it
    changes = 0
    good("create", "/live")
    while not select.select([watch.process.stdout], [], [], 0)[0]:
        good("set", "/live", str(changes))
        changes += 1
        assert changes < 1000
    good("create", "/live/child")
    good("delete", "-r", "/live")
    seen = [json.loads(watch.line())]
    while seen[-1]["type"] != "deleted":
        seen.append(json.loads(watch.line()))
    types = [event["type"] for event in seen]
    assert types[-3:] == ["children-changed", "children-changed", "deleted"], types
    watch.kill(signal.SIGINT)
    equal(watch.end(), -signal.SIGINT)
    watch.close()


def test_watch_outlives_the_agent():
    good("create", "/outlive")
    watch = running("watch", "-r", "/outlive", "--since", zxid(), "--json")
    good("multi", "-q", stdin=b'[{"op":"create","path":"/outlive/a"},{"op":"create","path":"/outlive/b"}]')
    equal([json.loads(watch.line())["path"] for _ in range(2)], ["/outlive/a", "/outlive/b"])
    for number in (signal.SIGTERM, signal.SIGKILL):
        agent.stop(number)
        assert "gone away" in watch.line("stderr")
        agent.start()
        good("set", "/outlive/a", str(int(number)))
        event = json.loads(watch.line())
        equal((event["type"], event["path"]), ("data-changed", "/outlive/a"))
        assert "is back" in watch.line("stderr")
    agent.stop()
    watch.close()

    watch = None
    agent.start()
    impatient = running("watch", "/outlive", "--timeout=500ms", "--since", zxid())
    good("set", "/outlive", "x")
    impatient.line()
    agent.stop()
    assert "gone away" in impatient.line("stderr")
    assert "did not come back" in impatient.line("stderr")
    equal(impatient.end(), UNREACHABLE)
    impatient.close()
    agent.start()


def test_watch_mistakes():
    bad(USAGE, "BadArguments", "watch", "no-slash")
    bad(USAGE, "--since", "watch", "/", "--since=soon")


def test_ephemeral_foreground():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        holder = running("create", "--ephemeral", "/held", "x", "--json")
        held = json.loads(holder.line())
        assert held["stat"]["ephemeral_owner"], held
        equal(good("stat", "/held", "--json").json[0]["stat"]["ephemeral_owner"], held["stat"]["ephemeral_owner"])
        holder.kill(number)
        equal(holder.end(), OK)
        bad(NO_NODE, "NoNode", "stat", "/held")
        holder.close()


def test_ephemeral_vanishes_with_its_client():
    holder = running("create", "--ephemeral", "/killed")
    equal(holder.line(), "/killed")
    watch = running("watch", "/killed", "--since", good("stat", "/killed", "--json").json[0]["stat"]["czxid"],
                    "--count=1", "--json")
    holder.kill(signal.SIGKILL)
    event = json.loads(watch.line())
    equal((event["type"], event["path"]), ("deleted", "/killed"))
    holder.close()
    watch.close()


def test_ephemeral_command():
    answer = ctl("create", "-es", "/cmd-", "--", "sh", "-c",
                 'echo "$CONVENE_PATH $CONVENE_SESSION"; exec "$0" stat --json "$CONVENE_PATH"', *command())
    equal(answer.status, OK)
    first, second, rest = answer.text.split("\n", 2)
    equal(second.split(" ")[0], first)
    equal(json.loads(rest)[0]["stat"]["ephemeral_owner"], second.split(" ")[1])
    bad(NO_NODE, "NoNode", "stat", first)

    equal(ctl("create", "-e", "/cmd", "--", "sh", "-c", "exit 42").status, 42)
    equal(ctl("create", "-e", "/cmd", "--", "sh", "-c", "kill -9 $$").status, 128 + 9)
    equal(ctl("create", "-e", "/cmd", "--", "/nonexistent").status, 127)
    equal(ctl("create", "-e", "/cmd", "--", "/").status, 126)
    bad(CONFLICT, "NodeExists", "create", "-e", "/zookeeper", "--", "true")
    bad(USAGE, "no command", "create", "-e", "/cmd", "--")
    equal(good("sessions", "--json").json, [])

    # signals from elsewhere are passed on
    holder = running("create", "-e", "/cmd", "--", "sh", "-c",
                     'trap "exit 7" TERM; echo go; while :; do read -r line || sleep 0.1; done', stdin=subprocess.DEVNULL)
    equal((holder.line(), holder.line()), ("/cmd", "go"))
    holder.kill(signal.SIGTERM)
    equal(holder.end(), 7)
    holder.close()


def test_ephemeral_lost():
    """An administrator ends the session: the command is told, and the exit status says why."""
    holder = running("create", "-e", "/lost", "--", "sh", "-c", 'trap "echo told; exit 3" TERM; echo "$CONVENE_SESSION"; while :; do sleep 0.1; done')
    equal(holder.line(), "/lost")
    good("sessions", "close", holder.line())
    equal(holder.line(), "told")
    equal(holder.end(), SESSION)
    assert "SessionExpired" in holder.line("stderr")
    holder.close()
    bad(NO_NODE, "NoNode", "stat", "/lost")


def test_ephemeral_outlives_the_agent():
    holder = running("create", "-e", "--session-timeout=3s", "/survivor")
    equal(holder.line(), "/survivor")
    owner = good("stat", "/survivor", "--json").json[0]["stat"]["ephemeral_owner"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        agent.stop(number)
        assert "gone away" in holder.line("stderr")
        agent.start()
        assert "is back" in holder.line("stderr")
    # longer than its time-out: it is there because it was taken up again, and not because nobody has looked yet
    time.sleep(5)
    equal(good("stat", "/survivor", "--json").json[0]["stat"]["ephemeral_owner"], owner)
    holder.kill(signal.SIGINT)
    equal(holder.end(), OK)
    bad(NO_NODE, "NoNode", "stat", "/survivor")
    holder.close()


def test_unit_without_systemd():
    answer = ctl("create", "--unit=nginx.service", "/unit")
    assert answer.status != OK and b"nginx.service" in answer.err, answer
    bad(NO_NODE, "NoNode", "stat", "/unit")
    bad(USAGE, "exclude", "create", "--unit=x.service", "/unit", "--ephemeral", "--", "true")


def test_sessions():
    holder = running("create", "-e", "/session", "--session-timeout=7s")
    holder.line()
    sessions = good("sessions", "--json").json
    equal(len(sessions), 1)
    one = sessions[0]
    equal((one["owner_kind"], one["ephemerals"], one["timeout_ms"]), ("connection", 1, 7000))
    assert f"pid {holder.process.pid}" in one["owner"], one
    assert 0 < one["deadline_in_ms"] <= 7000, one
    assert one["id"] in good("sessions").lines[1] and one["id"] in good("sessions", "list").text
    shown = good("sessions", "show", one["id"], "--json").json[0]
    assert any(identity.startswith(f"unix:{os.getuid()}@") for identity in shown["identities"]), shown
    assert "Owner:" in good("sessions", "show", one["id"]).text
    bad(NO_NODE, "no such session", "sessions", "show", "1")
    bad(USAGE, "no session id", "sessions", "show", "nginx")
    good("sessions", "close", one["id"])
    equal(holder.end(), SESSION)
    holder.close()
    equal(good("sessions", "--json").json, [])
    bad(SESSION, "SessionExpired", "sessions", "close", one["id"])


def test_presence_files():
    root = work / "root"
    enable = ["presence", "enable", "web@1.service", "--path=/services/%N", "--data=a\nb", "--acl=world:anyone:r",
              f"--root={root}"]
    path = root / "etc/convene/presence.d/web@1.service.conf"
    equal(good(*enable).text.strip(), str(path))
    equal(path.stat().st_mode & 0o777, 0o644)
    lines = path.read_text().splitlines()
    equal(lines[1:], ["[Presence]", "Unit=web@1.service", "Path=/services/%N", "Data=a\\nb", "Acl=world:anyone:r"])

    vendor = root / "usr/lib/convene/presence.d"
    vendor.mkdir(parents=True)
    (vendor / "web.conf").write_text("[Presence]\nUnit=web@*.service other.service\nPath=/x\n")
    (vendor / "web@1.service.conf").write_text("[Presence]\nUnit=hidden.service\nPath=/hidden\n")
    (vendor / "masked.conf").write_text("[Presence]\nUnit=masked.service\nPath=/m\n")
    (root / "etc/convene/presence.d/masked.conf").symlink_to("/dev/null")
    shown = good("presence", "show", "web@1.service", f"--root={root}", "--json").json
    equal([pathlib.Path(one["file"]).name for one in shown], ["web.conf", "web@1.service.conf"])
    equal(len(good("presence", "show", f"--root={root}", "--json").json), 2)
    assert "Unit=web@1.service" in good("presence", "show", "web@1.service", f"--root={root}").text
    bad(NO_NODE, "no presence", "presence", "show", "masked.service", f"--root={root}")

    good("presence", "disable", "web@1.service", f"--root={root}")
    assert not path.exists()
    bad(NO_NODE, "no such presence", "presence", "disable", "web@1.service", f"--root={root}")
    bad(USAGE, "name of a unit", "presence", "enable", "../x.service", "--path=/x", f"--root={root}")
    bad(USAGE, "--path", "presence", "enable", "x.service", f"--root={root}")
    equal(good("presence", "--json").json, [])
    equal(good("presence").lines[0].split(), ["UNIT", "PATH", "SESSION", "STATE"])


def test_status():
    status = good("status", "--json").json
    equal((status["role"], status["serving"], status["space_available"], status["problems"]), ("leader", True, True, []))
    equal((status["leader"], status["member"], len(status["members"])), (1, 1, 1))
    assert status["znodes"] >= 4 and status["sessions"] == 0, status
    assert abs(status["role_since_ms"] / 1000 - time.time()) < 600, status
    equal(status["members"][0]["name"], status["name"])
    text = good("status").text
    assert text.startswith(f"● {status['name']} - leader of an ensemble of 1"), text
    assert f"unix:path={agent.socket}" in text and "Serving: yes" in text, text


def test_member():
    members = good("member", "--json").json
    equal([(one["sid"], one["leader"], one["this"], one["role"]) for one in members], [(1, True, True, "voter")])
    name = members[0]["name"]
    equal(good("member", "show", name, "--json").json, members)
    assert name in good("member", "list").lines[1] and "leader" in good("member").lines[1]
    bad(NO_NODE, "no such member", "member", "show", "nobody")


def test_statistics():
    before = good("statistics", "--json").json
    good("create", "/statistics")
    after = good("statistics", "--json").json
    assert after["updates"] == before["updates"] + 1, (before, after)
    equal(list(good("statistics", "updates*", "uptime_use?", "--json").json), ["updates", "updates_failed", "uptime_usec"])
    equal(good("statistics", "znodes_now").lines[0].split(), ["NAME", "VALUE"])


def test_sync_ping_checkpoint():
    number = good("create", "/sync", "--json").json["stat"]["czxid"]
    assert int(zxid(), 16) >= int(number, 16)
    assert int(good("sync", "--json").json["zxid"], 16) >= int(number, 16)
    equal(good("ping", "--json").json["serving"], True)
    assert "serving" in good("ping").text
    equal(len(good("ping", "-n2").lines), 2)
    assert int(good("checkpoint").text, 16) >= int(number, 16)


def test_monitor():
    monitor = running("monitor", "--json")
    first = json.loads(monitor.line())
    equal((first["event"], first["role"], first["serving"]), ("role", "leader", True))
    # the role is told once the watch is there
    good("create", "/monitor")
    event = json.loads(monitor.line())
    equal((event["event"], event["type"], event["path"]), ("change", "created", "/monitor"))
    holder = running("create", "-e", "/monitor/e")
    holder.line()
    seen = {}
    while len(seen) < 2:
        event = json.loads(monitor.line())
        seen[event["event"]] = event
    equal(seen["change"]["path"], "/monitor/e")
    opened = seen["session-opened"]["session"]
    equal(opened["owner_kind"], "connection")
    holder.kill(signal.SIGKILL)
    seen = {}
    while len(seen) < 2:
        event = json.loads(monitor.line())
        seen[event["event"]] = event
    equal(seen["change"]["type"], "deleted")
    equal(seen["session-ended"]["session"]["id"], opened["id"])
    holder.close()

    # the agent goes and comes: a new epoch
    agent.stop(signal.SIGKILL)
    agent.start()
    event = json.loads(monitor.line())
    while event["event"] != "role":
        event = json.loads(monitor.line())
    assert event["epoch"] > first["epoch"], (first, event)
    monitor.close()

    monitor = running("monitor", "-n1")
    assert "leader, epoch" in monitor.line()
    equal(monitor.end(), OK)
    monitor.close()


def test_command_line():
    equal(good("--help").lines[0], "convenectl [OPTIONS...] COMMAND ...")
    assert "--if-version" in good("set", "--help").text
    assert re.fullmatch(r"convenectl \S+\n", good("--version").text)
    for words in ([], ["frob"], ["get"], ["get", "/a", "/b"], ["--frob"], ["get", "--count=1", "/a"], ["sessions", "frob"],
                  ["get", "--timeout", "/a"], ["--system", "--address=unix:path=/x", "status"]):
        bad(USAGE, "convenectl --help", *words)


def test_unreachable():
    nowhere = {**environment, "CONVENE_ADDRESS": "unix:path=/nonexistent/bus"}
    bad(UNREACHABLE, "cannot reach the agent", "status", env=nowhere)
    bad(UNREACHABLE, "cannot reach the agent", "create", "/x", env=nowhere)
    bad(UNREACHABLE, "cannot reach the agent", "watch", "/x", env=nowhere)
    equal(good("--address", f"unix:path={agent.socket}", "ping", env=nowhere).status, OK)

    # somebody who accepts and says nothing is given up on
    import socket
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(work / "silent"))
    silent.listen()
    begin = time.monotonic()
    bad(UNREACHABLE, "cannot reach", f"--address=unix:path={work}/silent", "--timeout=500ms", "sync")
    assert 0.4 < time.monotonic() - begin < 10
    silent.close()

    # stopped in the middle: an update's fate is unknown, a read's is not of interest
    agent.running.kill(signal.SIGSTOP)
    try:
        answer = ctl("--timeout=500ms", "set", "/unreachable", "x")
        assert answer.status in (UNREACHABLE, FATE_UNKNOWN), answer
    finally:
        agent.running.kill(signal.SIGCONT)


def test_fate_unknown():
    """The agent dies between an update and its answer."""
    good("create", "/fate")
    release = work / "release"
    os.mkfifo(release)
    # the data comes after the connection is there: a reader of ours opens only then
    holder = running("create", "-e", "/fate/hold")
    holder.line()
    agent.running.kill(signal.SIGSTOP)
    waiting = running("set", "/fate", "x", "--timeout=1s")
    time.sleep(0.2)
    agent.running.kill(signal.SIGCONT)
    status = waiting.end()
    assert status in (OK, UNREACHABLE, FATE_UNKNOWN), status
    waiting.close()
    holder.kill(signal.SIGINT)
    equal(holder.end(), OK)
    holder.close()


def bash_complete(line, prelude=""):
    """What bash would offer at the end of the line."""
    script = f"""
        {prelude}
        source {COMPLETION}/bash/convenectl
        COMP_LINE=$1 COMP_POINT=${{#1}} COMP_TYPE=9 COMP_KEY=9
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _convenectl 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    # as bash splits it: at white space, and before and after "=" and ":"
    words = []
    for word in line.split(" "):
        words += [part for part in re.split(r"([=:]+)", word) if part] or [""]
    run = subprocess.run(["bash", "--norc", "-c", script, "bash", line, *words], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, timeout=PATIENCE, check=True, text=True,
                         env={**environment, "PATH": f"{work}:{environment['PATH']}"})
    equal(run.stderr, "")
    return [reply for reply in run.stdout.split("\n") if reply]


def check_bash(prelude):
    good("create", "-p", "/comp/alpha/one")
    good("create", "-p", "/comp/alpine")
    good("create", "-p", "/comp/beta")
    good("create", "/comp/co:lon=")
    equal(bash_complete("convenectl chec", prelude), ["checkpoint"])
    equal(bash_complete("convenectl sessions ", prelude), ["list", "show", "close"])
    assert "--linearizable" in bash_complete("convenectl get --", prelude)
    assert "--linearizable" not in bash_complete("convenectl set --", prelude)
    equal(bash_complete("convenectl set --if-v", prelude), ["--if-version="])
    equal(bash_complete("convenectl get ", prelude), ["/"])
    equal(bash_complete("convenectl get /comp/a", prelude), ["/comp/alpha", "/comp/alpine"])
    equal(bash_complete("convenectl get /comp/alpi", prelude), ["/comp/alpine"])
    equal(bash_complete("convenectl get /comp/alpha", prelude), ["/comp/alpha", "/comp/alpha/"])
    equal(bash_complete("convenectl get /comp/alpha/", prelude), ["/comp/alpha/one"])
    equal(bash_complete("convenectl stat /comp /comp/b", prelude), ["/comp/beta"])
    equal(bash_complete("convenectl get /comp/co:l", prelude), ["lon="])
    equal(bash_complete("convenectl get /comp /x", prelude), [])
    equal(bash_complete("convenectl get /nope/", prelude), [])
    equal(bash_complete(f"convenectl --address=unix:path={agent.socket} get /comp/b", prelude), ["/comp/beta"])
    equal(bash_complete("convenectl --address=unix:path=/nonexistent get /comp/b", prelude), [])
    equal(bash_complete("convenectl member show ", prelude), [good("status", "--json").json["name"]])
    holder = running("create", "-e", "/comp/e")
    holder.line()
    equal(bash_complete("convenectl sessions close ", prelude), [good("sessions", "--json").json[0]["id"]])
    holder.kill(signal.SIGINT)
    holder.end()
    holder.close()
    good("delete", "-r", "/comp")


def test_completion_bash():
    check_bash("")


def test_completion_bash_with_library():
    library = pathlib.Path("/usr/share/bash-completion/bash_completion")
    if not library.exists():
        raise Skip("bash-completion is not installed")
    check_bash(f"source {library}")


def test_completion_zsh():
    if not shutil.which("zsh"):
        raise Skip("zsh is not installed")
    subprocess.run(["zsh", "-n", str(COMPLETION / "zsh/_convenectl")], check=True, timeout=PATIENCE)
    good("create", "-p", "/zsh/alpha/one")
    good("create", "/zsh/beta")

    # a real shell on a terminal of its own: type, press TAB, and let it print the line it has then
    script = f"""
        zmodload zsh/zpty
        zpty shell 'zsh -f -i'
        zpty -w shell 'PS1=; fpath=({COMPLETION}/zsh $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep'
        zpty -w shell 'show() {{ print -r -- "<<$BUFFER>>"; zle kill-whole-line }}; zle -N show; bindkey "^X^X" show'
        zpty -w shell 'print read""y'
        zpty -r shell line '*ready*'
        for word in "$@"; do
            zpty -w -n shell "$word"$'\\t'$'\\C-x\\C-x'
            zpty -r shell line '*<<*>>*'
            print -r -- "$line"
        done
        zpty -d shell
    """
    typed = {"convenectl chec": "convenectl checkpoint ", "convenectl get /zsh/b": "convenectl get /zsh/beta ",
             "convenectl sessions cl": "convenectl sessions close ", "convenectl set --if-v": "convenectl set --if-version=",
             "convenectl get /zsh/alpha/": "convenectl get /zsh/alpha/one "}
    run = subprocess.run(["zsh", "-f", "-c", script, "zsh", *typed], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=3 * PATIENCE, env={**environment, "PATH": f"{work}:{environment['PATH']}", "TERM": "dumb",
                                                    "HOME": str(work)})
    shown = re.findall(r"<<(.*?)>>", run.stdout.decode(errors="replace"), re.S)
    shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\n]", "", line) for line in shown if "$BUFFER" not in line]
    equal(shown, list(typed.values()))


def main():
    global agent, work, environment
    tests = [(name, function) for name, function in globals().items() if name.startswith("test_")]
    only = sys.argv[4:]
    tests = [(name, function) for name, function in tests if not only or name in only]
    failures = 0

    with tempfile.TemporaryDirectory(prefix="convene-ctl-") as directory:
        work = pathlib.Path(directory)
        work.chmod(0o755)               # for the tests that are somebody else
        shutil.copy(CONVENECTL, work / "convenectl")
        agent = Agent(work)
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": directory,
                       "CONVENE_ADDRESS": f"unix:path={agent.socket}"}
        environment.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
        agent.start()
        print(f"1..{len(tests)}", flush=True)
        try:
            for i, (name, function) in enumerate(tests, 1):
                title = name[len("test_"):].replace("_", " ")
                try:
                    function()
                    print(f"ok {i} - {title}", flush=True)
                except Skip as why:
                    print(f"ok {i} - {title} # SKIP {why}", flush=True)
                except Exception:
                    failures += 1
                    print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
                    print(f"not ok {i} - {title}", flush=True)
                    if agent.running.process.poll() is not None:
                        print("".join(f"# {line}\n" for line in agent.last_words().splitlines()), end="", flush=True)
                        agent.start()
        finally:
            if agent.running.process.poll() is None:
                equal(agent.stop(), 0)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
