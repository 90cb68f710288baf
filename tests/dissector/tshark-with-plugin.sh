#!/usr/bin/env bash
# tshark-with-plugin.sh - run tshark or sharkd with one plugin file and nothing of the user's own.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
#   tshark-with-plugin.sh stage PLUGIN      make a private folder with the plugin, print its path
#   tshark-with-plugin.sh run STAGE PROGRAM [ARG...]
#
# In STAGE: plugins/ (the plugin), extcap/ and home/ (empty: Wireshark's own extcap programs do not
# run, nor is any setting of the user's read), files/ (for captures, to be readable by all) and
# scratch/ (current folder of the program; it may write here). The caller removes STAGE.
#
# Run as root, Wireshark ignores WIRESHARK_PLUGIN_DIR and says nothing. So root becomes an
# unprivileged user first; that user may not be able to enter the folder the repository is in, so
# everything it needs is copied to STAGE.
#
# KDLENS_PRELOAD: libraries to preload (the runtime of a plugin that was built with sanitizers).
set -euo pipefail

nobody=65534

fail()
{
    printf 'tshark-with-plugin.sh: %s\n' "$*" >&2
    exit 2
}

unprivileged=()
if [ "$(id -u)" -eq 0 ]; then
    command -v setpriv >/dev/null || fail "setpriv not found (Debian package util-linux)"
    unprivileged=(setpriv --reuid="$nobody" --regid="$nobody" --clear-groups --)
fi

stage()
{
    local plugin=$1 version folder

    [ -r "$plugin" ] || fail "no plugin at $plugin (build it first, or set KDLENS_PLUGIN_SO)"
    command -v tshark >/dev/null || fail "tshark not found (Debian package tshark)"
    version=$(tshark --version 2>/dev/null | sed -nE '1s/.* ([0-9]+\.[0-9]+)\.[0-9]+.*/\1/p')
    [ -n "$version" ] || fail "cannot tell the version of $(command -v tshark)"

    umask 022
    folder=$(mktemp -d "${TMPDIR:-/tmp}/kdlens.XXXXXX")
    chmod 755 "$folder"
    mkdir -p "$folder/plugins/$version/epan" "$folder/extcap" "$folder/home" "$folder/files" \
        "$folder/scratch"
    install -m 644 "$plugin" "$folder/plugins/$version/epan/kdlens.so"
    if [ "$(id -u)" -eq 0 ]; then
        chown "$nobody:$nobody" "$folder/home" "$folder/scratch"
    fi
    if ! "${unprivileged[@]}" test -r "$folder/plugins/$version/epan/kdlens.so"; then
        rm -rf "$folder"
        fail "uid $nobody cannot read files in ${TMPDIR:-/tmp}: set TMPDIR to another folder"
    fi
    printf '%s\n' "$folder"
}

run()
{
    local folder=$1
    local -a settings
    shift

    settings=(-u XDG_CONFIG_HOME -u XDG_DATA_HOME -u WIRESHARK_CONFIG_DIR -u WIRESHARK_DATA_DIR
        -u WIRESHARK_RUN_FROM_BUILD_DIRECTORY
        HOME="$folder/home" LC_ALL=C.UTF-8 TZ=UTC
        WIRESHARK_PLUGIN_DIR="$folder/plugins" WIRESHARK_EXTCAP_DIR="$folder/extcap")
    if [ -n "${KDLENS_PRELOAD:-}" ]; then
        # "simple": every wmem block from malloc, so that the sanitizer sees its bounds.
        # No leak check: Wireshark itself leaks.
        settings+=(LD_PRELOAD="$KDLENS_PRELOAD" WIRESHARK_DEBUG_WMEM_OVERRIDE=simple
            ASAN_OPTIONS="detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}")
    fi
    cd "$folder/scratch"
    exec "${unprivileged[@]}" env "${settings[@]}" "$@"
}

case "${1:-}" in
stage)
    [ $# -eq 2 ] || fail "usage: stage PLUGIN"
    stage "$2"
    ;;
run)
    [ $# -ge 3 ] || fail "usage: run STAGE PROGRAM [ARG...]"
    shift
    run "$@"
    ;;
*)
    fail "usage: stage PLUGIN | run STAGE PROGRAM [ARG...]"
    ;;
esac
