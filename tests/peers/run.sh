#!/usr/bin/env bash
# run.sh - run every test with other people's programs, and print what was run, passed or skipped.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   tests/peers/run.sh [--write] [BUILD]
#
# BUILD is the folder of a finished build (build). With --write the table goes into
# docs/compatibility.md and README.md, between the marks there. What a peer needs is in
# tests/peers/README.md; one that is not there is a row that says why. About 11 minutes with all.
# The exit status is 1 when a peer failed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

write=
if [ "${1:-}" = --write ]; then
    write=--write
    shift
fi
build=$(cd "${1:-$here/../../build}" 2>/dev/null && pwd) || {
    printf 'run.sh: no build folder "%s"; build first (./test.sh)\n' "${1:-build}" >&2
    exit 2
}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# The whole output of those that pass, too: peertable.py reads its end.
ctest --test-dir "$build" -L peers --output-junit "$results/ctest.xml" --no-tests=ignore \
    --test-output-size-passed 1000000 --test-output-size-failed 1000000
if [ -e "$build/tests/hvhost/hvhost.efi" ]; then
    KDLENS_HVHOST="$build/tests/hvhost/hvhost.efi" "$here/../hvhost/conformance.sh" 2>&1 |
        tee "$results/conformance.log"
    printf '%s\n' "${PIPESTATUS[0]}" >"$results/conformance.status"
fi
python3 -B "$here/peertable.py" $write "$results"
