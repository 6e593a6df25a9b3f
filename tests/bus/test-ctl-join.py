#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-join.py - "convenectl init", "join" and "member add": what makes hosts members, and what they say and take back when that
# does not work out; see ctl_harness.py
#
# A host is a mount namespace with an /etc/convene of its own, and a systemctl that starts and stops its agent.

import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile
import time

from ctl_harness import (ACCESS, CONFLICT, CONVENECTL, CONVENED, FAILURE, OK, PATIENCE, UNREACHABLE, USAGE, Answer, Skip, bad, equal, free_port,
                         good, here, main, wait_until)

SYSTEMCTL = r"""#!/bin/bash
# The commands of systemctl that convenectl uses, for the one agent of this host.
set -u
host=HOST
pid() { [[ -s $host/pid ]] && kill -0 "$(<"$host/pid")" 2>/dev/null; }
stop() {
        pid && kill "$(<"$host/pid")" && while kill -0 "$(<"$host/pid")" 2>/dev/null; do sleep 0.02; done
        rm -f "$host/pid" "$host/ended"
}
start() {
        pid && return
        rm -f "$host/ended"
        : >"$host/journal"
        (
                setsid "$host/lib/convene/convened" --no-system-bus --join=-/etc/convene/join-token --socket="$host/bus" \
                        >>"$host/journal" 2>&1 </dev/null &
                echo $! >"$host/pid"
                wait $!
                echo $? >"$host/ended"
        ) </dev/null >/dev/null 2>&1 &
        until [[ -s $host/pid ]]; do sleep 0.01; done
}
state() {
        if pid; then echo active; elif [[ -e $host/ended && $(<"$host/ended") == 1 ]]; then echo activating
        elif [[ -e $host/ended && $(<"$host/ended") != 0 ]]; then echo failed; else echo inactive; fi
}
echo "$*" >>"$host/asked"
case "$*" in
"show --property=LoadState convened.service") echo LoadState=loaded ;;
"show --property=ActiveState,StatusText,ExecMainStatus convened.service")
        echo "ActiveState=$(state)"
        echo "StatusText=$(tail -n 1 "$host/journal" 2>/dev/null | sed 's/^convened: //')"
        echo "ExecMainStatus=$(cat "$host/ended" 2>/dev/null || echo 0)" ;;
"enable --quiet convened.socket convened.service"|"start convened.socket") ;;
"start --no-block convened.service") start ;;
"restart --no-block convened.service") stop; start ;;
"stop convened.socket convened.service") stop ;;
*) echo "what? $*" >&2; exit 1 ;;
esac
"""


class Host:
    """`systemd`: it has a systemctl that works."""

    def __init__(self, root, name, systemd=True):
        self.name, self.root = name, root / name
        self.address = f"127.0.0.1:{free_port()}"
        self.data, self.token = self.root / "var/store", self.root / "etc/convene/join-token"
        self.drop_in = self.root / "etc/convene/convened.conf.d/50-ensemble.conf"
        for directory in ("bin", "lib/convene", "etc/convene/convened.conf.d", "var"):
            (self.root / directory).mkdir(parents=True)
        shutil.copy(CONVENECTL, self.root / "bin/convenectl")
        shutil.copy(CONVENED, self.root / "lib/convene/convened")
        for file in ("passwd", "group", "nsswitch.conf"):
            if os.path.exists(f"/etc/{file}"):
                shutil.copy(f"/etc/{file}", self.root / "etc")
        (self.root / "etc/convene/convened.conf").write_text(f"[Agent]\nName={name}\nData={self.data}\n[Store]\nSegmentSize=8M\n")
        systemctl = self.root / "bin/systemctl"
        systemctl.write_text(SYSTEMCTL.replace("HOST", str(self.root)) if systemd else "#!/bin/sh\necho 'no systemd' >&2\nexit 1\n")
        systemctl.chmod(0o755)

    def inside(self, *words):
        """A command in this host's namespace, where /etc is its own."""
        return ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(self.root / "etc"), *words]

    def environment(self):
        return {**here.environment, "PATH": f"{self.root}/bin:{os.environ['PATH']}", "CONVENE_ADDRESS": f"unix:path={self.root}/bus"}

    def run(self, *words, stdin=b"", user=None):
        argv = self.inside(*(["setpriv", f"--reuid={user}", "--clear-groups"] if user else []), str(self.root / "bin/convenectl"), *words)
        return Answer(subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(),
                                     timeout=6 * PATIENCE))

    def good(self, *words, **more):
        answer = self.run(*words, **more)
        equal((answer.status, answer.err), (OK, b""))
        return answer

    def bad(self, status, *mentions, words, **more):
        answer = self.run(*words, **more)
        text = answer.err.decode()
        assert answer.status == status and all(part in text for part in mentions), f"{words}: {answer}"
        return text

    def store(self):
        """What must not change, file by file."""
        return {path.name: path.read_bytes() for path in sorted(self.data.rglob("*")) if path.is_file() and path.name in ("meta", "key.pem")}

    def end(self):
        if (self.root / "pid").exists():
            subprocess.run([self.root / "bin/systemctl", "stop", "convened.socket", "convened.service"], check=True)


