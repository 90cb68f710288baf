#!/usr/bin/env bash
# run.sh - measure what decoding costs; see dissect.py for what is measured and asserted.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   tests/bench/run.sh [--packets N] [--rounds N] [--limit X] [--serial BYTES]
#
# Builds the preset default first. Not run by ctest: it takes two to three minutes, and numbers mean
# something on a machine with a core to spare.
#
# KDLENS_CAPTURES: folder of real captures; by default ../shared/captures when it exists. Without it
# a session of pcaps/ is repeated.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. .ci/need-packages.sh

need_packages gcc libc6-dev cmake ninja-build pkg-config wireshark-dev tshark libgcrypt20-dev \
    libglib2.0-dev util-linux python3
use_ninja
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset default &&
    cmake --build --preset default --target kdlens_plugin kdnet_repeat; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
KDLENS_PLUGIN_SO=$PWD/build/plugin/kdlens.so \
    python3 -B tests/bench/dissect.py --helper build/tests/bench/kdnet_repeat "$@"
