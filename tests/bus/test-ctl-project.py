#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-project.py - what follows the tree: commands that are run when it changes, and files; see ctl_harness.py

import contextlib
import json
import os
import pathlib
import signal
import stat
import threading
import time

from ctl_harness import ACCESS, CONFLICT, FAILURE, LIMIT, NOBODY, OK, PATIENCE, USAGE, Skip, bad, ctl, equal, good, here, main, running


def wait_until(condition, what=""):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def watchers():
    return good("statistics", "watchers_now", "--json").json["watchers_now"]


@contextlib.contextmanager
def following(*words):
    """One that the agent knows of, ended at the end."""
    before = watchers()
    one = running(*words)
    try:
        wait_until(lambda: watchers() > before or one.process.poll() is not None)
        assert one.process.poll() is None, one.complaint()
        yield one
    finally:
        one.close()


def on_change(*words):
    return following("on-change", *words, "--", "sh", "-c", 'echo "$CONVENE_PATH"')


#
# on-change
#

def test_on_change():
    with on_change("/change", "--count=4") as one:
        for step in (("create", "/change", "1"), ("set", "/change", "2"), ("create", "/change/child"), ("delete", "-r", "/change")):
            good(*step)
            equal(one.line(), "/change")
        equal((one.end(), one.complaint()), (OK, b""))


def test_on_change_of_nothing():
    """Neither the children's data, nor a look that finds what was there before."""
    good("create", "/calm")
    good("create", "/calm/child")
    with on_change("/calm", "--count=1") as one:
        good("set", "/calm/child", "x")
        here.agent.stop()
        assert "gone away" in one.line("stderr")
        here.agent.start()
        assert "is back" in one.line("stderr")
        equal(one.process.poll(), None)
        good("set", "/calm", "x")
        equal((one.line(), one.end(), one.rest["stdout"]), ("/calm", OK, b""))


def test_on_change_while_away():
    good("create", "/away", "1")
    with on_change("/away") as one:
        here.agent.stop(signal.SIGKILL)
        assert "gone away" in one.line("stderr")
        here.agent.start()
        good("set", "/away", "2")
        equal(one.line(), "/away")


def test_on_change_below():
    good("create", "/below")
    with on_change("-r", "/below") as one:
        good("create", "-p", "/below/a/b")
        equal(one.line(), "/below")
        wait_until(lambda: good("get", "/below/a/b").out == b"")
        good("set", "/below/a/b", "x")
        equal(one.line(), "/below")


def test_on_change_command_fails():
    with following("on-change", "/failing", "--count=2", "--", "sh", "-c", "exit 3") as one:
        good("create", "/failing")
        said = one.line("stderr")
        assert "exited with code 3" in said and "trying again in 1 s" in said, said
        good("delete", "/failing")
        while "trying" in said:                         # meanwhile the first may be tried again, and the last is not
            said = one.line("stderr")
            assert "exited with code 3" in said, said
        equal(one.end(), FAILURE)
    good("create", "/failing")


def test_on_change_tried_again():
    """Until it succeeds, after waits that grow; another change begins anew."""
    flag = here.work / "flag"
    with following("on-change", "/mended", "--count=2", "--", "sh", "-c", f"echo tried; test -e {flag}") as one:
        good("create", "/mended")
        for seconds in (1, 2):
            equal(one.line(), "tried")
            assert f"trying again in {seconds} s" in one.line("stderr")
        flag.touch()
        equal(one.line(), "tried")
        assert "done, after it had failed 2 times" in one.line("stderr")
        good("delete", "/mended")
        equal((one.line(), one.end()), ("tried", OK))


def test_on_change_unit():
    """What systemctl is told; it is not here to be asked."""
    bin = here.work / "bin"
    bin.mkdir()
    (bin / "systemctl").write_text('#!/bin/sh\necho "$@"\n')
    (bin / "systemctl").chmod(0o755)
    path, here.environment["PATH"] = here.environment["PATH"], f"{bin}:{here.environment['PATH']}"
    try:
        for option, verb in (("--reload", "try-reload-or-restart"), ("--restart", "try-restart")):
            with following("on-change", "/unit", f"{option}=a.service", "--count=1") as one:
                good("create", "/unit")
                equal((one.line(), one.end()), (f"{verb} -- a.service", OK))
            good("delete", "/unit")
    finally:
        here.environment["PATH"] = path


