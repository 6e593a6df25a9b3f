# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the members' port does with those who are no members, or say that they are others than they are.

Three voters and an observer (h4), and clients on all of them; h4's key, taken from its disk, is also in the hands of an adversary.
Each case is an attack; whatever comes of it, nobody's role and epoch may change for it and the clients' updates go on.
"""

import base64
import contextlib
import os
import shutil
import ssl
import struct
import tempfile
import threading
import time

import rawpeer
from client import TREE
from ensemble import MANAGER, Ensemble, agent_pid, attempt
from labtest import case, count, ctl, lab, main, run, wait
from rawpeer import Peer, context, frame, make_certificate, make_key, objection, refused
from settings import STORE
from state import leader as top_of
from traffic import Traffic
from util import read, sh

VOTERS, TRAITOR = ["h1", "h2", "h3"], "h4"
HALF_OPEN, HALF_OPEN_AT_ONCE = 10000, 1000
CLOSED_SEC_MAX = 1.0
AUTH_FAILED = -115                      # ConveneStatus

E = Ensemble(4)
TRAFFIC = None
FILES = tempfile.mkdtemp(prefix="convene-mesh-")
FACTS = {}                              # name: what member list says of it; "cluster": the ensemble's id


def member_key(host):
    """A context with the key of a member."""
    key, certificate = "%s/%s.pem" % (FILES, host), "%s/%s.crt" % (FILES, host)
    if not os.path.exists(certificate):
        with open(key, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(run("cat", "/var/lib/convene/key.pem", host=host))
        make_certificate(key, certificate)
    return context(key, certificate)


def stranger(name="stranger"):
    key, certificate = "%s/%s.pem" % (FILES, name), "%s/%s.crt" % (FILES, name)
    if not os.path.exists(certificate):
        make_certificate(make_key(key), certificate)
    return context(key, certificate)


def said(host, since=0):
    """The agent's journal of this boot, from a line on."""
    return lab("journal", host, "convened.service", "--", "-b", "-o", "cat").splitlines()[since:]


class Mark:
    """What an agent says from here on."""

    def __init__(self, host):
        self.host, self.at = host, len(said(host))

    def wait(self, *words):
        def look():
            return next((line for line in said(self.host, self.at) if all(word in line for word in words)), None)
        return wait("%s says %s" % (self.host, " ... ".join(words)), look)


@contextlib.contextmanager
def unmoved():
    """No attack moves anybody's role or epoch, ends an agent, or stops the updates."""
    def look():
        return {host: (agent_pid(host), E[host].try_get("Role"), E[host].try_get("Epoch")) for host in E.up()}
    E.whole()
    before = look()
    yield
    assert look() == before, (before, look())
    TRAFFIC.all_write(E.up())
    E.whole()


@contextlib.contextmanager
def traitor_away():
    """h4's agent is down, so that nobody but the adversary has its key."""
    run("systemctl", "stop", "convened.socket", "convened.service", host=TRAITOR)
    E.down.add(TRAITOR)
    try:
        yield
    finally:
        run("systemctl", "start", "convened.socket", "convened.service", host=TRAITOR)
        E.down.discard(TRAITOR)
        E.whole()


def traitor_hello(**other):
    facts = dict(FACTS[TRAITOR], **other)
    return rawpeer.hello(FACTS["cluster"], facts["disk_id"], facts["sid"], facts["name"], facts.get("level", 1))


def as_traitor():
    """Its connection to the leader, up, as a member's: (peer, epoch, session)."""
    peer = Peer(E.leader(), member_key(TRAITOR), TRAITOR)
    peer.send(traitor_hello())
    peer.agree()
    return (peer,) + peer.follow()


