#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows that check-house.py rejects what it is there to reject, and accepts what it should."""

import importlib.util
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("house", HERE + "/check-house.py")
house = importlib.util.module_from_spec(spec)
spec.loader.exec_module(house)

CASES = []
HEAD = "/* %s */\n" % house.LICENSE


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


def tree_of(folder, files):
    for path, content in files.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(content)
    return folder


def arrows(path, include):
    """The problems of one file with one include, in a small tree where the usual headers are there."""
    usual = {p: HEAD for p in ("agent/base/zxid.h", "agent/tree/tree.h", "agent/zab/zab.h", "agent/member/member.h",
                               "agent/store/store.h", "agent/store/format/record.h", "agent/host/units.h",
                               "dbus/server/server.h", "tests/sim/world.h")}
    with tempfile.TemporaryDirectory() as d:
        files = dict(usual)
        files[path] = files.get(path, HEAD) + "#include %s\n" % include
        return house.check_arrows(tree_of(d, files), list(house.walk(d)))


@case("arrows that the design allows pass")
def _():
    for path, include in (("agent/member/a.c", '"agent/tree/tree.h"'), ("agent/tree/a.c", '"agent/tree/tree.h"'),
                          ("agent/store/a.c", "<lmdb.h>"), ("agent/host/a.c", "<systemd/sd-bus.h>"),
                          ("agent/store/format/a.c", '"agent/zab/zab.h"'), ("tests/unit/a.c", '"agent/tree/tree.h"'),
                          ("agent/main/a.c", '"dbus/server/server.h"'), ("tests/sim/a.c", '"agent/member/member.h"'),
                          ("agent/store/a.c", '"agent/store/format/record.h"'), ("agent/tree/b.c", "<string.h>")):
        assert arrows(path, include) == [], (path, include, arrows(path, include))


@case("arrows that run backwards or across are refused")
def _():
    for path, include in (("agent/base/a.c", '"agent/tree/tree.h"'), ("agent/tree/a.c", '"agent/member/member.h"'),
                          ("agent/tree/a.c", '"agent/zab/zab.h"'), ("agent/zab/a.h", '"agent/tree/tree.h"'),
                          ("agent/store/format/a.c", '"agent/store/store.h"'), ("dbus/ctl/a.c", '"agent/tree/tree.h"'),
                          ("agent/host/a.c", '"agent/member/member.h"'), ("tests/sim/a.c", '"agent/store/store.h"'),
                          ("agent/member/a.c", '"dbus/server/server.h"'), ("units/a.c", '"agent/host/units.h"')):
        assert len(arrows(path, include)) == 1, (path, include)


@case("unknown folders and unrooted or missing headers are refused")
def _():
    for path, include in (("agent/extra/a.c", "<string.h>"), ("agent/tree/a.c", '"tree.h"'),
                          ("agent/tree/a.c", '"../tree/tree.h"'), ("agent/tree/a.c", '"agent/tree/none.h"'),
                          ("agent/tree/a.c", '"agent/nowhere/a.h"'), ("elsewhere/a.h", "<string.h>")):
        assert len(arrows(path, include)) == 1, (path, include)


@case("system headers are refused where they do not belong")
def _():
    for path, include in (("agent/tree/a.c", "<time.h>"), ("agent/zab/a.c", "<unistd.h>"),
                          ("agent/member/a.c", "<systemd/sd-event.h>"), ("agent/store/format/a.c", "<lmdb.h>"),
                          ("agent/host/a.c", "<lmdb.h>"), ("agent/store/a.c", "<systemd/sd-event.h>"),
                          ("dbus/server/a.c", "<json-c/json.h>"), ("agent/base/a.c", "<openssl/sha.h>")):
        assert len(arrows(path, include)) == 1, (path, include)


@case("calls that are not pure are refused")
def _():
    for name in """clock_gettime gettimeofday time getrandom random rand rand_r open open64 read write socket connect
            pthread_create pthread_mutex_lock g_get_monotonic_time g_get_real_time g_random_int g_hash_table_iter_init
            g_hash_table_iter_next g_hash_table_foreach g_hash_table_get_keys g_hash_table_get_values g_date_time_new_now
            sd_event_new sd_journal_send mdb_put getenv secure_getenv fork fopen printf fprintf g_thread_new
            g_file_get_contents setlocale strcoll g_utf8_collate qsort getpid g_hash_table_get_keys_as_array""".split():
        assert len(house.purity_problems("tree", {name: ["a.o"]}, set())) == 1, name


