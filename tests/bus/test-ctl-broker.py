#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-broker.py - convenectl over a bus with a broker, which outlives the agent; see ctl_harness.py

import json
import shutil
import signal
import subprocess

from ctl_harness import (BROKER_CONFIGURATION, NO_NODE, OK, SESSION, UNREACHABLE, Running, Skip, bad, equal, good, here, main,
                         running)


class Broker:
    def __enter__(self):
        if not shutil.which("dbus-daemon"):
            raise Skip("dbus-daemon is not installed")
        file = here.work / "broker.conf"
        file.write_text(BROKER_CONFIGURATION.format(socket=here.work / "broker"))
        self.daemon = Running(["dbus-daemon", f"--config-file={file}", "--nofork", "--print-address"])
        address = self.daemon.line()
        here.agent.stop()
        here.agent.more = [f"--bus-address={address}"]
        here.agent.start()
        self.environment = here.environment
        here.environment = {**here.environment, "CONVENE_ADDRESS": address}
        return self

    def emit(self, destination, name, *arguments):
        subprocess.run(["dbus-send", f"--bus={here.environment['CONVENE_ADDRESS']}", "--type=signal",
                        f"--dest={destination}", "/org/convene1", f"org.convene1.{name}", *arguments], check=True)

    def __exit__(self, *what):
        here.environment = self.environment
        if here.agent.running.process.poll() is None:
            here.agent.stop()
        here.agent.more = ["--no-system-bus"]
        self.daemon.kill(signal.SIGTERM)
        self.daemon.end()
        self.daemon.close()
        here.agent.start()


def test_broker():
    with Broker():
        good("create", "/broker", "x")
        equal(good("get", "/broker").text, "x")
        equal(good("status", "--json").json["serving"], True)
        holder = running("create", "-e", "/broker/held")
        holder.line()
        equal(good("sessions", "--json").json[0]["owner_kind"], "connection")
        holder.kill(signal.SIGKILL)
        holder.close()
        watch = running("watch", "-r", "/broker", "--since=1", "--json")
        while json.loads(watch.line())["type"] != "deleted":
            pass
        watch.close()
        bad(NO_NODE, "NoNode", "stat", "/broker/held")


def test_broker_outlives_the_agent():
    with Broker():
        good("create", "/outlives")
        since = good("sync").text.strip()
        watch = running("watch", "-r", "/outlives", "--since", since, "--json")
        holder = running("create", "-e", "/outlives/held")
        holder.line()
        equal(json.loads(watch.line())["path"], "/outlives/held")
        owner = good("stat", "/outlives/held", "--json").json[0]["stat"]["ephemeral_owner"]
        for number in (signal.SIGTERM, signal.SIGKILL):
            here.agent.stop(number)
            for follower in (watch, holder):
                assert "gone away" in follower.line("stderr")
            bad(UNREACHABLE, "ServiceUnknown", "status")
            here.agent.start()
            for follower in (watch, holder):
                assert "is back" in follower.line("stderr")
            equal(good("stat", "/outlives/held", "--json").json[0]["stat"]["ephemeral_owner"], owner)
            good("set", "/outlives", str(int(number)))
            event = json.loads(watch.line())
            equal((event["type"], event["path"]), ("data-changed", "/outlives"))
        good("sessions", "close", owner)
        equal(json.loads(watch.line())["type"], "deleted")
        equal(holder.end(), SESSION)
        holder.close()
        watch.close()


def test_forged_signals():
    """Whoever else is on the bus can send signals that look like the agent's; the followers know better."""
    if not shutil.which("dbus-send"):
        raise Skip("dbus-send is not installed")
    with Broker() as broker:
        good("create", "/forged")
        holder = running("create", "-e", "/forged/held")
        holder.line()
        session = good("stat", "/forged/held", "--json").json[0]["stat"]["ephemeral_owner"]
        watch = running("watch", "-r", "/forged", "--since", good("sync").text.strip(), "--json")
        good("set", "/forged", "1")
        equal(json.loads(watch.line())["path"], "/forged")
        for number in range(20):
            for signal_and_arguments in (
                ("Watches.Event", "uint64:1", "string:deleted", "string:/forged", "uint64:7", "boolean:false"),
                ("Sessions.Ended", f"uint64:{int(session, 16)}", "boolean:false"),
            ):
                broker.emit(f":1.{number}", *signal_and_arguments)
        good("set", "/forged", "2")
        event = json.loads(watch.line())
        equal((event["type"], event["path"]), ("data-changed", "/forged"))
        good("sync")
        equal(holder.process.poll(), None)
        good("stat", "/forged/held")
        watch.close()
        holder.kill(signal.SIGKILL)
        holder.close()


def test_without_broker():
    """No bus at all."""
    address = f"unix:path={here.work}/nothing"
    answer = subprocess.run([str(here.work / "convenectl"), "--system", "ping"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**here.environment, "DBUS_SYSTEM_BUS_ADDRESS": address})
    equal(answer.returncode, UNREACHABLE)
    assert b"the system bus" in answer.stderr, answer
    equal(good("ping").status, OK)


main(globals())
