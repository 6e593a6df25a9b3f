#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab's judges accept what can have been and reject what cannot."""

import itertools
import json
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab"))

import history  # noqa: E402
from history import Op  # noqa: E402

P = "/lab/shared/0"


def put(client, call, end, version, outcome="ok", data=None, zxid=None):
    """A set that makes, or would have made, VERSION."""
    data = data if data is not None else "v%d" % version
    op = Op(client, 0, call, "set", P, data, version - 1)
    return op.returned(end, outcome, zxid if zxid is not None else 100 + version, version if outcome == "ok" else 0)


def get(client, call, end, version, kind="read", data=None):
    got = data if data is not None else "v%d" % version if version else ""
    return Op(client, 0, call, kind, P).returned(end, "ok", 100 + version, version, got)


def made(client, call, end, zxid, outcome="ok", name="a"):
    return Op(client, 0, call, "create", "/lab/own/" + name, name).returned(end, outcome, zxid if outcome == "ok" else 0)


def register(*ops):
    return history.judge_register(P, list(ops))


def accepts(problems):
    assert not problems, problems


def rejects(problems, words):
    assert any(words in problem for problem in problems), (words, problems)


def test_register_good():
    accepts(register())
    accepts(register(put("a", 1, 2, 1), get("b", 3, 4, 1), put("b", 5, 6, 2), get("a", 5, 7, 1), get("a", 8, 9, 2)))
    # Answers cross: calls that overlap may stand in either order.
    accepts(register(put("a", 1, 9, 2), put("b", 1, 9, 1), get("c", 1, 9, 0), get("d", 1, 9, 2)))


def test_register_stale_read():
    rejects(register(put("a", 1, 2, 1), get("b", 3, 4, 0)), "stale read")
    rejects(register(put("a", 1, 2, 1), put("a", 3, 4, 2), get("b", 3, 9, 2), get("b", 10, 11, 1)), "stale read")
    # A read makes what it saw certain, even where the writer has no answer.
    rejects(register(put("a", 1, 99, 1, "unknown"), get("b", 3, 4, 1), get("c", 5, 6, 0)), "stale read")
    # So does a local one; but it may itself be old.
    rejects(register(put("a", 1, 2, 1), get("b", 3, 4, 1, "peek"), put("a", 5, 6, 2), get("c", 7, 8, 1)), "stale read")
    accepts(register(put("a", 1, 2, 1), put("a", 3, 4, 2), get("c", 7, 8, 1, "peek")))


def test_register_lost_write():
    rejects(register(put("a", 1, 2, 1), get("b", 3, 4, 0)), "stale read")
    rejects(register(put("a", 1, 2, 1), put("b", 3, 4, 1, data="other")), "the same version")
    rejects(register(put("a", 5, 6, 1), put("b", 1, 2, 2)), "was there before this call")


def test_register_from_nowhere():
    rejects(register(get("a", 1, 2, 1)), "nobody can have made it")
    rejects(register(put("a", 1, 2, 1), put("a", 3, 4, 3)), "nobody can have made it")
    rejects(register(put("a", 1, 2, 1), get("b", 3, 4, 1, data="other")), "reads as")
    rejects(register(get("b", 3, 4, 0, data="other")), "reads as")
    rejects(register(put("a", 1, 2, 1), get("b", 3, 4, 1), get("b", 3, 4, 1, data="other")), "two values")
    # One that was refused for certain has made nothing.
    rejects(register(put("a", 1, 2, 1, "NotReady"), get("b", 3, 4, 1)), "nobody can have made it")
    rejects(register(get("b", 1, 2, 1, "peek"), put("a", 3, 4, 1)), "before it was written")
    op = put("a", 1, 2, 1)
    op.version = 5
    rejects(register(op), "does not follow")


