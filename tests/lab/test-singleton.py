# SPDX-License-Identifier: LGPL-2.1-or-later
"""Units that run on one of three hosts at a time, one fault after the other, and a witness outside that sees every start and every end.

Nothing ever runs twice, but for a host that was frozen as a whole: what runs there acts for an instant after it thaws, before it is stopped;
that instant is printed, and the witness refuses its token. For each fault the time until it runs elsewhere is printed.

"fast" has a short session and ends at SIGTERM; "slow" has the default session and ignores SIGTERM, so that each stop takes all the
time it may.

LAB_ROUNDS: of each fault (1; 30 for figures, with LAB_TEST_SEC=7200).
LAB_PROFILES: which of the two the faults are for ("fast"; "fast slow" for both).
"""

import os
import signal
import time

from cgroup import cg, cg_procs
from ensemble import UP_SEC, Ensemble, agent_pid, attempt, kill_agent
from host import start, wait_up
from labtest import case, count, ctl, ctl_json, lab, main, median, run, show, state, status_of, wait
from state import Lock, config, leader
from switch import apply_links, links
from util import poke, read
from witness import SCRIPT, Witness

ROUNDS = count("LAB_ROUNDS", 1)
SINGLETONS = "org.convene1.Singletons"
E = Ensemble(3)
W = None
ELECTION = "[Ensemble]\nElectionTimeout=300ms\n"
# of the fast profile, which convene.singleton(5) describes
PROFILES = {
    "fast": ("--session-timeout=1500ms", "--stop-timeout=200ms"),
    "slow": ("--stop-timeout=2s",),
}
BY_HAND = "two"
NAMES = os.environ.get("LAB_PROFILES", "fast").split()
assert NAMES and set(NAMES) <= set(PROFILES), "LAB_PROFILES names some of: " + " ".join(PROFILES)
ELSEWHERE_SEC = {"fast": 15.0, "slow": 40.0}
UNIT = """[Unit]
Description=Lab singleton %N
[Service]
ExecStart=/usr/local/bin/lab-singleton %N {how}
TimeoutStopSec=90s
[Install]
WantedBy=multi-user.target
"""
MORE = ["more@1", "more@2", "more"]     # with those above five at boot, two of them instances of a template
TIMER = """[Timer]
OnActiveSec=10ms
OnUnitInactiveSec=100ms
AccuracySec=1ms
[Install]
WantedBy=timers.target
"""
TIMED = """[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=sh -c "timeout 0.1 /usr/local/bin/lab-singleton tick || :"
TimeoutStopSec=1s
"""


def put(path, text, host, mode="644"):
    run("sh", "-c", "mkdir -p $(dirname {0}) && cat >{0} && chmod {1} {0}".format(path, mode), host=host, stdin=text)


def prepare(host):
    put("/usr/local/bin/lab-singleton", SCRIPT, host, "755")
    for name in list(PROFILES) + MORE:
        put("/etc/systemd/system/%s.service" % name.replace("@1", "@").replace("@2", "@"), UNIT.format(how="stubborn" if name == "slow" else ""), host)
    put("/etc/systemd/system/tick.timer", TIMER, host)
    put("/etc/systemd/system/tick.service", TIMED, host)
    put("/etc/convene/convened.conf.d/61-fast.conf", ELECTION, host)


def row(name, host):
    rows = ctl_json("singleton", "status", name, host=host)
    assert len(rows) == 1, rows
    return rows[0]


def settled(name, among=None, seconds=UP_SEC):
    """The one host on which it runs, once it does and the agent of that host says so."""
    def one():
        there = W.running(name)
        return len(there) == 1 and there[0]["host"] in (among or E.hosts) and there[0]
    start = wait("%s runs on one host" % name, one, seconds)
    wait("%s says that it leads" % start["host"], lambda: row(name, start["host"])["state"] == "leading", seconds)
    return start["host"]


def no_overlaps(since, name=None):
    found = [e for e in W.of("overlap", since, name) if e["name"] != BY_HAND]
    assert not found, "ran twice: %s" % [(e["name"], e["host"], e["other"], "%.1f ms" % (1000 * (e["at"] - e["begin"]))) for e in found]
    stale = [e for e in W.of("start", since, name) if e["stale"] and e["name"] != BY_HAND]
    assert not stale, "started with an old token: %s" % stale


def alone(name, host):
    """It goes on there, and nowhere else; nothing has ended."""
    there = W.running(name)
    assert [e["host"] for e in there] == [host], there


#
# Faults: strike() returns the instant from which the time counts; mend() puts things right.
#

def unit_pids(host, part):
    """The processes of a unit, as seen from here."""
    return [pid for pid in cg_procs(host) if part in read("/proc/%d/cgroup" % pid, "")]


