#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# fresh-root.sh [--worktree] [SUITE...] - a new Debian 12 with nothing but apt and git: what a newcomer's machine has
#
# Makes the system in FRESH_DIR (/var/tmp/convene-fresh), clones HEAD into it (--worktree: what lies in the checkout), and
# there runs ./dev run and a few commands, then ./dev test SUITE..., then the README's tour as an ordinary user.  Packages
# come from where this machine's own apt takes them.  The system is removed at the end, unless something failed or
# FRESH_KEEP is set.

set -euo pipefail

ROOT=$(readlink -f "$(dirname "$0")/../..")
DIR=${FRESH_DIR:-/var/tmp/convene-fresh}
SUITES=(house unit fuzz bus sanitize readme)
READY_SEC=1200

# enter COMMAND...: run it in the new system, in namespaces that end with it and take every process along.
enter() {
        unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
                "$ROOT/tests/lab/fresh-root.sh" --enter "$DIR/root" "$@" </dev/null
}

# The first half of enter(), in the new namespaces.
mount_and_chroot() {
        local root=$1

        shift
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t sysfs -o ro sysfs "$root/sys"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        hostname fresh
        exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                HOME=/root LANG=C.UTF-8 CI="${CI-}" "$@"
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
}

main() {
        local from=clone suites

        if [[ ${1-} == --worktree ]]; then
                from=worktree
                shift
        fi
        suites=("$@")
        [[ ${#suites[@]} -gt 0 ]] || suites=("${SUITES[@]}")

        make_root
        copy_source "$from"
        echo "== fresh: Debian $(cat "$DIR/root/etc/debian_version"), $(enter dpkg-query -W | wc -l) packages"
        enter bash -c 'cd /src && exec tests/lab/fresh-root.sh --first'
        echo "== fresh: ./dev test ${suites[*]}"
        enter bash -c 'cd /src && exec ./dev test "$@"' test "${suites[@]}"
        echo "== fresh: the tour as an ordinary user"
        enter bash -c 'useradd --create-home --home-dir /opt/newcomer newcomer && cp -a /src /opt/newcomer/convene &&
                rm -rf /opt/newcomer/convene/build* && chown -R newcomer: /opt/newcomer/convene'
        enter setpriv --reuid=newcomer --regid=newcomer --clear-groups env HOME=/opt/newcomer \
                python3 /opt/newcomer/convene/tests/readme.py
        [[ -n ${FRESH_KEEP-} ]] || rm -rf --one-file-system "$DIR"
}

case ${1-} in
--enter) shift; mount_and_chroot "$@" ;;
--first) first_run ;;
*)
        [[ $(id -u) -eq 0 ]] || { echo "fresh-root.sh: must be root" >&2; exit 1; }
        main "$@"
        ;;
esac
