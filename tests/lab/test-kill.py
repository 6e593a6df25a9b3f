# SPDX-License-Identifier: LGPL-2.1-or-later
"""The agent is killed (SIGKILL) under load, again and again; each time all that was acknowledged is there, in order.

LAB_KILLS: how often (25).  LAB_SEED: of the moments chosen.
"""

import random
import time

from labtest import case, count, ctl, main, run
from load import Load

LOAD = Load()


# Kills the agent and polls, in the host, until another process of it serves: systemd restarts it by itself.
KILL = r"""
main() { systemctl show --property=MainPID --value convened.service; }
old=$(main)
[ "$old" != 0 ] && kill -KILL "$old" || exit 1
for i in $(seq 500); do
        new=$(main)
        if [ "$new" != 0 ] && [ "$new" != "$old" ] && convenectl --timeout=5 ping >/dev/null 2>&1; then
                exit 0
        fi
        sleep 0.02
done
exit 2
"""


def kill_agent():
    run("sh", "-c", KILL)


@case
def everything_acknowledged_survives_kills():
    seed = count("LAB_SEED", 1)
    kills = count("LAB_KILLS", 25)
    moments = random.Random(seed)
    run("systemctl", "start", "convened.service")
    LOAD.prepare()
    t0 = time.monotonic()
    LOAD.start()
    try:
        for i in range(kills):
            LOAD.until(moments.randrange(1, 40))
            end = time.monotonic() + moments.random() * 0.02
            while time.monotonic() < end:
                LOAD.pump(0.001)
            if i % 10 == 9:
                ctl("checkpoint", status=None)
            kill_agent()
            if i % 5 == 4 or i == kills - 1:
                # A check needs the load to stand still: no call of it under way.
                LOAD.end()
                LOAD.check()
                LOAD.start()
    finally:
        LOAD.end()
    print("# %d kills, %d writes acknowledged, seed %d, %.0f s" % (kills, LOAD.acknowledged(), seed,
                                                                   time.monotonic() - t0), flush=True)


@case
def store_needed_no_repair():
    run("systemctl", "restart", "convened.service")
    LOAD.check()


if __name__ == "__main__":
    main("kill")