def test_on_change_mistakes():
    bad(USAGE, "what is to be done", "on-change", "/x")
    bad(USAGE, "only one", "on-change", "/x", "--reload=a.service", "--restart=a.service")
    bad(USAGE, "only one", "on-change", "/x", "--reload=a.service", "--", "true")
    bad(USAGE, "which command?", "on-change", "/x", "--")
    bad(USAGE, "BadArguments", "on-change", "x", "--", "true")


#
# project
#

def place(name):
    directory = here.work / f"projected-{name}"
    directory.mkdir(mode=0o755)
    return directory / "conf"


def contents(directory):
    found = {}
    for path in sorted(pathlib.Path(f"{directory}/").rglob("*")):
        found[str(path.relative_to(directory))] = None if path.is_dir() else path.read_bytes()
    return found


def once(path, directory, *options):
    return good("project", path, str(directory), "--count=1", *options)


def test_project():
    directory = place("plain")
    good("create", "-p", "/conf/sub/deep/leaf", "in the deep")
    good("create", "/conf/a", "A")
    good("create", "/conf/empty")
    good("create", "/conf/bytes", "-", stdin=bytes(range(256)))
    once("/conf", directory)
    expected = {"a": b"A", "bytes": bytes(range(256)), "empty": b"", "sub": None, "sub/deep": None, "sub/deep/leaf": b"in the deep"}
    equal(contents(directory), expected)
    equal(stat.S_IMODE((directory / "a").stat().st_mode), 0o600)
    equal(stat.S_IMODE((directory / "sub").stat().st_mode), 0o700)

    first = os.readlink(directory)
    once("/conf", directory)
    equal(os.readlink(directory), first)                # it was so already
    once("/conf", f"{directory}///", "--mode=0644")
    equal(contents(directory), expected)
    equal([stat.S_IMODE((directory / name).stat().st_mode) for name in ("a", "sub", ".")], [0o644, 0o755, 0o755])

    good("create", "/conf/a/now", "a directory")
    good("delete", "-r", "/conf/sub")
    once("/conf", directory)
    equal(contents(directory), {"a": None, "a/now": b"a directory", "bytes": bytes(range(256)), "empty": b""})
    equal(len(os.listdir(directory.parent)), 3)         # the link, what is shown, and what was before


def test_project_follows():
    directory = place("follows")
    good("create", "/follow")
    with following("project", "/follow", str(directory), "--", "sh", "-c", 'echo "$CONVENE_PATH"') as one:
        equal((one.line(), contents(directory)), ("/follow", {}))
        good("create", "/follow/a", "1")
        equal((one.line(), contents(directory)), ("/follow", {"a": b"1"}))
        here.agent.stop()
        assert "gone away" in one.line("stderr")
        here.agent.start()
        good("set", "/follow/a", "2")
        equal((one.line(), contents(directory)), ("/follow", {"a": b"2"}))
        # without the znode nothing is taken away
        assert "is back" in one.line("stderr")
        good("delete", "-r", "/follow")
        assert "no such znode" in one.line("stderr")
        equal(contents(directory), {"a": b"2"})
        good("create", "/follow")
        equal((one.line(), contents(directory)), ("/follow", {}))


def test_project_is_of_one_instant():
    """Two files that are changed together are never seen apart."""
    directory = place("instant")
    good("multi", stdin=json.dumps([{"op": "create", "path": path, "data": "0"} for path in ("/pair", "/pair/a", "/pair/b")]).encode())
    with following("project", "/pair", str(directory)):
        wait_until(directory.exists)
        stop, seen = threading.Event(), []

        def read():
            while not stop.is_set():
                fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    pair = []
                    for name in ("a", "b"):
                        with open(os.open(name, os.O_RDONLY, dir_fd=fd)) as file:
                            pair.append(file.read())
                    seen.append(tuple(pair))
                except FileNotFoundError:
                    pass                                # two generations later
                finally:
                    os.close(fd)

        reader = threading.Thread(target=read)
        reader.start()
        for i in range(1, 40):
            good("multi", "-q", stdin=json.dumps([{"op": "set", "path": f"/pair/{name}", "data": str(i)} for name in "ab"]).encode())
        wait_until(lambda: (directory / "a").read_text() == "39")
        stop.set()
        reader.join()
        assert len(set(seen)) > 2 and all(a == b for a, b in seen), sorted(set(seen))


