# SPDX-License-Identifier: LGPL-2.1-or-later
"""A restart of the agent, orderly or not, is invisible to what still runs; what ended meanwhile is gone when it is back."""

from labtest import case, ctl_json, exists, facts, main, run, show, state, status_of, wait

STAYS, ENDS = "stays.service", "ends.service"


def path(unit):
    return "/units/%s/h1" % unit.partition(".")[0]


def session(unit):
    return facts(path(unit))[0]["ephemeral_owner"]


def stop_agent():
    run("systemctl", "stop", "convened.socket", "convened.service")


def start_agent():
    run("systemctl", "start", "convened.socket", "convened.service")


def kill_agent():
    run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "convened.service")


def start_unit(unit):
    run("systemctl", "start", unit)
    wait("%s in the tree" % unit, lambda: exists(path(unit)))


def agent_is_new(before):
    return lambda: show("convened.service", "MainPID", "ActiveState") != before and \
        state("convened.service") == "active" and status_of("convenectl", "ping") == 0


@case
def units_are_declared():
    for unit in (STAYS, ENDS):
        name = unit.partition(".")[0]
        run("sh", "-c", "mkdir -p /etc/convene/presence.d; cat >/etc/convene/presence.d/%s.conf" % name,
            stdin="[Presence]\nUnit=%s\nPath=/units/%%N/%%H\n" % unit)
        run("sh", "-c", "cat >/etc/systemd/system/" + unit, stdin="[Service]\nExecStart=sleep infinity\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "convened.service")
    for unit in (STAYS, ENDS):
        start_unit(unit)


@case
def systemctl_restart_keeps_the_session():
    before = session(STAYS), session(ENDS)
    run("systemctl", "restart", "convened.service")
    assert (session(STAYS), session(ENDS)) == before


@case
def kill_keeps_the_session():
    before = session(STAYS), session(ENDS)
    agent = show("convened.service", "MainPID", "ActiveState")
    kill_agent()
    wait("the agent is back", agent_is_new(agent))
    assert (session(STAYS), session(ENDS)) == before


@case
def what_ended_while_it_was_stopped_is_gone():
    before = session(STAYS)
    stop_agent()
    run("systemctl", "stop", ENDS)
    start_agent()
    wait("%s out of the tree" % ENDS, lambda: not exists(path(ENDS)))
    assert session(STAYS) == before


@case
def what_was_restarted_while_it_was_stopped_is_new():
    start_unit(ENDS)
    before = session(STAYS), session(ENDS)
    stop_agent()
    run("systemctl", "restart", ENDS)
    start_agent()
    wait("a new session for %s" % ENDS, lambda: exists(path(ENDS)) and session(ENDS) != before[1])
    assert session(STAYS) == before[0]
    ghosts = [s for s in ctl_json("sessions", "list") if before[1] in str(s)]
    assert not ghosts, ghosts


@case
def what_ended_just_before_a_kill_is_gone():
    for _ in range(5):
        agent = show("convened.service", "MainPID", "ActiveState")
        before = session(STAYS)
        run("sh", "-c", "kill -STOP %s; systemctl kill -s KILL %s; kill -KILL %s" %
            (agent["MainPID"], ENDS, agent["MainPID"]))
        wait("the agent is back", agent_is_new(agent))
        wait("%s out of the tree" % ENDS, lambda: not exists(path(ENDS)))
        assert session(STAYS) == before
        run("systemctl", "reset-failed", ENDS, "convened.service")
        start_unit(ENDS)


@case
def what_started_while_it_was_stopped_appears():
    run("systemctl", "stop", ENDS)
    wait("%s out of the tree" % ENDS, lambda: not exists(path(ENDS)))
    stop_agent()
    run("systemctl", "start", ENDS)
    start_agent()
    wait("%s in the tree" % ENDS, lambda: exists(path(ENDS)))


if __name__ == "__main__":
    main("restart")
