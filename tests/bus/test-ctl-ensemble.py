#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-ensemble.py - an ensemble of three agents on loopback, as an operator makes, watches and mends it; see ctl_harness.py
#
# The tests are one story: each goes on with the ensemble that the one before has left.

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from ctl_ensemble import CONFIGURATION, Ensemble, Member
from ctl_harness import (ACCESS, CONFLICT, CONVENED, FATE_UNKNOWN, NOBODY, NO_NODE, OK, PATIENCE, UNREACHABLE, USAGE, Skip, bad, ctl,
                         equal, good, here, wait_until)

ensemble = Ensemble()


def altered(token):
    """Another letter in the middle."""
    at = len(token) // 2
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]


def test_alone():
    """An agent that nobody can reach."""
    answer = ctl("member", "token")
    assert answer.status != OK and b"Listen=" in answer.err, answer
    name = good("status", "--json").json["name"]
    assert "already a voter" in good("member", "promote", name).text
    assert "already the leader" in good("member", "transfer", name).text
    bad(CONFLICT, "last voter", "member", "demote", name)
    bad(CONFLICT, "last voter", "member", "remove", name)
    bad(CONFLICT, "no other voter", "member", "transfer")
    for verb in ("remove", "promote", "demote", "transfer"):
        bad(NO_NODE, "no such member", "member", verb, "nobody")
    for words in (["token", "x"], ["remove"], ["promote"], ["demote"], ["transfer", "a", "b"], ["frob"], ["list", "--lifetime=1h"],
                  ["token", "--lifetime=soon"]):
        bad(USAGE, "convenectl --help", "member", *words)
    bad(USAGE, "week", "member", "token", "--lifetime=8d")


def test_first_member_and_tokens():
    m1 = ensemble["m1"]
    m1.start()
    m1.good("create", "/shared", "from m1")
    said = m1.good("member", "token", "--lifetime=10min", "--json").json
    equal(said["lifetime_ms"], 600000)
    assert said["token"].startswith("cvn1."), said
    # for a program it is the token alone
    equal(len(m1.good("member", "token").lines), 1)
    assert m1.token() != m1.token()

    stranger = ensemble["stranger"]
    token = m1.token()
    for text, mentions in ((altered(token), "mistyped or cut short"), (token[:-3], "mistyped or cut short"),
                           ("hello", "no token")):
        status, said = stranger.join(text)
        equal(status, CONFIGURATION)
        assert mentions in said, (text, said)
    equal(len(m1.members()), 1)


def test_only_administrators():
    m1 = ensemble["m1"]
    if os.getuid() != 0:
        raise Skip("needs root")
    equal(ctl(*m1.words("member", "list", "--json"), user=NOBODY).status, OK)
    for words in (["token"], ["transfer"], ["demote", "m1"], ["remove", "m1"]):
        answer = ctl(*m1.words("member", *words), user=NOBODY)
        equal((answer.status, b"org.convene1.admin" in answer.err), (ACCESS, True))


def test_join():
    m1, m2, m3 = ensemble["m1"], ensemble["m2"], ensemble["m3"]
    ensemble.short = m1.good("member", "token", "--lifetime=1s").text.strip()
    ensemble.short_made = time.monotonic()
    token = m1.token()
    equal(m2.join(token), None)
    seen = m2.members()
    equal([(one["sid"], one["role"], one["leader"], one["this"]) for one in seen.values()],
          [(1, "voter", True, False), (2, "observer", False, True)])
    equal(m2.status()["role"], "observer")
    equal(m2.good("get", "--linearizable", "/shared").text, "from m1")

    status, said = ensemble["stranger"].join(token)
    equal(status, CONFIGURATION)
    assert "does not let this host in" in said and "was used" in said, said

    m1.bad(CONFLICT, "does not lead", "member", "transfer", "m2")
    m2.bad(ACCESS, "ask on a voter", "member", "promote", "m2")
    m1.promote("m2")
    equal(m3.join(m2.token()), None)            # of a follower, which asks the leader
    m2.promote("m3")
    ensemble.whole(3)