def signal_agent(number):
    def strike(name, host):
        pid = agent_pid(host)
        now = time.monotonic()
        os.kill(pid, number)
        return now
    return strike


def kill_for_good(name, host):
    """Killed, and systemd does not start it again."""
    run("sh", "-c", "mkdir -p /run/systemd/system/convened.service.d; printf '[Service]\\nRestart=no\\n' "
        ">/run/systemd/system/convened.service.d/lab.conf; systemctl daemon-reload", host=host)
    now = time.monotonic()
    kill_agent(host)
    return now


def start_again(name, host):
    run("sh", "-c", "rm /run/systemd/system/convened.service.d/lab.conf; systemctl daemon-reload; systemctl reset-failed convened.service; "
        "systemctl start convened.socket convened.service", host=host)


def stop_guard(name, host):
    pids = unit_pids(host, "convene-leader@%s.service" % name) or unit_pids(host, "convene-leader@")
    assert pids, "no guard runs on %s" % host
    now = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return now


def isolate(name, host):
    E.down.add(host)
    with Lock():
        wanted = links()
        wanted["isolated"].append(host)
        now = time.monotonic()
        apply_links(wanted)
    return now


def heal(name, host):
    E.heal(host)


def pause(name, host):
    E.down.add(host)
    now = time.monotonic()
    lab("pause", host)
    return now


def crash(name, host):
    """The time counts from when its processes were dead."""
    since = time.monotonic()
    E.crash(host)
    return W.wait("%s is dead" % host, lambda e: e["event"] == "end" and (e["name"], e["host"]) == (name, host), since)["at"]


def boot(name, host):
    E.boot(host)
    W.attend(host)


def stop_unit(name, host):
    now = time.monotonic()
    run("systemctl", "stop", name + ".service", host=host)
    return now


def release(name, host):
    ctl("singleton", "release", name, host=host)


def move(name, host):
    now = time.monotonic()
    E[host].call(SINGLETONS, "Move", "ssa{sv}", (name, "", {}), seconds=ELSEWHERE_SEC[name])
    return now


def shut_down(name, host):
    E.down.add(host)
    E[host].close()
    now = time.monotonic()
    lab("stop", host)
    return now


def nothing(name, host):
    """It mends itself."""


def figures(fault, name, times, overlaps=()):
    def text(values):
        return "median %5.0f, maximum %5.0f" % (1000 * median(values), 1000 * max(values))
    print("# %-24s %s, %2d rounds: runs again after ms: %s%s   load %.1f" % (
        fault, name, len(times), text(times), overlaps and "   acted after the thaw for ms: " + text(overlaps) or "", os.getloadavg()[0]),
        flush=True)


