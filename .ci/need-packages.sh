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
libedit-dev:libedit-devel:libedit:header histedit.h
libz-mingw-w64-dev:mingw64-zlib-static:mingw-w64-zlib:mingw zlib.h
socat:socat:socat:cmd socat
qemu-system-x86:qemu-system-x86-core:qemu-system-x86:cmd qemu-system-x86_64
ovmf:edk2-ovmf:edk2-ovmf:file /usr/share/OVMF /usr/share/edk2/ovmf /usr/share/edk2/x64
wine64:wine-core:wine:file /usr/lib/wine/wine64 /usr/bin/wine64
wine:wine-core:wine:cmd wineserver
lld:lld:lld:cmd lld-link
llvm:llvm:llvm:cmd llvm-pdbutil
mtools:mtools:mtools:cmd mcopy
xorriso:xorriso:libisoburn:cmd xorriso
openssl:openssl:openssl:cmd openssl
libcap2-bin:libcap:libcap:cmd setcap
groff-base:groff-base:groff:cmd groff
zsh:zsh:zsh:cmd zsh
fish:fish:fish:cmd fish
'

_package_row()
{
    local row
    row=$(grep "^$1:" <<<"$_packages") || { echo "need-packages.sh: no row for $1" >&2; exit 2; }
    IFS=: read -r _ fedora arch probe <<<"$row"
}

_any_file()
{
    local path

    for path in "$@"; do
        [ ! -e "$path" ] || return 0
    done
    return 1
}

_package_found()
{
    case "$1" in
    cmd\ *) type -P "${1#* }" >/dev/null ;;
    module\ *) pkg-config --exists "${1#* }" 2>/dev/null ;;
    header\ *) printf '#include <%s>\n' "${1#* }" | cc -E -x c - >/dev/null 2>&1 ;;
    file\ *)
        # shellcheck disable=SC2086 # several paths
        _any_file ${1#* }
        ;;
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
  Fedora   sudo dnf install ${for_fedora[*]}
  Arch     sudo pacman -S --needed ${for_arch[*]}
  others   what Debian calls ${*}
END
}

_install_packages()
{
    local -a sudo=()

    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    printf 'Installing, which takes some minutes: %s\n' "$*"
    "${sudo[@]}" apt-get update -qq
    # noninteractive, or wireshark-common would ask who may capture.
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 \
        --no-install-recommends "$@" >/dev/null
}

# need_packages NEEDED... [-- WANTED...]: Debian's names; returns when all that are needed are
# there, else ends the script. What is only wanted is installed too where that is possible, and else
# named: the tests that use it skip.
need_packages()
{
    local -a needed=() missing missing_needed=()

    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        needed+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    mapfile -t missing < <(_missing_packages "${needed[@]}" "$@")
    [ ${#missing[@]} -gt 0 ] || return 0

    if _on_debian && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }; then
        _install_packages "${missing[@]}"
        return
    fi
    mapfile -t missing_needed < <(_missing_packages "${needed[@]}")
    if [ ${#missing_needed[@]} -eq 0 ]; then
        echo "Some tests skip, because what they use is missing. It can be installed by:" >&2
        _name_packages "${missing[@]}"
    elif _on_debian; then
        printf 'No sudo here. As root: apt-get install %s\n' "${missing[*]}" >&2
        exit 1
    else
        echo "Something this script needs is missing, and it installs packages on Debian only." \
            "Please install:" >&2
        _name_packages "${missing_needed[@]}"
        echo "then start it again." >&2
        exit 1
    fi
}

# The preset's generator is left open; Ninja where it is there.
use_ninja()
{
    if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
    export CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
}