def forward(epoch, session, number, scheme, who, path):
    """A FORWARD of a create in somebody's name."""
    request = struct.pack("<BBIQQ", 1, 1, FACTS[TRAITOR]["sid"], number, 0) + struct.pack("<I", 1) + rawpeer.text(scheme) + \
        rawpeer.text(who) + rawpeer.text(path) + struct.pack("<BI", 1, 0) + struct.pack("<II", 1, 31) + rawpeer.text("world") + \
        rawpeer.text("anyone") + struct.pack("<B", 0)
    return frame(rawpeer.FORWARD, struct.pack("<IQQI", epoch, session, number, len(request)) + request)


def exists(path):
    return E[E.leader()].call(TREE, "Exists", "sa{sv}", (path, {"linearizable": ("b", True)}))[0]


@case
def three_voters_and_an_observer():
    global TRAFFIC
    E.form(VOTERS)
    TRAFFIC = Traffic(E, clients_per_host=2, seed=count("LAB_SEED", 1))
    TRAFFIC.__enter__()
    status = E.status("h1")
    FACTS["cluster"] = status["cluster_id"]
    FACTS.update((m["name"], m) for m in status["members"])


@case
def sec_1_strangers():
    """No certificate, one of its own, one of an authority: none is a member's key."""
    authority = make_key(FILES + "/ca.pem"), make_certificate(FILES + "/ca.pem", FILES + "/ca.crt")
    make_key(FILES + "/signed.pem")
    make_certificate(FILES + "/signed.pem", FILES + "/signed.crt", authority)
    with unmoved():
        for host in VOTERS:
            assert refused(lambda: Peer(host, context()))
            for name in ("stranger", "signed"):
                tls, mark = stranger(name), Mark(host)
                with Peer(host, tls) as peer:
                    peer.send(traitor_hello())
                    words = objection(peer)
                    assert "is of no member" in words, words
                if name == "stranger":          # the same again is not news, see mesh_alarm()
                    mark.wait("shows a key of no member")


@case
def sec_2_another_member():
    """A member's key, and the name or the disk of another."""
    lies = {"another sid": {"sid": 1, "disk_id": FACTS["h1"]["disk_id"], "name": "h1"}, "an old disk": {"disk_id": "00" * 16}}
    with unmoved():
        for what, lie in lies.items():
            leader = E.leader()
            mark = Mark(leader)
            with Peer(leader, member_key(TRAITOR)) as peer:
                peer.send(traitor_hello(**lie))
                peer.closed()
            claimed = dict(FACTS[TRAITOR], **lie)
            line = mark.wait("says it is member %d" % claimed["sid"], claimed["disk_id"], "that of member 4 (h4)",
                             FACTS[TRAITOR]["disk_id"])
            print("# %s: %s" % (what, line), flush=True)


@case
def sec_3_old_tls_and_shortcuts():
    """TLS 1.2, resumption, 0-RTT."""
    with unmoved():
        key, certificate = FILES + "/h4.pem", FILES + "/h4.crt"
        member_key(TRAITOR)
        words = refused(lambda: Peer("h1", context(key, certificate, ssl.TLSVersion.TLSv1_2)))
        assert "version" in words.lower() or "closed" in words or "reset" in words.lower(), words
        tls = context(key, certificate)
        with Peer("h1", tls) as peer:
            peer.send(traitor_hello(disk_id="00" * 16))
            peer.closed()
            session = peer.tls.session
        # Without a ticket there is nothing to resume, and no key for early data.
        assert not session or not session.has_ticket, "a ticket was given"


def ask_to_join(name, secret, cluster=None):
    """What a host of this name and a key of its own is told: "joined", or why not."""
    with Peer("h1", stranger(name)) as peer:
        peer.send(rawpeer.join(cluster or FACTS["cluster"], os.urandom(16).hex(), secret, name))
        kind, body = peer.next_frame()
        return "joined" if kind == rawpeer.JOINED else body[4:-1].decode()


def expect(what, words, part):
    print("# a token %s: %s" % (what, words), flush=True)
    assert words != "joined" and part in words, words


