#!/usr/bin/env bash
# run.sh - let the fuzzers run, then damage captures for the plugin.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   tests/fuzz/run.sh [SECONDS [PASSES]]
#
# SECONDS (60) are for each libFuzzer target, built with clang in build-fuzz/. Inputs they find go
# to build-fuzz/corpus/NAME; with KEEP=1 those of at most KEEP_BYTES (256) bytes that reach new code
# are added to tests/fuzz/corpus/NAME, which every build replays (ctest -L fuzz).
# PASSES (3) are for the plugin built with sanitizers (cmake --workflow or --preset asan; without
# build-asan/plugin/kdlens.so they are skipped): fuzz_plugin.py tells more.
# What is found is kept in build-fuzz/findings/, and the exit status is 1.
set -uo pipefail

seconds=${1:-60}
passes=${2:-3}
keep_bytes=${KEEP_BYTES:-256}
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
build="build-fuzz"
log=$build/build.log
stored=tests/fuzz/corpus
findings=$build/findings
status=0

case "$seconds$passes" in
*[!0-9]* | '')
    printf 'usage: run.sh [SECONDS [PASSES]]\n' >&2
    exit 2
    ;;
esac
if ! command -v clang >/dev/null; then
    printf 'run.sh: clang not found (Debian package clang)\n' >&2
    exit 2
fi

build_fuzzers()
{
    mkdir -p "$build"
    cmake -S . -B "$build" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DKDLENS_FUZZERS=ON -DKDLENS_PLUGIN=OFF -DKDLENS_WERROR=ON >"$log" 2>&1 &&
        cmake --build "$build" --target fuzzers -j 2 >>"$log" 2>&1
}

# Adds to the stored inputs those that reach what the stored ones do not, small ones first.
keep_inputs()
{
    local name=$1 small
    small=$(mktemp -d)
    find "$build/corpus/$name" -type f -size "-$((keep_bytes + 1))c" -exec cp -t "$small" {} +
    "$build/tests/fuzz/fuzz_$name" -merge=1 -use_counters=0 "$stored/$name" "$small" 2>&1 |
        tail -n 1
    rm -rf "$small"
}

fuzz()
{
    local name=$1
    mkdir -p "$build/corpus/$name"
    printf 'fuzz_%s: %s s\n' "$name" "$seconds"
    if ! UBSAN_OPTIONS=print_stacktrace=1 "$build/tests/fuzz/fuzz_$name" \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 \
        -artifact_prefix="$findings/$name-" "$build/corpus/$name" "$stored/$name" \
        >"$findings/$name.log" 2>&1; then
        grep -E 'ERROR|SUMMARY|runtime error|Test unit written' "$findings/$name.log"
        printf 'fuzz_%s: found something, see %s\n' "$name" "$findings/$name.log"
        status=1
        return
    fi
    grep -E 'number_of_executed_units|new_units_added' "$findings/$name.log"
    if [ "${KEEP:-0}" = 1 ]; then
        keep_inputs "$name"
    fi
}

# The runtime that the plugin's compiler links; tshark itself is not built with it.
preload_of_asan()
{
    local compiler library path list=
    compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' build-asan/CMakeCache.txt)
    for library in libasan.so libubsan.so; do
        path=$("${compiler:-gcc}" -print-file-name="$library")
        if [ -e "$path" ]; then
            list=${list:+$list:}$path
        fi
    done
    printf '%s' "$list"
}

fuzz_plugin()
{
    local plugin=build-asan/plugin/kdlens.so program
    if [ "$passes" -eq 0 ]; then
        return
    fi
    if [ ! -e "$plugin" ]; then
        printf 'skipped: damaged captures, there is no %s (cmake --preset asan, then build)\n' \
            "$plugin"
        return
    fi
    for program in tshark editcap; do
        if ! command -v "$program" >/dev/null; then
            printf 'skipped: damaged captures, %s not found (Debian package tshark)\n' "$program"
            return
        fi
    done
    KDLENS_PLUGIN_SO=$PWD/$plugin KDLENS_PRELOAD=$(preload_of_asan) \
        python3 -B tests/fuzz/fuzz_plugin.py --passes "$passes" || status=1
}

if ! build_fuzzers; then
    tail -n 20 "$log"
    exit 2
fi
mkdir -p "$findings"
for source in tests/fuzz/fuzz_*.c; do
    name=${source##*/fuzz_}
    fuzz "${name%.c}"
done
fuzz_plugin
exit $status
