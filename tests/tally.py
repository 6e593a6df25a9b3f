#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts verdicts.

    tally.py meson LABEL TESTLOG.json   a verdict for every case of meson's tests, and the log of those that failed
    tally.py lines LABEL                pass standard input on, verdicts with LABEL/ before their names
    tally.py sum VERDICTS               the closing line; exit status 1 if anything failed or nothing ran

A verdict is a line "ok NAME", "not ok NAME: why" or "skip NAME: why".  Passes of one test program are written as one line
"ok NAME xN", for N cases.
"""

import json
import re
import sys

LOG_LINES = 60
CASE = re.compile(r"\s*(not )?ok\b(?:\s+\d+)?\s*(?:- )?([^#]*)(?:#\s*(\w+)\S*\s*(.*))?$")


def cases(stdout):
    """(passed, failed names, skipped names) of a TAP stream; subtests are indented and count themselves."""
    passed, failed, skipped = 0, [], []
    for line in stdout.splitlines():
        m = CASE.match(line)
        if not m:
            continue
        name = m.group(2).strip() or "?"
        if (m.group(3) or "").upper() == "SKIP":
            skipped.append("%s: %s" % (name, m.group(4) or "no reason given"))
        elif m.group(1):
            failed.append(name)
        else:
            passed += 1
    return passed, failed, skipped


def program_verdicts(label, test):
    """The lines for one entry of meson's log."""
    name = "%s/%s" % (label, test["name"].rpartition(" / ")[2].rpartition(":")[2])
    result, stdout = test["result"], test.get("stdout", "")
    passed, failed, skipped = cases(stdout)
    lines = []
    if passed:
        lines.append("ok %s x%d" % (name, passed))
    lines += ["skip %s/%s" % (name, why) for why in skipped]
    lines += ["not ok %s/%s: see its log" % (name, case) for case in failed]
    if result == "OK":
        return lines or ["ok %s" % name]
    if result == "SKIP":
        return lines or ["skip %s: exit status 77" % name]
    if not failed:
        lines.append("not ok %s: %s, exit status %s" % (name, result, test.get("returncode")))
    return lines


def meson(label, path):
    try:
        tests = [json.loads(line) for line in open(path)]
    except OSError:
        tests = []
    if not tests:
        print("not ok %s: this suite has no test" % label)
    for test in tests:
        lines = program_verdicts(label, test)
        if any(line.startswith("not ok") for line in lines):
            log = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
            print("\n".join("    " + line for line in log[-LOG_LINES:]))
        print("\n".join(lines))


def lines(label):
    seen = False
    for line in sys.stdin:
        m = re.match(r"(ok|not ok|skip) (\S.*)", line)
        seen = seen or bool(m)
        print("%s %s/%s" % (m.group(1), label, m.group(2)) if m else line.rstrip("\n"), flush=True)
    if not seen:
        print("not ok %s: it gave no verdict" % label)


def total(path):
    count = {"ok": 0, "not ok": 0, "skip": 0}
    bad = []
    for line in open(path):
        m = re.match(r"(ok|not ok|skip) \S+(?: x(\d+)$)?", line)
        if m:
            count[m.group(1)] += int(m.group(2) or 1)
            if m.group(1) != "ok":
                bad.append(line.rstrip("\n"))
    for line in bad:
        print(line)
    print("%d passed, %d failed, %d skipped" % (count["ok"], count["not ok"], count["skip"]))
    return 1 if count["not ok"] or not count["ok"] else 0


def main():
    if sys.argv[1] == "meson":
        meson(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "lines":
        lines(sys.argv[2])
    else:
        sys.exit(total(sys.argv[2]))


if __name__ == "__main__":
    main()