@case("calls that are pure pass, and so does what another pure library defines")
def _():
    for name in """memcpy __memcpy_chk strlen snprintf __snprintf_chk g_malloc0 g_free g_tree_insert g_hash_table_lookup
            g_array_append_vals g_ptr_array_new_with_free_func g_sequence_search __assert_fail XXH3_64bits g_strdup_printf
            g_bytes_unref g_str_hash""".split():
        assert house.purity_problems("tree", {name: ["a.o"]}, set()) == [], name
    assert house.purity_problems("tree", {"reader_u8": ["a.o"]}, {"reader_u8"}) == []
    assert len(house.purity_problems("tree", {"reader_u8": ["a.o"]}, set())) == 1
    for library, member, name in house.EXCUSED:
        assert house.purity_problems(library, {name: [member]}, set()) == []
        assert len(house.purity_problems(library, {name: [member, "b.o"]}, set())) == 1


@case("an impure library is found by its symbols")
def _():
    source = HEAD + "#include <time.h>\nlong impure(void);\nlong impure(void) {\n        return time(0);\n}\n"
    with tempfile.TemporaryDirectory() as d:
        tree_of(d, {"agent/tree/a.c": source, "b/agent/tree/x": ""})
        problems = house.check_purity(d, d + "/b")
        assert problems == ["agent/tree: no library agent/tree/libtree.a"], problems
        subprocess.run(["cc", "-O1", "-c", d + "/agent/tree/a.c", "-o", d + "/a.o"], check=True)
        subprocess.run(["ar", "rcs", d + "/b/agent/tree/libtree.a", d + "/a.o"], check=True)
        problems = house.check_purity(d, d + "/b")
        assert len(problems) == 1 and "a.o calls time" in problems[0], problems


@case("a name that two libraries define is found")
def _():
    with tempfile.TemporaryDirectory() as d:
        for name in ("tree", "store"):
            tree_of(d, {"%s.c" % name: "int twice(void);\nint twice(void) {\n        return 1;\n}\n"
                        "int only_%s(void);\nint only_%s(void) {\n        return 2;\n}\n" % (name, name),
                        "b/agent/%s/x" % name: ""})
            subprocess.run(["cc", "-c", "%s/%s.c" % (d, name), "-o", "%s/%s.o" % (d, name)], check=True)
            subprocess.run(["ar", "rcs", "%s/b/agent/%s/lib%s.a" % (d, name, name), "%s/%s.o" % (d, name)], check=True)
        problems = house.check_names(d + "/b")
        assert problems == ["twice is defined in agent/store and in agent/tree"], problems


@case("a file without a licence line is refused")
def _():
    with tempfile.TemporaryDirectory() as d:
        tree_of(d, {"a/a.c": "int x;\n", "a/b.c": HEAD, "a/c.xml": "<node/>\n", "a/d.service": "[Unit]\n",
                    "a/run": "#!/bin/sh\n", "a/e.md": "# text\n"})
        assert len(house.check_license(d, list(house.walk(d)))) == 4


@case("long files and long functions are refused")
def _():
    def body(lines):
        return "static int f(int a,\n             int b) {\n" + "        a++;\n" * (lines - 3) + "}\n"
    assert house.size_problems("a.c", body(80)) == []
    assert len(house.size_problems("a.c", body(81))) == 1
    assert len(house.size_problems("a.c", "\nstatic struct x y = {\n" + "        1,\n" * 90 + "};\n")) == 0
    assert len(house.size_problems("a.c", "int x;\n" * 801)) == 1
    assert len(house.size_problems("a.py", "def f():\n" + "    pass\n" * 80)) == 1
    assert len(house.size_problems("a.sh", "f() {\n" + "        :\n" * 80 + "}\n")) == 1
    assert [(n, k) for n, _, k in house.c_functions("int g(void) {\n}\n\nvoid h(int a) {\n        a();\n}\n")] == \
        [("g", 2), ("h", 3)]


@case("litter is refused")
def _():
    for line in ("/* TO" + "DO: later */", "x = 1; /* FIX" + "ME */", "cd /wo" + "rk/main", "/home/" + "joe/x",
                 "ninja -C /tmp/" + "b-me/x", "deb http://deb." + "debian.org/debian", "see issue" + " 2"):
        assert len(house.litter_problems("a.c", line)) == 1, line
    for line in ("the network is down", "/var/lib/convene/work/x", "an issue of the past", "/home/alice/.profile", "ProtectHome=yes"):
        assert house.litter_problems("a.c", line) == [], line


def main():
    print("1..%d" % len(CASES))
    failed = False
    for n, (name, function) in enumerate(CASES, 1):
        try:
            function()
            print("ok %d - %s" % (n, name))
        except AssertionError as e:
            failed = True
            print("# %r\nnot ok %d - %s" % (e, n, name))
    sys.exit(failed)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
