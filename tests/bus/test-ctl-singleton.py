#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-singleton.py - "convenectl singleton enable" and "disable": files, links and what is asked of systemd, and that nothing is left of
# an attempt that fails; see ctl_harness.py
#
# A host is a mount namespace with an /etc of its own, and a bus on which unit-manager answers.

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

from ctl_harness import (ACCESS, BROKER_CONFIGURATION, CONFLICT, CONVENECTL, CONVENED, FAILURE, NOBODY, NO_NODE, OK, PATIENCE, UNREACHABLE, USAGE, Answer,
                         Running, Skip, bad, equal, good, here, main, wait_until)

MANAGER = os.environ["UNIT_MANAGER"]
DROP_IN, SETTINGS = "etc/systemd/system/{0}.d/50-convene-singleton.conf", "etc/convene/singleton.d/{0}.conf"

SERVICE = {"LoadState": "s loaded", "ActiveState": "s inactive", "FragmentPath": "s /usr/lib/systemd/system/web.service", "Type": "s simple",
           "KillMode": "s control-group", "SendSIGKILL": "b yes", "TimeoutStopUSec": "t 2000000", "TimeoutAbortUSec": "t 2000000",
           "TimeoutStopFailureMode": "s terminate", "ExecStop": "commands 0", "ExecStopPost": "commands 0", "FileState": "disabled"}
LOADED = {"LoadState": "s loaded", "ActiveState": "s inactive"}


def service(**more):
    return {**SERVICE, **more}


class Host:
    def __init__(self, units):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="convene-singleton-", dir=here.work))
        for directory in ("bin", "lib/convene", "etc/convene/singleton.d", "etc/systemd/system"):
            (self.root / directory).mkdir(parents=True)
        shutil.copy(CONVENECTL, self.root / "bin/convenectl")
        shutil.copy(CONVENED, self.root / "lib/convene/convened")
        (self.root / "etc/convene/convened.conf").write_text(f"[Agent]\nName=h1\nData={self.root}/store\n")
        (self.root / "broker.conf").write_text(BROKER_CONFIGURATION.format(socket=self.root / "bus"))
        units = {**{f"convene-leader@{name.removesuffix('.service').replace('@.', '@sample.')}.service": LOADED for name in units},
                 "convened.service": {**LOADED, "ActiveState": "s active"}, **units}
        (self.root / "units").write_text("".join(
            f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in properties.items()) for name, properties in units.items()))
        (self.root / "calls").touch()
        self.before = self.tree()

    def tree(self):
        return {str(path.relative_to(self.root)): path.read_text() if path.is_file() else None
                for path in (self.root / "etc").rglob("*")}

    def __enter__(self):
        if os.getuid() != 0:
            raise Skip("needs root")
        if not shutil.which("dbus-daemon"):
            raise Skip("dbus-daemon is not installed")
        if subprocess.run(self.inside("true"), stderr=subprocess.DEVNULL).returncode:
            raise Skip("no mount namespace can be made")
        self.daemon = Running(["dbus-daemon", f"--config-file={self.root}/broker.conf", "--nofork", "--print-address"])
        self.address = self.daemon.line()
        self.systemd = Running([MANAGER, self.address, str(self.root)])
        equal(self.systemd.line(), "ready")
        return self

    def __exit__(self, *what):
        for process in (self.systemd, self.daemon):
            process.close()

    def inside(self, *words):
        return ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(self.root / "etc"), *words]

    def run(self, *words, user=None, umask=-1):
        argv = self.inside(*(["setpriv", f"--reuid={user}", "--clear-groups"] if user else []), str(self.root / "bin/convenectl"), "singleton",
                           *words)
        (self.root / "calls").write_text("")
        return Answer(subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=2 * PATIENCE, umask=umask,
                                     env={**here.environment, "DBUS_SYSTEM_BUS_ADDRESS": self.address,
                                          "CONVENE_ADDRESS": f"unix:path={self.root}/agent"}))

    def good(self, *words):
        answer = self.run(*words)
        equal((answer.status, answer.err), (OK, b""))
        return answer.text

    def bad(self, status, *mentions, words, **more):
        """Fails so, and nothing is left of it."""
        before = self.tree()
        answer = self.run(*words, **more)
        text = answer.err.decode()
        assert answer.status == status and all(part in text for part in mentions), f"{words}: {answer}"
        equal(answer.out, b"")
        equal(self.tree(), before)
        return text

    def calls(self):
        return (self.root / "calls").read_text().splitlines()

    def read(self, pattern, name):
        return (self.root / pattern.format(name)).read_text()

    def lines(self, pattern, name):
        return [line for line in self.read(pattern, name).splitlines() if line and not line.startswith("#")]