def test_list_and_show():
    leader = ensemble.leader()
    follower = ensemble.others(leader)[0]
    for m in (leader, follower):
        seen = m.members()
        equal(sorted(seen), ["m1", "m2", "m3"])
        for name, one in seen.items():
            equal((one["role"], one["connected"], one["error"]), ("voter", True, None))
            equal((one["leader"], one["this"]), (name == leader.name, name == m.name))
            equal(one["address"], ensemble[name].address)
            known = m is leader or name == m.name
            equal(one["synced"], True if known else None)
            equal(one["lag_entries"] is None, not known)
            equal(one["heard_ms"] is None, m is follower or name == m.name)
    heard = [one["heard_ms"] for one in leader.members().values() if not one["this"]]
    assert all(ms < 1000 * PATIENCE for ms in heard), heard

    lines = leader.good("member").lines
    equal(lines[0].split(), ["SID", "NAME", "ROLE", "ADDRESS", "LAG", "HEARD", "STATE"])
    assert any("up to date" in line and "ago" in line for line in lines), lines
    shown = leader.good("member", "show", follower.name, "--json").json
    equal([one["name"] for one in shown], [follower.name])
    assert "Lag: 0 entries" in leader.good("member", "show", follower.name).text
    text = leader.good("status").text
    assert f"● {leader.name} - leader of an ensemble of 3" in text and "3 voters; 1 may still fail" in text, text
    assert "Problem" not in text and "Reason" not in text, text
    text = follower.good("status").text
    assert f"Role: follower of {leader.name} since" in text, text
    said = follower.status()
    equal((said["voters"], said["voters_up"], said["quorum"], said["may_fail"], said["trouble"]), (3, 3, 2, 1, None))


def test_everybody_writes_and_reads():
    for m in ensemble.others():
        m.good("set", "/shared", f"from {m.name}")
        for other in ensemble.others():
            equal(other.good("get", "--linearizable", "/shared").text, f"from {m.name}")
    zxids = [m.good("sync").text for m in ensemble.others()]
    equal(len(set(zxids)), 1)


def test_leader_killed():
    leader = ensemble.leader()
    m, other = ensemble.others(leader)
    leader.kill()
    m.good("set", "/shared", "without it")
    equal(other.good("get", "--linearizable", "/shared").text, "without it")
    said = m.status()
    equal((said["serving"], said["voters_up"], said["may_fail"]), (True, 2, 0))
    assert any(text.startswith(f"{leader.name} is not connected") and f"member remove {leader.name}" in text
               for text in said["problems"]), said
    assert any("one more voter" in text for text in said["problems"]), said
    gone = m.members()[leader.name]
    equal((gone["connected"], gone["lag_entries"]), (False, None))
    assert gone["error"], gone
    assert "not connected: " in m.good("member").text and f"○ {leader.name}" in m.good("status").text
    m.bad(CONFLICT, "NewConfigNoQuorum", "member", "transfer", leader.name)

    leader.start()
    ensemble.whole(3)
    equal(leader.good("get", "--linearizable", "/shared").text, "without it")


def test_transfer():
    leader = ensemble.leader()
    to, asked = ensemble.others(leader)
    equal(asked.good("member", "transfer", to.name, "--json").json, [{"name": to.name, "changed": True}])
    equal(ensemble.leader(), to)
    equal(to.good("member", "transfer", to.name).text, f"{to.name}: is already the leader\n")
    equal(to.good("member", "transfer", "--quiet").text, "")
    now = ensemble.leader()
    assert now is not to
    equal(now.good("member", "transfer", to.name).text, f"{to.name}: is now the leader\n")
    equal(ensemble.leader(), to)
    ensemble.whole(3)


