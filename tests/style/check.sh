#!/usr/bin/env bash
# check.sh - the style rules that a program can check; one line per finding, exit status 1 if any.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Works in a git checkout (tracked files and new ones that are not ignored) and in an exported tree.
# CC names the compiler that headers are tried with. A check that cannot run says so.
set -uo pipefail
export LC_ALL=C.UTF-8

clang_format_major=14 # other versions format differently
width=100
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT

finding()
{
    printf '%s\n' "$*" | tee -a "$findings"
}

# Every line that a grep -nH prints is a finding.
findings_of()
{
    local name=$1 line
    shift
    while IFS= read -r line; do
        finding "$line: $name"
    done < <("$@" | cut -d: -f1,2)
}

list_files()
{
    # A tree exported into somebody else's checkout is not that checkout's.
    if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ]; then
        git ls-files -z --cached --others --exclude-standard
    else
        find . \( -name .git -o -path './build' -o -path './build-*' -o -name .cache \
            -o -name __pycache__ \) -prune -o -type f -printf '%P\0'
    fi
}

# The files to check, in these lists; recorded data (golden/, corpus/) is nobody's to format.
text=() licensed=() sources=() headers=() narrow=()
sort_files()
{
    local file
    while IFS= read -r -d '' file; do
        if [ ! -f "$file" ] || [ ! -s "$file" ] || ! grep -qI '' "$file"; then
            continue
        fi
        case "$file" in
        */golden/* | */corpus/*) continue ;;
        esac
        text+=("$file")
        case "$file" in
        LICENSE | */COPYING | *.json | *.jsonl) ;;
        *) licensed+=("$file") ;;
        esac
        case "$file" in
        *.c) sources+=("$file") ;;
        *.h) sources+=("$file") headers+=("$file") ;;
        *.py | *.sh | *.cmake | */CMakeLists.txt | CMakeLists.txt) narrow+=("$file") ;;
        esac
    done < <(list_files)
}

check_text()
{
    local file

    findings_of "trailing white space" grep -nHP '[ \t]+\r?$' "${text[@]}"
    findings_of "carriage return" grep -nHP '\r$' "${text[@]}"
    findings_of "tab" grep -nHP '\t' "${text[@]}"
    findings_of "longer than $width columns" grep -nHP "^.{$width}." "${narrow[@]}"
    for file in "${text[@]}"; do
        [ -z "$(tail -c 1 "$file")" ] || finding "$file: no line end at the end of the file"
    done
}

check_licences()
{
    local file found expected

    for file in "${licensed[@]}"; do
        found=$(head -n 20 "$file" | sed -nE 's/.*SPDX-License-Identifier: ([A-Za-z0-9.-]+).*/\1/p')
        case "$file" in
        lib/*) expected=BSD-2-Clause-Patent ;;
        plugin/*) expected=GPL-2.0-or-later ;;
        *.md) expected=CC-BY-4.0 ;;
        *) expected=$found ;;
        esac
        if [ -z "$found" ]; then
            finding "$file: no SPDX-License-Identifier in the first 20 lines"
        elif [ "$found" != "$expected" ]; then
            finding "$file: licence is $found, $expected here"
        fi
    done
}

# lib/kd and lib/image compile without a C library (lib/kd/tools are programs); lib/analysis knows
# no Wireshark, lib/capture nothing of ours.
check_arrows()
{
    local own='"[^"]*"' allowed='<std(int|def|bool)\.h>'

    findings_of "lib/kd includes only stdint.h, stddef.h, stdbool.h" \
        grep -rnHP "^\s*#\s*include\s+(?!$allowed|$own)" lib/kd/include lib/kd/src
    findings_of "lib/kd includes nothing but itself" \
        grep -rnHP '^\s*#\s*include\s+"[^"]*(\.\./|analysis/)' lib/kd
    findings_of "lib/image includes only stdint.h, stddef.h, stdbool.h" \
        grep -rnHP "^\s*#\s*include\s+(?!$allowed|$own)" lib/image/include lib/image/src
    findings_of "lib/image includes nothing but itself" \
        grep -rnHP '^\s*#\s*include\s+"[^"]*(\.\./|kd/|analysis/|capture/|rt/)' lib/image
    findings_of "lib/analysis does not use Wireshark" \
        grep -rnHP '^\s*#\s*include\s+[<"](epan/|wsutil/|wiretap/|wireshark\.h)' lib/analysis
    findings_of "lib/capture uses neither another library of ours nor GLib" \
        grep -rnHP '^\s*#\s*include\s+[<"](kd/|analysis/|glib)' lib/capture
}

check_format()
{
    local tool major line

    for tool in "clang-format-$clang_format_major" clang-format; do
        major=$("$tool" --version 2>/dev/null | sed -nE 's/.*version ([0-9]+)\..*/\1/p')
        [ "$major" != "$clang_format_major" ] || break
    done
    if [ "$major" != "$clang_format_major" ]; then
        printf 'skipped: format: needs clang-format %s, found %s\n' \
            "$clang_format_major" "${major:-none}"
        return
    fi
    while IFS= read -r line; do
        finding "$line: $tool -i would change it"
    done < <("$tool" --dry-run -Werror "${sources[@]}" 2>&1 </dev/null |
        sed -nE 's/^([^: ]+:[0-9]+):.*/\1/p' | uniq)
}

