#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# fresh-root.sh [--worktree] [--tour | SUITE...] - a new Debian 12 with nothing but apt and git: a newcomer's machine
#
# Makes the system in FRESH_DIR (/var/tmp/convene-fresh) and clones HEAD into it (--worktree: what lies in the checkout).
# There: an ordinary user is told what is missing; as root ./dev run installs, builds and serves; then the README's tour as
# root and, in a clone of its own, as an ordinary user without sudo; then ./dev test SUITE... as root, all suites if none is
# named (--tour: none).  Packages come from where this machine's own apt takes them.  The system is removed at the end,
# unless something failed or FRESH_KEEP is set.

set -euo pipefail

ROOT=$(readlink -f "$(dirname "$0")/../..")
DIR=${FRESH_DIR:-/var/tmp/convene-fresh}
CGROUP=convene-fresh-$(cksum <<<"$DIR" | cut -d ' ' -f 1)
READY_SEC=1200

# Where cgroup v2 is mounted, and the v1 hierarchy that systemd has beside it on some machines.
cgroup_mounts() {
        awk '{ for (i = 7; $i != "-"; i++); }
             $(i + 1) == "cgroup2" && !v2++ { print "cgroup2", $5 }
             $(i + 1) == "cgroup" && $NF ~ /name=systemd/ && !v1++ { print "cgroup", $5 }' /proc/self/mountinfo
}

# enter COMMAND...: run it in the new system, in namespaces that end with it and take every process along.
enter() (
        local point

        while read -r _ point; do
                mkdir -p "$point/$CGROUP"
                echo "$BASHPID" >"$point/$CGROUP/cgroup.procs"
        done < <(cgroup_mounts)
        exec unshare --mount --pid --ipc --uts --cgroup --fork --kill-child --propagation private \
                "$ROOT/tests/lab/fresh-root.sh" --enter "$DIR/root" "$@" </dev/null
)

mount_cgroups() {
        if [[ $(cgroup_mounts) == *"cgroup /"* ]]; then
                mount -t tmpfs -o mode=755 tmpfs "$1"
                mkdir "$1/systemd" "$1/unified"
                mount -t cgroup -o none,name=systemd cgroup "$1/systemd"
                mount -t cgroup2 cgroup2 "$1/unified"
        else
                mount -t cgroup2 cgroup2 "$1"
        fi
}

# The second half of enter(), in the new namespaces.
mount_and_pivot() {
        local root=$1

        shift
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount_cgroups "$root/sys/fs/cgroup"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        hostname fresh
        cd "$root"
        pivot_root . .
        umount --lazy .
        exec chroot . env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                HOME=/root LANG=C.UTF-8 CI="${CI-}" "$@"
}

# as_newcomer COMMAND...: in the new system, as an ordinary user.
as_newcomer() {
        enter setpriv --reuid=newcomer --regid=newcomer --clear-groups env HOME=/opt/newcomer "$@"
}

# Without packages and without root: which packages to ask an administrator for.
told_what_is_missing() {
        local said

        if said=$(as_newcomer /opt/newcomer/convene/dev build 2>&1); then
                echo "./dev build found all packages in a system without any"
                return 1
        fi
        printf '%s\n' "$said"
        [[ $said == *"only root can install them: apt-get install gcc "* ]]
}

# In the new system, where there is no python yet: the first ./dev run installs, builds and serves.
first_run() {
        local agent until=$((SECONDS + READY_SEC))

        ./dev run >/tmp/run.out &
        agent=$!
        until grep -q '^ready' /tmp/run.out; do
                kill -0 "$agent" || { echo "./dev run ended before it was ready"; return 1; }
                [[ $SECONDS -lt $until ]] || { echo "./dev run was not ready in $READY_SEC s"; return 1; }
                sleep 0.2
        done
        echo "== fresh: ready after $SECONDS s"
        ./dev ctl -- create /hello world
        ./dev ctl -- get /hello
        kill -TERM "$agent"
        wait "$agent"
        cat /tmp/run.out
}

make_root() {
        local sources

        rm -rf --one-file-system "$DIR/root"
        mkdir -p "$DIR"
        sources=$(cd "$ROOT/tests/lab" && python3 -Bc 'import rootfs; print("\n".join(rootfs.sources()))')
        mmdebstrap --quiet --variant=minbase --include=git,ca-certificates bookworm "$DIR/root" - <<<"$sources"
        apt-config dump Acquire | grep -i proxy >"$DIR/root/etc/apt/apt.conf.d/90here" || true
        cp --dereference /etc/resolv.conf /etc/hosts "$DIR/root/etc/"
}

copy_source() {
        rm -rf "$DIR/clone"
        if [[ $1 == worktree ]]; then
                mkdir "$DIR/clone"
                git -C "$ROOT" ls-files -z --cached --others --exclude-standard |
                        tar -C "$ROOT" --null --files-from=- -cf - | tar -C "$DIR/clone" --no-same-owner -xpf -
        else
                git clone --quiet "file://$ROOT" "$DIR/clone"
        fi
        mv "$DIR/clone" "$DIR/root/src"
        enter bash -c 'useradd --create-home --home-dir /opt/newcomer newcomer && cp -a /src /opt/newcomer/convene &&
                chown -R newcomer: /opt/newcomer/convene'
}

clean_up() {
        local point

        rm -rf --one-file-system "$DIR"
        while read -r _ point; do
                find "$point/$CGROUP" -depth -type d -exec rmdir {} + || true
        done < <(cgroup_mounts)
}

main() {
        local from=clone tests=yes

        if [[ ${1-} == --worktree ]]; then
                from=worktree
                shift
        fi
        if [[ ${1-} == --tour ]]; then
                tests=
                shift
        fi

        make_root
        copy_source "$from"
        echo "== fresh: Debian $(cat "$DIR/root/etc/debian_version"), $(enter dpkg-query -W | wc -l) packages"
        echo "== fresh: ./dev build as an ordinary user, before anything is installed"
        told_what_is_missing
        echo "== fresh: ./dev run as root"
        enter bash -c 'cd /src && exec tests/lab/fresh-root.sh --first'
        echo "== fresh: the tour as root"
        enter python3 /src/tests/lab/fresh-tour.py
        echo "== fresh: the tour as an ordinary user, without sudo"
        enter bash -c '! command -v sudo'
        as_newcomer python3 /opt/newcomer/convene/tests/lab/fresh-tour.py
        if [[ -n $tests ]]; then
                echo "== fresh: ./dev test $*"
                enter bash -c 'cd /src && exec ./dev test "$@"' test "$@"
        fi
        [[ -n ${FRESH_KEEP-} ]] || clean_up
}

case ${1-} in
--enter) shift; mount_and_pivot "$@" ;;
--first) first_run ;;
*)
        [[ $(id -u) -eq 0 ]] || { echo "fresh-root.sh: must be root" >&2; exit 1; }
        main "$@"
        ;;
esac