@case
def sec_6_tokens():
    """Altered, of another ensemble, expired, used."""
    with unmoved():
        short = token_secret(ctl("member", "token", "--lifetime=1s", host="h1").strip())
        made = time.monotonic()
        secret = token_secret(ctl("member", "token", host="h1").strip())
        expect("altered", ask_to_join("guest", bytes([secret[0] ^ 1]) + secret[1:]), "not known")
        expect("of another ensemble", ask_to_join("guest", secret, "ab" * 16), "ensemble")
        wait("the short token has expired", lambda: time.monotonic() > made + 1.2)
        expect("that has expired", ask_to_join("guest", short), "expired")
        assert ask_to_join("guest", secret) == "joined"
        try:
            expect("that was used", ask_to_join("second", secret), "used")
        finally:
            ctl("member", "remove", "guest", host="h1")


def token_secret(token):
    """The 16 bytes before the checksum."""
    body = token.partition(".")[2]
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[-20:-4]


@case
def sec_7_in_another_name():
    """A member forwards what only another host can know to be true."""
    with unmoved_but_away():
        peer, epoch, session = as_traitor()
        with peer:
            lies = [("unix", "0@h1"), ("unix", "1000@h2"), ("unit", "sshd.service@h1"), ("host", "h1"), ("super", "")]
            for number, (scheme, who) in enumerate(lies, 1):
                path = "/lab/own/forged-%d" % number
                peer.send(forward(epoch, session, number, scheme, who, path))
                refusal = struct.unpack_from("<IQQi", peer.receive(rawpeer.REFUSED))
                assert refusal[2] == number and refusal[3] == AUTH_FAILED, refusal
                assert not exists(path)
            # The same in a name that is its own is done: it was the name that was refused.
            number = len(lies) + 1
            peer.send(forward(epoch, session, number, "unix", "1000@h4", "/lab/own/h4-0/9999999"))
            wait("what it may do is done", lambda: exists("/lab/own/h4-0/9999999"))
            E[E.leader()].call(TREE, "Delete", "sia{sv}", ("/lab/own/h4-0/9999999", -1, {}))
            # As another origin, or as another member's session: nobody does that by mistake.
            forged = forward(epoch, session, 99, "unix", "1000@h4", "/lab/own/forged-origin")
            at = forged.index(struct.pack("<I", FACTS[TRAITOR]["sid"]) + struct.pack("<Q", 99))
            peer.send(forged[:at] + struct.pack("<I", 1) + forged[at + 4:])
            peer.closed()
            assert not exists("/lab/own/forged-origin")


@contextlib.contextmanager
def unmoved_but_away():
    with traitor_away():
        with unmoved():
            yield


@case
def sec_8_votes_that_do_not_count():
    """An observer acknowledges, votes and commands."""
    huge = struct.pack("<Q", 1 << 40)
    vote = struct.pack("<IIQQQQQQIB", 1 << 20, 1 << 20, 1 << 40, 1 << 62, 0, 0, 1 << 40, 1 << 62, 0, 1)
    kinds = [("a vote", rawpeer.VOTE_RESPONSE, vote), ("an acknowledgement", rawpeer.ACK, huge),
             ("an acknowledgement of a new leader", rawpeer.ACK_NEWLEADER, huge + b"\0"), ("leadership", rawpeer.TIMEOUT_NOW, b""),
             ("an end of synchronisation", rawpeer.UPTODATE, huge)]
    with unmoved_but_away():
        for what, kind, body in kinds:
            peer, epoch, session = as_traitor()
            with peer:
                peer.send(frame(kind, struct.pack("<IQ", epoch, session) + body))
                try:
                    peer.closed(1.0)
                    outcome = "the connection is closed"
                except AssertionError:
                    outcome = "ignored"
            print("# %s of an observer: %s" % (what, outcome), flush=True)