# Into the array flags: what a header of this folder is compiled with. 1: a library is missing.
flags_for()
{
    local file=$1 package packages=()

    flags=(-std=c11 -Ilib/kd/include -Ilib/image/include "-I$(dirname "$file")")
    case "$file" in
    lib/kd/* | lib/image/*) flags+=(-ffreestanding) ;;
    uefi-agent/rt/* | tests/rt/*) flags+=(-Iuefi-agent/rt/include -Iuefi-agent/rt -Itests/rt) ;;
    plugin/*)
        packages=(wireshark glib-2.0)
        flags+=(-std=gnu11 -Ilib/analysis/include -DHAVE_SSIZE_T)
        ;;
    lib/capture/*) flags+=(-Ilib/capture/include) ;;
    uefi-agent/* | tests/agent/*)
        flags+=(-Iuefi-agent/{engine,efi,include,arch/x64,hv,transport})
        ;;
    tests/hvhost/*) flags+=(-Iuefi-agent/efi) ;;
    capture-tool/*) flags+=(-Ilib/capture/include -Ilib/analysis/include) ;;
    *)
        packages=(glib-2.0)
        flags+=(-Ilib/analysis/include)
        ;;
    esac
    for package in "${packages[@]}"; do
        if ! pkg-config --exists "$package" 2>/dev/null; then
            printf 'skipped: %s: needs the development files of %s\n' "$file" "$package"
            return 1
        fi
        # shellcheck disable=SC2207 # flags are words
        flags+=($(pkg-config --cflags "$package"))
    done
}

# Each header compiles alone, and a second time after itself.
check_headers()
{
    local file flags compiler

    for file in "${headers[@]}"; do
        compiler=${CC:-cc}
        [[ $file != *windows*.h ]] || compiler=x86_64-w64-mingw32-gcc
        if ! command -v "$compiler" >/dev/null; then
            printf 'skipped: %s: no compiler %s\n' "$file" "$compiler"
            continue
        fi
        flags_for "$file" || continue
        printf '#include "%s"\n#include "%s"\n' "$PWD/$file" "$PWD/$file" |
            "$compiler" "${flags[@]}" -fsyntax-only -Werror=implicit-function-declaration -x c - ||
            finding "$file: does not compile on its own"
    done
}

sort_files
check_text
check_licences
check_arrows
check_format
check_headers

if [ -s "$findings" ]; then
    printf '%s findings in %s files\n' "$(wc -l <"$findings")" "${#text[@]}"
    exit 1
fi
printf '%s files checked, no findings\n' "${#text[@]}"
