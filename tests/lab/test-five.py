# SPDX-License-Identifier: LGPL-2.1-or-later
"""Five hosts: two lost are not missed; of three lost the others say so and acknowledge nothing, until one is back.

Clients on all hosts write and read throughout, and their history is judged at the end.
"""

import os
import time

from ensemble import Ensemble, attempt
from labtest import case, count, ctl, ctl_json, main, wait
from traffic import Traffic

E = Ensemble(5)
TRAFFIC = None
LOST = []
NOTICE_SEC = 30.0
UNREACHABLE, FATE_UNKNOWN = 6, 9        # exit statuses of convenectl


def figures(what, gap):
    print("# %s: nobody was told of an update for %.0f ms, load %.1f" % (what, 1000 * gap, os.getloadavg()[0]), flush=True)


def lose(host):
    E.crash(host)
    LOST.append(host)


@case
def five_hosts_are_one_ensemble():
    global TRAFFIC
    E.form()
    TRAFFIC = Traffic(E, clients_per_host=2, seed=count("LAB_SEED", 1))
    TRAFFIC.__enter__()
    said = E.status("h5")
    assert (said["voters"], said["voters_up"], said["quorum"], said["may_fail"]) == (5, 5, 3, 2), said


@case
def two_lost_and_the_rest_go_on():
    leader = E.whole()
    begin = time.monotonic()
    lose(leader)
    lose(E.followers()[0])
    rest = E.up()
    TRAFFIC.all_write(rest, times=10)
    figures("two of five, the leader among them, without power", TRAFFIC.gap(begin, time.monotonic(), rest))
    leader = E.whole()
    said = wait("the leader knows who is gone", lambda: (lambda s: s["voters_up"] == 3 and s)(E.status(leader)), NOTICE_SEC)
    assert (said["may_fail"], said["serving"]) == (0, True), said
    assert any("one more voter" in text for text in said["problems"]), said["problems"]


def reason(said):
    return next((line.strip() for line in said.splitlines() if line.strip().startswith("Reason:")), "")


def says_who(host):
    """What convenectl status prints, once its reason names all that are lost."""
    status, said = attempt("convenectl", "status", host=host)
    assert status == UNREACHABLE, (status, said)
    return said if all(lost in reason(said) for lost in LOST) else None


@case
def three_lost_and_nothing_is_acknowledged():
    lose(E.followers()[0])
    silent, rest = time.monotonic(), E.up()
    for host in rest:
        wait("%s does not serve" % host, lambda: E[host].try_get("Serving") is False, NOTICE_SEC)
        said = wait("%s says who is missing" % host, lambda: says_who(host), NOTICE_SEC)
        print("# %s says after %.1f s: %s" % (host, time.monotonic() - silent, reason(said)), flush=True)
        assert "Serving: no" in said and "3 of 5 voters are needed" in said, said
        # What can be known here is answered.
        said = E.status(host)
        assert (said["role"], said["voters"], said["voters_up"], said["quorum"]) == ("looking", 5, 2, 3), said
        assert len(ctl_json("member", "list", host=host)) == 5
    for host in rest:
        status, said = attempt("convenectl", "--timeout=2s", "create", "/never", host=host)
        assert status in (UNREACHABLE, FATE_UNKNOWN), (status, said)
        status, said = attempt("convenectl", "--timeout=2s", "get", "--linearizable", "/lab", host=host)
        assert status == UNREACHABLE, (status, said)
    # An answer that was on its way when the quorum was lost may have come until now, but to no call made since.
    told = [op for op in TRAFFIC.ops() if op.ok and op.kind != "peek" and op.call > silent]
    assert not told, "; ".join(map(str, told[:5]))


@case
def one_returns_and_they_go_on():
    host = LOST.pop()
    E.boot(host)
    begin = time.monotonic()
    E.whole()
    TRAFFIC.all_write(E.up())
    print("# one of three lost came back: updates go on after %.0f ms of boot and election" % (1000 * (time.monotonic() - begin)))
    ctl("create", "/again", host=host)


@case
def all_return():
    while LOST:
        E.boot(LOST.pop())
    E.whole()
    TRAFFIC.all_write()
    said = E.status(E.leader())
    assert (said["voters_up"], said["may_fail"], said["problems"]) == (5, 2, []), said


@case
def history_is_linearizable_and_nothing_is_lost():
    TRAFFIC.judge()


if __name__ == "__main__":
    try:
        main("five", E.hosts)
    finally:
        if TRAFFIC:
            TRAFFIC.__exit__()
