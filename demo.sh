#!/usr/bin/env bash
# demo.sh - build everything, debug the UEFI agent in QEMU, show the conversation decoded by tshark.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Installs on Debian what is missing. Changes nothing of the user's own Wireshark: tshark runs with
# an empty home and a private plugin folder, which are removed at the end, as is the machine.
#
# With --windbg it is WinDbg's own engine that debugs, under Wine, where that can be had: it comes
# as a NuGet package, into ~/.cache/kdlens.
#
# Where QEMU or its firmware cannot be had, a stored capture is decoded instead.
# KDLENS_CAPTURES: folder of real captures for that; by default ../shared/captures when it exists.
# Without it a capture of this repository is shown.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/need-packages.sh

debugger=kdlens
case "${1:-}" in
'') ;;
--windbg) debugger=windbg ;;
*)
    echo "usage: ./demo.sh [--windbg]" >&2
    exit 2
    ;;
esac

runner=tests/dissector/tshark-with-plugin.sh
plugin=build/plugin/kdlens.so
kdlens=build/capture-tool/kdlens
images=build/uefi-agent
story=40  # packets
patience=120 # seconds for what takes five on an idle machine

heading()
{
    printf '\n=== %s ===\n' "$*"
}

# build OPTION TARGET...
build()
{
    local option=$1
    shift
    if ! { cmake --preset default "$option" && cmake --build --preset default --target "$@"; } \
        >"$work/build.log" 2>&1; then
        cat "$work/build.log" >&2
        exit 1
    fi
}

# --- a live session

# Into reason: why there can be none; into firmware: the file QEMU starts.
can_run()
{
    local path program

    reason=""
    for path in /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd \
        /usr/share/edk2/ovmf/OVMF_CODE.fd /usr/share/edk2/x64/OVMF_CODE.4m.fd; do
        [ ! -r "$path" ] || { firmware=$path; break; }
    done
    [ -n "${firmware:-}" ] || reason="no OVMF firmware"
    for program in qemu-system-x86_64 clang lld-link llvm-pdbutil; do
        command -v "$program" >/dev/null || reason="no $program"
    done
    [ -z "$reason" ]
}

# place_of FUNCTION: of kdexample, for the debugger; its code is the image's first section.
place_of()
{
    local offset

    offset=$(llvm-pdbutil dump --publics "$images/kdexample.pdb" |
        sed -n "/\`$1\`/{n;s/.*addr = 0001:0*\([0-9]\)/\1/p}")
    printf 'kdexample+%x' $((0x1000 + offset))
}

# The commands; each is shown before what it does, but for those that only wait.
write_script()
{
    sed '/^\(wait\|expect\)/!{h;s/^/echo kd> /;p;x}' <<END
version
lm kdagent
sxe ld:kdexample
g
wait stop
sxd ld
lm kdexample
bp $(place_of KdExampleTick)
g
wait stop
ln rip
r
t 2
bc *
g
wait stop
expect Access violation
bt 5
r rip=rip+2
gh
expect "your name\? "
reply $(id -un)
expect $(id -un)
END
}

# A TCP port that nobody has.
free_port()
{
    python3 -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'
}

# start_machine END SETTING...: where the tap waits for the debugger; lines of kdagent.cfg.
start_machine()
{
    local end=$1
    shift
    mkdir -p "$work/disk/EFI/BOOT"
    cp "$images/kdboot.efi" "$work/disk/EFI/BOOT/BOOTX64.EFI"
    cp "$images/kdagent.efi" "$images/kdexample.efi" "$work/disk"
    printf '%s\n' 'chain = \kdexample.efi' "$@" >"$work/disk/kdagent.cfg"
    "$kdlens" tap -q "$end" "unix-listen:$work/target" \
        -w "$work/session.pcapng" --hold --console "$work/console" </dev/null &
    tap=$!
    while [ ! -S "$work/target" ]; do
        kill -0 "$tap"
        sleep 0.1
    done
    qemu-system-x86_64 -machine q35 -m 128 -nodefaults -display none -no-reboot \
        -drive "if=pflash,format=raw,readonly=on,file=$firmware" \
        -drive "format=raw,file=fat:rw:$work/disk" -serial "unix:$work/target" </dev/null \
        >"$work/qemu.log" 2>&1 &
    qemu=$!
}

