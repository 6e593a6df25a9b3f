#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lock.sh - a shell script that runs on one host at a time
#
# Shows: a script that takes the lock by itself, whoever starts it, and a token that keeps out who was too late to notice that he had
# lost it.
#
# Change: the name of the lock, and what stands under "the work".  DIRECTORY is shared by the hosts, on NFS for example.
#
# Try it, as root on two hosts at once:
#
#     ./lock.sh /srv/shared
#
# One works, the other waits for a minute at most; "convenectl lock list" shows who has it.
#
# usage: lock.sh DIRECTORY

set -eu
directory=${1:?usage: lock.sh DIRECTORY}

# The same script once more, under the lock; its exit status is ours, 11 if others had the lock for too long, 8 if it was lost.
[ "${LOCK_SH-}" = held ] || LOCK_SH=held exec convenectl lock --timeout=1min report -- "$0" "$@"

# Whoever has a larger token has had the lock after us: we were frozen meanwhile, and come too late.  Here it is a file that says so; a
# database or a disk that compares tokens itself does it better, for between this look and the work there is an instant.
highest=$(cat "$directory/token" 2>/dev/null || echo 0)
if [ "$CONVENE_TOKEN" -lt "$highest" ]; then
        echo "lock.sh: token $CONVENE_TOKEN comes after $highest" >&2
        exit 1
fi
echo "$CONVENE_TOKEN" >"$directory/token"

# the work
echo "begin $$ $CONVENE_TOKEN" >>"$directory/report"
sleep 1
echo "end $$ $CONVENE_TOKEN" >>"$directory/report"
