# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients of an ensemble asked and were told, and the judges of it.

A client writes a line before each call and one after it, to a file of its own: ["call", N, TIME, KIND, PATH, DATA, EXPECTED]
and ["return", N, TIME, OUTCOME, ZXID, VERSION, DATA].  All times are of one clock.  KIND is

    create  a znode that this client alone makes
    set     of a shared znode, if its version is EXPECTED: a compare-and-set
    read    a linearizable read of a shared znode
    peek    a local read of one

OUTCOME is "ok", "unknown" (no answer, or FateUnknown), or the name of an error: then nothing was done.

The judge of a shared znode is exact: it accepts a history if and only if there is an order of its calls that explains it.
That is cheap to decide, because each successful set of a znode yields a version of its own, which says where in the order it
stands.  A judge returns a list of sentences, empty if it has nothing to say.
"""

import bisect
import heapq
import json
import math

UPDATES = ("create", "set")


class Op:
    def __init__(self, client, n, call, kind, path, data="", expected=0):
        self.client, self.n, self.call, self.kind, self.path, self.data, self.expected = client, n, call, kind, path, data, expected
        self.end, self.outcome, self.zxid, self.version, self.got = math.inf, "unknown", 0, 0, ""

    def returned(self, end, outcome, zxid=0, version=0, got=""):
        self.outcome, self.zxid, self.version, self.got = outcome, zxid, version, got
        # What nobody knows the fate of may happen at any time later.
        self.end = math.inf if outcome == "unknown" else end
        return self

    @property
    def ok(self):
        return self.outcome == "ok"

    def __str__(self):
        return "%s %s of %s [%.6f, %.6f] %s: %s version %d zxid %#x" % (
            self.client, self.kind, self.path, self.call, self.end, "-> %d" % (self.expected + 1) if self.kind == "set" else "",
            self.outcome, self.version, self.zxid)


class Reader:
    """The history of one client, from its file, as far as it is written."""

    def __init__(self, client, path):
        self.client, self.ops, self.open, self.buffer = client, [], {}, b""
        self.file = open(path, "rb")

    def take(self):
        """Reads on; returns what has returned since."""
        *whole, self.buffer = (self.buffer + self.file.read()).split(b"\n")
        new = []
        for line in whole:
            word, n, at, *rest = json.loads(line)
            if word == "call":
                self.open[n] = Op(self.client, n, at, *rest)
                self.ops.append(self.open[n])
            else:
                new.append(self.open.pop(n).returned(at, *rest))
        return new


class Highest:
    """The highest value among (time, value) pairs before a time."""

    def __init__(self, pairs):
        self.times, self.values, top = [], [], 0
        for at, value in sorted(pairs):
            top = max(top, value)
            self.times.append(at)
            self.values.append(top)

    def before(self, at):
        i = bisect.bisect_left(self.times, at)
        return self.values[i - 1] if i else 0


class Lowest:
    """The lowest value among (time, value) pairs after a time."""

    def __init__(self, pairs):
        self.times, self.values, bottom = [], [], math.inf
        for at, value in sorted(pairs, reverse=True):
            bottom = min(bottom, value)
            self.times.append(-at)
            self.values.append(bottom)

    def after(self, at):
        i = bisect.bisect_left(self.times, -at)
        return self.values[i - 1] if i else math.inf


def writers(path, ops):
    """version -> the set that made it, as far as versions are known of, and what is wrong with them."""
    made, perhaps, problems = {}, {}, []
    for op in ops:
        if op.kind == "set" and op.ok:
            if op.version != op.expected + 1:
                problems.append("%s: a set that does not follow the version it named" % op)
            if op.version in made:
                problems.append("%s: the same version as %s" % (op, made[op.version]))
            made[op.version] = op
        elif op.kind == "set" and op.outcome == "unknown":
            perhaps.setdefault(op.expected + 1, []).append(op)
    seen = {}
    for op in ops:
        if op.kind in ("read", "peek") and op.ok:
            if seen.setdefault(op.version, op.got) != op.got:
                problems.append("%s: two values of one version, %r and %r" % (op, op.got, seen[op.version]))
    top = max([0] + list(made) + list(seen))
    for version in range(1, top + 1):
        if version not in made:
            # Of several that may have made it, the one called first forbids least.
            able = [op for op in perhaps.get(version, []) if seen.get(version, op.data) == op.data]
            if able:
                made[version] = min(able, key=lambda op: op.call)
            else:
                problems.append("%s: version %d was seen or followed, and nobody can have made it" % (path, version))
        if version in made and seen.get(version, made[version].data) != made[version].data:
            problems.append("%s: version %d reads as %r" % (made[version], version, seen[version]))
    if seen.get(0, ""):
        problems.append("%s: version 0 reads as %r" % (path, seen[0]))
    return made, perhaps, problems


def judge_register(path, ops):
    """Linearizability of one shared znode that began with version 0 and no data."""
    made, perhaps, problems = writers(path, ops)
    done = [(op, version) for version, op in made.items()]
    reads = [(op, op.version) for op in ops if op.kind == "read" and op.ok]
    peeks = [(op, op.version) for op in ops if op.kind == "peek" and op.ok]
    # What was there at the end of a call is there, or has been replaced, at the beginning of any later one.
    floor = Highest((op.end, version) for op, version in done + reads + peeks)
    for op, version in done:
        if floor.before(op.call) >= version:
            problems.append("%s: version %d was there before this call" % (op, floor.before(op.call)))
    for op, version in reads:
        if floor.before(op.call) > version:
            problems.append("%s: a stale read, version %d was there before it" % (op, floor.before(op.call)))
    for op, version in peeks:
        if version in made and made[version].call > op.end:
            problems.append("%s: read before it was written" % op)
    return problems + judge_refused(ops, made, perhaps, floor, done, reads)


def judge_refused(ops, made, perhaps, floor, done, reads):
    """A set that was told BadVersion needs an instant during the call when the version was another one."""
    problems, open_calls, past = [], [], 0
    ceiling = Lowest([(op.call, version - 1) for op, version in done] + [(op.call, version) for op, version in reads])
    top = max([0] + list(made))
    for op in sorted((op for op in ops if op.kind == "set" and op.outcome == "BadVersion"), key=lambda op: op.call):
        while open_calls and open_calls[0][0] < op.call:
            past = max(past, heapq.heappop(open_calls)[1])
        # The lowest place that is possible leaves most room to those that come later.
        place = max(floor.before(op.call), past)
        if place == op.expected:
            place += 1
        unseen = all(any(maker.call <= op.end for maker in perhaps.get(version, [])) for version in range(top + 1, place + 1))
        if place > ceiling.after(op.end) or not unseen:
            problems.append("%s: refused, but the version was %d all the time" % (op, op.expected))
        heapq.heappush(open_calls, (op.end, place))
    return problems


def judge_order(ops):
    """Each acknowledged update has a zxid of its own, and one that was called after another's return has a higher one."""
    done = [op for op in ops if op.kind in UPDATES and op.ok]
    problems, seen = [], {}
    floor = Highest((op.end, op.zxid) for op in done)
    for op in done:
        if floor.before(op.call) >= op.zxid:
            problems.append("%s: zxid %#x had been acknowledged before this call" % (op, floor.before(op.call)))
        if op.zxid in seen:
            problems.append("%s: the same zxid as %s" % (op, seen[op.zxid]))
        seen[op.zxid] = op
    return problems


