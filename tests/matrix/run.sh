#!/usr/bin/env bash
# run.sh - the plugin built and tested with each Wireshark that Debian ships.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   sudo tests/matrix/run.sh [SUITE...]     default: bookworm (4.0) trixie (4.4) forky (4.6)
#
# A suite that the machine itself runs is tested in place. For any other a chroot is made with
# debootstrap (2 to 4 minutes and about 1.5 GB once) and kept. A suite is skipped, and the reason
# said, without root or debootstrap and when the archive does not serve it (any more).
#
# KDLENS_MATRIX_DIR  where chroots and logs are kept; default build/matrix
# KDLENS_CAPTURES    real captures; default ../shared/captures; without it their tests skip
#
# The source tree is copied, nothing is written to it. All mounts are made in a mount namespace of
# their own and end with the processes in it. Exit status: 1 when a suite that was not skipped does
# not build without warnings or a test fails.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$here/../.." && pwd)
matrix=${KDLENS_MATRIX_DIR:-$tree/build/matrix}
default_mirror=http://deb.debian.org/debian
packages=(gcc libc6-dev cmake ninja-build pkg-config wireshark-dev tshark libgcrypt20-dev
    libglib2.0-dev zlib1g-dev libpcap-dev libedit-dev util-linux python3 openssl)
export LC_ALL=C.UTF-8

# Into the array rows: one line of the table.
rows=()
row()
{
    rows+=("$(printf '%-10s %-10s %-12s %6s %6s %7s' "$@")")
}

skip()
{
    printf 'skipped: %s: %s\n' "$1" "$2"
    row "$1" - "skipped" - - -
}

# The archive that this machine's own apt sources name, as apt itself reads them.
find_mirror()
{
    local uri release

    mirror=$default_mirror security=""
    [ "$host_id" = debian ] || return 0
    # shellcheck disable=SC2016 # apt expands them
    while read -r uri release; do
        case "$release" in
        "$host_suite") mirror=${uri%/} ;;
        "$host_suite-security") security=${uri%/} ;;
        esac
    done < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' \
        2>/dev/null)
}

serves()
{
    /usr/lib/apt/apt-helper download-file "$1/dists/$2/InRelease" "$work/InRelease" \
        >"$work/helper.log" 2>&1
}

can_test_here()
{
    local package
    [ "$1" = "$host_suite" ] || return 1
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            return 1
    done
}

# In a mount namespace: the chroot with /proc, /dev and an empty /tmp, and a command in it.
in_chroot()
{
    local root=$1
    shift
    # shellcheck disable=SC2016 # the inner shell expands them
    unshare --mount --propagation private -- bash -euc '
        root=$1 tree=$2 captures=$3
        shift 3
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        mkdir "$root/tmp/source" "$root/tmp/captures"
        tar -C "$tree" --exclude=./.git --exclude=./build --exclude="./build-*" \
            --exclude=__pycache__ -cf - . | tar -C "$root/tmp/source" -xf - --no-same-owner
        if [ -n "$captures" ]; then
            cp -RL "$captures/." "$root/tmp/captures"
        fi
        chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            ${captures:+KDLENS_CAPTURES=/tmp/captures} "$@"
    ' in_chroot "$root" "$tree" "$captures" "$@"
}

# apt verifies the signature of each index. Its date is let pass: a mirror may lag behind.
write_sources()
{
    local suite=$1

    printf 'deb [check-valid-until=no] %s %s main\n' "$mirror" "$suite"
    if [ -n "$security" ] && serves "$security" "$suite-security"; then
        printf 'deb [check-valid-until=no] %s %s-security main\n' "$security" "$suite"
    fi
}

