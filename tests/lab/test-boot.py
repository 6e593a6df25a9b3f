# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host with convene installed boots, and the agent starts, serves, reloads and stops."""

from labtest import case, ctl, main, run, show, state, wait


@case
def host_is_running():
    assert run("systemctl", "is-system-running", status=None).strip() == "running", \
        run("systemctl", "--failed", "--no-legend")


@case
def user_is_made():
    assert run("getent", "passwd", "convene").startswith("convene:")


@case
def units_are_sound():
    run("sh", "-c", "systemd-analyze verify --man=no /usr/lib/systemd/system/convene* 2>&1 | tee /dev/stderr | "
        "grep -i convene && exit 1 || exit 0")


@case
def socket_is_enabled():
    assert show("convened.socket", "ActiveState", "UnitFileState") == {"ActiveState": "active",
                                                                      "UnitFileState": "enabled"}


@case
def agent_starts():
    run("systemctl", "start", "convened.service")
    facts = show("convened.service", "ActiveState", "Type", "StatusText", "User", "WatchdogUSec", "NFileDescriptorStore")
    assert facts["ActiveState"] == "active" and facts["Type"] == "notify", facts
    assert facts["StatusText"] and facts["User"] == "convene" and facts["WatchdogUSec"] not in ("0", "infinity"), facts


@case
def agent_serves():
    ctl("create", "/boot", "first")
    assert ctl("get", "/boot").strip() == "first"


@case
def agent_reloads():
    pid = show("convened.service", "MainPID")["MainPID"]
    run("systemctl", "reload", "convened.service")
    assert show("convened.service", "MainPID")["MainPID"] == pid
    assert ctl("get", "/boot").strip() == "first"


@case
def agent_stops_and_keeps():
    run("systemctl", "stop", "convened.service", "convened.socket")
    wait("inactive", lambda: state("convened.service") == "inactive")
    assert show("convened.service", "Result")["Result"] == "success"
    run("systemctl", "start", "convened.socket")
    assert ctl("get", "/boot").strip() == "first"


@case
def sandbox_is_tight():
    out = run("systemd-analyze", "security", "--no-pager", "convened.service").strip().splitlines()[-1]
    print("# " + out)
    exposure = float(out.partition(": ")[2].split()[0])
    assert exposure <= 1.5, out


if __name__ == "__main__":
    main("boot")