def judge_client(ops):
    """Calls of one client, one after the other: what it has seen of a znode does not go back, not even in local reads."""
    problems, seen = [], {}
    for op in ops:
        if op.ok and op.kind != "create":
            if op.version < seen.get(op.path, 0):
                problems.append("%s: this client has seen version %d before" % (op, seen[op.path]))
            seen[op.path] = max(op.version, seen.get(op.path, 0))
    return problems


def judge_created(ops, there):
    """THERE: path -> (czxid, data) of all znodes that creates may have made, at the end."""
    problems, possible = [], set()
    for op in ops:
        if op.kind != "create":
            continue
        if op.outcome in ("ok", "unknown", "NodeExists"):
            possible.add(op.path)
        if not op.ok:
            continue
        if op.path not in there:
            problems.append("%s: acknowledged, and lost" % op)
        elif there[op.path] != (op.zxid, op.data):
            problems.append("%s: found as %s" % (op, there[op.path]))
    return problems + ["%s is there, and nobody made it" % path for path in sorted(set(there) - possible)]


def judge(histories, there):
    """HISTORIES: the calls of each client, in its order; THERE: see judge_created()."""
    ops = [op for history in histories for op in history]
    problems, registers = judge_order(ops) + judge_created(ops, there), {}
    for history in histories:
        problems += judge_client(history)
    for op in ops:
        if op.kind != "create":
            registers.setdefault(op.path, []).append(op)
    for path, calls in sorted(registers.items()):
        problems += judge_register(path, calls)
    return problems


def longest_gap(ops, begin, end):
    """The longest time between acknowledged updates from BEGIN to END."""
    times = sorted(op.end for op in ops if op.kind in UPDATES and op.ok)
    first, last = bisect.bisect_left(times, begin), bisect.bisect_right(times, end)
    marks = [begin] + times[first:last] + [end]
    if first:
        marks[0] = times[first - 1]
    return max(b - a for a, b in zip(marks, marks[1:]))


def longest_call(ops, begin, end):
    """How long the slowest update took that was under way between BEGIN and END, and has returned."""
    return max([op.end - op.call for op in ops if op.kind in UPDATES and op.ok and op.end > begin and op.call < end], default=0.0)
