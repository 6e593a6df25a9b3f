#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows that tally.py loses no failure: what it counts decides whether the tests have passed."""

import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tally.py")
spec = importlib.util.spec_from_file_location("tally", PATH)
tally = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tally)


def program(result, stdout="", returncode=0):
    return tally.program_verdicts("unit", {"name": "convene:unit / a", "result": result, "stdout": stdout,
                                           "returncode": returncode})


def total(*lines):
    """(exit status, last line) of the sum over these verdicts."""
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write("".join(line + "\n" for line in lines))
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            status = tally.total(f.name)
    finally:
        os.unlink(f.name)
    return status, out.getvalue().splitlines()[-1]


def lines_of(text):
    out, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(text)
    try:
        with contextlib.redirect_stdout(out):
            tally.lines("lab")
    finally:
        sys.stdin = before
    return out.getvalue().splitlines()


def meson_of(tests):
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write("".join(json.dumps(test) + "\n" for test in tests))
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            tally.meson("unit", f.name)
    finally:
        os.unlink(f.name)
    return out.getvalue().splitlines()


CASES = {
    "cases of a program are counted": lambda: (
        program("OK", "1..3\nok 1 /a\nok 2 /b # SKIP no room\nok 3 - c\n") ==
        ["ok unit/a x2", "skip unit/a//b: no room"]),
    "a program that prints no cases counts once": lambda: program("OK", "hello\n") == ["ok unit/a"],
    "a failed case is a failure": lambda: (
        program("FAIL", "1..2\nok 1 a\nnot ok 2 b\n", 1) == ["ok unit/a x1", "not ok unit/a/b: see its log"]),
    "a crash after passing cases is a failure": lambda: (
        program("ERROR", "1..2\nok 1 a\n", -6)[-1] == "not ok unit/a: ERROR, exit status -6"),
    "a time-out is a failure": lambda: program("TIMEOUT", "ok 1 a\n", -15)[-1].startswith("not ok unit/a: TIMEOUT"),
    "a program that skips is not a pass": lambda: program("SKIP") == ["skip unit/a: exit status 77"],
    "a suite without a test is a failure": lambda: meson_of([]) == ["not ok unit: this suite has no test"],
    "no log is a failure": lambda: lines_of("") == ["not ok lab: it gave no verdict"],
    "words of a log that look like verdicts are not counted": lambda: (
        [line for line in meson_of([{"name": "a", "result": "FAIL", "stdout": "ok 1 x\nnot ok 2 y\n", "returncode": 1}])
         if line.startswith(("ok", "not ok", "skip"))] == ["ok unit/a x1", "not ok unit/a/y: see its log"]),
    "verdicts of scripts pass through": lambda: (
        lines_of("# x\nok boot/a\nnot ok boot/b: why\n    ok indented\n") ==
        ["# x", "ok lab/boot/a", "not ok lab/boot/b: why", "    ok indented"]),
    "the sum": lambda: total("ok a x3", "noise", "ok b", "skip c: why") == (0, "4 passed, 0 failed, 1 skipped"),
    "one failure fails": lambda: total("ok a x3", "not ok b: why") == (1, "3 passed, 1 failed, 0 skipped"),
    "nothing run fails": lambda: total()[0] == 1 and total("skip a: why")[0] == 1,
}


def main():
    failed = False
    print("1..%d" % len(CASES))
    for n, (name, holds) in enumerate(CASES.items(), 1):
        good = holds()
        failed = failed or not good
        print("%sok %d - %s" % ("" if good else "not ", n, name))
    sys.exit(failed)


if __name__ == "__main__":
    main()
