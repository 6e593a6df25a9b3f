#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# in-turn.sh - does work that disturbs a host, such as an upgrade, on one host of a group at a time
#
# Shows: reboot slots for work that is no reboot.  If the work fails its host keeps the slot, so that the same fault does not take the
# other hosts down as well, until somebody has looked at it and says "convenectl reboot-slot release GROUP HOST".
#
# Change: what is asked before the slot is given back; here that the agent serves again.
#
# Try it, as root on all hosts at once:
#
#     ./in-turn.sh fleet systemctl restart convened.service
#
# and see "convenectl reboot-slot status fleet".
#
# usage: in-turn.sh GROUP COMMAND...

set -eu
[ $# -ge 2 ] || { echo "usage: in-turn.sh GROUP COMMAND..." >&2; exit 2; }
group=$1
shift

convenectl reboot-slot acquire --quiet "$group"
"$@" || {
        status=$?
        echo "in-turn.sh: $1 failed; the slot of $group stays with this host: convenectl reboot-slot release $group" >&2
        exit $status
}
convenectl wait --quiet --quorum
exec convenectl reboot-slot release --quiet "$group"