class Hosts:
    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="convene-join-"))
        self.root.chmod(0o755)
        self.hosts = {}

    def __getitem__(self, name):
        if name not in self.hosts:
            self.hosts[name] = Host(self.root, name, systemd=not name.startswith("bare"))
        return self.hosts[name]

    def end(self):
        for host in self.hosts.values():
            host.end()
        shutil.rmtree(self.root, ignore_errors=True)


hosts = None


def host(name):
    """Or Skip, where no namespace can be made."""
    if os.getuid() != 0:
        raise Skip("needs root")
    h = hosts[name]
    probe = subprocess.run(h.inside("true"), stderr=subprocess.PIPE)
    if probe.returncode != 0:
        raise Skip(f"no mount namespace: {probe.stderr.decode().strip()}")
    return h


def altered(token):
    """Another letter in the middle."""
    at = len(token) // 2
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]


def test_usage():
    for words in (["join"], ["join", "a", "b"], ["init", "x"], ["init", "--discard"], ["join", "--lifetime=1h", "x"], ["member", "add"],
                  ["member", "add", "a", "b"]):
        bad(USAGE, "convenectl --help", *words)
    for text, mentions in (("hello", "no token"), ("cvn1.", "mistyped"), ("cvn1.AAAAAAAAAAAAAAAAAAAA", "mistyped"), ("cvn1.a b", "mistyped")):
        bad(USAGE, mentions, "join", text)
        bad(USAGE, mentions, "join", "-", stdin=text.encode() + b"\n")


def test_init():
    h = host("h1")
    h.bad(ACCESS, "only root", words=["init"], user=65534)
    h.bad(FAILURE, "Listen=", "names are not looked up", words=["init", "--listen=web1.example"])
    h.bad(FAILURE, "Listen=0.0.0.0:2890", "Advertise=", words=["init", "--listen=0.0.0.0"])
    h.bad(USAGE, "--listen", words=["init", "--advertise=192.0.2.1"])
    assert not h.drop_in.exists() and not h.data.exists()

    text = h.good("init").text
    assert "h1 leads ensemble" in text and "listens nowhere" in text and "convenectl init --listen=ADDRESS" in text, text
    h.bad(CONFLICT, "convenectl init --listen", "(NotReachable)", words=["member", "token"])
    h.bad(CONFLICT, "NotReachable", words=["member", "add", "h2"])

    text = h.good("init", f"--listen={h.address}").text
    assert h.address in text and "convenectl member add NAME" in text, text
    assert h.drop_in.read_text().endswith(f"\n[Ensemble]\nListen={h.address}\nFound=no\n"), h.drop_in.read_text()
    assert "enable --quiet convened.socket convened.service" in (h.root / "asked").read_text()
    said = h.good("init", "--json").json
    equal((said["name"], said["sid"], said["role"], said["members"], said["address"], said["kept"]),
          ("h1", 1, "leader", 1, h.address, None))
    h.good("create", "/shared", "of h1")


def test_init_where_a_token_is():
    h = host("waiting")
    h.token.write_text("cvn1.whatever\n")
    h.bad(CONFLICT, "join-token", words=["init", f"--listen={h.address}"])
    assert not h.drop_in.exists()