def test_demote_and_promote():
    leader = ensemble.leader()
    m, other = ensemble.others(leader)
    answer = other.good("member", "demote", m.name, "--json").json
    equal((answer[0]["name"], answer[0]["changed"]), (m.name, True))
    equal(other.good("member", "demote", m.name).text, f"{m.name}: is already an observer\n")
    wait_until(lambda: m.status()["role"] == "observer", "it knows that it is an observer")
    leader.bad(CONFLICT, "does not lead", "member", "transfer", m.name)
    said = leader.status()
    equal((said["voters"], said["may_fail"]), (2, 0))
    assert any("two voters" in text for text in said["problems"]), said
    assert "2 voters, 1 observer; 0 may still fail" in leader.good("status").text
    leader.promote(m.name)
    equal(leader.good("member", "promote", m.name).text, f"{m.name}: is already a voter\n")
    ensemble.whole(3)


def test_leader_demoted():
    """It hands over and stays as an observer."""
    leader = ensemble.leader()
    m = ensemble.others(leader)[0]
    m.good("member", "demote", leader.name)
    wait_until(lambda: ensemble.leader() is not leader, "another leads")
    m.good("set", "/shared", "led by another")
    m.promote(leader.name)
    ensemble.whole(3)


def test_two_of_three_dead():
    m, first, second = ensemble.others()
    m.good("set", "/shared", "before")
    token = m.token()
    first.kill()
    second.kill()
    said = wait_until(lambda: (lambda s: not s["serving"] and s["role"] == "looking" and s)(m.status()), "it notices")
    equal((said["leader"], said["voters"], said["voters_up"], said["quorum"], said["may_fail"]), (0, 3, 1, 2, 0))
    for part in ("no leader", first.name, second.name, "2 of 3 voters are needed"):
        assert part in said["trouble"], said
    assert any("bring one back" in text for text in said["problems"]), said
    answer = ctl(*m.words("status"))
    equal(answer.status, UNREACHABLE)
    for part in ("Serving: no", "Reason: no leader", "only 1 here, 2 are needed"):
        assert part in answer.text, answer.text
    equal(ctl(*m.words("status", "--quiet")).status, UNREACHABLE)
    m.bad(UNREACHABLE, "/shared", "get", "--timeout=1s", "/shared")
    m.bad(UNREACHABLE, "/shared", "get", "--linearizable", "--timeout=1s", "/shared")
    m.bad(FATE_UNKNOWN, "FateUnknown", "set", "--timeout=1s", "/shared", "perhaps")

    # who comes with a token hears that it is for now, and that the token is as good as before
    status, said = ensemble["stranger"].join(token)
    equal(status, 1)
    assert "No member of the ensemble lets this host in at the moment" in said and m.address in said, said
    assert "no leader" in said and "Connection refused" in said, said

    first.start()
    ensemble.leader()
    assert m.good("get", "--linearizable", "/shared").text in ("before", "perhaps")
    m.good("set", "/shared", "after")
    equal(first.good("get", "--linearizable", "/shared").text, "after")
    second.start()
    ensemble.whole(3)
    equal(second.good("get", "--linearizable", "/shared").text, "after")


def test_token_that_has_ended():
    assert time.monotonic() - ensemble.short_made > 1, "the tests before this one were too quick"
    status, said = ensemble["stranger"].join(ensemble.short)
    equal(status, CONFIGURATION)
    assert "expired" in said, said


def test_snapshot():
    """One that was away for longer than the log reaches back gets the tree; its own checkpoints go on after that."""
    leader = ensemble.leader()
    m = ensemble.others(leader)[-1]
    equal(m.stop(), 0)
    operation = {"op": "set", "path": "/shared", "data": "x" * 100000}
    for _ in range(25):
        ctl(*leader.words("multi", "-q"), stdin=json.dumps([operation] * 8).encode())
    leader.good("set", "/shared", "after")
    leader.good("checkpoint")
    m.start()
    ensemble.whole(3)
    assert "taking a snapshot" in (m.directory / "journal").read_text(), m.last_words()
    equal(m.good("get", "--linearizable", "/shared").text, "after")
    m.good("checkpoint")