def place(name, n):
    """Where it runs; by turns on the host that leads the ensemble and on another."""
    leader = E.whole()
    host = settled(name)
    if (host == leader) != (n % 2 == 0):
        to = leader if n % 2 == 0 else E.followers()[n // 2 % 2]
        E[to].call(SINGLETONS, "Hold", "sba{sv}", (name, False, {}))    # it may stand back, after what was done to it last
        wait("%s stands by" % to, lambda: row(name, to)["state"] == "standing-by")
        since = time.monotonic()
        E[host].call(SINGLETONS, "Move", "ssa{sv}", (name, to, {}), seconds=ELSEWHERE_SEC[name])
        W.wait("%s is on %s" % (name, to), lambda e: e["event"] == "start" and (e["name"], e["host"]) == (name, to), since)
        host = settled(name)
    return host


def rounds(fault, strike, mend, thaws=False, here=False):
    """THAWS: it acts once more when it is mended.  HERE: it may go on where it was, if the agent is back before the session is over."""
    for name in NAMES:
        times, instants = [], []
        for n in range(ROUNDS):
            host = place(name, n)
            begin = time.monotonic()
            struck = strike(name, host)
            try:
                begun = W.wait("%s runs elsewhere" % name, lambda e: e["event"] == "start" and e["name"] == name and
                               (here or e["host"] != host), begin, ELSEWHERE_SEC[name])
            finally:
                thawed = mend(name, host)
            times.append(begun["at"] - struck)
            E.whole()
            if thaws:
                end = W.wait("what was frozen has ended", lambda e: e["event"] == "end" and (e["name"], e["host"]) == (name, host), begin)
                assert end["refused"] > 0 or end["last"] < begun["at"], end
                instants.append(max(0.0, end["at"] - thawed))
            else:
                no_overlaps(begin)
            settled(name)
        figures(fault, name, times, instants)


def resume(name, host):
    """Returns the instant from which it acts again."""
    with Lock():
        now = time.monotonic()
        poke(cg(host) + "/cgroup.freeze", "0")
    E.down.discard(host)
    return now


#
# Cases
#

@case
def enabled_on_three_hosts():
    global W
    for host in E.hosts:
        prepare(host)
    E.form()
    W = Witness(E.hosts)
    for name, options in PROFILES.items():
        for host in E.hosts:
            run("systemctl", "daemon-reload", host=host)
            status, said = attempt("convenectl", "singleton", "enable", name, host=host)
            assert status == 2 and "may take 90s" in said and "--stop-timeout=" in said, said
            ctl("singleton", "enable", name, *options, host=host)
    for name in PROFILES:
        host = settled(name)
        rows = {h: row(name, h) for h in E.hosts}
        assert sorted(r["state"] for r in rows.values()) == ["leading", "standing-by", "standing-by"], rows
        assert len({r["token"] for r in rows.values()}) == 1 and {r["host"] for r in rows.values()} == {host}, rows
        assert [e["token"] for e in W.running(name)] == [rows[host]["token"]]
    no_overlaps(0)


def run_by_hand(name, host, token):
    """The same script, without convene: as a singleton would be that runs where it must not."""
    put("/run/lab/%s.token" % name, token, host)
    run("systemd-run", "--quiet", "--unit=" + name, "--setenv=CONVENE_TOKEN=" + token,
        "--property=LoadCredential=convene.token:/run/lab/%s.token" % name, "/usr/local/bin/lab-singleton", name, host=host)


@case
def witness_is_not_blind():
    """Two at a time are seen, and the one with the older token is refused."""
    since = time.monotonic()
    run_by_hand(BY_HAND, "h1", "5")
    W.wait("the first runs", lambda e: e["event"] == "start" and (e["name"], e["host"]) == (BY_HAND, "h1"), since)
    run_by_hand(BY_HAND, "h2", "6")
    second = W.wait("the second runs", lambda e: e["event"] == "start" and (e["name"], e["host"]) == (BY_HAND, "h2"), since)
    assert second["beside"] == ["h1"] and not second["stale"], second
    run("systemctl", "stop", BY_HAND, host="h1")
    first = W.wait("the first ends", lambda e: e["event"] == "end" and (e["name"], e["host"]) == (BY_HAND, "h1"), since)
    assert first["refused"] > 0 and first["acts"] > 0, first
    overlap, = W.of("overlap", since, BY_HAND)
    assert (overlap["host"], overlap["other"]) == ("h1", "h2") and 0 < overlap["at"] - overlap["begin"] <= first["at"] - second["at"] + 0.1
    run_by_hand(BY_HAND, "h3", "4")
    third = W.wait("the third runs", lambda e: e["event"] == "start" and (e["name"], e["host"]) == (BY_HAND, "h3"), since)
    assert third["stale"], third
    for host in ("h2", "h3"):
        run("systemctl", "stop", BY_HAND, host=host)
    wait("all have ended", lambda: not W.running(BY_HAND))


@case
def standby_is_left_in_peace():
    """What an administrator does there out of habit does no harm."""
    host = settled("fast")
    other = next(h for h in E.hosts if h != host)
    run("systemctl", "start", "fast.service", host=other)
    run("systemctl", "restart", "fast.service", host=other)
    run("systemctl", "stop", "fast.service", host=other)
    run("systemctl", "daemon-reload", host=other)
    assert run("systemctl", "list-jobs", "--no-legend", host=other).strip() in ("", "No jobs running.")
    assert state("fast.service", host=other) == "inactive" and run("systemctl", "is-system-running", host=other).strip() == "running"
    run("systemctl", "start", "convene-candidate@fast.target", host=other)
    alone("fast", host)
    no_overlaps(0)


@case
def leader_is_administered():
    """Restart, reload and edit keep leadership; the token is the same."""
    host = settled("fast")
    token, since = row("fast", host)["token"], time.monotonic()
    for command in (("systemctl", "daemon-reload"), ("systemctl", "daemon-reexec"),
                    ("sh", "-c", "mkdir -p /etc/systemd/system/fast.service.d; printf '[Service]\\nNice=1\\n' "
                     ">/etc/systemd/system/fast.service.d/override.conf; systemctl daemon-reload")):
        run(*command, host=host)
        alone("fast", host)
    assert not W.of("end", since, "fast")
    run("systemctl", "restart", "fast.service", host=host)
    W.wait("it is back", lambda e: e["event"] == "start" and e["name"] == "fast", since)
    assert settled("fast") == host and row("fast", host)["token"] == token
    assert show("fast.service", "Nice", host=host)["Nice"] == "1"
    no_overlaps(0)


@case
def agent_restarted_under_load():
    """Nothing bounces with the default session: not at a restart, nor when it is killed."""
    for n in range(ROUNDS):
        host = place("slow", n)
        since = time.monotonic()
        for _ in range(20):
            E[host].call("org.convene1.Tree", "Create", "saysa{sv}", ("/load-", b"x" * 4096, "persistent-sequential", {}))
        run("systemctl", "restart", "convened.service", host=host)
        E.whole()
        alone("slow", host)
        old = agent_pid(host)
        kill_agent(host)
        wait("another agent runs on " + host, lambda: agent_pid(host) not in (0, old))
        E.whole()
        assert settled("slow") == host
        ended = W.of("end", since, "slow")
        assert not ended, "bounced: %s" % ended
    no_overlaps(0)


@case
def agent_killed_for_good():
    rounds("agent killed", kill_for_good, start_again)


@case
def agent_stopped():
    """systemd's watchdog ends the agent and starts another."""
    rounds("agent SIGSTOP", signal_agent(signal.SIGSTOP), nothing, here=True)


@case
def guard_stopped():
    rounds("guard SIGSTOP", stop_guard, release)


@case
def host_isolated():
    rounds("host isolated", isolate, heal)


@case
def host_without_power():
    rounds("power cut", crash, boot)


@case
def unit_stopped():
    rounds("systemctl stop", stop_unit, release)


@case
def unit_moved():
    rounds("singleton move", move, nothing)


@case
def host_rebooted():
    rounds("orderly reboot", shut_down, boot)


@case
def host_paused_and_resumed():
    rounds("paused and resumed", pause, resume, thaws=True)


@case
def quorum_lost_and_regained():
    for name in NAMES:
        times = []
        for n in range(ROUNDS):
            host = place(name, n)
            begin = time.monotonic()
            with Lock():
                wanted = links()
                wanted["isolated"] = list(E.hosts)
                apply_links(wanted)
            W.wait("it stops where nobody is heard", lambda e: e["event"] == "end" and (e["name"], e["host"]) == (name, host), begin,
                   ELSEWHERE_SEC[name])
            lab("heal")
            healed = time.monotonic()
            begun = W.wait("it runs again", lambda e: e["event"] == "start" and e["name"] == name, begin, ELSEWHERE_SEC[name] * 2)
            times.append(begun["at"] - healed)
            E.whole()
            settled(name)
            no_overlaps(begin)
        figures("quorum regained", name, times)


@case
def timer_fires_on_one_host():
    """And what it starts is nowhere else, also when it is started by hand."""
    for host in E.hosts:
        ctl("singleton", "enable", "tick.timer", host=host)

    def fires_on(since):
        begun = W.wait("the timer fires", lambda e: e["event"] == "start" and e["name"] == "tick", since)
        W.wait("it fires again", lambda e: e["event"] == "start" and e["name"] == "tick", begun["at"] + 0.05)
        return begun["host"]
    since = time.monotonic()
    host = fires_on(since)
    for other in E.hosts:
        run("systemctl", "start", "tick.service", host=other)
    assert {e["host"] for e in W.of("start", since, "tick")} == {host}
    moved = time.monotonic()
    to = ctl("singleton", "move", "tick.timer", host=host).strip()
    assert to != host and fires_on(time.monotonic()) == to
    starts = [e["host"] for e in W.of("start", moved, "tick")]
    assert starts == sorted(starts, key=lambda h: h == to), "not in one piece: %s" % starts
    no_overlaps(since, "tick")
    for h in E.hosts:
        ctl("singleton", "disable", "tick.timer", host=h)


@case
def all_boot_at_once():
    """Five singletons; each runs once, and systemd is content everywhere."""
    for name in MORE:
        for host in E.hosts:
            ctl("singleton", "enable", name, "--stop-timeout=1s", host=host)
    for name in list(PROFILES) + MORE:
        settled(name)
    for host in E.hosts:
        run("sync", host=host)
    for host in E.hosts:
        E.crash(host)
    W.read()
    begin = time.monotonic()
    with Lock():
        start(E.hosts, config())
        for host in E.hosts:
            wait("%s has a network" % host, lambda: leader(host))
            W.attend(host)
        wait_up(E.hosts, config())
    E.down.clear()
    E.whole()
    for name in list(PROFILES) + MORE:
        settled(name)
    print("# booted, and five singletons run, after %.1f s" % (time.monotonic() - begin), flush=True)
    for host in E.hosts:
        assert run("systemctl", "is-system-running", "--wait", host=host).strip() == "running"
    for name in list(PROFILES) + MORE:
        assert len(W.of("start", begin, name)) == 1, W.of("start", begin, name)
    no_overlaps(begin)


@case
def disabled_again():
    """Links and files are as if nothing had been."""
    since = time.monotonic()
    for h in E.hosts:
        ctl("singleton", "disable", "fast", host=h)
        assert status_of("test", "-e", "/etc/systemd/system/fast.service.d/50-convene-singleton.conf", host=h) == 1
        assert run("systemctl", "is-enabled", "fast.service", host=h, status=None).strip() == "disabled"
    assert not W.running("fast")
    no_overlaps(since)


if __name__ == "__main__":
    main("singleton", E.hosts)
