# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host loses power under load (what was not synced is gone); after each boot all that was acknowledged is there.

LAB_POWER_LOSSES: how often (5).  LAB_SEED: of the moments chosen.
"""

import random
import time

from labtest import case, count, ctl, lab, main, run, status_of, wait
from load import Load

LOAD = Load()


@case
def everything_acknowledged_survives_power_losses():
    seed = count("LAB_SEED", 1)
    losses = count("LAB_POWER_LOSSES", 5)
    moments = random.Random(seed)
    run("systemctl", "start", "convened.service")
    LOAD.prepare()
    t0 = time.monotonic()
    for i in range(losses):
        LOAD.start()
        try:
            LOAD.until(moments.randrange(20, 120))
            if i % 3 == 2:
                ctl("checkpoint")
            LOAD.until(moments.randrange(1, 40))
            lab("crash", "h1")
        finally:
            LOAD.end()
        lab("boot", "h1")
        wait("the agent serves", lambda: status_of("convenectl", "ping") == 0, 30)
        LOAD.check()
    print("# %d power losses, %d writes acknowledged, seed %d, %.0f s" % (losses, LOAD.acknowledged(), seed,
                                                                         time.monotonic() - t0), flush=True)


@case
def a_host_that_lost_its_power_still_works():
    ctl("create", "/after", "all that")
    assert ctl("get", "/after").strip() == "all that"


if __name__ == "__main__":
    main("power")