def test_project_that_never_rests():
    """What does not fit into one page is not shown while it changes; that is said, and why."""
    directory = place("restless")
    good("create", "/restless")
    for i in range(24):
        good("create", f"/restless/{i}", "-", stdin=b"x" * 500000)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            good("set", "-q", "/restless/0", "y")

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        with following("project", "/restless", str(directory)) as one:
            said = one.line("stderr")
            assert "changes while its" in said and str(directory) in said, said
            stop.set()
            assert "was read in one piece" in one.line("stderr")
            equal((directory / "0").read_text(), "y")
            equal((directory / "23").stat().st_size, 500000)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_project_hostile_names():
    directory = place("hostile")
    good("create", "-p", "/toolong/" + "x" * 256)
    good("create", "/hostile")
    good("create", "/hostile/fine", "1")
    with following("project", "/hostile", str(directory)) as one:
        wait_until(directory.exists)
        good("create", "/hostile/" + "n" * 256)
        assert "too long for the name of a file" in one.line("stderr")
        equal(contents(directory), {"fine": b"1"})
        good("delete", "/hostile/" + "n" * 256)
        good("create", "-p", "/hostile" + "/d" * 40)
        assert "too deep" in one.line("stderr")
        equal(contents(directory), {"fine": b"1"})
        good("delete", "-r", "/hostile/d")
        for name in ("...", "-rf", " ", "a\\b", "*", "new", ".conf.link"):
            good("create", "--", f"/hostile/{name}", name)
        wait_until(lambda: len(contents(directory)) == 8, contents(directory))
        equal(contents(directory)["-rf"], b"-rf")
        equal(sorted(name for name in os.listdir(directory.parent) if not name.startswith(".conf.")), ["conf"])
    bad(CONFLICT, "too long", "project", "/toolong", str(place("refused")), "--count=1")


def test_project_into_what_is_there():
    directory = place("there")
    good("create", "/there")
    good("create", "/there/file", "x")
    directory.mkdir()
    bad(CONFLICT, "was not made by", "project", "/there", str(directory), "--count=1")
    directory.rmdir()
    directory.symlink_to("/etc")
    bad(CONFLICT, "was not made by", "project", "/there", str(directory), "--count=1")
    directory.unlink()
    directory.symlink_to(".conf.../../../../etc")
    bad(CONFLICT, "was not made by", "project", "/there", str(directory), "--count=1")
    directory.unlink()
    # what looks like its own, and is another's
    other = directory.parent / ".conf.d.0123456789abcdef0123456789abcdef"
    other.mkdir()
    (directory.parent / ".conf.new").symlink_to("/etc")
    (directory.parent / ".conf.link").symlink_to("/etc")
    once("/there", directory)
    equal(contents(directory), {"file": b"x"})
    assert other.is_dir() and os.path.exists("/etc/passwd")
    directory.parent.chmod(0o777)
    bad(ACCESS, "others may write there", "project", "/there", str(directory), "--count=1")
    directory.parent.chmod(0o755)
    bad(1, "No such file", "project", "/there", "/nonexistent/conf", "--count=1")
    bad(USAGE, "by its name", "project", "/there", "/", "--count=1")
    bad(USAGE, "by its name", "project", "/there", f"{directory.parent}/..", "--count=1")


def test_project_limits():
    directory = place("limits")
    good("create", "/limits")
    for first in range(0, 10001, 1000):
        operations = [{"op": "create", "path": f"/limits/{i}"} for i in range(first, min(first + 1000, 10001))]
        good("multi", "-q", stdin=json.dumps(operations).encode())
    bad(LIMIT, "more than 10000 files", "project", "/limits", str(directory), "--count=1")
    good("delete", "/limits/10000")
    once("/limits", directory)
    equal(len(os.listdir(directory)), 10000)


def test_project_who_may():
    if os.getuid() != 0:
        raise Skip("needs root")
    directory = place("private")
    os.chown(directory.parent, NOBODY, -1)
    good("create", "/mixed")
    good("create", "/mixed/public", "x")
    good("create", "/mixed/private", "y", "--acl=unix:0@*:all")
    bad(ACCESS, "NoAuth", "project", "/mixed", str(directory), "--count=1", user=NOBODY)
    assert not directory.exists()
    good("delete", "/mixed/private")
    equal(ctl("project", "/mixed", str(directory), "--count=1", user=NOBODY).status, OK)
    equal(contents(directory), {"public": b"x"})
    os.chown(directory.parent, 12345, -1)
    bad(ACCESS, "others may write there", "project", "/mixed", str(directory), "--count=1")


def test_project_mistakes():
    for mode in ("", "8", "0700", "01777", "0200", "rw"):
        bad(USAGE, "--mode", "project", "/", "/tmp/x", f"--mode={mode}")
    bad(USAGE, "only one", "project", "/", "/tmp/x", "--reload=a.service", "--restart=b.service")


if __name__ == "__main__":
    main(globals())