ENABLE = ["Reload", "EnableUnitFiles {0}", "Reload", "ReloadOrTryRestartUnit convened.service", "StartUnit convene-candidate@{1}.target"]
DISABLE = ["StopUnit convene-candidate@{1}.target", "StopUnit {0}", "StopUnit convene-leader@{1}.service",
           "DisableUnitFiles convene-candidate@{1}.target", "Reload", "DisableUnitFiles {0}", "Reload",
           "ReloadOrTryRestartUnit convened.service"]


def calls(pattern, unit, *more):
    return [line.format(unit, unit.removesuffix(".service")) for line in pattern]


def test_service():
    with Host({"web.service": service(FileState="enabled"), "convene-candidate@web.target": LOADED}) as host:
        text = host.good("enable", "web", "--prefer=h2,h1", "--copies=2", "--stand-back=1min", "--session-timeout=4500ms")
        equal(host.lines(SETTINGS, "web"), ["[Singleton]", "Unit=web.service", "SessionTimeout=4500ms", "StopTimeout=2s", "Copies=2",
                                            "PreferredHosts=h2 h1", "StandBack=60s"])
        equal(host.lines(DROP_IN, "web.service"), [
            "[Unit]", "BindsTo=convene-leader@%N.service", "After=convene-leader@%N.service", "ConditionPathExists=/run/convene/leader/%N",
            "Wants=convene-candidate@%N.target",
            "[Service]", "EnvironmentFile=/run/convene-leader/%N.env", "LoadCredential=convene.token:/run/convene-leader/%N.token",
            "TimeoutStopSec=2s", "TimeoutAbortSec=2s",
            "[Install]", "WantedBy=", "RequiredBy=", "WantedBy=convene-leader@%N.service", "Also=convene-candidate@%N.target",
            "[X-Convene]", "Singleton=web.service", "FileState=enabled"])
        equal(text.splitlines(), ["/etc/convene/singleton.d/web.conf", "/etc/systemd/system/web.service.d/50-convene-singleton.conf",
                                  "convened does not answer here; web.service stands in no election before it does"])
        first = calls(ENABLE, "web.service")
        equal(host.calls(), first[:1] + ["DisableUnitFiles web.service"] + first[1:])

        # again: what is not given stays, and how the unit was before is not forgotten
        host.good("enable", "web.service", "--copies=3", "--stop-timeout=1500ms")
        equal(host.lines(SETTINGS, "web"), ["[Singleton]", "Unit=web.service", "SessionTimeout=4500ms", "StopTimeout=1500ms", "Copies=3",
                                            "PreferredHosts=h2 h1", "StandBack=60s"])
        assert "TimeoutStopSec=1500ms" in host.lines(DROP_IN, "web.service")
        assert "FileState=enabled" in host.lines(DROP_IN, "web.service")
        # what was written by hand, too
        with open(host.root / SETTINGS.format("web"), "a", encoding="ascii") as file:
            file.write("StandBackMax=2min\n# since the move\nX-Owner=web team\n")
        host.good("enable", "web.service", "--copies=2")
        text = host.read(SETTINGS, "web")
        assert "\nStandBackMax=2min\n# since the move\nX-Owner=web team\n" in text and "\nCopies=2\n" in text, text
        equal(text.count("Written by"), 1)
        assert "TimeoutStopSec=1500ms" in host.lines(DROP_IN, "web.service")

        host.good("disable", "web")
        equal(host.tree(), host.before)
        after = calls(DISABLE, "web.service")
        equal(host.calls(), after[:6] + ["EnableUnitFiles web.service"] + after[6:])
        host.bad(NO_NODE, "no singleton on this host", words=["disable", "web"])


def test_umask():
    """Whatever it is, others may read what is written: the agent is another user."""
    with Host({"web.service": service()}) as host:
        (host.root / "etc/convene/singleton.d").rmdir()
        equal(host.run("enable", "web", umask=0o077).status, OK)
        settings, drop_in = host.root / SETTINGS.format("web"), host.root / DROP_IN.format("web.service")
        equal([f"{path.stat().st_mode & 0o777:o}" for path in (settings.parent, settings, drop_in.parent, drop_in)],
              ["755", "644", "755", "644"])


def test_links_are_as_before():
    for state, again in (("disabled", []), ("static", []), ("enabled-runtime", ["EnableUnitFiles web.service runtime"])):
        with Host({"web.service": service(FileState=state), "convene-candidate@web.target": LOADED}) as host:
            host.good("enable", "web")
            host.good("disable", "web")
            equal(host.calls()[6:-2], again)
            equal(host.tree(), host.before)