# make_chroot SUITE ROOT LOG: a chroot with all packages; at once when it is there.
make_chroot()
{
    local suite=$1 root=$2 log=$3 stamp=$2/.kdlens-packages script

    if [ "$(cat "$stamp" 2>/dev/null)" = "${packages[*]}" ]; then
        return 0
    fi
    if [ ! -e "$root.made" ]; then
        printf '%s: making the chroot from %s...\n' "$suite" "$mirror"
        rm -rf --one-file-system "$root"
        # A debootstrap older than the suite has no script of its name; sid's is always there.
        script=/usr/share/debootstrap/scripts/$suite
        [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
        debootstrap --variant=minbase "$suite" "$root" "$mirror" "$script" >"$log" 2>&1 ||
            return 1
        touch "$root.made"
    fi
    printf '%s: installing packages...\n' "$suite"
    write_sources "$suite" >"$root/etc/apt/sources.list"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    # shellcheck disable=SC2016 # expanded in the chroot
    in_chroot "$root" sh -ec 'apt-get update -q
        apt-get install -y -q --no-install-recommends "$@"
        apt-get clean' sh "${packages[@]}" >>"$log" 2>&1 || return 1
    printf '%s' "${packages[*]}" >"$stamp"
}

# What suite.sh found out is the last line of the log.
take_result()
{
    local suite=$1 log=$2 wireshark build passed failed skipped

    if ! IFS=$'\t' read -r _ wireshark build passed failed skipped \
        < <(tail -n 1 "$log" | grep '^RESULT'); then
        wireshark=- build="did not run" passed=- failed=- skipped=-
    fi
    row "$suite" "$wireshark" "$build" "$passed" "$failed" "$skipped"
    if [ "$build" = ok ] && [ "$failed" = 0 ]; then
        return 0
    fi
    printf '%s: see %s; its end:\n' "$suite" "$log"
    tail -n 30 "$log"
    failures=$((failures + 1))
}

test_here()
{
    local log=$matrix/$1.log

    printf '%s: testing on this machine...\n' "$1"
    # Another folder than build/, whose settings may be of another preset.
    rm -rf "$work/build"
    bash "$here/suite.sh" "$tree" "$work/build" >"$log" 2>&1 || true
    take_result "$1" "$log"
}

test_in_chroot()
{
    local suite=$1 root=$matrix/$1 log=$matrix/$1.log

    if [ "$(id -u)" -ne 0 ]; then
        skip "$suite" "a chroot can be made by root only"
    elif ! command -v debootstrap >/dev/null; then
        skip "$suite" "debootstrap is not installed"
    elif [ ! -e "$root/.kdlens-packages" ] && ! serves "$mirror" "$suite"; then
        skip "$suite" "$mirror does not serve it ($(grep -m1 '^E:' "$work/helper.log"))"
    elif ! make_chroot "$suite" "$root" "$log"; then
        tail -n 15 "$log"
        skip "$suite" "no chroot could be made; see $log"
    else
        printf '%s: testing in %s...\n' "$suite" "$root"
        in_chroot "$root" bash /tmp/source/tests/matrix/suite.sh /tmp/source /tmp/build \
            >"$log" 2>&1 || true
        take_result "$suite" "$log"
    fi
}

# shellcheck disable=SC1091 # the system's
host_id=$(. /etc/os-release && echo "${ID:-}")
# shellcheck disable=SC1091
host_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
captures=${KDLENS_CAPTURES:-$tree/../shared/captures}
if [ -d "$captures" ]; then
    captures=$(cd "$captures" && pwd)
    export KDLENS_CAPTURES=$captures
else
    captures=""
    echo "No real captures (KDLENS_CAPTURES): tests that need them skip."
fi
mkdir -p "$matrix"
matrix=$(cd "$matrix" && pwd)
case "$matrix/" in
"$tree"/build/* | "$tree"/build-*) ;;
"$tree"/*)
    echo "KDLENS_MATRIX_DIR: choose build/ or a folder outside the source tree" >&2
    exit 2
    ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
find_mirror
[ $# -gt 0 ] || set -- bookworm trixie forky
for suite in "$@"; do
    if can_test_here "$suite"; then
        test_here "$suite"
    else
        test_in_chroot "$suite"
    fi
done
printf '\n%-10s %-10s %-12s %6s %6s %7s\n' suite wireshark build passed failed skipped
printf '%s\n' "${rows[@]}"
[ "$failures" -eq 0 ]
