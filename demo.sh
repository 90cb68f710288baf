#!/usr/bin/env bash
# demo.sh - build the plugin and show a kernel debugging session decoded by tshark.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Installs on Debian what is missing. Changes nothing of the user's own Wireshark: tshark runs with
# an empty home and a private plugin folder, which are removed at the end.
#
# KDLENS_CAPTURES: folder of real captures; by default ../shared/captures when it exists. Without it
# a capture of this repository is shown.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/need-packages.sh

runner=tests/dissector/tshark-with-plugin.sh
plugin=build/plugin/kdlens.so
story=40 # packets

heading()
{
    printf '\n=== %s ===\n' "$*"
}

build()
{
    if ! { cmake --preset default && cmake --build --preset default --target kdlens_plugin; } \
        >"$work/build.log" 2>&1; then
        cat "$work/build.log" >&2
        exit 1
    fi
}

tshark_with_plugin()
{
    "$runner" run "$stage" tshark "$@"
}

# tshark on the session; two passes, so that a request knows its reply.
session()
{
    tshark_with_plugin -n -2 -r "$stage/files/$name" "${key[@]}" "$@"
}

choose_capture()
{
    local folder=${KDLENS_CAPTURES:-../shared/captures}

    capture=$folder/windbg-uncut.pcapng.gz
    key=(-o kdnet.key:8.8.8.8)
    about="WinDbg and the boot loader of Windows 10, over KDNET, encrypted; the key is 8.8.8.8"
    if [ ! -r "$capture" ]; then
        capture=pcaps/serial-session.pcapng
        key=()
        about="a debugger and a target on a serial line"
    fi
    name=$(basename "$capture")
    install -m 644 "$capture" "$stage/files/$name"
}

# count_by FIELD: how many there are of each value, with its name.
count_by()
{
    local field=$1 value label
    local -A names=() counts=()

    while IFS=$'\t' read -r _ _ value label; do
        names[$((value))]=$label
    done < <(tshark_with_plugin -G values | grep -P "^V\t$field\t")
    for value in $(session -T fields -E aggregator=/s -e "$field"); do
        counts[$((value))]=$((${counts[$((value))]:-0} + 1))
    done
    for value in "${!counts[@]}"; do
        printf '%7d  %s\n' "${counts[$value]}" "${names[$value]:-$value}"
    done | sort -rn
}

# A request's line tells the reply too. 0x3135: debuggers begin by clearing all 32 breakpoints.
show_story()
{
    session -Y 'kd && !(kd.type == 4) && !kd.request_in && !(kd.api == 0x3135)' \
        -o 'gui.column.format:"No.","%m","Time","%t","Info","%i"' | sed -n "1,${story}p"
}

# The reply to GetVersion when there is one, else the first reply.
show_packet()
{
    local frame

    frame=$({ session -T fields -e frame.number -Y 'kd.api == 0x3146 && kd.status'
        session -T fields -e frame.number -Y 'kd.api && kd.status'; } | sed -n 1p)
    [ -z "$frame" ] || session -Y "frame.number == $frame" -O kd,kdnet
}

say_what_next()
{
    local version personal
    version=$(ls "$stage/plugins")
    # shellcheck disable=SC2088 # to be typed, not expanded
    personal="~/.local/lib/wireshark/plugins/$version/epan"
    cat <<END
In Wireshark $version, for you alone:
  mkdir -p $personal && cp $PWD/$plugin $personal/
or for all users:
  sudo cmake --install $PWD/build --component plugin
Then open the same session:
  wireshark${key[*]:+ ${key[*]}} $(realpath "$capture")
Filters to try: kd.api == 0x3130, kd.status >= 0xc0000000, kd.type == 7, _ws.expert
README.md says more; ./test.sh runs the tests.
END
}

need_packages gcc libc6-dev cmake ninja-build pkg-config wireshark-dev tshark libgcrypt20-dev \
    libglib2.0-dev zlib1g-dev libpcap-dev util-linux python3
use_ninja
work=$(mktemp -d)
stage=""
trap 'rm -rf "$work" "$stage"' EXIT

echo "Building the plugin..."
build
stage=$("$runner" stage "$plugin")
if ! tshark_with_plugin -G plugins | grep '^kdlens\.so'; then
    echo "tshark does not load $plugin." >&2
    exit 1
fi
choose_capture

heading "$name: $about"
printf 'The first %d packets, without acknowledgements, replies and breakpoints cleared:\n' "$story"
show_story
heading "One of them in full"
show_packet
heading "What the session is made of"
count_by kd.type
echo "Requests and replies by API:"
count_by kd.api
heading "Next"
say_what_next