def test_unit_that_runs():
    with Host({"web.service": service(ActiveState="s active"), "convene-candidate@web.target": LOADED}) as host:
        assert "web.service ran here and was stopped" in host.good("enable", "web")
        first = calls(ENABLE, "web.service")
        equal(host.calls(), first[:3] + ["StopUnit web.service"] + first[3:])
    # one that leads is left alone
    with Host({"web.service": service(ActiveState="s active"), "convene-leader@web.service": {**LOADED, "ActiveState": "s active"}}) as host:
        host.good("enable", "web")
        equal(host.calls(), calls(ENABLE, "web.service"))


def test_timer_and_what_it_starts():
    timer = {"LoadState": "s loaded", "ActiveState": "s active", "FragmentPath": "s /etc/systemd/system/backup.timer", "Triggers": "as backup.service",
             "Persistent": "b yes", "FileState": "enabled"}
    with Host({"backup.timer": timer, "backup.service": service(ActiveState="s active"),
               "convene-candidate@backup.timer.target": LOADED}) as host:
        assert "Persistent=yes" in host.good("enable", "backup.timer")
        equal(host.lines(SETTINGS, "backup.timer"), ["[Singleton]", "Unit=backup.timer", "StopTimeout=2s"])
        equal(host.lines(DROP_IN, "backup.timer"), [
            "[Unit]", "BindsTo=convene-leader@%n.service", "After=convene-leader@%n.service", "ConditionPathExists=/run/convene/leader/%n",
            "Wants=convene-candidate@%n.target",
            "[Install]", "WantedBy=", "RequiredBy=", "WantedBy=convene-leader@%n.service", "Also=convene-candidate@%n.target",
            "[X-Convene]", "Singleton=backup.timer", "FileState=enabled"])
        equal(host.lines(DROP_IN, "backup.service"), [
            "[Unit]", "BindsTo=convene-leader@backup.timer.service", "After=convene-leader@backup.timer.service",
            "ConditionPathExists=/run/convene/leader/backup.timer",
            "[Service]", "EnvironmentFile=/run/convene-leader/backup.timer.env",
            "LoadCredential=convene.token:/run/convene-leader/backup.timer.token", "TimeoutStopSec=2s", "TimeoutAbortSec=2s", "[X-Convene]", "Singleton=backup.timer"])
        assert "StopUnit backup.timer" in host.calls() and "StopUnit backup.service" in host.calls()
        host.bad(CONFLICT, "backup.timer", words=["enable", "backup.service", "--stop-timeout=1s"])
        host.good("disable", "backup.timer")
        equal(host.tree(), host.before)


def test_template_and_instances():
    with Host({"app@.service": service(), "app@sample.service": service(), "app@blue.service": service(ActiveState="s active"),
               "app@red.service": service()}) as host:
        text = host.good("enable", "app@.service")
        equal(host.lines(SETTINGS, "app@")[:2], ["[Singleton]", "Unit=app@.service"])
        assert (host.root / DROP_IN.format("app@.service")).exists()
        assert "For each instance" in text and "app@blue.service ran here" in text
        equal([call for call in host.calls() if "convene-candidate" in call], ["StartUnit convene-candidate@app@blue.target"])
        host.good("disable", "app@.service")
        equal(host.tree(), host.before)
    with Host({"app@blue.service": service()}) as host:
        host.good("enable", "app@blue")
        equal(host.lines(SETTINGS, "app@blue")[1], "Unit=app@blue.service")
        equal(host.calls(), calls(ENABLE, "app@blue.service"))


def test_template_of_a_timer_or_socket():
    """Refused: what an instance starts would not be tied to that.  The instance by its name is."""
    units = {"LoadState": "s loaded", "ActiveState": "s inactive", "FragmentPath": "s /etc/systemd/system/x", "FileState": "disabled"}
    for kind in ("timer", "socket"):
        names = f"backup@.{kind}", f"backup@sample.{kind}", f"backup@db1.{kind}"
        with Host({names[0]: units, names[1]: {**units, "Triggers": "as backup@sample.service"}, "backup@sample.service": service(),
                   names[2]: {**units, "Triggers": "as backup@db1.service"}, "backup@db1.service": service()}) as host:
            host.bad(USAGE, names[0], "enable each instance", f"backup@INSTANCE.{kind}", words=["enable", names[0]])
            equal(host.calls(), [])
            host.good("enable", names[2])
            assert f"BindsTo=convene-leader@{names[2]}.service" in host.lines(DROP_IN, "backup@db1.service")
            host.good("disable", names[2])
            equal(host.tree(), host.before)


