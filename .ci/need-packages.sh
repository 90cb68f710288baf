# need-packages.sh - sourced: have the packages a script needs; installs what is missing on Debian.
# SPDX-License-Identifier: BSD-2-Clause-Patent
# shellcheck shell=bash

# Debian package : Fedora's : Arch's : how to see that what it brings is there
_packages='
gcc:gcc:gcc:cmd gcc
libc6-dev:glibc-devel:glibc:header stdio.h
cmake:cmake:cmake:cmd cmake
ninja-build:ninja-build:ninja:cmd ninja
pkg-config:pkgconf-pkg-config:pkgconf:cmd pkg-config
wireshark-dev:wireshark-devel:wireshark-cli:module wireshark
tshark:wireshark-cli:wireshark-cli:cmd tshark
libgcrypt20-dev:libgcrypt-devel:libgcrypt:header gcrypt.h
libglib2.0-dev:glib2-devel:glib2:module glib-2.0
util-linux:util-linux:util-linux:cmd setpriv
python3:python3:python:cmd python3
clang:clang:clang:cmd clang
clang-format:clang-tools-extra:clang:cmd clang-format
gcc-mingw-w64-x86-64:mingw64-gcc:mingw-w64-gcc:cmd x86_64-w64-mingw32-gcc
zlib1g-dev:zlib-devel:zlib:header zlib.h
libpcap-dev:libpcap-devel:libpcap:header pcap/pcap.h
libz-mingw-w64-dev:mingw64-zlib-static:mingw-w64-zlib:mingw zlib.h
'

_package_row()
{
    local row
    row=$(grep "^$1:" <<<"$_packages") || { echo "need-packages.sh: no row for $1" >&2; exit 2; }
    IFS=: read -r _ fedora arch probe <<<"$row"
}

_package_found()
{
    case "$1" in
    cmd\ *) type -P "${1#* }" >/dev/null ;;
    module\ *) pkg-config --exists "${1#* }" 2>/dev/null ;;
    header\ *) printf '#include <%s>\n' "${1#* }" | cc -E -x c - >/dev/null 2>&1 ;;
    mingw\ *)
        printf '#include <%s>\n' "${1#* }" | x86_64-w64-mingw32-gcc -E -x c - >/dev/null 2>&1
        ;;
    esac
}

_on_debian()
{
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null
}

# Which of the Debian packages named are missing. A package by another name, or a build from source,
# counts when what it brings is there.
_missing_packages()
{
    local installed="" package fedora arch probe

    if _on_debian; then
        installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    fi
    for package in "$@"; do
        grep -qxF "installed $package" <<<"$installed" && continue
        _package_row "$package"
        _package_found "$probe" || printf '%s\n' "$package"
    done
}

_name_packages()
{
    local package fedora arch probe
    local -a for_fedora=() for_arch=()

    for package in "$@"; do
        _package_row "$package"
        for_fedora+=("$fedora")
        for_arch+=("$arch")
    done
    cat >&2 <<END
Something this script needs is missing, and it installs packages on Debian only. Please install:
  Fedora   sudo dnf install ${for_fedora[*]}
  Arch     sudo pacman -S --needed ${for_arch[*]}
  others   what Debian calls ${*}
then start it again.
END
}

# need_packages PACKAGE...: Debian's names; returns when all are there, else ends the script.
need_packages()
{
    local -a missing sudo=()
    mapfile -t missing < <(_missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! _on_debian; then
        _name_packages "${missing[@]}"
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            printf 'No sudo here. As root: apt-get install %s\n' "${missing[*]}" >&2
            exit 1
        fi
        sudo=(sudo)
    fi
    printf 'Installing, which takes a minute or two: %s\n' "${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    # noninteractive, or wireshark-common would ask who may capture.
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 \
        --no-install-recommends "${missing[@]}" >/dev/null
}

# The preset's generator is left open; Ninja where it is there.
use_ninja()
{
    if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
    export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
}
