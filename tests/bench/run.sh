#!/usr/bin/env bash
# run.sh - measure what decoding costs, what a tap costs, what interface calls cost, or the agent.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   tests/bench/run.sh [--packets N] [--rounds N] [--limit X] [--serial BYTES]
#       decoding; dissect.py says what is measured and asserted
#   tests/bench/run.sh tap [--rounds N] [--pings N] [--mib N]
#       kdlens tap, against socat and a direct socket; tap.py says what is measured and asserted
#   tests/bench/run.sh analysis [--mib N] [--rounds N]
#       kdlens stats, mem map and doctor on a long capture, against tshark; analysis.py tells more
#   tests/bench/run.sh rt [--rounds N]
#       interface calls through the managed runtime, against a virtual call; rt.py tells more
#   tests/bench/run.sh agent [--rounds N] [--count N]
#       the agent in QEMU, against the UART it talks over; agent.py says what is asserted
#   tests/bench/run.sh vmbus [--rounds N] [--kib N] [--count N]
#       the agent over VMBus, against the rings alone and COM1; vmbus.py says what is asserted
#   tests/bench/run.sh windbg [--rounds N] [--kib N] [--steps N]
#       WinDbg's engine straight, through socat and through kdlens tap, and kdlens debug; windbg.py
#       tells more
#   tests/bench/run.sh windbg-replay [--rounds N] [--kib N] [--steps N]
#       WinDbg's engine and kdlens debug at kdlens replay; windbg_replay.py tells more
#
# Builds the preset default first. Not run by ctest: it takes some minutes, and numbers mean
# something on a machine with a core to spare.
#
# KDLENS_CAPTURES: folder of real captures; by default ../shared/captures when it exists. Without it
# a session of pcaps/ is repeated.
# TMPDIR: where the tap's recordings go; they are to be on a disk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. .ci/need-packages.sh

what=dissect
packages=(gcc libc6-dev cmake ninja-build pkg-config wireshark-dev tshark libgcrypt20-dev
    libglib2.0-dev zlib1g-dev libpcap-dev libedit-dev util-linux python3)
targets=(kdlens_plugin kdnet_repeat)
if [ "${1:-}" = tap ]; then
    shift
    what=tap
    packages+=(socat)
    targets=(kdlens pinger)
elif [ "${1:-}" = analysis ]; then
    shift
    what=analysis
    targets=(kdlens kdlens_plugin)
elif [ "${1:-}" = rt ]; then
    shift
    what=rt
    packages+=(clang lld)
    targets=(run_pe)
elif [ "${1:-}" = agent ]; then
    shift
    what=agent
    packages+=(clang lld qemu-system-x86 ovmf mtools)
    targets=(kdagent_image kdboot_image kdexample_image agentclient)
elif [ "${1:-}" = vmbus ]; then
    shift
    what=vmbus
    packages+=(clang lld llvm qemu-system-x86 ovmf mtools)
    targets=(kdagent_image kdboot_image kdexample_image agentclient hvhost_image hvecho_image
        kdlens)
elif [ "${1:-}" = windbg ] || [ "${1:-}" = windbg-replay ]; then
    what=$1
    shift
    packages+=(clang lld qemu-system-x86 ovmf mtools socat)
    targets=(kdlens kdagent_image kdboot_image kdexample_image)
fi
need_packages "${packages[@]}"
use_ninja
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset default &&
    cmake --build --preset default --target "${targets[@]}"; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
case $what in
dissect)
    KDLENS_PLUGIN_SO=$PWD/build/plugin/kdlens.so \
        python3 -B tests/bench/dissect.py --helper build/tests/bench/kdnet_repeat "$@"
    ;;
tap)
    python3 -B tests/bench/tap.py "$@"
    ;;
analysis)
    KDLENS_PLUGIN_SO=$PWD/build/plugin/kdlens.so \
        python3 -B tests/bench/analysis.py --kdlens build/capture-tool/kdlens "$@"
    ;;
rt)
    KDLENS_RUN_PE=$PWD/build/tests/rt/run_pe python3 -B tests/bench/rt.py "$@"
    ;;
agent)
    python3 -B tests/bench/agent.py "$@"
    ;;
windbg)
    python3 -B tests/bench/windbg.py "$@"
    ;;
windbg-replay)
    python3 -B tests/bench/windbg_replay.py "$@"
    ;;
vmbus)
    python3 -B tests/bench/vmbus.py "$@"
    ;;
esac
