#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-identity.py - what a member is known by, and what becomes of it when that changes, is lost, or is claimed by another: its
# name, its key, its address, and the tokens that let hosts in; see ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import os
import pathlib
import signal
import socket
import tempfile

from ctl_ensemble import CONFIGURATION, Ensemble, Member
from ctl_harness import ACCESS, CONFLICT, NOBODY, OK, PATIENCE, Skip, ctl, equal, running, wait_until

ensemble = Ensemble()


def test_made():
    m1, m2, m3 = (ensemble[f"m{i}"] for i in (1, 2, 3))
    m1.start()
    for m in (m2, m3):
        equal(m.join(m1.token()), None)
        m1.promote(m.name)
    ensemble.whole(3)
    m1.good("create", "/shared", "1")


def test_two_of_one_name():
    """Copies of one image start at the same time: one of them is in, and stays in."""
    leader = ensemble.leader()
    root = pathlib.Path(tempfile.mkdtemp(prefix="copies-", dir=ensemble.root))
    copies = [Member(root / f"{i}", "copy") for i in (1, 2) if (root / f"{i}").mkdir() is None]
    tokens = [leader.token() for _ in copies]
    for m, token in zip(copies, tokens):
        (m.directory / "token").write_text(token + "\n")
        m.more = [*m.usual, f"--join={m.directory / 'token'}"]
        m.begin()
    inside = [m for m in copies if m.is_ready()]
    equal(len(inside), 1)
    out, = [m for m in copies if m not in inside]
    status = out.running.end()
    out.running.close()
    equal(status, CONFIGURATION)
    assert any(text in out.last_words() for text in ("another host of this name is being let in", "a member of this name is connected",
                                                     "copy is the name of a member that is away")), out.last_words()
    equal(leader.members()["copy"]["address"], inside[0].address)
    inside[0].good("get", "--linearizable", "/shared")

    # its token is as good as before for a host of another name
    status, said = out.join(tokens[copies.index(out)])
    equal(status, CONFIGURATION)
    assert "a member of this name is connected" in said, said
    out.conf.write_text(out.conf.read_text().replace("Name=copy", "Name=original"))
    equal(out.join(tokens[copies.index(out)]), None)
    for m, name in ((inside[0], "copy"), (out, "original")):
        m.kill()
        leader.good("member", "remove", name)
        m.journal.close()


def test_tokens_of_others():
    """Where everybody may create below the root, a user makes the place for tokens before the members do, and lets a host in with one."""
    if os.getuid() != 0:
        raise Skip("needs root")
    m, own = Member(ensemble.root, "squatted"), Member(ensemble.root, "smuggled")
    m.start()
    m.good("acl", "--super", "/", "world:anyone:all")

    def as_nobody(*words):
        answer = ctl(*m.words(*words), user=NOBODY)
        equal((answer.status, answer.err), (OK, b""))

    for acl in ("world:anyone:all", "world:anyone:r"):
        token = m.token()
        path, = m.good("ls", "--quiet", "/convene/tokens").lines
        path = "/convene/tokens/" + path.split("/")[-1]
        until = m.good("get", path).text
        m.good("delete", "--super", "--recursive", "/convene")

        as_nobody("create", "--acl=world:anyone:all", "/convene")
        as_nobody("create", "--acl=world:anyone:all", "/convene/tokens")
        as_nobody("create", "--acl=world:anyone:all", path, until)
        as_nobody("acl", "/convene/tokens", acl)
        status, said = own.join(token)
        equal(status, CONFIGURATION)
        assert "was made or changed by somebody else" in said, said

        made = m.token()
        assert "no token in it is good any more" in m.last_words(), m.last_words()
        status, said = own.join(token)
        equal(status, CONFIGURATION)
        assert "this token is not known" in said[-200:], said
        equal(ctl(*m.words("create", "/convene/tokens/x"), user=NOBODY).status, ACCESS)
        equal(len(m.good("ls", "--quiet", "/convene/tokens").lines), 1)
        m.good("delete", "--super", "--recursive", "/convene")
    equal(own.join(m.token()), None)
    for one in (own, m):
        one.kill()
        one.journal.close()