def test_too_slow_to_stop():
    """The arithmetic is said, and what to do."""
    with Host({"web.service": service(TimeoutStopUSec="t 90000000"), "ever.service": service(TimeoutStopUSec=f"t {2 ** 64 - 1}"),
               "steps.service": service(ExecStop="commands 2", ExecStopPost="commands 1"),
               "abort.service": service(TimeoutStopFailureMode="s abort", TimeoutAbortUSec="t 60000000")}) as host:
        host.bad(USAGE, "may take 90s to stop", "a session of 10s", "SIGTERM", "--stop-timeout=", "--session-timeout=", words=["enable", "web"])
        equal(host.calls(), [])
        host.bad(USAGE, "for ever", "--stop-timeout=", words=["enable", "ever"])
        # two of ExecStop=, SIGTERM, SIGKILL, one of ExecStopPost=, SIGTERM
        host.bad(USAGE, "may take 12s", "2 ExecStop=, SIGTERM, SIGKILL, ExecStopPost=, SIGTERM", words=["enable", "steps"])
        host.bad(USAGE, "may take 62s", "SIGABRT", words=["enable", "abort"])
        host.good("enable", "web", "--session-timeout=2min")
        host.good("enable", "ever", "--stop-timeout=5s")
        host.good("enable", "steps", "--stop-timeout=1s")
        equal(host.lines(SETTINGS, "steps")[2], "StopTimeout=6s")


def test_what_stops_before_it():
    """Units that need it and come after it are stopped first, each in its own time."""
    with Host({"web.service": service(RequiredBy="as worker.service late.service web.socket", BoundBy="as other.service",
                                      Before="as worker.service other.service shutdown.target"),
               "worker.service": service(ConsistsOf="as part.service", Before="as part.service"), "other.service": service(),
               "part.service": service(TimeoutStopUSec="t 1500000", Before="as web.service", RequiredBy="as web.service"),
               "late.service": service(TimeoutStopUSec="t 9000000")}) as host:
        host.good("enable", "web")
        equal(host.lines(SETTINGS, "web")[2], "StopTimeout=7500ms")
        host.good("enable", "web", "--stop-timeout=500ms")
        equal(host.lines(SETTINGS, "web")[2], "StopTimeout=6s")
        host.bad(USAGE, "web.service (", "after worker.service (", "after part.service (", "after other.service (",
                 words=["enable", "web", "--stop-timeout=5s"])


def test_what_cannot_be_one():
    units = {
        "kill.service": (service(KillMode="s process"), "KillMode=process"),
        "none.service": (service(KillMode="s none"), "KillMode=none"),
        "soft.service": (service(SendSIGKILL="b no"), "SendSIGKILL=no"),
        "once.service": (service(Type="s oneshot"), "oneshot"),
        "sysv.service": (service(FragmentPath="s /run/systemd/generator.late/sysv.service"), "generator"),
        "brief.service": (service(Transient="b yes"), "transient"),
        "masked.service": (service(LoadState="s masked"), "unmask"),
        "broken.service": (service(LoadState="s bad-setting"), "cannot be loaded"),
        "each.socket": (service(Accept="b yes"), "Accept=yes"),
        "data.mount": (service(), "busy"),
        "all.target": (service(), "a target cannot"),
        "convened.service": (service(), "every host"),
    }
    with Host({"web.service": service(), **{name: properties for name, (properties, _) in units.items()}}) as host:
        for name, (_, mention) in units.items():
            host.bad(USAGE, name, mention, words=["enable", name])
            equal(host.calls(), [])
        host.bad(USAGE, "no such unit", words=["enable", "other.service"])
        host.bad(USAGE, "not the name of a unit", words=["enable", "../x.service"])
        host.bad(USAGE, "not the name of a member", words=["enable", "web", "--prefer=a/b"])
    with Host({"link.service": service(FileState="linked")}) as host:
        host.bad(CONFLICT, "link to a file elsewhere", words=["enable", "link"])


def test_for_root_only():
    with Host({"web.service": service()}) as host:
        host.bad(ACCESS, "only root", words=["enable", "web"], user=NOBODY)
        host.bad(ACCESS, "only root", words=["disable", "web"], user=NOBODY)


def test_no_systemd():
    with Host({"web.service": service()}) as host:
        host.address = f"unix:path={host.root}/nowhere"
        host.bad(UNREACHABLE, "cannot reach systemd", words=["enable", "web"])