def test_new_disk():
    """A host that lost its disk joins again under its name."""
    leader = ensemble.leader()
    m = ensemble.others(leader)[-1]
    before = leader.members()[m.name]
    equal(m.stop(), 0)
    shutil.rmtree(m.directory / "data")

    # its name is that of a host in identities and ACLs: not with any token, and that is not used up
    wait_until(lambda: not leader.members()[m.name]["connected"], "it notices")
    status, said = m.join(leader.token())
    equal(status, CONFIGURATION)
    assert f"{m.name} is the name of a member that is away" in said and f"convenectl member add {m.name}" in said, said
    equal(leader.members()[m.name]["disk_id"], before["disk_id"])

    equal(m.join(leader.good("member", "add", m.name, "--json").json["token"]), None)
    after = leader.members()[m.name]
    equal((after["sid"], after["role"]), (before["sid"], "observer"))
    assert after["disk_id"] != before["disk_id"], after
    equal(m.good("get", "--linearizable", "/shared").text, "after")
    leader.promote(m.name)
    ensemble.whole(3)


def says_that_it_was_removed(m):
    wait_until(lambda: not m.status()["serving"], "it does not serve")
    wait_until(lambda: any("removed" in text for text in (m.status()["trouble"], *m.status()["problems"])), "it says why")
    m.bad(UNREACHABLE, "/shared", "get", "--timeout=1s", "/shared")
    equal(m.stop(), 0)


def test_remove():
    leader = ensemble.leader()
    other, m = ensemble.others(leader)
    leader.good("checkpoint")
    other.good("checkpoint")
    other.good("member", "remove", m.name)
    ensemble.removed = m
    equal(sorted(leader.members()), sorted([leader.name, other.name]))
    other.bad(NO_NODE, "no such member", "member", "show", m.name)
    other.bad(NO_NODE, "no such member", "member", "remove", m.name)
    leader.good("set", "/shared", "without it")
    said = leader.status()
    equal((said["voters"], said["voters_up"]), (2, 2))
    says_that_it_was_removed(m)


def test_removed_stays_out():
    """Also of members whose checkpoint still knows it."""
    m, stayed = ensemble.removed, ensemble.others()
    for one in stayed:
        equal(one.stop(), 0)
    for one in stayed:
        one.begin()
    leader = ensemble.leader()
    leader.good("set", "/shared", "not for everybody")
    m.begin()
    wait_until(lambda: any(one.good("statistics", "--json").json["mesh_strangers"] > 0 for one in ensemble.others(m)), "it tries")
    wait_until(lambda: ctl(*m.words("status", "--json")).out, "it says what it has to say")
    says_that_it_was_removed(m)


def test_remove_leader():
    leader = ensemble.leader()
    m, = ensemble.others(leader)
    m.good("member", "remove", leader.name)
    wait_until(lambda: m.status()["role"] == "leader" and m.status()["serving"], "the last one leads")
    equal(list(m.members()), [m.name])
    m.good("set", "/shared", "alone")
    says_that_it_was_removed(leader)


class Lost:
    """Three voters of their own, of which two are then lost."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="convene-lost-", dir=ensemble.root))
        self.one, self.two, self.three = self.members = [Member(self.root, f"r{k}") for k in (1, 2, 3)]
        self.one.start()
        for m in self.members[1:]:
            equal(m.join(self.one.token()), None)
            self.one.promote(m.name)
        return self

    def __exit__(self, *_):
        for m in self.members:
            if m.running:
                m.running.close()
            m.journal.close()

    def recover(self, m, into, *more):
        """Exit status and words of what makes a store of one out of this member's."""
        p = subprocess.run([CONVENED, "--data", str(m.directory / "data"), f"--config={m.conf}", f"--recover-into={into}", *more],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=here.environment,
                           timeout=PATIENCE, text=True)
        return p.returncode, p.stdout


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "lock"}