def test_rotate_key():
    """A new key for an agent that follows, and for the one that leads; the old one opens no door any more."""
    leader = ensemble.leader()
    for m in (ensemble.others(leader)[0], leader):
        key = m.directory / "data/key.pem"
        before = key.read_bytes()
        assert m.good("member", "rotate-key").text.startswith("This member has a new key"), m.name
        assert key.read_bytes() != before and key.stat().st_mode & 0o777 == 0o600 and not (key.parent / "key-next.pem").exists()
        assert m is not leader or ensemble.leader() is not leader, "it handed over first"
        ensemble.whole(3)
        m.good("set", "/shared", f"after the new key of {m.name}")

        # somebody has kept the old one
        equal(m.stop(), 0)
        new = key.read_bytes()
        key.write_bytes(before)
        m.begin()
        other = ensemble.others(m)[0]
        wait_until(lambda: any("a key" in one.last_words() and "refused" in one.last_words()[-300:] for one in (other, m, *ensemble.others(m))),
                   "it is refused")
        assert not other.members()[m.name]["connected"]
        m.kill()

        # a rotation that was interrupted has left the new one beside it; the configuration has the key that is in its place
        key.write_bytes(new)
        (key.parent / "key-next.pem").write_bytes(before)
        (key.parent / "key-next.pem").chmod(0o600)
        m.start()
        ensemble.whole(3)
        m.good("member", "rotate-key", "--quiet")
        equal(key.read_bytes(), before)
        ensemble.whole(3)
    m.good("set", "/shared", "after")


def keys(m):
    return {path.name: path.read_bytes() for path in (m.directory / "data").glob("key.pem")}


def test_rotate_key_while_one_is_away():
    """Who does not hear of the new key would keep its owner out, for good if that is the one who leads."""
    leader = ensemble.leader()
    m, away = ensemble.others(leader)
    before = keys(m)
    equal(away.stop(), 0)
    wait_until(lambda: not m.members()[away.name]["connected"], "it notices")
    m.bad(CONFLICT, f"{away.name} is away", "member", "rotate-key")
    leader.bad(CONFLICT, f"{away.name} is away", "member", "rotate-key")
    equal(keys(m), before)
    away.start()
    ensemble.whole(3)

    # connected, and it does not take anything down: the others have both keys by then, and wait
    leader = ensemble.leader()
    m, away = ensemble.others(leader)
    before = keys(m)
    for ends in (False, True):
        away.running.kill(signal.SIGSTOP)
        rotation = running(*m.words("member", "rotate-key"))
        wait_until(lambda: (m.directory / "data/key-next.pem").exists() or rotation.process.poll() is not None, "it begins")
        for i in range(3):
            m.good("set", "/shared", "meanwhile")
        assert rotation.process.poll() is None, rotation.complaint()
        equal(keys(m), before)
        if not ends:
            away.running.kill(signal.SIGCONT)
            equal(rotation.end(), OK)
            assert keys(m) != before
            before = keys(m)
        else:
            away.kill()
            equal(rotation.end(), CONFLICT)
            assert f"{away.name} is away" in rotation.complaint().decode()
            equal(keys(m), before)
            away.start()
        rotation.close()
        ensemble.whole(3)
    m.good("set", "/shared", "with the old key")
    m.good("member", "rotate-key")
    ensemble.whole(3)