def test_join():
    h1, h2 = host("h1"), host("h2")
    token = h1.good("member", "token").text.strip()
    h2.bad(ACCESS, "only root", words=["join", token], user=65534)
    h2.bad(USAGE, "mistyped", words=["join", altered(token)])
    h2.bad(FAILURE, "names are not looked up", words=["join", "--listen=h2", token])
    equal((h2.token.exists(), h2.drop_in.exists(), h2.data.exists()), (False, False, False))

    text = h2.good("join", f"--listen={h2.address}", "-", stdin=token.encode() + b"\n").text
    for part in ("h2 is member 2 of ensemble", "an observer, and serves", "h1 leads; there is 1 voter and 1 observer",
                 "convenectl member promote h2"):
        assert part in text, text
    facts = h2.token.stat()
    equal((stat.S_IMODE(facts.st_mode), facts.st_uid), (0o600, h2.root.stat().st_uid))
    equal(h2.good("get", "--linearizable", "/shared").text, "of h1")
    h1.good("member", "promote", "h2")


def test_join_without_an_address():
    h1, h = host("h1"), host("hidden")
    text = h.good("join", h1.good("member", "token").text.strip()).text
    assert "listens nowhere" in text and "Listen=" in text, text
    h1.bad(CONFLICT, "no address", "Listen=", words=["member", "promote", "hidden"])
    h.end()
    h1.good("member", "remove", "hidden")