def test_majority_lost():
    with Lost() as lost:
        one, two, three = lost.one, lost.two, lost.three
        one.good("create", "/kept", "1")
        created = one.good("stat", "/kept", "--json").json[0]["stat"]["czxid"]
        old_token, cluster = one.token(), one.status()["cluster_id"]
        three.kill()
        two.kill()
        wait_until(lambda: not one.status()["serving"], "it notices")
        new, data = one.directory / "new", one.directory / "data"

        status, said = lost.recover(one, new)
        equal(status, 1)
        assert "in use by another process" in said, said
        equal(one.stop(), 0)
        before = contents(data)
        status, said = lost.recover(one, new)
        equal(status, 0)
        for part in (f"out of ensemble {cluster}", "Members dropped: r2 (voter 2), r3 (voter 3)", "what was acknowledged after that is lost"):
            assert part in said, said
        equal(contents(data), before)           # it is as it was, whatever one decides
        assert lost.recover(one, new)[0] == 1 and "There is a store" in lost.recover(one, new)[1]

        data.rename(one.directory / "old")
        new.rename(data)
        one.start()
        assert "Members dropped: r2" in one.last_words(), one.last_words()
        said = one.status()
        equal((said["role"], said["serving"], said["voters"], list(one.members()), said["problems"]), ("leader", True, 1, ["r1"], []))
        assert said["cluster_id"] != cluster and said["epoch"] > 1000, said
        equal(one.good("get", "--linearizable", "/kept").text, "1")
        one.good("set", "/kept", "2")
        one.good("create", "/later")
        later = one.good("stat", "/later", "--json").json[0]["stat"]["czxid"]
        assert int(later, 16) > int(created, 16) + (1000 << 32), (later, created)

        # the old ones come back, and are nobody's
        two.begin()
        wait_until(lambda: two.socket.exists() and ctl(*two.words("status", "--json")).out, "it answers")
        wait_until(lambda: any("r1 is not connected" in text for text in two.status()["problems"]), "it knows no r1")
        wait_until(lambda: "the address of member 1 (r1), is a key" in two.last_words(), "it finds somebody else there")
        equal((two.status()["serving"], list(one.members())), (False, ["r1"]))
        two.kill()
        shutil.rmtree(three.directory / "data")
        status, said = three.join(old_token)
        assert status != 0 and "another key than the token says" in said, said

        # and join anew
        shutil.rmtree(two.directory / "data")
        equal(two.join(one.token()), None)
        one.promote("r2")
        equal(two.good("get", "--linearizable", "/kept").text, "2")
        one.kill()
        one.start()                              # it is told once
        equal((one.directory / "journal").read_text(errors="replace").count("Members dropped: r2"), 1)
        two.good("set", "/kept", "3")


def test_recover_what_is_not_lost():
    m = Member(ensemble.root, "alone")
    m.start()
    equal(m.stop(), 0)
    run = Lost.recover
    equal(run(None, m, m.directory / "new")[0], 1)
    assert "only voter" in run(None, m, m.directory / "new")[1]
    shutil.rmtree(m.directory / "data")
    status, said = run(None, m, m.directory / "new")
    equal((status, "no store" in said, (m.directory / "data").exists()), (1, True, False))
    m.journal.close()


def test_feature_level():
    """An ensemble that was founded by a later version; this one can do less, and is told so by name of the level."""
    program = os.environ.get("CONVENED_NEXT")
    if not program:
        raise Skip("CONVENED_NEXT names no agent of the next feature level")
    first, old = Member(ensemble.root, "next"), Member(ensemble.root, "old")
    first.program = program
    first.start()
    first.good("create", "/level", "2")
    status, said = old.join(first.token())
    equal(status, CONFIGURATION)
    assert "the ensemble is at feature level 2, this host can do no more than 1: install a newer version here" in said, said
    equal(list(first.members()), ["next"])

    # a member of its own that is put back to the older version
    old.program = program
    equal(old.join(first.token()), None)
    first.promote("old")
    equal(old.stop(), 0)
    del old.program
    old.begin()
    equal(old.running.end(), CONFIGURATION)
    old.running.close()
    assert "The ensemble is at feature level 2, and this version of convene can do no more than 1" in old.last_words(), old.last_words()
    old.program = program
    old.start()
    equal(old.good("get", "--linearizable", "/level").text, "2")
    for m in (old, first):
        m.kill()
        m.journal.close()


def test_end():
    for m in ensemble.others():
        equal(m.stop(), 0)


if __name__ == "__main__":
    ensemble.main(globals())