def test_key_lost():
    """The others know it by that key; alone nobody does."""
    m = ensemble.others(ensemble.leader())[0]
    equal(m.stop(), 0)
    before = keys(m)
    for content, mentions in ((None, f"is missing, and the other members know this one by it: put back a copy"), (b"x", "put back a copy")):
        (m.directory / "data/key.pem").unlink(missing_ok=True)
        if content:
            (m.directory / "data/key.pem").write_bytes(content)
            (m.directory / "data/key.pem").chmod(0o600)
        m.begin()
        equal(m.running.end(), CONFIGURATION)
        m.running.close()
        assert mentions in m.last_words(), m.last_words()
        equal(keys(m), {"key.pem": content} if content else {})
    (m.directory / "data/key.pem").write_bytes(before["key.pem"])
    m.start()
    ensemble.whole(3)

    m = Member(ensemble.root, "keyless")
    m.start()
    equal(m.stop(), 0)
    (m.directory / "data/key.pem").unlink()
    m.start()
    assert "was missing: it has a new one" in m.last_words(), m.last_words()
    key = keys(m)
    equal(len(key), 1)
    equal(m.stop(), 0)
    m.start()
    equal(keys(m), key)
    equal(m.stop(), 0)
    m.journal.close()


def test_name_changed():
    m = ensemble.others(ensemble.leader())[0]
    equal(m.stop(), 0)
    conf = m.conf.read_text()
    m.conf.write_text(conf.replace(f"Name={m.name}", "Name=renamed"))
    m.begin()
    equal(m.running.end(), CONFIGURATION)
    m.running.close()
    assert f"is called renamed now, and {m.name} in its ensemble: set Name={m.name}" in m.last_words(), m.last_words()
    m.conf.write_text(conf)
    m.start()
    ensemble.whole(3)


def test_name_changed_alone():
    """Nobody else knows it by the old one."""
    m = Member(ensemble.root, "first")
    m.start()
    equal(m.stop(), 0)
    m.conf.write_text(m.conf.read_text().replace("Name=first", "Name=second"))
    m.start()
    wait_until(lambda: list(m.members()) == ["second"], "it says so")
    equal(m.stop(), 0)
    m.start()
    equal(list(m.members()), ["second"])
    equal(m.stop(), 0)
    m.journal.close()


def test_address_in_use():
    """Somebody has the port: the agent serves, says so, and listens as soon as it is free."""
    m = ensemble.others(ensemble.leader())[0]
    equal(m.stop(), 0)
    host, port = m.address.split(":")
    with socket.create_server((host, int(port))):
        m.begin()
        wait_until(lambda: m.socket.exists() and ctl(*m.words("status", "--json")).out, "it answers")
        wait_until(lambda: any(f"cannot listen for other members on {m.address}: Address already in use" in text
                               for text in m.status()["problems"]), "it says so")
    wait_until(lambda: f"Listening for other members on {m.address} now" in m.last_words(), "it tries again")
    assert not any("cannot listen" in text for text in m.status()["problems"]), m.status()
    with socket.create_connection((host, int(port)), PATIENCE):
        pass
    ensemble.whole(3)


def test_listen_missing():
    """The others go on trying an address at which nobody is."""
    m = ensemble.others(ensemble.leader())[0]
    equal(m.stop(), 0)
    conf = m.conf.read_text()
    m.conf.write_text(conf.replace(f"Listen={m.address}\n", ""))
    m.begin()
    wait_until(lambda: m.socket.exists() and ctl(*m.words("status", "--json")).out, "it answers")
    assert any(f"look for this one at {m.address}, and it listens nowhere: set Listen=" in text for text in m.status()["problems"]), m.status()
    m.kill()
    m.conf.write_text(conf)
    m.start()
    ensemble.whole(3)


def test_wildcard_address():
    m = Member(ensemble.root, "wild")
    m.conf.write_text("[Ensemble]\nListen=0.0.0.0:2890\n")
    m.begin()
    equal(m.running.end(), CONFIGURATION)
    m.running.close()
    assert "Listen=0.0.0.0:2890" in m.last_words() and "Advertise=" in m.last_words(), m.last_words()
    m.conf.write_text("")
    m.more = [*m.usual, "--listen=[::]:2890"]
    m.begin()
    equal(m.running.end(), CONFIGURATION)
    m.running.close()
    m.journal.close()


def test_end():
    for m in ensemble.others():
        equal(m.stop(), 0)


if __name__ == "__main__":
    ensemble.main(globals())