@case
def sec_8_no_quorum_with_an_observer():
    """The leader, cut off from all voters, with an observer that acknowledges everything: it acknowledges nothing."""
    with traitor_away():
        leader = E.whole()
        peer, epoch, session = as_traitor()
        with peer:
            for other in VOTERS:
                if other != leader:
                    lab("cut", leader, other)
            stop = threading.Event()

            def acknowledge():
                n = 0
                while not stop.wait(0.01):
                    n += 1
                    with contextlib.suppress(OSError, ssl.SSLError):
                        peer.send(frame(rawpeer.ACK, struct.pack("<IQQ", epoch, session, n)))
            thread = threading.Thread(target=acknowledge)
            thread.start()
            try:
                status, words = attempt("convenectl", "--timeout=3s", "create", "/never", host=leader)
            finally:
                stop.set()
                thread.join()
                lab("heal")
            assert status in (6, 9), (status, words)
        E.whole()
        TRAFFIC.all_write(E.up())


@case
def sec_9_replay():
    """The bytes of a good connection, once more."""
    with unmoved_but_away():
        peer, epoch, session = as_traitor()
        with peer:
            peer.send(forward(epoch, session, 1, "unix", "1000@h4", "/lab/own/h4-0/8888888"))
            wait("it is done", lambda: exists("/lab/own/h4-0/8888888"))
        E[E.leader()].call(TREE, "Delete", "sia{sv}", ("/lab/own/h4-0/8888888", -1, {}))
        with rawpeer.plain(E.leader(), TRAITOR) as again:
            again.sendall(peer.sent)
            drained(again)
        TRAFFIC.all_write(E.up())
        assert not exists("/lab/own/h4-0/8888888"), "it was done again"


def drained(connection):
    """Reads until the other side closes."""
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        raise AssertionError("the member does not close the connection")
    except OSError:
        pass


@case
def urandom():
    """Noise, before TLS, and within it with a member's key."""
    with unmoved_but_away():
        for host in VOTERS:
            for n in range(20):
                with rawpeer.plain(host) as s, contextlib.suppress(OSError):
                    s.sendall(os.urandom(1 << (n % 17)))
        leader = E.leader()
        for _ in range(5):
            with contextlib.suppress(OSError, ssl.SSLError), Peer(leader, member_key(TRAITOR), TRAITOR) as peer:
                peer.send(os.urandom(4096))
                peer.closed()
        # After a good hello, too: then it is kept out for a while, and so is the true one.
        with contextlib.suppress(OSError, ssl.SSLError), as_traitor()[0] as peer:
            peer.send(os.urandom(4096))
            peer.closed()


