#!/usr/bin/env bash
# test.sh - build everything, run every test; installs on Debian what is missing.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   ./test.sh               all: default build, lib/kd for Windows and UEFI, unit tests under
#                           sanitizers, then every test of the default build
#   ./test.sh ARG...        default build, then ctest with ARG..., e.g. ./test.sh -L unit
#
# KDLENS_CAPTURES: folder of real captures; by default ../shared/captures when it exists. Tests that
# need them skip without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/need-packages.sh

step()
{
    printf '\n== %s\n' "$*"
}

# build PRESET [TARGET...]
build()
{
    local preset=$1
    shift
    cmake --preset "$preset" >"$logs/configure" || { cat "$logs/configure"; return 1; }
    cmake --build --preset "$preset" ${1:+--target "$@"}
}

packages=(
    gcc libc6-dev cmake ninja-build pkg-config wireshark-dev tshark libgcrypt20-dev libglib2.0-dev
    zlib1g-dev libpcap-dev libedit-dev util-linux python3 clang clang-format gcc-mingw-w64-x86-64
    libz-mingw-w64-dev
    # Tests that use these skip without: machines, programs for Windows, tools to compare with.
    -- qemu-system-x86 ovmf wine64 wine llvm mtools xorriso socat openssl libcap2-bin
    groff-base zsh fish
)
need_packages "${packages[@]}"
use_ninja
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

if [ -z "${KDLENS_CAPTURES:-}" ] && [ -d ../shared/captures ]; then
    KDLENS_CAPTURES=$(cd ../shared/captures && pwd)
    export KDLENS_CAPTURES
fi
if [ ! -d "${KDLENS_CAPTURES:-}" ]; then
    echo "No real captures (KDLENS_CAPTURES): tests that need them skip."
fi

step "Build: default"
build default
if [ $# -eq 0 ]; then
    step "Build: lib/kd for Windows"
    build mingw
    step "Build: lib/kd for UEFI"
    build uefi
    step "Unit tests under AddressSanitizer and UBSan"
    build asan unit_tests
    ctest --preset asan -L 'unit|agent'
fi
step "Tests"
if [ $# -eq 0 ]; then
    echo "Left out: other people's debuggers (./test.sh -L peers, tests/peers/README.md)."
    set -- -LE peers
fi
ctest --preset default "$@"