def test_add():
    h1, h3, other = host("h1"), host("h3"), host("other")
    h1.bad(CONFLICT, "a member of this name is connected", "NodeExists", words=["member", "add", "h2"])
    h1.bad(USAGE, "no host name", words=["member", "add", "a b"])
    said = h1.good("member", "add", "h3", "--lifetime=10min", "--json").json
    equal((said["name"], said["lifetime_ms"]), ("h3", 600000))
    equal(said["command"], f"convenectl join --listen=ADDRESS - <<<'{said['token']}'")
    equal(h1.good("member", "add", "h3").text.split()[:3], ["convenectl", "join", "--listen=ADDRESS"])

    other.bad(ACCESS, "for a host named h3, and this one is other", "as it was before", words=["join", said["token"]])
    equal((other.token.exists(), other.drop_in.exists(), (other.data / "meta").exists()), (False, False, False))
    # that was no use of it
    command = said["command"].replace("ADDRESS", h3.address)
    done = subprocess.run(h3.inside("bash", "-c", command), env=h3.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal((done.returncode, done.stderr), (OK, b""))
    assert b"h3 is member 3" in done.stdout, done
    h1.good("member", "promote", "h3")
    equal({one["name"]: one["role"] for one in h3.good("member", "--json").json}, {"h1": "voter", "h2": "voter", "h3": "voter"})


def test_refused():
    h1, other = host("h1"), host("other")
    used = h1.good("member", "token").text.strip()
    h4 = host("h4")
    h4.good("join", used)
    other.bad(ACCESS, "does not let this host in", "was used", "as it was before", words=["join", used])

    short = h1.good("member", "token", "--lifetime=1s").text.strip()
    made = time.monotonic()
    wait_until(lambda: time.monotonic() - made > 1.2, "it is over")
    other.bad(ACCESS, "expired", words=["join", short])

    (other.root / "etc/convene/convened.conf.d/10-name.conf").write_text("[Agent]\nName=h2\n")
    other.bad(ACCESS, "a member of this name is connected", "Name=", words=["join", h1.good("member", "token").text.strip()])
    (other.root / "etc/convene/convened.conf.d/10-name.conf").unlink()
    equal((other.token.exists(), (other.data / "meta").exists()), (False, False))


def test_unreachable():
    """The members that the token names are away."""
    alone, other = host("alone"), host("other")
    alone.good("init", f"--listen={alone.address}")
    token = alone.good("member", "token").text.strip()
    alone.end()
    other.bad(UNREACHABLE, "No member of the ensemble lets this host in at the moment", alone.address, "Connection refused", "as it was before",
              words=["join", "--timeout=3s", token])
    # and one that does not answer at all
    with socket.create_server(("127.0.0.1", int(alone.address.split(":")[1]))):
        other.bad(UNREACHABLE, "took too long", "as it was before", words=["join", "--timeout=2s", token])
    equal((other.token.exists(), (other.data / "meta").exists()), (False, False))


def test_store_of_its_own():
    """An ensemble of one gives way if there is nothing in it; else only when told to, and it is kept."""
    h1, own = host("h1"), host("own")
    own.good("init")
    own.good("create", "/mine", "precious")
    before = own.store()
    token = h1.good("member", "token").text.strip()
    own.bad(CONFLICT, "znodes in it", "--discard", words=["join", token])
    equal((own.store(), own.token.exists()), (before, False))
    equal(own.good("get", "/mine").text, "precious")

    # a token that is refused costs nothing, not even then
    used = h1.good("member", "add", "somebody", "--json").json["token"]
    own.bad(ACCESS, "for a host named somebody", "as it was before", words=["join", "--discard", used])
    assert own.store() == before, "the store has changed"
    wait_until(lambda: own.run("get", "/mine").text == "precious", "it serves again")

    text = own.good("join", "--discard", f"--listen={own.address}", token).text
    kept, = (own.root / "var").glob("store.kept-*")
    assert f"is kept in {kept}" in text, text
    equal((kept / "meta").read_bytes()[:8], before["meta"][:8])
    equal((kept / "key.pem").read_bytes(), before["key.pem"])
    equal(own.good("get", "/shared").text, "of h1")

    # a member of several is not taken away from them by mistake
    own.bad(CONFLICT, "a member of an ensemble of 5", "convenectl member remove own",
            words=["join", h1.good("member", "token").text.strip()])

    empty = host("empty")
    empty.good("init")
    said = empty.good("join", "--json", h1.good("member", "token").text.strip()).json
    equal((said["name"], said["role"], said["leader"], said["address"]), ("empty", "observer", "h1", None))
    assert said["kept"] and pathlib.Path(said["kept"]).is_dir(), said


def test_store_that_nobody_can_look_at():
    h1, broken = host("h1"), host("broken")
    broken.good("init")
    broken.end()
    (broken.data / "meta").write_bytes(bytes(8192))
    token = h1.good("member", "token").text.strip()
    broken.bad(CONFLICT, "does not serve", "--discard", words=["join", token])
    broken.good("join", "--discard", token)


def test_without_systemd():
    h1, bare = host("h1"), host("bare")
    token = h1.good("member", "token").text.strip()
    text = bare.good("join", f"--listen={bare.address}", token).text
    assert f"{bare.root}/lib/convene/convened --join=/etc/convene/join-token" in text, text
    equal((bare.token.read_text(), stat.S_IMODE(bare.token.stat().st_mode)), (token + "\n", 0o600))
    assert f"Listen={bare.address}" in bare.drop_in.read_text()
    assert f"{bare.root}/lib/convene/convened\n" in bare.good("init").text


def test_recover():
    """Three voters, two of which are lost for good."""
    one, two, three = host("r1"), host("r2"), host("r3")
    one.good("init", f"--listen={one.address}")
    one.bad(CONFLICT, "this member serves", "member remove", words=["member", "recover"])
    for h in (two, three):
        h.good("join", f"--listen={h.address}", one.good("member", "add", h.name, "--json").json["token"])
        wait_until(lambda: one.run("member", "promote", h.name).status == OK, "it is up to date")
    one.good("create", "/kept", "1")
    old = one.good("status", "--json").json["cluster_id"]
    two.end()
    three.end()
    wait_until(lambda: one.run("status", "--quiet").status == UNREACHABLE, "it notices")

    one.bad(ACCESS, "only root", words=["member", "recover"], user=65534)
    one.bad(USAGE, "--yes", words=["member", "recover", "--json"])
    before = one.store()
    answer = one.run("member", "recover", stdin=b"yes\n")
    equal((answer.status, b"not confirmed" in answer.err), (CONFLICT, True))
    assert b'type "r1 goes on alone"' in answer.out and b"Members dropped: r2 (voter 2), r3 (voter 3)" in answer.out, answer
    equal((one.store(), sorted(path.name for path in (one.root / "var").iterdir())), (before, ["store"]))
    wait_until(lambda: one.run("status", "--json").status == UNREACHABLE, "it looks for the others again")

    answer = one.run("member", "recover", stdin=b"r1 goes on alone\n")
    equal((answer.status, answer.err), (OK, b""))
    kept, = (one.root / "var").glob("store.kept-*")
    for part in ("r1 leads ensemble", "alone", f"is kept in {kept}", "convenectl member add NAME", "--discard"):
        assert part in answer.text, answer
    equal((kept / "key.pem").read_bytes(), before["key.pem"])
    said = one.good("status", "--json").json
    assert said["cluster_id"] != old and said["serving"] and said["voters"] == 1, said
    one.good("set", "/kept", "2")

    text = two.good("join", "--discard", one.good("member", "token").text.strip()).text
    assert "is kept in" in text, text
    equal(two.good("get", "--linearizable", "/kept").text, "2")
    host("bare").bad(FAILURE, "by hand", words=["member", "recover"])


def test_recover_nothing():
    alone = host("never")
    alone.bad(3, "no store", words=["member", "recover", "--yes"])
    h = host("single")
    h.good("init")
    h.end()
    h.bad(CONFLICT, "only voter", words=["member", "recover", "--yes"])
    equal(sorted(path.name for path in (h.root / "var").iterdir()), ["store"])


def test_store_lost():
    """The first member had no token: without a store it is not to serve an empty tree; but init is init."""
    h = host("founder")
    h.good("init", f"--listen={h.address}")
    h.end()
    shutil.rmtree(h.data)
    subprocess.run(h.inside(h.root / "bin/systemctl", "restart", "--no-block", "convened.service"), check=True)
    wait_until(lambda: "Found=no" in (h.root / "journal").read_text() and (h.root / "ended").exists(), "it says so")
    equal((h.root / "ended").read_text(), "78\n")
    assert not (h.data / "meta").exists()
    assert "leads ensemble" in h.good("init", f"--listen={h.address}").text
    assert "Found=no" in h.drop_in.read_text()


def test_configured_by_hand():
    """Others reach it, by its configuration, and there is no store: its disk may be away, and nobody has said that it founds one."""
    h = host("byhand")
    own = h.root / "etc/convene/convened.conf.d/10-own.conf"
    for text, mentions in ((f"[Ensemble]\nListen={h.address}\n", "Listen="), ("[Ensemble]\nAdvertise=192.0.2.1:2890\n", "Advertise="),
                           (f"[Ensemble]\nListen={h.address}\nFound=no\n", "Found=no")):
        own.write_text(text)
        subprocess.run(h.inside(h.root / "bin/systemctl", "restart", "--no-block", "convened.service"), check=True)
        wait_until(lambda: (h.root / "ended").exists(), "it ends")
        said = (h.root / "journal").read_text()
        equal((h.root / "ended").read_text(), "78\n")
        for part in ("is blank", mentions, "mount it", "convenectl join", "convenectl init --listen=ADDRESS"):
            assert part in said, said
        assert not (h.data / "meta").exists()
    own.write_text(f"[Ensemble]\nListen={h.address}\n")
    h.bad(ACCESS, "is blank", "convenectl init --listen=ADDRESS", words=["init"])
    assert "leads ensemble" in h.good("init", f"--listen={h.address}").text
    assert "Found=no" in h.drop_in.read_text()


def test_root_directory():
    """Files of a host that does not run, for whoever may write them."""
    root = here.work / "image"
    token = "cvn1.AAECAwQFBgcICQoLDA0ODw"
    bad(USAGE, "mistyped", "join", f"--root={root}", token)
    good("init", f"--root={root}", "--listen=192.0.2.1", "--advertise=[2001:db8::1]")
    equal((root / "etc/convene/convened.conf.d/50-ensemble.conf").read_text().splitlines()[1:],
          ["[Ensemble]", "Listen=192.0.2.1:2890", "Advertise=[2001:db8::1]:2890", "Found=yes"])
    good("init", f"--root={root}", "--listen=2001:db8::2")
    equal((root / "etc/convene/convened.conf.d/50-ensemble.conf").read_text().splitlines()[1:],
          ["[Ensemble]", "Listen=[2001:db8::2]:2890", "Found=yes"])


if __name__ == "__main__":
    hosts = Hosts()
    try:
        main(globals())
    finally:
        hosts.end()
