# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of man/examples that are made of units, on three hosts: what each README says is typed there, and has to work.

Those that need no systemd are run by tests/bus/test-examples.py.
"""

import re

from ensemble import Ensemble
from labtest import case, ctl, main, run, status_of, wait

EXAMPLES = "/usr/share/doc/convene/examples"
E = Ensemble(3)


def blocks(example):
    """What there is to type, by the line that stands before it."""
    found, title = {}, None
    for line in run("cat", "%s/%s/README" % (EXAMPLES, example)).splitlines():
        if line.startswith("    # "):
            found.setdefault(title, []).append(line[len("    # "):])
        elif line.strip():
            title = line
    return found


def type_in(example, title, hosts):
    """Each line as root, and none may fail."""
    lines = [lines for head, lines in blocks(example).items() if head.startswith(title)]
    assert len(lines) == 1, "%s: no block %r" % (example, title)
    for host in hosts:
        run("bash", "-euc", "\n".join(lines[0]), host=host)


def put(path, text, host):
    run("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", path, stdin=text, host=host)


def said(host, what):
    """What the job has said there, as (seconds since 1970, words)."""
    lines = run("journalctl", "-t", "report", "-o", "short-unix", host=host, status=None).splitlines()
    parts = [re.match(r"(\d+\.\d+) \S+ report\[\d+\]: (.*)", line) for line in lines]
    return [(float(p.group(1)), p.group(2)) for p in parts if p and p.group(2).split()[1:2] == [what]]


def everywhere(what):
    return sorted(line for host in E.hosts for line in said(host, what))


def one_at_a_time(lines):
    """Whoever begins ends before anybody else begins."""
    for (_, begin), (_, end) in zip(lines[::2], lines[1::2]):
        assert begin.split()[0] == "begin" and end.split()[0] == "end" and begin.split()[3] == end.split()[3], lines


@case
def ensemble_of_three():
    E.form()


@case
def cron_installed():
    """It fires with the next minute; what comes of it is looked at by a later case."""
    type_in("cron-once", "On every host, the cron job", E.hosts)
    for host in E.hosts:
        run("sed", "-i", "s,^[*]/5 ,* ,", "/etc/cron.d/report", host=host)
        run("systemctl", "start", "cron.service", host=host)


@case
def timer_fires_on_one_host():
    type_in("cron-once", "On every host, the timer", E.hosts)
    for host in E.hosts:
        put("/etc/systemd/system/report.timer.d/often.conf", "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nAccuracySec=1ms\n", host)
        run("systemctl", "daemon-reload", host=host)
        run("systemctl", "try-restart", "report.timer", host=host)

    def fires(since):
        lines = [line for line in everywhere("timer") if line[0] > since]
        return len(lines) >= 4 and lines
    first = {words.split()[3] for _, words in wait("the timer has fired twice", lambda: fires(0), 30)}
    assert len(first) == 1, first
    moved = ctl("singleton", "move", "report.timer").strip()
    since = max(at for at, _ in everywhere("timer"))
    wait("it fires elsewhere", lambda: fires(since), 30)
    lines = everywhere("timer")                 # before the hosts leave, one after the other
    for host in E.hosts:
        ctl("singleton", "disable", "report.timer", host=host)
    hosts = [words.split()[3] for _, words in lines]
    assert set(hosts) == {moved, *first} and hosts == sorted(hosts, key=lambda h: h == moved), lines
    tokens = [int(words.split()[-1]) for _, words in lines if words.startswith("begin")]
    assert tokens == sorted(tokens) and len(set(tokens)) == 2, tokens


def page(host, tls=False):
    """What nginx says, or None."""
    if tls:
        return run("sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect 127.0.0.1:8443 2>/dev/null",
                   host=host, status=None)
    return run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && timeout 5 cat <&3", host=host,
               status=None)


@case
def configuration_pushed():
    type_in("config-push", "On one host", E.hosts[:1])
    type_in("config-push", "On every host", E.hosts)
    for host in E.hosts:
        wait("the site of " + host, lambda: "hello from " + host in page(host), 20)
        assert "hello from " + host in page(host, tls=True)
    pids = [run("systemctl", "show", "--property=MainPID", "nginx.service", host=host) for host in E.hosts]
    type_in("config-push", "To see it work", E.hosts[1:2])
    for host in E.hosts:
        wait("the other word on " + host, lambda: "greetings from " + host in page(host), 20)
    assert [run("systemctl", "show", "--property=MainPID", "nginx.service", host=host) for host in E.hosts] == pids, "not reloaded"


def subject(host):
    return run("sh", "-c", "openssl s_client -connect 127.0.0.1:8443 </dev/null 2>/dev/null | openssl x509 -noout -subject", host=host, status=None)


@case
def key_pushed():
    """A new key: nginx is restarted with it everywhere.  Nobody but nginx.service may read it."""
    run("sh", "-ec", "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=another -days 365 -keyout /root/site.key -out /root/site.crt 2>&1\n"
        "cat /root/site.key /root/site.crt | convenectl set /convene/credentials/nginx.service/site.pem -")
    for host in E.hosts:
        wait("the new key on " + host, lambda: "another" in subject(host), 20)
        assert status_of("convenectl", "get", "/convene/credentials/nginx.service/site.pem", host=host, user="alice") == 5
    for host in E.hosts:
        run("systemctl", "disable", "--now", "nginx.service", host=host)


@case
def cron_has_fired_on_one_host():
    once = wait("a minute has passed", lambda: everywhere("cron-once"), 70)
    begun = [int(at) // 60 for at, words in everywhere("cron-once") if words.startswith("begin")]
    assert begun and len(begun) == len(set(begun)), "done twice in a minute: %s" % once
    wait("the other line has, too", lambda: len(everywhere("cron-lock")) >= 2, 10)
    one_at_a_time(everywhere("cron-lock"))
    for host in E.hosts:
        run("systemctl", "stop", "cron.service", host=host)


if __name__ == "__main__":
    main("examples", E.hosts)