def test_a_step_fails():
    """Whichever it is, all before it is taken back, also when it was a singleton before."""
    units = {"web.service": service(FileState="enabled", ActiveState="s active"), "convene-candidate@web.target": LOADED}
    for step in ("Reload", "DisableUnitFiles web.service", "EnableUnitFiles web.service", "StopUnit web.service",
                 "ReloadOrTryRestartUnit convened.service", "StartUnit convene-candidate@web.target"):
        with Host(units) as host:
            (host.root / "fail").write_text(step)
            answer = host.run("enable", "web")
            text = answer.err.decode()
            assert answer.status == FAILURE and "was told to fail" in text and "nothing was changed" in text, f"{step}: {answer}"
            equal(host.tree(), host.before)
            equal(host.calls()[-1], "StartUnit web.service")
            if "UnitFiles" not in step and step != "Reload":
                equal([call for call in host.calls() if "UnitFiles" in call][-3:],
                      ["DisableUnitFiles convene-candidate@web.target", "DisableUnitFiles web.service", "EnableUnitFiles web.service"])
                equal("StopUnit convene-candidate@web.target" in host.calls(), step.startswith("StartUnit"))
    with Host(units) as host:
        host.good("enable", "web")
        tree = host.tree()
        (host.root / "fail").write_text("StartUnit convene-candidate@web.target")
        equal(host.run("enable", "web", "--copies=2").status, FAILURE)
        equal(host.tree(), tree)
        equal([call for call in host.calls() if "UnitFiles" in call][-1], "EnableUnitFiles web.service")
        # it stands as before
        assert "StopUnit convene-candidate@web.target" not in host.calls(), host.calls()


def test_an_instance_does_not_start():
    """Those before it do not stand any more, either."""
    units = {f"app@{name}.service": service(ActiveState="s active") for name in ("blue", "red")}
    with Host({"app@.service": service(), "app@sample.service": service(), **units,
               **{f"convene-candidate@app@{name}.target": LOADED for name in ("blue", "red")}}) as host:
        (host.root / "fail").write_text("StartUnit convene-candidate@app@red.target")
        equal(host.run("enable", "app@.service").status, FAILURE)
        equal(host.tree(), host.before)
        at = host.calls().index("StopUnit convene-candidate@app@blue.target")
        assert at < host.calls().index("StopUnit convene-leader@app@blue.service") < host.calls().index("StartUnit app@blue.service")


def test_another_drop_in_says_otherwise():
    with Host({"web.service": service()}) as host:
        # read by unit-manager behind ours
        host.root.joinpath("etc/systemd/system/web.service.d").mkdir()
        host.before = host.tree()
        (host.root / "override").write_text("web.service TimeoutStopSec 8s\n")
        answer = host.run("enable", "web", "--stop-timeout=1s")
        equal(answer.status, CONFLICT)
        assert "another drop-in" in answer.err.decode(), answer
        equal([name for name in host.tree() if name.endswith(".conf")], ["etc/convene/convened.conf"])


def test_status_of_none():
    equal(good("singleton", "status", "--json").json, [])
    equal(good("singleton").lines[0].split(), ["UNIT", "THIS", "HOST", "RUNS", "ON", "TOKEN", "WHY"])
    bad(NO_NODE, "no singleton on this host", "singleton", "status", "web")
    bad(USAGE, "not the name of a unit", "singleton", "hold", "a/b")
    bad(USAGE, "not the name of a unit", "singleton", "move", "app@.service", "h2")


def test_agent_takes_them():
    """What it was told is there after a reload, and whoever enables a unit hears of it if it is not."""
    with Host({"web.service": service(FileState="enabled"), "convene-candidate@web.target": LOADED}) as host:
        agent = Running(host.inside(CONVENED, "--no-system-bus", "--data", str(host.root / "data"), "--socket", str(host.root / "agent"),
                                    "--print-ready"), env={**here.environment, "RUNTIME_DIRECTORY": str(host.root)})
        try:
            assert agent.line().startswith("ready")
            answer = host.run("enable", "web")
            equal(answer.status, CONFLICT)
            assert b"has not taken the settings; see journalctl -u convened" in answer.err, answer
            assert host.lines(SETTINGS, "web"), "it is enabled nevertheless"

            def reload():
                """systemd's part."""
                wait_until(lambda: "ReloadOrTryRestartUnit convened.service" in host.calls(), "the agent is to be reloaded")
                agent.kill(signal.SIGHUP)
            thread = threading.Thread(target=reload)
            thread.start()
            host.good("enable", "web", "--copies=2")
            thread.join()
        finally:
            agent.close()


if __name__ == "__main__":
    main(globals())