def test_register_unknown():
    lost = put("a", 1, 99, 1, "unknown", data="mine")
    accepts(register(lost))
    accepts(register(lost, get("b", 3, 4, 0)))
    accepts(register(lost, get("b", 3, 4, 0), get("b", 50, 51, 1, data="mine")))
    accepts(register(lost, put("b", 3, 4, 2)))
    # Of two that may have made it the value tells, or the one called first is taken.
    other = put("c", 10, 99, 1, "unknown", data="other")
    accepts(register(lost, other, get("b", 11, 12, 1, data="other")))
    rejects(register(lost, other, get("b", 5, 6, 1, data="other"), get("b", 11, 12, 1, data="other")), "was there before this call")
    accepts(register(lost, other, put("b", 3, 4, 2)))


def test_register_refused():
    refused = put("b", 5, 6, 1, "BadVersion")
    accepts(register(refused, put("a", 1, 2, 1)))
    accepts(register(refused, put("a", 1, 20, 1)))
    accepts(register(refused, put("a", 1, 99, 1, "unknown")))
    rejects(register(refused), "refused, but")
    rejects(register(refused, put("a", 7, 8, 1)), "refused, but")
    # What refused it stays refused by.
    rejects(register(refused, put("a", 1, 20, 1), get("c", 8, 9, 0)), "refused, but")
    second = put("c", 7, 8, 2, "BadVersion")
    accepts(register(refused, second, put("a", 1, 20, 1), put("d", 1, 20, 2)))
    rejects(register(refused, second, put("a", 1, 20, 1)), "refused, but")


def test_order():
    accepts(history.judge_order([made("a", 1, 2, 10), put("b", 3, 4, 1, zxid=11), put("c", 1, 9, 2, zxid=5)]))
    rejects(history.judge_order([made("a", 1, 2, 10), put("b", 3, 4, 1, zxid=9)]), "had been acknowledged before")
    rejects(history.judge_order([made("a", 1, 5, 10), put("b", 3, 4, 1, zxid=10)]), "the same zxid")


def test_client():
    accepts(history.judge_client([get("a", 1, 2, 1, "peek"), put("a", 3, 4, 2), get("a", 5, 6, 2, "peek")]))
    rejects(history.judge_client([put("a", 3, 4, 2), get("a", 5, 6, 1, "peek")]), "has seen version 2")
    rejects(history.judge_client([get("a", 3, 4, 2), get("a", 5, 6, 1, "peek")]), "has seen version 2")


def test_created():
    done, lost, refused = made("a", 1, 2, 10), made("a", 3, 4, 0, "unknown", "b"), made("a", 5, 6, 0, "NoSpace", "c")
    there = {done.path: (10, "a")}
    accepts(history.judge_created([done, lost, refused], there))
    accepts(history.judge_created([done, lost, refused], {**there, lost.path: (11, "b")}))
    rejects(history.judge_created([done, lost, refused], {}), "and lost")
    rejects(history.judge_created([done, lost, refused], {done.path: (9, "a")}), "found as")
    rejects(history.judge_created([done, lost, refused], {**there, refused.path: (12, "c")}), "nobody made it")
    rejects(history.judge_created([], there), "nobody made it")


def explains(ops):
    """By trying: is there an order of the calls that explains all answers?  Unknown ones may be left out."""
    certain = [op for op in ops if op.outcome != "unknown"]
    perhaps = [op for op in ops if op.outcome == "unknown"]
    for n in range(len(perhaps) + 1):
        for chosen in itertools.combinations(perhaps, n):
            if search(certain + list(chosen), 0, ""):
                return True
    return False


def search(left, version, data):
    if not left:
        return True
    soonest = min(op.end for op in left)
    for op in left:
        if op.call > soonest:
            continue
        rest = [other for other in left if other is not op]
        if op.kind == "read":
            if (op.version, op.got) == (version, data) and search(rest, version, data):
                return True
        elif op.outcome == "BadVersion":
            if op.expected != version and search(rest, version, data):
                return True
        elif op.expected == version and search(rest, version + 1, op.data):
            return True
    return False


