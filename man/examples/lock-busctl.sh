#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lock-busctl.sh - runs a command on one host at a time, with nothing but busctl
#
# Shows: leases on the bus.  A lock is a descriptor, and busctl cannot hand it on: it would be released as soon as busctl ends.  A
# lease needs no process to hold it.  It is renewed while the command runs, and if that fails the command is stopped before anybody else
# can have the lease.  The price: when a host is lost the others wait until it is over.
#
# Change: TTL, seconds for which the lease is had at a time, 10 or more.  A fifth of them is left for the command to stop.
#
# Try it, as root on two hosts at once:
#
#     ./lock-busctl.sh report sh -c 'echo "token $CONVENE_TOKEN"; sleep 10'
#
# One runs, the other waits for a minute at most; "convenectl lease list" shows who has it.
#
# usage: lock-busctl.sh NAME COMMAND...
# Exit status: that of COMMAND, 8 if the lease was lost, 11 if there was none to be had.

set -eu
: "${TTL:=15}" "${WAIT:=60}"
[ $# -ge 2 ] || { echo "usage: lock-busctl.sh NAME COMMAND..." >&2; exit 2; }
name=$1
shift
holder="lock-busctl.sh $(cat /proc/sys/kernel/random/uuid)"     # nobody else is taken for this run, on no host

# leases SECONDS MEMBER SIGNATURE ARGUMENT...: asks the agent, and prints its answer or complaint
leases() {
        seconds=$1
        shift
        busctl --address="${CONVENE_ADDRESS:-unix:path=/run/convene/bus}" --timeout="$seconds" \
                call org.convene1 /org/convene1 org.convene1.Leases "$@" 2>&1
}

# Seconds since the host was started, sleep included: the clock that the bus tells times by, in microseconds.
now() {
        cut -d . -f 1 /proc/uptime
}

# The lease is lost: the command gets SIGTERM, and SIGKILL if it needs more than half the time left.
stop_job() {
        echo "lock-busctl.sh: $name is lost: $1" >&2
        trap 'exit 8' TERM              # the command has ended
        kill -TERM "-$job"
        sleep "$((TTL / 10))" >/dev/null 2>&1
        kill -KILL "-$job"
        exit 8
}

# renew UNTIL: five times in the time of a lease, while there is a job, also if this script is killed
renew() {
        until=$1
        while sleep "$((TTL / 5))" >/dev/null 2>&1 && kill -0 "$job" 2>/dev/null; do
                if answer=$(leases "$((TTL / 5))" Acquire 'sta{sv}' "$name" 0 2 holder s "$holder" token t "$CONVENE_TOKEN"); then
                        until=$((${answer##* } / 1000000))
                        continue
                fi
                # one more wait and one more try must leave the time to stop
                [ "$(($(now) + TTL * 3 / 5))" -lt "$until" ] || stop_job "$answer"
        done
}

if ! answer=$(leases "$((WAIT + TTL))" Acquire 'sta{sv}' "$name" "${TTL}000000" 2 holder s "$holder" timeout t "${WAIT}000000"); then
        echo "lock-busctl.sh: $name: $answer" >&2
        exit 11
fi
answer=${answer#tt }                    # "tt TOKEN UNTIL"
export CONVENE_TOKEN="${answer% *}"

setsid "$@" &                           # a process group of its own, so that all of it can be stopped
job=$!
renew "$((${answer#* } / 1000000))" &
renewer=$!
trap 'kill -TERM "-$job" 2>/dev/null || :' TERM INT HUP         # after it has begun, which would have it, too

status=0
wait "$job" || status=$?
while kill -0 "$job" 2>/dev/null; do    # it was a signal, which was passed on
        status=0
        wait "$job" || status=$?
done
kill -TERM "$renewer" 2>/dev/null || :
lost=0
wait "$renewer" 2>/dev/null || lost=$?
[ "$lost" -ne 8 ] || exit 8
leases "$TTL" Release 'sa{sv}' "$name" 2 holder s "$holder" token t "$CONVENE_TOKEN" >/dev/null || :
exit "$status"
