#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-tree.py - the tree through convenectl; see ctl_harness.py

import base64
import json
import os
import pty
import re
import subprocess
import time

from ctl_harness import (ACCESS, CONFLICT, FAILURE, LIMIT, NOBODY, NO_NODE, OK, PATIENCE, Skip, USAGE, bad,
                         command, ctl, equal, good, here, main)


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
    run = subprocess.run(command("get", "/screen"), stdout=theirs, stderr=subprocess.PIPE, env=here.environment,
                         timeout=PATIENCE)
    os.close(theirs)
    out = os.read(ours, 65536)
    os.close(ours)
    equal(run.returncode, OK)
    assert b"\x1b" not in out and b"\\x1b]0;gotcha" in out, out


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
    plain = {**here.environment, "LC_ALL": "C"}
    equal(good("tree", "/list", "-q", env=plain).lines, ["/list", "|- a", "`- b", "   `- x"])
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

    path = here.work / "multi.json"
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
    bad(FAILURE, "cannot open", "multi", str(here.work / "nope"))


main(globals())