stop_machine()
{
    [ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
    [ -z "$tap" ] || kill -INT "$tap" 2>/dev/null || true
    [ -z "$tap$qemu" ] || wait 2>/dev/null || true
    qemu="" tap=""
}

debug_with_kdlens()
{
    write_script >"$work/demo.kd"
    start_machine "unix-listen:$work/debugger" 'arguments = loop=1000 write prompt' 'break = no' \
        'stack = off'
    echo "The machine boots, which takes some seconds..."
    "$kdlens" debug "unix:$work/debugger" "$work/demo.kd" -y "$images" -t "$patience"
}

debug_with_windbg()
{
    local port
    port=$(free_port)
    start_machine "tcp-listen:127.0.0.1:$port" 'arguments = break loop=1000 write prompt' \
        'wait = forever' 'modules = kd*,DxeCore' 'stack = off'
    echo "The machine boots, and WinDbg loads, which takes some seconds..."
    python3 -B tests/peers/windbg/session.py "$port" "$PWD/$images" "$(id -un)"
}

run_session()
{
    "debug_with_$debugger"
    stop_machine
    name=session.pcapng
    key=()
    boring='kd.api == 0x3135 || kd.api == 0x3130'
    capture=$PWD/build/demo.pcapng
    cp "$work/session.pcapng" "$capture"
    install -m 644 "$capture" "$stage/files/$name"
}

# --- decoding

tshark_with_plugin()
{
    "$runner" run "$stage" tshark "$@"
}

# tshark on the session; two passes, so that a request knows its reply.
session()
{
    tshark_with_plugin -n -2 -r "$stage/files/$name" "${key[@]}" "$@"
}

choose_stored()
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
    # Debuggers begin by clearing all 32 breakpoints.
    boring='kd.api == 0x3135'
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

# A request's line tells the reply too.
show_story()
{
    session -Y "kd.type && !(kd.type in {4, 6}) && !kd.request_in && !($boring)" \
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
Record your own: docs/capture-tool.md; debug your own firmware with the agent: docs/agent.md
Filters to try: kd.api == 0x3130, kd.status >= 0xc0000000, kd.type == 7, _ws.expert
README.md says more; ./test.sh runs the tests.
END
}

need_packages gcc libc6-dev cmake ninja-build pkg-config wireshark-dev tshark libgcrypt20-dev \
    libglib2.0-dev zlib1g-dev libpcap-dev libedit-dev util-linux python3 \
    -- clang lld llvm qemu-system-x86 ovmf
use_ninja
work=$(mktemp -d)
stage="" tap="" qemu=""
trap 'stop_machine; rm -rf "$work" "$stage"' EXIT

echo "Building..."
if can_run; then
    build -DKDLENS_AGENT=ON kdlens_plugin kdlens kdagent_image kdboot_image kdexample_image
else
    type -P clang lld-link >/dev/null && agent=ON || agent=OFF
    build "-DKDLENS_AGENT=$agent" kdlens_plugin
fi
stage=$("$runner" stage "$plugin")
if ! tshark_with_plugin -G plugins | grep '^kdlens\.so'; then
    echo "tshark does not load $plugin." >&2
    exit 1
fi
if [ "$debugger" = windbg ] && ! python3 -B tests/peers/windbg/session.py; then
    echo "Without WinDbg's engine kdlens debug takes its place."
    debugger=kdlens
fi
if [ -z "$reason" ]; then
    case $debugger in
    kdlens) heading "kdlens debug, through kdlens tap, debugs UEFI firmware in QEMU" ;;
    windbg) heading "WinDbg's engine, through kdlens tap, debugs UEFI firmware in QEMU" ;;
    esac
    run_session
    heading "What was on the line, without acknowledgements, replies and memory reads"
else
    choose_stored
    echo "No live session: $reason. A stored one instead."
    heading "$name: $about"
    printf 'The first %d packets, without acknowledgements, replies and breakpoints cleared:\n' \
        "$story"
fi
show_story
heading "One of them in full"
show_packet
heading "What the session is made of"
count_by kd.type
echo "Requests and replies by API:"
count_by kd.api
heading "Next"
say_what_next
