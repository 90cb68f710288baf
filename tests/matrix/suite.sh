#!/usr/bin/env bash
# suite.sh - build the plugin and run the dissector tests with the Wireshark of this system.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   suite.sh SOURCE BUILD      BUILD: a new folder outside the source tree
#
# For run.sh, which reads the last line of the output: RESULT, Wireshark's version, how the build
# went ("ok", "3 warnings", "failed"), test cases passed, failed, skipped; separated by tabs.
set -uo pipefail

tree=$1
build=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
wireshark=$(tshark --version 2>/dev/null | sed -nE '1s/.* ([0-9]+\.[0-9]+\.[0-9]+).*/\1/p')
generator=(-G Ninja)
command -v ninja >/dev/null || generator=()

result()
{
    printf 'RESULT\t%s\t%s\t%s\t%s\t%s\n' "${wireshark:--}" "$@"
    exit 0
}

# Of the unittest summaries in ctest's output; a test program that ends without one has failed.
count_cases()
{
    local ran=0 failed=0 skipped=0 programs=0 summaries=0 line number

    while IFS= read -r line; do
        case "$line" in
        *": Ran "*" test"*)
            number=${line##*: Ran }
            ran=$((ran + ${number%% *}))
            summaries=$((summaries + 1))
            ;;
        *": OK"* | *": FAILED ("* | *": NO TESTS RAN"*)
            while IFS= read -r number; do
                failed=$((failed + number))
            done < <(grep -oP '(failures|errors|successes)=\K[0-9]+' <<<"$line")
            number=$(sed -nE 's/.*skipped=([0-9]+).*/\1/p' <<<"$line")
            skipped=$((skipped + ${number:-0}))
            ;;
        *"tests passed, "*" out of "*)
            programs=${line##* out of }
            ;;
        esac
    done <"$log"
    [ "$summaries" -ge "$programs" ] || failed=$((failed + programs - summaries))
    passed=$((ran - failed - skipped))
    counts=("$((passed < 0 ? 0 : passed))" "$failed" "$skipped")
}

cmake -S "$tree" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DKDLENS_WERROR=OFF -DKDLENS_AGENT=OFF || result failed - - -
cmake --build "$build" -j "$(nproc)" 2>&1 | tee "$log"
[ "${PIPESTATUS[0]}" -eq 0 ] || result failed - - -
warnings=$(grep -c 'warning:' "$log")
outcome=ok
[ "$warnings" -eq 0 ] || outcome="$warnings warnings"
ctest --test-dir "$build" -L dissector -V 2>&1 | tee "$log"
count_cases
result "$outcome" "${counts[@]}"