def memory_mib(host):
    status = read("/proc/%d/status" % agent_pid(host))
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def p99(begin, end):
    took = sorted(op.end - op.call for op in TRAFFIC.ops(VOTERS) if op.ok and op.kind in ("set", "create") and begin <= op.call < end)
    return 1000 * took[len(took) * 99 // 100]


@case
def sec_10_half_open():
    """Connections that begin a handshake and do not end it, a thousand at a time, and some that go on byte by byte."""
    rawpeer.raise_files_max()
    leader = E.whole()
    begin, memory = time.monotonic(), memory_mib(leader)
    TRAFFIC.all_write(VOTERS, times=100)
    calm, begin, peak, made = p99(begin, time.monotonic()), time.monotonic(), 0.0, 0
    start = bytes.fromhex("16030100f8010000f40303")
    with unmoved():
        while made < HALF_OPEN:
            held = []
            try:
                for n in range(HALF_OPEN_AT_ONCE):
                    held.append(rawpeer.plain(leader))
                    with contextlib.suppress(OSError):
                        held[-1].sendall(start[:n % len(start)])
                    made += 1
                TRAFFIC.all_write(VOTERS)
                for byte in start:
                    for s in held[::50]:
                        with contextlib.suppress(OSError):
                            s.sendall(bytes([byte]))
                peak = max(peak, memory_mib(leader) - memory)
            finally:
                for s in held:
                    s.close()
        attacked = p99(begin, time.monotonic())
    print("# %d half-open connections in %.1f s: 99%% of updates within %.1f ms (without: %.1f), memory +%.1f MiB" % (
        made, time.monotonic() - begin, attacked, calm, peak), flush=True)
    assert peak < 200, "memory grew by %.1f MiB" % peak


@case
def sec_26_feature_level():
    """A program that can do less than the ensemble needs."""
    with unmoved_but_away():
        leader = E.leader()
        mark = Mark(leader)
        with Peer(leader, member_key(TRAITOR), TRAITOR) as peer:
            peer.send(traitor_hello(level=0))
            peer.closed()
        print("# %s" % mark.wait("feature level 1", "no more than 0"), flush=True)


@case
def sec_24_clone():
    """A copy of a machine: the same disk twice, and nobody can tell which is right, so that neither is in."""
    leader = E.whole()
    mark = Mark(leader)
    for _ in range(3):
        with contextlib.suppress(OSError, ssl.SSLError), Peer(leader, member_key(TRAITOR)) as peer:
            peer.send(traitor_hello())
            peer.closed(5.0)
    print("# %s" % mark.wait("runs twice with the same disk"), flush=True)
    TRAFFIC.all_write(VOTERS)
    E.whole()                               # alone again, it is let in


@case
def sec_24_old_image():
    """A voter's disk as it was some time ago: it has acknowledged what it does not have any more."""
    victim = next(host for host in VOTERS if host != E.whole())
    image, old = "%s/hosts/%s/disk.img" % (STORE, victim), FILES + "/old.img"
    E.down.add(victim)
    lab("stop", victim)
    sh(["cp", "--sparse=always", image, old])
    E.boot(victim)
    E.whole()
    TRAFFIC.all_write(times=30)
    E.down.add(victim)
    lab("stop", victim)
    E[victim].close()
    sh(["cp", "--sparse=always", old, image])
    marks = [Mark(host) for host in VOTERS if host != victim]
    E.boot(victim)
    E.whole()
    told = [line for mark in marks for line in said(mark.host, mark.at)] + said(victim)
    assert any("has lost what it had said was durable" in line for line in told), "nobody has noticed"
    print("".join("# %s\n" % line for line in told if "durable" in line), end="", flush=True)
    TRAFFIC.all_write()


@case
def sec_5_removed_while_connected():
    leader = E.whole()
    before = connections(leader, TRAITOR)
    assert before, "h4 is not connected"
    E.down.add(TRAITOR)
    E[leader].call(MANAGER, "RemoveMember", "st", (TRAITOR, 0))
    begin = time.monotonic()
    wait("its connections are closed", lambda: not connections(leader, TRAITOR), CLOSED_SEC_MAX * 5)
    took = time.monotonic() - begin
    assert took <= CLOSED_SEC_MAX, "closed after %.2f s" % took
    for host in VOTERS:
        with Peer(host, member_key(TRAITOR), TRAITOR) as peer:
            peer.send(traitor_hello())
            assert "is of no member" in objection(peer)
    print("# closed %.2f s after the removal, and refused since" % took, flush=True)


def connections(host, other):
    """Established connections with another's address, from the kernel's table, which has it as a number in hexadecimal."""
    remote = "%08X" % struct.unpack("<I", bytes([10, 77, 0, int(other[1:])]))[0]
    rows = [line.split() for line in read("/proc/%d/net/tcp" % top_of(host)).splitlines()[1:]]
    return [row for row in rows if row[2].startswith(remote + ":") and row[3] == "01"]


@case
def history_is_linearizable_and_nothing_is_lost():
    TRAFFIC.judge()


if __name__ == "__main__":
    try:
        main("mesh", E.hosts)
    finally:
        if TRAFFIC:
            TRAFFIC.__exit__()
        shutil.rmtree(FILES)