def test_register_against_trying():
    """Small histories at random: the judge says what trying all orders says."""
    chance, verdicts = random.Random(1), {True: 0, False: 0}
    for _ in range(4000):
        ops, version, data, now = [], 0, "", 0.0
        for n in range(chance.randrange(2, 7)):
            now += chance.random()
            at, length = now, chance.random() * 4
            call, end = at - length * chance.random(), at + length * chance.random()
            if chance.random() < 0.4:
                ops.append(Op("c", n, call, "read", P).returned(end, "ok", 1, version, data))
                continue
            expected = max(0, version - (chance.random() < 0.3))
            op = Op("c", n, call, "set", P, "d%d" % n, expected)
            if expected == version and chance.random() < 0.8:
                version, data = version + 1, op.data
                ops.append(op.returned(end, *(("unknown",) if chance.random() < 0.3 else ("ok", n, version))))
            else:
                ops.append(op.returned(end, "unknown" if chance.random() < 0.3 else "BadVersion"))
        if chance.random() < 0.6:       # somebody lies, or is told too late
            op = chance.choice(ops)
            if op.kind == "read" and chance.random() < 0.5:
                op.version += chance.choice((-1, 1))
            else:
                shift = chance.choice((-2.0, 2.0))
                op.call, op.end = op.call + shift, op.end + shift
        expected = explains(ops)
        verdicts[expected] += 1
        assert (not history.judge_register(P, ops)) == expected, (expected, [str(op) for op in ops],
                                                                  history.judge_register(P, ops))
    assert min(verdicts.values()) > 500, verdicts


def test_whole():
    own, mine = made("a", 1, 2, 10), [put("a", 3, 4, 1, zxid=11), get("a", 5, 6, 1)]
    there = {own.path: (10, "a")}
    accepts(history.judge([[own] + mine, [get("b", 7, 8, 1)]], there))
    rejects(history.judge([[own] + mine, [get("b", 7, 8, 0)]], there), "stale read")
    rejects(history.judge([[own] + mine], {}), "and lost")


def test_reader():
    with tempfile.NamedTemporaryFile() as f:
        reader = history.Reader("a", f.name)
        lines = [json.dumps(line) + "\n" for line in (["call", 1, 1.0, "create", "/x", "d", 0], ["return", 1, 2.0, "ok", 9, 0, ""],
                                                      ["call", 2, 3.0, "set", P, "v", 4])]
        f.write("".join(lines)[:-5].encode())
        f.flush()
        assert [op.path for op in reader.take()] == ["/x"] and len(reader.ops) == 1
        f.write("".join(lines)[-5:].encode())
        f.flush()
        assert not reader.take() and len(reader.ops) == 2
        first, second = reader.ops
        assert (first.ok, first.zxid, first.end) == (True, 9, 2.0)
        assert (second.outcome, second.expected, second.end) == ("unknown", 4, float("inf"))


def test_gaps():
    ops = [made("a", at - 0.5, at, at) for at in (1, 2, 4, 5)]
    assert history.longest_gap(ops, 1.5, 5) == 2
    assert history.longest_gap(ops, 4.5, 9) == 4
    assert history.longest_gap([], 1, 4) == 3
    assert history.longest_call(ops, 0, 9) == 0.5


def main():
    tests = [(name, function) for name, function in sorted(globals().items()) if name.startswith("test_")]
    print("1..%d" % len(tests))
    failed = False
    for n, (name, function) in enumerate(tests, 1):
        try:
            function()
            print("ok %d - %s" % (n, name[5:].replace("_", " ")))
        except AssertionError as e:
            failed = True
            print("# %s\nnot ok %d - %s" % (str(e).replace("\n", "\n# "), n, name[5:].replace("_", " ")))
    sys.exit(failed)


if __name__ == "__main__":
    main()
